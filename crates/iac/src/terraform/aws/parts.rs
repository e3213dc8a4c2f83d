//! The components of the AWS root module: a module call per region, and what of them is global.

use lifeboat_model::app::{Kind, Pattern};
use lifeboat_model::fargate::Task;

use super::{Root, provider, short_name, statements, value_of};
use crate::aws_backups;
use crate::design::{Part, Site};
use crate::hcl::{Body, object, quote};
use crate::hosts;
use crate::permissions;

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
            Kind::AuroraGlobal if aws_backups::are_all(part) => one("clusters", per_region("arn")),
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

    pub(super) fn sites_of(&self, part: &Part) -> Vec<&Site<'_>> {
        part.regions.iter().filter_map(|id| self.design.site(id)).collect()
    }

    /// An output of the module in a region, as an expression; null where the module is not there yet.
    pub(super) fn member(&self, part: &Part, site: &Site, field: &str) -> String {
        let module = format!("module.{}_{}", part.key(), site.key());
        if is_made_later(part, site) { format!("one({module}[*].{field})") } else { format!("{module}.{field}") }
    }

    /// The head of a module call: source, provider, and the name.
    pub(super) fn head(&self, body: &mut Body, module: &str, part: &Part, site: &Site) {
        body.attribute("source", quote(format!("./modules/{module}"))).attribute("providers", provider(site)).blank();
        body.attribute("name", quote(self.design.full_name(part, site.id)));
    }

    fn compute(&self, file: &mut Body, part: &Part) {
        let kind = part.component.kind;
        let module = super::module_of(kind).unwrap_or_default();
        if kind == Kind::Asg {
            self.image_copies(file, part);
        }
        for (index, site) in self.sites_of(part).into_iter().enumerate() {
            if index > 0 || kind == Kind::Asg {
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
                    body.attribute("certificate_arn", self.certificate(part, site));
                }
                body.blank().attribute("serving", serves(part, site));
                body.attribute("full_size", size_of(part, site, "full"));
                body.attribute("standby_size", size_of(part, site, "standby"));
                body.attribute("max_size", size_of(part, site, "most"));
                if kind != Kind::Ecs {
                    body.attribute("instance_type", size_of(part, site, "instance"));
                }
                body.blank();
                match kind {
                    Kind::Asg => {
                        body.attribute("image", format!("aws_ami_copy.{}_{}.id", part.key(), site.key()));
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

    /// The machines' image in every region, also where nothing runs yet: it cannot be fetched from a region that is lost.
    fn image_copies(&self, file: &mut Body, part: &Part) {
        let Some(home) = self.design.site(part.home) else { return };
        file.comment("An image exists in one region only, and a region that is lost takes it along. Every region launches its own copy, encrypted with its key.");
        for (index, site) in self.sites_of(part).into_iter().enumerate() {
            if index > 0 {
                file.blank();
            }
            let label = format!("{}_{}", part.key(), site.key());
            file.block(format!("resource \"aws_ami_copy\" {}", quote(label)), |body| {
                body.attribute("provider", format!("aws.{}", site.key())).blank();
                let name = self.design.full_name(part, site.id);
                body.attribute("name", quote(format!("{name}-{}", part.image())));
                body.attribute("source_ami_id", quote(part.image()));
                body.attribute("source_ami_region", value_of(home, "place"));
                body.attribute("encrypted", "true");
                body.attribute("kms_key_id", format!("local.key_arns[{}]", quote(site.key()))).blank();
                body.comment("Copying takes minutes in which the old image has to be there to launch from.");
                body.block("lifecycle", |lifecycle| {
                    lifecycle.attribute("create_before_destroy", "true");
                });
            });
        }
    }

    /// Of a component without a route its own, if there is one: it is reached by another name.
    fn certificate(&self, part: &Part, site: &Site) -> String {
        let of_region = format!("var.certificate_arns[{}]", quote(site.id.as_str()));
        if self.design.is_public(part) {
            return of_region;
        }
        format!("lookup(var.internal_certificate_arns, {}, {of_region})", quote(format!("{}/{}", part.id, site.id)))
    }

    /// How an application finds what it needs: by names that stay the same whoever writes and serves.
    fn environment(&self, part: &Part, site: &Site) -> String {
        let needs: Vec<&Part> = part.component.needs.iter().filter_map(|id| self.design.part(id)).collect();
        object(|map| {
            map.attribute("REGION", quote(site.id.as_str()));
            for needed in needs {
                let name = needed.key().to_uppercase();
                match needed.component.kind {
                    Kind::AuroraGlobal | Kind::Rds if aws_backups::are_all(needed) => {
                        // One at a time, each with a name of its own: whoever serves is told by the apply that adopts it.
                        let endpoints = object(|endpoints| {
                            for site in self.sites_of(needed) {
                                let endpoint = format!("module.{}_{}.endpoint", needed.key(), site.key());
                                endpoints.attribute(quote(site.id.as_str()), endpoint);
                            }
                        });
                        let writer = format!("local.writers[{}]", quote(needed.id.as_str()));
                        map.attribute(format!("{name}_HOST"), format!("{endpoints}[{writer}]"));
                        map.attribute(format!("{name}_USER"), quote(part.key()));
                    }
                    Kind::AuroraGlobal => {
                        map.attribute(
                            format!("{name}_HOST"),
                            format!("aws_rds_global_cluster.{}.endpoint", needed.key()),
                        );
                        map.attribute(format!("{name}_USER"), quote(part.key()));
                    }
                    Kind::Rds => {
                        // libpq asks them in turn and takes the one that may write.
                        let hosts: Vec<String> = self
                            .sites_of(needed)
                            .iter()
                            .map(|site| format!("${{module.{}_{}.endpoint}}", needed.key(), site.key()))
                            .collect();
                        map.attribute(format!("{name}_HOST"), format!("\"{}\"", hosts.join(",")));
                        map.attribute(format!("{name}_TARGET_SESSION_ATTRS"), quote("read-write"));
                        map.attribute(format!("{name}_USER"), quote(part.key()));
                    }
                    Kind::Dynamodb => {
                        map.attribute(format!("{name}_TABLE"), format!("module.{}.name", needed.key()));
                    }
                    Kind::S3 => {
                        map.attribute(
                            format!("{name}_BUCKET"),
                            format!("module.{}_{}.bucket", needed.key(), site.key()),
                        );
                    }
                    _ => {
                        if let Some(host) = hosts::of(self.design, needed, site) {
                            map.attribute(format!("{name}_HOST"), quote(host));
                        }
                    }
                }
            }
        })
    }
}

pub(super) fn size_of(part: &Part, site: &Site, field: &str) -> String {
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

pub(super) fn alarm_topics(site: &Site) -> String {
    format!("lookup(var.alarm_topics, {}, [])", quote(site.id.as_str()))
}
