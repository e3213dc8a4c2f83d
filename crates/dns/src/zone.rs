//! What a zone says, in the words of whoever decides it; [`crate::Zones`] is its checked form.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use lifeboat_model::HostName;

/// A zone: everything at and below its apex, except what a zone with a longer apex holds.
///
/// Times to live are cut to whole seconds, for DNS knows no others; less than a second means that nothing is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// The topmost name.
    pub apex: HostName,
    /// The name servers, the primary first; at least one. Those whose names lie in a zone served here are given
    /// address records, unless `records` has some for them.
    pub name_servers: Vec<NameServer>,
    /// Grows with every change. Only transfers and monitoring look at it.
    pub serial: u32,
    /// For how long the SOA and NS records, and the name servers' addresses, may be kept.
    pub ttl: Duration,
    /// For how long "there is no such name" and "it has no such record" may be kept (RFC 2308). Small: a route
    /// whose regions are all down has no record, and is to be found again as soon as one is back.
    pub negative_ttl: Duration,
    /// The records by name. Every name lies at or below the apex.
    pub records: BTreeMap<HostName, RecordSet>,
}

/// A server that answers for a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServer {
    /// Its name, such as `ns-stockholm.example.test`.
    pub name: HostName,
    /// Where it listens.
    pub addresses: Vec<IpAddr>,
}

/// What one name has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordSet {
    /// It is another name for `target` (CNAME), and so has no records of its own; never at an apex.
    Alias {
        /// The name that has the records, served here or not.
        target: HostName,
        /// For how long the answer may be kept.
        ttl: Duration,
    },
    /// It has records. Where all are empty, the name exists and every question is answered by NODATA.
    Data {
        /// IPv4 addresses.
        a: Values<Ipv4Addr>,
        /// IPv6 addresses.
        aaaa: Values<Ipv6Addr>,
        /// Texts; what is longer than 255 bytes is split as RFC 1035 demands.
        txt: Values<String>,
    },
}

/// The values of one type with the one time to live that they share (RFC 2181, section 5.2). A set: the order means
/// nothing, and is turned from query to query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values<T> {
    /// For how long they may be kept.
    pub ttl: Duration,
    /// The values; empty: there is no record of this type.
    pub values: Vec<T>,
}

impl<T> Values<T> {
    /// No record.
    #[must_use]
    pub fn none() -> Self {
        Self { ttl: Duration::ZERO, values: Vec::new() }
    }
}

impl RecordSet {
    /// A name with these addresses of both families; without any, NODATA.
    pub fn addresses(ttl: Duration, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let (mut a, mut aaaa) = (Vec::new(), Vec::new());
        for address in addresses {
            match address {
                IpAddr::V4(address) => a.push(address),
                IpAddr::V6(address) => aaaa.push(address),
            }
        }
        Self::Data { a: Values { ttl, values: a }, aaaa: Values { ttl, values: aaaa }, txt: Values::none() }
    }

    /// A name with these texts.
    pub fn texts(ttl: Duration, texts: impl IntoIterator<Item = String>) -> Self {
        let txt = Values { ttl, values: texts.into_iter().collect() };
        Self::Data { a: Values::none(), aaaa: Values::none(), txt }
    }
}

/// Which zones the host names of an app's routes make: for each apex, the names in it.
///
/// 1. A name at or below a `declared` apex belongs to the longest such apex.
/// 2. Any other belongs to its parent (`shop.example.test` to `example.test`), so that siblings share a zone; to
///    itself where the parent has a single label, for nobody is given a top-level domain.
/// 3. An apex so found that lies at or below another one found in the same way is merged into that: nothing delegates
///    between the two.
///
/// Resolvers accept "no such record" only from the zone that was delegated to the server. Where that is not the
/// parent (a single host was delegated, or the parent is a public suffix such as `co.uk`), the apex must be declared.
pub fn group_by_apex<'a>(
    hosts: impl IntoIterator<Item = &'a HostName>,
    declared: &BTreeSet<HostName>,
) -> BTreeMap<HostName, BTreeSet<HostName>> {
    let mut groups: BTreeMap<HostName, BTreeSet<HostName>> = BTreeMap::new();
    let mut found: BTreeMap<HostName, BTreeSet<HostName>> = BTreeMap::new();
    for host in hosts {
        match ancestors(host.as_str()).find_map(|name| declared.get(name)) {
            Some(apex) => groups.entry(apex.clone()).or_default().insert(host.clone()),
            None => found.entry(default_apex(host)).or_default().insert(host.clone()),
        };
    }
    for (apex, hosts) in &found {
        let highest = ancestors(apex.as_str()).filter(|name| found.contains_key(*name)).last();
        let apex = highest.map_or_else(|| apex.clone(), HostName::from);
        groups.entry(apex).or_default().extend(hosts.iter().cloned());
    }
    groups
}

/// Rule 2 of [`group_by_apex`].
fn default_apex(host: &HostName) -> HostName {
    match host.as_str().split_once('.') {
        Some((_, parent)) if parent.contains('.') => parent.into(),
        _ => host.clone(),
    }
}

/// The name itself, its parent, and so on up to the single label.
fn ancestors(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, parent)| parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grouped(hosts: &[&str], declared: &[&str]) -> String {
        let hosts: Vec<HostName> = hosts.iter().map(|name| HostName::from(*name)).collect();
        let declared = declared.iter().map(|name| HostName::from(*name)).collect();
        group_by_apex(&hosts, &declared)
            .iter()
            .map(|(apex, hosts)| {
                format!("{apex}: {}", hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(" "))
            })
            .collect::<Vec<_>>()
            .join("; ")
    }

    #[test]
    fn hosts_are_grouped_into_zones() {
        for (hosts, declared, expected) in [
            (&["shop.example.test"][..], &[][..], "example.test: shop.example.test"),
            (&["shop.example.test", "api.example.test"], &[], "example.test: api.example.test shop.example.test"),
            (&["example.test"], &[], "example.test: example.test"),
            (&["localhost"], &[], "localhost: localhost"),
            (&["example.test", "eu.shop.example.test"], &[], "example.test: eu.shop.example.test example.test"),
            (&["a.one.test", "a.two.test"], &[], "one.test: a.one.test; two.test: a.two.test"),
            (
                &["shop.example.co.uk", "shop.co.uk"],
                &["example.co.uk", "shop.co.uk"],
                "example.co.uk: shop.example.co.uk; shop.co.uk: shop.co.uk",
            ),
            (
                &["shop.example.test", "api.example.test"],
                &["shop.example.test"],
                "example.test: api.example.test; shop.example.test: shop.example.test",
            ),
        ] {
            assert_eq!(grouped(hosts, declared), expected);
        }
    }
}
