//! The apps that are simulated: small files, built by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use lifeboat_model::app::{
    App, Component, Detection, Dns, FailoverMode, FailoverPolicy, Kind, Nodes, Objectives, Pattern, Place, Provider,
    Reads, Region, RegionRole, Replication, Size, StoreChoice, WithoutStandby,
};
use lifeboat_model::{ComponentId, RegionId};

/// What kind of fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Its name, for reports.
    pub name: &'static str,
    /// Regions that keep data, the first of them home, each other with its replication.
    pub standbys: Vec<Replication>,
    /// Regions that only watch.
    pub witnesses: usize,
    /// How many synchronous standbys confirm.
    pub confirmations: usize,
    /// What a writer does without them.
    pub without_standby: WithoutStandby,
    /// The RPO; zero where a standby is synchronous.
    pub rpo: Duration,
    /// How many databases.
    pub databases: usize,
}

/// The fleets that a run of many seeds goes through in turn.
pub fn all() -> Vec<Scenario> {
    use Replication::{Asynchronous, Synchronous};
    let synchronous = Scenario {
        name: "one synchronous standby and a witness",
        standbys: vec![Synchronous],
        witnesses: 1,
        confirmations: 1,
        without_standby: WithoutStandby::Continue,
        rpo: Duration::ZERO,
        databases: 1,
    };
    vec![
        synchronous.clone(),
        Scenario {
            name: "any 1 of 2 synchronous standbys",
            standbys: vec![Synchronous, Synchronous],
            ..synchronous.clone()
        },
        Scenario {
            name: "both of 2 synchronous standbys",
            standbys: vec![Synchronous, Synchronous],
            confirmations: 2,
            ..synchronous.clone()
        },
        Scenario {
            name: "an asynchronous standby",
            standbys: vec![Asynchronous],
            rpo: Duration::from_secs(10),
            ..synchronous.clone()
        },
        Scenario { name: "stop without a standby", without_standby: WithoutStandby::Stop, ..synchronous.clone() },
        Scenario {
            name: "a synchronous and an asynchronous standby",
            standbys: vec![Synchronous, Asynchronous],
            ..synchronous.clone()
        },
        Scenario {
            name: "any 2 of 3, two databases",
            standbys: vec![Synchronous; 3],
            confirmations: 2,
            witnesses: 1,
            databases: 2,
            ..synchronous
        },
    ]
}

impl Scenario {
    /// The app that a file would declare.
    pub fn app(&self) -> App {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
        let data = self.standbys.len() + 1;
        let regions: BTreeMap<RegionId, Region> = names[..data + self.witnesses]
            .iter()
            .enumerate()
            .map(|(i, name)| {
                let region = Region {
                    place: Place { provider: Provider::Local, name: (*name).into() },
                    role: if i < data { RegionRole::Data } else { RegionRole::Witness },
                    address: None,
                    data: PathBuf::new(),
                    api_port: 7400,
                    preference: 0,
                };
                (RegionId::from(*name), region)
            })
            .collect();
        let database = Component {
            kind: Kind::Postgres,
            pattern: Some(Pattern::WarmStandby),
            objectives: Objectives { rpo: Some(self.rpo), ..Objectives::default() },
            writer: Some("a".into()),
            standbys: self.standbys.iter().zip(&names[1..]).map(|(r, name)| (RegionId::from(*name), *r)).collect(),
            confirmations: self.confirmations,
            without_standby: self.without_standby,
            reads: Reads::Stale,
            needs: BTreeSet::new(),
            regions: BTreeSet::new(),
            run: None,
            check: None,
            port: None,
            size: Size::default(),
        };
        App {
            name: "simulated".into(),
            objectives: Objectives::default(),
            regions,
            components: (0..self.databases).map(|i| (ComponentId::from(format!("d{i}")), database.clone())).collect(),
            routes: BTreeMap::new(),
            failover: FailoverPolicy {
                mode: FailoverMode::Automatic,
                hold_down: Duration::from_secs(20),
                max_loss: None,
            },
            detection: Detection {
                every: Duration::from_millis(500),
                timeout: Duration::from_millis(500),
                refused: 3,
                silent: 3,
                recovered: 2,
                lease: Duration::from_secs(3),
            },
            store: StoreChoice::File(PathBuf::new()),
            dns: Dns { port: 5353 },
            nodes: Nodes::default(),
        }
    }
}
