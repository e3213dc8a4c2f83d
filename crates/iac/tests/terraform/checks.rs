//! The checks of [`super`]: each finds what Azure would refuse, cut off or lose in what was applied.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_iac::Tree;
use lifeboat_model::App;
use lifeboat_model::app::{CheckTarget, Kind, Provider, RegionRole};
use serde_json::{Value as Json, json};

use super::super::Workspace;
use crate::common::boot;

/// The first digits of the example's subscription.
const UNIQUE: &str = "000000";

/// Everything that was applied, by its address.
pub(super) struct Applied {
    resources: BTreeMap<String, (String, Json)>,
}

impl Applied {
    pub(super) fn of(workspace: &Workspace) -> Self {
        let state: Json = serde_json::from_slice(&workspace.run(&["show", "-json", "-no-color"]).stdout).unwrap();
        let mut resources = BTreeMap::new();
        let mut modules = vec![&state["values"]["root_module"]];
        while let Some(module) = modules.pop() {
            modules.extend(module["child_modules"].as_array().into_iter().flatten());
            for resource in module["resources"].as_array().into_iter().flatten() {
                let kind = resource["type"].as_str().unwrap().to_owned();
                resources.insert(resource["address"].as_str().unwrap().to_owned(), (kind, resource["values"].clone()));
            }
        }
        Self { resources }
    }

    fn all(&self, kind: &str) -> impl Iterator<Item = (&str, &Json)> {
        let of_kind = move |(_, (found, _)): &(&String, &(String, Json))| found == kind;
        self.resources.iter().filter(of_kind).map(|(address, (_, values))| (address.as_str(), values))
    }

    /// Of a kind those that say this of themselves.
    fn with<'a>(&'a self, kind: &'a str, attribute: &'a str, value: &'a Json) -> impl Iterator<Item = &'a Json> {
        self.all(kind).map(|(_, values)| values).filter(move |values| values[attribute] == *value)
    }

    /// The machines of Lifeboat's nodes, with what they run at boot.
    fn nodes(&self) -> Vec<(&str, &Json, String)> {
        let script = |values: &Json| Some(boot::decoded(values["custom_data"].as_str()?));
        self.all("azurerm_linux_virtual_machine_scale_set")
            .filter(|(address, _)| address.starts_with("module.node_"))
            .filter_map(|(address, values)| Some((address, values, script(values)?)))
            .collect()
    }

    /// The pools that a scale set's machines are in.
    fn pools<'a>(&self, set: &'a Json) -> &'a [Json] {
        let configuration = &set["network_interface"][0]["ip_configuration"][0];
        configuration["load_balancer_backend_address_pool_ids"].as_array().map_or(&[], Vec::as_slice)
    }

    fn balancer_of(&self, pool: &Json) -> &Json {
        let (_, pool) = self.all("azurerm_lb_backend_address_pool").find(|(_, one)| one["id"] == *pool).unwrap();
        self.all("azurerm_lb").map(|(_, balancer)| balancer).find(|one| one["id"] == pool["loadbalancer_id"]).unwrap()
    }

    fn is_public(balancer: &Json) -> bool {
        balancer["frontend_ip_configuration"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| !one["public_ip_address_id"].is_null())
    }
}

/// A change of the app's file, which machines boot with, makes no machine anew by itself.
fn rolling(tree: &Tree, applied: &Applied) -> Vec<String> {
    let mut found = Vec::new();
    for feature in ["reimage_on_manual_upgrade", "roll_instances_when_required"] {
        let says = |line: &str| line.split_whitespace().eq([feature, "=", "false"]);
        if !tree.files["terraform/azure/versions.tf"].lines().any(says) {
            found.push(format!("{feature} is on"));
        }
    }
    for (address, values, _) in applied.nodes() {
        if values["upgrade_mode"] != "Manual" {
            found.push(format!("{address} is upgraded by itself"));
        }
    }
    found
}

/// Machines in a subnet from which nothing outside is reached.
fn cut_off(applied: &Applied) -> Vec<String> {
    let sets = applied.all("azurerm_linux_virtual_machine_scale_set");
    let mut used: Vec<(&str, &Json)> = sets
        .map(|(address, set)| (address, &set["network_interface"][0]["ip_configuration"][0]["subnet_id"]))
        .collect();
    let clusters = applied.all("azurerm_kubernetes_cluster");
    used.extend(clusters.map(|(address, cluster)| (address, &cluster["default_node_pool"][0]["vnet_subnet_id"])));
    let mut found = Vec::new();
    for (address, subnet) in used {
        let gateway = applied.with("azurerm_subnet_nat_gateway_association", "subnet_id", subnet).next();
        let gateway = gateway.map_or(&Json::Null, |association| &association["nat_gateway_id"]);
        if applied.with("azurerm_nat_gateway_public_ip_association", "nat_gateway_id", gateway).next().is_none() {
            found.push(format!("{address} has no way out"));
        }
    }
    found
}

/// Routes whose health checkers do not reach the region's node at the address that clients use.
fn unsteered(app: &App, applied: &Applied) -> Vec<String> {
    let mut found = Vec::new();
    let nodes = applied.nodes();
    for (address, set, script) in &nodes {
        let public: Vec<&Json> = applied
            .pools(set)
            .iter()
            .map(|pool| applied.balancer_of(pool))
            .filter(|one| Applied::is_public(one))
            .collect();
        if public.len() > 1 {
            found.push(format!("{address} is behind {} public load balancers", public.len()));
        }
        if !script.contains("--listen 0.0.0.0 ") {
            found.push(format!("{address}: the node listens on one address only"));
        }
        // Where the node answers DNS at its usual port, Ubuntu's own resolver has to make room.
        if script.contains("DNSStubListener=no") != (app.dns.port == 53) {
            found.push(format!("{address}: two servers at one port"));
        }
        let fronts = public.first().map_or(0, |one| one["frontend_ip_configuration"].as_array().unwrap().len());
        let taken = script.lines().find_map(|line| line.strip_prefix("for address in ")?.strip_suffix("; do")).unwrap();
        if taken.split(' ').count() != fronts + 1 {
            found.push(format!("{address} has {taken}, with {fronts} public addresses"));
        }
    }
    let endpoints: Vec<(&str, &Json)> = applied.all("azurerm_traffic_manager_external_endpoint").collect();
    let expected: usize = app
        .routes
        .values()
        .filter_map(|route| app.components.get(&route.to).filter(|component| component.kind == Kind::Vmss))
        .map(
            |component| if component.regions.is_empty() { app.data_regions().count() } else { component.regions.len() },
        )
        .sum();
    // Behind each geographic mapping there are all of them once more.
    let nested: Vec<(&str, &Json)> = applied.all("azurerm_traffic_manager_nested_endpoint").collect();
    if endpoints.len() != expected * nested.len().max(1) {
        found.push(format!("{} endpoints instead of {expected}", endpoints.len()));
    }
    for (endpoint, values) in nested {
        let mut behind = applied.with("azurerm_traffic_manager_profile", "id", &values["target_resource_id"]);
        let goes_on = |method: &Json| *method == "Priority" || *method == "Performance";
        if !behind.next().is_some_and(|profile| goes_on(&profile["traffic_routing_method"])) {
            found
                .push(format!("{endpoint}: clients get what is down, for nothing behind it goes on to another region"));
        }
    }
    for (endpoint, values) in endpoints {
        let profile = applied.with("azurerm_traffic_manager_profile", "id", &values["profile_id"]).next().unwrap();
        let port = &profile["monitor_config"][0]["port"];
        let Some(ip) = applied.with("azurerm_public_ip", "fqdn", &values["target"]).next() else {
            found.push(format!("{endpoint} leads to {}, which is no address of ours", values["target"]));
            continue;
        };
        let reached = applied.all("azurerm_lb").any(|(_, balancer)| {
            let front = balancer["frontend_ip_configuration"].as_array().unwrap().iter();
            let Some(front) = front.clone().find(|front| front["public_ip_address_id"] == ip["id"]) else {
                return false;
            };
            applied.with("azurerm_lb_rule", "loadbalancer_id", &balancer["id"]).any(|rule| {
                let of_node = |pool: &Json| nodes.iter().any(|(_, set, _)| applied.pools(set).contains(pool));
                rule["frontend_ip_configuration_name"] == front["name"]
                    && rule["frontend_port"] == *port
                    && rule["floating_ip_enabled"] == true
                    && rule["backend_address_pool_ids"].as_array().unwrap().iter().any(of_node)
            })
        });
        if !reached {
            found.push(format!("{endpoint}: no node answers there"));
        }
    }
    found
}

/// Databases that anybody may delete.
fn unprotected(applied: &Applied) -> Vec<String> {
    let mut found = Vec::new();
    for kind in [
        "azurerm_postgresql_flexible_server",
        "azurerm_mssql_server",
        "azurerm_cosmosdb_account",
        "azurerm_storage_account",
    ] {
        for (address, values) in applied.all(kind) {
            let mut locks = applied.with("azurerm_management_lock", "scope", &values["id"]);
            if !locks.any(|lock| lock["lock_level"] == "CanNotDelete") {
                found.push(format!("{address} has no lock"));
            }
        }
    }
    found
}

/// Names that somebody else in the world may have already.
fn taken_names(applied: &Applied) -> Vec<String> {
    let mut found = Vec::new();
    for (kind, attribute, longest) in [
        ("azurerm_cosmosdb_account", "name", 44),
        ("azurerm_key_vault", "name", 24),
        ("azurerm_mssql_failover_group", "name", 63),
        ("azurerm_mssql_server", "name", 63),
        ("azurerm_postgresql_flexible_server", "name", 63),
        ("azurerm_postgresql_flexible_server_virtual_endpoint", "name", 63),
        ("azurerm_public_ip", "domain_name_label", 63),
        ("azurerm_role_definition", "name", 128),
        ("azurerm_storage_account", "name", 24),
        ("azurerm_traffic_manager_profile", "name", 63),
        ("azurerm_user_assigned_identity", "name", 128),
    ] {
        for (address, values) in applied.all(kind) {
            let Some(name) = values[attribute].as_str() else { continue };
            if !name.ends_with(UNIQUE) || name.len() > longest {
                found.push(format!("{address} is called {name}"));
            }
        }
    }
    found
}

/// Components that cannot log in to what they need, and administrators who cannot let them.
fn locked_out(app: &App, tree: &Tree, applied: &Applied) -> Vec<String> {
    let mut found = Vec::new();
    let name = |id: &str, region: &str| json!(format!("{}-{id}-{region}-{UNIQUE}", app.name));
    let on_azure = |id: &lifeboat_model::RegionId| app.regions[id].place.provider == Provider::Azure;
    for (id, component) in &app.components {
        if component.kind.is_database() || !matches!(component.kind, Kind::Vmss | Kind::Aks) {
            continue;
        }
        let here: Vec<&lifeboat_model::RegionId> = if component.regions.is_empty() {
            app.data_regions().collect()
        } else {
            component.regions.iter().collect()
        };
        let pods = app.components.values().filter(|pod| component.kind == Kind::Aks && pod.kind == Kind::Deployment);
        let needs: BTreeSet<_> = component.needs.iter().chain(pods.flat_map(|pod| &pod.needs)).collect();
        for region in here.into_iter().filter(|region| on_azure(region)) {
            let whom = name(id.as_str(), region.as_str());
            let Some(identity) = applied.with("azurerm_user_assigned_identity", "name", &whom).next() else {
                found.push(format!("{id} is nobody in {region}"));
                continue;
            };
            let sets = applied.all("azurerm_linux_virtual_machine_scale_set");
            let set = format!("{}-{id}-{region}", app.name);
            for (address, values) in sets.filter(|(_, values)| values["name"] == json!(set)) {
                if values["identity"][0]["identity_ids"] != json!([identity["id"]]) {
                    found.push(format!("{address} is not {whom}"));
                }
            }
            for need in &needs {
                // The principal is the same for all in the stub: which assignment is whose is in its address.
                let key = format!("{id}_{region}_{need}").replace('-', "_");
                let granted = |kind: &str| applied.all(kind).any(|(address, _)| address == format!("{kind}.{key}"));
                let said = |statement: &str| tree.files["README.md"].contains(statement);
                let person = format!("{}-{id}-{region}-", app.name);
                let may = match app.components[*need].kind {
                    Kind::Cosmosdb => granted("azurerm_cosmosdb_sql_role_assignment"),
                    Kind::AzureStorage => granted("azurerm_role_assignment"),
                    Kind::AzureSql => said("FROM EXTERNAL PROVIDER") && said(&person),
                    Kind::AzurePostgres => said("pgaadauth_create_principal") && said(&person),
                    _ => true,
                };
                if !may {
                    found.push(format!("{id} in {region} may not read {need}"));
                }
            }
        }
    }
    for (id, component) in app.components.iter().filter(|(_, component)| component.kind == Kind::AzurePostgres) {
        let writer = name(id.as_str(), component.writer.as_ref().unwrap().as_str());
        let administrators = "azurerm_postgresql_flexible_server_active_directory_administrator";
        let servers: Vec<&Json> = applied.all(administrators).map(|(_, values)| &values["server_name"]).collect();
        if servers != [&writer] {
            found.push(format!("administrators of {servers:?} instead of {writer}"));
        }
    }
    found
}

/// What is open to the world though no route leads there, or shut though one does.
fn wrongly_open(app: &App, applied: &Applied) -> Vec<String> {
    let mut found = Vec::new();
    let routed: BTreeSet<&str> = app.routes.values().map(|route| route.to.as_str()).collect();
    for (address, set) in applied.all("azurerm_linux_virtual_machine_scale_set") {
        if address.starts_with("module.node_") {
            continue;
        }
        let public = applied.pools(set).iter().any(|pool| Applied::is_public(applied.balancer_of(pool)));
        let component =
            app.components.keys().find(|id| address.starts_with(&format!("module.{}_", id.as_str().replace('-', "_"))));
        if public != routed.contains(component.unwrap().as_str()) {
            found.push(format!("{address} is {}public", if public { "" } else { "not " }));
        }
    }
    for (address, group) in applied.all("azurerm_network_security_group") {
        let open: BTreeSet<&str> = group["security_rule"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|rule| rule["destination_port_ranges"].as_array().unwrap())
            .filter_map(Json::as_str)
            .collect();
        let region = address.trim_start_matches("module.network_").split('.').next().unwrap();
        let here = |component: &&str| {
            let component = &app.components[*component];
            component.regions.is_empty() && app.regions[region].role == RegionRole::Data
                || component.regions.iter().any(|id| id.as_str() == region)
        };
        let of = |kind: Kind| routed.iter().filter(move |id| app.components[**id].kind == kind).filter(|id| here(id));
        let expected: BTreeSet<String> = if address.contains("clusters") {
            of(Kind::Deployment).map(|_| "443".to_owned()).collect()
        } else {
            let ports = of(Kind::Vmss).map(|id| app.components[*id].port.unwrap());
            let node = of(Kind::Vmss).next().map(|_| app.regions[region].api_port);
            ports.chain(node).map(|port| port.to_string()).collect()
        };
        if open != expected.iter().map(String::as_str).collect() {
            found.push(format!("{address} is open at {open:?}, not {expected:?}"));
        }
    }
    found
}

/// Load balancers that ask machines in another way than these answer, or have clients ask so.
fn wrongly_asked(app: &App, applied: &Applied) -> Vec<String> {
    let mut found = Vec::new();
    for (address, probe) in applied.all("azurerm_lb_probe") {
        let Some((_, component)) = app.components.iter().find(|(id, _)| probe["name"] == json!(id.as_str())) else {
            continue;
        };
        let port = match component.check.as_ref().map(|check| &check.target) {
            Some(CheckTarget::Https { .. }) => Some(("Https", 443)),
            Some(CheckTarget::Http(_)) => Some(("Http", 80)),
            _ => None,
        };
        let rule = applied.with("azurerm_lb_rule", "probe_id", &probe["id"]).next().unwrap();
        let asked = (probe["protocol"].as_str().unwrap(), rule["frontend_port"].as_i64().unwrap());
        if port.is_some_and(|expected| expected != asked) {
            found.push(format!("{address} and its rule are {asked:?}"));
        }
    }
    found
}

/// Clusters that share a subnet with machines, or may not take addresses.
fn cramped(applied: &Applied) -> Vec<String> {
    let mut found = Vec::new();
    for (address, cluster) in applied.all("azurerm_kubernetes_cluster") {
        let subnet = &cluster["default_node_pool"][0]["vnet_subnet_id"];
        let mut sets = applied.all("azurerm_linux_virtual_machine_scale_set");
        if sets.any(|(_, set)| set["network_interface"][0]["ip_configuration"][0]["subnet_id"] == *subnet) {
            found.push(format!("{address} is among machines"));
        }
        let module = address.split('.').nth(1).unwrap();
        let network = |(at, role): &(&str, &Json)| {
            at.starts_with(&format!("module.{module}.")) && role["role_definition_name"] == "Network Contributor"
        };
        let scopes: BTreeSet<&str> = applied
            .all("azurerm_role_assignment")
            .filter(network)
            .filter_map(|(_, role)| role["scope"].as_str())
            .collect();
        if scopes.len() != 2 || !scopes.contains(subnet.as_str().unwrap()) {
            found.push(format!("{address} may take addresses in {scopes:?}"));
        }
    }
    found
}

/// Machines that are not told where something is that they need, or of something that is not there.
fn untold(app: &App, applied: &Applied) -> Vec<String> {
    let mut found = Vec::new();
    for (address, set) in applied.all("azurerm_linux_virtual_machine_scale_set") {
        let name = set["name"].as_str().unwrap();
        let its = |(id, one): &(&lifeboat_model::ComponentId, &lifeboat_model::app::Component)| {
            one.kind == Kind::Vmss && name.starts_with(&format!("{}-{id}-", app.name))
        };
        let Some((id, component)) = app.components.iter().find(its) else { continue };
        let script = set["custom_data"].as_str().map(boot::decoded).unwrap_or_default();
        if !script.starts_with("#cloud-config\n") || !script.contains(&format!("/etc/default/{id}\"")) {
            found.push(format!("{address} is told nothing: {script}"));
        }
        let told = |name: String| {
            let value = script.lines().find_map(|line| line.trim_start().strip_prefix(&format!("{name}=")));
            value.map(|value| value.split("://").last().unwrap().to_owned())
        };
        let here = |kinds: &[&str], name: &str, after: &str| {
            kinds.iter().any(|kind| {
                applied.all(kind).any(|(_, one)| format!("{}{after}", one["name"].as_str().unwrap()) == name)
            })
        };
        for need in &component.needs {
            let prefix = need.as_str().to_uppercase().replace('-', "_");
            let value = |what: &str| told(format!("{prefix}_{what}")).unwrap_or_default();
            let holds = match app.components[need].kind {
                Kind::AzureSql => here(
                    &["azurerm_mssql_server", "azurerm_mssql_failover_group"],
                    &value("HOST"),
                    ".database.windows.net",
                ),
                Kind::AzurePostgres => {
                    here(&["azurerm_postgresql_flexible_server"], &value("HOST"), ".postgres.database.azure.com")
                        || here(
                            &["azurerm_postgresql_flexible_server_virtual_endpoint"],
                            &value("HOST"),
                            ".writer.postgres.database.azure.com",
                        )
                }
                Kind::Cosmosdb => here(&["azurerm_cosmosdb_account"], &value("URL"), ".documents.azure.com:443/"),
                Kind::AzureStorage => here(&["azurerm_storage_account"], &value("URL"), ".blob.core.windows.net/"),
                Kind::Vmss => !value("HOST").is_empty(),
                _ => true,
            };
            if !holds {
                found.push(format!("{address} is told wrongly of {prefix}: {script}"));
            }
        }
        if told("AZURE_CLIENT_ID".into()).is_none_or(|client| client.is_empty()) {
            found.push(format!("{address} does not know who it is"));
        }
    }
    found
}

/// Clusters that nobody gets into.
fn shut(applied: &Applied) -> Vec<String> {
    let mut found = Vec::new();
    for (address, cluster) in applied.all("azurerm_kubernetes_cluster") {
        let mut on = applied.with("azurerm_role_assignment", "scope", &cluster["id"]);
        let admits = |role: &Json| {
            role["role_definition_name"] == "Azure Kubernetes Service RBAC Cluster Admin"
                && role["principal_id"] == "00000000-0000-0000-0000-000000000000"
        };
        if !on.any(admits) {
            found.push(format!("nobody gets into {address}"));
        }
    }
    found
}

/// Regions whose node has no home, or two that would claim one address; pods that are nobody, or have no certificates.
fn homeless(app: &App, applied: &Applied) -> Vec<String> {
    let mut found = Vec::new();
    for id in app.regions.iter().filter(|(_, one)| one.place.provider == Provider::Azure).map(|(id, _)| id) {
        let name = format!("{}-lifeboat-{id}", app.name);
        let machines = applied.with("azurerm_linux_virtual_machine_scale_set", "name", &json!(name)).count();
        let called = json!(format!("{name}-{UNIQUE}"));
        let pods: Vec<&Json> = applied.with("azurerm_user_assigned_identity", "name", &called).collect();
        if machines + pods.len() != 1 {
            found.push(format!("{id} has {machines} machines and {} pods", pods.len()));
        }
        for pod in pods {
            let credential = applied.with("azurerm_federated_identity_credential", "parent_id", &pod["id"]).next();
            let cluster = applied.all("azurerm_kubernetes_cluster").map(|(_, cluster)| cluster);
            let mut here = cluster.filter(|cluster| cluster["resource_group_name"] == pod["resource_group_name"]);
            let account = format!("system:serviceaccount:lifeboat-{0}:lifeboat-{0}", app.name);
            let known = credential.is_some_and(|one| one["subject"] == account.as_str());
            let renews = |cluster: &Json| cluster["key_vault_secrets_provider"][0]["secret_rotation_enabled"] == true;
            if !known || !here.any(renews) {
                found.push(format!("the pod of {id} is nobody, or has no certificates"));
            }
        }
    }
    for (address, vault) in applied.all("azurerm_key_vault") {
        let mut on = applied.with("azurerm_role_assignment", "scope", &vault["id"]);
        let from = &vault["network_acls"][0]["virtual_network_subnet_ids"];
        if !on.any(|role| role["role_definition_name"] == "Key Vault Secrets User")
            || from.as_array().is_none_or(Vec::is_empty)
        {
            found.push(format!("no node reads {address}"));
        }
    }
    found
}

/// Nodes without the role that moves things, vaults into which nobody may write.
fn powerless(applied: &Applied) -> Vec<String> {
    let mut found = Vec::new();
    let roles: Vec<&Json> =
        applied.all("azurerm_role_definition").map(|(_, role)| &role["role_definition_resource_id"]).collect();
    for (address, role) in applied.all("azurerm_role_assignment") {
        let named = !role["role_definition_name"].is_null();
        if !named && !roles.contains(&&role["role_definition_id"]) {
            found.push(format!("{address} is of a role that is not there"));
        }
    }
    for (address, vault) in applied.all("azurerm_key_vault") {
        let mut on = applied.with("azurerm_role_assignment", "scope", &vault["id"]);
        if !on.any(|role| role["role_definition_name"] == "Key Vault Secrets Officer") {
            found.push(format!("nobody may write into {address}"));
        }
    }
    found
}

/// Data of which a mistake would leave nothing, or nothing outside its region; backups that cannot be made.
fn unsaved(app: &App, applied: &Applied) -> Vec<String> {
    let mut found = Vec::new();
    for (address, vault) in applied.all("azurerm_data_protection_backup_vault") {
        for (attribute, right) in [
            ("redundancy", json!("GeoRedundant")),
            ("cross_region_restore_enabled", json!(true)),
            ("soft_delete", json!("On")),
            ("immutability", json!("Unlocked")),
            // Its own group may be dark.
            ("resource_group_name", json!(format!("{}-global", app.name))),
        ] {
            if vault[attribute] != right {
                found.push(format!("{address}: {attribute} is {}", vault[attribute]));
            }
        }
    }
    let assigned = |scope: &Json, role: &str| {
        applied.with("azurerm_role_assignment", "scope", scope).any(|one| one["role_definition_name"] == role)
    };
    let judge = |address: &str, source: &Json, instance: Option<&Json>, policies: &str, role: &str| {
        let Some(instance) = instance else {
            return vec![format!("{address} is not backed up")];
        };
        let mut found = Vec::new();
        let vault = applied.with("azurerm_data_protection_backup_vault", "id", &instance["vault_id"]).next().unwrap();
        if vault["location"] != source["location"] {
            found.push(format!("{address} is backed up into {}", vault["location"]));
        }
        let policy = applied.all(policies).find(|(_, policy)| policy["id"] == instance["backup_policy_id"]);
        if policy.is_none_or(|(_, policy)| policy["vault_id"] != instance["vault_id"]) {
            found.push(format!("{address} is backed up by no policy of its vault"));
        }
        if !assigned(&source["id"], role) {
            found.push(format!("the vault may not back {address} up"));
        }
        found
    };
    for (address, account) in applied.all("azurerm_storage_account") {
        let instances = "azurerm_data_protection_backup_instance_blob_storage";
        let instance = applied.with(instances, "storage_account_id", &account["id"]).next();
        let policies = "azurerm_data_protection_backup_policy_blob_storage";
        found.extend(judge(address, account, instance, policies, "Storage Account Backup Contributor"));
        let made: BTreeSet<&str> = applied
            .with("azurerm_storage_container", "storage_account_id", &account["id"])
            .filter_map(|one| one["name"].as_str())
            .collect();
        let named = instance.and_then(|instance| instance["storage_account_container_names"].as_array());
        let named: BTreeSet<&str> = named.into_iter().flatten().filter_map(Json::as_str).collect();
        if named.is_empty() || named != made || account["cross_tenant_replication_enabled"] != true {
            found.push(format!("{address}: of {made:?} the vault takes {named:?}"));
        }
    }
    for (id, component) in app.components.iter().filter(|(_, component)| component.kind == Kind::AzurePostgres) {
        let region = component.writer.as_ref().unwrap();
        let name = json!(format!("{}-{id}-{region}-{UNIQUE}", app.name));
        let server = applied.with("azurerm_postgresql_flexible_server", "name", &name).next().unwrap();
        let instances = "azurerm_data_protection_backup_instance_postgresql_flexible_server";
        let instance = applied.with(instances, "server_id", &server["id"]).next();
        let policies = "azurerm_data_protection_backup_policy_postgresql_flexible_server";
        let role = "PostgreSQL Flexible Server Long Term Retention Backup Role";
        found.extend(judge(id.as_str(), server, instance, policies, role));
        let all = applied.all(instances).filter(|(address, _)| address.contains(&format!("[\"{id}\"]"))).count();
        let group = applied.with("azurerm_resource_group", "name", &server["resource_group_name"]).next().unwrap();
        if all != 1 || !assigned(&group["id"], "Reader") {
            found.push(format!("{id}: {all} backups, or its vault does not find it"));
        }
    }
    for (address, database) in applied.all("azurerm_mssql_database") {
        let weekly = &database["long_term_retention_policy"][0]["weekly_retention"];
        if database["storage_account_type"] != "Geo" || weekly.is_null() {
            found.push(format!("{address}: backups in {}, weekly {weekly}", database["storage_account_type"]));
        }
    }
    found
}

/// All of them.
pub(super) fn mistakes(app: &App, tree: &Tree, applied: &Applied) -> Vec<String> {
    [
        rolling(tree, applied),
        cut_off(applied),
        unsteered(app, applied),
        unprotected(applied),
        taken_names(applied),
        locked_out(app, tree, applied),
        wrongly_open(app, applied),
        wrongly_asked(app, applied),
        cramped(applied),
        powerless(applied),
        unsaved(app, applied),
        homeless(app, applied),
        shut(applied),
        untold(app, applied),
    ]
    .concat()
}
