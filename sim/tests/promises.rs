//! The promises hold over many histories; and a brain, a driver or a clock that is broken on purpose is caught.

use std::sync::atomic::{AtomicUsize, Ordering};

use lifeboat_control::Mutation;
use lifeboat_sim::history::{self, Failure};
use lifeboat_sim::world::Broke;

/// Runs seeds on two threads until one fails or all are through. Returns the failure with the smallest seed seen.
fn hunt(seeds: Vec<u64>, broke: Option<Broke>) -> Option<Box<Failure>> {
    let next = AtomicUsize::new(0);
    let worker = || loop {
        let seed = *seeds.get(next.fetch_add(1, Ordering::Relaxed))?;
        if let Err(failure) = history::run(seed, broke) {
            next.store(seeds.len(), Ordering::Relaxed);
            return Some(failure);
        }
    };
    std::thread::scope(|scope| {
        let workers = [scope.spawn(worker), scope.spawn(worker)];
        workers
            .into_iter()
            .filter_map(|worker| worker.join().expect("a worker panicked"))
            .min_by_key(|failure| failure.seed)
    })
}

#[test]
fn a_thousand_histories_break_no_promise() {
    if let Some(failure) = hunt((0..1_000).collect(), None) {
        let failure = history::shrink(*failure, None);
        let faults: Vec<String> = failure.faults.iter().map(|(at, fault)| format!("{at}  {fault:?}")).collect();
        panic!(
            "seed {} ({}): {}\n{}\nreplay: cargo run -p lifeboat-sim -- --seed {} --trace",
            failure.seed,
            failure.scenario,
            failure.broken,
            faults.join("\n"),
            failure.seed
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let ends = |seed| {
        history::run(seed, None).map(|ended| (ended.steps, ended.claims, ended.acknowledged)).map_err(|f| f.broken)
    };
    assert_eq!(ends(3), ends(3));
    assert_ne!(ends(3), ends(10), "two seeds of one fleet differ");
}

/// The fleets of [`lifeboat_sim::scenario::all`], by the place that they have there.
const ANY: Option<u64> = None;
const ONE_SYNCHRONOUS: Option<u64> = Some(0);
const ANY_1_OF_2: Option<u64> = Some(1);
const ASYNCHRONOUS: Option<u64> = Some(3);

/// Each rule broken on purpose, the fleet in which that matters, within how many histories of it it has to be noticed, and as
/// which broken promise.
const BROKEN: [(Broke, Option<u64>, u64, &[&str]); 16] = [
    (Broke::Brain(Mutation::ClaimAny), ANY, 200, &["S1", "S2", "S5"]),
    (Broke::Brain(Mutation::ConfirmBeforeOpen), ANY, 100, &["S1", "S2", "S5"]),
    (Broke::Brain(Mutation::SynchronousEarly), ANY, 50, &["S2"]),
    (Broke::Brain(Mutation::AloneUnrecorded), ANY, 300, &["S1", "S2", "S5", "L1"]),
    (Broke::Brain(Mutation::ForceUnexpired), ASYNCHRONOUS, 1_000, &["S1", "S2", "S5"]),
    (Broke::Brain(Mutation::QuorumOfOne), ONE_SYNCHRONOUS, 300, &["S4"]),
    (Broke::Brain(Mutation::StopsOffByOne), ANY_1_OF_2, 600, &["S1", "S2", "S5"]),
    (Broke::Brain(Mutation::ConfirmPastLease), ASYNCHRONOUS, 600, &["S1", "S2", "S5"]),
    (Broke::Brain(Mutation::PromiseBroken), ASYNCHRONOUS, 3_000, &["S1", "S2", "S5"]),
    (Broke::Brain(Mutation::LossIgnored), ANY, 300, &["S3"]),
    (Broke::Brain(Mutation::Unjournaled), ANY, 10, &["A1"]),
    (Broke::Brain(Mutation::Unlinked), ANY, 10, &["A1"]),
    (Broke::Brain(Mutation::OldWriterStays), ANY, 300, &["L1", "S1", "S2"]),
    (Broke::DriverIgnoresEpoch, ANY, 400, &["S5", "S1", "S2"]),
    (Broke::GateIgnoresTime, ASYNCHRONOUS, 600, &["S1", "S2", "S5"]),
    (Broke::LeaseTooShort, ASYNCHRONOUS, 400, &["S1", "S2", "S5"]),
];

#[test]
fn whatever_is_broken_on_purpose_is_caught() {
    let mut missed = Vec::new();
    for (broke, fleet, histories, promises) in BROKEN {
        let seeds = (0..histories)
            .map(|n| fleet.map_or(n, |place| n * lifeboat_sim::scenario::all().len() as u64 + place))
            .collect();
        match hunt(seeds, Some(broke)) {
            Some(failure) => {
                eprintln!("{broke:?}: seed {}: {}", failure.seed, failure.broken);
                if !promises.contains(&failure.broken.promise) {
                    missed.push(format!("{broke:?} was noticed as {}, expected one of {promises:?}", failure.broken));
                }
            }
            None => missed.push(format!("{broke:?} was not noticed in {histories} histories")),
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
