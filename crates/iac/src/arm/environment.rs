//! What a scale set's machines are told at boot: `/etc/default/COMPONENT`, by cloud-init.

use super::Templates;
use crate::design::Part;
use crate::environment::{self, Piece};

impl Templates<'_> {
    /// As an expression.
    pub(super) fn environment(&self, part: &Part) -> String {
        let mut all =
            vec![quoted(&format!("#cloud-config\nwrite_files:\n- path: /etc/default/{}\n  content: |\n", part.id))];
        for (name, pieces) in environment::of(self.design, part) {
            all.push(quoted(&format!("    {name}=")));
            all.extend(pieces.iter().map(|piece| expression(part, piece)));
            all.push(quoted("\n"));
        }
        format!("[base64(concat({}))]", all.join(", "))
    }
}

fn expression(part: &Part, piece: &Piece) -> String {
    match piece {
        Piece::Text(text) => quoted(text),
        Piece::Region => "parameters('region')".into(),
        Piece::Unique => "variables('unique')".into(),
        Piece::Identity => format!("variables('identity-{}')", part.id),
        Piece::Client => format!(
            "reference(resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', variables('identity-{}')), '2023-01-31').clientId",
            part.id
        ),
        Piece::Writer(database) => format!("parameters('roles').writers['{}']", database.id),
        Piece::Address(other) => format!(
            "reference(resourceId('Microsoft.Network/loadBalancers', format('{{0}}-{}', variables('prefix')))).frontendIPConfigurations[0].properties.privateIPAddress",
            other.id
        ),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
