//! `lifeboat roles`: the role files of generated code follow a failover, by what the nodes say or by what a person does.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod fleet;
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod place;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use fleet::{Fleet, told};
use lifeboat_drill::Fault;
use serde_json::{Value as Json, json};

fn lifeboat(verb: &str, file: &Path, infra: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
    command.arg(verb).arg(file).arg("--out").arg(infra).args(words).env_remove("LIFEBOAT_TOKEN").output().unwrap()
}

/// `lifeboat roles --follow`, ended with the test.
struct Follower(Child);

impl Follower {
    fn start(file: &Path, infra: &Path, directory: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.arg("roles").arg(file).arg("--out").arg(infra).args(["--follow", "--directory", directory]);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serving(infra: &Path) -> Json {
    let text = fs::read(infra.join("terraform/aws/roles.auto.tfvars.json")).unwrap();
    serde_json::from_slice::<Json>(&text).unwrap()["serving"]["web"].clone()
}

#[test]
fn a_lost_region_serves_no_more_in_the_role_files() {
    let routed = "routes:\n  shop.example.test: {to: web, policy: failover, ttl: 1s}\nnodes: {tls: certs}\n";
    let web = "{kind: process, run: python3 -m http.server --bind $ADDRESS 8080, port: 8080, check: {tcp: true}}";
    let mut fleet = Fleet::set_with(&format!("  web: {web}\n"), routed);
    fleet.start_all();
    // The same app in the clouds: what is generated is for machines that only AWS has, and the nodes tell who serves.
    let text = fs::read_to_string(&fleet.file).unwrap();
    let clouds = [("local/a", "aws/eu-north-1"), ("local/b", "aws/eu-central-1"), ("local/c", "aws/eu-west-1")];
    let text = clouds
        .iter()
        .fold(text, |text, (from, to)| text.replace(from, to))
        .replace(web, "{kind: asg, pattern: warm-standby, size: {image: ami-0a1b2c3d4e5f60718}}");
    let file = fleet.world.path().join("clouds.yaml");
    fs::write(&file, text).unwrap();
    let infra = fleet.world.path().join("infra");
    let directory = fleet.world.path().to_str().unwrap().to_owned();
    let roles =
        |words: &[&str]| lifeboat("roles", &file, &infra, &[&["--directory", directory.as_str()], words].concat());

    let early = roles(&[]);
    assert_eq!(early.status.code(), Some(2), "{}", told(&early));
    assert!(told(&early).contains("generate first"), "{}", told(&early));
    assert!(lifeboat("generate", &file, &infra, &[]).status.success());
    fleet.eventually("the files are true from the beginning", || roles(&["--check"]).status.success().then_some(()));
    assert_eq!(serving(&infra), json!(["a"]));

    // A second tree of the same app, kept true by one who stays.
    let followed = fleet.world.path().join("followed");
    assert!(lifeboat("generate", &file, &followed, &[]).status.success());
    let _follower = Follower::start(&file, &followed, &directory);

    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(fleet.world.inject(Fault::RegionLoss, &"a".into()));
    let found = fleet.eventually("a role file is not true", || {
        let found = roles(&["--check", "--region", "b"]);
        (found.status.code() == Some(1)).then(|| told(&found))
    });
    assert!(found.contains("web serves in b, was a"), "{found}");
    assert_eq!(serving(&infra), json!(["a"]), "--check writes nothing");
    let written = roles(&["--region", "b"]);
    assert!(written.status.success(), "{}", told(&written));
    assert_eq!(serving(&infra), json!(["b"]));
    fleet.eventually("the followed files are true", || (serving(&followed) == json!(["b"])).then_some(()));
    // What is generated besides them is as it was, and generating again leaves them.
    assert!(lifeboat("generate", &file, &infra, &["--check"]).status.success());
    assert_eq!(serving(&infra), json!(["b"]));
}

#[test]
fn a_person_says_who_writes_what_no_node_moves() {
    let folder = tempfile::tempdir().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/aws/warm-standby.yaml");
    let infra = folder.path().join("infra");
    assert!(lifeboat("generate", &file, &infra, &[]).status.success());
    // Nodes that cannot be asked at once: the example's addresses are nobody's here.
    let certs = folder.path().join("certs");
    let roles =
        |words: &[&str]| lifeboat("roles", &file, &infra, &[&["--certs", certs.to_str().unwrap()], words].concat());
    let moved = roles(&["--writer", "orders=frankfurt", "--offline"]);
    assert!(moved.status.success(), "{}", told(&moved));
    assert!(told(&moved).contains("orders is written in frankfurt, was stockholm"), "{}", told(&moved));
    assert_eq!(serving(&infra), json!(["frankfurt"]));
    let stack: Json = serde_json::from_slice(&fs::read(infra.join("cloudformation/roles.json")).unwrap()).unwrap();
    let value = |key: &str| {
        stack.as_array().unwrap().iter().find(|entry| entry["ParameterKey"] == key).unwrap()["ParameterValue"].clone()
    };
    assert_eq!([value("WebServesFrankfurt"), value("WebServesStockholm")], ["true", "false"]);
    let wrong = roles(&["--writer", "orders=ireland", "--offline"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(told(&wrong).contains("orders has no copy in ireland"), "{}", told(&wrong));
}
