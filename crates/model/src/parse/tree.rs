//! YAML text to a tree in which every node knows where it stands. Knows nothing of what a `lifeboat.yaml` contains.
//!
//! Bounded: the text, the nodes (aliases counted as often as they are used) and the depth.

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, Marker, Options, Parser, ScalarStyle, ScanError, Span};

use crate::problem::{At, Problems, Spot};

/// A longer file is refused, before it is looked at. One of ten thousand components has some 2 MiB.
pub const MOST_BYTES: usize = 4 << 20;
const MOST_NODES: usize = 1_000_000;
/// A longer text counts as several nodes, so that aliases cannot multiply it either.
const BYTES_OF_ONE: usize = 64;
/// Keys are names; every problem below a key repeats it.
const MOST_OF_A_KEY: usize = 256;
/// The deepest field that exists is five levels down.
const MOST_DEPTH: usize = 64;

/// A value with its position.
#[derive(Debug)]
pub(super) struct Node {
    pub at: At,
    pub content: Content,
    /// Nodes in it, itself included, aliases expanded, long texts counted by their length.
    size: usize,
    /// Levels in it, itself included, aliases expanded.
    depth: usize,
}

#[derive(Debug)]
pub(super) enum Content {
    Scalar(Scalar),
    Sequence(Vec<Rc<Node>>),
    Mapping(Vec<Entry>),
}

/// The text of a scalar; a plain one, without quotes, may also be a number, a boolean or null.
#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub text: String,
    pub plain: bool,
}

/// A key with its value; keys may repeat.
#[derive(Debug)]
pub(super) struct Entry {
    pub key: Scalar,
    pub at: At,
    pub value: Rc<Node>,
}

impl Node {
    /// Where a field stands: a value that is a scalar, else the name; of one that is not there, what is nearest around it. Names may
    /// hold dots, so the longest that fits is followed.
    pub fn find(&self, path: &str) -> At {
        let (mut node, mut rest, mut at) = (self, path, At::START);
        while let Content::Mapping(entries) = &node.content {
            let after = |entry: &&Entry| {
                let after = rest.strip_prefix(entry.key.text.as_str())?;
                if after.is_empty() { Some(after) } else { after.strip_prefix('.') }
            };
            let Some(entry) =
                entries.iter().filter(|entry| after(entry).is_some()).max_by_key(|entry| entry.key.text.len())
            else {
                return at;
            };
            rest = after(&entry).unwrap_or_default();
            at = entry.at;
            node = &entry.value;
            if rest.is_empty() {
                break;
            }
        }
        match node.content {
            Content::Scalar(_) if rest.is_empty() && !node.is_null() => node.at,
            _ => at,
        }
    }

    /// Nothing was written, or `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar(Scalar { text, plain: true })
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }
}

/// Reads the only document of the text. `None`: a problem was reported.
pub(super) fn read(text: &str, problems: &mut Problems) -> Option<Rc<Node>> {
    let outcome = if text.len() > MOST_BYTES {
        let message = format!("the file has {} bytes", text.len());
        Err(Failure { at: At::START, message, expected: format!("at most {MOST_BYTES}") })
    } else {
        Reader { text, open: Vec::new(), anchors: HashMap::new(), nodes: 0 }.document()
    };
    match outcome {
        Ok(node) => Some(node),
        Err(Failure { at, message, expected }) => {
            problems.push(&Spot { at, ..Spot::root() }, message, expected);
            None
        }
    }
}

/// What ends the reading at once: the tree beyond it cannot be known.
struct Failure {
    at: At,
    message: String,
    expected: String,
}

/// A collection whose end has not come yet.
struct Open {
    at: At,
    anchor: usize,
    mapping: bool,
    children: Vec<Rc<Node>>,
}

struct Reader<'t> {
    text: &'t str,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    nodes: usize,
}

impl Reader<'_> {
    fn document(mut self) -> Result<Rc<Node>, Failure> {
        let mut options = Options::default();
        options.set_emit_comments(false);
        let mut root = None;
        for event in Parser::new_from_str_with_options(self.text, options) {
            let (event, span) = event.map_err(|error| syntax(&error))?;
            let at = self.at(&span);
            if event.tag().is_some() {
                return Err(failure(at, "a YAML tag has no meaning here", "the value without its tag"));
            }
            let node = match event {
                Event::Scalar(text, style, anchor, _) => {
                    let scalar = Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                    self.node(at, Content::Scalar(scalar), anchor)?
                }
                Event::SequenceStart(_, anchor, _) => {
                    self.start(at, anchor, false)?;
                    continue;
                }
                Event::MappingStart(_, anchor, _) => {
                    self.start(at, anchor, true)?;
                    continue;
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let Some(Open { at, anchor, mapping, children }) = self.open.pop() else { continue };
                    let content = if mapping { entries(children)? } else { Content::Sequence(children) };
                    self.node(at, content, anchor)?
                }
                Event::Alias(anchor) => {
                    let node = self.anchors.get(&anchor).cloned();
                    let node =
                        node.ok_or_else(|| failure(at, "an alias stands inside its own anchor", "an end to it"))?;
                    self.count(at, node.size)?;
                    node
                }
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(failure(at, "a second document begins", "one document in the file"));
                }
                _ => continue,
            };
            match self.open.last_mut() {
                Some(parent) => parent.children.push(node),
                None => root = Some(node),
            }
        }
        root.filter(|node| !node.is_null())
            .ok_or_else(|| failure(At::START, "the file is empty", "at least `app`, `regions` and `components`"))
    }

    fn start(&mut self, at: At, anchor: usize, mapping: bool) -> Result<(), Failure> {
        if self.open.len() >= MOST_DEPTH {
            return Err(failure(at, "the file is nested too deeply", &format!("at most {MOST_DEPTH} levels")));
        }
        self.open.push(Open { at, anchor, mapping, children: Vec::new() });
        Ok(())
    }

    fn node(&mut self, at: At, content: Content, anchor: usize) -> Result<Rc<Node>, Failure> {
        let weight = match &content {
            Content::Scalar(scalar) => 1 + scalar.text.len() / BYTES_OF_ONE,
            Content::Sequence(_) | Content::Mapping(_) => 1,
        };
        self.count(at, weight)?;
        let (mut size, mut depth) = (weight, 1);
        let mut add = |child: &Node| {
            size += child.size;
            depth = depth.max(child.depth + 1);
        };
        match &content {
            Content::Scalar(_) => {}
            Content::Sequence(items) => items.iter().for_each(|item| add(item)),
            Content::Mapping(entries) => entries.iter().for_each(|entry| add(&entry.value)),
        }
        if depth > MOST_DEPTH {
            return Err(failure(at, "aliases nest too deeply", &format!("at most {MOST_DEPTH} levels")));
        }
        let node = Rc::new(Node { at, content, size, depth });
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        Ok(node)
    }

    fn count(&mut self, at: At, more: usize) -> Result<(), Failure> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > MOST_NODES {
            let message = "the file holds too many values, those that aliases repeat included";
            return Err(failure(at, message, &format!("at most {MOST_NODES}")));
        }
        Ok(())
    }

    /// The first line of a span.
    fn at(&self, span: &Span) -> At {
        let source = span.slice(self.text).unwrap_or_default();
        let length = source.lines().next().unwrap_or_default().trim_end().chars().count();
        At { length: length.max(1), ..start_of(&span.start) }
    }
}

/// Pairs what stands in a mapping.
fn entries(children: Vec<Rc<Node>>) -> Result<Content, Failure> {
    let mut entries = Vec::with_capacity(children.len() / 2);
    let mut children = children.into_iter();
    while let (Some(key), Some(value)) = (children.next(), children.next()) {
        let Content::Scalar(scalar) = &key.content else {
            return Err(failure(key.at, "a list or a mapping is used as a key", "a name"));
        };
        if scalar.text.len() > MOST_OF_A_KEY {
            return Err(failure(key.at, "a key is too long", &format!("at most {MOST_OF_A_KEY} bytes")));
        }
        entries.push(Entry { key: scalar.clone(), at: key.at, value });
    }
    Ok(Content::Mapping(entries))
}

fn failure(at: At, message: &str, expected: &str) -> Failure {
    Failure { at, message: message.into(), expected: expected.into() }
}

fn syntax(error: &ScanError) -> Failure {
    let message = format!("this is not YAML: {}", error.info());
    Failure { at: start_of(error.marker()), message, expected: "YAML 1.2".into() }
}

fn start_of(marker: &Marker) -> At {
    At { line: marker.line().max(1), column: marker.col() + 1, length: 1 }
}
