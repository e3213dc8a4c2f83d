//! Reading files, showing what is wrong with them where it is wrong, and writing them so that nothing is lost.

use std::fs::{File, Metadata};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use lifeboat_model::{App, Problem};

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

/// Puts other content into a file, or makes it: all of it or nothing, through links, under the same owner and with the same mode.
/// What is neither a file nor missing, such as a pipe, is written to as it is.
pub fn put(path: &Path, content: &[u8]) -> Result<(), Failure> {
    put_at(path, content).map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))
}

fn put_at(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let known = match std::fs::metadata(path) {
        Ok(known) => Some(known),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if known.as_ref().is_some_and(|known| !known.is_file()) {
        return File::options().write(true).open(path)?.write_all(content);
    }
    // A link keeps leading to the file; one that leads nowhere is no place to write to.
    let real = match &known {
        Some(_) => std::fs::canonicalize(path)?,
        None if path.is_symlink() => {
            return Err(std::io::Error::other("a link that leads nowhere; nothing is written"));
        }
        None => path.to_owned(),
    };
    let folder = real.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // It has a name that nothing else has, and is removed if anything below fails.
    let mut aside = tempfile::Builder::new();
    aside.prefix(".lifeboat-");
    if known.is_none() {
        aside.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    }
    let mut aside = aside.tempfile_in(folder)?;
    if let Some(known) = &known {
        take_over(aside.as_file(), known)?;
    }
    aside.write_all(content)?;
    aside.as_file().sync_all()?;
    aside.persist(&real)?;
    File::open(folder)?.sync_all()
}

/// Gives a new file the owner and the mode of the one whose place it takes.
fn take_over(new: &File, known: &Metadata) -> std::io::Result<()> {
    let own = new.metadata()?;
    if (own.uid(), own.gid()) != (known.uid(), known.gid()) {
        std::os::unix::fs::fchown(new, Some(known.uid()), Some(known.gid())).map_err(|error| {
            std::io::Error::new(
                error.kind(),
                format!("its owner {}:{} cannot be kept, so nothing is written: {error}", known.uid(), known.gid()),
            )
        })?;
    }
    // After the owner: a change of that takes some bits of the mode away.
    new.set_permissions(known.permissions())
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
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_through_its_link_with_its_mode_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.yaml"), folder.path().join("link.yaml"));
        let bystander = folder.path().join("real.yaml.new");
        std::fs::write(&real, "before").unwrap();
        std::fs::write(&bystander, "precious").unwrap();
        std::fs::set_permissions(&real, PermissionsExt::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("real.yaml", &link).unwrap();
        put(&link, b"after").unwrap();
        assert!(link.is_symlink(), "the link stays a link");
        assert_eq!(std::fs::read_to_string(&real).unwrap(), "after");
        assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o7777, 0o640);
        assert_eq!(std::fs::read_to_string(&bystander).unwrap(), "precious");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    /// Only root can give files away; others see that the owner, who they are, stays.
    #[test]
    fn the_owner_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        std::fs::write(&file, "before").unwrap();
        let _ = std::os::unix::fs::chown(&file, Some(65_534), Some(65_534));
        let owner = |file: &Path| std::fs::metadata(file).map(|found| (found.uid(), found.gid())).unwrap();
        let before = owner(&file);
        put(&file, b"after").unwrap();
        assert_eq!(owner(&file), before);
    }

    #[test]
    fn what_fails_leaves_the_file_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = folder.path().join("nowhere.yaml");
        std::os::unix::fs::symlink("missing/file.yaml", &nowhere).unwrap();
        assert!(put(&nowhere, b"x").is_err());
        assert!(nowhere.is_symlink());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

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
