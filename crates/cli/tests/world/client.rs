//! Clients that insert rows without pause and remember which were acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lifeboat_model::RegionId;
use tokio::task::{JoinHandle, JoinSet};
use tokio_postgres::{AsyncMessage, Client, NoTls};

/// How long an insert may take before its client gives it up and asks the next server.
const LIMIT: Duration = Duration::from_secs(2);
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

/// One connection that hears the server's warnings.
pub struct Session {
    client: Client,
    warned: Arc<AtomicBool>,
    carrier: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

impl Session {
    pub async fn open(url: &str) -> Option<Self> {
        let connecting = tokio_postgres::connect(url, NoTls);
        let (client, mut connection) = tokio::time::timeout(LIMIT, connecting).await.ok()?.ok()?;
        let warned = Arc::new(AtomicBool::new(false));
        let hears = warned.clone();
        let carrier = tokio::spawn(async move {
            // A server that cancels the wait for its standbys commits nevertheless, and says so in a warning.
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notice(notice) = message
                    && notice.severity() == "WARNING"
                {
                    hears.store(true, Ordering::SeqCst);
                }
            }
        });
        Some(Self { client, warned, carrier })
    }

    /// Whether the statement was committed in time and without a warning.
    pub async fn acknowledges(&self, statement: &str) -> bool {
        let committed = tokio::time::timeout(LIMIT, self.client.batch_execute(statement)).await;
        matches!(committed, Ok(Ok(()))) && !self.warned.load(Ordering::SeqCst)
    }
}

impl Session {
    /// Whether its server is a standby; a server that does not answer is taken for one.
    pub async fn is_standby(&self) -> bool {
        match self.client.query_one("SELECT pg_is_in_recovery()", &[]).await {
            Ok(row) => row.get(0),
            Err(_) => true,
        }
    }
}

pub async fn create_table(url: &str) {
    let session = Session::open(url).await.expect("the writer's server answers");
    session
        .client
        .batch_execute("CREATE TABLE rows (id bigint PRIMARY KEY); CREATE TABLE probes (at timestamptz)")
        .await
        .unwrap();
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
    let rows = session.client.query("SELECT id FROM rows", &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}
