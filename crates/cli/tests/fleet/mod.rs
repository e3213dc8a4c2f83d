//! Nodes without databases, which start in a moment: for tests of who may ask them what, and of what they write down.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use lifeboat_drill::world::World;
use lifeboat_model::App;

use crate::place::stage;

/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Three nodes of a made app, on loopback addresses of their own.
pub struct Fleet {
    pub world: World,
    #[allow(dead_code, reason = "not every test asks for it")]
    pub app: App,
    /// The file that the nodes read, in their run directory.
    pub file: PathBuf,
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
    #[allow(dead_code, reason = "not every test asks for it")]
    pub fn set(more: &str) -> Self {
        Self::set_with("  web: {kind: process, run: sleep 600}\n", more)
    }

    /// The same with other components.
    pub fn set_with(components: &str, more: &str) -> Self {
        let text = format!(
            "app: fleet\nregions:\n  a: {{place: local/a, address: 127.N.1.1}}\n  \
             b: {{place: local/b, address: 127.N.2.1}}\n  c: {{place: local/c, address: 127.N.3.1}}\n\
             components:\n{components}{more}"
        );
        let (app, world, claim) = stage(&text);
        let file = world.path().join("lifeboat.yaml");
        Self { world, app, file, _claim: claim, runtime: tokio::runtime::Runtime::new().unwrap() }
    }

    /// Starts the fleet.
    #[allow(dead_code, reason = "not every test asks for it")]
    pub fn start(more: &str) -> Self {
        let mut fleet = Self::set(more);
        fleet.start_all();
        fleet
    }

    /// Starts every region's node.
    pub fn start_all(&mut self) {
        let _entered = self.runtime.enter();
        self.world.start().unwrap();
    }

    /// What a region's node says that ends by itself.
    #[allow(dead_code, reason = "not every test asks for it")]
    pub fn node(&self, region: &str, environment: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_lifeboat"))
            .args(["node", "--region", region, "--directory"])
            .arg(self.world.path())
            .arg(&self.file)
            .envs(environment.iter().copied())
            .output()
            .unwrap()
    }

    /// Starts a region's node.
    #[allow(dead_code, reason = "not every test asks for it")]
    pub fn start_node(&mut self, region: &str) {
        let _entered = self.runtime.enter();
        self.world.start_node(&region.into()).unwrap();
    }

    /// What `lifeboat` says to a command about this fleet, with these variables set.
    #[allow(dead_code, reason = "not every test asks for it")]
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
