//! Secrets that the nodes of one machine share: the API's tokens.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::Error;

/// Below the node's directory: the tokens and the databases' passwords.
pub const TOKEN_DIRECTORY: &str = "secrets";

/// The token that may change things, made if it is not there.
///
/// # Errors
/// A directory or file that cannot be made or read.
pub fn operator_token(directory: &Path) -> Result<String, Error> {
    token(directory, "operator.token")
}

/// The token that may only look; only asked for where the API listens beyond loopback.
///
/// # Errors
/// A directory or file that cannot be made or read.
pub fn viewer_token(directory: &Path) -> Result<String, Error> {
    token(directory, "viewer.token")
}

/// The token by which the nodes of one machine know each other.
///
/// # Errors
/// A directory or file that cannot be made or read.
pub fn node_token(directory: &Path) -> Result<String, Error> {
    token(directory, "node.token")
}

fn token(directory: &Path, name: &str) -> Result<String, Error> {
    let secrets = secrets_directory(directory)?;
    let path = secrets.join(name);
    let failed = |source| Error::File { path: path.clone(), source };
    match fs::read_to_string(&path) {
        Ok(token) => return Ok(token.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let mut random = [0_u8; 24];
    getrandom::fill(&mut random).map_err(|error| failed(io::Error::other(error.to_string())))?;
    let made: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    // Written aside and linked into place, so that of several nodes one wins and nobody reads half a token.
    let aside = secrets.join(format!(".{name}.{}", &made[..8]));
    let written = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside).and_then(|mut file| {
        use std::io::Write as _;
        writeln!(file, "{made}")?;
        file.sync_all()
    });
    let linked = written.and_then(|()| match fs::hard_link(&aside, &path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    // It has done its duty whether or not the link was made.
    let _ = fs::remove_file(&aside);
    linked.map_err(failed)?;
    fs::read_to_string(&path).map(|token| token.trim().to_owned()).map_err(failed)
}

/// The directory of the secrets, for its owner only.
pub fn secrets_directory(directory: &Path) -> Result<PathBuf, Error> {
    let secrets = directory.join(TOKEN_DIRECTORY);
    match fs::DirBuilder::new().recursive(true).mode(0o700).create(&secrets) {
        Ok(()) => Ok(secrets),
        Err(source) => Err(Error::File { path: secrets, source }),
    }
}
