//! What a Lifeboat node may do in its cloud: the least that moving the app's components takes. One list, from which the
//! Terraform modules, the CloudFormation template and the plain policy files are written.

use lifeboat_model::app::Kind;

use crate::design::{Design, Part, Site};

/// Something that is allowed on AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) sid: String,
    pub(crate) actions: Vec<&'static str>,
    /// ARNs; `@{partition}` and `@{account}` are for the caller to fill in.
    pub(crate) resources: Vec<String>,
}

/// What the node of a region may do there. Nodes act on their own region only; the exceptions are global clusters, which are
/// failed over by the region that takes over.
pub(crate) fn aws_statements(design: &Design, site: &Site) -> Vec<Statement> {
    let here = |part: &&Part| part.regions.contains(&site.id);
    let mut statements: Vec<Statement> =
        design.parts.iter().filter(here).filter_map(|part| aws_statement(design, part, site)).collect();
    // Descriptions and metrics know no resource-level permissions.
    statements.push(Statement {
        sid: "Observe".into(),
        actions: observations(design, site),
        resources: vec!["*".into()],
    });
    statements
}

fn aws_statement(design: &Design, part: &Part, site: &Site) -> Option<Statement> {
    let place = site.place();
    let name = design.full_name(part, site.id);
    let global = format!("{}-{}", design.name(), part.id);
    let arn = |service: &str, rest: String| format!("arn:@{{partition}}:{service}:{place}:@{{account}}:{rest}");
    let (actions, resources) = match part.component.kind {
        Kind::AuroraGlobal => (
            vec!["rds:FailoverGlobalCluster", "rds:SwitchoverGlobalCluster"],
            std::iter::once(format!("arn:@{{partition}}:rds::@{{account}}:global-cluster:{global}"))
                .chain(part.regions.iter().filter_map(|region| {
                    let other = design.site(region)?;
                    let cluster = design.full_name(part, region);
                    Some(format!("arn:@{{partition}}:rds:{}:@{{account}}:cluster:{cluster}", other.place()))
                }))
                .collect(),
        ),
        Kind::Rds => (vec!["rds:ModifyDBInstance", "rds:PromoteReadReplica"], vec![arn("rds", format!("db:{name}"))]),
        Kind::Asg => (
            vec!["autoscaling:SetDesiredCapacity", "autoscaling:UpdateAutoScalingGroup"],
            vec![arn("autoscaling", format!("autoScalingGroup:*:autoScalingGroupName/{name}"))],
        ),
        Kind::Ecs => (vec!["ecs:UpdateService"], vec![arn("ecs", format!("service/{name}/{name}"))]),
        Kind::Eks => (vec!["eks:UpdateNodegroupConfig"], vec![arn("eks", format!("nodegroup/{name}/main/*"))]),
        Kind::Dynamodb
        | Kind::S3
        | Kind::Postgres
        | Kind::AzureSql
        | Kind::Cosmosdb
        | Kind::AzurePostgres
        | Kind::AzureStorage
        | Kind::Process
        | Kind::Vmss
        | Kind::Aks
        | Kind::Deployment => return None,
    };
    Some(Statement { sid: format!("Move{}", crate::design::pascal(part.id.as_str())), actions, resources })
}

/// What an application of a region may do with the data that it needs there. A database user that logs in by IAM is named after the
/// component.
pub(crate) fn of_application(design: &Design, part: &Part, site: &Site) -> Vec<Statement> {
    let needs = part.component.needs.iter().filter_map(|id| design.part(id));
    needs.filter_map(|data| application_statement(design, part, data, site)).collect()
}

/// What the app's pods in a region's cluster may do with the data that they, or the cluster itself, need there.
pub(crate) fn of_pods(design: &Design, cluster: &Part, site: &Site) -> Vec<Statement> {
    let pods = design.parts_of(Kind::Deployment).filter(|pod| pod.regions.contains(&site.id));
    let mut all: Vec<Statement> = Vec::new();
    for statement in std::iter::once(cluster).chain(pods).flat_map(|part| of_application(design, part, site)) {
        match all.iter_mut().find(|known| known.sid == statement.sid) {
            Some(known) => {
                known.resources.extend(statement.resources);
                known.resources.sort();
                known.resources.dedup();
            }
            None => all.push(statement),
        }
    }
    all
}

fn application_statement(design: &Design, part: &Part, data: &Part, site: &Site) -> Option<Statement> {
    let arn =
        |service: &str, place: &str, rest: String| format!("arn:@{{partition}}:{service}:{place}:@{{account}}:{rest}");
    let (actions, resources) = match data.component.kind {
        // It writes where the writer is, in its own region or, for a while, in another.
        Kind::AuroraGlobal | Kind::Rds => {
            let secret = arn("secretsmanager", site.place(), format!("secret:{}/{}-??????", design.name(), data.id));
            let user = |place: &str| arn("rds-db", place, format!("dbuser:*/{}", part.key()));
            let users = data.regions.iter().filter_map(|region| Some(user(design.site(region)?.place())));
            (vec!["rds-db:connect", "secretsmanager:GetSecretValue"], users.chain([secret]).collect())
        }
        Kind::Dynamodb => {
            let table = arn("dynamodb", site.place(), format!("table/{}-{}", design.name(), data.id));
            let actions = vec![
                "dynamodb:BatchGetItem",
                "dynamodb:BatchWriteItem",
                "dynamodb:ConditionCheckItem",
                "dynamodb:DeleteItem",
                "dynamodb:DescribeTable",
                "dynamodb:GetItem",
                "dynamodb:PutItem",
                "dynamodb:Query",
                "dynamodb:Scan",
                "dynamodb:UpdateItem",
            ];
            (actions, vec![format!("{table}/index/*"), table])
        }
        Kind::S3 => {
            let bucket = format!("arn:@{{partition}}:s3:::{}-@{{account}}", design.full_name(data, site.id));
            let actions = vec!["s3:DeleteObject", "s3:GetObject", "s3:ListBucket", "s3:PutObject"];
            (actions, vec![format!("{bucket}/*"), bucket])
        }
        _ => return None,
    };
    Some(Statement { sid: format!("Use{}", crate::design::pascal(data.id.as_str())), actions, resources })
}

fn observations(design: &Design, site: &Site) -> Vec<&'static str> {
    let mut actions = vec!["cloudwatch:GetMetricData"];
    for part in design.parts.iter().filter(|part| part.regions.contains(&site.id)) {
        actions.extend_from_slice(match part.component.kind {
            Kind::AuroraGlobal => &["rds:DescribeDBClusters", "rds:DescribeGlobalClusters"],
            Kind::Rds => &["rds:DescribeDBInstances"],
            Kind::Asg => &["autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeScalingActivities"],
            Kind::Ecs => &["ecs:DescribeServices"],
            Kind::Eks => &["eks:DescribeCluster", "eks:DescribeNodegroup", "eks:DescribeUpdate"],
            Kind::Dynamodb => &["dynamodb:DescribeTable"],
            Kind::S3 => &["s3:GetReplicationConfiguration"],
            Kind::Postgres
            | Kind::AzureSql
            | Kind::Cosmosdb
            | Kind::AzurePostgres
            | Kind::AzureStorage
            | Kind::Process
            | Kind::Vmss
            | Kind::Aks
            | Kind::Deployment => &[],
        });
    }
    actions.sort_unstable();
    actions.dedup();
    actions
}

/// What the nodes may do on Azure, as the actions of a custom role: each in its own region's resource group and in that of what is
/// global.
pub(crate) fn azure_actions(design: &Design) -> Vec<&'static str> {
    let mut actions = vec!["Microsoft.Insights/metrics/read", "Microsoft.Resources/subscriptions/resourceGroups/read"];
    for part in &design.parts {
        actions.extend_from_slice(match part.component.kind {
            Kind::AzureSql => &[
                "Microsoft.Sql/servers/read",
                "Microsoft.Sql/servers/databases/read",
                "Microsoft.Sql/servers/failoverGroups/read",
                "Microsoft.Sql/servers/failoverGroups/failover/action",
                "Microsoft.Sql/servers/failoverGroups/forceFailoverAllowDataLoss/action",
            ],
            Kind::Cosmosdb => &[
                "Microsoft.DocumentDB/databaseAccounts/read",
                "Microsoft.DocumentDB/databaseAccounts/failoverPriorityChange/action",
                "Microsoft.DocumentDB/databaseAccounts/offlineRegion/action",
            ],
            Kind::AzurePostgres => &[
                "Microsoft.DBforPostgreSQL/flexibleServers/read",
                "Microsoft.DBforPostgreSQL/flexibleServers/write",
                "Microsoft.DBforPostgreSQL/flexibleServers/virtualEndpoints/read",
            ],
            Kind::AzureStorage => &["Microsoft.Storage/storageAccounts/read"],
            Kind::Vmss => {
                &["Microsoft.Compute/virtualMachineScaleSets/read", "Microsoft.Compute/virtualMachineScaleSets/write"]
            }
            Kind::Aks => &[
                "Microsoft.ContainerService/managedClusters/read",
                "Microsoft.ContainerService/managedClusters/agentPools/read",
                "Microsoft.ContainerService/managedClusters/agentPools/write",
            ],
            Kind::Postgres
            | Kind::AuroraGlobal
            | Kind::Rds
            | Kind::Dynamodb
            | Kind::S3
            | Kind::Process
            | Kind::Asg
            | Kind::Ecs
            | Kind::Eks
            | Kind::Deployment => &[],
        });
    }
    actions.sort_unstable();
    actions.dedup();
    actions
}
