//! The drawing of one run: orders over time, a lane per region, the gap, and where its time went. Inline SVG, styled by
//! the page's variables, so that it is right in the light and in the dark.

use maud::{Markup, html};

use crate::report::{Chart, LaneState, Run, TimelineEntry};

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 104.0;
const RIGHT: f64 = 988.0;
const BARS_TOP: f64 = 30.0;
const BARS_HEIGHT: f64 = 84.0;
const LANE_HEIGHT: f64 = 50.0;
const LANE_BAR: f64 = 18.0;
const AXIS_HEIGHT: f64 = 34.0;
const FUNNEL_HEIGHT: f64 = 30.0;
const SPLIT_HEIGHT: f64 = 34.0;
/// Numbers of marks closer than this would overlap.
const MARK_WIDTH: f64 = 17.0;

/// Milliseconds to the drawing's horizontal positions.
struct Scale {
    from: f64,
    per_ms: f64,
}

impl Scale {
    fn of(chart: &Chart) -> Self {
        let length = float(chart.to_ms - chart.from_ms).max(1.0);
        Self { from: float(chart.from_ms), per_ms: (RIGHT - LEFT) / length }
    }

    fn x(&self, ms: i64) -> f64 {
        LEFT + (float(ms) - self.from) * self.per_ms
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of a drill are far below 2^52")]
fn float(number: i64) -> f64 {
    number as f64
}

fn float_of(number: u64) -> f64 {
    float(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Rounded to a tenth of a pixel: shorter text, same picture.
fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// Which entries of the timeline the drawing marks, with their numbers in the table.
pub(crate) fn marks(run: &Run) -> Vec<(usize, &TimelineEntry)> {
    let telling = |entry: &TimelineEntry| {
        matches!(
            entry.kind.as_str(),
            "drill"
                | "client"
                | "verdict"
                | "claim"
                | "fence"
                | "promote"
                | "open"
                | "alone"
                | "synchronous"
                | "route"
                | "divergence"
        )
    };
    let within = |entry: &TimelineEntry| (run.chart.from_ms..=run.chart.to_ms).contains(&entry.at_ms);
    run.timeline.iter().filter(|entry| telling(entry) && within(entry)).zip(1..).map(|(entry, n)| (n, entry)).collect()
}

/// What the drawings of a page share. Outside of them: in a folded one it would not be found by the others.
pub(crate) fn patterns() -> Markup {
    html! {
        svg.patterns width="0" height="0" aria-hidden="true" {
            pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                rect class="hatch-ground" width="7" height="7" {}
                rect class="hatch-line" width="2.5" height="7" {}
            }
        }
    }
}

/// The whole drawing; its page has the [`patterns`].
pub(crate) fn drawing(run: &Run) -> Markup {
    let chart = &run.chart;
    let scale = Scale::of(chart);
    let lanes_top = BARS_TOP + BARS_HEIGHT + 8.0;
    let axis = lanes_top + LANE_HEIGHT * lanes(chart);
    let split_top = axis + AXIS_HEIGHT + FUNNEL_HEIGHT;
    let height = split_top + SPLIT_HEIGHT + 4.0;
    let (gap_from, gap_to) = (scale.x(chart.gap_ms.0), scale.x(chart.gap_ms.1));
    let gap_width = (gap_to - gap_from).max(1.0);
    let marks = marks(run);
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {}", px(height))) role="img"
            aria-label=(format!("{} from {} to {}: {} without service", run.intent, run.from, run.to, seconds(run.rto_ms))) {
            rect class="gap" x=(px(gap_from)) y=(px(BARS_TOP - 8.0)) width=(px(gap_width)) height=(px(axis - BARS_TOP + 8.0)) {}
            (grid(chart, &scale, axis))
            (bars(chart, &scale, &marks))
            path class="gap-edge" d=(format!("M{0} {1}V{2}M{3} {1}V{2}", px(gap_from), px(BARS_TOP - 8.0), px(axis), px(gap_to))) {}
            @for (index, lane) in chart.lanes.iter().enumerate() {
                @let top = lanes_top + LANE_HEIGHT * float_of(index as u64);
                (lane_row(lane, &scale, top, &marks))
            }
            (gap_label(run, gap_from, gap_to))
            path class="funnel" d=(format!(
                "M{} {axis}L{} {axis}L{} {split_top}L{} {split_top}Z",
                px(gap_from), px(gap_to.max(gap_from + 1.0)), px(RIGHT), px(LEFT),
                axis = px(axis + AXIS_HEIGHT - 8.0), split_top = px(split_top),
            )) {}
            (split_bar(run, split_top))
        }
    }
}

fn lanes(chart: &Chart) -> f64 {
    float_of(chart.lanes.len() as u64)
}

fn grid(chart: &Chart, scale: &Scale, axis: f64) -> Markup {
    let step = tick_step(chart.to_ms - chart.from_ms);
    let first = chart.from_ms.div_euclid(step) * step;
    let ticks: Vec<i64> =
        (0..40).map(|n| first + n * step).filter(|t| (chart.from_ms..=chart.to_ms).contains(t)).collect();
    html! {
        @for tick in &ticks {
            line class=(if *tick == 0 { "zero" } else { "grid" }) x1=(px(scale.x(*tick))) x2=(px(scale.x(*tick)))
                y1=(px(BARS_TOP)) y2=(px(axis + 4.0)) {}
            text class=(if *tick == 0 { "tick zero-label" } else { "tick" }) x=(px(scale.x(*tick))) y=(px(axis + 18.0))
                text-anchor=(if scale.x(*tick) > RIGHT - 12.0 { "end" } else { "middle" }) {
                (tick_label(*tick, step))
            }
        }
    }
}

/// At most some ten ticks, at round figures.
fn tick_step(length_ms: i64) -> i64 {
    [50, 100, 200, 250, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000]
        .into_iter()
        .find(|step| length_ms / step <= 10)
        .unwrap_or(600_000)
}

fn tick_label(ms: i64, step: i64) -> String {
    let digits = if step % 1000 == 0 {
        0
    } else if step % 100 == 0 {
        1
    } else {
        2
    };
    format!("{:.digits$} s", float(ms) / 1000.0)
}

fn bars(chart: &Chart, scale: &Scale, marks: &[(usize, &TimelineEntry)]) -> Markup {
    let highest = f64::from(chart.acknowledged.iter().copied().max().unwrap_or(0).max(1));
    let bottom = BARS_TOP + BARS_HEIGHT;
    let bucket = i64::try_from(chart.bucket_ms).unwrap_or(50);
    let width = (float(bucket) * scale.per_ms - 1.0).max(0.5);
    let elsewhere = |entry: &TimelineEntry| chart.lanes.iter().all(|lane| lane.region != entry.region);
    let here: Vec<_> = marks.iter().filter(|(_, entry)| elsewhere(entry)).collect();
    html! {
        text class="lane-name" x="0" y=(px(BARS_TOP + 34.0)) { "orders" }
        text class="lane-note" x="0" y=(px(BARS_TOP + 50.0)) { "accepted per" }
        text class="lane-note" x="0" y=(px(BARS_TOP + 64.0)) { (chart.bucket_ms) " ms, max " (highest) }
        line class="base" x1=(px(LEFT)) x2=(px(RIGHT)) y1=(px(bottom + 0.5)) y2=(px(bottom + 0.5)) {}
        @for (index, count) in chart.acknowledged.iter().enumerate().filter(|(_, count)| **count > 0) {
            @let height = f64::from(*count) / highest * (BARS_HEIGHT - 6.0);
            rect class="bar" x=(px(scale.x(chart.from_ms + bucket * i64::try_from(index).unwrap_or(0)) + 0.5))
                y=(px(bottom - height)) width=(px(width)) height=(px(height)) {}
        }
        @for (number, entry) in here {
            (mark(*number, entry, scale.x(entry.at_ms), scale.x(entry.at_ms) + 12.0, BARS_TOP + 8.0, bottom))
        }
    }
}

fn lane_row(lane: &crate::report::Lane, scale: &Scale, top: f64, marks: &[(usize, &TimelineEntry)]) -> Markup {
    let bar_top = top + LANE_HEIGHT - LANE_BAR - 4.0;
    let mut last_label = 0.0;
    let placed: Vec<(usize, &TimelineEntry, f64, f64)> = marks
        .iter()
        .filter(|(_, entry)| entry.region == lane.region)
        .map(|(number, entry)| {
            let x = scale.x(entry.at_ms);
            let label = if last_label == 0.0 { x } else { x.max(last_label + MARK_WIDTH) };
            last_label = label;
            (*number, *entry, x, label)
        })
        .collect();
    // Where the last numbers would leave the drawing, all of them move to the left.
    let excess = (last_label + MARK_WIDTH / 2.0 - RIGHT).max(0.0);
    html! {
        text class="lane-name" x="0" y=(px(bar_top + 13.0)) { (lane.region) }
        @for span in &lane.spans {
            @let (x, width) = (scale.x(span.from_ms), scale.x(span.to_ms) - scale.x(span.from_ms));
            rect class=(format!("span {}", span.state.as_str())) x=(px(x)) y=(px(bar_top)) width=(px((width - 1.0).max(1.0)))
                height=(px(LANE_BAR)) rx="3" {
                title { (span_text(span.state, span.epoch)) }
            }
            @let label = span_text(span.state, span.epoch);
            @if width > 7.0 * float_of(label.len() as u64) + 10.0 {
                text class=(format!("span-text on-{}", span.state.as_str())) x=(px(x + 7.0)) y=(px(bar_top + 13.0)) { (label) }
            }
        }
        @for (number, entry, x, label) in &placed {
            (mark(*number, entry, *x, label - excess, top + 14.0, bar_top + LANE_BAR))
        }
    }
}

fn span_text(state: LaneState, epoch: Option<u64>) -> String {
    let word = match state {
        LaneState::Witness => "witness",
        LaneState::Standby => "standby",
        LaneState::Claiming => "claiming",
        LaneState::Writer => "writer",
        LaneState::Faulty => "down",
        LaneState::Rejoining => "rejoining",
    };
    epoch.map_or(word.to_owned(), |epoch| format!("{word}, epoch {epoch}"))
}

/// A number at `label`, and a line from it to where it happened.
fn mark(number: usize, entry: &TimelineEntry, x: f64, label: f64, y: f64, bottom: f64) -> Markup {
    html! {
        g class=(format!("mark {}", entry.kind)) {
            title { (format!("{} s  {}", float(entry.at_ms) / 1000.0, entry.what)) }
            path d=(format!("M{} {}L{} {}V{}", px(label), px(y + 6.0), px(x), px(y + 14.0), px(bottom))) {}
            circle cx=(px(label)) cy=(px(y)) r="7.5" {}
            text x=(px(label)) y=(px(y + 3.4)) text-anchor="middle" { (number) }
        }
    }
}

fn gap_label(run: &Run, from: f64, to: f64) -> Markup {
    let text = if run.served_again {
        format!("{} without service", seconds(run.rto_ms))
    } else {
        format!("no service for {}", seconds(run.rto_ms))
    };
    let half = 4.0 * float_of(text.len() as u64);
    let middle = f64::midpoint(from, to).clamp(LEFT + half, RIGHT - half);
    html! { text class="gap-label" x=(px(middle)) y="14" text-anchor="middle" { (text) } }
}

fn split_bar(run: &Run, top: f64) -> Markup {
    let total = float_of(run.rto_ms).max(1.0);
    let mut x = LEFT;
    let parts: Vec<(&str, u64, f64, f64)> = run
        .split_ms
        .parts()
        .into_iter()
        .map(|(name, ms)| {
            let width = float_of(ms) / total * (RIGHT - LEFT);
            let part = (name, ms, x, width);
            x += width;
            part
        })
        .collect();
    html! {
        text class="lane-name" x="0" y=(px(top + 15.0)) { "split" }
        text class="lane-note" x="0" y=(px(top + 29.0)) { (run.rto_ms) " ms" }
        @for (name, ms, x, width) in parts.iter().filter(|(_, ms, _, _)| *ms > 0) {
            rect class=(format!("part {name}")) x=(px(*x)) y=(px(top)) width=(px((width - 1.0).max(0.8))) height=(px(SPLIT_HEIGHT)) rx="2" {
                title { (format!("{name} {ms} ms")) }
            }
            @if *width > 58.0 {
                text class="part-name" x=(px(x + 8.0)) y=(px(top + 14.5)) { (name) }
                text class="part-ms" x=(px(x + 8.0)) y=(px(top + 27.5)) { (ms) " ms" }
            }
        }
    }
}

/// `0.47 s`, `12.3 s`, `4 min 05 s`: as exact as a glance can take in.
pub(crate) fn seconds(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{:.2} s", float_of(ms) / 1000.0),
        10_000..120_000 => format!("{:.1} s", float_of(ms) / 1000.0),
        _ => format!("{} min {:02} s", ms / 60_000, ms / 1000 % 60),
    }
}
