//! Compare-and-swap: conditions, atomicity, races, limits.

use std::collections::BTreeMap;

use lifeboat_model::state::{Condition, LeaseId, Outcome, Revision, Write};

use super::{Suite, delete, put, transaction};
use crate::{Error, limits};

pub(super) async fn each_condition_holds_when_it_should(suite: &Suite) {
    let store = suite.store().await;
    let key = suite.key("conditions", "there");
    let missing = suite.key("conditions", "missing");
    let first = store.commit(transaction([Condition::Absent(key.clone())], [put(&key, "1")])).await;
    let second = store.commit(transaction([Condition::Unchanged(key.clone(), first)], [put(&key, "2")])).await;
    assert!(second > first, "{second:?} comes after {first:?}");

    let unchanged = |key: &str, revision| Condition::Unchanged(key.to_owned(), revision);
    let (absent, present) = (Condition::Absent, Condition::Present);
    let holding = [unchanged(&key, second), present(key.clone()), absent(missing.clone())];
    let broken = [
        unchanged(&key, first),
        unchanged(&key, Revision(second.0 + 1_000_000)),
        unchanged(&key, Revision(0)),
        absent(key.clone()),
        present(missing.clone()),
        unchanged(&missing, second),
        unchanged(&missing, Revision(0)),
    ];
    let target = suite.key("conditions", "target");
    for condition in &holding {
        store.commit(transaction([condition.clone()], [put(&target, "held")])).await;
    }
    let before = store.get(&target).await;
    for condition in &broken {
        for when in [vec![condition.clone()], [&holding[..], std::slice::from_ref(condition)].concat()] {
            let outcome = store.transact(transaction(when, [put(&target, "broken")])).await;
            assert_eq!(outcome, Ok(Outcome::Conflict), "{condition:?} does not hold");
        }
    }
    assert_eq!(store.get(&target).await, before, "a conflict changes nothing");

    let entry = store.get(&key).await.expect("the key is there");
    assert_eq!((entry.key.as_str(), &entry.value[..], entry.revision, entry.lease), (&*key, &b"2"[..], second, None));
    store.commit(transaction([present(key.clone())], [delete(&key)])).await;
    assert_eq!(store.get(&key).await, None);
    store.commit(transaction([absent(key.clone())], [])).await;

    let Ok(Outcome::Committed(nothing)) =
        store.transact_idempotent(&transaction([absent(missing.clone())], [delete(&missing)])).await
    else {
        panic!("deleting what is not there is no error");
    };
    assert_eq!(nothing, store.list(&missing).await.0, "deleting what is not there makes no revision");
}

pub(super) async fn all_or_nothing(suite: &Suite) {
    let store = suite.store().await;
    let prefix = suite.key("atomic", "");
    let keys: Vec<String> = (0..100).map(|number| format!("{prefix}{number:03}")).collect();
    let made = store.commit(transaction([], keys.iter().map(|key| put(key, "all")))).await;
    let (_, entries) = store.list(&prefix).await;
    assert_eq!(entries.len(), keys.len());
    assert!(entries.iter().all(|entry| entry.revision == made), "one transaction is one revision");

    let when = keys.iter().map(|key| Condition::Unchanged(key.clone(), made));
    let broken = when.clone().chain([Condition::Absent(keys[99].clone())]);
    let outcome = store.transact(transaction(broken, keys.iter().map(|key| delete(key)))).await;
    assert_eq!(outcome, Ok(Outcome::Conflict));
    assert_eq!(store.list(&prefix).await.1, entries);

    let then = keys.iter().enumerate().map(|(number, key)| if number % 2 == 0 { delete(key) } else { put(key, "odd") });
    let changed = store.commit(transaction(when, then)).await;
    let (_, entries) = store.list(&prefix).await;
    assert_eq!(entries.len(), keys.len() / 2);
    assert!(entries.iter().all(|entry| entry.revision == changed && entry.value == b"odd"));
}

pub(super) async fn one_of_eight_writers_wins_each_revision(suite: &Suite) {
    const WRITERS: usize = 8;
    const WINS: usize = 12;
    let key = suite.key("race", "counter");
    let start = suite.store().await.commit(transaction([], [put(&key, "0")])).await;
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let (store, key) = (suite.store().await, key.clone());
        racers.spawn(async move {
            let mut won = Vec::new();
            while won.len() < WINS {
                let seen = store.get(&key).await.expect("nobody deletes the counter");
                let count: u64 = str::from_utf8(&seen.value).unwrap_or("").parse().expect("a number");
                let next = transaction(
                    [Condition::Unchanged(key.clone(), seen.revision)],
                    [put(&key, &(count + 1).to_string())],
                );
                match store.transact(next).await {
                    Ok(Outcome::Committed(made)) => won.push((seen.revision, made, count + 1)),
                    Ok(Outcome::Conflict) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            won
        });
    }
    let mut steps = BTreeMap::new();
    while let Some(won) = racers.join_next().await {
        for (from, to, count) in won.expect("no writer panics") {
            assert_eq!(steps.insert(from, (to, count)), None, "two writers won against {from:?}");
        }
    }
    let mut at = start;
    for number in 1..=(WRITERS * WINS) as u64 {
        let (to, count) = steps.remove(&at).expect("the wins form a chain");
        assert_eq!(count, number);
        at = to;
    }
    assert!(steps.is_empty());
}

pub(super) async fn what_breaks_a_limit_is_rejected(suite: &Suite) {
    let store = suite.store().await;
    let key = suite.key("limits", "k");
    let large = |bytes| Write::Put { key: key.clone(), value: vec![b'x'; bytes], lease: None };
    let broken = [
        transaction([], [put("", "empty")]),
        transaction([], [put(&key, "1"), put(&key, "2")]),
        transaction([], [put(&key, "1"), delete(&key)]),
        transaction([], [large(limits::TRANSACTION_BYTES)]),
        transaction([], (0..=limits::TRANSACTION_PARTS).map(|number| put(&format!("{key}{number}"), "many"))),
        transaction([Condition::Absent("k".repeat(limits::KEY_BYTES + 1))], [put(&key, "1")]),
    ];
    for transaction in broken {
        let outcome = store.transact_idempotent(&transaction).await;
        assert!(matches!(outcome, Err(Error::Invalid(_))), "{outcome:?}");
    }
    assert!(matches!(store.store.get("").await, Err(Error::Invalid(_))));
    assert_eq!(store.get(&key).await, None);
    let largest = transaction([], [large(limits::TRANSACTION_BYTES - key.len())]);
    assert!(matches!(store.transact_idempotent(&largest).await, Ok(Outcome::Committed(_))));
    assert_eq!(store.renew(LeaseId(i64::MAX - 7)).await, Err(Error::LeaseGone), "a lease that never was");
}
