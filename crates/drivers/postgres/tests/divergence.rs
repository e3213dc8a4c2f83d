//! An old primary comes back, on real PostgreSQL servers: what only it has is saved, then it follows the writer.
#![allow(clippy::unwrap_used, reason = "tests, helpers included")]

mod support;

use std::collections::BTreeSet;

use lifeboat_driver_postgres::Postgres;
use lifeboat_model::database::{Action, Role};
use support::*;

/// Writes rows from several connections until they break; each returns which were acknowledged, and which was not when it broke.
async fn load(server: &Postgres) -> Vec<tokio::task::JoinHandle<(BTreeSet<i32>, Option<i32>)>> {
    let mut writers = Vec::new();
    for writer in 0..4 {
        let client = client(server).await;
        writers.push(tokio::spawn(async move {
            let mut acknowledged = BTreeSet::new();
            for id in (1000 * writer..).take(1000) {
                if insert(&client, id).await.is_err() {
                    return (acknowledged, Some(id));
                }
                acknowledged.insert(id);
            }
            (acknowledged, None)
        }));
    }
    writers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_primary_killed_under_load_saves_what_only_it_has_and_is_rewound() {
    let lab = Lab::new(&["a", "b"]);
    let (a, b) = lab.pair().await;
    make_table(&client(&a).await).await;
    let writers = load(&a).await;
    let inside = superuser(&lab, "a").await;
    let enough = "SELECT count(*) > 100 FROM orders";
    while !inside.query_one(enough, &[]).await.unwrap().get::<_, bool>(0) {}
    // The standby is lost, so that commits wait that no other region has; then the primary, too.
    act(&b, 1, Action::Stop { clean: false }).await;
    let late = client(&a).await;
    let too_late = tokio::spawn(async move { insert(&late, 9000).await });
    commits_wait(&inside, 5).await;
    crash(&lab.data("a")).await;
    let (mut acknowledged, mut waiting) = (BTreeSet::new(), BTreeSet::new());
    for writer in writers {
        let (done, broke_at) = writer.await.unwrap();
        acknowledged.extend(done);
        waiting.extend(broke_at);
    }
    assert_eq!(waiting.len(), 4, "each of them had a commit waiting");
    assert!(too_late.await.unwrap().is_err());
    waiting.insert(9000);

    act(&b, 1, Action::Start).await;
    act(&b, 2, Action::Promote).await;
    open_gate(&b, 2);
    let kept: BTreeSet<i32> = ids(&client(&b).await).await.into_iter().collect();
    assert!(kept.is_superset(&acknowledged), "lost {:?}", acknowledged.difference(&kept));
    insert(&client(&b).await, 9999).await.unwrap();

    let note = act(&a, 2, Action::Follow { writer: "b".into() }).await;
    // A commit that waited may have reached the standby before that was lost, unconfirmed: then it is there. Every other one is only here.
    let divergent: BTreeSet<i32> = waiting.difference(&kept).copied().collect();
    assert!(divergent.contains(&9000), "it began when there was no standby any more");
    let told = match divergent.len() {
        1 => "1 divergent row saved to".to_owned(),
        more => format!("{more} divergent rows saved to"),
    };
    assert!(note.contains(&told) && note.contains("; rewound to 0/"), "{divergent:?}: {note}");
    let saved = saved_rows(&lab, "a");
    assert!(saved.iter().all(|row| row["table"] == "public.orders" && row["row"]["note"] == "a'note"));
    let saved: BTreeSet<i32> =
        saved.iter().map(|row| i32::try_from(row["row"]["id"].as_i64().unwrap()).unwrap()).collect();
    assert_eq!(saved, divergent, "exactly what only the old primary had");
    let now = a.states().borrow().clone();
    assert_eq!((now.role, now.timeline, now.follows), (Role::Standby, 2, Some("b".into())));
    let place = std::fs::read_dir(lab.data("a").with_file_name("divergent")).unwrap().next().unwrap().unwrap().path();
    assert!(place.file_name().unwrap().to_str().unwrap().ends_with("-epoch2"));
    assert!(place.join("wal.txt").metadata().unwrap().len() > 0);
    assert!(std::fs::read_dir(place.join("wal")).unwrap().count() > 0);

    // It is a standby like any other now.
    act(&b, 2, Action::SetGate { gate: peers(1, &["a"]) }).await;
    insert(&client(&b).await, 10000).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_rewind_fails_the_data_are_copied_afresh() {
    let lab = Lab::new(&["a", "b"]);
    let (a, b) = lab.pair().await;
    make_table(&client(&a).await).await;
    act(&b, 2, Action::Promote).await;
    open_gate(&b, 2);
    // The old primary still runs, and a commit waits there for ever.
    let inside = superuser(&lab, "a").await;
    let waiter = client(&a).await;
    let waiting = tokio::spawn(async move { insert(&waiter, 1).await });
    commits_wait(&inside, 1).await;
    drop(inside);
    let revoke = "REVOKE EXECUTE ON FUNCTION pg_ls_dir(text, boolean, boolean) FROM lifeboat_replication";
    in_postgres(&lab, "b", revoke).await;

    let note = act(&a, 2, Action::Follow { writer: "b".into() }).await;
    assert!(
        note.contains("1 divergent row saved to")
            && note.contains("the rewind failed")
            && note.contains("copied from b"),
        "{note}"
    );
    assert!(waiting.await.unwrap().is_err());
    assert_eq!(role(&a), Role::Standby);
    assert_eq!(saved_rows(&lab, "a").len(), 1);
    for gone in ["data.old", "data.new", "rewinding"] {
        assert!(!lab.data("a").with_file_name(gone).exists(), "{gone}");
    }
    act(&b, 2, Action::SetGate { gate: peers(1, &["a"]) }).await;
    insert(&client(&b).await, 2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_promoted_themselves_to_one_timeline_are_not_taken_for_one_history() {
    let lab = Lab::new(&["a", "b", "c"]);
    let (a, b, c) = (lab.open("a").await, lab.open("b").await, lab.open("c").await);
    act(&a, 1, Action::Create { gate: lifeboat_model::database::Gate::Node }).await;
    open_gate(&a, 1);
    make_table(&client(&a).await).await;
    act(&b, 1, Action::Seed { from: "a".into() }).await;
    act(&c, 1, Action::Seed { from: "a".into() }).await;
    act(&a, 1, Action::Stop { clean: true }).await;
    act(&b, 2, Action::Promote).await;
    open_gate(&b, 2);
    insert(&client(&b).await, 1).await.unwrap();
    act(&c, 3, Action::Promote).await;
    open_gate(&c, 3);
    insert(&client(&c).await, 2).await.unwrap();
    assert_eq!(b.states().borrow().timeline, c.states().borrow().timeline);
    let note = act(&b, 3, Action::Follow { writer: "c".into() }).await;
    assert!(note.contains("1 divergent row saved to") && note.contains("copied from c"), "{note}");
    let here = superuser(&lab, "b").await;
    let caught_up = async { while ids(&here).await != [2] {} };
    tokio::time::timeout(PATIENCE, caught_up).await.unwrap();
    assert_eq!(act(&a, 3, Action::Follow { writer: "c".into() }).await, "no divergent writes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_saved_is_not_rewound() {
    let lab = Lab::new(&["a", "b"]);
    let (a, b) = lab.pair().await;
    make_table(&client(&a).await).await;
    act(&b, 1, Action::Stop { clean: false }).await;
    let inside = superuser(&lab, "a").await;
    let waiter = client(&a).await;
    let waiting = tokio::spawn(async move { insert(&waiter, 1).await });
    commits_wait(&inside, 1).await;
    crash(&lab.data("a")).await;
    assert!(waiting.await.unwrap().is_err());
    act(&b, 1, Action::Start).await;
    act(&b, 2, Action::Promote).await;
    open_gate(&b, 2);
    let divergent = lab.data("a").with_file_name("divergent");
    std::fs::remove_dir(&divergent).unwrap();
    std::fs::write(&divergent, "in the way").unwrap();

    let refused = try_act(&a, 2, Action::Follow { writer: "b".into() }).await.unwrap_err().to_string();
    assert!(refused.contains("in the way") || refused.contains(divergent.to_str().unwrap()), "{refused}");
    let now = a.states().borrow().clone();
    assert_eq!(now.role, Role::Stopped { was_primary: true });
    assert_eq!(now.trouble, Some(refused));

    std::fs::remove_file(&divergent).unwrap();
    let note = act(&a, 2, Action::Follow { writer: "b".into() }).await;
    assert!(note.contains("1 divergent row saved to"), "{note}");
    assert_eq!(saved_rows(&lab, "a")[0]["row"]["id"], 1);
    assert_eq!(a.states().borrow().trouble, None);
}

/// Runs a statement as the superuser in the database `postgres`.
async fn in_postgres(lab: &Lab, region: &str, statement: &str) {
    let config = lab.config(region);
    let mut to = tokio_postgres::Config::new();
    to.host_path(config.directory.join("socket"))
        .port(config.port)
        .user("lifeboat")
        .password(&config.secrets.superuser);
    to.dbname("postgres").options("-c synchronous_commit=local");
    let (client, connection) = to.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(statement).await.unwrap();
}
