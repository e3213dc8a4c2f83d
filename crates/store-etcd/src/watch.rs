//! A watch that goes on at another member when its own is gone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use etcd_client::{Event, EventType, GetOptions, WatchOptions, WatchResponse, WatchStream};
use lifeboat_model::state::{Change, Revision};
use lifeboat_store::{Error, Executed, Result, Watch};

use crate::convert;
use crate::members::{Members, Repeat};

/// How long to wait before the next stream, so that a member that ends each of them at once is not flooded.
const PAUSE: Duration = Duration::from_millis(20);

/// A place in the history, and the stream that is read from there.
pub(crate) struct EtcdWatch {
    members: Members,
    space: Arc<str>,
    /// With the space before it.
    prefix: String,
    after: Revision,
    stream: Option<WatchStream>,
    /// Since when no stream has lasted.
    failing_since: Option<Instant>,
}

impl std::fmt::Debug for EtcdWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdWatch").field("prefix", &self.prefix).field("after", &self.after).finish_non_exhaustive()
    }
}

impl EtcdWatch {
    pub(crate) fn new(members: Members, space: Arc<str>, prefix: &str, after: Revision) -> Self {
        let prefix = format!("{space}{prefix}");
        Self { members, space, prefix, after, stream: None, failing_since: None }
    }

    async fn begin(&self) -> Result<WatchStream> {
        let count = |mut client: etcd_client::KvClient| async move {
            client.get("", Some(GetOptions::new().with_all_keys().with_count_only().with_limit(1))).await
        };
        let newest = self.members.call(Repeat::Freely, |client| count(client.kv())).await?;
        if self.after > convert::revision(newest.header())? {
            return Err(Error::Compacted);
        }
        let options = WatchOptions::new().with_start_revision(convert::signed(self.after.0.saturating_add(1)));
        let options = if self.prefix.is_empty() { options.with_all_keys() } else { options.with_prefix() };
        let watch = |mut client: etcd_client::WatchClient, options| async move {
            client.watch(self.prefix.as_str(), Some(options)).await
        };
        self.members.call(Repeat::Freely, |client| watch(client.watch(), options.clone())).await
    }

    /// The changes of an answer, which may be none, or why the stream has come to its end.
    fn read(&mut self, answer: Option<WatchResponse>) -> Result<Result<Vec<Change>, String>> {
        let Some(answer) = answer else { return Ok(Err("the connection was lost".into())) };
        if answer.compact_revision() > 0 {
            return Err(Error::Compacted);
        }
        if answer.canceled() {
            return Ok(Err(answer.cancel_reason().to_owned()));
        }
        let changes = answer.events().iter().map(|event| change(&self.space, event)).collect::<Result<Vec<_>>>()?;
        // An answer ends with a whole revision, because it was not asked for in fragments.
        if let Some(last) = changes.last() {
            self.after = match last {
                Change::Put(entry) => entry.revision,
                Change::Delete { revision, .. } => *revision,
            };
        }
        Ok(Ok(changes))
    }

    /// Goes on with another stream, unless none has lasted for as long as an operation may take.
    async fn start_anew(&mut self, why: String) -> Result<()> {
        self.stream = None;
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if since.elapsed() > self.members.timeout() {
            self.failing_since = None;
            return Err(Error::Unreachable { executed: Executed::No, why });
        }
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}

#[async_trait]
impl Watch for EtcdWatch {
    async fn next(&mut self) -> Result<Vec<Change>> {
        loop {
            let stream = match &mut self.stream {
                Some(stream) => stream,
                None => {
                    let stream = self.begin().await?;
                    self.stream.insert(stream)
                }
            };
            let answer = stream.message().await.unwrap_or(None);
            match self.read(answer) {
                Ok(Ok(changes)) => {
                    if !changes.is_empty() {
                        self.failing_since = None;
                        return Ok(changes);
                    }
                }
                Ok(Err(why)) => self.start_anew(why).await?,
                Err(error) => {
                    self.stream = None;
                    return Err(error);
                }
            }
        }
    }
}

fn change(space: &str, event: &Event) -> Result<Change> {
    let found = event.kv().ok_or_else(|| Error::Corrupt { path: PathBuf::new(), why: "a change of no key".into() })?;
    Ok(match event.event_type() {
        EventType::Put => Change::Put(convert::entry(space, found)?),
        EventType::Delete => {
            Change::Delete { key: convert::key(space, found)?, revision: Revision(found.mod_revision().unsigned_abs()) }
        }
    })
}
