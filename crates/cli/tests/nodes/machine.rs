//! A machine that is a root directory with this machine's programs, and the little of systemd that starting a unit takes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::IpAddr;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Standard output and error.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `met`. A panic says what for, and what `logs` tells by then.
pub fn until(what: &str, mut met: impl FnMut() -> bool, logs: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !met() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}\n{}", logs());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A network in which nothing but its own loopback exists. It ends with the test.
pub struct Network(Child);

impl Network {
    /// `None`: namespaces are not allowed here.
    pub fn new() -> Option<Self> {
        let child = Command::new("unshare").args(["--net", "--", "sleep", "600"]).stderr(Stdio::null()).spawn().ok()?;
        let mut network = Self(child);
        // It is there once the child is no longer in this process's network.
        let own = fs::read_link("/proc/self/ns/net").ok()?;
        let theirs = format!("/proc/{}/ns/net", network.0.id());
        let mut is_refused = false;
        let made_or_refused = || {
            is_refused = network.0.try_wait().is_ok_and(|ended| ended.is_some());
            is_refused || fs::read_link(&theirs).is_ok_and(|theirs| theirs != own)
        };
        until("a network of its own", made_or_refused, String::new);
        if is_refused {
            return None;
        }
        let up = network.enter().args(["ip", "link", "set", "lo", "up"]).output().ok()?;
        up.status.success().then_some(network)
    }

    /// A network of one machine, on a line to this one, which passes on between all that are. `interface`: the address of the machine's
    /// own interface; `addresses`: which it may take besides.
    pub fn line(&self, name: &str, interface: IpAddr, addresses: &[IpAddr]) -> Self {
        let machine = Self::new().unwrap();
        let run = |network: &Self, script: &str| {
            let done = network.enter().args(["sh", "-euc", script]).output().unwrap();
            assert!(done.status.success(), "{script}: {}", said(&done));
        };
        let routes: String = std::iter::once(&interface)
            .chain(addresses)
            .map(|address| format!("ip route add {address}/32 dev {name}; "))
            .collect();
        let id = machine.0.id();
        run(
            self,
            &format!(
                "ip link add {name} type veth peer name eth0 netns {id}; ip link set {name} up; {routes}\
                 echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv4/conf/{name}/proxy_arp"
            ),
        );
        run(
            &machine,
            &format!("ip link set eth0 up; ip address add {interface}/32 dev eth0; ip route add default dev eth0"),
        );
        machine
    }

    /// Gives it an address.
    pub fn add(&self, address: IpAddr) {
        let added =
            self.enter().args(["ip", "address", "add", &format!("{address}/32"), "dev", "lo"]).output().unwrap();
        assert!(added.status.success(), "{}", said(&added));
    }

    /// The beginning of a command in it.
    pub fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.0.id())).arg("--");
        command
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One region's machine.
pub struct Machine {
    pub name: String,
    pub root: PathBuf,
    running: BTreeMap<String, Child>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What the `[Service]` of a unit says.
struct Service(Vec<(String, String)>);

impl Service {
    fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    fn get<'a>(&'a self, key: &'a str) -> Option<&'a str> {
        self.all(key).last()
    }
}

impl Machine {
    pub fn new(root: &Path, name: &str, hosts: &str) -> Self {
        for folder in ["etc", "usr", "proc", "dev", "var/lib", "run", "tmp"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for link in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{link}"), root.join(link)).unwrap();
        }
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        fs::write(root.join("etc/hosts"), format!("127.0.0.1 localhost\n{hosts}")).unwrap();
        fs::write(root.join("etc/nsswitch.conf"), "hosts: files\n").unwrap();
        // Others have to be able to pass through to it.
        for folder in root.ancestors().take(3) {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { name: name.into(), root: root.canonicalize().unwrap(), running: BTreeMap::new() }
    }

    /// A file that can be executed, where only whether it is there matters.
    pub fn pretend(&self, program: &str) {
        let path = self.root.join(program);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn service(&self, unit: &str) -> Service {
        let text = fs::read_to_string(self.root.join("etc/systemd/system").join(unit)).unwrap();
        let body = text.split("[Service]\n").nth(1).unwrap().split("\n[").next().unwrap();
        let lines = body.lines().filter(|line| !line.starts_with('#'));
        Service(
            lines
                .filter_map(|line| line.split_once('='))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    /// The number of a user or group that was installed.
    fn id(&self, file: &str, name: &str) -> u32 {
        let text = fs::read_to_string(self.root.join("etc").join(file)).unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{name}:"))).unwrap();
        line.split(':').nth(2).unwrap().parse().unwrap()
    }

    /// A command of a unit as systemd would run it: in the machine's root, as its user, with its environment.
    fn command(&self, service: &Service, network: &Network, line: &str) -> Command {
        let (user, group) = match (service.get("User"), service.get("DynamicUser")) {
            (Some(user), _) => (self.id("passwd", user), self.id("group", user)),
            (None, Some("true")) => (61_184, 61_184),
            (None, _) => (0, 0),
        };
        let groups: Vec<String> = service
            .all("SupplementaryGroups")
            .map(|name| self.id("group", name).to_string())
            .chain([group.to_string()])
            .collect();
        for (key, parent) in [("StateDirectory", "var/lib"), ("RuntimeDirectory", "run")] {
            for name in service.all(key) {
                let path = self.root.join(parent).join(name);
                fs::create_dir_all(&path).unwrap();
                chown(&path, Some(user), Some(group)).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
            }
        }
        let root = self.root.display();
        let lifeboat = env!("CARGO_BIN_EXE_lifeboat");
        let script = format!(
            "set -eu; mount --rbind /usr {root}/usr; mount -t tmpfs none {root}/usr/local/bin; cp {lifeboat} {root}/usr/local/bin/lifeboat; \
             mount --rbind /proc {root}/proc; mount --rbind /dev {root}/dev; \
             exec chroot --userspec={user}:{group} --groups={} {root} {line}",
            groups.join(",")
        );
        let mut command = network.enter();
        command
            .args(["unshare", "--mount", "--", "sh", "-c", &script])
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/usr/sbin");
        for file in service.all("EnvironmentFile") {
            let path = self.root.join(file.trim_start_matches('-').trim_start_matches('/'));
            if file.starts_with('-') && !path.exists() {
                continue;
            }
            let text = fs::read_to_string(path).unwrap();
            command.envs(text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('=')));
        }
        command.envs(service.all("Environment").filter_map(|assignment| assignment.split_once('=')));
        command
    }

    /// Runs what a unit has to run first.
    pub fn prepare(&self, unit: &str, network: &Network) -> Output {
        let service = self.service(unit);
        let line = service.get("ExecStartPre").unwrap();
        self.command(&service, network, line).output().unwrap()
    }

    /// Starts a unit, again and again as the unit itself asks for until what comes first has succeeded. That asks the other machines, so
    /// what it waits for is their answer.
    pub fn start(&mut self, unit: &str, network: &Network) {
        let service = self.service(unit);
        assert_eq!(service.get("Restart"), Some("always"));
        for line in service.all("ExecStartPre") {
            let deadline = Instant::now() + Duration::from_secs(60);
            loop {
                let prepared = self.command(&service, network, line).output().unwrap();
                if prepared.status.success() {
                    break;
                }
                assert!(Instant::now() < deadline, "{} {unit}: {}", self.name, said(&prepared));
            }
        }
        let log = File::options().create(true).append(true).open(self.log(unit)).unwrap();
        let line = service.get("ExecStart").unwrap();
        let child = self
            .command(&service, network, line)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.running.insert(unit.into(), child);
    }

    /// Runs what a machine of a cloud runs at boot, in a machine of its own in which what it starts ends with the test. `programs` stand for
    /// those of the cloud and of the container runtime; they go before this machine's.
    pub fn boot(&mut self, network: &Network, script: &str, programs: &[(&str, &str)]) {
        for folder in ["cloud", "var/lib/cloud/scripts/per-boot"] {
            fs::create_dir_all(self.root.join(folder)).unwrap();
        }
        fs::write(self.root.join("cloud/user-data"), script).unwrap();
        for (name, text) in programs {
            let path = self.root.join("cloud").join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let root = self.root.display();
        let lifeboat = env!("CARGO_BIN_EXE_lifeboat");
        let enter = format!(
            "set -eu; mount --rbind /usr {root}/usr; for own in bin sbin; do mount -t tmpfs none {root}/usr/local/$own; done; \
             cp {lifeboat} {root}/cloud/* {root}/usr/local/bin/; mount -t proc none {root}/proc; mount --rbind /dev {root}/dev; \
             chroot {root} sh /cloud/user-data; exec sleep 600"
        );
        let log = File::options().create(true).append(true).open(self.log("boot")).unwrap();
        let mut command = network.enter();
        command.args(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--", "sh", "-c", &enter]);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin");
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null()).spawn().unwrap();
        self.running.insert("boot".into(), child);
    }

    pub fn stop(&mut self, unit: &str) {
        let mut child = self.running.remove(unit).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub fn is_running(&mut self, unit: &str) -> bool {
        self.running.get_mut(unit).is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// `etcdctl` on this machine, with the settings that etcd has.
    pub fn etcdctl(&self, network: &Network) -> Command {
        self.command(&self.service("etcd.service"), network, "etcdctl \"$@\"").also_arguments()
    }

    fn log(&self, unit: &str) -> PathBuf {
        self.root.join("tmp").join(format!("{unit}.log"))
    }

    /// What its units have said, the end of it.
    pub fn logs(&self) -> String {
        let mut out = String::new();
        for unit in ["lifeboat.service", "etcd.service", "boot", "lifeboat", "etcd"] {
            let text = fs::read_to_string(self.log(unit)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            out += &format!("---- {} {unit}\n{}\n", self.name, lines[lines.len().saturating_sub(30)..].join("\n"));
        }
        out
    }
}

trait AlsoArguments {
    fn also_arguments(self) -> Self;
}

impl AlsoArguments for Command {
    /// What follows is for `"$@"` of a script given by `sh -c`, whose first argument is its name.
    fn also_arguments(mut self) -> Self {
        self.arg("sh");
        self
    }
}
