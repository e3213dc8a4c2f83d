//! Whether the old writer can acknowledge nothing any more, and the new one has everything.

use super::Protocol;
use crate::config::{Mutation, Opening};
use crate::state::{Gate, Record, Region, State};

impl Protocol {
    /// Whether the old writer can acknowledge nothing any more, or will not once this standby is promoted, and this standby has
    /// everything. As `control::write::fence_holds`.
    pub(crate) fn fence_holds(&self, state: &State, region: Region) -> bool {
        let known = &state.node(region).known;
        if known.epoch < state.record.epoch && self.config.opening == Opening::Alone {
            return true; // What it is told of the others may be old. Its own epoch is never opened, and nobody follows it, any more.
        }
        if known.epoch < state.record.epoch && state.node(region).fenced {
            return true; // It was so; what has changed since was done under newer epochs.
        }
        let gate = known.gate;
        if gate.is_node() {
            return self.also_is_fenced(state, known, region); // The claim waited for the lease, or it was the writer itself.
        }
        let named = gate.named();
        if known.holders.has(region) && !named.has(region) {
            return true; // It was the writer itself.
        }
        let needed = self.stops_needed(gate);
        if needed == 1 && named.has(region) {
            return true; // This promotion is the fence.
        }
        if named.has(region) && !has_stopped(state, region, known.epoch) {
            return false;
        }
        let stopped: Vec<Region> = named.iter().filter(|peer| has_stopped(state, *peer, known.epoch)).collect();
        // S2: the one of them that has most goes on.
        let most = self.config.breaks(Mutation::MostDataSkipped) || has_most(state, region, &stopped);
        stopped.len() >= needed && most
    }

    fn stops_needed(&self, gate: Gate) -> usize {
        let off = usize::from(self.config.breaks(Mutation::StopsOffByOne));
        gate.stops_needed().saturating_sub(off).max(1)
    }

    /// Whether nobody confirms commits any more behind the gate that the old writer's server may have been behind in passing, and this
    /// region has what was confirmed so. As `control::write::also_is_fenced`.
    pub(super) fn also_is_fenced(&self, state: &State, known: &Record, region: Region) -> bool {
        let named = known.also.named();
        if known.also.is_node() || known.also_of == region || self.config.breaks(Mutation::AlsoUnfenced) {
            return true; // Its own gate is shut before it opens.
        }
        let needed = known.also.stops_needed();
        if needed == 1 && named.has(region) {
            return true;
        }
        let stopped: Vec<Region> = named.iter().filter(|peer| has_stopped(state, *peer, known.epoch)).collect();
        stopped.len() >= needed
            && (!named.has(region) || stopped.contains(&region))
            && (has_most(state, region, &stopped) || self.config.breaks(Mutation::AlsoDataSkipped))
    }
}

/// Whether a server confirms to nobody any more under older epochs than `epoch`, for good. As `control::write::is_detached`.
fn has_stopped(state: &State, region: Region, epoch: u8) -> bool {
    let server = state.server(region);
    server.epoch >= epoch && (server.primary || server.follows.is_none())
}

fn has_most(state: &State, region: Region, of: &[Region]) -> bool {
    let place = |of: Region| (state.server(of).timeline, state.server(of).wal.len());
    of.iter().all(|peer| place(*peer) <= place(region))
}
