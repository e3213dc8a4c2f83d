//! Reading the data files: rows by column name, and errors that name file, line and column.

use std::str::FromStr;

/// Why a data file, or a user's price file, cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}: {what}")]
pub struct DataError {
    /// Which file.
    pub file: String,
    /// 1-based.
    pub line: u64,
    /// What is wrong and what was expected.
    pub what: String,
}

/// A row, by column name.
pub(crate) struct Row<'a> {
    file: &'a str,
    line: u64,
    headers: &'a csv::StringRecord,
    record: &'a csv::StringRecord,
}

impl Row<'_> {
    /// The text of a column; empty where it has none.
    pub(crate) fn text(&self, column: &str) -> Result<&str, DataError> {
        let index = self
            .headers
            .iter()
            .position(|header| header == column)
            .ok_or_else(|| self.error(format!("there is no column `{column}`")))?;
        Ok(self.record.get(index).unwrap_or("").trim())
    }

    /// A column that may be empty.
    pub(crate) fn optional<T: FromStr>(&self, column: &str) -> Result<Option<T>, DataError> {
        let text = self.text(column)?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| self.error(format!("column `{column}` cannot hold `{text}`")))
    }

    /// A column that may not be empty.
    pub(crate) fn required<T: FromStr>(&self, column: &str) -> Result<T, DataError> {
        self.optional(column)?.ok_or_else(|| self.error(format!("column `{column}` is empty")))
    }

    /// 1-based.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    pub(crate) fn error(&self, what: String) -> DataError {
        DataError { file: self.file.into(), line: self.line, what }
    }
}

/// Hands every row to `each`.
pub(crate) fn rows(
    file: &str,
    text: &str,
    mut each: impl FnMut(&Row<'_>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let error = |error: csv::Error| DataError {
        file: file.into(),
        line: error.position().map_or(0, csv::Position::line),
        what: error.to_string(),
    };
    let headers = reader.headers().map_err(error)?.clone();
    for record in reader.records() {
        let record = record.map_err(error)?;
        let line = record.position().map_or(0, csv::Position::line);
        each(&Row { file, line, headers: &headers, record: &record })?;
    }
    Ok(())
}
