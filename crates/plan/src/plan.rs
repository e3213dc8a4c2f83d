//! What has to happen for an intent, as a DAG.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use lifeboat_model::app::{App, RoutePolicy};
use lifeboat_model::manual::MovedBy;
use lifeboat_model::{ComponentId, RegionId};
use serde::{Deserialize, Serialize};

use crate::Durations;
use crate::dag::{Dag, Move, in_order};
use crate::step::{Step, StepId};

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
    /// Every region writes it.
    #[error("{0} needs no move: `{1}` is written in every region that has it")]
    WrittenEverywhere(ComponentId, &'static str),
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
        if component.moved_by() == MovedBy::Nobody {
            return Err(PlanError::WrittenEverywhere(database.clone(), component.kind.as_str()));
        }
        let copies: BTreeSet<&RegionId> = component.writer.iter().chain(component.standbys.keys()).collect();
        if !copies.contains(to) {
            let others = join(copies.into_iter().filter(|region| Some(*region) != writer));
            return Err(PlanError::NotATarget(to.clone(), database.clone(), others));
        }
        if writer == Some(to) {
            return Err(PlanError::AlreadyThere(to.clone(), database.clone()));
        }

        let mut dag = Dag::new(app, durations);
        let at = Move { database, from: writer, to };
        if intent == Intent::Reprotect {
            dag.follow(to, &at, None);
        } else {
            let by_people = component.moved_by() == MovedBy::People;
            let opened = if by_people { dag.move_by_hand(intent, &at) } else { dag.move_database(intent, &at) };
            let behind = compute_behind(app, database);
            for compute in in_order(app, behind.iter().copied()) {
                dag.serve(compute, to);
                dag.scale_by_hand(compute, to);
            }
            for (host, route) in &app.routes {
                if route.policy == RoutePolicy::Failover && behind.contains(&route.to) {
                    dag.route(host, &route.to, to);
                }
            }
            if !by_people {
                dag.reprotect(&at, opened); // Providers bring standbys back themselves, or people build them.
            }
        }
        Ok(Self { intent, database: database.clone(), from: writer.cloned(), to: to.clone(), steps: dag.steps })
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

/// The compute of the failover routes behind which a database stands: theirs and what that needs.
fn compute_behind<'a>(app: &'a App, database: &ComponentId) -> BTreeSet<&'a ComponentId> {
    let mut found = BTreeSet::new();
    let mut todo: Vec<&ComponentId> = app
        .routes
        .values()
        .filter(|route| route.policy == RoutePolicy::Failover && app.databases_behind(&route.to).contains(database))
        .map(|route| &route.to)
        .collect();
    while let Some(id) = todo.pop() {
        let Some(component) = app.components.get(id) else { continue };
        if !component.kind.is_database() && found.insert(id) {
            todo.extend(&component.needs);
        }
    }
    found
}

fn join<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
