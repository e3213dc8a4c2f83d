//! Breadth first through every state that can be reached; a broken promise comes with the shortest way to it.
//!
//! Of a state that was seen only a fingerprint of 64 bits is kept, as TLC does: among a hundred million states the chance that two
//! different ones are taken for one is 3 in 10,000. Regions are alike, so states that differ only in their names are one.

use crate::promises::Broken;
use crate::rules::{Protocol, Step};
use crate::state::{Fate, Gate, MAX_REGIONS, Node, Record, Regions, Server, State};

/// What an exploration came to.
#[derive(Debug)]
pub struct Explored {
    /// States, those that differ only in the names of regions counted once.
    pub states: usize,
    /// Steps tried.
    pub steps: u64,
    /// The length of the longest shortest way.
    pub depth: usize,
    /// The first broken promise with the way there; `None` if all were held.
    pub broken: Option<(Broken, Vec<Step>)>,
    /// Whether every state that can be reached was seen.
    pub complete: bool,
}

/// Explores until a promise is broken, everything was seen, or there are `limit` states.
pub fn explore(protocol: &Protocol, limit: usize) -> Explored {
    let mut seen = Seen::default();
    let start = protocol.start();
    let names = Names::all(protocol.config.regions);
    let print = |state: &State| fingerprint(state, &names);
    seen.insert(print(&start), u32::MAX);
    let mut level = vec![(0_u32, start)];
    let mut next_level = Vec::new();
    let mut explored = Explored { states: 1, steps: 0, depth: 0, broken: None, complete: true };
    let mut steps = Vec::new();
    while !level.is_empty() {
        for (number, state) in level.drain(..) {
            protocol.steps(&state, &mut steps);
            explored.steps += steps.len() as u64;
            for (_, next) in &steps {
                let Some(place) = seen.insert(print(next), number) else { continue };
                if let Some(broken) = protocol.broken(next) {
                    explored.states = seen.prints.len();
                    explored.broken = Some((broken, retrace(protocol, &seen, place, print)));
                    return explored;
                }
                next_level.push((place, *next));
            }
            if seen.prints.len() >= limit {
                explored.complete = false;
                explored.states = seen.prints.len();
                return explored;
            }
        }
        std::mem::swap(&mut level, &mut next_level);
        explored.depth += usize::from(!level.is_empty());
    }
    explored.states = seen.prints.len();
    explored
}

/// The way to a state, found again from the fingerprints along it.
fn retrace(protocol: &Protocol, seen: &Seen, place: u32, print: impl Fn(&State) -> u64) -> Vec<Step> {
    let mut prints = Vec::new();
    let mut at = place;
    while at != 0 {
        prints.push(seen.prints[at as usize]);
        at = seen.parents[at as usize];
    }
    let mut state = protocol.start();
    let mut way = Vec::new();
    let mut steps = Vec::new();
    for wanted in prints.into_iter().rev() {
        protocol.steps(&state, &mut steps);
        let (step, next) =
            steps.iter().find(|(_, next)| print(next) == wanted).expect("the way was gone before, step by step");
        way.push(*step);
        state = *next;
    }
    way
}

/// Fingerprints in the order in which they were first seen, with an open hash table of their places.
#[derive(Debug, Default)]
struct Seen {
    prints: Vec<u64>,
    parents: Vec<u32>,
    table: Vec<u32>,
}

impl Seen {
    /// Its place if it is new.
    fn insert(&mut self, print: u64, parent: u32) -> Option<u32> {
        if self.prints.len() * 2 >= self.table.len() {
            self.grow();
        }
        let mask = self.table.len() - 1;
        let mut slot = print as usize & mask;
        loop {
            match self.table[slot] {
                0 => break,
                place if self.prints[place as usize - 1] == print => return None,
                _ => slot = (slot + 1) & mask,
            }
        }
        let place = u32::try_from(self.prints.len()).expect("fewer than four thousand million states fit into memory");
        self.prints.push(print);
        self.parents.push(parent);
        self.table[slot] = place + 1;
        Some(place)
    }

    fn grow(&mut self) {
        let size = (self.table.len() * 2).max(1 << 16);
        self.table = vec![0; size];
        for (place, print) in self.prints.iter().enumerate() {
            let mut slot = *print as usize & (size - 1);
            while self.table[slot] != 0 {
                slot = (slot + 1) & (size - 1);
            }
            self.table[slot] = place as u32 + 1;
        }
    }
}

/// Another name for each region, and with that for each set.
#[derive(Debug)]
struct Names {
    region: [u8; MAX_REGIONS],
    set: [u8; 1 << MAX_REGIONS],
}

impl Names {
    /// Every way to name so many regions.
    fn all(regions: usize) -> Vec<Self> {
        let orders: [[u8; MAX_REGIONS]; 6] = [[0, 1, 2], [1, 0, 2], [0, 2, 1], [2, 1, 0], [1, 2, 0], [2, 0, 1]];
        let keeps_others = |region: &[u8; MAX_REGIONS]| (regions..MAX_REGIONS).all(|i| usize::from(region[i]) == i);
        orders
            .into_iter()
            .filter(keeps_others)
            .map(|region| {
                let mut set = [0; 1 << MAX_REGIONS];
                for (old, new) in (0_u8..).zip(&mut set) {
                    *new = Regions(old).iter().fold(0, |bits, member| bits | 1 << region[usize::from(member)]);
                }
                Self { region, set }
            })
            .collect()
    }

    fn set(&self, regions: Regions) -> u64 {
        u64::from(self.set[usize::from(regions.0)])
    }

    fn gate(&self, gate: Gate) -> u64 {
        (gate.needed() as u64) << 3 | self.set(gate.named())
    }

    /// A region or none, counted from one.
    fn maybe(&self, region: Option<u8>) -> u64 {
        region.map_or(0, |region| u64::from(self.region[usize::from(region)]) + 1)
    }

    fn record(&self, record: &Record) -> u64 {
        let writer = if record.epoch == 0 { 0 } else { self.region[usize::from(record.writer)] };
        let flags = u64::from(record.open) << 1 | u64::from(record.forced);
        let also_of = if record.also.is_node() { 0 } else { self.region[usize::from(record.also_of)] };
        let gates = (self.gate(record.gate) << 5 | self.gate(record.also)) << 2 | u64::from(also_of);
        (((u64::from(record.epoch) << 2 | u64::from(writer)) << 2 | flags) << 3 | self.set(record.holders)) << 12
            | gates
    }

    fn node(&self, node: &Node) -> u64 {
        let (kind, gate) = node.loose.parts();
        let bits = [node.fresh, node.lease, node.unsure, node.bound, node.fenced];
        let flags = bits.iter().fold(0, |bits, bit| bits << 1 | u64::from(*bit));
        ((self.record(&node.known) << 5 | flags) << 3 | self.set(node.heard)) << 12
            | u64::from(node.mark) << 9
            | u64::from(kind) << 5
            | self.gate(gate)
    }

    fn server(&self, server: &Server) -> u64 {
        let flags = u64::from(server.up) << 1 | u64::from(server.primary);
        let numbers = u64::from(server.epoch) << 3 | u64::from(server.timeline);
        ((u64::from(server.wal.bits()) << 2 | flags) << 6 | numbers) << 7
            | self.gate(server.gate) << 2
            | self.maybe(server.follows)
    }

    /// A fingerprint of the state under these names.
    fn print(&self, state: &State) -> u64 {
        let budgets = [state.crashes, state.restarts, state.losses];
        let budgets = budgets.iter().fold(0, |bits, budget| bits << 8 | u64::from(*budget));
        let writes = state.writes.iter().fold(0, |bits, made| {
            let waits = made.fate == Fate::Waiting;
            let place = if waits { self.region[usize::from(made.at)] } else { 0 };
            ((bits << 2 | made.fate as u64) << 2 | u64::from(place)) << 3 | self.set(made.votes)
        });
        let mut places = [(0, 0); MAX_REGIONS];
        for (region, place) in self.region.iter().enumerate() {
            places[usize::from(*place)] = (self.node(&state.nodes[region]), self.server(&state.servers[region]));
        }
        let shared = mix(self.record(&state.record) << 26 | self.maybe(state.lease) << 24 | budgets, writes);
        places.iter().fold(shared, |print, (node, server)| mix(mix(print, *node), *server))
    }
}

/// The same for all states that differ only in the names of regions.
fn fingerprint(state: &State, names: &[Names]) -> u64 {
    names.iter().map(|names| names.print(state)).min().unwrap_or(0)
}

/// Multiplies one word into another, as wyhash does: quick, and good enough for tables and fingerprints.
fn mix(before: u64, word: u64) -> u64 {
    let a = before ^ 0xa076_1d64_78bd_642f;
    let b = word ^ before.rotate_left(29) ^ 0xe703_7ed1_a0b4_28db;
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64 ^ word
}
