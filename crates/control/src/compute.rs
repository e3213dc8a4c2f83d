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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use lifeboat_model::database::{Gate, Lsn};
    use lifeboat_model::state::{Entry, Revision};
    use lifeboat_model::{Epoch, Moment};

    use super::*;
    use crate::event::{Clock, Event};
    use crate::record::{DatabaseRecord, Origin, View, database_key, view_key};

    const FILE: &str = "
app: shop
regions:
  a: {place: kubernetes/a, preference: 1}
  b: {place: kubernetes/b}
  c: {place: local/c, role: witness}
components:
  orders: {kind: postgres, pattern: warm-standby, writer: a, standbys: {b: synchronous}}
  web: {kind: deployment, pattern: PATTERN, port: 8080, size: {image: web}NEEDS}
routes:
  shop.example.com: {to: web, policy: failover}
store: {etcd: ['https://a:2379', 'https://b:2379', 'https://c:2379']}
";

    fn brain(pattern: &str, needs: &str, region: &str) -> Brain {
        let text = FILE.replace("PATTERN", pattern).replace("NEEDS", needs);
        let app = lifeboat_model::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
        Brain::new(Arc::new(app), region.into())
    }

    fn at(seconds: u64) -> Clock {
        Clock { now: Moment(seconds * 1_000_000_000), unix_ms: 0 }
    }

    fn entry<T: serde::Serialize>(key: String, value: &T) -> Entry {
        Entry { key, value: serde_json::to_vec(value).unwrap(), revision: Revision(1), lease: None }
    }

    fn written_in(region: &str) -> Vec<Entry> {
        let record = DatabaseRecord {
            epoch: Epoch(1),
            writer: region.into(),
            open: true,
            holders: BTreeSet::from(["a".into(), "b".into()]),
            gate: Gate::Peers { needed: 1, named: BTreeSet::from(["b".into()]) },
            also: None,
            origin: Origin::Created,
        };
        vec![entry(database_key(&"orders".into()), &record)]
    }

    /// What the component is told, in order.
    fn duties(brain: &mut Brain, events: Vec<Event>) -> Vec<Duty> {
        let mut told = Vec::new();
        for (seconds, event) in (1..).zip(events) {
            told.extend(brain.step(at(seconds), event).into_iter().filter_map(|command| match command {
                Command::Compute { duty, .. } => Some(duty),
                _ => None,
            }));
        }
        told
    }

    fn snapshot(entries: Vec<Entry>) -> Event {
        Event::Snapshot { revision: Revision(1), entries }
    }

    #[test]
    fn clients_are_served_where_the_database_is_written_and_nobody_knows_before_the_store_was_read() {
        use Duty::{Serving, Standby, Undecided};
        for (region, expected) in [("a", vec![Undecided, Serving, Standby]), ("b", vec![Undecided, Standby, Serving])] {
            let mut brain = brain("warm-standby", ", needs: [orders]", region);
            let events = vec![Event::Tick, snapshot(written_in("a")), snapshot(written_in("b")), Event::Tick];
            assert_eq!(duties(&mut brain, events), expected, "{region}");
        }
    }

    #[test]
    fn without_databases_they_are_served_where_the_route_leads_or_everywhere() {
        use Duty::{Serving, Standby, Undecided};
        for (pattern, region, expected) in [
            ("warm-standby", "a", vec![Undecided, Serving]),
            ("warm-standby", "b", vec![Undecided, Standby]),
            ("pilot-light", "a", vec![Undecided, Serving]),
            ("pilot-light", "b", vec![Undecided, Standby]),
            ("active-active", "a", vec![Serving]),
            ("active-active", "b", vec![Serving]),
        ] {
            let mut brain = brain(pattern, "", region);
            let told = duties(&mut brain, vec![Event::Tick, snapshot(written_in("a")), Event::Tick]);
            assert_eq!(told.last(), expected.last(), "{pattern} {region}");
            assert!(told.len() <= expected.len(), "{pattern} {region}: {told:?}");
        }
    }

    /// S4: a pilot light that could not be started is no target; one that merely does not run is, and an unknown warm standby too.
    #[test]
    fn what_could_not_be_started_is_in_the_way_of_a_failover() {
        let standby = lifeboat_model::database::DatabaseState {
            role: lifeboat_model::database::Role::Standby,
            follows: Some("a".into()),
            streaming: true,
            flushed: Lsn(1),
            ..lifeboat_model::database::DatabaseState::absent()
        };
        let unknown = ComputeState {
            running: Running::Unknown,
            trouble: Some("the cluster's API does not answer: refused".into()),
            obstacle: Some("the cluster's API does not answer: refused".into()),
            ..ComputeState::of(false)
        };
        for (pattern, state, in_the_way) in [
            ("pilot-light", ComputeState::of(false), None),
            (
                "pilot-light",
                unknown.clone(),
                Some("web could not be started in b: the cluster's API does not answer: refused (S4)"),
            ),
            ("warm-standby", unknown, None),
            ("warm-standby", ComputeState::of(false), Some("web is not healthy in b (S4)")),
        ] {
            let mut brain = brain(pattern, ", needs: [orders]", "a");
            let mut view = View::default();
            view.databases.insert("orders".into(), standby.clone());
            view.compute.extend(runs(&state).map(|runs| ("web".into(), runs)));
            view.compute_states.insert("web".into(), state.clone());
            let mut entries = written_in("a");
            entries.push(entry(view_key(&"b".into()), &view));
            brain.step(at(1), snapshot(entries));
            let readiness = brain.readiness(&"orders".into(), &"b".into());
            assert_eq!(readiness.ready, in_the_way.is_none(), "{pattern} {state:?}: {}", readiness.reason);
            if let Some(in_the_way) = in_the_way {
                assert_eq!(readiness.reason, in_the_way);
            }
            assert_eq!(brain.status().compute[&ComponentId::from("web")][&RegionId::from("b")], state);
        }
    }

    /// Details that change from look to look do not fill the journal.
    #[test]
    fn each_kind_of_trouble_is_journaled_once() {
        let mut brain = brain("warm-standby", ", needs: [orders]", "a");
        brain.step(at(1), snapshot(written_in("a")));
        let mut said = Vec::new();
        for (seconds, trouble) in (2..).zip([
            Some("pods find no room: 0/3"),
            Some("pods find no room: 0/4"),
            Some("pods cannot start: ImagePullBackOff"),
            None,
            None,
        ]) {
            let state = ComputeState { trouble: trouble.map(str::to_owned), ..ComputeState::of(true) };
            let before = brain.backlog.len();
            brain.take(Event::Compute { component: "web".into(), state });
            said.extend(
                brain.backlog.iter().skip(before).map(|entry| format!("{seconds} {}: {}", entry.what, entry.why)),
            );
        }
        assert_eq!(
            said,
            [
                "2 web has trouble: pods find no room: 0/3",
                "4 web has trouble: pods cannot start: ImagePullBackOff",
                "5 web has no trouble any more: it was: pods cannot start",
            ]
        );
    }
}
