//! Whole stories as text: a fleet, what is done to it, and below it everything that the journal says. `UPDATE=1` rewrites
//! what happened; the diff is then read like an incident report.
//!
//! A story is a file in `testdata/`. Its commands, one a line: `fleet NAME` (of `scenario::all`), `wait SECONDS`, and the faults `kill REGION`,
//! `kill-node REGION`, `kill-server REGION`, `start REGION`, `freeze REGION`, `thaw REGION`, `cut REGION REGION`, `isolate REGION`, `heal`,
//! `store-down`, `store-up`, `switchover REGION`, `failover REGION`, `failover REGION NAME` and `approve REGION NAME` by the owner of a
//! token. Right after the fleet, `approvals N` lets so many people decide. After `----` comes what happened.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_control::record::Request;
use lifeboat_model::app::FailoverMode;
use lifeboat_model::{ComponentId, RegionId};
use lifeboat_plan::Intent;
use lifeboat_sim::scenario;
use lifeboat_sim::world::{Fault, World};

#[test]
fn stories_end_as_they_are_told() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut told = 0;
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let (commands, expected) = text.split_once("----\n").unwrap_or((&text, ""));
        let happened = tell(commands).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, format!("{commands}----\n{happened}")).unwrap();
        } else {
            assert_eq!(happened, expected, "{} (UPDATE=1 rewrites it)", path.display());
        }
        told += 1;
    }
    assert!(told >= 5, "the stories are gone from {}", directory.display());
}

/// Carries out a story and returns what the journal and the store say of it.
fn tell(commands: &str) -> Result<String, String> {
    let mut lines = commands.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let fleet = lines.next().and_then(|line| line.strip_prefix("fleet ")).ok_or("the first command is `fleet NAME`")?;
    let scenario =
        scenario::all().into_iter().find(|known| known.name == fleet).ok_or_else(|| format!("no fleet `{fleet}`"))?;
    let mut app = scenario.app();
    let mut lines = lines.peekable();
    if let Some(approvals) = lines.peek().and_then(|line| line.strip_prefix("approvals ")) {
        app.failover.approvals = approvals.parse().map_err(|_| "`approvals` is a number")?;
        app.failover.mode = FailoverMode::Approve;
        lines.next();
    }
    let app = Arc::new(app);
    let database = ComponentId::from("d0");
    let mut world = World::new(app, 7, None);
    world.keep_busy();
    world.trace = Some(Vec::new());
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let region = |at: usize| {
            words.get(at).map(|name| RegionId::from(*name)).ok_or_else(|| format!("`{line}` names no region"))
        };
        let ask = |intent, to| Request {
            intent,
            to: Some(to),
            accept_loss: false,
            vouch: false,
            by: "a person".into(),
            token: None,
            approved: BTreeSet::new(),
        };
        let fault = match words[0] {
            "wait" => {
                let seconds: u64 =
                    words.get(1).and_then(|n| n.parse().ok()).ok_or_else(|| format!("`{line}` has no seconds"))?;
                let until = world.now() + Duration::from_secs(seconds);
                world.run(until).map_err(|broken| broken.to_string())?;
                continue;
            }
            "kill" => Fault::KillRegion(region(1)?),
            "kill-node" => Fault::KillNode(region(1)?),
            "kill-server" => Fault::KillServer(region(1)?, database.clone()),
            "start" => Fault::StartNode(region(1)?),
            "freeze" => Fault::Freeze(region(1)?),
            "thaw" => Fault::Thaw(region(1)?),
            "cut" => Fault::Cut(region(1)?, region(2)?),
            "isolate" => Fault::Isolate(region(1)?),
            "heal" => Fault::Heal,
            "store-down" => Fault::StoreDown,
            "store-up" => Fault::StoreUp,
            "switchover" => Fault::Person(region(1)?, database.clone(), ask(Intent::Switchover, region(1)?)),
            "failover" if words.len() > 2 => {
                let token = Some(words[2].to_owned());
                let request = Request { by: words[2].into(), token, ..ask(Intent::Failover, region(1)?) };
                Fault::Person(region(1)?, database.clone(), request)
            }
            "approve" => {
                Fault::Approve(region(1)?, database.clone(), words.get(2).ok_or("approve REGION NAME")?.to_string())
            }
            "failover" => Fault::Person(region(1)?, database.clone(), ask(Intent::Failover, region(1)?)),
            other => return Err(format!("`{other}` is no command")),
        };
        world.schedule(world.now(), fault);
    }
    world.check_end(&database).map_err(|broken| broken.to_string())?;
    let trace = world.trace.take().unwrap_or_default();
    let told = trace
        .iter()
        .filter(|line| !["Suspicion", "ordered", " under ", "store: "].iter().any(|dull| line.contains(dull)));
    Ok(told.map(|line| format!("{line}\n")).collect())
}
