//! The database servers at work: reports, orders, clients that write, replication, acknowledgement.

use super::*;

impl World {
    /// Whether a write that began now could be acknowledged if nothing else happened.
    pub fn can_acknowledge(&self, region: &RegionId, database: &ComponentId) -> bool {
        let server = self.server(region, database);
        if !server.lives() || !server.primary {
            return false;
        }
        match &server.gate {
            Gate::Node => self.gate_confirms(region, server),
            Gate::Peers { needed, named } => {
                named.iter().filter(|peer| self.streams(database, region, peer)).count() >= *needed
            }
        }
    }

    /// Whether a region's node may confirm commits at this moment.
    pub fn node_confirms(&self, region: &RegionId, database: &ComponentId) -> bool {
        self.gate_confirms(region, self.server(region, database))
    }

    pub(super) fn gate_confirms(&self, region: &RegionId, server: &Server) -> bool {
        let node = &self.nodes[region];
        if node.brain.is_none() || node.frozen {
            return false;
        }
        let in_time = |until| self.local(region).now < until || self.broke == Some(Broke::GateIgnoresTime);
        server.may_confirm.is_some_and(|(epoch, until)| in_time(until) && epoch == server.epoch)
    }

    pub(super) fn streams(&self, database: &ComponentId, from: &RegionId, to: &RegionId) -> bool {
        let (primary, standby) = (self.server(from, database), self.server(to, database));
        primary.lives()
            && primary.primary
            && standby.lives()
            && !standby.primary
            && standby.follows.as_ref() == Some(from)
            && self.linked(from, to)
            && self.linked(to, from)
            && standby.is_prefix_of(primary)
    }

    pub(super) fn report(&mut self, region: &RegionId, database: &ComponentId) {
        let node = &self.nodes[region];
        if node.brain.is_none() {
            return;
        }
        let server = self.server(region, database);
        let streams = server.follows.clone().is_some_and(|from| self.streams(database, &from, region));
        let mut followers = BTreeMap::new();
        if server.lives() && server.primary {
            for peer in self.app.data_regions().filter(|peer| *peer != region) {
                if self.streams(database, region, peer) {
                    let confirms = matches!(&server.gate, Gate::Peers { named, .. } if named.contains(peer));
                    let flushed = Lsn(server.confirmed.get(peer).copied().unwrap_or(0) as u64);
                    followers.insert(peer.clone(), Follower { streaming: true, confirms, flushed });
                }
            }
        }
        let state = server.report(self.now, streams, followers);
        let event = Event::Database { component: database.clone(), state };
        self.feed(region, event);
    }

    pub(super) fn end_order(
        &mut self,
        region: &RegionId,
        incarnation: u64,
        database: &ComponentId,
        order: Order,
    ) -> Result<(), Broken> {
        let alive = self.nodes[region].incarnation == incarnation;
        // The node was killed meanwhile: what it had begun may have ended or not.
        if !alive && incarnation != u64::MAX && self.chance(50) {
            return Ok(());
        }
        let writer = match &order.action {
            Action::Seed { from } | Action::Follow { writer: from }
                if self.linked(region, from) && self.linked(from, region) =>
            {
                Some(self.server(from, database).clone())
            }
            _ => None,
        };
        let checks = self.broke != Some(Broke::DriverIgnoresEpoch);
        let now = self.now;
        let server = self.servers.get_mut(&(region.clone(), database.clone())).expect("only copies are given orders");
        let before = server.epoch;
        let result = server.act(order.epoch, &order.action, writer.as_ref(), checks);
        server.fresh_at = if matches!(order.action, Action::Seed { .. }) { now } else { server.fresh_at };
        let after = server.epoch;
        self.say(|| format!("{region}: {database}: {:?} under {}: {result:?}", order.action, order.epoch));
        if after < before {
            return Err(Broken {
                promise: "S5",
                how: format!("{region}: {database} went from epoch {before} back to {after}"),
            });
        }
        if result.is_ok() && order.epoch < before {
            return Err(Broken {
                promise: "S5",
                how: format!(
                    "{region}: an order of epoch {} changed {database}, where {before} has acted",
                    order.epoch
                ),
            });
        }
        if alive {
            // The newest state first, as the driver does it.
            self.report(region, database);
            self.feed(region, Event::OrderDone { component: database.clone(), result: result.map(|()| None) });
        }
        self.ship_all(database);
        self.acknowledge(database, region)
    }

    pub(super) fn client_writes(&mut self, database: &ComponentId) -> Result<(), Broken> {
        let primaries: Vec<RegionId> = self
            .app
            .data_regions()
            .filter(|r| self.server(r, database).lives() && self.server(r, database).primary)
            .cloned()
            .collect();
        for region in primaries {
            self.next_write += 1;
            let write = self.next_write;
            let server = self.servers.get_mut(&(region.clone(), database.clone())).expect("servers are never removed");
            server.waiting.push_back((server.wal.len(), write));
            server.wal.push(write);
            self.acknowledge(database, &region)?;
        }
        self.ship_all(database);
        let wait = self.random(400);
        self.after(wait, Happening::ClientWrites(database.clone()));
        Ok(())
    }

    pub(super) fn ship_all(&mut self, database: &ComponentId) {
        let regions: Vec<RegionId> = self.app.data_regions().cloned().collect();
        for to in &regions {
            let Some(from) = self.server(to, database).follows.clone() else { continue };
            if self.streams(database, &from, to) {
                let wait = self.random(20);
                self.after(wait, Happening::Ship { database: database.clone(), from, to: to.clone() });
            }
        }
    }

    pub(super) fn ship(&mut self, database: &ComponentId, from: &RegionId, to: &RegionId) -> Result<(), Broken> {
        if !self.streams(database, from, to) {
            return Ok(());
        }
        let primary = self.server(from, database);
        let (timeline, length) = (primary.timeline, primary.wal.len());
        let known = self.server(to, database).wal.len();
        let new: Vec<WriteId> = primary.wal[known..].to_vec();
        let now = self.now;
        let standby = self.servers.get_mut(&(to.clone(), database.clone())).expect("servers are never removed");
        standby.wal.extend(new);
        standby.timeline = timeline;
        standby.fresh_at = now;
        let wait = self.random(20);
        self.after(
            wait,
            Happening::Confirmed { database: database.clone(), by: to.clone(), to: from.clone(), timeline, length },
        );
        Ok(())
    }

    /// Acknowledges what waits and is confirmed.
    pub(super) fn acknowledge(&mut self, database: &ComponentId, region: &RegionId) -> Result<(), Broken> {
        loop {
            let server = self.server(region, database);
            if !server.lives() || !server.primary {
                return Ok(());
            }
            let Some((place, write)) = server.waiting.front().copied() else { return Ok(()) };
            let confirmed = match &server.gate {
                Gate::Node => self.gate_confirms(region, server),
                Gate::Peers { needed, named } => {
                    named
                        .iter()
                        .filter(|peer| server.confirmed.get(*peer).is_some_and(|length| *length > place))
                        .count()
                        >= *needed
                }
            };
            if !confirmed {
                return Ok(());
            }
            let server = self.servers.get_mut(&(region.clone(), database.clone())).expect("servers are never removed");
            server.waiting.pop_front();
            let now = self.now;
            let ledger = self.ledgers.get_mut(database).expect("every database has a ledger");
            ledger.acknowledged.insert(write, (place, now));
            self.check_acknowledged(database, place, write)?;
        }
    }

    pub(super) fn beat(&mut self) -> Result<(), Broken> {
        let now = self.store_time();
        self.store.expire(now);
        self.wake_watchers();
        let copies: Vec<(RegionId, ComponentId)> = self.servers.keys().cloned().collect();
        for (region, database) in copies {
            let wait = self.random(200);
            self.after(wait, Happening::Report(region.clone(), database.clone()));
            self.acknowledge(&database, &region)?;
        }
        for database in self.ledgers.keys().cloned().collect::<Vec<_>>() {
            self.ship_all(&database);
        }
        self.after(Duration::from_millis(250), Happening::Beat);
        Ok(())
    }
}
