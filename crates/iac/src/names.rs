//! Names that two things would share in generated code. They are refused: a file would take the place of another, or the tool would
//! refuse what was generated.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::App;
use lifeboat_model::app::Kind;

use crate::design::{Design, Part, Site, Way, identifier, pascal};
use crate::problem::Problem;
use crate::strict;
use crate::tree::Tree;

/// Files beside those of the components, and modules of each region.
const OWN: [&str; 20] = [
    "backup",
    "balancer",
    "images",
    "internal",
    "keys",
    "kustomization",
    "lifeboat",
    "namespace",
    "network",
    "node",
    "outputs",
    "peering",
    "pod",
    "providers",
    "region",
    "roles",
    "routes",
    "steering",
    "variables",
    "versions",
];

/// Components whose names generated code needs itself, or whose parts in two regions would be named alike.
pub(crate) fn clashes(parts: &[Part], sites: &[Site]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut taken: BTreeMap<String, (&Part, &Site)> = BTreeMap::new();
    for part in parts {
        let field = format!("components.{}", part.id);
        if OWN.contains(&part.id.as_str()) {
            let message = format!("generated code calls something else `{}`", part.id);
            problems.push(Problem::new(field, message, "give the component another name"));
            continue;
        }
        for site in sites.iter().filter(|site| part.regions.contains(&site.id)) {
            let name = identifier(&format!("{}_{}", part.id, site.id));
            if let Some((other, there)) = taken.get(&name) {
                let message = format!(
                    "in {} it would have the name of {} in {}, `{name}`, in generated code",
                    site.id, other.id, there.id
                );
                problems.push(Problem::new(field, message, "give the component another name"));
                break;
            }
            taken.insert(name, (part, site));
        }
    }
    problems
}

/// Longest name of a cluster or an instance of RDS, and of a bucket (docs.aws.amazon.com: CreateDBCluster, CreateDBInstance, Bucket naming
/// rules).
const LONGEST: usize = 63;
/// `-123456789012`: the account, in the name of a bucket.
const ACCOUNT: usize = 13;

/// Names that clouds do not take, though the file does.
pub(crate) fn unfit(app: &App, parts: &[Part], sites: &[Site]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let made: Vec<&Part> =
        parts.iter().filter(|part| !matches!(part.component.kind, Kind::Postgres | Kind::Process)).collect();
    let mut judge = |field: String, name: &str, twice: bool| {
        let what = if name.ends_with('-') {
            "ends in a hyphen"
        } else if twice && name.contains("--") {
            "has two hyphens together"
        } else {
            return;
        };
        let message = format!("`{name}` {what}, which is refused where it is made");
        problems.push(Problem::new(field, message, "letters or digits between hyphens and at the end"));
    };
    let is_rds = |part: &Part| matches!(part.component.kind, Kind::AuroraGlobal | Kind::Rds);
    if !made.is_empty() {
        let on_rds = made.iter().any(|part| is_rds(part));
        judge("app".into(), app.name.as_str(), on_rds);
        for site in sites {
            judge(format!("regions.{}", site.id), site.id.as_str(), on_rds);
        }
    }
    for part in made {
        judge(format!("components.{}", part.id), part.id.as_str(), is_rds(part));
    }
    for part in parts {
        let more = match part.component.kind {
            Kind::AuroraGlobal => 1 + part.full.to_string().len(),
            Kind::Rds => 0,
            Kind::S3 => ACCOUNT,
            _ => continue,
        };
        let named = sites.iter().filter(|site| part.regions.contains(&site.id));
        let longest = named.map(|site| site.place().len().max(site.id.as_str().len())).max().unwrap_or_default();
        let length = app.name.as_str().len() + 1 + part.id.as_str().len() + 1 + longest + more;
        if length > LONGEST {
            let message =
                format!("with the app's and a region's its name has {length} characters, and AWS takes {LONGEST}");
            let advice = format!("{} characters less, of its name or the app's", length - LONGEST);
            problems.push(Problem::new(format!("components.{}", part.id), message, advice));
        }
    }
    problems
}

/// Routes whose names are alike where only letters, digits and hyphens are taken.
pub(crate) fn alike(ways: &[Way]) -> Vec<Problem> {
    let mut taken: BTreeMap<String, &Way> = BTreeMap::new();
    let mut problems = Vec::new();
    for way in ways {
        // Modules of Terraform, records of Kubernetes, resources of CloudFormation.
        for name in [way.key(), pascal(way.host.as_str()).to_lowercase()] {
            match taken.get(&name) {
                Some(other) if other.host != way.host => {
                    let message = format!("in generated code it would have the name of {}, `{name}`", other.host);
                    problems.push(Problem::new(format!("routes.{}", way.host), message, "give the route another host"));
                    break;
                }
                Some(_) | None => _ = taken.insert(name, way),
            }
        }
    }
    problems
}

/// What a CloudFormation template names twice, by the component or route that it is of.
pub(crate) fn twice_in_template(parts: &[&Part], ways: &[&Way], template: &str) -> Option<Problem> {
    let mut seen = BTreeSet::new();
    let mut section = "";
    for line in template.lines() {
        if line.starts_with(|c: char| c.is_ascii_alphabetic()) {
            // A parameter and a resource are not told apart by `!Ref`.
            section = if line.starts_with("Parameters:") { "Resources:" } else { line };
            continue;
        }
        let Some(id) = line.strip_prefix("  ").and_then(|line| line.split_once(':')).map(|(id, _)| id) else {
            continue;
        };
        if id.starts_with([' ', '#', '-']) || seen.insert((section, id)) {
            continue;
        }
        let named = parts.iter().map(|part| (format!("components.{}", part.id), pascal(part.id.as_str())));
        let routed = ways.iter().map(|way| (format!("routes.{}", way.host), pascal(way.host.as_str())));
        let whose = named.chain(routed).filter(|(_, start)| id.starts_with(start)).max_by_key(|(_, start)| start.len());
        let field = whose.map_or_else(|| "components".into(), |(field, _)| field);
        return Some(Problem::new(
            field,
            format!("no CloudFormation: two things in the template would be called `{id}`"),
            "another name, or `--target terraform`",
        ));
    }
    None
}

/// What is named twice in generated code of Terraform, which loads all files of a folder as one, or in a JSON file.
pub(crate) fn twice(design: &Design, tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut seen: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for (path, content) in &tree.files {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        if name.ends_with(".json") {
            if let Err(why) = strict::json(content) {
                problems.push(Problem::new("components", format!("{path} would be no JSON: {why}"), "another name"));
            }
        } else if name.ends_with(".tf") {
            let is_block = |line: &&str| {
                ["module ", "resource ", "data ", "variable ", "output "].iter().any(|word| line.starts_with(word))
            };
            for line in content.lines().filter(is_block) {
                let Some(other) = seen.insert((folder, line), name) else { continue };
                let whose = design.parts.iter().find(|part| name == format!("{}.tf", part.id));
                let field = whose.map_or_else(|| "components".into(), |part| format!("components.{}", part.id));
                let block = line.trim_end_matches(" {");
                let message = format!("{folder} would have `{block}` in {other} and in {name}");
                problems.push(Problem::new(field, message, "give the component another name"));
            }
        }
    }
    problems
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may end by a panic")]
mod tests {
    use super::*;
    use crate::{Options, Target, generate};

    #[test]
    fn what_would_share_a_name_is_refused() {
        let refused = |components: &str| -> Vec<String> {
            let text = format!(
                "app: shop\nregions:\n  c: {{place: aws/eu-north-1}}\n  b-c: {{place: aws/eu-west-1}}\ncomponents:\n{components}failover: {{mode: approve}}\n"
            );
            let app = lifeboat_model::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
            Design::of(&app).err().unwrap_or_default().iter().map(ToString::to_string).collect()
        };
        assert_eq!(refused("  a: {kind: s3, writer: c, standbys: {b-c: asynchronous}}\n"), [""; 0]);
        assert_eq!(
            refused("  network: {kind: s3, writer: c, standbys: {b-c: asynchronous}}\n"),
            ["components.network: generated code calls something else `network`; give the component another name"]
        );
        assert_eq!(
            refused(
                "  a: {kind: s3, writer: c, standbys: {b-c: asynchronous}}\n  a-b: {kind: s3, writer: c, standbys: {b-c: asynchronous}}\n"
            ),
            [
                "components.a-b: in c it would have the name of a in b-c, `a_b_c`, in generated code; give the component another name"
            ]
        );
    }

    fn app(head: &str, components: &str) -> App {
        let text = format!(
            "{head}\nfailover: {{mode: approve}}\nregions:\n  a: {{place: aws/eu-north-1}}\n  b: {{place: aws/eu-central-1}}\ncomponents:\n{components}"
        );
        lifeboat_model::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    const ASG: &str = "{kind: asg, pattern: warm-standby, size: {image: ami-0a1b2c3d4e5f60718}}";

    #[test]
    fn a_template_with_a_name_twice_is_left_out_and_refused_to_who_asks_for_it() {
        for (names, at) in [
            (&["web1", "web-1"][..], "components.web"),
            (&["vpc"], "components.vpc"),
            (&["key"], "components.key"),
            (&["web", "web-access"], "components.web-access"),
            (&["web", "web-role"], "components.web-role"),
            (&["web", "web-balancer"], "components.web-balancer"),
        ] {
            let app = app("app: shop", &names.iter().map(|name| format!("  {name}: {ASG}\n")).collect::<String>());
            let only = Options { targets: [Target::CloudFormation].into(), ..Options::default() };
            let refused = generate(&app, &only).unwrap_err();
            assert!(refused[0].field.starts_with(at) && refused[0].message.contains("would be called"), "{refused:?}");
            let tree = generate(&app, &Options::default()).unwrap();
            assert!(tree.warnings.contains(&refused[0]), "{names:?}");
            assert!(!tree.files.keys().any(|path| path.starts_with("cloudformation/")), "{names:?}");
        }
    }

    #[test]
    fn routes_that_are_alike_without_their_dots_are_refused() {
        let routes = "routes:\n  a-b.c.example.com: {to: web, policy: failover}\n  a.b-c.example.com: {to: web, policy: failover}\n";
        let refused = generate(&app("app: shop", &format!("  web: {ASG}\n{routes}")), &Options::default()).unwrap_err();
        assert_eq!((refused.len(), refused[0].field.as_str()), (1, "routes.a.b-c.example.com"));
    }

    #[test]
    fn names_that_a_cloud_refuses_are_refused() {
        let rds = "{kind: rds, writer: a, standbys: {b: asynchronous}, pattern: warm-standby}";
        let long = "x".repeat(40);
        for (head, components, expected) in [
            ("app: shop".to_owned(), format!("  worker-: {ASG}\n"), "components.worker-: `worker-` ends in a hyphen"),
            ("app: shop".to_owned(), format!("  a--b: {rds}\n"), "components.a--b: `a--b` has two hyphens"),
            ("app: shop-".to_owned(), format!("  a: {rds}\n"), "app: `shop-` ends in a hyphen"),
            (
                format!("app: {long}"),
                format!("  {long}: {rds}\n"),
                "has 94 characters, and AWS takes 63; 31 characters less",
            ),
        ] {
            let refused = generate(&app(&head, &components), &Options::default()).unwrap_err();
            assert!(refused.iter().any(|problem| problem.to_string().contains(expected)), "{expected}: {refused:#?}");
        }
        assert!(generate(&app("app: shop", &format!("  a--b: {ASG}\n")), &Options::default()).is_ok());
    }
}
