//! Looking until something is so: the journal as it grows, the client's orders, and telling both as they come.

use std::net::IpAddr;
use std::time::Duration;

use lifeboat_model::status::Status;
use lifeboat_model::{Moment, RegionId};
use tokio::time::sleep;

use super::{LOOK_EVERY, Stage};
use crate::client::Client;
use crate::progress::{News, Pulse};
use crate::report::TimelineEntry;
use crate::{Error, clock, measure};

/// Orders flow while there is no longer pause than this between two.
const NO_PAUSE: Duration = Duration::from_millis(500);

/// Whose first order is news.
pub(super) enum Awaited {
    /// Any other region's than this one's.
    NotFrom(RegionId),
    /// This region's.
    From(RegionId),
    /// Whoever's, after a noticeable pause.
    AfterAPause,
}

/// Since when orders flow without a pause.
#[derive(Default)]
pub(super) struct Steady {
    since: Option<Moment>,
}

impl Stage<'_> {
    /// Looks until nothing is in the way any more. `missing` says what is.
    pub(super) async fn until(
        &mut self,
        what: &str,
        deadline: Moment,
        limit: Duration,
        mut missing: impl AsyncFnMut(&mut Self) -> Option<String>,
    ) -> Result<(), Error> {
        loop {
            self.look().await?;
            let Some(state) = missing(self).await else { return Ok(()) };
            let (acknowledged, _) = self.client.as_ref().map_or((0, None), Client::progress);
            let now = clock::now();
            let per_second =
                self.client.as_ref().map_or(0, |client| client.acknowledged_after(now - Duration::from_secs(1)));
            let since = now.since(self.zero.unwrap_or(self.began));
            self.progress.tell(News::Pulse(Pulse { doing: &state, since, acknowledged, per_second }));
            if now > deadline {
                let logs = self.world.logs();
                return Err(Error::TimedOut { what: what.into(), seconds: limit.as_secs(), state, logs });
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// One look: has a node ended, what is new in the journal, has the client something to tell.
    pub(super) async fn look(&mut self) -> Result<(), Error> {
        self.world.check_nodes()?;
        let world = &*self.world;
        let new = self.nodes.new_events(|region| world.has_node(region)).await;
        let mut told: Vec<TimelineEntry> = Vec::new();
        for event in new {
            match self.zero {
                Some(zero) if event.entry.at >= zero => told.push(measure::told(&event.entry, zero)),
                Some(_) => {}
                None if self.client.is_none() => {
                    self.progress.tell(News::Preparing(&format!("{}: {}", event.entry.region, event.entry.what)));
                }
                None => {}
            }
            self.events.push(event.entry);
        }
        if let (Some(zero), Some(order)) = (self.zero, self.awaited_order()) {
            self.awaited = None;
            told.push(measure::first_order(order, zero));
        }
        told.sort_by_key(|entry| entry.at_ms);
        for entry in told {
            if !self.refrained.iter().any(|known| measure::is_repetition(known, &entry)) {
                self.progress.tell(News::Happened(&entry));
                if entry.kind == "refrain" {
                    self.refrained.push(entry);
                }
            }
        }
        Ok(())
    }

    pub(super) fn awaited_order(&self) -> Option<Moment> {
        let region_of = |address: IpAddr| self.facts.regions.get(&address);
        let zero = self.zero?;
        let noticeable = Duration::from_millis(100);
        match self.awaited.as_ref()? {
            Awaited::NotFrom(region) => {
                self.first_order(zero, |address| region_of(address) != Some(region), Duration::MAX)
            }
            Awaited::From(region) => {
                self.first_order(zero, |address| region_of(address) == Some(region), Duration::MAX)
            }
            Awaited::AfterAPause => self.first_order(zero, |_| false, noticeable),
        }
    }

    pub(super) fn first_order(&self, after: Moment, from: impl Fn(IpAddr) -> bool, pause: Duration) -> Option<Moment> {
        Some(self.client.as_ref()?.first_after(after, from, pause)?.at)
    }

    pub(super) fn unsteady(&self, steady: &mut Steady, wanted: Duration) -> Option<String> {
        let now = clock::now();
        let newest = self.client.as_ref().and_then(|client| client.progress().1);
        match newest {
            Some(order) if now.since(order.at) < NO_PAUSE => {
                let since = *steady.since.get_or_insert(now);
                (now.since(since) < wanted).then(|| "steady orders".into())
            }
            Some(_) | None => {
                steady.since = None;
                Some("no order is accepted".into())
            }
        }
    }

    pub(super) async fn status(&mut self) -> Option<Status> {
        let world = &*self.world;
        self.nodes.status(|region| world.has_node(region)).await
    }

    /// Puts down, and tells, what the drill itself did.
    pub(super) fn did(&mut self, at: Moment, region: &RegionId, what: String, why: String) {
        let zero = self.zero.unwrap_or(at);
        let entry = TimelineEntry {
            at_ms: measure::millis(at, zero),
            region: region.to_string(),
            kind: "drill".into(),
            what,
            why,
        };
        self.progress.tell(News::Happened(&entry));
        self.own.push((at, entry));
    }

    /// That something did not happen in time is a finding, once the fault is there; the drill goes on to its report.
    pub(super) fn tolerate(&mut self, outcome: Result<(), Error>) -> Result<(), Error> {
        match outcome {
            Err(Error::TimedOut { what, seconds, state, .. }) => {
                self.problems.push(format!("it did not happen within {seconds} s that {what}: {state}"));
                Ok(())
            }
            other => other,
        }
    }
}
