//! The journal in a real store is changed behind the nodes' backs, and `lifeboat events --verify` says where.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod fleet;
mod place;

use fleet::{Fleet, told};
use rusqlite::Connection;
use rustix::process::Signal;

/// The store's file, which is put back as it was after each deed.
struct Store(Connection);

impl Store {
    fn value(&self, number: u64) -> Vec<u8> {
        self.0.query_row("SELECT value FROM entries WHERE key = ?1", [key(number)], |row| row.get(0)).unwrap()
    }

    fn put(&self, number: u64, value: &[u8]) {
        let changed = self.0.execute("UPDATE entries SET value = ?2 WHERE key = ?1", (key(number), value)).unwrap();
        assert_eq!(changed, 1);
    }
}

fn kill(fleet: &Fleet, region: &str) {
    fleet.world.node(&region.into()).expect("its node runs").signal(Signal::KILL);
}

fn key(number: u64) -> String {
    format!("journal/a/{number:012}")
}

#[test]
fn what_was_changed_removed_or_swapped_in_the_store_is_found() {
    let mut fleet = Fleet::start("nodes: {tls: certs}\n");
    // Something to write down.
    fleet.eventually("the nodes see each other", || {
        let output = fleet.lifeboat(&["events"], &[]);
        let text = told(&output);
        (text.contains("b/node answers") || text.matches("answers").count() >= 4).then_some(())
    });
    kill(&fleet, "b");
    fleet.eventually("the others see b gone", || {
        told(&fleet.lifeboat(&["events", "--region", "a"], &[])).contains("b is down").then_some(())
    });
    // All nodes end, so that nothing is written any more; then one tells.
    for region in ["a", "c"] {
        kill(&fleet, region);
    }
    fleet.eventually("all nodes have ended", || {
        ["a", "b", "c"]
            .iter()
            .all(|region| fleet.lifeboat(&["events", "--region", region], &[]).status.code() == Some(3))
            .then_some(())
    });
    fleet.start_node("c");
    let verify = |expected: i32| {
        let output = fleet.lifeboat(&["events", "--verify"], &[]);
        assert_eq!(output.status.code(), Some(expected), "{}", told(&output));
        told(&output)
    };
    fleet.eventually("c tells", || {
        (fleet.lifeboat(&["events", "--verify"], &[]).status.code() != Some(3)).then_some(())
    });
    let text = verify(0);
    assert!(text.contains("a  intact  entries 1 to "), "{text}");
    let noted = fleet.world.path().join("noted.json");
    std::fs::write(&noted, fleet.lifeboat(&["events", "--verify", "--json"], &[]).stdout).unwrap();
    let against = |expected: i32| {
        let output = fleet.lifeboat(&["events", "--verify", "--against", noted.to_str().unwrap()], &[]);
        assert_eq!(output.status.code(), Some(expected), "{}", told(&output));
        told(&output)
    };
    against(0);

    let store = Store(Connection::open(fleet.world.path().join("lifeboat.db")).unwrap());
    store.0.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    let (two, three) = (store.value(2), store.value(3));
    // A story is told otherwise.
    let text = String::from_utf8(two.clone()).unwrap();
    store.put(2, text.replace("\"why\":\"", "\"why\":\"it is said that ").as_bytes());
    assert_ne!(store.value(2), two, "{text}");
    let told = verify(1);
    assert!(told.contains("a  BROKEN") && told.contains("entry 2 was changed"), "{told}");
    assert!(told.contains("c  intact"), "the others' journals are their own: {told}");
    store.put(2, &two);
    verify(0);
    // Two are swapped.
    store.put(2, &three);
    store.put(3, &two);
    let told = verify(1);
    assert!(told.contains("in the place of entry 2 stands entry 3 of a"), "{told}");
    store.put(2, &two);
    store.put(3, &three);
    verify(0);
    // One is removed.
    store.0.execute("DELETE FROM entries WHERE key = ?1", [key(2)]).unwrap();
    let told = verify(1);
    assert!(told.contains("entry 2 is missing"), "{told}");
    // All of it, with the head: only what was noted elsewhere tells.
    store.0.execute("DELETE FROM entries WHERE key LIKE 'journal/a/%' OR key = 'state/journal-head/a'", []).unwrap();
    verify(0);
    let told = against(1);
    assert!(told.contains("a  BROKEN") && told.contains("entries 1 to"), "{told}");
}
