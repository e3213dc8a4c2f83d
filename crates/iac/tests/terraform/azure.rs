//! What a provider that knows no cloud cannot see of the code for Azure.

use checks::{Applied, mistakes};
use lifeboat_model::app::Kind;
use serde_json::json;

use super::Workspace;
use crate::common::{example, examples, said, tree_of};

mod checks;

const NOTHING: [String; 0] = [];

/// Two routes, a component to which none leads, and a port that speaks TLS.
const SEVERAL: &str = "
app: several
regions:
  one: {place: azure/northeurope, address: 10.135.0.10}
  two: {place: azure/westeurope, address: 10.155.0.10}
  votes: {place: azure/swedencentral, address: 10.146.0.10, role: witness}
components:
  carts: {kind: cosmosdb, pattern: warm-standby, writer: one, standbys: {two: asynchronous}}
  files: {kind: azure-storage, pattern: warm-standby, writer: one, standbys: {two: asynchronous}}
  web: {kind: vmss, pattern: warm-standby, needs: [carts, files], port: 8443, check: {https: /healthz}, size: {image: x, count: 2}}
  later: {kind: vmss, pattern: backup-restore, port: 8080, check: {http: /healthz}, size: {image: x, count: 2}}
  inner: {kind: vmss, pattern: warm-standby, needs: [files], port: 9000, check: {tcp: true}, size: {image: x, count: 2}}
  pods: {kind: aks, pattern: warm-standby, regions: [one], needs: [carts]}
routes:
  web.example.com: {to: web}
  www.example.com: {to: web}
  later.example.com: {to: later}
failover: {mode: approve}
dns: {port: 53}
nodes: {tls: /etc/lifeboat/tls}
";

#[test]
fn azure_would_run_every_example() {
    let mut apps = examples(&["azure", "kubernetes"]);
    apps.push(("several".into(), lifeboat_model::parse(SEVERAL).unwrap()));
    for (name, app) in apps {
        let tree = tree_of(&app);
        if !tree.files.contains_key("terraform/azure/versions.tf") {
            continue;
        }
        let Some(workspace) = Workspace::new(&app, &tree, "azure") else { return };
        workspace.apply();
        assert_eq!(mistakes(&app, &tree, &Applied::of(&workspace)), NOTHING, "{name}");
        let readme = &tree.files["README.md"];
        let first = readme.find("az feature register --namespace Microsoft.Compute --name EncryptionAtHost").unwrap();
        assert!(first < readme.find("terraform apply").unwrap(), "{name}: after the machines that want it");
        assert!(!readme.contains("az role definition create"), "{name}");
        let storage = app.components.values().any(|component| component.kind == Kind::AzureStorage);
        let versions = &tree.files["terraform/azure/versions.tf"];
        assert_eq!(versions.contains("data_plane_available = false"), storage, "{name}");
    }
}

/// A database is neither destroyed nor, once it has grown, made anew.
#[test]
fn databases_on_azure_stay() {
    let app = example("azure/pilot-light");
    let Some(workspace) = Workspace::new(&app, &tree_of(&app), "azure") else { return };
    workspace.apply();
    workspace.drift(
        "azurerm_postgresql_flexible_server",
        ("name", "clinic-records-netherlands-000000"),
        vec![("storage_mb", json!(512 * 1024)), ("storage_tier", json!("P20"))],
    );
    assert_eq!(workspace.plan(), None, "it grew by itself");
    let output = workspace.run(&["destroy", "-auto-approve", "-input=false", "-no-color"]);
    assert!(!output.status.success() && said(&output).contains("prevent_destroy"));
}

/// Kubernetes ends versions; which is on offer only Azure knows.
#[test]
fn the_version_of_clusters_is_the_users_to_choose() {
    let files = tree_of(&example("azure/active-active")).files;
    assert!(files["terraform/azure/platform.tf"].contains("= var.kubernetes_version\n"));
    assert!(files["terraform/azure/variables.tf"].contains("variable \"kubernetes_version\""));
}

/// What is asked by HTTP at a port of TLS looks ill, and repair makes it anew for ever.
#[test]
fn a_check_that_cannot_succeed_is_refused() {
    let text = SEVERAL.replace("check: {https: /healthz}", "check: {http: /healthz}");
    let problems = lifeboat_iac::generate(&lifeboat_model::parse(&text).unwrap(), &Default::default()).unwrap_err();
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(said.len() == 1 && said[0].starts_with("components.web.check.http: "), "{said:?}");
}

/// Mistakes in what is generated, each found by the check that is for it.
#[test]
fn a_mistake_for_azure_is_caught() {
    let app = lifeboat_model::parse(SEVERAL).unwrap();
    let tree = tree_of(&app);
    for (file, right, wrong, said_of_it) in [
        ("versions.tf", "roll_instances_when_required = false", "roll_instances_when_required = true", "is on"),
        ("modules/node/main.tf", "upgrade_mode = \"Manual\"", "upgrade_mode = \"Automatic\"", "upgraded by itself"),
        (
            "modules/network/main.tf",
            "subnet_id      = azurerm_subnet.compute.id",
            "subnet_id      = azurerm_subnet.databases.id",
            "no way out",
        ),
        ("modules/node/start.sh.tftpl", "--listen 0.0.0.0 ", "", "one address only"),
        ("modules/node/main.tf", "concat([var.address], var.public_addresses)", "[var.address]", "public addresses"),
        (
            "modules/balancer/main.tf",
            "floating_ip_enabled            = true",
            "floating_ip_enabled            = false",
            "no node answers",
        ),
        ("lifeboat.tf", "[module.balancer_two.node_pool_id]", "[]", "no node answers"),
        (
            "modules/cosmosdb/main.tf",
            "scope      = azurerm_cosmosdb_account.this.id",
            "scope      = var.name",
            "no lock",
        ),
        ("files.tf", "severalfiles${local.unique}", "severalfiles", "is called"),
        ("modules/vmss/main.tf", "identity_ids = [var.identity_id]", "identity_ids = []", "is not"),
        (
            "modules/vmss/main.tf",
            "protocol            = var.check_protocol",
            "protocol            = \"Http\"",
            "and its rule are",
        ),
        ("network.tf", "\"7400\", \"8080\", \"8443\"", "\"7400\", \"8080\", \"8443\", \"9000\"", "is open at"),
        (
            "web.tf",
            "\"azurerm_cosmosdb_sql_role_assignment\" \"web_two_carts\"",
            "\"azurerm_cosmosdb_sql_role_assignment\" \"web_two_cars\"",
            "web in two may not read carts",
        ),
        (
            "inner.tf",
            "  identity_id",
            "  balancer = { id = module.balancer_one.id, frontend = \"web\" }\n  identity_id",
            "is public",
        ),
        (
            "pods.tf",
            "module.network_one.cluster_subnet_id",
            "module.network_one.compute_subnet_id",
            "is among machines",
        ),
        (
            "modules/node/main.tf",
            "role_definition_id = var.role_id",
            "role_definition_id = var.name",
            "a role that is not there",
        ),
        ("modules/node/main.tf", "\"Key Vault Secrets Officer\"", "\"Key Vault Reader\"", "nobody may write"),
    ] {
        let path = format!("terraform/azure/{file}");
        let mut broken = tree.clone();
        let text = broken.files.get_mut(&path).unwrap();
        assert!(text.contains(right), "{path}: {right}\n{text}");
        *text = text.replacen(right, wrong, 1);
        let Some(workspace) = Workspace::new(&app, &broken, "azure") else { return };
        workspace.apply();
        let found = mistakes(&app, &broken, &Applied::of(&workspace));
        assert!(found.iter().any(|mistake| mistake.contains(said_of_it)), "{wrong}: {found:?}");
    }
}
