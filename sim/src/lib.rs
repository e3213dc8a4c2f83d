//! A deterministic simulator of whole fleets: the production brain of every region, under crashes, pauses, partitions,
//! lost answers and clocks that drift, with the promises checked after every event.
//!
//! What is simulated are the things around the brain: the state store ([`store`], and [`cluster`] how it is reached), PostgreSQL
//! ([`server`]), the network, clocks, clients and people ([`world`]). [`history`] draws what goes wrong from a seed and plays it; the same
//! seed always gives the same history. What breaks a promise ([`check`]) is shrunk to what is needed ([`shrink`]).

pub mod chain;
pub mod check;
pub mod cluster;
pub mod fault;
pub mod history;
pub mod provoke;
pub mod refinement;
pub mod scenario;
pub mod server;
pub mod shrink;
pub mod store;
pub mod world;

mod clock;
mod queue;
