//! Whether the addresses that a drill needs are free, and who has them if not.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use lifeboat_model::{App, RegionId};

use crate::{Error, etcd};

/// Binds every address that the nodes, their name servers, databases and processes will bind, and lets go of it again.
pub(crate) fn check_free(app: &App) -> Result<(), Error> {
    for (id, region) in &app.regions {
        let address = region.address.ok_or_else(|| Error::Unsuitable(format!("region {id} has no address")))?;
        let taken = |what: &str, port: u16, error: &io::Error| Error::AddressTaken {
            region: id.clone(),
            what: what.into(),
            address: SocketAddr::from((address, port)).to_string(),
            why: reason((address, port).into(), error),
        };
        let mut listeners: Vec<(String, u16)> = vec![("the node's API".into(), region.api_port)];
        listeners.push(("the name server".into(), app.dns.port));
        for (name, component) in &app.components {
            let runs_here = component.regions.contains(id)
                || component.writer.as_ref() == Some(id)
                || component.standbys.contains_key(id);
            if let (true, Some(port)) = (runs_here, component.port) {
                listeners.push((name.to_string(), port));
            }
        }
        for (what, port) in listeners {
            TcpListener::bind((address, port)).map_err(|error| taken(&what, port, &error))?;
        }
        UdpSocket::bind((address, app.dns.port)).map_err(|error| taken("the name server", app.dns.port, &error))?;
    }
    Ok(())
}

/// The same for the ports of the etcd that a drill starts.
pub(crate) fn check_free_for_etcd(app: &App) -> Result<(), Error> {
    for (id, region) in &app.regions {
        let Some(address) = region.address else { continue };
        for (what, port) in [("etcd", etcd::CLIENT_PORT), ("etcd, for its other members,", etcd::PEER_PORT)] {
            TcpListener::bind((address, port)).map_err(|error| Error::AddressTaken {
                region: id.clone(),
                what: what.into(),
                address: SocketAddr::from((address, port)).to_string(),
                why: reason((address, port).into(), &error),
            })?;
        }
    }
    Ok(())
}

fn reason(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => match user_of(address) {
            Some(user) => format!("in use by {user}"),
            None => "in use by somebody else".into(),
        },
        io::ErrorKind::AddrNotAvailable => "not an address of this machine".into(),
        _ => format!("not to be had ({error})"),
    }
}

/// `postgres (pid 4711)`: who holds an IPv4 socket bound to this address or to every address.
fn user_of(address: SocketAddr) -> Option<String> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    // /proc/net/tcp writes the address as the number that its bytes make in memory.
    let port = address.port();
    let wanted = [format!("{:08X}:{port:04X}", u32::from_ne_bytes(ip.octets())), format!("{:08X}:{port:04X}", 0)];
    let mut inodes = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/udp"] {
        for line in std::fs::read_to_string(table).unwrap_or_default().lines() {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            // proc(5): 1 local address, 3 state (0A listening; 07 of an unconnected UDP socket), 9 inode.
            if let (Some(local), Some(&("0A" | "07")), Some(inode)) = (fields.get(1), fields.get(3), fields.get(9))
                && wanted.iter().any(|wanted| wanted == local)
            {
                inodes.insert(format!("socket:[{inode}]"));
            }
        }
    }
    let numbered = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().parse::<u32>().is_ok());
    let processes = std::fs::read_dir("/proc").ok()?.filter_map(Result::ok).map(|entry| entry.path());
    processes.filter(|path| numbered(path)).find(|process| holds(process, &inodes)).map(|process| {
        let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
        let pid = process.file_name().map(|pid| pid.to_string_lossy().into_owned()).unwrap_or_default();
        format!("{} (pid {pid})", name.trim())
    })
}

fn holds(process: &Path, inodes: &BTreeSet<String>) -> bool {
    std::fs::read_dir(process.join("fd")).is_ok_and(|descriptors| {
        descriptors
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .any(|target| target.to_str().is_some_and(|target| inodes.contains(target)))
    })
}

/// The regions' name servers, in the order of the file's names.
pub(crate) fn name_servers(app: &App) -> Vec<(RegionId, SocketAddr)> {
    app.regions
        .iter()
        .filter_map(|(id, region)| Some((id.clone(), SocketAddr::from((region.address?, app.dns.port)))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_holds_an_address_is_named() {
        let listener = TcpListener::bind("127.83.1.9:0").unwrap();
        let address = listener.local_addr().unwrap();
        let error = TcpListener::bind(address).unwrap_err();
        let reason = reason(address, &error);
        assert!(
            reason.starts_with("in use by ") && reason.contains(&format!("(pid {})", std::process::id())),
            "{reason}"
        );
        let error = TcpListener::bind("192.0.2.1:80").unwrap_err();
        assert_eq!(super::reason("192.0.2.1:80".parse().unwrap(), &error), "not an address of this machine");
    }
}
