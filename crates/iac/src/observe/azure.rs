//! Observations from `az resource show --ids …`: resources as Azure has them, whichever tool made them, known by the names that are generated.

use std::collections::BTreeMap;

use lifeboat_model::RegionId;
use lifeboat_model::app::Provider;
use serde_json::Value as Json;

use crate::arm::UNIQUE;
use crate::design::{Design, Part};
use crate::{Observations, Observed};

/// What there is of an answer: several resources, or one. `None`: it is none of Azure's.
pub(super) fn resources(json: &Json) -> Option<Vec<&Json>> {
    let all: Vec<&Json> = json.as_array().map_or_else(|| vec![json], |list| list.iter().collect());
    let is_one = |one: &&Json| one["id"].as_str().is_some_and(|id| id.starts_with("/subscriptions/"));
    (!all.is_empty() && all.iter().all(is_one)).then_some(all)
}

/// Every component's resources in each region.
///
/// # Errors
/// A list without anything that could be compared: `az resource list` prints no properties.
pub(super) fn observations(design: &Design, resources: &[&Json]) -> Result<Observations, String> {
    if resources.iter().all(|resource| resource["properties"].is_null()) {
        return Err(
            "properties: there are none, as `az resource list` prints; expected what `az resource show --ids` prints"
                .into(),
        );
    }
    let mut names: BTreeMap<String, (&Part, &RegionId)> = BTreeMap::new();
    for site in design.sites_of(Provider::Azure) {
        for part in design.parts.iter().filter(|part| part.regions.contains(&site.id)) {
            names.insert(format!("{}-{}-{}", design.name(), site.id, part.id), (part, site.id));
        }
    }
    let mut found = Observations::new();
    for resource in resources {
        let name = resource["name"].as_str().unwrap_or_default();
        let Some((part, region)) = names.get(name).or_else(|| names.get(without_digits(name)?)) else { continue };
        let regions = found.entry(part.id.clone()).or_default();
        read(resource, part, regions.entry((*region).clone()).or_default());
    }
    for regions in found.values_mut() {
        regions.retain(|_, observed| *observed != Observed::default());
    }
    found.retain(|_, regions| !regions.is_empty());
    Ok(found)
}

/// Names that are unique in the world end in digits of the subscription.
fn without_digits(name: &str) -> Option<&str> {
    name.rsplit_once('-').filter(|(_, digits)| digits.len() == UNIQUE).map(|(name, _)| name)
}

fn read(resource: &Json, part: &Part, observed: &mut Observed) {
    let text = |path: &str| resource.pointer(path).and_then(Json::as_str).map(str::to_owned);
    // Azure's own answers differ in this.
    match resource["type"].as_str().unwrap_or_default().to_ascii_lowercase().as_str() {
        "microsoft.compute/virtualmachinescalesets" => {
            observed.instance = text("/sku/name");
            // Its ids mean the same in whatever case.
            observed.image = text("/properties/virtualMachineProfile/storageProfile/imageReference/id")
                .map(|image| if image.eq_ignore_ascii_case(part.image()) { part.image().into() } else { image });
        }
        // Autoscale keeps the number within its limits.
        "microsoft.insights/autoscalesettings" => {
            observed.size = text("/properties/profiles/0/capacity/minimum").and_then(|number| number.parse().ok());
        }
        "microsoft.containerservice/managedclusters" => {
            observed.version = text("/properties/kubernetesVersion");
            let pools = resource.pointer("/properties/agentPoolProfiles").and_then(Json::as_array);
            if let Some(pool) = pools.and_then(|pools| pools.iter().find(|pool| pool["name"] == "apps")) {
                observed.instance = pool["vmSize"].as_str().map(str::to_owned);
                observed.size = pool["minCount"].as_u64().and_then(|number| u32::try_from(number).ok());
            }
        }
        "microsoft.dbforpostgresql/flexibleservers" => {
            observed.version = text("/properties/version");
            observed.instance = text("/sku/name");
        }
        "microsoft.sql/servers" => observed.version = text("/properties/version"),
        _ => {}
    }
}
