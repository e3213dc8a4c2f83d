//! A number with its grade, source and date, so that nobody takes an estimate for a measurement.

use std::fmt;
use std::str::FromStr;
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

    /// What something that was worked out of both is worth: a declaration more than an estimate, else the one that comes later.
    #[must_use]
    pub fn weaker(self, other: Self) -> Self {
        let rank = |grade| match grade {
            Self::Measured => 0,
            Self::Observed => 1,
            Self::Published => 2,
            Self::Declared => 3,
            Self::Estimated => 4,
        };
        if rank(self) >= rank(other) { self } else { other }
    }
}

impl FromStr for Grade {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Measured, Self::Observed, Self::Published, Self::Estimated, Self::Declared];
        all.into_iter().find(|grade| grade.as_str() == text).ok_or_else(|| format!("`{text}` is no grade"))
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
