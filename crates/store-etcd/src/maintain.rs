//! Keeps the history and the journal bounded. Every node calls it now and then; one of them does it.

use std::time::Duration;

use etcd_client::{GetOptions, SortOrder, SortTarget};
use lifeboat_model::state::{Condition, Outcome, Revision, Transaction, Write};
use lifeboat_store::{Error, Result, Store, journal, limits};

use crate::members::Repeat;
use crate::{Etcd, convert};

/// Exists while a maintenance need not be repeated, under a lease.
const ELECTED: &str = "store/maintainer";
/// Holds the revision that was the newest when the last maintenance was done.
const NEWEST: &str = "store/maintained";

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How often maintenance is done. The history of one period at least is kept, that of two at most, unless
    /// `history_revisions` are more.
    pub period: Duration,
    /// How many revisions of history are kept at least.
    pub history_revisions: u64,
    /// How many entries of the journal are kept, the newest.
    pub journal_entries: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { period: Duration::from_secs(300), history_revisions: 10_000, journal_entries: journal::ENTRIES_KEPT }
    }
}

/// What a call of [`Etcd::maintain`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maintained {
    /// Nothing: within this period another call was faster.
    Elsewhere,
    /// It was this call's turn.
    Done {
        /// Up to this revision the history is not kept any more.
        compacted: Revision,
        /// How many entries of the journal were removed.
        trimmed: u64,
    },
}

impl Etcd {
    /// Compacts the history and trims the journal, if no call of any node has done so within the period. To be called by
    /// every node once per period or more often. Keys that begin with `store/` are its own.
    ///
    /// # Errors
    /// [`Error::Unreachable`]: the next call goes on.
    pub async fn maintain(&self, bounds: Bounds) -> Result<Maintained> {
        let lease = self.grant(bounds.period).await?;
        let elected = Transaction {
            when: vec![Condition::Absent(ELECTED.into())],
            then: vec![Write::Put { key: ELECTED.into(), value: Vec::new(), lease: Some(lease) }],
        };
        let Outcome::Committed(newest) = self.transact(elected).await? else {
            self.revoke(lease).await?;
            return Ok(Maintained::Elsewhere);
        };
        let trimmed = self.trim_journal(bounds.journal_entries).await?;
        let compacted = self.compact(newest, bounds.history_revisions).await?;
        Ok(Maintained::Done { compacted, trimmed })
    }

    /// Compacts up to what was the newest revision a period ago.
    async fn compact(&self, newest: Revision, kept: u64) -> Result<Revision> {
        let before = self.get(NEWEST).await?;
        let noted = before.and_then(|entry| str::from_utf8(&entry.value).ok()?.parse().ok()).unwrap_or(0);
        let value = newest.0.to_string().into_bytes();
        let then = vec![Write::Put { key: NEWEST.into(), value, lease: None }];
        self.transact(Transaction { when: vec![], then }).await?;
        let upto = Revision(newest.0.saturating_sub(kept).min(noted));
        if upto > Revision(0) {
            let compact =
                |mut client: etcd_client::KvClient| async move { client.compact(convert::signed(upto.0), None).await };
            match self.members.call(Repeat::Harmlessly, |client| compact(client.kv())).await {
                Ok(_) | Err(Error::Compacted) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(upto)
    }

    async fn trim_journal(&self, kept: u64) -> Result<u64> {
        let options = GetOptions::new().with_prefix();
        let prefix = &*self.there(journal::PREFIX);
        let list = |mut client: etcd_client::KvClient, options| async move { client.get(prefix, Some(options)).await };
        let counting = options.clone().with_count_only();
        let counted = self.members.call(Repeat::Freely, |client| list(client.kv(), counting.clone())).await?;
        let excess = counted.count().unsigned_abs().saturating_sub(kept);
        if excess == 0 {
            return Ok(0);
        }
        let oldest =
            options.with_keys_only().with_sort(SortTarget::Mod, SortOrder::Ascend).with_limit(convert::signed(excess));
        let oldest = self.members.call(Repeat::Freely, |client| list(client.kv(), oldest.clone())).await?;
        for keys in oldest.kvs().chunks(limits::TRANSACTION_PARTS) {
            let then = keys
                .iter()
                .map(|found| Ok(Write::Delete { key: convert::key(&self.space, found)? }))
                .collect::<Result<_>>()?;
            self.transact(Transaction { when: vec![], then }).await?;
        }
        Ok(excess)
    }
}
