//! Where the nodes and the members of their state store are: the addresses and names by which they reach each other, and
//! what of that the file would have to say differently for them to start.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use lifeboat_model::app::{EtcdStore, Kind, Pattern, Provider, RegionRole, StoreChoice, Tls};
use lifeboat_model::manual::MovedBy;
use lifeboat_model::{App, RegionId};

use crate::Problem;
use crate::design::{Design, Part, Site};

/// Where every generated node has its certificates, as `lifeboat certs` names them.
pub(crate) const CERTIFICATES: &str = "/etc/lifeboat/tls";

/// A region's member of the state store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// The region, and the member's name.
    pub(crate) name: String,
    /// `https` or `http`.
    scheme: String,
    /// As in the file: an address or a name.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Member {
    /// Where clients reach it: as it stands in the file.
    pub(crate) fn client_url(&self) -> String {
        format!("{}://{}:{}", self.scheme, self.host, self.port)
    }

    /// Where the other members reach it.
    pub(crate) fn peer_url(&self) -> String {
        format!("{}://{}:{}", self.scheme, self.host, self.peer_port())
    }

    pub(crate) fn peer_port(&self) -> u16 {
        self.port.saturating_add(1)
    }

    pub(crate) fn speaks_tls(&self) -> bool {
        self.scheme == "https"
    }
}

/// The members that the file's endpoints name, each in the region that it is in: the one that has its address, or whose name is
/// a label of its host name. An endpoint elsewhere is somebody else's cluster.
pub(crate) fn members(design: &Design) -> Vec<Member> {
    let StoreChoice::Etcd(store) = &design.app.store else { return Vec::new() };
    design.sites.iter().filter_map(|site| member_of(store, site.id, site.region.address)).collect()
}

/// The member of a region.
pub(crate) fn member(design: &Design, site: &Site) -> Option<Member> {
    let StoreChoice::Etcd(store) = &design.app.store else { return None };
    member_of(store, site.id, site.region.address)
}

/// The names, as distinct from addresses, under which the file's `store` expects the members of regions: what their certificates
/// have to be for, besides the region's name and address.
pub fn member_names(app: &App) -> BTreeMap<RegionId, String> {
    let StoreChoice::Etcd(store) = &app.store else { return BTreeMap::new() };
    app.regions
        .iter()
        .filter_map(|(id, region)| Some((id.clone(), member_of(store, id, region.address)?.host)))
        .filter(|(_, host)| bare(host).parse::<IpAddr>().is_err())
        .collect()
}

fn member_of(store: &EtcdStore, region: &RegionId, address: Option<IpAddr>) -> Option<Member> {
    let endpoints: Vec<(&str, String, u16)> = store.endpoints.iter().filter_map(|url| taken_apart(url)).collect();
    let is_here = |host: &str| address.is_some_and(|address| bare(host).parse() == Ok(address));
    let is_named =
        |host: &str| bare(host).parse::<IpAddr>().is_err() && host.split('.').any(|label| label == region.as_str());
    let (scheme, host, port) = endpoints
        .iter()
        .find(|(_, host, _)| is_here(host))
        .or_else(|| endpoints.iter().find(|(_, host, _)| is_named(host)))?;
    Some(Member { name: region.to_string(), scheme: (*scheme).into(), host: host.clone(), port: *port })
}

/// Scheme, host (an IPv6 address in brackets) and port of an URL.
fn taken_apart(url: &str) -> Option<(&str, String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    match authority.rsplit_once(':').filter(|(host, _)| !host.starts_with('[') || host.ends_with(']')) {
        Some((host, port)) => Some((scheme, host.into(), port.parse().ok()?)),
        None => Some((scheme, authority.into(), 2379)),
    }
}

fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// The address of a region's node in its generated network: the file's if it lies there, else the tenth of the first subnet.
pub(crate) fn private_address(site: &Site) -> String {
    match (site.region.address, site.facts) {
        (Some(address), None) => address.to_string(),
        (Some(address), Some(facts)) if is_inside(address, facts.network) => address.to_string(),
        (_, Some(facts)) => format!("10.{}.0.10", facts.network),
        (None, None) => String::new(),
    }
}

/// In the first subnet, `10.N.0.0/20`, past the addresses that clouds keep for themselves.
fn is_inside(address: IpAddr, network: u8) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, third, fourth] = address.octets();
            [first, second] == [10, network]
                && third < 16
                && (third > 0 || fourth > 3)
                && address != Ipv4Addr::new(10, network, 15, 255)
        }
        IpAddr::V6(_) => false,
    }
}

/// The domain of the names by which members find each other where the file gives them names: generated with the networks.
pub(crate) fn internal_domain(design: &Design) -> String {
    format!("{}.internal", design.name())
}

/// Regions of a provider whose member has a name in [`internal_domain`], which the provider's private zone has to know.
pub(crate) fn named_internally<'a>(design: &'a Design<'a>, provider: Provider) -> Vec<(&'a Site<'a>, String)> {
    let ending = format!(".{}", internal_domain(design));
    design
        .sites_of(provider)
        .filter_map(|site| Some((site, member(design, site)?.host)))
        .filter(|(_, host)| host.ends_with(&ending))
        .collect()
}

/// `etcd`'s settings in its own variables, and `etcdctl`'s for asking the others.
pub(crate) fn environment(design: &Design, member: &Member, listen: &str) -> Vec<(&'static str, String)> {
    let all = members(design);
    let cluster: Vec<String> = all.iter().map(|member| format!("{}={}", member.name, member.peer_url())).collect();
    let others: Vec<String> = all.iter().filter(|other| *other != member).map(Member::client_url).collect();
    let mut variables = vec![
        ("ETCD_NAME", member.name.clone()),
        ("ETCD_DATA_DIR", "/var/lib/etcd".into()),
        ("ETCD_LISTEN_CLIENT_URLS", format!("{}://{listen}:{}", member.scheme, member.port)),
        ("ETCD_ADVERTISE_CLIENT_URLS", member.client_url()),
        ("ETCD_LISTEN_PEER_URLS", format!("{}://{listen}:{}", member.scheme, member.peer_port())),
        ("ETCD_INITIAL_ADVERTISE_PEER_URLS", member.peer_url()),
        ("ETCD_INITIAL_CLUSTER", cluster.join(",")),
        ("ETCD_INITIAL_CLUSTER_TOKEN", design.name().into()),
        ("ETCD_HEARTBEAT_INTERVAL", "150".into()),
        ("ETCD_ELECTION_TIMEOUT", "1500".into()),
    ];
    if member.speaks_tls() {
        let certificate = format!("{CERTIFICATES}/{}.pem", member.name);
        let key = format!("{CERTIFICATES}/{}.key", member.name);
        let authority = format!("{CERTIFICATES}/ca.pem");
        for (name, value) in [
            ("ETCD_CERT_FILE", &certificate),
            ("ETCD_KEY_FILE", &key),
            ("ETCD_TRUSTED_CA_FILE", &authority),
            ("ETCD_PEER_CERT_FILE", &certificate),
            ("ETCD_PEER_KEY_FILE", &key),
            ("ETCD_PEER_TRUSTED_CA_FILE", &authority),
        ] {
            variables.push((name, value.clone()));
        }
        for name in [
            "ETCD_CLIENT_CERT_AUTH",
            "ETCD_PEER_CLIENT_CERT_AUTH",
            "ETCD_EXPERIMENTAL_PEER_SKIP_CLIENT_SAN_VERIFICATION",
        ] {
            variables.push((name, "true".into()));
        }
        variables.push(("ETCDCTL_CACERT", authority));
        variables.push(("ETCDCTL_CERT", certificate));
        variables.push(("ETCDCTL_KEY", key));
    }
    variables.push(("ETCDCTL_API", "3".into()));
    variables.push(("ETCDCTL_ENDPOINTS", others.join(",")));
    variables
}

/// Whether the node speaks TLS with the generated certificates: wherever it listens beyond loopback, unless the file wants none.
pub(crate) fn speaks_tls(design: &Design, site: &Site) -> bool {
    design.app.nodes.tls != Tls::Off && is_beyond_loopback(site)
}

/// Whether the machine is given certificates: for the node, for its member, or because the node shows them to the state store.
pub(crate) fn is_given_certificates(design: &Design, site: &Site) -> bool {
    let StoreChoice::Etcd(store) = &design.app.store else { return speaks_tls(design, site) };
    let installed = |path: &Option<PathBuf>| path.as_ref().is_some_and(|path| path.starts_with(CERTIFICATES));
    let for_store = [&store.ca, &store.cert, &store.key].into_iter().any(installed)
        || member(design, site).is_some_and(|member| member.speaks_tls());
    speaks_tls(design, site) || for_store && is_beyond_loopback(site)
}

/// Whether a region's node runs in the managed cluster and has no machine: what moves deployments has to be there. Health checkers do not
/// find it there, so that where a route leads to machines or services of the region it keeps a machine.
pub(crate) fn runs_in_cluster(design: &Design, site: &Site) -> bool {
    match site.region.place.provider {
        Provider::Aws => has_its_work_in_cluster(design, site),
        Provider::Azure => home_cluster(design, site).is_some(),
        Provider::Local | Provider::Kubernetes => false,
    }
}

/// On Azure the cluster in which the region's node runs: one that is made with the region, so that it can say who the pod is. In a cluster
/// of the user's own, or one that is made when the region is to serve, the pod may run as well, and the region keeps a machine.
pub(crate) fn home_cluster<'a>(design: &'a Design<'a>, site: &Site) -> Option<&'a Part<'a>> {
    let is_there = |part: &&Part| {
        part.regions.contains(&site.id) && (part.pattern != Pattern::BackupRestore || *part.home == *site.id)
    };
    let is_azure = site.region.place.provider == Provider::Azure;
    design.parts_of(Kind::Aks).find(is_there).filter(|_| is_azure && has_its_work_in_cluster(design, site))
}

fn has_its_work_in_cluster(design: &Design, site: &Site) -> bool {
    let has_deployment = design.parts_of(Kind::Deployment).any(|part| part.regions.contains(&site.id));
    let is_asked = design.ways.iter().filter(|way| way.regions.contains(&site.id)).any(|way| {
        design.part(way.to).is_some_and(|part| matches!(part.component.kind, Kind::Asg | Kind::Ecs | Kind::Vmss))
    });
    has_deployment && !is_asked
}

fn is_beyond_loopback(site: &Site) -> bool {
    !site.region.address.is_some_and(|address| address.is_loopback())
}

/// What would keep the nodes from starting, or from finding each other.
pub(crate) fn warnings(design: &Design) -> Vec<Problem> {
    let far: Vec<&Site> = design.sites.iter().filter(|site| is_beyond_loopback(site)).collect();
    let mut found: Vec<Problem> = far.iter().filter_map(|site| address_warning(site)).collect();
    found.extend(design.parts.iter().filter_map(driver_warning));
    if far.is_empty() {
        return found;
    }
    if design.app.nodes.tls == Tls::LoopbackOnly {
        found.push(Problem::new(
            "nodes.tls",
            "the file says nothing of TLS, so whoever asks the nodes has to be told where certificates lie (--certs)",
            format!("`nodes: {{tls: {CERTIFICATES}}}`, where the generated nodes have them"),
        ));
    }
    match &design.app.store {
        StoreChoice::File(_) if design.sites.len() > 1 => found.push(Problem::new(
            "store",
            "a file is for the nodes of one machine; these regions share none",
            format!("`store: {{etcd: [{}]}}`", expected_endpoints(&far)),
        )),
        StoreChoice::File(_) => {}
        StoreChoice::Etcd(store) => found.extend(store_warnings(design, store)),
    }
    let clouds = [Provider::Aws, Provider::Azure].into_iter().filter(|cloud| design.sites_of(*cloud).next().is_some());
    if clouds.count() > 1 {
        found.push(Problem::new(
            "regions",
            "the generated networks of AWS and of Azure do not reach each other, and the nodes have to",
            "a VPN or a direct link between them, which is yours to make",
        ));
    }
    found
}

/// What no node can move waits for a person, and that is learnt best before it happens.
fn driver_warning(part: &Part) -> Option<Problem> {
    let kind = part.component.kind;
    (kind.is_database() && part.component.moved_by() == MovedBy::People).then(|| {
        Problem::new(
            format!("components.{}.kind", part.id),
            format!("nodes have no driver for `{}` yet: a failover of it waits for a person", kind.as_str()),
            format!(
                "be ready for what README.md and `lifeboat status` show, then `lifeboat done {} --writer REGION`",
                part.id
            ),
        )
    })
}

fn address_warning(site: &Site) -> Option<Problem> {
    let field = format!("regions.{}.address", site.id);
    match (site.region.address, site.facts) {
        (None, facts) => {
            let example = facts.map_or_else(|| "IP".into(), |facts| format!("10.{}.0.10", facts.network));
            Some(Problem::new(
                field,
                format!(
                    "`{}` has no address: its node has nowhere to listen, does not start, and is not found by the others",
                    site.id
                ),
                format!("`address: {example}`"),
            ))
        }
        (Some(address), Some(facts)) if !is_inside(address, facts.network) => Some(Problem::new(
            field,
            format!(
                "{address} is not in the first subnet of the region's generated network, 10.{}.0.0/20",
                facts.network
            ),
            format!("`address: 10.{}.0.10`, or a network of your own around the node", facts.network),
        )),
        (Some(_), _) => None,
    }
}

fn store_warnings(design: &Design, store: &EtcdStore) -> Vec<Problem> {
    let mut found = Vec::new();
    let all = members(design);
    if all.is_empty() {
        return found;
    }
    if all.len() < store.endpoints.len() {
        found.push(Problem::new(
            "store.etcd",
            format!(
                "{} of {} endpoints are in no region of the file: no member is generated for them",
                store.endpoints.len() - all.len(),
                store.endpoints.len()
            ),
            "hosts that are a region's `address`, or of whose name the region's is a part",
        ));
    }
    if all.len().is_multiple_of(2) {
        found.push(Problem::new(
            "store.etcd",
            format!(
                "of {} members a majority is {}: they bear the loss of no more than {} do",
                all.len(),
                all.len() / 2 + 1,
                all.len() - 1
            ),
            "three or five members in as many regions",
        ));
    }
    let installed = |path: Option<&Path>| path.is_some_and(|path| path.starts_with(CERTIFICATES));
    let files = [store.ca.as_deref(), store.cert.as_deref(), store.key.as_deref()];
    if all.iter().any(Member::speaks_tls) && !files.into_iter().all(installed) {
        let field = if store.ca.is_some() { "store.ca" } else { "store" };
        found.push(Problem::new(
            field,
            format!("the generated members take clients with a certificate only, and nodes have theirs in {CERTIFICATES}"),
            format!("`ca: {CERTIFICATES}/ca.pem, cert: \"{CERTIFICATES}/{{region}}.pem\", key: \"{CERTIFICATES}/{{region}}.key\"`"),
        ));
    }
    found
}

/// Members in the first three regions, witnesses first.
fn expected_endpoints(sites: &[&Site]) -> String {
    let mut sites = sites.to_vec();
    sites.sort_by_key(|site| site.region.role == RegionRole::Data);
    let urls: Vec<String> = sites
        .iter()
        .take(3)
        .map(|site| {
            let address = private_address(site);
            format!("\"https://{}:2379\"", if address.is_empty() { "ADDRESS" } else { &address })
        })
        .collect();
    urls.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_taken_apart() {
        for (url, expected) in [
            ("https://10.1.0.5:2379", Some(("https", "10.1.0.5", 2379))),
            ("http://node.a.shop.internal", Some(("http", "node.a.shop.internal", 2379))),
            ("https://[2001:db8::1]:2381/", Some(("https", "[2001:db8::1]", 2381))),
            ("https://[2001:db8::1]", Some(("https", "[2001:db8::1]", 2379))),
            ("https://a:many", None),
            ("a:2379", None),
        ] {
            assert_eq!(taken_apart(url), expected.map(|(scheme, host, port)| (scheme, host.to_owned(), port)), "{url}");
        }
    }

    #[test]
    fn what_keeps_nodes_from_starting_is_said() {
        let app = lifeboat_model::parse(
            "app: shop\nregions:\n  a: {place: aws/eu-north-1}\n  b: {place: azure/northeurope, address: 192.0.2.1}\n  c: {place: local/c, address: 192.0.2.3}\n\
             components:\n  web: {kind: process, regions: [c], run: sleep 1}\nfailover: {mode: approve}\n\
             store: {etcd: [\"https://node.a.shop.internal:2379\", \"https://elsewhere:2379\"]}\n",
        )
        .unwrap();
        let found: Vec<String> = warnings(&Design::of(&app).unwrap()).iter().map(ToString::to_string).collect();
        for (field, expected) in [
            ("regions.a.address", "`address: 10.19.0.10`"),
            ("regions.b.address", "not in the first subnet"),
            ("nodes.tls", "/etc/lifeboat/tls"),
            ("store.etcd", "1 of 2 endpoints"),
            ("store:", "ca: /etc/lifeboat/tls/ca.pem"),
            ("regions:", "do not reach each other"),
        ] {
            assert!(
                found.iter().any(|problem| problem.starts_with(field) && problem.contains(expected)),
                "{field}: {found:#?}"
            );
        }
    }
}
