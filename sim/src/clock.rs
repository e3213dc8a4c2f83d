//! A machine's clocks: one that runs a little too fast or too slow and never jumps, and a wall clock that does.

use lifeboat_control::Clock;
use lifeboat_model::Moment;

/// The clocks of one machine.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clocks {
    /// When the rate was changed last, by the world's time and by this machine's.
    since: (Moment, Moment),
    /// How much too fast it runs, in parts of 2^20.
    rate: i64,
    /// How far the wall clock is off, in milliseconds.
    pub wall_off: i64,
}

const UNIT: u32 = 20;

impl Clocks {
    /// From `now` on the clock runs by so many parts in a million too fast.
    pub fn set_drift(&mut self, now: Moment, parts_per_million: i64) {
        self.since = (now, self.read(now).now);
        self.rate = (parts_per_million << UNIT) / 1_000_000;
    }

    /// What the clocks show at a moment of the world's time.
    pub fn read(&self, world: Moment) -> Clock {
        let passed = world.0 - self.since.0.0;
        let off = (i128::from(passed) * i128::from(self.rate)) >> UNIT;
        let now = Moment((i128::from(self.since.1.0 + passed) + off).try_into().unwrap_or(0));
        Clock { now, unix_ms: (world.0 / 1_000_000).saturating_add_signed(self.wall_off) }
    }

    /// The first moment of the world's time at which the clock shows `local` or later.
    pub fn when(&self, local: Moment) -> Moment {
        let wanted = local.0.saturating_sub(self.since.1.0);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a guess that is put right below"
        )]
        let guess = (wanted as f64 / (1.0 + self.rate as f64 / f64::from(1 << UNIT))) as u64;
        let mut world = Moment(self.since.0.0 + guess);
        while self.read(world).now < local {
            world.0 += 1;
        }
        while world > self.since.0 && self.read(Moment(world.0 - 1)).now >= local {
            world.0 -= 1;
        }
        world
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_is_the_first_moment_that_reads_so() {
        for drift in [-45_000, -1, 0, 7, 20_000] {
            let mut clocks = Clocks::default();
            clocks.set_drift(Moment(1_000), drift);
            for local in [1_001, 5_000_000, 3_600_000_000_123, 86_400_000_000_000] {
                let world = clocks.when(Moment(local));
                assert!(clocks.read(world).now >= Moment(local), "{drift} {local}");
                assert!(clocks.read(Moment(world.0 - 1)).now < Moment(local), "{drift} {local}");
            }
        }
    }
}
