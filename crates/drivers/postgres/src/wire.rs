//! PostgreSQL's replication protocol, as much of it as the commit gate speaks, on a Unix socket.

use std::io;
use std::path::Path;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use lifeboat_model::database::Lsn;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::frontend;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

/// The server sends WAL in messages of at most 128 KiB; what claims to be bigger than this is not the protocol.
const LARGEST_MESSAGE: usize = 1 << 20;
/// Microseconds from 1970 to 2000, where PostgreSQL's clock begins. The time in a status is for display only.
const YEAR_2000: u64 = 946_684_800_000_000;

/// A replication connection.
pub(crate) struct Replication {
    pub stream: UnixStream,
    inbox: BytesMut,
}

/// One message from the server while it streams.
pub(crate) enum Streamed {
    /// WAL up to here was received.
    Wal(Lsn),
    /// The server is alive and may want an answer now.
    Keepalive { wants_answer: bool },
    /// This timeline has ended.
    Ended,
}

fn broken(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

impl Replication {
    /// Connects for physical replication; `user` is also the application name.
    pub async fn connect(socket: &Path, user: &str, password: &str) -> io::Result<Self> {
        let mut connection = Self { stream: UnixStream::connect(socket).await?, inbox: BytesMut::new() };
        let mut out = BytesMut::new();
        let parameters = [("user", user), ("application_name", user), ("replication", "true")];
        frontend::startup_message(parameters, &mut out)?;
        connection.send(&mut out).await?;
        connection.authenticate(password).await?;
        while connection.message().await?.0 != b'Z' {}
        Ok(connection)
    }

    async fn authenticate(&mut self, password: &str) -> io::Result<()> {
        let mut scram = None;
        loop {
            let (tag, mut body) = self.message().await?;
            if tag != b'R' || body.remaining() < 4 {
                return Err(broken("expected an authentication request"));
            }
            let mut out = BytesMut::new();
            match body.get_i32() {
                0 => return Ok(()),
                10 => {
                    let exchange = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
                    frontend::sasl_initial_response(SCRAM_SHA_256, exchange.message(), &mut out)?;
                    scram = Some(exchange);
                }
                11 => {
                    let exchange = scram.as_mut().ok_or_else(|| broken("SASL went on before it began"))?;
                    exchange.update(&body)?;
                    frontend::sasl_response(exchange.message(), &mut out)?;
                }
                12 => {
                    let exchange = scram.as_mut().ok_or_else(|| broken("SASL ended before it began"))?;
                    exchange.finish(&body)?;
                    continue;
                }
                other => return Err(broken(format!("the server wants authentication {other}, not SCRAM"))),
            }
            self.send(&mut out).await?;
        }
    }

    /// The timeline and the position up to which WAL is flushed.
    pub async fn identify(&mut self) -> io::Result<(u32, Lsn)> {
        let mut out = BytesMut::new();
        frontend::query("IDENTIFY_SYSTEM", &mut out)?;
        self.send(&mut out).await?;
        let mut found = None;
        loop {
            let (tag, body) = self.message().await?;
            match tag {
                b'D' => found = Some(identity(body).ok_or_else(|| broken("IDENTIFY_SYSTEM said something else"))?),
                b'Z' => return found.ok_or_else(|| broken("IDENTIFY_SYSTEM said nothing")),
                _ => {}
            }
        }
    }

    /// Starts streaming from a position that is flushed.
    pub async fn start(&mut self, timeline: u32, from: Lsn) -> io::Result<()> {
        let mut out = BytesMut::new();
        frontend::query(&format!("START_REPLICATION PHYSICAL {from} TIMELINE {timeline}"), &mut out)?;
        self.send(&mut out).await?;
        match self.message().await?.0 {
            b'W' => Ok(()),
            other => Err(broken(format!("START_REPLICATION was answered with {:?}", char::from(other)))),
        }
    }

    /// The next message of the stream that is already here, without waiting.
    pub fn streamed(&mut self) -> io::Result<Option<Streamed>> {
        while let Some((tag, mut body)) = self.whole()? {
            match tag {
                b'd' if body.remaining() >= 25 && body[0] == b'w' => {
                    body.advance(1);
                    let start = body.get_u64();
                    body.advance(16);
                    return Ok(Some(Streamed::Wal(Lsn(start + body.remaining() as u64))));
                }
                b'd' if body.remaining() >= 18 && body[0] == b'k' => {
                    return Ok(Some(Streamed::Keepalive { wants_answer: body[17] != 0 }));
                }
                b'c' => return Ok(Some(Streamed::Ended)),
                b'd' => return Err(broken("a message of the stream that is no part of the protocol")),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Reads what has arrived; returns at once. False: nothing had.
    pub fn receive(&mut self) -> io::Result<bool> {
        match self.stream.try_read_buf(&mut self.inbox) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn send(&mut self, out: &mut BytesMut) -> io::Result<()> {
        self.stream.write_all(out).await
    }

    async fn message(&mut self) -> io::Result<(u8, Bytes)> {
        loop {
            if let Some(message) = self.whole()? {
                return Ok(message);
            }
            self.stream.readable().await?;
            self.receive()?;
        }
    }

    /// A message that has arrived as a whole; an error from the server becomes ours.
    fn whole(&mut self) -> io::Result<Option<(u8, Bytes)>> {
        if self.inbox.len() < 5 {
            return Ok(None);
        }
        let length = usize::try_from((&self.inbox[1..5]).get_u32()).unwrap_or(usize::MAX);
        if !(4..=LARGEST_MESSAGE).contains(&length) {
            return Err(broken(format!("a message of {length} bytes")));
        }
        if self.inbox.len() < 1 + length {
            self.inbox.reserve(1 + length - self.inbox.len());
            return Ok(None);
        }
        let mut message = self.inbox.split_to(1 + length).freeze();
        let tag = message.get_u8();
        message.advance(4);
        if tag == b'E' { Err(io::Error::other(said(&message))) } else { Ok(Some((tag, message))) }
    }
}

/// A standby status update: what was written, flushed and applied. A flush position of zero means: nothing yet.
pub(crate) fn status(written: Lsn, flushed: Lsn, unix_micros: u64) -> [u8; 39] {
    let mut message = [0_u8; 39];
    let mut rest = &mut message[..];
    rest.put_u8(b'd');
    rest.put_u32(38);
    rest.put_u8(b'r');
    rest.put_u64(written.0);
    rest.put_u64(flushed.0);
    rest.put_u64(flushed.0);
    rest.put_u64(unix_micros.saturating_sub(YEAR_2000));
    rest.put_u8(0);
    message
}

/// The timeline and position in IDENTIFY_SYSTEM's row: system, timeline, position, database.
fn identity(mut row: Bytes) -> Option<(u32, Lsn)> {
    row.try_get_i16().ok()?;
    let mut column = || -> Option<String> {
        let length = usize::try_from(row.try_get_i32().ok()?).ok()?;
        (row.remaining() >= length).then(|| String::from_utf8_lossy(&row.split_to(length)).into_owned())
    };
    column()?;
    Some((column()?.parse().ok()?, Lsn::parse(&column()?)?))
}

/// The text and code of an error message from the server.
fn said(body: &[u8]) -> String {
    let field = |wanted: u8| {
        body.split(|&byte| byte == 0)
            .find(|field| field.first() == Some(&wanted))
            .map(|field| String::from_utf8_lossy(&field[1..]).into_owned())
    };
    format!("{} ({})", field(b'M').unwrap_or_default(), field(b'C').unwrap_or_default())
}
