//! The state store that the file names, opened, and kept small while the node runs.

use std::fs;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_model::app::{EtcdStore, StoreChoice};
use lifeboat_store::{Embedded, Store};
use lifeboat_store_etcd::{Bounds, Config, Etcd};
use tokio::task::JoinSet;

use crate::complaint::Complaint;
use crate::error::Error;
use crate::options::Options;

/// Opens the store. Where it has to be kept small by whoever uses it, a task does that from now on.
pub fn open(options: &Options, tasks: &mut JoinSet<()>) -> Result<Arc<dyn Store>, Error> {
    match &options.app.store {
        StoreChoice::File(path) => {
            let path = options.directory.join(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(|source| Error::File { path: parent.to_owned(), source })?;
            }
            Ok(Arc::new(Embedded::open(&path, lifeboat_store::Options::default())?))
        }
        StoreChoice::Etcd(declared) => {
            let etcd = Etcd::new(config(options, declared))?;
            tasks.spawn(maintain(etcd.clone(), Bounds::default()));
            Ok(Arc::new(etcd))
        }
    }
}

fn config(options: &Options, declared: &EtcdStore) -> Config {
    let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| options.path(path));
    let address = options.app.regions[&options.region].address;
    let mut endpoints = declared.endpoints.clone();
    // A stable sort: those of other regions stay in the file's order.
    endpoints.sort_by_key(|endpoint| distance(endpoint, address, options.region.as_str()));
    Config {
        endpoints,
        ca: path(&declared.ca),
        cert: path(&declared.cert),
        key: path(&declared.key),
        user: declared.user.clone(),
        password_file: path(&declared.password_file),
        space: format!("lifeboat/{}/", options.app.name),
        timeout: declared.timeout,
    }
}

/// 0: on the region's own address; 1: a label of its host name is the region's name; 2: elsewhere, as far as can be told.
fn distance(endpoint: &str, address: Option<IpAddr>, region: &str) -> u8 {
    let authority = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or(authority);
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    if address.is_some() && host.parse().ok() == address {
        0
    } else if host.split('.').any(|label| label == region) {
        1
    } else {
        2
    }
}

async fn maintain(etcd: Etcd, bounds: Bounds) {
    let complaint = Complaint::default();
    loop {
        tokio::time::sleep(bounds.period.max(Duration::from_secs(1))).await;
        match etcd.maintain(bounds).await {
            Ok(_) => complaint.is_settled(),
            Err(error) => complaint.warn(&format!("etcd's history and the journal are not trimmed: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_region_s_member_is_the_nearest() {
        let own = Some("10.1.0.5".parse().expect("an address"));
        for (endpoint, expected) in [
            ("https://10.1.0.5:2379", 0),
            ("https://10.1.0.50:2379", 2),
            ("http://node.stockholm.shop.internal:2379", 1),
            ("http://stockholm-2.internal:2379/", 2),
            ("https://[2001:db8::1]:2379", 2),
        ] {
            assert_eq!(distance(endpoint, own, "stockholm"), expected, "{endpoint}");
        }
        assert_eq!(distance("https://[2001:db8::1]:2379", "2001:db8::1".parse().ok(), "a"), 0);
        assert_eq!(distance("https://10.1.0.5:2379", None, "a"), 2);
    }
}
