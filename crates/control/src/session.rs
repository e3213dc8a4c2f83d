//! This node's lease: the right to confirm commits alone, and the sign that it lives.

use std::time::Duration;

use lifeboat_model::journal::EntryKind;
use lifeboat_model::state::{Condition, LeaseId, Transaction};
use lifeboat_model::{ComponentId, Moment};

use crate::brain::{Brain, Mutation};
use crate::event::{Command, StoreFailure};
use crate::record::{self, DatabaseRecord};
use crate::store::put;

/// The lease as this node believes in it, by its own clock.
#[derive(Debug, Default)]
pub(crate) struct Session {
    lease: Option<LeaseId>,
    /// Until when it holds for certain: counted from before it was asked for, and a tenth short, so that this node stops
    /// believing before the store does.
    valid_until: Moment,
    asked_at: Option<Moment>,
    next: Moment,
}

impl Session {
    pub fn lease(&self) -> Option<LeaseId> {
        self.lease
    }

    /// The lease while it holds for certain.
    pub fn valid(&self, now: Moment) -> Option<LeaseId> {
        self.lease.filter(|_| now < self.valid_until)
    }

    /// Until when the lease holds for certain.
    pub fn valid_until(&self) -> Moment {
        self.valid_until
    }

    pub fn lost(&mut self, now: Moment) {
        *self = Self { next: now, asked_at: self.asked_at, ..Self::default() };
    }
}

impl Brain {
    /// Asks for a lease, and renews it at a third of its length.
    pub(crate) fn keep_session(&mut self) {
        if self.session.valid(self.clock.now).is_some() {
            self.wake_early(self.session.valid_until); // What rests on the lease ends with it.
        }
        if self.session.asked_at.is_some() {
            return;
        }
        if self.clock.now < self.session.next {
            self.wake_early(self.session.next);
            return;
        }
        self.session.asked_at = Some(self.clock.now);
        self.commands.push(match self.session.lease {
            Some(lease) => Command::Renew(lease),
            None => Command::Grant(self.app.detection.lease),
        });
    }

    pub(crate) fn take_granted(&mut self, result: Result<LeaseId, StoreFailure>) {
        let asked_at = self.session.asked_at.take();
        match (result, asked_at) {
            (Ok(lease), Some(asked_at)) => {
                self.session.lease = Some(lease);
                self.published = None;
                self.believe_from(asked_at);
            }
            _ => self.session.next = self.clock.now + Duration::from_millis(200),
        }
    }

    pub(crate) fn take_renewed(&mut self, result: Result<(), StoreFailure>) {
        let asked_at = self.session.asked_at.take();
        match (result, asked_at) {
            (Ok(()), Some(asked_at)) if self.session.lease.is_some() => self.believe_from(asked_at),
            (Err(StoreFailure::LeaseGone), _) => {
                self.note(
                    EntryKind::Lease,
                    None,
                    "lease lost".into(),
                    "the state store let it run out before it was renewed".into(),
                );
                self.session.lost(self.clock.now);
            }
            _ => self.session.next = self.clock.now + Duration::from_millis(100),
        }
    }

    fn believe_from(&mut self, asked_at: Moment) {
        let length = self.app.detection.lease;
        self.session.valid_until = asked_at + length * 9 / 10;
        self.session.next = asked_at + length / 3;
    }

    /// Where this node confirms commits, it may for as long as its lease, which has just been renewed, reaches.
    pub(crate) fn prolong_confirming(&mut self) {
        let confirms = |local: &crate::brain::Local| local.confirmed.is_some_and(|(_, until)| until.is_some());
        let confirming: Vec<ComponentId> =
            self.locals.iter().filter(|(_, local)| confirms(local)).map(|(id, _)| id.clone()).collect();
        for database in &confirming {
            if let Some(record) = self.records.get(database).cloned() {
                self.keep_confirming(database, &record);
            }
        }
    }

    /// Keeps the writer's lease on a database whose commits this node confirms, and tells the driver until when it may.
    pub(crate) fn keep_confirming(&mut self, database: &ComponentId, record: &DatabaseRecord) {
        let now = self.clock.now;
        let Some(local) = self.locals.get(database) else { return };
        let is_open = record.open || self.is_mutated(Mutation::ConfirmBeforeOpen);
        let alone = record.writer == self.me
            && is_open
            && self.may_be_alone(database)
            && (record.gate == lifeboat_model::database::Gate::Node
                || !record.open
                || self.is_mutated(Mutation::AloneUnrecorded))
            && local
                .state
                .as_ref()
                .is_some_and(|s| s.epoch == record.epoch && s.gate == lifeboat_model::database::Gate::Node);
        let has_lease = self.holds_lease(database);
        let holds =
            has_lease || self.is_mutated(Mutation::ConfirmBeforeOpen) || self.is_mutated(Mutation::AloneUnrecorded);
        let lease_until = (alone && holds && self.session.valid(now).is_some()).then_some(self.session.valid_until);
        let promised_until = if alone && record.open { self.promised_until(database, record.epoch) } else { None };
        let mut until = lease_until.max(promised_until);
        if let Some(until) = until {
            self.wake_early(until);
        }
        if has_lease {
            self.needs_no_promise(database);
        }
        if self.is_mutated(Mutation::ConfirmPastLease) && alone {
            until = Some(now + Duration::from_secs(30));
        }
        let Some(local) = self.locals.get(database) else { return };
        if local.confirmed != Some((record.epoch, until))
            && (until.is_some() || local.confirmed.is_some_and(|(_, until)| until.is_some()))
        {
            if let Some(local) = self.locals.get_mut(database) {
                local.confirmed = Some((record.epoch, until));
            }
            self.commands.push(Command::Confirm { component: database.clone(), epoch: record.epoch, until });
        }
        if alone && record.open && !holds {
            self.take_writer_lease(database);
        }
    }

    /// Whether the database's lease is this node's present one, which holds for certain.
    pub(crate) fn holds_lease(&self, database: &ComponentId) -> bool {
        let lease = self.session.valid(self.clock.now);
        lease.is_some() && self.leases.get(database).is_some_and(|(region, id)| *region == self.me && *id == lease)
    }

    /// The same while the store cannot be read: what is known of it is old, so only the other nodes' promises prolong the right.
    pub(crate) fn keep_confirming_by_promise(&mut self, database: &ComponentId) {
        let Some(record) = self.records.get(database) else { return };
        if !self.confirms_alone(database, record) {
            return;
        }
        let epoch = record.epoch;
        let Some(promised) = self.promised_until(database, epoch) else { return };
        let Some(local) = self.locals.get_mut(database) else { return };
        let until = match local.confirmed {
            Some((under, Some(until))) if under == epoch => until.max(promised),
            Some(_) | None => promised,
        };
        if local.confirmed != Some((epoch, Some(until))) {
            local.confirmed = Some((epoch, Some(until)));
            self.commands.push(Command::Confirm { component: database.clone(), epoch, until: Some(until) });
        }
    }

    /// A writer that is alone takes the database's lease with its present session, unless somebody else's still counts.
    fn take_writer_lease(&mut self, database: &ComponentId) {
        let Some(lease) = self.session.valid(self.clock.now) else { return };
        if self.leases.get(database).is_some_and(|(region, _)| *region != self.me) || !self.may_transact() {
            return;
        }
        let key = record::lease_key(database);
        let when: Vec<Condition> = vec![self.unchanged(record::database_key(database)), self.unchanged(key.clone())];
        let then = vec![put(key, &self.me.clone(), Some(lease))];
        self.note(
            EntryKind::Lease,
            Some(database),
            format!("lease of {database} taken"),
            "the writer is alone, its node confirms".into(),
        );
        self.transact(Transaction { when, then }, None);
    }
}
