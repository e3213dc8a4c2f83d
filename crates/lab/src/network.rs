//! A network of regions: a namespace for each, and a pair of interfaces for each pair of them.
//!
//! Every region has the very address that the file gives it, loopback addresses (127.…) included: inside, these are routed like others.
//! Whoever made the network is in it as one more place, the client's, and reaches every region.
//!
//! A direction of a link is cut by sending its packets to an interface that nobody has: they leave, and nobody hears them. So
//! neither side is told anything, as on a real link that breaks. It needs no packet filter; a cut takes and ends at once.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lifeboat_model::RegionId;
use rustix::fd::AsFd as _;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::machine::{in_network_of, network_of};

/// The client's own address.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 99, 99, 99);
/// Nobody's interface.
const NOBODY: &str = "02:00:00:00:ff:ff";
/// A namespace must be there within this time.
const MADE_WITHIN: Duration = Duration::from_secs(10);

/// How many networks this process has made.
static NETWORKS: AtomicUsize = AtomicUsize::new(0);

/// Why there is no such network, or why it cannot do that.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A region without an IPv4 address, or two with the same.
    #[error("{0}")]
    Address(String),
    /// A program that this needs did not do its work.
    #[error("`{command}` failed: {why}")]
    Command {
        /// What was tried.
        command: String,
        /// Its own words.
        why: String,
    },
}

/// What makes a link slow and lossy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What gets through, in kilobits per second, in each direction. A packet waits in a queue for its turn.
    pub kilobits_per_second: u32,
    /// Of a hundred packets, how many are lost, in each direction, by chance.
    pub lost_percent: u32,
}

/// One end of everything: a region, or (`None`) the client.
pub type Place = Option<RegionId>;

/// A direction of a link: from where, to where.
pub type Cut = (Place, Place);

/// Both directions of the links between these and those.
pub fn between(ones: &[Place], others: &[Place]) -> BTreeSet<Cut> {
    let mut both = one_way(ones, others);
    both.extend(one_way(others, ones));
    both
}

/// The directions from each of these to each of those.
pub fn one_way(from: &[Place], to: &[Place]) -> BTreeSet<Cut> {
    let all = from.iter().flat_map(|from| to.iter().map(move |to| (from.clone(), to.clone())));
    all.filter(|(from, to)| from != to).collect()
}

/// The namespaces, and what is done to their links. They go with this.
#[derive(Debug)]
pub struct Network {
    places: Vec<(Place, Ipv4Addr)>,
    holders: BTreeMap<RegionId, Holder>,
    /// Tells its interfaces from those of a network before, which the kernel may still be removing.
    number: usize,
    /// From where to where nothing gets through.
    cuts: Mutex<BTreeSet<Cut>>,
}

/// A process that does nothing but keep a namespace. It ends when its input does, which nobody but this process has the other end of.
#[derive(Debug)]
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Network {
    /// Makes the network; this process has to be in a network of its own ([`crate::machine::enter`]), of which the loopback
    /// interface is changed.
    ///
    /// # Errors
    /// Addresses that cannot be routed, or a program (`ip`, `unshare`, `nsenter`) that is not there or not allowed to do its work.
    pub fn make(regions: &BTreeMap<RegionId, IpAddr>) -> Result<Self, Error> {
        let mut places = vec![(None, CLIENT)];
        for (region, address) in regions {
            let IpAddr::V4(address) = *address else {
                return Err(Error::Address(format!(
                    "{region} has the address {address}; a network of namespaces has IPv4 only"
                )));
            };
            if let Some((other, _)) = places.iter().find(|(_, taken)| *taken == address) {
                let other = other.as_ref().map_or("the client", RegionId::as_str);
                return Err(Error::Address(format!("{region} has the address {address}, which {other} has as well")));
            }
            places.push((Some(region.clone()), address));
        }
        let holders = regions.keys().map(|region| Ok((region.clone(), hold()?))).collect::<Result<_, Error>>()?;
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let network = Self { places, holders, number, cuts: Mutex::default() };
        for (place, address) in &network.places {
            network.prepare(place, *address)?;
        }
        network.join()?;
        Ok(network)
    }

    /// What comes before a command so that it runs in this region.
    pub fn prefix(&self, region: &RegionId) -> Vec<OsString> {
        self.holders.get(region).map(|holder| in_network_of(holder.0.id()).into()).unwrap_or_default()
    }

    /// Does something in a thread that is in this region: its sockets are the region's.
    ///
    /// # Errors
    /// A region that is not there, or a thread that cannot be started.
    pub fn within<T: Send + 'static>(
        &self,
        region: &RegionId,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<JoinHandle<io::Result<T>>> {
        let holder = self.holders.get(region).ok_or_else(|| io::Error::other(format!("no region {region}")))?;
        let namespace = std::fs::File::open(network_of(holder.0.id()))?;
        std::thread::Builder::new().name(format!("in {region}")).spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        })
    }

    // --- faults ---

    /// From where to where nothing gets through from now on; everywhere else everything does.
    ///
    /// # Errors
    /// `ip` that fails.
    pub fn set_cuts(&self, wanted: BTreeSet<Cut>) -> Result<(), Error> {
        let mut cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines: BTreeMap<&Place, String> = BTreeMap::new();
        for (from, to) in cuts.symmetric_difference(&wanted) {
            if let (Some(from_index), Some(to_index)) = (self.index(from), self.index(to)) {
                let cut = wanted.contains(&(from.clone(), to.clone()));
                let neighbour = if cut { NOBODY.to_owned() } else { hardware(to_index, from_index) };
                let _ = writeln!(
                    lines.entry(from).or_default(),
                    "neigh replace {} lladdr {neighbour} nud permanent dev {}",
                    self.places[to_index].1,
                    self.interface(from_index, to_index),
                );
            }
        }
        for (place, lines) in lines {
            self.run(place, "ip", &lines)?;
        }
        *cuts = wanted;
        Ok(())
    }

    /// Everything gets through again.
    ///
    /// # Errors
    /// `ip` that fails.
    pub fn heal(&self) -> Result<(), Error> {
        self.set_cuts(BTreeSet::new())
    }

    /// The other regions.
    pub fn others(&self, region: &RegionId) -> Vec<Place> {
        self.places.iter().map(|(place, _)| place.clone()).filter(|p| p.as_ref().is_some_and(|p| p != region)).collect()
    }

    /// Makes the links between a region and the other regions slow and lossy; `None`: as they were.
    ///
    /// # Errors
    /// A kernel or a `tc` that cannot do that.
    pub fn trouble(&self, region: &RegionId, trouble: Option<Trouble>) -> Result<(), Error> {
        let place = Some(region.clone());
        let pairs =
            self.others(region).into_iter().flat_map(|other| [(place.clone(), other.clone()), (other, place.clone())]);
        for (from, to) in pairs {
            let Some(device) = self.index(&from).zip(self.index(&to)).map(|(from, to)| self.interface(from, to)) else {
                continue;
            };
            // Away with what was; that there was nothing is no error.
            let _ = self.run(&from, "tc", &format!("qdisc del dev {device} root\n"));
            let _ = self.run(&from, "tc", &format!("qdisc del dev {device} clsact\n"));
            if let Some(trouble) = trouble {
                self.run(&from, "tc", &trouble.rules(&device))?;
            }
        }
        Ok(())
    }

    // --- how ---

    /// The interface at one place that leads to another.
    fn interface(&self, from: usize, to: usize) -> String {
        format!("lab{}-{from}-{to}", self.number)
    }

    fn index(&self, place: &Place) -> Option<usize> {
        self.places.iter().position(|(known, _)| known == place)
    }

    /// A place's own address, and loopback addresses routed like others.
    fn prepare(&self, place: &Place, address: Ipv4Addr) -> Result<(), Error> {
        let settings = "cd /proc/sys/net/ipv4/conf && for which in all default; do \
                        echo 1 > $which/route_localnet; echo 0 > $which/rp_filter; done";
        let mut shell = self.command(place, "sh");
        shell.args(["-c", settings]);
        finish(shell, "sh", "")?;
        self.run(place, "ip", "link set lo up\n")?;
        // With 127.0.0.1/8 the whole of 127.0.0.0/8 would be here.
        self.run(
            place,
            "ip",
            &format!("addr flush dev lo\naddr add 127.0.0.1/32 dev lo\naddr add {address}/32 dev lo\n"),
        )
    }

    /// A link for each pair.
    fn join(&self) -> Result<(), Error> {
        for (one, (here, own)) in self.places.iter().enumerate() {
            let mut lines = String::new();
            for (other, (there, _)) in self.places.iter().enumerate().skip(one + 1) {
                let pid = there.as_ref().and_then(|there| self.holders.get(there)).map_or(0, |holder| holder.0.id());
                let _ = writeln!(
                    lines,
                    "link add {} address {} type veth peer name {} address {} netns {pid}",
                    self.interface(one, other),
                    hardware(one, other),
                    self.interface(other, one),
                    hardware(other, one),
                );
            }
            // Those of places before this one are here already.
            for (other, (_, address)) in self.places.iter().enumerate().filter(|(other, _)| *other != one) {
                let device = self.interface(one, other);
                let _ = writeln!(lines, "link set {device} up");
                let _ = writeln!(
                    lines,
                    "neigh replace {address} lladdr {} nud permanent dev {device}",
                    hardware(other, one)
                );
                let _ = writeln!(lines, "route replace {address}/32 dev {device} src {own} scope link");
            }
            self.run(here, "ip", &lines)?;
        }
        Ok(())
    }

    fn run(&self, place: &Place, program: &'static str, lines: &str) -> Result<(), Error> {
        let mut command = self.command(place, program);
        command.args(["-batch", "-"]);
        finish(command, program, lines)
    }

    fn command(&self, place: &Place, program: &str) -> Command {
        let prefix = place.as_ref().map(|region| self.prefix(region)).unwrap_or_default();
        let words: Vec<OsString> = prefix.into_iter().chain([program.into()]).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }
}

impl Trouble {
    /// For `tc`. Chance is drawn by the kernel for each packet, in a program of four instructions (`ld [rand]`, `jge`, `ret`).
    fn rules(self, device: &str) -> String {
        let keep = u64::from(u32::MAX) * u64::from(self.lost_percent.min(100)) / 100;
        format!(
            "qdisc add dev {device} clsact\n\
             filter add dev {device} egress bpf da bytecode '4,32 0 0 4294963256,53 0 1 {keep},6 0 0 4294967295,6 0 0 2'\n\
             qdisc add dev {device} root tbf rate {}kbit burst 4kb limit 60kb\n",
            self.kilobits_per_second
        )
    }
}

/// The hardware address of the interface at one place that leads to another.
fn hardware(at: usize, to: usize) -> String {
    format!("02:00:00:00:{at:02x}:{to:02x}")
}

fn hold() -> Result<Holder, Error> {
    let mut command = Command::new("unshare");
    command.args(["--net", "--", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let failed = |why: String| Error::Command { command: "unshare --net -- cat".into(), why };
    let mut holder = Holder(command.spawn().map_err(|error| failed(error.to_string()))?);
    let ours = std::fs::read_link("/proc/self/ns/net").map_err(|error| failed(error.to_string()))?;
    let deadline = Instant::now() + MADE_WITHIN;
    loop {
        if let Ok(Some(status)) = holder.0.try_wait() {
            return Err(failed(status.to_string()));
        }
        if std::fs::read_link(network_of(holder.0.id())).is_ok_and(|theirs| theirs != ours) {
            return Ok(holder);
        }
        if Instant::now() > deadline {
            return Err(failed(format!("no namespace within {} s", MADE_WITHIN.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn finish(mut command: Command, program: &str, lines: &str) -> Result<(), Error> {
    let failed = |why: String| Error::Command {
        command: format!("{program} {}", lines.lines().next().unwrap_or_default()).trim().into(),
        why,
    };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("{error} (Debian's package of `ip` and `tc`: iproute2)")))?;
    if let Some(mut input) = child.stdin.take() {
        // A program that has ended early says why below.
        let _ = input.write_all(lines.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(failed(said.trim().replace('\n', "; "))) }
}
