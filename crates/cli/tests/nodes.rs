//! The generated nodes, started as their units say: certificates from `lifeboat certs`, etcd from the distribution, installed by the
//! generated script into a root directory per region, in a network of their own in which the file's addresses exist.
//!
//! Only root can do that; elsewhere it says `SKIPPED`.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

#[path = "nodes/azure.rs"]
mod azure;
#[path = "../../iac/tests/common/boot.rs"]
#[allow(dead_code, reason = "each test crate uses its part")]
mod boot;
#[allow(dead_code, reason = "the tests of the templates use more of it")]
#[path = "../../iac/tests/arm/deployment.rs"]
mod deployment;
#[path = "../../iac/tests/arm/expression.rs"]
mod expression;
#[path = "nodes/machine.rs"]
mod machine;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lifeboat_model::App;
use lifeboat_model::status::{Health, Status};
use machine::{Machine, Network, said, until};

fn skipped(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped {test}: {why}");
}

fn has(program: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join(program).is_file())
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn succeed(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{command:?}\n{}", said(&output));
    said(&output)
}

/// Two regions whose nodes supervise something, as root, and one that only votes, as a user of its own.
const FILE: &str = r#"
app: shop
regions:
  stockholm: {place: local/a, address: 10.19.0.10}
  frankfurt: {place: local/b, address: 10.17.0.10}
  ireland: {place: local/c, address: 10.22.0.10, role: witness}
components:
  web: {kind: process, run: sleep 600, port: 8080}
routes:
  shop.example.com: {to: web}
"#;

/// The end of both files: two members of the store by name, one by address.
const STORE: &str = r#"
nodes: {tls: /etc/lifeboat/tls}
store:
  etcd: ["https://node.stockholm.shop.internal:2379", "https://node.frankfurt.shop.internal:2379", "https://10.22.0.10:2379"]
  ca: /etc/lifeboat/tls/ca.pem
  cert: "/etc/lifeboat/tls/{region}.pem"
  key: "/etc/lifeboat/tls/{region}.key"
"#;

/// An app with its generated nodes and its certificates, and a machine per region on which they are installed.
struct Fleet {
    folder: tempfile::TempDir,
    file: PathBuf,
    app: App,
    machines: Vec<Machine>,
}

impl Fleet {
    fn of_example(example: &str) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../examples/{example}.yaml"));
        Self::install(&std::fs::read_to_string(source).unwrap())
    }

    fn install(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lifeboat.yaml");
        std::fs::write(&file, text).unwrap();
        let app = lifeboat_model::parse(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let lifeboat = || Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        let infra = folder.path().join("infra");
        let certs = folder.path().join("certs");
        succeed(lifeboat().arg("generate").arg(&file).arg("--out").arg(&infra));
        succeed(lifeboat().arg("certs").arg(&file).arg("--out").arg(&certs));
        let hosts: String = app
            .regions
            .iter()
            .map(|(id, region)| format!("{} node.{id}.{}.internal\n", region.address.unwrap(), app.name))
            .collect();
        let machines = app
            .regions
            .keys()
            .map(|region| {
                let machine =
                    Machine::new(&folder.path().join("machines").join(region.as_str()), region.as_str(), &hosts);
                let script = infra.join("lifeboat").join(region.as_str()).join("install.sh");
                succeed(Command::new("sh").arg(script).arg(&file).arg(&certs).env("ROOT", &machine.root));
                machine
            })
            .collect();
        Self { folder, file, app, machines }
    }

    /// What a region's node says of the world.
    fn status(&self, network: &Network, region: &str) -> Option<Status> {
        let machine = self.machines.iter().find(|machine| machine.name == region).unwrap();
        let output = run(network
            .enter()
            .arg(env!("CARGO_BIN_EXE_lifeboat"))
            .arg("status")
            .arg(&self.file)
            .args(["--json", "--region", region])
            .arg("--certs")
            .arg(self.folder.path().join("certs"))
            .arg("--directory")
            .arg(machine.root.join("var/lib/lifeboat")));
        serde_json::from_slice(&output.stdout).ok()
    }

    fn eventually(&self, what: &str, met: impl FnMut() -> bool) {
        until(what, met, || self.machines.iter().map(Machine::logs).collect::<Vec<_>>().join("\n"));
    }

    /// Every node reaches the store and sees every other.
    fn all_is_well(&self, network: &Network) -> bool {
        self.app.regions.keys().all(|region| {
            self.status(network, region.as_str()).is_some_and(|status| {
                status.store_reachable && status.regions.values().all(|region| region.health == Health::Up)
            })
        })
    }
}

/// A network to start nodes in; `None`, and said: not here.
fn isolated(test: &str) -> Option<Network> {
    let tools = ["etcd", "etcdctl", "nsenter", "unshare", "systemd-sysusers", "ip"];
    if let Some(tool) = tools.into_iter().find(|tool| !has(tool)) {
        skipped(test, &format!("{tool} is not installed"));
        return None;
    }
    let network = Network::new();
    if network.is_none() {
        skipped(test, "no namespaces here");
    }
    network
}

#[test]
fn generated_nodes_start_and_find_each_other() {
    let test = "generated_nodes_start_and_find_each_other";
    let Some(network) = isolated(test) else { return };
    let mut fleet = Fleet::install(&format!("{FILE}{STORE}"));
    for region in fleet.app.regions.values() {
        network.add(region.address.unwrap());
    }
    // Nodes before etcd: one that starts while the state store is lost has to.
    for machine in &mut fleet.machines {
        machine.start("lifeboat.service", &network);
    }
    for machine in &mut fleet.machines {
        machine.start("etcd.service", &network);
    }
    fleet.eventually("all is well", || fleet.all_is_well(&network));

    // Whoever has no certificate is no client of the state store; the node's API is served by TLS, steering endpoints to all.
    let url = "https://10.22.0.10:2379";
    let ca = fleet.folder.path().join("certs/ca.pem");
    let ctl = |more: &[PathBuf; 2]| {
        let mut command = fleet.machines[0].etcdctl(&network);
        command.env_remove("ETCDCTL_CERT").env_remove("ETCDCTL_KEY").env("ETCDCTL_ENDPOINTS", url);
        if more[0].exists() {
            command
                .env("ETCDCTL_CERT", "/etc/lifeboat/tls/frankfurt.pem")
                .env("ETCDCTL_KEY", "/etc/lifeboat/tls/frankfurt.key");
        }
        run(command.args(["get", "lifeboat/shop/", "--prefix", "--keys-only"]))
    };
    let none = [PathBuf::from("/nonexistent"), PathBuf::from("/nonexistent")];
    assert!(!ctl(&none).status.success(), "without a certificate");
    let with = ctl(&[ca.clone(), ca.clone()]);
    assert!(
        with.status.success() && String::from_utf8_lossy(&with.stdout).contains("lifeboat/shop/"),
        "{}",
        said(&with)
    );
    if has("curl") {
        let answer = succeed(
            network.enter().args(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert"]).arg(&ca).args([
                "--resolve",
                "stockholm:7400:10.19.0.10",
                "https://stockholm:7400/v1/steering/shop.example.com/stockholm",
            ]),
        );
        assert!(["200", "503"].contains(&answer.as_str()), "{answer}");
    }

    // A machine with an empty disk takes the place of one that was lost.
    let members = |fleet: &Fleet| said(&run(fleet.machines[0].etcdctl(&network).args(["member", "list"])));
    let before = members(&fleet);
    assert_eq!(before.matches(", started,").count(), 3, "{before}");
    let lost = fleet.machines.iter_mut().find(|machine| machine.name == "stockholm").unwrap();
    lost.stop("etcd.service");
    std::fs::remove_dir_all(lost.root.join("var/lib/etcd")).unwrap();
    lost.start("etcd.service", &network);
    fleet.eventually("the new member is in", || {
        let now = members(&fleet);
        now.matches(", started,").count() == 3 && now != before
    });
    fleet.eventually("all is well again", || fleet.all_is_well(&network));

    // A member that was lost never begins a cluster of its own while others answer.
    let [first, second, third] = &mut fleet.machines[..] else { unreachable!("three regions") };
    for lost in [&mut *second, &mut *third] {
        lost.stop("etcd.service");
        std::fs::remove_dir_all(lost.root.join("var/lib/etcd")).unwrap();
    }
    assert!(first.is_running("etcd.service"));
    for lost in [second, third] {
        let refused = lost.prepare("etcd.service", &network);
        assert!(!refused.status.success(), "{}", said(&refused));
    }
}

/// The same on machines of AWS: what they run at boot, as the template of CloudFormation has it; Terraform's is the same to the line.
const ON_AWS: &str = r#"
app: shop
regions:
  stockholm: {place: aws/eu-north-1, address: 10.19.0.10}
  frankfurt: {place: aws/eu-central-1, address: 10.17.0.10}
  ireland: {place: aws/eu-west-1, address: 10.22.0.10, role: witness}
components:
  web: {kind: asg, pattern: warm-standby, port: 8080, size: {count: 2, image: ami-0a1b2c3d4e5f60718}}
routes:
  shop.example.com: {to: web}
"#;

/// What the cloud and the container runtime do for a machine: answer with its file and certificates, give it addresses, run a program with the
/// environment that was asked for.
const CLOUD: [(&str, &str); 7] = [
    (
        "aws",
        "#!/bin/sh\ncase \"$*\" in\n*get-parameter*) cat /cloud/lifeboat.yaml ;;\n*get-secret-value*) cat /cloud/tls ;;\n*) echo \"$@\" >>/cloud/asked ;;\nesac\n",
    ),
    (
        "curl",
        "#!/bin/sh\ncase \"$*\" in\n*/mac) echo 00:00:00:00:00:00 ;;\n*/interface-id) echo eni-1 ;;\n*) echo token ;;\nesac\n",
    ),
    // There is no way out of this network, so no route out of it.
    (
        "ip",
        "#!/bin/sh\ncase \"$*\" in\n*route\\ show*) echo default via 10.0.0.1 ;;\n*route*) ;;\n*) exec /usr/sbin/ip \"$@\" ;;\nesac\n",
    ),
    ("systemctl", "#!/bin/sh\n"),
    ("systemd-run", "#!/bin/sh\n"),
    ("dnf", "#!/bin/sh\n"),
    ("docker", include_str!("nodes/docker.sh")),
];

#[test]
fn machines_on_aws_start_their_nodes() {
    let test = "machines_on_aws_start_their_nodes";
    let Some(network) = isolated(test) else { return };
    let file = format!("{ON_AWS}{STORE}");
    let mut fleet = Fleet::install(&file);
    let template = std::fs::read_to_string(fleet.folder.path().join("infra/cloudformation/regional.yaml")).unwrap();
    let certs = fleet.folder.path().join("certs");
    for machine in &mut fleet.machines {
        // Nothing of what the other way of installing a node put there.
        std::fs::remove_dir_all(machine.root.join("etc/lifeboat")).unwrap();
        let region = &fleet.app.regions[machine.name.as_str()];
        let cloud = machine.root.join("cloud");
        std::fs::create_dir_all(&cloud).unwrap();
        std::fs::write(cloud.join("lifeboat.yaml"), &file).unwrap();
        let packed = succeed(
            Command::new("sh")
                .args(["-c", "tar -C \"$0\" -c ca.pem \"$1.pem\" \"$1.key\" | base64 | tr -d '\\n'"])
                .arg(&certs)
                .arg(&machine.name),
        );
        std::fs::write(cloud.join("tls"), packed).unwrap();
        machine.boot(&network, &boot::of_cloudformation(&template, &region.place.name, "eipalloc-1"), &CLOUD);
    }
    fleet.eventually("all is well", || fleet.all_is_well(&network));
    for machine in &fleet.machines {
        let asked = std::fs::read_to_string(machine.root.join("cloud/asked")).unwrap();
        let address = fleet.app.regions[machine.name.as_str()].address.unwrap();
        for wanted in [
            format!("--private-ip-addresses {address} --allow-reassignment"),
            format!("--allocation-id eipalloc-1 --network-interface-id eni-1 --private-ip-address {address}"),
        ] {
            assert!(asked.contains(&wanted), "{}: {asked}", machine.name);
        }
    }
}

/// What systemd itself says of every generated unit.
#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let test = "systemd_finds_nothing_wrong_with_the_units";
    if let Some(tool) = ["systemd-analyze", "systemd-sysusers"].into_iter().find(|tool| !has(tool)) {
        return skipped(test, &format!("{tool} is not installed"));
    }
    if !rustix::process::geteuid().is_root() {
        return skipped(test, "only root can install");
    }
    // Exposure by systemd's own scale, in tenths: below 20 is `OK` for it, and a unit that drops nothing has 96. A node that starts servers as other
    // users has to keep the right to do so.
    for (example, exposure) in [("aws/warm-standby", "20"), ("local/lifeboat", "65")] {
        let fleet = Fleet::of_example(example);
        for machine in &fleet.machines {
            for program in ["usr/local/bin/lifeboat", "usr/bin/etcd", "usr/bin/sh"] {
                machine.pretend(program);
            }
            let own = machine.root.join("usr/lib/systemd");
            std::fs::create_dir_all(&own).unwrap();
            succeed(Command::new("cp").args(["-r", "/usr/lib/systemd/system"]).arg(&own));
            let units = machine.root.join("etc/systemd/system");
            let names: Vec<String> = std::fs::read_dir(&units)
                .unwrap()
                .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
                .filter(|name| name.ends_with(".service"))
                .collect();
            assert!(names.contains(&"lifeboat.service".to_owned()));
            for name in names {
                let analyze = |words: &[&str]| {
                    run(Command::new("systemd-analyze")
                        .arg(format!("--root={}", machine.root.display()))
                        .args(words)
                        .arg(&name))
                };
                let verified = analyze(&["verify", "--man=no"]);
                let text: Vec<String> =
                    said(&verified).lines().filter(|line| line.contains(&name)).map(str::to_owned).collect();
                assert!(text.is_empty(), "{example} {}: {text:#?}", machine.name);
                let security = analyze(&["security", "--offline=true", &format!("--threshold={exposure}")]);
                assert!(security.status.success(), "{example} {}: {}", machine.name, said(&security));
            }
        }
    }
}
