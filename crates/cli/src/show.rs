//! How answers look on a terminal: aligned, the one important line first.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lifeboat_control::audit::Audit;
use lifeboat_model::compute::{ComputeState, Replicas, Running};
use lifeboat_model::database::{Gate, Role};
use lifeboat_model::journal::JournalEntry;
use lifeboat_model::status::{DatabaseStatus, Drift, Health, Readiness, Status};
use lifeboat_model::{ComponentId, RegionId};
use lifeboat_plan::{Plan, StepKind};

/// `lifeboat status`
pub fn status(status: &Status) -> String {
    let mut text = format!(
        "{}  as {} sees it{}\n\n",
        status.app,
        status.region,
        if status.store_reachable { "" } else { "; THE STATE STORE CANNOT BE REACHED" }
    );
    let width = status.regions.keys().map(|region| region.as_str().len()).max().unwrap_or(0);
    for (region, seen) in &status.regions {
        let health = match seen.health {
            Health::Up => "up",
            Health::Suspected => "SUSPECTED",
            Health::Down => "DOWN",
            Health::Unknown => "unknown",
        };
        // A String's formatting cannot fail.
        let _ = writeln!(text, "  {region:width$}  {health:9}  {}", seen.reason);
    }
    for (database, request) in &status.requests {
        let approved = if request.approved.is_empty() {
            String::new()
        } else {
            format!(", approved by {}", request.approved.join(", "))
        };
        let waits = match request.missing {
            0 => String::new(),
            1 => format!("; one more person has to approve: lifeboat approve {database}"),
            missing => format!("; {missing} more people have to approve: lifeboat approve {database}"),
        };
        let _ = writeln!(text, "\n{} asks for a failover of {database} to {}{approved}{waits}", request.by, request.to);
    }
    text += &waiting(status);
    if let Some(drift) = &status.drift {
        let _ = writeln!(text, "\n{}", drift_line(drift));
    }
    for warning in &status.warnings {
        let _ = writeln!(text, "\nwarning: {warning}");
    }
    for (id, database) in &status.databases {
        let writer = database.writer.as_ref().map_or("nobody", |region| region.as_str());
        let open = if database.open { "" } else { ", NOT OPEN YET" };
        let _ = writeln!(text, "\n{id}  written in {writer} under epoch {}{open}", database.epoch);
        if database.servers.is_empty() {
            unseen(&mut text, database, width);
        }
        servers(&mut text, database, width);
    }
    for (id, regions) in &status.compute {
        compute(&mut text, id, regions, width);
    }
    for (host, answer) in &status.routes {
        let addresses: Vec<String> = answer.addresses.iter().map(ToString::to_string).collect();
        let _ =
            writeln!(text, "\n{host}  -> {}  ttl {} s  {}", addresses.join(", "), answer.ttl_seconds, answer.reason);
    }
    for run in &status.runs {
        let _ = writeln!(text, "\n{}  {} of {} to {}: {}", run.id, run.intent, run.database, run.to, run.state);
        if run.state == "running" || run.state == "waiting" {
            for (step, state) in &run.steps {
                let _ = writeln!(text, "  {state:8} {step}");
            }
        }
    }
    text
}

/// What waits for a person, with what to do.
pub fn waiting(status: &Status) -> String {
    let mut text = String::new();
    for waits in &status.waiting {
        let since = waits.since_unix_ms.map_or(String::new(), |since| format!("  since {}", moment(since)));
        let _ = writeln!(text, "\nWAITS FOR A PERSON  {} in {}{since}  {}", waits.component, waits.region, waits.why);
        for line in &waits.steps {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}

/// `2026-11-26 03:12 UTC`
fn moment(unix_ms: u64) -> String {
    jiff::Timestamp::from_millisecond(i64::try_from(unix_ms).unwrap_or(i64::MAX))
        .map_or_else(|_| "some time".into(), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

/// A database that no node drives: of its servers nothing is seen.
fn unseen(text: &mut String, database: &DatabaseStatus, width: usize) {
    for (region, ready) in &database.readiness {
        let _ =
            writeln!(text, "  {region:width$}  {}: {}", if ready.ready { "ready" } else { "NOT READY" }, ready.reason);
    }
}

/// What was last said of how the regions differ: how much, when and by whom.
fn drift_line(drift: &Drift) -> String {
    let when = moment(drift.unix_ms);
    let regions: std::collections::BTreeSet<&str> =
        drift.differences.iter().map(|difference| difference.region.as_str()).collect();
    match drift.differences.len() {
        0 => format!("regions are alike  (compared {when} by {})", drift.by),
        count => {
            let regions: Vec<&str> = regions.into_iter().collect();
            format!(
                "DRIFT  {count} {} in {}  (compared {when} by {})",
                if count == 1 { "difference" } else { "differences" },
                regions.join(", "),
                drift.by
            )
        }
    }
}

fn servers(text: &mut String, database: &DatabaseStatus, width: usize) {
    for (region, server) in &database.servers {
        let role = match &server.role {
            Role::Absent => "no data".to_owned(),
            Role::Stopped { .. } => "stopped".to_owned(),
            Role::Starting => "starting".to_owned(),
            Role::Primary => match &server.gate {
                Gate::Node => "primary, alone".to_owned(),
                Gate::Peers { needed, named } => {
                    let names: Vec<&str> = named.iter().map(|region| region.as_str()).collect();
                    format!("primary, {needed} of {} confirms", names.join(", "))
                }
            },
            Role::Standby if server.streaming => "standby, streams".to_owned(),
            Role::Standby => "standby, does not stream".to_owned(),
        };
        let ready = database
            .readiness
            .get(region)
            .map_or(String::new(), |r| format!("{}: {}", if r.ready { "ready" } else { "NOT READY" }, r.reason));
        let _ =
            writeln!(text, "  {region:width$}  {role}  at {} (timeline {})  {ready}", server.flushed, server.timeline);
        for difference in database.drift.get(region).into_iter().flatten() {
            let _ = writeln!(text, "  {:width$}  drift: {difference}", "");
        }
        if let Some(trouble) = &server.trouble {
            let _ = writeln!(text, "  {:width$}  trouble: {trouble}", "");
        }
    }
}

/// Compute that has more to tell than that it runs.
fn compute(text: &mut String, id: &ComponentId, regions: &BTreeMap<RegionId, ComputeState>, width: usize) {
    let has_more = |state: &ComputeState| state.replicas.is_some() || state.trouble.is_some();
    if !regions.values().any(has_more) {
        return;
    }
    let _ = writeln!(text, "\n{id}");
    for (region, state) in regions {
        let how = match (state.running, &state.replicas) {
            (Running::Unknown, _) => "UNKNOWN".to_owned(),
            (Running::Yes, None) => "runs".to_owned(),
            (Running::No, None) => "does not run".to_owned(),
            (Running::Yes | Running::No, Some(replicas)) => of_replicas(replicas),
        };
        let _ = writeln!(text, "  {region:width$}  {how}");
        if let Some(gitops) = &state.gitops {
            let _ = writeln!(text, "  {:width$}  {gitops}", "");
        }
        if let Some(trouble) = &state.trouble {
            let _ = writeln!(text, "  {:width$}  trouble: {trouble}", "");
        }
    }
}

/// `2 of 6 ready, 6 wanted, a new version is being rolled out; room for 23 on 3 machines`
fn of_replicas(replicas: &Replicas) -> String {
    let mut text = format!("{} of {} ready", replicas.ready, replicas.told);
    if let Some(wanted) = replicas.wanted.filter(|wanted| *wanted > replicas.told) {
        let _ = write!(text, ", {wanted} WANTED");
    }
    if replicas.rolling_out {
        text.push_str(", a new version is being rolled out");
    }
    match (replicas.room, replicas.nodes) {
        (Some(room), Some(nodes)) => {
            let _ = write!(text, "; room for {room} on {nodes} machines");
        }
        (None, Some(nodes)) => {
            let _ = write!(text, "; {nodes} machines");
        }
        (_, None) => {}
    }
    text
}

/// One line of `lifeboat events`.
pub fn entry(entry: &JournalEntry) -> String {
    let seconds = entry.unix_ms / 1_000;
    let (hours, minutes, rest) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let epoch = entry.epoch.map_or(String::new(), |epoch| format!(" [epoch {epoch}]"));
    format!(
        "{hours:02}:{minutes:02}:{rest:02}.{:03}Z  {:10}  {}{epoch}  ({})",
        entry.unix_ms % 1_000,
        entry.region,
        entry.what,
        entry.why
    )
}

/// `lifeboat events --verify`
pub fn audit(audit: &Audit, kept: u64) -> String {
    let mut text = String::new();
    let width = audit.regions.keys().map(|region| region.as_str().len()).max().unwrap_or(0);
    for (region, walk) in &audit.regions {
        let verdict = if walk.findings.is_empty() { "intact" } else { "BROKEN" };
        let range = match (walk.first, walk.head) {
            (Some(first), Some(head)) => format!("entries {first} to {}", head.number),
            (Some(first), None) => format!("entries from {first} on"),
            (None, _) => "no entries".to_owned(),
        };
        let hash = walk.head.and_then(|head| head.hash).map_or(String::new(), |hash| format!("  head {hash}"));
        // A String's formatting cannot fail.
        let _ = writeln!(text, "{region:width$}  {verdict}  {range}{hash}");
        for finding in &walk.findings {
            let _ = writeln!(text, "{:width$}  {finding}", "");
        }
        if walk.unchained > 0 {
            let count = walk.unchained;
            let _ =
                writeln!(text, "{:width$}  unchained: the oldest {count} were written before there was a chain", "");
        }
        if let Some(first) = walk.first.filter(|first| audit.trimmed && *first > 1) {
            let _ = writeln!(
                text,
                "{:width$}  anchor: entry {first}; the journal keeps the newest {kept} entries of all regions, the {} before it are gone",
                "",
                first - 1
            );
        }
    }
    for key in &audit.strays {
        let _ = writeln!(text, "no entry has the key {key}: somebody put it there");
    }
    text.push_str(if audit.is_intact() {
        "\nIntact: every entry is as it was when the next one was written. Keep what --json says elsewhere, and a later\n\
         `--verify --against FILE` shows a journal that was written anew as well.\n"
    } else {
        "\nThe journal is not as the nodes wrote it. Keep a copy of the store before anything else is done.\n"
    });
    text
}

/// `lifeboat plan`
pub fn plan(plan: &Plan, readiness: Option<&Readiness>) -> String {
    let path = plan.critical_path(true);
    let from = plan.from.as_ref().map_or("nobody", |region| region.as_str());
    let by_hand = if plan.steps.iter().any(|step| !step.manual.is_empty() && path.steps.contains(&step.id)) {
        ", and as long as people take for the manual steps"
    } else {
        ""
    };
    let mut text = format!(
        "{} of {} from {from} to {}: clients wait about {} ms{by_hand}\n",
        plan.intent,
        plan.database,
        plan.to,
        path.expected.as_millis()
    );
    if let Some(readiness) = readiness {
        let _ = writeln!(
            text,
            "{} is {}: {}",
            plan.to,
            if readiness.ready { "ready" } else { "NOT READY" },
            readiness.reason
        );
    }
    text.push('\n');
    let width = plan.steps.iter().map(|step| step.kind.to_string().len()).max().unwrap_or(0);
    let actor = plan.steps.iter().map(|step| step.actor.as_str().len()).max().unwrap_or(0);
    for step in &plan.steps {
        let critical = if path.steps.contains(&step.id) { "*" } else { " " };
        let needs: Vec<String> = step.needs.iter().map(|need| (need.0 + 1).to_string()).collect();
        let after = if needs.is_empty() { String::new() } else { format!("  after {}", needs.join(", ")) };
        let _ = writeln!(
            text,
            "{critical} {:>2}  {:width$}  {:actor$}  {}{after}  done when {}",
            step.id.0 + 1,
            step.kind.to_string(),
            step.actor,
            if step.manual.is_empty() { format!("{:>5} ms", step.expected.as_millis()) } else { "  manual".to_owned() },
            match step.kind {
                StepKind::Promote(ref database) if !step.manual.is_empty() => {
                    format!("a person says so: `{}`", lifeboat_model::manual::done(database, &step.actor))
                }
                _ => step.kind.done_when().to_owned(),
            }
        );
        for line in &step.manual {
            let _ = writeln!(text, "          {line}");
        }
    }
    text.push_str("\n* the critical path: what clients wait for\n");
    text
}
