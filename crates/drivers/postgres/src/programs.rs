//! PostgreSQL's own programs: where they are, and how they are run as the right user without a secret in sight.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::error::{At as _, Error};
use crate::layout::{Layout, Owner};

#[derive(Debug)]
pub(crate) struct Programs {
    bin: PathBuf,
    /// The major version, as in 15.
    pub version: u32,
}

impl Programs {
    /// Those in `bin`, or the newest that Debian's packages have installed, or those on the path.
    pub async fn find(bin: Option<&Path>) -> Result<Self, Error> {
        let candidates = bin.map_or_else(installed, |bin| vec![bin.to_owned()]);
        for bin in &candidates {
            let postgres = bin.join("postgres");
            if !postgres.is_file() || !bin.join("initdb").is_file() {
                continue;
            }
            let said = Command::new(&postgres).arg("--version").env("LC_ALL", "C").output().await.at(&postgres)?;
            let text = String::from_utf8_lossy(&said.stdout).into_owned();
            // `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`
            let major = text.split_whitespace().nth(2).map(|version| version.split(|c: char| !c.is_ascii_digit()));
            if let Some(version) = major.and_then(|mut parts| parts.next()?.parse().ok()) {
                return Ok(Self { bin: bin.clone(), version });
            }
        }
        let places: Vec<_> = candidates.iter().map(|bin| bin.display().to_string()).collect();
        Err(Error::NoPrograms(places.join(", ")))
    }

    /// A program that ends with us.
    pub fn command(&self, name: &str, layout: &Layout) -> Command {
        let mut command = Command::new(self.bin.join(name));
        prepare(&mut command, layout);
        command.kill_on_drop(true);
        command
    }

    /// The server, in a session of its own so that it outlives us and whatever ends our group.
    pub fn server(&self, layout: &Layout, data: &Path, settings: &Path, log: &Path) -> Result<Child, Error> {
        let mut command = Command::new("setsid");
        command.arg(self.bin.join("postgres")).arg("-D").arg(data);
        command.arg("-c").arg(format!("config_file={}", settings.display()));
        prepare(&mut command, layout);
        command.stdout(layout.open_log(log)?).stderr(layout.open_log(log)?);
        command.spawn().at(&self.bin.join("postgres"))
    }

    /// Runs a program to its end; what it reports on its way goes to the log. Returns what it printed.
    pub async fn run<A: AsRef<OsStr>>(&self, layout: &Layout, name: &str, args: &[A]) -> Result<String, Error> {
        let path = layout.programs_log();
        let log = layout.open_log(&path)?;
        let from = log.metadata().at(&path)?.len();
        let mut command = self.command(name, layout);
        command.args(args).env("PGPASSFILE", layout.passfile()).stderr(log);
        let done = command.output().await.at(&self.bin.join(name))?;
        if done.status.success() {
            return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
        }
        Err(Error::Program { program: name.to_owned(), output: tail(&path, from) })
    }
}

fn prepare(command: &mut Command, layout: &Layout) {
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C").env("TZ", "UTC");
    command.stdin(Stdio::null()).current_dir(layout.root());
    if let Some(Owner { uid, gid }) = layout.owner {
        command.uid(uid).gid(gid);
    }
}

fn installed() -> Vec<PathBuf> {
    let debian = Path::new("/usr/lib/postgresql");
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(debian)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    let path = std::env::var_os("PATH").unwrap_or_default();
    versions.into_iter().map(|(_, bin)| bin).chain(std::env::split_paths(&path)).collect()
}

/// The last lines of a log that were written after `from`, on one line.
pub(crate) fn tail(path: &Path, from: u64) -> String {
    const MOST: i64 = 2000;
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = fs::File::open(path)?;
        let end = file.metadata()?.len();
        let start = from.max(end.saturating_sub(MOST.unsigned_abs())).min(end);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(MOST.unsigned_abs()).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = read().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return "it wrote nothing".to_owned();
    }
    lines[lines.len().saturating_sub(6)..].join("; ")
}
