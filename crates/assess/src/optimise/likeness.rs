//! Components and groups that differ in nothing but names have one solution: what makes them alike.

use std::collections::{BTreeSet, HashMap};

use lifeboat_model::ComponentId;
use lifeboat_model::app::Component;

use super::{Constraint, Task, objectives};

/// Everything that a group's solution depends on, without names.
pub(super) fn likeness(task: &Task<'_>, group: &[ComponentId]) -> String {
    let positions: HashMap<&ComponentId, usize> = group.iter().enumerate().map(|(at, id)| (id, at)).collect();
    group.iter().map(|id| likeness_of(task, id, &positions)).collect()
}

/// Everything that a component's choice depends on, what it needs by position.
fn likeness_of(task: &Task<'_>, id: &ComponentId, positions: &HashMap<&ComponentId, usize>) -> String {
    let app = task.setting.app;
    let Some(component) = app.components.get(id) else { return String::new() };
    let needs: Vec<usize> = component.needs.iter().filter_map(|need| positions.get(need).copied()).collect();
    let Component { kind, pattern, writer, standbys, confirmations, without_standby, reads, regions, size, .. } =
        component;
    // Compute without regions of its own runs in all of them: sixty names that need not be compared.
    let regions = (regions.len() < app.data_regions().count()).then_some(regions);
    let place = task.draws.owner(id);
    let relaxed = |constraint: fn(ComponentId) -> Constraint| task.relaxed.contains(&constraint(id.clone()));
    let mut objectives = objectives(app, component);
    // What is not regarded makes no difference.
    objectives.rto = objectives.rto.filter(|_| !relaxed(Constraint::Rto));
    objectives.rpo = objectives.rpo.filter(|_| !relaxed(Constraint::Rpo));
    objectives.availability = objectives.availability.filter(|_| !relaxed(Constraint::Availability));
    let pinned =
        [Constraint::Pattern, Constraint::Writer, Constraint::Standbys, Constraint::Regions, Constraint::Instances]
            .map(|constraint| task.keep_pins && !relaxed(constraint));
    let routes: Vec<_> = app.routes.values().filter(|route| route.to == *id).map(|route| route.ttl).collect();
    let size = (&size.instance, size.count, size.standby, size.storage, size.writes_per_day);
    format!(
        "{kind:?}{pattern:?}{writer:?}{standbys:?}{confirmations}{without_standby:?}{reads:?}{regions:?}{size:?}{objectives:?}{needs:?}{place}{routes:?}{pinned:?};"
    )
}

/// Members of a group that nobody needs and that are alike, merged: for each member the number of the one that stands for it,
/// and for each of those how many it stands for. They have the same solution, so this is exact.
pub(super) fn merged(task: &Task<'_>, group: &[ComponentId]) -> (Vec<usize>, Vec<(ComponentId, i64)>) {
    let app = task.setting.app;
    let positions: HashMap<&ComponentId, usize> = group.iter().enumerate().map(|(at, id)| (id, at)).collect();
    let needed: BTreeSet<&ComponentId> =
        group.iter().filter_map(|id| app.components.get(id)).flat_map(|component| &component.needs).collect();
    let mut stands_for = Vec::with_capacity(group.len());
    let mut kept: Vec<(ComponentId, i64)> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    if group.iter().filter(|id| !needed.contains(id)).count() < 2 {
        return ((0..group.len()).collect(), group.iter().map(|id| (id.clone(), 1)).collect());
    }
    for id in group {
        let next = kept.len();
        let number =
            if needed.contains(id) { next } else { *known.entry(likeness_of(task, id, &positions)).or_insert(next) };
        if number == next {
            kept.push((id.clone(), 0));
        }
        kept[number].1 += 1;
        stands_for.push(number);
    }
    (stands_for, kept)
}
