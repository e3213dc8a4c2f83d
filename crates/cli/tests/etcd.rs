//! Faults with the state store in a real etcd, a member in each region: its leader dies with the writer's region; all of it is gone
//! for a while, and what is served does not change; it is gone and the nodes do not reach each other, and the writer stops.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod place;
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod world;

use std::io::Write as _;
use std::time::{Duration, Instant};

use lifeboat_drill::Fault;
use lifeboat_model::RegionId;
use lifeboat_model::journal::EntryKind;
use rustix::process::Signal;

use world::{Scene, is_synchronous_with, open_in, pair, play};

const LEASE: Duration = Duration::from_secs(3);
const REGIONS: [&str; 3] = ["stockholm", "frankfurt", "ireland"];

/// Says so aloud where etcd is not installed.
fn has_etcd(test: &str) -> bool {
    let found =
        std::process::Command::new("etcd").arg("--version").stdout(std::process::Stdio::null()).status().is_ok();
    if !found {
        let _ = writeln!(std::io::stderr(), "skipped {test}: etcd is not installed (tools/install etcd)");
    }
    found
}

async fn kill_etcd(scene: &mut Scene) {
    for region in REGIONS {
        scene.world.kill_member(&region.into()).await;
    }
}

fn start_etcd(scene: &mut Scene) {
    for region in REGIONS {
        scene.world.start_member(&region.into()).unwrap();
    }
}

/// The longest time between two acknowledged inserts since then.
fn longest_gap(scene: &Scene, since: Instant) -> Duration {
    let mut ended: Vec<Instant> = scene
        .attempts()
        .iter()
        .filter(|attempt| attempt.acknowledged && attempt.ended >= since)
        .map(|a| a.ended)
        .collect();
    ended.sort();
    ended.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(Duration::MAX)
}

#[test]
fn a_region_is_lost_together_with_etcds_leader() {
    if !has_etcd("a_region_is_lost_together_with_etcds_leader") {
        return;
    }
    play(async {
        let mut scene = Scene::set_on_etcd(&pair("synchronous", "0s", ""));
        scene.open().await;
        scene.insert().await;
        scene.world.lead_etcd_from(&"stockholm".into()).await.unwrap();
        scene.world.inject(Fault::RegionLoss, &"stockholm".into()).await;
        scene.until("frankfurt has taken over", "frankfurt", |s| open_in(s, "frankfurt")).await;
        scene.acknowledged(50).await;
        scene.world.start_node(&"stockholm".into()).unwrap();
        scene.until("stockholm is its standby", "frankfurt", |s| is_synchronous_with(s, "stockholm")).await;
        scene.check_nothing_lost().await;
    });
}

#[test]
fn while_etcd_is_lost_nothing_that_is_served_changes() {
    if !has_etcd("while_etcd_is_lost_nothing_that_is_served_changes") {
        return;
    }
    play(async {
        let mut scene = Scene::set_on_etcd(&pair("asynchronous", "60s", ""));
        scene.open().await;
        scene.insert().await;
        let before = scene.status("stockholm").await.unwrap();
        kill_etcd(&mut scene).await;
        let lost = Instant::now();
        // Six leases: the writer's own has run out long before.
        scene.eventually("six leases have passed", async || (lost.elapsed() > LEASE * 6).then_some(())).await;
        scene.acknowledged(20).await;
        let gap = longest_gap(&scene, lost);
        assert!(gap < LEASE, "{gap:?} without an acknowledged insert\n{}", scene.tell().await);
        let during = scene.status("frankfurt").await.unwrap();
        assert!(!during.store_reachable);
        assert_eq!(during.routes, before.routes);
        start_etcd(&mut scene);
        scene
            .eventually("the store is reached again", async || {
                let mut reached = true;
                for region in REGIONS {
                    reached &= scene.status(region).await.is_some_and(|status| status.store_reachable);
                }
                reached.then_some(())
            })
            .await;
        scene.acknowledged(50).await;
        let gap = longest_gap(&scene, lost);
        assert!(
            gap < LEASE,
            "{gap:?} without an acknowledged insert, the return of etcd included\n{}",
            scene.tell().await
        );
        let told = scene.eventually("the journal tells of it", async || {
            scene
                .entries(EntryKind::Lease)
                .await
                .into_iter()
                .find(|entry| entry.what.contains("goes on without the state store"))
        });
        assert_eq!(told.await.region, RegionId::from("stockholm"));
        scene.check_nothing_lost().await;
        assert_eq!(scene.entries(EntryKind::Claim).await.len(), 1, "nobody else has claimed");
    });
}

#[test]
fn without_etcd_and_without_one_other_node_a_writer_stops_within_its_lease() {
    if !has_etcd("without_etcd_and_without_one_other_node_a_writer_stops_within_its_lease") {
        return;
    }
    play(async {
        let mut scene = Scene::set_on_etcd(&pair("asynchronous", "60s", ""));
        scene.open().await;
        scene.insert().await;
        kill_etcd(&mut scene).await;
        let lost = Instant::now();
        scene.eventually("two leases have passed", async || (lost.elapsed() > LEASE * 2).then_some(())).await;
        scene.acknowledged(20).await;
        // A node that does not answer could be the one that claims.
        let silent = scene.node("frankfurt");
        silent.signal(Signal::STOP);
        scene.nothing_acknowledged(Instant::now() + LEASE, 4).await;
        silent.signal(Signal::CONT);
        scene.acknowledged(20).await;
        start_etcd(&mut scene);
        scene
            .until("all is as before", "stockholm", |s| open_in(s, "stockholm") && s.lease == Some("stockholm".into()))
            .await;
        scene.acknowledged(50).await;
        scene.check_nothing_lost().await;
        assert_eq!(scene.entries(EntryKind::Claim).await.len(), 1, "nobody else has claimed");
    });
}
