//! Files of a generated tree on disk: written by one `lifeboat` at a time.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::exit::Failure;
use crate::put;

/// For how long another command that writes to the same directory is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// From one look at the lock to the next.
const AGAIN: Duration = Duration::from_millis(20);

/// Kept from others as long as it lives.
#[derive(Debug)]
pub struct Lock(Option<File>);

/// Keeps a directory to this command. A file system that knows no locks keeps nobody away.
pub fn lock(out: &Path) -> Result<Lock, Failure> {
    let directory = File::open(out).map_err(|error| failed(out, &error))?;
    let until = Instant::now() + PATIENCE;
    loop {
        match directory.try_lock() {
            Ok(()) => return Ok(Lock(Some(directory))),
            Err(TryLockError::Error(_)) => return Ok(Lock(None)),
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(AGAIN),
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::Failed(format!("{}: another lifeboat is writing here", out.display())));
            }
        }
    }
}

/// Whether a directory is there; what is in its place is named.
pub fn is_directory(out: &Path) -> Result<bool, Failure> {
    match fs::metadata(out) {
        Ok(found) if found.is_dir() => Ok(true),
        Ok(_) => Err(said(out, "is no directory")),
        Err(error) if error.kind() == ErrorKind::NotFound => absent(out).map(|()| false),
        Err(error) => Err(failed(out, &error)),
    }
}

/// A file's text; `None`: there is none.
pub fn read(path: &Path) -> Result<Option<String>, Failure> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(found) if found.is_dir() => {
            return Err(said(path, "a directory is in the place of a generated file: move it away"));
        }
        // Reading from a pipe would wait for whoever writes into it.
        Ok(_) => return Err(said(path, "something that is no file is in the place of a generated one: move it away")),
        Err(error) if error.kind() == ErrorKind::NotFound => return absent(path).map(|()| None),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            let file = path.ancestors().find(|above| above.is_file()).unwrap_or(path);
            return Err(said(file, "a file is in the place of a generated directory: move it away"));
        }
        Err(error) => return Err(failed(path, &error)),
    }
    // What is no text was not generated: shown as an edit, never read as one.
    let bytes = fs::read(path).map_err(|error| failed(path, &error))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Whether its owner may run a file.
pub fn may_run(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o100 != 0)
}

/// Whoever may read a file may run it, too.
pub fn let_run(path: &Path) -> Result<(), Failure> {
    let mode = fs::metadata(path).map_err(|error| failed(path, &error))?.permissions().mode();
    fs::set_permissions(path, Permissions::from_mode(put::runnable(mode))).map_err(|error| failed(path, &error))
}

/// Writes a file whole or not at all, and makes the directories above it.
pub fn write(path: &Path, content: &str, is_program: bool) -> Result<(), Failure> {
    put::in_tree(path, content, is_program).map_err(|error| failed(path, &error))
}

/// Takes away what runs that were killed left beside the files of these paths, and says so. The directory is kept to this command, so no other
/// run is writing in it.
pub fn clear<'a>(lock: &Lock, out: &Path, paths: impl Iterator<Item = &'a str>) {
    if lock.0.is_none() {
        return;
    }
    let directories: BTreeSet<PathBuf> = paths
        .filter_map(|path| {
            let path = out.join(path);
            // A link's file is written where that lies.
            let real = if path.is_symlink() { fs::canonicalize(&path).unwrap_or(path) } else { path };
            real.parent().map(Path::to_owned)
        })
        .collect();
    for left in directories.iter().flat_map(|directory| put::clear(directory)) {
        eprintln!("lifeboat: {}: removed, a run that was killed had left it", left.display());
    }
}

/// Takes a file away, and the directories that are empty without it.
pub fn remove(out: &Path, path: &str) -> Result<(), Failure> {
    let path = out.join(path);
    fs::remove_file(&path).map_err(|error| failed(&path, &error))?;
    for directory in path.ancestors().skip(1).take_while(|directory| *directory != out) {
        if fs::remove_dir(directory).is_err() {
            break;
        }
    }
    Ok(())
}

/// That what is not found is not a link to what is not there.
fn absent(path: &Path) -> Result<(), Failure> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(said(path, put::NOWHERE)),
        Err(_) => Ok(()),
    }
}

fn said(path: &Path, what: &str) -> Failure {
    Failure::Failed(format!("{}: {what}", path.display()))
}

/// What the system says of a path.
pub fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("{}: {error}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may end by a panic")]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_is_named_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("directory")).unwrap();
        fs::write(at("file"), "").unwrap();
        std::os::unix::fs::symlink("none", at("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        for (name, expected) in [
            ("directory", "a directory is in the place"),
            ("file/below", "file: a file is in the place of a generated directory"),
            ("link", "leads nowhere"),
            ("pipe", "no file"),
        ] {
            let said = read(&at(name)).unwrap_err().text();
            assert!(said.contains(expected), "{name}: {said}");
        }
        assert!(write(&at("link"), "", false).unwrap_err().text().contains("leads nowhere"));
        assert!(is_directory(&at("file")).unwrap_err().text().contains("is no directory"));
        assert!(is_directory(&at("link")).unwrap_err().text().contains("leads nowhere"));
        assert_eq!((read(&at("none")).unwrap(), is_directory(&at("none")).unwrap()), (None, false));
    }
}
