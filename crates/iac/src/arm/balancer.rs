//! A region's network, with what of it is open, and its public addresses: all on one load balancer, because the region's node is to be
//! reached at each of them and a machine can be behind one public load balancer only.

use std::collections::BTreeSet;

use lifeboat_model::app::Kind;

use super::template::literal;
use super::{Front, Templates, has_routed_pods};
use crate::design::{Part, Site};
use crate::fragment::{fill, indent, json};

impl Templates<'_> {
    /// Components to which a route leads, and which therefore have a public address.
    pub(super) fn routed(&self) -> Vec<&Part<'_>> {
        let leads = |part: &&&Part| self.ways.iter().any(|way| *way.to == *part.id);
        self.parts.iter().filter(leads).copied().collect()
    }

    /// Whether a managed cluster of the app is, or may come to be, in the region.
    pub(super) fn has_cluster(&self, site: &Site) -> bool {
        self.parts.iter().any(|part| part.component.kind == Kind::Aks && part.regions.contains(&site.id))
    }

    pub(super) fn balancer(&self, routed: &[&Part]) -> String {
        let address = |part: &&Part| {
            let id = "resourceId('Microsoft.Network/publicIPAddresses', format('{0}-@{id}', variables('prefix')))";
            format!("    {}", json(&format!("[{}]", id.replace("@{id}", part.id.as_str()))))
        };
        let addresses: Vec<String> = routed.iter().map(address).collect();
        fill(include_str!("balancer.json"), &[("addresses", &addresses.join(",\n"))])
    }

    /// What the load balancer is made of: every component's front, and those that the region has.
    pub(super) fn front_variables(&self, routed: &[&Part]) -> Vec<(String, String)> {
        let fronts: Vec<String> = routed
            .iter()
            .map(|part| {
                let regions: Vec<String> = part.regions.iter().map(|id| json(id.as_str())).collect();
                format!(
                    "      {{\n        \"name\": {},\n        \"port\": {},\n        \"regions\": [{}],\n        \"probe\": {}\n      }}",
                    json(part.id.as_str()),
                    Front::of(part).port,
                    regions.join(", "),
                    probe(part)
                )
            })
            .collect();
        let here = "[filter(variables('routed'), lambda('front', contains(lambdaVariables('front').regions, parameters('region'))))]";
        let node = format!(
            "{{ \"protocol\": \"Tcp\", \"port\": {}, \"intervalInSeconds\": 5, \"probeThreshold\": 2 }}",
            self.api_port()
        );
        vec![
            ("routed".into(), format!("[\n{}\n    ]", fronts.join(",\n"))),
            ("fronts".into(), json(here)),
            ("nodeProbe".into(), node),
        ]
    }

    /// The region's network. `routed`: components that clients reach from outside.
    pub(super) fn network(&self, routed: &[&Part], clusters: bool) -> Vec<String> {
        let mut ports: BTreeSet<u16> = routed.iter().map(|part| part.port).collect();
        ports.extend((!routed.is_empty()).then(|| self.api_port()));
        let database = if self.has(Kind::AzurePostgres) { include_str!("database-subnet.json").trim_end() } else { "" };
        let cluster = if clusters { include_str!("cluster-subnet.json").trim_end() } else { "" };
        let depends = if clusters {
            "    \"[resourceId('Microsoft.Network/networkSecurityGroups', format('{0}-clusters', variables('prefix')))]\",\n"
        } else {
            ""
        };
        let subnets = format!("{cluster}{database}");
        let values = [("rules", open(&ports)), ("subnets", subnets), ("depends", depends.into())];
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut all = vec![fill(include_str!("network.json"), &values)];
        if clusters {
            let has_routed = self.sites.iter().any(|site| has_routed_pods(self.design, site));
            let ports = has_routed.then_some(443).into_iter().collect();
            all.push(fill(include_str!("cluster-network.json"), &[("rules", &open(&ports))]));
        }
        all
    }
}

/// How the machines of a scale set are asked for their health.
pub(super) fn probe(part: &Part) -> String {
    let front = Front::of(part);
    let path = if front.asks_for_path() {
        format!("\"requestPath\": {}, ", json(&literal(&part.check_path)))
    } else {
        String::new()
    };
    format!(
        "{{ \"protocol\": \"{}\", \"port\": {}, {path}\"intervalInSeconds\": 5, \"probeThreshold\": 2 }}",
        front.protocol, part.port
    )
}

/// Security rules that let clients in at these ports.
fn open(ports: &BTreeSet<u16>) -> String {
    if ports.is_empty() {
        return "[]".into();
    }
    let ports: Vec<String> = ports.iter().map(|port| json(&port.to_string())).collect();
    let rule = fill(include_str!("client-rule.json"), &[("ports", &format!("[{}]", ports.join(", ")))]);
    format!("[\n{}    ]", indent(&rule, 6))
}
