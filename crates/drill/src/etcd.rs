//! A member of etcd in every region of a drill, killed and started with its region.
//!
//! Members listen on their region's loopback address with etcd's own default timing, and nobody else's data are touched: theirs lie
//! in the run directory.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use hyper::Method;
use lifeboat_model::RegionId;
use lifeboat_model::app::{App, StoreChoice};
use serde::Deserialize;
use tokio::process::{Child, Command};

use crate::http::Connection;
use crate::{Error, clock};

/// Where clients of etcd connect.
pub(crate) const CLIENT_PORT: u16 = 2379;
/// Where its members talk to each other.
pub(crate) const PEER_PORT: u16 = 2380;

/// How long one request to a member may take.
const ASKED_WITHIN: Duration = Duration::from_secs(2);
/// A leader must be where it is wanted within this time.
const LED_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The members' client URLs.
pub(crate) fn endpoints(app: &App) -> Vec<String> {
    addresses(app).map(|(_, address)| format!("http://{}", SocketAddr::new(address, CLIENT_PORT))).collect()
}

fn addresses(app: &App) -> impl Iterator<Item = (&RegionId, IpAddr)> {
    app.regions.iter().filter_map(|(id, region)| Some((id, region.address?)))
}

/// The file's text with the drill's etcd as its store.
///
/// # Errors
/// A file whose `store` is written in a way that cannot be replaced.
pub(crate) fn with_store(text: &str, app: &App) -> Result<String, Error> {
    let endpoints = endpoints(app);
    let line = format!(
        "store: {{etcd: [{}]}}",
        endpoints.iter().map(|url| format!("\"{url}\"")).collect::<Vec<_>>().join(", ")
    );
    let mut lines: Vec<&str> = Vec::new();
    let mut replacing = false;
    for old in text.lines() {
        let starts = old.starts_with("store:");
        let goes_on = replacing && (old.starts_with([' ', '\t']) || old.trim().is_empty());
        replacing = starts || goes_on;
        if !replacing {
            lines.push(old);
        }
    }
    lines.push(&line);
    let text = lines.join("\n") + "\n";
    let same = lifeboat_model::parse(&text).is_ok_and(|mut read| {
        match std::mem::replace(&mut read.store, app.store.clone()) {
            StoreChoice::Etcd(etcd) => etcd.endpoints == endpoints && read == *app,
            StoreChoice::File(_) => false,
        }
    });
    if same {
        Ok(text)
    } else {
        Err(Error::Unsuitable(
            "its `store` could not be replaced by etcd; write `store: lifeboat.db` on a line of its own".into(),
        ))
    }
}

/// Starts the member of a region, with its data in the region's directory below the run's. `setpriv` is that program's command, where
/// the region is. The member ends with this process, however that ends.
///
/// # Errors
/// A directory or log that cannot be made, or no `etcd` on this machine.
pub(crate) fn start(app: &App, region: &RegionId, run: &Path, mut setpriv: Command) -> Result<Child, Error> {
    let data = run.join(region.as_str()).join("etcd");
    std::fs::DirBuilder::new()
        .recursive(true)
        .create(run.join(region.as_str()))
        .map_err(Error::io("cannot make", run))?;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&data).map_err(Error::io("cannot make", &data))?;
    let log = run.join(format!("{region}-etcd.log"));
    let open = || std::fs::OpenOptions::new().create(true).append(true).open(&log);
    let file = open().map_err(Error::io("cannot write", &log))?;
    let same_file = file.try_clone().map_err(Error::io("cannot write", &log))?;
    let url = |address: IpAddr, port| format!("http://{}", SocketAddr::new(address, port));
    let own =
        app.regions[region].address.ok_or_else(|| Error::Unsuitable(format!("region {region} has no address")))?;
    let cluster: Vec<String> =
        addresses(app).map(|(id, address)| format!("{id}={}", url(address, PEER_PORT))).collect();
    // `setpriv` (util-linux) asks the kernel to end etcd with the process that started it: etcd itself would not notice.
    setpriv
        .args([
            "--pdeathsig",
            "KILL",
            "etcd",
            "--name",
            region.as_str(),
            "--logger",
            "zap",
            "--log-level",
            "warn",
            "--data-dir",
        ])
        .arg(&data)
        .args(["--listen-client-urls", &url(own, CLIENT_PORT), "--advertise-client-urls", &url(own, CLIENT_PORT)])
        .args(["--listen-peer-urls", &url(own, PEER_PORT), "--initial-advertise-peer-urls", &url(own, PEER_PORT)])
        .args(["--initial-cluster", &cluster.join(","), "--initial-cluster-state", "new"])
        .args(["--initial-cluster-token", &run.to_string_lossy()])
        .stdin(Stdio::null())
        .stdout(same_file)
        .stderr(file)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(Error::io("cannot start etcd (Debian's package: etcd-server) by", "setpriv"))
}

/// Makes the member of a region the leader: the worst case for that region's loss.
///
/// # Errors
/// A cluster that does not come to it in time, with its last answer.
pub(crate) async fn lead(app: &App, region: &RegionId) -> Result<(), Error> {
    let deadline = clock::now() + LED_WITHIN;
    loop {
        let state = match try_to_lead(app, region).await {
            Ok(true) => return Ok(()),
            Ok(false) => "another member leads".to_owned(),
            Err(why) => why,
        };
        if clock::now() > deadline {
            let what = format!("etcd's leader is in {region}");
            return Err(Error::TimedOut { what, seconds: LED_WITHIN.as_secs(), state, logs: String::new() });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// etcd's JSON gateway writes 64-bit numbers as text.
#[derive(Deserialize)]
struct MemberStatus {
    header: Header,
    leader: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    member_id: String,
}

/// Whether the region's member leads; if not, whoever does is asked to hand over.
async fn try_to_lead(app: &App, region: &RegionId) -> Result<bool, String> {
    let mut wanted = None;
    let mut leading = None;
    for (id, address) in addresses(app) {
        let status: MemberStatus = serde_json::from_slice(&ask(address, "/v3/maintenance/status", "{}").await?)
            .map_err(|error| format!("etcd in {id}: {error}"))?;
        if status.leader.as_ref() == Some(&status.header.member_id) {
            leading = Some((id, address));
        }
        if id == region {
            wanted = Some(status.header.member_id);
        }
    }
    let Some((leader, address)) = leading else { return Err("there is no leader".into()) };
    if leader == region {
        return Ok(true);
    }
    let Some(target) = wanted else { return Err(format!("{region} has no address")) };
    ask(address, "/v3/maintenance/transfer-leadership", &format!("{{\"targetID\": \"{target}\"}}")).await?;
    Ok(false)
}

async fn ask(address: IpAddr, path: &str, body: &str) -> Result<Vec<u8>, String> {
    let address = SocketAddr::new(address, CLIENT_PORT);
    let request = async {
        let mut connection = Connection::open(address, address.to_string()).await?;
        connection.request(Method::POST, path, None, Some(body.as_bytes().to_vec())).await
    };
    match tokio::time::timeout(ASKED_WITHIN, request).await {
        Ok(Ok((status, body))) if status.is_success() => Ok(body.to_vec()),
        Ok(Ok((status, body))) => Err(format!("etcd at {address}: {status} {}", String::from_utf8_lossy(&body))),
        Ok(Err(error)) => Err(format!("etcd at {address}: {error}")),
        Err(_) => Err(format!("etcd at {address} does not answer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_store_is_replaced() {
        let text = "app: shop # ours\nregions:\n  a: {place: local/a, address: 127.0.10.1}\nstore:\n  etcd: [\"http://10.0.0.1:2379\"]\n\ncomponents: {web: {kind: process, run: web}}\n";
        for text in [
            text.to_owned(),
            text.replace("store:\n  etcd: [\"http://10.0.0.1:2379\"]\n\n", "store: x.db\n"),
            text.replace("store:\n  etcd: [\"http://10.0.0.1:2379\"]\n\n", ""),
        ] {
            let app = lifeboat_model::parse(&text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
            let replaced = with_store(&text, &app).unwrap();
            assert!(
                replaced.contains("# ours") && replaced.contains("store: {etcd: [\"http://127.0.10.1:2379\"]}"),
                "{replaced}"
            );
            assert_eq!(replaced.matches("store:").count(), 1, "{replaced}");
        }
        let flow = "{app: shop, regions: {a: {place: local/a, address: 127.0.10.1}}, components: {web: {kind: process, run: web}}, store: x.db}\n";
        let app = lifeboat_model::parse(flow).unwrap_or_else(|problems| panic!("{problems:?}"));
        assert!(matches!(with_store(flow, &app), Err(Error::Unsuitable(_))));
    }
}
