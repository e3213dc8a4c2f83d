//! Cases with known answers, through the parser, as a user has them; and what is written, drawn and handed to machines.

#![allow(clippy::unwrap_used, reason = "helpers may unwrap as the tests do")]

use std::path::{Path, PathBuf};

use lifeboat_assess::report::Standing;
use lifeboat_assess::{
    Assessment, Candidates, Difference, History, Inputs, StepKind, WhatIf, assess, assess_fully, html, regions, text,
    what_if, write,
};
use lifeboat_atlas::{Atlas, PriceBook};
use lifeboat_model::App;
use lifeboat_model::app::{Kind, Place, Provider};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// A file of `testdata`, or an example such as `examples/aws/shop.yaml`.
fn file(name: &str) -> String {
    let path = if name.starts_with("examples/") { folder().join("../../..").join(name) } else { folder().join(name) };
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read(text: &str) -> App {
    lifeboat_model::parse(text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn answer(name: &str) -> Assessment {
    assess(&read(&file(name)), &Inputs::new(Atlas::embedded()))
}

fn component<'a>(answer: &'a Assessment, name: &str) -> &'a lifeboat_assess::report::ComponentReport {
    answer.components.iter().find(|component| component.component == name).unwrap()
}

fn standing(answer: &Assessment, of: &str, objective: &str) -> Standing {
    answer.objectives.iter().find(|one| one.of == of && one.objective == objective).unwrap().standing
}

/// Compares with a file of `testdata`; `UPDATE=1` writes it instead.
fn compare(name: &str, found: &str) {
    let path = folder().join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(known == found, "{} is not what is found now; look at it with UPDATE=1 and `git diff`", path.display());
}

#[test]
fn the_terminal_reports_are_as_they_were_reviewed() {
    for (name, path) in [
        ("example-aws-shop", "examples/aws/shop.yaml"),
        ("example-azure-shop", "examples/azure/shop.yaml"),
        ("aws-shop", "aws-shop.yaml"),
        ("azure-shop", "azure-shop.yaml"),
        ("both-clouds", "both-clouds.yaml"),
        ("contradictory", "contradictory.yaml"),
        ("impossible", "impossible.yaml"),
    ] {
        let app = read(&file(path));
        compare(&format!("{name}.txt"), &text::render(&assess_fully(&app, &Inputs::new(Atlas::embedded()))));
    }
}

#[test]
fn the_aws_shop_recovers_where_the_law_allows_and_its_objectives_ask() {
    let answer = answer("aws-shop.yaml");
    let orders = component(&answer, "orders");
    assert_eq!(orders.home, "stockholm");
    assert!(["frankfurt", "ireland"].contains(&orders.targets[0].as_str()), "{:?}", orders.targets);
    assert_eq!(orders.pattern, "warm-standby", "a headless secondary needs a quarter of an hour for its instance");
    assert_eq!(answer.links.len(), 1, "what needs each other shares its regions");
    assert!(answer.objectives.iter().all(|one| one.standing != Standing::Unattainable), "{:#?}", answer.objectives);
    let virginia = answer.regions.iter().find(|region| region.region == "virginia").unwrap();
    assert_eq!(virginia.refused.as_deref(), Some("outside the residency"));
    assert!(answer.optimal);
}

/// Nobody should be given an example that cannot be had.
#[test]
fn every_example_can_hold_its_objectives() {
    for folder in ["aws", "azure", "kubernetes", "local"] {
        for entry in std::fs::read_dir(folder_of_examples().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let app = read(&std::fs::read_to_string(&path).unwrap());
            let answer = assess(&app, &Inputs::new(Atlas::embedded()));
            assert_eq!(answer.conflicts, [], "{}", path.display());
            assert_ne!(answer.summary.standing, Standing::Unattainable, "{}", path.display());
        }
    }
}

fn folder_of_examples() -> PathBuf {
    folder().join("../../../examples")
}

fn warm_standby(change: impl Fn(&str) -> String) -> Assessment {
    assess(&read(&change(&file("examples/aws/warm-standby.yaml"))), &Inputs::new(Atlas::embedded()))
}

/// The web serves no sooner than the database that it needs, and of that the file names no standby yet.
#[test]
fn what_waits_for_what_is_only_proposed_is_not_met() {
    let answer = warm_standby(|text| text.replace("standbys: {frankfurt: asynchronous}", "standbys: {}"));
    assert_eq!(standing(&answer, "orders", "rto"), Standing::Achievable);
    assert!(component(&answer, "web").as_declared);
    assert_eq!(standing(&answer, "web", "rto"), Standing::Achievable);
    assert_eq!(standing(&warm_standby(str::to_owned), "web", "rto"), Standing::Met);
}

/// From what holds to what does not, by a step of a second: a demand that contradicts all by itself is never called held.
#[test]
fn what_contradicts_by_itself_is_unattainable() {
    let mut contradicted = 0;
    for rto in 475..=490 {
        let answer = warm_standby(|text| text.replace("rto: 15m", &format!("rto: {rto}s")));
        for conflict in answer.conflicts.iter().filter(|conflict| conflict.between.len() == 1) {
            assert!(conflict.between[0].starts_with("RTO of "), "{conflict:?}");
            for of in &conflict.components {
                assert_eq!(standing(&answer, of, "rto"), Standing::Unattainable, "{rto} s: {conflict:?}");
                let report = answer.objectives.iter().find(|one| one.of == *of && one.objective == "rto").unwrap();
                assert_ne!(report.expected, report.wanted, "what misses does not read as if it held");
                contradicted += 1;
            }
        }
    }
    assert!(contradicted > 0);
}

/// What contradicts one demand takes nothing from the others.
#[test]
fn a_contradiction_leaves_what_it_does_not_touch() {
    let shop = file("examples/aws/shop.yaml");
    let inputs = Inputs::new(Atlas::embedded());
    for residency in ["XX", "DE"] {
        let answer = assess(&read(&shop.replace("residency: [EU]", &format!("residency: [{residency}]"))), &inputs);
        let missed: Vec<_> = answer.objectives.iter().filter(|one| one.standing == Standing::Unattainable).collect();
        assert_eq!(missed.len(), 1, "{missed:#?}");
        assert_eq!(missed[0].objective, "residency");
        assert!(answer.conflicts.iter().any(|one| one.between == [format!("residency: {residency}")]));
    }
    let difference = what_if(&read(&shop), &inputs, &WhatIf::parse("rpo.orders=0s").unwrap()).unwrap();
    assert_eq!(difference.unattainable, (0, 1));
}

/// A share of today's cost is told only where today's cost is known; where what is added is not, it is the least.
#[test]
fn unknown_prices_are_not_counted_as_nothing() {
    let unsized_shop: String = file("examples/aws/shop.yaml")
        .lines()
        .filter(|line| !line.contains("size: {"))
        .map(|line| format!("{line}\n"))
        .collect();
    let answer = assess_fully(&read(&unsized_shop), &Inputs::new(Atlas::embedded()));
    assert!(answer.cost.unknown_of_today > 0);
    assert_eq!(answer.summary.overhead_percent, None);
    assert!(answer.patterns.iter().all(|row| row.overhead_percent.is_none()), "{:#?}", answer.patterns);
    let shop = assess(&read(&file("examples/azure/shop.yaml")), &Inputs::new(Atlas::embedded()));
    assert!(shop.cost.unknown_of_today == 0 && shop.summary.unknown_prices > 0, "{:#?}", shop.cost);
    assert!(text::render(&shop).contains("  + at least 43.4 %"), "{}", text::render(&shop));
    let shop = assess(&read(&file("examples/aws/shop.yaml")), &Inputs::new(Atlas::embedded()));
    assert!(shop.cost.unknown.iter().any(|line| line.contains("aurora-io-requests")), "{:#?}", shop.cost);
    assert_eq!(shop.summary.overhead_percent, None, "what Aurora's requests cost today is not known");
}

#[test]
fn what_the_kind_cannot_promise_contradicts_the_objective() {
    let answer = answer("contradictory.yaml");
    assert_eq!(standing(&answer, "ledger", "rpo"), Standing::Unattainable);
    let between: Vec<&str> = answer.conflicts.iter().flat_map(|one| &one.between).map(String::as_str).collect();
    assert_eq!(
        between,
        ["RTO of ledger: 60 s", "RPO of ledger: 0 s (aurora-global)"],
        "each of them alone is too much"
    );
    assert_eq!(answer.conflicts[1].relax, ["RPO of ledger: at least 2 s"]);
}

#[test]
fn a_law_that_leaves_one_region_is_named_with_what_would_help() {
    let answer = answer("impossible.yaml");
    assert_eq!(answer.conflicts[0].between, ["residency: SE"]);
    assert_eq!(answer.conflicts[0].relax, ["allow data in EU too"]);
}

#[test]
fn two_clouds_hold_a_ledger_together_by_synchronous_replication() {
    let answer = answer("both-clouds.yaml");
    let books = component(&answer, "books");
    assert_eq!((books.pattern.as_str(), books.replication.as_str()), ("warm-standby", "synchronous"));
    assert_eq!(books.rpo.p99, 0.0);
    assert!(books.commit_latency_ms.as_ref().unwrap().value < 50.0);
    assert_eq!(standing(&answer, "books", "rpo"), Standing::Achievable);
}

/// A database of a kind in a place, and where it should go.
fn alone(kind: &str, place: &str, size: &str, objectives: &str) -> Assessment {
    let text = format!(
        "app: one\nobjectives: {objectives}\nfailover: {{mode: approve}}\nregions:\n  home: {{place: {place}}}\ncomponents:\n  data:\n    kind: {kind}\n    writer: home\n    size: {size}\n"
    );
    assess(&read(&text), &Inputs { candidates: Candidates::Everywhere, ..Inputs::new(Atlas::embedded()) })
}

#[test]
fn the_guides_pairs_are_found_for_apps_that_name_one_region() {
    let india = alone(
        "rds",
        "aws/ap-south-1",
        "{instance: db.r6g.large, storage: 100GB, writes: 1GB/day}",
        "{rto: 2h, rpo: 5m, residency: [IN]}",
    );
    assert_eq!(component(&india, "data").targets, ["aws/ap-south-2"], "Mumbai with Hyderabad");
    let europe = alone(
        "azure-storage",
        "azure/westeurope",
        // Among regions of one price, the pair.
        "{storage: 1000GB, writes: 1GB/day}\nprices: {azure/global/blob-hot-lrs: 0.02}",
        "{rto: 4h, rpo: 1h, residency: [EU]}",
    );
    assert_eq!(
        component(&europe, "data").targets,
        ["azure/northeurope"],
        "West Europe with North Europe, which Azure pairs"
    );
    let sweden = alone(
        "aurora-global",
        "aws/eu-north-1",
        "{instance: db.r6g.large, storage: 100GB, writes: 1GB/day}",
        "{rto: 1h, rpo: 5s, residency: [EU]}",
    );
    assert!(
        ["aws/eu-central-1", "aws/eu-west-1"].contains(&component(&sweden, "data").targets[0].as_str()),
        "Stockholm with Frankfurt or Ireland: {:?}",
        component(&sweden, "data").targets
    );
}

#[test]
fn an_app_stays_in_the_region_that_its_file_names() {
    let text = "app: one\nobjectives: {rto: 1h, residency: [EU]}\nregions: {a: {place: aws/eu-north-1}}\ncomponents:\n  c: {kind: rds, size: {instance: db.r6g.large}}\n";
    let app = read(text);
    let answer = assess(&app, &Inputs::new(Atlas::embedded()));
    assert_eq!(component(&answer, "c").home, "a");
    assert!(answer.summary.line.starts_with("one should be protected"), "{}", answer.summary.line);
    let anew = assess(&app, &Inputs { keep_pins: false, ..Inputs::new(Atlas::embedded()) });
    assert_eq!(anew.conflicts, [], "anywhere in the EU");
}

/// The four-row table of the providers' guidance: hours, tens of minutes, minutes, (near) nothing.
#[test]
fn patterns_come_out_in_the_order_of_the_guides() {
    let app = read(&file("aws-shop.yaml"));
    let rows = lifeboat_assess::compare(&app, &Inputs::new(Atlas::embedded()));
    assert_eq!(rows.len(), 4);
    for pair in rows.windows(2) {
        assert!(pair[0].rto.p95 >= pair[1].rto.p95, "{} is not slower than {}", pair[0].pattern, pair[1].pattern);
        assert!(pair[0].added_usd <= pair[1].added_usd, "{} is dearer than {}", pair[0].pattern, pair[1].pattern);
    }
    assert!(rows[0].rto.p95 > 3600.0 && rows[0].rto.p95 <= 86_400.0, "backup & restore: 24 h or less");
    assert!((600.0..=3600.0).contains(&rows[1].rto.p95), "pilot light: tens of minutes, not {}", rows[1].rto.p95);
    assert!((60.0..=900.0).contains(&rows[2].rto.p95), "warm standby: minutes, not {}", rows[2].rto.p95);
}

/// Azure's guidance has the same four under other names: redeploy, cold, warm and hot; its SQL failover group within a minute, its
/// geo-restore within half a day.
#[test]
fn azure_s_patterns_come_out_in_the_order_of_its_guides() {
    let app = read(&file("azure-shop.yaml"));
    let rows = lifeboat_assess::compare(&app, &Inputs::new(Atlas::embedded()));
    for pair in rows.windows(2) {
        assert!(pair[0].rto.p95 >= pair[1].rto.p95, "{} is not slower than {}", pair[0].pattern, pair[1].pattern);
        assert!(pair[0].added_usd <= pair[1].added_usd, "{} is dearer than {}", pair[0].pattern, pair[1].pattern);
    }
    assert!(rows[0].rto.p95 > 43_200.0 && rows[3].rto.p95 < 120.0, "{} {}", rows[0].rto.p95, rows[3].rto.p95);
    let answer = answer("azure-shop.yaml");
    let orders = component(&answer, "orders");
    assert!(orders.rto.p95 <= 60.0, "a failover group takes {}", orders.rto.p95);
    assert_eq!(orders.rpo.p95, 5.0);
}

/// A price in the file goes before the list, a price file before both; each keeps its basis and date, and what is misspelt is
/// told.
#[test]
fn prices_of_the_file_go_before_the_list_and_a_price_file_before_both() {
    let text = "\
app: one
objectives: {rto: 1m}
regions:
  stockholm: {place: aws/eu-north-1}
  frankfurt: {place: aws/eu-central-1}
  ireland: {place: aws/eu-west-1, role: witness}
components:
  web: {kind: asg, pattern: warm-standby, size: {instance: m6g.large, count: 1}}
prices:
  aws/eu-north-1/ec2/m6g.large: 1
  aws/global/ec2/m6g.large: {usd: 2, basis: contract 7, date: 2026-10-01}
  aws/global/ec2/m6g.lagre: 3
";
    let app = read(text);
    let inputs = Inputs::new(Atlas::embedded());
    let web = |answer: &Assessment| {
        let item = component(answer, "web").items.iter().find(|item| item.item.as_str() == "compute").unwrap().clone();
        (item.region.clone(), item.usd, item.grade.unwrap().as_str(), format!("{}, {}", item.source, item.date))
    };
    let answer = assess(&app, &inputs);
    let dear = ("frankfurt".to_owned(), Some(1460.0), "declared", "contract 7, 2026-10-01".to_owned());
    let cheap = ("stockholm".to_owned(), Some(730.0), "declared", "the app's file, as of the file".to_owned());
    assert!([dear, cheap].contains(&web(&answer)), "{:?}", web(&answer));
    let slip = "Declared prices by which nothing of this app is billed: aws/global/ec2/m6g.lagre.";
    assert!(answer.notes.contains(&slip.to_owned()), "{:?}", answer.notes);
    assert!(text::render(&answer).contains(slip));
    let declared = PriceBook::parse_declared("provider,region,sku,price_usd\naws,global,ec2/m6g.large,0.5\n").unwrap();
    let answer = assess(&app, &Inputs { declared, ..inputs.clone() });
    assert_eq!(web(&answer).1, Some(365.0));
    let doubled = what_if(&app, &inputs, &WhatIf::parse("price.ec2/=2").unwrap()).unwrap();
    assert_eq!(doubled.added_usd.1, doubled.added_usd.0 * 2.0, "what is asked multiplies declared prices too");
}

/// No file is too much: neither an absurd price nor an absurd number makes it panic or the answer anything but a number.
#[test]
fn absurd_sizes_and_prices_are_answered() {
    let text = "\
app: one
objectives: {rto: 1ms, rpo: 0s, availability: 99.9999999%, cost: 0 USD/month}
regions:
  a: {place: aws/eu-north-1}
  b: {place: aws/eu-central-1}
  c: {place: aws/eu-west-1}
components:
  data: {kind: rds, writer: a, size: {instance: db.r6g.large, count: 100000, storage: 9000000TB, writes: 9000000TB/day}}
  web: {kind: asg, needs: [data], size: {instance: m6g.large, count: 100000}}
prices: {aws/global/ec2/m6g.large: 1000000, aws/global/rds-postgres/db.r6g.large: 1000000, aws/global/rds-storage: 1000000}
";
    let answer = assess_fully(&read(text), &Inputs::new(Atlas::embedded()));
    assert_eq!(answer.summary.standing, Standing::Unattainable);
    assert!(answer.cost.added_usd.is_finite() && !answer.conflicts.is_empty());
    html::page(&answer, Some(0.001));
    let free = text.replace("rto: 1ms, rpo: 0s, availability: 99.9999999%, cost: 0 USD/month", "rto: 90d");
    let answer = assess(&read(&free), &Inputs::new(Atlas::embedded()));
    assert_eq!(answer.conflicts, [], "whatever it costs");
}

#[test]
fn the_answer_is_the_same_to_the_byte_and_matches_its_schema() {
    let schema = serde_json::to_value(schemars::schema_for!(Assessment)).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for name in [
        "examples/aws/shop.yaml",
        "examples/azure/shop.yaml",
        "aws-shop.yaml",
        "azure-shop.yaml",
        "contradictory.yaml",
        "impossible.yaml",
        "both-clouds.yaml",
    ] {
        let app = read(&file(name));
        let inputs = Inputs::new(Atlas::embedded());
        let (one, two) = (assess_fully(&app, &inputs), assess_fully(&app, &inputs));
        assert_eq!(serde_json::to_string(&one).unwrap(), serde_json::to_string(&two).unwrap());
        assert_eq!(html::page(&one, Some(900.0)), html::page(&two, Some(900.0)));
        let value = serde_json::to_value(&one).unwrap();
        let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{name}");
    }
    let mut wrong = serde_json::to_value(answer("aws-shop.yaml")).unwrap();
    wrong["summary"]["standing"] = "fine".into();
    assert!(!validator.is_valid(&wrong));
}

#[test]
fn the_schema_is_the_one_that_is_checked_in() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/assessment.schema.json");
    let schema = serde_json::to_string_pretty(&schemars::schema_for!(Assessment)).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &schema).unwrap();
    }
    assert!(std::fs::read_to_string(&path).unwrap_or_default() == schema, "run with UPDATE=1 and look at `git diff`");
}

#[test]
fn what_is_written_back_is_what_was_proposed_and_nothing_else() {
    let inputs = Inputs::new(Atlas::embedded());
    for name in
        ["examples/aws/shop.yaml", "examples/azure/shop.yaml", "aws-shop.yaml", "azure-shop.yaml", "both-clouds.yaml"]
    {
        let before = file(name);
        let proposal = assess(&read(&before), &inputs);
        let after = write::write(&before, &proposal, true).unwrap();
        let again = assess(&read(&after), &inputs);
        assert_eq!(again.cost, proposal.cost, "{name}");
        for (one, other) in proposal.components.iter().zip(&again.components) {
            assert_eq!(
                (&one.pattern, &one.home, &one.targets),
                (&other.pattern, &other.home, &other.targets),
                "{name}"
            );
            assert!(other.as_declared, "{name}: {}", other.component);
        }
        assert_eq!(write::write(&after, &again, true).unwrap(), after, "{name}: writing twice changes nothing more");
        for line in before.lines().filter(|line| line.trim_start().starts_with('#')) {
            assert!(after.contains(line), "{name} lost the comment {line}");
        }
    }
    let after = write::write(&file("aws-shop.yaml"), &answer("aws-shop.yaml"), true).unwrap();
    assert!(after.contains("writer: stockholm # the customers are here"));
}

#[test]
fn a_cost_ceiling_that_is_too_low_is_contradicted_by_what_makes_it_dear() {
    let text = file("aws-shop.yaml").replace("6000 USD/month", "1500 USD/month");
    let answer = assess(&read(&text), &Inputs::new(Atlas::embedded()));
    assert_eq!(standing(&answer, "app", "cost"), Standing::Unattainable);
    let conflict = answer.conflicts.last().unwrap();
    assert_eq!(conflict.between[0], "cost: at most 1,500 USD");
    assert!(conflict.between.contains(&"every RTO".to_owned()), "{conflict:?}");
}

fn asked(name: &str, question: &str) -> Difference {
    what_if(&read(&file(name)), &Inputs::new(Atlas::embedded()), &WhatIf::parse(question).unwrap()).unwrap()
}

#[test]
fn questions_change_the_answer_in_the_direction_that_they_must() {
    let looser = asked("aws-shop.yaml", "rto=24h");
    assert!(looser.added_usd.1 < looser.added_usd.0);
    let doubled = asked("aws-shop.yaml", "traffic=2");
    assert!(doubled.added_usd.1 > doubled.added_usd.0);
    let dearer = asked("aws-shop.yaml", "price.ec2/=2");
    assert!(dearer.added_usd.1 > dearer.added_usd.0);
    let lost = asked("aws-shop.yaml", "lost=stockholm");
    assert!(lost.after.components.iter().all(|component| component.home != "stockholm"));
    assert!(text::difference(&lost).starts_with("what if stockholm is lost for good"));
    let app = read(&file("aws-shop.yaml"));
    let error = what_if(&app, &Inputs::new(Atlas::embedded()), &WhatIf::RegionLost("atlantis".into())).unwrap_err();
    assert_eq!(error.to_string(), "the file has no region `atlantis`");
}

#[test]
fn unknown_prices_are_named_and_declared_ones_close_the_gap() {
    let name = "both-clouds.yaml";
    let before = answer(name);
    assert!(before.cost.unknown.iter().any(|line| line.contains("storage")), "{:?}", before.cost.unknown);
    let book = PriceBook::parse_declared(
        "provider,region,sku,price_usd\naws,global,ebs-gp3,0.09\nazure,global,managed-disk,0.09\n",
    )
    .unwrap();
    let inputs = Inputs::new(Atlas::embedded());
    let inputs = Inputs { prices: inputs.prices.with_overrides(&book), ..inputs };
    let after = assess(&read(&file(name)), &inputs);
    assert!(after.cost.unknown.len() < before.cost.unknown.len());
    assert!(after.cost.by_grade.contains_key("declared"));
}

#[test]
fn measured_steps_replace_assumptions_and_measured_recoveries_are_compared() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/local/lifeboat.yaml");
    let app = read(&std::fs::read_to_string(path).unwrap());
    let mut history = History { days_since_drill: Some(3.0), ..History::default() };
    history.recoveries.insert("web".into(), vec![0.47, 0.61]);
    let inputs = Inputs { history: history.clone(), ..Inputs::new(Atlas::embedded()) };
    let answer = assess(&app, &inputs);
    let web = component(&answer, "web");
    let measured = web.measured.as_ref().unwrap();
    assert!(measured.within, "{:?} in {:?}", measured.seconds, web.rto_range);
    assert!(text::render(&answer).contains("web: measured 0.47 s, 0.61 s, inside what was predicted before,"));
    assert!(!answer.weak_points.iter().any(|point| point.what.contains("drill")));
    history.recoveries.insert("web".into(), vec![3600.0]);
    let answer = assess(&app, &Inputs { history, ..Inputs::new(Atlas::embedded()) });
    assert!(!component(&answer, "web").measured.as_ref().unwrap().within);
}

/// With what a drill measured, pilot light comes just short of the RTO at the planning quantile: the next costlier pattern holds it.
#[test]
fn a_narrow_miss_is_answered_by_a_pattern_that_holds() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/local/lifeboat.yaml");
    let app = read(&std::fs::read_to_string(path).unwrap());
    let mut history = History::default();
    for (key, seconds) in [
        ((None, StepKind::Detect), [1.1, 1.3, 2.1]),
        ((None, StepKind::Decide), [0.0, 0.0, 0.05]),
        ((Some(Kind::Postgres), StepKind::Promote), [0.1, 0.12, 0.2]),
        ((None, StepKind::Route), [0.02, 0.03, 0.1]),
    ] {
        history.steps.insert(key, seconds.to_vec());
    }
    let answer = assess(&app, &Inputs { history, ..Inputs::new(Atlas::embedded()) });
    assert_eq!(answer.summary.standing, Standing::Met, "{}", text::render(&answer));
    assert_eq!(component(&answer, "web").pattern, "warm-standby");
}

#[test]
fn a_page_of_two_hundred_components_folds_and_escapes() {
    let mut text = String::from(
        "app: many\nobjectives: {rto: 1h, rpo: 1h}\nfailover: {mode: approve}\nregions:\n  a: {place: aws/eu-north-1}\n  b: {place: aws/eu-central-1}\ncomponents:\n",
    );
    for number in 0..100 {
        text +=
            &format!("  db{number}: {{kind: rds, size: {{instance: db.r6g.large, storage: 10GB, writes: 1GB/day}}}}\n");
        text +=
            &format!("  web{number}: {{kind: asg, needs: [db{number}], size: {{instance: m6g.large, count: 2}}}}\n");
    }
    let answer = assess(&read(&text), &Inputs::new(Atlas::embedded()));
    let page = html::page(&answer, None);
    assert_eq!(page.matches("class=\"component\"").count(), 200);
    assert!(page.contains("300 that are met or achievable"));
    assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"), "self-contained");
    let mut hostile = answer;
    hostile.app = "<script>alert(1)</script>".into();
    assert!(!html::page(&hostile, None).contains("<script"));
}

/// A pattern that takes hours and an objective of minutes, among hundreds of demands that have nothing to do with it.
#[test]
fn the_smallest_contradiction_is_found_in_a_group_of_any_size() {
    for (count, chained) in [(350, false), (350, true), (2500, true)] {
        let mut text = String::from(
            "app: large\nobjectives: {rto: 90d, rpo: 1h}\nfailover: {mode: approve}\nregions:\n  a: {place: aws/eu-north-1}\n  b: {place: aws/eu-central-1}\n  c: {place: aws/eu-west-1}\ncomponents:\n  hub: {kind: rds, writer: a, size: {instance: db.r6g.large, storage: 50GB}}\n",
        );
        for number in 0..count {
            let need = if chained && number > 0 { format!("s{}", number - 1) } else { "hub".into() };
            let more = match number {
                217 => ", pattern: backup-restore, objectives: {rto: 4h}",
                _ => ", pattern: warm-standby",
            };
            text += &format!(
                "  s{number}: {{kind: asg, needs: [{need}]{more}, size: {{instance: m6g.large, count: {}}}}}\n",
                1 + number % 7
            );
        }
        let answer = assess(&read(&text), &Inputs::new(Atlas::embedded()));
        let between: Vec<&Vec<String>> = answer.conflicts.iter().map(|conflict| &conflict.between).collect();
        assert_eq!(
            between,
            [&["RTO of s217: 4 h".to_owned(), "pattern of s217: backup-restore".to_owned()]],
            "{count} {chained}"
        );
        assert!(
            answer.conflicts[0].relax.iter().all(|advice| !advice.contains("not enough")),
            "{:?}",
            answer.conflicts
        );
    }
}

/// Two databases that do not need each other go where each is cheapest; what one region for both costs is told to the cent.
#[test]
fn scattered_recovery_regions_are_told_with_the_price_of_one_for_all() {
    let text = "\
app: two
objectives: {rto: 1h, rpo: 10m}
regions:
  stockholm: {place: aws/eu-north-1}
  frankfurt: {place: aws/eu-central-1}
  ireland: {place: aws/eu-west-1}
components:
  bills: {kind: rds, writer: stockholm, size: {instance: db.r6g.large, storage: 50GB, writes: 1GB/day}}
  goods: {kind: rds, writer: stockholm, size: {instance: db.m6g.large, storage: 50GB, writes: 1GB/day}}
prices:
  aws/eu-central-1/rds-postgres/db.r6g.large: 0.1
  aws/eu-west-1/rds-postgres/db.r6g.large: 0.4
  aws/eu-central-1/rds-postgres/db.m6g.large: 0.5
  aws/eu-west-1/rds-postgres/db.m6g.large: 0.3
  aws/global/rds-storage: 0.1
";
    let app = read(text);
    let answer = assess(&app, &Inputs::new(Atlas::embedded()));
    assert_eq!(component(&answer, "bills").targets, ["frankfurt"]);
    assert_eq!(component(&answer, "goods").targets, ["ireland"]);
    let point = answer.weak_points.iter().find(|point| point.what.contains("several regions")).unwrap();
    assert_eq!(point.what, "what stockholm serves recovers in several regions: frankfurt (bills) and ireland (goods)");
    assert!(point.remedy.starts_with("all in frankfurt costs 146 USD/month more:"), "{}", point.remedy);
    let advised = text.replace("writer: stockholm,", "writer: stockholm, standbys: {frankfurt: asynchronous},");
    let together = assess(&read(&advised), &Inputs::new(Atlas::embedded()));
    assert!((together.cost.added_usd - answer.cost.added_usd - 146.0).abs() < 0.02, "as it was told");
    assert!(!together.weak_points.iter().any(|point| point.what.contains("several regions")));
}

/// Whatever has a grade has a source and a date, and whatever is a time, a loss, a distance, a place or a price has a grade: its
/// own, or that of the `…_basis` beside it.
#[test]
fn every_figure_has_a_grade_a_source_and_a_date() {
    /// Figures by the ends of their names, and where they have their grade.
    const GRADED: [(&str, &[&str]); 14] = [
        ("rto", &["rto_basis"]),
        ("rto_range", &["rto_basis"]),
        ("rpo", &["rpo_basis"]),
        ("today_usd", &["cost_basis"]),
        ("added_usd", &["cost_basis"]),
        ("overhead_percent", &["cost_basis"]),
        ("seconds", &["seconds_basis"]),
        ("predicted", &["predicted_basis"]),
        ("usd", &["grade"]),
        ("p95", &["grade", "p99"]),
        ("value", &["grade"]),
        ("latitude", &["longitude"]),
        ("expected", &["basis"]),
        ("misses", &["basis"]),
    ];
    /// Figures that have no place beside theirs for a grade, so they have to be figures of their own.
    const OWN: [&str; 8] = [
        "km",
        "position",
        "round_trip_ms",
        "commit_latency_ms",
        "usual_percent",
        "losses_per_year",
        "minutes_waiting",
        "minutes_planned",
    ];
    /// A known figure that is nothing rests on nothing: an empty sum, an app without data.
    fn is_nothing(value: &serde_json::Value) -> bool {
        value.is_null()
            || value.as_f64() == Some(0.0)
            || value.as_str().is_some_and(|text| !text.contains(|c: char| c.is_ascii_digit()))
            || value.as_object().is_some_and(|fields| fields.contains_key("p99") && fields.values().all(is_nothing))
    }
    fn walk(at: &str, value: &serde_json::Value, found: &mut usize) {
        match value {
            serde_json::Value::Object(fields) => {
                let filled = |name: &str| {
                    fields.get(name).and_then(serde_json::Value::as_str).is_some_and(|text| text.len() > 3)
                };
                let unknown = fields.contains_key("sku") && fields["usd"].is_null();
                if fields.contains_key("grade") && !unknown {
                    assert!(filled("grade") && filled("source") && filled("date"), "{at}: {fields:?}");
                    *found += 1;
                }
                for (name, held_by) in GRADED {
                    let Some(figure) = fields.get(name).filter(|figure| !is_nothing(figure)) else { continue };
                    let graded = held_by.iter().any(|by| fields.get(*by).is_some_and(|by| !by.is_null()));
                    assert!(graded, "{at}.{name}: {figure} has no grade");
                }
                for name in OWN {
                    let figure = fields.get(name).filter(|figure| !figure.is_null());
                    assert!(figure.is_none_or(|figure| figure["grade"].is_string()), "{at}.{name}: {figure:?}");
                }
                fields.iter().for_each(|(name, value)| walk(&format!("{at}.{name}"), value, found));
            }
            serde_json::Value::Array(values) => values.iter().for_each(|value| walk(at, value, found)),
            _ => {}
        }
    }
    for name in
        ["examples/aws/shop.yaml", "examples/azure/shop.yaml", "aws-shop.yaml", "azure-shop.yaml", "both-clouds.yaml"]
    {
        let app = read(&file(name));
        let mut history = History::default();
        history.recoveries.insert(app.components.keys().next().unwrap().clone(), vec![1.5]);
        let inputs = Inputs { history, ..Inputs::new(Atlas::embedded()) };
        let answer = serde_json::to_value(assess_fully(&app, &inputs)).unwrap();
        let mut found = 0;
        walk(name, &answer, &mut found);
        assert!(found >= 40, "{found}");
        for component in answer["components"].as_array().unwrap() {
            let database = component["rpo_basis"].is_object();
            assert_eq!(database, app.components[component["component"].as_str().unwrap()].kind.is_database());
            assert!(!component["steps"].as_array().unwrap().is_empty());
        }
    }
    let stockholm = || Place { provider: Provider::Aws, name: "eu-north-1".into() };
    let atlas = Atlas::embedded();
    for from in [None, Some(stockholm())] {
        let rows = regions::search(atlas, &regions::Filter { from, ..regions::Filter::default() });
        let mut found = 0;
        walk("regions", &serde_json::to_value(&rows).unwrap(), &mut found);
        assert!(found >= 94, "{found}");
        let known = rows.iter().filter(|row| row.position.is_some()).count();
        assert_eq!(known, rows.len() - 1, "one of them is nowhere");
    }
    let limits = regions::Limits { other_clouds: true, ..regions::Limits::default() };
    let suggested = regions::suggest(atlas, &stockholm(), &limits).unwrap();
    let mut found = 0;
    walk("suggest", &serde_json::to_value(&suggested).unwrap(), &mut found);
    assert!(found >= suggested.len() * 3, "{found}");
    for (line, one) in regions::render_suggestions(&suggested).lines().zip(&suggested) {
        let km = one.region.from.as_ref().unwrap().km.as_ref().unwrap();
        assert!(line.contains(&format!("{:.0} km {}", km.value, km.grade)), "{line}");
    }
}

/// Twelve groups of a database and what needs it, in a region each.
fn twelve(objectives: &str) -> Assessment {
    let mut text = format!(
        "app: twelve\nobjectives: {objectives}\nfailover: {{mode: approve}}\nregions:\n  stockholm: {{place: aws/eu-north-1}}\n  frankfurt: {{place: aws/eu-central-1}}\ncomponents:\n"
    );
    for number in 0..12 {
        text += &format!("  db{number}: {{kind: rds, size: {{instance: db.r6g.large, storage: {number}GB}}}}\n");
        text += &format!("  web{number}: {{kind: asg, needs: [db{number}], size: {{instance: m6g.large}}}}\n");
    }
    assess(&read(&text), &Inputs::new(Atlas::embedded()))
}

/// What contradicts the same demand of the app in twelve groups is said once, and relaxed in one place.
#[test]
fn a_contradiction_of_many_groups_is_said_once() {
    let answer = twelve("{rto: 4h, rpo: 1h, residency: [SE]}");
    assert_eq!(answer.conflicts.len(), 1, "{:#?}", answer.conflicts);
    assert_eq!(answer.conflicts[0].between, ["residency: SE"]);
    assert_eq!(answer.conflicts[0].relax, ["allow data in EU too"]);
    assert_eq!(answer.conflicts[0].components.len(), 24, "all of them are named");
    let told = text::render(&answer);
    assert_eq!(told.matches("\ncontradiction  ").count(), 1);
    assert!(told.contains("db0, web0, db1, web1, db10"), "{told}");
    let answer = twelve("{rto: 4h, rpo: 1s}");
    let between: Vec<&Vec<String>> = answer.conflicts.iter().map(|conflict| &conflict.between).collect();
    assert_eq!(between, [&["RPO of the app: 1 s".to_owned()]]);
    assert_eq!(answer.conflicts[0].components.len(), 12, "the databases");
    let least = answer.conflicts[0].relax[0].strip_prefix("RPO of the app: at least ").unwrap();
    let followed = twelve(&format!("{{rto: 4h, rpo: {}}}", least.replace(' ', "").replace("min", "m")));
    assert_eq!(followed.conflicts, [], "who follows the advice has none left");
}

#[test]
fn what_protection_adds_is_counted_without_today_s_unknown_prices() {
    let answer = answer("azure-shop.yaml");
    assert!(answer.cost.unknown_of_today > 0, "{:?}", answer.cost.unknown);
    assert_eq!(answer.summary.unknown_prices, answer.cost.unknown_of_added);
    let lines: std::collections::BTreeSet<(&str, &str)> = answer
        .components
        .iter()
        .flat_map(|component| &component.items)
        .filter(|item| item.usd.is_none())
        .map(|item| (item.sku.as_str(), item.region.as_str()))
        .collect();
    assert_eq!(answer.cost.unknown_of_added, lines.len(), "{lines:?}");
}

/// A database at `home`, and what comes into question besides.
fn data(kind: &str, objectives: &str, home: &str, others: &[(&str, &str)]) -> Assessment {
    let others: String = others.iter().map(|(name, place)| format!("  {name}: {{place: {place}}}\n")).collect();
    let text = format!(
        "app: one\nobjectives: {objectives}\nfailover: {{mode: approve}}\nregions:\n  home: {{place: {home}}}\n{others}components:\n  data: {{kind: {kind}, writer: home, size: {{storage: 10GB, writes: 1GB/day}}}}\n"
    );
    assess(&read(&text), &Inputs::new(Atlas::embedded()))
}

#[test]
fn a_commit_waits_for_the_region_that_is_named() {
    let answer = data(
        "cosmosdb",
        "{rpo: 0s}",
        "azure/westeurope",
        &[("a", "azure/swedencentral"), ("b", "azure/northeurope"), ("c", "azure/francecentral")],
    );
    let data = component(&answer, "data");
    assert_eq!(data.targets.len(), 2, "{data:?}");
    let waits = data.commit_latency_ms.as_ref().unwrap().value;
    let said = data.reasons.iter().find(|reason| reason.starts_with("each commit waits")).unwrap();
    let named = data.targets.iter().find(|target| said.contains(&format!("for {target}"))).unwrap();
    let link = answer.links.iter().find(|link| link.to == *named).unwrap();
    assert_eq!(link.round_trip_ms.as_ref().unwrap().value, waits, "{said}");
}

#[test]
fn regions_that_the_law_or_the_distance_excludes_are_no_choice() {
    let regions = [("france", "aws/eu-west-3"), ("london", "aws/eu-west-2"), ("ireland", "aws/eu-west-1")];
    let answer = data("s3", "{residency: [EU]}", "aws/eu-north-1", &regions);
    assert!(answer.links[0].reason.starts_with("the cheapest of 2 "), "{}", answer.links[0].reason);
    let near = data(
        "cosmosdb",
        "{}",
        "azure/australiacentral",
        &[("near", "azure/australiacentral2"), ("far", "azure/australiaeast")],
    );
    let refused = near.regions.iter().find(|region| region.region == "near").unwrap().refused.as_ref().unwrap();
    assert!(refused.contains("less than the 100 km"), "{refused}");
    assert!(near.links[0].reason.starts_with("the only one that comes into question"), "{}", near.links[0].reason);
}

fn point<'a>(answer: &'a Assessment, part: &str) -> Option<&'a lifeboat_assess::report::WeakPoint> {
    answer.weak_points.iter().find(|point| point.what.contains(part))
}

#[test]
fn data_that_leave_the_law_of_their_home_are_told_and_a_region_inside_is_advised() {
    let regions = [("virginia", "aws/us-east-1")];
    let abroad = data("s3", "{}", "aws/eu-north-1", &regions);
    let leave = point(&abroad, "data leave EU for US").unwrap();
    assert_eq!(leave.about, ["data"]);
    assert!(leave.remedy.contains("add a region in EU to recover in, such as aws/eu-"), "{}", leave.remedy);
    let forbidden = data("s3", "{residency: [EU]}", "aws/eu-north-1", &regions);
    let advice: Vec<&String> = forbidden.conflicts.iter().flat_map(|conflict| &conflict.relax).collect();
    assert!(advice.iter().any(|line| line.contains("add a region in EU, such as aws/eu-")), "{advice:?}");
    assert!(point(&data("s3", "{}", "aws/eu-north-1", &[("ireland", "aws/eu-west-1")]), "data leave").is_none());
}

#[test]
fn only_what_the_app_has_is_named_as_missing_elsewhere() {
    let regions = [("ireland", "aws/eu-west-1")];
    let table = data("dynamodb", "{}", "aws/eu-north-1", &regions);
    for what in ["image", "certificate", "credentials"] {
        assert!(point(&table, what).is_none(), "{what}: a table has none");
    }
    let shop = read(&std::fs::read_to_string(folder_of_examples().join("aws/shop.yaml")).unwrap());
    let shop = assess(&shop, &Inputs::new(Atlas::embedded()));
    let image = point(&shop, "an image is in one region only").unwrap();
    assert!(image.what.contains("ami-0a1b2c3d4e5f60718 (eu-north-1)"), "{}", image.what);
    assert!(image.what.contains("123456789012.dkr.ecr.eu-north-1"), "{}", image.what);
}

/// Compute of a kind in two regions of AWS, `more` of its entry given.
fn compute(kind: &str, more: &str) -> Assessment {
    let text = format!(
        "app: one\nobjectives: {{rto: 24h}}\nfailover: {{mode: approve}}\nregions:\n  home: {{place: aws/eu-north-1}}\n  there: {{place: aws/eu-west-1}}\n  third: {{place: aws/eu-west-3, role: witness}}\ncomponents:\n  web: {{kind: {kind}, pattern: pilot-light, {more}}}\nroutes:\n  a.example.com: {{to: web}}\n  b.example.com: {{to: web}}\n"
    );
    assess(&read(&text), &Inputs::new(Atlas::embedded()))
}

#[test]
fn machines_that_have_to_start_are_counted_and_many_at_once_are_scarce() {
    let few = compute("asg", "size: {count: 2, instance: m6g.large}");
    let many = compute("asg", "size: {count: 3000, instance: m6g.large}");
    let launched = point(&many, "3000 machines or tasks are launched in there").unwrap();
    assert!(launched.remedy.contains("let 3000 more start"), "{}", launched.remedy);
    let launch = |answer: &Assessment| {
        let step = |step: &&lifeboat_assess::report::StepReport| step.step == lifeboat_assess::StepKind::Launch;
        component(answer, "web").steps.iter().find(step).unwrap().p95
    };
    assert!(launch(&many) > 4.0 * 600.0 && launch(&few) < 700.0, "{} and {}", launch(&many), launch(&few));
}

#[test]
fn a_process_on_a_machine_of_a_cloud_boots_that_machine() {
    let web = compute("process", "run: web, size: {count: 1, instance: m6g.large}");
    let report = component(&web, "web");
    assert!(report.rto.p95 > 600.0, "{:?}", report.rto);
    assert!(point(&web, "1 machine or task is launched in there").is_some(), "{:?}", web.weak_points);
}

#[test]
fn health_checks_are_billed_as_they_are_generated() {
    let answer = compute("asg", "size: {count: 2, instance: m6g.large}");
    let of = |sku: &str| -> (f64, f64) {
        let items = component(&answer, "web").items.iter().filter(|item| item.sku == sku);
        items.fold((0.0, 0.0), |(count, usd), item| (count + item.quantity, usd + item.usd.unwrap()))
    };
    // Two routes, two regions, three nodes; HTTPS and every ten seconds.
    assert_eq!(of("route53-health-check-other-endpoint"), (12.0, 9.0));
    assert_eq!(of("route53-health-check-option-other-endpoint"), (24.0, 48.0));
}

#[test]
fn what_a_service_bills_at_a_rate_of_its_own_has_no_look_alike() {
    let answer = data("rds", "{rto: 72h, rpo: 24h}", "aws/eu-north-1", &[("ireland", "aws/eu-west-1")]);
    let backup = component(&answer, "data").items.iter().find(|item| item.sku.contains("backup")).unwrap();
    assert_eq!((backup.sku.as_str(), backup.usd), ("rds-backup-storage", None));
    let text = "app: one\nfailover: {mode: approve}\nregions:\n  a: {place: azure/westeurope}\n  b: {place: azure/northeurope}\ncomponents:\n  c: {kind: azure-sql, pattern: warm-standby, size: {instance: BC_Gen5_4, storage: 100GB, writes: 1GB/day}}\n";
    let answer = assess(&read(text), &Inputs::new(Atlas::embedded()));
    let items = &component(&answer, "c").items;
    let skus: Vec<&str> = items.iter().filter(|item| item.usd.is_none()).map(|item| item.sku.as_str()).collect();
    assert_eq!(skus, ["sql-bc-gen5-vcore-licence", "sql-bc-storage"], "the prices of General Purpose are others");
}

#[test]
fn after_a_loss_writers_are_where_their_data_were_carried_to() {
    let lost = asked("aws-shop.yaml", "lost=stockholm");
    let before = answer("aws-shop.yaml");
    for report in before.components.iter().filter(|one| one.home == "stockholm" && one.rpo_basis.is_some()) {
        assert_eq!(component(&lost.after, &report.component).home, report.targets[0], "{}", report.component);
    }
}
