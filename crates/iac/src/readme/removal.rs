//! How all of it is taken away on Azure, what is in the way, and what is left.

use std::fmt::Write as _;

use lifeboat_model::app::Kind;

use crate::design::Design;

/// The section.
pub(super) fn section(design: &Design, terraform: bool, arm: bool) -> String {
    let has = |kind: Kind| design.parts_of(kind).next().is_some();
    let databases = [Kind::AzureSql, Kind::AzurePostgres, Kind::Cosmosdb, Kind::AzureStorage].into_iter().any(has);
    let mut out = "\n## Taking all of it away on Azure\n".to_owned();
    if databases {
        out += "\nBackups first, as above, where there are vaults. ";
        out += "Databases have a lock and, with Terraform, `prevent_destroy`, so that none goes by mistake.\n";
    }
    if terraform {
        out += "\nTerraform, in `terraform/azure`:\n\n";
        if databases {
            let _ = writeln!(out, "    {UNPROTECT}    # edits what was generated");
        }
        out += "    terraform destroy\n";
    }
    if arm {
        out += "\nARM:\n\n";
        let groups: Vec<String> = design
            .sites_of(lifeboat_model::app::Provider::Azure)
            .map(|site| site.id.as_str())
            .chain(["global"])
            .map(|group| format!("{}-{group}", design.name()))
            .collect();
        for group in groups {
            if databases {
                let _ = writeln!(
                    out,
                    "    for lock in $(az lock list --resource-group {group} --query '[].id' --output tsv); do az lock delete --ids $lock; done"
                );
            }
            let _ = writeln!(out, "    az group delete --name {group}");
        }
    }
    out += LEFT;
    for (kind, left) in [
        (Kind::AzureSql, SQL),
        (Kind::AzurePostgres, POSTGRES),
        (Kind::Cosmosdb, COSMOS),
        (Kind::AzureStorage, STORAGE),
    ] {
        if has(kind) {
            out += left;
        }
    }
    out
}

const UNPROTECT: &str = "grep -rl --include='*.tf' 'prevent_destroy = true' . | xargs sed -i 's/prevent_destroy = true/prevent_destroy = false/'";

const LEFT: &str = "
What is left:

- Key vaults, for 7 days: purge protection cannot be shortened. Their names are taken until then; `az keyvault recover` brings one back.
- The subscription's feature EncryptionAtHost, the DNS zones, and the images in galleries, which are not the app's.
";
const SQL: &str = "- Azure SQL: weekly backups, for as long as they were to be kept (`az sql db ltr-backup list --location PLACE`, then `ltr-backup delete`).\n";
const POSTGRES: &str =
    "- PostgreSQL: a dropped server's own backups, for 5 days; those in the vault as said under Backups.\n";
const COSMOS: &str = "- Cosmos DB: the continuous backups of a deleted account, for 30 days (`az cosmosdb restorable-database-account list`).\n";
const STORAGE: &str =
    "- Storage accounts: a deleted one can be recovered for 14 days, as long as its name has not been taken again.\n";
