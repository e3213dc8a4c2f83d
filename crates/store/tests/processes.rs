//! One file under several processes: killed at any instant, locked for seconds, watched across processes.
//!
//! The processes are this test binary again, which runs only `the_child` with orders in its environment.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifeboat_model::state::{Change, Condition, Outcome, Revision, Transaction, Write};
use lifeboat_store::{Embedded, Error, Executed, Options, Store};

const ORDERS: &str = "LIFEBOAT_STORE_TEST_ORDERS";
const FILE: &str = "LIFEBOAT_STORE_TEST_FILE";
/// Keys of one transaction of a child, so that a half would show.
const PARTS: usize = 5;

/// A child that is ended with the test, also when that panics.
struct Process(Child);

impl Process {
    fn start(file: &Path, orders: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["the_child", "--exact", "--nocapture", "--test-threads=1"])
            .env(ORDERS, orders)
            .env(FILE, file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Waits for a line that the child says, and returns the reader for those after it.
    fn heard(&mut self, expected: &str) -> BufReader<std::process::ChildStdout> {
        let mut reader = BufReader::new(self.0.stdout.take().unwrap());
        let mut line = String::new();
        while line.trim() != expected {
            line.clear();
            assert_ne!(reader.read_line(&mut line).unwrap(), 0, "the child ended before it said {expected}");
        }
        reader
    }

    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn put(key: &str, value: &str) -> Write {
    Write::Put { key: key.into(), value: value.into(), lease: None }
}

fn open(path: &Path) -> Embedded {
    Embedded::open(path, Options { timeout: Duration::from_secs(30), ..Options::default() }).unwrap()
}

/// What a child process does; nothing where the tests are run as usual.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_child() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let path = PathBuf::from(std::env::var_os(FILE).unwrap());
    let orders: Vec<&str> = orders.split(' ').collect();
    match orders[..] {
        ["write", writer] => write_for_ever(&path, writer).await,
        ["lock", "write"] => lock(&path, "BEGIN IMMEDIATE"),
        ["lock", "all"] => lock(&path, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE"),
        _ => panic!("unknown orders: {orders:?}"),
    }
}

/// Commits transactions of several keys and says each revision once it is committed, until it is killed.
async fn write_for_ever(path: &Path, writer: &str) {
    let store = open(path);
    println!();
    for number in 0.. {
        let keys = (0..PARTS).map(|part| put(&format!("{writer}/{number:06}/{part}"), &format!("{number}")));
        let then = keys.chain([put(&format!("{writer}-newest"), &format!("{number}"))]).collect();
        match store.transact(Transaction { when: vec![], then }).await.unwrap() {
            Outcome::Committed(revision) => println!("{number} {}", revision.0),
            Outcome::Conflict => panic!("there was no condition"),
        }
    }
}

/// Holds the file locked until its standard input ends.
fn lock(path: &Path, how: &str) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    connection.execute_batch(how).unwrap();
    println!("\nlocked");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    connection.execute_batch("ROLLBACK").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_committed_survives_sigkill_and_nothing_is_half_done() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lifeboat.db");
    let mut reported: BTreeMap<String, BTreeMap<u64, u64>> = BTreeMap::new();
    // The first round is killed while the file is being created.
    for (round, life_ms) in [3_u64, 20, 45, 80, 150, 260, 310, 420].into_iter().enumerate() {
        let mut writers: Vec<(String, Process)> = (0..3)
            .map(|number| format!("writer-{round}-{number}"))
            .map(|name| (name.clone(), Process::start(&path, &format!("write {name}"))))
            .collect();
        std::thread::sleep(Duration::from_millis(life_ms));
        for (name, writer) in &mut writers {
            writer.kill();
            let said = std::io::read_to_string(writer.0.stdout.take().unwrap()).unwrap();
            // The last line may have been cut off.
            let whole = &said[..said.rfind('\n').map_or(0, |end| end + 1)];
            let committed = whole.lines().filter_map(|line| {
                let (number, revision) = line.split_once(' ')?;
                Some((number.parse().ok()?, revision.parse().ok()?))
            });
            reported.insert(name.clone(), committed.collect());
        }
    }
    assert!(reported.values().map(BTreeMap::len).sum::<usize>() > 0, "somebody wrote something");

    let store = open(&path);
    let (newest, entries) = store.list("writer-").await.unwrap();
    let mut found: BTreeMap<(String, u64), Vec<Revision>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.key.contains('/')) {
        let parts: Vec<&str> = entry.key.split('/').collect();
        found.entry((parts[0].to_owned(), parts[1].parse().unwrap())).or_default().push(entry.revision);
    }
    for ((writer, number), revisions) in &found {
        assert_eq!(revisions.len(), PARTS, "{writer} {number} is half done");
        assert!(revisions.iter().all(|revision| *revision == revisions[0] && *revision <= newest));
    }
    for (writer, committed) in &reported {
        for (number, revision) in committed {
            let found = found.get(&(writer.clone(), *number)).unwrap_or_else(|| panic!("{writer} {number} is lost"));
            assert_eq!(found[0].0, *revision);
        }
    }
    let revisions: BTreeSet<Revision> = found.values().map(|revisions| revisions[0]).collect();
    assert_eq!(revisions.len(), found.len(), "each transaction has a revision of its own");
    assert_eq!(newest.0, found.len() as u64, "there are no other revisions");

    let mut watch = store.watch("", Revision(0)).await.unwrap();
    let mut seen = BTreeSet::new();
    while seen.len() < found.len() {
        for change in watch.next().await.unwrap() {
            let Change::Put(entry) = change else { panic!("nothing was deleted") };
            seen.insert(entry.revision);
        }
    }
    assert_eq!(seen, revisions, "the history is that of the entries");
    let connection = rusqlite::Connection::open(&path).unwrap();
    let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_locked_for_seconds_is_unreachable_and_then_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lifeboat.db");
    let timeout = Duration::from_millis(400);
    let store = Embedded::open(&path, Options { timeout, ..Options::default() }).unwrap();
    let write = |number: u32| Transaction { when: vec![], then: vec![put("key", &number.to_string())] };
    let Outcome::Committed(first) = store.transact(write(0)).await.unwrap() else { panic!("no condition") };
    let mut watch = store.watch("", first).await.unwrap();

    let mut locker = Process::start(&path, "lock write");
    let _said = locker.heard("locked");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        let asked = Instant::now();
        let (one, other) = tokio::join!(store.transact(write(1)), store.grant(timeout));
        assert!(asked.elapsed() >= timeout, "an operation waits for its timeout");
        for error in [one.unwrap_err(), other.unwrap_err()] {
            assert!(matches!(&error, Error::Unreachable { executed: Executed::No, .. }), "{error}");
            assert!(error.to_string().contains("lifeboat.db"), "{error}");
        }
        assert_eq!(store.get("key").await.unwrap().unwrap().revision, first, "readers are not concerned");
    }
    drop(locker.0.stdin.take());
    locker.0.wait().unwrap();
    let Outcome::Committed(second) = store.transact(write(2)).await.unwrap() else { panic!("no condition") };
    assert_eq!(second.0, first.0 + 1, "what was refused was not executed later");
    let changes = watch.next().await.unwrap();
    assert!(matches!(&changes[..], [Change::Put(entry)] if entry.revision == second && entry.value == b"2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_nobody_else_may_read_is_unreachable_until_it_is_given_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lifeboat.db");
    drop(open(&path));
    let mut locker = Process::start(&path, "lock all");
    let _said = locker.heard("locked");
    let options = Options { timeout: Duration::from_millis(200), ..Options::default() };
    let error = Embedded::open(&path, options).unwrap_err();
    assert!(matches!(error, Error::Unreachable { executed: Executed::No, .. }), "{error}");
    drop(locker.0.stdin.take());
    locker.0.wait().unwrap();
    assert_eq!(Embedded::open(&path, options).unwrap().get("key").await, Ok(None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_operation_goes_on_when_the_lock_is_released() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lifeboat.db");
    let store = Arc::new(open(&path));
    let mut locker = Process::start(&path, "lock write");
    let _said = locker.heard("locked");
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.transact(Transaction { when: vec![], then: vec![put("key", "1")] }).await }
    });
    assert_eq!(store.get("key").await, Ok(None));
    assert!(!waiting.is_finished());
    locker.kill();
    assert_eq!(waiting.await.unwrap(), Ok(Outcome::Committed(Revision(1))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_sees_what_another_process_writes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lifeboat.db");
    let store = open(&path);
    let mut watch = store.watch("writer", Revision(0)).await.unwrap();
    let _writer = Process::start(&path, "write writer");
    let mut last = Revision(0);
    while last.0 < 20 {
        for change in watch.next().await.unwrap() {
            let Change::Put(entry) = change else { panic!("nothing was deleted") };
            assert!(entry.revision == last || entry.revision.0 == last.0 + 1, "{:?} after {last:?}", entry.revision);
            last = entry.revision;
        }
    }
    let unchanged = Condition::Unchanged("writer-newest".into(), Revision(1));
    let outcome = store.transact(Transaction { when: vec![unchanged], then: vec![put("mine", "")] }).await;
    assert_eq!(outcome, Ok(Outcome::Conflict));
}
