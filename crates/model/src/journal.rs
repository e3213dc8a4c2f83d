//! Journal entries: every decision, not to act included, with its inputs and its reason (promise A1).

use std::fmt;
use std::str::FromStr;

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
    /// The hash of the entry before of the same region, [`EntryHash::ORIGIN`] where the chain begins. `None`: written before
    /// entries were chained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<EntryHash>,
}

/// The SHA-256 of an entry: of exactly the bytes that are stored. As text 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct EntryHash(pub [u8; 32]);

impl EntryHash {
    /// What the first entry of a chain has for the one before it.
    pub const ORIGIN: Self = Self([0; 32]);
}

impl fmt::Display for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not the text of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256: expected 64 hexadecimal digits")]
pub struct NotAHash;

impl FromStr for EntryHash {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<Self, NotAHash> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotAHash);
        }
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| NotAHash)?;
        }
        Ok(Self(bytes))
    }
}

impl From<EntryHash> for String {
    fn from(hash: EntryHash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for EntryHash {
    type Error = NotAHash;

    fn try_from(text: String) -> Result<Self, NotAHash> {
        text.parse()
    }
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
