//! The fast way through a history leaves out only what changes nothing: in the slow way, and with brains that take no shortcuts, every
//! command of every brain is the same, at the same moment.

use lifeboat_control::Mutation;
use lifeboat_sim::history::{self, How, Kind};
use lifeboat_sim::world::Broke;

#[track_caller]
fn compare(seeds: std::ops::Range<u64>, how: How) {
    for seed in seeds {
        if let Some(difference) = history::difference(seed, &how) {
            panic!("seed {seed}, {how:?}: {difference}");
        }
    }
}

#[test]
fn trouble_is_the_same_both_ways() {
    for fleet in 0..6 {
        compare(0..20, How { fleet: Some(fleet), ..How::default() });
    }
}

#[test]
fn trouble_of_larger_fleets_is_the_same_both_ways() {
    compare(6..9, How::default());
}

#[test]
fn trouble_at_bad_moments_is_the_same_both_ways() {
    compare(0..18, How { kind: Kind::Provoked, ..How::default() });
}

#[test]
fn ordinary_life_is_the_same_both_ways() {
    compare(0..6, How { kind: Kind::Ordinary(1), fleet: Some(0), ..How::default() });
}

/// A promise that is broken is broken in both, at the same moment. (Some rules, broken, do something at every step, of which the fast
/// way has fewer: those are no use here.)
#[test]
fn what_is_broken_is_seen_both_ways() {
    let broke = Some(Broke::Brain(Mutation::SynchronousEarly));
    compare(0..20, How { broke, fleet: Some(0), ..How::default() });
}
