//! Names that two things would share in generated code. They are refused: a file would take the place of another, or the tool would
//! refuse what was generated.

use std::collections::BTreeMap;

use crate::design::{Part, Site, identifier};
use crate::problem::Problem;

/// Files beside those of the components, and modules of each region.
const OWN: [&str; 19] = [
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

#[cfg(test)]
mod tests {
    use crate::design::Design;

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
}
