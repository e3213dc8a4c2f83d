//! The role files of every tool, read strictly: whatever of them could not be written back is refused and named, so that nothing is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use lifeboat_model::{App, ComponentId, RegionId};
use serde_json::Value as Json;

use super::Roles;
use crate::design::{Design, Part};
use crate::strict::{self, shown, wrong};
use crate::{cloudformation, observe};

/// What the role files of a tree say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Of the components that there are; where files disagree, what the first of them says.
    pub roles: Roles,
    /// Components that the app has no more, with the file that names them.
    pub gone: BTreeSet<(String, String)>,
    /// Which files disagree, and on what.
    pub disagreements: Vec<String>,
}

/// What one file says.
#[derive(Default)]
struct One {
    roles: Roles,
    gone: BTreeSet<String>,
}

const MEND: &str = "mend it; or remove it and generate: it is written anew as the other role files say";

impl Said {
    /// Where the role files of an app are, of every tool, whether or not it can be generated for it now.
    pub fn paths(app: &App) -> Vec<String> {
        let tools = ["arm/roles.json", "cloudformation/roles.json"].map(str::to_owned);
        let terraform = ["aws", "azure"].map(|cloud| format!("terraform/{cloud}/roles.auto.tfvars.json"));
        let clusters = app.regions.keys().map(|region| format!("kubernetes/roles/{region}/kustomization.yaml"));
        tools.into_iter().chain(terraform).chain(clusters).collect()
    }

    /// What these role files say (content by path), of whatever tools. Paths that are no role files are passed over.
    ///
    /// # Errors
    /// A file that is none of a tool's role files, holds something else besides, or names regions in which a component is not: path, line,
    /// field, and what was expected.
    pub fn read(app: &App, files: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut all = Self::default();
        // What cannot be generated has no role files, and is told when it is generated.
        let Ok(design) = Design::of(app) else { return Ok(all) };
        let mut who: BTreeMap<ComponentId, String> = BTreeMap::new();
        for (path, text) in files {
            let one = if path.ends_with("/roles.auto.tfvars.json") {
                strict::json(text).and_then(|json| in_words(&design, text, "", &json))
            } else if path == "arm/roles.json" {
                strict::json(text).and_then(|json| of_arm(&design, text, &json))
            } else if path == "cloudformation/roles.json" {
                strict::json(text).and_then(|json| of_cloudformation(&design, &json))
            } else if path.starts_with("kubernetes/roles/") && !text.contains("\nkind: Component\n") {
                Err("it is no Kustomize component".into())
            } else {
                continue;
            };
            all.add(path, one.map_err(|why| format!("{path}: {why}\n  {MEND}"))?, &mut who);
        }
        let serving = observe::kubernetes::serving(&design, files);
        let one = One { roles: Roles { serving, ..Roles::default() }, ..One::default() };
        all.add("kubernetes/roles", one, &mut who);
        Ok(all)
    }

    fn add(&mut self, path: &str, one: One, who: &mut BTreeMap<ComponentId, String>) {
        let mut disagree = |id: &ComponentId, verb: &str, first: String, second: String| {
            if first != second {
                let other = who.get(id).map_or("", String::as_str);
                self.disagreements.push(format!("{id} {verb} {first} by {other}, {second} by {path}"));
            }
        };
        for (id, region) in &one.roles.writers {
            if let Some(first) = self.roles.writers.get(id) {
                disagree(id, "is written in", first.to_string(), region.to_string());
            }
        }
        for (id, regions) in &one.roles.serving {
            if let Some(first) = self.roles.serving.get(id) {
                disagree(id, "serves in", listed(first), listed(regions));
            }
        }
        for (id, region) in one.roles.writers {
            who.entry(id.clone()).or_insert_with(|| path.into());
            self.roles.writers.entry(id).or_insert(region);
        }
        for (id, regions) in one.roles.serving {
            who.entry(id.clone()).or_insert_with(|| path.into());
            self.roles.serving.entry(id).or_insert(regions);
        }
        self.gone.extend(one.gone.into_iter().map(|id| (path.to_owned(), id)));
    }
}

/// Whether two role files say the same, however they are written.
pub(crate) fn say_the_same(one: &str, other: &str) -> bool {
    let json = |text| strict::json(text).ok();
    one == other || json(one).is_some_and(|one| Some(one) == json(other))
}

fn listed(regions: &BTreeSet<RegionId>) -> String {
    let names: Vec<&str> = regions.iter().map(RegionId::as_str).collect();
    if names.is_empty() { "no region".into() } else { names.join(", ") }
}

/// `{"writers": {…}, "serving": {…}}`, in `inside` of the file.
fn in_words(design: &Design, text: &str, inside: &str, json: &Json) -> Result<One, String> {
    let mut one = One::default();
    let entries = object(text, inside, json, &["writers", "serving"])?;
    for (what, value) in entries {
        let field = format!("{inside}{what}");
        let Some(components) = value.as_object() else {
            return Err(wrong(text, &field, shown(value), "an object with a component a key"));
        };
        for (id, value) in components {
            let field = format!("{field}.{id}");
            let id = ComponentId::from(id.as_str());
            let part = design.part(&id).filter(|part| part.component.kind.is_database() == (what == "writers"));
            let Some(part) = part else {
                one.gone.insert(id.to_string());
                continue;
            };
            if what == "writers" {
                one.roles.writers.insert(id, region_of(text, &field, part, value)?);
            } else {
                let Some(regions) = value.as_array() else {
                    return Err(wrong(text, &field, shown(value), "a list of regions"));
                };
                let regions = regions.iter().map(|region| region_of(text, &field, part, region));
                one.roles.serving.insert(id, regions.collect::<Result<_, _>>()?);
            }
        }
    }
    Ok(one)
}

/// The entries of an object that has no others than these.
fn object<'a>(text: &str, inside: &str, json: &'a Json, known: &[&str]) -> Result<Vec<(&'a str, &'a Json)>, String> {
    let field = inside.trim_end_matches('.');
    let Some(entries) = json.as_object() else {
        let expected = format!("an object with `{}`", known.join("`, `"));
        return Err(match field {
            "" => format!("{}; expected {expected}", shown(json)),
            field => wrong(text, field, shown(json), expected),
        });
    };
    match entries.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(wrong(
            text,
            &format!("{inside}{key}"),
            "unknown, and lost when the file is written the next time",
            format!("`{}` and nothing else: values of your own belong into a file of your own", known.join("`, `")),
        )),
        None => Ok(entries.iter().map(|(key, value)| (key.as_str(), value)).collect()),
    }
}

fn region_of(text: &str, field: &str, part: &Part, value: &Json) -> Result<RegionId, String> {
    let region = value.as_str().map(RegionId::from).filter(|region| part.regions.contains(&region));
    region.ok_or_else(|| {
        let known: Vec<&str> = part.regions.iter().map(|region| region.as_str()).collect();
        wrong(text, field, format!("{} is not in {}", part.id, shown(value)), format!("one of {}", known.join(", ")))
    })
}

fn of_arm(design: &Design, text: &str, json: &Json) -> Result<One, String> {
    object(text, "", json, &["$schema", "contentVersion", "parameters"])?;
    object(text, "parameters.", &json["parameters"], &["roles"])?;
    object(text, "parameters.roles.", &json["parameters"]["roles"], &["value"])?;
    in_words(design, text, "parameters.roles.value.", &json["parameters"]["roles"]["value"])
}

fn of_cloudformation(design: &Design, json: &Json) -> Result<One, String> {
    let expected = "{ \"ParameterKey\": …, \"ParameterValue\": … }";
    let Some(entries) = json.as_array() else { return Err(format!("{}; expected a list of {expected}", shown(json))) };
    let known = cloudformation::role_keys(design);
    let component_of =
        |key: &str| ["Serves", "Writes"].into_iter().find_map(|word| Some(key.split_once(word)?.0.to_owned()));
    let mut one = One::default();
    let mut seen = BTreeSet::new();
    for (number, entry) in entries.iter().enumerate().map(|(index, entry)| (index + 1, entry)) {
        let fields = entry.as_object().filter(|fields| fields.len() == 2);
        let [key, value] =
            ["ParameterKey", "ParameterValue"].map(|name| fields.and_then(|fields| fields.get(name)?.as_str()));
        let (Some(key), Some(value)) = (key, value) else {
            return Err(format!("entry {number}: {}; expected {expected}", shown(entry)));
        };
        let mut mistake = String::new();
        if !seen.insert(key) {
            mistake = "is there twice".into();
        } else if known.contains_key(key) {
            if !matches!(value, "true" | "false") {
                mistake = format!("is \"{value}\"; expected \"true\" or \"false\"");
            }
        } else if let Some(component) = component_of(key) {
            one.gone.insert(component);
        } else {
            let _ = write!(
                mistake,
                "is no role, and lost when the file is written the next time; expected in parameters.json"
            );
        }
        if !mistake.is_empty() {
            return Err(format!("entry {number}: {key} {mistake}"));
        }
    }
    one.roles = cloudformation::roles_in(design, json)?;
    // A component that is there in other regions has only lost some.
    one.gone.retain(|gone| !known.keys().any(|key| component_of(key).is_some_and(|part| part == *gone)));
    Ok(one)
}
