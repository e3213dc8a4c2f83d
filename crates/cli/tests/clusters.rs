//! Two regions with a Kubernetes cluster each: the nodes follow the route, each in its own region's cluster. The API servers are
//! the ones in memory of the driver's tests.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

#[path = "../../drivers/kubernetes/tests/api/mod.rs"]
mod api;
mod fleet;
mod place;

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::{Api, Fault};
use fleet::{Fleet, told};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

const MORE: &str = "  web:
    kind: deployment
    pattern: warm-standby
    regions: [a, b]
    port: 8080
    check: {tcp: true}
    size: {count: 6, image: 'registry.example.com/fleet/web:1'}
routes:
  fleet.example.com: {to: web, policy: failover, ttl: 1s}
failover: {hold-down: 1s}
nodes: {tls: certs}
";

const WEB: &str = "/apis/apps/v1/namespaces/fleet/deployments/web";
const SCALER: &str = "/apis/autoscaling/v2/namespaces/fleet/horizontalpodautoscalers/web";
const RECORDS: &str = "/apis/externaldns.k8s.io/v1alpha1/namespaces/fleet/dnsendpoints";
const RECORD: &str = "/apis/externaldns.k8s.io/v1alpha1/namespaces/fleet/dnsendpoints/fleet-example-com";

/// A cluster with external-dns and a Deployment with its autoscaler, both of a standby's size.
async fn cluster() -> Api {
    let api = Api::start().await;
    for collection in [RECORDS, "/api/v1/namespaces/fleet/pods", "/api/v1/nodes"] {
        api.collection(collection);
    }
    let labels = json!({"app.kubernetes.io/name": "web"});
    let pod = json!({"containers": [{"name": "main", "image": "registry.example.com/fleet/web:1"}]});
    let template = json!({"metadata": {"labels": labels}, "spec": pod});
    let spec = json!({"replicas": 2, "selector": {"matchLabels": labels}, "template": template});
    api.put(WEB, json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec}), "kubectl");
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    let spec = json!({"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 12});
    api.put(
        SCALER,
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "spec": spec}),
        "kubectl",
    );
    make_ready(&api);
    api
}

fn make_ready(api: &Api) {
    api.edit(WEB, |web| {
        let replicas = web["spec"]["replicas"].clone();
        web["status"] = json!({"replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas});
    });
}

fn minimum(api: &Api) -> Value {
    api.object(SCALER).unwrap()["spec"]["minReplicas"].clone()
}

fn has_record(api: &Api) -> bool {
    api.object(RECORD).is_some()
}

/// The contexts `a` and `b`, in the file that nodes look for first.
fn write_kubeconfig(fleet: &Fleet, clusters: &BTreeMap<&str, Api>) {
    let mut text = String::new();
    let mut list = |what: &str, entry: &dyn Fn(&str, &Api) -> String| {
        text += &format!("{what}s:\n");
        for (name, api) in clusters {
            text += &format!("- {{name: {name}, {what}: {{{}}}}}\n", entry(name, api));
        }
    };
    list("cluster", &|_, api| format!("server: 'http://{}'", api.address));
    list("user", &|name, _| format!("token: of-{name}"));
    list("context", &|name, _| format!("cluster: {name}, user: {name}"));
    std::fs::write(fleet.world.path().join("kubeconfig"), text).unwrap();
}

/// What a check of a region's pods meets; dropping it ends them.
struct Pods(AbortHandle);

impl Pods {
    async fn listen(address: IpAddr) -> Self {
        let listener = TcpListener::bind((address, 8080)).await.unwrap();
        let accept = async move {
            loop {
                drop(listener.accept().await);
            }
        };
        Self(tokio::spawn(accept).abort_handle())
    }
}

impl Drop for Pods {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[test]
fn compute_and_records_follow_the_route_into_the_cluster_of_its_region() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clusters = runtime.block_on(async { BTreeMap::from([("a", cluster().await), ("b", cluster().await)]) });
    let (a, b) = (&clusters["a"], &clusters["b"]);
    let mut fleet = Fleet::set_with("", MORE);
    write_kubeconfig(&fleet, &clusters);
    let app = fleet.app.clone();
    let listen = |region: &str| runtime.block_on(Pods::listen(app.regions[region].address.unwrap()));
    let pods_of_a = listen("a");
    fleet.start_all();
    let until = |fleet: &Fleet, what: &str, met: &dyn Fn() -> bool| fleet.eventually(what, || met().then_some(()));
    until(&fleet, "a serves: six replicas and a record", &|| minimum(a) == 6 && has_record(a));
    assert_eq!((minimum(b), has_record(b)), (json!(2), false));
    make_ready(a);
    until(&fleet, "the status says so", &|| {
        let status = told(&fleet.lifeboat(&["status"], &[]));
        let has =
            |line: &str| status.lines().any(|found| found.split_whitespace().collect::<Vec<_>>().join(" ") == line);
        has("a 6 of 6 ready; 0 machines") && has("b 2 of 2 ready; 0 machines")
    });
    until(&fleet, "the journal tells why", &|| {
        let what = "web scaled: the autoscaler's minimum from 2 to 6, replicas from 2 to 6";
        let line = format!("{what}  (clients are served in a, which takes 6)");
        told(&fleet.lifeboat(&["events"], &[])).contains(&line)
    });

    // The region is lost, with its node and its cluster.
    let kill =
        |fleet: &Fleet, region: &str| fleet.world.node(&region.into()).expect("its node runs").signal(Signal::KILL);
    kill(&fleet, "a");
    a.hang(true);
    drop(pods_of_a);
    let pods_of_b = listen("b");
    until(&fleet, "b serves: six replicas and a record", &|| minimum(b) == 6 && has_record(b));
    let asked = a.asked();
    assert!(asked.iter().all(|asked| asked.token.as_deref() == Some("Bearer of-a")), "a's cluster was asked by others");
    assert!(
        b.asked().iter().all(|asked| asked.token.as_deref() == Some("Bearer of-b")),
        "b's cluster was asked by others"
    );

    // It comes back as a standby: no record of it, no larger than it has to be.
    a.hang(false);
    fleet.start_node("a");
    until(&fleet, "a is a standby again", &|| minimum(a) == 2 && !has_record(a));
    assert_eq!((minimum(b), has_record(b)), (json!(6), true));
    drop(pods_of_b);

    // A cluster that cannot be asked is unknown, and says why.
    b.fault("GET", "/deployments", 1_000_000, Fault::Status(403, None));
    until(&fleet, "the status says so", &|| {
        let status = told(&fleet.lifeboat(&["status"], &[]));
        status.contains("UNKNOWN") && status.contains("trouble: the cluster does not allow it: injected")
    });
    for api in clusters.values() {
        assert_eq!(api.mistakes(), [] as [String; 0]);
    }
}

#[test]
fn a_node_to_which_no_way_to_its_cluster_is_shown_says_so_and_ends() {
    let fleet = Fleet::set_with("", MORE);
    std::fs::write(fleet.world.path().join("kubeconfig"), "contexts: [{name: other, context: {cluster: c}}]\n")
        .unwrap();
    let output = fleet.node("a", &[("KUBECONFIG", "/nowhere"), ("KUBERNETES_SERVICE_HOST", "")]);
    assert!(!output.status.success());
    let said = told(&output);
    assert!(said.contains("region `a` has deployments:") && said.contains("the kubeconfig has other"), "{said}");
}
