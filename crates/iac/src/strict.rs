//! JSON that people edit or hand in, read so that nothing of it is passed over: a key that is there twice is refused, and what is wrong
//! is told with its line and field.

use std::fmt;

use lifeboat_model::Places;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};

/// A value, every key of which is there once.
///
/// # Errors
/// What is wrong, with its line and column.
pub(crate) fn json(text: &str) -> Result<Json, String> {
    if text.trim().is_empty() {
        return Err("it is empty".into());
    }
    serde_json::from_str::<Strict>(text).map(|Strict(json)| json).map_err(|error| error.to_string())
}

/// What is wrong with a field of a text, in a line: where, what, and what was expected.
pub(crate) fn wrong(text: &str, field: &str, message: impl fmt::Display, expected: impl fmt::Display) -> String {
    let problem = Places::of(text).problem(field, message.to_string(), expected.to_string());
    format!("line {}, column {}: {field}: {message}; expected {expected}", problem.line, problem.column)
}

/// A value as it is written, short enough to be repeated.
pub(crate) fn shown(json: &Json) -> String {
    let text = json.to_string();
    if text.chars().count() > 40 { format!("{}…", text.chars().take(40).collect::<String>()) } else { text }
}

struct Strict(Json);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(de::Error::custom(format!("`{key}` is there twice")));
            }
            let Strict(value) = entries.next_value()?;
            map.insert(key, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may end by a panic")]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_it_is_and_a_second_key_is_refused() {
        let text = r#"{"a": [1, -2, 0.5, "x\n", true, null], "b": {"a": {}}}"#;
        assert_eq!(json(text).unwrap(), serde_json::from_str::<Json>(text).unwrap());
        assert_eq!(json("{\"a\": {\n\"b\": 1,\n \"b\": 2}}").unwrap_err(), "`b` is there twice at line 3 column 4");
        assert_eq!(json(" \n").unwrap_err(), "it is empty");
        assert!(json("{\"a\":").unwrap_err().contains("line 1 column 5"));
    }

    #[test]
    fn a_field_is_told_with_its_line() {
        let text = "{\n  \"serving\": {\n    \"web\": [\"mars\"]\n  }\n}\n";
        assert_eq!(
            wrong(text, "serving.web", "`mars` is no region", "a region"),
            "line 3, column 5: serving.web: `mars` is no region; expected a region"
        );
    }
}
