//! Where an application on a scale set finds what it needs, whichever tool makes it: `/etc/default/COMPONENT` on its machines, by names
//! that stay when the writer moves. It logs in as its identity; there are no passwords.

use lifeboat_model::app::{Kind, Pattern};

use crate::arm::{Front, UNIQUE};
use crate::design::{Design, Part, plain, short};

/// What a value is put together from; some of it differs by region or is known to the tool only.
#[derive(Clone, Debug)]
pub(crate) enum Piece<'a> {
    Text(String),
    /// The region's id.
    Region,
    /// The digits in which names end that nobody else in the world may have.
    Unique,
    /// The name of the component's identity in the region.
    Identity,
    /// Its client id, by which whoever asks for a token names it.
    Client,
    /// The region that writes a database now.
    Writer(&'a Part<'a>),
    /// The private address of another scale set in the region.
    Address(&'a Part<'a>),
}

/// Names and values, by name.
pub(crate) fn of<'a>(design: &'a Design<'a>, part: &Part) -> Vec<(String, Vec<Piece<'a>>)> {
    let mut all = vec![("REGION".to_owned(), vec![Piece::Region]), ("AZURE_CLIENT_ID".to_owned(), vec![Piece::Client])];
    for needed in part.component.needs.iter().filter_map(|id| design.part(id)) {
        let name = needed.key().to_uppercase();
        let mut put = |what: &str, pieces: Vec<Piece<'a>>| all.push((format!("{name}_{what}"), pieces));
        let text = |text: String| Piece::Text(text);
        let global = format!("{}-{}", design.name(), needed.id);
        match needed.component.kind {
            Kind::AzureSql | Kind::AzurePostgres => {
                let (domain, endpoint) = match needed.component.kind {
                    Kind::AzureSql => (".database.windows.net", ".database.windows.net"),
                    _ => (".postgres.database.azure.com", ".writer.postgres.database.azure.com"),
                };
                // A server that was restored has the region's name in its own; a group and a virtual endpoint follow the writer.
                if needed.pattern == Pattern::BackupRestore || needed.regions.len() < 2 {
                    let before = text(format!("{global}-"));
                    put(
                        "HOST",
                        vec![before, Piece::Writer(needed), text("-".into()), Piece::Unique, text(domain.into())],
                    );
                } else {
                    let group = short(&global, 63 - UNIQUE - 1);
                    put("HOST", vec![text(format!("{group}-")), Piece::Unique, text(endpoint.into())]);
                }
                put("DATABASE", vec![text(needed.id.to_string())]);
                if needed.component.kind == Kind::AzurePostgres {
                    put("USER", vec![Piece::Identity]);
                }
            }
            Kind::Cosmosdb => {
                let account = text(format!("https://{}-", short(&global, 44 - UNIQUE - 1)));
                put("URL", vec![account, Piece::Unique, text(".documents.azure.com:443/".into())]);
                put("DATABASE", vec![text(needed.id.to_string())]);
            }
            Kind::AzureStorage => {
                let account = plain(&format!("{}{}", design.name(), needed.id), 24 - UNIQUE);
                let account = text(format!("https://{account}"));
                put("URL", vec![account, Piece::Unique, text(".blob.core.windows.net/".into())]);
            }
            // Clients and components find what has a route by the same name.
            _ if design.is_public(needed) => {
                let host = design.ways.iter().find(|way| way.to == needed.id).map(|way| way.host.to_string());
                put("HOST", vec![text(host.unwrap_or_default())]);
            }
            Kind::Vmss if part.regions.iter().all(|region| needed.regions.contains(region)) => {
                put("HOST", vec![Piece::Address(needed)]);
                put("PORT", vec![text(Front::of(needed).port.to_string())]);
            }
            _ => {}
        }
    }
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    all
}
