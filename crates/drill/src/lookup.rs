//! What a client's resolver does: asks the name servers for an address and keeps the answer for as long as it may be kept.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lifeboat_dns::{Family, resolve};
use lifeboat_model::Moment;
use tokio::sync::Mutex;

use crate::clock;

/// How long one name server may take before the next one is asked.
pub(crate) const SERVER_TIMEOUT: Duration = Duration::from_millis(200);

/// A cache of one name in front of several name servers.
pub(crate) struct Resolver {
    name: String,
    servers: Vec<SocketAddr>,
    kept: Mutex<Kept>,
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
    /// Of a host name, asking these servers.
    pub(crate) fn new(name: &str, servers: Vec<SocketAddr>) -> Self {
        Self { name: name.to_owned(), servers, kept: Mutex::default() }
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
        let family = if server.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
        let asked = clock::now();
        let found = resolve(&[server], &self.name, family, SERVER_TIMEOUT).await.ok()?;
        Some(Answer { addresses: found.addresses, asked, expires: clock::now() + found.ttl })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::Message;
    use hickory_proto::rr::rdata::SOA;
    use hickory_proto::rr::{RData, Record};
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::net::UdpSocket;

    /// A name server that answers every question with `address` and `ttl`, or that there is none, and counts questions.
    async fn server(address: Option<[u8; 4]>, ttl: u32) -> (SocketAddr, Arc<AtomicUsize>) {
        let socket = UdpSocket::bind("127.83.1.10:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let query = Message::from_vec(&buffer[..length]).unwrap();
                let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
                let name = query.queries[0].name().clone();
                answer.add_query(query.queries[0].clone());
                match address {
                    Some(address) => {
                        answer.add_answer(Record::from_rdata(name, ttl, RData::A(Ipv4Addr::from(address).into())));
                    }
                    None => {
                        let soa = SOA::new(name.clone(), name.clone(), 1, 60, 60, 60, ttl);
                        answer.add_authority(Record::from_rdata(name, 3600, RData::SOA(soa)));
                    }
                }
                // A stray datagram first: it must not be taken for the answer.
                let mut stray = answer.clone();
                stray.metadata.id = query.metadata.id.wrapping_add(1);
                socket.send_to(&stray.to_vec().unwrap(), client).await.unwrap();
                socket.send_to(&answer.to_vec().unwrap(), client).await.unwrap();
            }
        });
        (at, asked)
    }

    fn asked(count: &AtomicUsize) -> usize {
        count.load(Ordering::SeqCst)
    }

    #[tokio::test]
    async fn an_answer_is_kept_for_its_time_to_live_and_not_longer() {
        let (at, count) = server(Some([127, 0, 0, 7]), 1).await;
        let resolver = Resolver::new("shop.example.test", vec![at]);
        let began = clock::now();
        while clock::now().since(began) < Duration::from_millis(900) {
            assert_eq!(resolver.addresses(clock::now()).await, [IpAddr::from([127, 0, 0, 7])]);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(asked(&count), 1);
        while clock::now().since(began) < Duration::from_millis(1300) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        resolver.addresses(clock::now()).await;
        assert_eq!(asked(&count), 2);
    }

    #[tokio::test]
    async fn with_a_time_to_live_of_zero_each_attempt_asks_and_attempts_that_waited_share() {
        let (at, count) = server(Some([127, 0, 0, 7]), 0).await;
        let resolver = Resolver::new("shop.example.test", vec![at]);
        for _ in 0..3 {
            resolver.addresses(clock::now()).await;
        }
        assert_eq!(asked(&count), 3);
        let began = clock::now();
        resolver.addresses(began).await;
        resolver.addresses(began).await;
        assert_eq!(asked(&count), 4);
    }

    #[tokio::test]
    async fn silent_and_absent_servers_are_passed_over() {
        let silent = UdpSocket::bind("127.83.1.10:0").await.unwrap();
        let gone = UdpSocket::bind("127.83.1.10:0").await.unwrap().local_addr().unwrap();
        let (at, count) = server(None, 60).await;
        let resolver = Resolver::new("shop.example.test", vec![gone, silent.local_addr().unwrap(), at]);
        assert!(resolver.addresses(clock::now()).await.is_empty());
        assert_eq!(asked(&count), 1);
        assert_eq!(resolver.kept.lock().await.server, 2, "whoever answered is asked first next time");

        let alone = Resolver::new("shop.example.test", vec![gone]);
        assert!(alone.addresses(clock::now()).await.is_empty());
        assert!(alone.kept.lock().await.answer.is_none(), "no answer is nothing to keep");
    }
}
