//! This machine's clock, as [`Moment`]s.

use lifeboat_model::Moment;
use rustix::time::{ClockId, clock_gettime};

/// Now, by the clock that also counts while the machine is suspended.
pub(crate) fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    Moment(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
}
