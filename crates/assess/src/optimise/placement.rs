//! The cheapest home, targets and choices of a group: exact.
//!
//! Best first. A home has a lower bound (each component at its cheapest there, with the cheapest target there is), a target of
//! a home a better one (each at its cheapest there), a few targets of similar cost together one better still (with what it
//! costs that they wait for each other). Whatever has the lowest bound is looked into next; a placement whose turn it is gets
//! solved. Nothing is left out, as nothing below the best solution is ever dropped.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use lifeboat_model::ComponentId;

use super::likeness::merged;
use super::member::{IMPOSSIBLE, Member, cost_of, member};
use super::{Placed, Task};
use crate::schedule::{Cost, Part, Solution, solve, topological};
use crate::tariff::micro_usd;

/// The cheapest placement of a group.
pub(super) struct GroupSolution {
    /// In the order of the group.
    pub placed: Vec<Placed>,
    pub cost: i64,
    pub proved: bool,
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

/// `None`: there is no placement.
pub(super) fn solve_group(task: &Task<'_>, group: &[ComponentId]) -> Option<GroupSolution> {
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
    let targets: Vec<usize> = (0..sites).filter(|site| allowed(|member| &member.target, *site)).collect();
    let needs: Vec<&[usize]> = members.iter().map(|member| member.needs.as_slice()).collect();
    let order = topological(&needs)?;
    let mut opened: HashMap<usize, Opened> = HashMap::new();
    let mut queue = BinaryHeap::new();
    for home in (0..sites).filter(|site| allowed(|member| &member.home, *site)) {
        // Only options that can be in time if everybody else is as quick as can be.
        let Some(in_time) = in_time(&members, &order, home) else { continue };
        let Some(bound) = bound_of_home(task, &members, &in_time, home) else { continue };
        opened.insert(home, Opened { in_time, alike: Vec::new() });
        queue.push(Reverse(Look { bound, tie: i64::MIN, home, at: At::Home }));
    }
    // One member waits for nobody.
    let so_many = if members.len() > 1 { ALIKE } else { usize::MAX };
    let mut best: Option<Found> = None;
    while let Some(Reverse(Look { bound, tie, home, at })) = queue.pop() {
        if best.as_ref().is_some_and(|best| (bound, tie) > (best.solution.cost, best.tie)) {
            break;
        }
        let Some(Opened { in_time, alike }) = opened.get_mut(&home) else { continue };
        match at {
            At::Home => {
                *alike = bounds_of(task, &members, in_time, home, &targets);
                alike.sort_unstable();
                let chunks = alike.iter().enumerate().step_by(so_many);
                queue.extend(chunks.map(|(from, (bound, ..))| {
                    Reverse(Look { bound: *bound, tie: i64::MIN, home, at: At::Alike(from) })
                }));
            }
            At::Alike(from) => {
                let alike = &alike[from..from.saturating_add(so_many).min(alike.len())];
                let Some(penalty) = penalty(task, &members, in_time, home, alike) else { continue };
                queue.extend(alike.iter().map(|(bound, order, target)| {
                    Reverse(Look { bound: bound.saturating_add(penalty), tie: *order, home, at: At::Target(*target) })
                }));
            }
            At::Target(target) => {
                for third in thirds(task, &members, &targets, home, target) {
                    let Some((solution, numbers)) = solve_placement(task, &members, home, target, third) else {
                        continue;
                    };
                    let tie = tie + third.map_or(0, |third| task.ground.between(home, third).order.abs() + 1);
                    if best.as_ref().is_none_or(|best| (solution.cost, tie, home, target) < best.rank()) {
                        best = Some(Found { solution, numbers, tie, home, target, third });
                    }
                }
            }
        }
    }
    best.map(|best| best.into_group_solution(&members, &stands_for))
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
    let apart = targets.iter().copied().filter(|target| home != *target && task.ground.between(home, *target).apart);
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
    home: usize,
    alike: &[(i64, i64, usize)],
) -> Option<i64> {
    if members.len() == 1 {
        return Some(0);
    }
    let part = |(member, options): (&Member, &Vec<usize>)| {
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
        Part {
            options: possible.map(|(option, cost)| Cost { cost, takes: member.planned[*option] }).collect(),
            needs: member.needs.clone(),
            deadline: member.deadline[home],
        }
    };
    let parts: Vec<Part> = members.iter().zip(in_time).map(part).collect();
    // Without a proof the figure is no bound.
    solve(&parts).map(|solution| if solution.proved { solution.cost } else { 0 })
}

/// The best that was found so far.
struct Found {
    solution: Solution,
    /// Of each member, which of its choices each option of the solution is.
    numbers: Vec<Vec<usize>>,
    tie: i64,
    home: usize,
    target: usize,
    third: Option<usize>,
}

impl Found {
    /// Less is better; nothing that has the same rank is another placement, save for the third region.
    fn rank(&self) -> (i64, i64, usize, usize) {
        (self.solution.cost, self.tie, self.home, self.target)
    }

    fn into_group_solution(self, members: &[Member], stands_for: &[usize]) -> GroupSolution {
        let placed: Vec<Placed> = members
            .iter()
            .enumerate()
            .map(|(at, member)| {
                let choice = member.choices[self.numbers[at][self.solution.chosen[at]]].clone();
                let second = if choice.targets > 1 { self.third } else { None };
                Placed { choice, home: self.home, targets: std::iter::once(self.target).chain(second).collect() }
            })
            .collect();
        let placed = stands_for.iter().map(|number| placed[*number].clone()).collect();
        GroupSolution { placed, cost: self.solution.cost, proved: self.solution.proved }
    }
}

/// No third region, and each that could be one if some member can use it.
fn thirds(task: &Task<'_>, members: &[Member], targets: &[usize], home: usize, target: usize) -> Vec<Option<usize>> {
    let wanted = members.iter().any(|member| member.choices.iter().any(|choice| choice.targets > 1));
    let apart = |a: usize, b: usize| a != b && task.ground.between(a, b).apart;
    let possible = targets.iter().filter(|third| wanted && apart(home, **third) && apart(target, **third));
    std::iter::once(None).chain(possible.map(|third| Some(*third))).collect()
}

/// For each member the options that can meet every deadline from a home, all others being as quick as they can be; `None`
/// if some member has none.
fn in_time(members: &[Member], order: &[usize], home: usize) -> Option<Vec<Vec<usize>>> {
    let mut start = vec![0_u64; members.len()];
    let mut earliest = vec![0_u64; members.len()];
    for at in order {
        let member = &members[*at];
        start[*at] = member.needs.iter().map(|need| earliest[*need]).max().unwrap_or(0);
        earliest[*at] = member.planned.iter().map(|takes| takes.ready(start[*at])).min()?;
    }
    let mut latest: Vec<u64> = members.iter().map(|member| member.deadline[home].unwrap_or(u64::MAX)).collect();
    for at in order.iter().rev() {
        let member = &members[*at];
        let before = member.planned.iter().filter_map(|takes| takes.latest_start(latest[*at])).max()?;
        for need in &member.needs {
            latest[*need] = latest[*need].min(before);
        }
    }
    let options = members.iter().enumerate().map(|(at, member)| {
        let fits = |option: &usize| member.planned[*option].ready(start[at]) <= latest[at];
        let options: Vec<usize> = (0..member.choices.len()).filter(fits).collect();
        (!options.is_empty()).then_some(options)
    });
    options.collect()
}

fn solve_placement(
    task: &Task<'_>,
    members: &[Member],
    home: usize,
    target: usize,
    third: Option<usize>,
) -> Option<(Solution, Vec<Vec<usize>>)> {
    let mut parts = Vec::with_capacity(members.len());
    let mut numbers = Vec::with_capacity(members.len());
    for member in members {
        let mut options = Vec::new();
        let mut kept = Vec::new();
        for (number, choice) in member.choices.iter().enumerate() {
            if choice.targets > 1 && third.is_none() {
                continue;
            }
            if let Some(cost) = cost_of(task, member, number, home, target, third) {
                options.push(Cost { cost, takes: member.planned[number] });
                kept.push(number);
            }
        }
        parts.push(Part { options, needs: member.needs.clone(), deadline: member.deadline[home] });
        numbers.push(kept);
    }
    solve(&parts).map(|solution| (solution, numbers))
}
