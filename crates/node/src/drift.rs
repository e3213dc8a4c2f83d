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
/// The longest text of a difference, in bytes: a parameter's value, seldom. Every look at the status repeats them.
const LONGEST: usize = 1_000;

/// The newest report, and its file.
#[derive(Debug)]
pub struct Told {
    path: PathBuf,
    newest: Mutex<Option<Drift>>,
    /// One writes at a time. Whoever looks does not wait for the disk.
    writing: Mutex<()>,
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
        Self { path, newest: Mutex::new(newest), writing: Mutex::default() }
    }

    /// Takes a report in place of the last one.
    ///
    /// # Errors
    /// A report about what the app has not, that is too long or is no plain text; a file that cannot be written.
    pub fn take(&self, app: &App, report: Drift) -> Result<(), String> {
        plain("who tells", &report.by)?;
        if report.differences.len() > MOST {
            return Err(format!("{} differences are more than the {MOST} that are kept", report.differences.len()));
        }
        for difference in &report.differences {
            if !app.components.contains_key(&difference.component) || !app.regions.contains_key(&difference.region) {
                return Err(format!("this app has no {} in {}", difference.component, difference.region));
            }
            let Difference { component, region, what, expected, found, like } = difference;
            if let Some(like) = like.as_ref().filter(|like| !app.regions.contains_key(*like)) {
                return Err(format!("this app has no region {like}"));
            }
            for text in [Some(what), Some(expected), found.as_ref()].into_iter().flatten() {
                plain(&format!("a difference of {component} in {region}"), text)?;
            }
        }
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
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

/// It is printed on terminals as it is.
fn plain(of: &str, text: &str) -> Result<(), String> {
    if text.len() > LONGEST {
        return Err(format!("{of} has a text of {} bytes; at most {LONGEST} are kept", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("{of} has a text with control characters: expected one plain line"));
    }
    Ok(())
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

    /// Two that tell at the same moment leave one of the two reports, whole.
    #[test]
    fn reports_do_not_mix() {
        let directory = tempfile::tempdir().expect("a directory");
        let (told, app) = (Told::open(directory.path()), app());
        std::thread::scope(|scope| {
            for count in [1, 900] {
                let (told, app) = (&told, &app);
                scope.spawn(move || {
                    for _ in 0..20 {
                        told.take(app, report(vec![difference("web", "b"); count])).expect("taken");
                        let kept = Told::open(told.path.parent().expect("a directory"));
                        assert!(kept.newest.lock().expect("unpoisoned").is_some(), "half a file");
                    }
                });
            }
        });
        let kept = Told::open(directory.path()).newest.into_inner().expect("unpoisoned");
        assert_eq!(kept, told.newest.into_inner().expect("unpoisoned"));
    }

    #[test]
    fn what_is_of_no_use_is_refused_and_what_cannot_be_read_is_passed_over() {
        let directory = tempfile::tempdir().expect("a directory");
        let told = Told::open(directory.path());
        assert!(told.take(&app(), report(vec![difference("web", "c")])).is_err());
        assert!(told.take(&app(), report(vec![difference("web", "b"); MOST + 1])).is_err());
        let with = |text: &str| vec![Difference { found: Some(text.to_owned()), ..difference("web", "b") }];
        for text in ["x".repeat(LONGEST + 1), "\u{1b}[2J".into(), "two\nlines".into()] {
            assert!(told.take(&app(), report(with(&text))).is_err(), "{text:?}");
            assert!(told.take(&app(), Drift { by: text, ..report(vec![]) }).is_err());
        }
        let like = Difference { like: Some("c".into()), ..difference("web", "b") };
        assert!(told.take(&app(), report(vec![like])).is_err());
        assert!(!directory.path().join("drift.json").exists());
        fs::write(directory.path().join("drift.json"), "{").expect("written");
        assert_eq!(*Told::open(directory.path()).newest.lock().expect("unpoisoned"), None);
    }
}
