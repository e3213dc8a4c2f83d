//! Orders to the servers, each under the epoch that its node has read.

use super::servers::{crash, mark};
use super::{Protocol, Step};
use crate::config::{Mutation, Opening};
use crate::state::{Gate, Record, Region, Server, State};

impl Protocol {
    pub(super) fn orders(&self, state: &State, region: Region, out: &mut Vec<(Step, State)>) {
        let known = state.node(region).known;
        let server = *state.server(region);
        // S5: a driver that has acted under a newer epoch refuses.
        if known.epoch == 0 || known.epoch < server.epoch {
            return;
        }
        let epoch = known.epoch;
        if known.writer == region {
            self.orders_to_writer(state, region, out);
        } else if server.primary && server.epoch < epoch {
            // It may have fallen since it was seen to write; the epoch is remembered all the same.
            order(state, region, out, Step::Stop(region, epoch), |next| crash(next, region));
        }
        if known.writer != region {
            self.order_to_follow(state, region, out);
        }
        if server.epoch < epoch && (known.writer == region || !server.primary) {
            order(state, region, out, Step::Touch(region, epoch), |next| mark(next, region));
        }
        if !server.primary && !known.open && (server.epoch < epoch || server.follows.is_some()) {
            order(state, region, out, Step::Detach(region, epoch), |next| next.server_mut(region).follows = None);
        }
    }

    /// Those of a region that has claimed the epoch: to become a primary, and who confirms.
    fn orders_to_writer(&self, state: &State, region: Region, out: &mut Vec<(Step, State)>) {
        let node = state.node(region);
        let known = &node.known;
        let server = state.server(region);
        let epoch = known.epoch;
        let must_wait = self.must_wait(node);
        let learns = self.config.opening == Opening::BehindPeers && !known.open && !server.primary && !node.fenced;
        if learns && self.fence_holds(state, region) {
            let mut next = *state;
            next.node_mut(region).fenced = true;
            out.push((Step::Learn(region), next));
        }
        if !known.open && !must_wait && server.up && !server.primary && self.fence_holds(state, region) {
            order(state, region, out, Step::Promote(region, epoch), |next| {
                let server = next.server_mut(region);
                server.primary = true;
                server.timeline += 1;
                server.follows = None;
                set_gate(next, region, Gate::NODE);
            });
        }
        if server.writes() && server.epoch < epoch && !known.open && !must_wait {
            order(state, region, out, Step::Shut(region, epoch), |next| set_gate(next, region, Gate::NODE));
        }
        // What this node asked for before may still be carried out, and then the record would not fit the gate.
        if server.writes() && server.epoch == epoch && !node.unsure {
            for gate in self.wanted_gates(state, known, server, region) {
                order(state, region, out, Step::SetGate(region, gate), |next| set_gate(next, region, gate));
            }
            if self.config.breaks(Mutation::AloneUnrecorded) && known.open && !server.gate.is_node() {
                order(state, region, out, Step::SetGate(region, Gate::NODE), |next| {
                    next.server_mut(region).gate = Gate::NODE;
                    next.node_mut(region).lease = true;
                });
            }
        }
    }

    /// That of any other region, once the writer's server may be followed.
    fn order_to_follow(&self, state: &State, region: Region, out: &mut Vec<(Step, State)>) {
        let known = &state.node(region).known;
        let (server, writer) = (state.server(region), state.server(known.writer));
        if !(self.may_be_followed(known, writer) && writer.writes() && writer.epoch >= known.epoch) {
            return;
        }
        let astray = server.primary || !server.up || server.follows != Some(known.writer);
        if astray || server.epoch < known.epoch {
            order(state, region, out, Step::Follow(region, known.writer, known.epoch), |next| {
                crash(next, region);
                let server = next.server_mut(region);
                server.wal = server.wal.cut(server.wal.common(writer.wal));
                (server.up, server.primary, server.gate) = (true, false, Gate::NODE);
                server.timeline = writer.timeline;
                server.follows = Some(known.writer);
                let wal = server.wal;
                // Its old connection is closed, and what it confirmed over that counts no more.
                for (write, made) in (1..).zip(&mut next.writes) {
                    let has = made.at == known.writer && wal.has(write);
                    made.votes = if has { made.votes.with(region) } else { made.votes.without(region) };
                }
            });
        }
    }

    /// Whether anybody may follow the writer yet.
    fn may_be_followed(&self, known: &Record, writer: &Server) -> bool {
        let is_shut = writer.gate.is_node() || self.config.breaks(Mutation::PeersBeforeOpen);
        let behind_peers = self.config.opening == Opening::BehindPeers;
        // S2: who may have confirmed to the old writer keeps what it has until the new one has as much.
        let is_fenced = known.also.is_node() || self.config.breaks(Mutation::FollowedUnfenced);
        known.open || behind_peers && writer.primary && writer.epoch == known.epoch && is_shut && is_fenced
    }

    /// The gates that the writer's node may order now.
    fn wanted_gates(&self, state: &State, known: &Record, server: &Server, region: Region) -> Vec<Gate> {
        let mut wanted = Vec::new();
        if !known.open {
            wanted.push(Gate::NODE);
            if self.config.breaks(Mutation::PeersBeforeOpen) {
                wanted.extend(self.gates(state, region));
            }
        } else {
            wanted.push(known.gate);
            if known.gate.is_node() {
                if self.config.breaks(Mutation::Unannounced) {
                    wanted.extend(self.gates(state, region));
                } else if !known.also.is_node() {
                    wanted.push(known.also);
                }
            } else {
                if server.gate == known.gate {
                    wanted.extend(self.gates(state, region).filter(|gate| known.gate.covers(*gate)));
                }
                wanted.push(Gate::NODE); // Shut, so that alone can be recorded.
            }
        }
        wanted.retain(|gate| *gate != server.gate);
        wanted
    }
}

/// A region's server carries out an order under the epoch that its node has read.
fn order(state: &State, region: Region, out: &mut Vec<(Step, State)>, step: Step, carry_out: impl FnOnce(&mut State)) {
    let mut next = *state;
    next.server_mut(region).epoch = state.node(region).known.epoch;
    carry_out(&mut next);
    out.push((step, next));
}

fn set_gate(state: &mut State, region: Region, gate: Gate) {
    state.server_mut(region).gate = gate;
    mark(state, region);
}
