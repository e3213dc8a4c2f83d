//! Supervises one local process: a compute component in one region.
//!
//! [`Process`] starts it when told to, starts it again when it ends, and stops it with everything that it started. It
//! knows nothing of why. The process outlives its supervisor, for a node that is killed must not take the app down with
//! it: [`Process::spawn_supervisor`] adopts what an earlier supervisor of the same directory has left running.
//! [`expand`] makes the command line of the file into words. Linux only: it relies on `/proc` and pidfds.

mod command;
mod family;
mod log;
mod record;
mod supervisor;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use lifeboat_model::{ComponentId, Moment, RegionId};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use crate::command::{CommandError, expand};
use crate::supervisor::{Supervisor, Wanted};

/// What to run, and where to keep what is known of it.
#[derive(Clone)]
pub struct Config {
    /// The component; names the files in `directory`.
    pub name: ComponentId,
    /// The region that this is the component's process of.
    pub region: RegionId,
    /// The command line as in the file, see [`expand`].
    pub command: String,
    /// What `$NAME` stands for in the command, and the whole environment of the process: it inherits nothing from the
    /// supervisor, so that it gets no secret that is not meant for it. A program without a slash in its name is looked up
    /// in the `PATH` given here. Values are secret: they appear in no error, state or log of this crate.
    pub environment: BTreeMap<String, String>,
    /// Where its standard output and error go. Beyond 1 MiB the file is moved to the same name with `.1`, of which there is one.
    pub log: PathBuf,
    /// For `NAME.pid` (the process id, its start in clock ticks since boot, and the boot's id, a line each) and `NAME.lock`.
    pub directory: PathBuf,
    /// When it is started again, and how it is stopped.
    pub restart: RestartPolicy,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("name", &self.name)
            .field("region", &self.region)
            .field("environment", &self.environment.keys())
            .field("log", &self.log)
            .field("directory", &self.directory)
            .field("restart", &self.restart)
            .finish_non_exhaustive()
    }
}

/// When a process that ended by itself is started again, and how long it gets to end when told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartPolicy {
    /// The pause before the second restart in a row; doubled by each further one. The first comes at once. Default 100 ms.
    pub backoff: Duration,
    /// The longest pause. Default 5 s.
    pub max_backoff: Duration,
    /// A process that ran for so long starts the count anew. Default 10 s.
    pub stable: Duration,
    /// From SIGTERM to SIGKILL. Default 10 s.
    pub grace: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            stable: Duration::from_secs(10),
            grace: Duration::from_secs(10),
        }
    }
}

impl RestartPolicy {
    /// The pause before the restart that follows so many failures in a row, this one included.
    fn pause(&self, failures: u32) -> Duration {
        match failures {
            0 | 1 => Duration::ZERO,
            more => self.backoff.saturating_mul(1 << (more - 2).min(30)).min(self.max_backoff),
        }
    }
}

/// What the process does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessState {
    /// It does not run, and is not wanted to.
    Stopped,
    /// It is being started.
    Starting,
    /// It runs; whether it serves is for a probe to say.
    Running {
        /// The process, which leads a process group of the same number.
        pid: u32,
        /// When it was started, to the clock tick (10 ms); of an adopted process, long before its supervisor.
        since: Moment,
    },
    /// It is wanted to run and does not; it will be started again.
    Failed {
        /// How it ended.
        exit: Exit,
        /// How many times in a row it failed.
        restarts: u32,
        /// When it is started again.
        next_try: Moment,
    },
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It was adopted, and only the parent of a process learns how it ended.
    Unknown,
    /// It never ran; the operating system's reason.
    NotStarted(String),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(signal) => write!(f, "ended by signal {signal}"),
            Self::Unknown => f.write_str("ended"),
            Self::NotStarted(reason) => write!(f, "could not be started: {reason}"),
        }
    }
}

/// Why a process cannot be supervised or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The component's name cannot name files.
    #[error("component name {0:?} cannot be used as a file name")]
    Name(String),
    /// The command line is wrong.
    #[error("the command of {0}: {1}")]
    Command(ComponentId, #[source] CommandError),
    /// Another supervisor, of this or another node, has this process.
    #[error("{name} is supervised by somebody else, who holds {}", lock.display())]
    Locked {
        /// The component.
        name: ComponentId,
        /// The file that is locked.
        lock: PathBuf,
    },
    /// A file or directory cannot be used.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// What was left running cannot be watched.
    #[error("cannot watch process {pid} of {name}: {error}")]
    Watch {
        /// The component.
        name: ComponentId,
        /// The process.
        pid: u32,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// It withstood SIGKILL, as a process does that waits for a dead disk.
    #[error("process {pid} of {name} still runs after SIGKILL")]
    StillRunning {
        /// The component.
        name: ComponentId,
        /// The process.
        pid: u32,
    },
    /// The supervising task panicked.
    #[error("the supervisor of {0} failed")]
    Supervisor(ComponentId),
}

/// A supervised process. Dropping it ends the supervision and leaves the process running; [`Process::stop`] ends both.
pub struct Process {
    name: ComponentId,
    wanted: watch::Sender<Wanted>,
    states: watch::Receiver<ProcessState>,
    task: JoinHandle<Result<(), Error>>,
}

impl Process {
    /// Begins to supervise, in a task of the present tokio runtime. A process that an earlier supervisor left running is
    /// adopted, with whatever command it was started by; it runs on until [`Self::set_wanted`] says otherwise. Nothing is
    /// started before that says so.
    ///
    /// # Errors
    /// When the command is wrong, a file cannot be used, or another supervisor has this process.
    pub fn spawn_supervisor(config: Config) -> Result<Self, Error> {
        let name = config.name.clone();
        let (wanted, wishes) = watch::channel(Wanted::Undecided);
        let (supervisor, states) = Supervisor::new(config, wishes)?;
        Ok(Self { name, wanted, states, task: tokio::spawn(supervisor.run()) })
    }

    /// Whether it should run. Returns at once; [`Self::states`] tells what comes of it.
    pub fn set_wanted(&self, running: bool) {
        let wish = if running { Wanted::Running } else { Wanted::Stopped };
        self.wanted.send_if_modified(|wanted| std::mem::replace(wanted, wish) != wish);
    }

    /// The present state, and every change of it.
    pub fn states(&self) -> watch::Receiver<ProcessState> {
        self.states.clone()
    }

    /// Stops the process and everything that it started, and ends the supervision.
    ///
    /// # Errors
    /// When a process withstands SIGKILL; it stays recorded, and the next supervisor adopts it.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.wanted.send_replace(Wanted::Ended);
        (&mut self.task).await.unwrap_or_else(|_| Err(Error::Supervisor(self.name.clone())))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_come_at_once_then_ever_later_up_to_a_bound() {
        let pauses: Vec<u128> = [1, 2, 3, 4, 5, 6, 7, 8, 9, 1000, u32::MAX]
            .map(|failures| RestartPolicy::default().pause(failures).as_millis())
            .into();
        assert_eq!(pauses, [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000]);
    }

    #[test]
    fn a_config_shows_no_values_of_the_environment() {
        let config = Config {
            name: "web".into(),
            region: "a".into(),
            command: "run --password hunter2".to_owned(),
            environment: BTreeMap::from([("URL".to_owned(), "hunter2".to_owned())]),
            log: "log".into(),
            directory: "directory".into(),
            restart: RestartPolicy::default(),
        };
        let shown = format!("{config:?}");
        assert!(shown.contains("URL") && !shown.contains("hunter2"), "{shown}");
    }
}
