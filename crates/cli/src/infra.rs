//! `lifeboat generate` and `lifeboat diff`: infrastructure as code from the file, never over a hand edit by accident.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;

use lifeboat_iac::{Difference, DifferenceKind, MANIFEST, Manifest, Options, Said, Seen, Target, Tree, check};
use lifeboat_model::{App, Places, RegionId};

use crate::command::{Diff, Generate};
use crate::exit::Failure;
use crate::{ask, disk, file, roles};

/// Of so many problems each is shown in the file; nobody reads more, and each takes a look through the whole file.
const MOST_SHOWN: usize = 100;

/// `lifeboat generate`
pub fn generate(generate: &Generate) -> Result<ExitCode, Failure> {
    let out = &generate.out;
    let planned = plan(generate)?;
    if generate.check {
        let compared = compare(generate, planned)?;
        show(out, &compared);
        return Ok(if compared.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if !disk::is_directory(out)? {
        std::fs::create_dir_all(out).map_err(|error| disk::failed(out, &error))?;
    }
    let lock = disk::lock(out)?;
    let compared = compare(generate, planned)?;
    disk::clear(&lock, out, compared.tree.files.keys().map(String::as_str).chain(compared.before.paths()));
    let differences = &compared.differences;
    if !generate.overwrite && differences.iter().any(|difference| difference.kind.loses_an_edit()) {
        show(out, &compared);
        return Err(Failure::Failed(
            "nothing was written: it would lose what was edited by hand (--overwrite writes all the same)".into(),
        ));
    }
    write(out, &compared)?;
    for difference in differences {
        println!("{:<24} {}", difference.kind.as_written(), difference.path);
    }
    compared.roles.iter().for_each(|line| println!("{line}"));
    println!("{}: {} files; {}", out.display(), compared.tree.files.len(), in_all(differences));
    Ok(ExitCode::SUCCESS)
}

/// Whatever keeps this from its end, the next run tells a hand edit from what was written here, by a manifest that has the hashes of
/// before and after until everything is in its place.
fn write(out: &Path, compared: &Compared) -> Result<(), Failure> {
    let Compared { tree, existing, before, differences, .. } = compared;
    let manifest = &tree.files[MANIFEST];
    if differences.is_empty() && existing.get(MANIFEST) == Some(manifest) {
        return Ok(());
    }
    let after = Manifest::read(manifest).map_err(Failure::Failed)?;
    disk::write(&out.join(MANIFEST), &before.with(&after).to_string(), false)?;
    for Difference { path, kind } in differences {
        match kind {
            DifferenceKind::Missing
            | DifferenceKind::Outdated
            | DifferenceKind::Edited
            | DifferenceKind::Incomplete => disk::write(&out.join(path), &tree.files[path], Tree::is_program(path))?,
            DifferenceKind::NotRunnable => disk::let_run(&out.join(path))?,
            DifferenceKind::Obsolete | DifferenceKind::ObsoleteEdited => disk::remove(out, path)?,
        }
    }
    disk::write(&out.join(MANIFEST), manifest, false)
}

/// What would be generated, what lies there, and how they differ.
struct Compared {
    tree: Tree,
    existing: BTreeMap<String, String>,
    before: Manifest,
    differences: Vec<Difference>,
    /// What becomes of the roles of components that are new or gone.
    roles: Vec<String>,
}

/// What is to be generated, by the roles that the role files say.
struct Planned {
    app: App,
    text: String,
    options: Options,
    said: Said,
    tree: Tree,
}

fn plan(generate: &Generate) -> Result<Planned, Failure> {
    let (app, text) = file::read_with_text(&generate.file)?;
    let mut options = options(generate)?;
    disk::is_directory(&generate.out)?;
    own_manifest(generate, &app)?;
    let said = roles::in_tree(&app, &generate.out)?;
    options.roles = said.roles.clone();
    let tree = tree(generate, &app, &text, &options)?;
    Ok(Planned { app, text, options, said, tree })
}

fn tree(generate: &Generate, app: &App, text: &str, options: &Options) -> Result<Tree, Failure> {
    lifeboat_iac::generate(app, options)
        .map_err(|problems| Failure::Wrong(file::render(&generate.file, text, &placed(text, &problems))))
}

/// Compares; what the user should know besides goes to standard error.
fn compare(generate: &Generate, planned: Planned) -> Result<Compared, Failure> {
    let out = &generate.out;
    let Planned { app, text, mut options, mut said, mut tree } = planned;
    let before = own_manifest(generate, &app)?;
    // Somebody else may have written them until now.
    let now_said = roles::in_tree(&app, out)?;
    if now_said != said {
        options.roles = now_said.roles.clone();
        tree = self::tree(generate, &app, &text, &options)?;
        said = now_said;
    }
    if !said.disagreements.is_empty() {
        return Err(Failure::Failed(format!(
            "{}: the role files disagree: {}\n  `lifeboat roles` brings all of them up to what is",
            out.display(),
            said.disagreements.join("; ")
        )));
    }
    if !tree.warnings.is_empty() {
        eprintln!("{}\n", file::render_warnings(&generate.file, &text, &placed(&text, &tree.warnings)));
    }
    let existing = existing(out, &tree, &before)?;
    let mut differences = check(&tree, &before, &existing);
    let differs: BTreeSet<&str> = differences.iter().map(|difference| difference.path.as_str()).collect();
    let not_runnable: Vec<Difference> = existing
        .keys()
        .filter(|path| tree.files.contains_key(*path) && !differs.contains(path.as_str()))
        .filter(|path| Tree::is_program(path) && !disk::may_run(&out.join(path)))
        .map(|path| Difference { path: path.clone(), kind: DifferenceKind::NotRunnable })
        .collect();
    differences.extend(not_runnable);
    for path in strangers(out, &tree, &before) {
        eprintln!("lifeboat: {}: not generated, and Terraform takes it with the rest", out.join(path).display());
    }
    let roles = changed_roles(&app, &said, &differences)?;
    Ok(Compared { tree, existing, before, differences, roles })
}

/// A manifest that is not this app's.
enum Other {
    App(Manifest, String),
    Garbage(String),
    Unreadable(Failure),
}

/// What a directory's manifest says, unless it is another app's.
fn manifest(out: &Path, app: &App) -> Result<Manifest, Other> {
    let path = out.join(MANIFEST);
    let Some(text) = disk::read(&path).map_err(Other::Unreadable)? else { return Ok(Manifest::default()) };
    let manifest = Manifest::read(&text).map_err(|why| {
        let advice = "restore it, or remove it: what differs passes for edited then";
        Other::Garbage(format!("lifeboat: {}: {why}\n  {advice}", path.display()))
    })?;
    match &manifest.app {
        Some(other) if *other != app.name => {
            let why = format!("lifeboat: {}: generated for the app `{other}`, not for `{}`", out.display(), app.name);
            Err(Other::App(manifest, format!("{why}\n  name another directory with --out")))
        }
        Some(_) | None => Ok(manifest),
    }
}

/// The manifest of a directory that is generated into: another app's only if that is wanted.
fn own_manifest(generate: &Generate, app: &App) -> Result<Manifest, Failure> {
    match manifest(&generate.out, app) {
        Ok(before) => Ok(before),
        Err(Other::App(before, _)) if generate.overwrite => Ok(before),
        Err(Other::Garbage(_)) if generate.overwrite => Ok(Manifest::default()),
        Err(Other::App(_, why) | Other::Garbage(why)) => {
            Err(Failure::Wrong(format!("{why}\n  --overwrite generates all the same; role files are kept")))
        }
        Err(Other::Unreadable(failure)) => Err(failure),
    }
}

/// The manifest of a directory that nothing is generated into; another app's is refused.
pub fn manifest_of(out: &Path, app: &App) -> Result<Manifest, Failure> {
    manifest(out, app).map_err(|other| match other {
        Other::App(_, why) | Other::Garbage(why) => Failure::Wrong(why),
        Other::Unreadable(failure) => failure,
    })
}

/// Files that Terraform reads with the generated ones, and of which nothing is known here: left behind, or somebody's own.
fn strangers(out: &Path, tree: &Tree, before: &Manifest) -> Vec<String> {
    let is_code = |name: &str| name.ends_with(".tf") || name.ends_with(".tf.json");
    let folders: BTreeSet<&str> =
        tree.files.keys().filter(|path| is_code(path)).filter_map(|path| Some(path.rsplit_once('/')?.0)).collect();
    let known: BTreeSet<&str> = tree.files.keys().map(String::as_str).chain(before.paths()).collect();
    let mut found = Vec::new();
    for folder in folders {
        let entries = std::fs::read_dir(out.join(folder)).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| is_code(name));
        found.extend(names.map(|name| format!("{folder}/{name}")).filter(|path| !known.contains(path.as_str())));
    }
    found.sort();
    found
}

/// What is done about components of which the role files do not know, or which only they know.
fn changed_roles(app: &App, said: &Said, differences: &[Difference]) -> Result<Vec<String>, Failure> {
    if !differences.iter().any(|difference| difference.kind == DifferenceKind::Incomplete) {
        return Ok(Vec::new());
    }
    let completed = said
        .roles
        .completed(app)
        .map_err(|problems| Failure::Wrong(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
    let added = completed.serving.iter().filter(|(id, _)| !said.roles.serving.contains_key(*id));
    let mut lines: Vec<String> = added
        .map(|(id, regions)| format!("  {id} is new in the role files: serves in {}", roles::listed(regions)))
        .collect();
    let gone = said.gone.iter().map(|(path, id)| format!("  {id} is gone, and so is its role in {path}"));
    lines.extend(gone);
    Ok(lines)
}

/// Counts of what was written.
fn in_all(differences: &[Difference]) -> String {
    let of = |kinds: &[DifferenceKind]| differences.iter().filter(|found| kinds.contains(&found.kind)).count();
    let new = of(&[DifferenceKind::Missing]);
    let removed = of(&[DifferenceKind::Obsolete, DifferenceKind::ObsoleteEdited]);
    match differences.len() - new - removed {
        0 if new + removed == 0 => "nothing changed".to_owned(),
        changed => format!("{new} new, {changed} changed, {removed} removed"),
    }
}

fn show(out: &Path, compared: &Compared) {
    for difference in &compared.differences {
        println!("{:<36} {}", difference.kind.as_str(), difference.path);
    }
    compared.roles.iter().for_each(|line| println!("{line}"));
    if compared.differences.is_empty() {
        println!("{} is as it would be generated", out.display());
    }
}

/// The same problems with their places in the file.
pub fn placed(text: &str, problems: &[lifeboat_iac::Problem]) -> Vec<lifeboat_model::Problem> {
    let places = Places::of(text);
    let mut shown: Vec<lifeboat_model::Problem> = problems
        .iter()
        .take(MOST_SHOWN)
        .map(|found| places.problem(&found.field, &found.message, &found.advice))
        .collect();
    if problems.len() > MOST_SHOWN {
        let message = format!("{} more are not listed", problems.len() - MOST_SHOWN);
        shown.push(places.problem("", message, "those above to be put right first"));
    }
    shown
}

/// `lifeboat diff`: the code with what would be generated, and the regions as they were seen with the file and with each other.
pub async fn diff(diff: &Diff) -> Result<ExitCode, Failure> {
    // Without a tree there is nothing to compare but the regions.
    let has_tree = diff.observed.is_empty() || diff.generate.out.exists();
    let compared = if has_tree { Some(compare(&diff.generate, plan(&diff.generate)?)?) } else { None };
    if let Some(compared) = compared.as_ref().filter(|_| !diff.asked.json) {
        show(&diff.generate.out, compared);
    }
    let code = compared.map_or_else(Vec::new, |compared| compared.differences);
    let regions = if diff.observed.is_empty() { Vec::new() } else { drift(diff).await? };
    if diff.asked.json {
        let code: Vec<_> = code
            .iter()
            .map(|difference| serde_json::json!({ "path": difference.path, "what": difference.kind.as_str() }))
            .collect();
        let json = serde_json::json!({ "code": code, "regions": regions });
        println!("{}", serde_json::to_string_pretty(&json).map_err(|error| Failure::Failed(error.to_string()))?);
    }
    Ok(if code.is_empty() && regions.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How the regions differ; said, and told to the nodes where that was asked for.
async fn drift(diff: &Diff) -> Result<Vec<lifeboat_model::status::Difference>, Failure> {
    let (app, text) = file::read_with_text(&diff.generate.file)?;
    let wrong = |path: &Path, why: String| Failure::Wrong(format!("lifeboat: {}: {why}", path.display()));
    let roles = crate::roles::in_tree(&app, &diff.generate.out)?.roles;
    let mut seen = Seen { serving: roles.serving, writers: roles.writers, ..Seen::default() };
    for observed in &diff.observed {
        let path = &observed.path;
        let text = file::text(path)?;
        seen.add(lifeboat_iac::observe(&app, observed.region.as_ref(), &text).map_err(|why| wrong(path, why))?);
    }
    let differences = lifeboat_iac::drift(&app, &seen)
        .map_err(|problems| Failure::Wrong(file::render(&diff.generate.file, &text, &placed(&text, &problems))))?;
    if !diff.asked.json {
        differences.iter().for_each(|difference| println!("{difference}"));
        let places: usize = seen.observations.values().map(BTreeMap::len).sum();
        println!(
            "{} in what was seen of {} components in {places} places",
            counted(differences.len()),
            seen.observations.len()
        );
    }
    if diff.report {
        let told = ask::report(&diff.generate.file, &diff.asked, &differences).await?;
        if !diff.asked.json {
            println!("told the nodes of {}", told.iter().map(RegionId::as_str).collect::<Vec<_>>().join(", "));
        }
    }
    Ok(differences)
}

fn counted(differences: usize) -> String {
    match differences {
        0 => "no difference".into(),
        1 => "1 difference".into(),
        many => format!("{many} differences"),
    }
}

fn options(generate: &Generate) -> Result<Options, Failure> {
    let mut options = Options::default();
    if !generate.target.is_empty() {
        options.targets = generate
            .target
            .iter()
            .map(|word| {
                Target::ALL.into_iter().find(|target| target.as_str() == word).ok_or_else(|| {
                    Failure::Wrong(format!(
                        "lifeboat: `{word}` is no target; there are {}",
                        Target::ALL.map(Target::as_str).join(", ")
                    ))
                })
            })
            .collect::<Result<_, _>>()?;
    }
    if let Some(repository) = &generate.repository {
        options.repository.clone_from(repository);
    }
    if let Some(image) = &generate.image {
        options.image.clone_from(image);
    }
    if let Some(image) = &generate.etcd_image {
        options.etcd_image.clone_from(image);
    }
    Ok(options)
}

/// What lies on disk of what is generated, or was generated before.
fn existing(out: &Path, tree: &Tree, before: &Manifest) -> Result<BTreeMap<String, String>, Failure> {
    let mut existing = BTreeMap::new();
    for path in tree.files.keys().map(String::as_str).chain(before.paths()) {
        if let Some(content) = disk::read(&out.join(path))? {
            existing.insert(path.to_owned(), content);
        }
    }
    Ok(existing)
}
