//! What is between regions: networks that reach each other, and what belongs to the writer and names the other side. Deployed once
//! all regions are there.

use lifeboat_model::app::{Kind, Pattern};

use super::Templates;
use super::template::{Nested, ROLES, Template};
use crate::design::Part;
use crate::fragment::fill;

impl Templates<'_> {
    /// From one region to every other.
    pub(super) fn peering(&self) -> String {
        let all = self.sites.iter().chain(&self.witnesses);
        let resources = all
            .map(|site| fill(include_str!("peering.json"), &[("app", self.app()), ("id", site.id.as_str())]))
            .collect();
        let parameters = vec![("region", "string", "The region from which it leads.")];
        Template { parameters, resources, ..Template::default() }.render()
    }

    /// Each into the resource group of the region that writes that database.
    pub(super) fn links(&self) -> Option<String> {
        let linked = |part: &&&Part| {
            matches!(part.component.kind, Kind::AzureSql | Kind::AzurePostgres)
                && part.pattern != Pattern::BackupRestore
                && part.regions.len() > 1
        };
        let mut template = Template { parameters: vec![ROLES], ..Template::default() };
        for part in self.parts.iter().filter(linked) {
            let id = part.id.as_str();
            let writer = format!("parameters('roles').writers['{id}']");
            let partner = format!("[if(equals({writer}, '{}'), '{}', '{}')]", part.home, part.regions[1], part.home);
            let (fragment, comments) = match part.component.kind {
                Kind::AzureSql => (
                    include_str!("failover-group.json"),
                    "Policy Manual: Lifeboat decides, not the provider after hours. The group can only be written on its primary, hence on the server of the region that writes now.",
                ),
                _ => (
                    include_str!("virtual-endpoint.json"),
                    "The names that stay when the writer moves. They are managed on the primary only, hence on the server of the region that writes now.",
                ),
            };
            let nested = Nested {
                name: &format!("{}-{id}", self.app()),
                comments,
                group: &format!("[format('{}-{{0}}', {writer})]", self.app()),
                parameters: &[("writer", "string", &format!("[{writer}]")), ("partner", "string", &partner)],
                resources: vec![fill(fragment, &[("id", id), ("app", self.app())])],
                depends: &[],
            };
            template.resources.push(nested.render());
        }
        (!template.resources.is_empty()).then(|| template.render())
    }
}
