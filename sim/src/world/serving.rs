//! The database servers at work: orders, clients that write, replication, acknowledgement.

use std::time::Duration;

use lifeboat_control::Event;
use lifeboat_model::Moment;
use lifeboat_model::RegionId;
use lifeboat_model::database::{Action, Gate, Order, Refusal};

use super::{Broke, CopyIndex, DUPLICATE, DatabaseIndex, Happening, RegionIndex, World};
use crate::server::{Server, WriteId};

/// From one write to the next, on average twice this where clients are busy, and where they are not.
const BUSY: u64 = 200;
const IDLE: u64 = 240_000;

impl World {
    /// Whether a write that began now could be acknowledged if nothing else happened.
    pub(crate) fn can_acknowledge(&self, region: RegionIndex, database: DatabaseIndex) -> bool {
        let server = self.server_at(database, region);
        if !server.lives() || !server.primary {
            return false;
        }
        match &server.gate {
            Gate::Node => self.gate_confirms(database, region),
            Gate::Peers { needed, named } => {
                let streams = |peer: &&RegionId| self.streams(database, region, self.region_index(peer));
                named.iter().filter(streams).count() >= *needed
            }
        }
    }

    /// Until when, by the world's time, the region's own node confirms commits, if it does.
    pub(crate) fn confirms_until(&self, region: RegionIndex, database: DatabaseIndex) -> Option<Moment> {
        let server = self.server_at(database, region);
        let (_, until) = server.may_confirm?;
        (server.gate == Gate::Node).then(|| self.machines[region].clocks.when(until))
    }

    /// Whether a region's node may confirm its server's commits at this moment.
    pub(crate) fn gate_confirms(&self, database: DatabaseIndex, region: RegionIndex) -> bool {
        let node = self.node_of(database, region);
        if self.nodes[node].brain.is_none() || self.nodes[node].frozen {
            return false;
        }
        let server = self.server_at(database, region);
        let in_time = |until| self.local(node).now < until || self.broke == Some(Broke::GateIgnoresTime);
        server.may_confirm.is_some_and(|(epoch, until)| epoch == server.epoch && in_time(until))
    }

    pub(super) fn streams(&self, database: DatabaseIndex, from: RegionIndex, to: RegionIndex) -> bool {
        let (primary, standby) = (self.server_at(database, from), self.server_at(database, to));
        primary.lives()
            && primary.primary
            && standby.lives()
            && !standby.primary
            && standby.follows.as_ref() == Some(&self.regions[from])
            && self.network.is_whole(from, to)
            && standby.is_prefix_of(primary)
    }

    /// Something is about to change: standbys that have everything have it as of now.
    pub(super) fn freshen(&mut self, database: DatabaseIndex) {
        for at in 0..self.databases[database].copies.len() {
            let to = self.databases[database].copies[at];
            if let Some(from) = self.server_at(database, to).follows.as_ref().map(|from| self.region_index(from))
                && self.streams(database, from, to)
                && self.server_at(database, from).wal.len() == self.server_at(database, to).wal.len()
            {
                let copy = self.copy(database, to);
                self.servers[copy].fresh_at = self.now;
            }
        }
    }

    pub(super) fn end_order(&mut self, copy: CopyIndex, incarnation: u64, order: &Order) {
        let (database, region) = (copy / self.regions.len(), copy % self.regions.len());
        let node = self.node_of(database, region);
        let alive = self.nodes[node].incarnation == incarnation;
        if incarnation != DUPLICATE {
            let under_way = self.servers[copy].under_way.take_if(|(of, known)| *of == incarnation && known == order);
            // The node was killed meanwhile: what it had begun may have ended or not, what it does itself has.
            if under_way.is_none() || !alive && self.chance(50) {
                return;
            }
        }
        self.freshen(database);
        let writer = match &order.action {
            Action::Seed { from } | Action::Follow { writer: from } => {
                let from = self.region_index(from);
                self.network.is_whole(region, from).then(|| self.server_at(database, from).clone())
            }
            _ => None,
        };
        let checks = self.broke != Some(Broke::DriverIgnoresEpoch);
        let now = self.now;
        let before = self.servers[copy].epoch;
        if order.action == (Action::Stop { clean: true }) {
            self.send_everything(database, region, order, checks);
        }
        let starts =
            matches!(order.action, Action::Create { .. } | Action::Seed { .. } | Action::Start | Action::Follow { .. });
        let result = if starts && self.machines[region].disk_full {
            Err(Refusal::Failed("no space left on device".into()))
        } else {
            self.servers[copy].act(order.epoch, &order.action, writer.as_ref(), checks)
        };
        if result.is_ok() && matches!(order.action, Action::Seed { .. }) {
            self.servers[copy].fresh_at = now;
        }
        let after = self.servers[copy].epoch;
        self.say_of(copy, || format!("{:?} under {}: {result:?}", order.action, order.epoch));
        let (name, what) = (self.regions[region].clone(), self.databases[database].id.clone());
        if after < before {
            self.breaks("S5", || format!("{name}: {what} went from epoch {before} back to {after}"));
        }
        if result.is_ok() && order.epoch < before {
            self.breaks("S5", || {
                format!("{name}: an order of epoch {} changed {what}, where {before} has acted", order.epoch)
            });
        }
        self.touch(database);
        self.stir_probes();
        if alive {
            // The newest state first, as the driver does it.
            self.report(database, region);
            self.feed(node, Event::OrderDone { component: what, result: result.map(|()| None) });
        }
        self.ship_all(database);
        self.acknowledge(database, region);
    }

    /// A server that stops in an orderly way sends everything to who is connected first.
    fn send_everything(&mut self, database: DatabaseIndex, from: RegionIndex, order: &Order, checks: bool) {
        let source = self.copy(database, from);
        if checks && order.epoch < self.servers[source].epoch {
            return;
        }
        for at in 0..self.databases[database].copies.len() {
            let to = self.databases[database].copies[at];
            if to != from && self.streams(database, from, to) {
                let wal = self.servers[source].wal.clone();
                let copy = self.copy(database, to);
                self.servers[copy].wal = wal;
                self.servers[copy].timeline = self.servers[source].timeline;
                self.servers[copy].fresh_at = self.now;
            }
        }
    }

    pub(super) fn make_busy(&mut self, until: Moment) {
        let was_idle = self.busy_until < self.now;
        self.busy_until = self.busy_until.max(until);
        if was_idle && !self.always_busy {
            for database in 0..self.databases.len() {
                self.databases[database].writes += 1;
                let turn = self.databases[database].writes;
                let wait = self.random(BUSY * 2);
                self.after(wait, Happening::Writes(database, turn));
            }
        }
    }

    pub(super) fn client_writes(&mut self, database: DatabaseIndex, turn: u64) {
        if self.databases[database].writes != turn {
            return;
        }
        self.freshen(database);
        for at in 0..self.databases[database].copies.len() {
            let region = self.databases[database].copies[at];
            let copy = self.copy(database, region);
            let server = &mut self.servers[copy];
            if server.lives() && server.primary {
                self.next_write += 1;
                server.waiting.push_back((server.wal.len(), self.next_write));
                server.wal.push(self.next_write);
                self.touch(database);
                self.acknowledge(database, region);
            }
        }
        self.ship_all(database);
        let is_busy = self.always_busy || self.now < self.busy_until;
        let wait = self.random(2 * if is_busy { BUSY } else { IDLE });
        self.after(wait, Happening::Writes(database, turn));
    }

    /// Standbys that lack something, or have not said yet that they have it, are sent it.
    pub(super) fn ship_all(&mut self, database: DatabaseIndex) {
        for at in 0..self.databases[database].copies.len() {
            let to = self.databases[database].copies[at];
            let Some(from) = self.server_at(database, to).follows.as_ref().map(|from| self.region_index(from)) else {
                continue;
            };
            if self.streams(database, from, to) {
                let primary = self.server_at(database, from);
                if primary.confirmed.get(&to) != Some(&primary.wal.len()) {
                    let wait = self.random(20) * self.machines[to].disk_slowness + self.network.delay(from, to);
                    self.after(wait, Happening::Ship { database, from, to });
                }
            }
        }
    }

    pub(super) fn ship(&mut self, database: DatabaseIndex, from: RegionIndex, to: RegionIndex) {
        if !self.streams(database, from, to) {
            return;
        }
        let primary = self.server_at(database, from);
        let (timeline, length) = (primary.timeline, primary.wal.len());
        let copy = self.copy(database, to);
        let known = self.servers[copy].wal.len();
        let new: Vec<WriteId> = self.server_at(database, from).wal[known..].to_vec();
        let now = self.now;
        let standby: &mut Server = &mut self.servers[copy];
        standby.wal.extend(new);
        standby.timeline = timeline;
        standby.fresh_at = now;
        self.touch(database);
        let wait = self.random(20) + self.network.delay(to, from);
        self.after(wait, Happening::Confirmed { database, by: to, to: from, timeline, length });
    }

    pub(super) fn take_confirmation(
        &mut self,
        database: DatabaseIndex,
        by: RegionIndex,
        to: RegionIndex,
        timeline: u32,
        length: usize,
    ) {
        let linked = self.network.is_linked(by, to);
        let copy = self.copy(database, to);
        let server = &mut self.servers[copy];
        if linked && server.lives() && server.primary && server.timeline == timeline {
            let known = server.confirmed.entry(by).or_default();
            *known = length.max(*known);
        }
        self.touch(database);
        self.acknowledge(database, to);
    }

    /// Acknowledges what waits and is confirmed.
    pub(super) fn acknowledge(&mut self, database: DatabaseIndex, region: RegionIndex) {
        loop {
            let server = self.server_at(database, region);
            if !server.lives() || !server.primary {
                return;
            }
            let Some((place, write)) = server.waiting.front().copied() else { return };
            let confirmed = match &server.gate {
                Gate::Node => self.gate_confirms(database, region),
                Gate::Peers { needed, named } => {
                    let has = |peer: &&RegionId| {
                        server.confirmed.get(&self.region_index(peer)).is_some_and(|length| *length > place)
                    };
                    named.iter().filter(has).count() >= *needed
                }
            };
            if !confirmed {
                return;
            }
            let copy = self.copy(database, region);
            self.servers[copy].waiting.pop_front();
            self.check_acknowledged(database, region, place, write);
        }
    }

    pub(super) fn kill_server(&mut self, database: DatabaseIndex, region: RegionIndex) {
        let copy = self.copy(database, region);
        self.servers[copy].crash();
        self.touch(database);
    }

    /// Everything that may have been held up goes on, if it can.
    pub(super) fn resume(&mut self) {
        for database in 0..self.databases.len() {
            self.ship_all(database);
            for at in 0..self.databases[database].copies.len() {
                let region = self.databases[database].copies[at];
                self.acknowledge(database, region);
            }
        }
        self.touch_all();
        self.stir_probes();
    }

    /// A slow disk slows all that is ordered from now on.
    pub(super) fn slow_disk(&mut self, region: RegionIndex, factor: u32) {
        self.machines[region].disk_slowness = factor.max(1);
    }

    pub(super) fn fill_disk(&mut self, region: RegionIndex) {
        self.machines[region].disk_full = true;
        for database in 0..self.databases.len() {
            if self.copies(database).contains(&region) {
                self.kill_server(database, region);
            }
        }
    }

    pub(super) fn freeze_servers(&mut self, region: RegionIndex, frozen: bool) {
        for database in 0..self.databases.len() {
            let copy = self.copy(database, region);
            if self.servers[copy].up {
                self.servers[copy].frozen = frozen;
            }
        }
    }

    /// For how long nothing else has gone wrong.
    pub(super) fn undisturbed_for(&self) -> Duration {
        self.now.since(self.undisturbed_since)
    }
}
