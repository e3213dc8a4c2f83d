//! Every objective with its verdict: met, achievable by what at what price, or unattainable and why.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::ComponentId;

use crate::bill::{price, usd};
use crate::choice::Carriage;
use crate::inputs::ground;
use crate::optimise::objectives;
use crate::recovery::{at_least, duration, seconds};
use crate::report::{Basis, ComponentReport, Conflict, CostReport, ObjectiveReport, Standing};
use crate::site::lies_in;
use crate::solve::Solved;
use crate::spread::PLANNING_QUANTILE;
use crate::tariff::cents;

/// The share of time that something serves whose region is lost so many times a year, and that does not serve for so many seconds
/// each time.
pub(crate) fn availability(losses_per_year: f64, mean_rto: f64) -> f64 {
    1.0 - losses_per_year * mean_rto / (8766.0 * 3600.0)
}

/// What is to be expected, and what that rests on.
type Expected = (String, Option<Basis>);

impl Solved<'_> {
    pub fn objectives(&self, components: &[ComponentReport]) -> Vec<ObjectiveReport> {
        let mut reports = Vec::new();
        let by_name: BTreeMap<&str, &ComponentReport> =
            components.iter().map(|component| (component.component.as_str(), component)).collect();
        let declared = self.declared_with_needs(&by_name);
        for (id, component) in &self.app.components {
            let wanted = objectives(self.app, component);
            let found = by_name.get(id.as_str());
            let prediction = self.predictions.get(id);
            let mut add =
                |objective: &str, wanted: String, (expected, basis): Expected, misses: Option<f64>, held: bool| {
                    // What a loss is does not depend on others; when something serves again does.
                    let as_declared = match objective {
                        "rpo" => found.is_some_and(|found| found.as_declared),
                        _ => declared.contains(id),
                    };
                    let (standing, reason) = self.standing(id, found.copied(), held, as_declared);
                    reports.push(ObjectiveReport {
                        of: id.to_string(),
                        objective: objective.into(),
                        wanted,
                        expected,
                        basis,
                        misses,
                        standing,
                        reason,
                    });
                };
            let rto_basis = found.map(|found| found.rto_basis.clone());
            if let Some(rto) = wanted.rto {
                let misses = prediction.and_then(|prediction| prediction.misses_rto);
                let held = misses.is_some_and(|share| share <= 1.0 - PLANNING_QUANTILE + 1e-9);
                let expected = prediction.map_or("no recovery".into(), |prediction| {
                    let p95 = seconds(prediction.rto.p95);
                    // Rounded it may read as if it held.
                    if !held && p95 == duration(rto) { at_least(prediction.rto.p95) } else { p95 }
                });
                add("rto", duration(rto), (expected, rto_basis.clone()), misses, held);
            }
            if let Some(rpo) = wanted.rpo.filter(|_| component.kind.is_database()) {
                let expected = prediction.map_or("no recovery".into(), |prediction| seconds(prediction.rpo.p95));
                let misses = prediction.and_then(|prediction| prediction.misses_rpo);
                let held = misses.is_some_and(|share| share <= 1.0 - PLANNING_QUANTILE + 1e-3);
                let basis = found.and_then(|found| found.rpo_basis.clone());
                add("rpo", duration(rpo), (expected, basis), misses, held && prediction.is_some());
            }
            if let (Some(share), Some(placed)) = (wanted.availability, self.placed.get(id)) {
                let rate = self.inputs.atlas.outage_rate(&self.ground.sites[placed.home].place);
                let expected = match (&rate, prediction) {
                    (Some(rate), Some(prediction)) => availability(rate.per_year.value, prediction.mean_rto),
                    _ => 1.0,
                };
                let said = match &rate {
                    Some(rate) => {
                        let per_year = &rate.per_year;
                        let basis = rto_basis.map(|rto| Basis {
                            grade: rto.grade.weaker(per_year.grade),
                            source: format!("{}; {}", per_year.source, rto.source),
                            date: rto.date.min(per_year.date.to_string()),
                        });
                        (format!("{expected:.6} (region losses only)"), basis)
                    }
                    None => ("not known".into(), None),
                };
                add("availability", share.to_string(), said, None, expected >= share && rate.is_some());
            }
        }
        reports
    }

    /// Components of which the file says already what is proposed, and so it does of all that they wait for.
    fn declared_with_needs(&self, found: &BTreeMap<&str, &ComponentReport>) -> BTreeSet<ComponentId> {
        let mut needed_by: BTreeMap<&ComponentId, Vec<&ComponentId>> = BTreeMap::new();
        for (id, component) in &self.app.components {
            for need in &component.needs {
                needed_by.entry(need).or_default().push(id);
            }
        }
        let mut declared: BTreeSet<ComponentId> = self.app.components.keys().cloned().collect();
        let as_declared = |id: &ComponentId| found.get(id.as_str()).is_some_and(|found| found.as_declared);
        let mut left: Vec<&ComponentId> = self.app.components.keys().filter(|id| !as_declared(id)).collect();
        while let Some(id) = left.pop() {
            if declared.remove(id) {
                left.extend(needed_by.get(id).into_iter().flatten());
            }
        }
        declared
    }

    fn standing(
        &self,
        id: &ComponentId,
        found: Option<&ComponentReport>,
        held: bool,
        as_declared: bool,
    ) -> (Standing, String) {
        let Some(found) = found else {
            return (Standing::Unattainable, "no region is left for it: see the contradictions".into());
        };
        let by = format!(
            "{} in {}, {}{}",
            found.pattern,
            found.targets.join(" and "),
            match found.replication {
                Carriage::Nothing => String::new(),
                carriage => format!("{}, ", carriage.as_str()),
            },
            price(found.added_usd, found.unknown_prices)
        );
        match (held, self.troubled.get(id)) {
            (false, _) => (Standing::Unattainable, format!("the nearest is {by}")),
            (true, Some(true)) => (Standing::Achievable, format!("by changing what the file fixes: {by}")),
            (true, _) if as_declared => (Standing::Met, by),
            (true, _) => (Standing::Achievable, format!("by {by}")),
        }
    }

    /// Residency and cost.
    pub fn app_objectives(&self, cost: &CostReport) -> (Vec<ObjectiveReport>, Option<Conflict>) {
        let mut reports = Vec::new();
        let mut conflict = None;
        let residency = &self.app.objectives.residency;
        if !residency.is_empty() {
            let outside: BTreeSet<String> = self
                .placed
                .values()
                .flat_map(|placed| std::iter::once(placed.home).chain(placed.targets.iter().copied()))
                .filter(|site| {
                    let site = &self.ground.sites[*site];
                    !residency.iter().any(|area| lies_in(self.inputs.atlas, site, area))
                })
                .map(|site| self.name(site))
                .collect();
            let wanted: Vec<&str> = residency.iter().map(String::as_str).collect();
            let held = outside.is_empty() && !self.placed.is_empty();
            reports.push(ObjectiveReport {
                of: "app".into(),
                objective: "residency".into(),
                wanted: wanted.join(", "),
                expected: if held {
                    "all data inside".into()
                } else {
                    format!("outside: {}", outside.iter().cloned().collect::<Vec<_>>().join(", "))
                },
                basis: None,
                misses: None,
                standing: if held { Standing::Met } else { Standing::Unattainable },
                reason: if held { "every home and target lies in it".into() } else { "see the contradictions".into() },
            });
        }
        if let Some(ceiling) = &self.app.objectives.cost {
            let total = cents(cost.today_usd + cost.added_usd);
            let unknown = cost.unknown.len();
            let comparable = ceiling.currency == "USD";
            let (standing, reason) = if !comparable {
                (Standing::Unattainable, format!("prices are in USD; no rate to {} is in the data", ceiling.currency))
            } else if total > ceiling.amount {
                let need = cents(total - ceiling.amount);
                conflict = Some(self.cost_conflict(total, ceiling.amount));
                (
                    Standing::Unattainable,
                    format!("nothing cheaper meets the other objectives; {} more is needed", usd(need)),
                )
            } else if unknown > 0 {
                let room = cents(ceiling.amount - total);
                let prices =
                    if unknown == 1 { "unknown price comes".into() } else { format!("{unknown} unknown prices come") };
                (Standing::Achievable, format!("if the {prices} to at most {}", usd(room)))
            } else {
                (Standing::Met, "today's cost and protection together".into())
            };
            reports.push(ObjectiveReport {
                of: "app".into(),
                objective: "cost".into(),
                wanted: ceiling.to_string(),
                expected: price(total, unknown),
                basis: cost.cost_basis.clone(),
                misses: None,
                standing,
                reason,
            });
        }
        (reports, conflict)
    }

    /// Which kinds of objective the ceiling contradicts: those without which it would hold.
    fn cost_conflict(&self, total: f64, ceiling: f64) -> Conflict {
        let mut between = vec![format!("cost: at most {}", usd(ceiling))];
        let mut relax = vec![format!("cost: at least {}", usd(total))];
        let without = |change: &dyn Fn(&mut lifeboat_model::app::Objectives)| {
            let mut app = self.app.clone();
            change(&mut app.objectives);
            app.components.values_mut().for_each(|component| change(&mut component.objectives));
            let (ground, together) = ground(&app, self.inputs, self.draws);
            let solved = Solved::solve(&app, self.inputs, &ground, self.draws, together);
            let components: Vec<ComponentReport> =
                solved.placed.iter().filter_map(|(id, placed)| solved.component(id, placed)).collect();
            let cost = solved.cost(&components);
            cents(cost.today_usd + cost.added_usd)
        };
        type Change = fn(&mut lifeboat_model::app::Objectives);
        let kinds: [(&str, Change); 3] = [
            ("RTO", |objectives| objectives.rto = None),
            ("RPO", |objectives| objectives.rpo = None),
            ("residency", |objectives| objectives.residency.clear()),
        ];
        for (name, change) in kinds {
            let cost = without(&change);
            if cost < total {
                between.push(format!("every {name}"));
                relax.push(format!("without any {name} it costs {}", usd(cost)));
            }
        }
        if between.len() == 1 {
            relax[0] = format!("cost: at least {}: no objective makes it dearer", usd(total));
        }
        Conflict { between, relax, components: vec!["app".into()] }
    }
}
