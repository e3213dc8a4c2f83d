//! The end of a repetition: what the client remembers against what is there, and the conclusions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lifeboat_model::RegionId;
use lifeboat_model::database::Role;
use lifeboat_model::status::Status;
use tokio::time::sleep;

use super::summary::Repetition;
use super::{LOOK_EVERY, Stage};
use crate::chart::{Outage, chart};
use crate::client::{History, orders_at};
use crate::measure::{self, Cause, Phase};
use crate::promises::{self, Evidence};
use crate::{Error, Fault, clock};

/// The app must list its orders within this time.
const LISTED_WITHIN: Duration = Duration::from_secs(20);
/// The nodes' views of each other must agree within this time after the last change.
const AGREED_WITHIN: Duration = Duration::from_secs(5);

impl Stage<'_> {
    /// Stops the client, asks what is there, and draws the conclusions.
    pub(super) async fn compare(mut self, mut phases: Vec<Phase>) -> Result<Repetition, Error> {
        let ended = clock::now();
        if let Some(last) = phases.last_mut() {
            last.ended = ended;
        }
        self.zero = None;
        let history = match self.client.take() {
            Some(client) => client.stop().await,
            None => History::default(),
        };
        // Orders that were under way when the client was stopped count, too.
        if let (Some(phase), Some(order)) = (phases.last_mut(), history.acknowledged.last()) {
            phase.ended = phase.ended.max(order.at);
        }
        // The side that was cut off must keep its word as well; but who reached only that was not served.
        let mut everything = history.acknowledged.clone();
        everything.append(&mut self.inside);
        everything.sort_by_key(|order| order.at);
        let missing = match self.listed().await {
            Ok(there) => Some(
                everything
                    .iter()
                    .filter(|order| !there.contains(&history.id(order.number)))
                    .map(|order| order.number)
                    .collect::<BTreeSet<u64>>(),
            ),
            Err(why) => {
                self.problems.push(why);
                None
            }
        };
        self.look().await?;
        let nodes = self.agreed().await;

        let acknowledged = &history.acknowledged;
        let mut runs = Vec::new();
        for phase in &phases {
            let (mut run, gap) = measure::run(
                phase,
                acknowledged,
                &self.events,
                &self.own,
                missing.as_ref(),
                &self.facts.regions,
                self.facts.objective,
            );
            let mut outages = self.outages.clone();
            // What was killed alone is gone for as long as nothing is served.
            if matches!(self.options.fault, Fault::DatabaseLoss | Fault::AppLoss)
                && matches!(phase.cause, Cause::Fault(_))
            {
                outages.push(Outage {
                    region: self.facts.home.clone(),
                    from: phase.began,
                    to: gap.to.max(phase.began),
                });
            }
            run.chart = chart(&self.options.app, phase, gap, acknowledged, &self.events, &outages);
            runs.push(run);
        }
        let findings = promises::check(&Evidence {
            database: &self.facts.database,
            home: &self.facts.home,
            events: &self.events,
            acknowledged: &everything,
            regions: &self.facts.regions,
            missing: missing.as_ref(),
            nodes: &nodes,
            objective: self.facts.objective,
            runs: &runs,
        });
        Ok(Repetition { runs, findings, problems: self.problems })
    }

    /// What each node says. A node's view of the others is as old as their last report, so they are given a while to agree
    /// on which server is writable; if they do not, the last answers stand.
    async fn agreed(&mut self) -> BTreeMap<RegionId, Option<Status>> {
        let deadline = clock::now() + AGREED_WITHIN;
        loop {
            let mut nodes = BTreeMap::new();
            for region in self.options.app.regions.keys() {
                nodes.insert(region.clone(), self.nodes.status_of(region).await);
            }
            let writable = |status: &Option<Status>| {
                let servers = &status.as_ref()?.databases.get(&self.facts.database)?.servers;
                let primaries = servers.iter().filter(|(_, server)| server.role == Role::Primary);
                Some(primaries.map(|(region, _)| region.clone()).collect::<Vec<_>>())
            };
            let views: BTreeSet<_> = nodes.values().map(writable).collect();
            let agree = views.len() == 1 && views.first().is_some_and(|v| v.as_ref().is_some_and(|v| v.len() == 1));
            if agree || clock::now() > deadline {
                return nodes;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// The ids that the serving region knows; it may need a moment after the last change.
    async fn listed(&mut self) -> Result<BTreeSet<String>, String> {
        let deadline = clock::now() + LISTED_WITHIN;
        loop {
            let status = self.status().await;
            let writer = status
                .and_then(|status| status.databases.get(&self.facts.database)?.writer.clone())
                .unwrap_or_else(|| self.facts.home.clone());
            let Some(address) = self.facts.addresses.get(&writer) else {
                return Err(format!("{writer} writes, and is no region of the file"));
            };
            let listed = orders_at((*address, self.facts.port).into(), self.facts.host.as_str(), LISTED_WITHIN).await;
            match listed {
                Err(_) if clock::now() < deadline => sleep(Duration::from_millis(200)).await,
                listed => return listed,
            }
        }
    }
}
