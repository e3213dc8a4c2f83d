//! A security scanner over what is generated. Every finding is either gone or explained in `findings.txt`, where it is found and nowhere else.

#![allow(clippy::unwrap_used, reason = "what a test helper cannot do fails the test")]

use std::collections::BTreeSet;
use std::fmt;
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

/// What the scanner objects to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// The kind of finding, such as `CKV_AWS_16`.
    check: String,
    /// Within the generated tree.
    file: String,
    /// The resource in that file, as the scanner names it, without the modules that lead to it.
    resource: String,
    /// What the kind means.
    meaning: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, file, resource, meaning } = self;
        write!(f, "{check} {file} {resource}: {meaning}")
    }
}

/// A line of `findings.txt`: `CHECK FILE RESOURCE REASON`, with `*` for any text in file and resource.
struct Explained<'a> {
    line: usize,
    check: &'a str,
    file: &'a str,
    resource: &'a str,
}

impl Explained<'_> {
    fn covers(&self, finding: &Finding) -> bool {
        self.check == finding.check && matches(self.file, &finding.file) && matches(self.resource, &finding.resource)
    }
}

fn explained(text: &str) -> Vec<Explained<'_>> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(index, line)| {
            let cells: Vec<&str> = line.splitn(4, ' ').collect();
            let [check, file, resource, _reason] = cells[..] else { panic!("findings.txt:{}: {line}", index + 1) };
            Explained { line: index + 1, check, file, resource }
        })
        .collect()
}

/// Whether a text fits a pattern in which `*` is any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(before) else { return false };
    (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| matches(after, &rest[at..]))
}

/// What the scanner finds in the trees below a folder, each in a folder of two names.
fn findings(checkov: &std::path::Path, folder: &std::path::Path) -> BTreeSet<Finding> {
    let output = common::run(
        Command::new(checkov)
            .args(["--compact", "--quiet", "--output", "json", "--framework"])
            .args(["terraform", "cloudformation", "arm", "kubernetes", "-d"])
            .arg(folder)
            .env("CHECKOV_RUN_SCA_PACKAGE_SCAN", "false"),
    );
    let reports: Vec<Json> = match serde_json::from_slice(&output.stdout) {
        Ok(Json::Array(reports)) => reports,
        Ok(report) => vec![report],
        Err(error) => panic!("{error}: {}", said(&output)),
    };
    let kinds: BTreeSet<&str> = reports.iter().filter_map(|report| report["check_type"].as_str()).collect();
    assert_eq!(kinds, ["arm", "cloudformation", "kubernetes", "terraform"].into(), "kinds of code that were found");
    let mut found = BTreeSet::new();
    for report in &reports {
        assert_eq!(report["summary"]["parsing_errors"], 0, "{}", report["check_type"]);
        for finding in report["results"]["failed_checks"].as_array().unwrap() {
            let text = |name: &str| finding[name].as_str().unwrap_or_default();
            let resource = text("resource")
                .rsplit_once("module.")
                .map_or(text("resource"), |(_, inner)| inner.split_once('.').map_or(inner, |(_, resource)| resource));
            found.insert(Finding {
                check: text("check_id").to_owned(),
                file: text("file_path").trim_start_matches('/').splitn(3, '/').last().unwrap().to_owned(),
                resource: resource.replace(' ', "_"),
                meaning: text("check_name").to_owned(),
            });
        }
    }
    found
}

#[test]
fn no_finding_is_left_unexplained() {
    let Some(checkov) = tool("checkov") else { return };
    let folder = tempfile::Builder::new().prefix("lifeboat-").tempdir().unwrap();
    for name in EXAMPLES {
        write(&tree_of(&example(name)), &folder.path().join(name));
    }
    let found = findings(&checkov, folder.path());
    let explained = explained(include_str!("findings.txt"));
    let unexplained: Vec<String> = found
        .iter()
        .filter(|finding| !explained.iter().any(|entry| entry.covers(finding)))
        .map(ToString::to_string)
        .collect();
    let stale: Vec<String> = explained
        .iter()
        .filter(|entry| !found.iter().any(|finding| entry.covers(finding)))
        .map(|entry| format!("findings.txt:{}: {} {} {}", entry.line, entry.check, entry.file, entry.resource))
        .collect();
    assert!(
        unexplained.is_empty() && stale.is_empty(),
        "neither gone nor explained in findings.txt: {unexplained:#?}\nexplained, and not found: {stale:#?}"
    );
}

/// An explanation of one resource explains no other, nor the same one in another file.
#[test]
fn an_explanation_goes_no_further_than_its_resource() {
    let explained =
        explained("# why\n\nCKV_X cloudformation/regional.yaml AWS::RDS::DBInstance.* a replica inherits it\n");
    let finding = |check: &str, file: &str, resource: &str| Finding {
        check: check.into(),
        file: file.into(),
        resource: resource.into(),
        meaning: String::new(),
    };
    for (check, file, resource, is_covered) in [
        ("CKV_X", "cloudformation/regional.yaml", "AWS::RDS::DBInstance.Ledger", true),
        ("CKV_Y", "cloudformation/regional.yaml", "AWS::RDS::DBInstance.Ledger", false),
        ("CKV_X", "cloudformation/global.yaml", "AWS::RDS::DBInstance.Ledger", false),
        ("CKV_X", "cloudformation/regional.yaml", "AWS::RDS::DBCluster.Orders", false),
    ] {
        let finding = finding(check, file, resource);
        assert_eq!(explained.iter().any(|entry| entry.covers(&finding)), is_covered, "{finding}");
    }
    assert!(matches("a*b*", "a-b") && matches("*", "") && !matches("a*b", "ab-") && !matches("ab", "a"));
}
