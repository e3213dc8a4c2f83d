//! What Azure keeps of databases besides their replicas, whichever tool makes it: Azure Backup's vaults, what is in them, and
//! what the services keep themselves. Replication carries a mistake to every region within a second; only a backup does not.
//!
//! A vault takes only what lies in its own region. Azure copies a geo-redundant one to the region's pair and restores from there
//! while the region is dark, into the pair and nowhere else. So the vaults belong to the group of what is global: a group whose own
//! region is dark answers nobody who wants to restore.

use std::time::Duration;

use lifeboat_model::app::{Kind, Pattern, Provider};

use crate::Problem;
use crate::design::{Design, Part, Site, short};

/// For how long a backup is kept, as on AWS.
pub(crate) const KEPT_DAYS: u32 = 35;
/// For how long the vault keeps what was deleted from it.
pub(crate) const SOFT_DELETE_DAYS: u32 = 14;
/// The container of a storage account that is made and backed up: a vault takes containers by their names.
pub(crate) const CONTAINER: &str = "data";
/// When it begins, and how often: blobs daily. PostgreSQL weekly, for Azure Backup offers nothing else; its own backups go on all the time.
pub(crate) const DAILY: &str = "R/2026-01-01T02:30:00+00:00/P1D";
pub(crate) const WEEKLY: &str = "R/2026-01-04T02:30:00+00:00/P1W";

/// Above this Azure Backup undertakes nothing for a PostgreSQL server (support matrix for Azure Database for PostgreSQL).
const LARGEST_SERVER: u64 = 1 << 40;

/// A region's vault with what may be in it.
#[derive(Debug)]
pub(crate) struct Vault<'a> {
    pub(crate) site: &'a Site<'a>,
    /// PostgreSQL: each region of a replicated one has a server. Of a replica no backup can be made.
    pub(crate) servers: Vec<&'a Part<'a>>,
    /// Storage accounts.
    pub(crate) accounts: Vec<&'a Part<'a>>,
}

impl Vault<'_> {
    /// Unique in its resource group. Azure takes fifty letters.
    pub(crate) fn name(&self, design: &Design) -> String {
        short(&format!("{}-backups-{}", design.name(), self.site.id), 50)
    }

    /// As Azure calls it.
    pub(crate) fn redundancy(&self) -> &'static str {
        match self.site.facts {
            Some(facts) if facts.pair.is_some() => "GeoRedundant",
            Some(facts) if facts.zones > 0 => "ZoneRedundant",
            Some(_) | None => "LocallyRedundant",
        }
    }
}

/// The vaults of an app, by the regions' names.
pub(crate) fn vaults<'a>(design: &'a Design<'a>) -> Vec<Vault<'a>> {
    let of = |kind: Kind, site: &Site| -> Vec<&'a Part<'a>> {
        design.parts_of(kind).filter(|part| *part.home == *site.id || has_server(part, site)).collect()
    };
    design
        .sites_of(Provider::Azure)
        .map(|site| Vault { site, servers: of(Kind::AzurePostgres, site), accounts: of(Kind::AzureStorage, site) })
        .filter(|vault| !vault.servers.is_empty() || !vault.accounts.is_empty())
        .collect()
}

fn has_server(part: &Part, site: &Site) -> bool {
    part.component.kind == Kind::AzurePostgres
        && part.pattern != Pattern::BackupRestore
        && part.regions.contains(&site.id)
}

/// How much a restore in another region may lose, where that is all that is elsewhere; `None`: it is not.
///
/// Published: an hour for geo-restore of Azure SQL and of PostgreSQL, some 15 minutes for geo-redundant storage. Azure undertakes none of
/// them.
pub(crate) fn may_lose(part: &Part) -> Option<Duration> {
    let minutes = match part.component.kind {
        Kind::AzureSql | Kind::AzurePostgres => 60,
        Kind::AzureStorage => 15,
        _ => return None,
    };
    (part.pattern == Pattern::BackupRestore).then_some(Duration::from_secs(minutes * 60))
}

/// What of that is less than the file asks for.
pub(crate) fn warnings(design: &Design) -> Vec<Problem> {
    let mut found = Vec::new();
    for part in &design.parts {
        let field = format!("components.{}", part.id);
        if let (Some(lost), Some(rpo)) = (may_lose(part), part.component.objectives.rpo)
            && rpo < lost
        {
            found.push(Problem::new(
                format!("{field}.pattern"),
                format!(
                    "a region that is lost takes up to {} minutes of it along: that old may Azure's copy be in the other region",
                    lost.as_secs() / 60
                ),
                "pilot-light, or an RPO that a copy can hold",
            ));
        }
        let size = part.component.size.storage.unwrap_or_default();
        if part.component.kind == Kind::AzurePostgres && size > LARGEST_SERVER {
            found.push(Problem::new(
                format!("{field}.size.storage"),
                "Azure Backup undertakes nothing for a PostgreSQL server of more than 1 TiB: its backups may fail",
                "watch the alarm on failed backups, or dumps of your own",
            ));
        }
        let home = design.site(part.home).and_then(|site| Some((site, site.facts?)));
        if let Some((site, facts)) = home
            && keeps_in_pair(part)
        {
            found.push(match facts.pair {
                Some(pair) => Problem::new(
                    field,
                    format!(
                        "Azure copies its backups to {pair}, the pair of {}, whatever standby is named",
                        site.place()
                    ),
                    format!("check that {pair} lies where the data may be, and that your subscription may use it"),
                ),
                None => Problem::new(
                    field,
                    format!("{} has no pair: Azure copies its backups to no other region", site.place()),
                    "a writer in a region with a pair, or copies of your own",
                ),
            });
        }
    }
    found
}

/// Kinds whose backups lie in the pair of the writer's region. Cosmos DB keeps them where the account is.
fn keeps_in_pair(part: &Part) -> bool {
    matches!(part.component.kind, Kind::AzureSql | Kind::AzurePostgres | Kind::AzureStorage)
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = "
app: shop
regions:
  a: {place: azure/northeurope}
  b: {place: azure/westeurope}
  c: {place: azure/polandcentral}
components:
  orders: {kind: azure-postgres, pattern: pilot-light, writer: a, standbys: {b: asynchronous}, size: {storage: 2TiB}}
  ledger: {kind: azure-postgres, pattern: pilot-light, writer: c, standbys: {b: asynchronous}}
  audit: {kind: azure-postgres, pattern: backup-restore, writer: a, standbys: {b: asynchronous}, objectives: {rpo: 10m}}
  files: {kind: azure-storage, pattern: backup-restore, writer: a, standbys: {b: asynchronous}, objectives: {rpo: 20m}}
  carts: {kind: cosmosdb, pattern: warm-standby, writer: a, standbys: {b: asynchronous}}
failover: {mode: approve}
";

    #[test]
    fn a_vault_lies_where_the_data_is() {
        let app = lifeboat_model::parse(APP).unwrap();
        let design = Design::of(&app).unwrap();
        let found: Vec<_> = vaults(&design)
            .iter()
            .map(|vault| {
                let ids = |parts: &[&Part]| parts.iter().map(|part| part.id.to_string()).collect::<Vec<_>>().join(" ");
                (vault.name(&design), vault.redundancy(), ids(&vault.servers), ids(&vault.accounts))
            })
            .collect();
        let expected = |name: &str, redundancy: &'static str, servers: &str, accounts: &str| {
            (name.to_owned(), redundancy, servers.to_owned(), accounts.to_owned())
        };
        assert_eq!(
            found,
            [
                expected("shop-backups-a", "GeoRedundant", "audit orders", "files"),
                expected("shop-backups-b", "GeoRedundant", "ledger orders", ""),
                expected("shop-backups-c", "ZoneRedundant", "ledger", ""),
            ]
        );
    }

    #[test]
    fn what_a_backup_cannot_hold_is_said() {
        let app = lifeboat_model::parse(APP).unwrap();
        let found: Vec<String> = warnings(&Design::of(&app).unwrap()).iter().map(ToString::to_string).collect();
        for (field, expected) in [
            ("components.audit.pattern", "up to 60 minutes"),
            ("components.orders.size.storage", "more than 1 TiB"),
            ("components.ledger:", "polandcentral has no pair"),
            ("components.files:", "to westeurope, the pair of northeurope"),
        ] {
            let is_it = |problem: &&String| problem.starts_with(field) && problem.contains(expected);
            assert_eq!(found.iter().filter(is_it).count(), 1, "{field}: {found:#?}");
        }
        assert!(!found.iter().any(|problem| problem.starts_with("components.files.pattern")), "{found:#?}");
        assert!(!found.iter().any(|problem| problem.contains("carts")), "{found:#?}");
    }
}
