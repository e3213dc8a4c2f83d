//! The task behind a [`crate::Process`]: what it does when the process ends, when it is wanted, and when it is not.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use lifeboat_model::Moment;
use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::family::{Family, MARKER, POLL, end_leftovers};
use crate::record::Record;
use crate::{Config, Error, Exit, ProcessState, expand, log};

/// From one look at the size of the log to the next.
const LOG_CHECK: Duration = Duration::from_secs(1);
/// For a process to be gone after SIGKILL.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// What has been asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing yet: what runs, runs on, and nothing is started.
    Undecided,
    /// That it runs.
    Running,
    /// That it does not.
    Stopped,
    /// That it does not, and that the supervision ends.
    Ended,
}

/// The supervisor's state between two events.
pub struct Supervisor {
    config: Config,
    record: Record,
    marker: String,
    family: Option<Family>,
    failures: u32,
    next_try: Instant,
    wanted: watch::Receiver<Wanted>,
    state: watch::Sender<ProcessState>,
}

impl Supervisor {
    /// Takes possession of the process and adopts it if it runs.
    pub fn new(
        config: Config,
        wanted: watch::Receiver<Wanted>,
    ) -> Result<(Self, watch::Receiver<ProcessState>), Error> {
        expand(&config.command, &config.environment).map_err(|error| Error::Command(config.name.clone(), error))?;
        let record = Record::open(&config)?;
        let marker = record.marker();
        let recorded = record.read();
        let family = Family::left_running(recorded, &marker).map_err(|error| Error::Watch {
            name: config.name.clone(),
            pid: recorded.map_or(0, |identity| identity.number()),
            error,
        })?;
        if let Some(family) = &family {
            remember(&config, &record, family);
        }
        let (state, states) = watch::channel(family.as_ref().map_or(ProcessState::Stopped, running));
        Ok((Self { config, record, marker, family, failures: 0, next_try: Instant::now(), wanted, state }, states))
    }

    /// Supervises until that is no longer wanted.
    pub async fn run(mut self) -> Result<(), Error> {
        let mut log_check = interval(LOG_CHECK);
        log_check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wanted = *self.wanted.borrow_and_update();
            match (wanted, &self.family) {
                (Wanted::Stopped | Wanted::Ended, Some(_)) => {
                    let stopped = self.stop().await;
                    if wanted == Wanted::Ended {
                        return stopped;
                    }
                }
                (Wanted::Ended, None) => {
                    self.state.send_replace(ProcessState::Stopped);
                    return Ok(());
                }
                (Wanted::Undecided | Wanted::Running, Some(family)) => tokio::select! {
                    () = family.ended() => self.failed().await,
                    changed = self.wanted.changed() => if changed.is_err() { return Ok(()) },
                    _ = log_check.tick() => self.check_log(),
                },
                (Wanted::Running, None) if Instant::now() < self.next_try => tokio::select! {
                    () = tokio::time::sleep_until(self.next_try) => {}
                    changed = self.wanted.changed() => if changed.is_err() { return Ok(()) },
                },
                (Wanted::Running, None) => self.start().await,
                (Wanted::Undecided | Wanted::Stopped, None) => {
                    self.failures = 0;
                    self.next_try = Instant::now();
                    self.state.send_replace(ProcessState::Stopped);
                    if self.wanted.changed().await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn start(&mut self) {
        self.state.send_replace(ProcessState::Starting);
        // What still holds the port would only make it fail again.
        let started = match end_leftovers(&self.marker, KILL_PATIENCE).await {
            Ok(true) => self.spawn(),
            Ok(false) => Err("what an earlier run has left behind withstands SIGKILL".to_owned()),
            Err(error) => Err(told("looking for what an earlier run has left behind", &error)),
        };
        match started {
            Ok(family) => {
                remember(&self.config, &self.record, &family);
                self.state.send_replace(running(&family));
                self.family = Some(family);
            }
            Err(reason) => self.schedule(Exit::NotStarted(reason)),
        }
    }

    fn spawn(&self) -> Result<Family, String> {
        let words = expand(&self.config.command, &self.config.environment).map_err(|error| error.to_string())?;
        let (program, arguments) = words.split_first().ok_or("the command is empty")?;
        let log = log::open(&self.config.log).and_then(|log| Ok((log.try_clone()?, log)));
        let (output, errors) = log.map_err(|error| told("opening its log", &error))?;
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(&self.config.environment).env(MARKER, &self.marker);
        command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        let mut child = command.spawn().map_err(|error| told("running the program", &error))?;
        Family::of_child(child.id(), &self.marker).map_err(|error| {
            // Never leave behind what cannot be watched.
            let _ = child.kill();
            let _ = child.wait();
            told("watching it", &error)
        })
    }

    /// The leader has ended by itself.
    async fn failed(&mut self) {
        let Some(family) = self.family.take() else { return };
        if !kill(&family).await {
            tracing::warn!(component = %self.config.name, region = %self.config.region, "a child of the process that ended withstands SIGKILL");
        }
        self.forget();
        if now().since(family.identity.since()) >= self.config.restart.stable {
            self.failures = 0;
        }
        self.schedule(family.reap());
    }

    fn schedule(&mut self, exit: Exit) {
        self.failures = self.failures.saturating_add(1);
        let pause = self.config.restart.pause(self.failures);
        self.next_try = Instant::now() + pause;
        self.state.send_replace(ProcessState::Failed { exit, restarts: self.failures, next_try: now() + pause });
    }

    /// SIGTERM, patience, SIGKILL, for the whole family.
    async fn stop(&mut self) -> Result<(), Error> {
        let Some(family) = &self.family else { return Ok(()) };
        // A process that was suspended would not hear it. Where the members cannot be listed, SIGKILL decides below.
        let _ = family.signal(Signal::TERM).and_then(|_| family.signal(Signal::CONT));
        let gone = async {
            family.ended().await;
            while !family.is_gone() {
                sleep(POLL).await;
            }
        };
        if timeout(self.config.restart.grace, gone).await.is_err() && !kill(family).await {
            return Err(Error::StillRunning { name: self.config.name.clone(), pid: family.identity.number() });
        }
        family.reap();
        self.family = None;
        self.forget();
        self.state.send_replace(ProcessState::Stopped);
        Ok(())
    }

    fn forget(&self) {
        if let Err(error) = self.record.clear() {
            // Harmless: the record names a process that is gone, and is recognised as such.
            tracing::warn!(component = %self.config.name, region = %self.config.region, %error, "cannot remove the pid file");
        }
    }

    fn check_log(&self) {
        if let Err(error) = log::rotate(&self.config.log) {
            tracing::warn!(component = %self.config.name, region = %self.config.region, %error, "cannot bound the log");
        }
    }
}

/// SIGKILL until nobody is left; false if somebody withstands.
async fn kill(family: &Family) -> bool {
    let deadline = Instant::now() + KILL_PATIENCE;
    // Not being able to look is not knowing that nobody is left.
    while !family.signal(Signal::KILL).is_ok_and(|left| left == 0) {
        if Instant::now() >= deadline {
            return false;
        }
        sleep(POLL).await;
    }
    true
}

/// What failed and how, by the kind of error only: a message might quote what the command was expanded to.
fn told(doing: &str, error: &io::Error) -> String {
    format!("{doing}: {}", error.kind())
}

fn remember(config: &Config, record: &Record, family: &Family) {
    if let Err(error) = record.write(family.identity) {
        // It runs all the same, and is found by its marker should this supervisor die.
        tracing::warn!(component = %config.name, region = %config.region, %error, "cannot write the pid file");
    }
}

fn running(family: &Family) -> ProcessState {
    ProcessState::Running { pid: family.identity.number(), since: family.identity.since() }
}

/// The boot-time clock, by which the start of processes is told too.
pub fn now() -> Moment {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = Duration::from_secs(u64::try_from(now.tv_sec).unwrap_or(0));
    Moment(0) + seconds + Duration::from_nanos(u64::try_from(now.tv_nsec).unwrap_or(0))
}
