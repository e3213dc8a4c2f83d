//! The state store in etcd: a quorum across regions, with three or five members in as many of them.
//!
//! [`Etcd`] is a [`Store`]; revisions and leases are etcd's own. Every call goes to the own region's member first and to
//! the others when that does not answer, but a transaction whose answer was lost is never sent again: its caller is told
//! that it may have been executed. Reads are linearizable. [`Etcd::maintain`] bounds the history and the journal.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{Compare, CompareOp, GetOptions, PutOptions, Txn, TxnOp};
use lifeboat_model::state::{Condition, Entry, LeaseId, Outcome, Revision, Transaction, Write};
use lifeboat_store::limits::{check_key, check_transaction};
use lifeboat_store::{Error, Result, Store, Watch};

use self::members::{Members, Repeat};

mod convert;
mod maintain;
mod members;
mod watch;

pub use maintain::{Bounds, Maintained};

/// Where the cluster is, and who we are to it.
#[derive(Clone, Debug)]
pub struct Config {
    /// The members' client URLs, that of the own region first: `https://10.1.0.5:2379`.
    pub endpoints: Vec<String>,
    /// The file with the certificates (PEM) that sign the members' certificates. Without it none is trusted.
    pub ca: Option<PathBuf>,
    /// The file with our own certificate (PEM), together with `key`.
    pub cert: Option<PathBuf>,
    /// The file with our certificate's key (PEM), together with `cert`.
    pub key: Option<PathBuf>,
    /// The user to log in as, together with `password_file`.
    pub user: Option<String>,
    /// The file with the user's password; a line break at its end does not count. Read at every login.
    pub password_file: Option<PathBuf>,
    /// What the app's keys begin with, so that several apps can share a cluster: `lifeboat/shop/`. May be empty.
    pub space: String,
    /// How long an operation takes at most, over all members. A member that keeps silent for half of it is passed over.
    pub timeout: Duration,
}

/// A store in an etcd cluster. Connections are made when they are needed.
#[derive(Clone, Debug)]
pub struct Etcd {
    members: Members,
    space: Arc<str>,
}

impl Etcd {
    /// Checks the configuration. Nothing is connected yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no endpoint, one is not a URL, or half of a pair of settings is missing;
    /// [`Error::Corrupt`] if a file cannot be read.
    pub fn new(config: Config) -> Result<Self> {
        let space = config.space.as_str().into();
        Ok(Self { members: Members::new(config)?, space })
    }

    /// A key or a prefix as the cluster has it.
    fn there(&self, key: &str) -> String {
        format!("{}{key}", self.space)
    }
}

#[async_trait]
impl Store for Etcd {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        check_key(key)?;
        let key = &*self.there(key);
        let get = |mut client: etcd_client::KvClient| async move { client.get(key, None).await };
        let found = self.members.call(Repeat::Freely, |client| get(client.kv())).await?;
        found.kvs().first().map(|found| convert::entry(&self.space, found)).transpose()
    }

    async fn list_after(&self, prefix: &str, after: Revision) -> Result<(Revision, Vec<Entry>)> {
        // Counted from the next revision, because etcd's bound is inclusive and 0 means none.
        let prefix = &*self.there(prefix);
        let mut options = GetOptions::new().with_min_mod_revision(convert::signed(after.0.saturating_add(1)));
        options = if prefix.is_empty() { options.with_all_keys() } else { options.with_prefix() };
        let list = |mut client: etcd_client::KvClient, options| async move { client.get(prefix, Some(options)).await };
        let found = self.members.call(Repeat::Freely, |client| list(client.kv(), options.clone())).await?;
        let revision = convert::revision(found.header())?;
        Ok((revision, found.kvs().iter().map(|found| convert::entry(&self.space, found)).collect::<Result<_>>()?))
    }

    async fn transact(&self, transaction: Transaction) -> Result<Outcome> {
        check_transaction(&transaction)?;
        let txn = Txn::new()
            .when(transaction.when.iter().flat_map(|condition| self.compares(condition)).collect::<Vec<_>>())
            .and_then(transaction.then.into_iter().map(|write| self.operation(write)).collect::<Vec<_>>());
        let transact = |mut client: etcd_client::KvClient, txn| async move { client.txn(txn).await };
        let done = self.members.call(Repeat::Never, |client| transact(client.kv(), txn.clone())).await?;
        Ok(if done.succeeded() { Outcome::Committed(convert::revision(done.header())?) } else { Outcome::Conflict })
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId> {
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        // The most that etcd accepts: `MaxLeaseTTL` of its lessor.
        let seconds = convert::signed(seconds).clamp(1, 9_000_000_000);
        let grant = |mut client: etcd_client::LeaseClient| async move { client.grant(seconds, None).await };
        // A grant whose answer was lost runs out by itself.
        Ok(LeaseId(self.members.call(Repeat::Harmlessly, |client| grant(client.lease())).await?.id()))
    }

    async fn renew(&self, lease: LeaseId) -> Result<()> {
        let renew = |mut client: etcd_client::LeaseClient| async move {
            match client.keep_alive(lease.0).await {
                Ok(_) => Ok(true),
                Err(etcd_client::Error::LeaseKeepAliveError(why)) if why == "lease not found" => Ok(false),
                Err(error) => Err(error),
            }
        };
        let alive = self.members.call(Repeat::Harmlessly, |client| renew(client.lease())).await?;
        if alive { Ok(()) } else { Err(Error::LeaseGone) }
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        let revoke = |mut client: etcd_client::LeaseClient| async move { client.revoke(lease.0).await };
        match self.members.call(Repeat::Harmlessly, |client| revoke(client.lease())).await {
            Ok(_) | Err(Error::LeaseGone) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Box<dyn Watch>> {
        Ok(Box::new(watch::EtcdWatch::new(self.members.clone(), self.space.clone(), prefix, after)))
    }
}

impl Etcd {
    /// What etcd must compare for a condition.
    fn compares(&self, condition: &Condition) -> Vec<Compare> {
        let exists = |key: &str| Compare::version(self.there(key), CompareOp::Greater, 0);
        match condition {
            // The key must exist, for to etcd a missing key was changed by revision 0.
            Condition::Unchanged(key, revision) => {
                let mut compares =
                    vec![Compare::mod_revision(self.there(key), CompareOp::Equal, convert::signed(revision.0))];
                if *revision == Revision(0) {
                    compares.push(exists(key));
                }
                compares
            }
            Condition::Absent(key) => vec![Compare::version(self.there(key), CompareOp::Equal, 0)],
            Condition::Present(key) => vec![exists(key)],
        }
    }

    fn operation(&self, write: Write) -> TxnOp {
        match write {
            Write::Put { key, value, lease } => {
                TxnOp::put(self.there(&key), value, lease.map(|lease| PutOptions::new().with_lease(lease.0)))
            }
            Write::Delete { key } => TxnOp::delete(self.there(&key), None),
        }
    }
}
