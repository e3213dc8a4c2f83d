//! Commands that ask a running node.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use lifeboat_control::audit::{Audit, StoredJournal};
use lifeboat_model::journal::JournalEntry;
use lifeboat_model::status::{Difference, Health, Status};
use lifeboat_model::{App, ComponentId, RegionId};
use lifeboat_plan::{Durations, Intent};
use lifeboat_tls::{Setting, Stream};
use serde::Deserialize;

use crate::command::{Approve, Asked, Done, Events, Plan, PlanIntent, Request, Which};
use crate::exit::Failure;
use crate::{file, local, show};

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same for all of the journal.
const JOURNAL_PATIENCE: Duration = Duration::from_secs(60);

/// The nodes of a file, and how they are asked.
struct Nodes {
    app: App,
    directory: PathBuf,
    region: Option<RegionId>,
    /// The directory of the file, and the one with certificates that was given instead of what the file says.
    base: PathBuf,
    certs: Option<PathBuf>,
}

impl Nodes {
    fn of(path: &Path, asked: &Asked) -> Result<Self, Failure> {
        let app = file::read(path)?;
        if let Some(region) = asked.region.as_ref().filter(|region| !app.regions.contains_key(*region)) {
            let known: Vec<&str> = app.regions.keys().map(RegionId::as_str).collect();
            return Err(Failure::Wrong(format!(
                "lifeboat: the file has no region `{region}`; it has: {}",
                known.join(", ")
            )));
        }
        Ok(Self {
            app,
            directory: local::directory(path, asked.directory.as_ref()),
            region: asked.region.clone(),
            base: file::base(path).to_owned(),
            certs: asked.certs.clone(),
        })
    }

    /// The nodes' addresses, in the order in which they are asked.
    fn addresses(&self) -> Vec<(RegionId, SocketAddr)> {
        self.app
            .regions
            .iter()
            .filter(|(id, _)| self.region.as_ref().is_none_or(|wanted| wanted == *id))
            .filter_map(|(id, region)| Some((id.clone(), SocketAddr::new(region.address?, region.api_port))))
            .collect()
    }

    /// The first answer that any node gives.
    async fn ask(&self, method: Method, path: &str, body: Option<String>) -> Result<(StatusCode, Bytes), Failure> {
        self.ask_within(PATIENCE, method, path, body).await
    }

    async fn ask_within(
        &self,
        patience: Duration,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let token = self.token();
        let mut tried = Vec::new();
        for (region, address) in self.addresses() {
            let setting = Setting::of(&self.app.nodes.tls, &region, &self.base, self.certs.as_deref());
            let connector = setting.connector().map_err(|error| {
                let advice =
                    if self.certs.is_none() { "\n  --certs DIR says where ca.pem lies on this machine" } else { "" };
                Failure::Wrong(format!("lifeboat: {error}{advice}"))
            })?;
            let asking = async {
                let stream = connector
                    .connect(address, &region)
                    .await
                    .map_err(|error| lifeboat_tls::handshake_failure(&error).unwrap_or_else(|| error.to_string()))?;
                exchange(stream, address, method.clone(), path, token.as_deref(), body.clone()).await
            };
            match tokio::time::timeout(patience, asking).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => tried.push(format!("{region} ({address}): {error}")),
                Err(_) => tried.push(format!("{region} ({address}): no answer within {} s", patience.as_secs())),
            }
        }
        Err(Failure::Unreachable(format!("no node answers:\n  {}", tried.join("\n  "))))
    }

    /// The operator's token where this user may read it; looking needs none on loopback.
    fn token(&self) -> Option<String> {
        let path = self.directory.join(lifeboat_node::TOKEN_DIRECTORY).join("operator.token");
        std::env::var("LIFEBOAT_TOKEN")
            .ok()
            .or_else(|| std::fs::read_to_string(path).ok())
            .map(|token| token.trim().to_owned())
    }

    async fn status(&self) -> Result<(Status, Bytes), Failure> {
        let (code, body) = self.ask(Method::GET, "/v1/status", None).await?;
        Ok((read(code, &body)?, body))
    }
}

async fn exchange(
    stream: Stream,
    address: SocketAddr,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: Option<String>,
) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut request = hyper::Request::builder().method(method).uri(path).header("host", address.to_string());
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request =
        request.header("content-type", "application/json").body(Full::new(Bytes::from(body.unwrap_or_default())))?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let code = response.status();
        Ok::<_, hyper::Error>((code, response.into_body().collect().await?.to_bytes()))
    };
    tokio::pin!(connection);
    tokio::select! {
        answer = answer => Ok(answer?),
        ended = &mut connection => Err(ended.err().map_or_else(|| "the connection was closed".into(), Into::into)),
    }
}

#[derive(Deserialize)]
struct Problem {
    error: String,
}

fn read<T: serde::de::DeserializeOwned>(code: StatusCode, body: &Bytes) -> Result<T, Failure> {
    if code.is_success() {
        return serde_json::from_slice(body)
            .map_err(|error| Failure::Failed(format!("an answer that cannot be read: {error}")));
    }
    let why = serde_json::from_slice::<Problem>(body)
        .map_or_else(|_| String::from_utf8_lossy(body).into_owned(), |problem| problem.error);
    Err(Failure::Failed(why))
}

/// `lifeboat status`: 0 where every database is open and has a ready standby that does not drift, and nothing waits for a person; 1 otherwise.
pub async fn status(which: &Which) -> Result<ExitCode, Failure> {
    let (status, body) = Nodes::of(&which.file, &which.asked)?.status().await?;
    if which.asked.json {
        println!("{}", String::from_utf8_lossy(&body));
    } else {
        print!("{}", show::status(&status));
    }
    let well = status.waiting.is_empty()
        && status.regions.values().all(|region| region.health == Health::Up)
        && status.databases.values().all(|database| {
            // One that is not like the others is ready for something else than what runs now.
            let is_alike = |region: &RegionId| !database.drift.contains_key(region);
            database.open
                && database
                    .readiness
                    .iter()
                    .any(|(region, ready)| Some(region) != database.writer.as_ref() && ready.ready && is_alike(region))
        });
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Deserialize, serde::Serialize)]
struct Recorded {
    revision: u64,
    entry: JournalEntry,
}

/// `lifeboat events`
pub async fn events(events: &Events) -> Result<ExitCode, Failure> {
    let nodes = Nodes::of(&events.which.file, &events.which.asked)?;
    if events.verify {
        return verify(&nodes, events).await;
    }
    let mut after = events.after;
    loop {
        let (code, body) = nodes.ask(Method::GET, &format!("/v1/events?after={after}"), None).await?;
        let recorded: Vec<Recorded> = read(code, &body)?;
        after = recorded.last().map_or(after, |last| last.revision);
        if events.which.asked.json && !events.follow {
            println!("{}", String::from_utf8_lossy(&body));
        } else if events.which.asked.json {
            for line in &recorded {
                println!("{}", serde_json::to_string(line).map_err(|error| Failure::Failed(error.to_string()))?);
            }
        } else {
            recorded.iter().for_each(|line| println!("{}", show::entry(&line.entry)));
        }
        if !events.follow {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// `lifeboat events --verify`: 0 where every entry is as it was written, 1 otherwise.
async fn verify(nodes: &Nodes, events: &Events) -> Result<ExitCode, Failure> {
    let noted: Option<Audit> = match &events.against {
        None => None,
        Some(path) => {
            let wrong = |why: String| Failure::Wrong(format!("lifeboat: {}: {why}", path.display()));
            let text = crate::file::bytes(path)?;
            let audit = serde_json::from_slice(&text)
                .map_err(|error| wrong(format!("not what `lifeboat events --verify --json` says: {error}")))?;
            Some(audit)
        }
    };
    let (code, body) = nodes.ask_within(JOURNAL_PATIENCE, Method::GET, "/v1/journal", None).await?;
    let journal: StoredJournal = read(code, &body)?;
    let audit = Audit::of(&journal, noted.as_ref());
    if events.which.asked.json {
        println!("{}", serde_json::to_string_pretty(&audit).map_err(|error| Failure::Failed(error.to_string()))?);
    } else {
        print!("{}", show::audit(&audit, journal.kept));
    }
    Ok(if audit.is_intact() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How things are, as the first node that answers says.
pub async fn seen(file: &Path, asked: &Asked) -> Result<Status, Failure> {
    Ok(Nodes::of(file, asked)?.status().await?.0)
}

/// Tells every node how the regions differ: each keeps it, so that whichever is asked after the loss of the others knows. Returns those that
/// took it. A node that cannot be reached is named; one that refuses is an error, once all the others were told.
pub async fn report(file: &Path, asked: &Asked, differences: &[Difference]) -> Result<Vec<RegionId>, Failure> {
    let all = Nodes::of(file, asked)?;
    let by = std::env::var("USER").unwrap_or_else(|_| "an operator".into());
    let body = serde_json::json!({ "differences": differences, "by": by }).to_string();
    let (mut told, mut refused) = (Vec::new(), None);
    for (region, _) in all.addresses() {
        let one = Nodes { region: Some(region.clone()), ..Nodes::of(file, asked)? };
        let answer = one.ask(Method::POST, "/v1/drift", Some(body.clone())).await;
        match answer.and_then(|(code, answer)| read::<serde_json::Value>(code, &answer)) {
            Ok(_) => told.push(region),
            Err(Failure::Unreachable(why)) => eprintln!("lifeboat: {why}"),
            Err(Failure::Failed(why)) => refused = Some(refused.unwrap_or(Failure::Failed(format!("{region}: {why}")))),
            Err(why) => refused = Some(refused.unwrap_or(why)),
        }
    }
    match refused {
        Some(why) => Err(why),
        None if told.is_empty() => Err(Failure::Unreachable("no node could be told".into())),
        None => Ok(told),
    }
}

/// What a node answers to what it was asked for.
#[derive(Deserialize)]
struct Accepted {
    run: String,
}

/// `lifeboat failover`, `lifeboat switchover`
pub async fn request(request: &Request, verb: &str) -> Result<ExitCode, Failure> {
    let nodes = Nodes::of(&request.which.file, &request.which.asked)?;
    let by = std::env::var("USER").unwrap_or_else(|_| "an operator".into());
    let mut ask = serde_json::json!({ "by": by });
    if let Some(to) = &request.to {
        ask["to"] = to.as_str().into();
    }
    if let Some(database) = &request.database {
        ask["database"] = database.as_str().into();
    }
    if verb == "failover" {
        ask["accept_loss"] = request.accept_loss.into();
        ask["vouch"] = request.vouch.into();
    }
    let (code, body) = nodes.ask(Method::POST, &format!("/v1/{verb}"), Some(ask.to_string())).await?;
    let accepted: Accepted = read(code, &body)?;
    if request.which.asked.json {
        println!("{}", String::from_utf8_lossy(&body));
    } else {
        println!("{verb} accepted: {}\nwatch it with `lifeboat events --follow` and `lifeboat status`", accepted.run);
        // What nobody but a person can do is told at once; a node that is asked in the same moment may not have heard of it yet.
        if let Ok((status, _)) = nodes.status().await {
            print!("{}", show::waiting(&status));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `lifeboat approve`
pub async fn approve(approve: &Approve) -> Result<ExitCode, Failure> {
    let Approve { what, file, asked } = approve;
    let nodes = Nodes::of(file, asked)?;
    let mut ask = serde_json::json!({});
    if let Some(what) = what {
        // A run is named after its database, its epoch and what it is for.
        let database = nodes.app.databases().map(|(id, _)| id.as_str()).find(|id| {
            let epoch = what.strip_prefix(id).and_then(|rest| rest.strip_prefix('-')?.strip_suffix("-failover"));
            what == id || epoch.is_some_and(|epoch| epoch.bytes().all(|byte| byte.is_ascii_digit()))
        });
        ask["database"] = database.unwrap_or(what).into();
    }
    let (code, body) = nodes.ask(Method::POST, "/v1/approve", Some(ask.to_string())).await?;
    let accepted: Accepted = read(code, &body)?;
    if asked.json {
        println!("{}", String::from_utf8_lossy(&body));
    } else {
        println!("approved: {}", accepted.run);
    }
    Ok(ExitCode::SUCCESS)
}

/// `lifeboat done`
pub async fn done(done: &Done) -> Result<ExitCode, Failure> {
    let nodes = Nodes::of(&done.file, &done.asked)?;
    let by = std::env::var("USER").unwrap_or_else(|_| "an operator".into());
    let mut say = serde_json::json!({ "writer": done.writer.as_str(), "by": by });
    if let Some(database) = &done.database {
        say["database"] = database.as_str().into();
    }
    let (code, body) = nodes.ask(Method::POST, "/v1/done", Some(say.to_string())).await?;
    let accepted: Accepted = read(code, &body)?;
    if done.asked.json {
        println!("{}", String::from_utf8_lossy(&body));
    } else {
        println!("{}", accepted.run);
    }
    Ok(ExitCode::SUCCESS)
}

/// `lifeboat plan`
pub async fn plan(plan: &Plan) -> Result<ExitCode, Failure> {
    let nodes = Nodes::of(&plan.which.file, &plan.which.asked)?;
    let app = &nodes.app;
    let database = match &plan.database {
        Some(database) => database.clone(),
        None => only_database(app)?,
    };
    // The running nodes know who writes now; without them the file says who does at first.
    let home = app.components.get(&database).and_then(|component| component.writer.clone());
    let (writer, ready) = match nodes.status().await {
        Ok((status, _)) => {
            let database = status.databases.get(&database);
            (database.and_then(|d| d.writer.clone()).or_else(|| home.clone()), database.map(|d| d.readiness.clone()))
        }
        Err(Failure::Unreachable(_)) => (home.clone(), None),
        Err(other) => return Err(other),
    };
    let intent = match plan.intent {
        PlanIntent::Failover => Intent::Failover,
        PlanIntent::Switchover => Intent::Switchover,
        PlanIntent::Failback => Intent::Failback,
        PlanIntent::Reprotect => Intent::Reprotect,
    };
    let to = match (&plan.to, intent, home) {
        (Some(to), _, _) => to.clone(),
        (None, Intent::Failback, Some(home)) => home,
        (None, _, _) => best_target(&nodes.app, &database, writer.as_ref(), ready.as_ref()).ok_or_else(|| {
            Failure::Failed(format!("no region is ready to take over {database}; name one with --to"))
        })?,
    };
    let made = lifeboat_plan::Plan::build(app, intent, &database, writer.as_ref(), &to, &Durations::default())
        .map_err(|error| Failure::Wrong(format!("lifeboat: {error}")))?;
    if plan.which.asked.json {
        let path = made.critical_path(true);
        let json =
            serde_json::json!({ "plan": made, "outage_ms": path.expected.as_millis(), "critical_path": path.steps });
        println!("{}", serde_json::to_string_pretty(&json).map_err(|error| Failure::Failed(error.to_string()))?);
    } else {
        print!("{}", show::plan(&made, ready.as_ref().and_then(|ready| ready.get(&to))));
    }
    Ok(ExitCode::SUCCESS)
}

fn only_database(app: &App) -> Result<ComponentId, Failure> {
    let all: Vec<&ComponentId> = app.written_databases().map(|(id, _)| id).collect();
    match all.as_slice() {
        [only] => Ok((*only).clone()),
        [] => Err(Failure::Wrong("lifeboat: this app has no database that moves".into())),
        many => {
            let names: Vec<&str> = many.iter().map(|id| id.as_str()).collect();
            Err(Failure::Wrong(format!("lifeboat: which database? --database {}", names.join("|"))))
        }
    }
}

fn best_target(
    app: &App,
    database: &ComponentId,
    writer: Option<&RegionId>,
    ready: Option<&std::collections::BTreeMap<RegionId, lifeboat_model::status::Readiness>>,
) -> Option<RegionId> {
    let component = app.components.get(database)?;
    let copies = component.writer.iter().chain(component.standbys.keys());
    copies
        .filter(|region| Some(*region) != writer)
        .filter(|region| ready.is_none_or(|ready| ready.get(*region).is_some_and(|readiness| readiness.ready)))
        .max_by_key(|region| (app.regions.get(*region).map(|r| r.preference), std::cmp::Reverse((*region).clone())))
        .cloned()
}
