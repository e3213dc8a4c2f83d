//! The cheapest patterns, regions and sizes that meet the objectives: exact.
//!
//! Components that need each other form a group, which shares its home and its recovery regions. Groups have nothing to do
//! with each other and are solved one by one: `placement` looks for a group's regions, `cheapest` for the choices
//! there. An objective holds if 95 of 100 drawn recoveries hold it: the very ones that [`crate::predict`] reports. Groups that
//! differ in nothing but names are solved once (`likeness`).

mod cheapest;
mod likeness;
mod member;
mod placement;
mod recoveries;
mod search;
mod timing;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use lifeboat_model::app::{Component, Objectives};
use lifeboat_model::{App, ComponentId};

use self::likeness::likeness;
use self::placement::{Group, GroupSolution, solve_group};
pub(crate) use self::recoveries::Instead;
use crate::choice::{Choice, Setting};
use crate::draw::Draws;
use crate::recovery::{begin, route, steering};
use crate::site::Ground;

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
    /// How many instances stand by, fixed by the file.
    Instances(ComponentId),
    /// Where data may be.
    Residency,
}

impl Constraint {
    /// The component of which it is demanded; `None`: of all.
    pub fn component(&self) -> Option<&ComponentId> {
        match self {
            Self::Rto(id)
            | Self::Rpo(id)
            | Self::Availability(id)
            | Self::Pattern(id)
            | Self::Writer(id)
            | Self::Standbys(id)
            | Self::Regions(id)
            | Self::Instances(id) => Some(id),
            Self::Residency => None,
        }
    }
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
    /// The recoveries that must hold the objectives.
    pub draws: &'a Draws,
    /// One placement for the whole app instead of one for each group.
    pub together: bool,
    /// Only this home and this recovery region, by index.
    pub within: Option<(usize, usize)>,
    /// How often the recoveries of a group are gone through at most before the best that was found is taken, and said not to be
    /// proved: [`EFFORT`].
    pub effort: usize,
}

/// Enough for a proof in all but a few groups of some hundred components where much hangs together.
pub const EFFORT: usize = 60_000;

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

impl Placed {
    /// Every site besides its home in which it is: those that take over first, then the others in which the file has it.
    pub fn elsewhere(&self) -> impl Iterator<Item = usize> {
        let fixed = self.choice.fixed.iter().filter(|site| **site != self.home && !self.targets.contains(site));
        self.targets.iter().chain(fixed).copied()
    }

    /// Whether it is the same choice in the same regions.
    pub fn is_as(&self, other: &Self) -> bool {
        let of = |placed: &Self| (placed.home, placed.choice.pattern, placed.choice.carriage, placed.choice.standby);
        of(self) == of(other) && self.targets == other.targets && self.choice.how == other.choice.how
    }
}

/// The answer.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What was chosen, for each component of a group that has a solution.
    pub placed: BTreeMap<ComponentId, Placed>,
    /// The comparable cost of it in millionths of a USD a month.
    pub cost: i64,
    /// Nothing costs less than this: the cost itself, if that is proved to be the least.
    pub least: i64,
    /// Groups without a solution.
    pub impossible: Vec<Vec<ComponentId>>,
}

/// Solves every group.
pub fn optimise(task: &Task<'_>) -> Outcome {
    optimise_groups(task, groups(task))
}

/// Solves these groups.
pub fn optimise_groups(task: &Task<'_>, groups: Vec<Vec<ComponentId>>) -> Outcome {
    let mut outcome = Outcome::default();
    // Enormous files repeat themselves: groups that differ in nothing but names have one solution.
    let mut known: HashMap<String, Option<GroupSolution>> = HashMap::new();
    for group in groups {
        let solution = known.entry(likeness(task, &group)).or_insert_with(|| solve_group(task, &group));
        match solution {
            Some(solution) => {
                outcome.cost = outcome.cost.saturating_add(solution.cost);
                outcome.least = outcome.least.saturating_add(solution.least);
                outcome.placed.extend(group.into_iter().zip(solution.placed.iter().cloned()));
            }
            None => outcome.impossible.push(group),
        }
    }
    outcome
}

impl Outcome {
    /// Whether it is proved that nothing is cheaper.
    pub fn is_proved(&self) -> bool {
        self.least >= self.cost
    }
}

/// Solves only the groups of these components.
pub fn optimise_only(task: &Task<'_>, members: &[ComponentId]) -> Option<Outcome> {
    solve_group(task, members).map(|solution| Outcome {
        placed: members.iter().cloned().zip(solution.placed).collect(),
        cost: solution.cost,
        least: solution.least,
        impossible: Vec::new(),
    })
}

/// Whether the groups of these components have a solution. Of groups too large to be searched exactly that is told by the quickest
/// that each component can do.
pub fn is_possible(task: &Task<'_>, members: &[ComponentId]) -> bool {
    Group::new(task, members).is_some_and(|group| timing::is_possible(&group))
}

/// Whether the groups of these components hold everything if each component is as quick as it can be: told at once, but not every
/// solution is found so.
pub fn is_possible_at_once(task: &Task<'_>, members: &[ComponentId]) -> bool {
    let found = Group::new(task, members).and_then(|group| timing::quickest(&group));
    found.is_some_and(|found| found.iter().all(|found| found.holds))
}

/// What 95 of 100 recoveries of a component take at most, in seconds, if all of its group are as quick as they can be.
pub fn quickest(task: &Task<'_>, members: &[ComponentId], of: &ComponentId) -> Option<f64> {
    let group = Group::new(task, members)?;
    let found = timing::quickest(&group)?;
    let at = members.iter().position(|member| member == of)?;
    found.get(group.member_of(at)).map(|found| found.p95)
}

/// Whether a group is searched exactly.
pub fn is_exact(task: &Task<'_>, members: &[ComponentId]) -> bool {
    Group::new(task, members).is_none_or(|group| timing::is_exact(&group))
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
