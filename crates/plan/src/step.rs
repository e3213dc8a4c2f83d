//! One step of a plan: what is done, by whom, after what, and how to tell that it is done.

use std::fmt;
use std::time::Duration;

use lifeboat_model::{ComponentId, HostName, RegionId};
use serde::{Deserialize, Serialize};

/// A step's number in its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub usize);

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// Write everything down at the source, so that stopping it is quick.
    Checkpoint(ComponentId),
    /// Stop the source in an orderly way; its standbys receive everything.
    Drain(ComponentId),
    /// Wait until the target has everything that the source wrote.
    CatchUp(ComponentId),
    /// Claim the next epoch in the state store.
    Claim(ComponentId),
    /// A named standby stops confirming commits of the old writer.
    Detach(ComponentId),
    /// Turn the target into a primary behind a shut gate.
    Promote(ComponentId),
    /// Record the epoch as open; the target's commits are confirmed from then on.
    Open(ComponentId),
    /// Start compute that does not run in the target yet.
    StartCompute(ComponentId),
    /// Wait until compute in the target is healthy.
    AwaitCompute(ComponentId),
    /// The route answers the target.
    Route(HostName),
    /// Become (or point a standby at) the new writer's standby, divergent writes saved.
    Follow(ComponentId),
    /// A standby confirms commits again, and that is recorded.
    Synchronize(ComponentId),
}

impl StepKind {
    /// The kind alone, under which durations are kept.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Checkpoint(_) => "checkpoint",
            Self::Drain(_) => "drain",
            Self::CatchUp(_) => "catch-up",
            Self::Claim(_) => "claim",
            Self::Detach(_) => "detach",
            Self::Promote(_) => "promote",
            Self::Open(_) => "open",
            Self::StartCompute(_) => "start-compute",
            Self::AwaitCompute(_) => "await-compute",
            Self::Route(_) => "route",
            Self::Follow(_) => "follow",
            Self::Synchronize(_) => "synchronize",
        }
    }

    /// What it acts on.
    pub fn subject(&self) -> &str {
        match self {
            Self::Checkpoint(c)
            | Self::Drain(c)
            | Self::CatchUp(c)
            | Self::Claim(c)
            | Self::Detach(c)
            | Self::Promote(c)
            | Self::Open(c)
            | Self::StartCompute(c)
            | Self::AwaitCompute(c)
            | Self::Follow(c)
            | Self::Synchronize(c) => c.as_str(),
            Self::Route(host) => host.as_str(),
        }
    }

    /// How one finds out whether it has already happened, whoever did it.
    pub fn done_when(&self) -> &'static str {
        match self {
            Self::Checkpoint(_) => "the source has reported its checkpoint in the run",
            Self::Drain(_) => "the source's server is stopped and its last position is in the run",
            Self::CatchUp(_) => "the target has flushed up to the source's last position",
            Self::Claim(_) => "the record in the store names the target as writer under this run's epoch",
            Self::Detach(_) => "the standby reports that it follows nobody under this run's epoch",
            Self::Promote(_) => "the target reports a primary under this run's epoch",
            Self::Open(_) => "the record in the store is open under this run's epoch",
            Self::StartCompute(_) => "a process of it runs in the target",
            Self::AwaitCompute(_) => "its check succeeds in the target",
            Self::Route(_) => "the route's answer is the target's address",
            Self::Follow(_) => "the region reports a standby that streams from the writer",
            Self::Synchronize(_) => "the record in the store lists the region among the holders",
        }
    }
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name(), self.subject())
    }
}

/// How often a failed step is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Tries in all; `None`: for as long as the run lasts.
    pub tries: Option<u32>,
    /// The wait before the second try; each further one waits twice as long, up to ten seconds.
    pub wait: Duration,
}

/// What happens when a step has failed for good or has outlasted its timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The run is abandoned and the source goes on: nothing irreversible has happened yet.
    Abandon,
    /// Another ready region may claim the next epoch.
    NextTarget,
    /// The run goes on without it; what is missing is reported until somebody mends it.
    GoOn,
}

/// One step of a plan. Idempotent: whoever does it twice has done it once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its number.
    pub id: StepId,
    /// What is done.
    pub kind: StepKind,
    /// Whose node does it.
    pub actor: RegionId,
    /// What has to be done before.
    pub needs: Vec<StepId>,
    /// How long it is expected to take; of a manual step zero, for nobody can say how long a person takes.
    pub expected: Duration,
    /// After how long it counts as failed; a manual step waits for as long as it takes.
    pub timeout: Duration,
    /// How it is tried again.
    pub retry: Retry,
    /// What happens when it fails.
    pub on_failure: OnFailure,
    /// Whether clients are without service until it is done.
    pub in_outage: bool,
    /// A manual step: what a person does, in lines for a shell (`#` begins one for the reader). Empty: the actor's node does it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manual: Vec<String>,
}
