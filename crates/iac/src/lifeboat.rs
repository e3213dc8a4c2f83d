//! Lifeboat itself: a node per region in three forms to choose from, its member of the state store, certificates, and the
//! roles under which it runs.

use lifeboat_model::app::{Kind, Provider, StoreChoice};

use crate::design::{Design, Site};
use crate::fragment::{fill, json, yaml};
use crate::permissions;
use crate::tree::Tree;

const FOLDER: &str = "lifeboat";

/// Writes `lifeboat/`.
pub(crate) fn write(design: &Design, image: &str, tree: &mut Tree) {
    let has_etcd = matches!(design.app.store, StoreChoice::Etcd(_));
    let members: Vec<String> =
        design.sites.iter().map(|site| format!("{}=https://{}:2380", site.id, host(design, site))).collect();
    for site in &design.sites {
        let folder = format!("{FOLDER}/{}", site.id);
        let values = [
            ("app", design.name()),
            ("region", site.id.as_str()),
            ("image", image),
            ("port", &site.region.api_port.to_string()),
            ("host", &host(design, site)),
            ("cluster", &members.join(",")),
            ("after", if has_etcd { " etcd.service" } else { "" }),
            ("user", user(design, site)),
        ];
        let mut put = |name: &str, fragment: &str| tree.put(format!("{folder}/{name}"), fill(fragment, &values));
        if site.region.place.provider == Provider::Kubernetes || has_deployment(design, site) {
            put("node.yaml", include_str!("lifeboat/node.yaml"));
        }
        if has_deployment(design, site) {
            put("node-flux.yaml", include_str!("lifeboat/node-flux.yaml"));
            put("node-argocd.yaml", include_str!("lifeboat/node-argocd.yaml"));
        }
        if site.region.place.provider != Provider::Kubernetes {
            put("lifeboat.service", include_str!("lifeboat/lifeboat.service"));
            put("lifeboat.container", include_str!("lifeboat/lifeboat.container"));
        }
        if has_etcd {
            put("etcd.service", include_str!("lifeboat/etcd.service"));
            put("etcd.yaml", include_str!("lifeboat/etcd.yaml"));
        }
        match site.region.place.provider {
            Provider::Aws => tree.put(format!("{folder}/aws-policy.json"), aws_policy(design, site)),
            Provider::Azure | Provider::Local | Provider::Kubernetes => {}
        }
    }
    if design.sites_of(Provider::Azure).next().is_some() {
        tree.put(format!("{FOLDER}/azure-role.json"), azure_role(design));
    }
    tree.put(format!("{FOLDER}/certificates/make.sh"), certificates(design));
}

/// The name or address at which the region's node is reached by the others.
pub(crate) fn host(design: &Design, site: &Site) -> String {
    match site.region.address {
        Some(address) => address.to_string(),
        None => format!("node.{}.{}.internal", site.id, design.name()),
    }
}

fn has_deployment(design: &Design, site: &Site) -> bool {
    design.parts_of(Kind::Deployment).any(|part| part.regions.contains(&site.id))
}

/// A node that supervises PostgreSQL starts it as another user, so it keeps root's right to do so; any other needs none.
fn user(design: &Design, site: &Site) -> &'static str {
    let supervises = design
        .parts
        .iter()
        .any(|part| matches!(part.component.kind, Kind::Postgres | Kind::Process) && part.regions.contains(&site.id));
    if supervises {
        "CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_CHOWN CAP_DAC_OVERRIDE CAP_KILL\n"
    } else {
        "DynamicUser=true\n"
    }
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

fn certificates(design: &Design) -> String {
    let nodes: Vec<String> = design
        .sites
        .iter()
        .map(|site| {
            let host = host(design, site);
            let kind = if site.region.address.is_some() { "IP" } else { "DNS" };
            format!("node {} '{kind}:{host},DNS:localhost,IP:127.0.0.1'", yaml(site.id.as_str()))
        })
        .collect();
    fill(include_str!("lifeboat/make.sh"), &[("app", design.name()), ("nodes", &nodes.join("\n"))])
}
