//! Supervises a PostgreSQL server: create, seed, start, promote, fence, follow.
//!
//! [`Postgres`] looks after the server of one database in one region. It knows PostgreSQL and nothing of why it is told
//! something: it does what an [`Order`] says unless it has acted under a newer epoch (promise S5), and reports a
//! [`DatabaseState`]. The server outlives it; a new [`Postgres`] takes over the one that runs.
//!
//! Every commit is confirmed by somebody who can be told to stop: `synchronous_standby_names` is never empty. It names peer regions,
//! or the commit gate of this process, which confirms while [`Postgres::confirm`] allows it.
//!
//! PostgreSQL counts as a standby whatever may replicate and has the right application name. Each region has a role of its own,
//! named as its application name; a connection whose role and name differ is ended as soon as it is seen, within
//! [`Config::observe_every`]. Until then it may confirm: who has a replication password is trusted not to lie for that long.
//! The application's role waits for its commits by default (`synchronous_commit`), but PostgreSQL lets each session ask for less, and
//! reports a commit whose wait was cancelled as done, with a warning (01000): a client must not count either as acknowledged.

mod control;
mod divergence;
mod error;
mod follow;
mod gate;
mod history;
mod layout;
mod lifecycle;
mod observe;
mod processes;
mod programs;
mod roles;
mod secrets;
mod seed;
mod settings;
mod sql;
mod supervisor;
mod thread;
mod wire;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_model::database::{DatabaseState, Note, Order, Refusal};
use lifeboat_model::{ComponentId, Epoch, Moment, RegionId};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use error::Error;
pub use secrets::Secrets;
use supervisor::Supervisor;
use thread::OwnThread;

/// Which server to supervise, and where.
#[derive(Clone, Debug)]
pub struct Config {
    /// The region of the server.
    pub region: RegionId,
    /// The database component; also the name of the database in the server.
    pub database: ComponentId,
    /// A directory that is ours alone: the data, the settings, the socket, the logs, and divergent writes.
    pub directory: PathBuf,
    /// Where the server listens.
    pub address: IpAddr,
    /// The port it listens on.
    pub port: u16,
    /// The other regions' servers of this database.
    pub peers: BTreeMap<RegionId, SocketAddr>,
    /// The passwords of the roles, the same in all regions.
    pub secrets: Secrets,
    /// Where PostgreSQL's programs are. Default: the newest under `/usr/lib/postgresql`, else on the path.
    pub bin: Option<PathBuf>,
    /// How often to look at the server when nothing happens. 100 ms is a good value.
    pub observe_every: Duration,
    /// Settings for `postgresql.conf`, as `shared_buffers` (32MB). Those on which safety rests cannot be changed.
    /// All regions of a database should have the same.
    pub overrides: BTreeMap<String, String>,
}

/// The supervisor of one database's server in one region. Dropping it is the same as [`close`](Self::close), without waiting.
#[derive(Debug)]
pub struct Postgres {
    supervisor: Arc<Supervisor>,
    observing: JoinHandle<()>,
    confirming: OwnThread,
}

impl Postgres {
    /// Takes charge of `config.directory`, and of the server that runs there, if one does; starts none. The first state has been
    /// observed when this returns.
    ///
    /// # Errors
    /// Where another live process has charge of the directory, PostgreSQL is not installed, or the directory cannot be used.
    pub async fn open(config: Config) -> Result<Self, Error> {
        let supervisor = Arc::new(Supervisor::open(config).await?);
        if let Err(error) = supervisor.adopt().await {
            // It may be starting; its settings are read again with the next action that needs it.
            tracing::debug!(%error, "the server that was found does not answer");
        }
        supervisor.refresh(true).await;
        let (observer, gate) = (supervisor.clone(), supervisor.clone());
        let observing = tokio::spawn(async move { observe::run(&observer).await });
        let confirming = OwnThread::run("commit gate", async move { gate.run_gate().await })
            .map_err(|error| Error::Here(format!("the commit gate gets no thread of its own: {error}")))?;
        Ok(Self { supervisor, observing, confirming })
    }

    /// What the server is, kept up to date: every [`Config::observe_every`], after each action before it returns, and at once when
    /// the server's process dies or its connection breaks.
    pub fn states(&self) -> watch::Receiver<DatabaseState> {
        self.supervisor.states.subscribe()
    }

    /// Does what is ordered; one order at a time, each idempotent.
    ///
    /// # Errors
    /// [`Refusal::OldEpoch`] where something was done here under a newer epoch; [`Refusal::Failed`] where it was tried in vain.
    pub async fn act(&self, order: Order) -> Result<Note, Refusal> {
        self.supervisor.act(order).await
    }

    /// Lets the commit gate confirm while the boot clock is before `until`, and only under `epoch`; `None` stops it. When this
    /// returns, no confirmation will be sent that it does not allow. An older epoch than has acted here changes nothing.
    pub fn confirm(&self, epoch: Epoch, until: Option<Moment>) {
        self.supervisor.gate.confirm(epoch, until);
    }

    /// Where the application connects: `postgresql://ROLE:PASSWORD@ADDRESS:PORT/DATABASE`. A secret.
    pub fn application_url(&self) -> String {
        self.supervisor.application_url()
    }

    /// Stops observing and confirming, and gives the directory free. The server goes on running.
    pub async fn close(mut self) {
        self.observing.abort();
        self.confirming.end().await;
        // It ends by the abort, which is no news.
        let _ = (&mut self.observing).await;
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.observing.abort();
    }
}
