//! The brain's inputs and outputs: plain data, so that a log of inputs replays a bug.

use std::collections::BTreeMap;

use lifeboat_model::compute::{ComputeState, Duty};
use lifeboat_model::database::{DatabaseState, Note, Order, Refusal};
use lifeboat_model::journal::JournalEntry;
use lifeboat_model::state::{Change, Entry, LeaseId, Outcome, Revision, Transaction};
use lifeboat_model::status::RouteAnswer;
use lifeboat_model::{ComponentId, Epoch, HostName, Moment, RegionId};
use std::time::Duration;

use crate::health::{Evidence, Target};
use crate::promise::{Answers, Question};
use crate::record::Request;

/// The time as the caller reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The boot-time clock, by which everything is decided.
    pub now: Moment,
    /// The wall clock in milliseconds since 1970 UTC, for the journal only.
    pub unix_ms: u64,
}

/// Why the store did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFailure {
    /// Nothing was executed.
    NotExecuted,
    /// It may have been executed; only reading tells.
    Unknown,
    /// The lease that was to be used has run out.
    LeaseGone,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// Everything below [`crate::record::STATE`], as of a revision; changes after it follow.
    Snapshot {
        /// The revision.
        revision: Revision,
        /// All entries.
        entries: Vec<Entry>,
    },
    /// Changes below the same prefix, in order.
    Changes(Vec<Change>),
    /// The answer to the one transaction under way.
    Transacted(Result<Outcome, StoreFailure>),
    /// The answer to [`Command::Grant`].
    Granted(Result<LeaseId, StoreFailure>),
    /// The answer to [`Command::Renew`].
    Renewed(Result<(), StoreFailure>),
    /// A probe's reading.
    Reading {
        /// What was probed.
        target: Target,
        /// What came of it.
        evidence: Evidence,
    },
    /// The driver's newest report of a database in this region.
    Database {
        /// Which.
        component: ComponentId,
        /// How it is.
        state: DatabaseState,
    },
    /// The driver's newest report of compute in this region.
    Compute {
        /// Which.
        component: ComponentId,
        /// How it is.
        state: ComputeState,
    },
    /// The driver has changed something of compute in this region, or could not.
    ComputeChanged {
        /// Which.
        component: ComponentId,
        /// What: `web scaled from 2 to 6`.
        what: String,
        /// On what grounds, as far as the driver knows them.
        why: String,
    },
    /// The driver has carried out an order, or refused it.
    OrderDone {
        /// Of which database.
        component: ComponentId,
        /// How it ended.
        result: Result<Note, Refusal>,
    },
    /// Another node asks this one to leave databases to it. Answered by [`Command::AnswerPeer`].
    PeerAsks {
        /// Tells answers apart.
        ticket: u64,
        /// What is asked.
        question: Question,
    },
    /// Another node has answered [`Command::AskPeers`]. One that does not answer is no event.
    PeerAnswered {
        /// Which question.
        round: u64,
        /// Who.
        region: RegionId,
        /// What.
        answers: Answers,
    },
    /// A person asks this node for something. Answered by [`Command::Answer`].
    Person {
        /// Tells answers apart.
        ticket: u64,
        /// The database.
        database: ComponentId,
        /// What is asked.
        request: Request,
    },
    /// A person approves what another one asks for. Answered by [`Command::Answer`].
    Approve {
        /// Tells answers apart.
        ticket: u64,
        /// The database.
        database: ComponentId,
        /// The name of the token with which it is approved.
        by: String,
    },
    /// A person says where a database is written now that people move. Answered by [`Command::Answer`].
    Moved {
        /// Tells answers apart.
        ticket: u64,
        /// The database.
        database: ComponentId,
        /// The region that writes.
        writer: RegionId,
        /// Who says so.
        by: String,
        /// Whether that is an admin, who is believed where nothing waits for it.
        is_admin: bool,
    },
}

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Commit this to the store; at most one at a time.
    Transact(Transaction),
    /// Read everything below [`crate::record::STATE`] again and feed an [`Event::Snapshot`].
    Relist,
    /// Ask the store for a lease.
    Grant(Duration),
    /// Renew it.
    Renew(LeaseId),
    /// Give an order to the driver of a database; at most one at a time for each.
    Order {
        /// Which database.
        component: ComponentId,
        /// What to do, under which epoch.
        order: Order,
    },
    /// The commit gate may confirm until then, under this epoch; `None`: stop confirming at once.
    Confirm {
        /// Which database.
        component: ComponentId,
        /// The epoch.
        epoch: Epoch,
        /// Until when.
        until: Option<Moment>,
    },
    /// Ask the node of every other region this, and feed each answer.
    AskPeers {
        /// Tells questions apart.
        round: u64,
        /// What to ask.
        question: Question,
    },
    /// The answer to another node's question.
    AnswerPeer {
        /// Whose.
        ticket: u64,
        /// The answer.
        answers: Answers,
    },
    /// What this region is for compute from now on. How much that takes is the driver's matter.
    Compute {
        /// Which.
        component: ComponentId,
        /// Whether clients are served here.
        duty: Duty,
    },
    /// Serve these answers from now on.
    Serve(BTreeMap<HostName, RouteAnswer>),
    /// An entry that was committed to the journal: for the log.
    Journaled(JournalEntry),
    /// The answer to a person: accepted (what will happen) or refused (why).
    Answer {
        /// Whose.
        ticket: u64,
        /// The answer.
        answer: Result<String, String>,
    },
}
