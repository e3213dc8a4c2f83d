//! What is wrong with a file, as data: where, what, what was expected, and what was probably meant.
//!
//! How a problem is shown is the caller's matter; [`Problem`]'s `Display` is one plain line.

use std::fmt;
use std::ops::Range;
use std::rc::Rc;

/// One thing that is wrong with a `lifeboat.yaml`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// The column of the first offending character, in characters from 1.
    pub column: usize,
    /// How many characters offend, at least 1; never beyond the end of the line.
    pub length: usize,
    /// The path of the field, such as `components.orders.standbys.frankfurt`; empty for the file as a whole.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub expected: String,
    /// What could stand in place of the offending text.
    pub suggestion: Option<String>,
}

impl Problem {
    /// The offending bytes of the text that was parsed, for tools that underline by byte offset. Empty, at the end of
    /// the text or of the line, where there is nothing to underline.
    pub fn byte_range(&self, text: &str) -> Range<usize> {
        let before: usize = text.split_inclusive('\n').take(self.line.saturating_sub(1)).map(str::len).sum();
        let line = text[before..].split('\n').next().unwrap_or_default();
        let offset = |chars: usize| before + line.char_indices().nth(chars).map_or(line.len(), |(index, _)| index);
        let first = self.column.saturating_sub(1);
        offset(first)..offset(first.saturating_add(self.length))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "{}; expected {}", self.message, self.expected)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; did you mean `{suggestion}`?"),
            None => Ok(()),
        }
    }
}

/// A stretch of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    pub line: usize,
    pub column: usize,
    pub length: usize,
}

impl At {
    pub const START: Self = Self { line: 1, column: 1, length: 1 };
}

/// Where a value stands, in the text and in the tree of fields.
#[derive(Clone, Debug)]
pub(crate) struct Spot {
    pub at: At,
    pub path: Rc<str>,
}

impl Spot {
    pub fn root() -> Self {
        Self { at: At::START, path: "".into() }
    }

    /// The spot of a field or an entry of this one.
    pub fn child(&self, name: &str, at: At) -> Self {
        let path = if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path).into() };
        Self { at, path }
    }
}

/// More than anybody reads; keeps a file of a million errors from costing more than one of a hundred.
const MOST_PROBLEMS: usize = 100;

/// A longer one is nothing that a person overlooked; the longest name there is has so many bytes (RFC 1035, 3.1).
const MOST_OF_A_SUGGESTION: usize = 255;

/// Collects problems.
#[derive(Default)]
pub(crate) struct Problems {
    found: Vec<Problem>,
    unlisted: usize,
}

impl Problems {
    pub fn push(&mut self, spot: &Spot, message: impl Into<String>, expected: impl Into<String>) {
        self.push_with(spot, message, expected, || None);
    }

    /// With a suggestion, which is looked for only if the problem is going to be listed.
    pub fn push_with(
        &mut self,
        spot: &Spot,
        message: impl Into<String>,
        expected: impl Into<String>,
        suggestion: impl FnOnce() -> Option<String>,
    ) {
        if self.found.len() >= MOST_PROBLEMS {
            self.unlisted += 1;
            return;
        }
        self.found.push(Problem {
            line: spot.at.line,
            column: spot.at.column,
            length: spot.at.length.max(1),
            field: spot.path.to_string(),
            message: message.into(),
            expected: expected.into(),
            suggestion: suggestion().filter(|text| text.len() <= MOST_OF_A_SUGGESTION),
        });
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// In the order of the text; the number of those left out, if any, stands at the end.
    pub fn into_vec(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|problem| (problem.line, problem.column));
        if let (Some(last), unlisted @ 1..) = (self.found.last(), self.unlisted) {
            self.found.push(Problem {
                message: format!("{unlisted} more problems are not listed"),
                expected: "those above to be put right first".into(),
                field: String::new(),
                suggestion: None,
                ..last.clone()
            });
        }
        self.found
    }
}

/// The candidate that is most like the word, if one is like it: at most a third of its characters differ.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let length = word.chars().count();
    if length > 64 {
        return None;
    }
    let most = (length / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= 4 * most)
        .map(|candidate| (strsim::osa_distance(&word.to_lowercase(), candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

/// As many as there are kinds of component.
const MOST_LISTED: usize = 16;

/// Words as a list for people: `a`, `b` or `c`.
pub(crate) fn listed<'a>(words: impl IntoIterator<Item = &'a str>, last: &str) -> String {
    let mut quoted: Vec<String> = words.into_iter().take(MOST_LISTED + 1).map(|word| format!("`{word}`")).collect();
    if quoted.len() > MOST_LISTED {
        quoted[MOST_LISTED] = "others".into();
    }
    match quoted.as_slice() {
        [] => "nothing".into(),
        [one] => one.clone(),
        [first @ .., end] => format!("{} {last} {end}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_only_if_it_is_near() {
        let words = ["frankfurt", "ireland", "stockholm"];
        assert_eq!(nearest("frankfrut", words), Some("frankfurt".into()));
        assert_eq!(nearest("Ireland", words), Some("ireland".into()));
        assert_eq!(nearest("mumbai", words), None);
    }

    #[test]
    fn bytes_are_found_from_characters() {
        let problem = Problem {
            line: 2,
            column: 3,
            length: 2,
            field: String::new(),
            message: String::new(),
            expected: String::new(),
            suggestion: None,
        };
        let text = "é\néßäöü\n";
        assert_eq!(&text[problem.byte_range(text)], "äö");
        assert_eq!(problem.byte_range("a"), 1..1);
        assert_eq!(problem.byte_range(""), 0..0);
    }
}
