//! What a step is called, and how it is told.

use std::fmt;

use crate::state::{Change, Gate, Region, letter};

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A client writes.
    Write(Region, u8),
    /// A standby receives the next write, or learns of its primary's new timeline.
    Receive(Region, Region),
    /// A client is told that its write is safe.
    Acknowledge(Region, u8),
    /// A server's processes are gone.
    Crash(Region),
    /// A server starts as what its data say it is.
    Start(Region),
    /// A node forgets everything.
    Restart(Region),
    /// A node's lease ends by its own clock, or it stands still.
    LeaseEnds(Region),
    /// The store lets a lease go.
    LeaseGone(Region),
    /// A node renews its lease, or finds that it still holds it.
    Renew(Region),
    /// A writer that is alone takes the lease.
    TakeLease(Region),
    /// A node reads the record.
    Read(Region),
    /// A node reads the record in a transaction that keeps its own older requests from being carried out any more.
    Fence(Region),
    /// A transaction, and how it ended.
    Transact(Region, Change, Answer),
    /// A request whose answer was lost is carried out after all.
    Late(Region, Change),
    /// A claimer sees the old writer fenced.
    Learn(Region),
    /// A standby becomes a primary behind a shut gate.
    Promote(Region, u8),
    /// An order finds that there is nothing to do, and its epoch is remembered.
    Touch(Region, u8),
    /// A primary that has claimed anew shuts its gate.
    Shut(Region, u8),
    /// A gate is changed.
    SetGate(Region, Gate),
    /// A primary is stopped, for there is a newer epoch.
    Stop(Region, u8),
    /// A standby follows nobody any more.
    Detach(Region, u8),
    /// A server becomes a standby of another's.
    Follow(Region, Region, u8),
    /// The first promises the second to claim nothing.
    Promise(Region, Region),
    /// The second's trust in the first's promise ends by its own clock.
    PromiseEnds(Region, Region),
    /// The first's own belief in its promises ends; only where that rule is broken.
    Unbound(Region),
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Executed, and the node knows.
    Came,
    /// Executed, and the node does not know.
    Lost,
    /// Not executed, and the node does not know; it may be yet.
    Underway,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Write(at, write) => write!(f, "{}: a client writes {write}", letter(at)),
            Self::Receive(to, from) => write!(f, "{}: receives from {}", letter(to), letter(from)),
            Self::Acknowledge(at, write) => write!(f, "{}: acknowledges {write}", letter(at)),
            Self::Crash(at) => write!(f, "{}: the server is killed", letter(at)),
            Self::Start(at) => write!(f, "{}: the server starts as what it was", letter(at)),
            Self::Restart(at) => write!(f, "{}: the node restarts and has forgotten everything", letter(at)),
            Self::LeaseEnds(at) => write!(f, "{}: the lease ends, by the node's own clock", letter(at)),
            Self::LeaseGone(of) => write!(f, "store: the lease of {} runs out", letter(of)),
            Self::Renew(at) => write!(f, "{}: renews its lease", letter(at)),
            Self::TakeLease(at) => write!(f, "{}: takes the lease", letter(at)),
            Self::Read(at) => write!(f, "{}: reads the record", letter(at)),
            Self::Fence(at) => write!(f, "{}: fences its older requests and reads the record", letter(at)),
            Self::Transact(at, change, answer) => {
                let answer = match answer {
                    Answer::Came => "",
                    Answer::Lost => "; done, but the answer is lost",
                    Answer::Underway => "; no answer comes, the request is still under way",
                };
                write!(f, "{}: {change}{answer}", letter(at))
            }
            Self::Late(at, change) => write!(f, "store: carries out an old request of {}: {change}", letter(at)),
            Self::Learn(at) => write!(f, "{}: sees the old writer fenced", letter(at)),
            Self::Promote(at, epoch) => {
                write!(f, "{}: promoted under epoch {epoch}, behind a shut gate", letter(at))
            }
            Self::Touch(at, epoch) => write!(f, "{}: an order of epoch {epoch} finds nothing to do", letter(at)),
            Self::Shut(at, epoch) => write!(f, "{}: shuts its gate under epoch {epoch}", letter(at)),
            Self::SetGate(at, gate) => write!(f, "{}: reloads, {gate} confirms", letter(at)),
            Self::Stop(at, epoch) => write!(f, "{}: sees epoch {epoch} and stops", letter(at)),
            Self::Detach(at, epoch) => write!(f, "{}: sees epoch {epoch} and follows nobody any more", letter(at)),
            Self::Follow(at, writer, epoch) => {
                write!(f, "{}: follows {} under epoch {epoch}, rewound where it differs", letter(at), letter(writer))
            }
            Self::Promise(by, to) => write!(f, "{}: promises {} to claim nothing", letter(by), letter(to)),
            Self::PromiseEnds(by, to) => write!(f, "{}: trusts the promise of {} no longer", letter(to), letter(by)),
            Self::Unbound(at) => write!(f, "{}: thinks its promise over", letter(at)),
        }
    }
}
