//! The algebra of fencing: who may confirm a commit, and what of that a claimer has to stop.
//!
//! A record in the store names a [`Gate`]: it promises that any `n − k + 1` of its `n` named standbys together hold
//! everything ever acknowledged, and that once as many have stopped confirming nothing more can be acknowledged. The server's
//! own gate may differ from the record for a moment while it is being changed; [`covers`] says when that is safe.

use std::collections::BTreeSet;

use lifeboat_model::RegionId;
use lifeboat_model::database::Gate;

/// How many of the gate's named standbys have to stop before no commit can be confirmed: `n − k + 1`. Zero behind
/// [`Gate::Node`], where the lease is what has to end.
pub fn stops_needed(gate: &Gate) -> usize {
    match gate {
        Gate::Node => 0,
        Gate::Peers { needed, named } => (named.len() + 1).saturating_sub(*needed),
    }
}

/// The regions that hold everything acknowledged when `writer` works behind `gate` and that is recorded.
pub fn holders(writer: &RegionId, gate: &Gate) -> BTreeSet<RegionId> {
    let mut holders = BTreeSet::from([writer.clone()]);
    if let Gate::Peers { needed, named } = gate
        && *needed >= named.len()
    {
        holders.extend(named.iter().cloned());
    }
    holders
}

/// Whether a record of `recorded` tells the truth about commits that are confirmed by `actual`: every set of
/// `stops_needed(recorded)` named standbys both ends all confirmations of `actual` and holds whatever `actual` confirmed.
///
/// With `k` of `n` recorded and `k'` of `n'` actual: the standbys that can still confirm after any such set has stopped
/// number `n' − max(0, (n − k + 1) − |recorded \ actual|)`, which has to be less than `k'`.
pub fn covers(recorded: &Gate, actual: &Gate) -> bool {
    match (recorded, actual) {
        (Gate::Node, Gate::Node) => true,
        (Gate::Node, Gate::Peers { .. }) | (Gate::Peers { .. }, Gate::Node) => false,
        (Gate::Peers { named, .. }, Gate::Peers { needed: actual_needed, named: actual_named }) => {
            let outside = named.difference(actual_named).count();
            let stopped = stops_needed(recorded).saturating_sub(outside);
            actual_named.len().saturating_sub(stopped) < *actual_needed
        }
    }
}

/// How a gate is changed without a moment in which the record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The record first, then the server: what is recorded holds for the old gate too.
    RecordFirst,
    /// The server first, then the record, once all newly named standbys have everything.
    ServerFirst,
    /// Over [`Gate::Node`], shut: the server first, then the record, and then the node confirms.
    ByNode,
}

/// The order in which to go from `from` (recorded and in force) to `to`.
pub fn order_of_change(from: &Gate, to: &Gate) -> Change {
    match (from, to) {
        (_, Gate::Node) => Change::ByNode,
        // Synchronous: reload first, record last; `record::Also` says so before. What was confirmed alone is in the peers by then.
        (Gate::Node, Gate::Peers { .. }) => Change::ServerFirst,
        (Gate::Peers { .. }, Gate::Peers { .. }) => {
            if covers(from, to) {
                Change::ServerFirst
            } else if covers(to, from) {
                Change::RecordFirst
            } else {
                Change::ByNode
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(needed: usize, named: &[&str]) -> Gate {
        Gate::Peers { needed, named: named.iter().map(|name| RegionId::from(*name)).collect() }
    }

    #[test]
    fn as_many_stops_as_the_manual_says() {
        for (gate, stops) in [
            (Gate::Node, 0),
            (peers(1, &["b"]), 1),
            (peers(2, &["b", "c"]), 1),
            (peers(1, &["b", "c"]), 2),
            (peers(2, &["b", "c", "d"]), 2),
        ] {
            assert_eq!(stops_needed(&gate), stops, "{gate:?}");
        }
    }

    /// `covers` against its definition, by trying every set of stopped and every set of confirming standbys.
    #[test]
    fn covers_is_what_it_says() {
        let all = ["b", "c", "d", "e"];
        let gates: Vec<Gate> = (1_u32..16)
            .flat_map(|mask| {
                let named: Vec<&str> =
                    all.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1).map(|(_, n)| *n).collect();
                (1..=named.len()).map(move |k| peers(k, &named)).collect::<Vec<_>>()
            })
            .collect();
        let mut both = [0, 0];
        for recorded in &gates {
            for actual in &gates {
                let (Gate::Peers { named, .. }, Gate::Peers { needed: k, named: confirming }) = (recorded, actual)
                else {
                    unreachable!()
                };
                let subsets = |of: &BTreeSet<RegionId>, size: usize| -> Vec<BTreeSet<RegionId>> {
                    let of: Vec<_> = of.iter().cloned().collect();
                    (0_u32..1 << of.len())
                        .filter(|mask| mask.count_ones() as usize == size)
                        .map(|mask| {
                            of.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1).map(|(_, r)| r.clone()).collect()
                        })
                        .collect()
                };
                let truth = subsets(named, stops_needed(recorded))
                    .iter()
                    .all(|stopped| subsets(confirming, *k).iter().all(|confirmed| !confirmed.is_disjoint(stopped)));
                assert_eq!(covers(recorded, actual), truth, "{recorded:?} over {actual:?}");
                both[usize::from(truth)] += 1;
            }
        }
        assert!(both[0] > 100 && both[1] > 100, "{both:?}");
    }

    #[test]
    fn gates_are_changed_in_an_order_that_never_lies() {
        for (from, to, order) in [
            (Gate::Node, peers(1, &["b"]), Change::ServerFirst),
            (peers(1, &["b"]), Gate::Node, Change::ByNode),
            (peers(1, &["b"]), peers(2, &["b", "c"]), Change::ServerFirst),
            (peers(2, &["b", "c"]), peers(1, &["b"]), Change::RecordFirst),
            (peers(1, &["b"]), peers(1, &["b", "c"]), Change::RecordFirst),
            (peers(1, &["b", "c"]), peers(1, &["b"]), Change::ServerFirst),
            (peers(1, &["b"]), peers(1, &["c"]), Change::ByNode),
        ] {
            assert_eq!(order_of_change(&from, &to), order, "{from:?} to {to:?}");
        }
    }
}
