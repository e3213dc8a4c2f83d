//! `lifeboat roles`: the role files of generated code, brought up to what the nodes say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use lifeboat_iac::{Now, Options, Roles, Tree};
use lifeboat_model::{App, ComponentId, RegionId};

use crate::exit::Failure;
use crate::infra::{placed, read, write};
use crate::{ask, command, file};

/// From one question of `--follow` to the next.
const AGAIN: Duration = Duration::from_secs(2);

/// `lifeboat roles`: 0 where every role file is true now, 1 where `--check` found one that is not. With `--follow` it stays: what
/// cannot be done now, because no node answers or a file is being edited, is said once and tried again.
pub async fn roles(words: &command::Roles) -> Result<ExitCode, Failure> {
    if words.follow {
        return follow(words).await;
    }
    let round = Round::made(words).await?;
    round.notes.iter().for_each(|note| eprintln!("lifeboat: {note}"));
    if words.asked.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&round.json()).map_err(|error| Failure::Failed(error.to_string()))?
        );
    } else {
        round.show(words);
        if round.changed.is_empty() {
            println!("the role files in {} are true", words.out.display());
        }
    }
    Ok(if words.check && !round.changed.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn follow(words: &command::Roles) -> Result<ExitCode, Failure> {
    let mut told = Vec::new();
    loop {
        let now_told = match Round::made(words).await {
            Ok(round) => {
                if words.asked.json && !round.changed.is_empty() {
                    println!("{}", round.json());
                } else if !words.asked.json {
                    round.show(words);
                }
                round.notes.iter().map(|note| format!("lifeboat: {note}")).collect()
            }
            Err(failure) => vec![failure.text()],
        };
        if now_told != told {
            now_told.iter().for_each(|line| eprintln!("{line}"));
            if now_told.is_empty() {
                eprintln!("lifeboat: the role files in {} follow the nodes again", words.out.display());
            }
            told = now_told;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// One comparison of the role files with the world.
struct Round {
    before: Roles,
    after: Roles,
    /// What the user should know besides.
    notes: Vec<String>,
    /// The files that were not true; they are now, unless `--check` kept them.
    changed: Vec<String>,
}

impl Round {
    async fn made(words: &command::Roles) -> Result<Self, Failure> {
        let (app, text) = file::read_with_text(&words.file)?;
        let wrong = |problems: Vec<lifeboat_iac::Problem>| {
            Failure::Wrong(file::render(&words.file, &text, &placed(&text, &problems)))
        };
        let tree = lifeboat_iac::generate(&app, &Options::default()).map_err(wrong)?;
        let files = role_files(&tree, &words.out)?;
        if files.is_empty() {
            return Err(Failure::Wrong(format!(
                "lifeboat: {}: no role file of {} is here: generate first, or name the directory with --out",
                words.out.display(),
                app.name
            )));
        }
        let before = reading(&app, &words.out, &files)?;
        let mut now = if words.offline { Now::default() } else { told(words).await? };
        now.writers.extend(words.writer.iter().cloned());
        let (after, mut notes) = before.after(&app, &now).map_err(wrong)?;
        for (database, writer) in &before.writers {
            if !now.writers.contains_key(database) {
                notes.push(format!(
                    "{database}: nobody says who writes it; left at {writer} (--writer {database}=REGION)"
                ));
            }
        }
        let options = Options { roles: after.clone(), ..Options::default() };
        let tree = lifeboat_iac::generate(&app, &options).map_err(wrong)?;
        let outdated =
            tree.files.iter().filter(|(path, content)| files.get(*path).is_some_and(|found| found != *content));
        let mut changed = Vec::new();
        for (path, content) in outdated {
            if !words.check {
                write(&words.out.join(path), content)?;
            }
            changed.push(path.clone());
        }
        Ok(Self { before, after, notes, changed })
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({ "roles": self.after, "changed": self.changed })
    }

    fn show(&self, words: &command::Roles) {
        changes(&self.before, &self.after).iter().for_each(|line| println!("{line}"));
        self.changed.iter().for_each(|path| println!("{} {path}", if words.check { "not true:" } else { "written:" }));
    }
}

/// What the role files of a tree on disk say, as far as there are any.
pub fn in_tree(app: &App, out: &Path) -> Result<Roles, Failure> {
    match lifeboat_iac::generate(app, &Options::default()) {
        Ok(tree) => reading(app, out, &role_files(&tree, out)?),
        Err(_) => Ok(Roles::default()),
    }
}

fn reading(app: &App, out: &Path, files: &BTreeMap<String, String>) -> Result<Roles, Failure> {
    Roles::read(app, files).map_err(|why| Failure::Wrong(format!("lifeboat: {}: {why}", out.display())))
}

/// The role files that lie on disk.
fn role_files(tree: &Tree, out: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let mut files = BTreeMap::new();
    for path in &tree.kept {
        if let Some(text) = read(&out.join(path))? {
            files.insert(path.clone(), text);
        }
    }
    Ok(files)
}

/// What the nodes say.
async fn told(words: &command::Roles) -> Result<Now, Failure> {
    let advice = "\n  say who writes now with --writer DATABASE=REGION and --offline";
    match ask::seen(&words.file, &words.asked).await {
        Ok(status) if status.store_reachable => Ok(Now::of(&status)),
        // A node without the store knows what was, and not what the others have decided since.
        Ok(status) => Err(Failure::Unreachable(format!(
            "the node of {} does not reach the state store: what it knows may be old\n  ask another with --region, or {}",
            status.region,
            advice.trim_start()
        ))),
        Err(Failure::Unreachable(why)) => Err(Failure::Unreachable(why + advice)),
        Err(other) => Err(other),
    }
}

/// What is different, a line each.
fn changes(before: &Roles, after: &Roles) -> Vec<String> {
    let names = |regions: &BTreeSet<RegionId>| regions.iter().map(RegionId::as_str).collect::<Vec<_>>().join(", ");
    let mut lines = Vec::new();
    let mut line = |id: &ComponentId, verb: &str, was: Option<String>, is: String| {
        if let Some(was) = was.filter(|was| *was != is) {
            lines.push(format!("{id} {verb} {is}, was {was}"));
        }
    };
    for (id, region) in &after.writers {
        let was = before.writers.get(id).map(ToString::to_string);
        line(id, "is written in", was, region.to_string());
    }
    for (id, regions) in &after.serving {
        line(id, "serves in", before.serving.get(id).map(names), names(regions));
    }
    lines
}
