//! The cheapest patterns, regions and sizes that meet the objectives: exact.
//!
//! Components that need each other form a group, which shares its home and its recovery regions. Groups have nothing to do
//! with each other and are solved one by one. For a group every placement gets a lower bound (each component at its
//! cheapest, as if nobody waited for anybody); placements are tried from the lowest bound on, each solved exactly
//! by [`crate::schedule`], until no bound is below the best that was found.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::time::Duration;

use lifeboat_model::app::{Component, Objectives, Pattern, Replication};
use lifeboat_model::{App, ComponentId};

use crate::choice::{Carriage, Choice, Setting, TargetRule, alone, choices};
use crate::recovery::{begin, route, steering};
use crate::schedule::{Cost, Part, Solution, solve, topological};
use crate::site::{Ground, may_be_in};
use crate::tariff::micro_usd;

/// Something that the file demands or fixes, and that may contradict the rest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Constraint {
    /// A component's RTO.
    Rto(ComponentId),
    /// A component's RPO.
    Rpo(ComponentId),
    /// A component's availability.
    Availability(ComponentId),
    /// A component's pattern, fixed by the file.
    Pattern(ComponentId),
    /// A database's writer, fixed by the file.
    Writer(ComponentId),
    /// A database's standbys, fixed by the file.
    Standbys(ComponentId),
    /// Where a compute runs, fixed by the file.
    Regions(ComponentId),
    /// Where data may be.
    Residency,
}

/// A question to the optimiser.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    /// The app and the facts.
    pub setting: Setting<'a>,
    /// The regions.
    pub ground: &'a Ground,
    /// What is not to be regarded.
    pub relaxed: &'a BTreeSet<Constraint>,
    /// Whether patterns, writers, standbys and regions that the file fixes are kept.
    pub keep_pins: bool,
    /// By how much the planned time of a component must stay below its RTO, where planning by quantiles of single steps
    /// proved too hopeful: a factor above one.
    pub margins: &'a BTreeMap<ComponentId, f64>,
    /// One placement for the whole app instead of one for each group.
    pub together: bool,
}

/// What was chosen for a component.
#[derive(Clone, Debug)]
pub struct Placed {
    /// How it is protected.
    pub choice: Choice,
    /// Index of the site where it serves in peace time.
    pub home: usize,
    /// Indices of the sites that take over; the first is the one that does.
    pub targets: Vec<usize>,
}

/// The answer.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What was chosen, for each component of a group that has a solution.
    pub placed: BTreeMap<ComponentId, Placed>,
    /// The comparable cost of it in millionths of a USD a month.
    pub cost: i64,
    /// Whether it is proved that nothing is cheaper.
    pub proved: bool,
    /// Groups without a solution.
    pub impossible: Vec<Vec<ComponentId>>,
}

/// Solves every group.
pub fn optimise(task: &Task<'_>) -> Outcome {
    optimise_groups(task, groups(task))
}

/// Solves these groups.
pub fn optimise_groups(task: &Task<'_>, groups: Vec<Vec<ComponentId>>) -> Outcome {
    let mut outcome = Outcome { proved: true, ..Outcome::default() };
    // Enormous files repeat themselves: groups that differ in nothing but names have one solution.
    let mut known: HashMap<String, Option<GroupSolution>> = HashMap::new();
    for group in groups {
        let solution = known.entry(likeness(task, &group)).or_insert_with(|| solve_group(task, &group));
        match solution {
            Some(solution) => {
                outcome.cost += solution.cost;
                outcome.proved &= solution.proved;
                outcome.placed.extend(group.into_iter().zip(solution.placed.iter().cloned()));
            }
            None => outcome.impossible.push(group),
        }
    }
    outcome
}

/// Everything that a group's solution depends on, without names.
fn likeness(task: &Task<'_>, group: &[ComponentId]) -> String {
    let positions: HashMap<&ComponentId, usize> = group.iter().enumerate().map(|(at, id)| (id, at)).collect();
    group.iter().map(|id| likeness_of(task, id, &positions)).collect()
}

/// Everything that a component's choice depends on, what it needs by position.
fn likeness_of(task: &Task<'_>, id: &ComponentId, positions: &HashMap<&ComponentId, usize>) -> String {
    let app = task.setting.app;
    let Some(component) = app.components.get(id) else { return String::new() };
    let needs: Vec<usize> = component.needs.iter().filter_map(|need| positions.get(need).copied()).collect();
    let Component { kind, pattern, writer, standbys, reads, regions, size, .. } = component;
    let objectives = objectives(app, component);
    let margin = task.margins.get(id);
    let routes: Vec<_> = app.routes.values().filter(|route| route.to == *id).map(|route| route.ttl).collect();
    let relaxed: Vec<_> = task.relaxed.iter().filter(|constraint| constraint.is_of(id)).map(Constraint::kind).collect();
    let size = (&size.instance, size.count, size.storage, size.writes_per_day);
    format!(
        "{kind:?}{pattern:?}{writer:?}{standbys:?}{reads:?}{regions:?}{size:?}{objectives:?}{needs:?}{margin:?}{routes:?}{relaxed:?};"
    )
}

/// Members of a group that nobody needs and that are alike, merged: for each member the number of the one that stands for it,
/// and for each of those how many it stands for. They have the same solution, so this is exact.
fn merged(task: &Task<'_>, group: &[ComponentId]) -> (Vec<usize>, Vec<(ComponentId, i64)>) {
    let app = task.setting.app;
    let positions: HashMap<&ComponentId, usize> = group.iter().enumerate().map(|(at, id)| (id, at)).collect();
    let needed: BTreeSet<&ComponentId> =
        group.iter().filter_map(|id| app.components.get(id)).flat_map(|component| &component.needs).collect();
    let mut stands_for = Vec::with_capacity(group.len());
    let mut kept: Vec<(ComponentId, i64)> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for id in group {
        let next = kept.len();
        let number =
            if needed.contains(id) { next } else { *known.entry(likeness_of(task, id, &positions)).or_insert(next) };
        if number == next {
            kept.push((id.clone(), 0));
        }
        kept[number].1 += 1;
        stands_for.push(number);
    }
    (stands_for, kept)
}

impl Constraint {
    /// What it is, without the component.
    fn kind(&self) -> &'static str {
        match self {
            Self::Rto(_) => "rto",
            Self::Rpo(_) => "rpo",
            Self::Availability(_) => "availability",
            Self::Pattern(_) => "pattern",
            Self::Writer(_) => "writer",
            Self::Standbys(_) => "standbys",
            Self::Regions(_) => "regions",
            Self::Residency => "residency",
        }
    }

    /// Whether it is a demand on this component alone.
    fn is_of(&self, component: &ComponentId) -> bool {
        match self {
            Self::Rto(id)
            | Self::Rpo(id)
            | Self::Availability(id)
            | Self::Pattern(id)
            | Self::Writer(id)
            | Self::Standbys(id)
            | Self::Regions(id) => id == component,
            Self::Residency => false,
        }
    }
}

/// Solves only the groups of these components.
pub fn optimise_only(task: &Task<'_>, members: &[ComponentId]) -> Option<Outcome> {
    solve_group(task, members).map(|solution| Outcome {
        placed: members.iter().cloned().zip(solution.placed).collect(),
        cost: solution.cost,
        proved: solution.proved,
        impossible: Vec::new(),
    })
}

/// The objectives that hold for a component: the tighter of its own and the app's.
pub fn objectives(app: &App, component: &Component) -> Objectives {
    let tighter = |own: Option<Duration>, general: Option<Duration>| match (own, general) {
        (Some(own), Some(general)) => Some(own.min(general)),
        (one, other) => one.or(other),
    };
    let own = &component.objectives;
    Objectives {
        rto: tighter(own.rto, app.objectives.rto),
        rpo: tighter(own.rpo, app.objectives.rpo),
        residency: if own.residency.is_empty() { app.objectives.residency.clone() } else { own.residency.clone() },
        availability: match (own.availability, app.objectives.availability) {
            (Some(own), Some(general)) => Some(own.max(general)),
            (one, other) => one.or(other),
        },
        cost: None,
    }
}

/// Components that need each other, directly or through others. Two whose writers the file puts into different regions
/// cannot share a home and stay apart.
pub fn groups(task: &Task<'_>) -> Vec<Vec<ComponentId>> {
    let app = task.setting.app;
    let ids: Vec<&ComponentId> = app.components.keys().collect();
    let index: HashMap<&ComponentId, usize> = ids.iter().enumerate().map(|(at, id)| (*id, at)).collect();
    let mut parent: Vec<usize> = (0..ids.len()).collect();
    let mut home: Vec<Option<&str>> =
        ids.iter().map(|id| pinned_home(task, id, &app.components[*id]).map(|region| region.as_str())).collect();
    fn root(parent: &mut [usize], mut at: usize) -> usize {
        while parent[at] != at {
            parent[at] = parent[parent[at]];
            at = parent[at];
        }
        at
    }
    let mut join = |a: usize, b: usize| {
        let (a, b) = (root(&mut parent, a), root(&mut parent, b));
        if a != b && (home[a] == home[b] || home[a].is_none() || home[b].is_none()) {
            let (low, high) = (a.min(b), a.max(b));
            home[low] = home[low].or(home[high]);
            parent[high] = low;
        }
    };
    for (at, id) in ids.iter().enumerate() {
        for need in &app.components[*id].needs {
            if let Some(other) = index.get(need) {
                join(at, *other);
            }
        }
        if task.together {
            join(0, at);
        }
    }
    let mut members: BTreeMap<usize, Vec<ComponentId>> = BTreeMap::new();
    for (at, id) in ids.iter().enumerate() {
        members.entry(root(&mut parent, at)).or_default().push((*id).clone());
    }
    members.into_values().collect()
}

fn pinned_home<'a>(
    task: &Task<'_>,
    id: &ComponentId,
    component: &'a Component,
) -> Option<&'a lifeboat_model::RegionId> {
    let free = !task.keep_pins || task.relaxed.contains(&Constraint::Writer(id.clone()));
    if free { None } else { component.writer.as_ref() }
}

/// More than any cost, and small enough to be added up.
const IMPOSSIBLE: i64 = i64::MAX / 1_000_000;

/// A component with everything that its placement needs, in arrays by option and site.
struct Member {
    /// How many components it stands for.
    count: i64,
    choices: Vec<Choice>,
    planned: Vec<u64>,
    /// `[option * sites + site]`; [`IMPOSSIBLE`] where it may not be.
    home: Vec<i64>,
    target: Vec<i64>,
    /// Of each option, the least cost of a second target.
    second: Vec<i64>,
    /// `[site]`: when it must be ready, counted from the decision.
    deadline: Vec<Option<u64>>,
    needs: Vec<usize>,
}

struct GroupSolution {
    /// In the order of the group.
    placed: Vec<Placed>,
    cost: i64,
    proved: bool,
}

fn solve_group(task: &Task<'_>, group: &[ComponentId]) -> Option<GroupSolution> {
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
    let homes: Vec<usize> = (0..sites).filter(|site| allowed(|member| &member.home, *site)).collect();
    let targets: Vec<usize> = (0..sites).filter(|site| allowed(|member| &member.target, *site)).collect();
    let needs: Vec<&[usize]> = members.iter().map(|member| member.needs.as_slice()).collect();
    let order = topological(&needs)?;
    let mut bounds = Vec::new();
    for home in homes {
        // Only options that can be in time if everybody else is as quick as can be.
        let Some(in_time) = in_time(&members, &order, home) else { continue };
        let mut of_home = bounds_of(task, &members, &in_time, home, &targets);
        of_home.sort_unstable();
        bounds.push((home, in_time, of_home));
    }
    // Whatever costs more than some solution needs no better bound.
    let promising = bounds.iter().filter_map(|(home, _, of_home)| of_home.first().map(|first| (*first, *home))).min();
    let limit = promising
        .and_then(|((_, _, target), home)| solve_placement(task, &members, home, target, None))
        .map_or(i64::MAX, |(solution, _)| solution.cost);
    let mut queue = Vec::new();
    for (home, in_time, of_home) in &bounds {
        for alike in of_home.chunks(if members.len() > 1 { ALIKE } else { of_home.len().max(1) }) {
            if alike[0].0 > limit {
                break;
            }
            let Some(penalty) = penalty(task, &members, in_time, *home, alike) else { continue };
            queue.extend(alike.iter().map(|(bound, order, target)| Reverse((bound + penalty, *order, *home, *target))));
        }
    }
    let mut queue = BinaryHeap::from(queue);
    let mut best: Option<Found> = None;
    while let Some(Reverse((bound, tie, home, target))) = queue.pop() {
        if best.as_ref().is_some_and(|best| (bound, tie) > (best.solution.cost, best.tie)) {
            break;
        }
        for third in thirds(task, &members, &targets, home, target) {
            let Some((solution, numbers)) = solve_placement(task, &members, home, target, third) else { continue };
            let tie = tie + third.map_or(0, |third| task.ground.between(home, third).order.abs() + 1);
            if best.as_ref().is_none_or(|best| (solution.cost, tie, home, target) < best.rank()) {
                best = Some(Found { solution, numbers, tie, home, target, third });
            }
        }
    }
    best.map(|best| best.into_group_solution(&members, &stands_for))
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
            costs.min().map(|cost| sum + cost)
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
    let fastest: Vec<u64> = members.iter().map(|member| member.planned.iter().copied().min().unwrap_or(0)).collect();
    let mut start = vec![0_u64; members.len()];
    for at in order {
        start[*at] = members[*at].needs.iter().map(|need| start[*need] + fastest[*need]).max().unwrap_or(0);
    }
    let mut ready: Vec<u64> = members.iter().map(|member| member.deadline[home].unwrap_or(u64::MAX)).collect();
    for at in order.iter().rev() {
        let before = ready[*at].saturating_sub(fastest[*at]);
        for need in &members[*at].needs {
            ready[*need] = ready[*need].min(before);
        }
    }
    let options = members.iter().enumerate().map(|(at, member)| {
        let fits = |option: &usize| start[at].saturating_add(member.planned[*option]) <= ready[at];
        let options: Vec<usize> = (0..member.choices.len()).filter(fits).collect();
        (!options.is_empty()).then_some(options)
    });
    options.collect()
}

/// What an option costs in a placement. Without a third region, `third` is `None`, and an option that needs one counts with
/// the least that any could cost: a bound.
fn cost_of(
    task: &Task<'_>,
    member: &Member,
    option: usize,
    home: usize,
    target: usize,
    third: Option<usize>,
) -> Option<i64> {
    let sites = task.ground.sites.len();
    let choice = &member.choices[option];
    let fits = |target: usize| {
        let between = task.ground.between(home, target);
        match choice.rule {
            TargetRule::Any => true,
            TargetRule::AzurePair => between.paired,
            TargetRule::Near => between.near,
        }
    };
    let to = |target: usize| {
        let traffic = if choice.traffic_gb > 0.0 {
            micro_usd(choice.traffic_gb * task.ground.between(home, target).traffic_usd)
        } else {
            0
        };
        member.target[option * sites + target] + traffic
    };
    if !fits(target) {
        return None;
    }
    let mut cost = member.home[option * sites + home] + to(target);
    if choice.targets > 1 {
        cost += match third {
            Some(third) if fits(third) => to(third),
            Some(_) => return None,
            None => member.second[option],
        };
    }
    (cost < IMPOSSIBLE).then(|| cost * member.count)
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

/// `None` if no option is left.
fn member(task: &Task<'_>, id: &ComponentId, positions: &HashMap<&ComponentId, usize>) -> Option<Member> {
    let app = task.setting.app;
    let component = app.components.get(id)?;
    let objectives = objectives(app, component);
    let holds = |constraint: fn(ComponentId) -> Constraint| !task.relaxed.contains(&constraint(id.clone()));
    let pinned = |constraint: fn(ComponentId) -> Constraint| task.keep_pins && holds(constraint);
    let rpo = if component.kind.is_database() && holds(Constraint::Rpo) { objectives.rpo } else { None };
    let rpo_ms = rpo.map_or(u64::MAX, |rpo| u64::try_from(rpo.as_millis()).unwrap_or(u64::MAX));
    let pattern: Option<Pattern> = if pinned(Constraint::Pattern) { component.pattern } else { None };
    let choices: Vec<Choice> = choices(task.setting, id, component)
        .into_iter()
        .filter(|choice| choice.planned_loss_ms() <= rpo_ms && pattern.is_none_or(|pattern| choice.pattern == pattern))
        .collect();
    if choices.is_empty() {
        return None;
    }
    let residency = (!task.relaxed.contains(&Constraint::Residency)).then_some(&objectives.residency);
    let regions = pinned(Constraint::Regions).then_some(&component.regions);
    let home_pin = pinned_home(task, id, component);
    let standbys = (pinned(Constraint::Standbys) && !component.standbys.is_empty()).then_some(&component.standbys);
    let rates = task.ground.tariffs(component);
    let sites = task.ground.sites.len();
    let mut home = vec![IMPOSSIBLE; choices.len() * sites];
    let mut target = vec![IMPOSSIBLE; choices.len() * sites];
    let base = alone(component);
    let limits = deadlines(task, id, &objectives);
    for (at, site) in task.ground.sites.iter().enumerate() {
        let refused = may_be_in(task.setting.atlas, component, residency, regions, site);
        let home_fits = match home_pin {
            // A home that the file fixes may be in a bad state; its residency still counts.
            Some(pin) => {
                site.region.as_ref() == Some(pin) && matches!(refused, Ok(()) | Err(crate::site::Refusal::Status(_)))
            }
            None => refused.is_ok(),
        };
        for (option, choice) in choices.iter().enumerate() {
            if home_fits && limits[at].is_some() {
                // The last term breaks ties towards what is simpler, by millionths of a dollar.
                home[option * sites + at] =
                    rates[at].compare(&base) + rates[at].compare(&choice.at_home) + i64::from(choice.complexity);
            }
            let carriage_fits = standbys.is_none_or(|standbys| {
                let mode = site.region.as_ref().and_then(|region| standbys.get(region));
                match mode {
                    Some(Replication::Synchronous) => choice.carriage == Carriage::Synchronous,
                    Some(Replication::Asynchronous) => choice.carriage != Carriage::Synchronous,
                    None => false,
                }
            });
            if refused.is_ok() && carriage_fits {
                target[option * sites + at] = rates[at].compare(&choice.per_target);
            }
        }
    }
    let second = (0..choices.len())
        .map(|option| target[option * sites..(option + 1) * sites].iter().copied().min().unwrap_or(IMPOSSIBLE))
        .collect();
    let needs = component.needs.iter().filter_map(|need| positions.get(need).copied()).collect();
    let deadline = limits.into_iter().map(Option::flatten).collect();
    Some(Member {
        count: 1,
        planned: choices.iter().map(Choice::planned_ms).collect(),
        choices,
        home,
        target,
        second,
        deadline,
        needs,
    })
}

/// Milliseconds in a year.
const YEAR_MS: f64 = 8766.0 * 3_600_000.0;

/// By when a component must be ready, counted from the decision, for each home: `Some(None)`, whenever; `None`, before the
/// decision could even be made.
fn deadlines(task: &Task<'_>, id: &ComponentId, objectives: &Objectives) -> Vec<Option<Option<u64>>> {
    let rto = if task.relaxed.contains(&Constraint::Rto(id.clone())) { None } else { objectives.rto };
    let availability =
        if task.relaxed.contains(&Constraint::Availability(id.clone())) { None } else { objectives.availability };
    if rto.is_none() && availability.is_none() {
        return vec![Some(None); task.ground.sites.len()];
    }
    let margin = task.margins.get(id).copied().unwrap_or(1.0);
    let before = overhead_ms(task.setting, id);
    task.ground
        .sites
        .iter()
        .map(|site| {
            #[expect(clippy::cast_precision_loss, reason = "an objective of at most some years")]
            let by_rto = rto.map_or(f64::INFINITY, |rto| rto.as_millis() as f64);
            let by_availability = availability.map_or(f64::INFINITY, |share| {
                let rate = task.setting.atlas.outage_rate(&site.place).map_or(0.0, |rate| rate.per_year.value);
                if rate > 0.0 { (1.0 - share) * YEAR_MS / rate } else { f64::INFINITY }
            });
            let within = by_rto.min(by_availability);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "milliseconds of at most some years"
            )]
            let whole = within.is_finite().then(|| (within / margin) as u64);
            whole.map_or(Some(None), |whole| whole.checked_sub(before).map(Some))
        })
        .collect()
}

/// Detecting, deciding and turning the component's route, as planned, in ms.
pub fn overhead_ms(setting: Setting<'_>, id: &ComponentId) -> u64 {
    let begin: u64 = begin(setting.app, setting.history).iter().map(|step| step.takes.planned_ms()).sum();
    begin + route_ms(setting, id)
}

/// Turning the slowest of the component's routes, as planned, in ms.
fn route_ms(setting: Setting<'_>, id: &ComponentId) -> u64 {
    let steering = steering(setting.app);
    setting
        .app
        .routes
        .values()
        .filter(|route| route.to == *id)
        .map(|to| route(to, steering, setting.history, setting.atlas).takes.planned_ms())
        .max()
        .unwrap_or(0)
}
