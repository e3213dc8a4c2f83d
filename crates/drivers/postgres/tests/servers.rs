//! The driver on real PostgreSQL servers: created, seeded, promoted, fenced, and brought back.

mod support;

use std::time::Duration;

use lifeboat_driver_postgres::Postgres;
use lifeboat_model::database::{Action, Gate, Refusal, Role};
use lifeboat_model::{Epoch, Moment};
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
    let began = std::time::Instant::now();
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
    b.confirm(Epoch(2), Some(Moment(u64::MAX)));
    let began = std::time::Instant::now();
    insert(&client(&b).await, 6).await.unwrap();
    println!("promoted in {promoted:?}; first write after confirming {:?}", began.elapsed());
    assert_eq!(&ids(&new).await[..2], [1, 2]);
}
