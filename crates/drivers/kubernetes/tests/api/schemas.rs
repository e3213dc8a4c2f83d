//! The published schemas of what is sent, with the world closed: Kubernetes' own as PyPI's kubernetes-validate brings them, custom
//! kinds as their definitions have them. Read where they are; what is not to be had is said on standard error as `skipped`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// The release whose schemas count.
const RELEASE: &str = "v1.34.0-local-strict";

/// A whole object, or the part of one that a patch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    Whole,
    /// Nothing is required, and `null` takes away.
    Part,
}

/// Every kind that can be checked here.
struct Schemas(BTreeMap<(String, Extent), Validator>);

/// What is wrong with a body of a kind, such as `autoscaling/v2 HorizontalPodAutoscaler`; nothing where there is no schema.
pub fn mistakes(kind: &str, extent: Extent, body: &Value) -> Vec<String> {
    let Some(validator) = Schemas::get().0.get(&(kind.to_owned(), extent)) else { return Vec::new() };
    validator.iter_errors(body).map(|error| format!("{kind} {}: {error}", error.instance_path())).collect()
}

/// Whether bodies of a kind can be checked here.
pub fn is_known(kind: &str) -> bool {
    Schemas::get().0.contains_key(&(kind.to_owned(), Extent::Whole))
}

impl Schemas {
    fn get() -> &'static Self {
        static SCHEMAS: OnceLock<Schemas> = OnceLock::new();
        SCHEMAS.get_or_init(Self::load)
    }

    fn load() -> Self {
        let mut schemas = Self(BTreeMap::new());
        match built_in_folder() {
            Some(folder) => schemas.add_built_in(&folder),
            None => skipped(
                "kubernetes-validate is not installed: bodies of built-in kinds are not checked; set LIFEBOAT_TOOLS",
            ),
        }
        match custom_folder() {
            Some(folder) => schemas.add_custom(&folder),
            None => skipped("no schemas of custom kinds: their bodies are not checked; set LIFEBOAT_SCHEMAS"),
        }
        schemas
    }

    fn add(&mut self, kind: String, schema: &Value) {
        let part = without_required(schema);
        self.0.insert((kind.clone(), Extent::Whole), jsonschema::validator_for(schema).unwrap());
        self.0.insert((kind, Extent::Part), jsonschema::validator_for(&part).unwrap());
    }

    fn add_built_in(&mut self, folder: &Path) {
        let text = std::fs::read_to_string(folder.join("_definitions.json")).unwrap();
        let all: Value = serde_json::from_str(&text.replace("/api/_definitions.json#", "#")).unwrap();
        for (kind, name) in [
            ("apps/v1 Deployment", "io.k8s.api.apps.v1.Deployment"),
            ("autoscaling/v1 Scale", "io.k8s.api.autoscaling.v1.Scale"),
            ("autoscaling/v2 HorizontalPodAutoscaler", "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler"),
            ("v1 DeleteOptions", "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"),
            ("v1 Pod", "io.k8s.api.core.v1.Pod"),
            ("v1 Node", "io.k8s.api.core.v1.Node"),
        ] {
            let mut needed = Map::new();
            collect(&all["$defs"], name, &mut needed);
            self.add(kind.to_owned(), &json!({"$ref": format!("#/$defs/{name}"), "$defs": needed}));
        }
    }

    fn add_custom(&mut self, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let Some(name) = path.file_name().unwrap().to_str().unwrap().strip_suffix(".json") else { continue };
            let [group, kind, version] = *name.split('_').collect::<Vec<_>>().as_slice() else { continue };
            let mut schema = closed(&serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap());
            for (field, value) in [("apiVersion", json!({"type": "string"})), ("kind", json!({"type": "string"}))] {
                schema["properties"][field] = value;
            }
            schema["properties"]["metadata"] = json!({"type": "object", "required": ["name"]});
            schema["required"] = json!(["apiVersion", "kind", "metadata", "spec"]);
            self.add(format!("{group}/{version} {kind}"), &schema);
        }
    }
}

/// A definition with everything that it refers to.
fn collect(all: &Value, name: &str, into: &mut Map<String, Value>) {
    if into.contains_key(name) {
        return;
    }
    let definition = all[name].clone();
    let text = definition.to_string();
    into.insert(name.to_owned(), definition);
    for reference in text.split("\"#/$defs/").skip(1) {
        collect(all, reference.split('"').next().unwrap(), into);
    }
}

/// A misspelt optional field would pass otherwise.
fn closed(schema: &Value) -> Value {
    match schema {
        Value::Array(items) => items.iter().map(closed).collect(),
        Value::Object(object) => {
            let mut out: Map<String, Value> = object.iter().map(|(key, value)| (key.clone(), closed(value))).collect();
            let open = object.contains_key("additionalProperties")
                || object.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
            if object.get("properties").is_some_and(Value::is_object) && !open {
                out.insert("additionalProperties".into(), Value::Bool(false));
            }
            if object.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
                out.insert("type".into(), json!(["integer", "string"]));
            }
            Value::Object(out)
        }
        other => other.clone(),
    }
}

fn without_required(schema: &Value) -> Value {
    match schema {
        Value::Array(items) => items.iter().map(without_required).collect(),
        Value::Object(object) => {
            let kept = object.iter().filter(|(key, value)| *key != "required" || !value.is_array());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_required(value))).collect())
        }
        other => other.clone(),
    }
}

fn custom_folder() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = || root.ancestors().map(|folder| folder.join("shared/data/schemas")).find(|folder| folder.is_dir());
    let base = std::env::var_os("LIFEBOAT_SCHEMAS").map(PathBuf::from).or_else(beside)?;
    Some(base.join("k8s")).filter(|folder| folder.is_dir())
}

/// In the virtual environment to which the program belongs.
fn built_in_folder() -> Option<PathBuf> {
    let tools = std::env::var_os("LIFEBOAT_TOOLS").unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&tools).chain(std::env::split_paths(&path));
    let bin = folders.find(|folder| folder.join("kubernetes-validate").is_file())?;
    let pythons = std::fs::read_dir(bin.parent()?.join("lib")).ok()?;
    let found = pythons.filter_map(|python| {
        let packages = python.ok()?.path().join("site-packages");
        Some(packages.join("kubernetes_validate/kubernetes-json-schema").join(RELEASE))
    });
    found.into_iter().find(|folder| folder.is_dir())
}

fn skipped(reason: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
}
