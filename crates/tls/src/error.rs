//! What is wrong with certificates and keys. No error shows a key.

use std::io;
use std::path::PathBuf;

/// What is wrong, and with which file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is there already.
    #[error("{} is there already; `--renew` makes new certificates of nodes under the authority that is there", path.display())]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// It is not what it should be.
    #[error("{}: {why}", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What was found, and what was expected.
        why: String,
    },
    /// A certificate is another region's.
    #[error("{}: the certificate names {names}, and not the region `{region}`, whose node is to use it", path.display())]
    NotOurs {
        /// Which.
        path: PathBuf,
        /// The region.
        region: String,
        /// Whom it names.
        names: String,
    },
    /// A certificate could not be made.
    #[error("a certificate for {subject} cannot be made: {why}")]
    Make {
        /// For whom.
        subject: String,
        /// Why not.
        why: String,
    },
}
