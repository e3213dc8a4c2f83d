//! What no schema says: what Azure would refuse, cut off or lose of a deployment. The same as is asked of Terraform's code.

use std::collections::BTreeSet;

use lifeboat_iac::Tree;
use lifeboat_model::App;
use lifeboat_model::app::{CheckTarget, Kind, Pattern, Provider, RegionRole};
use serde_json::{Value as Json, json};

use super::deployment::Subscription;

/// The first digits of the subscription.
pub const UNIQUE: &str = "000000";

/// Azure Kubernetes Service RBAC Cluster Admin.
pub const CLUSTER_ADMIN: &str = "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b";

const SETS: &str = "Microsoft.Compute/virtualMachineScaleSets";
const BALANCERS: &str = "Microsoft.Network/loadBalancers";
const ASSIGNMENTS: &str = "Microsoft.Authorization/roleAssignments";

fn all<'a>(made: &'a Subscription, kind: &'a str) -> impl Iterator<Item = (&'a String, &'a Json)> {
    made.resources.iter().filter(move |(_, one)| one["type"].as_str().unwrap().eq_ignore_ascii_case(kind))
}

fn list(value: &Json) -> &[Json] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn configuration(set: &Json) -> &Json {
    let interface = &set["properties"]["virtualMachineProfile"]["networkProfile"]["networkInterfaceConfigurations"][0];
    &interface["properties"]["ipConfigurations"][0]["properties"]
}

fn pools(set: &Json) -> Vec<&str> {
    list(&configuration(set)["loadBalancerBackendAddressPools"])
        .iter()
        .map(|pool| pool["id"].as_str().unwrap())
        .collect()
}

/// The load balancer that a pool, a probe or a front is of.
fn whole(part: &str) -> &str {
    part.rsplitn(3, '/').nth(2).unwrap()
}

fn is_public(balancer: &Json) -> bool {
    list(&balancer["properties"]["frontendIPConfigurations"])
        .iter()
        .any(|one| !one["properties"]["publicIPAddress"].is_null())
}

fn custom_data(set: &Json) -> Option<&str> {
    set["properties"]["virtualMachineProfile"]["osProfile"]["customData"].as_str()
}

/// Whether it is the machine of a region's Lifeboat node.
fn is_node(set: &Json) -> bool {
    set["name"].as_str().unwrap().ends_with("-lifeboat")
}

/// What a node's machine runs at boot.
fn script(set: &Json) -> Option<String> {
    if is_node(set) { decoded(set) } else { None }
}

fn decoded(set: &Json) -> Option<String> {
    let text = custom_data(set)?;
    let bytes: Vec<u8> = text.bytes().filter(|byte| *byte != b'=').collect();
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut out = Vec::new();
    for chunk in bytes.chunks(4) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 6 | u32::from(digit(*byte))) << (6 * (4 - chunk.len()));
        out.extend_from_slice(&bits.to_be_bytes()[1..chunk.len()]);
    }
    Some(String::from_utf8(out).unwrap())
}

fn machines(made: &Subscription) -> Vec<String> {
    let mut found = Vec::new();
    for (id, set) in all(made, SETS) {
        if is_node(set) && set["properties"]["upgradePolicy"]["mode"] != "Manual" {
            found.push(format!("{id} is upgraded by itself"));
        }
    }
    let sets = all(made, SETS).map(|(id, set)| (id, configuration(set)["subnet"]["id"].as_str().unwrap()));
    let clusters = all(made, "Microsoft.ContainerService/managedClusters").flat_map(|(id, cluster)| {
        list(&cluster["properties"]["agentPoolProfiles"])
            .iter()
            .map(move |pool| (id, pool["vnetSubnetID"].as_str().unwrap()))
    });
    for (id, subnet) in sets.chain(clusters) {
        let network = &made.resources[whole(subnet)];
        let subnet = list(&network["properties"]["subnets"])
            .iter()
            .find(|one| Some(one["name"].as_str().unwrap()) == subnet.rsplit('/').next());
        let gateway = subnet.and_then(|subnet| made.resources.get(subnet["properties"]["natGateway"]["id"].as_str()?));
        if gateway.is_none_or(|gateway| list(&gateway["properties"]["publicIpAddresses"]).is_empty()) {
            found.push(format!("{id} has no way out"));
        }
        let is_cluster = id.contains("managedClusters");
        if subnet.is_some_and(|subnet| (subnet["name"] == "clusters") != is_cluster) {
            found.push(format!("{id} is in the wrong subnet"));
        }
    }
    found
}

/// Routes whose health checkers do not reach the region's node at the address that clients use.
fn unsteered(app: &App, made: &Subscription) -> Vec<String> {
    let mut found = Vec::new();
    for (id, set) in all(made, SETS) {
        let Some(script) = script(set) else { continue };
        let public: Vec<&Json> =
            pools(set).into_iter().map(|pool| &made.resources[whole(pool)]).filter(|one| is_public(one)).collect();
        if public.len() > 1 || !script.contains("--listen 0.0.0.0 ") {
            found.push(format!("{id}: {} public load balancers", public.len()));
        }
        if script.contains("DNSStubListener=no") != (app.dns.port == 53) {
            found.push(format!("{id}: two servers at one port"));
        }
        let fronts = public.first().map_or(0, |one| list(&one["properties"]["frontendIPConfigurations"]).len());
        let taken = script.lines().find_map(|line| line.strip_prefix("for address in ")?.strip_suffix("; do")).unwrap();
        if taken.split(' ').count() != fronts + 1 {
            found.push(format!("{id} has {taken}, with {fronts} public addresses"));
        }
    }
    for (id, profile) in all(made, "Microsoft.Network/trafficmanagerprofiles") {
        for endpoint in list(&profile["properties"]["endpoints"]) {
            let is_geographic = profile["properties"]["trafficRoutingMethod"] == "Geographic";
            let behind = endpoint["properties"]["targetResourceId"].as_str().and_then(|id| made.resources.get(id));
            let goes_on = |one: &Json| {
                ["Priority", "Performance"].contains(&one["properties"]["trafficRoutingMethod"].as_str().unwrap())
            };
            if is_geographic != behind.is_some_and(goes_on) {
                found.push(format!("{id}: clients get what is down, for nothing behind {} goes on", endpoint["name"]));
            }
            if is_geographic {
                continue;
            }
            let target = endpoint["properties"]["target"].as_str().unwrap();
            let address = all(made, "Microsoft.Network/publicIPAddresses").find(|(_, address)| {
                let label = address["properties"]["dnsSettings"]["domainNameLabel"].as_str();
                let place = address["location"].as_str().unwrap();
                label.is_some_and(|label| target == format!("{label}.{place}.cloudapp.azure.com"))
            });
            let reached = address.is_some_and(|(address, _)| {
                all(made, BALANCERS).any(|(balancer, one)| {
                    let mut fronts = list(&one["properties"]["frontendIPConfigurations"]).iter();
                    let front = fronts.find(|front| front["properties"]["publicIPAddress"]["id"] == json!(address));
                    let Some(front) = front else { return false };
                    let front = format!("{balancer}/frontendIPConfigurations/{}", front["name"].as_str().unwrap());
                    list(&one["properties"]["loadBalancingRules"]).iter().map(|rule| &rule["properties"]).any(|rule| {
                        let pool = rule["backendAddressPool"]["id"].as_str().unwrap();
                        let is_behind = |(_, set): (&String, &Json)| is_node(set) && pools(set).contains(&pool);
                        rule["frontendIPConfiguration"]["id"] == json!(front)
                            && rule["frontendPort"] == profile["properties"]["monitorConfig"]["port"]
                            && rule["enableFloatingIP"] == true
                            && all(made, SETS).any(is_behind)
                    })
                })
            });
            if !reached {
                found.push(format!("{id}: no node answers at {target}"));
            }
        }
    }
    found
}

fn databases(made: &Subscription) -> Vec<String> {
    let mut found = Vec::new();
    for kind in [
        "Microsoft.DBforPostgreSQL/flexibleServers",
        "Microsoft.Sql/servers",
        "Microsoft.DocumentDB/databaseAccounts",
        "Microsoft.Storage/storageAccounts",
    ] {
        for (id, _) in all(made, kind) {
            let lock = made.resources.get(&format!("{id}/providers/Microsoft.Authorization/locks/lifeboat"));
            if lock.is_none_or(|lock| lock["properties"]["level"] != "CanNotDelete") {
                found.push(format!("{id} has no lock"));
            }
        }
    }
    found
}

/// Names that somebody else in the world may have already.
fn taken_names(made: &Subscription) -> Vec<String> {
    let mut found = Vec::new();
    for (kind, longest) in [
        ("Microsoft.DocumentDB/databaseAccounts", 44),
        ("Microsoft.KeyVault/vaults", 24),
        ("Microsoft.Sql/servers", 63),
        ("Microsoft.Sql/servers/failoverGroups", 63),
        ("Microsoft.DBforPostgreSQL/flexibleServers", 63),
        ("Microsoft.DBforPostgreSQL/flexibleServers/virtualendpoints", 63),
        ("Microsoft.ManagedIdentity/userAssignedIdentities", 128),
        ("Microsoft.Storage/storageAccounts", 24),
        ("Microsoft.Network/trafficmanagerprofiles", 63),
    ] {
        let names = all(made, kind).map(|(_, one)| one["name"].as_str().unwrap().rsplit('/').next().unwrap());
        found.extend(
            names.filter(|name| !name.ends_with(UNIQUE) || name.len() > longest).map(|name| format!("{kind}: {name}")),
        );
    }
    for (id, address) in all(made, "Microsoft.Network/publicIPAddresses") {
        let label = address["properties"]["dnsSettings"]["domainNameLabel"].as_str().unwrap_or(UNIQUE);
        if !label.ends_with(UNIQUE) || label.len() > 63 {
            found.push(format!("{id}: {label}"));
        }
    }
    for (id, role) in all(made, "Microsoft.Authorization/roleDefinitions") {
        if !role["properties"]["roleName"].as_str().unwrap().ends_with(UNIQUE) {
            found.push(id.clone());
        }
    }
    found
}

/// Components that cannot log in to what they need, and administrators who cannot let them.
fn locked_out(app: &App, tree: &Tree, made: &Subscription) -> Vec<String> {
    let mut found = Vec::new();
    for (id, component) in app.components.iter().filter(|(_, one)| matches!(one.kind, Kind::Vmss | Kind::Aks)) {
        let here: Vec<&lifeboat_model::RegionId> = if component.regions.is_empty() {
            app.data_regions().collect()
        } else {
            component.regions.iter().collect()
        };
        let pods = app.components.values().filter(|pod| component.kind == Kind::Aks && pod.kind == Kind::Deployment);
        let needs: BTreeSet<_> = component.needs.iter().chain(pods.flat_map(|pod| &pod.needs)).collect();
        for region in here.into_iter().filter(|region| app.regions[*region].place.provider == Provider::Azure) {
            let whom = format!("{}-{id}-{region}-{UNIQUE}", app.name);
            let identity = all(made, "Microsoft.ManagedIdentity/userAssignedIdentities")
                .find(|(_, one)| one["name"] == json!(whom));
            let Some((identity, _)) = identity else {
                found.push(format!("{id} is nobody in {region}"));
                continue;
            };
            let set = json!(format!("{}-{id}-{region}", app.name));
            for (path, set) in all(made, SETS).filter(|(_, one)| one["name"] == set) {
                if set["identity"]["userAssignedIdentities"].get(identity).is_none() {
                    found.push(format!("{path} is not {whom}"));
                }
            }
            let principal = json!(format!("principal of {identity}"));
            let granted = |kind: &str| all(made, kind).any(|(_, one)| one["properties"]["principalId"] == principal);
            let said = |statement: &str| {
                tree.files["README.md"].contains(statement)
                    && tree.files["README.md"].contains(&format!("{}-{id}-{region}-UNIQUE", app.name))
            };
            for need in &needs {
                let may = match app.components[*need].kind {
                    Kind::Cosmosdb => granted("Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments"),
                    Kind::AzureStorage => granted(ASSIGNMENTS),
                    Kind::AzureSql => said("FROM EXTERNAL PROVIDER"),
                    Kind::AzurePostgres => said("pgaadauth_create_principal"),
                    _ => true,
                };
                if !may {
                    found.push(format!("{id} in {region} may not read {need}"));
                }
            }
        }
    }
    for (id, component) in app.components.iter().filter(|(_, one)| one.kind == Kind::AzurePostgres) {
        let writer = format!("{}-{id}-{}-{UNIQUE}", app.name, component.writer.as_ref().unwrap());
        let kind = "Microsoft.DBforPostgreSQL/flexibleServers/administrators";
        let on: Vec<&str> =
            all(made, kind).map(|(_, one)| one["name"].as_str().unwrap().split('/').next().unwrap()).collect();
        if !on.contains(&writer.as_str())
            || on.len() != app.components.values().filter(|one| one.kind == Kind::AzurePostgres).count()
        {
            found.push(format!("administrators of {on:?} instead of {writer}"));
        }
    }
    for (id, _) in all(made, "Microsoft.KeyVault/vaults") {
        let officer = |(at, one): (&String, &Json)| {
            at.starts_with(&format!("{id}/"))
                && one["properties"]["roleDefinitionId"]
                    .as_str()
                    .unwrap()
                    .ends_with("b86a8fe4-44ce-4948-aee5-eccb2c155cd7")
        };
        if !all(made, ASSIGNMENTS).any(officer) {
            found.push(format!("nobody may write into {id}"));
        }
    }
    found
}

/// What is open to the world though no route leads there, or shut though one does, or asked in another way than it answers.
fn doors(app: &App, made: &Subscription) -> Vec<String> {
    let mut found = Vec::new();
    let routed: BTreeSet<&str> = app.routes.values().map(|route| route.to.as_str()).collect();
    for (id, component) in app.components.iter().filter(|(_, one)| one.kind == Kind::Vmss) {
        for (path, set) in all(made, SETS) {
            let pool = pools(set).into_iter().find(|pool| pool.ends_with(&format!("/backendAddressPools/{id}")));
            let Some(pool) = pool else { continue };
            let balancer = &made.resources[whole(pool)];
            if is_public(balancer) != routed.contains(id.as_str()) {
                found.push(format!("{path} is public or not, against its routes"));
            }
            let probe =
                &list(&balancer["properties"]["probes"]).iter().find(|one| one["name"] == json!(id.as_str())).unwrap()
                    ["properties"];
            let mut rules = list(&balancer["properties"]["loadBalancingRules"]).iter();
            let rule = &rules.find(|one| one["name"] == json!(id.as_str())).unwrap()["properties"];
            let expected = match component.check.as_ref().map(|check| &check.target) {
                Some(CheckTarget::Https { .. }) => Some(("Https", 443)),
                Some(CheckTarget::Http(_)) => Some(("Http", 80)),
                _ => None,
            };
            let asked = (probe["protocol"].as_str().unwrap(), rule["frontendPort"].as_i64().unwrap());
            if expected.is_some_and(|expected| expected != asked) {
                found.push(format!("{path} is asked by {asked:?}"));
            }
        }
    }
    for (id, group) in all(made, "Microsoft.Network/networkSecurityGroups") {
        let rules = list(&group["properties"]["securityRules"]).iter();
        let open: BTreeSet<&str> = rules
            .flat_map(|rule| list(&rule["properties"]["destinationPortRanges"]))
            .filter_map(Json::as_str)
            .collect();
        let of = |kind: Kind| routed.iter().filter(move |id| app.components[**id].kind == kind);
        let votes = app
            .regions
            .iter()
            .any(|(region, one)| one.role == RegionRole::Witness && id.ends_with(&format!("-{region}")));
        let expected: BTreeSet<String> = if votes {
            BTreeSet::new()
        } else if id.ends_with("-clusters") {
            of(Kind::Deployment).map(|_| "443".to_owned()).collect()
        } else {
            let api = app.regions.values().next().unwrap().api_port;
            let ports = of(Kind::Vmss).map(|id| app.components[*id].port.unwrap());
            ports.chain(of(Kind::Vmss).next().map(|_| api)).map(|port| port.to_string()).collect()
        };
        if open != expected.iter().map(String::as_str).collect() {
            found.push(format!("{id} is open at {open:?}, not {expected:?}"));
        }
    }
    found
}

/// Data of which a mistake would leave nothing, or nothing outside its region; backups that cannot be made.
fn unsaved(app: &App, made: &Subscription) -> Vec<String> {
    let mut found = Vec::new();
    let vaults = "Microsoft.DataProtection/backupVaults";
    for (id, vault) in all(made, vaults) {
        let properties = &vault["properties"];
        let right = properties["storageSettings"][0]["type"] == "GeoRedundant"
            && properties["featureSettings"]["crossRegionRestoreSettings"]["state"] == "Enabled"
            && properties["securitySettings"]["softDeleteSettings"]["state"] == "On"
            && properties["securitySettings"]["immutabilitySettings"]["state"] == "Unlocked"
            && properties["monitoringSettings"]["azureMonitorAlertSettings"]["alertsForAllJobFailures"] == "Enabled"
            && id.contains(&format!("/resourceGroups/{}-global/", app.name));
        if !right {
            found.push(format!("{id}: {properties}"));
        }
    }
    let instances: Vec<(&String, &Json)> = all(made, "Microsoft.DataProtection/backupVaults/backupInstances").collect();
    let writes = |id: &&String| {
        let mut servers = app.components.iter().filter(|(_, one)| one.kind == Kind::AzurePostgres);
        servers.any(|(component, one)| {
            id.ends_with(&format!("/{}-{component}-{}-{UNIQUE}", app.name, one.writer.as_ref().unwrap()))
        })
    };
    let accounts =
        all(made, "Microsoft.Storage/storageAccounts").map(|source| (source, "e5e2a7ff-d759-4cd2-bb51-3152d37e2eb1"));
    let servers = all(made, "Microsoft.DBforPostgreSQL/flexibleServers")
        .filter(|(id, _)| writes(id))
        .map(|source| (source, "c088a766-074b-43ba-90d4-1fb21feae531"));
    let mut backed_up = 0;
    for ((id, source), role) in accounts.chain(servers) {
        let instance = instances.iter().find(|(_, one)| one["properties"]["dataSourceInfo"]["resourceID"] == json!(id));
        let Some((instance, properties)) = instance.map(|(id, one)| (*id, &one["properties"])) else {
            found.push(format!("{id} is not backed up"));
            continue;
        };
        backed_up += 1;
        let vault = whole(instance);
        if made.resources[vault]["location"] != source["location"] {
            found.push(format!("{id} is backed up into {}", made.resources[vault]["location"]));
        }
        let policy = properties["policyInfo"]["policyId"].as_str().unwrap();
        if whole(policy) != vault || !made.resources.contains_key(policy) {
            found.push(format!("{id} is backed up by no policy of its vault"));
        }
        let principal = json!(format!("principal of {vault}"));
        let may = |scope: &str, role: &str| {
            all(made, ASSIGNMENTS).any(|(at, one)| {
                at.starts_with(&format!("{scope}/providers/Microsoft.Authorization/"))
                    && one["properties"]["principalId"] == principal
                    && one["properties"]["roleDefinitionId"].as_str().unwrap().ends_with(role)
            })
        };
        let group = id.split("/providers/").next().unwrap();
        let finds = id.contains("/storageAccounts/") || may(group, "acdd72a7-3385-48ef-bd42-f606fba81ae7");
        if !may(id, role) || !finds {
            found.push(format!("the vault may not back {id} up"));
        }
        for container in
            list(&properties["policyInfo"]["policyParameters"]["backupDatasourceParametersList"][0]["containersList"])
        {
            let container = format!("{id}/blobServices/default/containers/{}", container.as_str().unwrap());
            if !made.resources.contains_key(&container) || source["properties"]["allowCrossTenantReplication"] != true {
                found.push(format!("the vault cannot take {container}"));
            }
        }
    }
    if backed_up != instances.len() {
        found.push(format!("{} backups of {backed_up} sources", instances.len()));
    }
    for (id, database) in all(made, "Microsoft.Sql/servers/databases") {
        let weekly = made.resources.get(&format!("{id}/backupLongTermRetentionPolicies/default"));
        if database["properties"]["requestedBackupStorageRedundancy"] != "Geo"
            || weekly.is_none_or(|policy| policy["properties"]["weeklyRetention"].is_null())
        {
            found.push(format!("{id} keeps nothing"));
        }
    }
    found
}

/// Clusters that nobody gets into, or that are called otherwise than those who look for them think.
fn shut(app: &App, made: &Subscription) -> Vec<String> {
    let mut found = Vec::new();
    for (id, cluster) in all(made, "Microsoft.ContainerService/managedClusters") {
        let on = format!("{id}/providers/Microsoft.Authorization/");
        let admits = all(made, ASSIGNMENTS).any(|(at, one)| {
            at.starts_with(&on)
                && one["properties"]["principalId"] == "00000000-0000-0000-0000-000000000003"
                && one["properties"]["roleDefinitionId"].as_str().unwrap().ends_with(CLUSTER_ADMIN)
        });
        if !admits {
            found.push(format!("nobody gets into {id}"));
        }
        let name = cluster["name"].as_str().unwrap();
        let mut clusters = app.components.iter().filter(|(_, one)| one.kind == Kind::Aks).map(|(id, _)| id);
        let of_region = |id: &lifeboat_model::ComponentId| {
            app.regions.keys().any(|region| name == format!("{}-{id}-{region}", app.name))
        };
        if !clusters.any(of_region) {
            found.push(format!("nobody looks for {name}"));
        }
    }
    found
}

/// Machines that are not told where something is that they need, or of something that is not there.
fn untold(app: &App, made: &Subscription) -> Vec<String> {
    let mut found = Vec::new();
    for (path, set) in all(made, SETS).filter(|(_, set)| !is_node(set)) {
        let name = set["name"].as_str().unwrap();
        let script = decoded(set).unwrap_or_default();
        let (id, component) = app
            .components
            .iter()
            .find(|(id, one)| one.kind == Kind::Vmss && name.starts_with(&format!("{}-{id}-", app.name)))
            .unwrap();
        if !script.contains(&format!("\n- path: /etc/default/{id}\n")) {
            found.push(format!("{path} is told nothing: {script}"));
        }
        let told = |name: String| {
            let value = script.lines().find_map(|line| line.strip_prefix(&format!("    {name}=")));
            value.map(|value| value.split("://").last().unwrap().to_owned())
        };
        let here = |kinds: &[&str], name: &str, after: &str| {
            let known = |kind: &&str| {
                all(made, kind).any(|(id, _)| format!("{}{after}", id.rsplit('/').next().unwrap()) == name)
            };
            kinds.iter().any(known)
        };
        for need in &component.needs {
            let prefix = need.as_str().to_uppercase().replace('-', "_");
            let value = |what: &str| told(format!("{prefix}_{what}")).unwrap_or_default();
            let holds = match app.components[need].kind {
                Kind::AzureSql => here(
                    &["Microsoft.Sql/servers", "Microsoft.Sql/servers/failoverGroups"],
                    &value("HOST"),
                    ".database.windows.net",
                ),
                Kind::AzurePostgres => {
                    here(&["Microsoft.DBforPostgreSQL/flexibleServers"], &value("HOST"), ".postgres.database.azure.com")
                        || here(
                            &["Microsoft.DBforPostgreSQL/flexibleServers/virtualendpoints"],
                            &value("HOST"),
                            ".writer.postgres.database.azure.com",
                        )
                }
                Kind::Cosmosdb => {
                    here(&["Microsoft.DocumentDB/databaseAccounts"], &value("URL"), ".documents.azure.com:443/")
                }
                Kind::AzureStorage => {
                    here(&["Microsoft.Storage/storageAccounts"], &value("URL"), ".blob.core.windows.net/")
                }
                Kind::Vmss => {
                    let host = value("HOST");
                    host == "10.0.0.4" || app.routes.iter().any(|(name, to)| to.to == *need && name.as_str() == host)
                }
                _ => true,
            };
            if !holds {
                found.push(format!("{path} is told wrongly of {prefix}: {script}"));
            }
        }
        let identity = format!("{}/providers/Microsoft.ManagedIdentity/", path.split("/providers/").next().unwrap());
        if !script.contains(&format!("    AZURE_CLIENT_ID=client of {identity}")) {
            found.push(format!("{path} does not know who it is: {script}"));
        }
    }
    found
}

/// Copies of whose lag nobody is told, though Azure measures it.
fn unalarmed(app: &App, made: &Subscription) -> Vec<String> {
    let mut found = Vec::new();
    let alerts: Vec<&Json> = all(made, "Microsoft.Insights/metricAlerts").map(|(_, one)| &one["properties"]).collect();
    for component in app.components.values() {
        let rpo = component.objectives.rpo.filter(|rpo| rpo.as_secs() > 0).map_or(5, |rpo| rpo.as_secs());
        let strong = component.standbys.values().any(|mode| *mode == lifeboat_model::app::Replication::Synchronous);
        let (kind, metric, threshold) = match component.kind {
            Kind::AzurePostgres if component.pattern != Some(Pattern::BackupRestore) => {
                ("Microsoft.DBforPostgreSQL/flexibleServers", "physical_replication_delay_in_seconds", rpo)
            }
            Kind::Cosmosdb if !strong => ("Microsoft.DocumentDB/databaseAccounts", "ReplicationLatency", rpo * 1000),
            _ => continue,
        };
        for (id, _) in all(made, kind) {
            let is_told = |alert: &&Json| {
                let criterion = &alert["criteria"]["allOf"][0];
                alert["scopes"] == json!([id])
                    && criterion["metricName"] == metric
                    && criterion["threshold"] == json!(threshold)
                    && !list(&alert["actions"]).is_empty()
            };
            if !alerts.iter().any(is_told) {
                found.push(format!("nobody is told of the lag of {id}: {alerts:?}"));
            }
        }
    }
    found
}

pub fn mistakes(app: &App, tree: &Tree, made: &Subscription) -> Vec<String> {
    [
        untold(app, made),
        unalarmed(app, made),
        shut(app, made),
        machines(made),
        unsteered(app, made),
        databases(made),
        taken_names(made),
        locked_out(app, tree, made),
        doors(app, made),
        unsaved(app, made),
    ]
    .concat()
}
