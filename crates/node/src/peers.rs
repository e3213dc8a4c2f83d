//! Questions between nodes: this node's to every other, and the others' to this one on their way to the brain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use lifeboat_control::Event;
use lifeboat_control::promise::{Answers, Question};
use lifeboat_model::RegionId;
use lifeboat_tls::Connector;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::complaint::Complaint;
use crate::mind::Input;
use crate::options::Options;

/// Where another node answers.
pub const PATH: &str = "/v1/promise";
/// The most that an answer may have: a line for each database.
const LARGEST: usize = 1 << 20;

/// The nodes of the other regions.
#[derive(Clone, Debug)]
pub struct Peers {
    nodes: Vec<Peer>,
    token: String,
    connector: Connector,
    timeout: Duration,
}

#[derive(Clone, Debug)]
struct Peer {
    region: RegionId,
    address: SocketAddr,
    complaint: Arc<Complaint>,
}

impl Peers {
    /// All that have an address. `connector` makes sure that they are who they should be, and by TLS shows them who asks; without TLS
    /// `token` tells them that a node asks.
    pub fn new(options: &Options, token: String, connector: Connector) -> Self {
        let others = options.app.regions.iter().filter(|(region, _)| **region != options.region);
        let nodes = others
            .filter_map(|(region, declared)| {
                let address = SocketAddr::new(declared.address?, declared.api_port);
                Some(Peer { region: region.clone(), address, complaint: Arc::default() })
            })
            .collect();
        Self { nodes, token, connector, timeout: options.app.detection.timeout }
    }

    /// Asks all of them at once, each in a task of its own; what they answer goes to the brain.
    pub fn ask(&self, round: u64, question: &Question, inputs: &mpsc::Sender<Input>, tasks: &mut JoinSet<()>) {
        let body = match serde_json::to_vec(question) {
            Ok(body) => Bytes::from(body),
            Err(error) => return tracing::error!("a question to the other nodes: {error}"),
        };
        for peer in self.nodes.iter().cloned() {
            let (body, token, inputs, timeout) = (body.clone(), self.token.clone(), inputs.clone(), self.timeout);
            let connector = self.connector.clone();
            tasks.spawn(async move {
                let answer = match tokio::time::timeout(timeout, peer.put(&connector, body, &token)).await {
                    Ok(answer) => answer,
                    Err(_) => Err(format!("no answer within {} ms", timeout.as_millis())),
                };
                match answer {
                    Ok(answers) => {
                        peer.complaint.is_settled();
                        let event = Event::PeerAnswered { round, region: peer.region, answers };
                        // The brain's task has ended: nobody is left to be told.
                        let _ = inputs.send(Input::Event(event)).await;
                    }
                    Err(why) => {
                        peer.complaint.warn(&format!("the node of {} was asked for a promise: {why}", peer.region))
                    }
                }
            });
        }
    }
}

impl Peer {
    async fn put(&self, connector: &Connector, body: Bytes, token: &str) -> Result<Answers, String> {
        let told = |error: &dyn std::fmt::Display| error.to_string();
        let stream = connector
            .connect(self.address, &self.region)
            .await
            .map_err(|error| lifeboat_tls::handshake_failure(&error).unwrap_or_else(|| told(&error)))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| told(&error))?;
        let request = Request::post(PATH)
            .header(header::HOST, self.region.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Full::new(body))
            .map_err(|error| told(&error))?;
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(|error| told(&error))?;
            let status = answer.status();
            let body =
                Limited::new(answer.into_body(), LARGEST).collect().await.map_err(|error| told(&error))?.to_bytes();
            if !status.is_success() {
                return Err(format!("{status} {}", String::from_utf8_lossy(&body)));
            }
            serde_json::from_slice(&body).map_err(|error| told(&error))
        };
        tokio::pin!(exchange, connection);
        // The connection has to be driven until the exchange is over; what ends it early ends the exchange with an error.
        tokio::select! {
            result = &mut exchange => result,
            _ = &mut connection => exchange.await,
        }
    }
}
