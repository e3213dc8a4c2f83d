//! The report of a drill as a page: one file, no external resources, light and dark, the verdict first.

use maud::{DOCTYPE, Markup, PreEscaped, html as markup};

use crate::client::{PAUSE_AFTER_SUCCESS, REQUEST_TIMEOUT, WORKERS};
use crate::report::{Finding, Report, Run};
use crate::report_svg::{drawing, marks, patterns, seconds};

const STYLE: &str = include_str!("report.css");

/// Above so many runs each is folded away behind its figures.
const UNFOLDED_RUNS: usize = 2;

/// From so many milliseconds on a pause after the reaction is worth a sentence.
const NOTICEABLE_MS: u64 = 100;

/// The page.
pub fn html(report: &Report) -> String {
    let title = format!("{}: {} in {}", report.app, report.fault, report.region);
    markup! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – Lifeboat drill" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (patterns())
                main {
                    (heading(report))
                    @if !report.problems.is_empty() { (problems(report)) }
                    @if report.medians.is_empty() { (figures(report)) } @else { (medians(report)) }
                    (prediction(report))
                    @for run in &report.runs { (run_section(run, report.runs.len() > UNFOLDED_RUNS)) }
                    (promises(report))
                    (environment(report))
                }
            }
        }
    }
    .into_string()
}

fn heading(report: &Report) -> Markup {
    markup! {
        header class=(if report.passed { "passed" } else { "failed" }) {
            p.brand { "Lifeboat drill" }
            p.outcome { (if report.passed { "passed" } else { "failed" }) }
            h1 { (report.app) " " span.dim { "·" } " " (report.fault) " " span.dim { "·" } " " (report.region) }
            p.when { (report.environment.started) }
        }
    }
}

fn problems(report: &Report) -> Markup {
    markup! { section.problems { ul { @for problem in &report.problems { li { (problem) } } } } }
}

fn figures(report: &Report) -> Markup {
    markup! {
        section.figures { @for run in &report.runs {
            div.figure {
                p.intent { (run.intent) " " span.dim { (way(run)) } }
                div.pair {
                    div {
                        p.label { "RTO" }
                        p class={ "value " (held(run.rto_held())) } { (seconds(run.rto_ms)) }
                        p.objective { (objective(run.objective.rto_ms)) " " (badge(run.rto_held())) }
                        @if let Some(limit) = run.objective.rto_ms.filter(|limit| *limit > 0) {
                            (meter(run.rto_ms, limit))
                        }
                    }
                    div {
                        p.label { "RPO" }
                        p class={ "value " (held(run.rpo_held())) } { (loss(run)) }
                        p.objective { (objective(run.objective.rpo_ms)) " " (badge(run.rpo_held())) }
                        p.objective { (there(run)) }
                    }
                }
            }
        } }
    }
}

/// `1841 of 1841 acknowledged orders are there`.
pub(crate) fn there(run: &Run) -> String {
    match run.lost {
        Some(lost) => {
            format!("{} of {} acknowledged orders are there", run.acknowledged.saturating_sub(lost), run.acknowledged)
        }
        None => format!("{} acknowledged orders; nobody could be asked which are there", run.acknowledged),
    }
}

/// `0 rows`, `3 rows over 12 ms`.
pub(crate) fn loss(run: &Run) -> String {
    match run.lost {
        None => "unknown".into(),
        Some(1) => "1 row".into(),
        Some(lost) if lost > 0 && run.lost_span_ms > 0 => format!("{lost} rows over {}", seconds(run.lost_span_ms)),
        Some(lost) => format!("{lost} rows"),
    }
}

/// Where writing went.
pub(crate) fn way(run: &Run) -> String {
    if run.from == run.to { format!("in {}", run.from) } else { format!("{} → {}", run.from, run.to) }
}

fn objective(ms: Option<u64>) -> String {
    match ms {
        None => "no objective".into(),
        Some(0) => "objective 0".into(),
        Some(ms) if ms % 1000 == 0 && ms < 120_000 => format!("objective {} s", ms / 1000),
        Some(ms) => format!("objective {}", seconds(ms)),
    }
}

fn held(held: Option<bool>) -> &'static str {
    match held {
        None => "not-checked",
        Some(true) => "held",
        Some(false) => "broken",
    }
}

fn badge(is_held: Option<bool>) -> Markup {
    markup! { @if is_held.is_some() { span class={ "badge " (held(is_held)) } { (if is_held == Some(true) { "held" } else { "missed" }) } } }
}

/// How much of what is allowed was used.
fn meter(used: u64, limit: u64) -> Markup {
    let permille = (used.saturating_mul(1000) / limit).min(1000);
    let class = if used > limit { "meter over" } else { "meter" };
    markup! {
        svg class=(class) viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
            rect.all width="1000" height="10" rx="5" {}
            rect.used width=(permille.max(8)) height="10" rx="5" {}
        }
    }
}

fn medians(report: &Report) -> Markup {
    markup! {
        section {
            h2 { "Medians" }
            div.scroll { table.numbers {
                thead { tr { th { "intent" } th { "runs" } th { "RTO" } th { "shortest" } th { "longest" }
                    th { "detect" } th { "decide" } th { "execute" } th { "route" } th { "recover" } } }
                tbody { @for (intent, median) in &report.medians { tr {
                    th { (intent) } td { (median.runs) } td { strong { (seconds(median.rto_ms)) } }
                    td { (seconds(median.rto_min_ms)) } td { (seconds(median.rto_max_ms)) }
                    @for (_, ms) in median.split_ms.parts() { td { (ms) " ms" } }
                } } }
            } }
        }
    }
}

/// Whether it came as it was predicted.
fn prediction(report: &Report) -> Markup {
    let Some((prediction, inside, of)) = report.predicted() else { return markup! {} };
    let verdict = match (inside, of) {
        (1, 1) => "inside".to_owned(),
        (0, 1) => "outside".to_owned(),
        _ => format!("{inside} of {of} inside"),
    };
    markup! {
        section {
            h2 { "Predicted and measured" }
            p { "The failover is " strong { (verdict) } " what " code { "lifeboat assess" } " predicted before anything was measured: "
                (seconds(prediction.least_ms)) " to " (seconds(prediction.most_ms)) ", half of the recoveries within " (seconds(prediction.half_ms)) "." }
        }
    }
}

fn run_section(run: &Run, folded: bool) -> Markup {
    let body = markup! {
        div.drawing { (drawing(run)) }
        (legend(run))
        @if run.later_gap_ms >= NOTICEABLE_MS {
            p.later { "Later in this part of the drill orders paused for up to " (seconds(run.later_gap_ms)) "." }
        }
        (timeline(run))
    };
    markup! {
        section.run {
            @if folded {
                details {
                    summary {
                        span.intent { (run.repetition) ". " (run.intent) } " " span.dim { (way(run)) }
                        span.right { "RTO " (seconds(run.rto_ms)) " " (badge(run.rto_held())) " RPO " (loss(run)) " " (badge(run.rpo_held())) }
                    }
                    (body)
                }
            } @else {
                h2 { (capital(&run.intent)) " " span.dim { (way(run)) } }
                (body)
            }
        }
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn legend(run: &Run) -> Markup {
    markup! {
        p.legend { @for (name, ms) in run.split_ms.parts() {
            span { i class=(name) {} (name) " " b { (ms) " ms" } }
        } }
    }
}

fn timeline(run: &Run) -> Markup {
    let marks = marks(run);
    let number = |entry| marks.iter().find(|(_, marked)| std::ptr::eq(*marked, entry)).map(|(number, _)| *number);
    markup! {
        div.scroll { table.timeline {
            thead { tr { th {} th.at { "time" } th { "region" } th { "what" } th { "why" } } }
            tbody { @for entry in &run.timeline {
                tr class=(entry.kind) {
                    td.number { @if let Some(number) = number(entry) { span { (number) } } }
                    td.at { (at(entry.at_ms)) }
                    td.region { (entry.region) }
                    td.what { (entry.what) }
                    td.why { (entry.why) }
                }
            } }
        } }
    }
}

/// `0.213 s`.
pub(crate) fn at(ms: i64) -> String {
    format!("{}{}.{:03} s", if ms < 0 { "−" } else { "" }, ms.unsigned_abs() / 1000, ms.unsigned_abs() % 1000)
}

fn promises(report: &Report) -> Markup {
    let says = |promise: &str| match promise {
        "S1" => "One writer",
        "S2" => "Nothing acknowledged is lost",
        "S3" => "Bounded loss",
        "S4" => "Never to worse",
        "S5" => "Old news is harmless",
        "S6" => "Residency",
        "L1" => "Progress",
        "L2" => "Static stability",
        "A1" => "Nothing unexplained",
        _ => "",
    };
    let order = |promise: &str| (!promise.starts_with('S'), !promise.starts_with('L'), promise.to_owned());
    let mut sorted: Vec<_> = report.promises.iter().collect();
    sorted.sort_by_key(|(promise, _)| order(promise));
    markup! {
        section {
            h2 { "Promises" }
            div.scroll { table.promises { tbody { @for (promise, finding) in sorted {
                tr {
                    th { (promise) }
                    td.name { (says(promise)) }
                    td { span class={ "badge " (finding.as_str()) } { (words(*finding)) } }
                    td.why { (report.reasons.get(promise).map_or("", String::as_str)) }
                }
            } } } }
        }
    }
}

fn words(finding: Finding) -> &'static str {
    match finding {
        Finding::Held => "held",
        Finding::Broken => "broken",
        Finding::NotChecked => "not checked",
    }
}

fn environment(report: &Report) -> Markup {
    let environment = &report.environment;
    let known = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
    markup! {
        section {
            h2 { "Measured on" }
            dl {
                dt { "Lifeboat" } dd { (environment.lifeboat) }
                dt { "PostgreSQL" } dd { (known(&environment.postgresql)) }
                dt { "Kernel" } dd { (environment.kernel) }
                dt { "Processor" } dd { (known(&environment.processor)) ", " (environment.cores) " cores" }
                dt { "Memory" } dd { (environment.memory_mib / 1024) " GiB" }
                dt { "Client" } dd {
                    (WORKERS) " orders at a time from the same machine, " (PAUSE_AFTER_SUCCESS.as_millis())
                    " ms after each, given up after " (REQUEST_TIMEOUT.as_millis()) " ms"
                 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use std::path::Path;

    /// Compares with the file, or rewrites it when `UPDATE=1`: the change is reviewed as a diff.
    fn agrees(name: &str, text: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == text, "{} differs; run the tests with UPDATE=1 and look at the diff", path.display());
    }

    #[test]
    fn the_json_keeps_its_shape_and_reads_back() {
        let report = fixture::report();
        let json = serde_json::to_string_pretty(&report).unwrap() + "\n";
        agrees("region-loss.json", &json);
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }

    #[test]
    fn the_page_is_one_file() {
        let page = html(&fixture::report());
        agrees("region-loss.html", &page);
        for outside in ["http://", "https://", "<script", "<link", "@import", "url(h", "src="] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn a_page_of_repeated_and_failed_runs_says_so_and_escapes() {
        let mut report = fixture::report();
        let mut failed = report.runs[0].clone();
        failed.served_again = false;
        failed.lost = None;
        failed.repetition = 2;
        report.runs.extend([failed.clone(), failed]);
        report.medians = crate::measure::medians(&report.runs);
        report.passed = false;
        report.problems = vec!["it did not happen that <service> is back".into()];
        let page = html(&report);
        agrees("failed-and-repeated.html", &page);
        for expected in ["&lt;service&gt;", "<details>", "Medians", "no service for", "unknown"] {
            assert!(page.contains(expected), "{expected}");
        }
    }
}
