//! A security scanner over what is generated. Every kind of finding is either gone or explained in `findings.txt`.

#![allow(clippy::unwrap_used, reason = "what a test helper cannot do fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use common::{example, said, tool, tree_of, write};
use serde_json::Value as Json;

mod common;

/// Between them these use every kind of component.
const EXAMPLES: [&str; 8] = [
    "aws/active-active",
    "aws/pilot-light",
    "aws/warm-standby",
    "azure/active-active",
    "azure/pilot-light",
    "azure/warm-standby",
    "kubernetes/pilot-light",
    "kubernetes/warm-standby",
];

/// `CHECK REASON` a line.
fn explained() -> BTreeMap<&'static str, &'static str> {
    let lines = include_str!("findings.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').unwrap()).collect()
}

#[test]
fn no_finding_is_left_unexplained() {
    let Some(checkov) = tool("checkov") else { return };
    let folder = tempfile::Builder::new().prefix("lifeboat-").tempdir().unwrap();
    for name in EXAMPLES {
        write(&tree_of(&example(name)), &folder.path().join(name));
    }
    let output = common::run(
        Command::new(checkov)
            .args([
                "--compact",
                "--quiet",
                "--output",
                "json",
                "--framework",
                "terraform",
                "cloudformation",
                "arm",
                "kubernetes",
                "-d",
            ])
            .arg(folder.path())
            .env("CHECKOV_RUN_SCA_PACKAGE_SCAN", "false"),
    );
    let reports: Vec<Json> = match serde_json::from_slice(&output.stdout) {
        Ok(Json::Array(reports)) => reports,
        Ok(report) => vec![report],
        Err(error) => panic!("{error}: {}", said(&output)),
    };
    let kinds: BTreeSet<&str> = reports.iter().filter_map(|report| report["check_type"].as_str()).collect();
    assert_eq!(kinds, ["arm", "cloudformation", "kubernetes", "terraform"].into(), "kinds of code that were found");
    let explained = explained();
    let mut unexplained = BTreeSet::new();
    for report in &reports {
        assert_eq!(report["summary"]["parsing_errors"], 0, "{}", report["check_type"]);
        for finding in report["results"]["failed_checks"].as_array().unwrap() {
            let id = finding["check_id"].as_str().unwrap();
            if !explained.contains_key(id) {
                unexplained.insert(format!("{id} {} ({})", finding["check_name"], finding["resource"]));
            }
        }
    }
    assert!(unexplained.is_empty(), "{unexplained:#?}");
}
