//! The promises hold over many histories; and a brain, a driver or a clock that is broken on purpose is caught.

use std::sync::atomic::{AtomicU64, Ordering};

use lifeboat_control::Mutation;
use lifeboat_sim::history::{self, Failure};
use lifeboat_sim::world::Broke;

/// Runs seeds on two threads until one fails or all are through. Returns the failure with the smallest seed seen.
fn hunt(seeds: std::ops::Range<u64>, broke: Option<Broke>) -> Option<Box<Failure>> {
    let next = AtomicU64::new(seeds.start);
    let worker = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds.end {
            return None;
        }
        if let Err(failure) = history::run(seed, broke) {
            next.store(seeds.end, Ordering::Relaxed);
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
    if let Some(failure) = hunt(0..1_000, None) {
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

/// Each rule broken on purpose, and within how many seeds that has to be noticed.
const BROKEN: [(Broke, u64, &[&str]); 15] = [
    (Broke::Brain(Mutation::ClaimAny), 200, &["S1", "S2", "S5"]),
    (Broke::Brain(Mutation::ConfirmBeforeOpen), 200, &["S1", "S2", "S5"]),
    (Broke::Brain(Mutation::SynchronousEarly), 200, &["S2"]),
    (Broke::Brain(Mutation::AloneUnrecorded), 300, &["S1", "S2", "S5", "L1"]),
    (Broke::Brain(Mutation::ForceUnexpired), 300, &["S1", "S2", "S3", "S5"]),
    (Broke::Brain(Mutation::QuorumOfOne), 300, &["S4"]),
    (Broke::Brain(Mutation::AllDarkActs), 300, &["S4"]),
    (Broke::Brain(Mutation::StopsOffByOne), 300, &["S1", "S2", "S5"]),
    (Broke::Brain(Mutation::ConfirmPastLease), 300, &["S1", "S5", "S3"]),
    (Broke::Brain(Mutation::LossIgnored), 300, &["S3"]),
    (Broke::Brain(Mutation::Unjournaled), 20, &["A1"]),
    (Broke::Brain(Mutation::OldWriterStays), 300, &["L1", "S1", "S2"]),
    (Broke::DriverIgnoresEpoch, 300, &["S5", "S1", "S2"]),
    (Broke::GateIgnoresTime, 300, &["S1", "S5"]),
    (Broke::LeaseTooShort, 300, &["S1", "S5"]),
];

#[test]
fn whatever_is_broken_on_purpose_is_caught() {
    let mut missed = Vec::new();
    for (broke, seeds, promises) in BROKEN {
        match hunt(0..seeds, Some(broke)) {
            Some(failure) => {
                eprintln!("{broke:?}: seed {}: {}", failure.seed, failure.broken);
                if !promises.contains(&failure.broken.promise) {
                    missed.push(format!("{broke:?} was noticed as {}, expected one of {promises:?}", failure.broken));
                }
            }
            None => missed.push(format!("{broke:?} was not noticed in {seeds} seeds")),
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
