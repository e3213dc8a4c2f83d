//! Parameter files: what is known of a region, and the roles. Of the rest only the user knows the values.

use lifeboat_model::app::Kind;

use super::template::{Parameter, ROLES, parameter_file};
use super::{Templates, default_instance, postgres_storage};
use crate::design::{Part, Site};
use crate::fragment::json;
use crate::members;
use crate::versions;

impl Templates<'_> {
    /// Of a region.
    pub(super) fn values(&self, site: &Site, parameters: &[Parameter]) -> String {
        let sizes: Vec<String> = self.parts.iter().filter_map(|part| size(part)).collect();
        let sizes = if sizes.is_empty() { "{}".into() } else { format!("{{\n{}\n      }}", sizes.join(",\n")) };
        let known = [
            ("region", json(site.id.as_str())),
            ("location", json(site.place())),
            ("cidr", json(&site.cidr())),
            ("address", json(&members::private_address(site))),
            ("vault", json(&crate::lifeboat::vault_name(self.design, site))),
            ("etcd", json(&self.etcd_settings(site)).replace("\\u000a", "\\n")),
            ("sizes", sizes),
            ("actionGroups", "[]".into()),
            ("kubernetesVersion", json(versions::KUBERNETES)),
        ];
        let values: Vec<(&str, String)> = parameters
            .iter()
            .filter(|parameter| **parameter != ROLES)
            .map(|(name, kind, _)| {
                let value = known.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
                let unknown = || match *kind {
                    "bool" => "false".into(),
                    "array" => format!("[{}]", json(&format!("<{name}>"))),
                    _ => json(&format!("<{name}>")),
                };
                (*name, value.unwrap_or_else(unknown))
            })
            .collect();
        parameter_file(&values)
    }

    /// Which region writes and which serve.
    pub(super) fn roles(&self) -> String {
        let writers: Vec<String> = self
            .parts
            .iter()
            .filter(|part| part.component.kind.is_database() && part.component.kind != Kind::AzureStorage)
            .map(|part| format!("{}: {}", json(part.id.as_str()), json(part.writer.as_str())))
            .collect();
        let serving: Vec<String> = self
            .parts
            .iter()
            .filter(|part| !part.component.kind.is_database())
            .map(|part| {
                let regions: Vec<String> = part.serves.iter().map(|id| json(id.as_str())).collect();
                format!("{}: [{}]", json(part.id.as_str()), regions.join(", "))
            })
            .collect();
        let object = |entries: Vec<String>| {
            if entries.is_empty() { "{}".into() } else { format!("{{ {} }}", entries.join(", ")) }
        };
        let value = format!(
            "{{\n        \"writers\": {},\n        \"serving\": {}\n      }}",
            object(writers),
            object(serving)
        );
        parameter_file(&[("roles", value)])
    }

    /// As the lines of an environment file, in the order in which Terraform writes them too.
    fn etcd_settings(&self, site: &Site) -> String {
        let Some(member) = members::member(self.design, site) else { return String::new() };
        let mut settings = members::environment(self.design, &member, &members::private_address(site));
        settings.sort();
        settings.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("\n")
    }
}

/// Size of a component that has one in every region.
fn size(part: &Part) -> Option<String> {
    let kind = part.component.kind;
    let instance = json(part.instance(default_instance(kind)));
    let rest = match kind {
        Kind::Vmss | Kind::Aks => {
            format!(", \"full\": {}, \"standby\": {}, \"most\": {}", part.full, part.standby, part.most())
        }
        Kind::AzurePostgres => format!(", \"storage\": {}", postgres_storage(part)),
        Kind::Cosmosdb | Kind::AzureStorage => return None,
        _ => String::new(),
    };
    Some(format!("        {}: {{ \"instance\": {instance}{rest} }}", json(part.id.as_str())))
}
