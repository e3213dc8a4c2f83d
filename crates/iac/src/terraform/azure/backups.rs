//! The backup vaults of the Azure root module.

use lifeboat_model::app::Kind;

use super::{Root, group, value_of};
use crate::backups::{self, CONTAINER};
use crate::design::Part;
use crate::hcl::{Body, list, object, quote};

/// Variable with the regions whose servers are backed up.
pub(super) const BACKED_UP: &str = "backed_up_servers";

impl Root<'_> {
    /// Whether anything of the app goes into a vault.
    pub(super) fn has_vaults(&self) -> bool {
        self.has(Kind::AzurePostgres) || self.has(Kind::AzureStorage)
    }

    pub(super) fn backups(&self) -> Body {
        let mut file = Body::default();
        for (index, vault) in backups::vaults(self.design).iter().enumerate() {
            if index > 0 {
                file.blank();
            }
            file.block(format!("module {}", quote(format!("backup_{}", vault.site.key()))), |body| {
                body.attribute("source", quote("./modules/backup")).blank();
                body.attribute("name", quote(vault.name(self.design)));
                body.attribute("resource_group", "azurerm_resource_group.global.name");
                body.attribute("location", value_of(vault.site, "place"));
                body.attribute("redundancy", quote(vault.redundancy()));
                body.attribute("immutability", "var.backup_immutability");
                body.attribute("action_groups", "var.alarm_action_groups");
                if !vault.servers.is_empty() {
                    body.attribute("server_group_id", group(vault.site).replace(".name", ".id"));
                    let region = vault.site.key();
                    let servers = object(|map| {
                        for part in &vault.servers {
                            map.attribute(quote(part.id.as_str()), format!("module.{}_{region}.id", part.key()));
                        }
                    });
                    let chosen = format!("contains(var.{BACKED_UP}[component], {})", quote(vault.site.id.as_str()));
                    body.blank().attribute(
                        "servers",
                        format!(
                            "{{\n  for component, id in {} : component => id\n  if {chosen}\n}}",
                            servers.replace('\n', "\n  ")
                        ),
                    );
                }
                if !vault.accounts.is_empty() {
                    body.blank().attribute("accounts", object(|map| self.accounts(map, &vault.accounts)));
                }
            });
        }
        file
    }

    fn accounts(&self, map: &mut Body, parts: &[&Part]) {
        for part in parts {
            let module = format!("module.{}", part.key());
            map.attribute(quote(part.id.as_str()), format!("{{ id = {module}.id, containers = {module}.containers }}"));
        }
    }

    pub(super) fn backup_variables(&self, variable: &mut impl FnMut(&str, &str, &str, Option<&str>)) {
        if self.has(Kind::AzurePostgres) {
            let home = object(|map| {
                for part in self.design.parts_of(Kind::AzurePostgres) {
                    map.attribute(quote(part.id.as_str()), list([quote(part.home.as_str())]));
                }
            });
            variable(
                BACKED_UP,
                "Regions whose PostgreSQL server is backed up into the region's vault, by component. After a failover that is to last, the \
                 region that writes: of a replica no backup can be made.",
                "map(list(string))",
                Some(&home),
            );
        }
        if self.has_vaults() {
            variable(
                "backup_immutability",
                "Of the backup vaults: Unlocked, Disabled (before they are taken away), or Locked, for good.",
                "string",
                Some(&quote("Unlocked")),
            );
        }
    }

    /// The containers that are made in a storage account.
    pub(super) fn containers() -> String {
        list([quote(CONTAINER)])
    }
}
