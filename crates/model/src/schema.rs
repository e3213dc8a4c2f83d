//! The JSON Schema of a `lifeboat.yaml`, made from the parser's own table of fields so that the two cannot diverge.

use serde_json::{Map, Value, json};

use crate::app::Kind;
use crate::fields::{
    Applies, CHECK, COMPONENT, DETECTION, DNS, FAILOVER, FILE, Field, NODES, OBJECTIVES, Object, PRICE, REGION, ROUTE,
    SIZE, STORE, Shape, TLS,
};

/// The JSON Schema (draft 2020-12) of the file. Everything that [`crate::parse`] accepts is valid under it; what a schema
/// cannot say (references, cycles, contradictions) only the parser finds.
pub fn schema() -> Value {
    let definitions: Map<String, Value> = [
        &OBJECTIVES,
        &REGION,
        &COMPONENT,
        &CHECK,
        &SIZE,
        &ROUTE,
        &FAILOVER,
        &DETECTION,
        &STORE,
        &DNS,
        &NODES,
        &TLS,
        &PRICE,
    ]
    .into_iter()
    .map(|definition| (definition.name.to_owned(), object(definition)))
    .collect();
    let mut schema = object(&FILE);
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "lifeboat.yaml".into();
    schema["$defs"] = definitions.into();
    schema
}

fn object(object: &Object) -> Value {
    let properties: Map<String, Value> =
        object.fields.iter().map(|field| (field.name.to_owned(), property(field))).collect();
    let mut schema = json!({
        "type": "object",
        "description": object.about,
        "properties": properties,
        "additionalProperties": false,
    });
    let required: Vec<&str> = object.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    if !object.one_of.is_empty() {
        schema["oneOf"] = object.one_of.iter().map(|name| json!({"required": [name]})).collect();
    }
    let beside: Map<String, Value> =
        object.fields.iter().filter_map(|field| Some((field.name.to_owned(), json!([field.beside?])))).collect();
    if !beside.is_empty() {
        schema["dependentRequired"] = beside.into();
    }
    let kinds = [Applies::Databases, Applies::Compute, Applies::Process];
    let rules: Vec<Value> = kinds.into_iter().filter_map(|applies| only_for(object, applies)).collect();
    if !rules.is_empty() {
        schema["allOf"] = rules.into();
    }
    schema
}

/// The fields that are only for some kinds are refused for the others.
fn only_for(object: &Object, applies: Applies) -> Option<Value> {
    let refused: Map<String, Value> = object
        .fields
        .iter()
        .filter(|field| field.applies == applies)
        .map(|field| (field.name.to_owned(), false.into()))
        .collect();
    if refused.is_empty() {
        return None;
    }
    let others: Vec<&str> = Kind::ALL.iter().filter(|kind| !applies.to(**kind)).map(|kind| kind.as_str()).collect();
    Some(json!({
        "if": {"properties": {"kind": {"enum": others}}, "required": ["kind"]},
        "then": {"properties": refused},
    }))
}

fn property(field: &Field) -> Value {
    let mut schema = shape(&field.shape);
    schema["description"] = field.about.into();
    if let Some(default) = field.default {
        schema["default"] = match field.shape {
            Shape::Scalar(scalar) | Shape::Either(scalar, _) => scalar.json_default(default),
            Shape::Object(_) | Shape::Map { .. } | Shape::List { .. } => default.into(),
        };
    }
    schema
}

fn shape(of: &Shape) -> Value {
    match of {
        Shape::Scalar(scalar) => scalar.json_schema(),
        Shape::Object(object) => reference(object),
        Shape::Map { key, value, least } => json!({
            "type": "object",
            "propertyNames": key.json_schema(),
            "additionalProperties": shape(value),
            "minProperties": least,
        }),
        Shape::List { item, least } => json!({"type": "array", "items": item.json_schema(), "minItems": least}),
        Shape::Either(scalar, object) => json!({"anyOf": [scalar.json_schema(), reference(object)]}),
    }
}

fn reference(object: &Object) -> Value {
    json!({"$ref": format!("#/$defs/{}", object.name)})
}
