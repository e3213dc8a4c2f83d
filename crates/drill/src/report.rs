//! The report of a drill as data: `report.json`. Its fields are a contract; more may be added, none changes its meaning.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a drill found out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The app's name.
    pub app: String,
    /// The fault, as on the command line.
    pub fault: String,
    /// The region that it happened in.
    pub region: String,
    /// Every run met its objectives, and no promise that was checked was broken.
    pub passed: bool,
    /// What is not as it should be, a sentence each; empty if and only if `passed`.
    pub problems: Vec<String>,
    /// In the order in which they happened: of each repetition the reaction to the fault, then the way back.
    pub runs: Vec<Run>,
    /// By intent; only where the drill was repeated.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub medians: BTreeMap<String, Median>,
    /// `S1` → `held`, …
    pub promises: BTreeMap<String, Finding>,
    /// For each promise: how it was checked, or why not.
    pub reasons: BTreeMap<String, String>,
    /// What was expected before anything was measured, and whether it came so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<Prediction>,
    /// Where this was measured.
    pub environment: Environment,
}

/// The RTO that an assessment of the same file predicted for the loss of the writer's region, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prediction {
    /// No recovery is expected to be shorter.
    pub least_ms: u64,
    /// Half of the recoveries are expected to be shorter.
    pub half_ms: u64,
    /// 99 of 100 are expected to be shorter.
    pub most_ms: u64,
}

impl Prediction {
    /// Whether a measured RTO lies between the least and the 99 of 100.
    pub fn contains(self, rto_ms: u64) -> bool {
        (self.least_ms..=self.most_ms).contains(&rto_ms)
    }
}

impl Report {
    /// The runs that the prediction is about, with whether each came as predicted: failovers, and nothing that was planned.
    pub fn predicted(&self) -> Option<(Prediction, usize, usize)> {
        let prediction = self.prediction?;
        let failovers: Vec<&Run> =
            self.runs.iter().filter(|run| run.intent == "failover" && run.served_again).collect();
        let inside = failovers.iter().filter(|run| prediction.contains(run.rto_ms)).count();
        (!failovers.is_empty()).then_some((prediction, inside, failovers.len()))
    }
}

/// What was found out about a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// Nothing in this drill could have shown that it is broken.
    NotChecked,
    /// It was checked and held.
    Held,
    /// It was checked and did not hold.
    Broken,
}

impl Finding {
    /// As in the report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotChecked => "not-checked",
            Self::Held => "held",
            Self::Broken => "broken",
        }
    }
}

/// One interruption of service, and what was done about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Which repetition it belongs to, from 1.
    pub repetition: u32,
    /// `failover`, `switchover`, or `restart` where writing stayed where it was.
    pub intent: String,
    /// Where writing was.
    pub from: String,
    /// Where writing is afterwards.
    pub to: String,
    /// Whether orders were accepted again. Otherwise `rto_ms` is how long was waited in vain.
    pub served_again: bool,
    /// The longest time between two acknowledged orders, the first of them the last one before the fault or later: up to the
    /// first order that the new writer accepted, or where writing stayed, until orders had flowed steadily for a while.
    pub rto_ms: u64,
    /// Where that time went; the parts sum to `rto_ms`.
    pub split_ms: Split,
    /// The longest time between two acknowledged orders after that, while the region came back.
    pub later_gap_ms: u64,
    /// Orders acknowledged in this run's part of the drill.
    pub acknowledged: u64,
    /// Those of them that are not there at the end. `null`: nobody could be asked.
    pub lost: Option<u64>,
    /// From the first to the last lost order's acknowledgement; 0 if none is lost.
    pub lost_span_ms: u64,
    /// What was to be reached.
    pub objective: Objective,
    /// What happened, in the journal's order. Time 0 is the fault, or the request of the switchover.
    pub timeline: Vec<TimelineEntry>,
    /// What the report's drawing is made of.
    pub chart: Chart,
}

impl Run {
    /// Whether service was back in time; `None`: no RTO is demanded.
    pub fn rto_held(&self) -> Option<bool> {
        self.objective.rto_ms.map(|objective| self.served_again && self.rto_ms <= objective)
    }

    /// Whether no more was lost than allowed; `None`: no RPO is demanded, or nobody could be asked what is there.
    pub fn rpo_held(&self) -> Option<bool> {
        let objective = self.objective.rpo_ms?;
        let lost = self.lost?;
        Some(if objective == 0 { lost == 0 } else { self.lost_span_ms <= objective })
    }
}

/// The RTO in parts, in milliseconds. A part whose end the journal does not show is 0, its time counted to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// From the last acknowledged order to the verdict.
    pub detect: u64,
    /// To the claim of an epoch.
    pub decide: u64,
    /// Until the epoch was open.
    pub execute: u64,
    /// Until the route's answer had changed.
    pub route: u64,
    /// Until the first order was acknowledged.
    pub recover: u64,
}

impl Split {
    /// The parts with their names, in order.
    pub fn parts(self) -> [(&'static str, u64); 5] {
        [
            ("detect", self.detect),
            ("decide", self.decide),
            ("execute", self.execute),
            ("route", self.route),
            ("recover", self.recover),
        ]
    }
}

/// What is demanded; `null`: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objective {
    /// Milliseconds without service.
    pub rto_ms: Option<u64>,
    /// Milliseconds of acknowledged orders lost; 0: none.
    pub rpo_ms: Option<u64>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// Since the beginning of the run; negative: before.
    pub at_ms: i64,
    /// Whose node wrote it; `drill` and `client` are those two.
    pub region: String,
    /// The journal's kind of entry, `drill` or `client`.
    pub kind: String,
    /// What happened.
    pub what: String,
    /// Why; may be empty.
    pub why: String,
}

/// A run as a drawing, in milliseconds since its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chart {
    /// The left edge.
    pub from_ms: i64,
    /// The right edge.
    pub to_ms: i64,
    /// From the last acknowledged order before the interruption to the first after it.
    pub gap_ms: (i64, i64),
    /// The width of a bar.
    pub bucket_ms: u64,
    /// Acknowledged orders per bar, from the left edge.
    pub acknowledged: Vec<u32>,
    /// A lane per region.
    pub lanes: Vec<Lane>,
}

/// A region's part over time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    /// The region.
    pub region: String,
    /// What it was, without holes, from the chart's left to its right edge.
    pub spans: Vec<Span>,
}

/// A region's part for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// From.
    pub from_ms: i64,
    /// To.
    pub to_ms: i64,
    /// What it was.
    pub state: LaneState,
    /// Of a writer, its epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

/// What a region is at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LaneState {
    /// It only watches and votes.
    Witness,
    /// It follows the writer.
    Standby,
    /// It has claimed an epoch that is not open yet.
    Claiming,
    /// It may acknowledge writes.
    Writer,
    /// The drill has killed or paused it, or a part of it.
    Faulty,
    /// It is back, and does not hold everything yet.
    Rejoining,
}

impl LaneState {
    /// As in the drawing.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Witness => "witness",
            Self::Standby => "standby",
            Self::Claiming => "claiming",
            Self::Writer => "writer",
            Self::Faulty => "faulty",
            Self::Rejoining => "rejoining",
        }
    }
}

/// The middle of the repeated runs of one intent; of an even number the higher of the two in the middle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Median {
    /// Of how many runs.
    pub runs: u64,
    /// The median of the RTO.
    pub rto_ms: u64,
    /// The shortest.
    pub rto_min_ms: u64,
    /// The longest.
    pub rto_max_ms: u64,
    /// The median of each part by itself; they need not sum to `rto_ms`.
    pub split_ms: Split,
}

/// Where and with what it was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// When the drill began, in UTC.
    pub started: String,
    /// Of Lifeboat.
    pub lifeboat: String,
    /// The major version; empty if none ran.
    pub postgresql: String,
    /// The kernel's release.
    pub kernel: String,
    /// The processor's name.
    pub processor: String,
    /// How many cores the drill may use.
    pub cores: u64,
    /// In MiB.
    pub memory_mib: u64,
}

impl Environment {
    /// This machine, now.
    pub(crate) fn here(postgresql: Option<String>) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            text.lines()
                .find_map(|line| {
                    line.strip_prefix(name)?.trim_start().strip_prefix(':').map(str::trim).map(str::to_owned)
                })
                .unwrap_or_default()
        };
        let kib = field(&read("/proc/meminfo"), "MemTotal");
        let kib: u64 = kib.split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or(0);
        Self {
            started: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
            lifeboat: env!("CARGO_PKG_VERSION").into(),
            postgresql: postgresql.unwrap_or_default(),
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            processor: field(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(0, |cores| cores.get() as u64),
            memory_mib: kib / 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prediction_is_about_failovers_and_both_its_ends_count() {
        let mut report = crate::fixture::report();
        let rto = report.runs[0].rto_ms;
        assert_eq!(report.predicted(), None);
        for (least_ms, most_ms, inside) in [(rto, rto, 1), (rto + 1, rto + 2, 0), (0, rto - 1, 0), (0, u64::MAX, 1)] {
            report.prediction = Some(Prediction { least_ms, half_ms: least_ms, most_ms });
            let (_, found, of) = report.predicted().unwrap();
            assert_eq!((found, of), (inside, 1), "{least_ms} to {most_ms}, measured {rto}");
        }
    }
}
