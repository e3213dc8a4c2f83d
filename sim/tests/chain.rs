//! The journal's chain where the store's answers are lost, come late, or say that something else was there first.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;
use std::time::Duration;

use lifeboat_control::chain::{self, Known};
use lifeboat_control::event::StoreFailure;
use lifeboat_control::health::{Evidence, Target};
use lifeboat_control::record::{self, JournalHead};
use lifeboat_control::{Brain, Clock, Command, Event};
use lifeboat_model::journal::JournalEntry;
use lifeboat_model::state::{Outcome, Transaction, Write};
use lifeboat_model::{Moment, RegionId};
use lifeboat_sim::scenario;
use lifeboat_sim::store::Store;

/// One brain with a store of its own, driven by hand.
struct Desk {
    brain: Brain,
    store: Store,
    now: Moment,
    region: RegionId,
    /// What was logged as committed.
    logged: Vec<JournalEntry>,
}

impl Desk {
    fn new() -> Self {
        let app = Arc::new(scenario::all().remove(0).app());
        let region = app.regions.keys().next().unwrap().clone();
        let brain = Brain::new(app, region.clone());
        Self { brain, store: Store::default(), now: Moment(1), region, logged: Vec::new() }
    }

    /// Feeds an event and everything that is not a transaction; the transaction that was begun, if any.
    fn feed(&mut self, event: Event) -> Option<Transaction> {
        self.now = self.now + Duration::from_millis(150);
        let clock = Clock { now: self.now, unix_ms: 0 };
        let mut begun = None;
        let mut queue = self.brain.step(clock, event);
        while !queue.is_empty() {
            for command in std::mem::take(&mut queue) {
                match command {
                    Command::Transact(transaction) => assert!(begun.replace(transaction).is_none(), "one at a time"),
                    Command::Grant(length) => {
                        let lease = self.store.grant(self.now, length);
                        queue.extend(self.brain.step(clock, Event::Granted(Ok(lease))));
                    }
                    Command::Renew(lease) => {
                        let renewed = self.store.renew(self.now, lease).map_err(|_| StoreFailure::LeaseGone);
                        queue.extend(self.brain.step(clock, Event::Renewed(renewed)));
                    }
                    Command::Journaled(entry) => self.logged.push(entry),
                    _ => {}
                }
            }
        }
        begun
    }

    fn list(&mut self) -> Option<Transaction> {
        let (revision, entries) = self.store.list(record::STATE);
        self.feed(Event::Snapshot { revision, entries })
    }

    /// Something to note, and time for it to be written.
    fn begin(&mut self, evidence: Evidence) -> Transaction {
        let target = Target::node(&RegionId::from("b"));
        for _ in 0..20 {
            let begun = self.feed(Event::Reading { target: target.clone(), evidence });
            if let Some(transaction) = begun {
                return transaction;
            }
        }
        panic!("twenty readings begin a transaction");
    }

    fn carry_out(&mut self, transaction: &Transaction) -> Outcome {
        self.store.transact(self.now, transaction).unwrap()
    }

    /// Commits a transaction and whatever follows it.
    fn settle(&mut self, transaction: Transaction) {
        let mut next = Some(transaction);
        while let Some(transaction) = next.take() {
            let outcome = self.carry_out(&transaction);
            let conflict = outcome == Outcome::Conflict;
            next = self.feed(Event::Transacted(Ok(outcome)));
            if conflict {
                assert!(next.is_none(), "nothing is begun before the store was read again");
                next = self.list();
            }
        }
    }

    /// The journal as it is, which has to be a chain.
    fn journal(&self) -> Vec<JournalEntry> {
        let (_, entries) = self.store.list("journal/");
        let head: JournalHead = serde_json::from_slice(
            &self.store.get(&record::journal_head_key(&self.region)).expect("there is a head").value,
        )
        .unwrap();
        let stored = entries.iter().map(|entry| (entry.key[entry.key.len() - 12..].parse().unwrap(), &entry.value[..]));
        let walk = chain::verify(&self.region, stored, Known { head: Some(head), ..Known::default() });
        assert_eq!(walk.findings, []);
        assert_eq!(walk.entries, head.number);
        entries.iter().map(|entry| serde_json::from_slice(&entry.value).unwrap()).collect()
    }
}

fn notes(transaction: &Transaction) -> usize {
    let is_note = |write: &&Write| matches!(write, Write::Put { key, .. } if key.starts_with("journal/"));
    transaction.then.iter().filter(is_note).count()
}

/// A desk whose journal has begun, and a transaction with news that was begun and not answered.
fn with_news() -> (Desk, Transaction) {
    let mut desk = Desk::new();
    let first = desk.list().unwrap_or_else(|| desk.begin(Evidence::Ok));
    desk.settle(first);
    desk.journal();
    let news = desk.begin(Evidence::Refused);
    assert!(notes(&news) > 0, "{news:?}");
    (desk, news)
}

#[test]
fn an_answer_that_was_lost_after_all_was_done_goes_on_from_there() {
    let (mut desk, news) = with_news();
    let before = desk.journal().len();
    assert!(matches!(desk.carry_out(&news), Outcome::Committed(_)));
    assert!(desk.feed(Event::Transacted(Err(StoreFailure::Unknown))).is_none());
    let next = desk.list().unwrap_or_else(|| desk.begin(Evidence::Ok));
    desk.settle(next);
    let journal = desk.journal();
    assert!(journal.len() >= before + notes(&news));
    assert_eq!(desk.logged, journal, "everything is logged once, in order");
}

#[test]
fn an_answer_that_was_lost_with_nothing_done_writes_it_again() {
    let (mut desk, news) = with_news();
    assert!(desk.feed(Event::Transacted(Err(StoreFailure::Unknown))).is_none());
    let next = desk.list().unwrap_or_else(|| desk.begin(Evidence::Refused));
    desk.settle(next);
    let journal = desk.journal();
    assert!(journal.iter().any(|entry| entry.what.contains("refuses")), "{journal:#?}");
    assert_eq!(desk.logged, journal);
    assert!(notes(&news) > 0);
}

#[test]
fn a_transaction_that_is_carried_out_late_does_not_fork_the_chain() {
    let (mut desk, news) = with_news();
    assert!(desk.feed(Event::Transacted(Err(StoreFailure::Unknown))).is_none());
    // The store is read, then it carries out what it had: what the brain begins now goes on from a head that is not there any more.
    let next = desk.list().unwrap_or_else(|| desk.begin(Evidence::Refused));
    assert!(matches!(desk.carry_out(&news), Outcome::Committed(_)));
    assert_eq!(desk.carry_out(&next), Outcome::Conflict);
    desk.settle(next);
    let journal = desk.journal();
    // And the other way round: once something else has been written, the late one comes to nothing.
    let late = desk.begin(Evidence::Ok);
    assert!(desk.feed(Event::Transacted(Err(StoreFailure::Unknown))).is_none());
    let next = desk.list().unwrap_or_else(|| desk.begin(Evidence::Ok));
    desk.settle(next);
    assert_eq!(desk.carry_out(&late), Outcome::Conflict);
    assert!(desk.journal().len() > journal.len());
}

#[test]
fn a_conflict_takes_the_decision_back_and_keeps_what_was_seen() {
    let (mut desk, news) = with_news();
    assert!(desk.feed(Event::Transacted(Ok(Outcome::Conflict))).is_none());
    let next = desk.list().unwrap_or_else(|| desk.begin(Evidence::Refused));
    assert!(notes(&next) >= notes(&news), "{next:?}");
    desk.settle(next);
    assert_eq!(desk.logged, desk.journal());
}

#[test]
fn a_node_that_starts_again_goes_on_from_the_head() {
    let (mut desk, news) = with_news();
    desk.settle(news);
    let before = desk.journal().len();
    desk.brain = Brain::new(Arc::new(scenario::all().remove(0).app()), desk.region.clone());
    let next = desk.list().unwrap_or_else(|| desk.begin(Evidence::Ok));
    desk.settle(next);
    let journal = desk.journal();
    assert_eq!(journal[before].what, "node started");
}
