//! The course of a drill: repetition by repetition, each in a world of its own, and the report over all of them.

mod acts;
mod comparison;
mod facts;
mod looking;
mod protection;
mod summary;

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use lifeboat_model::Moment;
use lifeboat_model::journal::JournalEntry;
use tokio::signal::unix::{SignalKind, signal};

pub(crate) use self::facts::Facts;
use self::looking::Awaited;
use self::summary::{Repetition, summed_up};
use crate::chart::Outage;
use crate::client::{Acknowledged, Client};
use crate::measure::{Cause, Phase};
use crate::partition::Asking;
use crate::progress::{News, Progress};
use crate::report::{Environment, Report, TimelineEntry};
use crate::watch::Nodes;
use crate::world::World;
use crate::{Error, Options, clock, html};

/// From one look at the nodes to the next.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Carries out a drill. SIGINT and SIGTERM end it early, with everything cleaned up.
///
/// # Errors
/// When it could not be carried out. A drill that was carried out and missed its objectives is a report with `passed: false`.
pub async fn run(options: Options, progress: &mut dyn Progress) -> Result<Report, Error> {
    let listen = |kind| signal(kind).map_err(Error::io("cannot listen for signals in", "this process"));
    // From here on neither signal ends the process by itself.
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    run_until(options, progress, async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    })
    .await
}

/// The same, ended early by `stop` instead of by signals.
///
/// # Errors
/// As [`run`]; [`Error::Interrupted`] when `stop` came first.
pub async fn run_until(
    options: Options,
    progress: &mut dyn Progress,
    stop: impl Future<Output = ()>,
) -> Result<Report, Error> {
    let facts = Facts::of(&options)?;
    if let Some(out) = &options.out {
        std::fs::create_dir_all(out).map_err(Error::io("cannot make", out))?;
    }
    let mut stop = pin!(stop);
    let mut environment = Environment::here(None);
    let mut repetitions = Vec::new();
    for repetition in 1..=options.repeat.max(1) {
        let mut world = World::create(&options)?;
        progress.tell(News::Began {
            app: options.app.name.as_str(),
            fault: options.fault,
            region: facts.home.as_str(),
            repetition: (repetition, options.repeat.max(1)),
        });
        let outcome = tokio::select! {
            biased;
            () = &mut stop => Err(Error::Interrupted),
            outcome = rehearse(&options, &facts, repetition, &mut world, progress) => outcome,
        };
        environment.postgresql = world.postgres_version().unwrap_or_default();
        progress.tell(News::Cleaning);
        let closed = world.close().await;
        if let Ok(Some(path)) = &closed {
            progress.tell(News::Kept(path));
        }
        repetitions.push(outcome?);
        closed?;
    }
    let report = summed_up(&options, &facts, repetitions, environment);
    if let Some(out) = &options.out {
        write_files(out, &report)?;
    }
    progress.tell(News::Finished(&report));
    Ok(report)
}

fn write_files(out: &Path, report: &Report) -> Result<(), Error> {
    let json = serde_json::to_string_pretty(report).map_err(|error| Error::Unsuitable(error.to_string()))?;
    for (name, text) in [("report.json", json + "\n"), ("report.html", html(report))] {
        let path = out.join(name);
        std::fs::write(&path, text).map_err(Error::io("cannot write", &path))?;
    }
    Ok(())
}
/// A repetition under way.
struct Stage<'a> {
    options: &'a Options,
    facts: &'a Facts,
    world: &'a mut World,
    progress: &'a mut dyn Progress,
    nodes: Nodes,
    client: Option<Client>,
    repetition: u32,
    /// Asks the side that is cut off, while it is.
    asking: Option<Asking>,
    /// What that side has acknowledged.
    inside: Vec<Acknowledged>,
    events: Vec<JournalEntry>,
    /// The drill's own doings, for the timeline.
    own: Vec<(Moment, TimelineEntry)>,
    began: Moment,
    /// What the times of the timeline count from: the fault, then the request. Before: `None`.
    zero: Option<Moment>,
    /// Whether "first order accepted" is still to be told for this zero, and of which region.
    awaited: Option<Awaited>,
    /// Decisions not to act that have been told; each is told once.
    refrained: Vec<TimelineEntry>,
    outages: Vec<Outage>,
    problems: Vec<String>,
}

async fn rehearse(
    options: &Options,
    facts: &Facts,
    repetition: u32,
    world: &mut World,
    progress: &mut dyn Progress,
) -> Result<Repetition, Error> {
    let mut stage = Stage {
        options,
        facts,
        nodes: Nodes::new(&options.app, world.connector().clone()),
        world,
        progress,
        client: None,
        repetition,
        asking: None,
        inside: Vec::new(),
        events: Vec::new(),
        own: Vec::new(),
        began: clock::now(),
        zero: None,
        awaited: None,
        refrained: Vec::new(),
        outages: Vec::new(),
        problems: Vec::new(),
    };
    stage.prepare().await?;
    let fault_at = stage.fault().await?;
    let mut phases = vec![Phase {
        repetition,
        cause: Cause::Fault(facts.home.clone()),
        database: facts.database.clone(),
        writer: facts.home.clone(),
        counted_from: Moment(0),
        began: fault_at,
        settled: clock::now(),
        ended: clock::now(),
    }];
    if stage.bring_back().await?
        && let Some(writer) = stage.writer_elsewhere().await
    {
        let asked_at = stage.switch_back(&writer).await?;
        phases[0].ended = asked_at;
        phases.push(Phase {
            cause: Cause::Request,
            writer,
            counted_from: asked_at,
            began: asked_at,
            settled: clock::now(),
            ..phases[0].clone()
        });
    }
    stage.compare(phases).await
}
