//! Probes many targets, each by a task of its own, and hands their readings to one receiver.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_model::Moment;
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use crate::ask::probe_once;
use crate::clock::now;
use crate::reading::{Evidence, Reading, Target};
use crate::schedule::Schedule;
use crate::stall::StallWatch;

/// Probes targets, each known by a key of the caller's, until it is told to forget them.
///
/// A receiver that is slow slows the probes down: a target is not asked again before its last reading has found room.
/// Dropping the prober stops everything; [`Prober::shutdown`] also waits until it has stopped.
#[derive(Debug)]
pub struct Prober<K> {
    source: Option<IpAddr>,
    readings: mpsc::Sender<Reading<K>>,
    stall: Arc<StallWatch>,
    watched: HashMap<K, Watched>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Watched {
    probe_now: Arc<Notify>,
    task: AbortHandle,
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> Prober<K> {
    /// A prober without targets, and the end where its readings arrive, of which `capacity` (at least 1) wait. Probes
    /// leave from `source` where one is given, so that a region is seen from its own address.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new(source: Option<IpAddr>, capacity: usize) -> (Self, mpsc::Receiver<Reading<K>>) {
        let (readings, receiver) = mpsc::channel(capacity.max(1));
        let stall = Arc::new(StallWatch::new());
        let mut tasks = JoinSet::new();
        let watch = Arc::clone(&stall);
        tasks.spawn(async move { watch.run().await });
        (Self { source, readings, stall, watched: HashMap::new(), tasks }, receiver)
    }

    /// Probes the target from now on. What was probed under this key before is forgotten, but a reading of it may
    /// still be on its way.
    pub fn watch(&mut self, key: K, target: Target, schedule: Schedule) {
        self.forget(&key);
        let probe_now = Arc::new(Notify::new());
        let task = self.tasks.spawn(
            Probing {
                key: key.clone(),
                phase: schedule.phase(&(&target, self.source)),
                target,
                schedule,
                source: self.source,
                stall: Arc::clone(&self.stall),
                probe_now: Arc::clone(&probe_now),
                readings: self.readings.clone(),
            }
            .run(),
        );
        self.watched.insert(key, Watched { probe_now, task });
    }

    /// Probes it no more; a reading may still be on its way.
    pub fn forget(&mut self, key: &K) {
        if let Some(watched) = self.watched.remove(key) {
            watched.task.abort();
        }
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }

    /// Probes it at once, or right after the probe that is under way. False: no such target.
    pub fn probe_now(&self, key: &K) -> bool {
        let watched = self.watched.get(key);
        if let Some(watched) = watched {
            watched.probe_now.notify_one();
        }
        watched.is_some()
    }

    /// Stops every probe and returns when none runs any more.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
    }
}

/// One target's task.
struct Probing<K> {
    key: K,
    target: Target,
    schedule: Schedule,
    phase: Duration,
    source: Option<IpAddr>,
    stall: Arc<StallWatch>,
    probe_now: Arc<Notify>,
    readings: mpsc::Sender<Reading<K>>,
}

impl<K: Clone> Probing<K> {
    /// Until the receiver is gone.
    async fn run(self) {
        let mut due = self.schedule.grid_point_after(self.phase, now());
        loop {
            tokio::select! {
                () = sleep(due.since(now())) => {}
                () = self.probe_now.notified() => due = now(),
            }
            let (reading, in_doubt) = self.probe(due).await;
            let started = reading.started;
            if self.readings.send(reading).await.is_err() {
                return;
            }
            due = self.schedule.next(self.phase, due, started, now(), in_doubt);
        }
    }

    /// Probes once, and says whether the target is in doubt after that.
    async fn probe(&self, due: Moment) -> (Reading<K>, bool) {
        let started = now();
        let lost_before = self.stall.lost(started);
        let seen = probe_once(&self.target, self.source, self.schedule.timeout).await;
        let ended = now();
        let stood_still = self.stall.lost(ended).saturating_sub(lost_before);
        let took = ended.since(started);
        let evidence = self.believe(seen, started.since(due), took, stood_still);
        let in_doubt = !matches!(evidence, Evidence::Ok { .. });
        (Reading { target: self.key.clone(), evidence, started, took }, in_doubt)
    }

    /// Silence counts only if we listened. What was heard counts in any case.
    fn believe(&self, seen: Evidence, late: Duration, took: Duration, stood_still: Duration) -> Evidence {
        let limit = self.schedule.timeout;
        // On a runtime with several threads one may stand still while the watch, on another, does not.
        let stood_still = stood_still.max(took.saturating_sub(limit));
        match seen {
            Evidence::Silent if stood_still > limit / 2 => {
                Evidence::NotObserved { detail: format!("this node stood still for {stood_still:.0?} meanwhile") }
            }
            Evidence::Silent if late > limit => {
                Evidence::NotObserved { detail: format!("this node began the probe {late:.0?} too late") }
            }
            other => other,
        }
    }
}
