//! Servers of one database in several regions, each on a loopback address of its own, and a client that writes to them.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::fmt::Display;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lifeboat_driver_postgres::{Config, Postgres, Secrets};
use lifeboat_model::database::{Action, DatabaseState, Gate, Note, Order, Refusal, Role};
use lifeboat_model::{Epoch, Moment, RegionId};
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};
use tokio_postgres::{Client, NoTls};

/// Nothing in these tests takes as long, on however slow a machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// From one question to the next while something is waited for.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// Asks until there is an answer. A panic says what was waited for, and what stood in its way last.
pub async fn eventually<T, E: Display>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(why) => assert!(Instant::now() < deadline, "never: {what}: {why}"),
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// Regions `a`, `b`, … on one machine. Whatever still runs is ended when it is dropped, also by a panic.
pub struct Lab {
    directory: tempfile::TempDir,
    servers: BTreeMap<RegionId, SocketAddr>,
    secrets: Secrets,
}

impl Lab {
    pub fn new(regions: &[&str]) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let open_to_postgres = std::fs::Permissions::from_mode(0o755);
        let directory =
            tempfile::Builder::new().prefix("lifeboat-pg-").permissions(open_to_postgres).tempdir().unwrap();
        let random = std::hash::RandomState::new().build_hasher().finish().to_be_bytes();
        let port = 20000 + u16::from_be_bytes([random[0], random[1]]) % 10000;
        let address = |n: usize| IpAddr::V4(Ipv4Addr::new(127, random[2] | 1, random[3], u8::try_from(n).unwrap() + 1));
        let servers = regions.iter().enumerate().map(|(n, name)| ((*name).into(), (address(n), port).into())).collect();
        let secrets = Secrets::load_or_create(directory.path()).unwrap();
        Self { directory, servers, secrets }
    }

    pub fn config(&self, region: &str) -> Config {
        let own = self.servers[&RegionId::from(region)];
        let peers = self.servers.iter().filter(|(name, _)| name.as_str() != region);
        Config {
            region: region.into(),
            database: "orders".into(),
            directory: self.directory.path().join(region),
            address: own.ip(),
            port: own.port(),
            peers: peers.map(|(name, server)| (name.clone(), *server)).collect(),
            secrets: self.secrets.clone(),
            bin: None,
            observe_every: Duration::from_millis(100),
            overrides: BTreeMap::new(),
        }
    }

    pub async fn open(&self, region: &str) -> Postgres {
        Postgres::open(self.config(region)).await.unwrap()
    }

    pub fn data(&self, region: &str) -> PathBuf {
        std::fs::canonicalize(self.directory.path()).unwrap().join(region).join("data")
    }

    /// `a` writes behind the gate `ANY 1 (b)`, `b` is its standby; both under epoch 1.
    pub async fn pair(&self) -> (Postgres, Postgres) {
        let (a, b) = (self.open("a").await, self.open("b").await);
        act(&a, 1, Action::Create { gate: Gate::Node }).await;
        act(&b, 1, Action::Seed { from: "a".into() }).await;
        act(&a, 1, Action::SetGate { gate: peers(1, &["b"]) }).await;
        state(&a, "b confirms", |s| s.followers.get("b").is_some_and(|b| b.streaming && b.confirms)).await;
        (a, b)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let all = std::fs::canonicalize(self.directory.path()).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline
            && let Some(&pid) = processes(&all).first()
        {
            let _ = kill_process(pid, Signal::KILL);
            std::thread::sleep(ASK_AGAIN);
        }
    }
}

/// The PostgreSQL processes that run in a directory, as in a server's data directory.
pub fn processes(data: &Path) -> Vec<Pid> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    let runs = |pid: &Pid| {
        let of = |what: &str| std::fs::read_link(format!("/proc/{}/{what}", pid.as_raw_nonzero()));
        of("exe").is_ok_and(|exe| exe.ends_with("postgres")) && of("cwd").is_ok_and(|cwd| cwd.starts_with(data))
    };
    pids.filter(runs).collect()
}

/// The server's first process.
pub fn postmaster(data: &Path) -> Pid {
    let text = std::fs::read_to_string(data.join("postmaster.pid")).unwrap();
    Pid::from_raw(text.lines().next().unwrap().parse().unwrap()).unwrap()
}

/// Ends a server as a power cut would: all processes, without a word.
pub async fn crash(data: &Path) {
    let _ = kill_process(postmaster(data), Signal::KILL);
    eventually("the server's processes are gone", async || match processes(data).first() {
        Some(&pid) => {
            let _ = kill_process(pid, Signal::KILL);
            Err(format!("process {} runs", pid.as_raw_nonzero()))
        }
        None => Ok(()),
    })
    .await;
}

pub fn peers(needed: usize, named: &[&str]) -> Gate {
    Gate::Peers { needed, named: named.iter().map(|name| (*name).into()).collect() }
}

pub async fn try_act(server: &Postgres, epoch: u64, action: Action) -> Result<Note, Refusal> {
    tokio::time::timeout(PATIENCE * 2, server.act(Order { epoch: Epoch(epoch), action }))
        .await
        .expect("an action takes for ever")
}

pub async fn act(server: &Postgres, epoch: u64, action: Action) -> String {
    let named = format!("{action:?}");
    match try_act(server, epoch, action).await {
        Ok(note) => note.unwrap_or_default(),
        Err(refusal) => panic!("{named}: {refusal}"),
    }
}

/// Waits until the state is as described.
pub async fn state(server: &Postgres, what: &str, met: impl Fn(&DatabaseState) -> bool) -> DatabaseState {
    let mut states = server.states();
    let found = tokio::time::timeout(PATIENCE, states.wait_for(&met)).await.map(|found| found.unwrap().clone());
    found.unwrap_or_else(|_| panic!("never: {what}; it is {:?}", states.borrow()))
}

pub fn role(server: &Postgres) -> Role {
    server.states().borrow().role.clone()
}

pub fn boot_clock() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    Moment(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

pub async fn try_client(server: &Postgres) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(&server.application_url(), NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

pub async fn client(server: &Postgres) -> Client {
    eventually("a connection", async || try_client(server).await).await
}

/// Makes the table; its commits wait like any other's.
pub async fn make_table(client: &Client) {
    client.batch_execute("CREATE TABLE orders (id int PRIMARY KEY, note text)").await.unwrap();
}

pub async fn insert(client: &Client, id: i32) -> Result<u64, tokio_postgres::Error> {
    client.execute("INSERT INTO orders VALUES ($1, 'a''note')", &[&id]).await
}

/// Whether a write is acknowledged within a time in which it would be if it could. Where it is not, it goes on waiting, and so does
/// everything after it on this connection.
pub async fn acknowledged(client: &Client, id: i32) -> bool {
    match tokio::time::timeout(Duration::from_millis(1500), insert(client, id)).await {
        Ok(done) => done.expect("a write neither waits nor is acknowledged") == 1,
        Err(_) => false,
    }
}

pub async fn ids(client: &Client) -> Vec<i32> {
    client.query("SELECT id FROM orders ORDER BY id", &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// A connection that may do everything, over the socket.
pub async fn superuser(lab: &Lab, region: &str) -> Client {
    let config = lab.config(region);
    let mut to = tokio_postgres::Config::new();
    to.host_path(config.directory.join("socket"))
        .port(config.port)
        .user("lifeboat")
        .password(&config.secrets.superuser);
    let (client, connection) = to.dbname("orders").options("-c synchronous_commit=local").connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Waits until this many commits wait for a standby.
pub async fn commits_wait(superuser: &Client, count: i64) {
    let query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    eventually("the commits wait", async || {
        let waiting: i64 = superuser.query_one(query, &[]).await.unwrap().get(0);
        if waiting < count { Err(format!("{waiting} of {count} wait")) } else { Ok(()) }
    })
    .await;
}

/// The rows that were saved as divergent, as JSON values, of every time that it was done.
pub fn saved_rows(lab: &Lab, region: &str) -> Vec<serde_json::Value> {
    let divergent = lab.data(region).parent().unwrap().join("divergent");
    let files = std::fs::read_dir(divergent).unwrap().flatten().map(|entry| entry.path().join("rows.jsonl"));
    let lines = files
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
    lines.map(|line| serde_json::from_str(&line).unwrap()).collect()
}

/// Lets the gate confirm for as long as anybody waits.
pub fn open_gate(server: &Postgres, epoch: u64) {
    server.confirm(Epoch(epoch), Some(Moment(u64::MAX)));
}
