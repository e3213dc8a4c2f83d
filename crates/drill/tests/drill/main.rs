//! Whole drills against stand-ins for the nodes: real processes, killed for real; real sockets; a client that remembers.
//!
//! The binary plays every part: without arguments it runs the scenarios, as `node` and `app` what a drill starts,
//! as `drive` a drill that is interrupted by a signal.

#![expect(clippy::unwrap_used, reason = "a test, though with a main of its own")]

mod node;

use std::collections::BTreeMap;
use std::net::{IpAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lifeboat_drill::report::{Finding, Report};
use lifeboat_drill::{Error, Fault, News, Options, Progress, StoreKind, run, run_until};
use lifeboat_model::RegionId;
use lifeboat_model::app::{
    App, Component, Detection, Dns, FailoverMode, FailoverPolicy, Kind, Nodes, Objectives, Place, Provider, Reads,
    Region, RegionRole, Replication, Route, RoutePolicy, Size, StoreChoice, Tls, WithoutStandby,
};
use node::Script;
use rustix::process::{Pid, Signal, kill_process};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("node") => node::play(&arguments[1..]),
        Some("app") => node::play_app(&arguments[1..]),
        Some("drive") => drive(Path::new(&arguments[1]), arguments[2].parse().unwrap()),
        _ => scenarios(),
    }
}

type Scenario = (&'static str, fn(Scene));

fn scenarios() {
    let all: [Scenario; 8] = [
        ("a region is lost, another one takes over, and writing goes home", region_loss),
        ("orders that a failover forgets are found", forgotten_orders),
        ("a paused region comes back to find that it has been replaced", pause),
        ("an app that is killed is a restart", app_loss),
        ("a killed node is started again and finds its app", node_loss),
        ("an address in use is named and nothing is touched", address_in_use),
        ("a node that ends by itself is shown with its log", node_that_ends),
        ("SIGTERM leaves nothing", interrupted),
    ];
    let started: Vec<_> = (1..)
        .zip(all)
        .map(|(number, (name, scenario))| {
            let thread = std::thread::Builder::new().name(name.into());
            (name, thread.spawn(move || scenario(Scene::new(number))).unwrap())
        })
        .collect();
    let mut failed = 0;
    for (name, thread) in started {
        let outcome = if thread.join().is_ok() { "ok" } else { "FAILED" };
        failed += usize::from(outcome != "ok");
        println!("test {name} ... {outcome}");
    }
    assert_eq!(failed, 0, "scenarios failed");
}

/// Addresses and files of one scenario.
struct Scene {
    directory: tempfile::TempDir,
    script: Script,
}

impl Scene {
    /// Loopback addresses that no other scenario, and hardly any other process, has.
    fn new(number: u8) -> Self {
        let process = std::process::id();
        let address = |region: u8| {
            let third = u8::try_from(process % 250).unwrap();
            let second = 130 + u8::try_from(process / 250 % 100).unwrap();
            IpAddr::from([127, second, third, number * 10 + region])
        };
        let regions = ["dublin", "frankfurt", "stockholm"];
        let script = Script {
            addresses: regions.into_iter().map(RegionId::from).zip((1..).map(address)).collect(),
            witness: "dublin".into(),
            home: "stockholm".into(),
            forgets: 0,
            ends: None,
        };
        Self { directory: tempfile::tempdir().unwrap(), script }
    }

    fn options(&self, fault: Fault) -> Options {
        let file = self.directory.path().join("scene.json");
        std::fs::write(&file, serde_json::to_string(&self.script).unwrap()).unwrap();
        let this = std::env::current_exe().unwrap();
        Options {
            file,
            app: app(&self.script),
            fault,
            repeat: 1,
            out: Some(self.directory.path().join("report")),
            keep: false,
            prediction: None,
            lifeboat: this.clone(),
            shop: this,
            store: StoreKind::File,
        }
    }

    /// A whole drill, after which nothing may be left of it.
    fn drill(&self, fault: Fault) -> (Result<Report, Error>, Notes) {
        let mut notes = Notes::default();
        let outcome = runtime().block_on(run_until(self.options(fault), &mut notes, std::future::pending()));
        notes.assert_nothing_left();
        (outcome, notes)
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Writes down what it is told.
#[derive(Default)]
struct Notes {
    run_directory: Option<PathBuf>,
    happened: Vec<String>,
}

impl Progress for Notes {
    fn tell(&mut self, news: News<'_>) {
        match news {
            News::Preparing(what) => {
                if let Some((_, path)) = what.split_once("a node per region, in ") {
                    self.run_directory = Some(path.into());
                }
            }
            News::Happened(entry) => self.happened.push(format!("{} {}", entry.region, entry.what)),
            News::Began { .. } | News::Pulse(_) | News::Cleaning | News::Finished(_) | News::Kept(_) => {}
        }
    }
}

impl Notes {
    fn assert_nothing_left(&self) {
        let Some(path) = &self.run_directory else { return };
        assert!(!path.exists(), "{} is still there", path.display());
        assert_eq!(processes_of(path), Vec::<String>::new());
    }
}

/// The command lines of live processes that name the directory.
fn processes_of(directory: &Path) -> Vec<String> {
    let directory = directory.to_str().unwrap();
    let lines = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        Some(String::from_utf8_lossy(&std::fs::read(entry.path().join("cmdline")).ok()?).replace('\0', " "))
    });
    lines.filter(|line| line.contains(directory)).collect()
}

fn region_loss(scene: Scene) {
    let (report, notes) = scene.drill(Fault::RegionLoss);
    let report = report.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert!(report.passed);
    let ways: Vec<_> =
        report.runs.iter().map(|run| (run.intent.as_str(), run.from.as_str(), run.to.as_str())).collect();
    assert_eq!(ways, [("failover", "stockholm", "frankfurt"), ("switchover", "frankfurt", "stockholm")]);
    for run in &report.runs {
        assert!(run.served_again && run.lost == Some(0) && run.acknowledged > 0, "{run:?}");
        assert_eq!(run.split_ms.parts().iter().map(|(_, ms)| ms).sum::<u64>(), run.rto_ms);
        assert!(run.timeline.iter().any(|entry| entry.what == "first order accepted"));
    }
    // Three probes 20 ms apart come before the claim.
    assert!(report.runs[0].split_ms.detect >= 40, "{:?}", report.runs[0].split_ms);
    for promise in ["S1", "S2", "S5", "L1", "A1"] {
        assert_eq!(report.promises[promise], Finding::Held, "{promise}: {}", report.reasons[promise]);
    }
    assert!(notes.happened.contains(&"stockholm killed: node, web".to_owned()), "{:?}", notes.happened);
    let written = std::fs::read_to_string(scene.directory.path().join("report/report.json")).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&written).unwrap(), report);
    let page = std::fs::read_to_string(scene.directory.path().join("report/report.html")).unwrap();
    assert_eq!(page, lifeboat_drill::html(&report));
}

fn forgotten_orders(mut scene: Scene) {
    scene.script.forgets = 3;
    let report = scene.drill(Fault::RegionLoss).0.unwrap();
    assert!(!report.passed);
    // An order that was written, and whose answer was lost, may be among the three.
    let lost = report.runs[0].lost.unwrap();
    assert!((1..=3).contains(&lost), "{lost}");
    assert_eq!(report.runs[1].lost, Some(0));
    assert_eq!(report.promises["S2"], Finding::Broken);
}

fn pause(scene: Scene) {
    let (report, notes) = scene.drill(Fault::Pause);
    let report = report.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.runs[0].intent, "failover", "{:?}", report.runs[0]);
    assert_eq!(report.runs[0].lost, Some(0));
    assert!(notes.happened.contains(&"stockholm goes on".to_owned()), "{:?}", notes.happened);
}

fn app_loss(scene: Scene) {
    let (report, notes) = scene.drill(Fault::AppLoss);
    let report = report.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.runs.len(), 1);
    assert_eq!((report.runs[0].intent.as_str(), report.runs[0].lost), ("restart", Some(0)));
    let run = &report.runs[0];
    // A busy machine may hold up the client for longer than this restart takes, so which gap is the longest is not known.
    assert!(run.timeline.iter().any(|entry| entry.kind == "compute" && entry.what == "web is started"), "{run:?}");
    assert!(notes.happened.contains(&"stockholm killed: web".to_owned()), "{:?}", notes.happened);
}

fn node_loss(scene: Scene) {
    let (report, notes) = scene.drill(Fault::NodeLoss);
    let report = report.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    // The stand-in takes a node that is gone for a region that is gone.
    assert_eq!(report.runs[0].intent, "failover");
    assert!(notes.happened.contains(&"stockholm killed: node".to_owned()), "{:?}", notes.happened);
    let started = notes.happened.iter().filter(|what| what.ends_with("web is started")).count();
    assert_eq!(started, 0, "the app outlived its node: {:?}", notes.happened);
}

fn address_in_use(scene: Scene) {
    let taken = TcpListener::bind((scene.script.addresses["frankfurt"], node::APP_PORT)).unwrap();
    let (outcome, notes) = scene.drill(Fault::RegionLoss);
    let error = outcome.unwrap_err().to_string();
    let expected = format!("web of frankfurt needs {}, which is in use by ", taken.local_addr().unwrap());
    assert!(error.starts_with(&expected), "{error}");
    assert!(error.contains(&format!("(pid {})", std::process::id())), "{error}");
    assert!(notes.run_directory.is_none());
}

fn node_that_ends(mut scene: Scene) {
    scene.script.ends = Some("frankfurt".into());
    let error = scene.drill(Fault::RegionLoss).0.unwrap_err().to_string();
    assert!(error.starts_with("the node of frankfurt ended by itself (exit status: 3)"), "{error}");
    assert!(error.contains("this node does not want to"), "{error}");
}

fn interrupted(scene: Scene) {
    let options = scene.options(Fault::RegionLoss);
    for (number, signal) in [Signal::TERM, Signal::INT].into_iter().enumerate() {
        let noted = scene.directory.path().join(format!("run-directory-{number}"));
        let mut driver = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["drive", options.file.to_str().unwrap(), &number.to_string()])
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&driver);
        let deadline = Instant::now() + Duration::from_secs(60);
        // The first time while it prepares, the second time in the middle of the fault.
        while !noted.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(noted.exists(), "the drill did not come so far");
        let run_directory = PathBuf::from(std::fs::read_to_string(&noted).unwrap());
        kill_process(pid, signal).unwrap();
        assert!(driver.wait().unwrap().success());
        assert!(!run_directory.exists());
        assert_eq!(processes_of(&run_directory), Vec::<String>::new());
    }
}

/// A drill that expects to be interrupted, and notes in a file when: before the first entry (0) or after the fault (1).
fn drive(file: &Path, when: usize) {
    struct Noting(Notes, PathBuf, usize);
    impl Progress for Noting {
        fn tell(&mut self, news: News<'_>) {
            self.0.tell(news);
            if let Some(path) = &self.0.run_directory
                && (self.2 == 0 || !self.0.happened.is_empty())
                && !self.1.exists()
            {
                let part = self.1.with_extension("part");
                std::fs::write(&part, path.to_str().unwrap()).unwrap();
                std::fs::rename(part, &self.1).unwrap();
            }
        }
    }
    let script: Script = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let this = std::env::current_exe().unwrap();
    let options = Options {
        file: file.into(),
        app: app(&script),
        fault: Fault::RegionLoss,
        repeat: 1,
        out: None,
        keep: false,
        lifeboat: this.clone(),
        shop: this,
        store: StoreKind::File,
        prediction: None,
    };
    let noted = file.with_file_name(format!("run-directory-{when}"));
    let outcome = runtime().block_on(run(options, &mut Noting(Notes::default(), noted, when)));
    assert!(matches!(outcome, Err(Error::Interrupted)), "{outcome:?}");
}

/// Two regions with data and a witness, a database and an app.
fn app(script: &Script) -> App {
    let objectives =
        Objectives { rto: Some(Duration::from_secs(15)), rpo: Some(Duration::ZERO), ..Objectives::default() };
    let component = |kind, port| Component {
        kind,
        pattern: None,
        objectives: objectives.clone(),
        writer: None,
        standbys: BTreeMap::new(),
        confirmations: 1,
        without_standby: WithoutStandby::Continue,
        reads: Reads::Stale,
        needs: [].into(),
        regions: [].into(),
        run: None,
        check: None,
        port: Some(port),
        size: Size::default(),
    };
    let mut orders = component(Kind::Postgres, 25432);
    orders.writer = Some(script.home.clone());
    orders.standbys = BTreeMap::from([("frankfurt".into(), Replication::Synchronous)]);
    let mut web = component(Kind::Process, node::APP_PORT);
    web.needs = ["orders".into()].into();
    web.regions = ["stockholm".into(), "frankfurt".into()].into();
    let regions = script.addresses.iter().map(|(id, address)| {
        let region = Region {
            place: Place { provider: Provider::Local, name: id.to_string() },
            role: if *id == script.witness { RegionRole::Witness } else { RegionRole::Data },
            address: Some(*address),
            data: id.as_str().into(),
            api_port: node::API_PORT,
            preference: 0,
        };
        (id.clone(), region)
    });
    App {
        name: "shop".into(),
        objectives: objectives.clone(),
        regions: regions.collect(),
        components: BTreeMap::from([("orders".into(), orders), ("web".into(), web)]),
        routes: BTreeMap::from([(
            node::HOST.into(),
            Route { to: "web".into(), policy: RoutePolicy::Failover, ttl: Duration::ZERO },
        )]),
        failover: FailoverPolicy {
            mode: FailoverMode::Automatic,
            approvals: 1,
            hold_down: Duration::from_secs(60),
            max_loss: None,
        },
        detection: Detection {
            every: Duration::from_millis(20),
            timeout: Duration::from_millis(100),
            refused: 3,
            silent: 3,
            recovered: 3,
            lease: Duration::from_secs(2),
        },
        store: StoreChoice::File("lifeboat.db".into()),
        dns: Dns { port: node::DNS_PORT },
        nodes: Nodes { tls: Tls::Off },
        prices: Vec::new(),
    }
}
