//! The store in etcd passes the suite that every store must pass, also while members are killed.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lifeboat_model::state::Revision;
use lifeboat_store::conformance::Suite;
use lifeboat_store::{Error, Store};
use lifeboat_store_etcd::{Config, Etcd};

use self::cluster::{Cluster, installed};

mod cluster;

/// A suite whose handles belong to the nodes of different regions.
fn suite(label: &str, configs: Vec<Config>) -> Suite {
    let next = AtomicUsize::new(0);
    let open = move || {
        let config = configs[next.fetch_add(1, Ordering::Relaxed) % configs.len()].clone();
        Box::pin(async move { Arc::new(Etcd::new(config).unwrap()) as Arc<dyn Store> }) as _
    };
    Suite { label: label.into(), open: Box::new(open), ttl: Duration::from_secs(3), patience: Duration::from_secs(60) }
}

/// Waits until the suite has come to a case.
async fn reached(store: &dyn Store, label: &str, case: &str) {
    let prefix = format!("{label}/{case}/");
    let mut after = Revision(0);
    loop {
        let Ok(mut watch) = store.watch(&prefix, after).await else { continue };
        match watch.next().await {
            Ok(_) => return,
            Err(Error::Compacted) => after = store.list("").await.map_or(after, |(revision, _)| revision),
            Err(_) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_three_conforms() {
    if !installed("a_cluster_of_three_conforms") {
        return;
    }
    let cluster = Cluster::start(3, "http", &[]).await;
    suite("calm", (0..3).map(|own| cluster.config(own)).collect()).run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_conforms_while_a_follower_and_then_its_leader_are_killed() {
    if !installed("a_cluster_conforms_while_a_follower_and_then_its_leader_are_killed") {
        return;
    }
    let mut cluster = Cluster::start(3, "http", &[]).await;
    let configs: Vec<Config> = (0..3).map(|own| cluster.config(own)).collect();
    let store = cluster.store(0);
    let killing = async {
        reached(&*store, "killed", "race").await;
        let follower = (cluster.leader().await + 1) % 3;
        cluster.members[follower].kill();
        println!("killed follower {follower}");
        reached(&*store, "killed", "snapshot").await;
        cluster.start_member(follower);
        reached(&*store, "killed", "odd").await;
        for (case, back) in [("order", "old"), ("renewal", "revoked")] {
            reached(&*store, "killed", case).await;
            let leader = cluster.leader().await;
            cluster.members[leader].kill();
            println!("killed leader {leader}");
            reached(&*store, "killed", back).await;
            cluster.start_member(leader);
        }
    };
    let suite = suite("killed", configs);
    tokio::join!(suite.run(), killing);
}
