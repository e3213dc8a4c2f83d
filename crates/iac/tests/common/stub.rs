//! A Terraform provider that does nothing but serve a real provider's schema: `terraform` checks every attribute against
//! it, plans, applies and destroys, all without a network or an account.
//!
//! It speaks plugin protocol 6 over a Unix socket and is found through `TF_REATTACH_PROVIDERS`. What exists is what the
//! state says, changed by [`Stub::drift`], with which a test makes the world move without Terraform.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use rmpv::Value;
use serde_json::{Value as Json, json};

/// A running provider; ends when dropped.
pub struct Stub {
    source: &'static str,
    socket: PathBuf,
    world: Arc<World>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A change that the world made to resources of a type without Terraform.
pub struct Drift {
    /// Of which type.
    pub resource: &'static str,
    /// The attribute that tells which resource, and its value.
    pub which: (&'static str, String),
    /// Attributes (of nested blocks by path, such as `profile.0.capacity.0.minimum`) and their new values.
    pub now: Vec<(&'static str, Json)>,
}

/// What somebody made without Terraform, which can be found and imported.
pub struct Made {
    /// Of which type.
    pub resource: &'static str,
    /// By which identifier it is imported.
    pub id: String,
    /// Its attributes.
    pub now: Vec<(&'static str, Json)>,
}

struct World {
    schema: Json,
    drifts: Mutex<Vec<Drift>>,
    made: Mutex<Vec<Made>>,
    /// A region of the provider in which nobody answers.
    dark: Mutex<Option<String>>,
}

/// What a provider was configured with: Terraform has a connection for each.
#[derive(Default)]
struct Configured {
    region: String,
    /// Where it asks who it is.
    sts: String,
}

/// Types that the schema in a file lacks, and that are described here.
pub fn written_by_hand(file: &Path) -> Vec<String> {
    let mut schema: Json = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let names = |schema: &Json| schema["resource_schemas"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let before = names(&schema);
    complete(&mut schema);
    names(&schema).into_iter().filter(|name| !before.contains(name)).collect()
}

/// What the extracts of the schemas lack. The records of private zones have the fields of those of public ones, but for
/// `target_resource_id`. The replication of ECR, a network's default security group, access to EKS and of its pods and Azure's metric alerts are written here, more of Azure in `azurerm`, as the
/// providers' documentation has them.
fn complete(schema: &mut Json) {
    let Some(types) = schema["resource_schemas"].as_object_mut() else { return };
    if types.contains_key("aws_ecs_service") {
        types.entry("aws_ecr_replication_configuration").or_insert_with(ecr_replication);
        types.entry("aws_default_security_group").or_insert_with(default_security_group);
        types.entry("aws_eks_pod_identity_association").or_insert_with(pod_identity);
        types.entry("aws_eks_access_entry").or_insert_with(access_entry);
        types.entry("aws_eks_access_policy_association").or_insert_with(access_policy);
        super::aws::complete(types);
    }
    if types.contains_key("azurerm_cosmosdb_account") {
        types.entry("azurerm_monitor_metric_alert").or_insert_with(metric_alert);
        super::azurerm::complete(types);
    }
    if let Some(mut record) = types.get("azurerm_dns_a_record").cloned() {
        record["block"]["attributes"].as_object_mut().unwrap().remove("target_resource_id");
        types.entry("azurerm_private_dns_a_record").or_insert(record);
    }
}

/// As far as it is used: rules are blocks that stand for attributes, and none is ever written.
fn default_security_group() -> Json {
    let computed = json!({ "type": "string", "computed": true });
    json!({ "version": 1, "block": { "attributes": {
        "id": { "type": "string", "optional": true, "computed": true },
        "vpc_id": { "type": "string", "optional": true, "computed": true },
        "tags": { "type": ["map", "string"], "optional": true },
        "arn": computed, "name": computed, "owner_id": computed,
    } } })
}

fn pod_identity() -> Json {
    let required = json!({ "type": "string", "required": true });
    let computed = json!({ "type": "string", "computed": true });
    json!({ "version": 0, "block": { "attributes": {
        "id": computed, "association_id": computed, "association_arn": computed,
        "cluster_name": required, "namespace": required, "service_account": required, "role_arn": required,
        "tags": { "type": ["map", "string"], "optional": true },
    } } })
}

fn access_entry() -> Json {
    let required = json!({ "type": "string", "required": true });
    let optional = json!({ "type": "string", "optional": true, "computed": true });
    json!({ "version": 0, "block": { "attributes": {
        "id": optional, "cluster_name": required, "principal_arn": required, "type": optional,
        "access_entry_arn": { "type": "string", "computed": true },
        "kubernetes_groups": { "type": ["set", "string"], "optional": true },
    } } })
}

fn access_policy() -> Json {
    let required = json!({ "type": "string", "required": true });
    let scope = json!({ "attributes": {
        "type": required, "namespaces": { "type": ["set", "string"], "optional": true },
    } });
    json!({ "version": 0, "block": {
        "attributes": {
            "id": { "type": "string", "optional": true, "computed": true },
            "cluster_name": required, "principal_arn": required, "policy_arn": required,
        },
        "block_types": { "access_scope": { "nesting_mode": "list", "min_items": 1, "max_items": 1, "block": scope } },
    } })
}

fn metric_alert() -> Json {
    let optional = |kind: Json| json!({ "type": kind, "optional": true });
    let required = |kind: &str| json!({ "type": kind, "required": true });
    let strings = |kind: &str| json!([kind, "string"]);
    json!({ "version": 1, "block": {
        "attributes": {
            "id": { "type": "string", "optional": true, "computed": true },
            "name": required("string"), "resource_group_name": required("string"),
            "scopes": { "type": strings("set"), "required": true },
            "description": optional(json!("string")), "severity": optional(json!("number")),
            "frequency": optional(json!("string")), "window_size": optional(json!("string")),
            "enabled": optional(json!("bool")), "auto_mitigate": optional(json!("bool")),
            "tags": optional(strings("map")),
        },
        "block_types": {
            "criteria": { "nesting_mode": "set", "block": {
                "attributes": {
                    "metric_namespace": required("string"), "metric_name": required("string"),
                    "aggregation": required("string"), "operator": required("string"), "threshold": required("number"),
                    "skip_metric_validation": optional(json!("bool")),
                },
                "block_types": { "dimension": { "nesting_mode": "list", "block": { "attributes": {
                    "name": required("string"), "operator": required("string"),
                    "values": { "type": strings("list"), "required": true },
                } } } },
            } },
            "action": { "nesting_mode": "set", "block": { "attributes": {
                "action_group_id": required("string"), "webhook_properties": optional(strings("map")),
            } } },
        },
    } })
}

fn ecr_replication() -> Json {
    let required = json!({ "type": "string", "required": true });
    let nested = |name: &str, least: u32, most: u32, block: Json| json!({ name: { "nesting_mode": "list", "min_items": least, "max_items": most, "block": block } });
    let strings = |names: [&str; 2]| json!({ "attributes": { names[0]: required, names[1]: required } });
    let mut rule = nested("destination", 1, 25, strings(["region", "registry_id"]));
    rule["repository_filter"] = nested("f", 0, 100, strings(["filter", "filter_type"]))["f"].take();
    let configuration = json!({ "block_types": nested("rule", 1, 10, json!({ "block_types": rule })) });
    let id = json!({ "type": "string", "optional": true, "computed": true });
    let registry = json!({ "type": "string", "computed": true });
    json!({ "version": 0, "block": {
        "attributes": { "id": id, "registry_id": registry },
        "block_types": nested("replication_configuration", 0, 1, configuration),
    } })
}

impl Stub {
    /// Serves the schema in `file` as the provider `source` (such as `hashicorp/aws`) on a socket in `folder`.
    pub fn start(source: &'static str, file: &Path, folder: &Path) -> Self {
        let mut schema: Json = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        complete(&mut schema);
        if source == "hashicorp/aws" {
            super::aws::complete_data(schema["data_source_schemas"].as_object_mut().unwrap());
        }
        let world = World { schema, drifts: Mutex::default(), made: Mutex::default(), dark: Mutex::default() };
        let world = Arc::new(world);
        let socket = folder.join(format!("{}.sock", source.replace('/', "-")));
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let served = world.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::UnixListener::from_std(listener).unwrap();
                let accept = async {
                    while let Ok((connection, _)) = listener.accept().await {
                        tokio::spawn(serve(connection, served.clone()));
                    }
                };
                tokio::select! { () = accept => {}, _ = stopped => {} }
            });
        });
        Self { source, socket, world, stop: Some(stop), thread: Some(thread) }
    }

    /// The value of `TF_REATTACH_PROVIDERS` for these providers.
    pub fn reattach(stubs: &[&Self]) -> String {
        let entries: serde_json::Map<String, Json> = stubs
            .iter()
            .map(|stub| {
                let value = serde_json::json!({
                    "Protocol": "grpc", "ProtocolVersion": 6, "Pid": std::process::id(), "Test": true,
                    "Addr": {"Network": "unix", "String": stub.socket},
                });
                (format!("registry.terraform.io/{}", stub.source), value)
            })
            .collect();
        Json::Object(entries).to_string()
    }

    /// Nobody answers in this region any more.
    pub fn darken(&self, region: &str) {
        *self.world.dark.lock().unwrap() = Some(region.to_owned());
    }

    /// Somebody makes something.
    pub fn make(&self, made: Made) {
        self.world.made.lock().unwrap().push(made);
    }

    /// Changes the world behind Terraform's back.
    pub fn drift(&self, drift: Drift) {
        self.world.drifts.lock().unwrap().push(drift);
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// gRPC by hand: one message of five bytes of head and a body each way, the status in the trailers.
async fn serve(connection: tokio::net::UnixStream, world: Arc<World>) {
    let Ok(mut connection) = h2::server::Builder::new()
        .initial_window_size(1 << 24)
        .initial_connection_window_size(1 << 24)
        .handshake::<_, Bytes>(connection)
        .await
    else {
        return;
    };
    let configured = Arc::new(Mutex::new(Configured::default()));
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let (world, configured) = (world.clone(), configured.clone());
        tokio::spawn(async move {
            let method = request.uri().path().to_owned();
            let mut body = request.into_body();
            let mut received = BytesMut::new();
            while let Some(Ok(chunk)) = body.data().await {
                let _ = body.flow_control().release_capacity(chunk.len());
                received.extend_from_slice(&chunk);
            }
            let answer = method
                .strip_prefix("/tfplugin6.Provider/")
                .and_then(|method| world.answer_from(&configured, method, received.get(5..).unwrap_or_default()));
            let head = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
            let Ok(mut stream) = respond.send_response(head, false) else { return };
            let status = if answer.is_some() { "0" } else { "12" };
            if let Some(answer) = answer {
                let mut framed = BytesMut::with_capacity(answer.len() + 5);
                framed.put_u8(0);
                framed.put_u32(u32::try_from(answer.len()).unwrap());
                framed.extend_from_slice(&answer);
                let _ = stream.send_data(framed.freeze(), false);
            }
            let _ = stream.send_trailers(http::HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                http::HeaderValue::from_static(status),
            )]));
        });
    }
}

impl World {
    /// As [`World::answer`], unless what is asked lies in the dark.
    fn answer_from(&self, configured: &Mutex<Configured>, method: &str, request: &[u8]) -> Option<Vec<u8>> {
        let mut configured = configured.lock().unwrap();
        if method == "ConfigureProvider" {
            let config = unpack(ConfigureRequest::decode(request).unwrap().config);
            let text = |name| get(&config, name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (region, sts) = (text("region"), text("sts_region"));
            *configured = Configured { sts: if sts.is_empty() { region.clone() } else { sts }, region };
        }
        let dark = self.dark.lock().unwrap().clone();
        let silent = |region: &str| dark.as_deref() == Some(region);
        let diagnostic = || vec![Diagnostic { severity: 1, summary: format!("no answer from {}", configured.region) }];
        match method {
            "ConfigureProvider" if silent(&configured.sts) => {
                Some(ConfigureResponse { diagnostics: diagnostic() }.encode_to_vec())
            }
            "ReadResource" | "ReadDataSource" if silent(&configured.region) => {
                Some(ReadResponse { diagnostics: diagnostic() }.encode_to_vec())
            }
            "ApplyResourceChange" if silent(&configured.region) => {
                let request = PlanRequest::decode(request).unwrap();
                let response = ApplyResponse { new_state: request.prior, diagnostics: diagnostic() };
                Some(response.encode_to_vec())
            }
            _ => self.answer(method, request),
        }
    }

    /// `None`: no such method here.
    fn answer(&self, method: &str, request: &[u8]) -> Option<Vec<u8>> {
        Some(match method {
            "GetProviderSchema" => self.schema_response().encode_to_vec(),
            "ValidateProviderConfig"
            | "ValidateResourceConfig"
            | "ValidateDataResourceConfig"
            | "ConfigureProvider"
            | "StopProvider" => Vec::new(),
            "UpgradeResourceState" => {
                let request = UpgradeRequest::decode(request).unwrap();
                let json = request.raw_state.unwrap_or_default().json;
                One { state: Some(DynamicValue { json, msgpack: Vec::new() }) }.encode_to_vec()
            }
            "ReadResource" => {
                let request = TypeAndState::decode(request).unwrap();
                let mut state = unpack(request.state);
                self.apply_drift(&request.type_name, &mut state);
                One { state: Some(pack(&state)) }.encode_to_vec()
            }
            "ReadDataSource" => {
                let request = TypeAndState::decode(request).unwrap();
                let block = &self.schema["data_source_schemas"][&request.type_name]["block"];
                let mut state = unpack(request.state);
                mark_computed(block, &mut state);
                fill_unknown(block, &mut state, &request.type_name);
                if request.type_name == super::aws::FOUND {
                    self.find(&mut state);
                }
                One { state: Some(pack(&state)) }.encode_to_vec()
            }
            "PlanResourceChange" => {
                let request = PlanRequest::decode(request).unwrap();
                let block = self.resource(&request.type_name);
                let mut state = unpack(request.proposed);
                mark_computed(block, &mut state);
                One { state: Some(pack(&state)) }.encode_to_vec()
            }
            "ApplyResourceChange" => {
                let request = PlanRequest::decode(request).unwrap();
                let block = self.resource(&request.type_name);
                let mut state = unpack(request.proposed);
                let prior = unpack(request.prior.clone());
                if let Some(summary) =
                    super::aws::refusal(&request.type_name, &prior, &state, &unpack(request.config.clone()))
                {
                    let diagnostics = vec![Diagnostic { severity: 1, summary }];
                    return Some(ApplyResponse { new_state: request.prior, diagnostics }.encode_to_vec());
                }
                fill_unknown(block, &mut state, &request.type_name);
                One { state: Some(pack(&state)) }.encode_to_vec()
            }
            "ImportResourceState" => {
                let request = ImportRequest::decode(request).unwrap();
                let mut state = self.empty(self.resource(&request.type_name));
                set(&mut state, "id", Value::from(request.id.as_str()));
                let made = self.made.lock().unwrap();
                let is_it = |made: &&Made| made.resource == request.type_name && made.id == request.id;
                let Some(made) = made.iter().find(is_it) else {
                    let summary = format!("Cannot import non-existent remote object {}", request.id);
                    let diagnostics = vec![Diagnostic { severity: 1, summary }];
                    return Some(ImportResponse { imported_resources: Vec::new(), diagnostics }.encode_to_vec());
                };
                for (name, now) in &made.now {
                    set(&mut state, name, from_json(now));
                }
                let block = self.resource(&request.type_name);
                mark_computed(block, &mut state);
                fill_unknown(block, &mut state, &request.type_name);
                let resource = Imported { type_name: request.type_name, state: Some(pack(&state)) };
                ImportResponse { imported_resources: vec![resource], diagnostics: Vec::new() }.encode_to_vec()
            }
            _ => return None,
        })
    }

    fn resource(&self, name: &str) -> &Json {
        &self.schema["resource_schemas"][name]["block"]
    }

    fn empty(&self, block: &Json) -> Value {
        let attributes = block["attributes"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| (Value::from(name.as_str()), Value::Nil));
        let blocks = block["block_types"].as_object().into_iter().flatten().map(|(name, nested)| {
            let none = if nested["nesting_mode"] == "single" { Value::Nil } else { Value::Array(Vec::new()) };
            (Value::from(name.as_str()), none)
        });
        Value::Map(attributes.chain(blocks).collect())
    }

    fn apply_drift(&self, resource: &str, state: &mut Value) {
        for drift in self.drifts.lock().unwrap().iter().filter(|drift| drift.resource == resource) {
            let (attribute, value) = &drift.which;
            if get(state, attribute).and_then(Value::as_str) == Some(value) {
                for (attribute, now) in &drift.now {
                    set(state, attribute, from_json(now));
                }
            }
        }
    }

    /// Instances of the clusters that a filter names.
    fn find(&self, state: &mut Value) {
        let filters = get(state, "filter").and_then(Value::as_array).cloned().unwrap_or_default();
        let values = |filter: &Value| get(filter, "values").and_then(Value::as_array).cloned().unwrap_or_default();
        let clusters: Vec<Value> = filters.iter().flat_map(values).collect();
        let made = self.made.lock().unwrap();
        let of_cluster = |made: &&Made| {
            made.now.iter().any(|(name, value)| *name == "cluster_identifier" && clusters.contains(&from_json(value)))
        };
        let found = made.iter().filter(of_cluster).map(|made| Value::from(made.id.as_str())).collect();
        set(state, "instance_identifiers", Value::Array(found));
    }

    fn schema_response(&self) -> SchemaResponse {
        let all = |key: &str| -> HashMap<String, Schema> {
            self.schema[key]
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, schema)| (name.clone(), schema_of(schema)))
                .collect()
        };
        SchemaResponse {
            provider: Some(schema_of(&self.schema["provider"])),
            resource_schemas: all("resource_schemas"),
            data_source_schemas: all("data_source_schemas"),
        }
    }
}

fn schema_of(schema: &Json) -> Schema {
    Schema { version: schema["version"].as_i64().unwrap_or(0), block: Some(block_of(&schema["block"])) }
}

fn block_of(block: &Json) -> Block {
    let flag = |attribute: &Json, name: &str| attribute[name].as_bool().unwrap_or(false);
    let attributes = block["attributes"].as_object().into_iter().flatten();
    let blocks = block["block_types"].as_object().into_iter().flatten();
    Block {
        attributes: attributes
            // `alias` is Terraform's own.
            .filter(|(name, _)| *name != "alias")
            .map(|(name, attribute)| Attribute {
                name: name.clone(),
                r#type: attribute["type"].to_string().into_bytes(),
                required: flag(attribute, "required"),
                optional: flag(attribute, "optional"),
                computed: flag(attribute, "computed"),
                // The extracted schemas do not say so, but this is how providers name what is never kept.
                write_only: name.ends_with("_wo"),
            })
            .collect(),
        block_types: blocks
            .map(|(name, nested)| NestedBlock {
                type_name: name.clone(),
                block: Some(block_of(&nested["block"])),
                nesting: match nested["nesting_mode"].as_str().unwrap() {
                    "single" => 1,
                    "list" => 2,
                    "set" => 3,
                    "map" => 4,
                    other => panic!("nesting mode {other}"),
                },
                min_items: nested["min_items"].as_i64().unwrap_or(0),
                max_items: nested["max_items"].as_i64().unwrap_or(0),
            })
            .collect(),
    }
}

/// What a provider only knows after apply: computed and not given. What it never keeps: null.
fn mark_computed(block: &Json, state: &mut Value) {
    walk(block, state, &mut |attribute, name, value| {
        if name.ends_with("_wo") {
            *value = Value::Nil;
        } else if attribute["computed"] == true && value.is_nil() {
            *value = Value::Ext(0, vec![0]);
        }
    });
}

fn fill_unknown(block: &Json, state: &mut Value, resource: &str) {
    let label = ["name", "identifier", "cluster_identifier", "bucket", "global_cluster_identifier"]
        .iter()
        .find_map(|name| get(state, name).and_then(Value::as_str).map(str::to_owned))
        .or_else(|| get(state, "tags").and_then(|tags| get(tags, "Name")).and_then(Value::as_str).map(str::to_owned))
        .unwrap_or_default();
    // What lies in another has a name that is its own only there.
    let whole =
        ["virtual_network_name", "loadbalancer_id"].iter().find_map(|name| get(state, name).and_then(Value::as_str));
    let label = whole.map_or_else(|| label.clone(), |whole| format!("{whole}/{label}"));
    walk(block, state, &mut |attribute, name, value| {
        if matches!(value, Value::Ext(..)) {
            *value = known(&attribute["type"], name, resource, &label);
        }
    });
}

/// A fixed value of the type, so that the second plan is empty.
fn known(kind: &Json, name: &str, resource: &str, label: &str) -> Value {
    match (kind.as_str(), name) {
        (_, "account_id") => "123456789012".into(),
        (_, "partition") => "aws".into(),
        (_, "names") => Value::Array(["1", "2", "3"].map(|zone| Value::from(format!("zone-{zone}"))).into()),
        (_, "public_ip" | "ip_address") => "192.0.2.1".into(),
        (_, "tenant_id" | "principal_id" | "client_id" | "object_id") => "00000000-0000-0000-0000-000000000001".into(),
        (Some("string"), _) => format!("{resource}/{label}/{name}").into(),
        (Some("number"), _) => 1.into(),
        (Some("bool"), _) => false.into(),
        _ => match kind[0].as_str() {
            Some("map" | "object") => Value::Map(Vec::new()),
            _ => Value::Array(Vec::new()),
        },
    }
}

/// Every attribute of a block and of the blocks in it.
fn walk(block: &Json, state: &mut Value, visit: &mut dyn FnMut(&Json, &str, &mut Value)) {
    let Value::Map(entries) = state else { return };
    for (name, value) in entries {
        let name = name.as_str().unwrap();
        let attribute = &block["attributes"][name];
        let nested = &block["block_types"][name];
        if attribute.is_object() {
            visit(attribute, name, value);
        } else if nested.is_object() {
            match value {
                Value::Array(items) => items.iter_mut().for_each(|item| walk(&nested["block"], item, visit)),
                Value::Map(_) => walk(&nested["block"], value, visit),
                _ => {}
            }
        }
    }
}

fn get<'a>(state: &'a Value, name: &str) -> Option<&'a Value> {
    state.as_map()?.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value)
}

fn set(state: &mut Value, path: &str, value: Value) {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let found = match state {
        Value::Map(entries) => entries.iter_mut().find(|(key, _)| key.as_str() == Some(name)).map(|(_, old)| old),
        Value::Array(items) => items.get_mut(name.parse::<usize>().unwrap()),
        _ => None,
    };
    match (found, rest) {
        (Some(found), Some(rest)) => set(found, rest, value),
        (Some(found), None) => *found = value,
        (None, _) => panic!("no {name}"),
    }
}

fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(flag) => (*flag).into(),
        Json::Number(number) => number.as_i64().map_or_else(|| number.as_f64().unwrap().into(), Value::from),
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => Value::Array(items.iter().map(from_json).collect()),
        Json::Object(entries) => Value::Map(entries.iter().map(|(k, v)| (k.as_str().into(), from_json(v))).collect()),
    }
}

fn unpack(value: Option<DynamicValue>) -> Value {
    let value = value.unwrap_or_default();
    if value.msgpack.is_empty() {
        return from_json(&serde_json::from_slice(&value.json).unwrap_or(Json::Null));
    }
    rmpv::decode::read_value(&mut value.msgpack.as_slice()).unwrap()
}

fn pack(value: &Value) -> DynamicValue {
    let mut msgpack = Vec::new();
    rmpv::encode::write_value(&mut msgpack, value).unwrap();
    DynamicValue { msgpack, json: Vec::new() }
}

// The part of tfplugin6.proto that is used.

#[derive(Clone, PartialEq, Message)]
struct DynamicValue {
    #[prost(bytes = "vec", tag = "1")]
    msgpack: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    json: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct SchemaResponse {
    #[prost(message, optional, tag = "1")]
    provider: Option<Schema>,
    #[prost(map = "string, message", tag = "2")]
    resource_schemas: HashMap<String, Schema>,
    #[prost(map = "string, message", tag = "3")]
    data_source_schemas: HashMap<String, Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct Schema {
    #[prost(int64, tag = "1")]
    version: i64,
    #[prost(message, optional, tag = "2")]
    block: Option<Block>,
}

#[derive(Clone, PartialEq, Message)]
struct Block {
    #[prost(message, repeated, tag = "2")]
    attributes: Vec<Attribute>,
    #[prost(message, repeated, tag = "3")]
    block_types: Vec<NestedBlock>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    r#type: Vec<u8>,
    #[prost(bool, tag = "4")]
    required: bool,
    #[prost(bool, tag = "5")]
    optional: bool,
    #[prost(bool, tag = "6")]
    computed: bool,
    #[prost(bool, tag = "11")]
    write_only: bool,
}

#[derive(Clone, PartialEq, Message)]
struct NestedBlock {
    #[prost(string, tag = "1")]
    type_name: String,
    #[prost(message, optional, tag = "2")]
    block: Option<Block>,
    #[prost(int32, tag = "3")]
    nesting: i32,
    #[prost(int64, tag = "4")]
    min_items: i64,
    #[prost(int64, tag = "5")]
    max_items: i64,
}

#[derive(Clone, PartialEq, Message)]
struct RawState {
    #[prost(bytes = "vec", tag = "1")]
    json: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct UpgradeRequest {
    #[prost(message, optional, tag = "3")]
    raw_state: Option<RawState>,
}

/// Requests to read a resource or a data source.
#[derive(Clone, PartialEq, Message)]
struct TypeAndState {
    #[prost(string, tag = "1")]
    type_name: String,
    #[prost(message, optional, tag = "2")]
    state: Option<DynamicValue>,
}

/// Requests to plan and to apply: the third field is the proposed, or the planned, state. What is never kept is in the configuration only.
#[derive(Clone, PartialEq, Message)]
struct PlanRequest {
    #[prost(string, tag = "1")]
    type_name: String,
    #[prost(message, optional, tag = "2")]
    prior: Option<DynamicValue>,
    #[prost(message, optional, tag = "3")]
    proposed: Option<DynamicValue>,
    #[prost(message, optional, tag = "4")]
    config: Option<DynamicValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ConfigureRequest {
    #[prost(message, optional, tag = "2")]
    config: Option<DynamicValue>,
}

#[derive(Clone, PartialEq, Message)]
struct Diagnostic {
    #[prost(int32, tag = "1")]
    severity: i32,
    #[prost(string, tag = "2")]
    summary: String,
}

#[derive(Clone, PartialEq, Message)]
struct ConfigureResponse {
    #[prost(message, repeated, tag = "1")]
    diagnostics: Vec<Diagnostic>,
}

/// Responses to reading that came to nothing.
#[derive(Clone, PartialEq, Message)]
struct ReadResponse {
    #[prost(message, repeated, tag = "2")]
    diagnostics: Vec<Diagnostic>,
}

#[derive(Clone, PartialEq, Message)]
struct ApplyResponse {
    #[prost(message, optional, tag = "1")]
    new_state: Option<DynamicValue>,
    #[prost(message, repeated, tag = "3")]
    diagnostics: Vec<Diagnostic>,
}

/// Responses whose first field is a state, which are all of them.
#[derive(Clone, PartialEq, Message)]
struct One {
    #[prost(message, optional, tag = "1")]
    state: Option<DynamicValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ImportRequest {
    #[prost(string, tag = "1")]
    type_name: String,
    #[prost(string, tag = "2")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct Imported {
    #[prost(string, tag = "1")]
    type_name: String,
    #[prost(message, optional, tag = "2")]
    state: Option<DynamicValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ImportResponse {
    #[prost(message, repeated, tag = "1")]
    imported_resources: Vec<Imported>,
    #[prost(message, repeated, tag = "2")]
    diagnostics: Vec<Diagnostic>,
}
