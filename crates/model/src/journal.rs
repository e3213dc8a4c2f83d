//! Journal entries: every decision, not to act included, with its inputs and its reason (promise A1).

use serde::{Deserialize, Serialize};

use crate::moment::Moment;
use crate::{ComponentId, Epoch, RegionId, RunId};

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// The node that wrote it.
    pub region: RegionId,
    /// Its number among that node's entries, from 1.
    pub number: u64,
    /// When, by the node's wall clock, in milliseconds since 1970 UTC. For people; nothing is decided by it.
    pub unix_ms: u64,
    /// When, by the node's boot-time clock: exact between entries of one machine.
    pub at: Moment,
    /// What kind of thing happened.
    pub kind: EntryKind,
    /// The component that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentId>,
    /// The epoch under which it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// The run that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// What happened, as a short sentence: `epoch 7 claimed for orders`.
    pub what: String,
    /// Why, with the inputs of the decision: `frankfurt was synchronous under epoch 6, so nothing to wait for`.
    pub why: String,
}

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// A node started or ended.
    Node,
    /// A target looks unwell to this node.
    Suspicion,
    /// What the quorum concluded of a region.
    Verdict,
    /// It was decided not to act.
    Refrain,
    /// A run was begun, finished, failed or abandoned.
    Run,
    /// A step of a run began, ended or failed.
    Step,
    /// An epoch was claimed.
    Claim,
    /// The old writer can acknowledge nothing any more.
    Fence,
    /// A standby was promoted.
    Promote,
    /// The epoch is open: its writer may acknowledge.
    Open,
    /// The writer goes on alone, or waits.
    Alone,
    /// Synchronous standbys confirm commits again, and that is recorded.
    Synchronous,
    /// A route's answer changed.
    Route,
    /// A database was created, started, stopped, seeded or made to follow.
    Database,
    /// A process was started or restarted.
    Compute,
    /// Divergent writes were saved.
    Divergence,
    /// A lease was lost or won.
    Lease,
    /// A person asked for something.
    Request,
}
