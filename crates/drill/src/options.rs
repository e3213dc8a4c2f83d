//! What a drill is asked to do: which file, which fault, how often, where the report goes.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use lifeboat_model::App;

use crate::report::Prediction;

/// Everything that a drill is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `lifeboat.yaml`. It is only read.
    pub file: PathBuf,
    /// The same file, parsed.
    pub app: App,
    /// What goes wrong, in the region of the writer.
    pub fault: Fault,
    /// How many times, each in a fresh run directory. At least 1.
    pub repeat: u32,
    /// The directory for `report.json` and `report.html`; made if it is not there. `None`: no files.
    pub out: Option<PathBuf>,
    /// Keep the run directory (data, logs, journal) for a look afterwards.
    pub keep: bool,
    /// The `lifeboat` binary, whose `node` command is started once per region.
    pub lifeboat: PathBuf,
    /// The program behind `$SHOP` in the file's command lines.
    pub shop: PathBuf,
    /// Which state store the nodes share.
    pub store: StoreKind,
    /// What an assessment of the file predicts, for the report.
    pub prediction: Option<Prediction>,
}

/// The state store of a drill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreKind {
    /// One SQLite file inside the run directory.
    #[default]
    File,
    /// A member of etcd in every region, its leader in the region of the fault: it is killed with that region.
    Etcd,
}

/// What goes wrong. Everything is done to real processes and real links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The whole region is gone at one moment: its node, its PostgreSQL servers, its processes.
    RegionLoss,
    /// Every PostgreSQL process of the region is killed; its node lives.
    DatabaseLoss,
    /// The region's node is killed; its databases and processes live on.
    NodeLoss,
    /// The region's processes (the app) are killed; node and databases live.
    AppLoss,
    /// The region is cut off from the others and from the client, with everything in it alive. Needs namespaces and etcd.
    Partition,
    /// The whole region stands still for the length of a lease and two seconds, then goes on as if nothing had been.
    Pause,
}

impl Fault {
    /// All of them, in the order in which they are listed to users.
    pub const ALL: [Self; 6] =
        [Self::RegionLoss, Self::DatabaseLoss, Self::NodeLoss, Self::AppLoss, Self::Pause, Self::Partition];

    /// As on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RegionLoss => "region-loss",
            Self::DatabaseLoss => "database-loss",
            Self::NodeLoss => "node-loss",
            Self::AppLoss => "app-loss",
            Self::Pause => "pause",
            Self::Partition => "partition",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no fault. Its text lists the words that are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a fault; expected one of {}", Fault::ALL.map(Fault::as_str).join(", "))]
pub struct UnknownFault {
    found: String,
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(word: &str) -> Result<Self, UnknownFault> {
        Self::ALL.into_iter().find(|fault| fault.as_str() == word).ok_or_else(|| UnknownFault { found: word.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_read_back_and_other_words_are_told_the_valid_ones() {
        for fault in Fault::ALL {
            assert_eq!(fault.as_str().parse(), Ok(fault));
        }
        assert_eq!(
            "meteor".parse::<Fault>().unwrap_err().to_string(),
            "`meteor` is not a fault; expected one of region-loss, database-loss, node-loss, app-loss, pause, partition"
        );
    }
}
