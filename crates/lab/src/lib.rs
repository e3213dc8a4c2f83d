//! Regions in network namespaces: their links are cut, slowed and made to lose packets, while everything in them lives on.
//!
//! [`machine`] starts a program once more in namespaces of its own, with which everything in them ends. [`Network`] makes a
//! namespace for each region, joined by a pair of interfaces for each pair of regions, and does to each direction of each
//! link what a test wants. Nothing has a name outside: no namespace, interface or rule is left, however a test ends.
//!
//! [`schedule`] makes fault schedules from a seed, [`check`] judges what a client remembers against what is there. Both are pure.
//! This crate knows nothing of nodes and databases: `lifeboat-drill` starts these in the namespaces.

pub mod check;
pub mod machine;
mod network;
pub mod schedule;

pub use network::{Cut, Error, Network, Place, Trouble, between, one_way};
