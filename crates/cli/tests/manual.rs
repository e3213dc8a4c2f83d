//! A region with an Aurora cluster and a bucket, which no node can move: the nodes start, see the region die and say what a person has to do; a person
//! does it, and DNS, steering, compute and the role files follow.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

#[allow(dead_code, reason = "shared with tests that use more of it")]
mod fleet;
mod place;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Output};
use std::time::Duration;

use fleet::{Fleet, told};
use lifeboat_drill::Fault;
use serde_json::{Value as Json, json};

const WEB: &str = "run: python3 -m http.server --bind $ADDRESS 8080, port: 8080, check: {tcp: true}";

fn components() -> String {
    format!(
        "  orders: {{kind: aurora-global, pattern: warm-standby, writer: a, standbys: {{b: asynchronous}}}}\n  \
           pictures: {{kind: s3, pattern: warm-standby, writer: a, standbys: {{b: asynchronous}}}}\n  \
           web: {{kind: process, pattern: pilot-light, needs: [orders, pictures], regions: [a, b], {WEB}}}\n"
    )
}

const MORE: &str = "routes:\n  shop.example.test: {to: web, policy: failover, ttl: 1s}\nnodes: {tls: certs}\n";

fn address(fleet: &Fleet, region: &str) -> IpAddr {
    fleet.app.regions[region].address.unwrap()
}

/// What a region's DNS server answers for the shop; `None`: nothing.
fn resolved(fleet: &Fleet, server: &str) -> Option<IpAddr> {
    let at = address(fleet, server);
    let socket = UdpSocket::bind((at, 0)).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    let mut query = vec![0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["shop", "example", "test"] {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend(label.bytes());
    }
    query.extend([0, 0, 1, 0, 1]); // A, IN
    socket.send_to(&query, SocketAddr::new(at, fleet.app.dns.port)).ok()?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).ok()?;
    assert_eq!(answer[6..8], [0, 1], "one answer");
    // Behind the question: a name, its type, class and time to live, the length, the address.
    let at = query.len() + 12;
    let octets: [u8; 4] = answer[..length].get(at..at + 4)?.try_into().ok()?;
    Some(Ipv4Addr::from(octets).into())
}

/// `lifeboat` about a fleet, of which one node is asked, by whoever may read its secrets.
fn about(fleet: &Fleet, node: &str, words: &[&str]) -> Output {
    by(fleet, None, node, words)
}

/// The same by the owner of a token.
fn by(fleet: &Fleet, token: Option<&str>, node: &str, words: &[&str]) -> Output {
    let (verb, rest) = words.split_first().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
    command.arg(verb);
    let (first, rest) = if *verb == "plan" { rest.split_at(1) } else { rest.split_at(0) };
    command.args(first);
    if *verb == "done" {
        command.arg("--file");
    }
    command.arg(&fleet.file);
    command.arg("--directory").arg(fleet.world.path()).args(["--region", node]).args(rest);
    match token {
        Some(token) => command.env("LIFEBOAT_TOKEN", token),
        None => command.env_remove("LIFEBOAT_TOKEN"),
    };
    command.env("USER", "mallory").output().unwrap()
}

fn operator(fleet: &Fleet, name: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
    command.args(["token", "create"]).arg(&fleet.file).arg("--directory").arg(fleet.world.path());
    let made = command.args(["--name", name, "--role", "operator"]).output().unwrap();
    assert!(made.status.success(), "{}", told(&made));
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

fn status(fleet: &Fleet, node: &str) -> Option<Json> {
    serde_json::from_slice(&about(fleet, node, &["status", "--json"]).stdout).ok()
}

fn web_answers(fleet: &Fleet, region: &str) -> bool {
    TcpStream::connect_timeout(&SocketAddr::new(address(fleet, region), 8080), Duration::from_secs(1)).is_ok()
}

#[test]
fn a_person_moves_what_no_node_can_and_everything_else_follows() {
    let mut fleet = Fleet::set_with(&components(), MORE);
    // The same regions in the cloud whose databases these are, at addresses of this machine.
    let places = [("local/a", "aws/eu-north-1"), ("local/b", "aws/eu-central-1"), ("local/c", "aws/eu-west-1")];
    let text = fs::read_to_string(&fleet.file).unwrap();
    let text = places.iter().fold(text, |text, (from, to)| text.replace(from, to));
    fs::write(&fleet.file, &text).unwrap();
    let clouds = fleet.world.path().join("clouds.yaml");
    let machines = text.replace("kind: process", "kind: asg").replace(WEB, "size: {image: ami-0a1b2c3d4e5f60718}");
    fs::write(&clouds, machines).unwrap();
    let infra = fleet.world.path().join("infra");
    let generated =
        Command::new(env!("CARGO_BIN_EXE_lifeboat")).arg("generate").arg(&clouds).arg("--out").arg(&infra).output();
    assert!(generated.as_ref().unwrap().status.success(), "{}", told(&generated.unwrap()));

    fleet.start_all();
    fleet.eventually("every node answers DNS with the writer's region", || {
        ["a", "b", "c"].iter().all(|node| resolved(&fleet, node) == Some(address(&fleet, "a"))).then_some(())
    });
    fleet.eventually("web runs where the database is written", || web_answers(&fleet, "a").then_some(()));
    assert!(!web_answers(&fleet, "b"));
    let early = about(&fleet, "b", &["switchover", "--database", "pictures", "--to", "b"]);
    assert!(told(&early).contains("pictures needs no move"), "{}", told(&early));
    let alice = operator(&fleet, "alice");
    let unasked = by(&fleet, Some(&alice), "b", &["done", "orders", "--writer", "b"]);
    assert!(told(&unasked).contains("nothing waits for a person to move orders"), "{}", told(&unasked));

    tokio::runtime::Runtime::new().unwrap().block_on(fleet.world.inject(Fault::RegionLoss, &"a".into()));
    let said = fleet.eventually("the status says what waits for a person", || {
        let said = told(&about(&fleet, "b", &["status"]));
        said.contains("WAITS FOR A PERSON  orders in b  since 2").then_some(said)
    });
    for line in [
        "aws rds failover-global-cluster --region eu-central-1 --global-cluster-identifier fleet-orders",
        "--allow-data-loss",
        "\n    lifeboat done orders --writer b\n",
        "a is down: node refused (2 of 2 vantage points: b, c)",
        "orders-2-failover  failover of orders to b: waiting",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert_eq!(about(&fleet, "b", &["status"]).status.code(), Some(1), "something is to be done");
    let plan = told(&about(&fleet, "b", &["plan", "failover", "--database", "orders", "--to", "b"]));
    assert!(plan.contains("and as long as people take for the manual steps"), "{plan}");
    assert!(plan.contains("done when a person says so: `lifeboat done orders --writer b`"), "{plan}");
    // Nothing is done before that.
    let database = status(&fleet, "c").unwrap()["databases"]["orders"].clone();
    assert_eq!((&database["writer"], &database["epoch"]), (&json!("a"), &json!(1)));
    assert_eq!(resolved(&fleet, "b"), Some(address(&fleet, "a")));
    assert!(!web_answers(&fleet, "b"));
    let wrong = about(&fleet, "c", &["done", "orders", "--writer", "c"]);
    assert!(told(&wrong).contains("c keeps no copy of orders; it is in a, b"), "{}", told(&wrong));

    let done = by(&fleet, Some(&alice), "c", &["done", "orders", "--writer", "b"]);
    assert!(done.status.success(), "{}", told(&done));
    assert!(told(&done).contains("orders is written in b under epoch 2"), "{}", told(&done));
    fleet.eventually("DNS turns", || {
        ["b", "c"].iter().all(|node| resolved(&fleet, node) == Some(address(&fleet, "b"))).then_some(())
    });
    fleet.eventually("web starts there", || web_answers(&fleet, "b").then_some(()));
    assert!(!told(&about(&fleet, "b", &["status"])).contains("WAITS FOR A PERSON"));
    let journal = told(&about(&fleet, "b", &["events"]));
    for line in [
        "failover of orders to b waits for a person [epoch 1]  (a is down: node refused (2 of 2 vantage points: b, c))",
        "epoch 2 claimed for orders [epoch 2]  (alice says that orders is written in b, no more in a; it was waited for (orders-2-failover))",
        "web serves clients in b",
    ] {
        assert!(journal.contains(line), "{line}: {journal}");
    }

    // What was generated follows what the nodes say.
    let roles = Command::new(env!("CARGO_BIN_EXE_lifeboat"))
        .arg("roles")
        .arg(&clouds)
        .arg("--out")
        .arg(&infra)
        .arg("--directory")
        .arg(fleet.world.path())
        .args(["--region", "b"])
        .output()
        .unwrap();
    assert!(roles.status.success(), "{}", told(&roles));
    assert!(told(&roles).contains("orders is written in b, was a"), "{}", told(&roles));
    assert!(told(&roles).contains("web serves in b, was a"), "{}", told(&roles));
    assert!(!told(&roles).contains("pictures"), "nobody writes it more than others: {}", told(&roles));

    // The lost region comes back, and stays what it has become.
    fleet.start_node("a");
    fleet.eventually("a answers like the others", || {
        (resolved(&fleet, "a") == Some(address(&fleet, "b"))).then_some(())
    });
    assert!(!web_answers(&fleet, "a"));
}
