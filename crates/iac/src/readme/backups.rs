//! What Azure keeps of the app's databases besides replicas, what of it is left when a region is dark, and how it is taken away.

use std::fmt::Write as _;

use lifeboat_model::app::{Kind, Pattern};

use crate::backups::{self, CONTAINER, KEPT_DAYS, SOFT_DELETE_DAYS};
use crate::design::{Design, Part};

/// The section, where there are databases.
pub(super) fn section(design: &Design, terraform: bool, arm: bool) -> String {
    let mut rows = String::new();
    for part in &design.parts {
        let Some((here, elsewhere)) = kept(design, part) else { continue };
        let _ = writeln!(rows, "| {} | {} | {here} | {elsewhere} |", part.id, part.component.kind.as_str());
    }
    if rows.is_empty() {
        return String::new();
    }
    let has = |kind: Kind| design.parts_of(kind).next().is_some();
    let mut out =
        format!("\n## Backups on Azure\n\n| database | kind | in its region | elsewhere |\n|---|---|---|---|\n{rows}");
    if !backups::vaults(design).is_empty() {
        out += VAULTS;
    }
    if has(Kind::AzurePostgres) {
        out += SERVERS;
    }
    if has(Kind::AzureStorage) {
        out += &ACCOUNTS.replace("@{container}", CONTAINER);
    }
    if has(Kind::AzureSql) {
        out += SQL;
    }
    out += "\nScale sets and clusters hold nothing that a backup would have to keep, and a Lifeboat node learns anew from the others.\n";
    if has(Kind::AzurePostgres)
        || has(Kind::AzureStorage)
        || design.parts_of(Kind::AzureSql).any(|part| part.pattern != Pattern::BackupRestore)
    {
        out += AFTER;
    }
    let steps = [
        (has(Kind::AzurePostgres) && terraform, AFTER_TERRAFORM),
        (has(Kind::AzurePostgres) && arm, AFTER_ARM),
        (design.parts_of(Kind::AzureSql).any(|part| part.pattern != Pattern::BackupRestore), AFTER_SQL),
        (has(Kind::AzureStorage), AFTER_STORAGE),
    ];
    for (_, step) in steps.into_iter().filter(|(applies, _)| *applies) {
        out += step;
    }
    if !backups::vaults(design).is_empty() {
        out += REMOVAL;
        out += if terraform { REMOVAL_TERRAFORM } else { "" };
        out += if arm { REMOVAL_ARM } else { "" };
        out += &REMOVAL_REST.replace("@{days}", &SOFT_DELETE_DAYS.to_string());
    }
    out
}

/// What is kept in the database's own region, and what in another.
fn kept(design: &Design, part: &Part) -> Option<(String, String)> {
    let pair = design.site(part.home).and_then(|site| site.facts?.pair);
    let alone = part.pattern == Pattern::BackupRestore;
    let to_the_second = "any moment of 14 days".to_owned();
    let vault = |how: &str| format!("{how} for {KEPT_DAYS} days (vault)");
    let none = || "nothing: its region has no pair".to_owned();
    Some(match part.component.kind {
        Kind::AzurePostgres => {
            let here = format!("{to_the_second}; {}", vault("weekly"));
            let elsewhere = pair.map_or_else(none, |pair| {
                let own = if alone { "any moment of 14 days, up to an hour behind; " } else { "" };
                format!("{own}{}, in {pair}", vault("weekly"))
            });
            (here, elsewhere)
        }
        Kind::AzureStorage => {
            let here = format!("old versions, and for 30 days what was deleted; `{CONTAINER}` {}", vault("daily"));
            let readable = if alone { "after a failover of the account" } else { "at all times" };
            let elsewhere = pair.map_or_else(none, |pair| {
                format!("all of it, some 15 minutes behind, readable {readable}, and the vault, in {pair}")
            });
            (here, elsewhere)
        }
        Kind::AzureSql => {
            let here = format!("{to_the_second}; weekly for {KEPT_DAYS} days, also when the server is gone");
            (here, pair.map_or_else(none, |pair| format!("the same, up to an hour behind, in {pair}")))
        }
        Kind::Cosmosdb => {
            let others: Vec<&str> =
                part.regions.iter().filter(|id| **id != part.home).map(|region| region.as_str()).collect();
            let elsewhere =
                if others.is_empty() { "nothing".into() } else { format!("the same, in {}", others.join(", ")) };
            ("any moment of 30 days, also when the account is gone".into(), elsewhere)
        }
        _ => return None,
    })
}

const VAULTS: &str = "
The vaults are Azure Backup's, `@{app}-backups-REGION` in the group `@{app}-global`. Each lies where its data is, for Azure Backup takes no other; Azure copies it to
the region's pair and restores from there while the region is dark, into the pair and nowhere else. Some pairs are open on request only: ask before you need
one. A backup that fails, or a restore, is told to your action groups of Azure Monitor.

    az dataprotection recovery-point list -g @{app}-global --vault-name @{app}-backups-REGION --backup-instance-name DATABASE --use-secondary-region true
    az dataprotection backup-instance restore trigger -g @{app}-global --vault-name @{app}-backups-REGION --backup-instance-name DATABASE \\
      --restore-request-object request.json --use-secondary-region true
";

const SERVERS: &str = "
Azure Backup makes weekly backups of PostgreSQL and no others, of servers up to 1 TiB and of every database but `postgres`, and restores them as files into a storage account on which the vault has the role
Storage Blob Data Contributor; `pg_restore` makes a database of them. They are for what was deleted by mistake or by malice. After the loss of a region a replica loses less, and so
does `az postgres flexible-server geo-restore` where there is none.
";

const ACCOUNTS: &str = "
A vault takes containers by their names, up to a hundred of an account. The container `@{container}` is made and backed up; what the app keeps in others is not. While a region is
dark `az storage account failover` loses less than the vault; try in a drill whether Azure restores blobs from the pair as well.
";

const SQL: &str = "
No vault takes Azure SQL. `az sql db geo-backup restore` and `az sql db ltr-backup restore` make a database of its own backups, on a server in any region.
";

const AFTER: &str = "
After a failover that is to last:
";

const AFTER_TERRAFORM: &str = "
- PostgreSQL, Terraform: name the region that writes in `backed_up_servers` and apply: a backup instance is made. Until then the plan is empty. Of a replica no backup can be made, so
  those of the old region fail, and you are told, until you take its name out, which deletes its backups, or until it writes again.
";

const AFTER_ARM: &str = "
- PostgreSQL, ARM: deploy `backups.json` again. The region that writes gets a backup instance; that of the old region stays with its backups, and fails as long as its server is a replica.
";

const AFTER_SQL: &str = "
- Azure SQL: the partner's database keeps seven days. `az sql db str-policy set --retention-days 14` and `az sql db ltr-policy set --weekly-retention P5W`, on the server that writes.
";

const AFTER_STORAGE: &str = "
- Storage account: it is locally redundant now, and copied nowhere. `az storage account update -g @{app}-global -n NAME --sku Standard_RAGRS` has it copied again, to what was its region.
";

const REMOVAL: &str = "
Taking backups away: nothing in a vault can be deleted before its time as long as it is immutable.
";

const REMOVAL_TERRAFORM: &str = "
    terraform apply -var backup_immutability=Disabled    # then take away what is to go
";

const REMOVAL_ARM: &str = "
    az dataprotection backup-vault update -g @{app}-global --vault-name @{app}-backups-REGION --immutability-state Disabled    # then delete its instances
";

const REMOVAL_REST: &str = "
What was deleted stays for @{days} more days, can be brought back, and keeps its vault there, and so the group `@{app}-global`: `terraform destroy` ends with an error and is
finished then. The databases' locks have to be gone before the vaults' roles on them can go.
";
