//! What each kind of component can do to survive the loss of its region: its choices, each with its pattern, the steps of
//! its recovery, its loss, and what it adds to the bill. Which one is taken is the optimiser's business.

use lifeboat_atlas::{Atlas, Grade, Metric};
use lifeboat_model::app::{Component, Kind, Pattern, Provider, Reads};
use lifeboat_model::{App, ComponentId};
use schemars::JsonSchema;
use serde::Serialize;

use crate::recovery::{History, Step, StepKind, fence, published};
use crate::spread::Spread;
use crate::tariff::{Item, Measure, Quantities};

/// How data get to the other region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Carriage {
    /// There are none to carry.
    Nothing,
    /// Copies of backups.
    Backups,
    /// A standby follows as it can.
    Asynchronous,
    /// A commit waits for the other region.
    Synchronous,
    /// Several regions write; conflicts are resolved.
    SeveralWriters,
}

impl Carriage {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing to replicate",
            Self::Backups => "backup copies",
            Self::Asynchronous => "asynchronous",
            Self::Synchronous => "synchronous",
            Self::SeveralWriters => "several writers",
        }
    }
}

/// Which target a choice can go to, beyond what holds for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetRule {
    /// Any region.
    Any,
    /// The region that Azure pairs the home with.
    AzurePair,
    /// A region near enough for commits to wait for it.
    Near,
}

/// One way to protect a component.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The pattern that this is.
    pub pattern: Pattern,
    /// How data travel.
    pub carriage: Carriage,
    /// What it is, in the provider's words.
    pub how: String,
    /// Machines that run in each target region in peace time.
    pub standby: u32,
    /// The steps after the decision and after what it needs has recovered, one after the other.
    pub steps: Vec<Step>,
    /// What is lost, in seconds of acknowledged writes.
    pub loss: Spread,
    /// Regions besides the home that it needs: one or two.
    pub targets: usize,
    /// Which regions these may be.
    pub rule: TargetRule,
    /// Added to the bill at home.
    pub at_home: Quantities,
    /// Added to the bill in each target region.
    pub per_target: Quantities,
    /// GB sent to each target a month.
    pub traffic_gb: f64,
    /// How much there is to understand and to go wrong, 1 to 5.
    pub complexity: u8,
}

impl Choice {
    /// The planned duration of its steps, in ms.
    pub fn planned_ms(&self) -> u64 {
        self.steps.iter().map(|step| step.takes.planned_ms()).sum()
    }

    /// The planned loss, in ms; it is zero only if nothing can be lost.
    pub fn planned_loss_ms(&self) -> u64 {
        if self.loss.is_never_more_than_zero() { 0 } else { self.loss.planned_ms().max(1) }
    }
}

/// Where a commit may wait for an answer: longest round trip in ms. An assumption: 50 ms a commit is what an
/// order-taking application bears; Stockholm to Frankfurt takes 23, to Ireland 40.
pub const SYNCHRONOUS_LIMIT_MS: f64 = 50.0;

/// What choices depend on besides the component.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// Facts.
    pub atlas: &'a Atlas,
    /// The app.
    pub app: &'a App,
    /// Measurements.
    pub history: &'a History,
}

/// Everything that a component could do, without regard to objectives. Never empty.
pub fn choices(setting: Setting<'_>, id: &ComponentId, component: &Component) -> Vec<Choice> {
    let maker = Maker { setting, component, measure: Measure::of(component), checks: routes(setting.app, id) };
    if component.kind.is_database() { maker.database() } else { maker.compute() }
}

/// How many routes lead to a component.
#[expect(clippy::cast_precision_loss, reason = "a few")]
fn routes(app: &App, id: &ComponentId) -> f64 {
    app.routes.values().filter(|route| route.to == *id).count() as f64
}

/// The bill at home without any protection.
pub fn alone(component: &Component) -> Quantities {
    let measure = Measure::of(component);
    let quantities = Quantities::default().with(Item::Compute, measure.compute).with(Item::Cluster, 1.0);
    let licence = if component.kind == Kind::AzureSql { measure.compute } else { 0.0 };
    if component.kind.is_database() {
        quantities.with(Item::Storage, measure.storage_gb).with(Item::Licence, licence)
    } else {
        quantities
    }
}

struct Maker<'a> {
    setting: Setting<'a>,
    component: &'a Component,
    measure: Measure,
    checks: f64,
}

impl Maker<'_> {
    fn step(&self, kind: StepKind, otherwise: impl FnOnce() -> Spread) -> Step {
        let measured = self.setting.history.step(Some(self.component.kind), kind);
        Step { kind, takes: measured.unwrap_or_else(otherwise) }
    }

    fn published(&self, mechanism: &str, metric: Metric, condition: &str) -> Spread {
        published(self.setting.atlas, mechanism, metric, condition)
            .expect("every mechanism named here has a row: the test `every_kind_has_choices` makes all of them")
    }

    /// A promised loss.
    fn bound(&self, mechanism: &str, condition: &str) -> Spread {
        self.setting
            .atlas
            .published(mechanism, Metric::Rpo)
            .filter(|row| row.condition.contains(condition))
            .find_map(Spread::bound)
            .expect("every mechanism named here has a row: the test `every_kind_has_choices` makes all of them")
    }

    // Databases.

    fn replica(&self, share: f64) -> Quantities {
        let licence = if self.component.kind == Kind::AzureSql { self.measure.compute * share } else { 0.0 };
        Quantities::default()
            .with(Item::Compute, self.measure.compute * share)
            .with(Item::Licence, licence)
            .with(Item::Storage, self.measure.storage_gb)
            .with(Item::Writes, self.replicated_writes())
    }

    /// Millions a month: Aurora bills writes of 4 KiB, DynamoDB of 1 KiB. S3 bills the GB that its time control replicates.
    fn replicated_writes(&self) -> f64 {
        let unit = match self.component.kind {
            Kind::AuroraGlobal => 4096.0,
            Kind::Dynamodb => 1024.0,
            Kind::S3 => return self.measure.writes_gb,
            _ => return 0.0,
        };
        self.measure.writes_gb * 1e9 / unit / 1e6
    }

    fn backups(&self, how: &str, restore: Spread, loss: Spread) -> Choice {
        Choice {
            pattern: Pattern::BackupRestore,
            carriage: Carriage::Backups,
            how: how.into(),
            standby: 0,
            steps: vec![self.step(StepKind::Restore, || restore)],
            loss,
            targets: 1,
            rule: TargetRule::Any,
            at_home: Quantities::default(),
            per_target: Quantities::default().with(Item::Backup, self.measure.storage_gb),
            traffic_gb: self.measure.writes_gb,
            complexity: 1,
        }
    }

    fn standby(&self, how: &str, promote: Spread, loss: Spread) -> Choice {
        Choice {
            pattern: Pattern::WarmStandby,
            carriage: Carriage::Asynchronous,
            how: how.into(),
            standby: self.component.size.count.unwrap_or(1),
            steps: vec![self.step(StepKind::Promote, || promote)],
            loss,
            targets: 1,
            rule: TargetRule::Any,
            at_home: Quantities::default(),
            per_target: self.replica(1.0),
            traffic_gb: self.measure.writes_gb,
            complexity: 3,
        }
    }

    fn several_writers(&self, how: &str, loss: Spread) -> Choice {
        Choice {
            pattern: Pattern::ActiveActive,
            carriage: Carriage::SeveralWriters,
            steps: vec![self.step(StepKind::Promote, nothing)],
            complexity: 5,
            ..self.standby(how, nothing(), loss)
        }
    }

    /// Restoring takes longer for more data.
    fn restore_time(&self, start: f64) -> Spread {
        let copy = self.measure.storage_gb * 10.0;
        Spread::assumed(
            start + copy,
            (start + copy) * 2.0,
            (start + copy) * 4.0,
            format!("assumed: {} to start, then 100 MB/s", crate::recovery::seconds(start)),
        )
    }

    fn database(&self) -> Vec<Choice> {
        match self.component.kind {
            Kind::Postgres => self.postgres(),
            Kind::AuroraGlobal => self.aurora(),
            Kind::Rds => vec![
                self.backups(
                    "automated backups replicated to the other region",
                    self.restore_time(1800.0),
                    Spread::assumed(150.0, 300.0, 900.0, "assumed: log backups every 5 min, as RDS keeps them"),
                ),
                self.standby(
                    "a cross-region read replica that is promoted (irreversibly)",
                    self.published("rds-cross-region-replica-promote", Metric::Rto, ""),
                    Spread::assumed(5.0, 60.0, 600.0, "assumed: AWS bounds the replica's lag by nothing"),
                ),
            ],
            Kind::Dynamodb => self.dynamodb(),
            Kind::S3 => self.s3(),
            Kind::AzureSql => self.azure_sql(),
            Kind::Cosmosdb => self.cosmosdb(),
            Kind::AzurePostgres => vec![
                self.backups(
                    "geo-redundant backup",
                    Spread::assumed(
                        7200.0,
                        43_200.0,
                        64_800.0,
                        "Microsoft: a few minutes up to 12 h, by size; usual value assumed",
                    ),
                    Spread::assumed(900.0, 3600.0, 7200.0, "assumed: geo-redundant backups lag by up to an hour"),
                ),
                self.standby(
                    "a geo-replica behind a virtual endpoint, promoted by switchover",
                    self.published("azure-postgres-geo-replica-promote", Metric::Rto, ""),
                    self.published("azure-postgres-geo-replica-promote", Metric::Rpo, ""),
                ),
            ],
            Kind::AzureStorage => self.azure_storage(),
            Kind::Process | Kind::Asg | Kind::Ecs | Kind::Eks | Kind::Vmss | Kind::Aks | Kind::Deployment => Vec::new(),
        }
    }

    fn postgres(&self) -> Vec<Choice> {
        let promote = || {
            let floor = self.published("pg-promote", Metric::Duration, "");
            let base = floor.seconds[1];
            Spread {
                seconds: [base, base * 2.0, base * 6.0, base * 16.0, base * 40.0],
                grade: Grade::Estimated,
                source: format!("{}; spread above that floor assumed", floor.source).into(),
            }
        };
        let lag = || Spread::assumed(0.2, 2.0, 10.0, "assumed: lag of streaming replication between regions");
        let connect =
            || self.step(StepKind::Connect, || Spread::assumed(0.1, 0.5, 2.0, "assumed: gate opened, roles published"));
        let fence_for = |reads| fence(self.setting.app, reads);
        let warm = self.standby("a streaming standby that is promoted", promote(), lag());
        let mut asynchronous = warm.clone();
        asynchronous.steps.insert(0, fence_for(Reads::Stale));
        asynchronous.steps.push(connect());
        let mut synchronous = Choice {
            carriage: Carriage::Synchronous,
            how: "a synchronous standby: a commit is acknowledged when both regions have it".into(),
            rule: TargetRule::Near,
            loss: nothing_lost("every acknowledged commit is on the standby"),
            complexity: 4,
            ..warm
        };
        if self.component.reads == Reads::Strict {
            synchronous.steps.insert(0, fence_for(Reads::Strict));
        }
        synchronous.steps.push(connect());
        let mut pilot = Choice {
            pattern: Pattern::PilotLight,
            how: "a streaming standby on a quarter of the machine, resized before it is promoted".into(),
            per_target: self.replica(0.25),
            complexity: 2,
            ..asynchronous.clone()
        };
        pilot.steps.insert(
            0,
            self.step(StepKind::Launch, || {
                Spread::assumed(180.0, 600.0, 1800.0, "assumed: stop, resize, start a machine")
            }),
        );
        vec![
            self.backups(
                "base backups and archived WAL in the other region",
                self.restore_time(600.0),
                Spread::assumed(30.0, 60.0, 300.0, "assumed: WAL is archived every minute"),
            ),
            pilot,
            asynchronous,
            synchronous,
            self.several_writers(
                "Lifeboat replicates between writers in both regions and resolves conflicts",
                Spread::assumed(0.2, 2.0, 10.0, "assumed: lag of logical replication between regions"),
            ),
        ]
    }

    fn aurora(&self) -> Vec<Choice> {
        let failover = || self.published("aurora-global-failover", Metric::Rto, "");
        let lag = || self.published("aurora-global-failover", Metric::Rpo, "typical");
        let mut pilot = Choice {
            pattern: Pattern::PilotLight,
            how: "a headless secondary cluster: storage replicates, an instance is added at failover".into(),
            standby: 0,
            per_target: self.replica(0.0),
            complexity: 2,
            ..self.standby("", failover(), lag())
        };
        pilot.steps.insert(
            0,
            self.step(StepKind::Attach, || {
                Spread::assumed(
                    600.0,
                    900.0,
                    2700.0,
                    "assumed: adding an instance takes 10 to 15 min (one team's estimate)",
                )
            }),
        );
        vec![
            self.backups(
                "snapshots copied to the other region every hour",
                self.restore_time(3600.0),
                Spread::assumed(1800.0, 3600.0, 7200.0, "assumed: an hourly copy"),
            ),
            pilot,
            self.standby("a secondary cluster of Aurora Global Database", failover(), lag()),
        ]
    }

    fn dynamodb(&self) -> Vec<Choice> {
        let lag = || self.published("dynamodb-global-tables-eventual", Metric::Rpo, "");
        vec![
            self.backups(
                "backups copied to the other region every hour",
                self.restore_time(1800.0),
                Spread::assumed(1800.0, 3600.0, 7200.0, "assumed: an hourly copy"),
            ),
            Choice {
                steps: vec![self.step(StepKind::Promote, nothing)],
                ..self.standby("a global table, written in one region only", nothing(), lag())
            },
            self.several_writers(
                "a global table, written everywhere; the last writer wins, conflicts are not logged",
                lag(),
            ),
            Choice {
                targets: 2,
                carriage: Carriage::Synchronous,
                rule: TargetRule::Any,
                complexity: 4,
                ..self.several_writers(
                    "a global table with strong consistency in three regions",
                    nothing_lost("multi-Region strong consistency"),
                )
            },
        ]
    }

    fn s3(&self) -> Vec<Choice> {
        let lag = || self.bound("s3-crr-rtc", "");
        vec![
            self.backups(
                "versioned objects copied by AWS Backup every hour",
                Spread::assumed(3600.0, 14_400.0, 43_200.0, "assumed: a bucket is restored object by object"),
                Spread::assumed(1800.0, 3600.0, 7200.0, "assumed: an hourly copy"),
            ),
            Choice {
                steps: vec![self.step(StepKind::Promote, nothing)],
                ..self.standby("cross-region replication with replication time control", nothing(), lag())
            },
            self.several_writers("replication in both directions; the last writer wins", lag()),
        ]
    }

    fn azure_sql(&self) -> Vec<Choice> {
        let failover = || self.published("azure-sql-manual-failover", Metric::Rto, "");
        let lag = || self.published("azure-sql-manual-failover", Metric::Rpo, "");
        vec![
            self.backups(
                "geo-restore from the geo-replicated backup",
                self.published("azure-sql-geo-restore", Metric::Rto, ""),
                self.published("azure-sql-geo-restore", Metric::Rpo, ""),
            ),
            self.standby("a failover group under the policy Manual, so that Lifeboat decides", failover(), lag()),
        ]
    }

    fn cosmosdb(&self) -> Vec<Choice> {
        let offline = || {
            Spread::assumed(
                300.0,
                900.0,
                3600.0,
                "assumed: `offlineRegion`; Microsoft's own failover takes up to an hour or more",
            )
        };
        // Multi-write throughput costs twice the single-write rate, in every region and at home too (price list: 0.016 against
        // 0.008 USD for 100 RU/s).
        let dearer = self.measure.compute;
        let multi = self.several_writers(
            "an account with several write regions; the last writer wins unless the container says otherwise",
            self.bound("cosmosdb-single-write-region", "session"),
        );
        vec![
            self.backups(
                "continuous backup, restored into a new account",
                Spread::assumed(14_400.0, 86_400.0, 172_800.0, "assumed: a restore is made by the service, by size"),
                Spread::assumed(900.0, 3600.0, 7200.0, "assumed"),
            ),
            self.standby(
                "a read region that becomes the write region",
                offline(),
                self.bound("cosmosdb-single-write-region", "session"),
            ),
            Choice {
                at_home: Quantities::default().with(Item::Compute, dearer),
                per_target: self.replica(2.0),
                ..multi
            },
            Choice {
                targets: 2,
                carriage: Carriage::Synchronous,
                rule: TargetRule::Near,
                complexity: 4,
                ..self.standby(
                    "strong consistency over three regions (with two, losing the reader stops writes)",
                    offline(),
                    self.published("cosmosdb-strong", Metric::Rpo, ""),
                )
            },
        ]
    }

    fn azure_storage(&self) -> Vec<Choice> {
        let lag = || Spread::assumed(300.0, 900.0, 3600.0, "assumed: Microsoft promises no time for geo-replication");
        vec![
            self.backups(
                "operational backup copied every hour",
                Spread::assumed(3600.0, 14_400.0, 43_200.0, "assumed: restored object by object"),
                Spread::assumed(1800.0, 3600.0, 7200.0, "assumed: an hourly copy"),
            ),
            Choice {
                rule: TargetRule::AzurePair,
                pattern: Pattern::PilotLight,
                complexity: 2,
                ..self.standby(
                    "geo-redundant storage and an account failover to the paired region",
                    Spread::assumed(1800.0, 3600.0, 7200.0, "assumed: an account failover takes up to an hour"),
                    lag(),
                )
            },
            Choice {
                steps: vec![self.step(StepKind::Promote, nothing)],
                ..self.standby("object replication to an account in the other region", nothing(), lag())
            },
        ]
    }

    // Compute.

    fn compute(&self) -> Vec<Choice> {
        let count = self.component.size.count.unwrap_or(1).max(1);
        let mut choices = vec![self.rebuilt(), self.running(Pattern::PilotLight, 0, count)];
        for standby in standby_sizes(count) {
            choices.push(self.running(Pattern::WarmStandby, standby, count));
        }
        choices.push(Choice {
            how: format!("all {count} serve in every region"),
            complexity: 4,
            ..self.running(Pattern::ActiveActive, count, count)
        });
        choices
    }

    fn rebuilt(&self) -> Choice {
        let worst = self.published("pattern-backup-restore", Metric::Rto, "");
        let build = Spread {
            seconds: [1800.0, 7200.0, 28_800.0, worst.seconds[1], worst.seconds[1] * 2.0],
            grade: Grade::Estimated,
            source: format!("assumed from what is generated; at worst {}", worst.source).into(),
        };
        Choice {
            pattern: Pattern::BackupRestore,
            carriage: Carriage::Nothing,
            how: "built from the generated infrastructure when it is needed".into(),
            standby: 0,
            steps: vec![self.step(StepKind::Build, || build)],
            loss: nothing_lost("it keeps no data"),
            targets: 1,
            rule: TargetRule::Any,
            at_home: Quantities::default(),
            per_target: Quantities::default(),
            traffic_gb: 0.0,
            complexity: 1,
        }
    }

    /// `standby` of `count` machines run in the other region.
    fn running(&self, pattern: Pattern, standby: u32, count: u32) -> Choice {
        let share = f64::from(standby) / f64::from(count);
        let missing = count.saturating_sub(standby);
        let mut steps = Vec::new();
        if missing > 0 {
            steps.push(self.step(StepKind::Launch, || self.launch(missing, count)));
        }
        steps.push(self.step(StepKind::Connect, || Spread {
            seconds: [0.02, 0.2, 2.0, 10.0, 20.0],
            ..Spread::assumed(0.2, 2.0, 10.0, "assumed: clients of databases notice dead connections and open new ones")
        }));
        let how = match standby {
            0 => format!("defined there, none running; {count} started at failover"),
            _ if missing == 0 => format!("all {count} run there, unused in peace time"),
            _ => format!("{standby} of {count} run there, the others are started at failover"),
        };
        Choice {
            pattern,
            carriage: Carriage::Nothing,
            how,
            standby,
            steps,
            loss: nothing_lost("it keeps no data"),
            targets: 1,
            rule: TargetRule::Any,
            at_home: Quantities::default().with(Item::HealthCheck, self.checks),
            per_target: Quantities::default()
                .with(Item::Compute, self.measure.compute * share)
                .with(Item::Cluster, 1.0)
                .with(Item::HealthCheck, self.checks),
            traffic_gb: 0.0,
            complexity: match pattern {
                Pattern::BackupRestore => 1,
                Pattern::PilotLight => 2,
                Pattern::WarmStandby | Pattern::ActiveActive => 3,
            },
        }
    }

    /// Starting machines: the kind's start time, then as fast as the provider launches more. What is launched during a
    /// region's loss competes with everybody else's failover: one launch in a hundred takes many times as long.
    fn launch(&self, missing: u32, count: u32) -> Spread {
        let (base, per_minute) = match self.component.kind {
            Kind::Asg => (self.published("asg-launch-to-in-service", Metric::Duration, ""), 20.0),
            Kind::Ecs if self.component.size.instance.is_none() => {
                (self.published("ecs-task-start-fargate", Metric::Duration, ""), 60.0)
            }
            Kind::Ecs => (self.published("asg-launch-to-in-service", Metric::Duration, ""), 20.0),
            Kind::Eks => (self.published("eks-node-start-karpenter", Metric::Duration, ""), 20.0),
            Kind::Vmss => (self.published("vmss-scale-out", Metric::Duration, ""), 20.0),
            Kind::Aks => (self.published("aks-node-start", Metric::Duration, ""), 20.0),
            Kind::Deployment => (self.published("eks-pod-start-existing-node", Metric::Duration, ""), 60.0),
            _ => (Spread::assumed(1.0, 5.0, 15.0, "assumed: starting a process"), 60.0),
        };
        let queue = f64::from(missing.saturating_sub(1)) / per_minute * 60.0;
        let scarcity = 1.0 + 3.0 * f64::from(missing) / f64::from(count);
        let [p0, p50, p95, p99, p100] = base.seconds.map(|seconds| seconds + queue);
        Spread {
            seconds: [p0, p50, p95, p99 * scarcity, p100 * scarcity],
            grade: base.grade,
            source: format!(
                "{}; {missing} to start at an assumed {per_minute:.0} a minute, capacity assumed to be scarce in one case in a hundred",
                base.source
            )
            .into(),
        }
    }
}

/// How many machines a warm standby may have: each number up to ten, ten steps above that.
fn standby_sizes(count: u32) -> Vec<u32> {
    let mut sizes: Vec<u32> =
        if count <= 10 { (1..=count).collect() } else { (1..=10).map(|tenth| (count * tenth).div_ceil(10)).collect() };
    sizes.dedup();
    sizes
}

fn nothing() -> Spread {
    Spread::exactly(0.0, Grade::Published, "the other region serves already")
}

fn nothing_lost(why: &str) -> Spread {
    Spread::exactly(0.0, Grade::Published, why)
}

/// Whether a kind can run at a provider at all.
pub fn runs_at(kind: Kind, provider: Provider) -> bool {
    match kind {
        Kind::Postgres | Kind::Process | Kind::Deployment => true,
        Kind::AuroraGlobal | Kind::Rds | Kind::Dynamodb | Kind::S3 | Kind::Asg | Kind::Ecs | Kind::Eks => {
            provider == Provider::Aws
        }
        Kind::AzureSql | Kind::Cosmosdb | Kind::AzurePostgres | Kind::AzureStorage | Kind::Vmss | Kind::Aks => {
            provider == Provider::Azure
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_choices() {
        let history = History::default();
        for kind in Kind::ALL {
            let text = "app: a\nfailover: {mode: approve}\nregions:\n  x: {place: aws/eu-north-1}\n  y: {place: aws/eu-west-1}\ncomponents:\n  c: {kind: rds, size: {count: 4}}\n";
            let mut app = lifeboat_model::parse(text).unwrap();
            app.components.get_mut("c").unwrap().kind = kind;
            let setting = Setting { atlas: Atlas::embedded(), app: &app, history: &history };
            let found = choices(setting, &"c".into(), &app.components["c"]);
            assert!(found.iter().any(|choice| choice.pattern == Pattern::BackupRestore), "{}", kind.as_str());
            assert!(found.len() >= 2, "{}", kind.as_str());
            for choice in found {
                assert!(choice.loss.seconds.is_sorted(), "{} {}", kind.as_str(), choice.how);
                assert!(
                    choice.steps.iter().all(|step| step.takes.seconds.is_sorted()),
                    "{} {}",
                    kind.as_str(),
                    choice.how
                );
                assert!(choice.steps.iter().all(|step| !step.takes.source.is_empty()));
            }
        }
    }

    #[test]
    fn a_large_standby_has_ten_sizes_and_a_small_one_every_size() {
        assert_eq!(standby_sizes(3), [1, 2, 3]);
        assert_eq!(standby_sizes(25), [3, 5, 8, 10, 13, 15, 18, 20, 23, 25]);
    }
}
