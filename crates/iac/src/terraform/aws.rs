//! The root module for AWS: providers, networks, keys, backups, routes, nodes; the components are in `parts`.

use std::collections::BTreeSet;

use lifeboat_model::app::{Kind, Pattern, Provider, RegionRole, RoutePolicy};

use crate::design::{Design, Part, STEERING_PATH, Site, Way, identifier, short};
use crate::fragment::json;
use crate::hcl::{Body, list, object, quote};
use crate::permissions;
use crate::tree::Tree;

mod modules;
mod parts;

const FOLDER: &str = "terraform/aws";
/// The oldest provider in which everything that is used exists, and no further major version.
const PROVIDER: &str = "~> 6.25";
/// Write-only attributes, which keep passwords out of the state, came with 1.11.
const TERRAFORM: &str = ">= 1.11";

const KEY_POLICY_REASON: &str = "Auto Scaling and CloudWatch Logs use the key in the account's name, not in that of a role which could be given leave.";

/// What the files of the root module share.
struct Root<'a> {
    design: &'a Design<'a>,
    /// AWS regions, witnesses included.
    sites: Vec<&'a Site<'a>>,
    parts: Vec<&'a Part<'a>>,
    /// Routes to compute that has a load balancer here.
    ways: Vec<&'a Way<'a>>,
    /// Where what cannot be in every region at once begins: the primary of multi-region keys.
    anchor: &'a Site<'a>,
}

pub(super) fn write(design: &Design, tree: &mut Tree) {
    let sites: Vec<&Site> = design.sites_of(Provider::Aws).collect();
    let parts: Vec<&Part> = design.parts.iter().filter(|part| module_of(part.component.kind).is_some()).collect();
    let anchor = parts.first().and_then(|part| design.site(part.home)).or(sites.first().copied());
    let Some(anchor) = anchor else { return };
    let ways = design.ways.iter().filter(|way| has_load_balancer(design, way)).collect();
    let root = Root { design, sites, parts, ways, anchor };

    let mut put = |name: &str, body: Body| tree.put(format!("{FOLDER}/{name}"), body.render());
    put("versions.tf", root.versions());
    put("providers.tf", root.providers());
    put("variables.tf", root.variables());
    put("roles.tf", root.roles());
    put("network.tf", root.network());
    put("keys.tf", root.keys());
    put("lifeboat.tf", root.nodes());
    put("outputs.tf", root.outputs());
    if root.needs_backups() {
        put("backup.tf", root.backup());
    }
    if !root.ways.is_empty() {
        put("routes.tf", root.routes());
    }
    for part in &root.parts {
        put(&format!("{}.tf", part.id), root.part(part));
    }
    tree.put(format!("{FOLDER}/regions.auto.tfvars.json"), root.region_values());
    tree.put_kept(format!("{FOLDER}/roles.auto.tfvars.json"), super::role_values(&root.parts));
    tree.put(format!("{FOLDER}/terraform.tfvars.example"), root.example());
    // Peering is between two regions and declares a provider for each itself.
    for module in root.module_names().into_iter().filter(|module| *module != "peering") {
        tree.put(format!("{FOLDER}/modules/{module}/versions.tf"), super::module_versions("aws"));
    }
    for (path, content) in modules::files(&root.module_names()) {
        tree.put(format!("{FOLDER}/modules/{path}"), content.replace("@{steering}", STEERING_PATH));
    }
}

/// The module that makes a component of this kind; `None`: not Terraform's on AWS.
fn module_of(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::AuroraGlobal => Some("aurora-global"),
        Kind::Rds => Some("rds"),
        Kind::Dynamodb => Some("dynamodb"),
        Kind::S3 => Some("s3"),
        Kind::Asg => Some("asg"),
        Kind::Ecs => Some("ecs"),
        Kind::Eks => Some("eks"),
        Kind::Postgres
        | Kind::AzureSql
        | Kind::Cosmosdb
        | Kind::AzurePostgres
        | Kind::AzureStorage
        | Kind::Process
        | Kind::Vmss
        | Kind::Aks
        | Kind::Deployment => None,
    }
}

fn has_load_balancer(design: &Design, way: &Way) -> bool {
    design.part(way.to).is_some_and(|part| matches!(part.component.kind, Kind::Asg | Kind::Ecs))
}

/// Backed up by AWS Backup, as distinct from a kind that keeps every moment of its own.
fn is_backed_up(part: &Part) -> bool {
    matches!(part.component.kind, Kind::AuroraGlobal | Kind::Rds | Kind::Dynamodb | Kind::S3)
}

impl<'a> Root<'a> {
    fn name(&self) -> &str {
        self.design.name()
    }

    fn has(&self, test: impl Fn(&Part) -> bool) -> bool {
        self.parts.iter().any(|part| test(part))
    }

    fn needs_backups(&self) -> bool {
        self.has(is_backed_up)
    }

    /// Regions that run components.
    fn data_sites(&self) -> impl Iterator<Item = &'a Site<'a>> {
        self.sites.iter().copied().filter(|site| site.region.role == RegionRole::Data)
    }

    fn module_names(&self) -> BTreeSet<&'static str> {
        let mut names: BTreeSet<&str> =
            self.parts.iter().filter_map(|part| module_of(part.component.kind)).chain(["network", "node"]).collect();
        names.extend(self.needs_backups().then_some("backup"));
        names.extend((!self.ways.is_empty()).then_some("steering"));
        names.extend((self.sites.len() > 1).then_some("peering"));
        names
    }

    fn versions(&self) -> Body {
        let mut file = Body::default();
        file.block("terraform", |body| {
            body.attribute("required_version", quote(TERRAFORM)).blank();
            body.block("required_providers", |body| {
                body.attribute(
                    "aws",
                    object(|aws| {
                        aws.attribute("source", quote("hashicorp/aws")).attribute("version", quote(PROVIDER));
                    }),
                );
            });
            body.blank().comment(
                "Configure a backend here. Keep the state outside the regions that it describes: it is needed when one is lost.",
            );
        });
        file
    }

    fn providers(&self) -> Body {
        let mut file = Body::default();
        file.comment("Route 53 and IAM are global; their control planes are in us-east-1 whatever region is named.");
        file.block("provider \"aws\"", |body| {
            body.attribute("region", quote("us-east-1")).blank();
            default_tags(body, self.name());
        });
        for site in &self.sites {
            file.blank().block("provider \"aws\"", |body| {
                body.attribute("alias", quote(site.key())).attribute("region", value_of(site, "place")).blank();
                default_tags(body, self.name());
            });
        }
        file.blank().block("data \"aws_caller_identity\" \"current\"", |_| {});
        file.blank().block("data \"aws_partition\" \"current\"", |_| {});
        file.blank().block("locals", |body| {
            body.attribute("account", "data.aws_caller_identity.current.account_id");
            body.attribute("partition", "data.aws_partition.current.partition");
        });
        file
    }

    fn variables(&self) -> Body {
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
        super::role_variables(&mut file);
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
        }
        if self.has(|part| matches!(part.component.kind, Kind::AuroraGlobal | Kind::Rds)) {
            file.blank().block("variable \"database_passwords\"", |body| {
                body.attribute(
                    "description",
                    quote("First passwords, by component; in no state file. Set TF_VAR_database_passwords."),
                );
                body.attribute("type", "map(string)").attribute("sensitive", "true").attribute("ephemeral", "true");
                body.attribute("default", "{}");
            });
            variable(
                &mut file,
                "alarm_topics",
                "SNS topics that are told of alarms, by region.",
                "map(list(string))",
                Some("{}"),
            );
        }
        variable(&mut file, "lifeboat_image", "Container image of Lifeboat.", "string", None);
        variable(&mut file, "lifeboat_file", "Path of the file that all this was generated from.", "string", None);
        file
    }

    fn roles(&self) -> Body {
        super::role_locals(&self.parts)
    }

    fn network(&self) -> Body {
        let mut file = Body::default();
        for site in &self.sites {
            file.block(format!("module {}", quote(format!("network_{}", site.key()))), |body| {
                body.attribute("source", quote("./modules/network")).attribute("providers", provider(site)).blank();
                body.attribute("name", quote(format!("{}-{}", self.name(), site.id)));
                body.attribute("region", value_of(site, "place")).attribute("cidr", value_of(site, "cidr"));
                body.attribute("nat_gateways", self.needs_nat(site));
            });
            file.blank();
        }
        for (index, one) in self.sites.iter().enumerate() {
            for other in &self.sites[index + 1..] {
                file.block(format!("module {}", quote(format!("peering_{}_{}", one.key(), other.key()))), |body| {
                    body.attribute("source", quote("./modules/peering"));
                    body.attribute(
                        "providers",
                        object(|map| {
                            map.attribute("aws.one", format!("aws.{}", one.key()));
                            map.attribute("aws.other", format!("aws.{}", other.key()));
                        }),
                    );
                    body.blank();
                    body.attribute("name", quote(format!("{}-{}-{}", self.name(), one.id, other.id)));
                    body.attribute("one", format!("module.network_{}", one.key()));
                    body.attribute("other", format!("module.network_{}", other.key()));
                    body.attribute("other_region", value_of(other, "place"));
                });
                file.blank();
            }
        }
        file.block("locals", |body| {
            body.comment("Where clients of a database may be: anywhere that the app runs.");
            body.attribute(
                "clients",
                object(|map| {
                    for site in self.data_sites() {
                        map.attribute(site.key(), format!("module.network_{}.cidr", site.key()));
                    }
                }),
            );
        });
        file
    }

    /// Gateways cannot wait until a failover: making them takes a control plane. Only where a failover restores everything
    /// from backups anyway are they made then.
    fn needs_nat(&self, site: &Site) -> String {
        let here: Vec<&&Part> = self.parts.iter().filter(|part| part.regions.contains(&site.id)).collect();
        let waits = |part: &&&Part| part.pattern == Pattern::BackupRestore && part.home != site.id;
        if site.region.role == RegionRole::Witness || here.is_empty() {
            "false".into()
        } else if here.iter().all(waits) {
            format!("anytrue([for regions in values(local.serving) : contains(regions, {})])", quote(site.id.as_str()))
        } else {
            "true".into()
        }
    }

    fn keys(&self) -> Body {
        let mut file = Body::default();
        let anchor = self.anchor;
        file.comment(
            "One key in every region: what one region encrypted, the others can read, and none asks another for it.",
        );
        file.block(format!("resource \"aws_kms_key\" {}", quote(anchor.key())), |body| {
            body.attribute("provider", format!("aws.{}", anchor.key())).blank();
            body.attribute("description", quote(format!("{}, primary of the multi-region key", self.name())));
            body.attribute("multi_region", "true").attribute("enable_key_rotation", "true");
            body.attribute("deletion_window_in_days", "30").attribute("policy", "local.key_policy");
        });
        for site in self.sites.iter().filter(|site| site.id != anchor.id) {
            file.blank().block(format!("resource \"aws_kms_replica_key\" {}", quote(site.key())), |body| {
                body.attribute("provider", format!("aws.{}", site.key())).blank();
                body.attribute("description", quote(format!("{}, replica", self.name())));
                body.attribute("primary_key_arn", format!("aws_kms_key.{}.arn", anchor.key()));
                body.attribute("deletion_window_in_days", "30").attribute("policy", "local.key_policy");
            });
        }
        file.blank().block("locals", |body| {
            body.comment(KEY_POLICY_REASON).attribute("key_policy", self.key_policy()).blank();
            body.attribute(
                "key_arns",
                object(|map| {
                    for site in &self.sites {
                        map.attribute(site.key(), self.key_arn(site));
                    }
                }),
            );
        });
        let secrets: Vec<&&Part> = self.parts.iter().filter(|part| part.component.kind.is_database()).collect();
        for part in secrets.iter().filter(|part| matches!(part.component.kind, Kind::AuroraGlobal | Kind::Rds)) {
            file.blank().comment("Applications read their credentials in their own region. The value is set by whoever owns it, not here.");
            file.block(format!("resource \"aws_secretsmanager_secret\" {}", quote(part.key())), |body| {
                body.attribute("provider", format!("aws.{}", anchor.key())).blank();
                body.attribute("name", quote(format!("{}/{}", self.name(), part.id)));
                body.attribute("description", quote(format!("Credentials of applications for {}", part.id)));
                body.attribute("kms_key_id", self.key_arn(anchor));
                for site in
                    part.regions.iter().filter_map(|id| self.design.site(id)).filter(|site| site.id != anchor.id)
                {
                    body.blank().block("replica", |replica| {
                        replica
                            .attribute("region", value_of(site, "place"))
                            .attribute("kms_key_id", self.key_arn(site));
                    });
                }
            });
        }
        file
    }

    fn key_policy(&self) -> String {
        let logs: Vec<String> =
            self.sites.iter().map(|site| format!("\"logs.${{{}}}.amazonaws.com\"", value_of(site, "place"))).collect();
        include_str!("aws/key-policy.hcl").trim_end().replace("@{logs}", &logs.join(", "))
    }

    fn key_arn(&self, site: &Site) -> String {
        let kind = if site.id == self.anchor.id { "aws_kms_key" } else { "aws_kms_replica_key" };
        format!("{kind}.{}.arn", site.key())
    }

    fn backup(&self) -> Body {
        let mut file = Body::default();
        let sites: Vec<&Site> = self.data_sites().collect();
        let vault = |site: &Site| format!("aws_backup_vault.{}", site.key());
        for site in &sites {
            file.block(format!("resource \"aws_backup_vault\" {}", quote(site.key())), |body| {
                body.attribute("provider", format!("aws.{}", site.key())).blank();
                body.attribute("name", quote(format!("{}-{}", self.name(), site.id)));
                body.attribute("kms_key_arn", format!("local.key_arns[{}]", quote(site.key())));
            });
            file.blank();
        }
        for (index, site) in sites.iter().enumerate() {
            let next = sites[(index + 1) % sites.len()];
            file.block(format!("module {}", quote(format!("backup_{}", site.key()))), |body| {
                body.attribute("source", quote("./modules/backup")).attribute("providers", provider(site)).blank();
                body.attribute("app", quote(self.name()));
                body.attribute("name", quote(format!("{}-{}", self.name(), site.id)));
                body.attribute("partition", "local.partition");
                body.attribute("vault", format!("{}.name", vault(site)));
                body.attribute("copy_to", list((next.id != site.id).then(|| format!("{}.arn", vault(next)))));
            });
            if index + 1 < sites.len() {
                file.blank();
            }
        }
        file
    }

    fn nodes(&self) -> Body {
        let mut file = Body::default();
        file.comment(
            "A Lifeboat node in every region, with leave to move this app's components there and nothing else.",
        );
        for (index, site) in self.sites.iter().enumerate() {
            let key = site.key();
            if index > 0 {
                file.blank();
            }
            file.block(format!("module {}", quote(format!("node_{key}"))), |body| {
                body.attribute("source", quote("./modules/node")).attribute("providers", provider(site)).blank();
                body.attribute("name", quote(format!("{}-lifeboat-{}", self.name(), site.id)));
                body.attribute("node", quote(site.id.as_str())).attribute("region", value_of(site, "place"));
                body.attribute("network", format!("module.network_{key}"));
                body.attribute("kms_key_arn", format!("local.key_arns[{}]", quote(&key)));
                body.attribute("image", "var.lifeboat_image").attribute("file", "file(var.lifeboat_file)");
                body.attribute("port", site.region.api_port.to_string()).blank();
                body.attribute(
                    "peers",
                    object(|map| {
                        for other in self.sites.iter().filter(|other| other.id != site.id) {
                            map.attribute(other.key(), format!("module.node_{}.address", other.key()));
                        }
                    }),
                );
                body.blank();
                body.attribute("statements", statements(&permissions::aws_statements(self.design, site)));
            });
        }
        self.private_zone(&mut file);
        file
    }

    /// The names by which nodes and members of the state store find each other.
    fn private_zone(&self, file: &mut Body) {
        file.blank().block("resource \"aws_route53_zone\" \"internal\"", |body| {
            body.attribute("name", quote(format!("{}.internal", self.name())));
            for site in &self.sites {
                body.blank().block("vpc", |vpc| {
                    vpc.attribute("vpc_id", format!("module.network_{}.vpc_id", site.key()));
                    vpc.attribute("vpc_region", value_of(site, "place"));
                });
            }
        });
        for site in self.sites.iter().filter(|site| site.region.address.is_none()) {
            file.blank().block(
                format!("resource \"aws_route53_record\" {}", quote(format!("node_{}", site.key()))),
                |body| {
                    body.attribute("zone_id", "aws_route53_zone.internal.zone_id");
                    body.attribute("name", quote(crate::lifeboat::host(self.design, site)))
                        .attribute("type", quote("A"));
                    body.attribute("ttl", "60")
                        .attribute("records", list([format!("module.node_{}.address", site.key())]));
                },
            );
        }
    }

    fn routes(&self) -> Body {
        let mut file = Body::default();
        file.comment(
            "Records are made once and never changed: a failover changes what the steering endpoints answer.\n\nThe load \
             balancers' own health is left out on purpose (evaluate_target_health). A standby without instances\nhas none to \
             offer, and it is Lifeboat that decides, not a checker that sees one region only.",
        );
        file.block("locals", |body| {
            body.attribute(
                "nodes",
                object(|map| {
                    for site in &self.sites {
                        map.attribute(
                            site.key(),
                            format!(
                                "{{ address = module.node_{}.address, port = {} }}",
                                site.key(),
                                site.region.api_port
                            ),
                        );
                    }
                }),
            );
        });
        for way in &self.ways {
            self.route(&mut file, way);
        }
        file
    }

    fn route(&self, file: &mut Body, way: &Way) {
        for id in &way.regions {
            file.blank().block(
                format!("module {}", quote(format!("steering_{}_{}", way.key(), identifier(id.as_str())))),
                |body| {
                    body.attribute("source", quote("./modules/steering")).blank();
                    body.attribute("route", quote(way.host.as_str())).attribute("region", quote(id.as_str()));
                    body.attribute("nodes", "local.nodes");
                },
            );
        }
        match way.policy {
            RoutePolicy::Spread => {
                for id in &way.regions {
                    let Some(site) = self.design.site(id) else { continue };
                    file.blank();
                    self.record(file, way, site, way.host.as_str(), &format!("{}_{}", way.key(), site.key()), |body| {
                        body.block("latency_routing_policy", |policy| {
                            policy.attribute("region", value_of(site, "place"));
                        });
                    });
                }
            }
            RoutePolicy::Failover => self.failover_chain(file, way),
        }
    }

    /// Route 53 knows a primary and a secondary. With more regions the secondary is itself such a pair, under a name of its
    /// own: `or-frankfurt.shop.example.com`.
    fn failover_chain(&self, file: &mut Body, way: &Way) {
        let mut name = way.host.as_str().to_owned();
        for (index, id) in way.regions.iter().enumerate() {
            let Some(site) = self.design.site(id) else { continue };
            let key = format!("{}_{}", way.key(), site.key());
            let last = index + 1 == way.regions.len();
            let role = if last && index > 0 { "SECONDARY" } else { "PRIMARY" };
            file.blank();
            self.record(file, way, site, &name, &key, |body| {
                body.block("failover_routing_policy", |policy| {
                    policy.attribute("type", quote(role));
                });
            });
            if index + 2 < way.regions.len() {
                let next = format!("or-{}.{}", way.regions[index + 1], way.host);
                file.blank().block(
                    format!("resource \"aws_route53_record\" {}", quote(format!("{key}_or_next"))),
                    |body| {
                        body.attribute("zone_id", zone(way))
                            .attribute("name", quote(&name))
                            .attribute("type", quote("A"));
                        body.attribute("set_identifier", quote(format!("not-{id}"))).blank();
                        body.block("failover_routing_policy", |policy| {
                            policy.attribute("type", quote("SECONDARY"));
                        });
                        body.blank().block("alias", |alias| {
                            let first = identifier(way.regions[index + 1].as_str());
                            alias.attribute("name", format!("aws_route53_record.{}_{first}.fqdn", way.key()));
                            alias.attribute("zone_id", zone(way)).attribute("evaluate_target_health", "true");
                        });
                    },
                );
                name = next;
            }
        }
    }

    fn record(&self, file: &mut Body, way: &Way, site: &Site, name: &str, key: &str, policy: impl FnOnce(&mut Body)) {
        let Some(part) = self.design.part(way.to) else { return };
        let later = parts::is_made_later(part, site);
        let index = if later { "[0]" } else { "" };
        let compute = format!("module.{}_{}{index}", part.key(), site.key());
        file.block(format!("resource \"aws_route53_record\" {}", quote(key)), |body| {
            if later {
                body.attribute("count", format!("{} ? 1 : 0", parts::serves(part, site))).blank();
            }
            body.attribute("zone_id", zone(way)).attribute("name", quote(name)).attribute("type", quote("A"));
            body.attribute("set_identifier", quote(site.id.as_str()));
            body.attribute("health_check_id", format!("module.steering_{}_{}.health_check_id", way.key(), site.key()))
                .blank();
            policy(body);
            body.blank().block("alias", |alias| {
                alias
                    .attribute("name", format!("{compute}.dns_name"))
                    .attribute("zone_id", format!("{compute}.zone_id"));
                alias.attribute("evaluate_target_health", "false");
            });
        });
    }

    fn outputs(&self) -> Body {
        let mut file = Body::default();
        file.block("output \"lifeboat\"", |body| {
            body.attribute("description", quote("What Lifeboat reads back: `terraform output -json lifeboat`."));
            body.attribute(
                "value",
                object(|map| {
                    map.attribute(
                        "nodes",
                        object(|nodes| {
                            for site in &self.sites {
                                nodes.attribute(site.key(), format!("module.node_{}.address", site.key()));
                            }
                        }),
                    );
                    map.attribute(
                        "components",
                        object(|components| {
                            for part in &self.parts {
                                components.attribute(part.key(), self.output(part));
                            }
                        }),
                    );
                }),
            );
        });
        file
    }

    fn region_values(&self) -> String {
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
    fn example(&self) -> String {
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
        file.attribute("lifeboat_image", quote("registry.example.com/lifeboat:0.1"));
        file.attribute("lifeboat_file", quote("../../../lifeboat.yaml"));
        file.render()
    }
}

fn default_tags(body: &mut Body, app: &str) {
    body.block("default_tags", |tags| {
        tags.attribute("tags", format!("{{ \"lifeboat:app\" = {} }}", quote(app)));
    });
}

fn variable(file: &mut Body, name: &str, description: &str, kind: &str, default: Option<&str>) {
    file.blank().block(format!("variable {}", quote(name)), |body| {
        body.attribute("description", quote(description)).attribute("type", kind);
        if let Some(default) = default {
            body.attribute("default", default);
        }
    });
}

/// `providers = …` of a module in one region.
fn provider(site: &Site) -> String {
    format!("{{ aws = aws.{} }}", site.key())
}

/// A field of the region's values.
fn value_of(site: &Site, field: &str) -> String {
    format!("var.regions[{}].{field}", quote(site.id.as_str()))
}

fn zone(way: &Way) -> String {
    format!("var.zone_ids[{}]", quote(way.zone()))
}

/// IAM statements as an expression.
fn statements(statements: &[permissions::Statement]) -> String {
    let arn = |resource: &String| {
        quote(resource).replace("@{partition}", "${local.partition}").replace("@{account}", "${local.account}")
    };
    let several = |items: Vec<String>| match items.as_slice() {
        [one] => one.clone(),
        _ => format!("[\n{}]", items.iter().map(|item| format!("  {item},\n")).collect::<String>()),
    };
    let items: String = statements
        .iter()
        .map(|statement| {
            let text = object(|body| {
                body.attribute("Sid", quote(&statement.sid)).attribute("Effect", quote("Allow"));
                body.attribute("Action", several(statement.actions.iter().map(quote).collect()));
                body.attribute("Resource", several(statement.resources.iter().map(arn).collect()));
            });
            format!("  {},\n", text.replace('\n', "\n  "))
        })
        .collect();
    format!("[\n{items}]")
}

/// At most 32 characters, for load balancers.
fn short_name(design: &Design, part: &Part, site: &Site) -> String {
    short(&design.full_name(part, site.id), 32)
}
