//! The world around the brains: machines with clocks that drift, a network that can be cut, servers, clients, and what happens next.
//!
//! There are two ways through a history, with the same outcome. The *slow* one lets everything happen and asks every check after every
//! event. The *fast* one leaves out what is known to change nothing (a good probe of what is seen well, a report that says what was
//! said before) and asks a check where something that it is about has changed. What may be left out draws its chances from the seed and
//! its own number ([`World::dice`]), so that the chances of the rest stay the same.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_control::event::StoreFailure;
use lifeboat_control::health::Evidence;
use lifeboat_control::record::DatabaseRecord;
use lifeboat_control::{Brain, Event};
use lifeboat_model::app::Component;
use lifeboat_model::database::Order;
use lifeboat_model::state::{LeaseId, Transaction};
use lifeboat_model::{App, ComponentId, Epoch, Moment, RegionId};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

mod faults;
mod known;
mod network;
mod node;
mod peers;
mod probing;
mod reports;
mod serving;
mod storing;

use self::network::Network;
use self::peers::Asked;
use self::probing::Chain;
use self::reports::Reporter;
use crate::check::{Broken, Ledger};
use crate::clock::Clocks;
use crate::cluster::{Cluster, StoreKind};
pub use crate::fault::{Broke, Fault};
use crate::history::Incident;
use crate::provoke::Provoker;
use crate::queue::Queue;
use crate::refinement::Refinement;
use crate::server::{Server, WriteId};
use crate::store::Store;

/// A region by its place among all, in the order of their names.
pub type RegionIndex = usize;
/// A database by its place among those of all apps.
pub type DatabaseIndex = usize;
/// A node: one app's in one region, `app * regions + region`.
type NodeIndex = usize;
/// A copy: one database's in one region, `database * regions + region`.
type CopyIndex = usize;

/// Which way through a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// What is known to change nothing is left out.
    Fast,
    /// Everything happens, and every check is asked after every event.
    Slow,
}

#[derive(Debug)]
enum Happening {
    Deliver(NodeIndex, u64, Box<Event>),
    Reading(NodeIndex, u64, usize, Evidence),
    Renewed(NodeIndex, u64, Result<(), StoreFailure>),
    Wake(NodeIndex, u64),
    Probe(NodeIndex, u64, usize, u64),
    Renew(NodeIndex, u64, LeaseId),
    Call(NodeIndex, u64, Box<Call>),
    Late(usize, Box<Transaction>),
    Asked(u64, Box<Event>),
    Watch(NodeIndex, u64),
    Report(CopyIndex, u64),
    OrderEnds(CopyIndex, u64, Box<Order>),
    Writes(DatabaseIndex, u64),
    Busy(Moment),
    Ship { database: DatabaseIndex, from: RegionIndex, to: RegionIndex },
    Confirmed { database: DatabaseIndex, by: RegionIndex, to: RegionIndex, timeline: u32, length: usize },
    Acknowledge(CopyIndex),
    LeasesEnd(usize),
    Elect,
    Look(DatabaseIndex),
    Fault(Box<Fault>),
}

/// What is asked of the store.
#[derive(Debug)]
enum Call {
    Transact(Transaction),
    Grant(Duration),
    List,
}

/// A duplicate of an order, which nobody waits for.
const DUPLICATE: u64 = u64::MAX;

#[derive(Debug)]
struct Node {
    brain: Option<Brain>,
    incarnation: u64,
    frozen: bool,
    /// What waits for it while it stands still.
    inbox: VecDeque<Event>,
    /// How far in the store's log it has read.
    read: usize,
    watching: bool,
    wake: Moment,
    /// What its brain's clock showed last.
    told: Moment,
    /// A member of the store that kept silent, and until when it is asked last.
    passed_over: Option<(RegionIndex, Moment)>,
    chains: Vec<Chain>,
}

/// A machine: what all apps of a region share.
#[derive(Debug)]
struct Machine {
    clocks: Clocks,
    /// Its member of the store runs.
    member_up: bool,
    member_frozen: bool,
    disk_full: bool,
    disk_slowness: u32,
}

#[derive(Debug)]
struct Database {
    app: usize,
    id: ComponentId,
    component: Component,
    /// Where copies are kept: the writer's region and the standbys'.
    copies: Vec<RegionIndex>,
    record: Option<DatabaseRecord>,
    /// The epochs whose claim the journal explains.
    explained: Vec<Epoch>,
    /// Something that the checks are about has changed.
    dirty: bool,
    /// A [`Happening::Look`] is on its way.
    look_at: Option<Moment>,
    /// Tells the newest [`Happening::Writes`] from older ones.
    writes: u64,
}

/// The whole simulated world.
#[derive(Debug)]
pub struct World {
    /// What was acknowledged, by database.
    pub ledgers: Vec<Ledger>,
    /// What happened, when that is recorded.
    pub trace: Option<Vec<String>>,
    /// What was decided: every command of every brain with its moment, when that is recorded.
    pub decisions: Option<Vec<String>>,
    /// Looks at every change, where the history has to be one of the model's too.
    pub refinements: Vec<Refinement>,
    /// Makes things go wrong at bad moments.
    pub provoker: Option<Provoker>,
    /// Events taken so far.
    pub steps: u64,
    /// Epochs claimed so far, over all databases.
    pub claims: usize,
    apps: Vec<Arc<App>>,
    regions: Vec<RegionId>,
    databases: Vec<Database>,
    dirty: Vec<DatabaseIndex>,
    now: Moment,
    queue: Queue<Happening>,
    seed: u64,
    rng: ChaCha8Rng,
    machines: Vec<Machine>,
    nodes: Vec<Node>,
    servers: Vec<Server>,
    reporters: Vec<Reporter>,
    stores: Vec<Store>,
    cluster: Cluster,
    store_up: bool,
    store_cut: Vec<bool>,
    store_slow: Duration,
    network: Network,
    noise: u64,
    /// Clients write often until then.
    busy_until: Moment,
    always_busy: bool,
    /// Who could acknowledge when the store went, for L2; nothing else has happened since.
    served_without_store: Vec<(DatabaseIndex, RegionIndex)>,
    undisturbed_since: Moment,
    next_write: WriteId,
    questions: Vec<Asked>,
    broke: Option<Broke>,
    broken: Option<Broken>,
    way: Way,
}

/// For how long before and after a fault clients write often.
const BUSY_BEFORE: Duration = Duration::from_secs(2);
const BUSY_AFTER: Duration = Duration::from_secs(15);

impl World {
    /// A fleet of one app with a store in one file, in which nothing runs yet; every node starts within the first second.
    pub fn new(app: Arc<App>, seed: u64, broke: Option<Broke>) -> Self {
        Self::fleet(vec![app], StoreKind::File, seed, broke, Way::Fast)
    }

    /// A fleet of apps that share regions, links and a store. Their databases have different names, their regions the same.
    pub fn fleet(apps: Vec<Arc<App>>, kind: StoreKind, seed: u64, broke: Option<Broke>, way: Way) -> Self {
        let regions: Vec<RegionId> = apps[0].regions.keys().cloned().collect();
        let databases: Vec<Database> =
            apps.iter().enumerate().flat_map(|(app, file)| databases_of(app, file, &regions)).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let machines: Vec<Machine> = regions
            .iter()
            .map(|_| {
                let mut clocks = Clocks::default();
                clocks.set_drift(Moment(0), i64::try_from(rng.next_u64() % 40_000).expect("a small number") - 20_000);
                Machine { clocks, member_up: true, member_frozen: false, disk_full: false, disk_slowness: 1 }
            })
            .collect();
        let cluster = Cluster::new(kind, regions.len());
        let mut world = Self {
            ledgers: databases.iter().map(|_| Ledger::default()).collect(),
            trace: None,
            refinements: Vec::new(),
            provoker: None,
            decisions: None,
            steps: 0,
            claims: 0,
            dirty: Vec::new(),
            now: Moment(0),
            queue: Queue::new(),
            seed,
            rng,
            machines,
            nodes: (0..apps.len() * regions.len()).map(|_| Node::default()).collect(),
            servers: (0..databases.len() * regions.len()).map(|_| Server::default()).collect(),
            reporters: (0..databases.len() * regions.len()).map(|_| Reporter::default()).collect(),
            stores: apps.iter().map(|_| Store::new(cluster.leases())).collect(),
            cluster,
            store_up: true,
            store_cut: vec![false; regions.len()],
            store_slow: Duration::ZERO,
            network: Network::new(regions.len()),
            noise: 0,
            busy_until: Moment(0) + Duration::from_secs(30),
            always_busy: false,
            served_without_store: Vec::new(),
            undisturbed_since: Moment(0),
            next_write: 0,
            questions: Vec::new(),
            broke,
            broken: None,
            way,
            apps,
            regions,
            databases,
        };
        world.review_cluster();
        for region in 0..world.regions.len() {
            let after = world.random(1_000);
            let start = Fault::StartNode(world.regions[region].clone());
            world.after(after, Happening::Fault(Box::new(start)));
        }
        for database in 0..world.databases.len() {
            world.after(Duration::from_millis(1_500), Happening::Writes(database, 0));
        }
        world
    }

    /// Lets a fault happen at a moment.
    pub fn schedule(&mut self, at: Moment, fault: Fault) {
        self.at(at - BUSY_BEFORE, Happening::Busy(at + BUSY_AFTER));
        self.at(at, Happening::Fault(Box::new(fault)));
    }

    /// A bad moment: something has just happened in a region, which concerns a database.
    fn provoke(&mut self, region: RegionIndex, database: DatabaseIndex) {
        let (region, database) = (&self.regions[region], &self.databases[database].id);
        let incident = self.provoker.as_mut().and_then(|provoker| provoker.provoke(self.now, region, database));
        let Some(Incident { at, faults, mended }) = incident.cloned() else { return };
        for fault in faults {
            self.schedule(at, fault);
        }
        if let Some((after, mend)) = mended {
            self.schedule(at + after, mend);
        }
    }

    /// Clients write often all the time, not only around faults.
    pub fn keep_busy(&mut self) {
        self.always_busy = true;
    }

    /// The world's own time; every machine reads its own.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// Goes on until `until`; every promise is checked after every event that can break it.
    ///
    /// # Errors
    /// The first promise that was broken.
    pub fn run(&mut self, until: Moment) -> Result<(), Broken> {
        while let Some((at, happening)) = self.queue.take(until) {
            self.now = at.max(self.now);
            self.steps += 1;
            self.happen(happening);
            match self.way {
                Way::Slow => {
                    self.dirty.clear();
                    for database in 0..self.databases.len() {
                        self.databases[database].dirty = false;
                        self.check_moment(database);
                        self.check_everything(database);
                    }
                }
                Way::Fast => {
                    while let Some(database) = self.dirty.pop() {
                        self.databases[database].dirty = false;
                        self.check_moment(database);
                    }
                }
            }
            self.refine();
            if let Some(broken) = self.broken.take() {
                self.say(|| broken.to_string());
                return Err(broken);
            }
        }
        self.now = until;
        Ok(())
    }

    /// Where the history has to be one of the protocol's model too: asks whether what has just changed is.
    fn refine(&mut self) {
        let mut refinements = std::mem::take(&mut self.refinements);
        for refinement in &mut refinements {
            if let Err(how) = refinement.look(self) {
                self.breaks("protocol", || how);
            }
        }
        self.refinements = refinements;
    }

    /// Notes a promise as broken; the first counts.
    pub(crate) fn breaks(&mut self, promise: &'static str, how: impl FnOnce() -> String) {
        if self.broken.is_none() {
            self.broken = Some(Broken { promise, how: how() });
        }
    }

    // --- time and chance ---

    fn random(&mut self, millis: u64) -> Duration {
        Duration::from_micros(self.rng.next_u64() % (millis * 1_000).max(1))
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.rng.next_u64() % 100 < percent
    }

    /// A chance that belongs to the `number`th of a kind of thing, whatever else has happened.
    fn dice(&self, kind: u64, number: u64) -> u64 {
        let mut x = self.seed ^ kind.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number.wrapping_mul(0xD1B5_4A32_D192_ED03);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    fn after(&mut self, wait: Duration, happening: Happening) {
        self.at(self.now + wait, happening);
    }

    fn at(&mut self, at: Moment, happening: Happening) {
        let urgent = matches!(happening, Happening::Wake(..));
        self.queue.put(at, urgent, happening);
    }

    pub(crate) fn say(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{} {}", self.now, what()));
        }
    }

    /// Something that reports and checks of a database are about has changed.
    fn touch(&mut self, database: DatabaseIndex) {
        self.soil(database);
        for at in 0..self.databases[database].copies.len() {
            let region = self.databases[database].copies[at];
            self.wake_reporter(self.copy(database, region));
        }
    }

    /// Something that checks of a database are about has changed.
    fn soil(&mut self, database: DatabaseIndex) {
        if !self.databases[database].dirty {
            self.databases[database].dirty = true;
            self.dirty.push(database);
        }
    }

    fn touch_all(&mut self) {
        for database in 0..self.databases.len() {
            self.touch(database);
        }
    }

    /// Sees to it that a database is looked at again by then, whatever happens.
    pub(crate) fn look_by(&mut self, database: DatabaseIndex, at: Moment) {
        if self.databases[database].look_at.is_none_or(|known| known <= self.now || at < known) {
            self.databases[database].look_at = Some(at);
            self.at(at, Happening::Look(database));
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Deliver(node, incarnation, event) => {
                if self.nodes[node].incarnation == incarnation {
                    self.feed(node, *event);
                }
            }
            Happening::Reading(node, incarnation, chain, evidence) => {
                self.take_reading(node, incarnation, chain, evidence);
            }
            Happening::Renewed(node, incarnation, result) => {
                if self.nodes[node].incarnation == incarnation {
                    self.feed(node, Event::Renewed(result));
                }
            }
            Happening::Wake(node, incarnation) => self.wake(node, incarnation),
            Happening::Probe(node, incarnation, chain, number) => self.probe(node, incarnation, chain, number),
            Happening::Renew(node, incarnation, lease) => self.renew(node, incarnation, lease),
            Happening::Call(node, incarnation, call) => self.call(node, incarnation, *call),
            Happening::Late(app, transaction) => self.execute_late(app, &transaction),
            Happening::Asked(ticket, event) => self.take_question(ticket, *event),
            Happening::Watch(node, incarnation) => self.watch(node, incarnation),
            Happening::Report(copy, number) => self.report_in_turn(copy, number),
            Happening::OrderEnds(copy, incarnation, order) => self.end_order(copy, incarnation, &order),
            Happening::Writes(database, turn) => self.client_writes(database, turn),
            Happening::Busy(until) => self.make_busy(until),
            Happening::Ship { database, from, to } => self.ship(database, from, to),
            Happening::Confirmed { database, by, to, timeline, length } => {
                self.take_confirmation(database, by, to, timeline, length);
            }
            Happening::Acknowledge(copy) => self.acknowledge(copy / self.regions.len(), copy % self.regions.len()),
            Happening::LeasesEnd(app) => self.end_leases(app),
            Happening::Elect => self.elect(),
            Happening::Look(database) => {
                if self.databases[database].look_at.is_some_and(|at| at <= self.now) {
                    self.databases[database].look_at = None;
                }
                self.soil(database);
            }
            Happening::Fault(fault) => {
                self.say(|| format!("fault: {fault:?}"));
                self.suffer(*fault);
            }
        }
    }
}

fn databases_of(app: usize, file: &App, regions: &[RegionId]) -> Vec<Database> {
    file.databases()
        .map(|(id, component)| Database {
            app,
            id: id.clone(),
            component: component.clone(),
            copies: (0..regions.len())
                .filter(|at| {
                    let region = &regions[*at];
                    component.writer.as_ref() == Some(region) || component.standbys.contains_key(region)
                })
                .collect(),
            record: None,
            explained: Vec::new(),
            dirty: false,
            look_at: None,
            writes: 0,
        })
        .collect()
}
