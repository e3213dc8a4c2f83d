//! What commands print, and who reads it.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// `lifeboat regions | head -n 1`: whoever has read enough goes away, and that is no mishap.
#[test]
fn a_reader_that_goes_away_ends_a_command_quietly() {
    for words in [&["schema"][..], &["regions", "--json"], &["completions", "bash"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lifeboat"))
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Closed before a byte was read: the first write fails, however large the pipe is.
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(141), ""), "{words:?}");
    }
}

/// A full disk is an error like others, whatever is printed.
#[test]
fn what_cannot_be_printed_is_said_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/aws/warm-standby.yaml");
    let (file, infra) = (file.to_str().unwrap(), folder.path().join("infra"));
    let out = infra.to_str().unwrap();
    for words in [
        &["schema"][..],
        &["regions"],
        &["completions", "bash"],
        &["--help"],
        &["validate", file],
        &["validate", file, "--json"],
        &["generate", file, "--out", out],
        &["generate", file, "--out", out, "--check"],
        &["diff", file, "--out", out],
        &["diff", file, "--out", out, "--json"],
        &["roles", file, "--out", out, "--offline", "--writer", "orders=frankfurt"],
        &["roles", file, "--out", out, "--offline", "--writer", "orders=stockholm", "--json"],
    ] {
        let full = || Stdio::from(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
        let run = |stderr: Stdio| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
            command.args(words).stdout(full()).stderr(stderr).spawn().unwrap().wait_with_output().unwrap()
        };
        let output = run(Stdio::piped());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert!(
            said.ends_with("lifeboat: failed printing to stdout: No space left on device (os error 28)\n"),
            "{words:?}: {said}"
        );
        assert_eq!(run(full()).status.code(), Some(1), "{words:?}: neither stream takes anything");
    }
}

/// With a generated tree and with observations, what is printed is one value still.
#[test]
fn a_comparison_in_json_is_json() {
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen.json");
    std::fs::write(&seen, r#"{"observed": {"web": {"frankfurt": {"image": "ami-1"}}}}"#).unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/aws/warm-standby.yaml");
    let infra = folder.path().join("infra");
    let run = |verb: &str, words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.arg(verb).arg(&file).arg("--out").arg(&infra).args(words).output().unwrap()
    };
    assert!(run("generate", &[]).status.success());
    std::fs::remove_file(infra.join("terraform/aws/web.tf")).unwrap();
    let output = run("diff", &["--json", "--observed", seen.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["code"], serde_json::json!([{"path": "terraform/aws/web.tf", "what": "missing"}]));
    assert_eq!((&json["regions"][0]["what"], json["regions"].as_array().unwrap().len()), (&"image".into(), 1));
}

/// A device has no end, and a file of many gigabytes is none that a tool wrote: neither fills the memory.
#[test]
fn observations_have_a_bound() {
    let folder = tempfile::tempdir().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/aws/warm-standby.yaml");
    let large = folder.path().join("large.json");
    std::fs::File::create(&large).unwrap().set_len(1 << 40).unwrap();
    for (observed, expected) in [
        (large.as_path(), "it is too large; expected at most 67108864 bytes"),
        (Path::new("/dev/zero"), "this is a device or a socket; expected a file or a pipe"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        let command = command.arg("diff").arg(&file).arg("--out").arg(folder.path().join("none"));
        let output = command.arg("--observed").arg(observed).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}

/// A region that there is not is said where it stands, before anything is worked out for it.
#[test]
fn a_region_that_is_not_known_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.yaml");
    let text = "app: shop\nfailover: {mode: approve}\nregions:\n  a: {place: aws/eu-centrall-1}\n  b: {place: aws/eu-north-1}\ncomponents:\n  web: {kind: asg}\n";
    std::fs::write(&file, text).unwrap();
    for command in ["validate", "assess", "generate"] {
        let output = Command::new(env!("CARGO_BIN_EXE_lifeboat")).arg(command).arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command}: {said}");
        assert!(said.contains("shop.yaml:4:") && said.contains("aws/eu-centrall-1"), "{command}: {said}");
        assert!(command == "generate" || said.contains("aws/eu-central-1"), "{command}: {said}");
    }
}
