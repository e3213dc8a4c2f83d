//! Questions that need several assessments: all patterns side by side, cost against RTO and RPO, and "what if".

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lifeboat_atlas::{Figure, Grade};
use lifeboat_model::app::{Component, Pattern, Place, Region, RegionRole};
use lifeboat_model::compute::full;
use lifeboat_model::{App, ComponentId, RegionId};
use schemars::JsonSchema;
use serde::Serialize;

use crate::assemble::assess;
use crate::choice::{Setting, choices};
use crate::draw::Draws;
use crate::inputs::{Candidates, Inputs};
use crate::optimise::objectives;
use crate::predict::Quantiles;
use crate::recovery::{duration, seconds};
use crate::report::{Assessment, ComponentReport, FrontierPoint, PatternRow, Standing};
use crate::tariff::{cents, skus};
use crate::worth::of_bill;

/// What guides say that a pattern adds to the bill, in percent; of backup & restore they give no figure.
fn usual(pattern: Pattern) -> Option<Figure<String>> {
    let percent = match pattern {
        Pattern::BackupRestore => return None,
        Pattern::PilotLight => "10-20",
        Pattern::WarmStandby => "30-50",
        Pattern::ActiveActive => "100",
    };
    let source = "a rule of thumb that guides to disaster recovery repeat; no provider publishes it";
    Some(Figure::new(percent.into(), Grade::Estimated, source, crate::spread::SET))
}

/// The whole answer: the assessment with the table of patterns and the frontier.
pub fn assess_fully(app: &App, inputs: &Inputs<'_>) -> Assessment {
    Assessment { patterns: compare(app, inputs), frontier: frontier(app, inputs), ..assess(app, inputs) }
}

/// All patterns side by side, each with this app's own numbers. Where a component's kind has no such pattern, it keeps the
/// next stronger one that it has, else its strongest.
pub fn compare(app: &App, inputs: &Inputs<'_>) -> Vec<PatternRow> {
    Pattern::ALL.iter().map(|pattern| row(app, inputs, *pattern)).collect()
}

fn row(app: &App, inputs: &Inputs<'_>, pattern: Pattern) -> PatternRow {
    let mut instead = Vec::new();
    let mut forced = app.clone();
    forced.objectives.cost = None;
    for (id, component) in &mut forced.components {
        let setting = Setting { atlas: inputs.atlas, app, history: &inputs.history };
        let possible: BTreeSet<Pattern> = choices(setting, id, component).iter().map(|choice| choice.pattern).collect();
        let nearest = possible.range(pattern..).next().or_else(|| possible.last()).copied();
        if let Some(nearest) = nearest.filter(|nearest| *nearest != pattern) {
            instead.push(format!("{id}: {}", nearest.as_str()));
        }
        if component.pattern == nearest {
            continue;
        }
        component.pattern = nearest;
        // How a standby is fed, how large it is and that it is everywhere belong to the pattern that the file has.
        component.standbys.clear();
        component.size.standby = None;
        if component.regions.len() == app.data_regions().count() {
            component.regions.clear();
        }
    }
    // Sized for the objectives where the pattern can meet them, else as small as it gets.
    let mut answer = assess(&forced, inputs);
    if !answer.conflicts.is_empty() {
        answer = assess(&without_objectives(&forced), inputs);
    }
    let meets = answer.components.iter().all(|report| meets(app, report));
    PatternRow {
        pattern: pattern.as_str().into(),
        rto: answer.summary.rto,
        rto_basis: answer.summary.rto_basis.clone(),
        rpo: answer.summary.rpo,
        rpo_basis: answer.summary.rpo_basis.clone(),
        added_usd: answer.cost.added_usd,
        cost_basis: answer.cost.cost_basis.clone(),
        overhead_percent: answer.summary.overhead_percent,
        usual_percent: usual(pattern),
        complexity: answer.components.iter().map(|component| component.complexity).max().unwrap_or(0),
        unknown_prices: answer.cost.unknown_of_added,
        meets_objectives: meets && !answer.components.is_empty(),
        instead,
    }
}

fn meets(app: &App, report: &ComponentReport) -> bool {
    let Some(component) = app.components.get(report.component.as_str()) else { return true };
    let wanted = objectives(app, component);
    let within = |limit: Option<Duration>, value: f64| limit.is_none_or(|limit| value <= limit.as_secs_f64());
    within(wanted.rto, report.rto.p95) && (!component.kind.is_database() || within(wanted.rpo, report.rpo.p95))
}

fn without_objectives(app: &App) -> App {
    let mut free = app.clone();
    let clear = |objectives: &mut lifeboat_model::app::Objectives| {
        objectives.rto = None;
        objectives.rpo = None;
        objectives.availability = None;
        objectives.cost = None;
    };
    clear(&mut free.objectives);
    free.components.values_mut().for_each(|component| clear(&mut component.objectives));
    free
}

/// The RTOs and RPOs that the frontier asks for, in seconds.
const RTOS: [f64; 11] = [5.0, 15.0, 60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0, 14_400.0, 86_400.0, 259_200.0];
const RPOS: [f64; 6] = [0.0, 5.0, 60.0, 900.0, 3600.0, 86_400.0];
/// Above so many components the frontier asks only for the app's own RPO.
const MANY: usize = 200;

/// Cost against RTO and RPO: the cheapest solution for each pair, without those that another beats or equals in all three.
/// What the file fixes is set aside, residency is kept.
pub fn frontier(app: &App, inputs: &Inputs<'_>) -> Vec<FrontierPoint> {
    let inputs = Inputs { keep_pins: false, ..inputs.clone() };
    let rpos: Vec<f64> = match app.objectives.rpo {
        Some(rpo) if app.components.len() > MANY => vec![rpo.as_secs_f64()],
        _ => RPOS.to_vec(),
    };
    let draws = inputs.draws(app);
    let mut points: Vec<FrontierPoint> = Vec::new();
    for rpo_seconds in rpos {
        for rto_seconds in RTOS {
            let mut asked = without_objectives(app);
            for component in asked.components.values_mut() {
                component.objectives.rto = Some(Duration::from_secs_f64(rto_seconds));
                component.objectives.rpo = Some(Duration::from_secs_f64(rpo_seconds));
            }
            if let Some(point) = point(&asked, &inputs, &draws, (rto_seconds, rpo_seconds)) {
                points.push(point);
            }
        }
    }
    let beaten = |point: &FrontierPoint| {
        points.iter().any(|other| {
            let no_worse = other.rto_seconds <= point.rto_seconds
                && other.rpo_seconds <= point.rpo_seconds
                && other.added_usd <= point.added_usd
                && other.unknown_prices <= point.unknown_prices;
            no_worse && (other.rto_seconds, other.rpo_seconds) != (point.rto_seconds, point.rpo_seconds)
        })
    };
    points.iter().filter(|point| !beaten(point)).cloned().collect()
}

fn point(
    app: &App,
    inputs: &Inputs<'_>,
    draws: &Draws,
    (rto_seconds, rpo_seconds): (f64, f64),
) -> Option<FrontierPoint> {
    let (outcome, ground) = crate::inputs::placements(app, inputs, draws);
    if !outcome.impossible.is_empty() || outcome.placed.is_empty() {
        return None;
    }
    let mut lines = Vec::new();
    for (id, placed) in &outcome.placed {
        lines.extend(crate::bill::bill(&ground, app.components.get(id)?, placed).1);
    }
    #[expect(clippy::cast_precision_loss, reason = "money for reports")]
    let spare_usd = cents(outcome.cost.saturating_sub(outcome.least) as f64 / 1e6);
    let patterns: BTreeSet<Pattern> = outcome.placed.values().map(|placed| placed.choice.pattern).collect();
    Some(FrontierPoint {
        rto_seconds,
        rpo_seconds,
        added_usd: cents(lines.iter().filter_map(|line| line.usd).sum()),
        cost_basis: of_bill(&lines),
        optimal: outcome.is_proved(),
        spare_usd,
        patterns: patterns.into_iter().map(|pattern| pattern.as_str().to_owned()).collect(),
        unknown_prices: lines.iter().filter(|line| line.usd.is_none()).count(),
    })
}

/// Nothing grows by more, in a question.
const MOST_TIMES: f64 = 1e6;
/// Machines of a component, as many as `size.count` may say in the file.
const MOST_MACHINES: f64 = 100_000.0;

/// A change that is asked about.
#[derive(Clone, Debug, PartialEq)]
pub enum WhatIf {
    /// A region is lost, for good.
    RegionLost(RegionId),
    /// Another RTO, of the app or of a component.
    Rto(Option<ComponentId>, Duration),
    /// Another RPO, of the app or of a component.
    Rpo(Option<ComponentId>, Duration),
    /// All prices whose SKU starts so, multiplied.
    Price(String, f64),
    /// Machines, writes and requests, multiplied; the data that are kept stay as many.
    Traffic(f64),
}

impl WhatIf {
    /// Reads `lost=stockholm`, `rto=30s`, `rto.orders=30s`, `rpo=5s`, `price.ec2=2`, `traffic=2`. The error says what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "expected `lost=REGION`, `rto=30s`, `rto.COMPONENT=30s`, `rpo=…`, `price.SKU=2` or `traffic=2`, found `{text}`"
            )
        };
        let (key, value) = text.split_once('=').ok_or_else(expected)?;
        let factor = || match value.parse::<f64>() {
            Ok(factor) if (0.0..=MOST_TIMES).contains(&factor) => Ok(factor),
            _ => Err(format!("expected a factor such as `2` or `0.5`, at most {MOST_TIMES}, found `{value}`")),
        };
        let time = || lifeboat_model::quantity::parse_duration(value);
        match key.split_once('.').map_or((key, None), |(key, of)| (key, Some(of))) {
            ("lost", None) => Ok(Self::RegionLost(value.into())),
            ("rto", of) => Ok(Self::Rto(of.map(Into::into), time()?)),
            ("rpo", of) => Ok(Self::Rpo(of.map(Into::into), time()?)),
            ("price", Some(sku)) => Ok(Self::Price(sku.into(), factor()?)),
            ("traffic", None) => Ok(Self::Traffic(factor()?)),
            _ => Err(expected()),
        }
    }

    /// In words.
    pub fn describe(&self) -> String {
        let of = |id: &Option<ComponentId>| id.as_ref().map_or_else(|| "of everything".into(), |id| format!("of {id}"));
        match self {
            Self::RegionLost(region) => format!("{region} is lost for good"),
            Self::Rto(id, rto) => format!("the RTO {} is {}", of(id), duration(*rto)),
            Self::Rpo(id, rpo) => format!("the RPO {} is {}", of(id), duration(*rpo)),
            Self::Price(sku, factor) => format!("prices of {sku} are multiplied by {factor}"),
            Self::Traffic(factor) => format!("traffic is multiplied by {factor}"),
        }
    }
}

/// Why a question cannot be asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WhatIfError {
    /// The file has no such region.
    #[error("the file has no region `{0}`")]
    NoRegion(RegionId),
    /// The file has no such component.
    #[error("the file has no component `{0}`")]
    NoComponent(ComponentId),
    /// No price is multiplied by it.
    #[error("no SKU starts with `{0}`; expected the beginning of one by which something of this app is billed: {1}")]
    NoSku(String, String),
    /// More machines than a file may have.
    #[error("`{0}` would have {1} machines; expected at most {MOST_MACHINES}")]
    TooMany(ComponentId, f64),
}

/// Before and after.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Difference {
    /// The question in words.
    pub what_if: String,
    /// What it does to each component whose answer changes.
    pub changes: Vec<Change>,
    /// USD a month that protection adds, before and after.
    pub added_usd: (f64, f64),
    /// RTO of what clients reach, before and after.
    pub rto: (Quantiles, Quantiles),
    /// Objectives that cannot be met, before and after.
    pub unattainable: (usize, usize),
    /// The answer after the change.
    pub after: Assessment,
}

/// What changes for a component.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Change {
    /// The component.
    pub component: String,
    /// As it is proposed now.
    pub before: String,
    /// As it would be.
    pub after: String,
}

/// Answers "what if".
pub fn what_if(app: &App, inputs: &Inputs<'_>, question: &WhatIf) -> Result<Difference, WhatIfError> {
    let before = assess(app, inputs);
    let (mut app, mut inputs) = (app.clone(), inputs.clone());
    if let WhatIf::RegionLost(region) = question {
        recovered(&mut app, region, &before);
    }
    apply(&mut app, &mut inputs, question)?;
    let after = assess(&app, &inputs);
    let said = |answer: &Assessment| -> BTreeMap<String, String> {
        answer.components.iter().map(|component| (component.component.clone(), one_line(component))).collect()
    };
    let (old, new) = (said(&before), said(&after));
    let none = || "nothing: see the contradictions".to_owned();
    let changes = old
        .keys()
        .chain(new.keys())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .filter(|id| old.get(*id) != new.get(*id))
        .map(|id| Change {
            component: id.clone(),
            before: old.get(id).cloned().unwrap_or_else(none),
            after: new.get(id).cloned().unwrap_or_else(none),
        })
        .collect();
    let unattainable = |answer: &Assessment| {
        answer.objectives.iter().filter(|objective| objective.standing == Standing::Unattainable).count()
    };
    Ok(Difference {
        what_if: question.describe(),
        changes,
        added_usd: (before.cost.added_usd, after.cost.added_usd),
        rto: (before.summary.rto, after.summary.rto),
        unattainable: (unattainable(&before), unattainable(&after)),
        after,
    })
}

fn one_line(component: &ComponentReport) -> String {
    format!(
        "{} from {} to {}, RTO {}, RPO {}, {}",
        component.pattern,
        component.home,
        component.targets.join(" and "),
        seconds(component.rto.p95),
        seconds(component.rpo.p95),
        crate::bill::price(component.added_usd, component.unknown_prices)
    )
}

fn apply(app: &mut App, inputs: &mut Inputs<'_>, question: &WhatIf) -> Result<(), WhatIfError> {
    let on = |app: &mut App, id: &Option<ComponentId>, change: &dyn Fn(&mut lifeboat_model::app::Objectives)| {
        match id {
            Some(id) => {
                let component = app.components.get_mut(id).ok_or_else(|| WhatIfError::NoComponent(id.clone()))?;
                change(&mut component.objectives);
            }
            None => {
                change(&mut app.objectives);
                app.components.values_mut().for_each(|component| change(&mut component.objectives));
            }
        }
        Ok(())
    };
    match question {
        WhatIf::RegionLost(region) => lose(app, inputs, region),
        WhatIf::Rto(id, rto) => on(app, id, &|objectives| objectives.rto = Some(*rto)),
        WhatIf::Rpo(id, rpo) => on(app, id, &|objectives| objectives.rpo = Some(*rpo)),
        WhatIf::Price(sku, factor) => {
            priced(app, inputs, sku)?;
            inputs.scaled.push((sku.clone(), *factor));
            Ok(())
        }
        WhatIf::Traffic(factor) => {
            for (id, component) in &mut app.components {
                let machines = (f64::from(full(component)) * factor).ceil();
                if machines > MOST_MACHINES {
                    return Err(WhatIfError::TooMany(id.clone(), machines));
                }
                grow(component, *factor);
            }
            Ok(())
        }
    }
}

/// Whether a SKU starts so that has a price, or by which something of the app is billed.
fn priced(app: &App, inputs: &Inputs<'_>, start: &str) -> Result<(), WhatIfError> {
    let components: Vec<&Component> = app.components.values().collect();
    let places: BTreeSet<&Place> = app.regions.values().map(|region| &region.place).collect();
    let billed: BTreeSet<String> = places.into_iter().flat_map(|place| skus(&components, place)).collect();
    let starts = |sku: &str| sku.starts_with(start);
    if billed.iter().any(|sku| starts(sku)) || inputs.book(app).iter().any(|(_, sku, _)| starts(sku)) {
        return Ok(());
    }
    let shown = billed.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if billed.len() > 8 { format!(" and {} more", billed.len() - 8) } else { String::new() };
    Err(WhatIfError::NoSku(start.into(), shown + &more))
}

/// The app once what served from a region has recovered as was proposed: its data are where they were carried to, and nowhere else.
fn recovered(app: &mut App, lost: &RegionId, before: &Assessment) {
    let places: BTreeMap<&str, &str> =
        before.regions.iter().map(|region| (region.region.as_str(), region.place.as_str())).collect();
    for report in &before.components {
        let id = ComponentId::from(report.component.as_str());
        let database = app.components.get(&id).is_some_and(|component| component.kind.is_database());
        let (true, true, Some(target)) = (database, report.home == lost.as_str(), report.targets.first()) else {
            continue;
        };
        let target = match app.regions.get(target.as_str()) {
            Some(_) => RegionId::from(target.as_str()),
            // One that the file does not have yet: like the one that is lost, but for where it lies.
            None => {
                let place = places.get(target.as_str()).and_then(|place| place.split_once('/'));
                let (Some(like), Some((_, name))) = (app.regions.get(lost).cloned(), place) else { continue };
                let place = Place { provider: like.place.provider, name: name.into() };
                let id = RegionId::from(name);
                app.regions.entry(id.clone()).or_insert(Region { place, ..like });
                id
            }
        };
        if let Some(component) = app.components.get_mut(&id) {
            component.standbys.remove(&target);
            component.writer = Some(target);
        }
    }
}

/// What is left of an app without a region: writers move to their first standby, and new standbys are looked for.
fn lose(app: &mut App, inputs: &mut Inputs<'_>, region: &RegionId) -> Result<(), WhatIfError> {
    if app.regions.remove(region).is_none() {
        return Err(WhatIfError::NoRegion(region.clone()));
    }
    for component in app.components.values_mut() {
        component.standbys.remove(region);
        component.regions.remove(region);
        if component.writer.as_ref() == Some(region) {
            let next = component.standbys.keys().next().cloned();
            if let Some(next) = &next {
                component.standbys.remove(next);
            }
            component.writer = next;
        }
    }
    let left = app.regions.values().filter(|region| region.role == RegionRole::Data).count();
    if left < 2 && inputs.candidates == Candidates::File {
        inputs.candidates = Candidates::Automatic;
    }
    Ok(())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "saturating casts of sizes"
)]
fn grow(component: &mut Component, factor: f64) {
    let grown = |count: u32| (f64::from(count) * factor).ceil() as u32;
    let count = grown(full(component)).max(1);
    let size = &mut component.size;
    size.count = Some(count);
    size.standby = size.standby.map(|standby| grown(standby).min(count));
    size.writes_per_day = size.writes_per_day.map(|bytes| (bytes as f64 * factor) as u64);
    size.requests = size.requests.map(|requests| requests * factor);
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: &str = "app: a\nfailover: {mode: approve}\nregions:\n  x: {place: aws/eu-north-1}\n  y: {place: aws/eu-west-1}\ncomponents:\n  web: {kind: asg, size: {count: 100000, instance: m6g.large}}\n";

    fn refused(question: &str) -> String {
        let app = lifeboat_model::parse(WEB).unwrap();
        let inputs = Inputs::new(lifeboat_atlas::Atlas::embedded());
        what_if(&app, &inputs, &WhatIf::parse(question).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn growth_has_a_bound() {
        assert_eq!(refused("traffic=42949"), "`web` would have 4294900000 machines; expected at most 100000");
        assert!(WhatIf::parse("traffic=1e308").unwrap_err().contains("at most 1000000"));
    }

    #[test]
    fn a_price_that_nothing_has_is_not_multiplied() {
        let said = refused("price.nonsense=2");
        assert!(said.starts_with("no SKU starts with `nonsense`; expected"), "{said}");
        assert!(said.contains("ec2/m6g.large"), "{said}");
    }

    #[test]
    fn questions_are_read_and_refused_with_a_reason() {
        assert_eq!(WhatIf::parse("lost=stockholm"), Ok(WhatIf::RegionLost("stockholm".into())));
        assert_eq!(WhatIf::parse("rto.orders=30s"), Ok(WhatIf::Rto(Some("orders".into()), Duration::from_secs(30))));
        assert_eq!(WhatIf::parse("price.ec2/=2"), Ok(WhatIf::Price("ec2/".into(), 2.0)));
        assert_eq!(
            WhatIf::parse("traffic=-1"),
            Err("expected a factor such as `2` or `0.5`, at most 1000000, found `-1`".into())
        );
        assert!(WhatIf::parse("weather=rain").unwrap_err().starts_with("expected `lost=REGION`"));
    }
}
