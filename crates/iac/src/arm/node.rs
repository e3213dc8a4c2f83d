//! The Lifeboat node of a region: a scale set of one behind an address that stays, or a pod in the region's cluster; and a vault with its
//! certificates.

use lifeboat_model::kubernetes::node_name;

use super::Templates;
use crate::design::{Part, Site};
use crate::fragment::{fill, json};
use crate::members;

/// How a template names a node, in expressions.
#[derive(Debug)]
pub(super) struct Node {
    /// Its resource.
    pub(super) who: &'static str,
    pub(super) principal: &'static str,
    /// Last part of the name of the deployment that gives it leave among what is global.
    pub(super) deployment: &'static str,
}

/// A scale set of one.
pub(super) const MACHINE: Node = Node {
    who: "variables('node')",
    principal: "reference(variables('node'), '2025-11-01', 'full').identity.principalId",
    deployment: "access",
};

/// The identity of a pod.
const POD: Node = Node {
    who: "resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', variables('pod'))",
    principal: "reference(resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', variables('pod')), '2023-01-31').principalId",
    deployment: "pod-access",
};

const SUBNET: &str = "resourceId('Microsoft.Network/virtualNetworks/subnets', variables('prefix'), ";

impl Node {
    fn fill(&self, fragment: &str, condition: &str) -> String {
        let condition = line(condition);
        fill(fragment, &[("who", self.who), ("principal", self.principal), ("condition", &condition)])
    }

    pub(super) fn vault_access(&self, condition: &str) -> String {
        self.fill(include_str!("vault-access.json"), condition)
    }

    pub(super) fn region_access(&self, condition: &str) -> String {
        self.fill(include_str!("region-access.json"), condition)
    }
}

/// The vault with a node's certificates, which is read from this subnet only.
pub(super) fn vault(subnet: &str) -> String {
    fill(include_str!("vault.json"), &[("subnet", subnet)])
}

/// A resource's condition, as its line; empty: it is always made.
fn line(condition: &str) -> String {
    if condition.is_empty() {
        String::new()
    } else {
        format!("  \"condition\": {},\n", json(&format!("[{condition}]")))
    }
}

impl Templates<'_> {
    /// When this is so of the region that is deployed, as an expression; empty: always. `None`: never.
    fn when(&self, holds: impl Fn(&Site) -> bool) -> Option<String> {
        let names: Vec<String> =
            self.sites.iter().filter(|site| holds(site)).map(|site| format!("'{}'", site.id)).collect();
        if names.len() == self.sites.len() {
            return Some(String::new());
        }
        (!names.is_empty()).then(|| format!("contains(createArray({}), parameters('region'))", names.join(", ")))
    }

    /// When the region's node is a machine.
    pub(super) fn machines(&self) -> Option<String> {
        self.when(|site| !members::runs_in_cluster(self.design, site))
    }

    /// When it is a pod in this cluster.
    fn pods_in(&self, cluster: &Part) -> Option<String> {
        self.when(|site| members::home_cluster(self.design, site).is_some_and(|home| home.id == cluster.id))
    }

    pub(super) fn vault_of_node(&self) -> String {
        let (machine, pod) = (format!("{SUBNET}'compute')"), format!("{SUBNET}'clusters')"));
        vault(&json(&match self.machines() {
            None => format!("[{pod}]"),
            Some(always) if always.is_empty() => format!("[{machine}]"),
            Some(condition) => format!("[if({condition}, {machine}, {pod})]"),
        }))
    }

    /// What the pods need of Azure; the rest is in their manifests.
    pub(super) fn pods(&self) -> Vec<String> {
        let mut all = Vec::new();
        for cluster in &self.parts {
            let Some(condition) = self.pods_in(cluster) else { continue };
            let there = line(&condition);
            let node = node_name(&self.design.app.name);
            let account = format!("{node}:{node}");
            let values = [
                ("identity", "pod"),
                ("comments", "The region's Lifeboat node, which is a pod in its cluster: lifeboat/REGION/node.yaml."),
                ("presence", &there),
                ("condition", &there),
                ("name", "lifeboat"),
                ("account", &account),
                ("id", cluster.id.as_str()),
                ("app", self.app()),
            ];
            all.push(fill(include_str!("identity.json"), &values));
            all.push(fill(include_str!("credential.json"), &values));
            all.push(POD.vault_access(&condition));
            all.push(POD.region_access(&condition));
            all.push(self.global_access(&POD, &condition));
        }
        all
    }

    /// `pod`: the name of the identity.
    pub(super) fn pod_variables(&self) -> Option<(String, String)> {
        let has_pods = self.sites.iter().any(|site| members::runs_in_cluster(self.design, site));
        let name =
            format!("[format('{}-lifeboat-{{0}}-{{1}}', parameters('region'), variables('unique'))]", self.app());
        has_pods.then(|| ("pod".to_owned(), json(&name)))
    }

    /// What brings the node's certificates from its vault into the cluster.
    pub(super) fn secret_store(&self, cluster: &Part) -> &'static str {
        let given = self.sites.iter().any(|site| members::is_given_certificates(self.design, site));
        if given && self.pods_in(cluster).is_some() { SECRET_STORE } else { "" }
    }

    pub(super) fn node(&self, routed: &[&Part], condition: &str) -> String {
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
                ("condition", &line(condition)),
            ],
        )
    }
}

const SECRET_STORE: &str = "
      \"azureKeyvaultSecretsProvider\": {
        \"enabled\": true,
        \"config\": { \"enableSecretRotation\": \"true\", \"rotationPollInterval\": \"1h\" }
      },";

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
