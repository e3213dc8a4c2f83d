//! From a command line to words, much as a shell would, without a shell.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// What is wrong with a command line. Names variables, never their values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// There is no word.
    #[error("it is empty")]
    Empty,
    /// A quote is not closed.
    #[error("a quote {0} is not closed")]
    Unclosed(char),
    /// A backslash is the last character.
    #[error("it ends with a backslash, which has nothing to escape")]
    Backslash,
    /// A dollar sign names nothing.
    #[error("a $ is not followed by a name; write \\$ for a dollar sign")]
    Dollar,
    /// `${` without a name and `}`.
    #[error("expected ${{NAME}}")]
    Braces,
    /// The variable is not given.
    #[error("${name} is not set; set are: {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })]
    Unknown {
        /// The variable.
        name: String,
        /// The variables that are.
        known: Vec<String>,
    },
    /// No argument of a program can hold a NUL.
    #[error("a NUL character")]
    Nul,
}

/// The words of a command line, the program first.
///
/// White space separates words. `'…'` is taken as it is; in `"…"` a backslash escapes `"`, `\` and `$`; elsewhere it
/// escapes any character. `$NAME` and `${NAME}` stand for what `environment` holds, except in `'…'`; what they stand for is never
/// split into words nor expanded again, so a password may contain anything. Nothing else is special: no shell is run, and
/// `|`, `>`, `*` or `;` reach the program as they are.
///
/// # Errors
/// When a quote or name is not complete, or a variable is not in `environment`.
pub fn expand(command: &str, environment: &BTreeMap<String, String>) -> Result<Vec<String>, CommandError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = command.chars().peekable();
    while let Some(character) = rest.next() {
        if character.is_whitespace() {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_default();
        match character {
            '\'' => single_quoted(&mut rest, word)?,
            '"' => double_quoted(&mut rest, environment, word)?,
            '\\' => word.push(rest.next().ok_or(CommandError::Backslash)?),
            '$' => word.push_str(variable(&mut rest, environment)?),
            other => word.push(other),
        }
    }
    words.extend(word);
    if words.first().is_none_or(String::is_empty) {
        return Err(CommandError::Empty);
    }
    if words.iter().any(|word| word.contains('\0')) {
        return Err(CommandError::Nul);
    }
    Ok(words)
}

fn single_quoted(rest: &mut Peekable<Chars<'_>>, word: &mut String) -> Result<(), CommandError> {
    loop {
        match rest.next().ok_or(CommandError::Unclosed('\''))? {
            '\'' => return Ok(()),
            other => word.push(other),
        }
    }
}

fn double_quoted(
    rest: &mut Peekable<Chars<'_>>,
    environment: &BTreeMap<String, String>,
    word: &mut String,
) -> Result<(), CommandError> {
    loop {
        match rest.next().ok_or(CommandError::Unclosed('"'))? {
            '"' => return Ok(()),
            '$' => word.push_str(variable(rest, environment)?),
            '\\' => match rest.next_if(|next| ['"', '\\', '$'].contains(next)) {
                Some(escaped) => word.push(escaped),
                None => word.push('\\'),
            },
            other => word.push(other),
        }
    }
}

fn variable<'a>(
    rest: &mut Peekable<Chars<'_>>,
    environment: &'a BTreeMap<String, String>,
) -> Result<&'a str, CommandError> {
    let braces = rest.next_if_eq(&'{').is_some();
    let mut name = String::new();
    while let Some(character) =
        rest.next_if(|&next| next == '_' || next.is_ascii_alphabetic() || (!name.is_empty() && next.is_ascii_digit()))
    {
        name.push(character);
    }
    match (braces, name.is_empty()) {
        (true, false) if rest.next_if_eq(&'}').is_some() => {}
        (true, _) => return Err(CommandError::Braces),
        (false, true) => return Err(CommandError::Dollar),
        (false, false) => {}
    }
    match environment.get(&name) {
        Some(value) => Ok(value),
        None => Err(CommandError::Unknown { name, known: environment.keys().cloned().collect() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> BTreeMap<String, String> {
        [("SHOP", "/usr/bin/shop"), ("URL", "postgresql://u:p w'$X\"@h/d"), ("EMPTY", ""), ("A1", "one"), ("NUL", "\0")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn words() {
        let table: &[(&str, &[&str])] = &[
            ("run", &["run"]),
            ("  run\tfast \n now ", &["run", "fast", "now"]),
            ("$SHOP --listen 127.0.0.1:80", &["/usr/bin/shop", "--listen", "127.0.0.1:80"]),
            ("run $URL", &["run", "postgresql://u:p w'$X\"@h/d"]),
            ("run \"$URL\" ${URL}", &["run", "postgresql://u:p w'$X\"@h/d", "postgresql://u:p w'$X\"@h/d"]),
            ("run $A1:80 ${A1}80 x$A1", &["run", "one:80", "one80", "xone"]),
            ("run $EMPTY ''", &["run", "", ""]),
            ("run a$EMPTY'b'\"c\"", &["run", "abc"]),
            ("run '$A1 \\ \"'", &["run", "$A1 \\ \""]),
            (r#"run "a \" \\ \$A1 \n""#, &["run", r#"a " \ $A1 \n"#]),
            (r"run a\ b \$A1 \' \\", &["run", "a b", "$A1", "'", "\\"]),
            ("run a|b > c; d* # e", &["run", "a|b", ">", "c;", "d*", "#", "e"]),
            ("läuft '€ 1'", &["läuft", "€ 1"]),
        ];
        for (command, expected) in table {
            assert_eq!(expand(command, &environment()).unwrap(), *expected, "{command}");
        }
    }

    #[test]
    fn errors() {
        let table = [
            ("", "it is empty"),
            (" \t ", "it is empty"),
            ("'' x", "it is empty"),
            ("$EMPTY x", "it is empty"),
            ("run 'a", "a quote ' is not closed"),
            ("run \"a'", "a quote \" is not closed"),
            ("run \\", "it ends with a backslash, which has nothing to escape"),
            ("run $", "a $ is not followed by a name; write \\$ for a dollar sign"),
            ("run $1", "a $ is not followed by a name; write \\$ for a dollar sign"),
            ("run $(ls)", "a $ is not followed by a name; write \\$ for a dollar sign"),
            ("run ${}", "expected ${NAME}"),
            ("run ${A1", "expected ${NAME}"),
            ("run ${A1:-x}", "expected ${NAME}"),
            ("run $ADRESS", "$ADRESS is not set; set are: A1, EMPTY, NUL, SHOP, URL"),
            ("run \"${url}\"", "$url is not set; set are: A1, EMPTY, NUL, SHOP, URL"),
            ("run $NUL", "a NUL character"),
        ];
        for (command, expected) in table {
            assert_eq!(expand(command, &environment()).unwrap_err().to_string(), expected, "{command:?}");
        }
    }
}
