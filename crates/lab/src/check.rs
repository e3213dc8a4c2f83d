//! What a client remembers, against what is there afterwards: one writer at a time, nothing lost that may not be, nothing read that was
//! taken back. Pure: histories in, violations out.
//!
//! All moments are readings of one machine's clock, the client's and the journal's alike.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use lifeboat_model::{Epoch, Moment, RegionId};

/// One write that a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// What it wrote; never used twice.
    pub id: i64,
    /// Whose server was asked.
    pub region: RegionId,
    /// Before it was sent.
    pub sent: Moment,
    /// After the answer was read, or when it was given up.
    pub ended: Moment,
    /// On which of the server's timelines it was acknowledged; `None`: it was not, and may be there or not.
    pub acknowledged: Option<u32>,
}

/// What a server that called itself a primary showed of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Whose server it was.
    pub region: RegionId,
    /// When it answered.
    pub ended: Moment,
    /// Some of the ids that it showed.
    pub ids: Vec<i64>,
}

/// An epoch in which writes could be acknowledged, by the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Which.
    pub epoch: Epoch,
    /// Who might write.
    pub region: RegionId,
    /// When its region decided to open it. Nothing is acknowledged in an epoch before that, and in none before it afterwards.
    pub opened: Moment,
}

/// Everything that is known of a run.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Every write, in any order.
    pub writes: Vec<Write>,
    /// Every read of a primary, in any order.
    pub reads: Vec<Read>,
    /// The epochs that were opened, in any order.
    pub turns: Vec<Turn>,
    /// What is there at the end, in the server that writes.
    pub there: BTreeSet<i64>,
}

/// How much of what was acknowledged may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing (RPO 0).
    Nothing,
    /// The last writes of an epoch, back to so long before its last one.
    AtMost(Duration),
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// S1: acknowledged by a region whose turn it was not.
    OutOfTurn(Write),
    /// S1: two regions acknowledged on one timeline.
    TwoWriters(Write, Write),
    /// S2: acknowledged, and not there.
    Lost(Write),
    /// S3: acknowledged, not there, and older than the loss that is allowed.
    TooOld(Write, Duration),
    /// Not there although a later write of the same turn is.
    Hole(Write, Write),
    /// Read from a primary, and not there in the end.
    TakenBack(Read, i64),
    /// There, and nobody wrote it.
    Invented(i64),
    /// Two epochs with one number, or an older one that was opened after a newer one.
    Disorder(Turn, Turn),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfTurn(write) => write!(f, "S1: acknowledged out of turn: {write}"),
            Self::TwoWriters(one, other) => write!(f, "S1: two writers on one timeline: {one}; {other}"),
            Self::Lost(write) => write!(f, "S2: acknowledged and lost: {write}"),
            Self::TooOld(write, age) => {
                write!(f, "S3: lost, and {:.3} s older than the last of its turn: {write}", age.as_secs_f64())
            }
            Self::Hole(write, later) => write!(f, "S2: lost though a later one is there: {write}; {later}"),
            Self::TakenBack(read, id) => {
                write!(f, "S2: {id} was read in {} at {} and is not there", read.region, read.ended)
            }
            Self::Invented(id) => write!(f, "{id} is there and was never written"),
            Self::Disorder(one, other) => write!(
                f,
                "S5: epoch {} of {} was opened at {}, epoch {} of {} at {}",
                one.epoch, one.region, one.opened, other.epoch, other.region, other.opened
            ),
        }
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}, sent at {}, answered at {}", self.id, self.region, self.sent, self.ended)?;
        match self.acknowledged {
            Some(timeline) => write!(f, " on timeline {timeline}"),
            None => write!(f, " without success"),
        }
    }
}

/// Every promise that the history shows broken, at most a few of each kind.
pub fn check(history: &History, loss: Loss) -> Vec<Violation> {
    const OF_A_KIND: usize = 3;
    let mut turns = history.turns.clone();
    turns.sort_by_key(|turn| turn.epoch);
    let mut writes: Vec<&Write> = history.writes.iter().filter(|write| write.acknowledged.is_some()).collect();
    writes.sort_by_key(|write| write.ended);

    let mut found = disorder(&turns);
    let mut by_turn: BTreeMap<usize, Vec<&Write>> = BTreeMap::new();
    let mut out_of_turn = Vec::new();
    for write in &writes {
        match turn_of(write, &turns) {
            Some(turn) => by_turn.entry(turn).or_default().push(write),
            None => out_of_turn.push(Violation::OutOfTurn((*write).clone())),
        }
    }
    found.extend(out_of_turn.into_iter().take(OF_A_KIND));
    for writes in by_turn.values() {
        found.extend(lost(writes, &history.there, loss).into_iter().take(OF_A_KIND));
    }
    if loss == Loss::Nothing {
        // Where something may be lost, a region may rightly go on from before what was lost, and use its timeline's number again.
        found.extend(two_writers(&writes).into_iter().take(OF_A_KIND));
        found.extend(taken_back(history).into_iter().take(OF_A_KIND));
    }
    let written: BTreeSet<i64> = history.writes.iter().map(|write| write.id).collect();
    found.extend(history.there.difference(&written).take(OF_A_KIND).map(|id| Violation::Invented(*id)));
    found
}

/// The newest turn that a write fits into: its region's, opened before the answer came, and no other region's was opened before it was sent.
fn turn_of(write: &Write, turns: &[Turn]) -> Option<usize> {
    let fits = |index: usize| {
        let turn = &turns[index];
        let next = turns[index + 1..].iter().find(|next| next.region != turn.region);
        turn.region == write.region && turn.opened <= write.ended && next.is_none_or(|next| write.sent <= next.opened)
    };
    (0..turns.len()).rev().find(|index| fits(*index))
}

fn disorder(turns: &[Turn]) -> Vec<Violation> {
    let wrong = |pair: &&[Turn]| pair[0].epoch == pair[1].epoch || pair[0].opened > pair[1].opened;
    turns.windows(2).filter(wrong).map(|pair| Violation::Disorder(pair[0].clone(), pair[1].clone())).collect()
}

/// `writes` of one turn, by their answers.
fn lost(writes: &[&Write], there: &BTreeSet<i64>, loss: Loss) -> Vec<Violation> {
    let last = writes.last().map(|write| write.ended).unwrap_or_default();
    let last_kept = writes.iter().filter(|write| there.contains(&write.id)).max_by_key(|write| write.sent);
    let missing = writes.iter().filter(|write| !there.contains(&write.id));
    missing
        .filter_map(|write| {
            let write = (*write).clone();
            let age = last.since(write.ended);
            match (loss, last_kept) {
                (_, Some(kept)) if kept.sent > write.ended => Some(Violation::Hole(write, (*kept).clone())),
                (Loss::Nothing, _) => Some(Violation::Lost(write)),
                (Loss::AtMost(allowed), _) if age > allowed => Some(Violation::TooOld(write, age)),
                (Loss::AtMost(_), _) => None,
            }
        })
        .collect()
}

fn two_writers(writes: &[&Write]) -> Vec<Violation> {
    let mut first: BTreeMap<u32, &Write> = BTreeMap::new();
    let mut found = Vec::new();
    for write in writes {
        let Some(timeline) = write.acknowledged else { continue };
        let before = *first.entry(timeline).or_insert(write);
        if before.region != write.region {
            found.push(Violation::TwoWriters(before.clone(), (*write).clone()));
        }
    }
    found
}

fn taken_back(history: &History) -> Vec<Violation> {
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for read in &history.reads {
        for id in read.ids.iter().filter(|id| !history.there.contains(id)) {
            if told.insert(*id) {
                found.push(Violation::TakenBack(read.clone(), *id));
            }
        }
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may end by a panic")]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment(1_000_000_000_000 + ms * 1_000_000)
    }

    /// `12 a 100-110 t1`: id, region, sent and answered in ms, timeline; `t0`: without success.
    fn write(text: &str) -> Write {
        let words: Vec<&str> = text.split(' ').collect();
        let (sent, ended) = words[2].split_once('-').unwrap();
        let timeline: u32 = words[3].strip_prefix('t').unwrap().parse().unwrap();
        Write {
            id: words[0].parse().unwrap(),
            region: words[1].into(),
            sent: at(sent.parse().unwrap()),
            ended: at(ended.parse().unwrap()),
            acknowledged: (timeline > 0).then_some(timeline),
        }
    }

    fn turn(epoch: u64, region: &str, opened: u64) -> Turn {
        Turn { epoch: Epoch(epoch), region: region.into(), opened: at(opened) }
    }

    fn read(region: &str, ended: u64, ids: &[i64]) -> Read {
        Read { region: region.into(), ended: at(ended), ids: ids.into() }
    }

    /// Writing in `a`, then in `b`; a write of `a` whose answer never came is there, another is not.
    fn good() -> History {
        let writes =
            ["1 a 10-20 t1", "2 a 30-40 t1", "3 a 50-2050 t0", "4 a 60-2060 t0", "5 b 900-910 t2", "6 b 920-930 t2"];
        History {
            writes: writes.map(write).into(),
            reads: vec![read("a", 45, &[1, 2]), read("b", 950, &[1, 2, 3, 5, 6])],
            turns: vec![turn(1, "a", 0), turn(2, "b", 800)],
            there: [1, 2, 3, 5, 6].into(),
        }
    }

    fn found(change: impl FnOnce(&mut History), loss: Loss) -> Vec<String> {
        let mut history = good();
        change(&mut history);
        check(&history, loss).iter().map(ToString::to_string).collect()
    }

    const NOTHING: Loss = Loss::Nothing;
    const SOME: Loss = Loss::AtMost(Duration::from_millis(15));

    #[test]
    fn a_good_history_is_found_good() {
        assert_eq!(found(|_| (), NOTHING), [""; 0]);
        assert_eq!(found(|_| (), SOME), [""; 0]);
    }

    #[test]
    fn an_answer_that_was_under_way_when_the_next_turn_began_is_of_the_turn_before() {
        let late = |h: &mut History| {
            h.writes.push(write("7 a 790-960 t1"));
            h.there.insert(7);
        };
        assert_eq!(found(late, NOTHING), [""; 0]);
    }

    #[test]
    fn every_bad_history_is_found_bad() {
        type Change = fn(&mut History);
        let cases: [(&str, Change, Loss, &str); 14] = [
            (
                "an old writer acknowledges",
                |h| h.writes.push(write("2 a 801-805 t1")),
                NOTHING,
                "S1: acknowledged out of turn: 2 in a",
            ),
            (
                "also where something may be lost",
                |h| h.writes.push(write("2 a 801-805 t1")),
                SOME,
                "S1: acknowledged out of turn",
            ),
            (
                "a writer acknowledges before its turn",
                |h| h.writes.push(write("6 b 700-799 t2")),
                NOTHING,
                "S1: acknowledged out of turn",
            ),
            (
                "a region without a turn acknowledges",
                |h| h.writes.push(write("6 c 900-905 t3")),
                NOTHING,
                "S1: acknowledged out of turn",
            ),
            (
                "two writers on one timeline",
                |h| h.writes[4].acknowledged = Some(1),
                NOTHING,
                "S1: two writers on one timeline: 1 in a",
            ),
            ("the last write of a turn is lost", |h| _ = h.there.remove(&2), NOTHING, "S2: acknowledged and lost: 2"),
            ("the newest write is lost", |h| _ = h.there.remove(&6), NOTHING, "S2: acknowledged and lost: 6"),
            (
                "one in the middle is lost",
                |h| _ = h.there.remove(&1),
                NOTHING,
                "S2: lost though a later one is there: 1 in a",
            ),
            (
                "one in the middle is lost, where some may be",
                |h| _ = h.there.remove(&1),
                SOME,
                "S2: lost though a later one is there",
            ),
            ("more is lost than is allowed", |h| h.there.retain(|id| *id > 2), SOME, "S3: lost, and 0.020 s older"),
            (
                "something that was read is not there",
                |h| h.reads.push(read("a", 700, &[4])),
                NOTHING,
                "S2: 4 was read in a",
            ),
            (
                "something is there that nobody wrote",
                |h| _ = h.there.insert(99),
                SOME,
                "99 is there and was never written",
            ),
            ("an epoch is opened twice", |h| h.turns.push(turn(2, "a", 805)), SOME, "S5: epoch 2"),
            ("an older epoch is opened late", |h| h.turns.push(turn(3, "a", 100)), SOME, "S5: epoch 2 of b was opened"),
        ];
        for (name, change, loss, expected) in cases {
            let found = found(change, loss);
            assert!(found.iter().any(|violation| violation.starts_with(expected)), "{name}: {found:#?}");
        }
    }

    #[test]
    fn what_may_be_lost_is_no_violation() {
        assert_eq!(found(|h| _ = h.there.remove(&2), SOME), [""; 0]);
        let taken_back = |h: &mut History| h.reads.push(read("a", 700, &[4]));
        assert_eq!(found(taken_back, SOME), [""; 0], "its reads may be taken back with it");
    }
}
