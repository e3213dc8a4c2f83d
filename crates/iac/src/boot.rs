//! What a node's machine runs at boot, for tools that are not Terraform: the very script that lies in Terraform's module, with its
//! directives decided here. Its `${values}` stay, for the tool to fill in.

/// The script for machines on AWS.
pub(crate) const AWS: &str = include_str!("terraform/aws/modules/node/start.sh.tftpl");

/// Whether a part of the script is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needed {
    Always,
    Never,
    /// Where this shell command succeeds: one script for machines that differ in it.
    Where(&'static str),
}

impl From<bool> for Needed {
    fn from(needed: bool) -> Self {
        if needed { Self::Always } else { Self::Never }
    }
}

/// What a script depends on, besides values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    pub(crate) certificates: Needed,
    pub(crate) tls: Needed,
    pub(crate) etcd: Needed,
}

/// The script; `escape` makes texts of it that are not to be filled in safe for the tool.
pub(crate) fn script(template: &str, parts: Parts, escape: impl Fn(&str) -> String) -> String {
    let text = decided(template, "%{ if certificates ~}\n", "%{ endif ~}\n", parts.certificates);
    let text = decided(&text, "%{ if etcd != null ~}\n", "%{ endif ~}\n", parts.etcd);
    let text = decided(&text, "%{ if tls }", "%{ endif }", parts.tls);
    text.replace("%{ for name, value in etcd.environment ~}\n${name}=${value}\n%{ endfor ~}\n", "${etcd.environment}\n")
        .replace("${member ~}\n", &escape(crate::lifeboat::MEMBER))
}

fn decided(text: &str, from: &str, to: &str, needed: Needed) -> String {
    let Some((before, rest)) = text.split_once(from) else { return text.into() };
    let Some((inside, after)) = rest.split_once(to) else { return text.into() };
    match needed {
        Needed::Always => format!("{before}{inside}{after}"),
        Needed::Never => format!("{before}{after}"),
        Needed::Where(command) if inside.ends_with('\n') => {
            format!("{before}\nif {command}; then\n{}\nfi\n{after}", inside.trim_matches('\n'))
        }
        Needed::Where(command) => format!("{before}$({command} && echo '{inside}'){after}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_there_where_it_is_needed() {
        let text = "a\n%{ if etcd != null ~}\n\nb\n%{ endif ~}\nc %{ if tls }d %{ endif }\\\n${member ~}\n";
        for (etcd, tls, expected) in [
            (Needed::Always, Needed::Never, "a\n\nb\nc \\\n"),
            (Needed::Never, Needed::Always, "a\nc d \\\n"),
            (Needed::Where("t"), Needed::Where("t"), "a\n\nif t; then\nb\nfi\nc $(t && echo 'd ')\\\n"),
        ] {
            let parts = Parts { certificates: Needed::Always, tls, etcd };
            assert_eq!(script(text, parts, |_| String::new()), expected);
        }
    }
}
