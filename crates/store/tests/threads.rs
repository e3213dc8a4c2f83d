//! A handle that is dropped leaves no thread behind, even if the file is locked and somebody waits.
//!
//! The only test of its file, because it looks at all threads of the process.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::{Duration, Instant};

use lifeboat_model::state::{Revision, Transaction, Write};
use lifeboat_store::{Embedded, Error, Options, Store};

/// The threads of stores in this process, by name.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    let mut names: Vec<String> =
        names.map(|name| name.trim().to_owned()).filter(|name| name.starts_with("store-")).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_handle_joins_its_threads() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lifeboat.db");
    let timeout = Duration::from_secs(600);
    let store = Embedded::open(&path, Options { timeout, ..Options::default() }).unwrap();
    let mut watch = store.watch("", Revision(0)).await.unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let then = vec![Write::Put { key: "key".into(), value: vec![], lease: None }];
    let waiting = store.transact(Transaction { when: vec![], then });
    assert!(tokio::time::timeout(Duration::from_millis(100), waiting).await.is_err(), "the file is locked");
    assert_eq!(threads(), ["store-read", "store-watch", "store-write"]);

    let begun = Instant::now();
    drop(store);
    assert!(begun.elapsed() < timeout / 10, "it does not wait for the lock");
    assert_eq!(threads(), [""; 0]);
    assert!(matches!(watch.next().await, Err(Error::Unreachable { .. })), "a watch ends with its handle");
    other.execute_batch("ROLLBACK").unwrap();
    let again = Embedded::open(&path, Options::default()).unwrap();
    assert_eq!(again.get("key").await, Ok(None), "what nobody waits for any more is not done");
}
