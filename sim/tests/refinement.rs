//! The link between the protocol's model, which is explored exhaustively, and the code that runs in production: what the simulated fleets
//! do, the model allows; and what a brain, a driver or a clock does that is broken on purpose, it does not.

use std::collections::BTreeMap;

use lifeboat_control::Mutation;
use lifeboat_sim::history::{self, How, Kind};
use lifeboat_sim::world::{Broke, Way};

const REFINED: How = How { kind: Kind::Trouble, way: Way::Fast, broke: None, fleet: None, refined: true };
/// By its place among [`lifeboat_sim::scenario::all`].
const ANY_1_OF_2: Option<usize> = Some(1);

#[test]
fn every_history_is_a_history_of_the_model() {
    let (mut explained, mut skipped) = (0, 0);
    let mut steps: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..28 {
        let followed = history::run(seed, &REFINED).unwrap_or_else(|failure| panic!("{failure}"));
        for refinement in followed.refinements {
            explained += refinement.explained;
            skipped += refinement.skipped;
            for (step, times) in refinement.steps {
                *steps.entry(step).or_default() += times;
            }
        }
    }
    println!("{explained} changes explained, {skipped} too wide to judge: {steps:?}");
    assert!(explained > 20_000 && skipped * 100 < explained, "{explained} explained, {skipped} skipped");
    for step in
        ["Write", "Receive", "Acknowledge", "Crash", "Start", "LeaseGone", "Transact", "Promote", "SetGate", "Follow"]
    {
        assert!(steps.contains_key(step), "no history has a step of the kind {step}: {steps:?}");
    }
}

/// Orders that rest on old news, and requests whose sender falls before they are carried out.
#[test]
fn faults_at_bad_moments_are_histories_of_the_model() {
    for seed in 0..10 {
        let how = How { kind: Kind::Provoked, ..REFINED };
        history::run(seed, &how).unwrap_or_else(|failure| panic!("{failure}"));
    }
    // A node that stood still promotes its server under an epoch that is over; and a writer falls just after it has asked for a change.
    for (fleet, seed) in [(8, 22), (5, 51), (8, 105)] {
        let how = How { kind: Kind::Provoked, fleet: Some(fleet), ..REFINED };
        history::run(seed, &how).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[test]
fn what_is_broken_on_purpose_is_no_history_of_the_model() {
    // The rule, the fleet in which it matters, and within how many histories the model has to notice.
    let table = [
        (Mutation::ClaimAny, None, 4),
        (Mutation::ConfirmBeforeOpen, None, 4),
        (Mutation::SynchronousEarly, None, 4),
        (Mutation::StopsOffByOne, ANY_1_OF_2, 6),
    ];
    for (mutation, fleet, seeds) in table {
        let how = How { broke: Some(Broke::Brain(mutation)), fleet, ..REFINED };
        let noticed = (0..seeds).find_map(|seed| history::run(seed, &how).err());
        let failure = noticed.unwrap_or_else(|| panic!("{mutation:?}: not noticed in {seeds} histories"));
        assert_eq!(failure.broken.promise, "protocol", "{mutation:?}: {failure}");
    }
}
