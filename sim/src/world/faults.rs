//! What goes wrong.

use super::*;

impl World {
    pub(super) fn suffer(&mut self, fault: Fault) {
        match fault {
            Fault::KillRegion(region) => {
                self.kill_node(&region);
                for database in self.ledgers.keys().cloned().collect::<Vec<_>>() {
                    self.kill_server(&region, &database);
                }
            }
            Fault::KillNode(region) => self.kill_node(&region),
            Fault::KillServer(region, database) => self.kill_server(&region, &database),
            Fault::StartNode(region) => self.start_node(&region),
            Fault::Freeze(region) => self.freeze(&region, true, true),
            Fault::FreezeNode(region) => self.freeze(&region, true, false),
            Fault::Thaw(region) => self.freeze(&region, false, true),
            Fault::Cut(from, to) => {
                self.cut.insert((from, to));
            }
            Fault::Isolate(region) => {
                self.isolated.insert(region);
            }
            Fault::Heal => {
                self.cut.clear();
                self.isolated.clear();
            }
            Fault::StoreDown => self.store_up = false,
            Fault::StoreUp => self.store_up = true,
            Fault::Person(region, database, request) => {
                self.loss_was_accepted |= request.accept_loss;
                self.was_asked |= request.intent == lifeboat_plan::Intent::Failover;
                self.feed(&region, Event::Person { ticket: 1, database, request });
            }
        }
    }

    pub(super) fn kill_server(&mut self, region: &RegionId, database: &ComponentId) {
        if let Some(server) = self.servers.get_mut(&(region.clone(), database.clone())) {
            server.crash();
        }
    }
}
