//! The app as it is proposed, and the plan that it gets for the loss of a region: the one that `lifeboat_plan` builds.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::app::{Component, Kind, Objectives, Pattern, Replication, Size};
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

/// The app with what was chosen in it, as far as a plan asks for it. Whatever starts machines at a failover is a pilot light to
/// the plan, also where some of them run.
fn proposed(app: &App, ground: &Ground, placed: &BTreeMap<ComponentId, Placed>) -> App {
    let components = placed
        .iter()
        .filter_map(|(id, placed)| Some((id.clone(), as_placed(app.components.get(id)?, ground, placed))))
        .collect();
    App {
        name: app.name.clone(),
        objectives: Objectives::default(),
        regions: BTreeMap::new(),
        components,
        routes: app.routes.clone(),
        failover: app.failover.clone(),
        detection: app.detection.clone(),
        store: app.store.clone(),
        dns: app.dns.clone(),
        nodes: app.nodes.clone(),
        prices: Vec::new(),
    }
}

fn as_placed(component: &Component, ground: &Ground, placed: &Placed) -> Component {
    let starts = placed.choice.steps.iter().any(|step| matches!(step.kind, StepKind::Launch | StepKind::Build));
    let mut proposed = Component {
        kind: component.kind,
        pattern: Some(if starts { Pattern::PilotLight } else { placed.choice.pattern }),
        objectives: Objectives::default(),
        writer: None,
        standbys: BTreeMap::new(),
        confirmations: component.confirmations,
        without_standby: component.without_standby,
        reads: component.reads,
        needs: component.needs.clone(),
        regions: BTreeSet::new(),
        run: None,
        check: None,
        port: None,
        size: Size::default(),
    };
    if component.kind.is_database() {
        let at = Stands { home: placed.home, targets: &placed.targets, carriage: placed.choice.carriage };
        proposed.writer = Some(region(&ground.sites[placed.home]));
        (proposed.standbys, proposed.confirmations) = standbys(component, ground, &at);
    }
    proposed
}

/// Where a database and its standbys are.
pub(crate) struct Stands<'a> {
    pub home: usize,
    pub targets: &'a [usize],
    pub carriage: Carriage,
}

/// The standbys of a database once it is placed, and how many of them confirm a commit.
fn standbys(component: &Component, ground: &Ground, at: &Stands<'_>) -> (BTreeMap<RegionId, Replication>, usize) {
    let mode = match at.carriage {
        Carriage::Synchronous => Replication::Synchronous,
        Carriage::Asynchronous | Carriage::SeveralWriters | Carriage::Backups | Carriage::Nothing => {
            Replication::Asynchronous
        }
    };
    let mut standbys = component.standbys.clone();
    standbys.remove(&region(&ground.sites[at.home]));
    standbys.extend(at.targets.iter().map(|target| (region(&ground.sites[*target]), mode)));
    if standbys == component.standbys {
        return (standbys, component.confirmations);
    }
    // Of two that PostgreSQL waits for either one confirms; a provider sees to its own.
    if component.kind == Kind::Postgres && at.carriage == Carriage::Synchronous && at.targets.len() > 1 {
        return (standbys, 1);
    }
    let synchronous = standbys.values().filter(|mode| **mode == Replication::Synchronous).count();
    (standbys, synchronous.max(1))
}

/// How many standbys confirm a commit of a database once it is placed.
pub(crate) fn confirmations(component: &Component, ground: &Ground, placed: &Placed) -> usize {
    let at = Stands { home: placed.home, targets: &placed.targets, carriage: placed.choice.carriage };
    standbys(component, ground, &at).1
}

/// Whether the plan makes standbys other than the one that takes over stop confirming: as it is in `lifeboat_plan`, where more
/// of them stand by than need to confirm.
pub(crate) fn detaches(component: &Component, ground: &Ground, at: &Stands<'_>) -> bool {
    let synchronous = |mode: &Replication| *mode == Replication::Synchronous;
    let several = at.targets.len() > 1 && at.carriage == Carriage::Synchronous;
    if !several && !component.standbys.values().any(synchronous) {
        return false;
    }
    let (standbys, confirmations) = standbys(component, ground, at);
    let to = at.targets.first().map(|target| region(&ground.sites[*target]));
    let others = standbys.iter().filter(|(of, mode)| synchronous(mode) && Some(*of) != to.as_ref()).count();
    others > 0 && confirmations <= others
}

/// A site's name in the proposed app.
fn region(site: &Site) -> RegionId {
    site.region.clone().unwrap_or_else(|| site.name.as_str().into())
}
