//! The one place where the drill reads a clock: the boot-time clock, the same that the nodes' journal entries carry.

use lifeboat_model::Moment;
use rustix::time::{ClockId, clock_gettime};

/// This moment.
pub(crate) fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    Moment(part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec))
}
