//! What can go wrong with a fleet, or is done to it by people; and what can be broken on purpose.

use std::time::Duration;

use lifeboat_control::Mutation;
use lifeboat_control::record::Request;
use lifeboat_model::{ComponentId, RegionId};

/// Something that goes wrong, or is mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A region's nodes and servers are killed, and its member of the store.
    KillRegion(RegionId),
    /// Only its nodes.
    KillNode(RegionId),
    /// Only one server.
    KillServer(RegionId, ComponentId),
    /// All of it but the servers starts again; those are started by their nodes.
    StartNode(RegionId),
    /// Everything in it stands still.
    Freeze(RegionId),
    /// Only its nodes do.
    FreezeNode(RegionId),
    /// All of it goes on.
    Thaw(RegionId),
    /// Nothing gets from the first to the second.
    Cut(RegionId, RegionId),
    /// A region reaches nobody, the store neither.
    Isolate(RegionId),
    /// Whatever passes between two regions takes so much longer; in both directions.
    Delay(RegionId, RegionId, Duration),
    /// All links are whole and quick.
    Heal,
    /// The store answers nobody.
    StoreDown,
    /// It does again.
    StoreUp,
    /// A region's nodes do not reach the store, and everything else.
    CutStore(RegionId),
    /// All reach it again.
    HealStore,
    /// The store takes up to so long for every answer.
    StoreSlow(Duration),
    /// etcd's leader gives up.
    LeaderGone,
    /// Of every hundred answers of the store so many are lost, messages come late, and orders and changes come twice.
    Noise(u64),
    /// A region's disks are slow by this factor.
    SlowDisk(RegionId, u32),
    /// A region's disks are full: its servers fall and do not start.
    FullDisk(RegionId),
    /// There is room again.
    FreeDisk(RegionId),
    /// A region's clock runs so many parts in a million too fast from now on.
    Drift(RegionId, i64),
    /// A region's wall clock jumps by so many milliseconds.
    WallClock(RegionId, i64),
    /// A person asks a node for something.
    Person(RegionId, ComponentId, Request),
    /// A person, by the name of a token, approves at a node what another one asks for.
    Approve(RegionId, ComponentId, String),
}

impl Fault {
    /// Whether it only mends.
    pub fn mends(&self) -> bool {
        matches!(
            self,
            Self::StartNode(_)
                | Self::Thaw(_)
                | Self::Heal
                | Self::StoreUp
                | Self::HealStore
                | Self::Noise(0)
                | Self::FreeDisk(_)
                | Self::SlowDisk(_, 1)
                | Self::StoreSlow(Duration::ZERO)
        )
    }
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

impl Broke {
    /// All that can be broken.
    pub const ALL: [Self; 28] = [
        Self::Brain(Mutation::ClaimAny),
        Self::Brain(Mutation::ConfirmBeforeOpen),
        Self::Brain(Mutation::SynchronousEarly),
        Self::Brain(Mutation::AloneUnrecorded),
        Self::Brain(Mutation::ForceUnexpired),
        Self::Brain(Mutation::QuorumOfOne),
        Self::Brain(Mutation::StopsOffByOne),
        Self::Brain(Mutation::ConfirmPastLease),
        Self::Brain(Mutation::LossIgnored),
        Self::Brain(Mutation::Unjournaled),
        Self::Brain(Mutation::Unlinked),
        Self::Brain(Mutation::OldWriterStays),
        Self::Brain(Mutation::AlsoUnfenced),
        Self::Brain(Mutation::FollowsUnfenced),
        Self::Brain(Mutation::OldFollowersNamed),
        Self::Brain(Mutation::ReadIsEnough),
        Self::Brain(Mutation::StopsWithoutStore),
        Self::Brain(Mutation::MostDataIgnored),
        Self::Brain(Mutation::OnePromiseEnough),
        Self::Brain(Mutation::PromiseForgotten),
        Self::Brain(Mutation::PromiseBroken),
        Self::Brain(Mutation::PromiseFromAnswer),
        Self::Brain(Mutation::PromiseWhileClaiming),
        Self::Brain(Mutation::CopyEverywhere),
        Self::Brain(Mutation::AllDarkIsDown),
        Self::DriverIgnoresEpoch,
        Self::GateIgnoresTime,
        Self::LeaseTooShort,
    ];
}
