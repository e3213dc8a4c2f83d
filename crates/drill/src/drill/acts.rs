//! The acts of a drill on stage: the app is made ready, the fault, the region comes back, writing returns.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lifeboat_model::status::DatabaseStatus;
use lifeboat_model::{Moment, RegionId};

use super::Stage;
use super::looking::{Awaited, Steady};
use crate::chart::Outage;
use crate::client::Client;
use crate::partition::Asking;
use crate::progress::News;
use crate::{Error, Fault, clock, ports};

/// Everything must be up within this time.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Orders flow undisturbed for so long before the fault.
const STEADY_BEFORE: Duration = Duration::from_secs(3);
/// Service counts as back when orders have flowed for so long.
const STEADY_AFTER: Duration = Duration::from_secs(2);
/// Service that is not back within twice the RTO, at least this, is given up.
const SERVED_WITHIN: Duration = Duration::from_secs(60);
/// A region that returns must be a standby again within this time: it may have to be copied afresh.
const REJOINED_WITHIN: Duration = Duration::from_secs(120);
/// A planned switchover must be over within this time.
const SWITCHED_WITHIN: Duration = Duration::from_secs(60);

impl Stage<'_> {
    /// Starts the nodes, waits until everything is as the file says, and lets orders flow for a while.
    pub(super) async fn prepare(&mut self) -> Result<(), Error> {
        self.progress.tell(News::Preparing(&format!("a node per region, in {}", self.world.path().display())));
        self.world.start()?;
        let deadline = clock::now() + READY_WITHIN;
        self.until("the app is ready", deadline, READY_WITHIN, async |stage| stage.unready().await).await?;

        let servers: Vec<SocketAddr> =
            ports::name_servers(&self.options.app).into_iter().map(|(_, address)| address).collect();
        let prefix = self.client_prefix();
        self.client = Client::start(self.facts.host.as_str(), self.facts.port, servers, prefix);
        if self.client.is_none() {
            return Err(Error::Unsuitable(format!("`{}` is not a host name", self.facts.host)));
        }
        let mut steady = Steady::default();
        self.until("orders flow", deadline + STEADY_BEFORE, READY_WITHIN, async |stage| {
            stage.unsteady(&mut steady, STEADY_BEFORE)
        })
        .await
    }

    /// Does it, and waits until service is steady again or given up.
    pub(super) async fn fault(&mut self) -> Result<Moment, Error> {
        let (fault, home) = (self.options.fault, self.facts.home.clone());
        self.awaited = Some(match fault {
            Fault::RegionLoss | Fault::Partition => Awaited::NotFrom(home.clone()),
            Fault::DatabaseLoss | Fault::NodeLoss | Fault::AppLoss | Fault::Pause => Awaited::AfterAPause,
        });
        let leads = self.world.lead_etcd_from(&home).await?;
        let at = clock::now();
        self.zero = Some(at);
        let what = match fault {
            Fault::Partition => {
                let alive = self.world.cut_off(&home)?;
                self.asking = Some(Asking::start(self.world, self.facts, self.client_prefix())?);
                format!("cut off from everybody else; alive in it: {alive}")
            }
            Fault::RegionLoss | Fault::DatabaseLoss | Fault::NodeLoss | Fault::AppLoss | Fault::Pause => {
                self.world.inject(fault, &home).await
            }
        };
        let led = if leads { "; etcd's leader was there" } else { "" };
        self.did(at, &home, what, format!("the fault of this drill: {fault}{led}"));

        let lease = self.options.app.detection.lease;
        let lasts = lease + Duration::from_secs(2);
        let service = self.facts.objective.rto_ms.map_or(Duration::ZERO, Duration::from_millis) * 2;
        let limit = service.max(SERVED_WITHIN) + lasts;
        let mut steady = Steady::default();
        let mut paused = fault == Fault::Pause;
        let outcome = self
            .until("service is back", at + limit, limit, async |stage| {
                if paused && clock::now() >= at + lasts {
                    paused = false;
                    stage.world.resume(&home);
                    let now = clock::now();
                    stage.outages.push(Outage { region: home.clone(), from: at, to: now });
                    stage.did(now, &home, "goes on".into(), format!("it stood still for {} s", lasts.as_secs()));
                }
                let elsewhere = |address: IpAddr| stage.facts.regions.get(&address) != Some(&home);
                let reacted = match fault {
                    Fault::RegionLoss => stage.first_order(at, elsewhere, Duration::MAX).is_some(),
                    // Beyond the lease of the side that is cut off, so that this is seen to stay harmless.
                    Fault::Partition => {
                        clock::now() >= at + lasts && stage.first_order(at, elsewhere, Duration::MAX).is_some()
                    }
                    Fault::DatabaseLoss | Fault::NodeLoss | Fault::AppLoss | Fault::Pause => {
                        !paused && clock::now() >= at + lasts
                    }
                };
                if !reacted {
                    steady = Steady::default();
                    return Some("no order is accepted".into());
                }
                stage.unsteady(&mut steady, STEADY_AFTER)
            })
            .await;
        self.tolerate(outcome)?;
        Ok(at)
    }

    /// Ends the outage, and waits until everything is protected as before. `false`: it is not, so nothing further is tried.
    pub(super) async fn bring_back(&mut self) -> Result<bool, Error> {
        let home = self.facts.home.clone();
        if let Some(asking) = self.asking.take() {
            self.reunite(asking).await?;
        }
        if matches!(self.options.fault, Fault::RegionLoss | Fault::NodeLoss) {
            self.world.start_node(&home)?;
            let now = clock::now();
            if self.options.fault == Fault::RegionLoss
                && let Some(zero) = self.zero
            {
                self.outages.push(Outage { region: home.clone(), from: zero, to: now });
            }
            self.did(now, &home, "node started again".into(), "the drill ends the outage".into());
        }
        if !self.problems.is_empty() {
            return Ok(false);
        }
        let limit = REJOINED_WITHIN;
        let what = format!("{home} takes part again");
        let outcome = self.until(&what, clock::now() + limit, limit, async |stage| stage.unprotected_now().await).await;
        self.tolerate(outcome)?;
        Ok(self.problems.is_empty())
    }

    /// Tells what the side that was cut off said to orders of its own, and joins it to the others again.
    async fn reunite(&mut self, asking: Asking) -> Result<(), Error> {
        let home = self.facts.home.clone();
        let asked = asking.stop().await;
        let answer = match asked.acknowledged.len() {
            0 => "none was acknowledged".into(),
            some => format!("{some} were acknowledged"),
        };
        let what = format!("of {} orders that were placed inside it, {answer}", asked.placed);
        self.did(clock::now(), &home, what, "the drill asked the side that is cut off directly".into());
        self.inside = asked.acknowledged;
        self.world.reconnect()?;
        let now = clock::now();
        if let Some(zero) = self.zero {
            self.outages.push(Outage { region: home.clone(), from: zero, to: now });
        }
        self.did(now, &home, "reaches the others again".into(), "the drill ends the partition".into());
        Ok(())
    }

    fn client_prefix(&self) -> String {
        format!("drill-{}", self.repetition)
    }

    /// The planned way home, nothing lost. The moment of the request is returned.
    pub(super) async fn switch_back(&mut self, writer: &RegionId) -> Result<Moment, Error> {
        let home = self.facts.home.clone();
        let token = self.world.operator_token()?;
        let at = clock::now();
        self.zero = Some(at);
        self.awaited = Some(Awaited::From(home.clone()));
        self.did(at, &RegionId::from("drill"), format!("asks for a switchover to {home}"), "the region is back".into());
        let run = match self.nodes.switch_over(writer, &home, &token).await {
            Ok(run) => run,
            Err(error) => {
                self.problems.push(error.to_string());
                return Ok(at);
            }
        };
        let mut steady = Steady::default();
        let mut failed = None;
        let outcome = self
            .until("the switchover is done", at + SWITCHED_WITHIN, SWITCHED_WITHIN, async |stage| {
                let Some(status) = stage.status().await else { return Some("no node answers".into()) };
                let state = status.runs.iter().find(|known| known.id == run).map_or("", |run| run.state.as_str());
                if matches!(state, "failed" | "abandoned") {
                    failed = Some(format!("the switchover to {home} {state}"));
                    return None;
                }
                let is_home = |database: &DatabaseStatus| database.open && database.writer.as_ref() == Some(&home);
                if !status.databases.get(&stage.facts.database).is_some_and(is_home) {
                    return Some(format!("{} is not open in {home}", stage.facts.database));
                }
                let at_home = |address: IpAddr| stage.facts.regions.get(&address) == Some(&home);
                if stage.first_order(at, at_home, Duration::MAX).is_none() {
                    return Some(format!("no order was accepted in {home}"));
                }
                stage.unsteady(&mut steady, STEADY_AFTER)
            })
            .await;
        self.problems.extend(failed);
        self.tolerate(outcome)?;
        Ok(at)
    }
}
