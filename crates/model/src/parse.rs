//! `lifeboat.yaml` to [`App`]: everything that is wrong with a file at once, or the app.
//!
//! In three steps: text to a tree with positions (`tree`), the tree against the table of fields (`typed`), and what was
//! read to the app, with the rules between fields (`app`). Each goes on past what it reports, so that one run shows all.

mod app;
mod component;
mod rules;
mod tree;
mod typed;

pub use self::tree::MOST_BYTES;
use crate::App;
use crate::fields::{FILE, Shape};
use crate::problem::{At, Problem, Problems, Spot};

/// Reads and judges a file. Paths stay as they are written; the caller resolves relative ones against the file.
///
/// # Errors
/// Every problem of the file, in the order of the text; at most a hundred, and a last one that counts the rest.
/// Only a file that is no YAML, or is beyond the bounds (4 MiB, a million values, 64 levels), gives one alone.
pub fn parse(text: &str) -> Result<App, Vec<Problem>> {
    let mut problems = Problems::default();
    let Some(root) = tree::read(text, &mut problems) else { return Err(problems.into_vec()) };
    let file = typed::check(&root, &Spot::root(), &Shape::Object(&FILE), &mut problems);
    let app = match &file.content {
        typed::Typing::Object(fields) => app::build(fields, &mut problems),
        _ => None,
    };
    match app {
        Some(app) if problems.is_empty() => Ok(app),
        _ => Err(problems.into_vec()),
    }
}

/// Finds fields in a file's text, for those who find something wrong with an [`App`] that could be read.
#[derive(Debug)]
pub struct Places(Option<std::rc::Rc<tree::Node>>);

impl Places {
    /// Of a text; of one that is no YAML nothing is found.
    pub fn of(text: &str) -> Self {
        Self(tree::read(text, &mut Problems::default()))
    }

    /// A problem with a field, such as `components.web.size.image`, where the text has it; a field that is not written stands where
    /// the nearest one around it does.
    pub fn problem(&self, field: &str, message: impl Into<String>, expected: impl Into<String>) -> Problem {
        let at = self.0.as_ref().map_or(At::START, |root| root.find(field));
        let mut problems = Problems::default();
        problems.push(&Spot { at, path: field.into() }, message, expected);
        problems.into_vec().remove(0)
    }
}

/// [`parse`] for what was read from a disk, which may be no text at all.
///
/// # Errors
/// As [`parse`]; bytes that are not UTF-8 give one problem, at the first of them.
pub fn parse_bytes(bytes: &[u8]) -> Result<App, Vec<Problem>> {
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return parse(text),
        Err(error) => error,
    };
    let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let spot = Spot { at: At { line, column, length: 1 }, ..Spot::root() };
    let mut problems = Problems::default();
    problems.push(&spot, "this is not text: the bytes from here on are not UTF-8", "a YAML file in UTF-8");
    Err(problems.into_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_path_or_else_what_is_around_it() {
        let text = "app: shop\nroutes:\n  a.example.com: {to: web}\n  a.example: {to: api}\ncomponents:\n  web:\n    kind: asg\n    size: {count: 3}\n";
        let places = Places::of(text);
        for (field, line, column) in [
            ("app", 1, 6),
            ("routes.a.example.com.to", 3, 23),
            ("routes.a.example.to", 4, 19),
            ("components.web.size.count", 8, 19),
            ("components.web.size.image", 8, 5),
            ("components.web.kind", 7, 11),
            ("components.web", 6, 3),
            ("components.none.kind", 5, 1),
            ("nothing", 1, 1),
        ] {
            let problem = places.problem(field, "wrong", "right");
            assert_eq!((problem.line, problem.column), (line, column), "{field}");
        }
        assert_eq!(Places::of("a: [").problem("a", "wrong", "right").line, 1);
    }
}
