//! Lifeboat itself: a node per region in three forms to choose from, its member of the state store, the scripts that install
//! them and hand certificates out, and the roles under which they run.

use lifeboat_model::app::{Kind, Provider};
use lifeboat_model::kubernetes::{cluster_name, node_name};

use crate::arm::UNIQUE;
use crate::design::{Design, Site, short};
use crate::fragment::{fill, json, yaml};
use crate::members::{self, CERTIFICATES, Member};
use crate::tree::Tree;
use crate::{Options, permissions};

const FOLDER: &str = "lifeboat";

/// Writes `lifeboat/`.
pub(crate) fn write(design: &Design, options: &Options, tree: &mut Tree) {
    for site in &design.sites {
        let folder = format!("{FOLDER}/{}", site.id);
        let in_kubernetes = site.region.place.provider == Provider::Kubernetes;
        let member = members::member(design, site);
        let supervises = supervises(design, site);
        let given = members::is_given_certificates(design, site);
        let where_given = |text: &'static str| if given { text } else { "" };
        let copied = where_given(INSTALL_CERTIFICATES).replace("@{region}", site.id.as_str());
        let values = [
            ("argument", where_given(" CERTIFICATES")),
            (
                "explained",
                where_given(", CERTIFICATES the directory that `lifeboat certs FILE --out CERTIFICATES` wrote"),
            ),
            ("taken", where_given("certificates=$(realpath \"$2\")\n")),
            ("copied", &copied),
            ("app", design.name()),
            ("node", &node_name(&design.app.name)),
            ("labels", &labels(design)),
            ("region", site.id.as_str()),
            ("image", &options.image),
            ("etcd_image", &options.etcd_image),
            ("user", &service_user(design, site)),
            ("needs", if member.is_some() { ", etcd and etcdctl" } else { "" }),
            ("units", if member.is_some() { "etcd lifeboat" } else { "lifeboat" }),
            ("etcd", if member.is_some() { INSTALL_ETCD } else { "" }),
        ];
        let speaks_tls = members::speaks_tls(design, site);
        let mut put = |name: &str, fragment: &str, certs: &str| {
            let certs = if speaks_tls { certs } else { "" };
            tree.put(format!("{folder}/{name}"), fill(&fragment.replace("@{certs}", certs), &values));
        };
        let certs = format!("Environment=LIFEBOAT_CERTS={CERTIFICATES}\n");
        if !in_kubernetes {
            put("lifeboat.service", include_str!("lifeboat/lifeboat.service"), &certs);
            put("lifeboat.sysusers", include_str!("lifeboat/lifeboat.sysusers"), "");
            put("install.sh", include_str!("lifeboat/install.sh"), "");
            // In a container are no servers and no programs that it could supervise.
            if !supervises {
                put("lifeboat.container", include_str!("lifeboat/lifeboat.container"), &certs);
            }
            if member.is_some() {
                put("etcd.service", include_str!("lifeboat/etcd.service"), "");
                put("etcd.container", include_str!("lifeboat/etcd.container"), "");
                put("member.sh", MEMBER, "");
            }
        }
        if has_deployment(design, site) {
            put("node-flux.yaml", include_str!("lifeboat/node-flux.yaml"), "");
            put("node-argocd.yaml", include_str!("lifeboat/node-argocd.yaml"), "");
        }
        if let Some(member) = member.as_ref().filter(|_| !in_kubernetes) {
            let listen = members::private_address(site);
            let listen = if listen.is_empty() { "0.0.0.0" } else { &listen };
            tree.put(format!("{folder}/etcd.env"), etcd_environment(design, member, listen));
        }
        if in_kubernetes || has_deployment(design, site) {
            tree.put(format!("{folder}/node.yaml"), manifest(design, site, options, member.as_ref()));
        }
        match site.region.place.provider {
            Provider::Aws => tree.put(format!("{folder}/aws-policy.json"), aws_policy(design, site)),
            Provider::Azure | Provider::Local | Provider::Kubernetes => {}
        }
    }
    if design.sites_of(Provider::Azure).next().is_some() {
        tree.put(format!("{FOLDER}/azure-role.json"), azure_role(design));
    }
    if design.sites.iter().any(|site| members::is_given_certificates(design, site)) {
        tree.put(format!("{FOLDER}/hand-out.sh"), hand_out(design));
    }
}

/// Whether a member begins a cluster or returns to one, as a script that runs before etcd.
pub(crate) const MEMBER: &str = include_str!("lifeboat/member.sh");

const INSTALL_CERTIFICATES: &str = "\
# The node takes renewed ones within seconds, without a restart.
for name in ca.pem @{region}.pem @{region}.key; do
  install -m 0640 -g \"$group\" \"$certificates/$name\" \"$root/etc/lifeboat/tls/$name\"
done
";

const INSTALL_ETCD: &str = "\
install -D -m 0644 \"$here/etcd.env\" \"$root/etc/etcd/etcd.env\"
install -m 0755 \"$here/member.sh\" \"$root/etc/etcd/member.sh\"
install -D -m 0644 \"$here/etcd.service\" \"$root/etc/systemd/system/etcd.service\"
";

fn etcd_environment(design: &Design, member: &Member, listen: &str) -> String {
    let mut out = format!(
        "# etcd of {} in {}, in its own variables and etcdctl's: /etc/etcd/etcd.env.\n",
        design.name(),
        member.name
    );
    for (name, value) in members::environment(design, member, listen) {
        out += match name {
            "ETCD_HEARTBEAT_INTERVAL" => {
                "# Between regions: an election has to outlast several round trips, or a slow link looks like a dead leader.\n"
            }
            "ETCD_CERT_FILE" => "# Members and nodes know each other by the certificates of the app's authority.\n",
            "ETCD_EXPERIMENTAL_PEER_SKIP_CLIENT_SAN_VERIFICATION" => {
                "# A member may come from another address than it is reached at: behind a load balancer, or in a pod.\n"
            }
            "ETCDCTL_CACERT" | "ETCDCTL_API" if !out.contains("asks the others") => "# etcdctl asks the others.\n",
            _ => "",
        };
        out += &format!("{name}={value}\n");
    }
    out
}

const POD_ENVIRONMENT: &str = "          env:\n            - {name: LIFEBOAT_CERTS, value: /etc/lifeboat/tls}\n";

const POD_CERTIFICATES: &str = "              - secret:
                  name: lifeboat-tls
                  items:
                    - {key: ca.pem, path: tls/ca.pem}
                    - {key: @{region}.pem, path: tls/@{region}.pem}
                    - {key: @{region}.key, path: tls/@{region}.key}
";

const POD_MOUNTS: &str = "            - {name: lifeboat, mountPath: /etc/lifeboat, readOnly: true}\n";

const POD_VOLUMES: &str = "        # Renewed certificates reach the node without a restart.
        - name: lifeboat
          projected:
            defaultMode: 288 # 0440
            sources:
              - secret:
                  name: lifeboat-file
                  items: [{key: lifeboat.yaml, path: lifeboat.yaml}]
";

const VAULT_FILE_MOUNT: &str =
    "            - {name: lifeboat, mountPath: /etc/lifeboat/lifeboat.yaml, subPath: lifeboat.yaml, readOnly: true}\n";

const VAULT_TLS_MOUNT: &str = "            - {name: tls, mountPath: /etc/lifeboat/tls, readOnly: true}\n";

const VAULT_VOLUMES: &str = "        - name: lifeboat
          secret:
            secretName: lifeboat-file
            defaultMode: 288 # 0440
        # From the key vault, as the pod's own identity. Renewed certificates reach the node within the hour, without a restart.
        - name: tls
          csi:
            driver: secrets-store.csi.k8s.io
            readOnly: true
            volumeAttributes:
              secretProviderClass: lifeboat-tls
";

/// The node in Kubernetes, with the region's member beside it in the same pod, so that both have one address.
fn manifest(design: &Design, site: &Site, options: &Options, member: Option<&Member>) -> String {
    let given = members::is_given_certificates(design, site);
    let certificates = if given { POD_CERTIFICATES.replace("@{region}", site.id.as_str()) } else { String::new() };
    let port = site.region.api_port.to_string();
    let mut ports = vec![("api".to_owned(), site.region.api_port)];
    if let Some(member) = member {
        ports.extend([("etcd".to_owned(), member.port), ("etcd-peer".to_owned(), member.peer_port())]);
    }
    let service: String = ports
        .iter()
        .map(|(name, port)| format!("    - {{name: {name}, port: {port}, targetPort: {name}}}\n"))
        .collect();
    let open: String = ports.iter().map(|(_, port)| format!("        - port: {port}\n")).collect();
    let from_vault = given && members::home_cluster(design, site).is_some();
    let (file_mount, tls_mount) =
        if from_vault { (VAULT_FILE_MOUNT, VAULT_TLS_MOUNT) } else { (POD_MOUNTS, POD_MOUNTS) };
    let mounts = if from_vault { format!("{file_mount}{tls_mount}") } else { file_mount.to_owned() };
    let volumes = if from_vault { VAULT_VOLUMES.to_owned() } else { format!("{POD_VOLUMES}{certificates}") };
    let etcd = member.map_or_else(String::new, |member| {
        let environment: String = members::environment(design, member, "0.0.0.0")
            .into_iter()
            .filter(|(name, _)| name.starts_with("ETCD_"))
            .map(|(name, value)| {
                format!(
                    "            - {{name: {name}, value: {}}}\n",
                    json(&value.replace("/var/lib/etcd", "/var/lib/etcd/data"))
                )
            })
            .collect();
        let values = [
            ("etcd_image", yaml(&options.etcd_image)),
            ("environment", environment),
            ("mounts", tls_mount.to_owned()),
            ("port", member.port.to_string()),
            ("peer_port", member.peer_port().to_string()),
        ];
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        fill(include_str!("lifeboat/etcd-container.yaml"), &values)
    });
    let node = node_name(&design.app.name);
    let storage_class = storage_class(design, site);
    let class = if storage_class.is_empty() { String::new() } else { format!("        storageClassName: {node}\n") };
    let claim = if member.is_some() {
        format!(
            "    - metadata:\n        name: etcd\n      spec:\n        accessModes: [ReadWriteOnce]\n{class}        resources:\n          \
             requests:\n            storage: 8Gi\n"
        )
    } else {
        String::new()
    };
    let address = site
        .region
        .address
        .map_or_else(String::new, |address| format!("  # What the file says; the cluster's load balancer has to be able to give it.\n  loadBalancerIP: {address}\n"));
    let annotations = match site.region.place.provider {
        Provider::Azure => {
            "  annotations:\n    service.beta.kubernetes.io/azure-load-balancer-internal: \"true\"\n    # The address lies among the machines', not the cluster's.\n    \
             service.beta.kubernetes.io/azure-load-balancer-internal-subnet: compute\n"
                .to_owned()
        }
        Provider::Aws => format!(
            "  annotations:\n    service.beta.kubernetes.io/aws-load-balancer-type: external\n    \
             service.beta.kubernetes.io/aws-load-balancer-nlb-target-type: ip\n    service.beta.kubernetes.io/aws-load-balancer-scheme: internal\n    \
             service.beta.kubernetes.io/aws-load-balancer-subnets: {}-{}-public-1\n    \
             service.beta.kubernetes.io/aws-load-balancer-private-ipv4-addresses: {}\n",
            design.name(),
            site.id,
            members::private_address(site)
        ),
        Provider::Local | Provider::Kubernetes => String::new(),
    };
    let values = [
        ("environment", if members::speaks_tls(design, site) { POD_ENVIRONMENT } else { "" }),
        (
            "needed",
            match (given, from_vault) {
                (true, true) => {
                    "secret lifeboat-file (lifeboat.yaml),\n# and of hand-out.sh its certificates in the vault and who it is"
                }
                (true, false) => "secrets lifeboat-file (lifeboat.yaml)\n# and lifeboat-tls (hand-out.sh)",
                (false, _) => "secret lifeboat-file (lifeboat.yaml)",
            },
        ),
        ("mounts", &mounts),
        ("volumes", &volumes),
        ("identity", if from_vault { "        azure.workload.identity/use: \"true\"\n" } else { "" }),
        ("tolerations", if site.region.place.provider == Provider::Azure { TOLERATIONS } else { "" }),
        ("app", &yaml(design.name())),
        ("node", &node),
        ("labels", &labels(design)),
        ("region", site.id.as_str()),
        ("image", &yaml(&options.image)),
        ("port", &port),
        ("ports", &service),
        ("open", &open),
        ("etcd", &etcd),
        ("claim", &claim),
        ("class", &class),
        ("storage_class", &storage_class),
        ("address", &address),
        ("annotations", &annotations),
    ];
    fill(include_str!("lifeboat/node.yaml"), &values)
}

/// The system nodes of AKS are there in every region, those for applications only where it serves.
const TOLERATIONS: &str = "      tolerations:
        # The cluster's own nodes run in every region, also where none of the app's do.
        - {key: CriticalAddonsOnly, operator: Exists}
";

/// What the node and its etcd remember is on disks that outlive the pod, and the claim. EKS brings the driver of volumes and no class for them;
/// the classes of AKS delete the disk with its claim. On Azure a disk is in all zones, as far as there are any: the pod may move to another.
fn storage_class(design: &Design, site: &Site) -> String {
    let (provisioner, parameters) = match site.region.place.provider {
        Provider::Aws => ("ebs.csi.aws.com", "  type: gp3\n  encrypted: \"true\"\n"),
        Provider::Azure if site.facts.is_some_and(|facts| facts.zones > 0) => {
            ("disk.csi.azure.com", "  skuName: Premium_ZRS\n")
        }
        Provider::Azure => ("disk.csi.azure.com", "  skuName: Premium_LRS\n"),
        Provider::Local | Provider::Kubernetes => return String::new(),
    };
    let values = [
        ("node", node_name(&design.app.name)),
        ("labels", labels(design)),
        ("provisioner", provisioner.to_owned()),
        ("parameters", parameters.to_owned()),
    ];
    let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
    fill(STORAGE_CLASS, &values)
}

/// By which everything of the node is known in a cluster (kubernetes.io: Recommended Labels).
fn labels(design: &Design) -> String {
    format!(
        "{{app.kubernetes.io/name: lifeboat, app.kubernetes.io/instance: {}, app.kubernetes.io/part-of: {}}}",
        node_name(&design.app.name),
        yaml(design.name())
    )
}

const STORAGE_CLASS: &str = "apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: @{node}
  labels: @{labels}
provisioner: @{provisioner}
parameters:
@{parameters}reclaimPolicy: Retain
volumeBindingMode: WaitForFirstConsumer
---
";

fn has_deployment(design: &Design, site: &Site) -> bool {
    design.parts_of(Kind::Deployment).any(|part| part.regions.contains(&site.id))
}

/// A node that supervises PostgreSQL or processes starts them as other users, so it keeps root's right to do so.
fn supervises(design: &Design, site: &Site) -> bool {
    design
        .parts
        .iter()
        .any(|part| matches!(part.component.kind, Kind::Postgres | Kind::Process) && part.regions.contains(&site.id))
}

/// Under whom the unit runs, and with which rights.
fn service_user(design: &Design, site: &Site) -> String {
    if supervises(design, site) {
        return "# What it supervises outlives it: the next node takes charge of that.\nKillMode=process\nCapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL CAP_NET_BIND_SERVICE\n".into();
    }
    let low = site.region.api_port.min(design.app.dns.port) < 1024;
    let capability = if low { "CAP_NET_BIND_SERVICE" } else { "" };
    let ambient = if low { "AmbientCapabilities=CAP_NET_BIND_SERVICE\n" } else { "" };
    format!(
        "User=lifeboat\nCapabilityBoundingSet={capability}\n{ambient}MemoryDenyWriteExecute=true\nProtectProc=invisible\nProcSubset=pid\n\
         SystemCallFilter=@system-service\n"
    )
}

fn aws_policy(design: &Design, site: &Site) -> String {
    let partition = site.facts.map_or("aws", |facts| facts.partition);
    let statements: Vec<String> = permissions::aws_statements(design, site)
        .iter()
        .map(|statement| {
            let items = |items: Vec<String>| format!("[\n        {}\n      ]", items.join(",\n        "));
            let arn = |arn: &String| json(&arn.replace("@{partition}", partition).replace("@{account}", "*"));
            format!(
                "    {{\n      \"Sid\": {},\n      \"Effect\": \"Allow\",\n      \"Action\": {},\n      \"Resource\": {}\n    }}",
                json(&statement.sid),
                items(statement.actions.iter().map(|action| json(action)).collect()),
                items(statement.resources.iter().map(arn).collect()),
            )
        })
        .collect();
    format!("{{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n{}\n  ]\n}}\n", statements.join(",\n"))
}

fn azure_role(design: &Design) -> String {
    let actions: Vec<String> =
        permissions::azure_actions(design).iter().map(|action| format!("    {}", json(action))).collect();
    let scopes: Vec<String> = design
        .sites_of(Provider::Azure)
        .map(|site| site.id.as_str())
        .chain(["global"])
        .map(|group| {
            format!("    {}", json(&format!("/subscriptions/<subscription>/resourceGroups/{}-{group}", design.name())))
        })
        .collect();
    format!(
        "{{\n  \"Name\": {},\n  \"IsCustom\": true,\n  \"Description\": {},\n  \"Actions\": [\n{}\n  ],\n  \"NotActions\": [],\n  \
         \"AssignableScopes\": [\n{}\n  ]\n}}\n",
        json(&format!("Lifeboat node of {}", design.name())),
        json("Moves the app's components between regions; creates and deletes nothing."),
        actions.join(",\n"),
        scopes.join(",\n")
    )
}

const TO_CLUSTER: &str = r#"# Into the secret that the node's pod mounts: REGION CONTEXT
to_cluster() {
  kubectl --context "$2" --namespace @{node} create secret generic lifeboat-tls \
    --from-file "$certificates/ca.pem" --from-file "$certificates/$1.pem" --from-file "$certificates/$1.key" \
    --dry-run=client --output yaml | kubectl --context "$2" apply --filename - >/dev/null
}

"#;

const WHERE_NODE_IS: &str = r#"# Where the node was put into a cluster beside its machine: REGION CONTEXT. A cluster without the namespace has no node; one that does not
# answer, or lets nobody in, is no such cluster: the others are still handed theirs, and this fails in the end.
failed=0
where_node_is() {
  if ! found=$(kubectl --context "$2" get namespace @{node} --ignore-not-found --output name); then
    echo "$1: the cluster $2 does not say whether a node is there: nothing handed out to it" >&2
    failed=1
  elif [ -n "$found" ]; then
    echo "$1: to the cluster $2"
    to_cluster "$1" "$2"
  else
    echo "$1: no node in the cluster $2, which has no namespace @{node}"
  fi
}

"#;

const TO_POD: &str = r#"# Into the vault, and to the cluster who the node's pod is, which only Azure knows: REGION VAULT GROUP IDENTITY CONTEXT
to_pod() {
  for name in ca "$1"; do
    az keyvault secret set --vault-name "$2" --name "$name-pem" --file "$certificates/$name.pem" --encoding utf-8 --output none
  done
  az keyvault secret set --vault-name "$2" --name "$1-key" --file "$certificates/$1.key" --encoding utf-8 --output none
  client=$(az identity show --resource-group "$3" --name "$4" --query clientId --output tsv)
  kubectl --context "$5" --namespace @{node} annotate --overwrite serviceaccount @{node} \
    "azure.workload.identity/client-id=$client" >/dev/null
  kubectl --context "$5" apply --filename - >/dev/null <<EOF
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata:
  name: lifeboat-tls
  namespace: @{node}
spec:
  provider: azure
  parameters:
    usePodIdentity: "false"
    clientID: "$client"
    tenantId: "$(az account show --query tenantId --output tsv)"
    keyvaultName: "$2"
    objects: |
      array:
        - |
          objectName: ca-pem
          objectType: secret
          objectAlias: ca.pem
        - |
          objectName: $1-pem
          objectType: secret
          objectAlias: $1.pem
        - |
          objectName: $1-key
          objectType: secret
          objectAlias: $1.key
EOF
}

"#;

const UNIQUE_OF_SUBSCRIPTION: &str = "\
# In the vaults' names: the first digits of the subscription that `az account set` chose.
unique=$(az account show --query id --output tsv | cut -c 1-@{digits})

";

/// Puts each region's certificates where its node looks for them.
fn hand_out(design: &Design) -> String {
    let app = design.name();
    let mut commands = String::new();
    for site in design.sites.iter().filter(|site| members::is_given_certificates(design, site)) {
        let id = site.id;
        let context = cluster_name(design.app, site.id);
        if members::home_cluster(design, site).is_some() {
            commands += &format!(
                "echo {id}: to the key vault, and to the cluster {context}\nto_pod {id} \"{}-$unique\" {app}-{id} \"{}-$unique\" {context}\n\n",
                vault_name(design, site),
                short(&identity_name(design, site), 128 - UNIQUE - 1)
            );
            continue;
        }
        if members::runs_in_cluster(design, site) {
            commands += &format!("echo {id}: to the cluster {context}\nto_cluster {id} {context}\n\n");
            continue;
        }
        commands += &match site.region.place.provider {
            Provider::Aws => format!(
                "echo {id}: to the Secrets Manager\npacked {id} | aws secretsmanager put-secret-value --region {} --secret-id {} \\\n  \
                 --secret-string file:///dev/stdin >/dev/null\n\n",
                site.place(),
                secret_name(design, site)
            ),
            Provider::Azure => format!(
                "echo {id}: to the key vault\npacked {id} | az keyvault secret set --vault-name \"{}-$unique\" --name tls \\\n  \
                 --file /dev/stdin --output none\n\n",
                vault_name(design, site)
            ),
            Provider::Kubernetes => {
                format!("echo {id}: to the cluster {}\nto_cluster {id} {}\n\n", site.place(), json(site.place()))
            }
            Provider::Local => {
                format!("echo {id}: on its machine, ./{id}/install.sh FILE CERTIFICATES\n\n")
            }
        };
        // A node may run in the managed cluster instead of on the machine.
        if site.region.place.provider != Provider::Kubernetes && has_deployment(design, site) {
            commands += &format!("where_node_is {id} {context}\n\n");
        }
    }
    if commands.contains("where_node_is ") {
        commands.insert_str(0, WHERE_NODE_IS);
        commands += "exit \"$failed\"\n";
    }
    if commands.contains("to_cluster ") {
        commands.insert_str(0, TO_CLUSTER);
    }
    if commands.contains("to_pod ") {
        commands.insert_str(0, TO_POD);
    }
    if commands.contains("$unique") {
        commands.insert_str(0, &UNIQUE_OF_SUBSCRIPTION.replace("@{digits}", &UNIQUE.to_string()));
    }
    let commands = commands.trim_end().replace("@{node}", &node_name(&design.app.name));
    fill(include_str!("lifeboat/hand-out.sh"), &[("app", app), ("commands", &commands)])
}

/// The secret that holds a region's certificates on AWS.
pub(crate) fn secret_name(design: &Design, site: &Site) -> String {
    format!("{}-lifeboat-{}/tls", design.name(), site.id)
}

/// The key vault that holds a region's certificates on Azure, and nothing else. Its name is unique in the world: a hyphen and digits of
/// the subscription come after this.
pub(crate) fn vault_name(design: &Design, site: &Site) -> String {
    short(&format!("lb-{}-{}", design.name(), site.id), 24 - UNIQUE - 1)
}

/// The identity of a region's node that is a pod, on Azure. A hyphen and digits of the subscription come after this.
pub(crate) fn identity_name(design: &Design, site: &Site) -> String {
    format!("{}-lifeboat-{}", design.name(), site.id)
}
