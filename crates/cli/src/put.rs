//! Writing files: all of a file's new content or none of it, through links, under the owner and with the mode that it has. Everything that this
//! command writes in place of something is written here.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, Permissions};
use std::io::{Error, ErrorKind, Result, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// What begins the name of a file that is to take a person's place.
const ASIDE: &str = ".lifeboat-";
/// The same in a generated tree, where one that was left behind can be told from one that is being written.
const TREE_ASIDE: &str = ".lifeboat-aside-";

/// Puts other content into a person's file, or makes it. Once this returns, it lasts. What is neither a file nor missing, such as a pipe, is
/// written to as it is.
///
/// # Errors
/// What the system says; an owner that could not be kept, and a link that leads nowhere. The file is as it was then.
pub fn file(path: &Path, content: &[u8]) -> Result<()> {
    match known(path)? {
        Some(known) if !known.is_file() => File::options().write(true).open(path)?.write_all(content),
        known => {
            let real = real(path, known.as_ref())?;
            let aside = filled(ASIDE, &real, content, known.as_ref(), |mode| mode)?;
            if let Some(known) = &known {
                keep_owner(aside.as_file(), known)?;
            }
            aside.as_file().sync_all()?;
            aside.persist(&real)?;
            File::open(folder(&real))?.sync_all()
        }
    }
}

/// Puts content into a file of a generated tree, and makes the directories above it. Whoever may read a program may run it. What a crash of
/// the machine takes is generated again, so nothing waits for the disk; and an owner that only root could give is not insisted on.
///
/// # Errors
/// What the system says, and a link that leads nowhere.
pub fn in_tree(path: &Path, content: &str, is_program: bool) -> Result<()> {
    let known = known(path)?;
    let real = real(path, known.as_ref())?;
    fs::create_dir_all(folder(&real))?;
    let aside =
        filled(
            TREE_ASIDE,
            &real,
            content.as_bytes(),
            known.as_ref(),
            |mode| {
                if is_program { runnable(mode) } else { mode }
            },
        )?;
    if let Some(known) = &known {
        let _ = keep_owner(aside.as_file(), known);
    }
    aside.persist(&real)?;
    Ok(())
}

/// What a file's mode is once whoever may read it may run it, too.
pub fn runnable(mode: u32) -> u32 {
    mode & 0o7777 | (mode & 0o444) >> 2
}

/// Takes away what a run that was killed left in a directory of a generated tree, and says what that was. A run that still goes on holds
/// locks on its files; where the file system knows none, nothing is taken away.
pub fn clear(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut cleared: Vec<PathBuf> = entries
        .filter(|entry| is_aside(&entry.file_name()) && entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| entry.path())
        .filter(|path| File::open(path).is_ok_and(|left| left.try_lock().is_ok() && fs::remove_file(path).is_ok()))
        .collect();
    cleared.sort();
    cleared
}

/// As `tempfile` names them: six letters or digits after the beginning.
fn is_aside(name: &OsStr) -> bool {
    let rest = name.to_str().and_then(|name| name.strip_prefix(TREE_ASIDE));
    rest.is_some_and(|rest| rest.len() == 6 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

fn known(path: &Path) -> Result<Option<Metadata>> {
    match fs::metadata(path) {
        Ok(known) => Ok(Some(known)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where a path leads: a link keeps leading there.
fn real(path: &Path, known: Option<&Metadata>) -> Result<PathBuf> {
    match known {
        Some(_) => fs::canonicalize(path),
        None if path.is_symlink() => Err(Error::other(NOWHERE)),
        None => Ok(path.to_owned()),
    }
}

/// What is said of a link that leads nowhere.
pub const NOWHERE: &str = "a link that leads nowhere: make what it leads to, or remove it";

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file with the content beside the one whose place it is to take, locked, under a name that nothing else has. It is removed unless it gets to
/// its place.
fn filled(
    prefix: &str,
    real: &Path,
    content: &[u8],
    known: Option<&Metadata>,
    mode: impl Fn(u32) -> u32,
) -> Result<tempfile::NamedTempFile> {
    let mut aside = tempfile::Builder::new();
    aside.prefix(prefix);
    if known.is_none() {
        // Less the user's umask.
        aside.permissions(Permissions::from_mode(mode(0o666)));
    }
    let mut aside = aside.tempfile_in(folder(real))?;
    // A file system without locks has nobody who would clear it away, either.
    let _ = aside.as_file().try_lock();
    aside.write_all(content)?;
    if let Some(known) = known {
        aside.as_file().set_permissions(Permissions::from_mode(mode(known.permissions().mode() & 0o7777)))?;
    }
    Ok(aside)
}

/// Gives a new file the owner of the one whose place it takes.
fn keep_owner(new: &File, known: &Metadata) -> Result<()> {
    let own = new.metadata()?;
    if (own.uid(), own.gid()) == (known.uid(), known.gid()) {
        return Ok(());
    }
    std::os::unix::fs::fchown(new, Some(known.uid()), Some(known.gid())).map_err(|error| {
        let owner = format!("{}:{}", known.uid(), known.gid());
        Error::new(error.kind(), format!("its owner {owner} cannot be kept, so nothing is written: {error}"))
    })?;
    // A change of owner takes some bits of the mode away.
    new.set_permissions(own.permissions())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may end by a panic")]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    type Put = fn(&Path, &str) -> Result<()>;
    const BOTH: [Put; 2] =
        [|path, content| file(path, content.as_bytes()), |path, content| in_tree(path, content, false)];

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_file_is_replaced_through_its_link_with_its_mode_and_leaves_nothing_beside_it() {
        for put in BOTH {
            let folder = tempfile::tempdir().unwrap();
            let [real, link, bystander] =
                ["real.yaml", "link.yaml", "real.yaml.new"].map(|name| folder.path().join(name));
            fs::write(&real, "before").unwrap();
            fs::write(&bystander, "precious").unwrap();
            fs::set_permissions(&real, Permissions::from_mode(0o640)).unwrap();
            symlink("real.yaml", &link).unwrap();
            put(&link, "after").unwrap();
            assert!(link.is_symlink(), "the link stays a link");
            assert_eq!((fs::read_to_string(&real).unwrap().as_str(), mode(&real)), ("after", 0o640));
            assert_eq!(fs::read_to_string(&bystander).unwrap(), "precious");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
        }
    }

    #[test]
    fn what_may_be_read_of_a_program_may_be_run() {
        let folder = tempfile::tempdir().unwrap();
        let [old, new] = ["old.sh", "below/new.sh"].map(|name| folder.path().join(name));
        fs::write(&old, "").unwrap();
        fs::set_permissions(&old, Permissions::from_mode(0o640)).unwrap();
        in_tree(&old, "#!/bin/sh", true).unwrap();
        in_tree(&new, "#!/bin/sh", true).unwrap();
        assert_eq!((mode(&old), mode(&new) & 0o500), (0o750, 0o500));
    }

    /// Only root can give files away; others see that the owner, who they are, stays.
    #[test]
    fn the_owner_and_every_bit_of_the_mode_stay() {
        for put in BOTH {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("a.yaml");
            fs::write(&file, "before").unwrap();
            let _ = std::os::unix::fs::chown(&file, Some(65_534), Some(65_534));
            fs::set_permissions(&file, Permissions::from_mode(0o2750)).unwrap();
            let told = |file: &Path| fs::metadata(file).map(|found| (found.uid(), found.gid(), found.mode())).unwrap();
            let before = told(&file);
            put(&file, "after").unwrap();
            assert_eq!(told(&file), before);
        }
    }

    #[test]
    fn what_fails_leaves_the_file_and_nothing_beside_it() {
        for put in BOTH {
            let folder = tempfile::tempdir().unwrap();
            let nowhere = folder.path().join("nowhere.yaml");
            symlink("missing/file.yaml", &nowhere).unwrap();
            assert!(put(&nowhere, "x").unwrap_err().to_string().contains("leads nowhere"));
            assert!(nowhere.is_symlink());
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn only_what_nobody_writes_any_more_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let kept = [".lifeboat-aside-held01", ".lifeboat-aside-notes.md", ".lifeboat-generated", "web.tf", "mine"];
        for name in kept.iter().chain(&[".lifeboat-aside-dead01"]) {
            fs::write(at(name), "half").unwrap();
        }
        symlink("mine", at(".lifeboat-aside-link01")).unwrap();
        let held = File::open(at(kept[0])).unwrap();
        held.try_lock().unwrap();
        assert_eq!(clear(folder.path()), [at(".lifeboat-aside-dead01")]);
        assert_eq!(clear(folder.path()), [] as [PathBuf; 0]);
        assert!(kept.iter().all(|name| at(name).exists()) && at(".lifeboat-aside-link01").is_symlink());
        drop(held);
        assert_eq!(clear(folder.path()), [at(kept[0])]);
    }
}
