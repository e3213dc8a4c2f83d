//! The passwords of one database's roles: made once, kept in a file that only its owner can read.

use std::fmt::{self, Write as _};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{At as _, Error};
use crate::layout::sync_directory;

/// The passwords of the roles, shared by the regions of one database. They never appear in arguments or logs.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secrets {
    /// Of the replication roles, one role a region, and of the commit gate.
    pub replication: String,
    /// Of the superuser `lifeboat`, which only the Unix socket admits.
    pub superuser: String,
    /// Of the application's role.
    pub application: String,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets { .. }")
    }
}

impl Secrets {
    /// Reads `directory/secrets.json`, or makes it (mode 0600) with new random passwords. Where several processes
    /// do this at once, all get the same.
    pub fn load_or_create(directory: &Path) -> Result<Self, Error> {
        let path = directory.join("secrets.json");
        match fs::read(&path) {
            Ok(bytes) => return Self::parse(&path, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).at(&path),
        }
        fs::create_dir_all(directory).at(directory)?;
        let made = Self {
            replication: password(directory)?,
            superuser: password(directory)?,
            application: password(directory)?,
        };
        // Written aside and linked into place: a link fails where the name exists, and readers never see half a file.
        let aside = directory.join(format!(".secrets.{}", password(directory)?));
        let json = serde_json::to_vec_pretty(&made).map_err(io::Error::from).at(&aside)?;
        let written = write_private(&aside, &json).and_then(|()| match fs::hard_link(&aside, &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
        // The name aside has done its duty whether or not the link was made.
        let _ = fs::remove_file(&aside);
        written.at(&path)?;
        sync_directory(directory)?;
        Self::parse(&path, &fs::read(&path).at(&path)?)
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let mode = fs::metadata(path).at(path)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "others can read it: chmod 600")).at(path);
        }
        serde_json::from_slice(bytes).map_err(io::Error::from).at(path)
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// 192 random bits, in characters that need no quoting anywhere.
fn password(blamed: &Path) -> Result<String, Error> {
    let mut bytes = [0_u8; 24];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string())).at(blamed)?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_who_create_at_once_get_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let all: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| Secrets::load_or_create(directory.path()).unwrap().superuser)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
        let names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["secrets.json"]);
        let mode = fs::metadata(directory.path().join("secrets.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn debug_shows_nothing_and_a_readable_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let secrets = Secrets::load_or_create(directory.path()).unwrap();
        assert!(!format!("{secrets:?}").contains(&secrets.application));
        let path = directory.path().join("secrets.json");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Secrets::load_or_create(directory.path()).unwrap_err().to_string().contains("chmod 600"));
    }
}
