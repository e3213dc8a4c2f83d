//! Pictures as inline SVG: the map of regions and the frontier. Drawn from numbers, no library, no script.

use lifeboat_atlas::Atlas;
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

impl Dot {
    fn radius(&self) -> f64 {
        if self.part == Part::Unused { 3.0 } else { 7.0 }
    }
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
            let position = region.position.as_ref()?.value;
            Some((region, part, position.longitude, position.latitude))
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
    dots.sort_by_key(|dot| std::cmp::Reverse(dot.part));
    let spot = |name: &str| dots.iter().find(|dot| dot.name == name).map(|dot| (dot.x, dot.y));
    let links: Vec<(Line, String)> = answer
        .links
        .iter()
        .filter_map(|link| {
            let km = link.km.as_ref().map(|km| format!("{:.0} km", km.value));
            let trip = link.round_trip_ms.as_ref().map(|trip| format!("{:.0} ms", trip.value));
            Some(((spot(&link.from)?, spot(&link.to)?), km.into_iter().chain(trip).collect::<Vec<_>>().join(", ")))
        })
        .collect();
    let labels = labels(&dots, &links);
    html! {
        svg class="map" viewBox=(format!("0 0 {MAP_WIDTH} {MAP_HEIGHT}")) role="img" aria-label="Map of the regions" {
            rect class="sea" width=(MAP_WIDTH) height=(MAP_HEIGHT) {}
            @for (water, path) in frame.land() { path class=(if water { "lake" } else { "land" }) d=(path) {} }
            @for (x, label) in frame.meridians() {
                line class="grid" x1=(round(x)) y1="0" x2=(round(x)) y2=(MAP_HEIGHT) {}
                text class="grid-label" x=(round(x + 3.0)) y=(MAP_HEIGHT - 5.0) { (label) }
            }
            @for (y, label) in frame.parallels() {
                line class="grid" x1="0" y1=(round(y)) x2=(MAP_WIDTH) y2=(round(y)) {}
                text class="grid-label" x="4" y=(round(y - 3.0)) { (label) }
            }
            @for (((x1, y1), (x2, y2)), _) in &links {
                line class="link" x1=(round(*x1)) y1=(round(*y1)) x2=(round(*x2)) y2=(round(*y2)) {}
            }
            @for dot in dots.iter().rev() {
                circle class=(dot.part.class()) cx=(round(dot.x)) cy=(round(dot.y)) r=(dot.radius()) {
                    title { (dot.name) }
                }
            }
            @for label in &labels {
                text class=(label.class) x=(round(label.x)) y=(round(label.bottom - LIFT)) { (label.text) }
            }
        }
    }
}

/// A point of the picture.
type Point = (f64, f64);
type Line = (Point, Point);

/// From the bottom of a label's box to the line that it is written on.
const LIFT: f64 = 3.0;

/// A text and the box that it takes.
struct Label {
    text: String,
    class: &'static str,
    x: f64,
    bottom: f64,
    width: f64,
    height: f64,
}

impl Label {
    fn new(text: String, class: &'static str, size: f64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a name")]
        let width = text.chars().count() as f64 * size * 0.58;
        Self { text, class, x: 0.0, bottom: 0.0, width, height: size * 1.15 }
    }

    /// The same with its box's left end and bottom here.
    fn at(self, x: f64, bottom: f64) -> Self {
        Self { x, bottom, ..self }
    }

    fn meets(&self, other: &Self) -> bool {
        self.x < other.x + other.width
            && other.x < self.x + self.width
            && self.bottom - self.height < other.bottom
            && other.bottom - other.height < self.bottom
    }

    fn meets_dot(&self, dot: &Dot) -> bool {
        let reach = dot.radius() + 1.0;
        (self.x - reach..=self.x + self.width + reach).contains(&dot.x)
            && (self.bottom - self.height - reach..=self.bottom + reach).contains(&dot.y)
    }

    fn meets_line(&self, ((x1, y1), (x2, y2)): &Line) -> bool {
        (0..=40).map(|part| f64::from(part) / 40.0).any(|part| {
            let (x, y) = (x1 + (x2 - x1) * part, y1 + (y2 - y1) * part);
            (self.x..=self.x + self.width).contains(&x) && (self.bottom - self.height..=self.bottom).contains(&y)
        })
    }

    fn is_inside(&self) -> bool {
        self.x >= 2.0
            && self.x + self.width <= MAP_WIDTH - 2.0
            && self.bottom - self.height >= 2.0
            && self.bottom <= MAP_HEIGHT - 16.0
    }
}

/// Names beside their dots, distances beside their lines, none over another: what is used first, if need be over a dot that is not;
/// what finds no room is left out (each dot has its name as a title).
fn labels(dots: &[Dot], links: &[(Line, String)]) -> Vec<Label> {
    let mut placed: Vec<Label> = Vec::new();
    let mut place = |mut candidates: &mut dyn Iterator<Item = Label>, crowded: bool| {
        let free = |label: &Label| {
            label.is_inside()
                && !placed.iter().any(|other| label.meets(other))
                && !dots.iter().any(|dot| (!crowded || dot.part != Part::Unused) && label.meets_dot(dot))
                && (crowded || !links.iter().any(|(line, _)| label.meets_line(line)))
        };
        let found = Iterator::find(&mut candidates, free);
        let is_found = found.is_some();
        placed.extend(found);
        is_found
    };
    let around = |dot: &Dot, class: &'static str, size: f64| {
        let label = || Label::new(dot.name.clone(), class, size);
        let (width, height, gap) = (label().width, label().height, dot.radius() + 3.0);
        let (left, middle, right) = (dot.x - width - gap, dot.x - width / 2.0, dot.x + gap);
        let (above, level, below) = (dot.y - gap, dot.y + height / 2.0, dot.y + gap + height);
        let places = [
            (middle, above),
            (middle, below),
            (right, level),
            (left, level),
            (right, above),
            (left, above),
            (right, below),
            (left, below),
            (middle, above - height),
            (middle, below + height),
            (right + width / 2.0, level),
            (left - width / 2.0, level),
        ];
        places.map(|(x, bottom)| label().at(x.clamp(3.0, (MAP_WIDTH - width - 3.0).max(3.0)), bottom))
    };
    let (used, unused): (Vec<&Dot>, Vec<&Dot>) = dots.iter().partition(|dot| dot.part != Part::Unused);
    for dot in used {
        let candidates = around(dot, "region", 14.0);
        if !place(&mut candidates.into_iter(), false) {
            place(&mut around(dot, "region", 14.0).into_iter(), true);
        }
    }
    for (((x1, y1), (x2, y2)), text) in links {
        let along = [0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8].into_iter();
        let mut candidates = along.flat_map(|part| {
            let (x, y) = (x1 + (x2 - x1) * part, y1 + (y2 - y1) * part);
            let label = || Label::new(text.clone(), "link-label", 12.0);
            let (width, height) = (label().width, label().height);
            [
                (x + 10.0, y + height + 4.0),
                (x + 10.0, y - 4.0),
                (x - width - 10.0, y - 4.0),
                (x - width - 10.0, y + height + 4.0),
                (x - width / 2.0, y - 12.0),
                (x - width / 2.0, y + height + 12.0),
            ]
            .map(|(x, bottom)| label().at(x, bottom))
        });
        place(&mut candidates, false);
    }
    for dot in unused {
        place(&mut around(dot, "other", 11.0).into_iter().take(8), false);
    }
    placed
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

    /// Outlines that reach into the frame, as paths, and whether each is water.
    fn land(&self) -> Vec<(bool, String)> {
        let outlines = Atlas::embedded().land().iter().filter_map(|outline| {
            let corners: Vec<Point> =
                outline.corners.iter().map(|corner| self.at(corner.longitude, corner.latitude)).collect();
            let reach = |of: fn(&Point) -> f64| {
                corners.iter().map(of).fold((f64::MAX, f64::MIN), |(low, high), at| (low.min(at), high.max(at)))
            };
            let ((west, east), (north, south)) = (reach(|(x, _)| *x), reach(|(_, y)| *y));
            let seen = west < MAP_WIDTH && east > 0.0 && north < MAP_HEIGHT && south > 0.0;
            let corners: Vec<String> = corners.iter().map(|(x, y)| format!("{x:.0} {y:.0}")).collect();
            seen.then(|| (outline.water, format!("M{}Z", corners.join("L"))))
        });
        outlines.collect()
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
                    circle class=(format!("dot dot{}{}", number % 6, if point.optimal { "" } else { " open" })) cx=(round(x(point.rto_seconds))) cy=(round(y(point.added_usd))) r="4" {
                        title { (format!("RTO {}, RPO {}: {:.2} USD/month, {}{}", seconds(point.rto_seconds), seconds(point.rpo_seconds), point.added_usd, point.patterns.join(", "), if point.optimal { "" } else { "; not proved to be the cheapest" })) }
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
    fn no_label_lies_over_another_or_over_a_dot() {
        let dot = |(number, (x, y, part)): (usize, &(f64, f64, Part))| Dot {
            name: format!("region-{number}"),
            x: *x,
            y: *y,
            part: *part,
        };
        let mut spots = vec![(400.0, 200.0, Part::Home), (410.0, 206.0, Part::Target), (430.0, 190.0, Part::Both)];
        spots
            .extend((0..40).map(|number| {
                (380.0 + f64::from(number * 37 % 90), 160.0 + f64::from(number * 53 % 80), Part::Unused)
            }));
        let dots: Vec<Dot> = spots.iter().enumerate().map(dot).collect();
        let links = [(((400.0, 200.0), (410.0, 206.0)), "12 km, 1 ms".to_owned())];
        let labels = labels(&dots, &links);
        assert!(labels.iter().filter(|label| label.class == "region").count() == 3, "what is used has its name");
        for (at, label) in labels.iter().enumerate() {
            assert!(labels[at + 1..].iter().all(|other| !label.meets(other)), "{}", label.text);
            let covers = |dot: &Dot| label.meets_dot(dot) && (label.class != "region" || dot.part != Part::Unused);
            assert!(label.is_inside() && !dots.iter().any(covers), "{}", label.text);
        }
    }

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, expected) in [(7.0, 8.0), (1234.0, 2000.0), (2100.0, 4000.0), (99.0, 100.0)] {
            assert_eq!(nice(value), expected);
        }
    }
}
