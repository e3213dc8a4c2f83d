//! The state store as the brain knows it: what was read of it, what is written to it, and when.

use std::time::Duration;

use lifeboat_model::RegionId;
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
            }
        }
    }

    pub(crate) fn take_entry(&mut self, entry: Entry) {
        fn read<T: serde::de::DeserializeOwned>(entry: &Entry) -> Option<T> {
            serde_json::from_slice(&entry.value).ok()
        }
        self.revisions.insert(entry.key.clone(), entry.revision);
        self.settle_doubts(&entry.key, entry.revision);
        let Some((kind, name)) = entry.key.strip_prefix(record::STATE).and_then(|rest| rest.split_once('/')) else {
            return;
        };
        match kind {
            "database" => {
                if let Some(record) = read(&entry) {
                    self.records.insert(name.into(), record);
                }
            }
            "lease" => {
                if let Some(region) = read::<RegionId>(&entry) {
                    self.leases.insert(name.into(), (region, entry.lease));
                }
            }
            "view" => {
                if let Some(view) = read(&entry) {
                    self.views.insert(name.into(), view);
                }
            }
            "run" => {
                if let Some(run) = read(&entry) {
                    self.runs.insert(name.into(), run);
                }
            }
            "request" => {
                if let Some(request) = read(&entry) {
                    self.requests.insert(name.into(), request);
                }
            }
            "journal-head" if name == self.me.as_str() => {
                // A store that was restored from a copy lacks entries: their numbers are not given again.
                if let Some(head) = read::<JournalHead>(&entry).filter(|head| head.number >= self.journal_head.number) {
                    self.journal_head = head;
                }
            }
            _ => {}
        }
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
