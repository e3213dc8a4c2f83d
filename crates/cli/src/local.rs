//! Commands that need no running node: checking a file, being one, rehearsing.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::CommandFactory as _;
use lifeboat_drill::{Fault, Progress, StoreKind, Terminal};
use lifeboat_lab::machine::{self, Kind};
use lifeboat_model::App;
use lifeboat_node::WhenStopped;
use lifeboat_tls::Setting;

use crate::command::{Arguments, Drill, DrillStore, Node, Servers, Validate};
use crate::exit::Failure;
use crate::{evidence, file};

/// `lifeboat validate`
pub fn validate(validate: &Validate) -> Result<ExitCode, Failure> {
    let bytes = file::declaration(&validate.file)?;
    let text = String::from_utf8_lossy(&bytes);
    let known = |app: App| match file::unknown_places(&app, &text) {
        unknown if unknown.is_empty() => Ok(app),
        unknown => Err(unknown),
    };
    match lifeboat_model::parse_bytes(&bytes).and_then(known) {
        Ok(app) => {
            if validate.json {
                println!("[]");
            } else {
                println!(
                    "{}: {} is well formed: {} regions, {} components, {} routes",
                    validate.file.display(),
                    app.name,
                    app.regions.len(),
                    app.components.len(),
                    app.routes.len()
                );
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) if validate.json => {
            println!(
                "{}",
                serde_json::to_string_pretty(&problems).map_err(|error| Failure::Failed(error.to_string()))?
            );
            Ok(ExitCode::from(2))
        }
        Err(problems) => Err(Failure::Wrong(file::render(&validate.file, &text, &problems))),
    }
}

/// `lifeboat schema`
pub fn schema() -> Result<ExitCode, Failure> {
    let text =
        serde_json::to_string_pretty(&lifeboat_model::schema()).map_err(|error| Failure::Failed(error.to_string()))?;
    println!("{text}");
    Ok(ExitCode::SUCCESS)
}

/// `lifeboat completions`
pub fn completions(shell: clap_complete::Shell) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "lifeboat", &mut script);
    print!("{}", String::from_utf8_lossy(&script));
    Ok(ExitCode::SUCCESS)
}

/// Where the nodes of a file keep what they share.
pub fn directory(file: &Path, given: Option<&PathBuf>) -> PathBuf {
    match (given, file.parent()) {
        (Some(given), _) => given.clone(),
        (None, Some(parent)) if !parent.as_os_str().is_empty() => parent.join("lifeboat-data"),
        (None, _) => PathBuf::from("lifeboat-data"),
    }
}

/// `lifeboat node`
pub async fn node(node: Node) -> Result<ExitCode, Failure> {
    let app = file::read(&node.file)?;
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    let directory = directory(&node.file, node.directory.as_ref());
    let directory = std::path::absolute(&directory)
        .map_err(|error| Failure::Wrong(format!("lifeboat: {}: {error}", directory.display())))?;
    let stop = node.servers == Servers::Stop || node.parent.is_some();
    let tls = Setting::of(&app.nodes.tls, &node.region, file::base(&node.file), node.certs.as_deref());
    let options = lifeboat_node::Options {
        app: Arc::new(app),
        tls,
        region: node.region,
        listen: node.listen,
        directory,
        when_stopped: if stop { WhenStopped::Stop } else { WhenStopped::Keep },
        parent: node.parent,
    };
    lifeboat_node::run(options).await.map_err(|error| Failure::Failed(error.to_string()))?;
    Ok(ExitCode::SUCCESS)
}

/// `lifeboat drill`
pub async fn drill(drill: Drill) -> Result<ExitCode, Failure> {
    let app = file::read(&drill.file)?;
    let mut store = drill.store;
    if drill.fault == Fault::Partition {
        // The SQLite file is memory that regions share, and no partition parts it.
        if !machine::is_inside() && matches!(store, DrillStore::File) {
            eprintln!("lifeboat: a partition needs a state store that can be parted: --store etcd is taken");
        }
        store = DrillStore::Etcd;
        enter_network()?;
    }
    let lifeboat = std::env::current_exe()
        .map_err(|error| Failure::Failed(format!("where this program lies is unknown: {error}")))?;
    let colours = std::env::var_os("NO_COLOR").is_none();
    let shop = drill.shop.unwrap_or_else(|| lifeboat.with_file_name("shop"));
    let prediction = (drill.fault == Fault::RegionLoss).then(|| evidence::prediction(&app)).flatten();
    let options = lifeboat_drill::Options {
        prediction,
        file: drill.file,
        app,
        fault: drill.fault,
        repeat: drill.repeat,
        out: drill.out,
        keep: drill.keep,
        lifeboat,
        shop,
        store: match store {
            DrillStore::File => StoreKind::File,
            DrillStore::Etcd => StoreKind::Etcd,
        },
    };
    let mut told: Box<dyn Progress> = if drill.json {
        Box::new(Terminal::new(std::io::stderr(), false, None))
    } else {
        Box::new(Terminal::stdout(colours))
    };
    let report = lifeboat_drill::run(options, &mut *told).await.map_err(|error| Failure::Failed(error.to_string()))?;
    if drill.json {
        println!("{}", serde_json::to_string_pretty(&report).map_err(|error| Failure::Failed(error.to_string()))?);
    }
    Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Has a drill go on in a network of its own, where its regions have theirs.
fn enter_network() -> Result<(), Failure> {
    if !machine::is_inside()
        && let Some(missing) = machine::missing(Kind::Network)
    {
        return Err(Failure::Failed(format!("--fault partition: {missing}")));
    }
    machine::enter(Kind::Network).map_err(|error| Failure::Failed(format!("--fault partition: {error}")))
}
