//! Who this node is: its certificate read, renewed when its files change, and complained about before it expires.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lifeboat_tls::{Identity, Renewal, Setting};

use crate::complaint::Complaint;
use crate::error::Error;
use crate::options::Options;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often a certificate that will expire is complained about.
const REMIND_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Reads what the file says of TLS. `None`: without.
///
/// # Errors
/// Files that are of no use; and a node beyond loopback of which the file says nothing.
pub fn read(options: &Options, address: IpAddr) -> Result<Option<Arc<Identity>>, Error> {
    match &options.tls {
        Setting::Files(files) => Ok(Some(Arc::new(Identity::load(&options.region, files.clone())?))),
        Setting::LoopbackOnly if address.is_loopback() => Ok(None),
        Setting::LoopbackOnly => Err(Error::Unprotected { region: options.region.clone(), address }),
        Setting::Off => {
            tracing::warn!(
                "`nodes: {{tls: none}}`: whoever can listen on the network reads this node's API, tokens included; \
                 `lifeboat certs` makes certificates"
            );
            Ok(None)
        }
    }
}

/// Looks at the files for as long as the node runs.
pub async fn keep(identity: Arc<Identity>) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    let complaint = Complaint::default();
    let mut reminded: Option<tokio::time::Instant> = None;
    loop {
        let now = look.tick().await;
        match identity.renew() {
            Renewal::Unchanged => {}
            Renewal::Renewed => {
                complaint.is_settled();
                tracing::info!("new certificates are used from now on");
                reminded = None;
            }
            Renewal::Unusable(error) => {
                complaint.warn(&format!("new certificates cannot be used, the old ones are used on: {error}"));
            }
        }
        if reminded.is_none_or(|at| now.duration_since(at) >= REMIND_EVERY) {
            reminded = Some(now);
            for warning in identity.warnings(SystemTime::now()) {
                tracing::warn!("{warning}");
            }
        }
    }
}
