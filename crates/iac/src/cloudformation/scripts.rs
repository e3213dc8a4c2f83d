//! The scripts beside the templates: before the stack set what no template can do, its application until every region knows of the others,
//! and what is there in the end.

use lifeboat_model::app::Kind;

use super::Stacks;
use crate::aws_backups;
use crate::design::pascal;
use crate::fragment::{fill, json};

impl Stacks<'_> {
    pub(super) fn prepare(&self) -> String {
        let mut files = String::new();
        for site in self.node_sites() {
            files += &format!("put_file {} /{}/lifeboat.yaml\n", site.place(), self.node_name(site));
        }
        let mut images = String::new();
        for part in self.parts.iter().filter(|part| part.component.kind == Kind::Asg) {
            let home = self.place_of(part);
            let id = pascal(part.id.as_str());
            for site in part.regions.iter().filter_map(|region| self.design.site(region)) {
                let there = pascal(site.id.as_str());
                let image = quoted(part.image());
                let name = quoted(&format!("{}-{}", self.design.full_name(part, site.id), part.image()));
                images += &format!("copy_image {id}Image{there} {} {name} {home} {image}\n", site.place());
            }
        }
        let copy = if images.contains("copy_image ") { include_str!("copy-image.sh") } else { "" };
        let images = if images.is_empty() { images } else { format!("\n{copy}{images}") };
        fill(include_str!("prepare.sh"), &[("app", self.name()), ("files", &files), ("images", &images)])
    }

    pub(super) fn apply(&self) -> String {
        let names: Vec<String> = self
            .sites
            .iter()
            .map(|site| format!("{}: {}", json(site.place()), json(&pascal(site.id.as_str()))))
            .collect();
        let clusters = self
            .hosts()
            .into_iter()
            .filter(|part| part.component.kind == Kind::AuroraGlobal && !aws_backups::are_all(part));
        let hosts: String = clusters
            .map(|part| {
                let cluster = format!("{}-{}", self.name(), part.id);
                format!("  global_host {} {cluster} {}Host\n", self.place_of(part), pascal(part.id.as_str()))
            })
            .collect();
        let global_host = if hosts.is_empty() { "" } else { include_str!("global-host.sh") };
        let global = if self.global().is_some() {
            format!("deploy {}-global global.yaml\n", self.name())
        } else {
            String::new()
        };
        fill(
            include_str!("apply.sh"),
            &[
                ("app", self.name()),
                ("names", &names.join(", ")),
                ("global", &global),
                ("hosts", &hosts),
                ("global_host", global_host),
            ],
        )
    }

    pub(super) fn observe(&self) -> String {
        fill(include_str!("observe.sh"), &[("app", self.name())])
    }
}

/// A word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
