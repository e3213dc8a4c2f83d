//! The brain, without I/O: events in, commands out.
//!
//! It knows nothing of sockets, files, clocks or threads: [`Brain::step`] takes the time and one [`Event`], and returns the
//! [`Command`]s to carry out. One brain runs in every region's node; what they share is the state store. Start with
//! [`Brain`], [`event`] and [`record`]; [`confirm`] has the rules of fencing.
//!
//! The caller's duties, each broken once on purpose in the simulator:
//! 1. Events are fed one at a time, with clocks that do not run backwards.
//! 2. Every [`Command::Transact`] is answered by one [`Event::Transacted`], and only then by changes that it made.
//! 3. Store changes are fed in the order of their revisions, without gaps; after a gap a snapshot is fed.
//! 4. An [`Command::Order`] is given to the driver with its epoch, and answered by one [`Event::OrderDone`].
//! 5. A commit is confirmed only until the moment of the newest [`Command::Confirm`], read from the same clock.
//! 6. A [`Command::AskPeers`] reaches the others' brains as [`Event::PeerAsks`], and their answers come back to this one only.
//! 7. `step` is called with [`Event::Tick`] no later than [`Brain::wake_at`].

pub mod audit;
pub mod brain;
pub mod chain;
pub mod confirm;
pub mod event;
pub mod health;
pub mod promise;
pub mod record;

mod approve;
mod claim;
mod compute;
mod follow;
mod journal;
mod manual;
mod order;
mod route;
mod session;
mod status;
mod store;
mod switchover;
mod write;

pub use brain::{Brain, Mutation};
pub use event::{Clock, Command, Event};
