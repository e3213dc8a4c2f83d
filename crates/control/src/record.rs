//! What the nodes share in the state store, and under which keys.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::compute::ComputeState;
use lifeboat_model::database::{DatabaseState, Gate, Lsn};
use lifeboat_model::journal::EntryHash;
use lifeboat_model::{ComponentId, Epoch, RegionId, RunId};
use lifeboat_plan::Intent;
use serde::{Deserialize, Serialize};

/// Everything that the brain watches lies below this prefix; the journal does not.
pub const STATE: &str = "state/";

/// What the keys of the databases' records begin with.
pub const DATABASES: &str = "state/database/";

/// The key of a database's record.
pub fn database_key(database: &ComponentId) -> String {
    format!("state/database/{database}")
}

/// The key that says whose lease counts for a database; it vanishes with that lease.
pub fn lease_key(database: &ComponentId) -> String {
    format!("state/lease/{database}")
}

/// The key of a region's view; it vanishes with the lease of that region's node.
pub fn view_key(region: &RegionId) -> String {
    format!("state/view/{region}")
}

/// The key of a database's newest run.
pub fn run_key(database: &ComponentId) -> String {
    format!("state/run/{database}")
}

/// The key of a person's request for a database that nobody has taken up yet.
pub fn request_key(database: &ComponentId) -> String {
    format!("state/request/{database}")
}

/// Below this prefix lies each region's [`JournalHead`].
pub const JOURNAL_HEADS: &str = "state/journal-head/";

/// The key of the [`JournalHead`] of a region.
pub fn journal_head_key(region: &RegionId) -> String {
    format!("{JOURNAL_HEADS}{region}")
}

/// The key of one journal entry.
pub fn journal_key(region: &RegionId, number: u64) -> String {
    format!("journal/{region}/{number:012}")
}

/// How far a region's journal is: its newest entry, written together with that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredHead")]
pub struct JournalHead {
    /// The number of the newest entry; 0: there is none.
    pub number: u64,
    /// Its hash. `None`: it was written before entries were chained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<EntryHash>,
}

/// As it may stand in a store: before entries were chained it was the bare number.
#[derive(Deserialize)]
#[serde(untagged)]
enum StoredHead {
    Number(u64),
    Chained { number: u64, hash: Option<EntryHash> },
}

impl From<StoredHead> for JournalHead {
    fn from(stored: StoredHead) -> Self {
        match stored {
            StoredHead::Number(number) => Self { number, hash: None },
            StoredHead::Chained { number, hash } => Self { number, hash },
        }
    }
}

/// Who may write a database: changed only by compare-and-swap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseRecord {
    /// Grows by one with each claim.
    pub epoch: Epoch,
    /// Who claimed it.
    pub writer: RegionId,
    /// Whether the claimer may acknowledge. An epoch that was never opened has acknowledged nothing.
    pub open: bool,
    /// The regions that hold everything that was ever acknowledged. A holder may claim at once.
    pub holders: BTreeSet<RegionId>,
    /// Who confirms the commits of the epoch that was open last: what the next claimer has to fence.
    pub gate: Gate,
    /// Another gate behind which a server may be already, while `gate` says that its node confirms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub also: Option<Also>,
    /// How this epoch came about.
    pub origin: Origin,
}

/// Who may confirm commits besides the node of a writer that is alone: recorded before the writer's server is told, so that whoever
/// claims by force stops them too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Also {
    /// The writer.
    pub of: RegionId,
    /// The gate that its server may have.
    pub gate: Gate,
}

/// How an epoch came about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The first.
    Created,
    /// By a failover away from a region.
    Failover {
        /// The region that was lost.
        away_from: RegionId,
        /// Taken without holding everything: what may be missing was accepted.
        forced: bool,
        /// A person vouched that the old writer and its standbys are stopped, so that nothing needs fencing.
        vouched: bool,
    },
    /// By a switchover.
    Switchover,
}

/// What one node sees, published for the others. Also the sign that the node lives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Of the targets that it probes those that are not up, as they count after hysteresis, by [`crate::health::Target`]'s name.
    pub sights: BTreeMap<String, crate::health::Sight>,
    /// Its own databases.
    pub databases: BTreeMap<ComponentId, DatabaseState>,
    /// Its own compute: whether it is healthy, where that is known.
    pub compute: BTreeMap<ComponentId, bool>,
    /// The same in full, of compute that has more to tell.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub compute_states: BTreeMap<ComponentId, ComputeState>,
}

/// One execution of a plan, as far as it cannot be read from the database's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its name.
    pub id: RunId,
    /// Why.
    pub intent: Intent,
    /// The writer before.
    pub from: Option<RegionId>,
    /// The writer to be.
    pub to: RegionId,
    /// The epoch that it claims.
    pub epoch: Epoch,
    /// How far it is.
    pub stage: Stage,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Switchover: the source writes everything down.
    Checkpoint,
    /// Switchover: the source stops in an orderly way.
    Drain,
    /// Switchover: the source has stopped at this position; the target catches up and claims.
    Drained(Lsn),
    /// A person moves the database, which no node can, and says when it is done.
    Manual(Manual),
    /// The epoch is claimed; the target promotes and opens.
    Claimed,
    /// The epoch is open and clients are served.
    Done,
    /// Given up before anything irreversible happened, with the reason.
    Abandoned(String),
}

impl Stage {
    /// Whether nothing more will be done.
    pub fn is_over(&self) -> bool {
        match self {
            Self::Done | Self::Abandoned(_) => true,
            Self::Checkpoint | Self::Drain | Self::Drained(_) | Self::Manual(_) | Self::Claimed => false,
        }
    }
}

/// What waits for a person, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manual {
    /// By the wall clock, in milliseconds since 1970 UTC: for people, nothing is decided by it.
    pub since_unix_ms: u64,
    /// Who asked for it; `None`: the nodes offer it, for the writer's region is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
    /// Why it is to be moved.
    pub why: String,
}

/// What a person asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Failover, or switchover (failback is one).
    pub intent: Intent,
    /// Where to; `None`: the best of the ready ones.
    pub to: Option<RegionId>,
    /// Accept what a forced failover loses.
    pub accept_loss: bool,
    /// The person vouches that the old writer and every standby that confirms it are stopped.
    pub vouch: bool,
    /// Who asked, for the journal.
    pub by: String,
    /// The name of the token that it was asked with: what tells two people apart. `None`: with one that has no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Who has approved it since, by the names of their tokens.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub approved: BTreeSet<String>,
}
