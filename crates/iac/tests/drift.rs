//! Comparing regions with what tools say of them: clusters as `kubectl` lists them, and files of observations.

#![allow(clippy::unwrap_used, reason = "what a test helper cannot do fails the test")]

use common::{example, root, tree_of};
use lifeboat_iac::{Said, Seen, drift, observe};
use serde_json::{Value as Json, json};

mod common;

fn cluster(image: &str, least: u32, log: &str, password: &str) -> Json {
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "store"}, "spec": {
            "replicas": 40,
            "template": {"spec": {"containers": [{"name": "web", "image": image, "env": [{"name": "LOG", "value": log}]}]}},
        }},
        {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web", "namespace": "store"},
            "spec": {"minReplicas": least, "maxReplicas": 12}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "orders-credentials", "namespace": "store"}, "data": {"url": password}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "other"}, "spec": {
            "replicas": 1, "template": {"spec": {"containers": [{"name": "web", "image": "another:1"}]}}}},
    ]})
}

fn differences(frankfurt: Json, ireland: Json) -> Vec<String> {
    let app = example("kubernetes/warm-standby");
    let mut seen = Seen { serving: Said::read(&app, &tree_of(&app).files).unwrap().roles.serving, ..Seen::default() };
    for (region, list) in [("frankfurt", frankfurt), ("ireland", ireland)] {
        seen.add(observe(&app, Some(&region.into()), &list.to_string()).unwrap());
    }
    drift(&app, &seen).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn clusters_are_compared_with_the_file_and_with_each_other() {
    let image = "registry.example.com/store/web:4.2.0";
    assert_eq!(differences(cluster(image, 6, "info", "YQ=="), cluster(image, 2, "info", "YQ==")), [""; 0]);
    assert_eq!(
        differences(
            cluster(image, 5, "info", "YQ=="),
            cluster("registry.example.com/store/web:4.1.9", 2, "debug", "Yg==")
        ),
        [
            "orders in ireland: secret orders-credentials/url is 60f0, ff6c in frankfurt",
            "web in frankfurt: size is 5, 6 in the file",
            "web in ireland: image is registry.example.com/store/web:4.1.9, registry.example.com/store/web:4.2.0 in the file",
            "web in ireland: parameter LOG is debug, info in frankfurt",
        ]
    );
}

/// The schema that is shipped and what is read are one.
#[test]
fn a_file_of_observations_is_as_its_schema_says() {
    let app = example("kubernetes/warm-standby");
    let schema: Json =
        serde_json::from_slice(&std::fs::read(root().join("docs/observations.schema.json")).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let right = json!({
        "observed": {"web": {"frankfurt": {
            "image": "registry.example.com/store/web:4.2.0", "instance": "x", "size": 6, "version": "1",
            "parameters": {"LOG": "info"}, "secrets": {"token": "5e88"},
        }, "ireland": {}}},
        "serving": {"web": ["frankfurt"]},
    });
    assert!(validator.is_valid(&right));
    let seen = observe(&app, None, &right.to_string()).unwrap();
    assert_eq!(seen.observations["web"]["frankfurt"].size, Some(6));
    for (path, wrong) in [
        ("/observed/web/frankfurt/size", json!("six")),
        ("/observed/web/frankfurt/parameters", json!(["LOG"])),
        ("/observed/web/frankfurt", json!({"imgae": "x"})),
        ("/serving/web", json!("frankfurt")),
        ("", json!({"observed": {}, "served": {}})),
    ] {
        let mut value = right.clone();
        *value.pointer_mut(path).unwrap() = wrong;
        assert!(!validator.is_valid(&value), "{path}");
        assert!(observe(&app, None, &value.to_string()).is_err(), "{path}");
    }
    for (text, said) in [
        ("{\"observed\": {\"web\": {\"paris\": {}}}}", "no web in paris"),
        ("{\"items\": []}", "whose cluster"),
        ("{}", "expected what"),
        ("{\"format_version\": \"1.0\"}", "without resources"),
        ("", "not JSON"),
    ] {
        let error = observe(&app, None, text).unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
    }
}
