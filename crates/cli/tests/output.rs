//! What commands print, and who reads it.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use std::io::Read as _;
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
