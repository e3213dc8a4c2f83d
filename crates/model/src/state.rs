//! What a state store keeps and how it is changed: the plain data between `control` and the store.
//!
//! The smallest common ground of etcd and SQLite: keys with values, changed by compare-and-swap transactions;
//! keys that vanish with a lease; changes seen in order.

use serde::{Deserialize, Serialize};

/// A count of changes to the whole store; every committed transaction makes the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

/// A lease that the store has granted. Keys attached to it vanish when it runs out or is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseId(pub i64);

/// A key's present value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key; parts are separated by `/`.
    pub key: String,
    /// The value: JSON in everything that Lifeboat writes.
    pub value: Vec<u8>,
    /// The revision that wrote this value.
    pub revision: Revision,
    /// The lease that the key is attached to.
    pub lease: Option<LeaseId>,
}

/// What must hold for a transaction to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The key's value was written by exactly this revision.
    Unchanged(String, Revision),
    /// There is no such key.
    Absent(String),
    /// The key exists.
    Present(String),
}

/// One change of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Set a key; with a lease, it vanishes with that lease.
    Put {
        /// The key.
        key: String,
        /// The new value.
        value: Vec<u8>,
        /// The lease to attach it to, which must be alive.
        lease: Option<LeaseId>,
    },
    /// Remove a key; nothing happens where there is none.
    Delete {
        /// The key.
        key: String,
    },
}

/// All or nothing: every write, if every condition holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// The conditions, all of which must hold.
    pub when: Vec<Condition>,
    /// The changes, at most one per key.
    pub then: Vec<Write>,
}

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Committed as this revision.
    Committed(Revision),
    /// A condition did not hold; nothing was changed.
    Conflict,
}

/// A change as a watcher sees it, in the order of revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A key was set.
    Put(Entry),
    /// A key was removed, or its lease ran out.
    Delete {
        /// The key.
        key: String,
        /// The revision that removed it.
        revision: Revision,
    },
}
