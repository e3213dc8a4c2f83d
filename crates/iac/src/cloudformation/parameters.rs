//! The parameters of the regional template, which of them the stack set gives to which region, and where it has them from.

use lifeboat_model::app::Kind;

use super::{Stacks, is_balanced, is_sized_by_role, yaml_text};
use crate::design::{Part, Site, pascal};
use crate::registry::copies;

/// A parameter of a template.
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) description: String,
    /// What it is where nobody gives it; `None`: it has to be given.
    pub(super) default: Option<&'static str>,
    pub(super) allowed: Option<&'static str>,
}

impl Parameter {
    pub(super) fn text(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self { name: name.into(), kind: "String", description: description.into(), default: None, allowed: None }
    }

    pub(super) fn or(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    fn flag(self) -> Self {
        Self { default: Some("false"), allowed: Some("[\"true\", \"false\"]"), ..self }
    }

    pub(super) fn render(&self) -> String {
        let mut out =
            format!("  {}:\n    Type: {}\n    Description: {}\n", self.name, self.kind, yaml_text(&self.description));
        if let Some(allowed) = self.allowed {
            out += &format!("    AllowedValues: {allowed}\n");
        }
        if let Some(default) = self.default {
            out += &format!("    Default: \"{default}\"\n");
        }
        out
    }
}

impl Stacks<'_> {
    /// What is the same in all regions.
    pub(super) fn common_parameters(&self) -> Vec<Parameter> {
        let mut all = vec![Parameter::text("LifeboatImage", "Container image of Lifeboat")];
        if self.has_members() {
            all.push(Parameter::text("EtcdImage", "Container image of etcd"));
        }
        for database in self.hosts() {
            let text = format!("Where clients of {} find the writer; from apply.sh", database.id);
            all.push(Parameter::text(format!("{}Host", pascal(database.id.as_str())), text).or(""));
        }
        if self.has(|part| part.component.kind == Kind::Eks) {
            let text = "Role that administers the clusters; whoever applies the stack set may be none";
            all.push(Parameter::text("ClusterAdmin", text).or(""));
        }
        if !copies(self.design).is_empty() {
            let text = "Whether registries are told to copy images; a registry has one such configuration: false where it has its own";
            all.push(Parameter { default: Some("true"), ..Parameter::text("ReplicateImages", text).flag() });
        }
        if self.replicates_buckets() {
            let text = "Whether the buckets of all regions exist and replicate to each other; apply.sh tells";
            all.push(Parameter::text("Peered", text).flag());
        }
        all
    }

    /// What a region is given of its own; without a region: all that there is. Every one has a default, for a region that has no use for it.
    pub(super) fn own_parameters(&self, site: Option<&Site>) -> Vec<Parameter> {
        let here = |part: &Part| site.is_none_or(|site| part.regions.contains(&site.id));
        let has = |test: fn(&Part) -> bool| self.has(|part| here(part) && test(part));
        let mut all = Vec::new();
        for part in self.compute().filter(|part| here(part)) {
            let id = pascal(part.id.as_str());
            let text = format!("Whether this region serves clients of {}", part.id);
            all.push(Parameter::text(format!("{id}Serves"), text).flag());
            if part.component.kind == Kind::Asg {
                let text = format!("AMI of {} in this region", part.id);
                all.push(Parameter::text(format!("{id}Image"), text).or(""));
            }
        }
        for part in self.parts.iter().filter(|part| here(part) && is_sized_by_role(part)) {
            let text = format!("Whether {} is written in this region", part.id);
            all.push(Parameter::text(format!("{}Writes", pascal(part.id.as_str())), text).flag());
        }
        if has(is_balanced) {
            let text = "ACM certificate of the host name in this region";
            all.push(Parameter::text("CertificateArn", text).or(""));
        }
        // Of a component without a route its own, if there is one: it is reached by another name.
        for part in self.compute().filter(|part| here(part) && is_balanced(part) && !self.design.is_public(part)) {
            let text = format!(
                "ACM certificate of {} in this region, for the name by which others reach it; empty: the other one",
                part.id
            );
            all.push(Parameter::text(format!("{}CertificateArn", pascal(part.id.as_str())), text).or(""));
        }
        if has(|part| part.component.kind.is_database()) {
            let text = "SNS topic in this region that is told of alarms; empty for none";
            all.push(Parameter::text("AlarmTopic", text).or(""));
        }
        all
    }

    pub(super) fn regional_parameter_section(&self) -> String {
        let all = [self.common_parameters(), self.own_parameters(None), self.link_parameters()];
        format!("Parameters:\n{}\n", all.iter().flatten().map(Parameter::render).collect::<String>())
    }

    /// The parameters of the stack set's own stack, besides where the template is.
    pub(super) fn stack_set_parameters(&self) -> Vec<Parameter> {
        let mut all = self.common_parameters();
        for site in &self.sites {
            let there = pascal(site.id.as_str());
            all.extend(self.own_parameters(Some(site)).into_iter().map(|own| Parameter {
                name: format!("{}{there}", own.name),
                description: own.description.replace("this region", site.id.as_str()),
                // A role, an image and a certificate have to be given; an alarm may reach nobody, and one certificate be enough.
                default: own.default.filter(|_| {
                    own.name == "AlarmTopic" || own.name.strip_suffix("CertificateArn").is_some_and(|of| !of.is_empty())
                }),
                ..own
            }));
        }
        all.extend(self.stack_set_link_parameters());
        all
    }

    /// What the stack set gives to a region: its parameter, and the stack set's.
    pub(super) fn overrides(&self, site: &Site) -> Vec<(String, String)> {
        let there = pascal(site.id.as_str());
        let own = self.own_parameters(Some(site)).into_iter();
        own.map(|own| (own.name.clone(), format!("{}{there}", own.name))).chain(self.link_overrides(site)).collect()
    }

    /// Whether there are buckets that replicate, which they can only to others that exist.
    pub(super) fn replicates_buckets(&self) -> bool {
        self.has(|part| part.component.kind == Kind::S3 && part.regions.len() > 1)
    }
}
