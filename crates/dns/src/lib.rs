//! The authoritative DNS server that answers from live state.
//!
//! It decides nothing: who is served is decided elsewhere and arrives here as a table, [`Zones`]. Each query is
//! answered from the table that is current at that moment, so a failover is visible to the next query.
//!
//! Start with [`Zones`] (what is served) and [`Server`] (who serves it). [`answer`] is the protocol, a pure function
//! from table and query to response; [`resolve`] is a small client that asks given servers, without a cache.
//!
//! Not here: recursion, zone transfers, DNSSEC signing, dynamic updates. Whoever asks for them is refused in form.

mod answer;
mod resolve;
mod server;
mod table;
mod zone;

pub use answer::{LARGEST_UDP_RESPONSE, Transport, answer};
pub use resolve::{Family, ResolveError, Resolved, resolve};
pub use server::Server;
pub use table::{ZoneError, Zones};
pub use zone::{NameServer, RecordSet, Values, Zone, group_by_apex};
