//! What a figure is worth that was worked out of others: the weakest grade among them, and the oldest date.

use std::collections::BTreeMap;
use std::sync::Arc;

use lifeboat_atlas::Grade;
use lifeboat_model::ComponentId;

use crate::choice::Setting;
use crate::optimise::Placed;
use crate::recovery::{begin, route, steering};
use crate::report::Basis;
use crate::spread::Spread;
use crate::tariff::CostItem;

const TIMES: &str = "drawn along the plan from the steps of its recovery and of what it waits for: the weakest grade and the oldest date of these";
const SUMS: &str = "the sum of the known lines of the bill: the weakest grade and the oldest date of these";

/// Grade and date of what rests on several figures. Days come before what has no day of its own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Worth {
    grade: Grade,
    date: Arc<str>,
}

impl Worth {
    fn of(takes: &Spread) -> Self {
        Self { grade: takes.grade, date: takes.date.clone() }
    }

    fn with(&self, other: &Self) -> Self {
        Self { grade: self.grade.weaker(other.grade), date: self.date.clone().min(other.date.clone()) }
    }

    fn of_all(all: impl IntoIterator<Item = Self>) -> Option<Self> {
        all.into_iter().reduce(|one, other| one.with(&other))
    }

    /// As what a time rests on.
    pub fn of_time(&self) -> Basis {
        Basis { grade: self.grade, source: TIMES.into(), date: self.date.to_string() }
    }
}

/// What the RTO of each placed component is worth: its own steps, and those of all that it waits for.
pub(crate) fn recoveries(setting: Setting<'_>, placed: &BTreeMap<ComponentId, Placed>) -> BTreeMap<ComponentId, Worth> {
    let app = setting.app;
    let begun = Worth::of_all(begin(app, setting.history).iter().map(|step| Worth::of(&step.takes)));
    let own = |placed: &Placed| {
        Worth::of_all(begun.iter().cloned().chain(placed.choice.steps.iter().map(|step| Worth::of(&step.takes))))
    };
    let mut worth: BTreeMap<ComponentId, Worth> =
        placed.iter().filter_map(|(id, placed)| Some((id.clone(), own(placed)?))).collect();
    let mut needed_by: BTreeMap<&ComponentId, Vec<&ComponentId>> = BTreeMap::new();
    for (id, component) in &app.components {
        component.needs.iter().for_each(|need| needed_by.entry(need).or_default().push(id));
    }
    // Grades only get weaker and dates older, so this comes to an end.
    let mut changed: Vec<&ComponentId> = placed.keys().collect();
    while let Some(id) = changed.pop() {
        let Some(this) = worth.get(id).cloned() else { continue };
        for waiting in needed_by.get(id).into_iter().flatten() {
            if let Some(known) = worth.get_mut(*waiting) {
                let both = known.with(&this);
                if both != *known {
                    *known = both;
                    changed.push(waiting);
                }
            }
        }
    }
    // Nobody waits for another's clients.
    for to in app.routes.values() {
        if let Some(known) = worth.get_mut(&to.to) {
            *known = known.with(&Worth::of(&route(to, steering(app), setting.history, setting.atlas).takes));
        }
    }
    worth
}

/// What a sum of lines is worth; `None`: none of them has a price.
pub(crate) fn of_bill<'a>(lines: impl IntoIterator<Item = &'a CostItem>) -> Option<Basis> {
    let known = lines.into_iter().filter_map(|line| Some((line.grade?, line.date.as_str())));
    let (grade, date) = known.reduce(|(grade, date), (other, of)| (grade.weaker(other), date.min(of)))?;
    Some(Basis { grade, source: SUMS.into(), date: date.into() })
}

/// What a sum of sums is worth.
pub(crate) fn of_sums<'a>(sums: impl IntoIterator<Item = &'a Basis>) -> Option<Basis> {
    let (grade, date) = sums
        .into_iter()
        .map(|basis| (basis.grade, basis.date.as_str()))
        .reduce(|(grade, date), (other, of)| (grade.weaker(other), date.min(of)))?;
    Some(Basis { grade, source: SUMS.into(), date: date.into() })
}
