//! The journal as a chain: each entry names the hash of the one before of its region, so that none can be changed, removed or
//! moved afterwards without that being seen.
//!
//! [`append`] makes a link; [`verify`] walks one region's entries. The hash is that of exactly the bytes that the store keeps. What
//! a chain alone cannot show is that all of it was written anew, up to its head: that shows against a [`JournalHead`] which
//! somebody noted elsewhere.

use std::collections::BTreeMap;
use std::fmt;

use lifeboat_model::RegionId;
use lifeboat_model::journal::{EntryHash, JournalEntry};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::record::JournalHead;

/// The hash of an entry.
pub fn hash(stored: &[u8]) -> EntryHash {
    EntryHash(Sha256::digest(stored).into())
}

/// Gives an entry its number and its link, moves the head on to it, and returns the bytes to store.
pub fn append(head: &mut JournalHead, entry: &mut JournalEntry) -> Vec<u8> {
    entry.number = head.number + 1;
    entry.previous = Some(head.hash.unwrap_or(EntryHash::ORIGIN));
    let value = serde_json::to_vec(entry).expect("an entry is plain data");
    *head = JournalHead { number: entry.number, hash: Some(hash(&value)) };
    value
}

/// What is wrong with a region's journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub enum Finding {
    /// Entries are not there.
    Missing {
        /// The first that is missing.
        from: u64,
        /// The last one of them.
        to: u64,
    },
    /// An entry is not what it was when the next one was written.
    Changed {
        /// Its number.
        number: u64,
        /// What the next entry, or the head, says its hash is.
        expected: EntryHash,
        /// What it is.
        found: EntryHash,
    },
    /// The entry after it was changed and does not fit, so that nothing vouches for this one.
    Unconfirmed {
        /// Its number.
        number: u64,
    },
    /// Another entry stands in an entry's place.
    Moved {
        /// The place's number.
        place: u64,
        /// The entry's own number.
        number: u64,
        /// The entry's own region.
        region: RegionId,
    },
    /// What stands there is no entry.
    Unreadable {
        /// The place's number.
        number: u64,
    },
    /// It has no link, though an older one has.
    Unchained {
        /// Its number.
        number: u64,
    },
    /// It begins a chain, though there are entries before it.
    Begun {
        /// Its number.
        number: u64,
    },
    /// It is newer than the head, which is written together with the newest entry.
    BeyondHead {
        /// Its number.
        number: u64,
    },
    /// There are entries, and no head.
    NoHead,
    /// The head has no hash, though the newest entry is chained.
    HeadWithoutHash,
    /// An entry was noted elsewhere with another hash: it, and all after it, were written anew.
    NotAsNoted {
        /// Its number.
        number: u64,
        /// What was noted.
        noted: EntryHash,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { from, to } if from == to => write!(f, "entry {from} is missing"),
            Self::Missing { from, to } => write!(f, "entries {from} to {to} are missing"),
            Self::Changed { number, expected, found } => {
                write!(
                    f,
                    "entry {number} was changed: its hash was {expected} when the next was written, and is {found}"
                )
            }
            Self::Unconfirmed { number } => {
                write!(f, "entry {number} may have been changed: the one after it was, and does not fit to it")
            }
            Self::Moved { place, number, region } => {
                write!(f, "in the place of entry {place} stands entry {number} of {region}")
            }
            Self::Unreadable { number } => write!(f, "what stands in the place of entry {number} is no entry"),
            Self::Unchained { number } => {
                write!(
                    f,
                    "entry {number} names no entry before it, though older ones do: it was put there, or written by an older version"
                )
            }
            Self::Begun { number } => {
                write!(
                    f,
                    "entry {number} begins a new chain, though there are entries before it: the head was lost or removed"
                )
            }
            Self::BeyondHead { number } => {
                write!(f, "entry {number} is newer than the head, which is always written with the newest")
            }
            Self::NoHead => write!(f, "there are entries and no head"),
            Self::HeadWithoutHash => write!(f, "the head has no hash, though the newest entry is chained"),
            Self::NotAsNoted { number, noted } => {
                write!(f, "entry {number} is another than was noted ({noted}): it was written anew, with all after it")
            }
        }
    }
}

/// What came of walking a region's journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    /// How many entries there are.
    pub entries: u64,
    /// The number of the oldest: the anchor, which those after it vouch for, and before which nothing can be said.
    pub first: Option<u64>,
    /// How many were written before entries were chained: nothing vouches for them.
    pub unchained: u64,
    /// How far the journal is: what to note elsewhere.
    pub head: Option<JournalHead>,
    /// What is wrong, by number.
    pub findings: Vec<Finding>,
}

/// What else is known of a region's journal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// The head as the store has it.
    pub head: Option<JournalHead>,
    /// Whether the store has had to let go of the oldest entries.
    pub trimmed: bool,
    /// A head that was noted before, elsewhere.
    pub noted: Option<JournalHead>,
}

/// An entry and where it stands.
struct Link {
    /// `None`: unreadable.
    entry: Option<JournalEntry>,
    hash: EntryHash,
}

impl Link {
    fn previous(&self) -> Option<EntryHash> {
        self.entry.as_ref()?.previous
    }
}

/// Walks the entries of a region: for each the number that its key says, and its bytes as stored.
pub fn verify<'a>(region: &RegionId, stored: impl IntoIterator<Item = (u64, &'a [u8])>, known: Known) -> Walk {
    let mut findings = Vec::new();
    // By the number that each has itself: what was moved is then seen as such, and not as two changes.
    let mut links: BTreeMap<u64, Link> = BTreeMap::new();
    let mut moved = Vec::new();
    let mut entries = 0;
    for (place, value) in stored {
        entries += 1;
        let link = Link { entry: serde_json::from_slice(value).ok(), hash: hash(value) };
        match &link.entry {
            None => {
                findings.push(Finding::Unreadable { number: place });
                links.insert(place, link);
            }
            Some(entry) if entry.number == place && entry.region == *region => drop(links.insert(place, link)),
            Some(entry) => {
                findings.push(Finding::Moved { place, number: entry.number, region: entry.region.clone() });
                if entry.region == *region {
                    moved.push((entry.number, link));
                }
            }
        }
    }
    for (number, link) in moved {
        links.entry(number).or_insert(link);
    }
    find_gaps(&links, known, &mut findings);
    let unchained = find_unchained(&links, known, &mut findings);
    find_changes(&links, known, &mut findings);
    if let Some(JournalHead { number, hash: Some(noted) }) = known.noted
        && links.get(&number).is_some_and(|link| link.hash != noted)
    {
        findings.push(Finding::NotAsNoted { number, noted });
    }
    Walk { entries, first: links.keys().next().copied(), unchained, head: known.head, findings }
}

/// Numbers that are not there: before the oldest, between, and up to the head.
fn find_gaps(links: &BTreeMap<u64, Link>, known: Known, findings: &mut Vec<Finding>) {
    let head = known.head.map_or(0, |head| head.number);
    let noted = known.noted.map_or(0, |noted| noted.number);
    // Where all of a region's entries were trimmed, what it had is not missing.
    let mut expected = if known.trimmed { links.keys().next().copied().unwrap_or(head.max(noted) + 1) } else { 1 };
    for number in links.keys().copied() {
        if number > expected {
            findings.push(Finding::Missing { from: expected, to: number - 1 });
        }
        expected = number + 1;
    }
    if expected <= head.max(noted) {
        findings.push(Finding::Missing { from: expected, to: head.max(noted) });
    }
    match known.head {
        None if !links.is_empty() => findings.push(Finding::NoHead),
        None => {}
        Some(_) => {
            findings.extend(links.range(head + 1..).map(|(number, _)| Finding::BeyondHead { number: *number }));
        }
    }
}

/// Entries without a link, which only the oldest may be; and beginnings, which only the first that is chained may be.
fn find_unchained(links: &BTreeMap<u64, Link>, known: Known, findings: &mut Vec<Finding>) -> u64 {
    let (mut unchained, mut chained) = (0, false);
    for (number, link) in links.iter().filter(|(_, link)| link.entry.is_some()) {
        match link.previous() {
            None if chained => findings.push(Finding::Unchained { number: *number }),
            None => unchained += 1,
            Some(EntryHash::ORIGIN) if chained => findings.push(Finding::Begun { number: *number }),
            Some(_) => chained = true,
        }
    }
    if chained && known.head.is_some_and(|head| head.hash.is_none()) {
        findings.push(Finding::HeadWithoutHash);
    }
    unchained
}

/// From the newest to the oldest: each that is as it was vouches for the one before.
fn find_changes(links: &BTreeMap<u64, Link>, known: Known, findings: &mut Vec<Finding>) {
    let mut vouched: Option<(u64, EntryHash, bool)> = known.head.and_then(|head| Some((head.number, head.hash?, true)));
    for (number, link) in links.iter().rev() {
        let mut intact = true;
        if let Some((of, expected, by_intact)) = vouched
            && of == *number
            && expected != link.hash
        {
            intact = false;
            findings.push(if by_intact {
                Finding::Changed { number: *number, expected, found: link.hash }
            } else {
                Finding::Unconfirmed { number: *number }
            });
        }
        vouched = match link.previous() {
            Some(EntryHash::ORIGIN) | None => None,
            Some(previous) => Some((number - 1, previous, intact)),
        };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use lifeboat_model::Moment;
    use lifeboat_model::journal::EntryKind;

    use super::*;

    fn entry(what: &str) -> JournalEntry {
        JournalEntry {
            region: "a".into(),
            number: 0,
            unix_ms: 1,
            at: Moment(1),
            kind: EntryKind::Node,
            component: None,
            epoch: None,
            run: None,
            what: what.into(),
            why: String::new(),
            previous: None,
        }
    }

    /// Entries 1 to `count`, and their head.
    fn chain(count: u64) -> (BTreeMap<u64, Vec<u8>>, JournalHead) {
        let mut head = JournalHead::default();
        let stored = (1..=count).map(|number| (number, append(&mut head, &mut entry(&format!("thing {number}")))));
        (stored.collect(), head)
    }

    fn walk(stored: &BTreeMap<u64, Vec<u8>>, known: Known) -> Walk {
        verify(&"a".into(), stored.iter().map(|(number, value)| (*number, value.as_slice())), known)
    }

    fn told(stored: &BTreeMap<u64, Vec<u8>>, head: JournalHead) -> Vec<String> {
        let walk = walk(stored, Known { head: Some(head), ..Known::default() });
        walk.findings.iter().map(|finding| finding.to_string().split(':').next().unwrap().to_owned()).collect()
    }

    fn edit(stored: &mut BTreeMap<u64, Vec<u8>>, number: u64, edit: impl FnOnce(&mut JournalEntry)) {
        let mut entry: JournalEntry = serde_json::from_slice(&stored[&number]).unwrap();
        edit(&mut entry);
        stored.insert(number, serde_json::to_vec(&entry).unwrap());
    }

    #[test]
    fn what_was_done_to_a_journal_is_found_and_named() {
        type Deed = fn(&mut BTreeMap<u64, Vec<u8>>, &mut JournalHead);
        let deeds: [(&str, Deed, &[&str]); 16] = [
            ("nothing", |_, _| {}, &[]),
            (
                "a word is changed",
                |all, _| edit(all, 4, |entry| entry.what = "another thing".into()),
                &["entry 4 was changed"],
            ),
            ("a space is added", |all, _| all.get_mut(&4).unwrap().push(b' '), &["entry 4 was changed"]),
            ("the newest is changed", |all, _| edit(all, 9, |entry| entry.unix_ms = 7), &["entry 9 was changed"]),
            (
                "a changed one is linked up again",
                |all, _| {
                    edit(all, 4, |entry| entry.what = "another thing".into());
                    let hash = hash(&all[&4]);
                    edit(all, 5, |entry| entry.previous = Some(hash));
                },
                &["entry 5 was changed"],
            ),
            (
                "two in a row are changed",
                |all, _| {
                    edit(all, 4, |entry| entry.what = "another thing".into());
                    edit(all, 5, |entry| entry.what = "another thing".into());
                },
                &["entry 5 was changed", "entry 4 may have been changed"],
            ),
            ("one is removed", |all, _| drop(all.remove(&4)), &["entry 4 is missing"]),
            (
                "the newest two are removed",
                |all, _| all.retain(|number, _| *number < 8),
                &["entries 8 to 9 are missing"],
            ),
            (
                "the oldest two are removed",
                |all, _| all.retain(|number, _| *number > 2),
                &["entries 1 to 2 are missing"],
            ),
            ("all are removed", |all, _| all.clear(), &["entries 1 to 9 are missing"]),
            (
                "two are swapped",
                |all, _| {
                    let (four, five) = (all[&4].clone(), all[&5].clone());
                    all.extend([(4, five), (5, four)]);
                },
                &["in the place of entry 4 stands entry 5 of a", "in the place of entry 5 stands entry 4 of a"],
            ),
            (
                "one covers another",
                |all, _| drop(all.insert(4, all[&5].clone())),
                &["in the place of entry 4 stands entry 5 of a", "entry 4 is missing"],
            ),
            (
                "two are swapped and renumbered",
                |all, _| {
                    let (four, five) = (all[&4].clone(), all[&5].clone());
                    all.extend([(4, five), (5, four)]);
                    edit(all, 4, |entry| entry.number = 4);
                    edit(all, 5, |entry| entry.number = 5);
                },
                &["entry 5 was changed", "entry 4 may have been changed", "entry 3 may have been changed"],
            ),
            (
                "one of another region is put there",
                |all, _| edit(all, 4, |entry| entry.region = "b".into()),
                &["in the place of entry 4 stands entry 4 of b", "entry 4 is missing"],
            ),
            (
                "one is overwritten",
                |all, _| drop(all.insert(4, b"\xff".into())),
                &["what stands in the place of entry 4 is no entry", "entry 4 was changed"],
            ),
            (
                "a link is removed",
                |all, _| edit(all, 4, |entry| entry.previous = None),
                &["entry 4 names no entry before it, though older ones do", "entry 4 was changed"],
            ),
        ];
        for (deed, act, expected) in deeds {
            let (mut stored, mut head) = chain(9);
            act(&mut stored, &mut head);
            assert_eq!(told(&stored, head), expected, "{deed}");
        }
    }

    #[test]
    fn heads_that_do_not_fit_are_found() {
        let (stored, head) = chain(9);
        let of = |head| walk(&stored, Known { head, ..Known::default() }).findings;
        assert_eq!(of(None), [Finding::NoHead]);
        assert_eq!(of(Some(JournalHead { hash: None, ..head })), [Finding::HeadWithoutHash]);
        let (_, older) = chain(8);
        assert_eq!(of(Some(older)), [Finding::BeyondHead { number: 9 }]);
    }

    #[test]
    fn what_was_trimmed_is_not_missing_and_the_oldest_is_the_anchor() {
        let (mut stored, head) = chain(9);
        let known = Known { head: Some(head), trimmed: true, noted: None };
        stored.retain(|number, _| *number > 5);
        let seen = walk(&stored, known);
        assert_eq!((seen.findings, seen.first, seen.entries), (vec![], Some(6), 4));
        stored.clear();
        assert_eq!(walk(&stored, known).findings, [], "all of a region's entries may be older than the rest's");
    }

    #[test]
    fn entries_from_before_the_chain_are_counted_and_a_chain_begins_after_them() {
        let (mut stored, mut head) = (BTreeMap::new(), JournalHead { number: 3, hash: None });
        for number in 1..=3 {
            stored.insert(number, serde_json::to_vec(&JournalEntry { number, ..entry("old") }).unwrap());
        }
        let known = |head| Known { head: Some(head), ..Known::default() };
        let seen = walk(&stored, known(head));
        assert_eq!((seen.findings, seen.unchained), (vec![], 3));
        for number in 4..=6 {
            let value = append(&mut head, &mut entry("new"));
            stored.insert(number, value);
        }
        let seen = walk(&stored, known(head));
        assert_eq!((seen.findings, seen.unchained), (vec![], 3));
        edit(&mut stored, 6, |entry| entry.previous = Some(EntryHash::ORIGIN));
        assert!(walk(&stored, known(head)).findings.contains(&Finding::Begun { number: 6 }));
    }

    #[test]
    fn a_chain_that_was_written_anew_shows_against_a_head_that_was_noted() {
        let (_, noted) = chain(5);
        let mut head = JournalHead::default();
        let forged = (1..=9).map(|number| (number, append(&mut head, &mut entry("a kinder story")))).collect();
        let known = |noted| Known { head: Some(head), trimmed: false, noted };
        assert_eq!(walk(&forged, known(None)).findings, []);
        let expected = Finding::NotAsNoted { number: 5, noted: noted.hash.unwrap() };
        assert_eq!(walk(&forged, known(Some(noted))).findings, [expected]);
        let (stored, _) = chain(3);
        let (_, head) = chain(3);
        let known = Known { head: Some(head), trimmed: false, noted: Some(noted) };
        assert_eq!(walk(&stored, known).findings, [Finding::Missing { from: 4, to: 5 }], "cut back to an older state");
    }

    #[test]
    fn a_head_reads_as_it_was_written_before_the_chain_and_since() {
        let head = chain(2).1;
        let text = serde_json::to_string(&head).unwrap();
        assert_eq!(serde_json::from_str::<JournalHead>(&text).unwrap(), head);
        assert_eq!(serde_json::from_str::<JournalHead>("17").unwrap(), JournalHead { number: 17, hash: None });
    }

    #[test]
    fn the_hash_is_that_of_the_standard() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash(b"abc").to_string(), expected, "FIPS 180-2, appendix B.1");
        assert_eq!(expected.parse(), Ok(hash(b"abc")));
        for no in ["", "ba78", &"g".repeat(64), &"é".repeat(32)] {
            assert!(no.parse::<EntryHash>().is_err(), "{no}");
        }
    }
}
