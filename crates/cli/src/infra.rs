//! `lifeboat generate` and `lifeboat diff`: infrastructure as code from the file, never over a hand edit by accident.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use lifeboat_iac::{DifferenceKind, MANIFEST, Options, Target, Tree, check, manifest_paths};

use crate::command::Generate;
use crate::exit::Failure;
use crate::file;

/// Generates, and writes unless it is only to be compared.
pub fn generate(generate: &Generate, only_compare: bool) -> Result<ExitCode, Failure> {
    let app = file::read(&generate.file)?;
    let tree = lifeboat_iac::generate(&app, &options(generate)?).map_err(|problems| {
        let lines: Vec<String> =
            problems.iter().map(|p| format!("{}: {}\n  {}", p.field, p.message, p.advice)).collect();
        Failure::Wrong(lines.join("\n"))
    })?;
    for warning in &tree.warnings {
        eprintln!("warning: {}: {}\n  {}", warning.field, warning.message, warning.advice);
    }
    let existing = existing(&generate.out, &tree)?;
    let differences = check(&tree, &existing);
    for difference in &differences {
        println!("{:<36} {}", difference.kind.as_str(), difference.path);
    }
    if only_compare || generate.check {
        if differences.is_empty() {
            println!("{} is as it would be generated", generate.out.display());
        }
        return Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if !generate.overwrite && differences.iter().any(|difference| difference.kind.loses_an_edit()) {
        return Err(Failure::Failed(
            "nothing was written: it would lose what was edited by hand (--overwrite writes all the same)".into(),
        ));
    }
    for (path, content) in &tree.files {
        if tree.kept.contains(path) && existing.contains_key(path) || existing.get(path) == Some(content) {
            continue;
        }
        write(&generate.out.join(path), content)?;
    }
    for difference in &differences {
        if matches!(difference.kind, DifferenceKind::Obsolete | DifferenceKind::ObsoleteEdited) {
            let path = generate.out.join(&difference.path);
            std::fs::remove_file(&path).map_err(|error| failed(&path, &error))?;
        }
    }
    println!("{}: {} files, {} of them changed", generate.out.display(), tree.files.len(), differences.len());
    Ok(ExitCode::SUCCESS)
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

fn read(path: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, &error)),
    }
}

/// Aside first, then into place: an interrupted run leaves whole files.
fn write(path: &Path, content: &str) -> Result<(), Failure> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(|error| failed(directory, &error))?;
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    std::fs::write(&aside, content).and_then(|()| std::fs::rename(&aside, path)).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("{}: {error}", path.display()))
}
