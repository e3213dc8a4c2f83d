//! What is global, in a resource group outside the regions that it protects: Cosmos DB, storage accounts, Traffic Manager.

use lifeboat_model::app::Kind;

use super::region::built_in;
use super::template::{Nested, ROLES, Template, unique_variable};
use super::{
    ACTION_GROUPS, Templates, UNIQUE, consistency, has_lag_metric, needed, storage_redundancy, throughput,
    writes_everywhere,
};
use crate::backups::CONTAINER;
use crate::design::{Part, plain, short};
use crate::fragment::{fill, json};

/// Storage Blob Data Contributor.
const BLOB_CONTRIBUTOR: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";

impl Templates<'_> {
    /// `None`: the app has nothing of the kind.
    pub(super) fn global(&self) -> Option<String> {
        let mut template =
            Template { parameters: vec![ROLES], variables: vec![unique_variable()], ..Template::default() };
        for part in &self.parts {
            if let Some(name) = self.account(part) {
                template.variables.push((format!("account-{}", part.id), json(&name)));
            }
            match part.component.kind {
                Kind::Cosmosdb => {
                    let names: Vec<String> = part.regions.iter().map(|id| format!("'{id}'")).collect();
                    let writer = format!(
                        "[indexOf(createArray({}), parameters('roles').writers['{}'])]",
                        names.join(", "),
                        part.id
                    );
                    template.variables.push((format!("writer-{}", part.id), json(&writer)));
                    template.resources.push(self.cosmos(part));
                    if has_lag_metric(part) {
                        template.resources.push(lag_alert(part));
                        if !template.parameters.contains(&ACTION_GROUPS) {
                            template.parameters.push(ACTION_GROUPS);
                        }
                    }
                }
                Kind::AzureStorage => template.resources.push(self.storage(part)),
                _ => {}
            }
        }
        template.resources.extend(self.access());
        if self.has(Kind::AzureStorage) {
            template.variables.push(("blobContributor".into(), built_in(BLOB_CONTRIBUTOR)));
        }
        template.resources.extend(self.ways.iter().flat_map(|way| self.traffic_managers(way)));
        let aliases: Vec<String> = self.ways.iter().filter_map(|way| Self::alias(way)).collect();
        if !aliases.is_empty() {
            template.parameters.push((
                "dnsResourceGroup",
                "string",
                "Resource group of the DNS zones, outside the regions of the app.",
            ));
            let nested = Nested {
                name: &format!("{}-routes", self.app()),
                comments: "The names by which clients know the routes.",
                condition: "",
                group: "[parameters('dnsResourceGroup')]",
                parameters: &[("unique", "string", "[variables('unique')]")],
                resources: aliases,
                depends: &[],
            };
            template.resources.push(nested.render());
        }
        (!template.resources.is_empty()).then(|| template.render())
    }

    /// The name of a global account, as an expression.
    pub(super) fn account(&self, part: &Part) -> Option<String> {
        let (pattern, name) = match part.component.kind {
            Kind::Cosmosdb => ("-{0}", short(&format!("{}-{}", self.app(), part.id), 44 - UNIQUE - 1)),
            // Letters and digits only.
            Kind::AzureStorage => ("{0}", plain(&format!("{}{}", self.app(), part.id), 24 - UNIQUE)),
            _ => return None,
        };
        Some(format!("[format('{name}{pattern}', variables('unique'))]"))
    }

    /// What components may do with the accounts that they need.
    fn access(&self) -> Vec<String> {
        let mut all = Vec::new();
        for part in self.parts.iter().filter(|part| matches!(part.component.kind, Kind::Vmss | Kind::Aks)) {
            for site in self.sites.iter().filter(|site| part.regions.contains(&site.id)) {
                for database in needed(self.design, part, site) {
                    let fragment = match database.component.kind {
                        Kind::Cosmosdb => include_str!("cosmosdb-access.json"),
                        Kind::AzureStorage => include_str!("storage-access.json"),
                        _ => continue,
                    };
                    let identity =
                        format!("format('{}-{{0}}', variables('unique'))", self.design.full_name(part, site.id));
                    all.push(fill(
                        fragment,
                        &[
                            ("database", database.id.as_str()),
                            ("group", &format!("{}-{}", self.app(), site.id)),
                            ("identity", &identity),
                        ],
                    ));
                }
            }
        }
        all
    }

    fn storage(&self, part: &Part) -> String {
        let home = self.design.site(part.home);
        let redundancy = home.map_or("LRS", |home| storage_redundancy(part, home));
        let comment = match redundancy {
            "RAGZRS" | "RAGRS" => "Copied to the paired region and readable there at all times.",
            "GZRS" | "GRS" => "Copied to the paired region; readable there after a failover of the account.",
            _ => "Its region has no pair to which Azure could copy it.",
        };
        fill(
            include_str!("azure-storage.json"),
            &[
                ("id", part.id.as_str()),
                ("comment", comment),
                ("location", &json(home.map_or("", |site| site.place()))),
                ("redundancy", &format!("Standard_{redundancy}")),
                ("container", CONTAINER),
                ("subnets", &self.subnets(6)),
            ],
        )
    }

    /// Where clients of a database may be: anywhere that the app runs.
    fn subnets(&self, depth: usize) -> String {
        let space = " ".repeat(depth);
        let subnets: Vec<String> = self
            .sites
            .iter()
            .flat_map(|site| {
                let cluster = self.has_cluster(site).then_some("clusters");
                std::iter::once("compute").chain(cluster).map(|subnet| (site.id, subnet))
            })
            .map(|(id, subnet)| {
                format!(
                    "\n{space}  {{ \"id\": \"[resourceId('{app}-{id}', 'Microsoft.Network/virtualNetworks/subnets', '{app}-{id}', '{subnet}')]\" }}",
                    app = self.app(),
                )
            })
            .collect();
        format!("[{}\n{space}]", subnets.join(","))
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
        let level = consistency(part);
        let (bounds, comment) = match level {
            "Session" => ("", "Every region writes; conflicts go to the newest write."),
            "Strong" => (
                "",
                "Strong: nothing acknowledged is lost. With two regions the loss of the reading one stops writes; three regions do not.",
            ),
            _ => (
                ", \"maxIntervalInSeconds\": 300, \"maxStalenessPrefix\": 100000",
                "One region writes. Service-managed failover is off: the provider may take an hour or decline.",
            ),
        };
        let conflicts = if multiple {
            ",\n      \"conflictResolutionPolicy\": { \"mode\": \"LastWriterWins\", \"conflictResolutionPath\": \"/_ts\" }"
        } else {
            ""
        };
        let first = part.regions.first().and_then(|id| self.design.site(id)).map_or("", |site| site.place());
        fill(
            include_str!("cosmosdb.json"),
            &[
                ("id", part.id.as_str()),
                ("first", &json(first)),
                ("locations", &format!("[{}\n    ]", locations.join(","))),
                ("multiple", if multiple { "true" } else { "false" }),
                ("subnets", &self.subnets(4)),
                ("consistency", &format!("\"defaultConsistencyLevel\": \"{level}\"{bounds}")),
                ("throughput", &throughput(part).to_string()),
                ("comment", comment),
                ("conflicts", conflicts),
            ],
        )
    }
}

fn lag_alert(part: &Part) -> String {
    fill(
        include_str!("metric-alert.json"),
        &[
            ("name", &format!("variables('account-{}')", part.id)),
            ("comments", "Between any two of its regions."),
            ("condition", ""),
            ("type", "Microsoft.DocumentDB/databaseAccounts"),
            ("metric", "ReplicationLatency"),
            ("threshold", &part.lag_alarm().as_millis().to_string()),
        ],
    )
}
