//! How many queries a second one core answers: the server on one thread, a closed loop of clients on another.
//!
//! `cargo run --release -p lifeboat-dns --example closed_loop [SECONDS]`. Compare only figures of one run, and none
//! with those of another load generator: small batches cost more.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifeboat_dns::{NameServer, RecordSet, Server, Zone, Zones};
use tokio::sync::{oneshot, watch};

const CLIENTS: usize = 8;
const OUTSTANDING: usize = 32;
const NAMES: usize = 1_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(3), |text| text.parse())?;
    let (_table, receiver) = watch::channel(Arc::new(zones()?));
    let (stop, stopped) = oneshot::channel::<()>();
    let (tell, told) = std::sync::mpsc::channel();
    let server = std::thread::spawn(move || -> std::io::Result<Duration> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into(), receiver).await?;
            let _ = tell.send(server.local_addr());
            server
                .run(async {
                    let _ = stopped.await;
                })
                .await;
            Ok::<_, std::io::Error>(())
        })?;
        let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Ok(Duration::try_from(used).unwrap_or_default())
    });
    let started = Instant::now();
    let answered = load(told.recv()?, Duration::from_secs(seconds))?;
    let elapsed = started.elapsed().as_secs_f64();
    drop(stop);
    let cpu = server.join().map_err(|_| "the server panicked")??;
    println!("{:.0} queries/s", answered as f64 / elapsed);
    println!(
        "{:.2} us of CPU a query, {:.0}% of a core",
        cpu.as_secs_f64() * 1e6 / answered as f64,
        cpu.as_secs_f64() / elapsed * 100.0
    );
    Ok(())
}

fn zones() -> Result<Zones, Box<dyn std::error::Error>> {
    let address: IpAddr = Ipv4Addr::new(192, 0, 2, 1).into();
    let ttl = Duration::from_secs(1);
    let records = (0..NAMES).map(|n| (format!("n{n}.example.test").into(), RecordSet::addresses(ttl, [address])));
    let zone = Zone {
        apex: "example.test".into(),
        name_servers: vec![NameServer { name: "ns.example.test".into(), addresses: vec![address] }],
        serial: 1,
        ttl,
        negative_ttl: ttl,
        records: records.collect(),
    };
    Ok(Zones::new(&[zone])?)
}

/// Each client keeps `OUTSTANDING` queries on the way; returns how many were answered.
fn load(server: SocketAddr, lasting: Duration) -> std::io::Result<u64> {
    let queries: Vec<Vec<u8>> = (0..NAMES).map(query).collect();
    let clients = (0..CLIENTS)
        .map(|_| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.connect(server)?;
            socket.set_read_timeout(Some(Duration::from_millis(100)))?;
            Ok(socket)
        })
        .collect::<std::io::Result<Vec<_>>>()?;
    let mut next = (0..NAMES).cycle();
    let mut send = |socket: &UdpSocket| socket.send(&queries[next.next().unwrap_or(0)]);
    for socket in &clients {
        for _ in 0..OUTSTANDING {
            send(socket)?;
        }
    }
    let (started, mut answered, mut buffer) = (Instant::now(), 0, [0; 512]);
    while started.elapsed() < lasting {
        for socket in &clients {
            for _ in 0..OUTSTANDING {
                if socket.recv(&mut buffer).is_ok() {
                    answered += 1;
                }
                send(socket)?;
            }
        }
    }
    Ok(answered)
}

fn query(n: usize) -> Vec<u8> {
    let label = format!("n{n}");
    let mut query = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, label.len() as u8];
    query.extend(label.as_bytes());
    query.extend(b"\x07example\x04test\x00\x00\x01\x00\x01");
    query
}
