//! Whether a change that was observed from outside is one that the protocol allows: the link between this model and the code.
//!
//! What a node has read cannot be observed, so it is guessed: any record that the store ever had. A change is allowed if some node, knowing
//! some such record, may take the steps that lead from what was seen before to what was seen after.

use std::collections::BTreeSet;
use std::fmt;

use crate::config::UNBOUNDED;
use crate::rules::{Protocol, Step};
use crate::state::{Fate, MAX_REGIONS, MAX_WRITES, Made, Node, Record, Regions, Server, State, letter};

/// What can be seen from outside at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The record in the store.
    pub record: Record,
    /// Whose lease the store counts.
    pub lease: Option<u8>,
    /// The servers.
    pub servers: [Server; MAX_REGIONS],
    /// Clients' writes, as far as they differ in anything.
    pub writes: [Made; MAX_WRITES],
    /// The regions whose nodes may confirm commits, by their own clocks.
    pub confirms: Regions,
    /// How long each server's log was when its gate was changed last.
    pub marks: [u8; MAX_REGIONS],
    /// The newest epoch of each region for which it has seen the old writer fenced; 0: none.
    pub fenced: [u8; MAX_REGIONS],
}

/// Why a change is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What was seen to change and follows from no rule.
    pub unexplained: Vec<String>,
    /// The steps that explain the rest.
    pub explained: Vec<Step>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no rule of the protocol explains: {}", self.unexplained.join("; "))?;
        let steps: Vec<String> = self.explained.iter().map(ToString::to_string).collect();
        if steps.is_empty() { Ok(()) } else { write!(f, " (the rest is explained by: {})", steps.join("; ")) }
    }
}

impl Protocol {
    /// The steps from `before` to `after`; none if nothing has changed. `history`: every record that the store has had, the newest last.
    ///
    /// # Errors
    /// What no step explains.
    pub fn allows(&self, history: &[Record], before: &Observed, after: &Observed) -> Result<Vec<Step>, Explanation> {
        let target = self.state(after);
        let mut search = Search {
            protocol: self,
            history,
            before,
            after,
            target,
            seen: BTreeSet::new(),
            best: (usize::MAX, Vec::new(), self.state(before)),
        };
        let mut way = Vec::new();
        if search.go(self.state(before), &mut way) {
            let begins = Regions(after.confirms.0 & !before.confirms.0);
            return match begins.iter().find(|region| !self.may_begin_to_confirm(history, after, *region)) {
                None => Ok(way),
                Some(region) => Err(Explanation {
                    unexplained: vec![format!(
                        "{}'s node begins to confirm; its lease does not count, or it is not recorded as alone",
                        letter(region)
                    )],
                    explained: way,
                }),
            };
        }
        let (_, explained, reached) = search.best;
        Err(Explanation { unexplained: differences(&reached, &target), explained })
    }

    /// The epoch that is claimed and not open, if its claimer sees the old writer fenced now.
    pub fn fenced_for(&self, seen: &Observed) -> Option<(u8, u8)> {
        let mut state = self.state(seen);
        let Record { writer, epoch, open, .. } = state.record;
        state.node_mut(writer).known = state.record;
        (!open && self.fence_holds(&state, writer)).then_some((writer, epoch))
    }

    fn may_begin_to_confirm(&self, history: &[Record], after: &Observed, region: u8) -> bool {
        let epoch = after.servers[usize::from(region)].epoch;
        let alone =
            |record: &Record| record.writer == region && record.epoch == epoch && record.open && record.gate.is_node();
        history.iter().any(alone) && (after.lease == Some(region) || self.config.promises)
    }

    fn state(&self, observed: &Observed) -> State {
        let mut state = State { record: observed.record, crashes: UNBOUNDED, ..State::default() };
        (state.servers, state.writes) = (observed.servers, observed.writes);
        state.lease = observed.lease;
        self.tidy(state)
    }
}

struct Search<'a> {
    protocol: &'a Protocol,
    history: &'a [Record],
    before: &'a Observed,
    after: &'a Observed,
    target: State,
    seen: BTreeSet<(usize, String)>,
    best: (usize, Vec<Step>, State),
}

impl Search<'_> {
    /// Depth first, by steps that lead nearer.
    fn go(&mut self, state: State, way: &mut Vec<Step>) -> bool {
        let left = distance(&state, &self.target);
        if left < self.best.0 {
            self.best = (left, way.clone(), state);
        }
        if left == 0 {
            return true;
        }
        if !self.seen.insert((left, format!("{state:?}"))) {
            return false;
        }
        for (step, next) in self.steps(&state) {
            if distance(&next, &self.target) < left {
                way.push(step);
                if self.go(next, way) {
                    return true;
                }
                way.pop();
            }
        }
        false
    }

    /// Every step of every region, whatever its node may have read.
    fn steps(&self, state: &State) -> Vec<(Step, State)> {
        let mut all = Vec::new();
        let mut some = Vec::new();
        for region in 0..self.protocol.config.regions as u8 {
            let place = usize::from(region);
            let confirmed = self.before.confirms.has(region) && self.after.confirms.has(region);
            let confirms = self.before.confirms.has(region) || self.after.confirms.has(region);
            let mut known: Vec<Record> = vec![state.record];
            known.extend(self.history.iter().rev().filter(|record| **record != state.record));
            for known in known {
                let mut guess = *state;
                let mark = self.before.marks[place];
                // A lease that the store lets go must not be believed in any more; a promise may take its place.
                for lease in [confirms, confirmed && !self.protocol.config.promises] {
                    guess.nodes = Default::default();
                    let fenced = known.epoch > 0 && self.before.fenced[place] == known.epoch;
                    let fresh = known == state.record;
                    guess.nodes[place] = Node { known, fresh, lease, mark, fenced, ..Node::default() };
                    self.protocol.steps_of(&guess, region, &mut some);
                    all.extend(
                        some.drain(..).filter(|(step, _)| lease == confirms || matches!(step, Step::LeaseGone(_))),
                    );
                }
            }
        }
        for (_, next) in &mut all {
            next.nodes = Default::default();
        }
        all
    }
}

/// In how much two states differ, of what can be seen.
fn distance(from: &State, to: &State) -> usize {
    let mut distance = usize::from(from.record != to.record) + usize::from(from.lease != to.lease);
    for (one, other) in from.servers.iter().zip(&to.servers) {
        let common = one.wal.common(other.wal);
        distance += one.wal.len() - common + other.wal.len() - common;
        distance += usize::from(one.up != other.up);
        distance += usize::from(one.primary != other.primary);
        distance += usize::from(one.epoch != other.epoch);
        distance += usize::from(one.timeline != other.timeline);
        distance += usize::from(one.gate != other.gate);
        distance += usize::from(one.follows != other.follows);
    }
    for (one, other) in from.writes.iter().zip(&to.writes) {
        distance += match (one.fate, other.fate) {
            (one, other) if one == other => 0,
            (Fate::Unmade, Fate::Acknowledged | Fate::Gone) => 2,
            _ => 1,
        };
    }
    distance
}

fn differences(reached: &State, wanted: &State) -> Vec<String> {
    let mut unexplained = Vec::new();
    if reached.record != wanted.record {
        unexplained.push(format!("the record {:?} became {:?}", reached.record, wanted.record));
    }
    if reached.lease != wanted.lease {
        unexplained.push(format!("the lease of {:?} became that of {:?}", reached.lease, wanted.lease));
    }
    for (region, (is, was)) in (0_u8..).zip(wanted.servers.iter().zip(&reached.servers)) {
        if is != was {
            unexplained.push(format!("{}'s server {was:?} became {is:?}", letter(region)));
        }
    }
    for (write, (is, was)) in (1_u8..).zip(wanted.writes.iter().zip(&reached.writes)) {
        if is.fate != was.fate {
            unexplained.push(format!("write {write}, {was:?}, became {is:?}"));
        }
    }
    unexplained
}
