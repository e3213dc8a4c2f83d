//! This region's deployments: a driver of the region's own cluster, told what the region is for them, its reports fed to the brain.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::time::Duration;

use lifeboat_control::Event;
use lifeboat_driver_kubernetes::{Access, Cluster, Config, Driver, Report, Served, Surroundings};
use lifeboat_model::app::{Kind, RoutePolicy};
use lifeboat_model::compute::{Duty, Instances};
use lifeboat_model::kubernetes::cluster_name;
use lifeboat_model::status::RouteAnswer;
use lifeboat_model::{ComponentId, HostName, RegionId};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::error::Error;
use crate::mind::Input;
use crate::options::Options;

/// How often the cluster is looked at when nothing happens.
const EVERY: Duration = Duration::from_secs(2);
/// The longest that one question to its API may take.
const DEADLINE: Duration = Duration::from_secs(2);
/// The most reports that wait; the driver waits then, too.
const QUEUE: usize = 64;

/// This region's deployments.
#[derive(Debug)]
pub struct Deployments {
    region: RegionId,
    /// `None`: the region has none.
    cluster: Option<Cluster>,
}

impl Deployments {
    /// Takes charge of what is there; asks nobody anything yet. A cluster that does not answer keeps no node from starting, but one
    /// to which nothing leads does.
    pub fn open(options: &Options, inputs: &mpsc::Sender<Input>, tasks: &mut JoinSet<()>) -> Result<Self, Error> {
        let (app, region) = (&options.app, &options.region);
        let here = |id: &ComponentId| {
            app.components
                .get(id)
                .filter(|component| component.kind == Kind::Deployment && component.regions.contains(region))
        };
        let deployments: BTreeMap<ComponentId, Instances> =
            app.components.keys().filter_map(|id| Some((id.clone(), Instances::of(here(id)?)))).collect();
        if deployments.is_empty() {
            return Ok(Self { region: region.clone(), cluster: None });
        }
        let access = Access::find(&surroundings(&options.directory), &cluster_name(app, region))
            .map_err(|source| Error::Cluster { region: region.clone(), source })?;
        // Several answers at a time under one name are a matter of the DNS provider's policies, which the generator writes once.
        let routes = app.routes.iter().filter(|(_, route)| route.policy == RoutePolicy::Failover);
        let kept = routes.clone().filter(|(_, route)| here(&route.to).is_some());
        let longest_kept = routes.map(|(_, route)| route.ttl).max().unwrap_or_default();
        let config = Config {
            app: app.name.clone(),
            region: region.clone(),
            namespace: app.name.to_string(),
            deployments,
            routes: kept
                .map(|(host, route)| {
                    (host.clone(), Served { to: route.to.clone(), ttl_seconds: route.ttl.as_secs().max(1) })
                })
                .collect(),
            every: EVERY,
            deadline: DEADLINE,
            linger: app.failover.hold_down + longest_kept,
        };
        let (reports, receiver) = mpsc::channel(QUEUE);
        let (cluster, driver) = Driver::new(config, access, reports);
        tasks.spawn(driver.run());
        tasks.spawn(report(receiver, inputs.clone()));
        Ok(Self { region: region.clone(), cluster: Some(cluster) })
    }

    /// What the region is for a component from now on.
    pub fn assign(&self, component: &ComponentId, duty: Duty) {
        if let Some(cluster) = &self.cluster {
            cluster.assign(component, duty);
        }
    }

    /// Where the routes lead from now on. One that leads nowhere is not known yet, and its record is left alone.
    pub fn serve(&self, routes: &BTreeMap<HostName, RouteAnswer>) {
        if let Some(cluster) = &self.cluster {
            let known = routes.iter().filter(|(_, answer)| !answer.regions.is_empty());
            cluster.serve(known.map(|(host, answer)| (host.clone(), answer.regions.contains(&self.region))).collect());
        }
    }
}

/// What the node's environment says of clusters; before that counts the file `kubeconfig` in its directory, for a service has no home.
fn surroundings(directory: &Path) -> Surroundings {
    let host = env::var("KUBERNETES_SERVICE_HOST").ok().filter(|host| !host.is_empty());
    let port = env::var("KUBERNETES_SERVICE_PORT").ok().and_then(|port| port.parse().ok());
    let mut kubeconfig = vec![directory.join("kubeconfig")];
    match env::var_os("KUBECONFIG").filter(|paths| !paths.is_empty()) {
        Some(paths) => kubeconfig.extend(env::split_paths(&paths).filter(|path| !path.as_os_str().is_empty())),
        None => kubeconfig.extend(env::var_os("HOME").map(|home| Path::new(&home).join(".kube/config"))),
    }
    Surroundings { service: host.zip(port), kubeconfig }
}

async fn report(mut reports: mpsc::Receiver<Report>, inputs: mpsc::Sender<Input>) {
    while let Some(report) = reports.recv().await {
        let event = match report {
            Report::State(component, state) => Event::Compute { component, state },
            Report::Changed(component, what, why) => Event::ComputeChanged { component, what, why },
        };
        if inputs.send(Input::Event(event)).await.is_err() {
            return;
        }
    }
}
