//! What may be concluded from a state: whose confirmation makes a commit safe, and whether there can be one now.

use super::Protocol;
use crate::config::{Mutation, Opening};
use crate::state::{Gate, Region, Regions, State};

impl Protocol {
    /// Whether a region's node confirms its server's commits.
    pub fn node_confirms(&self, state: &State, region: Region) -> bool {
        let (server, node) = (state.server(region), state.node(region));
        if self.config.breaks(Mutation::Ungated) {
            return true;
        }
        let known = &node.known;
        let own = known.writer == region && known.epoch == server.epoch;
        if self.config.breaks(Mutation::ConfirmBeforeOpen) && own && !known.open {
            return true;
        }
        if self.config.breaks(Mutation::AloneUnrecorded) && own && node.lease {
            return true;
        }
        let may_be_alone = self.config.opening == Opening::Alone;
        may_be_alone && own && known.open && known.gate.is_node() && (node.lease || self.is_promised(node, region))
    }

    /// Whether a write that began now could be acknowledged if nothing else happened.
    pub fn can_acknowledge(&self, state: &State, region: Region) -> bool {
        let server = state.server(region);
        if !server.writes() {
            return false;
        }
        if server.gate.is_node() {
            return self.node_confirms(state, region);
        }
        server.gate.named().iter().filter(|peer| state.streams(region, *peer)).count() >= server.gate.needed()
    }

    pub(super) fn is_confirmed(&self, state: &State, region: Region, write: u8) -> bool {
        let gate = state.server(region).gate;
        if gate.is_node() {
            return self.node_confirms(state, region);
        }
        Regions(state.write(write).votes.0 & gate.named().0).count() >= gate.needed()
    }

    /// The gates that a writer might want, given who follows it. S2: whoever has not acted under its epoch yet may still act under one in
    /// between, and rewind to another writer what it has confirmed here.
    pub(super) fn gates(&self, state: &State, region: Region) -> impl Iterator<Item = Gate> + use<> {
        let epoch = state.node(region).known.epoch;
        let counts =
            |peer: &Region| state.server(*peer).epoch >= epoch || self.config.breaks(Mutation::OldFollowerCounted);
        let others = self.all.without(region).iter().filter(counts).fold(Regions::default(), Regions::with);
        let confirmations = self.config.confirmations;
        (1..=others.0)
            .map(Regions)
            .filter(move |named| others.covers(*named))
            .map(move |named| Gate::peers(confirmations.min(named.count()), named))
    }
}
