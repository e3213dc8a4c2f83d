//! Recovery times and losses as providers, or people who measured, published them.

use std::sync::Arc;

use crate::figure::{Figure, Grade};
use crate::table::{DataError, rows};

/// What a published figure is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Time to recover.
    Rto,
    /// Data lost.
    Rpo,
    /// A step's own duration.
    Duration,
}

/// A published figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// `aurora-global-failover`
    pub mechanism: String,
    /// What it is of.
    pub metric: Metric,
    /// The usual value in seconds, with grade and source; `None`: only words were published.
    pub typical_s: Option<Figure<f64>>,
    /// The worst value in seconds that the source allows.
    pub worst_s: Option<f64>,
    /// When it holds.
    pub condition: String,
}

/// The day on which the sources were read; most of them carry no date of their own.
const COLLECTED: &str = "2026-11-24";

pub(crate) fn parse(text: &str) -> Result<Vec<Published>, DataError> {
    let mut published = Vec::new();
    rows("published_recovery.csv", text, |row| {
        let metric = match row.text("metric")? {
            "rto" => Metric::Rto,
            "rpo" => Metric::Rpo,
            "duration" => Metric::Duration,
            other => return Err(row.error(format!("`{other}` is no metric"))),
        };
        let source: Arc<str> = row.text("source")?.into();
        let grade = grade(row.text("basis")?, &source);
        let typical: Option<f64> = row.optional("value_s_typical")?;
        published.push(Published {
            mechanism: row.required("mechanism")?,
            metric,
            typical_s: typical.map(|value| Figure::new(value, grade, source, COLLECTED)),
            worst_s: row.optional("value_s_worst")?,
            condition: row.text("condition")?.into(),
        });
        Ok(())
    })?;
    Ok(published)
}

/// The weakest grade that the row's basis admits to.
fn grade(basis: &str, source: &str) -> Grade {
    if source.contains("in this project") {
        Grade::Measured
    } else if basis.contains("estimate") {
        Grade::Estimated
    } else if basis.contains("measured") {
        Grade::Observed
    } else {
        Grade::Published
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Atlas;

    #[test]
    fn grades_tell_published_from_estimated() {
        let first = |mechanism, metric| {
            Atlas::embedded().published(mechanism, metric).next().and_then(|row| row.typical_s.clone()).unwrap()
        };
        assert_eq!(first("azure-sql-manual-failover", Metric::Rto).grade, Grade::Published);
        assert_eq!(first("azure-postgres-geo-replica-promote", Metric::Rto).grade, Grade::Estimated);
        assert_eq!(first("pg-promote", Metric::Duration).grade, Grade::Measured);
        assert_eq!(first("ec2-launch-to-ssh", Metric::Duration).grade, Grade::Observed);
        let words: Vec<_> = Atlas::embedded().published("s3-crr", Metric::Rpo).collect();
        assert_eq!(words[0].typical_s, None, "words are not turned into a number");
    }
}
