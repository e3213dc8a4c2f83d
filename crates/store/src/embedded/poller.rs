//! The thread that notices, while somebody watches, what other processes have changed and which leases have run out.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use lifeboat_model::Moment;
use lifeboat_model::state::Revision;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::watch;

use super::clock::Clock;
use super::file::{Failure, StoreFile};
use super::ledger::Ledger;
use crate::Options;

/// How often the file is looked at. One look is three system calls, for nothing is read unless
/// something has changed.
const EVERY: Duration = Duration::from_millis(5);
/// After how many looks it is checked that the file is still the one that others would open.
const LOOKS_BETWEEN_CHECKS: u32 = 20;

/// The thread; dropping it ends and joins it. It sleeps while nobody watches.
#[derive(Debug)]
pub(super) struct Poller {
    watchers: Arc<Watchers>,
    thread: Option<JoinHandle<()>>,
}

impl Poller {
    /// Starts the thread, which announces every new revision.
    pub(super) fn start(
        file: StoreFile,
        options: Options,
        clock: Clock,
        news: watch::Sender<Revision>,
    ) -> std::io::Result<Self> {
        let watchers = Arc::new(Watchers::default());
        let look = Look { file, options, clock, news, seen: None };
        let shared = Arc::clone(&watchers);
        let thread = std::thread::Builder::new().name("store-watch".into()).spawn(move || look.look_on(&shared))?;
        Ok(Self { watchers, thread: Some(thread) })
    }

    /// Counts one more watcher, until what is returned is dropped.
    pub(super) fn join_in(&self) -> Watching {
        self.watchers.lock().count += 1;
        self.watchers.changed.notify_all();
        Watching { watchers: Arc::clone(&self.watchers) }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.watchers.lock().stopped = true;
        self.watchers.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Says that somebody watches.
#[derive(Debug)]
pub(super) struct Watching {
    watchers: Arc<Watchers>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.watchers.lock().count -= 1;
    }
}

#[derive(Debug, Default)]
struct Watchers {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    count: usize,
    stopped: bool,
}

impl Watchers {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is time to look, and says whether there is anything left to look for.
    fn wait(&self) -> bool {
        let mut state = self.lock();
        if state.count > 0 && !state.stopped {
            let waited = self.changed.wait_timeout_while(state, EVERY, |state| !state.stopped);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        while state.count == 0 && !state.stopped {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.stopped
    }
}

/// What was seen of the file, through a connection that is kept.
struct Seen {
    connection: Connection,
    version: i64,
    next_expiry: Option<Moment>,
    looks: u32,
}

struct Look {
    file: StoreFile,
    options: Options,
    clock: Clock,
    news: watch::Sender<Revision>,
    seen: Option<Seen>,
}

impl Look {
    fn look_on(mut self, watchers: &Watchers) {
        while watchers.wait() {
            match self.look() {
                Ok(()) | Err(Failure::Busy) => {}
                Err(Failure::Final(_) | Failure::Sqlite(_)) => {
                    // Wakes the watchers, whose own reading finds out what is wrong and tells.
                    self.seen = None;
                    self.news.send_modify(|_| {});
                }
            }
        }
    }

    fn look(&mut self) -> Result<(), Failure> {
        let seen = match &mut self.seen {
            Some(seen) => {
                seen.looks = seen.looks.wrapping_add(1);
                if seen.looks.is_multiple_of(LOOKS_BETWEEN_CHECKS) {
                    self.file.check_in_place()?;
                }
                seen
            }
            none => none.insert(Seen {
                connection: self.file.connect()?,
                version: -1,
                next_expiry: Some(Moment::default()),
                looks: 0,
            }),
        };
        // Changes whenever another connection, of this process or of another, has committed something.
        let version =
            seen.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get::<_, i64>(0))?;
        let expired = seen.next_expiry.is_some_and(|at| at <= self.clock.now());
        if version == seen.version && !expired {
            return Ok(());
        }
        if expired {
            match sweep(&seen.connection, &self.options, &self.clock) {
                // Whoever writes just now sweeps, too, and what has changed must not wait for that.
                Ok(()) | Err(Failure::Busy) => {}
                Err(failure) => return Err(failure),
            }
        }
        let snapshot = Transaction::new_unchecked(&seen.connection, TransactionBehavior::Deferred)?;
        let ledger = Ledger::new(&snapshot, &self.options, &self.clock)?;
        let (revision, next_expiry) = (ledger.revision(), ledger.next_expiry()?);
        snapshot.commit()?;
        seen.next_expiry = next_expiry;
        seen.version = version;
        announce(&self.news, revision);
        Ok(())
    }
}

fn sweep(connection: &Connection, options: &Options, clock: &Clock) -> Result<(), Failure> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let ledger = Ledger::new(&transaction, options, clock)?;
    ledger.sweep()?;
    ledger.finish()?;
    Ok(transaction.commit()?)
}

/// Tells the watchers of a revision, unless they have heard of it.
pub(super) fn announce(news: &watch::Sender<Revision>, revision: Revision) {
    news.send_if_modified(|newest| {
        let is_newer = revision > *newest;
        *newest = revision.max(*newest);
        is_newer
    });
}
