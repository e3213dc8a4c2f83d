//! A component's report: what is chosen for it, by which steps it recovers, what that costs, and why nothing cheaper does.

use std::collections::BTreeSet;

use lifeboat_atlas::Figure;
use lifeboat_model::ComponentId;
use lifeboat_model::app::{Component, Objectives, Replication};

use crate::bill::bill;
use crate::choice::{Carriage, Choice, SYNCHRONOUS_LIMIT_MS, TargetRule, choices};
use crate::draw::TOLERANCE;
use crate::optimise::{Instead, Placed, objectives};
use crate::recovery::{begin, duration, route, seconds, steering};
use crate::report::{Basis, ComponentReport, StepReport};
use crate::site::Ground;
use crate::solve::Solved;
use crate::spread::{PLANNING_QUANTILE, Spread};
use crate::tariff::{CostItem, cents};

/// Up to so many components it is looked for what waits for each.
const SEARCHED: usize = 300;

impl Solved<'_> {
    pub fn component(&self, id: &ComponentId, placed: &Placed) -> Option<ComponentReport> {
        let component = self.app.components.get(id)?;
        let prediction = self.predictions.get(id)?;
        let (today, added) = bill(self.ground, component, placed);
        let known = |items: &[CostItem]| cents(items.iter().filter_map(|item| item.usd).sum());
        let unknown = today.iter().chain(&added).filter(|item| item.usd.is_none()).count();
        let steps = begin(self.app, &self.inputs.history)
            .into_iter()
            .chain(placed.choice.steps.iter().cloned())
            .chain(
                self.app
                    .routes
                    .values()
                    .filter(|to| to.to == *id)
                    .take(1)
                    .map(|to| route(to, steering(self.app), &self.inputs.history, self.inputs.atlas)),
            )
            .map(|step| step_report(step.kind, &step.takes))
            .collect();
        Some(ComponentReport {
            component: id.to_string(),
            kind: component.kind.as_str().into(),
            pattern: placed.choice.pattern.as_str().into(),
            how: placed.choice.how.clone(),
            replication: placed.choice.carriage,
            home: self.name(placed.home),
            targets: placed.targets.iter().map(|target| self.name(*target)).collect(),
            standby_instances: placed.choice.standby,
            home_instances: component.size.count.unwrap_or(1),
            commit_latency_ms: self.commit_latency(placed),
            rto: prediction.rto,
            rto_range: prediction.rto_range,
            rpo: prediction.rpo,
            loss: component.kind.is_database().then(|| {
                let Spread { grade, source, date, .. } = &placed.choice.loss;
                Basis { grade: *grade, source: source.to_string(), date: date.to_string() }
            }),
            steps,
            measured: None,
            today_usd: known(&today),
            added_usd: known(&added),
            unknown_prices: unknown,
            items: added,
            complexity: placed.choice.complexity,
            reasons: self.reasons(id, component, placed),
            as_declared: as_declared(self.ground, component, placed),
        })
    }

    fn commit_latency(&self, placed: &Placed) -> Option<Figure<f64>> {
        self.confirmed_by(placed).map(|(_, latency)| latency)
    }

    /// The region for which a commit waits, and how long. With several targets a majority confirms, so the nearest decides.
    fn confirmed_by(&self, placed: &Placed) -> Option<(usize, Figure<f64>)> {
        if placed.choice.carriage != Carriage::Synchronous {
            return None;
        }
        let trip = |target: usize| self.ground.between(placed.home, target).round_trip.clone();
        let trips = placed.targets.iter().filter_map(|target| Some((*target, trip(*target)?.ms)));
        trips.min_by(|(_, one), (_, other)| one.value.total_cmp(&other.value))
    }

    /// Why this and nothing cheaper.
    fn reasons(&self, id: &ComponentId, component: &Component, placed: &Placed) -> Vec<String> {
        let setting = self.setting();
        let objectives = objectives(self.app, component);
        let mut reasons = Vec::new();
        if self.troubled.get(id) == Some(&false) {
            reasons.push("the demands on it contradict each other; this comes nearest".to_owned());
        }
        if self.inputs.keep_pins && component.pattern == Some(placed.choice.pattern) {
            reasons.push(format!("the file asks for {}", placed.choice.pattern.as_str()));
        }
        let instead = Instead::new(setting, self.draws, &self.placed, id);
        let late = self.kept_for(id);
        let mut told = BTreeSet::new();
        let mut smaller: Option<(u32, String)> = None;
        for choice in choices(setting, id, component) {
            let simpler = (choice.pattern, choice.complexity, choice.standby)
                < (placed.choice.pattern, placed.choice.complexity, placed.choice.standby);
            if !simpler || choice.how == placed.choice.how {
                continue;
            }
            let why = self
                .against(&choice, &objectives, instead.as_ref())
                .or_else(|| late.as_ref().map(|(who, rto)| format!("{who} would miss its RTO of {rto} too often")));
            let Some(why) = why else { continue };
            let label = match choice.carriage {
                Carriage::Nothing if choice.pattern == placed.choice.pattern => {
                    smaller = Some((choice.standby, why));
                    continue;
                }
                Carriage::Asynchronous | Carriage::Synchronous if choice.pattern == placed.choice.pattern => {
                    format!("{} ({})", choice.pattern.as_str(), choice.carriage.as_str())
                }
                _ => choice.pattern.as_str().to_owned(),
            };
            if told.insert(label.clone()) {
                reasons.push(format!("not {label}: {why}"));
            }
        }
        if let Some((most, why)) = smaller {
            let fewer = if most > 1 { " or fewer" } else { "" };
            reasons.push(format!("not {most} of {}{fewer}: {why}", component.size.count.unwrap_or(1)));
        }
        if let Some(slowest) = component
            .needs
            .iter()
            .filter_map(|need| self.predictions.get(need).map(|prediction| (need, prediction.rto.p95)))
            .max_by(|(_, one), (_, other)| one.total_cmp(other))
        {
            let (slowest, p95) = slowest;
            reasons.push(format!("it waits for {slowest} (95 of 100 times within {})", seconds(p95)));
        }
        if let Some((nearest, latency)) = self.confirmed_by(placed) {
            let limit = match placed.choice.rule {
                TargetRule::Near => format!(" (limit {SYNCHRONOUS_LIMIT_MS:.0} ms)"),
                TargetRule::Any | TargetRule::AzurePair => String::new(),
            };
            reasons.push(format!("each commit waits {:.0} ms for {}{limit}", latency.value, self.name(nearest)));
        }
        if placed.choice.rule == TargetRule::AzurePair {
            reasons.push("geo-redundant storage goes to the region that Azure pairs with its home".to_owned());
        }
        reasons
    }

    /// The component with the shortest RTO among those that wait for this one. Enormous apps are not searched.
    fn kept_for(&self, id: &ComponentId) -> Option<(ComponentId, String)> {
        if self.app.components.len() > SEARCHED {
            return None;
        }
        let mut found: BTreeSet<&ComponentId> = BTreeSet::from([id]);
        let mut grown = true;
        while grown {
            let waiting =
                self.app.components.iter().filter(|(_, other)| other.needs.iter().any(|need| found.contains(need)));
            let more: Vec<&ComponentId> =
                waiting.map(|(other, _)| other).filter(|other| !found.contains(*other)).collect();
            grown = !more.is_empty();
            found.extend(more);
        }
        let rto = |id: &ComponentId| objectives(self.app, self.app.components.get(id)?).rto;
        let shortest = found.into_iter().filter(|other| *other != id);
        let who = shortest.filter(|other| rto(other).is_some()).min_by_key(|other| rto(other))?;
        Some((who.clone(), duration(rto(who)?)))
    }

    fn against(&self, choice: &Choice, objectives: &Objectives, instead: Option<&Instead<'_>>) -> Option<String> {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of at most some days")]
        let as_seconds = |ms: u64| seconds(ms as f64 / 1000.0);
        if let Some(rpo) = objectives.rpo
            && u128::from(choice.planned_loss_ms()) > rpo.as_millis()
        {
            return Some(format!("it may lose {} (RPO {})", as_seconds(choice.planned_loss_ms()), duration(rpo)));
        }
        let p95 = instead?.p95(choice);
        let rto = objectives.rto.filter(|rto| p95 > rto.as_secs_f64() + TOLERANCE)?;
        let takes =
            if seconds(p95) == duration(rto) { format!("a little more than {}", duration(rto)) } else { seconds(p95) };
        Some(format!("it takes {takes} (RTO {})", duration(rto)))
    }
}

fn step_report(step: crate::recovery::StepKind, takes: &Spread) -> StepReport {
    StepReport {
        step,
        p50: takes.at(0.5),
        p95: takes.at(PLANNING_QUANTILE),
        grade: takes.grade,
        source: takes.source.to_string(),
        date: takes.date.to_string(),
    }
}

/// Whether the file already describes what is chosen.
fn as_declared(ground: &Ground, component: &Component, placed: &Placed) -> bool {
    let target_names: Vec<_> =
        placed.targets.iter().filter_map(|target| ground.sites[*target].region.clone()).collect();
    if target_names.len() != placed.targets.len() {
        return false;
    }
    if component.kind.is_database() {
        let mode = |target| component.standbys.get(target).copied();
        component.pattern == Some(placed.choice.pattern)
            && component.writer.as_ref() == ground.sites[placed.home].region.as_ref()
            && target_names.iter().all(|target| match placed.choice.carriage {
                Carriage::Synchronous => mode(target) == Some(Replication::Synchronous),
                Carriage::Asynchronous | Carriage::SeveralWriters => mode(target).is_some(),
                Carriage::Backups | Carriage::Nothing => true,
            })
    } else {
        let runs_there =
            component.regions.is_empty() || target_names.iter().all(|target| component.regions.contains(target));
        match component.pattern {
            Some(pattern) => pattern == placed.choice.pattern && runs_there,
            // Without a pattern a compute runs in full in all its regions.
            None => runs_there && placed.choice.standby == component.size.count.unwrap_or(1).max(1),
        }
    }
}
