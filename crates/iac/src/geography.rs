//! Which clients belong to which regions of a route, where a tool can tell where a client is.
//!
//! A file whose residency names several jurisdictions keeps data in each of them. Clients of such a jurisdiction are sent to its own
//! regions as long as one of them serves, then to the others, which the file allows as well. Where only one is named, or one holds all
//! of a route's regions, every client may go anywhere: the nearest region is best.

use std::collections::BTreeSet;

use lifeboat_atlas::Atlas;
use lifeboat_model::RegionId;
use lifeboat_model::app::RoutePolicy;

use crate::design::{Design, Way};

/// Members of the European Union, by ISO 3166.
const EU: [&str; 27] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
    "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
];

/// What the European Economic Area has besides.
const EEA_ONLY: [&str; 3] = ["IS", "LI", "NO"];

/// Clients that a route sends to regions of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Area<'a> {
    /// In names: `eu`.
    pub(crate) key: String,
    /// Traffic Manager's codes of where these clients are: countries by ISO 3166, groups of them such as `GEO-AP`.
    pub(crate) codes: Vec<String>,
    /// Where they are sent, the first that serves: their own regions, then the others.
    pub(crate) regions: Vec<&'a RegionId>,
}

/// The areas of a route; none: nothing tells its clients apart.
pub(crate) fn areas<'a>(design: &Design<'a>, way: &Way<'a>) -> Vec<Area<'a>> {
    if way.policy != RoutePolicy::Spread {
        return Vec::new();
    }
    let behind = design.app.databases_behind(way.to);
    let parts = design.parts.iter().filter(|part| part.id == way.to || behind.contains(part.id));
    let mut named: Vec<(&str, Vec<String>)> = parts
        .flat_map(|part| &part.component.objectives.residency)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .map(|name| (name.as_str(), codes(name)))
        .filter(|(_, codes)| !codes.is_empty())
        .collect();
    // A code belongs to one area: what is narrower comes first.
    named.sort_by_key(|(_, codes)| (codes.iter().any(|code| code.starts_with(GROUP)), codes.len()));
    let mut taken: BTreeSet<&RegionId> = BTreeSet::new();
    let mut coded: BTreeSet<String> = BTreeSet::new();
    let mut areas = Vec::new();
    for (name, codes) in named {
        let lies_in = |id: &RegionId| {
            let facts = design.site(id).and_then(|site| Atlas::embedded().region(&site.region.place));
            facts.is_some_and(|facts| facts.lies_in(name))
        };
        let own: Vec<&RegionId> = way.regions.iter().copied().filter(|id| !taken.contains(id) && lies_in(id)).collect();
        let codes: Vec<String> = codes.into_iter().filter(|code| coded.insert(code.clone())).collect();
        if own.is_empty() || codes.is_empty() {
            continue;
        }
        taken.extend(&own);
        let others = way.regions.iter().copied().filter(|id| !own.contains(id));
        areas.push(Area {
            key: name.to_lowercase().replace(' ', "-"),
            codes,
            regions: own.iter().copied().chain(others).collect(),
        });
    }
    if areas.len() < 2 { Vec::new() } else { areas }
}

const GROUP: &str = "GEO-";

/// Where clients of a jurisdiction, a country or a continent are; empty: it is none of these.
fn codes(name: &str) -> Vec<String> {
    let group = |codes: &[&str]| codes.iter().map(|code| (*code).to_owned()).collect();
    match name {
        "EU" => group(&EU),
        "EEA" | "EU/EEA" => group(&[&EU[..], &EEA_ONLY[..]].concat()),
        "UK" => group(&["GB"]),
        "Africa" => group(&["GEO-AF"]),
        "Asia" => group(&["GEO-AS", "GEO-ME"]),
        "Europe" => group(&["GEO-EU"]),
        "North America" => group(&["GEO-NA"]),
        "Oceania" => group(&["GEO-AP"]),
        "South America" => group(&["GEO-SA"]),
        country if country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase()) => group(&[country]),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(residency: &str, policy: &str) -> Vec<(String, usize, Vec<String>)> {
        let residency =
            if residency.is_empty() { String::new() } else { format!("objectives: {{residency: [{residency}]}}\n") };
        let text = format!(
            "app: shop\n{residency}regions:\n  dublin: {{place: azure/northeurope}}\n  gavle: {{place: azure/swedencentral}}\n  \
             virginia: {{place: azure/eastus2}}\ncomponents:\n  web: {{kind: vmss, pattern: active-active, size: {{image: x}}}}\n\
             routes: {{shop.example.com: {{to: web, policy: {policy}}}}}\nfailover: {{mode: approve}}\n"
        );
        let app = lifeboat_model::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let design = Design::of(&app).unwrap();
        let regions = |area: &Area| area.regions.iter().map(|id| id.to_string()).collect();
        areas(&design, &design.ways[0]).iter().map(|area| (area.key.clone(), area.codes.len(), regions(area))).collect()
    }

    #[test]
    fn clients_have_regions_of_their_own_where_several_jurisdictions_hold_data() {
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            found("EU, US", "spread"),
            [
                ("us".to_owned(), 1, list(&["virginia", "dublin", "gavle"])),
                ("eu".to_owned(), 27, list(&["dublin", "gavle", "virginia"])),
            ]
        );
        // A country within a jurisdiction is the narrower one, and has its code alone.
        assert_eq!(
            found("EU, SE, US", "spread").into_iter().map(|(key, codes, _)| (key, codes)).collect::<Vec<_>>(),
            [("se".to_owned(), 1), ("us".to_owned(), 1), ("eu".to_owned(), 26)]
        );
        for (residency, policy) in [("EU, US", "failover"), ("US", "spread"), ("US, BR", "spread"), ("", "spread")] {
            assert_eq!(found(residency, policy), [], "{residency} {policy}");
        }
    }
}
