//! What can go wrong, each with what stands in the way and where.

use std::io;
use std::path::{Path, PathBuf};

/// Why a server could not be supervised, or an action not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another live process supervises this directory.
    #[error("{0} is already supervised by another process")]
    Locked(PathBuf),
    /// No PostgreSQL was found.
    #[error("found no PostgreSQL programs in {0}; install the server, or say where they are")]
    NoPrograms(String),
    /// PostgreSQL refuses to run as root, and there is no other user to run it as.
    #[error("PostgreSQL refuses to run as root, and there is no user `postgres` to run it as")]
    NoUser,
    /// The user that PostgreSQL runs as cannot get into the directory.
    #[error(
        "the user `postgres` cannot enter {0}, in which the database's directory lies: allow it (chmod o+x), or choose another place"
    )]
    Unreachable(PathBuf),
    /// A region or database has a name from which no role, slot or application name can be made.
    #[error("{name}: {why}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A program of PostgreSQL's failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Its name.
        program: String,
        /// The last lines it wrote.
        output: String,
    },
    /// A statement or a connection failed.
    #[error("{what}: {why}")]
    Sql {
        /// What was being done.
        what: &'static str,
        /// What the server or the system said.
        why: String,
    },
    /// Something took longer than its bound.
    #[error("{what} took longer than {seconds} s")]
    Slow {
        /// What was waited for.
        what: &'static str,
        /// The bound.
        seconds: u64,
    },
    /// What is here does not allow the action.
    #[error("{0}")]
    Here(String),
}

impl Error {
    pub(crate) fn sql(what: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |error| Self::Sql { what, why: explain(&error) }
    }
}

/// Adds the path to an error of the file system.
pub(crate) trait At<T> {
    fn at(self, path: &Path) -> Result<T, Error>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::File { path: path.to_owned(), source })
    }
}

/// The server's own words where it said any; `tokio_postgres` alone says "db error".
pub(crate) fn explain(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{} ({})", said.message(), said.code().code()),
        None => {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(error);
            while let Some(inner) = cause {
                let inner_text = inner.to_string();
                if !text.contains(&inner_text) {
                    text = format!("{text}: {inner_text}");
                }
                cause = inner.source();
            }
            text
        }
    }
}
