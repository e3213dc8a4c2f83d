//! What waits for what, as text: one line a step.

#![allow(clippy::unwrap_used, reason = "helpers may unwrap as the tests do")]

use std::collections::BTreeMap;
use std::time::Duration;

use lifeboat_model::App;
use lifeboat_plan::{Durations, Intent, Plan, RegionLoss, Step, StepKind};

const SHOP: &str = "\
app: shop
regions:
  a: {place: aws/eu-north-1}
  b: {place: aws/eu-central-1}
  c: {place: aws/eu-west-1}
components:
  orders: {kind: postgres, writer: a, standbys: {b: synchronous, c: synchronous}, confirmations: 1}
  images: {kind: s3, pattern: warm-standby, writer: a, standbys: {b: asynchronous}}
  api: {kind: asg, pattern: pilot-light, needs: [orders, images], port: 80, check: {http: /}}
  web: {kind: asg, needs: [api], port: 80, check: {http: /}}
routes:
  shop.example.com: {to: web}
";

fn app() -> App {
    lifeboat_model::parse(SHOP).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn told(steps: &[Step]) -> Vec<String> {
    let name = |step: &Step| format!("{} in {}", step.kind, step.actor);
    let line = |step: &Step| {
        let needs: Vec<String> = step.needs.iter().map(|need| name(&steps[need.0])).collect();
        if needs.is_empty() { name(step) } else { format!("{} after {}", name(step), needs.join(", ")) }
    };
    steps.iter().filter(|step| step.in_outage).map(line).collect()
}

fn plan(app: &App, database: &str, intent: Intent) -> Plan {
    Plan::build(app, intent, &database.into(), Some(&"a".into()), &"b".into(), &Durations::default()).unwrap()
}

fn loss(app: &App, durations: &Durations) -> RegionLoss {
    let moves: BTreeMap<_, _> = app.components.keys().map(|id| (id.clone(), "b".into())).collect();
    RegionLoss::build(app, &moves, durations)
}

#[test]
fn a_failover_starts_machines_at_the_claim_and_turns_clients_when_all_that_they_need_serves() {
    assert_eq!(
        told(&plan(&app(), "orders", Intent::Failover).steps),
        [
            "claim orders in b",
            "detach orders in c after claim orders in b",
            "promote orders in b after claim orders in b, detach orders in c",
            "open orders in b after promote orders in b",
            "start-compute api in b after claim orders in b",
            "await-compute api in b after open orders in b, start-compute api in b",
            "await-compute web in b after await-compute api in b",
            "route shop.example.com in b after await-compute web in b",
        ]
    );
}

#[test]
fn a_switchover_stops_the_source_first() {
    let steps = told(&plan(&app(), "orders", Intent::Switchover).steps);
    assert_eq!(
        steps[..3],
        [
            "drain orders in a after checkpoint orders in a",
            "catch-up orders in b after drain orders in a",
            "claim orders in b after catch-up orders in b"
        ]
    );
}

#[test]
fn a_region_s_loss_is_all_of_its_failovers_in_one() {
    let app = app();
    let loss = loss(&app, &Durations::default());
    assert_eq!(
        told(&loss.steps)[4..],
        [
            "claim images in b",
            "promote images in b after claim images in b",
            "open images in b after promote images in b",
            "start-compute api in b after claim orders in b, claim images in b",
            "await-compute api in b after open orders in b, open images in b, start-compute api in b",
            "await-compute web in b after await-compute api in b",
            "route shop.example.com in b after await-compute web in b",
        ]
    );
    loss.holds(&plan(&app, "orders", Intent::Failover)).unwrap();
    let mut without = loss.clone();
    let open = without.steps.iter_mut().find(|step| step.kind == StepKind::Open("orders".into())).unwrap();
    open.needs.clear();
    assert_eq!(
        without.holds(&plan(&app, "orders", Intent::Failover)).unwrap_err(),
        "open orders does not wait for promote orders"
    );
    let mut without = loss.clone();
    without.steps.retain(|step| !matches!(step.kind, StepKind::Route(_)));
    assert_eq!(
        without.holds(&plan(&app, "orders", Intent::Failover)).unwrap_err(),
        "route shop.example.com is missing"
    );
}

#[test]
fn what_does_not_move_is_not_waited_for() {
    let app = app();
    let moves = BTreeMap::from([("images".into(), "b".into()), ("api".into(), "b".into())]);
    let loss = RegionLoss::build(&app, &moves, &Durations::default());
    assert_eq!(
        told(&loss.steps).last().unwrap(),
        "await-compute api in b after open images in b, start-compute api in b"
    );
    assert!(!loss.steps.iter().any(|step| step.kind.subject() == "orders" || step.kind.subject() == "web"));
}

#[test]
fn measured_durations_reach_a_plan_and_a_region_s_loss() {
    let app = app();
    let mut durations = Durations::default();
    let promote = StepKind::Promote("orders".into());
    durations.record(&promote, Duration::from_millis(777));
    let of = |steps: &[Step]| steps.iter().find(|step| step.kind == promote).unwrap().expected;
    let plan = Plan::build(&app, Intent::Failover, &"orders".into(), None, &"b".into(), &durations).unwrap();
    assert_eq!(of(&plan.steps), Duration::from_millis(777));
    assert_eq!(of(&loss(&app, &durations).steps), Duration::from_millis(777));
}

/// Each would take minutes if its cost grew with the square of the app.
#[test]
fn an_enormous_app_is_planned() {
    let mut text = String::from(
        "app: large\nregions:\n  a: {place: aws/eu-north-1}\n  b: {place: aws/eu-central-1}\n  c: {place: aws/eu-west-1}\ncomponents:\n  c0: {kind: rds, pattern: warm-standby, writer: a, standbys: {b: asynchronous}}\n",
    );
    for number in 1..10_000 {
        text += &format!("  c{number}: {{kind: asg, pattern: pilot-light, needs: [c{}], port: 80}}\n", number - 1);
    }
    let app = lifeboat_model::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let loss = loss(&app, &Durations::default());
    assert_eq!(loss.steps.len(), 3 + 2 * 9_999);
    assert_eq!(loss.serving.len(), 10_000);
}

const MANAGED: &str = "\
app: shop
regions:
  a: {place: aws/eu-north-1}
  b: {place: aws/eu-central-1}
  c: {place: aws/eu-west-1, role: witness}
components:
  orders: {kind: aurora-global, pattern: warm-standby, writer: a, standbys: {b: asynchronous}}
  images: {kind: s3, pattern: warm-standby, writer: a, standbys: {b: asynchronous}}
  api: {kind: asg, pattern: pilot-light, needs: [orders, images], port: 80, size: {count: 4}, check: {http: /}}
  web: {kind: ecs, pattern: warm-standby, needs: [api], port: 80, size: {count: 6}, check: {http: /}}
  front: {kind: asg, pattern: active-active, needs: [web], port: 80, size: {count: 6}, check: {http: /}}
routes:
  shop.example.com: {to: front}
";

#[test]
fn a_database_without_a_driver_is_moved_by_a_person_and_all_else_waits_for_that() {
    let app = lifeboat_model::parse(MANAGED).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let failover = plan(&app, "orders", Intent::Failover);
    assert_eq!(
        told(&failover.steps),
        [
            "promote orders in b",
            "claim orders in b after promote orders in b",
            "open orders in b after claim orders in b",
            "start-compute api in b after claim orders in b",
            "await-compute api in b after open orders in b, start-compute api in b",
            "await-compute web in b after await-compute api in b",
            "await-compute front in b after await-compute web in b",
            "route shop.example.com in b after await-compute front in b",
        ]
    );
    let manual = |plan: &Plan, step: &str| {
        let step = plan.steps.iter().find(|other| other.kind.to_string() == step).unwrap();
        step.manual.join("\n")
    };
    assert!(manual(&failover, "promote orders").contains("failover-global-cluster --region eu-central-1"));
    assert!(manual(&failover, "promote orders").contains("--allow-data-loss"));
    assert!(manual(&failover, "start-compute api").contains("--min-size 4"));
    assert_eq!(manual(&failover, "await-compute api"), "", "it is said once");
    assert!(manual(&failover, "await-compute web").contains("--desired-count 6"));
    assert_eq!(manual(&failover, "await-compute front"), "", "all of it runs there");
    let switchover = plan(&app, "orders", Intent::Switchover);
    assert!(manual(&switchover, "promote orders").contains("switchover-global-cluster --region eu-north-1"));
    assert!(!manual(&switchover, "promote orders").contains("--allow-data-loss"));
    let nothing =
        Plan::build(&app, Intent::Failover, &"images".into(), Some(&"a".into()), &"b".into(), &Durations::default());
    assert_eq!(nothing.unwrap_err().to_string(), "images needs no move: `s3` is written in every region that has it");
}
