//! What a person does on AWS with one of the two tools: when a database has to move, while a region is dark, when a node's file or image
//! has changed, and to remove everything. Names differ by the tool, so each has its own commands.

use std::fmt::Write as _;

use lifeboat_model::app::{Kind, Provider, RegionRole};

use crate::aws_backups;
use crate::design::{Design, Part, Site, pascal};
use crate::members;

/// Which tool made it, so how it is named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    Terraform,
    CloudFormation,
}

/// What follows the tool's own section. `is_alone`: there is no other tool for AWS in the tree.
pub(super) fn section(design: &Design, tool: Tool, is_alone: bool) -> String {
    let parts = || design.parts.iter().filter(|part| part.provider == Provider::Aws);
    let mut out = String::new();
    let moves: String = parts().filter_map(|part| moved(design, part, tool)).collect();
    if !moves.is_empty() {
        out += "\n### When a database has to move\n\nNo node moves these; whoever does tells the role files. With ACCOUNT filled in:\n";
        out += &moves;
    }
    if parts().any(|part| matches!(part.component.kind, Kind::Dynamodb | Kind::S3)) {
        out += "\nTables and buckets are written in every region at all times: there is nothing to move but those who write.\n";
    }
    // The nodes' machines are named alike by both.
    if is_alone || tool == Tool::Terraform {
        out += &nodes(design);
    }
    out += &removal(design, tool);
    out
}

/// Instance or cluster of a component in a region.
fn name(design: &Design, part: &Part, site: &Site, tool: Tool) -> String {
    match tool {
        Tool::Terraform => design.full_name(part, site.id),
        Tool::CloudFormation => format!("{}-{}-{}", design.name(), part.id, site.place()),
    }
}

fn vault(design: &Design, site: &Site, tool: Tool) -> String {
    match tool {
        Tool::Terraform => format!("{}-{}", design.name(), site.id),
        Tool::CloudFormation => format!("{}-{}", design.name(), site.place()),
    }
}

fn moved(design: &Design, part: &Part, tool: Tool) -> Option<String> {
    let home = design.site(part.home)?;
    let to = design.site(part.regions.get(1)?)?;
    let id = part.id;
    let (from_name, to_name) = (name(design, part, home, tool), name(design, part, to, tool));
    let (from, region) = (home.place(), to.place());
    let mut out = match part.component.kind {
        Kind::AuroraGlobal if aws_backups::are_all(part) => restored_cluster(design, part, home, to, tool),
        Kind::Rds if aws_backups::are_all(part) => restored_instance(design, part, home, to, tool),
        Kind::AuroraGlobal => {
            let global = format!("{}-{id}", design.name());
            let target = format!("--target-db-cluster-identifier arn:aws:rds:{region}:ACCOUNT:cluster:{to_name}");
            let first = if part.standby == 0 {
                let instance = instances(part, region, &to_name, 1);
                match tool {
                    Tool::Terraform => format!(
                        "{instance}    aws rds wait db-instance-available --region {region} --db-instance-identifier {to_name}-1\n"
                    ),
                    // By hand it would be in the stack's way.
                    Tool::CloudFormation => format!(
                        "    # first its instances: {}Writes=true for {region}, as below\n",
                        pascal(id.as_str())
                    ),
                }
            } else {
                String::new()
            };
            format!(
                "\n**{id}** to {}, asked in the region that takes over. The second where {} is lost; it may lose the last moments:\n\n{first}    aws rds \
                 switchover-global-cluster --region {region} --global-cluster-identifier {global} \\\n      {target}\n    aws rds failover-global-cluster \
                 --allow-data-loss --region {region} --global-cluster-identifier {global} \\\n      {target}\n",
                to.id, home.id
            )
        }
        Kind::Rds => format!(
            "\n**{id}** to {}. Stop what writes first, where {} is alive: what the replica has not received is lost. Nothing makes it a replica again:\n\n    aws \
             rds promote-read-replica --region {region} --db-instance-identifier {to_name}\n    aws rds wait db-instance-available --region {region} \
             --db-instance-identifier {to_name}\n",
            to.id, home.id
        ),
        _ => return None,
    };
    let _ = writeln!(out, "    lifeboat roles lifeboat.yaml --out infra --writer {id}={} --offline", to.id);
    out += match tool {
        Tool::Terraform => "    terraform apply    # with -refresh=false while a region is dark\n",
        Tool::CloudFormation => "    ./apply.sh BUCKET    # while a region is dark: update-stack-instances, as above\n",
    };
    out += &match part.component.kind {
        Kind::AuroraGlobal if !aws_backups::are_all(part) => format!(
            "\nThe apply gives the writer all of its instances ({}) and {} what a standby has ({}){}.\n",
            part.full,
            home.id,
            part.standby,
            if tool == Tool::Terraform {
                format!("; instances named `{to_name}-NUMBER` that are there already are adopted")
            } else {
                String::new()
            }
        ),
        Kind::Rds if !aws_backups::are_all(part) => replaced(&from_name, from, &to_name, region, tool),
        _ => String::new(),
    };
    Some(out)
}

/// The old writer makes place for a replica of the new one.
fn replaced(from_name: &str, from: &str, to_name: &str, region: &str, tool: Tool) -> String {
    let last = match tool {
        Tool::Terraform => {
            "terraform apply    # makes it anew, as a replica of the region that the role file names".to_owned()
        }
        Tool::CloudFormation => format!(
            "aws rds create-db-instance-read-replica --region {from} --source-region {region} --db-instance-identifier {from_name} \\\n      \
             --source-db-instance-identifier arn:aws:rds:{region}:ACCOUNT:db:{to_name}    # and its subnets, access and key, as the old one had them"
        ),
    };
    format!(
        "\nOnce {from} is back its old writer has what was not replicated, and nothing follows it. Look for what is missing, keep it, and put a replica in its \
         place:\n\n    aws rds create-db-snapshot --region {from} --db-instance-identifier {from_name} --db-snapshot-identifier {from_name}-before\n    aws rds \
         wait db-snapshot-completed --region {from} --db-snapshot-identifier {from_name}-before\n    aws rds modify-db-instance --region {from} \
         --db-instance-identifier {from_name} --no-deletion-protection\n    aws rds delete-db-instance --region {from} --db-instance-identifier {from_name} \
         --skip-final-snapshot --no-delete-automated-backups\n    aws rds wait db-instance-deleted --region {from} --db-instance-identifier {from_name}\n    \
         {last}\n"
    )
}

fn instances(part: &Part, region: &str, cluster: &str, most: u32) -> String {
    let class = part.instance("db.r7g.large");
    let one = |number: u32| {
        format!(
            "    aws rds create-db-instance --region {region} --db-cluster-identifier {cluster} --db-instance-identifier {cluster}-{number} \\\n      --engine \
             aurora-postgresql --db-instance-class {class} --no-auto-minor-version-upgrade\n"
        )
    };
    (1..=most).map(one).collect()
}

/// Shell variables for what surrounds a database that is restored: subnets, access, parameters.
fn surroundings(design: &Design, part: &Part, to: &Site, tool: Tool) -> String {
    let (name, region) = (name(design, part, to, tool), to.place());
    match tool {
        Tool::Terraform => format!(
            "    subnets={name} parameters={name}\n    access=$(aws ec2 describe-security-groups --region {region} --filters Name=group-name,Values={name} \\\n      \
             --query 'SecurityGroups[0].GroupId' --output text)\n"
        ),
        Tool::CloudFormation => {
            let (app, id) = (design.name(), pascal(part.id.as_str()));
            format!(
                "    stack=$(aws cloudformation list-stack-instances --stack-set-name {app} --stack-instance-region {region} \\\n      --query \
                 'Summaries[0].StackId' --output text)    # where the stack set is\n    made() {{ aws cloudformation describe-stack-resource --region {region} \
                 --stack-name \"$stack\" --logical-resource-id \"$1\" \\\n      --query StackResourceDetail.PhysicalResourceId --output text; }}\n    \
                 subnets=$(made DatabaseSubnets) parameters=$(made {id}Parameters) access=$(made {id}Access)\n"
            )
        }
    }
}

const AROUND: &str = "--db-subnet-group-name \"$subnets\" --vpc-security-group-ids \"$access\"";
const KEPT: &str = "--enable-iam-database-authentication --copy-tags-to-snapshot --deletion-protection";

fn restored_instance(design: &Design, part: &Part, home: &Site, to: &Site, tool: Tool) -> String {
    let (source, target) = (name(design, part, home, tool), name(design, part, to, tool));
    let (app, region, class, port) = (design.name(), to.place(), part.instance("db.m7g.large"), part.port);
    format!(
        "\n**{}** in {} from its backups, which lag by minutes; where {} is alive, stop what writes first and wait for as long:\n\n{}    backup=$(aws rds \
         describe-db-instance-automated-backups --region {region} --db-instance-identifier {source} \\\n      --query \
         'DBInstanceAutomatedBackups[0].DBInstanceAutomatedBackupsArn' --output text)\n    aws rds restore-db-instance-to-point-in-time --region {region} \
         --use-latest-restorable-time \\\n      --source-db-instance-automated-backups-arn \"$backup\" --target-db-instance-identifier {target} \\\n      \
         --db-instance-class {class} --port {port} --multi-az --no-publicly-accessible --storage-type gp3 \\\n      {AROUND} --db-parameter-group-name \
         \"$parameters\" \\\n      {KEPT} --no-auto-minor-version-upgrade --tags Key=lifeboat:backup,Value={app}\n    aws rds wait db-instance-available --region \
         {region} --db-instance-identifier {target}\n{}",
        part.id,
        to.id,
        home.id,
        surroundings(design, part, to, tool),
        told(
            part,
            region,
            &target,
            "describe-db-instances --db-instance-identifier",
            "DBInstances[0].Endpoint.Address",
            tool
        )
    )
}

fn restored_cluster(design: &Design, part: &Part, home: &Site, to: &Site, tool: Tool) -> String {
    let (source, target) = (name(design, part, home, tool), name(design, part, to, tool));
    let (app, region, port) = (design.name(), to.place(), part.port);
    let vault = vault(design, to, tool);
    format!(
        "\n**{}** in {} from the last copy, which is up to two hours old:\n\n{}    copy=$(aws backup list-recovery-points-by-backup-vault --region {region} \
         --backup-vault-name {vault} \\\n      --query \"sort_by(RecoveryPoints[?Status=='COMPLETED' && ends_with(ResourceArn, ':cluster:{source}')], \
         &CreationDate)[-1].RecoveryPointArn\" --output text)\n    key=$(aws backup describe-backup-vault --region {region} --backup-vault-name {vault} --query \
         EncryptionKeyArn --output text)\n    aws rds restore-db-cluster-from-snapshot --region {region} --snapshot-identifier \"$copy\" --kms-key-id \"$key\" \
         \\\n      --engine aurora-postgresql --db-cluster-identifier {target} --port {port} \\\n      {AROUND} --db-cluster-parameter-group-name \
         \"$parameters\" \\\n      {KEPT} --enable-cloudwatch-logs-exports postgresql \\\n      --tags Key=lifeboat:backup,Value={app} \
         Key=lifeboat:copies,Value={app}\n    aws rds wait db-cluster-available --region {region} --db-cluster-identifier {target}\n{}    aws rds wait \
         db-instance-available --region {region} --db-instance-identifier {target}-1\n{}",
        part.id,
        to.id,
        surroundings(design, part, to, tool),
        instances(part, region, &target, part.full),
        told(part, region, &target, "describe-db-clusters --db-cluster-identifier", "DBClusters[0].Endpoint", tool)
    )
}

/// Terraform adopts what was restored and tells its name; a stack set does neither.
fn told(part: &Part, region: &str, target: &str, describe: &str, query: &str, tool: Tool) -> String {
    match tool {
        Tool::Terraform => String::new(),
        Tool::CloudFormation => format!(
            "    host=$(aws rds {describe} {target} --region {region} --query {query} --output text)\n    echo \"[{{\\\"ParameterKey\\\": \\\"{}Host\\\", \
             \\\"ParameterValue\\\": \\\"$host\\\"}}]\" >restored.json    # for apply.sh; it stays outside the stack\n",
            pascal(part.id.as_str())
        ),
    }
}

fn nodes(design: &Design) -> String {
    let with_machine = |site: &&Site| !members::runs_in_cluster(design, site);
    let commands: String = design
        .sites_of(Provider::Aws)
        .filter(with_machine)
        .map(|site| {
            format!(
                "    aws autoscaling start-instance-refresh --region {} --auto-scaling-group-name {}-lifeboat-{} \\\n      --preferences \
                 MinHealthyPercentage=0\n",
                site.place(),
                design.name(),
                site.id
            )
        })
        .collect();
    if commands.is_empty() {
        return String::new();
    }
    format!(
        "\n### When the app's file or an image changes\n\nA changed file is fetched by every node's machine within an hour and a half of the apply, checked, and the \
         node restarted. For new images of Lifeboat and etcd, and\nfor what else the machines read at boot, they are replaced: one region after the other, the next \
         once `lifeboat status` shows the last one again. With two\nat once the state store would lose its majority.\n\n{commands}"
    )
}

/// What refuses midway, and how it is emptied.
fn removal(design: &Design, tool: Tool) -> String {
    let parts = || design.parts.iter().filter(|part| part.provider == Provider::Aws);
    let data = || design.sites_of(Provider::Aws).filter(|site| site.region.role == RegionRole::Data);
    let mut out = "\n### To remove everything\n\nWhat keeps data or leads to it does not go by itself: ".to_owned();
    out += match tool {
        Tool::Terraform => {
            "databases, tables, clusters and load balancers have deletion protection, and vaults and buckets\nare not deleted while anything is in them. An apply without \
             the protection, then what is kept, then the rest:\n\n    sed -i -E 's/((enable_)?deletion_protection(_enabled)?) *= true/\\1 = false/' *.tf \
             modules/*/*.tf && terraform apply\n"
        }
        Tool::CloudFormation => {
            "clusters and load balancers have deletion protection, and databases, keys, vaults and buckets\nstay when their stack goes. Take the protection off \
             (`aws elbv2 modify-load-balancer-attributes`, `aws eks update-cluster-config`), delete the stacks,\nthen what they left:\n\n"
        }
    };
    let app = design.name();
    if tool == Tool::CloudFormation {
        let regions: Vec<&str> = design.sites_of(Provider::Aws).map(Site::place).collect();
        let _ = writeln!(out, "    aws cloudformation delete-stack --stack-name {app}-global");
        let _ = writeln!(
            out,
            "    aws cloudformation delete-stack-instances --stack-set-name {app} --accounts ACCOUNT --no-retain-stacks \\\n      --regions {}",
            regions.join(" ")
        );
        let _ = writeln!(out, "    aws cloudformation delete-stack --stack-name {app}-regions    # once they are gone");
    }
    if parts().any(|part| part.component.kind.is_database()) {
        out += EMPTY_VAULT;
        for site in data() {
            let _ = writeln!(out, "    empty_vault {} {}", site.place(), vault(design, site, tool));
        }
    }
    let mut buckets = String::new();
    for part in parts().filter(|part| part.component.kind == Kind::S3) {
        for site in part.regions.iter().filter_map(|id| design.site(id)) {
            let _ = writeln!(buckets, "    empty_bucket {} {}-ACCOUNT", site.place(), name(design, part, site, tool));
        }
    }
    if !buckets.is_empty() {
        out += EMPTY_BUCKET;
        out += &buckets;
    }
    out += match tool {
        Tool::Terraform => "    terraform destroy\n",
        Tool::CloudFormation => {
            "\nThe stacks' databases, keys, vaults and buckets are still there then, under the names above: delete those that nobody needs.\n"
        }
    };
    if !buckets.is_empty() {
        out += "\nReplication fills buckets again: empty those of all regions, and what writes to them goes first.\n";
    }
    out
}

const EMPTY_VAULT: &str = "    empty_vault() { # REGION VAULT
      for point in $(aws backup list-recovery-points-by-backup-vault --region \"$1\" --backup-vault-name \"$2\" \\
        --query 'RecoveryPoints[].RecoveryPointArn' --output text); do
        aws backup delete-recovery-point --region \"$1\" --backup-vault-name \"$2\" --recovery-point-arn \"$point\"
      done
    }
";

/// All versions of everything, a thousand at a time.
const EMPTY_BUCKET: &str = "    empty_bucket() { # REGION BUCKET
      while
        versions=$(aws s3api list-object-versions --region \"$1\" --bucket \"$2\" --max-items 1000 --output json \\
          --query '{Objects: [Versions, DeleteMarkers][].{Key: Key, VersionId: VersionId}}')
        [ \"$(echo \"$versions\" | jq '.Objects | length')\" -gt 0 ]
      do
        aws s3api delete-objects --region \"$1\" --bucket \"$2\" --delete \"$versions\" >/dev/null
      done
    }
";
