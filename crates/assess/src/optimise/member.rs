//! A component with everything that its placement needs, worked out once: what each of its options costs in each region, and
//! what it must hold.

use std::collections::HashMap;

use lifeboat_model::app::{Component, Kind, Pattern, Replication, WithoutStandby};
use lifeboat_model::{ComponentId, RegionId};

use super::{Constraint, Task, objectives, pinned_home};
use crate::choice::{Carriage, Choice, alone, choices};
use crate::proposal::{Stands, detaches};
use crate::site::{Site, may_be_in};
use crate::tariff::micro_usd;

/// More than anything costs with three regions and traffic ([`micro_usd`] has a bound).
pub(super) const IMPOSSIBLE: i64 = 1_000_000_000_000_000;

/// A component with everything that its placement needs, in arrays by option and site.
pub(super) struct Member {
    /// How many components it stands for.
    pub count: i64,
    pub choices: Vec<Choice>,
    /// `[option * sites + site]`; [`IMPOSSIBLE`] where it may not be.
    pub home: Vec<i64>,
    pub target: Vec<i64>,
    /// The same of a region in which the file has it, whether or not it may take over there.
    pub paid: Vec<i64>,
    /// Of each option, the least cost of a target.
    pub least_target: Vec<i64>,
    /// What it must hold.
    pub limits: Limits,
    pub needs: Vec<usize>,
    /// Whether there may be standbys, besides the one that takes over, that have to stop confirming.
    pub may_detach: bool,
}

/// What the recoveries of a component must hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    /// Seconds that all but a few recoveries take at most.
    pub rto: Option<f64>,
    /// The share of time that it is to serve.
    pub availability: Option<f64>,
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
    let to_serve = (objectives.rto.is_some() && holds(Constraint::Rto))
        || (objectives.availability.is_some() && holds(Constraint::Availability));
    let standby = if pinned(Constraint::Instances) { component.size.standby } else { None };
    let mut choices: Vec<Choice> = choices(task.setting, id, component)
        .into_iter()
        .filter(|choice| choice.planned_loss_ms() <= rpo_ms && pattern.is_none_or(|pattern| choice.pattern == pattern))
        .filter(|choice| standby.is_none_or(|standby| choice.standby == standby))
        .filter(|choice| !(to_serve && stands_still(component, choice, pinned(Constraint::Standbys))))
        .collect();
    let fixed = fixed(task, id, component);
    // A backup is copied to one region.
    let kept = choices.iter_mut().filter(|choice| choice.carriage != Carriage::Backups);
    kept.for_each(|choice| choice.fixed.clone_from(&fixed));
    if choices.is_empty() {
        return None;
    }
    let residency = (!task.relaxed.contains(&Constraint::Residency)).then_some(&objectives.residency);
    let regions = pinned(Constraint::Regions).then_some(&component.regions);
    let home_pin = pinned_home(task, id, component).or_else(|| preferred(task, positions));
    let standbys = (pinned(Constraint::Standbys) && !component.standbys.is_empty()).then_some(&component.standbys);
    let rates = task.ground.tariffs(component);
    let sites = task.ground.sites.len();
    let mut home = vec![IMPOSSIBLE; choices.len() * sites];
    let mut target = vec![IMPOSSIBLE; choices.len() * sites];
    let mut paid = vec![0; choices.len() * sites];
    // A failover group has one partner server: the most preferred of the standbys, as it is generated.
    let preference = |id: &RegionId| app.regions.get(id).map_or(0, |region| region.preference);
    let partner = standbys
        .filter(|_| component.kind == Kind::AzureSql)
        .and_then(|standbys| standbys.keys().max_by(|a, b| preference(a).cmp(&preference(b)).then_with(|| b.cmp(a))));
    // A standby that confirms takes over before one that only follows.
    let confirms = |site: &Site| {
        let mode = standbys.zip(site.region.as_ref()).and_then(|(standbys, region)| standbys.get(region));
        mode == Some(&Replication::Synchronous)
            && may_be_in(task.setting.atlas, component, residency, regions, site).is_ok()
    };
    let confirmed =
        choices.iter().any(|choice| choice.carriage == Carriage::Synchronous) && task.ground.sites.iter().any(confirms);
    let base = alone(component);
    let named = task.keep_pins && task.ground.sites.iter().any(|site| site.region.is_some());
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
            if home_fits {
                // The last term breaks ties towards what is simpler, by millionths of a dollar.
                home[option * sites + at] = without + rates[at].compare(&choice.at_home) + i64::from(choice.complexity);
            }
            if choice.fixed.contains(&at) {
                paid[option * sites + at] = rates[at].compare(&choice.per_target);
            }
            let is_partner = partner.is_none_or(|partner| site.region.as_ref() == Some(partner));
            let carriage_fits = is_partner
                && standbys.is_none_or(|standbys| {
                    let mode = site.region.as_ref().and_then(|region| standbys.get(region));
                    match mode {
                        Some(Replication::Synchronous) => choice.carriage == Carriage::Synchronous,
                        Some(Replication::Asynchronous) => choice.carriage != Carriage::Synchronous && !confirmed,
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
    let several = |choice: &Choice| choice.targets > 1 && choice.carriage == Carriage::Synchronous;
    let synchronous = |mode: &Replication| *mode == Replication::Synchronous;
    let may_detach =
        component.kind.is_database() && (component.standbys.values().any(synchronous) || choices.iter().any(several));
    let limits = Limits {
        rto: objectives.rto.filter(|_| holds(Constraint::Rto)).map(|rto| rto.as_secs_f64()),
        availability: objectives.availability.filter(|_| holds(Constraint::Availability)),
    };
    Some(Member { count: 1, choices, home, target, paid, least_target, limits, needs, may_detach })
}

/// Whether the loss of a standby's region would stop a writer that may not go on alone, for as long as that is away.
fn stands_still(component: &Component, choice: &Choice, keeps_standbys: bool) -> bool {
    let synchronous = component.standbys.values().filter(|mode| **mode == Replication::Synchronous).count();
    let spare = keeps_standbys && component.confirmations < synchronous;
    component.kind == Kind::Postgres
        && component.without_standby == WithoutStandby::Stop
        && choice.carriage == Carriage::Synchronous
        && choice.targets == 1
        && !spare
}

/// The sites in which the file has a component, whichever of them takes over: the standbys that it names; of compute the regions that
/// it lists, and if it fixes a pattern, all of them where it lists none.
fn fixed(task: &Task<'_>, id: &ComponentId, component: &Component) -> Vec<usize> {
    let pinned =
        |constraint: fn(ComponentId) -> Constraint| task.keep_pins && !task.relaxed.contains(&constraint(id.clone()));
    let all = |regions: &mut dyn Iterator<Item = &RegionId>| regions.filter_map(|id| task.ground.index(id)).collect();
    if component.kind.is_database() {
        let several = pinned(Constraint::Standbys) && component.kind != Kind::AzureSql;
        return if several { all(&mut component.standbys.keys()) } else { Vec::new() };
    }
    let listed = component.regions.len() < task.setting.app.data_regions().count();
    let pattern = pinned(Constraint::Pattern) && component.pattern.is_some();
    if pinned(Constraint::Regions) && (listed || pattern) { all(&mut component.regions.iter()) } else { Vec::new() }
}

/// Up to so many components that differ share what [`preferred`] looks for; larger groups without a database are in no file.
const PREFERRING: usize = 64;

/// Where a group serves that no database draws anywhere: in the most preferred of the regions that all of it may be in, the first by
/// name among equals, as nodes and generated code have it.
fn preferred<'a>(task: &Task<'a>, group: &HashMap<&ComponentId, usize>) -> Option<&'a RegionId> {
    let app = task.setting.app;
    let members = || group.keys().filter_map(|id| Some((*id, app.components.get(*id)?)));
    if !task.keep_pins || group.len() > PREFERRING || members().any(|(_, member)| member.kind.is_database()) {
        return None;
    }
    let regarded = |constraint: Constraint| !task.relaxed.contains(&constraint);
    let fits = |site: &Site| {
        members().all(|(id, member)| {
            let residency = regarded(Constraint::Residency).then(|| objectives(app, member).residency);
            let regions = regarded(Constraint::Regions(id.clone())).then_some(&member.regions);
            may_be_in(task.setting.atlas, member, residency.as_ref(), regions, site).is_ok()
        })
    };
    let fitting = app.data_regions().filter(|id| task.ground.index(id).is_some_and(|at| fits(&task.ground.sites[at])));
    let rank = |id: &RegionId| app.regions.get(id).map_or(0, |region| region.preference);
    fitting.max_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| b.cmp(a)))
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
    let fits = |target: usize| choice.rule.allows(task.ground.between(home, target));
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
            // One of those that the file fixes, and counted with them.
            None if !choice.fixed.is_empty() => 0,
            None => member.least_target[option],
        };
    }
    let third = third.filter(|_| choice.targets > 1);
    for fixed in choice.fixed.iter().filter(|site| ![home, target].contains(site) && third != Some(**site)) {
        // Where it may not be it is paid for all the same.
        let paid = member.paid[option * sites + fixed];
        cost += paid.saturating_add(micro_usd(choice.traffic_gb * task.ground.between(home, *fixed).traffic_usd));
    }
    (cost < IMPOSSIBLE).then(|| cost.saturating_mul(member.count))
}

/// Whether an option has to make other standbys stop confirming, in a placement.
pub(super) fn detaching(
    task: &Task<'_>,
    id: &ComponentId,
    choice: &Choice,
    home: usize,
    target: usize,
    third: Option<usize>,
) -> bool {
    let Some(component) = task.setting.app.components.get(id) else { return false };
    let targets: Vec<usize> = std::iter::once(target).chain(third.filter(|_| choice.targets > 1)).collect();
    detaches(component, task.ground, &Stands { home, targets: &targets, carriage: choice.carriage })
}
