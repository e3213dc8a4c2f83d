//! The cheapest home, targets and choices of a group: exact.
//!
//! Best first. A home has a lower bound (each component at its cheapest there, with the cheapest target there is), a target of
//! a home a better one (each at its cheapest there), a few targets of similar cost together one better still (with what it
//! costs that they wait for each other). Whatever has the lowest bound is looked into next; a placement whose turn it is gets
//! solved. Nothing is left out, as nothing below the best solution is ever dropped. What is in time is [`super::timing`]'s business.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use lifeboat_model::ComponentId;

use super::cheapest::{NEVER, Offer, Selection};
use super::likeness::merged;
use super::member::{IMPOSSIBLE, Member, cost_of, detaching, member};
use super::recoveries::{WayId, option_of, way_id};
use super::timing::Timing;
use super::{Placed, Task};
use crate::schedule::topological;
use crate::tariff::micro_usd;

/// The cheapest placement of a group.
pub(super) struct GroupSolution {
    /// In the order of the group.
    pub placed: Vec<Placed>,
    /// Of each member of [`Group`].
    pub ways: Vec<WayId>,
    pub cost: i64,
    /// Nothing costs less than this; it is the cost if that is proved to be the least.
    pub least: i64,
}

/// The members of a group, alike ones merged, with everything that their placement needs.
pub(super) struct Group<'a> {
    pub task: &'a Task<'a>,
    pub ids: Vec<ComponentId>,
    pub members: Vec<Member>,
    /// What is needed first.
    pub order: Vec<usize>,
    /// Of each component of the group the member that stands for it.
    stands_for: Vec<usize>,
    targets: Vec<usize>,
    homes: Vec<usize>,
}

/// Something that may hold the best placement, the lowest bound first; a placement of the same bound comes after what may
/// hold another.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Look {
    bound: i64,
    /// Of a placement its place among equals.
    tie: i64,
    home: usize,
    at: At,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum At {
    /// All targets of the home.
    Home,
    /// Targets of similar cost: [`Opened::alike`] from here on.
    Alike(usize),
    /// A target.
    Target(usize),
}

/// A home that was looked into.
struct Opened {
    /// Of each member the options that can be in time.
    in_time: Vec<Vec<usize>>,
    /// Its targets by bound, with their place among equals.
    alike: Vec<(i64, i64, usize)>,
}

impl<'a> Group<'a> {
    /// `None`: some member cannot be anywhere, whatever the time.
    pub fn new(task: &'a Task<'a>, group: &[ComponentId]) -> Option<Self> {
        let sites = task.ground.sites.len();
        let (stands_for, kept) = merged(task, group);
        let positions: HashMap<&ComponentId, usize> = kept.iter().enumerate().map(|(at, (id, _))| (id, at)).collect();
        let mut members = Vec::with_capacity(kept.len());
        for (id, count) in &kept {
            members.push(Member { count: *count, ..member(task, id, &positions)? });
        }
        let allowed = |costs: fn(&Member) -> &[i64], site: usize| {
            members
                .iter()
                .all(|member| (0..member.choices.len()).any(|option| costs(member)[option * sites + site] < IMPOSSIBLE))
        };
        let within =
            |site: &usize, of: fn((usize, usize)) -> usize| task.within.is_none_or(|within| of(within) == *site);
        let homes = (0..sites).filter(|site| within(site, |(home, _)| home) && allowed(|member| &member.home, *site));
        let homes = homes.collect();
        let targets = (0..sites).filter(|site| allowed(|member| &member.target, *site)).collect();
        let needs: Vec<&[usize]> = members.iter().map(|member| member.needs.as_slice()).collect();
        let order = topological(&needs)?;
        let ids = kept.iter().map(|(id, _)| id.clone()).collect();
        Some(Self { task, ids, members, order, stands_for, targets, homes })
    }

    /// The cheapest placement that the timing allows; `None`: there is none.
    pub fn cheapest(&self, timing: &Timing<'_>) -> Option<GroupSolution> {
        let (task, members) = (self.task, self.members.as_slice());
        let mut opened: HashMap<usize, Opened> = HashMap::new();
        let mut queue = BinaryHeap::new();
        for home in self.homes.iter().copied() {
            // Only options that can be in time if everybody else is as quick as can be.
            let Some(in_time) = timing.in_time(home) else { continue };
            let Some(bound) = bound_of_home(task, members, &in_time, home) else { continue };
            opened.insert(home, Opened { in_time, alike: Vec::new() });
            queue.push(Reverse(Look { bound, tie: i64::MIN, home, at: At::Home }));
        }
        // One member waits for nobody.
        let so_many = if members.len() > 1 { ALIKE } else { usize::MAX };
        let mut best: Option<Found> = None;
        // What was not solved to the end may hold something as cheap as this.
        let mut least = NEVER;
        let mut solved = 0;
        while let Some(Reverse(Look { bound, tie, home, at })) = queue.pop() {
            if best.as_ref().is_some_and(|best| (bound, tie) > (best.selection.cost, best.tie)) {
                break;
            }
            if best.is_some() && solved >= timing.patience() {
                least = least.min(bound);
                break;
            }
            let Some(Opened { in_time, alike }) = opened.get_mut(&home) else { continue };
            match at {
                At::Home => {
                    *alike = bounds_of(task, members, in_time, home, &self.targets);
                    alike.sort_unstable();
                    let chunks = alike.iter().enumerate().step_by(so_many);
                    queue.extend(chunks.map(|(from, (bound, ..))| {
                        Reverse(Look { bound: *bound, tie: i64::MIN, home, at: At::Alike(from) })
                    }));
                }
                At::Alike(from) => {
                    let alike = &alike[from..from.saturating_add(so_many).min(alike.len())];
                    let Some(penalty) = penalty(task, members, in_time, timing, home, alike) else { continue };
                    queue.extend(alike.iter().map(|(bound, order, target)| {
                        let bound = bound.saturating_add(penalty);
                        Reverse(Look { bound, tie: *order, home, at: At::Target(*target) })
                    }));
                }
                At::Target(target) => {
                    for third in self.thirds(home, target) {
                        solved += 1;
                        let offers = self.offers(in_time, home, target, third);
                        let tie = tie + third.map_or(0, |third| task.ground.between(home, third).order.abs() + 1);
                        let limit = best.as_ref().map_or(NEVER, |best| best.limit(tie, home, target));
                        let sought = timing.cheapest(&offers, home, limit);
                        least = least.min(sought.least);
                        if let Some(selection) = sought.found {
                            best = Some(Found { selection, tie, home, target, third });
                        }
                    }
                }
            }
        }
        best.map(|best| self.solution(best, least))
    }

    /// What the ways of each member cost in a placement, the cheapest first.
    pub fn offers(&self, options: &[Vec<usize>], home: usize, target: usize, third: Option<usize>) -> Vec<Vec<Offer>> {
        let offers = self.members.iter().zip(&self.ids).zip(options).map(|((member, id), options)| {
            let fits = options.iter().filter(|option| member.choices[**option].targets <= 1 || third.is_some());
            let offer = |option: &usize| {
                let cost = cost_of(self.task, member, *option, home, target, third)?;
                let choice = &member.choices[*option];
                let detaches = member.may_detach && detaching(self.task, id, choice, home, target, third);
                Some((cost, way_id(*option, detaches)))
            };
            let mut offers: Vec<Offer> = fits.filter_map(offer).collect();
            offers.sort_unstable();
            offers
        });
        offers.collect()
    }

    /// Which member stands for a component, by its place in the group.
    pub fn member_of(&self, component: usize) -> usize {
        self.stands_for[component]
    }

    /// Every pair of a home and a target that fail apart.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let apart = |(home, target): &(usize, usize)| home != target && self.task.ground.between(*home, *target).apart;
        let pairs = self.homes.iter().flat_map(|home| self.targets.iter().map(|target| (*home, *target)));
        pairs.filter(apart)
    }

    /// No third region, and each that could be one if some member can use it.
    pub fn thirds(&self, home: usize, target: usize) -> Vec<Option<usize>> {
        let wanted = self.members.iter().any(|member| member.choices.iter().any(|choice| choice.targets > 1));
        let apart = |a: usize, b: usize| a != b && self.task.ground.between(a, b).apart;
        let possible = self.targets.iter().filter(|third| wanted && apart(home, **third) && apart(target, **third));
        std::iter::once(None).chain(possible.map(|third| Some(*third))).collect()
    }

    fn solution(&self, found: Found, least: i64) -> GroupSolution {
        let Found { selection: Selection { ways, cost }, home, target, third, .. } = found;
        let placed: Vec<Placed> = self
            .members
            .iter()
            .zip(&ways)
            .map(|(member, way)| {
                let choice = member.choices[option_of(*way)].clone();
                let second = if choice.targets > 1 { third } else { None };
                Placed { choice, home, targets: std::iter::once(target).chain(second).collect() }
            })
            .collect();
        let placed = self.stands_for.iter().map(|number| placed[*number].clone()).collect();
        GroupSolution { placed, ways, cost, least: least.min(cost) }
    }
}

/// `None`: there is no placement.
pub(super) fn solve_group(task: &Task<'_>, group: &[ComponentId]) -> Option<GroupSolution> {
    super::timing::solve(&Group::new(task, group)?)
}

/// What the members cost at least in a home, wherever they go from there; `None`: they cannot be there.
fn bound_of_home(task: &Task<'_>, members: &[Member], in_time: &[Vec<usize>], home: usize) -> Option<i64> {
    let sites = task.ground.sites.len();
    let traffic_usd = task.ground.least_traffic_usd(home);
    members.iter().zip(in_time).try_fold(0_i64, |sum, (member, options)| {
        let least = options.iter().map(|option| {
            let choice = &member.choices[*option];
            let target = member.least_target[*option] + micro_usd(choice.traffic_gb * traffic_usd);
            let targets = if choice.targets > 1 { 2 } else { 1 };
            member.home[option * sites + home].saturating_add(targets * target)
        });
        least
            .min()
            .filter(|least| *least < IMPOSSIBLE)
            .map(|least| sum.saturating_add(least.saturating_mul(member.count)))
    })
}

/// For each target that a home may have: what the members cost at least, the place among equals, and the target.
fn bounds_of(
    task: &Task<'_>,
    members: &[Member],
    in_time: &[Vec<usize>],
    home: usize,
    targets: &[usize],
) -> Vec<(i64, i64, usize)> {
    let within = |target: &usize| task.within.is_none_or(|(_, within)| within == *target);
    let apart = targets.iter().copied().filter(|target| home != *target && task.ground.between(home, *target).apart);
    let apart = apart.filter(within);
    let bound = |target: usize| {
        members.iter().zip(in_time).try_fold(0_i64, |sum, (member, options)| {
            let costs = options.iter().filter_map(|option| cost_of(task, member, *option, home, target, None));
            costs.min().map(|cost| sum.saturating_add(cost))
        })
    };
    apart
        .filter_map(|target| bound(target).map(|bound| (bound, task.ground.between(home, target).order, target)))
        .collect()
}

/// So many targets of similar cost share a [`penalty`].
const ALIKE: usize = 8;

/// By how much the members of a group cost at least more than each at its cheapest, in any of these targets, because they
/// wait for each other: the problem is solved with the least differences in cost that any of the targets has. `None`: there
/// is no way in any of them.
fn penalty(
    task: &Task<'_>,
    members: &[Member],
    in_time: &[Vec<usize>],
    timing: &Timing<'_>,
    home: usize,
    alike: &[(i64, i64, usize)],
) -> Option<i64> {
    if members.len() == 1 {
        return Some(0);
    }
    let offers = |(member, options): (&Member, &Vec<usize>)| {
        let mut differences = vec![i64::MAX; options.len()];
        for (_, _, target) in alike {
            let costs: Vec<Option<i64>> =
                options.iter().map(|option| cost_of(task, member, *option, home, *target, None)).collect();
            let least = costs.iter().flatten().min().copied().unwrap_or(0);
            for (difference, cost) in differences.iter_mut().zip(costs) {
                *difference = cost.map_or(*difference, |cost| (*difference).min(cost - least));
            }
        }
        let possible = options.iter().zip(differences).filter(|(_, difference)| *difference < i64::MAX);
        // Nothing detaches: a bound.
        let mut offers: Vec<Offer> = possible.map(|(option, cost)| (cost, way_id(*option, false))).collect();
        offers.sort_unstable();
        offers
    };
    let offers: Vec<Vec<Offer>> = members.iter().zip(in_time).map(offers).collect();
    let least = timing.cheapest(&offers, home, NEVER).least;
    (least < NEVER).then_some(least)
}

/// The best that was found so far.
struct Found {
    selection: Selection,
    tie: i64,
    home: usize,
    target: usize,
    third: Option<usize>,
}

impl Found {
    /// Below this another placement is better: of equal cost, one that comes first.
    fn limit(&self, tie: i64, home: usize, target: usize) -> i64 {
        let comes_first = (tie, home, target) < (self.tie, self.home, self.target);
        self.selection.cost.saturating_add(i64::from(comes_first))
    }
}
