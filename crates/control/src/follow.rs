//! What a node does whose region keeps a copy and is not the writer: stop what still writes, follow who writes now.

use std::time::Duration;

use lifeboat_model::app::WithoutStandby;
use lifeboat_model::database::{Action, DatabaseState, Gate, Role};
use lifeboat_model::{ComponentId, RegionId};

use crate::brain::{Brain, Mutation};
use crate::health::{Sight, Target};
use crate::record::DatabaseRecord;

/// For how long a standby may try to connect by itself before it is made to follow anew.
const RECONNECTING: Duration = Duration::from_secs(5);

impl Brain {
    pub(crate) fn follow(&mut self, database: &ComponentId, record: &DatabaseRecord) {
        let Some(state) = self.server(&self.me, database).cloned() else { return };
        let epoch = record.epoch;
        let serves = self.may_be_followed(database, record) && self.writer_serves(database, record);
        let follow = Action::Follow { writer: record.writer.clone() };
        match &state.role {
            // A newer epoch is claimed: whatever this server still does, it does no more. Its gate is shut in any case.
            Role::Primary if state.epoch < epoch => {
                if !self.is_mutated(Mutation::OldWriterStays) {
                    self.order(database, epoch, Action::Stop { clean: false });
                }
            }
            // Its own epoch was never opened and another region has claimed a newer one that this node has not acted on.
            Role::Primary | Role::Stopped { was_primary: true } => {
                if serves {
                    self.order(database, epoch, follow);
                }
            }
            Role::Absent => {
                if serves {
                    self.order(database, epoch, Action::Seed { from: record.writer.clone() });
                }
            }
            Role::Stopped { was_primary: false } => {
                let astray = state.follows.as_ref() != Some(&record.writer);
                if astray && serves {
                    self.order(database, epoch, follow);
                } else if astray && state.follows.is_some() {
                    self.order(database, epoch, Action::Detach);
                } else {
                    self.order(database, epoch, Action::Start);
                }
            }
            Role::Starting => {}
            Role::Standby => self.keep_following(database, record, &state, serves),
        }
    }

    fn keep_following(&mut self, database: &ComponentId, record: &DatabaseRecord, state: &DatabaseState, serves: bool) {
        let epoch = record.epoch;
        let follow = Action::Follow { writer: record.writer.clone() };
        if !self.may_be_followed(database, record) {
            // The old writer's commits must not be confirmed any more, whoever they name.
            if state.epoch < epoch || state.follows.is_some() {
                self.order(database, epoch, Action::Detach);
            }
            return;
        }
        if state.follows.as_ref() != Some(&record.writer) || state.epoch < epoch {
            if serves {
                self.order(database, epoch, follow);
            }
            return;
        }
        if state.streaming || !serves {
            return;
        }
        let now = self.clock.now;
        let Some(local) = self.locals.get_mut(database) else { return };
        let since = *local.stalled_since.get_or_insert(now);
        if self.has_lasted(since, RECONNECTING)
            && self.order(database, epoch, follow)
            && let Some(local) = self.locals.get_mut(database)
        {
            local.stalled_since = None;
        }
    }

    /// Whether anybody may follow the writer yet: once its epoch is open; and before, where it opens only with standbys, once it
    /// is promoted, for by then the old writer is fenced and the new one has everything. A server that was started as a primary has
    /// the gate of its former life, and would acknowledge what is confirmed by that: it is followed when the gate is shut. And while a
    /// writer before it may have been about to be synchronous, nobody rewinds to it what it may still lack.
    fn may_be_followed(&self, database: &ComponentId, record: &DatabaseRecord) -> bool {
        let is_fenced = record.also.is_none() || self.is_mutated(Mutation::FollowsUnfenced);
        record.open
            || is_fenced
                && self.component(database).without_standby == WithoutStandby::Stop
                && self
                    .server(&record.writer, database)
                    .is_some_and(|s| s.role == Role::Primary && s.epoch == record.epoch && s.gate == Gate::Node)
    }

    /// Whether the writer's server is there to be followed: its node says so, and this node can reach it.
    fn writer_serves(&self, database: &ComponentId, record: &DatabaseRecord) -> bool {
        let reports =
            self.server(&record.writer, database).is_some_and(|s| s.role == Role::Primary && s.epoch == record.epoch);
        reports && self.reaches(&record.writer, database)
    }

    fn reaches(&self, region: &RegionId, database: &ComponentId) -> bool {
        !self.sight(&Target::database(region, database)).is_some_and(Sight::is_gone)
    }
}
