//! Compute of this region: what it is for clients, told to whoever runs it, and what that says of it.

use std::cmp::Reverse;

use lifeboat_model::app::{Component, Kind, Pattern, RoutePolicy};
use lifeboat_model::compute::{ComputeState, Duty, Running};
use lifeboat_model::journal::EntryKind;
use lifeboat_model::{ComponentId, RegionId};

use crate::brain::Brain;
use crate::event::Command;

impl Brain {
    /// Tells each compute component of this region whether clients are served here, when that has changed.
    pub(crate) fn keep_compute(&mut self) {
        let app = self.app.clone();
        for (id, component) in &app.components {
            if component.kind.is_database() || !component.regions.contains(&self.me) {
                continue;
            }
            let duty = self.duty(id, component);
            if self.duties.insert(id.clone(), duty) != Some(duty) {
                self.commands.push(Command::Compute { component: id.clone(), duty });
            }
        }
    }

    /// Clients are served where the databases behind it are written; without databases, where the routes lead.
    fn duty(&self, id: &ComponentId, component: &Component) -> Duty {
        let databases = self.app.databases_behind(id);
        if !databases.is_empty() {
            let mut writers = databases.iter().map(|database| self.records.get(database).map(|record| &record.writer));
            // L2: a store that was not read yet shrinks nothing.
            return match writers.try_fold(true, |here, writer| Some(here && *writer? == self.me)) {
                Some(true) => Duty::Serving,
                Some(false) => Duty::Standby,
                None => Duty::Undecided,
            };
        }
        let mut routes = self.app.routes.iter().filter(|(_, route)| self.leads_to(&route.to, id)).peekable();
        let is_everywhere = component.pattern == Some(Pattern::ActiveActive)
            || routes.peek().is_none()
            || routes.clone().any(|(_, route)| route.policy == RoutePolicy::Spread);
        if is_everywhere {
            return Duty::Serving;
        }
        match component.pattern {
            // Where nothing runs nothing is healthy, so no route leads there before it serves.
            Some(Pattern::PilotLight | Pattern::BackupRestore) => match self.first_region_up(component) {
                Some(first) if *first == self.me => Duty::Serving,
                Some(_) => Duty::Standby,
                None => Duty::Undecided,
            },
            Some(Pattern::WarmStandby | Pattern::ActiveActive) | None => {
                let mut answers = routes.map(|(host, _)| self.routes.get(host));
                match answers.try_fold(false, |here, answer| Some(here || answer?.regions.contains(&self.me))) {
                    Some(true) => Duty::Serving,
                    Some(false) => Duty::Standby,
                    None => Duty::Undecided,
                }
            }
        }
    }

    /// Whether `from` is the component or needs it, directly or through others.
    fn leads_to(&self, from: &ComponentId, component: &ComponentId) -> bool {
        let mut seen = vec![from];
        let mut at = 0;
        while let Some(id) = seen.get(at).copied() {
            if id == component {
                return true;
            }
            let needs = self.app.components.get(id).into_iter().flat_map(|component| &component.needs);
            seen.extend(needs.filter(|need| !seen.contains(need)).collect::<Vec<_>>());
            at += 1;
        }
        false
    }

    /// The most preferred region of a component that the quorum does not see down; `None` before anything was seen.
    fn first_region_up(&self, component: &Component) -> Option<&RegionId> {
        if !self.synced && self.duties.is_empty() {
            return None;
        }
        let up =
            self.app.regions.iter().filter(|(id, _)| {
                component.regions.contains(*id) && (**id == self.me || self.is_down(id) != Some(true))
            });
        up.max_by_key(|(id, region)| (region.preference, Reverse(*id))).map(|(id, _)| id)
    }

    pub(crate) fn take_compute(&mut self, component: ComponentId, state: ComputeState) {
        let old = self.compute.get(&component).and_then(|state| state.trouble.as_deref()).map(kind_of_trouble);
        let new = state.trouble.as_deref().map(kind_of_trouble);
        if old != new {
            match &state.trouble {
                Some(trouble) => {
                    self.note(
                        EntryKind::Compute,
                        Some(&component),
                        format!("{component} has trouble"),
                        trouble.clone(),
                    );
                }
                None => self.note(
                    EntryKind::Compute,
                    Some(&component),
                    format!("{component} has no trouble any more"),
                    old.map(|old| format!("it was: {old}")).unwrap_or_default(),
                ),
            }
        }
        self.compute.insert(component, state);
    }

    /// What a region's own node says of its compute.
    pub(crate) fn compute_state(&self, region: &RegionId, component: &ComponentId) -> Option<ComputeState> {
        if *region == self.me {
            return self.compute.get(component).cloned();
        }
        let view = self.views.get(region)?;
        let in_short = || view.compute.get(component).map(|running| ComputeState::of(*running));
        view.compute_states.get(component).cloned().or_else(in_short)
    }
}

/// Whether nothing of it runs in a region that does not serve.
pub(crate) fn rests(component: &Component) -> bool {
    match component.pattern {
        Some(Pattern::PilotLight) => true,
        Some(Pattern::BackupRestore) => component.kind != Kind::Process,
        Some(Pattern::WarmStandby | Pattern::ActiveActive) | None => false,
    }
}

/// Whether it runs; `None`: unknown, which is not down.
pub(crate) fn runs(state: &ComputeState) -> Option<bool> {
    match state.running {
        Running::Yes => Some(true),
        Running::No => Some(false),
        Running::Unknown => None,
    }
}

/// What stands before the details, which change from one report to the next.
fn kind_of_trouble(trouble: &str) -> &str {
    trouble.split_once(':').map_or(trouble, |(kind, _)| kind)
}
