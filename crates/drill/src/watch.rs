//! Asking the nodes: the journal as it grows, how things stand, and the one request for a switchover.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::{Method, StatusCode};
use lifeboat_model::app::App;
use lifeboat_model::journal::JournalEntry;
use lifeboat_model::status::Status;
use lifeboat_model::{RegionId, RunId};
use lifeboat_tls::Connector;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::Error;
use crate::http::Connection;

/// A node that says nothing for so long is asked no further in this turn.
const NODE_TIMEOUT: Duration = Duration::from_millis(300);
/// A request of a person is given more time: the node may write it down first.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// An entry of the journal with its place in the order of all regions' entries.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Event {
    /// The store's revision that wrote it.
    pub revision: u64,
    /// The entry.
    pub entry: JournalEntry,
}

/// The nodes' APIs, with a connection kept open to each that is in use.
pub(crate) struct Nodes {
    addresses: BTreeMap<RegionId, SocketAddr>,
    connector: Connector,
    open: BTreeMap<RegionId, Connection>,
    /// Who is asked first: whoever answered last.
    preferred: Option<RegionId>,
    seen: u64,
}

impl Nodes {
    pub(crate) fn new(app: &App, connector: Connector) -> Self {
        let addresses = app
            .regions
            .iter()
            .filter_map(|(id, region)| Some((id.clone(), SocketAddr::from((region.address?, region.api_port)))))
            .collect();
        Self { addresses, connector, open: BTreeMap::new(), preferred: None, seen: 0 }
    }

    /// The entries written since the last call, from whichever node answers; empty if none does.
    pub(crate) async fn new_events(&mut self, asked: impl Fn(&RegionId) -> bool) -> Vec<Event> {
        for region in self.in_turn(&asked) {
            let path = format!("/v1/events?after={}", self.seen);
            if let Ok(events) = self.get::<Vec<Event>>(&region, &path).await {
                self.preferred = Some(region);
                // An entry is told once, however often a node repeats it.
                let events: Vec<Event> = events.into_iter().filter(|event| event.revision > self.seen).collect();
                self.seen = events.iter().map(|event| event.revision).fold(self.seen, u64::max);
                return events;
            }
        }
        Vec::new()
    }

    /// How things stand, according to one node.
    pub(crate) async fn status_of(&mut self, region: &RegionId) -> Option<Status> {
        self.get(region, "/v1/status").await.ok()
    }

    /// How things stand, according to whichever node answers.
    pub(crate) async fn status(&mut self, asked: impl Fn(&RegionId) -> bool) -> Option<Status> {
        for region in self.in_turn(&asked) {
            if let Some(status) = self.status_of(&region).await {
                return Some(status);
            }
        }
        None
    }

    /// Asks for a planned switchover.
    pub(crate) async fn switch_over(&mut self, via: &RegionId, to: &RegionId, token: &str) -> Result<RunId, Error> {
        #[derive(Deserialize)]
        struct Answer {
            run: RunId,
        }
        let address = self.addresses.get(via).map(ToString::to_string).unwrap_or_default();
        let refused =
            |answer: String| Error::Api { request: format!("POST http://{address}/v1/switchover to {to}"), answer };
        let body = serde_json::json!({"to": to}).to_string().into_bytes();
        let (status, body) = self
            .ask(via, Method::POST, "/v1/switchover", Some(token), Some(body), REQUEST_TIMEOUT)
            .await
            .map_err(&refused)?;
        let text = String::from_utf8_lossy(&body);
        if !status.is_success() {
            return Err(refused(format!("{status}: {}", text.chars().take(300).collect::<String>())));
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|error| refused(format!("{text} ({error})")))?;
        Ok(answer.run)
    }

    fn in_turn(&self, asked: impl Fn(&RegionId) -> bool) -> Vec<RegionId> {
        let mut regions: Vec<RegionId> = self.addresses.keys().filter(|region| asked(region)).cloned().collect();
        regions.sort_by_key(|region| self.preferred.as_ref() != Some(region));
        regions
    }

    async fn get<T: DeserializeOwned>(&mut self, region: &RegionId, path: &str) -> Result<T, String> {
        let (status, body) = self.ask(region, Method::GET, path, None, None, NODE_TIMEOUT).await?;
        if status != StatusCode::OK {
            return Err(status.to_string());
        }
        serde_json::from_slice(&body).map_err(|error| error.to_string())
    }

    async fn ask(
        &mut self,
        region: &RegionId,
        method: Method,
        path: &str,
        bearer: Option<&str>,
        json: Option<Vec<u8>>,
        limit: Duration,
    ) -> Result<(StatusCode, bytes::Bytes), String> {
        let address = *self.addresses.get(region).ok_or("no such region")?;
        // Taken out: whatever goes wrong, or is cancelled, the connection is not used again.
        let open = self.open.remove(region);
        let exchange = async {
            let mut connection = match open {
                Some(connection) => connection,
                None => Connection::to_node(&self.connector, address, region).await?,
            };
            let answer = connection.request(method, path, bearer, json).await?;
            Ok::<_, std::io::Error>((connection, answer))
        };
        let (connection, answer) = timeout(limit, exchange)
            .await
            .map_err(|_| format!("no answer within {} ms", limit.as_millis()))?
            .map_err(|error| error.to_string())?;
        self.open.insert(region.clone(), connection);
        Ok(answer)
    }
}
