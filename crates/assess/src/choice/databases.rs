//! What databases can do: backups, standbys, several writers, each in the terms of its kind.

use lifeboat_atlas::Metric;
use lifeboat_model::app::{Kind, Pattern, Reads, WithoutStandby};
use lifeboat_model::compute::full;

use super::{Carriage, Choice, Maker, TargetRule, nothing, nothing_lost};
use crate::recovery::{StepKind, fence};
use crate::spread::Spread;
use crate::tariff::{Item, Quantities};

impl Maker<'_> {
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
            fixed: Vec::new(),
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
            standby: full(self.component),
            fixed: Vec::new(),
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
            format!(
                "assumed: {} until a server runs, then its storage read back at 100 MB/s, as a general-purpose disk gives",
                crate::recovery::seconds(start)
            ),
        )
    }

    pub fn database(&self) -> Vec<Choice> {
        let mut choices = self.of_kind();
        // In a pilot light the data are there: where the kind has no smaller standby, the standby it has.
        if !choices.iter().any(|choice| choice.pattern == Pattern::PilotLight)
            && let Some(standby) = choices.iter().find(|choice| choice.pattern == Pattern::WarmStandby)
        {
            choices.push(Choice { pattern: Pattern::PilotLight, ..standby.clone() });
        }
        choices
    }

    fn of_kind(&self) -> Vec<Choice> {
        match self.component.kind {
            Kind::Postgres => self.postgres(),
            Kind::AuroraGlobal => self.aurora(),
            Kind::Rds => vec![
                self.backups(
                    "automated backups replicated to the other region",
                    self.restore_time(1800.0),
                    Spread::assumed(150.0, 300.0, 900.0, "assumed: RDS archives its log every 5 min, and a copy to another region follows within minutes"),
                ),
                self.standby(
                    "a cross-region read replica that is promoted (irreversibly)",
                    self.published("rds-cross-region-replica-promote", Metric::Rto, ""),
                    Spread::assumed(5.0, 60.0, 600.0, "assumed: a replica follows within seconds as a rule; AWS promises no bound, and a burst of writes takes minutes"),
                ),
            ],
            Kind::Dynamodb => self.dynamodb(),
            Kind::S3 => self.s3(),
            Kind::AzureSql => self.azure_sql(),
            Kind::Cosmosdb => self.cosmosdb(),
            Kind::AzurePostgres => vec![
                Choice {
                    rule: TargetRule::AzurePair,
                    ..self.backups(
                        "geo-redundant backup, restored in the region that Azure pairs with its home",
                        Spread::assumed(
                            7200.0,
                            43_200.0,
                            64_800.0,
                            "assumed: Microsoft says a few minutes up to 12 h, by size, and the long end is taken as usual",
                        ),
                        Spread::assumed(900.0, 3600.0, 7200.0, "assumed: Microsoft says that geo-redundant backups lag by up to an hour"),
                    )
                },
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
            Spread::assumed_at(
                [base, base * 2.0, base * 6.0, base * 16.0, base * 40.0],
                format!("assumed: WAL that is still to be replayed takes several times the floor; {}", floor.source),
            )
        };
        let lag = || {
            Spread::assumed(
                0.2,
                2.0,
                10.0,
                "assumed: streaming lags by a round trip or two, and by seconds in bursts of writes",
            )
        };
        let connect = || {
            self.step(StepKind::Connect, || {
                Spread::assumed(0.1, 0.5, 2.0, "assumed: two writes to the state store, across regions")
            })
        };
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
        // With one, a writer that may not go on alone stands still while the standby's region is lost.
        let quorum = (self.component.without_standby == WithoutStandby::Stop).then(|| Choice {
            targets: 2,
            how: "two synchronous standbys, either of which confirms a commit: the loss of one stops nothing".into(),
            complexity: 5,
            ..synchronous.clone()
        });
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
                Spread::assumed(
                    180.0,
                    600.0,
                    1800.0,
                    "assumed: a machine is stopped, resized and started, each of which takes minutes at both providers",
                )
            }),
        );
        let mut choices = vec![
            self.backups(
                "base backups and archived WAL in the other region",
                self.restore_time(600.0),
                Spread::assumed(
                    30.0,
                    60.0,
                    300.0,
                    "assumed: WAL is archived every minute (`archive_timeout`), and a copy follows within seconds",
                ),
            ),
            pilot,
            asynchronous,
            synchronous,
            self.several_writers(
                "Lifeboat replicates between writers in both regions and resolves conflicts",
                Spread::assumed(
                    0.2,
                    2.0,
                    10.0,
                    "assumed: logical replication lags by a round trip or two, and by seconds in bursts of writes",
                ),
            ),
        ];
        choices.extend(quorum);
        choices
    }

    fn aurora(&self) -> Vec<Choice> {
        let failover = || self.published("aurora-global-failover", Metric::Rto, "");
        let lag = || self.published("aurora-global-failover", Metric::Rpo, "typical");
        let attach = || {
            self.step(StepKind::Attach, || {
                Spread::assumed(
                    600.0,
                    900.0,
                    2700.0,
                    "assumed: one team's report of 10 to 15 min to add an instance to a headless cluster, three times that at worst",
                )
            })
        };
        let warm = self.standby("a secondary cluster of Aurora Global Database", failover(), lag());
        let count = full(self.component);
        let mut choices = vec![
            self.backups(
                "snapshots copied to the other region every hour",
                self.restore_time(3600.0),
                Spread::assumed(
                    1800.0,
                    3600.0,
                    7200.0,
                    "assumed: a copy every hour, half of it old when the region is lost, one copy missed at worst",
                ),
            ),
            Choice {
                pattern: Pattern::PilotLight,
                how: "a headless secondary cluster: storage replicates, instances are added at failover".into(),
                standby: 0,
                per_target: self.replica(0.0),
                complexity: 2,
                ..warm.clone()
            },
        ];
        // What is generated where the file says nothing, and what the file says.
        let declared = self.component.size.standby.filter(|declared| *declared > 1);
        for standby in std::iter::once(1).chain(declared).filter(|standby| *standby < count) {
            choices.push(Choice {
                how: format!("{}, {standby} of {count} instances there, the others added at failover", warm.how),
                standby,
                per_target: self.replica(f64::from(standby) / f64::from(count)),
                ..warm.clone()
            });
        }
        for choice in choices.iter_mut().filter(|choice| choice.carriage == Carriage::Asynchronous) {
            choice.steps.insert(0, attach());
        }
        choices.push(warm);
        choices
    }

    fn dynamodb(&self) -> Vec<Choice> {
        let lag = || self.published("dynamodb-global-tables-eventual", Metric::Rpo, "");
        vec![
            self.backups(
                "backups copied to the other region every hour",
                self.restore_time(1800.0),
                Spread::assumed(
                    1800.0,
                    3600.0,
                    7200.0,
                    "assumed: a copy every hour, half of it old when the region is lost, one copy missed at worst",
                ),
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
                rule: TargetRule::StrongSet,
                complexity: 4,
                ..self.several_writers(
                    "a global table with strong consistency in three regions of one set",
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
                Spread::assumed(
                    3600.0,
                    14_400.0,
                    43_200.0,
                    "assumed: AWS Backup restores a bucket object by object, thousands a second",
                ),
                Spread::assumed(
                    1800.0,
                    3600.0,
                    7200.0,
                    "assumed: a copy every hour, half of it old when the region is lost, one copy missed at worst",
                ),
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
                "assumed: `offlineRegion` takes minutes; Microsoft says that its own failover takes up to an hour or more",
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
            // Continuous backups are restored only where the account lies already, so it has to lie there.
            Choice {
                per_target: self.replica(1.0),
                ..self.backups(
                    "continuous backup, restored into a new account in a region where this one lies too",
                    Spread::assumed(
                        14_400.0,
                        86_400.0,
                        172_800.0,
                        "assumed: the service restores into a new account by size; users report hours to a day",
                    ),
                    Spread::assumed(
                        900.0,
                        3600.0,
                        7200.0,
                        "assumed: continuous backups reach the other region within minutes, an hour in bursts of writes",
                    ),
                )
            },
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

    /// One mechanism, whatever the pattern: Azure copies the account to the paired region, and a failover of the account lets it
    /// be written there. Object replication is none for this: what it copies to may not be written until its policy is
    /// gone, and then it is another account.
    fn azure_storage(&self) -> Vec<Choice> {
        let failover = |pattern, complexity, how: &str, redundancy| Choice {
            pattern,
            rule: TargetRule::AzurePair,
            complexity,
            at_home: Quantities::default().with(redundancy, self.measure.storage_gb),
            per_target: Quantities::default(),
            ..self.standby(
                how,
                Spread::assumed(
                    1800.0,
                    3600.0,
                    7200.0,
                    "assumed: Microsoft says that an account failover takes up to an hour as a rule",
                ),
                Spread::assumed(
                    300.0,
                    900.0,
                    3600.0,
                    "assumed: Microsoft speaks of less than 15 min as a rule and promises no time for geo-replication",
                ),
            )
        };
        let dark = "geo-redundant storage and an account failover to the paired region";
        vec![
            // The first of equals: the data are there at all times.
            failover(Pattern::PilotLight, 2, dark, Item::GeoStorage),
            failover(Pattern::BackupRestore, 2, dark, Item::GeoStorage),
            failover(
                Pattern::WarmStandby,
                3,
                "geo-redundant storage that can be read in the paired region, and an account failover to it",
                Item::GeoReadable,
            ),
        ]
    }
}
