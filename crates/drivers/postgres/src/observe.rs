//! What the server is at this moment: one cheap look, and the task that looks again and again.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Duration;

use lifeboat_model::database::{DatabaseState, Follower, Gate, Lsn, Role};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use crate::control::Control;
use crate::error::{Error, explain};
use crate::gate::Wanted;
use crate::layout::bound_log;
use crate::processes::postmaster;
use crate::settings::{GATE_NAME, gate_of, region_of};
use crate::sql::STARTING;
use crate::supervisor::Supervisor;

/// A server that lives answers within this, or something is wrong with it.
pub(crate) const ANSWER_BOUND: Duration = Duration::from_secs(1);
/// Less space than one more file of WAL needs (`wal_segment_size`): the server can soon write nothing any more.
const FULL: u64 = 16 << 20;
/// How often the server's log is held to its bound.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// One row about the server, then a row for each connection that receives WAL.
const LOOK: &str = "
SELECT pg_is_in_recovery(),
  current_setting('synchronous_standby_names'),
  CASE WHEN pg_is_in_recovery()
    THEN coalesce((SELECT received_tli FROM pg_stat_wal_receiver WHERE status = 'streaming'),
      (SELECT greatest(c.timeline_id, r.min_recovery_end_timeline) FROM pg_control_checkpoint() c, pg_control_recovery() r))
    ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END,
  CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
    ELSE pg_current_wal_flush_lsn() END,
  pg_last_wal_replay_lsn(),
  EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming'),
  CASE WHEN EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming' AND latest_end_lsn <= pg_last_wal_replay_lsn())
    THEN 0 ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END;
SELECT pid, usename, application_name, state, sync_state, flush_lsn FROM pg_stat_replication";

impl Supervisor {
    /// Looks, and tells everybody who watches. `settle`: the caller is the action that is under way, if there is one.
    pub async fn refresh(&self, settle: bool) {
        let _one_at_a_time = self.looking.lock().await;
        let mut state = self.look().await;
        if state.trouble.is_none() {
            state.trouble = self.full_disk();
        }
        // An action in progress knows better what the gate's connection is to do than a look that may be older.
        let idle = self.acting.try_lock();
        if settle || idle.is_ok() {
            self.gate.want(match state.role {
                Role::Primary if state.gate == Gate::Node => Wanted::Streaming,
                Role::Primary | Role::Standby => Wanted::Ready,
                Role::Absent | Role::Stopped { .. } | Role::Starting => Wanted::Away,
            });
        }
        self.states.send_if_modified(|was| {
            let changed = *was != state;
            *was = state;
            changed
        });
    }

    /// Says so where the disk has no room: a server goes on answering then, and refuses whatever needs space.
    fn full_disk(&self) -> Option<String> {
        let found = rustix::fs::statvfs(self.layout.data()).ok()?;
        // `f_bavail`: what others than root may use, as whose PostgreSQL runs.
        (found.f_bavail.saturating_mul(found.f_frsize) < FULL).then(|| {
            format!("the disk of {} is full: less than {} MiB are free", self.layout.data().display(), FULL >> 20)
        })
    }

    async fn look(&self) -> DatabaseState {
        self.reap();
        let settings = self.settings();
        let trouble = self.trouble();
        let base = DatabaseState {
            epoch: settings.epoch,
            gate: settings.gate,
            follows: settings.follows,
            trouble,
            ..DatabaseState::absent()
        };
        if postmaster(&self.layout.data()).is_none() {
            self.watching.forget().await;
            return self.look_at_data(base).await;
        }
        self.forget_control();
        match self.ask().await {
            Ok((state, foreign)) => {
                let trouble = foreign.or(base.trouble);
                let follows = base.follows.filter(|_| state.role == Role::Standby);
                DatabaseState { epoch: base.epoch, follows, trouble, ..state }
            }
            Err(Error::Sql { why, .. }) if why == STARTING => DatabaseState { role: Role::Starting, ..base },
            Err(error) => {
                // A server that has answered before is what it was; it only does not answer.
                self.watching.forget().await;
                let was = self.states.borrow().clone();
                let role = match was.role {
                    Role::Primary | Role::Standby => was.role.clone(),
                    Role::Absent | Role::Stopped { .. } | Role::Starting => Role::Starting,
                };
                let trouble = base.trouble.or_else(|| (role != Role::Starting).then(|| error.to_string()));
                DatabaseState {
                    role,
                    epoch: base.epoch,
                    gate_connected: false,
                    streaming: false,
                    followers: BTreeMap::new(),
                    trouble,
                    ..was
                }
            }
        }
    }

    async fn look_at_data(&self, base: DatabaseState) -> DatabaseState {
        let data = self.layout.data();
        if !data.exists() {
            return DatabaseState { role: Role::Absent, follows: None, ..base };
        }
        let interrupted = self.layout.rewinding().exists();
        let was_primary = !interrupted && !self.layout.standby_signal().exists();
        let role = Role::Stopped { was_primary };
        let trouble = base
            .trouble
            .clone()
            // While an action is under way the rewind may be its own.
            .or_else(|| {
                (interrupted && self.acting.try_lock().is_ok())
                    .then(|| "a rewind was interrupted: the data are to be copied afresh".to_owned())
            });
        let follows = base.follows.clone().filter(|_| !was_primary);
        let state = DatabaseState { role, trouble, follows, ..base };
        match self.control().await {
            Ok(Control { timeline, checkpoint, replayed, .. }) => {
                // What the server last said may be newer than its control file, as long as it is the same history.
                let was = self.states.borrow().clone();
                let known = |lsn: Lsn| if was.timeline == timeline { lsn } else { Lsn(0) };
                let flushed = checkpoint.max(replayed).max(known(was.flushed));
                DatabaseState { timeline, flushed, replayed: flushed, ..state }
            }
            Err(error) => DatabaseState { trouble: Some(error.to_string()), ..state },
        }
    }

    /// Asks the server; also says what foreign connections were found that would have counted as a standby's.
    async fn ask(&self) -> Result<(DatabaseState, Option<String>), Error> {
        let what = "asking the server";
        let sockets = self.settings().sockets;
        let client = self.watching.client(&self.config, &sockets).await?;
        let rows = timeout(ANSWER_BOUND, client.simple_query(LOOK))
            .await
            .map_err(|_| Error::Sql { what, why: format!("no answer within {} ms", ANSWER_BOUND.as_millis()) })?
            .map_err(|error| match error.code().map(tokio_postgres::error::SqlState::code) {
                Some("57P01" | "57P02" | "57P03") => Error::Sql { what, why: STARTING.to_owned() },
                _ => Error::Sql { what, why: explain(&error) },
            })?;
        let mut rows = rows.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let row = rows.next().ok_or_else(|| Error::Sql { what, why: "it said nothing".to_owned() })?;
        let mut state = server_state(row);
        let mut foreign = Vec::new();
        for row in rows {
            let (pid, user, name) = (text(row, 0), text(row, 1), text(row, 2));
            let counts = matches!(text(row, 4), "sync" | "quorum");
            if user != name {
                // PostgreSQL goes by the name alone, which anybody with the right to replicate may choose.
                if counts || name == GATE_NAME {
                    foreign.push((pid.to_owned(), format!("{user} called itself {name}")));
                }
                continue;
            }
            if let Some(region) = region_of(name) {
                let streaming = text(row, 3) == "streaming";
                let flushed = Lsn::parse(text(row, 5)).unwrap_or_default();
                state.followers.insert(region, Follower { streaming, confirms: counts, flushed });
            }
        }
        state.gate_connected = self.gate.is_streaming();
        let names = text(row, 1);
        let mut told = gate_of(names)
            .is_none()
            .then(|| format!("synchronous_standby_names is {names:?}, which is no gate of ours"));
        for (pid, why) in foreign {
            tracing::warn!(%why, "ends a replication connection under another's name");
            let end = client.simple_query(&format!("SELECT pg_terminate_backend({pid})")).await;
            end.map_err(Error::sql("ending a foreign replication connection"))?;
            told = Some(format!("a replication connection was ended: {why}"));
        }
        Ok((state, told))
    }
}

fn server_state(row: &SimpleQueryRow) -> DatabaseState {
    let standby = text(row, 0) == "t";
    let flushed = Lsn::parse(text(row, 3)).unwrap_or_default();
    let replayed = if standby { Lsn::parse(text(row, 4)).unwrap_or_default() } else { flushed };
    let names = text(row, 1);
    let absent = DatabaseState::absent();
    DatabaseState {
        role: if standby { Role::Standby } else { Role::Primary },
        gate: gate_of(names).unwrap_or(absent.gate),
        timeline: text(row, 2).parse().unwrap_or_default(),
        flushed,
        replayed,
        streaming: text(row, 5) == "t",
        lag: text(row, 6)
            .parse::<f64>()
            .ok()
            .filter(|_| standby)
            .and_then(|lag| Duration::try_from_secs_f64(lag.max(0.0)).ok()),
        ..DatabaseState::absent()
    }
}

/// A column, empty where it is null.
fn text(row: &SimpleQueryRow, column: usize) -> &str {
    row.try_get(column).ok().flatten().unwrap_or_default()
}

/// A handle that becomes readable when the process ends.
#[expect(
    deprecated,
    reason = "its successor is unsafe for types that change their descriptor, which an OwnedFd does not"
)]
fn ends(pid: Pid) -> Option<AsyncFd<OwnedFd>> {
    AsyncFd::new(pidfd_open(pid, PidfdFlags::empty()).ok()?).ok()
}

/// Looks every [`Config::observe_every`](crate::Config), and at once when the server's process ends, its connection breaks,
/// or the commit gate comes or goes.
pub(crate) async fn run(supervisor: &Supervisor) {
    let mut streaming = supervisor.gate.streaming();
    let mut watched: Option<(Pid, AsyncFd<OwnedFd>)> = None;
    let mut log_at = Instant::now();
    loop {
        supervisor.refresh(false).await;
        if Instant::now() >= log_at {
            log_at = Instant::now() + LOG_EVERY;
            if let Err(error) = bound_log(&supervisor.layout.server_log()) {
                tracing::warn!(%error, "the server's log could not be cut");
            }
        }
        let pid = postmaster(&supervisor.layout.data());
        if watched.as_ref().map(|(pid, _)| *pid) != pid {
            watched = pid.and_then(|pid| Some((pid, ends(pid)?)));
        }
        let ended = async {
            match &watched {
                Some((_, handle)) => drop(handle.readable().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep_until(Instant::now() + supervisor.config.observe_every) => {}
            () = supervisor.look_again.notified() => {}
            _ = streaming.changed() => {}
            () = ended => watched = None,
        }
    }
}
