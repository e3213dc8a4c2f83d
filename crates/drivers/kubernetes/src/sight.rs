//! What a look at the cluster finds, and what it says of a component.

use std::collections::BTreeMap;

use lifeboat_model::ComponentId;
use lifeboat_model::compute::{ComputeState, Instances, Replicas};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::client::{ApiError, Client};
use crate::cluster::Config;
use crate::gitops::{self, Keepers};
use crate::mirror::Objects;
use crate::object::{Autoscaler, Deployment, Node, Object, Pod};
use crate::pods;
use crate::record::{self, Records};

/// What a look has found.
pub struct Sight {
    pub deployments: BTreeMap<String, Deployment>,
    pub autoscalers: BTreeMap<String, Autoscaler>,
    pub keepers: Keepers,
    pub records: Records,
    /// Why the records are not seen, if that is not allowed.
    pub records_denied: Option<ApiError>,
}

impl Sight {
    /// The autoscaler that sets the size of a component's Deployment.
    pub fn autoscaler_of(&self, id: &ComponentId) -> Option<&Autoscaler> {
        self.autoscalers.values().find(|autoscaler| autoscaler.scales(id.as_str()))
    }
}

#[derive(Deserialize)]
struct List<T> {
    items: Vec<T>,
}

/// One look at everything but what is watched.
pub async fn look(client: &Client, config: &Config) -> Result<Sight, ApiError> {
    let namespace = &config.namespace;
    let keepers = gitops::observe(client, &config.app, &config.region).await?;
    let deployments = list(client, &format!("/apis/apps/v1/namespaces/{namespace}/deployments")).await?;
    let autoscalers = list(client, &autoscalers(config)).await?;
    let records = if config.routes.is_empty() { Ok(None) } else { record::list(client, namespace).await };
    let (records, records_denied) = match records {
        Err(error @ ApiError::Denied(_)) => (None, Some(error)),
        other => (other?, None),
    };
    Ok(Sight { keepers, deployments, autoscalers, records, records_denied })
}

async fn list<T: Object + DeserializeOwned>(client: &Client, path: &str) -> Result<BTreeMap<String, T>, ApiError> {
    let list: List<T> = client.get(path).await?;
    Ok(list.items.into_iter().map(|item| (item.meta().name.clone(), item)).collect())
}

/// The path of the namespace's autoscalers.
pub fn autoscalers(config: &Config) -> String {
    format!("/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers", config.namespace)
}

/// How a component is whose Deployment is there.
pub fn of_deployment(
    deployment: &Deployment,
    autoscaler: Option<&Autoscaler>,
    wanted: Option<u32>,
    instances: Instances,
    pods: &Objects<Pod>,
    nodes: &Objects<Node>,
) -> ComputeState {
    let status = &deployment.status;
    let told = deployment.spec.replicas;
    let too_low = autoscaler.filter(|autoscaler| autoscaler.spec.max_replicas < instances.full).map(|autoscaler| {
        format!(
            "its autoscaler's maximum is {}, less than the {} that serving takes",
            autoscaler.spec.max_replicas, instances.full
        )
    });
    ComputeState {
        replicas: Some(Replicas {
            wanted,
            told,
            ready: status.ready_replicas,
            available: status.available_replicas,
            rolling_out: status.observed_generation < deployment.metadata.generation
                || status.updated_replicas < status.replicas,
            room: nodes.as_ref().ok().and_then(|nodes| pods::room(deployment, nodes)),
            nodes: nodes.as_ref().ok().map(|nodes| nodes.values().filter(|node| pods::takes_pods(node)).count()),
        }),
        trouble: pods.as_ref().ok().and_then(|pods| pods::trouble(deployment, pods)).or(too_low),
        ..ComputeState::of(status.ready_replicas > 0)
    }
}
