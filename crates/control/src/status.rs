//! What this node says when it is asked how things are.

use std::collections::BTreeMap;

use lifeboat_model::app::Component;
use lifeboat_model::compute::{ComputeState, Running};
use lifeboat_model::manual::MovedBy;
use lifeboat_model::status::{DatabaseStatus, Health, RegionStatus, RunStatus, Status};
use lifeboat_model::{ComponentId, RegionId};
use lifeboat_plan::{Durations, Plan, StepKind};

use crate::brain::{Brain, keeps_copy};
use crate::health::{Sight, Target};
use crate::record::{Run, Stage};
use lifeboat_model::database::Role;

impl Brain {
    /// Everything that a person or a script may want to know, from this node's point of view.
    pub fn status(&self) -> Status {
        Status {
            app: self.app.name.clone(),
            region: self.me.clone(),
            store_reachable: self.synced && self.session.valid(self.clock.now).is_some(),
            regions: self.app.regions.keys().map(|region| (region.clone(), self.region_status(region))).collect(),
            databases: self
                .app
                .databases()
                .filter_map(|(id, _)| Some((id.clone(), self.database_status(id)?)))
                .collect(),
            compute: self.compute_status(),
            routes: self.routes.clone(),
            runs: self.runs.iter().map(|(database, run)| self.run_status(database, run)).collect(),
            requests: self
                .requests
                .iter()
                .filter_map(|(database, request)| Some((database.clone(), self.request_status(request)?)))
                .collect(),
            waiting: self.waiting_status(),
            drift: None,
            warnings: Vec::new(),
        }
    }

    fn region_status(&self, region: &RegionId) -> RegionStatus {
        if *region == self.me {
            return RegionStatus { health: Health::Up, reason: "this node".into() };
        }
        let reason = self.who_saw_what(region);
        let health = match self.is_down(region) {
            None => {
                return RegionStatus {
                    health: Health::Unknown,
                    reason: "nothing was seen of it yet, or this node sees nobody".into(),
                };
            }
            Some(true) => Health::Down,
            Some(false) if self.sight(&Target::node(region)).is_some_and(Sight::is_gone) => Health::Suspected,
            Some(false) => Health::Up,
        };
        RegionStatus { health, reason }
    }

    fn database_status(&self, id: &ComponentId) -> Option<DatabaseStatus> {
        let component = self.component(id);
        let copies: Vec<&RegionId> = self.app.data_regions().filter(|region| keeps_copy(component, region)).collect();
        let record = self.records.get(id)?;
        Some(DatabaseStatus {
            epoch: record.epoch,
            writer: Some(record.writer.clone()),
            open: record.open,
            holders: record.holders.clone(),
            lease: self.leases.get(id).map(|(region, _)| region.clone()),
            servers: copies
                .iter()
                .filter_map(|region| Some(((*region).clone(), self.server(region, id)?.clone())))
                .collect(),
            readiness: copies
                .iter()
                .map(|region| ((*region).clone(), self.readiness(id, region)))
                .collect::<BTreeMap<_, _>>(),
            drift: BTreeMap::new(),
        })
    }

    /// Of each region's compute what its node says.
    fn compute_status(&self) -> BTreeMap<ComponentId, BTreeMap<RegionId, ComputeState>> {
        let of = |id: &ComponentId, component: &Component| -> BTreeMap<RegionId, ComputeState> {
            let states = component.regions.iter();
            states.filter_map(|region| Some((region.clone(), self.compute_state(region, id)?))).collect()
        };
        let compute = self.app.components.iter().filter(|(_, component)| !component.kind.is_database());
        compute
            .map(|(id, component)| (id.clone(), of(id, component)))
            .filter(|(_, states)| !states.is_empty())
            .collect()
    }

    fn run_status(&self, database: &ComponentId, run: &Run) -> RunStatus {
        let plan = Plan::build(&self.app, run.intent, database, run.from.as_ref(), &run.to, &Durations::default());
        let steps = plan.map(|plan| {
            plan.steps
                .iter()
                .map(|step| {
                    (
                        step.kind.to_string(),
                        if self.is_done(run, database, &step.kind, &step.actor) { "done" } else { "pending" }
                            .to_owned(),
                    )
                })
                .collect()
        });
        let state = match &run.stage {
            Stage::Done => "done",
            Stage::Abandoned(_) => "abandoned",
            Stage::Manual(_) => "waiting",
            Stage::Checkpoint | Stage::Drain | Stage::Drained(_) | Stage::Claimed => "running",
        };
        RunStatus {
            id: run.id.clone(),
            intent: run.intent.to_string(),
            database: database.clone(),
            from: run.from.clone(),
            to: run.to.clone(),
            state: state.into(),
            steps: steps.unwrap_or_default(),
        }
    }

    /// Whether a step has already happened, read from the state as [`StepKind::done_when`] says.
    fn is_done(&self, run: &Run, database: &ComponentId, step: &StepKind, actor: &RegionId) -> bool {
        let Some(record) = self.records.get(database) else { return false };
        let claimed = record.epoch >= run.epoch;
        let server = self.server(actor, database);
        match step {
            StepKind::Checkpoint(_) => claimed || matches!(run.stage, Stage::Drain | Stage::Drained(_)),
            StepKind::Drain(_) | StepKind::CatchUp(_) => claimed || matches!(run.stage, Stage::Drained(_)),
            StepKind::Claim(_) => claimed,
            StepKind::Detach(_) => server.is_some_and(|s| s.epoch >= run.epoch),
            StepKind::Promote(_) if self.moved_by(database) == MovedBy::People => claimed,
            StepKind::Promote(_) => claimed && server.is_some_and(|s| s.role == Role::Primary && s.epoch >= run.epoch),
            StepKind::Open(_) => record.epoch > run.epoch || record.epoch == run.epoch && record.open,
            StepKind::StartCompute(compute) | StepKind::AwaitCompute(compute) => {
                match self.sight(&Target::compute(actor, compute)) {
                    Some(sight) => sight == Sight::Up,
                    // Without a check its driver's word counts.
                    None => self.compute_state(actor, compute).is_some_and(|state| state.running == Running::Yes),
                }
            }
            StepKind::Route(host) => self.routes.get(host).is_some_and(|answer| answer.regions.contains(&run.to)),
            StepKind::Follow(_) => {
                claimed && server.is_some_and(|s| s.role == Role::Standby && s.streaming && s.epoch >= run.epoch)
            }
            StepKind::Synchronize(_) => claimed && self.component(database).standbys.len() < record.holders.len(),
        }
    }
}
