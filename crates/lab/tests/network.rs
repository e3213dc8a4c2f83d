//! The network of namespaces, by packets: each direction is cut alone, silently and at once, healed, and made to lose packets.
//!
//! Its own main: it goes on in a network of its own.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use lifeboat_lab::machine::{self, Kind};
use lifeboat_lab::{Network, Place, Trouble, between, one_way};
use lifeboat_model::RegionId;

const TESTS: [(&str, fn()); 3] = [
    ("each_direction_is_cut_alone_and_healed", each_direction_is_cut_alone_and_healed),
    ("a_link_loses_some_packets_and_not_all", a_link_loses_some_packets_and_not_all),
    ("two_regions_with_one_address_are_refused", two_regions_with_one_address_are_refused),
];

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--list") {
        TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if !machine::is_inside()
        && let Some(missing) = machine::missing(Kind::Network)
    {
        TESTS.iter().for_each(|(name, _)| println!("SKIPPED {name}: {missing}"));
        println!("test result: SKIPPED. 0 passed; 0 failed; {} ignored: {missing}", TESTS.len());
        return ExitCode::SUCCESS;
    }
    machine::enter(Kind::Network).unwrap();
    println!("\nrunning {} tests", TESTS.len());
    for (name, test) in TESTS {
        test();
        println!("test {name} ... ok");
    }
    println!("\ntest result: ok. {} passed; 0 failed", TESTS.len());
    ExitCode::SUCCESS
}

/// Regions with a socket each, and one of the client.
struct Sockets {
    network: Network,
    sockets: BTreeMap<Place, (SocketAddr, UdpSocket)>,
}

impl Sockets {
    fn make() -> Self {
        let regions: BTreeMap<RegionId, IpAddr> = [("a", "127.0.1.1"), ("b", "127.0.2.1"), ("c", "10.9.3.1")]
            .map(|(id, at)| (id.into(), at.parse().unwrap()))
            .into();
        let network = Network::make(&regions).unwrap();
        let mut sockets = BTreeMap::from([(None, bound("127.99.99.99".parse().unwrap()))]);
        for (region, address) in regions {
            let socket = network.within(&region, move || bound(address)).unwrap().join().unwrap().unwrap();
            sockets.insert(Some(region), socket);
        }
        Self { network, sockets }
    }

    /// Sends packets that were never sent before, and counts those that arrive.
    fn arriving(&self, from: &Place, to: &Place, packets: u64) -> u64 {
        let (sender, (address, receiver)) = (&self.sockets[from].1, &self.sockets[to]);
        let mut buffer = [0; 8];
        (0..packets)
            .filter(|packet| {
                sender.send_to(&packet.to_be_bytes(), address).expect("a cut is silent");
                receiver.recv_from(&mut buffer).is_ok()
            })
            .count() as u64
    }

    /// From where to where a packet does not arrive.
    fn silent(&self) -> BTreeSet<(Place, Place)> {
        let all = self.sockets.keys().flat_map(|from| self.sockets.keys().map(move |to| (from.clone(), to.clone())));
        all.filter(|(from, to)| from != to && self.arriving(from, to, 1) == 0).collect()
    }
}

fn bound(address: IpAddr) -> (SocketAddr, UdpSocket) {
    let socket = UdpSocket::bind((address, 0)).unwrap();
    // Within one machine a packet that is sent has arrived; the wait is for those that never do.
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    (socket.local_addr().unwrap(), socket)
}

fn place(region: &str) -> Place {
    Some(region.into())
}

fn each_direction_is_cut_alone_and_healed() {
    let sockets = Sockets::make();
    assert_eq!(sockets.silent(), BTreeSet::new(), "everybody reaches everybody");
    let (a, b, c) = (place("a"), place("b"), place("c"));
    for cuts in [
        one_way(std::slice::from_ref(&a), std::slice::from_ref(&b)),
        between(std::slice::from_ref(&a), &sockets.network.others(&"a".into())),
        between(std::slice::from_ref(&b), std::slice::from_ref(&c)),
        between(&[None], std::slice::from_ref(&c)),
    ] {
        assert!(!cuts.is_empty());
        sockets.network.set_cuts(cuts.clone()).unwrap();
        assert_eq!(sockets.silent(), cuts);
    }
    sockets.network.heal().unwrap();
    assert_eq!(sockets.silent(), BTreeSet::new());
}

fn a_link_loses_some_packets_and_not_all() {
    let sockets = Sockets::make();
    let (a, b, c) = (place("a"), place("b"), place("c"));
    sockets.network.trouble(&"a".into(), Some(Trouble { kilobits_per_second: 10_000, lost_percent: 50 })).unwrap();
    // By chance none or all of so many are lost once in 2^39 times.
    let arrived = sockets.arriving(&a, &b, 40);
    assert!((1..40).contains(&arrived), "{arrived} of 40");
    assert_eq!(sockets.arriving(&b, &c, 40), 40, "other links are as they were");
    sockets.network.trouble(&"a".into(), None).unwrap();
    assert_eq!(sockets.arriving(&a, &b, 40), 40);
}

fn two_regions_with_one_address_are_refused() {
    let address: IpAddr = "127.0.1.1".parse().unwrap();
    let error = Network::make(&[("a".into(), address), ("b".into(), address)].into()).unwrap_err().to_string();
    assert_eq!(error, "b has the address 127.0.1.1, which a has as well");
}
