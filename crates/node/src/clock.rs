//! The one place where a node reads clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use lifeboat_control::Clock;
use lifeboat_model::Moment;
use rustix::time::{ClockId, clock_gettime};

/// The clocks as they are now.
pub fn now() -> Clock {
    let boot = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(boot.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(boot.tv_nsec).unwrap_or(0);
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Clock { now: Moment(seconds * 1_000_000_000 + nanos), unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX) }
}
