//! What this region's steps have taken, in a file of the node's own: long, of use for expectations, and no loss when it is lost.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lifeboat_model::ComponentId;
use lifeboat_model::database::Action;
use lifeboat_plan::{Durations, StepKind};
use serde::{Deserialize, Serialize};

use crate::complaint::Complaint;

/// A file that has become so long, in bytes, is set aside in place of the one that was set aside before.
const LONGEST: u64 = 1 << 20;

/// One step that was carried out: a line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    /// Milliseconds since 1970 UTC, for people.
    unix_ms: u64,
    step: StepKind,
    took_ms: u64,
}

/// The file, and what it says.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    durations: Mutex<Durations>,
    complaint: Complaint,
}

impl History {
    /// Reads what there is in a region's directory. What cannot be read is passed over: it is no loss.
    pub fn open(directory: &Path) -> Self {
        let path = directory.join("history.jsonl");
        let mut durations = Durations::default();
        for file in [set_aside(&path), path.clone()] {
            let Ok(file) = File::open(file) else { continue };
            let lines = BufReader::new(file).lines().map_while(Result::ok);
            for line in lines.filter_map(|line| serde_json::from_str::<Line>(&line).ok()) {
                durations.record(&line.step, Duration::from_millis(line.took_ms));
            }
        }
        Self { path, durations: Mutex::new(durations), complaint: Complaint::default() }
    }

    /// An order was carried out, and took so long.
    pub fn order_done(&self, component: &ComponentId, action: &Action, took: Duration) {
        let component = component.clone();
        let step = match action {
            Action::Checkpoint => StepKind::Checkpoint(component),
            Action::Stop { clean: true } => StepKind::Drain(component),
            Action::Detach => StepKind::Detach(component),
            Action::Promote => StepKind::Promote(component),
            Action::Follow { .. } | Action::Seed { .. } => StepKind::Follow(component),
            Action::Create { .. } | Action::Start | Action::Stop { clean: false } | Action::SetGate { .. } => return,
        };
        self.durations.lock().unwrap_or_else(PoisonError::into_inner).record(&step, took);
        match self.write(step, took) {
            Ok(()) => self.complaint.is_settled(),
            Err(error) => self.complaint.warn(&format!("{}: {error}", self.path.display())),
        }
    }

    /// What to expect of steps.
    pub fn durations(&self) -> Durations {
        self.durations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self, step: StepKind, took: Duration) -> io::Result<()> {
        if fs::metadata(&self.path).is_ok_and(|file| file.len() >= LONGEST) {
            fs::rename(&self.path, set_aside(&self.path))?;
        }
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let mut line = serde_json::to_vec(&Line { unix_ms: crate::clock::now().unix_ms, step, took_ms })?;
        line.push(b'\n');
        OpenOptions::new().create(true).append(true).open(&self.path)?.write_all(&line)
    }
}

fn set_aside(path: &Path) -> PathBuf {
    path.with_extension("jsonl.1")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn what_steps_took_is_expected_after_a_restart_and_what_is_spoilt_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let orders = ComponentId::from("orders");
        let promote = StepKind::Promote(orders.clone());
        let first = History::open(directory.path());
        assert!(first.durations().expect(&promote).source.starts_with("default"));
        for ms in [50, 70, 60] {
            first.order_done(&orders, &Action::Promote, Duration::from_millis(ms));
        }
        first.order_done(&orders, &Action::Start, Duration::from_secs(9));
        let path = directory.path().join("history.jsonl");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"half a li").unwrap();
        let again = History::open(directory.path()).durations().expect(&promote);
        assert_eq!((again.typical, again.source.as_str()), (Duration::from_millis(60), "median of 3 measured"));
    }

    #[test]
    fn the_file_stays_bounded_and_its_predecessor_is_still_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.jsonl");
        let history = History::open(directory.path());
        history.order_done(&"orders".into(), &Action::Detach, Duration::from_millis(7));
        let file = OpenOptions::new().append(true).open(&path).unwrap();
        file.set_len(LONGEST).unwrap();
        history.order_done(&"orders".into(), &Action::Promote, Duration::from_millis(8));
        assert!(fs::metadata(&path).unwrap().len() < 1000);
        let durations = History::open(directory.path()).durations();
        for step in [StepKind::Detach("orders".into()), StepKind::Promote("orders".into())] {
            assert_eq!(durations.expect(&step).source, "median of 1 measured");
        }
    }
}
