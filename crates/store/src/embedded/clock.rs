//! The clock of leases: it counts while the machine is suspended, and is told apart from that of another boot.

use lifeboat_model::Moment;
use rustix::time::{ClockId, clock_gettime};

use crate::{Error, Executed, Result};

/// This boot's clock.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    boot: String,
}

impl Clock {
    /// Reads which boot this is.
    pub(super) fn of_this_boot() -> Result<Self> {
        const PATH: &str = "/proc/sys/kernel/random/boot_id";
        let boot = std::fs::read_to_string(PATH)
            .map_err(|error| Error::Unreachable { executed: Executed::No, why: format!("{PATH}: {error}") })?;
        Ok(Self { boot: boot.trim().to_owned() })
    }

    /// The kernel's random identifier of this boot.
    pub(super) fn boot(&self) -> &str {
        &self.boot
    }

    /// What the clock says.
    pub(super) fn now(&self) -> Moment {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Moment(seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0))
    }
}
