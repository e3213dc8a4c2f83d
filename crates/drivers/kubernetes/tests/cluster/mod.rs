//! A cluster as a team has it: the kinds of Flux, Argo CD and external-dns, what `lifeboat generate` writes, and a driver that works by
//! the account, and with no more than the roles, which are generated for the node.

#![allow(clippy::unwrap_used, reason = "what a test helper cannot do fails the test")]
#![allow(dead_code, reason = "each test crate uses its part")]

use std::time::Duration;

use lifeboat_driver_kubernetes::{Access, Config, Surroundings};
use lifeboat_model::App;
use serde_json::{Value, json};

use crate::apiserver::{ApiServer, until_so};
use crate::scene::{FLUX, SCALER, WEB, Work, argo_objects, config, generated, objects, work_by};

/// Custom kinds as their projects define them, but for the fields, of which all are taken: group, version, kind, whether the status is a
/// resource of its own.
const KINDS: [(&str, &str, &str, bool); 6] = [
    ("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", true),
    ("source.toolkit.fluxcd.io", "v1", "GitRepository", true),
    ("argoproj.io", "v1alpha1", "Application", false),
    ("argoproj.io", "v1alpha1", "ApplicationSet", true),
    ("argoproj.io", "v1alpha1", "AppProject", false),
    ("externaldns.k8s.io", "v1alpha1", "DNSEndpoint", true),
];

/// Makes the custom kinds, and the namespaces of Flux, Argo CD and an app.
pub fn prepare(server: &ApiServer, app: &str) {
    let mut all: Vec<Value> =
        KINDS.iter().map(|(group, version, kind, has_status)| definition(group, version, kind, *has_status)).collect();
    for name in [app, "flux-system", "argocd"] {
        all.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    }
    server.apply(&json!({"apiVersion": "v1", "kind": "List", "items": all}).to_string());
    let waited = server.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"], "");
    assert!(waited.status.success(), "{}", String::from_utf8_lossy(&waited.stderr));
}

fn definition(group: &str, version: &str, kind: &str, has_status: bool) -> Value {
    let singular = kind.to_lowercase();
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let schema = json!({"type": "object", "properties": {"spec": open, "status": open}});
    let mut of_version =
        json!({"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
    if has_status {
        of_version["subresources"] = json!({"status": {}});
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        // Groups below k8s.io ask for it; external-dns has the same.
        "metadata": {"name": format!("{singular}s.{group}"), "annotations": {"api-approved.kubernetes.io": "unapproved, as external-dns has it"}},
        "spec": {
            "group": group, "scope": "Namespaced", "versions": [of_version],
            "names": {"kind": kind, "listKind": format!("{kind}List"), "plural": format!("{singular}s"), "singular": singular},
        },
    })
}

/// Applies what is generated for Ireland's node: its account and roles are what the driver works by.
pub fn apply_node(server: &ApiServer, app: &App) {
    let files = generated(app);
    for name in ["node.yaml", "node-flux.yaml", "node-argocd.yaml"] {
        server.apply(&files[&format!("lifeboat/ireland/{name}")]);
    }
}

/// Applies what Git has of the app in Ireland, rendered by kustomize, as a tool does that works from Git.
pub async fn apply_app(server: &ApiServer, app: &App, manager: &str) {
    for mut object in rendered(server, app) {
        // Server-side apply before 1.21 knows no defaults of a list's keys.
        for pointer in ["/spec/ports", "/spec/template/spec/containers/0/ports"] {
            for port in object.pointer_mut(pointer).and_then(Value::as_array_mut).into_iter().flatten() {
                port["protocol"] = json!("TCP");
            }
        }
        server.apply_as(manager, &path_of(&object), &object).await;
    }
}

/// Ireland's overlay as kustomize renders it.
pub fn rendered(server: &ApiServer, app: &App) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in generated(app) {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    objects(&server.kustomized(&folder.path().join("kubernetes/regions/ireland")))
}

/// Puts the generated Kustomization there, which has applied a revision.
pub async fn apply_flux(server: &ApiServer, app: &App) {
    server.apply(&generated(app)["kubernetes/flux/ireland.yaml"]);
    server.merge(&format!("{FLUX}/status"), &json!({"status": {"lastAppliedRevision": "main@sha1:1"}})).await;
}

/// Puts the generated project there, and the Application that the generated ApplicationSet makes.
pub fn apply_argo(server: &ApiServer, app: &App) {
    let (application, project) = argo_objects(app);
    for object in [application, project] {
        server.apply(&object.to_string());
    }
}

/// Where an object is.
pub fn path_of(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let version = text("/apiVersion").unwrap();
    let root = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
    let kind = text("/kind").unwrap().to_lowercase();
    let plural = match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{kind}s"),
    };
    let place = text("/metadata/namespace").map(|name| format!("/namespaces/{name}")).unwrap_or_default();
    format!("{root}{place}/{plural}/{}", text("/metadata/name").unwrap())
}

/// Settings with a node's patience, but a short time that a Deployment stays large.
pub fn settings(app: &App) -> Config {
    Config {
        every: Duration::from_millis(300),
        deadline: Duration::from_secs(2),
        linger: Duration::from_secs(2),
        ..config(app)
    }
}

/// A driver at work by the generated account, through a port that may be another one's.
pub async fn work(server: &ApiServer, app: &App, port: u16) -> Work {
    let token = server.token("lifeboat-shop", "lifeboat-shop").await;
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("config");
    std::fs::write(&kubeconfig, server.kubeconfig(port, "ireland", &token)).unwrap();
    let surroundings = Surroundings { service: None, kubeconfig: vec![kubeconfig] };
    work_by(Access::find(&surroundings, "ireland").unwrap(), settings(app), folder)
}

pub async fn field(server: &ApiServer, path: &str, pointer: &str) -> Value {
    let object = server.object(path).await;
    object.and_then(|object| object.pointer(pointer).cloned()).unwrap_or_default()
}

pub async fn minimum(server: &ApiServer) -> Value {
    field(server, SCALER, "/spec/minReplicas").await
}

pub async fn replicas(server: &ApiServer) -> Value {
    field(server, WEB, "/spec/replicas").await
}

pub async fn is_suspended(server: &ApiServer) -> bool {
    field(server, FLUX, "/spec/suspend").await == true
}

/// The note of a pause, if there is one.
pub async fn note(server: &ApiServer, path: &str) -> Option<String> {
    field(server, path, "/metadata/annotations/lifeboat~1paused").await.as_str().map(str::to_owned)
}

/// Waits until a field is so.
pub async fn until_field(server: &ApiServer, path: &str, pointer: &str, wanted: Value) {
    let what = format!("{path} {pointer} is {wanted}");
    until_so(&what, async || field(server, path, pointer).await == wanted).await;
}
