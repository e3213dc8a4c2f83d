//! The state store as the brain knows it: what was read of it, what is written to it, and when.

use std::time::Duration;

use lifeboat_model::app::Kind;
use lifeboat_model::database::DatabaseState;
use lifeboat_model::journal::{EntryKind, JournalEntry};
use lifeboat_model::state::{Change, Condition, Entry, LeaseId, Outcome, Revision, Transaction, Write};

use crate::brain::{Brain, HEARTBEAT, InFlight, Mutation};
use crate::chain;
use crate::compute::runs;
use crate::event::{Command, StoreFailure};
use crate::health::{Sight, What};
use crate::record::{self, JournalHead, View};

impl Brain {
    pub(crate) fn take_snapshot(&mut self, _revision: Revision, entries: Vec<Entry>) {
        self.revisions.clear();
        self.records.clear();
        self.leases.clear();
        self.views.clear();
        self.runs.clear();
        self.requests.clear();
        self.unreadable.retain(|key, _| entries.iter().any(|entry| entry.key == *key));
        for entry in entries {
            self.take_entry(entry);
        }
        self.synced = true;
        self.relisting = false;
        if let Some((head, entries)) = self.unsure.take() {
            if head == self.journal_head {
                self.has_begun_journal = true;
                self.commands.extend(entries.into_iter().map(Command::Journaled));
            } else {
                // Should it be carried out after all, it changes the head, and with it what the next transaction rests on.
                self.keep_observations(entries);
            }
        }
    }

    pub(crate) fn take_change(&mut self, change: Change) {
        match change {
            Change::Put(entry) => {
                if self.revisions.get(&entry.key).is_none_or(|known| *known < entry.revision) {
                    self.take_entry(entry);
                }
            }
            Change::Delete { key, revision } => {
                if self.revisions.get(&key).is_some_and(|known| *known < revision) {
                    self.forget(&key);
                }
                if self.unreadable.get(&key).is_some_and(|known| *known < revision) {
                    self.unreadable.remove(&key);
                }
            }
        }
    }

    pub(crate) fn take_entry(&mut self, entry: Entry) {
        fn read<T: serde::de::DeserializeOwned>(entry: &Entry) -> Result<T, serde_json::Error> {
            serde_json::from_slice(&entry.value)
        }
        self.revisions.insert(entry.key.clone(), entry.revision);
        self.settle_doubts(&entry.key, entry.revision);
        let Some((kind, name)) = entry.key.strip_prefix(record::STATE).and_then(|rest| rest.split_once('/')) else {
            return;
        };
        let taken = match kind {
            "database" => read(&entry).map(|record| drop(self.records.insert(name.into(), record))),
            "lease" => read(&entry).map(|region| drop(self.leases.insert(name.into(), (region, entry.lease)))),
            "view" => read(&entry).map(|view| drop(self.views.insert(name.into(), view))),
            "run" => read(&entry).map(|run| drop(self.runs.insert(name.into(), run))),
            "request" => read(&entry).map(|request| drop(self.requests.insert(name.into(), request))),
            "journal-head" if name == self.me.as_str() => read(&entry).map(|head: JournalHead| {
                // A store that was restored from a copy lacks entries: their numbers are not given again.
                if head.number >= self.journal_head.number {
                    self.journal_head = head;
                }
            }),
            _ => Ok(()),
        };
        match taken {
            Ok(()) => drop(self.unreadable.remove(&entry.key)),
            Err(error) => self.leave_alone(&entry.key, entry.revision, &error),
        }
    }

    /// What cannot be read was written by somebody who knows more, or is damaged. Nothing is decided on it, and without its revision
    /// nothing that is written here replaces it.
    fn leave_alone(&mut self, key: &str, revision: Revision, error: &serde_json::Error) {
        self.forget(key);
        if self.unreadable.insert(key.to_owned(), revision) != Some(revision) {
            let what = format!("cannot read {key} in the state store, and leaves it alone");
            self.note(EntryKind::Node, None, what, error.to_string());
        }
    }

    /// Whether there is something under a key that this node cannot read.
    pub(crate) fn is_unreadable(&self, key: &str) -> bool {
        self.unreadable.contains_key(key)
    }

    pub(crate) fn forget(&mut self, key: &str) {
        self.revisions.remove(key);
        let Some((kind, name)) = key.strip_prefix(record::STATE).and_then(|rest| rest.split_once('/')) else { return };
        match kind {
            "database" => drop(self.records.remove(name)),
            "lease" => drop(self.leases.remove(name)),
            "view" => drop(self.views.remove(name)),
            "run" => drop(self.runs.remove(name)),
            "request" => drop(self.requests.remove(name)),
            _ => {}
        }
    }

    pub(crate) fn take_transacted(&mut self, result: Result<Outcome, StoreFailure>) {
        let Some(InFlight { transaction, entries, head, answer }) = self.in_flight.take() else { return };
        let retry = self.clock.now + Duration::from_millis(100);
        let refused = |ticket, why: &str| Command::Answer { ticket, answer: Err(why.to_owned()) };
        match result {
            Ok(Outcome::Committed(revision)) => {
                for write in transaction.then {
                    match write {
                        Write::Put { key, value, lease } => {
                            if self.revisions.get(&key).is_none_or(|known| *known < revision) {
                                self.take_entry(Entry { key, value, revision, lease });
                            }
                        }
                        Write::Delete { key } => {
                            if self.revisions.get(&key).is_none_or(|known| *known < revision) {
                                self.forget(&key);
                            }
                        }
                    }
                }
                self.has_begun_journal |= !entries.is_empty();
                self.commands.extend(entries.into_iter().map(Command::Journaled));
                if let Some((ticket, answer)) = answer {
                    self.commands.push(Command::Answer { ticket, answer: Ok(answer) });
                }
            }
            Ok(Outcome::Conflict) => {
                // What was decided rested on old news: the changes that contradict it are on their way. Its entries
                // describe what did not happen and go; those that only waited for a transaction are among them too, so all
                // observations are kept.
                self.keep_observations(entries);
                self.store_retry_at = self.clock.now + Duration::from_millis(20);
                self.relist();
                if let Some((ticket, _)) = answer {
                    self.commands.push(refused(ticket, "something changed at the same moment; ask again"));
                }
            }
            Err(StoreFailure::Unknown) => {
                self.doubt(&transaction);
                self.unsure = (!entries.is_empty()).then_some((head, entries));
                self.store_retry_at = retry;
                self.relist();
                if let Some((ticket, _)) = answer {
                    self.commands
                        .push(refused(ticket, "the state store's answer was lost; look at the status and ask again"));
                }
            }
            Err(failure @ (StoreFailure::NotExecuted | StoreFailure::LeaseGone)) => {
                self.keep_observations(entries);
                self.store_retry_at = retry;
                if failure == StoreFailure::LeaseGone {
                    self.session.lost(self.clock.now);
                }
                if let Some((ticket, _)) = answer {
                    self.commands.push(refused(ticket, "the state store could not be reached"));
                }
            }
        }
    }

    pub(crate) fn keep_observations(&mut self, entries: Vec<JournalEntry>) {
        for entry in entries.into_iter().rev() {
            match entry.kind {
                EntryKind::Claim
                | EntryKind::Open
                | EntryKind::Alone
                | EntryKind::Synchronous
                | EntryKind::Run
                | EntryKind::Request => {}
                EntryKind::Node
                | EntryKind::Suspicion
                | EntryKind::Verdict
                | EntryKind::Refrain
                | EntryKind::Step
                | EntryKind::Fence
                | EntryKind::Promote
                | EntryKind::Route
                | EntryKind::Database
                | EntryKind::Compute
                | EntryKind::Divergence
                | EntryKind::Lease => self.backlog.push_front(entry),
            }
        }
    }

    pub(crate) fn relist(&mut self) {
        self.synced = false;
        if !self.relisting {
            self.relisting = true;
            self.commands.push(Command::Relist);
        }
    }

    /// Whether a transaction may be begun now.
    pub(crate) fn may_transact(&mut self) -> bool {
        if self.in_flight.is_some() || !self.synced {
            return false;
        }
        if self.clock.now < self.store_retry_at {
            self.wake_by(self.store_retry_at);
            return false;
        }
        true
    }

    /// Begins a transaction, with all journal entries that wait. The caller has asked [`Self::may_transact`].
    pub(crate) fn transact(&mut self, mut transaction: Transaction, answer: Option<(u64, String)>) {
        let mut entries: Vec<JournalEntry> = self.backlog.drain(..).collect();
        if self.mutation == Some(Mutation::Unjournaled) {
            entries.clear();
        }
        let mut head = self.journal_head;
        for entry in &mut entries {
            if self.mutation == Some(Mutation::Unlinked) {
                head.hash = None;
            }
            let value = chain::append(&mut head, entry);
            transaction.then.push(Write::Put { key: record::journal_key(&self.me, head.number), value, lease: None });
        }
        if !entries.is_empty() {
            let key = record::journal_head_key(&self.me);
            // The chain does not fork: of two transactions that go on from one head, one of which was believed lost, one is committed.
            transaction.when.push(self.unchanged(key.clone()));
            transaction.then.push(put(key, &head, None));
        }
        self.in_flight = Some(InFlight { transaction: transaction.clone(), entries, head, answer });
        self.commands.push(Command::Transact(transaction));
    }

    /// The condition that `key` is as this node knows it.
    pub(crate) fn unchanged(&self, key: String) -> Condition {
        match self.revisions.get(&key) {
            Some(revision) => Condition::Unchanged(key, *revision),
            None => Condition::Absent(key),
        }
    }

    pub(crate) fn publish(&mut self) {
        if !self.may_transact() {
            return;
        }
        let Some(lease) = self.session.lease() else { return };
        let known = self.revisions.contains_key(&record::view_key(&self.me));
        if known && self.backlog.is_empty() && !self.view_changed {
            return;
        }
        let view = View {
            sights: self
                .watched
                .iter()
                .filter(|(target, _)| target.region != self.me || matches!(target.what, What::Compute(_)))
                .filter_map(|(target, watched)| {
                    Some((target.to_string(), watched.sight().filter(|sight| *sight != Sight::Up)?))
                })
                .collect(),
            databases: self.locals.iter().filter_map(|(id, local)| Some((id.clone(), local.state.clone()?))).collect(),
            compute: self.compute.iter().filter_map(|(id, state)| Some((id.clone(), runs(state)?))).collect(),
            compute_states: self
                .compute
                .iter()
                .filter(|(id, _)| self.component(id).kind != Kind::Process)
                .map(|(id, state)| (id.clone(), state.clone()))
                .collect(),
        };
        let due = match &self.published {
            None => true,
            Some((published, at)) => {
                let beat = *at + HEARTBEAT;
                let (has_changed, is_time) = (*published != view, self.clock.now >= beat);
                let due = differs(published, &view) || is_time && has_changed || !self.backlog.is_empty();
                if has_changed && !due {
                    self.wake_by(beat);
                }
                due
            }
        };
        if !due && known {
            return;
        }
        self.view_changed = false;
        let transaction = Transaction { when: vec![], then: vec![put(record::view_key(&self.me), &view, Some(lease))] };
        self.published = Some((view, self.clock.now));
        self.transact(transaction, None);
    }
}

/// Whether the others should know at once: positions alone may wait for the heartbeat.
fn differs(old: &View, new: &View) -> bool {
    let material = |state: &DatabaseState| {
        (
            state.role.clone(),
            state.epoch,
            state.gate.clone(),
            state.timeline,
            state.follows.clone(),
            state.streaming,
            state.trouble.clone(),
        )
    };
    old.sights != new.sights
        || old.compute != new.compute
        || old.databases.len() != new.databases.len()
        || old.databases.iter().zip(&new.databases).any(|((_, old), (_, new))| material(old) != material(new))
}

/// A write of a JSON value.
pub(crate) fn put<T: serde::Serialize>(key: String, value: &T, lease: Option<LeaseId>) -> Write {
    let value = serde_json::to_vec(value).expect("plain data without maps keyed by anything but names");
    Write::Put { key, value, lease }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lifeboat_model::Moment;

    use super::*;
    use crate::event::{Clock, Event};
    use crate::record::database_key;

    const FILE: &str = "
app: shop
regions:
  a: {place: local/a, address: 127.0.10.1}
  b: {place: local/b, address: 127.0.20.1}
  c: {place: local/c, address: 127.0.30.1, role: witness}
components:
  orders: {kind: postgres, pattern: warm-standby, writer: a, standbys: {b: asynchronous}}
";

    fn brain(file: &str, region: &str) -> Brain {
        let app = lifeboat_model::parse(file).unwrap_or_else(|problems| panic!("{problems:#?}"));
        Brain::new(Arc::new(app), region.into())
    }

    fn record_is(value: &str) -> Event {
        let key = database_key(&"orders".into());
        let entry = Entry { key, value: value.into(), revision: Revision(7), lease: None };
        Event::Snapshot { revision: Revision(7), entries: vec![entry] }
    }

    /// Every transaction that the node asks for while an empty server of its own waits, each answered with a conflict.
    fn asked(brain: &mut Brain, snapshot: &Event) -> Vec<Transaction> {
        let absent = Event::Database { component: "orders".into(), state: DatabaseState::absent() };
        let mut asked = Vec::new();
        for second in 1..=20 {
            let clock = Clock { now: Moment(second * 1_000_000_000), unix_ms: 0 };
            for event in [snapshot.clone(), absent.clone(), Event::Transacted(Ok(Outcome::Conflict))] {
                asked.extend(brain.step(clock, event).into_iter().filter_map(|command| match command {
                    Command::Transact(transaction) => Some(transaction),
                    _ => None,
                }));
            }
        }
        asked
    }

    fn writes_record(transaction: &Transaction) -> bool {
        let record = database_key(&"orders".into());
        transaction.then.iter().any(|write| matches!(write, Write::Put { key, .. } if *key == record))
    }

    #[test]
    fn a_record_that_cannot_be_read_is_left_alone_and_said_once() {
        let nothing = Event::Snapshot { revision: Revision(7), entries: Vec::new() };
        assert!(
            asked(&mut brain(FILE, "a"), &nothing).iter().any(writes_record),
            "a database without a record gets one"
        );

        let mut brain = brain(FILE, "a");
        let asked = asked(&mut brain, &record_is(r#"{"epoch": 9, "writer": {"region": "b"}}"#));
        assert_eq!(asked.iter().filter(|transaction| writes_record(transaction)).count(), 0);
        let condition = brain.unchanged(database_key(&"orders".into()));
        assert_eq!(condition, Condition::Absent(database_key(&"orders".into())), "no write can replace it");
        let said: Vec<&JournalEntry> =
            brain.backlog.iter().filter(|entry| entry.what.starts_with("cannot read state/database/orders")).collect();
        assert_eq!(said.len(), 1, "once, however often it is listed: {said:?}");
        assert!(said[0].why.contains("expected a string"), "{}", said[0].why);

        // Somebody has removed it.
        brain.take_change(Change::Delete { key: database_key(&"orders".into()), revision: Revision(8) });
        assert!(!brain.is_unreadable(&database_key(&"orders".into())));
    }

    #[test]
    fn a_writer_that_the_file_does_not_know_is_no_reason_to_end() {
        let web =
            "  web: {kind: process, run: web, port: 80, needs: [orders]}\nroutes:\n  shop.example.com: {to: web}\n";
        let mut brain = brain(&format!("{FILE}{web}"), "b");
        let renamed = r#"{"epoch": 3, "writer": "stockholm", "open": true, "holders": ["stockholm"], "gate": "node", "origin": "created"}"#;
        let commands: Vec<Command> = (1..=20)
            .flat_map(|second| {
                let clock = Clock { now: Moment(second * 1_000_000_000), unix_ms: 0 };
                brain.step(clock, if second == 1 { record_is(renamed) } else { Event::Tick })
            })
            .collect();
        let served = commands.iter().find_map(|command| match command {
            Command::Serve(routes) => routes.get("shop.example.com"),
            _ => None,
        });
        let answer = served.expect("the route is answered");
        assert_eq!((answer.regions.as_slice(), answer.addresses.as_slice()), (&["stockholm".into()][..], &[][..]));
    }
}
