//! What the state store keeps for one app: atomic transactions, leases, and changes in order. How it is reached is [`crate::cluster`]'s matter.

use std::collections::BTreeMap;
use std::time::Duration;

use lifeboat_control::record::STATE;
use lifeboat_model::Moment;
use lifeboat_model::state::{Change, Condition, Entry, LeaseId, Outcome, Revision, Transaction, Write};

/// How a store counts leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leases {
    /// To the nanosecond, at every call: the embedded store.
    Exact,
    /// In whole seconds and no fewer than two; they end when the leader says so, late but never early: etcd.
    Seconds,
}

/// The shortest lease that etcd grants, one and a half times its election timeout, rounded up.
const SHORTEST: Duration = Duration::from_secs(2);

/// One app's keys.
#[derive(Debug)]
pub struct Store {
    counts: Leases,
    revision: u64,
    entries: BTreeMap<String, Entry>,
    leases: BTreeMap<LeaseId, (Moment, Duration)>,
    next_lease: i64,
    log: Vec<Change>,
    /// How many changes have been dropped from the front of the log.
    dropped: usize,
    /// The end of the first lease is on the world's calendar.
    pub(crate) is_watched: bool,
}

impl Default for Store {
    /// The embedded store.
    fn default() -> Self {
        Self::new(Leases::Exact)
    }
}

/// A transaction or a renewal named a lease that has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseGone;

impl Store {
    /// An empty one.
    pub fn new(counts: Leases) -> Self {
        Self {
            counts,
            revision: 0,
            entries: BTreeMap::new(),
            leases: BTreeMap::new(),
            next_lease: 0,
            log: Vec::new(),
            dropped: 0,
            is_watched: false,
        }
    }

    /// Lets leases run out that are due. Whether there were any.
    pub fn expire(&mut self, now: Moment) -> bool {
        if self.leases.values().all(|(until, _)| *until > now) {
            return false;
        }
        let gone: Vec<LeaseId> =
            self.leases.iter().filter(|(_, (until, _))| *until <= now).map(|(id, _)| *id).collect();
        for lease in gone {
            self.leases.remove(&lease);
            self.drop_keys(|entry| entry.lease == Some(lease));
        }
        true
    }

    fn expire_at_call(&mut self, now: Moment) {
        if self.counts == Leases::Exact {
            self.expire(now);
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

    /// When the first lease runs out.
    pub fn first_to_run_out(&self) -> Option<Moment> {
        self.leases.values().map(|(until, _)| *until).min()
    }

    /// A new leader counts every lease from the beginning, and a while longer.
    pub fn extend(&mut self, now: Moment, extra: Duration) {
        for (until, length) in self.leases.values_mut() {
            *until = now + *length + extra;
        }
    }

    /// Grants a lease.
    pub fn grant(&mut self, now: Moment, length: Duration) -> LeaseId {
        let length = match self.counts {
            Leases::Exact => length,
            Leases::Seconds => {
                Duration::from_secs(length.as_secs() + u64::from(length.subsec_nanos() > 0)).max(SHORTEST)
            }
        };
        self.next_lease += 1;
        let id = LeaseId(self.next_lease);
        self.leases.insert(id, (now + length, length));
        id
    }

    /// Renews a lease that has not run out.
    ///
    /// # Errors
    /// It has.
    pub fn renew(&mut self, now: Moment, id: LeaseId) -> Result<(), LeaseGone> {
        self.expire_at_call(now);
        let (until, length) = self.leases.get_mut(&id).ok_or(LeaseGone)?;
        if *until <= now {
            return Err(LeaseGone);
        }
        *until = now + *length;
        Ok(())
    }

    /// Whether a lease is known still.
    pub fn knows(&self, id: LeaseId) -> bool {
        self.leases.contains_key(&id)
    }

    /// All or nothing.
    ///
    /// # Errors
    /// A lease that is named has run out.
    pub fn transact(&mut self, now: Moment, transaction: &Transaction) -> Result<Outcome, LeaseGone> {
        self.expire_at_call(now);
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
                    if key.starts_with(STATE) {
                        self.log.push(Change::Put(entry.clone()));
                    }
                    self.entries.insert(key.clone(), entry);
                }
                Write::Delete { key } => {
                    if self.entries.remove(key).is_some() && key.starts_with(STATE) {
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

    /// How many changes there have been below [`STATE`], which is what is watched.
    pub fn changes(&self) -> usize {
        self.dropped + self.log.len()
    }

    /// The changes after the first `read`.
    pub fn changes_after(&self, read: usize) -> &[Change] {
        &self.log[read.saturating_sub(self.dropped).min(self.log.len())..]
    }

    /// Drops changes that everybody has read, once there are many.
    pub fn forget_before(&mut self, read: usize) {
        let read = read.saturating_sub(self.dropped).min(self.log.len());
        if read >= 512 {
            self.log.drain(..read);
            self.dropped += read;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcd_counts_whole_seconds_and_a_new_leader_counts_anew() {
        let at = |millis: u64| Moment(millis * 1_000_000);
        let mut etcd = Store::new(Leases::Seconds);
        let short = etcd.grant(at(0), Duration::from_millis(300));
        let long = etcd.grant(at(0), Duration::from_millis(2_500));
        assert_eq!(etcd.first_to_run_out(), Some(at(2_000)), "never shorter than two seconds");
        assert_eq!(etcd.renew(at(2_000), short), Err(LeaseGone), "run out, though nobody has said so yet");
        assert!(etcd.knows(short) && etcd.renew(at(2_900), long).is_ok(), "rounded up");
        etcd.extend(at(3_000), Duration::from_secs(1));
        assert_eq!(etcd.first_to_run_out(), Some(at(6_000)));
        let mut exact = Store::new(Leases::Exact);
        exact.grant(at(0), Duration::from_millis(300));
        assert!(!exact.expire(at(299)) && exact.expire(at(300)));
    }
}
