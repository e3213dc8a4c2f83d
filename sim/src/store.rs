//! A model of the state store: atomic transactions, leases by the store's own clock, changes in order.

use std::collections::BTreeMap;

use lifeboat_model::Moment;
use lifeboat_model::state::{Change, Condition, Entry, LeaseId, Outcome, Revision, Transaction, Write};
use std::time::Duration;

/// The store's whole content.
#[derive(Debug, Default)]
pub struct Store {
    revision: u64,
    entries: BTreeMap<String, Entry>,
    leases: BTreeMap<LeaseId, (Moment, Duration)>,
    next_lease: i64,
    /// Everything that ever changed, for watchers.
    pub log: Vec<Change>,
}

/// A transaction named a lease that has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseGone;

impl Store {
    /// Lets leases run out that are due.
    pub fn expire(&mut self, now: Moment) {
        let gone: Vec<LeaseId> =
            self.leases.iter().filter(|(_, (until, _))| *until <= now).map(|(id, _)| *id).collect();
        for lease in gone {
            self.leases.remove(&lease);
            self.drop_keys(|entry| entry.lease == Some(lease));
        }
    }

    fn drop_keys(&mut self, which: impl Fn(&Entry) -> bool) {
        let keys: Vec<String> =
            self.entries.values().filter(|entry| which(entry)).map(|entry| entry.key.clone()).collect();
        if keys.is_empty() {
            return;
        }
        self.revision += 1;
        for key in keys {
            self.entries.remove(&key);
            self.log.push(Change::Delete { key, revision: Revision(self.revision) });
        }
    }

    /// Grants a lease.
    pub fn grant(&mut self, now: Moment, length: Duration) -> LeaseId {
        self.next_lease += 1;
        let id = LeaseId(self.next_lease);
        self.leases.insert(id, (now + length, length));
        id
    }

    /// Renews a lease that has not run out.
    pub fn renew(&mut self, now: Moment, id: LeaseId) -> Result<(), LeaseGone> {
        self.expire(now);
        let (until, length) = self.leases.get_mut(&id).ok_or(LeaseGone)?;
        *until = now + *length;
        Ok(())
    }

    /// All or nothing.
    pub fn transact(&mut self, now: Moment, transaction: &Transaction) -> Result<Outcome, LeaseGone> {
        self.expire(now);
        let holds = |condition: &Condition| match condition {
            Condition::Unchanged(key, revision) => {
                self.entries.get(key).is_some_and(|entry| entry.revision == *revision)
            }
            Condition::Absent(key) => !self.entries.contains_key(key),
            Condition::Present(key) => self.entries.contains_key(key),
        };
        if !transaction.when.iter().all(holds) {
            return Ok(Outcome::Conflict);
        }
        for write in &transaction.then {
            if let Write::Put { lease: Some(lease), .. } = write
                && !self.leases.contains_key(lease)
            {
                return Err(LeaseGone);
            }
        }
        self.revision += 1;
        let revision = Revision(self.revision);
        for write in &transaction.then {
            match write {
                Write::Put { key, value, lease } => {
                    let entry = Entry { key: key.clone(), value: value.clone(), revision, lease: *lease };
                    self.entries.insert(key.clone(), entry.clone());
                    self.log.push(Change::Put(entry));
                }
                Write::Delete { key } => {
                    if self.entries.remove(key).is_some() {
                        self.log.push(Change::Delete { key: key.clone(), revision });
                    }
                }
            }
        }
        Ok(Outcome::Committed(revision))
    }

    /// A key's present value.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// A consistent list of a prefix.
    pub fn list(&self, prefix: &str) -> (Revision, Vec<Entry>) {
        let entries = self
            .entries
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(_, e)| e.clone());
        (Revision(self.revision), entries.collect())
    }
}
