//! A Lifeboat node per region, with its member of the state store and the names by which members find each other.

use lifeboat_model::app::Provider;

use super::{Root, provider, statements, value_of};
use crate::hcl::{Body, list, object, quote};
use crate::{members, permissions};

impl Root<'_> {
    pub(super) fn nodes(&self) -> Body {
        let mut file = Body::default();
        file.comment(
            "A Lifeboat node in every region, with leave to move this app's components there and nothing else.",
        );
        for (index, site) in self.node_sites().enumerate() {
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
                body.attribute("address", quote(members::private_address(site)));
                body.attribute("port", site.region.api_port.to_string()).blank();
                body.attribute(
                    "peers",
                    object(|map| {
                        for other in self.sites.iter().filter(|other| other.id != site.id) {
                            map.attribute(other.key(), value_of(other, "cidr"));
                        }
                    }),
                );
                super::super::member_attributes(body, self.design, site);
                body.blank();
                body.attribute("statements", statements(&permissions::aws_statements(self.design, site)));
            });
        }
        self.private_zone(&mut file);
        file
    }

    /// The names by which the file calls the members of the state store.
    fn private_zone(&self, file: &mut Body) {
        let named = members::named_internally(self.design, Provider::Aws);
        if named.is_empty() {
            return;
        }
        file.blank().block("resource \"aws_route53_zone\" \"internal\"", |body| {
            body.attribute("name", quote(members::internal_domain(self.design)));
            for site in &self.sites {
                body.blank().block("vpc", |vpc| {
                    vpc.attribute("vpc_id", format!("module.network_{}.vpc_id", site.key()));
                    vpc.attribute("vpc_region", value_of(site, "place"));
                });
            }
        });
        for (site, host) in named {
            file.blank().block(
                format!("resource \"aws_route53_record\" {}", quote(format!("node_{}", site.key()))),
                |body| {
                    body.attribute("zone_id", "aws_route53_zone.internal.zone_id");
                    body.attribute("name", quote(host)).attribute("type", quote("A"));
                    body.attribute("ttl", "60").attribute("records", list([quote(members::private_address(site))]));
                },
            );
        }
    }
}
