//! What a provider that knows no cloud cannot see of the code for Azure.

use checks::{Applied, mistakes};
use lifeboat_iac::Tree;
use lifeboat_model::App;
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
  inner: {kind: vmss, pattern: warm-standby, needs: [files, web, deep], port: 9000, check: {tcp: true}, size: {image: x, count: 2}}
  deep: {kind: vmss, pattern: warm-standby, port: 9001, check: {tcp: true}, size: {image: x, count: 2}}
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

/// A server is backed up where it writes, when a person says that it is to stay there; and who is to know of a failure is told.
#[test]
fn backups_follow_the_writer_when_a_person_says_so() {
    let app = example("azure/pilot-light");
    let Some(workspace) = Workspace::new(&app, &tree_of(&app), "azure") else { return };
    workspace.apply();
    let values = json!({
        "backed_up_servers": {"records": ["netherlands", "ireland"]},
        "alarm_action_groups": ["/subscriptions/0/resourceGroups/ops/providers/Microsoft.Insights/actionGroups/ops"],
    });
    std::fs::write(workspace.root.join("zz.auto.tfvars.json"), values.to_string()).unwrap();
    let plan = workspace.plan().unwrap();
    let mut made: Vec<&str> = super::changed(&plan).into_iter().filter(|address| address.contains("backup")).collect();
    made.sort_unstable();
    let instance = "azurerm_data_protection_backup_instance_postgresql_flexible_server.this[\"records\"]";
    let rule = "azurerm_monitor_alert_processing_rule_action_group.failed[0]";
    assert_eq!(
        made,
        [
            format!("module.backup_ireland.{instance}"),
            "module.backup_ireland.azurerm_data_protection_backup_policy_postgresql_flexible_server.weekly[0]".into(),
            format!("module.backup_ireland.{rule}"),
            "module.backup_ireland.azurerm_role_assignment.group[0]".into(),
            "module.backup_ireland.azurerm_role_assignment.servers[\"records\"]".into(),
            format!("module.backup_netherlands.{rule}"),
        ]
    );
    assert!(!plan.contains("will be destroyed"), "{plan}");
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

/// Where deployments run in AKS the region's node is a pod there, and there is no machine.
#[test]
fn a_node_in_a_cluster_has_no_machine() {
    let app = example("kubernetes/pilot-light");
    let tree = tree_of(&app);
    for (file, right, wrong, said_of_it) in [
        ("modules/pod/main.tf", "serviceaccount:${var.service_account}", "serviceaccount:desk:default", "is nobody"),
        ("platform.tf", "secret_store       = true", "secret_store       = false", "has no certificates"),
        ("modules/vault/main.tf", "\"Key Vault Secrets User\"", "\"Key Vault Reader\"", "no node reads"),
    ] {
        if !is_caught(&app, &tree, (file, right, wrong), said_of_it) {
            return;
        }
    }
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
        ("web.tf", "CARTS_URL", "CART_URL", "is told wrongly of CARTS"),
        ("inner.tf", "DEEP_HOST", "DEEPS_HOST", "is told wrongly of DEEP"),
        ("modules/vmss/main.tf", "/etc/default/", "/etc/", "is told nothing"),
        ("modules/aks/main.tf", "\"Azure Kubernetes Service RBAC Cluster Admin\"", "\"Reader\"", "nobody gets into"),
        ("modules/vault/main.tf", "\"Key Vault Secrets Officer\"", "\"Key Vault Reader\"", "nobody may write"),
        ("backup.tf", "\"GeoRedundant\"", "\"ZoneRedundant\"", "redundancy is"),
        (
            "backup.tf",
            "azurerm_resource_group.global.name",
            "azurerm_resource_group.one.name",
            "resource_group_name is",
        ),
        (
            "modules/backup/main.tf",
            "\"Storage Account Backup Contributor\"",
            "\"Reader\"",
            "may not back module.files.azurerm_storage_account.this up",
        ),
        ("modules/backup/main.tf", "= each.value.containers", "= [\"other\"]", "the vault takes"),
        (
            "modules/azure-storage/main.tf",
            "cross_tenant_replication_enabled = true",
            "cross_tenant_replication_enabled = false",
            "the vault takes",
        ),
        ("backup.tf", "var.regions[\"one\"].place", "var.regions[\"two\"].place", "is backed up into"),
    ] {
        if !is_caught(&app, &tree, (file, right, wrong), said_of_it) {
            return;
        }
    }
}

/// Asserts that a mistake is found once it is applied: in a file, what is right, and what stands there instead. `false`: terraform or the schemas
/// are not to be had, which was said.
fn is_caught(app: &App, tree: &Tree, (file, right, wrong): (&str, &str, &str), said_of_it: &str) -> bool {
    let path = format!("terraform/azure/{file}");
    let mut broken = tree.clone();
    let text = broken.files.get_mut(&path).unwrap();
    assert!(text.contains(right), "{path}: {right}\n{text}");
    *text = text.replacen(right, wrong, 1);
    let Some(workspace) = Workspace::new(app, &broken, "azure") else { return false };
    workspace.apply();
    let found = mistakes(app, &broken, &Applied::of(&workspace));
    assert!(found.iter().any(|mistake| mistake.contains(said_of_it)), "{wrong}: {found:?}");
    true
}
