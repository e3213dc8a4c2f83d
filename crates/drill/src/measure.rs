//! From what the client remembers and what the journal says to figures: the gap in service, its parts, what was lost.
//!
//! Pure: histories in, figures out. All moments are of one machine's clock.

use std::collections::{BTreeMap, BTreeSet};
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

/// Finds the longest gap of a phase. `acknowledged` is in the order of `at`. The first candidate begins with the last order
/// before the fault, the last one ends with the phase: service that does not come back is a gap, too.
pub(crate) fn longest_gap(acknowledged: &[Acknowledged], phase: &Phase) -> Gap {
    let after = acknowledged.partition_point(|order| order.at <= phase.began);
    let before = after.checked_sub(1).map_or(phase.began, |last| acknowledged[last].at);
    let mut longest = Gap { from: before, to: before, closed: true };
    let mut previous = before;
    let within = acknowledged[after..].iter().map(|order| order.at).take_while(|at| *at <= phase.ended);
    for (at, closed) in within.map(|at| (at, true)).chain([(phase.ended, false)]) {
        if at.since(previous) > longest.to.since(longest.from) {
            longest = Gap { from: previous, to: at, closed };
        }
        previous = at;
    }
    longest
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
            let noticed = |entry: &JournalEntry| verdict(entry) || entry.kind == EntryKind::Suspicion;
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
    objective: Objective,
) -> (Run, Gap) {
    let gap = longest_gap(acknowledged, phase);
    let to = moved_to(phase, events);
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
    all.into_iter().map(|(at, entry)| TimelineEntry { at_ms: millis(at, phase.began), ..entry }).collect()
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
