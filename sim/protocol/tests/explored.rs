//! Every state that small worlds can reach keeps every promise; and each rule, broken on purpose, breaks one.
//!
//! Larger worlds are explored by hand: `cargo run --release -p lifeboat-protocol -- --help`.

use lifeboat_protocol::config::{Config, Mutation, Opening};
use lifeboat_protocol::explore::explore;
use lifeboat_protocol::rules::Protocol;

/// Explores all of a world. `least`: as many states as there have to be, so that a rule that no longer lets anything happen is noticed.
fn holds(config: Config, least: usize) {
    let explored = explore(&Protocol::new(config), usize::MAX);
    if let Some((broken, way)) = explored.broken {
        let way: Vec<String> = way.iter().map(ToString::to_string).collect();
        panic!("{broken}\n  {}", way.join("\n  "));
    }
    assert!(explored.states >= least, "only {} states can be reached; there were at least {least}", explored.states);
}

/// Two regions, the second synchronous.
fn two() -> Config {
    Config::new(2)
}

/// Three regions, one of two standbys confirms, nobody crashes.
fn three() -> Config {
    Config { writes: 1, crashes: 0, restarts: 0, losses: 0, promises: false, ..Config::new(3) }
}

#[test]
fn two_regions_with_crashes_restarts_and_lost_answers() {
    holds(two(), 5_000_000);
}

#[test]
fn two_regions_that_open_behind_peers() {
    holds(Config { opening: Opening::BehindPeers, ..two() }, 3_000_000);
}

#[test]
fn any_one_of_two() {
    holds(three(), 2_500_000);
}

#[test]
fn two_of_two() {
    holds(Config { confirmations: 2, ..three() }, 2_800_000);
}

#[test]
fn three_regions_that_open_behind_peers() {
    holds(Config { opening: Opening::BehindPeers, ..three() }, 1_900_000);
}

#[test]
fn three_regions_one_of_which_crashes() {
    let crashes = Config { crashes: 1, epochs: 2, ..three() };
    holds(crashes, 600_000);
    holds(Config { opening: Opening::BehindPeers, ..crashes }, 700_000);
}

#[test]
fn three_regions_that_promise_each_other_to_claim_nothing() {
    holds(Config { epochs: 2, promises: true, ..three() }, 500_000);
}

#[test]
fn every_broken_rule_breaks_a_promise() {
    let behind_peers = Config { opening: Opening::BehindPeers, ..three() };
    let promising = Config { epochs: 2, promises: true, ..three() };
    // The rule, the world in which it matters, within how many states it is noticed, and as which promise.
    let table = [
        (Mutation::ClaimAny, two(), 20_000, "S5"),
        (Mutation::ConfirmBeforeOpen, two(), 1_500, "S2"),
        (Mutation::SynchronousEarly, two(), 2_500, "S2"),
        (Mutation::AloneUnrecorded, two(), 200, "S2"),
        (Mutation::Ungated, two(), 1_500, "S2"),
        (Mutation::StoreFirst, two(), 50_000, "S5"),
        (Mutation::ForceUnexpired, two(), 20_000, "S5"),
        (Mutation::StopsOffByOne, three(), 100, "S1"),
        (Mutation::MostDataSkipped, three(), 20_000, "S2"),
        (Mutation::PromiseForgotten, two(), 400_000, "S1"),
        (Mutation::ClaimInFlight, two(), 400_000, "S5"),
        (Mutation::PromiseFromAnswer, two(), 400_000, "S1"),
        (Mutation::OldEpochAsked, two(), 200_000, "S1"),
        (Mutation::OneNotAsked, promising, 8_000, "S1"),
        (Mutation::LostAnswer, two(), 100_000, "S2"),
        (Mutation::ReadIsEnough, two(), 300_000, "S2"),
        (Mutation::Unannounced, three(), 30_000, "S1"),
        (Mutation::AloneUnshut, three(), 10_000, "S1"),
        (Mutation::AlsoUnfenced, three(), 100_000, "S1"),
        (Mutation::AlsoDataSkipped, three(), 600_000, "S2"),
        (Mutation::FollowedUnfenced, behind_peers, 2_400_000, "S2"),
        (Mutation::OldFollowerCounted, behind_peers, 300_000, "S2"),
        (Mutation::PeersBeforeOpen, behind_peers, 60_000, "S2"),
    ];
    for (mutation, what) in Mutation::ALL {
        let Some((_, config, states, promise)) = table.iter().find(|(broken, ..)| *broken == mutation) else {
            assert_eq!(mutation, Mutation::OpenedInSpite, "{what}: in what world does that matter?");
            continue;
        };
        let explored = explore(&Protocol::new(config.breaking(mutation)), *states);
        let (broken, way) = explored.broken.unwrap_or_else(|| panic!("{what}: not noticed within {states} states"));
        println!("{what}: {broken}, after {} steps, in {} states", way.len(), explored.states);
        assert_eq!(broken.promise, *promise, "{what}: {broken}");
    }
}

/// Who promises has claimed nothing whose outcome it does not know: that it opens nothing either is a second line of defence.
#[test]
fn a_forced_epoch_that_is_opened_in_spite_of_a_promise_breaks_nothing() {
    let config = Config { writes: 1, crashes: 0, ..two() };
    holds(config.breaking(Mutation::OpenedInSpite), 100_000);
}
