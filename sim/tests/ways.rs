//! The fast way through a history leaves out only what changes nothing: the slow way comes to the same end, by the same decisions at the
//! same moments, and so does a brain without its shortcuts.

#![allow(clippy::unwrap_used, reason = "a test may")]

use lifeboat_sim::history::{self, How, Kind, Record};
use lifeboat_sim::scenario;
use lifeboat_sim::world::Way;

/// How a history ends, and everything that was decided in it.
fn decided(seed: u64, how: &How) -> (String, Vec<String>) {
    let fleet = scenario::of_seed(seed, how.fleet);
    let incidents = history::draw(seed, &fleet, how.kind);
    let mut record = Record { decisions: Some(Vec::new()), ..Record::default() };
    let end = match history::play(&fleet, seed, how, &incidents, &mut record) {
        Ok(ended) => format!("{} epochs, {} writes", ended.claims, ended.acknowledged),
        Err(broken) => broken.promise.to_owned(),
    };
    (end, record.decisions.unwrap())
}

fn compare(seeds: std::ops::Range<u64>, kind: Kind) -> usize {
    let mut decisions = 0;
    for seed in seeds {
        let fast = decided(seed, &How { kind, ..How::default() });
        let slow = decided(seed, &How { kind, way: Way::Slow, ..How::default() });
        let differ = fast.1.iter().zip(&slow.1).find(|(fast, slow)| fast != slow);
        assert_eq!(differ, None, "seed {seed}: the first difference, fast and slow");
        assert_eq!((fast.0, fast.1.len()), (slow.0, slow.1.len()), "seed {seed}");
        decisions += fast.1.len();
    }
    decisions
}

#[test]
fn trouble_is_the_same_both_ways() {
    assert!(compare(0..120, Kind::Trouble) > 5_000);
}

#[test]
fn ordinary_life_is_the_same_both_ways() {
    assert!(compare(0..9, Kind::Ordinary(1)) > 300);
}

/// A promise that is broken is broken in both.
#[test]
fn what_is_broken_is_seen_both_ways() {
    use lifeboat_control::Mutation;
    use lifeboat_sim::world::Broke;
    let mut broken = 0;
    for seed in 0..60 {
        let how = How { broke: Some(Broke::Brain(Mutation::ClaimAny)), ..How::default() };
        let fast = history::run(seed, &how).map_err(|failure| failure.broken.promise).is_err();
        let slow = history::run(seed, &How { way: Way::Slow, ..how }).map_err(|failure| failure.broken.promise).is_err();
        assert_eq!(fast, slow, "seed {seed}");
        broken += usize::from(fast);
    }
    assert!(broken > 2, "{broken} of 60 broke a promise");
}
