//! What the tests share: a table to serve, a running server, queries as bytes, and responses as a line of text.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use domain::base::Message;
use domain::base::iana::Rtype;
use domain::base::name::ParsedName;
use domain::rdata::AllRecordData;
use lifeboat_dns::{NameServer, RecordSet, Server, Values, Zone, Zones};
use lifeboat_model::HostName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);
const SECOND: Duration = Duration::from_secs(1);

pub fn name(text: &str) -> HostName {
    text.into()
}

pub fn addresses(texts: &[&str]) -> RecordSet {
    RecordSet::addresses(SECOND, texts.iter().map(|text| text.parse::<IpAddr>().unwrap()))
}

pub fn alias(target: &str) -> RecordSet {
    RecordSet::Alias { target: name(target), ttl: 2 * SECOND }
}

pub fn zone(apex: &str, records: impl IntoIterator<Item = (&'static str, RecordSet)>) -> Zone {
    Zone {
        apex: name(apex),
        name_servers: vec![
            NameServer { name: name(&format!("ns-a.{apex}")), addresses: vec![Ipv4Addr::new(127, 0, 20, 1).into()] },
            NameServer { name: name("ns.elsewhere.test"), addresses: vec![Ipv4Addr::new(127, 0, 20, 2).into()] },
        ],
        serial: 7,
        ttl: 60 * SECOND,
        negative_ttl: SECOND,
        records: records.into_iter().map(|(owner, set)| (name(owner), set)).collect::<BTreeMap<_, _>>(),
    }
}

/// One zone with something of everything, and a second one.
pub fn zones() -> Zones {
    let many = (1..=100).map(|last| IpAddr::from([10, 0, 0, last]));
    let text = Values { ttl: SECOND, values: vec!["v=1".into(), "x".repeat(300)] };
    Zones::new(&[
        zone(
            "example.test",
            [
                ("shop.example.test", addresses(&["127.0.20.1"])),
                ("both.example.test", addresses(&["127.0.20.1", "::1"])),
                ("text.example.test", RecordSet::Data { a: Values::none(), aaaa: Values::none(), txt: text }),
                ("down.example.test", addresses(&[])),
                ("a.deep.down.under.example.test", addresses(&["127.0.20.3"])),
                ("many.example.test", RecordSet::addresses(SECOND, many)),
                ("www.example.test", alias("shop.example.test")),
                ("far.example.test", alias("www.other.test")),
                ("out.example.test", alias("host.of.somebody.test")),
                ("gone.example.test", alias("nothing.example.test")),
                ("round.example.test", alias("circle.example.test")),
                ("circle.example.test", alias("round.example.test")),
            ],
        ),
        zone("other.test", [("www.other.test", addresses(&["127.0.20.9"]))]),
    ])
    .unwrap()
}

/// A server that runs until it is dropped, or stopped to see that it ends.
pub struct Running {
    pub address: SocketAddr,
    pub table: watch::Sender<Arc<Zones>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    pub async fn start(zones: Zones) -> Self {
        let (table, receiver) = watch::channel(Arc::new(zones));
        let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into(), receiver).await.unwrap();
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self { address, table, stop, task }
    }

    pub async fn stop(self) {
        drop(self.stop);
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }

    /// One query in a datagram. `None`: no response, shown by the response to a second query that was sent after it.
    pub async fn by_udp(&self, query: &[u8]) -> Option<Vec<u8>> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        socket.connect(self.address).await.unwrap();
        socket.send(query).await.unwrap();
        let last = Query::of("example.test", Rtype::SOA).id(0xFFFF).bytes();
        socket.send(&last).await.unwrap();
        let mut buffer = vec![0; 65_535];
        let length = timeout(PATIENCE, socket.recv(&mut buffer)).await.unwrap().unwrap();
        buffer.truncate(length);
        if buffer.starts_with(&[0xFF, 0xFF]) { None } else { Some(buffer) }
    }

    /// One query on a stream of its own. `None`: the server closed it.
    pub async fn by_tcp(&self, query: &[u8]) -> Option<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(&framed(query)).await.unwrap();
        timeout(PATIENCE, read_framed(&mut stream)).await.unwrap()
    }
}

pub fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

pub async fn read_framed(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let length = stream.read_u16().await.ok()?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await.ok()?;
    Some(message)
}

/// A query, byte by byte, so that it can be as wrong as a test wants.
#[derive(Clone, Debug)]
pub struct Query {
    pub header: [u8; 12],
    pub body: Vec<u8>,
}

impl Query {
    pub fn of(name: &str, rtype: Rtype) -> Self {
        let mut body = Vec::new();
        for label in name.split('.').filter(|label| !label.is_empty()) {
            body.push(u8::try_from(label.len()).unwrap());
            body.extend(label.as_bytes());
        }
        body.push(0);
        body.extend(rtype.to_int().to_be_bytes());
        body.extend([0, 1]);
        Self { header: [0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], body }
    }

    pub fn id(mut self, id: u16) -> Self {
        self.header[..2].copy_from_slice(&id.to_be_bytes());
        self
    }

    /// Sets bits of the two bytes of flags.
    pub fn flags(mut self, bits: u16) -> Self {
        self.header[2] |= (bits >> 8) as u8;
        self.header[3] |= bits as u8;
        self
    }

    pub fn class(mut self, class: u16) -> Self {
        let end = self.body.len();
        self.body[end - 2..].copy_from_slice(&class.to_be_bytes());
        self
    }

    pub fn opt(self, size: u16, version: u8, flags: u16, options: &[u8]) -> Self {
        self.opt_of_length(size, version, flags, options, options.len() as u16)
    }

    pub fn opt_of_length(mut self, size: u16, version: u8, flags: u16, options: &[u8], length: u16) -> Self {
        self.header[11] += 1;
        self.body.extend([0, 0, 41]);
        self.body.extend(size.to_be_bytes());
        self.body.extend([0, version]);
        self.body.extend(flags.to_be_bytes());
        self.body.extend(length.to_be_bytes());
        self.body.extend(options);
        self
    }

    pub fn tail(mut self, bytes: &[u8]) -> Self {
        self.body.extend(bytes);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        [&self.header[..], &self.body].concat()
    }
}

/// A response in one line: code and flags, the question's name, then each section's records, then EDNS.
pub fn describe(response: &[u8]) -> String {
    let message = Message::from_octets(response).expect("a whole header");
    let header = message.header();
    assert!(header.qr(), "a response says that it is one");
    assert_eq!(header.id(), 0x1234, "a response has the query's id");
    let opt = message.opt();
    let rcode = opt.as_ref().map_or_else(|| header.rcode().to_string(), |opt| opt.rcode(header).to_string());
    let mut line = rcode;
    for (set, flag) in [
        (header.aa(), "aa"),
        (header.tc(), "tc"),
        (header.rd(), "rd"),
        (header.ra(), "RA"),
        (header.z(), "Z"),
        (header.ad(), "AD"),
        (header.cd(), "cd"),
    ] {
        if set {
            line += &format!(" {flag}");
        }
    }
    if header.opcode().to_int() != 0 {
        line += &format!(" opcode {}", header.opcode().to_int());
    }
    if let Ok(question) = message.sole_question() {
        line += &format!(" | {} {}", question.qname(), question.qtype());
    }
    let (_, answers, authority, additional) = message.sections().expect("a response can be parsed");
    for (section, records) in [("answer", answers), ("authority", authority), ("additional", additional)] {
        let records: Vec<String> = records
            .map(|record| record.expect("a record can be parsed"))
            .filter(|record| record.rtype() != Rtype::OPT)
            .map(|record| {
                let record = record
                    .into_record::<AllRecordData<&[u8], ParsedName<&[u8]>>>()
                    .expect("its data can be parsed")
                    .expect("its type is known");
                format!("{} {} {} {}", record.owner(), record.ttl().as_secs(), record.rtype(), record.data())
            })
            .collect();
        if !records.is_empty() {
            line += &format!(" | {section} {}", records.join(", "));
        }
    }
    if let Some(opt) = opt {
        let options = if opt.opt().is_empty() { "" } else { " OPTIONS" };
        let dnssec_ok = if opt.dnssec_ok() { " do" } else { "" };
        line += &format!(" | edns {} {}{dnssec_ok}{options}", opt.version(), opt.udp_payload_size());
    }
    line
}
