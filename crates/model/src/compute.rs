//! What compute is told, and what it says of itself: the words between `control` and whoever runs it; and how much of it there
//! is to be.

use serde::{Deserialize, Serialize};

use crate::app::{Component, Kind, Pattern};

/// What a region is for a compute component at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Duty {
    /// Clients are served here: all of it is wanted.
    Serving,
    /// They are served elsewhere: as much as the pattern keeps ready.
    Standby,
    /// That is not known, because too little has been read from the state store. What runs, runs on.
    Undecided,
}

/// Whether it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Running {
    /// Something of it is there that serves.
    Yes,
    /// Nothing of it serves.
    No,
    /// Whoever could tell does not answer. Not the same as no.
    Unknown,
}

/// What a driver reports of a compute component in its own region: complete, so that the newest replaces all older ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComputeState {
    /// Whether it runs.
    pub running: Running,
    /// Of what has replicas, how many; `None` where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Replicas>,
    /// Who else sets its size, and how that stands: `Flux: paused by Lifeboat; main@sha1:4f2a applied`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gitops: Option<String>,
    /// What stands in the way, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// What would keep it from bearing the load here: then nothing fails over to a region where none of it runs yet (promise S4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<String>,
}

impl ComputeState {
    /// Of what only runs or does not.
    pub fn of(running: bool) -> Self {
        Self {
            running: if running { Running::Yes } else { Running::No },
            replicas: None,
            gitops: None,
            trouble: None,
            obstacle: None,
        }
    }
}

/// How many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replicas {
    /// What the region's duty asks for; `None` while that is undecided.
    pub wanted: Option<u32>,
    /// What whoever runs them has been told.
    pub told: u32,
    /// How many answer their readiness check.
    pub ready: u32,
    /// How many have done so for as long as is asked.
    pub available: u32,
    /// Whether a new version is being rolled out.
    pub rolling_out: bool,
    /// For how many there would be room at most on what is there, if nothing else were there; `None`: that is not known.
    pub room: Option<u64>,
    /// How many machines take new ones; `None`: that is not known.
    pub nodes: Option<usize>,
}

/// How many instances there are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instances {
    /// Where clients are served.
    pub full: u32,
    /// In a region that does not serve: what the file says; else none (pilot light), a third (warm standby: the usual 30 to 50 %), or
    /// all of it: where every region serves, the ones that are left have to bear the load of the lost one at once.
    pub standby: u32,
}

/// How many bear the whole load.
pub fn full(component: &Component) -> u32 {
    let alone = component.kind.is_database() || component.kind == Kind::Process;
    component.size.count.unwrap_or(if alone { 1 } else { 2 }).max(1)
}

/// Whether it has instances that a region may have fewer of: a process runs or does not, and of other databases each region has one.
pub fn has_standby_size(kind: Kind) -> bool {
    kind == Kind::AuroraGlobal || !(kind.is_database() || kind == Kind::Process)
}

impl Instances {
    /// As the file says, a pattern that it leaves out being warm standby.
    pub fn of(component: &Component) -> Self {
        let kind = component.kind;
        let pattern = component.pattern.unwrap_or(Pattern::WarmStandby);
        let full = full(component);
        let declared = component.size.standby.filter(|_| has_standby_size(kind));
        let standby = declared.unwrap_or(match pattern {
            Pattern::BackupRestore => 0,
            // What is replicated to keeps its size: a promoted standby has to bear the load. Aurora may do without instances.
            Pattern::PilotLight if kind.is_database() && kind != Kind::AuroraGlobal => full,
            Pattern::PilotLight => 0,
            Pattern::WarmStandby if kind.is_database() => full.min(1),
            Pattern::WarmStandby => full.div_ceil(3),
            Pattern::ActiveActive => full,
        });
        Self { full, standby }
    }

    /// How many a region with this duty has; `None`: as many as there are.
    pub fn under(self, duty: Duty) -> Option<u32> {
        match duty {
            Duty::Serving => Some(self.full),
            Duty::Standby => Some(self.standby),
            Duty::Undecided => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instances(component: &str) -> (u32, u32) {
        let text = format!(
            "app: a\nfailover: {{mode: approve}}\nregions:\n  x: {{place: aws/eu-north-1}}\n  y: {{place: aws/eu-west-1}}\ncomponents:\n  c: {{{component}}}\n"
        );
        let app = crate::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let Instances { full, standby } = Instances::of(&app.components["c"]);
        (full, standby)
    }

    #[test]
    fn a_standby_is_as_large_as_the_file_or_else_its_pattern_says() {
        for (component, expected) in [
            ("kind: asg, size: {count: 8}", (8, 3)),
            ("kind: asg, size: {count: 8, standby: 2}", (8, 2)),
            ("kind: asg, pattern: warm-standby, size: {count: 8, standby: 8}", (8, 8)),
            ("kind: asg, pattern: pilot-light, size: {count: 8, standby: 0}", (8, 0)),
            ("kind: asg, pattern: active-active", (2, 2)),
            ("kind: process, run: x, pattern: active-active", (1, 1)),
            ("kind: aurora-global, pattern: warm-standby, size: {count: 2}", (2, 1)),
            ("kind: aurora-global, pattern: warm-standby, size: {count: 2, standby: 2}", (2, 2)),
            ("kind: aurora-global, pattern: pilot-light, size: {count: 2}", (2, 0)),
        ] {
            assert_eq!(instances(component), expected, "{component}");
        }
    }
}
