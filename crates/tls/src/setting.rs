//! What the app's file says of TLS, with paths as they are on this machine.

use std::path::Path;

use lifeboat_model::RegionId;
use lifeboat_model::app::{Tls, TlsFiles};

use crate::Connector;
use crate::error::Error;
use crate::identity::Files;

/// Whether a region's node speaks TLS, and with which files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Without TLS, and only on loopback.
    LoopbackOnly,
    /// Without TLS, wherever it listens.
    Off,
    /// With TLS.
    Files(Files),
}

impl Setting {
    /// `base`: the directory of the app's file, at which relative paths start. `certs`: a directory that counts instead of what the
    /// file says.
    pub fn of(declared: &Tls, region: &RegionId, base: &Path, certs: Option<&Path>) -> Self {
        let own = certs.map(|directory| TlsFiles::of_directory(&directory.to_string_lossy()));
        let files = match (own.as_ref(), declared) {
            (Some(files), _) | (None, Tls::Files(files)) => files,
            (None, Tls::LoopbackOnly) => return Self::LoopbackOnly,
            (None, Tls::Off) => return Self::Off,
        };
        let base = if own.is_some() { Path::new("") } else { base };
        let [ca, cert, key] = files.of(region).map(|path| base.join(path));
        Self::Files(Files { ca, cert, key })
    }

    /// For a person who asks the region's node.
    ///
    /// # Errors
    /// Authorities that cannot be read.
    pub fn connector(&self) -> Result<Connector, Error> {
        match self {
            Self::LoopbackOnly | Self::Off => Ok(Connector::plain()),
            Self::Files(files) => Connector::trusting(&files.ca),
        }
    }
}
