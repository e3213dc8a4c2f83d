//! The cheapest patterns, regions and sizes that meet the objectives: exact.
//!
//! Components that need each other form a group, which shares its home and its recovery regions. Groups have nothing to do
//! with each other and are solved one by one. For a group every placement gets a lower bound (each component at its
//! cheapest, as if nobody waited for anybody); placements are tried from the lowest bound on, each solved exactly
//! by [`crate::schedule`], until no bound is below the best that was found.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::time::Duration;

use lifeboat_atlas::PriceBook;
use lifeboat_model::app::{Component, Kind, Objectives, Pattern, Replication};
use lifeboat_model::{App, ComponentId};

use crate::choice::{Carriage, Choice, Setting, TargetRule, alone, choices};
use crate::recovery::{begin, route, steering};
use crate::schedule::{Cost, Part, solve};
use crate::site::{Ground, may_be_in};
use crate::tariff::{Tariff, micro_usd};

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
    /// Prices.
    pub book: &'a PriceBook,
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
    let mut outcome = Outcome { proved: true, ..Outcome::default() };
    let mut tariffs = Tariffs::default();
    for group in groups(task) {
        match solve_group(task, &group, &mut tariffs) {
            Some(solution) => {
                outcome.cost += solution.cost;
                outcome.proved &= solution.proved;
                outcome.placed.extend(solution.placed);
            }
            None => outcome.impossible.push(group),
        }
    }
    outcome
}

/// Solves only the groups of these components.
pub fn optimise_only(task: &Task<'_>, members: &[ComponentId]) -> Option<Outcome> {
    solve_group(task, members, &mut Tariffs::default()).map(|solution| Outcome {
        placed: solution.placed.into_iter().collect(),
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

/// Prices per component's kind and instance, for each site.
#[derive(Default)]
struct Tariffs {
    known: HashMap<(Kind, Option<String>), std::rc::Rc<Vec<Tariff>>>,
}

impl Tariffs {
    fn of(&mut self, task: &Task<'_>, component: &Component) -> std::rc::Rc<Vec<Tariff>> {
        let key = (component.kind, component.size.instance.clone());
        self.known
            .entry(key)
            .or_insert_with(|| {
                let sites = task.ground.sites.iter();
                std::rc::Rc::new(sites.map(|site| Tariff::of(task.book, component, &site.place)).collect())
            })
            .clone()
    }
}

/// More than any cost, and small enough to be added up.
const IMPOSSIBLE: i64 = i64::MAX / 1_000_000;

/// A component with everything that its placement needs, in arrays by option and site.
struct Member {
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
    placed: Vec<(ComponentId, Placed)>,
    cost: i64,
    proved: bool,
}

fn solve_group(task: &Task<'_>, group: &[ComponentId], tariffs: &mut Tariffs) -> Option<GroupSolution> {
    let sites = task.ground.sites.len();
    let positions: HashMap<&ComponentId, usize> = group.iter().enumerate().map(|(at, id)| (id, at)).collect();
    let mut members = Vec::with_capacity(group.len());
    for id in group {
        members.push(member(task, id, &positions, tariffs)?);
    }
    let allowed = |costs: fn(&Member) -> &[i64], site: usize| {
        members
            .iter()
            .all(|member| (0..member.choices.len()).any(|option| costs(member)[option * sites + site] < IMPOSSIBLE))
    };
    let homes: Vec<usize> = (0..sites).filter(|site| allowed(|member| &member.home, *site)).collect();
    let targets: Vec<usize> = (0..sites).filter(|site| allowed(|member| &member.target, *site)).collect();
    let mut queue = Vec::new();
    for home in &homes {
        for target in &targets {
            if home != target && task.ground.between(*home, *target).apart {
                let bound = members
                    .iter()
                    .try_fold(0_i64, |sum, member| cheapest(task, member, *home, *target, None).map(|cost| sum + cost));
                if let Some(bound) = bound {
                    queue.push(Reverse((bound, task.ground.between(*home, *target).order, *home, *target)));
                }
            }
        }
    }
    let needs_two = members.iter().any(|member| member.choices.iter().any(|choice| choice.targets > 1));
    let mut queue = BinaryHeap::from(queue);
    let mut best: Option<((i64, i64), GroupSolution)> = None;
    while let Some(Reverse((bound, order, home, target))) = queue.pop() {
        if best.as_ref().is_some_and(|((cost, tie), _)| (bound, order) >= (*cost, *tie)) {
            break;
        }
        let thirds = std::iter::once(None).chain(
            targets
                .iter()
                .filter(|third| {
                    needs_two
                        && **third != home
                        && **third != target
                        && task.ground.between(home, **third).apart
                        && task.ground.between(target, **third).apart
                })
                .map(|third| Some(*third)),
        );
        for third in thirds {
            let Some(solution) = solve_placement(task, group, &members, home, target, third) else { continue };
            let tie = order + third.map_or(0, |third| task.ground.between(home, third).order.abs() + 1);
            if best.as_ref().is_none_or(|((cost, known), _)| (solution.cost, tie) < (*cost, *known)) {
                best = Some(((solution.cost, tie), solution));
            }
        }
    }
    best.map(|(_, solution)| solution)
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
        member.target[option * sites + target]
            + micro_usd(choice.traffic_gb * task.ground.between(home, target).traffic_usd)
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
    (cost < IMPOSSIBLE).then_some(cost)
}

fn cheapest(task: &Task<'_>, member: &Member, home: usize, target: usize, third: Option<usize>) -> Option<i64> {
    let deadline = member.deadline[home].unwrap_or(u64::MAX);
    (0..member.choices.len())
        .filter(|option| member.planned[*option] <= deadline)
        .filter_map(|option| cost_of(task, member, option, home, target, third))
        .min()
}

fn solve_placement(
    task: &Task<'_>,
    group: &[ComponentId],
    members: &[Member],
    home: usize,
    target: usize,
    third: Option<usize>,
) -> Option<GroupSolution> {
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
    let solution = solve(&parts)?;
    let placed = group
        .iter()
        .enumerate()
        .map(|(at, id)| {
            let choice = members[at].choices[numbers[at][solution.chosen[at]]].clone();
            let mut targets = vec![target];
            if choice.targets > 1 {
                targets.extend(third);
            }
            (id.clone(), Placed { choice, home, targets })
        })
        .collect();
    Some(GroupSolution { placed, cost: solution.cost, proved: solution.proved })
}

/// `None` if no option is left.
fn member(
    task: &Task<'_>,
    id: &ComponentId,
    positions: &HashMap<&ComponentId, usize>,
    tariffs: &mut Tariffs,
) -> Option<Member> {
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
    let rates = tariffs.of(task, component);
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
