//! What is known of a process on disk: `NAME.pid` to find it again, `NAME.lock` to be its only supervisor.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::process::Pid;

use crate::family::Identity;
use crate::{Config, Error};

/// The files of one process. The lock lasts as long as this value, or the operating system process that holds it.
pub struct Record {
    path: PathBuf,
    lock: File,
}

impl Record {
    /// Takes possession of the process's files.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let name = config.name.as_str();
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
            return Err(Error::Name(name.to_owned()));
        }
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| Error::File { path, error }
        };
        fs::create_dir_all(&config.directory).map_err(at(&config.directory))?;
        // Other nodes may be started elsewhere with a relative path to the same place.
        let directory = fs::canonicalize(&config.directory).map_err(at(&config.directory))?;
        let path = directory.join(format!("{name}.lock"));
        let lock = OpenOptions::new().create(true).append(true).open(&path).map_err(at(&path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: directory.join(format!("{name}.pid")), lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Locked { name: config.name.clone(), lock: path }),
            Err(error) => Err(at(&path)(error.into())),
        }
    }

    /// A text that is this record's alone, on this machine: the environment of the process carries it.
    pub fn marker(&self) -> String {
        self.path.with_extension("").to_string_lossy().into_owned()
    }

    /// The process that was recorded, if that was since the machine was started.
    pub fn read(&self) -> Option<Identity> {
        let text = fs::read_to_string(&self.path).ok()?;
        let mut lines = text.lines();
        let pid = Pid::from_raw(lines.next()?.parse().ok()?)?;
        let start_ticks = lines.next()?.parse().ok()?;
        (lines.next()? == boot_id().ok()?).then_some(Identity { pid, start_ticks })
    }

    /// Records a process; a reader sees the old record or the new one, never a part.
    pub fn write(&self, identity: Identity) -> io::Result<()> {
        let new = self.path.with_extension("pid.new");
        let mut file = File::create(&new)?;
        writeln!(file, "{}\n{}\n{}", identity.pid.as_raw_pid(), identity.start_ticks, boot_id()?)?;
        fs::rename(new, &self.path)
    }

    /// Forgets the process.
    pub fn clear(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // Closing alone would not do: a child that is just being started has a copy of the file until it runs its program.
        // If this fails, closing will have to.
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}
