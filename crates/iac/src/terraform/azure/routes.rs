//! The public addresses of each region, a Traffic Manager profile per route, and the record that leads to it.

use lifeboat_model::app::RoutePolicy;

use super::{Root, unique, value_of};
use crate::design::{Way, identifier};
use crate::geography::{self, Area};
use crate::hcl::{Body, list, object, quote};

impl Root<'_> {
    pub(super) fn routes(&self) -> Body {
        let mut file = Body::default();
        for site in self.sites.iter().filter(|site| !self.routed(site).is_empty()) {
            file.block(format!("module {}", quote(format!("balancer_{}", site.key()))), |body| {
                body.attribute("source", quote("./modules/balancer")).blank();
                body.attribute("name", quote(format!("{}-{}", self.app(), site.id)));
                self.place(body, site);
                body.attribute("zones", value_of(site, "zones"))
                    .attribute("node_port", site.region.api_port.to_string());
                body.attribute(
                    "labels",
                    object(|labels| {
                        for part in self.routed(site) {
                            labels.attribute(part.id.as_str(), unique(&self.design.full_name(part, site.id), 63));
                        }
                    }),
                );
            });
            file.blank();
        }
        for (index, way) in self.ways.iter().enumerate() {
            if index > 0 {
                file.blank();
            }
            let port = self.sites.first().map_or(7400, |site| site.region.api_port);
            file.block(format!("module {}", quote(format!("route_{}", way.key()))), |body| {
                body.attribute("source", quote("./modules/traffic-manager")).blank();
                body.attribute("name", unique(&way.key().replace('_', "-"), 63));
                body.attribute("resource_group", "azurerm_resource_group.global.name")
                    .attribute("route", quote(way.host.as_str()));
                let areas = geography::areas(self.design, way);
                body.attribute(
                    "method",
                    quote(match way.policy {
                        RoutePolicy::Failover => "Priority",
                        RoutePolicy::Spread if areas.is_empty() => "Performance",
                        RoutePolicy::Spread => "Geographic",
                    }),
                );
                body.attribute("ttl", way.ttl_seconds().to_string()).attribute("node_port", port.to_string()).blank();
                body.attribute(
                    "endpoints",
                    object(|map| {
                        for (index, id) in way.regions.iter().enumerate() {
                            let Some(site) = self.design.site(id) else { continue };
                            map.attribute(
                                site.key(),
                                object(|endpoint| {
                                    endpoint.attribute(
                                        "target",
                                        format!("module.balancer_{}.names[{}]", site.key(), quote(way.to.as_str())),
                                    );
                                    endpoint.attribute("location", value_of(site, "place"));
                                    endpoint.attribute("priority", (index + 1).to_string());
                                }),
                            );
                        }
                    }),
                );
                if !areas.is_empty() {
                    body.attribute("areas", object(|map| of_areas(map, way, &areas)));
                }
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
}

/// Who is sent where by where they are; everybody else to the nearest region.
fn of_areas(map: &mut Body, way: &Way, areas: &[Area]) {
    let world = Area { key: "world".into(), codes: vec!["WORLD".into()], regions: way.regions.clone() };
    for (area, method) in areas.iter().map(|area| (area, "Priority")).chain([(&world, "Performance")]) {
        let name = format!("{}-{}", way.key().replace('_', "-"), area.key);
        let regions = area.regions.iter().map(|id| quote(identifier(id.as_str())));
        let body = object(|body| {
            body.attribute("name", unique(&name, 63)).attribute("method", quote(method));
            body.attribute("clients", list(area.codes.iter().map(quote))).attribute("regions", list(regions));
        });
        map.attribute(area.key.as_str(), body);
    }
}
