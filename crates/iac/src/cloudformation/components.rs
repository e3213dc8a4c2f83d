//! The components: a fragment of YAML for each kind, filled in.

use std::collections::BTreeSet;
use std::time::Duration;

use lifeboat_model::ComponentId;
use lifeboat_model::app::{Kind, Pattern, Provider, RegionRole, Replication};
use lifeboat_model::fargate::Task;

use super::{Stacks, is_balanced, is_sql, resources_of};
use crate::aws_backups;
use crate::design::{Part, Site, identifier, pascal};
use crate::fragment::{fill, yaml};
use crate::permissions;
use crate::versions;

/// A replica in another region takes a key but must not repeat that it is encrypted; cfn-lint asks for both.
const REPLICA_LINT: &str = "    Metadata:\n      # A replica in another region is given a key, but inherits that it is encrypted.\n      cfn-lint: {config: {ignore_checks: [E3720]}}\n";

impl Stacks<'_> {
    pub(super) fn resources(&self, part: &Part) -> String {
        let id = pascal(part.id.as_str());
        let port = part.port.to_string();
        let lag = part.lag_alarm();
        let (lag_s, lag_ms) = (lag.as_secs().to_string(), lag.as_millis().to_string());
        let storage = part.component.size.storage.map_or(100, |bytes| bytes.div_ceil(1 << 30)).max(20);
        let (storage, most_storage) = (storage.to_string(), (storage * 2).to_string());
        // A service whose tasks cannot find their database would fail the stack.
        let ready = if self.hosts_for(part).is_empty() { String::new() } else { format!("!If [{id}Ready, ") };
        let condition = match part.pattern {
            Pattern::BackupRestore => format!("    Condition: {id}IsHome\n"),
            Pattern::PilotLight | Pattern::WarmStandby | Pattern::ActiveActive => String::new(),
        };
        let image = match part.image_of_each_region(self.design) {
            Some(image) => format!("!Sub {}", yaml(&image.at("${AWS::Region}"))),
            None => yaml(part.image()),
        };
        let others: Vec<&Site> = part.regions.iter().filter_map(|region| self.design.site(region)).collect();
        let mut out = String::new();
        if is_sql(part) {
            // By the other region's key, once that is there.
            let replica = |site: &&Site| {
                let (there, place, app) = (pascal(site.id.as_str()), site.place(), self.name());
                let key = format!("!Sub \"arn:${{AWS::Partition}}:kms:{place}:${{AWS::AccountId}}:alias/{app}\"");
                format!("        - !If [LinkedTo{there}, {{Region: {place}, KmsKeyId: {key}}}, !Ref AWS::NoValue]\n")
            };
            let replicas: String = others.iter().skip(1).map(replica).collect();
            let replicas = if replicas.is_empty() { replicas } else { format!("      ReplicaRegions:\n{replicas}") };
            let clients: String = self
                .data_sites()
                .iter()
                .map(|site| {
                    format!(
                        "        - {{Description: Clients in {}, IpProtocol: tcp, FromPort: {port}, ToPort: {port}, CidrIp: {}}}\n",
                        site.id,
                        site.cidr()
                    )
                })
                .collect();
            out += &fill(
                include_str!("password.yaml"),
                &[
                    ("Id", &id),
                    ("id", part.id.as_str()),
                    ("app", self.name()),
                    ("replicas", &replicas),
                    ("clients", &clients),
                ],
            );
        }
        if is_balanced(part) {
            let target = if part.component.kind == Kind::Asg { "instance" } else { "ip" };
            let is_public = self.design.is_public(part);
            let certificate = if is_public {
                "!Ref CertificateArn".to_owned()
            } else {
                format!("!If [{id}HasCertificate, !Ref {id}CertificateArn, !Ref CertificateArn]")
            };
            let from = |who: &str, range: &str| {
                format!(
                    "        - {{Description: {who}, IpProtocol: tcp, FromPort: 443, ToPort: 443, CidrIp: {range}}}\n"
                )
            };
            let clients: String = if is_public {
                from("Clients", "0.0.0.0/0")
            } else {
                let sites = self.data_sites();
                sites.iter().map(|site| from(&format!("Clients in {}", site.id), &site.cidr())).collect()
            };
            out += &fill(
                include_str!("load-balancer.yaml"),
                &[
                    ("Id", &id),
                    ("id", part.id.as_str()),
                    ("port", &port),
                    ("check", &yaml(&part.check_path)),
                    ("target_type", target),
                    ("protocol", if part.ends_tls() { "HTTPS" } else { "HTTP" }),
                    ("scheme", if is_public { "internet-facing" } else { "internal" }),
                    ("subnets", if is_public { "PublicSubnet" } else { "PrivateSubnet" }),
                    ("clients", &clients),
                    ("certificate", &certificate),
                ],
            );
        }
        let (version, instance) = match part.component.kind {
            Kind::AuroraGlobal => (versions::AURORA_POSTGRESQL, "db.r7g.large"),
            Kind::Rds => (versions::POSTGRESQL_MINOR, "db.m7g.large"),
            Kind::Eks => (versions::KUBERNETES, "m7g.xlarge"),
            _ => ("", "m7g.large"),
        };
        let instance = yaml(part.instance(instance));
        let major = version.split('.').next().unwrap_or_default();
        let instances: String = (1..=part.full)
            .map(|n| {
                let condition = if aws_backups::are_all(part) {
                    format!("    Condition: {id}IsHome\n")
                } else if n <= part.standby {
                    String::new()
                } else {
                    format!("    Condition: {id}Writes\n")
                };
                fill(include_str!("aurora-instance.yaml"), &[("n", &n.to_string()), ("condition", &condition)])
            })
            .collect();
        let source = self.rds_source(part, &id);
        let joins = |global: String| format!("      GlobalClusterIdentifier: {global}\n");
        // What only the first writer is given. Where nothing else exists there is nothing to tell apart.
        let (first, otherwise, join, lint) = match part.pattern {
            // One cluster, of no global one: what is restored elsewhere is another.
            Pattern::BackupRestore if aws_backups::are_all(part) => (String::new(), "", String::new(), ""),
            Pattern::BackupRestore => (String::new(), "", joins(format!("!Ref {id}Global")), ""),
            Pattern::PilotLight | Pattern::WarmStandby | Pattern::ActiveActive => (
                format!("!If [{id}IsHome, "),
                ", !Ref AWS::NoValue]",
                joins(format!("!If [{id}IsHome, !Ref {id}Global, {}-{}]", self.name(), part.id)),
                REPLICA_LINT,
            ),
        };
        let forwarding = match part.pattern {
            Pattern::ActiveActive => "      EnableGlobalWriteForwarding: true\n",
            Pattern::BackupRestore | Pattern::PilotLight | Pattern::WarmStandby => "",
        };
        let task = Task::of(part.component.size.instance.as_deref());
        let (cpu, memory) = (task.cpu.to_string(), task.memory.to_string());
        let ami_type = if Task::of(Some(part.instance("m7g.xlarge"))).architecture == "ARM64" {
            "AL2023_ARM_64_STANDARD"
        } else {
            "AL2023_x86_64_STANDARD"
        };
        let values = [
            ("condition", condition.as_str()),
            ("architecture", task.architecture),
            ("cpu", &cpu),
            ("memory", &memory),
            ("ami_type", ami_type),
            ("forwarding", forwarding),
            ("source", &source),
            ("lint", lint),
            ("home", &first),
            ("else", otherwise),
            ("join", &join),
            ("replicas", &self.table_replicas(part)),
            ("consistency", &self.consistency(part)),
            ("Id", &id),
            ("id", part.id.as_str()),
            ("app", self.name()),
            ("version", version),
            ("instance", &instance),
            ("major", major),
            ("database", &identifier(part.id.as_str())),
            ("most_storage", &most_storage),
            ("alarm", include_str!("alarm-actions.yaml")),
            ("environment", &self.container_environment(part)),
            ("ready", &ready),
            ("not_ready", if ready.is_empty() { "" } else { ", 0]" }),
            ("port", &port),
            ("storage", &storage),
            ("lag_s", &lag_s),
            ("lag_ms", &lag_ms),
            ("image", &image),
        ];
        let fragment = resources_of(part.component.kind).unwrap_or_default();
        // What holds placeholders of its own comes first.
        let global = if aws_backups::are_all(part) {
            String::new()
        } else {
            include_str!("aurora-global-cluster.yaml").to_owned()
        };
        let before = [
            ("global", global),
            ("user_data", if part.component.kind == Kind::Asg { self.user_data(part) } else { String::new() }),
            ("copies", self.copies(part)),
            ("instances", instances),
            ("replication", self.replication(part)),
            ("leave", self.leave(part)),
            ("api", self.api_clients()),
        ];
        let fragment = fill(fragment, &before.each_ref().map(|(name, value)| (*name, value.as_str())));
        out + &fill(&(fragment + &self.lag_alarms(part)), &values)
    }

    /// How backups get to the regions that have nothing else.
    fn copies(&self, part: &Part) -> String {
        if !aws_backups::are_all(part) {
            return String::new();
        }
        let others = part.regions.iter().skip(1).filter_map(|region| self.design.site(region));
        match part.component.kind {
            Kind::AuroraGlobal => {
                let vault = |site: &Site| {
                    let (app, place) = (self.name(), site.place());
                    format!(
                        "              - DestinationBackupVaultArn: !Sub arn:${{AWS::Partition}}:backup:{place}:${{AWS::AccountId}}:backup-vault:{app}-{place}\n                Lifecycle: {{DeleteAfterDays: 7}}\n"
                    )
                };
                let targets: String = others.map(vault).collect();
                fill(include_str!("aurora-copies.yaml"), &[("targets", &targets)])
            }
            // To one region, by its key, once it is there.
            Kind::Rds => others
                .take(1)
                .map(|site| {
                    let values = [("Site", pascal(site.id.as_str())), ("place", site.place().to_owned())];
                    fill(
                        include_str!("rds-copies.yaml"),
                        &values.each_ref().map(|(name, value)| (*name, value.as_str())),
                    )
                })
                .collect(),
            _ => String::new(),
        }
    }

    /// What an application may do with the data that it needs.
    fn leave(&self, part: &Part) -> String {
        let is_cluster = part.component.kind == Kind::Eks;
        let pods = self.design.parts_of(Kind::Deployment).flat_map(|pod| &pod.component.needs);
        let needed: BTreeSet<&ComponentId> = part.component.needs.iter().chain(pods.filter(|_| is_cluster)).collect();
        let sites: Vec<&Site> = part.regions.iter().filter_map(|region| self.design.site(region)).collect();
        let statements = self.statements(&sites, |site| {
            let mut allowed = if is_cluster {
                permissions::of_pods(self.design, part, site)
            } else {
                permissions::of_application(self.design, part, site)
            };
            // Buckets are named after AWS' region here.
            for data in needed.iter().filter_map(|id| self.design.part(id)) {
                let (from, to) = (
                    format!(":::{}-@", self.design.full_name(data, site.id)),
                    format!(":::{}-{}-${{AWS::Region}}-@", self.name(), data.id),
                );
                for arn in allowed.iter_mut().flat_map(|statement| &mut statement.resources) {
                    *arn = arn.replace(&from, &to);
                }
            }
            allowed
        });
        if statements.is_empty() {
            return statements;
        }
        let leave = fill(include_str!("application-role.yaml"), &[("statements", &statements)]);
        if is_cluster {
            return include_str!("eks-pods.yaml").replace("@{leave}", &leave);
        }
        leave
    }

    fn api_clients(&self) -> String {
        let rule = |site: &&Site| {
            let (there, cidr) = (pascal(site.id.as_str()), site.cidr());
            fill(include_str!("eks-api.yaml"), &[("Site", &there), ("site", site.id.as_str()), ("cidr", &cidr)])
        };
        self.data_sites().iter().map(rule).collect()
    }

    /// Of what replicates between regions that are all alike: an alarm for each that receives.
    fn lag_alarms(&self, part: &Part) -> String {
        let full = format!("{}-{}", self.name(), part.id);
        let sites =
            part.regions.iter().filter_map(|region| self.design.site(region)).filter(|_| part.regions.len() > 1);
        let bucket = |place: &str| format!("!Sub \"{full}-{place}-${{AWS::AccountId}}\"");
        let alarm = |site: &Site| {
            let (namespace, threshold, dimensions) = match part.component.kind {
                Kind::Dynamodb if self.consistency(part).is_empty() => (
                    "AWS/DynamoDB",
                    part.lag_alarm().as_millis().to_string(),
                    vec![("TableName", full.clone()), ("ReceivingRegion", site.place().to_owned())],
                ),
                Kind::S3 => (
                    "AWS/S3",
                    part.lag_alarm().as_secs().to_string(),
                    vec![
                        ("SourceBucket", bucket("${AWS::Region}")),
                        ("DestinationBucket", bucket(site.place())),
                        ("RuleId", site.id.to_string()),
                    ],
                ),
                _ => return String::new(),
            };
            let dimensions: String = dimensions
                .iter()
                .map(|(name, value)| format!("        - {{Name: {name}, Value: {value}}}\n"))
                .collect();
            let values = [
                ("Site", pascal(site.id.as_str())),
                ("namespace", namespace.into()),
                ("threshold", threshold),
                ("dimensions", dimensions),
            ];
            fill(include_str!("lag-to.yaml"), &values.each_ref().map(|(name, value)| (*name, value.as_str())))
        };
        sites.map(alarm).collect()
    }

    fn rds_source(&self, part: &Part, id: &str) -> String {
        match part.pattern {
            Pattern::BackupRestore => String::new(),
            Pattern::PilotLight | Pattern::WarmStandby | Pattern::ActiveActive => {
                let place = self.place_of(part);
                let app = self.name();
                format!(
                    "      SourceDBInstanceIdentifier: !If\n        - {id}IsHome\n        - !Ref AWS::NoValue\n        - !Sub \
                     arn:${{AWS::Partition}}:rds:{place}:${{AWS::AccountId}}:db:{app}-{}-{place}\n      SourceRegion: !If [{id}IsHome, !Ref \
                     AWS::NoValue, {place}]\n",
                    part.id
                )
            }
        }
    }

    /// Every region has the same template, so a bucket has a rule per region; the one for itself is switched off.
    fn replication(&self, part: &Part) -> String {
        if part.component.kind != Kind::S3 || part.regions.len() < 2 {
            return String::new();
        }
        let sites = part.regions.iter().filter_map(|region| self.design.site(region));
        let rules = sites.enumerate().map(|(index, site)| {
            let values = [
                ("Site", pascal(site.id.as_str())),
                ("site", site.id.to_string()),
                ("priority", (index + 1).to_string()),
                ("app", self.name().into()),
                ("id", part.id.to_string()),
                ("place", site.place().into()),
            ];
            fill(include_str!("s3-rule.yaml"), &values.each_ref().map(|(name, value)| (*name, value.as_str())))
        });
        fill(include_str!("s3-replication.yaml"), &[("rules", &rules.collect::<String>())])
    }

    fn table_replicas(&self, part: &Part) -> String {
        let sites = part.regions.iter().filter_map(|region| self.design.site(region));
        let replica =
            |site: &Site| fill(include_str!("dynamodb-replica.yaml"), &[("place", site.place()), ("app", self.name())]);
        sites.map(replica).collect()
    }

    /// Databases behind a service that have a name which is known only once they exist.
    pub(super) fn hosts_for(&self, part: &Part) -> Vec<&Part<'_>> {
        if !is_balanced(part) {
            return Vec::new();
        }
        part.component.needs.iter().filter_map(|id| self.design.part(id)).filter(|database| is_sql(database)).collect()
    }

    /// Databases whose name services have to be told.
    pub(super) fn hosts(&self) -> Vec<&Part<'_>> {
        let asked: BTreeSet<&ComponentId> =
            self.parts.iter().flat_map(|service| self.hosts_for(service)).map(|host| host.id).collect();
        asked.into_iter().filter_map(|id| self.design.part(id)).collect()
    }

    /// Whether a service can find its databases.
    pub(super) fn ready_condition(&self, part: &Part) -> String {
        let known: Vec<String> = self
            .hosts_for(part)
            .iter()
            .map(|host| format!("!Not [!Equals [!Ref {}Host, \"\"]]", pascal(host.id.as_str())))
            .collect();
        let id = pascal(part.id.as_str());
        match known.as_slice() {
            [] => String::new(),
            [one] => format!("  {id}Ready: {one}\n"),
            [..] => format!("  {id}Ready: !And [{}]\n", known.join(", ")),
        }
    }

    /// Instances each have a name of their own. That of a global cluster no template can tell; apply.sh asks for it.
    pub(super) fn host_outputs(&self) -> String {
        let output = |database: &&Part| {
            let id = pascal(database.id.as_str());
            let condition = if aws_backups::are_all(database) {
                format!("    Condition: {id}IsHome\n")
            } else if self.is_conditional(database) {
                format!("    Condition: {id}Here\n")
            } else {
                String::new()
            };
            format!(
                "  {id}Host:\n    Description: Where clients of {} find it\n{condition}    Value: !GetAtt {id}.Endpoint.Address\n",
                database.id
            )
        };
        let has_own = |database: &&Part| database.component.kind == Kind::Rds || aws_backups::are_all(database);
        self.hosts().iter().filter(|database| has_own(database)).map(output).collect()
    }

    /// How an application finds what it needs: by names that stay the same whoever writes and serves. Each with its value in YAML.
    fn environment(&self, part: &Part) -> Vec<(String, String)> {
        let mut out = vec![("REGION".to_owned(), "!FindInMap [Regions, !Ref AWS::Region, Id]".to_owned())];
        for needed in part.component.needs.iter().filter_map(|id| self.design.part(id)) {
            let name = needed.key().to_uppercase();
            let full = format!("{}-{}", self.name(), needed.id);
            match needed.component.kind {
                Kind::Dynamodb => out.push((format!("{name}_TABLE"), full)),
                Kind::S3 => {
                    out.push((
                        format!("{name}_BUCKET"),
                        format!("!Sub \"{full}-${{AWS::Region}}-${{AWS::AccountId}}\""),
                    ));
                }
                Kind::AuroraGlobal | Kind::Rds => {
                    out.push((format!("{name}_HOST"), format!("!Ref {}Host", pascal(needed.id.as_str()))));
                    out.push((format!("{name}_USER"), part.key()));
                    if needed.component.kind == Kind::Rds && !aws_backups::are_all(needed) {
                        // libpq asks them in turn and takes the one that may write.
                        out.push((format!("{name}_TARGET_SESSION_ATTRS"), "read-write".into()));
                    }
                }
                Kind::Asg | Kind::Ecs => {
                    let host = format!("!FindInMap [Hosts, !Ref AWS::Region, {}]", pascal(needed.id.as_str()));
                    out.push((format!("{name}_HOST"), host));
                }
                _ => {}
            }
        }
        out
    }

    /// The environment of a container.
    fn container_environment(&self, part: &Part) -> String {
        let line = |(name, value): (String, String)| format!("            - {{Name: {name}, Value: {value}}}\n");
        self.environment(part).into_iter().map(line).collect()
    }

    /// What a machine is told at boot: its environment, in a file.
    fn user_data(&self, part: &Part) -> String {
        let environment = self.environment(part);
        let lines: String =
            environment.iter().map(|(name, _)| format!("                    {name}=${{{name}}}\n")).collect();
        let values: String =
            environment.iter().map(|(name, value)| format!("              {name}: {value}\n")).collect();
        // A name in Fn::Sub has letters and digits only.
        let plain = |text: String| {
            environment.iter().fold(text, |text, (name, _)| {
                let short = pascal(&name.to_lowercase());
                text.replace(&format!("${{{name}}}"), &format!("${{{short}}}"))
                    .replace(&format!("              {name}: "), &format!("              {short}: "))
            })
        };
        fill(include_str!("user-data.yaml"), &[("lines", &plain(lines)), ("values", &plain(values))])
    }

    /// Strong consistency takes exactly three regions, one of which may be a witness.
    fn consistency(&self, part: &Part) -> String {
        let strong = part.component.standbys.values().any(|replication| *replication == Replication::Synchronous)
            || part.component.objectives.rpo == Some(Duration::ZERO);
        let witness = self.design.sites_of(Provider::Aws).find(|site| site.region.role == RegionRole::Witness);
        match (strong, part.regions.len(), witness) {
            (true, 3, _) => "      MultiRegionConsistency: STRONG\n".into(),
            (true, 2, Some(witness)) => format!(
                "      MultiRegionConsistency: STRONG\n      GlobalTableWitnesses: [{{RegionName: {}}}]\n",
                witness.place()
            ),
            _ => String::new(),
        }
    }
}
