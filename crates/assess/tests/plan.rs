//! What is predicted is drawn over the plan that the app gets: held against that plan, with the same measurements.

#![allow(clippy::unwrap_used, reason = "helpers may unwrap as the tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat_assess::choice::Setting;
use lifeboat_assess::optimise::{EFFORT, Outcome, Task, optimise};
use lifeboat_assess::proposal::losses;
use lifeboat_assess::site::{Ground, declared};
use lifeboat_assess::{History, Inputs, assess, write};
use lifeboat_atlas::Atlas;
use lifeboat_model::manual::MovedBy;
use lifeboat_model::{App, ComponentId};
use lifeboat_plan::{Durations, Intent, Plan, RegionLoss, StepKind};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Files that have a solution in the regions that they name.
fn files() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in ["examples/aws", "examples/azure", "examples/local", "examples/kubernetes"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            found.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    found.sort();
    assert!(found.len() >= 10);
    found
}

fn read(text: &str) -> App {
    lifeboat_model::parse(text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn optimised<'a>(app: &'a App, history: &'a History, ground: &'a Ground) -> Outcome {
    let relaxed = BTreeSet::new();
    let draws = Inputs::new(Atlas::embedded()).draws(app);
    optimise(&Task {
        setting: Setting { atlas: Atlas::embedded(), app, history },
        ground,
        relaxed: &relaxed,
        keep_pins: true,
        draws: &draws,
        together: false,
        within: None,
        effort: EFFORT,
    })
}

/// The plan that nodes carry out once the choices stand in the file is the one over which recoveries are drawn.
#[test]
fn every_step_of_the_plan_of_the_written_file_is_drawn_after_what_it_waits_for() {
    let atlas = Atlas::embedded();
    let history = History::default();
    let mut plans = 0;
    for (name, text) in files() {
        let app = read(&text);
        let answer = assess(&app, &Inputs::new(atlas));
        if !answer.conflicts.is_empty() {
            continue;
        }
        let Ok(written) = write::write(&text, &answer, true) else { continue };
        let written = read(&written);
        let ground = Ground::new(atlas, atlas.prices(), declared(&written));
        let placed = optimised(&written, &history, &ground).placed;
        let losses = losses(&written, &ground, &placed, &Durations::default());
        // What people move is planned after their word, and predicted from when they act.
        let by_nodes = |id: &ComponentId| {
            let component = &written.components[id];
            component.kind.is_database() && component.moved_by() == MovedBy::Nodes
        };
        for (id, placed) in placed.iter().filter(|(id, _)| by_nodes(id)) {
            let target = ground.sites[placed.targets[0]].region.as_ref().unwrap();
            let writer = written.components[id].writer.as_ref();
            let plan = Plan::build(&written, Intent::Failover, id, writer, target, &Durations::default());
            // A database that is only backed up has no standby that a plan could be asked for.
            let Ok(plan) = plan else { continue };
            losses[&placed.home].holds(&plan).unwrap_or_else(|why| panic!("{name}: {id}: {why}"));
            plans += 1;
        }
    }
    assert!(plans >= 2, "{plans}");
}

/// What measurements say of the plan's steps is what recoveries are drawn from.
#[test]
fn measured_durations_of_steps_reach_the_prediction() {
    let text = "\
app: one
regions:
  a: {place: aws/eu-north-1}
  b: {place: aws/eu-central-1}
  c: {place: aws/eu-west-1}
components:
  orders: {kind: postgres, pattern: warm-standby, writer: a, standbys: {b: synchronous, c: synchronous}, confirmations: 1, size: {instance: m6g.large}}
";
    let app = read(text);
    let rto = |history: History| {
        let answer = assess(&app, &Inputs { history, ..Inputs::new(Atlas::embedded()) });
        answer.components[0].rto.p50
    };
    let mut history = History::default();
    let before = rto(history.clone());
    for _ in 0..30 {
        history.planned.record(&StepKind::Detach("orders".into()), Duration::from_secs(300));
    }
    let detached = rto(history.clone());
    assert!((detached - before - 300.0).abs() < 1.0, "{before} {detached}");
    let key = (Some(lifeboat_model::app::Kind::Postgres), lifeboat_assess::StepKind::Promote);
    history.steps.insert(key, vec![700.0; 30]);
    let promoted = rto(history);
    assert!((promoted - detached - 700.0).abs() < 2.0, "{detached} {promoted}");
}

/// When a component serves, with the planned duration of each step: along the plan.
fn along_the_plan(
    loss: &RegionLoss,
    placed: &BTreeMap<ComponentId, lifeboat_assess::optimise::Placed>,
) -> BTreeMap<ComponentId, u64> {
    let mut done = vec![0_u64; loss.steps.len()];
    for step in &loss.steps {
        let start = step.needs.iter().map(|need| done[need.0]).max().unwrap_or(0);
        let steps = placed.get(step.kind.subject()).map_or(&[][..], |placed| &placed.choice.steps);
        let parts = steps.iter().filter(|part| part.kind.is_part_of(&step.kind));
        done[step.id.0] = start + parts.map(|part| part.takes.planned_ms()).sum::<u64>();
    }
    let serves = |steps: &Vec<lifeboat_plan::StepId>| steps.iter().map(|step| done[step.0]).max().unwrap_or(0);
    loss.serving.iter().map(|(id, steps)| (id.clone(), serves(steps))).collect()
}

/// The optimiser's own arithmetic (what is done alone, what after the needs) is the plan's critical path, save that it lets
/// machines start without waiting for a lease.
#[test]
fn the_optimiser_counts_along_the_critical_path_of_the_plan() {
    let atlas = Atlas::embedded();
    let history = History::default();
    let mut counted = 0;
    for (name, text) in files() {
        let app = read(&text);
        let ground = Ground::new(atlas, atlas.prices(), declared(&app));
        let placed = optimised(&app, &history, &ground).placed;
        let lease = u64::try_from(app.detection.lease.as_millis()).unwrap();
        for loss in losses(&app, &ground, &placed, &Durations::default()).values() {
            for (id, planned) in along_the_plan(loss, &placed) {
                let found = ready(&app, &placed, &id);
                assert!((found..=found + lease).contains(&planned), "{name}: {id}: {found} {planned}");
                counted += 1;
            }
        }
    }
    assert!(counted >= 20, "{counted}");
}

fn ready(app: &App, placed: &BTreeMap<ComponentId, lifeboat_assess::optimise::Placed>, id: &ComponentId) -> u64 {
    let of_home = |need: &&ComponentId| placed.get(*need).is_some_and(|need| need.home == placed[id].home);
    let needs = app.components[id].needs.iter().filter(of_home).map(|need| ready(app, placed, need)).max();
    placed[id].choice.planned().ready(needs.unwrap_or(0))
}
