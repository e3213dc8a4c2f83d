//! The world of one drill: a run directory, a node per region with everything that it supervises, and what is done to them.
//!
//! Whatever happens, nothing of it remains: [`World::close`] ends every process and removes the directory, and dropping the
//! world (a panic, a cancelled drill) does the same without the niceties.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_lab::Network;
use lifeboat_model::RegionId;
use lifeboat_model::app::{App, Kind, Tls};
use lifeboat_tls::{Connector, make};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::options::{Options, StoreKind};
use crate::processes::{self, Process, SharedMemory};
use crate::{Error, Fault, etcd, ports};

/// Tells a node whose child it is in spirit: it ends everything that it supervises when this process is gone.
const PARENT_VARIABLE: &str = "LIFEBOAT_DRILL_PID";
/// Marks whatever a node starts as belonging to this drill and region.
const REGION_VARIABLE: &str = "LIFEBOAT_DRILL_REGION";

/// How long the certificates of a world are valid.
const CERTIFICATES: Duration = Duration::from_secs(90 * 24 * 3600);
/// How many of a log's last lines an error shows.
const LOG_LINES: usize = 12;

/// Nodes and their directory.
pub struct World {
    directory: Option<TempDir>,
    path: PathBuf,
    file: PathBuf,
    app: App,
    lifeboat: PathBuf,
    shop: PathBuf,
    keep: bool,
    /// With the nodes' certificates; `None`: they speak without TLS, as the file says.
    certs: Option<PathBuf>,
    connector: Connector,
    nodes: BTreeMap<RegionId, Child>,
    /// Whether every region has a member of etcd, and those that run.
    has_etcd: bool,
    members: BTreeMap<RegionId, Child>,
    memory: BTreeSet<SharedMemory>,
    /// Where regions are in namespaces, these.
    network: Option<Arc<Network>>,
    /// The region that is cut off from everybody else.
    cut_off: Option<RegionId>,
}

impl World {
    /// The world of a drill.
    pub(crate) fn create(options: &Options) -> Result<Self, Error> {
        let Options { file, app, lifeboat, shop, keep, store, fault, .. } = options;
        let world = match fault {
            Fault::Partition => Self::in_network(file, app, lifeboat, shop, *keep)?,
            Fault::RegionLoss | Fault::DatabaseLoss | Fault::NodeLoss | Fault::AppLoss | Fault::Pause => {
                Self::new(file, app, lifeboat, shop, *keep)?
            }
        };
        match store {
            StoreKind::File => Ok(world),
            StoreKind::Etcd => world.with_etcd(),
        }
    }

    /// The same as [`World::new`] with every region in a network namespace of its own. This process has to be in one of its own
    /// (`lifeboat_lab::machine`).
    ///
    /// # Errors
    /// As [`World::new`], or a network that cannot be made.
    pub fn in_network(file: &Path, app: &App, lifeboat: &Path, shop: &Path, keep: bool) -> Result<Self, Error> {
        let addresses = app.regions.iter().filter_map(|(id, region)| Some((id.clone(), region.address?))).collect();
        let network = Network::make(&addresses).map_err(|error| Error::Unsuitable(error.to_string()))?;
        Self::prepared(file, app, lifeboat, shop, keep, Some(network))
    }

    /// The namespaces of the regions, where they are in some.
    pub fn network(&self) -> Option<&Arc<Network>> {
        self.network.as_ref()
    }

    /// The same with a member of etcd in every region as the nodes' store, in place of what the file says.
    ///
    /// # Errors
    /// A port of etcd that is taken, or a file whose store cannot be replaced.
    pub fn with_etcd(mut self) -> Result<Self, Error> {
        if self.network.is_none() {
            ports::check_free_for_etcd(&self.app)?;
        }
        let text = std::fs::read_to_string(&self.file).map_err(Error::io("cannot read", &self.file))?;
        let text = etcd::with_store(&text, &self.app)?;
        std::fs::write(&self.file, text).map_err(Error::io("cannot write", &self.file))?;
        self.has_etcd = true;
        Ok(self)
    }

    /// Checks that every address is free, and makes the run directory with certificates for every node (unless the file says
    /// `tls: none`) and a copy of `file`, which `app` was read from. Starts
    /// nothing. `lifeboat` is the binary of the nodes, `shop` what the file's command lines call `$SHOP`; `keep`: the directory
    /// remains after [`World::close`].
    ///
    /// # Errors
    /// An address that is taken; a directory, file or program that is not there or cannot be made.
    pub fn new(file: &Path, app: &App, lifeboat: &Path, shop: &Path, keep: bool) -> Result<Self, Error> {
        ports::check_free(app)?;
        Self::prepared(file, app, lifeboat, shop, keep, None)
    }

    fn prepared(
        file: &Path,
        app: &App,
        lifeboat: &Path,
        shop: &Path,
        keep: bool,
        network: Option<Network>,
    ) -> Result<Self, Error> {
        let parent = std::env::temp_dir();
        // Short: a Unix socket's path below it has room for about a hundred bytes.
        let directory = tempfile::Builder::new()
            .prefix("lb-")
            .tempdir_in(&parent)
            .map_err(Error::io("cannot make a directory in", &parent))?;
        let path = directory.path().to_owned();
        // PostgreSQL runs as another user if the drill runs as root: it may pass through, but not look around.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o711))
            .map_err(Error::io("cannot set the permissions of", &path))?;
        let copy = path.join("lifeboat.yaml");
        std::fs::copy(file, &copy).map_err(Error::io("cannot copy", file))?;
        let (certs, connector) = match app.nodes.tls {
            Tls::Off => (None, Connector::plain()),
            Tls::LoopbackOnly | Tls::Files(_) => {
                let certs = path.join("certs");
                let regions = app.regions.iter().map(|(id, region)| (id, region.address));
                make::write(&certs, app.name.as_str(), regions, make::By::New, CERTIFICATES)?;
                let connector = Connector::trusting(&certs.join("ca.pem"))?;
                (Some(certs), connector)
            }
        };
        Ok(Self {
            directory: Some(directory),
            path,
            file: copy,
            app: app.clone(),
            lifeboat: absolute(lifeboat)?,
            shop: absolute(shop)?,
            keep,
            certs,
            connector,
            nodes: BTreeMap::new(),
            has_etcd: false,
            members: BTreeMap::new(),
            memory: BTreeSet::new(),
            network: network.map(Arc::new),
            cut_off: None,
        })
    }

    /// The run directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes connections to the nodes as a person does, with the authority of this world.
    pub fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Starts the node of every region.
    ///
    /// # Errors
    /// A log that cannot be written, or a program that cannot be started.
    pub fn start(&mut self) -> Result<(), Error> {
        let regions: Vec<RegionId> = self.app.regions.keys().cloned().collect();
        regions.iter().try_for_each(|region| self.start_node(region))
    }

    /// Starts the node of one region, and its member of etcd where there is one, after a fault has taken them.
    ///
    /// # Errors
    /// A log that cannot be written, or a program that cannot be started.
    pub fn start_node(&mut self, region: &RegionId) -> Result<(), Error> {
        self.start_member(region)?;
        let log_path = self.log_path(region);
        let open = || std::fs::OpenOptions::new().create(true).append(true).open(&log_path);
        let log = open().map_err(Error::io("cannot write", &log_path))?;
        let same_log = log.try_clone().map_err(Error::io("cannot write", &log_path))?;
        let certs = self.certs.iter().flat_map(|certs| [OsStr::new("--certs"), certs.as_os_str()]);
        let child = self
            .command(region, self.lifeboat.as_os_str())
            .args(["node", "--region", region.as_str(), "--directory"])
            .arg(&self.path)
            .args(certs)
            .arg(&self.file)
            .env("SHOP", &self.shop)
            .env(PARENT_VARIABLE, std::process::id().to_string())
            .env(REGION_VARIABLE, self.region_directory(region).join(""))
            .current_dir(&self.path)
            .stdin(Stdio::null())
            .stdout(same_log)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::io("cannot start", &self.lifeboat))?;
        self.nodes.insert(region.clone(), child);
        Ok(())
    }

    /// A program in the network of a region. It keeps the number of the process.
    fn command(&self, region: &RegionId, program: &OsStr) -> Command {
        let mut words = self.network.as_ref().map(|network| network.prefix(region)).unwrap_or_default().into_iter();
        match words.next() {
            Some(first) => {
                let mut command = Command::new(first);
                command.args(words).arg(program);
                command
            }
            None => Command::new(program),
        }
    }

    /// Starts a region's member of etcd, where there is an etcd and it does not run.
    ///
    /// # Errors
    /// A log that cannot be written, or a program that cannot be started.
    pub fn start_member(&mut self, region: &RegionId) -> Result<(), Error> {
        if self.has_etcd && !self.members.contains_key(region) {
            let member = etcd::start(&self.app, region, &self.path, self.command(region, "setpriv".as_ref()))?;
            self.members.insert(region.clone(), member);
        }
        Ok(())
    }

    /// Kills a region's member of etcd, alone.
    pub async fn kill_member(&mut self, region: &RegionId) {
        self.reap_member(region).await;
    }

    /// Has etcd's leader in this region, where there is an etcd.
    ///
    /// # Errors
    /// A cluster that does not come to it in time.
    pub async fn lead_etcd_from(&self, region: &RegionId) -> Result<bool, Error> {
        if self.has_etcd {
            etcd::lead(&self.app, region).await?;
        }
        Ok(self.has_etcd)
    }

    /// An error if a node that nobody killed has ended.
    pub(crate) fn check_nodes(&mut self) -> Result<(), Error> {
        let mut ended = None;
        for (region, child) in &mut self.nodes {
            if let Ok(Some(status)) = child.try_wait() {
                ended = Some((region.clone(), status.to_string()));
            }
        }
        match ended {
            Some((region, status)) => {
                let logs = self.last_lines(&region);
                Err(Error::NodeEnded { region, status, logs })
            }
            None => Ok(()),
        }
    }

    /// Whether there is a node that can be asked, as far as the drill itself has done anything to it.
    pub(crate) fn has_node(&self, region: &RegionId) -> bool {
        self.nodes.contains_key(region) && self.cut_off.as_ref() != Some(region)
    }

    /// Does the fault to the region and says what it did: `killed: node, PostgreSQL, web`.
    /// [`Fault::Pause`] only stops it; [`World::resume`] lets it go on.
    /// [`Fault::Partition`] does nothing to processes.
    pub async fn inject(&mut self, fault: Fault, region: &RegionId) -> String {
        let directory = self.region_directory(region);
        let node = self.node(region);
        match fault {
            Fault::Partition => String::new(),
            Fault::RegionLoss => {
                let frozen = processes::freeze(|| processes::of_region(&directory, node));
                let names = self.describe(&frozen, region);
                self.memory.extend(processes::kill(&frozen).await);
                self.reap(region).await;
                self.reap_member(region).await;
                format!("killed: {names}")
            }
            Fault::Pause => {
                let frozen = processes::freeze(|| processes::of_region(&directory, node));
                format!("paused: {}", self.describe(&frozen, region))
            }
            Fault::DatabaseLoss => {
                let frozen = processes::freeze(|| {
                    processes::of_region(&directory, node).into_iter().filter(|p| p.name() == "postgres").collect()
                });
                let names = self.describe(&frozen, region);
                self.memory.extend(processes::kill(&frozen).await);
                format!("killed: {names}")
            }
            Fault::NodeLoss => {
                let node: BTreeSet<Process> = node.into_iter().collect();
                processes::kill(&node).await;
                self.reap(region).await;
                "killed: node".into()
            }
            Fault::AppLoss => {
                let apps = self.app_processes(region);
                let frozen =
                    processes::freeze(|| apps.iter().flat_map(|app| processes::with_descendants(*app)).collect());
                let names = self.describe(&frozen, region);
                processes::kill(&frozen).await;
                format!("killed: {names}")
            }
        }
    }

    /// Cuts a region off from the other regions and from the client, and says what is alive in it.
    ///
    /// # Errors
    /// Regions that are in no network of namespaces, or links that cannot be cut.
    pub(crate) fn cut_off(&mut self, region: &RegionId) -> Result<String, Error> {
        let network = self.network.as_ref().ok_or_else(|| Error::Unsuitable("its regions share one network".into()))?;
        let mut others = network.others(region);
        others.push(None);
        network
            .set_cuts(lifeboat_lab::between(&[Some(region.clone())], &others))
            .map_err(|error| Error::Unsuitable(error.to_string()))?;
        self.cut_off = Some(region.clone());
        let alive = processes::of_region(&self.region_directory(region), self.node(region));
        Ok(self.describe(&alive, region))
    }

    /// Ends every cut.
    ///
    /// # Errors
    /// Links that cannot be joined.
    pub(crate) fn reconnect(&mut self) -> Result<(), Error> {
        if let Some(network) = &self.network {
            network.heal().map_err(|error| Error::Unsuitable(error.to_string()))?;
        }
        self.cut_off = None;
        Ok(())
    }

    /// Lets a paused region go on.
    pub fn resume(&self, region: &RegionId) {
        for process in processes::of_region(&self.region_directory(region), self.node(region)) {
            process.signal(Signal::CONT);
        }
    }

    /// The last lines of every node's log, for an error.
    pub fn logs(&self) -> String {
        self.app.regions.keys().map(|region| self.last_lines(region)).collect()
    }

    /// The secret that lets a client ask for a switchover.
    pub(crate) fn operator_token(&self) -> Result<String, Error> {
        let path = self.path.join("secrets/operator.token");
        let text = std::fs::read_to_string(&path).map_err(Error::io("cannot read", &path))?;
        Ok(text.trim().into())
    }

    /// The major version of the PostgreSQL that ran, from a data directory.
    pub(crate) fn postgres_version(&self) -> Option<String> {
        let databases: Vec<_> = self.app.databases().map(|(id, _)| id.clone()).collect();
        self.app.regions.keys().find_map(|region| {
            databases.iter().find_map(|database| {
                let path = self.region_directory(region).join(database.as_str()).join("data/PG_VERSION");
                Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
            })
        })
    }

    /// Ends everything and removes the run directory, unless it is to be kept: then its path is returned.
    ///
    /// # Errors
    /// A run directory that cannot be removed.
    pub async fn close(mut self) -> Result<Option<PathBuf>, Error> {
        let regions: Vec<RegionId> = self.app.regions.keys().cloned().collect();
        // The nodes first, all at one moment, so that none of them sees another one go and acts.
        let nodes: BTreeSet<Process> = regions.iter().filter_map(|region| self.node(region)).collect();
        processes::freeze(|| nodes.clone());
        let all = self.everything();
        // An immediate shutdown, because then PostgreSQL removes its own shared memory.
        let postmasters: BTreeSet<Process> = self.postmasters();
        for process in &all {
            if postmasters.contains(process) {
                process.signal(Signal::QUIT);
                process.signal(Signal::CONT);
            }
        }
        for process in all.iter().filter(|process| process.name() == "postgres") {
            process.signal(Signal::CONT);
        }
        processes::gone(&postmasters, Duration::from_secs(3)).await;
        // A process may have been started in between; a few rounds find the last one.
        for _ in 0..5 {
            let rest = processes::freeze(|| self.everything());
            if rest.is_empty() {
                break;
            }
            let memory = processes::kill(&rest).await;
            self.memory.extend(memory);
        }
        for region in &regions {
            self.reap(region).await;
            self.reap_member(region).await;
        }
        self.memory.iter().for_each(SharedMemory::remove);
        self.memory.clear();
        match self.directory.take() {
            Some(directory) if self.keep => Ok(Some(directory.keep())),
            Some(directory) => {
                directory.close().map_err(Error::io("cannot remove", &self.path))?;
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// The process of a region's node, while it lives.
    pub fn node(&self, region: &RegionId) -> Option<Process> {
        Process::find(self.nodes.get(region)?.id()?)
    }

    /// Collects the ended node's status, so that it is no zombie.
    async fn reap(&mut self, region: &RegionId) {
        if let Some(mut child) = self.nodes.remove(region) {
            let _ = child.kill().await;
        }
    }

    /// The same for its member of etcd.
    async fn reap_member(&mut self, region: &RegionId) {
        if let Some(mut child) = self.members.remove(region) {
            let _ = child.kill().await;
        }
    }

    /// Kills whatever is left, and waits at most two seconds until it is gone, so that the directory can be removed.
    pub fn kill_everything(&mut self) {
        let rest = processes::freeze(|| self.everything());
        self.memory.extend(rest.iter().flat_map(|process| process.shared_memory()));
        for process in &rest {
            process.signal(Signal::KILL);
        }
        for _ in 0..400 {
            if !rest.iter().any(|process| process.is_alive()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.memory.iter().for_each(SharedMemory::remove);
        self.memory.clear();
    }

    fn everything(&self) -> BTreeSet<Process> {
        self.app
            .regions
            .keys()
            .flat_map(|region| processes::of_region(&self.region_directory(region), self.node(region)))
            .collect()
    }

    fn postmasters(&self) -> BTreeSet<Process> {
        let databases: Vec<_> = self.app.databases().map(|(id, _)| id.clone()).collect();
        let of = |region: &RegionId| {
            let directory = self.region_directory(region);
            databases
                .iter()
                .filter_map(|database| {
                    processes::named_by(&directory.join(database.as_str()).join("data/postmaster.pid"))
                })
                .collect::<Vec<_>>()
        };
        self.app.regions.keys().flat_map(of).collect()
    }

    fn app_processes(&self, region: &RegionId) -> Vec<Process> {
        let directory = self.region_directory(region);
        self.processes_of_the_file()
            .filter_map(|name| processes::named_by(&directory.join(format!("{name}.pid"))))
            .collect()
    }

    fn processes_of_the_file(&self) -> impl Iterator<Item = &str> {
        self.app.components.iter().filter(|(_, component)| component.kind == Kind::Process).map(|(id, _)| id.as_str())
    }

    /// `node, PostgreSQL, web`: in words, what these processes are.
    fn describe(&self, found: &BTreeSet<Process>, region: &RegionId) -> String {
        let mut names: Vec<String> = Vec::new();
        if self.node(region).is_some_and(|node| found.contains(&node)) {
            names.push("node".into());
        }
        if found.iter().any(|process| process.name() == "postgres") {
            names.push("PostgreSQL".into());
        }
        if found.iter().any(|process| process.name() == "etcd") {
            names.push("etcd".into());
        }
        let directory = self.region_directory(region);
        for name in self.processes_of_the_file() {
            if processes::named_by(&directory.join(format!("{name}.pid"))).is_some_and(|p| found.contains(&p)) {
                names.push(name.into());
            }
        }
        if names.is_empty() { "nothing (no such process was found)".into() } else { names.join(", ") }
    }

    /// Where a region's node and its servers keep their things.
    pub fn region_directory(&self, region: &RegionId) -> PathBuf {
        self.path.join(region.as_str())
    }

    fn log_path(&self, region: &RegionId) -> PathBuf {
        self.path.join(format!("{region}.log"))
    }

    fn last_lines(&self, region: &RegionId) -> String {
        let text = std::fs::read(self.log_path(region)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
        let mut shown = format!("\n  {region}.log:");
        if last.is_empty() {
            shown += " empty";
        }
        for line in last {
            shown += "\n    ";
            shown += line;
        }
        shown
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.directory.is_some() {
            self.kill_everything();
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::fs::canonicalize(path).map_err(Error::io("cannot find", path))
}
