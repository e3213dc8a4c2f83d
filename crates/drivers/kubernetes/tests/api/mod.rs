//! An API server in memory, as far as a driver can tell one from a real one: resource versions, optimistic locking, server-side
//! apply with owners of fields, the scale subresource, lists in pages, watches that restart, and faults on demand. It refuses
//! whatever the published schemas refuse. What it is not: controllers. The tests play those.

#![allow(clippy::unwrap_used, reason = "what a test helper cannot do fails the test")]
#![allow(dead_code, reason = "each test crate uses its part")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::{TlsAcceptor, rustls};

use schemas::Extent;

pub mod schemas;

/// The field manager of those who work from Git.
pub const GIT: &str = "kustomize-controller";

/// What happens to a request instead of its being answered.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status, and a `Retry-After` in seconds.
    Status(u16, Option<u64>),
    /// Somebody else changes the object just before.
    ChangedMeanwhile,
    /// 200, and this.
    Body(String),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub at: std::time::Instant,
    pub method: String,
    pub path: String,
    pub query: String,
    pub token: Option<String>,
    pub body: Value,
}

#[derive(Clone)]
struct Event {
    version: u64,
    collection: String,
    kind: &'static str,
    object: Value,
}

#[derive(Default)]
struct State {
    version: u64,
    /// By path.
    objects: BTreeMap<String, Value>,
    /// Collections that exist; of others even the kind is unknown.
    collections: Vec<String>,
    events: Vec<Event>,
    /// Changes up to here are not kept any more.
    compacted: u64,
    asked: Vec<Asked>,
    faults: Vec<(String, String, u32, Fault)>,
    mistakes: Vec<String>,
    page: usize,
}

/// The server. Dropping it ends it, as if its machine were gone.
pub struct Api {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    moved: watch::Sender<u64>,
    hangs: watch::Sender<bool>,
    task: AbortHandle,
}

impl Drop for Api {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Api {
    pub async fn start() -> Self {
        Self::start_by(None).await
    }

    /// By TLS, with a certificate for 127.0.0.1; and the authority's, in PEM.
    pub async fn start_with_tls() -> (Self, String) {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
        (Self::start_by(Some(TlsAcceptor::from(Arc::new(config)))).await, cert.pem())
    }

    async fn start_by(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { page: 500, ..State::default() }));
        let (moved, hangs) = (watch::Sender::new(0), watch::Sender::new(false));
        let serve = serve(listener, tls, state.clone(), moved.clone(), hangs.clone());
        let task = tokio::spawn(serve).abort_handle();
        Self { address, state, moved, hangs, task }
    }

    /// Makes a collection known, empty.
    pub fn collection(&self, path: &str) {
        self.state.lock().unwrap().collections.push(path.to_owned());
    }

    /// Puts an object there as this manager applies it, whatever was there.
    pub fn put(&self, path: &str, object: Value, manager: &str) {
        let mut state = self.state.lock().unwrap();
        let mut object = object;
        own(&mut object, Some(manager), &Value::Null);
        state.store(path, object, Extent::Whole);
        drop(state);
        self.notify();
    }

    pub fn object(&self, path: &str) -> Option<Value> {
        self.state.lock().unwrap().objects.get(path).cloned()
    }

    /// Changes an object as somebody else does.
    pub fn edit(&self, path: &str, edit: impl FnOnce(&mut Value)) {
        let mut state = self.state.lock().unwrap();
        let mut object = state.objects[path].clone();
        edit(&mut object);
        state.store(path, object, Extent::Whole);
        drop(state);
        self.notify();
    }

    pub fn remove(&self, path: &str) {
        self.state.lock().unwrap().remove(path);
        self.notify();
    }

    /// The next `times` requests whose method and path end so get a fault.
    pub fn fault(&self, method: &str, path_ends: &str, times: u32, fault: Fault) {
        self.state.lock().unwrap().faults.push((method.into(), path_ends.into(), times, fault));
    }

    /// Every watch of a collection gets a fault, its lists none.
    pub fn fault_of_watches(&self, collection: &str, fault: Fault) {
        self.fault("WATCH", collection, u32::MAX, fault);
    }

    /// No more faults.
    pub fn clear_faults(&self) {
        self.state.lock().unwrap().faults.clear();
    }

    /// From now on nothing is answered, and watches bring nothing: connections are accepted, as by a machine that has frozen.
    pub fn hang(&self, hangs: bool) {
        self.hangs.send_replace(hangs);
    }

    /// Nothing that has happened so far is kept for watches; those under way are told.
    pub fn compact(&self) {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        state.compacted = state.version;
        drop(state);
        self.notify();
    }

    pub fn set_page(&self, page: usize) {
        self.state.lock().unwrap().page = page;
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    /// Requests that change something, as `METHOD path`.
    pub fn changes(&self) -> Vec<String> {
        let asked = self.asked();
        asked
            .iter()
            .filter(|asked| asked.method != "GET")
            .map(|asked| format!("{} {}", asked.method, asked.path))
            .collect()
    }

    /// What the schemas refuse of all that was sent.
    pub fn mistakes(&self) -> Vec<String> {
        self.state.lock().unwrap().mistakes.clone()
    }

    fn notify(&self) {
        self.moved.send_modify(|count| *count += 1);
    }
}

async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    state: Arc<Mutex<State>>,
    moved: watch::Sender<u64>,
    hangs: watch::Sender<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (tls, state, moved, hangs) = (tls.clone(), state.clone(), moved.clone(), hangs.clone());
        connections.spawn(async move {
            let service = service_fn(|request| {
                let (state, moved, hangs) = (state.clone(), moved.clone(), hangs.clone());
                async move { Ok::<_, Infallible>(answer(request, &state, &moved, &hangs).await) }
            });
            let http = hyper::server::conn::http1::Builder::new();
            // The client may go at any time.
            let _ = match tls {
                None => http.serve_connection(TokioIo::new(stream), service).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => http.serve_connection(TokioIo::new(stream), service).await,
                    Err(_) => return,
                },
            };
        });
    }
}

/// A whole answer, or a watch's lines as they come.
enum Answer {
    Whole(Option<Bytes>),
    Lines(mpsc::Receiver<Bytes>),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Lines(lines) => lines.poll_recv(cx).map(|line| line.map(|line| Ok(Frame::data(line)))),
        }
    }
}

fn whole(code: u16, body: &Value, retry_after: Option<u64>) -> Response<Answer> {
    let mut response = Response::builder().status(code);
    if let Some(seconds) = retry_after {
        response = response.header("Retry-After", seconds);
    }
    response.body(Answer::Whole(Some(body.to_string().into()))).unwrap()
}

fn status(code: u16, message: &str) -> Response<Answer> {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message});
    whole(code, &body, None)
}

async fn answer(
    request: Request<Incoming>,
    state: &Arc<Mutex<State>>,
    moved: &watch::Sender<u64>,
    hangs: &watch::Sender<bool>,
) -> Response<Answer> {
    let (head, body) = request.into_parts();
    let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
    let fault = {
        let mut state = state.lock().unwrap();
        state.asked.push(Asked {
            at: std::time::Instant::now(),
            method: head.method.to_string(),
            path: path.clone(),
            query: query.clone(),
            token: header("authorization"),
            body: body.clone(),
        });
        let verbs = if query.starts_with("watch=") { ["GET", "WATCH"] } else { [head.method.as_str(); 2] };
        state.next_fault(verbs, &path)
    };
    let _ = hangs.subscribe().wait_for(|hangs| !hangs).await;
    match fault {
        Some(Fault::Status(code, retry_after)) => {
            return whole(code, &json!({"kind": "Status", "code": code, "message": "injected"}), retry_after);
        }
        Some(Fault::Body(text)) => return Response::new(Answer::Whole(Some(text.into()))),
        Some(Fault::ChangedMeanwhile) => {
            let mut state = state.lock().unwrap();
            let path = path.strip_suffix("/scale").unwrap_or(&path).to_owned();
            let mut object = state.objects[&path].clone();
            object["metadata"]["labels"]["somebody"] = json!("else");
            state.store(&path, object, Extent::Whole);
        }
        None => {}
    }
    let parameter = |name: &str| {
        query
            .split('&')
            .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))
            .map(|(_, value)| value.to_owned())
    };
    if head.method == Method::GET && parameter("watch").is_some() {
        let since = parameter("resourceVersion").unwrap().parse().unwrap();
        return start_watch(path, since, state.clone(), moved, hangs.clone());
    }
    let answer = {
        let mut state = state.lock().unwrap();
        match head.method {
            Method::GET => state.get(&path, parameter("limit"), parameter("continue")),
            Method::PATCH => {
                state.patch(&path, &header("content-type").unwrap(), &parameter("fieldManager").unwrap(), body)
            }
            Method::DELETE => state.delete(&path, &body),
            _ => status(405, "no such verb"),
        }
    };
    moved.send_modify(|count| *count += 1);
    answer
}

fn start_watch(
    collection: String,
    since: u64,
    state: Arc<Mutex<State>>,
    moved: &watch::Sender<u64>,
    hangs: watch::Sender<bool>,
) -> Response<Answer> {
    let (lines, receiver) = mpsc::channel(64);
    let mut moved = moved.subscribe();
    moved.mark_changed();
    tokio::spawn(async move {
        let mut since = since;
        while moved.changed().await.is_ok() {
            let _ = hangs.subscribe().wait_for(|hangs| !hangs).await;
            let (events, is_gone) = {
                let state = state.lock().unwrap();
                let due = state.events.iter().filter(|event| event.version > since && event.collection == collection);
                (due.cloned().collect::<Vec<_>>(), since < state.compacted)
            };
            let mut texts: Vec<Value> =
                events.iter().map(|event| json!({"type": event.kind, "object": event.object})).collect();
            if is_gone {
                let gone = json!({"kind": "Status", "code": 410, "message": "too old resource version"});
                texts = vec![json!({"type": "ERROR", "object": gone})];
            }
            for text in texts {
                if lines.send(format!("{text}\n").into()).await.is_err() {
                    return;
                }
            }
            if is_gone {
                return;
            }
            since = events.last().map_or(since, |event| event.version);
        }
    });
    Response::new(Answer::Lines(receiver))
}

impl State {
    fn next_fault(&mut self, verbs: [&str; 2], path: &str) -> Option<Fault> {
        let fault = self
            .faults
            .iter_mut()
            .find(|(of, ends, times, _)| verbs.contains(&of.as_str()) && path.ends_with(ends.as_str()) && *times > 0)?;
        fault.2 -= 1;
        Some(fault.3.clone())
    }

    fn get(&self, path: &str, limit: Option<String>, next: Option<String>) -> Response<Answer> {
        if let Some(object) = self.objects.get(path) {
            return whole(200, object, None);
        }
        if !self.collections.iter().any(|known| known == path) {
            return status(404, "the server could not find the requested resource");
        }
        let inside = format!("{path}/");
        let from: usize = next.map_or(0, |next| next.parse().unwrap());
        let items: Vec<&Value> =
            self.objects.iter().filter(|(path, _)| path.starts_with(&inside)).map(|(_, object)| object).collect();
        let page = if limit.is_some() { self.page } else { usize::MAX };
        let rest = items.len().saturating_sub(from);
        let (shown, next) = if rest > page { (page, (from + page).to_string()) } else { (rest, String::new()) };
        let items = &items[from..from + shown];
        whole(
            200,
            &json!({"metadata": {"resourceVersion": self.version.to_string(), "continue": next}, "items": items}),
            None,
        )
    }

    fn patch(&mut self, path: &str, kind: &str, manager: &str, body: Value) -> Response<Answer> {
        let is_apply = kind.starts_with("application/apply-patch");
        let (path, is_scale) = path.strip_suffix("/scale").map_or((path, false), |path| (path, true));
        let old = self.objects.get(path).cloned();
        self.check(&body, old.as_ref(), is_scale);
        let Some(mut object) = old.clone().or_else(|| is_apply.then(|| json!({}))) else {
            return status(404, &format!("{path} not found"));
        };
        if old.is_none() && !self.collections.iter().any(|known| path.starts_with(&format!("{known}/"))) {
            return status(404, "the server could not find the requested resource");
        }
        let expected = &body["metadata"]["resourceVersion"];
        if !expected.is_null() && *expected != object["metadata"]["resourceVersion"] {
            return status(409, "the object has been modified; please apply your changes to the latest version");
        }
        let mut change = body;
        if is_scale {
            // Of a Scale only the size is taken over.
            change = json!({"spec": {"replicas": change["spec"]["replicas"]}});
        }
        merge(&mut object, &change);
        if object == old.clone().unwrap_or_default() {
            return whole(200, &object, None);
        }
        own(&mut object, Some(manager), &change);
        if let Some(mistake) = self.store(path, object, Extent::Whole) {
            return status(422, &mistake);
        }
        whole(if old.is_some() { 200 } else { 201 }, &self.objects[path], None)
    }

    /// Every body against its schema: a patch may be a part.
    fn check(&mut self, body: &Value, object: Option<&Value>, is_scale: bool) {
        let kind = if is_scale {
            "autoscaling/v1 Scale".into()
        } else {
            let named = if body["kind"].is_string() { Some(body) } else { object };
            named.map(kind_of).unwrap_or_default()
        };
        let mut body = body.clone();
        // To a merge, null is not a value.
        without_nulls(&mut body);
        if body["metadata"].is_object() && body["metadata"]["name"].is_null() {
            body["metadata"]["name"] = json!("as-in-the-path");
        }
        self.mistakes.extend(schemas::mistakes(&kind, Extent::Part, &body));
    }

    fn delete(&mut self, path: &str, body: &Value) -> Response<Answer> {
        self.mistakes.extend(schemas::mistakes("v1 DeleteOptions", Extent::Whole, body));
        let Some(object) = self.objects.get(path) else { return status(404, "not found") };
        let expected = &body["preconditions"]["resourceVersion"];
        if !expected.is_null() && *expected != object["metadata"]["resourceVersion"] {
            return status(409, "precondition failed");
        }
        self.remove(path);
        whole(200, &json!({"kind": "Status", "status": "Success"}), None)
    }

    /// Stores an object if its schema allows it, and says what is wrong otherwise.
    fn store(&mut self, path: &str, mut object: Value, extent: Extent) -> Option<String> {
        let (collection, name) = path.rsplit_once('/').unwrap();
        object["metadata"]["name"] = json!(name);
        let found = schemas::mistakes(&kind_of(&object), extent, &object);
        if !found.is_empty() {
            self.mistakes.extend(found.clone());
            return Some(found.join("; "));
        }
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if !self.collections.iter().any(|known| known == collection) {
            self.collections.push(collection.to_owned());
        }
        let kind = if self.objects.contains_key(path) { "MODIFIED" } else { "ADDED" };
        self.events.push(Event { version: self.version, collection: collection.into(), kind, object: object.clone() });
        self.objects.insert(path.to_owned(), object);
        None
    }

    fn remove(&mut self, path: &str) {
        self.version += 1;
        let mut object = self.objects.remove(path).unwrap();
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let collection = path.rsplit_once('/').unwrap().0.to_owned();
        self.events.push(Event { version: self.version, collection, kind: "DELETED", object });
    }
}

fn kind_of(object: &Value) -> String {
    format!("{} {}", object["apiVersion"].as_str().unwrap_or_default(), object["kind"].as_str().unwrap_or_default())
}

/// RFC 7386.
fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (key, value) in fields {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut object[key], value);
        }
    }
}

fn without_nulls(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|_, value| !value.is_null());
        fields.values_mut().for_each(without_nulls);
    }
}

/// Who owns the fields of `spec`, one level deep: whoever changes one owns it alone. Without a change, all of it.
fn own(object: &mut Value, manager: Option<&str>, change: &Value) {
    let fields = if change.is_null() { &object["spec"] } else { &change["spec"] };
    let names: Vec<String> = fields.as_object().into_iter().flatten().map(|(key, _)| format!("f:{key}")).collect();
    let mut entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    for entry in &mut entries {
        if let Some(owned) = entry["fieldsV1"]["f:spec"].as_object_mut() {
            owned.retain(|name, _| !names.contains(name));
        }
    }
    let Some(manager) = manager else { return };
    if !entries.iter().any(|entry| entry["manager"] == manager) {
        entries.push(
            json!({"manager": manager, "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}}}),
        );
    }
    let own = entries.iter_mut().find(|entry| entry["manager"] == manager).unwrap();
    for name in names {
        own["fieldsV1"]["f:spec"][name] = json!({});
    }
    object["metadata"]["managedFields"] = json!(entries);
}

/// Waits until something is as it should be; the message says what was waited for.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let patience = tokio::time::timeout(Duration::from_secs(20), async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(patience.await.is_ok(), "never: {what}");
}
