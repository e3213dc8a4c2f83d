//! Variables, and the files that give them their values.

use std::collections::BTreeSet;

use lifeboat_model::app::Kind;

use super::super::variable;
use super::{Root, parts};
use crate::design::Part;
use crate::fragment::json;
use crate::hcl::{Body, list, object, quote};
use crate::members;
use crate::versions::KUBERNETES;

impl Root<'_> {
    pub(super) fn variables(&self) -> Body {
        let mut file = Body::default();
        file.block("variable \"regions\"", |body| {
            body.attribute("description", quote("Places, addresses and sizes, by region; from regions.auto.tfvars.json."));
            body.attribute(
                "type",
                "map(object({\n  place = string\n  cidr  = string\n  sizes = map(object({\n    instance = optional(string)\n    \
                 full     = optional(number)\n    standby  = optional(number)\n    most     = optional(number)\n    storage  \
                 = optional(number)\n  }))\n}))",
            );
        });
        super::super::role_variables(&mut file);
        variable(
            &mut file,
            "sts_region",
            "Where each provider asks who it is. Asked in its own region, the one of a dark region would fail, and with it every plan.",
            "string",
            Some(&quote(self.sts_region())),
        );
        variable(
            &mut file,
            "zones",
            "Availability zones by region, from zones.auto.tfvars.json; asked for where none are named.",
            "map(list(string))",
            Some("{}"),
        );
        if !self.ways.is_empty() {
            variable(
                &mut file,
                "zone_ids",
                "Route 53 hosted zones by domain. They exist before the app and outlive its regions.",
                "map(string)",
                None,
            );
        }
        if self.has(|part| matches!(part.component.kind, Kind::Asg | Kind::Ecs)) {
            variable(&mut file, "certificate_arns", "ACM certificates, by region.", "map(string)", None);
            let is_internal =
                |part: &Part| matches!(part.component.kind, Kind::Asg | Kind::Ecs) && !self.design.is_public(part);
            if self.has(is_internal) {
                let description = "Certificates of components to which no route leads, by COMPONENT/REGION, for the names by which others reach them; the region's where there is none.";
                variable(&mut file, "internal_certificate_arns", description, "map(string)", Some("{}"));
            }
        }
        self.passwords(&mut file);
        if self.has(|part| part.component.kind.is_database()) {
            variable(
                &mut file,
                "alarm_topics",
                "SNS topics that are told of alarms, by region.",
                "map(list(string))",
                Some("{}"),
            );
        }
        if self.has(|part| part.component.kind == Kind::Eks) {
            let description = "Version of the clusters' control planes; raise it before AWS does.";
            variable(&mut file, "kubernetes_version", description, "string", Some(&quote(KUBERNETES)));
            let description = "Roles that administer the clusters, besides whoever creates them.";
            variable(&mut file, "cluster_admin_arns", description, "list(string)", Some("[]"));
        }
        if !self.copies.is_empty() {
            variable(
                &mut file,
                "replicate_images",
                "Whether registries are told to copy images. A registry has one such configuration: false where it has its own, or lies in another account; then add the regions there.",
                "bool",
                Some("true"),
            );
        }
        variable(&mut file, "lifeboat_image", "Container image of Lifeboat.", "string", None);
        if !members::members(self.design).is_empty() {
            variable(&mut file, "etcd_image", "Container image of etcd.", "string", None);
        }
        variable(&mut file, "lifeboat_file", "Path of the file that all this was generated from.", "string", None);
        file
    }

    /// What RDS takes as a password, wanted before anything is made: a writer without one is refused only by AWS, in the middle of an apply.
    fn passwords(&self, file: &mut Body) {
        let databases = self.databases();
        if databases.is_empty() {
            return;
        }
        file.blank().block("variable \"database_passwords\"", |body| {
            body.attribute(
                "description",
                quote("First passwords, by component; in no state file, and of no use once the databases are there. Set TF_VAR_database_passwords."),
            );
            body.attribute("type", "map(string)").attribute("sensitive", "true").attribute("ephemeral", "true").blank();
            let named = list(databases.iter().map(quote));
            body.block("validation", |check| {
                check.attribute(
                    "condition",
                    format!(
                        "alltrue([for id in {named} : can(regex(\"^[!#-.0-?A-~]{{8,128}}$\", var.database_passwords[id]))])"
                    ),
                );
                check.attribute(
                    "error_message",
                    quote(format!(
                        "TF_VAR_database_passwords has to have a password for each of {}: 8 to 128 printable characters without space, /, @ and \".",
                        databases.join(", ")
                    )),
                );
            });
        });
    }

    /// Components whose first writer takes a password.
    fn databases(&self) -> Vec<&str> {
        let takes = |part: &&&Part| matches!(part.component.kind, Kind::AuroraGlobal | Kind::Rds);
        self.parts.iter().filter(takes).map(|part| part.id.as_str()).collect()
    }

    /// A region that the app does not depend on.
    fn sts_region(&self) -> &'static str {
        let is_free = |place: &&&str| self.sites.iter().all(|site| site.place() != **place);
        ["us-east-1", "us-west-2", "eu-west-1"].iter().find(is_free).copied().unwrap_or("us-east-1")
    }

    pub(super) fn region_values(&self) -> String {
        let size = |part: &Part| -> String {
            let mut fields = Vec::new();
            let instance = parts::default_instance(part.component.kind);
            if !instance.is_empty() {
                fields.push(format!("\"instance\": {}", json(part.instance(instance))));
            }
            match part.component.kind {
                Kind::Dynamodb | Kind::S3 => {}
                Kind::Rds => fields.push(format!("\"storage\": {}", parts::storage_gib(part))),
                Kind::AuroraGlobal => {
                    fields.push(format!("\"full\": {}", part.full));
                    fields.push(format!("\"standby\": {}", part.standby));
                }
                _ => {
                    fields.push(format!("\"full\": {}", part.full));
                    fields.push(format!("\"standby\": {}", part.standby));
                    fields.push(format!("\"most\": {}", part.most()));
                }
            }
            format!("        {}: {{ {} }}", json(part.id.as_str()), fields.join(", "))
        };
        let regions: Vec<String> = self
            .sites
            .iter()
            .map(|site| {
                let here = self.parts.iter().filter(|part| part.regions.contains(&site.id));
                let sizes: Vec<String> = here
                    .filter(|part| !matches!(part.component.kind, Kind::Dynamodb | Kind::S3))
                    .map(|part| size(part))
                    .collect();
                let sizes = if sizes.is_empty() { "{}".into() } else { format!("{{\n{}\n      }}", sizes.join(",\n")) };
                format!(
                    "    {}: {{\n      \"place\": {},\n      \"cidr\": {},\n      \"sizes\": {sizes}\n    }}",
                    json(site.id.as_str()),
                    json(site.place()),
                    json(&site.cidr()),
                )
            })
            .collect();
        format!("{{\n  \"regions\": {{\n{}\n  }}\n}}\n", regions.join(",\n"))
    }

    /// What only the user knows, to be copied to `terraform.tfvars`.
    pub(super) fn example(&self) -> String {
        let mut file = Body::default();
        file.comment("Copy to terraform.tfvars and fill in.");
        let zones: BTreeSet<&str> = self.ways.iter().map(|way| way.zone()).collect();
        if !zones.is_empty() {
            file.attribute(
                "zone_ids",
                object(|map| {
                    for zone in zones {
                        map.attribute(quote(zone), quote("Z0123456789ABCDEFGHIJ"));
                    }
                }),
            );
        }
        if self.has(|part| matches!(part.component.kind, Kind::Asg | Kind::Ecs)) {
            file.attribute(
                "certificate_arns",
                object(|map| {
                    for site in self.data_sites() {
                        let arn = format!(
                            "arn:aws:acm:{}:123456789012:certificate/00000000-0000-0000-0000-000000000000",
                            site.place()
                        );
                        map.attribute(quote(site.id.as_str()), quote(arn));
                    }
                }),
            );
        }
        let databases = self.databases();
        if !databases.is_empty() {
            let passwords: Vec<String> = databases.iter().map(|id| format!("\"{id}\": \"...\"")).collect();
            file.comment(&format!(
                "First passwords come by the environment: TF_VAR_database_passwords='{{{}}}'",
                passwords.join(", ")
            ));
        }
        file.attribute("lifeboat_image", quote("registry.example.com/lifeboat:0.1"));
        if !members::members(self.design).is_empty() {
            file.attribute("etcd_image", quote("registry.example.com/etcd:3.5"));
        }
        file.attribute("lifeboat_file", quote("../../../lifeboat.yaml"));
        file.render()
    }
}
