//! Probes from every node to every target. A probe that finds what its node holds of the target already changes nothing: in the fast
//! way a chain of probes sleeps from then on until its target, or the way to it, changes.

use std::time::Duration;

use lifeboat_control::Event;
use lifeboat_control::health::{Evidence, Target, What};
use lifeboat_model::Moment;

use super::{DatabaseIndex, Happening, NodeIndex, RegionIndex, Way, World};

/// All probes from one node to one target.
#[derive(Debug)]
pub(super) struct Chain {
    target: Target,
    pub region: RegionIndex,
    database: Option<DatabaseIndex>,
    begins: Moment,
    /// What every probe finds since then, none of which is sent.
    asleep: Option<Finding>,
    last_sent: Option<u64>,
    /// Readings that are under way: good, refused, silent.
    pending: [u32; 3],
    /// When the last bad reading was known.
    bad_at: Option<Moment>,
}

/// What a probe finds, and how much longer than usual that takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Finding {
    evidence: Evidence,
    after: Duration,
}

impl Chain {
    /// Whether there was a bad reading in the last `span`.
    pub fn is_bad(&self, now: Moment, span: Duration) -> bool {
        self.asleep.is_some_and(|finding| finding.evidence != Evidence::Ok)
            || self.bad_at.is_some_and(|at| now.since(at) < span)
    }
}

fn kind(evidence: Evidence) -> usize {
    match evidence {
        Evidence::Ok => 0,
        Evidence::Refused => 1,
        Evidence::Silent | Evidence::Unwell | Evidence::NotObserved => 2,
    }
}

impl World {
    pub(super) fn begin_probing(&mut self, node: NodeIndex, targets: Vec<Target>) {
        let incarnation = self.nodes[node].incarnation;
        let mut chains = Vec::new();
        for (number, target) in targets.into_iter().enumerate() {
            let wait = self.random(500);
            chains.push(Chain {
                region: self.region_index(&target.region),
                database: match &target.what {
                    What::Node | What::Compute(_) => None,
                    What::Database(id) => Some(self.database_index(id)),
                },
                target,
                begins: self.now + wait,
                asleep: None,
                last_sent: None,
                pending: [0; 3],
                bad_at: self.nodes[node].chains.get(number).and_then(|before| before.bad_at),
            });
        }
        self.nodes[node].chains = chains;
        for number in 0..self.nodes[node].chains.len() {
            let at = self.probed_at(node, number, 0);
            self.at(at, Happening::Probe(node, incarnation, number, 0));
        }
    }

    fn chance_of_probe(&self, node: NodeIndex, chain: usize, number: u64) -> u64 {
        self.dice((node as u64) << 32 | (chain as u64) << 8 | 1, number)
    }

    fn probed_at(&self, node: NodeIndex, chain: usize, number: u64) -> Moment {
        let every = u64::try_from(self.apps[self.app_of(node)].detection.every.as_nanos()).unwrap_or(u64::MAX);
        let jitter = self.chance_of_probe(node, chain, number) % 50_000_000;
        Moment(self.nodes[node].chains[chain].begins.0 + every * number + jitter)
    }

    /// How long it takes until what a probe finds is known.
    fn probe_takes(&self, node: NodeIndex, chain: usize, number: u64, finding: Finding) -> Duration {
        let usual = Duration::from_nanos((self.chance_of_probe(node, chain, number) >> 32) % 5_000_000);
        if finding.evidence == Evidence::Silent { finding.after } else { finding.after + usual }
    }

    /// What a probe that is sent now finds.
    fn find(&self, node: NodeIndex, chain: usize) -> Finding {
        let here = self.region_of(node);
        let Chain { region: there, database, .. } = self.nodes[node].chains[chain];
        let timeout = self.apps[self.app_of(node)].detection.timeout;
        let (runs, frozen) = match database {
            None => {
                let node = &self.nodes[self.app_of(node) * self.regions.len() + there];
                (node.brain.is_some(), node.frozen)
            }
            Some(database) => {
                let server = self.server_at(database, there);
                (server.up, server.frozen)
            }
        };
        let way = self.network.delay(here, there) + self.network.delay(there, here);
        if !self.network.is_whole(here, there) || way >= timeout || runs && frozen {
            Finding { evidence: Evidence::Silent, after: timeout }
        } else {
            Finding { evidence: if runs { Evidence::Ok } else { Evidence::Refused }, after: way }
        }
    }

    pub(super) fn probe(&mut self, node: NodeIndex, incarnation: u64, chain: usize, number: u64) {
        if self.nodes[node].incarnation != incarnation {
            return;
        }
        if !self.nodes[node].frozen {
            let finding = self.find(node, chain);
            if self.way == Way::Fast && self.is_known(node, chain, finding.evidence) {
                let here = &mut self.nodes[node].chains[chain];
                here.asleep = Some(finding);
                here.last_sent = number.checked_sub(1);
                return;
            }
            self.send_probe(node, chain, number, finding, self.now);
        }
        let at = self.probed_at(node, chain, number + 1);
        self.at(at, Happening::Probe(node, incarnation, chain, number + 1));
    }

    /// Whether a reading would tell the node nothing, whatever else is under way.
    fn is_known(&self, node: NodeIndex, chain: usize, evidence: Evidence) -> bool {
        let here = &self.nodes[node].chains[chain];
        let others = (0..3).filter(|other| *other != kind(evidence)).all(|other| here.pending[other] == 0);
        others && self.nodes[node].brain.as_ref().is_some_and(|brain| brain.expects(&here.target, evidence))
    }

    fn send_probe(&mut self, node: NodeIndex, chain: usize, number: u64, finding: Finding, at: Moment) {
        let known_at = at + self.probe_takes(node, chain, number, finding);
        let incarnation = self.nodes[node].incarnation;
        let here = &mut self.nodes[node].chains[chain];
        here.last_sent = Some(number);
        if finding.evidence != Evidence::Ok {
            here.bad_at = Some(known_at);
        }
        if known_at >= self.now {
            here.pending[kind(finding.evidence)] += 1;
            self.at(known_at, Happening::Reading(node, incarnation, chain, finding.evidence));
        }
    }

    pub(super) fn take_reading(&mut self, node: NodeIndex, incarnation: u64, chain: usize, evidence: Evidence) {
        if self.nodes[node].incarnation == incarnation {
            let here = &mut self.nodes[node].chains[chain];
            here.pending[kind(evidence)] -= 1;
            let target = here.target.clone();
            self.feed(node, Event::Reading { target, evidence });
        }
    }

    /// Wakes the sleeping probes that find something else now.
    pub(super) fn stir_probes(&mut self) {
        if self.way == Way::Slow {
            return;
        }
        for node in 0..self.nodes.len() {
            if self.nodes[node].brain.is_none() || self.nodes[node].frozen {
                continue;
            }
            for chain in 0..self.nodes[node].chains.len() {
                if self.nodes[node].chains[chain].asleep.is_some_and(|finding| finding != self.find(node, chain)) {
                    self.wake_probe(node, chain);
                }
            }
        }
    }

    fn wake_probe(&mut self, node: NodeIndex, chain: usize) {
        self.catch_up_probe(node, chain);
        let next = self.next_probe(node, chain);
        let incarnation = self.nodes[node].incarnation;
        self.nodes[node].chains[chain].asleep = None;
        let at = self.probed_at(node, chain, next);
        self.at(at, Happening::Probe(node, incarnation, chain, next));
    }

    /// The number of the first probe that is not sent yet at this moment.
    fn next_probe(&self, node: NodeIndex, chain: usize) -> u64 {
        let every = u64::try_from(self.apps[self.app_of(node)].detection.every.as_nanos()).unwrap_or(u64::MAX);
        let about = self.now.0.saturating_sub(self.nodes[node].chains[chain].begins.0) / every;
        let mut number = about.saturating_sub(1);
        while self.probed_at(node, chain, number) < self.now {
            number += 1;
        }
        number
    }

    /// The probes that were left out and would still be under way are sent after all.
    fn catch_up_probe(&mut self, node: NodeIndex, chain: usize) {
        let Chain { asleep: Some(finding), last_sent, .. } = self.nodes[node].chains[chain] else { return };
        let next = self.next_probe(node, chain);
        let first = last_sent.map_or(0, |last| last + 1).max(next.saturating_sub(3));
        for number in first..next {
            let at = self.probed_at(node, chain, number);
            self.send_probe(node, chain, number, finding, at);
        }
    }

    /// A node is about to stand still: what its probes have asked is answered into its inbox.
    pub(super) fn catch_up_probes(&mut self, node: NodeIndex) {
        for chain in 0..self.nodes[node].chains.len() {
            self.catch_up_probe(node, chain);
        }
    }

    /// A node goes on: while it stood still, it sent no probes.
    pub(super) fn skip_probes(&mut self, node: NodeIndex) {
        for chain in 0..self.nodes[node].chains.len() {
            if self.nodes[node].chains[chain].asleep.is_some() {
                let last = self.next_probe(node, chain).checked_sub(1);
                self.nodes[node].chains[chain].last_sent = last;
            }
        }
    }
}
