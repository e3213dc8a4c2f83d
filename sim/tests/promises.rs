//! The promises hold over many histories; and a brain, a driver or a clock that is broken on purpose is caught.

use std::sync::atomic::{AtomicUsize, Ordering};

use lifeboat_control::Mutation;
use lifeboat_sim::history::{self, Failure, How, Kind};
use lifeboat_sim::shrink;
use lifeboat_sim::world::{Broke, Way};

/// Runs seeds on two threads until one fails or all are through. Returns the failure with the smallest seed seen.
fn hunt(seeds: std::ops::Range<u64>, how: &How) -> Option<Box<Failure>> {
    let seeds: Vec<u64> = seeds.collect();
    let next = AtomicUsize::new(0);
    let worker = || loop {
        let seed = *seeds.get(next.fetch_add(1, Ordering::Relaxed))?;
        if let Err(failure) = history::run(seed, how) {
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

fn hold(seeds: std::ops::Range<u64>, how: &How) {
    if let Some(failure) = hunt(seeds, how) {
        let failure = shrink::shrink(*failure, how);
        panic!("{failure}\nreplay: cargo run -p lifeboat-sim -- --seed {} --trace ({how:?})", failure.seed);
    }
}

#[test]
fn a_thousand_histories_of_trouble_break_no_promise() {
    hold(0..1_000, &How::default());
}

#[test]
fn faults_at_bad_moments_break_no_promise() {
    hold(0..500, &PROVOKED);
}

/// Histories that stood still for ever, or nearly so: what they need is too rare for the seeds above.
#[test]
fn nobody_waits_for_somebody_who_will_not_come() {
    // A standby is promoted and dies before its epoch is open; who claims next waits for it, and no node has seen the epoch come.
    hold(1_677..1_678, &How { fleet: ANY_1_OF_2, ..PROVOKED });
    // A holder claims; a standby that has followed somebody whose epoch was never opened seems to have more, and claims in its turn.
    hold(1_168..1_169, &How { fleet: STOPS, ..PROVOKED });
}

/// Two halves of a fleet that reach the store and not each other: each sees the other down.
#[test]
fn regions_that_are_both_seen_down_do_not_take_it_from_each_other() {
    let ended =
        history::run(43, &How { fleet: ANY_1_OF_2, ..How::default() }).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(ended.claims <= 10, "{} epochs in two minutes", ended.claims);
}

#[test]
fn a_thousand_hours_of_ordinary_life_break_no_promise() {
    hold(0..45, &How { kind: Kind::Ordinary(24), ..How::default() });
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let ends = |seed| {
        history::run(seed, &How::default())
            .map(|ended| (ended.steps, ended.claims, ended.acknowledged))
            .map_err(|failure| failure.broken)
    };
    assert_eq!(ends(3), ends(3));
    assert_ne!(ends(3), ends(12), "two seeds of one fleet differ");
}

/// The fleets of [`lifeboat_sim::scenario::all`], by the place that they have there.
const ANY: Option<usize> = None;
const ONE_SYNCHRONOUS: Option<usize> = Some(0);
const ANY_1_OF_2: Option<usize> = Some(1);
const ASYNCHRONOUS: Option<usize> = Some(3);
const SYNCHRONOUS_AND_ASYNCHRONOUS: Option<usize> = Some(5);
const TWO_ASYNCHRONOUS: Option<usize> = Some(7);
const STOPS: Option<usize> = Some(8);
const PROVOKED: How = How { kind: Kind::Provoked, way: Way::Fast, broke: None, fleet: ANY, refined: false };

/// Each rule broken on purpose, the fleet in which that matters, within how many histories of it it has to be noticed, and as
/// which broken promise.
const BROKEN: [(Broke, Option<usize>, u64, &[&str]); 19] = [
    (Broke::Brain(Mutation::ClaimAny), ANY, 300, &["S1", "S2", "S5"]),
    (Broke::Brain(Mutation::ConfirmBeforeOpen), ANY, 300, &["S1", "S2", "S5"]),
    (Broke::Brain(Mutation::SynchronousEarly), ANY, 50, &["S2"]),
    (Broke::Brain(Mutation::AloneUnrecorded), ANY, 300, &["S1", "S2", "S5", "L1"]),
    (Broke::Brain(Mutation::ForceUnexpired), ASYNCHRONOUS, 1_000, &["S1", "S2", "S5"]),
    (Broke::Brain(Mutation::QuorumOfOne), ONE_SYNCHRONOUS, 300, &["S4"]),
    (Broke::Brain(Mutation::StopsOffByOne), ANY_1_OF_2, 600, &["S1", "S2", "S5"]),
    (Broke::Brain(Mutation::ConfirmPastLease), ASYNCHRONOUS, 600, &["S1", "S2", "S5"]),
    (Broke::Brain(Mutation::LossIgnored), ANY, 300, &["S3"]),
    (Broke::Brain(Mutation::Unjournaled), ANY, 10, &["A1"]),
    (Broke::Brain(Mutation::Unlinked), ANY, 10, &["A1"]),
    (Broke::Brain(Mutation::OldWriterStays), ANY, 300, &["L1", "S1", "S2"]),
    (Broke::Brain(Mutation::PromiseBroken), ASYNCHRONOUS, 3_000, &["S1", "S2", "S5"]),
    (Broke::Brain(Mutation::OnePromiseEnough), TWO_ASYNCHRONOUS, 3_000, &["S1", "S2", "S5"]),
    (Broke::Brain(Mutation::CopyEverywhere), ANY, 10, &["S6"]),
    (Broke::Brain(Mutation::AllDarkIsDown), ONE_SYNCHRONOUS, 300, &["S4"]),
    (Broke::DriverIgnoresEpoch, ANY, 400, &["S5", "S1", "S2"]),
    (Broke::GateIgnoresTime, ASYNCHRONOUS, 600, &["S1", "S2", "S5"]),
    (Broke::LeaseTooShort, ASYNCHRONOUS, 400, &["S1", "S2", "S5"]),
];

/// The same where faults have to come at bad moments for it to matter.
const BROKEN_AT_BAD_MOMENTS: [(Broke, Option<usize>, u64, &[&str]); 2] = [
    (Broke::Brain(Mutation::AlsoUnfenced), SYNCHRONOUS_AND_ASYNCHRONOUS, 1_000, &["S1", "S2", "S5"]),
    (Broke::Brain(Mutation::MostDataIgnored), ANY_1_OF_2, 1_500, &["S2"]),
];

#[test]
fn whatever_is_broken_on_purpose_is_caught() {
    let chance = BROKEN.iter().map(|row| (How::default(), row));
    let bad_moments = BROKEN_AT_BAD_MOMENTS.iter().map(|row| (PROVOKED, row));
    let mut missed = Vec::new();
    for (how, &(broke, fleet, histories, promises)) in chance.chain(bad_moments) {
        let how = How { broke: Some(broke), fleet, ..how };
        match hunt(0..histories, &how) {
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

/// L2 is asked where nothing else is wrong, which trouble leaves no time for.
#[test]
fn a_writer_that_stops_without_the_store_is_caught() {
    let broke = Some(Broke::Brain(Mutation::StopsWithoutStore));
    let how = How { kind: Kind::Ordinary(24), broke, fleet: ONE_SYNCHRONOUS, ..How::default() };
    let failure = hunt(0..30, &how).expect("it is noticed");
    assert_eq!(failure.broken.promise, "L2", "{failure}");
}

/// What is needed to break a promise is little, and it breaks the same promise again.
#[test]
fn a_failure_is_shrunk_to_what_is_needed() {
    let how = How { broke: Some(Broke::Brain(Mutation::SynchronousEarly)), ..How::default() };
    let failure = *hunt(0..50, &how).expect("it is noticed");
    let (seed, promise, before) = (failure.seed, failure.broken.promise, failure.incidents.len());
    let shrunk = shrink::shrink(failure, &how);
    assert_eq!(shrunk.broken.promise, promise);
    assert!(shrunk.incidents.len() <= 3.min(before), "{shrunk}");
    let fleet = lifeboat_sim::scenario::of_seed(seed, how.fleet);
    let again = history::play(&fleet, seed, &how, &shrunk.incidents, &mut history::Record::default());
    assert_eq!(again.err(), Some(shrunk.broken));
}
