//! How the state store is reached: one file that all nodes share, or an etcd cluster with a member in as many regions.
//!
//! Of etcd what matters to its clients: a member without a quorum answers nothing; a lost leader is replaced after one to two election
//! timeouts, and until it notices it still answers renewals; the own region's member is asked first.

use std::time::Duration;

use lifeboat_model::Moment;

use crate::store::Leases;
use crate::world::RegionIndex;

/// What kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// One SQLite file.
    File,
    /// etcd with members in the first three or five regions.
    Etcd,
}

/// etcd's default: `--election-timeout`.
pub const ELECTION: Duration = Duration::from_secs(1);

/// The store's members, and who leads them.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub kind: StoreKind,
    pub members: usize,
    pub leader: Option<RegionIndex>,
    /// Leaders so far.
    pub term: u64,
    /// Who led before and believes so until then.
    pub deposed: Option<(RegionIndex, Moment)>,
    /// An election is under way.
    pub electing: bool,
    /// Whether a region's member can commit now.
    pub commits: Vec<bool>,
}

impl Cluster {
    pub fn new(kind: StoreKind, regions: usize) -> Self {
        let members = match kind {
            StoreKind::File => 0,
            StoreKind::Etcd if regions >= 5 => 5,
            StoreKind::Etcd => 3.min(regions),
        };
        let leader = (kind == StoreKind::Etcd).then_some(0);
        Self { kind, members, leader, term: 1, deposed: None, electing: false, commits: vec![members > 0; regions] }
    }

    pub fn leases(&self) -> Leases {
        match self.kind {
            StoreKind::File => Leases::Exact,
            StoreKind::Etcd => Leases::Seconds,
        }
    }

    /// Whether `member` reaches a majority of the members, itself among them. `reaches`: both ways, and the other lives.
    pub fn has_quorum(&self, member: RegionIndex, reaches: impl Fn(RegionIndex, RegionIndex) -> bool) -> bool {
        (0..self.members).filter(|other| reaches(member, *other)).count() > self.members / 2
    }

    /// Learns anew who can commit. Returns whether an election has to begin.
    pub fn review(
        &mut self,
        now: Moment,
        notices_after: Duration,
        reaches: impl Fn(RegionIndex, RegionIndex) -> bool,
    ) -> bool {
        if self.kind == StoreKind::File {
            return false;
        }
        if let Some(leader) = self.leader
            && !self.has_quorum(leader, &reaches)
        {
            self.leader = None;
            self.deposed = Some((leader, now + notices_after));
        }
        let leader = self.leader;
        for member in 0..self.members {
            self.commits[member] = leader.is_some_and(|leader| reaches(member, leader));
        }
        leader.is_none() && !std::mem::replace(&mut self.electing, leader.is_none())
    }
}
