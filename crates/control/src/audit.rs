//! The whole journal as a store has it, of all regions, walked as chains: what `lifeboat events --verify` shows.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::RegionId;
use serde::{Deserialize, Serialize};

use crate::chain::{self, Known, Walk};
use crate::record::JournalHead;

/// The journal byte for byte: the answer of `GET /v1/journal`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredJournal {
    /// How many entries the store keeps, of all regions together. It lets go of the oldest when there are more.
    pub kept: u64,
    /// How many there are in the store: with those that are newer than the heads, which are not among the entries here.
    pub stored: u64,
    /// Each region's head.
    pub heads: BTreeMap<RegionId, Option<JournalHead>>,
    /// The entries.
    pub entries: Vec<StoredEntry>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEntry {
    /// Its key.
    pub key: String,
    /// Its value, exactly. `None`: no text, thus nothing that was ever written to a journal.
    pub value: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Each region's journal.
    pub regions: BTreeMap<RegionId, Walk>,
    /// Keys below the journal's that no entry has.
    pub strays: Vec<String>,
    /// Whether the store has had to let go of the oldest entries: otherwise every journal begins with entry 1.
    pub trimmed: bool,
}

impl Audit {
    /// Walks every region's journal. `noted`: an audit of before, if one was kept elsewhere.
    pub fn of(journal: &StoredJournal, noted: Option<&Self>) -> Self {
        let mut strays = Vec::new();
        let mut by_region: BTreeMap<RegionId, BTreeMap<u64, &[u8]>> = BTreeMap::new();
        for entry in &journal.entries {
            let place = entry.key.strip_prefix("journal/").and_then(|rest| rest.rsplit_once('/'));
            match place.and_then(|(region, number)| Some((region, number.parse().ok()?))) {
                Some((region, number)) => {
                    let value = entry.value.as_deref().unwrap_or_default();
                    by_region.entry(region.into()).or_default().insert(number, value.as_bytes());
                }
                None => strays.push(entry.key.clone()),
            }
        }
        let trimmed = journal.stored >= journal.kept;
        let noted_heads = noted.iter().flat_map(|noted| &noted.regions);
        let noted_heads: BTreeMap<&RegionId, JournalHead> =
            noted_heads.filter_map(|(region, walk)| Some((region, walk.head?))).collect();
        let names: BTreeSet<&RegionId> =
            by_region.keys().chain(journal.heads.keys()).chain(noted_heads.keys().copied()).collect();
        let regions = names.into_iter().map(|region| {
            let known = Known {
                head: journal.heads.get(region).copied().flatten(),
                trimmed,
                noted: noted_heads.get(region).copied(),
            };
            let stored = by_region.get(region).into_iter().flatten().map(|(number, value)| (*number, *value));
            (region.clone(), chain::verify(region, stored, known))
        });
        Self { regions: regions.collect(), strays, trimmed }
    }

    /// Whether nothing is wrong.
    pub fn is_intact(&self) -> bool {
        self.strays.is_empty() && self.regions.values().all(|walk| walk.findings.is_empty())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use lifeboat_model::Moment;
    use lifeboat_model::journal::{EntryKind, JournalEntry};

    use super::*;
    use crate::chain::Finding;
    use crate::record;

    fn journal(regions: &[(&str, u64)]) -> StoredJournal {
        let mut journal = StoredJournal { kept: 100, stored: 5, ..StoredJournal::default() };
        for (name, count) in regions {
            let region = RegionId::from(*name);
            let mut head = JournalHead::default();
            for _ in 0..*count {
                let mut entry = JournalEntry {
                    region: region.clone(),
                    number: 0,
                    unix_ms: 0,
                    at: Moment(0),
                    kind: EntryKind::Node,
                    component: None,
                    epoch: None,
                    run: None,
                    what: "something".into(),
                    why: String::new(),
                    previous: None,
                };
                let value = chain::append(&mut head, &mut entry);
                let key = record::journal_key(&region, head.number);
                journal.entries.push(StoredEntry { key, value: Some(String::from_utf8(value).unwrap()) });
            }
            journal.heads.insert(region, Some(head));
        }
        journal
    }

    #[test]
    fn each_region_has_a_chain_of_its_own() {
        let mut all = journal(&[("a", 3), ("b", 2)]);
        let audit = Audit::of(&all, None);
        assert!(audit.is_intact() && !audit.trimmed, "{audit:?}");
        all.entries.retain(|entry| entry.key != "journal/b/000000000001");
        let audit = Audit::of(&all, None);
        assert_eq!(audit.regions["a"].findings, []);
        assert_eq!(audit.regions["b"].findings, [Finding::Missing { from: 1, to: 1 }]);
        all.kept = 4;
        assert!(Audit::of(&all, None).is_intact(), "the oldest may have been trimmed");
    }

    #[test]
    fn what_is_no_entry_and_a_region_that_vanished_are_told() {
        let all = journal(&[("a", 3), ("b", 2)]);
        let noted = Audit::of(&all, None);
        let mut later = journal(&[("a", 4)]);
        later.entries.push(StoredEntry { key: "journal/a/x".into(), value: None });
        let audit = Audit::of(&later, Some(&noted));
        assert_eq!(audit.strays, ["journal/a/x"]);
        assert_eq!(audit.regions["b"].findings, [Finding::Missing { from: 1, to: 2 }]);
        assert_eq!(audit.regions["a"].findings, []);
        later.entries[0].value = None;
        assert_eq!(Audit::of(&later, None).regions["a"].findings[0], Finding::Unreadable { number: 1 });
    }
}
