//! Strongly consistent DynamoDB tables: AWS makes them in exactly three regions of one set, one of which may be a witness.

use std::collections::BTreeMap;
use std::time::Duration;

use lifeboat_atlas::Atlas;
use lifeboat_model::app::{Component, Kind, Provider, RegionRole, Replication};
use lifeboat_model::{App, ComponentId, RegionId};

use crate::Problem;

/// What is wrong with a table that is to lose nothing: AWS would refuse it (`Err`), or what is made loses a second's writes (`Ok`).
pub(crate) fn judge(
    app: &App,
    id: &ComponentId,
    component: &Component,
    regions: &[&RegionId],
) -> Option<Result<Problem, Problem>> {
    let synchronous = component.standbys.values().any(|replication| *replication == Replication::Synchronous);
    let nothing_lost = synchronous || component.objectives.rpo == Some(Duration::ZERO);
    if component.kind != Kind::Dynamodb || !nothing_lost {
        return None;
    }
    let field = format!("components.{id}.standbys");
    let witness = app.regions.iter().find(|(_, region)| {
        region.role == RegionRole::Witness && region.place.provider == Provider::Aws && regions.len() == 2
    });
    let voters: Vec<&RegionId> = regions.iter().copied().chain(witness.map(|(id, _)| id)).collect();
    if voters.len() != 3 {
        let message = format!(
            "strong consistency takes three regions, one of which may only vote, and {} exist: the table is eventually \
             consistent, and loses what had not arrived",
            voters.len()
        );
        return Some(Ok(Problem::new(field, message, "name three regions, or allow an RPO of a few seconds")));
    }
    let set = |id: &RegionId| app.regions.get(id).and_then(|region| Atlas::embedded().strong_set(&region.place));
    let first = voters.first().and_then(|id| set(id));
    if first.is_some() && voters.iter().all(|id| set(id) == first) {
        return None;
    }
    let listed = voters.iter().map(|id| format!("{id} ({})", set(id).unwrap_or("none"))).collect::<Vec<_>>().join(", ");
    Some(Err(Problem::new(
        field,
        format!("AWS makes strongly consistent tables within one set of regions only; the sets here: {listed}"),
        format!("take three regions of one set: {}", sets()),
    )))
}

/// The sets with their regions.
fn sets() -> String {
    let atlas = Atlas::embedded();
    let mut sets: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for region in atlas.regions() {
        if let Some(set) = atlas.strong_set(&region.place) {
            sets.entry(set).or_default().push(&region.place.name);
        }
    }
    sets.into_values().map(|regions| regions.join(" ")).collect::<Vec<_>>().join(", or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(places: [&str; 3], third: &str, standbys: &str) -> Option<Result<String, String>> {
        let [a, b, c] = places;
        let text = format!(
            "app: x\nfailover: {{mode: approve}}\nregions:\n  a: {{place: aws/{a}}}\n  b: {{place: aws/{b}}}\n  c: {{place: aws/{c}{third}}}\n\
             components:\n  t: {{kind: dynamodb, writer: a, standbys: {{{standbys}}}}}\n"
        );
        let app = lifeboat_model::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let component = &app.components["t"];
        let regions: Vec<&RegionId> = component.writer.iter().chain(component.standbys.keys()).collect();
        let told = judge(&app, &"t".into(), component, &regions)?;
        Some(told.map(|problem| problem.message).map_err(|problem| problem.message))
    }

    #[test]
    fn three_regions_of_one_set_are_taken() {
        let european = ["eu-west-1", "eu-central-1", "eu-west-3"];
        let both = "b: synchronous, c: synchronous";
        assert_eq!(verdict(european, "", both), None);
        assert_eq!(verdict(european, ", role: witness", "b: synchronous"), None);
        assert_eq!(verdict(["eu-north-1", "eu-central-1", "eu-west-1"], "", "b: asynchronous, c: asynchronous"), None);
        let stockholm = verdict(["eu-north-1", "eu-central-1", "eu-west-1"], "", both).unwrap().unwrap_err();
        assert!(stockholm.contains("a (none), b (EU), c (EU)"), "{stockholm}");
        assert!(verdict(["us-west-2", "eu-central-1", "eu-west-1"], "", both).unwrap().is_err());
        assert!(verdict(european, "", "b: synchronous").unwrap().is_ok(), "a warning: two regions are too few");
    }
}
