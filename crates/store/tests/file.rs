//! The file of an embedded store: how it is made, which files are refused, and how large it grows.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use lifeboat_model::Moment;
use lifeboat_model::journal::{EntryKind, JournalEntry};
use lifeboat_model::state::{LeaseId, Outcome, Revision, Transaction, Write};
use lifeboat_store::{Embedded, Error, Options, Store, journal};

fn open(path: &Path, options: Options) -> Result<Embedded, Error> {
    Embedded::open(path, Options { timeout: Duration::from_secs(10), ..options })
}

fn put(key: &str, bytes: usize) -> Transaction {
    Transaction { when: vec![], then: vec![Write::Put { key: key.into(), value: vec![b'v'; bytes], lease: None }] }
}

#[tokio::test]
async fn only_its_owner_may_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lifeboat.db");
    let store = open(&path, Options::default()).unwrap();
    store.transact(put("key", 1)).await.unwrap();
    let mut files = Vec::new();
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let file = file.unwrap();
        files.push(file.file_name().into_string().unwrap());
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    files.sort();
    assert_eq!(files, ["lifeboat.db", "lifeboat.db-shm", "lifeboat.db-wal"]);
}

#[test]
fn what_is_not_a_store_is_refused_by_name_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("text");
    std::fs::write(&text, "app: shop\n".repeat(1000)).unwrap();
    let short = directory.path().join("short");
    std::fs::write(&short, "x").unwrap();
    let cut = directory.path().join("cut");
    std::fs::write(&cut, "SQLite format 3\0").unwrap();
    let sql = |name: &str, statements: &str| {
        let path = directory.path().join(name);
        rusqlite::Connection::open(&path).unwrap().execute_batch(statements).unwrap();
        path
    };
    let foreign = sql("foreign", "CREATE TABLE orders (id INTEGER)");
    let marked = sql("marked", "PRAGMA user_version = 1");
    let future = directory.path().join("future");
    drop(open(&future, Options::default()).unwrap());
    rusqlite::Connection::open(&future).unwrap().pragma_update(None, "user_version", 7).unwrap();
    for (path, why) in [
        (&text, "not a database"),
        (&short, "too short"),
        (&cut, "too short"),
        (&foreign, "another program"),
        (&marked, "another program"),
        (&future, "version 7"),
    ] {
        let before = std::fs::read(path).unwrap();
        let error = open(path, Options::default()).unwrap_err();
        assert!(matches!(&error, Error::Corrupt { path: named, .. } if named == path), "{path:?}: {error:?}");
        let said = error.to_string();
        assert!(said.contains(why) && said.contains(&path.display().to_string()), "{said}");
        assert!(std::fs::read(path).unwrap() == before, "{path:?} was changed");
    }
    assert!(matches!(open(directory.path(), Options::default()), Err(Error::Corrupt { .. })), "a directory");
    let nowhere = directory.path().join("no/such/directory");
    let error = open(&nowhere, Options::default()).unwrap_err();
    assert!(matches!(&error, Error::Unreachable { .. }) && error.to_string().contains("no/such/directory"), "{error}");
}

#[tokio::test]
async fn an_empty_file_becomes_a_store_and_stays_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lifeboat.db");
    std::fs::write(&path, "").unwrap();
    for revision in 1..=3 {
        let store = open(&path, Options::default()).unwrap();
        assert_eq!(store.transact(put("key", 1)).await, Ok(Outcome::Committed(Revision(revision))));
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_is_not_used_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lifeboat.db");
    let store = open(&path, Options::default()).unwrap();
    store.transact(put("key", 1)).await.unwrap();
    let mut watch = store.watch("", Revision(1)).await.unwrap();
    for file in ["lifeboat.db", "lifeboat.db-wal", "lifeboat.db-shm"] {
        std::fs::remove_file(directory.path().join(file)).unwrap();
    }
    assert!(matches!(store.transact(put("key", 1)).await, Err(Error::Corrupt { .. })));
    let other = open(&path, Options::default()).unwrap();
    assert_eq!(other.get("key").await, Ok(None));
    assert!(matches!(store.get("key").await, Err(Error::Corrupt { .. })));
    assert!(matches!(store.transact(put("key", 1)).await, Err(Error::Corrupt { .. })));
    assert!(matches!(watch.next().await, Err(Error::Corrupt { .. })));
}

#[tokio::test]
async fn the_history_is_bounded_and_who_comes_too_late_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lifeboat.db");
    let options = Options { history_revisions: 50, history_bytes: 1024 * 1024, ..Options::default() };
    let store = open(&path, options).unwrap();
    let mut slow = store.watch("", Revision(0)).await.unwrap();
    for _ in 0..200 {
        store.transact(put("key", 10)).await.unwrap();
    }
    let (revision, _) = store.list("").await.unwrap();
    assert_eq!(revision, Revision(200));
    assert_eq!(slow.next().await, Err(Error::Compacted));
    assert_eq!(slow.next().await, Err(Error::Compacted));
    assert_eq!(store.watch("", Revision(1_000)).await.unwrap().next().await, Err(Error::Compacted), "another past");
    let kept = store.watch("", Revision(150)).await.unwrap().next().await.unwrap();
    assert_eq!(kept.len(), 50);

    for number in 0..100 {
        store.transact(put(&format!("large-{}", number % 4), 100 * 1024)).await.unwrap();
    }
    let from = |after| async move { store.watch("", Revision(after)).await.unwrap().next().await };
    assert_eq!(from(280).await, Err(Error::Compacted), "the bytes are bounded, too");
    let store = open(&path, options).unwrap();
    assert!(store.watch("", Revision(295)).await.unwrap().next().await.is_ok());
    drop(store);
    let bytes = std::fs::metadata(&path).unwrap().len();
    assert!(bytes < 4 * 1024 * 1024, "{bytes} bytes for 0.4 MB of entries and 1 MB of history");
}

#[tokio::test]
async fn the_journal_keeps_its_newest_entries() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lifeboat.db");
    let store = open(&path, Options { journal_entries: 100, ..Options::default() }).unwrap();
    store.transact(put("journal-not", 1)).await.unwrap();
    for batch in 0..12 {
        for region in ["b", "a"] {
            let entry = |number| JournalEntry {
                region: region.into(),
                number,
                unix_ms: 0,
                at: Moment(0),
                kind: EntryKind::Refrain,
                component: None,
                epoch: None,
                run: None,
                previous: None,
                what: String::new(),
                why: String::new(),
            };
            for number in 1..=30 {
                let then = vec![journal::write(&entry(batch * 30 + number)).unwrap()];
                store.transact(Transaction { when: vec![], then }).await.unwrap();
            }
        }
    }
    // Counted at revision 512, with 511 entries, of which 411 were removed; 720 - 511 were added after that.
    let (_, entries) = journal::read_after(&store, Revision(0)).await.unwrap();
    assert_eq!(entries.len(), 100 + 720 - 511);
    // The 412th entry: 6 whole batches of 60, the 30 of b, and the 22nd of a.
    assert_eq!((entries[0].1.region.as_str(), entries[0].1.number), ("a", 6 * 30 + 22), "the oldest were removed");
    assert_eq!(journal::last_number(&store, &"a".into()).await, Ok(360));
    assert!(store.get("journal-not").await.unwrap().is_some());
}

#[tokio::test]
async fn a_lease_of_another_boot_has_run_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lifeboat.db");
    let store = open(&path, Options::default()).unwrap();
    let lease = store.grant(Duration::from_secs(3600)).await.unwrap();
    let then = vec![Write::Put { key: "key".into(), value: vec![], lease: Some(lease) }];
    store.transact(Transaction { when: vec![], then }).await.unwrap();
    drop(store);
    rusqlite::Connection::open(&path).unwrap().execute("UPDATE leases SET boot = 'earlier'", []).unwrap();
    let store = open(&path, Options::default()).unwrap();
    let mut watch = store.watch("", Revision(1)).await.unwrap();
    assert_eq!(watch.next().await.unwrap().len(), 1, "its key is deleted");
    assert_eq!(store.get("key").await, Ok(None));
    assert_eq!(store.renew(lease).await, Err(Error::LeaseGone));
    assert_eq!(store.grant(Duration::from_secs(1)).await, Ok(LeaseId(lease.0 + 1)), "no id is used twice");
}
