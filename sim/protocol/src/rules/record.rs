//! The record: the lease that goes with it, what a node reads of it, what it asks the store to change, and what the store makes of that.

use super::servers::spend;
use super::{Answer, Protocol, Step};
use crate::config::{Mutation, Opening};
use crate::state::{Change, Fate, Gate, Region, Regions, State};

impl Protocol {
    /// How leases begin and end, by the node's clock and by the store's.
    pub(super) fn leases(&self, state: &State, region: Region, out: &mut Vec<(Step, State)>) {
        let node = state.node(region);
        let held = state.lease == Some(region);
        if node.lease {
            let mut next = *state;
            next.node_mut(region).lease = false;
            out.push((Step::LeaseEnds(region), next));
        }
        // The one assumption on time: a node stops believing before the store does.
        if held && (!node.lease || self.config.breaks(Mutation::StoreFirst)) {
            let mut next = *state;
            next.lease = None;
            out.push((Step::LeaseGone(region), next));
        }
        if held && !node.lease && node.known.writer == region {
            let mut next = *state;
            next.node_mut(region).lease = true;
            out.push((Step::Renew(region), next));
        }
        let alone = node.known.writer == region && node.known.open && node.known.gate.is_node();
        if node.fresh && !node.unsure && alone && state.lease.is_none() {
            let mut next = *state;
            next.lease = Some(region);
            next.node_mut(region).lease = true;
            out.push((Step::TakeLease(region), next));
        }
    }

    /// What a node learns of the record.
    pub(super) fn reads(&self, state: &State, region: Region, out: &mut Vec<(Step, State)>) {
        let node = state.node(region);
        let mut next = *state;
        let reader = next.node_mut(region);
        reader.known = state.record;
        reader.fresh = true;
        reader.fenced &= reader.known == node.known;
        reader.unsure &= !self.config.breaks(Mutation::ReadIsEnough);
        if !node.fresh || reader.unsure != node.unsure {
            out.push((Step::Read(region), next));
        }
        if node.unsure {
            let mut next = next;
            let reader = next.node_mut(region);
            // What a transaction of this node changes, all its requests are conditioned on: older ones change nothing any more.
            (reader.unsure, reader.loose) = (false, Change::Nothing);
            out.push((Step::Fence(region), next));
        }
    }

    /// What a node asks the store to change, with each way in which it may end.
    pub(super) fn transactions(&self, state: &State, region: Region, out: &mut Vec<(Step, State)>) {
        let node = state.node(region);
        if node.loose != Change::Nothing
            && let Some(next) = self.execute(state, region, node.loose)
        {
            out.push((Step::Late(region, node.loose), next));
        }
        // A transaction is conditioned on what was read: with old news it changes nothing.
        if node.unsure || !node.fresh {
            return;
        }
        for change in self.changes(state, region) {
            if let Some(mut next) = self.execute(state, region, change) {
                if state.losses > 0 {
                    let mut lost = next;
                    spend(&mut lost.losses);
                    lost.node_mut(region).unsure = !self.config.breaks(Mutation::LostAnswer);
                    out.push((Step::Transact(region, change, Answer::Lost), lost));
                }
                let record = next.record;
                let lease = next.lease == Some(region);
                let node = next.node_mut(region);
                (node.known, node.fresh, node.fenced) = (record, true, false);
                node.lease |= lease;
                out.push((Step::Transact(region, change, Answer::Came), next));
            }
            if state.losses > 0 && node.loose == Change::Nothing {
                let mut underway = *state;
                spend(&mut underway.losses);
                let node = underway.node_mut(region);
                node.loose = change;
                node.unsure = !self.config.breaks(Mutation::LostAnswer);
                out.push((Step::Transact(region, change, Answer::Underway), underway));
            }
        }
    }

    /// The changes that a node would ask for, by what it knows.
    fn changes(&self, state: &State, region: Region) -> Vec<Change> {
        let known = &state.node(region).known;
        let server = state.server(region);
        if known.writer != region {
            return self.claim(state, region).into_iter().collect();
        }
        if !server.primary || server.epoch != known.epoch || !known.open && !server.up {
            return Vec::new();
        }
        // A record may follow its server after that has fallen: what it says was so when it was asked for.
        if known.open { self.changes_of_gate(state, region) } else { self.openings(state, region) }
    }

    /// How a region that is not the writer would claim the next epoch, if it may.
    fn claim(&self, state: &State, region: Region) -> Option<Change> {
        let node = state.node(region);
        let known = &node.known;
        if known.epoch >= self.config.epochs {
            return None;
        }
        let named = known.gate.named().has(region);
        if known.holders.has(region) || named || self.config.breaks(Mutation::ClaimAny) {
            return Some(Change::Claim);
        }
        // A promise concerns claims by force only: where one is asked for, nobody else holds everything.
        (known.gate.is_node() && !node.bound).then_some(Change::ClaimByForce)
    }

    /// How a claimer that is a primary would open its epoch, or get ready to.
    fn openings(&self, state: &State, region: Region) -> Vec<Change> {
        let node = state.node(region);
        let known = &node.known;
        let server = state.server(region);
        // S1: behind a gate in passing others may still confirm to the old writer.
        if !self.also_is_fenced(state, known, region) || self.must_wait(node) {
            return Vec::new();
        }
        match self.config.opening {
            Opening::Alone if server.gate.is_node() => vec![Change::OpenAlone],
            Opening::Alone => Vec::new(),
            Opening::BehindPeers if !known.also.is_node() && server.gate.is_node() => {
                vec![Change::Announce(Gate::NODE)] // Only now may others follow.
            }
            Opening::BehindPeers => {
                let early = self.config.breaks(Mutation::PeersBeforeOpen);
                self.gates(state, region)
                    .filter(|gate| server.gate == if early { *gate } else { Gate::NODE })
                    .filter(|gate| have_caught_up(state, region, *gate))
                    .map(Change::OpenBehind)
                    .collect()
            }
        }
    }

    /// What the writer of an open epoch would record of who confirms.
    fn changes_of_gate(&self, state: &State, region: Region) -> Vec<Change> {
        let known = &state.node(region).known;
        let server = state.server(region);
        let announces = !self.config.breaks(Mutation::Unannounced);
        let mut changes = Vec::new();
        if known.gate.is_node() {
            if server.gate.is_node() {
                if announces {
                    let other = self.gates(state, region).chain([Gate::NODE]).filter(|gate| *gate != known.also);
                    changes.extend(other.map(Change::Announce));
                }
            } else if (!announces || server.gate == known.also) && have_caught_up(state, region, server.gate) {
                changes.push(Change::Record(server.gate));
            }
            if self.config.breaks(Mutation::SynchronousEarly) {
                changes.extend(self.gates(state, region).map(Change::Record));
            }
        } else if server.gate.is_node() {
            changes.push(Change::Alone);
        } else if server.gate == known.gate {
            if self.config.breaks(Mutation::AloneUnshut) {
                changes.push(Change::Alone);
            }
            let record_first = |gate: &Gate| gate.covers(known.gate) && !known.gate.covers(*gate);
            changes.extend(
                self.gates(state, region)
                    .filter(record_first)
                    .filter(|gate| have_caught_up(state, region, *gate))
                    .map(Change::Record),
            );
        } else if known.gate.covers(server.gate) && have_caught_up(state, region, server.gate) {
            changes.push(Change::Record(server.gate));
        }
        changes
    }

    /// The store carries out a change that was conditioned on the present record; `None` if another condition fails.
    fn execute(&self, state: &State, region: Region, change: Change) -> Option<State> {
        let mut next = *state;
        let record = &mut next.record;
        match change {
            Change::Nothing => return None,
            Change::Claim | Change::ClaimByForce => {
                let forced = change == Change::ClaimByForce;
                // S1: who confirms by a lease has stopped.
                if forced && state.lease.is_some() && !self.config.breaks(Mutation::ForceUnexpired) {
                    return None;
                }
                (record.epoch, record.writer, record.open, record.forced) = (record.epoch + 1, region, false, forced);
                if forced {
                    record.holders = Regions::one(region);
                }
                next.lease = None;
            }
            Change::OpenAlone => {
                (record.open, record.gate, record.also) = (true, Gate::NODE, Gate::NODE);
                record.holders = Regions::one(region);
                next.lease = Some(region);
            }
            Change::Alone => {
                (record.gate, record.holders) = (Gate::NODE, Regions::one(region));
                next.lease = Some(region);
            }
            Change::Announce(gate) => (record.also, record.also_of) = (gate, region),
            Change::OpenBehind(gate) | Change::Record(gate) => {
                (record.open, record.gate, record.also) = (true, gate, Gate::NODE);
                record.holders = gate.holders(region);
                next.lease = None;
            }
        }
        if next.record.also.is_node() {
            next.record.also_of = 0;
        }
        match change {
            // What the claimer lacks is counted as lost, also what the old writer has yet to answer.
            Change::ClaimByForce => give_up(&mut next, region),
            Change::Nothing | Change::Claim | Change::Announce(_) => {}
            Change::OpenAlone | Change::OpenBehind(_) | Change::Alone | Change::Record(_) => next.record.forced = false,
        }
        for node in &mut next.nodes {
            (node.fresh, node.loose) = (false, Change::Nothing);
        }
        Some(next)
    }
}

/// What a claimer by force lacks of what is acknowledged, or may be as good as that in the gate that it had to fence.
fn give_up(state: &mut State, claimer: Region) {
    let wal = state.server(claimer).wal;
    for write in 1..=state.made() {
        let made = &mut state.writes[usize::from(write) - 1];
        let counts = made.fate == Fate::Acknowledged || made.fate == Fate::Waiting && made.at != claimer;
        if counts && !wal.has(write) {
            made.fate = Fate::Gone;
        }
    }
}

/// Whether all that a gate names have what was there when the server's gate was changed last.
fn have_caught_up(state: &State, region: Region, gate: Gate) -> bool {
    let node = state.node(region);
    let mark = usize::from(node.mark);
    let is_down = !state.server(region).up;
    gate.named().iter().all(|peer| {
        let server = state.server(peer);
        (state.streams(region, peer) || is_down && server.follows == Some(region)) && server.wal.len() >= mark
    })
}
