//! The zones that the routes' answers make.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lifeboat_dns::{NameServer, RecordSet, Zone, Zones, group_by_apex};
use lifeboat_model::status::RouteAnswer;
use lifeboat_model::{App, HostName};

/// For how long "no such name" may be kept: a route without an answer is to be found again soon.
const NEGATIVE: Duration = Duration::from_secs(1);
/// For how long the zone's own records may be kept; they change only with the file.
const STEADY: Duration = Duration::from_secs(300);

/// The table that the DNS server serves; every node makes the same from the same state.
pub fn zones(app: &App, answers: &BTreeMap<HostName, RouteAnswer>, serial: u32) -> Result<Arc<Zones>, String> {
    let zones: Vec<Zone> = group_by_apex(app.routes.keys(), &BTreeSet::new())
        .into_iter()
        .map(|(apex, hosts)| Zone {
            name_servers: app
                .regions
                .iter()
                .map(|(region, declared)| NameServer {
                    name: HostName::from(format!("ns-{region}.{apex}")),
                    addresses: declared.address.into_iter().collect(),
                })
                .collect(),
            serial,
            ttl: STEADY,
            negative_ttl: NEGATIVE,
            records: hosts
                .into_iter()
                .map(|host| {
                    let record = match answers.get(&host) {
                        Some(answer) => RecordSet::addresses(
                            Duration::from_secs(u64::from(answer.ttl_seconds)),
                            answer.addresses.iter().copied(),
                        ),
                        None => RecordSet::addresses(Duration::ZERO, []),
                    };
                    (host, record)
                })
                .collect(),
            apex,
        })
        .collect();
    Zones::new(&zones).map(Arc::new).map_err(|error| error.to_string())
}
