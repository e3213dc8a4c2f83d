//! What is read: lists, odd keys, large values, the journal.

use std::time::Duration;

use lifeboat_model::journal::{EntryKind, JournalEntry};
use lifeboat_model::state::{Condition, Revision, Write};
use lifeboat_model::{Moment, RegionId};

use super::{Suite, delete, put, transaction};
use crate::{journal, limits};

pub(super) async fn a_list_is_a_snapshot(suite: &Suite) {
    let prefix = suite.key("snapshot", "");
    let (left, right) = (format!("{prefix}a"), format!("{prefix}z"));
    let writer = suite.store().await;
    let reader = suite.store().await;
    writer.commit(transaction([], [put(&left, "0"), put(&right, "0")])).await;
    let writing = tokio::spawn({
        let (left, right) = (left.clone(), right.clone());
        async move {
            for number in 1..=60 {
                let value = number.to_string();
                writer.commit(transaction([], [put(&left, &value), put(&right, &value)])).await;
            }
        }
    });
    let mut newest = Revision(0);
    loop {
        let finished = writing.is_finished();
        let (revision, entries) = reader.list(&prefix).await;
        assert!(revision >= newest, "{revision:?} comes after {newest:?}");
        newest = revision;
        let [a, z] = &entries[..] else { panic!("two keys, not {entries:?}") };
        assert_eq!((&a.value, a.revision), (&z.value, z.revision));
        assert!(a.revision <= revision);
        if finished {
            assert_eq!(a.value, b"60");
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    writing.await.expect("the writer does not panic");
}

pub(super) async fn keys_and_values_come_back_as_they_were(suite: &Suite) {
    let store = suite.store().await;
    let prefix = suite.key("odd", "");
    let longest = "x".repeat(limits::KEY_BYTES - prefix.len());
    let mut names = vec![
        " ",
        "a",
        "a b",
        "a/",
        "a/b",
        "a%",
        "a_",
        "ab",
        "A",
        "b",
        "'",
        "\"",
        "'; DROP TABLE entries; --",
        "\\",
        "\n",
        "\0",
        "a\0b",
        "?1",
        ":key",
        "*",
        "%",
        "_",
        "[a]",
        "ä",
        "ß/ö",
        "日本",
        "🚣",
        "e\u{301}",
        "\u{feff}",
        "\u{7f}",
        "\u{10ffff}",
        &longest,
    ];
    let every_byte: Vec<u8> = (0..=255).collect();
    for (number, name) in names.iter().enumerate() {
        let value = match number % 3 {
            0 => Vec::new(),
            1 => every_byte.clone(),
            _ => every_byte.repeat(400),
        };
        let key = format!("{prefix}{name}");
        store.commit(transaction([], [Write::Put { key: key.clone(), value: value.clone(), lease: None }])).await;
        let entry = store.get(&key).await.expect("what was written can be read");
        assert!(entry.key == key && entry.value == value, "{key:?} is not what was written");
    }
    names.sort_unstable();
    let listed = |entries: Vec<lifeboat_model::state::Entry>| -> Vec<String> {
        entries.into_iter().map(|entry| entry.key[prefix.len()..].to_owned()).collect()
    };
    assert_eq!(listed(store.list(&prefix).await.1), names, "in the order of their bytes");
    for part in ["a", "a/", "%", "_", "a_", "\0", "ß", "🚣", "\u{10ffff}", "nothing"] {
        let expected: Vec<&str> = names.iter().copied().filter(|name| name.starts_with(part)).collect();
        assert_eq!(listed(store.list(&format!("{prefix}{part}")).await.1), expected, "those that begin with {part:?}");
    }
    let (_, everything) = store.list("").await;
    assert!(everything.len() >= names.len() && everything.is_sorted_by(|a, b| a.key < b.key));
}

pub(super) async fn entries_after_a_revision_are_listed(suite: &Suite) {
    let store = suite.store().await;
    let prefix = suite.key("after", "");
    let key = |name: &str| format!("{prefix}{name}");
    store.commit(transaction([], [put(&key("z"), "1"), put(&key("b"), "1"), put(&key("a"), "1")])).await;
    let middle = store.commit(transaction([], [put(&key("b"), "2")])).await;
    store.commit(transaction([], [put(&key("z"), "2"), delete(&key("a"))])).await;
    store.commit(transaction([], [put(&key("c"), "1")])).await;
    let names = |entries: Vec<lifeboat_model::state::Entry>| -> Vec<String> {
        entries.into_iter().map(|entry| entry.key[prefix.len()..].to_owned()).collect()
    };
    let (revision, entries) = store.list_after(&prefix, middle).await;
    assert_eq!(names(entries), ["c", "z"]);
    assert_eq!(names(store.list_after(&prefix, Revision(middle.0 - 1)).await.1), ["b", "c", "z"]);
    assert_eq!(names(store.list_after(&prefix, revision).await.1), [""; 0]);
}

pub(super) async fn the_journal_is_read_in_order(suite: &Suite) {
    let store = suite.store().await;
    let regions: Vec<RegionId> = ["b", "a"].map(|name| format!("{}-{name}", suite.label).as_str().into()).into();
    let decision = suite.key("journal", "epoch");
    let (before, _) = store.list(journal::PREFIX).await;
    let mut written = Vec::new();
    for number in 1..=12 {
        for region in &regions {
            let entry = JournalEntry {
                region: region.clone(),
                number,
                unix_ms: 1_700_000_000_000 + number,
                at: Moment(number),
                kind: EntryKind::Claim,
                component: Some("orders".into()),
                epoch: None,
                run: None,
                previous: None,
                what: format!("epoch {number} claimed for orders"),
                why: "because \"it\" was free".into(),
            };
            let both = [put(&decision, &number.to_string()), journal::write(&entry).expect("an entry is JSON")];
            let revision = store.commit(transaction([], both)).await;
            written.push((revision, entry));
        }
    }
    let lost = journal::write(&JournalEntry { number: 13, ..written[0].1.clone() }).expect("an entry is JSON");
    let conflict = store.transact(transaction([Condition::Absent(decision.clone())], [lost])).await;
    assert_eq!(conflict, Ok(lifeboat_model::state::Outcome::Conflict));

    let read = async |after| loop {
        match journal::read_after(&*store.store, after).await {
            Err(crate::Error::Unreachable { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            answer => break answer.expect("the journal can be read"),
        }
    };
    let (upto, entries) = read(before).await;
    assert_eq!(entries, written, "a decision and its entry exist together, in the order of the decisions");
    assert_eq!(read(written[9].0).await.1, written[10..]);
    assert_eq!(read(upto).await.1, []);
    let last = loop {
        match journal::last_number(&*store.store, &regions[0]).await {
            Err(crate::Error::Unreachable { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            answer => break answer,
        }
    };
    assert_eq!(last, Ok(12));
}
