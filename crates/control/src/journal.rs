//! Writing entries: every decision with its reason, promise A1.

use lifeboat_model::journal::{EntryKind, JournalEntry};
use lifeboat_model::{ComponentId, Epoch};

use crate::brain::Brain;

/// The most journal entries that wait for a store that cannot be reached; the oldest are dropped beyond it. All that wait go into the next
/// transaction, and stores bound those (to 128 parts in both of ours).
const BACKLOG: usize = 100;

impl Brain {
    /// Notes something for the journal; it is committed with the next transaction.
    pub(crate) fn note(&mut self, kind: EntryKind, component: Option<&ComponentId>, what: String, why: String) {
        let epoch = component.and_then(|c| self.records.get(c)).map(|record| record.epoch);
        self.note_entry(kind, component, epoch, what, why);
    }

    /// The same, decided under a certain epoch.
    pub(crate) fn note_under(
        &mut self,
        kind: EntryKind,
        component: &ComponentId,
        epoch: Epoch,
        what: String,
        why: String,
    ) {
        self.note_entry(kind, Some(component), Some(epoch), what, why);
    }

    /// Notes a decision not to act, once for each reason.
    pub(crate) fn refrain(&mut self, component: &ComponentId, why: String) {
        let Some(local) = self.locals.get_mut(component) else { return };
        if local.refrained.as_ref() == Some(&why) {
            return;
        }
        local.refrained = Some(why.clone());
        self.note(EntryKind::Refrain, Some(component), format!("no failover of {component}"), why);
    }

    fn note_entry(
        &mut self,
        kind: EntryKind,
        component: Option<&ComponentId>,
        epoch: Option<Epoch>,
        what: String,
        why: String,
    ) {
        let run = component.and_then(|c| self.runs.get(c)).filter(|run| !run.stage.is_over()).map(|run| run.id.clone());
        let entry = JournalEntry {
            region: self.me.clone(),
            number: 0,
            unix_ms: self.clock.unix_ms,
            at: self.clock.now,
            kind,
            component: component.cloned(),
            epoch,
            run,
            what,
            why,
            previous: None,
        };
        self.push_note(entry);
    }

    pub(crate) fn push_note(&mut self, entry: JournalEntry) {
        if self.backlog.len() == BACKLOG {
            self.backlog.pop_front();
        }
        self.backlog.push_back(entry);
    }
}
