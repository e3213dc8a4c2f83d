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

use crate::check::{Broken, Ledger};
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

    /// Whether a write that began now could be acknowledged if nothing else happened.
    pub fn can_acknowledge(&self, region: &RegionId, database: &ComponentId) -> bool {
        let server = self.server(region, database);
        if !server.lives() || !server.primary {
            return false;
        }
        match &server.gate {
            Gate::Node => self.gate_confirms(region, server),
            Gate::Peers { needed, named } => {
                named.iter().filter(|peer| self.streams(database, region, peer)).count() >= *needed
            }
        }
    }

    fn gate_confirms(&self, region: &RegionId, server: &Server) -> bool {
        let node = &self.nodes[region];
        if node.brain.is_none() || node.frozen {
            return false;
        }
        let in_time = |until| self.local(region).now < until || self.broke == Some(Broke::GateIgnoresTime);
        server.may_confirm.is_some_and(|(epoch, until)| in_time(until) && epoch == server.epoch)
    }

    fn streams(&self, database: &ComponentId, from: &RegionId, to: &RegionId) -> bool {
        let (primary, standby) = (self.server(from, database), self.server(to, database));
        primary.lives()
            && primary.primary
            && standby.lives()
            && !standby.primary
            && standby.follows.as_ref() == Some(from)
            && self.linked(from, to)
            && self.linked(to, from)
            && standby.is_prefix_of(primary)
    }

    fn linked(&self, from: &RegionId, to: &RegionId) -> bool {
        from == to
            || !self.isolated.contains(from)
                && !self.isolated.contains(to)
                && !self.cut.contains(&(from.clone(), to.clone()))
    }

    fn local(&self, region: &RegionId) -> Clock {
        let drift = self.nodes[region].drift;
        let now = i128::from(self.now.0) * i128::from(1_000_000 + drift) / 1_000_000;
        Clock { now: Moment(u64::try_from(now).unwrap_or(0)), unix_ms: self.now.0 / 1_000_000 }
    }

    // --- time and chance ---

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

    // --- what happens ---

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

    fn feed(&mut self, region: &RegionId, event: Event) {
        let clock = self.local(region);
        let node = self.nodes.get_mut(region).expect("nodes are never removed");
        if node.frozen {
            node.inbox.push_back(event);
            return;
        }
        let Some(brain) = &mut node.brain else { return };
        let commands = brain.step(clock, event);
        let incarnation = node.incarnation;
        let wait = brain.wake_at().since(clock.now).max(Duration::from_millis(1));
        let wake = self.now + wait;
        if node.wake <= self.now || wake < node.wake {
            node.wake = wake;
            self.at(wake, Happening::Wake(region.clone(), incarnation));
        }
        for command in commands {
            self.obey(region, incarnation, command);
        }
    }

    fn obey(&mut self, region: &RegionId, incarnation: u64, command: Command) {
        let delay = self.random(10);
        let call = |world: &mut Self, call| world.after(delay, Happening::Call(region.clone(), incarnation, call));
        match command {
            Command::Transact(transaction) => call(self, Call::Transact(transaction)),
            Command::Relist => call(self, Call::List),
            Command::Grant(length) => call(self, Call::Grant(length)),
            Command::Renew(lease) => call(self, Call::Renew(lease)),
            Command::Order { component, order } => {
                self.say(|| format!("{region}: ordered {component}: {order:?}"));
                let long = match order.action {
                    Action::Seed { .. } => 5_000,
                    Action::Follow { .. } => 2_000,
                    Action::Create { .. } => 1_000,
                    Action::Promote => 300,
                    Action::Start | Action::Stop { .. } | Action::Checkpoint => 500,
                    Action::SetGate { .. } | Action::Detach => 50,
                };
                let wait = self.random(long);
                // Duplicated, late. A gate is not: drivers are called in the node's own process, one order at a time, and under
                // one epoch gates go back and forth.
                if self.chance(3) && !self.calm && !matches!(order.action, Action::SetGate { .. }) {
                    let later = self.random(5_000);
                    self.after(later, Happening::OrderEnds(region.clone(), u64::MAX, component.clone(), order.clone()));
                }
                self.after(wait, Happening::OrderEnds(region.clone(), incarnation, component, order));
            }
            Command::Confirm { component, epoch, until } => {
                let server =
                    self.servers.get_mut(&(region.clone(), component.clone())).expect("only copies are confirmed");
                if until.is_some() || self.broke != Some(Broke::GateIgnoresTime) {
                    server.may_confirm = until.map(|until| (epoch, until));
                }
                self.after(
                    Duration::ZERO,
                    Happening::Confirmed {
                        database: component,
                        by: region.clone(),
                        to: region.clone(),
                        timeline: 0,
                        length: 0,
                    },
                );
            }
            Command::Journaled(entry) => {
                self.say(|| format!("{}: {:?}: {} ({})", entry.region, entry.kind, entry.what, entry.why))
            }
            Command::Compute { .. } | Command::Serve(_) | Command::Answer { .. } => {}
        }
    }

    fn probe(&mut self, region: &RegionId, incarnation: u64, target: Target) {
        if self.nodes[region].incarnation != incarnation {
            return;
        }
        if !self.nodes[region].frozen {
            let there = &target.region;
            let linked = self.linked(region, there) && self.linked(there, region);
            let (exists, frozen) = match &target.what {
                What::Node => (self.nodes[there].brain.is_some(), self.nodes[there].frozen),
                What::Database(database) => (self.server(there, database).up, self.server(there, database).frozen),
                What::Compute(_) => (true, false),
            };
            let (evidence, took) = match (linked, exists, frozen) {
                (false, _, _) | (true, true, true) => (Evidence::Silent, self.app.detection.timeout),
                (true, false, _) => (Evidence::Refused, self.random(5)),
                (true, true, false) => (Evidence::Ok, self.random(5)),
            };
            if evidence != Evidence::Ok {
                self.bad_readings.insert((region.clone(), there.clone()), self.now + took);
            }
            let event = Event::Reading { target: target.clone(), evidence };
            self.after(took, Happening::Deliver(region.clone(), incarnation, Box::new(event)));
        }
        let every = self.app.detection.every;
        let jitter = self.random(50);
        self.after(every + jitter, Happening::Probe(region.clone(), incarnation, target));
    }

    // --- the store ---

    fn call(&mut self, region: &RegionId, incarnation: u64, call: Call) -> Result<(), Broken> {
        let node = &self.nodes[region];
        if node.incarnation != incarnation {
            return Ok(());
        }
        let reachable = self.store_up && !self.isolated.contains(region);
        let lost = !self.calm && self.chance(2);
        let now = self.store_time();
        let answer = |world: &mut Self, event| {
            let wait = if reachable && !lost { world.random(10) } else { Duration::from_millis(500) };
            world.after(wait, Happening::Deliver(region.clone(), incarnation, Box::new(event)));
        };
        let executed = reachable && !(lost && self.chance(50));
        let failure = if reachable { StoreFailure::Unknown } else { StoreFailure::NotExecuted };
        match call {
            Call::Transact(transaction) => {
                let result = if executed { self.store.transact(now, &transaction) } else { Ok(Outcome::Conflict) };
                if let Ok(Outcome::Committed(_)) = result {
                    self.committed(&transaction);
                }
                let told = match result {
                    _ if !executed || lost => Err(failure),
                    Ok(outcome) => Ok(outcome),
                    Err(LeaseGone) => Err(StoreFailure::LeaseGone),
                };
                answer(self, Event::Transacted(told));
                self.wake_watchers();
                for database in self.ledgers.keys().cloned().collect::<Vec<_>>() {
                    self.check_record(&database)?;
                }
            }
            Call::Grant(length) => {
                let length = if self.broke == Some(Broke::LeaseTooShort) { length / 2 } else { length };
                let lease = executed.then(|| self.store.grant(now, length));
                answer(self, Event::Granted(lease.filter(|_| !lost).ok_or(failure)));
            }
            Call::Renew(lease) => {
                let result = if executed { self.store.renew(now, lease) } else { Ok(()) };
                let told = match result {
                    _ if !executed || lost => Err(failure),
                    Ok(()) => Ok(()),
                    Err(LeaseGone) => Err(StoreFailure::LeaseGone),
                };
                answer(self, Event::Renewed(told));
                self.wake_watchers();
            }
            Call::List => {
                if reachable && !lost {
                    self.store.expire(now);
                    let (revision, entries) = self.store.list(record::STATE);
                    let read = self.store.log.len();
                    let node = self.nodes.get_mut(region).expect("nodes are never removed");
                    node.read = read;
                    answer(self, Event::Snapshot { revision, entries });
                } else {
                    self.after(Duration::from_millis(300), Happening::Call(region.clone(), incarnation, Call::List));
                }
            }
        }
        Ok(())
    }

    /// The store's own clock neither drifts nor agrees with anybody's.
    fn store_time(&self) -> Moment {
        self.now
    }

    fn committed(&mut self, transaction: &Transaction) {
        for write in &transaction.then {
            let Write::Put { key, value, .. } = write else { continue };
            if key.starts_with("journal/") {
                if let Ok(entry) = serde_json::from_slice::<JournalEntry>(value)
                    && let (EntryKind::Claim, Some(database), Some(epoch), false) =
                        (entry.kind, entry.component, entry.epoch, entry.why.is_empty())
                {
                    self.explained.insert((database, epoch));
                }
            } else if let Some(database) = key.strip_prefix("state/database/")
                && let Ok(record) = serde_json::from_slice::<DatabaseRecord>(value)
            {
                if self.records.get(database).is_none_or(|before| before.epoch != record.epoch) {
                    self.claims += 1;
                }
                self.say(|| format!("store: {database}: {record:?}"));
                self.records.insert(database.into(), record);
            }
        }
    }

    fn wake_watchers(&mut self) {
        let regions: Vec<(RegionId, u64)> = self
            .nodes
            .iter_mut()
            .filter(|(_, node)| node.brain.is_some() && !node.watching && node.read < self.store.log.len())
            .map(|(region, node)| {
                node.watching = true;
                (region.clone(), node.incarnation)
            })
            .collect();
        for (region, incarnation) in regions {
            let late = if self.chance(5) && !self.calm { 800 } else { 20 };
            let wait = self.random(late);
            self.after(wait, Happening::Watch(region, incarnation));
        }
    }

    fn watch(&mut self, region: &RegionId, incarnation: u64) {
        let reachable = self.store_up && !self.isolated.contains(region);
        let node = self.nodes.get_mut(region).expect("nodes are never removed");
        if node.incarnation != incarnation {
            return;
        }
        if !reachable {
            self.after(Duration::from_millis(300), Happening::Watch(region.clone(), incarnation));
            return;
        }
        node.watching = false;
        let key = |change: &Change| match change {
            Change::Put(entry) => entry.key.clone(),
            Change::Delete { key, .. } => key.clone(),
        };
        let changes: Vec<Change> = self.store.log[node.read..]
            .iter()
            .filter(|change| key(change).starts_with(record::STATE))
            .cloned()
            .collect();
        node.read = self.store.log.len();
        if !changes.is_empty() {
            self.feed(region, Event::Changes(changes));
        }
    }

    // --- servers ---

    fn report(&mut self, region: &RegionId, database: &ComponentId) {
        let node = &self.nodes[region];
        if node.brain.is_none() {
            return;
        }
        let server = self.server(region, database);
        let streams = server.follows.clone().is_some_and(|from| self.streams(database, &from, region));
        let mut followers = BTreeMap::new();
        if server.lives() && server.primary {
            for peer in self.app.data_regions().filter(|peer| *peer != region) {
                if self.streams(database, region, peer) {
                    let confirms = matches!(&server.gate, Gate::Peers { named, .. } if named.contains(peer));
                    let flushed = Lsn(server.confirmed.get(peer).copied().unwrap_or(0) as u64);
                    followers.insert(peer.clone(), Follower { streaming: true, confirms, flushed });
                }
            }
        }
        let state = server.report(self.now, streams, followers);
        let event = Event::Database { component: database.clone(), state };
        self.feed(region, event);
    }

    fn end_order(
        &mut self,
        region: &RegionId,
        incarnation: u64,
        database: &ComponentId,
        order: Order,
    ) -> Result<(), Broken> {
        let alive = self.nodes[region].incarnation == incarnation;
        // The node was killed meanwhile: what it had begun may have ended or not.
        if !alive && incarnation != u64::MAX && self.chance(50) {
            return Ok(());
        }
        let writer = match &order.action {
            Action::Seed { from } | Action::Follow { writer: from }
                if self.linked(region, from) && self.linked(from, region) =>
            {
                Some(self.server(from, database).clone())
            }
            _ => None,
        };
        let checks = self.broke != Some(Broke::DriverIgnoresEpoch);
        let now = self.now;
        let server = self.servers.get_mut(&(region.clone(), database.clone())).expect("only copies are given orders");
        let before = server.epoch;
        let result = server.act(order.epoch, &order.action, writer.as_ref(), checks);
        server.fresh_at = if matches!(order.action, Action::Seed { .. }) { now } else { server.fresh_at };
        let after = server.epoch;
        self.say(|| format!("{region}: {database}: {:?} under {}: {result:?}", order.action, order.epoch));
        if after < before {
            return Err(Broken {
                promise: "S5",
                how: format!("{region}: {database} went from epoch {before} back to {after}"),
            });
        }
        if result.is_ok() && order.epoch < before {
            return Err(Broken {
                promise: "S5",
                how: format!(
                    "{region}: an order of epoch {} changed {database}, where {before} has acted",
                    order.epoch
                ),
            });
        }
        if alive {
            // The newest state first, as the driver does it.
            self.report(region, database);
            self.feed(region, Event::OrderDone { component: database.clone(), result: result.map(|()| None) });
        }
        self.ship_all(database);
        self.acknowledge(database, region)
    }

    fn client_writes(&mut self, database: &ComponentId) -> Result<(), Broken> {
        let primaries: Vec<RegionId> = self
            .app
            .data_regions()
            .filter(|r| self.server(r, database).lives() && self.server(r, database).primary)
            .cloned()
            .collect();
        for region in primaries {
            self.next_write += 1;
            let write = self.next_write;
            let server = self.servers.get_mut(&(region.clone(), database.clone())).expect("servers are never removed");
            server.waiting.push_back((server.wal.len(), write));
            server.wal.push(write);
            self.acknowledge(database, &region)?;
        }
        self.ship_all(database);
        let wait = self.random(400);
        self.after(wait, Happening::ClientWrites(database.clone()));
        Ok(())
    }

    fn ship_all(&mut self, database: &ComponentId) {
        let regions: Vec<RegionId> = self.app.data_regions().cloned().collect();
        for to in &regions {
            let Some(from) = self.server(to, database).follows.clone() else { continue };
            if self.streams(database, &from, to) {
                let wait = self.random(20);
                self.after(wait, Happening::Ship { database: database.clone(), from, to: to.clone() });
            }
        }
    }

    fn ship(&mut self, database: &ComponentId, from: &RegionId, to: &RegionId) -> Result<(), Broken> {
        if !self.streams(database, from, to) {
            return Ok(());
        }
        let primary = self.server(from, database);
        let (timeline, length) = (primary.timeline, primary.wal.len());
        let known = self.server(to, database).wal.len();
        let new: Vec<WriteId> = primary.wal[known..].to_vec();
        let now = self.now;
        let standby = self.servers.get_mut(&(to.clone(), database.clone())).expect("servers are never removed");
        standby.wal.extend(new);
        standby.timeline = timeline;
        standby.fresh_at = now;
        let wait = self.random(20);
        self.after(
            wait,
            Happening::Confirmed { database: database.clone(), by: to.clone(), to: from.clone(), timeline, length },
        );
        Ok(())
    }

    /// Acknowledges what waits and is confirmed.
    fn acknowledge(&mut self, database: &ComponentId, region: &RegionId) -> Result<(), Broken> {
        loop {
            let server = self.server(region, database);
            if !server.lives() || !server.primary {
                return Ok(());
            }
            let Some((place, write)) = server.waiting.front().copied() else { return Ok(()) };
            let confirmed = match &server.gate {
                Gate::Node => self.gate_confirms(region, server),
                Gate::Peers { needed, named } => {
                    named
                        .iter()
                        .filter(|peer| server.confirmed.get(*peer).is_some_and(|length| *length > place))
                        .count()
                        >= *needed
                }
            };
            if !confirmed {
                return Ok(());
            }
            let server = self.servers.get_mut(&(region.clone(), database.clone())).expect("servers are never removed");
            server.waiting.pop_front();
            let now = self.now;
            let ledger = self.ledgers.get_mut(database).expect("every database has a ledger");
            ledger.acknowledged.insert(write, (place, now));
            self.check_acknowledged(database, place, write)?;
        }
    }

    fn beat(&mut self) -> Result<(), Broken> {
        let now = self.store_time();
        self.store.expire(now);
        self.wake_watchers();
        let copies: Vec<(RegionId, ComponentId)> = self.servers.keys().cloned().collect();
        for (region, database) in copies {
            let wait = self.random(200);
            self.after(wait, Happening::Report(region.clone(), database.clone()));
            self.acknowledge(&database, &region)?;
        }
        for database in self.ledgers.keys().cloned().collect::<Vec<_>>() {
            self.ship_all(&database);
        }
        self.after(Duration::from_millis(250), Happening::Beat);
        Ok(())
    }

    // --- faults ---

    fn suffer(&mut self, fault: Fault) {
        match fault {
            Fault::KillRegion(region) => {
                self.kill_node(&region);
                for database in self.ledgers.keys().cloned().collect::<Vec<_>>() {
                    self.kill_server(&region, &database);
                }
            }
            Fault::KillNode(region) => self.kill_node(&region),
            Fault::KillServer(region, database) => self.kill_server(&region, &database),
            Fault::StartNode(region) => self.start_node(&region),
            Fault::Freeze(region) => self.freeze(&region, true, true),
            Fault::FreezeNode(region) => self.freeze(&region, true, false),
            Fault::Thaw(region) => self.freeze(&region, false, true),
            Fault::Cut(from, to) => {
                self.cut.insert((from, to));
            }
            Fault::Isolate(region) => {
                self.isolated.insert(region);
            }
            Fault::Heal => {
                self.cut.clear();
                self.isolated.clear();
            }
            Fault::StoreDown => self.store_up = false,
            Fault::StoreUp => self.store_up = true,
            Fault::Person(region, database, request) => {
                self.loss_was_accepted |= request.accept_loss;
                self.was_asked |= request.intent == lifeboat_plan::Intent::Failover;
                self.feed(&region, Event::Person { ticket: 1, database, request });
            }
        }
    }

    fn kill_node(&mut self, region: &RegionId) {
        self.end_quick_orders(region);
        let node = self.nodes.get_mut(region).expect("nodes are never removed");
        node.brain = None;
        node.incarnation += 1;
        node.frozen = false;
        node.inbox.clear();
        node.watching = false;
        for ((there, _), server) in &mut self.servers {
            if there == region {
                server.may_confirm = None;
            }
        }
    }

    /// What a node's process does itself ends with it, done or not; what a server does by itself goes on.
    fn end_quick_orders(&mut self, region: &RegionId) {
        let incarnation = self.nodes[region].incarnation;
        let quick = |happening: &Happening| {
            matches!(happening, Happening::OrderEnds(there, of, _, order) if there == region && *of == incarnation
                && matches!(order.action, Action::SetGate { .. } | Action::Detach))
        };
        let numbers: Vec<u64> =
            self.happenings.iter().filter(|(_, happening)| quick(happening)).map(|(number, _)| *number).collect();
        for number in numbers {
            if let Some(Happening::OrderEnds(_, _, database, order)) = self.happenings.remove(&number)
                && self.chance(50)
            {
                let checks = self.broke != Some(Broke::DriverIgnoresEpoch);
                let server = self.servers.get_mut(&(region.clone(), database)).expect("only copies are given orders");
                // Refused or done: nobody is left to be told.
                let _told_nobody = server.act(order.epoch, &order.action, None, checks);
            }
        }
    }

    fn kill_server(&mut self, region: &RegionId, database: &ComponentId) {
        if let Some(server) = self.servers.get_mut(&(region.clone(), database.clone())) {
            server.crash();
        }
    }

    fn start_node(&mut self, region: &RegionId) {
        let mutation = match self.broke {
            Some(Broke::Brain(mutation)) => Some(mutation),
            _ => None,
        };
        let node = self.nodes.get_mut(region).expect("nodes are never removed");
        if node.brain.is_some() {
            return;
        }
        let brain = Brain::new(self.app.clone(), region.clone()).with_mutation(mutation);
        let targets = brain.targets();
        node.brain = Some(brain);
        node.incarnation += 1;
        node.read = usize::MAX;
        node.wake = Moment(0);
        let incarnation = node.incarnation;
        self.after(Duration::ZERO, Happening::Wake(region.clone(), incarnation));
        self.after(Duration::ZERO, Happening::Call(region.clone(), incarnation, Call::List));
        for target in targets {
            let wait = self.random(500);
            self.after(wait, Happening::Probe(region.clone(), incarnation, target));
        }
    }

    fn freeze(&mut self, region: &RegionId, frozen: bool, servers_too: bool) {
        if servers_too {
            for ((there, _), server) in &mut self.servers {
                if there == region && server.up {
                    server.frozen = frozen;
                }
            }
        }
        let node = self.nodes.get_mut(region).expect("nodes are never removed");
        if node.brain.is_none() {
            return;
        }
        node.frozen = frozen;
        if !frozen {
            let waiting = std::mem::take(&mut node.inbox);
            node.wake = Moment(0);
            for event in waiting {
                self.feed(region, event);
            }
            self.feed(region, Event::Tick);
        }
    }
}
