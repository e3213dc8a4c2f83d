//! A real PostgreSQL server, the real `shop`, and a plain HTTP client for them. All of it ends with the test.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Far beyond what anything here takes, for a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for a condition and says which it was if it never holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        sleep(Duration::from_millis(20));
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_child(child);
    kill_process(pid, signal).expect("the child is not reaped yet");
}

/// A PostgreSQL server in a temporary directory.
pub struct Postgres {
    directory: tempfile::TempDir,
    bin: PathBuf,
    /// The user to run as: PostgreSQL refuses root.
    user: Option<(u32, u32)>,
    address: SocketAddr,
    server: Option<Child>,
}

impl Postgres {
    /// A running server, or `None`, said aloud, where PostgreSQL is not installed.
    pub fn start() -> Option<Self> {
        let Some(bin) = newest_postgres() else {
            let _ = writeln!(std::io::stderr(), "skipped: no PostgreSQL below /usr/lib/postgresql");
            return None;
        };
        let user = rustix::process::geteuid().is_root().then(postgres_user);
        let directory = tempfile::tempdir().unwrap();
        if let Some((uid, gid)) = user {
            chown(directory.path(), Some(uid), Some(gid)).unwrap();
        }
        let mut postgres = Self { directory, bin, user, address: free_address(), server: None };
        let data = postgres.data();
        let mut initdb = postgres.program("initdb");
        let made = initdb.args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync", "-D"]).arg(data).output();
        let made = made.unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        postgres.run();
        Some(postgres)
    }

    /// Starts the server again after [`Self::kill`].
    pub fn run(&mut self) {
        let log = File::options().create(true).append(true).open(self.directory.path().join("log")).unwrap();
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.address.port().to_string()]);
        for setting in ["unix_socket_directories=", "fsync=off", "max_connections=40", "shared_buffers=16MB"] {
            command.args(["-c", setting]);
        }
        command.arg("-c").arg(format!("listen_addresses={}", self.address.ip()));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.server = Some(command.spawn().unwrap());
        eventually("PostgreSQL answers", || self.try_sql("SELECT 1").is_ok());
    }

    /// Ends every process of the server at once, as a crash does.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            // SIGQUIT is PostgreSQL's own word for that: the postmaster takes its children with it.
            signal(&server, Signal::QUIT);
            server.wait().unwrap();
        }
    }

    /// The next start is a standby without a primary: it reads only, until it is promoted.
    pub fn become_standby(&self) {
        let file = self.data().join("standby.signal");
        fs::write(&file, "").unwrap();
        if let Some((uid, gid)) = self.user {
            chown(&file, Some(uid), Some(gid)).unwrap();
        }
    }

    /// Runs SQL; the answer is what psql prints.
    pub fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn try_sql(&self, sql: &str) -> Result<String, String> {
        let output = self.program("psql").args(["-XAtq", "-c", sql, &self.url()]).output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// How to connect.
    pub fn url(&self) -> String {
        format!("postgresql://postgres@{}/postgres", self.address)
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        command.current_dir(self.directory.path()).env("LC_ALL", "C");
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

fn newest_postgres() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(Result::ok).map(|entry| entry.path());
    let version = |path: &Path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest = versions.filter(|path| path.join("bin/initdb").exists()).max_by_key(|path| version(path))?;
    Some(newest.join("bin"))
}

fn postgres_user() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:")).expect("Debian's package makes the user");
    let mut fields = line.split(':').skip(2).map(|field| field.parse().unwrap());
    (fields.next().unwrap(), fields.next().unwrap())
}

/// An address of this test's own, with a port that was free a moment ago.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let process = std::process::id().to_le_bytes();
    let ip = Ipv4Addr::new(127, 64 | (process[1] & 63), process[0], NEXT.fetch_add(1, Ordering::Relaxed));
    TcpListener::bind((IpAddr::V4(ip), 0)).unwrap().local_addr().unwrap()
}

/// A running `shop`.
pub struct Shop {
    process: Child,
    address: SocketAddr,
}

impl Shop {
    /// Starts it; it need not find its database.
    pub fn start(url: &str, deadline: Duration) -> Self {
        let ip = free_address().ip();
        let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
        command.args(["--db", url, "--listen", &format!("{ip}:0"), "--deadline", &deadline.as_millis().to_string()]);
        let mut process = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut messages = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let first = messages.next().unwrap_or_default();
        let address = first.strip_prefix("shop: serving on http://").and_then(|address| address.parse().ok());
        // What it says goes to the test's own output, and its pipe never fills.
        std::thread::spawn(move || messages.for_each(|message| eprintln!("{message}")));
        let Some(address) = address else {
            let _ = process.kill();
            let _ = process.wait();
            panic!("shop said {first:?}");
        };
        Self { process, address }
    }

    /// A request and its answer, complete or an error.
    pub fn try_request(&self, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let head = format!("{method} {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n");
        let length = body.len();
        stream.write_all(
            format!("{head}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes(),
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8(answer).map_err(std::io::Error::other)?;
        let broken = || std::io::Error::other(format!("a broken answer: {answer:?}"));
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(broken)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
        match head.contains("transfer-encoding: chunked") {
            true => Ok((status, dechunk(body).ok_or_else(broken)?)),
            false => Ok((status, body.to_owned())),
        }
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        self.try_request("GET", path, "").unwrap()
    }

    pub fn order(&self, id: &str) -> (u16, String) {
        self.try_request("POST", "/orders", &format!(r#"{{"id": "{id}", "item": "a boat"}}"#)).unwrap()
    }

    /// Asks it to end, and how it did.
    pub fn terminate(&mut self) -> Option<i32> {
        signal(&self.process, Signal::TERM);
        self.process.wait().unwrap().code()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The body of a chunked answer; `None` if it breaks off.
fn dechunk(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix("\r\n")?;
    }
}
