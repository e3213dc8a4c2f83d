//! Under whom applications log in to their databases: an identity per compute component and region, and the roles that what it needs
//! takes. They are there before the component, which may be made later. SQL servers and PostgreSQL know their users themselves.

use lifeboat_model::app::Kind;

use super::{Root, is_made_later, unique};
use crate::arm::needed;
use crate::design::{Part, Site};
use crate::hcl::{Body, object, quote};

/// Cosmos DB's own role to read and write items, in every account.
const COSMOS_CONTRIBUTOR: &str = "00000000-0000-0000-0000-000000000002";

impl Root<'_> {
    pub(super) fn identities(&self, file: &mut Body, part: &Part) {
        for (index, site) in self.sites_of(part).into_iter().enumerate() {
            if index > 0 {
                file.blank();
            }
            let label = format!("{}_{}", part.key(), site.key());
            file.block(format!("resource \"azurerm_user_assigned_identity\" {}", quote(&label)), |body| {
                body.attribute("name", unique(&self.design.full_name(part, site.id), 63));
                body.attribute("resource_group_name", super::group(site))
                    .attribute("location", super::value_of(site, "place"));
            });
            for database in needed(self.design, part, site) {
                self.role_on(file, part, site, database, &label);
            }
            if part.component.kind == Kind::Aks {
                self.credential(file, part, site, &label);
            }
        }
    }

    fn role_on(&self, file: &mut Body, part: &Part, site: &Site, database: &Part, identity: &str) {
        let label = quote(format!("{identity}_{}", database.key()));
        let principal = format!("azurerm_user_assigned_identity.{identity}.principal_id");
        let account = format!("module.{}", database.key());
        match database.component.kind {
            Kind::Cosmosdb => {
                file.blank().block(format!("resource \"azurerm_cosmosdb_sql_role_assignment\" {label}"), |body| {
                    let name = format!("lifeboat/{}/{}/{}/{}", self.app(), part.id, site.id, database.id);
                    body.attribute("name", format!("uuidv5(\"url\", {})", quote(name)));
                    body.attribute("resource_group_name", "azurerm_resource_group.global.name");
                    body.attribute("account_name", format!("{account}.name"));
                    body.attribute(
                        "role_definition_id",
                        format!("\"${{{account}.id}}/sqlRoleDefinitions/{COSMOS_CONTRIBUTOR}\""),
                    );
                    body.attribute("principal_id", principal).attribute("scope", format!("{account}.id"));
                });
            }
            Kind::AzureStorage => {
                file.blank().block(format!("resource \"azurerm_role_assignment\" {label}"), |body| {
                    body.attribute("scope", format!("{account}.id"));
                    body.attribute("role_definition_name", quote("Storage Blob Data Contributor"));
                    body.attribute("principal_id", principal).attribute("principal_type", quote("ServicePrincipal"));
                });
            }
            _ => {}
        }
    }

    /// The service account of the app's namespace is that identity.
    fn credential(&self, file: &mut Body, part: &Part, site: &Site, identity: &str) {
        let later = is_made_later(part, site);
        let module = format!("module.{identity}{}", if later { "[0]" } else { "" });
        file.blank().block(format!("resource \"azurerm_federated_identity_credential\" {}", quote(identity)), |body| {
            if later {
                body.attribute("count", format!("length(module.{identity})")).blank();
            }
            body.attribute("name", quote(self.app()));
            body.attribute("resource_group_name", super::group(site));
            body.attribute("parent_id", format!("azurerm_user_assigned_identity.{identity}.id"));
            body.attribute("audience", "[\"api://AzureADTokenExchange\"]");
            body.attribute("issuer", format!("{module}.issuer"));
            body.attribute("subject", quote(format!("system:serviceaccount:{}:default", self.app())));
        });
    }

    /// For the output: what an application, or a service account, names itself by.
    pub(super) fn identity_ids(&self, part: &Part) -> String {
        object(|map| {
            for site in self.sites_of(part) {
                let identity = format!("azurerm_user_assigned_identity.{}_{}", part.key(), site.key());
                map.attribute(site.key(), format!("{{ name = {identity}.name, client_id = {identity}.client_id }}"));
            }
        })
    }
}
