//! What goes wrong in a history, drawn from a seed, and what comes of it.
//!
//! *Trouble* is two minutes with many faults and lost answers; *provoked* trouble has most of them at bad moments; *ordinary life* is a day
//! in which something happens every some minutes to hours. The same seed always gives the same history.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_control::record::Request;
use lifeboat_model::{App, ComponentId, Moment, RegionId};
use lifeboat_plan::Intent;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::check::Broken;
use crate::provoke::Provoker;
use crate::refinement::Refinement;
use crate::scenario::{self, Fleet};
use crate::world::{Broke, Fault, Way, World};

/// In trouble, faults happen until then.
const TROUBLE: Duration = Duration::from_secs(60);
/// And so long everything has time to mend.
const MENDING: Duration = Duration::from_secs(60);
/// When a fleet has come up.
const BEGIN: Duration = Duration::from_secs(8);

/// What kind of history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Two minutes of many faults.
    Trouble,
    /// The same, with few that come by chance and many that a [`Provoker`] adds.
    Provoked,
    /// So many hours with a fault now and then.
    Ordinary(u64),
}

/// How histories are run.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// What kind.
    pub kind: Kind,
    /// Which way through it.
    pub way: Way,
    /// What is broken on purpose.
    pub broke: Option<Broke>,
    /// Always this fleet, by its place among [`scenario::all`].
    pub fleet: Option<usize>,
    /// Asks after every event whether the history is one of the protocol's model too, of every database that the model has room for.
    /// What follows from none of its rules breaks the promise `protocol`.
    pub refined: bool,
}

impl Default for How {
    fn default() -> Self {
        Self { kind: Kind::Trouble, way: Way::Fast, broke: None, fleet: None, refined: false }
    }
}

/// Something that goes wrong for a while, or once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// When.
    pub at: Moment,
    /// What.
    pub faults: Vec<Fault>,
    /// After how long it is mended, and how.
    pub mended: Option<(Duration, Fault)>,
}

/// What came of one history.
#[derive(Debug)]
pub struct Ended {
    /// The fleet.
    pub scenario: String,
    /// Simulated time.
    pub length: Duration,
    /// Events taken.
    pub steps: u64,
    /// Epochs claimed.
    pub claims: usize,
    /// Writes acknowledged.
    pub acknowledged: usize,
    /// Things that went wrong.
    pub incidents: usize,
    /// What was followed in the model, if that was asked for.
    pub refinements: Vec<Refinement>,
}

/// A broken promise with what is needed to see it again.
#[derive(Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The fleet.
    pub scenario: String,
    /// What was broken.
    pub broken: Broken,
    /// What went wrong, in order; after [`crate::shrink::shrink`] only what is needed.
    pub incidents: Vec<Incident>,
    /// What happened, if that was asked for.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    /// `seed 7 (a fleet): S1 broken: …`, and below it what is needed to break it, a line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} ({}): {}", self.seed, self.scenario, self.broken)?;
        for Incident { at, faults, mended } in &self.incidents {
            write!(f, "\n  {at}  {faults:?}")?;
            if let Some((after, mend)) = mended {
                write!(f, ", after {:.3} s {mend:?}", after.as_secs_f64())?;
            }
        }
        Ok(())
    }
}

/// What is written down while a history is played.
#[derive(Debug, Default)]
pub struct Record {
    /// Everything that happened.
    pub trace: Option<Vec<String>>,
    /// Every command of every brain, with its moment.
    pub decisions: Option<Vec<String>>,
    /// Who makes more go wrong than what is played, and keeps what it was.
    pub provoker: Option<Provoker>,
}

/// Runs the history of a seed.
///
/// # Errors
/// The broken promise, with what went wrong before.
pub fn run(seed: u64, how: &How) -> Result<Ended, Box<Failure>> {
    let fleet = scenario::of_seed(seed, how.fleet);
    let mut incidents = draw(seed, &fleet, how.kind);
    let mut record = Record { provoker: provoker(seed, &fleet, how), ..Record::default() };
    play(&fleet, seed, how, &incidents, &mut record).map_err(|broken| {
        incidents.extend(record.provoker.into_iter().flat_map(|provoker| provoker.incidents));
        incidents.sort_by_key(|incident| incident.at);
        Box::new(Failure { seed, scenario: fleet.name.clone(), broken, incidents, trace: Vec::new() })
    })
}

/// Everything that happens in the history of a seed, a line each.
pub fn tell(seed: u64, how: &How) -> Vec<String> {
    let fleet = scenario::of_seed(seed, how.fleet);
    let provoker = provoker(seed, &fleet, how);
    let mut record = Record { trace: Some(Vec::new()), provoker, ..Record::default() };
    let end = match play(&fleet, seed, how, &draw(seed, &fleet, how.kind), &mut record) {
        Ok(_) => "every promise held".to_owned(),
        Err(broken) => broken.to_string(),
    };
    record.trace.unwrap_or_default().into_iter().chain([end]).collect()
}

fn provoker(seed: u64, fleet: &Fleet, how: &How) -> Option<Provoker> {
    (how.kind == Kind::Provoked).then(|| Provoker::new(seed, fleet, Moment(0) + TROUBLE))
}

/// Plays given incidents.
///
/// # Errors
/// The broken promise.
pub fn play(fleet: &Fleet, seed: u64, how: &How, incidents: &[Incident], record: &mut Record) -> Result<Ended, Broken> {
    let mut world = World::fleet(fleet.apps.clone(), fleet.store, seed, how.broke, how.way);
    world.trace = record.trace.take();
    world.decisions = record.decisions.take();
    world.provoker = record.provoker.take();
    if how.refined {
        world.refinements = Refinement::of_all(&world);
    }
    if matches!(how.kind, Kind::Trouble | Kind::Provoked) {
        world.keep_busy();
    }
    let mut last = match how.kind {
        Kind::Trouble | Kind::Provoked => Moment(0) + TROUBLE,
        Kind::Ordinary(hours) => Moment(0) + Duration::from_secs(hours * 3_600),
    };
    for incident in incidents {
        for fault in &incident.faults {
            world.schedule(incident.at, fault.clone());
        }
        if let Some((after, mend)) = &incident.mended {
            world.schedule(incident.at + *after, mend.clone());
            last = last.max(incident.at + *after);
        }
    }
    let result = live(&mut world, &fleet.apps, last);
    record.trace = world.trace.take();
    record.decisions = world.decisions.take();
    record.provoker = world.provoker.take();
    result?;
    Ok(Ended {
        scenario: fleet.name.clone(),
        length: world.now().since(Moment(0)),
        steps: world.steps,
        claims: world.claims,
        acknowledged: world.ledgers.iter().map(|ledger| ledger.acknowledged.len()).sum(),
        incidents: incidents.len() + record.provoker.as_ref().map_or(0, |provoker| provoker.incidents.len()),
        refinements: world.refinements,
    })
}

/// Runs a history the fast way and the slow way: the first decision that is not the same in both, if there is one.
pub fn difference(seed: u64, how: &How) -> Option<String> {
    let fleet = scenario::of_seed(seed, how.fleet);
    let incidents = draw(seed, &fleet, how.kind);
    let [fast, slow] = [Way::Fast, Way::Slow].map(|way| {
        let provoker = provoker(seed, &fleet, how);
        let mut record = Record { decisions: Some(Vec::new()), provoker, ..Record::default() };
        let end = match play(&fleet, seed, &How { way, ..*how }, &incidents, &mut record) {
            Ok(ended) => format!("{} epochs, {} writes", ended.claims, ended.acknowledged),
            Err(broken) => broken.to_string(),
        };
        record.decisions.unwrap_or_default().into_iter().chain([end])
    });
    let (fast, slow): (Vec<String>, Vec<String>) = (fast.collect(), slow.collect());
    let at = fast.iter().zip(&slow).position(|(fast, slow)| fast != slow)?;
    Some(format!("decision {at} of {}\nfast  {}\nslow  {}", fast.len(), fast[at], slow[at]))
}

fn live(world: &mut World, apps: &[Arc<App>], last: Moment) -> Result<(), Broken> {
    world.run(last)?;
    let soon = last + Duration::from_millis(1);
    for mend in [Fault::Noise(0), Fault::Heal, Fault::StoreUp, Fault::HealStore, Fault::StoreSlow(Duration::ZERO)] {
        world.schedule(soon, mend);
    }
    for region in apps[0].regions.keys().cloned() {
        for mend in [
            Fault::Thaw(region.clone()),
            Fault::FreeDisk(region.clone()),
            Fault::SlowDisk(region.clone(), 1),
            Fault::StartNode(region),
        ] {
            world.schedule(soon, mend);
        }
    }
    world.run(last + MENDING)?;
    for app in apps {
        for (database, _) in app.databases() {
            world.check_end(database)?;
        }
    }
    world.check_chain()?;
    Ok(())
}

/// What goes wrong in the history of a seed.
pub fn draw(seed: u64, fleet: &Fleet, kind: Kind) -> Vec<Incident> {
    let mut drawing = Drawing::new(seed ^ 0x5EED, fleet);
    let mut incidents = Vec::new();
    match kind {
        Kind::Trouble | Kind::Provoked => {
            incidents.push(Incident { at: Moment(0), faults: vec![Fault::Noise(2)], mended: None });
            let most = if kind == Kind::Provoked { 3 } else { 8 };
            for _ in 0..=drawing.below(most) {
                let mut at = Moment(0) + BEGIN + Duration::from_millis(drawing.below(45_000) as u64);
                let long = Duration::from_millis(200 + drawing.below(15_000) as u64);
                if drawing.below(12) == 0 {
                    incidents.extend(drawing.without_store(at));
                    continue;
                }
                // Now and then something goes wrong just when something else has been mended.
                if let (0, Some(Incident { at: before, mended: Some((after, _)), .. })) =
                    (drawing.below(4), incidents.last())
                {
                    at = *before + *after + Duration::from_millis(drawing.below(4_000) as u64);
                }
                incidents.push(drawing.incident(at, long));
            }
        }
        Kind::Ordinary(hours) => {
            let end = Moment(0) + Duration::from_secs(hours * 3_600);
            let mut at = Moment(0) + drawing.between(60.0, 3_600.0);
            while at < end {
                let long = drawing.between(0.5, 600.0);
                incidents.push(drawing.incident(at, long));
                // Now and then one thing follows from another.
                let next = if drawing.below(6) == 0 {
                    drawing.between(0.5, 60.0)
                } else {
                    long.min(Duration::from_secs(60)) + drawing.between(180.0, 10_800.0)
                };
                at = at + next;
            }
        }
    }
    incidents.sort_by_key(|incident| incident.at);
    incidents
}

/// Draws faults that a fleet can have.
#[derive(Debug)]
pub(crate) struct Drawing {
    rng: ChaCha8Rng,
    regions: Vec<RegionId>,
    /// Each database with where its copies are.
    databases: Vec<(ComponentId, Vec<RegionId>)>,
}

impl Drawing {
    pub fn new(seed: u64, fleet: &Fleet) -> Self {
        let databases = fleet.apps.iter().flat_map(|app| app.databases()).map(|(id, component)| {
            (id.clone(), component.writer.iter().chain(component.standbys.keys()).cloned().collect())
        });
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            regions: fleet.apps[0].regions.keys().cloned().collect(),
            databases: databases.collect(),
        }
    }

    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.rng.next_u64() % n.max(1) as u64).expect("less than a usize")
    }

    /// A time between so many seconds, short ones as likely as long ones.
    pub fn between(&mut self, least: f64, most: f64) -> Duration {
        let chance = self.below(1 << 20) as f64 / f64::from(1 << 20);
        Duration::from_secs_f64(least * (most / least).powf(chance))
    }

    pub fn region(&mut self) -> RegionId {
        let at = self.below(self.regions.len());
        self.regions[at].clone()
    }

    fn incident(&mut self, at: Moment, long: Duration) -> Incident {
        let region = self.region();
        self.incident_in(region, at, long)
    }

    /// Something that goes wrong in a region, or between it and others.
    pub fn incident_in(&mut self, region: RegionId, at: Moment, long: Duration) -> Incident {
        let one = |fault: Fault, mend: Fault| (vec![fault], Some((long, mend)));
        let start = Fault::StartNode(region.clone());
        let thaw = Fault::Thaw(region.clone());
        let (faults, mended) = match self.below(22) {
            0..=2 => one(Fault::KillRegion(region), start),
            3 => one(Fault::KillNode(region), start),
            4 => (vec![self.kill_server()], None),
            5 | 6 => one(Fault::Freeze(region), thaw),
            7 => one(Fault::FreezeNode(region), thaw),
            8..=10 => {
                let other = self.region();
                let mut faults = vec![Fault::Cut(region.clone(), other.clone())];
                if self.below(2) == 0 {
                    faults.push(Fault::Cut(other, region));
                }
                (faults, Some((long, Fault::Heal)))
            }
            11 => one(Fault::Isolate(region), Fault::Heal),
            12 => (self.island(region), Some((long, Fault::Heal))),
            13 => match self.below(2) {
                0 => one(Fault::StoreDown, Fault::StoreUp),
                _ => one(Fault::CutStore(region), Fault::HealStore),
            },
            14 => match self.below(3) {
                0 => (vec![Fault::LeaderGone], None),
                1 => one(Fault::StoreSlow(Duration::from_millis(20 + self.below(700) as u64)), {
                    Fault::StoreSlow(Duration::ZERO)
                }),
                _ => one(Fault::Noise(1 + self.below(20) as u64), Fault::Noise(0)),
            },
            15 => {
                let by = Duration::from_millis(5 + self.below(400) as u64);
                let other = self.region();
                one(Fault::Delay(region, other, by), Fault::Heal)
            }
            16 => {
                let factor = 2 + u32::try_from(self.below(8)).expect("small");
                one(Fault::SlowDisk(region.clone(), factor), Fault::SlowDisk(region, 1))
            }
            17 => one(Fault::FullDisk(region.clone()), Fault::FreeDisk(region)),
            18 => match self.below(2) {
                0 => (vec![Fault::Drift(region, self.below(80_000) as i64 - 40_000)], None),
                _ => (vec![Fault::WallClock(region, self.below(7_200_000) as i64 - 3_600_000)], None),
            },
            _ => (vec![self.person(region)], None),
        };
        Incident { at, faults, mended }
    }

    /// Two regions reach each other and nobody else.
    fn island(&mut self, region: RegionId) -> Vec<Fault> {
        let other = self.region();
        let mainland = self.regions.iter().filter(|place| **place != region && **place != other);
        let both = [region.clone(), other.clone()];
        mainland
            .flat_map(|place| {
                both.iter()
                    .flat_map(move |of| [Fault::Cut(of.clone(), place.clone()), Fault::Cut(place.clone(), of.clone())])
            })
            .collect()
    }

    /// A region loses the store and goes on by promises; then it is cut off, with another or alone, and a node that promised starts anew.
    fn without_store(&mut self, at: Moment) -> Vec<Incident> {
        let (region, restarted) = (self.region(), self.region());
        let long = Duration::from_millis(9_000 + self.below(6_000) as u64);
        let then = at + Duration::from_millis(3_000 + self.below(3_000) as u64);
        let rest = long.saturating_sub(then.since(at));
        let alone = self.below(2) == 0;
        let faults = if alone { vec![Fault::Isolate(region.clone())] } else { self.island(region.clone()) };
        let mut incidents = vec![
            Incident { at, faults: vec![Fault::CutStore(region)], mended: Some((long, Fault::HealStore)) },
            Incident { at: then, faults, mended: Some((rest, Fault::Heal)) },
        ];
        if alone {
            let start = Fault::StartNode(restarted.clone());
            let soon = Duration::from_millis(20 + self.below(300) as u64);
            incidents.push(Incident {
                at: then,
                faults: vec![Fault::KillNode(restarted)],
                mended: Some((soon, start)),
            });
        }
        incidents
    }

    fn kill_server(&mut self) -> Fault {
        let (database, place) = self.copy();
        Fault::KillServer(place, database)
    }

    fn copy(&mut self) -> (ComponentId, RegionId) {
        let at = self.below(self.databases.len());
        let place = self.below(self.databases[at].1.len());
        (self.databases[at].0.clone(), self.databases[at].1[place].clone())
    }

    fn person(&mut self, region: RegionId) -> Fault {
        let (database, to) = self.copy();
        let intent = if self.below(2) == 0 { Intent::Failover } else { Intent::Switchover };
        let accept_loss = self.below(6) == 0;
        let request = Request {
            intent,
            to: Some(to),
            accept_loss,
            vouch: false,
            by: "a person".into(),
            token: None,
            approved: BTreeSet::new(),
        };
        Fault::Person(region, database, request)
    }
}
