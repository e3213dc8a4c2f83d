//! Connections to servers for statements: bounded in time, closed when dropped.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify};
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

use crate::Config;
use crate::error::{Error, explain};
use crate::settings::{SUPERUSER, region_role};

/// No connection to a server that lives takes longer, and none to one that does not should.
pub(crate) const CONNECT_BOUND: Duration = Duration::from_secs(2);

/// Connects as the superuser over the Unix socket. Its own commits never wait for a gate: it has to work while one is shut.
pub(crate) async fn local(config: &Config, sockets: &Path, database: &str) -> Result<Client, Error> {
    connect(&superuser(config, sockets, database), "connecting to the server", CONNECT_BOUND, None).await
}

fn superuser(config: &Config, sockets: &Path, database: &str) -> tokio_postgres::Config {
    let mut to = tokio_postgres::Config::new();
    to.host_path(sockets).port(config.port).user(SUPERUSER).password(&config.secrets.superuser).dbname(database);
    to.application_name("lifeboat").options("-c synchronous_commit=local -c lock_timeout=10s");
    to
}

/// Connects to a peer's server as our region's replication role, which may do what `pg_rewind` needs.
pub(crate) async fn peer(config: &Config, server: std::net::SocketAddr) -> Result<Client, Error> {
    let mut to = tokio_postgres::Config::new();
    to.host(server.ip().to_string()).port(server.port()).user(region_role(&config.region));
    to.password(&config.secrets.replication).dbname("postgres").application_name("lifeboat");
    to.connect_timeout(CONNECT_BOUND).tcp_user_timeout(Duration::from_secs(5));
    connect(&to, "connecting to the writer", CONNECT_BOUND, None).await
}

async fn connect(
    to: &tokio_postgres::Config,
    what: &'static str,
    bound: Duration,
    ended: Option<Arc<Notify>>,
) -> Result<Client, Error> {
    let (client, connection) = timeout(bound, to.connect(NoTls))
        .await
        .map_err(|_| Error::Sql { what, why: format!("no answer within {} ms", bound.as_millis()) })?
        .map_err(|error| match error.code().map(tokio_postgres::error::SqlState::code) {
            Some("57P03") => Error::Sql { what, why: STARTING.to_owned() },
            _ => Error::Sql { what, why: explain(&error) },
        })?;
    // Ends when the client is dropped or the server closes; it owns nothing else.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = %explain(&error), "a connection to a server ended");
        }
        if let Some(ended) = ended {
            ended.notify_one();
        }
    });
    Ok(client)
}

/// What a server that does not answer queries yet, or no more, is reported as (57P03).
pub(crate) const STARTING: &str = "the server is starting up or shutting down";

/// A connection that is kept open, so that nothing need wait for one.
pub(crate) struct Warm {
    kept: Mutex<Option<Arc<Client>>>,
    bound: Duration,
    ended: Option<Arc<Notify>>,
}

impl Warm {
    /// `bound`: on connecting. `ended` is notified when a connection breaks.
    pub fn new(bound: Duration, ended: Option<Arc<Notify>>) -> Self {
        Self { kept: Mutex::default(), bound, ended }
    }

    /// The connection, made anew where it has ended.
    pub async fn client(&self, config: &Config, sockets: &Path) -> Result<Arc<Client>, Error> {
        let mut kept = self.kept.lock().await;
        if let Some(client) = kept.as_ref().filter(|client| !client.is_closed()) {
            return Ok(client.clone());
        }
        let to = superuser(config, sockets, "postgres");
        let client = Arc::new(connect(&to, "connecting to the server", self.bound, self.ended.clone()).await?);
        *kept = Some(client.clone());
        Ok(client)
    }

    /// Forgets the connection: its server is gone, or does not answer.
    pub async fn forget(&self) {
        self.kept.lock().await.take();
    }
}
