//! Promises between nodes, by which a writer that is alone goes on while the state store cannot be reached.
//!
//! What a writer that confirms by its node has to fear is a claim by force, for which whoever claims waits until the writer's lease
//! has run out in the store. A writer that cannot renew its lease asks every other node. Each that knows of nothing newer promises
//! that for the length of a lease, by its own clock and from when it was asked, it will neither claim the database by force nor
//! open an epoch that was. The asker counts from before it asked, and a tenth short, as it does with a lease: so nobody can open
//! another epoch while the asker still confirms.
//!
//! What a promise rests on, and what would go wrong otherwise:
//! 1. Who promises has written to the store since it started, so that nothing that it asked for before it was killed can still be carried
//!    out, and knows no newer record.
//! 2. It has no claim under way whose outcome it does not know: that claim may still be carried out. Should one come true all the
//!    same (the node was killed in between), the epoch stays shut until the promise has run out.
//! 3. A node that has just started claims nothing by force for the length of a lease: it may have forgotten a promise.
//! 4. Every other node has to promise, not a majority of them: each could be the one that claims.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lifeboat_model::database::Gate;
use lifeboat_model::journal::EntryKind;
use lifeboat_model::state::{Condition, Revision, Transaction, Write};
use lifeboat_model::{ComponentId, Epoch, Moment, RegionId};
use serde::{Deserialize, Serialize};

use crate::brain::{Brain, Mutation};
use crate::event::Command;
use crate::record::{self, DatabaseRecord, Origin};

/// What a writer asks every other node: to leave these databases to it for the length of a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Who asks.
    pub from: RegionId,
    /// The databases, each with the epoch under which it writes and the revision of the record that says so.
    pub databases: BTreeMap<ComponentId, (Epoch, Revision)>,
}

/// What a node answers: of each database, that it promises, or why it does not.
pub type Answers = BTreeMap<ComponentId, Result<(), String>>;

/// What this node has promised, what it was promised, and what it has asked.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    /// Until when this node leaves a database to whom.
    given: BTreeMap<ComponentId, (RegionId, Moment)>,
    /// Until when all others leave a database to this node, under which epoch.
    received: BTreeMap<ComponentId, (Epoch, Moment)>,
    round: u64,
    asking: Option<Round>,
    /// When the next question may be asked.
    next: Moment,
    /// What was journaled last of going on without the store, so that it is said once.
    said: BTreeMap<ComponentId, String>,
    /// Records of which a claim of ours may still be carried out, with what it rests on: once any of that has changed, it cannot.
    doubtful: BTreeMap<String, Vec<(String, Revision)>>,
}

/// A question that was sent, and what has come of it.
#[derive(Debug)]
struct Round {
    number: u64,
    asked_at: Moment,
    databases: BTreeMap<ComponentId, Epoch>,
    missing: BTreeSet<RegionId>,
    refusals: BTreeMap<ComponentId, String>,
}

impl Brain {
    /// Until when every other node leaves this database to this one.
    pub(crate) fn promised_until(&self, database: &ComponentId, epoch: Epoch) -> Option<Moment> {
        let (under, until) = self.promises.received.get(database)?;
        (*under == epoch && self.clock.now < *until).then_some(*until)
    }

    /// Why this node may not claim by force, or open what was claimed so, for now; and until when.
    pub(crate) fn must_wait(&mut self, database: &ComponentId) -> Option<String> {
        let lease = self.app.detection.lease;
        if !self.is_mutated(Mutation::PromiseForgotten) && !self.has_lasted(self.started_at, lease) {
            return Some(format!(
                "this node has just started, and may have promised to leave {database} to its writer for the length of a lease"
            ));
        }
        if self.is_mutated(Mutation::PromiseBroken) {
            return None;
        }
        let (to, until) = self.promises.given.get(database)?.clone();
        (!self.has_lasted(until, Duration::ZERO)).then(|| {
            format!(
                "{to} writes, without the state store, and this node has promised it to leave {database} to it for now"
            )
        })
    }

    /// Whether an epoch was claimed by force, so that its opening has to wait for what [`Self::must_wait`] names.
    pub(crate) fn is_forced(record: &DatabaseRecord) -> bool {
        matches!(record.origin, Origin::Failover { forced: true, .. })
    }

    /// Asks the others in good time before this node's right to confirm runs out.
    pub(crate) fn keep_promised(&mut self) {
        let now = self.clock.now;
        let lease = self.app.detection.lease;
        let mut databases = BTreeMap::new();
        for (database, record) in &self.records {
            if !self.confirms_alone(database, record) {
                continue;
            }
            let valid_until = if self.holds_lease(database) { self.session.valid_until() } else { Moment(0) };
            let until = self.promised_until(database, record.epoch).unwrap_or_default().max(valid_until);
            let revision = self.revisions.get(&record::database_key(database)).copied();
            if let Some(revision) = revision {
                databases.insert(database.clone(), (until, record.epoch, revision));
            }
        }
        // A renewal is due after a third of a lease; one that is late by a sixth is a reason to ask.
        let ahead = lease * 2 / 5;
        let Some(earliest) = databases.values().map(|(until, ..)| *until).min() else {
            self.promises.asking = None;
            return;
        };
        if now + ahead < earliest {
            self.wake_early(Moment(earliest.0.saturating_sub(u64::try_from(ahead.as_nanos()).unwrap_or(u64::MAX))));
            return;
        }
        if now < self.promises.next {
            self.wake_early(self.promises.next);
            return;
        }
        let others: BTreeSet<RegionId> =
            self.app.regions.keys().filter(|region| **region != self.me).cloned().collect();
        if others.is_empty() {
            return;
        }
        self.give_up_round();
        self.promises.next = now + (lease / 6).max(self.app.detection.timeout);
        self.wake_early(self.promises.next);
        self.promises.round += 1;
        self.promises.asking = Some(Round {
            number: self.promises.round,
            asked_at: now,
            databases: databases.iter().map(|(database, (_, epoch, _))| (database.clone(), *epoch)).collect(),
            missing: others,
            refusals: BTreeMap::new(),
        });
        let question = Question {
            from: self.me.clone(),
            databases: databases
                .into_iter()
                .map(|(database, (_, epoch, revision))| (database, (epoch, revision)))
                .collect(),
        };
        self.commands.push(Command::AskPeers { round: self.promises.round, question });
    }

    /// A question that was not answered by all in time: it says whom to look at.
    fn give_up_round(&mut self) {
        let Some(round) = self.promises.asking.take() else { return };
        let silent: Vec<&str> = round.missing.iter().map(RegionId::as_str).collect();
        for (database, epoch) in &round.databases {
            let why = match round.refusals.get(database) {
                Some(refusal) => refusal.clone(),
                None => format!("{} does not answer", silent.join(", ")),
            };
            if self.promised_until(database, *epoch).is_none() {
                self.say(database, format!("{database} has no leave to go on without the state store"), why);
            }
        }
    }

    /// Another node's answer. It counts only for the question that is open.
    pub(crate) fn take_peer_answer(&mut self, round: u64, region: &RegionId, answers: Answers) {
        let Some(asking) = self.promises.asking.as_mut().filter(|asking| asking.number == round) else { return };
        if !asking.missing.remove(region) {
            return;
        }
        for database in asking.databases.keys() {
            match answers.get(database) {
                Some(Ok(())) => {}
                Some(Err(why)) => drop(asking.refusals.insert(database.clone(), format!("{region}: {why}"))),
                None => drop(asking.refusals.insert(database.clone(), format!("{region} knows nothing of it"))),
            }
        }
        let everybody = asking.missing.is_empty() || self.mutation == Some(Mutation::OnePromiseEnough);
        if !everybody {
            return;
        }
        let Some(round) = self.promises.asking.take() else { return };
        let from = if self.is_mutated(Mutation::PromiseFromAnswer) { self.clock.now } else { round.asked_at };
        let until = from + self.app.detection.lease * 9 / 10;
        for (database, epoch) in &round.databases {
            if let Some(refusal) = round.refusals.get(database) {
                self.say(
                    database,
                    format!("{database} has no leave to go on without the state store"),
                    refusal.clone(),
                );
                continue;
            }
            self.promises.received.insert(database.clone(), (*epoch, until));
            if !self.holds_lease(database) {
                self.say(
                    database,
                    format!("{database} goes on without the state store"),
                    "every other node has promised to leave it to this one, each time for the length of a lease".into(),
                );
            }
        }
    }

    /// Another node asks: promises what can be promised.
    pub(crate) fn take_peer_question(&mut self, ticket: u64, question: &Question) {
        let until = self.clock.now + self.app.detection.lease;
        let mut answers = Answers::new();
        for (database, (epoch, revision)) in &question.databases {
            let answer = self.may_promise(&question.from, database, *epoch, *revision);
            if answer.is_ok() {
                self.promises.given.insert(database.clone(), (question.from.clone(), until));
            }
            answers.insert(database.clone(), answer);
        }
        self.commands.push(Command::AnswerPeer { ticket, answers });
    }

    fn may_promise(
        &self,
        from: &RegionId,
        database: &ComponentId,
        epoch: Epoch,
        revision: Revision,
    ) -> Result<(), String> {
        // What a former life of this node has asked the store for may be carried out until this one has written to its journal, on whose
        // head every claim rests.
        if !self.has_begun_journal {
            return Err("it has not written to the state store since it started".into());
        }
        let key = record::database_key(database);
        if !self.is_mutated(Mutation::PromiseWhileClaiming) {
            let claims = |transaction: &Transaction| {
                transaction.then.iter().any(|write| matches!(write, Write::Put { key: changed, .. } if *changed == key))
            };
            if self.in_flight.as_ref().is_some_and(|in_flight| claims(&in_flight.transaction)) {
                return Err("a claim of its own is under way".into());
            }
            if self.promises.doubtful.contains_key(&key) {
                return Err("the outcome of a claim of its own is unknown".into());
            }
        }
        match (self.records.get(database), self.revisions.get(&key)) {
            (Some(record), _) if record.epoch > epoch => {
                Err(format!("{} has claimed epoch {}", record.writer, record.epoch))
            }
            (Some(record), Some(known)) if *known > revision => {
                Err(format!("the record of epoch {} has changed since", record.epoch))
            }
            (Some(record), _) if record.epoch == epoch && record.writer != *from => {
                Err(format!("epoch {epoch} is {}'s", record.writer))
            }
            _ => Ok(()),
        }
    }

    /// A claim of ours whose answer was lost: no promise can be made until it is certain that it will not be carried out any more.
    pub(crate) fn doubt(&mut self, transaction: &Transaction) {
        for write in &transaction.then {
            let Write::Put { key, .. } = write else { continue };
            if !key.starts_with(record::DATABASES) {
                continue;
            }
            let rests_on = transaction.when.iter().filter_map(|condition| match condition {
                Condition::Unchanged(on, revision) => Some((on.clone(), *revision)),
                // Records are never deleted; what is absent otherwise can come and go.
                Condition::Absent(on) if on == key || on.starts_with(record::JOURNAL_HEADS) => {
                    Some((on.clone(), Revision(0)))
                }
                Condition::Absent(_) | Condition::Present(_) => None,
            });
            self.promises.doubtful.insert(key.clone(), rests_on.collect());
            self.note(
                EntryKind::Node,
                None,
                "the state store's answer was lost".into(),
                "what was asked of it can be carried out until this entry is written, and not after".into(),
            );
        }
    }

    /// Something has a newer revision: what rests on the older one will not be carried out any more.
    pub(crate) fn settle_doubts(&mut self, key: &str, revision: Revision) {
        self.promises.doubtful.retain(|_, rests_on| !rests_on.iter().any(|(on, old)| on == key && *old < revision));
    }

    /// Whether a change of a database's record by this node may still be carried out, though nobody has said so.
    pub(crate) fn is_unsettled(&self, database: &ComponentId) -> bool {
        let doubts = !self.has_begun_journal || self.promises.doubtful.contains_key(&record::database_key(database));
        doubts && !self.is_mutated(Mutation::ReadIsEnough)
    }

    /// Whether this node is the one that confirms the commits of a database, if it has the right to.
    pub(crate) fn confirms_alone(&self, database: &ComponentId, record: &DatabaseRecord) -> bool {
        record.writer == self.me
            && record.open
            && record.gate == Gate::Node
            && self.may_be_alone(database)
            && self
                .locals
                .get(database)
                .and_then(|local| local.state.as_ref())
                .is_some_and(|state| state.epoch == record.epoch && state.gate == Gate::Node)
    }

    fn say(&mut self, database: &ComponentId, what: String, why: String) {
        let said = format!("{what}: {why}");
        if self.promises.said.get(database) == Some(&said) {
            return;
        }
        self.promises.said.insert(database.clone(), said);
        self.note(EntryKind::Lease, Some(database), what, why);
    }

    /// The store is there again: the next time is news.
    pub(crate) fn needs_no_promise(&mut self, database: &ComponentId) {
        self.promises.said.remove(database);
    }
}
