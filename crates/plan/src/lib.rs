//! Model, state and intent become a plan: a DAG of idempotent steps with durations and a critical path.
//!
//! Pure, and knows nothing of stores, drivers or clocks. [`Plan::build`] says what has to happen for an [`Intent`], who acts,
//! what each step waits for and how one finds out that it has already happened; `control` carries it out.
//! [`Plan::critical_path`] says how long that takes, from [`Durations`] that drills have measured or, before there are any,
//! from defaults with their source. [`RegionLoss`] is the same for all that is written in a region, of which `assess` draws
//! recoveries.

mod dag;
mod durations;
mod loss;
mod plan;
mod step;

pub use durations::{Durations, Expected};
pub use loss::RegionLoss;
pub use plan::{CriticalPath, Intent, Plan, PlanError};
pub use step::{OnFailure, Retry, Step, StepId, StepKind};
