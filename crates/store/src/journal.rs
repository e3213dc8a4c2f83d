//! The journal on top of a store: every entry is a key of its own, written in the transaction of the decision that it
//! tells of, so that neither exists without the other (promise A1).

use std::path::PathBuf;

use lifeboat_model::RegionId;
use lifeboat_model::journal::JournalEntry;
use lifeboat_model::state::{Entry, Revision, Write};

use crate::{Error, Result, Store};

/// What the keys of journal entries begin with.
pub const PREFIX: &str = "journal/";

/// How many entries are kept, the newest, of all regions together.
pub const ENTRIES_KEPT: u64 = 100_000;

/// The write that adds an entry to the journal.
///
/// # Errors
/// [`Error::Invalid`] if the entry cannot be expressed as JSON.
pub fn write(entry: &JournalEntry) -> Result<Write> {
    let value = serde_json::to_vec(entry).map_err(|error| Error::Invalid(format!("a journal entry: {error}")))?;
    Ok(Write::Put { key: key(&entry.region, entry.number), value, lease: None })
}

/// The key of a region's entry of that number.
pub fn key(region: &RegionId, number: u64) -> String {
    format!("{PREFIX}{region}/{number:012}")
}

/// The entry that a key of the journal holds.
///
/// # Errors
/// [`Error::Corrupt`] if it is none.
pub fn parse(entry: &Entry) -> Result<JournalEntry> {
    serde_json::from_slice(&entry.value).map_err(|error| Error::Corrupt {
        path: PathBuf::from(&entry.key),
        why: format!("not a journal entry: {error}"),
    })
}

/// The entries written after a revision, in the order in which they were written, each with its revision, and the
/// revision up to which that is all.
///
/// # Errors
/// Those of [`Store::list_after`], and [`Error::Corrupt`].
pub async fn read_after(store: &dyn Store, after: Revision) -> Result<(Revision, Vec<(Revision, JournalEntry)>)> {
    let (revision, mut entries) = store.list_after(PREFIX, after).await?;
    entries.sort_by_key(|entry| entry.revision);
    let entries = entries.iter().map(|entry| Ok((entry.revision, parse(entry)?))).collect::<Result<_>>()?;
    Ok((revision, entries))
}

/// The journal as it is stored, byte for byte.
#[derive(Clone, Debug)]
pub struct Stored {
    /// What lies below the prefix of the heads.
    pub heads: Vec<Entry>,
    /// The entries, none of which was written after the heads were read.
    pub entries: Vec<Entry>,
    /// How many entries there are in all.
    pub count: usize,
}

/// The journal's entries as they are stored, and what lies below `heads`: no entry is newer than its region's head.
///
/// # Errors
/// Those of [`Store::list`].
pub async fn read_stored(store: &dyn Store, heads: &str) -> Result<Stored> {
    // The heads first: what is written between the two readings is left out again. Nothing else is: an entry that claims a revision
    // which has not come yet is one that somebody put there.
    let (seen, heads) = store.list(heads).await?;
    let (newest, mut entries) = store.list(PREFIX).await?;
    let count = entries.len();
    entries.retain(|entry| entry.revision <= seen || entry.revision > newest);
    Ok(Stored { heads, entries, count })
}

/// The number of a region's newest entry, 0 if there is none: a node that starts goes on from there.
///
/// # Errors
/// Those of [`Store::list`].
pub async fn last_number(store: &dyn Store, region: &RegionId) -> Result<u64> {
    let prefix = format!("{PREFIX}{region}/");
    let (_, entries) = store.list(&prefix).await?;
    Ok(entries.iter().filter_map(|entry| entry.key[prefix.len()..].parse().ok()).max().unwrap_or(0))
}
