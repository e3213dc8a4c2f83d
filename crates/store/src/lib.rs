//! The state store: the shared memory of the nodes, as a trait, and the embedded store in one SQLite file.
//!
//! [`Store`] is the smallest common ground of SQLite and etcd; start there. [`Embedded`] is the store of one machine.
//! [`journal`] writes the journal on top of any store. With the feature `conformance` the suite that every
//! implementation must pass is part of the crate. What the records mean is not known here: keys and values are opaque,
//! except that the journal's keys are known, because its length is bounded here.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use lifeboat_model::state::{Change, Entry, LeaseId, Outcome, Revision, Transaction};

#[cfg(feature = "conformance")]
pub mod conformance;
mod embedded;
pub mod journal;
pub mod limits;

pub use embedded::{Embedded, Options};

/// What a state store can do. Every call is atomic, and sees whatever was committed before it began, by whichever node.
///
/// A call whose future is dropped may have been executed, or may still be.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// The key's present value.
    async fn get(&self, key: &str) -> Result<Option<Entry>>;

    /// The entries whose keys begin with `prefix` and that were written after `after`, in key order: a consistent
    /// snapshot, and the revision at which it was taken, from which a watch goes on without a gap.
    async fn list_after(&self, prefix: &str, after: Revision) -> Result<(Revision, Vec<Entry>)>;

    /// All entries whose keys begin with `prefix`; see [`list_after`](Self::list_after).
    async fn list(&self, prefix: &str) -> Result<(Revision, Vec<Entry>)> {
        self.list_after(prefix, Revision(0)).await
    }

    /// Makes all writes as one revision if all conditions hold. Where nothing is changed (no writes, or only deletions of
    /// what is not there), the outcome is `Committed` with the present revision. See [`limits`] for what is too much.
    ///
    /// # Errors
    /// [`Error::LeaseGone`] if the conditions hold and a put names a lease that has run out: nothing is changed.
    async fn transact(&self, transaction: Transaction) -> Result<Outcome>;

    /// Grants a lease that runs out `ttl` after it was last renewed, or somewhat later: a store may round up (etcd: to
    /// whole seconds, and to a minimum given by its election timeout). It never runs out earlier.
    async fn grant(&self, ttl: Duration) -> Result<LeaseId>;

    /// Starts the lease's time anew.
    ///
    /// # Errors
    /// [`Error::LeaseGone`] if it has run out or was revoked; it will not come back.
    async fn renew(&self, lease: LeaseId) -> Result<()>;

    /// Ends the lease and deletes the keys that are attached to it. A lease that is gone already is no error.
    async fn revoke(&self, lease: LeaseId) -> Result<()>;

    /// Watches the keys that begin with `prefix`, from the first revision after `after`. The watch ends with
    /// this handle: after that it is [`Error::Unreachable`].
    async fn watch(&self, prefix: &str, after: Revision) -> Result<Box<dyn Watch>>;
}

/// Changes in the order in which they happened.
#[async_trait]
pub trait Watch: fmt::Debug + Send {
    /// Waits for changes and returns those of one or more whole revisions, in order, without gaps and duplicates.
    /// Dropping the future loses nothing: the next call returns what this one would have.
    ///
    /// # Errors
    /// [`Error::Compacted`] when the history up to the present has gone, or when the store has not come as far as the
    /// revision that was asked for, so that its past is another one. After [`Error::Unreachable`] the call can be
    /// repeated.
    async fn next(&mut self) -> Result<Vec<Change>>;
}

/// Why the store did not answer, or not with success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The store could not be reached in time.
    #[error("the state store cannot be reached ({executed}): {why}")]
    Unreachable {
        /// Whether the request may have been executed all the same.
        executed: Executed,
        /// What was tried, and what happened.
        why: String,
    },
    /// The lease has run out or was revoked. Nothing was changed.
    #[error("the lease has run out")]
    LeaseGone,
    /// The history from that revision on is not kept any more: list again, and watch from there.
    #[error("the changes since that revision are not kept any more")]
    Compacted,
    /// What is there cannot be understood. It was left as it is.
    #[error("{}: {why}", path.display())]
    Corrupt {
        /// The file, or for a store in the network the key.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The request breaks one of the [`limits`]; no store would accept it.
    #[error("not a request for a state store: {0}")]
    Invalid(String),
}

/// Whether a request that got no answer was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executed {
    /// Certainly not, and it never will be.
    No,
    /// The answer was lost: it may have been executed, or may still be.
    Unknown,
}

impl fmt::Display for Executed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::No => "not executed",
            Self::Unknown => "perhaps executed",
        })
    }
}

/// A result of a store.
pub type Result<T, E = Error> = std::result::Result<T, E>;
