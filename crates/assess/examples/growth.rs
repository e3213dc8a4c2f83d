//! How long an assessment takes as the file grows: `bench/assess-growth/run`, which runs this several times.
//!
//! For each size, an app of independent pairs of a database and a compute, over sixty regions, no two databases alike, some with a
//! fixed writer; then one app in which everything needs one database; then groups of twenty that need each other in many ways, each with
//! an RTO of its own, which is little more than what is possible or up to ten times that. Prints a line of JSON for each: what reading the file,
//! assessing it and writing the report takes, and of that what the optimiser takes alone.
#![allow(clippy::print_stdout)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use lifeboat_assess::choice::Setting;
use lifeboat_assess::optimise::{EFFORT, Task, groups, optimise, optimise_only, quickest};
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

/// Groups of so many.
const DENSE: usize = 20;

/// Databases and compute at random, each of which needs up to three that come before it in its group.
fn dense(components: usize) -> String {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut text = String::from("app: dense\nfailover: {mode: approve}\nregions:\n");
    for (number, region) in Atlas::embedded().regions().take(REGIONS).enumerate() {
        let _ = writeln!(text, "  r{number}: {{place: {}}}", region.place);
    }
    text += "components:\n";
    for number in 0..components {
        let first = number - number % DENSE;
        let most = if number > first { 1 + random.below(3) } else { 0 };
        let needs: BTreeSet<usize> = (0..most).map(|_| first + random.below(number - first)).collect();
        let needs: Vec<String> = needs.into_iter().map(|need| format!("c{need}")).collect();
        let _ = write!(text, "  c{number}: {{needs: [{}], ", needs.join(", "));
        let _ = if number == first || random.below(3) == 0 {
            let kind = ["rds", "aurora-global", "dynamodb", "rds"][random.below(4)];
            let rpo = ["5m", "10m", "24h"][random.below(3)];
            let storage = 10 + random.below(500);
            writeln!(
                text,
                "kind: {kind}, objectives: {{rpo: {rpo}}}, size: {{instance: db.r6g.large, storage: {storage}GB, writes: 1GB/day}}}}"
            )
        } else {
            writeln!(text, "kind: asg, size: {{instance: m6g.large, count: {}}}}}", 1 + random.below(9))
        };
    }
    text
}

/// Gives each component an RTO, between 1.02 times and ten times what is possible.
fn demand(app: &mut App) {
    let atlas = Atlas::embedded();
    let (history, relaxed) = (History::default(), BTreeSet::new());
    let mut random = Random(0x94d0_49bb_1331_11eb);
    let draws = Inputs::new(atlas).draws(app);
    let ground = Ground::new(atlas, atlas.prices(), declared(app));
    let setting = Setting { atlas, app, history: &history };
    let task = Task {
        setting,
        ground: &ground,
        relaxed: &relaxed,
        keep_pins: true,
        draws: &draws,
        together: false,
        within: None,
        effort: EFFORT,
    };
    let mut rtos = Vec::new();
    for group in groups(&task) {
        for id in &group {
            let factor = [1.02, 1.1, 1.3, 1.6, 2.0, 3.0, 5.0, 10.0][random.below(8)];
            rtos.extend(quickest(&task, &group, id).map(|least| (id.clone(), least * factor + 1.0)));
        }
    }
    for (id, rto) in rtos {
        if let Some(component) = app.components.get_mut(&id) {
            component.objectives.rto = Some(Duration::from_secs_f64(rto));
        }
    }
}

/// Xorshift (Marsaglia 2003): the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit
    }
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
    for shape in ["pairs", "star", "dense"] {
        for components in [10, 100, 1000, 10_000] {
            let text = if shape == "dense" { dense(components) } else { file(components, shape == "star") };
            // What is possible is worked out before, and not counted.
            let mut demanding = read(&text)?;
            if shape == "dense" {
                demand(&mut demanding);
            }
            let rtos: Vec<_> = demanding.components.into_values().map(|component| component.objectives.rto).collect();
            let whole = Watch::start();
            let mut app = read(&text)?;
            for (component, rto) in app.components.values_mut().zip(rtos) {
                component.objectives.rto = rto;
            }
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
            if !outcome.impossible.is_empty() || report.is_empty() || answer.optimal != outcome.is_proved() {
                return Err(format!("{shape} of {components} has no answer"));
            }
            let groups = groups(&task);
            let proves = |group: &&Vec<_>| optimise_only(&task, group).is_some_and(|alone| alone.is_proved());
            let proved = if answer.optimal { groups.len() } else { groups.iter().filter(proves).count() };
            println!(
                "{{\"shape\": \"{shape}\", \"components\": {components}, \"groups\": {}, \"proved\": {proved}, \"whole_ms\": {whole_ms}, \"whole_cpu_ms\": {whole_cpu_ms}, \"optimise_cpu_ms\": {optimise_cpu_ms}}}",
                groups.len()
            );
        }
    }
    Ok(())
}
