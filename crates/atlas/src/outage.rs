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
    /// Durations in hours of the provider's outages that count, ascending.
    pub hours: Vec<f64>,
    /// How many outages of this region count.
    pub own: usize,
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

    /// Whether it would have made an app in one region fail over: most of the region was gone.
    fn counts(&self) -> bool {
        self.year() >= FROM_YEAR && self.scope != OutageScope::Partial
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts below a hundred")]
pub(crate) fn rate(atlas: &Atlas, place: &Place) -> Option<Rate> {
    atlas.region(place)?;
    let counted: Vec<&Outage> =
        atlas.outages.iter().filter(|outage| outage.provider == place.provider && outage.counts()).collect();
    let of_regions = counted.iter().filter(|outage| outage.place.is_some()).count() as f64;
    let own = counted.iter().filter(|outage| outage.place.as_ref() == Some(place)).count();
    let regions = atlas.regions().filter(|region| region.place.provider == place.provider).count() as f64;
    let years = TO_YEAR - f64::from(FROM_YEAR);
    let average = of_regions / (regions * years);
    let per_year = (own as f64 + average * PRIOR_YEARS) / (years + PRIOR_YEARS);
    let mut hours: Vec<f64> = counted.iter().filter_map(|outage| outage.hours).collect();
    hours.sort_by(f64::total_cmp);
    let source = format!(
        "{own} of the {} public outages of most of a region at {} since {FROM_YEAR}, drawn towards that provider's average; \
         the public record is no statistics",
        counted.len(),
        place.provider.as_str(),
    );
    Some(Rate { per_year: Figure::new(per_year, Grade::Estimated, source, "2026-11-24"), hours, own })
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
        assert!(stockholm.hours.iter().all(|hours| *hours > 0.0));
        assert_eq!(atlas.outage_rate(&at("local/a")), None);
    }
}
