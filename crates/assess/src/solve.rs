//! From an app to the cheapest placement whose drawn recoveries hold the objectives; or to what contradicts, and what comes
//! nearest.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::{App, ComponentId};

use crate::choice::Setting;
use crate::conflict::{Told, contradiction};
use crate::draw::Draws;
use crate::gather::{Gathering, gatherings};
use crate::inputs::Inputs;
use crate::merge::merged;
use crate::nearest::nearest;
use crate::optimise::{Constraint, EFFORT, Placed, Task, objectives, optimise, optimise_only};
use crate::predict::{Prediction, predict};
use crate::recovery::{at_least, duration};
use crate::report::Conflict;
use crate::site::Ground;
use crate::spread::PLANNING_QUANTILE;
use crate::worth::{Worth, recoveries};

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
    /// What the RTOs among these are worth.
    pub worth: BTreeMap<ComponentId, Worth>,
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
            worth: BTreeMap::new(),
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
        let mut told = Vec::new();
        for group in outcome.impossible {
            this.settle(&task, &group, &mut told);
        }
        this.conflicts = merged(app, &told);
        this.predictions = predict(setting, ground, &this.placed, draws);
        this.worth = recoveries(setting, &this.placed);
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
    fn settle(&mut self, task: &Task<'_>, group: &[ComponentId], told: &mut Vec<Told>) {
        if told.len() >= EXPLAINED {
            self.unexplained += 1;
            self.troubled.extend(group.iter().map(|id| (id.clone(), false)));
            // Not as near as could be: what costs least if no time is demanded, and if need be nothing of where it is.
            let mut relaxed: BTreeSet<Constraint> =
                group.iter().flat_map(|id| [Constraint::Rto(id.clone()), Constraint::Rpo(id.clone())]).collect();
            for more in [None, Some(Constraint::Residency)] {
                relaxed.extend(more);
                if let Some(outcome) = optimise_only(&Task { relaxed: &relaxed, ..*task }, group) {
                    self.placed.extend(outcome.placed);
                    break;
                }
            }
            return;
        }
        let found = contradiction(task, group);
        told.extend(found.told);
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
