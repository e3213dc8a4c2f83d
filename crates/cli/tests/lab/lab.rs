//! A fleet in namespaces, the faults that are done to it, and the judgement afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lifeboat_drill::processes::{self, Process};
use lifeboat_lab::check::{self, History, Loss, Turn, Write};
use lifeboat_lab::schedule::{Fault, Part, Who};
use lifeboat_lab::{Cut, Network, Trouble, between, one_way};
use lifeboat_model::app::Replication;
use lifeboat_model::journal::EntryKind;
use lifeboat_model::status::DatabaseStatus;
use lifeboat_model::{ComponentId, Moment, RegionId};
use rustix::process::Signal;
use tokio::task::JoinHandle;

use crate::record::{Recorder, now};
use crate::world::session::Session;
use crate::world::{DATABASE, Scene, is_confirmed_by};

/// Writing must be possible again within this time after all faults are over (L1), on a machine that has much else to do.
const WRITABLE_WITHIN: Duration = Duration::from_secs(60);
/// Everything must be protected as before within this time: a standby may have to be copied afresh.
const PROTECTED_WITHIN: Duration = Duration::from_secs(120);
/// The loss that asynchronous files allow.
pub const RPO: Duration = Duration::from_secs(15);
/// A slow link, and how often a flapping one changes.
const SLOW: Trouble = Trouble { kilobits_per_second: 600, lost_percent: 8 };
const FLAP_EVERY: Duration = Duration::from_millis(350);

/// How the database is replicated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// One synchronous standby, and a witness.
    Synchronous,
    /// One asynchronous standby, and a witness.
    Asynchronous,
    /// Two synchronous standbys, of which one confirms.
    Quorum,
}

impl Mode {
    pub const ALL: [Self; 3] = [Self::Synchronous, Self::Asynchronous, Self::Quorum];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Synchronous => "synchronous",
            Self::Asynchronous => "asynchronous",
            Self::Quorum => "quorum",
        }
    }

    pub fn loss(self) -> Loss {
        match self {
            Self::Synchronous | Self::Quorum => Loss::Nothing,
            Self::Asynchronous => Loss::AtMost(RPO),
        }
    }

    fn file(self) -> String {
        let (witness, rpo, standbys) = match self {
            Self::Synchronous => (", role: witness", Duration::ZERO, "standbys: {frankfurt: synchronous}"),
            Self::Asynchronous => (", role: witness", RPO, "standbys: {frankfurt: asynchronous}"),
            Self::Quorum => {
                ("", Duration::ZERO, "standbys: {frankfurt: synchronous, ireland: synchronous}\n    confirmations: 1")
            }
        };
        format!(
            "app: lab\nobjectives: {{rto: 30s, rpo: {}s}}\nregions:\n  \
             stockholm: {{place: local/a, address: 127.0.1.1}}\n  \
             frankfurt: {{place: local/b, address: 127.0.2.1}}\n  \
             ireland: {{place: local/c, address: 127.0.3.1{witness}}}\n\
             components:\n  {DATABASE}:\n    kind: postgres\n    pattern: warm-standby\n    writer: stockholm\n    {standbys}\n\
             failover: {{mode: automatic, hold-down: 1s}}\nstore: lifeboat.db\n",
            rpo.as_secs()
        )
    }
}

/// What is cut at present, by fault: the union of all is cut.
struct Cuts {
    network: Arc<Network>,
    active: BTreeMap<usize, BTreeSet<Cut>>,
}

impl Cuts {
    fn put(&mut self, number: usize, cuts: BTreeSet<Cut>) {
        self.active.insert(number, cuts);
        self.network.set_cuts(self.active.values().flatten().cloned().collect()).unwrap();
    }
}

/// How a fault ends.
enum Undo {
    Join,
    Settle(JoinHandle<()>),
    Relieve(RegionId),
    Continue(BTreeSet<Process>),
    Start(Vec<RegionId>),
    Nothing,
}

/// A running fleet.
pub struct Lab {
    pub scene: Scene,
    pub mode: Mode,
    network: Arc<Network>,
    cuts: Arc<Mutex<Cuts>>,
    undo: BTreeMap<usize, Undo>,
    next: usize,
    recorder: Option<Recorder>,
    next_id: i64,
}

/// What a judgement found.
pub struct Judged {
    /// The longest time without an acknowledged write, from the first fault on.
    pub outage: Duration,
    pub acknowledged: usize,
    pub lost: usize,
}

impl Lab {
    /// Starts a fleet, and waits until everything is as its file says.
    pub async fn start(mode: Mode) -> Self {
        let mut scene = Scene::set_in_network(&mode.file());
        scene.open().await;
        let network = scene.world.network().unwrap().clone();
        let writer = &scene.servers()[&RegionId::from("stockholm")];
        let session = Session::open(writer).await.expect("the writer's server answers");
        let made = session.ask("CREATE TABLE rows (id bigint PRIMARY KEY)").await;
        assert!(matches!(made, Some(Ok(_))), "{made:?}");
        let cuts = Arc::new(Mutex::new(Cuts { network: network.clone(), active: BTreeMap::new() }));
        Self { scene, mode, network, cuts, undo: BTreeMap::new(), next: 0, recorder: None, next_id: 1 }
    }

    /// Begins to write and read everywhere, and waits until writes are acknowledged.
    pub async fn record(&mut self) {
        self.recorder = Some(Recorder::start(&self.scene.servers(), self.next_id));
        self.acknowledged("before any fault", 20, |_| true).await;
    }

    pub fn recorder(&self) -> &Recorder {
        self.recorder.as_ref().expect("`record` comes first")
    }

    /// Waits until so many writes that are sent from now on are acknowledged by such regions.
    pub async fn acknowledged(&self, when: &str, count: usize, by: impl Fn(&RegionId) -> bool) {
        let since = now();
        let what = format!("{when}: {count} writes are acknowledged");
        self.scene.eventually(&what, async || (self.recorder().acknowledged(since, &by) >= count).then_some(())).await;
    }

    /// Who writes, by the record that most nodes can tell; the file's writer if none answers.
    pub async fn writer(&self) -> RegionId {
        let mut newest = None;
        for region in self.scene.app.regions.keys() {
            if let Some(status) = self.scene.database(region.as_str()).await
                && newest.as_ref().is_none_or(|newest: &DatabaseStatus| newest.epoch < status.epoch)
            {
                newest = Some(status);
            }
        }
        newest.and_then(|status| status.writer).unwrap_or_else(|| "stockholm".into())
    }

    /// The regions by what they are now: who writes, the first other copy, and the one that is left.
    pub async fn roles(&self) -> [RegionId; 3] {
        let writer = self.writer().await;
        let copies = self.scene.copies();
        let standby = copies.iter().find(|copy| **copy != writer).unwrap().clone();
        let third =
            self.scene.app.regions.keys().find(|region| **region != writer && **region != standby).unwrap().clone();
        [writer, standby, third]
    }

    // --- faults ---

    /// Begins a fault; the number ends it.
    pub async fn begin(&mut self, fault: Fault) -> usize {
        let roles = self.roles().await;
        let region = |who: Who| match who {
            Who::Writer => roles[0].clone(),
            Who::Standby => roles[1].clone(),
            Who::Third => roles[2].clone(),
        };
        self.next += 1;
        let number = self.next;
        let cut = |from: &RegionId, both: bool, out: bool| {
            let (own, others) = ([Some(from.clone())], self.network.others(from));
            match (both, out) {
                (true, _) => between(&own, &others),
                (false, true) => one_way(&own, &others),
                (false, false) => one_way(&others, &own),
            }
        };
        let undo = match fault {
            Fault::CutOff(who) => self.cut(number, cut(&region(who), true, true)),
            Fault::Mute(who) => self.cut(number, cut(&region(who), false, true)),
            Fault::Deaf(who) => self.cut(number, cut(&region(who), false, false)),
            Fault::CutBetween(one, other) => self.cut(number, between(&[Some(region(one))], &[Some(region(other))])),
            Fault::Flap(who) => {
                let (cuts, directions) = (self.cuts.clone(), cut(&region(who), true, true));
                Undo::Settle(tokio::spawn(async move {
                    for turn in 0_usize.. {
                        let now = if turn.is_multiple_of(2) { directions.clone() } else { BTreeSet::new() };
                        cuts.lock().unwrap().put(number, now);
                        tokio::time::sleep(FLAP_EVERY).await;
                    }
                }))
            }
            Fault::Slow(who) => {
                self.network.trouble(&region(who), Some(SLOW)).unwrap();
                Undo::Relieve(region(who))
            }
            Fault::Stop(who, part) => Undo::Continue(processes::freeze(|| self.processes(&region(who), part))),
            Fault::Kill(who, part) => {
                let region = region(who);
                self.kill(&region, part).await;
                if part == Part::Database { Undo::Nothing } else { Undo::Start(vec![region]) }
            }
            Fault::KillRegion(who) => {
                self.scene.world.inject(lifeboat_drill::Fault::RegionLoss, &region(who)).await;
                Undo::Start(vec![region(who)])
            }
            Fault::KillEverything(order) => {
                let regions = order.map(region);
                // All stand still at one moment, so that none sees another one go.
                processes::freeze(|| regions.iter().flat_map(|region| self.everything(region)).collect());
                for region in &regions {
                    self.scene.world.inject(lifeboat_drill::Fault::RegionLoss, region).await;
                }
                Undo::Start(regions.into())
            }
        };
        self.undo.insert(number, undo);
        number
    }

    async fn kill(&mut self, region: &RegionId, part: Part) {
        let fault = match part {
            Part::Node => lifeboat_drill::Fault::NodeLoss,
            Part::Database => lifeboat_drill::Fault::DatabaseLoss,
            Part::Etcd => return self.scene.world.kill_member(region).await,
        };
        self.scene.world.inject(fault, region).await;
    }

    /// Kills one process of a region's PostgreSQL, which then restarts in place.
    pub fn crash(&self, region: &RegionId) {
        let all = self.processes(region, Part::Database);
        let writes =
            all.iter().find(|process| process.command_line().contains("walwriter")).expect("a primary has one");
        writes.signal(Signal::KILL);
    }

    fn cut(&self, number: usize, cuts: BTreeSet<Cut>) -> Undo {
        self.cuts.lock().unwrap().put(number, cuts);
        Undo::Join
    }

    /// Everything that runs in a region.
    fn everything(&self, region: &RegionId) -> BTreeSet<Process> {
        processes::of_region(&self.scene.world.region_directory(region), self.scene.world.node(region))
    }

    fn processes(&self, region: &RegionId, part: Part) -> BTreeSet<Process> {
        match part {
            Part::Node => self.scene.world.node(region).into_iter().collect(),
            Part::Database => self.everything(region).into_iter().filter(|p| p.name() == "postgres").collect(),
            Part::Etcd => self.everything(region).into_iter().filter(|p| p.name() == "etcd").collect(),
        }
    }

    /// Ends a fault.
    pub async fn end(&mut self, number: usize) {
        match self.undo.remove(&number) {
            Some(Undo::Join) => self.cuts.lock().unwrap().put(number, BTreeSet::new()),
            Some(Undo::Settle(flapping)) => {
                flapping.abort();
                // It may be in the middle of a change.
                let _ = flapping.await;
                self.cuts.lock().unwrap().put(number, BTreeSet::new());
            }
            Some(Undo::Relieve(region)) => self.network.trouble(&region, None).unwrap(),
            Some(Undo::Continue(stopped)) => stopped.iter().for_each(|process| process.signal(Signal::CONT)),
            Some(Undo::Start(regions)) => {
                for region in regions {
                    if self.scene.world.node(&region).is_none() {
                        self.scene.world.start_node(&region).unwrap();
                    }
                    self.scene.world.start_member(&region).unwrap();
                }
            }
            Some(Undo::Nothing) | None => {}
        }
    }

    /// Ends every fault.
    pub async fn heal(&mut self) {
        for number in self.undo.keys().copied().collect::<Vec<_>>() {
            self.end(number).await;
        }
    }

    // --- the judgement ---

    /// Ends every fault; writing must be possible again in time (L1), everything protected as before, and the history good.
    pub async fn judge(&mut self, began: Moment) -> Result<Judged, String> {
        self.heal().await;
        let healed = now();
        let writable = async || self.recorder().acknowledged(healed, |_| true) >= 5;
        if !within(WRITABLE_WITHIN, writable).await {
            return Err(format!(
                "L1: no write is acknowledged {} s after the last fault was over",
                WRITABLE_WITHIN.as_secs()
            ));
        }
        let mut missing = String::new();
        let protected = async || match self.unprotected().await {
            Some(why) => {
                missing = why;
                false
            }
            None => true,
        };
        if !within(PROTECTED_WITHIN, protected).await {
            return Err(format!("{} s after the last fault was over: {missing}", PROTECTED_WITHIN.as_secs()));
        }
        let ended = now();
        let recorder = self.recorder.take().expect("`record` comes first");
        let first = recorder.first();
        let (writes, reads, next) = recorder.stop().await;
        self.next_id = next;
        let writer = self.writer().await;
        let there = self.there(&writer, first).await?;
        let opened = self.scene.entries(EntryKind::Open).await;
        let turn = |entry: lifeboat_model::journal::JournalEntry| {
            Some(Turn { epoch: entry.epoch?, region: entry.region, opened: entry.at })
        };
        let turns = opened.into_iter().filter_map(turn).collect();
        let outage = longest_gap(&writes, began, ended);
        let history = History { writes, reads, turns, there };
        let found = check::check(&history, self.mode.loss());
        if !found.is_empty() {
            return Err(found.iter().map(|violation| format!("{violation}\n")).collect());
        }
        self.scene.check_journal().await;
        let acknowledged = history.writes.iter().filter(|write| write.acknowledged.is_some());
        let lost = acknowledged.clone().filter(|write| !history.there.contains(&write.id)).count();
        Ok(Judged { outage, acknowledged: acknowledged.count(), lost })
    }

    async fn there(&self, writer: &RegionId, first: i64) -> Result<BTreeSet<i64>, String> {
        let session =
            Session::open(&self.scene.servers()[writer]).await.ok_or("the writer's server does not answer")?;
        let rows = session.ask(&format!("SELECT id FROM rows WHERE id >= {first}")).await;
        let Some(Ok(rows)) = rows else { return Err(format!("{writer} does not say what is there: {rows:?}")) };
        Ok(rows.iter().map(|row| row[0].as_ref().unwrap().parse().unwrap()).collect())
    }

    /// What is not as the file says; `None`: everything is.
    async fn unprotected(&self) -> Option<String> {
        let component = &self.scene.app.components[&ComponentId::from(DATABASE)];
        let mut all = BTreeMap::new();
        for region in self.scene.app.regions.keys() {
            match self.scene.status(region.as_str()).await {
                None => return Some(format!("the node of {region} does not answer")),
                Some(status) if !status.store_reachable => return Some(format!("{region} does not reach the store")),
                Some(mut status) => all.insert(region.clone(), status.databases.remove(&ComponentId::from(DATABASE))?),
            };
        }
        let writer = all.values().max_by_key(|status| status.epoch)?.writer.clone()?;
        let status = &all[&writer];
        if !status.open || status.writer.as_ref() != Some(&writer) {
            return Some(format!("{DATABASE} is not open in {writer}"));
        }
        for copy in self.scene.copies().into_iter().filter(|copy| *copy != writer) {
            let server = status.servers.get(&copy);
            if !server.is_some_and(|server| server.streaming && server.follows.as_ref() == Some(&writer)) {
                return Some(format!("the standby in {copy} does not stream from {writer}"));
            }
        }
        let synchronous = component.standbys.values().any(|how| *how == Replication::Synchronous);
        let confirming = if synchronous {
            self.scene.copies().into_iter().filter(|copy| *copy != writer).collect()
        } else {
            BTreeSet::new()
        };
        if !is_confirmed_by(status, &confirming) {
            let gate = status.servers.get(&writer).map(|server| format!("{:?}", server.gate));
            return Some(format!("{writer}'s commits are confirmed by {gate:?}, and not by {confirming:?}"));
        }
        None
    }

    /// Keeps what helps to understand a failure: every log.
    pub fn keep_logs(&self, to: &Path) {
        copy_logs(self.scene.world.path(), to, 4);
    }
}

/// The longest time between two answers of acknowledged writes, as far as it lies between these moments.
fn longest_gap(writes: &[Write], began: Moment, ended: Moment) -> Duration {
    let mut answered: Vec<Moment> =
        writes.iter().filter(|write| write.acknowledged.is_some()).map(|w| w.ended).collect();
    answered.sort();
    let gaps = answered.windows(2).filter(|pair| pair[1] > began && pair[0] < ended).map(|pair| pair[1].since(pair[0]));
    gaps.max().unwrap_or_default()
}

async fn within(limit: Duration, mut met: impl AsyncFnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !met().await {
        if Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    true
}

fn copy_logs(from: &Path, to: &Path, depth: usize) {
    let Ok(entries) = std::fs::read_dir(from) else { return };
    for entry in entries.filter_map(Result::ok) {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() && depth > 0 && name != "data" && name != "etcd" {
            copy_logs(&path, &to.join(&name), depth - 1);
        } else if path.extension().is_some_and(|extension| extension == "log") {
            // What cannot be kept is not worth a second failure.
            let _ = std::fs::create_dir_all(to);
            let _ = std::fs::copy(&path, to.join(&name));
        }
    }
}
