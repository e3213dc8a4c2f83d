//! The fixture of the fault tests: a whole app on real servers, clients that remember what was acknowledged, and the checks that
//! hold whatever was done to it.
//!
//! Each scene has loopback addresses and a run directory of its own. Nothing of it remains, however a test ends.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lifeboat_drill::http::Connection;
use lifeboat_drill::processes::Process;
use lifeboat_drill::world::World;
use lifeboat_model::database::{Gate, Role};
use lifeboat_model::journal::{EntryKind, JournalEntry};
use lifeboat_model::status::{DatabaseStatus, Status};
use lifeboat_model::{App, ComponentId, Epoch, RegionId};
use serde::Deserialize;

pub mod client;
pub mod session;

use crate::place::stage;
use client::{Attempt, Clients};

/// The database of every scene.
pub const DATABASE: &str = "orders";

/// How many scenes may play at one time: each is three nodes and two PostgreSQL servers.
const SCENES: usize = 1;
static PLAYING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// The longest that anything is waited for. Far beyond what it takes, for a machine that has much else to do.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The right to play a scene.
struct Turn;

impl Turn {
    fn take() -> Self {
        let playing = PLAYING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut playing =
            ENDED.wait_while(playing, |playing| *playing >= SCENES).unwrap_or_else(PoisonError::into_inner);
        *playing += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *PLAYING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ENDED.notify_one();
    }
}

/// Plays a test when it is its turn.
pub fn play(test: impl Future<Output = ()>) {
    let _turn = Turn::take();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test);
}

/// A file system that goes when this does.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: the last process that works there may not have been collected yet.
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// One app on real servers. Fields are dropped in order: processes first, then mounts, then the directory.
pub struct Scene {
    pub world: World,
    mounts: Vec<Mounted>,
    pub app: App,
    clients: Option<Clients>,
    _claim: Option<TcpListener>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.world.kill_everything();
        self.mounts.clear();
    }
}

impl Scene {
    /// Makes the scene of a file in which `127.N.` stands for a network of its own. Starts nothing.
    pub fn set(text: &str) -> Self {
        let (app, world, claim) = stage(text);
        Self { world, mounts: Vec::new(), app, clients: None, _claim: Some(claim) }
    }

    /// The same with a member of etcd in every region as the nodes' store.
    #[allow(dead_code, reason = "not every test file has etcd")]
    pub fn set_on_etcd(text: &str) -> Self {
        let (app, world, claim) = stage(text);
        Self { world: world.with_etcd().unwrap(), mounts: Vec::new(), app, clients: None, _claim: Some(claim) }
    }

    /// The same with every region in a network namespace of its own, and etcd. Addresses need not be this scene's alone.
    #[allow(dead_code, reason = "not every test file has namespaces")]
    pub fn set_in_network(text: &str) -> Self {
        let app = lifeboat_model::parse(text).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("lifeboat.yaml");
        std::fs::write(&file, text).unwrap();
        let lifeboat = Path::new(env!("CARGO_BIN_EXE_lifeboat"));
        let world = World::in_network(&file, &app, lifeboat, lifeboat, false).unwrap().with_etcd().unwrap();
        Self { world, mounts: Vec::new(), app, clients: None, _claim: None }
    }

    /// Starts every node and waits until the database is open and every synchronous standby confirms.
    pub async fn start(text: &str) -> Self {
        let mut scene = Self::set(text);
        scene.open().await;
        scene
    }

    /// The same for a scene that is set.
    pub async fn open(&mut self) {
        self.world.start().unwrap();
        let component = &self.app.components[&database()];
        let synchronous: BTreeSet<RegionId> = component
            .standbys
            .iter()
            .filter(|(_, how)| **how == lifeboat_model::app::Replication::Synchronous)
            .map(|(region, _)| region.clone())
            .collect();
        let copies = self.copies();
        let writer = component.writer.clone().unwrap();
        self.until("the database is open, with every standby streaming", writer.as_str(), |status| {
            let standbys = copies.iter().filter(|region| **region != writer);
            status.open
                && is_confirmed_by(status, &synchronous)
                && standbys.into_iter().all(|region| status.servers.get(region).is_some_and(|s| s.streaming))
        })
        .await;
    }

    /// Puts a region's directory on a small file system of its own; `false`: this user may not.
    pub fn mount(&mut self, region: &str, megabytes: u32) -> bool {
        let directory = self.world.region_directory(&region.into());
        std::fs::create_dir_all(&directory).unwrap();
        let done = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m,mode=755"), "lifeboat-test"])
            .arg(&directory)
            .status();
        let mounted = done.is_ok_and(|status| status.success());
        if mounted {
            self.mounts.push(Mounted(directory));
        }
        mounted
    }

    /// The regions that keep a copy of the database.
    pub fn copies(&self) -> Vec<RegionId> {
        let component = &self.app.components[&database()];
        component.writer.iter().chain(component.standbys.keys()).cloned().collect()
    }

    /// Where a region's server listens.
    fn server(&self, region: &RegionId) -> SocketAddr {
        (self.app.regions[region].address.unwrap(), 5432).into()
    }

    /// Where the application connects in each region that keeps a copy.
    pub fn servers(&self) -> BTreeMap<RegionId, String> {
        #[derive(Deserialize)]
        struct Secrets {
            application: String,
        }
        let path = self.world.path().join("secrets").join(DATABASE).join("secrets.json");
        let secrets: Secrets = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let url = |server| format!("postgresql://{DATABASE}_app:{}@{server}/{DATABASE}", secrets.application);
        self.copies().into_iter().map(|region| (region.clone(), url(self.server(&region)))).collect()
    }

    // --- asking the nodes ---

    async fn get<T: serde::de::DeserializeOwned>(&self, region: &RegionId, path: &str) -> Option<T> {
        let at = self.app.regions.get(region)?;
        let address = SocketAddr::new(at.address?, at.api_port);
        let asking = async {
            let mut connection = Connection::to_node(self.world.connector(), address, region).await.ok()?;
            connection.request(hyper::Method::GET, path, None, None).await.ok()
        };
        let (code, body) = tokio::time::timeout(Duration::from_secs(2), asking).await.ok()??;
        code.is_success().then(|| serde_json::from_slice(&body).unwrap())
    }

    /// What a region's node says of everything; `None`: it does not answer.
    pub async fn status(&self, region: &str) -> Option<Status> {
        self.get(&region.into(), "/v1/status").await
    }

    /// What a region's node says of the database.
    pub async fn database(&self, region: &str) -> Option<DatabaseStatus> {
        self.status(region).await?.databases.remove(&database())
    }

    /// The journal after a revision, from whichever node answers, with the newest revision.
    pub async fn journal_after(&self, after: u64) -> Option<(u64, Vec<JournalEntry>)> {
        #[derive(Deserialize)]
        struct Recorded {
            revision: u64,
            entry: JournalEntry,
        }
        for region in self.app.regions.keys() {
            if let Some(entries) = self.get::<Vec<Recorded>>(region, &format!("/v1/events?after={after}")).await {
                let newest = entries.last().map_or(after, |last| last.revision);
                return Some((newest, entries.into_iter().map(|recorded| recorded.entry).collect()));
            }
        }
        None
    }

    /// The whole journal.
    pub async fn journal(&self) -> Vec<JournalEntry> {
        self.journal_after(0).await.map(|(_, entries)| entries).unwrap_or_default()
    }

    /// The entries of a kind.
    pub async fn entries(&self, kind: EntryKind) -> Vec<JournalEntry> {
        self.journal().await.into_iter().filter(|entry| entry.kind == kind).collect()
    }

    /// Waits until `met` of what `region`'s node says of the database.
    pub async fn until(
        &self,
        what: &str,
        region: &str,
        mut met: impl FnMut(&DatabaseStatus) -> bool,
    ) -> DatabaseStatus {
        self.eventually(what, async || self.database(region).await.filter(|status| met(status))).await
    }

    /// Waits until `met` gives something; a panic tells everything that is known.
    pub async fn eventually<T>(&self, what: &str, mut met: impl AsyncFnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(met) = met().await {
                return met;
            }
            if Instant::now() > deadline {
                panic!("not within {} s: {what}\n{}", PATIENCE.as_secs(), self.tell().await);
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// Everything that helps to understand a failure.
    pub async fn tell(&self) -> String {
        let mut told = String::new();
        for region in self.app.regions.keys() {
            let status = self.database(region.as_str()).await;
            let shown = status.map_or("does not answer".into(), |s| serde_json::to_string(&s).unwrap());
            told += &format!("  {region}: {shown}\n");
        }
        let journal = self.journal().await;
        let began = journal.first().map(|entry| entry.at).unwrap_or_default();
        for entry in &journal[journal.len().saturating_sub(40)..] {
            let at = entry.at.since(began).as_secs_f64();
            told +=
                &format!("  {at:8.3}  {:<10} {:?}  {}: {}\n", entry.region.as_str(), entry.kind, entry.what, entry.why);
        }
        told + &self.world.logs()
    }

    /// Fails with everything that is known.
    pub async fn fail(&self, why: String) -> ! {
        panic!("{why}\n{}", self.tell().await)
    }

    // --- clients ---

    /// Makes the table in the writer's server and begins to insert rows into whichever server takes them.
    pub async fn insert(&mut self) {
        let servers = self.servers();
        let writer = self.app.components[&database()].writer.clone().unwrap();
        client::create_table(&servers[&writer]).await;
        self.clients = Some(Clients::start(servers));
        self.acknowledged(20).await;
    }

    fn clients(&self) -> &Clients {
        self.clients.as_ref().expect("`insert` comes first")
    }

    /// What was tried so far.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.clients().attempts()
    }

    /// Waits until so many more inserts are acknowledged.
    pub async fn acknowledged(&self, more: usize) {
        let count = || self.attempts().iter().filter(|attempt| attempt.acknowledged).count();
        let wanted = count() + more;
        self.eventually("inserts are acknowledged", async || (count() >= wanted).then_some(())).await;
    }

    /// Waits until so many inserts that were sent after `since` have failed, while none was acknowledged.
    pub async fn nothing_acknowledged(&self, since: Instant, failures: usize) {
        self.eventually("inserts fail", async || {
            let later: Vec<Attempt> = self.attempts().into_iter().filter(|attempt| attempt.sent > since).collect();
            if let Some(wrong) = later.iter().find(|attempt| attempt.acknowledged) {
                let late = wrong.sent.duration_since(since);
                self.fail(format!("{late:?} too late, {} has acknowledged {}", wrong.region, wrong.id)).await;
            }
            (later.len() >= failures).then_some(())
        })
        .await;
    }

    /// Stops the clients; what they tried.
    pub async fn stop_inserting(&mut self) -> Vec<Attempt> {
        match self.clients.take() {
            Some(clients) => clients.stop().await,
            None => Vec::new(),
        }
    }

    // --- what holds after every fault ---

    /// Stops the clients and checks what has to hold. Returns the rows that are lost although they were acknowledged.
    pub async fn check(&mut self) -> Vec<Attempt> {
        let attempts = self.stop_inserting().await;
        let writer = self.only_writer().await;
        self.check_writers_in_turn(&attempts).await;
        self.check_journal().await;
        let there = client::ids(&self.servers()[&writer]).await;
        attempts.into_iter().filter(|attempt| attempt.acknowledged && !there.contains(&attempt.id)).collect()
    }

    /// The same where nothing may be lost (S2).
    pub async fn check_nothing_lost(&mut self) {
        let lost = self.check().await;
        if let Some(one) = lost.first() {
            self.fail(format!("{} acknowledged rows are lost, such as {} of {}", lost.len(), one.id, one.region)).await;
        }
    }

    /// S1: exactly one server acknowledges a write now.
    pub async fn only_writer(&self) -> RegionId {
        let servers = self.servers();
        self.eventually("one server acknowledges", async || {
            let tries: Vec<_> = servers
                .iter()
                .map(|(region, url)| (region.clone(), tokio::spawn(client::acknowledges(url.clone()))))
                .collect();
            let mut writers = Vec::new();
            for (region, acknowledged) in tries {
                if acknowledged.await.unwrap() {
                    writers.push(region);
                }
            }
            if writers.len() > 1 {
                self.fail(format!("{writers:?} all acknowledge writes")).await;
            }
            writers.pop()
        })
        .await
    }

    /// S1: what was sent after another region had acknowledged for the first time in its turn is not acknowledged by the former.
    async fn check_writers_in_turn(&self, attempts: &[Attempt]) {
        let mut done: Vec<&Attempt> = attempts.iter().filter(|attempt| attempt.acknowledged).collect();
        done.sort_by_key(|attempt| attempt.ended);
        let mut turns: Vec<(RegionId, Instant)> = Vec::new();
        for attempt in done {
            match turns.last() {
                Some((region, _)) if *region == attempt.region => {}
                // An answer that was under way when the next region began belongs to the turn before.
                Some((_, began)) if attempt.sent < *began => {}
                _ => turns.push((attempt.region.clone(), attempt.ended)),
            }
        }
        let epochs = self.entries(EntryKind::Open).await.len();
        if turns.len() > epochs {
            self.fail(format!("{epochs} epochs were opened, and yet writing moved so: {turns:?}")).await;
        }
    }

    /// A1: every epoch was claimed once, with a reason, in order; the open one was opened once.
    pub async fn check_journal(&self) {
        let journal = self.journal().await;
        let newest = self.newest_epoch().await;
        let of = |kind, epoch| {
            journal.iter().filter(move |entry| entry.kind == kind && entry.epoch == Some(epoch)).collect::<Vec<_>>()
        };
        for epoch in (1..=newest.0).map(Epoch) {
            let claims = of(EntryKind::Claim, epoch);
            if claims.len() != 1 || claims[0].why.trim().is_empty() {
                self.fail(format!("epoch {epoch} has these claims: {claims:#?}")).await;
            }
        }
        let opened = of(EntryKind::Open, newest);
        if opened.len() != 1 || opened[0].why.trim().is_empty() {
            self.fail(format!("epoch {newest} was opened so: {opened:#?}")).await;
        }
    }

    /// The newest epoch that any node knows.
    pub async fn newest_epoch(&self) -> Epoch {
        let mut newest = Epoch(0);
        for region in self.app.regions.keys() {
            if let Some(status) = self.database(region.as_str()).await {
                newest = newest.max(status.epoch);
            }
        }
        newest
    }

    /// The first process of a region's PostgreSQL.
    pub fn postmaster(&self, region: &str) -> Option<Process> {
        let directory = self.world.region_directory(&region.into()).join(DATABASE);
        lifeboat_drill::processes::named_by(&directory.join("data/postmaster.pid"))
    }

    /// A region's node.
    pub fn node(&self, region: &str) -> Process {
        self.world.node(&region.into()).expect("the node lives")
    }
}

/// The file of two regions with data, stockholm and frankfurt, and a witness; `replication` is frankfurt's, and `more` lines follow of
/// the database.
#[allow(dead_code, reason = "not every test file has this one")]
pub fn pair(replication: &str, rpo: &str, more: &str) -> String {
    format!(
        "\
app: faults
objectives: {{rto: 15s, rpo: {rpo}}}
regions:
  stockholm: {{place: local/a, address: 127.N.1.1}}
  frankfurt: {{place: local/b, address: 127.N.2.1}}
  ireland: {{place: local/c, address: 127.N.3.1, role: witness}}
components:
  orders:
    kind: postgres
    pattern: warm-standby
    writer: stockholm
    standbys: {{frankfurt: {replication}}}
{more}failover: {{mode: automatic, hold-down: 60s}}
detection: {{lease: 3s}}
store: lifeboat.db
"
    )
}

/// Whether the gate is exactly these standbys', and the record says so.
pub fn is_confirmed_by(status: &DatabaseStatus, standbys: &BTreeSet<RegionId>) -> bool {
    let Some(writer) = &status.writer else { return false };
    let Some(server) = status.servers.get(writer) else { return false };
    match &server.gate {
        Gate::Node => standbys.is_empty() && status.holders.len() == 1,
        Gate::Peers { named, .. } => named == standbys && (named.is_subset(&status.holders) || named.len() > 1),
    }
}

/// Open, and synchronous with this region alone.
pub fn is_synchronous_with(status: &DatabaseStatus, standby: &str) -> bool {
    status.open && is_confirmed_by(status, &BTreeSet::from([standby.into()]))
}

/// Open, and recorded as alone.
pub fn is_alone(status: &DatabaseStatus) -> bool {
    status.open && is_confirmed_by(status, &BTreeSet::new())
}

/// The region whose server is a primary under the record's epoch, which is open.
pub fn open_in(status: &DatabaseStatus, region: &str) -> bool {
    status.open
        && status.writer.as_ref().is_some_and(|writer| writer.as_str() == region)
        && status.servers.get(&RegionId::from(region)).is_some_and(|server| server.role == Role::Primary)
}

fn database() -> ComponentId {
    DATABASE.into()
}
