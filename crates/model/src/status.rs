//! What a node says when it is asked how things are: the answer of `GET /v1/status` and of `lifeboat status --json`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::compute::ComputeState;
use crate::database::DatabaseState;
use crate::{AppName, ComponentId, Epoch, HostName, RegionId, RunId};

/// The whole answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The app.
    pub app: AppName,
    /// The node that answers.
    pub region: RegionId,
    /// Whether it reaches the state store.
    pub store_reachable: bool,
    /// Every region's health as the quorum sees it.
    pub regions: BTreeMap<RegionId, RegionStatus>,
    /// Every database.
    pub databases: BTreeMap<ComponentId, DatabaseStatus>,
    /// Every compute component, in each region whose node says how it is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub compute: BTreeMap<ComponentId, BTreeMap<RegionId, ComputeState>>,
    /// Every route's present answer.
    pub routes: BTreeMap<HostName, RouteAnswer>,
    /// The runs under way, and the newest finished ones.
    pub runs: Vec<RunStatus>,
    /// What people have asked for and was not carried out yet.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<ComponentId, RequestStatus>,
    /// What waits for a person, for no node can do it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Waiting>,
    /// How the regions were last seen to differ from the file and from each other, if somebody has told this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
    /// What the node that answers is worried about: certificates that expire.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What the quorum concludes of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// It serves.
    Up,
    /// Somebody sees a problem, too few to conclude.
    Suspected,
    /// The quorum sees it down.
    Down,
    /// Too little is known to say.
    Unknown,
}

/// A region's health with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionStatus {
    /// The verdict.
    pub health: Health,
    /// Who saw what.
    pub reason: String,
}

/// A database as the store and this node know it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatabaseStatus {
    /// The epoch.
    pub epoch: Epoch,
    /// Who may write.
    pub writer: Option<RegionId>,
    /// Whether the writer may acknowledge yet.
    pub open: bool,
    /// The regions that hold everything acknowledged.
    pub holders: BTreeSet<RegionId>,
    /// Whose lease counts.
    pub lease: Option<RegionId>,
    /// Each region's server as its node last reported.
    pub servers: BTreeMap<RegionId, DatabaseState>,
    /// For each region: whether a failover to it now would be right, with the reason.
    pub readiness: BTreeMap<RegionId, Readiness>,
    /// For each region where something differs that a failover to it would meet: what. It stands beside readiness and decides nothing: a
    /// failover goes where it is ready to go, whatever differs there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub drift: BTreeMap<RegionId, Vec<Difference>>,
}

/// A comparison of regions: what `lifeboat diff --report` tells a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// When it was told, in milliseconds since 1970 UTC.
    pub unix_ms: u64,
    /// Who told it.
    pub by: String,
    /// Everything that differs; empty: nothing did.
    pub differences: Vec<Difference>,
}

/// Something that is not in a region as the file, or another region, has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// Of which component.
    pub component: ComponentId,
    /// Where.
    pub region: RegionId,
    /// What: `image`, `size`, `parameter work_mem`, `secret password`.
    pub what: String,
    /// As it should be. Of a secret: the beginning of its hash elsewhere.
    pub expected: String,
    /// As it is; `None`: it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// The region whose example that is; `None`: the file says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub like: Option<RegionId>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { component, region, what, expected, found, like } = self;
        write!(f, "{component} in {region}: {what} is {}, ", found.as_deref().unwrap_or("not there"))?;
        match like {
            Some(like) => write!(f, "{expected} in {like}"),
            None => write!(f, "{expected} in the file"),
        }
    }
}

/// Whether a failover to a region now would meet the objectives, and what is in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether it is ready.
    pub ready: bool,
    /// Why, or what is in the way.
    pub reason: String,
}

/// What DNS answers for a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteAnswer {
    /// The addresses; empty: NODATA.
    pub addresses: Vec<IpAddr>,
    /// The time to live in seconds.
    pub ttl_seconds: u32,
    /// The regions behind the addresses.
    pub regions: Vec<RegionId>,
    /// Why these.
    pub reason: String,
}

/// A failover that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestStatus {
    /// Where writing is to go.
    pub to: RegionId,
    /// Who asked.
    pub by: String,
    /// Who has approved it.
    pub approved: Vec<String>,
    /// How many more have to.
    pub missing: usize,
}

/// Something that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// What is to be moved, or to be made larger.
    pub component: ComponentId,
    /// Where to.
    pub region: RegionId,
    /// Since when, in milliseconds since 1970 UTC; `None`: that was not written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_unix_ms: Option<u64>,
    /// Why.
    pub why: String,
    /// What to do, in lines for a shell; those that begin with `#` are for the reader.
    pub steps: Vec<String>,
}

/// A run in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStatus {
    /// Its name.
    pub id: RunId,
    /// `failover`, `switchover`, `reprotect`, …
    pub intent: String,
    /// The database that it moves.
    pub database: ComponentId,
    /// Where writing was.
    pub from: Option<RegionId>,
    /// Where writing goes.
    pub to: RegionId,
    /// `running`, `waiting` (for a person), `done`, `failed` or `abandoned`.
    pub state: String,
    /// Each step's name and state, in order.
    pub steps: Vec<(String, String)>,
}
