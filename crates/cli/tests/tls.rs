//! Nodes that speak TLS, as they are started and asked for real.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod fleet;
mod place;

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use fleet::{Fleet, told};
use hyper::Method;
use lifeboat_drill::http::Connection;
use lifeboat_model::RegionId;
use lifeboat_tls::make::{Authority, Issued};
use lifeboat_tls::{Connector, Files, Identity};

/// Asks a region's node for a path; the status and the answer.
async fn get(fleet: &Fleet, connector: &Connector, region: &str, path: &str) -> Result<(u16, String), String> {
    let id = RegionId::from(region);
    let at = &fleet.app.regions[&id];
    let address = SocketAddr::new(at.address.unwrap(), at.api_port);
    let asking = async {
        let mut connection = Connection::to_node(connector, address, &id).await?;
        connection.request(Method::GET, path, None, None).await
    };
    match tokio::time::timeout(Duration::from_secs(10), asking).await {
        Ok(Ok((code, body))) => Ok((code.as_u16(), String::from_utf8(body.to_vec()).unwrap())),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer".into()),
    }
}

fn all_up(fleet: &Fleet) -> Option<()> {
    let output = fleet.lifeboat(&["status", "--json"], &[]);
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    status["regions"].as_object()?.values().all(|region| region["health"] == "up").then_some(())
}

#[test]
fn nodes_and_people_speak_tls_and_know_who_is_who() {
    let fleet = Fleet::start("nodes: {tls: certs}\n");
    fleet.eventually("every node sees the others by TLS", || all_up(&fleet));
    let certs = fleet.world.path().join("certs");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let person = Connector::trusting(&certs.join("ca.pem")).unwrap();
        let (code, body) = get(&fleet, &person, "a", "/v1/health").await.unwrap();
        assert_eq!(code, 200, "{body}");
        let (code, body) = get(&fleet, &person, "a", "/v1/peer").await.unwrap();
        assert!(code == 403 && body.contains("it needs a certificate"), "{code} {body}");
        let files = |name: &str| Files {
            ca: certs.join("ca.pem"),
            cert: certs.join(format!("{name}.pem")),
            key: certs.join(format!("{name}.key")),
        };
        let b = Identity::load(&"b".into(), files("b")).unwrap();
        let (code, body) = get(&fleet, &Connector::of(&b), "a", "/v1/peer").await.unwrap();
        assert_eq!((code, body.as_str()), (200, r#"{"region":"b"}"#));
        // A node is not its own peer, and one region's node is not another's.
        let (code, _) = get(&fleet, &Connector::of(&b), "b", "/v1/peer").await.unwrap();
        assert_eq!(code, 403);
        assert!(get(&fleet, &Connector::plain(), "a", "/v1/health").await.is_err(), "nothing is said without TLS");
        let strangers = Authority::new("fleet").unwrap();
        let ca = fleet.world.path().join("strangers.pem");
        fs::write(&ca, &strangers.certificate).unwrap();
        let deceived = Connector::trusting(&ca).unwrap();
        assert!(get(&fleet, &deceived, "a", "/v1/health").await.is_err());
    });
    // The nodes' keys and tokens are in nobody's log.
    let token = fs::read_to_string(fleet.world.path().join("secrets/operator.token")).unwrap();
    let key = fs::read_to_string(certs.join("a.key")).unwrap();
    for region in ["a", "b", "c"] {
        let log = fs::read_to_string(fleet.world.path().join(format!("{region}.log"))).unwrap();
        assert!(!log.is_empty() && !log.contains(token.trim()) && !log.contains(&key[30..70]), "{log}");
    }
}

#[test]
fn a_certificate_that_is_renewed_or_expires_needs_no_restart() {
    let fleet = Fleet::start("nodes: {tls: certs}\n");
    fleet.eventually("every node sees the others", || all_up(&fleet));
    let certs = fleet.world.path().join("certs");
    let authority = Authority::read(&certs.join("ca.pem"), &certs.join("ca.key")).unwrap();
    let address = fleet.app.regions["b"].address;
    let put = |Issued { certificate, key }: Issued| {
        for (name, text) in [("b.key", key), ("b.pem", certificate)] {
            fs::write(certs.join(format!("{name}.new")), text).unwrap();
            fs::rename(certs.join(format!("{name}.new")), certs.join(name)).unwrap();
        }
    };
    let day = Duration::from_secs(24 * 3600);
    put(authority.issue(&"b".into(), address, 10 * day).unwrap());
    fleet.eventually("b warns", || {
        told(&fleet.lifeboat(&["status", "--region", "b"], &[])).contains("b.pem expires in 9 days").then_some(())
    });
    // An expired one: the others see that something is wrong with b, and nobody takes it for gone.
    let past = std::time::SystemTime::now() - 10 * day;
    put(authority.issue_at(&"b".into(), address, past, day).unwrap());
    let text = fleet.eventually("b is told to be expired", || {
        let text = told(&fleet.lifeboat(&["status", "--region", "b"], &[]));
        text.contains("has expired").then_some(text)
    });
    assert!(text.contains("lifeboat certs FILE --renew"), "{text}");
    fleet.eventually("a sees b answer wrongly", || {
        told(&fleet.lifeboat(&["events", "--region", "a"], &[])).contains("b/node answers wrongly").then_some(())
    });
    let text = told(&fleet.lifeboat(&["events", "--region", "a"], &[]));
    assert!(!text.contains("b is down"), "{text}");
    // What the expired message says to do mends it.
    let output = fleet.certs(&["--renew"]);
    assert!(output.status.success(), "{}", told(&output));
    fleet.eventually("all is well again", || all_up(&fleet));
}

#[test]
fn beyond_loopback_a_node_wants_certificates_and_says_how_to_get_them() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lifeboat.yaml");
    let start = |more: &str| {
        let text = format!(
            "app: far\nregions:\n  a: {{place: local/a, address: 192.0.2.1}}\n  b: {{place: local/b, address: 192.0.2.2}}\n\
             components:\n  web: {{kind: process, run: sleep 600}}\nfailover: {{mode: approve}}\n{more}"
        );
        fs::write(&file, text).unwrap();
        let node = Command::new(env!("CARGO_BIN_EXE_lifeboat"))
            .args(["node", "--region", "a"])
            .arg(&file)
            .env_remove("LIFEBOAT_CERTS")
            .output()
            .unwrap();
        assert!(!node.status.success());
        told(&node)
    };
    let refused = start("");
    for word in ["192.0.2.1", "beyond loopback", "lifeboat certs", "tls: none"] {
        assert!(refused.contains(word), "{refused}");
    }
    // The address is nobody's, so that is as far as it gets; but not before the warning.
    let warned = start("nodes: {tls: none}\n");
    assert!(warned.contains("tls: none") && warned.contains("cannot listen on 192.0.2.1"), "{warned}");
    let missing = start("nodes: {tls: certs}\n");
    assert!(missing.contains("certs/ca.pem"), "{missing}");
    let certs = |words: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_lifeboat")).arg("certs").arg(&file).args(words).output().unwrap()
    };
    let made = certs(&[]);
    assert!(made.status.success(), "{}", told(&made));
    assert!(told(&made).contains(&format!("wrote {}", directory.path().join("certs/a.key").display())));
    assert!(start("nodes: {tls: certs}\n").contains("cannot listen on 192.0.2.1"));
    assert!(!start("nodes: {tls: certs}\n").contains("beyond loopback"));
    let again = certs(&[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(told(&again).contains("is there already"), "{}", told(&again));
    // Another region's certificate is not taken.
    fs::copy(directory.path().join("certs/b.pem"), directory.path().join("certs/a.pem")).unwrap();
    let wrong = start("nodes: {tls: certs}\n");
    assert!(wrong.contains("names b, and not the region `a`"), "{wrong}");
}
