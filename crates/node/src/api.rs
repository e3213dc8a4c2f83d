//! The node's JSON API: how things are, what happened, and what a person may ask for.
//!
//! | | needs |
//! |---|---|
//! | `GET /v1/health`, and the steering endpoints | nothing |
//! | `GET /v1/status`, `/v1/events`, `/v1/journal`, `/v1/runs`, `/v1/plan` | on loopback nothing, beyond it a viewer |
//! | `POST /v1/failover`, `/v1/switchover`, `/v1/drift` | an operator |
//! | the same with `accept_loss` or `vouch` | an admin |
//! | `POST /v1/approve` | an operator with a token of their own |
//! | `POST /v1/done` | an operator where it is waited for, an admin otherwise |
//! | `GET /v1/peer`, `POST /v1/promise` | another region's certificate; without TLS the nodes' token |

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{ConnectInfo, FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use lifeboat_control::audit::{StoredEntry, StoredJournal};
use lifeboat_control::promise::Question;
use lifeboat_control::record::{self, Request};
use lifeboat_model::journal::JournalEntry;
use lifeboat_model::state::Revision;
use lifeboat_model::status::{Difference, Drift, Status};
use lifeboat_model::{App, ComponentId, RegionId};
use lifeboat_plan::{Intent, Plan};
use lifeboat_store::Store;
use lifeboat_tls::Identity;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::door::{Caller, Door};
use crate::drift::Told;
use crate::history::History;
use crate::mind::{Input, Moved};
use crate::tokens::{Role, Tokens, is_same};
use crate::{peers, steering};

/// What the handlers share.
pub struct Api {
    /// The app.
    pub app: Arc<App>,
    /// This node's region.
    pub region: RegionId,
    /// To the brain's task.
    pub inputs: mpsc::Sender<Input>,
    /// For the journal.
    pub store: Arc<dyn Store>,
    /// What steps have taken here.
    pub history: Arc<History>,
    /// How the regions were last seen to differ.
    pub drift: Told,
    /// What every route answers.
    pub answers: steering::Answers,
    /// The machine's own token, for whoever may read its secrets: allows everything.
    pub operator: String,
    /// People's tokens.
    pub tokens: Tokens,
    /// What other nodes show.
    pub node: String,
    /// Allows to look; `None`: everybody who can connect may.
    pub viewer: Option<String>,
    /// This node's certificate, if it speaks TLS.
    pub identity: Option<Arc<Identity>>,
}

/// Serves until `stop` is ready.
pub async fn serve(door: Door, api: Arc<Api>, stop: impl Future<Output = ()> + Send + 'static) {
    let router = Router::new()
        .route("/v1/health", get(health))
        .route("/v1/peer", get(peer))
        .route("/v1/status", get(status))
        .route("/v1/events", get(events))
        .route("/v1/journal", get(journal))
        .route("/v1/runs", get(runs))
        .route("/v1/plan", get(plan))
        .route("/v1/failover", post(failover))
        .route("/v1/switchover", post(switchover))
        .route("/v1/approve", post(approve))
        .route("/v1/done", post(done))
        .route("/v1/drift", post(drift))
        .route(peers::PATH, post(promise))
        .route(steering::REGION, get(steering::region))
        .route(steering::OWN, get(steering::own))
        .with_state(api);
    if let Err(error) =
        axum::serve(door, router.into_make_service_with_connect_info::<Caller>()).with_graceful_shutdown(stop).await
    {
        tracing::error!("the API has ended: {error}");
    }
}

#[derive(Serialize)]
struct Healthy<'a> {
    app: &'a str,
    region: &'a str,
    version: &'static str,
}

async fn health(State(api): State<Arc<Api>>) -> Response {
    // Asking the brain proves that it thinks; a node that only accepts connections is not well.
    let (sender, answer) = oneshot::channel();
    let asked = api.inputs.send(Input::Ping(sender)).await.is_ok();
    match (asked, answer.await) {
        (true, Ok(())) => Json(Healthy {
            app: api.app.name.as_str(),
            region: api.region.as_str(),
            version: env!("CARGO_PKG_VERSION"),
        })
        .into_response(),
        (false, _) | (_, Err(_)) => problem(StatusCode::SERVICE_UNAVAILABLE, "the node is stopping"),
    }
}

/// A node of another region. By TLS it has shown a certificate that says which; without TLS, on loopback, nobody can.
pub struct Peer(pub Option<RegionId>);

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        match parts.extensions.get::<ConnectInfo<Caller>>() {
            Some(ConnectInfo(Caller { by_tls: false, .. })) => Ok(Self(None)),
            Some(ConnectInfo(Caller { region: Some(region), .. })) => Ok(Self(Some(region.clone()))),
            Some(ConnectInfo(Caller { region: None, .. })) | None => Err(problem(
                StatusCode::FORBIDDEN,
                "this is between nodes: it needs a certificate of the app's authority that names another region of the file",
            )),
        }
    }
}

#[derive(Serialize)]
struct Recognised {
    region: Option<RegionId>,
}

/// Which region's node the caller is taken for.
async fn peer(Peer(region): Peer) -> Response {
    Json(Recognised { region }).into_response()
}

async fn status(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    match look(&api, &headers).await {
        Ok(status) => Json(status).into_response(),
        Err(refusal) => *refusal,
    }
}

/// The runs under way, and the newest finished one of each database.
async fn runs(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    match look(&api, &headers).await {
        Ok(status) => Json(status.runs).into_response(),
        Err(refusal) => *refusal,
    }
}

/// Which plan is wanted.
#[derive(Deserialize)]
struct Wanted {
    intent: Intent,
    database: Option<ComponentId>,
    to: RegionId,
}

/// What would be done, without doing it.
async fn plan(State(api): State<Arc<Api>>, headers: HeaderMap, Query(wanted): Query<Wanted>) -> Response {
    let status = match look(&api, &headers).await {
        Ok(status) => status,
        Err(refusal) => return *refusal,
    };
    let database = match which_database(&api.app, wanted.database) {
        Ok(database) => database,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    let writer = status.databases.get(&database).and_then(|database| database.writer.as_ref());
    match Plan::build(&api.app, wanted.intent, &database, writer, &wanted.to, &api.history.durations()) {
        Ok(plan) => Json(plan).into_response(),
        Err(error) => problem(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

/// How things are, for whoever may look.
async fn look(api: &Api, headers: &HeaderMap) -> Result<Status, Box<Response>> {
    allow(api, headers, Role::Viewer)?;
    let (sender, answer) = oneshot::channel();
    let asked = api.inputs.send(Input::Status(sender)).await.is_ok();
    match (asked, answer.await) {
        (true, Ok(mut status)) => {
            api.drift.show(&api.app, &mut status);
            status.warnings = api.identity.iter().flat_map(|identity| identity.warnings(SystemTime::now())).collect();
            Ok(status)
        }
        (false, _) | (_, Err(_)) => Err(Box::new(problem(StatusCode::SERVICE_UNAVAILABLE, "the node is stopping"))),
    }
}

/// The database that is named; the only one where none is.
fn which_database(app: &App, named: Option<ComponentId>) -> Result<ComponentId, &'static str> {
    if let Some(named) = named {
        return Ok(named);
    }
    let mut all = app.written_databases().map(|(id, _)| id.clone());
    match (all.next(), all.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err("this app has no database that moves"),
        (Some(_), Some(_)) => Err("this app has several databases: name one"),
    }
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

#[derive(Serialize)]
struct Recorded {
    revision: u64,
    entry: JournalEntry,
}

async fn events(State(api): State<Arc<Api>>, headers: HeaderMap, Query(after): Query<After>) -> Response {
    if let Err(refusal) = allow(&api, &headers, Role::Viewer) {
        return *refusal;
    }
    match lifeboat_store::journal::read_after(&*api.store, Revision(after.after)).await {
        Ok((_, entries)) => {
            let recorded: Vec<Recorded> =
                entries.into_iter().map(|(revision, entry)| Recorded { revision: revision.0, entry }).collect();
            Json(recorded).into_response()
        }
        Err(error) => problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

/// The journal byte for byte, for whoever checks its chain.
async fn journal(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    if let Err(refusal) = allow(&api, &headers, Role::Viewer) {
        return *refusal;
    }
    match lifeboat_store::journal::read_stored(&*api.store, record::JOURNAL_HEADS).await {
        Ok(lifeboat_store::journal::Stored { heads, entries, count }) => {
            let heads = heads.into_iter().filter_map(|head| {
                let region = head.key.strip_prefix(record::JOURNAL_HEADS)?.into();
                Some((region, serde_json::from_slice(&head.value).ok()))
            });
            let entries = entries
                .into_iter()
                .map(|entry| StoredEntry { key: entry.key, value: String::from_utf8(entry.value).ok() });
            let kept = lifeboat_store::journal::ENTRIES_KEPT;
            let stored = count as u64;
            Json(StoredJournal { kept, stored, heads: heads.collect(), entries: entries.collect() }).into_response()
        }
        Err(error) => problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    /// Which database; may be left out where there is one.
    database: Option<ComponentId>,
    /// Where to; left out: the best of the ready ones.
    to: Option<RegionId>,
    /// Accept what a forced failover loses.
    #[serde(default)]
    accept_loss: bool,
    /// Vouch that the old writer and its confirming standbys are stopped.
    #[serde(default)]
    vouch: bool,
    /// Who asks.
    by: Option<String>,
}

#[derive(Serialize)]
struct Accepted {
    run: String,
}

async fn failover(State(api): State<Arc<Api>>, headers: HeaderMap, Json(ask): Json<Ask>) -> Response {
    take(&api, &headers, ask, Intent::Failover).await
}

async fn switchover(State(api): State<Arc<Api>>, headers: HeaderMap, Json(ask): Json<Ask>) -> Response {
    take(&api, &headers, ask, Intent::Switchover).await
}

async fn take(api: &Api, headers: &HeaderMap, ask: Ask, intent: Intent) -> Response {
    // What gives writes up, or takes a person's word for a fence, is not every operator's to say.
    let needed = if ask.accept_loss || ask.vouch { Role::Admin } else { Role::Operator };
    let asker = match allow(api, headers, needed) {
        Ok(asker) => asker,
        Err(refusal) => return *refusal,
    };
    let database = match which_database(&api.app, ask.database) {
        Ok(database) => database,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    let request = Request {
        intent,
        to: ask.to,
        accept_loss: ask.accept_loss,
        vouch: ask.vouch,
        by: match &asker {
            // A1: what the journal says is whose token it was, not what the request says.
            Asker::Owner(name, _) => name.clone(),
            Asker::Machine(_) | Asker::Anybody => ask.by.unwrap_or_else(|| "an operator".into()),
        },
        token: match asker {
            Asker::Owner(name, _) => Some(name),
            Asker::Machine(_) | Asker::Anybody => None,
        },
        approved: BTreeSet::new(),
    };
    tell(api, |answer| Input::Person(database, request, answer)).await
}

/// Which request is approved.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Approval {
    /// Of which database; may be left out where there is one.
    database: Option<ComponentId>,
}

async fn approve(State(api): State<Arc<Api>>, headers: HeaderMap, Json(approval): Json<Approval>) -> Response {
    let by = match allow(&api, &headers, Role::Operator) {
        Ok(Asker::Owner(name, _)) => name,
        Ok(Asker::Machine(_) | Asker::Anybody) => {
            return problem(
                StatusCode::FORBIDDEN,
                "who approves is told from who asked by their tokens: `lifeboat token create --role operator --name NAME`",
            );
        }
        Err(refusal) => return *refusal,
    };
    match which_database(&api.app, approval.database) {
        Ok(database) => tell(&api, |answer| Input::Approve(database, by, answer)).await,
        Err(why) => problem(StatusCode::BAD_REQUEST, why),
    }
}

/// What a person has done.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Done {
    /// Of which database; may be left out where there is one that people move.
    database: Option<ComponentId>,
    /// The region that writes it now.
    writer: RegionId,
    /// Who says so.
    by: Option<String>,
}

async fn done(State(api): State<Arc<Api>>, headers: HeaderMap, Json(done): Json<Done>) -> Response {
    let asker = match allow(&api, &headers, Role::Operator) {
        Ok(asker) => asker,
        Err(refusal) => return *refusal,
    };
    let is_admin = asker.role() >= Role::Admin;
    let by = match asker {
        // A1: as with what is asked for.
        Asker::Owner(name, _) => name,
        Asker::Machine(_) | Asker::Anybody => done.by.unwrap_or_else(|| "an operator".into()),
    };
    let writer = done.writer;
    match which_database(&api.app, done.database) {
        Ok(database) => tell(&api, |answer| Input::Moved(Moved { database, writer, by, is_admin }, answer)).await,
        Err(why) => problem(StatusCode::BAD_REQUEST, why),
    }
}

/// What differs between the regions; in place of what was told before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    differences: Vec<Difference>,
    /// Who tells.
    by: Option<String>,
}

async fn drift(State(api): State<Arc<Api>>, headers: HeaderMap, Json(seen): Json<Seen>) -> Response {
    let by = match allow(&api, &headers, Role::Operator) {
        Ok(Asker::Owner(name, _)) => name,
        Ok(Asker::Machine(_) | Asker::Anybody) => seen.by.unwrap_or_else(|| "an operator".into()),
        Err(refusal) => return *refusal,
    };
    let count = seen.differences.len();
    let drift = Drift { unix_ms: now_unix() * 1_000, by, differences: seen.differences };
    match api.drift.take(&api.app, drift) {
        Ok(()) => Json(Counted { differences: count }).into_response(),
        Err(why) => problem(StatusCode::BAD_REQUEST, &why),
    }
}

#[derive(Serialize)]
struct Counted {
    differences: usize,
}

/// Tells the brain what a person wants, and the person what came of it.
async fn tell(api: &Api, wish: impl FnOnce(oneshot::Sender<Result<String, String>>) -> Input) -> Response {
    let (sender, answer) = oneshot::channel();
    let stopping = || problem(StatusCode::SERVICE_UNAVAILABLE, "the node is stopping");
    if api.inputs.send(wish(sender)).await.is_err() {
        return stopping();
    }
    match answer.await {
        Ok(Ok(run)) => (StatusCode::ACCEPTED, Json(Accepted { run })).into_response(),
        Ok(Err(why)) => problem(StatusCode::CONFLICT, &why),
        Err(_) => stopping(),
    }
}

/// Another node asks to be left a database.
async fn promise(
    State(api): State<Arc<Api>>,
    Peer(region): Peer,
    headers: HeaderMap,
    Json(question): Json<Question>,
) -> Response {
    match region {
        Some(region) if region == question.from => {}
        Some(_) => return problem(StatusCode::FORBIDDEN, "`from` is not the region that the certificate names"),
        None if bearer(&headers).is_some_and(|given| is_same(given, &api.node)) => {}
        None => return problem(StatusCode::UNAUTHORIZED, "only the nodes of the app's regions may ask this"),
    }
    if question.from == api.region || !api.app.regions.contains_key(&question.from) {
        return problem(StatusCode::BAD_REQUEST, "`from` is no other region of this app");
    }
    let (sender, answer) = oneshot::channel();
    let asked = api.inputs.send(Input::Peer(question, sender)).await.is_ok();
    match (asked, answer.await) {
        (true, Ok(answers)) => Json(answers).into_response(),
        (false, _) | (_, Err(_)) => problem(StatusCode::SERVICE_UNAVAILABLE, "the node is stopping"),
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asker {
    /// Somebody without a token, who may look.
    Anybody,
    /// Whoever may read the secrets of a node's machine.
    Machine(Role),
    /// The owner of a token.
    Owner(String, Role),
}

impl Asker {
    fn role(&self) -> Role {
        match self {
            Self::Anybody => Role::Viewer,
            Self::Machine(role) | Self::Owner(_, role) => *role,
        }
    }
}

/// Who asks, if they may do what needs that role.
fn allow(api: &Api, headers: &HeaderMap, needed: Role) -> Result<Asker, Box<Response>> {
    let refuse = |code, why: String| Err(Box::new(problem(code, &why)));
    let asker = match bearer(headers) {
        None => None,
        Some(given) if is_same(given, &api.operator) => Some(Asker::Machine(Role::Admin)),
        Some(given) if api.viewer.as_deref().is_some_and(|viewer| is_same(given, viewer)) => {
            Some(Asker::Machine(Role::Viewer))
        }
        Some(given) => match api.tokens.find(given) {
            Ok(Some(token)) if token.has_expired(now_unix()) => {
                let why = format!("the token of {} has expired; `lifeboat token create` makes a new one", token.name);
                return refuse(StatusCode::UNAUTHORIZED, why);
            }
            Ok(Some(token)) => Some(Asker::Owner(token.name, token.role)),
            Ok(None) => None,
            Err(error) => return refuse(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        },
    };
    // On loopback everybody may look.
    let asker = asker.or_else(|| api.viewer.is_none().then_some(Asker::Anybody));
    match asker {
        Some(asker) if asker.role() >= needed => Ok(asker),
        Some(Asker::Owner(name, role)) => {
            refuse(StatusCode::FORBIDDEN, format!("{name} has the role {role}; this needs the role {needed}"))
        }
        Some(Asker::Machine(role)) => {
            refuse(StatusCode::FORBIDDEN, format!("this token has the role {role}; this needs the role {needed}"))
        }
        Some(Asker::Anybody) | None => {
            let why = match bearer(headers) {
                None => {
                    format!("this needs a token with the role {needed} (Authorization: Bearer …, or LIFEBOAT_TOKEN)")
                }
                Some(_) => {
                    "this token is not known here, or was revoked; `lifeboat token list` shows the ones that are".into()
                }
            };
            refuse(StatusCode::UNAUTHORIZED, why)
        }
    }
}

fn now_unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

#[derive(Serialize)]
struct Problem<'a> {
    error: &'a str,
}

fn problem(status: StatusCode, error: &str) -> Response {
    (status, Json(Problem { error })).into_response()
}
