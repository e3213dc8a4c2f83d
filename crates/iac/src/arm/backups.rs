//! Azure Backup: a vault in every region with something to back up, deployed once that is there.

use super::Templates;
use super::region::built_in;
use super::template::{Nested, Parameter, ROLES, Template, parameter_file, unique_variable};
use crate::backups::{self, CONTAINER, DAILY, KEPT_DAYS, SOFT_DELETE_DAYS, Vault, WEEKLY};
use crate::design::Part;
use crate::fragment::{fill, json};

const PARAMETERS: [Parameter; 3] = [
    (
        "immutability",
        "string",
        "Unlocked: nothing can be deleted before its time unless that is turned off first. Locked: not even then, for good.",
    ),
    ("actionGroups", "array", "Ids of the action groups of Azure Monitor that are told of failed backups."),
    ROLES,
];

/// Built-in roles, by their ids: Reader, PostgreSQL Flexible Server Long Term Retention Backup Role, Storage Account Backup Contributor.
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const SERVER_BACKUP: &str = "c088a766-074b-43ba-90d4-1fb21feae531";
const ACCOUNT_BACKUP: &str = "e5e2a7ff-d759-4cd2-bb51-3152d37e2eb1";

impl Templates<'_> {
    /// Into the resource group of what is global. `None`: the app has nothing of the kind.
    pub(super) fn backups(&self) -> Option<String> {
        let vaults = backups::vaults(self.design);
        let mut template =
            Template { parameters: PARAMETERS.into(), variables: vec![unique_variable()], ..Template::default() };
        let accounts: Vec<&Part> = vaults.iter().flat_map(|vault| vault.accounts.iter().copied()).collect();
        for part in &accounts {
            template.variables.extend(self.account(part).map(|name| (format!("account-{}", part.id), json(&name))));
        }
        if !accounts.is_empty() {
            template.variables.push(("accountBackup".into(), built_in(ACCOUNT_BACKUP)));
        }
        for vault in &vaults {
            template.resources.extend(self.vault(vault));
        }
        (!vaults.is_empty()).then(|| template.render())
    }

    pub(super) fn backup_values(&self) -> String {
        parameter_file(&[("immutability", json("Unlocked")), ("actionGroups", "[]".into())])
    }

    fn vault(&self, vault: &Vault) -> Vec<String> {
        let name = vault.name(self.design);
        let region = vault.site.id.as_str();
        let restore = if vault.redundancy() == "GeoRedundant" { "Enabled" } else { "Disabled" };
        let common =
            [("vault", name.as_str()), ("location", vault.site.place()), ("app", self.app()), ("region", region)];
        let with = |fragment: &str, values: &[(&str, &str)]| fill(fragment, &[&common[..], values].concat());
        let days = SOFT_DELETE_DAYS.to_string();
        let settings = [("redundancy", vault.redundancy()), ("restore", restore), ("days", &days)];
        let mut all =
            vec![with(include_str!("backup-vault.json"), &settings), with(include_str!("backup-alarm.json"), &[])];
        let kept = KEPT_DAYS.to_string();
        let policy = |values: &[(&str, &str)]| {
            with(include_str!("backup-policy.json"), &[&[("kept", kept.as_str())], values].concat())
        };
        if !vault.servers.is_empty() {
            all.push(policy(&[
                ("policy", "postgresql-weekly"),
                (
                    "comments",
                    "Weekly, for Azure Backup offers nothing else. The servers' own backups go on all the time.",
                ),
                ("source", "Microsoft.DBforPostgreSQL/flexibleServers"),
                ("rule", "BackupWeekly"),
                ("how", "Full"),
                ("schedule", WEEKLY),
            ]));
            all.push(self.server_roles(vault, &name));
        }
        for part in &vault.servers {
            let writes = format!("[equals(parameters('roles').writers['{}'], '{region}')]", part.id);
            all.push(with(
                include_str!("backup-server.json"),
                &[("id", part.id.as_str()), ("condition", &json(&writes))],
            ));
        }
        if !vault.accounts.is_empty() {
            all.push(policy(&[
                ("policy", "blobs-daily"),
                ("comments", "Of the containers that the instance names."),
                ("source", "Microsoft.Storage/storageAccounts/blobServices"),
                ("rule", "BackupDaily"),
                ("how", "Discrete"),
                ("schedule", DAILY),
            ]));
        }
        for part in &vault.accounts {
            all.push(with(include_str!("backup-account.json"), &[("id", part.id.as_str()), ("container", CONTAINER)]));
        }
        all
    }

    /// What the vault may do in the region's resource group: find the servers, and have them write a backup.
    fn server_roles(&self, vault: &Vault, name: &str) -> String {
        let region = vault.site.id.as_str();
        let id = format!("[resourceId('Microsoft.DataProtection/backupVaults', '{name}')]");
        let principal = format!(
            "[reference(resourceId('Microsoft.DataProtection/backupVaults', '{name}'), '2024-04-01', 'full').identity.principalId]"
        );
        let mut resources = vec![fill(include_str!("backup-group-role.json"), &[("role", READER)])];
        resources.extend(vault.servers.iter().map(|part| {
            let values = [("app", self.app()), ("region", region), ("id", part.id.as_str()), ("role", SERVER_BACKUP)];
            fill(include_str!("backup-server-role.json"), &values)
        }));
        Nested {
            name: &format!("{name}-access"),
            comments: "The vault finds the servers and has them write backups.",
            condition: "",
            group: &format!("{}-{region}", self.app()),
            parameters: &[
                ("vault", "string", &id),
                ("principal", "string", &principal),
                ("unique", "string", "[variables('unique')]"),
            ],
            resources,
            depends: &[&id],
        }
        .render()
    }
}
