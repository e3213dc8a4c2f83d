//! The link between the protocol's model, which is explored exhaustively, and the code that runs in production: what the simulated fleets
//! do, the model allows.

use std::collections::BTreeMap;

use lifeboat_sim::history;

#[test]
fn every_history_is_a_history_of_the_model() {
    let (mut explained, mut skipped) = (0, 0);
    let mut steps: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..56 {
        let followed = history::run_refined(seed, None).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        for refinement in followed {
            explained += refinement.explained;
            skipped += refinement.skipped;
            for (step, times) in refinement.steps {
                *steps.entry(step).or_default() += times;
            }
        }
    }
    println!("{explained} changes explained, {skipped} too wide to judge: {steps:#?}");
}
