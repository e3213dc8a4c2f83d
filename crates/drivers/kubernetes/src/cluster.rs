//! The work of a region's node on its cluster: look, compare with what is wanted, do the next thing, say how it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lifeboat_model::compute::{ComputeState, Duty, Instances, Running};
use lifeboat_model::kubernetes::record_name;
use lifeboat_model::{AppName, ComponentId, HostName, RegionId};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::access::Access;
use crate::client::{ApiError, Client, in_short};
use crate::gitops::{self, Keeper, Pause};
use crate::mirror::{self, Objects};
use crate::object::{Autoscaler, Deployment, Node, Pod};
use crate::record::{self, Change, Records};
use crate::scale::{self, Governs, Leave, Paths, Step};
use crate::sight::{self, Sight, look, of_deployment};

/// The shortest time between two looks, however much happens.
const BREATH: Duration = Duration::from_millis(250);
/// For how long what was seen last is still said while the API asks to wait.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a driver is told once.
#[derive(Clone, Debug)]
pub struct Config {
    /// The app; also the name of its Kustomization.
    pub app: AppName,
    /// The region whose cluster this is.
    pub region: RegionId,
    /// The namespace of the app's objects.
    pub namespace: String,
    /// How large each Deployment is to be; each has the component's name.
    pub deployments: BTreeMap<ComponentId, Instances>,
    /// The routes whose record is kept here.
    pub routes: BTreeMap<HostName, Served>,
    /// From one look at the cluster to the next when nothing happens.
    pub every: Duration,
    /// The longest that one question to the API may take.
    pub deadline: Duration,
    /// How long a Deployment stays as large as it is after its region no longer serves: clients come for as long as they keep answers,
    /// and it may have to serve again.
    pub linger: Duration,
}

/// A route whose record is kept.
#[derive(Clone, Debug)]
pub struct Served {
    /// The component that it leads to.
    pub to: ComponentId,
    /// For how long answers may be kept, in seconds.
    pub ttl_seconds: u64,
}

/// What a driver says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// How a component is; replaces what was said before.
    State(ComponentId, ComputeState),
    /// Something was changed, or could not be: what, and why.
    Changed(ComponentId, String, String),
}

/// What is wanted of the cluster at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    duties: BTreeMap<ComponentId, Duty>,
    served: BTreeMap<HostName, bool>,
}

/// The driver of a region's cluster, as its node sees it.
#[derive(Debug)]
pub struct Cluster {
    wanted: watch::Sender<Wanted>,
}

impl Cluster {
    /// What the region is for a component from now on.
    pub fn assign(&self, component: &ComponentId, duty: Duty) {
        self.wanted.send_if_modified(|wanted| wanted.duties.insert(component.clone(), duty) != Some(duty));
    }

    /// Which routes lead to this region from now on. A route that is not among them is left as it is.
    pub fn serve(&self, served: BTreeMap<HostName, bool>) {
        self.wanted.send_if_modified(|wanted| {
            let differs = wanted.served != served;
            wanted.served = served;
            differs
        });
    }
}

/// The work itself.
#[derive(Debug)]
pub struct Driver {
    config: Config,
    client: Arc<Client>,
    wanted: watch::Receiver<Wanted>,
    reports: mpsc::Sender<Report>,
    said: BTreeMap<ComponentId, ComputeState>,
    /// When the API answered last.
    answered: Option<Instant>,
    /// Since when a component has nothing to serve.
    idle_since: BTreeMap<ComponentId, Instant>,
    /// When a pausable tool had compared last, at the time at which all was as wanted.
    settled_at: BTreeMap<&'static str, String>,
    /// What could not be done and why, so that it is said once.
    failures: BTreeMap<String, ApiError>,
}

impl Driver {
    /// A driver that has to be run, and what it is told by. Asks nobody anything yet.
    pub fn new(config: Config, access: Access, reports: mpsc::Sender<Report>) -> (Cluster, Self) {
        let (wanted, receiver) = watch::channel(Wanted::default());
        let client = Arc::new(Client::new(access, config.deadline));
        let driver = Self {
            config,
            client,
            wanted: receiver,
            reports,
            said: BTreeMap::new(),
            answered: None,
            idle_since: BTreeMap::new(),
            settled_at: BTreeMap::new(),
            failures: BTreeMap::new(),
        };
        (Cluster { wanted }, driver)
    }

    /// Works until nobody is left to be told, or its [`Cluster`] is gone.
    pub async fn run(mut self) {
        let mut tasks = JoinSet::new();
        let namespace = self.config.namespace.clone();
        let (deployments, mut moved) = mirror_of::<Deployment>();
        let (pods_here, pods) = mirror_of::<Pod>();
        let (nodes_here, nodes) = mirror_of::<Node>();
        let of = |path: &str| path.replace("{namespace}", &namespace);
        let client = || self.client.clone();
        let with_token = client();
        tasks.spawn(async move { with_token.keep_token().await });
        tasks.spawn(mirror::keep(client(), of("/apis/apps/v1/namespaces/{namespace}/deployments"), deployments));
        tasks.spawn(mirror::keep(client(), of("/api/v1/namespaces/{namespace}/pods"), pods_here));
        tasks.spawn(mirror::keep(client(), "/api/v1/nodes".into(), nodes_here));
        tracing::info!(region = %self.config.region, server = self.client.server(), "drives the cluster");
        loop {
            let began = Instant::now();
            let wanted = self.wanted.borrow_and_update().clone();
            moved.mark_unchanged();
            let alive = match self.pass(&wanted).await {
                Ok(sight) => {
                    self.answered = Some(Instant::now());
                    let (pods, nodes) = (pods.borrow().clone(), nodes.borrow().clone());
                    let unseen = [
                        ("Deployments", denied(&moved.borrow())),
                        ("pods", denied(&pods)),
                        ("machines", denied(&nodes)),
                    ];
                    let unseen =
                        unseen.into_iter().find_map(|(what, why)| Some(format!("{what} are not watched: {}", why?)));
                    self.tell(&wanted, &sight, &pods, &nodes, unseen).await
                }
                Err(error) => self.tell_unknown(&error).await,
            };
            if !alive {
                return;
            }
            tokio::select! {
                () = sleep_until(began + self.config.every) => {}
                changed = self.wanted.changed() => if changed.is_err() { return },
                changed = moved.changed() => if changed.is_ok() { sleep_until(began + BREATH).await },
            }
        }
    }

    /// One look, and whatever follows from it.
    async fn pass(&mut self, wanted: &Wanted) -> Result<Sight, ApiError> {
        let mut sight = look(&self.client, &self.config).await?;
        self.note_unseen_records(sight.records_denied.as_ref()).await;
        self.keep_idle_times(wanted);
        let governs = governs(&sight.keepers.seen);
        let mut due: Vec<(ComponentId, Duty)> = Vec::new();
        let mut protects = BTreeSet::new();
        for (id, duty) in &wanted.duties {
            let Some(deployment) = sight.deployments.get(id.as_str()) else { continue };
            let autoscaler = sight.autoscaler_of(id);
            let steps = self.steps(id, *duty, deployment, autoscaler, governs);
            if steps.is_empty() {
                self.failures.remove(&scaled(id));
            } else {
                due.push((id.clone(), *duty));
            }
            if *duty == Duty::Serving && steps.iter().any(|step| governs.may_undo(*step, deployment, autoscaler)) {
                protects.insert(id.to_string());
            }
        }
        let records = self.record_changes(wanted, &sight.records, governs.records);
        let emptied = records.iter().filter(|(_, change)| governs.records && *change == Change::Empty);
        protects.extend(emptied.map(|(host, _)| record_name(host)));
        if !protects.is_empty() {
            self.pause(&sight.keepers.seen, &protects).await;
        }
        let has_work = !due.is_empty() || !records.is_empty();
        for (id, duty) in due {
            self.scale(&id, duty, governs).await?;
        }
        for (host, change) in records {
            self.set_record(&host, change, &sight.records).await?;
        }
        if has_work {
            sight = look(&self.client, &self.config).await?;
        } else {
            self.resume(wanted, &sight).await;
        }
        Ok(sight)
    }

    /// Says once that records are not kept because they may not be looked at.
    async fn note_unseen_records(&mut self, denied: Option<&ApiError>) {
        let what = format!("the records of routes looked at in {}", self.config.region);
        match denied {
            Some(error) => {
                let about = self.config.routes.values().next().map(|route| route.to.clone());
                self.journal(&about.unwrap_or_else(|| "".into()), &what, "", Err(error)).await;
            }
            None => drop(self.failures.remove(&what)),
        }
    }

    fn keep_idle_times(&mut self, wanted: &Wanted) {
        self.idle_since.retain(|id, _| wanted.duties.get(id) == Some(&Duty::Standby));
        for (id, _) in wanted.duties.iter().filter(|(_, duty)| **duty == Duty::Standby) {
            self.idle_since.entry(id.clone()).or_insert_with(Instant::now);
        }
    }

    fn has_lingered(&self, id: &ComponentId) -> bool {
        self.idle_since.get(id).is_some_and(|since| since.elapsed() >= self.config.linger)
    }

    fn steps(
        &self,
        id: &ComponentId,
        duty: Duty,
        deployment: &Deployment,
        autoscaler: Option<&Autoscaler>,
        git: Governs,
    ) -> Vec<Step> {
        let Some(instances) = self.config.deployments.get(id) else { return Vec::new() };
        scale::steps(duty, *instances, deployment, autoscaler, Leave { shrink: self.has_lingered(id), git })
    }

    fn record_changes(&self, wanted: &Wanted, records: &Records, is_kept: bool) -> Vec<(HostName, Change)> {
        let Some(records) = records else { return Vec::new() };
        let of = |host: &HostName, route: &Served| {
            let is_served = *wanted.served.get(host)?;
            let object = record::object(&self.config.namespace, &self.config.region, host, route.ttl_seconds);
            record::change(is_served, records.get(&record_name(host)), &object, is_kept)
        };
        self.config.routes.iter().filter_map(|(host, route)| Some((host.clone(), of(host, route)?))).collect()
    }

    /// Pauses whoever is active, and adds to what a pause of ours protects. That it fails keeps nothing from being scaled: it may be undone,
    /// or not.
    async fn pause(&mut self, keepers: &[Keeper], protects: &BTreeSet<String>) {
        let pause = Pause {
            region: self.config.region.clone(),
            since: format!("{:.0}", jiff::Timestamp::now()),
            protects: protects.clone(),
        };
        let about = self.component_of(protects);
        for keeper in keepers {
            let name = keeper.name();
            let verb = match &keeper.course {
                gitops::Course::Active => "paused",
                gitops::Course::Paused(pause) if !pause.protects.is_superset(protects) => "kept paused",
                gitops::Course::Paused(_) | gitops::Course::Idle(_) => continue,
            };
            let what = format!("{name} {verb} in {}", self.config.region);
            let why = format!("Git would undo what a failover changes of {}", listed(protects));
            let done = keeper.hold(&self.client, &pause).await;
            self.journal(&about, &what, &why, done.as_ref()).await;
            self.settled_at.remove(name);
        }
    }

    async fn scale(&mut self, id: &ComponentId, duty: Duty, git: Governs) -> Result<(), ApiError> {
        let Some(instances) = self.config.deployments.get(id).copied() else { return Ok(()) };
        let leave = Leave { shrink: self.has_lingered(id), git };
        let paths = Paths {
            deployment: format!("/apis/apps/v1/namespaces/{}/deployments/{id}", self.config.namespace),
            autoscalers: sight::autoscalers(&self.config),
        };
        let decide = |deployment: &Deployment, autoscaler: &[Autoscaler]| {
            let own = autoscaler.iter().find(|autoscaler| autoscaler.scales(id.as_str()));
            (scale::steps(duty, instances, deployment, own, leave), own.cloned())
        };
        let (done, outcome) = scale::scale(&self.client, &paths, decide).await;
        let why = match duty {
            Duty::Serving => format!("clients are served in {}, which takes {}", self.config.region, instances.full),
            Duty::Standby => format!("{} is a standby, which keeps {}", self.config.region, instances.standby),
            Duty::Undecided => String::new(),
        };
        // A1: what was changed is said, whatever came of the rest.
        if !done.is_empty() {
            let steps: Vec<String> = done.iter().map(ToString::to_string).collect();
            self.journal(id, &format!("{}: {}", scaled(id), steps.join(", ")), &why, Ok(&())).await;
        }
        match outcome {
            Ok(()) => {}
            Err(error @ (ApiError::Unreachable(_) | ApiError::Throttled(_))) => return Err(error),
            Err(error) => self.journal(id, &scaled(id), &why, Err(&error)).await,
        }
        Ok(())
    }

    async fn set_record(&mut self, host: &HostName, change: Change, records: &Records) -> Result<(), ApiError> {
        let Some(route) = self.config.routes.get(host).cloned() else { return Ok(()) };
        let (namespace, region) = (self.config.namespace.clone(), self.config.region.clone());
        let object = record::object(&namespace, &region, host, route.ttl_seconds);
        let found = records.as_ref().and_then(|records| records.get(&record_name(host)));
        let done = match (change, found) {
            (Change::Publish, found) => record::publish(&self.client, &namespace, object, found).await,
            (Change::Empty, _) => record::empty(&self.client, &namespace, object).await,
            (Change::Withdraw, Some(found)) => record::withdraw(&self.client, &namespace, found).await,
            (Change::Withdraw, None) => Ok(()),
        };
        let (verb, why) = match change {
            Change::Publish => ("published", "the route leads here"),
            Change::Withdraw | Change::Empty => ("withdrawn", "the route leads elsewhere"),
        };
        let what = format!("the record of {host} {verb} in {region}");
        match done {
            Err(error @ (ApiError::Unreachable(_) | ApiError::Throttled(_))) => Err(error),
            // It is looked at again, and decided anew.
            Err(ApiError::Conflict(_)) => Ok(()),
            done => {
                self.journal(&route.to, &what, why, done.as_ref()).await;
                Ok(())
            }
        }
    }

    /// Ends our pauses that protect nothing any more. Called where nothing is left to be done.
    async fn resume(&mut self, wanted: &Wanted, sight: &Sight) {
        for keeper in &sight.keepers.seen {
            if keeper.has_stale_note() {
                // Whoever ended the pause knows better; should Git undo something, it is paused again and said.
                if let Err(error) = keeper.forget(&self.client).await {
                    tracing::warn!("the note of a pause that has ended stays: {error}");
                }
            }
            let Some(pause) = keeper.pause() else {
                self.settled_at.remove(keeper.name());
                continue;
            };
            let Some(why) = self.is_over(wanted, sight, keeper, pause) else { continue };
            let about = self.component_of(&pause.protects);
            let what = format!("{} resumed in {}", keeper.name(), self.config.region);
            let done = keeper.release(&self.client).await;
            self.journal(&about, &what, &why, done.as_ref()).await;
        }
    }

    /// Why a pause of ours is needed no more; `None`: it is.
    fn is_over(&mut self, wanted: &Wanted, sight: &Sight, keeper: &Keeper, pause: &Pause) -> Option<String> {
        let needs = |what: &String| {
            let of_record = self.config.routes.keys().find(|host| record_name(host) == *what);
            match (of_record, wanted.duties.get(what.as_str())) {
                (Some(host), _) => wanted.served.get(host) != Some(&true),
                (None, Some(duty)) => *duty != Duty::Standby || !self.has_lingered(&what.as_str().into()),
                // A component that the file has no more; or one of which nothing was said yet.
                (None, None) => self.config.deployments.contains_key(what.as_str()),
            }
        };
        if !pause.protects.iter().any(needs) {
            return Some(format!("nothing of {} has to be kept from Git any more", listed(&pause.protects)));
        }
        // Without an autoscaler Git and the cluster agree whatever the size, for the tool is told to pass over that.
        let components = pause.protects.iter().filter(|what| self.config.deployments.contains_key(what.as_str()));
        let all_compared = components.clone().all(|id| sight.autoscaler_of(&id.as_str().into()).is_some());
        let (at, agrees) = keeper.compared()?;
        let settled = self.settled_at.entry(keeper.name()).or_insert_with(|| at.to_owned());
        (all_compared && agrees && at > settled.as_str()).then(|| "Git says by now what a failover has made".to_owned())
    }

    /// The component that an entry is about: the first that is protected, else the first of all.
    fn component_of(&self, protects: &BTreeSet<String>) -> ComponentId {
        let route = self.config.routes.iter().find(|(host, _)| protects.contains(&record_name(host)));
        let named = self.config.deployments.keys().find(|id| protects.contains(id.as_str()));
        named
            .or(route.map(|(_, route)| &route.to))
            .or_else(|| self.config.deployments.keys().next())
            .cloned()
            .unwrap_or_else(|| "".into())
    }

    /// Says what was done; of what could not be done each new reason once.
    async fn journal(&mut self, about: &ComponentId, what: &str, why: &str, done: Result<&(), &ApiError>) {
        let key = what.split(':').next().unwrap_or(what).to_owned();
        let report = match done {
            Ok(()) => {
                self.failures.remove(&key);
                Report::Changed(about.clone(), what.to_owned(), why.to_owned())
            }
            Err(error) => {
                // The server's words may differ each time.
                if self.failures.insert(key, error.clone()).is_some_and(|before| before.is_like(error)) {
                    return;
                }
                Report::Changed(about.clone(), format!("failed: {what}"), in_short(&error.to_string()))
            }
        };
        // Nobody is left to be told: the next one ends the work.
        let _ = self.reports.send(report).await;
    }

    /// Says how each component is. False: nobody listens.
    async fn tell(
        &mut self,
        wanted: &Wanted,
        sight: &Sight,
        pods: &Objects<Pod>,
        nodes: &Objects<Node>,
        unseen: Option<String>,
    ) -> bool {
        let gitops = sight.keepers.summary();
        for (id, instances) in self.config.deployments.clone() {
            let duty = wanted.duties.get(&id).copied().unwrap_or(Duty::Undecided);
            let mut state = match sight.deployments.get(id.as_str()) {
                Some(deployment) => {
                    of_deployment(deployment, sight.autoscaler_of(&id), instances.under(duty), instances, pods, nodes)
                }
                None => {
                    let trouble = format!("there is no Deployment {id} in namespace {}", self.config.namespace);
                    ComputeState { obstacle: Some(trouble.clone()), trouble: Some(trouble), ..ComputeState::of(false) }
                }
            };
            state.gitops.clone_from(&gitops);
            state.trouble = state.trouble.or_else(|| unseen.clone());
            if let Some(failure) = self.failures.get(&scaled(&id)) {
                let what = format!("cannot be scaled: {failure}");
                state.trouble.get_or_insert_with(|| what.clone());
                // S4: what cannot be made smaller here cannot be made larger either.
                state.obstacle.get_or_insert(what);
            }
            if !self.say(id, state).await {
                return false;
            }
        }
        true
    }

    /// Says that nothing is known. While the API only asks to wait, what was seen last is believed for a while.
    async fn tell_unknown(&mut self, error: &ApiError) -> bool {
        let is_recent = self.answered.is_some_and(|at| at.elapsed() < PATIENCE);
        if matches!(error, ApiError::Throttled(_)) && is_recent {
            return !self.reports.is_closed();
        }
        // What is said of it is the same for as long as it lasts.
        let what = match error {
            ApiError::Throttled(_) => "the cluster's API has no time for this node".to_owned(),
            other => other.to_string(),
        };
        for id in self.config.deployments.keys().cloned().collect::<Vec<_>>() {
            let state = ComputeState {
                running: Running::Unknown,
                replicas: None,
                gitops: None,
                trouble: Some(what.clone()),
                obstacle: Some(what.clone()),
            };
            if !self.say(id, state).await {
                return false;
            }
        }
        true
    }

    async fn say(&mut self, id: ComponentId, mut state: ComputeState) -> bool {
        for words in [&mut state.gitops, &mut state.trouble, &mut state.obstacle].into_iter().flatten() {
            *words = in_short(words);
        }
        if self.said.get(&id) == Some(&state) {
            return !self.reports.is_closed();
        }
        self.said.insert(id.clone(), state.clone());
        self.reports.send(Report::State(id, state)).await.is_ok()
    }
}

/// Why a collection is not seen, if that is not allowed; whatever else is in the way passes by.
fn denied<T>(objects: &Objects<T>) -> Option<ApiError> {
    objects.as_ref().err().filter(|error| matches!(error, ApiError::Denied(_))).cloned()
}

fn mirror_of<T>() -> (watch::Sender<Objects<T>>, watch::Receiver<Objects<T>>) {
    watch::channel(Err(ApiError::Unreachable("it was not listed yet".into())))
}

fn governs(keepers: &[Keeper]) -> Governs {
    Governs {
        minimum: keepers.iter().any(|keeper| keeper.governs.minimum),
        replicas: keepers.iter().any(|keeper| keeper.governs.replicas),
        records: keepers.iter().any(|keeper| keeper.governs.records),
        standby: keepers.iter().any(|keeper| keeper.governs.standby),
    }
}

/// What is said of scaling, and the key of what was said of its failing.
fn scaled(id: &ComponentId) -> String {
    format!("{id} scaled")
}

fn listed(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
