//! Who moves what to another region, and by which commands where that is a person: the same that a plan and the status show.

use std::fmt::Write as _;

use lifeboat_model::manual::{self, MovedBy};

use crate::design::Design;

/// The section about who moves what.
pub(super) fn section(design: &Design) -> String {
    let mut out = String::from(
        "\n### Who moves what\n\nThe nodes watch every region and answer DNS and health checks for all of them. What they have no driver for a person moves: \
         `lifeboat status` says when,\nand shows the commands; nothing that needs it starts elsewhere, and no client is sent there, before that person has said \
         `lifeboat done`.\n\n| component | kind | who moves it |\n|---|---|---|\n",
    );
    for part in &design.parts {
        let is_database = part.component.kind.is_database();
        let who = match (part.component.moved_by(), is_database) {
            (MovedBy::Nodes, _) => "the nodes",
            (MovedBy::People, true) => "a person, as below",
            (MovedBy::People, false) => "its size follows the role files; in a hurry a person, as below",
            (MovedBy::Nobody, true) => "nobody: it is written in every region",
            (MovedBy::Nobody, false) => "nobody: all of it runs in every region",
        };
        let _ = writeln!(out, "| {} | `{}` | {who} |", part.id, part.component.kind.as_str());
    }
    for part in design.parts.iter().filter(|part| part.component.moved_by() == MovedBy::People) {
        // Another target has the same commands with its own name.
        let Some(to) = part.regions.iter().copied().find(|region| *region != part.home) else { continue };
        if part.component.kind.is_database() {
            let steps = |planned| block(&manual::move_writer(design.app, part.id, planned, Some(part.home), to));
            let _ = write!(
                out,
                "\n{} from {} to {to}, when {} is lost:\n\n{}    {}\n",
                part.id,
                part.home,
                part.home,
                steps(false),
                manual::done(part.id, to)
            );
            if steps(true) != steps(false) {
                let _ = write!(
                    out,
                    "\nIn an orderly way, after `lifeboat switchover --database {} --to {to}`:\n\n{}    {}\n",
                    part.id,
                    steps(true),
                    manual::done(part.id, to)
                );
            }
        } else {
            let _ = write!(
                out,
                "\n{} in {to}, where it is to serve:\n\n{}",
                part.id,
                block(&manual::scale(design.app, part.id, to))
            );
        }
    }
    out + "\nAfterwards `lifeboat roles` writes the role files, and the next apply finds what it expects.\n"
}

fn block(lines: &[String]) -> String {
    lines.iter().map(|line| format!("    {line}\n")).collect()
}
