//! A thread that owns a connection and works off a bounded queue: SQLite blocks, and the runtime must not.
//!
//! Whatever waits in the queue shares one transaction, and so one flush to the disk.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use lifeboat_model::state::Revision;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::Deadline;
use super::clock::Clock;
use super::file::{Failure, StoreFile};
use super::ledger::{Answer, Ledger};
use crate::{Error, Executed, Options, Result};

/// How many requests may wait.
const QUEUE: usize = 1_024;
/// How many requests share a transaction at most.
const BATCH: usize = 64;
/// How long to wait before trying a locked file again: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_micros(500);
const LONGEST_PAUSE: Duration = Duration::from_millis(5);
/// How long past its deadline a request is waited for that is being executed just then.
const GRACE: Duration = Duration::from_millis(250);

/// What the requests of a worker do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// The thread; dropping it ends and joins it.
#[derive(Debug)]
pub(super) struct Worker {
    queue: Queue,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread. `committed` is told the revision after every transaction that may have made one.
    pub(super) fn start(
        access: Access,
        file: StoreFile,
        options: Options,
        clock: Clock,
        committed: impl Fn(Revision) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let timeout = options.timeout;
        let bench = Bench { access, file, options, clock, committed, connection: None, stop: Arc::clone(&stop) };
        let name = match access {
            Access::Read => "store-read",
            Access::Write => "store-write",
        };
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || bench.work_off(&receiver))?;
        let queue = Queue { access, sender, room: Arc::new(Semaphore::new(QUEUE)), timeout };
        Ok(Self { queue, stop, thread: Some(thread) })
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.queue.sender.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The way to a worker.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    access: Access,
    sender: mpsc::Sender<Message>,
    room: Arc<Semaphore>,
    timeout: Duration,
}

impl Queue {
    /// Has the worker do something with the store, and waits for the answer at most as long as the options say.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        work: impl Fn(&Ledger<'_>) -> Answer<T> + Send + 'static,
    ) -> Result<T> {
        let not_executed = |why: &str| Error::Unreachable { executed: Executed::No, why: why.to_owned() };
        let deadline = Deadline::after(self.timeout);
        let room = tokio::time::timeout(self.timeout, Arc::clone(&self.room).acquire_owned()).await;
        let Ok(Ok(room)) = room else { return Err(not_executed("too many requests are waiting")) };
        let (reply, answer) = oneshot::channel();
        let job = Job { deadline, work, answer: None, reply, _room: room };
        self.sender.send(Message::Task(Box::new(job))).map_err(|_| not_executed("the store was closed"))?;
        match tokio::time::timeout(deadline.remaining() + GRACE, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(not_executed("the store was closed")),
            Err(_) => Err(Error::Unreachable {
                executed: match self.access {
                    Access::Read => Executed::No,
                    Access::Write => Executed::Unknown,
                },
                why: "the disk does not answer".into(),
            }),
        }
    }
}

#[derive(Debug)]
enum Message {
    Task(Box<dyn Task>),
    Stop,
}

/// A request in the queue.
trait Task: Send + std::fmt::Debug {
    fn deadline(&self) -> Deadline;
    /// Whether nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool;
    /// Does it within a transaction, perhaps again after an attempt that was rolled back.
    fn perform(&mut self, ledger: &Ledger<'_>) -> rusqlite::Result<()>;
    /// Gives the answer, once the transaction's end is known.
    fn settle(self: Box<Self>, ended: Result<()>);
}

struct Job<T, W> {
    deadline: Deadline,
    work: W,
    answer: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
    _room: OwnedSemaphorePermit,
}

impl<T, W> std::fmt::Debug for Job<T, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl<T: Send, W: Fn(&Ledger<'_>) -> Answer<T> + Send> Task for Job<T, W> {
    fn deadline(&self) -> Deadline {
        self.deadline
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn perform(&mut self, ledger: &Ledger<'_>) -> rusqlite::Result<()> {
        self.answer = Some((self.work)(ledger)?);
        Ok(())
    }

    fn settle(self: Box<Self>, ended: Result<()>) {
        let Self { answer, reply, .. } = *self;
        let answer = ended.and_then(|()| answer.expect("a transaction that ended well performed every task"));
        let _ = reply.send(answer);
    }
}

/// How an attempt to do a batch of tasks failed.
enum Attempt {
    /// Nothing of it has happened.
    RolledBack(Failure),
    /// The commit failed: only the file knows.
    Unknown(rusqlite::Error),
}

impl From<Failure> for Attempt {
    fn from(failure: Failure) -> Self {
        Self::RolledBack(failure)
    }
}

/// What the thread works with.
struct Bench<C> {
    access: Access,
    file: StoreFile,
    options: Options,
    clock: Clock,
    committed: C,
    connection: Option<Connection>,
    stop: Arc<AtomicBool>,
}

impl<C: Fn(Revision)> Bench<C> {
    fn work_off(mut self, queue: &mpsc::Receiver<Message>) {
        while let Ok(Message::Task(first)) = queue.recv() {
            let mut batch = vec![first];
            let mut stopped = false;
            while batch.len() < BATCH {
                match queue.try_recv() {
                    Ok(Message::Task(next)) => batch.push(next),
                    Ok(Message::Stop) => {
                        stopped = true;
                        break;
                    }
                    Err(_) => break,
                }
            }
            self.perform(batch);
            if stopped {
                break;
            }
        }
    }

    /// Does the tasks, trying again while the file is locked, each until its deadline.
    fn perform(&mut self, mut batch: Vec<Box<dyn Task>>) {
        let mut pause = FIRST_PAUSE;
        loop {
            batch.retain(|task| !task.is_abandoned());
            if batch.is_empty() {
                return;
            }
            let (ended, again) = match self.attempt(&mut batch) {
                Ok(revision) => {
                    if self.access == Access::Write {
                        (self.committed)(revision);
                    }
                    return batch.into_iter().for_each(|task| task.settle(Ok(())));
                }
                Err(Attempt::RolledBack(failure)) => {
                    let again = matches!(failure, Failure::Busy) && !self.stop.load(Ordering::Relaxed);
                    (Attempt::RolledBack(failure), again)
                }
                Err(unknown) => (unknown, false),
            };
            if !again {
                // Whatever was wrong with this connection shall not last.
                self.connection = None;
                let error = self.error_of(ended);
                return batch.into_iter().for_each(|task| task.settle(Err(error.clone())));
            }
            let (late, rest) = batch.into_iter().partition(|task| task.deadline().has_passed());
            batch = rest;
            let late: Vec<Box<dyn Task>> = late;
            late.into_iter().for_each(|task| task.settle(Err(Failure::Busy.into_error(self.file.path()))));
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn attempt(&mut self, batch: &mut [Box<dyn Task>]) -> Result<Revision, Attempt> {
        let connection = match &mut self.connection {
            Some(connection) => {
                self.file.check_in_place()?;
                connection
            }
            none => none.insert(self.file.connect()?),
        };
        let behavior = match self.access {
            Access::Read => TransactionBehavior::Deferred,
            Access::Write => TransactionBehavior::Immediate,
        };
        let transaction = Transaction::new_unchecked(connection, behavior).map_err(Failure::from)?;
        let ledger = Ledger::new(&transaction, &self.options, &self.clock).map_err(Failure::from)?;
        if self.access == Access::Write {
            ledger.sweep().map_err(Failure::from)?;
        }
        for task in batch {
            task.perform(&ledger).map_err(Failure::from)?;
        }
        let revision = match self.access {
            Access::Read => ledger.revision(),
            Access::Write => ledger.finish().map_err(Failure::from)?,
        };
        match transaction.commit().map_err(Failure::from) {
            Ok(()) => Ok(revision),
            Err(Failure::Sqlite(error)) if self.access == Access::Write => Err(Attempt::Unknown(error)),
            Err(failure) => Err(failure.into()),
        }
    }

    fn error_of(&self, failed: Attempt) -> Error {
        match failed {
            Attempt::RolledBack(failure) => failure.into_error(self.file.path()),
            Attempt::Unknown(error) => Error::Unreachable {
                executed: Executed::Unknown,
                why: format!("{}: {error}", self.file.path().display()),
            },
        }
    }
}
