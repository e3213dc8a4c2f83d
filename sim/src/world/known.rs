//! What there is and how things stand, asked by name or by place: nothing of it changes the world.

use std::time::Duration;

use lifeboat_control::Clock;
use lifeboat_control::record::{DatabaseRecord, lease_key};
use lifeboat_model::app::{Component, WithoutStandby};
use lifeboat_model::{ComponentId, Epoch, RegionId};

use super::{CopyIndex, Database, DatabaseIndex, NodeIndex, RegionIndex, World};
use crate::server::Server;
use crate::store::Store;

impl World {
    /// A region's server.
    ///
    /// # Panics
    /// Where the file names no such region or database.
    pub fn server(&self, region: &RegionId, database: &ComponentId) -> &Server {
        let (region, database) = (self.region_index(region), self.database_index(database));
        &self.servers[self.copy(database, region)]
    }

    /// The database's record as the store has it.
    pub fn record(&self, database: &ComponentId) -> Option<&DatabaseRecord> {
        self.databases[self.database_index(database)].record.as_ref()
    }

    /// A database's place in [`Self::ledgers`].
    ///
    /// # Panics
    /// Where no file names it.
    pub fn database_index(&self, id: &ComponentId) -> DatabaseIndex {
        self.databases.iter().position(|database| database.id == *id).expect("a database of the file")
    }

    /// What the state store keeps, an app each.
    pub fn stores(&self) -> &[Store] {
        &self.stores
    }

    /// The regions, in the order of their names.
    pub fn regions(&self) -> &[RegionId] {
        &self.regions
    }

    pub(super) fn region_index(&self, id: &RegionId) -> RegionIndex {
        self.regions.iter().position(|region| region == id).expect("a region of the file")
    }

    // --- what there is, by number ---

    /// How many databases there are, over all apps.
    pub fn databases(&self) -> usize {
        self.databases.len()
    }

    pub(crate) fn database_name(&self, database: DatabaseIndex) -> &ComponentId {
        &self.databases[database].id
    }

    pub(crate) fn region_name(&self, region: RegionIndex) -> &RegionId {
        &self.regions[region]
    }

    pub(crate) fn component(&self, database: DatabaseIndex) -> &Component {
        &self.databases[database].component
    }

    pub(crate) fn record_of(&self, database: DatabaseIndex) -> Option<&DatabaseRecord> {
        self.databases[database].record.as_ref()
    }

    /// Whose lease counts for a database.
    pub(crate) fn lease_of(&self, database: DatabaseIndex) -> Option<RegionId> {
        let Database { app, id, .. } = &self.databases[database];
        self.stores[*app].get(&lease_key(id)).and_then(|entry| serde_json::from_slice(&entry.value).ok())
    }

    pub(crate) fn explains(&self, database: DatabaseIndex, epoch: Epoch) -> bool {
        self.databases[database].explained.contains(&epoch)
    }

    pub(crate) fn server_at(&self, database: DatabaseIndex, region: RegionIndex) -> &Server {
        &self.servers[self.copy(database, region)]
    }

    pub(crate) fn server_named(&self, database: DatabaseIndex, region: &RegionId) -> &Server {
        self.server_at(database, self.region_index(region))
    }

    pub(crate) fn copies(&self, database: DatabaseIndex) -> &[RegionIndex] {
        &self.databases[database].copies
    }

    pub(super) fn copy(&self, database: DatabaseIndex, region: RegionIndex) -> CopyIndex {
        database * self.regions.len() + region
    }

    pub(super) fn node_of(&self, database: DatabaseIndex, region: RegionIndex) -> NodeIndex {
        self.databases[database].app * self.regions.len() + region
    }

    pub(super) fn region_of(&self, node: NodeIndex) -> RegionIndex {
        node % self.regions.len()
    }

    pub(super) fn app_of(&self, node: NodeIndex) -> usize {
        node / self.regions.len()
    }

    pub(super) fn databases_of_app(&self, app: usize) -> impl Iterator<Item = DatabaseIndex> + use<> {
        let of: Vec<DatabaseIndex> =
            (0..self.databases.len()).filter(|database| self.databases[*database].app == app).collect();
        of.into_iter()
    }

    pub(super) fn local(&self, node: NodeIndex) -> Clock {
        self.machines[self.region_of(node)].clocks.read(self.now)
    }

    // --- what the checks ask ---

    /// Whether writing must be possible soon: the store answers, a majority of the nodes lives and reaches each other, and among
    /// them is a region that holds everything; and the file does not tell the writer to stop without its standby.
    pub(crate) fn ought_to_serve(&self, database: DatabaseIndex) -> bool {
        let Some(record) = self.record_of(database) else { return false };
        if self.component(database).without_standby == WithoutStandby::Stop {
            return false;
        }
        let well = |region: RegionIndex| {
            let node = &self.nodes[self.node_of(database, region)];
            node.brain.is_some() && !node.frozen && self.store_answers(region)
        };
        let all = self.regions.len();
        let together = |region: RegionIndex| {
            well(region) && (0..all).filter(|other| well(*other)).all(|other| self.network.is_whole(region, other))
        };
        let standing = |region: &RegionId| {
            let region = self.region_index(region);
            let server = self.server_at(database, region);
            server.exists && !server.frozen && !self.machines[region].disk_full && together(region)
        };
        (0..all).filter(|region| together(*region)).count() > all / 2 && record.holders.iter().any(standing)
    }

    /// How many nodes outside a region have had a bad reading of it lately, and how many there are.
    pub(crate) fn doubters(&self, database: DatabaseIndex, of: &RegionId) -> (usize, usize) {
        let of = self.region_index(of);
        let app = self.databases[database].app * self.regions.len();
        let lately = |region: &RegionIndex| {
            let mut seen = self.nodes[app + *region].chains.iter().filter(|chain| chain.region == of);
            seen.any(|chain| chain.is_bad(self.now, Duration::from_secs(20)))
        };
        let outside = (0..self.regions.len()).filter(|region| *region != of);
        (outside.clone().filter(lately).count(), outside.count())
    }
}
