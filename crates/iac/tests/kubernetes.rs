//! The Kubernetes manifests after `kubectl kustomize`, against the schemas of Kubernetes, Argo CD, Flux and external-dns with the
//! world closed; and what schemas cannot say.

#![allow(clippy::unwrap_used, reason = "what a test helper cannot do fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use common::{example, examples, said, schemas, tool, tree_of, write};
use lifeboat_iac::Tree;
use lifeboat_model::kubernetes::node_name;
use serde_json::{Map, Value as Json, json};

mod common;

/// The release whose schemas built-in kinds have to satisfy.
const RELEASE: &str = "1.34.0";

fn documents(text: &str) -> Vec<Json> {
    text.split("\n---\n")
        .map(|document| serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{error}\n{document}")))
        .collect()
}

/// A custom kind's schema with the world closed: a misspelt optional field would pass otherwise.
fn closed(schema: &Json) -> Json {
    match schema {
        Json::Array(items) => items.iter().map(closed).collect(),
        Json::Object(object) => {
            let mut out: Map<String, Json> = object.iter().map(|(key, value)| (key.clone(), closed(value))).collect();
            let open = object.contains_key("additionalProperties")
                || object.get("x-kubernetes-preserve-unknown-fields") == Some(&Json::Bool(true));
            if object.get("properties").is_some_and(Json::is_object) && !open {
                out.insert("additionalProperties".into(), Json::Bool(false));
            }
            if object.get("x-kubernetes-int-or-string") == Some(&Json::Bool(true)) {
                out.remove("type");
                out.insert("type".into(), json!(["integer", "string"]));
            }
            Json::Object(out)
        }
        other => other.clone(),
    }
}

struct Schemas {
    custom: BTreeMap<(String, String), jsonschema::Validator>,
}

impl Schemas {
    fn load(folder: &Path) -> Self {
        let mut custom = BTreeMap::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let Some(name) = path.file_name().unwrap().to_str().unwrap().strip_suffix(".json") else { continue };
            let parts: Vec<&str> = name.split('_').collect();
            let mut schema = closed(&serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap());
            for (field, value) in [("apiVersion", json!({"type": "string"})), ("kind", json!({"type": "string"}))] {
                schema["properties"][field] = value;
            }
            schema["properties"]["metadata"] = json!({"type": "object", "required": ["name"]});
            schema["required"] = json!(["apiVersion", "kind", "metadata", "spec"]);
            custom.insert(
                (format!("{}/{}", parts[0], parts[2]), parts[1].to_owned()),
                jsonschema::validator_for(&schema).unwrap(),
            );
        }
        Self { custom }
    }

    /// `None`: not a custom kind that is known.
    fn mistakes(&self, object: &Json) -> Option<Vec<String>> {
        let field = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
        let validator = self.custom.get(&(field("apiVersion"), field("kind")))?;
        Some(
            validator
                .iter_errors(object)
                .map(|error| format!("{} {}: {error}", field("kind"), error.instance_path()))
                .collect(),
        )
    }
}

/// What a region's cluster gets: the overlay rendered by the real kustomize, and whatever is not an overlay.
fn rendered(kubectl: &Path, tree: &Tree, folder: &Path) -> Vec<(String, Vec<Json>)> {
    let mut found = Vec::new();
    for path in tree.files.keys().filter(|path| path.starts_with("kubernetes/")) {
        if let Some(overlay) = path.strip_suffix("/kustomization.yaml").filter(|path| path.contains("/regions/")) {
            let output = common::run(Command::new(kubectl).arg("kustomize").arg(folder.join(overlay)));
            assert!(output.status.success(), "{overlay}: {}", said(&output));
            found.push((overlay.to_owned(), documents(&String::from_utf8(output.stdout).unwrap())));
        } else if path.contains("/argocd/") || path.contains("/flux/") {
            found.push((path.clone(), documents(&tree.files[path])));
        }
    }
    let is_of_node =
        |path: &&String| path.starts_with("lifeboat/") && path.contains("/node") && path.ends_with(".yaml");
    for path in tree.files.keys().filter(is_of_node) {
        found.push((path.clone(), documents(&tree.files[path])));
    }
    found
}

/// `kubernetes-validate` only warns of an API version that the release has dropped, and succeeds.
fn is_valid(output: &std::process::Output) -> bool {
    output.status.success() && !said(output).contains("find schema")
}

/// What no schema sees: selectors, names across objects, names in Go templates, empty records.
fn unseen_mistakes(objects: &[Json]) -> Vec<String> {
    let mut found = Vec::new();
    let named = |kind: &str, name: &Json| {
        objects.iter().any(|object| object["kind"] == kind && object["metadata"]["name"] == *name)
    };
    let contains = |labels: &Json, selector: &Json| {
        selector
            .as_object()
            .is_some_and(|wanted| !wanted.is_empty() && wanted.iter().all(|(key, value)| labels[key] == *value))
    };
    let pods: Vec<&Json> = objects
        .iter()
        .filter(|object| object["kind"] == "Deployment" || object["kind"] == "StatefulSet")
        .map(|object| &object["spec"]["template"]["metadata"]["labels"])
        .collect();
    for object in objects {
        let what = format!("{} {}", object["kind"], object["metadata"]["name"]);
        let spec = &object["spec"];
        match object["kind"].as_str().unwrap() {
            "Deployment" | "StatefulSet" => {
                if !contains(&spec["template"]["metadata"]["labels"], &spec["selector"]["matchLabels"]) {
                    found.push(format!("{what} does not select its own pods"));
                }
                for variable in spec["template"]["spec"]["containers"][0]["env"].as_array().into_iter().flatten() {
                    let map = &variable["valueFrom"]["configMapKeyRef"]["name"];
                    if !map.is_null() && !named("ConfigMap", map) {
                        found.push(format!("{what} reads {map}, which is not there"));
                    }
                }
            }
            "Service" if !pods.iter().any(|labels| contains(labels, &spec["selector"])) => {
                found.push(format!("{what} selects nothing"));
            }
            "PodDisruptionBudget" if !pods.iter().any(|labels| contains(labels, &spec["selector"]["matchLabels"])) => {
                found.push(format!("{what} selects nothing"));
            }
            "HorizontalPodAutoscaler" => {
                if !named(spec["scaleTargetRef"]["kind"].as_str().unwrap(), &spec["scaleTargetRef"]["name"]) {
                    found.push(format!("{what} scales nothing"));
                }
                if spec["minReplicas"].as_u64() > spec["maxReplicas"].as_u64() || spec["minReplicas"] == 0 {
                    found.push(format!("{what} has a minimum above the maximum, or none"));
                }
            }
            "Kustomization" if !named("GitRepository", &spec["sourceRef"]["name"]) => {
                found.push(format!("{what} has no source"));
            }
            "DNSEndpoint" => {
                for endpoint in spec["endpoints"].as_array().unwrap() {
                    for field in ["dnsName", "recordType", "targets"] {
                        if endpoint[field].is_null() {
                            found.push(format!("{what} has no {field}"));
                        }
                    }
                }
            }
            "ApplicationSet" => {
                let elements = spec["generators"][0]["list"]["elements"].as_array().unwrap();
                for used in spec["template"].to_string().split("{{.").skip(1) {
                    let name = used.split('}').next().unwrap();
                    if elements.iter().any(|element| element[name].is_null()) {
                        found.push(format!("{what} uses {name}, which no generator has"));
                    }
                }
            }
            _ => {}
        }
    }
    found
}

#[test]
fn every_object_is_as_its_schema_says() {
    let Some(kubectl) = tool("kubectl") else { return };
    let Some(schemas) = schemas("k8s").map(|folder| Schemas::load(&folder)) else { return };
    let built_in = tool("kubernetes-validate");
    for (name, app) in examples(&["kubernetes"]) {
        let tree = tree_of(&app);
        let folder = tempfile::tempdir().unwrap();
        write(&tree, folder.path());
        let mut files = Vec::new();
        for (path, objects) in rendered(&kubectl, &tree, folder.path()) {
            assert!(!objects.is_empty(), "{name} {path}");
            for object in objects {
                match schemas.mistakes(&object) {
                    Some(mistakes) => assert_eq!(mistakes, [] as [String; 0], "{name} {path}"),
                    None => {
                        let file = folder.path().join(format!("object-{}.json", files.len()));
                        std::fs::write(&file, object.to_string()).unwrap();
                        files.push(file);
                    }
                }
            }
        }
        let Some(validate) = &built_in else { continue };
        let output = common::run(Command::new(validate).args(["-k", RELEASE, "--strict"]).args(&files));
        assert!(is_valid(&output), "{name}: {}", said(&output));
    }
}

#[test]
fn objects_fit_each_other() {
    let Some(kubectl) = tool("kubectl") else { return };
    for (name, app) in examples(&["kubernetes"]) {
        let tree = tree_of(&app);
        let folder = tempfile::tempdir().unwrap();
        write(&tree, folder.path());
        for (path, objects) in rendered(&kubectl, &tree, folder.path()) {
            assert_eq!(unseen_mistakes(&objects), [] as [String; 0], "{name} {path}");
        }
    }
}

#[test]
fn a_mistake_is_caught() {
    let tree = tree_of(&example("kubernetes/warm-standby"));
    let wrong = |path: &str, right: &str, wrong: &str| {
        let good = &tree.files[path];
        assert!(good.contains(right), "{right}");
        documents(&good.replace(right, wrong))
    };
    let set = "kubernetes/argocd/applicationset.yaml";
    assert_ne!(unseen_mistakes(&wrong(set, "{{.region}}", "{{.regoin}}")), [] as [String; 0]);
    let web = "kubernetes/base/web.yaml";
    assert_ne!(
        unseen_mistakes(&wrong(
            web,
            "matchLabels:\n      app.kubernetes.io/name: web",
            "matchLabels:\n      app.kubernetes.io/name: wbe"
        )),
        [] as [String; 0]
    );
    if let Some(folder) = schemas("k8s") {
        let schemas = Schemas::load(&folder);
        for (path, right, broken) in [
            (set, "selfHeal: true", "selfHael: true"),
            (set, "limit: 5", "limit: five"),
            ("kubernetes/flux/ireland.yaml", "interval: 10m", "interval: 10 minutes"),
            ("kubernetes/flux/ireland.yaml", "  prune: true\n", ""),
            ("kubernetes/regions/ireland/dns.yaml", "recordTTL: 30", "recordTTL: soon"),
        ] {
            let mistakes: Vec<String> =
                wrong(path, right, broken).iter().filter_map(|object| schemas.mistakes(object)).flatten().collect();
            assert!(!mistakes.is_empty(), "{broken} passed");
        }
    }
    let Some(validate) = tool("kubernetes-validate") else { return };
    let folder = tempfile::tempdir().unwrap();
    for (right, broken) in [
        ("maxSurge: 25%", "maxSurges: 25%"),
        ("containerPort: 8080", "containerPort: http"),
        ("autoscaling/v2\n", "autoscaling/v2beta1\n"),
    ] {
        let file = folder.path().join("wrong.yaml");
        std::fs::write(&file, tree.files[web].replace(right, broken)).unwrap();
        let output = common::run(Command::new(&validate).args(["-k", RELEASE, "--strict"]).arg(&file));
        assert!(!is_valid(&output), "{broken} passed");
    }
}

/// One cluster has room for several apps: nothing of one's node takes the place of another's, and nothing selects another's pod.
#[test]
fn the_nodes_of_two_apps_live_in_one_cluster() {
    for (name, app) in examples(&["aws", "azure", "kubernetes"]) {
        let of_node = |app: &str| -> Vec<(String, Json)> {
            let mut named = example(&name);
            named.name = app.into();
            let files = tree_of(&named).files.into_iter();
            let manifests = files.filter(|(path, _)| path.starts_with("lifeboat/") && path.ends_with(".yaml"));
            manifests
                .flat_map(|(path, text)| documents(&text).into_iter().map(move |one| (path.clone(), one)))
                .collect()
        };
        let [one, other] = ["one", "other"].map(of_node);
        let is_in_cluster = tree_of(&app).files.keys().any(|path| path.ends_with("/node.yaml"));
        assert_eq!(!one.is_empty(), is_in_cluster, "{name}");
        let key = |(path, object): &(String, Json)| {
            let region = path.split('/').nth(1).unwrap_or_default().to_owned();
            let metadata = &object["metadata"];
            [region, object["kind"].to_string(), metadata["namespace"].to_string(), metadata["name"].to_string()]
        };
        let (ones, others): (BTreeSet<_>, BTreeSet<_>) =
            (one.iter().map(key).collect(), other.iter().map(key).collect());
        assert_eq!((ones.len(), ones.intersection(&others).next()), (one.len(), None), "{name}");
        for (_, object) in &one {
            let labels = &object["metadata"]["labels"];
            assert_eq!(labels["app.kubernetes.io/instance"], "lifeboat-one", "{name}: {object}");
            assert_eq!(labels["app.kubernetes.io/part-of"], "one", "{name}: {object}");
            let spec = &object["spec"];
            let selectors = [&spec["selector"], &spec["podSelector"]].map(|found| match &found["matchLabels"] {
                Json::Null => found,
                labels => labels,
            });
            for selector in selectors.into_iter().filter(|selector| !selector.is_null()) {
                assert_eq!(selector["app.kubernetes.io/instance"], "lifeboat-one", "{name}: {object}");
            }
        }
        let scripts = tree_of(&app).files;
        let script = scripts.get("lifeboat/hand-out.sh").map_or("", String::as_str);
        let node = node_name(&app.name);
        let namespaces = script.split("--namespace ").skip(1).chain(script.split("get namespace ").skip(1));
        for namespace in namespaces {
            assert!(namespace.starts_with(&format!("{node} ")), "{name}: {script}");
        }
    }
}

/// Pods and records follow the role, and the role is the only file that changes.
#[test]
fn a_failover_changes_one_file_per_region() {
    let Some(kubectl) = tool("kubectl") else { return };
    let app = example("kubernetes/pilot-light");
    let tree = tree_of(&app);
    let folder = tempfile::tempdir().unwrap();
    write(&tree, folder.path());
    let seen = |region: &str| {
        let objects = rendered(&kubectl, &tree, folder.path());
        let (_, objects) = objects.into_iter().find(|(path, _)| path.ends_with(&format!("regions/{region}"))).unwrap();
        let find = |kind: &str| objects.iter().find(|object| object["kind"] == kind).cloned();
        (
            find("Deployment").unwrap()["spec"]["replicas"].clone(),
            find("HorizontalPodAutoscaler").map(|object| object["spec"]["minReplicas"].clone()),
            find("DNSEndpoint").is_some(),
        )
    };
    assert_eq!(seen("ireland"), (Json::Null, Some(json!(4)), true));
    assert_eq!(seen("netherlands"), (json!(0), None, false));
    let role = |region: &str| folder.path().join(format!("kubernetes/roles/{region}/kustomization.yaml"));
    let (ireland, netherlands) = (std::fs::read(role("ireland")).unwrap(), std::fs::read(role("netherlands")).unwrap());
    std::fs::write(role("ireland"), netherlands).unwrap();
    std::fs::write(role("netherlands"), ireland).unwrap();
    assert_eq!(seen("netherlands"), (Json::Null, Some(json!(4)), true));
    assert_eq!(seen("ireland"), (json!(0), None, false));
}

/// A region with machines and a cluster: what only the cluster knows is whether its node is a pod.
const BOTH: &str = "app: shop\nregions:\n  a: {place: aws/eu-north-1, address: 10.19.0.10}\ncomponents:\n  platform: {kind: eks}\n  \
                    web: {kind: deployment, size: {image: x}}\n  old: {kind: asg, size: {image: x}}\nroutes: {shop.example.com: {to: old}}\n\
                    failover: {mode: approve}\nnodes: {tls: /etc/lifeboat/tls}\n";

/// A cluster that does not answer is no cluster without a node: certificates that reach nobody are said.
#[test]
fn certificates_that_reach_no_cluster_are_an_error() {
    let Some(kubectl) = tool("kubectl") else { return };
    let tree = tree_of(&lifeboat_model::parse(BOTH).unwrap());
    let folder = tempfile::tempdir().unwrap();
    write(&tree, folder.path());
    let (tools, certificates) = (folder.path().join("tools"), folder.path().join("certs"));
    std::fs::create_dir_all(&tools).unwrap();
    std::fs::create_dir_all(&certificates).unwrap();
    for name in ["ca.pem", "a.pem", "a.key"] {
        std::fs::write(certificates.join(name), "x").unwrap();
    }
    // The secret store takes what it gets; the cluster is the real kubectl's to find, which knows none.
    std::fs::write(tools.join("aws"), "#!/bin/sh\ncat >/dev/null\n").unwrap();
    std::os::unix::fs::symlink(&kubectl, tools.join("kubectl")).unwrap();
    assert!(Command::new("chmod").arg("+x").arg(tools.join("aws")).status().unwrap().success());
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    let hand_out = || {
        let mut command = Command::new("sh");
        command.arg(folder.path().join("lifeboat/hand-out.sh")).arg(&certificates);
        common::run(command.env("PATH", &path).env("KUBECONFIG", folder.path().join("none")))
    };
    let output = hand_out();
    assert!(!output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("shop-platform-a"), "{}", said(&output));
    // One that answers, and has no such namespace, is passed over aloud.
    std::fs::remove_file(tools.join("kubectl")).unwrap();
    std::fs::write(tools.join("kubectl"), "#!/bin/sh\n").unwrap();
    assert!(Command::new("chmod").arg("+x").arg(tools.join("kubectl")).status().unwrap().success());
    let output = hand_out();
    assert!(
        output.status.success() && said(&output).contains("no node in the cluster shop-platform-a"),
        "{}",
        said(&output)
    );
}

/// Every file that the tree's README tells to apply is there, and what a pod mounts comes after its namespace.
#[test]
fn the_readme_applies_what_is_there_and_in_its_order() {
    for (name, app) in examples(&["kubernetes"]) {
        let files = tree_of(&app).files;
        let readme = &files["README.md"];
        let named: Vec<&str> = readme
            .split("--filename ")
            .skip(1)
            .filter_map(|rest| rest.split_whitespace().next())
            .filter(|path| *path != "-")
            .collect();
        assert!(!named.is_empty(), "{name}");
        for path in named {
            assert!(files.contains_key(path), "{name}: README.md applies {path}");
        }
        let at = |what: &str| readme.find(what).unwrap_or_else(|| panic!("{name}: no {what}"));
        let first = at("**First apply**");
        let order = [
            first,
            first + readme[first..].find("/node.yaml").unwrap(),
            first + readme[first..].find("create secret generic lifeboat-file").unwrap(),
            first + readme[first..].find("lifeboat/hand-out.sh").unwrap(),
            at("Then commit"),
            at("**Removal.**"),
        ];
        assert!(order.is_sorted(), "{name}: {order:?}");
        let node = files.keys().filter(|path| path.ends_with("/node.yaml")).map(|path| documents(&files[path]));
        for secret in node.flatten().flat_map(|object| {
            let text = object.to_string();
            ["lifeboat-file", "lifeboat-tls"].into_iter().filter(move |secret| text.contains(secret))
        }) {
            let is_made = readme.contains(secret) || files["lifeboat/hand-out.sh"].contains(secret);
            assert!(is_made, "{name}: nobody makes {secret}");
        }
    }
}

/// What Argo CD passes over is what the node owns, not a field whoever set it: a changed count or ttl reaches the cluster.
#[test]
fn argo_cd_passes_over_what_the_node_owns_only() {
    let set = documents(&tree_of(&example("kubernetes/warm-standby")).files["kubernetes/argocd/applicationset.yaml"])
        .remove(0);
    let ignored = set["spec"]["template"]["spec"]["ignoreDifferences"].as_array().unwrap();
    assert_eq!(ignored.len(), 3);
    for one in ignored {
        assert_eq!(one["managedFieldsManagers"], json!([lifeboat_model::kubernetes::FIELD_MANAGER]), "{one}");
        assert!(one["jsonPointers"].is_null() && one["jqPathExpressions"].is_null(), "{one}");
    }
}
