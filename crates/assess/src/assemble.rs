//! From an app to its [`Assessment`]: optimise, explain what contradicts, predict, and put it all into words.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_atlas::{Atlas, Figure, Price, PriceBook};
use lifeboat_model::app::{Component, Pattern, Provider, Replication, RoutePolicy};
use lifeboat_model::{App, ComponentId};

use crate::choice::{Carriage, Choice, SYNCHRONOUS_LIMIT_MS, Setting, TargetRule, alone, choices};
use crate::conflict::contradiction;
use crate::optimise::{
    Constraint, Outcome, Placed, Task, groups, objectives, optimise, optimise_groups, optimise_only, overhead_ms,
};
use crate::predict::{Prediction, Quantiles, predict};
use crate::recovery::{History, Steering, begin, duration, route, seconds, steering};
use crate::report::{
    Assessment, ComponentReport, Conflict, CostReport, LinkReport, MeasuredReport, ObjectiveReport, Outlook,
    RegionReport, Standing, StepReport, Summary,
};
use crate::site::{Ground, declared, everywhere, lies_in, may_be_in};
use crate::spread::{PLANNING_QUANTILE, Spread};
use crate::tariff::{CostItem, Item, Measure, cents, items, line, traffic};
use crate::weak::weak_points;

/// Which regions come into question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Candidates {
    /// The file's regions where it names at least two that keep data, else all of its providers' regions.
    #[default]
    Automatic,
    /// The file's only.
    File,
    /// The file's and every other region of the providers that it uses; the whole app is placed together.
    Everywhere,
}

/// What an assessment depends on besides the file.
#[derive(Clone)]
pub struct Inputs<'a> {
    /// Facts.
    pub atlas: &'a Atlas,
    /// Prices; [`Atlas::prices`], with a user's on top.
    pub prices: PriceBook,
    /// What was measured.
    pub history: History,
    /// Regions.
    pub candidates: Candidates,
    /// Whether patterns, writers, standbys and regions that the file fixes are kept. Default: yes.
    pub keep_pins: bool,
}

impl<'a> Inputs<'a> {
    /// The embedded facts, nothing measured.
    pub fn new(atlas: &'a Atlas) -> Self {
        Self {
            atlas,
            prices: atlas.prices().clone(),
            history: History::default(),
            candidates: Candidates::Automatic,
            keep_pins: true,
        }
    }
}

/// How often planning is repeated with a margin for groups whose prediction misses an objective that the plan holds.
const ROUNDS: u32 = 6;
/// Contradictions are explained for so many groups; in an enormous file with more, the others are counted.
const EXPLAINED: usize = 20;

/// Assesses an app. The tables of patterns and the frontier stay empty: see [`crate::compare`] and [`crate::frontier`].
pub fn assess(app: &App, inputs: &Inputs<'_>) -> Assessment {
    let (ground, together) = ground(app, inputs);
    let mut answer = Assembler::solve(app, inputs, &ground, together).report();
    if !inputs.history.recoveries.is_empty() {
        // What was predicted before anything was measured: against itself every measurement would hold.
        let before = assess(app, &Inputs { history: History::default(), ..inputs.clone() });
        for (component, before) in answer.components.iter_mut().zip(&before.components) {
            let id = ComponentId::from(component.component.as_str());
            let seconds = inputs.history.recoveries.get(&id).filter(|seconds| !seconds.is_empty());
            component.measured = seconds.map(|seconds| MeasuredReport {
                seconds: seconds.clone(),
                predicted: (before.rto_range.0, before.rto.p99),
                within: seconds.iter().all(|value| (before.rto_range.0..=before.rto.p99).contains(value)),
            });
        }
    }
    answer
}

/// The comparable cost and the placements alone, for those who ask many times.
pub(crate) fn placements(app: &App, inputs: &Inputs<'_>) -> (Outcome, Ground) {
    let (ground, together) = ground(app, inputs);
    (plain(app, inputs, &ground, together), ground)
}

fn plain(app: &App, inputs: &Inputs<'_>, ground: &Ground, together: bool) -> Outcome {
    optimise(&Task {
        setting: Setting { atlas: inputs.atlas, app, history: &inputs.history },
        ground,
        relaxed: &BTreeSet::new(),
        keep_pins: inputs.keep_pins,
        margins: &BTreeMap::new(),
        together,
    })
}

/// The regions that come into question, and whether the whole app is placed together. Regions that an account must ask for
/// first come in only where nothing can be had without them.
fn ground(app: &App, inputs: &Inputs<'_>) -> (Ground, bool) {
    let of = |sites| Ground::new(inputs.atlas, &inputs.prices, sites);
    let own = declared(app);
    let own_is_enough = match inputs.candidates {
        Candidates::File => true,
        Candidates::Automatic => own.len() >= 2,
        Candidates::Everywhere => false,
    };
    if own_is_enough {
        return (of(own), false);
    }
    let open = of(everywhere(inputs.atlas, app, false));
    if plain(app, inputs, &open, true).impossible.is_empty() {
        return (open, true);
    }
    (of(everywhere(inputs.atlas, app, true)), true)
}

struct Assembler<'a> {
    app: &'a App,
    inputs: &'a Inputs<'a>,
    ground: &'a Ground,
    placed: BTreeMap<ComponentId, Placed>,
    predictions: BTreeMap<ComponentId, Prediction>,
    conflicts: Vec<Conflict>,
    /// Components whose demands contradict each other, and whether dropping what the file fixes resolves it.
    troubled: BTreeMap<ComponentId, bool>,
    unexplained: usize,
    optimal: bool,
}

impl<'a> Assembler<'a> {
    fn solve(app: &'a App, inputs: &'a Inputs<'a>, ground: &'a Ground, together: bool) -> Self {
        let setting = Setting { atlas: inputs.atlas, app, history: &inputs.history };
        let nothing = BTreeSet::new();
        let mut margins = BTreeMap::new();
        let mut this = Self {
            app,
            inputs,
            ground,
            placed: BTreeMap::new(),
            predictions: BTreeMap::new(),
            conflicts: Vec::new(),
            troubled: BTreeMap::new(),
            unexplained: 0,
            optimal: true,
        };
        let unmargined = BTreeMap::new();
        let first =
            Task { setting, ground, relaxed: &nothing, keep_pins: inputs.keep_pins, margins: &unmargined, together };
        let outcome = optimise(&first);
        this.optimal = outcome.proved;
        this.placed = outcome.placed;
        for group in outcome.impossible {
            this.settle(&first, &group);
        }
        this.predictions = predict(setting, &this.placed);
        let all = groups(&first);
        for round in 1..=ROUNDS {
            let missing: Vec<&Vec<ComponentId>> =
                all.iter().filter(|group| group.iter().any(|id| this.misses(id))).collect();
            if missing.is_empty() {
                break;
            }
            for id in missing.iter().copied().flatten().filter(|id| this.misses(id)) {
                let component = app.components.get(id);
                let wanted =
                    component.and_then(|component| objectives(app, component).rto).map(|rto| rto.as_secs_f64());
                let found = this.predictions.get(id).map(|prediction| prediction.rto.p95);
                if let (Some(wanted), Some(found)) = (wanted, found) {
                    // A small miss can need a large margin where the tail of a step is long, so each round asks for more.
                    *margins.entry(id.clone()).or_insert(1.0) *= (found / wanted).max(1.02).powi(round.cast_signed());
                }
            }
            let again = Task { margins: &margins, ..first };
            let solved = optimise_groups(&again, missing.into_iter().cloned().collect());
            if solved.placed.is_empty() {
                break;
            }
            this.optimal &= solved.proved;
            let changed = solved.placed;
            this.placed.extend(changed.clone());
            this.predictions.extend(predict(setting, &changed));
        }
        this.too_close();
        this
    }

    /// RTOs that hold step by step, but not together: of several recoveries at a time one is slow more often than each alone.
    fn too_close(&mut self) {
        let missed = self.predictions.iter().filter(|(id, _)| self.misses(id));
        let conflicts: Vec<Conflict> = missed
            .map(|(id, prediction)| {
                let wanted = self.app.components.get(id).and_then(|component| objectives(self.app, component).rto);
                let least = seconds(prediction.rto.p95);
                Conflict {
                    between: vec![format!("RTO of {id}: {}", wanted.map(duration).unwrap_or_default())],
                    relax: vec![format!(
                        "RTO of {id}: at least {least}, as several steps at a time are slow more often than each alone"
                    )],
                    components: vec![id.to_string()],
                }
            })
            .collect();
        self.conflicts.extend(conflicts);
    }

    /// Whether the prediction misses an RTO that the plan holds.
    fn misses(&self, id: &ComponentId) -> bool {
        !self.troubled.contains_key(id)
            && self
                .predictions
                .get(id)
                .and_then(|prediction| prediction.misses_rto)
                .is_some_and(|share| share > 1.0 - PLANNING_QUANTILE + 1e-9)
    }

    /// What to do with a group without a solution: explain it, and propose what comes nearest.
    fn settle(&mut self, task: &Task<'_>, group: &[ComponentId]) {
        if self.conflicts.len() >= EXPLAINED {
            self.unexplained += 1;
            for id in group {
                self.troubled.insert(id.clone(), false);
            }
            return;
        }
        let found = contradiction(task, group);
        self.conflicts.extend(found.conflicts);
        let free = Task { keep_pins: false, ..*task };
        if let Some(outcome) = optimise_only(&free, group) {
            self.placed.extend(outcome.placed);
            self.troubled.extend(group.iter().map(|id| (id.clone(), true)));
            return;
        }
        self.troubled.extend(group.iter().map(|id| (id.clone(), false)));
        if let Some(placed) = nearest(task, group, &found.constraints) {
            self.placed.extend(placed);
        }
    }

    fn setting(&self) -> Setting<'_> {
        Setting { atlas: self.inputs.atlas, app: self.app, history: &self.inputs.history }
    }

    fn report(self) -> Assessment {
        let components: Vec<ComponentReport> =
            self.placed.iter().filter_map(|(id, placed)| self.component(id, placed)).collect();
        let cost = self.cost(&components);
        let mut objectives = self.objectives(&components);
        let (more, cost_conflict) = self.app_objectives(&cost);
        objectives.extend(more);
        objectives.sort_by_key(|objective| objective.standing);
        let mut conflicts = self.conflicts.clone();
        conflicts.extend(cost_conflict);
        let summary = self.summary(&components, &objectives, &cost);
        Assessment {
            app: self.app.name.to_string(),
            summary,
            objectives,
            conflicts,
            regions: self.regions(),
            links: self.links(),
            weak_points: weak_points(self.setting(), self.ground, &self.placed),
            outlook: self.outlook(),
            components,
            cost,
            patterns: Vec::new(),
            frontier: Vec::new(),
            optimal: self.optimal && self.unexplained == 0,
            notes: self.notes(),
        }
    }

    fn name(&self, site: usize) -> String {
        self.ground.sites[site].name.clone()
    }

    fn component(&self, id: &ComponentId, placed: &Placed) -> Option<ComponentReport> {
        let component = self.app.components.get(id)?;
        let prediction = self.predictions.get(id)?;
        let (today, added) = bill(self.inputs, self.ground, component, placed);
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
        if placed.choice.carriage != Carriage::Synchronous {
            return None;
        }
        let trips =
            placed.targets.iter().filter_map(|target| self.ground.between(placed.home, *target).round_trip.clone());
        // With several targets a majority confirms, so the nearest decides.
        trips.map(|trip| trip.ms).min_by(|a, b| a.value.total_cmp(&b.value))
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
        let overhead = overhead_ms(setting, id);
        let needs: u64 = component
            .needs
            .iter()
            .filter_map(|need| self.placed.get(need))
            .map(|need| need.choice.planned_ms())
            .max()
            .unwrap_or(0);
        let mut told = BTreeSet::new();
        for choice in choices(setting, id, component) {
            let simpler = (choice.pattern, choice.complexity, choice.standby)
                < (placed.choice.pattern, placed.choice.complexity, placed.choice.standby);
            if !simpler || choice.how == placed.choice.how {
                continue;
            }
            let label = match choice.carriage {
                Carriage::Nothing if choice.pattern == placed.choice.pattern => {
                    format!("{} of {}", choice.standby, component.size.count.unwrap_or(1))
                }
                Carriage::Asynchronous | Carriage::Synchronous if choice.pattern == placed.choice.pattern => {
                    format!("{} ({})", choice.pattern.as_str(), choice.carriage.as_str())
                }
                _ => choice.pattern.as_str().to_owned(),
            };
            if let Some(why) = self.against(&choice, &objectives, overhead + needs)
                && told.insert(label.clone())
            {
                reasons.push(format!("not {label}: {why}"));
            }
        }
        if let Some(slowest) = component
            .needs
            .iter()
            .filter(|need| self.placed.contains_key(*need))
            .max_by_key(|need| self.placed.get(*need).map_or(0, |need| need.choice.planned_ms()))
            && let Some(prediction) = self.predictions.get(slowest)
        {
            reasons.push(format!("it waits for {slowest} (95 of 100 times within {})", seconds(prediction.rto.p95)));
        }
        if placed.choice.carriage == Carriage::Synchronous
            && let Some(latency) = self.commit_latency(placed)
        {
            reasons.push(format!(
                "each commit waits {:.0} ms for {} (limit {SYNCHRONOUS_LIMIT_MS:.0} ms)",
                latency.value,
                self.name(placed.targets[0])
            ));
        }
        if placed.choice.rule == TargetRule::AzurePair {
            reasons.push("geo-redundant storage goes to the region that Azure pairs with its home".to_owned());
        }
        reasons
    }

    fn against(&self, choice: &Choice, objectives: &lifeboat_model::app::Objectives, before_ms: u64) -> Option<String> {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of at most some days")]
        let as_seconds = |ms: u64| seconds(ms as f64 / 1000.0);
        if let Some(rpo) = objectives.rpo
            && u128::from(choice.planned_loss_ms()) > rpo.as_millis()
        {
            return Some(format!("it may lose {} (RPO {})", as_seconds(choice.planned_loss_ms()), duration(rpo)));
        }
        let total = choice.planned_ms() + before_ms;
        if let Some(rto) = objectives.rto
            && u128::from(total) > rto.as_millis()
        {
            return Some(format!("it takes {} (RTO {})", as_seconds(total), duration(rto)));
        }
        None
    }

    fn cost(&self, components: &[ComponentReport]) -> CostReport {
        let (global_today, global_added) = self.global_items();
        let mut added_by_item: BTreeMap<String, f64> = BTreeMap::new();
        let mut by_grade: BTreeMap<String, f64> = BTreeMap::new();
        let mut unknown: BTreeSet<String> = BTreeSet::new();
        for item in components.iter().flat_map(|component| &component.items).chain(&global_added) {
            if let (Some(usd), Some(grade)) = (item.usd, item.grade) {
                *added_by_item.entry(item.item.as_str().into()).or_default() += usd;
                *by_grade.entry(grade.as_str().into()).or_default() += usd;
            } else {
                unknown.insert(unknown_line(item));
            }
        }
        for (id, placed) in &self.placed {
            if let Some(component) = self.app.components.get(id) {
                let (today, _) = bill(self.inputs, self.ground, component, placed);
                unknown.extend(today.iter().filter(|item| item.usd.is_none()).map(unknown_line));
            }
        }
        unknown.extend(global_today.iter().filter(|item| item.usd.is_none()).map(unknown_line));
        for amount in added_by_item.values_mut().chain(by_grade.values_mut()) {
            *amount = cents(*amount);
        }
        let global = |items: &[CostItem]| items.iter().filter_map(|item| item.usd).sum::<f64>();
        CostReport {
            today_usd: cents(
                components.iter().map(|component| component.today_usd).sum::<f64>() + global(&global_today),
            ),
            added_usd: cents(
                components.iter().map(|component| component.added_usd).sum::<f64>() + global(&global_added),
            ),
            added_by_item,
            unknown: unknown.into_iter().collect(),
            by_grade,
        }
    }

    /// Names belong to the app, not to a component: the zone is there today.
    fn global_items(&self) -> (Vec<CostItem>, Vec<CostItem>) {
        if self.app.routes.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let Some(site) = self.placed.values().next().map(|placed| &self.ground.sites[placed.home]) else {
            return (Vec::new(), Vec::new());
        };
        match steering(self.app) {
            Steering::Route53 => {
                let price = self.inputs.prices.price(&site.place, "route53-hosted-zone");
                (vec![line(Item::Dns, "global", "route53-hosted-zone", "zone-month", 1.0, &price, None)], Vec::new())
            }
            Steering::TrafficManager | Steering::BuiltIn => (Vec::new(), Vec::new()),
        }
    }

    fn objectives(&self, components: &[ComponentReport]) -> Vec<ObjectiveReport> {
        let mut reports = Vec::new();
        let by_name: BTreeMap<&str, &ComponentReport> =
            components.iter().map(|component| (component.component.as_str(), component)).collect();
        for (id, component) in &self.app.components {
            let wanted = objectives(self.app, component);
            let found = by_name.get(id.as_str());
            let prediction = self.predictions.get(id);
            let mut add = |objective: &str, wanted: String, expected: String, misses: Option<f64>, held: bool| {
                let (standing, reason) = self.standing(id, found.copied(), held);
                reports.push(ObjectiveReport {
                    of: id.to_string(),
                    objective: objective.into(),
                    wanted,
                    expected,
                    misses,
                    standing,
                    reason,
                });
            };
            if let Some(rto) = wanted.rto {
                let expected = prediction.map_or("no recovery".into(), |prediction| seconds(prediction.rto.p95));
                let misses = prediction.and_then(|prediction| prediction.misses_rto);
                let held = misses.is_some_and(|share| share <= 1.0 - PLANNING_QUANTILE + 1e-9);
                add("rto", duration(rto), expected, misses, held);
            }
            if let Some(rpo) = wanted.rpo.filter(|_| component.kind.is_database()) {
                let expected = prediction.map_or("no recovery".into(), |prediction| seconds(prediction.rpo.p95));
                let misses = prediction.and_then(|prediction| prediction.misses_rpo);
                let held = misses.is_some_and(|share| share <= 1.0 - PLANNING_QUANTILE + 1e-3);
                add("rpo", duration(rpo), expected, misses, held && prediction.is_some());
            }
            if let (Some(share), Some(placed)) = (wanted.availability, self.placed.get(id)) {
                let rate = self.inputs.atlas.outage_rate(&self.ground.sites[placed.home].place);
                let expected = match (&rate, prediction) {
                    (Some(rate), Some(prediction)) => {
                        1.0 - rate.per_year.value * prediction.mean_rto / (8766.0 * 3600.0)
                    }
                    _ => 1.0,
                };
                let text =
                    if rate.is_some() { format!("{expected:.6} (region losses only)") } else { "not known".into() };
                add("availability", share.to_string(), text, None, expected >= share && rate.is_some());
            }
        }
        reports
    }

    fn standing(&self, id: &ComponentId, found: Option<&ComponentReport>, held: bool) -> (Standing, String) {
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
            (true, _) if found.as_declared => (Standing::Met, by),
            (true, _) => (Standing::Achievable, format!("by {by}")),
        }
    }

    /// Residency and cost.
    fn app_objectives(&self, cost: &CostReport) -> (Vec<ObjectiveReport>, Option<Conflict>) {
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
                (Standing::Achievable, format!("if the {unknown} unknown prices come to at most {}", usd(room)))
            } else {
                (Standing::Met, "today's cost and protection together".into())
            };
            reports.push(ObjectiveReport {
                of: "app".into(),
                objective: "cost".into(),
                wanted: ceiling.to_string(),
                expected: price(total, unknown),
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
            let (ground, together) = ground(&app, self.inputs);
            let solved = Assembler::solve(&app, self.inputs, &ground, together);
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

    fn summary(&self, components: &[ComponentReport], objectives: &[ObjectiveReport], cost: &CostReport) -> Summary {
        let standing = objectives.iter().map(|objective| objective.standing).min().unwrap_or(Standing::Met);
        let reached: BTreeSet<&str> = self.app.routes.values().map(|route| route.to.as_str()).collect();
        let clients: Vec<&ComponentReport> = components
            .iter()
            .filter(|component| reached.is_empty() || reached.contains(component.component.as_str()))
            .collect();
        let worst = |of: &dyn Fn(&ComponentReport) -> Quantiles, among: &mut dyn Iterator<Item = &ComponentReport>| {
            among.map(of).max_by(|a, b| a.p95.total_cmp(&b.p95)).unwrap_or_default()
        };
        let rto = worst(&|component| component.rto, &mut clients.iter().copied());
        let rpo = worst(&|component| component.rpo, &mut components.iter());
        let pattern: Option<Pattern> = self.placed.values().map(|placed| placed.choice.pattern).min();
        let unmet = objectives.iter().filter(|objective| objective.standing == Standing::Unattainable).count();
        let line = match (standing, pattern) {
            (Standing::Unattainable, _) => {
                format!("{unmet} of {} objectives cannot be met as the file stands", objectives.len())
            }
            (_, None) => "there is nothing to protect".into(),
            (standing, Some(pattern)) => {
                let verb = if standing == Standing::Met { "is" } else { "should be" };
                format!(
                    "{} {verb} {} for {}{}",
                    self.app.name,
                    protected(pattern),
                    price(cost.added_usd, cost.unknown.len()),
                    if cost.today_usd > 0.0 { format!(" on top of {}", usd(cost.today_usd)) } else { String::new() }
                )
            }
        };
        Summary {
            standing,
            line,
            pattern: pattern.map(|pattern| pattern.as_str().to_owned()),
            rto,
            rpo,
            today_usd: cost.today_usd,
            added_usd: cost.added_usd,
            overhead_percent: percent(cost.added_usd, cost.today_usd),
            unknown_prices: cost.unknown.len(),
            steering: steering(self.app),
        }
    }

    fn regions(&self) -> Vec<RegionReport> {
        let mut reports = Vec::new();
        for (at, site) in self.ground.sites.iter().enumerate() {
            let facts = self.inputs.atlas.region(&site.place);
            let using = |of: &dyn Fn(&Placed) -> bool| -> Vec<String> {
                self.placed.iter().filter(|(_, placed)| of(placed)).map(|(id, _)| id.to_string()).collect()
            };
            let home_of = using(&|placed| placed.home == at);
            let target_of = using(&|placed| placed.targets.contains(&at));
            let unused = home_of.is_empty() && target_of.is_empty();
            let refused = unused.then(|| self.refusal(site)).flatten();
            reports.push(RegionReport {
                region: site.name.clone(),
                place: site.place.to_string(),
                city: facts.map(|facts| facts.city.clone()),
                jurisdiction: facts.map(|facts| facts.jurisdiction.clone()),
                latitude: facts.and_then(|facts| facts.position).map(|position| position.latitude),
                longitude: facts.and_then(|facts| facts.position).map(|position| position.longitude),
                home_of,
                target_of,
                refused,
            });
        }
        reports
    }

    /// Why no component at all may be in a region.
    fn refusal(&self, site: &crate::site::Site) -> Option<String> {
        let mut first = None;
        for component in self.app.components.values() {
            let residency = objectives(self.app, component).residency;
            match may_be_in(self.inputs.atlas, component, Some(&residency), Some(&component.regions), site) {
                Ok(()) => return None,
                Err(refusal) => first = first.or(Some(refusal.to_string())),
            }
        }
        first
    }

    fn links(&self) -> Vec<LinkReport> {
        let mut pairs: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for placed in self.placed.values() {
            for target in &placed.targets {
                *pairs.entry((placed.home, *target)).or_default() += 1;
            }
        }
        pairs
            .into_iter()
            .map(|((home, target), components)| {
                let between = self.ground.between(home, target);
                let choice = self.ground.sites.len().saturating_sub(1);
                let mut reason = if choice == 1 {
                    "the only other region of the file".to_owned()
                } else {
                    format!("the cheapest of {choice} that came into question")
                };
                if between.paired {
                    reason += "; Azure pairs them";
                }
                LinkReport {
                    from: self.name(home),
                    to: self.name(target),
                    km: between.km.map(f64::round),
                    round_trip_ms: between.round_trip.as_ref().map(|trip| trip.ms.clone()),
                    paired: between.paired,
                    components,
                    reason,
                }
            })
            .collect()
    }

    fn outlook(&self) -> Vec<Outlook> {
        let mut homes: BTreeMap<usize, f64> = BTreeMap::new();
        for (id, placed) in &self.placed {
            let mean = self.predictions.get(id).map_or(0.0, |prediction| prediction.mean_rto);
            let worst = homes.entry(placed.home).or_default();
            *worst = worst.max(mean);
        }
        homes
            .into_iter()
            .filter_map(|(home, mean_rto)| {
                let rate = self.inputs.atlas.outage_rate(&self.ground.sites[home].place)?;
                #[expect(clippy::cast_precision_loss, reason = "a few dozen")]
                let mean_hours =
                    (!rate.hours.is_empty()).then(|| rate.hours.iter().sum::<f64>() / rate.hours.len() as f64);
                Some(Outlook {
                    region: self.name(home),
                    minutes_waiting: mean_hours.map(|hours| cents(rate.per_year.value * hours * 60.0)),
                    minutes_planned: cents(rate.per_year.value * mean_rto / 60.0),
                    losses_per_year: Figure { value: (rate.per_year.value * 1000.0).round() / 1000.0, ..rate.per_year },
                })
            })
            .collect()
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "Prices are list prices on demand, without tax and discounts; a month has 730 hours.".to_owned(),
            "Not in the figures: Lifeboat's own nodes (one small machine a region), DNS queries, traffic to clients, log and metric services.".to_owned(),
            "Times are at the 95 % point unless it says otherwise; the clock runs from the onset of the fault.".to_owned(),
        ];
        if self.unexplained > 0 {
            notes.push(format!(
                "{} more groups of components contradict themselves in a like manner.",
                self.unexplained
            ));
        }
        if self.app.routes.values().any(|route| route.policy == RoutePolicy::Spread) {
            notes.push(
                "Routes with `policy: spread` lose only the clients of the lost region; the RTO is theirs.".to_owned(),
            );
        }
        let clouds: BTreeSet<Provider> = self.ground.sites.iter().map(|site| site.place.provider).collect();
        if clouds.contains(&Provider::Local) {
            notes.push("What runs on your own machines has no list price: a price file with the SKUs `machine`, `disk` and `transfer` of provider `local` gives it one.".to_owned());
        }
        notes
    }
}

/// The nearest to the contradictory demands: each RTO and RPO of the set as good as it can be.
fn nearest(task: &Task<'_>, group: &[ComponentId], set: &[Constraint]) -> Option<BTreeMap<ComponentId, Placed>> {
    // From dear and quick to cheap and slow: with the RPOs alone, with the RTOs alone, then with neither.
    let all = |of: fn(ComponentId) -> Constraint| group.iter().cloned().map(of).collect::<Vec<_>>();
    let (rtos, rpos) = (all(Constraint::Rto), all(Constraint::Rpo));
    let pins = group.iter().cloned().flat_map(|id| {
        [
            Constraint::Pattern(id.clone()),
            Constraint::Standbys(id.clone()),
            Constraint::Writer(id.clone()),
            Constraint::Regions(id),
        ]
    });
    let availability = all(Constraint::Availability);
    let attempts: [Vec<Constraint>; 4] = [
        set.to_vec(),
        set.iter().cloned().chain(rtos.clone()).collect(),
        set.iter().cloned().chain(rpos.clone()).collect(),
        rtos.into_iter().chain(rpos).chain(pins).chain(availability).chain([Constraint::Residency]).collect(),
    ];
    for relaxed in attempts {
        let relaxed: BTreeSet<Constraint> = relaxed.into_iter().collect();
        if let Some(quick) = quickest(task, group, &relaxed) {
            return Some(quick);
        }
    }
    None
}

/// A larger group without a solution gets the cheapest of the nearest, not the quickest: searching for that would take minutes.
const QUICKENED: usize = 300;

/// A solution that is as quick as it can be where demands on time are given up: the RTO of all of them is halved for as long
/// as there still is one.
fn quickest(
    task: &Task<'_>,
    group: &[ComponentId],
    relaxed: &BTreeSet<Constraint>,
) -> Option<BTreeMap<ComponentId, Placed>> {
    let mut best = optimise_only(&Task { relaxed, ..*task }, group)?;
    let slow: Vec<&ComponentId> = group.iter().filter(|id| relaxed.contains(&Constraint::Rto((*id).clone()))).collect();
    if slow.is_empty() || group.len() > QUICKENED {
        return Some(best.placed);
    }
    let tight: BTreeSet<Constraint> =
        relaxed.iter().filter(|one| !matches!(one, Constraint::Rto(_))).cloned().collect();
    let mut limit = std::time::Duration::from_secs(90 * 86_400);
    for _ in 0..40 {
        let mut app = task.setting.app.clone();
        app.objectives.rto = None;
        for (id, component) in &mut app.components {
            component.objectives.rto = if slow.contains(&id) {
                Some(limit)
            } else {
                task.setting.app.components.get(id).and_then(|component| objectives(task.setting.app, component).rto)
            };
        }
        let setting = Setting { app: &app, ..task.setting };
        match optimise_only(&Task { setting, relaxed: &tight, ..*task }, group) {
            Some(outcome) => best = outcome,
            None => break,
        }
        limit /= 2;
    }
    Some(best.placed)
}

fn step_report(step: crate::recovery::StepKind, takes: &Spread) -> StepReport {
    StepReport {
        step,
        p50: takes.at(0.5),
        p95: takes.at(PLANNING_QUANTILE),
        grade: takes.grade,
        source: takes.source.to_string(),
    }
}

/// The bill of a component: today's lines, and those that its protection adds.
pub(crate) fn bill(
    inputs: &Inputs<'_>,
    ground: &Ground,
    component: &Component,
    placed: &Placed,
) -> (Vec<CostItem>, Vec<CostItem>) {
    let measure = Measure::of(component);
    let home = &ground.sites[placed.home];
    let tariffs = ground.tariffs(component);
    let tariff = &tariffs[placed.home];
    let today = items(component, &measure, tariff, &alone(component), &home.place, &home.name);
    let mut added = items(component, &measure, tariff, &placed.choice.at_home, &home.place, &home.name);
    for target in &placed.targets {
        let site = &ground.sites[*target];
        added.extend(items(component, &measure, &tariffs[*target], &placed.choice.per_target, &site.place, &site.name));
        if placed.choice.traffic_gb > 0.0 {
            let same_continent = ground.between(placed.home, *target).same_continent;
            let (price, _) = traffic(&inputs.prices, &home.place, &site.place, same_continent);
            let sku = match &price {
                Price::Unknown { sku, .. } => sku.to_string(),
                Price::Known(_) => "traffic between regions".into(),
            };
            let missing = measure.writes_missing.then_some("size.writes");
            added.push(line(Item::Traffic, &home.name, &sku, "GB", placed.choice.traffic_gb, &price, missing));
        }
    }
    (today, added)
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

fn unknown_line(item: &CostItem) -> String {
    format!("{} ({} in {}): {}", item.item.as_str(), item.sku, item.region, item.basis.trim_start_matches("unknown: "))
}

fn protected(pattern: Pattern) -> &'static str {
    match pattern {
        Pattern::BackupRestore => "protected by backup & restore",
        Pattern::PilotLight => "protected by a pilot light",
        Pattern::WarmStandby => "protected by a warm standby",
        Pattern::ActiveActive => "active in several regions",
    }
}

/// `312 USD/month`, and how much of it is not known.
pub fn price(amount: f64, unknown: usize) -> String {
    match (amount > 0.0, unknown) {
        (_, 0) => format!("{}/month", usd(amount)),
        (true, unknown) => {
            format!("{}/month and {unknown} unknown price{}", usd(amount), if unknown == 1 { "" } else { "s" })
        }
        (false, _) => "an unknown price".into(),
    }
}

/// `1,234 USD`; cents below a hundred.
pub fn usd(amount: f64) -> String {
    if amount < 100.0 {
        return format!("{amount:.2} USD");
    }
    let whole = format!("{amount:.0}");
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{grouped} USD")
}

/// A share in percent, where there is something to be a share of.
pub(crate) fn percent(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| (part / whole * 1000.0).round() / 10.0)
}
