//! The names that objects have in Kubernetes: what `lifeboat generate` writes, a node finds again.

use crate::app::{App, Kind, Provider};
use crate::{AppName, HostName, RegionId};

/// Under which a cluster keeps what a node has set, of objects that come from Git too. Argo CD passes over what is owned by it.
pub const FIELD_MANAGER: &str = "lifeboat";
/// The namespace in which Flux's objects lie.
pub const FLUX_NAMESPACE: &str = "flux-system";
/// The namespace in which Argo CD's objects lie.
pub const ARGO_NAMESPACE: &str = "argocd";
/// The longest name that every object may have, in bytes.
const LONGEST_NAME: usize = 63;

/// The app's node, wherever it runs in a cluster: its namespace, its service account in that, and whatever else is made for it, in the cluster's
/// own scope and in others' namespaces too. By app, so that a cluster has room for the nodes of several.
pub fn node_name(app: &AppName) -> String {
    fitting(format!("lifeboat-{app}"))
}

/// The DNSEndpoint of a route.
pub fn record_name(host: &HostName) -> String {
    fitting(host.as_str().replace('.', "-"))
}

/// A name that is too long ends in digits of the whole.
fn fitting(name: String) -> String {
    if name.len() <= LONGEST_NAME {
        return name;
    }
    let digits = format!("{:06x}", digest(&name) & 0x00ff_ffff);
    format!("{}-{digits}", name[..LONGEST_NAME - 7].trim_end_matches('-'))
}

/// The name under which a route leads to one region for good: `stockholm.shop.example.com`.
pub fn regional_name(region: &RegionId, host: &HostName) -> String {
    format!("{region}.{host}")
}

/// The Application that Argo CD keeps for a region.
pub fn application_name(app: &AppName, region: &RegionId) -> String {
    format!("{app}-{region}")
}

/// The name by which a region's cluster is known to Argo CD, and the context of a kubeconfig that leads to it: the context that
/// its place names, or the managed cluster in that region.
pub fn cluster_name(app: &App, region: &RegionId) -> String {
    let Some(place) = app.regions.get(region).map(|region| &region.place) else { return region.to_string() };
    let managed = app
        .components
        .iter()
        .find(|(_, component)| matches!(component.kind, Kind::Eks | Kind::Aks) && component.regions.contains(region));
    match (place.provider, managed) {
        (Provider::Aws | Provider::Azure, Some((id, _))) => format!("{}-{id}-{region}", app.name),
        _ => place.name.clone(),
    }
}

/// FNV-1a.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_records_fit_and_stay_apart() {
        assert_eq!(record_name(&"shop.example.com".into()), "shop-example-com");
        let long = |end: &str| record_name(&format!("{}.{end}", "a-rather-long-label.".repeat(4)).as_str().into());
        assert_eq!(long("example.com").len(), 63);
        assert_ne!(long("example.com"), long("example.net"));
    }

    #[test]
    fn apps_have_nodes_of_their_own() {
        assert_eq!(node_name(&"shop".into()), "lifeboat-shop");
        let [one, other] = ["a", "b"].map(|end| node_name(&format!("{}{end}", "x".repeat(62)).as_str().into()));
        assert!(one != other && one.len() == 63 && other.len() == 63);
    }
}
