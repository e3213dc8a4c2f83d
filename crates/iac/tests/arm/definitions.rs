//! What Azure takes: Microsoft's own schemas, with the world closed, and of types that are not among them our own descriptions.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use jsonschema::Validator;
use jsonschema::error::{ValidationError, ValidationErrorKind};
use serde_json::{Map, Value as Json, json};

/// Microsoft's definitions, as one JSON schema.
pub struct Definitions {
    all: Map<String, Json>,
    /// Name of the definition by resource type in lower case and API version.
    resources: BTreeMap<(String, String), String>,
    required: BTreeMap<String, Vec<String>>,
    /// Of types that Microsoft's definitions are not at hand for: what we use of them.
    own: BTreeMap<String, Json>,
    /// A validator takes a second to make.
    made: RefCell<BTreeMap<String, Rc<Validator>>>,
}

impl Definitions {
    pub fn load(folder: &Path) -> Self {
        let own: BTreeMap<String, Json> = serde_json::from_str(include_str!("own.json")).unwrap();
        let own = own.into_iter().map(|(kind, description)| (kind.to_lowercase(), closed(description))).collect();
        let mut this = Self {
            all: Map::new(),
            resources: BTreeMap::new(),
            required: BTreeMap::new(),
            own,
            made: RefCell::default(),
        };
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let content: Json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            if path.file_name().unwrap() == "required_top_level.json" {
                this.required = serde_json::from_value(content).unwrap();
                continue;
            }
            let id = content["id"].as_str().unwrap().trim_end_matches('#').to_owned();
            for section in ["definitions", "resourceDefinitions"] {
                for (name, definition) in content[section].as_object().into_iter().flatten() {
                    let mut definition = definition.clone();
                    if section == "resourceDefinitions" {
                        let key = |field: &str| definition["properties"][field]["enum"][0].as_str().unwrap().to_owned();
                        let (kind, version) = (key("type").to_lowercase(), key("apiVersion"));
                        this.resources.insert((kind, version), format!("{id}/{name}"));
                        open_resource(&mut definition);
                    } else if name.ends_with("_childResource") {
                        open_resource(&mut definition);
                    }
                    this.all.insert(format!("{id}/{name}"), prepared(definition, &id));
                }
            }
            this.all.insert(id.clone(), prepared(without_definitions(content), &id));
        }
        this
    }

    /// Everything wrong with `value` as `name`, each with the deepest place that can be blamed.
    pub fn mistakes(&self, name: &str, value: &Json) -> Vec<String> {
        let validator = self.made.borrow().get(name).cloned();
        let validator = validator.unwrap_or_else(|| {
            let schema = json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "$ref": format!("#/$defs/{}", pointer(name)),
                "$defs": self.all,
            });
            let validator = Rc::new(jsonschema::validator_for(&schema).unwrap());
            self.made.borrow_mut().insert(name.to_owned(), validator.clone());
            validator
        });
        validator.iter_errors(value).map(|error| blame(&error)).collect()
    }

    pub fn resource_mistakes(&self, resource: &Json) -> Vec<String> {
        let text = |field: &str| resource[field].as_str().unwrap_or_default().to_owned();
        let (kind, version) = (text("type").to_lowercase(), text("apiVersion"));
        let own = self.own.get(&format!("{kind}@{version}")).map(|description| own_mistakes(description, resource));
        let theirs = self.resources.get(&(kind.clone(), version.clone())).map(|name| self.mistakes(name, resource));
        if own.is_none() && theirs.is_none() {
            return vec![format!("no {kind} of version {version}")];
        }
        let mut found: Vec<String> = own.into_iter().chain(theirs).flatten().collect();
        for field in self.required.get(&format!("{kind}@{version}")).into_iter().flatten() {
            if resource.get(field).is_none() {
                found.push(format!("{kind} has no {field}"));
            }
        }
        found
    }
}

/// A resource may have what all have; Traffic Manager's type is in lower case in the schema and nowhere else.
fn open_resource(definition: &mut Json) {
    let kind = definition["properties"]["type"]["enum"][0].clone();
    let properties = definition["properties"].as_object_mut().unwrap();
    properties.insert("type".into(), json!({"type": "string"}));
    for name in EVERYWHERE {
        properties.entry(name).or_insert(json!({}));
    }
    if kind == "Microsoft.Resources/deployments" {
        properties.insert("resourceGroup".into(), json!({"type": "string"}));
    }
}

const EVERYWHERE: [&str; 6] = ["condition", "copy", "dependsOn", "comments", "scope", "metadata"];

/// One of our own descriptions, with what every resource has.
fn closed(mut description: Json) -> Json {
    let object = description.as_object_mut().unwrap();
    object.insert("type".into(), "object".into());
    object.insert("additionalProperties".into(), false.into());
    let properties = object["properties"].as_object_mut().unwrap();
    for name in ["type", "apiVersion", "name"].iter().chain(&EVERYWHERE) {
        properties.entry(*name).or_insert(json!({}));
    }
    description
}

fn own_mistakes(description: &Json, resource: &Json) -> Vec<String> {
    let validator = jsonschema::validator_for(description).unwrap();
    validator.iter_errors(resource).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn without_definitions(mut content: Json) -> Json {
    let object = content.as_object_mut().unwrap();
    for key in ["id", "$schema", "definitions", "resourceDefinitions"] {
        object.remove(key);
    }
    content
}

/// References made local, and the world closed: Azure's schemas let an unknown property pass.
fn prepared(schema: Json, id: &str) -> Json {
    match schema {
        Json::Array(items) => Json::Array(items.into_iter().map(|item| prepared(item, id)).collect()),
        Json::Object(object) => {
            let has_properties = object.get("properties").is_some_and(Json::is_object);
            let closes = has_properties && !object.contains_key("additionalProperties");
            let mut out: Map<String, Json> = object
                .into_iter()
                .map(|(key, value)| match (key.as_str(), value) {
                    ("$ref", Json::String(reference)) => (key, Json::String(local(&reference, id))),
                    // Branches beside properties are closed by the parent, which sees all of them.
                    ("oneOf", Json::Array(branches)) if has_properties => {
                        let open = |branch: Json| {
                            let mut branch = prepared(branch, id);
                            if let Some(branch) = branch.as_object_mut() {
                                branch.remove("unevaluatedProperties");
                            }
                            branch
                        };
                        (key, Json::Array(branches.into_iter().map(open).collect()))
                    }
                    (_, value) => (key, prepared(value, id)),
                })
                .collect();
            if closes {
                out.insert("unevaluatedProperties".into(), Json::Bool(false));
            }
            Json::Object(out)
        }
        other => other,
    }
}

fn local(reference: &str, id: &str) -> String {
    let (file, path) = reference.split_once('#').unwrap();
    let file = if file.is_empty() { id } else { file };
    let name = path.trim_start_matches('/').split_once('/').map_or("", |(_, name)| name);
    let whole = if name.is_empty() { file.to_owned() } else { format!("{file}/{name}") };
    format!("#/$defs/{}", pointer(&whole))
}

fn pointer(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1").replace('%', "%25")
}

/// A value is the thing or an expression: blame the thing, at the deepest path.
fn blame(error: &ValidationError) -> String {
    let inner = match error.kind() {
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => context
            .iter()
            .flatten()
            .max_by_key(|inner| (blame_depth(inner), !inner.schema_path().to_string().contains("expression"))),
        _ => None,
    };
    inner.map_or_else(|| format!("{}: {error}", error.instance_path()), blame)
}

fn blame_depth(error: &ValidationError) -> usize {
    let own = error.instance_path().to_string().matches('/').count();
    match error.kind() {
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            context.iter().flatten().map(blame_depth).max().unwrap_or(own)
        }
        _ => own,
    }
}
