//! The embedded store: one SQLite file, shared by the processes of one machine, safe under SIGKILL at any instant.
//!
//! Not for network file systems, whose locks SQLite cannot rely on. Each handle has three threads: one that writes, one
//! that reads, and one that looks for other processes' changes while somebody watches.

use std::path::Path;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lifeboat_model::state::{Change, Entry, LeaseId, Outcome, Revision, Transaction};
use tokio::sync::watch;

use self::clock::Clock;
use self::file::StoreFile;
use self::ledger::Ledger;
use self::poller::{Poller, Watching};
use self::worker::{Access, Queue, Worker};
use crate::limits::{check_key, check_transaction};
use crate::{Error, Executed, Result, Store, Watch, journal};

mod clock;
mod file;
mod ledger;
mod poller;
mod worker;

/// How an embedded store behaves. Nodes that share a file should agree on the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long an operation waits for a locked file before it is [`Error::Unreachable`].
    pub timeout: Duration,
    /// How many revisions of history are kept for watchers, at least.
    pub history_revisions: u64,
    /// How many bytes of history are kept; this bound wins over the other.
    pub history_bytes: u64,
    /// How many entries of the journal are kept, the newest.
    pub journal_entries: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(2),
            history_revisions: 10_000,
            history_bytes: 64 * 1024 * 1024,
            journal_entries: journal::ENTRIES_KEPT,
        }
    }
}

/// A handle to a store in an SQLite file. Dropping it ends its threads and waits for them; its watches end with it.
#[derive(Debug)]
pub struct Embedded {
    writer: Worker,
    reader: Worker,
    poller: Poller,
    news: watch::Sender<Revision>,
}

impl Embedded {
    /// Opens the file, creating it (readable by its owner only) if there is none. Blocks, at most for the timeout if
    /// another process has it locked.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the file is not a state store of this version, in which case it is left as it is;
    /// [`Error::Unreachable`] if it cannot be opened.
    pub fn open(path: &Path, options: Options) -> Result<Self> {
        let file = StoreFile::open(path, Deadline::after(options.timeout))?;
        let clock = Clock::of_this_boot()?;
        let (news, _) = watch::channel(Revision(0));
        let threads = || {
            let told = news.clone();
            let committed = move |revision| poller::announce(&told, revision);
            let writer = Worker::start(Access::Write, file.clone(), options, clock.clone(), committed)?;
            let reader = Worker::start(Access::Read, file.clone(), options, clock.clone(), |_| {})?;
            let poller = Poller::start(file.clone(), options, clock.clone(), news.clone())?;
            Ok::<_, std::io::Error>((writer, reader, poller))
        };
        let (writer, reader, poller) = threads()
            .map_err(|error| Error::Unreachable { executed: Executed::No, why: format!("no thread: {error}") })?;
        Ok(Self { writer, reader, poller, news })
    }

    /// Reads, and only if a lease has run out whose keys nobody has deleted yet, deletes them first.
    async fn read<T: Send + 'static>(
        &self,
        read: impl Fn(&Ledger<'_>) -> rusqlite::Result<T> + Clone + Send + 'static,
    ) -> Result<T> {
        let cautious = read.clone();
        let answer = self
            .reader
            .queue()
            .ask(move |ledger| Ok(Ok(if ledger.needs_sweep()? { None } else { Some(cautious(ledger)?) })));
        match answer.await? {
            Some(answer) => Ok(answer),
            None => self.writer.queue().ask(move |ledger| Ok(Ok(read(ledger)?))).await,
        }
    }
}

#[async_trait]
impl Store for Embedded {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        check_key(key)?;
        let key = key.to_owned();
        self.read(move |ledger| ledger.get(&key)).await
    }

    async fn list_after(&self, prefix: &str, after: Revision) -> Result<(Revision, Vec<Entry>)> {
        let prefix = prefix.to_owned();
        self.read(move |ledger| ledger.list_after(&prefix, after)).await
    }

    async fn transact(&self, transaction: Transaction) -> Result<Outcome> {
        check_transaction(&transaction)?;
        self.writer.queue().ask(move |ledger| ledger.transact(&transaction)).await
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId> {
        self.writer.queue().ask(move |ledger| Ok(Ok(ledger.grant(ttl)?))).await
    }

    async fn renew(&self, lease: LeaseId) -> Result<()> {
        self.writer.queue().ask(move |ledger| ledger.renew(lease)).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.writer.queue().ask(move |ledger| Ok(Ok(ledger.revoke(lease)?))).await
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Box<dyn Watch>> {
        Ok(Box::new(EmbeddedWatch {
            reader: self.reader.queue().clone(),
            news: self.news.subscribe(),
            prefix: prefix.to_owned(),
            after,
            _watching: self.poller.join_in(),
        }))
    }
}

/// A place in the history.
#[derive(Debug)]
struct EmbeddedWatch {
    reader: Queue,
    news: watch::Receiver<Revision>,
    prefix: String,
    after: Revision,
    _watching: Watching,
}

#[async_trait]
impl Watch for EmbeddedWatch {
    async fn next(&mut self) -> Result<Vec<Change>> {
        loop {
            // Before reading, so that what is announced meanwhile is read in the next round.
            self.news.mark_unchanged();
            let (prefix, after) = (self.prefix.clone(), self.after);
            let (upto, changes) = self.reader.ask(move |ledger| ledger.changes(&prefix, after)).await?;
            self.after = upto;
            if !changes.is_empty() {
                return Ok(changes);
            }
            self.news
                .changed()
                .await
                .map_err(|_| Error::Unreachable { executed: Executed::No, why: "the store was closed".into() })?;
        }
    }
}

/// Until when somebody waits.
#[derive(Clone, Copy, Debug)]
struct Deadline(Instant);

impl Deadline {
    fn after(timeout: Duration) -> Self {
        Self(Instant::now() + timeout)
    }

    fn has_passed(self) -> bool {
        self.remaining().is_zero()
    }

    fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}
