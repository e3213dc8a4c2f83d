//! The same state always in the same form.

use super::Protocol;
use crate::config::Opening;
use crate::state::{Fate, Record, Regions, State};

impl Protocol {
    /// Forgets what can make no difference, so that states that differ in nothing else are one.
    pub(crate) fn tidy(&self, mut state: State) -> State {
        let orders_matter = self.config.regions > 2;
        let mut trusted = Regions::default();
        for region in self.all.iter() {
            let server = *state.server(region);
            let node = state.node_mut(region);
            let own = node.known.writer == region;
            if !node.fresh && !own {
                let Record { epoch, writer, open, also, also_of, .. } = node.known;
                node.known = Record { epoch, writer, open, ..Record::default() };
                if !open && self.config.opening == Opening::BehindPeers {
                    (node.known.also, node.known.also_of) = (also, also_of);
                }
            }
            if !(own && node.known.open && node.known.gate.is_node()) {
                node.heard = Regions::default();
            }
            node.lease &= own;
            node.fenced &= own && !node.known.open && !server.primary;
            if !server.primary {
                node.mark = 0;
            }
            trusted = Regions(trusted.0 | node.heard.0);
            if !orders_matter {
                state.server_mut(region).timeline = 0;
            }
        }
        for region in self.all.iter() {
            // A promise lasts at least as long as anybody trusts in it.
            state.node_mut(region).bound &= trusted.has(region);
        }
        for made in &mut state.writes {
            if made.fate != Fate::Waiting {
                (made.at, made.votes) = (0, Regions::default());
            }
        }
        state
    }
}
