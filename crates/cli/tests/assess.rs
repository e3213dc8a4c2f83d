//! `lifeboat assess` and `lifeboat regions` on files of a user: nothing of theirs is lost, and nothing they say goes unheard.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/aws/warm-standby.yaml");
    std::fs::read_to_string(path).unwrap()
}

fn lifeboat(folder: &TempDir, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lifeboat")).current_dir(folder.path()).args(words).output().unwrap()
}

/// Exit code and what was said of it.
fn ended(output: &Output) -> (i32, String) {
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn folder_with(content: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    std::fs::write(&file, content).unwrap();
    (folder, file)
}

/// Aurora's secondaries follow asynchronously, whatever the file says; half of the web's regions are none to recover in; and no backup
/// is back within a quarter of an hour.
#[test]
fn what_the_file_fixes_is_not_written_over() {
    let example = example();
    for faulty in [
        example.replace("asynchronous", "synchronous"),
        example.replace("needs: [orders]", "needs: [orders]\n    regions: [stockholm]"),
        example.replace("pattern: warm-standby", "pattern: backup-restore").replace(", standby: 2", ""),
    ] {
        assert_ne!(faulty, example);
        let (folder, file) = folder_with(&faulty);
        let (code, said) = ended(&lifeboat(&folder, &["assess", "a.yaml", "--write"]));
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("a.yaml: nothing is written: not every objective can be held"), "{said}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), faulty);
    }
}

#[test]
fn what_is_fixed_is_written_over_when_that_is_asked_for() {
    let (folder, file) = folder_with(&example().replace("asynchronous", "synchronous"));
    let (code, said) = ended(&lifeboat(&folder, &["assess", "a.yaml", "--write", "--anew"]));
    assert_eq!((code, said.as_str()), (0, ""));
    assert!(std::fs::read_to_string(&file).unwrap().contains("standbys: {frankfurt: asynchronous}"));
}

#[test]
fn writing_follows_a_link_and_touches_no_other_file() {
    let (folder, file) = folder_with(&example().replace("    pattern: warm-standby\n", ""));
    let bystander = folder.path().join("a.yaml.new");
    std::fs::write(&bystander, "precious").unwrap();
    let link = folder.path().join("link.yaml");
    std::os::unix::fs::symlink("a.yaml", &link).unwrap();
    let (code, said) = ended(&lifeboat(&folder, &["assess", "link.yaml", "--write"]));
    assert_eq!((code, said.as_str()), (0, ""));
    assert!(link.is_symlink());
    assert_eq!(std::fs::read_to_string(&file).unwrap().matches("    pattern: ").count(), 2);
    assert_eq!(std::fs::read_to_string(&bystander).unwrap(), "precious");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn a_page_never_takes_the_place_of_what_is_read() {
    let (folder, file) = folder_with(&example());
    std::os::unix::fs::symlink("a.yaml", folder.path().join("page.html")).unwrap();
    std::fs::write(folder.path().join("p.csv"), "provider,region,sku,price_usd\naws,global,ebs-gp3,1\n").unwrap();
    for page in ["a.yaml", "./a.yaml", "page.html", "p.csv"] {
        let (code, said) = ended(&lifeboat(&folder, &["assess", "a.yaml", "--prices", "p.csv", "--html", page]));
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("which is read; expected another file for the page"), "{said}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), example());
}

#[test]
fn words_that_would_go_unheard_are_refused() {
    let (folder, _) = folder_with(&example());
    for words in [
        &["assess", "a.yaml", "--write", "--compare"][..],
        &["assess", "a.yaml", "--write", "--frontier"],
        &["assess", "a.yaml", "--html", "x.html", "--what-if", "traffic=2"],
        &["assess", "a.yaml", "--what-if", "price.nonsense=2"],
        &["assess", "a.yaml", "--what-if", "traffic=1e8"],
        &["assess", "a.yaml", "--what-if", "traffic=100000"],
        &["regions", "--at-most-km", "100"],
        &["regions", "--primary", "aws/eu-north-1", "--at-most-km", "NaN"],
        &["regions", "--primary", "aws/eu-north-1", "--at-most-km", "inf"],
        &["regions", "--primary", "aws/nowhere-9"],
        &["regions", "--primary", "local/x"],
        &["regions", "--other-clouds"],
        &["assess", "/dev/zero"],
    ] {
        let output = lifeboat(&folder, words);
        let (code, said) = ended(&output);
        assert_eq!((code, output.stdout.len()), (2, 0), "{words:?}: {said}");
        assert!(
            !said.contains("panicked") && said.contains("lifeboat") || said.contains("error:"),
            "{words:?}: {said}"
        );
    }
    let suggested = lifeboat(
        &folder,
        &["regions", "suggest", "--primary", "aws/eu-north-1", "--within", "US", "--at-most-km", "1"],
    );
    assert_eq!((ended(&suggested).0, suggested.stdout.len()), (1, 0));
}

/// `jq` and Python's `json` take one value; the parts of an assessment have the names that they have in the whole.
#[test]
fn whatever_is_asked_the_answer_is_one_value() {
    let (folder, _) = folder_with(&example());
    let json = |words: &[&str]| -> Value {
        let output = lifeboat(&folder, &[&["assess", "a.yaml", "--json"], words].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    };
    let whole = json(&[]);
    for (words, expected) in [
        (&["--compare"][..], &["patterns"][..]),
        (&["--frontier"], &["frontier"]),
        (&["--compare", "--frontier"], &["frontier", "patterns"]),
    ] {
        let asked = json(words);
        let object = asked.as_object().unwrap();
        assert_eq!(object.keys().collect::<Vec<_>>(), expected, "{words:?}");
        assert!(object.iter().all(|(key, value)| *value == whole[key.as_str()]), "{words:?}");
    }
    let answers = json(&["--what-if", "traffic=2", "--what-if", "lost=stockholm"]);
    let asked: Vec<&str> =
        answers.as_array().unwrap().iter().map(|answer| answer["what_if"].as_str().unwrap()).collect();
    assert!(asked.len() == 2 && asked[0].contains('2') && asked[1].contains("stockholm"), "{asked:?}");
    assert_eq!(json(&["--what-if", "traffic=2"]).as_array().map(Vec::len), Some(1));
}

#[test]
fn a_price_file_is_refused_by_file_and_line() {
    let (folder, _) = folder_with(&example());
    let prices = folder.path().join("p.csv");
    for (content, expected) in [
        (
            &b"provider,region,sku,price_usd\naws,global,ebs-gp3,1\naws,global,ebs-gp3,2\n"[..],
            "line 3: aws/global/ebs-gp3 has a price in line 2 already",
        ),
        (b"provider,region,sku,price_usd,date\naws,global,ebs-gp3,1,2026-13-45\n", "line 2: column `date`"),
        (b"provider,region,sku,price_usd,basis\naws,global,ebs-gp3,1,\xff\n", "line 2: this is not text"),
    ] {
        std::fs::write(&prices, content).unwrap();
        let (code, said) = ended(&lifeboat(&folder, &["assess", "a.yaml", "--prices", "p.csv"]));
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("p.csv") && said.contains(expected), "{said}");
    }
}
