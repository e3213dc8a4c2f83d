//! What is done with a server that is here: create, start, stop, promote, change its gate, detach.

use std::time::Duration;

use lifeboat_model::database::{Gate, Note};
use rustix::process::{Signal, kill_process};
use tokio_postgres::Client;

use crate::error::Error;
use crate::gate::Wanted;
use crate::layout::{remove, remove_directory, rename};
use crate::processes::{clear_stale_lock, kill_all, postmaster, survivors};
use crate::programs::tail;
use crate::settings::{GATE_NAME, SUPERUSER, region_of, standby_names};
use crate::sql::STARTING;
use crate::supervisor::{Supervisor, until};

/// A start that takes longer is reported as failed; the server goes on, and the next try finds it further on.
const START_BOUND: Duration = Duration::from_secs(60);
/// An orderly stop writes everything down and lets the standbys receive it.
const STOP_BOUND: Duration = Duration::from_secs(60);
const PROMOTE_BOUND: Duration = Duration::from_secs(60);
const RELOAD_BOUND: Duration = Duration::from_secs(5);
/// How often a condition is looked at that is usually met within milliseconds.
const SOON: Duration = Duration::from_millis(2);

impl Supervisor {
    pub async fn create(&self, gate: Gate) -> Result<Note, Error> {
        self.check_gate(&gate)?;
        let data = self.layout.data();
        if data.exists() {
            if self.layout.standby_signal().exists() {
                return Err(Error::Here(format!("{} already holds the data of a standby", data.display())));
            }
            self.start().await?;
            self.ensure_roles().await?;
            return self.set_gate(gate).await.map(|()| None);
        }
        let making = self.layout.new_data();
        remove_directory(&making)?;
        let password = self.layout.conf().join("superuser");
        self.layout.write(&password, &self.config.secrets.superuser)?;
        let made = self
            .programs
            .run(
                &self.layout,
                "initdb",
                &[
                    // One collation everywhere: an index sorted by another machine's rules would be corrupt there.
                    "--encoding=UTF8".as_ref(),
                    "--lc-collate=C".as_ref(),
                    "--lc-ctype=C.UTF-8".as_ref(),
                    "--data-checksums".as_ref(),
                    // A promotion writes the current file of WAL anew and waits for the disk. With 4 MB instead of 16 the median of six
                    // promotions was 96 ms instead of 164 (two busy cores, PostgreSQL 15).
                    "--wal-segsize=4".as_ref(),
                    "--auth=scram-sha-256".as_ref(),
                    "-U".as_ref(),
                    SUPERUSER.as_ref(),
                    "--pwfile".as_ref(),
                    password.as_os_str(),
                    "-D".as_ref(),
                    making.as_os_str(),
                ],
            )
            .await;
        remove(&password)?;
        made?;
        self.change(|settings| {
            settings.gate = gate;
            settings.follows = None;
        })?;
        rename(&making, &data)?;
        self.start().await?;
        self.ensure_roles().await?;
        Ok(None)
    }

    /// Starts the server as what its data say it is, and waits until it answers.
    pub async fn start(&self) -> Result<(), Error> {
        let data = self.layout.data();
        if !data.exists() {
            return Err(Error::Here("there are no data here to start".to_owned()));
        }
        if self.layout.rewinding().exists() {
            return Err(Error::Here("a rewind was interrupted: the data are to be copied afresh".to_owned()));
        }
        self.reap();
        let log = self.layout.server_log();
        let mut from = 0;
        if postmaster(&data).is_none() {
            if !survivors(&data)?.is_empty() {
                kill_all(&data).await?;
            }
            clear_stale_lock(&data)?;
            // Settings in the data directory would come after ours and could empty the gate.
            self.layout.write(&data.join("postgresql.auto.conf"), "")?;
            let standby = self.layout.standby_signal().exists();
            let sockets = self.settings().sockets;
            let sockets = if sockets.exists() { sockets } else { self.layout.socket_directory("socket")? };
            self.change(|settings| {
                settings.sockets = sockets;
                if standby {
                    // What a promotion would put in force: shut.
                    settings.gate = Gate::Node;
                } else {
                    settings.follows = None;
                }
            })?;
            from = std::fs::metadata(&log).map_or(0, |found| found.len());
            self.keep_child(self.programs.server(&self.layout, &data, &self.layout.settings(), &log)?);
        }
        let client = self.answering(from).await?;
        self.ensure_slots(&client).await
    }

    /// A connection to the server, once it answers.
    pub async fn answering(&self, log_from: u64) -> Result<std::sync::Arc<Client>, Error> {
        let data = self.layout.data();
        let log = self.layout.server_log();
        let began = tokio::time::Instant::now();
        let mut seen = false;
        until("starting the server", START_BOUND, Duration::from_millis(10), async || {
            self.reap();
            let failed = || Error::Program { program: "postgres".to_owned(), output: tail(&log, log_from) };
            match postmaster(&data) {
                Some(_) => seen = true,
                None if seen || !self.has_child() => return Err(failed()),
                None if began.elapsed() > Duration::from_secs(10) => return Err(failed()),
                None => return Ok(None),
            }
            match self.warm.client(&self.config, &self.settings().sockets).await {
                Ok(client) => Ok(Some(client)),
                Err(Error::Sql { why, .. }) if why.contains("password authentication failed") => {
                    Err(Error::Sql { what: "connecting to the server", why })
                }
                Err(error) => {
                    if !matches!(&error, Error::Sql { why, .. } if why == STARTING) {
                        tracing::trace!(%error, "the server does not answer yet");
                    }
                    Ok(None)
                }
            }
        })
        .await
    }

    /// Stops in an orderly way: standbys that are connected receive everything first.
    pub async fn stop(&self) -> Result<Note, Error> {
        let data = self.layout.data();
        self.gate.want(Wanted::Away);
        self.gate.shut();
        self.warm.forget().await;
        if let Some(pid) = postmaster(&data) {
            // SIGINT is a fast shutdown: sessions end, nothing is lost.
            kill_process(pid, Signal::INT)
                .map_err(|error| Error::Here(format!("the server cannot be signalled: {error}")))?;
            until("stopping the server", STOP_BOUND, Duration::from_millis(5), async || {
                self.reap();
                Ok(postmaster(&data).is_none().then_some(()))
            })
            .await?;
        }
        self.gone().await?;
        Ok(None)
    }

    /// Ends the server at once, with every process of it.
    pub async fn kill(&self) -> Result<(), Error> {
        self.gate.want(Wanted::Away);
        self.gate.shut();
        self.warm.forget().await;
        self.gone().await
    }

    /// Makes sure that nothing of the server is left.
    async fn gone(&self) -> Result<(), Error> {
        kill_all(&self.layout.data()).await?;
        self.reap();
        let sockets = self.settings().sockets;
        if self.layout.is_private(&sockets) {
            remove_directory(&sockets)?;
        }
        self.forget_control();
        Ok(())
    }

    pub async fn promote(&self) -> Result<Note, Error> {
        self.gate.shut();
        if postmaster(&self.layout.data()).is_none() {
            self.start().await?;
        }
        let client = self.answering(0).await?;
        let standby = in_recovery(&client).await?;
        // The gate is shut before there is a primary that could acknowledge anything. A standby of ours has it so already.
        self.put_in_force(&client, Gate::Node).await?;
        if standby {
            client.execute("SELECT pg_promote(false)", &[]).await.map_err(Error::sql("promoting"))?;
            until("promoting", PROMOTE_BOUND, SOON, async || Ok((!in_recovery(&client).await?).then_some(()))).await?;
        }
        self.gate.want(Wanted::Streaming);
        self.ensure_slots(&client).await?;
        let timeline =
            "SELECT 'timeline ' || ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int";
        let row = client.query_one(timeline, &[]).await.map_err(Error::sql("asking for the timeline"))?;
        Ok(standby.then(|| row.get(0)))
    }

    /// Gives a server that was found running the settings as they are rendered now: the peers, or the program, may be others.
    pub async fn adopt(&self) -> Result<(), Error> {
        if postmaster(&self.layout.data()).is_none() {
            return Ok(());
        }
        self.change(|_| {})?;
        reload(&*self.warm.client(&self.config, &self.settings().sockets).await?).await
    }

    pub async fn set_gate(&self, gate: Gate) -> Result<(), Error> {
        self.check_gate(&gate)?;
        if postmaster(&self.layout.data()).is_none() {
            if !self.layout.data().exists() || self.layout.standby_signal().exists() {
                return Err(Error::Here("only a primary has a gate, and there is none here".to_owned()));
            }
            return self.change(|settings| settings.gate = gate);
        }
        let client = self.answering(0).await?;
        if in_recovery(&client).await? {
            return Err(Error::Here("only a primary has a gate, and here is a standby".to_owned()));
        }
        if let (Gate::Peers { needed, named }, Gate::Peers { needed: before, named: same }) =
            (&gate, &self.settings().gate)
            && named == same
            && needed != before
        {
            // A walsender's view of who counts shows which value it has read, but not how many are needed. Through a shut gate it does.
            self.put_in_force(&client, Gate::Node).await?;
        }
        let node = gate == Gate::Node;
        self.put_in_force(&client, gate).await?;
        self.gate.want(if node { Wanted::Streaming } else { Wanted::Ready });
        // Standbys answer to WAL, and only an answer makes the server count anew for the commits that wait.
        let nudge = "SELECT pg_logical_emit_message(true, 'lifeboat', 'gate')";
        client.execute(nudge, &[]).await.map_err(Error::sql("writing WAL"))?;
        Ok(())
    }

    /// Makes this the gate: durably first, then in the running server. Returns when no process of the server goes by the old one.
    async fn put_in_force(&self, client: &Client, gate: Gate) -> Result<(), Error> {
        let names = standby_names(&gate);
        let counted = |name: &str| match &gate {
            Gate::Node => name == GATE_NAME,
            Gate::Peers { named, .. } => region_of(name).is_some_and(|region| named.contains(&region)),
        };
        if gate != Gate::Node {
            self.gate.want(Wanted::Ready);
        }
        if self.settings().gate != gate {
            let new = gate.clone();
            self.change(|settings| settings.gate = new)?;
        }
        if in_force(client).await? != names {
            reload(client).await?;
        }
        until("putting the gate in force", RELOAD_BOUND, SOON, async || {
            if in_force(client).await? != names {
                return Ok(None);
            }
            let query = "SELECT application_name, sync_priority > 0 FROM pg_stat_replication WHERE state IN ('streaming', 'catchup')";
            let rows = client.query(query, &[]).await.map_err(Error::sql("asking who confirms"))?;
            let stale = |row: &tokio_postgres::Row| counted(row.get(0)) != row.get::<_, bool>(1);
            Ok((!rows.iter().any(stale)).then_some(()))
        })
        .await
    }

    pub async fn detach(&self) -> Result<(), Error> {
        if !self.layout.standby_signal().exists() {
            return Err(Error::Here("only a standby can be detached, and there is none here".to_owned()));
        }
        self.change(|settings| settings.follows = None)?;
        if postmaster(&self.layout.data()).is_none() {
            return Ok(());
        }
        let client = self.answering(0).await?;
        reload(&client).await?;
        until("detaching", Duration::from_secs(10), SOON, async || {
            let query =
                "SELECT current_setting('primary_conninfo') = '' AND NOT EXISTS (SELECT FROM pg_stat_wal_receiver)";
            let row = client.query_one(query, &[]).await.map_err(Error::sql("asking whether it still receives"))?;
            Ok(row.get::<_, bool>(0).then_some(()))
        })
        .await
    }

    pub async fn checkpoint(&self) -> Result<(), Error> {
        // On a connection of its own: a promotion would have to wait behind it.
        let client = crate::sql::local(&self.config, &self.settings().sockets, "postgres").await?;
        client.batch_execute("CHECKPOINT").await.map_err(Error::sql("making a checkpoint"))
    }

    fn check_gate(&self, gate: &Gate) -> Result<(), Error> {
        let Gate::Peers { needed, named } = gate else { return Ok(()) };
        if let Some(stranger) = named.iter().find(|region| !self.config.peers.contains_key(*region)) {
            return Err(Error::Here(format!("{stranger} cannot confirm: it is no peer of {}", self.config.region)));
        }
        if *needed == 0 || *needed > named.len() {
            return Err(Error::Here(format!("a gate of {needed} out of {} cannot be", named.len())));
        }
        Ok(())
    }
}

pub(crate) async fn in_recovery(client: &Client) -> Result<bool, Error> {
    let row = client.query_one("SELECT pg_is_in_recovery()", &[]).await.map_err(Error::sql("asking for the role"))?;
    Ok(row.get(0))
}

pub(crate) async fn reload(client: &Client) -> Result<(), Error> {
    client.execute("SELECT pg_reload_conf()", &[]).await.map_err(Error::sql("reloading the settings")).map(drop)
}

async fn in_force(client: &Client) -> Result<String, Error> {
    let query = "SELECT current_setting('synchronous_standby_names')";
    Ok(client.query_one(query, &[]).await.map_err(Error::sql("asking for the gate"))?.get(0))
}
