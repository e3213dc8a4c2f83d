//! A handle that tries again while the store cannot be reached, and finds out what became of a lost answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lifeboat_model::state::{Change, Condition, Entry, LeaseId, Outcome, Revision, Transaction, Write};

use crate::{Error, Executed, Result, Store, Watch};

const PAUSE: Duration = Duration::from_millis(20);

/// Tells the suite's transactions apart.
static NEXT_WITNESS: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Debug)]
pub(super) struct Patient {
    pub(super) store: Arc<dyn Store>,
    label: String,
    patience: Duration,
}

/// Repeats what may be repeated until it is answered.
macro_rules! until_answered {
    ($patience:expr, $what:expr) => {{
        let begun = Instant::now();
        loop {
            match $what {
                Err(error @ Error::Unreachable { .. }) => {
                    assert!(begun.elapsed() < $patience, "the store stays unreachable: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
                answer => break answer,
            }
        }
    }};
}

impl Patient {
    pub(super) fn new(store: Arc<dyn Store>, label: &str, patience: Duration) -> Self {
        Self { store, label: label.to_owned(), patience }
    }

    pub(super) async fn get(&self, key: &str) -> Option<Entry> {
        until_answered!(self.patience, self.store.get(key).await).expect("a key can be read")
    }

    pub(super) async fn list(&self, prefix: &str) -> (Revision, Vec<Entry>) {
        self.list_after(prefix, Revision(0)).await
    }

    pub(super) async fn list_after(&self, prefix: &str, after: Revision) -> (Revision, Vec<Entry>) {
        until_answered!(self.patience, self.store.list_after(prefix, after).await).expect("a prefix can be listed")
    }

    /// A lease whose grant was not answered is left to run out.
    pub(super) async fn grant(&self, ttl: Duration) -> LeaseId {
        until_answered!(self.patience, self.store.grant(ttl).await).expect("a lease is granted")
    }

    pub(super) async fn renew(&self, lease: LeaseId) -> Result<()> {
        until_answered!(self.patience, self.store.renew(lease).await)
    }

    pub(super) async fn revoke(&self, lease: LeaseId) {
        until_answered!(self.patience, self.store.revoke(lease).await).expect("a lease can be revoked");
    }

    /// A transaction that may be repeated, because repeating it changes nothing.
    pub(super) async fn transact_idempotent(&self, transaction: &Transaction) -> Result<Outcome> {
        until_answered!(self.patience, self.store.transact(transaction.clone()).await)
    }

    /// A transaction that is executed once at most. It also writes a key of its own, which must be absent: so it cannot
    /// be executed again by being repeated, and if its answer was lost, that key tells.
    pub(super) async fn transact(&self, mut transaction: Transaction) -> Result<Outcome> {
        let number = NEXT_WITNESS.fetch_add(1, Ordering::Relaxed);
        let witness = format!("{}/witness/{}/{number}", self.label, std::process::id());
        transaction.when.push(Condition::Absent(witness.clone()));
        transaction.then.push(Write::Put { key: witness.clone(), value: Vec::new(), lease: None });
        let mut in_doubt = false;
        let answer = until_answered!(self.patience, {
            let answer = self.store.transact(transaction.clone()).await;
            in_doubt |= matches!(answer, Err(Error::Unreachable { executed: Executed::Unknown, .. }));
            answer
        });
        match answer {
            Ok(Outcome::Conflict) if in_doubt => Ok(match self.get(&witness).await {
                Some(entry) => Outcome::Committed(entry.revision),
                None => Outcome::Conflict,
            }),
            answer => answer,
        }
    }

    /// A transaction that must be committed.
    pub(super) async fn commit(&self, transaction: Transaction) -> Revision {
        match self.transact(transaction.clone()).await {
            Ok(Outcome::Committed(revision)) => revision,
            other => panic!("{transaction:?} should be committed, but: {other:?}"),
        }
    }

    pub(super) async fn watch(&self, prefix: &str, after: Revision) -> PatientWatch {
        let watch = until_answered!(self.patience, self.store.watch(prefix, after).await).expect("a watch begins");
        PatientWatch { watch, patience: self.patience, _store: Arc::clone(&self.store) }
    }
}

#[derive(Debug)]
pub(super) struct PatientWatch {
    pub(super) watch: Box<dyn Watch>,
    patience: Duration,
    _store: Arc<dyn Store>,
}

impl PatientWatch {
    pub(super) async fn next(&mut self) -> Vec<Change> {
        let patience = self.patience;
        let next = async { until_answered!(patience, self.watch.next().await) };
        let changes = tokio::time::timeout(patience, next).await.expect("a change is seen in time");
        let changes = changes.expect("the history is kept");
        assert!(!changes.is_empty(), "an answer to a watcher holds something");
        changes
    }
}

/// The revision of a change.
pub(super) fn revision_of(change: &Change) -> Revision {
    match change {
        Change::Put(entry) => entry.revision,
        Change::Delete { revision, .. } => *revision,
    }
}

/// The key of a change.
pub(super) fn key_of(change: &Change) -> &str {
    match change {
        Change::Put(entry) => &entry.key,
        Change::Delete { key, .. } => key,
    }
}
