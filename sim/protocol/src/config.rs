//! How large the explored world is, which variant of the protocol, and which rule is broken on purpose.

/// What is explored.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Regions with data, two or three.
    pub regions: usize,
    /// How many standbys have to confirm a commit, where so many are named: the `k` of `ANY k (…)`.
    pub confirmations: usize,
    /// The most writes of clients.
    pub writes: u8,
    /// The newest epoch that may be claimed; the first is 1.
    pub epochs: u8,
    /// The most crashes of servers ([`UNBOUNDED`]: any number).
    pub crashes: u8,
    /// The most restarts of nodes.
    pub restarts: u8,
    /// The most lost answers of the store.
    pub losses: u8,
    /// How an epoch is opened.
    pub opening: Opening,
    /// Whether nodes promise each other to claim nothing while the store is gone.
    pub promises: bool,
    /// Which rules are broken.
    pub mutations: Mutations,
}

/// No bound.
pub const UNBOUNDED: u8 = u8::MAX;

impl Config {
    /// `regions` regions of which one confirms, two writes, three epochs, any number of crashes, and one of everything else.
    pub fn new(regions: usize) -> Self {
        Self {
            regions,
            confirmations: 1,
            writes: 2,
            epochs: 3,
            crashes: UNBOUNDED,
            restarts: 1,
            losses: 1,
            opening: Opening::Alone,
            promises: true,
            mutations: Mutations::default(),
        }
    }

    /// The same with a rule broken.
    #[must_use]
    pub fn breaking(mut self, mutation: Mutation) -> Self {
        self.mutations.0 |= 1 << mutation as u32;
        self
    }

    /// Whether a rule is broken.
    pub fn breaks(&self, mutation: Mutation) -> bool {
        self.mutations.0 >> mutation as u32 & 1 == 1
    }
}

/// How a new writer's epoch is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// By the node, with a lease; standbys come later (`without-standby: continue`).
    Alone,
    /// Once standbys follow behind the shut gate (`without-standby: stop`).
    BehindPeers,
}

/// The rules that are broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mutations(u32);

/// A rule that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// A region that holds not everything claims without force.
    ClaimAny,
    /// A promoted region confirms before its epoch is recorded as open.
    ConfirmBeforeOpen,
    /// Synchronous is recorded before the peers have everything.
    SynchronousEarly,
    /// A primary goes on alone before that is recorded.
    AloneUnrecorded,
    /// A primary that is alone confirms without a lease.
    Ungated,
    /// The store lets a lease go before its holder stops believing in it.
    StoreFirst,
    /// A claim by force does not wait for the lease.
    ForceUnexpired,
    /// `n - k` stops are taken for enough.
    StopsOffByOne,
    /// Any standby of those that have stopped goes on, not the one with most data.
    MostDataSkipped,
    /// A node that was restarted claims though it may have promised not to.
    PromiseForgotten,
    /// A node promises while it does not know what became of its own claim.
    ClaimInFlight,
    /// The asker counts a promise from the answer instead of the question: it outlives the promiser's own belief.
    PromiseFromAnswer,
    /// A node that knows of a newer epoch promises to the writer of an older one.
    OldEpochAsked,
    /// The asker goes on when all but one have promised.
    OneNotAsked,
    /// A lost answer is taken for "not executed".
    LostAnswer,
    /// After a lost answer it is enough to read: nothing fences the request that may still come.
    ReadIsEnough,
    /// The gate that a server is about to be behind is not recorded before.
    Unannounced,
    /// Alone is recorded while the server's gate is not shut yet.
    AloneUnshut,
    /// Who claims by force does not stop the standbys that the old writer was about to be synchronous with.
    AlsoUnfenced,
    /// Of the standbys that the old writer was about to be synchronous with any goes on, not the one with most data.
    AlsoDataSkipped,
    /// Standbys follow a claimer that still has to stop those that the old writer was about to be synchronous with.
    FollowedUnfenced,
    /// An epoch that was claimed by force is opened in spite of a promise. It breaks nothing, for who promises has claimed nothing.
    OpenedInSpite,
    /// A standby is counted though it has not acted under the writer's epoch yet.
    OldFollowerCounted,
    /// An epoch that opens behind peers lets them confirm before it is recorded as open.
    PeersBeforeOpen,
}

impl Mutation {
    /// All, with what is broken, for people.
    pub const ALL: [(Self, &'static str); 24] = [
        (Self::ClaimAny, "a region that holds not everything claims without force"),
        (Self::ConfirmBeforeOpen, "a promoted region confirms before its epoch is recorded as open"),
        (Self::SynchronousEarly, "synchronous is recorded before the peers have everything"),
        (Self::AloneUnrecorded, "a primary goes on alone before that is recorded"),
        (Self::Ungated, "a primary that is alone confirms without a lease"),
        (Self::StoreFirst, "the store lets a lease go before its holder stops believing in it"),
        (Self::ForceUnexpired, "a claim by force does not wait for the lease"),
        (Self::StopsOffByOne, "n - k stops are taken for enough"),
        (Self::MostDataSkipped, "any standby that has stopped goes on, not the one with most data"),
        (Self::PromiseForgotten, "a restarted node claims though it may have promised not to"),
        (Self::ClaimInFlight, "a node promises while its own claim may be under way"),
        (Self::PromiseFromAnswer, "a promise is counted from the answer instead of the question"),
        (Self::OldEpochAsked, "a node that knows of a newer epoch promises to an older one's writer"),
        (Self::OneNotAsked, "the asker goes on when all but one have promised"),
        (Self::LostAnswer, "a lost answer is taken for \"not executed\""),
        (Self::ReadIsEnough, "after a lost answer nothing fences the request that may still come"),
        (Self::Unannounced, "a writer's new standbys confirm before that is recorded"),
        (Self::AloneUnshut, "alone is recorded before the server's gate is shut"),
        (Self::AlsoUnfenced, "who claims by force does not stop the standbys of a gate in passing"),
        (Self::AlsoDataSkipped, "any standby of a gate in passing goes on, not the one with most data"),
        (Self::FollowedUnfenced, "standbys follow a claimer before it has stopped those of a gate in passing"),
        (Self::OpenedInSpite, "a forced epoch is opened in spite of a promise"),
        (Self::OldFollowerCounted, "a standby is counted that has not acted under the writer's epoch"),
        (Self::PeersBeforeOpen, "peers confirm before the epoch is recorded as open"),
    ];
}
