//! A node refuses to start twice.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;

use lifeboat_model::RegionId;
use rustix::fs::{FlockOperation, flock};

use crate::Error;

/// The lock of a region's directory; the kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Guard(#[expect(dead_code, reason = "held for its lock")] File);

impl Guard {
    /// Takes the directory, making it if it is not there.
    pub fn take(directory: &Path, region: &RegionId) -> Result<Self, Error> {
        let file_error = |source| Error::File { path: directory.to_owned(), source };
        fs::create_dir_all(directory).map_err(file_error)?;
        let path = directory.join("node.lock");
        let file_error = |source| Error::File { path: path.clone(), source };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(file_error)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut process = String::new();
            // Only for the message: an unreadable file leaves it empty.
            let _ = file.read_to_string(&mut process);
            return Err(Error::RunsAlready {
                region: region.clone(),
                process: process.trim().to_owned(),
                directory: directory.to_owned(),
            });
        }
        file.set_len(0).map_err(file_error)?;
        writeln!(file, "{}", std::process::id()).map_err(file_error)?;
        Ok(Self(file))
    }
}
