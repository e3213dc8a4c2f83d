//! The stack set that puts the regional template into every region, and the files with its parameters.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::{ComponentId, RegionId};
use serde_json::Value as Json;

use super::Stacks;
use super::parameters::Parameter;
use crate::design::{Design, Part, pascal};
use crate::fragment::{fill, json};

impl Stacks<'_> {
    pub(super) fn stack_set(&self) -> String {
        let template =
            "Where regional.yaml was uploaded; under another name whenever it changed, or the change is not seen";
        let url = Parameter::text("TemplateUrl", format!("{template}; from prepare.sh"));
        let parameters: String =
            std::iter::once(url).chain(self.stack_set_parameters()).map(|parameter| parameter.render()).collect();
        let order: Vec<&str> = self.sites.iter().map(|site| site.place()).collect();
        let given = |name: &str, value: &str, by: usize| {
            format!("{}- {{ParameterKey: {name}, ParameterValue: !Ref {value}}}\n", " ".repeat(by))
        };
        let common: String =
            self.common_parameters().iter().map(|parameter| given(&parameter.name, &parameter.name, 8)).collect();
        let mut groups = String::new();
        for site in &self.sites {
            groups += &format!(
                "        - DeploymentTargets: {{Accounts: [!Ref AWS::AccountId]}}\n          Regions: [{}]\n",
                site.place()
            );
            let overrides = self.overrides(site);
            if !overrides.is_empty() {
                groups += "          ParameterOverrides:\n";
            }
            groups += &overrides.iter().map(|(name, value)| given(name, value, 12)).collect::<String>();
        }
        let values = [
            ("app", self.name()),
            ("parameters", &parameters),
            ("common", &common),
            ("order", &order.join(", ")),
            ("groups", &groups),
        ];
        fill(include_str!("stackset.yaml"), &values)
    }

    /// The roles as parameters of the stack set's stack.
    pub(super) fn roles(&self) -> String {
        let mut entries = Vec::new();
        for site in &self.sites {
            for part in self.compute().filter(|part| part.regions.contains(&site.id)) {
                let key = serves_key(part, site.id);
                let value = part.serves.contains(site.id).to_string();
                entries.push((key, value));
            }
        }
        parameter_file(&entries)
    }

    /// What only the user knows, for the stacks of all templates.
    pub(super) fn example(&self) -> String {
        let mut entries = vec![("LifeboatImage".to_owned(), "registry.example.com/lifeboat:0.1".to_owned())];
        if self.has_members() {
            entries.push(("EtcdImage".into(), "registry.example.com/etcd:3.5".into()));
        }
        for site in &self.sites {
            let there = pascal(site.id.as_str());
            for Parameter { name, .. } in self.own_parameters(Some(site)) {
                let value = match name.as_str() {
                    "CertificateArn" => {
                        let number = "certificate/00000000-0000-0000-0000-000000000000";
                        format!("arn:aws:acm:{}:123456789012:{number}", site.place())
                    }
                    "AlarmTopic" => String::new(),
                    // Roles and images have files of their own.
                    _ => continue,
                };
                entries.push((format!("{name}{there}"), value));
            }
        }
        let zones = self.ways.iter().map(|way| format!("{}Zone", pascal(way.host.as_str())));
        entries.extend(zones.map(|zone| (zone, "Z0123456789ABCDEFGHIJ".into())));
        parameter_file(&entries)
    }
}

/// The parameter that says whether a component serves in a region.
fn serves_key(part: &Part, region: &RegionId) -> String {
    format!("{}Serves{}", pascal(part.id.as_str()), pascal(region.as_str()))
}

/// The parameters that say which components serve where.
pub(crate) fn serves_keys<'a>(design: &'a Design) -> BTreeMap<String, &'a ComponentId> {
    let compute = design.parts.iter().filter(|part| !part.component.kind.is_database());
    compute.flat_map(|part| part.regions.iter().map(|region| (serves_key(part, region), part.id))).collect()
}

/// Which regions serve, as the stack set's parameters say.
pub(crate) fn serving<'a>(design: &Design, parameters: &'a Json) -> BTreeMap<ComponentId, BTreeSet<RegionId>> {
    let text = |entry: &'a Json, name: &str| entry[name].as_str();
    // Of a key that is there twice the first counts.
    let entries = parameters.as_array().into_iter().flatten().rev();
    let values: BTreeMap<&str, &str> =
        entries.filter_map(|entry| Some((text(entry, "ParameterKey")?, text(entry, "ParameterValue")?))).collect();
    let value = |key: &str| values.get(key).copied();
    let mut found = BTreeMap::new();
    for part in &design.parts {
        let values: Vec<(&RegionId, &str)> =
            part.regions.iter().filter_map(|region| Some((*region, value(&serves_key(part, region))?))).collect();
        if !values.is_empty() {
            let serving = values.into_iter().filter(|(_, value)| *value == "true");
            found.insert(part.id.clone(), serving.map(|(region, _)| region.clone()).collect());
        }
    }
    found
}

/// CloudFormation's own form of a parameter file.
fn parameter_file(entries: &[(String, String)]) -> String {
    let lines: Vec<String> = entries
        .iter()
        .map(|(key, value)| format!("  {{ \"ParameterKey\": {}, \"ParameterValue\": {} }}", json(key), json(value)))
        .collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}
