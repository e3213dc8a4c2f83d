//! A deterministic simulator of whole fleets: the production brain of every region, under crashes, pauses, partitions,
//! lost answers and clocks that drift, with the promises checked after every event.
//!
//! What is simulated are the things around the brain: the state store ([`store`]), PostgreSQL ([`server`]), the network, clocks, clients
//! and people ([`world`]). [`history`] draws a schedule of faults from a seed and runs it; the same seed always gives the same history.

pub mod chain;
pub mod check;
pub mod history;
pub mod refinement;
pub mod scenario;
pub mod server;
pub mod store;
pub mod world;
