//! From a history that breaks a promise to the least that breaks the same promise: fewer incidents, shorter ones, sooner.

use std::time::Duration;

use lifeboat_model::Moment;

use crate::history::{self, Failure, How, Incident, Record};
use crate::scenario::{self, Fleet};

/// Gaps and durations are not shortened below this.
const SHORTEST: Duration = Duration::from_millis(200);
/// The most histories that are tried.
const TRIES: usize = 500;

/// Leaves out incidents, halves how long they last and the time between them, for as long as the same promise still breaks. The trace
/// tells what happens then.
pub fn shrink(failure: Failure, how: &How) -> Failure {
    let fleet = scenario::of_seed(failure.seed, how.fleet);
    let mut shrinking = Shrinking { fleet: &fleet, seed: failure.seed, how, promise: failure.broken.promise, tries: 0 };
    let mut incidents = failure.incidents;
    loop {
        let before = incidents.clone();
        shrinking.leave_out(&mut incidents);
        shrinking.shorten(&mut incidents);
        shrinking.bring_forward(&mut incidents);
        if incidents == before || shrinking.tries >= TRIES {
            break;
        }
    }
    let mut record = Record { trace: Some(Vec::new()), ..Record::default() };
    let broken = history::play(&fleet, failure.seed, how, &incidents, &mut record).err().unwrap_or(failure.broken);
    Failure { broken, incidents, trace: record.trace.unwrap_or_default(), ..failure }
}

struct Shrinking<'a> {
    fleet: &'a Fleet,
    seed: u64,
    how: &'a How,
    promise: &'static str,
    tries: usize,
}

impl Shrinking<'_> {
    fn still_breaks(&mut self, incidents: &[Incident]) -> bool {
        self.tries += 1;
        self.tries <= TRIES
            && history::play(self.fleet, self.seed, self.how, incidents, &mut Record::default())
                .is_err_and(|broken| broken.promise == self.promise)
    }

    /// Delta debugging: halves, quarters, … single incidents are left out; then single faults of one.
    fn leave_out(&mut self, incidents: &mut Vec<Incident>) {
        let mut size = incidents.len().div_ceil(2).max(1);
        loop {
            let mut at = 0;
            while at < incidents.len() {
                let mut fewer = incidents.clone();
                fewer.drain(at..(at + size).min(fewer.len()));
                if self.still_breaks(&fewer) {
                    *incidents = fewer;
                } else {
                    at += size;
                }
            }
            if size == 1 {
                break;
            }
            size = size.div_ceil(2);
        }
        for at in 0..incidents.len() {
            for fault in (0..incidents[at].faults.len()).rev() {
                let mut fewer = incidents.clone();
                fewer[at].faults.remove(fault);
                if !fewer[at].faults.is_empty() && self.still_breaks(&fewer) {
                    *incidents = fewer;
                }
            }
            let mut unmended = incidents.clone();
            if unmended[at].mended.take().is_some() && self.still_breaks(&unmended) {
                *incidents = unmended;
            }
        }
    }

    fn shorten(&mut self, incidents: &mut Vec<Incident>) {
        for at in 0..incidents.len() {
            loop {
                let mut shorter = incidents.clone();
                let Some((long, _)) = &mut shorter[at].mended else { break };
                *long /= 2;
                if *long < SHORTEST || !self.still_breaks(&shorter) {
                    break;
                }
                *incidents = shorter;
            }
        }
    }

    /// Halves the time between an incident and the one before, which brings all later ones forward too.
    fn bring_forward(&mut self, incidents: &mut Vec<Incident>) {
        for at in 0..incidents.len() {
            loop {
                let before = if at == 0 { Moment(0) } else { incidents[at - 1].at };
                let by = incidents[at].at.since(before) / 2;
                if by < SHORTEST {
                    break;
                }
                let mut sooner = incidents.clone();
                sooner[at..].iter_mut().for_each(|incident| incident.at = incident.at - by);
                if !self.still_breaks(&sooner) {
                    break;
                }
                *incidents = sooner;
            }
        }
    }
}
