//! Resource groups, networks, and the private names of databases.

use lifeboat_model::app::{Kind, Provider, RegionRole};

use super::{Root, group, value_of};
use crate::arm::open_ports;
use crate::hcl::{Body, list, object, quote};

impl Root<'_> {
    pub(super) fn network(&self) -> Body {
        let mut file = Body::default();
        for site in &self.sites {
            file.block(format!("resource \"azurerm_resource_group\" {}", quote(site.key())), |body| {
                body.attribute("name", quote(format!("{}-{}", self.app(), site.id)));
                body.attribute("location", value_of(site, "place"));
                body.attribute("tags", format!("{{ \"lifeboat-app\" = {} }}", quote(self.app())));
            });
            file.blank();
        }
        let neutral = self.design.neutral(Provider::Azure);
        file.comment(
            "What is global. Its own region is one that the app's writers are not in, as far as there is one.",
        );
        file.block("resource \"azurerm_resource_group\" \"global\"", |body| {
            body.attribute("name", quote(format!("{}-global", self.app())));
            if let Some(neutral) = neutral {
                body.attribute("location", value_of(neutral, "place"));
            }
            body.attribute("tags", format!("{{ \"lifeboat-app\" = {} }}", quote(self.app())));
        });
        let ports = open_ports(&self.parts, &self.sites);
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
    pub(super) fn private_zone(&self, file: &mut Body, label: &str, name: &str) {
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
}
