//! The bill: of a component's protection, and of the app as a whole; and how amounts are written.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_atlas::Price;
use lifeboat_model::app::Component;

use crate::choice::alone;
use crate::optimise::Placed;
use crate::recovery::{Steering, steering};
use crate::report::{ComponentReport, CostReport};
use crate::site::Ground;
use crate::solve::Solved;
use crate::tariff::{CostItem, Item, Measure, NO_WRITES, cents, items, line, traffic};
use crate::worth::{of_bill, of_sums};

/// The bill of a component: today's lines, and those that its protection adds.
pub(crate) fn bill(ground: &Ground, component: &Component, placed: &Placed) -> (Vec<CostItem>, Vec<CostItem>) {
    let measure = Measure::of(component);
    let home = &ground.sites[placed.home];
    let tariffs = ground.tariffs(component);
    let tariff = &tariffs[placed.home];
    let today = items(component, &measure, tariff, &alone(component), &home.place, &home.name);
    let mut added = items(component, &measure, tariff, &placed.choice.at_home, &home.place, &home.name);
    for target in placed.elsewhere() {
        let site = &ground.sites[target];
        added.extend(items(component, &measure, &tariffs[target], &placed.choice.per_target, &site.place, &site.name));
        if placed.choice.traffic_gb > 0.0 {
            let same_continent = ground.between(placed.home, target).same_continent;
            let (price, _) = traffic(ground.book(), &home.place, &site.place, same_continent);
            let sku = match &price {
                Price::Unknown { sku, .. } => sku.to_string(),
                Price::Known(_) => "traffic between regions".into(),
            };
            let missing = measure.writes_missing.then_some(NO_WRITES);
            added.push(line(Item::Traffic, &home.name, &sku, "GB", placed.choice.traffic_gb, &price, missing));
        }
    }
    (today, added)
}

impl Solved<'_> {
    pub fn cost(&self, components: &[ComponentReport]) -> CostReport {
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
        let mut unknown_today: BTreeSet<String> =
            global_today.iter().filter(|item| item.usd.is_none()).map(unknown_line).collect();
        for (id, placed) in &self.placed {
            if let Some(component) = self.app.components.get(id) {
                let (today, _) = bill(self.ground, component, placed);
                unknown_today.extend(today.iter().filter(|item| item.usd.is_none()).map(unknown_line));
            }
        }
        let (unknown_of_today, unknown_of_added) = (unknown_today.len(), unknown.len());
        unknown.extend(unknown_today);
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
            cost_basis: {
                let global = of_bill(global_today.iter().chain(&global_added));
                of_sums(components.iter().filter_map(|component| component.cost_basis.as_ref()).chain(&global))
            },
            added_by_item,
            unknown: unknown.into_iter().collect(),
            unknown_of_today,
            unknown_of_added,
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
                let price = self.ground.book().price(&site.place, "route53-hosted-zone");
                (vec![line(Item::Dns, "global", "route53-hosted-zone", "zone-month", 1.0, &price, None)], Vec::new())
            }
            Steering::TrafficManager | Steering::BuiltIn => (Vec::new(), Vec::new()),
        }
    }
}

fn unknown_line(item: &CostItem) -> String {
    format!("{} ({} in {}): {}", item.item.as_str(), item.sku, item.region, item.source.trim_start_matches("unknown: "))
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

/// What is added in percent of today's cost. A price of today's that is unknown leaves nothing to be a share of; one of what is added
/// makes it the least that it can be.
pub(crate) fn overhead(cost: &CostReport) -> Option<f64> {
    let whole = cost.unknown_of_today == 0 && cost.today_usd > 0.0;
    whole.then(|| (cost.added_usd / cost.today_usd * 1000.0).round() / 10.0)
}

/// `19.2 %`, `at least 19.2 %` where a price of what is added is unknown, `?` where one of today's is.
pub(crate) fn percent(overhead: Option<f64>, unknown: usize) -> String {
    match (overhead, unknown) {
        (None, _) => "?".into(),
        (Some(percent), 0) => format!("{percent:.1} %"),
        (Some(percent), _) => format!("at least {percent:.1} %"),
    }
}
