//! Zones checked and laid out for answering: one hash table from names to what they have.

use std::collections::HashMap;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use domain::base::name::ToName;
use domain::base::{Name, Serial, Ttl};
use domain::rdata::{A, Aaaa, Soa, Txt};
use lifeboat_model::HostName;

use crate::zone::{NameServer, RecordSet, Values, Zone};

/// A name as it stands in messages, in lower case.
pub(crate) type WireName = Name<Vec<u8>>;

/// The longest time to live: the top bit is not to be used (RFC 2181, section 8).
const LONGEST_TTL_SECONDS: u32 = i32::MAX as u32;

/// The zones that a server serves, immutable: a change makes a new table that replaces the old one as a whole.
/// Without any zone every query is refused.
#[derive(Debug, Default)]
pub struct Zones {
    zones: Vec<Apex>,
    nodes: HashMap<Box<[u8]>, Node>,
    most_labels: usize,
}

/// What makes a set of zones one that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// A name that DNS cannot carry, or a wildcard.
    #[error("`{name}` cannot be served: {reason}")]
    Name {
        /// The name.
        name: HostName,
        /// What is wrong with it.
        reason: String,
    },
    /// Two zones with one apex, or two spellings of one name.
    #[error("`{0}` is there twice")]
    Twice(HostName),
    /// A record that does not lie at or below its zone's apex, or that a zone further down hides.
    #[error("`{name}` does not belong to the zone `{apex}`")]
    Outside {
        /// The record's name.
        name: HostName,
        /// The zone's.
        apex: HostName,
    },
    /// An apex has SOA and NS records, beside which an alias may not stand (RFC 1034, section 3.6.2).
    #[error("`{0}` is the apex of a zone, and so cannot be an alias")]
    AliasAtApex(HostName),
    /// A zone needs a name server.
    #[error("the zone `{0}` has no name server")]
    NoNameServer(HostName),
    /// A name server's name may not be an alias (RFC 2181, section 10.3).
    #[error("the name server `{0}` is an alias")]
    NameServerIsAlias(HostName),
    /// A text of more than the 65,535 bytes that a record holds.
    #[error("a text of `{0}` is too long")]
    LongText(HostName),
}

/// A zone's own records.
#[derive(Debug)]
pub(crate) struct Apex {
    pub(crate) name: WireName,
    pub(crate) ttl: Ttl,
    pub(crate) negative_ttl: Ttl,
    pub(crate) soa: Soa<WireName>,
    pub(crate) name_servers: Vec<WireName>,
}

/// What a name has.
#[derive(Debug)]
pub(crate) struct Node {
    zone: usize,
    pub(crate) is_apex: bool,
    pub(crate) content: Content,
}

/// A node's records. An empty non-terminal is `Data` without values.
#[derive(Debug)]
pub(crate) enum Content {
    Alias { ttl: Ttl, target: WireName },
    Data { a: Set<A>, aaaa: Set<Aaaa>, txt: Set<Txt<Vec<u8>>> },
}

/// The records of one type.
#[derive(Debug)]
pub(crate) struct Set<T> {
    pub(crate) ttl: Ttl,
    pub(crate) values: Vec<T>,
}

/// Where a name leads.
pub(crate) enum Lookup<'z> {
    /// It exists.
    Node(&'z Apex, &'z Node),
    /// It does not, and this zone can say so.
    Missing(&'z Apex),
    /// It lies in no zone served here.
    Elsewhere,
}

impl Zones {
    /// Checks the zones and lays them out.
    ///
    /// # Errors
    /// The first thing found for which no right answer could be given.
    pub fn new(zones: &[Zone]) -> Result<Self, ZoneError> {
        let mut table = Self::default();
        for zone in zones {
            table.add_apex(zone)?;
        }
        for (index, zone) in zones.iter().enumerate() {
            for (name, records) in &zone.records {
                table.add_records(index, zone, name, records)?;
            }
        }
        for zone in zones {
            for server in &zone.name_servers {
                table.add_name_server(server, seconds(zone.ttl))?;
            }
        }
        table.add_empty_non_terminals();
        table.most_labels = table.nodes.keys().map(|key| suffixes(key).count()).max().unwrap_or(0);
        Ok(table)
    }

    /// Where a name leads, whatever its case.
    pub(crate) fn find(&self, name: &impl ToName) -> Lookup<'_> {
        let mut buffer = [0; 255];
        let key = Key::of(name, &mut buffer);
        if let Some(node) = self.nodes.get(key) {
            return Lookup::Node(self.apex_of(node), node);
        }
        // No name here has more labels, so longer suffixes need not be hashed: a query may have 127 of them.
        let too_long = suffixes(key).count().saturating_sub(self.most_labels);
        match suffixes(key).skip(too_long.max(1)).find_map(|suffix| self.nodes.get(suffix)) {
            Some(encloser) => Lookup::Missing(self.apex_of(encloser)),
            None => Lookup::Elsewhere,
        }
    }

    fn apex_of(&self, node: &Node) -> &Apex {
        &self.zones[node.zone]
    }

    fn add_apex(&mut self, zone: &Zone) -> Result<(), ZoneError> {
        let name = wire_name(&zone.apex)?;
        let name_servers =
            zone.name_servers.iter().map(|server| wire_name(&server.name)).collect::<Result<Vec<_>, _>>()?;
        let primary = name_servers.first().ok_or_else(|| ZoneError::NoNameServer(zone.apex.clone()))?;
        let index = self.zones.len();
        let node = Node { zone: index, is_apex: true, content: Content::empty() };
        if self.nodes.insert(name.as_slice().into(), node).is_some() {
            return Err(ZoneError::Twice(zone.apex.clone()));
        }
        let mailbox = HostName::from(format!("hostmaster.{}", zone.apex));
        let soa = Soa::new(
            primary.clone(),
            wire_name(&mailbox)?,
            Serial(zone.serial),
            // Nothing transfers the zone, so nothing heeds these three; they are those that RIPE-203 recommends.
            Ttl::from_secs(86_400),
            Ttl::from_secs(7_200),
            Ttl::from_secs(3_600_000),
            seconds(zone.negative_ttl),
        );
        // RFC 2308, section 3: the smaller of the SOA's own time to live and its last field.
        let negative_ttl = seconds(zone.negative_ttl.min(zone.ttl));
        self.zones.push(Apex { name, ttl: seconds(zone.ttl), negative_ttl, soa, name_servers });
        Ok(())
    }

    fn add_records(
        &mut self,
        index: usize,
        zone: &Zone,
        name: &HostName,
        records: &RecordSet,
    ) -> Result<(), ZoneError> {
        let wire = wire_name(name)?;
        if self.zone_holding(&wire) != Some(index) {
            return Err(ZoneError::Outside { name: name.clone(), apex: zone.apex.clone() });
        }
        let content = Content::of(name, records)?;
        match self.nodes.get_mut(wire.as_slice()) {
            Some(node) if node.is_apex && matches!(content, Content::Alias { .. }) => {
                return Err(ZoneError::AliasAtApex(name.clone()));
            }
            Some(node) if node.is_apex => node.content = content,
            Some(_) => return Err(ZoneError::Twice(name.clone())),
            None => {
                self.nodes.insert(wire.as_slice().into(), Node { zone: index, is_apex: false, content });
            }
        }
        Ok(())
    }

    fn add_name_server(&mut self, server: &NameServer, ttl: Ttl) -> Result<(), ZoneError> {
        let wire = wire_name(&server.name)?;
        let Some(zone) = self.zone_holding(&wire) else { return Ok(()) };
        let node = self.nodes.entry(wire.as_slice().into()).or_insert_with(|| Node {
            zone,
            is_apex: false,
            content: Content::empty(),
        });
        match &mut node.content {
            Content::Alias { .. } => Err(ZoneError::NameServerIsAlias(server.name.clone())),
            Content::Data { a, aaaa, .. } => {
                if a.values.is_empty() && aaaa.values.is_empty() {
                    (a.ttl, aaaa.ttl) = (ttl, ttl);
                    for address in &server.addresses {
                        match address {
                            IpAddr::V4(address) => add_once(&mut a.values, A::new(*address)),
                            IpAddr::V6(address) => add_once(&mut aaaa.values, Aaaa::new(*address)),
                        }
                    }
                }
                Ok(())
            }
        }
    }

    /// RFC 8020 and RFC 4592: a name above an existing one exists too, though it has no records.
    fn add_empty_non_terminals(&mut self) {
        let names: Vec<Box<[u8]>> = self.nodes.keys().cloned().collect();
        for name in names {
            for ancestor in suffixes(&name).skip(1) {
                let Some(zone) = self.zone_holding_key(ancestor) else { break };
                self.nodes.entry(ancestor.into()).or_insert_with(|| Node {
                    zone,
                    is_apex: false,
                    content: Content::empty(),
                });
            }
        }
    }

    /// The zone with the longest apex at or above the name.
    fn zone_holding(&self, name: &WireName) -> Option<usize> {
        self.zone_holding_key(name.as_slice())
    }

    fn zone_holding_key(&self, key: &[u8]) -> Option<usize> {
        suffixes(key).find_map(|suffix| self.nodes.get(suffix).filter(|node| node.is_apex)).map(|node| node.zone)
    }
}

impl Content {
    fn empty() -> Self {
        Self::Data { a: Set::none(), aaaa: Set::none(), txt: Set::none() }
    }

    fn of(name: &HostName, records: &RecordSet) -> Result<Self, ZoneError> {
        Ok(match records {
            RecordSet::Alias { target, ttl } => Self::Alias { ttl: seconds(*ttl), target: wire_name(target)? },
            RecordSet::Data { a, aaaa, txt } => Self::Data {
                a: Set::of(a, |address| Ok(A::new(*address)))?,
                aaaa: Set::of(aaaa, |address| Ok(Aaaa::new(*address)))?,
                txt: Set::of(txt, |text| {
                    Txt::build_from_slice(text.as_bytes()).map_err(|_| ZoneError::LongText(name.clone()))
                })?,
            },
        })
    }
}

impl<T: PartialEq> Set<T> {
    fn none() -> Self {
        Self { ttl: Ttl::ZERO, values: Vec::new() }
    }

    /// A set has no value twice (RFC 2181, section 5).
    fn of<V>(values: &Values<V>, encode: impl Fn(&V) -> Result<T, ZoneError>) -> Result<Self, ZoneError> {
        let mut set = Self { ttl: seconds(values.ttl), values: Vec::with_capacity(values.values.len()) };
        for value in &values.values {
            add_once(&mut set.values, encode(value)?);
        }
        Ok(set)
    }
}

/// A name's key in the table: its labels with their lengths, in lower case.
struct Key;

impl Key {
    fn of<'b>(name: &impl ToName, buffer: &'b mut [u8; 255]) -> &'b [u8] {
        let mut length = 0;
        for label in name.iter_labels() {
            let label = label.as_slice();
            // A label has at most 63 bytes and a name with its lengths at most 255, or it would not have been parsed.
            buffer[length] = label.len() as u8;
            let place = &mut buffer[length + 1..][..label.len()];
            place.copy_from_slice(label);
            place.make_ascii_lowercase();
            length += 1 + label.len();
        }
        &buffer[..length]
    }
}

/// The name itself, its parent, and so on down to the single label; the root is left out.
fn suffixes(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = key;
    std::iter::from_fn(move || {
        let current = rest;
        let length = usize::from(*current.first()?);
        if length == 0 {
            return None;
        }
        rest = current.get(1 + length..)?;
        Some(current)
    })
}

fn wire_name(name: &HostName) -> Result<WireName, ZoneError> {
    let fault = |reason: &str| ZoneError::Name { name: name.clone(), reason: reason.into() };
    let wire = WireName::from_str(name.as_str()).map_err(|error| fault(&error.to_string()))?;
    if wire.is_root() {
        return Err(fault("it is empty"));
    }
    if wire.iter().any(|label| label.as_slice() == b"*") {
        return Err(fault("wildcards are not served"));
    }
    let mut octets = wire.into_octets();
    octets.make_ascii_lowercase();
    Ok(Name::from_octets(octets).expect("lower case changes no length"))
}

fn seconds(duration: Duration) -> Ttl {
    Ttl::from_secs(u32::try_from(duration.as_secs()).unwrap_or(u32::MAX).min(LONGEST_TTL_SECONDS))
}

fn add_once<T: PartialEq>(values: &mut Vec<T>, value: T) {
    if !values.contains(&value) {
        values.push(value);
    }
}
