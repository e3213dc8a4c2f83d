//! A machine of its own: this program, started once more in namespaces of its own.
//!
//! [`Kind::Network`] replaces this process (its number, terminal and signals stay). [`Kind::Everything`] adds processes and mounts:
//! when the first process of such a machine ends, by whatever means, the kernel kills all of its processes, also those that stand
//! still, and with them go its namespaces and its files.
//!
//! All by `unshare` (util-linux): as root, or where a user may make user namespaces.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::process::WaitOptions;

/// Says inside what the machine is.
const INSIDE: &str = "LIFEBOAT_LAB_INSIDE";
/// Where a machine's temporary files may go: directories that every system has and few use. They are covered, for this machine alone.
const COVERED: [&str; 4] = ["/srv", "/media", "/mnt", "/opt"];

/// How much of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its own network. Processes that are started have to be ended by whoever starts them.
    Network,
    /// Its own network, processes and temporary files.
    Everything,
}

impl Kind {
    fn arguments(self) -> Vec<&'static str> {
        let mut arguments = Vec::new();
        if !rustix::process::geteuid().is_root() {
            arguments.extend(["--user", "--map-current-user", "--keep-caps"]);
        }
        arguments.push("--net");
        if self == Self::Everything {
            arguments.extend(["--pid", "--fork", "--kill-child=KILL", "--mount", "--mount-proc"]);
        }
        arguments.push("--");
        arguments
    }
}

/// Whether this process runs in a machine of its own, or in part of one.
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// What keeps such a machine from being made here; `None`: nothing.
pub fn missing(kind: Kind) -> Option<String> {
    // What the network does first; a container may allow namespaces and yet not this.
    const TRIAL: &str = "ip link set lo up && ip link add lab-a type veth peer name lab-b && echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet";
    let tried = Command::new("unshare").args(kind.arguments()).args(["sh", "-c", TRIAL]).stdin(Stdio::null()).output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let why =
                said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it failed and does not say why");
            let whom = if rustix::process::geteuid().is_root() { "" } else { " (root is allowed to in most places)" };
            Some(format!("network namespaces cannot be made here{whom}: {why}"))
        }
        Err(error) => Some(format!("network namespaces need `unshare` (Debian's package: util-linux): {error}")),
    }
}

/// Has this process go on inside: it is replaced by the same program with the same arguments, in a machine of its own, where
/// [`is_inside`] is true and `enter` returns at once.
///
/// # Errors
/// A machine that cannot be made; ask [`missing`] before.
pub fn enter(kind: Kind) -> io::Result<()> {
    match std::env::var(INSIDE).as_deref() {
        Ok("first") => first(),
        Ok(_) => Ok(()),
        Err(_) => {
            let inside = if kind == Kind::Everything { "first" } else { "network" };
            Err(again(Command::new("unshare").args(kind.arguments()).arg(std::env::current_exe()?), inside).exec())
        }
    }
}

fn again<'a>(command: &'a mut Command, inside: &str) -> &'a mut Command {
    command.args(std::env::args_os().skip(1)).env(INSIDE, inside)
}

/// The first process of a machine: starts the program once more, and collects whatever ends without a parent, until that ends.
/// As a zombie it would look alive to whoever waits for its end.
fn first() -> io::Result<()> {
    let mut program = Command::new(std::env::current_exe()?);
    if let Some(directory) = cover()? {
        program.env("TMPDIR", directory);
    }
    let program = again(&mut program, "all").spawn()?;
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if u32::try_from(pid.as_raw_nonzero().get()) == Ok(program.id()) => {
                let status = std::process::ExitStatus::from_raw(status.as_raw());
                std::process::exit(status.code().unwrap_or(1));
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A place for temporary files that goes with the machine.
fn cover() -> io::Result<Option<PathBuf>> {
    let used: Vec<PathBuf> = [std::env::current_exe()?, std::env::current_dir()?].into();
    let free = |directory: &&Path| directory.is_dir() && !used.iter().any(|path| path.starts_with(directory));
    let Some(directory) = COVERED.iter().map(Path::new).find(free) else { return Ok(None) };
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("lifeboat-lab", directory, "tmpfs", flags, Some(c"mode=1777"))?;
    Ok(Some(directory.to_owned()))
}

/// What comes before a command so that it runs in the network of a process.
pub(crate) fn in_network_of(pid: u32) -> [OsString; 3] {
    ["nsenter".into(), format!("--net={}", network_of(pid).display()).into(), "--".into()]
}

/// The network namespace of a process.
pub(crate) fn network_of(pid: u32) -> PathBuf {
    format!("/proc/{pid}/ns/net").into()
}
