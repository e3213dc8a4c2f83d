//! A duration that is not one number: a distribution by five of its quantiles, with what it rests on.

use std::sync::Arc;

use lifeboat_atlas::{Grade, Published};

/// Which quantile plans are made with: an objective is held if 95 of 100 recoveries hold it.
pub const PLANNING_QUANTILE: f64 = 0.95;

/// A distribution over seconds, linear between its quantiles.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// Seconds at the quantiles [`QUANTILES`].
    pub seconds: [f64; 5],
    /// How far to trust it.
    pub grade: Grade,
    /// Who says so; of an assumption, what it was estimated from.
    pub source: Arc<str>,
    /// Of when that is: a day, or which of the user's own records.
    pub date: Arc<str>,
}

/// The day on which the assumptions of this crate were set; one that changes gets a day of its own.
pub(crate) const SET: &str = "2026-11-25";
/// The date of what the app's file says.
pub const OF_THE_FILE: &str = "as of the file";
/// The date of what drills and failovers of this app have shown.
pub const OF_THE_RECORDS: &str = "as of the records";

/// Where a [`Spread`] is given.
pub const QUANTILES: [f64; 5] = [0.0, 0.5, 0.95, 0.99, 1.0];

/// Up to so many measurements, the extremes are widened: the worst of five runs is not the worst that can be.
const FEW: usize = 20;

impl Spread {
    /// Nothing, in every case: by the way it is done, not by a measurement.
    pub fn none(why: impl Into<Arc<str>>) -> Self {
        Self { seconds: [0.0; 5], grade: Grade::Estimated, source: why.into(), date: SET.into() }
    }

    /// Assumed: median, 95 % and 99 %; half the median at best, twice the 99 % at worst. `from` says in a sentence what it was
    /// estimated from.
    pub fn assumed(p50: f64, p95: f64, p99: f64, from: impl Into<Arc<str>>) -> Self {
        Self::assumed_at([p50 / 2.0, p50, p95, p99, p99 * 2.0], from)
    }

    /// Assumed, all five quantiles.
    pub fn assumed_at(seconds: [f64; 5], from: impl Into<Arc<str>>) -> Self {
        Self { seconds, grade: Grade::Estimated, source: from.into(), date: SET.into() }
    }

    /// What the app's file says.
    pub fn declared(seconds: [f64; 5], source: impl Into<Arc<str>>) -> Self {
        Self { seconds, grade: Grade::Declared, source: source.into(), date: OF_THE_FILE.into() }
    }

    /// From a published figure: the usual value is taken as the median and the worst as the 95 %, with which plans count. Where no
    /// worst value is published it is taken to be twice the usual one, and then the whole is estimated, whoever published the
    /// usual one. `None` where only words were published.
    pub fn published(row: &Published) -> Option<Self> {
        let typical = row.typical_s.as_ref()?;
        let source = format!("{}: {} ({})", row.mechanism, row.condition, typical.source.trim_end_matches(','));
        let usual = typical.value;
        // Never more than nothing needs no worst value.
        if let Some(worst) = row.worst_s.or((usual == 0.0).then_some(0.0)) {
            let worst = worst.max(usual);
            return Some(Self {
                seconds: [usual / 2.0, usual, worst, worst * 1.5, worst * 2.0],
                grade: typical.grade,
                source: source.into(),
                date: typical.date.clone(),
            });
        }
        let worst = usual * 2.0;
        Some(Self::assumed_at(
            [usual / 2.0, usual, worst, worst * 1.5, worst * 2.0],
            format!(
                "{source}; {} as the usual value, {}; no source gives a worst one: assumed to be twice that",
                crate::recovery::seconds(usual),
                typical.grade
            ),
        ))
    }

    /// From a published promise of "at most": that is what plans count with; that half of the cases need a third of it is
    /// assumed, and the source says so. `None` where only words or no worst value were published.
    pub fn bound(row: &Published) -> Option<Self> {
        let most = row.worst_s?;
        let published = Self::published(row)?;
        let source = format!("{}; that half of the cases need a third of it is assumed", published.source);
        Some(Self { seconds: [0.0, most / 3.0, most, most, most * 2.0], source: source.into(), ..published })
    }

    /// From measurements in seconds. With fewer than twenty the extremes are widened by a quarter and by half.
    /// `None` without any.
    pub fn measured(seconds: &[f64]) -> Option<Self> {
        let mut sorted: Vec<f64> = seconds.iter().copied().filter(|value| value.is_finite() && *value >= 0.0).collect();
        sorted.sort_by(f64::total_cmp);
        let (first, last) = (*sorted.first()?, *sorted.last()?);
        let at = |quantile: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "an index into the list"
            )]
            let index = ((sorted.len() as f64 * quantile).ceil() as usize).clamp(1, sorted.len()) - 1;
            sorted[index]
        };
        let seconds = if sorted.len() < FEW {
            [first / 2.0, at(0.5), last, last * 1.25, last * 1.5]
        } else {
            [first, at(0.5), at(0.95), at(0.99), last]
        };
        let source = format!("{} runs of this app", sorted.len()).into();
        Some(Self { seconds, grade: Grade::Measured, source, date: OF_THE_RECORDS.into() })
    }

    /// The value at a quantile between 0 and 1.
    pub fn at(&self, quantile: f64) -> f64 {
        let quantile = quantile.clamp(0.0, 1.0);
        for (i, window) in QUANTILES.windows(2).enumerate() {
            if quantile <= window[1] {
                let share = (quantile - window[0]) / (window[1] - window[0]);
                return self.seconds[i] + share * (self.seconds[i + 1] - self.seconds[i]);
            }
        }
        self.seconds[4]
    }

    /// What plans count with, in whole milliseconds, rounded up.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a duration of at most some days")]
    pub fn planned_ms(&self) -> u64 {
        (self.at(PLANNING_QUANTILE) * 1000.0 - 1e-6).ceil().max(0.0) as u64
    }

    /// Whether it is zero in every case.
    pub fn is_never_more_than_zero(&self) -> bool {
        self.seconds[4] == 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_kept_and_values_between_are_linear() {
        let spread = Spread::assumed(10.0, 20.0, 40.0, "test");
        for (quantile, expected) in
            [(0.0, 5.0), (0.25, 7.5), (0.5, 10.0), (0.95, 20.0), (0.97, 30.0), (0.99, 40.0), (1.0, 80.0)]
        {
            assert!((spread.at(quantile) - expected).abs() < 1e-9, "{quantile}");
        }
        assert_eq!(spread.planned_ms(), 20_000);
    }

    #[test]
    fn a_worst_value_that_nobody_published_is_an_estimate() {
        let atlas = lifeboat_atlas::Atlas::embedded();
        let of = |mechanism, metric| {
            let rows: Vec<Spread> = atlas.published(mechanism, metric).filter_map(Spread::published).collect();
            rows[0].clone()
        };
        let aurora = of("aurora-global-failover", lifeboat_atlas::Metric::Rpo);
        assert_eq!((aurora.at(0.5), aurora.at(0.95), aurora.grade), (1.0, 2.0, Grade::Estimated));
        assert!(aurora.source.contains("no source gives a worst one"), "{}", aurora.source);
        assert_eq!(of("asg-launch-to-in-service", lifeboat_atlas::Metric::Duration).grade, Grade::Estimated);
        assert_eq!(of("azure-sql-manual-failover", lifeboat_atlas::Metric::Rto).grade, Grade::Published);
    }

    #[test]
    fn few_measurements_are_widened_and_none_are_nothing() {
        let spread = Spread::measured(&[0.4, 0.5, 0.6]).unwrap();
        assert_eq!(spread.grade, Grade::Measured);
        assert!(spread.at(0.0) < 0.4 && spread.at(1.0) > 0.6);
        assert_eq!(spread.at(0.5), 0.5);
        assert_eq!(Spread::measured(&[]), None);
    }
}
