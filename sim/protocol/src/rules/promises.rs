//! Promises between nodes while the store is gone.

use super::{Protocol, Step};
use crate::config::Mutation;
use crate::state::{Node, Region, Regions, State};

impl Protocol {
    /// Promises are given, and end.
    pub(super) fn promises(&self, state: &State, region: Region, out: &mut Vec<(Step, State)>) {
        if !self.config.promises {
            return;
        }
        let node = state.node(region);
        let known = &node.known;
        let server = state.server(region);
        let alone = known.writer == region
            && known.open
            && known.gate.is_node()
            && server.writes()
            && server.gate.is_node()
            && server.epoch == known.epoch;
        for peer in self.all.without(region).iter() {
            let other = state.node(peer);
            let knows_no_newer = other.known.epoch <= known.epoch || self.config.breaks(Mutation::OldEpochAsked);
            let is_sure = !other.unsure || self.config.breaks(Mutation::ClaimInFlight);
            if alone && !node.heard.has(peer) && knows_no_newer && is_sure {
                let mut next = *state;
                next.node_mut(region).heard = node.heard.with(peer);
                next.node_mut(peer).bound = true;
                out.push((Step::Promise(peer, region), next));
            }
            if node.heard.has(peer) {
                let mut next = *state;
                next.node_mut(region).heard = node.heard.without(peer);
                out.push((Step::PromiseEnds(peer, region), next));
            }
        }
        if self.config.breaks(Mutation::PromiseFromAnswer) && node.bound {
            let mut next = *state;
            next.node_mut(region).bound = false;
            out.push((Step::Unbound(region), next));
        }
    }

    /// Whether everybody else has promised to claim nothing.
    pub(super) fn is_promised(&self, node: &Node, region: Region) -> bool {
        let missing = Regions(self.all.without(region).0 & !node.heard.0).count();
        missing == 0 || missing == 1 && self.config.breaks(Mutation::OneNotAsked) && !node.heard.is_empty()
    }

    /// Whether an epoch that was claimed by force has to stay shut, for a promise still counts.
    pub(super) fn must_wait(&self, node: &Node) -> bool {
        !node.known.open && node.known.forced && node.bound && !self.config.breaks(Mutation::OpenedInSpite)
    }
}
