//! The components of the Azure root module: a module call per region, and what of them is global.

use lifeboat_model::app::{Kind, Pattern};

use super::{Root, is_made_later, module_of, serves, size_of, unique, value_of};
use crate::arm::{Front, UNIQUE, consistency, has_lag_metric, storage_redundancy, throughput, writes_everywhere};
use crate::backups::KEPT_DAYS;
use crate::design::{Part, Site, identifier, plain};
use crate::hcl::{Body, list, object, quote};
use crate::members;
use crate::versions;

impl Root<'_> {
    pub(super) fn part(&self, file: &mut Body, part: &Part) {
        match part.component.kind {
            Kind::AzureSql => self.sql(file, part),
            Kind::AzurePostgres => self.postgres(file, part),
            Kind::Cosmosdb => self.cosmos(file, part),
            Kind::AzureStorage => self.storage(file, part),
            _ => self.compute(file, part),
        }
    }

    pub(super) fn sql(&self, file: &mut Body, part: &Part) {
        let key = part.key();
        let sites = if part.pattern == Pattern::BackupRestore { vec![] } else { self.sites_of(part) };
        let home = identifier(part.home.as_str());
        let zoned = |site: &Site| site.facts.is_some_and(|facts| facts.zones > 0);
        for site in self.sites_of(part).into_iter().filter(|site| site.id == part.home || !sites.is_empty()) {
            file.block(format!("module {}", quote(format!("{key}_{}", site.key()))), |body| {
                body.attribute("source", quote("./modules/azure-sql")).blank();
                body.attribute("name", unique(&self.design.full_name(part, site.id), 63));
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
            body.attribute("storage_account_type", quote(crate::arm::sql_redundancy(home))).blank();
            body.comment("No vault takes this kind. Its own backups lie in the pair of its region, and the weekly ones outlive the server.");
            body.block("short_term_retention_policy", |policy| {
                policy.attribute("retention_days", "14");
            });
            body.blank().block("long_term_retention_policy", |policy| {
                policy.attribute("weekly_retention", quote(format!("P{KEPT_DAYS}D")));
            });
            body.blank().block("lifecycle", |lifecycle| {
                lifecycle.attribute("prevent_destroy", "true");
            });
        });
        let Some(partner) = sites.get(1) else { return };
        file.blank().comment(
            "Policy Manual: you decide, not the provider after hours. The group belongs to whichever server is primary, and after a\n\
             failover that is the other one: what named the servers at creation is ignored afterwards.",
        );
        file.block(format!("resource \"azurerm_mssql_failover_group\" {}", quote(&key)), |body| {
            body.attribute("name", unique(&format!("{}-{}", self.app(), part.id), 63));
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

    pub(super) fn postgres(&self, file: &mut Body, part: &Part) {
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
                body.attribute("name", unique(&self.design.full_name(part, site.id), 63));
                self.place(body, site);
                if site.id == part.home {
                    body.attribute("administrator", "var.administrator");
                } else {
                    body.attribute("source_server_id", format!("module.{key}_{home}.id"));
                }
                body.attribute("engine_version", quote(versions::AZURE_POSTGRESQL));
                body.attribute("sku", size_of(part, site, "instance"))
                    .attribute("storage_gib", size_of(part, site, "storage"));
                body.attribute("subnet_id", format!("module.network_{}.database_subnet_id", site.key()));
                body.attribute("private_dns_zone_id", "azurerm_private_dns_zone.postgresql.id").blank();
                if alone {
                    let has_pair = site.facts.is_some_and(|facts| facts.pair.is_some());
                    body.attribute("geo_redundant_backup", has_pair.to_string());
                } else {
                    body.attribute("lag_alarm_seconds", part.lag_alarm().as_secs().to_string());
                }
                body.attribute("action_groups", "var.alarm_action_groups").blank();
                let links = self
                    .sites
                    .iter()
                    .map(|site| format!("azurerm_private_dns_zone_virtual_network_link.postgresql_{}", site.key()));
                // A replica can only be made once the networks reach each other.
                let peerings = [(home.clone(), site.key()), (site.key(), home.clone())]
                    .into_iter()
                    .filter(|(one, other)| one != other)
                    .map(|(one, other)| format!("azurerm_virtual_network_peering.{one}_{other}"));
                body.attribute("depends_on", list(links.chain(peerings)));
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
                body.attribute("name", unique(&format!("{}-{}", self.app(), part.id), 63));
                body.attribute("source_server_id", format!("module.{key}_{home}.id"));
                body.attribute("replica_server_id", format!("module.{key}_{}.id", partner.key()));
                body.attribute("type", quote("ReadWrite")).blank();
                body.block("lifecycle", |lifecycle| {
                    lifecycle.attribute("ignore_changes", "[source_server_id, replica_server_id]");
                });
            },
        );
    }

    pub(super) fn cosmos(&self, file: &mut Body, part: &Part) {
        let multiple = writes_everywhere(part);
        file.block(format!("module {}", quote(part.key())), |body| {
            body.attribute("source", quote("./modules/cosmosdb")).blank();
            body.attribute("name", unique(&format!("{}-{}", self.app(), part.id), 44));
            body.attribute("resource_group", "azurerm_resource_group.global.name");
            body.attribute("location", "azurerm_resource_group.global.location");
            body.attribute("database", quote(part.id.as_str())).blank();
            body.attribute("writer", format!("local.writers[{}]", quote(part.id.as_str())));
            body.attribute("order", list(part.regions.iter().map(|id| quote(id.as_str()))));
            body.attribute("multiple_writers", multiple.to_string()).attribute("consistency", quote(consistency(part)));
            body.attribute("max_throughput", throughput(part).to_string());
            body.attribute("subnet_ids", "local.subnet_ids").blank();
            if has_lag_metric(part) {
                body.attribute("lag_alarm_milliseconds", part.lag_alarm().as_millis().to_string());
            }
            body.attribute("action_groups", "var.alarm_action_groups").blank();
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

    pub(super) fn storage(&self, file: &mut Body, part: &Part) {
        let Some(home) = self.design.site(part.home) else { return };
        let replication = storage_redundancy(part, home);
        file.block(format!("module {}", quote(part.key())), |body| {
            body.attribute("source", quote("./modules/azure-storage")).blank();
            // Letters and digits only.
            let name = plain(&format!("{}{}", self.app(), part.id), 24 - UNIQUE);
            body.attribute("name", format!("\"{name}${{local.unique}}\""));
            body.attribute("resource_group", "azurerm_resource_group.global.name");
            body.attribute("location", value_of(home, "place"));
            body.attribute("replication", quote(replication))
                .attribute("containers", Self::containers())
                .attribute("subnet_ids", "local.subnet_ids");
        });
    }

    pub(super) fn compute(&self, file: &mut Body, part: &Part) {
        let kind = part.component.kind;
        self.identities(file, part);
        for site in self.sites_of(part) {
            file.blank();
            file.block(format!("module {}", quote(format!("{}_{}", part.key(), site.key()))), |body| {
                body.attribute("source", quote(format!("./modules/{}", module_of(kind).unwrap_or_default())));
                if is_made_later(part, site) {
                    body.attribute("count", format!("{} ? 1 : 0", serves(part, site)));
                }
                body.blank().attribute("name", quote(self.design.full_name(part, site.id)));
                self.place(body, site);
                body.attribute("zones", value_of(site, "zones"));
                let subnet = |name: &str| format!("module.network_{}.{name}_subnet_id", site.key());
                if kind == Kind::Vmss {
                    body.attribute("subnet_id", subnet("compute")).blank();
                } else {
                    body.attribute("subnet_id", subnet("cluster"))
                        .attribute("machine_subnet_id", subnet("compute"))
                        .blank();
                }
                body.attribute("serving", serves(part, site));
                body.attribute("full_size", size_of(part, site, "full"));
                body.attribute("standby_size", size_of(part, site, "standby"));
                body.attribute("max_size", size_of(part, site, "most"));
                body.attribute("instance_type", size_of(part, site, "instance")).blank();
                if kind == Kind::Vmss {
                    let front = Front::of(part);
                    body.attribute("component", quote(part.id.as_str()))
                        .attribute("image", quote(part.image()))
                        .attribute("port", part.port.to_string())
                        .attribute("client_port", front.port.to_string())
                        .attribute("check_protocol", quote(front.protocol));
                    if front.asks_for_path() {
                        body.attribute("check_path", quote(&part.check_path));
                    }
                    if self.ways.iter().any(|way| *way.to == *part.id) {
                        let id = quote(part.id.as_str());
                        body.attribute(
                            "balancer",
                            format!("{{ id = module.balancer_{}.id, frontend = {id} }}", site.key()),
                        );
                    }
                    body.attribute(
                        "identity_id",
                        format!("azurerm_user_assigned_identity.{}_{}.id", part.key(), site.key()),
                    );
                    body.attribute("ssh_public_key", "var.ssh_public_key");
                    body.attribute("environment", self.environment(part, site));
                } else {
                    body.attribute("kubernetes_version", "var.kubernetes_version").attribute(
                        "administrator_ids",
                        "concat([var.administrator.id], var.cluster_administrator_ids)",
                    );
                    let is_home = members::home_cluster(self.design, site).is_some_and(|cluster| cluster.id == part.id);
                    if is_home && members::is_given_certificates(self.design, site) {
                        body.attribute("secret_store", "true");
                    }
                }
            });
        }
    }

    pub(super) fn output(&self, part: &Part) -> String {
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
                map.attribute("identities", self.identity_ids(part));
            }
            _ => {
                map.attribute("clusters", per_region("id"));
                map.attribute("identities", self.identity_ids(part));
            }
        })
    }
}
