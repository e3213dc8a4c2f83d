//! Leases: they run out, are renewed and revoked, and take their keys along.

use std::time::{Duration, Instant};

use lifeboat_model::state::{Change, Condition, LeaseId, Outcome, Revision, Write};

use super::patient::{Patient, key_of, revision_of};
use super::{Suite, delete, put, transaction};
use crate::Error;

pub(super) async fn a_lease_runs_out_and_takes_its_keys_along(suite: &Suite) {
    let store = suite.store().await;
    let prefix = suite.key("expiry", "");
    let keys = [format!("{prefix}a"), format!("{prefix}b")];
    let mut watch = suite.store().await.watch(&prefix, store.list(&prefix).await.0).await;
    let granted = Instant::now();
    let lease = store.grant(suite.ttl).await;
    let put_at = store.commit(transaction([], keys.iter().map(|key| leased(key, lease)))).await;
    assert_eq!(store.get(&keys[0]).await.and_then(|entry| entry.lease), Some(lease));
    let puts = watch.next().await;
    assert!(puts.iter().all(|change| matches!(change, Change::Put(entry) if entry.lease == Some(lease))), "{puts:?}");

    let deletes = watch.next().await;
    assert!(granted.elapsed() >= suite.ttl, "a lease does not run out early, not after {:?}", granted.elapsed());
    assert_eq!(deletes.iter().map(key_of).collect::<Vec<_>>(), keys);
    let gone_at = revision_of(&deletes[0]);
    let deleted = |change: &Change| matches!(change, Change::Delete { revision, .. } if *revision == gone_at);
    assert!(deletes.iter().all(deleted) && gone_at > put_at, "{deletes:?}");
    assert_eq!(store.list(&prefix).await.1, []);
    assert_eq!(store.renew(lease).await, Err(Error::LeaseGone));
}

pub(super) async fn a_renewed_lease_stays(suite: &Suite) {
    let store = suite.store().await;
    let other = suite.store().await;
    let key = suite.key("renewal", "k");
    let lease = store.grant(suite.ttl).await;
    store.commit(transaction([], [leased(&key, lease)])).await;
    let begun = Instant::now();
    while begun.elapsed() < suite.ttl * 3 {
        other.renew(lease).await.expect("a lease that is renewed in time stays");
        assert!(store.get(&key).await.is_some(), "after {:?}", begun.elapsed());
        tokio::time::sleep(suite.ttl / 8).await;
    }
    until_absent(suite, &store, &key).await;
    assert_eq!(store.renew(lease).await, Err(Error::LeaseGone), "a lease does not come back");
}

pub(super) async fn a_revoked_lease_is_gone_at_once(suite: &Suite) {
    let store = suite.store().await;
    let prefix = suite.key("revoked", "");
    let (mine, other) = (format!("{prefix}mine"), format!("{prefix}other"));
    let (lease, kept) = (store.grant(suite.ttl * 100).await, store.grant(suite.ttl * 100).await);
    assert_ne!(lease, kept);
    let put_at = store.commit(transaction([], [leased(&mine, lease), leased(&other, kept)])).await;
    let mut watch = store.watch(&prefix, put_at).await;
    store.revoke(lease).await;
    assert_eq!(store.get(&mine).await, None);
    assert!(store.get(&other).await.is_some());
    assert!(
        matches!(&watch.next().await[..], [Change::Delete { key, revision }] if *key == mine && *revision > put_at)
    );
    assert_eq!(store.renew(lease).await, Err(Error::LeaseGone));
    assert_eq!(store.renew(kept).await, Ok(()));
    store.revoke(lease).await;
    store.revoke(kept).await;
}

pub(super) async fn a_key_can_leave_its_lease(suite: &Suite) {
    let store = suite.store().await;
    let prefix = suite.key("leave", "");
    let [left, moved, again] = ["left", "moved", "again"].map(|name| format!("{prefix}{name}"));
    let (first, second) = (store.grant(suite.ttl * 100).await, store.grant(suite.ttl * 100).await);
    store.commit(transaction([], [&left, &moved, &again].map(|key| leased(key, first)))).await;
    store.commit(transaction([], [put(&left, "free"), leased(&moved, second), delete(&again)])).await;
    store.commit(transaction([], [put(&again, "free")])).await;
    store.revoke(first).await;
    let leases: Vec<_> = store.list(&prefix).await.1.into_iter().map(|entry| (entry.key, entry.lease)).collect();
    assert_eq!(leases, [(again, None), (left, None), (moved, Some(second))]);
    store.revoke(second).await;
}

pub(super) async fn a_put_under_a_dead_lease_changes_nothing(suite: &Suite) {
    let store = suite.store().await;
    let prefix = suite.key("dead", "");
    let [free, bound, guard] = ["free", "bound", "guard"].map(|name| format!("{prefix}{name}"));
    let gone = store.grant(suite.ttl).await;
    store.commit(transaction([], [leased(&guard, gone)])).await;
    until_absent(suite, &store, &guard).await;
    let revoked = store.grant(suite.ttl * 100).await;
    store.revoke(revoked).await;
    for dead in [gone, revoked, LeaseId(i64::MAX - 9)] {
        let outcome = store.transact(transaction([], [put(&free, "1"), leased(&bound, dead)])).await;
        assert_eq!(outcome, Err(Error::LeaseGone));
        let conflict = store.transact(transaction([Condition::Present(free.clone())], [leased(&bound, dead)])).await;
        assert_eq!(conflict, Ok(Outcome::Conflict), "conditions come first");
    }
    assert_eq!(store.list_after(&prefix, Revision(0)).await.1, []);
}

fn leased(key: &str, lease: LeaseId) -> Write {
    Write::Put { key: key.to_owned(), value: b"leased".to_vec(), lease: Some(lease) }
}

/// Waits until a key has vanished.
async fn until_absent(suite: &Suite, store: &Patient, key: &str) {
    let begun = Instant::now();
    while store.get(key).await.is_some() {
        assert!(begun.elapsed() < suite.patience, "{key} stays after its lease has run out");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
