//! ARM: one template that makes a region, with a parameter file per region; one for what links regions and belongs to the
//! writer; one for what is global. The roles are one parameter of all three, in a file of their own.

use lifeboat_model::app::{Kind, Pattern, Provider, RegionRole, Replication, RoutePolicy};

use crate::design::{Design, Part, STEERING_PATH, Site, Way, plain, short};
use crate::fragment::{fill, indent, json};
use crate::tree::Tree;
use crate::{Problem, members, versions};

const FOLDER: &str = "arm";
const TEMPLATE: &str = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#";
const PARAMETERS: &str = "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#";

struct Templates<'a> {
    design: &'a Design<'a>,
    /// Regions that run components.
    sites: Vec<&'a Site<'a>>,
    /// Regions with a node only.
    witnesses: Vec<&'a Site<'a>>,
    parts: Vec<&'a Part<'a>>,
    ways: Vec<&'a Way<'a>>,
}

/// What stands in the boot script for the region's own values: in Terraform's template, in this one's, and the value.
const PLACEHOLDERS: [(&str, &str, &str); 7] = [
    ("${address}", "__ADDRESS__", "parameters('address')"),
    ("${file}", "__FILE__", "base64(parameters('lifeboatFile'))"),
    ("${image}", "__IMAGE__", "parameters('lifeboatImage')"),
    ("${node}", "__REGION__", "parameters('region')"),
    ("${vault}", "__VAULT__", "parameters('vault')"),
    ("${etcd.image}", "__ETCD_IMAGE__", "parameters('etcdImage')"),
    ("__ETCD__", "__ETCD__", "parameters('etcd')"),
];

/// For the one role assignment that is left to make: to read the vault.
const NODE_PRINCIPAL: &str = "    \"nodePrincipal\": {\n      \"type\": \"string\",\n      \"value\": \
    \"[reference(resourceId('Microsoft.Compute/virtualMachineScaleSets', format('{0}-lifeboat', variables('prefix'))), '2025-11-01', \
    'full').identity.principalId]\"\n    }";

/// A parameter of a template: name, type, what it is for.
type Parameter = (&'static str, &'static str, &'static str);

/// Writes `arm/` if the app has anything on Azure.
pub(crate) fn write(design: &Design, tree: &mut Tree) {
    let parts: Vec<&Part> = design.parts.iter().filter(|part| makes(part.component.kind)).collect();
    if parts.is_empty() {
        return;
    }
    let (sites, witnesses): (Vec<&Site>, Vec<&Site>) =
        design.sites_of(Provider::Azure).partition(|site| site.region.role == RegionRole::Data);
    let behind = |way: &&Way| parts.iter().any(|part| part.id == way.to && part.component.kind == Kind::Vmss);
    let ways: Vec<&Way> = design.ways.iter().filter(behind).collect();
    let templates = Templates { design, sites, witnesses, parts, ways };
    tree.put(format!("{FOLDER}/regional.json"), templates.regional());
    for site in &templates.sites {
        tree.put(
            format!("{FOLDER}/parameters/{}.json", site.id),
            templates.values(site, &templates.regional_parameters()),
        );
    }
    if !templates.witnesses.is_empty() {
        tree.put(format!("{FOLDER}/witness.json"), templates.witness());
    }
    for site in &templates.witnesses {
        tree.put(format!("{FOLDER}/parameters/{}.json", site.id), templates.values(site, &templates.node_parameters()));
    }
    if templates.sites.len() + templates.witnesses.len() > 1 {
        tree.put(format!("{FOLDER}/peering.json"), templates.peering());
    }
    tree.put_kept(format!("{FOLDER}/roles.json"), templates.roles());
    if let Some(links) = templates.links() {
        tree.put(format!("{FOLDER}/links.json"), links);
    }
    if let Some(global) = templates.global() {
        tree.put(format!("{FOLDER}/global.json"), global);
    }
    tree.warnings.extend(templates.warnings());
}

/// Whether components of this kind are in the templates.
pub(crate) fn makes(kind: Kind) -> bool {
    match kind {
        Kind::AzureSql | Kind::Cosmosdb | Kind::AzurePostgres | Kind::AzureStorage | Kind::Vmss | Kind::Aks => true,
        Kind::Postgres
        | Kind::AuroraGlobal
        | Kind::Rds
        | Kind::Dynamodb
        | Kind::S3
        | Kind::Process
        | Kind::Asg
        | Kind::Ecs
        | Kind::Eks
        | Kind::Deployment => false,
    }
}

/// What a component runs on if its file names nothing.
pub(crate) fn default_instance(kind: Kind) -> &'static str {
    match kind {
        Kind::AzureSql => "GP_Gen5_2",
        Kind::AzurePostgres => "Standard_D2ds_v5",
        Kind::Vmss => "Standard_D2s_v5",
        Kind::Aks => "Standard_D4s_v5",
        _ => "",
    }
}

/// Writers other than in one region at a time.
pub(crate) fn writes_everywhere(part: &Part) -> bool {
    part.component.kind == Kind::Cosmosdb && part.pattern == Pattern::ActiveActive
}

impl Templates<'_> {
    fn app(&self) -> &str {
        self.design.name()
    }

    fn has(&self, kind: Kind) -> bool {
        self.parts.iter().any(|part| part.component.kind == kind)
    }

    fn warnings(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        for part in self.parts.iter().filter(|part| part.component.kind == Kind::AzureSql && part.regions.len() > 2) {
            found.push(Problem::new(
                format!("components.{}.standbys", part.id),
                "a failover group has one partner server; only the first standby is in it",
                "keep one standby, or replicate to the others by active geo-replication outside the group",
            ));
        }
        for part in self.parts.iter().filter(|part| part.component.kind == Kind::AzureStorage) {
            found.push(Problem::new(
                format!("components.{}", part.id),
                "Azure copies a geo-redundant account to its own paired region, whatever standby is named",
                "check that the pair of the writer's region lies where the data may be",
            ));
        }
        found
    }

    /// What a region's network and node take.
    fn node_parameters(&self) -> Vec<Parameter> {
        let mut all: Vec<Parameter> = vec![
            ("region", "string", "The region's name in the app's file."),
            ("location", "string", "Azure's name of the region."),
            ("cidr", "string", "Address range of the region; no other region uses it."),
            ("address", "string", "Address of the region's node; the same as in the app's file."),
            ("vault", "string", "Key vault with the node's certificates, and nothing else."),
        ];
        if self.has_members() {
            all.push(("etcd", "string", "Settings of the region's member of the state store, as its environment."));
            all.push(("etcdImage", "string", "Container image of etcd."));
        }
        all.push(("lifeboatImage", "string", "Container image of Lifeboat."));
        all.push(("lifeboatFile", "string", "Text of the app's file."));
        all.push(("sshPublicKey", "string", "Public key of those who may log in to machines."));
        all
    }

    fn regional_parameters(&self) -> Vec<Parameter> {
        let mut all = self.node_parameters();
        all.push(("sizes", "object", "Sizes by component."));
        all.push((
            "roles",
            "object",
            "Which region writes and which serve; from roles.json, which `lifeboat roles` writes.",
        ));
        if self.has(Kind::AzureSql) {
            all.push(("administratorName", "string", "Entra group that administers the databases."));
            all.push(("administratorId", "string", "Its object id."));
        }
        if self.has(Kind::AzurePostgres) {
            all.push((
                "databasesExist",
                "bool",
                "Whether the servers have been made; set it after the first deployment.",
            ));
            all.push(("postgresDnsZoneId", "string", "Private DNS zone of the servers, in the global resource group."));
        }
        all
    }

    fn regional(&self) -> String {
        let mut resources = vec![self.network()];
        for part in &self.parts {
            resources.extend(self.resource(part));
        }
        resources.push(self.node(&self.parts));
        let outputs: Vec<String> = self
            .parts
            .iter()
            .filter(|part| part.component.kind == Kind::Vmss)
            .map(|part| {
                format!(
                    "    {}: {{\n      \"type\": \"string\",\n      \"value\": \"[reference(resourceId('Microsoft.Network/publicIPAddresses', \
                     format('{{0}}-{}', variables('prefix')))).dnsSettings.fqdn]\"\n    }}",
                    json(&format!("{}Address", part.id)),
                    part.id
                )
            })
            .collect();
        let outputs: Vec<String> = outputs.into_iter().chain([NODE_PRINCIPAL.to_owned()]).collect();
        template(&self.regional_parameters(), &self.variables(), &resources, &outputs)
    }

    /// A region that only votes: its network and its node.
    fn witness(&self) -> String {
        let resources = [self.network(), self.node(&[])];
        template(&self.node_parameters(), &self.variables(), &resources, &[NODE_PRINCIPAL.to_owned()])
    }

    /// From one region to every other, once all of them are there.
    fn peering(&self) -> String {
        let all = self.sites.iter().chain(&self.witnesses);
        let resources: Vec<String> = all
            .map(|site| fill(include_str!("arm/peering.json"), &[("app", self.app()), ("id", site.id.as_str())]))
            .collect();
        template(&[("region", "string", "The region from which it leads.")], "", &resources, &[])
    }

    fn variables(&self) -> String {
        format!(
            "    \"prefix\": \"[format('{}-{{0}}', parameters('region'))]\",\n    \"start\": {}",
            self.app(),
            json(&self.start_script()).replace("\\u000a", "\\n")
        )
    }

    fn has_members(&self) -> bool {
        self.sites.iter().chain(&self.witnesses).any(|site| members::member(self.design, site).is_some())
    }

    /// What the node's machine runs at boot: the script that Terraform's module has, with this tool's way to fill it in.
    fn start_script(&self) -> String {
        let text = include_str!("terraform/azure/modules/node/start.sh.tftpl");
        let given = self.design.sites_of(Provider::Azure).any(|site| members::is_given_certificates(self.design, site));
        let tls = self.design.sites_of(Provider::Azure).any(|site| members::speaks_tls(self.design, site));
        let text = chosen(text, "%{ if certificates ~}\n", "%{ endif ~}\n", given);
        let text = chosen(&text, "%{ if etcd != null ~}\n", "%{ endif ~}\n", self.has_members());
        let text = chosen(&text, "%{ if tls }", "%{ endif }", tls);
        let text = text
            .replace("%{ for name, value in etcd.environment ~}\n${name}=${value}\n%{ endfor ~}\n", "__ETCD__\n")
            .replace("${member ~}\n", crate::lifeboat::MEMBER);
        PLACEHOLDERS.iter().fold(text, |text, (from, to, _)| text.replace(from, to))
    }

    /// The script with the region's values.
    fn start(&self) -> String {
        PLACEHOLDERS
            .iter()
            .filter(|(_, placeholder, _)| self.has_members() || !placeholder.contains("ETCD"))
            .fold("variables('start')".to_owned(), |text, (_, placeholder, value)| {
                format!("replace({text}, '{placeholder}', {value})")
            })
    }

    fn network(&self) -> String {
        let mut ports: Vec<String> = self
            .parts
            .iter()
            .filter(|part| part.component.kind == Kind::Vmss)
            .map(|part| part.port.to_string())
            .collect();
        ports.extend(self.sites.iter().map(|site| site.region.api_port.to_string()));
        ports.sort();
        ports.dedup();
        let ports: Vec<String> = ports.iter().map(|port| json(port)).collect();
        let subnets =
            if self.has(Kind::AzurePostgres) { include_str!("arm/database-subnet.json").trim_end() } else { "" };
        fill(include_str!("arm/network.json"), &[("ports", &ports.join(", ")), ("subnets", subnets)])
    }

    /// Components that exist per region; the global ones are elsewhere.
    fn resource(&self, part: &Part) -> Option<String> {
        let id = part.id.as_str();
        let home = part.home.as_str();
        let zoned = self.sites.iter().all(|site| site.facts.is_some_and(|facts| facts.zones > 0));
        let condition = match part.pattern {
            Pattern::BackupRestore => format!("  \"condition\": \"[equals(parameters('region'), '{home}')]\",\n"),
            Pattern::PilotLight | Pattern::WarmStandby | Pattern::ActiveActive => String::new(),
        };
        let common = [("id", id), ("home", home), ("app", self.app()), ("condition", &condition)];
        Some(match part.component.kind {
            Kind::Vmss => fill(
                include_str!("arm/vmss.json"),
                &[
                    ("id", id),
                    ("port", &part.port.to_string()),
                    ("api", &self.api_port().to_string()),
                    ("check", &json(&literal(&part.check_path))),
                    ("image", &json(&literal(part.image()))),
                    ("prefix", &json(&plain(id, 9))),
                    ("zones", if zoned { "  \"zones\": [\"1\", \"2\", \"3\"],\n" } else { "" }),
                ],
            ),
            Kind::Aks => fill(
                include_str!("arm/aks.json"),
                &[
                    ("id", id),
                    ("version", versions::KUBERNETES),
                    ("zones", if zoned { "        \"availabilityZones\": [\"1\", \"2\", \"3\"],\n" } else { "" }),
                ],
            ),
            Kind::AzureSql => {
                let fragment = fill(include_str!("arm/azure-sql.json"), &common);
                fill(&fragment, &[("zone_redundant", if zoned { "true" } else { "false" })])
            }
            Kind::AzurePostgres => {
                let fragment = fill(include_str!("arm/azure-postgres.json"), &common);
                let tier = postgres_tier(part.instance(default_instance(Kind::AzurePostgres)));
                fill(&fragment, &[("version", versions::AZURE_POSTGRESQL), ("tier", tier)])
            }
            Kind::AzureStorage => {
                let account = plain(&format!("{}{}", self.app(), id), 24);
                let (redundancy, comment) = storage_redundancy(part, zoned);
                let fragment = fill(include_str!("arm/azure-storage.json"), &common);
                fill(&fragment, &[("account", &account), ("redundancy", redundancy), ("comment", comment)])
            }
            _ => return None,
        })
    }

    fn api_port(&self) -> u16 {
        self.sites.first().map_or(7400, |site| site.region.api_port)
    }

    fn node(&self, parts: &[&Part]) -> String {
        let balanced: Vec<&&Part> = parts.iter().filter(|part| part.component.kind == Kind::Vmss).collect();
        let pool = |part: &&&Part| {
            format!(
                ",\n                      {{\n                        \"id\": \
                 \"[resourceId('Microsoft.Network/loadBalancers/backendAddressPools', format('{{0}}-{}', variables('prefix')), \
                 'lifeboat')]\"\n                      }}",
                part.id
            )
        };
        // A machine can be behind one public load balancer only.
        let pools: String = balanced.iter().take(1).map(pool).collect();
        let depends: String = balanced
            .iter()
            .take(1)
            .map(|part| {
                format!(
                    "    \"[resourceId('Microsoft.Network/loadBalancers', format('{{0}}-{}', variables('prefix')))]\",\n",
                    part.id
                )
            })
            .collect();
        let member = self.sites.iter().chain(&self.witnesses).find_map(|site| members::member(self.design, site));
        let ports = member.map_or_else(Vec::new, |member| vec![member.port, member.peer_port()]);
        let rules: Vec<String> = [self.api_port()]
            .into_iter()
            .chain(ports)
            .map(|port| fill(include_str!("arm/node-rule.json").trim_end(), &[("port", &port.to_string())]))
            .collect();
        fill(
            include_str!("arm/node.json"),
            &[("start", &self.start()), ("pools", &pools), ("depends", &depends), ("rules", &rules.join(","))],
        )
    }

    fn values(&self, site: &Site, parameters: &[Parameter]) -> String {
        let mut sizes = Vec::new();
        for part in self
            .parts
            .iter()
            .filter(|part| part.component.kind != Kind::AzureStorage && part.component.kind != Kind::Cosmosdb)
        {
            let instance = json(part.instance(default_instance(part.component.kind)));
            let storage =
                part.component.size.storage.map_or(128, |bytes| bytes.div_ceil(1 << 30)).max(32).next_power_of_two();
            sizes.push(match part.component.kind {
                Kind::Vmss | Kind::Aks => format!(
                    "        {}: {{ \"instance\": {instance}, \"full\": {}, \"standby\": {}, \"most\": {} }}",
                    json(part.id.as_str()),
                    part.full,
                    part.standby,
                    part.most()
                ),
                Kind::AzurePostgres => {
                    format!(
                        "        {}: {{ \"instance\": {instance}, \"storage\": {storage} }}",
                        json(part.id.as_str())
                    )
                }
                _ => format!("        {}: {{ \"instance\": {instance} }}", json(part.id.as_str())),
            });
        }
        let sizes = if sizes.is_empty() { "{}".into() } else { format!("{{\n{}\n      }}", sizes.join(",\n")) };
        let etcd = members::member(self.design, site).map_or_else(String::new, |member| {
            let address = members::private_address(site);
            let lines = members::environment(self.design, &member, &address).into_iter();
            lines.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("\n")
        });
        let known = [
            ("region", json(site.id.as_str())),
            ("location", json(site.place())),
            ("cidr", json(&site.cidr())),
            ("address", json(&members::private_address(site))),
            ("vault", json(&crate::lifeboat::vault_name(self.design, site))),
            ("etcd", json(&etcd).replace("\\u000a", "\\n")),
            ("sizes", sizes),
        ];
        // The roles have a file of their own, and of the rest only the user knows the values.
        let values: Vec<(&str, String)> = parameters
            .iter()
            .filter(|(name, ..)| *name != "roles")
            .map(|(name, kind, _)| {
                let value = known.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
                let unknown = || if *kind == "bool" { "false".into() } else { json(&format!("<{name}>")) };
                (*name, value.unwrap_or_else(unknown))
            })
            .collect();
        parameter_file(&values)
    }

    fn roles(&self) -> String {
        let writers: Vec<String> = self
            .parts
            .iter()
            .filter(|part| part.component.kind.is_database() && part.component.kind != Kind::AzureStorage)
            .map(|part| format!("{}: {}", json(part.id.as_str()), json(part.writer.as_str())))
            .collect();
        let serving: Vec<String> = self
            .parts
            .iter()
            .filter(|part| !part.component.kind.is_database())
            .map(|part| {
                let regions: Vec<String> = part.serves.iter().map(|id| json(id.as_str())).collect();
                format!("{}: [{}]", json(part.id.as_str()), regions.join(", "))
            })
            .collect();
        let object = |entries: Vec<String>| {
            if entries.is_empty() { "{}".into() } else { format!("{{ {} }}", entries.join(", ")) }
        };
        let value = format!(
            "{{\n        \"writers\": {},\n        \"serving\": {}\n      }}",
            object(writers),
            object(serving)
        );
        parameter_file(&[("roles", value)])
    }

    /// What belongs to the writer and names the other side: deployed into the writer's resource group once both are there.
    fn links(&self) -> Option<String> {
        let linked: Vec<&&Part> = self
            .parts
            .iter()
            .filter(|part| {
                matches!(part.component.kind, Kind::AzureSql | Kind::AzurePostgres)
                    && part.pattern != Pattern::BackupRestore
                    && part.regions.len() > 1
            })
            .collect();
        if linked.is_empty() {
            return None;
        }
        let mut resources = Vec::new();
        let mut variables = Vec::new();
        for part in linked {
            let id = part.id.as_str();
            variables.push(format!(
                "    \"partner-{id}\": \"[if(equals(parameters('roles').writers['{id}'], '{}'), '{}', '{}')]\"",
                part.home, part.regions[1], part.home
            ));
            let fragment = match part.component.kind {
                Kind::AzureSql => include_str!("arm/failover-group.json"),
                _ => include_str!("arm/virtual-endpoint.json"),
            };
            resources.push(fill(fragment, &[("id", id), ("app", self.app())]));
        }
        let parameters: [Parameter; 1] = [(
            "roles",
            "object",
            "Which region writes and which serve; from roles.json, which `lifeboat roles` writes.",
        )];
        Some(template(&parameters, &variables.join(",\n"), &resources, &[]))
    }

    /// Cosmos DB and Traffic Manager: in a resource group outside the regions that they protect.
    fn global(&self) -> Option<String> {
        let mut resources = Vec::new();
        let mut variables = Vec::new();
        for part in self.parts.iter().filter(|part| part.component.kind == Kind::Cosmosdb) {
            let names: Vec<String> = part.regions.iter().map(|id| format!("'{id}'")).collect();
            variables.push(format!(
                "    \"writer-{}\": \"[indexOf(createArray({}), parameters('roles').writers['{}'])]\"",
                part.id,
                names.join(", "),
                part.id
            ));
            resources.push(self.cosmos(part));
        }
        for way in &self.ways {
            resources.extend(self.traffic_manager(way));
        }
        if resources.is_empty() {
            return None;
        }
        let parameters: [Parameter; 1] = [(
            "roles",
            "object",
            "Which region writes and which serve; from roles.json, which `lifeboat roles` writes.",
        )];
        Some(template(&parameters, &variables.join(",\n"), &resources, &[]))
    }

    fn cosmos(&self, part: &Part) -> String {
        let multiple = writes_everywhere(part);
        let locations: Vec<String> = part
            .regions
            .iter()
            .enumerate()
            .filter_map(|(index, id)| {
                let facts = self.design.site(id)?.facts?;
                Some(format!(
                    "\n      {{\n        \"locationName\": {},\n        \"failoverPriority\": {},\n        \"isZoneRedundant\": {}\n      }}",
                    json(facts.name),
                    if multiple {
                        index.to_string()
                    } else {
                        json(&format!(
                            "[if(equals(variables('writer-{id}'), {index}), 0, if(less({index}, variables('writer-{id}')), {}, {index}))]",
                            index + 1,
                            id = part.id
                        ))
                    },
                    facts.zones > 0
                ))
            })
            .collect();
        let synchronous = part.component.standbys.values().any(|mode| *mode == Replication::Synchronous);
        let (consistency, comment) = if multiple {
            ("\"defaultConsistencyLevel\": \"Session\"", "Every region writes; conflicts go to the newest write.")
        } else if synchronous {
            (
                "\"defaultConsistencyLevel\": \"Strong\"",
                "Strong: nothing acknowledged is lost. With two regions the loss of the reading one stops writes; three regions do not.",
            )
        } else {
            (
                "\"defaultConsistencyLevel\": \"BoundedStaleness\", \"maxIntervalInSeconds\": 300, \"maxStalenessPrefix\": 100000",
                "One region writes. Service-managed failover is off: Lifeboat decides, and the provider may take an hour or decline.",
            )
        };
        let conflicts = if multiple {
            ",\n      \"conflictResolutionPolicy\": { \"mode\": \"LastWriterWins\", \"conflictResolutionPath\": \"/_ts\" }"
        } else {
            ""
        };
        let subnets: Vec<String> = self
            .sites
            .iter()
            .map(|site| {
                format!(
                    "\n      {{ \"id\": \"[resourceId('{app}-{id}', 'Microsoft.Network/virtualNetworks/subnets', '{app}-{id}', 'compute')]\" }}",
                    app = self.app(),
                    id = site.id
                )
            })
            .collect();
        let first = part.regions.first().and_then(|id| self.design.site(id)).map_or("", |site| site.place());
        fill(
            include_str!("arm/cosmosdb.json"),
            &[
                ("app", self.app()),
                ("id", part.id.as_str()),
                ("first", &json(first)),
                ("locations", &format!("[{}\n    ]", locations.join(","))),
                ("multiple", if multiple { "true" } else { "false" }),
                ("subnets", &format!("[{}\n    ]", subnets.join(","))),
                ("consistency", consistency),
                ("comment", comment),
                ("conflicts", conflicts),
            ],
        )
    }

    fn traffic_manager(&self, way: &Way) -> Vec<String> {
        let profile = short(&way.key().replace('_', "-"), 63);
        let endpoints: Vec<String> = way
            .regions
            .iter()
            .enumerate()
            .filter_map(|(index, id)| {
                let site = self.design.site(id)?;
                let choice = match way.policy {
                    RoutePolicy::Failover => format!("\"priority\": {}", index + 1),
                    RoutePolicy::Spread => format!("\"endpointLocation\": {}", json(site.facts?.name)),
                };
                Some(format!(
                    "\n      {{\n        \"type\": \"Microsoft.Network/trafficManagerProfiles/externalEndpoints\",\n        \"name\": {},\n        \
                     \"properties\": {{\n          \"target\": {},\n          \"endpointStatus\": \"Enabled\",\n          {choice}\n        }}\n      }}",
                    json(id.as_str()),
                    json(&format!("{}-{id}-{}.{}.cloudapp.azure.com", self.app(), way.to, site.place())),
                ))
            })
            .collect();
        let (method, comment) = match way.policy {
            RoutePolicy::Failover => (
                "Priority",
                "Probes ask the steering endpoint of each region's node, which answers 200 only while the region is to be served. A failover writes nothing here.",
            ),
            RoutePolicy::Spread => {
                ("Performance", "The nearest region that its node's steering endpoint wants served.")
            }
        };
        let mut resources = vec![fill(
            include_str!("arm/traffic-manager.json"),
            &[
                ("profile", &profile),
                ("comment", comment),
                ("method", method),
                ("ttl", &way.ttl_seconds().to_string()),
                ("api", &self.api_port().to_string()),
                ("path", &format!("{STEERING_PATH}/{}", way.host)),
                ("endpoints", &format!("[{}\n    ]", endpoints.join(","))),
            ],
        )];
        if let Some(name) = way.host.as_str().strip_suffix(way.zone()).and_then(|name| name.strip_suffix('.')) {
            resources.push(format!(
                "{{\n  \"type\": \"Microsoft.Network/dnsZones/CNAME\",\n  \"apiVersion\": \"2018-05-01\",\n  \"name\": {},\n  \"properties\": {{\n    \
                 \"TTL\": {},\n    \"CNAMERecord\": {{ \"cname\": \"{profile}.trafficmanager.net\" }}\n  }}\n}}",
                json(&format!("{}/{name}", way.zone())),
                way.ttl_seconds()
            ));
        }
        resources
    }
}

/// A text that is none of ARM's expressions, whatever it begins with.
fn literal(text: &str) -> String {
    if text.starts_with('[') { format!("[{text}") } else { text.into() }
}

fn postgres_tier(instance: &str) -> &'static str {
    match instance.as_bytes().get("Standard_".len()) {
        Some(b'B') => "Burstable",
        Some(b'E') => "MemoryOptimized",
        _ => "GeneralPurpose",
    }
}

fn storage_redundancy(part: &Part, zoned: bool) -> (&'static str, &'static str) {
    match (part.pattern, zoned) {
        (Pattern::BackupRestore, true) => {
            ("Standard_GZRS", "Copied to the paired region; readable there after a failover of the account.")
        }
        (Pattern::BackupRestore, false) => {
            ("Standard_GRS", "Copied to the paired region; readable there after a failover of the account.")
        }
        (_, true) => ("Standard_RAGZRS", "Copied to the paired region and readable there at all times."),
        (_, false) => ("Standard_RAGRS", "Copied to the paired region and readable there at all times."),
    }
}

fn template(parameters: &[Parameter], variables: &str, resources: &[String], outputs: &[String]) -> String {
    let parameters: Vec<String> = parameters
        .iter()
        .map(|(name, kind, description)| {
            format!(
                "    {}: {{\n      \"type\": {},\n      \"metadata\": {{ \"description\": {} }}\n    }}",
                json(name),
                json(kind),
                json(description)
            )
        })
        .collect();
    let resources: Vec<String> = resources.iter().map(|text| indent(text, 4).trim_end().to_owned()).collect();
    let variables =
        if variables.is_empty() { String::new() } else { format!("  \"variables\": {{\n{variables}\n  }},\n") };
    let outputs =
        if outputs.is_empty() { String::new() } else { format!(",\n  \"outputs\": {{\n{}\n  }}", outputs.join(",\n")) };
    format!(
        "{{\n  \"$schema\": {},\n  \"contentVersion\": \"1.0.0.0\",\n  \"parameters\": {{\n{}\n  }},\n{variables}  \"resources\": [\n{}\n  \
         ]{outputs}\n}}\n",
        json(TEMPLATE),
        parameters.join(",\n"),
        resources.join(",\n"),
    )
}

/// A conditional part of a Terraform template, decided here.
fn chosen(text: &str, opening: &str, closing: &str, holds: bool) -> String {
    match text.split_once(opening).and_then(|(before, rest)| Some((before, rest.split_once(closing)?))) {
        Some((before, (part, after))) => format!("{before}{}{after}", if holds { part } else { "" }),
        None => text.to_owned(),
    }
}

fn parameter_file(values: &[(&str, String)]) -> String {
    let values: Vec<String> = values
        .iter()
        .map(|(name, value)| format!("    {}: {{\n      \"value\": {value}\n    }}", json(name)))
        .collect();
    format!(
        "{{\n  \"$schema\": {},\n  \"contentVersion\": \"1.0.0.0\",\n  \"parameters\": {{\n{}\n  }}\n}}\n",
        json(PARAMETERS),
        values.join(",\n")
    )
}
