//! Health checks: HTTP, HTTPS, TCP, PostgreSQL.
//!
//! A [`Prober`] asks each of its targets again and again, and hands out what it saw as [`Reading`]s. It concludes
//! nothing: how many bad readings make a target down is decided elsewhere. What it does do is tell kinds of evidence
//! apart: a refusal from silence, and both from our own inability to look ([`Evidence`]).
//!
//! [`probe_once`] is a single probe, without a schedule.

mod ask;
mod clock;
mod prober;
mod reading;
mod schedule;
mod stall;
mod tls;

pub use ask::probe_once;
pub use prober::Prober;
pub use reading::{Evidence, Reading, Target};
pub use schedule::Schedule;
pub use tls::{Authorities, AuthoritiesError};
