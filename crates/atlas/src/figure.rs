//! A number with its grade, source and date, so that nobody takes an estimate for a measurement.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far a figure can be trusted, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// Measured by this project, on this app or in its own tests.
    Measured,
    /// Measured by others and published.
    Observed,
    /// Stated by the provider.
    Published,
    /// Nobody published it: worked out or assumed, and said so.
    Estimated,
    /// Said by the user, in the file or in a price file.
    Declared,
}

impl Grade {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Observed => "observed",
            Self::Published => "published",
            Self::Estimated => "estimated",
            Self::Declared => "declared",
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A value and what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Figure<T> {
    /// The value, in the unit that the holder names.
    pub value: T,
    /// How far to trust it.
    pub grade: Grade,
    /// Who says so.
    pub source: Arc<str>,
    /// Of when it is, as the source gives it (`2026-06-18`, `2025`); empty: the source gives none.
    pub date: Arc<str>,
}

impl<T> Figure<T> {
    /// A figure from its parts.
    pub fn new(value: T, grade: Grade, source: impl Into<Arc<str>>, date: impl Into<Arc<str>>) -> Self {
        Self { value, grade, source: source.into(), date: date.into() }
    }
}
