//! When a target is probed next: plain arithmetic.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use lifeboat_model::Moment;

/// No target is asked more often than this while in doubt.
const SHORTEST_IN_DOUBT: Duration = Duration::from_millis(20);
/// Shorter periods would be rounded by the timer, which counts milliseconds.
const SHORTEST_PERIOD: Duration = Duration::from_millis(1);

/// How often a target is probed, and for how long an answer is awaited.
///
/// Probes start on a grid of `every` whose offset is a hash of the target: many targets spread evenly, and do so
/// again after a restart. A grid point that was missed is left out, never made up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// From one probe to the next while all is well.
    pub every: Duration,
    /// For connection and answer together.
    pub timeout: Duration,
    /// From the start of one probe to that of the next while the last one was not [`crate::Evidence::Ok`]; a
    /// probe that takes longer is followed by the next at once.
    pub in_doubt: Duration,
    /// Each probe on the grid is delayed by up to this, so that it meets nothing that has the same period twice
    /// in a row. At most half of `every` counts.
    pub jitter: Duration,
}

impl Schedule {
    /// With a tenth of `every` while in doubt, but not less than 20 ms (nor more than `every`), and a twentieth of it
    /// as jitter.
    #[must_use]
    pub fn new(every: Duration, timeout: Duration) -> Self {
        Self { every, timeout, in_doubt: (every / 10).max(SHORTEST_IN_DOUBT).min(every), jitter: every / 20 }
    }

    /// The offset of a target's grid.
    pub(crate) fn phase(&self, target: &impl Hash) -> Duration {
        Duration::from_nanos(hash(target) % nanoseconds(self.period()))
    }

    /// When to probe next. `due` is when the last probe was to start, `started` when it did; `now` is not before it
    /// ended.
    pub(crate) fn next(&self, phase: Duration, due: Moment, started: Moment, now: Moment, in_doubt: bool) -> Moment {
        let regular = self.grid_point_after(phase, now.max(due));
        if in_doubt { (started + self.in_doubt.max(SHORTEST_PERIOD)).max(now).min(regular) } else { regular }
    }

    /// The first grid point behind `moment`, delayed by its jitter.
    pub(crate) fn grid_point_after(&self, phase: Duration, moment: Moment) -> Moment {
        let (every, phase) = (nanoseconds(self.period()), nanoseconds(phase));
        let index = match moment.0.checked_sub(phase) {
            Some(since) => since / every + 1,
            None => 0,
        };
        let jitter = nanoseconds(self.jitter.min(self.period() / 2));
        let delay = if jitter == 0 { 0 } else { hash(&(phase, index)) % jitter };
        Moment(index.saturating_mul(every).saturating_add(phase).saturating_add(delay))
    }

    fn period(&self) -> Duration {
        self.every.max(SHORTEST_PERIOD)
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(millis: u64) -> Moment {
        Moment(millis * 1_000_000)
    }

    fn even() -> Schedule {
        Schedule { jitter: Duration::ZERO, ..Schedule::new(200 * MS, 400 * MS) }
    }

    #[test]
    fn the_defaults_are_bounded() {
        for (every, in_doubt) in [(1000, 100), (200, 20), (50, 20), (10, 10)] {
            assert_eq!(Schedule::new(every * MS, MS).in_doubt, in_doubt * MS, "every {every} ms");
        }
    }

    #[test]
    fn the_next_probe_is_at_the_right_time() {
        let phase = 70 * MS;
        for (what, due, started, now, in_doubt, expected) in [
            ("all is well", 1070, 1071, 1075, false, 1270),
            ("exactly on the grid", 1070, 1070, 1270, false, 1470),
            ("woken a little before it was due", 1070, 1069, 1069, false, 1270),
            ("in doubt", 1070, 1071, 1075, true, 1091),
            ("in doubt, and slow", 1070, 1071, 1100, true, 1100),
            ("in doubt, the grid comes first", 1070, 1260, 1262, true, 1270),
            ("after a stall of many periods: one probe", 1070, 9000, 9001, false, 9070),
            ("after a probe of many periods: one probe", 1070, 1071, 9001, false, 9070),
        ] {
            let next = even().next(phase, at(due), at(started), at(now), in_doubt);
            assert_eq!(next, at(expected), "{what}");
        }
        assert_eq!(even().grid_point_after(phase, at(3)), at(70), "before the first grid point");
    }

    #[test]
    fn many_targets_load_every_moment_alike() {
        let schedule = even();
        let mut tenths = [0; 10];
        for target in 0..10_000 {
            tenths[(schedule.phase(&target).as_millis() / 20) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (850..1150).contains(count)), "{tenths:?}");
    }

    #[test]
    fn jitter_delays_and_never_skips_or_doubles() {
        let schedule = Schedule { jitter: 500 * MS, ..even() };
        let (mut last, mut delays) = (Moment(0), std::collections::BTreeSet::new());
        for index in 0..1000 {
            let next = schedule.grid_point_after(70 * MS, last);
            let delay = next.since(at(70 + 200 * index));
            assert!(next > last && delay < 100 * MS, "{index}: {next}, {delay:?}");
            delays.insert(delay);
            last = next;
        }
        assert!(delays.len() > 900, "{} different delays", delays.len());
    }

    #[test]
    fn no_figure_stops_or_breaks_it() {
        for duration in [Duration::ZERO, Duration::MAX] {
            let schedule = Schedule { every: duration, timeout: duration, in_doubt: duration, jitter: duration };
            let phase = schedule.phase(&"target");
            for in_doubt in [false, true] {
                assert!(schedule.next(phase, at(5), at(5), at(5), in_doubt) > at(5));
            }
        }
    }
}
