//! The server's configuration file: ours, outside the data directory, so that no rewind and no copy overwrites it.
//!
//! Its first line holds what it was rendered from, so that the epoch, the gate and the region that is followed change in one
//! rename: there is no moment at which one of them is new and another old.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use lifeboat_model::database::Gate;
use lifeboat_model::{Epoch, RegionId};
use serde::{Deserialize, Serialize};

use crate::Config;
use crate::error::Error;
use crate::layout::Layout;

/// The application name of the commit gate, and its role. A region's name cannot make it: theirs begin with [`REGION_PREFIX`].
pub(crate) const GATE_NAME: &str = "lifeboat-gate";
/// The role that may do everything, over the Unix socket only.
pub(crate) const SUPERUSER: &str = "lifeboat";
/// The role whose members replicate and rewind.
pub(crate) const REPLICATION_GROUP: &str = "lifeboat_replication";
const REGION_PREFIX: &str = "lifeboat_";
const MARK: &str = "# lifeboat ";
/// PostgreSQL cuts longer names off (NAMEDATALEN - 1).
const LONGEST_NAME: usize = 63;

/// The role and application name of a region's server where it replicates.
pub(crate) fn region_role(region: &RegionId) -> String {
    format!("{REGION_PREFIX}{region}")
}

/// The region whose server uses this application name.
pub(crate) fn region_of(name: &str) -> Option<RegionId> {
    name.strip_prefix(REGION_PREFIX).map(RegionId::from)
}

/// The name of a region's slot. Slots are named in lower-case letters, digits and underscores alone.
pub(crate) fn slot_name(region: &RegionId) -> String {
    let tame = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '_' };
    region_role(region).chars().map(tame).collect()
}

/// Refuses names from which no unique roles and slots can be made.
pub(crate) fn check_names(config: &Config) -> Result<(), Error> {
    let refuse = |name: &str, why| Err(Error::Name { name: name.to_owned(), why });
    let mut slots = BTreeSet::new();
    for region in config.peers.keys().chain([&config.region]) {
        let role = region_role(region);
        if role.len() > LONGEST_NAME {
            return refuse(region.as_str(), "longer than 54 bytes, which PostgreSQL's role names cannot hold");
        }
        if !region.as_str().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_') {
            return refuse(
                region.as_str(),
                "a region with a database has a name of lower-case letters, digits, - and _",
            );
        }
        if role == REPLICATION_GROUP || !slots.insert(slot_name(region)) {
            return refuse(region.as_str(), "its role or replication slot would have the name of another");
        }
    }
    let database = config.database.as_str();
    if app_role(database).len() > LONGEST_NAME || database.is_empty() || database.contains('\0') {
        return refuse(database, "must have 1 to 59 bytes to be a database's name");
    }
    if ["postgres", "template0", "template1"].contains(&database) {
        return refuse(database, "is a database of PostgreSQL's own");
    }
    for name in config.overrides.keys() {
        if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'.')
            || name.contains("include")
        {
            return refuse(name, "is no name of a setting");
        }
    }
    Ok(())
}

/// The role of the application.
pub(crate) fn app_role(database: &str) -> String {
    format!("{database}_app")
}

/// What the configuration file is rendered from, and all that is remembered beside the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// The newest epoch under which this driver has acted.
    pub epoch: Epoch,
    pub gate: Gate,
    /// The region that a standby follows; `None` of a primary and of a standby that was detached.
    pub follows: Option<RegionId>,
    /// Where the server's Unix socket is.
    pub sockets: PathBuf,
}

impl Settings {
    pub fn render(&self, config: &Config, layout: &Layout) -> String {
        // A `Settings` holds strings and numbers only, for which JSON always has a form on one line.
        let mark = serde_json::to_string(self).unwrap_or_default();
        let mut text = format!("{MARK}{mark}\n# Written by Lifeboat, which overwrites what is changed here.\n");
        let mut set = |name: &str, value: &str| {
            let _ = writeln!(text, "{name} = {}", quoted(value));
        };
        common(&mut set, config, &self.sockets);
        set("lifeboat.epoch", &self.epoch.to_string());
        set("hba_file", &layout.hba().to_string_lossy());
        set("listen_addresses", &config.address.to_string());
        set("synchronous_standby_names", &standby_names(&self.gate));
        if let Some(server) = self.follows.as_ref().and_then(|region| config.peers.get(region)) {
            let role = region_role(&config.region);
            let keys = peer_conninfo(config, layout, *server);
            set("primary_conninfo", &format!("{keys} application_name={}", conninfo_quoted(&role)));
            set("primary_slot_name", &slot_name(&config.region));
        }
        text
    }

    /// Reads what [`render`](Self::render) wrote.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text.lines().next()?.strip_prefix(MARK)?).ok()
    }
}

/// The settings of a server that runs alone, to be read only: no network, nobody confirms, nothing is received.
pub(crate) fn render_alone(config: &Config, hba: &Path, sockets: &Path) -> String {
    let mut text = String::new();
    let mut set = |name: &str, value: &str| {
        let _ = writeln!(text, "{name} = {}", quoted(value));
    };
    common(&mut set, config, sockets);
    set("hba_file", &hba.to_string_lossy());
    set("listen_addresses", "");
    set("synchronous_standby_names", "");
    set("autovacuum", "off");
    text
}

/// What every server of ours has, whatever its role. Both sides of a replication need the same limits.
fn common(set: &mut dyn FnMut(&str, &str), config: &Config, sockets: &Path) {
    for (name, value) in [
        ("shared_buffers", "32MB"),
        ("wal_keep_size", "256MB"),
        ("max_slot_wal_keep_size", "1GB"),
        // Queries on a standby hold replay up for this long at most: replay is part of a failover.
        ("max_standby_streaming_delay", "1s"),
        ("wal_sender_timeout", "5s"),
        ("wal_receiver_timeout", "5s"),
        ("tcp_keepalives_idle", "5"),
        ("tcp_keepalives_interval", "2"),
        ("tcp_keepalives_count", "3"),
    ] {
        set(name, value);
    }
    // The last line for a name counts: what safety rests on comes after what the user may change.
    for (name, value) in &config.overrides {
        set(name, value);
    }
    set("port", &config.port.to_string());
    set("unix_socket_directories", &sockets.to_string_lossy());
    for (name, value) in [
        ("unix_socket_permissions", "0700"),
        ("password_encryption", "scram-sha-256"),
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("wal_log_hints", "on"),
        ("wal_level", "replica"),
        ("synchronous_commit", "on"),
        ("hot_standby", "on"),
        ("max_wal_senders", "16"),
        ("max_replication_slots", "16"),
        ("wal_receiver_status_interval", "1s"),
        ("wal_retrieve_retry_interval", "100ms"),
        ("recovery_target_timeline", "latest"),
        // What was written and confirmed by nobody is visible after a restart: whether to start again is for the node to say.
        ("restart_after_crash", "off"),
        ("log_line_prefix", "%m [%p] %a "),
        ("log_timezone", "UTC"),
        ("timezone", "UTC"),
    ] {
        set(name, value);
    }
}

/// `key=value` words for libpq that lead to a peer's server with our region's role. No password: that is in the file of passwords.
pub(crate) fn peer_conninfo(config: &Config, layout: &Layout, server: std::net::SocketAddr) -> String {
    format!(
        "host={} port={} user={} passfile={} sslmode=prefer connect_timeout=2 keepalives_idle=5 keepalives_interval=2 keepalives_count=3 tcp_user_timeout=5000",
        server.ip(),
        server.port(),
        conninfo_quoted(&region_role(&config.region)),
        conninfo_quoted(&layout.passfile().to_string_lossy()),
    )
}

/// Who may connect as what. Nobody without a password, and the superuser only over the Unix socket.
pub(crate) fn render_hba(config: &Config) -> String {
    let database = hba_quoted(config.database.as_str());
    let app = hba_quoted(&app_role(config.database.as_str()));
    let mut text = String::from("# Written by Lifeboat, which overwrites what is changed here.\n");
    let mut line = |kind: &str, database: &str, role: &str, from: &str| {
        let _ = writeln!(text, "{kind} {database} {role} {from} scram-sha-256");
    };
    line("local", "all", SUPERUSER, "");
    line("local", "replication", &hba_quoted(GATE_NAME), "");
    line("local", &database, &app, "");
    line("host", "replication", &format!("+{REPLICATION_GROUP}"), "all");
    // pg_rewind reads files through an ordinary connection.
    line("host", "postgres", &format!("+{REPLICATION_GROUP}"), "all");
    line("host", &database, &app, "all");
    text
}

/// The file of passwords for libpq: whichever server our region's role connects to, the password is the same.
pub(crate) fn render_passfile(config: &Config) -> String {
    format!("*:*:*:{}:{}\n", region_role(&config.region), config.secrets.replication)
}

/// The value of `synchronous_standby_names` that is this gate. Never empty: an empty one would acknowledge everything.
pub(crate) fn standby_names(gate: &Gate) -> String {
    match gate {
        Gate::Node => format!("FIRST 1 (\"{GATE_NAME}\")"),
        Gate::Peers { needed, named } => {
            let names: Vec<_> = named.iter().map(|region| format!("\"{}\"", region_role(region))).collect();
            format!("ANY {needed} ({})", names.join(", "))
        }
    }
}

/// The gate that a value of `synchronous_standby_names` is, if it is one that [`standby_names`] makes.
pub(crate) fn gate_of(names: &str) -> Option<Gate> {
    if names == standby_names(&Gate::Node) {
        return Some(Gate::Node);
    }
    let (needed, list) = names.strip_prefix("ANY ")?.split_once(" (")?;
    let named: Option<_> = list.strip_suffix(')')?.split(", ").map(|name| region_of(name.trim_matches('"'))).collect();
    Some(Gate::Peers { needed: needed.parse().ok()?, named: named? })
}

/// A value in the configuration file's quotes; control characters would end the line.
fn quoted(value: &str) -> String {
    let tame: String = value.chars().filter(|c| !c.is_control()).collect();
    format!("'{}'", tame.replace('\\', "\\\\").replace('\'', "''"))
}

fn conninfo_quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn hba_quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_and_its_names_are_the_same() {
        let peers = |needed, names: &[&str]| Gate::Peers { needed, named: names.iter().map(|n| (*n).into()).collect() };
        for (gate, names) in [
            (Gate::Node, r#"FIRST 1 ("lifeboat-gate")"#),
            (peers(1, &["frankfurt"]), r#"ANY 1 ("lifeboat_frankfurt")"#),
            (peers(2, &["b", "c-1", "d"]), r#"ANY 2 ("lifeboat_b", "lifeboat_c-1", "lifeboat_d")"#),
        ] {
            assert_eq!(standby_names(&gate), names);
            assert_eq!(gate_of(names), Some(gate));
        }
        for foreign in ["", "*", "FIRST 1 (\"other\")", "ANY 1 (\"other\")", "lifeboat_b"] {
            assert_eq!(gate_of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn values_cannot_leave_their_quotes() {
        assert_eq!(quoted("it's\\ a\nline"), r"'it''s\\ aline'");
        assert_eq!(conninfo_quoted(r"a'b\c"), r"'a\'b\\c'");
    }
}
