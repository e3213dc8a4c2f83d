//! What is wrong with a file, as far as generating is concerned.

use std::fmt;

/// Something in the file that cannot be generated, or that the user should know before it is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field it is about, such as `components.web.size.image`.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub advice: String,
}

impl Problem {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into(), advice: advice.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.field, self.message, self.advice)
    }
}
