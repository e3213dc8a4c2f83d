//! CloudFormation: one template for all regions, a stack set that puts it into each of them with the region's own
//! parameters, and a stack for what is global (health checks and records).

use lifeboat_model::app::{Kind, Pattern, Provider, RegionRole, Replication};

use crate::design::{Design, Part, Site, Way, pascal};
use crate::fragment::{fill, json, yaml};
use crate::tree::Tree;
use crate::{Problem, permissions, versions};

mod global;
mod stack_set;

pub(crate) use stack_set::serving;

const FOLDER: &str = "cloudformation";

/// A replica in another region takes a key but must not repeat that it is encrypted; cfn-lint asks for both.
const REPLICA_LINT: &str = "    Metadata:\n      # A replica in another region is given a key, but inherits that it is encrypted.\n      cfn-lint: {config: {ignore_checks: [E3720]}}\n";

struct Stacks<'a> {
    design: &'a Design<'a>,
    /// Data regions on AWS, the home of the first component first: a stack set goes through them in this order, and what a
    /// secondary joins is made in the home region.
    sites: Vec<&'a Site<'a>>,
    parts: Vec<&'a Part<'a>>,
    ways: Vec<&'a Way<'a>>,
}

/// Writes `cloudformation/` if the app has anything on AWS.
pub(crate) fn write(design: &Design, tree: &mut Tree) -> Result<(), Problem> {
    let parts: Vec<&Part> = design
        .parts
        .iter()
        .filter(|part| part.provider == Provider::Aws && resources_of(part.component.kind).is_some())
        .collect();
    let Some(first) = parts.first() else { return Ok(()) };
    let mut sites: Vec<&Site> =
        design.sites_of(Provider::Aws).filter(|site| site.region.role == RegionRole::Data).collect();
    sites.sort_by_key(|site| site.id != first.home);
    let balanced = |way: &&Way| parts.iter().any(|part| part.id == way.to && is_balanced(part));
    let ways = design.ways.iter().filter(balanced).collect();
    let stacks = Stacks { design, sites, parts, ways };
    let (regional, stack_set) = (stacks.regional(), stacks.stack_set());
    if let Some(problem) = too_large(&regional, &stack_set) {
        return Err(problem);
    }
    tree.put(format!("{FOLDER}/regional.yaml"), regional);
    tree.put(format!("{FOLDER}/stackset.yaml"), stack_set);
    tree.put_kept(format!("{FOLDER}/roles.json"), stacks.roles());
    tree.put(format!("{FOLDER}/parameters.example.json"), stacks.parameters());
    if !stacks.ways.is_empty() {
        tree.put(format!("{FOLDER}/global.yaml"), stacks.global());
    }
    Ok(())
}

/// Whether components of this kind are in the template.
pub(crate) fn makes(kind: Kind) -> bool {
    resources_of(kind).is_some()
}

fn resources_of(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::AuroraGlobal => Some(include_str!("cloudformation/aurora-global.yaml")),
        Kind::Rds => Some(include_str!("cloudformation/rds.yaml")),
        Kind::Dynamodb => Some(include_str!("cloudformation/dynamodb.yaml")),
        Kind::S3 => Some(include_str!("cloudformation/s3.yaml")),
        Kind::Asg => Some(include_str!("cloudformation/asg.yaml")),
        Kind::Ecs => Some(include_str!("cloudformation/ecs.yaml")),
        Kind::Eks => Some(include_str!("cloudformation/eks.yaml")),
        Kind::Postgres
        | Kind::AzureSql
        | Kind::Cosmosdb
        | Kind::AzurePostgres
        | Kind::AzureStorage
        | Kind::Process
        | Kind::Vmss
        | Kind::Aks
        | Kind::Deployment => None,
    }
}

/// CloudFormation's quotas: 500 resources and 200 parameters in a template
/// (docs.aws.amazon.com, CloudFormation quotas).
fn too_large(regional: &str, stack_set: &str) -> Option<Problem> {
    let resources = regional.matches("\n    Type: AWS::").count();
    let body =
        |text: &str| text.split("\nResources:").next().unwrap_or_default().matches("\n    Description: ").count();
    let parameters = body(regional).max(body(stack_set));
    (resources > 500 || parameters > 200).then(|| {
        Problem::new(
            "components",
            format!(
                "no CloudFormation: {resources} resources and {parameters} parameters are more than AWS takes in one template (500 and 200)"
            ),
            "`--target terraform`, or an app in several files",
        )
    })
}

fn is_balanced(part: &Part) -> bool {
    matches!(part.component.kind, Kind::Asg | Kind::Ecs)
}

fn is_sql(part: &Part) -> bool {
    matches!(part.component.kind, Kind::AuroraGlobal | Kind::Rds)
}

impl Stacks<'_> {
    fn name(&self) -> &str {
        self.design.name()
    }

    fn has(&self, test: impl Fn(&Part) -> bool) -> bool {
        self.parts.iter().any(|part| test(part))
    }

    fn compute(&self) -> impl Iterator<Item = &&Part<'_>> {
        self.parts.iter().filter(|part| !part.component.kind.is_database())
    }

    /// Parameters of the regional template: name, type, description, allowed values.
    fn regional_parameters(&self) -> Vec<(String, &'static str, String, Option<&'static str>)> {
        let mut all = Vec::new();
        for part in self.compute() {
            let id = pascal(part.id.as_str());
            let text = format!("Whether this region serves clients of {}", part.id);
            all.push((format!("{id}Serves"), "String", text, Some("[\"true\", \"false\"]")));
            if part.component.kind == Kind::Asg {
                all.push((
                    format!("{id}Image"),
                    "AWS::EC2::Image::Id",
                    format!("AMI of {} in this region", part.id),
                    None,
                ));
            }
        }
        if self.has(is_balanced) {
            all.push((
                "CertificateArn".into(),
                "String",
                "ACM certificate of the host name in this region".into(),
                None,
            ));
        }
        if self.has(|part| part.component.kind == Kind::S3) {
            let text = "Whether the buckets of all regions exist and replicate to each other".into();
            all.push(("Peered".into(), "String", text, Some("[\"true\", \"false\"]")));
        }
        all
    }

    fn regional(&self) -> String {
        let mut out = format!(
            "AWSTemplateFormatVersion: \"2010-09-09\"\nDescription: {} in one region. The same template for every region; what differs \
             is in the parameters and mappings.\n\n",
            self.name()
        );
        let parameters = self.regional_parameters();
        if !parameters.is_empty() {
            out += "Parameters:\n";
        }
        for (name, kind, description, allowed) in parameters {
            out += &format!("  {name}:\n    Type: {kind}\n    Description: {}\n", yaml_text(&description));
            if let Some(allowed) = allowed {
                out += &format!("    AllowedValues: {allowed}\n");
            }
        }
        out += "\n";
        out += &self.mappings();
        out += &self.conditions();
        out += "Resources:\n";
        out += &self.foundation();
        for part in &self.parts {
            out += &self.resources(part);
        }
        out += &self.regional_outputs();
        out
    }

    fn mappings(&self) -> String {
        let mut out = String::from("Mappings:\n  Regions:\n");
        for (index, site) in self.sites.iter().enumerate() {
            let next = self.sites[(index + 1) % self.sites.len()];
            // The same subnets as Terraform's.
            let network = site.facts.map_or(0, |facts| facts.network);
            out += &format!(
                "    {}: {{Id: {}, Cidr: {}, Public1: 10.{network}.0.0/20, Public2: 10.{network}.16.0/20, Private1: 10.{network}.128.0/20, \
                 Private2: 10.{network}.144.0/20, BackupsGoTo: {}}}\n",
                site.place(),
                site.id,
                site.cidr(),
                next.place()
            );
        }
        if self.compute().next().is_some() {
            out += "  Sizes:\n";
            for site in &self.sites {
                let sizes: Vec<String> = self
                    .compute()
                    .flat_map(|part| {
                        let id = pascal(part.id.as_str());
                        let here = part.regions.contains(&site.id);
                        let least = u32::from(part.component.kind == Kind::Eks);
                        let of = |size: u32| if here { size.max(least) } else { 0 };
                        [
                            format!("{id}Full: {}", of(part.full)),
                            format!("{id}Standby: {}", of(part.standby)),
                            format!("{id}Most: {}", of(part.most())),
                        ]
                    })
                    .collect();
                out += &format!("    {}: {{{}}}\n", site.place(), sizes.join(", "));
            }
        }
        out + "\n"
    }

    fn conditions(&self) -> String {
        let mut out = String::new();
        for part in &self.parts {
            let id = pascal(part.id.as_str());
            if part.component.kind.is_database() {
                if is_sql(part) || part.component.kind == Kind::Dynamodb {
                    let home = self.place_of(part);
                    out += &format!("  {id}IsHome: !Equals [!Ref AWS::Region, {home}]\n");
                }
                if part.component.kind == Kind::AuroraGlobal {
                    let home_only = if part.pattern == Pattern::BackupRestore { 1 } else { part.standby + 1 };
                    for n in home_only..=part.full {
                        out += &format!("  {id}HasInstance{n}: !Equals [!Ref AWS::Region, {}]\n", self.place_of(part));
                    }
                }
            } else {
                out += &format!("  {id}Serves: !Equals [!Ref {id}Serves, \"true\"]\n");
            }
        }
        if self.has(|part| part.component.kind == Kind::S3) {
            out += "  IsPeered: !Equals [!Ref Peered, \"true\"]\n";
            for site in &self.sites {
                out += &format!("  In{}: !Equals [!Ref AWS::Region, {}]\n", pascal(site.id.as_str()), site.place());
            }
        }
        if out.is_empty() { out } else { format!("Conditions:\n{out}\n") }
    }

    /// AWS name of the region where a component starts.
    fn place_of(&self, part: &Part) -> &str {
        self.design.site(part.home).map_or("", |site| site.place())
    }

    fn foundation(&self) -> String {
        let mut out = include_str!("cloudformation/network.yaml").to_owned();
        for (n, index) in [("1", "0"), ("2", "1")] {
            out += &fill(include_str!("cloudformation/zone.yaml"), &[("n", n), ("index", index)]);
        }
        out += &fill(include_str!("cloudformation/key.yaml"), &[("app", self.name())]);
        if self.has(is_sql) {
            out += include_str!("cloudformation/subnets.yaml");
        }
        if self.has(|part| part.component.kind.is_database()) {
            out += &fill(include_str!("cloudformation/backup.yaml"), &[("app", self.name())]);
        }
        out += &self.node_policy();
        out
    }

    /// The role of the region's Lifeboat node.
    fn node_policy(&self) -> String {
        let mut statements = Vec::new();
        for site in &self.sites {
            for statement in permissions::aws_statements(self.design, site) {
                let place = |arn: String| {
                    arn.replace(&format!(":{}:", site.place()), ":@{region}:").replace(site.id.as_str(), "@{id}")
                };
                let resources: Vec<String> = statement.resources.iter().cloned().map(place).collect();
                let statement = permissions::Statement { resources, ..statement };
                if !statements.contains(&statement)
                    && !statements.iter().any(|one: &permissions::Statement| one.sid == statement.sid)
                {
                    statements.push(statement);
                }
            }
        }
        let mut out = String::from(
            "  # What the region's Lifeboat node may do: move this app's components here, and nothing else.\n  LifeboatRole:\n    Type: \
             AWS::IAM::Role\n    Properties:\n      AssumeRolePolicyDocument:\n        Version: \"2012-10-17\"\n        Statement: [{Effect: \
             Allow, Principal: {Service: ec2.amazonaws.com}, Action: sts:AssumeRole}]\n      Policies:\n        - PolicyName: lifeboat\n          \
             PolicyDocument:\n            Version: \"2012-10-17\"\n            Statement:\n",
        );
        for statement in statements {
            out += &format!(
                "              - Sid: {}\n                Effect: Allow\n                Action:\n",
                statement.sid
            );
            for action in &statement.actions {
                out += &format!("                  - {action}\n");
            }
            out += "                Resource:\n";
            let mut resources: Vec<String> = statement.resources.iter().map(|arn| self.policy_arn(arn)).collect();
            resources.dedup();
            for resource in resources {
                out += &format!("                  - {resource}\n");
            }
        }
        out
    }

    /// An ARN of the plain policies with CloudFormation's own values.
    fn policy_arn(&self, arn: &str) -> String {
        if arn == "*" {
            return "\"*\"".into();
        }
        let text = arn
            .replace("@{partition}", "${AWS::Partition}")
            .replace("@{account}", "${AWS::AccountId}")
            .replace("@{region}", "${AWS::Region}")
            .replace("@{id}", "${AWS::Region}");
        let named = self
            .sites
            .iter()
            .fold(text, |text, site| text.replace(&format!("-{}", site.id), &format!("-{}", site.place())));
        format!("!Sub {}", json(&named))
    }

    fn resources(&self, part: &Part) -> String {
        let id = pascal(part.id.as_str());
        let port = part.port.to_string();
        let lag = part.lag_alarm();
        let (lag_s, lag_ms) = (lag.as_secs().to_string(), lag.as_millis().to_string());
        let storage = part.component.size.storage.map_or(100, |bytes| bytes.div_ceil(1 << 30)).max(20).to_string();
        let condition = match part.pattern {
            Pattern::BackupRestore => format!("    Condition: {id}IsHome\n"),
            Pattern::PilotLight | Pattern::WarmStandby | Pattern::ActiveActive => String::new(),
        };
        let image = yaml(part.image());
        let others: Vec<&Site> = part.regions.iter().filter_map(|region| self.design.site(region)).collect();
        let mut out = String::new();
        if is_sql(part) {
            let replicas: String =
                others.iter().skip(1).map(|site| format!("        - Region: {}\n", site.place())).collect();
            let replicas = if replicas.is_empty() { replicas } else { format!("      ReplicaRegions:\n{replicas}") };
            let clients: String = self
                .sites
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
                include_str!("cloudformation/password.yaml"),
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
            out += &fill(
                include_str!("cloudformation/load-balancer.yaml"),
                &[
                    ("Id", &id),
                    ("id", part.id.as_str()),
                    ("port", &port),
                    ("check", &yaml(&part.check_path)),
                    ("target_type", target),
                ],
            );
        }
        let (version, instance) = match part.component.kind {
            Kind::AuroraGlobal => (versions::AURORA_POSTGRESQL, "db.r7g.large"),
            Kind::Rds => (versions::POSTGRESQL, "db.m7g.large"),
            Kind::Eks => (versions::KUBERNETES, "m7g.xlarge"),
            _ => ("", "m7g.large"),
        };
        let instance = part.instance(instance);
        let instances: String = (1..=part.full)
            .map(|n| {
                let text = fill(include_str!("cloudformation/aurora-instance.yaml"), &[("n", &n.to_string())]);
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
        let values = [
            ("condition", condition.as_str()),
            ("forwarding", forwarding),
            ("source", &source),
            ("lint", lint),
            ("home", &first),
            ("else", otherwise),
            ("join", &join),
            ("rules", &self.replication_rules(part)),
            ("replicas", &self.table_replicas(part)),
            ("consistency", &self.consistency(part)),
            ("Id", &id),
            ("id", part.id.as_str()),
            ("app", self.name()),
            ("version", version),
            ("instance", instance),
            ("port", &port),
            ("storage", &storage),
            ("lag_s", &lag_s),
            ("lag_ms", &lag_ms),
            ("image", &image),
        ];
        let fragment = resources_of(part.component.kind).unwrap_or_default().replace("@{instances}", &instances);
        out + &fill(&fragment, &values)
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

    fn replication_rules(&self, part: &Part) -> String {
        if part.component.kind != Kind::S3 {
            return String::new();
        }
        // Every region has the same template, so a bucket has a rule per region; the one for itself is switched off.
        let app = self.name();
        part.regions
            .iter()
            .filter_map(|region| self.design.site(region))
            .enumerate()
            .map(|(index, site)| {
                let place = site.place();
                format!(
                    "            - !If\n              - In{}\n              - !Ref AWS::NoValue\n              - Id: {}\n                Status: \
                     Enabled\n                Priority: {}\n                Filter: {{Prefix: \"\"}}\n                DeleteMarkerReplication: \
                     {{Status: Enabled}}\n                SourceSelectionCriteria: {{SseKmsEncryptedObjects: {{Status: Enabled}}, \
                     ReplicaModifications: {{Status: Enabled}}}}\n                Destination:\n                  Bucket: !Sub \
                     arn:${{AWS::Partition}}:s3:::{app}-{}-{place}-${{AWS::AccountId}}\n                  EncryptionConfiguration: \
                     {{ReplicaKmsKeyID: !Sub \"arn:${{AWS::Partition}}:kms:{place}:${{AWS::AccountId}}:alias/{app}\"}}\n                  Metrics: \
                     {{Status: Enabled, EventThreshold: {{Minutes: 15}}}}\n                  ReplicationTime: {{Status: Enabled, Time: {{Minutes: \
                     15}}}}\n",
                    pascal(site.id.as_str()),
                    site.id,
                    index + 1,
                    part.id
                )
            })
            .collect()
    }

    fn table_replicas(&self, part: &Part) -> String {
        part.regions
            .iter()
            .filter_map(|region| self.design.site(region))
            .map(|site| {
                format!(
                    "        - Region: {}\n          DeletionProtectionEnabled: true\n          PointInTimeRecoverySpecification: \
                     {{PointInTimeRecoveryEnabled: true}}\n          SSESpecification: {{KMSMasterKeyId: alias/aws/dynamodb}}\n          Tags: \
                     [{{Key: \"lifeboat:backup\", Value: {}}}]\n",
                    site.place(),
                    self.name()
                )
            })
            .collect()
    }

    /// Strong consistency takes exactly three regions, one of which may be a witness.
    fn consistency(&self, part: &Part) -> String {
        let strong = part.component.standbys.values().any(|replication| *replication == Replication::Synchronous);
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

    fn regional_outputs(&self) -> String {
        let mut out = String::new();
        for part in &self.parts {
            let id = pascal(part.id.as_str());
            if is_balanced(part) {
                out += &format!(
                    "  {id}DnsName:\n    Description: For alias records, see global.yaml\n    Value: !GetAtt {id}Balancer.DNSName\n  {id}ZoneId:\n    \
                     Description: For alias records, see global.yaml\n    Value: !GetAtt {id}Balancer.CanonicalHostedZoneID\n"
                );
            }
        }
        if out.is_empty() { out } else { format!("\nOutputs:\n{out}") }
    }
}

/// Prose as a YAML scalar.
fn yaml_text(text: &str) -> String {
    if text.contains(": ") || text.contains(" #") { json(text) } else { text.into() }
}
