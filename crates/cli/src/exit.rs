//! How commands end, and what scripts can tell from it.

use std::any::Any;
use std::panic;
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
        eprintln!("{}", self.text());
    }

    /// What people are told.
    pub fn text(&self) -> String {
        match self {
            Self::Failed(why) | Self::Unreachable(why) => format!("lifeboat: {why}"),
            Self::Wrong(excerpt) => excerpt.clone(),
        }
    }
}

/// Runs a command, which ends without a word where nobody reads what it prints any more: as what `head` has read enough of. Everything it
/// holds is dropped before, such as the servers of a drill. Shells know 141 as the end by a broken pipe.
pub fn quietly_when_unread(command: impl FnOnce() -> ExitCode) -> ExitCode {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !is_unread(panic.payload()) {
            usual(panic);
        }
    }));
    match panic::catch_unwind(panic::AssertUnwindSafe(command)) {
        Ok(code) => code,
        Err(payload) if is_unread(&*payload) => ExitCode::from(141),
        Err(payload) => panic::resume_unwind(payload),
    }
}

/// Whether it is what `println!` says of a closed pipe.
fn is_unread(payload: &(dyn Any + Send)) -> bool {
    payload.downcast_ref::<String>().is_some_and(|said| said.contains("failed printing to stdout: Broken pipe"))
}
