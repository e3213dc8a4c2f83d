//! What a person does on Azure whichever tool is used: before the first apply, after it, and when the app's file has changed.

use std::fmt::Write as _;

use lifeboat_model::app::{Kind, Provider};

use crate::arm::{UNIQUE, needed};
use crate::design::{Design, short};
use crate::members;
use crate::tree::Tree;

#[path = "backups.rs"]
mod backups;
#[path = "removal.rs"]
mod removal;
#[path = "restore.rs"]
mod restore;

/// The section, where there is anything for Azure.
pub(super) fn section(design: &Design, tree: &Tree) -> Option<String> {
    let has = |folder: &str| tree.files.keys().any(|path| path.starts_with(folder));
    let (terraform, arm) = (has("terraform/azure/"), has("arm/"));
    if !terraform && !arm {
        return None;
    }
    let mut out = BEFORE.replace("@{digits}", &UNIQUE.to_string());
    out += &images(design);
    out += &logins(design);
    if design.parts_of(Kind::Vmss).next().is_some() {
        out += MACHINES;
    }
    if design.parts_of(Kind::Aks).next().is_some() {
        out += PODS;
    }
    if design.sites_of(Provider::Azure).any(|site| !members::runs_in_cluster(design, site)) {
        out += CHANGED;
        nodes_anew(&mut out, terraform, arm);
    }
    out += &backups::section(design, terraform, arm);
    out += &restore::section(design, arm);
    out += &removal::section(design, terraform, arm);
    Some(out.replace("@{app}", design.name()))
}

/// A scale set boots from a copy of its image in its own region, or not at all.
fn images(design: &Design) -> String {
    let mut lines = String::new();
    for part in design.parts_of(Kind::Vmss) {
        let names: Vec<&str> = part.image().split('/').collect();
        // /subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/galleries/G/images/I/versions/V
        let [
            "",
            "subscriptions",
            subscription,
            _,
            group,
            _,
            _,
            "galleries",
            gallery,
            "images",
            image,
            "versions",
            version,
        ] = names.as_slice()
        else {
            continue;
        };
        let version = format!(
            "--subscription {subscription} --resource-group {group} --gallery-name {gallery} --gallery-image-definition {image} \\\n      \
             --gallery-image-version {version}"
        );
        let _ =
            writeln!(lines, "    az sig image-version show {version} --query 'publishingProfile.targetRegions[].name'");
        for site in part.regions.iter().filter_map(|id| design.site(id)) {
            let _ = writeln!(
                lines,
                "    az sig image-version update {version} --add publishingProfile.targetRegions name={}",
                site.place()
            );
        }
    }
    if lines.is_empty() {
        return lines;
    }
    format!(
        "\nA scale set boots from a copy of its image in its own region: without one it starts nothing there, and a copy is made while the first region still answers.\n\
         Have each version replicated before the file names it; leave out the regions that the first line lists:\n\n{lines}"
    )
}

fn nodes_anew(out: &mut String, terraform: bool, arm: bool) {
    let nodes = [(terraform, "@{app}-lifeboat-REGION"), (arm, "@{app}-REGION-lifeboat")];
    for name in nodes.into_iter().filter_map(|(is_there, name)| is_there.then_some(name)) {
        let more = if name.ends_with("REGION") { "" } else { "    # of ARM" };
        let more = if terraform && arm { more } else { "" };
        let _ = writeln!(out, "    az vmss update-instances -g @{{app}}-REGION -n {name} --instance-ids '*'{more}");
        let _ = writeln!(out, "    az vmss reimage -g @{{app}}-REGION -n {name}");
    }
}

const BEFORE: &str = "
## Azure, whichever tool

Before the first apply, once for a subscription. Whoever applies is its Owner, or Contributor and User Access Administrator: a role is defined, roles are
assigned, databases are locked.

    az account set --subscription SUBSCRIPTION
    az feature register --namespace Microsoft.Compute --name EncryptionAtHost
    az feature show --namespace Microsoft.Compute --name EncryptionAtHost --query properties.state    # until it says Registered
    az provider register --namespace Microsoft.Compute

Have an Entra group of administrators: its members write certificates into the vaults (`lifeboat/hand-out.sh`, from one of the administrators' addresses), and
let applications into databases. Names that nobody else in the world may have end in the first @{digits} digits of the subscription's id, UNIQUE below.
`lifeboat/azure-role.json` is the nodes' role once more, for nodes that you start yourself: put the subscription's id in place of `<subscription>`.
";

const MACHINES: &str = "
An application on a scale set reads `/etc/default/COMPONENT`: where what it needs is (`ORDERS_HOST`, `CARTS_URL`, …), by names that follow the writer, and
`AZURE_CLIENT_ID`, under which it asks for tokens. A change rolls through the machines a fifth at a time.
";

const PODS: &str = "
The clusters are private and ask Entra: the administrators are let in (`az aks get-credentials -g @{app}-REGION -n @{app}-CLUSTER-REGION`, then `kubelogin
convert-kubeconfig -l azurecli`), from inside the networks. With Terraform `cluster_administrator_ids` lets others in.

Pods log in as their cluster's identity when they carry the label `azure.workload.identity/use: \"true\"`, as those generated here do that need a database of Azure, and the
service account says which one it is, by its client id (`terraform output lifeboat`, or `az identity show`):

    kubectl annotate serviceaccount default --namespace @{app} azure.workload.identity/client-id=CLIENT_ID
";

const CHANGED: &str = "
A node's machine boots with the app's file. An apply changes what it boots with and leaves the machine alone, for the state store lies on its disk: have the machines
made anew one region after the other, the next when `lifeboat status` shows the last one back.

";

/// SQL servers and PostgreSQL know their users themselves: no apply can make them.
fn logins(design: &Design) -> String {
    let mut statements = String::new();
    for database in &design.parts {
        let say: fn(&str, &str) -> String = match database.component.kind {
            Kind::AzureSql => sql_user,
            Kind::AzurePostgres => postgres_user,
            _ => continue,
        };
        let mut users = String::new();
        for part in design.parts.iter().filter(|part| matches!(part.component.kind, Kind::Vmss | Kind::Aks)) {
            let sites = design.sites_of(Provider::Azure).filter(|site| part.regions.contains(&site.id));
            for site in sites.filter(|site| needed(design, part, site).iter().any(|one| one.id == database.id)) {
                let name = short(&design.full_name(part, site.id), 63 - UNIQUE - 1);
                let _ = writeln!(users, "    {}", say(database.id.as_str(), &format!("{name}-UNIQUE")));
            }
        }
        if !users.is_empty() {
            // A database of SQL servers has the component's name.
            let (inside, first) = if database.component.kind == Kind::AzureSql {
                (database.id.as_str(), String::new())
            } else {
                (
                    "postgres",
                    format!("    CREATE DATABASE \"{}\"; -- Azure Backup leaves out `postgres`\n", database.id),
                )
            };
            let (id, home) = (database.id, database.home);
            let _ = write!(statements, "    -- {id}: in {inside}, on the server in {home}\n{first}{users}");
        }
    }
    if statements.is_empty() {
        return statements;
    }
    format!(
        "\nSQL servers and PostgreSQL know their users themselves. After the first apply, as a member of that group, from inside the network of the region that\n\
         writes (grant less where less will do):\n\n{statements}"
    )
}

fn sql_user(_: &str, name: &str) -> String {
    format!("CREATE USER [{name}] FROM EXTERNAL PROVIDER; ALTER ROLE db_owner ADD MEMBER [{name}];")
}

fn postgres_user(database: &str, name: &str) -> String {
    format!(
        "SELECT pgaadauth_create_principal('{name}', false, false); GRANT ALL ON DATABASE \"{database}\" TO \"{name}\";"
    )
}
