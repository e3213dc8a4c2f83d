//! Puts the choices back into the file (`--write`), byte for byte the same elsewhere: comments, order, quotes, indents.
//!
//! The parser's events say where each mapping, key and value stands; changes are made in the text at those places. What
//! comes out is parsed again, and refused unless it says exactly what was to be written and nothing else changed: a file
//! is never left half right.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use granit_parser::{Event, Parser};
use lifeboat_model::app::{Kind, Pattern, Replication};
use lifeboat_model::compute::{Instances, has_standby_size};
use lifeboat_model::{App, ComponentId, RegionId};

use crate::choice::Carriage;
use crate::inputs::Inputs;
use crate::report::{Assessment, Standing};

/// Why nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The text is no longer the file that was assessed.
    #[error("the file cannot be read: {0}")]
    Unreadable(String),
    /// There is nothing that holds every objective as the file stands.
    #[error(
        "not every objective can be held with what the file says and fixes; change that first{anew}, as the contradictions say"
    )]
    Contradictory {
        /// What else would help.
        anew: &'static str,
    },
    /// Something that the file fixes would change.
    #[error("`components.{component}.{field}` is fixed by the file, and {wanted} was chosen; `--anew` overwrites it")]
    Fixed {
        /// Which.
        component: String,
        /// What is fixed.
        field: &'static str,
        /// What would be written.
        wanted: String,
    },
    /// A component stands in a way that is not edited, such as behind an alias.
    #[error(
        "`components.{component}` stands in a way that is not edited (an alias, a merge, an empty value); write there yourself: {wanted}"
    )]
    NotEditable {
        /// Which.
        component: String,
        /// What to write.
        wanted: String,
    },
    /// A chosen region is not in the file.
    #[error("`{component}` should recover in {place}, which the file does not name; add it to `regions` first")]
    NoSuchRegion {
        /// Which.
        component: String,
        /// The place.
        place: String,
    },
    /// The result would not say what was to be said.
    #[error("the edited file would not say what was chosen; nothing is written ({0})")]
    Refused(String),
}

/// What is written for a component.
#[derive(Clone, Debug, PartialEq)]
struct Wanted {
    pattern: Pattern,
    /// Of a database: where it writes.
    writer: Option<RegionId>,
    /// Of a database that is kept elsewhere: where, and how each is kept up to date.
    standbys: Option<BTreeMap<RegionId, Replication>>,
    /// Of a database with more synchronous standbys than have to confirm: how many do.
    confirmations: Option<usize>,
    /// Of compute: where it runs, its home first.
    regions: Vec<RegionId>,
    /// Of what has them: instances that stand by.
    standby: Option<u32>,
}

/// The file with the assessment's choices in it. What the file says already stays as it stands, byte for byte.
///
/// # Errors
/// Where the choices do not hold every objective; where they change what the file fixes although that was to be kept; where the text
/// cannot be edited.
pub fn write(text: &str, answer: &Assessment, keep_pins: bool) -> Result<String, WriteError> {
    let app = parse(text)?;
    if !answer.conflicts.is_empty() || answer.summary.standing == Standing::Unattainable {
        return Err(WriteError::Contradictory {
            anew: if keep_pins { ", or have it chosen with `--anew`" } else { "" },
        });
    }
    let mut edited = text.to_owned();
    let mut expected = app.clone();
    for (id, component) in &app.components {
        let Some(wanted) = wanted(&app, id, answer)? else { continue };
        let target = expected.components.get_mut(id).ok_or_else(|| WriteError::Unreadable(id.to_string()))?;
        let mut fields: Vec<(Field, bool, String)> = Vec::new();
        if component.pattern != Some(wanted.pattern) {
            fields.push((Field::Pattern, component.pattern.is_some(), wanted.pattern.as_str().into()));
            target.pattern = Some(wanted.pattern);
        }
        if let Some(writer) = &wanted.writer
            && component.writer.as_ref() != Some(writer)
        {
            fields.push((Field::Writer, component.writer.is_some(), writer.to_string()));
            target.writer = Some(writer.clone());
        }
        if let Some(standbys) = &wanted.standbys
            && &component.standbys != standbys
        {
            fields.push((Field::Standbys, !component.standbys.is_empty(), flow(standbys)));
            target.standbys.clone_from(standbys);
        }
        if let Some(confirmations) = wanted.confirmations
            && component.confirmations != confirmations
        {
            fields.push((Field::Confirmations, false, confirmations.to_string()));
        }
        if !wanted.regions.is_empty() && !is_same(&wanted.regions, &component.regions) {
            // What runs everywhere is so by default.
            let listed = component.regions.len() < app.data_regions().count();
            let names: Vec<&str> = wanted.regions.iter().map(RegionId::as_str).collect();
            fields.push((Field::Regions, listed, format!("[{}]", names.join(", "))));
            target.regions = wanted.regions.into_iter().collect();
        }
        // A standby as large as the pattern has it anyhow need not be written.
        if let Some(standby) = wanted.standby
            && Instances::of(target).standby != standby
        {
            fields.push((Field::Standby, component.size.standby.is_some(), standby.to_string()));
            target.size.standby = Some(standby);
        }
        for (field, fixed, value) in fields {
            if fixed && keep_pins {
                return Err(WriteError::Fixed { component: id.to_string(), field: field.as_str(), wanted: value });
            }
            edited = set_field(&edited, id, field, &value)?;
        }
    }
    let read = parse(&edited).map_err(|error| WriteError::Refused(error.to_string()))?;
    for (id, component) in &mut expected.components {
        // Defaults that follow from the standbys are the parser's business.
        if let Some(found) = read.components.get(id) {
            component.confirmations = found.confirmations;
        }
    }
    if read != expected {
        return Err(WriteError::Refused("something else would change".into()));
    }
    Ok(edited)
}

/// Assesses the written file: whether it now says what was proposed.
pub fn says(text: &str, inputs: &Inputs<'_>) -> Result<Assessment, WriteError> {
    Ok(crate::assemble::assess(&parse(text)?, inputs))
}

fn parse(text: &str) -> Result<App, WriteError> {
    lifeboat_model::parse(text).map_err(|problems| {
        WriteError::Unreadable(
            problems.first().map_or(String::new(), |problem| format!("line {}: {}", problem.line, problem.message)),
        )
    })
}

fn wanted(app: &App, id: &ComponentId, answer: &Assessment) -> Result<Option<Wanted>, WriteError> {
    let Some(report) = answer.components.iter().find(|report| report.component == id.as_str()) else { return Ok(None) };
    let Some(component) = app.components.get(id) else { return Ok(None) };
    let Some(pattern) = Pattern::ALL.iter().copied().find(|pattern| pattern.as_str() == report.pattern) else {
        return Ok(None);
    };
    let region = |name: &String| {
        let id = RegionId::from(name.as_str());
        if app.regions.contains_key(&id) {
            Ok(id)
        } else {
            Err(WriteError::NoSuchRegion { component: report.component.clone(), place: name.clone() })
        }
    };
    let writer = region(&report.home)?;
    let standby = has_standby_size(component.kind).then_some(report.standby_instances);
    if !component.kind.is_database() {
        let elsewhere = report.targets.iter().chain(&report.also).map(region);
        let regions = std::iter::once(Ok(writer)).chain(elsewhere).collect::<Result<_, _>>()?;
        return Ok(Some(Wanted { pattern, writer: None, standbys: None, confirmations: None, regions, standby }));
    }
    let mode = match report.replication {
        Carriage::Synchronous => Some(Replication::Synchronous),
        // Of what is restored from a backup, where that is copied to.
        Carriage::Asynchronous | Carriage::SeveralWriters | Carriage::Backups => Some(Replication::Asynchronous),
        Carriage::Nothing => None,
    };
    let standbys = match mode {
        None => None,
        Some(mode) => {
            let mut standbys = component.standbys.clone();
            standbys.remove(&writer);
            for target in &report.targets {
                standbys.insert(region(target)?, mode);
            }
            Some(standbys)
        }
    };
    let several = mode == Some(Replication::Synchronous) && report.targets.len() > 1;
    let confirmations = (component.kind == Kind::Postgres && several).then_some(1);
    Ok(Some(Wanted { pattern, writer: Some(writer), standbys, confirmations, regions: Vec::new(), standby }))
}

fn is_same(wanted: &[RegionId], regions: &BTreeSet<RegionId>) -> bool {
    wanted.len() == regions.len() && wanted.iter().all(|region| regions.contains(region))
}

fn flow(standbys: &BTreeMap<RegionId, Replication>) -> String {
    let entries: Vec<String> = standbys.iter().map(|(region, mode)| format!("{region}: {}", mode.as_str())).collect();
    format!("{{{}}}", entries.join(", "))
}

/// A mapping's entries with their places in the text, of the component that is edited.
struct Entry {
    key: String,
    key_at: Range<usize>,
    value_at: Range<usize>,
}

/// A field of a component that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Pattern,
    Writer,
    Standbys,
    Confirmations,
    Regions,
    Standby,
}

impl Field {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pattern => "pattern",
            Self::Writer => "writer",
            Self::Standbys => "standbys",
            Self::Confirmations => "confirmations",
            Self::Regions => "regions",
            Self::Standby => "size.standby",
        }
    }
}

fn set_field(text: &str, id: &ComponentId, field: Field, value: &str) -> Result<String, WriteError> {
    match field {
        Field::Pattern | Field::Writer | Field::Standbys | Field::Confirmations | Field::Regions => {
            set(text, id, &["components", id.as_str()], &["kind"], field.as_str(), value)
        }
        Field::Standby => {
            let size = ["components", id.as_str(), "size"];
            if entries_of(text, &size).is_none() {
                return set(text, id, &size[..2], &["kind"], "size", &format!("{{standby: {value}}}"));
            }
            set(text, id, &size, &["count", "instance", "image", "storage", "writes", "requests"], "standby", value)
        }
    }
}

/// Sets one field of a mapping; a new one comes after the first of these that is there.
fn set(
    text: &str,
    id: &ComponentId,
    path: &[&str],
    after: &[&str],
    key: &str,
    value: &str,
) -> Result<String, WriteError> {
    let not_editable = || WriteError::NotEditable { component: id.to_string(), wanted: format!("{key}: {value}") };
    let entries = entries_of(text, path).ok_or_else(not_editable)?;
    let mut edited = text.to_owned();
    if let Some(entry) = entries.iter().find(|entry| entry.key == key) {
        let old = text.get(entry.value_at.clone()).ok_or_else(not_editable)?;
        // A block mapping of standbys ends with its last entry; its line stays a line.
        let start = entry.value_at.start;
        let kept = old.trim_end().len();
        let replacement = if text[entry.key_at.end..start].contains('\n') {
            // The value stood on lines of its own: it comes up to its key.
            edited.replace_range(entry.key_at.end..start + kept, &format!(": {value}"));
            return Ok(edited);
        } else {
            value
        };
        edited.replace_range(start..start + kept, replacement);
        return Ok(edited);
    }
    // In the style in which that stands.
    let before = after.iter().find_map(|key| entries.iter().find(|entry| entry.key == *key));
    let kind = before.ok_or_else(not_editable)?;
    let line_start = text[..kind.key_at.start].rfind('\n').map_or(0, |at| at + 1);
    let before = &text[line_start..kind.key_at.start];
    if before.chars().all(|c| c == ' ') {
        let line_end = text[kind.value_at.end..].find('\n').map_or(text.len(), |at| kind.value_at.end + at);
        let ending = if text[..line_end].ends_with('\r') { "\r\n" } else { "\n" };
        let at = if ending == "\r\n" { line_end - 1 } else { line_end };
        edited.insert_str(at, &format!("{ending}{before}{key}: {value}"));
    } else {
        edited.insert_str(kind.value_at.end, &format!(", {key}: {value}"));
    }
    Ok(edited)
}

/// The entries of a mapping, such as `components.NAME`; `None`: it has none.
fn entries_of(text: &str, path: &[&str]) -> Option<Vec<Entry>> {
    let mut stack: Vec<Level> = Vec::new();
    let mut entries = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.ok()?;
        let range = span.byte_range()?;
        match event {
            Event::Scalar(value, ..) => scalar(&mut stack, path, &mut entries, value.into_owned(), range),
            Event::MappingStart(..) => {
                stack.push(Level { mapping: true, key: None, start: range.start });
            }
            Event::SequenceStart(..) => stack.push(Level { mapping: false, key: None, start: range.start }),
            Event::MappingEnd | Event::SequenceEnd => {
                let closed = stack.pop()?;
                finish(&mut stack, path, &mut entries, closed.start..range.end.max(closed.start));
            }
            Event::Alias(_) => finish(&mut stack, path, &mut entries, range),
            _ => {}
        }
    }
    (!entries.is_empty()).then_some(entries)
}

/// A collection that is open, with the key whose value comes next.
struct Level {
    mapping: bool,
    key: Option<(String, Range<usize>)>,
    start: usize,
}

fn scalar(stack: &mut [Level], path: &[&str], entries: &mut Vec<Entry>, value: String, range: Range<usize>) {
    match stack.last_mut() {
        Some(level) if level.mapping && level.key.is_none() => level.key = Some((value, range)),
        Some(_) => finish(stack, path, entries, range),
        None => {}
    }
}

/// A value has ended: it belongs to the waiting key, and is noted if that is a field of the component.
fn finish(stack: &mut [Level], path: &[&str], entries: &mut Vec<Entry>, value_at: Range<usize>) {
    let depth = stack.len();
    let inside = depth == path.len() + 1
        && stack.iter().zip(path).all(|(level, name)| level.key.as_ref().is_some_and(|(key, _)| key == name));
    let Some(level) = stack.last_mut().filter(|level| level.mapping) else { return };
    if let Some((key, key_at)) = level.key.take()
        && inside
    {
        entries.push(Entry { key, key_at, value_at });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = "\
app: a
components:
  # The ledger; do not touch.
  books:
    kind: postgres   # ours
    size: {storage: 1GB}   # small
    standbys:
      # near
      frankfurt: asynchronous

  api: {kind: process, run: x}
";

    fn set_all(text: &str, fields: &[(&str, Field, &str)]) -> String {
        let set =
            |text: String, (id, field, value): &(&str, Field, &str)| set_field(&text, &(*id).into(), *field, value);
        fields.iter().fold(text.to_owned(), |text, field| set(text, field).unwrap())
    }

    #[test]
    fn a_standby_gets_its_size_where_sizes_stand() {
        let text = "app: a\ncomponents:\n  b: {kind: asg, size: {instance: x, count: 8, image: y}}\n  c:\n    kind: asg # ours\n    size:\n      count: 8 # peak\n      image: y\n  d: {kind: asg}\n  e: {kind: asg, size: {count: 4, standby: 1}}\n";
        let all = ["b", "c", "d", "e"].map(|id| (id, Field::Standby, "2"));
        let edited = set_all(text, &all);
        let expected = text
            .replace("count: 8, image", "count: 8, standby: 2, image")
            .replace("count: 8 # peak\n", "count: 8 # peak\n      standby: 2\n")
            .replace("d: {kind: asg}", "d: {kind: asg, size: {standby: 2}}")
            .replace("standby: 1", "standby: 2");
        assert_eq!(edited, expected);
    }

    #[test]
    fn fields_are_added_in_the_style_that_is_there() {
        let edited =
            set_all(BLOCK, &[("books", Field::Pattern, "warm-standby"), ("api", Field::Pattern, "pilot-light")]);
        assert!(edited.contains("    kind: postgres   # ours\n    pattern: warm-standby\n    size:"), "{edited}");
        assert!(edited.contains("api: {kind: process, pattern: pilot-light, run: x}"), "{edited}");
        let kept: Vec<&str> = BLOCK.lines().filter(|line| !line.contains("api:")).collect();
        assert!(kept.iter().all(|line| edited.lines().any(|new| new == *line)), "{edited}");
    }

    #[test]
    fn values_are_replaced_where_they_stand() {
        let text = "app: a\ncomponents:\n  b:\n    kind: rds\n    pattern: pilot-light # why\n";
        let edited = set_field(text, &"b".into(), Field::Pattern, "warm-standby").unwrap();
        assert_eq!(edited, text.replace("pilot-light", "warm-standby"));
    }

    #[test]
    fn a_mapping_on_lines_of_its_own_comes_up_to_its_key() {
        let edited = set_field(BLOCK, &"books".into(), Field::Standbys, "{frankfurt: synchronous}").unwrap();
        assert!(edited.contains("    standbys: {frankfurt: synchronous}\n"), "{edited}");
        assert!(edited.contains("  api: {kind: process, run: x}\n"), "{edited}");
    }

    #[test]
    fn windows_line_ends_stay() {
        let text = "app: a\r\ncomponents:\r\n  b:\r\n    kind: rds\r\n    size: {}\r\n";
        let edited = set_field(text, &"b".into(), Field::Pattern, "warm-standby").unwrap();
        assert_eq!(edited, text.replace("kind: rds\r\n", "kind: rds\r\n    pattern: warm-standby\r\n"));
    }

    #[test]
    fn an_alias_is_left_to_a_person() {
        let text = "app: a\nx: &x {kind: rds}\ncomponents:\n  b: *x\n";
        assert!(matches!(
            set_field(text, &"b".into(), Field::Pattern, "warm-standby"),
            Err(WriteError::NotEditable { .. })
        ));
    }
}
