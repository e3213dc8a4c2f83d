//! What RTO and RPO will really be, as distributions: Monte Carlo over the critical path of the plan that `lifeboat_plan`
//! builds for the loss of each home.
//!
//! What each step takes is drawn by [`crate::draw`]. The optimiser counts along the same recoveries ([`crate::optimise`]), so
//! that what it chose for an objective is what holds it here.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use lifeboat_model::{ComponentId, HostName};
use lifeboat_plan::{RegionLoss, StepKind as Planned};
use schemars::JsonSchema;
use serde::Serialize;

use crate::choice::Setting;
use crate::draw::{Dice, Draws, TOLERANCE};
use crate::optimise::{Placed, objectives};
use crate::proposal::losses;
use crate::recovery::{History, Step, route, steering};
use crate::site::Ground;
use crate::spread::Spread;

/// Three quantiles of a distribution, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Quantiles {
    /// Half of the cases are better.
    pub p50: f64,
    /// 95 of 100 cases are better.
    pub p95: f64,
    /// 99 of 100 cases are better.
    pub p99: f64,
}

/// What is to be expected of a component when its home is lost.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Time without service.
    pub rto: Quantiles,
    /// The whole range that the model allows: the least and the greatest sample.
    pub rto_range: (f64, f64),
    /// Acknowledged writes lost, as time.
    pub rpo: Quantiles,
    /// Share of recoveries that miss the RTO; `None` without one.
    pub misses_rto: Option<f64>,
    /// Share of recoveries that miss the RPO; `None` without one, or for what keeps no data.
    pub misses_rpo: Option<f64>,
    /// Mean time without service.
    pub mean_rto: f64,
}

/// Predicts every placed component.
pub fn predict(
    setting: Setting<'_>,
    ground: &Ground,
    placed: &BTreeMap<ComponentId, Placed>,
    draws: &Draws,
) -> BTreeMap<ComponentId, Prediction> {
    let mut predictions = BTreeMap::new();
    for loss in losses(setting.app, ground, placed, &setting.history.planned).values() {
        let routes = route_numbers(setting);
        Recovery { setting, placed, loss, draws, routes, spare: RefCell::default() }.draw(&mut predictions);
    }
    predictions
}

/// Of each route its number among those of its component.
fn route_numbers<'a>(setting: Setting<'a>) -> HashMap<&'a HostName, usize> {
    let mut next: HashMap<&ComponentId, usize> = HashMap::new();
    let mut number = |of: &'a ComponentId| {
        let next = next.entry(of).or_default();
        *next += 1;
        *next - 1
    };
    setting.app.routes.iter().map(|(host, route)| (host, number(&route.to))).collect()
}

/// The recoveries from the loss of one home.
struct Recovery<'a> {
    setting: Setting<'a>,
    placed: &'a BTreeMap<ComponentId, Placed>,
    loss: &'a RegionLoss,
    draws: &'a Draws,
    routes: HashMap<&'a HostName, usize>,
    /// Samples to be used again: an enormous app has tens of thousands of steps.
    spare: RefCell<Vec<Vec<f64>>>,
}

/// Of each recovery, when something is done.
type Samples = Rc<Vec<f64>>;

impl<'a> Recovery<'a> {
    fn draw(&self, predictions: &mut BTreeMap<ComponentId, Prediction>) {
        let steps = &self.loss.steps;
        let ends = self.ends();
        let mut uses = vec![0_usize; steps.len()];
        let mut due: HashMap<usize, Vec<&ComponentId>> = HashMap::new();
        for (id, ends) in &ends {
            ends.iter().for_each(|end| uses[*end] += 1);
            due.entry(ends.iter().copied().max().unwrap_or(0)).or_default().push(id);
        }
        for step in steps.iter().rev() {
            if uses[step.id.0] > 0 {
                step.needs.iter().for_each(|need| uses[need.0] += 1);
            }
        }
        let mut done: Vec<Option<Samples>> = vec![None; steps.len()];
        for step in steps {
            let at = step.id.0;
            if uses[at] == 0 {
                continue;
            }
            let needs: Vec<usize> = step.needs.iter().map(|need| need.0).collect();
            let mut ready = self.latest(&needs, &mut uses, &mut done);
            self.add_step(&step.kind, &mut ready);
            done[at] = Some(ready);
            for id in due.remove(&at).unwrap_or_default() {
                let mut total = self.latest(&ends[id], &mut uses, &mut done);
                if let Some(prediction) = self.prediction(id, Rc::make_mut(&mut total).as_mut_slice()) {
                    predictions.insert(id.clone(), prediction);
                }
                self.give_back(total);
            }
        }
    }

    /// By component the steps after which its clients are served: those of its routes, else those after which it serves.
    fn ends(&self) -> BTreeMap<&'a ComponentId, Vec<usize>> {
        let numbers = |steps: &[lifeboat_plan::StepId]| steps.iter().map(|step| step.0).collect();
        let mut ends: BTreeMap<&ComponentId, Vec<usize>> =
            self.loss.serving.iter().map(|(id, steps)| (id, numbers(steps))).collect();
        let mut turned: BTreeMap<&ComponentId, Vec<usize>> = BTreeMap::new();
        for step in &self.loss.steps {
            if let Planned::Route(host) = &step.kind
                && let Some(route) = self.setting.app.routes.get(host)
            {
                turned.entry(&route.to).or_default().push(step.id.0);
            }
        }
        for (id, steps) in turned {
            if let Some(ends) = ends.get_mut(id) {
                *ends = steps;
            }
        }
        ends
    }

    /// When the last of these steps is done; what nobody else asks for is used up.
    fn latest(&self, steps: &[usize], uses: &mut [usize], done: &mut [Option<Samples>]) -> Samples {
        let mut latest: Option<Samples> = None;
        for step in steps {
            uses[*step] -= 1;
            let theirs = if uses[*step] == 0 { done[*step].take() } else { done[*step].clone() };
            let Some(theirs) = theirs else { continue };
            match &mut latest {
                None => latest = Some(theirs),
                Some(latest) => {
                    let latest = Rc::make_mut(latest);
                    latest.iter_mut().zip(theirs.iter()).for_each(|(latest, theirs)| *latest = latest.max(*theirs));
                    self.give_back(theirs);
                }
            }
        }
        latest.unwrap_or_else(|| {
            let mut samples = self.spare.borrow_mut().pop().unwrap_or_default();
            samples.clear();
            samples.resize(self.draws.count(), 0.0);
            Rc::new(samples)
        })
    }

    /// Adds what a step of the plan takes: the steps of its component's recovery that are a part of it.
    fn add_step(&self, kind: &Planned, ready: &mut Samples) {
        let app = self.setting.app;
        let mut add = |takes: &Spread, of: &ComponentId, dice: Dice| {
            if !takes.is_never_more_than_zero() {
                let drawn = self.draws.of(of, dice, takes);
                Rc::make_mut(ready).iter_mut().zip(drawn.iter()).for_each(|(ready, drawn)| *ready += drawn);
            }
        };
        match kind {
            Planned::Route(host) => {
                if let Some(to) = app.routes.get(host) {
                    let Step { takes, .. } = route(to, steering(app), self.setting.history, self.setting.atlas);
                    let number = self.routes.get(host).copied().unwrap_or(0);
                    add(&takes, &to.to, Dice::Route(number));
                }
            }
            Planned::Detach(id) => {
                add(&detaching(self.setting.history, id), id, Dice::Detach);
            }
            Planned::Claim(id)
            | Planned::Promote(id)
            | Planned::Open(id)
            | Planned::StartCompute(id)
            | Planned::AwaitCompute(id) => {
                let steps = self.placed.get(id).map_or(&[][..], |placed| &placed.choice.steps);
                for step in steps.iter().filter(|step| step.kind.is_part_of(kind)) {
                    add(&step.takes, id, Dice::Step(step.kind));
                }
            }
            // Of planned moves, or after clients are served.
            Planned::Checkpoint(_)
            | Planned::Drain(_)
            | Planned::CatchUp(_)
            | Planned::Follow(_)
            | Planned::Synchronize(_) => {}
        }
    }

    /// Keeps what nobody asks for any more for [`Self::latest`].
    fn give_back(&self, samples: Samples) {
        if let Ok(samples) = Rc::try_unwrap(samples) {
            self.spare.borrow_mut().push(samples);
        }
    }

    fn prediction(&self, id: &ComponentId, total: &mut [f64]) -> Option<Prediction> {
        let component = self.setting.app.components.get(id)?;
        let choice = &self.placed.get(id)?.choice;
        total.iter_mut().zip(self.draws.began().iter()).for_each(|(total, began)| *total += began);
        let objectives = objectives(self.setting.app, component);
        let rto = objectives.rto.map(|rto| rto.as_secs_f64());
        let rpo = objectives.rpo.map(|rpo| rpo.as_secs_f64()).filter(|_| component.kind.is_database());
        Some(summary(total, &choice.loss, rto, rpo))
    }
}

/// How long it takes until the standbys that do not take over have stopped confirming.
pub(crate) fn detaching(history: &History, id: &ComponentId) -> Spread {
    let step = Planned::Detach(id.clone());
    let measured: Vec<f64> = history.planned.measured(&step).iter().map(Duration::as_secs_f64).collect();
    Spread::measured(&measured).unwrap_or_else(|| {
        let expected = history.planned.expect(&step);
        let typical = expected.typical.as_secs_f64();
        Spread::assumed(typical, typical * 2.0, typical * 8.0, expected.source)
    })
}

/// A mean time without service, as it is told.
#[expect(clippy::cast_precision_loss, reason = "a few thousand samples")]
pub(crate) fn mean(total: &[f64]) -> f64 {
    rounded(total.iter().sum::<f64>() / total.len().max(1) as f64)
}

fn summary(total: &mut [f64], loss: &Spread, rto: Option<f64>, rpo: Option<f64>) -> Prediction {
    let count = total.len().max(1);
    #[expect(clippy::cast_precision_loss, reason = "a few thousand samples")]
    let of_all = |number: usize| number as f64 / count as f64;
    let misses_rto = rto.map(|limit| of_all(total.iter().filter(|value| **value > limit + TOLERANCE).count()));
    let mean_rto = mean(total);
    let least = total.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = total.iter().copied().fold(0.0, f64::max);
    // Each quantile is looked for above the one before: nothing needs to be sorted.
    let mut from = 0;
    let mut at = |quantile: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index into the list"
        )]
        let index = ((count as f64 * quantile).ceil() as usize).clamp(1, count) - 1;
        let (_, value, _) = total[from..].select_nth_unstable_by(index - from, f64::total_cmp);
        from = index;
        rounded(*value)
    };
    Prediction {
        rto: Quantiles { p50: at(0.5), p95: at(0.95), p99: at(0.99) },
        rto_range: (rounded(least), rounded(greatest)),
        rpo: Quantiles { p50: rounded(loss.at(0.5)), p95: rounded(loss.at(0.95)), p99: rounded(loss.at(0.99)) },
        misses_rto,
        misses_rpo: rpo.map(|limit| exceeding(loss, limit)),
        mean_rto,
    }
}

/// The share of a distribution above a limit, by bisection.
fn exceeding(spread: &Spread, limit: f64) -> f64 {
    if spread.at(1.0) <= limit {
        return 0.0;
    }
    if spread.at(0.0) > limit {
        return 1.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..40 {
        let middle = (low + high) / 2.0;
        if spread.at(middle) <= limit { low = middle } else { high = middle }
    }
    ((1.0 - low) * 10_000.0).round() / 10_000.0
}

/// Milliseconds are enough.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_samples() {
        let mut total: Vec<f64> = (0..1000).map(|number| f64::from((number * 617) % 1000)).collect();
        let found = summary(&mut total, &Spread::assumed(1.0, 2.0, 3.0, "test"), Some(899.0), None);
        assert_eq!((found.rto.p50, found.rto.p95, found.rto.p99), (499.0, 949.0, 989.0));
        assert_eq!((found.rto_range, found.mean_rto, found.misses_rto), ((0.0, 999.0), 499.5, Some(0.1)));
    }

    #[test]
    fn the_chance_to_exceed_is_read_off_the_distribution() {
        let spread = Spread::assumed(10.0, 20.0, 40.0, "test");
        for (limit, expected) in [(4.0, 1.0), (10.0, 0.5), (20.0, 0.05), (40.0, 0.01), (80.0, 0.0)] {
            assert!((exceeding(&spread, limit) - expected).abs() < 1e-3, "{limit}");
        }
    }
}
