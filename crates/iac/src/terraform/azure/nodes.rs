//! A Lifeboat node per region, with its member of the state store and the names by which members find each other.

use lifeboat_model::app::{Provider, RegionRole};

use super::{Root, unique};
use crate::design::{Part, Site};
use crate::hcl::{Body, list, object, quote};
use crate::members;

impl Root<'_> {
    pub(super) fn nodes(&self) -> Body {
        let mut file = Body::default();
        self.role(&mut file);
        file.blank().comment("A Lifeboat node in every region.");
        for (index, site) in self.sites.iter().enumerate() {
            if index > 0 {
                file.blank();
            }
            match members::home_cluster(self.design, site) {
                Some(cluster) => self.pod(&mut file, site, cluster),
                None => self.machine(&mut file, site),
            }
        }
        self.names(&mut file);
        file
    }

    fn machine(&self, file: &mut Body, site: &Site) {
        file.block(format!("module {}", quote(format!("node_{}", site.key()))), |body| {
            body.attribute("source", quote("./modules/node")).blank();
            body.attribute("name", quote(format!("{}-lifeboat-{}", self.app(), site.id)));
            self.place(body, site);
            body.attribute("node", quote(site.id.as_str())).attribute("image", "var.lifeboat_image");
            body.attribute("file", "file(var.lifeboat_file)");
            body.attribute("subnet_id", format!("module.network_{}.compute_subnet_id", site.key()));
            body.attribute("address", quote(members::private_address(site)));
            body.attribute("port", site.region.api_port.to_string());
            if self.design.app.dns.port != 5353 {
                body.attribute("dns_port", self.design.app.dns.port.to_string());
            }
            self.vault(body, site);
            if self.routed(site).is_empty() {
                body.attribute("pool_ids", "[]");
            } else {
                let balancer = format!("module.balancer_{}", site.key());
                body.attribute("public_addresses", format!("values({balancer}.addresses)"))
                    .attribute("pool_ids", format!("[{balancer}.node_pool_id]"));
            }
            super::super::member_attributes(body, self.design, site);
            self.leave(body, site);
            body.attribute("ssh_public_key", "var.ssh_public_key");
        });
    }

    /// Where the node runs in the region's cluster: what it needs of Azure. The rest is in its manifest.
    fn pod(&self, file: &mut Body, site: &Site, cluster: &Part) {
        file.block(format!("module {}", quote(format!("pod_{}", site.key()))), |body| {
            body.attribute("source", quote("./modules/pod")).blank();
            body.attribute("name", unique(&crate::lifeboat::identity_name(self.design, site), 128));
            self.place(body, site);
            body.attribute("issuer", format!("module.{}_{}.issuer", cluster.key(), site.key()));
            body.attribute("subnet_id", format!("module.network_{}.cluster_subnet_id", site.key()));
            self.vault(body, site);
            self.leave(body, site);
        });
    }

    /// Of the vault with the node's certificates.
    fn vault(&self, body: &mut Body, site: &Site) {
        body.attribute("vault", unique(&crate::lifeboat::vault_name(self.design, site), 24));
        body.attribute("tenant_id", "var.tenant_id")
            .attribute("administrator", "var.administrator")
            .attribute("administrator_addresses", "var.administrator_addresses");
    }

    /// What the node may do, and where.
    fn leave(&self, body: &mut Body, site: &Site) {
        body.attribute("role_id", "azurerm_role_definition.node.role_definition_resource_id");
        body.attribute("scopes", self.scopes(site));
    }

    /// What a node may do. The name is one in the whole Entra tenant, in which there may be other subscriptions with this app.
    fn role(&self, file: &mut Body) {
        let data = self.sites.iter().filter(|site| site.region.role == RegionRole::Data);
        let groups: Vec<String> = data
            .map(|site| format!("azurerm_resource_group.{}.id", site.key()))
            .chain(["azurerm_resource_group.global.id".to_owned()])
            .collect();
        file.block("resource \"azurerm_role_definition\" \"node\"", |body| {
            body.attribute("name", unique(&format!("Lifeboat node of {}", self.app()), 128));
            body.attribute("scope", "azurerm_resource_group.global.id");
            body.attribute(
                "description",
                quote("Moves the app's components between regions; creates and deletes nothing."),
            );
            let scopes: Vec<String> = groups.iter().map(|group| format!("  {group},")).collect();
            body.attribute("assignable_scopes", format!("[\n{}\n]", scopes.join("\n"))).blank();
            body.block("permissions", |permissions| {
                let actions: Vec<String> = crate::permissions::azure_actions(self.design)
                    .iter()
                    .map(|action| format!("  {},", quote(action)))
                    .collect();
                permissions.attribute("actions", format!("[\n{}\n]", actions.join("\n")));
            });
        });
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
