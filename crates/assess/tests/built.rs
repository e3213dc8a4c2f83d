//! What is assessed is what is built: of each example the choices are written into its file, code is generated from that, and the
//! machines in it are counted.

#![allow(clippy::unwrap_used, reason = "helpers may unwrap as the tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lifeboat_assess::{Assessment, Inputs, assess, write};
use lifeboat_atlas::Atlas;
use lifeboat_iac::{Options, Tree, generate};
use lifeboat_model::app::{Kind, Provider};
use lifeboat_model::compute::has_standby_size;
use lifeboat_model::{App, ComponentId, RegionId};
use serde_json::Value;

/// Instances by component and region, as long as clients are served at home.
type Machines = BTreeMap<(ComponentId, RegionId), u64>;

fn examples() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut found = Vec::new();
    for folder in ["aws", "azure", "kubernetes"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            found.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(found.len() > 10);
    found
}

fn read(text: &str) -> App {
    lifeboat_model::parse(text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"))
}

fn assessed(app: &App) -> Assessment {
    assess(app, &Inputs::new(Atlas::embedded()))
}

/// Assesses, writes, and assesses again: then the file says everything that is proposed.
fn written(name: &str, text: &str) -> (App, Assessment) {
    let before = assessed(&read(text));
    let text = write::write(text, &before, true).unwrap_or_else(|error| panic!("{name}: {error}"));
    let app = read(&text);
    let after = assessed(&app);
    for (one, other) in before.components.iter().zip(&after.components) {
        let of = |report: &lifeboat_assess::report::ComponentReport| {
            (
                report.home.clone(),
                report.targets.clone(),
                report.also.clone(),
                report.standby_instances,
                report.added_usd,
            )
        };
        assert_eq!(of(one), of(other), "{name}: {}", one.component);
        assert!(other.as_declared, "{name}: {} is written as it is proposed:\n{text}", one.component);
    }
    (app, after)
}

fn reported(app: &App, answer: &Assessment) -> Machines {
    let mut machines = Machines::new();
    for report in &answer.components {
        let id = ComponentId::from(report.component.as_str());
        if !has_standby_size(app.components[&id].kind) {
            continue;
        }
        machines.insert((id.clone(), report.home.as_str().into()), u64::from(report.home_instances));
        for region in report.elsewhere() {
            machines.insert((id.clone(), region.into()), u64::from(report.standby_instances));
        }
    }
    machines
}

/// Of what Terraform makes: the sizes of each region, of which the role says which one holds.
fn of_terraform(app: &App, tree: &Tree, cloud: &str) -> Machines {
    let json = |name: &str| -> Value {
        let text = tree.files.get(&format!("terraform/{cloud}/{name}"));
        text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
    };
    let (regions, roles) = (json("regions.auto.tfvars.json"), json("roles.auto.tfvars.json"));
    let mut machines = Machines::new();
    for (region, facts) in regions["regions"].as_object().into_iter().flatten() {
        for (id, size) in facts["sizes"].as_object().unwrap() {
            let component = &app.components[id.as_str()];
            if !has_standby_size(component.kind) {
                continue;
            }
            let home = if component.kind.is_database() { &roles["writers"][id] } else { &roles["serving"][id][0] };
            let size = if home == region.as_str() { &size["full"] } else { &size["standby"] };
            machines.insert((id.as_str().into(), region.as_str().into()), size.as_u64().unwrap());
        }
    }
    machines
}

/// Of deployments: the least that each overlay's autoscaler keeps, or nothing.
fn of_kubernetes(app: &App, tree: &Tree) -> Machines {
    let mut machines = Machines::new();
    for (path, text) in tree.files.iter().filter(|(path, _)| path.starts_with("kubernetes/roles/")) {
        let Some(region) =
            path.strip_prefix("kubernetes/roles/").and_then(|path| path.strip_suffix("/kustomization.yaml"))
        else {
            continue;
        };
        for (id, _) in app.components.iter().filter(|(_, component)| component.kind == Kind::Deployment) {
            let of = |head: String, value: &str| -> Option<u64> {
                let rest = text.split_once(&head)?.1;
                rest.lines().nth(2)?.split_once(value)?.1.trim_end_matches('}').trim().parse().ok()
            };
            let scaled = of(format!("{{kind: HorizontalPodAutoscaler, name: {id}}}"), "value: ");
            let alone = of(format!("{{kind: Deployment, name: {id}}}"), "value: ");
            if let Some(size) = scaled.or(alone) {
                machines.insert((id.clone(), region.into()), size);
            }
        }
    }
    machines
}

#[test]
fn generated_code_has_the_machines_that_the_report_bills() {
    let mut counted = 0;
    for (name, text) in examples() {
        let (app, answer) = written(&name, &text);
        let tree = generate(&app, &Options::default()).unwrap_or_else(|problems| panic!("{name}: {problems:#?}"));
        let mut built = of_kubernetes(&app, &tree);
        for cloud in ["aws", "azure"] {
            built.extend(of_terraform(&app, &tree, cloud));
        }
        assert_eq!(reported(&app, &answer), built, "{name}");
        counted += built.len();
    }
    assert!(counted > 40, "{counted} components and regions are too few for all examples");
}

/// Databases: a file that fixes nothing yet names, once written, exactly the regions in which they are billed.
#[test]
fn written_files_name_the_regions_that_are_billed() {
    for (name, text) in examples() {
        let (app, answer) = written(&name, &text);
        for report in &answer.components {
            let component = &app.components[report.component.as_str()];
            if component.kind == Kind::Deployment
                && app.regions.values().any(|at| at.place.provider == Provider::Kubernetes)
            {
                continue;
            }
            let named: BTreeSet<&str> = if component.kind.is_database() {
                component.writer.iter().chain(component.standbys.keys()).map(RegionId::as_str).collect()
            } else {
                component.regions.iter().map(RegionId::as_str).collect()
            };
            let billed: BTreeSet<&str> = std::iter::once(report.home.as_str()).chain(report.elsewhere()).collect();
            assert_eq!(named, billed, "{name}: {}", report.component);
        }
    }
}

const ORDERS: &str = "\
app: shop
objectives: {rto: 2h, rpo: RPO}
regions:
  a: {place: aws/eu-west-1}
  b: {place: aws/eu-central-1}
  c: {place: aws/eu-west-2}
components:
  orders: {kind: postgres, writer: a, size: {instance: m6g.large, storage: 100GB, writes: 5GB/day}, MORE}
failover: {mode: approve}
store: {etcd: [\"https://10.0.1.10:2379\", \"https://10.1.1.10:2379\", \"https://10.2.1.10:2379\"]}
";

fn orders(rpo: &str, more: &str) -> (String, Assessment) {
    let text = ORDERS.replace("RPO", rpo).replace(", MORE", more);
    let answer = assessed(&read(&text));
    (text, answer)
}

/// A standby that confirms takes over before one that only follows, and both are paid for.
#[test]
fn every_standby_of_the_file_is_in_the_bill_and_the_one_that_confirms_takes_over() {
    let (_, both) = orders("0s", ", standbys: {b: synchronous, c: asynchronous}");
    let (_, one) = orders("0s", ", standbys: {b: synchronous}");
    let (report, alone) = (&both.components[0], &one.components[0]);
    assert_eq!((report.targets.as_slice(), report.also.as_slice()), (&["b".to_owned()][..], &["c".to_owned()][..]));
    assert_eq!((report.rpo.p99, report.also.len(), alone.also.len()), (0.0, 1, 0));
    let items = |report: &lifeboat_assess::report::ComponentReport, region: &str| {
        report.items.iter().filter(|item| item.region == region).count()
    };
    assert!(items(report, "c") >= 2 && items(alone, "c") == 0, "{:#?}", report.items);
    assert!(report.added_usd > alone.added_usd * 1.5, "{} {}", report.added_usd, alone.added_usd);
}

/// Compute that the file has in three regions is paid for in three, and that it has in none by name, in two.
#[test]
fn compute_is_billed_where_the_file_has_it() {
    let web = |more: &str| {
        let (text, _) = orders("30s", "");
        let text = text.replace(
            "failover:",
            &format!("  web: {{kind: asg, needs: [orders], size: {{instance: m6g.large, count: 4, image: x}}{more}}}\nfailover:"),
        );
        let answer = assessed(&read(&text));
        answer.components.into_iter().find(|component| component.component == "web").unwrap()
    };
    let (free, everywhere, two) =
        (web(""), web(", pattern: active-active"), web(", pattern: active-active, regions: [a, b]"));
    assert_eq!((free.also.len(), everywhere.also.len(), two.also.len()), (0, 1, 0));
    assert!(everywhere.added_usd > two.added_usd * 1.8, "{} {}", everywhere.added_usd, two.added_usd);
}

/// Where nothing may be lost and the writer may not go on alone, one standby would be a second region whose loss stops it.
#[test]
fn three_regions_are_taken_where_two_would_stand_still() {
    let (_, goes_on) = orders("0s", "");
    assert_eq!(goes_on.components[0].targets.len(), 1);
    let (text, stops) = orders("0s", ", without-standby: stop");
    let report = &stops.components[0];
    assert_eq!((report.targets.len(), report.rpo.p99), (2, 0.0), "{:#?}", report.reasons);
    assert!(
        report.reasons.iter().any(|reason| reason.contains("the loss of the standby's region")),
        "{:#?}",
        report.reasons
    );
    let written = read(&write::write(&text, &stops, true).unwrap());
    assert_eq!((written.components["orders"].standbys.len(), written.components["orders"].confirmations), (2, 1));
    let again = assessed(&written);
    assert_eq!(again.cost.added_usd, stops.cost.added_usd);
    assert!(again.components[0].as_declared);
    let (_, fixed) = orders("0s", ", without-standby: stop, standbys: {b: synchronous}");
    assert!(!fixed.conflicts.is_empty(), "one standby is fixed, and its loss would stop the writer");
}

/// AWS has strongly consistent tables in three regions of one set.
#[test]
fn strong_tables_stay_in_their_set() {
    let table = |places: [&str; 3]| {
        let [a, b, c] = places;
        let text = format!(
            "app: t\nobjectives: {{rpo: 0s}}\nfailover: {{mode: approve}}\nregions:\n  a: {{place: aws/{a}}}\n  b: {{place: aws/{b}}}\n  c: {{place: aws/{c}}}\n\
             components:\n  t: {{kind: dynamodb, writer: a}}\nstore: {{etcd: [\"https://10.0.1.10:2379\"]}}\n"
        );
        assessed(&read(&text))
    };
    assert!(table(["eu-west-1", "eu-central-1", "eu-west-3"]).conflicts.is_empty());
    assert!(!table(["eu-north-1", "eu-central-1", "eu-west-1"]).conflicts.is_empty(), "Stockholm is in no set");
    assert!(!table(["us-west-2", "us-east-1", "eu-west-1"]).conflicts.is_empty(), "two sets");
}
