//! The driver on real PostgreSQL servers: created, seeded, adopted, switched over, stopped; and what it refuses.
#![allow(clippy::unwrap_used, reason = "tests, helpers included")]

mod support;

use lifeboat_driver_postgres::{Error, Postgres};
use lifeboat_model::Epoch;
use lifeboat_model::database::{Action, Gate, Refusal, Role};
use support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_outlives_its_supervisor_and_the_next_one_takes_it_over() {
    let lab = Lab::new(&["a"]);
    let a = lab.open("a").await;
    assert_eq!(role(&a), Role::Absent);
    act(&a, 3, Action::Create { gate: Gate::Node }).await;
    let locked = Postgres::open(lab.config("a")).await.unwrap_err();
    assert!(matches!(locked, Error::Locked(_)), "{locked}");
    open_gate(&a, 3);
    make_table(&client(&a).await).await;
    let server = postmaster(&lab.data("a"));

    a.close().await;
    let a = lab.open("a").await;
    let found = a.states().borrow().clone();
    assert_eq!((found.role, found.epoch, found.gate), (Role::Primary, Epoch(3), Gate::Node));
    assert_eq!(postmaster(&lab.data("a")), server);
    // A permission does not outlive who was given it.
    let writer = client(&a).await;
    assert!(!acknowledged(&writer, 1).await);
    open_gate(&a, 3);
    assert!(acknowledged(&client(&a).await, 2).await);
    // Done twice is done once.
    act(&a, 3, Action::Create { gate: Gate::Node }).await;
    act(&a, 3, Action::Start).await;
    assert_eq!(postmaster(&lab.data("a")), server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_of_an_older_epoch_changes_nothing() {
    let lab = Lab::new(&["a"]);
    let a = lab.open("a").await;
    act(&a, 5, Action::Create { gate: Gate::Node }).await;
    let refusal = try_act(&a, 4, Action::Stop { clean: false }).await.unwrap_err();
    assert_eq!(refusal, Refusal::OldEpoch { ordered: Epoch(4), known: Epoch(5) });
    assert_eq!(role(&a), Role::Primary);
    // The newest epoch is kept beside the data, and permission to confirm is of one epoch.
    open_gate(&a, 5);
    let writer = client(&a).await;
    make_table(&writer).await;
    act(&a, 6, Action::Checkpoint).await;
    assert!(!acknowledged(&writer, 1).await);
    a.confirm(Epoch(5), Some(lifeboat_model::Moment(u64::MAX)));
    assert!(!acknowledged(&client(&a).await, 2).await);
    a.close().await;
    let a = lab.open("a").await;
    assert_eq!(a.states().borrow().epoch, Epoch(6));
    assert!(try_act(&a, 5, Action::Start).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_is_noticed_at_once_and_the_data_start_again() {
    let lab = Lab::new(&["a"]);
    let a = lab.open("a").await;
    act(&a, 1, Action::Create { gate: Gate::Node }).await;
    open_gate(&a, 1);
    let writer = client(&a).await;
    make_table(&writer).await;
    insert(&writer, 1).await.unwrap();
    crash(&lab.data("a")).await;
    state(&a, "stopped", |s| s.role == Role::Stopped { was_primary: true }).await;
    act(&a, 1, Action::Start).await;
    state(&a, "the gate is connected", |s| s.role == Role::Primary && s.gate_connected).await;
    assert_eq!(ids(&client(&a).await).await, [1]);
    act(&a, 1, Action::Stop { clean: true }).await;
    assert_eq!(role(&a), Role::Stopped { was_primary: true });
    assert_eq!(processes(&lab.data("a")), []);
    act(&a, 1, Action::Stop { clean: true }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_is_in_trouble() {
    let lab = Lab::new(&["a"]);
    let a = lab.open("a").await;
    act(&a, 1, Action::Create { gate: Gate::Node }).await;
    for pid in processes(&lab.data("a")) {
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    }
    state(&a, "trouble", |s| s.role == Role::Primary && s.trouble.is_some()).await;
    for pid in processes(&lab.data("a")) {
        rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    }
    state(&a, "no trouble", |s| s.role == Role::Primary && s.trouble.is_none()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switchover_there_and_back_rewinds_nothing() {
    let lab = Lab::new(&["a", "b"]);
    let (a, b) = lab.pair().await;
    make_table(&client(&a).await).await;
    insert(&client(&a).await, 1).await.unwrap();
    let mut epoch = 1;
    for (from, to, name, other) in [(&a, &b, "b", "a"), (&b, &a, "a", "b")] {
        epoch += 1;
        act(from, epoch, Action::Stop { clean: true }).await;
        act(to, epoch, Action::Promote).await;
        open_gate(to, epoch);
        let id = i32::try_from(epoch).unwrap();
        insert(&client(to).await, id).await.unwrap();
        assert_eq!(act(from, epoch, Action::Follow { writer: name.into() }).await, "no divergent writes");
        let now = from.states().borrow().clone();
        assert_eq!((now.role, now.follows, now.streaming), (Role::Standby, Some(name.into()), true));
        act(to, epoch, Action::SetGate { gate: peers(1, &[other]) }).await;
        insert(&client(to).await, id + 10).await.unwrap();
    }
    assert_eq!(ids(&client(&a).await).await, [1, 2, 3, 12, 13]);
    assert_eq!(saved_rows(&lab, "a").len() + saved_rows(&lab, "b").len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_copy_is_made_anew_and_none_is_started_half_done() {
    let lab = Lab::new(&["a", "b"]);
    let a = lab.open("a").await;
    act(&a, 1, Action::Create { gate: Gate::Node }).await;
    let half = lab.data("b").with_file_name("data.new");
    std::fs::create_dir_all(half.join("base")).unwrap();
    let b = lab.open("b").await;
    assert_eq!(role(&b), Role::Absent);
    assert!(try_act(&b, 1, Action::Start).await.is_err());
    act(&b, 1, Action::Seed { from: "a".into() }).await;
    assert!(!half.exists());
    assert_eq!(role(&b), Role::Standby);
    // Again, over what is there.
    act(&b, 1, Action::Seed { from: "a".into() }).await;
    state(&a, "b streams", |s| s.followers.get("b").is_some_and(|b| b.streaming)).await;
    assert!(!lab.data("b").with_file_name("data.old").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_path_has_its_socket_elsewhere_until_the_server_stops() {
    let lab = Lab::new(&["a"]);
    let mut config = lab.config("a");
    config.directory = config.directory.join("deep".repeat(25));
    let a = Postgres::open(config.clone()).await.unwrap();
    act(&a, 1, Action::Create { gate: Gate::Node }).await;
    let text = std::fs::read_to_string(config.directory.join("data/postmaster.pid")).unwrap();
    let sockets = std::path::PathBuf::from(text.lines().nth(4).unwrap());
    assert!(sockets.starts_with("/tmp"), "{sockets:?}");
    a.close().await;
    let a = Postgres::open(config).await.unwrap();
    assert_eq!(role(&a), Role::Primary);
    act(&a, 1, Action::Stop { clean: true }).await;
    assert!(!sockets.exists());
    act(&a, 1, Action::Start).await;
    assert_eq!(role(&a), Role::Primary);
    act(&a, 1, Action::Stop { clean: false }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_the_arguments_or_logs_and_strangers_are_not_let_in() {
    let lab = Lab::new(&["a", "b"]);
    let (a, _b) = lab.pair().await;
    let config = lab.config("a");
    let secrets = [&config.secrets.superuser, &config.secrets.replication, &config.secrets.application];
    let mut texts = vec![format!("{config:?}")];
    for pid in processes(&lab.data("a")).into_iter().chain(processes(&lab.data("b"))) {
        texts.push(std::fs::read_to_string(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default());
    }
    for region in ["a", "b"] {
        for log in std::fs::read_dir(lab.data(region).with_file_name("log")).unwrap().flatten() {
            texts.push(std::fs::read_to_string(log.path()).unwrap());
        }
    }
    for secret in secrets {
        assert!(!texts.iter().any(|text| text.contains(secret.as_str())));
    }
    let superuser_by_network = a.application_url().replace("orders_app", "lifeboat");
    let refused = tokio_postgres::connect(&superuser_by_network, tokio_postgres::NoTls).await.map(drop).unwrap_err();
    assert_eq!(refused.code().map(|code| code.code()), Some("28000"));
    let wrong_password = a.application_url().replace(config.secrets.application.as_str(), "x");
    assert!(tokio_postgres::connect(&wrong_password, tokio_postgres::NoTls).await.is_err());
}
