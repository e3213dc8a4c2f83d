//! The shop against a real PostgreSQL server that works, reads only, lets commits wait, and is killed.

// clippy.toml allows it in test functions only, and this is their help.
#![allow(clippy::unwrap_used)]

mod support;

use std::thread;
use std::time::Duration;

use support::{PATIENCE, Postgres, Shop, eventually};

/// Long enough that it never ends a request where a test waits for something else.
const UNHURRIED: Duration = PATIENCE;
const HURRIED: Duration = Duration::from_millis(300);

/// From now on no commit is confirmed: there is no such standby.
fn hold_commits(postgres: &Postgres) {
    postgres.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    reload(postgres);
    eventually("the setting is in force", || postgres.sql("SHOW synchronous_standby_names") == "nobody");
}

fn release_commits(postgres: &Postgres) {
    postgres.sql("ALTER SYSTEM RESET synchronous_standby_names");
    reload(postgres);
}

fn reload(postgres: &Postgres) {
    postgres.sql("SELECT pg_reload_conf()");
}

const WAITING: &str = "FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE 'INSERT%'";

fn waiting(postgres: &Postgres) -> usize {
    postgres.sql(&format!("SELECT count(*) {WAITING}")).parse().unwrap()
}

#[test]
fn orders_are_placed_once_listed_and_shown() {
    let Some(postgres) = Postgres::start() else { return };
    let mut shop = Shop::start(&postgres.url(), UNHURRIED);
    eventually("the database is writable", || shop.get("/readyz").0 == 200);

    assert_eq!(shop.get("/orders"), (200, String::new()));
    assert_eq!(shop.order("b").0, 201);
    assert_eq!(shop.order("a").0, 201);
    assert_eq!(shop.order("b").0, 409);
    assert_eq!(shop.get("/orders"), (200, "a\nb\n".to_owned()));
    assert_eq!(shop.get("/orders/a"), (200, r#"{"id":"a","item":"a boat"}"#.to_owned()));
    assert_eq!(shop.get("/orders/c").0, 404);
    assert_eq!(shop.get("/orders/%00").0, 404);

    let refused = [
        ("{", 400),
        (r#"{"id": "x"}"#, 422),
        (r#"{"id": "", "item": "a"}"#, 400),
        (r#"{"id": "two\nlines", "item": "a"}"#, 400),
        (r#"{"id": "x", "item": "\u0000"}"#, 400),
        (&format!(r#"{{"id": "{}", "item": "a"}}"#, "x".repeat(201)), 400),
        (&format!(r#"{{"id": "x", "item": "{}"}}"#, "x".repeat(20_000)), 413),
    ];
    for (body, expected) in refused {
        let (status, answer) = shop.try_request("POST", "/orders", body).unwrap();
        assert_eq!((status, answer.contains("reason")), (expected, true), "{body:.40}: {answer}");
    }

    postgres.sql("INSERT INTO orders SELECT 'n' || lpad(n::text, 6, '0'), 'a' FROM generate_series(1, 100000) n");
    let (status, list) = shop.get("/orders");
    assert_eq!((status, list.lines().count()), (200, 100_002));
    assert!(list.starts_with("a\nb\nn000001\n") && list.ends_with("n100000\n"));

    assert_eq!(shop.terminate(), Some(0));
}

#[test]
fn a_commit_that_no_standby_confirmed_is_never_acknowledged() {
    let Some(postgres) = Postgres::start() else { return };
    let shop = Shop::start(&postgres.url(), UNHURRIED);
    eventually("an order is placed", || matches!(shop.order("first").0, 201 | 409));
    hold_commits(&postgres);

    thread::scope(|scope| {
        let order = scope.spawn(|| shop.order("cancelled"));
        eventually("its commit waits", || waiting(&postgres) == 1);
        assert_eq!(shop.get("/orders/cancelled").0, 404, "what is not committed is not shown");
        postgres.sql(&format!("SELECT pg_cancel_backend(pid) {WAITING}"));
        let (status, answer) = order.join().unwrap();
        assert_eq!((status, answer.contains("unknown")), (503, true), "{answer}");

        let order = scope.spawn(|| shop.order("terminated"));
        eventually("its commit waits", || waiting(&postgres) == 1);
        postgres.sql(&format!("SELECT pg_terminate_backend(pid) {WAITING}"));
        let (status, answer) = order.join().unwrap();
        assert_eq!((status, answer.contains("unknown")), (503, true), "{answer}");

        let order = scope.spawn(|| shop.order("confirmed"));
        eventually("its commit waits", || waiting(&postgres) == 1);
        release_commits(&postgres);
        assert_eq!(order.join().unwrap().0, 201, "the warnings of earlier commits do not count");
    });
    // Both are there all the same: this is why the answer was that nobody knows.
    assert_eq!(shop.get("/orders").1, "cancelled\nconfirmed\nfirst\nterminated\n");
    assert_eq!(shop.order("cancelled").0, 409);
}

#[test]
fn waiting_commits_block_neither_readers_nor_the_process() {
    let Some(postgres) = Postgres::start() else { return };
    let shop = Shop::start(&postgres.url(), HURRIED);
    eventually("an order is placed", || matches!(shop.order("first").0, 201 | 409));
    hold_commits(&postgres);

    let ids: Vec<String> = (0..20).map(|n| format!("held-{n}")).collect();
    for id in &ids {
        let (status, answer) = shop.order(id);
        assert_eq!((status, answer.contains("placed")), (503, true), "{answer}");
    }
    assert!((1..=6).contains(&waiting(&postgres)), "the waiting commits are bounded");
    assert_eq!(shop.get("/healthz").0, 200);
    eventually("readers are served", || shop.get("/orders") == (200, "first\n".to_owned()));
    assert_eq!(shop.get("/readyz").0, 200);

    release_commits(&postgres);
    eventually("orders are placed again", || matches!(shop.order("last").0, 201 | 409));
    eventually("what waited is there", || {
        let (_, list) = shop.get("/orders");
        (2..=8).contains(&list.lines().count()) && waiting(&postgres) == 0
    });
}

#[test]
fn standbys_and_dead_servers_are_told_apart_and_left_by_themselves() {
    let Some(mut postgres) = Postgres::start() else { return };
    postgres.kill();
    let mut shop = Shop::start(&postgres.url(), Duration::from_secs(2));
    assert_eq!(shop.get("/healthz"), (200, "ok\n".to_owned()));
    let (status, answer) = shop.order("too-early");
    assert_eq!((status, answer.contains("no connection")), (503, true), "{answer}");
    assert_eq!(shop.get("/readyz").0, 503);

    postgres.become_standby();
    postgres.run();
    eventually("the standby is seen", || shop.get("/readyz").1 == r#"{"database":"read-only"}"#);
    assert_eq!(shop.get("/orders"), (200, String::new()), "no table is no order");
    let (status, answer) = shop.order("too-early");
    assert_eq!(status, 503, "{answer}");

    postgres.sql("SELECT pg_promote()");
    eventually("the promoted server takes orders", || matches!(shop.order("placed").0, 201 | 409));
    assert_eq!(shop.get("/orders").1, "placed\n", "what was refused is not there");

    postgres.kill();
    eventually("the break is noticed", || shop.order("while-down").0 == 503);
    postgres.run();
    eventually("the shop is connected again", || matches!(shop.order("again").0, 201 | 409));
    assert!(shop.get("/orders").1.contains("placed\n"));
    postgres.kill();
    assert_eq!(shop.terminate(), Some(0));
}
