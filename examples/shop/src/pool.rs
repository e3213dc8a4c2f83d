//! A small pool of connections to PostgreSQL, each kept by a task of its own that connects again whenever it breaks.
//!
//! The task reads its connection all the time, so a break is noticed when it happens and not at the next request.
//! It also hears the server's warnings, which [`Session::warned`] passes on to whoever uses the connection.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_postgres::error::{DbError, Severity};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls, Socket};

use crate::orders;

/// Connections.
pub const SIZE: usize = 8;
/// From the request of a connection to giving up.
pub const WAIT: Duration = Duration::from_millis(500);
/// For TCP to connect, unless the URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// For a connection to become usable, for each host of the URL. A server that is suspended accepts connections and says nothing.
const SESSION_TIMEOUT: Duration = Duration::from_secs(2);
/// Silence on a connection that owes an answer of TCP; then the host is gone.
const TCP_TIMEOUT: Duration = Duration::from_secs(3);
/// After the first failed attempt to connect, doubled by each further one up to [`MAX_BACKOFF`]; see [`longer`].
const MIN_BACKOFF: Duration = Duration::from_millis(20);
const MAX_BACKOFF: Duration = Duration::from_millis(200);

/// The connections.
pub struct Pool {
    idle: Mutex<Vec<Session>>,
    /// As many permits as there are idle sessions, save for moments.
    available: Semaphore,
    connected: AtomicUsize,
    /// Why the last attempt to connect failed.
    failure: Mutex<Option<String>>,
}

/// One connection.
pub struct Session {
    slot: usize,
    /// Where statements are sent.
    pub client: Client,
    warned: Arc<AtomicBool>,
}

impl Session {
    /// Forgets earlier warnings.
    pub fn forget_warnings(&self) {
        self.warned.store(false, Ordering::SeqCst);
    }

    /// Whether the server has warned since. Notices precede the end of the statement that they belong to, and are read
    /// in order, so this is final once the statement has ended.
    pub fn warned(&self) -> bool {
        self.warned.load(Ordering::SeqCst)
    }
}

/// A session that nobody else uses until this is dropped.
pub struct Lease {
    pool: Arc<Pool>,
    session: Option<Session>,
}

impl std::ops::Deref for Lease {
    type Target = Session;
    fn deref(&self) -> &Session {
        self.session.as_ref().expect("a lease holds its session until it is dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.pool.put_back(session);
        }
    }
}

/// Why there is no connection to be had.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// None is open.
    #[error("no connection to the database: {0}")]
    Disconnected(String),
    /// Each one is in use.
    #[error("all connections to the database are in use, probably by commits that wait for a standby")]
    Busy,
}

impl Pool {
    /// Starts to connect. The connections last as long as the task set that is returned.
    pub fn open(mut config: Config) -> (Arc<Self>, JoinSet<()>) {
        if config.get_application_name().is_none() {
            config.application_name("shop");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        config.keepalives(true).keepalives_idle(Duration::from_secs(1)).keepalives_interval(Duration::from_secs(1));
        config.keepalives_retries(2).tcp_user_timeout(TCP_TIMEOUT);
        let pool = Arc::new(Self {
            idle: Mutex::new(Vec::with_capacity(SIZE)),
            available: Semaphore::new(0),
            connected: AtomicUsize::new(0),
            failure: Mutex::new(None),
        });
        let config = Arc::new(config);
        let mut keepers = JoinSet::new();
        for slot in 0..SIZE {
            keepers.spawn(pool.clone().keep(slot, config.clone()));
        }
        (pool, keepers)
    }

    /// A session, after at most [`WAIT`].
    pub async fn lease(self: &Arc<Self>) -> Result<Lease, Unavailable> {
        timeout(WAIT, self.wait_for_session()).await.map_err(|_| self.why_none())
    }

    async fn wait_for_session(self: &Arc<Self>) -> Lease {
        loop {
            let permit = self.available.acquire().await.expect("the semaphore is never closed");
            permit.forget();
            let session = lock(&self.idle).pop();
            if let Some(session) = session.filter(|session| !session.client.is_closed()) {
                return Lease { pool: self.clone(), session: Some(session) };
            }
        }
    }

    fn why_none(&self) -> Unavailable {
        if self.connected.load(Ordering::SeqCst) > 0 {
            return Unavailable::Busy;
        }
        Unavailable::Disconnected(lock(&self.failure).clone().unwrap_or_else(|| "still connecting".to_owned()))
    }

    fn put_back(&self, session: Session) {
        let mut idle = lock(&self.idle);
        // Decided under the lock: its keeper removes what it finds here after the connection has closed.
        if !session.client.is_closed() {
            idle.push(session);
            self.available.add_permits(1);
        }
    }

    fn remove(&self, slot: usize) {
        let mut idle = lock(&self.idle);
        let before = idle.len();
        idle.retain(|session| session.slot != slot);
        if idle.len() < before
            && let Ok(permit) = self.available.try_acquire()
        {
            permit.forget();
        }
    }

    async fn keep(self: Arc<Self>, slot: usize, config: Arc<Config>) {
        let session_timeout = SESSION_TIMEOUT * u32::try_from(config.get_hosts().len()).unwrap_or(1).max(1);
        let mut backoff = Duration::ZERO;
        loop {
            sleep(backoff).await;
            match timeout(session_timeout, config.connect(NoTls)).await {
                Ok(Ok((client, connection))) => {
                    backoff = Duration::ZERO;
                    self.connected.fetch_add(1, Ordering::SeqCst);
                    let why = self.drive(slot, client, connection).await;
                    self.connected.fetch_sub(1, Ordering::SeqCst);
                    self.remove(slot);
                    self.failed(slot, why);
                    // A server that takes a connection and drops it at once must not be asked without a pause.
                    sleep(MIN_BACKOFF).await;
                }
                Ok(Err(error)) => {
                    self.failed(slot, explain(&error));
                    backoff = longer(slot, backoff);
                }
                Err(_) => {
                    self.failed(slot, format!("the server did not answer within {session_timeout:?}"));
                    backoff = longer(slot, backoff);
                }
            }
        }
    }

    /// Reads the connection until it closes; the answer is why it did.
    async fn drive(
        self: &Arc<Self>,
        slot: usize,
        client: Client,
        mut connection: Connection<Socket, tokio_postgres::tls::NoTlsStream>,
    ) -> String {
        let warned = Arc::new(AtomicBool::new(false));
        let session = Session { slot, client, warned: warned.clone() };
        let read = async move {
            loop {
                match poll_fn(|context| connection.poll_message(context)).await {
                    Some(Ok(AsyncMessage::Notice(notice))) => {
                        if is_warning(&notice) {
                            warned.store(true, Ordering::SeqCst);
                            // Class 57 is the server's farewell, which the end of the connection tells too.
                            if !notice.code().code().starts_with("57") {
                                say!("the database warns: {}", notice.message());
                            }
                        }
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return explain(&error),
                    None => return "the connection was closed".to_owned(),
                }
            }
        };
        let offer = async {
            let lease = Lease { pool: self.clone(), session: Some(session) };
            if slot == 0 {
                // The others serve meanwhile, should this commit have to wait.
                orders::create_table_where_writable(&lease).await;
            }
        };
        let mut read = std::pin::pin!(read);
        tokio::select! {
            biased;
            why = &mut read => return why,
            () = offer => {}
        }
        read.await
    }

    fn failed(&self, slot: usize, why: String) {
        let mut failure = lock(&self.failure);
        // One line for each change, from one of the tasks.
        if slot == 0 && failure.as_ref() != Some(&why) {
            say!("database: {why}");
        }
        *failure = Some(why);
    }
}

/// The pause after one more failed attempt. Each slot begins with another, so that their attempts are spread: they lose
/// their connections together, and a server that returns is to be found at once by one of them.
fn longer(slot: usize, backoff: Duration) -> Duration {
    let share = MAX_BACKOFF * u32::try_from(slot).unwrap_or(0) / u32::try_from(SIZE).unwrap_or(1);
    if backoff.is_zero() { MIN_BACKOFF + share } else { backoff * 2 }.min(MAX_BACKOFF)
}

/// By the severity, or by the class of the code (01, warnings): older servers send the severity in their own language only.
fn is_warning(notice: &DbError) -> bool {
    notice.parsed_severity() == Some(Severity::Warning) || notice.code().code().starts_with("01")
}

/// The error with its cause, which the error alone does not tell. It never holds the URL.
pub fn explain(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    match (error.as_db_error(), error.source()) {
        (Some(db), _) => db.message().to_owned(),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds one, and the data are sound at every point.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
