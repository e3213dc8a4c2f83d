//! Pattern, regions, size, cost, predicted RTO and RPO, each with its reason.
//!
//! Pure: an app and the atlas in, an [`Assessment`] out; the same file and data give the same answer to the byte.
//! [`assess`] is the way in, [`assess_fully`] adds the table of patterns and the frontier, [`what_if`] answers questions.
//! [`text`], [`html`] and `serde` turn the answer into a terminal report, a page and JSON; [`mod@write`] puts the choices
//! back into the file.
//!
//! How it is decided: [`choice`] lists what each kind can do, [`site`] where it may be, [`tariff`] what it costs;
//! [`optimise`] finds the cheapest combination that meets the objectives and proves it, [`conflict`] explains why there
//! is none, [`draw`] throws the dice of recoveries, [`predict`] tells them, [`weak`] looks for what the plan leans on.

mod assemble;
mod bill;
pub mod choice;
pub mod conflict;
pub mod draw;
mod explain;
mod gather;
pub mod html;
mod inputs;
mod merge;
mod nearest;
pub mod optimise;
mod picture;
pub mod predict;
pub mod proposal;
mod questions;
pub mod recovery;
pub mod regions;
pub mod report;
pub mod schedule;
pub mod site;
mod solve;
pub mod spread;
pub mod tariff;
pub mod text;
mod verdict;
pub mod weak;
mod worth;
pub mod write;

pub use assemble::{as_it_runs, assess};
pub use inputs::{Candidates, Inputs};
pub use questions::{Change, Difference, WhatIf, WhatIfError, assess_fully, compare, frontier, what_if};
pub use recovery::{History, StepKind};
pub use report::Assessment;
