//! The dice: durations drawn from a [`Spread`], always the same ones for the same file.
//!
//! A component's dice depend on its place among those that it is joined with by needs, not on its name: files that differ in
//! names only get the same figures, and so do components that differ in names only. Components that need each other, directly
//! or through others, never share dice; neither do two steps of one component. The same kind of step of one component has
//! the same dice whatever is chosen for it, so that choices are compared under the same luck.
//!
//! There is little luck in it: each step's durations are spread evenly over its distribution, one draw in each of as many equal
//! parts as there are recoveries, and only how the steps' durations come together is random (Latin hypercube sampling: McKay,
//! Beckman, Conover 1979).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use lifeboat_model::{App, ComponentId};

use crate::choice::Setting;
use crate::recovery::{StepKind, begin, route, steering};
use crate::spread::{QUANTILES, Spread};

/// A duration in each of the drawn recoveries, in seconds.
pub type Samples = Rc<[f64]>;

/// Recoveries that are drawn; fewer for large apps, whose groups are looked at many times.
const SAMPLES: usize = 4000;
const SAMPLES_OF_LARGE: usize = 1000;
const LARGE: usize = 100;

/// Draws that are kept to be used again; above that all are forgotten, for an enormous app has tens of thousands.
const KEPT: usize = 2000;

/// An objective counts as missed if it is exceeded by more than this, in seconds: sums of durations that come to exactly the
/// objective are not at the mercy of the last digit.
pub const TOLERANCE: f64 = 1e-6;

/// Everything that is drawn for an app. What is drawn depends on components, needs, routes and detection, not on objectives.
pub struct Draws {
    samples: usize,
    owners: HashMap<ComponentId, u64>,
    began: Samples,
    shares: RefCell<HashMap<(u64, u64), Samples>>,
    known: RefCell<HashMap<Drawn, Samples>>,
}

/// Whose dice, which of them, and the distribution.
type Drawn = (u64, u64, [u64; 5]);

/// The number of the dice of one kind of step.
#[derive(Clone, Copy, Debug)]
pub enum Dice {
    /// A step of a choice.
    Step(StepKind),
    /// Other standbys stop confirming.
    Detach,
    /// Clients of one of the component's routes turn.
    Route(usize),
}

impl Dice {
    fn number(self) -> u64 {
        match self {
            Self::Step(kind) => kind as u64,
            Self::Detach => 100,
            Self::Route(route) => 1000 + route as u64,
        }
    }
}

/// The owner of what comes once for the app: nobody's place is this great.
const OF_THE_APP: u64 = u64::MAX;

impl Draws {
    /// The dice of an app.
    pub fn new(setting: Setting<'_>) -> Self {
        let samples = if setting.app.components.len() > LARGE { SAMPLES_OF_LARGE } else { SAMPLES };
        let mut began = vec![0.0; samples];
        for step in begin(setting.app, setting.history) {
            let shares = shares(samples, OF_THE_APP, Dice::Step(step.kind).number());
            began.iter_mut().zip(drawn(&step.takes, &shares)).for_each(|(began, takes)| *began += takes);
        }
        let (shares, known) = (RefCell::default(), RefCell::default());
        Self { samples, owners: owners(setting.app), began: began.into(), shares, known }
    }

    /// How many recoveries are drawn.
    pub fn count(&self) -> usize {
        self.samples
    }

    /// Of how many recoveries an objective may be missed.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a few thousand"
    )]
    pub fn may_be_late(&self) -> usize {
        (self.samples as f64 * (1.0 - crate::spread::PLANNING_QUANTILE) + 1e-9) as usize
    }

    /// When the plan begins.
    pub fn began(&self) -> &Samples {
        &self.began
    }

    /// A component's place: what its dice depend on.
    pub fn owner(&self, id: &ComponentId) -> u64 {
        self.owners.get(id).copied().unwrap_or(0)
    }

    /// What a step of a component takes.
    pub fn of(&self, id: &ComponentId, dice: Dice, takes: &Spread) -> Samples {
        let (owner, number) = (self.owner(id), dice.number());
        let key = (owner, number, takes.seconds.map(f64::to_bits));
        if let Some(known) = self.known.borrow().get(&key) {
            return known.clone();
        }
        let drawn: Samples = drawn(takes, &self.shares(owner, number)).collect();
        let mut known = self.known.borrow_mut();
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(key, drawn.clone());
        drawn
    }

    fn shares(&self, owner: u64, number: u64) -> Samples {
        let mut known = self.shares.borrow_mut();
        if known.len() >= KEPT {
            known.clear();
        }
        let throw = || shares(self.samples, owner, number).into();
        known.entry((owner, number)).or_insert_with(throw).clone()
    }

    /// When clients of a component are turned, counted from when it serves: the last of its routes. `None`: it has none.
    pub fn routes(&self, setting: Setting<'_>, id: &ComponentId) -> Option<Samples> {
        let steering = steering(setting.app);
        let to = setting.app.routes.values().filter(|route| route.to == *id);
        let drawn = to.enumerate().map(|(number, to)| {
            self.of(id, Dice::Route(number), &route(to, steering, setting.history, setting.atlas).takes)
        });
        drawn.reduce(|one, other| later(&one, &other))
    }
}

/// The later of two, in each recovery.
pub fn later(one: &[f64], other: &[f64]) -> Samples {
    one.iter().zip(other).map(|(one, other)| one.max(*other)).collect()
}

/// Of each component its place among those that it is joined with: 0 if nobody needs it (the luck of two that nobody waits for
/// never adds up), else its number among those that are needed.
fn owners(app: &App) -> HashMap<ComponentId, u64> {
    let ids: Vec<&ComponentId> = app.components.keys().collect();
    let index: HashMap<&ComponentId, usize> = ids.iter().enumerate().map(|(at, id)| (*id, at)).collect();
    let needs: Vec<Vec<usize>> = app
        .components
        .values()
        .map(|component| component.needs.iter().filter_map(|need| index.get(need).copied()).collect())
        .collect();
    let needed: BTreeSet<usize> = needs.iter().flatten().copied().collect();
    let mut joined: Vec<usize> = (0..ids.len()).collect();
    fn root(joined: &mut [usize], mut at: usize) -> usize {
        while joined[at] != at {
            joined[at] = joined[joined[at]];
            at = joined[at];
        }
        at
    }
    for (at, needs) in needs.iter().enumerate() {
        for need in needs {
            let (one, other) = (root(&mut joined, at), root(&mut joined, *need));
            joined[one.max(other)] = one.min(other);
        }
    }
    let mut last: BTreeMap<usize, u64> = BTreeMap::new();
    let mut place = |at: usize| {
        if !needed.contains(&at) {
            return 0;
        }
        let last = last.entry(root(&mut joined, at)).or_default();
        *last += 1;
        *last
    };
    ids.iter().enumerate().map(|(at, id)| ((*id).clone(), place(at))).collect()
}

/// Where in its distribution a step's duration lies, in each recovery. The first two are the best and the worst case, so that the
/// range is the model's and not the dice's.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a few thousand samples"
)]
fn shares(samples: usize, owner: u64, number: u64) -> Vec<f64> {
    let mut random = Random::seeded(owner, number);
    let parts = samples.saturating_sub(2);
    let mut shares: Vec<f64> = (0..parts).map(|part| (part as f64 + random.share()) / parts as f64).collect();
    for last in (1..parts).rev() {
        let other = (random.share() * (last + 1) as f64) as usize;
        shares.swap(last, other.min(last));
    }
    [0.0, 1.0].into_iter().take(samples).chain(shares).collect()
}

/// The durations at these shares: the piecewise linear distribution as a sum of ramps, one for each piece, with nothing to branch on.
fn drawn<'a>(takes: &Spread, shares: &'a [f64]) -> impl ExactSizeIterator<Item = f64> + use<'a> {
    let [first, .., last] = takes.seconds;
    let ramps: [(f64, f64, f64); 4] = std::array::from_fn(|piece| {
        let width = QUANTILES[piece + 1] - QUANTILES[piece];
        (QUANTILES[piece], width, (takes.seconds[piece + 1] - takes.seconds[piece]) / width)
    });
    let [one, two, three, four] = ramps;
    shares.iter().map(move |share| {
        let ramp = |(from, width, slope): (f64, f64, f64)| slope * (share - from).max(0.0).min(width);
        // The worst case is met to the last digit.
        if *share >= 1.0 { last } else { first + ramp(one) + ramp(two) + ramp(three) + ramp(four) }
    })
}

/// `SplitMix64` (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): small, and the same everywhere.
struct Random(u64);

impl Random {
    /// The seed is the FNV-1a hash of two numbers.
    fn seeded(owner: u64, number: u64) -> Self {
        let bytes = owner.to_le_bytes().into_iter().chain(number.to_le_bytes());
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
    fn draws_follow_the_distribution_closely() {
        let spread = Spread::assumed(10.0, 20.0, 40.0, "test");
        for owner in 0..20 {
            let mut drawn: Vec<f64> = drawn(&spread, &shares(4000, owner, 3)).collect();
            assert_eq!(drawn[..2], [5.0, 80.0]);
            drawn.sort_by(f64::total_cmp);
            for (share, expected) in [(0.25, 7.5), (0.5, 10.0), (0.95, 20.0), (0.99, 40.0)] {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
                let found = drawn[(4000.0 * share) as usize];
                assert!((found / expected - 1.0).abs() < 0.05, "{share}: {found}");
            }
        }
    }

    /// What is random is how durations come together: two steps are not slow together more often than chance has it.
    #[test]
    fn steps_are_independent_of_each_other() {
        let (one, other) = (shares(4000, 1, 3), shares(4000, 2, 3));
        let both = one.iter().zip(&other).filter(|(one, other)| **one > 0.9 && **other > 0.9).count();
        assert!((20..=62).contains(&both), "{both} of 40");
    }

    #[test]
    fn who_is_needed_has_dice_of_its_own_within_what_it_is_joined_with() {
        let app = lifeboat_model::parse(
            "app: a\nfailover: {mode: approve}\nregions:\n  x: {place: aws/eu-north-1}\n  y: {place: aws/eu-west-1}\ncomponents:\n  a: {kind: rds}\n  b: {kind: asg, needs: [a]}\n  c: {kind: asg, needs: [b]}\n  d: {kind: asg, needs: [b]}\n  e: {kind: rds}\n  f: {kind: asg, needs: [e]}\n",
        )
        .unwrap();
        let found: BTreeMap<String, u64> =
            owners(&app).into_iter().map(|(id, place)| (id.to_string(), place)).collect();
        let expected = [("a", 1), ("b", 2), ("c", 0), ("d", 0), ("e", 1), ("f", 0)];
        assert_eq!(found, expected.map(|(id, place)| (id.to_owned(), place)).into());
    }
}
