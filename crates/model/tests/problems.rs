//! What is said of wrong files, as texts: `testdata/*.txt` holds a file, a line `----`, and the problems, one a line,
//! with the offending text at the end. `UPDATE=1` writes what is said now; the diff is for review.

use std::fs;
use std::path::Path;

use lifeboat_model::parse;

const BORDER: &str = "----\n";

#[test]
fn wrong_files_are_explained() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let update = std::env::var_os("UPDATE").is_some();
    let mut cases = 0;
    let mut differing = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        cases += 1;
        let case = fs::read_to_string(&path).unwrap();
        // The last border: a file under test may have one of its own.
        let (input, before) = case.rsplit_once(BORDER).unwrap_or((&case, ""));
        let now = explain(input);
        if update {
            fs::write(&path, format!("{input}{BORDER}{now}")).unwrap();
        } else if before != now {
            differing.push(format!("{}\n--- expected\n{before}--- found\n{now}", path.display()));
        }
    }
    assert!(cases > 20, "the cases were not found");
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

fn explain(input: &str) -> String {
    match parse(input) {
        Ok(_) => "no problem\n".into(),
        Err(problems) => {
            problems.iter().map(|problem| format!("{problem}  « {}\n", &input[problem.byte_range(input)])).collect()
        }
    }
}
