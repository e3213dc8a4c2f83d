//! Drift: what the regions really run, compared with the file and with each other.
//!
//! Whoever asks the providers hands in what was seen; nothing here asks. A region that was not seen is not drift: a lost
//! region must not drown what matters about the others.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::app::Kind;
use lifeboat_model::status::Difference;
use lifeboat_model::{App, ComponentId, RegionId};
use serde::{Deserialize, Serialize};

use crate::design::{Design, Part};
use crate::{Problem, Seen, aws_backups};

/// What a region was seen to run of a component. `None` and absent keys: not seen, so not compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Observed {
    /// The image. Of an AMI the one that it was copied from, for every region has a copy of its own.
    pub image: Option<String>,
    /// The provider's name of the size of one instance.
    pub instance: Option<String>,
    /// Instances at the least: the lower limit of scaling, or how many there are where nothing scales.
    pub size: Option<u32>,
    /// Version of the engine or the platform.
    pub version: Option<String>,
    /// Parameters that have to be the same everywhere.
    pub parameters: BTreeMap<String, String>,
    /// Secrets by name, each as a hash of its value, never the value.
    pub secrets: BTreeMap<String, String>,
}

/// As much of a secret's hash as mostly tells two apart. Viewers see it, and more of it would tell whether a guess is right.
const HASH_SHOWN: usize = 4;
/// As much of any other text as is shown, in characters: a node keeps plain lines of at most a thousand bytes.
const SHOWN: usize = 200;

/// What was seen, by component and region.
pub type Observations = BTreeMap<ComponentId, BTreeMap<RegionId, Observed>>;

/// Everything that differs, by component and region. What was seen says too which regions serve and write now; a component that it does
/// not name does so where it does at first.
///
/// Images and sizes are compared with the file where it names them; versions, parameters and secrets, of which the file
/// says nothing, with the component's home region, or the first region that was seen.
///
/// # Errors
/// Whatever keeps the file from being generated keeps it from being compared.
pub fn drift(app: &App, seen: &Seen) -> Result<Vec<Difference>, Vec<Problem>> {
    let design = Design::of(app)?;
    let mut found = Vec::new();
    for part in &design.parts {
        let Some(regions) = seen.observations.get(part.id) else { continue };
        for (region, observed) in regions.iter().filter(|(region, _)| part.regions.contains(region)) {
            // A database that is written in a region bears the load there.
            let serves = if part.component.kind.is_database() {
                seen.writers.get(part.id).unwrap_or(part.home) == region
            } else {
                let serving = seen.serving.get(part.id);
                serving.map_or_else(|| part.serving().contains(&region), |regions| regions.contains(region))
            };
            found.extend(against_file(&design, part, region, observed, serves));
        }
        let model = regions.get_key_value(part.home).or_else(|| regions.iter().next());
        let Some((model, example)) = model else { continue };
        for (region, observed) in regions.iter().filter(|(region, _)| *region != model) {
            found.extend(against_region(part, region, observed, model, example));
        }
    }
    for Difference { what, expected, found, .. } in &mut found {
        for text in [Some(what), Some(expected), found.as_mut()].into_iter().flatten() {
            *text = in_a_line(text);
        }
    }
    Ok(found)
}

/// What was seen may be of any length and shape.
fn in_a_line(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let rest = if text.chars().nth(SHOWN).is_some() { "…" } else { "" };
    line.take(SHOWN).chain(rest.chars()).collect()
}

fn against_file(design: &Design, part: &Part, region: &RegionId, observed: &Observed, serves: bool) -> Vec<Difference> {
    let size = &part.component.size;
    let image = size.image.as_ref().and(design.site(region)).map(|site| part.image_in(design, site));
    let is_compute = !part.component.kind.is_database();
    // How many readers a database has is not said by its role, except that Aurora may do without.
    let expected_size = match (is_compute, part.component.kind) {
        // Add-ons of a cluster need a machine even where nothing is served.
        (true, Kind::Eks) => Some(if serves { part.full } else { part.standby.max(1) }),
        (true, _) => Some(if serves { part.full } else { part.standby }),
        // What was restored from a backup has all of its instances.
        (false, Kind::AuroraGlobal) => {
            Some(if serves || aws_backups::are_all(part) { part.full } else { part.standby })
        }
        (false, _) => None,
    };
    let pairs = [
        ("image", image, observed.image.clone()),
        ("instance", size.instance.clone(), observed.instance.clone()),
        ("size", expected_size.map(|size| size.to_string()), observed.size.map(|size| size.to_string())),
    ];
    pairs
        .into_iter()
        .filter_map(|(what, expected, found)| {
            let (expected, found) = (expected?, found?);
            (expected != found).then(|| Difference {
                component: part.id.clone(),
                region: region.clone(),
                what: what.into(),
                expected,
                found: Some(found),
                like: None,
            })
        })
        .collect()
}

fn against_region(
    part: &Part,
    region: &RegionId,
    observed: &Observed,
    model: &RegionId,
    example: &Observed,
) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut compare = |what: String, expected: Option<&String>, is: Option<&String>| {
        if let Some(expected) = expected
            && is != Some(expected)
        {
            found.push(Difference {
                component: part.id.clone(),
                region: region.clone(),
                what,
                expected: expected.clone(),
                found: is.cloned(),
                like: Some(model.clone()),
            });
        }
    };
    if observed.version.is_some() {
        compare("version".into(), example.version.as_ref(), observed.version.as_ref());
    }
    // Of what the file does not name, the regions have to agree.
    if part.component.size.image.is_none() && observed.image.is_some() {
        compare("image".into(), example.image.as_ref(), observed.image.as_ref());
    }
    if part.component.size.instance.is_none() && observed.instance.is_some() {
        compare("instance".into(), example.instance.as_ref(), observed.instance.as_ref());
    }
    for (label, example, observed) in
        [("parameter", &example.parameters, &observed.parameters), ("secret", &example.secrets, &observed.secrets)]
    {
        // None at all: they were not looked for in one of the two.
        if observed.is_empty() || example.is_empty() {
            continue;
        }
        let shown = |value: &String| match label {
            "secret" => value.chars().take(HASH_SHOWN).collect(),
            _ => value.clone(),
        };
        let names: BTreeSet<&String> = example.keys().chain(observed.keys()).collect();
        for name in names {
            let (expected, is) = (example.get(name), observed.get(name));
            if expected != is {
                found.push(Difference {
                    component: part.id.clone(),
                    region: region.clone(),
                    what: format!("{label} {name}"),
                    expected: expected.map_or_else(|| "not set".into(), shown),
                    found: is.map(shown),
                    like: Some(model.clone()),
                });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
app: shop
regions:
  here: {place: aws/eu-north-1}
  there: {place: aws/eu-central-1}
components:
  orders: {kind: aurora-global, writer: here, standbys: {there: asynchronous}, pattern: warm-standby, size: {count: 3}}
  web: {kind: asg, needs: [orders], pattern: warm-standby, size: {count: 6, instance: m7g.large, image: ami-0123456789abcdef0}}
failover: {mode: approve}
";

    fn observed(image: &str, size: u32, work_mem: &str) -> Observed {
        Observed {
            image: Some(image.into()),
            instance: Some("m7g.large".into()),
            size: Some(size),
            version: Some("16.8".into()),
            parameters: [("work_mem".to_owned(), work_mem.to_owned())].into(),
            secrets: [("password".to_owned(), "5e88".to_owned())].into(),
        }
    }

    fn found(web: [(&str, Observed); 2], serving: &[&str]) -> Vec<String> {
        let observations = Observations::from([(
            "web".into(),
            web.into_iter().map(|(region, observed)| (RegionId::from(region), observed)).collect(),
        )]);
        let serving = [("web".into(), serving.iter().map(|region| RegionId::from(*region)).collect())].into();
        differences(&Seen { observations, serving, ..Seen::default() })
    }

    fn differences(seen: &Seen) -> Vec<String> {
        let app = lifeboat_model::parse(FILE).unwrap();
        let text = |drift: Difference| {
            let like = drift.like.map_or(String::new(), |like| format!(" as in {like}"));
            format!(
                "{} {}: {}, not {}{like}",
                drift.region,
                drift.what,
                drift.found.unwrap_or_default(),
                drift.expected
            )
        };
        drift(&app, seen).unwrap().into_iter().map(text).collect()
    }

    #[test]
    fn regions_as_the_file_says_do_not_drift_whoever_serves() {
        let image = "ami-0123456789abcdef0";
        assert_eq!(
            found([("here", observed(image, 6, "4MB")), ("there", observed(image, 2, "4MB"))], &["here"]),
            [""; 0]
        );
        assert_eq!(
            found([("here", observed(image, 2, "4MB")), ("there", observed(image, 6, "4MB"))], &["there"]),
            [""; 0]
        );
    }

    /// Where Aurora writes it has all of its instances, and elsewhere what is left of them.
    #[test]
    fn the_instances_of_a_database_follow_its_role() {
        let orders = |here, there| {
            let sized = |size| Observed { size: Some(size), ..Observed::default() };
            let regions = [("here".into(), sized(here)), ("there".into(), sized(there))].into();
            Observations::from([("orders".into(), regions)])
        };
        let of = |writer: &str, observations| {
            let writers = [("orders".into(), writer.into())].into();
            differences(&Seen { observations, writers, ..Seen::default() })
        };
        assert_eq!(of("here", orders(3, 1)), [""; 0]);
        assert_eq!(of("there", orders(1, 3)), [""; 0]);
        assert_eq!(of("there", orders(3, 1)), ["here size: 3, not 1", "there size: 1, not 3"]);
    }

    #[test]
    fn what_differs_is_named_with_where_and_against_what() {
        let mut there = observed("ami-00000000000000000", 2, "8MB");
        there.secrets = [("password".to_owned(), "d9ab".to_owned())].into();
        there.version = Some("16.6".into());
        assert_eq!(
            found([("here", observed("ami-0123456789abcdef0", 4, "4MB")), ("there", there)], &["here"]),
            [
                "here size: 4, not 6",
                "there image: ami-00000000000000000, not ami-0123456789abcdef0",
                "there version: 16.6, not 16.8 as in here",
                "there parameter work_mem: 8MB, not 4MB as in here",
                "there secret password: d9ab, not 5e88 as in here",
            ]
        );
    }

    #[test]
    fn whatever_was_seen_is_told_in_a_line() {
        let here = observed("ami-0123456789abcdef0", 6, "4MB");
        let there = observed("ami-0123456789abcdef0", 2, &format!("\u{1b}[2J\n{}", "9".repeat(5_000)));
        let said = found([("here", here), ("there", there)], &["here"]);
        let nines = "9".repeat(SHOWN - 5);
        assert_eq!(said, [format!("there parameter work_mem:  [2J {nines}…, not 4MB as in here")]);
    }

    #[test]
    fn what_was_not_seen_is_not_drift() {
        let here = observed("ami-0123456789abcdef0", 6, "4MB");
        assert_eq!(found([("here", here), ("there", Observed::default())], &["here"]), [""; 0]);
    }
}
