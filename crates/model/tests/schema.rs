//! The JSON Schema and the book's chapter that are checked in are those that the parser's table gives; the schema holds for the
//! examples.

use std::fs;
use std::path::{Path, PathBuf};

use lifeboat_model::{parse, reference, schema};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every `lifeboat.yaml` below a directory.
fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a readable directory") {
        let path = entry.expect("a readable directory").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.file_name().is_some_and(|name| name == "lifeboat.yaml") {
            found.push(path);
        }
    }
}

fn current(path: &str, now: &str) {
    let path = root().join(path);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, now).expect("the folder of the docs");
    }
    let checked_in = fs::read_to_string(&path).expect("a checked-in file");
    assert!(checked_in == now, "{} is out of date: run the tests with UPDATE=1", path.display());
}

#[test]
fn the_checked_in_schema_is_current() {
    current("docs/lifeboat.schema.json", &(serde_json::to_string_pretty(&schema()).unwrap() + "\n"));
}

/// What stands before the tables is written by hand.
#[test]
fn the_books_chapter_on_the_file_is_current() {
    let mark = "<!-- From here on made from the parser's table: UPDATE=1 cargo test -p lifeboat-model. -->\n\n";
    let text = fs::read_to_string(root().join("docs/file.md")).unwrap();
    let (by_hand, _) = text.split_once(mark).expect("the mark");
    current("docs/file.md", &(by_hand.to_owned() + mark + reference().trim_end() + "\n"));
}

#[test]
fn the_schema_is_a_schema() {
    jsonschema::meta::validate(&schema()).unwrap();
}

#[test]
fn examples_are_valid_for_the_schema_and_the_parser() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let mut found = Vec::new();
    files(&root().join("examples"), &mut found);
    assert!(!found.is_empty());
    for path in found {
        let text = fs::read_to_string(&path).unwrap();
        let value: Value = serde_saphyr::from_str(&text).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", path.display());
        if let Err(problems) = parse(&text) {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("{}:\n{}", path.display(), problems.join("\n"));
        }
    }
}

/// What a schema can express it refuses as the parser does.
#[test]
fn the_schema_refuses_what_is_wrong() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let valid = |component: &str, rest: &str| {
        let text = format!("app: shop\nregions: {{a: {{place: local/a}}}}\ncomponents: {{one: {component}}}\n{rest}");
        let value: Value = serde_saphyr::from_str(&text).unwrap();
        validator.is_valid(&value)
    };
    assert!(valid("{kind: asg}", ""));
    assert!(valid(
        "{kind: asg}",
        "prices: {aws/global/ebs-gp3: {usd: 0.1, date: 2026-10-01}, local/global/machine: 0.01}"
    ));
    assert!(valid("{kind: asg, check: {https: /healthz, ca: ca.pem, name: shop.example.test}}", ""));
    for (component, rest) in [
        ("{}", ""),
        ("{kind: asg, colour: blue}", ""),
        ("{kind: asg, writer: a}", ""),
        ("{kind: postgres, run: command}", ""),
        ("{kind: asg, port: 0}", ""),
        ("{kind: asg, port: '80'}", ""),
        ("{kind: asg, check: {http: /, tcp: true}}", ""),
        ("{kind: asg, check: {every: 1s}}", ""),
        ("{kind: asg, check: {http: /, https: /}}", ""),
        ("{kind: asg, check: {https: 'https://localhost/'}}", ""),
        ("{kind: asg, check: {http: /, ca: ca.pem}}", ""),
        ("{kind: asg, check: {tcp: true, name: shop.example.test}}", ""),
        ("{kind: asg}", "objectives: {rto: 15}"),
        ("{kind: asg}", "objectives: {cost: 4000}"),
        ("{kind: asg}", "routes: {shop: {to: one}}"),
        ("{kind: asg}", "prices: {aws/eu-north-1/ec2/m6g.large: -1}"),
        ("{kind: asg}", "prices: {aws/eu-north-1: 1}"),
        ("{kind: asg}", "prices: {aws/global/ebs-gp3: {usd: 0.1, date: today}}"),
        ("{kind: asg}", "prices: {aws/global/ebs-gp3: {basis: contract}}"),
        ("{kind: asg}", "store: {etcd: []}"),
        ("{kind: asg}", "store: {etcd: ['https://10.0.0.1:2379'], cert: node.pem}"),
        ("{kind: asg}", "store: {etcd: ['https://10.0.0.1:2379'], user: lifeboat}"),
    ] {
        assert!(!valid(component, rest), "{component} {rest}");
    }
}
