//! PostgreSQL and its clients, and what befalls servers and nodes.

use super::{Protocol, Step};
use crate::config::{Mutation, UNBOUNDED};
use crate::state::{Fate, Node, Region, State};

impl Protocol {
    /// Clients write and are answered, standbys receive.
    pub(super) fn data(&self, state: &State, region: Region, out: &mut Vec<(Step, State)>) {
        let server = *state.server(region);
        if server.writes() && state.made() < self.config.writes {
            let write = state.made() + 1;
            let mut next = *state;
            next.server_mut(region).wal = server.wal.push(write);
            let made = &mut next.writes[usize::from(write) - 1];
            (made.fate, made.at) = (Fate::Waiting, region);
            out.push((Step::Write(region, write), next));
        }
        if let Some(primary) = server.follows
            && state.streams(primary, region)
        {
            let from = state.server(primary);
            let mut next = *state;
            next.server_mut(region).timeline = from.timeline;
            if server.wal.len() < from.wal.len() {
                let write = from.wal.at(server.wal.len());
                next.server_mut(region).wal = server.wal.push(write);
                let made = &mut next.writes[usize::from(write) - 1];
                if made.fate == Fate::Waiting && made.at == primary {
                    made.votes = made.votes.with(region);
                }
                out.push((Step::Receive(region, primary), next));
            } else if server.timeline != from.timeline {
                out.push((Step::Receive(region, primary), next));
            }
        }
        for write in 1..=state.made() {
            let made = state.write(write);
            if made.fate == Fate::Waiting
                && made.at == region
                && server.writes()
                && self.is_confirmed(state, region, write)
            {
                let mut next = *state;
                next.writes[usize::from(write) - 1].fate = Fate::Acknowledged;
                out.push((Step::Acknowledge(region, write), next));
            }
        }
    }

    /// Crashes and starts of servers, restarts of nodes.
    pub(super) fn faults(&self, state: &State, region: Region, out: &mut Vec<(Step, State)>) {
        let server = state.server(region);
        if server.up && state.crashes > 0 {
            let mut next = *state;
            spend(&mut next.crashes);
            crash(&mut next, region);
            out.push((Step::Crash(region), next));
        }
        if !server.up {
            let mut next = *state;
            next.server_mut(region).up = true;
            out.push((Step::Start(region), next));
        }
        if state.restarts > 0 {
            let mut next = *state;
            spend(&mut next.restarts);
            let node = next.node_mut(region);
            let bound = node.bound && !self.config.breaks(Mutation::PromiseForgotten);
            // What it had asked the store for may still come. S1: it claims nothing for as long as a promise may last.
            *node = Node { loose: node.loose, unsure: true, bound, ..Node::default() };
            mark(&mut next, region);
            out.push((Step::Restart(region), next));
        }
    }
}

pub(super) fn spend(budget: &mut u8) {
    if *budget != UNBOUNDED {
        *budget -= 1;
    }
}

/// A server's processes are gone, and its clients' connections with them.
pub(super) fn crash(state: &mut State, region: Region) {
    state.server_mut(region).up = false;
    for made in &mut state.writes {
        if made.fate == Fate::Waiting && made.at == region {
            made.fate = Fate::Gone;
        }
    }
}

/// What a server's log has now is what its gate confirms from here on counts from.
pub(super) fn mark(state: &mut State, region: Region) {
    let length = state.server(region).wal.len();
    state.node_mut(region).mark = u8::try_from(length).expect("no log is longer than MAX_WRITES");
}
