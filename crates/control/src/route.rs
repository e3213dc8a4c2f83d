//! What DNS answers: computed from live state, so that an answer changes in the moment in which the state does.

use std::collections::BTreeMap;

use lifeboat_model::app::{Route, RoutePolicy};
use lifeboat_model::database::Role;
use lifeboat_model::journal::EntryKind;
use lifeboat_model::manual::MovedBy;
use lifeboat_model::status::RouteAnswer;
use lifeboat_model::{ComponentId, HostName, RegionId};

use crate::brain::Brain;
use crate::event::Command;
use crate::health::{Sight, Target, Watched};

impl Brain {
    /// Recomputes every route's answer; serves the new ones where one has changed.
    pub(crate) fn keep_routes(&mut self) {
        if self.app.routes.is_empty() || self.records.is_empty() && !self.synced && self.routes.is_empty() {
            return;
        }
        let app = self.app.clone();
        let answers: BTreeMap<HostName, RouteAnswer> =
            app.routes.iter().map(|(host, route)| (host.clone(), self.answer(host, route))).collect();
        if answers == self.routes {
            return;
        }
        for (host, answer) in &answers {
            let before = self.routes.get(host).map(|answer| answer.regions.clone()).unwrap_or_default();
            // Every node changes its answer; the one to which clients go says so.
            if answer.regions != before && answer.regions.contains(&self.me) {
                let addresses: Vec<String> = answer.addresses.iter().map(ToString::to_string).collect();
                let component = app.routes[host].to.clone();
                self.note(
                    EntryKind::Route,
                    Some(&component),
                    format!("{host} -> {}", addresses.join(", ")),
                    answer.reason.clone(),
                );
            }
        }
        self.routes.clone_from(&answers);
        self.commands.push(Command::Serve(answers));
    }

    fn answer(&self, host: &HostName, route: &Route) -> RouteAnswer {
        let (regions, reason) = match route.policy {
            RoutePolicy::Failover => self.failover_region(host, route),
            RoutePolicy::Spread => self.healthy_regions(&route.to),
        };
        let in_doubt = regions.iter().any(|region| self.is_in_doubt(region, route));
        // The store may name a writer that this file does not know (any more).
        let addresses = regions.iter().filter_map(|region| self.app.regions.get(region)?.address).collect();
        let ttl = if in_doubt { 0 } else { u32::try_from(route.ttl.as_secs()).unwrap_or(u32::MAX) };
        RouteAnswer { addresses, ttl_seconds: ttl, regions, reason }
    }

    /// The writer's region under the newest open epoch; what was served before while a new one is not open yet.
    fn failover_region(&self, host: &HostName, route: &Route) -> (Vec<RegionId>, String) {
        let databases = self.app.writers_behind(&route.to);
        // One that waits for a person holds up no failover of those that do not.
        let Some(database) = databases.iter().min_by_key(|id| self.moved_by(id) == MovedBy::People) else {
            let (healthy, reason) = self.healthy_regions(&route.to);
            let best =
                healthy.into_iter().max_by_key(|r| (self.app.regions[r].preference, std::cmp::Reverse(r.clone())));
            return (best.into_iter().collect(), reason);
        };
        match self.records.get(database) {
            Some(record) if record.open => (
                vec![record.writer.clone()],
                format!("{} writes {database} under epoch {}", record.writer, record.epoch),
            ),
            Some(record) => match self.routes.get(host) {
                Some(before) if !before.regions.is_empty() => (before.regions.clone(), before.reason.clone()),
                _ => (
                    vec![record.writer.clone()],
                    format!("{} has claimed epoch {} of {database}", record.writer, record.epoch),
                ),
            },
            None => match self.routes.get(host) {
                Some(before) => (before.regions.clone(), before.reason.clone()),
                None => (Vec::new(), format!("{database} has never been written")),
            },
        }
    }

    /// Every region in which the component is healthy; all of its regions when none is, for then the probes are the likelier liars.
    fn healthy_regions(&self, component: &ComponentId) -> (Vec<RegionId>, String) {
        let all = &self.app.components[component].regions;
        let healthy: Vec<RegionId> = all
            .iter()
            .filter(|region| !self.sight(&Target::compute(region, component)).is_some_and(|s| s != Sight::Up))
            .cloned()
            .collect();
        if healthy.is_empty() {
            (
                all.iter().cloned().collect(),
                format!("{component} looks down everywhere: all regions, since unknown is not down"),
            )
        } else {
            let names: Vec<&str> = healthy.iter().map(RegionId::as_str).collect();
            (healthy.clone(), format!("{component} is healthy in {}", names.join(", ")))
        }
    }

    /// Whether the answer may be about to change: then nobody should keep it.
    fn is_in_doubt(&self, region: &RegionId, route: &Route) -> bool {
        let doubtful = |target: &Target| self.watched.get(target).is_some_and(Watched::in_doubt);
        let databases = self.app.writers_behind(&route.to);
        let moving = databases.iter().any(|database| {
            self.runs.get(database).is_some_and(|run| !run.stage.is_over())
                || self.records.get(database).is_some_and(|record| !record.open)
        });
        let server_down = databases.iter().any(|database| {
            self.server(region, database).is_some_and(|s| !matches!(s.role, Role::Primary | Role::Standby))
                || doubtful(&Target::database(region, database))
        });
        let others_doubt = self.views.values().any(|view| {
            view.sights.iter().any(|(target, sight)| *sight != Sight::Up && target.starts_with(&format!("{region}/")))
        });
        moving
            || server_down
            || others_doubt
            || doubtful(&Target::node(region))
            || doubtful(&Target::compute(region, &route.to))
    }
}
