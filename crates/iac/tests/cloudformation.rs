//! The CloudFormation templates against cfn-lint, with the schemas of every region and each region's own parameters; and what
//! cfn-lint does not see.

#![allow(clippy::unwrap_used, reason = "what a test helper cannot do fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};

use common::{examples, said, tool, tree_of, write};
use serde_json::Value as Json;

mod common;

fn lint(cfn_lint: &Path, folder: &Path, arguments: &[&str]) -> Output {
    common::run(Command::new(cfn_lint).args(arguments).current_dir(folder))
}

/// The regions that a stack set puts the regional template into.
fn regions(stack_set: &str) -> Vec<String> {
    let order = stack_set.lines().find_map(|line| line.trim().strip_prefix("RegionOrder: [")).unwrap();
    order.trim_end_matches(']').split(", ").map(str::to_owned).collect()
}

#[test]
fn every_template_passes_in_every_region_of_its_app() {
    let Some(cfn_lint) = tool("cfn-lint") else { return };
    for (name, app) in examples(&["aws", "kubernetes"]) {
        let tree = tree_of(&app);
        let Some(stack_set) = tree.files.get("cloudformation/stackset.yaml") else { continue };
        let folder = tempfile::tempdir().unwrap();
        write(&tree, folder.path());
        let mut arguments = vec!["--regions"];
        let regions = regions(stack_set);
        arguments.extend(regions.iter().map(String::as_str));
        arguments.extend(["--", "cloudformation/regional.yaml", "cloudformation/stackset.yaml"]);
        arguments.extend(tree.files.contains_key("cloudformation/global.yaml").then_some("cloudformation/global.yaml"));
        let output = lint(&cfn_lint, folder.path(), &arguments);
        assert!(output.status.success(), "{name}\n{}", said(&output));
    }
}

#[test]
fn a_mistake_in_a_template_is_caught() {
    let Some(cfn_lint) = tool("cfn-lint") else { return };
    let tree = tree_of(&common::example("aws/warm-standby"));
    let folder = tempfile::tempdir().unwrap();
    write(&tree, folder.path());
    let good = &tree.files["cloudformation/regional.yaml"];
    for (right, wrong) in [
        ("MinSize:", "MinSizes:"),
        ("HealthCheckGracePeriod: 120", "HealthCheckGracePeriod: soon"),
        ("Engine: aurora-postgresql", "Engine: aurora-postgrezql"),
        ("!Ref WebTargets", "!Ref WebTarget"),
    ] {
        assert!(good.contains(right), "{right}");
        std::fs::write(folder.path().join("wrong.yaml"), good.replace(right, wrong)).unwrap();
        let output = lint(&cfn_lint, folder.path(), &["--", "wrong.yaml"]);
        assert!(!output.status.success(), "{wrong} passed");
    }
}

/// What the linter misses: keys of mappings, parameters of a template behind a URL, policies of records.
fn unseen_mistakes(regional: &str, stack_set: &str, global: Option<&str>, roles: &Json) -> Vec<String> {
    let mut found = Vec::new();
    let section = |text: &str, name: &str| -> Vec<String> {
        let body = text.split(&format!("\n{name}:\n")).nth(1).unwrap_or_default();
        body.lines().take_while(|line| line.is_empty() || line.starts_with(' ')).map(str::to_owned).collect()
    };
    let names = |text: &str, name: &str| -> BTreeSet<String> {
        let top = |line: &String| {
            line.strip_prefix("  ")?.strip_suffix(':').filter(|name| !name.starts_with(' ')).map(str::to_owned)
        };
        section(text, name).iter().filter_map(top).collect()
    };

    // FindInMap: every region has every key.
    let mut mappings: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    let mut map = String::new();
    for line in section(regional, "Mappings") {
        match line.strip_prefix("    ") {
            None if line.starts_with("  ") => map = line.trim().trim_end_matches(':').to_owned(),
            Some(row) => {
                let (region, values) = row.split_once(": {").unwrap();
                let keys =
                    values.trim_end_matches('}').split(", ").map(|value| value.split(':').next().unwrap().to_owned());
                mappings.entry(map.clone()).or_default().insert(region.into(), keys.collect());
            }
            None => {}
        }
    }
    for used in regional.split("!FindInMap [").skip(1) {
        let arguments: Vec<&str> = used.split(']').next().unwrap().split(", ").collect();
        for region in regions(stack_set) {
            let keys = mappings.get(arguments[0]).and_then(|rows| rows.get(&region));
            if !keys.is_some_and(|keys| keys.contains(arguments[2])) {
                found.push(format!("mapping {} has no {} for {region}", arguments[0], arguments[2]));
            }
        }
    }

    // ParameterOverrides: exactly the parameters of the template that is behind the URL, in each region.
    let wanted = names(regional, "Parameters");
    for instance in stack_set.split("- DeploymentTargets").skip(1) {
        let given: BTreeSet<String> =
            instance.split("ParameterKey: ").skip(1).map(|rest| rest.split(',').next().unwrap().to_owned()).collect();
        if given != wanted {
            found.push(format!("parameters given {given:?}, wanted {wanted:?}"));
        }
    }
    let known = names(stack_set, "Parameters");
    for entry in roles.as_array().unwrap() {
        let key = entry["ParameterKey"].as_str().unwrap();
        if !known.contains(key) {
            found.push(format!("{key} in roles.json is no parameter"));
        }
    }

    for line in global.unwrap_or_default().lines() {
        if let Some(role) = line.trim().strip_prefix("Failover: ")
            && !["PRIMARY", "SECONDARY"].contains(&role)
        {
            found.push(format!("failover {role}"));
        }
    }
    found
}

#[test]
fn what_the_linter_does_not_see_is_right_too() {
    for (name, app) in examples(&["aws", "kubernetes"]) {
        let tree = tree_of(&app);
        let Some(stack_set) = tree.files.get("cloudformation/stackset.yaml") else { continue };
        let roles = serde_json::from_str(&tree.files["cloudformation/roles.json"]).unwrap();
        let regional = &tree.files["cloudformation/regional.yaml"];
        let global = tree.files.get("cloudformation/global.yaml").map(String::as_str);
        assert_eq!(unseen_mistakes(regional, stack_set, global, &roles), [] as [String; 0], "{name}");

        // The checks can fail.
        let broken = regional.replacen("Full: ", "Fool: ", 1);
        if broken != *regional {
            assert!(!unseen_mistakes(&broken, stack_set, global, &roles).is_empty());
            let broken = stack_set.replacen("ParameterKey: ", "ParameterKey: X", 1);
            assert!(!unseen_mistakes(regional, &broken, global, &roles).is_empty());
        }
    }
}

/// An emulator that ends with the test.
struct Emulator(std::process::Child);

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Kinds that moto's CloudFormation can make: it knows no Aurora instances, and names load balancers as AWS would not let it.
#[test]
fn the_stack_set_is_created_on_an_emulator() {
    let (Some(server), Some(python)) = (tool("moto_server"), tool("python3")) else { return };
    if !common::run(Command::new(&python).args(["-c", "import boto3, yaml"])).status.success() {
        return common::skipped("python3 has no boto3 and yaml");
    }
    let folder = tempfile::tempdir().unwrap();
    let app = lifeboat_model::parse(
        "app: em\nregions:\n  stockholm: {place: aws/eu-north-1}\n  frankfurt: {place: aws/eu-central-1}\ncomponents:\n  \
         sessions: {kind: dynamodb, writer: stockholm, standbys: {frankfurt: asynchronous}}\n  \
         files: {kind: s3, writer: stockholm, standbys: {frankfurt: asynchronous}}\n  \
         platform: {kind: eks, pattern: warm-standby, needs: [files], size: {count: 6}}\nfailover: {mode: approve}\n",
    )
    .unwrap();
    write(&tree_of(&app), folder.path());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let command = |log: std::fs::File| {
        Command::new(&server)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
    };
    let mut emulator = Emulator(command(log).unwrap());
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert_eq!(emulator.0.try_wait().unwrap(), None, "the emulator ended");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stackset.py");
    let output = common::run(
        Command::new(&python)
            .arg(script)
            .arg(format!("http://127.0.0.1:{port}"))
            .arg(folder.path().join("cloudformation")),
    );
    let log = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    assert!(output.status.success(), "{}\n{}", said(&output), log());
    let found: Json = serde_json::from_slice(&output.stdout).unwrap();
    let region = |place: &str, serves: &str, network: &str| {
        serde_json::json!({
            "stacks": ["CREATE_COMPLETE"],
            "serves": [serves],
            "bucket": [format!("em-files-{place}-123456789012")],
            "network": [network],
        })
    };
    assert_eq!(found["eu-north-1"], region("eu-north-1", "true", "10.19.0.0/16"));
    assert_eq!(found["eu-central-1"], region("eu-central-1", "false", "10.17.0.0/16"));
}
