//! From an app to the cheapest placement whose drawn recoveries hold the objectives; or to what contradicts, and what comes
//! nearest.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::{App, ComponentId};

use crate::choice::Setting;
use crate::conflict::contradiction;
use crate::inputs::Inputs;
use crate::optimise::{Constraint, Placed, Task, groups, objectives, optimise, optimise_groups, optimise_only};
use crate::predict::{Prediction, predict};
use crate::recovery::{at_least, duration};
use crate::report::Conflict;
use crate::site::Ground;
use crate::spread::PLANNING_QUANTILE;

/// How often planning is repeated with a margin for groups whose prediction misses an objective that the plan holds.
const ROUNDS: u32 = 10;
/// Contradictions are explained for so many groups; in an enormous file with more, the others are counted.
const EXPLAINED: usize = 20;

/// The margins that were tried for a group.
struct Tried {
    /// The last one with a solution.
    solved: f64,
    /// The least one without.
    unsolved: Option<f64>,
    last: f64,
    /// How many times in a row a margin has changed nothing: each time the next one is further away.
    idle: i32,
}

impl Default for Tried {
    fn default() -> Self {
        Self { solved: 1.0, unsolved: None, last: 1.0, idle: 0 }
    }
}

impl Tried {
    /// A greater margin than the last one with a solution, and a smaller one than any without.
    fn next(&mut self, exceeded_by: f64) -> f64 {
        self.last = match self.unsolved {
            Some(unsolved) => (self.solved * unsolved).sqrt(),
            None => self.solved * exceeded_by.clamp(1.05, 1.3).powi(self.idle + 1),
        };
        self.last
    }

    /// Whether no margin is left that would make a difference.
    fn is_exhausted(&self) -> bool {
        self.unsolved.is_some_and(|unsolved| unsolved < self.solved * 1.02)
    }

    fn learn(&mut self, impossible: bool, changed: bool) {
        if impossible {
            self.unsolved = Some(self.last);
        } else {
            self.solved = self.last;
        }
        self.idle = if changed { 0 } else { self.idle + 1 };
    }
}

/// What was found, before it is put into words.
pub(crate) struct Solved<'a> {
    pub app: &'a App,
    pub inputs: &'a Inputs<'a>,
    pub ground: &'a Ground,
    pub placed: BTreeMap<ComponentId, Placed>,
    pub predictions: BTreeMap<ComponentId, Prediction>,
    pub conflicts: Vec<Conflict>,
    /// Components whose demands contradict each other, and whether dropping what the file fixes resolves it.
    pub troubled: BTreeMap<ComponentId, bool>,
    /// By which factor the plan of a component stays below its RTO, so that drawn recoveries hold it.
    pub margins: BTreeMap<ComponentId, f64>,
    pub unexplained: usize,
    pub optimal: bool,
}

impl<'a> Solved<'a> {
    pub fn solve(app: &'a App, inputs: &'a Inputs<'a>, ground: &'a Ground, together: bool) -> Self {
        let setting = Setting { atlas: inputs.atlas, app, history: &inputs.history };
        let nothing = BTreeSet::new();
        let mut this = Self {
            app,
            inputs,
            ground,
            placed: BTreeMap::new(),
            predictions: BTreeMap::new(),
            conflicts: Vec::new(),
            troubled: BTreeMap::new(),
            margins: BTreeMap::new(),
            unexplained: 0,
            optimal: true,
        };
        let unmargined = BTreeMap::new();
        let first =
            Task { setting, ground, relaxed: &nothing, keep_pins: inputs.keep_pins, margins: &unmargined, together };
        let outcome = optimise(&first);
        this.optimal = outcome.proved;
        this.placed = outcome.placed;
        for group in outcome.impossible {
            this.settle(&first, &group);
        }
        this.predictions = predict(setting, ground, &this.placed, None);
        this.mend(&first);
        this.too_close();
        this
    }

    /// Where drawn recoveries miss an RTO that the plan holds, planning is repeated with a margin: as small a one as it takes, for
    /// as long as there is a solution with it.
    fn mend(&mut self, first: &Task<'_>) {
        let all = groups(first);
        let mut margins: BTreeMap<ComponentId, f64> = BTreeMap::new();
        let mut tried: BTreeMap<usize, Tried> = BTreeMap::new();
        for _ in 0..ROUNDS {
            let missing: Vec<(usize, f64)> = all
                .iter()
                .enumerate()
                .filter(|(number, _)| !tried.get(number).is_some_and(Tried::is_exhausted))
                .filter_map(|(number, group)| {
                    let by =
                        group.iter().filter(|id| self.misses(id)).map(|id| self.exceeds(id)).max_by(f64::total_cmp);
                    Some((number, by?))
                })
                .collect();
            if missing.is_empty() {
                break;
            }
            for (number, by) in &missing {
                let margin = tried.entry(*number).or_default().next(*by);
                margins.extend(all[*number].iter().filter(|id| self.misses(id)).map(|id| (id.clone(), margin)));
            }
            let again = Task { margins: &margins, ..*first };
            let asked = missing.iter().map(|(number, _)| all[*number].clone()).collect();
            let solved = optimise_groups(&again, asked);
            self.optimal &= solved.proved;
            let changed: BTreeSet<ComponentId> = solved
                .placed
                .iter()
                .filter(|(id, placed)| self.placed.get(*id).is_none_or(|before| !before.is_as(placed)))
                .map(|(id, _)| id.clone())
                .collect();
            for (number, _) in &missing {
                let group = &all[*number];
                let (impossible, changed) =
                    (solved.impossible.contains(group), group.iter().any(|id| changed.contains(id)));
                tried.entry(*number).or_default().learn(impossible, changed);
            }
            if !changed.is_empty() {
                let predictions = predict(first.setting, self.ground, &solved.placed, Some(&changed));
                self.placed.extend(solved.placed);
                self.predictions.extend(predictions);
            }
        }
        self.margins = margins.into_iter().filter(|(id, _)| !self.misses(id)).collect();
    }

    /// By what factor 95 of 100 recoveries exceed the RTO.
    fn exceeds(&self, id: &ComponentId) -> f64 {
        let wanted = self.app.components.get(id).and_then(|component| objectives(self.app, component).rto);
        match (wanted, self.predictions.get(id)) {
            (Some(wanted), Some(prediction)) => prediction.rto.p95 / wanted.as_secs_f64(),
            _ => 1.0,
        }
    }

    /// RTOs that hold step by step, but not together: of several recoveries at a time one is slow more often than each alone.
    fn too_close(&mut self) {
        let missed = self.predictions.iter().filter(|(id, _)| self.misses(id));
        let conflicts: Vec<Conflict> = missed
            .map(|(id, prediction)| {
                let wanted = self.app.components.get(id).and_then(|component| objectives(self.app, component).rto);
                let least = at_least(prediction.rto.p95);
                Conflict {
                    between: vec![format!("RTO of {id}: {}", wanted.map(duration).unwrap_or_default())],
                    relax: vec![format!(
                        "RTO of {id}: at least {least}, as several steps at a time are slow more often than each alone"
                    )],
                    components: vec![id.to_string()],
                }
            })
            .collect();
        self.conflicts.extend(conflicts);
    }

    /// Whether the prediction misses an RTO that the plan holds.
    fn misses(&self, id: &ComponentId) -> bool {
        !self.troubled.contains_key(id)
            && self
                .predictions
                .get(id)
                .and_then(|prediction| prediction.misses_rto)
                .is_some_and(|share| share > 1.0 - PLANNING_QUANTILE + 1e-9)
    }

    /// What to do with a group without a solution: explain it, and propose what comes nearest.
    fn settle(&mut self, task: &Task<'_>, group: &[ComponentId]) {
        if self.conflicts.len() >= EXPLAINED {
            self.unexplained += 1;
            self.troubled.extend(group.iter().map(|id| (id.clone(), false)));
            // Not as near as could be: what costs least if no time is demanded.
            let relaxed =
                group.iter().flat_map(|id| [Constraint::Rto(id.clone()), Constraint::Rpo(id.clone())]).collect();
            if let Some(outcome) = optimise_only(&Task { relaxed: &relaxed, ..*task }, group) {
                self.placed.extend(outcome.placed);
            }
            return;
        }
        let found = contradiction(task, group);
        self.conflicts.extend(found.conflicts);
        let free = Task { keep_pins: false, ..*task };
        if let Some(outcome) = optimise_only(&free, group) {
            self.placed.extend(outcome.placed);
            self.troubled.extend(group.iter().map(|id| (id.clone(), true)));
            return;
        }
        self.troubled.extend(group.iter().map(|id| (id.clone(), false)));
        if let Some(placed) = nearest(task, group, &found.constraints) {
            self.placed.extend(placed);
        }
    }

    pub fn setting(&self) -> Setting<'_> {
        Setting { atlas: self.inputs.atlas, app: self.app, history: &self.inputs.history }
    }

    pub fn name(&self, site: usize) -> String {
        self.ground.sites[site].name.clone()
    }
}

/// The nearest to the contradictory demands: each RTO and RPO of the set as good as it can be.
fn nearest(task: &Task<'_>, group: &[ComponentId], set: &[Constraint]) -> Option<BTreeMap<ComponentId, Placed>> {
    // From dear and quick to cheap and slow: with the RPOs alone, with the RTOs alone, then with neither.
    let all = |of: fn(ComponentId) -> Constraint| group.iter().cloned().map(of).collect::<Vec<_>>();
    let (rtos, rpos) = (all(Constraint::Rto), all(Constraint::Rpo));
    let pins = group.iter().cloned().flat_map(|id| {
        [
            Constraint::Pattern(id.clone()),
            Constraint::Standbys(id.clone()),
            Constraint::Writer(id.clone()),
            Constraint::Regions(id),
        ]
    });
    let availability = all(Constraint::Availability);
    let attempts: [Vec<Constraint>; 4] = [
        set.to_vec(),
        set.iter().cloned().chain(rtos.clone()).collect(),
        set.iter().cloned().chain(rpos.clone()).collect(),
        rtos.into_iter().chain(rpos).chain(pins).chain(availability).chain([Constraint::Residency]).collect(),
    ];
    for relaxed in attempts {
        let relaxed: BTreeSet<Constraint> = relaxed.into_iter().collect();
        if let Some(quick) = quickest(task, group, &relaxed) {
            return Some(quick);
        }
    }
    None
}

/// A larger group without a solution gets the cheapest of the nearest, not the quickest: searching for that would take minutes.
const QUICKENED: usize = 300;

/// A solution that is as quick as it can be where demands on time are given up: the RTO of all of them is halved for as long
/// as there still is one.
fn quickest(
    task: &Task<'_>,
    group: &[ComponentId],
    relaxed: &BTreeSet<Constraint>,
) -> Option<BTreeMap<ComponentId, Placed>> {
    let mut best = optimise_only(&Task { relaxed, ..*task }, group)?;
    let slow: Vec<&ComponentId> = group.iter().filter(|id| relaxed.contains(&Constraint::Rto((*id).clone()))).collect();
    if slow.is_empty() || group.len() > QUICKENED {
        return Some(best.placed);
    }
    let tight: BTreeSet<Constraint> =
        relaxed.iter().filter(|one| !matches!(one, Constraint::Rto(_))).cloned().collect();
    let mut limit = std::time::Duration::from_secs(90 * 86_400);
    for _ in 0..40 {
        let mut app = task.setting.app.clone();
        app.objectives.rto = None;
        for (id, component) in &mut app.components {
            component.objectives.rto = if slow.contains(&id) {
                Some(limit)
            } else {
                task.setting.app.components.get(id).and_then(|component| objectives(task.setting.app, component).rto)
            };
        }
        let setting = Setting { app: &app, ..task.setting };
        match optimise_only(&Task { setting, relaxed: &tight, ..*task }, group) {
            Some(outcome) => best = outcome,
            None => break,
        }
        limit /= 2;
    }
    Some(best.placed)
}
