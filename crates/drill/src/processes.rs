//! Finding and signalling the processes of a region of this drill, and of nothing else.
//!
//! A region's PostgreSQL and app outlive their node in sessions of their own, so its children alone do not tell. A process
//! belongs to the region if it is the node or descends from it, works in or was started with the region's directory (whose
//! name is unique to this drill), or is named by a pid file there together with its start time; and so do its descendants.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// A process as `/proc` shows it. The start time tells it from a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    pid: i32,
    started: u64,
}

/// What `/proc/PID/stat` says of it.
struct Stat {
    process: Process,
    parent: i32,
    zombie: bool,
}

impl Process {
    /// The process with this number, if it is alive.
    pub fn find(pid: u32) -> Option<Self> {
        let stat = stat(i32::try_from(pid).ok()?)?;
        (!stat.zombie).then_some(stat.process)
    }

    /// Its number.
    pub fn pid(self) -> i32 {
        self.pid
    }

    /// Its command line, as far as it tells; PostgreSQL's processes say here what they are.
    pub fn command_line(self) -> String {
        let bytes = std::fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    }

    /// Whether it has not ended.
    pub fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.process == self && !stat.zombie)
    }

    /// Its short name, `postgres`.
    pub fn name(self) -> String {
        std::fs::read_to_string(format!("/proc/{}/comm", self.pid)).unwrap_or_default().trim().into()
    }

    /// Signals it if it is still the same process. That it has just ended is no error.
    pub fn signal(self, signal: Signal) {
        if self.is_alive()
            && let Some(pid) = Pid::from_raw(self.pid)
        {
            let _ = kill_process(pid, signal);
        }
    }

    fn working_directory(self) -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/{}/cwd", self.pid)).ok()
    }

    /// Whether its command line or its first environment contains this text.
    fn was_started_with(self, text: &[u8]) -> bool {
        ["cmdline", "environ"].iter().any(|file| {
            std::fs::read(format!("/proc/{}/{file}", self.pid))
                .is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text))
        })
    }

    /// Shared memory that PostgreSQL removes only in an orderly end: files below /dev/shm, and System V segments, whose
    /// number `/proc/PID/maps` shows as the inode.
    pub(crate) fn shared_memory(self) -> BTreeSet<SharedMemory> {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.pid)).unwrap_or_default();
        maps.lines()
            .filter_map(|line| {
                let mut fields = line.split_ascii_whitespace().skip(4);
                let (inode, path) = (fields.next()?, fields.next()?);
                if path.starts_with("/dev/shm/PostgreSQL.") {
                    Some(SharedMemory::File(path.into()))
                } else if path.starts_with("/SYSV") {
                    Some(SharedMemory::Segment(inode.parse().ok()?))
                } else {
                    None
                }
            })
            .collect()
    }
}

/// Shared memory that a killed PostgreSQL leaves behind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SharedMemory {
    File(PathBuf),
    Segment(u64),
}

impl SharedMemory {
    /// Removes it if it is still there.
    pub(crate) fn remove(&self) {
        match self {
            Self::File(path) => {
                let _ = std::fs::remove_file(path);
            }
            Self::Segment(id) => {
                let id = id.to_string();
                let _ = std::process::Command::new("ipcrm")
                    .args(["-m", &id])
                    .stdout(std::process::Stdio::null())
                    .stderr(std::process::Stdio::null())
                    .status();
            }
        }
    }
}

fn stat(pid: i32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain anything; the fields after it are numbers. proc(5): 3 state, 4 ppid, 22 starttime.
    let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
    Some(Stat {
        process: Process { pid, started: fields.get(19)?.parse().ok()? },
        parent: fields.get(1)?.parse().ok()?,
        zombie: *fields.first()? == "Z",
    })
}

fn everything_alive() -> Vec<Stat> {
    let Ok(directory) = std::fs::read_dir("/proc") else { return Vec::new() };
    directory
        .filter_map(|entry| stat(entry.ok()?.file_name().to_str()?.parse().ok()?))
        .filter(|stat| !stat.zombie)
        .collect()
}

/// Every live process of the region that keeps its things in `directory`, and of `node`.
pub fn of_region(directory: &Path, node: Option<Process>) -> BTreeSet<Process> {
    let marker = directory_marker(directory);
    let filed = named_by_pid_files(directory);
    let all = everything_alive();
    let ours = std::process::id();
    let mut found: BTreeSet<Process> = all
        .iter()
        .map(|stat| stat.process)
        .filter(|process| u32::try_from(process.pid).is_ok_and(|pid| pid != ours))
        .filter(|process| {
            Some(*process) == node
                || filed.contains(process)
                || process.working_directory().is_some_and(|path| path.starts_with(directory))
                || process.was_started_with(&marker)
        })
        .collect();
    // Descendants: bounded by the depth of the tree.
    let children: BTreeMap<i32, Vec<Process>> = all.iter().fold(BTreeMap::new(), |mut children, stat| {
        children.entry(stat.parent).or_insert_with(Vec::new).push(stat.process);
        children
    });
    let mut todo: Vec<Process> = found.iter().copied().collect();
    while let Some(process) = todo.pop() {
        for child in children.get(&process.pid).into_iter().flatten() {
            if found.insert(*child) {
                todo.push(*child);
            }
        }
    }
    found
}

/// The region's directory with a final slash, so that `a` is not taken for `ab`.
pub(crate) fn directory_marker(directory: &Path) -> Vec<u8> {
    let mut marker = directory.as_os_str().as_encoded_bytes().to_vec();
    marker.push(b'/');
    marker
}

/// Live processes named by `COMPONENT.pid` and `COMPONENT/data/postmaster.pid`. Of the former it is demanded that the file
/// also tells the start time, where it tells more than the number: a number alone may have been given away again.
fn named_by_pid_files(directory: &Path) -> BTreeSet<Process> {
    let Ok(entries) = std::fs::read_dir(directory) else { return BTreeSet::new() };
    entries
        .filter_map(Result::ok)
        .flat_map(|entry| {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "pid") {
                named_by(&path)
            } else {
                // A postmaster works in its data directory; one that does not is somebody else's under a number used again.
                let data = path.join("data");
                named_by(&data.join("postmaster.pid"))
                    .filter(|process| process.working_directory().is_some_and(|path| path == data))
            }
        })
        .collect()
}

/// The process of one component, from its pid file.
pub fn named_by(pid_file: &Path) -> Option<Process> {
    let text = std::fs::read_to_string(pid_file).ok()?;
    let numbers: Vec<u64> =
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
    let process = Process::find(u32::try_from(*numbers.first()?).ok()?)?;
    let is_postmaster = pid_file.ends_with("postmaster.pid");
    (is_postmaster || numbers.len() == 1 || numbers.contains(&process.started)).then_some(process)
}

/// Those of `found` that descend from `root`, and `root`.
pub fn with_descendants(root: Process) -> BTreeSet<Process> {
    let all = everything_alive();
    let mut found = BTreeSet::from([root]);
    loop {
        let before = found.len();
        for stat in &all {
            if found.iter().any(|process| process.pid == stat.parent) {
                found.insert(stat.process);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// Stops (SIGSTOP) whatever `find` finds until it finds nothing new, so that nobody in it acts or forks any more.
/// Bounded: a process that stands still starts no others.
pub fn freeze(find: impl Fn() -> BTreeSet<Process>) -> BTreeSet<Process> {
    let mut frozen = BTreeSet::new();
    for _ in 0..20 {
        let new: Vec<Process> = find().difference(&frozen).copied().collect();
        if new.is_empty() {
            break;
        }
        for process in new {
            process.signal(Signal::STOP);
            frozen.insert(process);
        }
    }
    frozen
}

/// Kills them all and waits, for at most two seconds, until they are gone. What shared memory they had is returned.
pub(crate) async fn kill(processes: &BTreeSet<Process>) -> BTreeSet<SharedMemory> {
    let memory = processes.iter().flat_map(|process| process.shared_memory()).collect();
    for process in processes {
        process.signal(Signal::KILL);
    }
    gone(processes, Duration::from_secs(2)).await;
    memory
}

/// Waits until all of them have ended; `false`: not within `limit`.
pub async fn gone(processes: &BTreeSet<Process>, limit: Duration) -> bool {
    tokio::time::timeout(limit, async {
        while processes.iter().any(|process| process.is_alive()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};

    /// Ends the process also when the test panics.
    struct Ended(Child);
    impl Drop for Ended {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn shell(script: &str, directory: Option<&Path>) -> Ended {
        let mut command = Command::new("sh");
        command.args(["-c", script]).env_clear().env("PATH", "/usr/bin:/bin").stdout(Stdio::null());
        if let Some(directory) = directory {
            command.current_dir(directory);
        }
        Ended(command.spawn().unwrap())
    }

    fn alive(child: &Ended) -> Process {
        Process::find(child.0.id()).unwrap()
    }

    #[tokio::test]
    async fn a_region_is_found_by_directory_pid_file_and_descent_and_its_neighbours_are_not() {
        let run = tempfile::tempdir().unwrap();
        let (a, ab) = (run.path().join("a"), run.path().join("ab"));
        std::fs::create_dir(&a).unwrap();
        std::fs::create_dir(&ab).unwrap();
        let works_there = shell("sleep 60; :", Some(&a));
        let neighbour = shell("sleep 60; :", Some(&ab));
        let filed = shell("sleep 60; :", None);
        let stale = shell("sleep 60; :", None);
        let mentioned = shell(&format!("sleep 60; : {}/x", a.display()), None);
        std::fs::write(a.join("web.pid"), format!("{} {}\n", filed.0.id(), alive(&filed).started)).unwrap();
        std::fs::write(a.join("old.pid"), format!("{} {}\n", stale.0.id(), alive(&stale).started + 1)).unwrap();

        // The shells start their `sleep` in their own time.
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        let found = loop {
            let found = of_region(&a, None);
            if found.len() == 6 || std::time::Instant::now() > deadline {
                break found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        for (process, expected) in
            [(&works_there, true), (&filed, true), (&mentioned, true), (&neighbour, false), (&stale, false)]
        {
            assert_eq!(found.contains(&alive(process)), expected, "{:?} in {found:?}", process.0.id());
        }
        assert_eq!(found.len(), 6, "three shells and their `sleep`s");

        let frozen = freeze(|| of_region(&a, None));
        assert_eq!(frozen, found);
        kill(&frozen).await;
        assert!(of_region(&a, None).is_empty());
        assert!(alive(&neighbour).is_alive() && alive(&stale).is_alive());
        for process in with_descendants(alive(&neighbour)).union(&with_descendants(alive(&stale))) {
            process.signal(Signal::KILL);
        }
    }

    #[tokio::test]
    async fn every_process_of_a_real_postgresql_is_found_and_its_shared_memory_removed() {
        use std::os::unix::fs::PermissionsExt;
        use std::os::unix::process::CommandExt;
        let Some(bin) = ["15", "16", "17", "18"]
            .map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")))
            .into_iter()
            .find(|bin| bin.join("initdb").exists())
        else {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), b"skipped: PostgreSQL is not installed\n");
            return;
        };
        let run = tempfile::tempdir().unwrap();
        std::fs::set_permissions(run.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let region = run.path().join("a");
        let data = region.join("orders/data");
        std::fs::create_dir_all(&data).unwrap();
        // PostgreSQL refuses to run as root.
        let user = rustix::process::geteuid().is_root().then(|| {
            let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
            let line = passwd.lines().find(|line| line.starts_with("postgres:")).unwrap().to_owned();
            let number = |field| line.split(':').nth(field).unwrap().parse::<u32>().unwrap();
            (number(2), number(3))
        });
        let program = |name: &str| {
            let mut command = Command::new(bin.join(name));
            if let Some((user, group)) = user {
                command.uid(user).gid(group);
            }
            command.env_clear().env("PATH", "/usr/bin:/bin").current_dir("/").stdout(Stdio::null()).process_group(0);
            command
        };
        if let Some((user, group)) = user {
            std::os::unix::fs::chown(&data, Some(user), Some(group)).unwrap();
        }
        assert!(program("initdb").args(["--auth=trust", "--no-sync", "-D"]).arg(&data).status().unwrap().success());
        // A relative directory and a cleared environment: nothing but its working directory and pid file tells.
        let mut server = program("postgres");
        server.current_dir(&data).args(["-D", ".", "-c", "listen_addresses=", "-c", "unix_socket_directories=."]);
        let server = Ended(server.stderr(Stdio::null()).spawn().unwrap());
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        let settled = || {
            let found = of_region(&region, None);
            (found.len() >= 5 && data.join("postmaster.pid").exists()).then_some(found)
        };
        while settled().is_none() && std::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let postmaster = named_by(&data.join("postmaster.pid")).unwrap();
        assert_eq!(postmaster, alive(&server));
        let frozen = freeze(|| of_region(&region, None));
        let family = with_descendants(postmaster);
        assert!(family.len() >= 5 && family.is_subset(&frozen), "{family:?} in {frozen:?}");
        assert!(family.iter().all(|process| process.name() == "postgres"));

        let memory = kill(&frozen).await;
        assert!(of_region(&region, None).is_empty());
        let segments = |memory: &SharedMemory| match memory {
            SharedMemory::File(path) => path.exists(),
            SharedMemory::Segment(id) => std::fs::read_to_string("/proc/sysvipc/shm")
                .unwrap()
                .lines()
                .any(|line| line.split_ascii_whitespace().nth(1) == Some(&id.to_string())),
        };
        assert!(memory.iter().any(segments), "a killed server leaves something: {memory:?}");
        memory.iter().for_each(SharedMemory::remove);
        assert!(!memory.iter().any(segments), "{memory:?}");
    }
}
