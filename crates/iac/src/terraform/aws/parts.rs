//! The components of the AWS root module: a module call per region, and what of them is global.

use std::time::Duration;

use lifeboat_model::app::{Kind, Pattern, RegionRole, Replication};

use super::{Root, provider, short_name, statements, value_of};
use crate::design::{Part, Site};
use crate::fargate::Task;
use crate::hcl::{Body, object, quote};
use crate::permissions;
use crate::versions::{AURORA_POSTGRESQL, POSTGRESQL};

/// Any moment of the last days can be restored: long enough for a mistake that is found after a weekend.
const BACKUP_DAYS: u32 = 14;

/// What runs a component whose file names no instance.
pub(super) fn default_instance(kind: Kind) -> &'static str {
    match kind {
        Kind::AuroraGlobal => "db.r7g.large",
        Kind::Rds => "db.m7g.large",
        Kind::Asg => "m7g.large",
        Kind::Eks => "m7g.xlarge",
        _ => "",
    }
}

/// Storage in GiB, at least what RDS makes.
pub(super) fn storage_gib(part: &Part) -> u64 {
    part.component.size.storage.map_or(100, |bytes| bytes.div_ceil(1 << 30)).max(20)
}

impl Root<'_> {
    pub(super) fn part(&self, part: &Part) -> Body {
        let mut file = Body::default();
        match part.component.kind {
            Kind::AuroraGlobal => self.aurora(&mut file, part),
            Kind::Rds => self.rds(&mut file, part),
            Kind::Dynamodb => self.dynamodb(&mut file, part),
            Kind::S3 => self.s3(&mut file, part),
            _ => self.compute(&mut file, part),
        }
        file
    }

    /// What Lifeboat reads back of a component.
    pub(super) fn output(&self, part: &Part) -> String {
        let per_region = |field: &str| {
            object(|map| {
                for site in self.sites_of(part) {
                    map.attribute(site.key(), self.member(part, site, field));
                }
            })
        };
        let one = |name: &str, value: String| {
            object(|map| {
                map.attribute(name, value);
            })
        };
        match part.component.kind {
            Kind::AuroraGlobal => object(|map| {
                map.attribute("global_cluster", format!("aws_rds_global_cluster.{}.id", part.key()));
                map.attribute("endpoint", format!("aws_rds_global_cluster.{}.endpoint", part.key()));
                map.attribute("clusters", per_region("arn"));
            }),
            Kind::Rds => object(|map| {
                map.attribute("instances", per_region("arn")).attribute("endpoints", per_region("endpoint"));
            }),
            Kind::Dynamodb => one("table", format!("module.{}.name", part.key())),
            Kind::S3 => one("buckets", per_region("bucket")),
            Kind::Asg => one("groups", per_region("group")),
            _ => one("clusters", per_region("cluster")),
        }
    }

    fn sites_of(&self, part: &Part) -> Vec<&Site<'_>> {
        part.regions.iter().filter_map(|id| self.design.site(id)).collect()
    }

    /// An output of the module in a region, as an expression; null where the module is not there yet.
    fn member(&self, part: &Part, site: &Site, field: &str) -> String {
        let module = format!("module.{}_{}", part.key(), site.key());
        if is_made_later(part, site) { format!("one({module}[*].{field})") } else { format!("{module}.{field}") }
    }

    /// The head of a module call: source, provider, and the name.
    fn head(&self, body: &mut Body, module: &str, part: &Part, site: &Site) {
        body.attribute("source", quote(format!("./modules/{module}"))).attribute("providers", provider(site)).blank();
        body.attribute("name", quote(self.design.full_name(part, site.id)));
    }

    fn aurora(&self, file: &mut Body, part: &Part) {
        let key = part.key();
        let home = part.home;
        file.block(format!("resource \"aws_rds_global_cluster\" {}", quote(&key)), |body| {
            body.attribute("provider", format!("aws.{}", crate::design::identifier(home.as_str()))).blank();
            body.attribute("global_cluster_identifier", quote(format!("{}-{}", self.name(), part.id)));
            body.attribute("engine", quote("aurora-postgresql")).attribute("engine_version", quote(AURORA_POSTGRESQL));
            body.attribute("database_name", quote(key.replace('-', "_"))).attribute("storage_encrypted", "true");
            body.attribute("deletion_protection", "true").blank();
            body.block("lifecycle", |lifecycle| {
                lifecycle.comment("AWS upgrades minor versions that it no longer supports.");
                lifecycle.attribute("ignore_changes", "[engine_version]");
            });
        });
        for site in self.sites_of(part) {
            file.blank().block(format!("module {}", quote(format!("{key}_{}", site.key()))), |body| {
                self.head(body, "aurora-global", part, site);
                body.attribute("app", quote(self.name())).attribute("partition", "local.partition");
                body.attribute("network", format!("module.network_{}", site.key()))
                    .attribute("clients", "local.clients");
                body.attribute("global_cluster", format!("aws_rds_global_cluster.{key}.id"));
                body.attribute("engine_version", quote(AURORA_POSTGRESQL)).attribute("database", quote(&key));
                body.attribute("port", part.port.to_string()).blank();
                body.attribute("created_as_writer", (site.id == home).to_string());
                if site.id == home {
                    body.attribute(
                        "master_password",
                        format!("lookup(var.database_passwords, {}, null)", quote(part.id.as_str())),
                    );
                } else if part.pattern == Pattern::BackupRestore {
                    body.attribute("exists", restored_here(part, site));
                }
                let size = if site.id == home { "full" } else { "standby" };
                body.attribute("instances", size_of(part, site, size));
                body.attribute("instance_class", size_of(part, site, "instance"));
                if part.pattern == Pattern::ActiveActive {
                    body.attribute("write_forwarding", "true");
                }
                self.database_tail(body, site);
                body.attribute("lag_alarm_milliseconds", part.lag_alarm().as_millis().to_string());
                body.attribute("alarm_actions", alarm_topics(site));
                if site.id != home && part.pattern != Pattern::BackupRestore {
                    let first = format!("module.{key}_{}", crate::design::identifier(home.as_str()));
                    body.blank().comment("A global cluster takes its first member before any other.");
                    body.attribute("depends_on", format!("[{first}]"));
                }
            });
            self.adopt(file, part, site, &format!("module.{key}_{}.aws_rds_cluster.this[0]", site.key()));
        }
    }

    fn rds(&self, file: &mut Body, part: &Part) {
        let key = part.key();
        if part.pattern != Pattern::BackupRestore {
            file.block("locals", |body| {
                body.comment(
                    "What a new replica would follow. By name, for a reference would order the regions for good.",
                );
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
            file.blank();
        }
        for (index, site) in self.sites_of(part).into_iter().enumerate() {
            let is_home = site.id == part.home;
            if index > 0 {
                file.blank();
            }
            file.block(format!("module {}", quote(format!("{key}_{}", site.key()))), |body| {
                self.head(body, "rds", part, site);
                body.attribute("app", quote(self.name()));
                body.attribute("network", format!("module.network_{}", site.key()))
                    .attribute("clients", "local.clients");
                body.attribute("engine_version", quote(POSTGRESQL)).attribute("database", quote(&key));
                body.attribute("port", part.port.to_string()).blank();
                if part.pattern == Pattern::BackupRestore {
                    if !is_home {
                        body.attribute("exists", restored_here(part, site));
                    }
                } else {
                    let writer = format!("local.writers[{}]", quote(part.id.as_str()));
                    body.attribute(
                        "source_arn",
                        format!("{writer} == {} ? null : local.{key}_arns[{writer}]", quote(site.id.as_str())),
                    );
                }
                body.attribute(
                    "master_password",
                    format!("lookup(var.database_passwords, {}, null)", quote(part.id.as_str())),
                );
                body.attribute("instance_class", size_of(part, site, "instance"));
                body.attribute("storage_gib", size_of(part, site, "storage"));
                self.database_tail(body, site);
                body.attribute("lag_alarm_seconds", part.lag_alarm().as_secs().to_string());
                body.attribute("alarm_actions", alarm_topics(site));
                if !is_home && part.pattern != Pattern::BackupRestore {
                    let first = format!("module.{key}_{}", crate::design::identifier(part.home.as_str()));
                    body.blank().comment("On the first apply the writer comes before its replicas.");
                    body.attribute("depends_on", format!("[{first}]"));
                }
            });
            self.adopt(file, part, site, &format!("module.{key}_{}.aws_db_instance.this[0]", site.key()));
        }
    }

    fn database_tail(&self, body: &mut Body, site: &Site) {
        body.blank().attribute("kms_key_arn", format!("local.key_arns[{}]", quote(site.key())));
        body.attribute("backup_days", BACKUP_DAYS.to_string());
    }

    /// A database that Lifeboat restored from a backup exists before Terraform knows of it.
    fn adopt(&self, file: &mut Body, part: &Part, site: &Site, address: &str) {
        if part.pattern != Pattern::BackupRestore || site.id == part.home {
            return;
        }
        let name = self.design.full_name(part, site.id);
        file.blank().comment("After a failover the restored database is there already: the next apply adopts it.");
        file.block("import", |body| {
            body.attribute("for_each", format!("{} ? toset([{}]) : toset([])", restored_here(part, site), quote(name)));
            body.attribute("to", address).attribute("id", "each.key");
        });
    }

    fn dynamodb(&self, file: &mut Body, part: &Part) {
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

    fn s3(&self, file: &mut Body, part: &Part) {
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

    fn compute(&self, file: &mut Body, part: &Part) {
        let kind = part.component.kind;
        let module = super::module_of(kind).unwrap_or_default();
        let home = self.design.site(part.home);
        for (index, site) in self.sites_of(part).into_iter().enumerate() {
            if index > 0 {
                file.blank();
            }
            file.block(format!("module {}", quote(format!("{}_{}", part.key(), site.key()))), |body| {
                body.attribute("source", quote(format!("./modules/{module}")));
                if is_made_later(part, site) {
                    body.attribute("count", format!("{} ? 1 : 0", serves(part, site)));
                }
                body.attribute("providers", provider(site)).blank();
                body.attribute("name", quote(self.design.full_name(part, site.id)));
                if kind != Kind::Eks {
                    body.attribute("short_name", quote(short_name(self.design, part, site)));
                }
                body.attribute("partition", "local.partition");
                body.attribute("network", format!("module.network_{}", site.key()));
                body.attribute("kms_key_arn", format!("local.key_arns[{}]", quote(site.key())));
                if kind != Kind::Eks {
                    body.attribute("certificate_arn", format!("var.certificate_arns[{}]", quote(site.id.as_str())));
                }
                body.blank().attribute("serving", serves(part, site));
                body.attribute("full_size", size_of(part, site, "full"));
                body.attribute("standby_size", size_of(part, site, "standby"));
                if kind != Kind::Ecs {
                    body.attribute("max_size", size_of(part, site, "most"));
                    body.attribute("instance_type", size_of(part, site, "instance"));
                }
                body.blank();
                match kind {
                    Kind::Asg => {
                        body.attribute("image", quote(part.image()));
                        if let Some(home) = home {
                            body.attribute("image_region", value_of(home, "place"));
                        }
                        body.attribute("copy_image", (site.id != part.home).to_string());
                        body.attribute("component", quote(part.id.as_str()));
                    }
                    Kind::Ecs => {
                        body.attribute("region", value_of(site, "place"));
                        body.attribute("image", quote(part.image_in(self.design, site)));
                        let task = Task::of(part.component.size.instance.as_deref());
                        body.attribute("architecture", quote(task.architecture));
                        body.attribute("cpu", task.cpu.to_string()).attribute("memory", task.memory.to_string());
                    }
                    _ => {
                        body.attribute("kubernetes_version", "var.kubernetes_version");
                        body.attribute("clients", "local.clients").attribute("admin_arns", "var.cluster_admin_arns");
                        body.attribute("namespace", quote(self.name()));
                        let allowed = permissions::of_pods(self.design, part, site);
                        if !allowed.is_empty() {
                            body.attribute("statements", statements(&allowed));
                        }
                    }
                }
                if kind != Kind::Eks {
                    body.attribute("environment", self.environment(part, site));
                    body.attribute("port", part.port.to_string());
                    body.attribute("protocol", quote(if part.ends_tls() { "HTTPS" } else { "HTTP" }));
                    body.attribute("check_path", quote(&part.check_path));
                    body.blank().attribute("public", self.design.is_public(part).to_string());
                    body.attribute("clients", "local.clients");
                    let allowed = permissions::of_application(self.design, part, site);
                    if !allowed.is_empty() {
                        body.attribute("statements", statements(&allowed));
                    }
                }
            });
        }
    }

    /// How an application finds the databases that it needs: by names that stay the same whoever writes.
    fn environment(&self, part: &Part, site: &Site) -> String {
        let needs: Vec<&Part> = part.component.needs.iter().filter_map(|id| self.design.part(id)).collect();
        object(|map| {
            map.attribute("REGION", quote(site.id.as_str()));
            for database in needs {
                let name = database.key().to_uppercase();
                match database.component.kind {
                    Kind::AuroraGlobal => {
                        map.attribute(
                            format!("{name}_HOST"),
                            format!("aws_rds_global_cluster.{}.endpoint", database.key()),
                        );
                        map.attribute(format!("{name}_USER"), quote(part.key()));
                    }
                    Kind::Rds if database.pattern != Pattern::BackupRestore => {
                        // libpq asks them in turn and takes the one that may write.
                        let hosts: Vec<String> = self
                            .sites_of(database)
                            .iter()
                            .map(|site| format!("${{module.{}_{}.endpoint}}", database.key(), site.key()))
                            .collect();
                        map.attribute(format!("{name}_HOST"), format!("\"{}\"", hosts.join(",")));
                        map.attribute(format!("{name}_TARGET_SESSION_ATTRS"), quote("read-write"));
                        map.attribute(format!("{name}_USER"), quote(part.key()));
                    }
                    Kind::Dynamodb => {
                        map.attribute(format!("{name}_TABLE"), format!("module.{}.name", database.key()));
                    }
                    Kind::S3 => {
                        map.attribute(
                            format!("{name}_BUCKET"),
                            format!("module.{}_{}.bucket", database.key(), site.key()),
                        );
                    }
                    _ => {}
                }
            }
        })
    }
}

fn size_of(part: &Part, site: &Site, field: &str) -> String {
    format!("{}[{}].{field}", value_of(site, "sizes"), quote(part.id.as_str()))
}

/// Whether compute is made in the region only when it is to serve there.
pub(super) fn is_made_later(part: &Part, site: &Site) -> bool {
    !part.component.kind.is_database() && part.pattern == Pattern::BackupRestore && site.id != part.home
}

/// Whether the region serves, as an expression.
pub(super) fn serves(part: &Part, site: &Site) -> String {
    format!("contains(local.serving[{}], {})", quote(part.id.as_str()), quote(site.id.as_str()))
}

/// Whether the database has been restored in the region, as an expression.
fn restored_here(part: &Part, site: &Site) -> String {
    format!("local.writers[{}] == {}", quote(part.id.as_str()), quote(site.id.as_str()))
}

pub(super) fn alarm_topics(site: &Site) -> String {
    format!("lookup(var.alarm_topics, {}, [])", quote(site.id.as_str()))
}
