//! The nodes: what is fed to a brain, how its commands are obeyed, and how its process comes and goes.

use std::collections::VecDeque;
use std::time::Duration;

use lifeboat_control::{Brain, Command, Event};
use lifeboat_model::Moment;
use lifeboat_model::database::{Action, Order};

use super::{Broke, Call, DUPLICATE, Happening, Node, NodeIndex, RegionIndex, Way, World};

impl Default for Node {
    fn default() -> Self {
        Self {
            brain: None,
            incarnation: 0,
            frozen: false,
            inbox: VecDeque::new(),
            read: usize::MAX,
            watching: false,
            wake: Moment(0),
            told: Moment(0),
            passed_over: None,
            chains: Vec::new(),
        }
    }
}

impl World {
    pub(super) fn wake(&mut self, node: NodeIndex, incarnation: u64) {
        let here = &self.nodes[node];
        // An older wake-up than the one that counts: the slow and the fast way have the same ones.
        if here.incarnation == incarnation && !here.frozen && here.wake == self.now {
            self.feed(node, Event::Tick);
        }
    }

    pub(super) fn feed(&mut self, node: NodeIndex, event: Event) {
        if self.nodes[node].frozen {
            self.nodes[node].inbox.push_back(event);
            return;
        }
        if self.way == Way::Fast {
            self.catch_up_reports(node);
        }
        let clock = self.local(node);
        self.nodes[node].told = clock.now;
        let Some(brain) = &mut self.nodes[node].brain else { return };
        let commands = brain.step(clock, event);
        let wake_at = brain.wake_at();
        self.wake_node_by(node, wake_at);
        let incarnation = self.nodes[node].incarnation;
        for command in commands {
            self.obey(node, incarnation, command);
        }
    }

    fn catch_up_reports(&mut self, node: NodeIndex) {
        let (app, region) = (self.app_of(node), self.region_of(node));
        for database in 0..self.databases.len() {
            if self.databases[database].app == app {
                self.catch_up_report(self.copy(database, region));
            }
        }
    }

    /// Wakes a node when its own clock shows `local`, not before and at most once for each change of that moment.
    fn wake_node_by(&mut self, node: NodeIndex, local: Moment) {
        let clocks = self.machines[self.region_of(node)].clocks;
        let at = clocks.when(local).max(self.now + Duration::from_nanos(1));
        if self.nodes[node].wake != at {
            self.nodes[node].wake = at;
            let incarnation = self.nodes[node].incarnation;
            self.at(at, Happening::Wake(node, incarnation));
        }
    }

    /// A machine's clock has changed its rate: its nodes' alarms ring at other moments.
    pub(super) fn set_alarms_again(&mut self, region: RegionIndex) {
        for node in self.nodes_in(region) {
            if let Some(brain) = &self.nodes[node].brain
                && !self.nodes[node].frozen
            {
                let wake_at = brain.wake_at();
                self.wake_node_by(node, wake_at);
            }
        }
    }

    pub(super) fn nodes_in(&self, region: RegionIndex) -> impl Iterator<Item = NodeIndex> + use<> {
        (region..self.nodes.len()).step_by(self.regions.len())
    }

    fn obey(&mut self, node: NodeIndex, incarnation: u64, command: Command) {
        let region = self.region_of(node);
        if let Some(decisions) = &mut self.decisions {
            decisions.push(format!("{} {} {command:?}", self.now, self.regions[region]));
        }
        let call = |world: &mut Self, call| {
            let delay = world.random(10);
            world.after(delay, Happening::Call(node, incarnation, Box::new(call)));
        };
        match command {
            Command::Transact(transaction) => call(self, Call::Transact(transaction)),
            Command::Relist => call(self, Call::List),
            Command::Grant(length) => call(self, Call::Grant(length)),
            Command::Renew(lease) => {
                let delay = self.random(10);
                self.after(delay, Happening::Renew(node, incarnation, lease));
            }
            Command::AskPeers { round, question } => self.ask_peers(node, incarnation, round, &question),
            Command::AnswerPeer { ticket, answers } => self.answer_peer(ticket, answers),
            Command::Order { component, order } => {
                let database = self.database_index(&component);
                if !self.copies(database).contains(&region) {
                    let name = self.regions[region].clone();
                    self.breaks("S6", || {
                        format!("{name} is to keep data of {component}, which the file does not let it: {order:?}")
                    });
                    return;
                }
                self.begin_order(self.copy(database, region), incarnation, order);
            }
            Command::Confirm { component, epoch, until } => {
                let database = self.database_index(&component);
                let copy = self.copy(database, region);
                if until.is_some() || self.broke != Some(Broke::GateIgnoresTime) {
                    self.servers[copy].may_confirm = until.map(|until| (epoch, until));
                }
                self.soil(database);
                self.at(self.now, Happening::Acknowledge(copy));
            }
            Command::Journaled(entry) => {
                self.say(|| format!("{}: {:?}: {} ({})", entry.region, entry.kind, entry.what, entry.why));
            }
            Command::Answer { answer: Err(why), .. } => {
                let name = self.regions[region].clone();
                self.say(|| format!("{name}: refused: {why}"));
            }
            Command::Compute { .. } | Command::Serve(_) | Command::Answer { answer: Ok(_), .. } => {}
        }
    }

    fn begin_order(&mut self, copy: usize, incarnation: u64, order: Order) {
        let region = copy % self.regions.len();
        self.say_of(copy, || format!("ordered {order:?}"));
        let long = match order.action {
            Action::Seed { .. } => 5_000,
            Action::Follow { .. } => 2_000,
            Action::Create { .. } => 1_000,
            Action::Promote => 300,
            Action::Start | Action::Stop { .. } | Action::Checkpoint => 500,
            Action::SetGate { .. } | Action::Detach => 50,
        };
        self.provoke(region, copy / self.regions.len());
        let wait = self.random(long) * self.machines[region].disk_slowness;
        // Duplicated, late. A gate is not: drivers are called in the node's own process, one order at a time, and under
        // one epoch gates go back and forth.
        if self.noise > 0 && self.chance(3) && !matches!(order.action, Action::SetGate { .. }) {
            let later = self.random(5_000);
            self.after(later, Happening::OrderEnds(copy, DUPLICATE, Box::new(order.clone())));
        }
        self.servers[copy].under_way = Some((incarnation, order.clone()));
        self.after(wait, Happening::OrderEnds(copy, incarnation, Box::new(order)));
    }

    pub(super) fn say_of(&mut self, copy: usize, what: impl FnOnce() -> String) {
        if self.trace.is_some() {
            let (database, region) = (copy / self.regions.len(), copy % self.regions.len());
            let line = format!("{}: {}: {}", self.regions[region], self.databases[database].id, what());
            self.say(|| line);
        }
    }

    pub(super) fn kill_node(&mut self, node: NodeIndex) {
        self.end_quick_orders(node);
        let (app, region) = (self.app_of(node), self.region_of(node));
        let here = &mut self.nodes[node];
        here.brain = None;
        here.incarnation += 1;
        here.frozen = false;
        here.inbox.clear();
        here.watching = false;
        here.read = usize::MAX;
        for database in self.databases_of_app(app) {
            let copy = self.copy(database, region);
            self.servers[copy].may_confirm = None;
            self.forget_report(copy);
        }
    }

    /// What a node's process does itself ends with it, done or not; what a server does by itself goes on.
    fn end_quick_orders(&mut self, node: NodeIndex) {
        let incarnation = self.nodes[node].incarnation;
        for database in self.databases_of_app(self.app_of(node)) {
            let copy = self.copy(database, self.region_of(node));
            let quick = |order: &Order| matches!(order.action, Action::SetGate { .. } | Action::Detach);
            if let Some((of, order)) = self.servers[copy].under_way.take_if(|(_, order)| quick(order))
                && of == incarnation
                && self.chance(50)
            {
                let checks = self.broke != Some(Broke::DriverIgnoresEpoch);
                // Refused or done: nobody is left to be told.
                let _told_nobody = self.servers[copy].act(order.epoch, &order.action, None, checks);
            }
        }
    }

    pub(super) fn start_node(&mut self, node: NodeIndex) {
        if self.nodes[node].brain.is_some() {
            return;
        }
        let mutation = match self.broke {
            Some(Broke::Brain(mutation)) => Some(mutation),
            _ => None,
        };
        let (app, region) = (self.app_of(node), self.region_of(node));
        let mut brain = Brain::new(self.apps[app].clone(), self.regions[region].clone()).with_mutation(mutation);
        if self.way == Way::Slow {
            brain = brain.without_shortcuts();
        }
        let targets = brain.targets();
        let here = &mut self.nodes[node];
        here.brain = Some(brain);
        here.incarnation += 1;
        here.read = usize::MAX;
        here.wake = self.now;
        here.passed_over = None;
        let incarnation = here.incarnation;
        self.at(self.now, Happening::Wake(node, incarnation));
        self.at(self.now, Happening::Call(node, incarnation, Box::new(Call::List)));
        self.begin_probing(node, targets);
        for database in self.databases_of_app(app) {
            let copy = self.copy(database, region);
            self.skip_reports(copy);
            if self.copies(database).contains(&region) {
                self.wake_reporter(copy);
            }
        }
    }

    pub(super) fn freeze_node(&mut self, node: NodeIndex, frozen: bool) {
        let (app, region) = (self.app_of(node), self.region_of(node));
        if self.nodes[node].brain.is_none() || self.nodes[node].frozen == frozen {
            return;
        }
        if frozen {
            self.catch_up_probes(node);
            self.catch_up_reports(node);
            self.nodes[node].frozen = true;
            return;
        }
        self.skip_probes(node);
        for database in self.databases_of_app(app) {
            self.skip_reports(self.copy(database, region));
        }
        let here = &mut self.nodes[node];
        here.frozen = false;
        let waiting = std::mem::take(&mut here.inbox);
        for event in waiting {
            // A node that stood still hears only now what it was asked.
            if let Event::Person { database, request, .. } = &event {
                self.note_wish(self.database_index(database), request);
            }
            self.feed(node, event);
        }
        self.feed(node, Event::Tick);
    }
}
