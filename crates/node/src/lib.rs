//! The daemon of one region: wires probe, control, store, drivers and dns.
//!
//! It decides nothing: [`lifeboat_control::Brain`] does, and this crate carries facts to it and its commands to those who can do
//! them. [`run`] is the whole of it. One task owns the brain ([`mind`]); everything else sends it events.

mod api;
mod clock;
mod complaint;
mod databases;
mod deployments;
mod door;
mod drift;
mod error;
mod guard;
mod history;
mod identity;
mod leftovers;
mod mind;
mod names;
mod options;
mod peers;
mod probes;
mod processes;
mod run;
mod shared;
mod steering;
mod store;
pub mod tokens;

pub use error::Error;
pub use options::{Options, WhenStopped};
pub use run::run;
pub use shared::{TOKEN_DIRECTORY, operator_token, viewer_token};
