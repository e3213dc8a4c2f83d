//! What was generated, and how it compares with what lies on disk.
//!
//! Regenerating must never overwrite a hand edit silently. So the tree carries a manifest with a hash of every file
//! as it was generated; a file on disk that matches neither the new content nor the old hash was edited by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::Problem;

/// Path of the manifest in the tree.
pub const MANIFEST: &str = ".lifeboat-generated";

/// Generated files by path, relative to the output directory, with `/` between the parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree {
    /// Content by path.
    pub files: BTreeMap<String, String>,
    /// Role files: only written where there is none, and by `lifeboat roles` from then on.
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
            Self::Missing | Self::Outdated | Self::Obsolete => false,
        }
    }

    /// For people: what is the matter with the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Outdated => "outdated",
            Self::Edited => "edited by hand",
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
    pub(crate) fn seal(&mut self) {
        let mut manifest = String::from("# What `lifeboat generate` wrote, so that it can tell a hand edit.\n");
        for (path, content) in self.files.iter().filter(|(path, _)| !self.kept.contains(*path)) {
            let _ = writeln!(manifest, "{:016x}  {path}", hash(content));
        }
        self.put(MANIFEST, manifest);
    }
}

/// What differs between the tree and the `existing` files (content by path: at least those of the tree and those that
/// the existing manifest names). Empty: the directory is as it would be generated. The manifest itself is not reported.
pub fn check(tree: &Tree, existing: &BTreeMap<String, String>) -> Vec<Difference> {
    let before = existing.get(MANIFEST).map_or_else(BTreeMap::new, |text| read_manifest(text));
    let untouched = |path: &str, content: &str| before.get(path) == Some(&hash(content));
    let mut differences = Vec::new();
    for (path, content) in tree.files.iter().filter(|(path, _)| *path != MANIFEST) {
        let kind = match existing.get(path) {
            None => DifferenceKind::Missing,
            Some(found) if found == content || tree.kept.contains(path) => continue,
            Some(found) if untouched(path, found) => DifferenceKind::Outdated,
            Some(_) => DifferenceKind::Edited,
        };
        differences.push(Difference { path: path.clone(), kind });
    }
    for path in before.keys().filter(|path| !tree.files.contains_key(**path)) {
        let Some(found) = existing.get(*path) else { continue };
        let kind = if untouched(path, found) { DifferenceKind::Obsolete } else { DifferenceKind::ObsoleteEdited };
        differences.push(Difference { path: (*path).into(), kind });
    }
    differences.sort_by(|a, b| a.path.cmp(&b.path));
    differences
}

/// The paths that a manifest names: what has to be read before [`check`] besides the tree's own paths.
pub fn manifest_paths(manifest: &str) -> Vec<&str> {
    read_manifest(manifest).into_keys().collect()
}

fn read_manifest(text: &str) -> BTreeMap<&str, u64> {
    let entry = |line: &'_ str| -> Option<(usize, u64)> {
        let (hash, path) = line.split_once("  ")?;
        Some((line.len() - path.len(), u64::from_str_radix(hash, 16).ok()?))
    };
    text.lines().filter_map(|line| entry(line).map(|(start, hash)| (&line[start..], hash))).collect()
}

/// FNV-1a: tells an edit from none, guards against nobody.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        for (path, content) in files {
            tree.put(*path, *content);
        }
        tree.put_kept("roles", "writer: a");
        tree.seal();
        tree
    }

    #[test]
    fn a_hand_edit_is_told_from_an_old_generation() {
        let old = tree(&[("same", "1"), ("changed", "1"), ("edited", "1"), ("gone", "1"), ("gone-edited", "1")]);
        let new = tree(&[("same", "1"), ("changed", "2"), ("edited", "2"), ("added", "1"), ("in-the-way", "1")]);
        let mut disk = old.files.clone();
        for path in ["edited", "gone-edited", "in-the-way", "roles"] {
            disk.insert(path.into(), "by hand\n".into());
        }
        let found: Vec<String> =
            check(&new, &disk).into_iter().map(|found| format!("{}: {}", found.path, found.kind.as_str())).collect();
        assert_eq!(
            found,
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
        assert_eq!(check(&tree, &tree.files), []);
    }

    #[test]
    fn a_role_file_is_written_once_and_then_left_alone() {
        let tree = tree(&[]);
        assert_eq!(
            check(&tree, &BTreeMap::new()),
            [Difference { path: "roles".into(), kind: DifferenceKind::Missing }]
        );
    }
}
