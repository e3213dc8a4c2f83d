//! A component's report: what is chosen for it, by which steps it recovers, what that costs, and why nothing cheaper does.

use std::collections::BTreeSet;

use lifeboat_atlas::Figure;
use lifeboat_model::ComponentId;
use lifeboat_model::app::{Component, Kind, Objectives, Pattern, Replication, WithoutStandby};
use lifeboat_model::compute::{Instances, full, has_standby_size};

use crate::bill::bill;
use crate::choice::{Carriage, Choice, SYNCHRONOUS_LIMIT_MS, TargetRule, choices};
use crate::draw::TOLERANCE;
use crate::optimise::{Instead, Placed, objectives};
use crate::proposal::confirmations;
use crate::recovery::{begin, duration, route, seconds, steering};
use crate::report::{Basis, ComponentReport, StepReport};
use crate::site::Ground;
use crate::solve::Solved;
use crate::spread::{PLANNING_QUANTILE, Spread};
use crate::tariff::{CostItem, cents};
use crate::worth::of_bill;

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
            also: placed.elsewhere().skip(placed.targets.len()).map(|site| self.name(site)).collect(),
            standby_instances: placed.choice.standby,
            home_instances: full(component),
            commit_latency_ms: self.commit_wait(component, placed).map(|(_, ms)| ms),
            rto: prediction.rto,
            rto_range: prediction.rto_range,
            rto_basis: self.worth.get(id)?.of_time(),
            rpo: prediction.rpo,
            rpo_basis: component.kind.is_database().then(|| {
                let Spread { grade, source, date, .. } = &placed.choice.loss;
                Basis { grade: *grade, source: source.to_string(), date: date.to_string() }
            }),
            steps,
            measured: None,
            today_usd: known(&today),
            added_usd: known(&added),
            cost_basis: of_bill(today.iter().chain(&added)),
            unknown_prices: unknown,
            items: added,
            complexity: placed.choice.complexity,
            reasons: self.reasons(id, component, placed),
            as_declared: as_declared(self.ground, component, placed),
        })
    }

    /// For which region a commit waits, and how long: the last of those that have to confirm it. Of what the provider replicates a
    /// majority of three confirms, so the nearest decides.
    fn commit_wait(&self, component: &Component, placed: &Placed) -> Option<(usize, Figure<f64>)> {
        if placed.choice.carriage != Carriage::Synchronous {
            return None;
        }
        let confirmations = match component.kind {
            Kind::Postgres => confirmations(component, self.ground, placed),
            _ => 1,
        };
        let mode =
            |site: usize| self.ground.sites[site].region.as_ref().and_then(|region| component.standbys.get(region));
        let confirms = |site: &usize| placed.targets.contains(site) || mode(*site) == Some(&Replication::Synchronous);
        let trip = |site: usize| Some((site, self.ground.between(placed.home, site).round_trip.clone()?.ms));
        let mut trips: Vec<(usize, Figure<f64>)> = placed.elsewhere().filter(confirms).filter_map(trip).collect();
        trips.sort_by(|(_, a), (_, b)| a.value.total_cmp(&b.value));
        let last = confirmations.clamp(1, trips.len().max(1)) - 1;
        trips.into_iter().nth(last)
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
                .against(component, &choice, &objectives, instead.as_ref())
                .or_else(|| late.as_ref().map(|(who, rto)| format!("{who} would miss its RTO of {rto} too often")));
            let Some(why) = why else { continue };
            let label = match choice.carriage {
                _ if choice.pattern == placed.choice.pattern
                    && choice.carriage == placed.choice.carriage
                    && has_standby_size(component.kind) =>
                {
                    smaller = Some((choice.standby, why));
                    continue;
                }
                Carriage::Synchronous if choice.targets < placed.choice.targets => "one synchronous standby".into(),
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
            reasons.push(format!("not {most} of {}{fewer}: {why}", full(component)));
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
        if placed.choice.carriage == Carriage::Synchronous
            && let Some((site, wait)) = self.commit_wait(component, placed)
        {
            let limit = match placed.choice.rule {
                TargetRule::Near => format!(" (limit {SYNCHRONOUS_LIMIT_MS:.0} ms)"),
                TargetRule::Any | TargetRule::AzurePair | TargetRule::StrongSet => String::new(),
            };
            reasons.push(format!("each commit waits {:.0} ms for {}{limit}", wait.value, self.name(site)));
        }
        match placed.choice.rule {
            TargetRule::AzurePair => {
                reasons.push("what is geo-redundant goes to the region that Azure pairs with its home".to_owned());
            }
            TargetRule::StrongSet => {
                reasons.push("AWS has strong consistency within this set of regions only".to_owned());
            }
            TargetRule::Any | TargetRule::Near => {}
        }
        if placed.elsewhere().count() > placed.targets.len() {
            let others: Vec<String> =
                placed.elsewhere().skip(placed.targets.len()).map(|site| self.name(site)).collect();
            reasons.push(format!("the file has it in {} too, which is in the bill", others.join(" and ")));
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

    fn against(
        &self,
        component: &Component,
        choice: &Choice,
        objectives: &Objectives,
        instead: Option<&Instead<'_>>,
    ) -> Option<String> {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of at most some days")]
        let as_seconds = |ms: u64| seconds(ms as f64 / 1000.0);
        if let Some(rpo) = objectives.rpo
            && u128::from(choice.planned_loss_ms()) > rpo.as_millis()
        {
            return Some(format!("it may lose {} (RPO {})", as_seconds(choice.planned_loss_ms()), duration(rpo)));
        }
        if component.without_standby == WithoutStandby::Stop
            && choice.carriage == Carriage::Synchronous
            && choice.targets == 1
            && component.kind == Kind::Postgres
            && (objectives.rto.is_some() || objectives.availability.is_some())
        {
            return Some("the loss of the standby's region would stop it (`without-standby: stop`)".into());
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

/// Whether the file already describes what is chosen: the pattern, the regions, and as many instances as are generated from it.
fn as_declared(ground: &Ground, component: &Component, placed: &Placed) -> bool {
    let names: Vec<_> = placed.elsewhere().filter_map(|site| ground.sites[site].region.clone()).collect();
    if names.len() != placed.elsewhere().count() {
        return false;
    }
    let choice = &placed.choice;
    let sized = !has_standby_size(component.kind) || Instances::of(component).standby == choice.standby;
    if component.kind.is_database() {
        let mode = |target| component.standbys.get(target).copied();
        return sized
            && component.pattern == Some(choice.pattern)
            && component.writer.as_ref() == ground.sites[placed.home].region.as_ref()
            && names.iter().take(placed.targets.len()).all(|target| match choice.carriage {
                Carriage::Synchronous => mode(target) == Some(Replication::Synchronous),
                Carriage::Asynchronous | Carriage::SeveralWriters | Carriage::Backups => mode(target).is_some(),
                Carriage::Nothing => true,
            });
    }
    let Some(home) = &ground.sites[placed.home].region else { return false };
    if component.kind == Kind::Process {
        // Nodes run it in full in all its regions where it has no pattern.
        let runs_there = component.regions.is_empty()
            || std::iter::once(home).chain(&names).all(|id| component.regions.contains(id));
        return runs_there
            && match component.pattern {
                Some(pattern) => pattern == choice.pattern,
                None => choice.standby == full(component),
            };
    }
    let everywhere = component.regions.len() == names.len() + 1;
    let there = std::iter::once(home).chain(&names).all(|id| component.regions.contains(id));
    sized && there && everywhere && component.pattern.unwrap_or(Pattern::WarmStandby) == choice.pattern
}
