//! Supervision of real processes: they are started, crash, are adopted, and end with everything that they started.

// clippy.toml allows it in test functions only, and this is their help.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lifeboat_driver_process::{Config, Error, Exit, Process, ProcessState, RestartPolicy};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// Far beyond what anything here takes, for a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);
const SECRET: &str = "hunter2";

/// A directory, and the end of every process that was supervised in it.
struct Scene {
    directory: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn config(&self, command: &str) -> Config {
        config(self.path(), command)
    }

    fn supervise(&self, command: &str) -> Process {
        Process::spawn_supervisor(self.config(command)).unwrap()
    }

    fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.path().join(file)).ok()
    }

    fn recorded_pid(&self) -> Option<u32> {
        self.read("web.pid")?.lines().next()?.parse().ok()
    }

    /// Every process that was started here and runs.
    fn processes(&self) -> Vec<u32> {
        let marker = format!("LIFEBOAT_PROCESS={}", self.path().canonicalize().unwrap().display());
        let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let carries = |pid: &u32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|&byte| byte == 0).any(|entry| entry.starts_with(marker.as_bytes()))
        };
        pids.filter(carries).filter(|&pid| runs(pid)).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.processes().into_iter().for_each(kill);
    }
}

fn config(directory: &Path, command: &str) -> Config {
    let environment = [
        ("PATH", "/usr/bin:/bin".to_owned()),
        ("DIRECTORY", directory.to_str().unwrap().to_owned()),
        ("URL", format!("postgresql://shop:{SECRET}@127.0.0.1/shop")),
    ];
    Config {
        name: "web".into(),
        region: "stockholm".into(),
        command: command.to_owned(),
        environment: BTreeMap::from(environment.map(|(name, value)| (name.to_owned(), value))),
        log: directory.join("web.log"),
        directory: directory.to_owned(),
        restart: RestartPolicy { grace: PATIENCE, ..RestartPolicy::default() },
    }
}

fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with(['Z', 'X']))
}

fn kill(pid: u32) {
    let _ = kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), Signal::KILL);
}

async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

async fn state(process: &Process, what: &str, is: impl Fn(&ProcessState) -> bool) -> ProcessState {
    let mut states = process.states();
    let state = timeout(PATIENCE, states.wait_for(is)).await;
    state.unwrap_or_else(|_| panic!("in vain: {what}")).unwrap().clone()
}

async fn running(process: &Process) -> u32 {
    match state(process, "it runs", |state| matches!(state, ProcessState::Running { .. })).await {
        ProcessState::Running { pid, .. } => pid,
        other => panic!("{other:?}"),
    }
}

async fn running_other_than(process: &Process, old: u32) -> u32 {
    let other = |state: &ProcessState| matches!(state, ProcessState::Running { pid, .. } if *pid != old);
    state(process, "another runs", other).await;
    running(process).await
}

#[tokio::test]
async fn starts_when_wanted_with_its_own_environment_and_stops() {
    let scene = Scene::new();
    let process = scene.supervise("sh -c 'env; echo \"$1\" >&2; exec sleep 1000' sh \"url $URL\"");
    assert_eq!(*process.states().borrow(), ProcessState::Stopped);
    assert_eq!(scene.processes(), [0; 0], "nothing is started before it is wanted");

    process.set_wanted(true);
    let pid = running(&process).await;
    assert_eq!(scene.recorded_pid(), Some(pid));
    let log = eventually("its output is in the log", || scene.read("web.log").filter(|log| log.contains("url"))).await;
    assert!(log.contains(&format!("url postgresql://shop:{SECRET}@127.0.0.1/shop\n")), "{log}");
    assert!(!log.contains("CARGO"), "the supervisor's own environment is not passed on: {log}");

    process.set_wanted(false);
    state(&process, "it stops", |state| *state == ProcessState::Stopped).await;
    assert_eq!((runs(pid), scene.recorded_pid()), (false, None));

    process.set_wanted(true);
    let pid = running(&process).await;
    let states = process.states();
    process.stop().await.unwrap();
    assert_eq!((runs(pid), states.borrow().clone()), (false, ProcessState::Stopped));
}

#[tokio::test]
async fn a_crash_ends_the_children_and_starts_it_again_at_once() {
    let scene = Scene::new();
    let process = scene.supervise("sh -c 'sleep 1000 & echo $! >$DIRECTORY/child; wait; exit 7'");
    process.set_wanted(true);
    let mut states = process.states();
    let first = running(&process).await;
    let child = eventually("the child is there", || scene.read("child")?.trim().parse().ok()).await;

    states.borrow_and_update();
    kill(first);
    let second = running_other_than(&process, first).await;
    assert!(!runs(child), "a child that holds the port would make the next start fail");
    assert_eq!(scene.recorded_pid(), Some(second));
    process.stop().await.unwrap();
}

#[tokio::test]
async fn failures_in_a_row_are_counted_and_told_with_their_exit() {
    let scene = Scene::new();
    let process = scene.supervise("sh -c 'exit 7'");
    process.set_wanted(true);
    for failures in 1..=3 {
        let failed =
            |state: &ProcessState| matches!(state, ProcessState::Failed { restarts, .. } if *restarts >= failures);
        let ProcessState::Failed { exit, .. } = state(&process, "it fails", failed).await else { unreachable!() };
        assert_eq!(exit, Exit::Code(7));
    }
    process.set_wanted(false);
    state(&process, "it is left alone", |state| *state == ProcessState::Stopped).await;
    process.stop().await.unwrap();
}

#[tokio::test]
async fn a_missing_program_is_told_without_secrets() {
    let scene = Scene::new();
    let process = scene.supervise("no-such-program-$URL");
    process.set_wanted(true);
    let failed = state(&process, "it fails", |state| matches!(state, ProcessState::Failed { .. })).await;
    let ProcessState::Failed { exit, .. } = &failed else { unreachable!() };
    assert_eq!(exit.to_string(), "could not be started: running the program: entity not found");
    assert!(!format!("{failed:?}").contains(SECRET));
    process.stop().await.unwrap();

    let error = Process::spawn_supervisor(scene.config("run $URL $NAME")).err().unwrap();
    assert_eq!(error.to_string(), "the command of web: $NAME is not set; set are: DIRECTORY, PATH, URL");
    assert!(!format!("{error:?}").contains(SECRET));
}

#[tokio::test]
async fn stopping_reaches_what_left_the_group_or_ignores_sigterm() {
    let scene = Scene::new();
    let script = "trap \"\" TERM; \
                  setsid sh -c \"trap : TERM; while :; do sleep 1000; done\" & \
                  sh -c \"while :; do sleep 1000; done\" & \
                  wait; wait; wait";
    let mut config = scene.config(&format!("sh -c '{script}'"));
    config.restart.grace = Duration::from_millis(300);
    let process = Process::spawn_supervisor(config).unwrap();
    process.set_wanted(true);
    running(&process).await;
    eventually("all of them run", || (scene.processes().len() >= 5).then_some(())).await;
    process.stop().await.unwrap();
    assert_eq!(scene.processes(), [0; 0]);
}

#[tokio::test]
async fn sigterm_lets_it_end_in_its_own_way_even_when_suspended() {
    let scene = Scene::new();
    let process = scene.supervise("sh -c 'trap \"echo bye; exit 0\" TERM; echo ready; while :; do sleep 0.05; done'");
    process.set_wanted(true);
    let pid = running(&process).await;
    eventually("it is ready", || scene.read("web.log").filter(|log| log.contains("ready"))).await;
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), Signal::STOP).unwrap();
    process.stop().await.unwrap();
    assert!(scene.read("web.log").unwrap().ends_with("bye\n"));
}

#[tokio::test]
async fn a_second_supervisor_of_the_same_process_is_refused() {
    let scene = Scene::new();
    let first = scene.supervise("sleep 1000");
    first.set_wanted(true);
    let pid = running(&first).await;
    let second = Process::spawn_supervisor(scene.config("sleep 1000"));
    assert!(matches!(second, Err(Error::Locked { .. })));
    assert_eq!(scene.processes(), [pid]);
    let mut other = scene.config("sleep 1000");
    other.name = "worker".into();
    Process::spawn_supervisor(other).expect("another component of the same directory").stop().await.unwrap();
    first.stop().await.unwrap();
    scene.supervise("sleep 1000").stop().await.expect("after the first has stopped there is room");
}

#[test]
fn names_that_name_no_file_are_refused() {
    let scene = Scene::new();
    for name in ["", "..", "a/b", ".hidden"] {
        let mut config = scene.config("sleep 1000");
        config.name = name.into();
        assert!(matches!(Process::spawn_supervisor(config), Err(Error::Name(_))), "{name:?}");
    }
}

const LEFT: &str = "sh -c 'echo started >>$DIRECTORY/starts; exec sleep 1000'";
const DIRECTORY: &str = "LIFEBOAT_TEST_DIRECTORY";

/// Not a test: the supervisor that others start as a process of its own and kill.
#[test]
#[ignore = "started by the tests that kill it"]
fn supervisor_to_be_killed() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let process = Process::spawn_supervisor(config(directory.as_ref(), LEFT)).unwrap();
        process.set_wanted(true);
        // Ends by itself if nobody kills it.
        sleep(PATIENCE).await;
    });
}

/// Ends with the test.
struct Supervisor(Child);

impl Supervisor {
    fn kill(&mut self) {
        let _ = self.0.kill();
        assert_eq!(self.0.wait().unwrap().signal(), Some(9), "it ran until it was killed");
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that a killed supervisor has left running.
async fn left_running(scene: &Scene) -> u32 {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "supervisor_to_be_killed"]).env(DIRECTORY, scene.path());
    let mut supervisor = Supervisor(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
    let pid = eventually("it is recorded", || scene.recorded_pid()).await;
    eventually("it runs", || scene.read("starts")).await;
    supervisor.kill();
    assert!(runs(pid), "a node that is killed does not take the app down");
    pid
}

#[tokio::test]
async fn what_a_killed_supervisor_left_is_adopted_and_stopped() {
    let scene = Scene::new();
    let pid = left_running(&scene).await;
    let process = scene.supervise(LEFT);
    let adopted = process.states().borrow().clone();
    assert!(matches!(adopted, ProcessState::Running { pid: running, .. } if running == pid), "{adopted:?}");
    process.set_wanted(true);
    assert_eq!(running(&process).await, pid);
    process.stop().await.unwrap();
    assert!(!runs(pid));
    assert_eq!(scene.read("starts").unwrap(), "started\n", "never started a second time");
}

#[tokio::test]
async fn the_end_of_an_adopted_process_is_noticed() {
    let scene = Scene::new();
    let pid = left_running(&scene).await;
    let process = scene.supervise(LEFT);
    process.set_wanted(true);
    let mut states = process.states();
    states.borrow_and_update();
    kill(pid);
    running_other_than(&process, pid).await;
    process.stop().await.unwrap();
}

#[tokio::test]
async fn an_unrecorded_process_is_adopted_too() {
    let scene = Scene::new();
    let pid = left_running(&scene).await;
    // As if the supervisor had been killed between the start and the record of it.
    fs::remove_file(scene.path().join("web.pid")).unwrap();
    let process = scene.supervise(LEFT);
    assert_eq!((running(&process).await, scene.recorded_pid()), (pid, Some(pid)));
    process.stop().await.unwrap();
}

#[tokio::test]
async fn a_dropped_supervisor_leaves_its_process_to_the_next() {
    let scene = Scene::new();
    let process = scene.supervise(LEFT);
    process.set_wanted(true);
    let pid = running(&process).await;
    drop(process);
    let next = eventually("the first lets go", || Process::spawn_supervisor(scene.config(LEFT)).ok());
    let next = next.await;
    assert_eq!(running(&next).await, pid);
    next.stop().await.unwrap();
}

#[tokio::test]
async fn a_process_that_only_has_the_recorded_id_is_neither_adopted_nor_harmed() {
    let scene = Scene::new();
    let mut stranger = Supervisor(Command::new("sleep").arg("1000").spawn().unwrap());
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    for record in
        [format!("{}\n1\n{boot}", stranger.0.id()), format!("{}\n", stranger.0.id()), "x".to_owned(), String::new()]
    {
        fs::write(scene.path().join("web.pid"), &record).unwrap();
        let process = scene.supervise("sleep 1000");
        assert_eq!(*process.states().borrow(), ProcessState::Stopped, "{record:?}");
        process.set_wanted(true);
        assert_ne!(running(&process).await, stranger.0.id());
        process.stop().await.unwrap();
        assert_eq!(stranger.0.try_wait().unwrap(), None);
    }
}
