//! Filling in the fragments: pieces of real YAML or JSON beside the generators, with `@{name}` where the app's own values go.

/// Replaces every `@{name}`.
pub(crate) fn fill(fragment: &str, values: &[(&str, &str)]) -> String {
    let mut out = fragment.to_owned();
    for (name, value) in values {
        out = out.replace(&format!("@{{{name}}}"), value);
    }
    out
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
