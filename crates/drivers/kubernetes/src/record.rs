//! The records of routes that external-dns publishes: a DNSEndpoint for each, in the cluster of the region that serves.
//!
//! Every region has a name of its own that never changes; the route's name leads to that of the region which serves. In a cluster
//! of a region that does not serve the object is away, or empty where it comes from Git, which would make a new one; or its
//! external-dns would set the record back. external-dns runs with `--policy=upsert-only` and the same `--txt-owner-id` everywhere:
//! then an object that is away removes no record, and whoever takes over may overwrite what a dead region has left.

use std::collections::BTreeMap;

use lifeboat_model::kubernetes::{FIELD_MANAGER, record_name, regional_name};
use lifeboat_model::{HostName, RegionId};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{ApiError, Client, Patch};
use crate::object::DnsEndpoint;

/// What is to be done about a route's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Make it, or make it right.
    Publish,
    /// Take it away: it is ours.
    Withdraw,
    /// Leave it there without a record in it.
    Empty,
}

/// The label of objects that are there only because Lifeboat made them.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// The records of a namespace by name; `None`: the cluster has no external-dns that reads them.
pub type Records = Option<BTreeMap<String, DnsEndpoint>>;

#[derive(Deserialize)]
struct List {
    items: Vec<DnsEndpoint>,
}

/// All records of a namespace.
pub async fn list(client: &Client, namespace: &str) -> Result<Records, ApiError> {
    let list = client.find::<List>(&path(namespace)).await?;
    Ok(list.map(|list| list.items.into_iter().map(|item| (item.metadata.name.clone(), item)).collect()))
}

/// What is to be done; `None`: nothing. `is_kept`: whether what is changed in the object would be set back from Git.
pub fn change(is_served: bool, found: Option<&DnsEndpoint>, wanted: &Value, is_kept: bool) -> Option<Change> {
    let Some(found) = found else { return is_served.then_some(Change::Publish) };
    let is_from_git = found.metadata.is_from_git();
    let is_empty = found.spec["endpoints"].as_array().is_none_or(Vec::is_empty);
    if is_served {
        let may_differ = is_from_git && is_kept && !is_empty;
        return (!may_differ && found.spec != wanted["spec"]).then_some(Change::Publish);
    }
    let is_ours = found.metadata.labels.get(MANAGED_BY).is_some_and(|by| by == FIELD_MANAGER);
    match (is_ours && !is_from_git, is_empty) {
        (true, _) => Some(Change::Withdraw),
        (false, false) => Some(Change::Empty),
        (false, true) => None,
    }
}

/// The object, as `lifeboat generate` writes it.
pub fn object(namespace: &str, region: &RegionId, host: &HostName, ttl_seconds: u64) -> Value {
    json!({
        "apiVersion": "externaldns.k8s.io/v1alpha1",
        "kind": "DNSEndpoint",
        "metadata": {"name": record_name(host), "namespace": namespace},
        "spec": {"endpoints": [{
            "dnsName": host.as_str(),
            "recordType": "CNAME",
            "recordTTL": ttl_seconds,
            "targets": [regional_name(region, host)],
        }]},
    })
}

/// Makes the object, or makes it right. One that is made now says whose it is.
pub async fn publish(
    client: &Client,
    namespace: &str,
    mut object: Value,
    found: Option<&DnsEndpoint>,
) -> Result<(), ApiError> {
    if found.is_none_or(|found| found.metadata.labels.contains_key(MANAGED_BY)) {
        object["metadata"]["labels"] = json!({MANAGED_BY: FIELD_MANAGER});
    }
    apply(client, namespace, &object).await
}

/// Leaves the object there without a record in it.
pub async fn empty(client: &Client, namespace: &str, mut object: Value) -> Result<(), ApiError> {
    object["spec"]["endpoints"] = json!([]);
    apply(client, namespace, &object).await
}

async fn apply(client: &Client, namespace: &str, object: &Value) -> Result<(), ApiError> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    client.patch::<Value>(&format!("{}/{name}", path(namespace)), Patch::Apply, object).await.map(drop)
}

/// Takes the object away if it is still as it was seen.
pub async fn withdraw(client: &Client, namespace: &str, found: &DnsEndpoint) -> Result<(), ApiError> {
    let meta = &found.metadata;
    client.delete(&format!("{}/{}", path(namespace), meta.name), &meta.resource_version).await
}

fn path(namespace: &str) -> String {
    format!("/apis/externaldns.k8s.io/v1alpha1/namespaces/{namespace}/dnsendpoints")
}
