//! Reading files, with a bound, and showing what is wrong with them where it is wrong.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use lifeboat_atlas::Atlas;
use lifeboat_model::app::{Place, Provider, Region};
use lifeboat_model::{App, Places, Problem, RegionId, nearest};

use crate::exit::Failure;

/// Prices, reports and histories: larger ones are a mistake, and would fill the memory.
const MOST_BYTES: u64 = 64 << 20;

/// The app that a file declares.
pub fn read(path: &Path) -> Result<App, Failure> {
    Ok(read_with_text(path)?.0)
}

/// The same with the file's text, for those who have something to say about it. Read once: it may be a pipe.
pub fn read_with_text(path: &Path) -> Result<(App, String), Failure> {
    let bytes = declaration(path)?;
    match lifeboat_model::parse_bytes(&bytes) {
        // What could be parsed is UTF-8.
        Ok(app) => Ok((app, String::from_utf8_lossy(&bytes).into_owned())),
        Err(problems) => Err(Failure::Wrong(render(path, &String::from_utf8_lossy(&bytes), &problems))),
    }
}

/// Regions of AWS and Azure that there are not, as far as is known.
pub fn unknown_places(app: &App, text: &str) -> Vec<Problem> {
    let atlas = Atlas::embedded();
    let lines = Places::of(text);
    let is_unknown =
        |place: &Place| matches!(place.provider, Provider::Aws | Provider::Azure) && atlas.region(place).is_none();
    let unknown = app.regions.iter().filter(|(_, region)| is_unknown(&region.place));
    let problem = |(id, region): (&RegionId, &Region)| {
        let place = region.place.to_string();
        let known: Vec<String> = atlas.regions().map(|known| known.place.to_string()).collect();
        let problem = lines.problem(
            &format!("regions.{id}.place"),
            format!("no region `{place}` is known"),
            "one that `lifeboat regions` lists",
        );
        Problem { suggestion: nearest(&place, known.iter().map(String::as_str)), ..problem }
    };
    unknown.map(problem).collect()
}

/// The directory of a file, at which relative paths of certificates start.
pub fn base(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

/// What an app's file holds, parsed or not.
pub fn declaration(path: &Path) -> Result<Vec<u8>, Failure> {
    bounded(path, lifeboat_model::MOST_BYTES as u64)
}

/// What a file holds.
pub fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    bounded(path, MOST_BYTES)
}

/// What a text file holds.
pub fn text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(bytes(path)?).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.split(|byte| *byte == b'\n').count();
        wrong(path, format!("line {line}: this is not text: the bytes from here on are not UTF-8"))
    })
}

/// Reads a file or a pipe to its end, or to the bound: a device may have no end.
fn bounded(path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    let unread = |error: std::io::Error| wrong(path, error.to_string());
    // Before it is opened: that may have an effect on a device.
    let kind = std::fs::metadata(path).map_err(unread)?.file_type();
    if !kind.is_file() && !kind.is_fifo() {
        let what = if kind.is_dir() { "a directory" } else { "a device or a socket" };
        return Err(wrong(path, format!("this is {what}; expected a file or a pipe")));
    }
    let file = File::open(path).map_err(unread)?;
    let size = file.metadata().map_err(unread)?.len();
    let mut bytes = Vec::new();
    if size <= most {
        file.take(most + 1).read_to_end(&mut bytes).map_err(unread)?;
    }
    if size > most || bytes.len() as u64 > most {
        return Err(wrong(path, format!("it is too large; expected at most {most} bytes ({} MiB)", most >> 20)));
    }
    Ok(bytes)
}

fn wrong(path: &Path, why: String) -> Failure {
    Failure::Wrong(format!("lifeboat: {}: {why}", path.display()))
}

/// Whether two paths lead to one file, through whatever links.
pub fn is_same(one: &Path, other: &Path) -> bool {
    let file = |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    file(one).is_some_and(|found| file(other) == Some(found))
}

/// Puts other content into a file, or makes it: all of it or nothing.
pub fn put(path: &Path, content: &[u8]) -> Result<(), Failure> {
    crate::put::file(path, content).map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn reading_has_a_bound_and_devices_and_directories_are_none_to_read() {
        let said = |path: &Path| declaration(path).unwrap_err().text();
        assert_eq!(
            said(Path::new("/dev/zero")),
            "lifeboat: /dev/zero: this is a device or a socket; expected a file or a pipe"
        );
        assert!(said(Path::new("/")).ends_with("this is a directory; expected a file or a pipe"));
        let folder = tempfile::tempdir().unwrap();
        let large = folder.path().join("large.yaml");
        File::create(&large).unwrap().set_len(lifeboat_model::MOST_BYTES as u64 + 1).unwrap();
        assert!(said(&large).ends_with("it is too large; expected at most 4194304 bytes (4 MiB)"), "{}", said(&large));
    }

    /// A pipe tells no size: it is read up to the bound, however much more comes.
    #[test]
    fn an_endless_pipe_is_read_up_to_the_bound() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let endless = std::thread::spawn(move || while writer.write_all(&[b'\n'; 65_536]).is_ok() {});
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        assert!(declaration(Path::new(&path)).unwrap_err().text().contains("it is too large"));
        drop(reader);
        endless.join().unwrap();
    }

    #[test]
    fn what_is_no_text_is_told_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prices.csv");
        std::fs::write(&path, b"provider\naws,\xff\n").unwrap();
        assert!(text(&path).unwrap_err().text().contains("prices.csv: line 2: this is not text"));
    }
}
