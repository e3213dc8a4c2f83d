//! What it would take to recover everything that a region serves in one other region.
//!
//! Groups of components that do not need each other may recover in different regions because that is cheapest. That is told as a weak
//! point, with what gathering them costs: each group is solved again for every common recovery region, and the cheapest of these
//! is exact, for with the home and the recovery region given the groups have nothing to do with each other.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::ComponentId;

use crate::bill::bill;
use crate::optimise::{Placed, Task, groups, optimise_only};

/// Apps of more components are not gathered: see `docs/assess.md`.
const GATHERED: usize = 300;

/// The recovery regions of what a region serves, and what one for all would cost.
pub(crate) struct Gathering {
    /// The home.
    pub home: usize,
    /// Where its components recover, and which.
    pub apart: BTreeMap<usize, Vec<ComponentId>>,
    /// The cheapest region for all; `None`: no single one holds every objective.
    pub together: Option<Together>,
}

/// One recovery region for all.
pub(crate) struct Together {
    pub target: usize,
    /// USD a month more than apart, known prices only.
    pub more_usd: f64,
    /// Lines of the bill without a price that differ.
    pub unknown: bool,
}

/// Of each home whose components recover in several regions.
pub(crate) fn gatherings(task: &Task<'_>, placed: &BTreeMap<ComponentId, Placed>) -> Vec<Gathering> {
    if task.setting.app.components.len() > GATHERED {
        return Vec::new();
    }
    let mut homes: BTreeMap<usize, BTreeMap<usize, Vec<ComponentId>>> = BTreeMap::new();
    for (id, placed) in placed {
        if let Some(target) = placed.targets.first() {
            homes.entry(placed.home).or_default().entry(*target).or_default().push(id.clone());
        }
    }
    homes.retain(|_, apart| apart.len() > 1);
    homes.into_iter().map(|(home, apart)| Gathering { home, together: together(task, placed, home), apart }).collect()
}

/// Cost, place among equals, region.
type Rank = (i64, i64, usize);

fn together(task: &Task<'_>, placed: &BTreeMap<ComponentId, Placed>, home: usize) -> Option<Together> {
    let serves_here =
        |group: &Vec<ComponentId>| group.iter().any(|id| placed.get(id).is_some_and(|of| of.home == home));
    let here: Vec<Vec<ComponentId>> = groups(task).into_iter().filter(serves_here).collect();
    // No group costs less in a given region than in the one that is best for it: what costs more with that is not gone on with.
    let alone = here.iter().map(|group| optimise_only(task, group).map_or(0, |outcome| outcome.least));
    let alone: Vec<i64> = alone.collect();
    let order = |target: usize| task.ground.between(home, target).order;
    let mut best: Option<(Rank, BTreeMap<ComponentId, Placed>)> = None;
    'targets: for target in (0..task.ground.sites.len()).filter(|target| task.ground.between(home, *target).apart) {
        let within = Task { within: Some((home, target)), ..*task };
        let mut cost = 0_i64;
        let mut there = BTreeMap::new();
        for (at, group) in here.iter().enumerate() {
            let rest = alone[at..].iter().fold(cost, |sum, alone| sum.saturating_add(*alone));
            if best.as_ref().is_some_and(|((best, ..), _)| rest > *best) {
                continue 'targets;
            }
            let Some(outcome) = optimise_only(&within, group) else { continue 'targets };
            cost = cost.saturating_add(outcome.cost);
            there.extend(outcome.placed);
        }
        let rank = (cost, order(target), target);
        if best.as_ref().is_none_or(|(best, _)| rank < *best) {
            best = Some((rank, there));
        }
    }
    let ((.., target), there) = best?;
    let of = |placed: &BTreeMap<ComponentId, Placed>| {
        let ids = here.iter().flatten().filter_map(|id| Some((task.setting.app.components.get(id)?, placed.get(id)?)));
        let lines: Vec<_> = ids.flat_map(|(component, placed)| bill(task.ground, component, placed).1).collect();
        let usd: f64 = lines.iter().filter_map(|line| line.usd).sum();
        let unknown: BTreeSet<(String, String)> =
            lines.into_iter().filter(|line| line.usd.is_none()).map(|line| (line.sku, line.region)).collect();
        (usd, unknown)
    };
    let ((before, unknown_before), (after, unknown_after)) = (of(placed), of(&there));
    Some(Together { target, more_usd: after - before, unknown: unknown_before != unknown_after })
}
