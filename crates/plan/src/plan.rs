//! What has to happen for an intent, as a DAG.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use lifeboat_model::app::{App, Pattern, Replication, RoutePolicy};
use lifeboat_model::{ComponentId, RegionId};
use serde::{Deserialize, Serialize};

use crate::Durations;
use crate::step::{OnFailure, Retry, Step, StepId, StepKind};

/// Why a plan is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Intent {
    /// Unplanned; the source may be gone.
    Failover,
    /// Planned, nothing lost.
    Switchover,
    /// A switchover to the region that the file names as writer.
    Failback,
    /// Give the writer a standby again.
    Reprotect,
}

impl Intent {
    /// As in commands and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Switchover => "switchover",
            Self::Failback => "failback",
            Self::Reprotect => "reprotect",
        }
    }
}

impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A DAG of steps; each step comes after those that it needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Why.
    pub intent: Intent,
    /// The database that moves.
    pub database: ComponentId,
    /// The present writer, if there is one.
    pub from: Option<RegionId>,
    /// The writer to be.
    pub to: RegionId,
    /// The steps.
    pub steps: Vec<Step>,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The file has no such database.
    #[error("`{0}` is not a database of this app; its databases are: {1}")]
    NoSuchDatabase(ComponentId, String),
    /// The file has no such region, or it keeps no data.
    #[error("`{0}` keeps no copy of {1}; it can move to: {2}")]
    NotATarget(RegionId, ComponentId, String),
    /// It is the writer already.
    #[error("{1} is written in `{0}` already")]
    AlreadyThere(RegionId, ComponentId),
}

/// The longest chain of steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CriticalPath {
    /// Its steps, first to last.
    pub steps: Vec<StepId>,
    /// Their expected durations added up.
    pub expected: Duration,
}

impl Plan {
    /// The plan for moving `database` from its present writer to `to` (for [`Intent::Reprotect`]: for making `to` its standby).
    ///
    /// # Errors
    /// Names that the file does not know, and moves that make no sense, with what would.
    pub fn build(
        app: &App,
        intent: Intent,
        database: &ComponentId,
        writer: Option<&RegionId>,
        to: &RegionId,
        durations: &Durations,
    ) -> Result<Self, PlanError> {
        let Some(component) = app.components.get(database).filter(|component| component.kind.is_database()) else {
            return Err(PlanError::NoSuchDatabase(database.clone(), join(app.databases().map(|(id, _)| id))));
        };
        let copies: BTreeSet<&RegionId> = component.writer.iter().chain(component.standbys.keys()).collect();
        if !copies.contains(to) {
            let others = join(copies.into_iter().filter(|region| Some(*region) != writer));
            return Err(PlanError::NotATarget(to.clone(), database.clone(), others));
        }
        if writer == Some(to) {
            return Err(PlanError::AlreadyThere(to.clone(), database.clone()));
        }

        let mut steps = Steps { steps: Vec::new(), durations };
        let id = || database.clone();
        let synchronous = |region: &RegionId| {
            component.writer.as_ref() == Some(region)
                || component.standbys.get(region) == Some(&Replication::Synchronous)
        };
        if intent == Intent::Reprotect {
            let follow = steps.add(StepKind::Follow(id()), to, &[], OnFailure::GoOn, false);
            if synchronous(to) {
                steps.add(StepKind::Synchronize(id()), writer.unwrap_or(to), &[follow], OnFailure::GoOn, false);
            }
            return Ok(Self { intent, database: id(), from: writer.cloned(), to: to.clone(), steps: steps.steps });
        }

        let mut before_promotion = Vec::new();
        if let (Intent::Switchover | Intent::Failback, Some(source)) = (intent, writer) {
            let checkpoint = steps.add(StepKind::Checkpoint(id()), source, &[], OnFailure::Abandon, false);
            let drain = steps.add(StepKind::Drain(id()), source, &[checkpoint], OnFailure::Abandon, true);
            before_promotion.push(steps.add(StepKind::CatchUp(id()), to, &[drain], OnFailure::Abandon, true));
        }
        let claim = steps.add(StepKind::Claim(id()), to, &before_promotion, OnFailure::NextTarget, true);
        let mut fence = vec![claim];
        let named: Vec<&RegionId> =
            component.standbys.keys().filter(|region| synchronous(region) && *region != to).collect();
        if intent == Intent::Failover && component.confirmations <= named.len() {
            // ANY k of n: n - k + 1 of the named standbys, the target among them, have to stop confirming.
            for region in
                named.iter().filter(|region| Some(**region) != writer).take(named.len() + 1 - component.confirmations)
            {
                fence.push(steps.add(StepKind::Detach(id()), region, &[claim], OnFailure::NextTarget, true));
            }
        }
        let promote = steps.add(StepKind::Promote(id()), to, &fence, OnFailure::NextTarget, true);
        let open = steps.add(StepKind::Open(id()), to, &[promote], OnFailure::NextTarget, true);

        for (host, route) in &app.routes {
            if route.policy != RoutePolicy::Failover || !app.databases_behind(&route.to).contains(database) {
                continue;
            }
            let mut before = vec![open];
            for compute in compute_behind(app, &route.to) {
                let mut ready_after = Vec::new();
                if app.components[&compute].pattern == Some(Pattern::PilotLight) {
                    ready_after.push(steps.add_once(
                        StepKind::StartCompute(compute.clone()),
                        to,
                        &[claim],
                        OnFailure::GoOn,
                        true,
                    ));
                }
                before.push(steps.add_once(StepKind::AwaitCompute(compute), to, &ready_after, OnFailure::GoOn, true));
            }
            steps.add(StepKind::Route(host.clone()), to, &before, OnFailure::GoOn, true);
        }
        for region in component.writer.iter().chain(component.standbys.keys()).filter(|region| *region != to) {
            let follow = steps.add(StepKind::Follow(id()), region, &[open], OnFailure::GoOn, false);
            if synchronous(region) {
                steps.add(StepKind::Synchronize(id()), to, &[follow], OnFailure::GoOn, false);
            }
        }
        Ok(Self { intent, database: id(), from: writer.cloned(), to: to.clone(), steps: steps.steps })
    }

    /// The longest chain among the steps during which clients are without service (`outage_only`), or among all.
    pub fn critical_path(&self, outage_only: bool) -> CriticalPath {
        let mut best: Vec<(Duration, Option<StepId>)> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let own = if outage_only && !step.in_outage { Duration::ZERO } else { step.expected };
            let before = step.needs.iter().map(|need| (best[need.0].0, Some(*need))).max();
            let (length, previous) = before.unwrap_or((Duration::ZERO, None));
            best.push((length + own, previous));
        }
        let counts = |id: &usize| !outage_only || self.steps[*id].in_outage;
        let mut at = (0..best.len()).filter(counts).max_by_key(|id| best[*id].0).map(StepId);
        let expected = at.map_or(Duration::ZERO, |id| best[id.0].0);
        let mut steps = Vec::new();
        while let Some(id) = at {
            if counts(&id.0) {
                steps.push(id);
            }
            at = best[id.0].1;
        }
        steps.reverse();
        CriticalPath { steps, expected }
    }
}

/// The compute components that have to be healthy for a route: its own and those that it needs.
fn compute_behind(app: &App, to: &ComponentId) -> BTreeSet<ComponentId> {
    let mut found = BTreeSet::new();
    let mut todo = vec![to.clone()];
    while let Some(id) = todo.pop() {
        let Some(component) = app.components.get(&id) else { continue };
        if !component.kind.is_database() && found.insert(id) {
            todo.extend(component.needs.iter().cloned());
        }
    }
    found
}

struct Steps<'a> {
    steps: Vec<Step>,
    durations: &'a Durations,
}

impl Steps<'_> {
    fn add(
        &mut self,
        kind: StepKind,
        actor: &RegionId,
        needs: &[StepId],
        on_failure: OnFailure,
        in_outage: bool,
    ) -> StepId {
        let id = StepId(self.steps.len());
        let expected = self.durations.expect(&kind).typical;
        let tries = if on_failure == OnFailure::GoOn { None } else { Some(5) };
        self.steps.push(Step {
            id,
            kind,
            actor: actor.clone(),
            needs: needs.to_vec(),
            expected,
            timeout: (expected * 20).max(Duration::from_secs(10)),
            retry: Retry { tries, wait: Duration::from_millis(200) },
            on_failure,
            in_outage,
        });
        id
    }

    fn add_once(
        &mut self,
        kind: StepKind,
        actor: &RegionId,
        needs: &[StepId],
        on_failure: OnFailure,
        in_outage: bool,
    ) -> StepId {
        match self.steps.iter().find(|step| step.kind == kind && step.actor == *actor) {
            Some(step) => step.id,
            None => self.add(kind, actor, needs, on_failure, in_outage),
        }
    }
}

fn join<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
