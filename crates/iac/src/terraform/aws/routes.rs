//! Health checks on the steering endpoints, and the records that follow them.

use lifeboat_model::app::RoutePolicy;

use super::{Root, parts, value_of, zone};
use crate::design::{Site, Way, identifier};
use crate::hcl::{Body, object, quote};

impl Root<'_> {
    pub(super) fn routes(&self) -> Body {
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
                    for site in self.node_sites() {
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

    pub(super) fn route(&self, file: &mut Body, way: &Way) {
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
    pub(super) fn failover_chain(&self, file: &mut Body, way: &Way) {
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

    pub(super) fn record(
        &self,
        file: &mut Body,
        way: &Way,
        site: &Site,
        name: &str,
        key: &str,
        policy: impl FnOnce(&mut Body),
    ) {
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
}
