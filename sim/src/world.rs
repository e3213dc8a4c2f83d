//! The world around the brains: machines with clocks that drift, a network that can be cut, servers, clients, and what happens next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use lifeboat_control::event::StoreFailure;
use lifeboat_control::health::{Evidence, Target, What};
use lifeboat_control::record::{self, DatabaseRecord, Request};
use lifeboat_control::{Brain, Clock, Command, Event, Mutation};
use lifeboat_model::App;
use lifeboat_model::database::{Action, Follower, Gate, Lsn, Order};
use lifeboat_model::journal::{EntryKind, JournalEntry};
use lifeboat_model::state::{Change, Outcome, Transaction, Write};
use lifeboat_model::{ComponentId, Epoch, Moment, RegionId};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

mod asking;
mod faults;
mod network;
mod node;
mod serving;
mod storing;

use crate::check::{Broken, Ledger};
use crate::refinement::Refinement;
use crate::server::{Server, WriteId};
use crate::store::{LeaseGone, Store};

/// Something that goes wrong, or is mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A region's node and servers are killed.
    KillRegion(RegionId),
    /// Only its node.
    KillNode(RegionId),
    /// Only one server.
    KillServer(RegionId, ComponentId),
    /// Its node starts again.
    StartNode(RegionId),
    /// Its node and servers stand still.
    Freeze(RegionId),
    /// Only its node does.
    FreezeNode(RegionId),
    /// All of it goes on.
    Thaw(RegionId),
    /// Nothing gets from the first to the second.
    Cut(RegionId, RegionId),
    /// A region reaches nobody, the store neither.
    Isolate(RegionId),
    /// All links are whole.
    Heal,
    /// The store answers nobody.
    StoreDown,
    /// It does again.
    StoreUp,
    /// A person asks a node for something.
    Person(RegionId, ComponentId, Request),
}

/// A duty of the caller or of a driver that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broke {
    /// A rule of the brain.
    Brain(Mutation),
    /// Drivers carry out orders of older epochs.
    DriverIgnoresEpoch,
    /// The commit gate goes on confirming when its time has run out, and when it is told to stop.
    GateIgnoresTime,
    /// The store lets a lease go after half its length: clocks that do not agree on how long a second is.
    LeaseTooShort,
}

#[derive(Debug)]
enum Happening {
    Deliver(RegionId, u64, Box<Event>),
    Wake(RegionId, u64),
    Probe(RegionId, u64, Target),
    Call(RegionId, u64, Call),
    Watch(RegionId, u64),
    Report(RegionId, ComponentId),
    OrderEnds(RegionId, u64, ComponentId, Order),
    ClientWrites(ComponentId),
    Ship { database: ComponentId, from: RegionId, to: RegionId },
    Confirmed { database: ComponentId, by: RegionId, to: RegionId, timeline: u32, length: usize },
    Beat,
    Fault(Fault),
    Asked(RegionId, u64, lifeboat_control::promise::Question),
}

#[derive(Debug)]
enum Call {
    Transact(Transaction),
    Grant(Duration),
    Renew(lifeboat_model::state::LeaseId),
    List,
}

#[derive(Debug)]
struct Node {
    brain: Option<Brain>,
    incarnation: u64,
    frozen: bool,
    /// How much faster its clock runs, in parts per million.
    drift: i64,
    /// What waits for it while it stands still.
    inbox: VecDeque<Event>,
    /// How far in the store's log it has read.
    read: usize,
    watching: bool,
    wake: Moment,
}

/// The whole simulated world.
#[derive(Debug)]
pub struct World {
    /// What the file declares.
    pub app: Arc<App>,
    /// What was acknowledged, by database.
    pub ledgers: BTreeMap<ComponentId, Ledger>,
    /// A person has accepted losses.
    pub loss_was_accepted: bool,
    /// A person has asked for a failover.
    pub was_asked: bool,
    /// What happened, when that is recorded.
    pub trace: Option<Vec<String>>,
    /// Looks at every change, where the history has to be one of the model's too.
    pub refinements: Vec<Refinement>,
    /// Events taken so far.
    pub steps: u64,
    /// Epochs claimed so far, over all databases.
    pub claims: usize,
    now: Moment,
    queue: BinaryHeap<Reverse<(Moment, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    sequence: u64,
    rng: ChaCha8Rng,
    nodes: BTreeMap<RegionId, Node>,
    servers: BTreeMap<(RegionId, ComponentId), Server>,
    store: Store,
    store_up: bool,
    cut: BTreeSet<(RegionId, RegionId)>,
    isolated: BTreeSet<RegionId>,
    explained: BTreeSet<(ComponentId, Epoch)>,
    asked: BTreeMap<u64, asking::Asked>,
    tickets: u64,
    /// When a node last had a bad reading of anything in another region.
    bad_readings: BTreeMap<(RegionId, RegionId), Moment>,
    records: BTreeMap<ComponentId, DatabaseRecord>,
    next_write: WriteId,
    broke: Option<Broke>,
    calm: bool,
}

impl World {
    /// A fleet in which nothing runs yet; every node starts within the first second.
    pub fn new(app: Arc<App>, seed: u64, broke: Option<Broke>) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let nodes = app
            .regions
            .keys()
            .map(|region| {
                let drift = i64::try_from(rng.next_u64() % 40_000).expect("a small number") - 20_000;
                let node = Node {
                    brain: None,
                    incarnation: 0,
                    frozen: false,
                    drift,
                    inbox: VecDeque::new(),
                    read: 0,
                    watching: false,
                    wake: Moment(0),
                };
                (region.clone(), node)
            })
            .collect();
        let databases: Vec<ComponentId> = app.databases().map(|(id, _)| id.clone()).collect();
        let servers = app
            .data_regions()
            .flat_map(|region| {
                databases.iter().map(move |database| ((region.clone(), database.clone()), Server::default()))
            })
            .collect();
        let mut world = Self {
            ledgers: databases.iter().map(|database| (database.clone(), Ledger::default())).collect(),
            loss_was_accepted: false,
            was_asked: false,
            trace: None,
            refinements: Vec::new(),
            steps: 0,
            claims: 0,
            now: Moment(0),
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            sequence: 0,
            rng,
            nodes,
            servers,
            store: Store::default(),
            store_up: true,
            cut: BTreeSet::new(),
            isolated: BTreeSet::new(),
            explained: BTreeSet::new(),
            asked: BTreeMap::new(),
            tickets: 0,
            bad_readings: BTreeMap::new(),
            records: BTreeMap::new(),
            next_write: 0,
            broke,
            calm: false,
            app,
        };
        for region in world.app.regions.keys().cloned().collect::<Vec<_>>() {
            let after = world.random(1_000);
            world.after(after, Happening::Fault(Fault::StartNode(region)));
        }
        for database in databases {
            world.after(Duration::from_millis(1_500), Happening::ClientWrites(database));
        }
        world.after(Duration::from_millis(250), Happening::Beat);
        world
    }

    /// Lets a fault happen at a moment.
    pub fn schedule(&mut self, at: Moment, fault: Fault) {
        self.at(at, Happening::Fault(fault));
    }

    /// From now on no answers are lost and nothing is done twice.
    pub fn calm_down(&mut self) {
        self.calm = true;
    }

    /// The world's own time; every machine reads its own.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// Goes on until `until`; every promise is checked after every event.
    ///
    /// # Errors
    /// The first promise that was broken.
    pub fn run(&mut self, until: Moment) -> Result<(), Broken> {
        while let Some(Reverse((at, number))) = self.queue.peek().copied() {
            if at > until {
                break;
            }
            self.queue.pop();
            self.now = at;
            let Some(happening) = self.happenings.remove(&number) else { continue };
            self.steps += 1;
            // A probe that is sent changes nothing that a promise is about.
            let matters = !matches!(happening, Happening::Probe(..));
            self.happen(happening)?;
            if matters {
                for database in self.ledgers.keys() {
                    self.check_moment(database)?;
                }
                self.check_progress()?;
                let mut refinements = std::mem::take(&mut self.refinements);
                let looked = refinements.iter_mut().try_for_each(|refinement| refinement.look(self));
                self.refinements = refinements;
                looked?;
            }
        }
        self.now = until;
        Ok(())
    }

    /// The regions that keep data.
    pub fn data_regions(&self) -> impl Iterator<Item = &RegionId> {
        self.app.data_regions()
    }

    /// A region's server.
    pub fn server(&self, region: &RegionId, database: &ComponentId) -> &Server {
        &self.servers[&(region.clone(), database.clone())]
    }

    /// The database's record as the store has it.
    pub fn record(&self, database: &ComponentId) -> Option<DatabaseRecord> {
        self.records.get(database).cloned()
    }

    /// What the state store keeps.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Whether the journal has a reason for an epoch.
    pub fn journal_explains(&self, database: &ComponentId, epoch: Epoch) -> bool {
        self.explained.contains(&(database.clone(), epoch))
    }

    /// Whether writing must be possible soon: the store answers, a majority of the nodes lives and reaches each other, and among
    /// them is a region that holds everything.
    pub fn ought_to_serve(&self, database: &ComponentId) -> bool {
        let well = |region: &RegionId| {
            let node = &self.nodes[region];
            node.brain.is_some() && !node.frozen && !self.isolated.contains(region)
        };
        let together: Vec<&RegionId> = self
            .app
            .regions
            .keys()
            .filter(|region| well(region))
            .filter(|region| {
                self.app
                    .regions
                    .keys()
                    .filter(|other| well(other))
                    .all(|o| self.linked(region, o) && self.linked(o, region))
            })
            .collect();
        let standing = |region: &RegionId| {
            self.servers.get(&(region.clone(), database.clone())).is_some_and(|s| s.exists && !s.frozen)
        };
        self.store_up
            && together.len() > self.app.regions.len() / 2
            && self
                .records
                .get(database)
                .is_some_and(|record| record.holders.iter().any(|r| together.contains(&r) && standing(r)))
    }

    /// How many nodes outside a region have had a bad reading of it lately, and how many there are.
    pub fn doubters(&self, of: &RegionId) -> (usize, usize) {
        let lately = |seen: &Moment| self.now.since(*seen) < Duration::from_secs(20);
        let outside = self.app.regions.keys().filter(|region| *region != of);
        let doubting = outside
            .clone()
            .filter(|region| self.bad_readings.get(&((*region).clone(), of.clone())).is_some_and(lately));
        (doubting.count(), outside.count())
    }

    fn local(&self, region: &RegionId) -> Clock {
        let drift = self.nodes[region].drift;
        let now = i128::from(self.now.0) * i128::from(1_000_000 + drift) / 1_000_000;
        Clock { now: Moment(u64::try_from(now).unwrap_or(0)), unix_ms: self.now.0 / 1_000_000 }
    }

    fn random(&mut self, millis: u64) -> Duration {
        Duration::from_micros(self.rng.next_u64() % (millis * 1_000).max(1))
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.rng.next_u64() % 100 < percent
    }

    fn after(&mut self, wait: Duration, happening: Happening) {
        self.at(self.now + wait, happening);
    }

    fn at(&mut self, at: Moment, happening: Happening) {
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence)));
        self.happenings.insert(self.sequence, happening);
    }

    fn say(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{} {}", self.now, what()));
        }
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Broken> {
        match happening {
            Happening::Deliver(region, incarnation, event) => {
                if self.nodes[&region].incarnation == incarnation {
                    self.feed(&region, *event);
                }
                Ok(())
            }
            Happening::Wake(region, incarnation) => {
                if self.nodes[&region].incarnation == incarnation && !self.nodes[&region].frozen {
                    self.feed(&region, Event::Tick);
                }
                Ok(())
            }
            Happening::Probe(region, incarnation, target) => {
                self.probe(&region, incarnation, target);
                Ok(())
            }
            Happening::Asked(region, ticket, question) => {
                self.take_question(&region, ticket, question);
                Ok(())
            }
            Happening::Call(region, incarnation, call) => self.call(&region, incarnation, call),
            Happening::Watch(region, incarnation) => {
                self.watch(&region, incarnation);
                Ok(())
            }
            Happening::Report(region, database) => {
                self.report(&region, &database);
                Ok(())
            }
            Happening::OrderEnds(region, incarnation, database, order) => {
                self.end_order(&region, incarnation, &database, order)
            }
            Happening::ClientWrites(database) => self.client_writes(&database),
            Happening::Ship { database, from, to } => self.ship(&database, &from, &to),
            Happening::Confirmed { database, by, to, timeline, length } => {
                let linked = self.linked(&by, &to);
                let server = self.servers.get_mut(&(to.clone(), database.clone())).expect("servers are never removed");
                if linked && server.lives() && server.primary && server.timeline == timeline {
                    let known = server.confirmed.entry(by).or_default();
                    *known = length.max(*known);
                }
                self.acknowledge(&database, &to)
            }
            Happening::Beat => self.beat(),
            Happening::Fault(fault) => {
                self.say(|| format!("fault: {fault:?}"));
                self.suffer(fault);
                Ok(())
            }
        }
    }
}
