//! The fleets that are simulated: apps as small files would declare them, built by hand or drawn from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_model::app::{
    App, Component, Detection, Dns, FailoverMode, FailoverPolicy, Kind, Nodes, Objectives, Pattern, Place, Provider,
    Reads, Region, RegionRole, Replication, Size, StoreChoice, WithoutStandby,
};
use lifeboat_model::{ComponentId, RegionId};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::cluster::StoreKind;

/// Apps that share regions, links and a store.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// Its name, for reports.
    pub name: String,
    /// One brain of each runs in every region.
    pub apps: Vec<Arc<App>>,
    /// What they keep their state in.
    pub store: StoreKind,
}

/// The fleet of a seed: [`all`] in turn and one that is drawn, with either store; or always the one at a place among them.
pub fn of_seed(seed: u64, place: Option<usize>) -> Fleet {
    let mut known = all();
    let count = known.len() + 1;
    let number = usize::try_from(seed).unwrap_or(0);
    let store = if (number / count).is_multiple_of(2) { StoreKind::File } else { StoreKind::Etcd };
    let place = place.unwrap_or(number % count);
    if place >= known.len() {
        return draw(seed, store);
    }
    let scenario = known.swap_remove(place);
    Fleet { name: format!("{}, {store:?}", scenario.name), apps: vec![Arc::new(scenario.app())], store }
}

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
            ..synchronous.clone()
        },
        Scenario {
            name: "two asynchronous standbys, two witnesses",
            standbys: vec![Asynchronous, Asynchronous],
            witnesses: 2,
            rpo: Duration::from_secs(10),
            ..synchronous.clone()
        },
        Scenario {
            name: "any 1 of 2, stop without a standby",
            standbys: vec![Synchronous, Synchronous],
            without_standby: WithoutStandby::Stop,
            ..synchronous
        },
    ]
}

/// Three to nine regions, two to five of them with data, and one to twenty databases, spread over one to four apps.
fn draw(seed: u64, store: StoreKind) -> Fleet {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0xF1EE7);
    let mut below = |n: usize| usize::try_from(rng.next_u64() % n as u64).expect("less than a usize");
    let data = 2 + below(4);
    let witnesses = if data == 2 { 1 + below(3) } else { below(5) };
    let apps = 1 + below(4);
    let databases = apps.max(if below(4) == 0 { 1 + below(20) } else { 1 + below(4) });
    let template = Scenario { standbys: vec![Replication::Synchronous; data - 1], witnesses, ..all().swap_remove(0) };
    let mut files: Vec<App> = (0..apps).map(|_| App { components: BTreeMap::new(), ..template.app() }).collect();
    for number in 0..databases {
        let mut component = template.database();
        let mut places: Vec<RegionId> = NAMES[..data].iter().map(|name| RegionId::from(*name)).collect();
        component.writer = Some(places.remove(below(places.len())));
        component.standbys.clear();
        for place in places {
            match below(5) {
                0 => {}
                1 => drop(component.standbys.insert(place, Replication::Asynchronous)),
                _ => drop(component.standbys.insert(place, Replication::Synchronous)),
            }
        }
        let synchronous = component.standbys.values().filter(|r| **r == Replication::Synchronous).count();
        component.confirmations = 1 + if synchronous > 1 { below(synchronous) } else { 0 };
        if synchronous == 0 {
            component.objectives.rpo = Some(Duration::from_secs(10));
        } else if below(5) == 0 {
            component.without_standby = WithoutStandby::Stop;
        }
        files[number % apps].components.insert(ComponentId::from(format!("d{number}")), component);
    }
    let name = format!("{data} + {witnesses} regions, {apps} apps, {databases} databases, {store:?}");
    Fleet { name, apps: files.into_iter().map(Arc::new).collect(), store }
}

const NAMES: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];

impl Scenario {
    fn database(&self) -> Component {
        Component {
            kind: Kind::Postgres,
            pattern: Some(Pattern::WarmStandby),
            objectives: Objectives { rpo: Some(self.rpo), ..Objectives::default() },
            writer: Some("a".into()),
            standbys: self.standbys.iter().zip(&NAMES[1..]).map(|(r, name)| (RegionId::from(*name), *r)).collect(),
            confirmations: self.confirmations,
            without_standby: self.without_standby,
            reads: Reads::Stale,
            needs: BTreeSet::new(),
            regions: BTreeSet::new(),
            run: None,
            check: None,
            port: None,
            size: Size::default(),
        }
    }

    /// The app that a file would declare.
    pub fn app(&self) -> App {
        let data = self.standbys.len() + 1;
        let regions: BTreeMap<RegionId, Region> = NAMES[..data + self.witnesses]
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
        let database = self.database();
        App {
            name: "simulated".into(),
            objectives: Objectives::default(),
            regions,
            components: (0..self.databases).map(|i| (ComponentId::from(format!("d{i}")), database.clone())).collect(),
            routes: BTreeMap::new(),
            failover: FailoverPolicy {
                mode: FailoverMode::Automatic,
                approvals: 1,
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
            prices: Vec::new(),
        }
    }
}
