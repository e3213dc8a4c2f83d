//! Resource types of azurerm that the extracts of its schema lack, as the provider's documentation has them.

use serde_json::{Map, Value as Json, json};

/// Adds what is missing.
pub fn complete(types: &mut Map<String, Json>) {
    for (name, attributes) in FLAT {
        types.entry(*name).or_insert_with(|| json!({ "version": 0, "block": block(attributes) }));
    }
    types.entry("azurerm_role_definition").or_insert_with(role_definition);
    types.entry("azurerm_data_protection_backup_vault").or_insert_with(backup_vault);
    types.entry("azurerm_data_protection_backup_policy_postgresql_flexible_server").or_insert_with(server_policy);
}

/// Types without blocks: attributes as `NAME KIND` by how they are given.
const FLAT: &[(&str, Attributes)] = &[
    (
        "azurerm_nat_gateway",
        Attributes {
            required: &["name string", "resource_group_name string", "location string"],
            optional: &["idle_timeout_in_minutes number", "sku_name string", "tags map", "zones set"],
            computed: &["resource_guid string"],
        },
    ),
    (
        "azurerm_nat_gateway_public_ip_association",
        Attributes { required: &["nat_gateway_id string", "public_ip_address_id string"], ..NONE },
    ),
    (
        "azurerm_subnet_nat_gateway_association",
        Attributes { required: &["nat_gateway_id string", "subnet_id string"], ..NONE },
    ),
    (
        "azurerm_management_lock",
        Attributes {
            required: &["name string", "scope string", "lock_level string"],
            optional: &["notes string"],
            ..NONE
        },
    ),
    (
        "azurerm_postgresql_flexible_server_active_directory_administrator",
        Attributes {
            required: &[
                "server_name string",
                "resource_group_name string",
                "object_id string",
                "tenant_id string",
                "principal_name string",
                "principal_type string",
            ],
            ..NONE
        },
    ),
    (
        "azurerm_cosmosdb_sql_role_assignment",
        Attributes {
            required: &[
                "resource_group_name string",
                "account_name string",
                "principal_id string",
                "role_definition_id string",
                "scope string",
            ],
            optional: &["name string"],
            ..NONE
        },
    ),
    (
        "azurerm_federated_identity_credential",
        Attributes {
            required: &[
                "name string",
                "resource_group_name string",
                "parent_id string",
                "audience list",
                "issuer string",
                "subject string",
            ],
            ..NONE
        },
    ),
    (
        "azurerm_data_protection_backup_policy_blob_storage",
        Attributes {
            required: &["name string", "vault_id string"],
            optional: &[
                "backup_repeating_time_intervals list",
                "operational_default_retention_duration string",
                "time_zone string",
                "vault_default_retention_duration string",
            ],
            ..NONE
        },
    ),
    (
        "azurerm_data_protection_backup_instance_blob_storage",
        Attributes {
            required: &[
                "name string",
                "location string",
                "vault_id string",
                "storage_account_id string",
                "backup_policy_id string",
            ],
            optional: &["storage_account_container_names list"],
            ..NONE
        },
    ),
    (
        "azurerm_data_protection_backup_instance_postgresql_flexible_server",
        Attributes {
            required: &[
                "name string",
                "location string",
                "vault_id string",
                "server_id string",
                "backup_policy_id string",
            ],
            computed: &["protection_state string"],
            ..NONE
        },
    ),
    (
        "azurerm_monitor_alert_processing_rule_action_group",
        Attributes {
            required: &["name string", "resource_group_name string", "scopes list", "add_action_group_ids list"],
            optional: &["description string", "enabled bool", "tags map"],
            ..NONE
        },
    ),
];

#[derive(Clone, Copy)]
struct Attributes {
    required: &'static [&'static str],
    optional: &'static [&'static str],
    computed: &'static [&'static str],
}

const NONE: Attributes = Attributes { required: &[], optional: &[], computed: &[] };

fn block(attributes: &Attributes) -> Json {
    let mut all = Map::new();
    all.insert("id".into(), json!({ "type": "string", "optional": true, "computed": true }));
    for (how, names) in
        [("required", attributes.required), ("optional", attributes.optional), ("computed", attributes.computed)]
    {
        for name in names {
            let (name, kind) = name.split_once(' ').unwrap();
            let kind = match kind {
                "map" | "set" | "list" => json!([kind, "string"]),
                _ => json!(kind),
            };
            all.insert(name.into(), json!({ "type": kind, how: true }));
        }
    }
    json!({ "attributes": all })
}

fn role_definition() -> Json {
    let mut whole = block(&Attributes {
        required: &["name string", "scope string"],
        optional: &["role_definition_id string", "description string", "assignable_scopes list"],
        computed: &["role_definition_resource_id string"],
    });
    let permissions = block(&Attributes {
        optional: &["actions list", "data_actions set", "not_actions list", "not_data_actions set"],
        ..NONE
    });
    let mut permissions = permissions;
    permissions["attributes"].as_object_mut().unwrap().remove("id");
    whole["block_types"] = json!({ "permissions": { "nesting_mode": "list", "block": permissions } });
    json!({ "version": 1, "block": whole })
}

/// A block inside, of which there is at most one.
fn inner(attributes: &Attributes) -> Json {
    let mut block = block(attributes);
    block["attributes"].as_object_mut().unwrap().remove("id");
    json!({ "nesting_mode": "list", "max_items": 1, "block": block })
}

fn backup_vault() -> Json {
    let mut whole = block(&Attributes {
        required: &[
            "name string",
            "resource_group_name string",
            "location string",
            "datastore_type string",
            "redundancy string",
        ],
        optional: &[
            "cross_region_restore_enabled bool",
            "immutability string",
            "retention_duration_in_days number",
            "soft_delete string",
            "tags map",
        ],
        ..NONE
    });
    let identity = Attributes {
        required: &["type string"],
        optional: &["identity_ids set"],
        computed: &["principal_id string", "tenant_id string"],
    };
    whole["block_types"] = json!({ "identity": inner(&identity) });
    json!({ "version": 0, "block": whole })
}

fn server_policy() -> Json {
    let mut whole = block(&Attributes {
        required: &["name string", "vault_id string", "backup_repeating_time_intervals list"],
        optional: &["time_zone string"],
        ..NONE
    });
    let mut rule = inner(&NONE);
    let life_cycle = inner(&Attributes { required: &["data_store_type string", "duration string"], ..NONE });
    rule["block"]["block_types"] = json!({ "life_cycle": life_cycle });
    rule["min_items"] = 1.into();
    whole["block_types"] = json!({ "default_retention_rule": rule });
    json!({ "version": 0, "block": whole })
}
