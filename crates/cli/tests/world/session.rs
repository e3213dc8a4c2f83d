//! One connection to a server, which hears its warnings: a commit that comes with one may not be where its standbys are.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, NoTls, SimpleQueryMessage};

/// How long a statement may take before its client gives it up and connects anew.
const LIMIT: Duration = Duration::from_secs(2);

/// Rows of texts, or the code of the server's refusal where it is one; `None`: no answer in time.
pub type Answer = Option<Result<Vec<Vec<Option<String>>>, Option<String>>>;

pub struct Session {
    client: Client,
    warned: Arc<AtomicBool>,
    carrier: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

impl Session {
    pub async fn open(url: &str) -> Option<Self> {
        let connecting = tokio_postgres::connect(url, NoTls);
        let (client, mut connection) = tokio::time::timeout(LIMIT, connecting).await.ok()?.ok()?;
        let warned = Arc::new(AtomicBool::new(false));
        let hears = warned.clone();
        let carrier = tokio::spawn(async move {
            // A server that cancels the wait for its standbys commits nevertheless, and says so in a warning.
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notice(notice) = message
                    && notice.severity() == "WARNING"
                {
                    hears.store(true, Ordering::SeqCst);
                }
            }
        });
        Some(Self { client, warned, carrier })
    }

    /// Runs statements as one transaction; the answer comes after its commit.
    pub async fn ask(&self, statements: &str) -> Answer {
        let answer = tokio::time::timeout(LIMIT, self.client.simple_query(statements)).await.ok()?;
        Some(match answer {
            Ok(messages) => {
                let row = |message| match message {
                    SimpleQueryMessage::Row(row) => {
                        Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
                    }
                    _ => None,
                };
                Ok(messages.into_iter().filter_map(row).collect())
            }
            Err(error) => Err(error.code().map(|code| code.code().to_owned())),
        })
    }

    /// Whether the server has warned of anything since the connection was made.
    pub fn was_warned(&self) -> bool {
        self.warned.load(Ordering::SeqCst)
    }

    /// Whether the statement was committed in time and without a warning.
    pub async fn acknowledges(&self, statement: &str) -> bool {
        matches!(self.ask(statement).await, Some(Ok(_))) && !self.was_warned()
    }

    /// Whether its server is a standby; a server that does not answer is taken for one.
    #[allow(dead_code, reason = "not every test file asks")]
    pub async fn is_standby(&self) -> bool {
        match self.ask("SELECT pg_is_in_recovery()").await {
            Some(Ok(rows)) => rows != [[Some("f".to_owned())]],
            _ => true,
        }
    }
}
