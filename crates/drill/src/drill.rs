//! The course of a drill: prepare, steady orders, the fault, the reaction, the way back, the comparison.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use lifeboat_model::app::{App, Component, Kind, Provider, Replication};
use lifeboat_model::database::Role;
use lifeboat_model::journal::JournalEntry;
use lifeboat_model::status::{DatabaseStatus, Status};
use lifeboat_model::{ComponentId, HostName, Moment, RegionId};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::chart::{Outage, chart};
use crate::client::{Acknowledged, Client, History, orders_at};
use crate::measure::{self, Cause, Phase};
use crate::partition::Asking;
use crate::promises::{self, Evidence, Findings};
use crate::report::{Environment, Finding, Objective, Report, Run, TimelineEntry};
use crate::watch::Nodes;
use crate::world::World;
use crate::{Error, Fault, Options, clock, html, ports};

/// From one look at the nodes to the next.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Everything must be up within this time.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Orders flow undisturbed for so long before the fault.
const STEADY_BEFORE: Duration = Duration::from_secs(3);
/// Service counts as back when orders have flowed for so long without a pause of [`NO_PAUSE`].
const STEADY_AFTER: Duration = Duration::from_secs(2);
const NO_PAUSE: Duration = Duration::from_millis(500);
/// Service that is not back within twice the RTO, at least this, is given up.
const SERVED_WITHIN: Duration = Duration::from_secs(60);
/// A region that returns must be a standby again within this time: it may have to be copied afresh.
const REJOINED_WITHIN: Duration = Duration::from_secs(120);
/// A planned switchover must be over within this time.
const SWITCHED_WITHIN: Duration = Duration::from_secs(60);
/// The app must list its orders within this time.
const LISTED_WITHIN: Duration = Duration::from_secs(20);

/// The nodes' views of each other must agree within this time after the last change.
const AGREED_WITHIN: Duration = Duration::from_secs(5);

/// What a drill tells while it goes on.
#[derive(Debug)]
pub enum News<'a> {
    /// It begins.
    Began {
        /// The app's name.
        app: &'a str,
        /// What will go wrong.
        fault: Fault,
        /// Where.
        region: &'a str,
        /// Which repetition of how many.
        repetition: (u32, u32),
    },
    /// Something on the way to a running app.
    Preparing(&'a str),
    /// Something happened, the fault included; its time counts from the fault or from the request of the switchover.
    Happened(&'a TimelineEntry),
    /// A sign of life, some 50 times a second.
    Pulse(Pulse<'a>),
    /// Everything is about to be ended and removed.
    Cleaning,
    /// It is over.
    Finished(&'a Report),
    /// The run directory was kept.
    Kept(&'a Path),
}

/// How things stand at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Pulse<'a> {
    /// What is awaited.
    pub doing: &'a str,
    /// Since the fault or the request, or since the beginning.
    pub since: Duration,
    /// Orders acknowledged so far.
    pub acknowledged: usize,
    /// Orders acknowledged in the last second.
    pub per_second: usize,
}

/// Who is told.
pub trait Progress: Send {
    /// Takes note. Must not block for long: the drill goes on only afterwards.
    fn tell(&mut self, news: News<'_>);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn tell(&mut self, _: News<'_>) {}
}

/// Carries out a drill. SIGINT and SIGTERM end it early, with everything cleaned up.
///
/// # Errors
/// When it could not be carried out. A drill that was carried out and missed its objectives is a report with `passed: false`.
pub async fn run(options: Options, progress: &mut dyn Progress) -> Result<Report, Error> {
    let listen = |kind| signal(kind).map_err(Error::io("cannot listen for signals in", "this process"));
    // From here on neither signal ends the process by itself.
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    run_until(options, progress, async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    })
    .await
}

/// The same, ended early by `stop` instead of by signals.
///
/// # Errors
/// As [`run`]; [`Error::Interrupted`] when `stop` came first.
pub async fn run_until(
    options: Options,
    progress: &mut dyn Progress,
    stop: impl Future<Output = ()>,
) -> Result<Report, Error> {
    let facts = Facts::of(&options)?;
    if let Some(out) = &options.out {
        std::fs::create_dir_all(out).map_err(Error::io("cannot make", out))?;
    }
    let mut stop = pin!(stop);
    let mut environment = Environment::here(None);
    let mut repetitions = Vec::new();
    for repetition in 1..=options.repeat.max(1) {
        let mut world = World::create(&options)?;
        progress.tell(News::Began {
            app: options.app.name.as_str(),
            fault: options.fault,
            region: facts.home.as_str(),
            repetition: (repetition, options.repeat.max(1)),
        });
        let outcome = tokio::select! {
            biased;
            () = &mut stop => Err(Error::Interrupted),
            outcome = rehearse(&options, &facts, repetition, &mut world, progress) => outcome,
        };
        environment.postgresql = world.postgres_version().unwrap_or_default();
        progress.tell(News::Cleaning);
        let closed = world.close().await;
        if let Ok(Some(path)) = &closed {
            progress.tell(News::Kept(path));
        }
        repetitions.push(outcome?);
        closed?;
    }
    let report = summed_up(&options, &facts, repetitions, environment);
    if let Some(out) = &options.out {
        write_files(out, &report)?;
    }
    progress.tell(News::Finished(&report));
    Ok(report)
}

fn write_files(out: &Path, report: &Report) -> Result<(), Error> {
    let json = serde_json::to_string_pretty(report).map_err(|error| Error::Unsuitable(error.to_string()))?;
    for (name, text) in [("report.json", json + "\n"), ("report.html", html(report))] {
        let path = out.join(name);
        std::fs::write(&path, text).map_err(Error::io("cannot write", &path))?;
    }
    Ok(())
}

/// What the file says that matters here.
pub(crate) struct Facts {
    pub host: HostName,
    pub port: u16,
    /// The database behind the route.
    database: ComponentId,
    /// Its writer by the file: the fault happens there, and there writing returns.
    pub home: RegionId,
    objective: Objective,
    pub addresses: BTreeMap<RegionId, IpAddr>,
    regions: BTreeMap<IpAddr, RegionId>,
}

impl Facts {
    fn of(options: &Options) -> Result<Self, Error> {
        let app = &options.app;
        let unsuitable = |why: String| Error::Unsuitable(why);
        for (id, region) in &app.regions {
            if region.place.provider != Provider::Local {
                return Err(unsuitable(format!("region {id} is {}, and only local ones are started", region.place)));
            }
        }
        let addresses: BTreeMap<RegionId, IpAddr> = app
            .regions
            .iter()
            .map(|(id, region)| {
                let address = region.address.ok_or_else(|| unsuitable(format!("region {id} has no address")))?;
                Ok((id.clone(), address))
            })
            .collect::<Result<_, Error>>()?;
        let (host, route) = app.routes.iter().next().ok_or_else(|| unsuitable("it has no route".into()))?;
        let target: &Component =
            app.components.get(&route.to).ok_or_else(|| unsuitable(format!("{host} leads nowhere")))?;
        let port = target.port.ok_or_else(|| unsuitable(format!("{} has no port", route.to)))?;
        let (database, component) = app
            .databases_behind(&route.to)
            .into_iter()
            .filter_map(|id| app.components.get(&id).map(|component| (id, component)))
            .find(|(_, component)| component.kind == Kind::Postgres)
            .ok_or_else(|| unsuitable(format!("{} needs no database of kind postgres", route.to)))?;
        let home = component.writer.clone().ok_or_else(|| unsuitable(format!("{database} has no writer")))?;
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Ok(Self {
            host: host.clone(),
            port,
            database,
            home,
            objective: Objective {
                rto_ms: component.objectives.rto.map(millis),
                rpo_ms: component.objectives.rpo.map(millis),
            },
            regions: addresses.iter().map(|(region, address)| (*address, region.clone())).collect(),
            addresses,
        })
    }
}

/// What one repetition found out.
struct Repetition {
    runs: Vec<Run>,
    findings: Findings,
    problems: Vec<String>,
}

/// A repetition under way.
struct Stage<'a> {
    options: &'a Options,
    facts: &'a Facts,
    world: &'a mut World,
    progress: &'a mut dyn Progress,
    nodes: Nodes,
    client: Option<Client>,
    repetition: u32,
    /// Asks the side that is cut off, while it is.
    asking: Option<Asking>,
    /// What that side has acknowledged.
    inside: Vec<Acknowledged>,
    events: Vec<JournalEntry>,
    /// The drill's own doings, for the timeline.
    own: Vec<(Moment, TimelineEntry)>,
    began: Moment,
    /// What the times of the timeline count from: the fault, then the request. Before: `None`.
    zero: Option<Moment>,
    /// Whether "first order accepted" is still to be told for this zero, and of which region.
    awaited: Option<Awaited>,
    /// Decisions not to act that have been told; each is told once.
    refrained: Vec<TimelineEntry>,
    outages: Vec<Outage>,
    problems: Vec<String>,
}

/// Whose first order is news.
enum Awaited {
    /// Any other region's than this one's.
    NotFrom(RegionId),
    /// This region's.
    From(RegionId),
    /// Whoever's, after a noticeable pause.
    AfterAPause,
}

async fn rehearse(
    options: &Options,
    facts: &Facts,
    repetition: u32,
    world: &mut World,
    progress: &mut dyn Progress,
) -> Result<Repetition, Error> {
    let mut stage = Stage {
        options,
        facts,
        nodes: Nodes::new(&options.app, world.connector().clone()),
        world,
        progress,
        client: None,
        repetition,
        asking: None,
        inside: Vec::new(),
        events: Vec::new(),
        own: Vec::new(),
        began: clock::now(),
        zero: None,
        awaited: None,
        refrained: Vec::new(),
        outages: Vec::new(),
        problems: Vec::new(),
    };
    stage.prepare().await?;
    let fault_at = stage.fault().await?;
    let mut phases = vec![Phase {
        repetition,
        cause: Cause::Fault(facts.home.clone()),
        database: facts.database.clone(),
        writer: facts.home.clone(),
        counted_from: Moment(0),
        began: fault_at,
        settled: clock::now(),
        ended: clock::now(),
    }];
    if stage.bring_back().await?
        && let Some(writer) = stage.writer_elsewhere().await
    {
        let asked_at = stage.switch_back(&writer).await?;
        phases[0].ended = asked_at;
        phases.push(Phase {
            cause: Cause::Request,
            writer,
            counted_from: asked_at,
            began: asked_at,
            settled: clock::now(),
            ..phases[0].clone()
        });
    }
    stage.compare(phases).await
}

impl Stage<'_> {
    /// Starts the nodes, waits until everything is as the file says, and lets orders flow for a while.
    async fn prepare(&mut self) -> Result<(), Error> {
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

    /// What is not yet as the file says.
    async fn unready(&mut self) -> Option<String> {
        let mut newest = None;
        for region in self.options.app.regions.keys() {
            match self.nodes.status_of(region).await {
                Some(status) if status.store_reachable => newest = Some(status),
                Some(_) => return Some(format!("the node of {region} does not reach the state store")),
                None => return Some(format!("the node of {region} does not answer")),
            }
        }
        let status = newest?;
        for (id, component) in self.options.app.databases().filter(|(_, component)| component.kind == Kind::Postgres) {
            let Some(database) = status.databases.get(id) else { return Some(format!("nothing is known of {id}")) };
            if database.writer != component.writer {
                return Some(format!("{id} is not written in {}", known(component.writer.as_ref())));
            }
            if let Some(why) = unprotected(id, component, database) {
                return Some(why);
            }
        }
        let answer = status.routes.get(&self.facts.host);
        if !answer.is_some_and(|answer| answer.regions.contains(&self.facts.home)) {
            return Some(format!("{} does not lead to {}", self.facts.host, self.facts.home));
        }
        None
    }

    /// Does it, and waits until service is steady again or given up.
    async fn fault(&mut self) -> Result<Moment, Error> {
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
            _ => self.world.inject(fault, &home).await,
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
    async fn bring_back(&mut self) -> Result<bool, Error> {
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

    /// What keeps a failover, or the way back, from losing nothing.
    async fn unprotected_now(&mut self) -> Option<String> {
        let home = self.facts.home.clone();
        if self.nodes.status_of(&home).await.is_none() {
            return Some(format!("the node of {home} does not answer"));
        }
        let Some(status) = self.status().await else { return Some("no node answers".into()) };
        for (id, component) in self.options.app.databases().filter(|(_, component)| component.kind == Kind::Postgres) {
            let Some(database) = status.databases.get(id) else { return Some(format!("nothing is known of {id}")) };
            if let Some(why) = unprotected(id, component, database) {
                return Some(why);
            }
            let Some(writer) = database.writer.clone().filter(|writer| *writer != home) else { continue };
            // Each node judges by what it sees itself: the writer's is the one that is asked to switch over.
            let Some(judge) = self.nodes.status_of(&writer).await else {
                return Some(format!("the node of {writer} does not answer"));
            };
            let readiness = judge.databases.get(id).and_then(|database| database.readiness.get(&home));
            match readiness {
                Some(readiness) if readiness.ready => {}
                Some(readiness) => return Some(format!("{home} is not ready for {id}: {}", readiness.reason)),
                None => return Some(format!("nothing is known of {home}'s readiness for {id}")),
            }
        }
        None
    }

    /// Where the database is written, if not at home.
    async fn writer_elsewhere(&mut self) -> Option<RegionId> {
        let status = self.status().await?;
        let writer = status.databases.get(&self.facts.database)?.writer.clone()?;
        (writer != self.facts.home).then_some(writer)
    }

    /// The planned way home, nothing lost. The moment of the request is returned.
    async fn switch_back(&mut self, writer: &RegionId) -> Result<Moment, Error> {
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

    /// Stops the client, asks what is there, and draws the conclusions.
    async fn compare(mut self, mut phases: Vec<Phase>) -> Result<Repetition, Error> {
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

    /// Looks until nothing is in the way any more. `missing` says what is.
    async fn until(
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
    async fn look(&mut self) -> Result<(), Error> {
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

    fn awaited_order(&self) -> Option<Moment> {
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

    fn first_order(&self, after: Moment, from: impl Fn(IpAddr) -> bool, pause: Duration) -> Option<Moment> {
        Some(self.client.as_ref()?.first_after(after, from, pause)?.at)
    }

    fn unsteady(&self, steady: &mut Steady, wanted: Duration) -> Option<String> {
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

    async fn status(&mut self) -> Option<Status> {
        let world = &*self.world;
        self.nodes.status(|region| world.has_node(region)).await
    }

    /// Puts down, and tells, what the drill itself did.
    fn did(&mut self, at: Moment, region: &RegionId, what: String, why: String) {
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
    fn tolerate(&mut self, outcome: Result<(), Error>) -> Result<(), Error> {
        match outcome {
            Err(Error::TimedOut { what, seconds, state, .. }) => {
                self.problems.push(format!("it did not happen within {seconds} s that {what}: {state}"));
                Ok(())
            }
            other => other,
        }
    }
}

/// Since when orders flow without a pause.
#[derive(Default)]
struct Steady {
    since: Option<Moment>,
}

fn known(region: Option<&RegionId>) -> &str {
    region.map_or("any region", RegionId::as_str)
}

/// What a database lacks to survive the loss of its writer's region as the file wants it.
fn unprotected(id: &ComponentId, component: &Component, database: &DatabaseStatus) -> Option<String> {
    let Some(writer) = &database.writer else { return Some(format!("nobody writes {id}")) };
    if !database.open {
        return Some(format!("epoch {} of {id} is not open", database.epoch));
    }
    let members = component.standbys.keys().chain(&component.writer).filter(|region| *region != writer);
    // Whoever is home is protected from its standby as its standby is from it.
    let way = |region: &RegionId| {
        let of_home = || component.standbys.get(writer);
        component.standbys.get(region).or_else(of_home).copied().unwrap_or(Replication::Asynchronous)
    };
    for region in members {
        match way(region) {
            Replication::Synchronous if !database.holders.contains(region) => {
                return Some(format!("{region} is no synchronous standby of {id} yet"));
            }
            Replication::Asynchronous if !database.servers.get(region).is_some_and(|server| server.streaming) => {
                return Some(format!("{region} does not follow {id} yet"));
            }
            Replication::Synchronous | Replication::Asynchronous => {}
        }
    }
    None
}

fn summed_up(options: &Options, facts: &Facts, repetitions: Vec<Repetition>, environment: Environment) -> Report {
    let mut problems = Vec::new();
    let (mut runs, mut findings) = (Vec::new(), Vec::new());
    for repetition in repetitions {
        problems.extend(repetition.problems);
        runs.extend(repetition.runs);
        findings.push(repetition.findings);
    }
    for run in &runs {
        problems.extend(complaint(run));
    }
    let findings = promises::merge(findings);
    for (promise, (finding, reason)) in &findings {
        if *finding == Finding::Broken {
            problems.push(format!("promise {promise} is broken: {reason}"));
        }
    }
    Report {
        app: app_name(&options.app),
        fault: options.fault.to_string(),
        region: facts.home.to_string(),
        passed: problems.is_empty(),
        problems,
        medians: if options.repeat > 1 { measure::medians(&runs) } else { BTreeMap::new() },
        runs,
        promises: findings.iter().map(|(promise, (finding, _))| ((*promise).into(), *finding)).collect(),
        prediction: options.prediction,
        reasons: findings.into_iter().map(|(promise, (_, reason))| (promise.into(), reason)).collect(),
        environment,
    }
}

fn app_name(app: &App) -> String {
    app.name.to_string()
}

/// What is wrong with a run by its own figures.
fn complaint(run: &Run) -> Vec<String> {
    let mut complaints = Vec::new();
    if !run.served_again {
        complaints.push(format!("{}: no order was accepted any more", run.intent));
    } else if run.rto_held() == Some(false) {
        complaints.push(format!("{}: RTO {} ms", run.intent, run.rto_ms));
    }
    if run.objective.rto_ms.is_some_and(|rto| run.later_gap_ms > rto) {
        complaints.push(format!("{}: later on {} ms without an accepted order", run.intent, run.later_gap_ms));
    }
    if run.rpo_held() == Some(false) {
        complaints.push(format!("{}: {} acknowledged orders are lost", run.intent, run.lost.unwrap_or(0)));
    }
    complaints
}
