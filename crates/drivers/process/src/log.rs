//! A bounded log file that a process writes without its supervisor's help.
//!
//! The process holds the file itself, since a pipe would break when the supervisor dies. So the file cannot be
//! exchanged; it is copied and emptied instead. A line written between those two is lost, which a log can bear.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Bytes after which the file is emptied, and the most that is kept of what was in it.
const LIMIT: u64 = 1024 * 1024;

/// Opens the log for a process to append to, readable to its owner only. `O_APPEND` is what makes emptying it safe.
pub fn open(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Moves the newest part of a log that has grown too large to the file beside it.
pub fn rotate(path: &Path) -> io::Result<()> {
    let size = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if size <= LIMIT {
        return Ok(());
    }
    let mut log = OpenOptions::new().read(true).write(true).open(path)?;
    log.seek(SeekFrom::Start(size - LIMIT))?;
    let mut old = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(old(path))?;
    io::copy(&mut io::Read::take(&log, LIMIT), &mut old)?;
    log.set_len(0)
}

fn old(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_large_log_is_moved_once_and_its_writer_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs/web.log");
        rotate(&path).unwrap();
        let mut writer = open(&path).unwrap();
        writer.write_all(&vec![b'a'; LIMIT as usize]).unwrap();
        rotate(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), LIMIT, "not yet too large");
        writer.write_all(b"end").unwrap();
        rotate(&path).unwrap();
        writer.write_all(b"more").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"more");
        let kept = fs::read(old(&path)).unwrap();
        assert!(kept.len() == LIMIT as usize && kept.ends_with(b"aend"));
    }
}
