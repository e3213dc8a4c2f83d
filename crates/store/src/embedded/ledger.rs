//! The store's rules as SQL, inside a transaction that somebody else has begun and will commit.

use std::cell::Cell;

use lifeboat_model::Moment;
use lifeboat_model::state::{Change, Condition, Entry, LeaseId, Outcome, Revision, Transaction, Write};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Options;
use super::clock::Clock;
use crate::{Error, Result, journal};

/// How many changes, and how many bytes of them, one answer to a watcher holds before it ends with its last revision.
const CHANGES_AT_ONCE: usize = 1_000;
const CHANGE_BYTES_AT_ONCE: usize = 4 * 1024 * 1024;
/// What a change costs in the file besides its key and value, in bytes; an estimate.
const CHANGE_OVERHEAD_BYTES: usize = 64;
/// After how many revisions the journal's entries are counted, for counting reads them all.
const REVISIONS_BETWEEN_COUNTS: u64 = 512;
/// How many entries of the journal are removed at once.
const ENTRIES_TRIMMED_AT_ONCE: u64 = 5_000;

/// A result in which SQLite's failures, after which everything is rolled back, are apart from the store's own answers.
pub(super) type Answer<T> = rusqlite::Result<Result<T>>;

/// The store as one transaction sees it.
pub(super) struct Ledger<'a> {
    connection: &'a Connection,
    options: &'a Options,
    boot: &'a str,
    now: Moment,
    revision_before: u64,
    revision: Cell<u64>,
    compacted: u64,
    history_bytes: Cell<u64>,
}

impl<'a> Ledger<'a> {
    /// Begins to look at the store in the connection's transaction.
    pub(super) fn new(connection: &'a Connection, options: &'a Options, clock: &'a Clock) -> rusqlite::Result<Self> {
        let (revision, compacted, history_bytes) = connection
            .prepare_cached("SELECT revision, compacted, history_bytes FROM store")?
            .query_row([], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?, unsigned(row, 2)?)))?;
        Ok(Self {
            connection,
            options,
            boot: clock.boot(),
            now: clock.now(),
            revision_before: revision,
            revision: Cell::new(revision),
            compacted,
            history_bytes: Cell::new(history_bytes),
        })
    }

    /// The newest revision.
    pub(super) fn revision(&self) -> Revision {
        Revision(self.revision.get())
    }

    /// Whether a lease has run out and its keys are still there: then nothing may be read before [`sweep`](Self::sweep).
    pub(super) fn needs_sweep(&self) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM leases WHERE expires <= ?1 OR boot <> ?2)")?
            .query_row(params![signed(self.now.0), self.boot], |row| row.get(0))
    }

    /// When the next lease runs out.
    pub(super) fn next_expiry(&self) -> rusqlite::Result<Option<Moment>> {
        let mut statement =
            self.connection.prepare_cached("SELECT min(CASE WHEN boot = ?1 THEN expires ELSE 0 END) FROM leases")?;
        statement.query_row([self.boot], |row| Ok(row.get::<_, Option<i64>>(0)?.map(|at| Moment(at.unsigned_abs()))))
    }

    pub(super) fn get(&self, key: &str) -> rusqlite::Result<Option<Entry>> {
        self.connection
            .prepare_cached("SELECT key, revision, lease, value FROM entries WHERE key = ?1")?
            .query_row([key], entry)
            .optional()
    }

    pub(super) fn list_after(&self, prefix: &str, after: Revision) -> rusqlite::Result<(Revision, Vec<Entry>)> {
        let mut entries = Vec::new();
        if after == Revision(0) {
            let mut statement = self
                .connection
                .prepare_cached("SELECT key, revision, lease, value FROM entries WHERE key >= ?1 ORDER BY key")?;
            let mut rows = statement.query([prefix])?;
            while let Some(row) = rows.next()? {
                if !starts_with(row, 0, prefix)? {
                    break;
                }
                entries.push(entry(row)?);
            }
        } else {
            let mut statement = self
                .connection
                .prepare_cached("SELECT key, revision, lease, value FROM entries WHERE revision > ?1")?;
            let mut rows = statement.query([signed(after.0)])?;
            while let Some(row) = rows.next()? {
                if starts_with(row, 0, prefix)? {
                    entries.push(entry(row)?);
                }
            }
            entries.sort_by(|a, b| a.key.cmp(&b.key));
        }
        Ok((self.revision(), entries))
    }

    /// The changes of whole revisions after `after`, and the revision up to which they are all.
    pub(super) fn changes(&self, prefix: &str, after: Revision) -> Answer<(Revision, Vec<Change>)> {
        if after.0 < self.compacted || after > self.revision() {
            return Ok(Err(Error::Compacted));
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT key, revision, lease, value FROM changes WHERE revision > ?1 ORDER BY revision, part",
        )?;
        let mut rows = statement.query([signed(after.0)])?;
        let (mut changes, mut bytes, mut last) = (Vec::new(), 0, after.0);
        while let Some(row) = rows.next()? {
            let revision = unsigned(row, 1)?;
            if revision != last && (changes.len() >= CHANGES_AT_ONCE || bytes >= CHANGE_BYTES_AT_ONCE) {
                return Ok(Ok((Revision(last), changes)));
            }
            last = revision;
            if !starts_with(row, 0, prefix)? {
                continue;
            }
            changes.push(match row.get_ref(3)?.as_blob_or_null()? {
                Some(value) => {
                    bytes += value.len();
                    Change::Put(entry(row)?)
                }
                None => Change::Delete { key: row.get(0)?, revision: Revision(revision) },
            });
        }
        Ok(Ok((self.revision(), changes)))
    }

    /// Deletes the keys of leases that have run out, a revision for each lease that had any.
    pub(super) fn sweep(&self) -> rusqlite::Result<()> {
        if !self.needs_sweep()? {
            return Ok(());
        }
        let mut statement =
            self.connection.prepare_cached("SELECT id FROM leases WHERE expires <= ?1 OR boot <> ?2 ORDER BY id")?;
        let gone: Vec<i64> = statement
            .query_map(params![signed(self.now.0), self.boot], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        gone.into_iter().try_for_each(|lease| self.end_lease(lease))
    }

    pub(super) fn transact(&self, transaction: &Transaction) -> Answer<Outcome> {
        for condition in &transaction.when {
            if !self.holds(condition)? {
                return Ok(Ok(Outcome::Conflict));
            }
        }
        for write in &transaction.then {
            if let Write::Put { lease: Some(lease), .. } = write
                && !self.is_alive(*lease)?
            {
                return Ok(Err(Error::LeaseGone));
            }
        }
        let mut parts = Parts::new(self);
        for write in &transaction.then {
            match write {
                Write::Put { key, value, lease } => parts.put(key, value, *lease)?,
                Write::Delete { key } => parts.delete(key)?,
            }
        }
        Ok(Ok(Outcome::Committed(self.revision())))
    }

    pub(super) fn grant(&self, ttl: std::time::Duration) -> rusqlite::Result<LeaseId> {
        let ttl = i64::try_from(ttl.as_nanos()).unwrap_or(i64::MAX);
        self.connection
            .prepare_cached("INSERT INTO leases (boot, ttl, expires) VALUES (?1, ?2, ?3)")?
            .execute(params![self.boot, ttl, signed(self.now.0).saturating_add(ttl)])?;
        Ok(LeaseId(self.connection.last_insert_rowid()))
    }

    pub(super) fn renew(&self, lease: LeaseId) -> Answer<()> {
        let ttl: Option<i64> = self
            .connection
            .prepare_cached("SELECT ttl FROM leases WHERE id = ?1")?
            .query_row([lease.0], |row| row.get(0))
            .optional()?;
        let Some(ttl) = ttl else { return Ok(Err(Error::LeaseGone)) };
        self.connection
            .prepare_cached("UPDATE leases SET expires = ?2 WHERE id = ?1")?
            .execute([lease.0, signed(self.now.0).saturating_add(ttl)])?;
        Ok(Ok(()))
    }

    pub(super) fn revoke(&self, lease: LeaseId) -> rusqlite::Result<()> {
        self.end_lease(lease.0)
    }

    /// Ends the transaction's work: bounds the journal and the history, and notes the new revision.
    pub(super) fn finish(self) -> rusqlite::Result<Revision> {
        if self.revision.get() == self.revision_before {
            return Ok(self.revision());
        }
        if self.revision.get() / REVISIONS_BETWEEN_COUNTS != self.revision_before / REVISIONS_BETWEEN_COUNTS {
            self.trim_journal()?;
        }
        let compacted = self.compact()?;
        self.connection
            .prepare_cached("UPDATE store SET revision = ?1, compacted = ?2, history_bytes = ?3")?
            .execute([signed(self.revision.get()), signed(compacted), signed(self.history_bytes.get())])?;
        Ok(self.revision())
    }

    fn holds(&self, condition: &Condition) -> rusqlite::Result<bool> {
        let revision_of = |key: &str| {
            self.connection
                .prepare_cached("SELECT revision FROM entries WHERE key = ?1")?
                .query_row([key], |row| unsigned(row, 0))
                .optional()
        };
        Ok(match condition {
            Condition::Unchanged(key, revision) => revision_of(key)? == Some(revision.0),
            Condition::Absent(key) => revision_of(key)?.is_none(),
            Condition::Present(key) => revision_of(key)?.is_some(),
        })
    }

    /// Whether there is such a lease; those that have run out were swept when the transaction began.
    fn is_alive(&self, lease: LeaseId) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM leases WHERE id = ?1)")?
            .query_row([lease.0], |row| row.get(0))
    }

    fn end_lease(&self, lease: i64) -> rusqlite::Result<()> {
        self.delete_all("SELECT key FROM entries WHERE lease = ?1 ORDER BY key", lease)?;
        self.connection.prepare_cached("DELETE FROM leases WHERE id = ?1")?.execute([lease])?;
        Ok(())
    }

    fn trim_journal(&self) -> rusqlite::Result<()> {
        let count: u64 = self
            .connection
            .prepare_cached("SELECT count(*) FROM entries WHERE key >= 'journal/' AND key < 'journal0'")?
            .query_row([], |row| unsigned(row, 0))?;
        debug_assert_eq!(journal::PREFIX, "journal/");
        let excess = count.saturating_sub(self.options.journal_entries).min(ENTRIES_TRIMMED_AT_ONCE);
        if excess == 0 {
            return Ok(());
        }
        self.delete_all(
            "SELECT key FROM entries INDEXED BY entries_by_revision
             WHERE key >= 'journal/' AND key < 'journal0' ORDER BY revision LIMIT ?1",
            signed(excess),
        )
    }

    /// Deletes the keys that a query finds, as one revision.
    fn delete_all(&self, query: &str, parameter: i64) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(query)?;
        let keys: Vec<String> = statement.query_map([parameter], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        let mut parts = Parts::new(self);
        keys.iter().try_for_each(|key| parts.delete(key))
    }

    /// Forgets the oldest changes once a bound is exceeded by a tenth, and says up to which revision none are kept.
    fn compact(&self) -> rusqlite::Result<u64> {
        let Options { history_revisions, history_bytes, .. } = *self.options;
        let (revision, bytes) = (self.revision.get(), self.history_bytes.get());
        let too_many = revision - self.compacted > history_revisions + history_revisions / 10;
        let too_large = bytes > history_bytes + history_bytes / 10;
        if !too_many && !too_large {
            return Ok(self.compacted);
        }
        let mut upto = self.compacted;
        let mut kept = bytes;
        let mut statement = self.connection.prepare_cached("SELECT revision, bytes FROM changes ORDER BY revision")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let next = unsigned(row, 0)?;
            if next != upto && kept <= history_bytes && revision - upto <= history_revisions {
                break;
            }
            upto = next;
            kept = kept.saturating_sub(unsigned(row, 1)?);
        }
        self.connection.prepare_cached("DELETE FROM changes WHERE revision <= ?1")?.execute([signed(upto)])?;
        self.history_bytes.set(kept);
        Ok(upto)
    }
}

/// The changes of one revision, which exists from the first of them on.
struct Parts<'a> {
    ledger: &'a Ledger<'a>,
    revision: u64,
    count: i64,
}

impl<'a> Parts<'a> {
    fn new(ledger: &'a Ledger<'a>) -> Self {
        Self { ledger, revision: ledger.revision.get() + 1, count: 0 }
    }

    fn put(&mut self, key: &str, value: &[u8], lease: Option<LeaseId>) -> rusqlite::Result<()> {
        self.ledger
            .connection
            .prepare_cached(
                "INSERT INTO entries (key, revision, lease, value) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (key) DO UPDATE SET revision = ?2, lease = ?3, value = ?4",
            )?
            .execute(params![key, signed(self.revision), lease.map(|lease| lease.0), value])?;
        self.record(key, Some(value), lease)
    }

    fn delete(&mut self, key: &str) -> rusqlite::Result<()> {
        let deleted = self.ledger.connection.prepare_cached("DELETE FROM entries WHERE key = ?1")?.execute([key])?;
        if deleted == 0 { Ok(()) } else { self.record(key, None, None) }
    }

    fn record(&mut self, key: &str, value: Option<&[u8]>, lease: Option<LeaseId>) -> rusqlite::Result<()> {
        let bytes = (key.len() + value.map_or(0, <[u8]>::len) + CHANGE_OVERHEAD_BYTES) as u64;
        self.ledger
            .connection
            .prepare_cached(
                "INSERT INTO changes (revision, part, bytes, key, lease, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                signed(self.revision),
                self.count,
                signed(bytes),
                key,
                lease.map(|lease| lease.0),
                value
            ])?;
        self.count += 1;
        self.ledger.revision.set(self.revision);
        self.ledger.history_bytes.set(self.ledger.history_bytes.get() + bytes);
        Ok(())
    }
}

/// An entry from the columns key, revision, lease, value.
fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        key: row.get(0)?,
        revision: Revision(unsigned(row, 1)?),
        lease: row.get::<_, Option<i64>>(2)?.map(LeaseId),
        value: row.get(3)?,
    })
}

fn starts_with(row: &Row<'_>, column: usize, prefix: &str) -> rusqlite::Result<bool> {
    Ok(row.get_ref(column)?.as_bytes()?.starts_with(prefix.as_bytes()))
}

/// SQLite's integers are signed; what is counted here never comes near the difference.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let count: i64 = row.get(column)?;
    u64::try_from(count).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, count))
}
