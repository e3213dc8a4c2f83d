//! The databases of the AWS root module: a module call per region, what of them is global, and the adoption of what was made in a
//! failover.

use std::time::Duration;

use lifeboat_model::app::{Pattern, RegionRole, Replication};

use super::parts::{alarm_topics, size_of};
use super::{Root, provider, value_of};
use crate::aws_backups;
use crate::design::{Part, Site, identifier};
use crate::hcl::{Body, object, quote};
use crate::versions::{AURORA_POSTGRESQL, POSTGRESQL};

/// Any moment of the last days can be restored: long enough for a mistake that is found after a weekend.
const BACKUP_DAYS: u32 = 14;

impl Root<'_> {
    pub(super) fn aurora(&self, file: &mut Body, part: &Part) {
        let key = part.key();
        let is_global = !aws_backups::are_all(part);
        if is_global {
            self.global_cluster(file, part);
        }
        for (index, site) in self.sites_of(part).into_iter().enumerate() {
            let is_home = site.id == part.home;
            if is_global || index > 0 {
                file.blank();
            }
            file.block(format!("module {}", quote(format!("{key}_{}", site.key()))), |body| {
                self.head(body, "aurora-global", part, site);
                body.attribute("app", quote(self.name())).attribute("partition", "local.partition");
                body.attribute("network", format!("module.network_{}", site.key()))
                    .attribute("clients", "local.clients");
                if is_global {
                    body.attribute("global_cluster", format!("aws_rds_global_cluster.{key}.id"));
                } else {
                    body.attribute("hourly_copies", "true");
                }
                body.attribute("engine_version", quote(AURORA_POSTGRESQL)).attribute("database", quote(&key));
                body.attribute("port", part.port.to_string()).blank();
                if is_global {
                    // Should a member be lost for good, it is made anew as what its region is by then.
                    body.attribute("created_as_writer", writes(part, site));
                    body.attribute("master_password", password(part));
                    body.attribute(
                        "instances",
                        format!(
                            "{} ? {} : {}",
                            writes(part, site),
                            size_of(part, site, "full"),
                            size_of(part, site, "standby")
                        ),
                    );
                } else {
                    body.attribute("created_as_writer", is_home.to_string());
                    if is_home {
                        body.attribute("master_password", password(part));
                    } else {
                        body.attribute("exists", writes(part, site));
                    }
                    body.attribute("instances", size_of(part, site, "full"));
                }
                body.attribute("instance_class", size_of(part, site, "instance"));
                if part.pattern == Pattern::ActiveActive {
                    body.attribute("write_forwarding", "true");
                }
                self.database_tail(body, site);
                body.attribute("lag_alarm_milliseconds", part.lag_alarm().as_millis().to_string());
                body.attribute("alarm_actions", alarm_topics(site));
                if !is_home && is_global {
                    let first = format!("module.{key}_{}", identifier(part.home.as_str()));
                    body.blank().comment("A global cluster takes its first member before any other.");
                    body.attribute("after", format!("{first}.ready"));
                }
            });
            if !is_home {
                self.adopt(file, part, site, &format!("module.{key}_{}.aws_rds_cluster.this[0]", site.key()));
                self.adopt_instances(file, part, site);
            }
        }
    }

    fn global_cluster(&self, file: &mut Body, part: &Part) {
        let key = part.key();
        file.comment(
            "It is of no region, but every call about it is made in one, and its writer's is where AWS makes the first member. While that region\n\
             is dark a plan leaves it alone with -refresh=false; who writes is moved by `aws rds failover-global-cluster` in the region that takes\n\
             over, never from here.",
        );
        file.block(format!("resource \"aws_rds_global_cluster\" {}", quote(&key)), |body| {
            body.attribute("provider", format!("aws.{}", identifier(part.home.as_str()))).blank();
            body.attribute("global_cluster_identifier", quote(format!("{}-{}", self.name(), part.id)));
            body.attribute("engine", quote("aurora-postgresql")).attribute("engine_version", quote(AURORA_POSTGRESQL));
            body.attribute("database_name", quote(key.replace('-', "_"))).attribute("storage_encrypted", "true");
            body.attribute("deletion_protection", "true").blank();
            body.block("lifecycle", |lifecycle| {
                lifecycle.comment("AWS upgrades minor versions that it no longer supports.");
                lifecycle.attribute("ignore_changes", "[engine_version]");
            });
        });
    }

    pub(super) fn rds(&self, file: &mut Body, part: &Part) {
        let key = part.key();
        file.block("locals", |body| {
            body.comment("What a new replica, or a copy of backups, would follow. By name, for a reference would order the regions for good.");
            body.attribute(
                format!("{key}_arns"),
                object(|map| {
                    for site in self.sites_of(part) {
                        let name = self.design.full_name(part, site.id);
                        let arn = format!(
                            "\"arn:${{local.partition}}:rds:${{{}}}:${{local.account}}:db:{name}\"",
                            value_of(site, "place")
                        );
                        map.attribute(quote(site.id.as_str()), arn);
                    }
                }),
            );
        });
        for site in self.sites_of(part) {
            let is_home = site.id == part.home;
            file.blank().block(format!("module {}", quote(format!("{key}_{}", site.key()))), |body| {
                self.head(body, "rds", part, site);
                body.attribute("app", quote(self.name()));
                body.attribute("network", format!("module.network_{}", site.key()))
                    .attribute("clients", "local.clients");
                body.attribute("engine_version", quote(POSTGRESQL)).attribute("database", quote(&key));
                body.attribute("port", part.port.to_string()).blank();
                let writer = format!("local.writers[{}]", quote(part.id.as_str()));
                let of_writer = format!("local.{key}_arns[{writer}]");
                if aws_backups::are_all(part) {
                    if !is_home {
                        body.attribute("exists", writes(part, site));
                    }
                    // A region that has restored goes on keeping what it restored from.
                    let otherwise = if is_home {
                        "null".to_owned()
                    } else {
                        format!("local.{key}_arns[{}]", quote(part.home.as_str()))
                    };
                    body.attribute("backups_of", format!("{} ? {otherwise} : {of_writer}", writes(part, site)));
                } else {
                    body.attribute("source_arn", format!("{} ? null : {of_writer}", writes(part, site)));
                }
                body.attribute("master_password", password(part));
                body.attribute("instance_class", size_of(part, site, "instance"));
                body.attribute("storage_gib", size_of(part, site, "storage"));
                self.database_tail(body, site);
                body.attribute("lag_alarm_seconds", part.lag_alarm().as_secs().to_string());
                body.attribute("alarm_actions", alarm_topics(site));
                if !is_home {
                    let first = format!("module.{key}_{}", identifier(part.home.as_str()));
                    body.blank().comment("On the first apply the writer comes before what follows it.");
                    body.attribute("after", format!("{first}.arn"));
                }
            });
            if !is_home {
                self.adopt(file, part, site, &format!("module.{key}_{}.aws_db_instance.this[0]", site.key()));
            }
        }
    }

    fn database_tail(&self, body: &mut Body, site: &Site) {
        body.blank().attribute("kms_key_arn", format!("local.key_arns[{}]", quote(site.key())));
        body.attribute("backup_days", BACKUP_DAYS.to_string());
    }

    /// A database that was restored from a backup exists before Terraform knows of it.
    fn adopt(&self, file: &mut Body, part: &Part, site: &Site, address: &str) {
        if !aws_backups::are_all(part) {
            return;
        }
        let name = self.design.full_name(part, site.id);
        file.blank().comment("After a failover the restored database is there already: the next apply adopts it.");
        file.block("import", |body| {
            body.attribute("for_each", format!("{} ? toset([{}]) : toset([])", writes(part, site), quote(name)));
            body.attribute("to", address).attribute("id", "each.key");
        });
    }

    /// So do instances that the new writer was given before Terraform came.
    fn adopt_instances(&self, file: &mut Body, part: &Part, site: &Site) {
        let name = self.design.full_name(part, site.id);
        let label = format!("{}_{}", part.key(), site.key());
        file.blank().comment(
            "Instances that a failover has added are there already: the next apply adopts those of these names.",
        );
        file.block(format!("data \"aws_db_instances\" {}", quote(&label)), |body| {
            body.attribute("provider", format!("aws.{}", site.key()));
            body.attribute("count", format!("{} ? 1 : 0", writes(part, site))).blank();
            body.block("filter", |filter| {
                filter.attribute("name", quote("db-cluster-id")).attribute("values", format!("[{}]", quote(&name)));
            });
        });
        file.blank().block("import", |body| {
            let found = format!("flatten(data.aws_db_instances.{label}[*].instance_identifiers)");
            body.attribute(
                "for_each",
                format!(
                    "{{\n  for index in range({}) : \"{name}-${{index + 1}}\" => index\n  if contains({found}, \"{name}-${{index + 1}}\")\n}}",
                    size_of(part, site, "full")
                ),
            );
            body.attribute("to", format!("module.{label}.aws_rds_cluster_instance.this[each.value]"));
            body.attribute("id", "each.key");
        });
    }

    pub(super) fn dynamodb(&self, file: &mut Body, part: &Part) {
        let home = self.design.site(part.home);
        let strong = part.component.standbys.values().any(|replication| *replication == Replication::Synchronous)
            || part.component.objectives.rpo == Some(Duration::ZERO);
        let witness = self.sites.iter().find(|site| site.region.role == RegionRole::Witness);
        // Strong consistency takes three regions exactly, one of which may be a witness.
        let voters = part.regions.len() + usize::from(witness.is_some());
        let strong = strong && (part.regions.len() == 3 || (part.regions.len() == 2 && voters == 3));
        file.block(format!("module {}", quote(part.key())), |body| {
            body.attribute("source", quote("./modules/dynamodb"));
            if let Some(home) = home {
                body.attribute("providers", provider(home));
            }
            body.blank().attribute("app", quote(self.name()));
            body.attribute("name", quote(format!("{}-{}", self.name(), part.id)));
            if let Some(home) = home {
                body.attribute("kms_key_arn", format!("local.key_arns[{}]", quote(home.key())));
            }
            body.attribute("strong", strong.to_string());
            if let Some(witness) = witness.filter(|_| strong && part.regions.len() == 2) {
                body.attribute("witness", value_of(witness, "place"));
            }
            body.blank().attribute(
                "replicas",
                object(|map| {
                    for site in self.sites_of(part).into_iter().skip(1) {
                        map.attribute(
                            format!("({})", value_of(site, "place")),
                            format!("local.key_arns[{}]", quote(site.key())),
                        );
                    }
                }),
            );
            body.blank().attribute("lag_alarm_milliseconds", part.lag_alarm().as_millis().to_string());
            body.attribute(
                "alarm_actions",
                object(|map| {
                    for site in self.sites_of(part) {
                        map.attribute(format!("({})", value_of(site, "place")), alarm_topics(site));
                    }
                }),
            );
        });
    }

    pub(super) fn s3(&self, file: &mut Body, part: &Part) {
        let key = part.key();
        for (index, site) in self.sites_of(part).into_iter().enumerate() {
            if index > 0 {
                file.blank();
            }
            file.block(format!("module {}", quote(format!("{key}_{}", site.key()))), |body| {
                body.attribute("source", quote("./modules/s3")).attribute("providers", provider(site)).blank();
                body.attribute("app", quote(self.name()));
                // It ends in the account, for a bucket's name is unique in the world.
                let name = self.design.full_name(part, site.id);
                body.attribute("name", format!("\"{name}-${{local.account}}\""));
                body.attribute("kms_key_arn", format!("local.key_arns[{}]", quote(site.key())));
                body.attribute(
                    "replicate_to",
                    object(|map| {
                        for other in self.sites_of(part).into_iter().filter(|other| other.id != site.id) {
                            map.attribute(quote(other.id.as_str()), format!("module.{key}_{}.target", other.key()));
                        }
                    }),
                );
                body.blank().attribute("lag_alarm_seconds", part.lag_alarm().as_secs().to_string());
                body.attribute("alarm_actions", alarm_topics(site));
            });
        }
    }
}

/// Whether the database writes in the region, as an expression.
fn writes(part: &Part, site: &Site) -> String {
    format!("local.writers[{}] == {}", quote(part.id.as_str()), quote(site.id.as_str()))
}

fn password(part: &Part) -> String {
    format!("var.database_passwords[{}]", quote(part.id.as_str()))
}
