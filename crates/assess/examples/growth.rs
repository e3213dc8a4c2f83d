//! How long an assessment takes as the file grows: `bench/assess-growth/run`, which runs this several times.
//!
//! For each size, an app of independent pairs of a database and a compute, over sixty regions, no two databases alike, some with a
//! fixed writer; then one app in which everything needs one database. Prints a line of JSON for each: what reading the file,
//! assessing it and writing the report takes, and of that what the optimiser takes alone.
#![allow(clippy::print_stdout)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Instant;

use lifeboat_assess::choice::Setting;
use lifeboat_assess::optimise::{EFFORT, Task, groups, optimise};
use lifeboat_assess::site::{Ground, declared};
use lifeboat_assess::{Candidates, History, Inputs, assess, text};
use lifeboat_atlas::Atlas;
use lifeboat_model::App;

const REGIONS: usize = 60;

fn file(components: usize, star: bool) -> String {
    let mut text = String::from("app: large\nobjectives: {rto: 1h, rpo: 10m}\nregions:\n");
    for (number, region) in Atlas::embedded().regions().take(REGIONS).enumerate() {
        let _ = writeln!(text, "  r{number}: {{place: {}}}", region.place);
    }
    text += "components:\n";
    let _ = writeln!(text, "  hub: {{kind: rds, size: {{instance: db.r6g.large, storage: 50GB, writes: 1GB/day}}}}");
    for number in 1..components {
        let writer =
            if number % 4 == 0 { format!(", writer: r{}", [3, 6, 11, 17, 19, 22][number % 6]) } else { String::new() };
        let rto = ["30m", "50m", "45m", "1h"][number % 4];
        if star || number % 2 == 0 {
            let need = if star { "hub".into() } else { format!("c{}", number - 1) };
            let _ = writeln!(
                text,
                "  c{number}: {{kind: asg, needs: [{need}], objectives: {{rto: {rto}}}, size: {{instance: m6g.large, count: {}}}}}",
                1 + number % 9
            );
        } else {
            let kind = ["rds", "aurora-global", "dynamodb", "s3", "rds"][number % 5];
            let rpo = if kind == "s3" { "" } else { ", objectives: {rpo: 5m}" };
            let kind_of = if kind == "s3" { "rds" } else { kind };
            let _ = writeln!(
                text,
                "  c{number}: {{kind: {kind_of}{writer}{rpo}, size: {{instance: db.r6g.large, storage: {}GB, writes: 1GB/day}}}}",
                10 + number
            );
        }
    }
    text
}

fn read(text: &str) -> Result<App, String> {
    lifeboat_model::parse(text).map_err(|problems| format!("{:?}", problems.first()))
}

/// Milliseconds of this program: by the clock, and on a processor, which other programs on the machine do not change.
struct Watch {
    started: Instant,
    cpu_ns: u64,
}

impl Watch {
    fn start() -> Self {
        Self { started: Instant::now(), cpu_ns: cpu_ns() }
    }

    fn stop(&self) -> [u64; 2] {
        let wall = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        [wall, cpu_ns().saturating_sub(self.cpu_ns) / 1_000_000]
    }
}

/// Nanoseconds that this thread has been on a processor, as the kernel counts; 0 where it does not say.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

fn main() -> Result<(), String> {
    let atlas = Atlas::embedded();
    for shape in ["pairs", "star"] {
        for components in [10, 100, 1000, 10_000] {
            let text = file(components, shape == "star");
            let whole = Watch::start();
            let app = read(&text)?;
            let answer = assess(&app, &Inputs { candidates: Candidates::File, ..Inputs::new(atlas) });
            let report = text::render(&answer);
            let [whole_ms, whole_cpu_ms] = whole.stop();
            let history = History::default();
            let relaxed = BTreeSet::new();
            let alone = Watch::start();
            let draws = Inputs::new(atlas).draws(&app);
            let ground = Ground::new(atlas, atlas.prices(), declared(&app));
            let task = Task {
                setting: Setting { atlas, app: &app, history: &history },
                ground: &ground,
                relaxed: &relaxed,
                keep_pins: true,
                draws: &draws,
                together: false,
                within: None,
                effort: EFFORT,
            };
            let outcome = optimise(&task);
            let [_, optimise_cpu_ms] = alone.stop();
            let proved = outcome.is_proved() && answer.optimal && outcome.impossible.is_empty() && !report.is_empty();
            println!(
                "{{\"shape\": \"{shape}\", \"components\": {components}, \"groups\": {}, \"whole_ms\": {whole_ms}, \"whole_cpu_ms\": {whole_cpu_ms}, \"optimise_cpu_ms\": {optimise_cpu_ms}, \"proved\": {proved}}}",
                groups(&task).len()
            );
        }
    }
    Ok(())
}
