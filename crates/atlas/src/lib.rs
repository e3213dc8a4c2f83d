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

    /// Great-circle distance in km; `None` where a position is unknown.
    pub fn distance_km(&self, a: &Place, b: &Place) -> Option<f64> {
        let (a, b) = (self.region(a)?.position?, self.region(b)?.position?);
        Some(a.distance_km(b))
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
    fn distances_are_great_circles() {
        let km = |a, b| Atlas::embedded().distance_km(&at(a), &at(b)).map(f64::round);
        assert_eq!(km("aws/eu-north-1", "aws/eu-central-1"), Some(1186.0));
        assert_eq!(km("aws/ap-south-1", "aws/ap-south-2"), Some(618.0));
        assert_eq!(km("azure/westeurope", "azure/northeurope"), Some(756.0));
        assert_eq!(km("azure/swedencentral", "azure/swedensouth"), None, "no coordinates are published");
    }
}
