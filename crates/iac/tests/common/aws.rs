//! What AWS has that the extracts of the provider's schema lack, and what it refuses, of which a schema says nothing.

use rmpv::Value;
use serde_json::{Map, Value as Json, json};

/// What the stub finds by data sources that list: the identifiers of instances that somebody else made.
pub const FOUND: &str = "aws_db_instances";

/// Resource types as the provider's documentation has them.
pub fn complete(types: &mut Map<String, Json>) {
    types.entry("aws_backup_region_settings").or_insert_with(|| {
        resource(&[
            ("resource_type_opt_in_preference", json!(["map", "bool"]), "required"),
            ("resource_type_management_preference", json!(["map", "bool"]), "either"),
        ])
    });
    types.entry("aws_appautoscaling_target").or_insert_with(|| {
        resource(&[
            ("min_capacity", json!("number"), "required"),
            ("max_capacity", json!("number"), "required"),
            ("resource_id", json!("string"), "required"),
            ("scalable_dimension", json!("string"), "required"),
            ("service_namespace", json!("string"), "required"),
        ])
    });
    types.entry("aws_appautoscaling_policy").or_insert_with(|| {
        let mut policy = resource(&[
            ("name", json!("string"), "required"),
            ("policy_type", json!("string"), "optional"),
            ("resource_id", json!("string"), "required"),
            ("scalable_dimension", json!("string"), "required"),
            ("service_namespace", json!("string"), "required"),
        ]);
        let metric = json!({ "attributes": { "predefined_metric_type": { "type": "string", "required": true } } });
        let tracking = json!({
            "attributes": { "target_value": { "type": "number", "required": true } },
            "block_types": { "predefined_metric_specification": { "nesting_mode": "list", "max_items": 1, "block": metric } },
        });
        policy["block"]["block_types"] =
            json!({ "target_tracking_scaling_policy_configuration": { "nesting_mode": "list", "max_items": 1, "block": tracking } });
        policy
    });
}

/// Data sources, likewise.
pub fn complete_data(types: &mut Map<String, Json>) {
    types.entry(FOUND).or_insert_with(|| {
        let filter = json!({ "attributes": {
            "name": { "type": "string", "required": true }, "values": { "type": ["list", "string"], "required": true },
        } });
        json!({ "version": 0, "block": {
            "attributes": {
                "id": { "type": "string", "optional": true, "computed": true },
                "instance_arns": { "type": ["list", "string"], "computed": true },
                "instance_identifiers": { "type": ["list", "string"], "computed": true },
            },
            "block_types": { "filter": { "nesting_mode": "set", "block": filter } },
        } })
    });
}

fn resource(attributes: &[(&str, Json, &str)]) -> Json {
    let mut all = Map::new();
    all.insert("id".into(), json!({ "type": "string", "optional": true, "computed": true }));
    for (name, kind, how) in attributes {
        let mut attribute = json!({ "type": kind });
        let flags = if *how == "either" { vec!["optional", "computed"] } else { vec![*how] };
        for flag in flags {
            attribute[flag] = true.into();
        }
        all.insert((*name).into(), attribute);
    }
    json!({ "version": 0, "block": { "attributes": all } })
}

/// Why AWS would not make this, or change it so. `given`: the configuration, which has what is in no state.
///
/// Sources: the errors of the RDS and EKS APIs.
pub fn refusal(kind: &str, before: &Value, after: &Value, given: &Value) -> Option<String> {
    let text = |state: &Value, name: &str| field(state, name).and_then(Value::as_str).map(str::to_owned);
    let is_new = before.is_nil() && !after.is_nil();
    match kind {
        "aws_db_instance" if is_new => {
            let takes_password = text(after, "replicate_source_db").is_none();
            (takes_password && text(given, "password_wo").is_none())
                .then(|| "InvalidParameterValue: MasterUserPassword is not set".to_owned())
        }
        "aws_rds_cluster" if is_new => (text(after, "master_username").is_some()
            && text(given, "master_password_wo").is_none())
        .then(|| "InvalidParameterValue: MasterUserPassword is not set".to_owned()),
        "aws_eks_node_group" if !after.is_nil() => {
            let scaling = field(after, "scaling_config").and_then(Value::as_array).and_then(|blocks| blocks.first())?;
            let number = |name: &str| field(scaling, name).and_then(Value::as_i64).unwrap_or_default();
            let (least, desired) = (number("min_size"), number("desired_size"));
            (least > desired).then(|| {
                format!(
                    "InvalidParameterException: Minimum capacity {least} can't be greater than desired size {desired}"
                )
            })
        }
        _ => None,
    }
}

fn field<'a>(state: &'a Value, name: &str) -> Option<&'a Value> {
    let found = state.as_map()?.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value);
    found.filter(|value| !value.is_nil())
}
