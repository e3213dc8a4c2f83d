//! Fault schedules from a seed: a few faults, when each begins and how long it lasts. Pure; the same seed is the same schedule.

use std::fmt;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// A region by what it is when the fault begins, so that a schedule hits what matters wherever writing has moved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The region that writes.
    Writer,
    /// The first of the other regions that keep data.
    Standby,
    /// The one that is left: a witness, or the second standby.
    Third,
}

/// A process of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its node.
    Node,
    /// Its PostgreSQL, all processes.
    Database,
    /// Its member of etcd.
    Etcd,
}

/// What goes wrong. Processes that are killed are started again, and those that stand still go on, when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing gets from this region to the others, nor from them to it.
    CutOff(Who),
    /// Nothing gets from this region to the others.
    Mute(Who),
    /// Nothing gets from the others to this region.
    Deaf(Who),
    /// Nothing gets from one of these to the other.
    CutBetween(Who, Who),
    /// Cut off and not, in turns of some tenths of a second.
    Flap(Who),
    /// Its links are slow and lose packets.
    Slow(Who),
    /// Stands still (SIGSTOP).
    Stop(Who, Part),
    /// Killed.
    Kill(Who, Part),
    /// The whole region is killed.
    KillRegion(Who),
    /// Every process of every region is killed at once; the regions are started in this order.
    KillEverything([Who; 3]),
}

/// A fault of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// When it begins, from the beginning of the schedule.
    pub at: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// What.
    pub fault: Fault,
}

/// A few faults, by their beginnings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// What it was drawn from.
    pub seed: u64,
    /// At least one.
    pub steps: Vec<Step>,
}

/// The most faults of one schedule.
const STEPS: u64 = 3;
/// They begin within this time.
const BEGIN_WITHIN_MS: u64 = 4000;
/// Each lasts between so long …
const LASTS_AT_LEAST_MS: u64 = 300;
/// … and so long: beyond a lease and the detection of silence.
const LASTS_AT_MOST_MS: u64 = 6500;

impl Schedule {
    /// The schedule of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut draw = Draw(ChaCha8Rng::seed_from_u64(seed));
        let mut steps: Vec<Step> = (0..=draw.below(STEPS))
            .map(|_| Step {
                at: Duration::from_millis(draw.below(BEGIN_WITHIN_MS)),
                lasts: Duration::from_millis(LASTS_AT_LEAST_MS + draw.below(LASTS_AT_MOST_MS - LASTS_AT_LEAST_MS)),
                fault: draw.fault(),
            })
            .collect();
        steps.sort_by_key(|step| step.at);
        Self { seed, steps }
    }

    /// When the last of its faults is over, from its beginning.
    pub fn ends(&self) -> Duration {
        self.steps.iter().map(|step| step.at + step.lasts).max().unwrap_or_default()
    }
}

struct Draw(ChaCha8Rng);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0.next_u64() % limit
    }

    /// More often the writer, whose faults matter most.
    fn who(&mut self) -> Who {
        [Who::Writer, Who::Writer, Who::Standby, Who::Third][self.index(4)]
    }

    fn index(&mut self, limit: usize) -> usize {
        usize::try_from(self.below(limit as u64)).unwrap_or(0)
    }

    fn part(&mut self) -> Part {
        [Part::Node, Part::Database, Part::Etcd][self.index(3)]
    }

    fn fault(&mut self) -> Fault {
        match self.below(16) {
            0..3 => Fault::CutOff(self.who()),
            3..5 => Fault::Mute(self.who()),
            5..7 => Fault::Deaf(self.who()),
            7..9 => {
                let pairs = [(Who::Writer, Who::Standby), (Who::Writer, Who::Third), (Who::Standby, Who::Third)];
                let (one, other) = pairs[self.index(3)];
                Fault::CutBetween(one, other)
            }
            9 => Fault::Flap(self.who()),
            10 => Fault::Slow(self.who()),
            11..13 => Fault::Stop(self.who(), self.part()),
            13 => Fault::Kill(self.who(), self.part()),
            14 => Fault::KillRegion(self.who()),
            _ => {
                let mut order = [Who::Writer, Who::Standby, Who::Third];
                order.rotate_left(self.index(3));
                if self.below(2) == 0 {
                    order.swap(1, 2);
                }
                Fault::KillEverything(order)
            }
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}", self.seed)?;
        for step in &self.steps {
            write!(f, "\n  {step}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s, for {:.3} s: {}", self.at.as_secs_f64(), self.lasts.as_secs_f64(), self.fault)
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Writer => "the writer's region",
            Self::Standby => "the standby's region",
            Self::Third => "the third region",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |part: &Part| match part {
            Part::Node => "node",
            Part::Database => "PostgreSQL",
            Part::Etcd => "etcd",
        };
        match self {
            Self::CutOff(who) => write!(f, "{who} is cut off from the others"),
            Self::Mute(who) => write!(f, "nothing gets out of {who}"),
            Self::Deaf(who) => write!(f, "nothing gets into {who}"),
            Self::CutBetween(one, other) => write!(f, "{one} and {other} do not reach each other"),
            Self::Flap(who) => write!(f, "{who} is cut off and not, in turns"),
            Self::Slow(who) => write!(f, "{who} has slow links that lose packets"),
            Self::Stop(who, what) => write!(f, "{} of {who} stands still", part(what)),
            Self::Kill(who, what) => write!(f, "{} of {who} is killed", part(what)),
            Self::KillRegion(who) => write!(f, "{who} is killed"),
            Self::KillEverything([first, second, third]) => {
                write!(f, "everything is killed at once and started again: {first}, {second}, {third}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_is_always_the_same_schedule_and_another_one_another() {
        assert_eq!(Schedule::draw(7), Schedule::draw(7));
        let different: BTreeSet<String> = (0..100).map(|seed| format!("{:?}", Schedule::draw(seed).steps)).collect();
        assert_eq!(different.len(), 100);
    }

    #[test]
    fn a_hundred_schedules_have_every_kind_of_fault_and_are_bounded() {
        let kind = |fault: &Fault| format!("{fault:?}").split('(').next().map(str::to_owned);
        let kinds: BTreeSet<_> =
            (0..100).flat_map(|seed| Schedule::draw(seed).steps).map(|step| kind(&step.fault)).collect();
        assert_eq!(kinds.len(), 10, "{kinds:?}");
        for seed in 0..1000 {
            let schedule = Schedule::draw(seed);
            assert!((1..=3).contains(&schedule.steps.len()));
            assert!(schedule.ends() <= Duration::from_millis(BEGIN_WITHIN_MS + LASTS_AT_MOST_MS), "{schedule}");
        }
    }
}
