//! A component with everything that its placement needs, worked out once: what each of its options costs in each region, how
//! long it takes, and by when it must be ready.

use std::collections::HashMap;

use lifeboat_model::ComponentId;
use lifeboat_model::app::{Objectives, Pattern, Replication};

use super::{Constraint, Task, objectives, overhead_ms, pinned_home};
use crate::choice::{Carriage, Choice, TargetRule, alone, choices};
use crate::schedule::Takes;
use crate::site::may_be_in;
use crate::tariff::micro_usd;

/// More than anything costs with three regions and traffic ([`micro_usd`] has a bound).
pub(super) const IMPOSSIBLE: i64 = 1_000_000_000_000_000;

/// A component with everything that its placement needs, in arrays by option and site.
pub(super) struct Member {
    /// How many components it stands for.
    pub count: i64,
    pub choices: Vec<Choice>,
    pub planned: Vec<Takes>,
    /// `[option * sites + site]`; [`IMPOSSIBLE`] where it may not be.
    pub home: Vec<i64>,
    pub target: Vec<i64>,
    /// Of each option, the least cost of a target.
    pub least_target: Vec<i64>,
    /// `[site]`: when it must be ready, counted from the decision.
    pub deadline: Vec<Option<u64>>,
    pub needs: Vec<usize>,
}

/// `None` if no option is left.
pub(super) fn member(task: &Task<'_>, id: &ComponentId, positions: &HashMap<&ComponentId, usize>) -> Option<Member> {
    let app = task.setting.app;
    let component = app.components.get(id)?;
    let objectives = objectives(app, component);
    let holds = |constraint: fn(ComponentId) -> Constraint| !task.relaxed.contains(&constraint(id.clone()));
    let pinned = |constraint: fn(ComponentId) -> Constraint| task.keep_pins && holds(constraint);
    let rpo = if component.kind.is_database() && holds(Constraint::Rpo) { objectives.rpo } else { None };
    let rpo_ms = rpo.map_or(u64::MAX, |rpo| u64::try_from(rpo.as_millis()).unwrap_or(u64::MAX));
    let pattern: Option<Pattern> = if pinned(Constraint::Pattern) { component.pattern } else { None };
    let choices: Vec<Choice> = choices(task.setting, id, component)
        .into_iter()
        .filter(|choice| choice.planned_loss_ms() <= rpo_ms && pattern.is_none_or(|pattern| choice.pattern == pattern))
        .collect();
    if choices.is_empty() {
        return None;
    }
    let residency = (!task.relaxed.contains(&Constraint::Residency)).then_some(&objectives.residency);
    let regions = pinned(Constraint::Regions).then_some(&component.regions);
    let home_pin = pinned_home(task, id, component);
    let standbys = (pinned(Constraint::Standbys) && !component.standbys.is_empty()).then_some(&component.standbys);
    let rates = task.ground.tariffs(component);
    let sites = task.ground.sites.len();
    let mut home = vec![IMPOSSIBLE; choices.len() * sites];
    let mut target = vec![IMPOSSIBLE; choices.len() * sites];
    let base = alone(component);
    let named = task.keep_pins && task.ground.sites.iter().any(|site| site.region.is_some());
    let limits = deadlines(task, id, &objectives);
    for (at, site) in task.ground.sites.iter().enumerate() {
        let refused = may_be_in(task.setting.atlas, component, residency, regions, site);
        let home_fits = match home_pin {
            // A home that the file fixes may be in a bad state; its residency still counts.
            Some(pin) => {
                site.region.as_ref() == Some(pin) && matches!(refused, Ok(()) | Err(crate::site::Refusal::Status(_)))
            }
            // An app stays in the regions that the file names, whatever else comes into question to recover in.
            None => refused.is_ok() && (site.region.is_some() || !named),
        };
        let without = rates[at].compare(&base);
        for (option, choice) in choices.iter().enumerate() {
            if home_fits && limits[at].is_some() {
                // The last term breaks ties towards what is simpler, by millionths of a dollar.
                home[option * sites + at] = without + rates[at].compare(&choice.at_home) + i64::from(choice.complexity);
            }
            let carriage_fits = standbys.is_none_or(|standbys| {
                let mode = site.region.as_ref().and_then(|region| standbys.get(region));
                match mode {
                    Some(Replication::Synchronous) => choice.carriage == Carriage::Synchronous,
                    Some(Replication::Asynchronous) => choice.carriage != Carriage::Synchronous,
                    None => false,
                }
            });
            if refused.is_ok() && carriage_fits {
                target[option * sites + at] = rates[at].compare(&choice.per_target);
            }
        }
    }
    let least_target = (0..choices.len())
        .map(|option| target[option * sites..(option + 1) * sites].iter().copied().min().unwrap_or(IMPOSSIBLE))
        .collect();
    let needs = component.needs.iter().filter_map(|need| positions.get(need).copied()).collect();
    let deadline = limits.into_iter().map(Option::flatten).collect();
    Some(Member {
        count: 1,
        planned: choices.iter().map(Choice::planned).collect(),
        choices,
        home,
        target,
        least_target,
        deadline,
        needs,
    })
}

/// What an option costs in a placement. Without a third region, `third` is `None`, and an option that needs one counts with
/// the least that any could cost: a bound.
pub(super) fn cost_of(
    task: &Task<'_>,
    member: &Member,
    option: usize,
    home: usize,
    target: usize,
    third: Option<usize>,
) -> Option<i64> {
    let sites = task.ground.sites.len();
    let choice = &member.choices[option];
    let fits = |target: usize| {
        let between = task.ground.between(home, target);
        match choice.rule {
            TargetRule::Any => true,
            TargetRule::AzurePair => between.paired,
            TargetRule::Near => between.near,
        }
    };
    let to = |target: usize| {
        let traffic = if choice.traffic_gb > 0.0 {
            micro_usd(choice.traffic_gb * task.ground.between(home, target).traffic_usd)
        } else {
            0
        };
        member.target[option * sites + target] + traffic
    };
    if !fits(target) {
        return None;
    }
    let mut cost = member.home[option * sites + home] + to(target);
    if choice.targets > 1 {
        cost += match third {
            Some(third) if fits(third) => to(third),
            Some(_) => return None,
            None => member.least_target[option],
        };
    }
    (cost < IMPOSSIBLE).then(|| cost.saturating_mul(member.count))
}

/// Milliseconds in a year.
const YEAR_MS: f64 = 8766.0 * 3_600_000.0;

/// By when a component must be ready, counted from the decision, for each home: `Some(None)`, whenever; `None`, before the
/// decision could even be made.
fn deadlines(task: &Task<'_>, id: &ComponentId, objectives: &Objectives) -> Vec<Option<Option<u64>>> {
    let rto = if task.relaxed.contains(&Constraint::Rto(id.clone())) { None } else { objectives.rto };
    let availability =
        if task.relaxed.contains(&Constraint::Availability(id.clone())) { None } else { objectives.availability };
    if rto.is_none() && availability.is_none() {
        return vec![Some(None); task.ground.sites.len()];
    }
    let margin = task.margins.get(id).copied().unwrap_or(1.0);
    let before = overhead_ms(task.setting, id);
    task.ground
        .sites
        .iter()
        .map(|site| {
            #[expect(clippy::cast_precision_loss, reason = "an objective of at most some years")]
            let by_rto = rto.map_or(f64::INFINITY, |rto| rto.as_millis() as f64);
            let by_availability = availability.map_or(f64::INFINITY, |share| {
                let rate = task.setting.atlas.outage_rate(&site.place).map_or(0.0, |rate| rate.per_year.value);
                if rate > 0.0 { (1.0 - share) * YEAR_MS / rate } else { f64::INFINITY }
            });
            let within = by_rto.min(by_availability);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "milliseconds of at most some years"
            )]
            let whole = within.is_finite().then(|| (within / margin) as u64);
            whole.map_or(Some(None), |whole| whole.checked_sub(before).map(Some))
        })
        .collect()
}
