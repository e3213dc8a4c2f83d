//! From single readings to what counts (hysteresis), and from what several nodes see to a verdict (quorum).

use std::collections::BTreeMap;
use std::fmt;

use lifeboat_model::app::Detection;
use lifeboat_model::{ComponentId, RegionId};
use serde::{Deserialize, Serialize};

/// Something in a region that is probed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// Where.
    pub region: RegionId,
    /// What.
    pub what: What,
}

/// What is probed in a region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// Its node's API.
    Node,
    /// A database server.
    Database(ComponentId),
    /// A compute component, by its check.
    Compute(ComponentId),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Node => write!(f, "{}/node", self.region),
            What::Database(component) | What::Compute(component) => write!(f, "{}/{component}", self.region),
        }
    }
}

impl Target {
    /// A region's node.
    pub fn node(region: &RegionId) -> Self {
        Self { region: region.clone(), what: What::Node }
    }

    /// A region's database server.
    pub fn database(region: &RegionId, component: &ComponentId) -> Self {
        Self { region: region.clone(), what: What::Database(component.clone()) }
    }

    /// A region's compute.
    pub fn compute(region: &RegionId, component: &ComponentId) -> Self {
        Self { region: region.clone(), what: What::Compute(component.clone()) }
    }
}

/// What came of one probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It answered as it should.
    Ok,
    /// The connection was refused or reset: the process is gone, the host answers.
    Refused,
    /// Nobody answered in time.
    Silent,
    /// It answered, and not as it should: alive but unwell.
    Unwell,
    /// The prober itself could not probe: says nothing of the target.
    NotObserved,
}

/// What a node holds of a target after hysteresis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sight {
    /// It answers.
    Up,
    /// Refused, as often as `detection.refused` asks.
    Refused,
    /// Silent, as often as `detection.silent` asks.
    Silent,
    /// It answers wrongly.
    Unwell,
}

impl Sight {
    /// Nothing of it is there any more, as far as this node can tell.
    pub fn is_gone(self) -> bool {
        match self {
            Self::Refused | Self::Silent => true,
            Self::Up | Self::Unwell => false,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::Unwell => "unwell",
        }
    }
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Hysteresis over one target's readings.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    sight: Option<Sight>,
    failures: u32,
    refusals: u32,
    silences: u32,
    successes: u32,
}

impl Watched {
    /// Takes one reading. Returns whether what counts has changed.
    pub fn read(&mut self, evidence: Evidence, detection: &Detection) -> bool {
        let before = self.sight;
        match evidence {
            Evidence::NotObserved => return false,
            Evidence::Ok => {
                self.successes = self.successes.saturating_add(1);
                (self.failures, self.refusals, self.silences) = (0, 0, 0);
                if self.sight.is_none() || self.successes >= detection.recovered {
                    self.sight = Some(Sight::Up);
                }
            }
            Evidence::Refused | Evidence::Silent | Evidence::Unwell => {
                self.successes = 0;
                self.failures = self.failures.saturating_add(1);
                match evidence {
                    Evidence::Refused => self.refusals += 1,
                    Evidence::Silent => self.silences += 1,
                    Evidence::Ok | Evidence::Unwell | Evidence::NotObserved => (self.refusals, self.silences) = (0, 0),
                }
                if self.refusals >= detection.refused {
                    self.sight = Some(Sight::Refused);
                } else if self.refusals + self.silences >= detection.silent.max(detection.refused)
                    || self.silences >= detection.silent
                {
                    self.sight = Some(Sight::Silent);
                } else if self.failures >= detection.silent && self.refusals + self.silences == 0 {
                    self.sight = Some(Sight::Unwell);
                }
            }
        }
        self.sight != before
    }

    /// Whether one more such reading would change nothing: it confirms what counts, and so did the last one.
    pub fn is_known(&self, evidence: Evidence, detection: &Detection) -> bool {
        match evidence {
            Evidence::NotObserved => true,
            Evidence::Ok => self.sight == Some(Sight::Up) && self.failures == 0,
            Evidence::Refused => self.sight == Some(Sight::Refused) && self.refusals >= detection.refused,
            Evidence::Silent => self.sight == Some(Sight::Silent) && self.silences >= detection.silent,
            Evidence::Unwell => false, // It resets what was counted of the other kinds.
        }
    }

    /// What counts; `None` while nothing has been read.
    pub fn sight(&self) -> Option<Sight> {
        self.sight
    }

    /// Whether the newest reading was bad, whatever counts: the first sign of trouble.
    pub fn in_doubt(&self) -> bool {
        self.failures > 0
    }
}

/// What the vantage points outside a region say of one of its targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poll {
    /// How many vantage points there are outside the region, alive or not.
    pub vantage_points: usize,
    /// What each that spoke sees.
    pub sights: BTreeMap<RegionId, Sight>,
}

impl Poll {
    /// Whether a majority of all vantage points outside the region sees it gone.
    pub fn is_gone(&self) -> bool {
        self.gone().count() >= majority(self.vantage_points)
    }

    /// Whether a majority sees it refused: the process is gone for certain.
    pub fn is_refused(&self) -> bool {
        self.sights.values().filter(|sight| **sight == Sight::Refused).count() >= majority(self.vantage_points)
    }

    fn gone(&self) -> impl Iterator<Item = (&RegionId, &Sight)> {
        self.sights.iter().filter(|(_, sight)| sight.is_gone())
    }

    /// `refused (2 of 2 vantage points: frankfurt, ireland)`.
    pub fn describe(&self) -> String {
        let gone: Vec<_> = self.gone().collect();
        let (names, word) = if gone.is_empty() {
            (
                self.sights.keys().map(RegionId::as_str).collect::<Vec<_>>(),
                self.sights.values().next().map_or("not seen", |s| s.word()),
            )
        } else {
            let silent = gone.iter().any(|(_, sight)| **sight == Sight::Silent);
            (gone.iter().map(|(region, _)| region.as_str()).collect(), if silent { "silent" } else { "refused" })
        };
        format!("{word} ({} of {} vantage points: {})", names.len(), self.vantage_points, names.join(", "))
    }
}

/// More than half of `count`; of none, one, so that nobody is nobody's majority.
pub fn majority(count: usize) -> usize {
    count / 2 + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn detection() -> Detection {
        Detection {
            every: Duration::from_millis(200),
            timeout: Duration::from_millis(400),
            refused: 3,
            silent: 4,
            recovered: 2,
            lease: Duration::from_secs(3),
        }
    }

    /// `+` ok, `r` refused, `s` silent, `u` unwell, `?` not observed; what counts after the last.
    #[test]
    fn readings_become_sights() {
        use Sight::{Refused, Silent, Unwell, Up};
        for (readings, expected) in [
            ("", None),
            ("+", Some(Up)),
            ("rr", None),
            ("+rr", Some(Up)),
            ("+rrr", Some(Refused)),
            ("+rr+rr", Some(Up)),
            ("+sss", Some(Up)),
            ("+ssss", Some(Silent)),
            ("+ssrs", Some(Silent)),
            ("+rrr+", Some(Refused)),
            ("+rrr++", Some(Up)),
            ("+uuuu", Some(Unwell)),
            ("+rr???r", Some(Refused)),
            ("+rr??", Some(Up)),
        ] {
            let mut watched = Watched::default();
            for reading in readings.chars() {
                let evidence = match reading {
                    '+' => Evidence::Ok,
                    'r' => Evidence::Refused,
                    's' => Evidence::Silent,
                    'u' => Evidence::Unwell,
                    _ => Evidence::NotObserved,
                };
                watched.read(evidence, &detection());
            }
            assert_eq!(watched.sight(), expected, "{readings}");
        }
    }

    /// Whatever comes before and after, a reading that is known changes no sight.
    #[test]
    fn what_is_known_changes_nothing() {
        use Evidence::{Ok, Refused, Silent, Unwell};
        let all = [Ok, Refused, Silent, Unwell];
        let mut known = 0;
        for history in 0..4_usize.pow(6) {
            let evidence = |at: u32| all[history / 4_usize.pow(at) % 4];
            let mut watched = Watched::default();
            for at in 0..6 {
                watched.read(evidence(at), &detection());
            }
            for extra in all {
                if !watched.is_known(extra, &detection()) {
                    continue;
                }
                known += 1;
                for next in all.into_iter().flat_map(|one| all.map(|two| all.map(|three| [one, two, three]))).flatten()
                {
                    let (mut with, mut without) = (watched.clone(), watched.clone());
                    with.read(extra, &detection());
                    assert_eq!(with.sight(), without.sight());
                    for reading in next {
                        with.read(reading, &detection());
                        without.read(reading, &detection());
                        assert_eq!((with.sight(), with.in_doubt()), (without.sight(), without.in_doubt()), "{history}");
                    }
                }
            }
        }
        assert!(known > 100, "{known}");
    }

    #[test]
    fn a_majority_counts_the_absent_too() {
        let poll = |points, sights: &[(&str, Sight)]| Poll {
            vantage_points: points,
            sights: sights.iter().map(|(name, sight)| (RegionId::from(*name), *sight)).collect(),
        };
        assert!(poll(2, &[("b", Sight::Refused), ("c", Sight::Silent)]).is_gone());
        assert!(!poll(2, &[("b", Sight::Refused)]).is_gone(), "one of two is no majority");
        assert!(!poll(4, &[("b", Sight::Silent), ("c", Sight::Silent)]).is_gone());
        assert!(!poll(0, &[]).is_gone());
        assert!(!poll(2, &[("b", Sight::Refused), ("c", Sight::Up)]).is_gone());
        assert_eq!(
            poll(2, &[("frankfurt", Sight::Refused), ("ireland", Sight::Refused)]).describe(),
            "refused (2 of 2 vantage points: frankfurt, ireland)"
        );
    }
}
