//! What the validations share: the example files, folders on disk, other people's tools and schemas.
//!
//! A tool or a schema that is not to be had is named on standard error and its test does nothing more: `skipped`.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]
#![allow(dead_code, reason = "each test crate uses its part")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lifeboat_iac::{Options, Tree, generate};
use lifeboat_model::App;

mod aws;
mod azurerm;
pub mod boot;
pub mod stub;

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every example file in these folders of `examples/`: its path below that, and the app.
pub fn examples(folders: &[&str]) -> Vec<(String, App)> {
    let mut found = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(root().join("examples").join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                let name = format!("{folder}/{}", path.file_stem().unwrap().to_str().unwrap());
                let app = example(&name);
                found.push((name, app));
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(!found.is_empty());
    found
}

/// One example, such as `aws/warm-standby`.
pub fn example(name: &str) -> App {
    let text = std::fs::read_to_string(root().join(format!("examples/{name}.yaml"))).unwrap();
    lifeboat_model::parse(&text).unwrap_or_else(|problems| panic!("{name}: {problems:#?}"))
}

/// What no file should hold, where a file may hold anything.
pub const HOSTILE: &str = "a\"b\\c${d}%{e}@{id}'f #g: $(h) `i` [j] é";

/// An app whose images and sizes are [`HOSTILE`].
pub fn hostile() -> App {
    let quoted = serde_json::to_string(HOSTILE).unwrap();
    let compute = |kind: &str, region: &str| {
        // Of a task it gives the size, and is read.
        let instance = if kind == "ecs" { "m7g.large" } else { &quoted };
        format!(
            "{{kind: {kind}, regions: [{region}], port: 8080, check: {{http: '/healthz?a=%7Bb%7D&c=$d'}}, size: {{image: {quoted}, instance: {instance}}}}}"
        )
    };
    let text = format!(
        "app: hostile\nregions:\n  a: {{place: aws/eu-north-1}}\n  b: {{place: azure/northeurope}}\n  c: {{place: kubernetes/c}}\ncomponents:\n  \
         group: {}\n  service: {}\n  scale: {}\n  pods: {}\nfailover: {{mode: approve}}\n",
        compute("asg", "a"),
        compute("ecs", "a"),
        compute("vmss", "b"),
        compute("deployment", "c"),
    );
    lifeboat_model::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// The tree of an app for all targets.
pub fn tree_of(app: &App) -> Tree {
    generate(app, &Options::default()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// Writes a tree below `folder`.
pub fn write(tree: &Tree, folder: &Path) {
    for (path, content) in &tree.files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// A folder of schemas that belong to others (`terraform`, `arm`, `k8s`): below `LIFEBOAT_SCHEMAS`, or beside the repository.
pub fn schemas(name: &str) -> Option<PathBuf> {
    let base = std::env::var_os("LIFEBOAT_SCHEMAS")
        .map(PathBuf::from)
        .or_else(|| root().ancestors().map(|folder| folder.join("shared/data/schemas")).find(|folder| folder.is_dir()));
    let found = base.map(|base| base.join(name)).filter(|folder| folder.is_dir());
    if found.is_none() {
        skipped(&format!("no schemas for {name}: set LIFEBOAT_SCHEMAS"));
    }
    found
}

/// A program of somebody else's, if it is installed: in `LIFEBOAT_TOOLS` (a folder such as a virtual environment's `bin`)
/// or on the path.
pub fn tool(name: &str) -> Option<PathBuf> {
    let found = tools(name).next();
    if found.is_none() {
        skipped(&format!("{name} is not installed"));
    }
    found
}

/// All programs of that name, in the order in which they are looked for.
pub fn tools(name: &str) -> impl Iterator<Item = PathBuf> + use<'_> {
    let tools = std::env::var_os("LIFEBOAT_TOOLS").unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&tools).chain(std::env::split_paths(&path)).collect();
    folders.into_iter().map(move |folder| folder.join(name)).filter(|file| file.is_file())
}

/// Says that a test was not made, and why.
pub fn skipped(reason: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
}

/// Runs a program to its end.
pub fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Standard output and error, for messages.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
