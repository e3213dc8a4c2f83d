//! How long an assessment takes as the file grows: `cargo run --release -p lifeboat-assess --example growth`.
//!
//! For each size, apps of independent pairs of a database and a compute, over sixty regions, no two databases alike, some with a
//! fixed writer; then one app in which everything needs one database. Prints components, groups, ms of the optimiser, ms of the whole.
#![allow(clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Instant;

use lifeboat_assess::choice::Setting;
use lifeboat_assess::optimise::{Task, groups, optimise};
use lifeboat_assess::site::{Ground, declared};
use lifeboat_assess::{Candidates, History, Inputs, assess};
use lifeboat_atlas::Atlas;
use lifeboat_model::App;

const REGIONS: usize = 60;

fn app(components: usize, star: bool) -> Result<App, String> {
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
    lifeboat_model::parse(&text).map_err(|problems| format!("{:?}", problems.first()))
}

fn main() -> Result<(), String> {
    println!("shape  components  groups  optimise_ms  whole_ms  proved  impossible");
    for star in [false, true] {
        for components in [10, 100, 1000, 10_000] {
            let app = app(components, star)?;
            let atlas = Atlas::embedded();
            let history = History::default();
            let (relaxed, margins) = (BTreeSet::new(), BTreeMap::new());
            let start = Instant::now();
            let ground = Ground::new(atlas, atlas.prices(), declared(&app));
            let task = Task {
                setting: Setting { atlas, app: &app, history: &history },
                ground: &ground,
                relaxed: &relaxed,
                keep_pins: true,
                margins: &margins,
                together: false,
            };
            let outcome = optimise(&task);
            let optimised = start.elapsed().as_millis();
            let count = groups(&task).len();
            let start = Instant::now();
            let answer = assess(&app, &Inputs { candidates: Candidates::File, ..Inputs::new(atlas) });
            println!(
                "{}  {components}  {count}  {optimised}  {}  {}  {}",
                if star { "star" } else { "pairs" },
                start.elapsed().as_millis(),
                outcome.proved && answer.optimal,
                outcome.impossible.len()
            );
        }
    }
    Ok(())
}
