//! Faults on the links between regions, in network namespaces, with nodes, PostgreSQL and etcd in each: who is cut off lives on.
//!
//! A dozen of them run as tests, one at a time. `soak` plays fault schedules from seeds (`make soak`). All of it runs in a machine of
//! its own (`lifeboat_lab::machine`), of which nothing is left, however it ends.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod lab;
#[path = "../place/mod.rs"]
mod place;
mod record;
mod soak;
mod stories;
#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "../world/mod.rs"]
mod world;

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use futures_util::FutureExt as _;
use lifeboat_lab::machine::{self, Kind};

use crate::lab::Lab;
use crate::soak::Soak;
use crate::stories::{STORIES, Story};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (soaks, listed) =
        (arguments.first().is_some_and(|first| first == "soak"), arguments.iter().any(|a| a == "--list"));
    if listed {
        STORIES.iter().for_each(|story| println!("{}: test", story.name));
        return ExitCode::SUCCESS;
    }
    let exact = arguments.iter().any(|argument| argument == "--exact");
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |story: &&Story| {
        let matches =
            |filter: &&String| if exact { story.name == filter.as_str() } else { story.name.contains(filter.as_str()) };
        filters.is_empty() || filters.iter().any(matches)
    };
    let gaps = arguments.iter().any(|argument| argument == "--ignored");
    let (chosen, ignored): (Vec<&Story>, Vec<&Story>) =
        STORIES.iter().filter(wanted).partition(|story| story.gap.is_some() == gaps);
    if !soaks && !gaps && !machine::is_inside() {
        for story in ignored {
            println!("test {} ... ignored, {}", story.name, story.gap.unwrap_or_default());
        }
    }
    if let Some(missing) = missing() {
        // Aloud, and counted as what they are: not passed.
        chosen.iter().for_each(|story| println!("SKIPPED {}: {missing}", story.name));
        println!("test result: SKIPPED. 0 passed; 0 failed; {} ignored: {missing}", chosen.len());
        return if soaks { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    if let Err(error) = machine::enter(Kind::Everything) {
        eprintln!("a machine of its own could not be made: {error}");
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // The target directory is outside of the machine, and stays.
    let logs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lab");
    let passed = if soaks {
        match soak(&arguments[1..]) {
            Ok(soak) => runtime.block_on(soak.play(&logs)),
            Err(why) => {
                eprintln!("{why}");
                false
            }
        }
    } else {
        runtime.block_on(run(&chosen, &logs))
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What keeps all of this from running here.
fn missing() -> Option<String> {
    if machine::is_inside() {
        return None;
    }
    machine::missing(Kind::Everything).or_else(|| {
        let etcd = Command::new("etcd").arg("--version").stdout(Stdio::null()).status();
        etcd.is_err().then(|| "etcd is not installed (tools/install etcd)".to_owned())
    })
}

/// `SEED SCHEDULES MINUTES`; an empty seed is drawn from the clock.
fn soak(words: &[String]) -> Result<Soak, String> {
    let number = |index: usize, otherwise: u64| match words.get(index).map(|word| word.trim()) {
        None | Some("") => Ok(otherwise),
        Some(word) => word.parse().map_err(|_| format!("soak SEED SCHEDULES MINUTES: `{word}` is not a number")),
    };
    let drawn = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |time| time.as_secs());
    Ok(Soak { seed: number(0, drawn)?, schedules: number(1, 100)?, minutes: number(2, 90)? })
}

/// Runs tests, those of one mode on one fleet, until one of them fails: the next one then has a fresh fleet.
async fn run(chosen: &[&Story], logs: &Path) -> bool {
    let mut lab: Option<Lab> = None;
    let mut failed = Vec::new();
    println!("\nrunning {} tests", chosen.len());
    for story in chosen {
        let began = Instant::now();
        let outcome = match lab.take().filter(|lab| lab.mode == story.mode) {
            Some(lab) => Ok(lab),
            None => sheltered(Lab::start(story.mode)).await,
        };
        let outcome = match outcome {
            Ok(mut fleet) => match sheltered((story.play)(&mut fleet)).await {
                Ok(Ok(judged)) => {
                    lab = Some(fleet);
                    Ok(judged)
                }
                Ok(Err(why)) => {
                    Err(format!("{why}\n{}\nlogs: {}", fleet.scene.tell().await, kept(logs, story, &fleet).display()))
                }
                Err(why) => Err(format!("{why}\nlogs: {}", kept(logs, story, &fleet).display())),
            },
            Err(why) => Err(why),
        };
        match outcome {
            Ok(judged) => println!(
                "test {} ... ok ({:.1} s without a write, {} acknowledged, {} lost; {} s)",
                story.name,
                judged.outage.as_secs_f64(),
                judged.acknowledged,
                judged.lost,
                began.elapsed().as_secs()
            ),
            Err(why) => {
                println!("test {} ... FAILED\n{why}", story.name);
                failed.push(story.name);
            }
        }
    }
    drop(lab);
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {} passed; {} failed {failed:?}", chosen.len() - failed.len(), failed.len());
    failed.is_empty()
}

fn kept(logs: &Path, story: &Story, lab: &Lab) -> PathBuf {
    let to = logs.join(story.name);
    // Of an earlier failure, if any.
    let _ = std::fs::remove_dir_all(&to);
    lab.keep_logs(&to);
    to
}

/// The outcome, or what a panic said.
async fn sheltered<T>(work: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| {
        let said =
            panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        said.unwrap_or_else(|| "a panic that says nothing".into())
    })
}
