//! The failover protocol as a small state machine, explored exhaustively: the store's record and lease, every region's node with what it
//! has read (however old), its server with log and gate, requests whose answers are lost, promises between nodes, restarts that forget.
pub mod config;
pub mod explore;
pub mod promises;
pub mod refine;
pub mod rules;
pub mod state;
