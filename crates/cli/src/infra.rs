//! `lifeboat generate` and `lifeboat diff`: infrastructure as code from the file, never over a hand edit by accident.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use lifeboat_iac::{Difference, DifferenceKind, MANIFEST, Options, Seen, Target, Tree, check, manifest_paths};
use lifeboat_model::{Places, RegionId};

use crate::command::{Diff, Generate};
use crate::exit::Failure;
use crate::{ask, file};

/// `lifeboat generate`
pub fn generate(generate: &Generate) -> Result<ExitCode, Failure> {
    let Compared { tree, existing, differences } = compare(generate)?;
    if generate.check {
        show(&generate.out, &differences);
        return Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if !generate.overwrite && differences.iter().any(|difference| difference.kind.loses_an_edit()) {
        show(&generate.out, &differences);
        return Err(Failure::Failed(
            "nothing was written: it would lose what was edited by hand (--overwrite writes all the same)".into(),
        ));
    }
    // The manifest last: whatever keeps this from its end, the next run can still tell a hand edit from what was written here.
    let (manifest, others): (Vec<_>, Vec<_>) = tree.files.iter().partition(|(path, _)| *path == MANIFEST);
    for (path, content) in others.into_iter().chain(manifest) {
        if tree.kept.contains(path) && existing.contains_key(path) || existing.get(path) == Some(content) {
            continue;
        }
        write(&generate.out.join(path), content)?;
    }
    for difference in &differences {
        if matches!(difference.kind, DifferenceKind::Obsolete | DifferenceKind::ObsoleteEdited) {
            remove(&generate.out, &difference.path)?;
        }
    }
    for difference in &differences {
        println!("{:<24} {}", difference.kind.as_written(), difference.path);
    }
    println!("{}: {} files; {}", generate.out.display(), tree.files.len(), in_all(&differences));
    Ok(ExitCode::SUCCESS)
}

/// What would be generated, what lies there, and how they differ.
struct Compared {
    tree: Tree,
    existing: BTreeMap<String, String>,
    differences: Vec<Difference>,
}

/// Compares; what the user should know besides goes to standard error.
fn compare(generate: &Generate) -> Result<Compared, Failure> {
    let (app, text) = file::read_with_text(&generate.file)?;
    let tree = lifeboat_iac::generate(&app, &options(generate)?)
        .map_err(|problems| Failure::Wrong(file::render(&generate.file, &text, &placed(&text, &problems))))?;
    if !tree.warnings.is_empty() {
        eprintln!("{}\n", file::render_warnings(&generate.file, &text, &placed(&text, &tree.warnings)));
    }
    let existing = existing(&generate.out, &tree)?;
    let differences = check(&tree, &existing);
    Ok(Compared { tree, existing, differences })
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

fn show(out: &Path, differences: &[Difference]) {
    for difference in differences {
        println!("{:<36} {}", difference.kind.as_str(), difference.path);
    }
    if differences.is_empty() {
        println!("{} is as it would be generated", out.display());
    }
}

/// The same problems with their places in the file.
pub fn placed(text: &str, problems: &[lifeboat_iac::Problem]) -> Vec<lifeboat_model::Problem> {
    let places = Places::of(text);
    problems.iter().map(|found| places.problem(&found.field, &found.message, &found.advice)).collect()
}

/// `lifeboat diff`: the code with what would be generated, and the regions as they were seen with the file and with each other.
pub async fn diff(diff: &Diff) -> Result<ExitCode, Failure> {
    // Without a tree there is nothing to compare but the regions.
    let has_tree = diff.observed.is_empty() || diff.generate.out.exists();
    let code = if has_tree { compare(&diff.generate)?.differences } else { Vec::new() };
    if has_tree && !diff.asked.json {
        show(&diff.generate.out, &code);
    }
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
    let mut seen = Seen { serving: crate::roles::in_tree(&app, &diff.generate.out)?.serving, ..Seen::default() };
    for observed in &diff.observed {
        let path = &observed.path;
        let text = std::fs::read_to_string(path).map_err(|error| wrong(path, error.to_string()))?;
        seen.add(lifeboat_iac::observe(&app, observed.region.as_ref(), &text).map_err(|why| wrong(path, why))?);
    }
    let differences = lifeboat_iac::drift(&app, &seen.serving, &seen.observations)
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
fn existing(out: &Path, tree: &Tree) -> Result<BTreeMap<String, String>, Failure> {
    let mut existing = BTreeMap::new();
    let manifest = read(&out.join(MANIFEST))?;
    let before: Vec<String> = manifest.iter().flat_map(|text| manifest_paths(text)).map(str::to_owned).collect();
    for path in tree.files.keys().cloned().chain(before) {
        // A manifest is a file like any other: what it names must not lead out of the directory.
        if Path::new(&path).components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
            return Err(Failure::Wrong(format!(
                "lifeboat: {}: `{path}` leads out of the directory",
                out.join(MANIFEST).display()
            )));
        }
        if let Some(content) = read(&out.join(&path))? {
            existing.insert(path, content);
        }
    }
    Ok(existing)
}

/// A file's text; `None`: there is none.
pub fn read(path: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read(path) {
        // What is no text was not generated: shown as an edit, never read as one.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound) => Ok(None),
        Err(error) => Err(failed(path, &error)),
    }
}

/// Takes a file away, and the directories that are empty without it.
fn remove(out: &Path, path: &str) -> Result<(), Failure> {
    let path = out.join(path);
    std::fs::remove_file(&path).map_err(|error| failed(&path, &error))?;
    for directory in path.ancestors().skip(1).take_while(|directory| *directory != out) {
        if std::fs::remove_dir(directory).is_err() {
            break;
        }
    }
    Ok(())
}

/// Aside first, then into place: an interrupted run leaves whole files.
pub fn write(path: &Path, content: &str) -> Result<(), Failure> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(|error| failed(directory, &error))?;
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let mode = if path.extension().is_some_and(|extension| extension == "sh") { 0o755 } else { 0o644 };
    let written = std::fs::write(&aside, content)
        .and_then(|()| std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(mode)))
        .and_then(|()| std::fs::rename(&aside, path));
    written.map_err(|error| {
        // Half a file on a full disk is worth nothing; where it cannot be removed either, the first error is the one to tell.
        let _ = std::fs::remove_file(&aside);
        failed(path, &error)
    })
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("{}: {error}", path.display()))
}
