//! From what the client remembers and what the journal says to figures: the gap in service, its parts, what was lost.
//!
//! Pure: histories in, figures out. All moments are of one machine's clock.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use lifeboat_model::journal::{EntryKind, JournalEntry};
use lifeboat_model::{ComponentId, Moment, RegionId};

use crate::client::Acknowledged;
use crate::report::{Median, Objective, Run, Split, TimelineEntry};

/// A part of a drill with one interruption in it: the reaction to the fault, or the way back.
#[derive(Clone, Debug)]
pub(crate) struct Phase {
    /// Which repetition it belongs to, from 1.
    pub repetition: u32,
    /// What began it.
    pub cause: Cause,
    /// The database behind the route that the client uses.
    pub database: ComponentId,
    /// Where writing was when it began.
    pub writer: RegionId,
    /// Orders acknowledged after this moment count as this phase's. Earlier than `began` for the first one: what was
    /// acknowledged before a fault is what may be lost by it.
    pub counted_from: Moment,
    /// The fault, or the request.
    pub began: Moment,
    /// When service counted as steady again, or was given up.
    pub settled: Moment,
    /// From when on the next phase counts.
    pub ended: Moment,
}

/// What a phase begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The drill did something to this region.
    Fault(RegionId),
    /// The drill asked for a planned switchover.
    Request,
}

/// The longest time without an acknowledged order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// The last order before it; without any, the phase's beginning.
    pub from: Moment,
    /// The first order after it; if none came, the phase's end.
    pub to: Moment,
    /// Whether an order came.
    pub closed: bool,
}

/// Finds the longest gap of a phase that begins before `until`, and the longest one that begins later.
///
/// `acknowledged` is in the order of `at`. The first candidate begins with the last order before the fault, the last one ends
/// with the phase: service that does not come back is a gap, too. What the cause of the phase did is over at `until`;
/// what stutters later has another reason, and must not be taken for it.
pub(crate) fn gaps(acknowledged: &[Acknowledged], phase: &Phase, until: Moment) -> (Gap, Duration) {
    let after = acknowledged.partition_point(|order| order.at <= phase.began);
    let before = after.checked_sub(1).map_or(phase.began, |last| acknowledged[last].at);
    let mut longest = Gap { from: before, to: before, closed: true };
    let mut later = Duration::ZERO;
    let mut previous = before;
    let within = acknowledged[after..].iter().map(|order| order.at).take_while(|at| *at <= phase.ended);
    for (at, closed) in within.map(|at| (at, true)).chain([(phase.ended, false)]) {
        let length = at.since(previous);
        if previous > phase.began && previous >= until {
            later = later.max(length);
        } else if length > longest.to.since(longest.from) {
            longest = Gap { from: previous, to: at, closed };
        }
        previous = at;
    }
    (longest, later)
}

/// Until when a gap is the phase's: where writing moved, until the first order that the new writer accepted; otherwise
/// until service counted as steady.
fn concerned_until(
    acknowledged: &[Acknowledged],
    phase: &Phase,
    moved_to: Option<&RegionId>,
    regions: &BTreeMap<IpAddr, RegionId>,
) -> Moment {
    let Some(writer) = moved_to else { return phase.settled };
    acknowledged
        .iter()
        .find(|order| order.at > phase.began && regions.get(&order.address) == Some(writer))
        .map_or(phase.ended, |order| order.at)
}

/// Whole milliseconds from `earlier`, rounded to the nearest; negative if `moment` was before.
pub(crate) fn millis(moment: Moment, earlier: Moment) -> i64 {
    let nanos = i128::from(moment.0) - i128::from(earlier.0);
    i64::try_from((nanos + nanos.signum() * 500_000) / 1_000_000).unwrap_or(i64::MAX)
}

fn duration_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whether writing moved in this phase, and where it is at its end: by the newest claim.
pub(crate) fn moved_to(phase: &Phase, events: &[JournalEntry]) -> Option<RegionId> {
    of_phase(phase, events)
        .rfind(|entry| entry.kind == EntryKind::Claim && is_of(entry, &phase.database))
        .map(|entry| entry.region.clone())
        .filter(|region| *region != phase.writer)
}

fn of_phase<'a>(phase: &Phase, events: &'a [JournalEntry]) -> impl DoubleEndedIterator<Item = &'a JournalEntry> {
    let (from, to) = (phase.began, phase.ended);
    events.iter().filter(move |entry| entry.at >= from && entry.at <= to)
}

fn is_of(entry: &JournalEntry, database: &ComponentId) -> bool {
    entry.component.as_ref().is_none_or(|component| component == database)
}

/// Splits the gap at the journal's entries. The parts are differences of rounded offsets, so they sum to the RTO exactly.
pub(crate) fn split(gap: Gap, phase: &Phase, moved: bool, events: &[JournalEntry]) -> Split {
    let from = gap.from.min(phase.began);
    let within: Vec<&JournalEntry> = events.iter().filter(|entry| entry.at >= from && entry.at <= gap.to).collect();
    let first = |wanted: &dyn Fn(&JournalEntry) -> bool| within.iter().find(|e| wanted(e)).map(|e| e.at);
    let last = |wanted: &dyn Fn(&JournalEntry) -> bool| within.iter().rfind(|e| wanted(e)).map(|e| e.at);

    let verdict = |entry: &JournalEntry| match &phase.cause {
        Cause::Fault(region) => entry.kind == EntryKind::Verdict && mentions(&entry.what, region),
        Cause::Request => false,
    };
    let (detected, decided, executed) = match &phase.cause {
        Cause::Fault(region) if !moved => {
            // Nodes also put down that a suspicion is over; that detects nothing.
            let suspected = |entry: &JournalEntry| {
                entry.kind == EntryKind::Suspicion && mentions(&entry.what, region) && !entry.what.ends_with("answers")
            };
            let noticed = |entry: &JournalEntry| verdict(entry) || suspected(entry);
            let restarted = |entry: &JournalEntry| {
                matches!(entry.kind, EntryKind::Database | EntryKind::Compute | EntryKind::Open)
                    && entry.region == *region
            };
            (first(&noticed), None, last(&restarted))
        }
        Cause::Fault(_) | Cause::Request => (
            first(&verdict),
            first(&|entry| entry.kind == EntryKind::Claim && is_of(entry, &phase.database)),
            last(&|entry| entry.kind == EntryKind::Open && is_of(entry, &phase.database)),
        ),
    };
    let routed = executed
        .and_then(|executed| first(&|entry| entry.kind == EntryKind::Route && entry.at >= executed))
        .or_else(|| last(&|entry| entry.kind == EntryKind::Route));

    let offset = |moment: Moment| u64::try_from(millis(moment, gap.from)).unwrap_or(0);
    let mut previous = 0;
    let mut part = |end: Option<Moment>| {
        let end = end.map_or(previous, |end| offset(end).max(previous));
        let part = end - previous;
        previous = end;
        part
    };
    Split {
        detect: part(detected),
        decide: part(decided),
        execute: part(executed),
        route: part(routed),
        recover: part(Some(gap.to)),
    }
}

/// Whether a sentence names the region as a word of its own.
pub(crate) fn mentions(text: &str, region: &RegionId) -> bool {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).any(|word| word == region.as_str())
}

/// Everything about a phase but its drawing. `drill` are the drill's own entries; `missing` the numbers of the orders that
/// are not there at the end, `None` if nobody could be asked.
pub(crate) fn run(
    phase: &Phase,
    acknowledged: &[Acknowledged],
    events: &[JournalEntry],
    drill: &[(Moment, TimelineEntry)],
    missing: Option<&BTreeSet<u64>>,
    regions: &BTreeMap<IpAddr, RegionId>,
    objective: Objective,
) -> (Run, Gap) {
    let to = moved_to(phase, events);
    let until = concerned_until(acknowledged, phase, to.as_ref(), regions);
    let (gap, later) = gaps(acknowledged, phase, until);
    let counted: Vec<&Acknowledged> =
        acknowledged.iter().filter(|order| order.at > phase.counted_from && order.at <= phase.ended).collect();
    let lost: Option<Vec<Moment>> = missing
        .map(|missing| counted.iter().filter(|order| missing.contains(&order.number)).map(|order| order.at).collect());
    let lost_span = lost.as_ref().and_then(|lost| Some(lost.last()?.since(*lost.first()?))).unwrap_or_default();
    let intent = match (&phase.cause, &to) {
        (Cause::Request, _) => "switchover",
        (Cause::Fault(_), Some(_)) => "failover",
        (Cause::Fault(_), None) => "restart",
    };
    let split = split(gap, phase, to.is_some(), events);
    let run = Run {
        repetition: phase.repetition,
        intent: intent.into(),
        from: phase.writer.to_string(),
        to: to.unwrap_or_else(|| phase.writer.clone()).to_string(),
        served_again: gap.closed,
        rto_ms: split.parts().iter().map(|(_, part)| part).sum(),
        split_ms: split,
        later_gap_ms: duration_millis(later),
        acknowledged: counted.len() as u64,
        lost: lost.map(|lost| lost.len() as u64),
        lost_span_ms: duration_millis(lost_span),
        objective,
        timeline: timeline(phase, events, drill, gap),
        chart: crate::report::Chart::default(),
    };
    (run, gap)
}

fn timeline(phase: &Phase, events: &[JournalEntry], drill: &[(Moment, TimelineEntry)], gap: Gap) -> Vec<TimelineEntry> {
    let mut all: Vec<(Moment, TimelineEntry)> =
        of_phase(phase, events).map(|entry| (entry.at, told(entry, phase.began))).collect();
    all.extend(drill.iter().filter(|(at, _)| *at >= phase.began && *at < phase.ended).cloned());
    if gap.closed {
        all.push((gap.to, first_order(gap.to, phase.began)));
    }
    all.sort_by_key(|(at, _)| *at);
    let entries = all.into_iter().map(|(at, entry)| TimelineEntry { at_ms: millis(at, phase.began), ..entry });
    without_repetitions(entries)
}

/// A decision not to act may be taken anew with every observation. It is shown once, where it was taken first, with how often.
fn without_repetitions(entries: impl Iterator<Item = TimelineEntry>) -> Vec<TimelineEntry> {
    let mut shown: Vec<(TimelineEntry, u32)> = Vec::new();
    for entry in entries {
        let known = shown.iter_mut().rfind(|(known, _)| is_repetition(known, &entry));
        match known {
            Some((_, times)) => *times += 1,
            None => shown.push((entry, 1)),
        }
    }
    let told = |(entry, times): (TimelineEntry, u32)| match times {
        1 => entry,
        _ => TimelineEntry { what: format!("{} ({times} times)", entry.what), ..entry },
    };
    shown.into_iter().map(told).collect()
}

/// Whether the same node refrains from the same thing for the same reason.
pub(crate) fn is_repetition(known: &TimelineEntry, entry: &TimelineEntry) -> bool {
    entry.kind == kind_word(EntryKind::Refrain)
        && (&known.region, &known.kind, &known.what, &known.why)
            == (&entry.region, &entry.kind, &entry.what, &entry.why)
}

/// A journal entry as a line of the timeline that began at `began`.
pub(crate) fn told(entry: &JournalEntry, began: Moment) -> TimelineEntry {
    TimelineEntry {
        at_ms: millis(entry.at, began),
        region: entry.region.to_string(),
        kind: kind_word(entry.kind).into(),
        what: entry.what.clone(),
        why: entry.why.clone(),
    }
}

/// The client's line: service is back.
pub(crate) fn first_order(at: Moment, began: Moment) -> TimelineEntry {
    TimelineEntry {
        at_ms: millis(at, began),
        region: "client".into(),
        kind: "client".into(),
        what: "first order accepted".into(),
        why: String::new(),
    }
}

/// The word that the journal's JSON uses.
fn kind_word(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Node => "node",
        EntryKind::Suspicion => "suspicion",
        EntryKind::Verdict => "verdict",
        EntryKind::Refrain => "refrain",
        EntryKind::Run => "run",
        EntryKind::Step => "step",
        EntryKind::Claim => "claim",
        EntryKind::Fence => "fence",
        EntryKind::Promote => "promote",
        EntryKind::Open => "open",
        EntryKind::Alone => "alone",
        EntryKind::Synchronous => "synchronous",
        EntryKind::Route => "route",
        EntryKind::Database => "database",
        EntryKind::Compute => "compute",
        EntryKind::Divergence => "divergence",
        EntryKind::Lease => "lease",
        EntryKind::Request => "request",
    }
}

/// By intent, over the runs in which service came back.
pub(crate) fn medians(runs: &[Run]) -> BTreeMap<String, Median> {
    let mut by_intent: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.served_again) {
        by_intent.entry(&run.intent).or_default().push(run);
    }
    by_intent
        .into_iter()
        .map(|(intent, runs)| {
            let middle = |figure: &dyn Fn(&Run) -> u64| {
                let mut figures: Vec<u64> = runs.iter().map(|run| figure(run)).collect();
                figures.sort_unstable();
                figures.get(figures.len() / 2).copied().unwrap_or(0)
            };
            let median = Median {
                runs: runs.len() as u64,
                rto_ms: middle(&|run| run.rto_ms),
                rto_min_ms: runs.iter().map(|run| run.rto_ms).min().unwrap_or(0),
                rto_max_ms: runs.iter().map(|run| run.rto_ms).max().unwrap_or(0),
                split_ms: Split {
                    detect: middle(&|run| run.split_ms.detect),
                    decide: middle(&|run| run.split_ms.decide),
                    execute: middle(&|run| run.split_ms.execute),
                    route: middle(&|run| run.split_ms.route),
                    recover: middle(&|run| run.split_ms.recover),
                },
            };
            (intent.to_owned(), median)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{self, FAULT, OBJECTIVE, acknowledged, at, entry, journal, phases};
    use EntryKind::{Claim, Compute, Database, Open, Route, Suspicion, Verdict};

    fn orders(at_ms: &[i64]) -> Vec<Acknowledged> {
        let order = |(number, ms): (u64, &i64)| Acknowledged {
            number,
            sent: at(*ms) - Duration::from_millis(1),
            at: at(*ms),
            address: "127.0.10.1".parse().unwrap(),
        };
        (1..).zip(at_ms).map(order).collect()
    }

    fn fault_phase(ended_ms: i64) -> Phase {
        Phase { settled: at(ended_ms), ended: at(ended_ms), ..phases()[0].clone() }
    }

    #[test]
    fn the_gap_begins_with_the_last_order_before_the_fault_or_later_and_before_the_end_of_the_matter() {
        type Case<'a> = (&'a [i64], i64, i64, (i64, i64, bool), u64);
        // Orders, until when it matters, the phase's end → from, to, closed, the longest later.
        let cases: &[Case<'_>] = &[
            // The plain case.
            (&[-30, -20, -10, 470, 480, 490], 470, 500, (-10, 470, true), 10),
            // An answer that was under way arrives after the fault.
            (&[-30, -10, 2, 470, 480], 470, 490, (2, 470, true), 10),
            // A longer gap before the fault is not the fault's.
            (&[-5000, -10, 100, 110], 100, 120, (-10, 100, true), 10),
            // Service stutters before it is settled: the longer of two gaps counts.
            (&[-10, 200, 210, 900, 910], 1000, 920, (210, 900, true), 0),
            // It stutters when all is over: that is told apart.
            (&[-10, 200, 210, 900, 910], 200, 920, (-10, 200, true), 690),
            // It does not come back.
            (&[-20, -10], 9000, 9000, (-10, 9000, false), 0),
            // It comes back for a moment only, and was never settled.
            (&[-10, 200, 210], 9000, 9000, (210, 9000, false), 0),
            // Nothing was ever accepted: the gap begins with the fault.
            (&[], 700, 700, (0, 700, false), 0),
            // Orders after the phase are the next one's.
            (&[-10, 40, 5000], 40, 60, (-10, 40, true), 20),
        ];
        for (orders_ms, until, ended, (from, to, closed), later_ms) in cases {
            let (gap, later) = gaps(&orders(orders_ms), &fault_phase(*ended), at(*until));
            assert_eq!(gap, Gap { from: at(*from), to: at(*to), closed: *closed }, "{orders_ms:?}");
            assert_eq!(later, Duration::from_millis(*later_ms), "{orders_ms:?}");
        }
    }

    #[test]
    fn the_split_sums_to_the_gap_whatever_the_journal_shows() {
        let v = |ms| entry(ms, "frankfurt", Verdict, 0, "stockholm is down", "refused");
        let c = |ms| entry(ms, "frankfurt", Claim, 7, "epoch 7 claimed for orders", "a holder");
        let o = |ms| entry(ms, "frankfurt", Open, 7, "epoch 7 of orders is open", "");
        let r = |ms| entry(ms, "frankfurt", Route, 0, "shop.example.test -> 127.0.20.1", "");
        let s = |ms| entry(ms, "ireland", Suspicion, 0, "stockholm refuses", "");
        let up = |ms, kind| entry(ms, "stockholm", kind, 0, "started", "");
        let other = |ms| entry(ms, "frankfurt", Verdict, 0, "ireland is down", "refused");
        let old = |ms| entry(ms, "stockholm", Claim, 6, "epoch 6 claimed for orders", "");
        // Moved or not, the journal → detect, decide, execute, route, recover of a gap from -10 to 490 ms.
        let cases = [
            ("all there", true, vec![v(200), c(220), o(400), r(410)], [210, 20, 180, 10, 80]),
            (
                "the verdict of another region does not count",
                true,
                vec![other(50), v(200), c(220), o(400), r(410)],
                [210, 20, 180, 10, 80],
            ),
            ("no verdict: its time is the decision's", true, vec![c(220), o(400), r(410)], [0, 230, 180, 10, 80]),
            ("no open: its time is the route's", true, vec![v(200), c(220), r(410)], [210, 20, 0, 190, 80]),
            ("no route: its time is the recovery's", true, vec![v(200), c(220), o(400)], [210, 20, 180, 0, 90]),
            ("an empty journal", true, vec![], [0, 0, 0, 0, 500]),
            (
                "the route before the epoch is open takes no time",
                true,
                vec![v(200), c(220), r(230), o(400)],
                [210, 20, 180, 0, 90],
            ),
            (
                "of several routes the first after the opening",
                true,
                vec![v(200), c(220), r(230), o(400), r(405), r(470)],
                [210, 20, 180, 5, 85],
            ),
            (
                "an attempt that failed counts to the execution",
                true,
                vec![v(200), c(220), c(300), o(400), r(410)],
                [210, 20, 180, 10, 80],
            ),
            (
                "entries before the fault and after the gap",
                true,
                vec![old(-900), v(200), c(220), o(400), r(600)],
                [210, 20, 180, 0, 90],
            ),
            (
                "restarted in place, by a suspicion",
                false,
                vec![s(60), up(300, Database), up(350, Compute)],
                [70, 0, 290, 0, 140],
            ),
            (
                "a suspicion that is over, or of another region, detects nothing",
                false,
                vec![
                    entry(20, "ireland", Suspicion, 0, "stockholm/web answers", ""),
                    entry(30, "ireland", Suspicion, 0, "frankfurt/web is silent", ""),
                    s(60),
                    up(350, Compute),
                ],
                [70, 0, 290, 0, 140],
            ),
            ("restarted in place, unnoticed", false, vec![up(100, Compute)], [0, 0, 110, 0, 390]),
            ("restarted in place, nothing in the journal", false, vec![], [0, 0, 0, 0, 500]),
        ];
        let gap = Gap { from: at(-10), to: at(490), closed: true };
        for (name, moved, events, expected) in cases {
            let split = split(gap, &fault_phase(1000), moved, &events);
            assert_eq!(split.parts().map(|(_, ms)| ms), expected, "{name}");
            assert_eq!(split.parts().iter().map(|(_, ms)| ms).sum::<u64>(), 500, "{name}");
        }
    }

    #[test]
    fn parts_of_fractions_of_milliseconds_still_sum() {
        let late = |ms, micros| JournalEntry {
            at: at(ms) + Duration::from_micros(micros),
            ..entry(ms, "frankfurt", Claim, 7, "claimed", "")
        };
        for micros in [0, 1, 333, 499, 500, 501, 999] {
            let gap = Gap { from: at(-10) + Duration::from_micros(micros), to: at(470), closed: true };
            let mut events = vec![late(100, micros * 7 % 1000), late(200, micros * 3 % 1000)];
            events[1].kind = Open;
            let split = split(gap, &fault_phase(1000), true, &events);
            let rto = millis(gap.to, gap.from).unsigned_abs();
            assert_eq!(split.parts().iter().map(|(_, ms)| ms).sum::<u64>(), rto, "{micros}");
        }
    }

    #[test]
    fn a_region_is_only_meant_by_its_whole_name() {
        let stockholm = RegionId::from("stockholm");
        assert!(mentions("stockholm: down", &stockholm));
        assert!(!mentions("stockholm-2 is down", &stockholm));
        assert!(!mentions("stockholmer is down", &stockholm));
    }

    #[test]
    fn the_phases_of_a_drill_share_its_orders_and_each_has_its_own_way() {
        let (acknowledged, journal, phases) = (acknowledged(), journal(), phases());
        // One order of the old writer, two of the new one in the first phase, one after the switchover.
        let number = |ms| acknowledged.iter().find(|order| order.at >= at(ms)).unwrap().number;
        let missing = BTreeSet::from([number(-50), number(600), number(1000), number(9000)]);
        let runs: Vec<Run> = phases
            .iter()
            .map(|phase| run(phase, &acknowledged, &journal, &[], Some(&missing), &fixture::regions(), OBJECTIVE).0)
            .collect();
        let facts: Vec<_> = runs.iter().map(|run| (run.intent.as_str(), run.from.as_str(), run.to.as_str())).collect();
        assert_eq!(facts, [("failover", "stockholm", "frankfurt"), ("switchover", "frankfurt", "stockholm")]);
        assert_eq!(runs[0].acknowledged + runs[1].acknowledged, acknowledged.len() as u64);
        assert_eq!((runs[0].lost, runs[1].lost), (Some(3), Some(1)));
        assert!((1040..1070).contains(&runs[0].lost_span_ms), "{}", runs[0].lost_span_ms);
        assert_eq!(runs[1].lost_span_ms, 0);
        assert_eq!((runs[0].rto_ms, runs[1].rto_ms), (474, 143));
        assert_eq!((runs[0].rto_held(), runs[0].rpo_held()), (Some(true), Some(false)));
        let first = runs[0].timeline.iter().find(|entry| entry.kind == "client").unwrap();
        assert_eq!(first.at_ms, 471);
        assert_eq!(runs[1].timeline[0].at_ms, 10, "the times of the way back count from its request");
    }

    #[test]
    fn a_decision_not_to_act_that_is_taken_again_and_again_is_shown_once() {
        let refrain = |ms, why| entry(ms, "frankfurt", EntryKind::Refrain, 0, "no failover", why);
        let events = [refrain(10, "a"), refrain(11, "a"), refrain(12, "b"), refrain(13, "a")];
        let (run, _) = run(&fault_phase(1000), &orders(&[-10, 5]), &events, &[], None, &fixture::regions(), OBJECTIVE);
        let told: Vec<_> = run.timeline.iter().filter(|e| e.kind == "refrain").map(|e| (e.at_ms, &*e.what)).collect();
        assert_eq!(told, [(10, "no failover (3 times)"), (12, "no failover")]);
    }

    #[test]
    fn without_a_claim_elsewhere_it_was_a_restart() {
        let phase = fault_phase(1000);
        let same = entry(300, "stockholm", Claim, 7, "epoch 7 claimed for orders", "restarted");
        for events in [vec![], vec![same]] {
            let (run, _) = run(&phase, &orders(&[-10, 400, 410]), &events, &[], None, &fixture::regions(), OBJECTIVE);
            assert_eq!((run.intent.as_str(), run.from, run.to), ("restart", "stockholm".into(), "stockholm".into()));
            assert_eq!((run.lost, run.objective.rpo_ms), (None, Some(0)));
        }
    }

    #[test]
    fn medians_are_by_intent_and_leave_out_what_never_came_back() {
        let template = fixture::report().runs.remove(0);
        let with = |intent: &str, rto_ms, detect, served_again| Run {
            intent: intent.into(),
            rto_ms,
            served_again,
            split_ms: Split { detect, ..Split::default() },
            ..template.clone()
        };
        let runs = [
            with("failover", 500, 300, true),
            with("failover", 60_000, 0, false),
            with("failover", 400, 310, true),
            with("failover", 900, 290, true),
            with("switchover", 100, 0, true),
            with("switchover", 200, 0, true),
        ];
        let medians = medians(&runs);
        assert_eq!(medians.len(), 2);
        let failover = &medians["failover"];
        assert_eq!((failover.runs, failover.rto_ms, failover.rto_min_ms, failover.rto_max_ms), (3, 500, 400, 900));
        assert_eq!(failover.split_ms.detect, 300);
        assert_eq!(medians["switchover"].rto_ms, 200);
    }

    #[test]
    fn milliseconds_are_rounded_to_the_nearest_in_both_directions() {
        assert_eq!(millis(FAULT + Duration::from_micros(1_500), FAULT), 2);
        assert_eq!(millis(FAULT + Duration::from_micros(1_499), FAULT), 1);
        assert_eq!(millis(FAULT - Duration::from_micros(1_499), FAULT), -1);
        assert_eq!(millis(FAULT - Duration::from_micros(1_500), FAULT), -2);
    }
}
