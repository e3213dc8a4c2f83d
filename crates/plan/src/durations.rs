//! How long each kind of step takes: measured where there are measurements, else a default with its source.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::StepKind;

/// Durations that steps have had in drills and real runs, by kind of step. Bounded: the newest 200 of each kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Durations(BTreeMap<String, Vec<Duration>>);

/// An expected duration and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The median, or the default.
    pub typical: Duration,
    /// `median of 12 measured` or the default's source.
    pub source: String,
}

const KEPT: usize = 200;

impl Durations {
    /// Adds one measurement.
    pub fn record(&mut self, kind: &StepKind, took: Duration) {
        let kept = self.0.entry(kind.name().to_owned()).or_default();
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(took);
    }

    /// What was measured of a kind of step, oldest first.
    pub fn measured(&self, kind: &StepKind) -> &[Duration] {
        self.0.get(kind.name()).map_or(&[], Vec::as_slice)
    }

    /// What to expect of a step.
    pub fn expect(&self, kind: &StepKind) -> Expected {
        match self.0.get(kind.name()) {
            Some(measured) if !measured.is_empty() => {
                let mut sorted = measured.clone();
                sorted.sort_unstable();
                Expected { typical: sorted[sorted.len() / 2], source: format!("median of {} measured", sorted.len()) }
            }
            _ => {
                let (millis, source) = default_for(kind);
                Expected { typical: Duration::from_millis(millis), source: source.into() }
            }
        }
    }
}

/// Typical milliseconds of PostgreSQL 15 with a few megabytes dirty on one machine; every drill replaces them.
fn default_for(kind: &StepKind) -> (u64, &'static str) {
    const LOCAL: &str = "default: PostgreSQL 15 on one machine under load";
    match kind {
        StepKind::Checkpoint(_) => (300, LOCAL),
        StepKind::Drain(_) => (250, LOCAL),
        StepKind::CatchUp(_) => (20, LOCAL),
        StepKind::Claim(_) => (10, "default: one transaction of the embedded store"),
        StepKind::Detach(_) => (50, LOCAL),
        StepKind::Promote(_) => (160, "default: promotion under pgbench load, 0.14 to 0.16 s"),
        StepKind::Open(_) => (40, "default: one transaction, and the commit gate connects"),
        StepKind::StartCompute(_) => (500, "default: a local process"),
        StepKind::AwaitCompute(_) => (250, "default: one probe interval"),
        StepKind::Route(_) => (1, "default: the answer is computed from the same state"),
        StepKind::Follow(_) => (5_000, "default: pg_rewind of a small database"),
        StepKind::Synchronize(_) => (500, LOCAL),
    }
}
