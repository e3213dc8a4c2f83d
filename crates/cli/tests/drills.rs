//! The drills of the example, as `make demo` runs them: every fault, on real servers, with the report that others read.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The example's addresses are its own, so one drill after the other.
#[test]
fn every_fault_of_the_example_is_survived_and_measured() {
    let shop = shop();
    for (fault, intents) in [
        ("region-loss", ["failover", "switchover"].as_slice()),
        ("pause", &["failover", "switchover"]),
        ("database-loss", &["restart"]),
        ("node-loss", &["restart"]),
        ("app-loss", &["restart"]),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_lifeboat"))
            .args(["drill", "../../examples/local/lifeboat.yaml", "--json", "--fault", fault])
            .env("SHOP", &shop)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{fault}:\n{told}\n{}", String::from_utf8_lossy(&output.stdout));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["fault"], fault);
        assert_eq!(report["passed"], true);
        let runs = report["runs"].as_array().unwrap();
        let found: Vec<&str> = runs.iter().filter_map(|run| run["intent"].as_str()).collect();
        // Where a busy machine makes a restart in place take too long, it is a failover, and rightly so.
        if fault != "database-loss" {
            assert_eq!(found, intents, "{fault}");
        }
        for run in runs {
            assert_eq!(run["lost"], 0, "{fault}: {run}");
            assert!(run["acknowledged"].as_u64().unwrap() > 0, "{fault}: {run}");
            let split = run["split_ms"].as_object().unwrap();
            let sum: f64 = split.values().filter_map(Value::as_f64).sum();
            assert!((sum - run["rto_ms"].as_f64().unwrap()).abs() < 1.0, "{fault}: the parts are the whole: {run}");
        }
        for promise in ["S1", "S2", "L1", "A1"] {
            assert_eq!(report["promises"][promise], "held", "{fault}: {}", report["reasons"]);
        }
    }
}

/// The region that is cut off lives on, is asked directly, and acknowledges nothing.
#[test]
fn a_partition_of_the_example_is_survived_and_the_side_that_is_cut_off_is_harmless() {
    let etcd = Command::new("etcd").arg("--version").output();
    let missing = lifeboat_lab::machine::missing(lifeboat_lab::machine::Kind::Network)
        .or_else(|| etcd.is_err().then(|| "etcd is not installed (tools/install etcd)".into()));
    if let Some(missing) = missing {
        let _ = writeln!(std::io::stderr(), "skipped a_partition_of_the_example_…: {missing}");
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_lifeboat"))
        .args(["drill", "../../examples/local/lifeboat.yaml", "--json", "--fault", "partition"])
        .env("SHOP", shop())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stdout));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let intents: Vec<&str> =
        report["runs"].as_array().unwrap().iter().filter_map(|run| run["intent"].as_str()).collect();
    assert_eq!(intents, ["failover", "switchover"]);
    let timeline = report["runs"][0]["timeline"].as_array().unwrap();
    let lines: Vec<&str> = timeline.iter().filter_map(|entry| entry["what"].as_str()).collect();
    let asked = lines.iter().find_map(|line| {
        line.strip_prefix("of ")?.strip_suffix(" orders that were placed inside it, none was acknowledged")
    });
    let orders: u32 = asked.and_then(|asked| asked.parse().ok()).unwrap_or_else(|| panic!("{lines:#?}"));
    assert!(orders > 3, "{orders} orders were placed inside");
    for promise in ["S1", "S2", "L1", "A1"] {
        assert_eq!(report["promises"][promise], "held", "{}", report["reasons"]);
    }
}

/// The example's app, built if it is not there yet.
fn shop() -> PathBuf {
    let shop = Path::new(env!("CARGO_BIN_EXE_lifeboat")).with_file_name("shop");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "shop"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(built.success() && shop.exists(), "{} was not built", shop.display());
    shop
}
