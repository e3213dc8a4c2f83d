//! What a client's resolver does: asks the name servers for an address and keeps the answer for as long as it may be kept.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use lifeboat_model::Moment;
use tokio::net::UdpSocket;
use tokio::sync::Mutex;

use crate::clock;

/// How long one name server may take before the next one is asked.
pub(crate) const SERVER_TIMEOUT: Duration = Duration::from_millis(200);

/// A cache of one name in front of several name servers.
pub(crate) struct Resolver {
    name: Name,
    servers: Vec<SocketAddr>,
    kept: Mutex<Kept>,
    serial: AtomicU16,
}

#[derive(Default)]
struct Kept {
    /// Which server answered last; it is asked first.
    server: usize,
    answer: Option<Answer>,
}

#[derive(Clone, Debug)]
struct Answer {
    /// Empty: the name has no address at present.
    addresses: Vec<IpAddr>,
    asked: Moment,
    expires: Moment,
}

impl Resolver {
    /// `None`: `name` is not a host name.
    pub(crate) fn new(name: &str, servers: Vec<SocketAddr>) -> Option<Self> {
        let mut name = Name::from_ascii(name).ok()?;
        name.set_fqdn(true);
        Some(Self { name, servers, kept: Mutex::default(), serial: AtomicU16::new(1) })
    }

    /// The addresses, from the cache while the answer's time to live lasts; otherwise asked for anew. `began` is when the
    /// caller began to want them: an answer that was asked for after that serves even if its time to live is zero.
    /// Empty: there is no address, or no server answers.
    pub(crate) async fn addresses(&self, began: Moment) -> Vec<IpAddr> {
        let mut kept = self.kept.lock().await;
        if let Some(answer) = &kept.answer
            && (clock::now() < answer.expires || answer.asked >= began)
        {
            return answer.addresses.clone();
        }
        for turn in 0..self.servers.len() {
            let index = (kept.server + turn) % self.servers.len();
            if let Some(answer) = self.ask(self.servers[index]).await {
                *kept = Kept { server: index, answer: Some(answer.clone()) };
                return answer.addresses;
            }
        }
        Vec::new()
    }

    /// One question to one server. `None`: no usable answer in time.
    async fn ask(&self, server: SocketAddr) -> Option<Answer> {
        let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 16], 0).into() };
        let asked = clock::now();
        let answer = tokio::time::timeout(SERVER_TIMEOUT, async {
            let socket = UdpSocket::bind(any).await.ok()?;
            socket.connect(server).await.ok()?;
            let kind = if server.is_ipv4() { RecordType::A } else { RecordType::AAAA };
            let mut question = Message::query();
            question.metadata.id = self.serial.fetch_add(1, Ordering::Relaxed);
            question.add_query(Query::query(self.name.clone(), kind));
            socket.send(&question.to_vec().ok()?).await.ok()?;
            let mut buffer = [0; 1232];
            loop {
                let length = socket.recv(&mut buffer).await.ok()?;
                if let Ok(answer) = Message::from_vec(&buffer[..length])
                    && answer.metadata.id == question.metadata.id
                {
                    return Some(answer);
                }
            }
        })
        .await
        .ok()??;
        if !matches!(answer.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain) {
            return None;
        }
        let addresses: Vec<IpAddr> = answer.answers.iter().filter_map(|record| record.data.ip_addr()).collect();
        let ttl = if addresses.is_empty() {
            negative_ttl(&answer)
        } else {
            answer.answers.iter().map(|record| record.ttl).min().unwrap_or(0)
        };
        Some(Answer { addresses, asked, expires: clock::now() + Duration::from_secs(ttl.into()) })
    }
}

/// RFC 2308, section 5: for how long "there is none" may be kept.
fn negative_ttl(answer: &Message) -> u32 {
    answer
        .authorities
        .iter()
        .find_map(|record| match &record.data {
            RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
            _ => None,
        })
        .unwrap_or(0)
}
