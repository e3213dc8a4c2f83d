//! A Traffic Manager profile per route, and the record that leads to it.

use lifeboat_model::RegionId;
use lifeboat_model::app::RoutePolicy;

use super::{Templates, UNIQUE};
use crate::design::{STEERING_PATH, Way, short};
use crate::fragment::{fill, json};
use crate::geography::{self, Area};

/// What a profile is called, how it chooses, and among what.
struct Profile<'a> {
    name: &'a str,
    comment: &'a str,
    method: &'a str,
    endpoints: Vec<String>,
    /// Profiles that have to be there before.
    depends: Vec<String>,
}

const FAILOVER: &str = "Probes ask the steering endpoint of each region's node, which answers 200 only while the region is to be served. A failover writes nothing here.";
const NEAREST: &str = "The nearest region that its node's steering endpoint wants served.";
const BY_AREA: &str = "Clients of each jurisdiction to its own regions. Of a geographic mapping Traffic Manager answers what is down as well, so that \
                       behind each there is a profile which goes on to the other regions.";
const OF_AREA: &str = "Regions of these clients' jurisdiction, then the others: the first that its node's steering endpoint wants served.";

impl Templates<'_> {
    /// The profiles of a route: one, or one with another behind each of its areas.
    pub(super) fn traffic_managers(&self, way: &Way) -> Vec<String> {
        let name = profile(way);
        let areas = geography::areas(self.design, way);
        if areas.is_empty() {
            let (method, comment) = match way.policy {
                RoutePolicy::Failover => ("Priority", FAILOVER),
                RoutePolicy::Spread => ("Performance", NEAREST),
            };
            let endpoints = self.external(way, &way.regions, method);
            return vec![
                self.traffic_manager(way, &Profile { name: &name, comment, method, endpoints, depends: Vec::new() }),
            ];
        }
        let mut profiles = Vec::new();
        let (mut endpoints, mut depends) = (Vec::new(), Vec::new());
        let mut behind = |key: &str, codes: &[String], regions: &[&RegionId], method, comment| {
            let name = child(way, key);
            let endpoints_of_child = self.external(way, regions, method);
            let child = Profile { name: &name, comment, method, endpoints: endpoints_of_child, depends: Vec::new() };
            profiles.push(self.traffic_manager(way, &child));
            endpoints.push(nested(key, &name, codes));
            depends.push(reference(&name));
        };
        for Area { key, codes, regions } in &areas {
            behind(key, codes, regions, "Priority", OF_AREA);
        }
        behind("world", &["WORLD".to_owned()], &way.regions, "Performance", NEAREST);
        profiles.push(self.traffic_manager(
            way,
            &Profile { name: &name, comment: BY_AREA, method: "Geographic", endpoints, depends },
        ));
        profiles
    }

    fn traffic_manager(&self, way: &Way, profile: &Profile) -> String {
        let depends: Vec<String> =
            profile.depends.iter().map(|id| format!("    {}", json(&format!("[{id}]")))).collect();
        let depends = if depends.is_empty() {
            String::new()
        } else {
            format!(",\n  \"dependsOn\": [\n{}\n  ]", depends.join(",\n"))
        };
        fill(
            include_str!("traffic-manager.json"),
            &[
                ("profile", profile.name),
                ("comment", profile.comment),
                ("method", profile.method),
                ("ttl", &way.ttl_seconds().to_string()),
                ("api", &self.api_port().to_string()),
                ("path", &format!("{STEERING_PATH}/{}", way.host)),
                ("endpoints", &format!("[{}\n    ]", profile.endpoints.join(","))),
                ("depends", &depends),
            ],
        )
    }

    /// The regions' own addresses, as a profile of this method wants them.
    fn external(&self, way: &Way, regions: &[&RegionId], method: &str) -> Vec<String> {
        regions
            .iter()
            .enumerate()
            .filter_map(|(index, id)| {
                let site = self.design.site(id)?;
                let choice = if method == "Priority" {
                    format!("\"priority\": {}", index + 1)
                } else {
                    format!("\"endpointLocation\": {}", json(site.facts?.name))
                };
                Some(format!(
                    "\n      {{\n        \"type\": \"Microsoft.Network/trafficManagerProfiles/externalEndpoints\",\n        \"name\": {},\n        \
                     \"properties\": {{\n          \"target\": {},\n          \"endpointStatus\": \"Enabled\",\n          {choice}\n        }}\n      }}",
                    json(id.as_str()),
                    json(&format!(
                        "[format('{}-{id}-{}-{{0}}.{}.cloudapp.azure.com', variables('unique'))]",
                        self.app(),
                        way.to,
                        site.place()
                    )),
                ))
            })
            .collect()
    }

    /// The record that leads clients to a route's profile, where its zone is ours to write in.
    pub(super) fn alias(way: &Way) -> Option<String> {
        let name = way.host.as_str().strip_suffix(way.zone())?.strip_suffix('.')?;
        Some(fill(
            include_str!("alias.json"),
            &[
                ("zone", way.zone()),
                ("name", name),
                ("ttl", &way.ttl_seconds().to_string()),
                ("profile", &profile(way)),
            ],
        ))
    }
}

fn nested(key: &str, profile: &str, codes: &[String]) -> String {
    let codes: Vec<String> = codes.iter().map(|code| json(code)).collect();
    format!(
        "\n      {{\n        \"type\": \"Microsoft.Network/trafficManagerProfiles/nestedEndpoints\",\n        \"name\": {},\n        \
         \"properties\": {{\n          \"targetResourceId\": {},\n          \"endpointStatus\": \"Enabled\",\n          \"minChildEndpoints\": 1,\n          \
         \"geoMapping\": [{}]\n        }}\n      }}",
        json(key),
        json(&format!("[{}]", reference(profile))),
        codes.join(", ")
    )
}

fn reference(profile: &str) -> String {
    format!("resourceId('Microsoft.Network/trafficmanagerprofiles', format('{profile}-{{0}}', variables('unique')))")
}

/// Name of a route's profile, and the first part of its name in `trafficmanager.net`; a hyphen and digits of the subscription come after.
fn profile(way: &Way) -> String {
    short(&way.key().replace('_', "-"), 63 - UNIQUE - 1)
}

/// The same of the profile behind one of its areas.
fn child(way: &Way, area: &str) -> String {
    short(&format!("{}-{area}", way.key().replace('_', "-")), 63 - UNIQUE - 1)
}
