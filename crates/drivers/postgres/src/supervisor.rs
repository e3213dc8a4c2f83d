//! What the supervisor of a server holds, and how an order is carried out: epoch first, one at a time.

use std::fs::File;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lifeboat_model::Epoch;
use lifeboat_model::database::{Action, DatabaseState, Gate, Note, Order, Refusal};
use rustix::fs::{FlockOperation, flock};
use tokio::process::Child;
use tokio::sync::{Notify, watch};

use crate::Config;
use crate::control::Control;
use crate::error::{At as _, Error};
use crate::gate::CommitGate;
use crate::layout::{Layout, Owner};
use crate::observe::ANSWER_BOUND;
use crate::programs::Programs;
use crate::settings::{GATE_NAME, Settings, app_role, check_names, render_hba, render_passfile};
use crate::sql::{CONNECT_BOUND, Warm};

/// Everything that the tasks and the actions of one server share.
pub(crate) struct Supervisor {
    pub config: Config,
    pub layout: Layout,
    pub programs: Programs,
    pub gate: CommitGate,
    pub states: watch::Sender<DatabaseState>,
    /// Held by the action that is under way.
    pub acting: tokio::sync::Mutex<()>,
    /// Held by the look that is under way.
    pub looking: tokio::sync::Mutex<()>,
    /// Makes the observer look now.
    pub look_again: Arc<Notify>,
    /// The actions' connection: kept open, so that a promotion does not wait for one.
    pub warm: Warm,
    /// The observer's connection.
    pub watching: Warm,
    settings: Mutex<Settings>,
    /// The server, where this process started it.
    child: Mutex<Option<Child>>,
    /// What the control file of a stopped server said.
    control: Mutex<Option<Control>>,
    /// Why the last action failed.
    trouble: Mutex<Option<String>>,
    /// Locked for as long as this lives; the kernel lets it go with the process.
    _lock: File,
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Supervisor({} in {})", self.config.database, self.config.region)
    }
}

impl Supervisor {
    pub async fn open(config: Config) -> Result<Self, Error> {
        check_names(&config)?;
        let programs = Programs::find(config.bin.as_deref()).await?;
        let layout = Layout::make(&config.directory, Owner::find()?)?;
        let path = layout.lock();
        let lock = File::options().read(true).append(true).create(true).open(&path).at(&path)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(Error::Locked(layout.root().to_owned()));
        }
        let settings = match std::fs::read_to_string(layout.settings()) {
            Ok(text) => Settings::parse(&text).ok_or_else(|| Error::Here(format!(
                "{} is not as Lifeboat left it: its first line is missing. Without it nobody knows under which epoch this region acted; restore it from a copy",
                layout.settings().display()
            )))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !layout.data().exists() => Settings {
                epoch: Epoch(0),
                gate: Gate::Node,
                follows: None,
                sockets: layout.root().join("socket"),
            },
            Err(error) => return Err(error).at(&layout.settings()),
        };
        layout.write(&layout.hba(), &render_hba(&config))?;
        layout.write(&layout.passfile(), &render_passfile(&config))?;
        let look_again = Arc::new(Notify::new());
        Ok(Self {
            gate: CommitGate::new(settings.epoch),
            states: watch::Sender::new(DatabaseState::absent()),
            acting: tokio::sync::Mutex::default(),
            looking: tokio::sync::Mutex::default(),
            warm: Warm::new(CONNECT_BOUND, None),
            watching: Warm::new(ANSWER_BOUND, Some(look_again.clone())),
            look_again,
            settings: Mutex::new(settings),
            child: Mutex::default(),
            control: Mutex::default(),
            trouble: Mutex::default(),
            _lock: lock,
            config,
            layout,
            programs,
        })
    }

    /// Carries out an order, and has looked at the result before it returns.
    pub async fn act(&self, Order { epoch, action }: Order) -> Result<Note, Refusal> {
        let _acting = self.acting.lock().await;
        let known = self.settings().epoch;
        // S5: an older epoch changes nothing.
        if epoch < known {
            return Err(Refusal::OldEpoch { ordered: epoch, known });
        }
        let done = self.carry_out(epoch, action).await;
        let failed = done.as_ref().err().map(ToString::to_string);
        *lock(&self.trouble) = failed.clone();
        self.forget_control();
        self.refresh(true).await;
        done.map_err(|error| Refusal::Failed(error.to_string()))
    }

    async fn carry_out(&self, epoch: Epoch, action: Action) -> Result<Note, Error> {
        if epoch > self.settings().epoch {
            // Whatever was allowed under an older epoch ends before anything is done under the new one.
            self.gate.acted(epoch);
            self.change(|settings| settings.epoch = epoch)?;
        }
        match action {
            Action::Create { gate } => self.create(gate).await,
            Action::Seed { from } => self.seed(&from).await,
            Action::Start => self.start().await.map(|()| None),
            Action::Stop { clean: true } => self.stop().await,
            Action::Stop { clean: false } => self.kill().await.map(|()| None),
            Action::Promote => self.promote().await,
            Action::SetGate { gate } => self.set_gate(gate).await.map(|()| None),
            Action::Follow { writer } => self.follow(&writer).await,
            Action::Detach => self.detach().await.map(|()| None),
            Action::Checkpoint => self.checkpoint().await.map(|()| None),
        }
    }

    /// Changes the settings durably: the file is on disk when this returns, and the server reads it at its next reload or start.
    pub fn change(&self, how: impl FnOnce(&mut Settings)) -> Result<(), Error> {
        let mut settings = self.settings();
        how(&mut settings);
        self.layout.write(&self.layout.settings(), &settings.render(&self.config, &self.layout))?;
        *lock(&self.settings) = settings;
        Ok(())
    }

    pub fn settings(&self) -> Settings {
        lock(&self.settings).clone()
    }

    pub fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    pub fn keep_child(&self, child: Child) {
        *lock(&self.child) = Some(child);
    }

    /// Whether a server that this process started has not been seen to end.
    pub fn has_child(&self) -> bool {
        lock(&self.child).is_some()
    }

    /// Collects the exit status of a server that this process started, so that no zombie remains.
    pub fn reap(&self) {
        let mut child = lock(&self.child);
        if child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None))) {
            *child = None;
        }
    }

    /// The control file of a server that does not run; read once, as it does not change meanwhile.
    pub async fn control(&self) -> Result<Control, Error> {
        if let Some(control) = lock(&self.control).clone() {
            return Ok(control);
        }
        let control = Control::read(&self.programs, &self.layout, &self.layout.data()).await?;
        *lock(&self.control) = Some(control.clone());
        Ok(control)
    }

    pub fn forget_control(&self) {
        *lock(&self.control) = None;
    }

    pub async fn run_gate(&self) {
        let socket = || socket_path(self.settings().sockets, self.config.port);
        self.gate.run(socket, GATE_NAME, &self.config.secrets.replication).await;
    }

    pub fn application_url(&self) -> String {
        let Config { database, address, port, secrets, .. } = &self.config;
        let host = match address {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("[{v6}]"),
        };
        let role = escaped(&app_role(database.as_str()));
        format!("postgresql://{role}:{}@{host}:{port}/{}", escaped(&secrets.application), escaped(database.as_str()))
    }
}

/// Waits until `met` says so, at most `bound`.
pub(crate) async fn until<F, T>(what: &'static str, bound: Duration, every: Duration, mut met: F) -> Result<T, Error>
where
    F: AsyncFnMut() -> Result<Option<T>, Error>,
{
    let end = tokio::time::Instant::now() + bound;
    loop {
        if let Some(result) = met().await? {
            return Ok(result);
        }
        if tokio::time::Instant::now() >= end {
            return Err(Error::Slow { what, seconds: bound.as_secs() });
        }
        tokio::time::sleep(every).await;
    }
}

fn socket_path(directory: PathBuf, port: u16) -> PathBuf {
    directory.join(format!(".s.PGSQL.{port}"))
}

/// No thread panics while it holds one of these; and if one did, what they hold would still be whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Percent-encodes what has a meaning in a URL.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
