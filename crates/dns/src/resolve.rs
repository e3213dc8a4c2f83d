//! A small client: asks given servers for a name's addresses, without a cache.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use domain::base::iana::{Rcode, Rtype};
use domain::base::{Message, MessageBuilder, Name, Question};
use domain::rdata::{A, Aaaa};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::answer::LARGEST_UDP_RESPONSE;
use crate::server::read_message;

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A records.
    Ipv4,
    /// AAAA records.
    Ipv6,
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The addresses, in the server's order; empty: the name has none of this family, or does not exist.
    pub addresses: Vec<IpAddr>,
    /// For how long they may be kept: the smallest time to live on the way to them. Zero without addresses.
    pub ttl: Duration,
    /// The server that answered.
    pub server: SocketAddr,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The name cannot be asked for.
    #[error("`{0}` is not a name that DNS can carry")]
    Name(String),
    /// Not one server was given.
    #[error("no DNS server to ask")]
    NoServer,
    /// The network, or this machine, failed.
    #[error("{server}: {error}")]
    Io {
        /// The server asked last.
        server: SocketAddr,
        /// What went wrong.
        error: io::Error,
    },
    /// No answer in time.
    #[error("{server}: no answer within {timeout:?}")]
    Timeout {
        /// The server asked last.
        server: SocketAddr,
        /// How long was waited.
        timeout: Duration,
    },
    /// The server answered that it does not answer.
    #[error("{server}: {rcode}")]
    Refused {
        /// The server asked last.
        server: SocketAddr,
        /// The response code, such as `SERVFAIL`.
        rcode: String,
    },
}

/// Asks the servers for the name's addresses, one after the other, each for at most `each`, until one gives an answer.
/// That a name does not exist is an answer too.
///
/// # Errors
/// Every server failed; the error is the last one's.
pub async fn resolve(
    servers: &[SocketAddr],
    name: &str,
    family: Family,
    each: Duration,
) -> Result<Resolved, ResolveError> {
    let question = Name::<Vec<u8>>::from_str(name)
        .map(|parsed| Question::new_in(parsed, family.rtype()))
        .map_err(|_| ResolveError::Name(name.into()))?;
    let mut failure = ResolveError::NoServer;
    for &server in servers {
        failure = match timeout(each, ask(server, &question)).await {
            Err(_) => ResolveError::Timeout { server, timeout: each },
            Ok(Err(error)) => ResolveError::Io { server, error },
            Ok(Ok(Reply::Addresses(addresses, ttl))) => return Ok(Resolved { addresses, ttl, server }),
            Ok(Ok(Reply::Failure(rcode))) => ResolveError::Refused { server, rcode: rcode.to_string() },
        };
    }
    Err(failure)
}

type Asked = Question<Name<Vec<u8>>>;

enum Reply {
    Addresses(Vec<IpAddr>, Duration),
    Failure(Rcode),
}

async fn ask(server: SocketAddr, question: &Asked) -> io::Result<Reply> {
    let id = getrandom::u32().map_err(|error| io::Error::other(error.to_string()))? as u16;
    let query = query(id, question)?;
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    // Connected, so that nobody else is heard and a closed port is noticed at once.
    socket.connect(server).await?;
    socket.send(&query).await?;
    let mut buffer = vec![0; LARGEST_UDP_RESPONSE];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let Some(response) = response_to(&buffer[..length], id, question) else { continue };
        if response.header().tc() {
            return ask_stream(server, id, question, &query).await;
        }
        return read_reply(response, question.qtype());
    }
}

async fn ask_stream(server: SocketAddr, id: u16, question: &Asked, query: &[u8]) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), query].concat()).await?;
    let mut buffer = Vec::new();
    read_message(&mut stream, &mut buffer).await?;
    let response = response_to(&buffer, id, question).ok_or_else(malformed)?;
    read_reply(response, question.qtype())
}

fn query(id: u16, question: &Asked) -> io::Result<Vec<u8>> {
    let mut message = MessageBuilder::new_vec();
    message.header_mut().set_id(id);
    let mut questions = message.question();
    questions.push(question).map_err(io::Error::other)?;
    let mut additional = questions.additional();
    additional
        .opt(|opt| {
            opt.set_udp_payload_size(LARGEST_UDP_RESPONSE as u16);
            Ok(())
        })
        .map_err(io::Error::other)?;
    Ok(additional.finish())
}

/// The message, if it is the response to our query and not to somebody else's.
fn response_to<'m>(message: &'m [u8], id: u16, question: &Asked) -> Option<&'m Message<[u8]>> {
    let message = Message::from_slice(message).ok()?;
    let header = message.header();
    if !header.qr() || header.id() != id {
        return None;
    }
    // An error may come without the question.
    let same = match message.sole_question() {
        Ok(asked) => asked.qname() == question.qname() && asked.qtype() == question.qtype(),
        Err(_) => header.rcode() != Rcode::NOERROR,
    };
    same.then_some(message)
}

fn read_reply(response: &Message<[u8]>, rtype: Rtype) -> io::Result<Reply> {
    let rcode = response.header().rcode();
    if rcode != Rcode::NOERROR && rcode != Rcode::NXDOMAIN {
        return Ok(Reply::Failure(rcode));
    }
    let mut addresses = Vec::new();
    let mut ttl: Option<Duration> = None;
    for record in response.answer().map_err(|_| malformed())? {
        let record = record.map_err(|_| malformed())?;
        let own = Duration::from_secs(record.ttl().as_secs().into());
        ttl = Some(ttl.map_or(own, |ttl| ttl.min(own)));
        if record.rtype() != rtype {
            continue;
        }
        let address = if rtype == Rtype::A {
            record.into_record::<A>().map(|record| record.map(|record| IpAddr::V4(record.data().addr())))
        } else {
            record.into_record::<Aaaa>().map(|record| record.map(|record| IpAddr::V6(record.data().addr())))
        };
        addresses.extend(address.map_err(|_| malformed())?);
    }
    let ttl = if addresses.is_empty() { Duration::ZERO } else { ttl.unwrap_or_default() };
    Ok(Reply::Addresses(addresses, ttl))
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a malformed DNS response")
}

impl Family {
    fn rtype(self) -> Rtype {
        match self {
            Self::Ipv4 => Rtype::A,
            Self::Ipv6 => Rtype::AAAA,
        }
    }
}
