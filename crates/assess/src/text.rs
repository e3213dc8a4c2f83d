//! The answer on a terminal: the one important line first, then what it rests on, one screen for an app of usual size.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lifeboat_atlas::{Figure, Grade};

use crate::bill::{percent, price, usd};
use crate::choice::Carriage;
use crate::questions::Difference;
use crate::recovery::seconds;
use crate::report::{Assessment, Basis, Conflict, FrontierPoint, Outlook, PatternRow, Severity, Standing};

/// Components that are listed; the others are counted.
const LISTED: usize = 40;

/// Notes that stand under every answer, and are left to the page.
const USUAL_NOTES: usize = 3;

/// Routes that are listed.
const ROUTES: usize = 8;

/// A figure with the letter of the grade of what it rests on.
fn graded(text: impl Into<String>, grade: Option<Grade>) -> String {
    let text = text.into();
    match grade {
        Some(grade) => format!("{text} {}", letter(grade)),
        None => text,
    }
}

fn of(basis: &Option<Basis>) -> Option<Grade> {
    basis.as_ref().map(|basis| basis.grade)
}

/// The word after a figure of the summary.
fn word(basis: &Option<Basis>) -> String {
    basis.as_ref().map_or(String::new(), |basis| format!(" {}", basis.grade))
}

pub(crate) fn letter(grade: Grade) -> char {
    match grade {
        Grade::Measured => 'm',
        Grade::Observed => 'o',
        Grade::Published => 'p',
        Grade::Estimated => 'e',
        Grade::Declared => 'd',
    }
}

/// What the letters after figures mean.
pub(crate) const LETTERS: &str =
    "m measured, o observed, p published, e estimated, d declared: the weakest that a figure rests on";

/// The report. Plain text without colours: who prints it knows whether there is a terminal.
pub fn render(answer: &Assessment) -> String {
    let mut out = String::new();
    let summary = &answer.summary;
    let _ = writeln!(out, "lifeboat assess  {}  {}", answer.app, summary.standing.as_str());
    let _ = writeln!(out, "\n  {}\n", summary.line);
    if !answer.components.is_empty() {
        let _ = writeln!(
            out,
            "  RTO {}{} (half within {}, 99 of 100 within {}){}",
            seconds(summary.rto.p95),
            word(&summary.rto_basis),
            seconds(summary.rto.p50),
            seconds(summary.rto.p99),
            match &summary.rpo_basis {
                Some(basis) => format!(
                    "    RPO {} {} (99 of 100 within {})",
                    seconds(summary.rpo.p95),
                    basis.grade,
                    seconds(summary.rpo.p99)
                ),
                None => "    no data".into(),
            }
        );
    }
    if answer.routes.len() > 1 {
        for route in answer.routes.iter().take(ROUTES) {
            let wanted = route.wanted_rto.map_or(String::new(), |wanted| format!(" ({} wanted)", seconds(wanted)));
            let loss =
                route.rpo.map_or(String::new(), |rpo| format!(", RPO {}{}", seconds(rpo.p95), word(&route.rpo_basis)));
            let (rto, grade) = (seconds(route.rto.p95), route.rto_basis.grade);
            let _ = writeln!(out, "    {:<32} RTO {rto} {grade}{wanted}{loss}", route.host);
        }
        if answer.routes.len() > ROUTES {
            let _ = writeln!(out, "    … and {} more routes", answer.routes.len() - ROUTES);
        }
    }
    let unknown_of_today = answer.cost.unknown_of_today;
    let unknown_of_added = summary.unknown_prices;
    let overhead = match summary.overhead_percent {
        Some(_) => format!("  + {}", percent(summary.overhead_percent, unknown_of_added)),
        None => String::new(),
    };
    let _ = writeln!(
        out,
        "  cost today {}   protection {}{overhead}{}",
        if summary.today_usd > 0.0 { price(summary.today_usd, unknown_of_today) } else { "not known".into() },
        price(summary.added_usd, unknown_of_added),
        summary.cost_basis.as_ref().map_or(String::new(), |basis| format!("   prices {} or better", basis.grade))
    );
    components(&mut out, answer);
    reasons(&mut out, answer);
    objectives(&mut out, answer);
    conflicts(&mut out, answer);
    weak_points(&mut out, answer);
    bases(&mut out, answer);
    footer(&mut out, answer);
    if !answer.patterns.is_empty() {
        out += "\n";
        out += &patterns(&answer.patterns);
    }
    if !answer.frontier.is_empty() {
        out += "\n";
        out += &frontier(&answer.frontier);
    }
    out
}

fn components(out: &mut String, answer: &Assessment) {
    if answer.components.is_empty() {
        return;
    }
    let mut rows =
        vec![["", "pattern", "from", "to", "replication", "standby", "RTO", "RPO", "USD/month"].map(String::from)];
    for component in answer.components.iter().take(LISTED) {
        let standby = match (component.standby_instances, component.home_instances) {
            (0, _) => "-".into(),
            (standby, home) => format!("{standby} of {home}"),
        };
        let replication = match (component.replication, &component.commit_latency_ms) {
            (Carriage::Nothing, _) => "-".into(),
            (carriage, Some(latency)) => {
                graded(format!("{} +{:.0} ms", carriage.as_str(), latency.value), Some(latency.grade))
            }
            (carriage, None) => carriage.as_str().into(),
        };
        let rpo = if component.replication == Carriage::Nothing {
            "-".into()
        } else {
            graded(seconds(component.rpo.p95), of(&component.rpo_basis))
        };
        let grade = of(&component.cost_basis);
        rows.push([
            component.component.clone(),
            component.pattern.clone(),
            component.home.clone(),
            component.elsewhere().join("+"),
            replication,
            standby,
            graded(seconds(component.rto.p95), Some(component.rto_basis.grade)),
            rpo,
            match (component.added_usd > 0.0, component.unknown_prices) {
                (true, 0) => graded(format!("+{:.2}", component.added_usd), grade),
                (true, _) => graded(format!("+{:.2}", component.added_usd), grade) + " +?",
                (false, 0) => "0".into(),
                (false, _) => "?".into(),
            },
        ]);
    }
    out.push('\n');
    table(out, &rows);
    if answer.components.len() > LISTED {
        let _ = writeln!(out, "  … and {} more (--json, --html)", answer.components.len() - LISTED);
    }
    let _ = writeln!(out, "  {LETTERS}");
    for link in &answer.links {
        let km = link.km.as_ref().map_or("distance unknown".into(), |km| format!("{:.0} km {}", km.value, km.grade));
        let trip = link
            .round_trip_ms
            .as_ref()
            .map_or("round trip unknown".into(), |trip| format!("{:.0} ms {}", trip.value, trip.grade));
        let _ = writeln!(out, "  {} → {}: {km}, {trip}; {}", link.from, link.to, link.reason);
    }
    for component in answer.components.iter().take(LISTED) {
        if let Some(measured) = &component.measured {
            let verdict = if measured.within { "inside" } else { "OUTSIDE" };
            let values: Vec<String> = measured.seconds.iter().map(|value| seconds(*value)).collect();
            let _ = writeln!(
                out,
                "  {}: measured {}, {verdict} what was predicted before, {} to {} {}",
                component.component,
                values.join(", "),
                seconds(measured.predicted.0),
                seconds(measured.predicted.1),
                measured.predicted_basis.grade
            );
        }
    }
}

/// Above so many components the reasons are left to the page and to machines.
const EXPLAINED: usize = 12;

fn reasons(out: &mut String, answer: &Assessment) {
    if answer.components.len() > EXPLAINED || answer.components.iter().all(|component| component.reasons.is_empty()) {
        return;
    }
    let _ = writeln!(out, "\nwhy");
    let rows: Vec<[String; 2]> = answer
        .components
        .iter()
        .flat_map(|component| {
            let how = std::iter::once(component.how.clone());
            let lines = how.chain(component.reasons.iter().cloned());
            lines
                .enumerate()
                .map(|(at, line)| [if at == 0 { component.component.clone() } else { String::new() }, line])
        })
        .collect();
    table(out, &rows);
}

fn objectives(out: &mut String, answer: &Assessment) {
    if answer.objectives.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nobjectives");
    let mut rows = Vec::new();
    let held = answer.objectives.len() > LISTED;
    for objective in answer.objectives.iter().filter(|one| !held || one.standing == Standing::Unattainable).take(LISTED)
    {
        rows.push([
            objective.standing.as_str().to_owned(),
            format!("{} {}", objective.of, objective.objective),
            objective.wanted.clone(),
            graded(objective.expected.clone(), of(&objective.basis)),
            objective.misses.map_or(String::new(), |share| format!("missed {:.1} %", share * 100.0)),
            objective.reason.clone(),
        ]);
    }
    table(out, &rows);
    if held {
        let of = |standing| answer.objectives.iter().filter(|one| one.standing == standing).count();
        let _ = writeln!(
            out,
            "  {} met, {} achievable, {} unattainable",
            of(Standing::Met),
            of(Standing::Achievable),
            of(Standing::Unattainable)
        );
    }
}

fn conflicts(out: &mut String, answer: &Assessment) {
    for conflict in &answer.conflicts {
        let about = if conflict.components.len() > 1 || !mentions(conflict) {
            let names = named(&conflict.components, CONCERNED);
            format!("  ({names})")
        } else {
            String::new()
        };
        let _ = writeln!(out, "\ncontradiction  {}{about}", conflict.between.join("  ×  "));
        for relax in &conflict.relax {
            let _ = writeln!(out, "  either  {relax}");
        }
    }
}

/// So many components that a contradiction concerns are named.
const CONCERNED: usize = 24;

/// Whether the demands name the components themselves.
fn mentions(conflict: &Conflict) -> bool {
    let names =
        |component: &String| conflict.between.iter().any(|demand| demand.contains(&format!(" of {component}:")));
    conflict.components.iter().all(|component| component == "app" || names(component))
}

fn weak_points(out: &mut String, answer: &Assessment) {
    let told: Vec<_> = answer.weak_points.iter().filter(|point| point.severity != Severity::Low).collect();
    if told.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nweak points");
    for point in told {
        let _ = writeln!(out, "  {:<6}  {}  ({})", point.severity.as_str(), point.what, shortened(&point.about));
        let _ = writeln!(out, "          do: {}", point.remedy);
    }
}

/// So many lines of what times and losses rest on are told.
const BASES: usize = 16;

/// What the times and losses rest on, assumptions first: what is worth measuring.
fn bases(out: &mut String, answer: &Assessment) {
    if answer.components.len() > EXPLAINED {
        return;
    }
    let mut bases = Bases::new();
    for component in &answer.components {
        let steps = component.steps.iter().map(|step| (step.step.as_str(), step.grade, &step.source, &step.date));
        let loss = component.rpo_basis.iter().map(|loss| ("loss", loss.grade, &loss.source, &loss.date));
        for (what, grade, source, date) in steps.chain(loss) {
            let key = (grade != Grade::Estimated, what, grade.as_str(), source.as_str(), date.as_str());
            let who = bases.entry(key).or_default();
            if !who.contains(&component.component.as_str()) {
                who.push(&component.component);
            }
        }
    }
    rest_on(out, "times and losses", &bases, answer.components.len());
    let mut bases = Bases::new();
    for item in answer.components.iter().flat_map(|component| &component.items) {
        let Some(grade) = item.grade else { continue };
        let key = (grade != Grade::Estimated, "price", grade.as_str(), item.source.as_str(), item.date.as_str());
        let who = bases.entry(key).or_default();
        if !who.contains(&item.sku.as_str()) {
            who.push(&item.sku);
        }
    }
    rest_on(out, "prices", &bases, usize::MAX);
    let mut bases = Bases::new();
    for link in &answer.links {
        let km = link.km.iter().map(|km| ("distance", km));
        for (what, figure) in km.chain(link.round_trip_ms.iter().map(|trip| ("round trip", trip))) {
            let key = (figure.grade != Grade::Estimated, what, figure.grade.as_str(), &*figure.source, &*figure.date);
            bases.entry(key).or_default().push(&link.to);
        }
    }
    rest_on(out, "distances", &bases, usize::MAX);
}

/// By grade (estimates first), what, source and date: who rests on it.
type Bases<'a> = BTreeMap<(bool, &'a str, &'a str, &'a str, &'a str), Vec<&'a str>>;

/// One of the lists of what figures rest on; `everyone` is how many there are at most.
fn rest_on(out: &mut String, figures: &str, bases: &Bases<'_>, everyone: usize) {
    if bases.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nwhat {figures} rest on");
    for ((_, what, grade, source, date), who) in bases.iter().take(BASES) {
        let who: Vec<String> = who.iter().map(ToString::to_string).collect();
        let who = if who.len() == everyone { "all".into() } else { shortened(&who) };
        let _ = writeln!(out, "  {grade:<9}  {what:<7}  {source}, {date}  ({who})");
    }
    if bases.len() > BASES {
        let _ = writeln!(out, "  … and {} more: see --json or --html", bases.len() - BASES);
    }
}

fn shortened(names: &[String]) -> String {
    named(names, 4)
}

/// At most so many names.
fn named(names: &[String], most: usize) -> String {
    if names.len() <= most {
        return names.join(", ");
    }
    format!("{} and {} more", names[..most - 1].join(", "), names.len() - (most - 1))
}

/// Time without service in a year for who waits for the region to come back, and what outages that have no end do to it.
/// With the grade.
pub(crate) fn waiting(outlook: &Outlook) -> Option<(String, Grade)> {
    let words = |minutes: &Figure<f64>| seconds(minutes.value * 60.0);
    let minutes = outlook.minutes_waiting.as_ref()?;
    let whole = words(minutes);
    let waiting = match (outlook.waiting_at_least, &outlook.minutes_waiting_ended) {
        (false, _) => whole,
        (true, Some(ended)) => format!("at least {whole} ({} but for an outage that has not ended)", words(ended)),
        (true, None) => format!("at least {whole}"),
    };
    Some((waiting, minutes.grade))
}

fn footer(out: &mut String, answer: &Assessment) {
    out.push('\n');
    for outlook in &answer.outlook {
        let waiting = waiting(outlook).map_or(String::new(), |(waiting, _)| format!(" instead of {waiting}"));
        let _ = writeln!(
            out,
            "  a year in {}: {:.3} losses of the region {}, {} without service{waiting} {}: {}, {}",
            outlook.region,
            outlook.losses_per_year.value,
            outlook.losses_per_year.grade,
            seconds(outlook.minutes_planned.value * 60.0),
            outlook.minutes_planned.grade,
            outlook.losses_per_year.source,
            outlook.losses_per_year.date
        );
    }
    for unknown in answer.cost.unknown.iter().take(8) {
        let _ = writeln!(out, "  unknown price: {unknown}");
    }
    if answer.cost.unknown.len() > 8 {
        let _ = writeln!(out, "  … and {} more unknown prices", answer.cost.unknown.len() - 8);
    }
    for note in answer.notes.iter().skip(USUAL_NOTES) {
        let _ = writeln!(out, "  {note}");
    }
    let proof = if answer.optimal { "proved to be the cheapest" } else { "not proved to be the cheapest" };
    let grades: Vec<String> =
        answer.cost.by_grade.iter().map(|(grade, amount)| format!("{} {grade}", usd(*amount))).collect();
    let grades = if grades.is_empty() { String::new() } else { format!("; of the added cost: {}", grades.join(", ")) };
    let _ = writeln!(out, "  {proof}{grades}");
}

/// The table of patterns.
pub fn patterns(rows: &[PatternRow]) -> String {
    let mut out = String::from("patterns side by side\n");
    let mut lines = vec![
        ["", "RTO", "RPO", "adds USD/month", "overhead", "usual", "complexity", "meets objectives"].map(String::from),
    ];
    for row in rows {
        lines.push([
            row.pattern.clone(),
            graded(seconds(row.rto.p95), of(&row.rto_basis)),
            graded(seconds(row.rpo.p95), of(&row.rpo_basis)),
            added(row.added_usd, &row.cost_basis, row.unknown_prices),
            percent(row.overhead_percent, row.unknown_prices),
            row.usual_percent
                .as_ref()
                .map_or(String::new(), |usual| graded(format!("{} %", usual.value), Some(usual.grade))),
            format!("{} of 5", row.complexity),
            if row.meets_objectives { "yes" } else { "no" }.into(),
        ]);
    }
    table(&mut out, &lines);
    for row in rows.iter().filter(|row| !row.instead.is_empty()) {
        let _ = writeln!(out, "  {}: not there for {}", row.pattern, shortened(&row.instead));
    }
    if let Some(usual) = rows.iter().find_map(|row| row.usual_percent.as_ref()) {
        let _ = writeln!(out, "  usual: {}, {}", usual.source, usual.date);
    }
    let _ = writeln!(out, "  {LETTERS}");
    out
}

fn added(usd: f64, basis: &Option<Basis>, unknown: usize) -> String {
    graded(format!("{usd:.2}"), of(basis)) + if unknown > 0 { " +?" } else { "" }
}

/// The frontier as a table.
pub fn frontier(points: &[FrontierPoint]) -> String {
    let mut out = String::from("cost against RTO and RPO\n");
    let mut lines = vec![["RTO", "RPO", "adds USD/month", "patterns", ""].map(String::from)];
    for point in points {
        lines.push([
            seconds(point.rto_seconds),
            seconds(point.rpo_seconds),
            added(point.added_usd, &point.cost_basis, point.unknown_prices),
            point.patterns.join(", "),
            if point.optimal { String::new() } else { format!("not proved: at most {} less", usd(point.spare_usd)) },
        ]);
    }
    table(&mut out, &lines);
    let _ = writeln!(out, "  {LETTERS}");
    out
}

/// Before and after.
pub fn difference(difference: &Difference) -> String {
    let mut out = format!("what if {}\n\n", difference.what_if);
    let _ = writeln!(
        out,
        "  protection {} → {}   RTO {} → {}   unattainable objectives {} → {}",
        price(difference.added_usd.0, 0),
        price(difference.added_usd.1, difference.after.summary.unknown_prices),
        seconds(difference.rto.0.p95),
        seconds(difference.rto.1.p95),
        difference.unattainable.0,
        difference.unattainable.1
    );
    for change in difference.changes.iter().take(LISTED) {
        let _ = writeln!(out, "\n  {}\n    - {}\n    + {}", change.component, change.before, change.after);
    }
    if difference.changes.is_empty() {
        let _ = writeln!(out, "  nothing else changes");
    }
    conflicts(&mut out, &difference.after);
    out
}

/// Aligned columns, two spaces apart.
pub(crate) fn table<const N: usize>(out: &mut String, rows: &[[String; N]]) {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in rows {
        let mut text = String::from(" ");
        for (width, cell) in widths.iter().zip(row) {
            let _ = write!(text, " {cell:<width$} ");
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
}
