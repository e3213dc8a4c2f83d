//! The client of a drill: places orders without pause, as an app's users would, and remembers what was acknowledged.
//!
//! It knows the app by its host name only. It finds the serving region through the nodes' name servers, keeps an answer
//! exactly as long as its time to live allows, and never uses an order's id twice, so that an order whose answer was lost
//! is simply unknown.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::{Method, StatusCode};
use lifeboat_model::Moment;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::clock;
use crate::http::Connection;
use crate::lookup::Resolver;

/// How many orders are under way at once.
pub(crate) const WORKERS: usize = 4;
/// A request that takes longer is given up; whether it was carried out is unknown then.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// A pause after each order, so that the client does not take the machine from those whom it measures.
pub(crate) const PAUSE_AFTER_SUCCESS: Duration = Duration::from_millis(5);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(10);

/// An order that was answered with 201.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    /// Its number; [`History::id`] makes the id from it.
    pub number: u64,
    /// Before the request was written.
    pub sent: Moment,
    /// After the answer had been read.
    pub at: Moment,
    /// The address that answered.
    pub address: IpAddr,
}

/// What the client remembers.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// What every id begins with.
    pub prefix: String,
    /// In the order in which the answers arrived.
    pub acknowledged: Vec<Acknowledged>,
    /// When attempts failed, in order: refused, timed out, answered with an error, or no address.
    pub failed: Vec<Moment>,
}

impl History {
    /// The id under which the order with this number was placed.
    pub fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.prefix)
    }
}

/// A running client.
pub(crate) struct Client {
    shared: Arc<Shared>,
    workers: JoinSet<()>,
}

struct Shared {
    resolver: Resolver,
    host: String,
    port: u16,
    history: Mutex<History>,
    next: AtomicU64,
    stopping: AtomicBool,
}

impl Client {
    /// Starts to place orders at `host`, found through `servers`. `None`: `host` is not a host name.
    pub(crate) fn start(host: &str, port: u16, servers: Vec<SocketAddr>, prefix: String) -> Option<Self> {
        let shared = Arc::new(Shared {
            resolver: Resolver::new(host, servers),
            host: host.into(),
            port,
            history: Mutex::new(History { prefix, ..History::default() }),
            next: AtomicU64::new(1),
            stopping: AtomicBool::new(false),
        });
        let mut workers = JoinSet::new();
        for _ in 0..WORKERS {
            workers.spawn(work(Arc::clone(&shared)));
        }
        Some(Self { shared, workers })
    }

    /// How many orders were acknowledged so far, and the newest of them.
    pub(crate) fn progress(&self) -> (usize, Option<Acknowledged>) {
        let history = self.shared.lock();
        (history.acknowledged.len(), history.acknowledged.last().copied())
    }

    /// The first order after `moment` that was answered from one of these addresses, or that came after a pause of so long.
    pub(crate) fn first_after(
        &self,
        moment: Moment,
        from: impl Fn(IpAddr) -> bool,
        pause: Duration,
    ) -> Option<Acknowledged> {
        let history = self.shared.lock();
        let after = history.acknowledged.iter().rposition(|order| order.at <= moment).map_or(0, |last| last + 1);
        (after..history.acknowledged.len()).map(|index| history.acknowledged[index]).enumerate().find_map(
            |(index, order)| {
                let previous = (after + index).checked_sub(1).map_or(moment, |before| history.acknowledged[before].at);
                (from(order.address) || order.at.since(previous) >= pause).then_some(order)
            },
        )
    }

    /// How many orders were acknowledged after `moment`.
    pub(crate) fn acknowledged_after(&self, moment: Moment) -> usize {
        self.shared.lock().acknowledged.iter().rev().take_while(|order| order.at > moment).count()
    }

    /// Ends when the orders under way have been answered or given up, and says what is remembered.
    pub(crate) async fn stop(mut self) -> History {
        self.shared.stopping.store(true, Ordering::Relaxed);
        while self.workers.join_next().await.is_some() {}
        let mut history = std::mem::take(&mut *self.shared.lock());
        // A worker reads the clock before it takes the lock.
        history.acknowledged.sort_by_key(|order| order.at);
        history.failed.sort();
        history
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, History> {
        // A worker that panicked while it held the lock had at most not yet remembered its order.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn work(shared: Arc<Shared>) {
    let mut open: Option<(IpAddr, Connection)> = None;
    // Which of the addresses is tried: the next one after each failure.
    let mut turn = 0;
    while !shared.stopping.load(Ordering::Relaxed) {
        let began = clock::now();
        let addresses = shared.resolver.addresses(began).await;
        let address = addresses.get(turn % addresses.len().max(1)).copied();
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        let accepted = match address {
            Some(address) => place(&shared, &mut open, address, number).await,
            None => None,
        };
        match accepted {
            Some(order) => {
                shared.lock().acknowledged.push(order);
                sleep(PAUSE_AFTER_SUCCESS).await;
            }
            None => {
                open = None;
                turn += 1;
                shared.lock().failed.push(clock::now());
                sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

/// One order, over the open connection if it leads to the right address. `None`: not acknowledged.
async fn place(
    shared: &Shared,
    open: &mut Option<(IpAddr, Connection)>,
    address: IpAddr,
    number: u64,
) -> Option<Acknowledged> {
    let body = {
        let id = shared.lock().id(number);
        serde_json::to_vec(&serde_json::json!({"id": id, "item": "a seat in the boat"})).ok()?
    };
    let sent = clock::now();
    timeout(REQUEST_TIMEOUT, async {
        if open.as_ref().is_none_or(|(to, _)| *to != address) {
            let connection = Connection::open((address, shared.port).into(), shared.host.as_str()).await.ok()?;
            *open = Some((address, connection));
        }
        let (_, connection) = open.as_mut()?;
        let (status, _) = connection.request(Method::POST, "/orders", None, Some(body)).await.ok()?;
        (status == StatusCode::CREATED).then(|| Acknowledged { number, sent, at: clock::now(), address })
    })
    .await
    .ok()?
}

/// Every id that the app at `address` knows: one a line, or a JSON array of ids or of objects with an `id`.
pub(crate) async fn orders_at(address: SocketAddr, host: &str, limit: Duration) -> Result<BTreeSet<String>, String> {
    let read = async {
        let mut connection = Connection::open(address, host).await?;
        connection.request(Method::GET, "/orders", None, None).await
    };
    let (status, body) = timeout(limit, read)
        .await
        .map_err(|_| format!("{address} did not list its orders within {} s", limit.as_secs()))?
        .map_err(|error| format!("{address} did not list its orders: {error}"))?;
    if status != StatusCode::OK {
        return Err(format!("{address} answered {status} when asked for its orders"));
    }
    listed(&body).ok_or_else(|| format!("{address} listed its orders in an unknown form"))
}

fn listed(body: &[u8]) -> Option<BTreeSet<String>> {
    let text = std::str::from_utf8(body).ok()?.trim();
    if !text.starts_with('[') {
        return Some(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect());
    }
    let values: Vec<serde_json::Value> = serde_json::from_str(text).ok()?;
    values.iter().map(|value| value.as_str().or_else(|| value.get("id")?.as_str()).map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::Message;
    use hickory_proto::rr::{RData, Record};
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, UdpSocket};

    /// What the order service does with a request.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Mood {
        Accepts,
        Refuses(u16),
        HangsUp,
        Silent,
    }

    #[derive(Default)]
    struct Seen {
        /// Every id that arrived, in order.
        ids: Vec<String>,
        /// Those that were answered with 201.
        accepted: BTreeSet<String>,
        connections: usize,
    }

    async fn name_server(address: [u8; 4]) -> SocketAddr {
        let socket = UdpSocket::bind("127.83.1.11:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
                let query = Message::from_vec(&buffer[..length]).unwrap();
                let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
                answer.add_query(query.queries[0].clone());
                answer.add_answer(Record::from_rdata(
                    query.queries[0].name().clone(),
                    60,
                    RData::A(Ipv4Addr::from(address).into()),
                ));
                socket.send_to(&answer.to_vec().unwrap(), client).await.unwrap();
            }
        });
        at
    }

    async fn order_service(mood: tokio::sync::watch::Receiver<Mood>, seen: Arc<Mutex<Seen>>) -> SocketAddr {
        let listener = TcpListener::bind("127.83.1.11:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                seen.lock().unwrap().connections += 1;
                let (mood, seen) = (mood.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    let mut buffer = vec![0; 4096];
                    // The client's requests are small, and it waits for each answer: one read is one request or its parts.
                    let mut text = String::new();
                    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                        text += std::str::from_utf8(&buffer[..length]).unwrap();
                        let Some((_, body)) = text.split_once("\r\n\r\n") else { continue };
                        let Ok(order) = serde_json::from_str::<serde_json::Value>(body) else { continue };
                        let id = order["id"].as_str().unwrap().to_owned();
                        seen.lock().unwrap().ids.push(id.clone());
                        text.clear();
                        let now = *mood.borrow();
                        let status = match now {
                            Mood::Accepts => 201,
                            Mood::Refuses(status) => status,
                            Mood::HangsUp => return,
                            Mood::Silent => std::future::pending().await,
                        };
                        if status == 201 {
                            seen.lock().unwrap().accepted.insert(id);
                        }
                        let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        at
    }

    #[tokio::test]
    async fn only_what_was_answered_with_201_is_remembered_and_no_id_is_used_twice() {
        let (mood, moods) = tokio::sync::watch::channel(Mood::Accepts);
        let seen = Arc::new(Mutex::new(Seen::default()));
        let service = order_service(moods, Arc::clone(&seen)).await;
        let server = name_server([127, 83, 1, 11]).await;
        let client = Client::start("shop.example.test", service.port(), vec![server], "t".into()).unwrap();
        let before_outages = clock::now();
        let until = async |done: &dyn Fn() -> bool| {
            let waited = async {
                while !done() {
                    sleep(Duration::from_millis(5)).await;
                }
            };
            timeout(Duration::from_secs(30), waited).await.unwrap();
        };
        let arrived = || seen.lock().unwrap().ids.len();
        until(&|| client.progress().0 >= 40).await;
        assert_eq!(seen.lock().unwrap().connections, WORKERS, "connections are kept while all is well");
        for outage in [Mood::Refuses(503), Mood::Refuses(409), Mood::Refuses(200), Mood::HangsUp, Mood::Silent] {
            mood.send(outage).unwrap();
            let before = arrived();
            // More than one round of all workers; of silence this takes their time-outs.
            until(&|| arrived() > before + 2 * WORKERS).await;
            let accepted = client.progress().0;
            mood.send(Mood::Accepts).unwrap();
            until(&|| client.progress().0 > accepted + WORKERS).await;
        }
        let first_back = client.first_after(before_outages, |_| false, Duration::from_millis(500));
        assert!(first_back.is_some(), "the silence was a noticeable pause");
        let history = client.stop().await;

        let seen = seen.lock().unwrap();
        let unique: BTreeSet<&String> = seen.ids.iter().collect();
        assert_eq!(unique.len(), seen.ids.len(), "an id was sent twice");
        let remembered: BTreeSet<String> = history.acknowledged.iter().map(|order| history.id(order.number)).collect();
        assert_eq!(remembered.len(), history.acknowledged.len());
        assert!(remembered.is_subset(&seen.accepted));
        // An answer may have crossed the client's time-out, one for each worker at most.
        assert!(seen.accepted.len() <= remembered.len() + WORKERS);
        assert!(history.acknowledged.is_sorted_by_key(|order| order.at));
        assert!(history.acknowledged.iter().all(|order| order.sent <= order.at));
        assert!(history.failed.len() >= 5 * WORKERS);
    }

    #[test]
    fn lists_are_read_as_lines_and_as_json() {
        let expected = BTreeSet::from(["a-1".to_owned(), "a-2".to_owned()]);
        for text in ["a-1\na-2\n", "a-2\r\na-1", r#"["a-1", "a-2"]"#, r#"[{"id": "a-1"}, {"id": "a-2", "item": "x"}]"#]
        {
            assert_eq!(listed(text.as_bytes()), Some(expected.clone()), "{text}");
        }
        assert_eq!(listed(b""), Some(BTreeSet::new()));
        assert_eq!(listed(b"[1, 2]"), None);
        assert_eq!(listed(b"[\"a-1\""), None, "a list that breaks off");
    }
}
