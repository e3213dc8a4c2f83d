//! What is between regions: networks that reach each other, and what belongs to the writer and names the other side. Deployed once
//! all regions are there.

use std::collections::BTreeMap;

use lifeboat_model::RegionId;
use lifeboat_model::app::{Kind, Pattern};

use super::Templates;
use super::UNIQUE;
use super::template::{Nested, ROLES, Template, unique_variable};
use crate::design::{Part, short};
use crate::fragment::{fill, json};

impl Templates<'_> {
    /// From one region to every other.
    pub(super) fn peering(&self) -> String {
        let all = self.sites.iter().chain(&self.witnesses);
        let resources = all
            .map(|site| {
                fill(include_str!("peering.json"), &[("app", self.app()), ("id", site.id.as_str()), ("depends", "")])
            })
            .collect();
        let parameters = vec![("region", "string", "The region from which it leads.")];
        Template { parameters, resources, ..Template::default() }.render()
    }

    /// A replica of PostgreSQL in a network of its own can only be made once the networks reach each other: from the region to the one
    /// where the first writer is, and back.
    pub(super) fn replica_peerings(&self) -> Vec<String> {
        let homes: BTreeMap<&RegionId, &Part> = self
            .parts
            .iter()
            .filter(|part| part.component.kind == Kind::AzurePostgres && part.pattern != Pattern::BackupRestore)
            .map(|part| (part.home, *part))
            .collect();
        let network = "[resourceId('Microsoft.Network/virtualNetworks', variables('prefix'))]";
        let both = |home: &RegionId| {
            let depends = format!(",\n  \"dependsOn\": [{}]", json(network));
            let values =
                [("app", self.app()), ("id", home.as_str()), ("home", home.as_str()), ("depends", depends.as_str())];
            let there = fill(include_str!("peering.json"), &values);
            let here = Nested {
                name: "[format('{0}-replicas', variables('prefix'))]",
                comments: "And back. `peering.json` makes the same for all regions.",
                condition: &format!("[not(equals(parameters('region'), '{home}'))]"),
                group: &format!("{}-{home}", self.app()),
                parameters: &[("region", "string", "[parameters('region')]"), ("network", "string", network)],
                resources: vec![fill(include_str!("home-peering.json"), &values)],
                depends: &[network],
            };
            [there, here.render()]
        };
        homes.into_keys().flat_map(both).collect()
    }

    /// The same as what a server waits for, in a list that goes on.
    pub(super) fn waits_for_peerings(&self, part: &Part) -> String {
        if part.pattern == Pattern::BackupRestore {
            return String::new();
        }
        let (app, home) = (self.app(), part.home);
        let there = format!(
            "[resourceId('Microsoft.Network/virtualNetworks/virtualNetworkPeerings', variables('prefix'), 'to-{home}')]"
        );
        let back = format!(
            "[resourceId('{app}-{home}', 'Microsoft.Resources/deployments', format('{{0}}-replicas', variables('prefix')))]"
        );
        [there, back].iter().map(|id| format!(",\n    {}", json(id))).collect()
    }

    /// Each into the resource group of the region that writes that database.
    pub(super) fn links(&self) -> Option<String> {
        let linked = |part: &&&Part| {
            matches!(part.component.kind, Kind::AzureSql | Kind::AzurePostgres)
                && part.pattern != Pattern::BackupRestore
                && part.regions.len() > 1
        };
        let mut template =
            Template { parameters: vec![ROLES], variables: vec![unique_variable()], ..Template::default() };
        for part in self.parts.iter().filter(linked) {
            let id = part.id.as_str();
            let writer = format!("parameters('roles').writers['{id}']");
            let partner = format!("[if(equals({writer}, '{}'), '{}', '{}')]", part.home, part.regions[1], part.home);
            let (fragment, comments) = match part.component.kind {
                Kind::AzureSql => (
                    include_str!("failover-group.json"),
                    "Policy Manual: you decide, not the provider after hours. The group can only be written on its primary, hence on the server of the region that writes now.",
                ),
                _ => (
                    include_str!("virtual-endpoint.json"),
                    "The names that stay when the writer moves. They are managed on the primary only, hence on the server of the region that writes now.",
                ),
            };
            let group = short(&format!("{}-{id}", self.app()), 63 - UNIQUE - 1);
            let nested = Nested {
                name: &format!("{}-{id}", self.app()),
                comments,
                condition: "",
                group: &format!("[format('{}-{{0}}', {writer})]", self.app()),
                parameters: &[
                    ("writer", "string", &format!("[{writer}]")),
                    ("partner", "string", &partner),
                    ("unique", "string", "[variables('unique')]"),
                ],
                resources: vec![fill(fragment, &[("id", id), ("app", self.app()), ("group", &group)])],
                depends: &[],
            };
            template.resources.push(nested.render());
        }
        (!template.resources.is_empty()).then(|| template.render())
    }
}
