//! The failover protocol as a small state machine, explored exhaustively. Pure: no clock, no chance, no I/O.
//!
//! Two or three regions with data and the state store: its record and lease, every node with what it has read (however old), every server
//! with its log and gate, requests whose answers are lost and that may be carried out later, promises between nodes, restarts
//! that forget. Start with [`state`]; [`rules`] has every step, [`promises`] what is asked of every state, [`explore`] goes
//! through all of them. [`config`] lists the rules that can be broken on purpose. [`refine`] tells whether a change seen elsewhere, in the
//! simulator, is one that the rules allow.
//!
//! Left out because it can only take steps away: cut links, dead nodes, pauses, and witnesses, which claim nothing.

pub mod config;
pub mod explore;
pub mod promises;
pub mod refine;
pub mod rules;
pub mod state;
