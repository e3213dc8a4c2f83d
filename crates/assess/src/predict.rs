//! What RTO and RPO will really be, as distributions: Monte Carlo over the critical path of each component's recovery.
//!
//! The generator is seeded from the component's name, so that the same file gives the same figures to the byte and one
//! component more changes nobody else's.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::ComponentId;
use schemars::JsonSchema;
use serde::Serialize;

use crate::choice::Setting;
use crate::optimise::{Placed, objectives};
use crate::recovery::{Step, begin, route, steering};
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

/// Recoveries that are drawn; fewer for enormous apps, where only the totals are looked at.
const SAMPLES: usize = 4000;
const SAMPLES_OF_ENORMOUS: usize = 1000;
const ENORMOUS: usize = 500;

/// Draws recoveries of every placed component.
pub fn predict(setting: Setting<'_>, placed: &BTreeMap<ComponentId, Placed>) -> BTreeMap<ComponentId, Prediction> {
    let app = setting.app;
    let samples = if placed.len() > ENORMOUS { SAMPLES_OF_ENORMOUS } else { SAMPLES };
    let steering = steering(app);
    let began = draw_steps(&begin(app, setting.history), "begin", samples);
    let mut consumers: BTreeMap<&ComponentId, usize> = BTreeMap::new();
    for id in placed.keys() {
        for need in app.components.get(id).into_iter().flat_map(|component| &component.needs) {
            *consumers.entry(need).or_default() += 1;
        }
    }
    let mut ready: BTreeMap<&ComponentId, Vec<f64>> = BTreeMap::new();
    let mut predictions = BTreeMap::new();
    for id in in_order(setting, placed) {
        let (Some(component), Some(choice)) = (app.components.get(id), placed.get(id).map(|placed| &placed.choice))
        else {
            continue;
        };
        let mut own = draw_steps(&choice.steps, id.as_str(), samples);
        let mut start = vec![0.0_f64; samples];
        for need in &component.needs {
            if let Some(theirs) = ready.get(need) {
                start.iter_mut().zip(theirs).for_each(|(latest, theirs)| *latest = latest.max(*theirs));
            }
            if let Some(count) = consumers.get_mut(need) {
                *count -= 1;
                if *count == 0 {
                    ready.remove(need);
                }
            }
        }
        own.iter_mut().zip(&start).for_each(|(own, start)| *own += start);
        let mut turned: Option<Vec<f64>> = None;
        for (host, to) in app.routes.iter().filter(|(_, route)| route.to == *id) {
            let drawn = draw_steps(&[route(to, steering, setting.history, setting.atlas)], host.as_str(), samples);
            let slowest = turned.get_or_insert_with(|| vec![0.0; samples]);
            slowest.iter_mut().zip(&drawn).for_each(|(slowest, drawn)| *slowest = slowest.max(*drawn));
        }
        let total: Vec<f64> =
            (0..samples).map(|at| began[at] + own[at] + turned.as_ref().map_or(0.0, |turned| turned[at])).collect();
        if consumers.get(id).copied().unwrap_or(0) > 0 {
            ready.insert(id, own);
        }
        let objectives = objectives(app, component);
        let rto = objectives.rto.map(|rto| rto.as_secs_f64());
        let rpo = objectives.rpo.map(|rpo| rpo.as_secs_f64()).filter(|_| component.kind.is_database());
        predictions.insert(id.clone(), summary(total, &choice.loss, rto, rpo));
    }
    predictions
}

fn summary(mut total: Vec<f64>, loss: &Spread, rto: Option<f64>, rpo: Option<f64>) -> Prediction {
    total.sort_unstable_by(f64::total_cmp);
    let count = total.len().max(1);
    let at = |quantile: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index into the list"
        )]
        let index = ((count as f64 * quantile).ceil() as usize).clamp(1, count) - 1;
        rounded(total.get(index).copied().unwrap_or(0.0))
    };
    #[expect(clippy::cast_precision_loss, reason = "a few thousand samples")]
    let share = |limit: f64| (total.len() - total.partition_point(|value| *value <= limit)) as f64 / count as f64;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand samples")]
    let mean_rto = rounded(total.iter().sum::<f64>() / count as f64);
    Prediction {
        rto: Quantiles { p50: at(0.5), p95: at(0.95), p99: at(0.99) },
        rto_range: (at(0.0), at(1.0)),
        rpo: Quantiles { p50: rounded(loss.at(0.5)), p95: rounded(loss.at(0.95)), p99: rounded(loss.at(0.99)) },
        misses_rto: rto.map(share),
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

fn draw_steps(steps: &[Step], name: &str, samples: usize) -> Vec<f64> {
    let mut sums = vec![0.0; samples];
    for (number, step) in steps.iter().enumerate() {
        let mut random = Random::seeded(name, number);
        // The first two samples are the best and the worst case, so that the range is the model's and not the dice's.
        let shares = [0.0, 1.0].into_iter().chain(std::iter::repeat_with(|| random.share()));
        sums.iter_mut().zip(shares).for_each(|(sum, share)| *sum += step.takes.at(share));
    }
    sums
}

/// What is needed before what needs it.
fn in_order<'a>(setting: Setting<'a>, placed: &'a BTreeMap<ComponentId, Placed>) -> Vec<&'a ComponentId> {
    let mut done: BTreeSet<&ComponentId> = BTreeSet::new();
    let mut order = Vec::with_capacity(placed.len());
    for id in placed.keys() {
        let mut stack = vec![(id, false)];
        while let Some((id, needs_done)) = stack.pop() {
            if needs_done {
                order.push(id);
                continue;
            }
            if !done.insert(id) {
                continue;
            }
            stack.push((id, true));
            if let Some(component) = setting.app.components.get(id) {
                stack.extend(
                    component.needs.iter().filter_map(|need| placed.get_key_value(need)).map(|(need, _)| (need, false)),
                );
            }
        }
    }
    order
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
    fn the_chance_to_exceed_is_read_off_the_distribution() {
        let spread = Spread::assumed(10.0, 20.0, 40.0, "test");
        for (limit, expected) in [(4.0, 1.0), (10.0, 0.5), (20.0, 0.05), (40.0, 0.01), (80.0, 0.0)] {
            assert!((exceeding(&spread, limit) - expected).abs() < 1e-3, "{limit}");
        }
    }
}
