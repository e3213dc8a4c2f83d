//! HTTPS against real TLS servers: the good one, each kind of bad certificate, and those that do not speak TLS at all.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_probe::{Authorities, AuthoritiesError, Evidence, Target, probe_once};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion, version};
use tokio_rustls::server::TlsStream;

/// For what is expected to come, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(20);
/// For what is expected not to come.
const SHORT: Duration = Duration::from_millis(100);
const NAME: &str = "shop.example.test";
const WELL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// A private authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn trusted(&self) -> Authorities {
        Authorities::from_pem(self.pem.as_bytes()).unwrap()
    }

    /// A certificate for these names, and whatever else is done to it.
    fn signs(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Arc<CertifiedKey> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let signing = ring::default_provider().key_provider.load_private_key(key).unwrap();
        Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signing))
    }
}

fn in_order(_: &mut CertificateParams) {}

fn expired(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2001, 1, 1);
}

/// Shows one certificate, or, once it is told to, the other.
#[derive(Debug)]
struct Shows {
    first: Arc<CertifiedKey>,
    then: Arc<CertifiedKey>,
    exchanged: AtomicBool,
}

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(if self.exchanged.load(Ordering::Acquire) { &self.then } else { &self.first }))
    }
}

/// A server that does the same to every connection, until it is dropped.
struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn plain<F: Future<Output = ()> + Send>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serve(stream).await;
            }
        });
        Self { address, task }
    }

    /// By TLS of these versions; connections whose handshake fails are not served.
    async fn tls<F: Future<Output = ()> + Send>(
        certificate: Arc<dyn ResolvesServerCert>,
        versions: &[&'static SupportedProtocolVersion],
        serve: impl Fn(TlsStream<TcpStream>) -> F + Send + Sync + 'static,
    ) -> Self {
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(certificate);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let serve = Arc::new(serve);
        Self::plain(move |stream| {
            let (acceptor, serve) = (acceptor.clone(), Arc::clone(&serve));
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream).await;
                }
            }
        })
        .await
    }

    /// One that answers every request with this, then waits for the client to go.
    async fn saying(certificate: Arc<CertifiedKey>, answer: &'static [u8]) -> Self {
        Self::tls(always(certificate), BOTH, move |mut stream| async move {
            request(&mut stream).await;
            let _ = stream.write_all(answer).await;
            let _ = stream.read_u8().await;
        })
        .await
    }

    async fn seen(&self, host: &str, ca: &Authorities) -> Evidence {
        probe_once(&https(self.address, host, ca), None, PATIENCE).await
    }
}

fn always(certificate: Arc<CertifiedKey>) -> Arc<dyn ResolvesServerCert> {
    Arc::new(Shows { first: Arc::clone(&certificate), then: certificate, exchanged: AtomicBool::new(false) })
}

/// The request's text, or what there was of it.
async fn request(stream: &mut TlsStream<TcpStream>) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(request).unwrap()
}

fn https(address: SocketAddr, host: &str, ca: &Authorities) -> Target {
    Target::Https { address, host: host.into(), path: "/healthz?full=1".into(), ca: ca.clone() }
}

fn ok(detail: &str) -> Evidence {
    Evidence::Ok { detail: detail.into() }
}

fn bad(detail: &str) -> Evidence {
    Evidence::Bad { detail: detail.into() }
}

#[tokio::test]
async fn a_good_certificate_leads_to_the_answer() {
    let authority = Authority::new("ours");
    let ca = authority.trusted();
    let certificate = authority.signs(&[NAME, "127.0.0.1"], in_order);
    for (answer, expected) in [
        (WELL, ok("status 200")),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", bad("status 503")),
        (b"SSH-2.0-OpenSSH_9.2\r\n", bad("not HTTP/1: `SSH-2.0-OpenSSH_9.2`")),
    ] {
        let server = Server::saying(Arc::clone(&certificate), answer).await;
        for host in [NAME, "127.0.0.1"] {
            assert_eq!(server.seen(host, &ca).await, expected, "{host}");
        }
    }
}

#[tokio::test]
async fn the_server_learns_name_and_path_by_either_version_of_tls() {
    let authority = Authority::new("ours");
    for only in [&version::TLS12, &version::TLS13] {
        let seen = Arc::new(Mutex::new(None));
        let told = Arc::clone(&seen);
        let certificate = always(authority.signs(&[NAME], in_order));
        let server = Server::tls(certificate, &[only], move |mut stream| {
            let told = Arc::clone(&told);
            async move {
                let asked = request(&mut stream).await;
                let session = stream.get_ref().1;
                *told.lock().unwrap() = Some((asked, session.server_name().map(str::to_owned)));
                let _ = stream.write_all(WELL).await;
                let _ = stream.read_u8().await;
            }
        })
        .await;
        assert_eq!(server.seen(NAME, &authority.trusted()).await, ok("status 200"), "{only:?}");
        let (asked, server_name) = seen.lock().unwrap().take().unwrap();
        assert!(asked.starts_with("GET /healthz?full=1 HTTP/1.1\r\nHost: shop.example.test\r\n"), "{asked}");
        assert_eq!(server_name.as_deref(), Some(NAME));
    }
}

#[tokio::test]
async fn a_certificate_that_clients_would_refuse_is_bad_for_its_reason() {
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let ca = authority.trusted();
    let in_future = |params: &mut CertificateParams| params.not_before = date_time_ymd(3000, 1, 1);
    let ours = |names: &[&str]| authority.signs(names, in_order);
    for (certificate, host, ca, begins, ends) in [
        (authority.signs(&[NAME], expired), NAME, &ca, "the certificate expired ", " days ago by this node's clock"),
        (
            authority.signs(&[NAME], in_future),
            NAME,
            &ca,
            "the certificate becomes valid in ",
            " days by this node's clock",
        ),
        (
            ours(&["other.test"]),
            NAME,
            &ca,
            "the certificate is not for `shop.example.test`, but for ",
            "\"other.test\")",
        ),
        (ours(&[NAME]), "127.0.0.1", &ca, "the certificate is not for `127.0.0.1`, but for ", "\"shop.example.test\")"),
        (ours(&[]), NAME, &ca, "the certificate is not for `shop.example.test`, but for no name", ""),
        (other.signs(&[NAME], in_order), NAME, &ca, "the certificate is of an unknown authority", ""),
        (ours(&[NAME]), NAME, &Authorities::public(), "the certificate is of an unknown authority", ""),
    ] {
        let server = Server::saying(certificate, WELL).await;
        let evidence = server.seen(host, ca).await;
        let right = |detail: &str| detail.starts_with(begins) && detail.ends_with(ends);
        assert!(matches!(&evidence, Evidence::Bad { detail } if right(detail)), "{begins}…{ends}: {evidence:?}");
    }
}

/// The server would resume the session of the first probe, and show no certificate at all.
#[tokio::test]
async fn a_certificate_that_was_exchanged_is_seen_by_the_next_probe() {
    let authority = Authority::new("ours");
    let ca = authority.trusted();
    for only in [&version::TLS12, &version::TLS13] {
        let shows = Arc::new(Shows {
            first: authority.signs(&[NAME], in_order),
            then: authority.signs(&[NAME], expired),
            exchanged: AtomicBool::new(false),
        });
        let certificate: Arc<dyn ResolvesServerCert> = shows.clone();
        let server = Server::tls(certificate, &[only], |mut stream| async move {
            request(&mut stream).await;
            let _ = stream.write_all(WELL).await;
            let _ = stream.read_u8().await;
        })
        .await;
        assert_eq!(server.seen(NAME, &ca).await, ok("status 200"), "{only:?}");
        shows.exchanged.store(true, Ordering::Release);
        let evidence = server.seen(NAME, &ca).await;
        assert!(matches!(&evidence, Evidence::Bad { detail } if detail.contains("expired")), "{only:?}: {evidence:?}");
    }
}

#[tokio::test]
async fn no_answer_in_time_is_silence() {
    let authority = Authority::new("ours");
    let ca = authority.trusted();
    let mute = Server::plain(async |mut stream| {
        let mut hello = [0; 4096];
        while stream.read(&mut hello).await.is_ok_and(|length| length > 0) {}
    })
    .await;
    let certificate = authority.signs(&[NAME], in_order);
    let mute_after_handshake = Server::saying(Arc::clone(&certificate), b"").await;
    let dripping = Server::saying(certificate, b"HTTP/1.1 200").await;
    for (what, server) in [("accept", mute), ("handshake", mute_after_handshake), ("a part", dripping)] {
        let evidence = probe_once(&https(server.address, NAME, &ca), None, SHORT).await;
        assert_eq!(evidence, Evidence::Silent, "silent after {what}");
    }
}

#[tokio::test]
async fn refusals_and_ends_are_told_apart() {
    let authority = Authority::new("ours");
    let ca = authority.trusted();
    // Bound and not listening: the port is nobody else's, and refuses.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let target = https(socket.local_addr().unwrap(), NAME, &ca);
    assert_eq!(probe_once(&target, None, PATIENCE).await, Evidence::Refused, "nobody listens");

    let resetting = Server::plain(async |stream| stream.set_zero_linger().unwrap()).await;
    assert_eq!(resetting.seen(NAME, &ca).await, Evidence::Refused, "reset");

    let ending = Server::plain(async |mut stream| {
        let mut hello = [0; 4096];
        let _ = stream.read(&mut hello).await;
    })
    .await;
    assert_eq!(ending.seen(NAME, &ca).await, bad("closed the connection within the TLS handshake"));

    let certificate = authority.signs(&[NAME], in_order);
    let in_order = Server::tls(always(Arc::clone(&certificate)), BOTH, |mut stream| async move {
        request(&mut stream).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_u8().await;
    })
    .await;
    let without_a_word = Server::tls(always(certificate), BOTH, |mut stream| async move {
        request(&mut stream).await;
        let (socket, _) = stream.get_mut();
        let _ = socket.shutdown().await;
        let _ = socket.read_u8().await;
    })
    .await;
    for server in [in_order, without_a_word] {
        assert_eq!(server.seen(NAME, &ca).await, bad("closed the connection without an answer"));
    }
}

#[tokio::test]
async fn a_server_without_tls_is_unwell() {
    let plain = Server::plain(async |mut stream| {
        let mut hello = [0; 4096];
        let _ = stream.read(&mut hello).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
        let _ = stream.shutdown().await;
        while stream.read(&mut hello).await.is_ok_and(|length| length > 0) {}
    })
    .await;
    assert_eq!(plain.seen(NAME, &Authorities::public()).await, bad("does not speak TLS"));
}

#[tokio::test]
async fn what_names_no_server_is_no_observation() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    for host in ["", "two words", "-.test", "a\r\nEvil: 1"] {
        let evidence = probe_once(&https(address, host, &Authorities::public()), None, PATIENCE).await;
        assert!(matches!(evidence, Evidence::NotObserved { .. }), "{host:?}: {evidence:?}");
    }
}

#[tokio::test]
async fn authorities_are_read_from_pem() {
    let (one, other) = (Authority::new("one"), Authority::new("other"));
    let both = Authorities::from_pem(format!("# two\n{}\n{}", one.pem, other.pem).as_bytes()).unwrap();
    for authority in [&one, &other] {
        let server = Server::saying(authority.signs(&[NAME], in_order), WELL).await;
        assert_eq!(server.seen(NAME, &both).await, ok("status 200"));
    }
    let hash = |authorities: &Authorities| {
        let mut hasher = DefaultHasher::new();
        authorities.hash(&mut hasher);
        hasher.finish()
    };
    assert_eq!(one.trusted(), one.trusted());
    assert_eq!(hash(&one.trusted()), hash(&one.trusted()), "the grid of probes stays where it is after a restart");
    assert_ne!(one.trusted(), other.trusted());
    assert_ne!(one.trusted(), Authorities::public());

    let key = KeyPair::generate().unwrap().serialize_pem();
    for nothing in ["", "not PEM", &key] {
        let error = Authorities::from_pem(nothing.as_bytes()).unwrap_err();
        assert!(matches!(error, AuthoritiesError::Empty), "{nothing}: {error}");
    }
    let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
    let error = Authorities::from_pem(format!("{begin}\n!!\n{end}\n").as_bytes()).unwrap_err();
    assert!(matches!(error, AuthoritiesError::Pem(_)), "{error}");
    let error = Authorities::from_pem(format!("{}{begin}\nAAAA\n{end}\n", one.pem).as_bytes()).unwrap_err();
    assert!(matches!(error, AuthoritiesError::Unusable { number: 2, .. }), "{error}");
}
