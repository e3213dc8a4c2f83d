//! What the user declares, and the plain data that the other crates speak in.
//!
//! Pure: no socket, no file, no clock, no thread. [`App`] is the validated form of a `lifeboat.yaml`;
//! `parse` makes one from text or says everything that is wrong with it, each error with its line.
//! [`database`] and [`state`] hold the words that `control`, the drivers and the store exchange:
//! what a database can be told and what it says of itself, and what a state store keeps; [`journal`] and [`status`]
//! what people are told.

pub mod app;
pub mod database;
pub mod ids;
pub mod journal;
pub mod moment;
pub mod quantity;
pub mod state;
pub mod status;

pub use app::App;
pub use ids::{AppName, ComponentId, Epoch, HostName, RegionId, RunId};
pub use moment::Moment;
