//! The SQLite file: created so that it survives, opened only if it is ours, and noticed when it is replaced.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use rustix::fs::{Mode, OFlags, fstat};

use super::Deadline;
use crate::{Error, Executed, Result};

/// `LIFB`: marks the file as ours, at a fixed place of SQLite's header.
const APPLICATION_ID: i32 = 0x4c49_4642;
/// The version of [`SCHEMA`].
const SCHEMA_VERSION: i32 = 1;
/// The smallest page of SQLite, of which a file holds one at least. SQLite itself takes a file of one byte for an empty one.
const SMALLEST_BYTES: u64 = 512;
/// How much of the write-ahead log stays on disk after a checkpoint, in bytes.
const LOG_BYTES_KEPT: u32 = 8 * 1024 * 1024;

/// `entries` is the present, `changes` the history, which begins after `store.compacted`.
const SCHEMA: &str = "
    CREATE TABLE store (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        revision INTEGER NOT NULL,
        compacted INTEGER NOT NULL,
        history_bytes INTEGER NOT NULL
    );
    INSERT INTO store VALUES (1, 0, 0, 0);
    CREATE TABLE entries (key TEXT PRIMARY KEY NOT NULL, revision INTEGER NOT NULL, lease INTEGER, value BLOB NOT NULL);
    CREATE INDEX entries_by_revision ON entries (revision);
    CREATE INDEX entries_by_lease ON entries (lease) WHERE lease IS NOT NULL;
    CREATE TABLE changes (
        revision INTEGER NOT NULL,
        part INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        key TEXT NOT NULL,
        lease INTEGER,
        value BLOB,
        PRIMARY KEY (revision, part)
    );
    CREATE TABLE leases (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        boot TEXT NOT NULL,
        ttl INTEGER NOT NULL,
        expires INTEGER NOT NULL
    );
";

/// A file that was found to be ours, or made so.
#[derive(Clone, Debug)]
pub(super) struct StoreFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// Keeps the inode's number from being given to a file that replaces this one, for as long as anybody may ask.
    #[expect(dead_code, reason = "held for what it keeps from happening")]
    pin: Arc<OwnedFd>,
}

impl StoreFile {
    /// Opens the file, creating it if there is none, and waits until the deadline while another process has it locked.
    pub(super) fn open(path: &Path, deadline: Deadline) -> Result<Self> {
        loop {
            match Self::try_open(path) {
                Err(Failure::Busy) if !deadline.has_passed() => std::thread::sleep(Duration::from_millis(5)),
                Err(failure) => return Err(failure.into_error(path)),
                Ok(file) => return Ok(file),
            }
        }
    }

    /// Where the file is, as it was given.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A new connection to the file.
    pub(super) fn connect(&self) -> Result<Connection, Failure> {
        self.check_in_place()?;
        let connection = connect(&self.path)?;
        self.check_in_place()?;
        Ok(connection)
    }

    /// Fails if the path leads to another file by now: nodes that start later would use that one, and two writers could
    /// be chosen, one in each (promise S1).
    pub(super) fn check_in_place(&self) -> Result<(), Failure> {
        match fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => Ok(()),
            Ok(_) => Err(self.broken("the file was replaced while it was in use")),
            Err(error) => Err(self.broken(&format!("the file was in use and is not there any more: {error}"))),
        }
    }

    fn broken(&self, why: &str) -> Failure {
        Failure::Final(Error::Corrupt { path: self.path.clone(), why: why.to_owned() })
    }

    fn try_open(path: &Path) -> Result<Self, Failure> {
        create(path).map_err(|error| Failure::Final(unreachable(path, &error)))?;
        // Without access to the content, and without harm to locks: closing any other descriptor of the file would drop
        // those that SQLite holds in this process.
        let pin = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| Failure::Final(unreachable(path, &error)))?;
        let pinned = fstat(&pin).map_err(|error| Failure::Final(unreachable(path, &error)))?;
        let found = fs::metadata(path).map_err(|error| Failure::Final(unreachable(path, &error)))?;
        let corrupt = |why: String| Failure::Final(Error::Corrupt { path: path.to_owned(), why });
        if !found.is_file() {
            return Err(corrupt("it is not a file".into()));
        }
        if (1..SMALLEST_BYTES).contains(&found.len()) {
            return Err(corrupt("too short for an SQLite file".into()));
        }
        let connection = connect(path)?;
        if connection.is_readonly("main")? {
            return Err(Failure::Final(unreachable(path, &"no permission to write to it")));
        }
        let seen = Content::of(&connection)?;
        if let Some(why) = seen.foreign() {
            return Err(corrupt(why));
        }
        connection.pragma_update(None, "journal_mode", "wal")?;
        if seen == Content::Empty {
            initialise(&connection)?;
            sync_directory(path).map_err(|error| Failure::Final(unreachable(path, &error)))?;
        }
        let file = Self { path: path.to_owned(), device: pinned.st_dev, inode: pinned.st_ino, pin: Arc::new(pin) };
        file.check_in_place()?;
        Ok(file)
    }
}

/// Why something with the file failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Somebody else has it locked; nothing has happened.
    Busy,
    /// Nothing has happened, and trying at once again is of no use.
    Final(Error),
    /// SQLite says no; nothing has happened, for the transaction is rolled back.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            _ => Self::Sqlite(error),
        }
    }
}

impl Failure {
    /// What the caller is told.
    pub(super) fn into_error(self, path: &Path) -> Error {
        match self {
            Self::Busy => unreachable(path, &"locked by another process for too long"),
            Self::Final(error) => error,
            Self::Sqlite(error) => {
                let corrupt =
                    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
                        || error.sqlite_error().is_none();
                if corrupt {
                    Error::Corrupt { path: path.to_owned(), why: error.to_string() }
                } else {
                    unreachable(path, &error)
                }
            }
        }
    }
}

/// What a file holds.
#[derive(Debug, PartialEq, Eq)]
enum Content {
    Empty,
    Ours,
    OtherVersion(i32),
    OtherProgram,
}

impl Content {
    fn of(connection: &Connection) -> rusqlite::Result<Self> {
        let snapshot = Transaction::new_unchecked(connection, TransactionBehavior::Deferred)?;
        let tables: i64 = snapshot.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let application_id: i32 = snapshot.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version: i32 = snapshot.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok(match (application_id, version, tables) {
            (APPLICATION_ID, SCHEMA_VERSION, 1..) => Self::Ours,
            (APPLICATION_ID, version, _) => Self::OtherVersion(version),
            (0, 0, 0) => Self::Empty,
            _ => Self::OtherProgram,
        })
    }

    fn foreign(&self) -> Option<String> {
        match self {
            Self::Empty | Self::Ours => None,
            Self::OtherVersion(version) => Some(format!(
                "a state store of schema version {version}, and this program knows version {SCHEMA_VERSION} only"
            )),
            Self::OtherProgram => Some("an SQLite file of another program, not a state store".into()),
        }
    }
}

/// Makes an empty file that only its owner can read, unless there is a file. It gets its name only after it was closed:
/// closing any descriptor of an SQLite file drops all the locks that the process has on it.
fn create(path: &Path) -> std::io::Result<()> {
    if fs::symlink_metadata(path).is_ok() {
        return Ok(());
    }
    let empty = tempfile::Builder::new().prefix(".lifeboat-").tempfile_in(directory_of(path))?.into_temp_path();
    match empty.persist_noclobber(path) {
        Err(error) if error.error.kind() != std::io::ErrorKind::AlreadyExists => Err(error.error),
        _ => sync_directory(path),
    }
}

fn connect(path: &Path) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // Waiting is done by those who know their deadline.
    connection.busy_timeout(Duration::ZERO)?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn initialise(connection: &Connection) -> Result<(), Failure> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 {
        // Another process was faster: look again at what it has made.
        return Err(Failure::Busy);
    }
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    Ok(transaction.commit()?)
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_directory(path: &Path) -> std::io::Result<()> {
    fs::File::open(directory_of(path))?.sync_all()
}

fn unreachable(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::Unreachable { executed: Executed::No, why: format!("{}: {why}", path.display()) }
}
