//! The root module for AWS. What it is made of is in the modules below, each of which writes some of its files.

use std::collections::BTreeSet;

use lifeboat_model::app::{Kind, Provider, RegionRole};

use crate::design::{Design, Part, STEERING_PATH, Site, Way, short};
use crate::hcl::{Body, object, quote};
use crate::members;
use crate::permissions;
use crate::registry::{self, Copies};
use crate::tree::Tree;

mod databases;
mod foundation;
mod modules;
mod nodes;
mod parts;
mod routes;
mod values;

const FOLDER: &str = "terraform/aws";
/// The oldest provider in which everything that is used exists, and no further major version.
const PROVIDER: &str = "~> 6.25";
/// Write-only attributes, which keep passwords out of the state, came with 1.11.
const TERRAFORM: &str = ">= 1.11";

const KEY_POLICY_REASON: &str = "Auto Scaling and CloudWatch Logs use the key in the account's name, not in that of a role which could be given leave.";

/// What the files of the root module share.
struct Root<'a> {
    design: &'a Design<'a>,
    /// AWS regions, witnesses included.
    sites: Vec<&'a Site<'a>>,
    parts: Vec<&'a Part<'a>>,
    /// Routes to compute that has a load balancer here.
    ways: Vec<&'a Way<'a>>,
    /// Where what cannot be in every region at once begins: the primary of multi-region keys.
    anchor: &'a Site<'a>,
    /// Registries whose images other regions need.
    copies: Vec<Copies<'a>>,
}

pub(super) fn write(design: &Design, tree: &mut Tree) {
    let sites: Vec<&Site> = design.sites_of(Provider::Aws).collect();
    let parts: Vec<&Part> = design.parts.iter().filter(|part| module_of(part.component.kind).is_some()).collect();
    let anchor = parts.first().and_then(|part| design.site(part.home)).or(sites.first().copied());
    let Some(anchor) = anchor else { return };
    let ways = design.ways.iter().filter(|way| has_load_balancer(design, way)).collect();
    let root = Root { design, sites, parts, ways, anchor, copies: registry::copies(design) };

    let mut put = |name: &str, body: Body| tree.put(format!("{FOLDER}/{name}"), body.render());
    put("versions.tf", root.versions());
    put("providers.tf", root.providers());
    put("variables.tf", root.variables());
    put("roles.tf", root.roles());
    put("network.tf", root.network());
    put("keys.tf", root.keys());
    put("lifeboat.tf", root.nodes());
    put("outputs.tf", root.outputs());
    if root.needs_backups() {
        put("backup.tf", root.backup());
    }
    if !root.copies.is_empty() {
        put("images.tf", root.images());
    }
    if !root.ways.is_empty() {
        put("routes.tf", root.routes());
    }
    for part in &root.parts {
        put(&format!("{}.tf", part.id), root.part(part));
    }
    tree.put(format!("{FOLDER}/regions.auto.tfvars.json"), root.region_values());
    tree.put_kept(format!("{FOLDER}/roles.auto.tfvars.json"), super::role_values(&root.parts));
    tree.put(format!("{FOLDER}/terraform.tfvars.example"), root.example());
    // Peering is between two regions and declares a provider for each itself.
    for module in root.module_names().into_iter().filter(|module| *module != "peering") {
        tree.put(format!("{FOLDER}/modules/{module}/versions.tf"), super::module_versions("aws"));
    }
    for (path, content) in modules::files(&root.module_names()) {
        tree.put(format!("{FOLDER}/modules/{path}"), content.replace("@{steering}", STEERING_PATH));
    }
    tree.put(format!("{FOLDER}/modules/node/member.sh"), crate::lifeboat::MEMBER);
}

/// The module that makes a component of this kind; `None`: not Terraform's on AWS.
pub(super) fn module_of(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::AuroraGlobal => Some("aurora-global"),
        Kind::Rds => Some("rds"),
        Kind::Dynamodb => Some("dynamodb"),
        Kind::S3 => Some("s3"),
        Kind::Asg => Some("asg"),
        Kind::Ecs => Some("ecs"),
        Kind::Eks => Some("eks"),
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

fn has_load_balancer(design: &Design, way: &Way) -> bool {
    design.part(way.to).is_some_and(|part| matches!(part.component.kind, Kind::Asg | Kind::Ecs))
}

/// Backed up by AWS Backup, as distinct from a kind that keeps every moment of its own.
fn is_backed_up(part: &Part) -> bool {
    matches!(part.component.kind, Kind::AuroraGlobal | Kind::Rds | Kind::Dynamodb | Kind::S3)
}

impl<'a> Root<'a> {
    fn name(&self) -> &str {
        self.design.name()
    }

    fn has(&self, test: impl Fn(&Part) -> bool) -> bool {
        self.parts.iter().any(|part| test(part))
    }

    /// Regions whose nodes have machines.
    fn node_sites(&self) -> impl Iterator<Item = &'a Site<'a>> {
        self.sites.iter().copied().filter(|site| !members::runs_in_cluster(self.design, site))
    }

    /// Regions that run components.
    fn data_sites(&self) -> impl Iterator<Item = &'a Site<'a>> {
        self.sites.iter().copied().filter(|site| site.region.role == RegionRole::Data)
    }

    fn module_names(&self) -> BTreeSet<&'static str> {
        let mut names: BTreeSet<&str> =
            self.parts.iter().filter_map(|part| module_of(part.component.kind)).chain(["network", "node"]).collect();
        names.extend(self.needs_backups().then_some("backup"));
        names.extend((!self.ways.is_empty()).then_some("steering"));
        names.extend((self.sites.len() > 1).then_some("peering"));
        names
    }

    fn versions(&self) -> Body {
        let mut file = Body::default();
        file.block("terraform", |body| {
            body.attribute("required_version", quote(TERRAFORM)).blank();
            body.block("required_providers", |body| {
                body.attribute(
                    "aws",
                    object(|aws| {
                        aws.attribute("source", quote("hashicorp/aws")).attribute("version", quote(PROVIDER));
                    }),
                );
            });
            body.blank().comment(
                "Configure a backend here. Keep the state outside the regions that it describes: it is needed when one is lost.",
            );
        });
        file
    }

    fn providers(&self) -> Body {
        let mut file = Body::default();
        file.comment("Route 53 and IAM are global; their control planes are in us-east-1 whatever region is named.");
        file.block("provider \"aws\"", |body| {
            body.attribute("region", quote("us-east-1")).attribute("sts_region", "var.sts_region").blank();
            default_tags(body, self.name());
        });
        for site in &self.sites {
            file.blank().block("provider \"aws\"", |body| {
                body.attribute("alias", quote(site.key())).attribute("region", value_of(site, "place"));
                body.attribute("sts_region", "var.sts_region").blank();
                default_tags(body, self.name());
            });
        }
        file.blank().block("data \"aws_caller_identity\" \"current\"", |_| {});
        file.blank().block("data \"aws_partition\" \"current\"", |_| {});
        file.blank().block("locals", |body| {
            body.attribute("account", "data.aws_caller_identity.current.account_id");
            body.attribute("partition", "data.aws_partition.current.partition");
        });
        file
    }

    fn roles(&self) -> Body {
        super::role_locals(&self.parts)
    }

    fn outputs(&self) -> Body {
        let mut file = Body::default();
        file.block("output \"zones\"", |body| {
            body.attribute("description", quote("Availability zones by region, for zones.auto.tfvars.json."));
            body.attribute(
                "value",
                object(|map| {
                    for site in &self.sites {
                        map.attribute(quote(site.id.as_str()), format!("module.network_{}.zones", site.key()));
                    }
                }),
            );
        });
        file.blank();
        file.block("output \"lifeboat\"", |body| {
            body.attribute("description", quote("What Lifeboat reads back: `terraform output -json lifeboat`."));
            body.attribute(
                "value",
                object(|map| {
                    map.attribute(
                        "nodes",
                        object(|nodes| {
                            for site in self.node_sites() {
                                nodes.attribute(site.key(), format!("module.node_{}.address", site.key()));
                            }
                        }),
                    );
                    map.attribute(
                        "components",
                        object(|components| {
                            for part in &self.parts {
                                components.attribute(part.key(), self.output(part));
                            }
                        }),
                    );
                }),
            );
        });
        file
    }
}

fn default_tags(body: &mut Body, app: &str) {
    body.block("default_tags", |tags| {
        tags.attribute("tags", format!("{{ \"lifeboat:app\" = {} }}", quote(app)));
    });
}

/// `providers = …` of a module in one region.
fn provider(site: &Site) -> String {
    format!("{{ aws = aws.{} }}", site.key())
}

/// A field of the region's values.
fn value_of(site: &Site, field: &str) -> String {
    format!("var.regions[{}].{field}", quote(site.id.as_str()))
}

fn zone(way: &Way) -> String {
    format!("var.zone_ids[{}]", quote(way.zone()))
}

/// IAM statements as an expression.
fn statements(statements: &[permissions::Statement]) -> String {
    let arn = |resource: &String| {
        quote(resource).replace("@{partition}", "${local.partition}").replace("@{account}", "${local.account}")
    };
    let several = |items: Vec<String>| match items.as_slice() {
        [one] => one.clone(),
        _ => format!("[\n{}]", items.iter().map(|item| format!("  {item},\n")).collect::<String>()),
    };
    let items: String = statements
        .iter()
        .map(|statement| {
            let text = object(|body| {
                body.attribute("Sid", quote(&statement.sid)).attribute("Effect", quote("Allow"));
                body.attribute("Action", several(statement.actions.iter().map(quote).collect()));
                body.attribute("Resource", several(statement.resources.iter().map(arn).collect()));
            });
            format!("  {},\n", text.replace('\n', "\n  "))
        })
        .collect();
    format!("[\n{items}]")
}

/// At most 32 characters, for load balancers.
fn short_name(design: &Design, part: &Part, site: &Site) -> String {
    short(&design.full_name(part, site.id), 32)
}
