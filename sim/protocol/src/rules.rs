//! The rules: every step that may follow a state. Detection is left out on purpose: a claim may happen at any moment, for safety must
//! not rest on who looks dead. Every step of a node rests on what it has read, however old that is; only the store compares.

use std::fmt;

use crate::config::{Config, Mutation, Opening, UNBOUNDED};
use crate::state::{Change, Fate, Gate, Node, Record, Region, Regions, Server, State, letter};

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A client writes.
    Write(Region, u8),
    /// A standby receives the next write, or learns of its primary's new timeline.
    Receive(Region, Region),
    /// A client is told that its write is safe.
    Acknowledge(Region, u8),
    /// A server's processes are gone.
    Crash(Region),
    /// A server starts as what its data say it is.
    Start(Region),
    /// A node forgets everything.
    Restart(Region),
    /// A node's lease ends by its own clock, or it stands still.
    LeaseEnds(Region),
    /// The store lets a lease go.
    LeaseGone(Region),
    /// A node renews its lease, or finds that it still holds it.
    Renew(Region),
    /// A writer that is alone takes the lease.
    TakeLease(Region),
    /// A node reads the record.
    Read(Region),
    /// A node reads the record in a transaction that keeps its own older requests from being carried out any more.
    Fence(Region),
    /// A transaction, and how it ended.
    Transact(Region, Change, Answer),
    /// A request whose answer was lost is carried out after all.
    Late(Region, Change),
    /// A claimer sees the old writer fenced.
    Learn(Region),
    /// A standby becomes a primary behind a shut gate.
    Promote(Region, u8),
    /// An order finds that there is nothing to do, and its epoch is remembered.
    Touch(Region, u8),
    /// A primary that has claimed anew shuts its gate.
    Shut(Region, u8),
    /// A gate is changed.
    SetGate(Region, Gate),
    /// A primary is stopped, for there is a newer epoch.
    Stop(Region, u8),
    /// A standby follows nobody any more.
    Detach(Region, u8),
    /// A server becomes a standby of another's.
    Follow(Region, Region, u8),
    /// The first promises the second to claim nothing.
    Promise(Region, Region),
    /// The second's trust in the first's promise ends by its own clock.
    PromiseEnds(Region, Region),
    /// The first's own belief in its promises ends; only where that rule is broken.
    Unbound(Region),
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Executed, and the node knows.
    Came,
    /// Executed, and the node does not know.
    Lost,
    /// Not executed, and the node does not know; it may be yet.
    Underway,
}

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

    // --- what may be concluded ---

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

    /// Whether everybody else has promised to claim nothing.
    fn is_promised(&self, node: &Node, region: Region) -> bool {
        let missing = Regions(self.all.without(region).0 & !node.heard.0).count();
        missing == 0 || missing == 1 && self.config.breaks(Mutation::OneNotAsked) && !node.heard.is_empty()
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

    fn is_confirmed(&self, state: &State, region: Region, write: u8) -> bool {
        let gate = state.server(region).gate;
        if gate.is_node() {
            return self.node_confirms(state, region);
        }
        Regions(state.write(write).votes.0 & gate.named().0).count() >= gate.needed()
    }

    /// The gates that a writer might want, given who follows it. S2: whoever has not acted under its epoch yet may still act under one in
    /// between, and rewind to another writer what it has confirmed here.
    fn gates(&self, state: &State, region: Region) -> impl Iterator<Item = Gate> + use<> {
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

    // --- PostgreSQL and its clients ---

    fn data(&self, state: &State, region: Region, out: &mut Vec<(Step, State)>) {
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

    // --- faults ---

    fn faults(&self, state: &State, region: Region, out: &mut Vec<(Step, State)>) {
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
            next.node_mut(region).mark = server.wal.len() as u8;
            out.push((Step::Restart(region), next));
        }
    }

    // --- the lease, and what is read ---

    fn leases(&self, state: &State, region: Region, out: &mut Vec<(Step, State)>) {
        let node = state.node(region);
        let held = state.lease == Some(region);
        if node.lease {
            let mut next = *state;
            next.node_mut(region).lease = false;
            out.push((Step::LeaseEnds(region), next));
        }
        // The one assumption on time: a node stops believing before the store does.
        if held && (!node.lease || self.config.breaks(Mutation::StoreFirst)) {
            let mut next = *state;
            next.lease = None;
            out.push((Step::LeaseGone(region), next));
        }
        if held && !node.lease && node.known.writer == region {
            let mut next = *state;
            next.node_mut(region).lease = true;
            out.push((Step::Renew(region), next));
        }
        let alone = node.known.writer == region && node.known.open && node.known.gate.is_node();
        if node.fresh && !node.unsure && alone && state.lease.is_none() {
            let mut next = *state;
            next.lease = Some(region);
            next.node_mut(region).lease = true;
            out.push((Step::TakeLease(region), next));
        }
    }

    fn reads(&self, state: &State, region: Region, out: &mut Vec<(Step, State)>) {
        let node = state.node(region);
        let mut next = *state;
        let reader = next.node_mut(region);
        reader.known = state.record;
        reader.fresh = true;
        reader.fenced &= reader.known == node.known;
        reader.unsure &= !self.config.breaks(Mutation::ReadIsEnough);
        if !node.fresh || reader.unsure != node.unsure {
            out.push((Step::Read(region), next));
        }
        if node.unsure {
            let mut next = next;
            let reader = next.node_mut(region);
            // What a transaction of this node changes, all its requests are conditioned on: older ones change nothing any more.
            (reader.unsure, reader.loose) = (false, Change::Nothing);
            out.push((Step::Fence(region), next));
        }
    }

    // --- the record ---

    fn transactions(&self, state: &State, region: Region, out: &mut Vec<(Step, State)>) {
        let node = state.node(region);
        if node.loose != Change::Nothing
            && let Some(next) = self.execute(state, region, node.loose)
        {
            out.push((Step::Late(region, node.loose), next));
        }
        // A transaction is conditioned on what was read: with old news it changes nothing.
        if node.unsure || !node.fresh {
            return;
        }
        for change in self.changes(state, region) {
            if let Some(mut next) = self.execute(state, region, change) {
                if state.losses > 0 {
                    let mut lost = next;
                    spend(&mut lost.losses);
                    lost.node_mut(region).unsure = !self.config.breaks(Mutation::LostAnswer);
                    out.push((Step::Transact(region, change, Answer::Lost), lost));
                }
                let record = next.record;
                let lease = next.lease == Some(region);
                let node = next.node_mut(region);
                (node.known, node.fresh, node.fenced) = (record, true, false);
                node.lease |= lease;
                out.push((Step::Transact(region, change, Answer::Came), next));
            }
            if state.losses > 0 && node.loose == Change::Nothing {
                let mut underway = *state;
                spend(&mut underway.losses);
                let node = underway.node_mut(region);
                node.loose = change;
                node.unsure = !self.config.breaks(Mutation::LostAnswer);
                out.push((Step::Transact(region, change, Answer::Underway), underway));
            }
        }
    }

    /// The changes that a node would ask for, by what it knows.
    fn changes(&self, state: &State, region: Region) -> Vec<Change> {
        let node = state.node(region);
        let known = &node.known;
        let server = state.server(region);
        let mut changes = Vec::new();
        if known.writer != region {
            if known.epoch < self.config.epochs {
                let named = known.gate.named().has(region);
                if known.holders.has(region) || named || self.config.breaks(Mutation::ClaimAny) {
                    changes.push(Change::Claim);
                } else if known.gate.is_node() && !node.bound {
                    // A promise concerns claims by force only: where one is asked for, nobody else holds everything.
                    changes.push(Change::ClaimByForce);
                }
            }
            return changes;
        }
        if !server.primary || server.epoch != known.epoch || !known.open && !server.up {
            return changes;
        }
        // A record may follow its server after that has fallen: what it says was so when it was asked for.
        if !known.open {
            // S1: behind a gate in passing others may still confirm to the old writer.
            if !self.also_is_fenced(state, known, region) || self.must_wait(node) {
                return changes;
            }
            match self.config.opening {
                Opening::Alone if server.gate.is_node() => changes.push(Change::OpenAlone),
                Opening::Alone => {}
                Opening::BehindPeers if !known.also.is_node() && server.gate.is_node() => {
                    changes.push(Change::Announce(Gate::NODE)); // Only now may others follow.
                }
                Opening::BehindPeers => {
                    let early = self.config.breaks(Mutation::PeersBeforeOpen);
                    changes.extend(
                        self.gates(state, region)
                            .filter(|gate| server.gate == if early { *gate } else { Gate::NODE })
                            .filter(|gate| self.have_caught_up(state, region, *gate))
                            .map(Change::OpenBehind),
                    );
                }
            }
            return changes;
        }
        let announces = !self.config.breaks(Mutation::Unannounced);
        if known.gate.is_node() {
            if server.gate.is_node() {
                if announces {
                    let other = self.gates(state, region).chain([Gate::NODE]).filter(|gate| *gate != known.also);
                    changes.extend(other.map(Change::Announce));
                }
            } else if (!announces || server.gate == known.also) && self.have_caught_up(state, region, server.gate) {
                changes.push(Change::Record(server.gate));
            }
            if self.config.breaks(Mutation::SynchronousEarly) {
                changes.extend(self.gates(state, region).map(Change::Record));
            }
        } else if server.gate.is_node() {
            changes.push(Change::Alone);
        } else if server.gate == known.gate {
            if self.config.breaks(Mutation::AloneUnshut) {
                changes.push(Change::Alone);
            }
            let record_first = |gate: &Gate| gate.covers(known.gate) && !known.gate.covers(*gate);
            changes.extend(
                self.gates(state, region)
                    .filter(record_first)
                    .filter(|gate| self.have_caught_up(state, region, *gate))
                    .map(Change::Record),
            );
        } else if known.gate.covers(server.gate) && self.have_caught_up(state, region, server.gate) {
            changes.push(Change::Record(server.gate));
        }
        changes
    }

    /// Whether all that a gate names have what was there when the server's gate was changed last.
    fn have_caught_up(&self, state: &State, region: Region, gate: Gate) -> bool {
        let node = state.node(region);
        let mark = usize::from(node.mark);
        let is_down = !state.server(region).up;
        gate.named().iter().all(|peer| {
            let server = state.server(peer);
            (state.streams(region, peer) || is_down && server.follows == Some(region)) && server.wal.len() >= mark
        })
    }

    /// The store carries out a change that was conditioned on the present record; `None` if another condition fails.
    fn execute(&self, state: &State, region: Region, change: Change) -> Option<State> {
        let mut next = *state;
        let record = &mut next.record;
        match change {
            Change::Nothing => return None,
            Change::Claim | Change::ClaimByForce => {
                let forced = change == Change::ClaimByForce;
                // S1: who confirms by a lease has stopped.
                if forced && state.lease.is_some() && !self.config.breaks(Mutation::ForceUnexpired) {
                    return None;
                }
                (record.epoch, record.writer, record.open, record.forced) = (record.epoch + 1, region, false, forced);
                if forced {
                    record.holders = Regions::one(region);
                }
                next.lease = None;
            }
            Change::OpenAlone => {
                (record.open, record.gate, record.also) = (true, Gate::NODE, Gate::NODE);
                record.holders = Regions::one(region);
                next.lease = Some(region);
            }
            Change::Alone => {
                (record.gate, record.holders) = (Gate::NODE, Regions::one(region));
                next.lease = Some(region);
            }
            Change::Announce(gate) => (record.also, record.also_of) = (gate, region),
            Change::OpenBehind(gate) | Change::Record(gate) => {
                (record.open, record.gate, record.also) = (true, gate, Gate::NODE);
                record.holders = gate.holders(region);
                next.lease = None;
            }
        }
        if next.record.also.is_node() {
            next.record.also_of = 0;
        }
        match change {
            // What the claimer lacks is counted as lost, also what the old writer has yet to answer.
            Change::ClaimByForce => give_up(&mut next, region),
            Change::Nothing | Change::Claim | Change::Announce(_) => {}
            Change::OpenAlone | Change::OpenBehind(_) | Change::Alone | Change::Record(_) => next.record.forced = false,
        }
        for node in &mut next.nodes {
            (node.fresh, node.loose) = (false, Change::Nothing);
        }
        Some(next)
    }

    // --- orders to the servers ---

    fn orders(&self, state: &State, region: Region, out: &mut Vec<(Step, State)>) {
        let node = state.node(region);
        let known = node.known;
        let server = *state.server(region);
        // S5: a driver that has acted under a newer epoch refuses.
        if known.epoch == 0 || known.epoch < server.epoch {
            return;
        }
        let epoch = known.epoch;
        let order = |out: &mut Vec<(Step, State)>, step: Step, act: &dyn Fn(&mut State)| {
            let mut next = *state;
            next.server_mut(region).epoch = epoch;
            act(&mut next);
            out.push((step, next));
        };
        let set_gate = |gate: Gate| {
            move |next: &mut State| {
                next.server_mut(region).gate = gate;
                next.node_mut(region).mark = server.wal.len() as u8;
            }
        };
        if known.writer == region {
            let must_wait = self.must_wait(node);
            let learns = self.config.opening == Opening::BehindPeers && !known.open && !server.primary && !node.fenced;
            if learns && self.fence_holds(state, region) {
                let mut next = *state;
                next.node_mut(region).fenced = true;
                out.push((Step::Learn(region), next));
            }
            if !known.open && !must_wait && server.up && !server.primary && self.fence_holds(state, region) {
                order(out, Step::Promote(region, epoch), &|next| {
                    let server = next.server_mut(region);
                    (server.primary, server.gate) = (true, Gate::NODE);
                    server.timeline += 1;
                    server.follows = None;
                    next.node_mut(region).mark = server.wal.len() as u8;
                });
            }
            if server.writes() && server.epoch < epoch && !known.open && !must_wait {
                order(out, Step::Shut(region, epoch), &set_gate(Gate::NODE));
            }
            // What this node asked for before may still be carried out, and then the record would not fit the gate.
            if server.writes() && server.epoch == epoch && !node.unsure {
                for gate in self.wanted_gates(state, &known, &server, region) {
                    order(out, Step::SetGate(region, gate), &set_gate(gate));
                }
                if self.config.breaks(Mutation::AloneUnrecorded) && known.open && !server.gate.is_node() {
                    order(out, Step::SetGate(region, Gate::NODE), &|next| {
                        next.server_mut(region).gate = Gate::NODE;
                        next.node_mut(region).lease = true;
                    });
                }
            }
        } else if server.primary && server.epoch < epoch {
            // It may have fallen since it was seen to write; the epoch is remembered all the same.
            order(out, Step::Stop(region, epoch), &|next| crash(next, region));
        }
        let writer = state.server(known.writer);
        if known.writer != region && self.may_be_followed(&known, writer) && writer.writes() && writer.epoch >= epoch {
            let astray = server.primary || !server.up || server.follows != Some(known.writer);
            if astray || server.epoch < epoch {
                order(out, Step::Follow(region, known.writer, epoch), &|next| {
                    crash(next, region);
                    let server = next.server_mut(region);
                    server.wal = server.wal.cut(server.wal.common(writer.wal));
                    (server.up, server.primary, server.gate) = (true, false, Gate::NODE);
                    server.timeline = writer.timeline;
                    server.follows = Some(known.writer);
                    let wal = server.wal;
                    // Its old connection is closed, and what it confirmed over that counts no more.
                    for (place, made) in next.writes.iter_mut().enumerate() {
                        let has = made.at == known.writer && wal.has(place as u8 + 1);
                        made.votes = if has { made.votes.with(region) } else { made.votes.without(region) };
                    }
                });
            }
        }
        if server.epoch < epoch && (known.writer == region || !server.primary) {
            order(out, Step::Touch(region, epoch), &|next| next.node_mut(region).mark = server.wal.len() as u8);
        }
        if !server.primary && !known.open && (server.epoch < epoch || server.follows.is_some()) {
            order(out, Step::Detach(region, epoch), &|next| next.server_mut(region).follows = None);
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
        let most = self.config.breaks(Mutation::MostDataSkipped) || self.has_most(state, region, &stopped);
        stopped.len() >= needed && most
    }

    fn stops_needed(&self, gate: Gate) -> usize {
        let off = usize::from(self.config.breaks(Mutation::StopsOffByOne));
        gate.stops_needed().saturating_sub(off).max(1)
    }

    /// Whether nobody confirms commits any more behind the gate that the old writer's server may have been behind in passing, and this
    /// region has what was confirmed so. As `control::write::also_is_fenced`.
    fn also_is_fenced(&self, state: &State, known: &Record, region: Region) -> bool {
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
            && (self.has_most(state, region, &stopped) || self.config.breaks(Mutation::AlsoDataSkipped))
    }

    fn has_most(&self, state: &State, region: Region, of: &[Region]) -> bool {
        let place = |of: Region| (state.server(of).timeline, state.server(of).wal.len());
        of.iter().all(|peer| place(*peer) <= place(region))
    }

    /// Whether an epoch that was claimed by force has to stay shut, for a promise still counts.
    fn must_wait(&self, node: &Node) -> bool {
        !node.known.open && node.known.forced && node.bound && !self.config.breaks(Mutation::OpenedInSpite)
    }

    // --- promises between nodes while the store is gone ---

    fn promises(&self, state: &State, region: Region, out: &mut Vec<(Step, State)>) {
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

    // --- the same state always in the same form ---

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

/// Whether a server confirms to nobody any more under older epochs than `epoch`, for good. As `control::write::is_detached`.
fn has_stopped(state: &State, region: Region, epoch: u8) -> bool {
    let server = state.server(region);
    server.epoch >= epoch && (server.primary || server.follows.is_none())
}

fn spend(budget: &mut u8) {
    if *budget != UNBOUNDED {
        *budget -= 1;
    }
}

/// A server's processes are gone, and its clients' connections with them.
fn crash(state: &mut State, region: Region) {
    state.server_mut(region).up = false;
    for made in &mut state.writes {
        if made.fate == Fate::Waiting && made.at == region {
            made.fate = Fate::Gone;
        }
    }
}

/// What a claimer by force lacks of what is acknowledged, or may be as good as that in the gate that it had to fence.
fn give_up(state: &mut State, claimer: Region) {
    let wal = state.server(claimer).wal;
    for write in 1..=state.made() {
        let made = &mut state.writes[usize::from(write) - 1];
        let counts = made.fate == Fate::Acknowledged || made.fate == Fate::Waiting && made.at != claimer;
        if counts && !wal.has(write) {
            made.fate = Fate::Gone;
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Write(at, write) => write!(f, "{}: a client writes {write}", letter(at)),
            Self::Receive(to, from) => write!(f, "{}: receives from {}", letter(to), letter(from)),
            Self::Acknowledge(at, write) => write!(f, "{}: acknowledges {write}", letter(at)),
            Self::Crash(at) => write!(f, "{}: the server is killed", letter(at)),
            Self::Start(at) => write!(f, "{}: the server starts as what it was", letter(at)),
            Self::Restart(at) => write!(f, "{}: the node restarts and has forgotten everything", letter(at)),
            Self::LeaseEnds(at) => write!(f, "{}: the lease ends, by the node's own clock", letter(at)),
            Self::LeaseGone(of) => write!(f, "store: the lease of {} runs out", letter(of)),
            Self::Renew(at) => write!(f, "{}: renews its lease", letter(at)),
            Self::TakeLease(at) => write!(f, "{}: takes the lease", letter(at)),
            Self::Read(at) => write!(f, "{}: reads the record", letter(at)),
            Self::Fence(at) => write!(f, "{}: fences its older requests and reads the record", letter(at)),
            Self::Transact(at, change, answer) => {
                let answer = match answer {
                    Answer::Came => "",
                    Answer::Lost => "; done, but the answer is lost",
                    Answer::Underway => "; no answer comes, the request is still under way",
                };
                write!(f, "{}: {change}{answer}", letter(at))
            }
            Self::Late(at, change) => write!(f, "store: carries out an old request of {}: {change}", letter(at)),
            Self::Learn(at) => write!(f, "{}: sees the old writer fenced", letter(at)),
            Self::Promote(at, epoch) => {
                write!(f, "{}: promoted under epoch {epoch}, behind a shut gate", letter(at))
            }
            Self::Touch(at, epoch) => write!(f, "{}: an order of epoch {epoch} finds nothing to do", letter(at)),
            Self::Shut(at, epoch) => write!(f, "{}: shuts its gate under epoch {epoch}", letter(at)),
            Self::SetGate(at, gate) => write!(f, "{}: reloads, {gate} confirms", letter(at)),
            Self::Stop(at, epoch) => write!(f, "{}: sees epoch {epoch} and stops", letter(at)),
            Self::Detach(at, epoch) => write!(f, "{}: sees epoch {epoch} and follows nobody any more", letter(at)),
            Self::Follow(at, writer, epoch) => {
                write!(f, "{}: follows {} under epoch {epoch}, rewound where it differs", letter(at), letter(writer))
            }
            Self::Promise(by, to) => write!(f, "{}: promises {} to claim nothing", letter(by), letter(to)),
            Self::PromiseEnds(by, to) => write!(f, "{}: trusts the promise of {} no longer", letter(to), letter(by)),
            Self::Unbound(at) => write!(f, "{}: thinks its promise over", letter(at)),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("changes nothing"),
            Self::Claim => f.write_str("claims the next epoch"),
            Self::ClaimByForce => f.write_str("claims the next epoch by force, and counts what is lost"),
            Self::OpenAlone => f.write_str("records open, alone, with a lease"),
            Self::OpenBehind(gate) => write!(f, "records open behind {gate}"),
            Self::Alone => f.write_str("records alone, with a lease"),
            Self::Announce(gate) if gate.is_node() => f.write_str("records that nobody but the node may confirm"),
            Self::Announce(gate) => write!(f, "records that {gate} may confirm, too"),
            Self::Record(gate) => write!(f, "records that {gate} confirms"),
        }
    }
}
