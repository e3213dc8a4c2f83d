//! What this node probes, and its readings on their way to the brain.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lifeboat_control::Event;
use lifeboat_control::health::{Evidence, Target, What};
use lifeboat_model::app::CheckTarget;
use lifeboat_model::{ComponentId, RegionId};
use lifeboat_probe::{Authorities, Prober, Schedule};
use lifeboat_tls::Identity;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::Error;
use crate::databases::POSTGRES_PORT;
use crate::mind::{Input, QUEUE};
use crate::options::Options;

/// Whom probes by TLS trust.
#[derive(Debug, Default)]
pub struct Trust {
    /// Of each component that is checked by HTTPS, its authorities.
    components: BTreeMap<ComponentId, Authorities>,
    /// Of the nodes, where they speak TLS.
    nodes: Option<Authorities>,
}

/// Reads the authorities' files, which lie in [`Options::directory`] unless their paths are absolute.
///
/// # Errors
/// A file that cannot be read, or holds no authorities.
pub fn read_trust(options: &Options, identity: Option<&Identity>) -> Result<Trust, Error> {
    let nodes = identity.map(|identity| Authorities::renewed(identity.client()));
    let mut trust = Trust { components: BTreeMap::new(), nodes };
    let mut public = None;
    for (component, declared) in &options.app.components {
        let Some(CheckTarget::Https { ca, .. }) = declared.check.as_ref().map(|check| &check.target) else { continue };
        let authorities = match ca {
            None => public.get_or_insert_with(Authorities::public).clone(),
            Some(ca) => {
                let path = options.directory.join(ca);
                let pem = std::fs::read(&path).map_err(|source| Error::File { path: path.clone(), source })?;
                Authorities::from_pem(&pem).map_err(|source| Error::Authorities {
                    component: component.clone(),
                    path,
                    source,
                })?
            }
        };
        trust.components.insert(component.clone(), authorities);
    }
    Ok(trust)
}

/// The prober and the task that carries its readings.
#[derive(Debug)]
pub struct Probes {
    prober: Prober<Target>,
    carrier: JoinHandle<()>,
}

impl Probes {
    /// Probes these targets from now on.
    pub fn start(options: &Options, trust: &Trust, targets: Vec<Target>, inputs: &mpsc::Sender<Input>) -> Self {
        let source = options.app.regions[&options.region].address.filter(IpAddr::is_loopback);
        let (mut prober, mut readings) = Prober::new(source, QUEUE);
        for target in targets {
            if let Some((probe, schedule)) = what_to_ask(options, trust, &target) {
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
fn what_to_ask(options: &Options, trust: &Trust, target: &Target) -> Option<(lifeboat_probe::Target, Schedule)> {
    let app = &options.app;
    let address = app.regions.get(&target.region)?.address?;
    let detection = Schedule::new(app.detection.every, app.detection.timeout);
    match &target.what {
        What::Node => {
            let address = SocketAddr::new(address, app.regions[&target.region].api_port);
            let (host, path) = (target.region.to_string(), "/v1/health".to_owned());
            let probe = match &trust.nodes {
                None => lifeboat_probe::Target::Http { address, host, path },
                Some(ca) => lifeboat_probe::Target::Https { address, host, path, ca: ca.clone() },
            };
            Some((probe, detection))
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
                CheckTarget::Https { path, name, .. } => lifeboat_probe::Target::Https {
                    address,
                    host: name.as_ref().map_or_else(|| address.ip().to_string(), ToString::to_string),
                    path: path.clone(),
                    ca: trust.components.get(compute)?.clone(),
                },
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::options::WhenStopped;

    /// `web` listens on port 8443 and is checked so; the node keeps its things in `directory`.
    fn options(check: &str, directory: &Path) -> Options {
        let file = format!(
            "app: shop\nregions: {{a: {{place: aws/eu-north-1, address: 127.0.10.1}}}}\n\
             components: {{web: {{kind: asg, port: 8443, check: {check}}}}}\n"
        );
        let app = lifeboat_model::parse(&file).unwrap_or_else(|problems| panic!("{problems:#?}"));
        Options {
            listen: None,
            app: Arc::new(app),
            region: "a".into(),
            directory: directory.to_owned(),
            tls: lifeboat_tls::Setting::LoopbackOnly,
            when_stopped: WhenStopped::Keep,
            parent: None,
        }
    }

    fn probed(options: &Options) -> lifeboat_probe::Target {
        let trust = read_trust(options, None).unwrap();
        what_to_ask(options, &trust, &Target::compute(&"a".into(), &"web".into())).unwrap().0
    }

    fn authority() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.self_signed(&key).unwrap().pem()
    }

    #[test]
    fn a_check_by_https_asks_for_its_name_or_the_address_and_trusts_its_authorities() {
        let directory = tempfile::tempdir().unwrap();
        let pem = authority();
        let file = directory.path().join("ca.pem");
        std::fs::write(&file, &pem).unwrap();
        let private = Authorities::from_pem(pem.as_bytes()).unwrap();
        let absolute = format!("{{https: /, ca: '{}'}}", file.display());
        for (check, host, path, ca) in [
            ("{https: /healthz}", "127.0.10.1", "/healthz", Authorities::public()),
            ("{https: /, ca: ca.pem, name: shop.example.test}", "shop.example.test", "/", private.clone()),
            (&absolute, "127.0.10.1", "/", private),
        ] {
            let address = SocketAddr::from(([127, 0, 10, 1], 8443));
            let expected = lifeboat_probe::Target::Https { address, host: host.into(), path: path.into(), ca };
            assert_eq!(probed(&options(check, directory.path())), expected, "{check}");
        }
    }

    #[test]
    fn a_file_of_authorities_that_is_of_no_use_is_named() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("empty.pem"), "").unwrap();
        for (file, reason) in [("missing.pem", "No such file"), ("empty.pem", "no certificate")] {
            let options = options(&format!("{{https: /, ca: {file}}}"), directory.path());
            let error = read_trust(&options, None).unwrap_err().to_string();
            let path = directory.path().join(file).display().to_string();
            assert!(error.contains(&path) && error.contains(reason), "{error}");
        }
    }
}
