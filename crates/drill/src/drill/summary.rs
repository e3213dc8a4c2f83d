//! What all repetitions together say: the report, and whether the drill passed.

use std::collections::BTreeMap;

use super::facts::Facts;
use crate::promises::{self, Findings};
use crate::report::{Environment, Finding, Report, Run};
use crate::{Options, measure};

/// What one repetition found out.
pub(super) struct Repetition {
    pub runs: Vec<Run>,
    pub findings: Findings,
    pub problems: Vec<String>,
}

pub(super) fn summed_up(
    options: &Options,
    facts: &Facts,
    repetitions: Vec<Repetition>,
    environment: Environment,
) -> Report {
    let mut problems = Vec::new();
    let (mut runs, mut findings) = (Vec::new(), Vec::new());
    for repetition in repetitions {
        problems.extend(repetition.problems);
        runs.extend(repetition.runs);
        findings.push(repetition.findings);
    }
    for run in &runs {
        problems.extend(complaint(run));
    }
    let findings = promises::merge(findings);
    for (promise, (finding, reason)) in &findings {
        if *finding == Finding::Broken {
            problems.push(format!("promise {promise} is broken: {reason}"));
        }
    }
    Report {
        app: options.app.name.to_string(),
        fault: options.fault.to_string(),
        region: facts.home.to_string(),
        passed: problems.is_empty(),
        problems,
        medians: if options.repeat > 1 { measure::medians(&runs) } else { BTreeMap::new() },
        runs,
        promises: findings.iter().map(|(promise, (finding, _))| ((*promise).into(), *finding)).collect(),
        prediction: options.prediction,
        reasons: findings.into_iter().map(|(promise, (_, reason))| (promise.into(), reason)).collect(),
        environment,
    }
}

/// What is wrong with a run by its own figures.
fn complaint(run: &Run) -> Vec<String> {
    let mut complaints = Vec::new();
    if !run.served_again {
        complaints.push(format!("{}: no order was accepted any more", run.intent));
    } else if run.rto_held() == Some(false) {
        complaints.push(format!("{}: RTO {} ms", run.intent, run.rto_ms));
    }
    if run.objective.rto_ms.is_some_and(|rto| run.later_gap_ms > rto) {
        complaints.push(format!("{}: later on {} ms without an accepted order", run.intent, run.later_gap_ms));
    }
    if run.rpo_held() == Some(false) {
        complaints.push(format!("{}: {} acknowledged orders are lost", run.intent, run.lost.unwrap_or(0)));
    }
    complaints
}
