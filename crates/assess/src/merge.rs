//! Contradictions that are one and the same are said once, with all components concerned.
//!
//! Groups are explained one by one. What the app demands of all of them, its residency or its RTO, contradicts each in the
//! same way, and is relaxed in one place of the file.

use lifeboat_model::App;
use lifeboat_model::app::Objectives;

use crate::conflict::{Advice, Told, allow};
use crate::optimise::Constraint;
use crate::recovery::{at_least, duration};
use crate::report::Conflict;

/// The contradictions for the report, in the order in which they were found.
pub(crate) fn merged(app: &App, told: &[Told]) -> Vec<Conflict> {
    let mut found: Vec<(Option<Vec<Shared>>, Vec<&Told>)> = Vec::new();
    for one in told {
        let key = shared(app, one);
        let same = |(known, members): &&mut (Option<Vec<Shared>>, Vec<&Told>)| match (&key, known) {
            (Some(key), Some(known)) => key == known,
            (None, None) => members.first().is_some_and(|first| is_alike(first, one)),
            _ => false,
        };
        match found.iter_mut().find(same) {
            Some((_, members)) => members.push(one),
            None => found.push((key, vec![one])),
        }
    }
    found.into_iter().filter_map(|(key, members)| said_once(key.as_deref(), &members)).collect()
}

/// A demand that the app makes of all its components.
#[derive(Clone, PartialEq)]
enum Shared {
    Rto(String),
    Rpo(String),
    /// In words: a component may have its own.
    Residency(String),
}

/// The demands of a contradiction if all of them are the app's, each of them once.
fn shared(app: &App, told: &Told) -> Option<Vec<Shared>> {
    let mut all = Vec::new();
    for demand in &told.demands {
        // What the app demands stands with each component too, unless that has its own and a tighter one.
        let own = |of: &dyn Fn(&Objectives) -> Option<std::time::Duration>, id| {
            let general = of(&app.objectives)?;
            let own = of(&app.components.get(id)?.objectives);
            own.is_none_or(|own| own >= general).then(|| duration(general))
        };
        let one = match demand.constraint.as_ref()? {
            Constraint::Rto(id) => Shared::Rto(own(&|objectives| objectives.rto, id)?),
            Constraint::Rpo(id) => Shared::Rpo(own(&|objectives| objectives.rpo, id)?),
            Constraint::Residency => Shared::Residency(demand.words.clone()),
            Constraint::Availability(_)
            | Constraint::Pattern(_)
            | Constraint::Writer(_)
            | Constraint::Standbys(_)
            | Constraint::Regions(_)
            | Constraint::Instances(_) => return None,
        };
        if all.contains(&one) {
            return None;
        }
        all.push(one);
    }
    Some(all)
}

/// Whether two say the same of other components.
fn is_alike(one: &Told, other: &Told) -> bool {
    let (one, other) = (one.conflict(), other.conflict());
    one.between == other.between && one.relax == other.relax
}

fn said_once(key: Option<&[Shared]>, members: &[&Told]) -> Option<Conflict> {
    let mut conflict = members.first()?.conflict();
    let more = members.get(1..).filter(|more| !more.is_empty());
    let Some(more) = more else { return Some(conflict) };
    let components = more.iter().flat_map(|told| told.components.iter().map(ToString::to_string));
    for component in components {
        if !conflict.components.contains(&component) {
            conflict.components.push(component);
        }
    }
    for (at, shared) in key.into_iter().flatten().enumerate() {
        let advices: Vec<&Advice> =
            members.iter().filter_map(|told| told.demands.get(at)).map(|demand| &demand.advice).collect();
        (conflict.between[at], conflict.relax[at]) = match shared {
            Shared::Rto(value) => (format!("RTO of the app: {value}"), longest("RTO", &advices)),
            Shared::Rpo(value) => (format!("RPO of the app: {value}"), longest("RPO", &advices)),
            Shared::Residency(words) => (words.clone(), widest(&advices)),
        };
    }
    Some(conflict)
}

/// What is enough for all of them.
fn longest(name: &str, advices: &[&Advice]) -> String {
    let least = |advice: &&Advice| match advice {
        Advice::AtLeast(least) => Some(*least),
        Advice::Areas(..) | Advice::Words(_) => None,
    };
    match advices.iter().map(least).collect::<Option<Vec<f64>>>() {
        Some(all) => format!("{name} of the app: at least {}", at_least(all.into_iter().fold(0.0, f64::max))),
        None => format!("leave the {name} of the app out, or give each of these its own"),
    }
}

fn widest(advices: &[&Advice]) -> String {
    let areas = |advice: &&Advice| match advice {
        Advice::Areas(areas, inside) => Some((areas.clone(), inside.clone())),
        Advice::AtLeast(_) | Advice::Words(_) => None,
    };
    match advices.iter().map(areas).collect::<Option<Vec<_>>>() {
        Some(all) => {
            let (areas, inside): (Vec<_>, Vec<_>) = all.into_iter().unzip();
            // One that helps all of them.
            let first = inside.first().cloned().flatten();
            let same = first.filter(|first| inside.iter().all(|other| other.as_ref() == Some(first)));
            allow(&areas.into_iter().flatten().collect(), same.as_ref())
        }
        None => "giving it up alone is not enough for all of them".into(),
    }
}
