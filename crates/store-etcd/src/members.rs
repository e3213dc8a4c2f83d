//! The members of the cluster: which one is asked, and what is done when it does not answer.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use etcd_client::{Channel, Client, ConnectOptions};
use lifeboat_store::{Error, Executed, Result};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};

use crate::Config;

/// How long to wait before all members are asked again.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a member that did not answer is asked last.
const PASSED_OVER: Duration = Duration::from_secs(3);
/// How often a connection in use is tried, where nothing comes: etcd rejects what is more frequent
/// (`--grpc-keepalive-min-time`, 5 s by default).
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// The longest answer, in bytes. A list is one answer, and the journal is a list.
const ANSWER_BYTES: usize = 1024 * 1024 * 1024;

/// Whether a request may be sent again when its answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It changes nothing.
    Freely,
    /// It changes something, but twice is as good as once.
    Harmlessly,
    /// It may be executed once only.
    Never,
}

/// All members, in the order of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Members {
    members: Arc<[Member]>,
    timeout: Duration,
    login: Option<(String, std::path::PathBuf)>,
}

#[derive(Debug)]
struct Member {
    url: String,
    endpoint: Endpoint,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    client: Option<Client>,
    silent_until: Option<Instant>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("connected", &self.client.is_some()).finish_non_exhaustive()
    }
}

/// A connection to one member.
pub(crate) struct Connected(Client);

impl Connected {
    pub(crate) fn kv(&self) -> etcd_client::KvClient {
        self.0.kv_client().max_decoding_message_size(ANSWER_BYTES)
    }

    pub(crate) fn lease(&self) -> etcd_client::LeaseClient {
        self.0.lease_client()
    }

    pub(crate) fn watch(&self) -> etcd_client::WatchClient {
        self.0.watch_client().max_decoding_message_size(ANSWER_BYTES)
    }
}

impl Members {
    pub(crate) fn new(config: Config) -> Result<Self> {
        let invalid = |why: &str| Error::Invalid(format!("etcd: {why}"));
        if config.endpoints.is_empty() {
            return Err(invalid("there must be an endpoint"));
        }
        let tls = tls(&config)?;
        let login = match (config.user, config.password_file) {
            (Some(user), Some(file)) => Some((user, file)),
            (None, None) => None,
            _ => return Err(invalid("a user and a password file belong together")),
        };
        let member = |url: String| {
            let not = |error: tonic::transport::Error| invalid(&format!("{url} is not an endpoint: {}", chain(&error)));
            let mut endpoint = Endpoint::from_shared(url.clone())
                .map_err(not)?
                .connect_timeout(config.timeout / 2)
                .tcp_nodelay(true)
                .http2_keep_alive_interval(KEEP_ALIVE)
                .keep_alive_timeout(config.timeout);
            match url.split_once("://").map(|(scheme, _)| scheme) {
                Some("https") => endpoint = endpoint.tls_config(tls.clone()).map_err(not)?,
                Some("http") => {}
                _ => return Err(invalid(&format!("{url} must begin with https:// or http://"))),
            }
            Ok(Member { url, endpoint, state: Mutex::default() })
        };
        let members = config.endpoints.into_iter().map(member).collect::<Result<_>>()?;
        Ok(Self { members, timeout: config.timeout, login })
    }

    /// How long an operation takes at most.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Asks one member after the other, the own region's first, until one answers or the time is up.
    pub(crate) async fn call<T, F>(&self, repeat: Repeat, request: impl Fn(&Connected) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, etcd_client::Error>> + Send,
    {
        let deadline = Instant::now() + self.timeout;
        let remaining = || deadline.saturating_duration_since(Instant::now());
        let mut executed = Executed::No;
        let mut last_words = BTreeMap::new();
        loop {
            for member in self.in_order() {
                let patience = remaining().min(self.timeout / 2);
                if patience.is_zero() {
                    break;
                }
                let connected = tokio::time::timeout(patience, self.connect(member)).await;
                let client = match connected.unwrap_or_else(|_| Err("no connection in time".into())) {
                    Ok(client) => client,
                    Err(why) => {
                        member.pass_over();
                        last_words.insert(&member.url, why);
                        continue;
                    }
                };
                let answer = tokio::time::timeout(remaining().min(self.timeout / 2), request(&client)).await;
                match answer.map_or_else(|_| Answer::Lost("no answer in time".into()), Answer::from) {
                    Answer::Good(answer) => {
                        member.answered();
                        return Ok(answer);
                    }
                    Answer::Final(error) => return Err(error),
                    Answer::NotExecuted(why) => {
                        member.pass_over();
                        last_words.insert(&member.url, why);
                    }
                    Answer::Lost(why) => {
                        member.pass_over();
                        last_words.insert(&member.url, why);
                        if repeat != Repeat::Freely {
                            executed = Executed::Unknown;
                        }
                        if repeat == Repeat::Never {
                            return Err(unreachable(executed, &last_words));
                        }
                    }
                }
            }
            if remaining() <= PAUSE {
                return Err(unreachable(executed, &last_words));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Those that have not been silent just now come first.
    fn in_order(&self) -> Vec<&Member> {
        let now = Instant::now();
        let mut members: Vec<&Member> = self.members.iter().collect();
        members.sort_by_key(|member| member.lock().silent_until.is_some_and(|until| until > now));
        members
    }

    async fn connect(&self, member: &Member) -> Result<Connected, String> {
        if let Some(client) = &member.lock().client {
            return Ok(Connected(client.clone()));
        }
        let channel = member.endpoint.connect().await.map_err(|error| chain(&error))?;
        let mut options = ConnectOptions::new().with_require_leader(true);
        if let Some((user, file)) = &self.login {
            let password = tokio::fs::read_to_string(file)
                .await
                .map_err(|error| format!("the password file {}: {error}", file.display()))?;
            options = options.with_user(user, password.trim_end_matches(['\r', '\n'])).with_auto_token_refresh(true);
        }
        let client =
            Client::from_channel(Channel::Tonic(channel), Some(options)).await.map_err(|error| error.to_string())?;
        member.lock().client = Some(client.clone());
        Ok(Connected(client))
    }
}

impl Member {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self) {
        self.lock().silent_until = None;
    }

    /// Forgets the connection, and asks this member last for a while.
    fn pass_over(&self) {
        *self.lock() = State { client: None, silent_until: Some(Instant::now() + PASSED_OVER) };
    }
}

fn unreachable(executed: Executed, last_words: &BTreeMap<&String, String>) -> Error {
    let why: Vec<String> = last_words.iter().map(|(url, why)| format!("{url}: {why}")).collect();
    Error::Unreachable { executed, why: why.join("; ") }
}

/// What became of a request.
enum Answer<T> {
    /// It was answered.
    Good(T),
    /// It was answered with an error that another member would give, too.
    Final(Error),
    /// It was not executed.
    NotExecuted(String),
    /// It may have been executed.
    Lost(String),
}

impl<T> From<Result<T, etcd_client::Error>> for Answer<T> {
    fn from(answer: Result<T, etcd_client::Error>) -> Self {
        match answer {
            Ok(answer) => Self::Good(answer),
            Err(etcd_client::Error::GRpcStatus(status)) => Self::of(&status),
            Err(etcd_client::Error::InvalidArgs(why)) => Self::Final(Error::Invalid(why)),
            Err(error) => Self::Lost(error.to_string()),
        }
    }
}

impl<T> Answer<T> {
    /// The codes are those of etcd's `rpctypes`. What it rejects before or instead of applying it was not executed;
    /// time-outs and lost connections tell nothing.
    fn of(status: &Status) -> Self {
        let why = status.message().to_owned();
        match status.code() {
            Code::NotFound if why.contains("lease not found") => Self::Final(Error::LeaseGone),
            Code::OutOfRange if why.contains("compacted") => Self::Final(Error::Compacted),
            Code::InvalidArgument | Code::OutOfRange => Self::Final(Error::Invalid(why)),
            Code::PermissionDenied | Code::FailedPrecondition | Code::ResourceExhausted | Code::NotFound => {
                Self::Final(Error::Unreachable { executed: Executed::No, why })
            }
            // An outdated token: the next connection logs in anew.
            Code::Unauthenticated => Self::NotExecuted(why),
            Code::Unavailable if why.contains("no leader") || was_refused(status) => Self::NotExecuted(why),
            _ => Self::Lost(if why.is_empty() { status.code().to_string() } else { why }),
        }
    }
}

/// Whether the request never left, because there was no connection to send it on.
fn was_refused(status: &Status) -> bool {
    causes(status).any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
    })
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// The error with its causes, for tonic's own text says `transport error` only.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn tls(config: &Config) -> Result<ClientTlsConfig> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| Error::Corrupt { path: path.to_owned(), why: error.to_string() })
    };
    let mut tls = ClientTlsConfig::new();
    if let Some(ca) = &config.ca {
        tls = tls.ca_certificate(Certificate::from_pem(read(ca)?));
    }
    match (&config.cert, &config.key) {
        (Some(cert), Some(key)) => tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?)),
        (None, None) => {}
        _ => return Err(Error::Invalid("etcd: a certificate and its key belong together".into())),
    }
    Ok(tls)
}
