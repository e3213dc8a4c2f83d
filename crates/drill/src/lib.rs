//! Drills: a fault on real servers, a client that remembers, a measured report.
//!
//! [`run`] starts a whole app on this machine, a `lifeboat node` per region in a directory of its own, places orders without
//! pause, does a [`Fault`] to the writer's region with signals to real processes, watches what the nodes do about it, brings
//! the region back, and compares what the client remembers with what is there. The outcome is a [`Report`]; [`html`] makes
//! a page of it, and [`Terminal`] tells it live.
//!
//! [`world`], [`processes`] and [`http`] are there for other rehearsals on real servers too.
//! `measure`, `chart` and `promises` are pure: histories in, figures out. `world` owns every process and removes everything.

mod chart;
mod client;
mod clock;
mod drill;
mod error;
mod etcd;
#[cfg(test)]
mod fixture;
pub mod http;
mod lookup;
mod measure;
mod options;
mod partition;
mod ports;
pub mod processes;
mod progress;
mod promises;
pub mod report;
mod report_html;
mod report_svg;
mod terminal;
mod watch;
pub mod world;

pub use drill::{run, run_until};
pub use error::Error;
pub use options::{Fault, Options, StoreKind, UnknownFault};
pub use progress::{News, Progress, Pulse, Silent};
pub use report::Report;
pub use report_html::html;
pub use terminal::Terminal;
