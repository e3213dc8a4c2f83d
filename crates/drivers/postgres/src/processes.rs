//! Which processes belong to a data directory, and how they are ended.
//!
//! Each process of a PostgreSQL server is the leader of a session of its own, so that no process group holds them all. What they
//! share is their working directory: the data directory. Only a process that runs `postgres` there is ever touched.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::error::{At as _, Error};

/// The server's first process, if it lives: the one that the data directory's lock file names.
pub(crate) fn postmaster(data: &Path) -> Option<Pid> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid = Pid::from_raw(text.lines().next()?.trim().parse().ok()?)?;
    runs_in(pid, data).then_some(pid)
}

/// Every living server process of this data directory.
pub(crate) fn survivors(data: &Path) -> Result<Vec<Pid>, Error> {
    let proc = Path::new("/proc");
    let mut found = Vec::new();
    for entry in fs::read_dir(proc).at(proc)?.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        found.extend(pid.filter(|&pid| runs_in(pid, data)));
    }
    Ok(found)
}

/// Ends every server process of this data directory at once, and returns when none is left.
pub(crate) async fn kill_all(data: &Path) -> Result<(), Error> {
    const BOUND: Duration = Duration::from_secs(10);
    // The first process first: without it no new ones are made.
    if let Some(first) = postmaster(data) {
        let _ = kill_process(first, Signal::KILL);
    }
    let start = Instant::now();
    loop {
        let left = survivors(data)?;
        if left.is_empty() {
            return Ok(());
        }
        if start.elapsed() > BOUND {
            return Err(Error::Slow { what: "ending the server's processes", seconds: BOUND.as_secs() });
        }
        for pid in left {
            // One that has ended meanwhile is what we want.
            let _ = kill_process(pid, Signal::KILL);
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Removes a lock file whose process number has since been given to something else, which PostgreSQL would take for a server.
/// Every other stale lock file is left to PostgreSQL, which also looks for the shared memory that it names.
pub(crate) fn clear_stale_lock(data: &Path) -> Result<(), Error> {
    let path = data.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&path) else { return Ok(()) };
    let named = text.lines().next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw);
    let other = named.is_some_and(|pid| fs::metadata(format!("/proc/{}", pid.as_raw_nonzero())).is_ok());
    if other && survivors(data)?.is_empty() {
        fs::remove_file(&path).at(&path)?;
    }
    Ok(())
}

fn runs_in(pid: Pid, data: &Path) -> bool {
    let of = |what: &str| format!("/proc/{}/{what}", pid.as_raw_nonzero());
    let Ok(program) = fs::read_link(of("exe")) else { return false };
    // After an upgrade of the package the link ends in " (deleted)".
    let is_postgres = program
        .file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name == "postgres" || name == "postgres (deleted)");
    is_postgres && fs::read_link(of("cwd")).is_ok_and(|directory| directory == data)
}
