//! Writing HCL as `terraform fmt` would leave it: two spaces, equals signs aligned within a paragraph.

/// A block's body, or a whole file.
#[derive(Debug, Default)]
pub(crate) struct Body {
    items: Vec<Item>,
}

#[derive(Debug)]
enum Item {
    Attribute { name: String, value: String },
    Block { header: String, body: Body },
    Comment(String),
    Blank,
}

impl Body {
    /// `name = value`; the value is an expression, see [`quote`], [`list`] and [`object`].
    pub(crate) fn attribute(&mut self, name: impl Into<String>, value: impl Into<String>) -> &mut Self {
        self.items.push(Item::Attribute { name: name.into(), value: value.into() });
        self
    }

    /// `header { … }`
    pub(crate) fn block(&mut self, header: impl Into<String>, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let mut body = Self::default();
        fill(&mut body);
        self.items.push(Item::Block { header: header.into(), body });
        self
    }

    /// One `#` line per line of `text`.
    pub(crate) fn comment(&mut self, text: &str) -> &mut Self {
        self.items.extend(text.lines().map(|line| Item::Comment(line.into())));
        self
    }

    /// An empty line: ends a paragraph.
    pub(crate) fn blank(&mut self) -> &mut Self {
        self.items.push(Item::Blank);
        self
    }

    /// The text, ending in a newline.
    pub(crate) fn render(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out
    }

    fn write(&self, out: &mut String, depth: usize) {
        let indent = "  ".repeat(depth);
        let mut rest = self.items.as_slice();
        while let Some(item) = rest.first() {
            let paragraph = rest.iter().take_while(|item| item.is_short_attribute()).count();
            if paragraph > 0 {
                let width = rest[..paragraph].iter().map(Item::name_width).max().unwrap_or(0);
                for item in &rest[..paragraph] {
                    if let Item::Attribute { name, value } = item {
                        *out += &format!("{indent}{name:width$} = {value}\n");
                    }
                }
                rest = &rest[paragraph..];
                continue;
            }
            match item {
                Item::Attribute { name, value } => {
                    *out += &format!("{indent}{name} = {}\n", value.replace('\n', &format!("\n{indent}")));
                }
                Item::Block { header, body } if body.items.is_empty() => *out += &format!("{indent}{header} {{}}\n"),
                Item::Block { header, body } => {
                    *out += &format!("{indent}{header} {{\n");
                    body.write(out, depth + 1);
                    *out += &format!("{indent}}}\n");
                }
                Item::Comment(text) => *out += format!("{indent}# {text}").trim_end(),
                Item::Blank => {}
            }
            if matches!(item, Item::Comment(_) | Item::Blank) {
                out.push('\n');
            }
            rest = &rest[1..];
        }
    }
}

impl Item {
    /// Only expressions on one line are aligned with their neighbours.
    fn is_short_attribute(&self) -> bool {
        matches!(self, Self::Attribute { value, .. } if !value.contains('\n'))
    }

    fn name_width(&self) -> usize {
        match self {
            Self::Attribute { name, .. } => name.chars().count(),
            Self::Block { .. } | Self::Comment(_) | Self::Blank => 0,
        }
    }
}

/// A string literal; nothing in `text` is interpolated.
pub(crate) fn quote(text: impl AsRef<str>) -> String {
    let mut out = String::from('"');
    for c in text.as_ref().chars() {
        match c {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            '\n' => out += "\\n",
            _ => out.push(c),
        }
    }
    out.push('"');
    out.replace("${", "$${").replace("%{", "%%{")
}

/// `[a, b]`, of expressions.
pub(crate) fn list(items: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", items.into_iter().collect::<Vec<_>>().join(", "))
}

/// `{ … }` over several lines.
pub(crate) fn object(fill: impl FnOnce(&mut Body)) -> String {
    let mut body = Body::default();
    fill(&mut body);
    if body.items.is_empty() {
        return "{}".into();
    }
    let mut out = String::from("{\n");
    body.write(&mut out, 1);
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_looks_as_terraform_fmt_leaves_it() {
        let mut file = Body::default();
        file.comment("A module.").block("module \"a\"", |body| {
            body.attribute("source", quote("./modules/a")).blank();
            body.attribute("x", "1").attribute("longer", list([quote("b"), quote("c")]));
            body.attribute(
                "map",
                object(|map| {
                    map.attribute("one", "1").attribute("three", "3");
                }),
            );
            body.attribute("y", "2");
        });
        assert_eq!(
            file.render(),
            "# A module.\nmodule \"a\" {\n  source = \"./modules/a\"\n\n  x      = 1\n  longer = [\"b\", \"c\"]\n  map = {\n    \
             one   = 1\n    three = 3\n  }\n  y = 2\n}\n"
        );
    }

    #[test]
    fn nothing_in_a_literal_is_interpolated() {
        assert_eq!(quote("a ${b} %{c} \"d\""), r#""a $${b} %%{c} \"d\"""#);
    }
}
