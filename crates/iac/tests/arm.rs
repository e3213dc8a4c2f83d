//! The ARM templates deployed as far as that goes without a cloud: every expression evaluated with the parameter files, every
//! resource that comes out against Microsoft's schemas with the world closed, and what schemas cannot say.

#![allow(clippy::unwrap_used, reason = "what a test helper cannot do fails the test")]

use std::collections::{BTreeMap, BTreeSet};

use common::{example, examples, schemas, tree_of};
use definitions::Definitions;
use deployment::{Subscription, parsed};
use expression::{SUBSCRIPTION, Scope};
use lifeboat_iac::Tree;
use lifeboat_model::App;
use serde_json::{Map, Value as Json, json};

#[path = "arm/azure.rs"]
mod azure;
mod common;
#[path = "arm/definitions.rs"]
mod definitions;
#[path = "arm/deployment.rs"]
mod deployment;
#[path = "arm/expression.rs"]
mod expression;

const TEMPLATES: [&str; 7] = ["foundation", "regional", "witness", "peering", "links", "global", "backups"];

/// The apps whose templates are looked at: the examples, and two with shapes that those have not.
fn apps() -> Vec<(String, App)> {
    let mut all = examples(&["azure", "kubernetes"]);
    all.push(("everything in some regions".into(), app(EVERYTHING)));
    all.push(("everything, and DNS at its usual port".into(), app(&format!("{EVERYTHING}dns: {{port: 53}}\n"))));
    all.push(("no certificates".into(), app(&EVERYTHING.replace("nodes:", "#").replace("store:", "#"))));
    all
}

fn app(text: &str) -> App {
    lifeboat_model::parse(text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// Every kind, each where not all regions have it, and a region without a member of the state store.
const EVERYTHING: &str = "
app: all
regions:
  a: {place: azure/northeurope, address: 10.135.0.10, preference: 2}
  b: {place: azure/westeurope, address: 10.155.0.10, preference: 1}
  c: {place: azure/swedencentral, address: 10.146.0.10}
  d: {place: azure/francecentral, address: 10.117.0.10}
components:
  ledger: {kind: azure-sql, pattern: warm-standby, writer: a, standbys: {b: asynchronous}}
  records: {kind: azure-postgres, pattern: pilot-light, writer: a, standbys: {c: asynchronous}}
  carts: {kind: cosmosdb, pattern: warm-standby, writer: a, standbys: {b: synchronous, c: synchronous}}
  files: {kind: azure-storage, pattern: pilot-light, writer: a, standbys: {b: asynchronous}}
  web: {kind: vmss, pattern: warm-standby, regions: [a, b], needs: [ledger, carts, files], port: 8080, check: {http: '/[healthz'}, size: {image: '[x', count: 3}}
  later: {kind: vmss, pattern: backup-restore, regions: [a, c], needs: [files], port: 8443, check: {https: /}, size: {image: x}}
  inner: {kind: vmss, pattern: backup-restore, regions: [a, b], needs: [records, web], port: 9000, check: {tcp: true}, size: {image: x}}
  platform: {kind: aks, pattern: backup-restore, regions: [a, c], needs: [carts]}
routes:
  web.example.com: {to: web}
  www.example.com: {to: web}
  later.example.com: {to: later}
failover: {mode: approve}
nodes: {tls: /etc/lifeboat/tls}
store: {etcd: ['https://10.135.0.10:2379', 'https://node.b.all.internal:2379', 'https://node.c.all.internal:2379'], ca: /etc/lifeboat/tls/ca.pem, cert: '/etc/lifeboat/tls/{region}.pem', key: '/etc/lifeboat/tls/{region}.key'}
";

const NOTHING: [String; 0] = [];

/// Every string of a value.
fn strings<'a>(value: &'a Json, found: &mut Vec<&'a str>) {
    match value {
        Json::String(text) => found.push(text),
        Json::Array(items) => items.iter().for_each(|item| strings(item, found)),
        Json::Object(entries) => entries.values().for_each(|item| strings(item, found)),
        _ => {}
    }
}

/// Branches of expressions that no region takes: they may still name only what is declared.
fn undeclared(template: &Json) -> Vec<String> {
    let mut all = Vec::new();
    let mut inner = Vec::new();
    for resource in template["resources"].as_array().unwrap() {
        let mut outer = resource.clone();
        if let Some(nested) = outer["properties"].as_object_mut().and_then(|properties| properties.remove("template")) {
            inner.extend(undeclared(&nested));
        }
        let mut texts = Vec::new();
        strings(&outer, &mut texts);
        all.extend(texts.into_iter().map(str::to_owned));
    }
    for section in ["variables", "outputs"] {
        let mut texts = Vec::new();
        strings(&template[section], &mut texts);
        all.extend(texts.into_iter().map(str::to_owned));
    }
    let mut found = inner;
    for text in all.iter().filter(|text| text.starts_with('[')) {
        for section in ["parameters", "variables"] {
            for rest in text.split(&format!("{section}('")).skip(1) {
                let name = rest.split('\'').next().unwrap();
                if template[section].get(name).is_none() {
                    found.push(format!("{section} has no {name}: {text}"));
                }
            }
        }
    }
    found
}

/// As it is sent: without what is null, and under this name.
fn sent(resource: &Json, name: &str) -> Json {
    let mut resource = without_nulls(resource);
    resource["name"] = name.into();
    resource
}

fn without_nulls(value: &Json) -> Json {
    match value {
        Json::Object(entries) => {
            let told = entries.iter().filter(|(_, value)| !value.is_null());
            Json::Object(told.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
        Json::Array(items) => Json::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// What Microsoft's schemas say of the templates, and of each resource both as it is written and as it is sent.
fn schema_mistakes(definitions: &Definitions, tree: &Tree, made: &Subscription) -> Vec<String> {
    let frame = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json";
    let parameters = "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json";
    let mut found = Vec::new();
    let mut check_template = |path: &str, template: &Json| {
        let mut all: Vec<String> = definitions.mistakes(frame, template);
        for resource in template["resources"].as_array().unwrap() {
            all.extend(definitions.resource_mistakes(resource));
        }
        found.extend(all.into_iter().map(|mistake| format!("{path}: {mistake}")));
    };
    for path in tree.files.keys().filter(|path| path.starts_with("arm/")) {
        let content = parsed(tree, path).unwrap();
        if TEMPLATES.iter().any(|name| *path == format!("arm/{name}.json")) {
            check_template(path, &content);
        }
    }
    for (id, resource) in &made.resources {
        if resource["type"] == "Microsoft.Resources/deployments" {
            check_template(id, &resource["properties"]["template"]);
        }
    }
    for path in tree.files.keys().filter(|path| path.starts_with("arm/")) {
        let is_template = TEMPLATES.iter().any(|name| *path == format!("arm/{name}.json"));
        let mistakes =
            if is_template { vec![] } else { definitions.mistakes(parameters, &parsed(tree, path).unwrap()) };
        found.extend(mistakes.into_iter().map(|mistake| format!("{path}: {mistake}")));
    }
    for (id, resource) in &made.resources {
        // One that lies in another is checked with that.
        if resource["type"].as_str().unwrap().contains('/') {
            // Some schemas describe the last part of the name of what lies in another, some the whole.
            let mistakes = [id.rsplit('/').next(), resource["name"].as_str()]
                .into_iter()
                .flatten()
                .map(|name| definitions.resource_mistakes(&sent(resource, name)))
                .min_by_key(Vec::len)
                .unwrap_or_default();
            found.extend(mistakes.into_iter().map(|mistake| format!("{id}: {mistake}")));
        }
    }
    found
}

/// Names that are the provider's to judge, and that no schema says enough of.
fn name_mistakes(made: &Subscription) -> Vec<String> {
    let mut found = Vec::new();
    for resource in made.resources.values() {
        let name = resource["name"].as_str().unwrap();
        let (letters, longest): (fn(char) -> bool, usize) = match resource["type"].as_str().unwrap() {
            "Microsoft.KeyVault/vaults" => (|c| c.is_ascii_alphanumeric() || c == '-', 24),
            "Microsoft.Storage/storageAccounts" => (|c| c.is_ascii_lowercase() || c.is_ascii_digit(), 24),
            "Microsoft.Sql/servers" | "Microsoft.DBforPostgreSQL/flexibleServers" => {
                (|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-', 63)
            }
            "Microsoft.Resources/deployments" => (|c| c.is_ascii_alphanumeric() || "-_.()".contains(c), 64),
            "Microsoft.Authorization/roleAssignments" | "Microsoft.Authorization/roleDefinitions" => {
                let parts: Vec<usize> = name.split('-').map(str::len).collect();
                if parts != [8, 4, 4, 4, 12] || !name.chars().all(|c| c == '-' || c.is_ascii_hexdigit()) {
                    found.push(format!("{name} is no GUID"));
                }
                continue;
            }
            _ => continue,
        };
        if name.len() < 3 || name.len() > longest || !name.chars().all(letters) || name.ends_with('-') {
            found.push(format!("{} may not be called {name}", resource["type"]));
        }
    }
    found
}

/// The Lifeboat nodes may read one vault each, and with their role what they move: their own region, and what is global.
fn access_mistakes(app: &App, made: &Subscription) -> Vec<String> {
    let mut found = Vec::new();
    let mut held: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (id, resource) in
        made.resources.iter().filter(|(_, one)| one["type"] == "Microsoft.Authorization/roleAssignments")
    {
        let on = id.split("/providers/Microsoft.Authorization/").next().unwrap();
        let who = resource["properties"]["principalId"].as_str().unwrap();
        let who = who.rsplit('/').next().unwrap();
        held.entry(who).or_default().insert(on.rsplit('/').next().unwrap().to_owned());
        let role = resource["properties"]["roleDefinitionId"].as_str().unwrap();
        let role = role.rsplit_once("/roleDefinitions/").unwrap().1;
        let known = made
            .resources
            .values()
            .any(|other| other["type"] == "Microsoft.Authorization/roleDefinitions" && other["name"] == role);
        // Key Vault Secrets User and Officer, Network Contributor, Azure Kubernetes Service RBAC Cluster Admin, Storage Blob Data Contributor; of Azure Backup Reader, PostgreSQL
        // Flexible Server Long Term Retention Backup Role, Storage Account Backup Contributor.
        let built_in = [
            "4633458b-17de-408a-b874-0445c86b69e6",
            "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
            "4d97b98b-1d4f-4787-a291-c67834d212e7",
            azure::CLUSTER_ADMIN,
            "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
            "acdd72a7-3385-48ef-bd42-f606fba81ae7",
            "c088a766-074b-43ba-90d4-1fb21feae531",
            "e5e2a7ff-d759-4cd2-bb51-3152d37e2eb1",
        ]
        .contains(&role);
        if !known && !built_in {
            found.push(format!("there is no role {role}"));
        }
    }
    let global = format!("{}-global", app.name);
    for (id, region) in app.regions.iter().filter(|(_, region)| region.place.provider.as_str() == "azure") {
        let group = format!("{}-{id}", app.name);
        let vault = made.resources.iter().find(|(path, one)| {
            one["type"] == "Microsoft.KeyVault/vaults" && path.contains(&format!("/resourceGroups/{group}/"))
        });
        let Some((_, vault)) = vault else {
            found.push(format!("{id} has no vault"));
            continue;
        };
        let vault = vault["name"].as_str().unwrap();
        let expected: BTreeSet<String> = if region.role == lifeboat_model::app::RegionRole::Witness {
            [vault.to_owned()].into()
        } else {
            [vault.to_owned(), group.clone(), global.clone()].into()
        };
        // A machine, or a pod; not both, for they would claim one address.
        let (machine, pod) = (format!("{group}-lifeboat"), format!("{}-lifeboat-{id}-{}", app.name, azure::UNIQUE));
        let is_made = |name: &str| made.resources.keys().any(|path| path.ends_with(&format!("/{name}")));
        let scale_set = is_made(&format!("virtualMachineScaleSets/{machine}"));
        if scale_set == is_made(&format!("userAssignedIdentities/{pod}")) {
            found.push(format!("{id} has a machine and a pod, or neither"));
        }
        let node = if scale_set { machine } else { pod };
        if held.get(node.as_str()) != Some(&expected) {
            found.push(format!("{node} holds a role on {:?}, not on {expected:?}", held.get(node.as_str())));
        }
    }
    found
}

#[test]
fn every_template_is_deployed_and_every_resource_is_as_azure_wants_it() {
    let definitions = schemas("arm").map(|folder| Definitions::load(&folder));
    for (name, app) in apps() {
        let tree = tree_of(&app);
        let made = Subscription::of(&app, &tree);
        assert_eq!(made.mistakes, NOTHING, "{name}");
        for template in TEMPLATES.iter().filter_map(|path| parsed(&tree, &format!("arm/{path}.json"))) {
            assert_eq!(undeclared(&template), NOTHING, "{name}");
        }
        assert_eq!(name_mistakes(&made), NOTHING, "{name}");
        if tree.files.contains_key("arm/regional.json") {
            assert_eq!(access_mistakes(&app, &made), NOTHING, "{name}");
            assert_eq!(azure::mistakes(&app, &tree, &made), NOTHING, "{name}");
        }
        if let Some(definitions) = &definitions {
            assert_eq!(schema_mistakes(definitions, &tree, &made), NOTHING, "{name}");
        }
    }
}

/// A component is in the regions that the file names, and what a pattern makes later is made when the role file says so.
#[test]
fn what_is_made_follows_the_regions_and_the_roles() {
    let app = app(EVERYTHING);
    let mut tree = tree_of(&app);
    let groups = |tree: &Tree, kind: &str, id: &str| -> Vec<String> {
        let made = Subscription::of(&app, tree);
        assert_eq!(made.mistakes, NOTHING);
        let of_kind = |(_, one): &(&String, &Json)| {
            let name = one["name"].as_str().unwrap();
            let name = name.trim_end_matches(&format!("-{}", azure::UNIQUE));
            let by_component = kind != "Microsoft.Network/loadBalancers" && name.starts_with(&format!("all-{id}-"));
            one["type"] == kind && (name.ends_with(&format!("-{id}")) || by_component)
        };
        let group = |path: &str| path.split('/').nth(4).unwrap().to_owned();
        made.resources.iter().filter(of_kind).map(|(path, _)| group(path)).collect()
    };
    let scale_set = "Microsoft.Compute/virtualMachineScaleSets";
    for (kind, id, expected) in [
        (scale_set, "web", &["all-a", "all-b"][..]),
        (scale_set, "later", &["all-a"]),
        // Clients find them before the machines are there.
        ("Microsoft.Network/publicIPAddresses", "later", &["all-a", "all-c"]),
        ("Microsoft.Network/loadBalancers", "inner", &["all-a", "all-b"]),
        ("Microsoft.Network/loadBalancers", "later", &[]),
        ("Microsoft.Network/loadBalancers", "a", &["all-a"]),
        ("Microsoft.Network/loadBalancers", "d", &[]),
        ("Microsoft.Insights/autoscaleSettings", "later", &["all-a"]),
        ("Microsoft.ContainerService/managedClusters", "platform", &["all-a"]),
        ("Microsoft.Sql/servers", "ledger", &["all-a", "all-b"]),
        ("Microsoft.Network/privateEndpoints", "ledger", &["all-a", "all-b"]),
        ("Microsoft.DBforPostgreSQL/flexibleServers", "records", &["all-a", "all-c"]),
    ] {
        assert_eq!(groups(&tree, kind, id), expected, "{kind} {id}");
    }
    let roles = tree.files["arm/roles.json"].replace("\"later\": [\"a\"]", "\"later\": [\"c\"]");
    let roles = roles.replace("\"platform\": [\"a\"]", "\"platform\": [\"c\"]");
    assert_ne!(roles, tree.files["arm/roles.json"]);
    tree.files.insert("arm/roles.json".into(), roles);
    assert_eq!(groups(&tree, scale_set, "later"), ["all-a", "all-c"]);
    assert_eq!(groups(&tree, "Microsoft.ContainerService/managedClusters", "platform"), ["all-a", "all-c"]);
}

/// A server that has grown is not told to be as small as it was: Azure would refuse the whole deployment.
#[test]
fn what_has_grown_stays_as_it_is() {
    let app = app(EVERYTHING);
    let mut tree = tree_of(&app);
    let storage = |tree: &Tree| {
        let made = Subscription::of(&app, tree);
        assert_eq!(made.mistakes, NOTHING);
        let servers = made.resources.values().filter(|one| one["type"] == "Microsoft.DBforPostgreSQL/flexibleServers");
        servers.map(|one| one["properties"]["storage"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(storage(&tree), vec![json!({"storageSizeGB": 128, "autoGrow": "Enabled"}); 2]);
    for (path, content) in &mut tree.files {
        if path.starts_with("arm/parameters/") {
            *content = content.replace(
                "\"databasesExist\": {\n      \"value\": false",
                "\"databasesExist\": {\n      \"value\": true",
            );
        }
    }
    assert_eq!(storage(&tree), vec![json!({"autoGrow": "Enabled"}); 2]);
}

/// Mistakes in what is generated, each in the place that it is for.
#[test]
fn a_geographic_mapping_without_a_way_on_is_caught() {
    let app = example("azure/active-active");
    let mut tree = tree_of(&app);
    let good = Subscription::of(&app, &tree);
    assert_eq!((good.mistakes.clone(), azure::mistakes(&app, &tree, &good)), (Vec::new(), Vec::new()));
    let global = tree.files.get_mut("arm/global.json").unwrap();
    assert_eq!(global.matches("nestedEndpoints").count(), 3, "EU, US and the rest of the world");
    *global = global.replacen("\"trafficRoutingMethod\": \"Priority\"", "\"trafficRoutingMethod\": \"Geographic\"", 1);
    let made = Subscription::of(&app, &tree);
    assert_ne!(azure::mistakes(&app, &tree, &made), NOTHING);
}

#[test]
fn a_mistake_in_a_template_is_caught() {
    let app = example("azure/warm-standby");
    let tree = tree_of(&app);
    let whole = Subscription::of(&app, &tree);
    assert_eq!([whole.mistakes.clone(), name_mistakes(&whole), access_mistakes(&app, &whole)].concat(), NOTHING);
    let broken = |path: &str, right: &str, wrong: &str| {
        let mut tree = tree.clone();
        let text = tree.files.get_mut(path).unwrap();
        assert!(text.contains(right), "{path}: {right}");
        *text = text.replacen(right, wrong, 1);
        let made = Subscription::of(&app, &tree);
        (tree, made)
    };
    let foundation = "arm/foundation.json";
    let regional = "arm/regional.json";
    let ireland = "arm/parameters/ireland.json";
    for (path, right, wrong) in [
        (regional, "[parameters('location')]", "[parameters('locatoin')]"),
        (regional, "[parameters('location')]", "[parameters('location'"),
        (regional, "[variables('prefix')]", "[variables('prefx')]"),
        (regional, "resourceId('Microsoft.Network/natGateways'", "resourceId('Microsoft.Network/natGateway'"),
        (regional, "\"region\": {", "\"regoin\": {"),
        // What is in another group, or made by another template.
        (
            regional,
            "'booking-global', 'Microsoft.Network/privateDnsZones'",
            "'booking', 'Microsoft.Network/privateDnsZones'",
        ),
        (regional, "'privatelink.database.windows.net'", "'privatelink.databases.windows.net'"),
        (regional, "\"resourceGroup\": \"booking-global\"", "\"resourceGroup\": \"booking-gobal\""),
        (regional, "\"network\": { \"value\"", "\"netwrk\": { \"value\""),
        (regional, "[format('booking.internal/{0}'", "[format('{0}'"),
        (regional, "\"scope\": \"Inner\"", "\"scope\": \"Outer\""),
        (regional, "\"dependsOn\": [\"[variables('node')]\"]", "\"dependsOn\": [\"[variables('nodeRole')]\"]"),
        (foundation, "\"name\": \"booking-ireland\"", "\"name\": \"booking-irland\""),
        (foundation, "\"name\": \"privatelink.database.windows.net\"", "\"name\": \"privatelink.windows.net\""),
        (ireland, "\"cidr\"", "\"cdir\""),
        (ireland, "\"10.135.0.0/16\"", "\"10.135.0.0/24\""),
        (ireland, "\"full\": 6, ", ""),
        ("arm/global.json", "\"example.com/booking\"", "\"example.org/booking\""),
        ("arm/links.json", "'booking-{0}'", "'bookings-{0}'"),
        ("arm/peering.json", "resourceId('booking-sweden'", "resourceId('booking-norway'"),
    ] {
        assert_ne!(broken(path, right, wrong).1.mistakes, NOTHING, "{path} {wrong}");
    }
    for (path, right, wrong) in [
        (regional, "'4633458b-17de-408a-b874-0445c86b69e6'", "'4633458b-17de-408a-b874-0445c86b69e7'"),
        (
            regional,
            "reads its certificates.\",\n      \"scope\": \"[resourceId('Microsoft.KeyVault",
            "reads its certificates.\",\n      \"comment\": \"[resourceId('Microsoft.KeyVault",
        ),
        (foundation, "guid(subscription().id, 'Lifeboat node of booking')", "guid(subscription().id, 'Lifeboat')"),
    ] {
        assert_ne!(access_mistakes(&app, &broken(path, right, wrong).1), NOTHING, "{path} {wrong}");
    }
    for (path, right, wrong) in [
        (
            regional,
            "guid(resourceGroup().id, variables('node'), variables('nodeRole'))",
            "format('access-of-{0}', parameters('region'))",
        ),
        (ireland, "\"lb-booking-", "\"lifeboat-of-booking-"),
    ] {
        assert_ne!(name_mistakes(&broken(path, right, wrong).1), NOTHING, "{path} {wrong}");
    }

    for (path, right, wrong) in [
        (regional, "\"upgradePolicy\": { \"mode\": \"Manual\" }", "\"upgradePolicy\": { \"mode\": \"Automatic\" }"),
        (regional, "\"natGateway\": {", "\"natGateways\": {"),
        (regional, "--listen 0.0.0.0 ", ""),
        (regional, "'enableFloatingIP', true()", "'enableFloatingIP', false()"),
        (
            regional,
            "createArray(createObject('id', resourceId('Microsoft.Network/loadBalancers/backendAddressPools', variables('prefix'), 'lifeboat')))",
            "createArray()",
        ),
        (regional, "\"name\": \"lifeboat\",\n      \"scope\"", "\"name\": \"lock\",\n      \"scope\""),
        (
            regional,
            "[format('{0}-web-{1}', variables('prefix'), variables('unique'))]",
            "[format('{0}-web', variables('prefix'))]",
        ),
        (regional, "[format('{0}-{1}', parameters('vault'), variables('unique'))]", "[parameters('vault')]"),
        (
            regional,
            "\"[resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', variables('identity-web'))]\": {}",
            "\"x\": {}",
        ),
        (regional, "\"protocol\": \"Http\"", "\"protocol\": \"Https\""),
        (regional, "\"destinationPortRanges\": [", "\"destinationPortRanges\": [\"22\", "),
        (regional, "'b86a8fe4-44ce", "'b86a8fe5-44ce"),
    ] {
        let (tree, made) = broken(path, right, wrong);
        assert_ne!(azure::mistakes(&app, &tree, &made), NOTHING, "{path} {wrong}");
    }

    let Some(folder) = schemas("arm") else { return };
    let definitions = Definitions::load(&folder);
    for (path, right, wrong) in [
        (regional, "\"cidr", "\"cidr"),
        (regional, "\"requestPath\"", "\"requestPaht\""),
        (regional, "\"probeThreshold\": 2", "\"probeThreshold\": \"twice\""),
        (regional, "\"2025-11-01\"", "\"2025-11-02\""),
        (regional, "\"orchestrationMode\": \"Uniform\"", "\"orchestrationMode\": \"Uniforms\""),
        (
            regional,
            "\"location\": \"[parameters('location')]\",\n      \"properties\": {\n        \"administrators\"",
            "\"properties\": {\n        \"administrators\"",
        ),
        (
            regional,
            "\"capacity\": \"[variables('minimum-web')]\"",
            "\"capacity\": \"[string(variables('minimum-web'))]\"",
        ),
        (
            regional,
            "\"minimum\": \"[string(variables('minimum-web'))]\"",
            "\"minimum\": \"[variables('minimum-web')]\"",
        ),
        (regional, "\"privateDnsZoneId\"", "\"privateDnsZone\""),
        (regional, "\"groupIds\"", "\"groupId\""),
        (regional, "\"enableRbacAuthorization\"", "\"enableRbacAuthorisation\""),
        (regional, "\"enablePurgeProtection\": true", "\"enablePurgeProtection\": false"),
        (regional, "\"softDeleteRetentionInDays\": 7", "\"softDeleteRetentionInDays\": 5"),
        (regional, "\"principalType\": \"ServicePrincipal\"", "\"principalType\": \"ManagedIdentity\""),
        (regional, "\"registrationEnabled\"", "\"registrationsEnabled\""),
        (regional, "\"operator\": \"GreaterThan\"", "\"operator\": \"Greater\""),
        (regional, "\"cooldown\": \"PT5M\"", "\"cooldown\": \"5m\""),
        (regional, "\"mode\": \"Incremental\"", "\"mode\": \"Complete\""),
        (foundation, "\"ipv4Address\"", "\"ipAddress\""),
        (foundation, "\"location\": \"global\"", "\"location\": \"northeurope\""),
        (foundation, "\"assignableScopes\"", "\"scopes\""),
        (foundation, "/failover/action\"", "/failover/act\""),
    ] {
        let (tree, made) = broken(path, right, wrong);
        let mistakes = schema_mistakes(&definitions, &tree, &made);
        assert_eq!(mistakes.is_empty(), right == wrong, "{path} {wrong}: {mistakes:?}");
    }
}

/// Whoever is to run clusters gets into them, and finds them by the names that Terraform's code and the nodes know.
#[test]
fn a_mistake_in_a_cluster_is_caught() {
    let app = example("azure/active-active");
    let tree = tree_of(&app);
    for (right, wrong) in [
        ("b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b", "7f6c6a51-bcf8-42ba-9220-52d62157d7db"),
        ("format('baskets-platform-{0}', parameters('region'))", "format('{0}-platform', variables('prefix'))"),
    ] {
        let mut broken = tree.clone();
        let text = broken.files.get_mut("arm/regional.json").unwrap();
        assert!(text.contains(right), "{right}");
        *text = text.replace(right, wrong);
        let made = Subscription::of(&app, &broken);
        assert_ne!(azure::mistakes(&app, &broken, &made), NOTHING, "{wrong}");
    }
}

/// An application is told where its data are, and somebody is told when a copy is behind.
#[test]
fn a_mistake_in_what_is_told_is_caught() {
    for (name, path, right, wrong) in [
        (
            "azure/warm-standby",
            "regional",
            "'    RESERVATIONS_HOST=', 'booking-reservations-'",
            "'    RESERVATIONS_HOST=', 'booking-reservation-'",
        ),
        ("azure/warm-standby", "regional", "'    RESERVATIONS_HOST=', ", "'    HOST=', "),
        ("azure/warm-standby", "regional", "/etc/default/web", "/etc/web"),
        ("azure/active-active", "regional", "'https://baskets-items-'", "'https://basket-items-'"),
        (
            "azure/pilot-light",
            "regional",
            "\"physical_replication_delay_in_seconds\"",
            "\"physical_replication_delay_in_bytes\"",
        ),
        ("azure/active-active", "global", "\"threshold\": 900000", "\"threshold\": 900"),
        ("azure/active-active", "global", "'actionGroupId', lambda", "'actionGroup', lambda"),
    ] {
        let app = example(name);
        let mut tree = tree_of(&app);
        let text = tree.files.get_mut(&format!("arm/{path}.json")).unwrap();
        assert!(text.contains(right), "{name}: {right}");
        *text = text.replace(right, wrong);
        let made = Subscription::of(&app, &tree);
        let of_schema = schemas("arm").map(|folder| schema_mistakes(&Definitions::load(&folder), &tree, &made));
        let all = [azure::mistakes(&app, &tree, &made), of_schema.unwrap_or_default()].concat();
        assert_ne!(all, NOTHING, "{wrong}");
    }
}

/// The throughput that the file asks for, in whole thousands, with either tool.
#[test]
fn the_throughput_of_cosmos_db_is_that_of_the_file() {
    for (size, expected) in [("{instance: 20000RU}", 20_000), ("{instance: 4500 RU/s}", 5_000), ("{}", 4_000)] {
        let app = app(&EVERYTHING.replace("c: synchronous}}", &format!("c: synchronous}}, size: {size}}}")));
        let tree = tree_of(&app);
        let made = Subscription::of(&app, &tree);
        let database = |one: &&Json| one["type"] == "Microsoft.DocumentDB/databaseAccounts/sqlDatabases";
        let database = made.resources.values().find(database).unwrap();
        assert_eq!(database["properties"]["options"]["autoscaleSettings"]["maxThroughput"], expected, "{size}");
        let terraform = &tree.files["terraform/azure/carts.tf"];
        let line = terraform.lines().find(|line| line.contains("max_throughput")).unwrap();
        assert_eq!(line.split_whitespace().last(), Some(expected.to_string().as_str()), "{size}");
    }
    let wrong = EVERYTHING.replace("c: synchronous}}", "c: synchronous}, size: {instance: large}}");
    let problems = lifeboat_iac::generate(&app(&wrong), &Default::default()).unwrap_err();
    assert!(
        problems[0].to_string().starts_with("components.carts.size.instance: `large` is no throughput"),
        "{problems:?}"
    );
}

/// A failover group has one partner: where the file names two standbys it is refused, and a region without a copy does not become the writer.
#[test]
fn azure_sql_has_one_standby() {
    let two = EVERYTHING
        .replace("standbys: {b: asynchronous}}\n  records", "standbys: {b: asynchronous, c: asynchronous}}\n  records");
    let problems = lifeboat_iac::generate(&app(&two), &Default::default()).unwrap_err();
    assert!(problems[0].to_string().starts_with("components.ledger.standbys: a failover group"), "{problems:?}");
    let none = app(&EVERYTHING.replace("standbys: {b: asynchronous}}\n  records", "standbys: {}}\n  records"));
    let tree = tree_of(&none);
    assert!(tree.warnings.iter().any(|one| one.to_string().contains("the standby is in b")), "{:?}", tree.warnings);
    assert!(!tree.files["terraform/azure/ledger.tf"].contains("ledger_c"));
    let now = lifeboat_iac::Now { writers: [("ledger".into(), "c".into())].into(), ..Default::default() };
    let problems = lifeboat_iac::Roles::default().after(&none, &now).unwrap_err();
    let said = problems[0].to_string();
    assert!(said.contains("ledger has no copy in c") && said.contains("one partner"), "{said}");
}

/// What a person restores by the README's commands is what applications look for, and what the next deployment takes over.
#[test]
fn what_was_restored_is_taken_over() {
    let app = example("azure/backup-restore");
    let mut tree = tree_of(&app);
    let servers = |tree: &Tree| -> Vec<String> {
        let made = Subscription::of(&app, tree);
        assert_eq!([made.mistakes.clone(), azure::mistakes(&app, tree, &made)].concat(), NOTHING);
        let databases = made.resources.iter().filter(|(_, one)| one["type"] == "Microsoft.Sql/servers/databases");
        databases.map(|(id, _)| id.split('/').nth(8).unwrap().to_owned()).collect()
    };
    assert_eq!(servers(&tree), ["reports-warehouse-netherlands-000000"]);
    let roles = tree.files.get_mut("arm/roles.json").unwrap();
    assert!(roles.contains("\"warehouse\": \"netherlands\"") && roles.contains("\"render\": [\"netherlands\"]"));
    *roles = roles
        .replace("\"warehouse\": \"netherlands\"", "\"warehouse\": \"ireland\"")
        .replace("\"render\": [\"netherlands\"]", "\"render\": [\"ireland\"]");
    assert_eq!(servers(&tree), ["reports-warehouse-ireland-000000", "reports-warehouse-netherlands-000000"]);
    let readme = &tree.files["README.md"];
    let restore = readme.find("az sql db geo-backup restore --resource-group reports-ireland --dest-server reports-warehouse-ireland-$UNIQUE --dest-database warehouse").unwrap();
    assert!(restore < readme.find("    lifeboat done warehouse --writer ireland\n").unwrap());
}

/// The README says how a scale set's image comes into each of its regions, where the file names one of a gallery.
#[test]
fn images_are_replicated_by_the_readme() {
    let app = example("azure/warm-standby");
    let readme = tree_of(&app).files["README.md"].clone();
    for place in ["northeurope", "westeurope"] {
        let line = format!("--gallery-image-version 2.4.0 --add publishingProfile.targetRegions name={place}\n");
        assert!(readme.contains(&line), "{place}: {readme}");
    }
    assert!(readme.contains("--gallery-name booking --gallery-image-definition web"));
}

/// Mistakes in what is backed up, and how.
#[test]
fn a_mistake_in_a_backup_is_caught() {
    let app = example("azure/pilot-light");
    let tree = tree_of(&app);
    let definitions = schemas("arm").map(|folder| Definitions::load(&folder));
    for (path, right, wrong, is_of_schema) in [
        ("backups", "\"type\": \"GeoRedundant\"", "\"type\": \"ZoneRedundant\"", false),
        ("backups", "\"state\": \"On\"", "\"state\": \"Off\"", false),
        ("backups", "\"location\": \"westeurope\"", "\"location\": \"germanynorth\"", false),
        ("backups", "c088a766-074b", "c088a766-074c", false),
        ("backups", "roleDefinitions', 'acdd72a7", "roleDefinitions', 'acdd72a8", false),
        ("backups", "roleDefinitions', 'e5e2a7ff", "roleDefinitions', 'e5e2a7fe", false),
        ("backups", "writers['records'], 'netherlands'", "writers['records'], 'sweden'", false),
        ("backups", "\"containersList\": [\"data\"]", "\"containersList\": [\"date\"]", false),
        ("global", "\"allowCrossTenantReplication\": true", "\"allowCrossTenantReplication\": false", false),
        ("backups", "\"type\": \"GeoRedundant\"", "\"type\": \"Geo\"", true),
        ("backups", "\"retentionDurationInDays\": 14", "\"retentionDurationInDays\": 7", true),
        ("backups", "\"duration\": \"P35D\"", "\"duration\": \"35 days\"", true),
        ("backups", "\"objectType\": \"AzureBackupRule\"", "\"objectType\": \"AzureBackup\"", true),
        ("backups", "\"containersList\": [\"data\"]", "\"containersList\": []", true),
        ("backups", "\"actionType\": \"AddActionGroups\"", "\"actionType\": \"AddActionGroup\"", true),
    ] {
        let mut broken = tree.clone();
        let text = broken.files.get_mut(&format!("arm/{path}.json")).unwrap();
        assert!(text.contains(right), "{right}");
        *text = text.replace(right, wrong);
        let made = Subscription::of(&app, &broken);
        let mistakes = match &definitions {
            Some(definitions) if is_of_schema => schema_mistakes(definitions, &broken, &made),
            None if is_of_schema => continue,
            _ => [azure::mistakes(&app, &broken, &made), access_mistakes(&app, &made), made.mistakes.clone()].concat(),
        };
        assert_ne!(mistakes, NOTHING, "{wrong}");
    }
}

#[test]
fn expressions_are_evaluated() {
    let template = json!({"variables": {"prefix": "[format('shop-{0}', parameters('region'))]"}});
    let parameters = Map::from_iter([("region".to_owned(), json!("here")), ("list".to_owned(), json!(["a", "b"]))]);
    let scope = Scope::new(&template, parameters, Some("shop-here".into()));
    for (text, value) in [
        ("plain", json!("plain")),
        ("[[literal]", json!("[literal]")),
        ("[variables('prefix')]", json!("shop-here")),
        ("[parameters('list')[1]]", json!("b")),
        ("[if(contains(parameters('list'), 'c'), 1, 2)]", json!(2)),
        ("[base64('it''s')]", json!("aXQncw==")),
        ("[cidrSubnet('10.19.0.0/16', 24, 32)]", json!("10.19.32.0/24")),
        (
            "[map(parameters('list'), lambda('x', createObject('v', lambdaVariables('x'))))]",
            json!([{"v": "a"}, {"v": "b"}]),
        ),
        (
            "[resourceId('N/a/b', 'one', 'two')]",
            json!(format!("{SUBSCRIPTION}/resourceGroups/shop-here/providers/N/a/one/b/two")),
        ),
        (
            "[resourceId('other', 'N/a', 'one')]",
            json!(format!("{SUBSCRIPTION}/resourceGroups/other/providers/N/a/one")),
        ),
    ] {
        assert_eq!(scope.resolve(&json!(text)), Ok(value), "{text}");
    }
    for text in [
        "[parameters('regoin')]",
        "[variables('prefx')]",
        "[format('{0}-{1}', 'a')]",
        "[concat('a'",
        "[concat('a', 'b')] ",
        "[frmat('a')]",
        "[resourceId('N/a/b', 'one')]",
        "[parameters('list').length]",
        "[if('yes', 1, 2)]",
    ] {
        assert!(scope.resolve(&json!(text)).is_err(), "{text}");
    }
}
