//! The root module for Azure. One provider serves all regions there; what differs is the location of each resource.

use std::collections::BTreeSet;

use lifeboat_model::app::{Kind, Pattern, Provider, RegionRole, Replication, RoutePolicy};

use crate::arm::{default_instance, writes_everywhere};
use crate::design::{Design, Part, STEERING_PATH, Site, Way, identifier, plain, short};
use crate::fragment::json;
use crate::hcl::{Body, list, object, quote};
use crate::tree::Tree;
use crate::versions;

const FOLDER: &str = "terraform/azure";
const PROVIDER: &str = "~> 4.55";
const TERRAFORM: &str = ">= 1.9";

macro_rules! files {
    ($($module:literal: [$($file:literal),*]),* $(,)?) => {
        &[$(($module, &[$(($file, include_str!(concat!("azure/modules/", $module, "/", $file)))),*])),*]
    };
}

type Module = (&'static str, &'static [(&'static str, &'static str)]);

const MODULES: &[Module] = files! {
    "aks": ["main.tf", "outputs.tf", "variables.tf"],
    "azure-postgres": ["main.tf", "outputs.tf", "variables.tf"],
    "azure-sql": ["main.tf", "outputs.tf", "variables.tf"],
    "azure-storage": ["main.tf", "outputs.tf", "variables.tf"],
    "cosmosdb": ["main.tf", "outputs.tf", "variables.tf"],
    "network": ["main.tf", "outputs.tf", "variables.tf"],
    "node": ["cloud-init.yaml.tftpl", "main.tf", "variables.tf"],
    "traffic-manager": ["main.tf", "outputs.tf", "variables.tf"],
    "vmss": ["main.tf", "outputs.tf", "variables.tf"],
};

struct Root<'a> {
    design: &'a Design<'a>,
    /// Azure regions, witnesses included.
    sites: Vec<&'a Site<'a>>,
    parts: Vec<&'a Part<'a>>,
    /// Routes to scale sets.
    ways: Vec<&'a Way<'a>>,
}

pub(super) fn write(design: &Design, tree: &mut Tree) {
    let sites: Vec<&Site> = design.sites_of(Provider::Azure).collect();
    let parts: Vec<&Part> = design.parts.iter().filter(|part| module_of(part.component.kind).is_some()).collect();
    if parts.is_empty() {
        return;
    }
    let balanced = |way: &&Way| parts.iter().any(|part| part.id == way.to && part.component.kind == Kind::Vmss);
    let ways = design.ways.iter().filter(balanced).collect();
    let root = Root { design, sites, parts, ways };
    let mut put = |name: &str, body: Body| tree.put(format!("{FOLDER}/{name}"), body.render());
    put("versions.tf", root.versions());
    put("variables.tf", root.variables());
    put("roles.tf", super::role_locals(&root.parts));
    put("network.tf", root.network());
    put("lifeboat.tf", root.nodes());
    put("outputs.tf", root.outputs());
    if !root.ways.is_empty() {
        put("routes.tf", root.routes());
    }
    for part in &root.parts {
        let mut file = Body::default();
        root.part(&mut file, part);
        put(&format!("{}.tf", part.id), file);
    }
    tree.put(format!("{FOLDER}/regions.auto.tfvars.json"), root.region_values());
    tree.put_kept(format!("{FOLDER}/roles.auto.tfvars.json"), super::role_values(&root.parts));
    tree.put(format!("{FOLDER}/terraform.tfvars.example"), root.example());
    let names: BTreeSet<&str> = root
        .parts
        .iter()
        .filter_map(|part| module_of(part.component.kind))
        .chain(["network", "node"])
        .chain((!root.ways.is_empty()).then_some("traffic-manager"))
        .collect();
    for (module, files) in MODULES.iter().filter(|(module, _)| names.contains(module)) {
        tree.put(format!("{FOLDER}/modules/{module}/versions.tf"), super::module_versions("azurerm"));
        for (file, content) in *files {
            tree.put(format!("{FOLDER}/modules/{module}/{file}"), content.replace("@{steering}", STEERING_PATH));
        }
    }
}

fn module_of(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::AzureSql => Some("azure-sql"),
        Kind::Cosmosdb => Some("cosmosdb"),
        Kind::AzurePostgres => Some("azure-postgres"),
        Kind::AzureStorage => Some("azure-storage"),
        Kind::Vmss => Some("vmss"),
        Kind::Aks => Some("aks"),
        Kind::Postgres
        | Kind::AuroraGlobal
        | Kind::Rds
        | Kind::Dynamodb
        | Kind::S3
        | Kind::Process
        | Kind::Asg
        | Kind::Ecs
        | Kind::Eks
        | Kind::Deployment => None,
    }
}

impl<'a> Root<'a> {
    fn app(&self) -> &str {
        self.design.name()
    }

    fn has(&self, kind: Kind) -> bool {
        self.parts.iter().any(|part| part.component.kind == kind)
    }

    fn sites_of(&self, part: &Part) -> Vec<&'a Site<'a>> {
        part.regions.iter().filter_map(|id| self.sites.iter().copied().find(|site| site.id == *id)).collect()
    }

    /// Where global things are: in a region that only votes if there is one, so that losing a region that serves leaves
    /// their resource group writable.
    fn neutral(&self) -> &'a Site<'a> {
        let witness = self.sites.iter().find(|site| site.region.role == RegionRole::Witness);
        witness.or(self.sites.last()).copied().unwrap_or(self.sites[0])
    }

    fn versions(&self) -> Body {
        let mut file = Body::default();
        file.block("terraform", |body| {
            body.attribute("required_version", quote(TERRAFORM)).blank();
            body.block("required_providers", |body| {
                body.attribute(
                    "azurerm",
                    object(|azurerm| {
                        azurerm.attribute("source", quote("hashicorp/azurerm")).attribute("version", quote(PROVIDER));
                    }),
                );
            });
            body.blank().comment(
                "Configure a backend here. Keep the state outside the regions that it describes: it is needed when one is lost.",
            );
        });
        file.blank().block("provider \"azurerm\"", |body| {
            body.attribute("subscription_id", "var.subscription_id").blank();
            body.block("features", |_| {});
        });
        file
    }

    fn variables(&self) -> Body {
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
        super::role_variables(&mut file);
        let mut variable = |name: &str, description: &str, kind: &str| {
            file.blank().block(format!("variable {}", quote(name)), |body| {
                body.attribute("description", quote(description)).attribute("type", kind);
            });
        };
        variable("subscription_id", "Azure subscription.", "string");
        if !self.ways.is_empty() {
            variable(
                "dns_resource_group",
                "Resource group of the DNS zones, outside the regions of the app.",
                "string",
            );
        }
        if self.has(Kind::AzureSql) {
            variable(
                "administrator",
                "Entra group that administers the databases.",
                "object({ name = string, id = string })",
            );
        }
        variable("ssh_public_key", "Public key of those who may log in to machines.", "string");
        variable("lifeboat_image", "Container image of Lifeboat.", "string");
        variable("lifeboat_file", "Path of the file that all this was generated from.", "string");
        file
    }

    fn network(&self) -> Body {
        let mut file = Body::default();
        for site in &self.sites {
            file.block(format!("resource \"azurerm_resource_group\" {}", quote(site.key())), |body| {
                body.attribute("name", quote(format!("{}-{}", self.app(), site.id)));
                body.attribute("location", value_of(site, "place"));
                body.attribute("tags", format!("{{ \"lifeboat-app\" = {} }}", quote(self.app())));
            });
            file.blank();
        }
        let neutral = self.neutral();
        file.comment(
            "What is global. Its own region is one that the app's writers are not in, as far as there is one.",
        );
        file.block("resource \"azurerm_resource_group\" \"global\"", |body| {
            body.attribute("name", quote(format!("{}-global", self.app())))
                .attribute("location", value_of(neutral, "place"));
            body.attribute("tags", format!("{{ \"lifeboat-app\" = {} }}", quote(self.app())));
        });
        let mut ports: BTreeSet<String> = self
            .parts
            .iter()
            .filter(|part| part.component.kind == Kind::Vmss)
            .map(|part| part.port.to_string())
            .collect();
        ports.extend(self.sites.iter().map(|site| site.region.api_port.to_string()));
        for site in &self.sites {
            file.blank().block(format!("module {}", quote(format!("network_{}", site.key()))), |body| {
                body.attribute("source", quote("./modules/network")).blank();
                body.attribute("name", quote(format!("{}-{}", self.app(), site.id)));
                self.place(body, site);
                body.attribute("cidr", value_of(site, "cidr")).attribute("open_ports", list(ports.iter().map(quote)));
            });
        }
        for one in &self.sites {
            for other in self.sites.iter().filter(|other| other.id != one.id) {
                file.blank().block(
                    format!(
                        "resource \"azurerm_virtual_network_peering\" {}",
                        quote(format!("{}_{}", one.key(), other.key()))
                    ),
                    |body| {
                        body.attribute("name", quote(format!("to-{}", other.id)));
                        body.attribute("resource_group_name", group(one));
                        body.attribute("virtual_network_name", format!("module.network_{}.name", one.key()));
                        body.attribute("remote_virtual_network_id", format!("module.network_{}.id", other.key()));
                    },
                );
            }
        }
        if self.has(Kind::AzurePostgres) {
            self.private_zone(&mut file, "postgresql", &format!("{}.private.postgres.database.azure.com", self.app()));
        }
        if self.has(Kind::AzureSql) {
            self.private_zone(&mut file, "sql", "privatelink.database.windows.net");
        }
        if self.has(Kind::Cosmosdb) || self.has(Kind::AzureStorage) {
            file.blank().block("locals", |body| {
                body.comment("Where clients of a database may be: anywhere that the app runs.");
                body.attribute(
                    "subnet_ids",
                    object(|map| {
                        for site in self.sites.iter().filter(|site| site.region.role == RegionRole::Data) {
                            map.attribute(site.key(), format!("module.network_{}.compute_subnet_id", site.key()));
                        }
                    }),
                );
            });
        }
        file
    }

    /// The servers' private names, known in every region: a name that only one region knows is lost with it.
    fn private_zone(&self, file: &mut Body, label: &str, name: &str) {
        file.blank().block(format!("resource \"azurerm_private_dns_zone\" {}", quote(label)), |body| {
            body.attribute("name", quote(name));
            body.attribute("resource_group_name", "azurerm_resource_group.global.name");
        });
        for site in &self.sites {
            file.blank().block(
                format!(
                    "resource \"azurerm_private_dns_zone_virtual_network_link\" {}",
                    quote(format!("{label}_{}", site.key()))
                ),
                |body| {
                    body.attribute("name", quote(site.id.as_str()));
                    body.attribute("resource_group_name", "azurerm_resource_group.global.name");
                    body.attribute("private_dns_zone_name", format!("azurerm_private_dns_zone.{label}.name"));
                    body.attribute("virtual_network_id", format!("module.network_{}.id", site.key()));
                },
            );
        }
    }

    fn place(&self, body: &mut Body, site: &Site) {
        body.attribute("resource_group", group(site)).attribute("location", value_of(site, "place"));
    }

    fn nodes(&self) -> Body {
        let mut file = Body::default();
        file.comment("A Lifeboat node in every region. Create its role first: az role definition create --role-definition lifeboat/azure-role.json");
        file.block("locals", |body| {
            body.attribute(
                "scopes",
                object(|map| {
                    for site in &self.sites {
                        map.attribute(site.key(), format!("azurerm_resource_group.{}.id", site.key()));
                    }
                    map.attribute("global", "azurerm_resource_group.global.id");
                }),
            );
        });
        for site in &self.sites {
            file.blank().block(format!("module {}", quote(format!("node_{}", site.key()))), |body| {
                // A machine can be behind one public load balancer only.
                let behind =
                    self.parts.iter().find(|part| part.component.kind == Kind::Vmss && part.regions.contains(&site.id));
                body.attribute("source", quote("./modules/node")).blank();
                body.attribute("name", quote(format!("{}-lifeboat-{}", self.app(), site.id)));
                self.place(body, site);
                body.attribute("node", quote(site.id.as_str())).attribute("image", "var.lifeboat_image");
                body.attribute("file", "file(var.lifeboat_file)");
                body.attribute("subnet_id", format!("module.network_{}.compute_subnet_id", site.key()));
                body.attribute(
                    "pool_ids",
                    match behind {
                        Some(part) if is_made_later(part, site) => {
                            format!("module.{}_{}[*].node_pool_id", part.key(), site.key())
                        }
                        Some(part) => format!("[module.{}_{}.node_pool_id]", part.key(), site.key()),
                        None => "[]".into(),
                    },
                );
                body.attribute("role", quote(format!("Lifeboat node of {}", self.app())));
                body.attribute("scopes", "local.scopes").attribute("ssh_public_key", "var.ssh_public_key");
            });
        }
        file
    }

    fn routes(&self) -> Body {
        let mut file = Body::default();
        for (index, way) in self.ways.iter().enumerate() {
            if index > 0 {
                file.blank();
            }
            let port = self.sites.first().map_or(7400, |site| site.region.api_port);
            file.block(format!("module {}", quote(format!("route_{}", way.key()))), |body| {
                body.attribute("source", quote("./modules/traffic-manager")).blank();
                body.attribute("name", quote(short(&way.key().replace('_', "-"), 63)));
                body.attribute("resource_group", "azurerm_resource_group.global.name")
                    .attribute("route", quote(way.host.as_str()));
                body.attribute(
                    "method",
                    quote(if way.policy == RoutePolicy::Spread { "Performance" } else { "Priority" }),
                );
                body.attribute("ttl", way.ttl_seconds().to_string()).attribute("node_port", port.to_string()).blank();
                body.attribute(
                    "endpoints",
                    object(|map| {
                        for (index, id) in way.regions.iter().enumerate() {
                            let Some(site) = self.design.site(id) else { continue };
                            let target = quote(format!("{}-{}-{id}", self.app(), way.to));
                            map.attribute(
                                site.key(),
                                object(|endpoint| {
                                    let suffix = format!("${{{}}}.cloudapp.azure.com", value_of(site, "place"));
                                    endpoint
                                        .attribute("target", format!("{}.{suffix}\"", target.trim_end_matches('"')));
                                    endpoint.attribute("location", value_of(site, "place"));
                                    endpoint.attribute("priority", (index + 1).to_string());
                                }),
                            );
                        }
                    }),
                );
            });
            if let Some(name) = way.host.as_str().strip_suffix(way.zone()).and_then(|name| name.strip_suffix('.')) {
                file.blank().block(format!("resource \"azurerm_dns_cname_record\" {}", quote(way.key())), |body| {
                    body.attribute("name", quote(name)).attribute("zone_name", quote(way.zone()));
                    body.attribute("resource_group_name", "var.dns_resource_group")
                        .attribute("ttl", way.ttl_seconds().to_string());
                    body.attribute("record", format!("module.route_{}.fqdn", way.key()));
                });
            }
        }
        file
    }

    fn part(&self, file: &mut Body, part: &Part) {
        match part.component.kind {
            Kind::AzureSql => self.sql(file, part),
            Kind::AzurePostgres => self.postgres(file, part),
            Kind::Cosmosdb => self.cosmos(file, part),
            Kind::AzureStorage => self.storage(file, part),
            _ => self.compute(file, part),
        }
    }

    fn sql(&self, file: &mut Body, part: &Part) {
        let key = part.key();
        let sites = if part.pattern == Pattern::BackupRestore { vec![] } else { self.sites_of(part) };
        let home = identifier(part.home.as_str());
        let zoned = |site: &Site| site.facts.is_some_and(|facts| facts.zones > 0);
        for site in self.sites_of(part).into_iter().filter(|site| site.id == part.home || !sites.is_empty()) {
            file.block(format!("module {}", quote(format!("{key}_{}", site.key()))), |body| {
                body.attribute("source", quote("./modules/azure-sql")).blank();
                body.attribute("name", quote(self.design.full_name(part, site.id)));
                self.place(body, site);
                body.attribute("administrator", "var.administrator");
                body.attribute("subnet_id", format!("module.network_{}.compute_subnet_id", site.key()));
                body.attribute("private_dns_zone_id", "azurerm_private_dns_zone.sql.id");
            });
            file.blank();
        }
        file.block(format!("resource \"azurerm_mssql_database\" {}", quote(&key)), |body| {
            let home = self.design.site(part.home);
            body.attribute("name", quote(part.id.as_str()));
            body.attribute("server_id", format!("module.{key}_{}.id", identifier(part.home.as_str())));
            if let Some(home) = home {
                body.attribute("sku_name", size_of(part, home, "instance"))
                    .attribute("zone_redundant", zoned(home).to_string());
            }
            body.attribute("storage_account_type", quote("Geo")).blank();
            body.block("short_term_retention_policy", |policy| {
                policy.attribute("retention_days", "14");
            });
        });
        let Some(partner) = sites.get(1) else { return };
        file.blank().comment(
            "Policy Manual: Lifeboat decides, not the provider after hours. The group belongs to whichever server is primary, and after a\n\
             failover that is the other one: what named the servers at creation is ignored afterwards.",
        );
        file.block(format!("resource \"azurerm_mssql_failover_group\" {}", quote(&key)), |body| {
            body.attribute("name", quote(format!("{}-{}", self.app(), part.id)));
            body.attribute("server_id", format!("module.{key}_{home}.id"));
            body.attribute("databases", format!("[azurerm_mssql_database.{key}.id]")).blank();
            body.block("partner_server", |server| {
                server.attribute("id", format!("module.{key}_{}.id", partner.key()));
            });
            body.blank().block("read_write_endpoint_failover_policy", |policy| {
                policy.attribute("mode", quote("Manual"));
            });
            body.blank().block("lifecycle", |lifecycle| {
                lifecycle.attribute("ignore_changes", "[server_id, partner_server, databases]");
            });
        });
    }

    fn postgres(&self, file: &mut Body, part: &Part) {
        let key = part.key();
        let home = identifier(part.home.as_str());
        let alone = part.pattern == Pattern::BackupRestore;
        let sites: Vec<&Site> = self.sites_of(part).into_iter().filter(|site| site.id == part.home || !alone).collect();
        for (index, site) in sites.iter().enumerate() {
            if index > 0 {
                file.blank();
            }
            file.block(format!("module {}", quote(format!("{key}_{}", site.key()))), |body| {
                body.attribute("source", quote("./modules/azure-postgres")).blank();
                body.attribute("name", quote(self.design.full_name(part, site.id)));
                self.place(body, site);
                if site.id != part.home {
                    body.attribute("source_server_id", format!("module.{key}_{home}.id"));
                }
                body.attribute("engine_version", quote(versions::AZURE_POSTGRESQL));
                body.attribute("sku", size_of(part, site, "instance"))
                    .attribute("storage_gib", size_of(part, site, "storage"));
                body.attribute("subnet_id", format!("module.network_{}.database_subnet_id", site.key()));
                body.attribute("private_dns_zone_id", "azurerm_private_dns_zone.postgresql.id").blank();
                body.attribute(
                    "depends_on",
                    list(self.sites.iter().map(|site| {
                        format!("azurerm_private_dns_zone_virtual_network_link.postgresql_{}", site.key())
                    })),
                );
            });
        }
        let Some(partner) = sites.get(1) else { return };
        file.blank().comment(
            "The names that stay when the writer moves. The provider loses sight of them after a switchover, when they are managed on the\n\
             other server: what named the servers at creation is ignored afterwards.",
        );
        file.block(
            format!("resource \"azurerm_postgresql_flexible_server_virtual_endpoint\" {}", quote(&key)),
            |body| {
                body.attribute("name", quote(format!("{}-{}", self.app(), part.id)));
                body.attribute("source_server_id", format!("module.{key}_{home}.id"));
                body.attribute("replica_server_id", format!("module.{key}_{}.id", partner.key()));
                body.attribute("type", quote("ReadWrite")).blank();
                body.block("lifecycle", |lifecycle| {
                    lifecycle.attribute("ignore_changes", "[source_server_id, replica_server_id]");
                });
            },
        );
    }

    fn cosmos(&self, file: &mut Body, part: &Part) {
        let multiple = writes_everywhere(part);
        let synchronous = part.component.standbys.values().any(|mode| *mode == Replication::Synchronous);
        let consistency = match (multiple, synchronous) {
            (true, _) => "Session",
            (false, true) => "Strong",
            (false, false) => "BoundedStaleness",
        };
        file.block(format!("module {}", quote(part.key())), |body| {
            body.attribute("source", quote("./modules/cosmosdb")).blank();
            body.attribute("name", quote(format!("{}-{}", self.app(), part.id)));
            body.attribute("resource_group", "azurerm_resource_group.global.name");
            body.attribute("location", "azurerm_resource_group.global.location");
            body.attribute("database", quote(part.id.as_str())).blank();
            body.attribute("writer", format!("local.writers[{}]", quote(part.id.as_str())));
            body.attribute("order", list(part.regions.iter().map(|id| quote(id.as_str()))));
            body.attribute("multiple_writers", multiple.to_string()).attribute("consistency", quote(consistency));
            body.attribute("subnet_ids", "local.subnet_ids").blank();
            body.attribute(
                "locations",
                object(|map| {
                    for site in self.sites_of(part) {
                        let zoned = format!("length({}) > 0", value_of(site, "zones"));
                        map.attribute(
                            quote(site.id.as_str()),
                            format!("{{ location = {}, zone_redundant = {zoned} }}", value_of(site, "place")),
                        );
                    }
                }),
            );
        });
    }

    fn storage(&self, file: &mut Body, part: &Part) {
        let Some(home) = self.design.site(part.home) else { return };
        let zoned = home.facts.is_some_and(|facts| facts.zones > 0);
        let replication = match (part.pattern, zoned) {
            (Pattern::BackupRestore, true) => "GZRS",
            (Pattern::BackupRestore, false) => "GRS",
            (_, true) => "RAGZRS",
            (_, false) => "RAGRS",
        };
        file.block(format!("module {}", quote(part.key())), |body| {
            body.attribute("source", quote("./modules/azure-storage")).blank();
            body.attribute("name", quote(plain(&format!("{}{}", self.app(), part.id), 24)));
            self.place(body, home);
            body.attribute("replication", quote(replication)).attribute("subnet_ids", "local.subnet_ids");
        });
    }

    fn compute(&self, file: &mut Body, part: &Part) {
        let kind = part.component.kind;
        for (index, site) in self.sites_of(part).into_iter().enumerate() {
            if index > 0 {
                file.blank();
            }
            file.block(format!("module {}", quote(format!("{}_{}", part.key(), site.key()))), |body| {
                body.attribute("source", quote(format!("./modules/{}", module_of(kind).unwrap_or_default())));
                if is_made_later(part, site) {
                    body.attribute("count", format!("{} ? 1 : 0", serves(part, site)));
                }
                // The name is also the load balancer's in the region's domain, by which Traffic Manager knows it.
                body.blank().attribute("name", quote(format!("{}-{}-{}", self.app(), part.id, site.id)));
                self.place(body, site);
                body.attribute("zones", value_of(site, "zones"));
                body.attribute("subnet_id", format!("module.network_{}.compute_subnet_id", site.key())).blank();
                body.attribute("serving", serves(part, site));
                body.attribute("full_size", size_of(part, site, "full"));
                body.attribute("standby_size", size_of(part, site, "standby"));
                body.attribute("max_size", size_of(part, site, "most"));
                body.attribute("instance_type", size_of(part, site, "instance")).blank();
                if kind == Kind::Vmss {
                    body.attribute("image", quote(part.image())).attribute("port", part.port.to_string());
                    body.attribute("check_path", quote(&part.check_path))
                        .attribute("node_port", site.region.api_port.to_string());
                    body.attribute("ssh_public_key", "var.ssh_public_key");
                } else {
                    body.attribute("kubernetes_version", quote(versions::KUBERNETES));
                }
            });
        }
    }

    fn outputs(&self) -> Body {
        let mut file = Body::default();
        file.block("output \"lifeboat\"", |body| {
            body.attribute("description", quote("What Lifeboat reads back: `terraform output -json lifeboat`."));
            body.attribute(
                "value",
                object(|map| {
                    for part in &self.parts {
                        map.attribute(part.key(), self.output(part));
                    }
                }),
            );
        });
        file
    }

    fn output(&self, part: &Part) -> String {
        let key = part.key();
        let per_region = |field: &str| {
            object(|map| {
                let alone = part.pattern == Pattern::BackupRestore && part.component.kind.is_database();
                for site in self.sites_of(part).into_iter().filter(|site| !alone || site.id == part.home) {
                    let module = format!("module.{key}_{}", site.key());
                    let value = if is_made_later(part, site) {
                        format!("one({module}[*].{field})")
                    } else {
                        format!("{module}.{field}")
                    };
                    map.attribute(site.key(), value);
                }
            })
        };
        object(|map| match part.component.kind {
            Kind::AzureSql => {
                map.attribute("servers", per_region("id"));
                if part.pattern != Pattern::BackupRestore && part.regions.len() > 1 {
                    map.attribute("failover_group", format!("azurerm_mssql_failover_group.{key}.name"));
                }
            }
            Kind::AzurePostgres => {
                map.attribute("servers", per_region("id"));
            }
            Kind::Cosmosdb | Kind::AzureStorage => {
                map.attribute("account", format!("module.{key}.id"));
            }
            Kind::Vmss => {
                map.attribute("scale_sets", per_region("id"));
            }
            _ => {
                map.attribute("clusters", per_region("id"));
            }
        })
    }

    fn region_values(&self) -> String {
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
                    let storage = part
                        .component
                        .size
                        .storage
                        .map_or(128, |bytes| bytes.div_ceil(1 << 30))
                        .max(32)
                        .next_power_of_two();
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

    fn example(&self) -> String {
        let mut file = Body::default();
        file.comment("Copy to terraform.tfvars and fill in.");
        file.attribute("subscription_id", quote("00000000-0000-0000-0000-000000000000"));
        if !self.ways.is_empty() {
            file.attribute("dns_resource_group", quote("dns"));
        }
        if self.has(Kind::AzureSql) {
            file.attribute(
                "administrator",
                "{ name = \"database-administrators\", id = \"00000000-0000-0000-0000-000000000000\" }",
            );
        }
        file.attribute("ssh_public_key", quote("ssh-ed25519 AAAA..."));
        file.attribute("lifeboat_image", quote("registry.example.com/lifeboat:0.1"));
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

/// Whether compute is made in the region only when it is to serve there.
fn is_made_later(part: &Part, site: &Site) -> bool {
    !part.component.kind.is_database() && part.pattern == Pattern::BackupRestore && site.id != part.home
}

fn group(site: &Site) -> String {
    format!("azurerm_resource_group.{}.name", site.key())
}

fn value_of(site: &Site, field: &str) -> String {
    format!("var.regions[{}].{field}", quote(site.id.as_str()))
}

fn size_of(part: &Part, site: &Site, field: &str) -> String {
    format!("{}[{}].{field}", value_of(site, "sizes"), quote(part.id.as_str()))
}

fn serves(part: &Part, site: &Site) -> String {
    format!("contains(local.serving[{}], {})", quote(part.id.as_str()), quote(site.id.as_str()))
}
