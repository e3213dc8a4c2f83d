//! What has to happen when a region is lost: the failovers of all databases that are written there, and of all that stands
//! before them, as one DAG.

use std::collections::BTreeMap;

use lifeboat_model::app::App;
use lifeboat_model::{ComponentId, RegionId};

use crate::dag::{Dag, Move, in_order};
use crate::plan::Intent;
use crate::step::{Step, StepId, StepKind};
use crate::{Durations, Plan};

/// The loss of a region: for each of its databases what [`Plan::build`] says of a failover, steps that several have in
/// common once. What brings standbys back afterwards is left out: no client waits for it.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionLoss {
    /// Each comes after those that it needs.
    pub steps: Vec<Step>,
    /// By component: it serves in its new region when all of these are done.
    pub serving: BTreeMap<ComponentId, Vec<StepId>>,
}

impl RegionLoss {
    /// What happens if all of these components move, each to its region. Whatever else they need is taken to serve.
    pub fn build(app: &App, moves: &BTreeMap<ComponentId, RegionId>, durations: &Durations) -> Self {
        let mut dag = Dag::new(app, durations);
        for id in in_order(app, moves.keys()) {
            let Some(to) = moves.get(id) else { continue };
            match app.components.get(id) {
                Some(component) if component.kind.is_database() => {
                    let from = component.writer.as_ref();
                    dag.move_database(Intent::Failover, &Move { database: id, from, to });
                }
                Some(_) => dag.serve(id, to),
                None => {}
            }
        }
        for (host, route) in &app.routes {
            if let Some(to) = moves.get(&route.to) {
                dag.route(host, &route.to, to);
            }
        }
        let (steps, serving) = dag.into_serving();
        Self { steps, serving }
    }

    /// Whether everything that clients wait for in a plan is here too, and waits for the same. The error names the first
    /// step that is not, or does not.
    ///
    /// # Errors
    /// The step, in words.
    pub fn holds(&self, plan: &Plan) -> Result<(), String> {
        let find = |kind: &StepKind, actor: &RegionId| {
            self.steps.iter().find(|step| step.kind == *kind && step.actor == *actor)
        };
        for step in plan.steps.iter().filter(|step| step.in_outage) {
            let here = find(&step.kind, &step.actor).ok_or_else(|| format!("{} is missing", step.kind))?;
            for need in &step.needs {
                let need = &plan.steps[need.0];
                let waits = find(&need.kind, &need.actor).is_some_and(|need| here.needs.contains(&need.id));
                if !waits {
                    return Err(format!("{} does not wait for {}", step.kind, need.kind));
                }
            }
        }
        Ok(())
    }
}
