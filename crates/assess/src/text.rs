//! The answer on a terminal: the one important line first, then what it rests on, one screen for an app of usual size.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lifeboat_atlas::Grade;

use crate::bill::{percent, price, usd};
use crate::choice::Carriage;
use crate::questions::Difference;
use crate::recovery::seconds;
use crate::report::{Assessment, FrontierPoint, Outlook, PatternRow, Severity, Standing};

/// Components that are listed; the others are counted.
const LISTED: usize = 40;

/// Notes that stand under every answer, and are left to the page.
const USUAL_NOTES: usize = 3;

/// Routes that are listed.
const ROUTES: usize = 8;

/// The report. Plain text without colours: who prints it knows whether there is a terminal.
pub fn render(answer: &Assessment) -> String {
    let mut out = String::new();
    let summary = &answer.summary;
    let _ = writeln!(out, "lifeboat assess  {}  {}", answer.app, summary.standing.as_str());
    let _ = writeln!(out, "\n  {}\n", summary.line);
    if !answer.components.is_empty() {
        let _ = writeln!(
            out,
            "  RTO {:<9} (half within {}, 99 of 100 within {})    RPO {:<9} (99 of 100 within {})",
            seconds(summary.rto.p95),
            seconds(summary.rto.p50),
            seconds(summary.rto.p99),
            seconds(summary.rpo.p95),
            seconds(summary.rpo.p99)
        );
    }
    if answer.routes.len() > 1 {
        for route in answer.routes.iter().take(ROUTES) {
            let wanted = route.wanted_rto.map_or(String::new(), |wanted| format!(" of {}", seconds(wanted)));
            let loss = route.rpo.map_or(String::new(), |rpo| format!(", RPO {}", seconds(rpo.p95)));
            let _ = writeln!(out, "    {:<32} RTO {}{wanted}{loss}", route.host, seconds(route.rto.p95));
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
        "  cost today {}   protection {}{overhead}",
        if summary.today_usd > 0.0 { price(summary.today_usd, unknown_of_today) } else { "not known".into() },
        price(summary.added_usd, unknown_of_added)
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
            (carriage, Some(latency)) => format!("{} +{:.0} ms", carriage.as_str(), latency.value),
            (carriage, None) => carriage.as_str().into(),
        };
        let rpo = if component.replication == Carriage::Nothing { "-".into() } else { seconds(component.rpo.p95) };
        rows.push([
            component.component.clone(),
            component.pattern.clone(),
            component.home.clone(),
            component.targets.join("+"),
            replication,
            standby,
            seconds(component.rto.p95),
            rpo,
            match (component.added_usd > 0.0, component.unknown_prices) {
                (true, 0) => format!("+{:.2}", component.added_usd),
                (true, _) => format!("+{:.2} +?", component.added_usd),
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
    for link in &answer.links {
        let km = link.km.map_or("distance unknown".into(), |km| format!("{km:.0} km"));
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
                "  {}: measured {}, {verdict} what was predicted before, {} to {}",
                component.component,
                values.join(", "),
                seconds(measured.predicted.0),
                seconds(measured.predicted.1)
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
            objective.expected.clone(),
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
        let _ = writeln!(out, "\ncontradiction  {}", conflict.between.join("  ×  "));
        for relax in &conflict.relax {
            let _ = writeln!(out, "  either  {relax}");
        }
    }
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
    let mut bases: BTreeMap<(bool, &str, &str, &str, &str), Vec<&str>> = BTreeMap::new();
    for component in &answer.components {
        let steps = component.steps.iter().map(|step| (step.step.as_str(), step.grade, &step.source, &step.date));
        let loss = component.loss.iter().map(|loss| ("loss", loss.grade, &loss.source, &loss.date));
        for (what, grade, source, date) in steps.chain(loss) {
            let key = (grade != Grade::Estimated, what, grade.as_str(), source.as_str(), date.as_str());
            let who = bases.entry(key).or_default();
            if !who.contains(&component.component.as_str()) {
                who.push(&component.component);
            }
        }
    }
    if bases.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nwhat times and losses rest on");
    for ((_, what, grade, source, date), who) in bases.iter().take(BASES) {
        let who: Vec<String> = who.iter().map(ToString::to_string).collect();
        let who = if who.len() == answer.components.len() { "all".into() } else { shortened(&who) };
        let _ = writeln!(out, "  {grade:<9}  {what:<7}  {source}, {date}  ({who})");
    }
    if bases.len() > BASES {
        let _ = writeln!(out, "  … and {} more: see --json or --html", bases.len() - BASES);
    }
}

fn shortened(names: &[String]) -> String {
    if names.len() <= 4 { names.join(", ") } else { format!("{} and {} more", names[..3].join(", "), names.len() - 3) }
}

/// Time without service in a year for who waits for the region to come back, and what outages that have no end do to it.
pub(crate) fn waiting(outlook: &Outlook) -> Option<String> {
    let words = |minutes: f64| seconds(minutes * 60.0);
    let whole = words(outlook.minutes_waiting?);
    Some(match (outlook.waiting_at_least, outlook.minutes_waiting_ended) {
        (false, _) => whole,
        (true, Some(ended)) => format!("at least {whole} ({} but for an outage that has not ended)", words(ended)),
        (true, None) => format!("at least {whole}"),
    })
}

fn footer(out: &mut String, answer: &Assessment) {
    out.push('\n');
    for outlook in &answer.outlook {
        let waiting = waiting(outlook).map_or(String::new(), |waiting| format!(" instead of {waiting}"));
        let _ = writeln!(
            out,
            "  a year in {}: {:.3} losses of the region {}, {} without service{waiting}",
            outlook.region,
            outlook.losses_per_year.value,
            outlook.losses_per_year.grade,
            seconds(outlook.minutes_planned * 60.0)
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
            seconds(row.rto.p95),
            seconds(row.rpo.p95),
            if row.unknown_prices > 0 { format!("{:.2} +?", row.added_usd) } else { format!("{:.2}", row.added_usd) },
            percent(row.overhead_percent, row.unknown_prices),
            row.usual_percent.as_ref().map_or(String::new(), |usual| format!("{usual} %")),
            format!("{} of 5", row.complexity),
            if row.meets_objectives { "yes" } else { "no" }.into(),
        ]);
    }
    table(&mut out, &lines);
    for row in rows.iter().filter(|row| !row.instead.is_empty()) {
        let _ = writeln!(out, "  {}: not there for {}", row.pattern, shortened(&row.instead));
    }
    out
}

/// The frontier as a table.
pub fn frontier(points: &[FrontierPoint]) -> String {
    let mut out = String::from("cost against RTO and RPO\n");
    let mut lines = vec![["RTO", "RPO", "adds USD/month", "patterns"].map(String::from)];
    for point in points {
        lines.push([
            seconds(point.rto_seconds),
            seconds(point.rpo_seconds),
            if point.unknown_prices > 0 {
                format!("{:.2} +?", point.added_usd)
            } else {
                format!("{:.2}", point.added_usd)
            },
            point.patterns.join(", "),
        ]);
    }
    table(&mut out, &lines);
    out
}

/// Before and after.
pub fn difference(difference: &Difference) -> String {
    let mut out = format!("what if {}\n\n", difference.what_if);
    let _ = writeln!(
        out,
        "  protection {} → {}   RTO {} → {}   unattainable objectives {} → {}",
        price(difference.added_usd.0, 0),
        price(difference.added_usd.1, 0),
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
