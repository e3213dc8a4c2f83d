//! The Terraform code against the real `terraform`, and against the providers' own schemas.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::stub::{Drift, Stub};
use common::{example, examples, said, schemas, tool, tree_of, write};
use lifeboat_iac::Tree;
use lifeboat_model::App;

mod common;

/// A root module on disk with the providers it needs.
struct Workspace {
    terraform: PathBuf,
    root: PathBuf,
    stubs: Vec<Stub>,
    _folder: tempfile::TempDir,
}

impl Workspace {
    /// `None`: terraform or the schemas are not to be had, which was said.
    fn new(app: &App, tree: &Tree, cloud: &str) -> Option<Self> {
        let (terraform, schemas) = (tool("terraform")?, schemas("terraform")?);
        let folder = tempfile::tempdir().unwrap();
        write(tree, &folder.path().join("infra"));
        let root = folder.path().join("infra/terraform").join(cloud);
        std::fs::write(root.join("terraform.tfvars"), &tree.files[&format!("terraform/{cloud}/terraform.tfvars.example")]).unwrap();
        std::fs::write(folder.path().join("lifeboat.yaml"), format!("app: {}\n", app.name)).unwrap();
        let (source, file) = match cloud {
            "aws" => ("hashicorp/aws", "aws.schema.json"),
            _ => ("hashicorp/azurerm", "azurerm.schema.json"),
        };
        let stubs = vec![Stub::start(source, &schemas.join(file), folder.path())];
        let workspace = Self { terraform, root, stubs, _folder: folder };
        workspace.succeed(&["init", "-input=false"]);
        Some(workspace)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        common::run(
            Command::new(&self.terraform)
                .args(arguments)
                .current_dir(&self.root)
                .env("TF_REATTACH_PROVIDERS", Stub::reattach(&self.stubs.iter().collect::<Vec<_>>()))
                .env("TF_VAR_database_passwords", r#"{"orders": "not-a-secret"}"#)
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

    fn roles(&self, roles: &serde_json::Value) {
        std::fs::write(self.root.join("roles.auto.tfvars.json"), roles.to_string()).unwrap();
    }

    fn drift(&self, resource: &'static str, which: (&'static str, &str), now: Vec<(&'static str, serde_json::Value)>) {
        self.stubs[0].drift(Drift { resource, which: (which.0, which.1.into()), now });
    }
}

fn clouds(tree: &Tree) -> Vec<&'static str> {
    ["aws", "azure"].into_iter().filter(|cloud| tree.files.contains_key(&format!("terraform/{cloud}/versions.tf"))).collect()
}

#[test]
fn it_is_formatted_as_terraform_formats() {
    let Some(terraform) = tool("terraform") else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, app) in examples(&["aws", "azure", "kubernetes"]) {
        write(&tree_of(&app), &folder.path().join(name));
    }
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
            workspace.succeed(&["destroy", "-auto-approve", "-input=false", "-no-color"]);
        }
    }
}
