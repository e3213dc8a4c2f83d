//! The answer as one self-contained page: no script, no font, no picture from elsewhere.
//!
//! Ordered as an engineer reads it: the verdict, the map, what to do (contradictions and weak points before tables),
//! components with their reasons folded away, cost, patterns, frontier. Long lists fold, so that 200 components stay readable.

use lifeboat_atlas::Figure;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::bill::{percent, price, usd};
use crate::choice::Carriage;
use crate::picture;
use crate::predict::Quantiles;
use crate::recovery::seconds;
use crate::report::{Assessment, Basis, ComponentReport, ObjectiveReport, Severity, Standing};
use crate::tariff::CostItem;
use crate::text::{LETTERS, letter, waiting};

/// Above so many, met and achievable objectives are folded away.
const MANY_OBJECTIVES: usize = 24;

const STYLE: &str = include_str!("report.css");

/// The page. `wanted_rto` marks the file's RTO in the frontier, in seconds.
pub fn page(answer: &Assessment, wanted_rto: Option<f64>) -> String {
    let title = format!("{}: disaster recovery", answer.app);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (header(answer))
                    (picture::map(answer))
                    (conflicts(answer))
                    (objectives(answer))
                    (weak_points(answer))
                    (components(answer))
                    (cost(answer))
                    (patterns(answer))
                    @if !answer.frontier.is_empty() {
                        section {
                            h2 { "Cost against RTO and RPO" }
                            p class="hint" { "The cheapest solution for each pair of objectives, without what the file fixes." }
                            @if answer.frontier.iter().any(|point| !point.optimal) {
                                p class="hint" { "Open dots are not proved to be the cheapest; the table says what something cheaper could save at most." }
                            }
                            (picture::frontier(&answer.frontier, wanted_rto))
                            (frontier_table(answer))
                        }
                    }
                    (footer(answer))
                }
            }
        }
    };
    page.into_string()
}

fn header(answer: &Assessment) -> Markup {
    let summary = &answer.summary;
    html! {
        header class=(summary.standing.as_str()) {
            p class="eyebrow" { (answer.app) " · region loss" }
            h1 { (summary.line) }
            @if !answer.components.is_empty() {
                div class="tiles" {
                    @if answer.routes.len() < 2 || answer.routes.len() > TILES {
                        (tile("RTO", &seconds(summary.rto.p95), &(spread_of(summary.rto) + &graded(&summary.rto_basis))))
                    } @else {
                        @for route in &answer.routes {
                            (tile(&format!("RTO of {}", route.host), &seconds(route.rto.p95), &format!("{}{}, {}", route.wanted_rto.map_or(String::new(), |wanted| format!("wanted {}; ", seconds(wanted))), spread_of(route.rto), route.rto_basis.grade)))
                        }
                    }
                    @if summary.rpo_basis.is_some() {
                        (tile("RPO, at worst", &seconds(summary.rpo.p95), &format!("99 % within {}{}", seconds(summary.rpo.p99), graded(&summary.rpo_basis))))
                    }
                    (tile("Protection adds", &format!("{}/month", usd(summary.added_usd)), &added_hint(answer)))
                    @for outlook in answer.outlook.iter().take(1) {
                        (tile("Without service", &format!("{} a year", seconds(outlook.minutes_planned.value * 60.0)), &waiting(outlook).map_or(String::new(), |(waiting, grade)| format!("instead of {waiting}, if {} is waited for ({grade})", outlook.region))))
                    }
                }
            }
        }
    }
}

/// Up to so many routes have a tile each.
const TILES: usize = 3;

fn spread_of(rto: Quantiles) -> String {
    format!("half within {}, 99 % within {}", seconds(rto.p50), seconds(rto.p99))
}

fn added_hint(answer: &Assessment) -> String {
    let summary = &answer.summary;
    let unknown = match summary.unknown_prices {
        0 => String::new(),
        1 => "and 1 unknown price; ".into(),
        many => format!("and {many} unknown prices; "),
    };
    let today = match summary.overhead_percent {
        Some(_) => {
            format!("{} of {} today", percent(summary.overhead_percent, summary.unknown_prices), usd(summary.today_usd))
        }
        None => "today's cost is not known".into(),
    };
    let grade =
        summary.cost_basis.as_ref().map_or(String::new(), |basis| format!("; prices {} or better", basis.grade));
    unknown + &today + &grade
}

/// The grade after what is said of a figure.
fn graded(basis: &Option<Basis>) -> String {
    basis.as_ref().map_or(String::new(), |basis| format!(", {}", basis.grade))
}

/// The letter of a grade beside a figure, with its source and date at hand.
fn mark(basis: Option<&Basis>) -> Markup {
    html! {
        @if let Some(basis) = basis {
            " " abbr class="grade" title=(format!("{}: {}, {}", basis.grade, basis.source, basis.date)) { (letter(basis.grade)) }
        }
    }
}

fn tile(name: &str, value: &str, hint: &str) -> Markup {
    html! { div class="tile" { div class="name" { (name) } div class="value" { (value) } div class="hint" { (hint) } } }
}

fn conflicts(answer: &Assessment) -> Markup {
    html! {
        @if !answer.conflicts.is_empty() {
            section {
                h2 { "What contradicts itself" }
                @if answer.conflicts.len() > MANY_CONFLICTS { (conflict_table(answer)) } @else {
                @for conflict in &answer.conflicts {
                    div class="conflict" {
                        p { strong { (conflict.between.join("  ×  ")) } span class="hint" { " " (conflict.components.join(", ")) } }
                        p { @if conflict.relax.len() > 1 { "Give up one of them:" } @else { "What it takes:" } }
                        ul { @for relax in &conflict.relax { li { (relax) } } }
                    }
                }
                }
            }
        }
    }
}

/// Above so many, contradictions are rows of a table.
const MANY_CONFLICTS: usize = 6;

fn conflict_table(answer: &Assessment) -> Markup {
    html! {
        table {
            thead { tr { th { "Demands that cannot hold together" } th { "Either of these would do" } } }
            tbody {
                @for conflict in &answer.conflicts {
                    tr { td { (conflict.between.join(" × ")) div class="hint" { (names(&conflict.components)) } } td { (conflict.relax.join("; or ")) } }
                }
            }
        }
    }
}

fn objectives(answer: &Assessment) -> Markup {
    let folded = answer.objectives.len() > MANY_OBJECTIVES;
    let (open, rest): (Vec<&ObjectiveReport>, Vec<&ObjectiveReport>) =
        answer.objectives.iter().partition(|objective| !folded || objective.standing == Standing::Unattainable);
    html! {
        @if !answer.objectives.is_empty() {
            section {
                h2 { "Objectives" }
                @if !open.is_empty() { (objective_table(&open)) }
                @if !rest.is_empty() {
                    details { summary { (rest.len()) " that are met or achievable" } (objective_table(&rest)) }
                }
            }
        }
    }
}

fn objective_table(objectives: &[&ObjectiveReport]) -> Markup {
    html! {
        table {
            thead { tr { th { "Verdict" } th { "Objective" } th { "Wanted" } th { "Expected" } th { abbr title="Share of recoveries that miss it" { "Missed" } } th { "By" } } }
            tbody {
                @for objective in objectives {
                    tr {
                        td { span class=(format!("badge {}", objective.standing.as_str())) { (objective.standing.as_str()) } }
                        td { (objective.of) " " (objective.objective) }
                        td class="number" { (objective.wanted) }
                        td { (objective.expected) (mark(objective.basis.as_ref())) }
                        td class="number" { @if let Some(share) = objective.misses { (format!("{:.1} %", share * 100.0)) } }
                        td class="by" { (objective.reason) }
                    }
                }
            }
        }
    }
}

fn weak_points(answer: &Assessment) -> Markup {
    html! {
        @if !answer.weak_points.is_empty() {
            section {
                h2 { "Weak points" }
                @for point in &answer.weak_points {
                    details class="weak" open[point.severity == Severity::High] {
                        summary {
                            span class=(format!("badge {}", point.severity.as_str())) { (point.severity.as_str()) }
                            " " (point.what)
                            span class="hint" { " " (names(&point.about)) }
                        }
                        p { (ticked(&point.why)) "." }
                        p class="do" { "Do: " (ticked(&point.remedy)) "." }
                    }
                }
            }
        }
    }
}

/// What stands between backticks as code.
fn ticked(text: &str) -> Markup {
    html! {
        @for (number, part) in text.split('`').enumerate() {
            @if number % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn names(about: &[String]) -> String {
    if about.len() <= 6 { about.join(", ") } else { format!("{} and {} more", about[..5].join(", "), about.len() - 5) }
}

fn components(answer: &Assessment) -> Markup {
    html! {
        @if !answer.components.is_empty() {
            section {
                h2 { "Components" }
                p class="hint" { "Open one for its steps, its bill and the reasons. Letters after figures: " (LETTERS) "." }
                div class="row head" {
                    span { "Component" } span { "Pattern" } span { "From → to" } span { "Standby" } span { "RTO" } span { "RPO" } span { "USD/month" }
                }
                @for component in &answer.components { (component_row(component)) }
            }
        }
    }
}

fn component_row(component: &ComponentReport) -> Markup {
    html! {
        details class="component" {
            summary class="row" {
                span { strong { (component.component) } " " span class="hint" { (component.kind) } }
                span { (component.pattern) }
                span { (component.home) " → " (component.elsewhere().join(", ")) }
                span {
                    @if component.standby_instances == 0 { "none runs" } @else { (component.standby_instances) " of " (component.home_instances) }
                }
                span class="number" { (seconds(component.rto.p95)) (mark(Some(&component.rto_basis))) }
                span class="number" {
                    @if component.replication == Carriage::Nothing { "–" } @else { (seconds(component.rpo.p95)) (mark(component.rpo_basis.as_ref())) }
                }
                span class="number" {
                    (format!("+{:.2}", component.added_usd)) (mark(component.cost_basis.as_ref()))
                    @if component.unknown_prices > 0 { " " abbr title=(format!("{} unknown prices", component.unknown_prices)) { "+?" } }
                }
            }
            div class="inside" {
                p {
                    (component.how) "; " (component.replication.as_str())
                    @if let Some(latency) = &component.commit_latency_ms { (format!(", {:.0} ms more for each commit ({}: {})", latency.value, latency.grade, dated(latency))) }
                    "."
                }
                @if !component.reasons.is_empty() { ul { @for reason in &component.reasons { li { (reason) } } } }
                @if let Some(measured) = &component.measured {
                    p {
                        "Measured: " (measured.seconds.iter().map(|value| seconds(*value)).collect::<Vec<_>>().join(", ")) ", "
                        strong { @if measured.within { "inside" } @else { "outside" } }
                        " what was predicted before, " (seconds(measured.predicted.0)) " to " (seconds(measured.predicted.1)) (mark(Some(&measured.predicted_basis))) "."
                    }
                }
                table {
                    thead { tr { th { "Step or loss" } th { "Usual" } th { "Planned" } th { "Grade" } th { "Rests on" } } }
                    tbody {
                        @if let Some(loss) = &component.rpo_basis {
                            tr {
                                td { "loss" } td class="number" { (seconds(component.rpo.p50)) } td class="number" { (seconds(component.rpo.p95)) }
                                td { (loss.grade) } td class="source" { (loss.source) ", " (loss.date) }
                            }
                        }
                        @for step in &component.steps {
                            tr {
                                td { (step.step.as_str()) } td class="number" { (seconds(step.p50)) } td class="number" { (seconds(step.p95)) }
                                td { (step.grade) } td class="source" { (step.source) ", " (step.date) }
                            }
                        }
                    }
                }
                @if !component.items.is_empty() { (bill(&component.items)) }
            }
        }
    }
}

fn basis_of<T>(figure: &Figure<T>) -> Basis {
    Basis { grade: figure.grade, source: figure.source.to_string(), date: figure.date.to_string() }
}

/// Source and date.
fn dated(figure: &Figure<f64>) -> String {
    format!("{}, {}", figure.source, figure.date)
}

fn bill(items: &[CostItem]) -> Markup {
    html! {
        table {
            thead { tr { th { "Added" } th { "Region" } th { "SKU" } th { "Quantity" } th { "USD/month" } th { "Grade" } th { "Rests on" } } }
            tbody {
                @for item in items {
                    tr {
                        td { (item.item.as_str()) } td { (item.region) } td { code { (item.sku) } }
                        td class="number" { (format!("{:.0} {}", item.quantity, item.unit)) }
                        td class="number" { @if let Some(amount) = item.usd { (format!("{amount:.2}")) } @else { "unknown" } }
                        td { @if let Some(grade) = item.grade { (grade) } }
                        td class="source" { (item.source) @if !item.date.is_empty() { ", " (item.date) } }
                    }
                }
            }
        }
    }
}

fn cost(answer: &Assessment) -> Markup {
    let cost = &answer.cost;
    let most = cost.added_by_item.values().copied().fold(0.0, f64::max);
    html! {
        section {
            h2 { "Cost" }
            p {
                "Today " strong { (usd(cost.today_usd)) } ", protection " strong { (price(cost.added_usd, cost.unknown_of_added)) } (mark(cost.cost_basis.as_ref()))
                @if answer.summary.overhead_percent.is_some() { " (" (percent(answer.summary.overhead_percent, cost.unknown_of_added)) ")" } "."
            }
            @if most > 0.0 {
                div class="bars" {
                    @for (item, amount) in &cost.added_by_item {
                        div { (item) }
                        div class="track" { div class="bar" style=(format!("width:{:.1}%", amount / most * 100.0)) {} }
                        div class="number" { (format!("{amount:.2}")) }
                    }
                }
            }
            @if !cost.unknown.is_empty() {
                details {
                    summary { (cost.unknown.len()) " unknown prices: not zero, not in the sums" }
                    ul { @for unknown in &cost.unknown { li { (unknown) } } }
                }
            }
        }
    }
}

fn patterns(answer: &Assessment) -> Markup {
    html! {
        @if !answer.patterns.is_empty() {
            section {
                h2 { "Patterns side by side" }
                @let mixed = answer.components.iter().any(|component| Some(&component.pattern) != answer.summary.pattern.as_ref());
                table {
                    thead { tr { th { "Pattern" } th { "RTO" } th { "RPO" } th { "Adds, USD/month" } th { "Overhead" } th { "Usual" } th { "Complexity" } th { "Meets objectives" } } }
                    tbody {
                        @for row in &answer.patterns {
                            tr class=[(!mixed && answer.summary.pattern.as_deref() == Some(&row.pattern)).then_some("chosen")] {
                                td {
                                    (row.pattern)
                                    @if !row.instead.is_empty() { div class="hint" { "not there for " (names(&row.instead)) } }
                                }
                                td class="number" { (seconds(row.rto.p95)) (mark(row.rto_basis.as_ref())) } td class="number" { (seconds(row.rpo.p95)) (mark(row.rpo_basis.as_ref())) }
                                td class="number" { (format!("{:.2}", row.added_usd)) (mark(row.cost_basis.as_ref())) @if row.unknown_prices > 0 { " +?" } }
                                td class="number" { (percent(row.overhead_percent, row.unknown_prices)) }
                                td class="number" { @if let Some(usual) = &row.usual_percent { (usual.value) " %" (mark(Some(&basis_of(usual)))) } }
                                td { (row.complexity) " of 5" }
                                td { @if row.meets_objectives { "yes" } @else { "no" } }
                            }
                        }
                        @if mixed { (as_proposed(answer)) }
                    }
                }
            }
        }
    }
}

/// The proposal's own row, where it is none of the patterns alone.
fn as_proposed(answer: &Assessment) -> Markup {
    let summary = &answer.summary;
    let held = answer.objectives.iter().all(|objective| {
        objective.standing != Standing::Unattainable || !matches!(objective.objective.as_str(), "rto" | "rpo")
    });
    html! {
        tr class="chosen" {
            td { "as proposed" div class="hint" { "each component its own" } }
            td class="number" { (seconds(summary.rto.p95)) (mark(summary.rto_basis.as_ref())) } td class="number" { (seconds(summary.rpo.p95)) (mark(summary.rpo_basis.as_ref())) }
            td class="number" { (format!("{:.2}", summary.added_usd)) (mark(summary.cost_basis.as_ref())) @if summary.unknown_prices > 0 { " +?" } }
            td class="number" { (percent(summary.overhead_percent, summary.unknown_prices)) }
            td {}
            td { (answer.components.iter().map(|component| component.complexity).max().unwrap_or(0)) " of 5" }
            td { @if held { "yes" } @else { "no" } }
        }
    }
}

fn frontier_table(answer: &Assessment) -> Markup {
    html! {
        details {
            summary { "As a table" }
            table {
                thead { tr { th { "RTO" } th { "RPO" } th { "Adds, USD/month" } th { "Patterns" } th { "The cheapest" } } }
                tbody {
                    @for point in &answer.frontier {
                        tr {
                            td class="number" { (seconds(point.rto_seconds)) } td class="number" { (seconds(point.rpo_seconds)) }
                            td class="number" { (format!("{:.2}", point.added_usd)) (mark(point.cost_basis.as_ref())) @if point.unknown_prices > 0 { " +?" } }
                            td { (point.patterns.join(", ")) }
                            td { @if point.optimal { "proved" } @else { "not proved; at most " (usd(point.spare_usd)) " less" } }
                        }
                    }
                }
            }
        }
    }
}

fn footer(answer: &Assessment) -> Markup {
    html! {
        section {
            h2 { "Regions" }
            details {
                summary { (answer.regions.len()) " came into question" }
                table {
                    thead { tr { th { "Region" } th { "Place" } th { "City" } th { "Lies at" } th { "Law" } th { "Home of" } th { "Target of" } th { "Not used because" } } }
                    tbody {
                        @for region in &answer.regions {
                            tr {
                                td { (region.region) } td { (region.place) } td { (region.city.as_deref().unwrap_or("")) }
                                td class="number" {
                                    @if let Some(position) = &region.position {
                                        (format!("{:.1}, {:.1}", position.value.latitude, position.value.longitude)) (mark(Some(&basis_of(position))))
                                    } @else { "not known" }
                                }
                                td { (region.jurisdiction.as_deref().unwrap_or("not known")) }
                                td { (names(&region.home_of)) } td { (names(&region.target_of)) }
                                td { (region.refused.as_deref().unwrap_or("")) }
                            }
                        }
                    }
                }
            }
            @for link in &answer.links {
                p class="hint" {
                    (link.from) " → " (link.to) ": "
                    @if let Some(km) = &link.km { (format!("{:.0} km, {}: {}", km.value, km.grade, dated(km))) "; " }
                    @if let Some(trip) = &link.round_trip_ms { (format!("round trip {:.1} ms, {}: {}", trip.value, trip.grade, dated(trip))) } @else { "round trip not known" }
                    "; " (link.reason) "."
                }
            }
        }
        footer {
            p { @if answer.optimal { "It is proved that nothing cheaper meets the objectives." } @else { "It is not proved that nothing cheaper meets the objectives." } }
            @for note in &answer.notes { p { (note) } }
            @for outlook in &answer.outlook {
                p {
                    (outlook.region) ": " (format!("{:.3}", outlook.losses_per_year.value)) " losses a year, " (outlook.losses_per_year.grade) ": " (dated(&outlook.losses_per_year)) "; "
                    (seconds(outlook.minutes_planned.value * 60.0)) " without service a year, " (outlook.minutes_planned.grade) ": " (dated(&outlook.minutes_planned)) "."
                    @if let Some(minutes) = &outlook.minutes_waiting { " Waiting for it, " (minutes.grade) ": " (dated(minutes)) "." }
                }
            }
        }
    }
}
