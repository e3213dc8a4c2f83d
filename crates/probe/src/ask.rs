//! One probe: connect, ask, and name what was seen.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::reading::{Evidence, Target};
use crate::tls::{self, Authorities};

/// A status line is looked for in so much of an answer.
const MOST_HTTP_BYTES: usize = 1024;
/// So much of an error that PostgreSQL sends instead of an answer is shown.
const MOST_POSTGRES_BYTES: usize = 256;
/// Length 8, then the code of an `SSLRequest` (PostgreSQL's "Message Formats").
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Asks once, from the source address if one is given, and waits for at most `limit`.
pub async fn probe_once(target: &Target, source: Option<IpAddr>, limit: Duration) -> Evidence {
    match timeout(limit, ask(target, source)).await {
        Ok(Ok(evidence)) => evidence,
        Ok(Err(error)) => of_error(&error),
        Err(_) => Evidence::Silent,
    }
}

async fn ask(target: &Target, source: Option<IpAddr>) -> io::Result<Evidence> {
    match target {
        Target::Http { address, host, path } => ask_http(*address, source, host, path).await,
        Target::Https { address, host, path, ca } => ask_https(*address, source, host, path, ca).await,
        Target::Tcp { address } => {
            connect(*address, source, Close::Reset).await?;
            Ok(ok("connected"))
        }
        Target::Postgres { address } => ask_postgres(*address, source).await,
    }
}

async fn ask_http(address: SocketAddr, source: Option<IpAddr>, host: &str, path: &str) -> io::Result<Evidence> {
    let Some(request) = request(host, path) else { return Ok(no_request(host, path)) };
    let stream = connect(address, source, Close::Reset).await?;
    ask_for_status(stream, &request).await
}

async fn ask_https(
    address: SocketAddr,
    source: Option<IpAddr>,
    host: &str,
    path: &str,
    ca: &Authorities,
) -> io::Result<Evidence> {
    let (Some(request), Ok(name)) = (request(host, path), ServerName::try_from(host.to_owned())) else {
        return Ok(no_request(host, path));
    };
    let stream = connect(address, source, Close::Reset).await?;
    match ca.handshake(name, stream).await {
        Ok(stream) => ask_for_status(stream, &request).await,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Ok(bad("closed the connection within the TLS handshake"))
        }
        Err(error) => Err(error),
    }
}

/// `None`: it would not be one, or be more than one.
fn request(host: &str, path: &str) -> Option<String> {
    let unfit = |text: &str| text.bytes().any(|byte| byte <= b' ' || byte == 0x7F);
    if !path.starts_with('/') || unfit(path) || unfit(host) {
        return None;
    }
    // RFC 3986, section 3.2.2: otherwise its last part would be taken for a port.
    let host = if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() };
    Some(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: lifeboat-probe\r\nConnection: close\r\n\r\n"))
}

fn no_request(host: &str, path: &str) -> Evidence {
    Evidence::NotObserved { detail: format!("`{host}` or `{path}` does not fit into a request") }
}

async fn ask_for_status(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> io::Result<Evidence> {
    stream.write_all(request.as_bytes()).await?;
    // TLS keeps a buffer of its own.
    stream.flush().await?;
    let mut answer = [0; MOST_HTTP_BYTES];
    let mut length = 0;
    while !answer[..length].contains(&b'\n') {
        if length == answer.len() {
            return Ok(bad(format!("no status line in {MOST_HTTP_BYTES} bytes")));
        }
        let more = match stream.read(&mut answer[length..]).await {
            // TLS that ends without a word ends all the same.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            read => read?,
        };
        match more {
            0 if length == 0 => return Ok(bad("closed the connection without an answer")),
            0 => return Ok(bad("closed the connection within the status line")),
            more => length += more,
        }
    }
    Ok(of_status_line(&answer[..length]))
}

/// `HTTP/1.1 200 OK`: version, status, and a reason that nobody needs to give (RFC 9112, section 4).
fn of_status_line(answer: &[u8]) -> Evidence {
    let line = answer.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or(answer);
    let status = line
        .strip_prefix(b"HTTP/1.")
        .and_then(|rest| match rest {
            [b'0'..=b'9', b' ', status @ ..] => Some(status),
            _ => None,
        })
        .and_then(|rest| match rest {
            [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => Some([*a, *b, *c]),
            [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', ..] => Some([*a, *b, *c]),
            _ => None,
        });
    match status {
        None => bad(format!("not HTTP/1: `{}`", line.escape_ascii().to_string().chars().take(60).collect::<String>())),
        Some(status) => {
            let detail = format!("status {}", status.escape_ascii());
            if status[0] == b'2' { Evidence::Ok { detail } } else { Evidence::Bad { detail } }
        }
    }
}

async fn ask_postgres(address: SocketAddr, source: Option<IpAddr>) -> io::Result<Evidence> {
    let mut stream = connect(address, source, Close::InOrder).await?;
    stream.write_all(&SSL_REQUEST).await?;
    let mut answer = [0; MOST_POSTGRES_BYTES];
    let length = stream.read(&mut answer).await?;
    Ok(match &answer[..length] {
        [] => bad("closed the connection without an answer"),
        [b'N'] => ok("answers, without TLS"),
        [b'S'] => ok("answers, with TLS"),
        [b'E', error @ ..] => {
            let text: String = String::from_utf8_lossy(error).chars().filter(|c| !c.is_control()).collect();
            ok(&format!("answers with an error: {text}"))
        }
        other => bad(format!("not PostgreSQL: `{}`", other.escape_ascii())),
    })
}

/// How a probe's connection ends.
#[derive(Clone, Copy)]
enum Close {
    /// By RST, which leaves nothing behind: ended in order, 470 connections a second to one address use up all local
    /// ports, as each is kept for a minute.
    Reset,
    /// PostgreSQL logs every connection that is reset; one that ends in order before it said who it is, it does not.
    InOrder,
}

async fn connect(address: SocketAddr, source: Option<IpAddr>, close: Close) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        socket.bind((source, 0).into())?;
    }
    if matches!(close, Close::Reset) {
        socket.set_zero_linger()?;
    }
    let stream = socket.connect(address).await?;
    // A connection to a port of our own host on which nobody listens can be given that very port, and then meets itself.
    if stream.local_addr()? == address {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

fn of_error(error: &io::Error) -> Evidence {
    if let Some(evidence) = tls::of_error(error) {
        return evidence;
    }
    if error.kind() == io::ErrorKind::ConnectionRefused {
        return Evidence::Refused;
    }
    match Errno::from_io_error(error) {
        Some(Errno::CONNRESET | Errno::CONNABORTED | Errno::PIPE) => Evidence::Refused,
        Some(Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::HOSTDOWN | Errno::NETDOWN | Errno::TIMEDOUT) => {
            Evidence::Silent
        }
        // Descriptors, ports, memory, permission, a foreign source address: whatever it is, it is on this side.
        _ => Evidence::NotObserved { detail: error.to_string() },
    }
}

fn ok(detail: &str) -> Evidence {
    Evidence::Ok { detail: detail.into() }
}

fn bad(detail: impl Into<String>) -> Evidence {
    Evidence::Bad { detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines_are_told_apart() {
        for (line, expected) in [
            ("HTTP/1.1 200 OK\r\n", "Ok status 200"),
            ("HTTP/1.0 204\n", "Ok status 204"),
            ("HTTP/1.1 200 \r\n", "Ok status 200"),
            ("HTTP/1.1 503 Service Unavailable\r\n", "Bad status 503"),
            ("HTTP/1.1 301 Moved\r\n", "Bad status 301"),
            ("HTTP/1.1 100 Continue\r\n", "Bad status 100"),
            ("HTTP/1.1 2000\r\n", "Bad not HTTP/1: `HTTP/1.1 2000`"),
            ("HTTP/2 200\r\n", "Bad not HTTP/1: `HTTP/2 200`"),
            ("\x15\x03\x01\n", "Bad not HTTP/1: `\\x15\\x03\\x01`"),
            ("\n", "Bad not HTTP/1: ``"),
        ] {
            let found = match of_status_line(line.as_bytes()) {
                Evidence::Ok { detail } => format!("Ok {detail}"),
                Evidence::Bad { detail } => format!("Bad {detail}"),
                other => format!("{other:?}"),
            };
            assert_eq!(found, expected, "{line:?}");
        }
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets() {
        for (host, expected) in [("2001:db8::1", "[2001:db8::1]"), ("127.0.0.1", "127.0.0.1"), ("a.test", "a.test")] {
            let request = request(host, "/").expect("a request");
            assert!(request.contains(&format!("\r\nHost: {expected}\r\n")), "{request}");
        }
    }

    #[test]
    fn errors_are_ours_or_theirs() {
        let refused = Evidence::Refused;
        let ours = |errno: Errno| Evidence::NotObserved { detail: io::Error::from(errno).to_string() };
        for (errno, expected) in [
            (Errno::CONNREFUSED, refused.clone()),
            (Errno::CONNRESET, refused),
            (Errno::HOSTUNREACH, Evidence::Silent),
            (Errno::NETUNREACH, Evidence::Silent),
            (Errno::TIMEDOUT, Evidence::Silent),
            (Errno::MFILE, ours(Errno::MFILE)),
            (Errno::NFILE, ours(Errno::NFILE)),
            (Errno::ADDRNOTAVAIL, ours(Errno::ADDRNOTAVAIL)),
            (Errno::ACCESS, ours(Errno::ACCESS)),
            (Errno::NOBUFS, ours(Errno::NOBUFS)),
        ] {
            assert_eq!(of_error(&errno.into()), expected, "{errno}");
        }
    }
}
