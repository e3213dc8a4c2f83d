//! Every kind of evidence, from real little servers that behave that way.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use lifeboat_probe::{Evidence, Target, probe_once};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// For what is expected to come, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(20);
/// For what is expected not to come.
const SHORT: Duration = Duration::from_millis(100);

/// A server that does the same to every connection, until it is dropped.
struct Little {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Little {
    async fn new<F: Future<Output = ()> + Send>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serve(stream).await;
            }
        });
        Self { address, task }
    }

    /// One that reads the request, then says these pieces, then waits for the client to go.
    async fn saying(pieces: &[&[u8]]) -> Self {
        let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
        Self::new(move |mut stream| {
            let pieces = pieces.clone();
            async move {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                for piece in pieces {
                    let _ = stream.write_all(&piece).await;
                    tokio::task::yield_now().await;
                }
                let _ = stream.read(&mut request).await;
            }
        })
        .await
    }

    async fn seen_by_http(&self, limit: Duration) -> Evidence {
        probe_once(&http(self.address), None, limit).await
    }
}

impl Drop for Little {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn http(address: SocketAddr) -> Target {
    Target::Http { address, host: "shop.example.test".into(), path: "/healthz?full=1".into() }
}

fn ok(detail: &str) -> Evidence {
    Evidence::Ok { detail: detail.into() }
}

fn bad(detail: &str) -> Evidence {
    Evidence::Bad { detail: detail.into() }
}

#[tokio::test]
async fn http_answers_are_judged_by_their_status() {
    for (pieces, expected) in [
        (&[&b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"[..]][..], ok("status 200")),
        (&[b"HT", b"TP/1.0 ", b"20", b"4 No Content", b"\r", b"\n\r\n"], ok("status 204")),
        (&[b"HTTP/1.1 503 Service Unavailable\r\n\r\n"], bad("status 503")),
        (&[b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"], bad("status 302")),
        (&[b"SSH-2.0-OpenSSH_9.2\r\n"], bad("not HTTP/1: `SSH-2.0-OpenSSH_9.2`")),
        (&[&[b'x'; 5000]], bad("no status line in 1024 bytes")),
    ] {
        assert_eq!(Little::saying(pieces).await.seen_by_http(PATIENCE).await, expected);
    }
}

#[tokio::test]
async fn the_request_is_what_a_server_expects() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let target = http(listener.local_addr().unwrap());
    let source: IpAddr = Ipv4Addr::new(127, 0, 77, 1).into();
    let serving = async {
        let (mut stream, client) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let end = stream.read_u8().await.map_err(|error| error.kind());
        (String::from_utf8(request).unwrap(), client.ip(), end)
    };
    let (evidence, (request, client, end)) = tokio::join!(probe_once(&target, Some(source), PATIENCE), serving);
    assert_eq!(evidence, ok("status 200"));
    assert!(request.starts_with("GET /healthz?full=1 HTTP/1.1\r\nHost: shop.example.test\r\n"), "{request}");
    assert_eq!(client, source);
    assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset), "it leaves no port in TIME_WAIT");
}

#[tokio::test]
async fn nobody_listening_is_a_refusal() {
    // Bound and not listening: the port is nobody else's, and refuses.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    for target in [http(address), Target::Tcp { address }, Target::Postgres { address }] {
        assert_eq!(probe_once(&target, None, PATIENCE).await, Evidence::Refused, "{target:?}");
    }
}

#[tokio::test]
async fn a_reset_is_a_refusal_and_an_orderly_end_is_unwell() {
    let resetting = Little::new(async |stream| stream.set_zero_linger().unwrap()).await;
    let ending = Little::new(async |mut stream| {
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await;
    })
    .await;
    let half_closed = Little::new(async |mut stream| {
        stream.shutdown().await.unwrap();
        let mut request = [0; 1024];
        while stream.read(&mut request).await.is_ok_and(|length| length > 0) {}
    })
    .await;
    let target = |address| [http(address), Target::Postgres { address }];
    for target in target(resetting.address) {
        assert_eq!(probe_once(&target, None, PATIENCE).await, Evidence::Refused, "{target:?}");
    }
    for target in target(ending.address).into_iter().chain(target(half_closed.address)) {
        let expected = bad("closed the connection without an answer");
        assert_eq!(probe_once(&target, None, PATIENCE).await, expected, "{target:?}");
    }
    let within = Little::new(async |mut stream| {
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(b"HTTP/1.1 20").await;
    })
    .await;
    let expected = bad("closed the connection within the status line");
    assert_eq!(within.seen_by_http(PATIENCE).await, expected);
}

#[tokio::test]
async fn no_answer_in_time_is_silence() {
    // Nobody accepts: the kernel does, until its queue is full.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let unattended = socket.listen(0).unwrap();
    let address = unattended.local_addr().unwrap();
    let connected = probe_once(&Target::Tcp { address }, None, PATIENCE).await;
    assert_eq!(connected, ok("connected"), "the kernel's queue says nothing of the process");
    let mut waiting = Vec::new();
    while let Ok(stream) = timeout(5 * SHORT, TcpStream::connect(address)).await {
        waiting.push(stream.unwrap());
    }
    for target in [http(address), Target::Tcp { address }, Target::Postgres { address }] {
        assert_eq!(probe_once(&target, None, SHORT).await, Evidence::Silent, "{target:?} with the queue full");
    }

    let mute = Little::saying(&[]).await;
    let dripping = Little::saying(&[b"HTTP/1.1 200"]).await;
    for server in [mute, dripping] {
        assert_eq!(server.seen_by_http(SHORT).await, Evidence::Silent);
    }
}

#[tokio::test]
async fn what_is_our_own_fault_is_no_observation() {
    let server = Little::saying(&[b"HTTP/1.1 200 OK\r\n\r\n"]).await;
    let address = server.address;
    let foreign: IpAddr = Ipv4Addr::new(192, 0, 2, 1).into();
    let of_other_family: IpAddr = std::net::Ipv6Addr::LOCALHOST.into();
    for source in [foreign, of_other_family] {
        let evidence = probe_once(&http(address), Some(source), PATIENCE).await;
        assert!(matches!(evidence, Evidence::NotObserved { .. }), "{source}: {evidence:?}");
    }
    for (host, path) in [("a", "no-slash"), ("a", "/two words"), ("a\r\nEvil: 1", "/"), ("a", "/\n")] {
        let target = Target::Http { address, host: host.into(), path: path.into() };
        let evidence = probe_once(&target, None, PATIENCE).await;
        assert!(matches!(evidence, Evidence::NotObserved { .. }), "{target:?}: {evidence:?}");
    }
}
