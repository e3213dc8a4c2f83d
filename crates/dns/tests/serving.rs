//! The server and the client on real sockets: swaps of the table, streams, other people's tools.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use common::{PATIENCE, Query, Running, addresses, alias, describe, framed, read_framed, zone, zones};
use domain::base::iana::Rtype;
use lifeboat_dns::{Family, ResolveError, Server, ZoneError, Zones, resolve};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::timeout;

fn serving(address: &str) -> Arc<Zones> {
    Arc::new(Zones::new(&[zone("example.test", [("shop.example.test", addresses(&[address]))])]).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_table_is_answered_from_at_once() {
    let server = Running::start(Zones::default()).await;
    for turn in 0..200 {
        let address = format!("10.0.0.{turn}");
        server.table.send_replace(serving(&address));
        let found = resolve(&[server.address], "shop.example.test", Family::Ipv4, PATIENCE).await.unwrap();
        assert_eq!(found.addresses, [address.parse::<Ipv4Addr>().unwrap()]);
        assert_eq!(found.ttl, Duration::from_secs(1));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_stream_carries_many_queries_in_any_pieces() {
    let server = Running::start(zones()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let queries: Vec<u8> =
        (0..100).flat_map(|id| framed(&Query::of("many.example.test", Rtype::A).id(id).bytes())).collect();
    for piece in queries.chunks(37) {
        stream.write_all(piece).await.unwrap();
    }
    // Nothing more will be asked, but what was asked is still answered.
    stream.shutdown().await.unwrap();
    for id in 0..100u16 {
        let response = timeout(PATIENCE, read_framed(&mut stream)).await.unwrap().expect("a response to each query");
        assert_eq!(response[..2], id.to_be_bytes());
    }
    assert_eq!(timeout(PATIENCE, read_framed(&mut stream)).await.unwrap(), None, "then the server closes");
    server.stop().await;
}

#[tokio::test]
async fn idle_streams_are_closed_and_stopping_closes_the_rest() {
    let server = Running::start(zones()).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    let mut dripping = TcpStream::connect(server.address).await.unwrap();
    dripping.write_all(&[0]).await.unwrap();
    assert_eq!(timeout(PATIENCE, read_framed(&mut idle)).await.expect("closed by the server"), None);
    assert_eq!(timeout(PATIENCE, read_framed(&mut dripping)).await.expect("closed by the server"), None);

    let mut open = TcpStream::connect(server.address).await.unwrap();
    open.write_all(&framed(&Query::of("example.test", Rtype::SOA).bytes())).await.unwrap();
    assert!(timeout(PATIENCE, read_framed(&mut open)).await.unwrap().is_some());
    let address = server.address;
    server.stop().await;
    assert_eq!(timeout(PATIENCE, read_framed(&mut open)).await.unwrap(), None);
    let (_sender, table) = watch::channel(Arc::new(zones()));
    Server::bind(address, table).await.expect("the address is free again");
}

#[tokio::test]
async fn two_servers_cannot_share_an_address() {
    let server = Running::start(zones()).await;
    let (_sender, table) = watch::channel(Arc::new(zones()));
    let error = Server::bind(server.address, table).await.expect_err("the address is taken");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    server.stop().await;
}

#[tokio::test]
async fn the_client_tries_servers_in_order() {
    let server = Running::start(zones()).await;
    let unread = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let silent = unread.local_addr().unwrap();
    let closed: SocketAddr = {
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 53, 1), 0)).await.unwrap();
        socket.local_addr().unwrap()
    };
    let each = Duration::from_secs(5);
    let good = server.address;

    let found = resolve(&[closed, good], "both.example.test", Family::Ipv6, each).await.unwrap();
    assert_eq!((found.addresses.len(), found.server), (1, good));
    let found = resolve(&[good], "many.example.test", Family::Ipv4, each).await.unwrap();
    assert_eq!(found.addresses.len(), 100, "fetched by stream");
    let found = resolve(&[good], "www.example.test.", Family::Ipv4, each).await.unwrap();
    assert_eq!((found.addresses.len(), found.ttl), (1, Duration::from_secs(1)), "the smaller of alias and address");
    let found = resolve(&[good], "nothing.example.test", Family::Ipv4, each).await.unwrap();
    assert!(found.addresses.is_empty());

    let error = resolve(&[good], "example.org", Family::Ipv4, each).await.unwrap_err();
    assert!(matches!(&error, ResolveError::Refused { rcode, .. } if rcode == "REFUSED"), "{error}");
    let error = resolve(&[silent], "example.test", Family::Ipv4, Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, ResolveError::Timeout { .. }), "{error}");
    let error = resolve(&[closed], "example.test", Family::Ipv4, each).await.unwrap_err();
    assert!(matches!(error, ResolveError::Io { .. }), "{error}");
    let error = resolve(&[], "example.test", Family::Ipv4, each).await.unwrap_err();
    assert!(matches!(error, ResolveError::NoServer), "{error}");
    let error = resolve(&[good], "a..b", Family::Ipv4, each).await.unwrap_err();
    assert!(matches!(error, ResolveError::Name(_)), "{error}");
    server.stop().await;
}

#[test]
fn what_cannot_be_served_is_refused_beforehand() {
    let some = || addresses(&["127.0.0.1"]);
    let mut no_server = zone("example.test", []);
    no_server.name_servers.clear();
    for (zones, expected) in [
        (
            vec![zone("example.test", [("shop.example.org", some())])],
            "`shop.example.org` does not belong to the zone `example.test`",
        ),
        (
            vec![zone("example.test", [("example.test", alias("a.test"))])],
            "`example.test` is the apex of a zone, and so cannot be an alias",
        ),
        (vec![zone("example.test", []), zone("example.test", [])], "`example.test` is there twice"),
        (
            vec![zone("example.test", [("a.b.example.test", some())]), zone("b.example.test", [])],
            "`a.b.example.test` does not belong to the zone `example.test`",
        ),
        (
            vec![zone("example.test", [("ns-a.example.test", alias("b.test"))])],
            "the name server `ns-a.example.test` is an alias",
        ),
        (
            vec![zone("example.test", [("*.example.test", some())])],
            "`*.example.test` cannot be served: wildcards are not served",
        ),
        (vec![no_server], "the zone `example.test` has no name server"),
    ] {
        assert_eq!(Zones::new(&zones).expect_err(expected).to_string(), expected);
    }
    let broken = Zones::new(&[zone("example..test", [])]).expect_err("an empty label");
    assert!(matches!(broken, ZoneError::Name { .. }));
}

#[tokio::test]
async fn a_zone_within_a_zone_answers_for_itself() {
    let server = Running::start(
        Zones::new(&[
            zone("example.test", [("shop.example.test", addresses(&["127.0.0.1"]))]),
            zone("eu.deep.example.test", [("shop.eu.deep.example.test", addresses(&["127.0.0.2"]))]),
        ])
        .unwrap(),
    )
    .await;
    for (name, expected) in [
        (
            "shop.eu.deep.example.test",
            "NOERROR aa | shop.eu.deep.example.test A | answer shop.eu.deep.example.test 1 A 127.0.0.2",
        ),
        ("x.eu.deep.example.test", "NXDOMAIN aa | x.eu.deep.example.test A | authority eu.deep.example.test 1 SOA"),
        ("deep.example.test", "NOERROR aa | deep.example.test A | authority example.test 1 SOA"),
        ("x.deep.example.test", "NXDOMAIN aa | x.deep.example.test A | authority example.test 1 SOA"),
    ] {
        let response = server.by_udp(&Query::of(name, Rtype::A).bytes()).await.unwrap();
        assert!(describe(&response).starts_with(expected), "{}", describe(&response));
    }
    server.stop().await;
}

/// `dig` and `kdig` read what we say as we mean it; without complaint, which both write after `;;`.
#[tokio::test]
async fn other_peoples_clients_understand() {
    let server = Running::start(zones()).await;
    let at = format!("@{}", server.address.ip());
    let port = server.address.port().to_string();
    for tool in ["dig", "kdig"] {
        if Command::new(tool).arg("-h").output().await.is_err() {
            let _ = writeln!(std::io::stderr(), "skipped: {tool} is not installed");
            continue;
        }
        let ask = async |arguments: &[&str]| {
            let mut command = Command::new(tool);
            command.args([&at, "-p", &port, "+time=5", "+retry=3"]).args(arguments).kill_on_drop(true);
            let output = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        // `+noignore`: a truncated response is asked for again by TCP, as both do by default.
        for transport in ["+noignore", "+tcp"] {
            let short = async |name: &str, rtype: &str| ask(&[name, rtype, transport, "+short"]).await;
            assert_eq!(short("shop.example.test", "A").await, "127.0.20.1\n", "{tool}");
            assert_eq!(short("both.example.test", "AAAA").await, "::1\n", "{tool}");
            assert_eq!(short("www.example.test", "A").await, "shop.example.test.\n127.0.20.1\n", "{tool}");
            assert_eq!(short("example.test", "NS").await, "ns-a.example.test.\nns.elsewhere.test.\n", "{tool}");
            let many = short("many.example.test", "A").await;
            assert_eq!(
                many.lines().filter(|line| line.starts_with("10.0.0.")).count(),
                100,
                "{tool} asks again by TCP"
            );
            assert_eq!(short("down.example.test", "A").await, "", "{tool}");
            for (name, status) in
                [("shop.example.test", "NOERROR"), ("nothing.example.test", "NXDOMAIN"), ("example.org", "REFUSED")]
            {
                let whole = ask(&[name, "A", transport, "+norecurse"]).await;
                assert!(whole.contains(&format!("status: {status}")), "{tool} {name}: {whole}");
                assert!(!whole.to_lowercase().contains("warning"), "{tool} {name}: {whole}");
            }
        }
    }
    server.stop().await;
}
