//! The state of the whole protocol as a few bytes: the store, every region's server and node, every write.
//!
//! Everything is `Copy` and of fixed size, for tens of millions of states are made. Regions are numbers, sets of regions are
//! bits. What cannot matter for any promise is left out: a cut link only takes steps away, so links are always whole; a node
//! that is dead does as little as one that does nothing, so nodes have no "dead" bit, only a step in which they forget.

use std::fmt;

/// The most regions with data.
pub const MAX_REGIONS: usize = 3;
/// The most writes of clients.
pub const MAX_WRITES: usize = 7;

/// A region with data, by its place.
pub type Region = u8;

/// A set of regions, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Regions(pub u8);

impl Regions {
    /// The set of one.
    pub fn one(region: Region) -> Self {
        Self(1 << region)
    }
    /// The first `count` regions.
    pub fn all(count: usize) -> Self {
        Self((1 << count) - 1)
    }
    /// Whether `region` is in it.
    pub fn has(self, region: Region) -> bool {
        self.0 >> region & 1 == 1
    }
    /// With `region`.
    #[must_use]
    pub fn with(self, region: Region) -> Self {
        Self(self.0 | 1 << region)
    }
    /// Without `region`.
    #[must_use]
    pub fn without(self, region: Region) -> Self {
        Self(self.0 & !(1 << region))
    }
    /// How many.
    pub fn count(self) -> usize {
        self.0.count_ones() as usize
    }
    /// Whether all of `other` are in it.
    pub fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }
    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// Each.
    pub fn iter(self) -> impl Iterator<Item = Region> {
        (0..8).filter(move |region| self.has(*region))
    }
}

/// Who confirms a commit: the region's own node ([`Gate::NODE`]), or `needed` of the `named` other regions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Gate(u8);

impl Gate {
    /// The region's own node, while it may.
    pub const NODE: Self = Self(0);

    /// `ANY needed (named)`.
    pub fn peers(needed: usize, named: Regions) -> Self {
        Self(u8::try_from(needed).expect("a handful of regions") << 4 | named.0)
    }
    /// How many have to confirm; 0 behind the node.
    pub fn needed(self) -> usize {
        usize::from(self.0 >> 4)
    }
    /// Whose confirmations count.
    pub fn named(self) -> Regions {
        Regions(self.0 & 15)
    }
    /// Whether the region's own node confirms.
    pub fn is_node(self) -> bool {
        self.0 == 0
    }
    /// How many of the named have to stop before nothing can be confirmed: `n - k + 1`. As `control::confirm::stops_needed`.
    pub fn stops_needed(self) -> usize {
        if self.is_node() { 0 } else { self.named().count() + 1 - self.needed() }
    }
    /// Whether a record of `self` tells the truth about commits that `actual` confirms. As `control::confirm::covers`.
    pub fn covers(self, actual: Self) -> bool {
        if self.is_node() || actual.is_node() {
            return self == actual;
        }
        let outside = Regions(self.named().0 & !actual.named().0).count();
        let stopped = self.stops_needed().saturating_sub(outside);
        actual.named().count().saturating_sub(stopped) < actual.needed()
    }
    /// Who holds everything when `writer` works behind it and that is recorded.
    pub fn holders(self, writer: Region) -> Regions {
        let all = !self.is_node() && self.needed() >= self.named().count();
        if all { self.named().with(writer) } else { Regions::one(writer) }
    }
}

/// The writes that are in a log, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Wal(u32);

impl Wal {
    /// All of it as a number.
    pub(crate) fn bits(self) -> u32 {
        self.0
    }
    /// How many.
    pub fn len(self) -> usize {
        (self.0 >> 24) as usize
    }
    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
    /// The write at a place.
    pub fn at(self, place: usize) -> u8 {
        (self.0 >> (3 * place) & 7) as u8
    }
    /// One more at the end.
    #[must_use]
    pub fn push(self, write: u8) -> Self {
        let length = self.len();
        Self(self.0 & 0xFF_FFFF | u32::from(write) << (3 * length) | (length as u32 + 1) << 24)
    }
    /// The first `length`.
    #[must_use]
    pub fn cut(self, length: usize) -> Self {
        Self(self.0 & ((1 << (3 * length)) - 1) | (length as u32) << 24)
    }
    /// How many leading writes both have.
    pub fn common(self, other: Self) -> usize {
        (0..self.len().min(other.len())).find(|i| self.at(*i) != other.at(*i)).unwrap_or(self.len().min(other.len()))
    }
    /// Whether it is the beginning of `other`.
    pub fn begins(self, other: Self) -> bool {
        self.common(other) == self.len()
    }
    /// Whether a write is in it.
    pub fn has(self, write: u8) -> bool {
        (0..self.len()).any(|i| self.at(i) == write)
    }
}

/// The database's record in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Record {
    /// Grows by one with each claim. 0: nothing is known.
    pub epoch: u8,
    /// Who claimed it.
    pub writer: Region,
    /// Whether the claimer may acknowledge.
    pub open: bool,
    /// Claimed by force.
    pub forced: bool,
    /// Who holds everything that was ever acknowledged.
    pub holders: Regions,
    /// Who confirms the commits of the epoch that was open last.
    pub gate: Gate,
    /// Behind [`Gate::NODE`]: the gate that a server may be behind already ([`Gate::NODE`]: none). Whoever takes over has to fence it too.
    pub also: Gate,
    /// Whose server that is.
    pub also_of: Region,
}

/// A database server with its data. Durable but for `up`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Server {
    /// Its log.
    pub wal: Wal,
    /// It runs.
    pub up: bool,
    /// Its data are a primary's.
    pub primary: bool,
    /// The newest epoch under which its driver has acted.
    pub epoch: u8,
    /// Grows with each promotion.
    pub timeline: u8,
    /// Who confirms.
    pub gate: Gate,
    /// A standby: the region whose server it follows.
    pub follows: Option<Region>,
}

impl Server {
    /// It runs and accepts writes.
    pub fn writes(&self) -> bool {
        self.up && self.primary
    }
}

/// A change of the record that a node asks the store for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Change {
    /// None.
    #[default]
    Nothing,
    /// Claim the next epoch, as a holder or as one of the named of `ANY k`.
    Claim,
    /// Claim the next epoch by force: the lease must be gone.
    ClaimByForce,
    /// Open the epoch, alone, with a lease.
    OpenAlone,
    /// Open the epoch behind peers.
    OpenBehind(Gate),
    /// From now on the node confirms, with a lease.
    Alone,
    /// The server may soon be behind this gate; [`Gate::NODE`]: behind none but the node's.
    Announce(Gate),
    /// From now on this gate confirms.
    Record(Gate),
}

impl Change {
    /// Its kind as a number, and the gate that it names.
    pub(crate) fn parts(self) -> (u8, Gate) {
        match self {
            Self::Nothing => (0, Gate::NODE),
            Self::Claim => (1, Gate::NODE),
            Self::ClaimByForce => (2, Gate::NODE),
            Self::OpenAlone => (3, Gate::NODE),
            Self::OpenBehind(gate) => (4, gate),
            Self::Alone => (5, Gate::NODE),
            Self::Announce(gate) => (6, gate),
            Self::Record(gate) => (7, gate),
        }
    }
}

/// A region's node: what it remembers, all of which a restart forgets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Node {
    /// The record as it was read last.
    pub known: Record,
    /// Nothing has changed the record since.
    pub fresh: bool,
    /// It believes, by its own clock, that it holds the database's lease.
    pub lease: bool,
    /// It does not know what became of a request: of one whose answer was lost, or of one of its life before.
    pub unsure: bool,
    /// A request of its that the store may yet carry out.
    pub loose: Change,
    /// Who has promised it to claim nothing, as it believes by its own clock.
    pub heard: Regions,
    /// It claims nothing: it has promised so, or may have before it was restarted.
    pub bound: bool,
    /// It has seen the old writer fenced for the epoch that it has claimed: an order may rest on that when it is old news.
    pub fenced: bool,
    /// How long the log was when its server's gate was changed last: from there on only that gate confirms.
    pub mark: u8,
}

/// What has become of a client's write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Fate {
    /// Not made yet.
    #[default]
    Unmade,
    /// Its client waits.
    Waiting,
    /// Its client was cut off without an answer, or a claim by force has counted it as lost.
    Gone,
    /// Acknowledged, and not given up since.
    Acknowledged,
}

/// A client's write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Made {
    /// What became of it.
    pub fate: Fate,
    /// Where it was made.
    pub at: Region,
    /// Which standbys have confirmed it there.
    pub votes: Regions,
}

/// Everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct State {
    /// The record in the store.
    pub record: Record,
    /// Whose lease the store still counts.
    pub lease: Option<Region>,
    /// The nodes.
    pub nodes: [Node; MAX_REGIONS],
    /// The servers.
    pub servers: [Server; MAX_REGIONS],
    /// Clients' writes; number `n` is at `n - 1`.
    pub writes: [Made; MAX_WRITES],
    /// How many more servers may crash.
    pub crashes: u8,
    /// How many more nodes may be restarted.
    pub restarts: u8,
    /// How many more answers of the store may be lost.
    pub losses: u8,
}

impl State {
    /// The write numbered `write`.
    pub fn write(&self, write: u8) -> &Made {
        &self.writes[usize::from(write) - 1]
    }
    /// How many writes were made.
    pub fn made(&self) -> u8 {
        self.writes.iter().filter(|write| write.fate != Fate::Unmade).count() as u8
    }
    /// The writes that were acknowledged and not given up.
    pub fn acknowledged(&self) -> impl Iterator<Item = u8> {
        (1..=MAX_WRITES as u8).filter(|write| self.write(*write).fate == Fate::Acknowledged)
    }
    /// A region's server.
    pub fn server(&self, region: Region) -> &Server {
        &self.servers[usize::from(region)]
    }
    /// The same, to change it.
    pub fn server_mut(&mut self, region: Region) -> &mut Server {
        &mut self.servers[usize::from(region)]
    }
    /// A region's node.
    pub fn node(&self, region: Region) -> &Node {
        &self.nodes[usize::from(region)]
    }
    /// The same, to change it.
    pub fn node_mut(&mut self, region: Region) -> &mut Node {
        &mut self.nodes[usize::from(region)]
    }
    /// `standby` streams from `primary`: the same history so far.
    pub fn streams(&self, primary: Region, standby: Region) -> bool {
        let (p, s) = (self.server(primary), self.server(standby));
        p.writes() && s.up && !s.primary && s.follows == Some(primary) && s.wal.begins(p.wal)
    }
}

/// Regions are called by letters.
pub fn letter(region: Region) -> char {
    char::from(b'A' + region)
}

impl fmt::Display for Regions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters: Vec<String> = self.iter().map(|region| letter(region).to_string()).collect();
        f.write_str(&if letters.is_empty() { "nobody".to_owned() } else { letters.join(", ") })
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_node() { f.write_str("the node") } else { write!(f, "{} of {}", self.needed(), self.named()) }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("changes nothing"),
            Self::Claim => f.write_str("claims the next epoch"),
            Self::ClaimByForce => f.write_str("claims the next epoch by force, and counts what is lost"),
            Self::OpenAlone => f.write_str("records open, alone, with a lease"),
            Self::OpenBehind(gate) => write!(f, "records open behind {gate}"),
            Self::Alone => f.write_str("records alone, with a lease"),
            Self::Announce(gate) if gate.is_node() => f.write_str("records that nobody but the node may confirm"),
            Self::Announce(gate) => write!(f, "records that {gate} may confirm, too"),
            Self::Record(gate) => write!(f, "records that {gate} confirms"),
        }
    }
}
