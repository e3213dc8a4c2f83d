//! Notices when this process did not run: stopped, starved of CPU, or suspended with its machine.
//!
//! Silence during such a time says nothing about a target, for its answer may lie unread in our own socket.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lifeboat_model::Moment;
use tokio::time::sleep;

use crate::clock::now;

/// How often the watch looks at the clock.
const TICK: Duration = Duration::from_millis(20);

/// The sum of the times for which this process stood still.
#[derive(Debug)]
pub(crate) struct StallWatch {
    /// In nanoseconds.
    total: AtomicU64,
    last_tick: AtomicU64,
}

impl StallWatch {
    pub(crate) fn new() -> Self {
        Self { total: AtomicU64::new(0), last_tick: AtomicU64::new(now().0) }
    }

    /// Runs until it is aborted.
    pub(crate) async fn run(&self) {
        loop {
            sleep(TICK).await;
            self.tick(now());
        }
    }

    /// All the time lost up to `now`, an interruption that no tick has seen yet included.
    pub(crate) fn lost(&self, now: Moment) -> Duration {
        let last_tick = Moment(self.last_tick.load(Ordering::Acquire));
        Duration::from_nanos(self.total.load(Ordering::Acquire)) + excess(now.since(last_tick))
    }

    fn tick(&self, now: Moment) {
        let last_tick = Moment(self.last_tick.load(Ordering::Acquire));
        let lost = u64::try_from(excess(now.since(last_tick)).as_nanos()).unwrap_or(u64::MAX);
        // In this order a reader in between counts the interruption twice, once it might miss it in the other.
        self.total.fetch_add(lost, Ordering::AcqRel);
        self.last_tick.store(now.0, Ordering::Release);
    }
}

/// Of the time between two ticks, what is more than the ordinary lateness of timers.
fn excess(between: Duration) -> Duration {
    if between > 2 * TICK { between - TICK } else { Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interruptions_are_counted_once_and_lateness_is_not() {
        let watch = StallWatch::new();
        let ms = Duration::from_millis;
        let start = now();
        watch.tick(start);
        let before = watch.lost(start);
        for late in 1..10 {
            watch.tick(start + ms(late * 30));
        }
        let end = start + ms(270);
        assert_eq!(watch.lost(end) - before, Duration::ZERO);
        assert_eq!(watch.lost(end + ms(520)) - before, ms(500), "before the next tick");
        watch.tick(end + ms(520));
        assert_eq!(watch.lost(end + ms(530)) - before, ms(500), "after it");
    }
}
