//! Regions: where they lie, under whose law, with which pair, and in which state.

use std::collections::BTreeMap;

use lifeboat_model::app::{Place, Provider};
use schemars::JsonSchema;
use serde::Serialize;

use crate::figure::{Figure, Grade};
use crate::table::{DataError, Row, rows};

/// What is known of a region.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionFacts {
    /// `aws/eu-north-1`
    pub place: Place,
    /// The provider's name for people, such as `Europe (Stockholm)`.
    pub name: String,
    /// The city that it is named after; for some regions an estimate, see the source of `position`.
    pub city: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// In English.
    pub continent: String,
    /// Where it lies, as far as that is told: of most the centre of a city. `None`: not published.
    pub position: Option<Figure<Position>>,
    /// `EU/EEA`, or a country.
    pub jurisdiction: String,
    /// Availability zones.
    pub zones: Zones,
    /// The region that Azure pairs it with.
    pub pair: Option<Place>,
    /// Regions of different partitions do not replicate to each other: `aws`, `aws-eusc`, `azure`.
    pub partition: String,
    /// Whether an account must ask for it first: opt-in on AWS, access on request on Azure.
    pub restricted: bool,
    /// Whether it works.
    pub status: Status,
}

/// Availability zones of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zones {
    /// So many.
    Count(u32),
    /// Some; Azure does not say how many.
    Some,
    /// None.
    None,
}

/// Whether a region works, as far as its last published state tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Available,
    /// Some of it.
    Impaired {
        /// Who says so.
        basis: String,
    },
    /// It does not.
    Unavailable {
        /// Who says so.
        basis: String,
    },
}

/// A point on Earth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Position {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
}

/// The mean radius of the Earth after the IUGG.
const EARTH_RADIUS_KM: f64 = 6371.0088;

impl Position {
    /// The great-circle distance by the haversine formula.
    #[must_use]
    pub fn distance_km(self, other: Self) -> f64 {
        let (a, b) = (self.latitude.to_radians(), other.latitude.to_radians());
        let across = (other.longitude - self.longitude).to_radians();
        let h = ((b - a) / 2.0).sin().powi(2) + a.cos() * b.cos() * (across / 2.0).sin().powi(2);
        2.0 * EARTH_RADIUS_KM * h.sqrt().min(1.0).asin()
    }
}

/// Members of the European Economic Area that are not in the European Union; their rows say `EU/EEA` too.
const EEA_ONLY: [&str; 3] = ["NO", "IS", "LI"];

impl RegionFacts {
    /// Whether data kept here are within what a file's `residency` entry names: a jurisdiction (`EU`, `EEA`, `UK`),
    /// a country (`SE`), a continent (`Europe`) or the place itself. `EU` does not include Norway; `EEA` does.
    pub fn lies_in(&self, area: &str) -> bool {
        let eea = self.jurisdiction == "EU/EEA";
        match area {
            "EU" => eea && !EEA_ONLY.contains(&self.country.as_str()),
            "EEA" | "EU/EEA" => eea,
            _ => {
                area == self.jurisdiction
                    || area == self.country
                    || area == self.continent
                    || area == self.place.to_string()
            }
        }
    }

    /// The jurisdiction as a `residency` entry would name it.
    pub fn residency(&self) -> &str {
        match (self.lies_in("EU"), self.lies_in("EEA")) {
            (true, _) => "EU",
            (false, true) => "EEA",
            (false, false) => &self.jurisdiction,
        }
    }
}

pub(crate) fn parse_aws(text: &str) -> Result<BTreeMap<Place, RegionFacts>, DataError> {
    let mut regions = BTreeMap::new();
    rows("aws_regions.csv", text, |row| {
        let place = Place { provider: Provider::Aws, name: row.required("id")? };
        let basis: String = row.text("status_basis")?.into();
        let status = match row.text("status")? {
            "available" => Status::Available,
            "impaired" => Status::Impaired { basis },
            "unavailable" => Status::Unavailable { basis },
            other => return Err(row.error(format!("`{other}` is no known status"))),
        };
        let facts = RegionFacts {
            name: row.required("name")?,
            city: row.text("city")?.into(),
            country: row.required("country")?,
            continent: row.required("continent")?,
            position: position(row, |basis| {
                format!("GeoNames, the centre of the city ({basis}); the data centres lie up to 60 km away")
            })?,
            jurisdiction: row.required("jurisdiction")?,
            zones: Zones::Count(row.required("availability_zones")?),
            pair: None,
            partition: row.required("partition")?,
            restricted: row.required("opt_in")?,
            status,
            place: place.clone(),
        };
        regions.insert(place, facts);
        Ok(())
    })?;
    Ok(regions)
}

pub(crate) fn parse_azure(text: &str) -> Result<BTreeMap<Place, RegionFacts>, DataError> {
    let mut regions = BTreeMap::new();
    rows("azure_regions.csv", text, |row| {
        let place = Place { provider: Provider::Azure, name: row.required("id")? };
        let zones: bool = row.required("availability_zones")?;
        let facts = RegionFacts {
            name: row.required("display_name")?,
            city: row.text("city")?.into(),
            country: row.required("country")?,
            continent: row.required("continent")?,
            position: position(row, str::to_owned)?,
            jurisdiction: row.required("jurisdiction")?,
            zones: if zones { Zones::Some } else { Zones::None },
            pair: row.optional::<String>("paired_region")?.map(|name| Place { provider: Provider::Azure, name }),
            partition: "azure".into(),
            restricted: row.required("access_restricted")?,
            status: Status::Available,
            place: place.clone(),
        };
        regions.insert(place, facts);
        Ok(())
    })?;
    Ok(regions)
}

/// `source` makes a sentence of how the position was found.
fn position(row: &Row<'_>, source: impl Fn(&str) -> String) -> Result<Option<Figure<Position>>, DataError> {
    let (Some(latitude), Some(longitude)) = (row.optional("latitude")?, row.optional("longitude")?) else {
        return Ok(None);
    };
    let grade: Grade = row.required("location_grade")?;
    let date: String = row.required("location_date")?;
    let source = source(row.text("location_basis")?);
    Ok(Some(Figure::new(Position { latitude, longitude }, grade, source, date)))
}

#[cfg(test)]
mod tests {
    use crate::{Atlas, Status, at};

    #[test]
    fn jurisdictions_are_told_apart() {
        let atlas = Atlas::embedded();
        for (place, area, expected) in [
            ("aws/eu-north-1", "EU", true),
            ("aws/eu-north-1", "SE", true),
            ("aws/eu-north-1", "Europe", true),
            ("aws/eu-north-1", "aws/eu-north-1", true),
            ("aws/eu-north-1", "DE", false),
            ("azure/norwayeast", "EU", false),
            ("azure/norwayeast", "EEA", true),
            ("aws/eu-west-2", "EU", false),
            ("aws/eu-west-2", "UK", true),
            ("aws/eu-central-2", "EEA", false),
            ("aws/ap-south-2", "IN", true),
        ] {
            assert_eq!(atlas.region(&at(place)).unwrap().lies_in(area), expected, "{place} in {area}");
        }
        assert_eq!(atlas.region(&at("azure/norwayeast")).unwrap().residency(), "EEA");
    }

    #[test]
    fn lost_regions_are_known() {
        let bahrain = Atlas::embedded().region(&at("aws/me-south-1")).unwrap();
        assert!(matches!(bahrain.status, Status::Unavailable { .. }));
    }
}
