//! Why pods are not ready, and whether more of them would find room.

use std::collections::BTreeMap;

use crate::object::{Deployment, Node, Pod};

/// Reasons of waiting that pass by themselves.
const ON_ITS_WAY: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// What keeps pods from being ready beyond the time that they need anyway: `pods cannot start: ImagePullBackOff`.
pub fn trouble(deployment: &Deployment, pods: &BTreeMap<String, Pod>) -> Option<String> {
    let own = pods.values().filter(|pod| {
        deployment.spec.selector.selects(&pod.metadata.labels) && pod.metadata.deletion_timestamp.is_none()
    });
    let found = own.filter_map(of_pod).min_by_key(|(severity, _)| *severity).map(|(_, what)| what);
    found.or_else(|| {
        let failed = |kind: &str, status: &str| {
            deployment.status.conditions.iter().find(|condition| condition.kind == kind && condition.status == status)
        };
        if let Some(condition) = failed("ReplicaFailure", "True") {
            return Some(format!("pods cannot be made: {}", condition.message));
        }
        let late = failed("Progressing", "False")?;
        Some(format!("a rollout does not come to its end: {}", late.message))
    })
}

/// What is wrong with a pod, the worst with the smallest number.
fn of_pod(pod: &Pod) -> Option<(u8, String)> {
    let mut waiting = pod.status.container_statuses.iter().filter_map(|container| container.state.waiting.as_ref());
    if let Some(waiting) = waiting.find(|waiting| !ON_ITS_WAY.contains(&waiting.reason.as_str())) {
        let details = if waiting.message.is_empty() { String::new() } else { format!(", {}", waiting.message) };
        return Some((0, format!("pods cannot start: {}{details}", waiting.reason)));
    }
    let unscheduled = |condition: &&crate::object::Condition| {
        condition.kind == "PodScheduled" && condition.status == "False" && condition.reason == "Unschedulable"
    };
    let condition = pod.status.conditions.iter().find(unscheduled)?;
    Some((1, format!("pods find no room: {}", condition.message)))
}

/// How many pods of a deployment the cluster's nodes could hold at most, by what they request of CPU and memory and by the nodes'
/// own limits, if nothing else were there; `None`: the deployment's containers request nothing that could be counted. What others
/// use is not known: a node's role ends at the app's namespace.
pub fn room(deployment: &Deployment, nodes: &BTreeMap<String, Node>) -> Option<u64> {
    let request = |resource: &str| -> f64 {
        let containers = deployment.spec.template.spec.containers.iter();
        containers.filter_map(|container| quantity(container.resources.requests.get(resource)?)).sum()
    };
    let requests = [("cpu", request("cpu")), ("memory", request("memory"))];
    if requests.iter().all(|(_, amount)| *amount <= 0.0) {
        return None;
    }
    let fits = |node: &Node| -> u64 {
        let has = |resource: &str| node.status.allocatable.get(resource).and_then(|text| quantity(text));
        let by_request = requests
            .iter()
            .filter(|(_, amount)| *amount > 0.0)
            .filter_map(|(resource, amount)| Some(has(resource)? / amount));
        let fewest = by_request.chain(has("pods")).fold(f64::INFINITY, f64::min);
        // A node that says nothing of itself holds nothing; the fraction of a pod that is cut off is meant to be.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a finite, positive number of pods")]
        if fewest.is_finite() { fewest as u64 } else { 0 }
    };
    Some(nodes.values().filter(|node| takes_pods(node)).map(fits).fold(0, u64::saturating_add))
}

/// Whether pods without special permission may be put there.
pub fn takes_pods(node: &Node) -> bool {
    let is_ready =
        node.status.conditions.iter().any(|condition| condition.kind == "Ready" && condition.status == "True");
    let keeps_off = |effect: &str| effect == "NoSchedule" || effect == "NoExecute";
    is_ready && !node.spec.unschedulable && !node.spec.taints.iter().any(|taint| keeps_off(&taint.effect))
}

/// A quantity of Kubernetes: `250m`, `1`, `512Mi`, `1e3`.
fn quantity(text: &str) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 15] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let suffixed = SUFFIXES.iter().find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, factor)));
    let amount = match suffixed {
        Some((number, factor)) => number.parse::<f64>().ok()? * factor,
        None => text.parse().ok()?,
    };
    (amount.is_finite() && amount >= 0.0).then_some(amount)
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn quantities() {
        for (text, amount) in
            [("250m", 0.25), ("1", 1.0), ("2k", 2e3), ("512Mi", 536_870_912.0), ("1e3", 1e3), ("1E", 1e18)]
        {
            let read = quantity(text).unwrap();
            assert!((read - amount).abs() < amount * 1e-9, "{text}: {read}");
        }
        for text in ["", "Mi", "1x", "-1", "inf", "NaN"] {
            assert_eq!(quantity(text), None, "{text}");
        }
    }

    #[test]
    fn room_is_what_ready_nodes_have() {
        let deployment: Deployment = from_value(json!({"spec": {"template": {"spec": {"containers": [
            {"resources": {"requests": {"cpu": "250m", "memory": "256Mi"}}}]}}}}))
        .unwrap();
        let node = |ready: &str, spec: serde_json::Value, cpu: &str, memory: &str, pods: &str| -> Node {
            from_value(json!({"spec": spec, "status": {"conditions": [{"type": "Ready", "status": ready}],
                "allocatable": {"cpu": cpu, "memory": memory, "pods": pods}}}))
            .unwrap()
        };
        for (what, node, fits) in [
            ("by CPU", node("True", json!({}), "1900m", "8Gi", "110"), 7),
            ("by memory", node("True", json!({}), "16", "1Gi", "110"), 4),
            ("by pods", node("True", json!({}), "16", "64Gi", "3"), 3),
            ("not ready", node("Unknown", json!({}), "16", "64Gi", "110"), 0),
            ("cordoned", node("True", json!({"unschedulable": true}), "16", "64Gi", "110"), 0),
            (
                "tainted",
                node("True", json!({"taints": [{"key": "gpu", "effect": "NoSchedule"}]}), "16", "64Gi", "110"),
                0,
            ),
            (
                "only not preferred",
                node("True", json!({"taints": [{"key": "a", "effect": "PreferNoSchedule"}]}), "1", "1Gi", "9"),
                4,
            ),
        ] {
            assert_eq!(room(&deployment, &BTreeMap::from([(what.to_owned(), node)])), Some(fits), "{what}");
        }
        let endless = || node("True", json!({}), "1e30", "1e40", "1e30");
        let two = BTreeMap::from([("a".to_owned(), endless()), ("b".to_owned(), endless())]);
        assert_eq!(room(&deployment, &two), Some(u64::MAX));
        assert_eq!(room(&Deployment::default(), &BTreeMap::new()), None);
    }

    #[test]
    fn the_worst_pod_says_what_is_wrong() {
        let deployment: Deployment =
            from_value(json!({"spec": {"selector": {"matchLabels": {"app": "web"}}}})).unwrap();
        let pod = |app: &str, status: serde_json::Value| -> Pod {
            from_value(json!({"metadata": {"labels": {"app": app}}, "status": status})).unwrap()
        };
        let waiting =
            |reason: &str| json!({"containerStatuses": [{"state": {"waiting": {"reason": reason, "message": "m"}}}]});
        let unscheduled = json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3"}]});
        let said = |pods: Vec<Pod>| {
            let pods = pods.into_iter().enumerate().map(|(number, pod)| (number.to_string(), pod)).collect();
            trouble(&deployment, &pods)
        };
        assert_eq!(said(vec![pod("web", waiting("ContainerCreating"))]), None);
        assert_eq!(said(vec![pod("other", waiting("ImagePullBackOff"))]), None);
        assert_eq!(said(vec![pod("web", unscheduled.clone())]).as_deref(), Some("pods find no room: 0/3"));
        let both = vec![pod("web", unscheduled), pod("web", waiting("ImagePullBackOff"))];
        assert_eq!(said(both).as_deref(), Some("pods cannot start: ImagePullBackOff, m"));
    }
}
