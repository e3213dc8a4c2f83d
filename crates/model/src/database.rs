//! What a database can be told, and what it says of itself: the words between `control` and a database driver.
//!
//! A driver knows its provider and nothing of why it is called; `control` knows why and nothing of providers.
//! Every [`Action`] travels with the epoch under which it was decided, in a [`Order`]; a driver that has already
//! acted under a newer epoch refuses it (promise S5).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Epoch, RegionId};

/// A position in the write-ahead log, in bytes. Positions compare only within one timeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    /// PostgreSQL's own notation, `16/B374D848`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl Lsn {
    /// Reads PostgreSQL's notation.
    pub fn parse(text: &str) -> Option<Self> {
        let (high, low) = text.split_once('/')?;
        Some(Self(u64::from(u32::from_str_radix(high, 16).ok()?) << 32 | u64::from(u32::from_str_radix(low, 16).ok()?)))
    }
}

/// Who confirms a commit before it is acknowledged: the fence. In PostgreSQL a value of
/// `synchronous_standby_names`, hence as durable as the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// The region's own node, over the commit gate, and only while it is told to (`Confirm`). The shut state:
    /// until the node confirms, nothing is acknowledged.
    Node,
    /// `needed` of the `named` peer regions: `ANY needed (named)`.
    Peers {
        /// How many confirmations a commit needs, at least one.
        needed: usize,
        /// The regions whose confirmations count.
        named: BTreeSet<RegionId>,
    },
}

/// What a database server is at this moment in this region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// There is no data here yet.
    Absent,
    /// There is data, and no server runs. `was_primary`: it would start as a primary.
    Stopped {
        /// Whether the data directory is a primary's.
        was_primary: bool,
    },
    /// A server process is there and does not answer queries yet (crash recovery, starting up, shutting down).
    Starting,
    /// Accepts writes (whether it can acknowledge them is the gate's matter).
    Primary,
    /// Follows a primary.
    Standby,
}

/// One standby as its primary sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follower {
    /// It streams and has caught up so far that it counts (`state = streaming`).
    pub streaming: bool,
    /// The primary waits for its confirmation (`sync_state` is `sync` or `quorum`).
    pub confirms: bool,
    /// What it has safely written, as last reported.
    pub flushed: Lsn,
}

/// What a driver reports of the database in its own region: complete, so that the newest replaces all older ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseState {
    /// What the server is.
    pub role: Role,
    /// The newest epoch under which this driver has acted here, kept beside the data.
    pub epoch: Epoch,
    /// The gate in force, of a primary (or that a promotion would give it).
    pub gate: Gate,
    /// The history that the data belong to; grows with each promotion.
    pub timeline: u32,
    /// What is safely on disk here: flushed (primary) or received (standby).
    pub flushed: Lsn,
    /// What has been replayed (standby); equals `flushed` on a primary.
    pub replayed: Lsn,
    /// A standby: the region it is set up to follow.
    pub follows: Option<RegionId>,
    /// A standby: its receiver is connected and streams.
    pub streaming: bool,
    /// A primary: its standbys by region.
    pub followers: BTreeMap<RegionId, Follower>,
    /// A primary behind `Gate::Node`: the commit gate is connected, so that confirming takes effect at once.
    pub gate_connected: bool,
    /// A standby: how far behind the newest transaction it replays, where that is known.
    pub lag: Option<Duration>,
    /// What stands in the way (a failed start, a full disk), for people.
    pub trouble: Option<String>,
}

impl DatabaseState {
    /// The state of a region that has no data yet.
    pub fn absent() -> Self {
        Self {
            role: Role::Absent,
            epoch: Epoch(0),
            gate: Gate::Node,
            timeline: 0,
            flushed: Lsn(0),
            replayed: Lsn(0),
            follows: None,
            streaming: false,
            followers: BTreeMap::new(),
            gate_connected: false,
            lag: None,
            trouble: None,
        }
    }
}

/// Something a database driver can do. Each is idempotent: done twice it is done once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Make an empty database and start it as primary behind `gate`. Only where nothing is there.
    Create {
        /// The gate from its first moment on.
        gate: Gate,
    },
    /// Copy the data from `from`'s server and start as its standby. Replaces what is here, after divergent
    /// writes were saved.
    Seed {
        /// The region whose server is copied.
        from: RegionId,
    },
    /// Start the server as what its data say it is, after killing survivors of an earlier life. A primary keeps its gate.
    Start,
    /// Stop the server. `clean`: a fast shutdown that lets standbys receive everything; otherwise at once, the whole
    /// process group.
    Stop {
        /// Whether to end in an orderly way.
        clean: bool,
    },
    /// Turn the standby into a primary behind a shut gate (`Gate::Node`, not confirming).
    Promote,
    /// Change who confirms commits of this primary; takes effect at once for commits that wait.
    SetGate {
        /// The new gate.
        gate: Gate,
    },
    /// Become a standby of `writer`, whatever this was: save divergent writes, rewind, copy afresh where that fails; a
    /// standby of another region is pointed at `writer`.
    Follow {
        /// The region to follow.
        writer: RegionId,
    },
    /// A standby stops receiving (and so confirming), keeps running: its part of the fence under `ANY k of n`.
    Detach,
    /// Write everything down now, so that the next clean stop is quick.
    Checkpoint,
}

/// An action with the epoch under which it was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The epoch; a driver that has acted under a newer one refuses.
    pub epoch: Epoch,
    /// What to do.
    pub action: Action,
}

/// Why a driver did not do what it was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// Promise S5: the order is older than what was already done here.
    #[error("refused: decided under epoch {ordered}, but epoch {known} has acted here")]
    OldEpoch {
        /// The order's epoch.
        ordered: Epoch,
        /// The newer epoch.
        known: Epoch,
    },
    /// It was tried and failed; trying again may help.
    #[error("{0}")]
    Failed(String),
}

/// What an action did, for the journal: `3 divergent rows saved to …, rewound to 0/3000148`.
pub type Note = Option<String>;
