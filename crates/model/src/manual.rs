//! What people do where Lifeboat has no driver: which components they move, and by which commands of the provider. A plan, the status and the
//! README of generated code say the same, for all of them ask here.

use crate::app::{App, Component, Kind, Pattern};
use crate::compute::Instances;
use crate::names::{UNIQUE, plain, short};
use crate::{ComponentId, RegionId};

/// Who moves a component to another region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MovedBy {
    /// The nodes: they have a driver for it.
    Nodes,
    /// People, by the provider's own commands; the nodes say when, and keep who writes.
    People,
    /// Nobody: every region writes, or has all of it running.
    Nobody,
}

impl Component {
    /// Who moves it.
    pub fn moved_by(&self) -> MovedBy {
        match self.kind {
            Kind::Postgres | Kind::Process | Kind::Deployment => MovedBy::Nodes,
            Kind::Dynamodb | Kind::S3 => MovedBy::Nobody,
            Kind::Cosmosdb if self.pattern == Some(Pattern::ActiveActive) => MovedBy::Nobody,
            Kind::AuroraGlobal
            | Kind::Rds
            | Kind::AzureSql
            | Kind::Cosmosdb
            | Kind::AzurePostgres
            | Kind::AzureStorage => MovedBy::People,
            Kind::Asg | Kind::Ecs | Kind::Eks | Kind::Vmss | Kind::Aks => {
                let Instances { full, standby } = Instances::of(self);
                if full == standby { MovedBy::Nobody } else { MovedBy::People }
            }
        }
    }

    /// Whether it is a database that one region writes at a time, so that a failover has something to move.
    pub fn has_one_writer(&self) -> bool {
        self.kind.is_database() && self.moved_by() != MovedBy::Nobody
    }
}

/// How a database's writer is moved to `to` by hand: lines for a shell, of which those that begin with `#` are for the reader. `planned`:
/// the region of the present writer, `from`, is there, and nothing is to be lost. Empty where nobody has to move anything.
pub fn move_writer(app: &App, id: &ComponentId, planned: bool, from: Option<&RegionId>, to: &RegionId) -> Vec<String> {
    let Some(component) = app.components.get(id).filter(|component| component.has_one_writer()) else {
        return Vec::new();
    };
    let names = Names { app, id };
    if component.pattern == Some(Pattern::BackupRestore) && component.moved_by() == MovedBy::People {
        return names.restore(component.kind, to);
    }
    match component.kind {
        Kind::AuroraGlobal => names.aurora(component, planned, from, to),
        Kind::Rds => names.rds(planned, from, to),
        Kind::AzureSql => names.azure_sql(planned, from, to),
        Kind::Cosmosdb => names.cosmos(component, planned, from, to),
        Kind::AzurePostgres => names.azure_postgres(planned, to),
        Kind::AzureStorage => names.azure_storage(planned, to),
        Kind::Postgres
        | Kind::Dynamodb
        | Kind::S3
        | Kind::Process
        | Kind::Asg
        | Kind::Ecs
        | Kind::Eks
        | Kind::Vmss
        | Kind::Aks
        | Kind::Deployment => Vec::new(),
    }
}

/// How compute is made as large in a region as clients who are served there need it. Empty where nodes do it, or nothing is to be done.
pub fn scale(app: &App, id: &ComponentId, to: &RegionId) -> Vec<String> {
    let Some(component) = app.components.get(id) else { return Vec::new() };
    if component.kind.is_database() || component.moved_by() != MovedBy::People {
        return Vec::new();
    }
    let names = Names { app, id };
    let (count, place, name) = (Instances::of(component).full, names.place(to), names.full(to));
    if component.pattern == Some(Pattern::BackupRestore) {
        return vec![format!(
            "# {id} is made in {to} when it serves there: `lifeboat roles`, and apply what it has written"
        )];
    }
    match component.kind {
        Kind::Asg => vec![format!(
            "aws autoscaling update-auto-scaling-group --region {place} --auto-scaling-group-name {name} --min-size {count} \
             --desired-capacity {count}"
        )],
        Kind::Ecs => {
            vec![format!(
                "aws ecs update-service --region {place} --cluster {name} --service {name} --desired-count {count}"
            )]
        }
        Kind::Eks => vec![format!(
            "aws eks update-nodegroup-config --region {place} --cluster-name {name} --nodegroup-name main --scaling-config \
             minSize={count},desiredSize={count}"
        )],
        // Autoscale undoes a size that is outside its bounds, so these come first.
        Kind::Vmss => {
            let group = names.group(to);
            vec![
                format!("az monitor autoscale update --resource-group {group} --name {name} --min-count {count}"),
                format!("az vmss scale --resource-group {group} --name {name} --new-capacity {count}"),
            ]
        }
        Kind::Aks => vec![format!(
            "az aks nodepool update --resource-group {} --cluster-name {name} --name apps --update-cluster-autoscaler \
             --min-count {count} --max-count {}",
            names.group(to),
            count.saturating_mul(2).max(2)
        )],
        Kind::Postgres
        | Kind::AuroraGlobal
        | Kind::Rds
        | Kind::Dynamodb
        | Kind::S3
        | Kind::AzureSql
        | Kind::Cosmosdb
        | Kind::AzurePostgres
        | Kind::AzureStorage
        | Kind::Process
        | Kind::Deployment => Vec::new(),
    }
}

/// The command by which a person says that a database is written in another region now.
pub fn done(id: &ComponentId, to: &RegionId) -> String {
    format!("lifeboat done {id} --writer {to}")
}

/// Names as generated code gives them.
struct Names<'a> {
    app: &'a App,
    id: &'a ComponentId,
}

/// The digits in which names on Azure end that nobody else may have, put into a variable of the shell.
fn unique() -> String {
    format!("UNIQUE=$(az account show --query id --output tsv | cut -c1-{UNIQUE})")
}

impl Names<'_> {
    /// The provider's own name of a region.
    fn place(&self, region: &RegionId) -> &str {
        self.app.regions.get(region).map_or("", |region| region.place.name.as_str())
    }

    fn of_app(&self) -> String {
        format!("{}-{}", self.app.name, self.id)
    }

    fn full(&self, region: &RegionId) -> String {
        format!("{}-{region}", self.of_app())
    }

    fn group(&self, region: &RegionId) -> String {
        format!("{}-{region}", self.app.name)
    }

    /// With `$UNIQUE` at its end; `most` characters in all.
    fn unique(name: &str, most: usize) -> String {
        format!("{}-$UNIQUE", short(name, most - UNIQUE - 1))
    }

    /// Of several ways that depend on what the copies are, none is right for all: the person is told where they are.
    fn restore(&self, kind: Kind, to: &RegionId) -> Vec<String> {
        vec![
            format!("# restore the newest copy of {} that is in {to} ({})", self.id, self.place(to)),
            match kind {
                Kind::AuroraGlobal | Kind::Rds => {
                    format!("# as {}, the name by which the next apply adopts it", self.full(to))
                }
                Kind::AzureSql | Kind::AzurePostgres => format!(
                    "# as {}, at which applications look: `Restoring on Azure` in the README of the generated tree",
                    Self::unique(&self.full(to), 63)
                ),
                _ => "# as the provider names it, and tell the application where it is".to_owned(),
            },
        ]
    }

    fn aurora(&self, component: &Component, planned: bool, from: Option<&RegionId>, to: &RegionId) -> Vec<String> {
        let (place, global, cluster) = (self.place(to), self.of_app(), self.full(to));
        let mut lines = Vec::new();
        if component.pattern == Some(Pattern::PilotLight) {
            let class = component.size.instance.as_deref().unwrap_or("db.r7g.large");
            lines.push(format!("# {to} keeps data without instances, and nothing is promoted that has none"));
            lines.push(format!(
                "aws rds create-db-instance --region {place} --db-cluster-identifier {cluster} --db-instance-identifier {cluster}-1 \
                 --db-instance-class {class} --engine aurora-postgresql"
            ));
            lines.push(format!(
                "aws rds wait db-instance-available --region {place} --db-instance-identifier {cluster}-1"
            ));
        }
        let target = format!(
            "--global-cluster-identifier {global} --target-db-cluster-identifier \"$(aws rds describe-db-clusters --region {place} \
             --db-cluster-identifier {cluster} --query 'DBClusters[0].DBClusterArn' --output text)\""
        );
        match from.filter(|_| planned) {
            // A switchover is asked of the region that writes, a failover of the one that takes over.
            Some(from) => {
                lines.push(format!("aws rds switchover-global-cluster --region {} {target}", self.place(from)));
            }
            None => {
                lines.push(format!("# what had not reached {to} is lost"));
                lines.push(format!("aws rds failover-global-cluster --region {place} {target} --allow-data-loss"));
            }
        }
        lines.push(format!("# it is done when this names the cluster of {to}:"));
        lines.push(format!(
            "aws rds describe-global-clusters --region {place} --global-cluster-identifier {global} --query \
             'GlobalClusters[0].GlobalClusterMembers[?IsWriter].DBClusterArn' --output text"
        ));
        lines
    }

    fn rds(&self, planned: bool, from: Option<&RegionId>, to: &RegionId) -> Vec<String> {
        let (place, replica) = (self.place(to), self.full(to));
        let mut lines = vec![match (planned, from) {
            (true, Some(from)) => format!(
                "# stop what writes in {from}; go on when the replica's ReplicaLag is 0, for what has not reached it is lost"
            ),
            _ => format!("# what had not reached {to} is lost; a promotion cannot be undone"),
        }];
        lines.push(format!("aws rds promote-read-replica --region {place} --db-instance-identifier {replica}"));
        lines.push(format!("aws rds wait db-instance-available --region {place} --db-instance-identifier {replica}"));
        if let Some(from) = from {
            let stop = format!(
                "aws rds stop-db-instance --region {} --db-instance-identifier {}",
                self.place(from),
                self.full(from)
            );
            // Nothing else keeps the old server from accepting writes.
            if planned {
                lines.push(stop);
            } else {
                lines.push(format!("# when {from} answers again, before anything writes there: {stop}"));
            }
        }
        lines
    }

    fn azure_sql(&self, planned: bool, from: Option<&RegionId>, to: &RegionId) -> Vec<String> {
        let loss = if planned { "" } else { " --allow-data-loss" };
        let mut lines = Vec::new();
        if !planned {
            let from = from.map_or("the old writer", |region| region.as_str());
            lines.push(format!(
                "# what had not reached {to} is lost; while {from} still answers, try without --allow-data-loss first"
            ));
        }
        lines.push(unique());
        lines.push(format!(
            "az sql failover-group set-primary --name {} --resource-group {} --server {}{loss}",
            Self::unique(&self.of_app(), 63),
            self.group(to),
            Self::unique(&self.full(to), 63)
        ));
        lines
    }

    fn cosmos(&self, component: &Component, planned: bool, from: Option<&RegionId>, to: &RegionId) -> Vec<String> {
        let (name, group) = (Self::unique(&self.of_app(), 44), format!("{}-global", self.app.name));
        let mut lines = vec![unique()];
        if planned {
            let others = component.writer.iter().chain(component.standbys.keys()).filter(|region| *region != to);
            let order: Vec<String> = std::iter::once(to)
                .chain(others)
                .enumerate()
                .map(|(priority, region)| format!("{}={priority}", self.place(region)))
                .collect();
            lines.push(format!(
                "az cosmosdb failover-priority-change --resource-group {group} --name {name} --failover-policies {}",
                order.join(" ")
            ));
            return lines;
        }
        // In an outage a change of priorities fails, or leaves the account inconsistent: the lost region is taken offline, and the next by
        // priority writes.
        let from = from.map_or("", |from| self.place(from));
        lines.insert(
            0,
            format!(
                "# the next region by priority writes, and what had not reached it is lost; never change priorities in an outage. It takes \
                 the provider days to bring {from} back"
            ),
        );
        lines.push(format!(
            "REGION=$(az account list-locations --query \"[?name=='{from}'].displayName\" --output tsv)"
        ));
        lines.push(format!(
            "ACCOUNT=$(az cosmosdb show --resource-group {group} --name {name} --query id --output tsv)"
        ));
        lines.push(
            "az rest --method post --url \"$ACCOUNT/offlineRegion?api-version=2023-11-15\" --body \"{\\\"region\\\": \\\"$REGION\\\"}\"".into(),
        );
        lines
    }

    fn azure_postgres(&self, planned: bool, to: &RegionId) -> Vec<String> {
        let option = if planned { "planned" } else { "forced" };
        let mut lines = Vec::new();
        if !planned {
            lines.push(format!("# what had not reached {to} is lost"));
        }
        lines.push(unique());
        lines.push(format!(
            "az postgres flexible-server replica promote --resource-group {} --name {} --promote-mode switchover --promote-option \
             {option} --yes",
            self.group(to),
            Self::unique(&self.full(to), 63)
        ));
        lines
    }

    fn azure_storage(&self, planned: bool, to: &RegionId) -> Vec<String> {
        let name = plain(&self.of_app(), 24 - UNIQUE);
        let (kind, what) = if planned {
            (" --failover-type Planned", format!("# to Azure's own paired region, whether or not that is {to}"))
        } else {
            (
                "",
                format!(
                    "# to Azure's own paired region, whether or not that is {to}; what is newer than its last sync time is lost"
                ),
            )
        };
        vec![
            what,
            unique(),
            format!(
                "az storage account failover --resource-group {}-global --name {name}$UNIQUE{kind} --yes",
                self.app.name
            ),
        ]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may end by a panic")]
mod tests {
    use super::*;

    fn app() -> App {
        let text = "
app: shop
regions:
  a: {place: aws/eu-north-1}
  b: {place: aws/eu-central-1}
  x: {place: azure/swedencentral}
  y: {place: azure/germanywestcentral}
components:
  orders: {kind: aurora-global, pattern: warm-standby, writer: a, standbys: {b: asynchronous}}
  light: {kind: aurora-global, pattern: pilot-light, writer: a, standbys: {b: asynchronous}}
  ledger: {kind: rds, pattern: warm-standby, writer: a, standbys: {b: asynchronous}}
  archive: {kind: rds, pattern: backup-restore, writer: a, standbys: {b: asynchronous}}
  pictures: {kind: s3, pattern: warm-standby, writer: a, standbys: {b: asynchronous}}
  carts: {kind: dynamodb, pattern: active-active, writer: a, standbys: {b: asynchronous}}
  seats: {kind: azure-sql, pattern: warm-standby, writer: x, standbys: {y: asynchronous}}
  items: {kind: cosmosdb, pattern: warm-standby, writer: x, standbys: {y: asynchronous}}
  likes: {kind: cosmosdb, pattern: active-active, writer: x, standbys: {y: asynchronous}}
  books: {kind: azure-postgres, pattern: warm-standby, writer: x, standbys: {y: asynchronous}}
  files: {kind: azure-storage, pattern: warm-standby, writer: x, standbys: {y: asynchronous}}
  web: {kind: asg, pattern: warm-standby, size: {count: 6, image: ami-0}, regions: [a, b]}
  all: {kind: ecs, pattern: active-active, size: {count: 6, image: i}, regions: [a, b]}
  api: {kind: ecs, pattern: pilot-light, size: {count: 6, image: i}, regions: [a, b]}
  machines: {kind: eks, pattern: pilot-light, size: {count: 3}, regions: [a, b]}
  front: {kind: vmss, pattern: warm-standby, size: {count: 4, image: i}, regions: [x, y]}
  pods: {kind: aks, pattern: warm-standby, size: {count: 4}, regions: [x, y]}
";
        crate::parse(text).unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    fn moved(id: &str, planned: bool) -> String {
        let app = app();
        let azure = app.components[id].writer == Some("x".into());
        let (from, to) = if azure { ("x", "y") } else { ("a", "b") };
        move_writer(&app, &id.into(), planned, Some(&from.into()), &to.into()).join("\n")
    }

    #[test]
    fn each_kind_that_people_move_has_its_provider_s_command_for_either_case() {
        for (id, unplanned, planned) in [
            (
                "orders",
                "aws rds failover-global-cluster --region eu-central-1 --global-cluster-identifier shop-orders --target-db-cluster-identifier",
                "aws rds switchover-global-cluster --region eu-north-1 --global-cluster-identifier shop-orders ",
            ),
            (
                "ledger",
                "aws rds promote-read-replica --region eu-central-1 --db-instance-identifier shop-ledger-b",
                "# stop what writes in a; go on when the replica's ReplicaLag is 0",
            ),
            (
                "seats",
                "az sql failover-group set-primary --name shop-seats-$UNIQUE --resource-group shop-y --server shop-seats-y-$UNIQUE --allow-data-loss",
                "az sql failover-group set-primary --name shop-seats-$UNIQUE --resource-group shop-y --server shop-seats-y-$UNIQUE",
            ),
            (
                "items",
                "az rest --method post --url \"$ACCOUNT/offlineRegion",
                "az cosmosdb failover-priority-change --resource-group shop-global --name shop-items-$UNIQUE --failover-policies germanywestcentral=0 swedencentral=1",
            ),
            ("books", "--promote-mode switchover --promote-option forced --yes", "--promote-option planned --yes"),
            (
                "files",
                "az storage account failover --resource-group shop-global --name shopfiles$UNIQUE --yes",
                "--failover-type Planned --yes",
            ),
        ] {
            let (lost, kept) = (moved(id, false), moved(id, true));
            assert!(lost.contains(unplanned), "{id}: {lost}");
            assert!(kept.contains(planned), "{id}: {kept}");
            assert!(!kept.contains("--allow-data-loss") && !kept.contains("forced"), "{id}: {kept}");
            assert!(lost.contains("is lost"), "{id} says that something may be lost: {lost}");
        }
        assert!(moved("orders", false).contains("--allow-data-loss"));
        assert!(moved("light", false).contains("aws rds create-db-instance --region eu-central-1"));
        assert!(moved("ledger", false).ends_with("--region eu-north-1 --db-instance-identifier shop-ledger-a"));
        assert!(moved("archive", false).contains("as shop-archive-b"));
    }

    #[test]
    fn what_every_region_writes_and_what_nodes_move_is_nobody_s_work() {
        for id in ["pictures", "carts", "likes", "web"] {
            assert_eq!(moved(id, false), "", "{id}");
        }
        let app = app();
        assert_eq!(app.components["likes"].moved_by(), MovedBy::Nobody);
        assert_eq!(app.components["items"].moved_by(), MovedBy::People);
    }

    #[test]
    fn compute_is_made_as_large_as_its_clients_need_it() {
        let app = app();
        let scaled = |id: &str, to: &str| scale(&app, &id.into(), &to.into()).join("\n");
        assert_eq!(
            scaled("web", "b"),
            "aws autoscaling update-auto-scaling-group --region eu-central-1 --auto-scaling-group-name shop-web-b --min-size 6 --desired-capacity 6"
        );
        assert_eq!(scaled("all", "b"), "", "all of it runs there");
        assert!(scaled("api", "b").starts_with("aws ecs update-service --region eu-central-1 --cluster shop-api-b"));
        assert!(scaled("machines", "b").ends_with("minSize=3,desiredSize=3"));
        assert!(
            scaled("front", "y")
                .ends_with("az vmss scale --resource-group shop-y --name shop-front-y --new-capacity 4")
        );
        assert!(scaled("pods", "y").contains("--min-count 4 --max-count 8"));
        assert_eq!(scaled("orders", "b"), "");
    }
}
