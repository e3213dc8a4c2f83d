//! The stack set that puts the regional template into every region, and the files with its parameters.

use std::collections::BTreeMap;

use lifeboat_model::{ComponentId, RegionId};
use serde_json::Value as Json;

use super::parameters::Parameter;
use super::{Stacks, is_sized_by_role};
use crate::Roles;
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
            for part in self.parts.iter().filter(|part| part.regions.contains(&site.id)) {
                if is_sized_by_role(part) {
                    entries.push((writes_key(part, site.id), (part.writer == *site.id).to_string()));
                } else if !part.component.kind.is_database() {
                    entries.push((serves_key(part, site.id), part.serves.contains(site.id).to_string()));
                }
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

/// The parameter that says whether a database is written in a region.
fn writes_key(part: &Part, region: &RegionId) -> String {
    format!("{}Writes{}", pascal(part.id.as_str()), pascal(region.as_str()))
}

/// The parameters that say which components serve where, and where databases are written of which more instances run there.
pub(crate) fn role_keys<'a>(design: &'a Design) -> BTreeMap<String, &'a ComponentId> {
    let keys = design.parts.iter().flat_map(|part| {
        part.regions.iter().filter_map(|region| {
            if is_sized_by_role(part) {
                Some((writes_key(part, region), part.id))
            } else {
                (!part.component.kind.is_database()).then(|| (serves_key(part, region), part.id))
            }
        })
    });
    keys.collect()
}

/// What the stack set's parameters say.
///
/// # Errors
/// A database that is written in no region, or in several.
pub(crate) fn roles_in<'a>(design: &Design, parameters: &'a Json) -> Result<Roles, String> {
    let text = |entry: &'a Json, name: &str| entry[name].as_str();
    // Of a key that is there twice the first counts.
    let entries = parameters.as_array().into_iter().flatten().rev();
    let values: BTreeMap<&str, &str> =
        entries.filter_map(|entry| Some((text(entry, "ParameterKey")?, text(entry, "ParameterValue")?))).collect();
    let value = |key: &str| values.get(key).copied();
    let mut roles = Roles::default();
    for part in &design.parts {
        let is_database = part.component.kind.is_database();
        let key = if is_database { writes_key } else { serves_key };
        let values: Vec<(&RegionId, &str)> =
            part.regions.iter().filter_map(|region| Some((*region, value(&key(part, region))?))).collect();
        let all = values.len();
        let mut named = values.into_iter().filter(|(_, value)| *value == "true").map(|(region, _)| region.clone());
        if is_sized_by_role(part) && all > 0 {
            match (named.next(), named.next()) {
                (Some(writer), None) => {
                    roles.writers.insert(part.id.clone(), writer);
                }
                // Only regions that are new may be missing, and one of the others writes.
                (None, None) if all < part.regions.len() => {}
                _ => {
                    return Err(format!(
                        "{}Writes…: \"true\" is not there once; expected one region that writes",
                        pascal(part.id.as_str())
                    ));
                }
            }
        } else if !is_database && all > 0 {
            roles.serving.insert(part.id.clone(), named.collect());
        }
    }
    Ok(roles)
}

/// CloudFormation's own form of a parameter file.
fn parameter_file(entries: &[(String, String)]) -> String {
    let lines: Vec<String> = entries
        .iter()
        .map(|(key, value)| format!("  {{ \"ParameterKey\": {}, \"ParameterValue\": {} }}", json(key), json(value)))
        .collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}
