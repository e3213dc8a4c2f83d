//! Pictures as inline SVG: the map of regions and the frontier. Drawn from numbers, no library, no script.

use maud::{Markup, html};

use crate::recovery::seconds;
use crate::report::{Assessment, FrontierPoint};

/// A region on the map.
struct Dot {
    name: String,
    x: f64,
    y: f64,
    part: Part,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Unused,
    Target,
    Home,
    Both,
}

impl Part {
    fn class(self) -> &'static str {
        match self {
            Self::Unused => "unused",
            Self::Target => "target",
            Self::Home => "home",
            Self::Both => "both",
        }
    }
}

const MAP_WIDTH: f64 = 860.0;
const MAP_HEIGHT: f64 = 400.0;
/// Least width and height of the map in degrees, so that near regions do not fill it.
const LEAST_DEGREES: f64 = 12.0;

/// An equirectangular map of the regions, cut to those that are used. Empty where no position is known.
pub fn map(answer: &Assessment) -> Markup {
    let placed = |used_only: bool| {
        answer.regions.iter().filter_map(move |region| {
            let used = !region.home_of.is_empty() || !region.target_of.is_empty();
            let part = match (region.home_of.is_empty(), region.target_of.is_empty()) {
                (true, true) => Part::Unused,
                (true, false) => Part::Target,
                (false, true) => Part::Home,
                (false, false) => Part::Both,
            };
            (used || !used_only).then_some(())?;
            Some((region, part, region.longitude?, region.latitude?))
        })
    };
    let Some(frame) = Frame::around(placed(true).map(|(_, _, x, y)| (x, y))) else { return html! {} };
    let mut dots: Vec<Dot> = placed(false)
        .map(|(region, part, longitude, latitude)| {
            let (x, y) = frame.at(longitude, latitude);
            Dot { name: region.region.clone(), x, y, part }
        })
        .filter(|dot| (0.0..=MAP_WIDTH).contains(&dot.x) && (0.0..=MAP_HEIGHT).contains(&dot.y))
        .collect();
    dots.sort_by_key(|dot| dot.part);
    let spot = |name: &str| dots.iter().find(|dot| dot.name == name).map(|dot| (dot.x, dot.y));
    html! {
        svg class="map" viewBox=(format!("0 0 {MAP_WIDTH} {MAP_HEIGHT}")) role="img" aria-label="Map of the regions" {
            rect class="sea" width=(MAP_WIDTH) height=(MAP_HEIGHT) {}
            @for (x, label) in frame.meridians() {
                line class="grid" x1=(round(x)) y1="0" x2=(round(x)) y2=(MAP_HEIGHT) {}
                text class="grid-label" x=(round(x + 3.0)) y=(MAP_HEIGHT - 5.0) { (label) }
            }
            @for (y, label) in frame.parallels() {
                line class="grid" x1="0" y1=(round(y)) x2=(MAP_WIDTH) y2=(round(y)) {}
                text class="grid-label" x="4" y=(round(y - 3.0)) { (label) }
            }
            @for link in &answer.links {
                @if let (Some((x1, y1)), Some((x2, y2))) = (spot(&link.from), spot(&link.to)) {
                    line class="link" x1=(round(x1)) y1=(round(y1)) x2=(round(x2)) y2=(round(y2)) {}
                    text class="link-label" x=(round(x1.midpoint(x2) + 8.0)) y=(round(y1.midpoint(y2) + 20.0)) {
                        @if let Some(km) = link.km { (format!("{km:.0} km")) }
                        @if let Some(trip) = &link.round_trip_ms { (format!(", {:.0} ms", trip.value)) }
                    }
                }
            }
            @for dot in &dots {
                circle class=(dot.part.class()) cx=(round(dot.x)) cy=(round(dot.y)) r=(if dot.part == Part::Unused { "3" } else { "7" }) {
                    title { (dot.name) }
                }
                @let label = if dot.part == Part::Unused { "other" } else { "region" };
                text class=(label) x=(round(label_x(dot))) y=(round(dot.y - 12.0)) text-anchor="middle" { (dot.name) }
            }
        }
    }
}

/// Above its dot, inside the map.
fn label_x(dot: &Dot) -> f64 {
    dot.x.clamp(50.0, MAP_WIDTH - 50.0)
}

/// What part of the world is shown.
struct Frame {
    west: f64,
    north: f64,
    scale: f64,
}

impl Frame {
    fn around(points: impl Iterator<Item = (f64, f64)>) -> Option<Self> {
        let (mut west, mut east, mut south, mut north) = (f64::MAX, f64::MIN, f64::MAX, f64::MIN);
        for (x, y) in points {
            (west, east) = (west.min(x), east.max(x));
            (south, north) = (south.min(y), north.max(y));
        }
        (west <= east).then_some(())?;
        let width = ((east - west) * 1.4).max(LEAST_DEGREES * 2.0);
        let height = ((north - south) * 1.5).max(LEAST_DEGREES);
        let scale = (MAP_WIDTH / width).min(MAP_HEIGHT / height);
        Some(Self {
            west: west.midpoint(east) - MAP_WIDTH / scale / 2.0,
            north: south.midpoint(north) + MAP_HEIGHT / scale / 2.0,
            scale,
        })
    }

    fn at(&self, longitude: f64, latitude: f64) -> (f64, f64) {
        ((longitude - self.west) * self.scale, (self.north - latitude) * self.scale)
    }

    fn step(&self) -> i32 {
        if MAP_WIDTH / self.scale > 90.0 { 30 } else { 10 }
    }

    fn meridians(&self) -> Vec<(f64, String)> {
        lines(self.west, MAP_WIDTH / self.scale, self.step())
            .map(|degree| {
                (self.at(f64::from(degree), 0.0).0, format!("{}°{}", degree.abs(), if degree < 0 { "W" } else { "E" }))
            })
            .collect()
    }

    fn parallels(&self) -> Vec<(f64, String)> {
        lines(self.north - MAP_HEIGHT / self.scale, MAP_HEIGHT / self.scale, self.step())
            .map(|degree| {
                (self.at(0.0, f64::from(degree)).1, format!("{}°{}", degree.abs(), if degree < 0 { "S" } else { "N" }))
            })
            .collect()
    }
}

/// Multiples of `step` degrees in a span.
#[expect(clippy::cast_possible_truncation, reason = "degrees")]
fn lines(from: f64, width: f64, step: i32) -> impl Iterator<Item = i32> {
    let first = (from / f64::from(step)).ceil() as i32;
    let last = ((from + width) / f64::from(step)).floor() as i32;
    (first..=last).map(move |number| number * step)
}

const CHART_WIDTH: f64 = 860.0;
const CHART_HEIGHT: f64 = 320.0;
const LEFT: f64 = 78.0;
const BOTTOM: f64 = 48.0;
const TOP: f64 = 30.0;
const RIGHT: f64 = 130.0;

/// Cost against RTO, a line for each RPO.
pub fn frontier(points: &[FrontierPoint], wanted_rto: Option<f64>) -> Markup {
    let dearest = points.iter().map(|point| point.added_usd).fold(0.0, f64::max);
    if points.is_empty() || dearest <= 0.0 {
        return html! {};
    }
    let top = nice(dearest);
    let (low, high) = (points.iter().map(|point| point.rto_seconds).fold(f64::MAX, f64::min).ln(), 259_200.0_f64.ln());
    let span = (high - low).max(0.1);
    let x = |rto: f64| LEFT + (rto.max(1.0).ln() - low) / span * (CHART_WIDTH - LEFT - RIGHT);
    let y = |usd: f64| CHART_HEIGHT - BOTTOM - usd / top * (CHART_HEIGHT - BOTTOM - TOP);
    let mut rpos: Vec<f64> = points.iter().map(|point| point.rpo_seconds).collect();
    rpos.sort_by(f64::total_cmp);
    rpos.dedup();
    let series = |rpo: f64| points.iter().filter(move |point| point.rpo_seconds == rpo);
    let path = |rpo: f64| {
        let mut text = String::new();
        let mut last = None;
        for point in series(rpo) {
            let (x, y) = (round(x(point.rto_seconds)), round(y(point.added_usd)));
            // A looser RTO costs the old price until the next point is reached: a staircase.
            match last {
                None => text += &format!("M{x} {y}"),
                Some(_) => text += &format!(" H{x} V{y}"),
            }
            last = Some(y);
        }
        if let Some(y) = last {
            text += &format!(" H{} V{y}", round(CHART_WIDTH - RIGHT));
        }
        text
    };
    html! {
        svg class="chart" viewBox=(format!("0 0 {CHART_WIDTH} {CHART_HEIGHT}")) role="img" aria-label="Cost against RTO and RPO" {
            @for quarter in 0..=4 {
                @let amount = top * f64::from(quarter) / 4.0;
                line class="grid" x1=(LEFT) x2=(CHART_WIDTH - RIGHT) y1=(round(y(amount))) y2=(round(y(amount))) {}
                text class="axis" x=(LEFT - 8.0) y=(round(y(amount) + 4.0)) text-anchor="end" { (format!("{amount:.0}")) }
            }
            text class="axis" x="4" y=(TOP - 16.0) { "USD/month" }
            @for rto in [5.0_f64, 15.0, 60.0, 300.0, 1800.0, 14_400.0, 86_400.0] {
                @if rto.ln() >= low - 0.01 {
                    line class="grid" x1=(round(x(rto))) x2=(round(x(rto))) y1=(TOP) y2=(CHART_HEIGHT - BOTTOM) {}
                    text class="axis" x=(round(x(rto))) y=(CHART_HEIGHT - BOTTOM + 16.0) text-anchor="middle" { (seconds(rto)) }
                }
            }
            text class="axis" x=(round(LEFT.midpoint(CHART_WIDTH - RIGHT))) y=(CHART_HEIGHT - 8.0) text-anchor="middle" { "RTO that is asked for" }
            @if let Some(rto) = wanted_rto {
                @if rto.max(1.0).ln() >= low {
                    line class="wanted" x1=(round(x(rto))) x2=(round(x(rto))) y1=(TOP) y2=(CHART_HEIGHT - BOTTOM) {}
                    text class="axis" x=(round(x(rto) + 4.0)) y=(TOP + 10.0) { "RTO of the file" }
                }
            }
            @for (number, rpo) in rpos.iter().enumerate() {
                path class=(format!("line line{}", number % 6)) d=(path(*rpo)) {}
                @for point in series(*rpo) {
                    circle class=(format!("dot dot{}", number % 6)) cx=(round(x(point.rto_seconds))) cy=(round(y(point.added_usd))) r="4" {
                        title { (format!("RTO {}, RPO {}: {:.2} USD/month, {}", seconds(point.rto_seconds), seconds(point.rpo_seconds), point.added_usd, point.patterns.join(", "))) }
                    }
                }
                text class=(format!("key dot{}", number % 6)) x=(CHART_WIDTH - RIGHT + 10.0) y=(20 + number * 18) { "RPO " (seconds(*rpo)) }
            }
        }
    }
}

/// The next of 1, 2, 4, 5, 8 times a power of ten.
fn nice(value: f64) -> f64 {
    let magnitude = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 5.0, 8.0, 10.0]
        .into_iter()
        .map(|step| step * magnitude)
        .find(|step| *step >= value)
        .unwrap_or(value)
}

/// Tenths of a pixel are enough, and the same on every machine.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_holds_all_points_and_keeps_proportions() {
        let points = [(18.07, 59.33), (8.68, 50.12)];
        let frame = Frame::around(points.into_iter()).unwrap();
        for (longitude, latitude) in points {
            let (x, y) = frame.at(longitude, latitude);
            assert!((0.0..=MAP_WIDTH).contains(&x) && (0.0..=MAP_HEIGHT).contains(&y), "{x} {y}");
        }
        assert!(Frame::around(std::iter::empty()).is_none());
    }

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, expected) in [(7.0, 8.0), (1234.0, 2000.0), (2100.0, 4000.0), (99.0, 100.0)] {
            assert_eq!(nice(value), expected);
        }
    }
}
