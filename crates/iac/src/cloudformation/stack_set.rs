//! The stack set that puts the regional template into every region, and the files with its parameters.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::{ComponentId, RegionId};
use serde_json::Value as Json;

use super::{Stacks, yaml_text};
use crate::design::{Design, Part, pascal};
use crate::fragment::json;

impl Stacks<'_> {
    pub(super) fn stack_set(&self) -> String {
        let regional = self.regional_parameters();
        let mut out = format!(
            "AWSTemplateFormatVersion: \"2010-09-09\"\nDescription: {} in all its regions. Create this stack in a region that the app \
             does not depend on.\n\nParameters:\n  TemplateUrl:\n    Type: String\n    Description: Where regional.yaml was uploaded, \
             https://BUCKET.s3.REGION.amazonaws.com/regional.yaml\n",
            self.name()
        );
        for site in &self.sites {
            for (name, kind, description, allowed) in &regional {
                // An image of another region cannot be checked here.
                let kind = if kind.contains("Image") { "String" } else { kind };
                out += &format!(
                    "  {name}{}:\n    Type: {kind}\n    Description: {}\n",
                    pascal(site.id.as_str()),
                    yaml_text(&description.replace("this region", site.id.as_str()))
                );
                if let Some(allowed) = allowed {
                    out += &format!("    AllowedValues: {allowed}\n");
                }
            }
        }
        let order: Vec<&str> = self.sites.iter().map(|site| site.place()).collect();
        out += &format!(
            "\nResources:\n  StackSet:\n    Type: AWS::CloudFormation::StackSet\n    Properties:\n      StackSetName: {}\n      Description: {} in \
             one region\n      PermissionModel: SELF_MANAGED\n      Capabilities: [CAPABILITY_IAM]\n      TemplateURL: !Ref TemplateUrl\n      \
             ManagedExecution: {{Active: true}}\n      # One region after the other, the home region first: what the others join is made there. A \
             change that\n      # fails in one region must not reach the next.\n      OperationPreferences:\n        RegionConcurrencyType: \
             SEQUENTIAL\n        RegionOrder: [{}]\n        FailureToleranceCount: 0\n        MaxConcurrentCount: 1\n      \
             StackInstancesGroup:\n",
            self.name(),
            self.name(),
            order.join(", ")
        );
        for site in &self.sites {
            out += &format!(
                "        - DeploymentTargets: {{Accounts: [!Ref AWS::AccountId]}}\n          Regions: [{}]\n",
                site.place()
            );
            if !regional.is_empty() {
                out += "          ParameterOverrides:\n";
            }
            for (name, ..) in &regional {
                out += &format!(
                    "            - {{ParameterKey: {name}, ParameterValue: !Ref {name}{}}}\n",
                    pascal(site.id.as_str())
                );
            }
        }
        out
    }

    /// The roles as parameters of the stack set's stack.
    pub(super) fn roles(&self) -> String {
        let mut entries = Vec::new();
        for site in &self.sites {
            for part in self.compute() {
                let key = serves_key(part, site.id);
                let value = part.serves.contains(site.id).to_string();
                entries.push((key, value));
            }
        }
        parameter_file(&entries)
    }

    /// What only the user knows, as parameters of the stack set's stack.
    pub(super) fn parameters(&self) -> String {
        let mut entries = vec![(
            "TemplateUrl".to_owned(),
            "https://example-bucket.s3.eu-west-1.amazonaws.com/regional.yaml".to_owned(),
        )];
        for site in &self.sites {
            for (name, ..) in self.regional_parameters() {
                let value = if name.ends_with("Serves") {
                    continue;
                } else if name.ends_with("Image") {
                    let part = self.compute().find(|part| name == format!("{}Image", pascal(part.id.as_str())));
                    part.filter(|part| part.home == site.id)
                        .map_or("ami-00000000000000000", |part| part.image())
                        .to_owned()
                } else if name == "Peered" {
                    "false".into()
                } else {
                    format!(
                        "arn:aws:acm:{}:123456789012:certificate/00000000-0000-0000-0000-000000000000",
                        site.place()
                    )
                };
                entries.push((format!("{name}{}", pascal(site.id.as_str())), value));
            }
        }
        parameter_file(&entries)
    }
}

/// The parameter that says whether a component serves in a region.
fn serves_key(part: &Part, region: &RegionId) -> String {
    format!("{}Serves{}", pascal(part.id.as_str()), pascal(region.as_str()))
}

/// Which regions serve, as the stack set's parameters say.
pub(crate) fn serving(design: &Design, parameters: &Json) -> BTreeMap<ComponentId, BTreeSet<RegionId>> {
    let value = |key: &str| {
        let entry = parameters.as_array().into_iter().flatten().find(|entry| entry["ParameterKey"] == key);
        entry.and_then(|entry| entry["ParameterValue"].as_str())
    };
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
