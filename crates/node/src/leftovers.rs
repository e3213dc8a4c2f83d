//! Ending what is left of a region after a rehearsal: whatever its drivers could not stop in time.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// Kills every process whose command line names the directory, this one excepted. Returns how many there were.
pub fn kill(directory: &Path) -> usize {
    let Some(needle) = directory.to_str().map(|path| format!("{path}/")) else { return 0 };
    let own = std::process::id();
    let Ok(entries) = std::fs::read_dir("/proc") else { return 0 };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != own)
        // One that has ended meanwhile has no command line to read.
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&needle))
        })
        .filter_map(|pid| Pid::from_raw(i32::try_from(pid).ok()?))
        .filter(|pid| kill_process(*pid, Signal::KILL).is_ok())
        .count()
}
