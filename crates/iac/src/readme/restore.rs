//! How a database that has nothing but backups elsewhere is made again in another region: commands with the names that applications look for
//! and the next deployment takes over.

use std::fmt::Write as _;

use lifeboat_model::app::{Kind, Pattern};

use crate::arm::UNIQUE;
use crate::design::{Design, Part, Site, short};

/// The section, where there is such a database.
pub(super) fn section(design: &Design, arm: bool) -> String {
    let mut out = String::new();
    let alone = |part: &&Part| part.pattern == Pattern::BackupRestore;
    for part in design.parts.iter().filter(alone) {
        let (Some(home), true) =
            (design.site(part.home), matches!(part.component.kind, Kind::AzureSql | Kind::AzurePostgres))
        else {
            continue;
        };
        for to in part.regions.iter().filter_map(|id| design.site(id)).filter(|site| site.id != part.home) {
            let _ = write!(out, "\n{} in {}, when {} is lost:\n\n", part.id, to.id, home.id);
            out += &match part.component.kind {
                Kind::AzureSql => sql(design, part, home, to),
                _ => postgres(design, part, home, to),
            };
            let _ = writeln!(out, "    lifeboat done {} --writer {}", part.id, to.id);
        }
    }
    if out.is_empty() {
        return out;
    }
    let exist = if design.parts_of(Kind::AzurePostgres).next().is_some() { ", with `databasesExist` true" } else { "" };
    let after = if arm {
        format!(
            "With ARM deploy `regional.json` again in that region{exist}: it takes over the server and the database by their names. Not before\nthey are there, or it makes empty ones. "
        )
    } else {
        String::new()
    };
    format!(
        "\n## Restoring on Azure\n\nThe names are those at which applications look once the role files say who writes.\n\n    SUBSCRIPTION=$(az account show --query id --output tsv); \
         UNIQUE=$(echo $SUBSCRIPTION | cut -c1-{UNIQUE})\n{out}\nThen `lifeboat roles`, and apply or deploy: applications are told the new name by that. {after}Terraform leaves a restored database outside its \
         state.\nUsers of the database come along with it.\n"
    )
}

fn server(design: &Design, part: &Part, site: &Site) -> String {
    format!("{}-$UNIQUE", short(&design.full_name(part, site.id), 63 - UNIQUE - 1))
}

fn sql(design: &Design, part: &Part, home: &Site, to: &Site) -> String {
    let (app, id, place) = (design.name(), part.id, to.place());
    let (old, new) = (server(design, part, home), server(design, part, to));
    format!(
        "    az sql server create --resource-group {app}-{to} --name {new} --location {place} --minimal-tls-version 1.2 \\
      --enable-public-network false --enable-ad-only-auth --external-admin-principal-type Group \\
      --external-admin-name ADMINISTRATORS --external-admin-sid ADMINISTRATORS_ID
    az sql db geo-backup restore --resource-group {app}-{to} --dest-server {new} --dest-database {id} \\
      --geo-backup-id /subscriptions/$SUBSCRIPTION/resourceGroups/{app}-{home}/providers/Microsoft.Sql/servers/{old}/recoverableDatabases/{id}
    az network private-endpoint create --resource-group {app}-{to} --name {new} --location {place} --vnet-name {app}-{to} \\
      --subnet compute --connection-name server --group-id sqlServer \\
      --private-connection-resource-id /subscriptions/$SUBSCRIPTION/resourceGroups/{app}-{to}/providers/Microsoft.Sql/servers/{new}
    az network private-endpoint dns-zone-group create --resource-group {app}-{to} --endpoint-name {new} --name default --zone-name sql \\
      --private-dns-zone /subscriptions/$SUBSCRIPTION/resourceGroups/{app}-global/providers/Microsoft.Network/privateDnsZones/privatelink.database.windows.net
",
        to = to.id,
        home = home.id,
    )
}

fn postgres(design: &Design, part: &Part, home: &Site, to: &Site) -> String {
    let app = design.name();
    let pair = home.facts.and_then(|facts| facts.pair);
    let mut out = String::new();
    if pair != Some(to.place()) {
        let _ = writeln!(
            out,
            "    # Azure restores in {} only: dump there, and restore in {}",
            pair.unwrap_or("no other region, for this one has no pair"),
            to.id
        );
        return out;
    }
    format!(
        "    az postgres flexible-server geo-restore --resource-group {app}-{to} --name {new} --location {place} --yes \\
      --source-server /subscriptions/$SUBSCRIPTION/resourceGroups/{app}-{home}/providers/Microsoft.DBforPostgreSQL/flexibleServers/{old} \\
      --vnet {app}-{to} --subnet databases \\
      --private-dns-zone /subscriptions/$SUBSCRIPTION/resourceGroups/{app}-global/providers/Microsoft.Network/privateDnsZones/{app}.private.postgres.database.azure.com
",
        to = to.id,
        home = home.id,
        place = to.place(),
        new = server(design, part, to),
        old = server(design, part, home),
    )
}
