//! A made history of one region loss and the way back, for the tests of everything that reads histories.
//!
//! The figures are those of a plausible drill, to the millisecond; nothing in them was measured.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use lifeboat_model::app::{
    App, Check, CheckTarget, Component, Detection, Dns, FailoverMode, FailoverPolicy, Kind, Nodes, Objectives, Pattern,
    Place, Provider, Reads, Region, RegionRole, Replication, Route, RoutePolicy, Size, StoreChoice, WithoutStandby,
};
use lifeboat_model::journal::{EntryKind, JournalEntry};
use lifeboat_model::{Epoch, Moment, RegionId};

use crate::chart::{Outage, chart};
use crate::client::Acknowledged;
use crate::measure::{self, Cause, Phase};
use crate::report::{Environment, Finding, Objective, Report, TimelineEntry};

/// When the fault happens in the made history.
pub(crate) const FAULT: Moment = Moment(1_000_000_000_000);

const STOCKHOLM: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 10, 1));
const FRANKFURT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 20, 1));
const IRELAND: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 30, 1));

/// So many milliseconds after the fault.
pub(crate) fn at(ms: i64) -> Moment {
    Moment(FAULT.0.saturating_add_signed(ms * 1_000_000))
}

/// `examples/local/lifeboat.yaml`, by hand.
pub(crate) fn app() -> App {
    let region = |name: &str, address, role| {
        let region = Region {
            place: Place { provider: Provider::Local, name: name.into() },
            role,
            address: Some(address),
            data: name.into(),
            api_port: 7400,
            preference: 0,
        };
        (RegionId::from(name), region)
    };
    let objectives =
        Objectives { rto: Some(Duration::from_secs(15)), rpo: Some(Duration::ZERO), ..Objectives::default() };
    let component = |kind, port| Component {
        kind,
        pattern: Some(Pattern::WarmStandby),
        objectives: objectives.clone(),
        writer: None,
        standbys: BTreeMap::new(),
        confirmations: 1,
        without_standby: WithoutStandby::Continue,
        reads: Reads::Stale,
        needs: BTreeSet::new(),
        regions: BTreeSet::new(),
        run: None,
        check: None,
        port: Some(port),
        size: Size::default(),
    };
    let mut orders = component(Kind::Postgres, 25432);
    orders.writer = Some("stockholm".into());
    orders.standbys = BTreeMap::from([("frankfurt".into(), Replication::Synchronous)]);
    let mut web = component(Kind::Process, 8080);
    web.needs = BTreeSet::from(["orders".into()]);
    web.regions = BTreeSet::from(["stockholm".into(), "frankfurt".into()]);
    web.check = Some(Check {
        target: CheckTarget::Http("/healthz".into()),
        every: Duration::from_millis(250),
        timeout: Duration::from_millis(500),
    });
    App {
        name: "shop".into(),
        objectives,
        regions: BTreeMap::from([
            region("stockholm", STOCKHOLM, RegionRole::Data),
            region("frankfurt", FRANKFURT, RegionRole::Data),
            region("ireland", IRELAND, RegionRole::Witness),
        ]),
        components: BTreeMap::from([("orders".into(), orders), ("web".into(), web)]),
        routes: BTreeMap::from([(
            "shop.example.test".into(),
            Route { to: "web".into(), policy: RoutePolicy::Failover, ttl: Duration::from_secs(1) },
        )]),
        failover: FailoverPolicy {
            mode: FailoverMode::Automatic,
            approvals: 1,
            hold_down: Duration::from_secs(60),
            max_loss: None,
        },
        detection: Detection {
            every: Duration::from_millis(200),
            timeout: Duration::from_millis(400),
            refused: 3,
            silent: 3,
            recovered: 3,
            lease: Duration::from_secs(3),
        },
        store: StoreChoice::File("lifeboat.db".into()),
        dns: Dns { port: 5300 },
        nodes: Nodes::default(),
        prices: Vec::new(),
    }
}

pub(crate) fn regions() -> BTreeMap<IpAddr, RegionId> {
    app().regions.into_iter().filter_map(|(id, region)| Some((region.address?, id))).collect()
}

/// An entry of the journal. `epoch` 0: none.
pub(crate) fn entry(ms: i64, region: &str, kind: EntryKind, epoch: u64, what: &str, why: &str) -> JournalEntry {
    JournalEntry {
        region: region.into(),
        number: 1,
        unix_ms: 0,
        at: at(ms),
        kind,
        component: None,
        epoch: (epoch > 0).then_some(Epoch(epoch)),
        run: None,
        previous: None,
        what: what.into(),
        why: why.into(),
    }
}

/// The journal of a region loss at 0 and a switchover that is asked for at 8 s.
pub(crate) fn journal() -> Vec<JournalEntry> {
    use EntryKind::{Claim, Database, Fence, Open, Promote, Request, Route, Run, Suspicion, Synchronous, Verdict};
    vec![
        entry(-9000, "stockholm", Claim, 6, "epoch 6 claimed for orders", "stockholm is the file's writer"),
        entry(-8500, "stockholm", Open, 6, "epoch 6 of orders is open", "its gate is frankfurt"),
        entry(-7000, "stockholm", Synchronous, 0, "frankfurt confirms commits of orders", "it has everything"),
        entry(-6900, "stockholm", Route, 0, "shop.example.test -> 127.0.10.1", "stockholm writes orders"),
        entry(52, "ireland", Suspicion, 0, "the node of stockholm refuses", "connection refused, 1 of 3"),
        entry(
            212,
            "frankfurt",
            Verdict,
            0,
            "stockholm is down",
            "node refused, PostgreSQL refused (2 of 2 vantage points: frankfurt, ireland)",
        ),
        entry(
            214,
            "ireland",
            Verdict,
            0,
            "stockholm is down",
            "node refused, PostgreSQL refused (2 of 2 vantage points: frankfurt, ireland)",
        ),
        entry(
            233,
            "frankfurt",
            Claim,
            7,
            "epoch 7 claimed for orders",
            "frankfurt was synchronous under epoch 6, so nothing to wait for",
        ),
        entry(236, "frankfurt", Run, 7, "failover of orders to frankfurt begun", "stockholm is down"),
        entry(351, "frankfurt", Promote, 7, "orders promoted", "timeline 2, 0 bytes behind"),
        entry(352, "frankfurt", Fence, 7, "stockholm can acknowledge nothing", "its only standby has been promoted"),
        entry(398, "frankfurt", Open, 7, "epoch 7 of orders is open", "promoted behind a shut gate, the lease is held"),
        entry(403, "frankfurt", Route, 0, "shop.example.test -> 127.0.20.1", "frankfurt writes orders under epoch 7"),
        entry(5100, "stockholm", Database, 7, "orders follows frankfurt", "no divergent writes; rewound to 0/5000148"),
        entry(6300, "frankfurt", Synchronous, 0, "stockholm confirms commits of orders", "it has everything"),
        entry(8010, "frankfurt", Request, 0, "switchover to stockholm asked for", "by the operator"),
        entry(8035, "frankfurt", Run, 7, "switchover of orders to stockholm begun", "asked for by the operator"),
        entry(8120, "frankfurt", Database, 7, "orders stopped", "a clean stop, stockholm has everything"),
        entry(
            8125,
            "stockholm",
            Claim,
            8,
            "epoch 8 claimed for orders",
            "a planned switchover; frankfurt has stopped and stockholm holds everything",
        ),
        entry(8190, "stockholm", Promote, 8, "orders promoted", "timeline 3, 0 bytes behind"),
        entry(8214, "stockholm", Open, 8, "epoch 8 of orders is open", "promoted behind a shut gate"),
        entry(8216, "stockholm", Route, 0, "shop.example.test -> 127.0.10.1", "stockholm writes orders under epoch 8"),
        entry(9100, "stockholm", Synchronous, 0, "frankfurt confirms commits of orders", "it has everything"),
    ]
}

/// Orders every 8 ms, give or take, where they are accepted.
pub(crate) fn acknowledged() -> Vec<Acknowledged> {
    let mut orders = Vec::new();
    let mut number = 0;
    // A fixed unevenness, so that the bars are not all alike.
    let pauses = [7, 9, 8, 6, 11, 8, 7];
    for (from, to, address) in [(-4000, -3, STOCKHOLM), (471, 8108, FRANKFURT), (8251, 11_000, STOCKHOLM)] {
        let mut ms: i64 = from;
        while ms <= to {
            number += 1;
            orders.push(Acknowledged { number, sent: at(ms) - Duration::from_micros(2_400), at: at(ms), address });
            ms += pauses[orders.len() % pauses.len()];
        }
        // The last one before the gap is exactly where the story wants it.
        if let Some(last) = orders.last_mut() {
            last.at = at(to);
        }
    }
    orders
}

pub(crate) const OBJECTIVE: Objective = Objective { rto_ms: Some(15_000), rpo_ms: Some(0) };

pub(crate) fn phases() -> Vec<Phase> {
    let fault = Phase {
        repetition: 1,
        cause: Cause::Fault("stockholm".into()),
        database: "orders".into(),
        writer: "stockholm".into(),
        counted_from: Moment(0),
        began: FAULT,
        settled: at(2471),
        ended: at(8000),
    };
    let back = Phase {
        cause: Cause::Request,
        writer: "frankfurt".into(),
        counted_from: at(8000),
        began: at(8000),
        settled: at(10_251),
        ended: at(11_000),
        ..fault.clone()
    };
    vec![fault, back]
}

/// The whole report of the made history.
pub(crate) fn report() -> Report {
    let own = |ms, region: &str, what: &str, why: &str| {
        let entry =
            TimelineEntry { at_ms: 0, region: region.into(), kind: "drill".into(), what: what.into(), why: why.into() };
        (at(ms), entry)
    };
    let own = [
        own(0, "stockholm", "killed: node, PostgreSQL, web", "the fault of this drill: region-loss"),
        own(4000, "stockholm", "node started again", "the drill ends the outage"),
        own(8000, "drill", "asks for a switchover to stockholm", "the region is back"),
    ];
    let outages = [Outage { region: "stockholm".into(), from: FAULT, to: at(4000) }];
    let (acknowledged, journal) = (acknowledged(), journal());
    let runs = phases()
        .iter()
        .map(|phase| {
            let nothing = BTreeSet::new();
            let (mut run, gap) =
                measure::run(phase, &acknowledged, &journal, &own, Some(&nothing), &regions(), OBJECTIVE);
            run.chart = chart(&app(), phase, gap, &acknowledged, &journal, &outages);
            run
        })
        .collect();
    let promises = [
        ("S1", Finding::Held, "each of 1799 orders was accepted by the region that had the epoch (3 in all)"),
        ("S2", Finding::Held, "1799 of 1799 acknowledged orders are there"),
        ("S3", Finding::NotChecked, "the objective allows no loss, or any; see S2"),
        ("S4", Finding::NotChecked, "the drill offers no region that is not ready"),
        ("S5", Finding::Held, "3 epochs, each newer than the one before, none opened after a newer claim"),
        ("S6", Finding::NotChecked, "all regions of this drill are on one machine"),
        ("L1", Finding::Held, "served again after at most 474 ms; 15000 ms are allowed"),
        ("L2", Finding::NotChecked, "the drill does not take the state store away"),
        ("A1", Finding::Held, "9 decisions, each with its reason; every epoch with its claim"),
    ];
    Report {
        app: "shop".into(),
        fault: "region-loss".into(),
        region: "stockholm".into(),
        passed: true,
        problems: Vec::new(),
        runs,
        medians: BTreeMap::new(),
        promises: promises.iter().map(|(name, finding, _)| ((*name).into(), *finding)).collect(),
        reasons: promises.iter().map(|(name, _, reason)| ((*name).into(), (*reason).into())).collect(),
        prediction: None,
        environment: Environment {
            started: "2026-01-02 03:04:05 UTC".into(),
            lifeboat: "0.1.0".into(),
            postgresql: "15".into(),
            kernel: "Linux 6.1.0".into(),
            processor: "Example CPU".into(),
            cores: 2,
            memory_mib: 24_000,
        },
    }
}
