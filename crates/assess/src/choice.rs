//! What each kind of component can do to survive the loss of its region: its choices, each with its pattern, the steps of
//! its recovery, its loss, and what it adds to the bill. Which one is taken is the optimiser's business.

use lifeboat_atlas::{Atlas, Metric};
use lifeboat_model::app::{Component, Kind, Pattern, Provider};
use lifeboat_model::{App, ComponentId};
use schemars::JsonSchema;
use serde::Serialize;

use crate::recovery::{History, Steering, Step, StepKind, published, steering};
use crate::schedule::Takes;
use crate::site::Between;
use crate::spread::Spread;
use crate::tariff::{Item, Measure, Quantities};

mod compute;
mod databases;

/// How data get to the other region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Carriage {
    /// There are none to carry.
    Nothing,
    /// Copies of backups.
    Backups,
    /// A standby follows as it can.
    Asynchronous,
    /// A commit waits for the other region.
    Synchronous,
    /// Several regions write; conflicts are resolved.
    SeveralWriters,
}

impl Carriage {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing to replicate",
            Self::Backups => "backup copies",
            Self::Asynchronous => "asynchronous",
            Self::Synchronous => "synchronous",
            Self::SeveralWriters => "several writers",
        }
    }
}

/// Which target a choice can go to, beyond what holds for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetRule {
    /// Any region.
    Any,
    /// The region that Azure pairs the home with.
    AzurePair,
    /// A region near enough for commits to wait for it.
    Near,
    /// A region of the set in which DynamoDB tables may be strongly consistent together with the home.
    StrongSet,
}

impl TargetRule {
    /// Whether a region that stands so to the home will do.
    pub fn allows(self, between: &Between) -> bool {
        match self {
            Self::Any => true,
            Self::AzurePair => between.copied_to,
            Self::Near => between.near,
            Self::StrongSet => between.strong,
        }
    }
}

/// One way to protect a component.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The pattern that this is.
    pub pattern: Pattern,
    /// How data travel.
    pub carriage: Carriage,
    /// What it is, in the provider's words.
    pub how: String,
    /// Machines that run in each target region in peace time.
    pub standby: u32,
    /// Sites in which the file has it, whichever of them takes over: all of them are paid for. Known once there are sites, and empty
    /// before.
    pub fixed: Vec<usize>,
    /// The steps after the decision, one after the other; each is a part of a step of the plan ([`StepKind::is_part_of`]).
    pub steps: Vec<Step>,
    /// What is lost, in seconds of acknowledged writes.
    pub loss: Spread,
    /// Regions besides the home that it needs: one or two.
    pub targets: usize,
    /// Which regions these may be.
    pub rule: TargetRule,
    /// Added to the bill at home.
    pub at_home: Quantities,
    /// Added to the bill in each target region.
    pub per_target: Quantities,
    /// GB sent to each target a month.
    pub traffic_gb: f64,
    /// How much there is to understand and to go wrong, 1 to 5.
    pub complexity: u8,
}

impl Choice {
    /// The planned duration of its steps. Databases move, and machines start, from the decision on; what connects to what it
    /// needs does so once that serves.
    pub fn planned(&self) -> Takes {
        let ms = |steps: &mut dyn Iterator<Item = &Step>| steps.map(|step| step.takes.planned_ms()).sum();
        let waits = |step: &&Step| self.carriage == Carriage::Nothing && step.kind == StepKind::Connect;
        Takes {
            alone: ms(&mut self.steps.iter().filter(|step| !waits(step))),
            after: ms(&mut self.steps.iter().filter(waits)),
        }
    }

    /// The planned loss, in ms; it is zero only if nothing can be lost.
    pub fn planned_loss_ms(&self) -> u64 {
        if self.loss.is_never_more_than_zero() { 0 } else { self.loss.planned_ms().max(1) }
    }
}

/// Where a commit may wait for an answer: longest round trip in ms. An assumption: 50 ms a commit is what an
/// order-taking application bears; Stockholm to Frankfurt takes 23, to Ireland 40.
pub const SYNCHRONOUS_LIMIT_MS: f64 = 50.0;

/// What choices depend on besides the component.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// Facts.
    pub atlas: &'a Atlas,
    /// The app.
    pub app: &'a App,
    /// Measurements.
    pub history: &'a History,
}

/// Everything that a component could do, without regard to objectives. Never empty.
pub fn choices(setting: Setting<'_>, id: &ComponentId, component: &Component) -> Vec<Choice> {
    let maker = Maker { setting, component, measure: Measure::of(component), checks: checks(setting.app, id) };
    if component.kind.is_database() { maker.database() } else { maker.compute() }
}

/// The health checks that are generated for each region of a component: for each of its routes Route 53 asks every node, and
/// Traffic Manager the region's own. Checks cost more for HTTPS (Route 53) and for coming every ten seconds (both).
#[expect(clippy::cast_precision_loss, reason = "a few")]
fn checks(app: &App, id: &ComponentId) -> Quantities {
    let routes = app.routes.values().filter(|route| route.to == *id).count() as f64;
    let (checks, options) = match steering(app) {
        Steering::Route53 => (routes * app.regions.len() as f64, 2.0),
        Steering::TrafficManager => (routes, 1.0),
        Steering::BuiltIn => (0.0, 0.0),
    };
    Quantities::default().with(Item::HealthCheck, checks).with(Item::HealthCheckOption, checks * options)
}

/// The bill at home without any protection.
pub fn alone(component: &Component) -> Quantities {
    let measure = Measure::of(component);
    let quantities = Quantities::default()
        .with(Item::Compute, measure.compute)
        .with(Item::Memory, measure.memory_gb)
        .with(Item::Cluster, 1.0);
    let licence = if component.kind == Kind::AzureSql { measure.compute } else { 0.0 };
    if component.kind.is_database() {
        let requests = match component.kind {
            // Of 1 KiB; what is read is not in the file.
            Kind::Dynamodb => measure.writes_gb * 1e9 / 1024.0 / 1e6,
            // Their number is not known, and the line says so.
            Kind::AuroraGlobal => 1.0,
            _ => 0.0,
        };
        let quantities = quantities.with(Item::Requests, requests);
        quantities.with(Item::Storage, measure.storage_gb).with(Item::Licence, licence)
    } else {
        quantities
    }
}

struct Maker<'a> {
    setting: Setting<'a>,
    component: &'a Component,
    measure: Measure,
    /// In each region.
    checks: Quantities,
}

impl Maker<'_> {
    fn step(&self, kind: StepKind, otherwise: impl FnOnce() -> Spread) -> Step {
        let measured = self.setting.history.step(Some(self.component.kind), kind);
        Step { kind, takes: measured.unwrap_or_else(otherwise) }
    }

    fn published(&self, mechanism: &str, metric: Metric, condition: &str) -> Spread {
        published(self.setting.atlas, mechanism, metric, condition)
            .expect("every mechanism named here has a row: the test `every_kind_has_choices` makes all of them")
    }

    /// A promised loss.
    fn bound(&self, mechanism: &str, condition: &str) -> Spread {
        self.setting
            .atlas
            .published(mechanism, Metric::Rpo)
            .filter(|row| row.condition.contains(condition))
            .find_map(Spread::bound)
            .expect("every mechanism named here has a row: the test `every_kind_has_choices` makes all of them")
    }
}

fn nothing() -> Spread {
    Spread::none("by design: the other region serves already")
}

fn nothing_lost(why: &str) -> Spread {
    Spread::none(format!("by design: {why}"))
}

/// Whether a kind can run at a provider at all.
pub fn runs_at(kind: Kind, provider: Provider) -> bool {
    match kind {
        Kind::Postgres | Kind::Process | Kind::Deployment => true,
        Kind::AuroraGlobal | Kind::Rds | Kind::Dynamodb | Kind::S3 | Kind::Asg | Kind::Ecs | Kind::Eks => {
            provider == Provider::Aws
        }
        Kind::AzureSql | Kind::Cosmosdb | Kind::AzurePostgres | Kind::AzureStorage | Kind::Vmss | Kind::Aks => {
            provider == Provider::Azure
        }
    }
}

#[cfg(test)]
mod tests {
    use lifeboat_plan::StepKind as Planned;

    use super::*;

    /// What the plan of a region's loss does with a component of a kind.
    fn planned_for(kind: Kind) -> Vec<Planned> {
        let id = || ComponentId::from("c");
        if kind.is_database() {
            vec![Planned::Claim(id()), Planned::Promote(id()), Planned::Open(id())]
        } else {
            vec![Planned::StartCompute(id()), Planned::AwaitCompute(id())]
        }
    }

    #[test]
    fn every_kind_has_choices() {
        let history = History::default();
        for kind in Kind::ALL {
            let text = "app: a\nfailover: {mode: approve}\nregions:\n  x: {place: aws/eu-north-1}\n  y: {place: aws/eu-west-1}\ncomponents:\n  c: {kind: rds, size: {count: 4}}\n";
            let mut app = lifeboat_model::parse(text).unwrap();
            app.components.get_mut("c").unwrap().kind = kind;
            let setting = Setting { atlas: Atlas::embedded(), app: &app, history: &history };
            let found = choices(setting, &"c".into(), &app.components["c"]);
            assert!(found.iter().any(|choice| choice.pattern == Pattern::BackupRestore), "{}", kind.as_str());
            assert!(found.len() >= 2, "{}", kind.as_str());
            for choice in found {
                assert!(choice.loss.seconds.is_sorted(), "{} {}", kind.as_str(), choice.how);
                assert!(
                    choice.steps.iter().all(|step| step.takes.seconds.is_sorted()),
                    "{} {}",
                    kind.as_str(),
                    choice.how
                );
                assert!(choice.steps.iter().all(|step| !step.takes.source.is_empty()));
                let planned = planned_for(kind);
                for step in &choice.steps {
                    let whole = planned.iter().filter(|planned| step.kind.is_part_of(planned)).count();
                    assert_eq!(whole, 1, "{}: {:?} is a part of one step of its plan", kind.as_str(), step.kind);
                }
            }
        }
    }
}
