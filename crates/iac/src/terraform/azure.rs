//! The root module for Azure. One provider serves all regions there; what differs is the location of each resource. The modules
//! below write some of its files each.

use std::collections::BTreeSet;

use lifeboat_model::app::{Kind, Pattern, Provider};

use crate::arm::UNIQUE;
use crate::design::{Design, Part, STEERING_PATH, Site, Way, short};
use crate::hcl::{Body, object, quote};
use crate::members;
use crate::tree::Tree;

mod backups;
mod components;
mod environment;
mod identities;
mod network;
mod nodes;
mod routes;
mod values;

const FOLDER: &str = "terraform/azure";
const PROVIDER: &str = "~> 4.55";
const TERRAFORM: &str = ">= 1.9";

macro_rules! files {
    ($($module:literal: [$($file:literal),*]),* $(,)?) => {
        &[$(($module, &[$(($file, include_str!(concat!("azure/modules/", $module, "/", $file)))),*])),*]
    };
}

type Module = (&'static str, &'static [(&'static str, &'static str)]);

const MODULES: &[Module] = files! {
    "aks": ["main.tf", "outputs.tf", "variables.tf"],
    "azure-postgres": ["main.tf", "outputs.tf", "variables.tf"],
    "azure-sql": ["main.tf", "outputs.tf", "variables.tf"],
    "azure-storage": ["main.tf", "outputs.tf", "variables.tf"],
    "backup": ["main.tf", "outputs.tf", "variables.tf"],
    "balancer": ["main.tf", "outputs.tf", "variables.tf"],
    "cosmosdb": ["main.tf", "outputs.tf", "variables.tf"],
    "network": ["main.tf", "outputs.tf", "variables.tf"],
    "node": ["main.tf", "start.sh.tftpl", "variables.tf"],
    "pod": ["main.tf", "variables.tf"],
    "traffic-manager": ["main.tf", "outputs.tf", "variables.tf"],
    "vault": ["main.tf", "variables.tf"],
    "vmss": ["main.tf", "outputs.tf", "variables.tf"],
};

struct Root<'a> {
    design: &'a Design<'a>,
    /// Azure regions, witnesses included.
    sites: Vec<&'a Site<'a>>,
    parts: Vec<&'a Part<'a>>,
    /// Routes to scale sets.
    ways: Vec<&'a Way<'a>>,
}

pub(super) fn write(design: &Design, tree: &mut Tree) {
    let sites: Vec<&Site> = design.sites_of(Provider::Azure).collect();
    let parts: Vec<&Part> = design.parts.iter().filter(|part| module_of(part.component.kind).is_some()).collect();
    if sites.is_empty() {
        return;
    }
    let balanced = |way: &&Way| parts.iter().any(|part| part.id == way.to && part.component.kind == Kind::Vmss);
    let ways = design.ways.iter().filter(balanced).collect();
    let root = Root { design, sites, parts, ways };
    let mut put = |name: &str, body: Body| tree.put(format!("{FOLDER}/{name}"), body.render());
    put("versions.tf", root.versions());
    put("variables.tf", root.variables());
    put("roles.tf", super::role_locals(&root.parts));
    put("network.tf", root.network());
    put("lifeboat.tf", root.nodes());
    put("outputs.tf", root.outputs());
    if root.has_vaults() {
        put("backup.tf", root.backups());
    }
    if !root.ways.is_empty() {
        put("routes.tf", root.routes());
    }
    for part in &root.parts {
        let mut file = Body::default();
        root.part(&mut file, part);
        put(&format!("{}.tf", part.id), file);
    }
    tree.put(format!("{FOLDER}/regions.auto.tfvars.json"), root.region_values());
    tree.put_kept(format!("{FOLDER}/roles.auto.tfvars.json"), super::role_values(&root.parts));
    tree.put(format!("{FOLDER}/terraform.tfvars.example"), root.example());
    let machines = root.sites.iter().any(|site| !members::runs_in_cluster(design, site));
    let pods = root.sites.iter().any(|site| members::runs_in_cluster(design, site));
    let names: BTreeSet<&str> = root
        .parts
        .iter()
        .filter_map(|part| module_of(part.component.kind))
        .chain(["network", "vault"])
        .chain(machines.then_some("node"))
        .chain(pods.then_some("pod"))
        .chain(root.has_vaults().then_some("backup"))
        .chain((!root.ways.is_empty()).then_some(["balancer", "traffic-manager"]).into_iter().flatten())
        .collect();
    for (module, files) in MODULES.iter().filter(|(module, _)| names.contains(module)) {
        tree.put(format!("{FOLDER}/modules/{module}/versions.tf"), super::module_versions("azurerm"));
        for (file, content) in *files {
            tree.put(format!("{FOLDER}/modules/{module}/{file}"), content.replace("@{steering}", STEERING_PATH));
        }
    }
    if machines {
        tree.put(format!("{FOLDER}/modules/node/member.sh"), crate::lifeboat::MEMBER);
    }
}

pub(super) fn module_of(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::AzureSql => Some("azure-sql"),
        Kind::Cosmosdb => Some("cosmosdb"),
        Kind::AzurePostgres => Some("azure-postgres"),
        Kind::AzureStorage => Some("azure-storage"),
        Kind::Vmss => Some("vmss"),
        Kind::Aks => Some("aks"),
        Kind::Postgres
        | Kind::AuroraGlobal
        | Kind::Rds
        | Kind::Dynamodb
        | Kind::S3
        | Kind::Process
        | Kind::Asg
        | Kind::Ecs
        | Kind::Eks
        | Kind::Deployment => None,
    }
}

impl<'a> Root<'a> {
    fn app(&self) -> &str {
        self.design.name()
    }

    fn has(&self, kind: Kind) -> bool {
        self.parts.iter().any(|part| part.component.kind == kind)
    }

    fn sites_of(&self, part: &Part) -> Vec<&'a Site<'a>> {
        part.regions.iter().filter_map(|id| self.sites.iter().copied().find(|site| site.id == *id)).collect()
    }

    /// Components of a region to which a route leads, and which therefore have a public address there.
    fn routed(&self, site: &Site) -> Vec<&'a Part<'a>> {
        let leads = |part: &&&Part| self.ways.iter().any(|way| *way.to == *part.id) && part.regions.contains(&site.id);
        self.parts.iter().filter(leads).copied().collect()
    }

    fn versions(&self) -> Body {
        let mut file = Body::default();
        file.block("terraform", |body| {
            body.attribute("required_version", quote(TERRAFORM)).blank();
            body.block("required_providers", |body| {
                body.attribute(
                    "azurerm",
                    object(|azurerm| {
                        azurerm.attribute("source", quote("hashicorp/azurerm")).attribute("version", quote(PROVIDER));
                    }),
                );
            });
            body.blank().comment(
                "Configure a backend here. Keep the state outside the regions that it describes: it is needed when one is lost.",
            );
        });
        file.blank().block("provider \"azurerm\"", |body| {
            body.attribute("subscription_id", "var.subscription_id").blank();
            body.block("features", |features| {
                features.comment(
                    "A node's file, which is among what its machine boots with, changes in all regions at once; its state store lies on that machine.",
                );
                features.block("virtual_machine_scale_set", |sets| {
                    sets.attribute("reimage_on_manual_upgrade", "false").attribute("roll_instances_when_required", "false");
                });
                if self.has(Kind::AzureStorage) {
                    features.blank().comment("Keys are off and only the app's networks may connect: who applies this is not among them.");
                    features.block("storage", |storage| {
                        storage.attribute("data_plane_available", "false");
                    });
                }
            });
        });
        file
    }

    fn place(&self, body: &mut Body, site: &Site) {
        body.attribute("resource_group", group(site)).attribute("location", value_of(site, "place"));
    }

    fn outputs(&self) -> Body {
        let mut file = Body::default();
        file.block("output \"lifeboat\"", |body| {
            body.attribute("description", quote("What Lifeboat reads back: `terraform output -json lifeboat`."));
            body.attribute(
                "value",
                object(|map| {
                    for part in &self.parts {
                        map.attribute(part.key(), self.output(part));
                    }
                }),
            );
        });
        file
    }
}

/// A name that nobody else in the world has, as an expression: with digits of the subscription in it.
fn unique(name: &str, most: usize) -> String {
    format!("{}-${{local.unique}}\"", quote(short(name, most - UNIQUE - 1)).trim_end_matches('"'))
}

/// Whether compute is made in the region only when it is to serve there.
fn is_made_later(part: &Part, site: &Site) -> bool {
    !part.component.kind.is_database() && part.pattern == Pattern::BackupRestore && site.id != part.home
}

fn group(site: &Site) -> String {
    format!("azurerm_resource_group.{}.name", site.key())
}

fn value_of(site: &Site, field: &str) -> String {
    format!("var.regions[{}].{field}", quote(site.id.as_str()))
}

fn size_of(part: &Part, site: &Site, field: &str) -> String {
    format!("{}[{}].{field}", value_of(site, "sizes"), quote(part.id.as_str()))
}

fn serves(part: &Part, site: &Site) -> String {
    format!("contains(local.serving[{}], {})", quote(part.id.as_str()), quote(site.id.as_str()))
}
