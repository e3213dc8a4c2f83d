//! The machines of generated nodes on Azure, from their custom data on: what an ARM deployment makes of it (and Terraform too, to the letter)
//! is run as a boot would run it. Certificates come out of a vault over HTTPS with a token of the machine's identity, and into the vault by
//! `hand-out.sh`. Stand-ins are only for what cannot be had here: Azure's two addresses, the command `az`, and `docker`, which runs the
//! programs of the images as they are.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use lifeboat_iac::{Options, Tree};

use super::deployment::Subscription;
use super::machine::{Machine, Network, until};
use super::{Fleet, has, skipped, succeed};

const FILE: &str = r#"
app: shop
regions:
  ireland: {place: azure/northeurope, address: 10.135.0.10, preference: 1}
  netherlands: {place: azure/westeurope, address: 10.155.0.10}
  sweden: {place: azure/swedencentral, address: 10.146.0.10, role: witness}
components:
  web: {kind: vmss, pattern: warm-standby, port: 8080, size: {count: 2, image: an-image}}
failover: {mode: approve}
nodes: {tls: /etc/lifeboat/tls}
store:
  etcd: ["https://node.ireland.shop.internal:2379", "https://node.netherlands.shop.internal:2379", "https://10.146.0.10:2379"]
  ca: /etc/lifeboat/tls/ca.pem
  cert: "/etc/lifeboat/tls/{region}.pem"
  key: "/etc/lifeboat/tls/{region}.key"
"#;

/// Where the vaults answer; the metadata service has an address that is fixed.
const VAULTS: &str = "10.0.0.4";
const METADATA: &str = "169.254.169.254";

/// The metadata service, and the vaults of a directory: a file per vault, with the secret `tls`.
const AZURE: &str = r#"
import http.server, json, os, ssl, sys, threading
folder, certificate = sys.argv[1:3]
class Metadata(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked = self.headers.get("Metadata") == "true" and "resource=https%3A%2F%2Fvault.azure.net" in self.path
        answer(self, 200 if asked and self.path.startswith("/metadata/identity/oauth2/token?") else 400, {"access_token": "a-token"})
class Vault(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.headers.get("Authorization") != "Bearer a-token":
            return answer(self, 401, {})
        secret = os.path.join(folder, self.headers["Host"].removesuffix(".vault.azure.net"))
        if self.path != "/secrets/tls?api-version=7.4" or not os.path.exists(secret):
            return answer(self, 404, {})
        answer(self, 200, {"value": open(secret).read()})
def answer(handler, status, body):
    body = json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
metadata = http.server.ThreadingHTTPServer((sys.argv[3], 80), Metadata)
vaults = http.server.ThreadingHTTPServer((sys.argv[4], 443), Vault)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate)
vaults.socket = context.wrap_socket(vaults.socket, server_side=True)
threading.Thread(target=metadata.serve_forever, daemon=True).start()
print("ready", flush=True)
vaults.serve_forever()
"#;

/// `docker run` and `docker rm`, as far as the boot script uses them.
const DOCKER: &str = r#"#!/bin/sh
set -eu
command=$1; shift
name=; detach=
if [ "$command" = rm ]; then
  shift
  [ ! -f "/run/$1.pid" ] || kill "$(cat "/run/$1.pid")"
  exit 0
fi
while :; do
  case $1 in
    --detach) detach=yes; shift ;;
    --rm) shift ;;
    --name) name=$2; shift 2 ;;
    --env) export "$2"; shift 2 ;;
    --env-file) while IFS= read -r line; do export "$line"; done <"$2"; shift 2 ;;
    --restart|--network|--volume) shift 2 ;;
    -*) echo "docker: $1 is not known here" >&2; exit 1 ;;
    *) break ;;
  esac
done
image=$1; shift
case $image in
  */lifeboat:*) set -- /opt/lifeboat "$@" ;;
  */etcd:*) program=/usr/bin/$1; shift; set -- "$program" "$@" ;;
esac
[ -n "$detach" ] || exec "$@"
"$@" >>"/tmp/$name.service.log" 2>&1 &
echo $! >"/run/$name.pid"
"#;

/// A command that runs until the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    succeed(Command::new("chmod").arg("755").arg(path));
}

/// The machine boots with its custom data, in namespaces of its own that end with it.
fn boot(machine: &Machine, network: &Network, script: &str) -> Running {
    let root = machine.root.display();
    for folder in ["var/lib/cloud/scripts/per-boot", "opt"] {
        std::fs::create_dir_all(machine.root.join(folder)).unwrap();
    }
    std::fs::write(machine.root.join("opt/lifeboat"), "").unwrap();
    std::fs::write(machine.root.join("var/lib/cloud/boot.sh"), script).unwrap();
    let tools = machine.root.join("tools");
    program(&tools.join("docker"), DOCKER);
    program(&tools.join("systemctl"), "#!/bin/sh\nexit 3\n");
    program(&tools.join("systemd-run"), "#!/bin/sh\necho \"$@\" >>/tmp/timers\n");
    let log = std::fs::File::create(machine.root.join("tmp/boot.log")).unwrap();
    let lifeboat = env!("CARGO_BIN_EXE_lifeboat");
    let prepare = format!(
        "set -eu; mount --rbind /usr {root}/usr; mount -t tmpfs none {root}/usr/local; mkdir {root}/usr/local/bin {root}/usr/local/sbin; \
         cp {root}/tools/* {root}/usr/local/bin; mount --bind {lifeboat} {root}/opt/lifeboat; mount -t proc none {root}/proc; \
         mount --rbind /dev {root}/dev; chroot {root} sh /var/lib/cloud/boot.sh; echo booted; exec sleep 600"
    );
    let child = network
        .enter()
        .args(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--", "sh", "-c", &prepare])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin")
        .env("CURL_CA_BUNDLE", "/etc/vaults.pem")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn();
    Running(child.unwrap())
}

fn custom_data(made: &Subscription, region: &str) -> String {
    let ending = format!("/virtualMachineScaleSets/shop-{region}-lifeboat");
    let (_, set) = made.resources.iter().find(|(id, _)| id.ends_with(&ending)).unwrap();
    let data = set["properties"]["virtualMachineProfile"]["osProfile"]["customData"].as_str().unwrap();
    let mut decoder = Command::new("base64").arg("-d").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = decoder.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, data.as_bytes()).unwrap();
    drop(input);
    String::from_utf8(decoder.wait_with_output().unwrap().stdout).unwrap()
}

fn written(tree: &Tree, folder: &Path) {
    for (path, content) in &tree.files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

#[test]
fn machines_on_azure_boot_into_nodes() {
    let test = "machines_on_azure_boot_into_nodes";
    let tools = ["etcd", "etcdctl", "nsenter", "unshare", "ip", "python3", "curl", "openssl"];
    if let Some(tool) = tools.into_iter().find(|tool| !has(tool)) {
        return skipped(test, &format!("{tool} is not installed"));
    }
    let Some(network) = Network::new() else { return skipped(test, "no namespaces here") };
    for address in [VAULTS, METADATA] {
        network.add(address.parse().unwrap());
    }

    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    std::fs::write(at("lifeboat.yaml"), FILE).unwrap();
    let app = lifeboat_model::parse(FILE).unwrap();
    let tree = lifeboat_iac::generate(&app, &Options::default()).unwrap();
    written(&tree, &at("infra"));
    succeed(
        Command::new(env!("CARGO_BIN_EXE_lifeboat"))
            .arg("certs")
            .arg(at("lifeboat.yaml"))
            .arg("--out")
            .arg(at("certs")),
    );
    let made = Subscription::with_file(&app, &tree, FILE);
    assert_eq!(made.mistakes, [] as [String; 0]);

    std::fs::create_dir(at("vaults")).unwrap();
    succeed(
        Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"])
            .args(["-subj", "/CN=vaults", "-addext", "subjectAltName=DNS:*.vault.azure.net", "-out"])
            .arg(at("vaults.pem"))
            .arg("-keyout")
            .arg(at("vaults.key")),
    );
    let both = [at("vaults.pem"), at("vaults.key")].map(|path| std::fs::read_to_string(path).unwrap()).concat();
    std::fs::write(at("both.pem"), both).unwrap();
    std::fs::write(at("azure.py"), AZURE).unwrap();
    let mut azure = network.enter();
    azure.args(["/usr/bin/python3"]).arg(at("azure.py")).arg(at("vaults")).arg(at("both.pem")).args([METADATA, VAULTS]);
    let mut azure = Running(azure.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut ready = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(azure.0.stdout.take().unwrap()), &mut ready).unwrap();
    assert_eq!(ready, "ready\n");

    let vaults: Vec<&str> = made
        .resources
        .values()
        .filter(|one| one["type"] == "Microsoft.KeyVault/vaults")
        .map(|vault| vault["name"].as_str().unwrap())
        .collect();
    let mut hosts: String = vaults.iter().map(|vault| format!("{VAULTS} {vault}.vault.azure.net\n")).collect();
    for resource in made.resources.values().filter(|one| one["type"] == "Microsoft.Network/privateDnsZones/A") {
        let (zone, name) = resource["name"].as_str().unwrap().split_once('/').unwrap();
        let address = resource["properties"]["aRecords"][0]["ipv4Address"].as_str().unwrap();
        hosts += &format!("{address} {name}.{zone}\n");
    }
    let machines: Vec<Machine> = app
        .regions
        .keys()
        .map(|region| {
            let machine = Machine::new(&at("machines").join(region.as_str()), region.as_str(), &hosts);
            std::fs::copy(at("vaults.pem"), machine.root.join("etc/vaults.pem")).unwrap();
            machine
        })
        .collect();
    // A machine of Azure's has an address of its own; that of the app's file it takes when it boots.
    let interface = |region: &str| -> std::net::IpAddr {
        let address = app.regions[region].address.unwrap().to_string();
        format!("{}4", address.strip_suffix("10").unwrap()).parse().unwrap()
    };
    let lines: Vec<Network> = app
        .regions
        .iter()
        .map(|(region, about)| network.line(region.as_str(), interface(region.as_str()), &[about.address.unwrap()]))
        .collect();
    let booting: Vec<Running> = machines
        .iter()
        .zip(&lines)
        .map(|(machine, line)| boot(machine, line, &custom_data(&made, &machine.name)))
        .collect();
    let log = |machine: &Machine| std::fs::read_to_string(machine.root.join("tmp/boot.log")).unwrap_or_default();
    let wait = |what: &str| {
        let said = || machines.iter().all(|machine| log(machine).contains(what));
        until(what, said, || machines.iter().map(&log).collect::<Vec<_>>().join("\n----\n"));
    };
    // Nothing starts without its certificates; hand-out.sh brings them.
    wait("no certificates yet");
    assert!(machines.iter().all(|machine| !machine.root.join("run/lifeboat.pid").exists()));
    program(
        &at("bin/az"),
        "#!/bin/sh\nset -eu\n[ \"$1 $2\" != 'account show' ] || { echo 00000000-0000-0000-0000-000000000001; exit; }\n[ \"$1 $2 $3 $4 $6 $7 $8\" = 'keyvault secret set --vault-name --name tls --file' ]\ncat >\"$VAULTS/$5\"\n",
    );
    let path = format!("{}:{}", at("bin").display(), std::env::var("PATH").unwrap());
    succeed(
        Command::new("sh")
            .arg(at("infra/lifeboat/hand-out.sh"))
            .arg(at("certs"))
            .env("PATH", path)
            .env("VAULTS", at("vaults")),
    );
    wait("booted");

    let interfaces: Vec<std::net::IpAddr> = app.regions.keys().map(|region| interface(region.as_str())).collect();
    let fleet = Fleet { file: at("lifeboat.yaml"), folder, app, machines };
    fleet.eventually("all is well", || fleet.all_is_well(&network));
    // A load balancer's probe asks the machine's own address.
    for interface in interfaces {
        succeed(network.enter().args(["curl", "-sk", "-o", "/dev/null", &format!("https://{interface}:7400/")]));
    }
    for machine in &fleet.machines {
        let timers = std::fs::read_to_string(machine.root.join("tmp/timers")).unwrap();
        assert!(timers.contains("--on-unit-active=1h /usr/local/sbin/lifeboat-certificates"), "{timers}");
        assert!(
            machine.root.join("var/lib/cloud/scripts/per-boot/lifeboat.sh").exists(),
            "it boots the same way again"
        );
    }
    drop(booting);
}
