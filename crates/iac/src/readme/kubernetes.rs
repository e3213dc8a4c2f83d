//! What a person does with clusters: what has to be in each before, the order in which things come and go, and a change.

use std::fmt::Write as _;

use lifeboat_model::app::{Kind, Provider};
use lifeboat_model::kubernetes::{cluster_name, node_name};

use crate::design::{Design, Site};
use crate::members;
use crate::tree::Tree;

/// The section, where anything runs in clusters.
pub(super) fn section(design: &Design, tree: &Tree) -> Option<String> {
    let has = |path: &str| tree.files.keys().any(|known| known.starts_with(path));
    let sites: Vec<&Site> =
        design.sites.iter().filter(|site| has(&format!("lifeboat/{}/node.yaml", site.id))).collect();
    let deployments = has("kubernetes/");
    if sites.is_empty() && !deployments {
        return None;
    }
    let mut out = "\n## kubernetes\n".to_owned();
    if deployments {
        out += TREE;
    }
    out += &contexts(design, &sites);
    out += &before(design, &sites);
    if !sites.is_empty() {
        out += &first(design, &sites, tree);
    }
    if deployments {
        out += &secrets(design);
        out += FROM_GIT;
    }
    if !sites.is_empty() {
        out += &change(design, &sites);
        out += LOST_DISK;
    }
    out += &removal(design, &sites, deployments);
    Some(out.replace("@{app}", design.name()).replace("@{node}", &node_name(&design.app.name)))
}

const TREE: &str = "
`base/` is the same everywhere, `regions/REGION/` adds what differs, `roles/REGION/` is the role, as `lifeboat roles` writes it.
";

fn context(design: &Design, site: &Site) -> String {
    cluster_name(design.app, site.id)
}

/// How kubectl gets to know clusters that are generated here.
fn contexts(design: &Design, sites: &[&Site]) -> String {
    let mut lines = String::new();
    for site in sites {
        let context = context(design, site);
        let is_made_here = |kind: Kind| design.parts_of(kind).any(|part| part.regions.contains(&site.id));
        if is_made_here(Kind::Eks) {
            let _ = writeln!(
                lines,
                "    aws eks update-kubeconfig --region {} --name {context} --alias {context}",
                site.place()
            );
        } else if is_made_here(Kind::Aks) {
            let _ =
                writeln!(lines, "    az aks get-credentials -g @{{app}}-{} -n {context} --context {context}", site.id);
        }
    }
    if lines.is_empty() {
        return "\nThe clusters are yours; kubectl's contexts are called as the regions' places.\n".into();
    }
    format!(
        "\nThe clusters' APIs are reached from the app's networks only. kubectl's contexts are called as the clusters:\n\n{lines}"
    )
}

/// What is not generated, and is counted on.
fn before(design: &Design, sites: &[&Site]) -> String {
    let mut out = String::new();
    let routed =
        design.ways.iter().any(|way| design.part(way.to).is_some_and(|part| part.component.kind == Kind::Deployment));
    let eks: Vec<&&Site> = sites.iter().filter(|site| site.region.place.provider == Provider::Aws).collect();
    if routed || !eks.is_empty() {
        out += "\nBefore that, in each cluster, by whatever installs your add-ons:\n\n";
    }
    if routed {
        out += EXTERNAL_DNS;
    }
    if !eks.is_empty() {
        out += LOAD_BALANCERS;
        let mut roles = String::new();
        for site in eks {
            let (context, place) = (context(design, site), site.place());
            let mut associate = |namespace: &str, account: &str, role: &str| {
                let _ = writeln!(
                    roles,
                    "    aws eks create-pod-identity-association --region {place} --cluster-name {context} \\\n      \
                     --namespace {namespace} --service-account {account} --role-arn {role}"
                );
            };
            associate("kube-system", "aws-load-balancer-controller", "LOAD_BALANCER_ROLE");
            if routed {
                associate("external-dns", "external-dns", "EXTERNAL_DNS_ROLE");
            }
        }
        out += PODS_TRUST;
        out += &roles;
    }
    out
}

const EXTERNAL_DNS: &str = "\
- external-dns and its kind DNSEndpoint, with `--source=crd --source=service --policy=upsert-only --txt-owner-id=@{app}`, the same in every cluster. On AWS it needs what
  `kubernetes/external-dns-policy.json` allows, on Azure the role DNS Zone Contributor on the routes' zones.
";

const LOAD_BALANCERS: &str = "\
- the AWS Load Balancer Controller, which gives the node its address, with the policy `iam_policy.json` of its own release. Without it the node is reached by nobody.
";

const PODS_TRUST: &str = "
Each has an IAM role whose trust policy lets `pods.eks.amazonaws.com` do `sts:AssumeRole` and `sts:TagSession`; the clusters have EKS' pod identity agent:

";

/// The node's objects, then what it mounts.
fn first(design: &Design, sites: &[&Site], tree: &Tree) -> String {
    let namespace = "kubernetes/base/namespace.yaml";
    let has_namespace = tree.files.contains_key(namespace);
    let mut out = "\n**First apply**, from the root of this tree, `lifeboat.yaml` being the app's file. The namespaces come first, then the file, then the certificates: \
                   a pod waits for what it mounts.\n\n"
        .to_owned();
    for site in sites {
        let context = context(design, site);
        let app = if has_namespace { format!("--filename {namespace} ") } else { String::new() };
        let _ = writeln!(out, "    kubectl --context {context} apply {app}--filename lifeboat/{}/node.yaml", site.id);
    }
    out += &file(design, sites);
    if sites.iter().any(|site| members::is_given_certificates(design, site)) {
        out += "    lifeboat/hand-out.sh certs\n";
    }
    if sites.iter().any(|site| tree.files.contains_key(&format!("lifeboat/{}/node-flux.yaml", site.id))) {
        out += PAUSES;
    }
    out
}

const PAUSES: &str = "
Where Flux or Argo CD runs in the cluster, apply `lifeboat/REGION/node-flux.yaml` or `node-argocd.yaml` there as well: the node pauses either where it would undo
a failover. They name the namespaces of Flux and Argo CD, which have to be there.
";

/// The app's file, as the secret that the node mounts; again after a change.
fn file(design: &Design, sites: &[&Site]) -> String {
    let mut out = String::new();
    for site in sites {
        let context = context(design, site);
        let _ = writeln!(
            out,
            "    kubectl --context {context} --namespace @{{node}} create secret generic lifeboat-file --from-file lifeboat.yaml \\\n      \
             --dry-run=client --output yaml | kubectl --context {context} apply --filename -"
        );
    }
    out
}

/// What the deployments are told of their databases.
fn secrets(design: &Design) -> String {
    let needed: std::collections::BTreeSet<&str> = design
        .parts_of(Kind::Deployment)
        .flat_map(|part| &part.component.needs)
        .filter_map(|id| design.part(id))
        .filter(|needed| needed.component.kind.is_database())
        .map(|needed| needed.id.as_str())
        .collect();
    let mut out = String::new();
    if needed.is_empty() {
        return out;
    }
    if design.parts_of(Kind::Eks).next().is_some() {
        out += "\nPods in EKS act as a role of their region's cluster that has leave for what they need there, by pod identity, as the namespace's service account `default`.\n";
    }
    out += "\nWhere a database is (of a table or a bucket its name) and how to log in is yours to bring, in each cluster, the same name with that region's text; it is read at the start of a pod:\n\n";
    for id in needed {
        let _ = writeln!(
            out,
            "    kubectl --context CONTEXT --namespace @{{app}} create secret generic {id}-credentials --from-file url=/dev/stdin"
        );
    }
    out
}

const FROM_GIT: &str = "
Then commit, and apply `kubernetes/argocd/` where Argo CD runs, or `kubernetes/flux/REGION.yaml` in each cluster.
";

fn change(design: &Design, sites: &[&Site]) -> String {
    let mut out = "\n**Change.** A node reads its file when it starts. After a change of the app's file give it to the nodes first, one region after the other, the next when \
                   `lifeboat status` shows the last one back; then commit what was generated.\n\n"
        .to_owned();
    if let Some(site) = sites.first() {
        out += &file(design, &[site]);
        let _ = writeln!(
            out,
            "    kubectl --context {} --namespace @{{node}} rollout restart statefulset @{{node}}",
            context(design, site)
        );
    }
    out
}

const LOST_DISK: &str = "
A member of etcd keeps its disk as long as its claim is there. One whose claim is lost is taken out and added by hand, for nothing can run before etcd in its
image, which has no shell: `etcdctl member remove ID` and `etcdctl member add REGION --peer-urls=URL` at one that lives, and the lost one started once with
`kubectl --namespace @{node} set env statefulset/@{node} --containers=etcd ETCD_INITIAL_CLUSTER_STATE=existing`.
";

fn removal(design: &Design, sites: &[&Site], deployments: bool) -> String {
    let mut out = String::from(
        "\n**Removal.** A component that has left the file is pruned by Argo CD or Flux; its record stays, for external-dns only inserts and updates: delete it, and the text beside it, in \
         its zone. To take everything away, before the clusters go: what is in them holds load balancers and disks that nobody would find afterwards.\n\n",
    );
    if deployments {
        out += "    kubectl --namespace argocd delete applicationset,appproject @{app}                 # or, in each cluster:\n    \
                kubectl --namespace flux-system delete kustomization,gitrepository @{app}\n";
    }
    for site in sites {
        let context = context(design, site);
        if deployments {
            let _ = writeln!(out, "    kubectl --context {context} delete namespace @{{app}} --ignore-not-found");
        }
        let _ = writeln!(
            out,
            "    kubectl --context {context} delete --filename lifeboat/{}/node.yaml --ignore-not-found",
            site.id
        );
    }
    out + "\nThen the routes' records and their texts. Volumes of the nodes outlive their claims where the class says Retain: `kubectl get persistentvolumes`.\n"
}
