//! The components: a fragment of YAML for each kind, filled in.

use std::collections::BTreeSet;
use std::time::Duration;

use lifeboat_model::ComponentId;
use lifeboat_model::app::{Kind, Pattern, Provider, RegionRole, Replication};

use super::{Stacks, is_balanced, is_sql, resources_of};
use crate::design::{Part, Site, identifier, pascal};
use crate::fargate::Task;
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
            let replicas: String =
                others.iter().skip(1).map(|site| format!("        - Region: {}\n", site.place())).collect();
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
                let text = fill(include_str!("aurora-instance.yaml"), &[("n", &n.to_string())]);
                let everywhere = n <= part.standby && part.pattern != Pattern::BackupRestore;
                if everywhere { text.replace(&format!("    Condition: @{{Id}}HasInstance{n}\n"), "") } else { text }
            })
            .collect();
        let source = self.rds_source(part, &id);
        // What only the first writer is given. Where nothing else exists there is nothing to tell apart.
        let (first, otherwise, join, lint) = match part.pattern {
            Pattern::BackupRestore => (String::new(), "", format!("!Ref {id}Global"), ""),
            Pattern::PilotLight | Pattern::WarmStandby | Pattern::ActiveActive => (
                format!("!If [{id}IsHome, "),
                ", !Ref AWS::NoValue]",
                format!("!If [{id}IsHome, !Ref {id}Global, {}-{}]", self.name(), part.id),
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
            ("environment", &self.environment(part)),
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
        let before = [
            ("instances", instances),
            ("replication", self.replication(part)),
            ("leave", self.leave(part)),
            ("api", self.api_clients()),
        ];
        let fragment = fill(fragment, &before.each_ref().map(|(name, value)| (*name, value.as_str())));
        out + &fill(&(fragment + &self.lag_alarms(part)), &values)
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
        let has_host = |database: &&&Part| match database.component.kind {
            Kind::AuroraGlobal => true,
            Kind::Rds => database.pattern != Pattern::BackupRestore,
            _ => false,
        };
        let needs = |database: &&&Part| part.component.kind == Kind::Ecs && part.component.needs.contains(database.id);
        self.parts.iter().filter(needs).filter(has_host).copied().collect()
    }

    /// Databases whose name services have to be told.
    pub(super) fn hosts(&self) -> Vec<&Part<'_>> {
        let asked = |part: &&&Part| {
            self.parts.iter().any(|service| self.hosts_for(service).iter().any(|host| host.id == part.id))
        };
        self.parts.iter().filter(asked).copied().collect()
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
            let condition =
                if self.is_conditional(database) { format!("    Condition: {id}Here\n") } else { String::new() };
            format!(
                "  {id}Host:\n    Description: Where clients of {} find it\n{condition}    Value: !GetAtt {id}.Endpoint.Address\n",
                database.id
            )
        };
        let has_own = |database: &&Part| database.component.kind == Kind::Rds;
        self.hosts().iter().filter(|database| has_own(database)).map(output).collect()
    }

    /// How a container finds the databases that it needs: by names that stay the same whoever writes.
    fn environment(&self, part: &Part) -> String {
        let mut out = String::new();
        let mut put = |name: String, value: String| out += &format!("            - {{Name: {name}, Value: {value}}}\n");
        put("REGION".into(), "!FindInMap [Regions, !Ref AWS::Region, Id]".into());
        for database in self.parts.iter().filter(|database| part.component.needs.contains(database.id)) {
            let name = database.key().to_uppercase();
            let full = format!("{}-{}", self.name(), database.id);
            match database.component.kind {
                Kind::Dynamodb => put(format!("{name}_TABLE"), full),
                Kind::S3 => {
                    put(format!("{name}_BUCKET"), format!("!Sub \"{full}-${{AWS::Region}}-${{AWS::AccountId}}\""))
                }
                _ => {}
            }
        }
        for database in self.hosts_for(part) {
            let name = database.key().to_uppercase();
            put(format!("{name}_HOST"), format!("!Ref {}Host", pascal(database.id.as_str())));
            put(format!("{name}_USER"), part.key());
            if database.component.kind == Kind::Rds {
                // libpq asks them in turn and takes the one that may write.
                put(format!("{name}_TARGET_SESSION_ATTRS"), "read-write".into());
            }
        }
        out
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
