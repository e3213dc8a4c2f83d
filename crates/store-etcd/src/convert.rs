//! etcd's answers in the words of the state store.

use std::path::PathBuf;

use etcd_client::{KeyValue, ResponseHeader};
use lifeboat_model::state::{Entry, LeaseId, Revision};
use lifeboat_store::{Error, Executed, Result};

/// A key with its value. `space`: what the app's keys begin with in the cluster.
pub(crate) fn entry(space: &str, found: &KeyValue) -> Result<Entry> {
    Ok(Entry {
        key: key(space, found)?,
        value: found.value().to_vec(),
        revision: Revision(found.mod_revision().unsigned_abs()),
        lease: (found.lease() != 0).then(|| LeaseId(found.lease())),
    })
}

/// A key, which somebody else may have written in bytes that are no text, without what the app's keys begin with.
pub(crate) fn key(space: &str, found: &KeyValue) -> Result<String> {
    let key = str::from_utf8(found.key()).ok().and_then(|key| key.strip_prefix(space));
    key.map(str::to_owned).ok_or_else(|| Error::Corrupt {
        path: PathBuf::from(String::from_utf8_lossy(found.key()).into_owned()),
        why: "a key of another program: not UTF-8".into(),
    })
}

/// The revision at which an answer was given.
pub(crate) fn revision(header: Option<&ResponseHeader>) -> Result<Revision> {
    let unknown = || Error::Unreachable { executed: Executed::Unknown, why: "an answer without a header".into() };
    header.map(|header| Revision(header.revision().unsigned_abs())).ok_or_else(unknown)
}

/// etcd's numbers are signed; what is counted here never comes near the difference.
pub(crate) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
