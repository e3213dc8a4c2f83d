//! From an app to the cheapest placement whose drawn recoveries hold the objectives; or to what contradicts, and what comes
//! nearest.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::{App, ComponentId};

use crate::choice::Setting;
use crate::conflict::contradiction;
use crate::draw::Draws;
use crate::gather::{Gathering, gatherings};
use crate::inputs::Inputs;
use crate::optimise::{Constraint, EFFORT, Placed, Task, objectives, optimise, optimise_only};
use crate::predict::{Prediction, predict};
use crate::recovery::{at_least, duration};
use crate::report::Conflict;
use crate::site::Ground;
use crate::spread::PLANNING_QUANTILE;

/// Contradictions are explained for so many groups; in an enormous file with more, the others are counted.
const EXPLAINED: usize = 20;

/// What was found, before it is put into words.
pub(crate) struct Solved<'a> {
    pub app: &'a App,
    pub inputs: &'a Inputs<'a>,
    pub ground: &'a Ground,
    pub draws: &'a Draws,
    pub placed: BTreeMap<ComponentId, Placed>,
    pub predictions: BTreeMap<ComponentId, Prediction>,
    pub conflicts: Vec<Conflict>,
    /// Components whose demands contradict each other, and whether dropping what the file fixes resolves it.
    pub troubled: BTreeMap<ComponentId, bool>,
    pub unexplained: usize,
    /// What a cheaper solution could save at most, in millionths of a USD a month: nothing, where none is cheaper.
    pub spare: i64,
    /// What gathering each home's components in one recovery region would take.
    pub gatherings: Vec<Gathering>,
}

impl<'a> Solved<'a> {
    pub fn solve(app: &'a App, inputs: &'a Inputs<'a>, ground: &'a Ground, draws: &'a Draws, together: bool) -> Self {
        let setting = Setting { atlas: inputs.atlas, app, history: &inputs.history };
        let nothing = BTreeSet::new();
        let mut this = Self {
            app,
            inputs,
            ground,
            draws,
            placed: BTreeMap::new(),
            predictions: BTreeMap::new(),
            conflicts: Vec::new(),
            troubled: BTreeMap::new(),
            unexplained: 0,
            spare: 0,
            gatherings: Vec::new(),
        };
        let keep_pins = inputs.keep_pins;
        let relaxed = &nothing;
        let task = Task { setting, ground, relaxed, keep_pins, draws, together, within: None, effort: EFFORT };
        let outcome = optimise(&task);
        this.spare = outcome.cost.saturating_sub(outcome.least);
        this.placed = outcome.placed;
        if outcome.impossible.is_empty() {
            this.gatherings = gatherings(&task, &this.placed);
        }
        for group in outcome.impossible {
            this.settle(&task, &group);
        }
        this.predictions = predict(setting, ground, &this.placed, draws);
        this.too_close();
        this
    }

    /// RTOs that are missed all the same. The optimiser looks at the same recoveries, group by group; what is left are components
    /// that need each other across homes.
    fn too_close(&mut self) {
        let missed = self.predictions.iter().filter(|(id, _)| self.misses(id));
        let conflicts: Vec<Conflict> = missed
            .map(|(id, prediction)| {
                let wanted = self.app.components.get(id).and_then(|component| objectives(self.app, component).rto);
                let least = at_least(prediction.rto.p95);
                Conflict {
                    between: vec![format!("RTO of {id}: {}", wanted.map(duration).unwrap_or_default())],
                    relax: vec![format!(
                        "RTO of {id}: at least {least}, as what it needs recovers with another region"
                    )],
                    components: vec![id.to_string()],
                }
            })
            .collect();
        self.conflicts.extend(conflicts);
    }

    /// Whether the prediction misses an RTO.
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
            Constraint::Instances(id.clone()),
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
