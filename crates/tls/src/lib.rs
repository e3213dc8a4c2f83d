//! TLS between nodes, and between people and nodes.
//!
//! A region's node is whoever has a certificate of the app's authorities that names the region, as a DNS name. [`make`] makes such
//! authorities and certificates; [`Identity`] is a node's own, read again when its files change; a [`Connector`] makes connections and
//! is sure of who is at the other end; a [`Stream`] is one, with or without TLS. Nothing is known here of what is said in them.

mod certificate;
mod connect;
mod error;
mod identity;
pub mod make;
mod setting;

pub use certificate::{Certificate, SOON};
pub use connect::{Connector, Stream, handshake_failure};
pub use error::Error;
pub use identity::{Files, Identity, Renewal};
pub use setting::Setting;
