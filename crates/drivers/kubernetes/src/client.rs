//! Requests to the API server: each with a deadline, none sooner than the server has asked for, and errors by what can be done
//! about them.
//!
//! One connection is kept from request to request; a watch has one of its own. HTTP/1.1 by hyper, like every other request of
//! Lifeboat: a generated client for the whole API would be a hundred crates and megabytes of code for the nine kinds used here.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use lifeboat_model::kubernetes::FIELD_MANAGER;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::access::Access;

/// The largest answer, and the largest line of a watch, that is read, in bytes. A page of 500 pods is some 5 MB.
const LARGEST_ANSWER: usize = 32 << 20;
/// How long is waited where the server asks for a pause without saying how long.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause that is taken seriously.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The shortest pause, whatever the server says: `Retry-After: 0` would be asked without end.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// The most that is repeated of what a cluster says, in characters: it is shown to people, and kept in the state store.
const LONGEST_WORDS: usize = 500;

/// Why a request had no effect that is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// Nobody answers in time, or not in HTTP. Whether a change was made is not known.
    #[error("the cluster's API does not answer: {0}")]
    Unreachable(String),
    /// The server is busy and wants to be left alone for so long.
    #[error("the cluster's API asks to wait {} s", .0.as_secs_f32().ceil())]
    Throttled(Duration),
    /// Somebody else has changed the object since it was read.
    #[error("{0} was changed at the same moment")]
    Conflict(String),
    /// There is no such object, or no such kind.
    #[error("{0} is not there")]
    NotFound(String),
    /// Changes since that moment are not kept any more: list again.
    #[error("what changed since then is not kept any more")]
    Gone,
    /// It is not allowed.
    #[error("the cluster does not allow it: {0}")]
    Denied(String),
    /// Refused for another reason.
    #[error("refused with {code}: {message}")]
    Refused {
        /// The HTTP status.
        code: u16,
        /// The server's words.
        message: String,
    },
}

/// How a body is to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch {
    /// Server-side apply of the fields in it; whoever else owned them does not any more.
    Apply,
    /// Merge: what is in it replaces, `null` removes.
    Merge,
}

/// A client of one API server.
#[derive(Debug)]
pub struct Client {
    access: Access,
    deadline: Duration,
    idle: Mutex<Option<Connection>>,
    not_before: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What the server says of an error.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    message: String,
    code: u16,
}

impl ApiError {
    /// Whether it is the same, whatever the words.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Refused { code, .. }, Self::Refused { code: other, .. }) => code == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl Client {
    /// Connects to nobody yet. No request takes longer than `deadline`, the wait for a busy server included.
    pub fn new(access: Access, deadline: Duration) -> Self {
        Self { access, deadline, idle: Mutex::default(), not_before: Mutex::default() }
    }

    /// Where the API is, for people.
    pub fn server(&self) -> String {
        self.access.to_string()
    }

    /// Keeps a token ready where a program makes it, for as long as it is run. Without it no request of such a client is sent.
    pub async fn keep_token(&self) {
        self.access.keep_token().await;
    }

    /// The object at a path.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        read(path, &self.call(Method::GET, path, None).await?)
    }

    /// The object at a path; `None`: there is none, or not even its kind.
    pub async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, ApiError> {
        match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(ApiError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Changes the object at a path, and returns it as it is then.
    pub async fn patch<T: DeserializeOwned>(&self, path: &str, patch: Patch, body: &Value) -> Result<T, ApiError> {
        let (kind, force) = match patch {
            Patch::Apply => ("application/apply-patch+yaml", "&force=true"),
            Patch::Merge => ("application/merge-patch+json", ""),
        };
        let query = format!("{path}?fieldManager={FIELD_MANAGER}{force}&fieldValidation=Strict");
        read(path, &self.call(Method::PATCH, &query, Some((kind, body))).await?)
    }

    /// Deletes the object at a path if it is still the one of this version; that it is gone already is no error.
    pub async fn delete(&self, path: &str, resource_version: &str) -> Result<(), ApiError> {
        let body = serde_json::json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"resourceVersion": resource_version},
        });
        match self.call(Method::DELETE, path, Some(("application/json", &body))).await {
            Ok(_) | Err(ApiError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The changes of a collection since a version, as they come. Only the beginning is bounded by the deadline.
    pub async fn watch(&self, path: &str, resource_version: &str, seconds: u32) -> Result<Lines, ApiError> {
        let path = format!(
            "{path}?watch=true&allowWatchBookmarks=true&resourceVersion={resource_version}&timeoutSeconds={seconds}"
        );
        let deadline = Instant::now() + self.deadline;
        self.wait_for_turn(deadline).await?;
        let started = async {
            let mut connection = self.connect().await?;
            let answer = self.send(&mut connection, Method::GET, &path, None).await?;
            Ok((connection, answer))
        };
        let (connection, answer) = self.bounded(deadline, started).await?;
        if answer.status().is_success() {
            return Ok(Lines { _connection: connection, body: answer.into_body(), read: BytesMut::new(), searched: 0 });
        }
        Err(self.refusal(&path, answer, deadline).await)
    }

    async fn call(&self, method: Method, path: &str, body: Option<(&str, &Value)>) -> Result<Bytes, ApiError> {
        let deadline = Instant::now() + self.deadline;
        loop {
            self.wait_for_turn(deadline).await?;
            let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
            let was_kept = kept.is_some();
            let sent = async {
                let mut connection = match kept {
                    Some(connection) if !connection.sender.is_closed() => connection,
                    Some(_) | None => self.connect().await?,
                };
                let answer = self.send(&mut connection, method.clone(), path, body).await?;
                Ok((connection, answer))
            };
            let (connection, answer) = match self.bounded(deadline, sent).await {
                Ok(answered) => answered,
                // The server may have closed the connection that was kept. Everything sent here may be sent twice.
                Err(ApiError::Unreachable(_)) if was_kept && Instant::now() < deadline => continue,
                Err(error) => return Err(error),
            };
            if answer.status() == StatusCode::UNAUTHORIZED && self.access.forget_token() {
                continue;
            }
            if !answer.status().is_success() {
                match self.refusal(path, answer, deadline).await {
                    ApiError::Throttled(_) => continue,
                    error => return Err(error),
                }
            }
            let bytes = self.bounded(deadline, whole(answer.into_body())).await?;
            *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
            return Ok(bytes);
        }
    }

    /// Until the server wants to hear of this client again; an error where that is after the deadline.
    async fn wait_for_turn(&self, deadline: Instant) -> Result<(), ApiError> {
        let not_before = *self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(not_before) = not_before.filter(|moment| *moment > Instant::now()) else { return Ok(()) };
        if not_before >= deadline {
            return Err(ApiError::Throttled(not_before - Instant::now()));
        }
        tokio::time::sleep_until(not_before).await;
        Ok(())
    }

    async fn bounded<T>(&self, deadline: Instant, work: impl Future<Output = io::Result<T>>) -> Result<T, ApiError> {
        match timeout_at(deadline, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(ApiError::Unreachable(in_words(&error))),
            Err(_) => {
                let late = || format!("no answer within {} s", self.deadline.as_secs_f32());
                Err(ApiError::Unreachable(self.access.waits().unwrap_or_else(late)))
            }
        }
    }

    async fn connect(&self) -> io::Result<Connection> {
        let stream = self.access.connect().await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let driver = tokio::spawn(async move {
            // Its failure is told by the request that was under way.
            let _ = connection.await;
        });
        Ok(Connection { sender, driver })
    }

    async fn send(
        &self,
        connection: &mut Connection,
        method: Method,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> io::Result<Response<Incoming>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.access.prefix()))
            .header(header::HOST, self.access.host())
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, "lifeboat");
        if let Some(token) = self.access.token().await? {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let bytes = match body {
            Some((kind, body)) => {
                request = request.header(header::CONTENT_TYPE, kind);
                body.to_string().into_bytes()
            }
            None => Vec::new(),
        };
        let request = request.body(Full::from(bytes)).map_err(io::Error::other)?;
        connection.sender.ready().await.map_err(io::Error::other)?;
        connection.sender.send_request(request).await.map_err(io::Error::other)
    }

    /// What an answer that is no success means. Remembers for how long the server wants to be left alone.
    async fn refusal(&self, path: &str, answer: Response<Incoming>, deadline: Instant) -> ApiError {
        let status = answer.status();
        let asked = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        // A busy server says 429, one that is starting or ending 503 or 504, with how long to wait.
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() && asked.is_some() {
            let pause = asked.map_or(PAUSE, Duration::from_secs).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
            *self.not_before.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + pause);
            return ApiError::Throttled(pause);
        }
        let said = self.bounded(deadline, whole(answer.into_body())).await.unwrap_or_default();
        let said: Status = serde_json::from_slice(&said)
            .unwrap_or_else(|_| Status { message: String::from_utf8_lossy(&said).into_owned(), code: 0 });
        of_status(path, Status { code: status.as_u16(), ..said })
    }
}

/// The lines of a watch. Dropping it closes the connection.
#[derive(Debug)]
pub struct Lines {
    _connection: Connection,
    body: Incoming,
    read: BytesMut,
    /// So much of it has no end of a line.
    searched: usize,
}

/// A change of a collection.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", content = "object", rename_all = "UPPERCASE")]
pub enum Change {
    /// An object is new.
    Added(Value),
    /// It has changed.
    Modified(Value),
    /// It is gone.
    Deleted(Value),
    /// Nothing has changed up to a version.
    Bookmark(Value),
    /// The watch is of no use any more.
    Error(Value),
}

impl Lines {
    /// The next change; `None`: the server has ended the watch, as it does from time to time.
    pub async fn next(&mut self) -> Result<Option<Change>, ApiError> {
        let broken = |error: String| ApiError::Unreachable(format!("a watch broke off: {error}"));
        loop {
            let unsearched = self.read.iter().skip(self.searched);
            if let Some(end) = unsearched.copied().position(|byte| byte == b'\n') {
                let line = self.read.split_to(self.searched + end + 1);
                self.searched = 0;
                let change: Change = serde_json::from_slice(&line).map_err(|error| broken(error.to_string()))?;
                if let Change::Error(status) = change {
                    let status = serde_json::from_value(status).unwrap_or_default();
                    return Err(of_status("the watch", status));
                }
                return Ok(Some(change));
            }
            self.searched = self.read.len();
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(broken(error.to_string())),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
            }
            if self.read.len() > LARGEST_ANSWER {
                return Err(broken(format!("a change of more than {LARGEST_ANSWER} bytes")));
            }
        }
    }
}

fn of_status(path: &str, status: Status) -> ApiError {
    let path = path.split('?').next().unwrap_or(path);
    let name = in_short(path.rsplit('/').next().unwrap_or(path));
    match status.code {
        401 | 403 => ApiError::Denied(in_short(&status.message)),
        404 => ApiError::NotFound(name),
        409 => ApiError::Conflict(name),
        410 => ApiError::Gone,
        code => ApiError::Refused { code, message: in_short(&status.message) },
    }
}

fn read<T: DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| {
        ApiError::Unreachable(format!("{path} was answered with something else: {}", in_short(&error.to_string())))
    })
}

/// One line that is not too long, of what a cluster says.
pub(crate) fn in_short(said: &str) -> String {
    let line = said.chars().map(|c| if c.is_control() { ' ' } else { c });
    if said.chars().nth(LONGEST_WORDS).is_none() {
        return line.collect();
    }
    line.take(LONGEST_WORDS - 1).chain(['…']).collect()
}

async fn whole(body: Incoming) -> io::Result<Bytes> {
    Ok(Limited::new(body, LARGEST_ANSWER).collect().await.map_err(io::Error::other)?.to_bytes())
}

/// The innermost cause, which says most: `connection refused`, `invalid peer certificate: …`.
fn in_words(error: &io::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
