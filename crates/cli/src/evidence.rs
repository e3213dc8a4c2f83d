//! What drills have measured, on its way into an assessment; and what an assessment predicts, on its way into a drill.

use std::path::Path;
use std::time::Duration;

use lifeboat_assess::{History, Inputs, StepKind, as_it_runs, assess};
use lifeboat_atlas::Atlas;
use lifeboat_drill::Report;
use lifeboat_drill::report::Prediction;
use lifeboat_model::App;
use lifeboat_model::app::Kind;
use serde::Deserialize;

use crate::exit::Failure;
use crate::file;

/// The fault whose recovery is what an assessment predicts.
const LOSS: &str = "region-loss";

/// Reads the `report.json` files of drills of this app, and the `history.jsonl` files that its nodes keep.
pub fn history(app: &App, reports: &[impl AsRef<Path>]) -> Result<History, Failure> {
    let mut history = History::default();
    for path in reports {
        let path = path.as_ref();
        let wrong = |why: String| Failure::Wrong(format!("lifeboat: {}: {why}", path.display()));
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let text = file::text(path)?;
            steps_of_a_node(&mut history, app, &text).map_err(wrong)?;
            continue;
        }
        let report: Report = serde_json::from_slice(&file::bytes(path)?)
            .map_err(|error| wrong(format!("not a drill's report.json: {error}")))?;
        if report.app != app.name.as_str() {
            return Err(wrong(format!("this is a drill of `{}`, and the file is `{}`", report.app, app.name)));
        }
        let age = age_in_days(&report.environment.started).map_err(wrong)?;
        // What failed, or moved nothing, proves nothing.
        if report.passed && report.runs.iter().any(|run| run.served_again) {
            history.days_since_drill = Some(history.days_since_drill.map_or(age, |known: f64| known.min(age)));
        }
        if report.fault == LOSS {
            add(&mut history, app, &report);
        }
    }
    Ok(history)
}

/// The failovers of a report: each part of the RTO is a step, the whole a recovery of what the first route leads to.
fn add(history: &mut History, app: &App, report: &Report) {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a drill")]
    let seconds = |ms: u64| ms as f64 / 1000.0;
    for run in report.runs.iter().filter(|run| run.intent == "failover" && run.served_again) {
        let split = run.split_ms;
        for (key, ms) in [
            ((None, StepKind::Detect), split.detect),
            ((None, StepKind::Decide), split.decide),
            ((Some(Kind::Postgres), StepKind::Promote), split.execute),
            // Until a client had an answer and used it.
            ((None, StepKind::Route), split.route + split.recover),
        ] {
            history.steps.entry(key).or_default().push(seconds(ms));
        }
        if let Some(route) = app.routes.values().next() {
            history.recoveries.entry(route.to.clone()).or_default().push(seconds(run.rto_ms));
        }
    }
}

/// A step that a node has carried out, as it keeps it.
#[derive(Deserialize)]
struct Carried {
    step: lifeboat_plan::StepKind,
    took_ms: u64,
}

/// What a node's steps have taken. A last line without an end was being written when the node was killed.
fn steps_of_a_node(history: &mut History, app: &App, text: &str) -> Result<(), String> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for (number, line) in whole.lines().enumerate() {
        let Carried { step, took_ms } = serde_json::from_str(line)
            .map_err(|error| format!("line {}: not a step of a node's history: {error}", number + 1))?;
        let took = Duration::from_millis(took_ms);
        history.planned.record(&step, took);
        if let lifeboat_plan::StepKind::Promote(id) = &step
            && let Some(component) = app.components.get(id)
        {
            history.steps.entry((Some(component.kind), StepKind::Promote)).or_default().push(took.as_secs_f64());
        }
    }
    Ok(())
}

fn age_in_days(started: &str) -> Result<f64, String> {
    let begun = jiff::Timestamp::strptime("%Y-%m-%d %H:%M:%S %z", started.replace("UTC", "+0000"))
        .map_err(|error| format!("`started` is `{started}`: {error}"))?;
    Ok((jiff::Timestamp::now().duration_since(begun).as_secs_f64() / 86_400.0).max(0.0))
}

/// What is predicted for the loss of the writer's region as the file is run, without anything measured; `None` where the file
/// has no route.
pub fn prediction(app: &App) -> Option<Prediction> {
    let to = &app.routes.values().next()?.to;
    // A drill kills what is in a region, and the machine that it was on refuses: no probe waits a timeout out. An interval that
    // leaves room for a region that vanished would be too wide for a drill to miss.
    let mut app = as_it_runs(app);
    app.detection.timeout = Duration::ZERO;
    app.detection.silent = 1;
    let answer = assess(&app, &Inputs::new(Atlas::embedded()));
    let component = answer.components.iter().find(|component| component.component == to.as_str())?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a recovery, from 0 on")]
    let ms = |seconds: f64| (seconds.max(0.0) * 1000.0).round() as u64;
    Some(Prediction {
        least_ms: ms(component.rto_range.0),
        half_ms: ms(component.rto.p50),
        most_ms: ms(component.rto.p99),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    fn app() -> App {
        let text = include_str!("../../../examples/local/lifeboat.yaml");
        lifeboat_model::parse(text).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    fn report(app: &str, fault: &str, started: &str) -> String {
        let run = |intent: &str, rto: u64| {
            format!(
                r#"{{"repetition":1,"intent":"{intent}","from":"a","to":"b","served_again":true,"rto_ms":{rto},
                "split_ms":{{"detect":210,"decide":10,"execute":120,"route":0,"recover":620}},"later_gap_ms":0,
                "acknowledged":10,"lost":0,"lost_span_ms":0,"objective":{{"rto_ms":15000,"rpo_ms":0}},"timeline":[],
                "chart":{{"from_ms":0,"to_ms":1,"gap_ms":[0,1],"bucket_ms":1,"acknowledged":[],"lanes":[]}}}}"#
            )
        };
        format!(
            r#"{{"app":"{app}","fault":"{fault}","region":"stockholm","passed":true,"problems":[],"runs":[{},{}],
            "promises":{{}},"reasons":{{}},"environment":{{"started":"{started}","lifeboat":"0.1.0","postgresql":"15",
            "kernel":"","processor":"","cores":2,"memory_mib":1}}}}"#,
            run("failover", 960),
            run("switchover", 630)
        )
    }

    fn read(text: &str) -> Result<History, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        history(&app(), &[file.path()]).map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn a_drill_s_failover_becomes_steps_and_a_recovery_and_its_switchover_does_not() {
        let history = read(&report("shop", LOSS, "2026-01-02 03:04:05 UTC")).unwrap();
        assert_eq!(history.recoveries["web"], [0.96]);
        assert_eq!(history.steps[&(None, StepKind::Detect)], [0.21]);
        assert_eq!(history.steps[&(Some(Kind::Postgres), StepKind::Promote)], [0.12]);
        assert_eq!(history.steps[&(None, StepKind::Route)], [0.62]);
        assert!(history.days_since_drill.unwrap() > 100.0);
    }

    #[test]
    fn a_node_s_history_becomes_durations_of_steps() {
        let read = |text: &str| {
            let file = tempfile::Builder::new().suffix(".jsonl").tempfile().unwrap();
            std::fs::write(file.path(), text).unwrap();
            history(&app(), &[file.path()]).map_err(|failure| format!("{failure:?}"))
        };
        let lines = "{\"unix_ms\":1,\"step\":{\"detach\":\"orders\"},\"took_ms\":40}\n{\"unix_ms\":1,\"step\":{\"promote\":\"orders\"},\"took_ms\":160}\n{\"unix_ms\":1,\"st";
        let history = read(lines).unwrap();
        assert_eq!(history.steps[&(Some(Kind::Postgres), StepKind::Promote)], [0.16]);
        let detach = lifeboat_plan::StepKind::Detach("orders".into());
        assert_eq!(history.planned.measured(&detach), [Duration::from_millis(40)]);
        let error = read("{\"unix_ms\":1,\"step\":{\"detach\":\"orders\"},\"took_ms\":40}\n{}\n").unwrap_err();
        assert!(error.contains("line 2: not a step of a node's history"), "{error}");
    }

    #[test]
    fn another_fault_counts_as_a_drill_only_and_another_app_is_refused() {
        let history = read(&report("shop", "pause", "2026-01-02 03:04:05 UTC")).unwrap();
        assert!(history.recoveries.is_empty() && history.days_since_drill.is_some());
        let refusal = read(&report("other", LOSS, "2026-01-02 03:04:05 UTC")).unwrap_err();
        assert!(refusal.contains("a drill of `other`, and the file is `shop`"), "{refusal}");
        let failed = report("shop", "pause", "2026-01-02 03:04:05 UTC");
        for (from, to) in
            [(r#""passed":true"#, r#""passed":false"#), (r#""served_again":true"#, r#""served_again":false"#)]
        {
            let history = read(&failed.replace(from, to)).unwrap();
            assert_eq!(history.days_since_drill, None, "no drill to rely on: {to}");
        }
        assert!(read("{}").unwrap_err().contains("not a drill's report.json"));
    }

    #[test]
    fn what_is_predicted_for_the_example_is_in_order() {
        let prediction = prediction(&app()).unwrap();
        assert!(prediction.least_ms < prediction.half_ms && prediction.half_ms < prediction.most_ms, "{prediction:?}");
        let answer = assess(&as_it_runs(&app()), &Inputs::new(Atlas::embedded()));
        let web = answer.components.iter().find(|component| component.component == "web").unwrap();
        assert!(
            prediction.half_ms < (web.rto.p50 * 1000.0) as u64,
            "a host that refuses is found sooner than one that vanished"
        );
    }
}
