//! What a node is told when it is started.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_model::{App, RegionId};
use lifeboat_tls::Setting;

/// What becomes of the region's databases and processes when the node is stopped in an orderly way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenStopped {
    /// They run on, and the next node takes charge of them: what an upgrade of Lifeboat wants.
    Keep,
    /// They are stopped: what a rehearsal wants.
    Stop,
}

/// Everything that a node is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The app, from its file.
    pub app: Arc<App>,
    /// The region that this node is of.
    pub region: RegionId,
    /// Where the API and the DNS server listen, if not on the region's address: in a pod, or behind a load balancer.
    pub listen: Option<IpAddr>,
    /// Where the store's file and the secrets lie, and below it a directory for each region: beside the app's file, or where
    /// `--directory` says.
    pub directory: PathBuf,
    /// Whether the API is served by TLS, and with which files.
    pub tls: Setting,
    /// Databases and processes at an orderly end.
    pub when_stopped: WhenStopped,
    /// A process whose end ends this node too, and everything that it started.
    pub parent: Option<u32>,
}

impl Options {
    /// The directory of this region.
    pub fn region_directory(&self) -> PathBuf {
        self.directory.join(self.region.as_str())
    }

    /// A path of the file as it is meant here: relative ones start at the node's directory, and `{region}` stands for its region.
    pub fn path(&self, declared: &Path) -> PathBuf {
        match declared.to_str() {
            Some(text) => self.directory.join(text.replace("{region}", self.region.as_str())),
            None => self.directory.join(declared),
        }
    }
}
