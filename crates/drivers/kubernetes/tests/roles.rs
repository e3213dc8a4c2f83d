//! What is generated for Kubernetes, applied to a real API server: the node's roles allow what the driver does and nothing beyond, and
//! every object of every example is taken as it is. Where no server is to be had, each test says `skipped`.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use std::path::Path;

use api::GIT;
use apiserver::{ApiServer, PATIENCE, kubelet, until_so};
use cluster::{apply_app, apply_argo, apply_flux, apply_node, is_suspended, prepare, until_field, work};
use lifeboat_model::compute::Duty;
use scene::{APPLICATION, FLUX, RECORD, SCALER, WEB, app, generated, objects};
use serde_json::{Value, json};

mod api;
mod apiserver;
mod cluster;
mod scene;

const RULES: &str = "/apis/rbac.authorization.k8s.io/v1";

/// A verb of a rule of a role.
#[derive(Clone, Debug)]
struct Verb {
    role: String,
    rule: usize,
    resource: String,
    verb: String,
}

fn roles() -> [String; 4] {
    let of = |place: &str| format!("{RULES}/{place}");
    [
        of("namespaces/shop/roles/lifeboat-shop"),
        of("clusterroles/lifeboat-shop"),
        of("namespaces/flux-system/roles/lifeboat-shop"),
        of("namespaces/argocd/roles/lifeboat-shop"),
    ]
}

/// Every verb of the node's roles, as they are in the cluster.
async fn verbs(server: &ApiServer) -> Vec<Verb> {
    let mut found = Vec::new();
    for role in roles() {
        let object = server.object(&role).await.unwrap();
        for (number, rule) in object["rules"].as_array().unwrap().iter().enumerate() {
            for verb in rule["verbs"].as_array().unwrap() {
                found.push(Verb {
                    role: role.clone(),
                    rule: number,
                    resource: rule["resources"][0].as_str().unwrap().to_owned(),
                    verb: verb.as_str().unwrap().to_owned(),
                });
            }
        }
    }
    found
}

/// What is said where a verb is missing, in the journal or as trouble.
fn complaint(verb: &Verb) -> &'static str {
    match (verb.resource.as_str(), verb.verb.as_str()) {
        ("pods", _) => "pods are not watched: the cluster does not allow it: ",
        ("nodes", _) => "machines are not watched: the cluster does not allow it: ",
        ("deployments", "watch") => "Deployments are not watched: the cluster does not allow it: ",
        ("deployments" | "horizontalpodautoscalers", "list") => "the cluster does not allow it: ",
        ("deployments" | "deployments/scale" | "horizontalpodautoscalers", _) => {
            "failed: web scaled (the cluster does not allow it: "
        }
        ("dnsendpoints", "list") => {
            "failed: the records of routes looked at in ireland (the cluster does not allow it: "
        }
        ("dnsendpoints", "delete") => {
            "failed: the record of shop.example.com withdrawn in ireland (the cluster does not allow it: "
        }
        ("dnsendpoints", _) => {
            "failed: the record of shop.example.com published in ireland (the cluster does not allow it: "
        }
        ("kustomizations", "get") => "Flux: this node may not look, so it pauses none",
        ("kustomizations", _) => "failed: Flux paused in ireland (the cluster does not allow it: ",
        ("applications", "get") => "Argo CD: this node may not look, so it pauses none",
        ("appprojects", _) => "failed: Argo CD paused in ireland (the cluster does not allow it: ",
        other => panic!("the driver needs no {other:?}"),
    }
}

/// Of the roles that are generated every verb is needed, and nothing else is asked for.
#[tokio::test]
async fn the_nodes_roles_are_enough_and_no_more() {
    let Some(server) = ApiServer::start().await else { return };
    let app = app("warm-standby");
    prepare(&server, "shop");
    apply_node(&server, &app);
    apply_app(&server, &app, GIT).await;
    apply_flux(&server, &app).await;
    apply_argo(&server, &app);
    server.merge(APPLICATION, &json!({"spec": {"ignoreDifferences": null}})).await;
    kubelet::add_machine(&server, "a").await;

    // All of it once, with nothing missing.
    story(&server, &app, None).await;
    let forbidden = &[r#"code="403""#];
    assert_eq!(server.answered(forbidden).await, 0, "something was asked for that the generated roles do not allow");

    let all = verbs(&server).await;
    assert!(all.len() >= 15, "{all:?}");
    for verb in all {
        let whole = server.object(&verb.role).await.unwrap()["rules"].clone();
        let mut without = whole.clone();
        without[verb.rule]["verbs"].as_array_mut().unwrap().retain(|kept| *kept != json!(verb.verb));
        if without[verb.rule]["verbs"] == json!([]) {
            without.as_array_mut().unwrap().remove(verb.rule);
        }
        server.merge(&verb.role, &json!({"rules": without})).await;
        story(&server, &app, Some(&verb)).await;
        server.merge(&verb.role, &json!({"rules": whole})).await;
    }
}

/// A failover and the way back, with everything that the driver does in it; where a verb is missing, as far as that is said.
async fn story(server: &ApiServer, app: &lifeboat_model::App, missing: Option<&Verb>) {
    reset(server, app).await;
    until_allowed(server, missing).await;
    let work = work(server, app, server.port).await;
    let said = || {
        let state = work.state();
        let states = state.iter().flat_map(|state| [&state.trouble, &state.obstacle, &state.gitops]).flatten().cloned();
        work.journal().into_iter().chain(states).collect::<Vec<String>>()
    };
    let told = async {
        let Some(verb) = missing else { return std::future::pending().await };
        let wanted = complaint(verb);
        let is_said = async || said().iter().any(|line| line.contains(wanted) && line.len() < 600);
        until_so(&format!("{verb:?} is missing, and nobody says {wanted:?}"), is_said).await;
    };
    let all = async {
        work.assign(Duty::Serving);
        work.serve(true);
        until_field(server, SCALER, "/spec/minReplicas", json!(6)).await;
        until_field(server, WEB, "/spec/replicas", json!(6)).await;
        until_so("a record", async || server.object(RECORD).await.is_some()).await;
        work.serve(false);
        until_so("no record", async || server.object(RECORD).await.is_none()).await;
        assert!(is_suspended(server).await);
        work.until_within(PATIENCE, "machines", |state| state.replicas.is_some_and(|r| r.nodes == Some(1))).await;
        work.assign(Duty::Standby);
        until_field(server, SCALER, "/spec/minReplicas", json!(2)).await;
        until_so("no pause", async || !is_suspended(server).await).await;
        assert!(missing.is_none(), "all went well, and yet {missing:?} is missing: {:?}", said());
    };
    // Where something is missing, what is done comes only so far.
    tokio::select! {
        () = told => {}
        () = all => {}
    }
}

/// As a standby is: small, kept from Git, without a record.
async fn reset(server: &ApiServer, app: &lifeboat_model::App) {
    server
        .merge(FLUX, &json!({"metadata": {"annotations": {"lifeboat/paused": null}}, "spec": {"suspend": false}}))
        .await;
    apply_app(server, app, GIT).await;
    server.merge(&format!("{WEB}/scale"), &json!({"spec": {"replicas": 2}})).await;
    server.delete(RECORD).await;
    apply_argo(server, app);
    server.merge(APPLICATION, &json!({"spec": {"ignoreDifferences": null}})).await;
    server
        .merge(
            scene::PROJECT,
            &json!({"metadata": {"annotations": {"lifeboat/paused": null}}, "spec": {"syncWindows": null}}),
        )
        .await;
}

/// Waits until the server has heard of a change of roles: what it decides by is a copy.
async fn until_allowed(server: &ApiServer, missing: Option<&Verb>) {
    for other in verbs(server).await.iter().chain(missing) {
        let is_missing = missing.is_some_and(|verb| (&verb.resource, &verb.verb) == (&other.resource, &other.verb));
        let role = server.object(&other.role).await.unwrap();
        let mut rules = role["rules"].as_array().unwrap().iter();
        let rule = rules.find(|rule| rule["resources"][0] == json!(other.resource));
        let group = match rule {
            Some(rule) => rule["apiGroups"][0].clone(),
            None => group_of(&other.resource),
        };
        let (resource, sub) = other.resource.split_once('/').unwrap_or((&other.resource, ""));
        let namespace =
            other.role.split("/namespaces/").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let name = match resource {
            "kustomizations" | "appprojects" => "shop",
            "applications" => "shop-ireland",
            _ => "",
        };
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
            "user": "system:serviceaccount:lifeboat-shop:lifeboat-shop",
            "resourceAttributes": {"group": group, "resource": resource, "subresource": sub, "verb": other.verb, "namespace": namespace, "name": name}}});
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let answer = async || server.post(path, &review).await["status"]["allowed"] == json!(!is_missing);
        until_so(&format!("{other:?} is allowed: {}", !is_missing), answer).await;
    }
}

fn group_of(resource: &str) -> Value {
    json!(match resource {
        "pods" | "nodes" => "",
        "deployments" | "deployments/scale" => "apps",
        "horizontalpodautoscalers" => "autoscaling",
        "dnsendpoints" => "externaldns.k8s.io",
        "kustomizations" => "kustomize.toolkit.fluxcd.io",
        _ => "argoproj.io",
    })
}

/// Everything that is generated for the clusters of the examples, and of an app whose nodes are in them, is taken by the server, which
/// keeps every field of it.
#[tokio::test]
async fn every_generated_object_is_taken_as_it_is() {
    let Some(server) = ApiServer::start().await else { return };
    prepare(&server, "shop");
    let mut trees = vec![("the app of these tests".to_owned(), generated(&app("warm-standby")))];
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../examples/kubernetes");
    for entry in std::fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let app = lifeboat_model::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
        trees.push((path.file_stem().unwrap().to_str().unwrap().to_owned(), generated(&app)));
    }
    assert!(trees.len() > 3, "no examples");
    for (example, files) in trees {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in &files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let mut count = 0;
        for (path, content) in &files {
            let overlay =
                path.strip_suffix("/kustomization.yaml").filter(|path| path.starts_with("kubernetes/regions/"));
            let is_applied = path.starts_with("kubernetes/argocd/")
                || path.starts_with("kubernetes/flux/")
                || path.starts_with("lifeboat/") && path.contains("/node") && path.ends_with(".yaml");
            let applied = match overlay {
                Some(overlay) => objects(&server.kustomized(&folder.path().join(overlay))),
                None if is_applied => objects(content),
                None => continue,
            };
            for object in &applied {
                let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
                let own = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
                if server.object(&format!("/api/v1/namespaces/{namespace}")).await.is_none() {
                    server.apply(&own.to_string());
                }
            }
            let list = json!({"apiVersion": "v1", "kind": "List", "items": applied});
            server.apply(&list.to_string());
            let back = server.kubectl(&["get", "--filename=-", "--output=json"], &list.to_string());
            assert!(back.status.success(), "{}", String::from_utf8_lossy(&back.stderr));
            let back: Value = serde_json::from_slice(&back.stdout).unwrap();
            let back = back["items"].as_array().cloned().unwrap_or_else(|| vec![back.clone()]);
            assert_eq!(back.len(), applied.len(), "{example} {path}");
            for object in &applied {
                let same = |kept: &&Value| {
                    kept["kind"] == object["kind"] && kept["metadata"]["name"] == object["metadata"]["name"]
                };
                let kept = back.iter().find(same).unwrap();
                assert_eq!(lost(object, kept, ""), [""; 0], "{example} {path}: the server keeps not all of it");
                count += 1;
            }
            // The next one may have objects of the same names.
            let own: Vec<&Value> = applied.iter().filter(|object| object["kind"] != "Namespace").collect();
            let list = json!({"apiVersion": "v1", "kind": "List", "items": own});
            let deleted = server.kubectl(&["delete", "--filename=-", "--wait=false"], &list.to_string());
            assert!(deleted.status.success(), "{}", String::from_utf8_lossy(&deleted.stderr));
        }
        assert!(count > 10, "{example}: {count} objects");
    }
}

/// Fields that are sent and not kept: the server does not know them.
fn lost(sent: &Value, kept: &Value, place: &str) -> Vec<String> {
    match (sent, kept) {
        (Value::Object(sent), Value::Object(kept)) => sent
            .iter()
            .flat_map(|(key, value)| {
                let place = format!("{place}/{key}");
                match kept.get(key) {
                    // Empty or nothing is the same as left out.
                    None if value.is_null() || value == &json!([]) || value == &json!({}) || key == "stringData" => {
                        Vec::new()
                    }
                    None => vec![place],
                    Some(kept) => lost(value, kept, &place),
                }
            })
            .collect(),
        (Value::Array(sent), Value::Array(kept)) => {
            if sent.len() != kept.len() {
                return vec![format!("{place} has {} instead of {}", kept.len(), sent.len())];
            }
            sent.iter()
                .zip(kept)
                .enumerate()
                .flat_map(|(number, (sent, kept))| lost(sent, kept, &format!("{place}/{number}")))
                .collect()
        }
        _ => Vec::new(),
    }
}
