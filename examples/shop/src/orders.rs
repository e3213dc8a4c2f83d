//! Orders in PostgreSQL: placing one, and knowing whether it is safe.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{TryStreamExt, pin_mut};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use crate::pool::{self, Pool, Session, Unavailable, WAIT, explain};

/// Orders being placed at once. A commit may wait for as long as there is no standby to confirm it, and holds its
/// connection meanwhile; the connections beyond these stay free for reading.
const WRITERS: usize = pool::SIZE - 2;
/// Lists being sent at once: one connection stays free for small reads.
const LISTS: usize = 1;
/// For a whole list, however slowly its reader takes it.
const LIST_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of a list that are sent as one piece.
const PIECE_BYTES: usize = 16 * 1024;

/// Why an order is not placed, or not known to be.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Such an order exists.
    #[error("there is an order of this id already")]
    Duplicate,
    /// PostgreSQL cannot keep such a text.
    #[error("{0}")]
    Invalid(String),
    /// Nothing was sent.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The server only reads.
    #[error("the database is a read-only standby")]
    ReadOnly,
    /// The server refused; nothing was written.
    #[error("the database: {0}")]
    Database(String),
    /// Nobody answered for the commit.
    #[error("unconfirmed: {0}")]
    Unknown(String),
}

impl Refusal {
    /// Whether the order may have been placed all the same.
    pub fn may_have_been_placed(&self) -> bool {
        match self {
            Self::Unknown(_) => true,
            Self::Duplicate | Self::Invalid(_) | Self::Unavailable(_) | Self::ReadOnly | Self::Database(_) => false,
        }
    }
}

/// What the database is to this service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseState {
    /// Orders can be placed.
    Writable,
    /// Orders can be read.
    ReadOnly,
}

/// The orders.
pub struct Orders {
    pool: Arc<Pool>,
    writers: Arc<Semaphore>,
    lists: Arc<Semaphore>,
}

impl Orders {
    /// The orders of the database behind the pool.
    pub fn new(pool: Arc<Pool>) -> Self {
        Self { pool, writers: Arc::new(Semaphore::new(WRITERS)), lists: Arc::new(Semaphore::new(LISTS)) }
    }

    /// Places an order; `Ok` only when the server has confirmed the commit without a warning.
    ///
    /// Dropping the future does not take the order back. Its statement goes on in a task, which keeps the connection
    /// until the server has answered: a connection on which a commit still waits must not be given to the next request.
    pub async fn place(&self, id: String, item: String) -> Result<(), Refusal> {
        let writer = timeout(WAIT, self.writers.clone().acquire_owned()).await.map_err(|_| Unavailable::Busy)?;
        let writer = writer.expect("the semaphore is never closed");
        let lease = self.pool.lease().await?;
        // At most WRITERS such tasks; each ends with its statement or its connection.
        let placed = tokio::spawn(async move {
            let outcome = insert(&lease, &id, &item).await;
            drop(lease);
            drop(writer);
            outcome
        });
        placed.await.unwrap_or_else(|error| Err(Refusal::Unknown(error.to_string())))
    }

    /// The item of an order.
    pub async fn item(&self, id: &str) -> Result<Option<String>, Refusal> {
        let lease = self.pool.lease().await?;
        let rows = lease.client.query_typed("SELECT item FROM orders WHERE id = $1", &[(&id, Type::TEXT)]).await;
        match rows {
            Ok(rows) => Ok(rows.first().map(|row| row.get(0))),
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(None),
            Err(error) => Err(Refusal::Database(explain(&error))),
        }
    }

    /// The ids of all orders in order of their bytes, a line each, in pieces. A list that breaks off ends with an error.
    pub async fn ids(&self) -> Result<mpsc::Receiver<Result<Bytes, String>>, Refusal> {
        let list = timeout(WAIT, self.lists.clone().acquire_owned()).await;
        let list = list.map_err(|_| Unavailable::Busy)?.expect("the semaphore is never closed");
        let lease = self.pool.lease().await?;
        let query = "SELECT id FROM orders ORDER BY id COLLATE \"C\"";
        let none: [(String, Type); 0] = [];
        let rows = match lease.client.query_typed_raw(query, none).await {
            Ok(rows) => Some(rows),
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => None,
            Err(error) => return Err(Refusal::Database(explain(&error))),
        };
        let (send, pieces) = mpsc::channel(4);
        // At most LISTS such tasks, each for LIST_TIMEOUT.
        tokio::spawn(async move {
            let sending = async {
                let Some(rows) = rows else { return Ok(()) };
                pin_mut!(rows);
                let mut piece = BytesMut::with_capacity(PIECE_BYTES);
                while let Some(row) = rows.try_next().await.map_err(|error| explain(&error))? {
                    piece.put_slice(row.get::<_, &str>(0).as_bytes());
                    piece.put_u8(b'\n');
                    if piece.len() >= PIECE_BYTES && send.send(Ok(piece.split().freeze())).await.is_err() {
                        return Ok(());
                    }
                }
                // The reader may be gone; then nobody misses the rest.
                let _ = send.send(Ok(piece.freeze())).await;
                Ok(())
            };
            let ended =
                timeout(LIST_TIMEOUT, sending).await.unwrap_or_else(|_| Err("the list took too long".to_owned()));
            drop(lease);
            drop(list);
            if let Err(reason) = ended {
                let _ = timeout(LIST_TIMEOUT, send.send(Err(reason))).await;
            }
        });
        Ok(pieces)
    }

    /// Asks the database what it is.
    pub async fn state(&self) -> Result<DatabaseState, Refusal> {
        let lease = self.pool.lease().await?;
        let read_only = reads_only(&lease).await.map_err(|error| Refusal::Database(explain(&error)))?;
        Ok(if read_only { DatabaseState::ReadOnly } else { DatabaseState::Writable })
    }
}

/// Creates the table if the server takes writes. Where it does not, or the attempt fails, the first order tries again.
pub async fn create_table_where_writable(session: &Session) {
    if let Ok(false) = reads_only(session).await
        && let Err(error) = create_table(session).await
    {
        say!("cannot create the table of orders yet: {}", explain(&error));
    }
}

async fn reads_only(session: &Session) -> Result<bool, tokio_postgres::Error> {
    let query = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean";
    let rows = session.client.query_typed(query, &[]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

async fn create_table(session: &Session) -> Result<(), tokio_postgres::Error> {
    let create = "CREATE TABLE IF NOT EXISTS orders \
                  (id text PRIMARY KEY, item text NOT NULL, placed_at timestamptz NOT NULL DEFAULT now())";
    match session.client.execute_typed(create, &[]).await {
        Ok(_) => Ok(()),
        // IF NOT EXISTS does not see what another session creates at the same moment.
        Err(error)
            if [SqlState::UNIQUE_VIOLATION, SqlState::DUPLICATE_TABLE, SqlState::DUPLICATE_OBJECT]
                .iter()
                .any(|code| error.code() == Some(code)) =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

async fn insert(session: &Session, id: &str, item: &str) -> Result<(), Refusal> {
    // Another order may be creating the table; then the second attempt finds it.
    let inserted = match insert_once(session, id, item).await {
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => match create_table(session).await {
            Ok(()) => insert_once(session, id, item).await,
            Err(error) => Err(error),
        },
        inserted => inserted,
    };
    match inserted {
        // The commit stands on this server alone: its wait for the standby was cancelled. The words of the warning
        // depend on the server's language, and this statement has no other cause to warn, so any warning counts.
        Ok(_) if session.warned() => Err(Refusal::Unknown("the database did not wait for its standby".to_owned())),
        Ok(0) => Err(Refusal::Duplicate),
        Ok(_) => Ok(()),
        Err(error) => Err(refusal(&error)),
    }
}

/// One statement, which is a transaction of its own. It ends when the server is ready for the next, thus after the commit.
async fn insert_once(session: &Session, id: &str, item: &str) -> Result<u64, tokio_postgres::Error> {
    session.forget_warnings();
    let insert = "INSERT INTO orders (id, item) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
    session.client.execute_typed(insert, &[(&id, Type::TEXT), (&item, Type::TEXT)]).await
}

fn refusal(error: &tokio_postgres::Error) -> Refusal {
    let why = explain(error);
    match error.code() {
        Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => Refusal::ReadOnly,
        // Class 22: data exceptions.
        Some(code) if code.code().starts_with("22") => Refusal::Invalid(why),
        // Class 57: the server is going down or was told to stop; at which point of the commit it does not say.
        Some(code) if !code.code().starts_with("57") => Refusal::Database(why),
        Some(_) | None => Refusal::Unknown(why),
    }
}
