//! From an app to its [`Assessment`]: what was found, put into words.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_atlas::{Figure, Grade, PriceBook};
use lifeboat_model::app::{Component, DeclaredPrice, Kind, Pattern, Place, Provider, RoutePolicy};
use lifeboat_model::compute::{Instances, has_standby_size};
use lifeboat_model::{App, ComponentId};

use crate::bill::{overhead, price, usd};
use crate::inputs::{Inputs, ground};
use crate::optimise::{Placed, objectives};
use crate::recovery::{History, steering};
use crate::report::{
    Assessment, Basis, ComponentReport, CostReport, LinkReport, MeasuredReport, ObjectiveReport, Outlook, RegionReport,
    RouteReport, Standing, Summary,
};
use crate::site::{TOO_CLOSE_KM, may_be_in};
use crate::solve::Solved;
use crate::spread::OF_THE_RECORDS;
use crate::tariff::{HOURS_PER_MONTH, cents, skus};
use crate::weak::weak_points;

/// Assesses an app. The tables of patterns and the frontier stay empty: see [`crate::compare`] and [`crate::frontier`].
pub fn assess(app: &App, inputs: &Inputs<'_>) -> Assessment {
    let draws = inputs.draws(app);
    let (ground, together) = ground(app, inputs, &draws);
    let mut answer = Solved::solve(app, inputs, &ground, &draws, together).report();
    if !inputs.history.recoveries.is_empty() {
        // What was predicted before anything was measured: against itself every measurement would hold.
        let before = assess(&as_it_runs(app), &Inputs { history: History::default(), ..inputs.clone() });
        for (component, before) in answer.components.iter_mut().zip(&before.components) {
            let id = ComponentId::from(component.component.as_str());
            let seconds = inputs.history.recoveries.get(&id).filter(|seconds| !seconds.is_empty());
            component.measured = seconds.map(|seconds| MeasuredReport {
                seconds: seconds.clone(),
                seconds_basis: Basis {
                    grade: Grade::Measured,
                    source: "drills and failovers of this app".into(),
                    date: OF_THE_RECORDS.into(),
                },
                predicted: (before.rto_range.0, before.rto.p99),
                predicted_basis: before.rto_basis.clone(),
                within: seconds.iter().all(|value| (before.rto_range.0..=before.rto.p99).contains(value)),
            });
        }
    }
    answer
}

/// The app as nodes run the file: a process that has no pattern runs in all its regions, other compute is a warm standby. What a
/// drill measures is this, not what would be chosen instead.
pub fn as_it_runs(app: &App) -> App {
    let mut app = app.clone();
    for component in app.components.values_mut().filter(|component| !component.kind.is_database()) {
        let runs = if component.kind == Kind::Process { Pattern::ActiveActive } else { Pattern::WarmStandby };
        if component.pattern.is_none() {
            component.pattern = Some(runs);
            let standby = Instances::of(component).standby;
            component.size.standby = has_standby_size(component.kind).then_some(standby);
        }
    }
    app
}

impl Solved<'_> {
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
            routes: self.routes(&components),
            objectives,
            conflicts,
            regions: self.regions(),
            links: self.links(),
            weak_points: weak_points(self.setting(), self.ground, &self.placed, &self.gatherings),
            outlook: self.outlook(),
            components,
            cost,
            patterns: Vec::new(),
            frontier: Vec::new(),
            optimal: self.spare == 0 && self.unexplained == 0,
            spare_usd: cents(self.spare_usd()),
            notes: self.notes(),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "money for reports")]
    fn spare_usd(&self) -> f64 {
        self.spare as f64 / 1e6
    }

    fn routes(&self, components: &[ComponentReport]) -> Vec<RouteReport> {
        let by_name: BTreeMap<&str, &ComponentReport> =
            components.iter().map(|component| (component.component.as_str(), component)).collect();
        let mut reports = Vec::new();
        for (host, route) in &self.app.routes {
            let (Some(component), Some(found)) = (self.app.components.get(&route.to), by_name.get(route.to.as_str()))
            else {
                continue;
            };
            let behind = self.app.databases_behind(&route.to);
            let databases = behind.iter().filter_map(|id| by_name.get(id.as_str()));
            let most = databases.max_by(|a, b| a.rpo.p95.total_cmp(&b.rpo.p95));
            reports.push(RouteReport {
                host: host.to_string(),
                component: route.to.to_string(),
                rto: found.rto,
                rto_basis: found.rto_basis.clone(),
                wanted_rto: objectives(self.app, component).rto.map(|rto| rto.as_secs_f64()),
                rpo: most.map(|database| database.rpo),
                rpo_basis: most.and_then(|database| database.rpo_basis.clone()),
            });
        }
        // The most urgent first.
        let urgency = |report: &RouteReport| report.wanted_rto.unwrap_or(f64::INFINITY);
        reports.sort_by(|a, b| urgency(a).total_cmp(&urgency(b)));
        reports
    }

    fn summary(&self, components: &[ComponentReport], objectives: &[ObjectiveReport], cost: &CostReport) -> Summary {
        let standing = objectives.iter().map(|objective| objective.standing).min().unwrap_or(Standing::Met);
        let reached: BTreeSet<&str> = self.app.routes.values().map(|route| route.to.as_str()).collect();
        let clients: Vec<&ComponentReport> = components
            .iter()
            .filter(|component| reached.is_empty() || reached.contains(component.component.as_str()))
            .collect();
        let slowest = clients.iter().max_by(|a, b| a.rto.p95.total_cmp(&b.rto.p95));
        let databases = components.iter().filter(|component| component.rpo_basis.is_some());
        let lossiest = databases.max_by(|a, b| a.rpo.p95.total_cmp(&b.rpo.p95));
        let pattern: Option<Pattern> = self.placed.values().map(|placed| placed.choice.pattern).min();
        let unmet = objectives.iter().filter(|objective| objective.standing == Standing::Unattainable).count();
        let line = match (standing, pattern) {
            (Standing::Unattainable, _) => {
                format!("{unmet} of {} objectives cannot be met as the file stands", objectives.len())
            }
            (_, None) => "there is nothing to protect".into(),
            (standing, Some(pattern)) => {
                let as_is = standing == Standing::Met && components.iter().all(|component| component.as_declared);
                let verb = if as_is { "is" } else { "should be" };
                format!(
                    "{} {verb} {} for {}{}",
                    self.app.name,
                    self.protection(pattern),
                    price(cost.added_usd, cost.unknown_of_added),
                    if cost.today_usd > 0.0 { format!(" on top of {}", usd(cost.today_usd)) } else { String::new() }
                )
            }
        };
        Summary {
            standing,
            line,
            pattern: pattern.map(|pattern| pattern.as_str().to_owned()),
            rto: slowest.map(|slowest| slowest.rto).unwrap_or_default(),
            rto_basis: slowest.map(|slowest| slowest.rto_basis.clone()),
            rpo: lossiest.map(|lossiest| lossiest.rpo).unwrap_or_default(),
            rpo_basis: lossiest.and_then(|lossiest| lossiest.rpo_basis.clone()),
            today_usd: cost.today_usd,
            added_usd: cost.added_usd,
            overhead_percent: overhead(cost),
            cost_basis: cost.cost_basis.clone(),
            unknown_prices: cost.unknown_of_added,
            steering: steering(self.app),
        }
    }

    /// The patterns that are used, the weakest first; with the components of each where there are several.
    fn protection(&self, least: Pattern) -> String {
        let of = |pattern: Pattern| -> Vec<&str> {
            self.placed
                .iter()
                .filter(|(_, placed)| placed.choice.pattern == pattern)
                .map(|(id, _)| id.as_str())
                .collect()
        };
        let used: Vec<String> = Pattern::ALL
            .iter()
            .map(|pattern| (*pattern, of(*pattern)))
            .filter(|(_, names)| !names.is_empty())
            .map(|(pattern, names)| {
                let who = if names.len() > 4 { format!("{} components", names.len()) } else { names.join(", ") };
                format!("{} ({who})", protected(pattern))
            })
            .collect();
        match used.as_slice() {
            [_] | [] => format!("protected by {}", protected(least)),
            [first @ .., last] => format!("protected by {} and {last}", first.join(", ")),
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
            let target_of = using(&|placed| placed.elsewhere().any(|site| site == at));
            let unused = home_of.is_empty() && target_of.is_empty();
            let refused = unused.then(|| self.refusal(at)).flatten();
            reports.push(RegionReport {
                region: site.name.clone(),
                place: site.place.to_string(),
                city: facts.map(|facts| facts.city.clone()),
                jurisdiction: facts.map(|facts| facts.jurisdiction.clone()),
                position: facts.and_then(|facts| facts.position.clone()),
                home_of,
                target_of,
                refused,
            });
        }
        reports
    }

    /// Why no component at all may be in a region.
    fn refusal(&self, at: usize) -> Option<String> {
        let site = &self.ground.sites[at];
        let homes: BTreeSet<usize> = self.placed.values().map(|placed| placed.home).collect();
        let mut first = None;
        if let Some(home) = homes.first()
            && homes.iter().all(|home| !self.ground.between(*home, at).apart)
        {
            first = Some(match self.ground.between(*home, at).km {
                Some(km) if km < TOO_CLOSE_KM => {
                    format!("{km:.0} km from {}, less than the {TOO_CLOSE_KM:.0} km that fail apart", self.name(*home))
                }
                _ => format!("nothing can be replicated to it from {}", self.name(*home)),
            });
            return first;
        }
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
        let mut pairs: BTreeMap<(usize, usize), (usize, bool)> = BTreeMap::new();
        for placed in self.placed.values() {
            for target in placed.elsewhere() {
                let (components, chosen) = pairs.entry((placed.home, target)).or_default();
                *components += 1;
                *chosen |= !placed.choice.fixed.contains(&target);
            }
        }
        pairs
            .into_iter()
            .map(|((home, target), (components, chosen))| {
                let between = self.ground.between(home, target);
                let mut reason = if self.ground.sites.len() == 2 {
                    "the only other region of the file".to_owned()
                } else if !chosen {
                    "the file has them there".to_owned()
                } else {
                    match self.open_to(home, target) {
                        0 | 1 => "the only one that comes into question".to_owned(),
                        choice => format!("the cheapest of {choice} that came into question"),
                    }
                };
                if between.paired {
                    reason += "; Azure pairs them";
                }
                LinkReport {
                    from: self.name(home),
                    to: self.name(target),
                    km: self.inputs.atlas.distance(&self.ground.sites[home].place, &self.ground.sites[target].place),
                    round_trip_ms: between.round_trip.as_ref().map(|trip| trip.ms.clone()),
                    paired: between.paired,
                    components,
                    reason,
                }
            })
            .collect()
    }

    /// How many regions come into question for the components that recover from `home` in `target`, which is one of them: those that
    /// each of them may be in, by law, service and state, and by what the file fixes, and that fail apart from their home.
    fn open_to(&self, home: usize, target: usize) -> usize {
        let who: Vec<(&Component, &Placed)> = self
            .placed
            .iter()
            .filter(|(_, placed)| placed.home == home && placed.targets.contains(&target))
            .filter_map(|(id, placed)| Some((self.app.components.get(id)?, placed)))
            .collect();
        let may = |component: &Component, placed: &Placed, at: usize| {
            let site = &self.ground.sites[at];
            let between = self.ground.between(home, at);
            let fixed = self.inputs.keep_pins && !component.standbys.is_empty();
            let pinned = site.region.as_ref().is_some_and(|region| component.standbys.contains_key(region));
            let residency = objectives(self.app, component).residency;
            placed.choice.rule.allows(between)
                && between.apart
                && (!fixed || pinned)
                && may_be_in(self.inputs.atlas, component, Some(&residency), Some(&component.regions), site).is_ok()
        };
        let open = |at: &usize| *at == target || who.iter().all(|(component, placed)| may(component, placed, *at));
        (0..self.ground.sites.len()).filter(open).count()
    }

    /// What `lifeboat generate` makes in each region that is not billed here, for lack of prices.
    fn gateways(&self, clouds: &BTreeSet<Provider>) -> Option<String> {
        let made = |provider: &Provider| match provider {
            Provider::Aws => Some("one a zone in each region of AWS"),
            Provider::Azure => Some("one in each region of Azure"),
            Provider::Local | Provider::Kubernetes => None,
        };
        let known: Vec<String> = clouds
            .iter()
            .filter_map(|provider| Some((made(provider)?, self.ground.book().dearest(*provider, "nat-gateway-hour"))))
            .map(|(made, hour)| match hour {
                Some(hour) => format!("{made} (where its price is known, {}/month each)", usd(hour * HOURS_PER_MONTH)),
                None => made.to_owned(),
            })
            .collect();
        (!known.is_empty()).then(|| {
            format!(
                "Not in the figures either: load balancers, and NAT gateways with what passes through them, which `lifeboat generate` makes in every region, {}; the list has too few prices of them.",
                known.join(", ")
            )
        })
    }

    /// Declared prices that nothing is billed by: a slip of the pen, more often than not.
    fn unused_prices(&self) -> Option<String> {
        let of_file = PriceBook::of_file(&self.app.prices);
        let declared: BTreeSet<_> = of_file.iter().chain(self.inputs.declared.iter()).collect();
        if declared.is_empty() {
            return None;
        }
        let components: Vec<&Component> = self.app.components.values().collect();
        let mut needed: BTreeMap<&Place, BTreeSet<String>> = BTreeMap::new();
        for site in &self.ground.sites {
            needed.entry(&site.place).or_insert_with(|| skus(&components, &site.place));
        }
        let used = |(provider, sku, region): &(Provider, &str, Option<&str>)| {
            let mut sites =
                self.ground.sites.iter().map(|site| &site.place).filter(|place| place.provider == *provider);
            sites.any(|place| {
                region.is_none_or(|region| region == place.name)
                    && needed.get(place).is_some_and(|needed| needed.iter().any(|of| PriceBook::serves(sku, of)))
            })
        };
        let unused: Vec<String> = declared
            .iter()
            .filter(|price| !used(price))
            .map(|(provider, sku, region)| {
                format!("{}/{}/{sku}", provider.as_str(), region.unwrap_or(DeclaredPrice::EVERYWHERE))
            })
            .collect();
        let shown = if unused.len() > 5 {
            format!("{} and {} more", unused[..5].join(", "), unused.len() - 5)
        } else {
            unused.join(", ")
        };
        (!unused.is_empty()).then(|| format!("Declared prices by which nothing of this app is billed: {shown}."))
    }

    fn outlook(&self) -> Vec<Outlook> {
        let mut homes: BTreeMap<usize, f64> = BTreeMap::new();
        for (id, placed) in &self.placed {
            let mean = self.predictions.get(id).map_or(0.0, |prediction| prediction.mean_rto);
            let worst = homes.entry(placed.home).or_default();
            *worst = worst.max(mean);
        }
        // Whatever else it rests on, the rate is an estimate.
        let minutes = |rate: &Figure<f64>, hours: f64, times: &str| {
            let source = format!("losses a year ({}) times {times}", rate.source);
            Figure::new(
                cents(rate.value * hours * 60.0),
                rate.grade.weaker(Grade::Estimated),
                source,
                rate.date.clone(),
            )
        };
        homes
            .into_iter()
            .filter_map(|(home, mean_rto)| {
                let rate = self.inputs.atlas.outage_rate(&self.ground.sites[home].place)?;
                let of = |what: &str| format!("the mean duration of those of which it is known: {what}");
                let waiting = |hours| minutes(&rate.per_year, hours, &of(&rate.durations.describe()));
                let waiting_ended = |hours| minutes(&rate.per_year, hours, &of(&rate.durations.describe_ended()));
                Some(Outlook {
                    region: self.name(home),
                    minutes_waiting: rate.durations.mean_hours().map(waiting),
                    waiting_at_least: !rate.durations.open.is_empty(),
                    minutes_waiting_ended: rate.durations.mean_ended_hours().map(waiting_ended),
                    minutes_planned: minutes(
                        &rate.per_year,
                        mean_rto / 3600.0,
                        "the mean recovery of what takes longest",
                    ),
                    losses_per_year: Figure { value: (rate.per_year.value * 1000.0).round() / 1000.0, ..rate.per_year },
                })
            })
            .collect()
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "Prices are list prices on demand, without tax and discounts, save for those that are declared; a month has 730 hours.".to_owned(),
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
        if self.spare > 0 {
            notes.push(format!(
                "Too many components wait for each other to try everything: something cheaper may hold the objectives, by at most {}/month.",
                usd(cents(self.spare_usd()).max(0.01))
            ));
        }
        notes.extend(self.unused_prices());
        let clouds: BTreeSet<Provider> = self.ground.sites.iter().map(|site| site.place.provider).collect();
        notes.extend(self.gateways(&clouds));
        if clouds.contains(&Provider::Local) {
            notes.push("What runs on your own machines has no list price: a price file with the SKUs `machine`, `disk` and `transfer` of provider `local` gives it one.".to_owned());
        }
        notes
    }
}

fn protected(pattern: Pattern) -> &'static str {
    match pattern {
        Pattern::BackupRestore => "backup & restore",
        Pattern::PilotLight => "a pilot light",
        Pattern::WarmStandby => "a warm standby",
        Pattern::ActiveActive => "several active regions",
    }
}
