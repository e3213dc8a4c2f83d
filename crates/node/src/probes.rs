//! What this node probes, and its readings on their way to the brain.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lifeboat_control::Event;
use lifeboat_control::health::{Evidence, Target, What};
use lifeboat_model::RegionId;
use lifeboat_model::app::CheckTarget;
use lifeboat_probe::{Prober, Schedule};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::databases::POSTGRES_PORT;
use crate::mind::{Input, QUEUE};
use crate::options::Options;

/// The prober and the task that carries its readings.
#[derive(Debug)]
pub struct Probes {
    prober: Prober<Target>,
    carrier: JoinHandle<()>,
}

impl Probes {
    /// Probes these targets from now on.
    pub fn start(options: &Options, targets: Vec<Target>, inputs: &mpsc::Sender<Input>) -> Self {
        let source = options.app.regions[&options.region].address.filter(IpAddr::is_loopback);
        let (mut prober, mut readings) = Prober::new(source, QUEUE);
        for target in targets {
            if let Some((probe, schedule)) = what_to_ask(options, &target) {
                prober.watch(target, probe, schedule);
            }
        }
        let inputs = inputs.clone();
        let carrier = tokio::spawn(async move {
            while let Some(reading) = readings.recv().await {
                let event = Event::Reading { target: reading.target, evidence: evidence(reading.evidence) };
                if inputs.send(Input::Event(event)).await.is_err() {
                    return;
                }
            }
        });
        Self { prober, carrier }
    }

    /// Stops every probe.
    pub async fn stop(self) {
        self.prober.shutdown().await;
        self.carrier.abort();
    }
}

/// How a target is probed; `None` where it has no address.
fn what_to_ask(options: &Options, target: &Target) -> Option<(lifeboat_probe::Target, Schedule)> {
    let app = &options.app;
    let address = app.regions.get(&target.region)?.address?;
    let detection = Schedule::new(app.detection.every, app.detection.timeout);
    match &target.what {
        What::Node => {
            let address = SocketAddr::new(address, app.regions[&target.region].api_port);
            Some((http(address, &target.region, "/v1/health"), detection))
        }
        What::Database(database) => {
            let port = app.components[database].port.unwrap_or(POSTGRES_PORT);
            Some((lifeboat_probe::Target::Postgres { address: SocketAddr::new(address, port) }, detection))
        }
        What::Compute(compute) => {
            let component = &app.components[compute];
            let check = component.check.as_ref()?;
            let address = SocketAddr::new(address, component.port?);
            let schedule = Schedule::new(check.every, check.timeout.max(Duration::from_millis(1)));
            let probe = match &check.target {
                CheckTarget::Http(path) => http(address, &target.region, path),
                CheckTarget::Tcp => lifeboat_probe::Target::Tcp { address },
            };
            Some((probe, schedule))
        }
    }
}

fn http(address: SocketAddr, region: &RegionId, path: &str) -> lifeboat_probe::Target {
    lifeboat_probe::Target::Http { address, host: region.to_string(), path: path.to_owned() }
}

fn evidence(seen: lifeboat_probe::Evidence) -> Evidence {
    match seen {
        lifeboat_probe::Evidence::Ok { .. } => Evidence::Ok,
        lifeboat_probe::Evidence::Refused => Evidence::Refused,
        lifeboat_probe::Evidence::Silent => Evidence::Silent,
        lifeboat_probe::Evidence::Bad { .. } => Evidence::Unwell,
        lifeboat_probe::Evidence::NotObserved { .. } => Evidence::NotObserved,
    }
}
