//! What this node was told of how the regions differ: kept in a file of its own, shown beside readiness, and decided upon by nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use lifeboat_model::status::{Difference, Drift, Status};
use lifeboat_model::{App, ComponentId, RegionId};

/// More than anybody reads, and more than a whole region that differs in everything.
const MOST: usize = 2_000;

/// The newest report, and its file.
#[derive(Debug)]
pub struct Told {
    path: PathBuf,
    newest: Mutex<Option<Drift>>,
}

impl Told {
    /// Reads what there is in a region's directory. What cannot be read counts as never told: the next report puts it right.
    pub fn open(directory: &Path) -> Self {
        let path = directory.join("drift.json");
        let newest = fs::read(&path).ok().and_then(|text| {
            serde_json::from_slice(&text)
                .inspect_err(|error| tracing::warn!("{} is passed over: {error}", path.display()))
                .ok()
        });
        Self { path, newest: Mutex::new(newest) }
    }

    /// Takes a report in place of the last one.
    ///
    /// # Errors
    /// A report about what the app has not, or that is too long; a file that cannot be written.
    pub fn take(&self, app: &App, report: Drift) -> Result<(), String> {
        if report.differences.len() > MOST {
            return Err(format!("{} differences are more than the {MOST} that are kept", report.differences.len()));
        }
        for difference in &report.differences {
            if !app.components.contains_key(&difference.component) || !app.regions.contains_key(&difference.region) {
                return Err(format!("this app has no {} in {}", difference.component, difference.region));
            }
        }
        self.write(&report).map_err(|error| format!("{}: {error}", self.path.display()))?;
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
        Ok(())
    }

    /// Aside first, then into place: a node that stops between leaves a whole file.
    fn write(&self, report: &Drift) -> io::Result<()> {
        let aside = self.path.with_extension("json.new");
        let mut file = fs::File::create(&aside)?;
        file.write_all(&serde_json::to_vec(report)?)?;
        file.sync_all()?;
        fs::rename(aside, &self.path)
    }

    /// Puts what was told beside readiness: for each database what differs where it could be failed over to, in the database itself or
    /// in what needs it.
    pub fn show(&self, app: &App, status: &mut Status) {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(drift) = newest else { return };
        for (id, database) in &mut status.databases {
            database.drift = of_database(app, id, &drift.differences);
        }
        status.drift = Some(drift);
    }
}

fn of_database(app: &App, database: &ComponentId, all: &[Difference]) -> BTreeMap<RegionId, Vec<Difference>> {
    let concerned: BTreeSet<&ComponentId> =
        app.components.keys().filter(|id| app.databases_behind(id).contains(database)).collect();
    let mut found: BTreeMap<RegionId, Vec<Difference>> = BTreeMap::new();
    for difference in all.iter().filter(|difference| concerned.contains(&difference.component)) {
        found.entry(difference.region.clone()).or_default().push(difference.clone());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> App {
        lifeboat_model::parse(
            "app: shop\nregions:\n  a: {place: local/a, address: 127.0.0.2}\n  b: {place: local/b, address: 127.0.0.3}\ncomponents:\n  \
             orders: {kind: postgres, writer: a, standbys: {b: synchronous}}\n  web: {kind: process, run: sleep 1, needs: [orders]}\n  \
             mail: {kind: process, run: sleep 1}\nfailover: {mode: approve}\n",
        )
        .expect("an app")
    }

    fn difference(component: &str, region: &str) -> Difference {
        Difference {
            component: component.into(),
            region: region.into(),
            what: "image".into(),
            expected: "1".into(),
            found: Some("2".into()),
            like: None,
        }
    }

    fn report(differences: Vec<Difference>) -> Drift {
        Drift { unix_ms: 1, by: "alice".into(), differences }
    }

    #[test]
    fn a_report_survives_the_node_and_is_replaced_by_the_next() {
        let directory = tempfile::tempdir().expect("a directory");
        let told = Told::open(directory.path());
        told.take(&app(), report(vec![difference("web", "b"), difference("mail", "b")])).expect("taken");
        let again = Told::open(directory.path());
        assert_eq!(
            *again.newest.lock().expect("unpoisoned"),
            Some(report(vec![difference("web", "b"), difference("mail", "b")]))
        );
        let of_orders = of_database(
            &app(),
            &"orders".into(),
            &report(vec![difference("web", "b"), difference("mail", "b")]).differences,
        );
        assert_eq!(of_orders, BTreeMap::from([("b".into(), vec![difference("web", "b")])]), "mail does not need it");
        again.take(&app(), report(vec![])).expect("taken");
        assert_eq!(*Told::open(directory.path()).newest.lock().expect("unpoisoned"), Some(report(vec![])));
    }

    #[test]
    fn what_is_of_no_use_is_refused_and_what_cannot_be_read_is_passed_over() {
        let directory = tempfile::tempdir().expect("a directory");
        let told = Told::open(directory.path());
        assert!(told.take(&app(), report(vec![difference("web", "c")])).is_err());
        assert!(told.take(&app(), report(vec![difference("web", "b"); MOST + 1])).is_err());
        assert!(!directory.path().join("drift.json").exists());
        fs::write(directory.path().join("drift.json"), "{").expect("written");
        assert_eq!(*Told::open(directory.path()).newest.lock().expect("unpoisoned"), None);
    }
}
