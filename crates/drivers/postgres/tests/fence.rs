//! The fence on real PostgreSQL servers: who confirms a commit, and that nobody else can.
#![allow(clippy::unwrap_used, reason = "tests, helpers included")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lifeboat_driver_postgres::{Config, Postgres, Secrets};
use lifeboat_model::database::{Action, Gate, Role};
use lifeboat_model::{Epoch, Moment};
use rustix::process::{Pid, Signal, kill_process};
use support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_waits_for_its_standby_and_its_promotion_is_the_fence() {
    let lab = Lab::new(&["a", "b"]);
    let (a, b) = lab.pair().await;
    let old = client(&a).await;
    make_table(&old).await;
    assert!(acknowledged(&old, 1).await);

    // Without its standby the primary acknowledges nothing; with it again, what waited.
    act(&b, 1, Action::Stop { clean: false }).await;
    assert_eq!(processes(&lab.data("b")), []);
    assert_eq!(role(&b), Role::Stopped { was_primary: false });
    let waiter = client(&a).await;
    let waiting = tokio::spawn(async move { insert(&waiter, 2).await });
    assert!(!acknowledged(&old, 3).await);
    assert!(!waiting.is_finished());
    act(&b, 1, Action::Start).await;
    waiting.await.unwrap().unwrap();

    state(&a, "b confirms", |s| s.followers.get("b").is_some_and(|b| b.confirms)).await;
    let began = Instant::now();
    let note = act(&b, 2, Action::Promote).await;
    let promoted = began.elapsed();
    assert_eq!(note, "timeline 2");
    let now = b.states().borrow().clone();
    assert_eq!((now.role, now.gate, now.epoch), (Role::Primary, Gate::Node, Epoch(2)));

    // The gate is shut, on both sides.
    let old = client(&a).await;
    assert!(!acknowledged(&old, 4).await);
    let new = client(&b).await;
    assert!(!acknowledged(&new, 5).await);
    open_gate(&b, 2);
    insert(&client(&b).await, 6).await.unwrap();
    println!("promoted in {promoted:?}");
    assert_eq!(&ids(&new).await[..2], [1, 2]);
}

/// Not a test of speed: it prints what a failover costs in the driver, from the order to the first acknowledged write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_write_after_a_promotion_is_acknowledged() {
    let lab = Lab::new(&["a", "b"]);
    let (a, b) = lab.pair().await;
    make_table(&client(&a).await).await;
    crash(&lab.data("a")).await;
    let writer = client(&b).await;
    let began = Instant::now();
    act(&b, 2, Action::Promote).await;
    let promoted = began.elapsed();
    open_gate(&b, 2);
    insert(&writer, 1).await.unwrap();
    println!("promoted after {promoted:?}, first write acknowledged after {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gate_confirms_until_its_moment_and_under_its_epoch() {
    let lab = Lab::new(&["a", "b"]);
    let a = lab.open("a").await;
    act(&a, 2, Action::Create { gate: Gate::Node }).await;
    state(&a, "the gate is connected", |s| s.gate_connected).await;
    let writer = client(&a).await;
    a.confirm(Epoch(2), Some(boot_clock() + PATIENCE));
    make_table(&writer).await;
    insert(&writer, 1).await.unwrap();
    a.confirm(Epoch(2), None);
    assert!(!acknowledged(&writer, 2).await);
    a.confirm(Epoch(3), Some(boot_clock() + PATIENCE));
    assert!(!acknowledged(&client(&a).await, 3).await);
    // The moment passes, and nobody renews it.
    let until = boot_clock() + Duration::from_millis(500);
    a.confirm(Epoch(2), Some(until));
    let mut last = 10;
    let writer = client(&a).await;
    while acknowledged(&writer, last).await {
        assert!(boot_clock() < until + Duration::from_millis(1500), "acknowledged after the moment");
        last += 1;
    }
    assert!(boot_clock() >= until);
    // What waited is acknowledged with the next permission.
    a.confirm(Epoch(2), Some(boot_clock() + PATIENCE));
    let writer = client(&a).await;
    insert(&writer, last + 1).await.unwrap();
    // A change of the gate: the peer is not there, so nobody confirms; and back.
    act(&a, 2, Action::SetGate { gate: peers(1, &["b"]) }).await;
    assert_eq!(a.states().borrow().gate, peers(1, &["b"]));
    let waiter = client(&a).await;
    let waiting = tokio::spawn(async move { insert(&waiter, 1000).await });
    assert!(!acknowledged(&client(&a).await, 1001).await);
    act(&a, 2, Action::SetGate { gate: Gate::Node }).await;
    waiting.await.unwrap().unwrap();
    for gate in [peers(2, &["b"]), peers(0, &["b"]), peers(1, &["c"])] {
        assert!(try_act(&a, 2, Action::SetGate { gate }).await.is_err());
    }
}

const HELD: &str = "LIFEBOAT_TEST_HELD_SERVER";
const HELD_FOR: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_stopped_over_its_deadline_confirms_nothing() {
    let lab = Lab::new(&["a"]);
    let config = lab.config("a");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holds_the_gate", "--ignored", "--nocapture"])
        .env(HELD, format!("{} {}", config.directory.display(), std::net::SocketAddr::new(config.address, config.port)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_child(&child);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let words = lines.find_map(|line| Some(line.unwrap().split_once("holds ")?.1.to_owned())).unwrap();
    let (until, url) = words.split_once(' ').unwrap();
    let until = Moment(until.parse().unwrap());
    let (writer, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    insert(&writer, 1).await.unwrap();
    let superuser = superuser(&lab, "a").await;
    kill_process(pid, Signal::STOP).unwrap();
    // Written before the deadline, and received by the gate's socket; its process wakes up after the deadline.
    let waiting = tokio::spawn(async move { insert(&writer, 2).await });
    commits_wait(&superuser, 1).await;
    let commit: String = superuser.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).await.unwrap().get(0);
    assert!(boot_clock() < until, "the machine is too slow for this test to say anything");
    while boot_clock() < until {
        tokio::time::sleep(until.since(boot_clock())).await;
    }
    assert!(!waiting.is_finished());
    kill_process(pid, Signal::CONT).unwrap();
    // The process is awake, has received the commit, and says so again and again; what it never says is that it confirms.
    let reports = "SELECT reply_time::text, coalesce(flush_lsn >= $1::text::pg_lsn, false) FROM pg_stat_replication \
                   WHERE write_lsn >= $1::text::pg_lsn";
    let mut at = String::new();
    for _ in 0..3 {
        at = eventually("the gate reports that it has received the commit", async || {
            let report = superuser.query_opt(reports, &[&commit]).await.unwrap();
            let Some(report) = report else { return Err("it has not received it") };
            let (now, confirms): (String, bool) = (report.get(0), report.get(1));
            assert!(!confirms, "the gate confirms after its deadline");
            if now == at { Err("it says nothing new") } else { Ok(now) }
        })
        .await;
    }
    commits_wait(&superuser, 1).await;
    assert!(!waiting.is_finished());
    waiting.abort();
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
#[ignore = "not a test: what the test above runs in a process of its own"]
async fn holds_the_gate() {
    let Ok(held) = std::env::var(HELD) else { return };
    let (directory, server) = held.split_once(' ').unwrap();
    let directory = std::path::PathBuf::from(directory);
    let server: std::net::SocketAddr = server.parse().unwrap();
    let a = Postgres::open(Config {
        region: "a".into(),
        database: "orders".into(),
        address: server.ip(),
        port: server.port(),
        peers: std::collections::BTreeMap::new(),
        secrets: Secrets::load_or_create(directory.parent().unwrap()).unwrap(),
        directory,
        bin: None,
        observe_every: Duration::from_millis(100),
        overrides: std::collections::BTreeMap::new(),
    })
    .await
    .unwrap();
    act(&a, 1, Action::Create { gate: Gate::Node }).await;
    open_gate(&a, 1);
    make_table(&client(&a).await).await;
    let until = boot_clock() + HELD_FOR;
    a.confirm(Epoch(1), Some(until));
    println!("holds {} {}", until.0, a.application_url());
    // Until whoever has started this ends it, or is gone.
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_confirms_and_the_fence_needs_both_to_stop() {
    let lab = Lab::new(&["a", "b", "c"]);
    let (a, b, c) = (lab.open("a").await, lab.open("b").await, lab.open("c").await);
    act(&a, 1, Action::Create { gate: Gate::Node }).await;
    act(&b, 1, Action::Seed { from: "a".into() }).await;
    act(&c, 1, Action::Seed { from: "a".into() }).await;
    act(&a, 1, Action::SetGate { gate: peers(1, &["b", "c"]) }).await;
    state(&a, "both confirm", |s| s.followers.len() == 2 && s.followers.values().all(|f| f.confirms)).await;
    let old = client(&a).await;
    make_table(&old).await;
    act(&c, 1, Action::Stop { clean: true }).await;
    insert(&old, 1).await.unwrap();
    act(&a, 1, Action::SetGate { gate: peers(2, &["b", "c"]) }).await;
    assert!(!acknowledged(&client(&a).await, 2).await);
    act(&a, 1, Action::SetGate { gate: peers(1, &["b", "c"]) }).await;
    act(&c, 1, Action::Start).await;
    state(&a, "both confirm", |s| s.followers.len() == 2 && s.followers.values().all(|f| f.confirms)).await;

    // The promotion of one is no fence while the other still confirms.
    act(&b, 2, Action::Promote).await;
    insert(&client(&a).await, 3).await.unwrap();
    act(&c, 2, Action::Detach).await;
    let now = c.states().borrow().clone();
    assert_eq!((now.role, now.follows, now.streaming), (Role::Standby, None, false));
    assert!(!acknowledged(&client(&a).await, 4).await);

    // What c confirmed after the fork is saved before it joins the new writer.
    open_gate(&b, 2);
    insert(&client(&b).await, 5).await.unwrap();
    let note = act(&c, 2, Action::Follow { writer: "b".into() }).await;
    assert!(note.contains("1 divergent row saved to"), "{note}");
    assert_eq!(saved_rows(&lab, "c")[0]["row"]["id"], 3);
    state(&b, "c streams", |s| s.followers.get("c").is_some_and(|c| c.streaming)).await;
    assert!(note.contains("rewound to"), "{note}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_under_anothers_name_is_ended() {
    let lab = Lab::new(&["a", "b", "c"]);
    let a = lab.open("a").await;
    act(&a, 1, Action::Create { gate: peers(1, &["b"]) }).await;
    let config = lab.config("c");
    let directory = tempfile::tempdir().unwrap();
    let passfile = directory.path().join("pass");
    std::fs::write(&passfile, format!("*:*:*:*:{}\n", config.secrets.replication)).unwrap();
    std::fs::set_permissions(&passfile, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let to = format!(
        "host={} port={} user=lifeboat_c application_name=lifeboat_b passfile={}",
        lab.config("a").address,
        lab.config("a").port,
        passfile.display()
    );
    let mut liar = Command::new("/usr/lib/postgresql/15/bin/pg_receivewal")
        .args(["--synchronous", "--no-loop", "-D"])
        .arg(directory.path())
        .args(["-d", &to])
        .spawn()
        .unwrap();
    state(&a, "it is reported", |s| {
        s.trouble.as_ref().is_some_and(|why| why.contains("lifeboat_c called itself lifeboat_b"))
    })
    .await;
    let ended = tokio::task::spawn_blocking(move || liar.wait().unwrap()).await.unwrap();
    assert!(!ended.success());
}
