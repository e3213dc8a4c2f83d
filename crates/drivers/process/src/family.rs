//! A process with everything that it started: finding them, waiting for them, signalling them.
//!
//! A process id is only a number, which the system gives to another process later. So a process is named by its id and its
//! start, and is watched and signalled through a pidfd, which never refers to another one.

use std::fs;
use std::io::{self, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lifeboat_model::Moment;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, pidfd_send_signal, waitid,
};
use tokio::sync::watch;

use crate::Exit;

/// The variable by which everything that a supervised process started is recognised, even when it left the process group
/// or was started just before its supervisor died.
pub const MARKER: &str = "LIFEBOAT_PROCESS";

/// A process, and none that gets its id later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its id.
    pub pid: Pid,
    /// When it started, in clock ticks since the machine did: field 22 of `/proc/PID/stat`, proc(5).
    pub start_ticks: u64,
}

impl Identity {
    /// When it started.
    pub fn since(&self) -> Moment {
        let nanoseconds =
            u128::from(self.start_ticks) * 1_000_000_000 / u128::from(rustix::param::clock_ticks_per_second());
        Moment(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// The id as a number.
    pub fn number(&self) -> u32 {
        self.pid.as_raw_pid().unsigned_abs()
    }
}

/// A running process, the leader of its group, and whatever carries its marker.
pub struct Family {
    /// The leader.
    pub identity: Identity,
    pidfd: Arc<OwnedFd>,
    ended: watch::Receiver<bool>,
    /// Closing it ends the thread that waits.
    _waiting: PipeWriter,
    marker: String,
}

impl Family {
    /// The family of a child that was just started and that nobody else waits for.
    pub fn of_child(pid: u32, marker: &str) -> io::Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        // Even when it has ended already, its id is its own until it is waited for.
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        let stat = Stat::read(pid).ok_or(io::ErrorKind::NotFound)?;
        Self::new(Identity { pid, start_ticks: stat.start_ticks }, pidfd, marker)
    }

    /// The family that an earlier supervisor has left: of the recorded process if it still runs, else of one that was
    /// started but not recorded any more.
    pub fn left_running(recorded: Option<Identity>, marker: &str) -> io::Result<Option<Self>> {
        let mut leader = None;
        if let Some(identity) = recorded {
            leader = open_running(identity.pid, identity.start_ticks)?.map(|pidfd| (identity, pidfd));
        }
        if leader.is_none() {
            leader = carriers(marker)?
                .into_iter()
                .find(|found| found.group == found.identity.pid.as_raw_pid())
                .map(|found| (found.identity, found.pidfd));
        }
        leader.map(|(identity, pidfd)| Self::new(identity, pidfd, marker)).transpose()
    }

    fn new(identity: Identity, pidfd: OwnedFd, marker: &str) -> io::Result<Self> {
        let pidfd = Arc::new(pidfd);
        let (ended, waiting) = wait_in_thread(pidfd.clone())?;
        Ok(Self { identity, pidfd, ended, _waiting: waiting, marker: marker.to_owned() })
    }

    /// Waits for the leader to end.
    pub async fn ended(&self) {
        if self.ended.clone().wait_for(|ended| *ended).await.is_err() {
            // The thread is gone only when this value is; to say "ended" here could start the process a second time.
            std::future::pending::<()>().await;
        }
    }

    /// How the leader ended, which frees its id. Call this last.
    pub fn reap(&self) -> Exit {
        match waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, Some(signal)) => Exit::Signal(signal),
                (None, None) => Exit::Unknown,
            },
            Ok(None) | Err(_) => Exit::Unknown,
        }
    }

    /// Sends a signal to every member; the answer is how many there were.
    pub fn signal(&self, signal: Signal) -> io::Result<usize> {
        if self.holds_its_id() {
            // At once, so that no member can have a child meanwhile that is missed. It fails when there is nobody left.
            let _ = kill_process_group(self.identity.pid, signal);
        }
        let members = self.members()?;
        for member in &members {
            // It may have ended in the meantime.
            let _ = pidfd_send_signal(&member.pidfd, signal);
        }
        Ok(members.len())
    }

    /// Whether nobody is left.
    pub fn is_gone(&self) -> bool {
        self.members().is_ok_and(|members| members.is_empty())
    }

    fn members(&self) -> io::Result<Vec<Found>> {
        let group = self.holds_its_id().then_some(self.identity.pid.as_raw_pid());
        running(|pid, stat| Some(stat.group) == group || carries(pid, &self.marker))
    }

    /// Whether the leader's id, and so the group's, cannot be another's: it runs, or has not been waited for.
    fn holds_its_id(&self) -> bool {
        Stat::read(self.identity.pid).is_some_and(|stat| stat.start_ticks == self.identity.start_ticks)
    }
}

/// A pidfd becomes readable when its process ends, pidfd_open(2). A thread of its own waits for that, until the pipe is
/// closed: tokio can do it only by unsafe code, since it cannot know that the descriptor stays open.
fn wait_in_thread(pidfd: Arc<OwnedFd>) -> io::Result<(watch::Receiver<bool>, PipeWriter)> {
    let (dropped, waiting) = io::pipe()?;
    let (ended, end) = watch::channel(false);
    thread::Builder::new().name("process".to_owned()).stack_size(64 * 1024).spawn(move || {
        loop {
            let mut events = [PollFd::new(&*pidfd, PollFlags::IN), PollFd::new(&dropped, PollFlags::empty())];
            match poll(&mut events, None) {
                Ok(_) if !events[0].revents().is_empty() => {
                    ended.send_replace(true);
                    break;
                }
                Ok(_) if !events[1].revents().is_empty() => break,
                Ok(_) => {}
                // Interrupted, or short of memory for a moment.
                Err(_) => thread::sleep(POLL),
            }
        }
    })?;
    Ok((end, waiting))
}

/// Ends whatever an earlier run has left behind without a leader. False: something withstood.
pub async fn end_leftovers(marker: &str, patience: Duration) -> io::Result<bool> {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        let left = carriers(marker)?;
        if left.is_empty() {
            return Ok(true);
        }
        for found in left {
            // It may have ended in the meantime.
            let _ = pidfd_send_signal(found.pidfd, Signal::KILL);
        }
        if tokio::time::Instant::now() >= deadline {
            return Ok(false);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// From one look at who is left to the next; members other than the leader do not announce their end.
pub const POLL: Duration = Duration::from_millis(20);

/// A process that ran when it was looked for.
struct Found {
    identity: Identity,
    group: i32,
    pidfd: OwnedFd,
}

fn carriers(marker: &str) -> io::Result<Vec<Found>> {
    running(|pid, _| carries(pid, marker))
}

/// All running processes that meet the condition.
fn running(meets: impl Fn(Pid, &Stat) -> bool) -> io::Result<Vec<Found>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?)) else {
            continue;
        };
        // Most are somebody else's: look before anything is opened.
        let Some(stat) = Stat::read(pid).filter(|stat| stat.runs && meets(pid, stat)) else { continue };
        if let Some(pidfd) = open_running(pid, stat.start_ticks)? {
            all.push(Found { identity: Identity { pid, start_ticks: stat.start_ticks }, group: stat.group, pidfd });
        }
    }
    Ok(all)
}

/// Opens the process if it runs; its start is compared after opening, from when on it cannot be another any more.
/// An error is not an absence: taking it for one would start the process a second time.
fn open_running(pid: Pid, start_ticks: u64) -> io::Result<Option<OwnedFd>> {
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Stat::read(pid).filter(|stat| stat.runs && stat.start_ticks == start_ticks).map(|_| pidfd)),
        Err(Errno::SRCH) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether the environment that the process was started with has the marker. Another user's cannot be read.
fn carries(pid: Pid, marker: &str) -> bool {
    let variable = format!("{MARKER}={marker}");
    fs::read(format!("/proc/{pid}/environ", pid = pid.as_raw_pid()))
        .is_ok_and(|environment| environment.split(|&byte| byte == 0).any(|entry| entry == variable.as_bytes()))
}

/// What `/proc/PID/stat` tells, proc(5).
struct Stat {
    /// Neither dead nor a zombie.
    runs: bool,
    group: i32,
    start_ticks: u64,
}

impl Stat {
    fn read(pid: Pid) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, and may itself contain both spaces and parentheses.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?;
        let group = fields.nth(1)?.parse().ok()?;
        let start_ticks = fields.nth(16)?.parse().ok()?;
        Some(Self { runs: !matches!(state, "Z" | "X" | "x"), group, start_ticks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_whatever_the_program_is_called() {
        let stat =
            "7275 (a) Z 1 (b) S 7272 7271 4414 0 -1 4194304 2977 6643 20 4 7 3 4 5 20 0 1 0 134401 17207296 3527";
        let stat = Stat::parse(stat).unwrap();
        assert!(stat.runs);
        assert_eq!((stat.group, stat.start_ticks), (7271, 134_401));
        assert!(Stat::parse("7275 (a").is_none());
        assert!(!Stat::parse("1 (a) Z 0 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0").unwrap().runs);
    }

    #[test]
    fn this_process_started_in_the_past() {
        let pid = rustix::process::getpid();
        let start_ticks = Stat::read(pid).unwrap().start_ticks;
        let since = Identity { pid, start_ticks }.since();
        let age = crate::supervisor::now().since(since);
        assert!(since > Moment(0) && age < Duration::from_secs(3600), "{age:?}");
    }
}
