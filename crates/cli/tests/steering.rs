//! The steering endpoints: every node says the same of every region, a failover turns them, and without the store they go on.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod place;
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod world;

use std::net::SocketAddr;
use std::time::Duration;

use lifeboat_drill::Fault;
use lifeboat_drill::http::Connection;
use lifeboat_model::RegionId;

use world::{Scene, open_in, play};

const FILE: &str = "\
app: faults
objectives: {rto: 15s, rpo: 0s}
regions:
  stockholm: {place: local/a, address: 127.N.1.1}
  frankfurt: {place: local/b, address: 127.N.2.1}
  ireland: {place: local/c, address: 127.N.3.1, role: witness}
components:
  orders:
    kind: postgres
    pattern: warm-standby
    writer: stockholm
    standbys: {frankfurt: synchronous}
  web: {kind: process, run: sleep 1000, needs: [orders], port: 8080, pattern: warm-standby}
routes:
  shop.example.test: {to: web, policy: failover, ttl: 1s}
failover: {mode: automatic, hold-down: 60s}
store: lifeboat.db
";

/// What a region's node answers; `None`: nothing.
async fn ask(scene: &Scene, node: &str, path: &str) -> Option<(u16, String)> {
    let region = RegionId::from(node);
    let at = &scene.app.regions[&region];
    let address = SocketAddr::new(at.address.unwrap(), at.api_port);
    let asking = async {
        let mut connection = Connection::to_node(scene.world.connector(), address, &region).await.ok()?;
        connection.request(hyper::Method::GET, path, None, None).await.ok()
    };
    let (status, body) = tokio::time::timeout(Duration::from_secs(2), asking).await.ok()??;
    Some((status.as_u16(), String::from_utf8_lossy(&body).into_owned()))
}

/// Waits until these nodes all say that this region is served, and the other is not.
async fn all_serve(scene: &Scene, nodes: &[&str], region: &str, other: &str) {
    scene
        .eventually(&format!("{nodes:?} say that {region} is served"), async || {
            for node in nodes {
                let at = |region: &str| format!("/v1/steering/shop.example.test/{region}");
                if ask(scene, node, &at(region)).await?.0 != 200 || ask(scene, node, &at(other)).await?.0 != 503 {
                    return None;
                }
            }
            Some(())
        })
        .await;
}

#[test]
fn a_failover_turns_the_steering_endpoints_of_every_node() {
    play(async {
        let mut scene = Scene::start(FILE).await;
        all_serve(&scene, &["stockholm", "frankfurt", "ireland"], "stockholm", "frankfurt").await;
        let (status, why) = ask(&scene, "stockholm", "/v1/steering/shop.example.test").await.unwrap();
        assert_eq!((status, why.as_str()), (200, "stockholm writes orders under epoch 1\n"));
        assert_eq!(ask(&scene, "frankfurt", "/v1/steering/shop.example.test").await.unwrap().0, 503);
        for unknown in ["/v1/steering/shop.example.test/madrid", "/v1/steering/other.example.test"] {
            let (status, text) = ask(&scene, "ireland", unknown).await.unwrap();
            assert!(status == 404 && text.contains("it has: "), "{unknown}: {status} {text}");
        }
        scene.world.inject(Fault::RegionLoss, &"stockholm".into()).await;
        scene.until("frankfurt has taken over", "frankfurt", |s| open_in(s, "frankfurt")).await;
        all_serve(&scene, &["frankfurt", "ireland"], "frankfurt", "stockholm").await;
    });
}
