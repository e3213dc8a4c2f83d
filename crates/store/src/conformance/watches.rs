//! Changes: ordered, without gaps or duplicates, from any revision that is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use lifeboat_model::state::{Change, Entry, Revision, Write};

use super::patient::{PatientWatch, key_of, revision_of};
use super::{Suite, delete, put, transaction};

pub(super) async fn watchers_see_everything_in_order(suite: &Suite) {
    const WRITERS: usize = 4;
    const TRANSACTIONS: usize = 40;
    let prefix = suite.key("order", "");
    let elsewhere = suite.key("order-not", "");
    let (start, _) = suite.store().await.list(&prefix).await;
    let mut watches = Vec::new();
    for _ in 0..2 {
        watches.push(suite.store().await.watch(&prefix, start).await);
    }
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (store, prefix, elsewhere) = (suite.store().await, prefix.clone(), elsewhere.clone());
        writers.spawn(async move {
            let mut made = Vec::new();
            for number in 0..TRANSACTIONS {
                let mine = format!("{prefix}{writer}");
                let value = format!("{writer}.{number}");
                let mut then = vec![put(&format!("{prefix}shared"), &value)];
                match number % 4 {
                    0 | 1 => then.push(put(&mine, &value)),
                    2 => then.push(delete(&mine)),
                    _ => {
                        store.commit(transaction([], [put(&elsewhere, &value)])).await;
                    }
                }
                made.push((store.commit(transaction([], then.clone())).await, then));
            }
            made
        });
    }
    let reading = async {
        let mut seen = Vec::new();
        for watch in &mut watches {
            seen.push(read(watch, WRITERS * TRANSACTIONS).await);
        }
        seen
    };
    let written = async {
        let mut written = BTreeMap::new();
        while let Some(made) = writers.join_next().await {
            written.extend(made.expect("no writer panics"));
        }
        written
    };
    let (seen, written) = tokio::join!(reading, written);
    let expected: Vec<Change> =
        written.iter().flat_map(|(revision, then)| then.iter().map(|write| change(write, *revision))).collect();
    for seen in seen {
        assert_eq!(seen, expected);
    }
}

pub(super) async fn a_watch_begins_at_an_old_revision(suite: &Suite) {
    let store = suite.store().await;
    let prefix = suite.key("old", "");
    let mut expected = Vec::new();
    for number in 0..30 {
        let write = put(&format!("{prefix}{}", number % 3), &number.to_string());
        let revision = store.commit(transaction([], [write.clone()])).await;
        expected.push(change(&write, revision));
    }
    let other = suite.store().await;
    for from in [0, 1, 17, 28] {
        let mut watch = other.watch(&prefix, revision_of(&expected[from])).await;
        assert_eq!(read(&mut watch, expected.len() - from - 1).await, expected[from + 1..]);
    }
    let mut newest = other.watch(&prefix, revision_of(&expected[29])).await;
    let waiting = tokio::time::timeout(Duration::from_millis(100), newest.watch.next()).await;
    assert!(!matches!(waiting, Ok(Ok(_))), "nothing has happened since: {waiting:?}");
    let last = put(&format!("{prefix}last"), "");
    let revision = store.commit(transaction([], [last.clone()])).await;
    assert_eq!(newest.next().await, [change(&last, revision)]);
}

pub(super) async fn an_abandoned_wait_loses_nothing(suite: &Suite) {
    const COUNT: usize = 40;
    let store = suite.store().await;
    let prefix = suite.key("abandoned", "");
    let (start, _) = store.list(&prefix).await;
    let mut watch = store.watch(&prefix, start).await;
    let writing = tokio::spawn({
        let (store, prefix) = (suite.store().await, prefix.clone());
        async move {
            let mut written = Vec::new();
            for number in 0..COUNT {
                let write = put(&format!("{prefix}{number}"), "");
                written.push(change(&write, store.commit(transaction([], [write.clone()])).await));
            }
            written
        }
    });
    let mut seen = Vec::new();
    let mut abandoned_us = 50;
    while seen.len() < COUNT {
        // Ever longer, so that the wait is given up in all its phases, and ends.
        match tokio::time::timeout(Duration::from_micros(abandoned_us), watch.next()).await {
            Ok(changes) => seen.extend(changes),
            Err(_) => abandoned_us += 50,
        }
    }
    assert_eq!(seen, writing.await.expect("the writer does not panic"));
}

/// Reads that many revisions, and checks that each comes whole and after the one before.
async fn read(watch: &mut PatientWatch, revisions: usize) -> Vec<Change> {
    let mut seen: Vec<Change> = Vec::new();
    let (mut count, mut newest) = (0, Revision(0));
    while count < revisions {
        let changes = watch.next().await;
        let first = revision_of(&changes[0]);
        assert!(first > newest, "{first:?} of {} after {newest:?}", key_of(&changes[0]));
        for change in &changes {
            let revision = revision_of(change);
            assert!(revision >= newest, "{revision:?} of {} after {newest:?}", key_of(change));
            count += usize::from(revision > newest);
            newest = revision;
        }
        seen.extend(changes);
    }
    assert_eq!(count, revisions);
    seen
}

fn change(write: &Write, revision: Revision) -> Change {
    match write.clone() {
        Write::Put { key, value, lease } => Change::Put(Entry { key, value, revision, lease }),
        Write::Delete { key } => Change::Delete { key, revision },
    }
}
