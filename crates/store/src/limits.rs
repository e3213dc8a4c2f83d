//! What a request may hold at most: the same for every store, so that what works on one machine works in a quorum.

use std::collections::HashSet;

use lifeboat_model::state::{Condition, Transaction, Write};

use crate::{Error, Result};

/// The longest key, in bytes.
pub const KEY_BYTES: usize = 1024;
/// The most conditions, and the most writes, of one transaction: etcd's default `--max-txn-ops`.
pub const TRANSACTION_PARTS: usize = 128;
/// The most bytes of keys and values in one transaction; etcd's default `--max-request-bytes` is 1.5 MiB with all overhead.
pub const TRANSACTION_BYTES: usize = 1024 * 1024;

/// Rejects a key that is empty or too long.
///
/// # Errors
/// [`Error::Invalid`], which says why.
pub fn check_key(key: &str) -> Result<()> {
    match key.len() {
        0 => Err(Error::Invalid("a key is empty".into())),
        1..=KEY_BYTES => Ok(()),
        bytes => Err(Error::Invalid(format!("a key has {bytes} bytes, at most {KEY_BYTES} are allowed"))),
    }
}

/// Rejects a transaction that is too large, or that writes a key twice.
///
/// # Errors
/// [`Error::Invalid`], which says why.
pub fn check_transaction(transaction: &Transaction) -> Result<()> {
    let Transaction { when, then } = transaction;
    if when.len() > TRANSACTION_PARTS || then.len() > TRANSACTION_PARTS {
        return Err(Error::Invalid(format!(
            "a transaction has {} conditions and {} writes, at most {TRANSACTION_PARTS} of each are allowed",
            when.len(),
            then.len()
        )));
    }
    let mut bytes = 0;
    for condition in when {
        let (Condition::Unchanged(key, _) | Condition::Absent(key) | Condition::Present(key)) = condition;
        check_key(key)?;
        bytes += key.len();
    }
    let mut written = HashSet::new();
    for write in then {
        let (key, value_bytes) = match write {
            Write::Put { key, value, .. } => (key, value.len()),
            Write::Delete { key } => (key, 0),
        };
        check_key(key)?;
        if !written.insert(key) {
            return Err(Error::Invalid(format!("a transaction writes {key} twice")));
        }
        bytes += key.len() + value_bytes;
    }
    if bytes > TRANSACTION_BYTES {
        return Err(Error::Invalid(format!(
            "a transaction has {bytes} bytes, at most {TRANSACTION_BYTES} are allowed"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, bytes: usize) -> Write {
        Write::Put { key: key.into(), value: vec![0; bytes], lease: None }
    }

    #[test]
    fn too_much_is_rejected_and_the_limit_itself_is_not() {
        let transaction = |then| Transaction { when: vec![], then };
        let parts = |count: usize| transaction((0..count).map(|n| put(&n.to_string(), 1)).collect());
        assert!(check_transaction(&parts(TRANSACTION_PARTS)).is_ok());
        assert!(check_transaction(&parts(TRANSACTION_PARTS + 1)).is_err());
        assert!(check_transaction(&transaction(vec![put("k", TRANSACTION_BYTES - 1)])).is_ok());
        assert!(check_transaction(&transaction(vec![put("k", TRANSACTION_BYTES)])).is_err());
        assert!(check_transaction(&transaction(vec![put("k", 1), Write::Delete { key: "k".into() }])).is_err());
        assert!(check_transaction(&transaction(vec![put("", 1)])).is_err());
        assert!(check_key(&"k".repeat(KEY_BYTES)).is_ok());
        assert!(check_key(&"k".repeat(KEY_BYTES + 1)).is_err());
    }
}
