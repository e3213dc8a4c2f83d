//! The file described for people, as Markdown, made from the parser's own table of fields: a chapter of the user's book.

use std::fmt::Write as _;

use crate::fields::{Applies, FILE, Field, Object, Shape};

/// All fields of a `lifeboat.yaml`: object by object, in the order in which the file leads to them.
pub fn reference() -> String {
    let mut text = String::new();
    let mut objects: Vec<(String, &Object)> = vec![("At the top".into(), &FILE)];
    let mut at = 0;
    while let Some((path, object)) = objects.get(at).cloned() {
        let _ = write!(text, "## {path}\n\n{}\n\n", object.about);
        text += "| field | value | |\n|---|---|---|\n";
        for field in object.fields {
            let _ = writeln!(text, "| `{}` | {} | {} |", field.name, value(&field.shape), about(field));
            let below =
                if at == 0 { field.name.to_owned() } else { format!("{}.{}", path.trim_matches('`'), field.name) };
            if let Some((name, object)) = leads_to(&below, &field.shape)
                && !objects.iter().any(|(_, known)| known.name == object.name)
            {
                objects.push((format!("`{name}`"), object));
            }
        }
        text.push('\n');
        at += 1;
    }
    text
}

/// The object that a field leads to, with its path.
fn leads_to(path: &str, shape: &Shape) -> Option<(String, &'static Object)> {
    match shape {
        Shape::Object(object) | Shape::Either(_, object) => Some((path.to_owned(), object)),
        Shape::Map { value, .. } => leads_to(&format!("{path}.NAME"), value),
        Shape::Scalar(_) | Shape::List { .. } => None,
    }
}

fn value(shape: &Shape) -> String {
    let one = |text: String| text.replace('|', "\\|");
    match shape {
        Shape::Scalar(scalar) => one(scalar.expected()),
        Shape::Object(object) => format!("[{}](#{})", object.name, anchor(object)),
        Shape::Map { value: of, .. } => format!("by name: {}", value(of)),
        Shape::List { item, .. } => format!("a list, each {}", one(item.expected())),
        Shape::Either(scalar, object) => {
            format!("{}, or [{}](#{})", one(scalar.expected()), object.name, anchor(object))
        }
    }
}

/// What Markdown makes of an object's heading.
fn anchor(object: &Object) -> String {
    let mut heading = String::new();
    find(&FILE, "", object.name, &mut heading);
    heading.to_lowercase().replace('.', "")
}

fn find(within: &Object, path: &str, name: &str, found: &mut String) {
    for field in within.fields {
        let below = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
        if let Some((path, object)) = leads_to(&below, &field.shape) {
            if found.is_empty() && object.name == name {
                *found = path;
                return;
            }
            find(object, &path, name, found);
        }
    }
}

fn about(field: &Field) -> String {
    let mut text = String::new();
    if field.required {
        text += "**Required.** ";
    }
    text += field.about;
    if let Some(default) = field.default {
        let _ = write!(text, " Left out: `{default}`.");
    }
    if let Some(other) = field.beside {
        let _ = write!(text, " Only beside `{other}`.");
    }
    if field.applies != Applies::All {
        let _ = write!(text, " Only for {}.", field.applies.describe());
    }
    text.replace('|', "\\|")
}
