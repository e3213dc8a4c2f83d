//! Where a DynamoDB table may be strongly consistent: in three regions of one set, of which there are few.

use std::collections::BTreeMap;

use crate::table::{DataError, rows};

/// The set of each AWS region that is in one.
#[derive(Default)]
pub(crate) struct StrongSets(BTreeMap<String, String>);

impl StrongSets {
    pub(crate) fn parse(text: &str) -> Result<Self, DataError> {
        let mut sets = Self::default();
        rows("strong_tables.csv", text, |row| {
            sets.0.insert(row.required("region")?, row.required("set")?);
            Ok(())
        })?;
        Ok(sets)
    }

    pub(crate) fn of(&self, region: &str) -> Option<&str> {
        self.0.get(region).map(String::as_str)
    }
}
