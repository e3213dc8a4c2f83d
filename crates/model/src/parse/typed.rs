//! The tree of a file, checked against the table of fields: every unknown field, wrong type and unreadable value is
//! reported, and what could be read goes on with its position, so that the rest can still be judged.

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::fields::{Object, Shape};
use crate::problem::{Problems, Spot, listed, nearest};
use crate::scalar::{Scalar, Value};

use super::tree::{self, Content, Entry, Node};

/// A value of the file with its position.
pub(super) struct Typed {
    pub spot: Spot,
    pub content: Typing,
}

/// What could be read.
pub(super) enum Typing {
    /// Nothing; a problem was reported.
    Unreadable,
    Scalar(Value),
    Object(Rc<Fields>),
    Map(Vec<Named>),
    List(Vec<Typed>),
}

/// An entry of a mapping whose names the user chooses.
pub(super) struct Named {
    /// The name, in the form in which it is compared.
    pub name: String,
    /// Where the name stands.
    pub spot: Spot,
    pub value: Typed,
}

/// The given fields of an object.
pub(super) struct Fields {
    object: &'static Object,
    /// Where the object's own name stands, for what concerns it as a whole.
    pub spot: Spot,
    given: Vec<(&'static str, Spot, Typed)>,
}

impl Fields {
    /// An object that was left out: everything has its default.
    pub fn none(object: &'static Object, spot: Spot) -> Self {
        Self { object, spot, given: Vec::new() }
    }

    pub fn object(&self) -> &'static Object {
        self.object
    }

    /// The fields that were given, with where their names stand.
    pub fn given(&self) -> impl Iterator<Item = (&'static str, &Spot)> {
        self.given.iter().map(|(name, spot, _)| (*name, spot))
    }

    pub fn get(&self, name: &str) -> Option<&Typed> {
        debug_assert!(self.object.field(name).is_some(), "`{name}` is no field of `{}`", self.object.name);
        self.given.iter().find(|(given, ..)| *given == name).map(|(.., value)| value)
    }

    /// Where the field's value stands, or else the object.
    pub fn spot_of(&self, name: &str) -> Spot {
        self.get(name).map_or_else(|| self.spot.child(name, self.spot.at), |value| value.spot.clone())
    }

    /// The given value or the default. `None`: there is neither, or the given one is unreadable.
    fn value(&self, name: &str) -> Option<Value> {
        match self.get(name) {
            Some(Typed { content: Typing::Scalar(value), .. }) => Some(value.clone()),
            Some(_) => None,
            None => {
                let field = self.object.field(name)?;
                match field.shape {
                    Shape::Scalar(scalar) | Shape::Either(scalar, _) => scalar.read(field.default?, true).ok(),
                    Shape::Object(_) | Shape::Map { .. } | Shape::List { .. } => None,
                }
            }
        }
    }

    pub fn text(&self, name: &str) -> Option<String> {
        if let Value::Text(text) = self.value(name)? { Some(text) } else { None }
    }

    pub fn duration(&self, name: &str) -> Option<Duration> {
        if let Value::Duration(duration) = self.value(name)? { Some(duration) } else { None }
    }

    pub fn address(&self, name: &str) -> Option<IpAddr> {
        if let Value::Address(address) = self.value(name)? { Some(address) } else { None }
    }

    pub fn place(&self, name: &str) -> Option<crate::app::Place> {
        if let Value::Place(place) = self.value(name)? { Some(place) } else { None }
    }

    pub fn bytes(&self, name: &str) -> Option<u64> {
        if let Value::Bytes(bytes) = self.value(name)? { Some(bytes) } else { None }
    }

    pub fn number(&self, name: &str) -> Option<f64> {
        if let Value::Number(number) = self.value(name)? { Some(number) } else { None }
    }

    pub fn cost(&self, name: &str) -> Option<crate::quantity::MonthlyCost> {
        if let Value::Cost(cost) = self.value(name)? { Some(cost) } else { None }
    }

    /// A whole number, in whichever type the table's bounds allow for.
    pub fn integer<N: TryFrom<i64>>(&self, name: &str) -> Option<N> {
        if let Value::Integer(number) = self.value(name)? { N::try_from(number).ok() } else { None }
    }

    /// The variant of an enum whose word was given.
    pub fn word<T: Copy>(&self, name: &str, all: &[T], as_str: fn(T) -> &'static str) -> Option<T> {
        word(&self.value(name)?, all, as_str)
    }

    /// An object in this one; if it was left out or is unreadable, one without any field.
    pub fn fields(&self, name: &str, object: &'static Object) -> Rc<Fields> {
        match self.get(name) {
            Some(Typed { content: Typing::Object(fields), .. }) => Rc::clone(fields),
            _ => Rc::new(Fields::none(object, self.spot_of(name))),
        }
    }

    /// The entries of a mapping; none if it was left out or is unreadable.
    pub fn map(&self, name: &str) -> &[Named] {
        if let Some(Typed { content: Typing::Map(entries), .. }) = self.get(name) { entries } else { &[] }
    }

    /// The readable texts of a list, with their spots; `None` if it was left out or is unreadable.
    pub fn list(&self, name: &str) -> Option<Vec<(&str, &Spot)>> {
        let Some(Typed { content: Typing::List(items), .. }) = self.get(name) else { return None };
        let texts = items.iter().filter_map(|item| match &item.content {
            Typing::Scalar(Value::Text(text)) => Some((text.as_str(), &item.spot)),
            _ => None,
        });
        Some(texts.collect())
    }
}

/// The variant of an enum whose word this is.
pub(super) fn word<T: Copy>(value: &Value, all: &[T], as_str: fn(T) -> &'static str) -> Option<T> {
    let Value::Text(word) = value else { return None };
    all.iter().copied().find(|variant| as_str(*variant) == word)
}

/// Checks a node against what may stand there. `spot`: where the name of the field stands.
pub(super) fn check(node: &Node, spot: &Spot, shape: &Shape, problems: &mut Problems) -> Typed {
    let here = Spot { at: node.at, path: Rc::clone(&spot.path) };
    if node.is_null() {
        problems.push(spot, "there is no value", expected(shape));
        return Typed { spot: spot.clone(), content: Typing::Unreadable };
    }
    let content = match (shape, &node.content) {
        (Shape::Scalar(scalar) | Shape::Either(scalar, _), Content::Scalar(found)) => {
            read(*scalar, found, &here, problems).map_or(Typing::Unreadable, Typing::Scalar)
        }
        (Shape::Object(object) | Shape::Either(_, object), Content::Mapping(entries)) => {
            Typing::Object(Rc::new(check_object(object, entries, spot, problems)))
        }
        (Shape::Map { key, value, least }, Content::Mapping(entries)) => {
            if entries.len() < *least {
                problems.push(spot, "there is no entry", expected(shape));
            }
            Typing::Map(check_map(*key, value, entries, spot, problems))
        }
        (Shape::List { item, least }, Content::Sequence(nodes)) => {
            if nodes.len() < *least {
                problems.push(spot, "the list is empty", expected(shape));
            }
            let item = Shape::Scalar(*item);
            let nodes = nodes.iter().enumerate();
            Typing::List(
                nodes
                    .map(|(index, node)| check(node, &here.child(&index.to_string(), node.at), &item, problems))
                    .collect(),
            )
        }
        (_, found) => {
            let (found, suggestion) = match (found, shape) {
                (Content::Scalar(scalar), Shape::List { item, .. }) => {
                    let reads = item.read(&scalar.text, scalar.plain).is_ok();
                    ("a single value", reads.then(|| format!("[{}]", scalar.text)))
                }
                (Content::Scalar(_), _) => ("a single value", None),
                (Content::Sequence(_), _) => ("a list", None),
                (Content::Mapping(_), _) => ("a mapping", None),
            };
            problems.push_with(&here, format!("{found} stands here"), expected(shape), || suggestion);
            Typing::Unreadable
        }
    };
    Typed { spot: here, content }
}

fn read(scalar: Scalar, found: &tree::Scalar, spot: &Spot, problems: &mut Problems) -> Option<Value> {
    match scalar.read(&found.text, found.plain) {
        Ok(value) => Some(value),
        Err(misread) => {
            problems.push_with(spot, misread.message, scalar.expected(), || misread.suggestion);
            None
        }
    }
}

fn check_object(object: &'static Object, entries: &[Entry], spot: &Spot, problems: &mut Problems) -> Fields {
    let mut fields = Fields::none(object, spot.clone());
    let names = || object.fields.iter().map(|field| field.name);
    for Entry { key, at, value } in entries {
        let key_spot = spot.child(&key.text, *at);
        let Some(field) = object.field(&key.text) else {
            let message = match key.text.as_str() {
                "<<" => "merge keys are not supported".to_owned(),
                _ => format!("`{}` is not a field {}", key.text.escape_debug(), owner(object)),
            };
            problems.push_with(&key_spot, message, listed(names(), "or"), || nearest(&key.text, names()));
            continue;
        };
        if let Some((_, first, _)) = fields.given.iter().find(|(name, ..)| *name == field.name) {
            report_twice(&key_spot, first, problems);
            continue;
        }
        let value = check(value, &key_spot, &field.shape, problems);
        fields.given.push((field.name, key_spot, value));
    }
    for field in object.fields.iter().filter(|field| field.required && fields.get(field.name).is_none()) {
        problems.push(&fields.spot, format!("`{}` is missing", field.name), expected(&field.shape));
    }
    let options = || object.one_of.iter().copied();
    let chosen: Vec<&str> = options().filter(|name| fields.get(name).is_some()).collect();
    if !object.one_of.is_empty() && chosen.len() != 1 {
        let message = match chosen.as_slice() {
            [] => format!("neither {} is given", listed(options(), "nor")),
            several => format!("{} are given together", listed(several.iter().copied(), "and")),
        };
        problems.push(&fields.spot, message, format!("exactly one of {}", listed(options(), "and")));
    }
    for (name, spot) in fields.given() {
        let Some(other) = object.field(name).and_then(|field| field.beside) else { continue };
        if fields.get(other).is_none() {
            let message = format!("`{name}` has no meaning without `{other}`");
            problems.push(spot, message, format!("this field beside `{other}` only"));
        }
    }
    fields
}

fn check_map(key: Scalar, shape: &Shape, entries: &[Entry], spot: &Spot, problems: &mut Problems) -> Vec<Named> {
    let mut named: Vec<Named> = Vec::with_capacity(entries.len());
    let mut seen: HashMap<String, usize> = HashMap::new();
    for entry in entries {
        let key_spot = spot.child(&entry.key.text, entry.at);
        // An entry under a bad name is still looked into, under the name as it is written.
        let name = match read(key, &entry.key, &key_spot, problems) {
            Some(Value::Text(name)) => name,
            _ => entry.key.text.clone(),
        };
        if let Some(first) = seen.get(&name) {
            report_twice(&key_spot, &named[*first].spot, problems);
            continue;
        }
        seen.insert(name.clone(), named.len());
        let value = check(&entry.value, &key_spot, shape, problems);
        named.push(Named { name, spot: key_spot, value });
    }
    named
}

fn report_twice(spot: &Spot, first: &Spot, problems: &mut Problems) {
    let message = format!("this is given twice, first in line {}", first.at.line);
    problems.push(spot, message, "one of the two to be removed");
}

fn owner(object: &Object) -> String {
    if object.name == "file" { "of the file".into() } else { format!("of `{}`", object.name) }
}

/// What may stand in a place, for people.
fn expected(shape: &Shape) -> String {
    let fields = |object: &Object| listed(object.fields.iter().map(|field| field.name), "or");
    match shape {
        Shape::Scalar(scalar) => scalar.expected(),
        Shape::Object(object) => format!("a mapping with {}", fields(object)),
        Shape::Either(scalar, object) => format!("{}, or a mapping with {}", scalar.expected(), fields(object)),
        Shape::Map { key, least, .. } => {
            let what = match key {
                Scalar::Host => "a mapping of host names",
                Scalar::PriceKey => "a mapping of prices, by `PROVIDER/REGION/SKU`",
                _ => "a mapping of names",
            };
            format!("{what}{}", if *least > 0 { " with at least one entry" } else { "" })
        }
        Shape::List { item, .. } => format!("a list `[…]`, each item of which is {}", item.expected()),
    }
}
