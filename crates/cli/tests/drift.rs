//! `lifeboat diff`: what was seen of the regions is compared, told to every node, and shown beside readiness; nothing is decided by it.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod fleet;
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod place;

use std::fs;

use fleet::{Fleet, told};
use lifeboat_model::status::{Health, Status};

fn status(fleet: &Fleet, region: &str) -> Option<Status> {
    serde_json::from_slice(&fleet.lifeboat(&["status", "--json", "--region", region], &[]).stdout).ok()
}

fn diff(fleet: &Fleet, seen: &str) -> (Option<i32>, String) {
    let file = fleet.world.path().join("seen.json");
    fs::write(&file, seen).unwrap();
    let out = fleet.world.path().join("no-tree");
    let output = fleet.lifeboat(
        &["diff", "--out", out.to_str().unwrap(), "--observed", file.to_str().unwrap(), "--report"],
        &[("USER", "alice")],
    );
    (output.status.code(), told(&output))
}

#[test]
fn what_differs_is_told_to_every_node_and_shown_until_it_is_put_right() {
    let fleet = Fleet::start("nodes: {tls: certs}\n");
    fleet.eventually("every node sees the others", || {
        ["a", "b", "c"]
            .iter()
            .all(|region| status(&fleet, region).is_some_and(|s| s.regions.values().all(|r| r.health == Health::Up)))
            .then_some(())
    });
    let before = status(&fleet, "b").unwrap();
    assert_eq!(before.drift, None);

    let (code, text) =
        diff(&fleet, r#"{"observed": {"web": {"a": {"version": "2"}, "b": {"version": "2"}, "c": {"version": "1"}}}}"#);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("web in c: version is 1, 2 in a") && text.contains("told the nodes of a, b, c"), "{text}");
    for region in ["a", "b", "c"] {
        let drift = status(&fleet, region).unwrap().drift.unwrap();
        assert_eq!((drift.by.as_str(), drift.differences.len()), ("alice", 1));
    }
    let shown = told(&fleet.lifeboat(&["status"], &[]));
    assert!(shown.contains("DRIFT  1 difference in c"), "{shown}");
    // Nobody decides anything by it.
    let decided = |status: Status| {
        let health: Vec<Health> = status.regions.values().map(|region| region.health).collect();
        (health, status.runs, status.routes)
    };
    assert_eq!(decided(status(&fleet, "b").unwrap()), decided(before));

    let (code, text) = diff(&fleet, r#"{"observed": {"web": {"a": {"version": "2"}, "c": {"version": "2"}}}}"#);
    assert_eq!(code, Some(0), "{text}");
    assert!(status(&fleet, "c").unwrap().drift.unwrap().differences.is_empty());

    // A node that cannot keep it is named, and the others are told all the same.
    let in_the_way = fleet.world.path().join("a/drift.json.new");
    fs::create_dir(&in_the_way).unwrap();
    let (code, text) = diff(&fleet, r#"{"observed": {"web": {"a": {"version": "2"}, "c": {"version": "1"}}}}"#);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("a: ") && text.contains("drift.json"), "{text}");
    let known = |region| status(&fleet, region).unwrap().drift.unwrap().differences.len();
    assert_eq!(["a", "b", "c"].map(known), [0, 1, 1]);
    fs::remove_dir(in_the_way).unwrap();

    let (code, text) = diff(&fleet, r#"{"observed": {"web": {"d": {}}}}"#);
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains(
            "seen.json: line 1, column 23: observed.web.d: the file has no web in d; expected one of a, b, c"
        ),
        "{text}"
    );
}
