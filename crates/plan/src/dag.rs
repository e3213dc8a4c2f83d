//! The steps themselves and what each waits for: the one place that knows the order of a recovery, for the move of one
//! database ([`crate::Plan`]) and for the loss of a region ([`crate::RegionLoss`]).

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use lifeboat_model::app::{App, Component, Pattern, Replication};
use lifeboat_model::{ComponentId, HostName, RegionId, manual};

use crate::Durations;
use crate::plan::Intent;
use crate::step::{OnFailure, Retry, Step, StepId, StepKind};

/// A database that moves.
pub(crate) struct Move<'a> {
    pub database: &'a ComponentId,
    /// The present writer, if there is one.
    pub from: Option<&'a RegionId>,
    pub to: &'a RegionId,
}

/// Steps under construction; what is needed is added before what needs it.
pub(crate) struct Dag<'a> {
    pub steps: Vec<Step>,
    app: &'a App,
    durations: &'a Durations,
    claims: BTreeMap<&'a ComponentId, StepId>,
    /// By component: what has to be done for it to serve.
    serving: BTreeMap<&'a ComponentId, Vec<StepId>>,
    /// By component: the claims of the databases that stand behind it, through others too.
    claims_behind: BTreeMap<&'a ComponentId, Rc<BTreeSet<StepId>>>,
}

impl<'a> Dag<'a> {
    pub fn new(app: &'a App, durations: &'a Durations) -> Self {
        Self {
            steps: Vec::new(),
            app,
            durations,
            claims: BTreeMap::new(),
            serving: BTreeMap::new(),
            claims_behind: BTreeMap::new(),
        }
    }

    /// From the claim to the open gate, for a planned move what stops the source before that. Returns the last step.
    pub fn move_database(&mut self, intent: Intent, at: &Move<'a>) -> Option<StepId> {
        let component = self.app.components.get(at.database)?;
        let id = || at.database.clone();
        let mut before = Vec::new();
        if let (Intent::Switchover | Intent::Failback, Some(source)) = (intent, at.from) {
            let checkpoint = self.add(StepKind::Checkpoint(id()), source, &[], OnFailure::Abandon, false);
            let drain = self.add(StepKind::Drain(id()), source, &[checkpoint], OnFailure::Abandon, true);
            before.push(self.add(StepKind::CatchUp(id()), at.to, &[drain], OnFailure::Abandon, true));
        }
        let claim = self.add(StepKind::Claim(id()), at.to, &before, OnFailure::NextTarget, true);
        let mut fence = vec![claim];
        let named: Vec<&RegionId> =
            component.standbys.keys().filter(|region| synchronous(component, region) && *region != at.to).collect();
        if intent == Intent::Failover && component.confirmations <= named.len() {
            // ANY k of n: n - k + 1 of the named standbys, the target among them, have to stop confirming.
            for region in
                named.iter().filter(|region| Some(**region) != at.from).take(named.len() + 1 - component.confirmations)
            {
                fence.push(self.add(StepKind::Detach(id()), region, &[claim], OnFailure::NextTarget, true));
            }
        }
        let promote = self.add(StepKind::Promote(id()), at.to, &fence, OnFailure::NextTarget, true);
        let open = self.add(StepKind::Open(id()), at.to, &[promote], OnFailure::NextTarget, true);
        self.claims.insert(at.database, claim);
        let mut serving = vec![open];
        serving.extend(self.needed(component));
        self.serving.insert(at.database, serving);
        Some(open)
    }

    /// A person moves the database and says so; what they say is the claim, and it is open at once, for the provider fences. So everything
    /// that needs the database starts once it is there. Returns the last step.
    pub fn move_by_hand(&mut self, intent: Intent, at: &Move<'a>) -> Option<StepId> {
        let component = self.app.components.get(at.database)?;
        let id = || at.database.clone();
        let promote = self.add(StepKind::Promote(id()), at.to, &[], OnFailure::GoOn, true);
        let planned = intent != Intent::Failover;
        let by_hand = manual::move_writer(self.app, at.database, planned, at.from, at.to);
        let step = &mut self.steps[promote.0];
        (step.manual, step.expected) = (by_hand, Duration::ZERO);
        let claim = self.add(StepKind::Claim(id()), at.to, &[promote], OnFailure::GoOn, true);
        let open = self.add(StepKind::Open(id()), at.to, &[claim], OnFailure::GoOn, true);
        self.claims.insert(at.database, claim);
        let mut serving = vec![open];
        serving.extend(self.needed(component));
        self.serving.insert(at.database, serving);
        Some(open)
    }

    /// Says of compute without a driver what a person does: starts it, or makes what runs as large as it has to be.
    pub fn scale_by_hand(&mut self, compute: &ComponentId, to: &RegionId) {
        let is_started = |step: &Step| matches!(&step.kind, StepKind::StartCompute(id) if id == compute);
        let is_awaited = |step: &Step| matches!(&step.kind, StepKind::AwaitCompute(id) if id == compute);
        let at = self.steps.iter().rposition(is_started).or_else(|| self.steps.iter().rposition(is_awaited));
        let by_hand = manual::scale(self.app, compute, to);
        let Some(step) = at.filter(|_| !by_hand.is_empty()).and_then(|at| self.steps.get_mut(at)) else { return };
        (step.manual, step.expected) = (by_hand, Duration::ZERO);
    }

    /// A compute that serves in `to`: started there if it does not run yet, and healthy once all that it needs serves.
    pub fn serve(&mut self, compute: &'a ComponentId, to: &RegionId) {
        let Some(component) = self.app.components.get(compute) else { return };
        let claims = self.claims_behind(component);
        let mut ready_after = self.needed(component);
        if matches!(component.pattern, Some(Pattern::PilotLight | Pattern::BackupRestore)) {
            let claims: Vec<StepId> = claims.iter().copied().collect();
            let start = StepKind::StartCompute(compute.clone());
            ready_after.push(self.add(start, to, &claims, OnFailure::GoOn, true));
        }
        ready_after.sort_unstable();
        ready_after.dedup();
        let ready = self.add(StepKind::AwaitCompute(compute.clone()), to, &ready_after, OnFailure::GoOn, true);
        self.claims_behind.insert(compute, claims);
        self.serving.insert(compute, vec![ready]);
    }

    /// A route that turns to a compute.
    pub fn route(&mut self, host: &HostName, compute: &ComponentId, to: &RegionId) -> Option<StepId> {
        let before = self.serving.get(compute)?.clone();
        Some(self.add(StepKind::Route(host.clone()), to, &before, OnFailure::GoOn, true))
    }

    /// The regions that the new writer is to have as standbys follow it once it is open.
    pub fn reprotect(&mut self, at: &Move<'_>, open: Option<StepId>) {
        let Some(component) = self.app.components.get(at.database) else { return };
        for region in component.writer.iter().chain(component.standbys.keys()).filter(|region| *region != at.to) {
            self.follow(region, &Move { from: Some(at.to), ..*at }, open);
        }
    }

    /// `region` becomes a standby of `at.from`.
    pub fn follow(&mut self, region: &RegionId, at: &Move<'_>, after: Option<StepId>) {
        let Some(component) = self.app.components.get(at.database) else { return };
        let after: Vec<StepId> = after.into_iter().collect();
        let follow = self.add(StepKind::Follow(at.database.clone()), region, &after, OnFailure::GoOn, false);
        if synchronous(component, region) {
            let writer = at.from.unwrap_or(at.to);
            self.add(StepKind::Synchronize(at.database.clone()), writer, &[follow], OnFailure::GoOn, false);
        }
    }

    /// When each component serves.
    pub fn into_serving(self) -> (Vec<Step>, BTreeMap<ComponentId, Vec<StepId>>) {
        let serving = self.serving.into_iter().map(|(id, steps)| (id.clone(), steps)).collect();
        (self.steps, serving)
    }

    /// What has to be done for all that a component needs to serve; what does not move serves already.
    fn needed(&self, component: &Component) -> Vec<StepId> {
        component.needs.iter().filter_map(|need| self.serving.get(need)).flatten().copied().collect()
    }

    /// Compute starts in a region once writing is there: all of it, as control has it.
    fn claims_behind(&self, component: &Component) -> Rc<BTreeSet<StepId>> {
        let own = component.needs.iter().filter_map(|need| self.claims.get(need)).copied();
        let others: Vec<&Rc<BTreeSet<StepId>>> =
            component.needs.iter().filter_map(|need| self.claims_behind.get(need)).collect();
        let own: BTreeSet<StepId> = own.collect();
        match others.as_slice() {
            // A long chain shares one set.
            [only] if own.is_subset(only) => Rc::clone(only),
            _ => Rc::new(others.into_iter().flat_map(|others| others.iter().copied()).chain(own).collect()),
        }
    }

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
            manual: Vec::new(),
        });
        id
    }
}

fn synchronous(component: &Component, region: &RegionId) -> bool {
    component.writer.as_ref() == Some(region) || component.standbys.get(region) == Some(&Replication::Synchronous)
}

/// Components of an app, what is needed before what needs it. No recursion: a file may hold a chain of thousands.
pub(crate) fn in_order<'a>(app: &'a App, of: impl Iterator<Item = &'a ComponentId>) -> Vec<&'a ComponentId> {
    let all: BTreeSet<&ComponentId> = of.collect();
    let mut done: BTreeSet<&ComponentId> = BTreeSet::new();
    let mut order = Vec::with_capacity(all.len());
    for id in &all {
        let mut stack = vec![(*id, false)];
        while let Some((id, needs_done)) = stack.pop() {
            if needs_done {
                order.push(id);
            } else if done.insert(id) {
                stack.push((id, true));
                if let Some(component) = app.components.get(id) {
                    let needs = component.needs.iter().filter_map(|need| all.get(need));
                    stack.extend(needs.map(|need| (*need, false)));
                }
            }
        }
    }
    order
}
