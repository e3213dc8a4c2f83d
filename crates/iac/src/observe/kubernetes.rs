//! Observations from `kubectl get deployments,horizontalpodautoscalers,secrets --output json` in a region's cluster, and the roles
//! that the generated Kustomize components say.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::app::Kind;
use lifeboat_model::kubernetes::record_name;
use lifeboat_model::{ComponentId, RegionId};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use crate::design::Design;
use crate::kubernetes::roles_in;
use crate::{Observations, Observed};

/// What a cluster's list says of the app's deployments and of the secrets that they read.
pub(super) fn observations(design: &Design, region: &RegionId, list: &Json) -> Observations {
    let mut found: BTreeMap<ComponentId, Observed> = BTreeMap::new();
    let items: Vec<&Json> = list["items"].as_array().into_iter().flatten().filter(|item| is_of(design, item)).collect();
    // Limits of scaling count more than the number that happens to run.
    for kind in ["Deployment", "HorizontalPodAutoscaler", "Secret"] {
        for item in items.iter().filter(|item| item["kind"] == kind) {
            let name = item["metadata"]["name"].as_str().unwrap_or_default();
            // The generated manifests read a database's address from `DATABASE-credentials`.
            let owner = if kind == "Secret" { name.strip_suffix("-credentials").unwrap_or(name) } else { name };
            let Some(part) = design.parts.iter().find(|part| part.id.as_str() == owner) else { continue };
            let observed = found.entry(part.id.clone()).or_default();
            match kind {
                "Deployment" => deployment(item, observed),
                "Secret" => secret(item, observed),
                _ => observed.size = number(&item["spec"]["minReplicas"]).or(observed.size),
            }
        }
    }
    found.into_iter().map(|(id, observed)| (id, BTreeMap::from([(region.clone(), observed)]))).collect()
}

fn is_of(design: &Design, item: &Json) -> bool {
    item["metadata"]["namespace"].as_str().is_none_or(|namespace| namespace == design.name())
}

fn number(value: &Json) -> Option<u32> {
    value.as_u64().and_then(|number| u32::try_from(number).ok())
}

fn deployment(item: &Json, observed: &mut Observed) {
    observed.size = number(&item["spec"]["replicas"]);
    let container = &item["spec"]["template"]["spec"]["containers"][0];
    observed.image = container["image"].as_str().map(str::to_owned);
    for variable in container["env"].as_array().into_iter().flatten() {
        if let (Some(name), Some(value)) = (variable["name"].as_str(), variable["value"].as_str()) {
            observed.parameters.insert(name.into(), value.into());
        }
    }
}

fn secret(item: &Json, observed: &mut Observed) {
    for (key, value) in item["data"].as_object().into_iter().flatten() {
        // Of the encoded form: it is the same wherever the value is.
        let hash = Sha256::digest(value.as_str().unwrap_or_default());
        let name = format!("{}/{key}", item["metadata"]["name"].as_str().unwrap_or_default());
        observed.secrets.insert(name, hash.iter().map(|byte| format!("{byte:02x}")).collect());
    }
}

/// Which regions serve, as their role says. Early versions wrote no words: there a region serves whose role takes no route's record away
/// and has the full size as the least number of pods; where neither tells a serving region from another, nothing depends on it.
pub(crate) fn serving(design: &Design, files: &BTreeMap<String, String>) -> BTreeMap<ComponentId, BTreeSet<RegionId>> {
    let mut found = BTreeMap::new();
    let said = design
        .sites
        .iter()
        .filter_map(|site| Some((site.id, files.get(&format!("kubernetes/roles/{}/kustomization.yaml", site.id))?)))
        .map(|(region, role)| (region, (role, roles_in(role))))
        .collect::<BTreeMap<_, _>>();
    for part in design.parts_of(Kind::Deployment) {
        let mut regions = BTreeSet::new();
        let mut is_known = false;
        for region in &part.regions {
            let Some((role, roles)) = said.get(region) else { continue };
            let serves = if let Some(roles) = roles {
                roles.get(part.id.as_str()).copied()
            } else {
                let loses_record =
                    design.ways.iter().any(|way| way.to == part.id && role.contains(&removal(&record_name(way.host))));
                let least = least_pods(role, part.id.as_str());
                let is_named = least.is_some() || role.contains(&format!("name: {}}}", part.id));
                is_named.then(|| !loses_record && least.is_some_and(|least| least >= part.full))
            };
            is_known |= serves.is_some();
            if serves == Some(true) {
                regions.insert((*region).clone());
            }
        }
        if is_known {
            found.insert(part.id.clone(), regions);
        }
    }
    found
}

/// As a role takes a route's record away.
fn removal(record: &str) -> String {
    crate::kubernetes::delete("externaldns.k8s.io/v1alpha1", "DNSEndpoint", record)
}

/// `minReplicas` that a role's patch gives a component's autoscaler.
fn least_pods(role: &str, component: &str) -> Option<u32> {
    let target = format!("{{kind: HorizontalPodAutoscaler, name: {component}}}");
    let patch = role.split_once(&target)?.1.lines().find(|line| line.contains("/spec/minReplicas"))?;
    patch.split_once("value: ")?.1.trim_end_matches(['}', ' ']).parse().ok()
}
