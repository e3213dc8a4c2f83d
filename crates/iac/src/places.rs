//! The few facts about cloud regions that generated code needs, from `places.csv`.
//!
//! `network` is the second octet of the region's address range: fixed per cloud region, so that adding a region to an
//! app never renumbers the others, and no two regions of an app overlap. New rows take new numbers.
//! Zones are availability zones: of AWS from its region table, of Azure from its list-locations metadata, which has the pairs as well.

use lifeboat_model::app::{Place, Provider};

const TABLE: &str = include_str!("places.csv");

/// What is known of a cloud region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Second octet of `10.N.0.0/16`.
    pub(crate) network: u8,
    /// Availability zones; 0: none.
    pub(crate) zones: u8,
    /// AWS: the partition of ARNs.
    pub(crate) partition: &'static str,
    /// Azure: the region to which it copies what is geo-redundant; `None`: it has none.
    pub(crate) pair: Option<&'static str>,
    /// As people know it: `Europe (Stockholm)`, `North Europe`.
    pub(crate) name: &'static str,
}

impl Facts {
    /// The region's address range.
    pub(crate) fn cidr(&self) -> String {
        format!("10.{}.0.0/16", self.network)
    }
}

/// Facts about a cloud region; `None` where the provider has no such region, or is none that has regions.
pub(crate) fn facts(place: &Place) -> Option<Facts> {
    rows().find(|(provider, name, _)| *provider == place.provider && *name == place.name).map(|(_, _, facts)| facts)
}

fn rows() -> impl Iterator<Item = (Provider, &'static str, Facts)> {
    TABLE.lines().skip(1).filter_map(|line| {
        let mut cells = line.splitn(7, ',');
        let provider = match cells.next()? {
            "aws" => Provider::Aws,
            "azure" => Provider::Azure,
            _ => return None,
        };
        let region = cells.next()?;
        let network = cells.next()?.parse().ok()?;
        let zones = cells.next()?.parse().ok()?;
        let partition = cells.next()?;
        let pair = cells.next().filter(|pair| !pair.is_empty());
        Some((provider, region, Facts { network, zones, partition, pair, name: cells.next()? }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_row_is_read_and_no_network_is_given_twice() {
        assert_eq!(rows().count(), TABLE.lines().count() - 1);
        let networks: BTreeSet<u8> = rows().map(|(_, _, facts)| facts.network).collect();
        assert_eq!(networks.len(), rows().count());
    }

    #[test]
    fn a_region_is_found() {
        let stockholm = facts(&Place { provider: Provider::Aws, name: "eu-north-1".into() }).unwrap();
        assert_eq!((stockholm.zones, stockholm.partition, stockholm.name), (3, "aws", "Europe (Stockholm)"));
        assert_eq!(facts(&Place { provider: Provider::Aws, name: "northeurope".into() }), None);
    }
}
