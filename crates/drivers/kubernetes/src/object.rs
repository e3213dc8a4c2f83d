//! The objects that are read, as far as they are read: of hundreds of fields the few that something depends on.

use std::collections::BTreeMap;

use lifeboat_model::kubernetes::FIELD_MANAGER;
use serde::Deserialize;
use serde_json::Value;

/// Whoever of these owns a field sets it from Git.
const GITOPS_MANAGERS: [&str; 3] = ["argocd-controller", "argocd-application-controller", "kustomize-controller"];

/// What every object has.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Meta {
    pub name: String,
    pub resource_version: String,
    pub generation: i64,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub owner_references: Vec<Owner>,
    pub managed_fields: Vec<Managed>,
    pub deletion_timestamp: Option<String>,
}

/// Whom an object belongs to.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Owner {
    pub kind: String,
}

/// Who owns which fields.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Managed {
    pub manager: String,
    pub fields_v1: Value,
}

impl Managed {
    /// Whether a field of `spec` is among them.
    fn owns(&self, field: &str) -> bool {
        !self.fields_v1["f:spec"][format!("f:{field}")].is_null()
    }
}

impl Meta {
    /// Whether somebody who works from Git owns a field of `spec`. Where nobody's fields are kept, that may be.
    pub fn is_set_from_git(&self, field: &str) -> bool {
        self.managed_fields.is_empty() || self.git_managers().any(|managed| managed.owns(field))
    }

    /// Whether somebody who works from Git may set a field of `spec` at any time. Where Lifeboat has taken it over, who owned it before is
    /// not kept: on an object from Git that may be Git, which has not come by since.
    pub fn may_be_set_from_git(&self, field: &str) -> bool {
        let is_ours = |managed: &Managed| managed.manager == FIELD_MANAGER && managed.owns(field);
        self.is_set_from_git(field) || self.is_from_git() && self.managed_fields.iter().any(is_ours)
    }

    /// Whether a field of `spec` is Git's to say: Lifeboat has not taken it over.
    pub fn is_left_to_git(&self, field: &str) -> bool {
        let is_ours = |managed: &Managed| managed.manager == FIELD_MANAGER && managed.owns(field);
        self.is_set_from_git(field) && !self.managed_fields.iter().any(is_ours)
    }

    /// Whether somebody who works from Git owns anything of it, or tracks it.
    pub fn is_from_git(&self) -> bool {
        self.git_managers().next().is_some()
            || self.annotations.contains_key("argocd.argoproj.io/tracking-id")
            || self.labels.contains_key("kustomize.toolkit.fluxcd.io/name")
    }

    fn git_managers(&self) -> impl Iterator<Item = &Managed> {
        self.managed_fields.iter().filter(|managed| GITOPS_MANAGERS.contains(&managed.manager.as_str()))
    }
}

/// Something with a name.
pub trait Object {
    fn meta(&self) -> &Meta;
}

macro_rules! objects {
    ($($type:ident),+) => { $(impl Object for $type { fn meta(&self) -> &Meta { &self.metadata } })+ };
}
objects!(Deployment, Autoscaler, Pod, Node);

/// apps/v1 Deployment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Deployment {
    pub metadata: Meta,
    pub spec: DeploymentSpec,
    pub status: DeploymentStatus,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeploymentSpec {
    pub replicas: u32,
    pub selector: Selector,
    pub template: Template,
}

impl Default for DeploymentSpec {
    /// Left out, one is meant.
    fn default() -> Self {
        Self { replicas: 1, selector: Selector::default(), template: Template::default() }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Selector {
    pub match_labels: BTreeMap<String, String>,
}

impl Selector {
    /// Whether an object with these labels is meant. Expressions are not looked at: what the labels leave is enough.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.match_labels.is_empty() && self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Template {
    pub spec: PodSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeploymentStatus {
    pub observed_generation: i64,
    pub replicas: u32,
    pub updated_replicas: u32,
    pub ready_replicas: u32,
    pub available_replicas: u32,
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub reason: String,
    pub message: String,
}

/// autoscaling/v2 HorizontalPodAutoscaler.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Autoscaler {
    pub metadata: Meta,
    pub spec: AutoscalerSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AutoscalerSpec {
    pub scale_target_ref: ScaleTarget,
    pub min_replicas: Option<u32>,
    pub max_replicas: u32,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ScaleTarget {
    pub kind: String,
    pub name: String,
}

impl Autoscaler {
    /// Whether it sets the size of this Deployment.
    pub fn scales(&self, deployment: &str) -> bool {
        self.spec.scale_target_ref.kind == "Deployment" && self.spec.scale_target_ref.name == deployment
    }

    /// Its minimum; left out, one is meant.
    pub fn minimum(&self) -> u32 {
        self.spec.min_replicas.unwrap_or(1)
    }
}

/// v1 Pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    pub metadata: Meta,
    pub status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodSpec {
    pub containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Container {
    pub resources: Resources,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Resources {
    pub requests: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodStatus {
    pub phase: String,
    pub conditions: Vec<Condition>,
    pub container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ContainerStatus {
    pub state: ContainerState,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    pub waiting: Option<Waiting>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Waiting {
    pub reason: String,
    pub message: String,
}

/// v1 Node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    pub metadata: Meta,
    pub spec: NodeSpec,
    pub status: NodeStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    pub unschedulable: bool,
    pub taints: Vec<Taint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Taint {
    pub effect: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    pub conditions: Vec<Condition>,
    pub allocatable: BTreeMap<String, String>,
}

/// kustomize.toolkit.fluxcd.io/v1 Kustomization.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Kustomization {
    pub metadata: Meta,
    pub spec: KustomizationSpec,
    pub status: KustomizationStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct KustomizationSpec {
    pub suspend: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct KustomizationStatus {
    pub last_applied_revision: String,
    pub conditions: Vec<Condition>,
}

/// argoproj.io/v1alpha1 Application.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Application {
    pub metadata: Meta,
    pub spec: ApplicationSpec,
    pub status: ApplicationStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ApplicationSpec {
    pub project: String,
    pub sync_policy: SyncPolicy,
    pub ignore_differences: Vec<Ignored>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SyncPolicy {
    pub automated: Option<Automated>,
    pub sync_options: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Automated {
    pub enabled: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Ignored {
    pub kind: String,
    pub json_pointers: Vec<String>,
    pub managed_fields_managers: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ApplicationStatus {
    pub reconciled_at: String,
    pub sync: SyncStatus,
    pub health: HealthStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SyncStatus {
    pub status: String,
    pub revision: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HealthStatus {
    pub status: String,
}

/// argoproj.io/v1alpha1 AppProject.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AppProject {
    pub metadata: Meta,
    pub spec: AppProjectSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AppProjectSpec {
    /// As they are, for they are written back.
    pub sync_windows: Vec<Value>,
}

/// externaldns.k8s.io/v1alpha1 DNSEndpoint.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DnsEndpoint {
    pub metadata: Meta,
    pub spec: Value,
}
