//! A Lifeboat node per region, with its member of the state store and the names by which members find each other.

use lifeboat_model::app::{Kind, Provider, RegionRole};

use super::{Root, is_made_later};
use crate::design::Site;
use crate::hcl::{Body, list, object, quote};
use crate::members;

impl Root<'_> {
    pub(super) fn nodes(&self) -> Body {
        let mut file = Body::default();
        file.comment("A Lifeboat node in every region. Create its role first: az role definition create --role-definition lifeboat/azure-role.json");
        for (index, site) in self.sites.iter().enumerate() {
            if index > 0 {
                file.blank();
            }
            file.block(format!("module {}", quote(format!("node_{}", site.key()))), |body| {
                // A machine can be behind one public load balancer only.
                let behind =
                    self.parts.iter().find(|part| part.component.kind == Kind::Vmss && part.regions.contains(&site.id));
                body.attribute("source", quote("./modules/node")).blank();
                body.attribute("name", quote(format!("{}-lifeboat-{}", self.app(), site.id)));
                self.place(body, site);
                body.attribute("node", quote(site.id.as_str())).attribute("image", "var.lifeboat_image");
                body.attribute("file", "file(var.lifeboat_file)");
                body.attribute("subnet_id", format!("module.network_{}.compute_subnet_id", site.key()));
                body.attribute("address", quote(members::private_address(site)));
                body.attribute("port", site.region.api_port.to_string());
                body.attribute("vault", quote(crate::lifeboat::vault_name(self.design, site)));
                body.attribute("tenant_id", "var.tenant_id")
                    .attribute("administrator_addresses", "var.administrator_addresses");
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
                super::super::member_attributes(body, self.design, site);
                body.attribute("role", quote(format!("Lifeboat node of {}", self.app())));
                body.attribute("scopes", self.scopes(site)).attribute("ssh_public_key", "var.ssh_public_key");
            });
        }
        self.names(&mut file);
        file
    }

    /// Where the node may move things: in its own region and among what is global. One that only votes moves nothing.
    fn scopes(&self, site: &Site) -> String {
        object(|map| {
            if site.region.role == RegionRole::Data {
                map.attribute(site.key(), format!("azurerm_resource_group.{}.id", site.key()));
                map.attribute("global", "azurerm_resource_group.global.id");
            }
        })
    }

    /// The names by which the file calls the members of the state store.
    fn names(&self, file: &mut Body) {
        let named = members::named_internally(self.design, Provider::Azure);
        if named.is_empty() {
            return;
        }
        let domain = members::internal_domain(self.design);
        self.private_zone(file, "internal", &domain);
        for (site, host) in named {
            file.blank().block(
                format!("resource \"azurerm_private_dns_a_record\" {}", quote(format!("node_{}", site.key()))),
                |body| {
                    body.attribute("name", quote(host.trim_end_matches(&domain).trim_end_matches('.')));
                    body.attribute("zone_name", "azurerm_private_dns_zone.internal.name");
                    body.attribute("resource_group_name", "azurerm_resource_group.global.name");
                    body.attribute("ttl", "60").attribute("records", list([quote(members::private_address(site))]));
                },
            );
        }
    }
}
