//! ARM: a template for what is there before any region, one that makes a region, with a parameter file per region; one for what
//! links regions and belongs to the writer; one for what is global. The roles are one parameter, in a file of their own.

use lifeboat_model::app::{CheckTarget, Kind, Pattern, Provider, RegionRole, Replication};

use crate::design::{Design, Part, Site, Way};
use crate::tree::Tree;
use crate::{Problem, members};

mod backups;
mod balancer;
mod boot;
mod environment;
mod foundation;
mod global;
mod links;
mod node;
mod region;
mod routes;
mod template;
mod values;

const FOLDER: &str = "arm";

/// The private zone in which all of Azure's SQL servers with a private endpoint have their names.
const DNS_SQL: &str = "privatelink.database.windows.net";

/// How many digits of the subscription's id are in names that nobody else in the world may have. `hand-out.sh` has to know them too, so
/// they are no hash.
pub(crate) const UNIQUE: usize = lifeboat_model::names::UNIQUE;

/// How clients reach a scale set, and how its machines are asked for their health. Nothing before the application ends TLS: whether it
/// does itself is what its check says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Front {
    /// Where clients ask.
    pub(crate) port: u16,
    /// `Http`, `Https` or `Tcp`.
    pub(crate) protocol: &'static str,
}

impl Front {
    pub(crate) fn of(part: &Part) -> Self {
        let by_port = if speaks_tls_by_custom(part.port) { 443 } else { 80 };
        match part.component.check.as_ref().map(|check| &check.target) {
            Some(CheckTarget::Https { .. }) => Self { port: 443, protocol: "Https" },
            Some(CheckTarget::Http(path)) if path.starts_with('/') => Self { port: 80, protocol: "Http" },
            // A whole URL is asked of something else than the machine's own port.
            Some(CheckTarget::Http(_) | CheckTarget::Tcp) | None => Self { port: by_port, protocol: "Tcp" },
        }
    }

    pub(crate) fn asks_for_path(self) -> bool {
        self.protocol != "Tcp"
    }
}

/// Ports on which everybody expects TLS.
pub(crate) fn speaks_tls_by_custom(port: u16) -> bool {
    matches!(port, 443 | 8443)
}

/// The databases that a component logs in to in a region; of a cluster also those of the pods there.
pub(crate) fn needed<'a>(design: &'a Design<'a>, part: &'a Part<'a>, site: &Site) -> Vec<&'a Part<'a>> {
    let pods = design.parts_of(Kind::Deployment);
    let pods = pods.filter(|pod| part.component.kind == Kind::Aks && pod.regions.contains(&site.id));
    let mut ids: Vec<_> = std::iter::once(part).chain(pods).flat_map(|one| &one.component.needs).collect();
    ids.sort();
    ids.dedup();
    ids.into_iter()
        .filter_map(|id| design.part(id))
        .filter(|needed| needed.component.kind.is_database() && needed.provider == Provider::Azure)
        .collect()
}

/// Whether a route leads to pods in the region's cluster.
pub(crate) fn has_routed_pods(design: &Design, site: &Site) -> bool {
    design
        .parts_of(Kind::Deployment)
        .any(|pod| pod.regions.contains(&site.id) && design.ways.iter().any(|way| *way.to == *pod.id))
}

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
        if global.contains("parameters('actionGroups')") {
            tree.put(
                format!("{FOLDER}/global.parameters.json"),
                template::parameter_file(&[("actionGroups", "[]".into())]),
            );
        }
        tree.put(format!("{FOLDER}/global.json"), global);
    }
    if let Some(backups) = templates.backups() {
        tree.put(format!("{FOLDER}/backups.json"), backups);
        tree.put(format!("{FOLDER}/backups.parameters.json"), templates.backup_values());
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

/// What readers of a Cosmos DB account see by default.
pub(crate) fn consistency(part: &Part) -> &'static str {
    let synchronous = part.component.standbys.values().any(|mode| *mode == Replication::Synchronous);
    match (writes_everywhere(part), synchronous) {
        (true, _) => "Session",
        (false, true) => "Strong",
        (false, false) => "BoundedStaleness",
    }
}

/// The most request units per second between which and a tenth of it a Cosmos DB database scales: Azure takes whole thousands.
pub(crate) fn throughput(part: &Part) -> u64 {
    part.component.size.request_units().unwrap_or(4000).div_ceil(1000).max(1) * 1000
}

/// Whether Azure measures how far a copy is behind. It has no such metric for Azure SQL, and none for storage accounts.
pub(crate) fn has_lag_metric(part: &Part) -> bool {
    match part.component.kind {
        Kind::AzurePostgres => part.pattern != Pattern::BackupRestore,
        Kind::Cosmosdb => consistency(part) != "Strong" && part.regions.len() > 1,
        _ => false,
    }
}

/// Action groups that are told of replication lag.
const ACTION_GROUPS: template::Parameter =
    ("actionGroups", "array", "Ids of the action groups of Azure Monitor that are told of replication lag.");

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
        let longest = 63 - UNIQUE - 1;
        let is_too_long = |part: &&&Part| part.regions.iter().any(|id| self.design.full_name(part, id).len() > longest);
        for part in self.parts.iter().filter(is_too_long) {
            found.push(Problem::new(
                format!("components.{}", part.id),
                format!("the names of app, region and component have more than {longest} letters together: Azure refuses what the ARM templates call by them"),
                "shorter names; Terraform's code cuts them",
            ));
        }
        found
    }
}

/// Kind of redundancy of a storage account, without the tier. Where its region has no pair, Azure copies it to no other.
pub(crate) fn storage_redundancy(part: &Part, home: &Site) -> &'static str {
    let zoned = home.facts.is_some_and(|facts| facts.zones > 0);
    let paired = home.facts.is_some_and(|facts| facts.pair.is_some());
    match (paired, part.pattern, zoned) {
        (false, _, true) => "ZRS",
        (false, _, false) => "LRS",
        (true, Pattern::BackupRestore | Pattern::PilotLight, true) => "GZRS",
        (true, Pattern::BackupRestore | Pattern::PilotLight, false) => "GRS",
        (true, Pattern::WarmStandby | Pattern::ActiveActive, true) => "RAGZRS",
        (true, Pattern::WarmStandby | Pattern::ActiveActive, false) => "RAGRS",
    }
}

/// Where Azure SQL keeps backups.
pub(crate) fn sql_redundancy(home: Option<&Site>) -> &'static str {
    match home.and_then(|site| site.facts) {
        Some(facts) if facts.pair.is_some() => "Geo",
        Some(facts) if facts.zones > 0 => "Zone",
        Some(_) | None => "Local",
    }
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
