//! Kubernetes: one base, an overlay per region, and per region a Kustomize component with its role;
//! Argo CD and Flux over the regions.

use std::collections::BTreeMap;

use lifeboat_model::RegionId;
use lifeboat_model::app::{CheckTarget, Kind, Provider, RoutePolicy};
use lifeboat_model::kubernetes::{FIELD_MANAGER, cluster_name, record_name, regional_name};

use crate::design::{Design, Part, Site, Way};
use crate::fragment::{fill, json, yaml};
use crate::tree::Tree;

const FOLDER: &str = "kubernetes";

struct Clusters<'a> {
    design: &'a Design<'a>,
    repository: &'a str,
    /// Deployments.
    parts: Vec<&'a Part<'a>>,
    /// Regions that have one.
    sites: Vec<&'a Site<'a>>,
}

/// Writes `kubernetes/` if the app has deployments.
pub(crate) fn write(design: &Design, repository: &str, tree: &mut Tree) {
    let parts: Vec<&Part> = design.parts_of(Kind::Deployment).collect();
    let sites: Vec<&Site> =
        design.sites.iter().filter(|site| parts.iter().any(|part| part.regions.contains(&site.id))).collect();
    if parts.is_empty() {
        return;
    }
    let clusters = Clusters { design, repository, parts, sites };
    tree.put(format!("{FOLDER}/base/kustomization.yaml"), clusters.base());
    tree.put(
        format!("{FOLDER}/base/namespace.yaml"),
        clusters.fill(include_str!("kubernetes/namespace.yaml"), clusters.sites[0].id),
    );
    for part in &clusters.parts {
        tree.put(format!("{FOLDER}/base/{}.yaml", part.id), clusters.component(part));
    }
    for site in &clusters.sites {
        tree.put(format!("{FOLDER}/regions/{}/kustomization.yaml", site.id), clusters.overlay(site));
        if let Some(dns) = clusters.dns(site) {
            tree.put(format!("{FOLDER}/regions/{}/dns.yaml", site.id), dns);
        }
        tree.put_kept(format!("{FOLDER}/roles/{}/kustomization.yaml", site.id), clusters.role(site));
        tree.put(
            format!("{FOLDER}/flux/{}.yaml", site.id),
            clusters.fill(include_str!("kubernetes/flux.yaml"), site.id),
        );
    }
    if let Some(policy) = clusters.external_dns_policy() {
        tree.put(format!("{FOLDER}/external-dns-policy.json"), policy);
    }
    tree.put(format!("{FOLDER}/argocd/applicationset.yaml"), clusters.application_set());
    tree.put(format!("{FOLDER}/argocd/project.yaml"), clusters.project());
}

impl Clusters<'_> {
    fn app(&self) -> &str {
        self.design.name()
    }

    fn fill(&self, fragment: &str, region: &RegionId) -> String {
        fill(fragment, &[("app", self.app()), ("region", region.as_str()), ("repository", &yaml(self.repository))])
    }

    /// The routes to a component, or to all of them.
    fn ways(&self) -> impl Iterator<Item = &Way<'_>> {
        self.design.ways.iter().filter(|way| self.parts.iter().any(|part| part.id == way.to))
    }

    fn base(&self) -> String {
        let mut out = String::from(
            "# What is the same in every region.\napiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n  - \
             namespace.yaml\n",
        );
        for part in &self.parts {
            out += &format!("  - {}.yaml\n", part.id);
        }
        out
    }

    fn component(&self, part: &Part) -> String {
        let port = part.port.to_string();
        let probe = match part.component.check.as_ref().map(|check| &check.target) {
            Some(CheckTarget::Tcp) => "            tcpSocket:\n              port: http\n".to_owned(),
            Some(CheckTarget::Https { .. }) => {
                format!(
                    "            httpGet:\n              path: {}\n              port: http\n              scheme: HTTPS\n",
                    yaml(&part.check_path)
                )
            }
            Some(CheckTarget::Http(_)) | None => {
                format!(
                    "            httpGet:\n              path: {}\n              port: http\n",
                    yaml(&part.check_path)
                )
            }
        };
        let databases: String = part
            .component
            .needs
            .iter()
            .filter_map(|id| self.design.part(id))
            .filter(|needed| needed.component.kind.is_database())
            .map(|needed| {
                format!(
                    "            - name: {}_URL\n              valueFrom:\n                secretKeyRef:\n                  name: {}-credentials\n                  \
                     key: url\n",
                    needed.key().to_uppercase(),
                    needed.id
                )
            })
            .collect();
        let values = [
            ("id", part.id.as_str()),
            ("app", self.app()),
            ("image", &yaml(part.image())),
            ("port", &port),
            ("probe", &probe),
            ("service", if self.design.is_public(part) { "LoadBalancer" } else { "ClusterIP" }),
            ("outside", if part.ends_tls() { "443" } else { "80" }),
            ("databases", &databases),
            ("identity", if self.logs_in_to_azure(part) { WORKLOAD_IDENTITY } else { "" }),
            ("most", &part.most().to_string()),
        ];
        let fragment = format!(
            "{}---\n{}",
            include_str!("kubernetes/deployment.yaml"),
            include_str!("kubernetes/network-policy.yaml")
        );
        fill(&fragment, &values)
    }

    /// Whether its pods log in to databases of Azure as who their service account is.
    fn logs_in_to_azure(&self, part: &Part) -> bool {
        let is_in_azure =
            |site: &&&Site| site.region.place.provider == Provider::Azure && part.regions.contains(&site.id);
        let mut needed = part.component.needs.iter().filter_map(|id| self.design.part(id));
        self.sites.iter().any(|site| is_in_azure(&site))
            && needed.any(|one| one.component.kind.is_database() && one.provider == Provider::Azure)
    }

    fn overlay(&self, site: &Site) -> String {
        let absent: Vec<&&Part> = self.parts.iter().filter(|part| !part.regions.contains(&site.id)).collect();
        let dns = if self.dns(site).is_some() { "  - dns.yaml\n" } else { "" };
        let mut out = format!(
            "# {} in {}: the base, with this region's role.\napiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: \
             {}\nresources:\n  - ../../base\n{dns}components:\n  - ../../roles/{}\nconfigMapGenerator:\n  - name: region\n    literals:\n      - \
             REGION={}\n",
            self.app(),
            site.id,
            self.app(),
            site.id,
            site.id
        );
        let mut patches = String::new();
        for part in absent {
            for (version, kind) in [
                ("apps/v1", "Deployment"),
                ("v1", "Service"),
                ("policy/v1", "PodDisruptionBudget"),
                ("autoscaling/v2", "HorizontalPodAutoscaler"),
                ("networking.k8s.io/v1", "NetworkPolicy"),
            ] {
                patches += &delete(version, kind, part.id.as_str());
            }
        }
        for way in self.ways().filter(|way| way.regions.contains(&site.id)) {
            patches += &format!(
                "  - patch: |-\n      apiVersion: v1\n      kind: Service\n      metadata:\n        name: {}\n        annotations:\n          \
                 # external-dns reads the one or, before 0.22, the other.\n          external-dns.kubernetes.io/hostname: {name}\n          \
                 external-dns.alpha.kubernetes.io/hostname: {name}\n",
                way.to,
                name = regional_name(site.id, way.host)
            );
        }
        if !patches.is_empty() {
            out += &format!("patches:\n{patches}");
        }
        out
    }

    /// The records of the routes. Every region has a name of its own that never changes; the route's name leads to the names
    /// of the regions that serve.
    fn dns(&self, site: &Site) -> Option<String> {
        let records: Vec<String> = self
            .ways()
            .filter(|way| way.regions.contains(&site.id))
            .map(|way| {
                format!(
                    "# Only in the cluster of a region that serves, see roles/. external-dns runs with --policy=upsert-only and the same\n# \
                     --txt-owner-id everywhere, so that a region that takes over may overwrite what a dead one left.\napiVersion: \
                     externaldns.k8s.io/v1alpha1\nkind: DNSEndpoint\nmetadata:\n  name: {}\nspec:\n  endpoints:\n    - dnsName: {}\n      \
                     recordType: CNAME\n      recordTTL: {}\n      targets:\n        - {}\n{}",
                    record_name(way.host),
                    way.host,
                    way.ttl_seconds(),
                    regional_name(site.id, way.host),
                    self.several(way, site)
                )
            })
            .collect();
        (!records.is_empty()).then(|| records.join("---\n"))
    }

    /// Several answers under one name need an identifier and a policy, which only Route 53 has.
    fn several(&self, way: &Way, site: &Site) -> String {
        match (way.policy, site.region.place.provider) {
            (RoutePolicy::Spread, Provider::Aws) => format!(
                "      setIdentifier: {}\n      providerSpecific:\n        - name: aws/region\n          value: {}\n",
                site.id,
                site.place()
            ),
            _ => String::new(),
        }
    }

    /// What external-dns may do to Route 53 from a cluster on AWS: set the routes' names, those of their regions, and the texts that say whose
    /// they are; `None`: it has nothing to do there.
    fn external_dns_policy(&self) -> Option<String> {
        let partition = self.sites.iter().find(|site| site.region.place.provider == Provider::Aws)?.facts?.partition;
        // The texts have the name of a record with its kind before it, or before the names of its regions.
        let names: Vec<String> = self
            .ways()
            .flat_map(|way| [way.host.to_string(), format!("*.{}", way.host), format!("*-{}", way.host)])
            .map(|name| json(&name))
            .collect();
        (!names.is_empty()).then(|| {
            fill(
                include_str!("kubernetes/external-dns-policy.json"),
                &[("partition", partition), ("names", &names.join(",\n            "))],
            )
        })
    }

    /// What follows from the region's role.
    fn role(&self, site: &Site) -> String {
        let mut patches = String::new();
        for part in self.parts.iter().filter(|part| part.regions.contains(&site.id)) {
            let serving = part.serves.contains(site.id);
            let size = if serving { part.full } else { part.standby };
            if size == 0 {
                patches += &delete("autoscaling/v2", "HorizontalPodAutoscaler", part.id.as_str());
                patches += &format!(
                    "  - target: {{kind: Deployment, name: {}}}\n    patch: |-\n      - {{op: add, path: /spec/replicas, value: 0}}\n",
                    part.id
                );
            } else {
                patches += &format!(
                    "  - target: {{kind: HorizontalPodAutoscaler, name: {}}}\n    patch: |-\n      - {{op: replace, path: /spec/minReplicas, value: \
                     {size}}}\n",
                    part.id
                );
            }
        }
        for way in self.ways().filter(|way| way.regions.contains(&site.id)) {
            let serving = self.design.part(way.to).is_some_and(|part| part.serves.contains(site.id));
            if !serving {
                patches += &delete("externaldns.k8s.io/v1alpha1", "DNSEndpoint", &record_name(way.host));
            }
        }
        let here = self.parts.iter().filter(|part| part.regions.contains(&site.id));
        let mut out = format!(
            "# What this region is at the moment, as `lifeboat roles` writes it. Do not edit to fail over: use `lifeboat`.\n{}\napiVersion: \
             kustomize.config.k8s.io/v1alpha1\nkind: Component\n",
            roles_line(here.map(|part| (part.id.as_str(), part.serves.contains(site.id))))
        );
        if !patches.is_empty() {
            out += &format!("patches:\n{patches}");
        }
        out
    }

    fn application_set(&self) -> String {
        let elements: String = self
            .sites
            .iter()
            .map(|site| {
                format!(
                    "          - {{region: {}, cluster: {}}}\n",
                    site.id,
                    yaml(&cluster_name(self.design.app, site.id)),
                )
            })
            .collect();
        let out = fill(
            include_str!("kubernetes/applicationset.yaml"),
            &[("elements", &elements), ("manager", FIELD_MANAGER)],
        );
        self.fill(&out, self.sites[0].id)
    }

    fn project(&self) -> String {
        let destinations: String = self
            .sites
            .iter()
            .map(|site| {
                format!(
                    "    - {{name: {}, namespace: {}}}\n",
                    yaml(&cluster_name(self.design.app, site.id)),
                    self.app()
                )
            })
            .collect();
        let out = fill(include_str!("kubernetes/project.yaml"), &[("destinations", &destinations)]);
        self.fill(&out, self.sites[0].id)
    }
}

/// By which AKS knows pods that are somebody.
const WORKLOAD_IDENTITY: &str = "        azure.workload.identity/use: \"true\"\n";

/// The roles in words, which are read back: `# Roles: web serves, api stands by`.
pub(crate) fn roles_line<'a>(parts: impl Iterator<Item = (&'a str, bool)>) -> String {
    let roles: Vec<String> =
        parts.map(|(id, serves)| format!("{id} {}", if serves { SERVES } else { STANDS_BY })).collect();
    format!("{ROLES}{}", if roles.is_empty() { "none".into() } else { roles.join(", ") })
}

/// What a role file says of its components in words, whether each serves; `None`: early versions wrote only what follows from it.
pub(crate) fn roles_in(file: &str) -> Option<BTreeMap<&str, bool>> {
    let roles = file.lines().find_map(|line| line.strip_prefix(ROLES))?;
    let roles = roles.rsplit(", ").filter_map(|role| role.split_once(' '));
    Some(roles.map(|(id, role)| (id, role == SERVES)).collect())
}

const ROLES: &str = "# Roles: ";
const SERVES: &str = "serves";
const STANDS_BY: &str = "stands by";

/// A patch that takes an object away.
pub(crate) fn delete(version: &str, kind: &str, name: &str) -> String {
    format!(
        "  - patch: |-\n      apiVersion: {version}\n      kind: {kind}\n      metadata:\n        name: {name}\n      $patch: delete\n"
    )
}
