//! Who may do what, asked of running nodes: every endpoint with every kind of token; and a failover that two people decide.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod fleet;
mod place;
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod world;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use fleet::{Fleet, told};
use hyper::Method;
use lifeboat_drill::Fault;
use lifeboat_drill::http::Connection;
use lifeboat_model::RegionId;
use world::{Scene, open_in, play};

/// `lifeboat token`, about what lies in a directory.
fn token(directory: &Path, words: &[&str]) -> Output {
    let (verb, rest) = words.split_first().unwrap();
    Command::new(env!("CARGO_BIN_EXE_lifeboat"))
        .args(["token", verb])
        .arg(directory.join("lifeboat.yaml"))
        .arg("--directory")
        .arg(directory)
        .args(rest)
        .output()
        .unwrap()
}

/// Makes a token and returns it.
fn create(directory: &Path, name: &str, role: &str, more: &[&str]) -> String {
    let words = [&["create", "--name", name, "--role", role], more].concat();
    let output = token(directory, &words);
    assert!(output.status.success(), "{}", told(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The status with which a node answers, and what it says.
async fn ask(fleet: &Fleet, token: Option<&str>, method: &Method, path: &str, body: Option<&str>) -> (u16, String) {
    let region = RegionId::from("a");
    let at = &fleet.app.regions[&region];
    let address = SocketAddr::new(at.address.unwrap(), at.api_port);
    let mut connection = Connection::to_node(fleet.world.connector(), address, &region).await.unwrap();
    let body = body.map(|body| body.as_bytes().to_vec());
    let (code, answer) = connection.request(method.clone(), path, token, body).await.unwrap();
    (code.as_u16(), String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn each_role_may_do_what_it_is_for() {
    let fleet = Fleet::start("nodes: {tls: certs}\n");
    fleet.eventually("a node answers", || {
        fleet.lifeboat(&["status", "--region", "a"], &[]).status.code().filter(|code| *code != 3)
    });
    let directory = fleet.world.path().to_owned();
    let viewer = create(&directory, "vera", "viewer", &[]);
    let operator = create(&directory, "olga", "operator", &["--expires", "90d"]);
    let admin = create(&directory, "adam", "admin", &[]);
    let machine = fs::read_to_string(directory.join("secrets/operator.token")).unwrap().trim().to_owned();
    // 400: allowed, and then there is no database to move. 401: who are you? 403: not you.
    let (get, post) = (Method::GET, Method::POST);
    let plain = Some("{}");
    let loss = Some(r#"{"accept_loss": true}"#);
    let vouch = Some(r#"{"vouch": true}"#);
    let table: [(&Method, &str, Option<&str>, [u16; 6]); 14] = [
        //                                      nobody unknown viewer operator admin machine
        (&get, "/v1/health", None, [200; 6]),
        (&get, "/v1/status", None, [200; 6]),
        (&get, "/v1/events", None, [200; 6]),
        (&get, "/v1/journal", None, [200; 6]),
        (&get, "/v1/runs", None, [200; 6]),
        (&get, "/v1/plan?intent=failover&to=b", None, [400; 6]),
        (&get, "/v1/peer", None, [403; 6]),
        (&post, "/v1/failover", plain, [401, 401, 403, 400, 400, 400]),
        (&post, "/v1/switchover", plain, [401, 401, 403, 400, 400, 400]),
        (&post, "/v1/approve", plain, [401, 401, 403, 400, 400, 403]),
        (&post, "/v1/done", Some(r#"{"writer": "b"}"#), [401, 401, 403, 400, 400, 400]),
        (&post, "/v1/failover", loss, [401, 401, 403, 403, 400, 400]),
        (&post, "/v1/failover", vouch, [401, 401, 403, 403, 400, 400]),
        (&post, "/v1/promise", Some(r#"{"from": "b"}"#), [403; 6]),
    ];
    let unknown = format!("lifeboat_{}", "0".repeat(64));
    let tokens = [None, Some(&unknown), Some(&viewer), Some(&operator), Some(&admin), Some(&machine)];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut wrong = Vec::new();
        for (method, path, body, expected) in &table {
            for (token, expected) in tokens.iter().zip(expected) {
                let (code, said) = ask(&fleet, token.map(String::as_str), method, path, *body).await;
                let who = tokens.iter().position(|other| other == token).unwrap();
                if code != *expected {
                    wrong.push(format!("{method} {path} {body:?} by {who}: {code} {said}, expected {expected}"));
                }
                for secret in tokens.iter().flatten() {
                    assert!(!said.contains(secret.as_str()), "{path} says a token");
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let (_, said) = ask(&fleet, Some(&operator), &post, "/v1/failover", loss).await;
        assert!(said.contains("olga has the role operator; this needs the role admin"), "{said}");
        // What is revoked, or has expired, is worth nothing at once.
        assert!(token(&directory, &["revoke", "--name", "olga"]).status.success());
        assert_eq!(ask(&fleet, Some(&operator), &post, "/v1/failover", plain).await.0, 401);
        let file = directory.join("secrets/tokens.json");
        let text = fs::read_to_string(&file).unwrap();
        let expired = text.replacen("\"created\":", "\"expires\": 1,\n      \"created\":", 1);
        assert_ne!(expired, text);
        fs::write(&file, expired).unwrap();
        let (code, said) = ask(&fleet, Some(&viewer), &post, "/v1/failover", plain).await;
        assert!(code == 401 && said.contains("the token of vera has expired"), "{code} {said}");
    });
    let list = told(&token(&directory, &["list"]));
    assert!(list.contains("vera  viewer    EXPIRED") && list.contains("adam  admin"), "{list}");
    let secrets = [&viewer, &operator, &admin, &machine];
    let written =
        ["a.log", "b.log", "c.log", "secrets/tokens.json"].map(|name| fs::read(directory.join(name)).unwrap());
    // With what has not got from its log into the file yet.
    let store: Vec<u8> =
        ["lifeboat.db", "lifeboat.db-wal"].iter().flat_map(|name| fs::read(directory.join(name)).unwrap()).collect();
    for text in written.iter().chain([&store, &list.into_bytes()]) {
        let text = String::from_utf8_lossy(text);
        assert!(secrets.iter().all(|secret| !text.contains(secret.as_str())), "a token was written down");
    }
    for wrong in [["--name", "x", "--role", "king"], ["--name", "a b", "--role", "viewer"]] {
        assert!(!token(&directory, &[&["create"], &wrong[..]].concat()).status.success());
    }
}

/// Runs `lifeboat` about a scene with a token.
fn by(scene: &Scene, token: &str, words: &[&str]) -> Output {
    let (verb, rest) = words.split_first().unwrap();
    let file = scene.world.path().join("lifeboat.yaml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
    command.arg(verb);
    if *verb == "approve" {
        command.arg("--file").arg(file)
    } else {
        command.arg(file)
    };
    command.arg("--certs").arg(scene.world.path().join("certs"));
    command.args(rest).env("LIFEBOAT_TOKEN", token).env("USER", "mallory").output().unwrap()
}

#[test]
fn two_people_decide_a_failover() {
    play(async {
        let scene = Scene::start(
            "\
app: eyes
objectives: {rto: 15s, rpo: 0s}
regions:
  stockholm: {place: local/a, address: 127.N.1.1}
  frankfurt: {place: local/b, address: 127.N.2.1}
  ireland: {place: local/c, address: 127.N.3.1, role: witness}
components:
  orders: {kind: postgres, pattern: warm-standby, writer: stockholm, standbys: {frankfurt: synchronous}}
failover: {mode: approve, approvals: 2}
",
        )
        .await;
        let mut scene = scene;
        let directory = scene.world.path().to_owned();
        let alice = create(&directory, "alice", "operator", &[]);
        let bob = create(&directory, "bob", "operator", &[]);
        scene.world.inject(Fault::RegionLoss, &"stockholm".into()).await;
        let nodes = ["--region", "frankfurt"];
        let machine = fs::read_to_string(directory.join("secrets/operator.token")).unwrap();
        let refused = by(&scene, machine.trim(), &[&["failover", "--to", "frankfurt"], &nodes[..]].concat());
        assert!(told(&refused).contains("lifeboat token create"), "{}", told(&refused));
        scene
            .eventually("alice may ask", async || {
                let asked = by(&scene, &alice, &[&["failover", "--to", "frankfurt"], &nodes[..]].concat());
                asked.status.success().then(|| assert!(told(&asked).contains("lifeboat approve orders")))
            })
            .await;
        let own = by(&scene, &alice, &[&["approve", "orders"], &nodes[..]].concat());
        assert!(!own.status.success() && told(&own).contains("somebody else has to approve"), "{}", told(&own));
        let status = told(&by(&scene, &bob, &[&["status"], &nodes[..]].concat()));
        assert!(status.contains("alice asks for a failover of orders to frankfurt"), "{status}");
        assert_eq!(scene.database("frankfurt").await.unwrap().writer, Some("stockholm".into()));
        let approved = by(&scene, &bob, &[&["approve", "orders-2-failover"], &nodes[..]].concat());
        assert!(approved.status.success(), "{}", told(&approved));
        scene.until("frankfurt has taken over", "frankfurt", |status| open_in(status, "frankfurt")).await;
        let journal = scene.journal().await;
        let why = |what: &str| journal.iter().find(|entry| entry.what.contains(what)).map(|entry| entry.why.clone());
        let claim = why("epoch 2 claimed").unwrap();
        assert!(claim.starts_with("alice asked for it, bob approved it"), "{claim}");
        assert!(journal.iter().all(|entry| !format!("{entry:?}").contains("mallory")), "the token says who it was");
    });
}
