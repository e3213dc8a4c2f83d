//! `lifeboat roles`: the role files of generated code, brought up to what the nodes say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use lifeboat_iac::{Now, Options, Roles, Said};
use lifeboat_model::app::Component;
use lifeboat_model::{App, ComponentId, RegionId};

use crate::exit::Failure;
use crate::infra::{manifest_of, placed};
use crate::{ask, command, disk, file};

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
        let mut said_twice = words
            .writer
            .iter()
            .enumerate()
            .filter(|(index, (database, _))| words.writer.iter().take(*index).any(|(other, _)| other == database));
        if let Some((_, (database, _))) = said_twice.next() {
            return Err(Failure::Wrong(format!("lifeboat: --writer {database}=… is there twice: who writes it?")));
        }
        lifeboat_iac::generate(&app, &Options::default()).map_err(wrong)?;
        if !disk::is_directory(&words.out)? || role_files(&app, &words.out)?.is_empty() {
            return Err(Failure::Wrong(format!(
                "lifeboat: {}: no role file of {} is here: generate first, or name the directory with --out",
                words.out.display(),
                app.name
            )));
        }
        let mut now = if words.offline { Now::default() } else { told(words).await? };
        now.writers.extend(words.writer.iter().cloned());
        // From here on nobody else writes.
        let _lock = disk::lock(&words.out)?;
        let manifest = manifest_of(&words.out, &app)?;
        let files = role_files(&app, &words.out)?;
        let said = reading(&app, &words.out, &files)?;
        let before = said.roles.completed(&app).map_err(wrong)?;
        let (after, mut notes) = before.after(&app, &now).map_err(wrong)?;
        for disagreement in &said.disagreements {
            notes.push(format!("the role files disagreed: {disagreement}"));
        }
        for (database, writer) in &before.writers {
            // What every region writes has no writer that anybody would know.
            let moves = app.components.get(database).is_some_and(Component::has_one_writer);
            if moves && !now.writers.contains_key(database) {
                notes.push(format!(
                    "{database}: nobody says who writes it; left at {writer} (--writer {database}=REGION)"
                ));
            }
        }
        let options = Options { roles: after.clone(), ..Options::default() };
        let tree = lifeboat_iac::generate(&app, &options).map_err(wrong)?;
        // One that is missing where its tool's other files are was taken away; a tool that was not generated has none.
        let tools: BTreeSet<&str> = manifest.paths().filter_map(tool).collect();
        let is_outdated = |path: &str, content: &String| match files.get(path) {
            Some(found) => found != content,
            None => tool(path).is_some_and(|tool| tools.contains(tool)),
        };
        let mut changed = Vec::new();
        for path in &tree.kept {
            let content = &tree.files[path];
            if !is_outdated(path, content) {
                continue;
            }
            if !words.check {
                disk::write(&words.out.join(path), content, false)?;
            }
            if !files.contains_key(path) {
                notes.push(format!("{path} was missing"));
            }
            changed.push(path.clone());
        }
        for (path, id) in said.gone.iter().filter(|(path, _)| changed.contains(path)) {
            notes.push(format!("{id} is gone, and so is its role in {path}"));
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
pub fn in_tree(app: &App, out: &Path) -> Result<Said, Failure> {
    reading(app, out, &role_files(app, out)?)
}

fn reading(app: &App, out: &Path, files: &BTreeMap<String, String>) -> Result<Said, Failure> {
    Said::read(app, files).map_err(|why| Failure::Wrong(format!("lifeboat: {}", out.join(why).display())))
}

/// The role files that lie on disk.
fn role_files(app: &App, out: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let mut files = BTreeMap::new();
    for path in Said::paths(app) {
        if let Some(text) = disk::read(&out.join(&path))? {
            files.insert(path, text);
        }
    }
    Ok(files)
}

/// Whose file it is: `cloudformation` of `cloudformation/roles.json`, `terraform/aws` of what lies there.
fn tool(path: &str) -> Option<&str> {
    let (folder, rest) = path.split_once('/')?;
    match folder {
        "terraform" => rest.find('/').map(|end| &path[..folder.len() + 1 + end]),
        _ => Some(folder),
    }
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
        line(id, "serves in", before.serving.get(id).map(listed), listed(regions));
    }
    lines
}

/// Regions, for people.
pub fn listed(regions: &BTreeSet<RegionId>) -> String {
    regions.iter().map(RegionId::as_str).collect::<Vec<_>>().join(", ")
}
