//! Compute of this region: what it is for clients, told to whoever runs it, and what that says of it.

use std::cmp::Reverse;

use lifeboat_model::app::{Component, Kind, Pattern, Route, RoutePolicy};
use lifeboat_model::compute::{ComputeState, Duty, Running};
use lifeboat_model::journal::EntryKind;
use lifeboat_model::manual::MovedBy;
use lifeboat_model::{ComponentId, HostName, RegionId};

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
            let old = self.duties.insert(id.clone(), duty);
            if old != Some(duty) {
                self.commands.push(Command::Compute { component: id.clone(), duty });
                // A node that has just started and knows nothing yet has decided nothing.
                if (old, duty) != (None, Duty::Undecided) {
                    let what = match duty {
                        Duty::Serving => format!("{id} serves clients in {}", self.me),
                        Duty::Standby => format!("{id} stands by in {}", self.me),
                        Duty::Undecided => format!("{id} is left as it is in {}", self.me),
                    };
                    let mut why = self.reason_of_duty(id, component);
                    if duty == Duty::Serving && component.moved_by() == MovedBy::People {
                        why += "; people make it as large as that takes";
                    }
                    self.note(EntryKind::Compute, Some(id), what, why);
                }
            }
        }
    }

    /// What a duty followed from: where the databases behind the component are written, or where its routes lead.
    fn reason_of_duty(&self, id: &ComponentId, component: &Component) -> String {
        let written = |database: ComponentId| match self.records.get(&database) {
            Some(record) => format!("{database} is written in {} (epoch {})", record.writer, record.epoch),
            None => format!("it is not known where {database} is written"),
        };
        let databases = self.app.writers_behind(id);
        if !databases.is_empty() {
            return databases.into_iter().map(written).collect::<Vec<_>>().join(", ");
        }
        if self.is_served_everywhere(id, component) {
            return "clients are served in each of its regions".to_owned();
        }
        let routes = self.app.routes.iter().filter(|(_, route)| self.leads_to(&route.to, id));
        let leads = |(host, route): (&HostName, &Route)| {
            let answer = self.routes.get(host).filter(|answer| !answer.regions.is_empty());
            if self.rests_without_database(component, route) {
                return match self.down_regions() {
                    down if down.is_empty() => format!("{host} is served by the first region that is up: none is down"),
                    down => format!("{host} is served by the first region that is up: {} is down", down.join(", ")),
                };
            }
            match answer {
                Some(answer) => {
                    let regions: Vec<_> = answer.regions.iter().map(ToString::to_string).collect();
                    format!("{host} leads to {}", regions.join(", "))
                }
                None => format!("it is not known where {host} leads"),
            }
        };
        routes.map(leads).collect::<Vec<_>>().join(", ")
    }

    /// Whether nothing of it runs where it does not serve, and no database says where that is: a route that follows health leads
    /// nowhere before it serves there.
    fn rests_without_database(&self, component: &Component, route: &Route) -> bool {
        matches!(component.pattern, Some(Pattern::PilotLight | Pattern::BackupRestore))
            && self.app.writers_behind(&route.to).is_empty()
    }

    /// The regions that the quorum sees down, as far as it is known.
    fn down_regions(&self) -> Vec<String> {
        self.app.regions.keys().filter(|region| self.is_down(region) == Some(true)).map(ToString::to_string).collect()
    }

    /// Whether it serves in each of its regions at once: so it is wanted, or no route says where.
    fn is_served_everywhere(&self, id: &ComponentId, component: &Component) -> bool {
        let mut routes = self.app.routes.values().filter(|route| self.leads_to(&route.to, id)).peekable();
        component.pattern == Some(Pattern::ActiveActive)
            || routes.peek().is_none()
            || routes.any(|route| route.policy == RoutePolicy::Spread)
    }

    /// Clients are served where a database behind it is written; without databases, where the routes lead.
    fn duty(&self, id: &ComponentId, component: &Component) -> Duty {
        let databases = self.app.writers_behind(id);
        if !databases.is_empty() {
            // Of several, one that is written here is enough: a route follows one of them, and clients must not come to nothing.
            let here = |database| Some(self.records.get(database)?.writer == self.me);
            // L2: a store that was not read yet shrinks nothing.
            return any(databases.iter().map(here));
        }
        if self.is_served_everywhere(id, component) {
            return Duty::Serving;
        }
        let routes = self.app.routes.iter().filter(|(_, route)| self.leads_to(&route.to, id));
        any(routes.map(|(host, route)| {
            if self.rests_without_database(component, route) {
                return self.is_first_region_up(id, component);
            }
            // An answer without regions is none yet.
            let answer = self.routes.get(host).filter(|answer| !answer.regions.is_empty())?;
            Some(answer.regions.contains(&self.me))
        }))
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

    /// Whether this region is a component's most preferred one that the quorum does not see down. Who is down is learned from the others
    /// by way of the store: without it, or where nothing can be said of a region, all stays as it was (L2). `None`: that is not known.
    fn is_first_region_up(&self, id: &ComponentId, component: &Component) -> Option<bool> {
        let mut preferred: Vec<_> =
            self.app.regions.iter().filter(|(region, _)| component.regions.contains(*region)).collect();
        preferred.sort_by_key(|(id, region)| (Reverse(region.preference), *id));
        let knows = self.synced && self.session.valid(self.clock.now).is_some();
        for (region, _) in preferred {
            if *region == self.me {
                return Some(true);
            }
            match self.is_down(region).filter(|_| knows) {
                Some(true) => {}
                Some(false) => return Some(false),
                None => {
                    return match self.duties.get(id)? {
                        Duty::Serving => Some(true),
                        Duty::Standby => Some(false),
                        Duty::Undecided => None,
                    };
                }
            }
        }
        None
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

/// Serving where one of them says so; undecided where none does and not all are known.
fn any(here: impl Iterator<Item = Option<bool>>) -> Duty {
    let mut all = Duty::Standby;
    for here in here {
        match here {
            Some(true) => return Duty::Serving,
            Some(false) => {}
            None => all = Duty::Undecided,
        }
    }
    all
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
    use lifeboat_model::state::{Entry, LeaseId, Revision};
    use lifeboat_model::{Epoch, Moment};

    use super::*;
    use crate::event::{Clock, Event, StoreFailure};
    use crate::health::{Evidence, Sight, Target};
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

    fn at(milliseconds: u64) -> Clock {
        Clock { now: Moment(milliseconds * 1_000_000), unix_ms: 0 }
    }

    fn entry<T: serde::Serialize>(key: String, value: &T) -> Entry {
        Entry { key, value: serde_json::to_vec(value).unwrap(), revision: Revision(1), lease: None }
    }

    fn written_in(region: &str) -> Vec<Entry> {
        vec![written("orders", region)]
    }

    fn written(database: &str, region: &str) -> Entry {
        let record = DatabaseRecord {
            epoch: Epoch(1),
            writer: region.into(),
            open: true,
            holders: BTreeSet::from(["a".into(), "b".into()]),
            gate: Gate::Peers { needed: 1, named: BTreeSet::from(["b".into()]) },
            also: None,
            origin: Origin::Created,
        };
        entry(database_key(&database.into()), &record)
    }

    /// What the component is told, in order, a millisecond between two events.
    fn duties(brain: &mut Brain, events: Vec<Event>) -> Vec<Duty> {
        duties_of(brain, "web", events)
    }

    fn duties_of(brain: &mut Brain, of: &str, events: Vec<Event>) -> Vec<Duty> {
        let mut told = Vec::new();
        for event in events {
            let next = at(brain.clock.now.0 / 1_000_000 + 1);
            told.extend(brain.step(next, event).into_iter().filter_map(|command| match command {
                Command::Compute { component, duty } if component.as_str() == of => Some(duty),
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
            let answers = Event::Reading { target: Target::node(&"a".into()), evidence: Evidence::Ok };
            let granted = Event::Granted(Ok(LeaseId(1)));
            let told =
                duties(&mut brain, vec![Event::Tick, granted, snapshot(written_in("a")), answers.clone(), answers]);
            assert_eq!(told.last(), expected.last(), "{pattern} {region}");
            assert!(told.len() <= expected.len(), "{pattern} {region}: {told:?}");
        }
    }

    /// L2: a store that is not there, and one that is lost later, is no reason to make anything smaller, however long that lasts.
    #[test]
    fn a_pilot_light_goes_out_only_on_what_is_known() {
        use Duty::{Serving, Standby, Undecided};
        let mut brain = brain("pilot-light", "", "b");
        assert_eq!(duties(&mut brain, vec![Event::Tick, Event::Tick, Event::Tick]), [Undecided], "never read");
        assert_eq!(duties(&mut brain, vec![snapshot(written_in("a")), Event::Tick]), [], "nobody has looked at a");
        let granted = || Event::Granted(Ok(LeaseId(1)));
        let all = [Target::node(&"a".into()), Target::database(&"a".into(), &"orders".into())];
        let sees = |evidence| -> Vec<Event> {
            all.iter().cycle().take(18).map(|target| Event::Reading { target: target.clone(), evidence }).collect()
        };
        let silent =
            View { sights: all.iter().map(|target| (target.to_string(), Sight::Silent)).collect(), ..View::default() };
        let also_seen = |view: &View| snapshot(vec![entry(view_key(&"c".into()), view)]);
        assert_eq!(duties(&mut brain, [vec![granted()], sees(Evidence::Ok)].concat()), [Standby]);
        assert_eq!(duties(&mut brain, [vec![also_seen(&silent)], sees(Evidence::Silent)].concat()), [Serving]);
        // The store is gone with the lease; what is read of it is as old as that.
        brain.step(at(10_000), Event::Renewed(Err(StoreFailure::NotExecuted)));
        assert_eq!(duties(&mut brain, sees(Evidence::Ok)), [], "it looks up from here, and b alone serves");
    }

    /// Where a route leads by a database, what it needs without needing the database itself runs there as well.
    #[test]
    fn what_stands_beside_a_database_follows_it_too() {
        use Duty::{Serving, Standby, Undecided};
        for pattern in ["warm-standby", "pilot-light"] {
            for (region, expected) in [("a", [Undecided, Standby, Serving]), ("b", [Undecided, Serving, Standby])] {
                let text = FILE
                    .replace("PATTERN", pattern)
                    .replace("NEEDS", "")
                    .replace(
                        "routes:",
                        "  front: {kind: deployment, port: 80, size: {image: f}, needs: [orders, web]}\nroutes:",
                    )
                    .replace("to: web", "to: front");
                let app = lifeboat_model::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
                let mut brain = Brain::new(Arc::new(app), region.into());
                let events =
                    vec![Event::Tick, snapshot(Vec::new()), snapshot(written_in("b")), snapshot(written_in("a"))];
                let told = duties_of(&mut brain, "web", events);
                assert_eq!(told, expected, "{pattern} {region}");
            }
        }
    }

    /// Clients go where one of the databases is written; a component that nobody served would be none at all.
    #[test]
    fn of_two_databases_that_are_written_apart_each_is_served_where_it_is() {
        for (region, expected) in [("a", Duty::Serving), ("b", Duty::Serving)] {
            let text = FILE
                .replace("PATTERN", "pilot-light")
                .replace("NEEDS", ", needs: [orders, stock]")
                .replace("  web:", "  stock: {kind: postgres, writer: b, standbys: {a: synchronous}}\n  web:");
            let app = lifeboat_model::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
            let mut brain = Brain::new(Arc::new(app), region.into());
            let told = duties(&mut brain, vec![snapshot(vec![written("orders", "a"), written("stock", "b")])]);
            assert_eq!(told, [expected], "{region}");
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

    /// A1: what the region becomes for a component is in the journal, with what it followed from.
    #[test]
    fn a_duty_that_changes_is_explained() {
        let said = |brain: &mut Brain, event: Event| -> Vec<String> {
            let before = brain.backlog.len();
            brain.take(event);
            brain.keep_compute();
            let entries = brain.backlog.iter().skip(before).filter(|entry| entry.kind == EntryKind::Compute);
            entries.map(|entry| format!("{}: {}", entry.what, entry.why)).collect()
        };
        let mut follows = brain("warm-standby", ", needs: [orders]", "a");
        assert_eq!(said(&mut follows, Event::Tick), [] as [String; 0], "nothing is known yet");
        let told = said(&mut follows, snapshot(written_in("a")));
        assert_eq!(told, ["web serves clients in a: orders is written in a (epoch 1)"]);
        assert_eq!(said(&mut follows, Event::Tick), [] as [String; 0], "nothing changed");
        let told = said(&mut follows, snapshot(written_in("b")));
        assert_eq!(told, ["web stands by in a: orders is written in b (epoch 1)"]);
        let mut everywhere = brain("active-active", "", "b");
        assert_eq!(
            said(&mut everywhere, Event::Tick),
            ["web serves clients in b: clients are served in each of its regions"]
        );
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
