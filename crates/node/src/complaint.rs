//! Trouble that lasts is said once, not at every attempt.

use std::sync::{Mutex, PoisonError};

/// What was said last of one thing that fails again and again.
#[derive(Debug, Default)]
pub struct Complaint(Mutex<Option<String>>);

impl Complaint {
    /// Logs a warning, unless the last that was said of this begins in the same way: details after the first colon vary.
    pub fn warn(&self, what: &str) {
        let kind = what.split(": ").next().unwrap_or(what);
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.as_deref() != Some(kind) {
            tracing::warn!("{what}");
            *said = Some(kind.to_owned());
        }
    }

    /// It works again: the next trouble is news.
    pub fn is_settled(&self) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.take().is_some() {
            tracing::info!("the trouble is over");
        }
    }
}
