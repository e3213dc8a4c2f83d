//! Round trips between regions: measured where there is a row, otherwise a line fitted to the rows.
//!
//! Two lines, because one fits badly: below 1,000 km cables run nearly straight, above they make detours. Both are fitted
//! when the file is read, to the rows whose two directions agree, and an estimate carries the median error of its line.

use std::collections::BTreeMap;

use lifeboat_model::app::Place;

use crate::figure::{Figure, Grade};
use crate::region::RegionFacts;
use crate::table::{DataError, rows};

/// Light in glass fibre needs at least so long there and back: 2 / (299,792 km/s / 1.468). No estimate may be below it.
pub const FIBRE_MS_PER_KM: f64 = 0.009_794;

/// Below this distance the near line is used.
const NEAR_KM: f64 = 1000.0;

/// A round trip in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct RoundTrip {
    /// Median over a long time, in ms; where the directions disagree, the larger.
    pub ms: Figure<f64>,
    /// For an estimate, the median absolute error of the line that it comes from, in ms.
    pub error_ms: Option<f64>,
}

pub(crate) struct Latencies {
    rows: BTreeMap<(Place, Place), Row>,
    near: Line,
    far: Line,
}

#[derive(Clone)]
struct Row {
    ms: f64,
    basis: std::sync::Arc<str>,
    date: std::sync::Arc<str>,
}

/// `ms = base + slope * km`
struct Line {
    base: f64,
    slope: f64,
    median_error: f64,
    points: usize,
}

impl Latencies {
    pub(crate) fn parse(text: &str, regions: &BTreeMap<Place, RegionFacts>) -> Result<Self, DataError> {
        let mut all = BTreeMap::new();
        let mut points = Vec::new();
        let mut sources: BTreeMap<String, (std::sync::Arc<str>, std::sync::Arc<str>)> = BTreeMap::new();
        let position = |place: &Place| Some(regions.get(place)?.position.as_ref()?.value);
        rows("region_latency.csv", text, |row| {
            let place = |column| {
                let text = row.text(column)?;
                crate::place(text).ok_or_else(|| row.error(format!("`{text}` is no place")))
            };
            let (from, to) = (place("from")?, place("to")?);
            let ms: f64 = row.required("p50_ms")?;
            let (basis, date) =
                sources.entry(row.text("basis")?.into()).or_insert_with_key(|basis| source(basis)).clone();
            if row.text("symmetric")? == "yes"
                && let (Some(a), Some(b)) = (position(&from), position(&to))
            {
                points.push((a.distance_km(b), ms));
            }
            all.insert((from, to), Row { ms, basis, date });
            Ok(())
        })?;
        let (near, far): (Vec<_>, Vec<_>) = points.into_iter().partition(|(km, _)| *km < NEAR_KM);
        Ok(Self { rows: all, near: Line::fit(&near), far: Line::fit(&far) })
    }

    pub(crate) fn round_trip(&self, a: &Place, b: &Place, distance_km: Option<f64>) -> Option<RoundTrip> {
        let row = |from: &Place, to: &Place| self.rows.get(&(from.clone(), to.clone()));
        let slower = match (row(a, b), row(b, a)) {
            (Some(there), Some(back)) => Some(if there.ms >= back.ms { there } else { back }),
            (Some(one), None) | (None, Some(one)) => Some(one),
            (None, None) => None,
        };
        if let Some(row) = slower {
            let ms = Figure::new(row.ms, Grade::Observed, row.basis.clone(), row.date.clone());
            return Some(RoundTrip { ms, error_ms: None });
        }
        let km = distance_km?;
        let line = if km < NEAR_KM { &self.near } else { &self.far };
        let ms = (line.base + line.slope * km).max(FIBRE_MS_PER_KM * km);
        let source = format!(
            "line fitted to {} measured pairs of regions {} apart, half of which lie within {:.0} ms of it",
            line.points,
            if km < NEAR_KM { "less than 1,000 km" } else { "1,000 km or more" },
            line.median_error
        );
        Some(RoundTrip {
            ms: Figure::new((ms * 10.0).round() / 10.0, Grade::Estimated, source, "2025"),
            error_ms: Some(line.median_error),
        })
    }
}

/// A row's basis ends with the date of the capture.
fn source(basis: &str) -> (std::sync::Arc<str>, std::sync::Arc<str>) {
    let date = basis.rsplit(' ').find(|word| word.starts_with("20") && word.len() >= 4).unwrap_or("");
    (basis.into(), date.trim_end_matches([')', ';', '.']).into())
}

impl Line {
    /// Least squares.
    fn fit(points: &[(f64, f64)]) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a few thousand points")]
        let n = points.len().max(1) as f64;
        let (mean_x, mean_y) =
            (points.iter().map(|(x, _)| x).sum::<f64>() / n, points.iter().map(|(_, y)| y).sum::<f64>() / n);
        let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
        let slope = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / spread.max(f64::EPSILON);
        let base = mean_y - slope * mean_x;
        let mut errors: Vec<f64> = points.iter().map(|(x, y)| (y - base - slope * x).abs()).collect();
        errors.sort_by(f64::total_cmp);
        let median_error = errors.get(errors.len() / 2).copied().unwrap_or(0.0);
        Self { base, slope, median_error, points: points.len() }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Atlas, FIBRE_MS_PER_KM, Grade, at};

    fn round_trip(a: &str, b: &str) -> crate::RoundTrip {
        Atlas::embedded().round_trip(&at(a), &at(b)).unwrap()
    }

    #[test]
    fn measured_pairs_are_observed_and_symmetric() {
        let there = round_trip("aws/eu-north-1", "aws/eu-central-1");
        assert_eq!(there.ms.grade, Grade::Observed);
        assert_eq!(&*there.ms.date, "2025-05-29");
        assert!((20.0..26.0).contains(&there.ms.value), "{}", there.ms.value);
        assert_eq!(there, round_trip("aws/eu-central-1", "aws/eu-north-1"));
    }

    #[test]
    fn pairs_without_a_row_are_estimated_and_say_so() {
        let across = round_trip("aws/eu-north-1", "azure/westeurope");
        assert_eq!(across.ms.grade, Grade::Estimated);
        assert!(across.error_ms.unwrap() > 5.0);
        let near = round_trip("aws/eu-central-1", "azure/germanywestcentral");
        assert!(near.ms.value < 6.0, "both are in Frankfurt: {}", near.ms.value);
        assert!(near.error_ms.unwrap() < 3.0);
    }

    #[test]
    fn nothing_is_faster_than_light_in_fibre() {
        let atlas = Atlas::embedded();
        for a in atlas.regions() {
            for b in atlas.regions() {
                if let (Some(km), Some(trip)) =
                    (atlas.distance_km(&a.place, &b.place), atlas.round_trip(&a.place, &b.place))
                {
                    assert!(trip.ms.value >= km * FIBRE_MS_PER_KM * 0.9, "{} to {}", a.place, b.place);
                }
            }
        }
    }

    #[test]
    fn unknown_places_have_no_round_trip() {
        assert_eq!(Atlas::embedded().round_trip(&at("local/a"), &at("local/b")), None);
    }
}
