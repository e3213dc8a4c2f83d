//! CloudFormation: one template for all regions, a stack set that puts it into each of them with the region's own
//! parameters, and a stack for what is global (names of the nodes, health checks, records). Two scripts do what templates cannot.

use lifeboat_model::app::{Kind, Pattern, Provider, RegionRole};

use crate::Problem;
use crate::design::{Design, Part, Site, Way, pascal};
use crate::tree::Tree;
use crate::{aws_backups, members, names};

mod components;
mod foundation;
mod global;
mod links;
mod node;
mod parameters;
mod scripts;
mod stack_set;

pub(crate) use stack_set::{role_keys, roles_in};

const FOLDER: &str = "cloudformation";

/// cfn-lint wants images and certificates to look like such at all times, and AWS that an image exists in the region.
const EMPTY_LINT: &str = "Metadata:\n  # A region without these components is given neither image nor certificate.\n  cfn-lint: {config: {ignore_checks: [W1030, W2506]}}\n\n";

struct Stacks<'a> {
    design: &'a Design<'a>,
    /// Regions on AWS, the home of the first component first, those that only vote last: a stack set goes through them in this
    /// order, and what a secondary joins is made in the home region.
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
    let mut sites: Vec<&Site> = design.sites_of(Provider::Aws).collect();
    sites.sort_by_key(|site| (site.region.role == RegionRole::Witness, site.id != first.home));
    let balanced = |way: &&Way| parts.iter().any(|part| part.id == way.to && is_balanced(part));
    let ways = design.ways.iter().filter(balanced).collect();
    let stacks = Stacks { design, sites, parts, ways };
    let (regional, stack_set, global) = (stacks.regional(), stacks.stack_set(), stacks.global());
    if let Some(problem) = too_large(&[&regional, &stack_set, global.as_deref().unwrap_or_default()]) {
        return Err(problem);
    }
    for template in [&regional, &stack_set, global.as_ref().unwrap_or(&regional)] {
        if let Some(problem) = names::twice_in_template(&stacks.parts, &stacks.ways, template) {
            return Err(problem);
        }
    }
    tree.put(format!("{FOLDER}/regional.yaml"), regional);
    tree.put(format!("{FOLDER}/stackset.yaml"), stack_set);
    tree.put_kept(format!("{FOLDER}/roles.json"), stacks.roles());
    tree.put(format!("{FOLDER}/parameters.example.json"), stacks.example());
    tree.put(format!("{FOLDER}/prepare.sh"), stacks.prepare());
    tree.put(format!("{FOLDER}/apply.sh"), stacks.apply());
    tree.put(format!("{FOLDER}/observe.sh"), stacks.observe());
    if let Some(global) = global {
        tree.put(format!("{FOLDER}/global.yaml"), global);
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

/// CloudFormation's quotas: 500 resources and 200 parameters in a template, which may have a megabyte where it is read from S3, as
/// the scripts have it (docs.aws.amazon.com, CloudFormation quotas).
fn too_large(templates: &[&str]) -> Option<Problem> {
    let what = templates.iter().find_map(|template| {
        let (head, body) = template.split_once("\nResources:")?;
        let resources = body.matches("\n    Type: AWS::").count();
        let parameters = head.matches("\n    Description: ").count();
        if resources > 500 || parameters > 200 {
            Some(format!(
                "{resources} resources and {parameters} parameters are more than AWS takes in one template (500 and 200)"
            ))
        } else if template.len() > 1 << 20 {
            Some(format!("a template of {} bytes is more than AWS takes (a megabyte)", template.len()))
        } else {
            None
        }
    })?;
    Some(Problem::new(
        "components",
        format!("no CloudFormation: {what}"),
        "`--target terraform`, or an app in several files",
    ))
}

fn is_balanced(part: &Part) -> bool {
    matches!(part.component.kind, Kind::Asg | Kind::Ecs)
}

fn is_sql(part: &Part) -> bool {
    matches!(part.component.kind, Kind::AuroraGlobal | Kind::Rds)
}

/// Whether a database has instances, besides its data, by its role in a region.
fn is_sized_by_role(part: &Part) -> bool {
    part.component.kind == Kind::AuroraGlobal && !aws_backups::are_all(part) && part.full > part.standby
}

/// Whether the component is made in a region only once it is to serve there.
fn is_made_later(part: &Part) -> bool {
    !part.component.kind.is_database() && part.pattern == Pattern::BackupRestore
}

impl<'a> Stacks<'a> {
    fn name(&self) -> &str {
        self.design.name()
    }

    fn has(&self, test: impl Fn(&Part) -> bool) -> bool {
        self.parts.iter().any(|part| test(part))
    }

    fn compute(&self) -> impl Iterator<Item = &&'a Part<'a>> {
        self.parts.iter().filter(|part| !part.component.kind.is_database())
    }

    /// Whether the component exists in some of the regions only, or at some times, so that its resources have a condition.
    fn is_conditional(&self, part: &Part) -> bool {
        is_made_later(part) || self.sites.iter().any(|site| !part.regions.contains(&site.id))
    }

    /// Whether there are regions without components.
    fn has_witness(&self) -> bool {
        self.sites.iter().any(|site| site.region.role == RegionRole::Witness)
    }

    /// Regions whose nodes have machines.
    fn node_sites(&self) -> Vec<&Site<'_>> {
        self.sites.iter().copied().filter(|site| !members::runs_in_cluster(self.design, site)).collect()
    }

    fn has_members(&self) -> bool {
        self.sites.iter().any(|site| members::member(self.design, site).is_some())
    }

    fn regional(&self) -> String {
        let mut out = format!(
            "AWSTemplateFormatVersion: \"2010-09-09\"\nDescription: {} in one region. The same template for every region; what differs \
             is in the parameters and mappings.\n\n",
            self.name()
        );
        if self.own_parameters(None).iter().any(|own| own.default == Some("") && own.name != "AlarmTopic") {
            out += EMPTY_LINT;
        }
        out += &self.regional_parameter_section();
        out += &self.mappings();
        out += &self.conditions();
        out += "Resources:\n";
        out += &self.foundation();
        let machines = self.node_sites();
        out += &match machines.len() {
            0 => String::new(),
            some if some == self.sites.len() => self.node(),
            _ => on_condition(&self.node(), "HasMachine"),
        };
        out += &self.link_resources();
        for part in &self.parts {
            let resources = self.resources(part);
            out += &if self.is_conditional(part) {
                on_condition(&resources, &format!("{}Here", pascal(part.id.as_str())))
            } else {
                resources
            };
        }
        out += &self.regional_outputs();
        out
    }

    fn regional_outputs(&self) -> String {
        let mut out = String::from("\nOutputs:\n");
        let machines = self.node_sites().len();
        if machines > 0 {
            let condition = if machines < self.sites.len() { "    Condition: HasMachine\n" } else { "" };
            out += &format!(
                "  NodeAddress:\n    Description: Public address of the Lifeboat node; stays when the machine is replaced\n{condition}    \
                 Value: !Ref NodeAddress\n"
            );
        }
        out += &self.link_outputs();
        out += &self.host_outputs();
        for part in self.parts.iter().filter(|part| is_balanced(part)) {
            let id = pascal(part.id.as_str());
            let condition =
                if self.is_conditional(part) { format!("    Condition: {id}Here\n") } else { String::new() };
            for (output, attribute) in [("DnsName", "DNSName"), ("ZoneId", "CanonicalHostedZoneID")] {
                out += &format!(
                    "  {id}{output}:\n    Description: For alias records, see global.yaml\n{condition}    Value: !GetAtt {id}Balancer.{attribute}\n"
                );
            }
        }
        out
    }
}

/// The same resources, made on a condition; those that have a condition of their own keep it, for it is the narrower one.
fn on_condition(resources: &str, condition: &str) -> String {
    let mut out = String::with_capacity(resources.len());
    let mut lines = resources.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        out += line;
        let has_own = lines.peek().is_some_and(|next| next.starts_with("    Condition: "));
        if line.starts_with("    Type: AWS::") && !has_own {
            out += &format!("    Condition: {condition}\n");
        }
    }
    out
}

/// Prose as a YAML scalar.
fn yaml_text(text: &str) -> String {
    if text.contains(": ") || text.contains(" #") { crate::fragment::json(text) } else { text.into() }
}
