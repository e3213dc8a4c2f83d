//! Why a drill could not be carried out. A drill that was carried out and missed its objectives is no error: its report says so.

use std::io;
use std::path::PathBuf;

use lifeboat_model::RegionId;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file describes something that cannot be drilled on this machine.
    #[error("this file cannot be drilled here: {0}")]
    Unsuitable(String),
    /// Somebody else uses an address that the drill needs. Nothing was touched.
    #[error("{what} of {region} needs {address}, which is {why}; nothing was touched")]
    AddressTaken {
        /// Whose address it is.
        region: RegionId,
        /// What was to listen there: `the node's API`, `orders`, …
        what: String,
        /// Address and port.
        address: String,
        /// `in use by postgres (pid 4711)`, or the system's own words.
        why: String,
    },
    /// A file, directory or process could not be made or read.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried, such as `cannot start`.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Certificates for the nodes.
    #[error(transparent)]
    Tls(#[from] lifeboat_tls::Error),
    /// Something that should have happened did not within its time.
    #[error("{what} did not happen within {seconds} s: {state}{logs}")]
    TimedOut {
        /// What was awaited.
        what: String,
        /// For how long.
        seconds: u64,
        /// How things stood then.
        state: String,
        /// The last lines of the nodes' logs.
        logs: String,
    },
    /// A node ended though nobody had killed it.
    #[error("the node of {region} ended by itself ({status}){logs}")]
    NodeEnded {
        /// Whose node.
        region: RegionId,
        /// How it ended.
        status: String,
        /// The last lines of its log.
        logs: String,
    },
    /// A node answered a request with something else than was agreed.
    #[error("{request} was answered with {answer}")]
    Api {
        /// Method, address and path.
        request: String,
        /// Status and the beginning of the text.
        answer: String,
    },
    /// A person or the system asked to stop. Everything was cleaned up.
    #[error("interrupted; every process was ended and the run directory removed")]
    Interrupted,
}

impl Error {
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}
