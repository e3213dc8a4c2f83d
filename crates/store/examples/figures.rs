//! Measures the embedded store on this machine's disk: `cargo run --release -p lifeboat-store --example figures [DIRECTORY]`.
//!
//! Transactions per second, the time until another process sees a change, and what an idle watcher costs.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifeboat_model::state::{Change, Transaction, Write};
use lifeboat_store::{Embedded, Options, Result, Store};
use rustix::time::{ClockId, clock_gettime};

const TRANSACTIONS: u64 = 1_000;
const CONCURRENT: u64 = 64;
const PINGS: usize = 200;
const IDLE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, file] = &arguments[..]
        && role == "echo"
    {
        return echo(Path::new(file)).await;
    }
    let directory = tempfile::tempdir_in(arguments.first().map_or_else(std::env::temp_dir, PathBuf::from))?;
    let file = directory.path().join("lifeboat.db");
    let store = Arc::new(Embedded::open(&file, Options::default())?);

    let begun = Instant::now();
    for number in 0..TRANSACTIONS {
        store.transact(put("one", &number.to_string())).await?;
    }
    println!("one writer, one at a time    {:8.0} transactions/s", per_second(TRANSACTIONS, begun));

    let begun = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..CONCURRENT {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for number in 0..TRANSACTIONS / 10 {
                store.transact(put(&format!("many/{writer}"), &number.to_string())).await?;
            }
            Ok::<_, lifeboat_store::Error>(())
        });
    }
    while let Some(done) = writers.join_next().await {
        done??;
    }
    println!(
        "{CONCURRENT} at a time                 {:8.0} transactions/s",
        per_second(CONCURRENT * TRANSACTIONS / 10, begun)
    );

    let mut watch = store.watch("pong", store.list("pong").await?.0).await?;
    let mut process =
        Echo(Command::new(std::env::current_exe()?).arg("echo").arg(&file).stdin(Stdio::piped()).spawn()?);
    next(&mut *watch).await?;
    let mut trips = Vec::new();
    for number in 0..PINGS {
        // Out of step with the other process's looks at the file.
        tokio::time::sleep(Duration::from_micros(10_000 + 137 * (number as u64 % 37))).await;
        let sent = now();
        store.transact(put("ping", &sent.as_nanos().to_string())).await?;
        let seen = next(&mut *watch).await?;
        trips.push(Duration::from_nanos(seen.parse::<u64>()?));
    }
    trips.sort();
    println!(
        "seen by another process      {:8.2} ms median, {:.2} ms at the 99th percentile (the commit included)",
        trips[PINGS / 2].as_secs_f64() * 1e3,
        trips[PINGS * 99 / 100].as_secs_f64() * 1e3
    );
    drop(watch);
    let (before, begun) = (cpu_time(process.0.id())?, Instant::now());
    tokio::time::sleep(IDLE).await;
    let share = (cpu_time(process.0.id())? - before).as_secs_f64() / begun.elapsed().as_secs_f64();
    println!("a process that only watches  {:8.2} % of a core", share * 100.0);
    drop(process.0.stdin.take());
    process.0.wait()?;
    Ok(())
}

/// Answers each change of `ping` with the time that it took to be seen, until it is ended.
async fn echo(file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let store = Embedded::open(file, Options::default())?;
    let mut watch = store.watch("ping", store.list("ping").await?.0).await?;
    store.transact(put("pong", "ready")).await?;
    let ended = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    let answering = async {
        loop {
            let sent: u64 = next(&mut *watch).await?.parse()?;
            let trip = now() - Duration::from_nanos(sent);
            store.transact(put("pong", &trip.as_nanos().to_string())).await?;
        }
    };
    tokio::select! {
        _ = ended => Ok(()),
        failed = answering => failed,
    }
}

struct Echo(Child);

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn next(watch: &mut dyn lifeboat_store::Watch) -> Result<String, Box<dyn std::error::Error>> {
    match watch.next().await?.pop() {
        Some(Change::Put(entry)) => Ok(String::from_utf8(entry.value)?),
        other => Err(format!("not a put: {other:?}").into()),
    }
}

fn put(key: &str, value: &str) -> Transaction {
    Transaction { when: vec![], then: vec![Write::Put { key: key.into(), value: value.into(), lease: None }] }
}

fn per_second(count: u64, begun: Instant) -> f64 {
    count as f64 / begun.elapsed().as_secs_f64()
}

/// A clock that processes share.
fn now() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The processor time of a process, of all its threads, exact to the nanosecond (`/proc/PID/task/*/schedstat`).
fn cpu_time(process: u32) -> Result<Duration, Box<dyn std::error::Error>> {
    let mut total = Duration::ZERO;
    for task in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let line = std::fs::read_to_string(task?.path().join("schedstat"))?;
        total += Duration::from_nanos(line.split_whitespace().next().unwrap_or("0").parse()?);
    }
    Ok(total)
}
