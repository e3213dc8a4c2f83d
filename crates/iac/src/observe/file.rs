//! A file of observations that anybody can write: `{"observed": {COMPONENT: {REGION: {…}}}, "serving": {COMPONENT: [REGION, …]}}`.

use std::collections::BTreeMap;

use lifeboat_model::{ComponentId, RegionId};
use serde_json::Value as Json;

use super::Seen;
use crate::Observed;
use crate::design::Design;
use crate::strict::{shown, wrong};

/// Reads one.
///
/// # Errors
/// The first thing that is none, or not of the app: line, field, and what was expected.
pub(super) fn read(design: &Design, text: &str, json: &Json) -> Result<Seen, String> {
    let mut seen = Seen::default();
    for (key, value) in entries(text, "", json)? {
        match key {
            "observed" => {
                for (id, regions) in entries(text, "observed", value)? {
                    let field = format!("observed.{id}");
                    let id = component(design, text, &field, id)?;
                    let mut by_region = BTreeMap::new();
                    for (region, observed) in entries(text, &field, regions)? {
                        let field = format!("{field}.{region}");
                        by_region.insert(region_of(design, text, &field, &id, region)?, one(text, &field, observed)?);
                    }
                    seen.observations.insert(id, by_region);
                }
            }
            "serving" => {
                for (id, regions) in entries(text, "serving", value)? {
                    let field = format!("serving.{id}");
                    let id = component(design, text, &field, id)?;
                    let list =
                        regions.as_array().ok_or_else(|| wrong(text, &field, shown(regions), "a list of regions"))?;
                    let regions = list.iter().map(|region| {
                        let name = region.as_str().ok_or_else(|| wrong(text, &field, shown(region), "a region"))?;
                        region_of(design, text, &field, &id, name)
                    });
                    let regions = regions.collect::<Result<_, String>>()?;
                    seen.serving.insert(id, regions);
                }
            }
            other => return Err(wrong(text, other, "unknown", "`observed` or `serving`")),
        }
    }
    Ok(seen)
}

fn component(design: &Design, text: &str, field: &str, id: &str) -> Result<ComponentId, String> {
    let known = || design.parts.iter().map(|part| part.id.as_str()).collect::<Vec<_>>().join(", ");
    let part = design.parts.iter().find(|part| part.id.as_str() == id);
    part.map(|part| part.id.clone())
        .ok_or_else(|| wrong(text, field, format!("the file has no {id}"), format!("one of {}", known())))
}

fn region_of(design: &Design, text: &str, field: &str, id: &ComponentId, region: &str) -> Result<RegionId, String> {
    let known: Vec<&RegionId> = design.part(id).map(|part| part.regions.clone()).unwrap_or_default();
    let found = known.iter().find(|known| known.as_str() == region).map(|region| (*region).clone());
    found.ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|region| region.as_str()).collect();
        wrong(text, field, format!("the file has no {id} in {region}"), format!("one of {}", names.join(", ")))
    })
}

fn one(text: &str, inside: &str, json: &Json) -> Result<Observed, String> {
    let mut observed = Observed::default();
    for (key, value) in entries(text, inside, json)?.into_iter().filter(|(_, value)| !value.is_null()) {
        let field = format!("{inside}.{key}");
        let string = |field: &str, value: &Json| {
            value.as_str().map(str::to_owned).ok_or_else(|| wrong(text, field, shown(value), "a string"))
        };
        let strings = |value| {
            let all = entries(text, &field, value)?.into_iter();
            all.map(|(name, value)| Ok::<_, String>((name.to_owned(), string(&format!("{field}.{name}"), value)?)))
                .collect::<Result<BTreeMap<_, _>, _>>()
        };
        match key {
            "image" => observed.image = Some(string(&field, value)?),
            "instance" => observed.instance = Some(string(&field, value)?),
            "version" => observed.version = Some(string(&field, value)?),
            "size" => {
                let size = value.as_u64().and_then(|size| u32::try_from(size).ok());
                let expected = format!("a whole number up to {}", u32::MAX);
                observed.size = Some(size.ok_or_else(|| wrong(text, &field, shown(value), expected))?);
            }
            "parameters" => observed.parameters = strings(value)?,
            "secrets" => observed.secrets = strings(value)?,
            _ => {
                let expected = "`image`, `instance`, `size`, `version`, `parameters` or `secrets`";
                return Err(wrong(text, &field, "unknown", expected));
            }
        }
    }
    Ok(observed)
}

fn entries<'a>(text: &str, field: &str, json: &'a Json) -> Result<Vec<(&'a str, &'a Json)>, String> {
    let entries = json.as_object().ok_or_else(|| wrong(text, field, shown(json), "an object"))?;
    Ok(entries.iter().map(|(key, value)| (key.as_str(), value)).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may end by a panic")]
mod tests {
    use crate::observe;

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_field() {
        let app = lifeboat_model::parse(
            "app: shop\nfailover: {mode: approve}\nregions:\n  a: {place: aws/eu-north-1}\n  b: {place: aws/eu-central-1}\n  \
             c: {place: aws/eu-west-1, role: witness}\ncomponents:\n  \
             web: {kind: asg, pattern: warm-standby, size: {count: 6, image: ami-0123456789abcdef0}}\n",
        )
        .unwrap();
        for (text, expected) in [
            (
                "{\"observed\": {\"web\": {\"a\":\n{\"size\": \"six\"}}}}",
                "line 2, column 10: observed.web.a.size: \"six\"; expected a whole number",
            ),
            (
                "{\"observed\": {\"web\": {\"a\": {\"imgae\": \"x\"}}}}",
                "observed.web.a.imgae: unknown; expected `image`",
            ),
            (
                "{\"observed\": {\"web\": {\"a\": {\"parameters\": {\"LOG\": 1}}}}}",
                "observed.web.a.parameters.LOG: 1; expected a string",
            ),
            ("{\"observed\": {\"web\": {\"a\": {\"size\": 1, \"size\": 2}}}}", "`size` is there twice at line 1"),
            (
                "{\"observed\": {\"web\": {\"c\": {}}}}",
                "observed.web.c: the file has no web in c; expected one of a, b",
            ),
            (
                "{\"observed\": {}, \"serving\": {\"web\": [\"mars\"]}}",
                "serving.web: the file has no web in mars; expected one of a, b",
            ),
            (
                "{\"observed\": {}, \"serving\": {\"gone\": [\"a\"]}}",
                "serving.gone: the file has no gone; expected one of web",
            ),
        ] {
            let said = observe(&app, None, text).unwrap_err();
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}
