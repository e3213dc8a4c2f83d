//! How commands end, and what scripts can tell from it.

use std::process::ExitCode;

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// It was tried and failed.
    Failed(String),
    /// The command or the file is wrong. The text may be a whole annotated excerpt.
    Wrong(String),
    /// Nobody could be asked.
    Unreachable(String),
}

impl Failure {
    /// For scripts.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed(_) => 1,
            Self::Wrong(_) => 2,
            Self::Unreachable(_) => 3,
        })
    }

    /// For people.
    pub fn tell(&self) {
        match self {
            Self::Failed(why) | Self::Unreachable(why) => eprintln!("lifeboat: {why}"),
            Self::Wrong(excerpt) => eprintln!("{excerpt}"),
        }
    }
}
