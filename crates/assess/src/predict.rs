//! What RTO and RPO will really be, as distributions: Monte Carlo over the critical path of the plan that `lifeboat_plan`
//! builds for the loss of each home.
//!
//! The generator is seeded from the component's name, so that the same file gives the same figures to the byte and one
//! component more changes nobody else's.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use lifeboat_model::ComponentId;
use lifeboat_plan::{RegionLoss, StepKind as Planned};
use schemars::JsonSchema;
use serde::Serialize;

use crate::choice::Setting;
use crate::optimise::{Placed, objectives};
use crate::proposal::losses;
use crate::recovery::{Step, begin, route, steering};
use crate::site::Ground;
use crate::spread::{QUANTILES, Spread};

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

/// Recoveries that are drawn; fewer for enormous apps, where only the totals are looked at.
const SAMPLES: usize = 4000;
const SAMPLES_OF_ENORMOUS: usize = 1000;
const ENORMOUS: usize = 500;

/// Draws recoveries of every placed component. With `changed`, only of these and of what waits for them.
pub fn predict(
    setting: Setting<'_>,
    ground: &Ground,
    placed: &BTreeMap<ComponentId, Placed>,
    changed: Option<&BTreeSet<ComponentId>>,
) -> BTreeMap<ComponentId, Prediction> {
    let samples = if placed.len() > ENORMOUS { SAMPLES_OF_ENORMOUS } else { SAMPLES };
    let mut began = vec![0.0; samples];
    for (number, step) in begin(setting.app, setting.history).iter().enumerate() {
        add_draws(&mut began, &step.takes, "begin", number);
    }
    let mut predictions = BTreeMap::new();
    for loss in losses(setting.app, ground, placed, &setting.history.planned).values() {
        Recovery { setting, placed, loss, began: &began, spare: RefCell::default() }.draw(changed, &mut predictions);
    }
    predictions
}

/// The recoveries from the loss of one home.
struct Recovery<'a> {
    setting: Setting<'a>,
    placed: &'a BTreeMap<ComponentId, Placed>,
    loss: &'a RegionLoss,
    /// Of each recovery, when the plan begins.
    began: &'a [f64],
    /// Samples to be used again: an enormous app has tens of thousands of steps.
    spare: RefCell<Vec<Vec<f64>>>,
}

/// Of each recovery, when something is done.
type Samples = Rc<Vec<f64>>;

impl<'a> Recovery<'a> {
    fn draw(&self, changed: Option<&BTreeSet<ComponentId>>, predictions: &mut BTreeMap<ComponentId, Prediction>) {
        let steps = &self.loss.steps;
        let mut ends = self.ends();
        if let Some(changed) = changed {
            let touched = self.touched(changed);
            ends.retain(|_, ends| ends.iter().any(|end| touched[*end]));
        }
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

    /// Which steps are of these components, or wait for one that is.
    fn touched(&self, changed: &BTreeSet<ComponentId>) -> Vec<bool> {
        let mut touched = vec![false; self.loss.steps.len()];
        for step in &self.loss.steps {
            touched[step.id.0] = changed.contains(step.kind.subject()) || step.needs.iter().any(|need| touched[need.0]);
        }
        touched
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
            samples.resize(self.began.len(), 0.0);
            Rc::new(samples)
        })
    }

    /// Adds what a step of the plan takes: the steps of its component's recovery that are a part of it.
    fn add_step(&self, kind: &Planned, ready: &mut Samples) {
        let app = self.setting.app;
        let mut add = |takes: &Spread, name: &str, number: usize| {
            if !takes.is_never_more_than_zero() {
                add_draws(Rc::make_mut(ready).as_mut_slice(), takes, name, number);
            }
        };
        match kind {
            Planned::Route(host) => {
                if let Some(to) = app.routes.get(host) {
                    let Step { takes, .. } = route(to, steering(app), self.setting.history, self.setting.atlas);
                    add(&takes, host.as_str(), 0);
                }
            }
            Planned::Detach(id) => {
                let planned = &self.setting.history.planned;
                let measured: Vec<f64> = planned.measured(kind).iter().map(Duration::as_secs_f64).collect();
                let takes = Spread::measured(&measured).unwrap_or_else(|| {
                    let expected = planned.expect(kind);
                    let typical = expected.typical.as_secs_f64();
                    Spread::assumed(typical, typical * 2.0, typical * 8.0, expected.source)
                });
                add(&takes, id.as_str(), DETACH);
            }
            Planned::Claim(id)
            | Planned::Promote(id)
            | Planned::Open(id)
            | Planned::StartCompute(id)
            | Planned::AwaitCompute(id) => {
                let steps = self.placed.get(id).map_or(&[][..], |placed| &placed.choice.steps);
                for (number, step) in steps.iter().enumerate().filter(|(_, step)| step.kind.is_part_of(kind)) {
                    add(&step.takes, id.as_str(), number);
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
        total.iter_mut().zip(self.began).for_each(|(total, began)| *total += began);
        let objectives = objectives(self.setting.app, component);
        let rto = objectives.rto.map(|rto| rto.as_secs_f64());
        let rpo = objectives.rpo.map(|rpo| rpo.as_secs_f64()).filter(|_| component.kind.is_database());
        Some(summary(total, &choice.loss, rto, rpo))
    }
}

/// The seed's number of a step that no choice has.
const DETACH: usize = 1000;

fn summary(total: &mut [f64], loss: &Spread, rto: Option<f64>, rpo: Option<f64>) -> Prediction {
    let count = total.len().max(1);
    #[expect(clippy::cast_precision_loss, reason = "a few thousand samples")]
    let of_all = |number: usize| number as f64 / count as f64;
    let misses_rto = rto.map(|limit| of_all(total.iter().filter(|value| **value > limit).count()));
    #[expect(clippy::cast_precision_loss, reason = "a few thousand samples")]
    let mean_rto = rounded(total.iter().sum::<f64>() / count as f64);
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

/// Adds a draw of a distribution to each sum.
fn add_draws(sums: &mut [f64], takes: &Spread, name: &str, number: usize) {
    // The first two samples are the best and the worst case, so that the range is the model's and not the dice's.
    let (extremes, others) = sums.split_at_mut(2.min(sums.len()));
    extremes.iter_mut().zip([0.0, 1.0]).for_each(|(sum, share)| *sum += takes.at(share));
    let mut random = Random::seeded(name, number);
    // The piecewise linear distribution as a sum of ramps, one for each piece: nothing to branch on.
    let [first, ..] = takes.seconds;
    let ramps: [(f64, f64, f64); 4] = std::array::from_fn(|piece| {
        let width = QUANTILES[piece + 1] - QUANTILES[piece];
        (QUANTILES[piece], width, (takes.seconds[piece + 1] - takes.seconds[piece]) / width)
    });
    let [one, two, three, four] = ramps;
    for sum in others {
        let share = random.share();
        let ramp = |(from, width, slope): (f64, f64, f64)| slope * (share - from).max(0.0).min(width);
        *sum += first + ramp(one) + ramp(two) + ramp(three) + ramp(four);
    }
}

/// `SplitMix64` (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): small, and the same everywhere.
struct Random(u64);

impl Random {
    /// The seed is the FNV-1a hash of a name and a number.
    fn seeded(name: &str, number: usize) -> Self {
        let bytes = name.bytes().chain(number.to_le_bytes());
        Self(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in [0, 1).
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        // First outputs of SplitMix64 seeded with 1234567, as in the reference implementation.
        let mut random = Random(1_234_567);
        assert_eq!([random.next(), random.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn draws_follow_the_distribution() {
        let spread = Spread::assumed(10.0, 20.0, 40.0, "test");
        let mut drawn = vec![0.0; 20_000];
        add_draws(&mut drawn, &spread, "web", 0);
        assert_eq!(drawn[..2], [5.0, 80.0]);
        drawn.sort_by(f64::total_cmp);
        for (share, expected, tolerance) in [(0.25, 7.5, 0.2), (0.5, 10.0, 0.2), (0.95, 20.0, 0.5), (0.99, 40.0, 4.0)] {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
            let found = drawn[(20_000.0 * share) as usize];
            assert!((found - expected).abs() < tolerance, "{share}: {found}");
        }
    }

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
