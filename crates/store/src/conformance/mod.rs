//! What every store must do, as a suite that an implementation's tests run: [`Suite::run`].
//!
//! The suite opens several handles to one store and works with them at the same time. It bears a store that cannot be
//! reached now and then: whatever ends in [`Error::Unreachable`](crate::Error::Unreachable) is tried again, so that
//! members of a quorum may be killed meanwhile. It panics at the first thing that is wrong.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_model::state::{Condition, Transaction, Write};

use self::patient::Patient;
use crate::Store;

mod content;
mod leases;
mod patient;
mod transactions;
mod watches;

/// A handle that is being opened.
pub type Opening = Pin<Box<dyn Future<Output = Arc<dyn Store>> + Send>>;

type Case<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// The suite for one store.
pub struct Suite {
    /// Tells runs on the same store apart: part of every key.
    pub label: String,
    /// Opens another handle to the store.
    pub open: Box<dyn Fn() -> Opening + Send + Sync>,
    /// The time of the leases that are granted: longer than the store is unreachable at a time.
    pub ttl: Duration,
    /// How long to wait for anything before the store counts as broken.
    pub patience: Duration,
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite").field("label", &self.label).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

impl Suite {
    /// Runs every case, one after the other.
    ///
    /// # Panics
    /// If the store does not do what [`Store`] promises.
    pub async fn run(&self) {
        macro_rules! case {
            ($module:ident :: $case:ident) => {
                (stringify!($case), Box::pin($module::$case(self)))
            };
        }
        let cases: [(&str, Case<'_>); 16] = [
            case!(transactions::each_condition_holds_when_it_should),
            case!(transactions::all_or_nothing),
            case!(transactions::one_of_eight_writers_wins_each_revision),
            case!(transactions::what_breaks_a_limit_is_rejected),
            case!(content::a_list_is_a_snapshot),
            case!(content::keys_and_values_come_back_as_they_were),
            case!(content::entries_after_a_revision_are_listed),
            case!(content::the_journal_is_read_in_order),
            case!(watches::watchers_see_everything_in_order),
            case!(watches::a_watch_begins_at_an_old_revision),
            case!(watches::an_abandoned_wait_loses_nothing),
            case!(leases::a_lease_runs_out_and_takes_its_keys_along),
            case!(leases::a_renewed_lease_stays),
            case!(leases::a_revoked_lease_is_gone_at_once),
            case!(leases::a_key_can_leave_its_lease),
            case!(leases::a_put_under_a_dead_lease_changes_nothing),
        ];
        for (name, case) in cases {
            println!("conformance of {}: {}", self.label, name.replace('_', " "));
            case.await;
        }
    }

    async fn store(&self) -> Patient {
        Patient::new((self.open)().await, &self.label, self.patience)
    }

    fn key(&self, case: &str, rest: &str) -> String {
        format!("{}/{case}/{rest}", self.label)
    }
}

fn put(key: &str, value: &str) -> Write {
    Write::Put { key: key.to_owned(), value: value.as_bytes().to_vec(), lease: None }
}

fn delete(key: &str) -> Write {
    Write::Delete { key: key.to_owned() }
}

fn transaction(when: impl IntoIterator<Item = Condition>, then: impl IntoIterator<Item = Write>) -> Transaction {
    Transaction { when: when.into_iter().collect(), then: then.into_iter().collect() }
}
