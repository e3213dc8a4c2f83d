//! The steps of a recovery and how long each takes: measured durations of this app where there are any, otherwise
//! published figures with their source, otherwise an assumption that says so.
//!
//! The clock runs from the onset of the fault. Detecting and deciding come once for the app; then the plan of the region's
//! loss runs (`lifeboat_plan::RegionLoss`), each of whose steps takes as long as the steps here that are a part of it.

use std::collections::BTreeMap;
use std::time::Duration;

use lifeboat_atlas::{Atlas, Metric};
use lifeboat_model::App;
use lifeboat_model::app::{FailoverMode, Kind, Provider, Reads, RegionRole, Route};
use lifeboat_plan::Durations;
use schemars::JsonSchema;
use serde::Serialize;

use crate::spread::Spread;

/// A kind of step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// The fault becomes a verdict of the quorum.
    Detect,
    /// The verdict becomes a decision: Lifeboat's, or a person's.
    Decide,
    /// The old writer's lease runs out.
    Fence,
    /// A standby becomes the writer.
    Promote,
    /// A machine is added to a database that has none there.
    Attach,
    /// Data are restored from a backup.
    Restore,
    /// The region is built from its description.
    Build,
    /// Machines or containers start.
    Launch,
    /// What runs already connects to its new writer.
    Connect,
    /// Clients reach the new region.
    Route,
}

impl StepKind {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Detect => "detect",
            Self::Decide => "decide",
            Self::Fence => "fence",
            Self::Promote => "promote",
            Self::Attach => "attach",
            Self::Restore => "restore",
            Self::Build => "build",
            Self::Launch => "launch",
            Self::Connect => "connect",
            Self::Route => "route",
        }
    }
}

impl StepKind {
    /// Whether it happens within this step of the plan: what providers and machines do is finer than the plan, which knows
    /// what Lifeboat does.
    pub fn is_part_of(self, step: &lifeboat_plan::StepKind) -> bool {
        use lifeboat_plan::StepKind as Planned;
        match step {
            // By force, an epoch is claimed when the lease has run out.
            Planned::Claim(_) => self == Self::Fence,
            Planned::Promote(_) => {
                matches!(self, Self::Restore | Self::Build | Self::Launch | Self::Attach | Self::Promote)
            }
            Planned::StartCompute(_) => matches!(self, Self::Build | Self::Launch),
            Planned::Open(_) | Planned::AwaitCompute(_) => self == Self::Connect,
            Planned::Route(_) => self == Self::Route,
            Planned::Detach(_)
            | Planned::Checkpoint(_)
            | Planned::Drain(_)
            | Planned::CatchUp(_)
            | Planned::Follow(_)
            | Planned::Synchronize(_) => false,
        }
    }
}

/// A step and its duration.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What it does.
    pub kind: StepKind,
    /// How long it takes.
    pub takes: Spread,
}

/// What drills and real failovers of this app have shown, in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Durations of steps; of detecting, deciding and routing under `None`, of a component's steps under its kind.
    pub steps: BTreeMap<(Option<Kind>, StepKind), Vec<f64>>,
    /// Durations of the plan's own steps, as nodes keep them.
    pub planned: Durations,
    /// The whole recovery times of components, from the onset of the fault.
    pub recoveries: BTreeMap<lifeboat_model::ComponentId, Vec<f64>>,
    /// Days since the last drill that passed and after which clients were served again; `None`: there was none.
    pub days_since_drill: Option<f64>,
}

impl History {
    /// The measured duration of a step, if there is one.
    pub fn step(&self, of: Option<Kind>, kind: StepKind) -> Option<Spread> {
        self.steps.get(&(of, kind)).and_then(|seconds| Spread::measured(seconds))
    }
}

/// What turns clients to another region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Steering {
    /// Lifeboat's DNS server.
    BuiltIn,
    /// Route 53 with health checks on the steering endpoints.
    Route53,
    /// Azure Traffic Manager probing the steering endpoints.
    TrafficManager,
}

/// What turns clients: the provider's own service where all regions are one provider's, else the built-in DNS server.
pub fn steering(app: &App) -> Steering {
    let mut providers =
        app.regions.values().filter(|region| region.role == RegionRole::Data).map(|region| region.place.provider);
    let Some(first) = providers.next() else { return Steering::BuiltIn };
    match (first, providers.all(|other| other == first)) {
        (Provider::Aws, true) => Steering::Route53,
        (Provider::Azure, true) => Steering::TrafficManager,
        _ => Steering::BuiltIn,
    }
}

/// Detecting and deciding.
pub fn begin(app: &App, history: &History) -> Vec<Step> {
    let detection = &app.detection;
    let (every, timeout) = (detection.every.as_secs_f64(), detection.timeout.as_secs_f64());
    let silent = f64::from(detection.silent);
    let detect = history.step(None, StepKind::Detect).unwrap_or_else(|| {
        // A host that refuses is found by the next probe; one that vanished answers nothing, and each probe waits its
        // timeout out before the next is due.
        let found_after = [
            (every / 2.0).min(timeout),
            every / 2.0 + timeout * silent,
            (every + timeout) * silent,
            (every + timeout) * silent * 1.5,
            (every + timeout) * silent * 3.0,
        ];
        let (every, timeout) = (seconds(every), seconds(timeout));
        let probes = detection.silent;
        let source = format!("the file's detection: {probes} silent probes, every {every}, given up after {timeout}");
        Spread::declared(found_after, source)
    });
    let decide = history.step(None, StepKind::Decide).unwrap_or_else(|| match app.failover.mode {
        FailoverMode::Automatic => Spread::assumed(0.05, 0.5, 2.0, "assumed: one compare-and-swap in the state store, across regions"),
        FailoverMode::Approve => Spread::assumed(
            300.0,
            900.0,
            3600.0,
            "assumed: a person is called, looks and approves (`failover.mode: approve`), within 5 min as a rule and an hour at night",
        ),
    });
    vec![Step { kind: StepKind::Detect, takes: detect }, Step { kind: StepKind::Decide, takes: decide }]
}

/// Turning the clients of a route.
pub fn route(route: &Route, steering: Steering, history: &History, atlas: &Atlas) -> Step {
    let ttl = route.ttl.as_secs_f64();
    let takes = history.step(None, StepKind::Route).unwrap_or_else(|| match steering {
        Steering::BuiltIn => Spread::declared(
            [0.0, ttl / 2.0, ttl, ttl * 2.0, ttl * 2.0 + 60.0],
            format!("the route's TTL of {}; some clients keep answers for longer", seconds(ttl)),
        ),
        Steering::Route53 => {
            checked(ttl, published(atlas, "route53-detect", Metric::Duration, "10 s interval, threshold 1"), 0.0)
        }
        Steering::TrafficManager => checked(
            ttl,
            published(atlas, "traffic-manager-detect-and-ttl", Metric::Duration, "1 retry, TTL 10 s"),
            10.0,
        ),
    });
    Step { kind: StepKind::Route, takes }
}

/// A provider's health checkers must see the steering endpoint change, and then answers live for their TTL. The checks are
/// those that `lifeboat generate` writes: every ten seconds; the first that fails counts at Route 53, the second at Traffic
/// Manager. `ttl_within` is the TTL that the published figure has in it already.
fn checked(ttl: f64, published: Option<Spread>, ttl_within: f64) -> Spread {
    let base = published.unwrap_or_else(|| {
        Spread::assumed_at([10.0 + ttl_within; 5], "assumed: one interval of ten seconds between checks")
    });
    let checks = (base.seconds[1] - ttl_within).max(0.0);
    Spread {
        seconds: [
            checks / 3.0,
            checks * 0.8 + ttl / 2.0,
            checks + ttl,
            checks * 1.5 + ttl * 2.0,
            checks * 2.0 + ttl * 2.0 + 60.0,
        ],
        grade: base.grade,
        date: base.date,
        source: if ttl_within > 0.0 {
            format!("{}; with the route's TTL of {} instead of {}", base.source, seconds(ttl), seconds(ttl_within))
        } else {
            format!("{}; plus the route's TTL of {}", base.source, seconds(ttl))
        }
        .into(),
    }
}

/// The lease of the old writer, where the new one may not rely on having everything.
pub fn fence(app: &App, reads: Reads) -> Step {
    let lease = app.detection.lease.as_secs_f64();
    let why = match reads {
        Reads::Strict => "`reads: strict` waits for the lease",
        Reads::Stale => "an asynchronous standby waits for the lease",
    };
    Step {
        kind: StepKind::Fence,
        takes: Spread::declared([0.0, lease * 0.75, lease, lease, lease], format!("{why} of {}", seconds(lease))),
    }
}

/// A published figure whose condition contains `condition`.
pub fn published(atlas: &Atlas, mechanism: &str, metric: Metric, condition: &str) -> Option<Spread> {
    atlas.published(mechanism, metric).filter(|row| row.condition.contains(condition)).find_map(Spread::published)
}

/// A duration for people: `0.47 s`, `15 s`, `4 min`, `12 h`.
pub fn seconds(value: f64) -> String {
    let trim = |value: f64, digits: usize, unit: &str| {
        let text = format!("{value:.digits$}");
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        format!("{text} {unit}")
    };
    match value {
        v if v < 10.0 => trim(v, 2, "s"),
        v if v < 120.0 => trim(v, 0, "s"),
        v if v < 5400.0 => trim(v / 60.0, 0, "min"),
        v if v < 172_800.0 => trim(v / 3600.0, 1, "h"),
        v => trim(v / 86_400.0, 1, "d"),
    }
}

/// [`seconds`], rounded up, and a little finer: what an objective can be set to.
pub fn at_least(value: f64) -> String {
    let step = match value {
        v if v < 10.0 => 0.01,
        v if v < 120.0 => 1.0,
        v if v < 5400.0 => 6.0,
        _ => 360.0,
    };
    // The ceiling of a little less than zero is a negative zero.
    let up = (value / step - 1e-9).ceil() * step + 0.0;
    if (120.0..5400.0).contains(&up) {
        let text = format!("{:.1}", up / 60.0);
        return format!("{} min", text.trim_end_matches(".0"));
    }
    seconds(up)
}

/// [`seconds`] of a [`Duration`].
pub fn duration(value: Duration) -> String {
    seconds(value.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_turn_after_the_checks_that_are_generated_and_a_ttl_counts_once() {
        let text = "app: a\nfailover: {mode: approve}\nregions:\n  x: {place: aws/eu-north-1}\n  y: {place: aws/eu-west-1}\ncomponents:\n  web: {kind: asg}\nroutes:\n  a.example.com: {to: web, ttl: 10s}\n";
        let app = lifeboat_model::parse(text).unwrap();
        let to = app.routes.values().next().unwrap();
        for (steering, said) in [(Steering::Route53, "threshold 1"), (Steering::TrafficManager, "1 retry")] {
            let step = route(to, steering, &History::default(), Atlas::embedded());
            assert_eq!(step.takes.at(0.95), 20.0, "ten for the checks and ten for the TTL");
            assert!(step.takes.source.contains(said), "{}", step.takes.source);
        }
    }

    #[test]
    fn durations_are_written_for_people() {
        for (value, expected) in [
            (0.0, "0 s"),
            (0.47, "0.47 s"),
            (15.0, "15 s"),
            (240.0, "4 min"),
            (43_200.0, "12 h"),
            (864_000.0, "10 d"),
            (100.0, "100 s"),
        ] {
            assert_eq!(seconds(value), expected);
        }
        for (value, expected) in [
            (0.0, "0 s"),
            (0.471, "0.48 s"),
            (15.2, "16 s"),
            (901.0, "15.1 min"),
            (900.0, "15 min"),
            (14_401.0, "4.1 h"),
        ] {
            assert_eq!(at_least(value), expected);
        }
    }
}
