//! Filling in the fragments: pieces of real YAML or JSON beside the generators, with `@{name}` where the app's own values go.

/// Replaces every `@{name}` that has a value; others stay for whoever fills in later. What was filled in is not looked at again: a
/// value may hold anything.
pub(crate) fn fill(fragment: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(fragment.len());
    let mut rest = fragment;
    while let Some((before, after)) = rest.split_once("@{") {
        out += before;
        let value = after.split_once('}').and_then(|(name, end)| {
            let (_, value) = values.iter().find(|(known, _)| *known == name)?;
            Some((value, end))
        });
        match value {
            Some((value, end)) => {
                out += value;
                rest = end;
            }
            None => {
                out += "@{";
                rest = after;
            }
        }
    }
    out + rest
}

/// A YAML scalar: plain where that is unmistakable, else in double quotes.
pub(crate) fn yaml(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:@".contains(c))
        && !text.ends_with(':')
        && !["true", "false", "yes", "no", "on", "off", "null", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    if plain { text.into() } else { json(text) }
}

/// A JSON string, which is a YAML one too.
pub(crate) fn json(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out += &format!("\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Every line that is not empty, moved to the right.
pub(crate) fn indent(text: &str, by: usize) -> String {
    let space = " ".repeat(by);
    text.lines().map(|line| if line.is_empty() { "\n".into() } else { format!("{space}{line}\n") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_filled_in_is_left_alone() {
        assert_eq!(fill("@{a} @{b} @{c} @{", &[("a", "@{b}"), ("b", "2")]), "@{b} 2 @{c} @{");
    }

    #[test]
    fn scalars_that_mean_something_else_are_quoted() {
        for (text, written) in [
            ("eu-north-1", "eu-north-1"),
            ("123456789012.dkr.ecr/x:1", "\"123456789012.dkr.ecr/x:1\""),
            ("no", "\"no\""),
            ("1.30", "\"1.30\""),
            ("a: b", "\"a: b\""),
            ("", "\"\""),
        ] {
            assert_eq!(yaml(text), written);
        }
    }
}
