//! Outages that became public, and the little that can be concluded from them.

use lifeboat_model::app::{Place, Provider};

use crate::Atlas;
use crate::figure::{Figure, Grade};
use crate::table::{DataError, rows};

/// A public outage.
#[derive(Clone, Debug, PartialEq)]
pub struct Outage {
    /// The provider.
    pub provider: Provider,
    /// The region; `None`: several, or everywhere.
    pub place: Option<Place>,
    /// A day or a UTC time, as the source gives it.
    pub start: String,
    /// Main impact; `None`: the source gives none.
    pub hours: Option<f64>,
    /// Of one whose end the source does not know: how long it had lasted when the source was written.
    pub at_least_hours: Option<f64>,
    /// What failed, in the source's words.
    pub services: String,
    /// How much of the region.
    pub scope: OutageScope,
    /// The cause in a sentence.
    pub summary: String,
    /// Who says so.
    pub source: String,
}

/// How much of a region failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutageScope {
    /// A zone or a service.
    Partial,
    /// Many services.
    Major,
    /// The region as a whole.
    RegionWide,
}

/// How often a region is lost for an app, and for how long.
///
/// The sample holds what became public, mostly of a few large regions; it is no statistics. So a region's own count is
/// drawn towards that of its provider (a Gamma prior worth `PRIOR_YEARS` region-years), and the result is an estimate.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    /// Losses per year.
    pub per_year: Figure<f64>,
    /// How long the provider's outages that count have lasted.
    pub durations: Durations,
    /// How many outages of this region count.
    pub own: usize,
}

/// How long the outages that are counted by a [`Rate`] have lasted: those of one region, the same ones whose number makes the rate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Durations {
    /// Hours of those that are over, ascending.
    pub ended: Vec<f64>,
    /// Hours that those without a known end had lasted when their source was written, ascending.
    pub open: Vec<f64>,
    /// How many have no duration in any source.
    pub unknown: usize,
}

impl Durations {
    fn of(outages: &[&Outage]) -> Self {
        let ascending = |mut hours: Vec<f64>| {
            hours.sort_by(f64::total_cmp);
            hours
        };
        let ended: Vec<f64> = outages.iter().filter_map(|outage| outage.hours).collect();
        let open: Vec<f64> =
            outages.iter().filter(|outage| outage.hours.is_none()).filter_map(|outage| outage.at_least_hours).collect();
        let unknown = outages.len() - ended.len() - open.len();
        Self { ended: ascending(ended), open: ascending(open), unknown }
    }

    /// The mean in hours, of those without an end as long as they had lasted; so it is the least that it can be while there are any.
    /// `None`: no duration is known.
    #[expect(clippy::cast_precision_loss, reason = "a few dozen")]
    pub fn mean_hours(&self) -> Option<f64> {
        let known = self.ended.len() + self.open.len();
        (known > 0).then(|| self.ended.iter().chain(&self.open).sum::<f64>() / known as f64)
    }

    /// [`Self::mean_hours`] of those alone that are over.
    #[expect(clippy::cast_precision_loss, reason = "a few dozen")]
    pub fn mean_ended_hours(&self) -> Option<f64> {
        (!self.ended.is_empty()).then(|| self.ended.iter().sum::<f64>() / self.ended.len() as f64)
    }

    /// What [`Self::mean_ended_hours`] rests on, in words.
    pub fn describe_ended(&self) -> String {
        if self.ended.is_empty() {
            return String::new();
        }
        format!("{} that ended ({})", self.ended.len(), range(&self.ended))
    }

    /// What [`Self::mean_hours`] rests on, in words.
    pub fn describe(&self) -> String {
        let mut parts: Vec<String> =
            Some(self.describe_ended()).filter(|ended| !ended.is_empty()).into_iter().collect();
        if !self.open.is_empty() {
            parts.push(format!(
                "{} without a known end (counted as {}, the least)",
                self.open.len(),
                range(&self.open)
            ));
        }
        if self.unknown > 0 {
            parts.push(format!("{} of unknown length left out", self.unknown));
        }
        parts.join(", ")
    }
}

/// From the least to the most.
fn range(hours: &[f64]) -> String {
    match hours {
        [one] => format!("{one} h"),
        [first, .., last] => format!("{first} to {last} h"),
        [] => String::new(),
    }
}

/// The window that is counted: the public record is thin before.
const FROM_YEAR: i32 = 2017;
const TO_YEAR: f64 = 2026.9;
/// How many region-years the provider's average weighs.
const PRIOR_YEARS: f64 = 20.0;

pub(crate) fn parse(text: &str) -> Result<Vec<Outage>, DataError> {
    let mut outages = Vec::new();
    rows("outages.csv", text, |row| {
        let provider = match row.text("provider")? {
            "aws" => Provider::Aws,
            "azure" => Provider::Azure,
            other => return Err(row.error(format!("`{other}` is no provider"))),
        };
        let region = row.text("region")?;
        outages.push(Outage {
            provider,
            place: (!matches!(region, "global" | "multi")).then(|| Place { provider, name: region.into() }),
            start: row.required("start_utc")?,
            hours: row.optional("duration_hours")?,
            at_least_hours: row.optional("at_least_hours")?,
            services: row.text("services")?.into(),
            scope: match row.text("scope")? {
                "partial" => OutageScope::Partial,
                "major" => OutageScope::Major,
                "region-wide" => OutageScope::RegionWide,
                other => return Err(row.error(format!("`{other}` is no scope"))),
            },
            summary: row.text("summary")?.into(),
            source: row.text("source")?.into(),
        });
        Ok(())
    })?;
    Ok(outages)
}

impl Outage {
    fn year(&self) -> i32 {
        self.start.get(..4).and_then(|year| year.parse().ok()).unwrap_or(0)
    }

    /// Whether it would have made an app in one region fail over: most of that region was gone, and the others were not.
    fn counts(&self) -> bool {
        self.year() >= FROM_YEAR && self.scope != OutageScope::Partial && self.place.is_some()
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts below a hundred")]
pub(crate) fn rate(atlas: &Atlas, place: &Place) -> Option<Rate> {
    atlas.region(place)?;
    let counted: Vec<&Outage> =
        atlas.outages.iter().filter(|outage| outage.provider == place.provider && outage.counts()).collect();
    let of_regions = counted.len() as f64;
    let own = counted.iter().filter(|outage| outage.place.as_ref() == Some(place)).count();
    let regions = atlas.regions().filter(|region| region.place.provider == place.provider).count() as f64;
    let years = TO_YEAR - f64::from(FROM_YEAR);
    let average = of_regions / (regions * years);
    let per_year = (own as f64 + average * PRIOR_YEARS) / (years + PRIOR_YEARS);
    let source = format!(
        "{own} of the {} public outages of most of one region at {} since {FROM_YEAR}, drawn towards that provider's average; \
         the public record is no statistics",
        counted.len(),
        place.provider.as_str(),
    );
    Some(Rate {
        per_year: Figure::new(per_year, Grade::Estimated, source, "2026-11-24"),
        durations: Durations::of(&counted),
        own,
    })
}

#[cfg(test)]
mod tests {
    use crate::{Atlas, at};

    #[test]
    fn a_region_with_a_record_is_rated_above_one_without_and_neither_is_zero() {
        let atlas = Atlas::embedded();
        let virginia = atlas.outage_rate(&at("aws/us-east-1")).unwrap();
        let stockholm = atlas.outage_rate(&at("aws/eu-north-1")).unwrap();
        assert!(virginia.own >= 5);
        assert_eq!(stockholm.own, 0);
        assert!(virginia.per_year.value > 3.0 * stockholm.per_year.value);
        assert!(stockholm.per_year.value > 0.0);
        assert!(stockholm.durations.ended.iter().all(|hours| *hours > 0.0));
        assert_eq!(atlas.outage_rate(&at("local/a")), None);
    }

    #[test]
    fn only_outages_of_one_region_are_averaged_and_one_without_an_end_stays_in() {
        let atlas = Atlas::embedded();
        let aws = atlas.outage_rate(&at("aws/eu-north-1")).unwrap().durations;
        assert!(!aws.ended.contains(&3.6), "CloudFront everywhere is no loss of a region: {aws:?}");
        assert_eq!(aws.open, [3474.0], "Bahrain has been down since March");
        assert!(aws.mean_hours().unwrap() > 100.0 && aws.mean_ended_hours().unwrap() < 24.0);
        assert!(aws.describe().contains("1 without a known end (counted as 3474 h, the least)"), "{}", aws.describe());
        let azure = atlas.outage_rate(&at("azure/westeurope")).unwrap().durations;
        assert_eq!(azure.ended, [5.0, 12.0, 24.0], "of westus, eastus and southcentralus");
        assert!(azure.open.is_empty());
    }
}
