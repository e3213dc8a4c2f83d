//! Nodes without databases, which start in a moment: for tests of who may ask them what, and of what they write down.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use lifeboat_drill::world::World;
use lifeboat_model::App;
use tempfile::TempDir;

/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Three nodes of a made app, on loopback addresses of their own.
pub struct Fleet {
    pub world: World,
    #[allow(dead_code, reason = "not every test asks for it")]
    pub app: App,
    /// The file that the nodes read, in their run directory.
    pub file: PathBuf,
    _directory: TempDir,
    _claim: TcpListener,
    /// For the processes' ends.
    runtime: tokio::runtime::Runtime,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.world.kill_everything();
    }
}

impl Fleet {
    /// Makes the fleet; `more` is added to its file. Starts nothing.
    pub fn set(more: &str) -> Self {
        let (network, claim) = network();
        let text = format!(
            "app: fleet\nregions:\n  a: {{place: local/a, address: 127.{network}.1.1}}\n  \
             b: {{place: local/b, address: 127.{network}.2.1}}\n  c: {{place: local/c, address: 127.{network}.3.1}}\n\
             components:\n  web: {{kind: process, run: sleep 600}}\n{more}"
        );
        let app = lifeboat_model::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("lifeboat.yaml");
        std::fs::write(&file, text).unwrap();
        let lifeboat = Path::new(env!("CARGO_BIN_EXE_lifeboat"));
        let world = World::new(&file, &app, lifeboat, lifeboat, false).unwrap();
        let file = world.path().join("lifeboat.yaml");
        Self {
            world,
            app,
            file,
            _directory: directory,
            _claim: claim,
            runtime: tokio::runtime::Runtime::new().unwrap(),
        }
    }

    /// Starts the fleet.
    pub fn start(more: &str) -> Self {
        let mut fleet = Self::set(more);
        let entered = fleet.runtime.enter();
        fleet.world.start().unwrap();
        drop(entered);
        fleet
    }

    /// Starts a region's node.
    #[allow(dead_code, reason = "not every test asks for it")]
    pub fn start_node(&mut self, region: &str) {
        let _entered = self.runtime.enter();
        self.world.start_node(&region.into()).unwrap();
    }

    /// What `lifeboat` says to a command about this fleet, with these variables set.
    pub fn lifeboat(&self, words: &[&str], environment: &[(&str, &str)]) -> Output {
        let (verb, rest) = words.split_first().unwrap();
        Command::new(env!("CARGO_BIN_EXE_lifeboat"))
            .arg(verb)
            .arg(&self.file)
            .arg("--directory")
            .arg(self.world.path())
            .args(rest)
            .env_remove("LIFEBOAT_TOKEN")
            .envs(environment.iter().copied())
            .output()
            .unwrap()
    }

    /// What `lifeboat certs` says about this fleet.
    #[allow(dead_code, reason = "not every test asks for it")]
    pub fn certs(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_lifeboat")).arg("certs").arg(&self.file).args(words).output().unwrap()
    }

    /// Waits until `met` gives something; a panic shows the nodes' logs.
    pub fn eventually<T>(&self, what: &str, mut met: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(met) = met() {
                return met;
            }
            assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}\n{}", self.world.logs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// All that a command said.
pub fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A second number of loopback addresses that no other fleet of this machine uses, with the socket that keeps it so.
fn network() -> (u8, TcpListener) {
    let first = u8::try_from(std::process::id() % 100).unwrap();
    (0..100)
        .map(|step| 30 + (first + step) % 100)
        .find_map(|network| Some((network, TcpListener::bind(format!("127.{network}.250.250:7399")).ok()?)))
        .expect("a hundred networks are enough")
}
