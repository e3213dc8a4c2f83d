//! What a node's machine runs at boot: the script that Terraform's module has, with this tool's way to fill it in. A test holds
//! what comes out of both against each other.

use super::Templates;
use super::template::literal;
use crate::fragment::json;
use crate::members;

const SCRIPT: &str = include_str!("../terraform/azure/modules/node/start.sh.tftpl");

/// What stands in the script for the region's own values: in Terraform's template, in this one's, and the value.
const PLACEHOLDERS: [(&str, &str, &str); 7] = [
    ("${address}", "__ADDRESS__", "parameters('address')"),
    ("${file}", "__FILE__", "base64(parameters('lifeboatFile'))"),
    ("${image}", "__IMAGE__", "parameters('lifeboatImage')"),
    ("${node}", "__REGION__", "parameters('region')"),
    ("${vault}", "__VAULT__", "parameters('vault')"),
    ("${etcd.image}", "__ETCD_IMAGE__", "parameters('etcdImage')"),
    (ENVIRONMENT, "__ETCD__\n", "parameters('etcd')"),
];

const ENVIRONMENT: &str = "%{ for name, value in etcd.environment ~}\n${name}=${value}\n%{ endfor ~}\n";

impl Templates<'_> {
    /// Variables that hold the script: `boot`, and what only a region with a member of the state store runs, by its place.
    pub(super) fn boot_variables(&self) -> Vec<(String, String)> {
        let mut sites = self.sites.iter().chain(&self.witnesses);
        let given = sites.clone().any(|site| members::is_given_certificates(self.design, site));
        let tls = sites.any(|site| members::speaks_tls(self.design, site));
        let text = chosen(SCRIPT, "%{ if certificates ~}\n", "%{ endif ~}\n", given);
        let text = chosen(&text, "%{ if tls }", "%{ endif }", tls);
        let text = text.replace("${member ~}\n", crate::lifeboat::MEMBER);
        let text = PLACEHOLDERS.iter().fold(text, |text, (from, to, _)| text.replace(from, to));
        let [before, member, after] = parted(&text, "%{ if etcd != null ~}\n", "%{ endif ~}\n");
        let mut variables = vec![("boot".to_owned(), lines(before))];
        if self.has_members() {
            variables.push(("bootMember".into(), lines(member)));
        }
        variables.push(("bootNode".into(), lines(after)));
        variables
    }

    /// The script of a region.
    pub(super) fn boot(&self) -> String {
        let all = if self.has_members() {
            "concat(variables('boot'), if(empty(parameters('etcd')), createArray(), variables('bootMember')), variables('bootNode'))"
        } else {
            "concat(variables('boot'), variables('bootNode'))"
        };
        PLACEHOLDERS
            .iter()
            .filter(|(_, placeholder, _)| self.has_members() || !placeholder.contains("ETCD"))
            .fold(format!("concat(join({all}, '\\n'), '\\n')"), |text, (_, placeholder, value)| {
                format!("replace({text}, '{}', {value})", placeholder.trim_end())
            })
    }
}

/// A JSON array with an element a line.
fn lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("      {}", json(&literal(line)))).collect();
    format!("[\n{}\n    ]", lines.join(",\n"))
}

/// What comes before a conditional part of a Terraform template, the part, and what comes after it.
fn parted<'a>(text: &'a str, opening: &str, closing: &str) -> [&'a str; 3] {
    match text.split_once(opening).and_then(|(before, rest)| Some((before, rest.split_once(closing)?))) {
        Some((before, (part, after))) => [before, part, after],
        None => [text, "", ""],
    }
}

/// A conditional part of a Terraform template, decided here.
fn chosen(text: &str, opening: &str, closing: &str, holds: bool) -> String {
    let [before, part, after] = parted(text, opening, closing);
    format!("{before}{}{after}", if holds { part } else { "" })
}
