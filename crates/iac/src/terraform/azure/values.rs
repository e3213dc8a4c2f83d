//! Variables, and the files that give them their values.

use lifeboat_model::app::Kind;

use super::Root;
use crate::arm::{UNIQUE, default_instance, postgres_storage};
use crate::design::Part;
use crate::fragment::json;
use crate::hcl::{Body, list, quote};
use crate::members;
use crate::versions;

impl Root<'_> {
    pub(super) fn variables(&self) -> Body {
        let mut file = Body::default();
        file.block("variable \"regions\"", |body| {
            body.attribute("description", quote("Places, addresses and sizes, by region; from regions.auto.tfvars.json."));
            body.attribute(
                "type",
                "map(object({\n  place = string\n  cidr  = string\n  zones = list(string)\n  sizes = map(object({\n    instance = \
                 optional(string)\n    full     = optional(number)\n    standby  = optional(number)\n    most     = optional(number)\n    \
                 storage  = optional(number)\n  }))\n}))",
            );
        });
        super::super::role_variables(&mut file);
        let mut variable = |name: &str, description: &str, kind: &str, default: Option<&str>| {
            super::super::variable(&mut file, name, description, kind, default);
        };
        variable("subscription_id", "Azure subscription.", "string", None);
        if !self.ways.is_empty() {
            let description = "Resource group of the DNS zones, outside the regions of the app.";
            variable("dns_resource_group", description, "string", None);
        }
        let description = "Entra group that administers databases and clusters, and hands certificates out.";
        variable("administrator", description, "object({ name = string, id = string })", None);
        if self.has(Kind::Aks) {
            let description =
                "Version of Kubernetes, the same in every region; `az aks get-versions` says what is on offer.";
            variable("kubernetes_version", description, "string", Some(&quote(versions::KUBERNETES)));
            let description =
                "Object ids in Entra of others who may do everything in the clusters, besides the administrators.";
            variable("cluster_administrator_ids", description, "list(string)", Some("[]"));
        }
        if self.has_vaults() || self.has(Kind::Cosmosdb) {
            let description = "Action groups of Azure Monitor that are told of alarms.";
            variable("alarm_action_groups", description, "list(string)", Some("[]"));
        }
        self.backup_variables(&mut variable);
        variable("tenant_id", "Entra tenant of the subscription, for the key vaults.", "string", None);
        let description = "Public addresses or ranges from which lifeboat/hand-out.sh may write certificates.";
        variable("administrator_addresses", description, "list(string)", None);
        variable("ssh_public_key", "Public key of those who may log in to machines.", "string", None);
        variable("lifeboat_image", "Container image of Lifeboat.", "string", None);
        if !members::members(self.design).is_empty() {
            variable("etcd_image", "Container image of etcd.", "string", None);
        }
        variable("lifeboat_file", "Path of the file that all this was generated from.", "string", None);
        file.blank().block("locals", |body| {
            body.comment("In names that nobody else in the world may have.");
            body.attribute("unique", format!("substr(lower(var.subscription_id), 0, {UNIQUE})"));
        });
        file
    }

    pub(super) fn region_values(&self) -> String {
        let size = |part: &Part| {
            let instance = json(part.instance(default_instance(part.component.kind)));
            let fields = match part.component.kind {
                Kind::Vmss | Kind::Aks => format!(
                    "\"instance\": {instance}, \"full\": {}, \"standby\": {}, \"most\": {}",
                    part.full,
                    part.standby,
                    part.most()
                ),
                Kind::AzurePostgres => {
                    let storage = postgres_storage(part);
                    let instance = json(&postgres_sku(part.instance(default_instance(Kind::AzurePostgres))));
                    format!("\"instance\": {instance}, \"storage\": {storage}")
                }
                _ => format!("\"instance\": {instance}"),
            };
            format!("        {}: {{ {fields} }}", json(part.id.as_str()))
        };
        let sized = |part: &&&Part| !matches!(part.component.kind, Kind::Cosmosdb | Kind::AzureStorage);
        let regions: Vec<String> = self
            .sites
            .iter()
            .map(|site| {
                let here = self.parts.iter().filter(sized).filter(|part| part.regions.contains(&site.id));
                let sizes: Vec<String> = here.map(|part| size(part)).collect();
                let sizes = if sizes.is_empty() { "{}".into() } else { format!("{{\n{}\n      }}", sizes.join(",\n")) };
                let zones = site.facts.map_or(0, |facts| facts.zones);
                let zones: Vec<String> = (1..=zones).map(|zone| format!("\"{zone}\"")).collect();
                format!(
                    "    {}: {{\n      \"place\": {},\n      \"cidr\": {},\n      \"zones\": [{}],\n      \"sizes\": {sizes}\n    }}",
                    json(site.id.as_str()),
                    json(site.place()),
                    json(&site.cidr()),
                    zones.join(", ")
                )
            })
            .collect();
        format!("{{\n  \"regions\": {{\n{}\n  }}\n}}\n", regions.join(",\n"))
    }

    pub(super) fn example(&self) -> String {
        let mut file = Body::default();
        file.comment("Copy to terraform.tfvars and fill in.");
        file.attribute("subscription_id", quote("00000000-0000-0000-0000-000000000000"));
        if !self.ways.is_empty() {
            file.attribute("dns_resource_group", quote("dns"));
        }
        file.attribute("administrator", "{ name = \"administrators\", id = \"00000000-0000-0000-0000-000000000000\" }");
        file.attribute("tenant_id", quote("00000000-0000-0000-0000-000000000000"));
        file.attribute("administrator_addresses", list([quote("203.0.113.7")]));
        file.attribute("ssh_public_key", quote("ssh-ed25519 AAAA..."));
        file.attribute("lifeboat_image", quote("registry.example.com/lifeboat:0.1"));
        if !members::members(self.design).is_empty() {
            file.attribute("etcd_image", quote("registry.example.com/etcd:3.5"));
        }
        file.attribute("lifeboat_file", quote("../../../lifeboat.yaml"));
        file.render()
    }
}

/// Terraform puts the tier before the size: `GP_Standard_D2ds_v5`.
fn postgres_sku(instance: &str) -> String {
    let tier = match instance.as_bytes().get("Standard_".len()) {
        Some(b'B') => "B",
        Some(b'E') => "MO",
        _ => "GP",
    };
    format!("{tier}_{instance}")
}
