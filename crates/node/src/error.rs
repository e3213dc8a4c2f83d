//! Why a node cannot run.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use lifeboat_model::{ComponentId, RegionId};

/// Why a node cannot run. Each says what to do about it, as far as that can be known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such region.
    #[error("the file has no region `{0}`; it has: {1}")]
    NoSuchRegion(RegionId, String),
    /// The region has no address.
    #[error("region `{0}` has no `address`, on which its node could listen")]
    NoAddress(RegionId),
    /// Another node has the directory.
    #[error("a node of region `{region}` runs already (process {process}); it has {}", directory.display())]
    RunsAlready {
        /// The region.
        region: RegionId,
        /// The other node.
        process: String,
        /// What both want.
        directory: PathBuf,
    },
    /// An address is taken.
    #[error("cannot listen on {address} for {what}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What for.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Nothing protects what is said to a node that can be reached from elsewhere.
    #[error(
        "region `{region}` listens on {address}, beyond loopback, and the file says nothing of TLS: `lifeboat certs FILE` makes \
         certificates, then put `nodes: {{tls: certs}}` into the file; or `nodes: {{tls: none}}` where the network itself is trusted"
    )]
    Unprotected {
        /// The region.
        region: RegionId,
        /// Its address.
        address: IpAddr,
    },
    /// A token that cannot be made.
    #[error("a token for `{name}` cannot be made: {why}")]
    Token {
        /// For whom.
        name: String,
        /// Why not.
        why: String,
    },
    /// A certificate or key.
    #[error(transparent)]
    Tls(#[from] lifeboat_tls::Error),
    /// A file or directory.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file of authorities that a check names.
    #[error("{component}: {}: {source}", path.display())]
    Authorities {
        /// Whose check.
        component: ComponentId,
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: lifeboat_probe::AuthoritiesError,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] lifeboat_store::Error),
    /// A database's driver.
    #[error("{component}: {source}")]
    Database {
        /// Which.
        component: ComponentId,
        /// Why not.
        source: lifeboat_driver_postgres::Error,
    },
    /// A process.
    #[error("{component}: {source}")]
    Process {
        /// Which.
        component: ComponentId,
        /// Why not.
        source: lifeboat_driver_process::Error,
    },
    /// No way leads to the region's cluster.
    #[error("region `{region}` has deployments: {source}")]
    Cluster {
        /// The region.
        region: RegionId,
        /// Why not.
        source: lifeboat_driver_kubernetes::AccessError,
    },
    /// The zones that the routes make.
    #[error("the routes make no valid zone: {0}")]
    Zones(String),
}
