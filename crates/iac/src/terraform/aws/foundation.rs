//! What lies under the components in every region: networks, keys, backups.

use std::collections::BTreeSet;

use lifeboat_model::app::{Kind, Pattern, RegionRole};

use super::{KEY_POLICY_REASON, Root, is_backed_up, parts, provider, value_of};
use crate::aws_backups;
use crate::design::{Part, Site};
use crate::hcl::{Body, list, object, quote};

impl Root<'_> {
    pub(super) fn network(&self) -> Body {
        let mut file = Body::default();
        for site in &self.sites {
            file.block(format!("module {}", quote(format!("network_{}", site.key()))), |body| {
                body.attribute("source", quote("./modules/network")).attribute("providers", provider(site)).blank();
                body.attribute("name", quote(format!("{}-{}", self.name(), site.id)));
                body.attribute("region", value_of(site, "place")).attribute("cidr", value_of(site, "cidr"));
                body.attribute("zones", format!("lookup(var.zones, {}, null)", quote(site.id.as_str())))
                    .attribute("nat_gateways", self.needs_nat(site));
            });
            file.blank();
        }
        for (index, one) in self.sites.iter().enumerate() {
            for other in &self.sites[index + 1..] {
                file.block(format!("module {}", quote(format!("peering_{}_{}", one.key(), other.key()))), |body| {
                    body.attribute("source", quote("./modules/peering"));
                    body.attribute(
                        "providers",
                        object(|map| {
                            map.attribute("aws.one", format!("aws.{}", one.key()));
                            map.attribute("aws.other", format!("aws.{}", other.key()));
                        }),
                    );
                    body.blank();
                    body.attribute("name", quote(format!("{}-{}-{}", self.name(), one.id, other.id)));
                    body.attribute("one", format!("module.network_{}", one.key()));
                    body.attribute("other", format!("module.network_{}", other.key()));
                    body.attribute("other_region", value_of(other, "place"));
                });
                file.blank();
            }
        }
        file.block("locals", |body| {
            body.comment("Where clients of a database may be: anywhere that the app runs.");
            body.attribute(
                "clients",
                object(|map| {
                    for site in self.data_sites() {
                        map.attribute(site.key(), format!("module.network_{}.cidr", site.key()));
                    }
                }),
            );
        });
        file
    }

    /// Gateways cannot wait until a failover: making them takes a control plane. Only where a failover restores everything
    /// from backups anyway are they made then.
    pub(super) fn needs_nat(&self, site: &Site) -> String {
        let here: Vec<&&Part> = self.parts.iter().filter(|part| part.regions.contains(&site.id)).collect();
        let waits = |part: &&&Part| part.pattern == Pattern::BackupRestore && part.home != site.id;
        if site.region.role == RegionRole::Witness || here.is_empty() {
            "false".into()
        } else if here.iter().all(waits) {
            format!("anytrue([for regions in values(local.serving) : contains(regions, {})])", quote(site.id.as_str()))
        } else {
            "true".into()
        }
    }

    pub(super) fn images(&self) -> Body {
        let mut file = Body::default();
        file.comment("Every region pulls from a registry of its own. What was pushed before this was applied is not copied: push it again.");
        for copies in &self.copies {
            let Some(home) = self.sites.iter().find(|site| site.place() == copies.from) else { continue };
            file.block(format!("resource \"aws_ecr_replication_configuration\" {}", quote(home.key())), |body| {
                body.attribute("provider", format!("aws.{}", home.key()));
                body.attribute("count", "var.replicate_images ? 1 : 0").blank();
                body.block("replication_configuration", |body| {
                    for (places, repositories) in &copies.rules {
                        body.block("rule", |body| {
                            for place in places {
                                body.block("destination", |body| {
                                    body.attribute("region", quote(*place));
                                    body.attribute("registry_id", quote(copies.account));
                                });
                            }
                            for repository in repositories {
                                body.block("repository_filter", |body| {
                                    body.attribute("filter", quote(*repository));
                                    body.attribute("filter_type", quote("PREFIX_MATCH"));
                                });
                            }
                        });
                    }
                });
            });
            file.blank();
        }
        file
    }

    pub(super) fn keys(&self) -> Body {
        let mut file = Body::default();
        let anchor = self.anchor;
        file.comment(
            "One key in every region: what one region encrypted, the others can read, and none asks another for it.",
        );
        file.block(format!("resource \"aws_kms_key\" {}", quote(anchor.key())), |body| {
            body.attribute("provider", format!("aws.{}", anchor.key())).blank();
            body.attribute("description", quote(format!("{}, primary of the multi-region key", self.name())));
            body.attribute("multi_region", "true").attribute("enable_key_rotation", "true");
            body.attribute("deletion_window_in_days", "30").attribute("policy", "local.key_policy");
        });
        for site in self.sites.iter().filter(|site| site.id != anchor.id) {
            file.blank().block(format!("resource \"aws_kms_replica_key\" {}", quote(site.key())), |body| {
                body.attribute("provider", format!("aws.{}", site.key())).blank();
                body.attribute("description", quote(format!("{}, replica", self.name())));
                body.attribute("primary_key_arn", format!("aws_kms_key.{}.arn", anchor.key()));
                body.attribute("deletion_window_in_days", "30").attribute("policy", "local.key_policy");
            });
        }
        file.blank().block("locals", |body| {
            body.comment(KEY_POLICY_REASON).attribute("key_policy", self.key_policy()).blank();
            body.attribute(
                "key_arns",
                object(|map| {
                    for site in &self.sites {
                        map.attribute(site.key(), self.key_arn(site));
                    }
                }),
            );
        });
        let secrets: Vec<&&Part> = self.parts.iter().filter(|part| part.component.kind.is_database()).collect();
        for part in secrets.iter().filter(|part| matches!(part.component.kind, Kind::AuroraGlobal | Kind::Rds)) {
            file.blank().comment("Applications read their credentials in their own region. The value is set by whoever owns it, not here.");
            file.block(format!("resource \"aws_secretsmanager_secret\" {}", quote(part.key())), |body| {
                body.attribute("provider", format!("aws.{}", anchor.key())).blank();
                body.attribute("name", quote(format!("{}/{}", self.name(), part.id)));
                body.attribute("description", quote(format!("Credentials of applications for {}", part.id)));
                body.attribute("kms_key_id", self.key_arn(anchor));
                for site in
                    part.regions.iter().filter_map(|id| self.design.site(id)).filter(|site| site.id != anchor.id)
                {
                    body.blank().block("replica", |replica| {
                        replica
                            .attribute("region", value_of(site, "place"))
                            .attribute("kms_key_id", self.key_arn(site));
                    });
                }
            });
        }
        file
    }

    pub(super) fn key_policy(&self) -> String {
        let logs: Vec<String> =
            self.sites.iter().map(|site| format!("\"logs.${{{}}}.amazonaws.com\"", value_of(site, "place"))).collect();
        include_str!("key-policy.hcl").trim_end().replace("@{logs}", &logs.join(", "))
    }

    pub(super) fn key_arn(&self, site: &Site) -> String {
        let kind = if site.id == self.anchor.id { "aws_kms_key" } else { "aws_kms_replica_key" };
        format!("{kind}.{}.arn", site.key())
    }

    pub(super) fn needs_backups(&self) -> bool {
        self.has(is_backed_up)
    }

    /// Regions that have copies by the hour, and nothing else, of a database that is in this region too.
    fn restoring(&self, site: &Site) -> Vec<&Site<'_>> {
        let here = self.parts.iter().filter(|part| aws_backups::are_hourly(part) && part.regions.contains(&site.id));
        let regions: BTreeSet<_> = here.flat_map(|part| &part.regions).filter(|id| **id != site.id).collect();
        regions.into_iter().filter_map(|id| self.design.site(id)).collect()
    }

    pub(super) fn backup(&self) -> Body {
        let mut file = Body::default();
        let sites: Vec<&Site> = self.data_sites().collect();
        let vault = |site: &Site| format!("aws_backup_vault.{}", site.key());
        for site in &sites {
            file.block(format!("resource \"aws_backup_vault\" {}", quote(site.key())), |body| {
                body.attribute("provider", format!("aws.{}", site.key())).blank();
                body.attribute("name", quote(format!("{}-{}", self.name(), site.id)));
                body.attribute("kms_key_arn", format!("local.key_arns[{}]", quote(site.key())));
            });
            file.blank();
        }
        for (index, site) in sites.iter().enumerate() {
            let next = sites[(index + 1) % sites.len()];
            file.block(format!("module {}", quote(format!("backup_{}", site.key()))), |body| {
                body.attribute("source", quote("./modules/backup")).attribute("providers", provider(site)).blank();
                body.attribute("app", quote(self.name()));
                body.attribute("name", quote(format!("{}-{}", self.name(), site.id)));
                body.attribute("partition", "local.partition");
                body.attribute("vault", format!("{}.name", vault(site)));
                body.attribute("copy_to", list((next.id != site.id).then(|| format!("{}.arn", vault(next)))));
                let restoring = self.restoring(site);
                if !restoring.is_empty() {
                    let vaults = restoring.iter().map(|other| format!("{}.arn", vault(other)));
                    body.attribute("hourly_copies_to", list(vaults));
                }
                body.attribute("alarm_actions", parts::alarm_topics(site));
            });
            if index + 1 < sites.len() {
                file.blank();
            }
        }
        file
    }
}
