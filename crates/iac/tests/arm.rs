//! The ARM templates against Microsoft's schemas with the world closed, and what schemas cannot say: expressions, required
//! locations, parameter files.

#![allow(clippy::unwrap_used, reason = "what a test helper cannot do fails the test")]

use std::collections::BTreeMap;
use std::path::Path;

use common::{example, examples, schemas, tree_of};
use jsonschema::error::{ValidationError, ValidationErrorKind};
use lifeboat_iac::Tree;
use lifeboat_model::app::RegionRole;
use serde_json::{Map, Value as Json, json};

mod common;

/// Microsoft's definitions, as one JSON schema.
struct Definitions {
    all: Map<String, Json>,
    /// Name of the definition by resource type in lower case and API version.
    resources: BTreeMap<(String, String), String>,
    required: BTreeMap<String, Vec<String>>,
}

impl Definitions {
    fn load(folder: &Path) -> Self {
        let mut this = Self { all: Map::new(), resources: BTreeMap::new(), required: BTreeMap::new() };
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
                    }
                    this.all.insert(format!("{id}/{name}"), prepared(definition, &id));
                }
            }
            this.all.insert(id.clone(), prepared(without_definitions(content), &id));
        }
        this
    }

    /// Everything wrong with `value` as `name`, each with the deepest place that can be blamed.
    fn mistakes(&self, name: &str, value: &Json) -> Vec<String> {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$ref": format!("#/$defs/{}", pointer(name)),
            "$defs": self.all,
        });
        let validator = jsonschema::validator_for(&schema).unwrap();
        validator.iter_errors(value).map(|error| blame(&error)).collect()
    }

    fn resource_mistakes(&self, resource: &Json) -> Vec<String> {
        let text = |field: &str| resource[field].as_str().unwrap_or_default().to_owned();
        let (kind, version) = (text("type").to_lowercase(), text("apiVersion"));
        let Some(name) = self.resources.get(&(kind.clone(), version.clone())) else {
            return vec![format!("no {kind} of version {version}")];
        };
        let mut found = self.mistakes(name, resource);
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
    let properties = definition["properties"].as_object_mut().unwrap();
    properties.insert("type".into(), json!({"type": "string"}));
    for name in ["condition", "copy", "dependsOn", "comments", "scope", "metadata"] {
        properties.entry(name).or_insert(json!({}));
    }
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

fn parsed(tree: &Tree, path: &str) -> Option<Json> {
    Some(serde_json::from_str(tree.files.get(path)?).unwrap_or_else(|error| panic!("{path}: {error}")))
}

const TEMPLATES: [&str; 5] =
    ["arm/regional.json", "arm/witness.json", "arm/peering.json", "arm/links.json", "arm/global.json"];

/// Every string of a value.
fn strings<'a>(value: &'a Json, found: &mut Vec<&'a str>) {
    match value {
        Json::String(text) => found.push(text),
        Json::Array(items) => items.iter().for_each(|item| strings(item, found)),
        Json::Object(entries) => entries.values().for_each(|item| strings(item, found)),
        _ => {}
    }
}

/// What a schema cannot see: expressions that do not close, or name what is not declared.
fn expression_mistakes(template: &Json) -> Vec<String> {
    let mut all = Vec::new();
    strings(template, &mut all);
    let mut found = Vec::new();
    let kinds: Vec<&str> =
        template["resources"].as_array().unwrap().iter().map(|resource| resource["type"].as_str().unwrap()).collect();
    for text in all.into_iter().filter(|text| text.starts_with('[')) {
        let (mut depth, mut quoted) = (0i32, false);
        for c in text.chars() {
            match c {
                '\'' => quoted = !quoted,
                '(' | '[' if !quoted => depth += 1,
                ')' | ']' if !quoted => depth -= 1,
                _ => {}
            }
        }
        if depth != 0 || quoted || !text.ends_with(']') {
            found.push(format!("does not close: {text}"));
        }
        for section in ["parameters", "variables"] {
            for rest in text.split(&format!("{section}('")).skip(1) {
                let name = rest.split('\'').next().unwrap();
                if template[section].get(name).is_none() {
                    found.push(format!("{section} has no {name}: {text}"));
                }
            }
        }
        // A resource of the same group: `resourceId('TYPE', …)`. Of another group the type comes second.
        for rest in text.split("resourceId('").skip(1) {
            let kind = rest.split('\'').next().unwrap();
            let made = |made: &&&str| kind == **made || kind.starts_with(&format!("{made}/"));
            if kind.contains('/') && !kinds.iter().any(|one| made(&one)) && !kind.starts_with("Microsoft.Sql/servers") {
                found.push(format!("nothing of type {kind}: {text}"));
            }
        }
    }
    found
}

/// What the parameter files give, against what the template declares.
fn parameter_mistakes(template: &Json, files: &[Json]) -> Vec<String> {
    let mut found = Vec::new();
    let mut given: BTreeMap<&str, &Json> = BTreeMap::new();
    for file in files {
        for (name, value) in file["parameters"].as_object().unwrap() {
            if given.insert(name, &value["value"]).is_some() {
                found.push(format!("{name} is given twice"));
            }
        }
    }
    let declared = template["parameters"].as_object().unwrap();
    for (name, parameter) in declared {
        let fits = given.get(name.as_str()).is_some_and(|value| match parameter["type"].as_str().unwrap() {
            "string" | "securestring" => value.is_string(),
            "int" => value.is_i64(),
            "bool" => value.is_boolean(),
            "array" => value.is_array(),
            _ => value.is_object(),
        });
        if !fits {
            found.push(format!("{name} is missing or of the wrong type"));
        }
    }
    found.extend(
        given.keys().filter(|name| !declared.contains_key(**name)).map(|name| format!("{name} is not declared")),
    );
    found
}

#[test]
fn every_resource_is_as_microsoft_describes_it() {
    let Some(folder) = schemas("arm") else { return };
    let definitions = Definitions::load(&folder);
    let frame = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json";
    let parameters = "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json";
    for (name, app) in examples(&["azure", "kubernetes"]) {
        let tree = tree_of(&app);
        for path in tree.files.keys().filter(|path| path.starts_with("arm/")) {
            let content = parsed(&tree, path).unwrap();
            if TEMPLATES.contains(&path.as_str()) {
                assert_eq!(definitions.mistakes(frame, &content), [] as [String; 0], "{name} {path}");
                for resource in content["resources"].as_array().unwrap() {
                    let what = &resource["type"];
                    assert_eq!(definitions.resource_mistakes(resource), [] as [String; 0], "{name} {path} {what}");
                }
            } else {
                assert_eq!(definitions.mistakes(parameters, &content), [] as [String; 0], "{name} {path}");
            }
        }
    }
}

#[test]
fn expressions_and_parameter_files_agree_with_their_templates() {
    for (name, app) in examples(&["azure", "kubernetes"]) {
        let tree = tree_of(&app);
        for path in TEMPLATES {
            let Some(template) = parsed(&tree, path) else { continue };
            assert_eq!(expression_mistakes(&template), [] as [String; 0], "{name} {path}");
            let roles = parsed(&tree, "arm/roles.json").unwrap();
            let is_witness = path == "arm/witness.json";
            if path == "arm/peering.json" {
                let region = json!({"parameters": {"region": {"value": "here"}}});
                assert_eq!(parameter_mistakes(&template, &[region]), [] as [String; 0], "{name} {path}");
            } else if path == "arm/regional.json" || is_witness {
                let role = |id: &lifeboat_model::RegionId| app.regions[id].role == RegionRole::Witness;
                for region in app.regions.keys().filter(|id| role(id) == is_witness) {
                    let Some(values) = parsed(&tree, &format!("arm/parameters/{region}.json")) else { continue };
                    let values = if is_witness { vec![values] } else { vec![values, roles.clone()] };
                    assert_eq!(parameter_mistakes(&template, &values), [] as [String; 0], "{name} {region}");
                }
            } else {
                assert_eq!(parameter_mistakes(&template, &[roles]), [] as [String; 0], "{name} {path}");
            }
        }
    }
}

#[test]
fn a_mistake_in_a_template_is_caught() {
    let tree = tree_of(&example("azure/warm-standby"));
    let regional = &tree.files["arm/regional.json"];
    let wrong = |right: &str, wrong: &str| -> Json {
        assert!(regional.contains(right), "{right}");
        serde_json::from_str(&regional.replacen(right, wrong, 1)).unwrap()
    };
    for (right, broken) in [
        ("[parameters('location')]", "[parameters('locatoin')]"),
        ("[parameters('location')]", "[parameters('location'"),
        ("[variables('prefix')]", "[variables('prefx')]"),
        ("resourceId('Microsoft.Network/natGateways'", "resourceId('Microsoft.Network/natGateway'"),
    ] {
        assert_ne!(expression_mistakes(&wrong(right, broken)), [] as [String; 0], "{broken}");
    }
    let values = parsed(&tree, "arm/parameters/ireland.json").unwrap();
    assert_ne!(parameter_mistakes(&wrong("\"region\": {", "\"regoin\": {"), &[values]), [] as [String; 0]);

    let Some(folder) = schemas("arm") else { return };
    let definitions = Definitions::load(&folder);
    for (right, broken) in [
        ("\"cidr", "\"cidr"),
        ("\"requestPath\"", "\"requestPaht\""),
        ("\"probeThreshold\": 2", "\"probeThreshold\": \"twice\""),
        ("\"2025-11-01\"", "\"2025-11-02\""),
        ("\"orchestrationMode\": \"Uniform\"", "\"orchestrationMode\": \"Uniforms\""),
        (
            "\"location\": \"[parameters('location')]\",\n      \"properties\": {\n        \"administrators\"",
            "\"properties\": {\n        \"administrators\"",
        ),
    ] {
        let template = wrong(right, broken);
        let mistakes: Vec<String> = template["resources"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|resource| definitions.resource_mistakes(resource))
            .collect();
        assert_eq!(mistakes.is_empty(), right == broken, "{broken}: {mistakes:?}");
    }
}
