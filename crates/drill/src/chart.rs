//! From histories to the data of the report's drawing: bars of acknowledged orders, and each region's part over time. Pure.

use lifeboat_model::app::{App, RegionRole};
use lifeboat_model::journal::{EntryKind, JournalEntry};
use lifeboat_model::{Moment, RegionId};

use crate::client::Acknowledged;
use crate::measure::{Gap, Phase, mentions, millis};
use crate::report::{Chart, Lane, LaneState, Span};

/// What is shown before and after the gap.
const BEFORE_MS: i64 = 1_000;
const AFTER_MS: i64 = 1_500;
/// The narrowest bar, and the most bars.
const BUCKET_MS: i64 = 50;
const MOST_BARS: i64 = 240;

/// For how long a region, or what serves in it, was not there because of the drill.
#[derive(Clone, Debug)]
pub(crate) struct Outage {
    pub region: RegionId,
    pub from: Moment,
    pub to: Moment,
}

/// Draws the time around the phase's gap. `events` are those of the whole repetition, in the journal's order.
pub(crate) fn chart(
    app: &App,
    phase: &Phase,
    gap: Gap,
    acknowledged: &[Acknowledged],
    events: &[JournalEntry],
    outages: &[Outage],
) -> Chart {
    let gap_ms = (millis(gap.from, phase.began), millis(gap.to, phase.began));
    let earliest = gap_ms.0.min(0) - BEFORE_MS;
    let length = gap_ms.1 + AFTER_MS - earliest;
    let bucket = ((length + BUCKET_MS * MOST_BARS - 1) / (BUCKET_MS * MOST_BARS)).max(1) * BUCKET_MS;
    let from_ms = earliest.div_euclid(bucket) * bucket;
    let bars = (gap_ms.1 + AFTER_MS - from_ms + bucket - 1) / bucket;
    let to_ms = from_ms + bars * bucket;

    let mut heights = vec![0; usize::try_from(bars).unwrap_or(0)];
    for order in acknowledged {
        // Rounded down here, unlike elsewhere: a bar begins with its left edge.
        let at = i128::from(order.at.0) - i128::from(phase.began.0) - i128::from(from_ms) * 1_000_000;
        let bar = at.div_euclid(i128::from(bucket) * 1_000_000);
        if let Some(height) = usize::try_from(bar).ok().and_then(|bar| heights.get_mut(bar)) {
            *height += 1;
        }
    }
    // Witnesses last: what happens is above.
    let mut regions: Vec<_> = app.regions.iter().collect();
    regions.sort_by_key(|(_, region)| region.role == RegionRole::Witness);
    let lanes = regions
        .into_iter()
        .map(|(id, region)| {
            let resting = match region.role {
                RegionRole::Witness => LaneState::Witness,
                RegionRole::Data => LaneState::Standby,
            };
            let changes = changes(id, resting, phase, events, outages);
            Lane { region: id.to_string(), spans: spans(&changes, resting, phase.began, from_ms, to_ms) }
        })
        .collect();
    Chart { from_ms, to_ms, gap_ms, bucket_ms: bucket.unsigned_abs(), acknowledged: heights, lanes }
}

type Part = (LaneState, Option<u64>);

/// When a region's part changed, and to what.
fn changes(
    region: &RegionId,
    resting: LaneState,
    phase: &Phase,
    events: &[JournalEntry],
    outages: &[Outage],
) -> Vec<(Moment, Part)> {
    enum Cause<'a> {
        Entry(&'a JournalEntry),
        Down,
        Back,
    }
    let mut causes: Vec<(Moment, Cause<'_>)> = events.iter().map(|entry| (entry.at, Cause::Entry(entry))).collect();
    for outage in outages.iter().filter(|outage| outage.region == *region) {
        causes.push((outage.from, Cause::Down));
        causes.push((outage.to, Cause::Back));
    }
    causes.sort_by_key(|(at, _)| *at);

    // Without a claim in the journal: whoever wrote when the first phase began.
    let first_writer = events.iter().find(|entry| entry.kind == EntryKind::Claim).map_or(&phase.writer, |e| &e.region);
    let mut part: Part = if region == first_writer { (LaneState::Writer, None) } else { (resting, None) };
    let mut epoch = None;
    let mut is_writer = region == first_writer;
    let mut down = false;
    let mut changes = vec![(Moment(0), part)];
    for (at, cause) in causes {
        let before = part;
        match cause {
            Cause::Down => {
                down = true;
                part = (LaneState::Faulty, None);
            }
            Cause::Back => {
                down = false;
                part = if is_writer {
                    (LaneState::Writer, epoch)
                } else if resting == LaneState::Witness {
                    (resting, None)
                } else {
                    (LaneState::Rejoining, None)
                };
            }
            Cause::Entry(entry) => match entry.kind {
                EntryKind::Claim if entry.component.as_ref().is_none_or(|c| *c == phase.database) => {
                    if entry.region == *region {
                        part = (LaneState::Claiming, entry.epoch.map(|epoch| epoch.0));
                    } else if is_writer {
                        is_writer = false;
                        part = (LaneState::Rejoining, None);
                    }
                }
                EntryKind::Open
                    if entry.region == *region && entry.component.as_ref().is_none_or(|c| *c == phase.database) =>
                {
                    is_writer = true;
                    epoch = entry.epoch.map(|epoch| epoch.0);
                    part = (LaneState::Writer, epoch);
                }
                EntryKind::Synchronous if part.0 == LaneState::Rejoining && mentions(&entry.what, region) => {
                    part = (resting, None);
                }
                _ => {}
            },
        }
        // What the others conclude of a region that the drill has taken changes nothing about its being gone.
        if down {
            part = (LaneState::Faulty, None);
        }
        if part != before {
            changes.push((at, part));
        }
    }
    changes
}

fn spans(changes: &[(Moment, Part)], resting: LaneState, began: Moment, from_ms: i64, to_ms: i64) -> Vec<Span> {
    let at = |moment: Moment| millis(moment, began).clamp(from_ms, to_ms);
    let mut spans: Vec<Span> = Vec::new();
    for (index, (since, (state, epoch))) in changes.iter().enumerate() {
        let until = changes.get(index + 1).map_or(to_ms, |(next, _)| at(*next));
        if until > at(*since) {
            spans.push(Span { from_ms: at(*since), to_ms: until, state: *state, epoch: *epoch });
        }
    }
    if spans.is_empty() {
        spans.push(Span { from_ms, to_ms, state: resting, epoch: None });
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{FAULT, acknowledged, app, at, journal, phases};
    use crate::measure::gaps;

    fn drawn(outages: &[Outage]) -> Chart {
        let (phase, acknowledged) = (&phases()[0], acknowledged());
        chart(&app(), phase, gaps(&acknowledged, phase, at(471)).0, &acknowledged, &journal(), outages)
    }

    #[test]
    fn every_order_in_the_window_is_in_exactly_one_bar_and_the_gap_has_none() {
        let chart = drawn(&[]);
        assert_eq!((chart.from_ms, chart.bucket_ms, chart.gap_ms), (-1050, 50, (-3, 471)));
        let within =
            acknowledged().iter().filter(|order| order.at >= at(chart.from_ms) && order.at < at(chart.to_ms)).count();
        assert_eq!(chart.acknowledged.iter().sum::<u32>() as usize, within);
        let bar = |ms: i64| chart.acknowledged[usize::try_from((ms - chart.from_ms) / 50).unwrap()];
        for ms in (0..450).step_by(50) {
            assert_eq!(bar(ms), 0, "{ms}");
        }
        assert!(bar(-50) > 0 && bar(450) > 0);
    }

    #[test]
    fn lanes_have_no_holes_and_tell_who_was_what() {
        let chart = drawn(&[Outage { region: "stockholm".into(), from: FAULT, to: at(4000) }]);
        for lane in &chart.lanes {
            let mut edge = chart.from_ms;
            for span in &lane.spans {
                assert_eq!(span.from_ms, edge, "{lane:?}");
                edge = span.to_ms;
            }
            assert_eq!(edge, chart.to_ms, "{lane:?}");
        }
        let states = |region: &str| -> Vec<(LaneState, Option<u64>, i64)> {
            let lane = chart.lanes.iter().find(|lane| lane.region == region).unwrap();
            lane.spans.iter().map(|span| (span.state, span.epoch, span.to_ms)).collect()
        };
        use LaneState::{Claiming, Faulty, Standby, Witness, Writer};
        assert_eq!(states("ireland"), [(Witness, None, chart.to_ms)]);
        assert_eq!(states("stockholm"), [(Writer, Some(6), 0), (Faulty, None, chart.to_ms)]);
        assert_eq!(
            states("frankfurt"),
            [(Standby, None, 233), (Claiming, Some(7), 398), (Writer, Some(7), chart.to_ms)]
        );
    }

    #[test]
    fn a_long_gap_gets_wider_bars_instead_of_more() {
        let phase = Phase { ended: at(100_000), ..phases()[0].clone() };
        let gap = Gap { from: at(-3), to: at(90_000), closed: true };
        let chart = chart(&app(), &phase, gap, &acknowledged(), &[], &[]);
        assert!(chart.acknowledged.len() <= 241, "{}", chart.acknowledged.len());
        assert_eq!(chart.bucket_ms % 50, 0);
    }
}
