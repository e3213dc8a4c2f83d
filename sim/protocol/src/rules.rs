//! The rules: every step that may follow a state. Detection is left out on purpose: a claim may happen at any moment, for safety must
//! not rest on who looks dead. Every step of a node rests on what it has read, however old that is; only the store compares.

mod conclusions;
mod fence;
mod orders;
mod promises;
mod record;
mod same;
mod servers;
mod step;

pub use self::step::{Answer, Step};
use crate::config::Config;
use crate::state::{Gate, Node, Record, Region, Regions, Server, State};

/// The protocol under a configuration.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// Under which.
    pub config: Config,
    all: Regions,
}

impl Protocol {
    /// The protocol.
    pub fn new(config: Config) -> Self {
        Self { config, all: Regions::all(config.regions) }
    }

    /// The first region writes, all others follow and confirm.
    pub fn start(&self) -> State {
        let others = self.all.without(0);
        let gate = Gate::peers(self.config.confirmations.min(others.count()), others);
        let record = Record { epoch: 1, writer: 0, open: true, holders: gate.holders(0), gate, ..Record::default() };
        let mut state = State { record, ..State::default() };
        (state.crashes, state.restarts, state.losses) = (self.config.crashes, self.config.restarts, self.config.losses);
        for region in self.all.iter() {
            let mut server = Server { up: true, epoch: 1, ..Server::default() };
            if region == 0 {
                (server.primary, server.gate) = (true, gate);
            } else {
                server.follows = Some(0);
            }
            *state.server_mut(region) = server;
            *state.node_mut(region) = Node { known: record, fresh: true, ..Node::default() };
        }
        self.tidy(state)
    }

    /// Every step that may follow, with where it leads.
    pub fn steps(&self, state: &State, out: &mut Vec<(Step, State)>) {
        out.clear();
        for region in self.all.iter() {
            self.gather(state, region, out);
        }
        for (_, next) in out.iter_mut() {
            *next = self.tidy(*next);
        }
    }

    /// Those of one region.
    pub(crate) fn steps_of(&self, state: &State, region: Region, out: &mut Vec<(Step, State)>) {
        out.clear();
        self.gather(state, region, out);
        for (_, next) in out.iter_mut() {
            *next = self.tidy(*next);
        }
    }

    fn gather(&self, state: &State, region: Region, out: &mut Vec<(Step, State)>) {
        self.data(state, region, out);
        self.faults(state, region, out);
        self.leases(state, region, out);
        self.reads(state, region, out);
        self.transactions(state, region, out);
        self.orders(state, region, out);
        self.promises(state, region, out);
    }
}
