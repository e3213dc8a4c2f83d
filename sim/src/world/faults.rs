//! What goes wrong.

use std::time::Duration;

use lifeboat_control::Event;
use lifeboat_control::record::Request;
use lifeboat_model::database::Gate;
use lifeboat_plan::Intent;

use super::{DatabaseIndex, Fault, RegionIndex, World};

/// How long a person's wish may explain what happens.
const WISH: Duration = Duration::from_secs(60);
/// How long nothing else may have happened when the store goes, so that all that was under way is done (L2).
const CALM: Duration = Duration::from_secs(60);

impl World {
    /// What a person asks for explains, for a while, what happens.
    pub(super) fn note_wish(&mut self, database: DatabaseIndex, request: &Request) {
        let until = self.now + WISH;
        let ledger = &mut self.ledgers[database];
        if request.accept_loss {
            ledger.loss_accepted_until = until;
        }
        if request.intent == Intent::Failover {
            ledger.asked_until = until;
        }
    }

    pub(super) fn suffer(&mut self, fault: Fault) {
        for database in 0..self.databases.len() {
            self.freshen(database);
        }
        self.note_for_static_stability(&fault);
        match fault {
            Fault::KillRegion(region) => {
                let region = self.region_index(&region);
                self.machines[region].member_up = false;
                self.machines[region].member_frozen = false;
                self.nodes_in(region).for_each(|node| self.kill_node(node));
                (0..self.databases.len()).for_each(|database| self.kill_server(database, region));
            }
            Fault::KillNode(region) => {
                let region = self.region_index(&region);
                self.nodes_in(region).for_each(|node| self.kill_node(node));
            }
            Fault::KillServer(region, database) => {
                let (database, region) = (self.database_index(&database), self.region_index(&region));
                self.kill_server(database, region);
            }
            Fault::StartNode(region) => {
                let region = self.region_index(&region);
                self.machines[region].member_up = true;
                self.nodes_in(region).for_each(|node| self.start_node(node));
            }
            Fault::Freeze(region) => {
                let region = self.region_index(&region);
                self.machines[region].member_frozen = true;
                self.freeze_servers(region, true);
                self.freeze_nodes(region, true);
            }
            Fault::FreezeNode(region) => {
                let region = self.region_index(&region);
                self.freeze_nodes(region, true);
            }
            Fault::Thaw(region) => {
                let region = self.region_index(&region);
                self.machines[region].member_frozen = false;
                self.freeze_servers(region, false);
                self.freeze_nodes(region, false);
            }
            Fault::Cut(from, to) => self.network.cut(self.region_index(&from), self.region_index(&to)),
            Fault::Isolate(region) => self.network.isolate(self.region_index(&region)),
            Fault::Delay(one, other, by) => {
                self.network.slow_down(self.region_index(&one), self.region_index(&other), by);
            }
            Fault::Heal => self.network.heal(),
            Fault::StoreDown => self.store_up = false,
            Fault::StoreUp => self.store_up = true,
            Fault::CutStore(region) => {
                let region = self.region_index(&region);
                self.store_cut[region] = true;
            }
            Fault::HealStore => self.store_cut.fill(false),
            Fault::StoreSlow(by) => self.store_slow = by,
            Fault::LeaderGone => self.depose(),
            Fault::Noise(percent) => self.noise = percent,
            Fault::SlowDisk(region, factor) => self.slow_disk(self.region_index(&region), factor),
            Fault::FullDisk(region) => self.fill_disk(self.region_index(&region)),
            Fault::FreeDisk(region) => {
                let region = self.region_index(&region);
                self.machines[region].disk_full = false;
            }
            Fault::Drift(region, parts_per_million) => {
                let region = self.region_index(&region);
                let now = self.now;
                self.machines[region].clocks.set_drift(now, parts_per_million);
                self.set_alarms_again(region);
            }
            Fault::WallClock(region, millis) => {
                let region = self.region_index(&region);
                self.machines[region].clocks.wall_off += millis;
            }
            Fault::Person(region, id, request) => {
                let (database, region) = (self.database_index(&id), self.region_index(&region));
                self.note_wish(database, &request);
                let node = self.node_of(database, region);
                self.feed(node, Event::Person { ticket: 1, database: id, request });
            }
            Fault::Approve(region, id, by) => {
                let (database, region) = (self.database_index(&id), self.region_index(&region));
                let node = self.node_of(database, region);
                self.feed(node, Event::Approve { ticket: 1, database: id, by });
            }
        }
        self.review_cluster();
        self.resume();
    }

    fn freeze_nodes(&mut self, region: RegionIndex, frozen: bool) {
        self.nodes_in(region).for_each(|node| self.freeze_node(node, frozen));
    }

    /// L2 is asked where the store goes, nothing else is wrong, and nothing is under way.
    fn note_for_static_stability(&mut self, fault: &Fault) {
        self.served_without_store.clear();
        if *fault == Fault::StoreDown && self.store_up && self.noise == 0 && self.undisturbed_for() > CALM {
            // Alone, a writer needs every other node's promise.
            let is_sure = |database: DatabaseIndex, region| {
                matches!(self.server_at(database, region).gate, Gate::Peers { .. }) || self.all_is_whole()
            };
            let served: Vec<(DatabaseIndex, RegionIndex)> = (0..self.databases.len())
                .flat_map(|database| self.copies(database).iter().map(move |region| (database, *region)))
                .filter(|(database, region)| self.can_acknowledge(*region, *database) && is_sure(*database, *region))
                .collect();
            self.served_without_store = served;
        }
        self.undisturbed_since = self.now;
    }

    fn all_is_whole(&self) -> bool {
        self.nodes.iter().all(|node| node.brain.is_some() && !node.frozen) && self.network.is_undisturbed()
    }

    /// L2: what was served when the store went is served still.
    pub(crate) fn check_static_stability(&mut self, database: DatabaseIndex) {
        let lost = self
            .served_without_store
            .iter()
            .find(|(of, region)| *of == database && !self.can_acknowledge(*region, database))
            .copied();
        if let Some((_, region)) = lost {
            let (name, region) = (self.database_name(database).clone(), self.region_name(region).clone());
            self.breaks("L2", || {
                format!("{region} does not serve {name} any more, and nothing has happened but that the store has gone")
            });
        }
    }
}
