//! Clients that insert rows without pause and remember which were acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lifeboat_model::RegionId;
use tokio::task::JoinSet;

use super::session::Session;

/// Between two inserts of a client.
const PAUSE: Duration = Duration::from_millis(10);
/// How many insert at one time.
const CLIENTS: usize = 2;

/// One insert.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Never used twice.
    pub id: i64,
    /// Whose server was asked.
    pub region: RegionId,
    pub sent: Instant,
    pub ended: Instant,
    /// It was committed, and the server did not warn that its standbys may lack it.
    pub acknowledged: bool,
}

/// What the clients share.
struct Shared {
    servers: Vec<(RegionId, String)>,
    next: AtomicI64,
    stop: AtomicBool,
    attempts: Mutex<Vec<Attempt>>,
}

/// Clients at work.
pub struct Clients {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

impl Clients {
    pub fn start(servers: BTreeMap<RegionId, String>) -> Self {
        let shared = Arc::new(Shared {
            servers: servers.into_iter().collect(),
            next: AtomicI64::new(1),
            stop: AtomicBool::new(false),
            attempts: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..CLIENTS {
            tasks.spawn(work(shared.clone()));
        }
        Self { shared, tasks }
    }

    pub fn attempts(&self) -> Vec<Attempt> {
        self.shared.attempts.lock().unwrap().clone()
    }

    pub async fn stop(self) -> Vec<Attempt> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
        let mut attempts = self.shared.attempts.lock().unwrap();
        std::mem::take(&mut *attempts)
    }
}

async fn work(shared: Arc<Shared>) {
    for (region, url) in shared.servers.iter().cycle() {
        if let Some(session) = Session::open(url).await {
            while !shared.stop.load(Ordering::Relaxed) {
                let id = shared.next.fetch_add(1, Ordering::Relaxed);
                let sent = Instant::now();
                let acknowledged = session.acknowledges(&format!("INSERT INTO rows VALUES ({id})")).await;
                let attempt = Attempt { id, region: region.clone(), sent, ended: Instant::now(), acknowledged };
                shared.attempts.lock().unwrap().push(attempt);
                if !acknowledged {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

pub async fn create_table(url: &str) {
    let session = Session::open(url).await.expect("the writer's server answers");
    let made = session.ask("CREATE TABLE rows (id bigint PRIMARY KEY); CREATE TABLE probes (at timestamptz)").await;
    assert!(matches!(made, Some(Ok(_))), "{made:?}");
}

/// Whether this server acknowledges a write now.
pub async fn acknowledges(url: String) -> bool {
    match Session::open(&url).await {
        Some(session) => session.acknowledges("INSERT INTO probes VALUES (now())").await,
        None => false,
    }
}

/// Every row's id.
pub async fn ids(url: &str) -> BTreeSet<i64> {
    let session = Session::open(url).await.expect("the writer's server answers");
    let Some(Ok(rows)) = session.ask("SELECT id FROM rows").await else { panic!("{url} does not tell its rows") };
    rows.iter().filter_map(|row| row.first()?.as_ref()?.parse().ok()).collect()
}
