//! What a scale set's machines are told at boot.

use super::{Root, is_made_later};
use crate::design::{Part, Site};
use crate::environment::{self, Piece};
use crate::hcl::{object, quote};

impl Root<'_> {
    /// As an object.
    pub(super) fn environment(&self, part: &Part, site: &Site) -> String {
        let identity = format!("azurerm_user_assigned_identity.{}_{}", part.key(), site.key());
        object(|map| {
            for (name, pieces) in environment::of(self.design, part) {
                if let [Piece::Address(other)] = pieces.as_slice() {
                    let module = format!("module.{}_{}", other.key(), site.key());
                    let address = format!("{module}.address");
                    let maybe = format!("one({module}[*].address)");
                    map.attribute(name, if is_made_later(other, site) { maybe } else { address });
                    continue;
                }
                let value: String = pieces
                    .iter()
                    .map(|piece| match piece {
                        Piece::Text(text) => quote(text).trim_matches('"').to_owned(),
                        Piece::Region => site.id.to_string(),
                        Piece::Unique => "${local.unique}".into(),
                        Piece::Identity => format!("${{{identity}.name}}"),
                        Piece::Client => format!("${{{identity}.client_id}}"),
                        Piece::Writer(database) => format!("${{local.writers[{}]}}", quote(database.id.as_str())),
                        Piece::Address(_) => String::new(),
                    })
                    .collect();
                map.attribute(name, format!("\"{value}\""));
            }
        })
    }
}
