//! Temporary loader of example files until model::parse is here.
use lifeboat_model::app::*;
use lifeboat_model::quantity::{parse_bytes, parse_duration};
use lifeboat_model::{App, AppName, ComponentId, HostName, RegionId};
use serde_json::Value as Json;
use std::time::Duration;

fn text(v: &Json) -> Option<String> {
    v.as_str().map(Into::into)
}
fn dur(v: &Json) -> Option<Duration> {
    v.as_str().map(|s| parse_duration(s).unwrap())
}
fn objectives(v: &Json) -> Objectives {
    Objectives { rto: dur(&v["rto"]), rpo: dur(&v["rpo"]), ..Objectives::default() }
}
pub fn parse(yaml: &str) -> App {
    let v: Json = serde_saphyr::from_str(yaml).unwrap();
    let app_objectives = objectives(&v["objectives"]);
    App {
        name: AppName::from(v["app"].as_str().unwrap()),
        objectives: app_objectives.clone(),
        regions: v["regions"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(id, r)| {
                let (provider, name) = r["place"].as_str().unwrap().split_once('/').unwrap();
                let region = Region {
                    place: Place {
                        provider: *Provider::ALL.iter().find(|p| p.as_str() == provider).unwrap(),
                        name: name.into(),
                    },
                    role: if r["role"] == "witness" { RegionRole::Witness } else { RegionRole::Data },
                    address: r["address"].as_str().map(|a| a.parse().unwrap()),
                    data: format!("lifeboat-data/{id}").into(),
                    api_port: 7400,
                    preference: r["preference"].as_i64().unwrap_or(0) as i32,
                };
                (RegionId::from(id.as_str()), region)
            })
            .collect(),
        components: v["components"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(id, c)| {
                let set = |k: &str| c[k].as_array().into_iter().flatten().filter_map(text).collect::<Vec<_>>();
                let component = Component {
                    kind: *Kind::ALL.iter().find(|k| Some(k.as_str()) == c["kind"].as_str()).unwrap(),
                    pattern: c["pattern"].as_str().map(|p| match p {
                        "backup-restore" => Pattern::BackupRestore,
                        "pilot-light" => Pattern::PilotLight,
                        "warm-standby" => Pattern::WarmStandby,
                        "active-active" => Pattern::ActiveActive,
                        _ => panic!(),
                    }),
                    objectives: app_objectives.clone(),
                    writer: text(&c["writer"]).map(RegionId::from),
                    standbys: c["standbys"]
                        .as_object()
                        .into_iter()
                        .flatten()
                        .map(|(k, v)| {
                            (RegionId::from(k.as_str()), if v == "synchronous" { Replication::Synchronous } else { Replication::Asynchronous })
                        })
                        .collect(),
                    confirmations: 0,
                    without_standby: WithoutStandby::Continue,
                    reads: Reads::Stale,
                    needs: set("needs").into_iter().map(ComponentId::from).collect(),
                    regions: set("regions").into_iter().map(RegionId::from).collect(),
                    run: text(&c["run"]),
                    check: c["check"]["http"].as_str().map(|p| Check {
                        target: CheckTarget::Http(p.into()),
                        every: Duration::from_millis(250),
                        timeout: Duration::from_millis(500),
                    }),
                    port: c["port"].as_u64().map(|p| p as u16),
                    size: Size {
                        instance: text(&c["size"]["instance"]),
                        count: c["size"]["count"].as_u64().map(|n| n as u32),
                        storage: c["size"]["storage"].as_str().map(|s| parse_bytes(s).unwrap()),
                        image: text(&c["size"]["image"]),
                        ..Size::default()
                    },
                };
                (ComponentId::from(id.as_str()), component)
            })
            .collect(),
        routes: v["routes"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(h, r)| {
                let route = Route {
                    to: ComponentId::from(r["to"].as_str().unwrap()),
                    policy: if r["policy"] == "spread" { RoutePolicy::Spread } else { RoutePolicy::Failover },
                    ttl: dur(&r["ttl"]).unwrap_or(Duration::from_secs(1)),
                };
                (HostName::from(h.as_str()), route)
            })
            .collect(),
        failover: FailoverPolicy { mode: FailoverMode::Automatic, hold_down: Duration::from_secs(60), max_loss: None },
        detection: Detection {
            every: Duration::from_millis(200),
            timeout: Duration::from_millis(400),
            refused: 3,
            silent: 3,
            recovered: 3,
            lease: Duration::from_secs(3),
        },
        store: match &v["store"]["etcd"] {
            Json::Array(items) => StoreChoice::Etcd(items.iter().filter_map(text).collect()),
            _ => StoreChoice::File("lifeboat.db".into()),
        },
        dns: Dns { port: 5353 },
    }
}
