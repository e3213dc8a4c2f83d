//! The answer as data: what is printed, drawn and handed to machines (`--json`). Its schema is `docs/assessment.schema.json`.

use std::collections::BTreeMap;

use lifeboat_atlas::{Figure, Grade, Position};
use schemars::JsonSchema;
use serde::Serialize;

use crate::choice::Carriage;
use crate::predict::Quantiles;
use crate::recovery::{Steering, StepKind};
use crate::tariff::CostItem;

/// What `lifeboat assess` finds.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Assessment {
    /// The app's name.
    pub app: String,
    /// The answer at a glance.
    pub summary: Summary,
    /// What clients of each route get.
    pub routes: Vec<RouteReport>,
    /// Every objective with its verdict, what is not held first.
    pub objectives: Vec<ObjectiveReport>,
    /// Objectives that contradict each other, each set as small as it can be.
    pub conflicts: Vec<Conflict>,
    /// Every component.
    pub components: Vec<ComponentReport>,
    /// The regions that are used, and those that came into question.
    pub regions: Vec<RegionReport>,
    /// Each pair of home and target that is used.
    pub links: Vec<LinkReport>,
    /// Cost of the app as a whole.
    pub cost: CostReport,
    /// What the recovery depends on that may be lost with the region, the worst first.
    pub weak_points: Vec<WeakPoint>,
    /// What a year brings.
    pub outlook: Vec<Outlook>,
    /// All patterns side by side; empty unless asked for.
    pub patterns: Vec<PatternRow>,
    /// Cost against RTO and RPO; empty unless asked for.
    pub frontier: Vec<FrontierPoint>,
    /// Whether it is proved that nothing cheaper meets the objectives, by the recoveries that are drawn.
    pub optimal: bool,
    /// USD a month that something cheaper could save at most: nothing, where that is proved.
    pub spare_usd: f64,
    /// What was assumed, and what is not in the figures.
    pub notes: Vec<String>,
}

/// How an objective stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Not with this file, whatever is paid.
    Unattainable,
    /// With what is proposed.
    Achievable,
    /// As the file is.
    Met,
}

impl Standing {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Achievable => "achievable",
            Self::Unattainable => "unattainable",
        }
    }
}

/// The answer at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Summary {
    /// The worst standing of any objective.
    pub standing: Standing,
    /// One sentence.
    pub line: String,
    /// The pattern of the app as a whole: that of its least protected component; `None`: nothing could be placed.
    pub pattern: Option<String>,
    /// Time without service of what recovers last among what clients reach, else of all.
    pub rto: Quantiles,
    /// What that rests on; `None`: nothing could be placed.
    pub rto_basis: Option<Basis>,
    /// Loss of the database that loses most.
    pub rpo: Quantiles,
    /// What that rests on; `None`: there is no database.
    pub rpo_basis: Option<Basis>,
    /// USD a month as the app is without protection, known prices only.
    pub today_usd: f64,
    /// USD a month that protection adds, known prices only.
    pub added_usd: f64,
    /// Added in percent of today, the least where a price of what is added is unknown; `None` where one of today's is.
    pub overhead_percent: Option<f64>,
    /// What the known prices rest on; `None`: there are none.
    pub cost_basis: Option<Basis>,
    /// Lines of the bill whose price is unknown.
    pub unknown_prices: usize,
    /// What turns clients to another region.
    pub steering: Steering,
}

/// What the clients of a route get when the home is lost.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct RouteReport {
    /// The host name.
    pub host: String,
    /// The component behind it.
    pub component: String,
    /// Time without service.
    pub rto: Quantiles,
    /// What that rests on.
    pub rto_basis: Basis,
    /// What is demanded of the component, in seconds.
    pub wanted_rto: Option<f64>,
    /// Loss of the database behind it that loses most; `None`: there is none.
    pub rpo: Option<Quantiles>,
    /// What that rests on.
    pub rpo_basis: Option<Basis>,
}

/// An objective and its verdict.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ObjectiveReport {
    /// The component, or `app`.
    pub of: String,
    /// `rto`, `rpo`, `availability`, `residency` or `cost`.
    pub objective: String,
    /// As the file demands it.
    pub wanted: String,
    /// What is to be expected.
    pub expected: String,
    /// What that rests on; `None`: it is no figure, or nothing is known.
    pub basis: Option<Basis>,
    /// Share of recoveries that miss it, for RTO and RPO.
    pub misses: Option<f64>,
    /// The verdict.
    pub standing: Standing,
    /// By what and at what price, or why not.
    pub reason: String,
}

/// A smallest set of demands that cannot hold together.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Conflict {
    /// The demands, in words.
    pub between: Vec<String>,
    /// What giving each of them up would take, in the same order.
    pub relax: Vec<String>,
    /// The components concerned.
    pub components: Vec<String>,
}

impl ComponentReport {
    /// Every region besides the home in which it is.
    pub fn elsewhere(&self) -> Vec<&str> {
        self.targets.iter().chain(&self.also).map(String::as_str).collect()
    }
}

/// What is chosen for a component, and why.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ComponentReport {
    /// Its name.
    pub component: String,
    /// Its kind.
    pub kind: String,
    /// The pattern.
    pub pattern: String,
    /// What that is for this kind.
    pub how: String,
    /// How data travel.
    pub replication: Carriage,
    /// Where it serves in peace time.
    pub home: String,
    /// Where it recovers; the first takes over.
    pub targets: Vec<String>,
    /// Where the file has it besides: it is paid for there, and is no worse for it.
    pub also: Vec<String>,
    /// Machines that run in each of these regions, the home apart, in peace time.
    pub standby_instances: u32,
    /// Machines at home.
    pub home_instances: u32,
    /// What replication adds to each commit, in ms; `None` where it adds nothing.
    pub commit_latency_ms: Option<Figure<f64>>,
    /// Time without service.
    pub rto: Quantiles,
    /// The least and the greatest time that the model allows.
    pub rto_range: (f64, f64),
    /// What both rest on; of the steps, each has its own.
    pub rto_basis: Basis,
    /// Loss, in seconds of writes.
    pub rpo: Quantiles,
    /// What that rests on; `None`: it keeps no data.
    pub rpo_basis: Option<Basis>,
    /// The steps of its recovery, the app's own included.
    pub steps: Vec<StepReport>,
    /// What drills measured, and whether the prediction contains it.
    pub measured: Option<MeasuredReport>,
    /// USD a month at home without protection, known prices only.
    pub today_usd: f64,
    /// USD a month that its protection adds, known prices only.
    pub added_usd: f64,
    /// What the known prices of both rest on; `None`: there are none.
    pub cost_basis: Option<Basis>,
    /// Lines of its bill without a price.
    pub unknown_prices: usize,
    /// The bill of its protection.
    pub items: Vec<CostItem>,
    /// How much there is to go wrong, 1 to 5.
    pub complexity: u8,
    /// Why this and nothing cheaper.
    pub reasons: Vec<String>,
    /// Whether the file already says so.
    pub as_declared: bool,
}

/// What a figure rests on.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Basis {
    /// How far to trust it.
    pub grade: Grade,
    /// Who says so; of an estimate, what it was estimated from.
    pub source: String,
    /// Of when that is: a day, or which of the user's own records.
    pub date: String,
}

/// A step of a recovery.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct StepReport {
    /// What it does.
    pub step: StepKind,
    /// Median, in seconds.
    pub p50: f64,
    /// What plans count with, in seconds.
    pub p95: f64,
    /// How far to trust it.
    pub grade: Grade,
    /// What it rests on; of an estimate, what it was estimated from.
    pub source: String,
    /// Of when that is: a day, or which of the user's own records.
    pub date: String,
}

/// A prediction against measurements.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct MeasuredReport {
    /// Recovery times of drills and real failovers, in seconds.
    pub seconds: Vec<f64>,
    /// Whose they are.
    pub seconds_basis: Basis,
    /// What was predicted before anything was measured: the least, and what 99 of 100 recoveries stay below, in seconds.
    pub predicted: (f64, f64),
    /// What that rests on.
    pub predicted_basis: Basis,
    /// Whether all of them lie in between.
    pub within: bool,
}

/// A region and its part.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct RegionReport {
    /// Its name in the file, or its place.
    pub region: String,
    /// Where it lies.
    pub place: String,
    /// The city.
    pub city: Option<String>,
    /// Under whose law.
    pub jurisdiction: Option<String>,
    /// Where that is on Earth, as far as it is told.
    pub position: Option<Figure<Position>>,
    /// Components that serve from here.
    pub home_of: Vec<String>,
    /// Components that recover here.
    pub target_of: Vec<String>,
    /// Why it is not used, where something forbids it.
    pub refused: Option<String>,
}

/// What lies between a home and a target.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LinkReport {
    /// The home.
    pub from: String,
    /// The target.
    pub to: String,
    /// Great-circle distance in km.
    pub km: Option<Figure<f64>>,
    /// Round trip in ms.
    pub round_trip_ms: Option<Figure<f64>>,
    /// Whether Azure pairs them.
    pub paired: bool,
    /// How many components use it.
    pub components: usize,
    /// Why these.
    pub reason: String,
}

/// The app's bill.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct CostReport {
    /// USD a month without protection, known prices only.
    pub today_usd: f64,
    /// USD a month that protection adds, known prices only.
    pub added_usd: f64,
    /// What the known prices rest on; `None`: there are none. Each line of a component's bill has its own.
    pub cost_basis: Option<Basis>,
    /// What is added, by kind of item.
    pub added_by_item: BTreeMap<String, f64>,
    /// Lines without a price, today's and added ones.
    pub unknown: Vec<String>,
    /// How many of these are today's.
    pub unknown_of_today: usize,
    /// How many of these protection adds. A line that is in both counts in both.
    pub unknown_of_added: usize,
    /// The grades of the added prices, with USD a month.
    pub by_grade: BTreeMap<String, f64>,
}

/// How bad a weak point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The recovery may fail.
    High,
    /// It may take much longer, or lose more.
    Medium,
    /// Good to know.
    Low,
}

impl Severity {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

/// Something on which the recovery depends and that may be gone with the region.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct WeakPoint {
    /// How bad.
    pub severity: Severity,
    /// The components or regions concerned.
    pub about: Vec<String>,
    /// What it is.
    pub what: String,
    /// Why it matters.
    pub why: String,
    /// What to do about it.
    pub remedy: String,
}

/// What a year brings to what has its home in a region. An estimate.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Outlook {
    /// The home.
    pub region: String,
    /// Expected losses of it a year.
    pub losses_per_year: Figure<f64>,
    /// Minutes a year without service if one waits for the region to come back; `None`: no durations are known.
    pub minutes_waiting: Option<Figure<f64>>,
    /// Whether that is the least: an outage without a known end is in it with what it had lasted.
    pub waiting_at_least: bool,
    /// The same without outages that have no known end.
    pub minutes_waiting_ended: Option<Figure<f64>>,
    /// Minutes a year without service with this plan.
    pub minutes_planned: Figure<f64>,
}

/// A row of the table of patterns.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PatternRow {
    /// The pattern.
    pub pattern: String,
    /// Time without service, of what recovers last.
    pub rto: Quantiles,
    /// What that rests on.
    pub rto_basis: Option<Basis>,
    /// Loss, of what loses most.
    pub rpo: Quantiles,
    /// What that rests on; `None`: there is no database.
    pub rpo_basis: Option<Basis>,
    /// USD a month that it adds, known prices only.
    pub added_usd: f64,
    /// In percent of today's cost, the least where a price of what is added is unknown; `None` where one of today's is.
    pub overhead_percent: Option<f64>,
    /// What the known prices rest on; `None`: there are none.
    pub cost_basis: Option<Basis>,
    /// What guides say that it usually adds, in percent of today's cost, where they do.
    pub usual_percent: Option<Figure<String>>,
    /// The highest complexity of a component, 1 to 5.
    pub complexity: u8,
    /// Lines without a price.
    pub unknown_prices: usize,
    /// Whether it meets every RTO and RPO of the file.
    pub meets_objectives: bool,
    /// Components that have no such pattern and keep the nearest one they have.
    pub instead: Vec<String>,
}

/// A point of the frontier: nothing cheaper is known that has both this RTO and this RPO.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct FrontierPoint {
    /// The RTO that all components were asked for, in seconds.
    pub rto_seconds: f64,
    /// The RPO that all databases were asked for, in seconds.
    pub rpo_seconds: f64,
    /// USD a month that it adds, known prices only.
    pub added_usd: f64,
    /// What the known prices rest on; `None`: there are none.
    pub cost_basis: Option<Basis>,
    /// Whether it is proved that nothing cheaper has both.
    pub optimal: bool,
    /// USD a month that something cheaper could save at most: nothing, where that is proved.
    pub spare_usd: f64,
    /// The patterns that it takes.
    pub patterns: Vec<String>,
    /// Lines without a price.
    pub unknown_prices: usize,
}
