//! Demands that cannot hold together: the smallest set of them, and what giving each up would take.
//!
//! The set is found by QuickXplain (Junker, 2004): divide the demands, keep the half that is needed, with few questions to
//! the optimiser. For few demands single ones and pairs are tried first, in case a smaller set than the found irreducible one
//! exists. Groups have nothing to do with each other, so only the demands on one group are looked at.

use std::collections::BTreeSet;
use std::time::Duration;

use lifeboat_model::app::{Objectives, Place};
use lifeboat_model::{App, ComponentId};

use crate::choice::choices;
use crate::optimise::{Constraint, Outcome, Task, is_exact, is_possible, objectives, optimise_only, quickest};
use crate::recovery::{at_least, duration};
use crate::regions::first_within;
use crate::report::Conflict;
use crate::site::{Site, lies_in, may_be_in};

/// Up to so many demands single ones are tried one by one, and up to so many pairs.
const TRY_SINGLES: usize = 100;
const TRY_PAIRS: usize = 24;

/// What stands in the way of a group.
pub struct Contradiction {
    /// Every demand that is part of a contradiction; empty: there is no region for the group even without any demand.
    pub constraints: Vec<Constraint>,
    /// The contradictions, each as small as it can be.
    pub told: Vec<Told>,
}

/// A contradiction before it is put into words: with others of other groups it may be one and the same ([`crate::merge`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The demands.
    pub demands: Vec<Demand>,
    /// The components concerned.
    pub components: Vec<ComponentId>,
}

/// A demand that is part of a contradiction.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    /// The demand; `None`: there is no region even without any.
    pub constraint: Option<Constraint>,
    /// It in words.
    pub words: String,
    /// What giving it up would take.
    pub advice: Advice,
}

/// What giving up a demand would take.
#[derive(Clone, Debug, PartialEq)]
pub enum Advice {
    /// At least so many seconds instead.
    AtLeast(f64),
    /// Data in these jurisdictions too; or a region that the file does not have, under one that is allowed: the jurisdiction and such
    /// a region.
    Areas(BTreeSet<String>, Option<(String, String)>),
    /// Something else, in words.
    Words(String),
}

impl Told {
    /// As it is reported when no other is like it.
    pub fn conflict(&self) -> Conflict {
        let advice = |demand: &Demand| match (&demand.advice, &demand.constraint) {
            (Advice::AtLeast(least), Some(Constraint::Rto(id))) => {
                format!("RTO of {id}: at least {}", at_least(*least))
            }
            (Advice::AtLeast(least), Some(Constraint::Rpo(id))) => {
                format!("RPO of {id}: at least {}", at_least(*least))
            }
            (Advice::AtLeast(least), _) => format!("at least {}", at_least(*least)),
            (Advice::Areas(areas, inside), _) => allow(areas, inside.as_ref()),
            (Advice::Words(words), _) => words.clone(),
        };
        Conflict {
            between: self.demands.iter().map(|demand| demand.words.clone()).collect(),
            relax: self.demands.iter().map(advice).collect(),
            components: self.components.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Jurisdictions as an advice, and what would help without touching the law.
pub fn allow(areas: &BTreeSet<String>, inside: Option<&(String, String)>) -> String {
    let allow = format!("allow data in {} too", areas.iter().map(String::as_str).collect::<Vec<_>>().join(", "));
    match inside {
        Some((area, place)) => format!("add a region in {area}, such as {place}; or {allow}"),
        None => allow,
    }
}

/// So many contradictions of one group are told.
const TOLD: usize = 8;

/// Explains why a group has no solution: contradictions that have no demand in common, until what is left can hold.
pub fn contradiction(task: &Task<'_>, group: &[ComponentId]) -> Contradiction {
    let mut left = demands(task, group);
    let all = left.clone();
    let question = Question { task, group, all: &all };
    if !question.holds(&[]) {
        let words = "the regions that come into question".into();
        let demand = Demand { constraint: None, words, advice: Advice::Words(no_place(task, group)) };
        let told = vec![Told { demands: vec![demand], components: group.to_vec() }];
        return Contradiction { constraints: Vec::new(), told };
    }
    let mut found = Contradiction { constraints: Vec::new(), told: Vec::new() };
    let mut sets = Vec::new();
    while sets.len() < TOLD && !question.holds(&left) {
        let set = question.smallest(&left);
        left.retain(|one| !set.contains(one));
        sets.push(set);
    }
    for set in sets {
        // With everything else that can hold, so that who follows the advice has heard of all that is in the way.
        let kept: Vec<Constraint> = left.iter().chain(&set).cloned().collect();
        let demand = |constraint: &Constraint| Demand {
            words: describe(task, group, constraint),
            advice: question.relaxation(&kept, constraint),
            constraint: Some(constraint.clone()),
        };
        let named: Option<BTreeSet<ComponentId>> = set.iter().map(|one| one.component().cloned()).collect();
        found.told.push(Told {
            demands: set.iter().map(demand).collect(),
            components: named.map_or_else(|| group.to_vec(), |named| named.into_iter().collect()),
        });
        found.constraints.extend(set);
    }
    found
}

/// Everything that the file demands of a group.
fn demands(task: &Task<'_>, group: &[ComponentId]) -> Vec<Constraint> {
    let app = task.setting.app;
    let mut all = Vec::new();
    let mut residency = false;
    for id in group {
        let Some(component) = app.components.get(id) else { continue };
        let Objectives { rto, rpo, availability, residency: areas, .. } = objectives(app, component);
        residency |= !areas.is_empty();
        let database = component.kind.is_database();
        let wanted = [
            (rto.is_some(), Constraint::Rto(id.clone())),
            (rpo.is_some() && database, Constraint::Rpo(id.clone())),
            (availability.is_some(), Constraint::Availability(id.clone())),
            (task.keep_pins && component.pattern.is_some(), Constraint::Pattern(id.clone())),
            (task.keep_pins && component.writer.is_some(), Constraint::Writer(id.clone())),
            (task.keep_pins && !component.standbys.is_empty(), Constraint::Standbys(id.clone())),
            (task.keep_pins && !database && !component.regions.is_empty(), Constraint::Regions(id.clone())),
            (task.keep_pins && component.size.standby.is_some(), Constraint::Instances(id.clone())),
        ];
        all.extend(wanted.into_iter().filter(|(given, _)| *given).map(|(_, constraint)| constraint));
    }
    if residency {
        all.push(Constraint::Residency);
    }
    all
}

struct Question<'a> {
    task: &'a Task<'a>,
    group: &'a [ComponentId],
    all: &'a [Constraint],
}

impl Question<'_> {
    fn solve(&self, kept: &[Constraint]) -> Option<Outcome> {
        let relaxed = self.relaxed(kept);
        optimise_only(&Task { relaxed: &relaxed, ..*self.task }, self.group)
    }

    fn holds(&self, kept: &[Constraint]) -> bool {
        let relaxed = self.relaxed(kept);
        is_possible(&Task { relaxed: &relaxed, ..*self.task }, self.group)
    }

    fn relaxed(&self, kept: &[Constraint]) -> BTreeSet<Constraint> {
        let kept: BTreeSet<&Constraint> = kept.iter().collect();
        self.all.iter().filter(|one| !kept.contains(one)).cloned().collect()
    }

    fn smallest(&self, among: &[Constraint]) -> Vec<Constraint> {
        if among.len() <= TRY_SINGLES
            && let Some(one) = among.iter().find(|one| !self.holds(std::slice::from_ref(one)))
        {
            return vec![one.clone()];
        }
        if among.len() <= TRY_PAIRS {
            for (at, one) in among.iter().enumerate() {
                for other in &among[at + 1..] {
                    let pair = [one.clone(), other.clone()];
                    if !self.holds(&pair) {
                        return pair.into();
                    }
                }
            }
        }
        self.explain(&[], false, among)
    }

    /// QuickXplain: the part of `candidates` that cannot hold together with `background`.
    fn explain(&self, background: &[Constraint], changed: bool, candidates: &[Constraint]) -> Vec<Constraint> {
        if changed && !self.holds(background) {
            return Vec::new();
        }
        if let [only] = candidates {
            return vec![only.clone()];
        }
        let (first, second) = candidates.split_at(candidates.len() / 2);
        let with_first: Vec<Constraint> = background.iter().chain(first).cloned().collect();
        let in_second = self.explain(&with_first, true, second);
        let with_second: Vec<Constraint> = background.iter().chain(&in_second).cloned().collect();
        let mut found = self.explain(&with_second, !in_second.is_empty(), first);
        found.extend(in_second);
        found
    }

    /// What would have to change about one demand for the others that are kept to hold.
    fn relaxation(&self, kept: &[Constraint], one: &Constraint) -> Advice {
        let others: Vec<Constraint> = kept.iter().filter(|other| *other != one).cloned().collect();
        // What is asked of a time or a loss is whether there is a solution, not which is the cheapest.
        let least = match one {
            Constraint::Rto(id) => self.least_rto(kept, id),
            Constraint::Rpo(id) => self.least_rpo(kept, id),
            Constraint::Availability(_)
            | Constraint::Pattern(_)
            | Constraint::Writer(_)
            | Constraint::Standbys(_)
            | Constraint::Regions(_)
            | Constraint::Instances(_)
            | Constraint::Residency => None,
        };
        if let Some(least) = least {
            return Advice::AtLeast(least);
        }
        let Some(outcome) = self.solve(&others) else {
            return Advice::Words("giving it up alone is not enough".into());
        };
        let placed = |id: &ComponentId| outcome.placed.get(id);
        let name = |site: usize| self.task.ground.sites[site].name.as_str();
        Advice::Words(match one {
            Constraint::Rto(id) => format!("leave the RTO of {id} out"),
            Constraint::Rpo(id) => format!("leave the RPO of {id} out"),
            Constraint::Availability(id) => format!("demand less availability of {id}"),
            Constraint::Pattern(id) => match placed(id) {
                Some(placed) => format!("pattern of {id}: {}", placed.choice.pattern.as_str()),
                None => format!("leave the pattern of {id} out"),
            },
            Constraint::Writer(id) => match placed(id) {
                Some(placed) => format!("writer of {id}: {}", name(placed.home)),
                None => format!("leave the writer of {id} out"),
            },
            Constraint::Standbys(id) => match placed(id) {
                Some(placed) => {
                    let targets: Vec<&str> = placed.targets.iter().map(|target| name(*target)).collect();
                    format!("standbys of {id}: {}, {}", targets.join(" and "), placed.choice.carriage.as_str())
                }
                None => format!("leave the standbys of {id} out"),
            },
            Constraint::Regions(id) => format!("let {id} run in more regions"),
            Constraint::Instances(id) => match placed(id) {
                Some(placed) => format!("standby of {id}: {}", placed.choice.standby),
                None => format!("leave the standby size of {id} out"),
            },
            Constraint::Residency => {
                return Advice::Areas(self.wider_residency(&outcome), self.another_inside(&outcome));
            }
        })
    }

    /// The app with other objectives of one component; the others' that come from the app become their own.
    fn with(&self, id: &ComponentId, change: impl Fn(&mut Objectives)) -> Option<App> {
        let whole = self.task.setting.app;
        let mut app = whole.clone();
        for (other, component) in &mut app.components {
            component.objectives = objectives(whole, whole.components.get(other)?);
        }
        app.objectives = Objectives { cost: whole.objectives.cost.clone(), ..Objectives::default() };
        change(&mut app.components.get_mut(id)?.objectives);
        Some(app)
    }

    /// The least RTO of a component that goes with the other demands, in seconds, to the millisecond.
    fn least_rto(&self, kept: &[Constraint], id: &ComponentId) -> Option<f64> {
        let relaxed = self.relaxed(kept);
        if !is_exact(self.task, self.group) {
            let without = relaxed.iter().cloned().chain([Constraint::Rto(id.clone())]).collect();
            return quickest(&Task { relaxed: &without, ..*self.task }, self.group, id);
        }
        let fits = |ms: u64| {
            let app = self.with(id, |objectives| objectives.rto = Some(Duration::from_millis(ms)))?;
            let setting = crate::choice::Setting { app: &app, ..self.task.setting };
            is_possible(&Task { setting, relaxed: &relaxed, ..*self.task }, self.group).then_some(())
        };
        let (mut low, mut high) = (0_u64, 90 * 24 * 3_600_000);
        fits(high)?;
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if fits(middle).is_some() { high = middle } else { low = middle }
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 90 days in ms")]
        Some(high as f64 / 1000.0)
    }

    /// The least RPO of a component that goes with the other demands, in seconds.
    fn least_rpo(&self, kept: &[Constraint], id: &ComponentId) -> Option<f64> {
        let component = self.task.setting.app.components.get(id)?;
        let mut losses: Vec<u64> =
            choices(self.task.setting, id, component).iter().map(crate::choice::Choice::planned_loss_ms).collect();
        losses.sort_unstable();
        losses.dedup();
        let relaxed = self.relaxed(kept);
        losses.into_iter().find_map(|ms| {
            let app = self.with(id, |objectives| objectives.rpo = Some(Duration::from_millis(ms)))?;
            let setting = crate::choice::Setting { app: &app, ..self.task.setting };
            if !is_possible(&Task { setting, relaxed: &relaxed, ..*self.task }, self.group) {
                return None;
            }
            #[expect(clippy::cast_precision_loss, reason = "at most some days in ms")]
            Some(ms as f64 / 1000.0)
        })
    }

    /// The jurisdictions that the solution without residency goes to.
    fn wider_residency(&self, outcome: &Outcome) -> BTreeSet<String> {
        let atlas = self.task.setting.atlas;
        let app = self.task.setting.app;
        let mut areas = BTreeSet::new();
        for (id, placed) in &outcome.placed {
            let Some(component) = app.components.get(id) else { continue };
            let residency = objectives(app, component).residency;
            for site in std::iter::once(&placed.home).chain(&placed.targets) {
                let site = &self.task.ground.sites[*site];
                if !residency.iter().any(|area| lies_in(atlas, site, area)) {
                    areas.insert(
                        atlas.region(&site.place).map_or(site.name.clone(), |facts| facts.residency().to_owned()),
                    );
                }
            }
        }
        areas
    }

    /// A region within the residency that is not among those in question: what would help without touching the law.
    fn another_inside(&self, outcome: &Outcome) -> Option<(String, String)> {
        let atlas = self.task.setting.atlas;
        let app = self.task.setting.app;
        let sites = &self.task.ground.sites;
        outcome.placed.iter().find_map(|(id, placed)| {
            let component = app.components.get(id)?;
            let residency = objectives(app, component).residency;
            let new = |place: &Place| {
                let site = Site { name: place.to_string(), region: None, place: place.clone(), preference: 0 };
                let may = may_be_in(atlas, component, Some(&residency), None, &site);
                sites.iter().all(|known| known.place != *place) && may.is_ok()
            };
            let inside = sites
                .iter()
                .find(|site| may_be_in(atlas, component, Some(&residency), Some(&component.regions), site).is_ok())?;
            let outside = placed
                .targets
                .iter()
                .chain([&placed.home])
                .any(|site| !residency.iter().any(|area| lies_in(atlas, &sites[*site], area)));
            let area = residency.iter().filter(|_| outside);
            area.filter_map(|area| Some((area.clone(), first_within(atlas, &inside.place, area, new)?))).next()
        })
    }
}

/// A demand on a group in words.
fn describe(task: &Task<'_>, group: &[ComponentId], constraint: &Constraint) -> String {
    let app = task.setting.app;
    let of = |id: &ComponentId| app.components.get(id);
    match constraint {
        Constraint::Rto(id) => {
            let rto = of(id).and_then(|component| objectives(app, component).rto).map(duration);
            format!("RTO of {id}: {}", rto.unwrap_or_default())
        }
        Constraint::Rpo(id) => {
            let rpo = of(id).and_then(|component| objectives(app, component).rpo).map(duration);
            format!(
                "RPO of {id}: {} ({})",
                rpo.unwrap_or_default(),
                of(id).map_or("", |component| component.kind.as_str())
            )
        }
        Constraint::Availability(id) => {
            let share = of(id).and_then(|component| objectives(app, component).availability).unwrap_or_default();
            format!("availability of {id}: {share}")
        }
        Constraint::Pattern(id) => {
            let pattern =
                of(id).and_then(|component| component.pattern).map_or("", lifeboat_model::app::Pattern::as_str);
            format!("pattern of {id}: {pattern}")
        }
        Constraint::Writer(id) => {
            let writer = of(id).and_then(|component| component.writer.as_ref()).map(ToString::to_string);
            format!("writer of {id}: {}", writer.unwrap_or_default())
        }
        Constraint::Standbys(id) => {
            let names: Vec<String> = of(id)
                .map(|component| component.standbys.keys().map(ToString::to_string).collect())
                .unwrap_or_default();
            format!("standbys of {id}: {}", names.join(", "))
        }
        Constraint::Regions(id) => {
            let names: Vec<String> =
                of(id).map(|component| component.regions.iter().map(ToString::to_string).collect()).unwrap_or_default();
            format!("regions of {id}: {}", names.join(", "))
        }
        Constraint::Instances(id) => {
            let standby = of(id).and_then(|component| component.size.standby).unwrap_or_default();
            format!("standby of {id}: {standby}")
        }
        Constraint::Residency => {
            let of_group = group.iter().filter_map(|id| app.components.get(id));
            let demanded: BTreeSet<BTreeSet<String>> = of_group
                .map(|component| objectives(app, component).residency)
                .filter(|areas| !areas.is_empty())
                .collect();
            let demanded: Vec<String> =
                demanded.iter().map(|areas| areas.iter().map(String::as_str).collect::<Vec<_>>().join(", ")).collect();
            format!("residency: {}", demanded.join(" and "))
        }
    }
}

/// Why a group cannot be anywhere.
fn no_place(task: &Task<'_>, group: &[ComponentId]) -> String {
    let sites = &task.ground.sites;
    if sites.len() < 2 {
        return "there is one region only; name a second one that is at least 100 km away".into();
    }
    let kinds: BTreeSet<&str> = group
        .iter()
        .filter_map(|id| task.setting.app.components.get(id))
        .map(|component| component.kind.as_str())
        .collect();
    format!(
        "no two regions that fail apart offer {} (a region for each provider's kind, at least {:.0} km apart, in working order)",
        kinds.into_iter().collect::<Vec<_>>().join(" and "),
        crate::site::TOO_CLOSE_KM
    )
}
