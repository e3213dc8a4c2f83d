//! What the user declares, and the plain data that the other crates speak in.
//!
//! Pure: no socket, no file, no clock, no thread. [`App`] is the validated form of a `lifeboat.yaml`;
//! [`parse`] makes one from text or says everything that is wrong with it, each [`Problem`] with its line; [`schema()`] tells editors the same.
//! [`database`] and [`state`] hold the words that `control`, the drivers and the store exchange:
//! what a database can be told and what it says of itself ([`compute`]: the same of compute), and what a state store keeps; [`journal`] and [`status`]
//! what people are told; [`manual`] what people do where Lifeboat has no driver.

pub mod app;
pub mod compute;
pub mod database;
pub mod fargate;
mod fields;
pub mod ids;
pub mod journal;
pub mod kubernetes;
pub mod manual;
pub mod moment;
pub mod names;
mod parse;
mod problem;
pub mod quantity;
mod reference;
mod scalar;
mod schema;
pub mod state;
pub mod status;

pub use app::App;
pub use ids::{AppName, ComponentId, Epoch, HostName, RegionId, RunId};
pub use moment::Moment;
pub use parse::{MOST_BYTES, Places, parse, parse_bytes};
pub use problem::{Problem, nearest};
pub use reference::reference;
pub use schema::schema;
