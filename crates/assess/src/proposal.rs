//! The app as it is proposed, and the plan that it gets for the loss of a region: the one that `lifeboat_plan` builds.

use std::collections::BTreeMap;

use lifeboat_model::app::{Pattern, Replication};
use lifeboat_model::{App, ComponentId, RegionId};
use lifeboat_plan::{Durations, RegionLoss};

use crate::choice::Carriage;
use crate::optimise::Placed;
use crate::recovery::StepKind;
use crate::site::{Ground, Site};

/// What happens when a home is lost, by the index of its site.
pub fn losses(
    app: &App,
    ground: &Ground,
    placed: &BTreeMap<ComponentId, Placed>,
    durations: &Durations,
) -> BTreeMap<usize, RegionLoss> {
    let app = proposed(app, ground, placed);
    let mut moves: BTreeMap<usize, BTreeMap<ComponentId, RegionId>> = BTreeMap::new();
    for (id, placed) in placed {
        if let Some(target) = placed.targets.first() {
            moves.entry(placed.home).or_default().insert(id.clone(), region(&ground.sites[*target]));
        }
    }
    moves.into_iter().map(|(home, moves)| (home, RegionLoss::build(&app, &moves, durations))).collect()
}

/// The app with what was chosen in it. Whatever starts machines at a failover is a pilot light to the plan, also where some
/// of them run.
fn proposed(app: &App, ground: &Ground, placed: &BTreeMap<ComponentId, Placed>) -> App {
    let mut app = app.clone();
    for (id, placed) in placed {
        let Some(component) = app.components.get_mut(id) else { continue };
        let starts = placed.choice.steps.iter().any(|step| matches!(step.kind, StepKind::Launch | StepKind::Build));
        component.pattern = Some(if starts { Pattern::PilotLight } else { placed.choice.pattern });
        if !component.kind.is_database() {
            continue;
        }
        let mode = match placed.choice.carriage {
            Carriage::Synchronous => Replication::Synchronous,
            Carriage::Asynchronous | Carriage::SeveralWriters | Carriage::Backups | Carriage::Nothing => {
                Replication::Asynchronous
            }
        };
        let before = component.standbys.clone();
        let writer = region(&ground.sites[placed.home]);
        component.standbys.remove(&writer);
        component.standbys.extend(placed.targets.iter().map(|target| (region(&ground.sites[*target]), mode)));
        component.writer = Some(writer);
        if component.standbys != before {
            let synchronous = component.standbys.values().filter(|mode| **mode == Replication::Synchronous).count();
            component.confirmations = synchronous.max(1);
        }
    }
    app
}

/// A site's name in the proposed app.
fn region(site: &Site) -> RegionId {
    site.region.clone().unwrap_or_else(|| site.name.as_str().into())
}
