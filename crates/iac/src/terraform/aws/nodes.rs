//! A Lifeboat node per region, with its member of the state store and the names by which members find each other.

use lifeboat_model::app::Provider;

use super::{Root, parts, provider, statements, value_of};
use crate::hcl::{Body, list, object, quote};
use crate::{hosts, members, permissions};

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

    /// The names by which the file calls the members of the state store, and components those to which no route leads.
    fn private_zone(&self, file: &mut Body) {
        let named = members::named_internally(self.design, Provider::Aws);
        let needed = hosts::internal(self.design);
        if named.is_empty() && needed.is_empty() {
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
        for (part, site, host) in needed {
            let label = quote(format!("internal_{}_{}", part.key(), site.key()));
            file.blank().block(format!("resource \"aws_route53_record\" {label}"), |body| {
                // Where it is made later it has no name before.
                let is_later = parts::is_made_later(part, site);
                if is_later {
                    body.attribute("count", format!("{} ? 1 : 0", parts::serves(part, site)));
                }
                body.attribute("zone_id", "aws_route53_zone.internal.zone_id");
                body.attribute("name", quote(host)).attribute("type", quote("A")).blank();
                body.block("alias", |alias| {
                    alias.attribute("name", self.member(part, site, "dns_name"));
                    alias.attribute("zone_id", self.member(part, site, "zone_id"));
                    alias.attribute("evaluate_target_health", "false");
                });
            });
        }
    }
}
