//! What is there before any region: the resource groups, the private names, and the role under which nodes work.

use lifeboat_model::app::{Kind, Provider};

use super::template::{Nested, Template};
use super::{DNS_SQL, Templates};
use crate::design::Site;
use crate::fragment::{fill, json};
use crate::{members, permissions};

impl Templates<'_> {
    /// Into the subscription.
    pub(super) fn foundation(&self) -> String {
        let all = || self.sites.iter().chain(&self.witnesses);
        let mut resources: Vec<String> =
            all().map(|site| self.group(&format!("{}-{}", self.app(), site.id), site, "")).collect();
        let outside = "What is global. Its region is one that the app's writers are not in, as far as there is one.";
        resources
            .extend(self.design.neutral(Provider::Azure).map(|site| self.group(&self.global_group(), site, outside)));
        let mut global: Vec<String> =
            self.private_zones().iter().map(|zone| fill(include_str!("zone.json"), &[("zone", zone)])).collect();
        global.extend(self.records());
        global.push(self.role_definition());
        let depends: Vec<String> = all()
            .map(|site| format!("{}-{}", self.app(), site.id))
            .chain([self.global_group()])
            .map(|group| format!("[subscriptionResourceId('Microsoft.Resources/resourceGroups', '{group}')]"))
            .collect();
        resources.push(
            Nested {
                name: &self.global_group(),
                comments: "Names that every region knows, and what the nodes may do.",
                condition: "",
                group: &self.global_group(),
                parameters: &[],
                resources: global,
                depends: &depends.iter().map(String::as_str).collect::<Vec<_>>(),
            }
            .render(),
        );
        Template { resources, ..Template::default() }.render_for_subscription()
    }

    fn group(&self, name: &str, site: &Site, comments: &str) -> String {
        let comments =
            if comments.is_empty() { String::new() } else { format!("  \"comments\": {},\n", json(comments)) };
        fill(
            include_str!("group.json"),
            &[("name", name), ("comments", &comments), ("location", site.place()), ("app", self.app())],
        )
    }

    /// Private zones, which all regions share: a name that only one region knows is lost with it.
    pub(super) fn private_zones(&self) -> Vec<String> {
        let mut zones = Vec::new();
        if self.has(Kind::AzurePostgres) {
            zones.push(self.postgres_zone());
        }
        if self.has(Kind::AzureSql) {
            zones.push(DNS_SQL.into());
        }
        if !members::named_internally(self.design, Provider::Azure).is_empty() {
            zones.push(members::internal_domain(self.design));
        }
        zones
    }

    /// The names by which the file calls the members of the state store.
    fn records(&self) -> Vec<String> {
        let zone = members::internal_domain(self.design);
        members::named_internally(self.design, Provider::Azure)
            .iter()
            .map(|(site, host)| {
                let name = host.trim_end_matches(&zone).trim_end_matches('.');
                fill(
                    include_str!("record.json"),
                    &[("zone", &zone), ("name", name), ("address", &members::private_address(site))],
                )
            })
            .collect()
    }

    fn role_definition(&self) -> String {
        let actions: Vec<String> = permissions::azure_actions(self.design).iter().map(|action| json(action)).collect();
        let scopes: Vec<String> = self
            .sites
            .iter()
            .map(|site| site.id.as_str())
            .chain(["global"])
            .map(|group| json(&format!("[format('{{0}}/resourceGroups/{}-{group}', subscription().id)]", self.app())))
            .collect();
        fill(
            include_str!("node-role.json"),
            &[
                ("role", &self.role_name()),
                ("actions", &actions.join(",\n          ")),
                ("scopes", &scopes.join(",\n      ")),
            ],
        )
    }

    fn role_name(&self) -> String {
        format!("Lifeboat node of {}", self.app())
    }

    /// The id of the nodes' role, as an expression.
    pub(super) fn node_role(&self) -> String {
        format!(
            "subscriptionResourceId('Microsoft.Authorization/roleDefinitions', guid(subscription().id, '{}'))",
            self.role_name()
        )
    }
}
