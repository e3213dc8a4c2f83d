//! The commit gate: a replication connection that keeps no data and confirms WAL only while it may.
//!
//! To PostgreSQL it is a synchronous standby. It discards what it receives and reports it as flushed, but only under the epoch that
//! acted last here and only before a moment of the boot clock, which counts suspended time. The clock is read immediately before
//! the bytes go to the kernel, under the lock that [`CommitGate::confirm`] takes to change the permission; a report that does not fit
//! into the socket's buffer is not kept for later, for it would then say something that was true once.
//!
//! What remains: a process that is stopped in the microseconds between reading the clock and the write confirms late what it had
//! received before, and so does a server that is stopped with a report in its socket's buffer. Neither covers a commit that was made later.

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use lifeboat_model::database::Lsn;
use lifeboat_model::{Epoch, Moment};
use rustix::time::{ClockId, clock_gettime};
use tokio::net::UnixStream;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::wire::{Replication, Streamed, status};

/// Confirming ends this long before the deadline: reading the clock and sending are two things.
const MARGIN: Duration = Duration::from_millis(10);
/// The walsender takes a report into account only once it has caught up, which it does not say. Right after the start reports go out
/// at this rate, so that the first commit after a promotion waits no longer.
const EAGER: Duration = Duration::from_millis(2);
const EAGER_REPORTS: u32 = 100;
/// Afterwards a report goes out with each message of WAL, and at least this often.
const IDLE: Duration = Duration::from_millis(100);
const CONNECT_BOUND: Duration = Duration::from_secs(2);

/// What the gate's connection is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// No connection: a server that stops would wait for it.
    Away,
    /// Connected and authenticated, so that streaming can begin at once.
    Ready,
    /// Streaming: the server is a primary behind `Gate::Node`.
    Streaming,
}

#[derive(Debug)]
struct Permission {
    /// The newest epoch under which the driver has acted.
    acted: Epoch,
    /// The epoch under which confirming is allowed.
    epoch: Epoch,
    /// The moment at which that ends.
    until: Option<Moment>,
}

impl Permission {
    fn allows(&self, now: Moment) -> bool {
        // S5: permission of another epoch is none. S1: nor is one that has run out.
        self.epoch == self.acted && self.until.is_some_and(|until| now + MARGIN < until)
    }
}

#[derive(Debug)]
pub(crate) struct CommitGate {
    permission: Mutex<Permission>,
    permission_changed: Notify,
    wanted: watch::Sender<Wanted>,
    streaming: watch::Sender<bool>,
}

/// This machine's boot-time clock.
pub(crate) fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Moment(seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default())
}

impl CommitGate {
    pub fn new(acted: Epoch) -> Self {
        Self {
            permission: Mutex::new(Permission { acted, epoch: Epoch(0), until: None }),
            permission_changed: Notify::new(),
            wanted: watch::Sender::new(Wanted::Away),
            streaming: watch::Sender::new(false),
        }
    }

    /// Once this returns, nothing is confirmed but what it allows.
    pub fn confirm(&self, epoch: Epoch, until: Option<Moment>) {
        {
            let mut permission = self.permission();
            if epoch < permission.acted {
                return;
            }
            permission.epoch = epoch;
            permission.until = until;
        }
        self.permission_changed.notify_one();
    }

    /// The driver acts under this epoch from now on: a permission of an older one ends.
    pub fn acted(&self, epoch: Epoch) {
        self.permission().acted = epoch;
        self.permission_changed.notify_one();
    }

    /// Ends any permission.
    pub fn shut(&self) {
        self.permission().until = None;
        self.permission_changed.notify_one();
    }

    pub fn want(&self, wanted: Wanted) {
        self.wanted.send_if_modified(|was| std::mem::replace(was, wanted) != wanted);
    }

    /// Whether a confirmation would reach the server at once.
    pub fn is_streaming(&self) -> bool {
        *self.streaming.borrow()
    }

    /// Changes with [`is_streaming`](Self::is_streaming).
    pub fn streaming(&self) -> watch::Receiver<bool> {
        self.streaming.subscribe()
    }

    /// Keeps the connection that is wanted, for ever. `socket` says where the server's socket is now.
    pub async fn run(&self, socket: impl Fn() -> std::path::PathBuf, user: &str, password: &str) {
        let mut wanted = self.wanted.subscribe();
        loop {
            let is = *wanted.borrow_and_update();
            if is == Wanted::Away {
                // The sender lives as long as `self`.
                let _ = wanted.changed().await;
                continue;
            }
            let ended = self.session(&socket(), user, password, &mut wanted).await;
            self.streaming.send_if_modified(std::mem::take);
            if let Err(error) = ended {
                tracing::debug!(%error, "the commit gate's connection ended");
                sleep(if is == Wanted::Streaming { Duration::from_millis(5) } else { Duration::from_millis(50) }).await;
            }
        }
    }

    async fn session(
        &self,
        socket: &Path,
        user: &str,
        password: &str,
        wanted: &mut watch::Receiver<Wanted>,
    ) -> io::Result<()> {
        let mut connection = timeout(CONNECT_BOUND, Replication::connect(socket, user, password)).await??;
        loop {
            let is = *wanted.borrow_and_update();
            match is {
                Wanted::Away => return Ok(()),
                Wanted::Streaming => return self.stream(&mut connection, wanted).await,
                Wanted::Ready => tokio::select! {
                    _ = wanted.changed() => {}
                    readable = connection.stream.readable() => { readable?; connection.receive()?; }
                },
            }
        }
    }

    async fn stream(&self, connection: &mut Replication, wanted: &mut watch::Receiver<Wanted>) -> io::Result<()> {
        let (timeline, mut received) = timeout(CONNECT_BOUND, connection.identify()).await??;
        timeout(CONNECT_BOUND, connection.start(timeline, received)).await??;
        self.streaming.send_replace(true);
        let mut reports = 0;
        let mut due = true;
        loop {
            while let Some(message) = connection.streamed()? {
                match message {
                    Streamed::Wal(end) => {
                        received = received.max(end);
                        due = true;
                    }
                    Streamed::Keepalive { wants_answer } => due |= wants_answer,
                    Streamed::Ended => return Ok(()),
                }
            }
            if due {
                self.report(&connection.stream, received)?;
                reports += 1;
            }
            let beat = if reports < EAGER_REPORTS { EAGER } else { IDLE };
            due = tokio::select! {
                readable = connection.stream.readable() => {
                    readable?;
                    // Where the processors are busy, let others commit first: one report then confirms for all of them. Where one is
                    // free this returns at once.
                    std::thread::yield_now();
                    connection.receive()?;
                    false
                }
                () = self.permission_changed.notified() => true,
                () = sleep(beat) => true,
                _ = wanted.changed() => {
                    if *wanted.borrow_and_update() != Wanted::Streaming {
                        return Ok(());
                    }
                    true
                }
            };
        }
    }

    fn report(&self, stream: &UnixStream, received: Lsn) -> io::Result<()> {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let wall = u64::try_from(wall.as_micros()).unwrap_or(u64::MAX);
        // Without permission the flush position is zero, with which PostgreSQL does not count a standby at all, not even for
        // sessions that wait for less than a flush. It also lets a server that shuts down not wait for us.
        let (shut, open) = (status(received, Lsn(0), wall), status(received, received, wall));
        let permission = self.permission();
        let message = if permission.allows(now()) { &open } else { &shut };
        match stream.try_write(message) {
            Ok(written) if written == message.len() => Ok(()),
            // The rest would go out at some later moment.
            Ok(_) => Err(io::Error::new(io::ErrorKind::WriteZero, "a report was cut in two")),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn permission(&self) -> MutexGuard<'_, Permission> {
        self.permission.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_is_of_one_epoch_and_ends_before_its_moment() {
        let until = Moment(1_000_000_000);
        let just_before = until - MARGIN - Duration::from_nanos(1);
        for (acted, epoch, until, now, allowed) in [
            (7, 7, Some(until), just_before, true),
            (7, 7, Some(until), until - MARGIN, false),
            (7, 7, Some(until), until + MARGIN, false),
            (7, 7, None, Moment(0), false),
            (8, 7, Some(until), just_before, false),
            (7, 8, Some(until), just_before, false),
        ] {
            let permission = Permission { acted: Epoch(acted), epoch: Epoch(epoch), until };
            assert_eq!(permission.allows(now), allowed, "{permission:?} at {now:?}");
        }
    }

    #[test]
    fn an_older_epoch_changes_no_permission() {
        let gate = CommitGate::new(Epoch(3));
        gate.confirm(Epoch(3), Some(Moment(u64::MAX)));
        gate.confirm(Epoch(2), None);
        assert!(gate.permission().allows(Moment(0)));
        gate.acted(Epoch(4));
        assert!(!gate.permission().allows(Moment(0)));
    }
}
