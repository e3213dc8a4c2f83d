//! The PostgreSQL probe against a real server: alive, standing still, gone.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use lifeboat_probe::{Evidence, Target, probe_once};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
const PATIENCE: Duration = Duration::from_secs(30);

struct Postgres {
    directory: TempDir,
    address: SocketAddr,
    child: Child,
}

impl Postgres {
    /// `None`, aloud, where it is not installed.
    fn start() -> Option<Self> {
        if !Path::new(PROGRAMS).join("postgres").exists() {
            let _ = writeln!(std::io::stderr(), "skipped: no PostgreSQL in {PROGRAMS}");
            return None;
        }
        let directory = TempDir::new().unwrap();
        let data = directory.path().join("data");
        if let Some((user, group)) = postgres_user() {
            chown(directory.path(), Some(user), Some(group)).unwrap();
        }
        let mut initdb = command("initdb", directory.path());
        initdb.args(["--no-sync", "--auth=reject", "--pgdata"]).arg(&data);
        assert!(initdb.stdout(std::process::Stdio::null()).status().unwrap().success());
        let host = Ipv4Addr::new(127, 0, 54, 32);
        let address = TcpListener::bind((host, 0)).unwrap().local_addr().unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        let child = command("postgres", directory.path())
            .arg("-D")
            .arg(&data)
            .args(["-c", &format!("listen_addresses={host}"), "-c", &format!("port={}", address.port())])
            .args(["-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "logging_collector=off"])
            .stderr(log)
            .spawn()
            .unwrap();
        Some(Self { directory, address, child })
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    async fn seen(&self, limit: Duration) -> Evidence {
        probe_once(&Target::Postgres { address: self.address }, None, limit).await
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Already gone is fine, too.
        let _ = kill_process(Pid::from_child(&self.child), Signal::QUIT);
        let _ = kill_process(Pid::from_child(&self.child), Signal::CONT);
        let _ = self.child.wait();
    }
}

/// PostgreSQL refuses to run as root: then it runs as its own user.
fn command(program: &str, directory: &Path) -> Command {
    let mut command = Command::new(Path::new(PROGRAMS).join(program));
    command.current_dir(directory).env("LC_ALL", "C");
    if let Some((user, group)) = postgres_user() {
        command.uid(user).gid(group);
    }
    command
}

fn postgres_user() -> Option<(u32, u32)> {
    if !geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let fields: Vec<&str> = users.lines().find(|line| line.starts_with("postgres:")).unwrap().split(':').collect();
    Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
}

/// Waits until the server has started.
async fn started(server: &Postgres) {
    let begun = std::time::Instant::now();
    while !server.log().contains("ready to accept connections") {
        assert!(begun.elapsed() < PATIENCE, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_server_lives_stands_still_and_dies() {
    let Some(mut server) = Postgres::start() else { return };
    started(&server).await;
    let answers = Evidence::Ok { detail: "answers, without TLS".into() };
    assert_eq!(server.seen(PATIENCE).await, answers);

    server.signal(Signal::STOP);
    assert_eq!(server.seen(Duration::from_millis(200)).await, Evidence::Silent, "the kernel still accepts");
    let connected = probe_once(&Target::Tcp { address: server.address }, None, PATIENCE).await;
    assert_eq!(connected, Evidence::Ok { detail: "connected".into() }, "which is all that a TCP probe sees");
    server.signal(Signal::CONT);
    assert_eq!(server.seen(PATIENCE).await, answers);

    server.signal(Signal::QUIT);
    server.child.wait().unwrap();
    assert_eq!(server.seen(PATIENCE).await, Evidence::Refused);
}

/// The log is read when the server has ended, for it answers a probe before it would complain of it.
#[tokio::test]
async fn probes_leave_no_trace_in_the_log() {
    let Some(mut server) = Postgres::start() else { return };
    started(&server).await;
    for _ in 0..20 {
        assert!(matches!(server.seen(PATIENCE).await, Evidence::Ok { .. }));
    }
    server.signal(Signal::STOP);
    assert_eq!(server.seen(Duration::from_millis(100)).await, Evidence::Silent);
    server.signal(Signal::CONT);
    // A smart shutdown waits for every process that serves a connection.
    server.signal(Signal::TERM);
    server.child.wait().unwrap();
    let log = server.log();
    let after: Vec<&str> = log.lines().skip_while(|line| !line.contains("ready to accept")).skip(1).collect();
    let expected =
        ["received smart shutdown", "logical replication launcher", "shutting down", "checkpoint", "shut down"];
    let of_probes: Vec<_> = after.iter().filter(|line| !expected.iter().any(|part| line.contains(part))).collect();
    assert!(!after.is_empty() && of_probes.is_empty(), "{of_probes:#?}");
}
