//! A cluster of etcd members on loopback addresses of its own, which ends with the test.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use lifeboat_store::Store;
use lifeboat_store_etcd::{Config, Etcd};

/// Says so aloud where etcd is not installed.
pub fn installed(test: &str) -> bool {
    let found = Command::new("etcd").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        let _ = writeln!(std::io::stderr(), "skipped {test}: etcd is not installed (apt-get install etcd-server)");
    }
    found
}

pub struct Member {
    pub address: Ipv4Addr,
    process: Option<Child>,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Member {
    /// Stops the process without ending it: connections stay open, and nothing answers.
    #[allow(dead_code, reason = "not every test file freezes members")]
    pub fn freeze(&self) {
        let process = rustix::process::Pid::from_child(self.process.as_ref().unwrap());
        rustix::process::kill_process(process, rustix::process::Signal::STOP).unwrap();
    }

    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

pub struct Cluster {
    directory: tempfile::TempDir,
    pub members: Vec<Member>,
    scheme: &'static str,
    options: Vec<String>,
}

impl Cluster {
    /// Starts that many members and waits until they have a leader. `options` are added to each member's command line.
    pub async fn start(size: usize, scheme: &'static str, options: &[String]) -> Self {
        let addresses = (0..size).map(|_| free_address()).collect();
        Self::start_at(addresses, scheme, options, |cluster| cluster.config(0)).await
    }

    /// The same on addresses that were chosen, and known to those who have such a configuration.
    pub async fn start_at(
        addresses: Vec<Ipv4Addr>,
        scheme: &'static str,
        options: &[String],
        config: impl Fn(&Self) -> Config,
    ) -> Self {
        let members = addresses.into_iter().map(|address| Member { address, process: None }).collect();
        let mut cluster = Self { directory: tempfile::tempdir().unwrap(), members, scheme, options: options.to_vec() };
        for number in 0..cluster.members.len() {
            cluster.start_member(number);
        }
        let store = Etcd::new(config(&cluster)).unwrap();
        let begun = Instant::now();
        while let Err(error) = store.list("").await {
            let logged = std::fs::read_to_string(cluster.directory.path().join("0.log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(60), "no cluster: {error}\n{}", last_lines(&logged));
        }
        cluster
    }

    pub fn start_member(&mut self, number: usize) {
        let peer = |address| format!("http://{address}:2380");
        let peers: Vec<String> =
            self.members.iter().enumerate().map(|(n, member)| format!("m{n}={}", peer(member.address))).collect();
        let address = self.members[number].address;
        let client = format!("{}://{address}:2379", self.scheme);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join(format!("{number}.log")))
            .unwrap();
        let process = Command::new("etcd")
            .args(["--name", &format!("m{number}"), "--logger", "zap", "--log-level", "warn"])
            .args(["--heartbeat-interval", "50", "--election-timeout", "500"])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer(address), "--initial-advertise-peer-urls", &peer(address)])
            .args(["--initial-cluster", &peers.join(","), "--initial-cluster-state", "new"])
            .args(["--initial-cluster-token", &self.members[0].address.to_string()])
            .args(&self.options)
            .arg("--data-dir")
            .arg(self.directory.path().join(number.to_string()))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.members[number].process = Some(process);
    }

    /// The member that leads, as the others see it.
    #[allow(dead_code, reason = "not every test file looks for the leader")]
    pub async fn leader(&self) -> usize {
        loop {
            for (number, member) in self.members.iter().enumerate().filter(|(_, member)| member.process.is_some()) {
                let url = format!("{}:2379", member.address);
                let Ok(mut client) = etcd_client::Client::connect([url], None).await else { continue };
                let status = tokio::time::timeout(Duration::from_secs(1), client.status()).await;
                let Ok(Ok(status)) = status else { continue };
                if status.leader() == status.header().unwrap().member_id() {
                    return number;
                }
            }
        }
    }

    /// What a node would be configured with whose own member is the given one.
    pub fn config(&self, own: usize) -> Config {
        let size = self.members.len();
        let url = |number: usize| format!("{}://{}:2379", self.scheme, self.members[number % size].address);
        Config {
            endpoints: (own..own + size).map(url).collect(),
            ca: None,
            cert: None,
            key: None,
            user: None,
            password_file: None,
            space: "lifeboat/test/".into(),
            timeout: Duration::from_secs(3),
        }
    }

    pub fn store(&self, own: usize) -> Arc<Etcd> {
        Arc::new(Etcd::new(self.config(own)).unwrap())
    }
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

/// A loopback address on which etcd's ports are free.
pub fn free_address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(31).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let [_, b, c, d] = number.to_be_bytes();
        let address = Ipv4Addr::new(127, 64 | (b & 63), c, d.clamp(1, 254));
        if [2379, 2380].iter().all(|port| TcpListener::bind((address, *port)).is_ok()) {
            return address;
        }
    }
}
