//! Reading the file, and showing what is wrong with it where it is wrong.

use std::path::Path;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use lifeboat_model::{App, Problem};

use crate::exit::Failure;

/// The app that a file declares.
pub fn read(path: &Path) -> Result<App, Failure> {
    Ok(read_with_text(path)?.0)
}

/// The same with the file's text, for those who have something to say about it. Read once: it may be a pipe.
pub fn read_with_text(path: &Path) -> Result<(App, String), Failure> {
    let bytes = bytes(path)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    match lifeboat_model::parse_bytes(&bytes) {
        Ok(app) => Ok((app, text)),
        Err(problems) => Err(Failure::Wrong(render(path, &text, &problems))),
    }
}

/// The directory of a file, at which relative paths of certificates start.
pub fn base(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

/// What a file holds.
pub fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::Wrong(format!("lifeboat: {}: {error}", path.display())))
}

/// Every problem with its place in the file.
pub fn render(path: &Path, text: &str, problems: &[Problem]) -> String {
    excerpts(path, text, problems, &Level::ERROR, ["problem", "problems"])
}

/// The same for what is no mistake.
pub fn render_warnings(path: &Path, text: &str, problems: &[Problem]) -> String {
    excerpts(path, text, problems, &Level::WARNING, ["warning", "warnings"])
}

fn excerpts(path: &Path, text: &str, problems: &[Problem], level: &Level, words: [&str; 2]) -> String {
    use std::io::IsTerminal as _;
    let renderer = if std::io::stderr().is_terminal() { Renderer::styled() } else { Renderer::plain() };
    let origin = path.display().to_string();
    let mut shown: Vec<String> = problems
        .iter()
        .map(|problem| {
            let title = if problem.field.is_empty() {
                problem.message.clone()
            } else {
                format!("{}: {}", problem.field, problem.message)
            };
            // Of the line alone: a look through the whole file for each of many problems takes minutes.
            let range = problem.byte_range(text);
            let start = text[..range.start].rfind('\n').map_or(0, |end| end + 1);
            let end = text[range.end..].find('\n').map_or(text.len(), |length| range.end + length);
            let annotation =
                AnnotationKind::Primary.span(range.start - start..range.end - start).label(&problem.expected);
            let line = Snippet::source(&text[start..end]).line_start(problem.line).path(&origin).annotation(annotation);
            let group = level.clone().primary_title(&title).element(line);
            let help = problem.suggestion.as_ref().map(|suggestion| format!("did you mean `{suggestion}`?"));
            let group = match &help {
                Some(help) => group.element(Level::HELP.message(help)),
                None => group,
            };
            renderer.render(&[group]).to_string()
        })
        .collect();
    shown.push(match problems.len() {
        1 => format!("1 {}", words[0]),
        many => format!("{many} {}", words[1]),
    });
    shown.join("\n\n")
}
