//! A watch that goes on at another member when its own is gone.

use std::path::PathBuf;

use async_trait::async_trait;
use etcd_client::{Event, EventType, GetOptions, WatchOptions, WatchResponse, WatchStream};
use lifeboat_model::state::{Change, Revision};
use lifeboat_store::{Error, Result, Watch};

use crate::convert;
use crate::members::{Members, Repeat};

/// A place in the history, and the stream that is read from there.
pub(crate) struct EtcdWatch {
    members: Members,
    prefix: String,
    after: Revision,
    stream: Option<WatchStream>,
}

impl std::fmt::Debug for EtcdWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdWatch").field("prefix", &self.prefix).field("after", &self.after).finish_non_exhaustive()
    }
}

impl EtcdWatch {
    pub(crate) fn new(members: Members, prefix: &str, after: Revision) -> Self {
        Self { members, prefix: prefix.to_owned(), after, stream: None }
    }

    async fn begin(&self) -> Result<WatchStream> {
        let count = |mut client: etcd_client::KvClient| async move {
            client.get("", Some(GetOptions::new().with_all_keys().with_count_only().with_limit(1))).await
        };
        let newest = self.members.call(Repeat::Freely, |client| count(client.kv())).await?;
        if self.after > convert::revision(newest.header())? {
            return Err(Error::Compacted);
        }
        let options = WatchOptions::new()
            .with_start_revision(convert::signed(self.after.0.saturating_add(1)))
            .with_progress_notify();
        let options = if self.prefix.is_empty() { options.with_all_keys() } else { options.with_prefix() };
        let watch = |mut client: etcd_client::WatchClient, options| async move {
            client.watch(self.prefix.as_str(), Some(options)).await
        };
        self.members.call(Repeat::Freely, |client| watch(client.watch(), options.clone())).await
    }

    /// The changes of an answer, which may be none; `None` where the stream has come to its end.
    fn read(&mut self, answer: Option<WatchResponse>) -> Result<Option<Vec<Change>>> {
        let Some(answer) = answer else { return Ok(None) };
        if answer.compact_revision() > 0 {
            return Err(Error::Compacted);
        }
        if answer.canceled() {
            return Ok(None);
        }
        let changes = answer.events().iter().map(change).collect::<Result<Vec<_>>>()?;
        // An answer ends with a whole revision, because it was not asked for in fragments.
        if let Some(last) = changes.last() {
            self.after = match last {
                Change::Put(entry) => entry.revision,
                Change::Delete { revision, .. } => *revision,
            };
        } else if !answer.created() {
            // Progress: everything up to there was sent.
            self.after = self.after.max(convert::revision(answer.header())?);
        }
        Ok(Some(changes))
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
                Ok(Some(changes)) if changes.is_empty() => {}
                Ok(Some(changes)) => return Ok(changes),
                Ok(None) => {
                    self.stream = None;
                    // A member that ends every stream at once shall not be asked without a pause.
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                Err(error) => {
                    self.stream = None;
                    return Err(error);
                }
            }
        }
    }
}

fn change(event: &Event) -> Result<Change> {
    let found = event.kv().ok_or_else(|| Error::Corrupt { path: PathBuf::new(), why: "a change of no key".into() })?;
    Ok(match event.event_type() {
        EventType::Put => Change::Put(convert::entry(found)?),
        EventType::Delete => {
            Change::Delete { key: convert::key(found)?, revision: Revision(found.mod_revision().unsigned_abs()) }
        }
    })
}
