//! What was generated, and how it compares with what lies on disk.
//!
//! Regenerating must never overwrite a hand edit silently. So the tree carries a manifest with a hash of every file
//! as it was generated; a file on disk that matches neither the new content nor the old hash was edited by hand. While files are being
//! written it has both hashes of each ([`Manifest::with`]): whatever keeps that from its end, nothing generated is taken for an edit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use lifeboat_model::AppName;
pub(crate) use lifeboat_model::names::hash;

use crate::{Problem, roles};

/// Path of the manifest in the tree.
pub const MANIFEST: &str = ".lifeboat-generated";

/// Generated files by path, relative to the output directory, with `/` between the parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree {
    /// Content by path.
    pub files: BTreeMap<String, String>,
    /// Role files: `lifeboat roles` writes them; generating only gives them the components that are new, and takes those that are gone.
    pub kept: BTreeSet<String>,
    /// What the user should know, though everything could be generated.
    pub warnings: Vec<Problem>,
}

/// How a file on disk differs from the generated one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Path in the tree.
    pub path: String,
    /// In which way.
    pub kind: DifferenceKind,
}

/// In which way a file differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DifferenceKind {
    /// It is generated and not there.
    Missing,
    /// It is as it was last generated, and would be generated differently now: safe to overwrite.
    Outdated,
    /// It was changed by hand since it was generated, or was there before: overwriting loses that.
    Edited,
    /// A role file that has not the components which the app has. The roles that it has are kept.
    Incomplete,
    /// A program that its owner may not run.
    NotRunnable,
    /// It was generated before and is not any more; untouched, so safe to remove.
    Obsolete,
    /// It was generated before and is not any more, but was changed by hand.
    ObsoleteEdited,
}

impl DifferenceKind {
    /// Whether writing the tree would lose a hand edit.
    pub fn loses_an_edit(self) -> bool {
        match self {
            Self::Edited | Self::ObsoleteEdited => true,
            Self::Missing | Self::Outdated | Self::Incomplete | Self::NotRunnable | Self::Obsolete => false,
        }
    }

    /// For people: what is the matter with the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Outdated => "outdated",
            Self::Edited => "edited by hand",
            Self::Incomplete => "role file of other components",
            Self::NotRunnable => "not executable",
            Self::Obsolete => "no longer generated",
            Self::ObsoleteEdited => "no longer generated, edited by hand",
        }
    }

    /// For people: what writing the tree does about it.
    pub fn as_written(self) -> &'static str {
        match self {
            Self::Missing => "new",
            Self::Outdated => "changed",
            Self::Edited => "changed, hand edit lost",
            Self::Incomplete => "role file, roles kept",
            Self::NotRunnable => "made executable",
            Self::Obsolete => "removed",
            Self::ObsoleteEdited => "removed, hand edit lost",
        }
    }
}

impl Tree {
    pub(crate) fn put(&mut self, path: impl Into<String>, content: impl Into<String>) {
        let mut content = content.into();
        content.truncate(content.trim_end().len());
        content.push('\n');
        self.files.insert(path.into(), content);
    }

    /// Adds a role file.
    pub(crate) fn put_kept(&mut self, path: impl Into<String>, content: impl Into<String>) {
        let path = path.into();
        self.put(path.clone(), content);
        self.kept.insert(path);
    }

    /// Writes the manifest, over everything that is there: the last step of generating.
    pub(crate) fn seal(&mut self, app: &AppName) {
        let mut manifest = Manifest { app: Some(app.clone()), ..Manifest::default() };
        for (path, content) in self.files.iter().filter(|(path, _)| !self.kept.contains(*path)) {
            manifest.files.insert(path.clone(), [hash(content)].into());
        }
        self.put(MANIFEST, manifest.to_string());
    }

    /// Whether a file is a program, which its owner has to be able to run.
    pub fn is_program(path: &str) -> bool {
        path.ends_with(".sh")
    }
}

/// What a manifest says: whose tree it is, and what was generated there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The app, unless an early version wrote it.
    pub app: Option<AppName>,
    /// The hashes that each file has had, by path.
    files: BTreeMap<String, BTreeSet<u64>>,
}

const FIRST_LINE: &str = "# What `lifeboat generate` wrote, so that it can tell a hand edit.";
const APP_LINE: &str = "# App: ";
const LAST_LINE: &str = "# End.";

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// The line that is none of a manifest's, or what is missing: without its hashes every file would pass for an edit, or for none.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut manifest = Self::default();
        let mut is_whole = false;
        for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
            if let Some(app) = line.strip_prefix(APP_LINE) {
                manifest.app = Some(app.into());
            } else if line.starts_with('#') {
                is_whole = line == LAST_LINE;
            } else {
                let (path, hash) =
                    entry(line).ok_or_else(|| format!("line {number}: expected a hash, two spaces and a path"))?;
                // A manifest is a file like any other: what it names must not lead out of the directory.
                if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
                    return Err(format!("line {number}: `{path}` leads out of the directory"));
                }
                manifest.files.entry(path.into()).or_default().insert(hash);
            }
        }
        if manifest.files.is_empty() {
            return Err("it names no file".into());
        }
        // Early versions wrote neither the app nor the end.
        if manifest.app.is_some() && !is_whole {
            return Err(format!("its end is missing: expected the last line `{LAST_LINE}`"));
        }
        Ok(manifest)
    }

    /// The paths that it names: what has to be read before [`check`] besides the tree's own paths.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Both what was there before and what is about to be: to be written before a file is.
    #[must_use]
    pub fn with(&self, after: &Self) -> Self {
        let mut both = after.clone();
        for (path, hashes) in &self.files {
            both.files.entry(path.clone()).or_default().extend(hashes);
        }
        both
    }

    fn has(&self, path: &str, content: &str) -> bool {
        self.files.get(path).is_some_and(|hashes| hashes.contains(&hash(content)))
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(app) = &self.app {
            writeln!(f, "{APP_LINE}{app}")?;
        }
        for (path, hashes) in &self.files {
            for hash in hashes {
                writeln!(f, "{hash:016x}  {path}")?;
            }
        }
        if self.app.is_some() { writeln!(f, "{LAST_LINE}") } else { Ok(()) }
    }
}

fn entry(line: &str) -> Option<(&str, u64)> {
    let (hash, path) = line.split_once("  ")?;
    (hash.len() == 16).then_some(())?;
    Some((path, u64::from_str_radix(hash, 16).ok()?))
}

/// What differs between the tree and the `existing` files (content by path: at least those of the tree and those that `before`, the
/// existing manifest, names). Empty: the directory is as it would be generated. The manifest itself is not reported.
pub fn check(tree: &Tree, before: &Manifest, existing: &BTreeMap<String, String>) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (path, content) in tree.files.iter().filter(|(path, _)| *path != MANIFEST) {
        let kind = match existing.get(path) {
            None => DifferenceKind::Missing,
            Some(found) if found == content => continue,
            Some(found) if tree.kept.contains(path) && roles::say_the_same(found, content) => continue,
            Some(_) if tree.kept.contains(path) => DifferenceKind::Incomplete,
            Some(found) if before.has(path, found) => DifferenceKind::Outdated,
            Some(_) => DifferenceKind::Edited,
        };
        differences.push(Difference { path: path.clone(), kind });
    }
    for path in before.files.keys().filter(|path| !tree.files.contains_key(*path)) {
        let Some(found) = existing.get(path) else { continue };
        let kind = if before.has(path, found) { DifferenceKind::Obsolete } else { DifferenceKind::ObsoleteEdited };
        differences.push(Difference { path: path.clone(), kind });
    }
    differences.sort_by(|a, b| a.path.cmp(&b.path));
    differences
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may end by a panic")]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        for (path, content) in files {
            tree.put(*path, *content);
        }
        tree.put_kept("roles.json", "{\"writers\": {\"orders\": \"a\"}}");
        tree.seal(&"shop".into());
        tree
    }

    fn manifest(files: &BTreeMap<String, String>) -> Manifest {
        Manifest::read(&files[MANIFEST]).unwrap()
    }

    fn found(tree: &Tree, before: &Manifest, disk: &BTreeMap<String, String>) -> Vec<String> {
        let said = |found: Difference| format!("{}: {}", found.path, found.kind.as_str());
        check(tree, before, disk).into_iter().map(said).collect()
    }

    #[test]
    fn a_hand_edit_is_told_from_an_old_generation() {
        let old = tree(&[("same", "1"), ("changed", "1"), ("edited", "1"), ("gone", "1"), ("gone-edited", "1")]);
        let new = tree(&[("same", "1"), ("changed", "2"), ("edited", "2"), ("added", "1"), ("in-the-way", "1")]);
        let mut disk = old.files.clone();
        for path in ["edited", "gone-edited", "in-the-way"] {
            disk.insert(path.into(), "by hand\n".into());
        }
        assert_eq!(
            found(&new, &manifest(&disk), &disk),
            [
                "added: missing",
                "changed: outdated",
                "edited: edited by hand",
                "gone: no longer generated",
                "gone-edited: no longer generated, edited by hand",
                "in-the-way: edited by hand",
            ]
        );
    }

    #[test]
    fn what_was_just_written_does_not_differ() {
        let tree = tree(&[("a", "1"), ("b/c", "2")]);
        assert_eq!(check(&tree, &manifest(&tree.files), &tree.files), []);
    }

    /// Written up to any file, by a version of the app's file that nobody goes on with.
    #[test]
    fn what_was_written_half_is_nobodys_edit() {
        let old = tree(&[("a", "1"), ("b", "1"), ("only-old", "1")]);
        let half = tree(&[("a", "2"), ("b", "2"), ("only-half", "2")]);
        let [new, reverted] = [tree(&[("a", "3"), ("b", "3")]), old.clone()];
        let writing = manifest(&old.files).with(&manifest(&half.files));
        let mut disk = old.files.clone();
        for path in ["a", "only-half"] {
            disk.insert(path.into(), half.files[path].clone());
            let before = Manifest::read(&writing.to_string()).unwrap();
            for next in [&new, &reverted, &half] {
                let lost = |found: &&Difference| found.kind.loses_an_edit();
                assert_eq!(check(next, &before, &disk).iter().filter(lost).count(), 0);
            }
        }
        disk.insert("b".into(), "by hand\n".into());
        assert!(found(&new, &writing, &disk).contains(&"b: edited by hand".to_owned()));
    }

    #[test]
    fn a_role_file_is_left_alone_as_long_as_it_is_complete() {
        let tree = tree(&[]);
        assert_eq!(found(&tree, &Manifest::default(), &BTreeMap::new()), ["roles.json: missing"]);
        for (text, expected) in [
            ("{\n  \"writers\": { \"orders\": \"a\" } }", &[][..]),
            ("{\"writers\": {}}", &["roles.json: role file of other components"]),
        ] {
            let disk = [("roles.json".to_owned(), text.to_owned())].into();
            assert_eq!(found(&tree, &Manifest::default(), &disk), expected);
        }
    }

    #[test]
    fn a_manifest_that_is_none_is_told() {
        let whole = tree(&[("a", "1"), ("b", "1")]).files.remove(MANIFEST).unwrap();
        assert_eq!(Manifest::read(&whole).unwrap().app, Some("shop".into()));
        let early = "# What `lifeboat generate` wrote, so that it can tell a hand edit.\n0123456789abcdef  a\n";
        assert_eq!(Manifest::read(early).unwrap().paths().collect::<Vec<_>>(), ["a"]);
        for (text, expected) in [
            (String::new(), "it names no file"),
            (whole.replace("# End.\n", ""), "its end is missing"),
            (whole[..whole.len() - 12].to_owned(), "line 4: expected a hash"),
            (whole.replace("  a\n", "\n"), "line 3: expected a hash"),
            (format!("<<<<<<< HEAD\n{whole}"), "line 1: expected a hash"),
            (whole.replace("  a\n", "  ../a\n"), "line 3: `../a` leads out"),
            (whole.replace("  a\n", "  /a\n"), "line 3: `/a` leads out"),
        ] {
            let said = Manifest::read(&text).unwrap_err();
            assert!(said.starts_with(expected), "{text}: {said}");
        }
    }
}
