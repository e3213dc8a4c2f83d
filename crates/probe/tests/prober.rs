//! Targets probed again and again: what makes a probe start, and what ends it.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use lifeboat_probe::{Evidence, Prober, Reading, Schedule, Target};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);
const NEVER: Duration = Duration::from_secs(1_000_000);

/// One that probes only when it is told to, or in doubt.
fn on_demand() -> Schedule {
    Schedule { in_doubt: Duration::from_millis(20), ..Schedule::new(NEVER, PATIENCE) }
}

fn listening() -> (std::net::TcpListener, Target) {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, Target::Tcp { address })
}

fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

async fn next(readings: &mut Receiver<Reading<&'static str>>) -> Reading<&'static str> {
    timeout(PATIENCE, readings.recv()).await.expect("a reading in time").expect("the prober runs")
}

#[tokio::test]
async fn targets_are_probed_on_schedule_under_their_keys() {
    let ((_one, one), (_other, other)) = (listening(), listening());
    let (mut prober, mut readings) = Prober::new(Some(Ipv4Addr::LOCALHOST.into()), 16);
    let schedule = Schedule::new(Duration::from_millis(30), PATIENCE);
    prober.watch("one", one, schedule);
    prober.watch("other", other, schedule);
    let (mut seen, mut last) = ([0; 2], [None; 2]);
    while seen.iter().any(|count| *count < 5) {
        let reading = next(&mut readings).await;
        assert!(matches!(reading.evidence, Evidence::Ok { .. }), "{reading:?}");
        let index = usize::from(reading.target == "other");
        seen[index] += 1;
        assert!(last[index].replace(reading.started) < Some(reading.started), "each is later than the one before");
    }
    prober.shutdown().await;
}

#[tokio::test]
async fn a_probe_on_demand_comes_at_once_and_doubt_brings_more() {
    let (_listener, good) = listening();
    let (socket, address) = refusing();
    let (mut prober, mut readings) = Prober::new(None, 16);
    prober.watch("good", good, on_demand());
    prober.watch("refusing", Target::Tcp { address }, on_demand());
    assert!(!prober.probe_now(&"unknown"));
    for _ in 0..3 {
        assert!(prober.probe_now(&"good"));
        assert_eq!(next(&mut readings).await.target, "good", "one reading for each demand");
    }

    assert!(prober.probe_now(&"refusing"));
    for _ in 0..5 {
        let reading = next(&mut readings).await;
        assert_eq!((reading.target, reading.evidence), ("refusing", Evidence::Refused));
    }
    // It listens now; as soon as that was seen, there is no doubt and no more probe.
    let listener = socket.listen(16).unwrap();
    while next(&mut readings).await.evidence == Evidence::Refused {}
    assert!(prober.probe_now(&"good"));
    assert_eq!(next(&mut readings).await.target, "good");
    drop(listener);
    prober.shutdown().await;
}

#[tokio::test]
async fn forgetting_and_shutting_down_end_the_probes() {
    let (_socket, address) = refusing();
    let (mut prober, mut readings) = Prober::new(None, 1);
    prober.watch("refusing", Target::Tcp { address }, on_demand());
    prober.probe_now(&"refusing");
    next(&mut readings).await;
    prober.forget(&"refusing");
    assert!(!prober.probe_now(&"refusing"));
    prober.shutdown().await;
    // At most the one that was on its way.
    let rest = async { while readings.recv().await.is_some() {} };
    timeout(PATIENCE, rest).await.expect("no task holds the sending end any more");
}

#[tokio::test]
async fn shutting_down_closes_the_connection_of_a_probe_under_way() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let target = Target::Http { address: listener.local_addr().unwrap(), host: "a.test".into(), path: "/".into() };
    let (mut prober, _readings) = Prober::new(None, 1);
    prober.watch("mute", target, on_demand());
    prober.probe_now(&"mute");
    let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    prober.shutdown().await;
    let mut bytes = [0; 1024];
    let closed = async {
        loop {
            stream.readable().await.unwrap();
            match stream.try_read(&mut bytes) {
                Ok(0) => return,
                Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => {}
            }
        }
    };
    timeout(PATIENCE, closed).await.expect("the probe's connection is closed");
}

/// The answer lies in our socket while we stand still: that is not the target's silence. Everything runs on this one
/// thread, so blocking it stops the node.
#[tokio::test]
async fn silence_while_we_stood_still_is_no_observation() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let target = Target::Http { address: listener.local_addr().unwrap(), host: "a.test".into(), path: "/".into() };
    let limit = Duration::from_millis(400);
    let (mut prober, mut readings) = Prober::new(None, 1);
    prober.watch("mute", target, Schedule { in_doubt: NEVER, ..Schedule::new(NEVER, limit) });

    prober.probe_now(&"mute");
    let (_stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    std::thread::sleep(3 * limit);
    let evidence = next(&mut readings).await.evidence;
    assert!(matches!(evidence, Evidence::NotObserved { .. }), "{evidence:?}");
    prober.shutdown().await;
}
