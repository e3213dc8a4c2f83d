//! Prints the whole assessment of a file, or its page: `cargo run -p lifeboat-assess --example assess FILE [html]`.
#![allow(clippy::print_stdout)]

use lifeboat_assess::{Inputs, assess_fully, html, text};
use lifeboat_atlas::Atlas;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("expected a file")?;
    let app = lifeboat_model::parse(&std::fs::read_to_string(path)?).map_err(|problems| format!("{problems:?}"))?;
    let answer = assess_fully(&app, &Inputs::new(Atlas::embedded()));
    if std::env::args().nth(2).is_some() {
        println!("{}", html::page(&answer, app.objectives.rto.map(|rto| rto.as_secs_f64())));
    } else {
        println!("{}", text::render(&answer));
    }
    Ok(())
}
