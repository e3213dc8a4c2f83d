//! The drawn recoveries of a group, for whatever is chosen for its members: the same that [`crate::predict`] draws along the
//! plan.
//!
//! A selection says for each member which way it goes. A member may also be left open between several: it counts as quick as any
//! of them in each recovery, so that what is late then is late whichever is chosen. What was worked out for a selection is kept.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use lifeboat_model::ComponentId;
use lifeboat_plan::StepKind as Planned;

use super::member::{Limits, Member};
use super::{Placed, Task};
use crate::choice::{Choice, Setting};
use crate::draw::{Dice, Draws, Samples, TOLERANCE, later};
use crate::predict::{detaching, mean};
use crate::spread::Spread;
use crate::verdict::availability;

/// Which way a member goes.
pub(super) type WayId = u32;
/// As quick as any of its ways, in each recovery.
pub(super) const OPEN: WayId = WayId::MAX;
/// As slow as any of its ways, in each recovery.
pub(super) const SLOWEST: WayId = WayId::MAX - 1;

/// The way of an option, with or without standbys that have to stop confirming first.
pub(super) fn way_id(option: usize, detaches: bool) -> WayId {
    WayId::try_from(option).map_or(SLOWEST, |option| option * 2 + WayId::from(detaches))
}

/// The option of a way.
pub(super) fn option_of(way: WayId) -> usize {
    (way / 2) as usize
}

/// What a member does in each recovery.
#[derive(Clone, Default)]
struct Way {
    /// Of a database, when it is claimed.
    claim: Option<Samples>,
    /// Of a database, when it is open; of a compute that starts, what starting takes once all databases behind it are claimed.
    alone: Option<Samples>,
    /// Of a compute, what it takes once it has started and all that it needs serves.
    after: Option<Samples>,
}

struct Node {
    database: bool,
    needs: Vec<usize>,
    /// Itself and what stands behind it, what is needed first.
    closure: Vec<usize>,
    ways: Vec<Way>,
    /// What stands for several of its ways: [`Recoveries::quickest_of`].
    several: RefCell<Several>,
    open: Way,
    slowest: Way,
    /// Turning its clients.
    route: Option<Samples>,
    limits: Limits,
}

/// Ways that stand for several.
#[derive(Default)]
struct Several {
    known: HashMap<Vec<WayId>, WayId>,
    /// Those that are none of the several, numbered on from the last real way.
    ways: Vec<Way>,
    /// Of a pair, whether the first is as quick as the second in every recovery.
    as_quick: HashMap<(WayId, WayId), bool>,
}

/// What became of a member in all recoveries.
#[derive(Clone, Copy, Debug)]
struct Fate {
    late: usize,
    mean: f64,
}

/// Everything that is known of a group's recoveries.
pub(super) struct Recoveries<'a> {
    draws: &'a Draws,
    nodes: Vec<Node>,
    /// Losses a year of a home, by site.
    rates: Vec<f64>,
    /// Members that have to hold something, and whether they might not.
    pub deadlines: Vec<usize>,
    fates: Vec<RefCell<HashMap<Vec<WayId>, Fate>>>,
    ready: Vec<RefCell<HashMap<Vec<WayId>, Samples>>>,
    kept: Cell<usize>,
    /// How many times recoveries were gone through.
    pub work: Cell<usize>,
    /// How often they may be; beyond it the best that was found is taken, and said not to be proved.
    pub bound: Cell<usize>,
}

/// So many times that something is ready are kept; then all are forgotten.
const KEPT: usize = 600;

impl<'a> Recoveries<'a> {
    /// Of members in an order in which what is needed comes first.
    pub fn new(task: &Task<'a>, ids: &[ComponentId], members: &[Member], order: &[usize]) -> Self {
        let closures = closures(members, order);
        let nodes: Vec<Node> = ids
            .iter()
            .zip(members)
            .zip(closures)
            .map(|((id, member), closure)| Node::new(task, id, member, closure))
            .collect();
        let matters = nodes.iter().any(|node| node.limits.availability.is_some());
        let rate = |site: &crate::site::Site| {
            let rate = matters.then(|| task.setting.atlas.outage_rate(&site.place)).flatten();
            rate.map_or(0.0, |rate| rate.per_year.value)
        };
        let empty = || (0..nodes.len()).map(|_| RefCell::default()).collect();
        let mut this = Self {
            draws: task.draws,
            rates: task.ground.sites.iter().map(rate).collect(),
            deadlines: Vec::new(),
            fates: empty(),
            ready: (0..nodes.len()).map(|_| RefCell::default()).collect(),
            kept: Cell::new(0),
            work: Cell::new(0),
            bound: Cell::new(usize::MAX),
            nodes,
        };
        this.deadlines = this.may_be_missed();
        this
    }

    /// Members that have something to hold and do not hold it if everybody is slow.
    fn may_be_missed(&self) -> Vec<usize> {
        let slow = vec![SLOWEST; self.nodes.len()];
        let homes = if self.depends_on_home() { self.rates.len() } else { self.rates.len().min(1) };
        let missed = |node: &usize| (0..homes).any(|home| !self.holds(*node, &slow, home));
        (0..self.nodes.len()).filter(missed).collect()
    }

    /// Itself and what stands behind it.
    pub fn closure(&self, node: usize) -> &[usize] {
        &self.nodes[node].closure
    }

    /// Whether what a member must hold depends on its home.
    pub fn depends_on_home(&self) -> bool {
        self.nodes.iter().any(|node| node.limits.availability.is_some())
    }

    /// Whether a member holds what it must, in a home.
    pub fn holds(&self, node: usize, selection: &[WayId], home: usize) -> bool {
        let Limits { rto, availability: share } = self.nodes[node].limits;
        if rto.is_none() && share.is_none() {
            return true;
        }
        let fate = self.fate(node, selection);
        let serves = |share| availability(self.rates[home], fate.mean) >= share;
        fate.late <= self.draws.may_be_late() && share.is_none_or(serves)
    }

    /// The way that is as quick as any of these in each recovery: one of them, if one is.
    pub fn quickest_of(&self, node: usize, ways: &[WayId]) -> WayId {
        if let [only] = ways {
            return *only;
        }
        let mut key = ways.to_vec();
        key.sort_unstable();
        if let Some(known) = self.nodes[node].several.borrow().known.get(&key) {
            return *known;
        }
        let one = key.iter().find(|one| key.iter().all(|other| self.is_as_quick(node, **one, *other))).copied();
        let of = &self.nodes[node];
        let mut several = of.several.borrow_mut();
        let id = one.unwrap_or_else(|| {
            let real: Vec<&Way> = key.iter().filter_map(|way| of.ways.get(*way as usize)).collect();
            several.ways.push(Way::quickest(&real));
            WayId::try_from(of.ways.len() + several.ways.len() - 1).unwrap_or(OPEN)
        });
        several.known.insert(key, id);
        id
    }

    /// Whether one way of a member is as quick as another in every recovery.
    pub fn is_as_quick(&self, node: usize, one: WayId, other: WayId) -> bool {
        let of = &self.nodes[node];
        let compare = || of.ways[one as usize].is_as_quick_as(&of.ways[other as usize]);
        one == other || *of.several.borrow_mut().as_quick.entry((one, other)).or_insert_with(compare)
    }

    fn fate(&self, node: usize, selection: &[WayId]) -> Fate {
        let key: Vec<WayId> = self.nodes[node].closure.iter().map(|member| selection[*member]).collect();
        if let Some(known) = self.fates[node].borrow().get(&key) {
            return *known;
        }
        let ready = self.ready(node, selection);
        self.work.set(self.work.get() + 1);
        let Node { route, limits, .. } = &self.nodes[node];
        let fate = fate(&ready, route.as_deref(), self.draws.began(), *limits);
        self.fates[node].borrow_mut().insert(key, fate);
        fate
    }

    /// When a member serves, in each recovery.
    fn ready(&self, node: usize, selection: &[WayId]) -> Samples {
        let of = &self.nodes[node];
        let key: Vec<WayId> = of.closure.iter().map(|member| selection[*member]).collect();
        if let Some(known) = self.ready[node].borrow().get(&key) {
            return known.clone();
        }
        let needs = of.needs.iter().map(|need| self.ready(*need, selection));
        let start = needs.reduce(|one, other| later(&one, &other));
        let way = of.way(selection[node]);
        let starts = !of.database && way.alone.is_some();
        let claims = if starts { self.claims(node, selection) } else { None };
        self.work.set(self.work.get() + 1 + of.needs.len());
        let ready = serves(of.database, &way, start, claims, self.draws.count());
        if self.kept.get() >= KEPT {
            self.ready.iter().for_each(|of| of.borrow_mut().clear());
            self.kept.set(0);
        }
        self.kept.set(self.kept.get() + 1);
        self.ready[node].borrow_mut().insert(key, ready.clone());
        ready
    }

    /// When all databases behind a compute are claimed; `None`: at once.
    fn claims(&self, node: usize, selection: &[WayId]) -> Option<Samples> {
        // Claims go through compute, not through databases.
        let mut stack = self.nodes[node].needs.clone();
        let mut seen = std::collections::BTreeSet::new();
        let mut latest: Option<Samples> = None;
        while let Some(need) = stack.pop() {
            if !seen.insert(need) {
                continue;
            }
            let of = &self.nodes[need];
            if !of.database {
                stack.extend(&of.needs);
            } else if let Some(claim) = of.way(selection[need]).claim {
                latest = Some(latest.map_or_else(|| Rc::clone(&claim), |latest| later(&latest, &claim)));
            }
        }
        latest
    }
}

impl Node {
    fn new(task: &Task<'_>, id: &ComponentId, member: &Member, closure: Vec<usize>) -> Self {
        let database = task.setting.app.components.get(id).is_some_and(|component| component.kind.is_database());
        let detach = member.may_detach.then(|| detaching(task.setting.history, id));
        let mut ways = Vec::with_capacity(member.choices.len() * 2);
        for choice in &member.choices {
            ways.push(way(task.draws, id, choice, database, None));
            ways.push(match &detach {
                Some(detach) => way(task.draws, id, choice, database, Some(detach)),
                None => Way::default(),
            });
        }
        let real: Vec<&Way> = ways.iter().step_by(if detach.is_some() { 1 } else { 2 }).collect();
        Self {
            database,
            needs: member.needs.clone(),
            closure,
            open: Way::quickest(&real),
            slowest: Way::slowest(&real),
            ways,
            several: RefCell::default(),
            route: task.draws.routes(task.setting, id),
            limits: member.limits,
        }
    }

    fn way(&self, id: WayId) -> Way {
        match id {
            OPEN => self.open.clone(),
            SLOWEST => self.slowest.clone(),
            id => {
                let several = || self.several.borrow().ways[id as usize - self.ways.len()].clone();
                self.ways.get(id as usize).cloned().unwrap_or_else(several)
            }
        }
    }
}

impl Way {
    fn parts(&self) -> [&Option<Samples>; 3] {
        [&self.claim, &self.alone, &self.after]
    }

    fn joined(ways: &[&Self], join: fn(Vec<&Option<Samples>>) -> Option<Samples>) -> Self {
        let [claim, alone, after] = [0, 1, 2].map(|part| join(ways.iter().map(|way| way.parts()[part]).collect()));
        Self { claim, alone, after }
    }

    /// As quick as any of these, in each recovery.
    fn quickest(ways: &[&Self]) -> Self {
        Self::joined(ways, quickest)
    }

    /// As slow as any of these, in each recovery.
    fn slowest(ways: &[&Self]) -> Self {
        Self::joined(ways, slowest)
    }

    fn is_as_quick_as(&self, other: &Self) -> bool {
        let quicker = |(one, other): (&Option<Samples>, &Option<Samples>)| match (one, other) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(one), Some(other)) => Rc::ptr_eq(one, other) || one.iter().zip(other.iter()).all(|(a, b)| a <= b),
        };
        self.parts().into_iter().zip(other.parts()).all(quicker)
    }
}

/// When something serves: the same arithmetic, in the same order, as along the plan.
fn serves(database: bool, way: &Way, start: Option<Samples>, claims: Option<Samples>, count: usize) -> Samples {
    let zero = || Samples::from(vec![0.0; count]);
    let machine = match (&way.alone, claims) {
        (Some(alone), Some(claims)) if !database => Some(sum(&claims, alone)),
        (Some(alone), _) => Some(Rc::clone(alone)),
        (None, _) => None,
    };
    let ready = match (start, machine) {
        (Some(start), Some(machine)) => later(&start, &machine),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => zero(),
    };
    match &way.after {
        Some(after) => sum(&ready, after),
        None => ready,
    }
}

fn sum(one: &[f64], other: &[f64]) -> Samples {
    one.iter().zip(other).map(|(one, other)| one + other).collect()
}

fn fate(ready: &[f64], route: Option<&[f64]>, began: &[f64], limits: Limits) -> Fate {
    let limit = limits.rto.unwrap_or(f64::INFINITY) + TOLERANCE;
    let late = match route {
        Some(route) => {
            let total = ready.iter().zip(route).zip(began);
            total.filter(|((ready, route), began)| **ready + **route + **began > limit).count()
        }
        None => ready.iter().zip(began).filter(|(ready, began)| **ready + **began > limit).count(),
    };
    let mean = if limits.availability.is_some() {
        let served = route.map_or_else(|| Samples::from(ready), |route| sum(ready, route));
        mean(&sum(&served, began))
    } else {
        0.0
    };
    Fate { late, mean }
}

/// What a choice does in each recovery.
fn way(draws: &Draws, id: &ComponentId, choice: &Choice, database: bool, detach: Option<&Spread>) -> Way {
    let add = |sum_of: Option<Samples>, takes: &Spread, dice: Dice| {
        if takes.is_never_more_than_zero() {
            return sum_of;
        }
        let drawn = draws.of(id, dice, takes);
        Some(match sum_of {
            Some(before) => sum(&before, &drawn),
            None => drawn,
        })
    };
    let parts = |so_far: Option<Samples>, planned: &Planned| {
        let steps = choice.steps.iter().filter(|step| step.kind.is_part_of(planned));
        steps.fold(so_far, |so_far, step| add(so_far, &step.takes, Dice::Step(step.kind)))
    };
    if database {
        let claim = parts(None, &Planned::Claim(id.clone()));
        let fenced = match detach {
            Some(detach) => add(claim.clone(), detach, Dice::Detach),
            None => claim.clone(),
        };
        let promoted = parts(fenced, &Planned::Promote(id.clone()));
        let open = parts(promoted, &Planned::Open(id.clone()));
        return Way { claim, alone: open, after: None };
    }
    let start = Planned::StartCompute(id.clone());
    let starts = choice.steps.iter().any(|step| step.kind.is_part_of(&start));
    let alone = parts(None, &start).or_else(|| starts.then(|| vec![0.0; draws.count()].into()));
    Way { claim: None, alone, after: parts(None, &Planned::AwaitCompute(id.clone())) }
}

/// The least in each recovery; nothing is less than anything.
fn quickest(of: Vec<&Option<Samples>>) -> Option<Samples> {
    let all: Option<Vec<&Samples>> = of.into_iter().map(Option::as_ref).collect();
    let least = |one: Samples, other: &Samples| one.iter().zip(other.iter()).map(|(a, b)| a.min(*b)).collect();
    let (first, others) = all.as_ref()?.split_first()?;
    Some(others.iter().fold(Rc::clone(first), |one, other| least(one, other)))
}

/// The most in each recovery.
fn slowest(of: Vec<&Option<Samples>>) -> Option<Samples> {
    of.into_iter().flatten().cloned().reduce(|one, other| later(&one, &other))
}

/// Of each member itself and what stands behind it, what is needed first.
fn closures(members: &[Member], order: &[usize]) -> Vec<Vec<usize>> {
    let mut place = vec![0; members.len()];
    order.iter().enumerate().for_each(|(at, member)| place[*member] = at);
    let mut closures: Vec<Vec<usize>> = vec![Vec::new(); members.len()];
    for member in order {
        let mut closure: Vec<usize> =
            members[*member].needs.iter().flat_map(|need| closures[*need].iter().copied()).chain([*member]).collect();
        closure.sort_unstable_by_key(|of| place[*of]);
        closure.dedup();
        closures[*member] = closure;
    }
    closures
}

/// How large all closures are together: `None` from `limit` on.
pub(super) fn extent(members: &[Member], order: &[usize], limit: usize) -> Option<usize> {
    let mut sizes: Vec<std::collections::BTreeSet<usize>> = vec![Default::default(); members.len()];
    let mut total = 0;
    for member in order {
        let mut closure = std::collections::BTreeSet::from([*member]);
        for need in &members[*member].needs {
            closure.extend(&sizes[*need]);
        }
        total += closure.len();
        if total >= limit {
            return None;
        }
        sizes[*member] = closure;
    }
    Some(total)
}

/// When the members of a group are done in all but a few recoveries, and whether each holds what it must, for one selection
/// among many members: what nobody asks for any more is let go.
pub(super) struct Once<'a> {
    pub task: &'a Task<'a>,
    pub ids: &'a [ComponentId],
    pub members: &'a [Member],
    pub order: &'a [usize],
}

/// Of a member what [`Once`] found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    pub holds: bool,
    /// What 95 of 100 recoveries take at most, in seconds.
    pub p95: f64,
}

impl Once<'_> {
    /// With the chosen option of each member and whether it detaches.
    pub fn look(&self, selection: &[WayId], home: usize) -> Vec<Found> {
        let Self { task, ids, members, order } = self;
        let draws = task.draws;
        let site = &task.ground.sites[home];
        let rate = task.setting.atlas.outage_rate(&site.place).map_or(0.0, |rate| rate.per_year.value);
        let mut uses = vec![0_usize; members.len()];
        members.iter().flat_map(|member| &member.needs).for_each(|need| uses[*need] += 1);
        let mut ready: Vec<Option<(Samples, Option<Samples>)>> = vec![None; members.len()];
        let mut found = vec![Found::default(); members.len()];
        for at in *order {
            let (member, id) = (&members[*at], &ids[*at]);
            let database = task.setting.app.components.get(id).is_some_and(|of| of.kind.is_database());
            let choice = &member.choices[option_of(selection[*at])];
            let detach = (selection[*at] % 2 == 1).then(|| detaching(task.setting.history, id));
            let way = way(draws, id, choice, database, detach.as_ref());
            let needs: Vec<(Samples, Option<Samples>)> =
                member.needs.iter().filter_map(|need| ready[*need].clone()).collect();
            let start = needs.iter().map(|(ready, _)| Rc::clone(ready)).reduce(|one, other| later(&one, &other));
            let claims = needs.into_iter().filter_map(|(_, claims)| claims).reduce(|one, other| later(&one, &other));
            let serves = serves(database, &way, start, claims.clone(), draws.count());
            found[*at] = judge(&serves, draws.routes(task.setting, id).as_deref(), draws, member.limits, rate);
            ready[*at] = (uses[*at] > 0).then_some((serves, if database { way.claim } else { claims }));
            for need in &member.needs {
                uses[*need] -= 1;
                if uses[*need] == 0 {
                    ready[*need] = None;
                }
            }
        }
        found
    }
}

fn judge(ready: &[f64], route: Option<&[f64]>, draws: &Draws, limits: Limits, rate: f64) -> Found {
    let Fate { late, mean } = fate(ready, route, draws.began(), limits);
    let began = draws.began().iter();
    let mut total: Vec<f64> = match route {
        Some(route) => {
            ready.iter().zip(route).zip(began).map(|((ready, route), began)| ready + route + began).collect()
        }
        None => ready.iter().zip(began).map(|(ready, began)| ready + began).collect(),
    };
    let at = total.len().saturating_sub(draws.may_be_late() + 1);
    let (_, p95, _) = total.select_nth_unstable_by(at, f64::total_cmp);
    let serves = limits.availability.is_none_or(|share| availability(rate, mean) >= share);
    Found { holds: late <= draws.may_be_late() && serves, p95: *p95 }
}

/// The recoveries of a placed component if another choice were made for it, all others as they are.
pub(crate) struct Instead<'a> {
    setting: Setting<'a>,
    draws: &'a Draws,
    id: &'a ComponentId,
    start: Option<Samples>,
    claims: Option<Samples>,
    route: Option<Samples>,
}

/// What more than so many components stand behind is not gone through for a reason.
const TOLD_BEHIND: usize = 60;

impl<'a> Instead<'a> {
    /// `None`: it needs too much.
    pub fn new(
        setting: Setting<'a>,
        draws: &'a Draws,
        placed: &BTreeMap<ComponentId, Placed>,
        id: &'a ComponentId,
    ) -> Option<Self> {
        let app = setting.app;
        let home = placed.get(id)?.home;
        let needs = |of: &ComponentId| {
            let needs = app.components.get(of).map(|of| &of.needs).into_iter().flatten();
            needs.filter(|need| placed.get(*need).is_some_and(|need| need.home == home)).collect::<Vec<_>>()
        };
        let mut done: BTreeMap<&ComponentId, (Samples, Option<Samples>)> = BTreeMap::new();
        let mut stack: Vec<(&ComponentId, bool)> = needs(id).into_iter().map(|need| (need, false)).collect();
        let together = |of: &[&ComponentId], done: &BTreeMap<&ComponentId, (Samples, Option<Samples>)>| {
            let of: Vec<_> = of.iter().filter_map(|need| done.get(*need)).collect();
            let start = of.iter().map(|(ready, _)| Rc::clone(ready)).reduce(|one, other| later(&one, &other));
            let claims = of.iter().filter_map(|(_, claims)| claims.clone()).reduce(|one, other| later(&one, &other));
            (start, claims)
        };
        while let Some((at, needs_done)) = stack.pop() {
            if done.contains_key(at) {
                continue;
            }
            if done.len() > TOLD_BEHIND || stack.len() > TOLD_BEHIND * TOLD_BEHIND {
                return None;
            }
            if !needs_done {
                stack.push((at, true));
                stack.extend(needs(at).into_iter().map(|need| (need, false)));
                continue;
            }
            let (start, claims) = together(&needs(at), &done);
            let component = app.components.get(at)?;
            let database = component.kind.is_database();
            let way = way(draws, at, &placed.get(at)?.choice, database, None);
            let ready = serves(database, &way, start, claims.clone(), draws.count());
            done.insert(at, (ready, if database { way.claim } else { claims }));
        }
        let (start, claims) = together(&needs(id), &done);
        Some(Self { setting, draws, id, start, claims, route: draws.routes(setting, id) })
    }

    /// What 95 of 100 recoveries take at most, in seconds.
    pub fn p95(&self, choice: &Choice) -> f64 {
        let database = self.setting.app.components.get(self.id).is_some_and(|of| of.kind.is_database());
        let way = way(self.draws, self.id, choice, database, None);
        let ready = serves(database, &way, self.start.clone(), self.claims.clone(), self.draws.count());
        judge(&ready, self.route.as_deref(), self.draws, Limits::default(), 0.0).p95
    }
}
