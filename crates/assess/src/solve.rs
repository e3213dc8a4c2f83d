//! From an app to the cheapest placement whose drawn recoveries hold the objectives; or to what contradicts, and what comes
//! nearest.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::{App, ComponentId};

use crate::choice::Setting;
use crate::conflict::contradiction;
use crate::inputs::Inputs;
use crate::optimise::{Constraint, Placed, Task, groups, objectives, optimise, optimise_groups, optimise_only};
use crate::predict::{Prediction, predict};
use crate::recovery::{duration, seconds};
use crate::report::Conflict;
use crate::site::Ground;
use crate::spread::PLANNING_QUANTILE;

/// How often planning is repeated with a margin for groups whose prediction misses an objective that the plan holds.
const ROUNDS: u32 = 6;
/// Contradictions are explained for so many groups; in an enormous file with more, the others are counted.
const EXPLAINED: usize = 20;

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
    pub unexplained: usize,
    pub optimal: bool,
}

impl<'a> Solved<'a> {
    pub fn solve(app: &'a App, inputs: &'a Inputs<'a>, ground: &'a Ground, together: bool) -> Self {
        let setting = Setting { atlas: inputs.atlas, app, history: &inputs.history };
        let nothing = BTreeSet::new();
        let mut margins = BTreeMap::new();
        let mut this = Self {
            app,
            inputs,
            ground,
            placed: BTreeMap::new(),
            predictions: BTreeMap::new(),
            conflicts: Vec::new(),
            troubled: BTreeMap::new(),
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
        this.predictions = predict(setting, &this.placed);
        let all = groups(&first);
        for round in 1..=ROUNDS {
            let missing: Vec<&Vec<ComponentId>> =
                all.iter().filter(|group| group.iter().any(|id| this.misses(id))).collect();
            if missing.is_empty() {
                break;
            }
            for id in missing.iter().copied().flatten().filter(|id| this.misses(id)) {
                let component = app.components.get(id);
                let wanted =
                    component.and_then(|component| objectives(app, component).rto).map(|rto| rto.as_secs_f64());
                let found = this.predictions.get(id).map(|prediction| prediction.rto.p95);
                if let (Some(wanted), Some(found)) = (wanted, found) {
                    // A small miss can need a large margin where the tail of a step is long, so each round asks for more.
                    *margins.entry(id.clone()).or_insert(1.0) *= (found / wanted).max(1.02).powi(round.cast_signed());
                }
            }
            let again = Task { margins: &margins, ..first };
            let solved = optimise_groups(&again, missing.into_iter().cloned().collect());
            if solved.placed.is_empty() {
                break;
            }
            this.optimal &= solved.proved;
            let changed = solved.placed;
            this.placed.extend(changed.clone());
            this.predictions.extend(predict(setting, &changed));
        }
        this.too_close();
        this
    }

    /// RTOs that hold step by step, but not together: of several recoveries at a time one is slow more often than each alone.
    fn too_close(&mut self) {
        let missed = self.predictions.iter().filter(|(id, _)| self.misses(id));
        let conflicts: Vec<Conflict> = missed
            .map(|(id, prediction)| {
                let wanted = self.app.components.get(id).and_then(|component| objectives(self.app, component).rto);
                let least = seconds(prediction.rto.p95);
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
            for id in group {
                self.troubled.insert(id.clone(), false);
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
