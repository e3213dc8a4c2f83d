//! The machines that a cluster of the tests does not have: they take pods, and pods that have come to one run and are ready.

use std::time::Duration;

use serde_json::{Value, json};

use super::ApiServer;

const NODES: &str = "/api/v1/nodes";

/// Adds a machine as a kubelet does, ready to take pods.
pub async fn add_machine(server: &ApiServer, name: &str) {
    server.post(NODES, &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})).await;
    let status = json!({
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready"}],
        "allocatable": {"cpu": "2", "memory": "8Gi", "pods": "110"}, "capacity": {"cpu": "2", "memory": "8Gi", "pods": "110"},
    });
    server.merge(&format!("{NODES}/{name}/status"), &json!({"status": status})).await;
    // Whoever comes new is kept free of pods by the server until the controller of machines has seen it ready.
    server.merge(&format!("{NODES}/{name}"), &json!({"spec": {"taints": null}})).await;
}

/// Says that a machine is ready, or that nobody knows.
pub async fn set_machine(server: &ApiServer, name: &str, ready: &str) {
    let conditions = json!([{"type": "Ready", "status": ready, "reason": "Test", "message": "set"}]);
    server.merge(&format!("{NODES}/{name}/status"), &json!({"status": {"conditions": conditions}})).await;
}

/// Takes the pods of a namespace to a machine and says that they are ready; ends those that are to end. Goes on for ever.
pub async fn run(server: &ApiServer, namespace: &str, machine: &str) {
    loop {
        step(server, namespace, machine).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Does once what is to be done.
pub async fn step(server: &ApiServer, namespace: &str, machine: &str) {
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let list = server.object(&pods).await.unwrap();
    for pod in list["items"].as_array().unwrap() {
        let path = format!("{pods}/{}", pod["metadata"]["name"].as_str().unwrap());
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            server.delete(&path).await;
        } else if pod["spec"]["nodeName"].is_null() {
            bind(server, &path, pod, machine).await;
        } else if pod["status"]["phase"] != "Running" {
            let now = pod["metadata"]["creationTimestamp"].clone();
            let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now});
            let conditions: Vec<Value> =
                ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(condition).into();
            // It may be gone by now.
            let change = json!({"status": {"phase": "Running", "conditions": conditions}});
            let _ =
                server.ask("PATCH", &format!("{path}/status"), Some(("application/merge-patch+json", &change))).await;
        }
    }
}

async fn bind(server: &ApiServer, path: &str, pod: &Value, machine: &str) {
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod["metadata"]["name"]},
        "target": {"apiVersion": "v1", "kind": "Node", "name": machine},
    });
    // It may be gone by now.
    let _ = server.ask("POST", &format!("{path}/binding"), Some(("application/json", &binding))).await;
}
