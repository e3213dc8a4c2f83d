//! What is in a region: one template for those that run components, one for those that only vote.

use lifeboat_model::app::{Kind, Pattern};

use super::balancer::probe;
use super::node::{self, MACHINE, Node};
use super::template::{Nested, Parameter, ROLES, Template, literal, unique_variable};
use super::{
    ACTION_GROUPS, DNS_SQL, Front, Templates, default_instance, has_lag_metric, postgres_tier, sql_redundancy,
};
use crate::backups::KEPT_DAYS;
use crate::design::{Part, plain};
use crate::fragment::{fill, indent, json};
use crate::versions;

/// Built-in roles, by their ids.
const SECRETS_USER: &str = "4633458b-17de-408a-b874-0445c86b69e6";
const SECRETS_OFFICER: &str = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7";
const NETWORK_CONTRIBUTOR: &str = "4d97b98b-1d4f-4787-a291-c67834d212e7";
/// Azure Kubernetes Service RBAC Cluster Admin.
const CLUSTER_ADMIN: &str = "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b";

impl Templates<'_> {
    pub(super) fn regional(&self) -> String {
        let mut resources = self.network(&self.routed(), self.has(Kind::Aks));
        resources.extend(self.network_links());
        resources.extend(self.replica_peerings());
        for part in &self.parts {
            resources.extend(self.resource(part));
        }
        let routed = self.routed();
        if !routed.is_empty() {
            resources.push(self.balancer(&routed));
        }
        resources.push(self.vault_of_node());
        if let Some(condition) = self.machines() {
            resources.push(self.node(&routed, &condition));
            resources.push(MACHINE.vault_access(&condition));
            resources.push(MACHINE.region_access(&condition));
            resources.push(self.global_access(&MACHINE, &condition));
        }
        resources.extend(self.pods());
        Template {
            parameters: self.regional_parameters(),
            variables: self.regional_variables(),
            resources,
            outputs: self.outputs(),
        }
        .render()
    }

    /// A region that only votes: its network and its node, which moves nothing and may do nothing.
    pub(super) fn witness(&self) -> String {
        let mut resources = self.network(&[], false);
        resources.extend(self.network_links());
        resources.push(node::vault(&json(
            "[resourceId('Microsoft.Network/virtualNetworks/subnets', variables('prefix'), 'compute')]",
        )));
        resources.push(self.node(&[], ""));
        resources.push(MACHINE.vault_access(""));
        Template {
            parameters: self.node_parameters(),
            variables: self.node_variables(true),
            resources,
            outputs: Vec::new(),
        }
        .render()
    }

    /// What a region's network and node take.
    pub(super) fn node_parameters(&self) -> Vec<Parameter> {
        let mut all: Vec<Parameter> = vec![
            ("region", "string", "The region's name in the app's file."),
            ("location", "string", "Azure's name of the region."),
            ("cidr", "string", "Address range of the region; no other region uses it."),
            ("address", "string", "Address of the region's node; the same as in the app's file."),
            (
                "vault",
                "string",
                "Name of the key vault with the node's certificates; digits of the subscription come after it.",
            ),
            (
                "administratorId",
                "string",
                "Object id of the Entra group that hands certificates out and administers databases and clusters.",
            ),
            (
                "administratorAddresses",
                "array",
                "Public addresses or ranges from which lifeboat/hand-out.sh may write certificates.",
            ),
        ];
        if self.has_members() {
            all.push((
                "etcd",
                "string",
                "Settings of the region's member of the state store, as its environment; empty where there is none.",
            ));
            all.push(("etcdImage", "string", "Container image of etcd."));
        }
        all.push(("lifeboatImage", "string", "Container image of Lifeboat."));
        all.push(("lifeboatFile", "string", "Text of the app's file."));
        all.push(("sshPublicKey", "string", "Public key of those who may log in to machines."));
        all
    }

    pub(super) fn regional_parameters(&self) -> Vec<Parameter> {
        let mut all = self.node_parameters();
        all.push(("sizes", "object", "Sizes by component."));
        if self.parts.iter().any(|part| part.component.kind == Kind::AzurePostgres && has_lag_metric(part)) {
            all.push(ACTION_GROUPS);
        }
        all.push(ROLES);
        if self.has(Kind::AzureSql) || self.has(Kind::AzurePostgres) {
            all.push(("administratorName", "string", "Name of that group."));
        }
        if self.has(Kind::Aks) {
            all.push((
                "kubernetesVersion",
                "string",
                "Version of Kubernetes, the same in every region; `az aks get-versions` says what is on offer.",
            ));
        }
        if self.has(Kind::AzurePostgres) {
            all.push((
                "databasesExist",
                "bool",
                "Whether the servers have been made; set it after the first deployment.",
            ));
        }
        all
    }

    fn node_variables(&self, machines: bool) -> Vec<(String, String)> {
        let mut variables = vec![
            ("prefix".to_owned(), json(&format!("[format('{}-{{0}}', parameters('region'))]", self.app()))),
            (
                "node".into(),
                json(
                    "[resourceId('Microsoft.Compute/virtualMachineScaleSets', format('{0}-lifeboat', variables('prefix')))]",
                ),
            ),
            unique_variable(),
            ("vault".into(), json("[format('{0}-{1}', parameters('vault'), variables('unique'))]")),
            ("secretsUser".into(), built_in(SECRETS_USER)),
            ("secretsOfficer".into(), built_in(SECRETS_OFFICER)),
        ];
        if machines {
            variables.extend(self.boot_variables());
        }
        variables
    }

    fn regional_variables(&self) -> Vec<(String, String)> {
        let mut variables = self.node_variables(self.machines().is_some());
        variables.extend(self.pod_variables());
        variables.push(("nodeRole".into(), json(&format!("[{}]", self.node_role()))));
        if self.has(Kind::Aks) {
            variables.push(("networkContributor".into(), built_in(NETWORK_CONTRIBUTOR)));
            variables.push(("clusterAdmin".into(), built_in(CLUSTER_ADMIN)));
        }
        for part in self.parts.iter().filter(|part| matches!(part.component.kind, Kind::Vmss | Kind::Aks)) {
            let size = |which: &str| format!("parameters('sizes')['{}'].{which}", part.id);
            let minimum = format!("[if({}, {}, {})]", serves(part), size("full"), size("standby"));
            variables.push((format!("minimum-{}", part.id), json(&minimum)));
            let identity = format!(
                "[format('{}-{}-{{0}}-{{1}}', parameters('region'), variables('unique'))]",
                self.app(),
                part.id
            );
            variables.push((format!("identity-{}", part.id), json(&identity)));
        }
        let routed = self.routed();
        if !routed.is_empty() {
            variables.extend(self.front_variables(&routed));
        }
        variables
    }

    fn outputs(&self) -> Vec<String> {
        let routed = self.routed();
        let address = |part: &&Part| {
            let is_public = routed.iter().any(|one| one.id == part.id);
            let (holds, kind, field) = if is_public {
                (self.presence(part), "publicIPAddresses", "dnsSettings.fqdn")
            } else {
                (self.presence(part), "loadBalancers", "frontendIPConfigurations[0].properties.privateIPAddress")
            };
            let condition = holds
                .map_or_else(String::new, |holds| format!("      \"condition\": {},\n", json(&format!("[{holds}]"))));
            format!(
                "    {}: {{\n{condition}      \"type\": \"string\",\n      \"value\": \"[reference(resourceId('Microsoft.Network/{kind}', \
                 format('{{0}}-{}', variables('prefix')))).{field}]\"\n    }}",
                json(&format!("{}Address", part.id)),
                part.id
            )
        };
        self.parts.iter().filter(|part| part.component.kind == Kind::Vmss).map(address).collect()
    }

    /// The region's network knows the private names, whichever region they are of.
    fn network_links(&self) -> Option<String> {
        let zones = self.private_zones();
        let links = zones.iter().map(|zone| fill(include_str!("zone-link.json"), &[("zone", zone)])).collect();
        let nested = Nested {
            name: "[format('{0}-names', variables('prefix'))]",
            comments: "The private names belong to all regions; this one's network knows them.",
            condition: "",
            group: &self.global_group(),
            parameters: &[
                ("region", "string", "[parameters('region')]"),
                ("network", "string", "[resourceId('Microsoft.Network/virtualNetworks', variables('prefix'))]"),
            ],
            resources: links,
            depends: &["[resourceId('Microsoft.Network/virtualNetworks', variables('prefix'))]"],
        };
        (!zones.is_empty()).then(|| nested.render())
    }

    /// What is global the node moves too: the order of a Cosmos DB account's regions.
    pub(super) fn global_access(&self, node: &Node, condition: &str) -> String {
        let condition = if condition.is_empty() { String::new() } else { format!("[{condition}]") };
        Nested {
            name: &format!("[format('{{0}}-{}', variables('prefix'))]", node.deployment),
            comments: "The node may move what has no region of its own.",
            condition: &condition,
            group: &self.global_group(),
            parameters: &[
                ("node", "string", &format!("[{}]", node.who)),
                ("role", "string", "[variables('nodeRole')]"),
                ("principal", "string", &format!("[{}]", node.principal)),
            ],
            resources: vec![include_str!("global-access.json").into()],
            depends: &[&format!("[{}]", node.who)],
        }
        .render()
    }

    /// Whether the region is one of the component's; `None`: all are.
    pub(super) fn presence(&self, part: &Part) -> Option<String> {
        let everywhere = self.sites.iter().all(|site| part.regions.contains(&site.id));
        let names: Vec<String> = part.regions.iter().map(|id| format!("'{id}'")).collect();
        (!everywhere).then(|| format!("contains(createArray({}), parameters('region'))", names.join(", ")))
    }

    /// When a region has the component at all; `None`: always.
    pub(super) fn condition(&self, part: &Part) -> Option<String> {
        let home = format!("equals(parameters('region'), '{}')", part.home);
        match part.pattern {
            // In another it was restored by a person, before the role file names it.
            Pattern::BackupRestore if matches!(part.component.kind, Kind::AzureSql | Kind::AzurePostgres) => {
                Some(format!("or({home}, equals(parameters('roles').writers['{}'], parameters('region')))", part.id))
            }
            Pattern::BackupRestore if part.component.kind.is_database() => Some(home),
            // Made in the others when it is to serve there.
            Pattern::BackupRestore => Some(format!("or({home}, {})", serves(part))),
            Pattern::PilotLight | Pattern::WarmStandby | Pattern::ActiveActive => self.presence(part),
        }
    }

    /// Where they are all that another region has. For good, once the server is made.
    fn keeps_backups_in_pair(&self, part: &Part) -> bool {
        let home = self.design.site(part.home).and_then(|site| site.facts);
        part.pattern == Pattern::BackupRestore && home.is_some_and(|facts| facts.pair.is_some())
    }

    /// Components that exist per region; the global ones are elsewhere.
    fn resource(&self, part: &Part) -> Option<String> {
        let id = part.id.as_str();
        let zoned = self.sites.iter().all(|site| site.facts.is_some_and(|facts| facts.zones > 0));
        let condition = self
            .condition(part)
            .map_or_else(String::new, |holds| format!("  \"condition\": {},\n", json(&format!("[{holds}]"))));
        let presence = self
            .presence(part)
            .map_or_else(String::new, |holds| format!("  \"condition\": {},\n", json(&format!("[{holds}]"))));
        let alone = part.pattern == Pattern::BackupRestore;
        let made = self.condition(part).filter(|_| alone);
        let made = made.unwrap_or_else(|| format!("equals(parameters('region'), '{}')", part.home));
        let nested_condition = if condition.is_empty() { String::new() } else { indent(&condition, 4) };
        let identity = format!("identity-{id}");
        let common = [
            ("id", id),
            ("home", part.home.as_str()),
            ("app", self.app()),
            ("condition", &condition),
            ("nested_condition", &nested_condition),
            ("presence", &presence),
            ("identity", &identity),
            (
                "comments",
                "Under whom it logs in to its databases. There before the component, which may be made later.",
            ),
        ];
        let fill = |fragment: &str, values: &[(&str, &str)]| fill(fragment, &[&common[..], values].concat());
        Some(match part.component.kind {
            Kind::Vmss => {
                let routed = self.routed().iter().any(|one| one.id == part.id);
                let front = Front::of(part);
                let balancer = if routed { "variables('prefix')" } else { "format('{0}-@{id}', variables('prefix'))" };
                let values = [
                    ("port", part.port.to_string()),
                    ("client_port", front.port.to_string()),
                    ("probe", probe(part)),
                    ("balancer", balancer.replace("@{id}", id)),
                    ("image", json(&literal(part.image()))),
                    ("prefix", json(&plain(id, 9))),
                    ("zones", if zoned { "  \"zones\": [\"1\", \"2\", \"3\"],\n" } else { "" }.into()),
                    ("frontend_zones", if zoned { "        \"zones\": [\"1\", \"2\", \"3\"],\n" } else { "" }.into()),
                    ("balance", if zoned { "    \"zoneBalance\": true,\n" } else { "" }.into()),
                    ("rules", autoscale_rules(self.app(), id)),
                    ("environment", json(&self.environment(part))),
                ];
                let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let before =
                    if routed { include_str!("public-address.json") } else { include_str!("private-balancer.json") };
                [include_str!("identity.json"), before, include_str!("vmss.json")]
                    .map(|fragment| fill(fragment, &values).trim_end().to_owned())
                    .join(",\n")
            }
            Kind::Aks => {
                let zones = if zoned { "        \"availabilityZones\": [\"1\", \"2\", \"3\"],\n" } else { "" };
                let values = [
                    ("zones", zones),
                    ("secret_store", self.secret_store(part)),
                    ("name", self.app()),
                    ("account", &format!("{}:default", self.app())),
                ];
                [include_str!("identity.json"), include_str!("aks.json"), include_str!("credential.json")]
                    .map(|fragment| fill(fragment, &values).trim_end().to_owned())
                    .join(",\n")
            }
            Kind::AzureSql => fill(
                include_str!("azure-sql.json"),
                &[
                    ("made", &json(&format!("[{made}]"))),
                    ("zone", DNS_SQL),
                    ("zone_redundant", if zoned { "true" } else { "false" }),
                    ("redundancy", sql_redundancy(self.design.site(part.home))),
                    ("kept", &KEPT_DAYS.to_string()),
                ],
            ),
            Kind::AzurePostgres => {
                let server = fill(
                    include_str!("azure-postgres.json"),
                    &[
                        ("version", versions::AZURE_POSTGRESQL),
                        ("tier", postgres_tier(part.instance(default_instance(Kind::AzurePostgres)))),
                        ("geo", if self.keeps_backups_in_pair(part) { "Enabled" } else { "Disabled" }),
                        ("zone", &self.postgres_zone()),
                        ("peerings", &self.waits_for_peerings(part)),
                    ],
                );
                let alert = has_lag_metric(part).then(|| {
                    let name =
                        format!("format('{}-{id}-{{0}}-{{1}}', parameters('region'), variables('unique'))", self.app());
                    let values = [
                        ("name", name.as_str()),
                        (
                            "comments",
                            "Measured by a replica only, so that it need not be turned round after a failover.",
                        ),
                        ("type", "Microsoft.DBforPostgreSQL/flexibleServers"),
                        ("metric", "physical_replication_delay_in_seconds"),
                        ("threshold", &part.lag_alarm().as_secs().to_string()),
                    ];
                    fill(include_str!("metric-alert.json"), &values)
                });
                std::iter::once(server)
                    .chain(alert)
                    .map(|text| text.trim_end().to_owned())
                    .collect::<Vec<_>>()
                    .join(",\n")
            }
            _ => return None,
        })
    }
}

/// Whether the region serves, by the role file.
fn serves(part: &Part) -> String {
    format!("contains(parameters('roles').serving['{}'], parameters('region'))", part.id)
}

pub(super) fn built_in(role: &str) -> String {
    json(&format!("[subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '{role}')]"))
}

fn autoscale_rules(app: &str, id: &str) -> String {
    let rules: Vec<String> = [("Increase", "GreaterThan", "60", "2"), ("Decrease", "LessThan", "25", "1")]
        .into_iter()
        .map(|(direction, operator, threshold, by)| {
            let values = [
                ("app", app),
                ("id", id),
                ("direction", direction),
                ("operator", operator),
                ("threshold", threshold),
                ("by", by),
            ];
            indent(&fill(include_str!("autoscale-rule.json"), &values), 10).trim_end().to_owned()
        })
        .collect();
    rules.join(",\n")
}
