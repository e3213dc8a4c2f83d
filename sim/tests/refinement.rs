//! The link between the protocol's model, which is explored exhaustively, and the code that runs in production: what the simulated fleets
//! do, the model allows; and what a brain, a driver or a clock does that is broken on purpose, it does not.

use std::collections::BTreeMap;

use lifeboat_control::Mutation;
use lifeboat_sim::check::Broken;
use lifeboat_sim::history::{self, How, Record};
use lifeboat_sim::refinement::Refinement;
use lifeboat_sim::scenario;
use lifeboat_sim::world::Broke;

/// Plays a seed and follows what the model has room for; or the broken promise, `protocol` where a change follows from no rule.
fn follow(seed: u64, how: &How) -> Result<Vec<Refinement>, Broken> {
    let fleet = scenario::of_seed(seed, how.fleet);
    let incidents = history::draw(seed, &fleet, how.kind);
    let mut record = Record { refinements: Some(Vec::new()), ..Record::default() };
    history::play(&fleet, seed, how, &incidents, &mut record)?;
    Ok(record.refinements.unwrap_or_default())
}

#[test]
fn every_history_is_a_history_of_the_model() {
    let (mut explained, mut skipped) = (0, 0);
    let mut steps: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..28 {
        let followed = follow(seed, &How::default()).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        for refinement in followed {
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

#[test]
fn what_is_broken_on_purpose_is_no_history_of_the_model() {
    // The rule, and within how many histories the model has to notice.
    for (mutation, seeds) in
        [(Mutation::ClaimAny, 4), (Mutation::ConfirmBeforeOpen, 4), (Mutation::SynchronousEarly, 4)]
    {
        let how = How { broke: Some(Broke::Brain(mutation)), ..How::default() };
        let noticed = (0..seeds).find_map(|seed| follow(seed, &how).err());
        let broken = noticed.unwrap_or_else(|| panic!("{mutation:?}: not noticed in {seeds} histories"));
        assert_eq!(broken.promise, "protocol", "{mutation:?}: {broken}");
    }
}
