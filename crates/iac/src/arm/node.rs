//! The Lifeboat node of a region: a scale set of one behind an address that stays, and a vault with its certificates.

use super::Templates;
use crate::design::Part;
use crate::fragment::{fill, json};
use crate::members;

impl Templates<'_> {
    pub(super) fn node(&self, routed: &[&Part]) -> String {
        let depends = if routed.is_empty() {
            ""
        } else {
            "    \"[resourceId('Microsoft.Network/loadBalancers', variables('prefix'))]\",\n"
        };
        let mut sites = self.sites.iter().chain(&self.witnesses);
        let member = sites.find_map(|site| members::member(self.design, site));
        let ports = member.map_or_else(Vec::new, |member| vec![member.port, member.peer_port()]);
        let rules: Vec<String> = [self.api_port()]
            .into_iter()
            .chain(ports)
            .map(|port| fill(include_str!("node-rule.json").trim_end(), &[("port", &port.to_string())]))
            .collect();
        fill(
            include_str!("node.json"),
            &[
                ("boot", &self.boot(routed)),
                ("pools", &pools(routed)),
                ("depends", depends),
                ("rules", &rules.join(",")),
            ],
        )
    }
}

/// The node's own load balancer, and the one at which clients, and whoever probes for them, reach the region, where there is one.
fn pools(routed: &[&Part]) -> String {
    let pool = |balancer: &str, pool: &str| {
        format!(
            "createArray(createObject('id', resourceId('Microsoft.Network/loadBalancers/backendAddressPools', {balancer}, '{pool}')))"
        )
    };
    let own = pool("format('{0}-lifeboat', variables('prefix'))", "main");
    if routed.is_empty() {
        return json(&format!("[{own}]"));
    }
    let public = pool("variables('prefix')", "lifeboat");
    json(&format!("[concat({own}, if(empty(variables('fronts')), createArray(), {public}))]"))
}
