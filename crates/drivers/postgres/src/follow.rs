//! Becoming a standby of the writer, whatever this was: as it is where the histories agree, by a rewind where they have
//! parted, by a fresh copy where that fails. Nothing that only this region has is thrown away before it is saved.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use lifeboat_model::RegionId;
use lifeboat_model::database::{Gate, Lsn, Note};
use tokio_postgres::Client;

use crate::error::{At as _, Error};
use crate::history::{Fork, History};
use crate::layout::{remove, rename};
use crate::lifecycle::{in_recovery, reload};
use crate::processes::postmaster;
use crate::settings::peer_conninfo;
use crate::sql;
use crate::supervisor::{Supervisor, until};

/// How long to wait for the first WAL from the writer before reporting that it has not come yet.
const STREAM_BOUND: Duration = Duration::from_secs(20);
const CHECKPOINT_BOUND: Duration = Duration::from_secs(120);

/// The server that is to be followed, as it describes itself.
pub(crate) struct Writer {
    pub region: RegionId,
    pub server: SocketAddr,
    /// A connection with our region's role.
    pub client: Client,
    pub system: String,
    pub history: History,
}

/// How a standby's streaming began, or did not.
enum Streaming {
    Streams,
    NotYet,
    /// The writer no longer has the WAL that is needed, or the standby is ahead of where the writer's history leaves its own.
    Never(&'static str),
}

impl Supervisor {
    pub async fn follow(&self, region: &RegionId) -> Result<Note, Error> {
        let data = self.layout.data();
        if !data.exists() {
            return self.seed(region).await;
        }
        let writer = self.ask_writer(region).await?;
        if self.layout.rewinding().exists() {
            self.copy(&writer).await?;
            return Ok(Some(format!("an interrupted rewind was found; copied from {region}")));
        }
        if self.layout.standby_signal().exists() {
            return self.follow_as_standby(&writer).await;
        }
        if postmaster(&data).is_some()
            && let Err(error) = self.stop().await
        {
            tracing::warn!(%error, "the old primary does not stop in an orderly way and is killed");
        }
        self.kill().await?;
        let control = self.control().await?;
        self.same_system(&writer, &control.system)?;
        let ours = self.history_here(control.timeline)?;
        let Some(fork) = ours.fork(&writer.history, true) else {
            return Err(Error::Here(format!(
                "{region}'s server is a primary on timeline {} as this one is: they share no past",
                control.timeline
            )));
        };
        // The checkpoint of an orderly shutdown is the last record. Where the writer has it, it has everything.
        if control.shut_down && fork.timeline == ours.timeline() && control.checkpoint < fork.at {
            return self.join(&writer, "no divergent writes").await;
        }
        let saved = self.save_divergence(&ours, fork, control.segment).await?;
        if saved.last.is_none() {
            return self.join(&writer, "no divergent writes").await;
        }
        self.rewind_or_copy(&writer, &ours, fork, saved.note).await
    }

    /// Saves what a fresh copy would replace.
    pub async fn save_before_copy(&self, writer: &Writer) -> Result<Option<String>, Error> {
        let data = self.layout.data();
        let standby = self.layout.standby_signal().exists();
        if !standby || postmaster(&data).is_none() {
            self.stop_for_good().await?;
            let control = self.control().await?;
            if control.system != writer.system {
                // Not a copy of the same database at all: everything in it is divergent.
                let aside = self.layout.divergent().join(format!("{}-data", self.stamp()));
                rename(&data, &aside)?;
                return Ok(Some(format!("the data of another cluster were moved to {}", aside.display())));
            }
        }
        if standby {
            // What a standby has, its primary has, or had: that primary saves it.
            return Ok(None);
        }
        let control = self.control().await?;
        let ours = self.history_here(control.timeline)?;
        let Some(fork) = ours.fork(&writer.history, true) else { return Ok(None) };
        if control.shut_down && fork.timeline == ours.timeline() && control.checkpoint < fork.at {
            return Ok(None);
        }
        Ok(Some(self.save_divergence(&ours, fork, control.segment).await?.note))
    }

    async fn stop_for_good(&self) -> Result<(), Error> {
        if postmaster(&self.layout.data()).is_some()
            && let Err(error) = self.stop().await
        {
            tracing::warn!(%error, "the server does not stop in an orderly way and is killed");
        }
        self.kill().await
    }

    async fn follow_as_standby(&self, writer: &Writer) -> Result<Note, Error> {
        let region = &writer.region;
        if postmaster(&self.layout.data()).is_some() {
            let client = self.answering(0).await?;
            let (system, timeline, received) = describe(&client).await?;
            self.same_system(writer, &system)?;
            let fork = self.history_here(timeline)?.fork(&writer.history, false);
            if fork.is_some_and(|fork| received > fork.at) {
                return self.leave_history(writer, fork, "it had received what the writer never had").await;
            }
            if !in_recovery(&client).await? {
                return Err(Error::Here("the server is being promoted".to_owned()));
            }
        } else {
            self.same_system(writer, &self.control().await?.system)?;
        }
        self.mend_slot(writer).await?;
        let from = std::fs::metadata(self.layout.server_log()).map_or(0, |found| found.len());
        self.point_at(region)?;
        if postmaster(&self.layout.data()).is_some() {
            reload(&*self.answering(0).await?).await?;
        } else {
            self.start().await?;
        }
        match self.wait_for_stream(writer, from).await? {
            Streaming::Streams => Ok(Some(format!("follows {region}"))),
            Streaming::NotYet => Ok(Some(format!("is set up to follow {region}, from which nothing has come yet"))),
            Streaming::Never(why) => {
                let client = self.answering(0).await?;
                let (_, timeline, _) = describe(&client).await?;
                let fork = self.history_here(timeline)?.fork(&writer.history, false);
                self.leave_history(writer, fork, why).await
            }
        }
    }

    /// A standby that cannot go on from where it is.
    async fn leave_history(&self, writer: &Writer, fork: Option<Fork>, why: &str) -> Result<Note, Error> {
        self.stop_for_good().await?;
        let control = self.control().await?;
        let ours = self.history_here(control.timeline)?;
        match fork {
            Some(fork) if control.replayed.max(control.checkpoint) > fork.at => {
                let saved = self.save_divergence(&ours, fork, control.segment).await?;
                self.rewind_or_copy(writer, &ours, fork, format!("{why}; {}", saved.note)).await
            }
            _ => {
                self.copy(writer).await?;
                Ok(Some(format!("{why}; copied from {}", writer.region)))
            }
        }
    }

    /// The data are of the writer's history: they become its standby as they are.
    async fn join(&self, writer: &Writer, note: &str) -> Result<Note, Error> {
        self.mend_slot(writer).await?;
        self.point_at(&writer.region)?;
        self.layout.write(&self.layout.standby_signal(), "")?;
        let from = std::fs::metadata(self.layout.server_log()).map_or(0, |found| found.len());
        self.start().await?;
        match self.wait_for_stream(writer, from).await? {
            Streaming::Streams => Ok(Some(note.to_owned())),
            Streaming::NotYet => Ok(Some(format!("{note}; nothing has come from {} yet", writer.region))),
            Streaming::Never(why) => {
                self.copy(writer).await?;
                Ok(Some(format!("{note}; {why}; copied from {}", writer.region)))
            }
        }
    }

    async fn rewind_or_copy(&self, writer: &Writer, ours: &History, fork: Fork, saved: String) -> Result<Note, Error> {
        if ours.timeline() == writer.history.timeline() {
            // pg_rewind tells histories apart by the number of the timeline alone, and would do nothing.
            self.copy(writer).await?;
            return Ok(Some(format!(
                "{saved}; both had promoted themselves to timeline {}; copied from {}",
                ours.timeline(),
                writer.region
            )));
        }
        match self.rewind(writer).await {
            Ok(()) => self.join(writer, &format!("{saved}; rewound to {}", fork.at)).await,
            Err(error) => {
                tracing::warn!(%error, "the rewind failed; copies afresh");
                self.copy(writer).await?;
                Ok(Some(format!("{saved}; the rewind failed ({error}); copied from {}", writer.region)))
            }
        }
    }

    async fn rewind(&self, writer: &Writer) -> Result<(), Error> {
        let target = writer.history.timeline();
        // pg_rewind reads the writer's timeline from its control file, which the first checkpoint after a promotion writes.
        if self.programs.version >= 15 {
            writer.client.batch_execute("CHECKPOINT").await.map_err(Error::sql("making a checkpoint on the writer"))?;
        }
        until("the writer's first checkpoint", CHECKPOINT_BOUND, Duration::from_millis(50), async || {
            let query = "SELECT timeline_id FROM pg_control_checkpoint()";
            let row =
                writer.client.query_one(query, &[]).await.map_err(Error::sql("asking for the writer's checkpoint"))?;
            Ok((row.get::<_, i32>(0).cast_unsigned() == target).then_some(()))
        })
        .await?;
        let source = format!("{} dbname=postgres", peer_conninfo(&self.config, &self.layout, writer.server));
        let (data, settings) = (self.layout.data(), self.layout.settings());
        let mut args: Vec<&std::ffi::OsStr> =
            vec!["-D".as_ref(), data.as_os_str(), "--source-server".as_ref(), source.as_ref(), "--progress".as_ref()];
        if self.programs.version >= 15 {
            args.extend(["--config-file".as_ref(), settings.as_os_str()]);
        }
        self.layout.write(&self.layout.rewinding(), "")?;
        self.programs.run(&self.layout, "pg_rewind", &args).await?;
        self.layout.write(&self.layout.standby_signal(), "")?;
        remove(&self.layout.rewinding())
    }

    fn point_at(&self, region: &RegionId) -> Result<(), Error> {
        self.change(|settings| {
            settings.follows = Some(region.clone());
            settings.gate = Gate::Node;
        })
    }

    async fn wait_for_stream(&self, writer: &Writer, log_from: u64) -> Result<Streaming, Error> {
        let log = self.layout.server_log();
        let streams = until("streaming", STREAM_BOUND, Duration::from_millis(20), async || {
            let client = self.answering(log_from).await?;
            let query = "SELECT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')";
            let row = client.query_one(query, &[]).await.map_err(Error::sql("asking whether it streams"))?;
            if row.get(0) {
                return Ok(Some(Streaming::Streams));
            }
            let said = crate::programs::tail(&log, log_from);
            if said.contains("has already been removed") || said.contains("has been invalidated") {
                return Ok(Some(Streaming::Never("the writer no longer has the WAL that is needed")));
            }
            let (_, timeline, received) = describe(&client).await?;
            let fork = self.history_here(timeline)?.fork(&writer.history, false);
            let ahead = fork.is_some_and(|fork| received > fork.at);
            Ok(ahead.then_some(Streaming::Never("it had received what the writer never had")))
        })
        .await;
        match streams {
            Err(Error::Slow { .. }) => Ok(Streaming::NotYet),
            other => other,
        }
    }

    pub async fn ask_writer(&self, region: &RegionId) -> Result<Writer, Error> {
        let Some(&server) = self.config.peers.get(region) else {
            return Err(Error::Here(format!("{region} is no peer of {}", self.config.region)));
        };
        let what = "asking the writer for its history";
        let client = sql::peer(&self.config, server).await?;
        if in_recovery(&client).await? {
            return Err(Error::Here(format!("{region}'s server is a standby, not the writer")));
        }
        let query = "SELECT system_identifier::text, ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int FROM pg_control_system()";
        let row = client.query_one(query, &[]).await.map_err(Error::sql(what))?;
        let timeline = row.get::<_, i32>(1).cast_unsigned();
        let mut text = String::new();
        if timeline > 1 {
            let read = "SELECT convert_from(pg_read_binary_file($1, 0, 1000000, false), 'UTF8')";
            let path = format!("pg_wal/{}", History::file(timeline));
            text = client.query_one(read, &[&path]).await.map_err(Error::sql(what))?.get(0);
        }
        let history = History::parse(&text, timeline)
            .ok_or_else(|| Error::Sql { what, why: format!("the history of timeline {timeline} cannot be read") })?;
        Ok(Writer { region: region.clone(), server, client, system: row.get(0), history })
    }

    /// The history of the data here, of which only the current timeline's number is known.
    fn history_here(&self, timeline: u32) -> Result<History, Error> {
        let path: PathBuf = self.layout.data().join("pg_wal").join(History::file(timeline));
        let text = if timeline > 1 { std::fs::read_to_string(&path).at(&path)? } else { String::new() };
        History::parse(&text, timeline).ok_or_else(|| Error::Here(format!("{} cannot be read", path.display())))
    }

    fn same_system(&self, writer: &Writer, system: &str) -> Result<(), Error> {
        if writer.system == system {
            return Ok(());
        }
        Err(Error::Here(format!(
            "{}'s server holds another cluster (system {}) than this one (system {system}); to replace it, seed it",
            writer.region, writer.system
        )))
    }
}

/// The system, the timeline that was last replayed, and how far WAL was received, of a standby.
async fn describe(client: &Client) -> Result<(String, u32, Lsn), Error> {
    let query = "SELECT (SELECT system_identifier::text FROM pg_control_system()), \
        greatest((SELECT received_tli FROM pg_stat_wal_receiver WHERE status = 'streaming'), (SELECT timeline_id FROM pg_control_checkpoint()), \
            (SELECT min_recovery_end_timeline FROM pg_control_recovery())), \
        greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(), '0/0')::text";
    let row = client.query_one(query, &[]).await.map_err(Error::sql("asking the standby for its history"))?;
    let received = Lsn::parse(row.get(2)).unwrap_or_default();
    Ok((row.get(0), row.get::<_, i32>(1).cast_unsigned(), received))
}
