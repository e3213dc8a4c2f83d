//! `lifeboat certs`: certificates for the nodes, and what to do with them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use lifeboat_model::App;
use lifeboat_model::app::Tls;
use lifeboat_tls::make::{self, By};

use crate::command::Certs;
use crate::exit::Failure;
use crate::file;

/// `lifeboat certs`
pub fn certs(certs: &Certs) -> Result<ExitCode, Failure> {
    let app = file::read(&certs.file)?;
    let out = certs.out.clone().unwrap_or_else(|| file::base(&certs.file).join(directory(&app)));
    let there = (out.join("ca.pem"), out.join("ca.key"));
    let by = match (certs.renew, &certs.ca, &certs.ca_key) {
        (true, Some(ca), Some(key)) => By::Renewing(ca, key),
        (true, _, _) => By::Renewing(&there.0, &there.1),
        (false, Some(ca), Some(key)) => By::Existing(ca, key),
        (false, _, _) => By::New,
    };
    let names = lifeboat_iac::member_names(&app);
    let others = |id| names.get(id).cloned().into_iter();
    let regions = app.regions.iter().map(|(id, region)| {
        let address = region.address.map(|address| address.to_string());
        (id, address.into_iter().chain(others(id)))
    });
    let valid = Duration::from_secs(u64::from(certs.days) * 24 * 3600);
    let written =
        make::write(&out, app.name.as_str(), regions, by, valid).map_err(|error| Failure::Failed(error.to_string()))?;
    for path in &written {
        println!("wrote {}", path.display());
    }
    print!("\n{}", next(&app, certs, &out));
    Ok(ExitCode::SUCCESS)
}

/// The directory that the file names, as far as it names one that `certs` would fill.
fn directory(app: &App) -> PathBuf {
    match &app.nodes.tls {
        Tls::Files(files) => {
            let parent = Path::new(&files.ca).parent().unwrap_or(Path::new(""));
            let would_be = lifeboat_model::app::TlsFiles::of_directory(&parent.to_string_lossy());
            if would_be == *files { parent.to_owned() } else { "certs".into() }
        }
        Tls::LoopbackOnly | Tls::Off => "certs".into(),
    }
}

/// What is to be done now.
fn next(app: &App, certs: &Certs, out: &Path) -> String {
    let mut steps = Vec::new();
    if certs.renew {
        steps.push("Copy each region's REGION.pem and REGION.key to its machine: its node takes them within seconds, without a restart.".to_owned());
    } else {
        steps.push("Copy ca.pem and each region's own REGION.pem and REGION.key to its machine; ca.pem to whoever uses `lifeboat` elsewhere.".to_owned());
        if certs.ca.is_none() {
            steps.push(format!(
                "Keep {} where no node is: whoever has it can be any node. `lifeboat certs --renew` needs it.",
                out.join("ca.key").display()
            ));
        }
        if !matches!(app.nodes.tls, Tls::Files(_)) {
            steps.push(format!(
                "Put `nodes: {{tls: certs}}` into {} (the directory, from the file on), and restart the nodes, one after the other.",
                certs.file.display()
            ));
        }
    }
    steps.push(format!(
        "The certificates are valid for {} days. `lifeboat status` and the nodes' logs warn 30 days before they end.",
        certs.days
    ));
    steps.iter().enumerate().map(|(number, step)| format!("{}. {step}\n", number + 1)).collect()
}
