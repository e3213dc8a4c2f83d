//! What the nodes say is not yet as the file wants it: before the fault, and before the way back.

use lifeboat_model::app::{Component, Kind, Replication};
use lifeboat_model::status::DatabaseStatus;
use lifeboat_model::{ComponentId, RegionId};

use super::Stage;

impl Stage<'_> {
    /// What is not yet as the file says.
    pub(super) async fn unready(&mut self) -> Option<String> {
        let mut newest = None;
        for region in self.options.app.regions.keys() {
            match self.nodes.status_of(region).await {
                Some(status) if status.store_reachable => newest = Some(status),
                Some(_) => return Some(format!("the node of {region} does not reach the state store")),
                None => return Some(format!("the node of {region} does not answer")),
            }
        }
        let status = newest?;
        for (id, component) in self.options.app.databases().filter(|(_, component)| component.kind == Kind::Postgres) {
            let Some(database) = status.databases.get(id) else { return Some(format!("nothing is known of {id}")) };
            if database.writer != component.writer {
                return Some(format!("{id} is not written in {}", known(component.writer.as_ref())));
            }
            if let Some(why) = unprotected(id, component, database) {
                return Some(why);
            }
        }
        let answer = status.routes.get(&self.facts.host);
        if !answer.is_some_and(|answer| answer.regions.contains(&self.facts.home)) {
            return Some(format!("{} does not lead to {}", self.facts.host, self.facts.home));
        }
        None
    }

    /// What keeps a failover, or the way back, from losing nothing.
    pub(super) async fn unprotected_now(&mut self) -> Option<String> {
        let home = self.facts.home.clone();
        if self.nodes.status_of(&home).await.is_none() {
            return Some(format!("the node of {home} does not answer"));
        }
        let Some(status) = self.status().await else { return Some("no node answers".into()) };
        for (id, component) in self.options.app.databases().filter(|(_, component)| component.kind == Kind::Postgres) {
            let Some(database) = status.databases.get(id) else { return Some(format!("nothing is known of {id}")) };
            if let Some(why) = unprotected(id, component, database) {
                return Some(why);
            }
            let Some(writer) = database.writer.clone().filter(|writer| *writer != home) else { continue };
            // Each node judges by what it sees itself: the writer's is the one that is asked to switch over.
            let Some(judge) = self.nodes.status_of(&writer).await else {
                return Some(format!("the node of {writer} does not answer"));
            };
            let readiness = judge.databases.get(id).and_then(|database| database.readiness.get(&home));
            match readiness {
                Some(readiness) if readiness.ready => {}
                Some(readiness) => return Some(format!("{home} is not ready for {id}: {}", readiness.reason)),
                None => return Some(format!("nothing is known of {home}'s readiness for {id}")),
            }
        }
        None
    }

    /// Where the database is written, if not at home.
    pub(super) async fn writer_elsewhere(&mut self) -> Option<RegionId> {
        let status = self.status().await?;
        let writer = status.databases.get(&self.facts.database)?.writer.clone()?;
        (writer != self.facts.home).then_some(writer)
    }
}

fn known(region: Option<&RegionId>) -> &str {
    region.map_or("any region", RegionId::as_str)
}

/// What a database lacks to survive the loss of its writer's region as the file wants it.
fn unprotected(id: &ComponentId, component: &Component, database: &DatabaseStatus) -> Option<String> {
    let Some(writer) = &database.writer else { return Some(format!("nobody writes {id}")) };
    if !database.open {
        return Some(format!("epoch {} of {id} is not open", database.epoch));
    }
    let members = component.standbys.keys().chain(&component.writer).filter(|region| *region != writer);
    // Whoever is home is protected from its standby as its standby is from it.
    let way = |region: &RegionId| {
        let of_home = || component.standbys.get(writer);
        component.standbys.get(region).or_else(of_home).copied().unwrap_or(Replication::Asynchronous)
    };
    for region in members {
        match way(region) {
            Replication::Synchronous if !database.holders.contains(region) => {
                return Some(format!("{region} is no synchronous standby of {id} yet"));
            }
            Replication::Asynchronous if !database.servers.get(region).is_some_and(|server| server.streaming) => {
                return Some(format!("{region} does not follow {id} yet"));
            }
            Replication::Synchronous | Replication::Asynchronous => {}
        }
    }
    None
}
