//! Observations from `cloudformation/observe.sh`: what CloudFormation found of each stack's resources when it looked for drift, which is what
//! they are and not what was applied, and what EC2 says of launch templates and images, at whose content CloudFormation cannot look. The
//! answers of one stack's `aws cloudformation describe-stack-resource-drifts` do as well.

use std::collections::BTreeMap;

use lifeboat_model::app::{Kind, Provider};
use lifeboat_model::{ComponentId, RegionId};
use serde_json::Value as Json;

use crate::design::{Design, Part, pascal};
use crate::{Observations, Observed};

/// Every component's resources in each region.
///
/// # Errors
/// An answer that is not whole, or holds something else than CloudFormation would: which field, and what was expected.
pub(super) fn observations(design: &Design, json: &Json) -> Result<Observations, String> {
    // Absent where the program has put the pages together.
    if json["NextToken"].is_string() {
        return Err(
            "NextToken: this is one page of the answer; expected all of it, as cloudformation/observe.sh has it".into(),
        );
    }
    let drifts = json["StackResourceDrifts"].as_array().ok_or("StackResourceDrifts: expected a list")?;
    let parts: BTreeMap<String, &Part> =
        design.parts.iter().flat_map(|part| named(part).map(move |name| (name, part))).collect();
    let mut seen: BTreeMap<(&ComponentId, &RegionId), Stacked> = BTreeMap::new();
    for (index, drift) in drifts.iter().enumerate() {
        let text = |name: &str| {
            let wrong = || format!("StackResourceDrifts.{index}.{name}: expected a text");
            drift[name].as_str().ok_or_else(wrong)
        };
        let (stack, name, status) = (text("StackId")?, text("LogicalResourceId")?, text("StackResourceDriftStatus")?);
        // arn:aws:cloudformation:eu-north-1:123456789012:stack/…
        let place = stack.split(':').nth(3).unwrap_or_default();
        let Some(site) = design.sites_of(Provider::Aws).find(|site| site.place() == place) else { continue };
        let Some(part) = parts.get(name).filter(|part| part.regions.contains(&site.id)) else { continue };
        let actual = match (status, drift["ActualProperties"].as_str()) {
            ("DELETED", _) => None,
            (_, Some(properties)) => Some(serde_json::from_str(properties).map_err(|error| {
                format!("StackResourceDrifts.{index}.ActualProperties of {name}: not JSON: {error}")
            })?),
            // Not looked at, so not seen.
            (_, None) => continue,
        };
        seen.entry((part.id, site.id)).or_default().read(text("ResourceType")?, actual.as_ref(), json, part, site.id);
    }
    let mut found = Observations::new();
    for ((component, region), stacked) in seen {
        let observed = stacked.observed();
        if observed != Observed::default() {
            found.entry(component.clone()).or_default().insert(region.clone(), observed);
        }
    }
    Ok(found)
}

/// The logical names of what is looked at of a component.
fn named(part: &Part) -> impl Iterator<Item = String> {
    let id = pascal(part.id.as_str());
    let instances = if part.component.kind == Kind::AuroraGlobal { part.full } else { 0 };
    let numbered = (1..=instances).map(|number| format!("Instance{number}"));
    ["", "Task", "Nodes", "Parameters"]
        .map(str::to_owned)
        .into_iter()
        .chain(numbered)
        .map(move |end| format!("{id}{end}"))
}

/// What was seen so far of a component in a region.
#[derive(Default)]
struct Stacked {
    observed: Observed,
    /// Instances of a cluster, if one was looked at.
    instances: Option<u32>,
}

impl Stacked {
    /// `actual`: the resource's properties as they are; `None`: somebody has deleted it.
    fn read(&mut self, kind: &str, actual: Option<&Json>, answer: &Json, part: &Part, region: &RegionId) {
        let Self { observed, instances } = self;
        let at = |path: &str| actual.and_then(|actual| actual.pointer(path));
        let text = |path: &str| at(path).and_then(scalar);
        // What was deleted has no instances.
        let number =
            |path: &str| if actual.is_none() { Some(0) } else { text(path).and_then(|text| text.parse().ok()) };
        match kind {
            "AWS::AutoScaling::AutoScalingGroup" => {
                observed.size = number("/MinSize");
                let template = (text("/LaunchTemplate/LaunchTemplateId"), text("/LaunchTemplate/Version"));
                if let (Some(template), Some(version)) = template
                    && let Some(data) = launched(answer, &template, &version)
                {
                    observed.instance = data["InstanceType"].as_str().map(str::to_owned);
                    observed.image = data["ImageId"].as_str().and_then(|image| original(answer, image, part, region));
                }
            }
            "AWS::ECS::Service" => observed.size = number("/DesiredCount"),
            "AWS::ECS::TaskDefinition" => observed.image = text("/ContainerDefinitions/0/Image"),
            "AWS::EKS::Cluster" => observed.version = text("/Version"),
            "AWS::EKS::Nodegroup" => {
                observed.size = number("/ScalingConfig/MinSize");
                observed.instance = text("/InstanceTypes/0");
            }
            "AWS::RDS::DBCluster" => observed.version = text("/EngineVersion"),
            "AWS::RDS::DBInstance" => {
                observed.instance = text("/DBInstanceClass").or(observed.instance.take());
                if part.component.kind == Kind::AuroraGlobal {
                    *instances = Some(instances.unwrap_or(0) + u32::from(actual.is_some()));
                } else {
                    observed.version = text("/EngineVersion");
                }
            }
            "AWS::RDS::DBClusterParameterGroup" | "AWS::RDS::DBParameterGroup" => {
                let set = at("/Parameters").and_then(Json::as_object).into_iter().flatten();
                observed.parameters.extend(set.filter_map(|(name, value)| Some((name.clone(), scalar(value)?))));
            }
            _ => {}
        }
    }

    fn observed(mut self) -> Observed {
        self.observed.size = self.observed.size.or(self.instances);
        self.observed
    }
}

/// Whether a number is one or a text depends on who wrote the resource's type.
fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => None,
    }
}

/// What a version of a launch template starts.
fn launched<'a>(answer: &'a Json, template: &str, version: &str) -> Option<&'a Json> {
    let mut versions = answer["LaunchTemplateVersions"].as_array()?.iter();
    let is_it = |one: &&Json| {
        one["LaunchTemplateId"] == template && scalar(&one["VersionNumber"]).is_some_and(|number| number == version)
    };
    Some(&versions.find(is_it)?["LaunchTemplateData"])
}

/// Every region but the home has a copy of its own, so the image that it was copied from is what they have in common.
fn original(answer: &Json, image: &str, part: &Part, region: &RegionId) -> Option<String> {
    if *region == *part.home {
        return Some(image.into());
    }
    let copy = answer["Images"].as_array()?.iter().find(|one| one["ImageId"] == image)?;
    copy["SourceImageId"].as_str().map(str::to_owned)
}
