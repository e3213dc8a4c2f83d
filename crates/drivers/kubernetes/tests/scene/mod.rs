//! A cluster with what `lifeboat generate` writes in it, a driver at work on it, and everything that the driver says.

#![allow(clippy::unwrap_used, reason = "what a test helper cannot do fails the test")]
#![allow(dead_code, reason = "each test crate uses its part")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_driver_kubernetes::{Access, Cluster, Config, Driver, Report, Served, Surroundings};
use lifeboat_iac::{Options, generate};
use lifeboat_model::compute::{ComputeState, Duty, Instances};
use lifeboat_model::{App, ComponentId};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::api::{Api, GIT, until};

/// Ireland's cluster is the one that is driven.
const FILE: &str = "
app: shop
regions:
  frankfurt: {place: kubernetes/frankfurt, preference: 1}
  ireland: {place: kubernetes/ireland}
  stockholm: {place: local/a, role: witness}
components:
  web:
    kind: deployment
    pattern: PATTERN
    port: 8080
    check: {http: /healthz}
    size: {count: 6, image: 'registry.example.com/shop/web:1'}
routes:
  shop.example.com: {to: web, policy: failover, ttl: 30s}
store: {etcd: ['https://a:2379', 'https://b:2379', 'https://c:2379']}
";

pub const WEB: &str = "/apis/apps/v1/namespaces/shop/deployments/web";
pub const SCALER: &str = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/web";
pub const FLUX: &str = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations/shop";
pub const APPLICATION: &str = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/shop-ireland";
pub const PROJECT: &str = "/apis/argoproj.io/v1alpha1/namespaces/argocd/appprojects/shop";
pub const RECORDS: &str = "/apis/externaldns.k8s.io/v1alpha1/namespaces/shop/dnsendpoints";
pub const RECORD: &str = "/apis/externaldns.k8s.io/v1alpha1/namespaces/shop/dnsendpoints/shop-example-com";
pub const PODS: &str = "/api/v1/namespaces/shop/pods";
pub const NODES: &str = "/api/v1/nodes";

/// The app, with a pattern for its one Deployment.
pub fn app(pattern: &str) -> App {
    lifeboat_model::parse(&FILE.replace("PATTERN", pattern)).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// What is generated for the app, by path.
pub fn generated(app: &App) -> BTreeMap<String, String> {
    generate(app, &Options::default()).unwrap_or_else(|problems| panic!("{problems:#?}")).files
}

/// The objects of a generated file.
pub fn objects(text: &str) -> Vec<Value> {
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

/// Puts the generated Deployment there as Git has it, with so many replicas, all of them ready, and its autoscaler if it has one.
pub fn put_web(api: &Api, app: &App, replicas: u32, minimum: Option<u32>) {
    for collection in [WEB, SCALER] {
        api.collection(collection.rsplit_once('/').unwrap().0);
    }
    for collection in [PODS, NODES] {
        api.collection(collection);
    }
    for object in objects(&generated(app)["kubernetes/base/web.yaml"]) {
        match (object["kind"].as_str().unwrap(), minimum) {
            ("Deployment", _) => {
                let mut object = object;
                // A role of size nothing says so; where there is an autoscaler, Git says nothing of replicas.
                if minimum.is_none() {
                    object["spec"]["replicas"] = json!(replicas);
                }
                api.put(WEB, object, GIT);
                api.edit(WEB, |web| web["spec"]["replicas"] = json!(replicas));
                make_ready(api);
            }
            ("HorizontalPodAutoscaler", Some(minimum)) => {
                let mut object = object;
                object["spec"]["minReplicas"] = json!(minimum);
                api.put(SCALER, object, GIT);
            }
            _ => {}
        }
    }
}

/// The deployment controller has done its work.
pub fn make_ready(api: &Api) {
    api.edit(WEB, |web| {
        let replicas = web["spec"]["replicas"].clone();
        web["metadata"]["generation"] = json!(1);
        web["status"] = json!({"observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas,
            "readyReplicas": replicas, "availableReplicas": replicas});
    });
}

/// Puts the generated Kustomization there.
pub fn put_flux(api: &Api, app: &App) {
    let file = &generated(app)["kubernetes/flux/ireland.yaml"];
    let mut object = objects(file).into_iter().find(|object| object["kind"] == "Kustomization").unwrap();
    object["status"] = json!({"lastAppliedRevision": "main@sha1:1"});
    api.put(FLUX, object, "flux-system");
}

/// Puts the generated project and the Application that the generated ApplicationSet makes there.
pub fn put_argo(api: &Api, app: &App) {
    let (application, project) = argo_objects(app);
    api.put(APPLICATION, application, "argocd-applicationset-controller");
    api.put(PROJECT, project, "kubectl-client-side-apply");
}

/// The Application that the generated ApplicationSet makes, and the generated project.
pub fn argo_objects(app: &App) -> (Value, Value) {
    let files = generated(app);
    let set = objects(&files["kubernetes/argocd/applicationset.yaml"]).remove(0);
    let mut spec = set["spec"]["template"]["spec"].clone();
    spec["destination"]["name"] = json!("ireland");
    spec["source"]["path"] = json!("kubernetes/regions/ireland");
    let owner = json!({"apiVersion": set["apiVersion"], "kind": "ApplicationSet", "name": "shop", "uid": "1", "controller": true});
    let application = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "spec": spec,
        "metadata": {"name": "shop-ireland", "namespace": "argocd", "ownerReferences": [owner]},
        "status": {"reconciledAt": "2026-11-25T10:00:00Z", "sync": synced("Synced", "1"), "health": {"status": "Healthy"}},
    });
    (application, objects(&files["kubernetes/argocd/project.yaml"]).remove(0))
}

pub fn synced(status: &str, revision: &str) -> Value {
    let compared_to = json!({"destination": {"name": "ireland", "namespace": "shop"}, "source": {"repoURL": "https://git.example.com/shop"}});
    json!({"status": status, "revision": revision, "comparedTo": compared_to})
}

/// What Flux does when it is its time: sets from Git what is in Git, if it is not suspended.
pub fn flux_reconciles(api: &Api, minimum: u32) {
    if api.object(FLUX).is_some_and(|object| object["spec"]["suspend"] != true) {
        let mut scaler = api.object(SCALER).unwrap();
        scaler["spec"]["minReplicas"] = json!(minimum);
        api.put(SCALER, scaler, GIT);
    }
}

/// A driver at work.
pub struct Work {
    pub cluster: Cluster,
    said: Arc<Mutex<Said>>,
    tasks: [AbortHandle; 2],
    _folder: tempfile::TempDir,
}

#[derive(Default)]
struct Said {
    state: Option<ComputeState>,
    journal: Vec<String>,
}

impl Drop for Work {
    /// As a node dies.
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// For how long a Deployment stays large after its region no longer serves, here.
pub const LINGER: Duration = Duration::from_millis(300);

/// The settings with which drivers work here.
pub fn config(app: &App) -> Config {
    let web: ComponentId = "web".into();
    Config {
        app: app.name.clone(),
        region: "ireland".into(),
        namespace: app.name.to_string(),
        deployments: BTreeMap::from([(web.clone(), Instances::of(&app.components["web"]))]),
        routes: BTreeMap::from([("shop.example.com".into(), Served { to: web, ttl_seconds: 30 })]),
        every: Duration::from_millis(100),
        deadline: Duration::from_millis(500),
        linger: LINGER,
    }
}

/// Starts a driver that finds the cluster by a kubeconfig.
pub fn work(api: &Api, app: &App) -> Work {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("config");
    let text = format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: 'http://{}'}}}}]\nusers: [{{name: u, user: {{token: \
         secret}}}}]\ncontexts: [{{name: ireland, context: {{cluster: c, user: u}}}}]\n",
        api.address
    );
    std::fs::write(&kubeconfig, text).unwrap();
    let surroundings = Surroundings { service: None, kubeconfig: vec![kubeconfig] };
    work_by(Access::find(&surroundings, "ireland").unwrap(), config(app), folder)
}

pub fn work_by(access: Access, config: Config, folder: tempfile::TempDir) -> Work {
    let (sender, mut reports) = mpsc::channel(64);
    let (cluster, driver) = Driver::new(config, access, sender);
    let said = Arc::new(Mutex::new(Said::default()));
    let into = said.clone();
    let listener = tokio::spawn(async move {
        while let Some(report) = reports.recv().await {
            let mut said = into.lock().unwrap();
            match report {
                Report::State(_, state) => said.state = Some(state),
                Report::Changed(_, what, why) => said.journal.push(format!("{what} ({why})")),
            }
        }
    });
    let tasks = [tokio::spawn(driver.run()).abort_handle(), listener.abort_handle()];
    Work { cluster, said, tasks, _folder: folder }
}

impl Work {
    pub fn assign(&self, duty: Duty) {
        self.cluster.assign(&"web".into(), duty);
    }

    pub fn serve(&self, is_served: bool) {
        self.cluster.serve(BTreeMap::from([("shop.example.com".into(), is_served)]));
    }

    pub fn state(&self) -> Option<ComputeState> {
        self.said.lock().unwrap().state.clone()
    }

    pub fn journal(&self) -> Vec<String> {
        self.said.lock().unwrap().journal.clone()
    }

    /// Waits for a state; says what the last one was otherwise.
    pub async fn until(&self, what: &str, is_so: impl Fn(&ComputeState) -> bool) {
        until(what, || self.state().as_ref().is_some_and(&is_so)).await;
    }

    /// Waits longer for a state, where a real server is at work.
    pub async fn until_within(&self, patience: Duration, what: &str, is_so: impl Fn(&ComputeState) -> bool) {
        let until = tokio::time::timeout(patience, async {
            while !self.state().as_ref().is_some_and(&is_so) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(until.await.is_ok(), "never: {what}; {:?}, {:?}", self.state(), self.journal());
    }

    /// Waits for a line of the journal that begins so.
    pub async fn until_journaled(&self, begins: &str) {
        until(&format!("{begins} in the journal"), || self.journal().iter().any(|line| line.starts_with(begins))).await;
    }
}
