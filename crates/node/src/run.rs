//! Putting a node together, and taking it apart.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_control::Brain;
use lifeboat_dns::Server;
use lifeboat_tls::Connector;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use crate::api::{self, Api};
use crate::databases::Databases;
use crate::deployments::Deployments;
use crate::door::Door;
use crate::drift::Told;
use crate::guard::Guard;
use crate::history::History;
use crate::mind::{self, Mind, QUEUE};
use crate::options::{Options, WhenStopped};
use crate::peers::Peers;
use crate::probes::{self, Probes};
use crate::processes::Processes;
use crate::tokens::Tokens;
use crate::{Error, identity, leftovers, names, shared, store};

/// Runs the node of a region until it is told to stop (SIGTERM, SIGINT) or its parent has gone.
///
/// # Errors
/// Whatever keeps it from starting; once it runs, it goes on.
pub async fn run(options: Options) -> Result<(), Error> {
    let app = options.app.clone();
    let Some(region) = app.regions.get(&options.region) else {
        let known: Vec<&str> = app.regions.keys().map(lifeboat_model::RegionId::as_str).collect();
        return Err(Error::NoSuchRegion(options.region.clone(), known.join(", ")));
    };
    let address = region.address.ok_or_else(|| Error::NoAddress(options.region.clone()))?;
    let listen = options.listen.unwrap_or(address);
    // Whether anybody else can reach it: either way that counts.
    let reached = if listen.is_loopback() { address } else { listen };
    let _guard = Guard::take(&options.region_directory(), &options.region)?;
    let identity = identity::read(&options, reached)?;
    let trust = probes::read_trust(&options, identity.as_deref())?;

    // Everything that can fail comes first; nothing is started until all of it is there.
    let api_address = SocketAddr::new(listen, region.api_port);
    let listener = TcpListener::bind(api_address).await.map_err(|source| Error::Listen {
        address: api_address,
        what: "the node's API",
        source,
    })?;
    let known = app.regions.keys().filter(|other| **other != options.region).cloned().collect();
    let door = Door::open(listener, identity.clone(), known).map_err(|source| Error::Listen {
        address: api_address,
        what: "the node's API",
        source,
    })?;
    let empty = names::zones(&app, &BTreeMap::new(), 0).map_err(Error::Zones)?;
    let (zones, table) = watch::channel(empty);
    let dns_address = SocketAddr::new(listen, app.dns.port);
    let dns = Server::bind(dns_address, table).await.map_err(|source| Error::Listen {
        address: dns_address,
        what: "DNS",
        source,
    })?;
    let operator = shared::operator_token(&options.directory)?;
    let node = shared::node_token(&options.directory)?;
    let viewer = if reached.is_loopback() { None } else { Some(shared::viewer_token(&options.directory)?) };

    let (inputs, receiver) = mpsc::channel(QUEUE);
    let mut tasks = JoinSet::new();
    let store = store::open(&options, &mut tasks)?;
    let history = Arc::new(History::open(&options.region_directory()));
    let databases = Arc::new(Databases::open(&options, &history, &inputs, &mut tasks).await?);
    let processes = Processes::open(&options, &databases, &inputs, &mut tasks)?;
    let deployments = Deployments::open(&options, &inputs, &mut tasks)?;

    let brain = Brain::new(app.clone(), options.region.clone());
    let probes = Probes::start(&options, &trust, brain.targets(), &inputs);
    let connector = identity.as_deref().map_or_else(Connector::plain, Connector::of);
    if let Some(identity) = identity.clone() {
        tasks.spawn(identity::keep(identity));
    }
    let relist = Arc::new(Notify::new());
    tasks.spawn(mind::follow_store(store.clone(), inputs.clone(), relist.clone()));
    let (stop, stopped) = watch::channel(false);
    tasks.spawn(dns.run(until(stopped.clone())));
    let (answers, steering) = watch::channel(BTreeMap::new());
    let api = Api {
        app: app.clone(),
        region: options.region.clone(),
        inputs: inputs.clone(),
        store: store.clone(),
        answers: steering,
        history,
        drift: Told::open(&options.region_directory()),
        operator,
        tokens: Tokens::of(&options.directory)?,
        node: node.clone(),
        viewer,
        identity: identity.clone(),
    };
    tasks.spawn(api::serve(door, Arc::new(api), until(stopped.clone())));
    tracing::info!(region = %options.region, %api_address, %dns_address, "node started");

    let mind = Mind {
        app,
        brain,
        store,
        databases: databases.clone(),
        processes,
        deployments,
        probes,
        zones,
        answers,
        inputs,
        relist,
        serial: 0,
        peers: Peers::new(&options, node.clone(), connector),
        complaint: Arc::default(),
    };
    let parent = options.parent;
    let processes = mind.run(receiver, async move { told_to_stop(parent).await }).await;
    tracing::info!(region = %options.region, "node stopping");
    // Nobody listens any more when this fails.
    let _ = stop.send(true);
    if options.when_stopped == WhenStopped::Stop {
        let stopping = async {
            processes.stop_all().await;
            databases.stop_all().await;
        };
        // An order that waits for a writer that is gone would hold this up for a minute.
        if tokio::time::timeout(STOPPING, stopping).await.is_err() {
            let killed = leftovers::kill(&options.region_directory());
            tracing::warn!("what did not stop within {} s was killed: {killed} processes", STOPPING.as_secs());
        }
    }
    drop(databases);
    // Whoever has not ended by then is given up with the process.
    let _ = tokio::time::timeout(STOPPING, async { while tasks.join_next().await.is_some() {} }).await;
    tasks.abort_all();
    // Its drop would wait for them.
    tasks.detach_all();
    Ok(())
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it the node.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// How long an orderly end may take.
const STOPPING: Duration = Duration::from_secs(3);

/// How often a parent is looked for.
const PARENT_EVERY: Duration = Duration::from_millis(200);

async fn told_to_stop(parent: Option<u32>) {
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(error) => {
                tracing::error!("SIGTERM cannot be received: {error}");
                std::future::pending::<()>().await;
            }
        }
    };
    let orphaned = async {
        match parent.and_then(|pid| rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)) {
            Some(pid) => {
                while rustix::process::test_kill_process(pid).is_ok() {
                    tokio::time::sleep(PARENT_EVERY).await;
                }
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
        () = orphaned => {}
    }
}
