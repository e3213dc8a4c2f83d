//! Which selections of a group are in time. Exactly, by its drawn recoveries; a group too large for that is planned by the 95 %
//! points of single steps, with as small a margin as its drawn recoveries allow.

use std::collections::HashMap;

use super::cheapest::{Offer, Selection, Sought, cheapest};
use super::member::Member;
use super::overhead_ms;
use super::placement::{Group, GroupSolution};
use super::recoveries::{Found, OPEN, Once, Recoveries, WayId, extent, option_of, way_id};
use crate::schedule::{Cost, Part, Takes, solve as schedule};

/// Groups are searched exactly up to so many members, alike ones counted once, ...
const EXACT_MEMBERS: usize = 1000;
/// ... and up to so many pairs of a member and something that it waits for.
const EXACT_EXTENT: usize = 3000;

/// Margins that are tried for a larger group, by which its plan stays below (above one) or above its objectives: the sum of 95 %
/// points is more than the 95 % point of a sum, the latest of several is often later than each.
const TIGHTER: [f64; 6] = [1.1, 1.25, 1.5, 2.0, 3.0, 5.0];
const LOOSER: [f64; 4] = [0.85, 0.7, 0.55, 0.4];

/// How it is told what is in time.
pub(super) enum Timing<'a> {
    /// By all drawn recoveries.
    Drawn(Drawn<'a>),
    /// By the 95 % points of steps, with a margin.
    Planned(Planned<'a>),
    /// By nothing: what costs least if no time is demanded.
    Whenever(&'a Group<'a>),
}

/// The cheapest placement of a group whose drawn recoveries hold every objective; `None`: there is none, or for a large group
/// none was found.
pub(super) fn solve(group: &Group<'_>) -> Option<GroupSolution> {
    let timeless = |member: &Member| member.limits.rto.is_none() && member.limits.availability.is_none();
    if group.members.iter().all(timeless) {
        return group.cheapest(&Timing::Whenever(group));
    }
    if is_exact(group) {
        let found = group.cheapest(&Timing::Drawn(Drawn::new(group)?));
        if found.as_ref().is_some_and(|found| found.least >= found.cost) {
            return found;
        }
        let more = planned(group).filter(|more| found.as_ref().is_none_or(|found| more.cost < found.cost));
        let least = found.as_ref().map_or(0, |found| found.least);
        return more.map(|more| GroupSolution { least: least.min(more.cost), ..more }).or(found);
    }
    planned(group)
}

/// The cheapest by the 95 % points of steps, with a margin by which its drawn recoveries hold every objective.
fn planned(group: &Group<'_>) -> Option<GroupSolution> {
    let floor = group.cheapest(&Timing::Whenever(group))?.least;
    let with = |margin: f64| group.cheapest(&Timing::Planned(Planned::new(group, margin)));
    let held = |margin: f64| with(margin).filter(|found| holds(group, found));
    let first = held(1.0);
    let more: &[f64] = if first.is_some() { &LOOSER } else { &TIGHTER };
    let mut best = first;
    for margin in more {
        let next = held(*margin);
        let better = |next: &GroupSolution| best.as_ref().is_none_or(|best| next.cost < best.cost);
        match next {
            Some(next) if better(&next) => best = Some(next),
            // Still tighter only costs more.
            _ if best.is_some() => break,
            _ => {}
        }
    }
    if best.is_none() {
        best = LOOSER.iter().find_map(|margin| held(*margin));
    }
    best.map(|best| GroupSolution { least: floor.min(best.cost), ..best })
}

/// Whether the drawn recoveries of a solution hold every objective.
fn holds(group: &Group<'_>, solution: &GroupSolution) -> bool {
    let Group { task, ids, members, order, .. } = group;
    let Some(home) = solution.placed.first().map(|placed| placed.home) else { return true };
    Once { task, ids, members, order }.look(&solution.ways, home).iter().all(|found| found.holds)
}

pub(super) fn is_exact(group: &Group<'_>) -> bool {
    group.members.len() <= EXACT_MEMBERS && extent(&group.members, &group.order, EXACT_EXTENT).is_some()
}

impl Timing<'_> {
    /// For each member the options that can be in time from a home, all others being as quick as they can be; `None` if some
    /// member has none.
    pub fn in_time(&self, home: usize) -> Option<Vec<Vec<usize>>> {
        match self {
            Self::Drawn(drawn) => drawn.in_time(home),
            Self::Planned(planned) => planned.in_time(home),
            Self::Whenever(group) => Some(all_options(group)),
        }
    }

    /// The cheapest selection among what is offered that costs less than the limit.
    pub fn cheapest(&self, offers: &[Vec<Offer>], home: usize, limit: i64) -> Sought {
        match self {
            Self::Drawn(drawn) => cheapest(&drawn.recoveries, offers, home, limit),
            Self::Planned(planned) => planned.cheapest(offers, home).below(limit),
            Self::Whenever(_) => {
                let first: Option<Vec<Offer>> = offers.iter().map(|offers| offers.first().copied()).collect();
                let Some(first) = first else { return Sought::NOTHING };
                let cost = first.iter().fold(0_i64, |sum, (cost, _)| sum.saturating_add(*cost));
                Sought::proved(first.iter().map(|(_, way)| *way).collect(), cost).below(limit)
            }
        }
    }

    /// After so many placements the best that was found is taken.
    pub fn patience(&self) -> usize {
        match self {
            Self::Drawn(drawn) if drawn.recoveries.work.get() > drawn.recoveries.bound.get() => 0,
            Self::Drawn(_) | Self::Planned(_) | Self::Whenever(_) => usize::MAX,
        }
    }
}

fn all_options(group: &Group<'_>) -> Vec<Vec<usize>> {
    group.members.iter().map(|member| (0..member.choices.len()).collect()).collect()
}

/// By all drawn recoveries.
pub(super) struct Drawn<'a> {
    recoveries: Recoveries<'a>,
    members: usize,
    /// Of each member the options that can be in time anywhere.
    anywhere: Vec<Vec<usize>>,
}

impl<'a> Drawn<'a> {
    /// `None`: something is late wherever it is.
    fn new(group: &Group<'a>) -> Option<Self> {
        let recoveries = Recoveries::new(group.task, &group.ids, &group.members, &group.order);
        let mut this = Self { recoveries, members: group.members.len(), anywhere: all_options(group) };
        if !this.recoveries.depends_on_home() {
            // It is the same for every home.
            this.anywhere = this.narrowed(0)?;
        }
        this.recoveries.bound.set(this.recoveries.work.get().saturating_add(group.task.effort));
        Some(this)
    }

    fn in_time(&self, home: usize) -> Option<Vec<Vec<usize>>> {
        if self.recoveries.depends_on_home() { self.narrowed(home) } else { Some(self.anywhere.clone()) }
    }

    fn narrowed(&self, home: usize) -> Option<Vec<Vec<usize>>> {
        let mut options = self.anywhere.clone();
        let mut selection = vec![OPEN; self.members];
        for deadline in &self.recoveries.deadlines {
            if !self.recoveries.holds(*deadline, &selection, home) {
                return None;
            }
            for member in self.recoveries.closure(*deadline) {
                options[*member].retain(|option| {
                    selection[*member] = way_id(*option, false);
                    self.recoveries.holds(*deadline, &selection, home)
                });
                selection[*member] = OPEN;
                if options[*member].is_empty() {
                    return None;
                }
            }
        }
        Some(options)
    }
}

/// By the 95 % points of steps, with a margin.
pub(super) struct Planned<'a> {
    group: &'a Group<'a>,
    takes: Vec<Vec<Takes>>,
    /// Of each member, what comes before it and after it.
    overhead: Vec<u64>,
    margin: f64,
}

/// Milliseconds in a year.
const YEAR_MS: f64 = 8766.0 * 3_600_000.0;

impl<'a> Planned<'a> {
    fn new(group: &'a Group<'a>, margin: f64) -> Self {
        let takes =
            group.members.iter().map(|member| member.choices.iter().map(crate::choice::Choice::planned).collect());
        let overhead = group.ids.iter().map(|id| overhead_ms(group.task.setting, id)).collect();
        Self { group, takes: takes.collect(), overhead, margin }
    }

    /// By when each member must be ready, counted from the decision; `None`: for some it is before that.
    fn deadlines(&self, home: usize) -> Option<Vec<Option<u64>>> {
        let task = self.group.task;
        let rate =
            task.setting.atlas.outage_rate(&task.ground.sites[home].place).map_or(0.0, |rate| rate.per_year.value);
        let members = self.group.members.iter().zip(&self.overhead);
        let deadline = |limits: super::member::Limits, overhead: u64| {
            let by_rto = limits.rto.map_or(f64::INFINITY, |rto| rto * 1000.0);
            let by_availability = match limits.availability {
                Some(share) if rate > 0.0 => (1.0 - share) * YEAR_MS / rate,
                _ => f64::INFINITY,
            };
            let within = by_rto.min(by_availability) / self.margin;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
            let whole = within.is_finite().then_some(within as u64);
            whole.map_or(Some(None), |whole| whole.checked_sub(overhead).map(Some))
        };
        members.map(|(member, overhead)| deadline(member.limits, *overhead)).collect()
    }

    fn in_time(&self, home: usize) -> Option<Vec<Vec<usize>>> {
        let Group { members, order, .. } = self.group;
        let mut start = vec![0_u64; members.len()];
        let mut earliest = vec![0_u64; members.len()];
        for at in order {
            let member = &members[*at];
            start[*at] = member.needs.iter().map(|need| earliest[*need]).max().unwrap_or(0);
            earliest[*at] = self.takes[*at].iter().map(|takes| takes.ready(start[*at])).min()?;
        }
        let mut latest: Vec<u64> = self.deadlines(home)?.into_iter().map(|limit| limit.unwrap_or(u64::MAX)).collect();
        for at in order.iter().rev() {
            let before = self.takes[*at].iter().filter_map(|takes| takes.latest_start(latest[*at])).max()?;
            for need in &members[*at].needs {
                latest[*need] = latest[*need].min(before);
            }
        }
        let options = members.iter().enumerate().map(|(at, member)| {
            let fits = |option: &usize| self.takes[at][*option].ready(start[at]) <= latest[at];
            let options: Vec<usize> = (0..member.choices.len()).filter(fits).collect();
            (!options.is_empty()).then_some(options)
        });
        options.collect()
    }

    fn cheapest(&self, offers: &[Vec<Offer>], home: usize) -> Sought {
        let Some(deadlines) = self.deadlines(home) else { return Sought::NOTHING };
        let part = |at: usize| Part {
            options: offers[at]
                .iter()
                .map(|(cost, way)| Cost { cost: *cost, takes: self.takes[at][option_of(*way)] })
                .collect(),
            needs: self.group.members[at].needs.clone(),
            deadline: deadlines[at],
        };
        let parts: Vec<Part> = (0..offers.len()).map(part).collect();
        let Some(solution) = schedule(&parts) else { return Sought::NOTHING };
        let ways = solution.chosen.iter().zip(offers).map(|(chosen, offers)| offers[*chosen].1).collect();
        // Without a proof the figure is no bound.
        let least = if solution.proved { solution.cost } else { 0 };
        Sought { found: Some(Selection { ways, cost: solution.cost }), least }
    }
}

/// Of a group's components, what 95 of 100 recoveries take at most if each is as quick as it can be, in the placement where that
/// holds the most objectives. `None`: there is no placement.
pub(super) fn quickest(group: &Group<'_>) -> Option<Vec<Found>> {
    let planned = Planned::new(group, 1.0);
    let options = all_options(group);
    let mut known: HashMap<(Vec<WayId>, usize), Vec<Found>> = HashMap::new();
    let mut best: Option<Vec<Found>> = None;
    let missed = |found: &[Found]| found.iter().filter(|found| !found.holds).count();
    let slowness = |at: usize, way: WayId| {
        let takes = planned.takes[at][option_of(way)];
        (takes.alone.saturating_add(takes.after), way % 2, way)
    };
    for (home, target) in group.pairs() {
        for third in group.thirds(home, target) {
            let offers = group.offers(&options, home, target, third);
            let quick = |(at, offers): (usize, &Vec<Offer>)| {
                offers.iter().map(|(_, way)| *way).min_by_key(|way| slowness(at, *way))
            };
            let Some(selection) = offers.iter().enumerate().map(quick).collect::<Option<Vec<WayId>>>() else {
                continue;
            };
            // Only availability depends on the home.
            let home_matters = group.members.iter().any(|member| member.limits.availability.is_some());
            let key = (selection, if home_matters { home } else { 0 });
            if known.contains_key(&key) {
                continue;
            }
            let Group { task, ids, members, order, .. } = group;
            let found = Once { task, ids, members, order }.look(&key.0, home);
            if best.as_ref().is_none_or(|best| missed(&found) < missed(best)) {
                best = Some(found.clone());
            }
            if missed(&found) == 0 {
                return best;
            }
            known.insert(key, found);
        }
    }
    best
}

/// Whether there is a placement that holds everything: for large groups by their quickest ways.
pub(super) fn is_possible(group: &Group<'_>) -> bool {
    // What holds when everybody is quick is possible; that is told at once.
    let quick = quickest(group).is_some_and(|found| found.iter().all(|found| found.holds));
    quick || is_exact(group) && solve(group).is_some()
}
