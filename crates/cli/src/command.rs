//! The words of the command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lifeboat_atlas::Service;
use lifeboat_drill::Fault;
use lifeboat_model::{ComponentId, RegionId};
use lifeboat_node::tokens::Role;

/// Keeps an application alive when a whole cloud region goes dark.
///
/// One file, lifeboat.yaml, says what the application is and how much downtime and data loss it may suffer.
#[derive(Debug, Parser)]
#[command(name = "lifeboat", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 all is well; 1 it failed, or an objective was missed; 2 the command or the file is wrong; 3 no node could be asked."
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Check a file and say everything that is wrong with it
    Validate(Validate),
    /// Say which pattern, regions and sizes an app needs, at what price, and what RTO and RPO they give
    Assess(Assess),
    /// Search and compare regions
    Regions(Regions),
    /// Write the infrastructure as code that the app needs in every region
    Generate(Generate),
    /// Compare generated code on disk with what would be generated now, and what runs in the regions with the file and each other
    Diff(Diff),
    /// Write who writes and who serves now into the role files of generated code, so that a plan after a failover is empty
    Roles(Roles),
    /// Rehearse a fault on real servers of this machine, and measure RTO and RPO
    Drill(Drill),
    /// Run the daemon of one region
    Node(Node),
    /// Make certificates for the nodes, so that they speak TLS
    Certs(Certs),
    /// Make, list and revoke the tokens by which nodes know people
    Token(Token),
    /// Show how things are
    Status(Which),
    /// Show the journal: what was decided, and why
    Events(Events),
    /// Show what a failover, switchover, failback or reprotect would do, without doing it
    Plan(Plan),
    /// Move writing to another region although the present one may be gone
    Failover(Request),
    /// Move writing to another region in an orderly way, with nothing lost
    Switchover(Request),
    /// Approve the failover that somebody else has asked for
    Approve(Approve),
    /// Say where a database is written now that no node can move: what waits for a person is done
    Done(Done),
    /// Print the JSON Schema of the file, for editors
    Schema,
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Which file, and how to answer.
#[derive(Debug, Args)]
pub struct Which {
    /// The app's file
    #[arg(default_value = "lifeboat.yaml", env = "LIFEBOAT_FILE")]
    pub file: PathBuf,
    /// Whom to ask
    #[command(flatten)]
    pub asked: Asked,
}

/// Whom to ask, and how to answer.
#[derive(Debug, Args)]
pub struct Asked {
    /// Where the nodes keep what they share [default: `lifeboat-data` beside the file]
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Where `ca.pem` lies, instead of what the file says (`nodes.tls`)
    #[arg(long, env = "LIFEBOAT_CERTS", value_name = "DIR")]
    pub certs: Option<PathBuf>,
    /// Ask this region's node [default: the first that answers]
    #[arg(long)]
    pub region: Option<RegionId>,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// `validate`
#[derive(Debug, Args)]
pub struct Validate {
    /// The app's file
    #[arg(default_value = "lifeboat.yaml")]
    pub file: PathBuf,
    /// Answer in JSON: an array of problems
    #[arg(long)]
    pub json: bool,
}

/// `node`
#[derive(Debug, Args)]
pub struct Node {
    /// The app's file
    #[arg(default_value = "lifeboat.yaml", env = "LIFEBOAT_FILE")]
    pub file: PathBuf,
    /// The region that this node is of
    #[arg(long)]
    pub region: RegionId,
    /// Where to keep data, logs, secrets and the embedded store [default: `lifeboat-data` beside the file]
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Where `ca.pem`, `REGION.pem` and `REGION.key` lie, instead of what the file says (`nodes.tls`)
    #[arg(long, env = "LIFEBOAT_CERTS", value_name = "DIR")]
    pub certs: Option<PathBuf>,
    /// Where the API and the DNS server listen, where that is not the region's address: 0.0.0.0 in a pod, or behind a load balancer
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<IpAddr>,
    /// What becomes of the region's databases and processes when the node is stopped in an orderly way
    #[arg(long, value_enum, default_value = "keep")]
    pub servers: Servers,
    /// Stop, and stop everything, when this process has ended
    #[arg(long, hide = true, env = "LIFEBOAT_DRILL_PID", value_name = "PID")]
    pub parent: Option<u32>,
}

/// What becomes of databases and processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Servers {
    /// They run on; the next node takes charge of them
    Keep,
    /// They are stopped
    Stop,
}

/// `approve`
#[derive(Debug, Args)]
pub struct Approve {
    /// The database, or the name of the run that is to be; may be left out where there is one database
    pub what: Option<String>,
    /// The app's file
    #[arg(long, default_value = "lifeboat.yaml", env = "LIFEBOAT_FILE")]
    pub file: PathBuf,
    /// Whom to ask
    #[command(flatten)]
    pub asked: Asked,
}

/// `done`
#[derive(Debug, Args)]
pub struct Done {
    /// The database; may be left out where there is one
    pub database: Option<ComponentId>,
    /// The region that writes it now; the one that wrote it before says that nothing was moved
    #[arg(long, value_name = "REGION")]
    pub writer: RegionId,
    /// The app's file
    #[arg(long, default_value = "lifeboat.yaml", env = "LIFEBOAT_FILE")]
    pub file: PathBuf,
    /// Whom to ask
    #[command(flatten)]
    pub asked: Asked,
}

/// `token`
#[derive(Debug, Args)]
pub struct Token {
    /// What to do
    #[command(subcommand)]
    pub verb: TokenVerb,
}

/// What to do with tokens. All of it on the machine of the nodes, by whoever may read their secrets.
#[derive(Debug, Subcommand)]
pub enum TokenVerb {
    /// Make one, and print it: it is not to be seen again
    Create(CreateToken),
    /// List them
    List(WhichTokens),
    /// End one: it is worth nothing from then on
    Revoke(RevokeToken),
}

/// Whose tokens.
#[derive(Debug, Args)]
pub struct WhichTokens {
    /// The app's file
    #[arg(default_value = "lifeboat.yaml", env = "LIFEBOAT_FILE")]
    pub file: PathBuf,
    /// Where the nodes keep what they share [default: lifeboat-data beside the file]
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// `token create`
#[derive(Debug, Args)]
pub struct CreateToken {
    /// Whose tokens
    #[command(flatten)]
    pub which: WhichTokens,
    /// Whose it is: what the journal will say
    #[arg(long)]
    pub name: String,
    /// What its owner may do: viewer looks; operator asks for failovers and switchovers; admin also accepts losses and vouches
    #[arg(long)]
    pub role: Role,
    /// For how long it is worth something, such as 90d or 8h [default: until it is revoked]
    #[arg(long, value_name = "TIME", value_parser = lifespan)]
    pub expires: Option<std::time::Duration>,
}

/// `token revoke`
#[derive(Debug, Args)]
pub struct RevokeToken {
    /// Whose tokens
    #[command(flatten)]
    pub which: WhichTokens,
    /// The name under which it was made
    #[arg(long)]
    pub name: String,
}

/// Whole days or hours.
fn lifespan(text: &str) -> Result<std::time::Duration, String> {
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let seconds = match unit {
        "d" => 24 * 3600,
        "h" => 3600,
        _ => 0,
    };
    let number: u64 = number.parse().unwrap_or(0);
    match number.checked_mul(seconds) {
        Some(0) | None => Err("expected days or hours, such as `90d` or `8h`".into()),
        Some(seconds) => Ok(std::time::Duration::from_secs(seconds)),
    }
}

/// `certs`
#[derive(Debug, Args)]
pub struct Certs {
    /// The app's file
    #[arg(default_value = "lifeboat.yaml", env = "LIFEBOAT_FILE")]
    pub file: PathBuf,
    /// The directory to write to [default: the one that the file names (`nodes.tls`), or `certs` beside the file]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// An authority of your own instead of a new one: its certificate
    #[arg(long, value_name = "FILE", requires = "ca_key")]
    pub ca: Option<PathBuf>,
    /// The same: its private key
    #[arg(long, value_name = "FILE", requires = "ca")]
    pub ca_key: Option<PathBuf>,
    /// For how long the nodes' certificates are valid
    #[arg(long, default_value_t = 365, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
    /// Make new certificates and keys of the nodes, under the authority that is in the directory, or that --ca names
    #[arg(long)]
    pub renew: bool,
}

/// `assess`
#[derive(Debug, Args)]
pub struct Assess {
    /// The app's file
    #[arg(default_value = "lifeboat.yaml")]
    pub file: PathBuf,
    /// All patterns side by side
    #[arg(long)]
    pub compare: bool,
    /// What a shorter RTO or RPO costs
    #[arg(long)]
    pub frontier: bool,
    /// What a change would do: lost=REGION, rto=30s, rto.COMPONENT=30s, rpo=5s, price.SKU=2, traffic=2
    #[arg(long, value_name = "CHANGE", conflicts_with_all = ["compare", "frontier"])]
    pub what_if: Vec<String>,
    /// Choose anew what the file fixes (patterns, writers, standbys, regions)
    #[arg(long)]
    pub anew: bool,
    /// What was measured goes before what was published: the report.json of a drill of this app, or a node's history.jsonl;
    /// may be repeated
    #[arg(long, value_name = "FILE")]
    pub measured: Vec<PathBuf>,
    /// Prices of your own, a CSV file that goes before the list
    #[arg(long, value_name = "CSV")]
    pub prices: Option<PathBuf>,
    /// Write the report as a page
    #[arg(long, value_name = "FILE", conflicts_with_all = ["compare", "frontier", "what_if"])]
    pub html: Option<PathBuf>,
    /// Put the choices back into the file, keeping its comments and order, and what it fixes unless --anew
    #[arg(long, conflicts_with_all = ["compare", "frontier", "what_if"])]
    pub write: bool,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// `regions`
#[derive(Debug, Args)]
pub struct Regions {
    /// Part of the place, name, city, country or jurisdiction; `suggest` with --primary
    pub text: Option<String>,
    /// Where distances and round trips are counted from, such as aws/eu-north-1; with `suggest`: where the app is
    #[arg(long, visible_alias = "from", value_name = "PLACE")]
    pub primary: Option<String>,
    /// A jurisdiction, country or continent, as in `residency`
    #[arg(long, value_name = "AREA")]
    pub within: Option<String>,
    /// Farthest from the primary
    #[arg(long, value_name = "KM", requires = "primary", value_parser = kilometres)]
    pub at_most_km: Option<f64>,
    /// A service that it must have, such as aurora-global or aks; may be repeated
    #[arg(long, value_name = "SERVICE", value_parser = service)]
    pub service: Vec<Service>,
    /// Suggest regions of other clouds too
    #[arg(long)]
    pub other_clouds: bool,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// A service by its word.
fn service(text: &str) -> Result<Service, String> {
    let known = || Service::ALL.map(Service::as_str).join(", ");
    Service::ALL
        .into_iter()
        .find(|service| service.as_str() == text)
        .ok_or_else(|| format!("expected one of {}", known()))
}

/// A distance.
fn kilometres(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|km: &f64| km.is_finite() && *km >= 0.0);
    number.ok_or_else(|| "expected kilometres, such as `2000`".into())
}

/// `diff`
#[derive(Debug, Args)]
pub struct Diff {
    /// What would be generated
    #[command(flatten)]
    pub generate: Generate,
    /// What was seen of the regions: what `terraform show -json`, the generated `cloudformation/observe.sh` or `az resource show --ids` prints,
    /// REGION=FILE with what `kubectl get --output json` prints in that region's cluster, or a file of observations
    /// (docs/observations.schema.json); may be repeated
    #[arg(long, value_name = "FILE", value_parser = Observed::parse)]
    pub observed: Vec<Observed>,
    /// Tell the nodes, which show it beside readiness
    #[arg(long, requires = "observed")]
    pub report: bool,
    /// Whom to tell, and how to answer
    #[command(flatten)]
    pub asked: Asked,
}

/// A file with what was seen, and of whose cluster it is, where it does not say so itself.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Whose.
    pub region: Option<RegionId>,
    /// Where.
    pub path: PathBuf,
}

impl Observed {
    /// `FILE` or `REGION=FILE`.
    fn parse(text: &str) -> Result<Self, std::convert::Infallible> {
        Ok(match text.split_once('=').filter(|(region, _)| !region.contains(['/', '.'])) {
            Some((region, path)) => Self { region: Some(region.into()), path: path.into() },
            None => Self { region: None, path: text.into() },
        })
    }
}

/// `generate`
#[derive(Debug, Args)]
pub struct Generate {
    /// The app's file
    #[arg(default_value = "lifeboat.yaml")]
    pub file: PathBuf,
    /// The directory of the generated code
    #[arg(long, default_value = "infra", value_name = "DIR")]
    pub out: PathBuf,
    /// Only for these tools: terraform, cloudformation, arm, kubernetes, lifeboat
    #[arg(long, value_delimiter = ',', value_name = "TOOL")]
    pub target: Vec<String>,
    /// URL of the Git repository into which the code is committed, for Argo CD and Flux
    #[arg(long, value_name = "URL", value_parser = url)]
    pub repository: Option<String>,
    /// Container image of Lifeboat
    #[arg(long, value_name = "IMAGE", value_parser = image)]
    pub image: Option<String>,
    /// Container image of etcd
    #[arg(long, value_name = "IMAGE", value_parser = image)]
    pub etcd_image: Option<String>,
    /// Write nothing; exit 1 where the directory is not as it would be generated
    #[arg(long)]
    pub check: bool,
    /// Overwrite what was edited by hand
    #[arg(long)]
    pub overwrite: bool,
}

/// `roles`
#[derive(Debug, Args)]
pub struct Roles {
    /// The app's file
    #[arg(default_value = "lifeboat.yaml", env = "LIFEBOAT_FILE")]
    pub file: PathBuf,
    /// The directory of the generated code
    #[arg(long, default_value = "infra", value_name = "DIR")]
    pub out: PathBuf,
    /// Who writes a database that no node moves: a managed one; may be repeated
    #[arg(long, value_name = "DATABASE=REGION", value_parser = writer)]
    pub writer: Vec<(ComponentId, RegionId)>,
    /// Ask no node: only what --writer says is known
    #[arg(long, requires = "writer")]
    pub offline: bool,
    /// Write nothing; exit 1 where a role file is not true
    #[arg(long)]
    pub check: bool,
    /// Stay, and write what changes as it changes; with --json an object a line
    #[arg(long, conflicts_with_all = ["check", "offline"])]
    pub follow: bool,
    /// Whom to ask, and how to answer
    #[command(flatten)]
    pub asked: Asked,
}

/// An image's name. It goes into files of many forms, so nothing else is taken that would mean something in one of them.
fn image(text: &str) -> Result<String, String> {
    match text.chars().find(|&c| !c.is_ascii_alphanumeric() && !"._-/:@[]".contains(c)) {
        Some(c) => Err(format!("an image's name has letters, digits and ._-/:@ only, and not {c:?}")),
        None if text.is_empty() => Err("an image has a name, as in registry.example.com/lifeboat:0.1".into()),
        None => Ok(text.into()),
    }
}

/// The address of a repository, in a line.
fn url(text: &str) -> Result<String, String> {
    if text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("expected an address without spaces, as in https://git.example.com/infra.git".into());
    }
    Ok(text.into())
}

/// `DATABASE=REGION`
fn writer(text: &str) -> Result<(ComponentId, RegionId), String> {
    match text.split_once('=') {
        Some((database, region)) if !database.is_empty() && !region.is_empty() => Ok((database.into(), region.into())),
        Some(_) | None => Err("expected DATABASE=REGION, such as `orders=frankfurt`".into()),
    }
}

/// `drill`
#[derive(Debug, Args)]
pub struct Drill {
    /// The app's file, with all regions on this machine
    #[arg(default_value = "lifeboat.yaml")]
    pub file: PathBuf,
    /// What goes wrong in the writer's region: region-loss, database-loss, node-loss, app-loss, pause,
    /// partition
    #[arg(long, default_value = "region-loss")]
    pub fault: Fault,
    /// Where the nodes keep what they share: file (one SQLite file), or etcd (a member in each region, its leader in the lost one);
    /// a partition always has etcd
    #[arg(long, value_enum, default_value_t = DrillStore::File)]
    pub store: DrillStore,
    /// How many times; the report then has medians
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeat: u32,
    /// Where report.json and report.html go [default: no files]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Keep the run directory: data, logs, journal
    #[arg(long)]
    pub keep: bool,
    /// Print report.json at the end instead of the summary
    #[arg(long)]
    pub json: bool,
    /// The program behind $SHOP in the file [default: `shop` beside this program]
    #[arg(long, env = "SHOP", value_name = "PROGRAM")]
    pub shop: Option<PathBuf>,
}

/// `drill --store`
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum DrillStore {
    /// One SQLite file
    File,
    /// A member of etcd in each region
    Etcd,
}

/// `events`
#[derive(Debug, Args)]
pub struct Events {
    /// Which file, and how to answer
    #[command(flatten)]
    pub which: Which,
    /// Only entries after this revision
    #[arg(long, default_value_t = 0, value_name = "REVISION")]
    pub after: u64,
    /// Go on as new entries come
    #[arg(long)]
    pub follow: bool,
    /// Walk each region's chain of hashes instead, and say whether an entry was changed, removed or moved
    #[arg(long, conflicts_with_all = ["follow", "after"])]
    pub verify: bool,
    /// What `--verify --json` said before, kept where nobody who may write the store can: what was noted then has to be there still
    #[arg(long, requires = "verify", value_name = "FILE")]
    pub against: Option<PathBuf>,
}

/// `plan`
#[derive(Debug, Args)]
pub struct Plan {
    /// What the plan is for
    #[arg(value_enum)]
    pub intent: PlanIntent,
    /// Which file, and how to answer
    #[command(flatten)]
    pub which: Which,
    /// The region to write in (reprotect: to make a standby) [failback: the file's writer]
    #[arg(long)]
    pub to: Option<RegionId>,
    /// Which database [default: the only one]
    #[arg(long)]
    pub database: Option<ComponentId>,
}

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlanIntent {
    /// Unplanned; the source may be gone
    Failover,
    /// Planned, nothing lost
    Switchover,
    /// A switchover to the region that the file names as writer
    Failback,
    /// Give the writer a standby again
    Reprotect,
}

/// `failover`, `switchover`
#[derive(Debug, Args)]
pub struct Request {
    /// Which file, and how to answer
    #[command(flatten)]
    pub which: Which,
    /// The region to write in [default: the best of the ready ones]
    #[arg(long)]
    pub to: Option<RegionId>,
    /// Which database [default: the only one]
    #[arg(long)]
    pub database: Option<ComponentId>,
    /// Failover: accept that acknowledged writes are lost; the status says how many seconds of them
    #[arg(long)]
    pub accept_loss: bool,
    /// Failover: I know that the old writer and every standby that confirms its commits are stopped
    #[arg(long)]
    pub vouch: bool,
}
