//! The validated form of a `lifeboat.yaml`: every reference resolves, every default is filled in.
//!
//! Only [`crate::parse`] makes an [`App`]; whoever holds one need not check it again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::quantity::MonthlyCost;
use crate::{AppName, ComponentId, HostName, RegionId};

/// Gives an enum its words as they stand in the file, and the list of all of them.
macro_rules! words {
    ($type:ident: $($variant:ident = $word:literal),+ $(,)?) => {
        impl $type {
            /// All of them, in the order in which they are listed to users.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As in the file.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }
    };
}

words!(RegionRole: Data = "data", Witness = "witness");
words!(Pattern: BackupRestore = "backup-restore", PilotLight = "pilot-light", WarmStandby = "warm-standby", ActiveActive = "active-active");
words!(Replication: Synchronous = "synchronous", Asynchronous = "asynchronous");
words!(WithoutStandby: Continue = "continue", Stop = "stop");
words!(Reads: Stale = "stale", Strict = "strict");
words!(RoutePolicy: Failover = "failover", Spread = "spread");
words!(FailoverMode: Automatic = "automatic", Approve = "approve");

/// What the user declares.
#[derive(Clone, Debug, PartialEq)]
pub struct App {
    /// `app`
    pub name: AppName,
    /// `objectives`, of the app as a whole.
    pub objectives: Objectives,
    /// `regions`: at least two that keep data for a failover to be possible; witnesses break ties.
    pub regions: BTreeMap<RegionId, Region>,
    /// `components`
    pub components: BTreeMap<ComponentId, Component>,
    /// `routes`
    pub routes: BTreeMap<HostName, Route>,
    /// `failover`
    pub failover: FailoverPolicy,
    /// `detection`
    pub detection: Detection,
    /// `store`
    pub store: StoreChoice,
    /// `dns`
    pub dns: Dns,
    /// `nodes`
    pub nodes: Nodes,
    /// `prices`: the user's own, in the order of the file.
    pub prices: Vec<DeclaredPrice>,
}

/// A price that goes before the list's.
#[derive(Clone, Debug, PartialEq)]
pub struct DeclaredPrice {
    /// Who charges it.
    pub provider: Provider,
    /// The provider's name of the region; `None`: every region of the provider.
    pub region: Option<String>,
    /// What is charged, by its name in the price list.
    pub sku: String,
    /// `usd`: US dollars per unit of the SKU.
    pub usd: f64,
    /// `basis`: where it comes from.
    pub basis: Option<String>,
    /// `date`: since when it holds, `YYYY-MM-DD`.
    pub date: Option<String>,
}

impl DeclaredPrice {
    /// The region that stands for every region.
    pub const EVERYWHERE: &'static str = "global";
    /// More than anybody charges for a unit of anything, in USD.
    pub const MOST_USD: f64 = 1_000_000.0;

    /// Splits `aws/eu-north-1/ec2/m6g.large`; `None`: that is no such key.
    pub fn split(key: &str) -> Option<(Provider, Option<&str>, &str)> {
        let (provider, rest) = key.split_once('/')?;
        let provider = Provider::ALL.into_iter().find(|known| known.as_str() == provider)?;
        let (region, sku) = match provider {
            Provider::Aws | Provider::Azure => rest.split_once('/')?,
            // A context may have slashes, the SKUs of what one runs oneself have none.
            Provider::Local | Provider::Kubernetes => rest.rsplit_once('/')?,
        };
        let graphic = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
        let region = (region != Self::EVERYWHERE).then_some(region);
        (graphic(sku) && region.is_none_or(graphic)).then_some((provider, region, sku))
    }
}

impl std::fmt::Display for DeclaredPrice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let region = self.region.as_deref().unwrap_or(Self::EVERYWHERE);
        write!(f, "{}/{region}/{}", self.provider.as_str(), self.sku)
    }
}

/// What must be reached. `None`: not demanded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objectives {
    /// Longest time without service, from the onset of the fault as a client sees it.
    pub rto: Option<Duration>,
    /// Longest span of acknowledged writes that may be lost; zero: none.
    pub rpo: Option<Duration>,
    /// Jurisdictions (`EU`, `SE`) or regions in which data may be; empty: anywhere.
    pub residency: BTreeSet<String>,
    /// Share of time in service, such as 0.9999.
    pub availability: Option<f64>,
    /// Ceiling of the whole app's cost.
    pub cost: Option<MonthlyCost>,
}

/// Where a region lies: `local/a`, `aws/eu-north-1`, `azure/northeurope`, `kubernetes/CONTEXT`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Who runs it.
    pub provider: Provider,
    /// The provider's own name of it.
    pub name: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.provider.as_str(), self.name)
    }
}

/// Who runs a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// Machines that the user runs.
    Local,
    /// Amazon Web Services.
    Aws,
    /// Microsoft Azure.
    Azure,
    /// A Kubernetes cluster, named by its context.
    Kubernetes,
}

impl Provider {
    /// All of them, in the order in which they are listed to users.
    pub const ALL: [Self; 4] = [Self::Local, Self::Aws, Self::Azure, Self::Kubernetes];

    /// As in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Aws => "aws",
            Self::Azure => "azure",
            Self::Kubernetes => "kubernetes",
        }
    }
}

/// A place that fails as one.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// `place`
    pub place: Place,
    /// `role`
    pub role: RegionRole,
    /// `address`: where this region's node, DNS server and supervised servers listen, and where the others reach them.
    pub address: Option<IpAddr>,
    /// `data`: the directory for what this region's node and its servers keep. Default `lifeboat-data/REGION` beside the file.
    pub data: PathBuf,
    /// `api`: TCP port of the node's API. Default 7400.
    pub api_port: u16,
    /// `preference`: among equally good targets the higher one is taken. Default 0.
    pub preference: i32,
}

/// What a region is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionRole {
    /// Runs components.
    Data,
    /// Only watches and votes.
    Witness,
}

/// How a component is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pattern {
    /// Nothing runs elsewhere; it is restored from backups.
    BackupRestore,
    /// Data are there, compute is off.
    PilotLight,
    /// A smaller copy runs.
    WarmStandby,
    /// Every region serves.
    ActiveActive,
}

/// A thing of the app that exists per region.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// `kind`
    pub kind: Kind,
    /// `pattern`; `None`: `assess` chooses.
    pub pattern: Option<Pattern>,
    /// `objectives`: the component's own where it tightens them, the app's otherwise.
    pub objectives: Objectives,
    /// `writer`: of a database, the region that writes at first and is home. `None` for compute, or where `assess` chooses.
    pub writer: Option<RegionId>,
    /// `standbys`: of a database, how each other region is kept up to date.
    pub standbys: BTreeMap<RegionId, Replication>,
    /// `confirmations`: how many synchronous standbys must confirm a commit, `ANY k`. Default: all of them.
    pub confirmations: usize,
    /// `without-standby`: what a writer with synchronous standbys does when too few are left.
    pub without_standby: WithoutStandby,
    /// `reads`
    pub reads: Reads,
    /// `needs`: components that must serve before this one can.
    pub needs: BTreeSet<ComponentId>,
    /// `regions`: of compute, where it runs. Default: every data region.
    pub regions: BTreeSet<RegionId>,
    /// `run`: of kind `process`, the command line; `$NAME` is replaced from the environment that Lifeboat gives
    /// (`$ADDRESS`, `$REGION`, and `$<DATABASE>_URL` for each database it needs).
    pub run: Option<String>,
    /// `check`: how its health is probed.
    pub check: Option<Check>,
    /// `port`: where it listens in each region. Default: of `postgres` 5432, of compute the check's.
    pub port: Option<u16>,
    /// `size`
    pub size: Size,
}

/// What keeps or processes data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// PostgreSQL that Lifeboat supervises.
    Postgres,
    /// Aurora Global Database.
    AuroraGlobal,
    /// Amazon RDS with a read replica in another region.
    Rds,
    /// DynamoDB global tables.
    Dynamodb,
    /// An S3 bucket with cross-region replication.
    S3,
    /// Azure SQL Database in a failover group.
    AzureSql,
    /// Azure Cosmos DB.
    Cosmosdb,
    /// Azure Database for PostgreSQL flexible server.
    AzurePostgres,
    /// Azure Storage with geo-redundancy.
    AzureStorage,
    /// A process that Lifeboat supervises.
    Process,
    /// EC2 Auto Scaling group.
    Asg,
    /// Amazon ECS service.
    Ecs,
    /// Amazon EKS cluster.
    Eks,
    /// Azure VM Scale Set.
    Vmss,
    /// Azure Kubernetes Service.
    Aks,
    /// A Kubernetes Deployment.
    Deployment,
}

impl Kind {
    /// All of them, databases first.
    pub const ALL: [Self; 16] = [
        Self::Postgres,
        Self::AuroraGlobal,
        Self::Rds,
        Self::Dynamodb,
        Self::S3,
        Self::AzureSql,
        Self::Cosmosdb,
        Self::AzurePostgres,
        Self::AzureStorage,
        Self::Process,
        Self::Asg,
        Self::Ecs,
        Self::Eks,
        Self::Vmss,
        Self::Aks,
        Self::Deployment,
    ];

    /// As in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::AuroraGlobal => "aurora-global",
            Self::Rds => "rds",
            Self::Dynamodb => "dynamodb",
            Self::S3 => "s3",
            Self::AzureSql => "azure-sql",
            Self::Cosmosdb => "cosmosdb",
            Self::AzurePostgres => "azure-postgres",
            Self::AzureStorage => "azure-storage",
            Self::Process => "process",
            Self::Asg => "asg",
            Self::Ecs => "ecs",
            Self::Eks => "eks",
            Self::Vmss => "vmss",
            Self::Aks => "aks",
            Self::Deployment => "deployment",
        }
    }

    /// Whether it keeps data; otherwise it is compute.
    pub fn is_database(self) -> bool {
        match self {
            Self::Postgres
            | Self::AuroraGlobal
            | Self::Rds
            | Self::Dynamodb
            | Self::S3
            | Self::AzureSql
            | Self::Cosmosdb
            | Self::AzurePostgres
            | Self::AzureStorage => true,
            Self::Process | Self::Asg | Self::Ecs | Self::Eks | Self::Vmss | Self::Aks | Self::Deployment => false,
        }
    }
}

/// How a standby is kept up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replication {
    /// A commit waits for it.
    Synchronous,
    /// It follows as it can.
    Asynchronous,
}

/// What a writer with synchronous standbys does when too few of them are left to confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutStandby {
    /// Goes on alone, after that is recorded; from then on a failover to the lost standby may lose writes, so none is automatic.
    Continue,
    /// Commits wait until a standby is back.
    Stop,
}

/// What a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// A writer that was cut off may serve stale reads until its lease runs out.
    Stale,
    /// Never: its failover waits for the lease too.
    Strict,
}

/// How health is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is asked.
    pub target: CheckTarget,
    /// `every`: from one probe to the next. Default 250 ms.
    pub every: Duration,
    /// `timeout`: silence for so long is a failed probe. Default 500 ms.
    pub timeout: Duration,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckTarget {
    /// `http: PATH`: a GET that must answer 2xx, at the component's port unless the path is a whole URL.
    Http(String),
    /// `https: PATH`: the same by TLS, at the component's port; a certificate that clients would not accept is a failed probe.
    Https {
        /// The path, from `/` on.
        path: String,
        /// `ca`: a PEM file of the authorities to trust instead of the public ones. A relative path starts at the node's
        /// directory, as the store's does.
        ca: Option<PathBuf>,
        /// `name`: what the certificate must be for, and the `Host` header. Default: the region's address.
        name: Option<HostName>,
    },
    /// `tcp`: a connection that is accepted.
    Tcp,
}

/// How large a component is in the region that serves, for `assess` and `generate`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Size {
    /// `instance`: the provider's name, such as `db.r6g.large`.
    pub instance: Option<String>,
    /// `count`: instances. Default 1, of compute other than processes 2.
    pub count: Option<u32>,
    /// `standby`: instances in each region that does not serve. Default: as the pattern has it, [`crate::compute::Instances`].
    pub standby: Option<u32>,
    /// `storage`, in bytes.
    pub storage: Option<u64>,
    /// `writes`: bytes changed per day, which replication carries.
    pub writes_per_day: Option<u64>,
    /// `requests`: per second at peak.
    pub requests: Option<f64>,
    /// `image`: of compute, what runs.
    pub image: Option<String>,
}

impl Size {
    /// Of Cosmos DB, whose `instance` is a throughput: request units per second, written `4000RU` or `4000 RU/s`.
    pub fn request_units(&self) -> Option<u64> {
        let text = self.instance.as_deref()?.trim().trim_end_matches("/s");
        text.strip_suffix("RU")?.trim().parse().ok().filter(|units| *units > 0)
    }
}

/// How clients reach the regions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `to`: the compute component behind it.
    pub to: ComponentId,
    /// `policy`
    pub policy: RoutePolicy,
    /// `ttl`: for how long an answer may be kept while all is well. Default 1 s.
    pub ttl: Duration,
}

/// Which regions are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoutePolicy {
    /// The region of the writer of the databases behind it; without databases the most preferred healthy one.
    Failover,
    /// Every healthy region.
    Spread,
}

/// When a failover happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailoverPolicy {
    /// `mode`
    pub mode: FailoverMode,
    /// `approvals`: how many people have to agree to a failover, the one who asks among them. Default 1.
    pub approvals: usize,
    /// `hold-down`: after a change of writer no further automatic one for so long. Default 60 s.
    pub hold_down: Duration,
    /// `max-loss`: the most that an automatic failover of an asynchronous database may lose. Default: the RPO.
    pub max_loss: Option<Duration>,
}

/// Who decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailoverMode {
    /// Lifeboat.
    Automatic,
    /// A person, whom Lifeboat tells what it would do.
    Approve,
}

/// How quickly, and how surely, a region is found to be down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detection {
    /// `every`: from one probe of a region's node and databases to the next while all is well. Default 200 ms.
    pub every: Duration,
    /// `timeout`: silence for so long is a failed probe. Default 400 ms.
    pub timeout: Duration,
    /// `refused`: failed probes in a row, the connection refused, until a target counts as down. Default 3.
    pub refused: u32,
    /// `silent`: failed probes in a row, no answer, until a target counts as down. Default 3.
    pub silent: u32,
    /// `recovered`: good probes in a row until it counts as up again. Default 3.
    pub recovered: u32,
    /// `lease`: how long a writer's right to confirm commits alone lasts. Default 3 s.
    pub lease: Duration,
}

/// Where the nodes keep what they share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreChoice {
    /// One SQLite file, shared by the nodes of one machine.
    File(PathBuf),
    /// etcd.
    Etcd(EtcdStore),
}

/// `store: {etcd: …}`: a cluster with a member in each of three or five regions. Paths are as in the file: relative ones start at the
/// node's directory, and `{region}` in them stands for the node's region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdStore {
    /// `etcd`: the members' client URLs.
    pub endpoints: Vec<String>,
    /// `ca`: whom to trust.
    pub ca: Option<PathBuf>,
    /// `cert`, with `key`: who the node is to the members.
    pub cert: Option<PathBuf>,
    /// `key`
    pub key: Option<PathBuf>,
    /// `user`, with `password-file`.
    pub user: Option<String>,
    /// `password-file`
    pub password_file: Option<PathBuf>,
    /// `timeout`: how long a request may take over all members. Default 1 s.
    pub timeout: Duration,
}

/// The built-in DNS server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// `port`, on each region's address. Default 5353.
    pub port: u16,
}

/// How the nodes speak with each other and with people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    /// `tls`
    pub tls: Tls,
}

/// Whether the nodes' API is served by TLS, and with which files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Left out: without TLS, and only on loopback.
    #[default]
    LoopbackOnly,
    /// `none`: without TLS, wherever the nodes listen.
    Off,
    /// A directory, or the files one by one.
    Files(TlsFiles),
}

/// Certificates and keys, in PEM. In each path `{region}` stands for a region's name; relative paths start at the app's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// `ca`: whoever has a certificate of these authorities that names a region is that region's node.
    pub ca: String,
    /// `cert`: a node's own certificate, with those between it and the authority.
    pub cert: String,
    /// `key`: its private key.
    pub key: String,
}

impl TlsFiles {
    /// As `lifeboat certs` names them.
    pub fn of_directory(directory: &str) -> Self {
        let directory = directory.trim_end_matches('/');
        let file = |name: &str| format!("{directory}/{name}");
        Self { ca: file("ca.pem"), cert: file("{region}.pem"), key: file("{region}.key") }
    }

    /// The paths of a region's files: `ca`, `cert`, `key`.
    pub fn of(&self, region: &RegionId) -> [PathBuf; 3] {
        [&self.ca, &self.cert, &self.key].map(|path| path.replace("{region}", region.as_str()).into())
    }
}

impl App {
    /// The regions that run components.
    pub fn data_regions(&self) -> impl Iterator<Item = &RegionId> {
        self.regions.iter().filter(|(_, region)| region.role == RegionRole::Data).map(|(id, _)| id)
    }

    /// The components that keep data and that Lifeboat or a provider replicates.
    pub fn databases(&self) -> impl Iterator<Item = (&ComponentId, &Component)> {
        self.components.iter().filter(|(_, component)| component.kind.is_database())
    }

    /// The databases that one region writes at a time: what a failover moves.
    pub fn written_databases(&self) -> impl Iterator<Item = (&ComponentId, &Component)> {
        self.databases().filter(|(_, component)| component.has_one_writer())
    }

    /// Of the databases behind a component those that one region writes at a time: where they are written clients are served.
    pub fn writers_behind(&self, component: &ComponentId) -> BTreeSet<ComponentId> {
        let mut behind = self.databases_behind(component);
        behind.retain(|id| self.components.get(id).is_some_and(Component::has_one_writer));
        behind
    }

    /// Every database that the component needs, directly or through others, in order; the component itself if it is one.
    pub fn databases_behind(&self, component: &ComponentId) -> BTreeSet<ComponentId> {
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut todo = vec![component.clone()];
        while let Some(id) = todo.pop() {
            let Some(component) = self.components.get(&id) else { continue };
            if !seen.insert(id.clone()) {
                continue;
            }
            if component.kind.is_database() {
                found.insert(id);
            }
            todo.extend(component.needs.iter().cloned());
        }
        found
    }
}
