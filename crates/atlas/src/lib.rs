//! Facts of the world, embedded as data files: regions, pairs, jurisdictions, latency, services, prices, outages
//! and published recovery times.
//!
//! Pure: the files of `data/` are part of the program; `data/SOURCES.md` says where each comes from and how far to
//! trust it. [`Atlas::embedded`] is the way in. Every number is a [`Figure`], which carries its [`Grade`], source and
//! date; what is not known is said to be unknown, never zero. Nothing here decides anything: that is `assess`.

mod figure;
mod land;
mod latency;
mod outage;
mod price;
mod recovery;
mod region;
mod service;
mod strong;
mod table;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use lifeboat_model::app::{Place, Provider};

pub use figure::{Figure, Grade};
pub use land::Outline;
pub use latency::{FIBRE_MS_PER_KM, RoundTrip};
pub use outage::{Durations, Outage, OutageScope, Rate};
pub use price::{Price, PriceBook};
pub use recovery::{Metric, Published};
pub use region::{Position, RegionFacts, Status, Zones};
pub use service::{Availability, Service};
pub use table::DataError;

/// Everything that is known, indexed.
pub struct Atlas {
    regions: BTreeMap<Place, RegionFacts>,
    latency: latency::Latencies,
    services: service::Services,
    strong: strong::StrongSets,
    prices: PriceBook,
    outages: Vec<Outage>,
    published: Vec<Published>,
    land: Vec<land::Outline>,
}

/// The text of the data files, for [`Atlas::parse`].
struct Files {
    aws_regions: &'static str,
    azure_regions: &'static str,
    latency: &'static str,
    services: &'static str,
    strong: &'static str,
    prices: &'static str,
    outages: &'static str,
    published: &'static str,
    land: &'static str,
}

const EMBEDDED: Files = Files {
    aws_regions: include_str!("../data/aws_regions.csv"),
    azure_regions: include_str!("../data/azure_regions.csv"),
    latency: include_str!("../data/region_latency.csv"),
    services: include_str!("../data/service_regions.csv"),
    strong: include_str!("../data/strong_tables.csv"),
    prices: include_str!("../data/prices.csv"),
    outages: include_str!("../data/outages.csv"),
    published: include_str!("../data/published_recovery.csv"),
    land: include_str!("../data/land.csv"),
};

static ATLAS: LazyLock<Atlas> = LazyLock::new(|| {
    Atlas::parse(&EMBEDDED).expect("the embedded files never change and the test `embedded_files_parse` reads them all")
});

impl Atlas {
    /// The atlas of the embedded files, parsed at first use.
    pub fn embedded() -> &'static Self {
        &ATLAS
    }

    fn parse(files: &Files) -> Result<Self, DataError> {
        let mut regions = region::parse_aws(files.aws_regions)?;
        regions.append(&mut region::parse_azure(files.azure_regions)?);
        let latency = latency::Latencies::parse(files.latency, &regions)?;
        Ok(Self {
            latency,
            services: service::Services::parse(files.services)?,
            strong: strong::StrongSets::parse(files.strong)?,
            prices: PriceBook::parse_embedded(files.prices)?,
            outages: outage::parse(files.outages)?,
            published: recovery::parse(files.published)?,
            land: land::parse(files.land)?,
            regions,
        })
    }

    /// Land and inland waters, for pictures.
    pub fn land(&self) -> &[Outline] {
        &self.land
    }

    /// Every region, in the order of provider and name.
    pub fn regions(&self) -> impl Iterator<Item = &RegionFacts> {
        self.regions.values()
    }

    /// A region's facts; `None` for places that the atlas does not list, such as `local/a`.
    pub fn region(&self, place: &Place) -> Option<&RegionFacts> {
        self.regions.get(place)
    }

    /// Great-circle distance in km, for comparisons; `None` where a position is unknown. [`Atlas::distance`] is for people.
    pub fn distance_km(&self, a: &Place, b: &Place) -> Option<f64> {
        let position = |place| Some(self.region(place)?.position.as_ref()?.value);
        Some(position(a)?.distance_km(position(b)?))
    }

    /// Great-circle distance to the kilometre, worth no more than the worse of the two positions and as old as the older one.
    pub fn distance(&self, a: &Place, b: &Place) -> Option<Figure<f64>> {
        let (from, to) = (self.region(a)?.position.as_ref()?, self.region(b)?.position.as_ref()?);
        let source = if from.source == to.source {
            format!("great circle; both ends: {}", from.source)
        } else {
            format!("great circle; one end: {}; the other: {}", from.source, to.source)
        };
        let km = from.value.distance_km(to.value).round();
        Some(Figure::new(km, from.grade.weaker(to.grade), source, from.date.clone().min(to.date.clone())))
    }

    /// The round trip between two regions, measured where there is a row, otherwise estimated from the distance.
    /// `None` where neither is possible.
    pub fn round_trip(&self, a: &Place, b: &Place) -> Option<RoundTrip> {
        self.latency.round_trip(a, b, self.distance_km(a, b))
    }

    /// The region that Azure pairs this one with. AWS has no pairs.
    pub fn pair(&self, place: &Place) -> Option<&Place> {
        self.region(place)?.pair.as_ref()
    }

    /// Whether two regions are a pair, in whichever direction Azure states it.
    pub fn paired(&self, a: &Place, b: &Place) -> bool {
        self.pair(a) == Some(b) || self.pair(b) == Some(a)
    }

    /// Whether a service can be had in a region.
    pub fn offers(&self, place: &Place, service: Service) -> Availability {
        self.services.offers(place, service)
    }

    /// The set of regions in which a DynamoDB table that lies here may be strongly consistent, such as `EU`; no table spans two
    /// sets, and most regions are in none.
    pub fn strong_set(&self, place: &Place) -> Option<&str> {
        if place.provider == Provider::Aws { self.strong.of(&place.name) } else { None }
    }

    /// The embedded list prices; overrides go on top with [`PriceBook::with_overrides`].
    pub fn prices(&self) -> &PriceBook {
        &self.prices
    }

    /// Known outages, oldest first.
    pub fn outages(&self) -> &[Outage] {
        &self.outages
    }

    /// How often, and for how long, a region is lost: see [`Rate`] for what that is worth.
    pub fn outage_rate(&self, place: &Place) -> Option<Rate> {
        outage::rate(self, place)
    }

    /// The published figures of a mechanism, such as `aurora-global-failover`.
    pub fn published(&self, mechanism: &str, metric: Metric) -> impl Iterator<Item = &Published> {
        self.published.iter().filter(move |row| row.mechanism == mechanism && row.metric == metric)
    }
}

/// Reads `aws/eu-north-1` or `azure/northeurope`.
pub(crate) fn place(text: &str) -> Option<Place> {
    let (provider, name) = text.split_once('/')?;
    let provider = Provider::ALL.into_iter().find(|known| known.as_str() == provider)?;
    Some(Place { provider, name: name.into() })
}

#[cfg(test)]
pub(crate) fn at(text: &str) -> Place {
    place(text).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_files_parse() {
        let atlas = Atlas::parse(&EMBEDDED).unwrap();
        assert_eq!(atlas.regions().filter(|region| region.place.provider == Provider::Aws).count(), 35);
        assert_eq!(atlas.regions().filter(|region| region.place.provider == Provider::Azure).count(), 60);
        assert_eq!(atlas.outages().len(), 43);
        for region in atlas.regions() {
            if let Some(pair) = &region.pair {
                assert!(atlas.region(pair).is_some(), "{} is paired with an unknown region", region.place);
            }
        }
    }

    #[test]
    fn pairs_are_as_azure_has_them() {
        let atlas = Atlas::embedded();
        assert_eq!(atlas.pair(&at("azure/westeurope")), Some(&at("azure/northeurope")));
        assert_eq!(atlas.pair(&at("azure/brazilsouth")), Some(&at("azure/southcentralus")));
        assert_eq!(atlas.pair(&at("azure/southcentralus")), Some(&at("azure/northcentralus")));
        assert!(atlas.paired(&at("azure/southcentralus"), &at("azure/brazilsouth")));
        assert_eq!(atlas.pair(&at("azure/polandcentral")), None);
        assert_eq!(atlas.pair(&at("aws/eu-north-1")), None);
    }

    #[test]
    fn strong_tables_lie_in_one_of_three_sets() {
        let atlas = Atlas::embedded();
        assert_eq!(atlas.strong_set(&at("aws/eu-central-1")), Some("EU"));
        assert_eq!(atlas.strong_set(&at("aws/us-west-2")), Some("US"));
        assert_eq!(atlas.strong_set(&at("aws/eu-north-1")), None);
        assert_eq!(atlas.strong_set(&at("azure/westeurope")), None);
        let of = |set| atlas.regions().filter(|region| atlas.strong_set(&region.place) == Some(set)).count();
        assert_eq!((of("US"), of("EU"), of("AP")), (3, 4, 3));
    }

    #[test]
    fn distances_are_great_circles() {
        let km = |a, b| Atlas::embedded().distance_km(&at(a), &at(b)).map(f64::round);
        assert_eq!(km("aws/eu-north-1", "aws/eu-central-1"), Some(1186.0));
        assert_eq!(km("aws/ap-south-1", "aws/ap-south-2"), Some(618.0));
        assert_eq!(km("azure/westeurope", "azure/northeurope"), Some(756.0));
        assert_eq!(km("azure/swedencentral", "azure/swedensouth"), None, "no coordinates are published");
    }

    #[test]
    fn a_distance_is_worth_no_more_than_the_worse_of_its_ends() {
        let grade = |a, b| Atlas::embedded().distance(&at(a), &at(b)).map(|km| (km.grade, km.date.to_string()));
        let is = |grade, date: &str| Some((grade, date.to_owned()));
        assert_eq!(grade("azure/westeurope", "azure/northeurope"), is(Grade::Published, "2026-08-21"));
        assert_eq!(
            grade("azure/westeurope", "azure/uksouth"),
            is(Grade::Estimated, "2026"),
            "a city, not Azure's own point"
        );
        assert_eq!(grade("aws/eu-north-1", "aws/eu-central-1"), is(Grade::Estimated, "2026"));
        assert_eq!(Grade::Declared.weaker(Grade::Estimated), Grade::Estimated);
        assert_eq!(Grade::Declared.weaker(Grade::Published), Grade::Declared);
    }
}
