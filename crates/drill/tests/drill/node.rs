//! A stand-in for `lifeboat node` that keeps to its contract with a drill: one process per region, its app in a session of
//! its own, an API, a name server, a journal and a state shared through a file. It decides as simply as can be: whoever holds
//! everything claims when the writer's node does not answer three times in a row.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, Record};
use lifeboat_model::database::{DatabaseState, Role};
use lifeboat_model::journal::{EntryKind, JournalEntry};
use lifeboat_model::status::{DatabaseStatus, Readiness, RouteAnswer, RunStatus, Status};
use lifeboat_model::{Epoch, Moment, RegionId};
use serde::{Deserialize, Serialize};

pub const API_PORT: u16 = 7400;
pub const DNS_PORT: u16 = 5300;
pub const APP_PORT: u16 = 8080;
pub const HOST: &str = "shop.example.test";

/// What a scenario says about its nodes; the drill only copies it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Script {
    pub addresses: BTreeMap<RegionId, IpAddr>,
    pub witness: RegionId,
    pub home: RegionId,
    /// How many of the newest orders a failover forgets.
    pub forgets: usize,
    /// A region whose node ends at once.
    pub ends: Option<RegionId>,
}

/// What the nodes share.
#[derive(Default, Serialize, Deserialize)]
struct State {
    epoch: u64,
    writer: Option<RegionId>,
    /// Until then nobody accepts orders: that is the fence.
    open: bool,
    holders: BTreeSet<RegionId>,
    events: Vec<(u64, JournalEntry)>,
    /// Of an epoch, how many orders its successor knows of; all, if it is not here.
    known: BTreeMap<u64, usize>,
    runs: Vec<RunStatus>,
    /// How often the writer's node has been asked since home is back: it trusts home later than the others do.
    asked: usize,
}

/// How often the writer's node says that home is not ready, though the others say that it is.
const DOUBTS: usize = 10;

impl State {
    /// Whether a region's node takes another one for ready.
    fn trusts(&self, judge: &RegionId, region: &RegionId) -> bool {
        self.holders.contains(region) && (self.writer.as_ref() != Some(judge) || self.asked > DOUBTS)
    }
}

/// Changes the shared state. Each version is a file of its own, and a new one is there only if nobody else made it first: a
/// lock could be held by a process that stands still.
fn with_state<T>(directory: &Path, mut change: impl FnMut(&mut State) -> T) -> T {
    let version = |number: u64| directory.join(format!("state.{number}"));
    loop {
        let names = std::fs::read_dir(directory).unwrap().flatten().map(|entry| entry.file_name());
        let newest = names.filter_map(|name| name.to_str()?.strip_prefix("state.")?.parse().ok()).max().unwrap_or(0);
        let before = std::fs::read(version(newest)).unwrap_or_else(|_| b"null".to_vec());
        let mut state: State = serde_json::from_slice::<Option<State>>(&before).unwrap().unwrap_or_default();
        let outcome = change(&mut state);
        let after = serde_json::to_vec(&state).unwrap();
        if after == before {
            return outcome;
        }
        let mut draft = tempfile::NamedTempFile::new_in(directory).unwrap();
        draft.write_all(&after).unwrap();
        if std::fs::hard_link(draft.path(), version(newest + 1)).is_ok() {
            return outcome;
        }
    }
}

/// The orders that were accepted under an epoch, a line each.
fn orders_file(directory: &Path, epoch: u64) -> PathBuf {
    directory.join(format!("orders.{epoch}"))
}

fn orders_of(directory: &Path, epoch: u64) -> Vec<String> {
    let text = std::fs::read_to_string(orders_file(directory, epoch)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn now() -> Moment {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Moment(u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap())
}

impl State {
    fn tell(&mut self, region: &RegionId, kind: EntryKind, epoch: Option<u64>, what: String, why: &str) {
        let number = self.events.len() as u64 + 1;
        let entry = JournalEntry {
            region: region.clone(),
            number,
            unix_ms: 0,
            at: now(),
            kind,
            component: None,
            epoch: epoch.map(Epoch),
            run: None,
            previous: None,
            what,
            why: why.into(),
        };
        self.events.push((number, entry));
    }

    fn claim(&mut self, region: &RegionId, why: &str) {
        self.epoch += 1;
        self.writer = Some(region.clone());
        self.open = false;
        self.tell(region, EntryKind::Claim, Some(self.epoch), format!("epoch {} claimed for orders", self.epoch), why);
    }

    fn accepts_in(&self, region: &RegionId) -> bool {
        self.open && self.writer.as_ref() == Some(region)
    }
}

/// The second half of a claim, after the first one is written down.
fn open(directory: &Path, region: &RegionId) {
    with_state(directory, |state| {
        state.open = true;
        state.tell(region, EntryKind::Open, Some(state.epoch), format!("epoch {} is open", state.epoch), "");
        state.tell(region, EntryKind::Route, None, format!("{HOST} -> {region}"), "it writes");
    });
}

/// `node --region REGION --directory DIRECTORY FILE`
pub fn play(arguments: &[String]) {
    let (region, directory, file) =
        (RegionId::from(arguments[1].as_str()), PathBuf::from(&arguments[3]), &arguments[4]);
    let script: Script = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    if script.ends.as_ref() == Some(&region) {
        eprintln!("this node does not want to");
        std::process::exit(3);
    }
    let address = script.addresses[&region];
    std::fs::create_dir_all(directory.join(region.as_str())).unwrap();
    std::fs::create_dir_all(directory.join("secrets")).unwrap();
    std::fs::write(directory.join("secrets/operator.token"), "sesame\n").unwrap();
    let first = with_state(&directory, |state| {
        let first = state.writer.is_none() && region == script.home;
        if first {
            state.holders = script.addresses.keys().filter(|region| **region != script.witness).cloned().collect();
            state.claim(&region, "it is the file's writer");
        } else {
            // Whoever was away holds everything only after a while.
            state.tell(&region, EntryKind::Node, None, "node started".into(), "");
        }
        first
    });
    if first {
        open(&directory, &region);
    }
    let api = TcpListener::bind((address, API_PORT)).unwrap();
    let (directory_, script_, region_) = (directory.clone(), script.clone(), region.clone());
    std::thread::spawn(move || serve(&api, |request| answer(request, &region_, &directory_, &script_)));
    let dns = UdpSocket::bind((address, DNS_PORT)).unwrap();
    let (directory_, script_) = (directory.clone(), script.clone());
    std::thread::spawn(move || name_server(&dns, &directory_, &script_));
    supervise(&region, &directory, &script);
}

/// Keeps the app running, watches the writer, joins again.
fn supervise(region: &RegionId, directory: &Path, script: &Script) {
    let parent = std::env::var("LIFEBOAT_DRILL_PID").unwrap();
    // A writer that was never well is one that is still starting.
    let (mut failed, mut since_start, mut was_well) = (0, 0, false);
    loop {
        std::thread::sleep(Duration::from_millis(20));
        if !Path::new("/proc").join(&parent).exists() {
            std::process::exit(0);
        }
        if *region == script.witness {
            continue;
        }
        keep_app(region, directory);
        let writer = with_state(directory, |state| state.writer.clone());
        let Some(writer) = writer else { continue };
        if writer == *region {
            failed = 0;
        } else if healthy((script.addresses[&writer], API_PORT).into()) {
            failed = 0;
            was_well = true;
            since_start += 1;
            if since_start == 25 {
                with_state(directory, |state| {
                    if state.holders.insert(region.clone()) {
                        let what = format!("{region} confirms commits of orders");
                        state.tell(&writer, EntryKind::Synchronous, None, what, "it has everything");
                    }
                });
            }
        } else if was_well {
            failed += 1;
            if failed == 3 {
                let claimed = with_state(directory, |state| {
                    let may = state.writer.as_ref() == Some(&writer) && state.holders.contains(region);
                    if may {
                        let what = format!("{writer} is down");
                        state.tell(region, EntryKind::Verdict, None, what, "its node was silent three times");
                        state.holders = BTreeSet::from([region.clone()]);
                        state.claim(region, "it holds everything");
                    }
                    may
                });
                if claimed {
                    // What the old writer accepted until now is there; it accepts nothing any more.
                    count(directory, script);
                    open(directory, region);
                }
            }
        }
        // A writer that was frozen finds that another one has claimed, and begins to follow.
        if with_state(directory, |state| !state.holders.contains(region)) && since_start >= 25 {
            since_start = 0;
        }
    }
}

/// Forgets the newest orders of the epoch before, if the scenario says so.
fn count(directory: &Path, script: &Script) {
    if script.forgets > 0 {
        with_state(directory, |state| {
            let there = orders_of(directory, state.epoch - 1).len();
            state.known.insert(state.epoch - 1, there.saturating_sub(script.forgets));
        });
    }
}

fn healthy(address: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(400))?;
        stream.set_read_timeout(Some(Duration::from_millis(400)))?;
        stream.write_all(b"GET /v1/health HTTP/1.1\r\nconnection: close\r\n\r\n")?;
        let mut first = [0; 12];
        stream.read_exact(&mut first)?;
        Ok::<bool, std::io::Error>(first.ends_with(b"200"))
    };
    ask().unwrap_or(false)
}

/// Starts the app in a session of its own unless the one in the pid file lives.
fn keep_app(region: &RegionId, directory: &Path) {
    let pid_file = directory.join(region.as_str()).join("web.pid");
    let start_of = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<String> = stat[stat.rfind(')')? + 2..].split(' ').map(str::to_owned).collect();
        (fields[0] != "Z").then(|| fields[19].clone())
    };
    let known = std::fs::read_to_string(&pid_file).unwrap_or_default();
    let mut lines = known.lines();
    if let (Some(pid), Some(start)) = (lines.next(), lines.next())
        && start_of(pid).as_deref() == Some(start)
    {
        return;
    }
    // Before it runs: its first order must not be older than the entry.
    with_state(directory, |state| {
        state.tell(region, EntryKind::Compute, None, "web is started".into(), "it was not running")
    });
    let child = Command::new(std::env::var("SHOP").unwrap())
        .args(["app", region.as_str()])
        .arg(directory)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let pid = child.id().to_string();
    std::fs::write(pid_file, format!("{pid}\n{}\n", start_of(&pid).unwrap())).unwrap();
    // Its end is collected, so that it is no zombie for as long as this node lives.
    std::thread::spawn(move || child.wait_with_output());
}

/// `app REGION DIRECTORY`: an order service that accepts orders where writing is.
pub fn play_app(arguments: &[String]) {
    let (region, directory) = (RegionId::from(arguments[0].as_str()), PathBuf::from(&arguments[1]));
    let file = std::fs::read_to_string(directory.join("lifeboat.yaml")).unwrap();
    let script: Script = serde_json::from_str(&file).unwrap();
    let listener = TcpListener::bind((script.addresses[&region], APP_PORT)).unwrap();
    serve(&listener, |request| match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/orders") => {
            let order: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
            let mine = || with_state(&directory, |state| state.accepts_in(&region).then_some(state.epoch));
            let Some(epoch) = mine() else { return (503, "read-only".into()) };
            let mut file = OpenOptions::new().create(true).append(true).open(orders_file(&directory, epoch)).unwrap();
            file.write_all(format!("{}\n", order["id"].as_str().unwrap()).as_bytes()).unwrap();
            // Acknowledged only if nobody has claimed since: whoever claims counts what is there afterwards.
            if mine() == Some(epoch) { (201, String::new()) } else { (503, "no longer the writer".into()) }
        }
        ("GET", "/orders") => {
            let (epoch, known) = with_state(&directory, |state| (state.epoch, state.known.clone()));
            let of = |epoch| {
                let known = known.get(&epoch).copied().unwrap_or(usize::MAX);
                orders_of(&directory, epoch).into_iter().take(known)
            };
            (200, (1..=epoch).flat_map(of).collect::<Vec<_>>().join("\n"))
        }
        _ => (404, String::new()),
    });
}

struct Request {
    method: String,
    path: String,
    authorization: String,
    body: Vec<u8>,
}

/// HTTP/1.1, a thread per connection.
fn serve(listener: &TcpListener, answer: impl Fn(&Request) -> (u16, String) + Sync) {
    std::thread::scope(|scope| {
        for stream in listener.incoming().flatten() {
            let answer = &answer;
            scope.spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut stream = stream;
                while let Some(request) = read_request(&mut reader) {
                    let (status, text) = answer(&request);
                    let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", text.len());
                    if stream.write_all((head + &text).as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut words = line.split(' ').map(str::to_owned);
    let mut request =
        Request { method: words.next()?, path: words.next()?, authorization: String::new(), body: Vec::new() };
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => request.authorization = value.into(),
            _ => {}
        }
    }
    request.body = vec![0; length];
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

fn answer(request: &Request, region: &RegionId, directory: &Path, script: &Script) -> (u16, String) {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    match (request.method.as_str(), path) {
        ("GET", "/v1/health") => (200, String::new()),
        ("GET", "/v1/status") => {
            let status = with_state(directory, |state| {
                if state.writer.as_ref() == Some(region)
                    && state.holders.contains(&script.home)
                    && *region != script.home
                {
                    state.asked = (state.asked + 1).min(DOUBTS + 1);
                }
                status(state, region, script)
            });
            (200, serde_json::to_string(&status).unwrap())
        }
        ("GET", "/v1/events") => {
            let after: u64 = query.strip_prefix("after=").unwrap().parse().unwrap();
            let events = with_state(directory, |state| {
                let new = state.events.iter().filter(|(revision, _)| *revision > after);
                new.map(|(revision, entry)| serde_json::json!({"revision": revision, "entry": entry}))
                    .collect::<Vec<_>>()
            });
            (200, serde_json::to_string(&events).unwrap())
        }
        ("POST", "/v1/switchover") if request.authorization != "Bearer sesame" => (401, "who are you?".into()),
        ("POST", "/v1/switchover") => {
            let asked: BTreeMap<String, RegionId> = serde_json::from_slice(&request.body).unwrap();
            let to = &asked["to"];
            if !with_state(directory, |state| state.trusts(region, to)) {
                return (409, r#"{"error": "not ready"}"#.into());
            }
            let from = with_state(directory, |state| {
                let from = state.writer.clone();
                state.claim(to, "a planned switchover");
                from
            });
            open(directory, to);
            with_state(directory, |state| {
                state.runs.push(RunStatus {
                    id: "run-1".into(),
                    intent: "switchover".into(),
                    database: "orders".into(),
                    from: from.clone(),
                    to: to.clone(),
                    state: "done".into(),
                    steps: Vec::new(),
                });
            });
            (202, r#"{"run": "run-1"}"#.into())
        }
        _ => (404, String::new()),
    }
}

fn status(state: &State, region: &RegionId, script: &Script) -> Status {
    let role = |region: &RegionId| if state.writer.as_ref() == Some(region) { Role::Primary } else { Role::Standby };
    let data = || script.addresses.keys().filter(|region| **region != script.witness);
    let writer = state.writer.iter();
    Status {
        requests: BTreeMap::new(),
        waiting: Vec::new(),
        drift: None,
        warnings: Vec::new(),
        compute: BTreeMap::new(),
        app: "shop".into(),
        region: region.clone(),
        store_reachable: true,
        regions: BTreeMap::new(),
        databases: BTreeMap::from([(
            "orders".into(),
            DatabaseStatus {
                epoch: Epoch(state.epoch),
                writer: state.writer.clone(),
                open: state.open,
                holders: state.holders.clone(),
                lease: None,
                servers: data()
                    .map(|id| (id.clone(), DatabaseState { role: role(id), ..DatabaseState::absent() }))
                    .collect(),
                readiness: data()
                    .map(|id| {
                        (id.clone(), Readiness { ready: state.trusts(region, id), reason: "as it sees it".into() })
                    })
                    .collect(),
                drift: BTreeMap::new(),
            },
        )]),
        routes: BTreeMap::from([(
            HOST.into(),
            RouteAnswer {
                addresses: writer.clone().map(|writer| script.addresses[writer]).collect(),
                ttl_seconds: 0,
                regions: writer.cloned().collect(),
                reason: "it writes".into(),
            },
        )]),
        runs: state.runs.clone(),
    }
}

fn name_server(socket: &UdpSocket, directory: &Path, script: &Script) {
    let mut buffer = [0; 1500];
    while let Ok((length, client)) = socket.recv_from(&mut buffer) {
        let query = Message::from_vec(&buffer[..length]).unwrap();
        let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
        answer.add_queries(query.queries.clone());
        answer.metadata.response_code = ResponseCode::NoError;
        let name = query.queries[0].name().clone();
        if let Some(writer) = with_state(directory, |state| state.writer.clone())
            && let IpAddr::V4(address) = script.addresses[&writer]
        {
            answer.add_answer(Record::from_rdata(name, 0, RData::A(address.into())));
        }
        socket.send_to(&answer.to_vec().unwrap(), client).unwrap();
    }
}
