//! The Terraform code against the real `terraform`, and against the providers' own schemas.

#![allow(clippy::unwrap_used, reason = "what a test helper cannot do fails the test")]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output};

use common::stub::{Drift, Made, Stub};
use common::{boot, example, examples, said, schemas, tool, tree_of, write};
use lifeboat_iac::Tree;
use lifeboat_model::App;
use lifeboat_model::app::{Kind, Provider};
use serde_json::{Value as Json, json};

#[path = "terraform/aws.rs"]
mod aws;
#[path = "terraform/azure.rs"]
mod azure;
mod common;
#[path = "arm/deployment.rs"]
mod deployment;
#[path = "arm/expression.rs"]
mod expression;

/// A root module on disk with the providers it needs.
struct Workspace {
    terraform: PathBuf,
    root: PathBuf,
    stubs: Vec<Stub>,
    passwords: RefCell<Json>,
    _folder: tempfile::TempDir,
}

impl Workspace {
    /// `None`: terraform or the schemas are not to be had, which was said.
    fn new(app: &App, tree: &Tree, cloud: &str) -> Option<Self> {
        let workspace = Self::uninitialised(app, tree, cloud)?;
        workspace.succeed(&["init", "-input=false"]);
        Some(workspace)
    }

    fn uninitialised(app: &App, tree: &Tree, cloud: &str) -> Option<Self> {
        let (terraform, schemas) = (tool("terraform")?, schemas("terraform")?);
        let folder = tempfile::tempdir().unwrap();
        write(tree, &folder.path().join("infra"));
        let root = folder.path().join("infra/terraform").join(cloud);
        std::fs::write(
            root.join("terraform.tfvars"),
            &tree.files[&format!("terraform/{cloud}/terraform.tfvars.example")],
        )
        .unwrap();
        std::fs::write(folder.path().join("lifeboat.yaml"), format!("app: {}\n", app.name)).unwrap();
        let (source, file) = match cloud {
            "aws" => ("hashicorp/aws", "aws.schema.json"),
            _ => ("hashicorp/azurerm", "azurerm.schema.json"),
        };
        let stubs = vec![Stub::start(source, &schemas.join(file), folder.path())];
        let takes = |kind: Kind| matches!(kind, Kind::AuroraGlobal | Kind::Rds);
        let databases = app.components.iter().filter(|(_, component)| takes(component.kind));
        let passwords: Json = databases.map(|(id, _)| (id.to_string(), Json::from("not-a-secret"))).collect();
        Some(Self { terraform, root, stubs, passwords: RefCell::new(passwords), _folder: folder })
    }

    fn run(&self, arguments: &[&str]) -> Output {
        common::run(
            Command::new(&self.terraform)
                .args(arguments)
                .current_dir(&self.root)
                .env("TF_REATTACH_PROVIDERS", Stub::reattach(&self.stubs.iter().collect::<Vec<_>>()))
                .env("TF_VAR_database_passwords", self.passwords.borrow().to_string())
                .env("CHECKPOINT_DISABLE", "1")
                .env("NO_COLOR", "1")
                .env_remove("TF_LOG"),
        )
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "terraform {arguments:?}\n{}", said(&output));
        said(&output)
    }

    fn apply(&self) -> String {
        self.succeed(&["apply", "-auto-approve", "-input=false", "-no-color"])
    }

    /// What a plan would do: `None`: nothing.
    fn plan(&self) -> Option<String> {
        let output = self.run(&["plan", "-detailed-exitcode", "-input=false", "-no-color"]);
        match output.status.code() {
            Some(0) => None,
            Some(2) => Some(said(&output)),
            _ => panic!("{}", said(&output)),
        }
    }

    /// Azure's databases are kept by the code itself: whoever wants to take everything away says so, by the README's command.
    fn unprotect(&self, tree: &Tree) {
        let line = tree.files["README.md"].lines().find(|line| line.contains("prevent_destroy = false"));
        let Some(line) = line else { return };
        let output = common::run(Command::new("sh").args(["-c", line]).current_dir(&self.root));
        assert!(output.status.success(), "{line}: {}", said(&output));
    }

    /// What the nodes' machines run at boot, as Terraform fills it in. CloudFormation's machines run the same, and on Azure it is to
    /// the letter what an ARM deployment makes of it.
    fn check_boot_scripts(&self, app: &App, tree: &Tree) {
        let deployed = deployment::Subscription::of(app, tree);
        let state: Json = serde_json::from_slice(&self.run(&["show", "-json", "-no-color"]).stdout).unwrap();
        let modules = state["values"]["root_module"]["child_modules"].as_array().unwrap();
        let nodes: Vec<&Json> =
            modules.iter().filter(|module| module["address"].as_str().unwrap().starts_with("module.node_")).collect();
        assert!(!nodes.is_empty());
        let mut compared = 0;
        let expected =
            if self.root.ends_with("azure") && tree.files.contains_key("arm/regional.json") { nodes.len() } else { 0 };
        for node in nodes {
            let encoded = node["resources"].as_array().unwrap().iter().find_map(|resource| {
                let values = &resource["values"];
                values["user_data"].as_str().or(values["custom_data"].as_str())
            });
            let encoded = encoded.unwrap();
            let region = boot::check(app, encoded);
            let script = boot::decoded(encoded);
            let set = format!("{}-{region}-lifeboat", app.name);
            if let Some((_, node)) =
                deployed.resources.iter().find(|(id, _)| id.ends_with(&format!("/virtualMachineScaleSets/{set}")))
            {
                let data = node["properties"]["virtualMachineProfile"]["osProfile"]["customData"].as_str().unwrap();
                assert_eq!(boot::decoded(data), script, "{region}");
                compared += 1;
            }
            let place = &app.regions[region].place;
            if let Some(template) =
                tree.files.get("cloudformation/regional.yaml").filter(|_| place.provider == Provider::Aws)
            {
                let allocation = script.split("--allocation-id ").nth(1).unwrap().split(' ').next().unwrap();
                let other = boot::of_cloudformation(template, &place.name, allocation);
                let lines =
                    |text: &str| text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>();
                assert_eq!(lines(&script), lines(&other), "{region}");
            }
        }
        assert_eq!(compared, expected);
    }

    /// Every resource of the state.
    fn resources(&self) -> Vec<Json> {
        let state: Json = serde_json::from_slice(&self.run(&["show", "-json", "-no-color"]).stdout).unwrap();
        let root = &state["values"]["root_module"];
        let modules = std::iter::once(root).chain(root["child_modules"].as_array().into_iter().flatten());
        modules.flat_map(|module| module["resources"].as_array().cloned().unwrap_or_default()).collect()
    }

    /// The least number of instances of an Auto Scaling group.
    fn least(&self, group: &str) -> i64 {
        let resources = self.resources();
        let is_it = |found: &&Json| found["type"] == "aws_autoscaling_group" && found["values"]["name"] == group;
        resources.iter().find(is_it).unwrap()["values"]["min_size"].as_i64().unwrap()
    }

    /// How the regions differ from the file and from each other, as far as the state tells.
    fn seen_to_differ(&self, app: &App) -> Vec<String> {
        let state = self.run(&["show", "-json", "-no-color"]).stdout;
        let mut seen = lifeboat_iac::observe(app, None, &String::from_utf8(state).unwrap()).unwrap();
        assert!(seen.observations["web"].len() > 1, "{seen:?}");
        let path = "terraform/aws/roles.auto.tfvars.json";
        let roles = std::fs::read_to_string(self.root.join("roles.auto.tfvars.json")).unwrap();
        let roles = lifeboat_iac::Said::read(app, &[(path.to_owned(), roles)].into()).unwrap().roles;
        (seen.serving, seen.writers) = (roles.serving, roles.writers);
        let found = lifeboat_iac::drift(app, &seen).unwrap();
        found.iter().map(ToString::to_string).collect()
    }

    fn roles(&self, roles: &Json) {
        std::fs::write(self.root.join("roles.auto.tfvars.json"), roles.to_string()).unwrap();
    }

    /// Somebody gives a service so many tasks, now and at the least.
    fn scale(&self, service: &str, tasks: u32) {
        self.drift("aws_ecs_service", ("name", service), vec![("desired_count", json!(tasks))]);
        let target = format!("service/{service}/{service}");
        self.drift("aws_appautoscaling_target", ("resource_id", &target), vec![("min_capacity", json!(tasks))]);
    }

    /// Somebody adds an instance to a cluster.
    fn make_instance(&self, cluster: &str, number: u32) {
        let id = format!("{cluster}-{number}");
        let now = vec![
            ("identifier", json!(id)),
            ("cluster_identifier", json!(cluster)),
            ("engine", json!("aurora-postgresql")),
            ("instance_class", json!("db.r7g.large")),
            ("auto_minor_version_upgrade", json!(false)),
        ];
        self.stubs[0].make(Made { resource: "aws_rds_cluster_instance", id, now });
    }

    fn drift(&self, resource: &'static str, which: (&'static str, &str), now: Vec<(&'static str, Json)>) {
        self.stubs[0].drift(Drift { resource, which: (which.0, which.1.into()), now });
    }
}

/// The resources that a plan would touch.
fn changed(plan: &str) -> Vec<&str> {
    plan.lines()
        .filter_map(|line| line.strip_prefix("  # ")?.split_once(" will be "))
        .map(|(address, _)| address)
        .collect()
}

fn clouds(tree: &Tree) -> Vec<&'static str> {
    ["aws", "azure"]
        .into_iter()
        .filter(|cloud| tree.files.contains_key(&format!("terraform/{cloud}/versions.tf")))
        .collect()
}

#[test]
fn it_is_formatted_as_terraform_formats() {
    let Some(terraform) = tool("terraform") else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, app) in examples(&["aws", "azure", "kubernetes"]) {
        write(&tree_of(&app), &folder.path().join(name));
    }
    write(&tree_of(&common::hostile()), &folder.path().join("hostile"));
    let output = common::run(Command::new(terraform).args(["fmt", "-check", "-diff", "-recursive"]).arg(folder.path()));
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn every_example_applies_and_then_nothing_is_left_to_do() {
    for (name, app) in examples(&["aws", "azure", "kubernetes"]) {
        let tree = tree_of(&app);
        for cloud in clouds(&tree) {
            let Some(workspace) = Workspace::new(&app, &tree, cloud) else { return };
            workspace.succeed(&["validate", "-no-color"]);
            workspace.apply();
            assert_eq!(workspace.plan(), None, "{name}");
            workspace.check_boot_scripts(&app, &tree);
            workspace.unprotect(&tree);
            workspace.succeed(&["destroy", "-auto-approve", "-input=false", "-no-color"]);
        }
    }
}

/// The survivor gets its full size although nobody answers in the region that was lost, once the zones have been named.
#[test]
fn with_a_region_dark_the_survivor_gets_its_size() {
    let app = example("aws/warm-standby");
    let tree = tree_of(&app);
    let Some(workspace) = Workspace::new(&app, &tree, "aws") else { return };
    workspace.apply();
    let zones = workspace.run(&["output", "-json", "zones"]).stdout;
    let named = format!("{{\"zones\": {}}}", String::from_utf8(zones).unwrap());
    workspace.stubs[0].darken("eu-north-1");
    workspace.roles(&json!({"writers": {"orders": "frankfurt"}, "serving": {"web": ["frankfurt"]}}));

    let apply = ["apply", "-refresh=false", "-auto-approve", "-input=false", "-no-color"];
    let stopped = workspace.run(&apply);
    assert!(!stopped.status.success() && said(&stopped).contains("no answer from eu-north-1"), "{}", said(&stopped));
    assert_eq!(workspace.least("shop-web-frankfurt"), 2, "without names of zones nothing can even be planned");

    std::fs::write(workspace.root.join("zones.auto.tfvars.json"), named).unwrap();
    let applied = said(&workspace.run(&apply));
    assert_eq!(workspace.least("shop-web-frankfurt"), 6, "{applied}");
    // What lies in the dark waits until it is back.
    assert!(applied.contains("no answer from eu-north-1"), "{applied}");
    assert_eq!(workspace.least("shop-web-stockholm"), 6, "{applied}");
}

/// The node stands in a public subnet: from there, too, there is a way to every other region.
#[test]
fn nodes_reach_each_other() {
    let app = example("aws/warm-standby");
    let tree = tree_of(&app);
    let Some(workspace) = Workspace::new(&app, &tree, "aws") else { return };
    workspace.apply();
    let resources = workspace.resources();
    let of = |kind: &'static str| resources.iter().filter(move |resource| resource["type"] == kind);
    for (region, network) in [("stockholm", "10.19"), ("frankfurt", "10.17"), ("ireland", "10.22")] {
        let node =
            of("aws_autoscaling_group").find(|group| group["values"]["name"] == format!("shop-lifeboat-{region}"));
        let subnet = &node.unwrap()["values"]["vpc_zone_identifier"][0];
        let table = of("aws_route_table_association").find(|one| one["values"]["subnet_id"] == *subnet).unwrap();
        let routes =
            of("aws_route").filter(|route| route["values"]["route_table_id"] == table["values"]["route_table_id"]);
        let mut leads: Vec<&str> =
            routes.map(|route| route["values"]["destination_cidr_block"].as_str().unwrap()).collect();
        leads.sort_unstable();
        let mut expected: Vec<String> = ["10.17", "10.19", "10.22"]
            .iter()
            .filter(|other| **other != network)
            .map(|other| format!("{other}.0.0/16"))
            .collect();
        expected.insert(0, "0.0.0.0/0".to_owned());
        assert_eq!(leads, expected, "{region}");
    }
}

/// Aurora and an Auto Scaling group: Lifeboat promoted Frankfurt and scaled it up; Stockholm comes back as a secondary.
#[test]
fn after_a_failover_the_plan_is_empty() {
    let mut app = example("aws/warm-standby");
    for (id, standby) in [("orders", 1), ("web", 2)] {
        app.components.get_mut(id).unwrap().size.standby = Some(standby);
    }
    let tree = tree_of(&app);
    let Some(workspace) = Workspace::new(&app, &tree, "aws") else { return };
    workspace.apply();
    assert_eq!(workspace.seen_to_differ(&app), [""; 0], "what was just applied is as the file says");

    let global = json!("aws_rds_cluster/shop-orders-frankfurt/arn");
    workspace.drift(
        "aws_rds_cluster",
        ("cluster_identifier", "shop-orders-frankfurt"),
        vec![("replication_source_identifier", Json::Null), ("master_username", json!("lifeboat_admin"))],
    );
    workspace.drift(
        "aws_rds_cluster",
        ("cluster_identifier", "shop-orders-stockholm"),
        vec![("replication_source_identifier", global), ("global_cluster_identifier", Json::Null)],
    );
    workspace.drift(
        "aws_autoscaling_group",
        ("name", "shop-web-frankfurt"),
        vec![("min_size", json!(6)), ("desired_capacity", json!(9))],
    );
    // The role file is what keeps it empty: without it Terraform wants to undo the failover.
    let undone = workspace.plan().expect("a plan with the old roles");
    assert!(undone.contains("min_size") && undone.contains("6 -> 2"), "{undone}");
    assert_eq!(
        changed(&undone),
        ["module.web_frankfurt.aws_autoscaling_group.this"],
        "the database is left alone whatever the roles say"
    );

    // Whoever promoted it gave it the second instance that a writer has: it is taken over, and Stockholm's second one goes.
    workspace.make_instance("shop-orders-frankfurt", 2);
    workspace.roles(&json!({"writers": {"orders": "frankfurt"}, "serving": {"web": ["frankfurt", "stockholm"]}}));
    let sized = workspace.plan().expect("a plan for the instances");
    assert_eq!(
        changed(&sized),
        [
            "module.orders_frankfurt.aws_rds_cluster_instance.this[1]",
            "module.orders_stockholm.aws_rds_cluster_instance.this[1]"
        ]
    );
    assert!(sized.contains("Plan: 1 to import, 0 to add, ") && sized.contains(", 1 to destroy"), "{sized}");
    workspace.apply();
    assert_eq!(workspace.plan(), None);

    workspace.drift(
        "aws_autoscaling_group",
        ("name", "shop-web-stockholm"),
        vec![("min_size", json!(2)), ("desired_capacity", json!(2))],
    );
    workspace.roles(&json!({"writers": {"orders": "frankfurt"}, "serving": {"web": ["frankfurt"]}}));
    assert_eq!(workspace.plan(), None, "Stockholm has become the standby");

    // A failover is no drift; what somebody did by hand in one region is.
    workspace.succeed(&["apply", "-refresh-only", "-auto-approve", "-input=false", "-no-color"]);
    assert_eq!(workspace.seen_to_differ(&app), [""; 0]);
    workspace.drift(
        "aws_launch_template",
        ("name", "shop-web-frankfurt"),
        vec![("instance_type", json!("m7g.medium"))],
    );
    workspace.drift(
        "aws_rds_cluster",
        ("cluster_identifier", "shop-orders-stockholm"),
        vec![("engine_version", json!("16.6"))],
    );
    workspace.succeed(&["apply", "-refresh-only", "-auto-approve", "-input=false", "-no-color"]);
    assert_eq!(
        workspace.seen_to_differ(&app),
        [
            "orders in frankfurt: version is 16.8, 16.6 in stockholm",
            "web in frankfurt: instance is m7g.medium, m7g.large in the file",
        ]
    );
}

/// RDS and ECS: a promotion makes the replica an instance of its own; Lifeboat builds a replica where the old writer was.
#[test]
fn after_a_promotion_the_plan_is_empty() {
    let app = example("aws/pilot-light");
    let tree = tree_of(&app);
    let Some(workspace) = Workspace::new(&app, &tree, "aws") else { return };
    workspace.apply();

    workspace.drift(
        "aws_db_instance",
        ("identifier", "invoices-ledger-ireland"),
        vec![("replicate_source_db", Json::Null), ("engine", json!("postgres")), ("username", json!("lifeboat_admin"))],
    );
    workspace.scale("invoices-api-ireland", 4);
    assert!(workspace.plan().is_some(), "the old roles would undo it");
    workspace.roles(&json!({"writers": {"ledger": "ireland"}, "serving": {"api": ["frankfurt", "ireland"]}}));
    assert_eq!(workspace.plan(), None, "promoted, the old region is still down");

    workspace.drift(
        "aws_db_instance",
        ("identifier", "invoices-ledger-frankfurt"),
        vec![("replicate_source_db", json!("arn:aws:rds:eu-west-1:123456789012:db:invoices-ledger-ireland"))],
    );
    workspace.scale("invoices-api-frankfurt", 0);
    workspace.roles(&json!({"writers": {"ledger": "ireland"}, "serving": {"api": ["ireland"]}}));
    assert_eq!(workspace.plan(), None, "the old writer has become a replica");
}

/// Azure SQL, a scale set with autoscale, and Cosmos DB whose priorities are the roles.
#[test]
fn after_a_failover_on_azure_the_plan_is_empty() {
    let app = example("azure/warm-standby");
    let tree = tree_of(&app);
    let Some(workspace) = Workspace::new(&app, &tree, "azure") else { return };
    workspace.apply();
    // The group is the other server's now, seen from which this one is the partner.
    let server = |region: &str| json!(format!("azurerm_mssql_server/booking-reservations-{region}-000000/id"));
    workspace.drift(
        "azurerm_mssql_failover_group",
        ("name", "booking-reservations-000000"),
        vec![("server_id", server("netherlands")), ("partner_server.0.id", server("ireland"))],
    );
    workspace.drift(
        "azurerm_monitor_autoscale_setting",
        ("name", "booking-web-netherlands"),
        vec![("profile.0.capacity.0.minimum", json!(6)), ("profile.0.capacity.0.default", json!(6))],
    );
    workspace.drift(
        "azurerm_linux_virtual_machine_scale_set",
        ("name", "booking-web-netherlands"),
        vec![("instances", json!(8))],
    );
    let undone = workspace.plan().expect("a plan with the old roles");
    assert_eq!(changed(&undone), ["module.web_netherlands.azurerm_monitor_autoscale_setting.this"]);
    workspace
        .roles(&json!({"writers": {"reservations": "netherlands"}, "serving": {"web": ["ireland", "netherlands"]}}));
    assert_eq!(workspace.plan(), None);
}

#[test]
fn after_a_failover_of_postgresql_and_cosmos_db_the_plan_is_empty() {
    let app = lifeboat_model::parse(
        "app: mixed\nregions:\n  one: {place: azure/northeurope}\n  two: {place: azure/westeurope}\n  three: {place: azure/swedencentral}\n\
         components:\n  tickets: {kind: azure-postgres, pattern: pilot-light, writer: one, standbys: {two: asynchronous}}\n  \
         carts: {kind: cosmosdb, pattern: warm-standby, writer: one, standbys: {two: asynchronous, three: asynchronous}}\n  \
         platform: {kind: aks, pattern: warm-standby, regions: [one, two], size: {count: 6}, needs: [tickets]}\n",
    )
    .unwrap();
    let tree = tree_of(&app);
    let Some(workspace) = Workspace::new(&app, &tree, "azure") else { return };
    workspace.apply();
    let server = |region: &str| json!(format!("azurerm_postgresql_flexible_server/mixed-tickets-{region}-000000/id"));
    workspace.drift(
        "azurerm_postgresql_flexible_server",
        ("name", "mixed-tickets-two-000000"),
        vec![("source_server_id", Json::Null), ("replication_role", json!("Primary"))],
    );
    workspace.drift(
        "azurerm_postgresql_flexible_server",
        ("name", "mixed-tickets-one-000000"),
        vec![("source_server_id", server("two")), ("replication_role", json!("GeoAsyncReplica")), ("zone", json!("2"))],
    );
    workspace.drift(
        "azurerm_postgresql_flexible_server_virtual_endpoint",
        ("name", "mixed-tickets-000000"),
        vec![("source_server_id", server("two")), ("replica_server_id", server("one"))],
    );
    workspace.drift("azurerm_kubernetes_cluster_node_pool", ("name", "apps"), vec![("min_count", json!(6))]);
    let places = ["northeurope", "westeurope", "swedencentral"];
    let locations: Vec<Json> = [1, 0, 2]
        .iter()
        .zip(places)
        .map(|(priority, place)| json!({"id": "azurerm_cosmosdb_account/mixed-carts-000000/id", "location": place, "zone_redundant": true, "failover_priority": priority}))
        .collect();
    workspace.drift(
        "azurerm_cosmosdb_account",
        ("name", "mixed-carts-000000"),
        vec![("geo_location", Json::Array(locations))],
    );
    assert!(workspace.plan().is_some(), "the old roles would undo it");
    workspace.roles(&json!({"writers": {"tickets": "two", "carts": "two"}, "serving": {"platform": ["one", "two"]}}));
    assert_eq!(workspace.plan(), None);
}

#[test]
fn a_mistake_in_the_code_is_caught() {
    let app = example("aws/warm-standby");
    let mut tree = tree_of(&app);
    for (file, right, wrong, said_of_it) in [
        ("modules/network/main.tf", "cidr_block           = var.cidr", "cidr_blok            = var.cidr", "cidr_blok"),
        (
            "modules/asg/main.tf",
            "\"aws_launch_template\" \"this\"",
            "\"aws_lunch_template\" \"this\"",
            "aws_lunch_template",
        ),
        (
            "modules/asg/main.tf",
            "max_size            = var.max_size",
            "max_size            = \"many\"",
            "a number is required",
        ),
        ("modules/backup/main.tf", "    target_vault_name        = var.vault\n", "", "target_vault_name"),
        ("web.tf", "aws = aws.frankfurt", "aws = aws.frankfort", "frankfort"),
        ("orders.tf", "module.network_frankfurt", "module.network_frankfort", "network_frankfort"),
    ] {
        let path = format!("terraform/aws/{file}");
        let good = tree.files[&path].clone();
        assert!(good.contains(right), "{right}");
        tree.files.insert(path.clone(), good.replace(right, wrong));
        let Some(workspace) = Workspace::uninitialised(&app, &tree, "aws") else { return };
        let (init, validate) = (workspace.run(&["init", "-input=false"]), workspace.run(&["validate", "-no-color"]));
        assert!(!validate.status.success(), "{wrong} passed");
        let said = format!("{}{}", said(&init), said(&validate));
        assert!(said.contains(said_of_it), "{wrong}: {said}");
        tree.files.insert(path, good);
    }
}

/// Whoever reads how this is validated learns which schemas are nobody's but ours.
#[test]
fn schemas_that_are_written_by_hand_are_named() {
    let Some(folder) = schemas("terraform") else { return };
    let documented = std::fs::read_to_string(common::root().join("docs/generate.md")).unwrap();
    let documented: BTreeSet<&str> =
        documented.split('`').filter(|name| name.starts_with("aws_") || name.starts_with("azurerm_")).collect();
    let mut written = BTreeSet::new();
    for file in ["aws.schema.json", "azurerm.schema.json"] {
        written.extend(common::stub::written_by_hand(&folder.join(file)));
    }
    assert_eq!(written.iter().map(String::as_str).collect::<BTreeSet<_>>(), documented);
}
