//! How commands end, and what scripts can tell from it.

use std::any::Any;
use std::io::Write as _;
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
        // The code says as much where nobody can be told.
        let _ = writeln!(std::io::stderr(), "{}", self.text());
    }

    /// What people are told.
    pub fn text(&self) -> String {
        match self {
            Self::Failed(why) | Self::Unreachable(why) => format!("lifeboat: {why}"),
            Self::Wrong(excerpt) => excerpt.clone(),
        }
    }
}

/// Runs a command. Where nobody reads what it prints any more, as what `head` has read enough of, it ends without a word; where that
/// cannot be written, as on a full disk, with one and with 1. Everything it holds is dropped before, such as the servers of a drill.
/// Shells know 141 as the end by a broken pipe.
pub fn despite_its_readers(command: impl FnOnce() -> ExitCode) -> ExitCode {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if unprinted(panic.payload()).is_none() {
            usual(panic);
        }
    }));
    match panic::catch_unwind(panic::AssertUnwindSafe(command)) {
        // What does not end in a line's end is still to be written.
        Ok(code) => match std::io::stdout().flush() {
            Ok(()) => code,
            Err(error) => lost(&format!("failed printing to stdout: {error}")),
        },
        Err(payload) => match unprinted(&*payload) {
            Some(why) => lost(why),
            None => panic::resume_unwind(payload),
        },
    }
}

/// How a command ends that could not print to standard output, or to standard error.
pub fn lost(why: &str) -> ExitCode {
    if why.contains("stdout: Broken pipe") {
        return ExitCode::from(141);
    }
    // Where standard error takes nothing either, the code has to do.
    let _ = writeln!(std::io::stderr(), "lifeboat: {why}");
    ExitCode::FAILURE
}

/// What `println!` and `eprintln!` say of a stream that takes nothing.
fn unprinted(payload: &(dyn Any + Send)) -> Option<&str> {
    payload.downcast_ref::<String>().map(String::as_str).filter(|said| said.starts_with("failed printing to std"))
}
