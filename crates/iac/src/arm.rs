//! ARM: a template for what is there before any region, one that makes a region, with a parameter file per region; one for what
//! links regions and belongs to the writer; one for what is global. The roles are one parameter, in a file of their own.

use std::collections::BTreeSet;

use lifeboat_model::app::{Kind, Pattern, Provider, RegionRole};

use crate::design::{Design, Part, Site, Way};
use crate::tree::Tree;
use crate::{Problem, members};

mod boot;
mod foundation;
mod global;
mod links;
mod node;
mod region;
mod template;
mod values;

const FOLDER: &str = "arm";

/// The private zone in which all of Azure's SQL servers with a private endpoint have their names.
const DNS_SQL: &str = "privatelink.database.windows.net";

struct Templates<'a> {
    design: &'a Design<'a>,
    /// Regions that run components.
    sites: Vec<&'a Site<'a>>,
    /// Regions with a node only.
    witnesses: Vec<&'a Site<'a>>,
    parts: Vec<&'a Part<'a>>,
    ways: Vec<&'a Way<'a>>,
}

/// Writes `arm/` if the app has anything on Azure.
pub(crate) fn write(design: &Design, tree: &mut Tree) {
    let parts: Vec<&Part> = design.parts.iter().filter(|part| makes(part.component.kind)).collect();
    if parts.is_empty() {
        return;
    }
    let (sites, witnesses): (Vec<&Site>, Vec<&Site>) =
        design.sites_of(Provider::Azure).partition(|site| site.region.role == RegionRole::Data);
    let behind = |way: &&Way| parts.iter().any(|part| part.id == way.to && part.component.kind == Kind::Vmss);
    let ways: Vec<&Way> = design.ways.iter().filter(behind).collect();
    let templates = Templates { design, sites, witnesses, parts, ways };
    tree.put(format!("{FOLDER}/foundation.json"), templates.foundation());
    tree.put(format!("{FOLDER}/regional.json"), templates.regional());
    for site in &templates.sites {
        tree.put(
            format!("{FOLDER}/parameters/{}.json", site.id),
            templates.values(site, &templates.regional_parameters()),
        );
    }
    if !templates.witnesses.is_empty() {
        tree.put(format!("{FOLDER}/witness.json"), templates.witness());
    }
    for site in &templates.witnesses {
        tree.put(format!("{FOLDER}/parameters/{}.json", site.id), templates.values(site, &templates.node_parameters()));
    }
    if templates.sites.len() + templates.witnesses.len() > 1 {
        tree.put(format!("{FOLDER}/peering.json"), templates.peering());
    }
    tree.put_kept(format!("{FOLDER}/roles.json"), templates.roles());
    if let Some(links) = templates.links() {
        tree.put(format!("{FOLDER}/links.json"), links);
    }
    if let Some(global) = templates.global() {
        tree.put(format!("{FOLDER}/global.json"), global);
    }
    tree.warnings.extend(templates.warnings());
}

/// Whether components of this kind are in the templates.
pub(crate) fn makes(kind: Kind) -> bool {
    match kind {
        Kind::AzureSql | Kind::Cosmosdb | Kind::AzurePostgres | Kind::AzureStorage | Kind::Vmss | Kind::Aks => true,
        Kind::Postgres
        | Kind::AuroraGlobal
        | Kind::Rds
        | Kind::Dynamodb
        | Kind::S3
        | Kind::Process
        | Kind::Asg
        | Kind::Ecs
        | Kind::Eks
        | Kind::Deployment => false,
    }
}

/// What a component runs on if its file names nothing.
pub(crate) fn default_instance(kind: Kind) -> &'static str {
    match kind {
        Kind::AzureSql => "GP_Gen5_2",
        Kind::AzurePostgres => "Standard_D2ds_v5",
        Kind::Vmss => "Standard_D2s_v5",
        Kind::Aks => "Standard_D4s_v5",
        _ => "",
    }
}

/// Writers other than in one region at a time.
pub(crate) fn writes_everywhere(part: &Part) -> bool {
    part.component.kind == Kind::Cosmosdb && part.pattern == Pattern::ActiveActive
}

impl Templates<'_> {
    fn app(&self) -> &str {
        self.design.name()
    }

    fn has(&self, kind: Kind) -> bool {
        self.parts.iter().any(|part| part.component.kind == kind)
    }

    fn has_members(&self) -> bool {
        self.sites.iter().chain(&self.witnesses).any(|site| members::member(self.design, site).is_some())
    }

    fn api_port(&self) -> u16 {
        self.sites.first().map_or(7400, |site| site.region.api_port)
    }

    fn global_group(&self) -> String {
        format!("{}-global", self.app())
    }

    fn postgres_zone(&self) -> String {
        format!("{}.private.postgres.database.azure.com", self.app())
    }

    fn warnings(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        for part in self.parts.iter().filter(|part| part.component.kind == Kind::AzureSql && part.regions.len() > 2) {
            found.push(Problem::new(
                format!("components.{}.standbys", part.id),
                "a failover group has one partner server; only the first standby is in it",
                "keep one standby, or replicate to the others by active geo-replication outside the group",
            ));
        }
        for part in self.parts.iter().filter(|part| part.component.kind == Kind::AzureStorage) {
            found.push(Problem::new(
                format!("components.{}", part.id),
                "Azure copies a geo-redundant account to its own paired region, whatever standby is named",
                "check that the pair of the writer's region lies where the data may be",
            ));
        }
        found
    }
}

/// Ports at which clients and health probes reach machines, in the order of their texts.
pub(crate) fn open_ports(parts: &[&Part], sites: &[&Site]) -> BTreeSet<String> {
    let served = parts.iter().filter(|part| part.component.kind == Kind::Vmss).map(|part| part.port);
    served.chain(sites.iter().map(|site| site.region.api_port)).map(|port| port.to_string()).collect()
}

/// Storage of a PostgreSQL server in GiB; Azure has powers of two.
pub(crate) fn postgres_storage(part: &Part) -> u64 {
    part.component.size.storage.map_or(128, |bytes| bytes.div_ceil(1 << 30)).max(32).next_power_of_two()
}

fn postgres_tier(instance: &str) -> &'static str {
    match instance.as_bytes().get("Standard_".len()) {
        Some(b'B') => "Burstable",
        Some(b'E') => "MemoryOptimized",
        _ => "GeneralPurpose",
    }
}
