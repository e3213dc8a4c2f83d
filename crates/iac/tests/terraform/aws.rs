//! Failovers on AWS by kind and pattern: what a plan does afterwards, with the lost region there or dark.

#![allow(clippy::unwrap_used, reason = "what a test helper cannot do fails the test")]

use lifeboat_model::App;
use serde_json::{Value as Json, json};

use super::{Workspace, changed};
use crate::common::stub::Made;
use crate::common::{example, said, tree_of, write};

/// A writer without a password is refused by AWS in the middle of an apply, so it is wanted before.
#[test]
fn every_database_wants_its_first_password() {
    let app = example("aws/shop");
    let tree = tree_of(&app);
    let Some(workspace) = Workspace::new(&app, &tree, "aws") else { return };
    for (passwords, is_enough) in [
        (json!({}), false),
        (json!({"orders": "not-a-secret"}), false),
        (json!({"orders": "not-a-secret", "warehouse": "a/slash-in-it"}), false),
        (json!({"orders": "not-a-secret", "warehouse": "short"}), false),
        (json!({"orders": "not-a-secret", "warehouse": "~another!one#"}), true),
    ] {
        *workspace.passwords.borrow_mut() = passwords.clone();
        let planned = workspace.run(&["plan", "-input=false", "-no-color"]);
        assert_eq!(planned.status.success(), is_enough, "{passwords}: {}", said(&planned));
        let text = said(&planned).split_whitespace().collect::<Vec<_>>().join(" ");
        let names = text.contains("a password for each of orders, warehouse");
        assert_eq!(names, !is_enough, "{}", said(&planned));
    }
    assert!(
        tree.files["README.md"].contains("TF_VAR_database_passwords='{\"orders\": \"...\", \"warehouse\": \"...\"}'")
    );
}

/// EKS: the least number and the desired one go up together, as AWS would have it, and come down together.
#[test]
fn a_cluster_follows_its_role() {
    let text = "app: pods\nregions:\n  stockholm: {place: aws/eu-north-1, preference: 1}\n  frankfurt: {place: aws/eu-central-1}\ncomponents:\n  \
                platform: {kind: eks, pattern: warm-standby, regions: [stockholm, frankfurt], size: {count: 6}}\nfailover: {mode: approve}\n";
    let app = lifeboat_model::parse(text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let tree = tree_of(&app);
    let Some(workspace) = Workspace::new(&app, &tree, "aws") else { return };
    workspace.apply();
    let sizes = |cluster: &str| {
        let is_it = |found: &Json| found["type"] == "aws_eks_node_group" && found["values"]["cluster_name"] == cluster;
        let found = workspace.resources().into_iter().find(is_it).unwrap();
        let scaling = &found["values"]["scaling_config"][0];
        (scaling["min_size"].as_i64().unwrap(), scaling["desired_size"].as_i64().unwrap())
    };
    assert_eq!((sizes("pods-platform-stockholm"), sizes("pods-platform-frankfurt")), ((6, 6), (2, 2)));

    // Nobody has moved anything yet but the role: the apply raises Frankfurt.
    workspace.roles(&json!({"serving": {"platform": ["frankfurt", "stockholm"]}}));
    workspace.apply();
    assert_eq!(sizes("pods-platform-frankfurt"), (6, 6));
    assert_eq!(workspace.plan(), None);

    // Lifeboat has moved it, and told the role file.
    for (cluster, size) in [("pods-platform-frankfurt", 2), ("pods-platform-stockholm", 6)] {
        let now = ["scaling_config.0.min_size", "scaling_config.0.desired_size"].map(|name| (name, json!(size)));
        workspace.drift("aws_eks_node_group", ("cluster_name", cluster), now.into());
    }
    workspace.roles(&json!({"serving": {"platform": ["stockholm"]}}));
    assert_eq!(workspace.plan(), None);
}

fn parsed(text: &str) -> App {
    lifeboat_model::parse(text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// Two regions and a witness, with these components.
fn with(components: &str) -> App {
    parsed(&format!(
        "app: shop\nobjectives: {{rpo: 3h}}\nregions:\n  stockholm: {{place: aws/eu-north-1}}\n  frankfurt: {{place: aws/eu-central-1}}\n  \
         ireland: {{place: aws/eu-west-1, role: witness}}\ncomponents:\n{components}failover: {{mode: approve}}\n"
    ))
}

impl Workspace {
    /// The same names of zones as now at every plan, so that none asks a region for them.
    fn name_zones(&self) {
        let zones = self.run(&["output", "-json", "zones"]).stdout;
        let named = format!("{{\"zones\": {}}}", String::from_utf8(zones).unwrap());
        std::fs::write(self.root.join("zones.auto.tfvars.json"), named).unwrap();
    }

    /// An apply while a region is dark: what lies there fails, and nothing is replaced anywhere.
    fn apply_in_the_dark(&self, region: &str) -> String {
        let arguments = ["-refresh=false", "-input=false", "-no-color"];
        let planned = said(&self.run(&[["plan"].as_slice(), &arguments].concat()));
        assert!(planned.contains("Plan: ") && !planned.contains("must be replaced"), "{planned}");
        let applied = said(&self.run(&[["apply", "-auto-approve"].as_slice(), &arguments].concat()));
        let errors = applied.lines().filter(|line| line.contains("Error: ")).collect::<Vec<_>>();
        let expected = format!("no answer from {region}");
        assert!(errors.iter().all(|error| error.contains(&expected)), "{applied}");
        applied
    }

    fn found(&self, kind: &str) -> Vec<Json> {
        self.resources().into_iter().filter(|resource| resource["type"] == kind).collect()
    }

    /// How many instances Aurora has in a cluster, as far as Terraform knows.
    fn instances(&self, cluster: &str) -> usize {
        let all = self.found("aws_rds_cluster_instance");
        all.iter().filter(|one| one["values"]["identifier"].as_str().unwrap().starts_with(cluster)).count()
    }

    /// What the machines of a component are told at boot.
    fn environment(&self, group: &str) -> String {
        let templates = self.found("aws_launch_template");
        let template = templates.iter().find(|template| template["values"]["name"] == group).unwrap();
        crate::common::boot::decoded(template["values"]["user_data"].as_str().unwrap())
    }
}

/// Aurora in each pattern: the writer's region has all instances and the other what is left of them, whoever promoted it.
#[test]
fn the_instances_of_aurora_follow_the_writer() {
    for (pattern, standby) in [("pilot-light", 0), ("warm-standby", 1)] {
        let app = with(&format!(
            "  orders: {{kind: aurora-global, pattern: {pattern}, writer: stockholm, standbys: {{frankfurt: asynchronous}}, size: {{count: 2, instance: db.r7g.large}}}}\n"
        ));
        let tree = tree_of(&app);
        let Some(workspace) = Workspace::new(&app, &tree, "aws") else { return };
        workspace.apply();
        let sizes = || (workspace.instances("shop-orders-stockholm"), workspace.instances("shop-orders-frankfurt"));
        assert_eq!(sizes(), (2, standby), "{pattern}");

        // Stockholm is lost. A headless cluster was given an instance to be promoted with.
        workspace.name_zones();
        workspace.stubs[0].darken("eu-north-1");
        if standby == 0 {
            workspace.make_instance("shop-orders-frankfurt", 1);
        }
        workspace.drift(
            "aws_rds_cluster",
            ("cluster_identifier", "shop-orders-frankfurt"),
            vec![("replication_source_identifier", Json::Null), ("master_username", json!("lifeboat_admin"))],
        );
        workspace.roles(&json!({"writers": {"orders": "frankfurt"}}));
        workspace.apply_in_the_dark("eu-north-1");
        assert_eq!(sizes().1, 2, "{pattern}");

        // It is back as a secondary, which AWS has rebuilt.
        workspace.stubs[0].darken("nowhere");
        workspace.drift(
            "aws_rds_cluster",
            ("cluster_identifier", "shop-orders-stockholm"),
            vec![
                ("replication_source_identifier", json!("aws_rds_cluster/shop-orders-frankfurt/arn")),
                ("global_cluster_identifier", Json::Null),
            ],
        );
        let plan = workspace.plan().expect("a plan for what could not be done");
        assert!(!plan.contains("must be replaced"), "{plan}");
        let left = changed(&plan);
        let surplus = |one: &&str| one.starts_with("module.orders_stockholm.aws_rds_cluster_instance.this[");
        assert!(!left.is_empty() && left.iter().all(surplus), "{left:?}");
        workspace.apply();
        assert_eq!((sizes(), workspace.plan()), ((standby, 2), None), "{pattern}");
    }
}

/// A home cluster that was lost for good is made anew as what its region is by then: a secondary.
#[test]
fn a_lost_home_is_made_anew_as_a_secondary() {
    let app = example("aws/warm-standby");
    let tree = tree_of(&app);
    let Some(workspace) = Workspace::new(&app, &tree, "aws") else { return };
    workspace.apply();
    workspace.succeed(&["state", "rm", "module.orders_stockholm.aws_rds_cluster.this[0]"]);
    workspace.roles(&json!({"writers": {"orders": "frankfurt"}, "serving": {"web": ["frankfurt"]}}));
    workspace.apply();
    let clusters = workspace.found("aws_rds_cluster");
    let stockholm = clusters.iter().find(|one| one["values"]["cluster_identifier"] == "shop-orders-stockholm").unwrap();
    assert_ne!(stockholm["values"]["master_username"], "lifeboat_admin", "{stockholm}");
    assert_ne!(stockholm["values"]["database_name"], "orders", "{stockholm}");
}

/// RDS from replicated backups, Aurora from a copied snapshot: restored by hand in the dark, adopted with its instances, and applications
/// are told of it.
#[test]
fn what_was_restored_is_adopted() {
    let app = with(
        "  ledger: {kind: rds, pattern: backup-restore, writer: stockholm, standbys: {frankfurt: asynchronous}}\n  \
         orders: {kind: aurora-global, pattern: backup-restore, writer: stockholm, standbys: {frankfurt: asynchronous}, size: {count: 2, instance: db.r7g.large}}\n  \
         web: {kind: asg, pattern: backup-restore, needs: [ledger, orders], regions: [stockholm, frankfurt], size: {image: ami-0a1b2c3d4e5f60718}}\n",
    );
    let tree = tree_of(&app);
    let Some(workspace) = Workspace::new(&app, &tree, "aws") else { return };
    workspace.apply();
    assert_eq!(workspace.plan(), None);
    let copies = workspace.found("aws_db_instance_automated_backups_replication");
    let [copy] = copies.as_slice() else { panic!("{copies:?}") };
    assert!(copy["address"].as_str().unwrap().starts_with("module.ledger_frankfurt."), "{copy}");
    assert_eq!(
        copy["values"]["source_db_instance_arn"],
        "arn:aws:rds:eu-north-1:123456789012:db:shop-ledger-stockholm"
    );
    let hourly = workspace.found("aws_backup_plan").into_iter().filter(|plan| {
        let rule = &plan["values"]["rule"][0];
        rule["schedule"] == "cron(0 * * * ? *)" && !rule["copy_action"].as_array().unwrap().is_empty()
    });
    assert_eq!(hourly.count(), 2, "in both regions, for either may write");
    assert!(workspace.found("aws_rds_global_cluster").is_empty(), "what is restored could not be in it");
    // The image is there before it is needed: its region may be the lost one.
    assert_eq!(workspace.found("aws_ami_copy").len(), 2);
    let at_home = workspace.environment("shop-web-stockholm");
    assert!(at_home.contains("ORDERS_HOST=aws_rds_cluster/shop-orders-stockholm/endpoint"), "{at_home}");

    workspace.name_zones();
    workspace.stubs[0].darken("eu-north-1");
    workspace
        .roles(&json!({"writers": {"ledger": "frankfurt", "orders": "frankfurt"}, "serving": {"web": ["frankfurt"]}}));
    let early = workspace.run(&["plan", "-refresh=false", "-input=false", "-no-color"]);
    assert!(!early.status.success() && said(&early).contains("Cannot import"), "{}", said(&early));

    let restored = |resource, id: &str, name, more: Vec<(&'static str, Json)>| {
        let now = [vec![(name, json!(id))], more].concat();
        workspace.stubs[0].make(Made { resource, id: id.into(), now });
    };
    restored("aws_db_instance", "shop-ledger-frankfurt", "identifier", vec![("instance_class", json!("db.m7g.large"))]);
    restored(
        "aws_rds_cluster",
        "shop-orders-frankfurt",
        "cluster_identifier",
        vec![("engine", json!("aurora-postgresql"))],
    );
    workspace.make_instance("shop-orders-frankfurt", 1);
    workspace.make_instance("shop-orders-frankfurt", 2);
    let applied = workspace.apply_in_the_dark("eu-north-1");
    for address in [
        "module.ledger_frankfurt.aws_db_instance.this[0]: Import complete",
        "module.orders_frankfurt.aws_rds_cluster.this[0]: Import complete",
        "module.orders_frankfurt.aws_rds_cluster_instance.this[1]: Import complete",
    ] {
        assert!(applied.contains(address), "{applied}");
    }
    let there = workspace.environment("shop-web-frankfurt");
    for line in [
        "LEDGER_HOST=aws_db_instance/shop-ledger-frankfurt/address",
        "ORDERS_HOST=aws_rds_cluster/shop-orders-frankfurt/endpoint",
    ] {
        assert!(there.contains(line), "{there}");
    }

    // Stockholm is back: what it has is left alone, and it keeps the backups of the new writer.
    workspace.stubs[0].darken("nowhere");
    workspace.apply();
    assert_eq!(workspace.plan(), None);
    assert_eq!(workspace.instances("shop-orders-stockholm"), 2);
    assert_eq!(workspace.found("aws_db_instance_automated_backups_replication").len(), 2);
}

/// Applications find components without a route by names of the app's own.
#[test]
fn components_are_told_of_each_other() {
    let app = example("aws/shop");
    let tree = tree_of(&app);
    let Some(workspace) = Workspace::new(&app, &tree, "aws") else { return };
    workspace.apply();
    assert!(workspace.environment("shop-web-frankfurt").contains("API_HOST=api.frankfurt.shop.internal"));
    let records = workspace.found("aws_route53_record");
    let record = records.iter().find(|record| record["values"]["name"] == "api.frankfurt.shop.internal").unwrap();
    assert_eq!(record["values"]["alias"][0]["name"], "aws_lb/shop-api-frankfurt/dns_name");
}

/// What the README says of removal takes the protection off whatever has one.
#[test]
fn the_protection_comes_off_as_the_readme_says() {
    let app = example("aws/active-active");
    let tree = tree_of(&app);
    let folder = tempfile::tempdir().unwrap();
    write(&tree, folder.path());
    let line = tree.files["README.md"].lines().find(|line| line.contains("sed -i")).unwrap();
    let (command, _) = line.split_once(" && terraform").unwrap();
    let root = folder.path().join("terraform/aws");
    let protected = |root: &std::path::Path| {
        let mut command = std::process::Command::new("grep");
        let found = crate::common::run(command.args(["-rE", "deletion_protection[a-z_]* *= true"]).arg(root));
        String::from_utf8(found.stdout).unwrap().lines().count()
    };
    assert!(protected(&root) > 0);
    let ran = crate::common::run(std::process::Command::new("sh").args(["-c", command]).current_dir(&root));
    assert!(ran.status.success(), "{}", said(&ran));
    assert_eq!(protected(&root), 0);
}
