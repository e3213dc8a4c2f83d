//! Whether every history of the simulator is also a history of the protocol's model: after every event, what changed has to follow from rules
//! of [`lifeboat_protocol`].
//!
//! The model has few writes, the simulator hundreds: writes that differ in nothing that matters between two moments are taken for
//! one. Moments between which too many kinds of writes remain are counted and not judged.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_control::record::{DatabaseRecord, Origin};
use lifeboat_model::RegionId;
use lifeboat_model::app::WithoutStandby;
use lifeboat_model::database::Gate;
use lifeboat_protocol::config::{Config, Opening, UNBOUNDED};
use lifeboat_protocol::refine::Observed;
use lifeboat_protocol::rules::{Protocol, Step};
use lifeboat_protocol::state::{self as model, Fate, MAX_REGIONS, MAX_WRITES, Made, Regions, Wal};

use crate::server::{Server, WriteId};
use crate::world::{DatabaseIndex, RegionIndex, World};

/// Follows one database through a history.
#[derive(Debug)]
pub struct Refinement {
    database: DatabaseIndex,
    copies: Vec<RegionIndex>,
    /// Their names, in the same order: the model's A, B and so on.
    regions: Vec<RegionId>,
    protocol: Protocol,
    history: Vec<model::Record>,
    last: Option<Seen>,
    marks: [usize; MAX_REGIONS],
    fenced: [u8; MAX_REGIONS],
    /// Changes that follow from rules.
    pub explained: usize,
    /// Changes between which too many kinds of writes remained.
    pub skipped: usize,
    /// How often each kind of step was taken, by its name.
    pub steps: BTreeMap<String, usize>,
}

/// What is there at one moment.
#[derive(Clone, Debug)]
struct Seen {
    record: DatabaseRecord,
    lease: Option<RegionId>,
    servers: Vec<Server>,
    confirms: Vec<bool>,
    acknowledged: BTreeSet<WriteId>,
    /// How many writes were acknowledged, and how many of them given up.
    counts: (usize, usize),
}

impl Refinement {
    /// Of every database of the world whose copies the model has room for.
    pub fn of_all(world: &World) -> Vec<Self> {
        (0..world.databases()).filter_map(|database| Self::new(world, database)).collect()
    }

    fn new(world: &World, database: DatabaseIndex) -> Option<Self> {
        let copies = world.copies(database).to_vec();
        if copies.len() < 2 || copies.len() > MAX_REGIONS {
            return None;
        }
        let component = world.component(database);
        let stops = component.without_standby == WithoutStandby::Stop;
        let config = Config {
            confirmations: component.confirmations.max(1),
            writes: MAX_WRITES as u8,
            epochs: u8::MAX,
            crashes: UNBOUNDED,
            restarts: 0,
            losses: 0,
            opening: if stops { Opening::BehindPeers } else { Opening::Alone },
            ..Config::new(copies.len())
        };
        Some(Self {
            database,
            regions: copies.iter().map(|copy| world.region_name(*copy).clone()).collect(),
            copies,
            protocol: Protocol::new(config),
            history: Vec::new(),
            last: None,
            marks: [0; MAX_REGIONS],
            fenced: [0; MAX_REGIONS],
            explained: 0,
            skipped: 0,
            steps: BTreeMap::new(),
        })
    }

    /// Looks at the world after an event.
    ///
    /// # Errors
    /// A change that follows from no rule.
    pub fn look(&mut self, world: &World) -> Result<(), String> {
        if self.last.as_ref().is_some_and(|last| self.is_as_before(last, world)) {
            return Ok(());
        }
        let Some(after) = self.see(world) else { return Ok(()) };
        let record = self.record(&after.record);
        if self.history.last() != Some(&record) {
            self.history.push(record);
        }
        let Some(before) = self.last.as_ref() else {
            self.last = Some(after);
            return Ok(());
        };
        match self.observe(before, &after) {
            None => self.skipped += 1,
            Some((one, other)) => match self.protocol.allows(&self.history, &one, &other) {
                Ok(steps) => {
                    if let Some((region, epoch)) = self.protocol.fenced_for(&other) {
                        self.fenced[usize::from(region)] = epoch;
                    }
                    self.explained += 1;
                    for step in steps {
                        *self.steps.entry(kind(&step)).or_default() += 1;
                    }
                }
                Err(explanation) => {
                    let name = world.database_name(self.database);
                    return Err(format!("{name}: {explanation} (A is {}, and so on)", self.regions[0]));
                }
            },
        }
        for (place, mark) in self.marks.iter_mut().enumerate().take(self.copies.len()) {
            let (was, is) = (&before.servers[place], &after.servers[place]);
            if was.gate != is.gate || was.epoch != is.epoch || was.primary != is.primary {
                *mark = is.wal.len();
            }
        }
        self.last = Some(after);
        Ok(())
    }

    /// Whether nothing has changed: asked after every event, so nothing is copied for it.
    fn is_as_before(&self, last: &Seen, world: &World) -> bool {
        let ledger = &world.ledgers[self.database];
        ledger.acknowledged.len() == last.counts.0
            && ledger.given_up.len() == last.counts.1
            && world.record_of(self.database) == Some(&last.record)
            && world.lease_of(self.database) == last.lease
            && self.copies.iter().enumerate().all(|(place, region)| {
                *world.server_at(self.database, *region) == last.servers[place]
                    && world.gate_confirms(self.database, *region) == last.confirms[place]
            })
    }

    fn see(&self, world: &World) -> Option<Seen> {
        let record = world.record_of(self.database)?.clone();
        if record.epoch.0 >= u64::from(u8::MAX) {
            return None; // The model counts epochs in a byte.
        }
        let servers: Vec<Server> =
            self.copies.iter().map(|region| world.server_at(self.database, *region).clone()).collect();
        if servers.iter().any(|server| !server.exists) {
            return None; // The model begins when every region has its copy.
        }
        let ledger = &world.ledgers[self.database];
        let kept = ledger.acknowledged.iter().map(|known| known.write);
        Some(Seen {
            record,
            lease: world.lease_of(self.database),
            confirms: self.copies.iter().map(|region| world.gate_confirms(self.database, *region)).collect(),
            acknowledged: kept.filter(|write| !ledger.given_up.contains(write)).collect(),
            counts: (ledger.acknowledged.len(), ledger.given_up.len()),
            servers,
        })
    }

    // --- from the simulator's words to the model's ---

    fn place(&self, region: &RegionId) -> Option<u8> {
        self.regions.iter().position(|known| known == region).and_then(|place| u8::try_from(place).ok())
    }

    fn set<'a>(&self, regions: impl IntoIterator<Item = &'a RegionId>) -> Regions {
        regions.into_iter().filter_map(|region| self.place(region)).fold(Regions::default(), Regions::with)
    }

    fn votes(&self, of: &[RegionIndex]) -> Regions {
        let places = of.iter().filter_map(|region| self.copies.iter().position(|copy| copy == region));
        places.filter_map(|place| u8::try_from(place).ok()).fold(Regions::default(), Regions::with)
    }

    fn gate(&self, gate: &Gate) -> model::Gate {
        match gate {
            Gate::Node => model::Gate::NODE,
            Gate::Peers { needed, named } => model::Gate::peers(*needed, self.set(named)),
        }
    }

    fn record(&self, record: &DatabaseRecord) -> model::Record {
        model::Record {
            epoch: u8::try_from(record.epoch.0).unwrap_or(u8::MAX),
            writer: self.place(&record.writer).unwrap_or(0),
            open: record.open,
            forced: !record.open && matches!(record.origin, Origin::Failover { forced: true, .. }),
            holders: self.set(&record.holders),
            gate: self.gate(&record.gate),
            also: record.also.as_ref().map_or(model::Gate::NODE, |also| self.gate(&also.gate)),
            also_of: record.also.as_ref().and_then(|also| self.place(&also.of)).unwrap_or(0),
        }
    }

    fn server(&self, server: &Server, wal: Wal) -> model::Server {
        let mut copy = model::Server {
            wal,
            up: server.up,
            primary: server.primary,
            epoch: u8::try_from(server.epoch.0).unwrap_or(u8::MAX),
            timeline: u8::try_from(server.timeline).unwrap_or(u8::MAX),
            gate: self.gate(&server.gate),
            ..model::Server::default()
        };
        copy.follows = server.follows.as_ref().and_then(|region| self.place(region));
        copy
    }

    /// Both moments in the model's terms; `None` if that takes more writes than it has.
    fn observe(&self, before: &Seen, after: &Seen) -> Option<(Observed, Observed)> {
        let kinds = Kinds::sort(before, after, &self.marks)?;
        let view = |seen: &Seen, fates: &dyn Fn(&Kind) -> Fate| {
            let mut observed = Observed {
                record: self.record(&seen.record),
                lease: seen.lease.as_ref().and_then(|region| self.place(region)),
                ..Observed::default()
            };
            for (place, server) in seen.servers.iter().enumerate() {
                observed.servers[place] = self.server(server, kinds.wal(&server.wal));
                observed.marks[place] =
                    kinds.wal(&before.servers[place].wal[..kinds.mark(before, place, self.marks[place])]).len() as u8;
                if seen.confirms[place] {
                    observed.confirms = observed.confirms.with(place as u8);
                }
            }
            observed.fenced = self.fenced;
            for (number, kind) in kinds.kinds.iter().enumerate() {
                observed.writes[number] = Made { fate: fates(kind), at: kind.at, votes: self.votes(&kind.votes) };
            }
            observed
        };
        Some((view(before, &|kind| kind.before), view(after, &|kind| kind.after)))
    }
}

/// Writes that follow one another and differ in nothing that matters.
#[derive(Clone, Debug, PartialEq)]
struct Kind {
    /// In which logs they are, of the servers before and after.
    logs: u32,
    before: Fate,
    after: Fate,
    /// Where their clients wait.
    at: u8,
    votes: Vec<RegionIndex>,
}

struct Kinds {
    kinds: Vec<Kind>,
    of: BTreeMap<WriteId, u8>,
}

impl Kinds {
    fn sort(before: &Seen, after: &Seen, marks: &[usize; MAX_REGIONS]) -> Option<Self> {
        let logs: Vec<&Vec<WriteId>> = before.servers.iter().chain(&after.servers).map(|server| &server.wal).collect();
        let mut membership: BTreeMap<WriteId, u32> = BTreeMap::new();
        for (number, log) in logs.iter().enumerate() {
            for write in *log {
                *membership.entry(*write).or_default() |= 1 << number;
            }
        }
        let waiting = |seen: &Seen, write: WriteId| {
            seen.servers.iter().position(|server| server.waiting.iter().any(|(_, waits)| *waits == write))
        };
        let fate = |seen: &Seen, write: WriteId, known: bool| match () {
            () if seen.acknowledged.contains(&write) => Fate::Acknowledged,
            () if waiting(seen, write).is_some() => Fate::Waiting,
            () if known => Fate::Gone,
            () => Fate::Unmade,
        };
        let copies = before.servers.len();
        let kind = |write: WriteId| {
            let logs = membership[&write];
            let known = logs & ((1 << copies) - 1) != 0;
            let (mut was, mut is) = (fate(before, write, known), fate(after, write, true));
            if was == is {
                (was, is) = (Fate::Gone, Fate::Gone); // Settled, or still waiting: nothing comes of it now.
            }
            let at = waiting(before, write).or_else(|| waiting(after, write)).unwrap_or(0);
            let mut votes = Vec::new();
            if was == Fate::Waiting && is == Fate::Acknowledged {
                let server = &after.servers[at];
                let place = server.wal.iter().position(|other| *other == write).unwrap_or(usize::MAX);
                let confirmed = server.confirmed.iter().filter(|(_, length)| **length > place);
                votes.extend(confirmed.map(|(region, _)| *region));
            }
            let at = if was == is { 0 } else { at as u8 };
            Kind { logs, before: was, after: is, at, votes }
        };
        let begins: BTreeSet<WriteId> =
            before.servers.iter().zip(marks).filter_map(|(server, mark)| server.wal.get(*mark)).copied().collect();
        let mut kinds: Vec<Kind> = Vec::new();
        let mut of: BTreeMap<WriteId, u8> = BTreeMap::new();
        for log in logs {
            let mut previous: Option<WriteId> = None;
            for write in log {
                let continued = previous.filter(|previous| {
                    of.contains_key(write)
                        || kinds.len() <= MAX_WRITES && {
                            let before = of[previous];
                            !begins.contains(write) && kinds[usize::from(before)] == kind(*write)
                        }
                });
                if !of.contains_key(write) {
                    let number = match continued {
                        Some(previous) => of[&previous],
                        None => {
                            kinds.push(kind(*write));
                            (kinds.len() - 1) as u8
                        }
                    };
                    of.insert(*write, number);
                }
                previous = Some(*write);
            }
        }
        if kinds.len() > MAX_WRITES {
            return None;
        }
        // The model numbers writes in the order in which they were made.
        let mut order: Vec<usize> = (0..kinds.len()).collect();
        order.sort_by_key(|number| kinds[*number].before == Fate::Unmade);
        let new: BTreeMap<usize, u8> = order.iter().enumerate().map(|(new, old)| (*old, new as u8 + 1)).collect();
        let kinds = order.iter().map(|old| kinds[*old].clone()).collect();
        let of = of.into_iter().map(|(write, old)| (write, new[&usize::from(old)])).collect();
        Some(Self { kinds, of })
    }

    fn wal(&self, log: &[WriteId]) -> Wal {
        let mut wal = Wal::default();
        for write in log {
            let number = self.of[write];
            if wal.is_empty() || wal.at(wal.len() - 1) != number {
                wal = wal.push(number);
            }
        }
        wal
    }

    fn mark(&self, before: &Seen, place: usize, mark: usize) -> usize {
        mark.min(before.servers[place].wal.len())
    }
}

fn kind(step: &Step) -> String {
    let name = format!("{step:?}");
    name.split('(').next().unwrap_or_default().to_owned()
}
