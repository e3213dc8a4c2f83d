//! The nodes: what is fed to a brain, how its commands are obeyed, and how its process comes and goes.

use super::*;

impl World {
    pub(super) fn feed(&mut self, region: &RegionId, event: Event) {
        let clock = self.local(region);
        let node = self.nodes.get_mut(region).expect("nodes are never removed");
        if node.frozen {
            node.inbox.push_back(event);
            return;
        }
        let Some(brain) = &mut node.brain else { return };
        let commands = brain.step(clock, event);
        let incarnation = node.incarnation;
        let wait = brain.wake_at().since(clock.now).max(Duration::from_millis(1));
        let wake = self.now + wait;
        if node.wake <= self.now || wake < node.wake {
            node.wake = wake;
            self.at(wake, Happening::Wake(region.clone(), incarnation));
        }
        for command in commands {
            self.obey(region, incarnation, command);
        }
    }

    pub(super) fn obey(&mut self, region: &RegionId, incarnation: u64, command: Command) {
        let delay = self.random(10);
        let call = |world: &mut Self, call| world.after(delay, Happening::Call(region.clone(), incarnation, call));
        match command {
            Command::Transact(transaction) => call(self, Call::Transact(transaction)),
            Command::Relist => call(self, Call::List),
            Command::Grant(length) => call(self, Call::Grant(length)),
            Command::Renew(lease) => call(self, Call::Renew(lease)),
            Command::Order { component, order } => {
                self.say(|| format!("{region}: ordered {component}: {order:?}"));
                let long = match order.action {
                    Action::Seed { .. } => 5_000,
                    Action::Follow { .. } => 2_000,
                    Action::Create { .. } => 1_000,
                    Action::Promote => 300,
                    Action::Start | Action::Stop { .. } | Action::Checkpoint => 500,
                    Action::SetGate { .. } | Action::Detach => 50,
                };
                let wait = self.random(long);
                // Duplicated, late. A gate is not: drivers are called in the node's own process, one order at a time, and under
                // one epoch gates go back and forth.
                if self.chance(3) && !self.calm && !matches!(order.action, Action::SetGate { .. }) {
                    let later = self.random(5_000);
                    self.after(later, Happening::OrderEnds(region.clone(), u64::MAX, component.clone(), order.clone()));
                }
                self.after(wait, Happening::OrderEnds(region.clone(), incarnation, component, order));
            }
            Command::Confirm { component, epoch, until } => {
                let server =
                    self.servers.get_mut(&(region.clone(), component.clone())).expect("only copies are confirmed");
                if until.is_some() || self.broke != Some(Broke::GateIgnoresTime) {
                    server.may_confirm = until.map(|until| (epoch, until));
                }
                self.after(
                    Duration::ZERO,
                    Happening::Confirmed {
                        database: component,
                        by: region.clone(),
                        to: region.clone(),
                        timeline: 0,
                        length: 0,
                    },
                );
            }
            Command::Journaled(entry) => {
                self.say(|| format!("{}: {:?}: {} ({})", entry.region, entry.kind, entry.what, entry.why))
            }
            Command::AskPeers { round, question } => self.ask_peers(region, incarnation, round, &question),
            Command::AnswerPeer { ticket, answers } => self.answer_peer(ticket, answers),
            Command::Compute { .. } | Command::Serve(_) | Command::Answer { .. } => {}
        }
    }

    pub(super) fn kill_node(&mut self, region: &RegionId) {
        self.end_quick_orders(region);
        let node = self.nodes.get_mut(region).expect("nodes are never removed");
        node.brain = None;
        node.incarnation += 1;
        node.frozen = false;
        node.inbox.clear();
        node.watching = false;
        for ((there, _), server) in &mut self.servers {
            if there == region {
                server.may_confirm = None;
            }
        }
    }

    /// What a node's process does itself ends with it, done or not; what a server does by itself goes on.
    pub(super) fn end_quick_orders(&mut self, region: &RegionId) {
        let incarnation = self.nodes[region].incarnation;
        let quick = |happening: &Happening| {
            matches!(happening, Happening::OrderEnds(there, of, _, order) if there == region && *of == incarnation
                && matches!(order.action, Action::SetGate { .. } | Action::Detach))
        };
        let numbers: Vec<u64> =
            self.happenings.iter().filter(|(_, happening)| quick(happening)).map(|(number, _)| *number).collect();
        for number in numbers {
            if let Some(Happening::OrderEnds(_, _, database, order)) = self.happenings.remove(&number)
                && self.chance(50)
            {
                let checks = self.broke != Some(Broke::DriverIgnoresEpoch);
                let server = self.servers.get_mut(&(region.clone(), database)).expect("only copies are given orders");
                // Refused or done: nobody is left to be told.
                let _told_nobody = server.act(order.epoch, &order.action, None, checks);
            }
        }
    }

    pub(super) fn start_node(&mut self, region: &RegionId) {
        let mutation = match self.broke {
            Some(Broke::Brain(mutation)) => Some(mutation),
            _ => None,
        };
        let node = self.nodes.get_mut(region).expect("nodes are never removed");
        if node.brain.is_some() {
            return;
        }
        let brain = Brain::new(self.app.clone(), region.clone()).with_mutation(mutation);
        let targets = brain.targets();
        node.brain = Some(brain);
        node.incarnation += 1;
        node.read = usize::MAX;
        node.wake = Moment(0);
        let incarnation = node.incarnation;
        self.after(Duration::ZERO, Happening::Wake(region.clone(), incarnation));
        self.after(Duration::ZERO, Happening::Call(region.clone(), incarnation, Call::List));
        for target in targets {
            let wait = self.random(500);
            self.after(wait, Happening::Probe(region.clone(), incarnation, target));
        }
    }

    pub(super) fn freeze(&mut self, region: &RegionId, frozen: bool, servers_too: bool) {
        if servers_too {
            for ((there, _), server) in &mut self.servers {
                if there == region && server.up {
                    server.frozen = frozen;
                }
            }
        }
        let node = self.nodes.get_mut(region).expect("nodes are never removed");
        if node.brain.is_none() {
            return;
        }
        node.frozen = frozen;
        if !frozen {
            let waiting = std::mem::take(&mut node.inbox);
            node.wake = Moment(0);
            for event in waiting {
                self.feed(region, event);
            }
            self.feed(region, Event::Tick);
        }
    }
}
