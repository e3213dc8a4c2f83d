//! The Lifeboat node of a region: a scale set of one behind an address that stays, and a vault with its certificates.

use lifeboat_model::app::Kind;

use super::Templates;
use crate::design::Part;
use crate::fragment::{fill, json};
use crate::members;

impl Templates<'_> {
    pub(super) fn node(&self, parts: &[&Part]) -> String {
        // A machine can be behind one public load balancer only.
        let behind = parts.iter().find(|part| part.component.kind == Kind::Vmss);
        let depends = behind.map_or_else(String::new, |part| {
            format!(
                "    \"[resourceId('Microsoft.Network/loadBalancers', format('{{0}}-{}', variables('prefix')))]\",\n",
                part.id
            )
        });
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
                ("boot", &self.boot()),
                ("pools", &self.pools(behind)),
                ("depends", &depends),
                ("rules", &rules.join(",")),
            ],
        )
    }

    /// The node's own load balancer, and the one at which clients, and whoever probes for them, reach the region.
    fn pools(&self, behind: Option<&&Part>) -> String {
        let pool = |balancer: &str, pool: &str| {
            format!(
                "resourceId('Microsoft.Network/loadBalancers/backendAddressPools', format('{{0}}-{balancer}', variables('prefix')), '{pool}')"
            )
        };
        let own = pool("lifeboat", "main");
        match behind.map(|part| (pool(part.id.as_str(), "lifeboat"), self.condition(part))) {
            Some((public, Some(holds))) => json(&format!(
                "[concat(createArray(createObject('id', {own})), if({holds}, createArray(createObject('id', {public})), createArray()))]"
            )),
            Some((public, None)) => listed(&[own, public]),
            None => listed(&[own]),
        }
    }
}

fn listed(pools: &[String]) -> String {
    let space = " ".repeat(22);
    let pools: Vec<String> =
        pools.iter().map(|id| format!("\n{space}{{\n{space}  \"id\": \"[{id}]\"\n{space}}}")).collect();
    format!("[{}\n                    ]", pools.join(","))
}
