//! This region's processes: a supervisor for each, told whether it is wanted, its state fed to the brain.

use std::collections::BTreeMap;

use lifeboat_control::Event;
use lifeboat_driver_process::{Config, Process, ProcessState, RestartPolicy};
use lifeboat_model::ComponentId;
use lifeboat_model::app::{Kind, Pattern};
use lifeboat_model::compute::{ComputeState, Duty};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::databases::Databases;
use crate::error::Error;
use crate::mind::Input;
use crate::options::Options;

/// This region's processes.
#[derive(Default)]
pub struct Processes {
    supervisors: BTreeMap<ComponentId, (Process, Option<Pattern>)>,
}

impl Processes {
    /// Takes charge of what runs already; starts nothing.
    pub fn open(
        options: &Options,
        databases: &Databases,
        inputs: &mpsc::Sender<Input>,
        tasks: &mut JoinSet<()>,
    ) -> Result<Self, Error> {
        let mut supervisors = BTreeMap::new();
        for (id, component) in &options.app.components {
            let Some(run) = &component.run else { continue };
            if component.kind != Kind::Process || !component.regions.contains(&options.region) {
                continue;
            }
            let mut environment = inherited();
            environment.extend(databases.urls());
            environment.insert("REGION".into(), options.region.to_string());
            if let Some(address) = options.app.regions[&options.region].address {
                environment.insert("ADDRESS".into(), address.to_string());
            }
            let directory = options.region_directory();
            let config = Config {
                name: id.clone(),
                region: options.region.clone(),
                command: run.clone(),
                environment,
                log: directory.join(format!("{id}.log")),
                directory,
                restart: RestartPolicy::default(),
            };
            let process =
                Process::spawn_supervisor(config).map_err(|source| Error::Process { component: id.clone(), source })?;
            tasks.spawn(report(id.clone(), process.states(), inputs.clone()));
            supervisors.insert(id.clone(), (process, component.pattern));
        }
        Ok(Self { supervisors })
    }

    /// What the region is for it from now on: a pilot light runs only where clients are served.
    pub fn assign(&self, component: &ComponentId, duty: Duty) {
        let Some((process, pattern)) = self.supervisors.get(component) else { return };
        match (pattern, duty) {
            (Some(Pattern::PilotLight), Duty::Undecided) => {}
            (Some(Pattern::PilotLight), Duty::Standby) => process.set_wanted(false),
            (_, Duty::Serving | Duty::Standby | Duty::Undecided) => process.set_wanted(true),
        }
    }

    /// Stops every process.
    pub async fn stop_all(self) {
        for (id, (process, _)) in self.supervisors {
            if let Err(error) = process.stop().await {
                tracing::warn!(component = %id, "not stopped: {error}");
            }
        }
    }
}

/// What a process gets of the node's own environment: what commands in the file may name, and nothing that looks like a secret
/// of the node.
fn inherited() -> BTreeMap<String, String> {
    const NAMES: [&str; 8] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SHOP", "RUST_LOG"];
    NAMES.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect()
}

async fn report(id: ComponentId, mut states: watch::Receiver<ProcessState>, inputs: mpsc::Sender<Input>) {
    states.mark_changed();
    while states.changed().await.is_ok() {
        let state = states.borrow_and_update().clone();
        if let ProcessState::Failed { exit, restarts, .. } = &state {
            tracing::warn!(component = %id, restarts, "{exit}");
        }
        let state = ComputeState::of(matches!(state, ProcessState::Running { .. }));
        if inputs.send(Input::Event(Event::Compute { component: id.clone(), state })).await.is_err() {
            return;
        }
    }
}
