//! Clients that ask every server all the time, whoever it says is the writer, and remember all of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_lab::check::{Read, Write};
use lifeboat_model::{Moment, RegionId};
use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinSet;

use crate::world::session::Session;

/// Between two writes that are acknowledged.
const PAUSE: Duration = Duration::from_millis(15);
/// After a server has refused.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(100);
/// Between two reads.
const READ_EVERY: Duration = Duration::from_millis(150);

/// The clock of the journal's entries.
pub fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    Moment(u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap())
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    first: i64,
    next: AtomicI64,
    writes: Mutex<Vec<Write>>,
    reads: Mutex<Vec<Read>>,
}

/// Clients at work: for each server one that writes and one that reads.
pub struct Recorder {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

impl Recorder {
    /// Begins; ids are `first` and greater.
    pub fn start(servers: &BTreeMap<RegionId, String>, first: i64) -> Self {
        let shared = Arc::new(Shared { first, next: AtomicI64::new(first), ..Shared::default() });
        let mut tasks = JoinSet::new();
        for (region, url) in servers {
            tasks.spawn(write(shared.clone(), region.clone(), url.clone()));
            tasks.spawn(read(shared.clone(), region.clone(), url.clone()));
        }
        Self { shared, tasks }
    }

    /// The ids' beginning.
    pub fn first(&self) -> i64 {
        self.shared.first
    }

    /// How many writes that were sent after `since` were acknowledged, by whom it may concern.
    pub fn acknowledged(&self, since: Moment, by: impl Fn(&RegionId) -> bool) -> usize {
        let writes = self.shared.writes.lock().unwrap();
        writes
            .iter()
            .rev()
            .take_while(|w| w.ended > since)
            .filter(|w| w.acknowledged.is_some() && w.sent > since && by(&w.region))
            .count()
    }

    /// How many writes that were sent to a region after `since` were not acknowledged.
    pub fn refused(&self, since: Moment, by: &RegionId) -> usize {
        let writes = self.shared.writes.lock().unwrap();
        writes.iter().filter(|w| w.acknowledged.is_none() && w.sent > since && w.region == *by).count()
    }

    /// Ends it; what was written and read, and the next id.
    pub async fn stop(self) -> (Vec<Write>, Vec<Read>, i64) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
        let writes = std::mem::take(&mut *self.shared.writes.lock().unwrap());
        let reads = std::mem::take(&mut *self.shared.reads.lock().unwrap());
        (writes, reads, self.shared.next.load(Ordering::Relaxed))
    }
}

async fn write(shared: Arc<Shared>, region: RegionId, url: String) {
    const TIMELINE: &str = "('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int";
    let mut session = None;
    while !shared.stop.load(Ordering::Relaxed) {
        if session.is_none() {
            session = Session::open(&url).await;
        }
        let Some(open) = &session else {
            tokio::time::sleep(PAUSE_AFTER_REFUSAL).await;
            continue;
        };
        let id = shared.next.fetch_add(1, Ordering::Relaxed);
        let sent = now();
        let answer = open.ask(&format!("INSERT INTO rows VALUES ({id}) RETURNING {TIMELINE}")).await;
        let rows = match &answer {
            Some(Ok(rows)) => rows.as_slice(),
            _ => &[],
        };
        let acknowledged = rows.first().and_then(|row| row.first()?.as_ref()?.parse().ok());
        let acknowledged: Option<u32> = acknowledged.filter(|_| !open.was_warned());
        shared.writes.lock().unwrap().push(Write { id, region: region.clone(), sent, ended: now(), acknowledged });
        match (acknowledged, answer) {
            (Some(_), _) => tokio::time::sleep(PAUSE).await,
            // It says no, and the connection is good: a standby.
            (None, Some(Err(error))) if error.as_ref().is_some_and(|code| code.starts_with("25")) => {
                tokio::time::sleep(PAUSE_AFTER_REFUSAL).await;
            }
            (None, _) => {
                session = None;
                tokio::time::sleep(PAUSE_AFTER_REFUSAL).await;
            }
        }
    }
}

async fn read(shared: Arc<Shared>, region: RegionId, url: String) {
    let first = shared.first;
    let newest = format!("SELECT id, pg_is_in_recovery() FROM rows WHERE id >= {first} ORDER BY id DESC LIMIT 40");
    let mut session = None;
    while !shared.stop.load(Ordering::Relaxed) {
        if session.is_none() {
            session = Session::open(&url).await;
        }
        if let Some(open) = &session {
            match open.ask(&newest).await {
                Some(Ok(rows)) => {
                    let id = |row: &Vec<Option<String>>| match row.as_slice() {
                        [Some(id), Some(standby)] if standby == "f" => id.parse().ok(),
                        _ => None,
                    };
                    let ids: Vec<i64> = rows.iter().filter_map(id).collect();
                    if !ids.is_empty() {
                        shared.reads.lock().unwrap().push(Read { region: region.clone(), ended: now(), ids });
                    }
                }
                _ => session = None,
            }
        }
        tokio::time::sleep(READ_EVERY).await;
    }
}
