//! What the writer's node does: create, promote, open, and keep the gate and the record in step.

use std::collections::BTreeSet;
use std::time::Duration;

use lifeboat_model::app::WithoutStandby;
use lifeboat_model::database::{Action, DatabaseState, Gate, Role};
use lifeboat_model::journal::EntryKind;
use lifeboat_model::state::{Transaction, Write};
use lifeboat_model::{ComponentId, Epoch, Moment, RegionId};

use crate::brain::{Brain, Mutation, is_synchronous, keeps_copy};
use crate::confirm::{self, Change, order_of_change};
use crate::health::{Sight, Target};
use crate::record::{self, DatabaseRecord, Origin, Stage};
use crate::store::put;

/// A standby that is further behind than this is not waited for yet, so that commits do not hang while it catches up.
const NEAR: u64 = 16 << 20;

impl Brain {
    /// The first record of a database: made by the node of the region that the file names as writer.
    pub(crate) fn create_record(&mut self, database: &ComponentId) {
        let component = self.component(database);
        if component.writer.as_ref() != Some(&self.me) || self.is_unreadable(&record::database_key(database)) {
            return;
        }
        let copies: Vec<RegionId> = self.app.data_regions().filter(|r| keeps_copy(component, r)).cloned().collect();
        let Some(own) = self.server(&self.me, database) else { return };
        let mut epoch = Epoch(1);
        if own.role != Role::Absent {
            // There are data, and the store has forgotten them: nobody else may have newer ones.
            let known: Option<Vec<Epoch>> = copies.iter().map(|r| self.server(r, database).map(|s| s.epoch)).collect();
            match known {
                Some(epochs) if epochs.iter().all(|other| *other <= own.epoch) => epoch = own.epoch.next(),
                _ => {
                    self.note_forgotten(database);
                    return;
                }
            }
        }
        if !self.may_transact() {
            return;
        }
        let record = DatabaseRecord {
            epoch,
            writer: self.me.clone(),
            open: false,
            holders: BTreeSet::from([self.me.clone()]),
            gate: Gate::Node,
            also: None,
            origin: Origin::Created,
        };
        let key = record::database_key(database);
        let transaction = Transaction { when: vec![self.unchanged(key.clone())], then: vec![put(key, &record, None)] };
        self.note_under(
            EntryKind::Claim,
            database,
            epoch,
            format!("epoch {epoch} claimed for {database}"),
            "there is no record yet, and the file names this region as writer".into(),
        );
        self.transact(transaction, None);
    }

    fn note_forgotten(&mut self, database: &ComponentId) {
        self.refrain(
            database,
            format!("the store has no record of {database}, yet there are data; waiting until every copy's epoch is known and none is newer"),
        );
    }

    /// The rules of the region that the record names as writer.
    pub(crate) fn write(&mut self, database: &ComponentId, record: &DatabaseRecord) {
        let Some(state) = self.server(&self.me, database).cloned() else { return };
        // S1: a claim that was carried out in spite of a promise stays shut for as long as the promise counts.
        if !record.open
            && Self::is_forced(record)
            && let Some(why) = self.must_wait(database)
        {
            self.refrain(database, why);
            return;
        }
        match &state.role {
            Role::Absent => {
                if !record.open && record.origin == Origin::Created {
                    self.order(database, record.epoch, Action::Create { gate: Gate::Node });
                } else {
                    self.refrain(
                        database,
                        format!("the record names {} as writer, but there are no data here", self.me),
                    );
                }
            }
            Role::Stopped { .. } => {
                if !self.is_draining(database) {
                    self.order(database, record.epoch, Action::Start);
                }
            }
            Role::Starting => {}
            Role::Standby => {
                if !record.open && self.fence_holds(database, record, &state) {
                    self.order(database, record.epoch, Action::Promote);
                }
            }
            Role::Primary if state.epoch < record.epoch => {
                // This region has claimed back what it wrote before: behind a shut gate, as after a promotion.
                if !record.open {
                    self.order(database, record.epoch, Action::SetGate { gate: Gate::Node });
                }
            }
            Role::Primary => {
                if !self.is_draining(database) {
                    self.keep_gate(database, record, &state);
                }
            }
        }
    }

    /// Whether a switchover is stopping this writer at present.
    fn is_draining(&self, database: &ComponentId) -> bool {
        self.runs.get(database).is_some_and(|run| {
            run.from.as_ref() == Some(&self.me)
                && run.to != self.me
                && matches!(run.stage, Stage::Drain | Stage::Drained(_))
        })
    }

    /// Whether the old writer can acknowledge nothing any more, or will not once this standby is promoted; and whether this
    /// standby has everything. Orders what is missing.
    fn fence_holds(&mut self, database: &ComponentId, record: &DatabaseRecord, state: &DatabaseState) -> bool {
        let Gate::Peers { named, .. } = &record.gate else {
            return self.also_is_fenced(database, record, state); // S1: the claim waited for the lease, or this was the writer itself.
        };
        let vouched = matches!(record.origin, Origin::Failover { vouched: true, .. });
        let was_writer = record.holders.contains(&self.me) && !named.contains(&self.me);
        if vouched || was_writer {
            return true;
        }
        let mut needed = confirm::stops_needed(&record.gate);
        if self.is_mutated(Mutation::StopsOffByOne) {
            needed = needed.saturating_sub(1).max(1);
        }
        if needed == 1 && named.contains(&self.me) {
            return true; // S1: this promotion is the fence, and every named standby holds everything.
        }
        // ANY k of n: as many have to stop, this one among them, before positions can be compared.
        if named.contains(&self.me) && !is_detached(state, record.epoch) {
            self.order(database, record.epoch, Action::Detach);
            return false;
        }
        let stopped = self.stopped_of(database, record, named);
        if stopped.len() < needed {
            return false;
        }
        // S2: the one of them that has most claims; see `consider_claim`.
        self.is_mutated(Mutation::MostDataIgnored) || !stopped.iter().any(|(_, server)| has_more(server, state))
    }

    /// Which of a gate's named standbys confirm nothing any more under epochs before the record's.
    fn stopped_of<'a>(
        &'a self,
        database: &ComponentId,
        record: &DatabaseRecord,
        named: &'a BTreeSet<RegionId>,
    ) -> Vec<(&'a RegionId, &'a DatabaseState)> {
        let reports = named.iter().filter_map(|region| Some((region, self.server(region, database)?)));
        reports.filter(|(_, server)| is_detached(server, record.epoch)).collect()
    }

    /// S1: a writer that was alone may have been on its way to other standbys, whom no lease stops.
    fn also_is_fenced(&mut self, database: &ComponentId, record: &DatabaseRecord, state: &DatabaseState) -> bool {
        let Some(record::Also { of, gate }) = &record.also else { return true };
        let Gate::Peers { named, .. } = gate else { return true };
        let vouched = matches!(record.origin, Origin::Failover { vouched: true, .. });
        if vouched || *of == self.me || self.is_mutated(Mutation::AlsoUnfenced) {
            return true; // Its own gate is shut before it opens.
        }
        let needed = confirm::stops_needed(gate);
        let is_named = named.contains(&self.me);
        if needed == 1 && is_named {
            return true;
        }
        if is_named && !is_detached(state, record.epoch) {
            self.order(database, record.epoch, Action::Detach);
            return false;
        }
        let stopped = self.stopped_of(database, record, named);
        let missing = needed.saturating_sub(stopped.len());
        // S2: what was acknowledged there after this claim is in one of them; that one claims, see `overtake`.
        let ahead = stopped.iter().find(|(_, server)| has_more(server, state)).map(|(region, _)| (*region).clone());
        if missing > 0 {
            self.refrain(
                database,
                format!(
                    "{of} may be synchronous with {} by now, {missing} more of which have to stop first",
                    names(named)
                ),
            );
            return false;
        }
        if let Some(ahead) = ahead
            && !self.is_mutated(Mutation::MostDataIgnored)
        {
            self.refrain(database, format!("{ahead} has more of what {of} wrote, and is to take over"));
            return false;
        }
        true
    }

    /// Keeps the server's gate and the record in step with the standbys that are there.
    fn keep_gate(&mut self, database: &ComponentId, record: &DatabaseRecord, state: &DatabaseState) {
        // One thing at a time: while the gate or the record is being changed, what is seen of them is old.
        if self.locals.get(database).is_some_and(|local| local.order.is_some()) || self.is_changing_record(database) {
            return;
        }
        if self.is_unsettled(database) {
            return; // What this node asked for may still be carried out; the next transaction puts an end to that.
        }
        self.mark_gate(database, state);
        let mute: Vec<Moment> = state.followers.keys().filter_map(|region| self.mute_since(database, region)).collect();
        for since in mute {
            self.has_lasted(since, self.app.detection.timeout); // Asks to be woken then.
        }
        let desired = self.desired_gate(database, record, state);
        if !record.open {
            self.open(database, record, state, &desired);
            return;
        }
        match (&record.gate, &state.gate) {
            (Gate::Node, Gate::Node) => {
                if desired != Gate::Node {
                    if self.is_mutated(Mutation::SynchronousEarly) {
                        self.record_gate(database, record, desired, true, "mutation");
                    } else if record.also.as_ref().is_some_and(|also| also.of == self.me && also.gate == desired) {
                        self.order(database, record.epoch, Action::SetGate { gate: desired });
                    } else {
                        self.record_also(database, record, Some(desired));
                    }
                } else if record.also.is_some() {
                    self.record_also(database, record, None);
                }
            }
            (recorded, actual @ Gate::Peers { named, .. }) if recorded != actual && desired == *actual => {
                // The server's gate came first. S2: the record follows when all that it names have everything.
                if self.has_caught_up(database, state, named) || self.is_mutated(Mutation::SynchronousEarly) {
                    let why = format!("commits wait for {}, with everything there", names(named));
                    self.record_gate(database, record, desired, true, &why);
                }
            }
            (recorded @ Gate::Peers { .. }, Gate::Node) if order_of_change(recorded, &desired) == Change::ByNode => {
                // The server is shut, so that the record may say alone; the node confirms once it does.
                self.record_alone(database, record);
            }
            (recorded, actual) if recorded != actual => {
                // The record came first, or what was begun is not wanted any more: the server follows the record.
                self.order(database, record.epoch, Action::SetGate { gate: recorded.clone() });
            }
            (recorded, _) if *recorded == desired => {
                self.set_lacking(database, false);
            }
            (recorded, _) => match order_of_change(recorded, &desired) {
                Change::ServerFirst => {
                    self.order(database, record.epoch, Action::SetGate { gate: desired });
                }
                Change::RecordFirst => {
                    let Gate::Peers { named, .. } = &desired else { return };
                    if self.has_caught_up(database, state, named) {
                        let why = format!("everything is in {}", names(named));
                        self.record_gate(database, record, desired, true, &why);
                    }
                }
                Change::ByNode => self.begin_alone(database, record),
            },
        }
    }

    fn is_changing_record(&self, database: &ComponentId) -> bool {
        let key = record::database_key(database);
        self.in_flight.as_ref().is_some_and(|in_flight| {
            in_flight
                .transaction
                .then
                .iter()
                .any(|write| matches!(write, Write::Put { key: changed, .. } if *changed == key))
        })
    }

    /// Too few standbys are left: after a moment of patience the server's gate is shut. Nothing is acknowledged until alone is recorded.
    fn begin_alone(&mut self, database: &ComponentId, record: &DatabaseRecord) {
        let since = self.set_lacking(database, true);
        if self.has_lasted(since, self.app.detection.timeout) && self.session.valid(self.clock.now).is_some() {
            self.order(database, record.epoch, Action::SetGate { gate: Gate::Node });
        }
    }

    /// S1: only behind a shut gate, for by a record that says alone nobody stops the standbys that the server's gate named.
    fn record_alone(&mut self, database: &ComponentId, record: &DatabaseRecord) {
        if self.is_mutated(Mutation::AloneUnrecorded) {
            return;
        }
        let patience = self.app.detection.timeout.as_millis();
        let why = format!("no standby has confirmed for {patience} ms; the file says to continue without one");
        self.record_gate(database, record, Gate::Node, true, &why);
    }

    /// Whom the server will wait for, before it is told to, or that it waits for nobody any more.
    fn record_also(&mut self, database: &ComponentId, record: &DatabaseRecord, gate: Option<Gate>) {
        if !self.may_transact() {
            return;
        }
        let why = match &gate {
            Some(Gate::Peers { named, .. }) => format!("{} streams; the server's gate follows", names(named)),
            Some(Gate::Node) | None => "the server's gate is its node's".into(),
        };
        let also = gate.map(|gate| record::Also { of: self.me.clone(), gate });
        let what = match &also {
            Some(_) => format!("{database} is about to be synchronous"),
            None => format!("{database} is not about to be synchronous any more"),
        };
        let key = record::database_key(database);
        let when = vec![self.unchanged(key.clone())];
        let then = vec![put(key, &DatabaseRecord { also, ..record.clone() }, None)];
        self.note_under(EntryKind::Step, database, record.epoch, what, why);
        self.transact(Transaction { when, then }, None);
    }

    fn set_lacking(&mut self, database: &ComponentId, lacking: bool) -> lifeboat_model::Moment {
        let now = self.clock.now;
        let Some(local) = self.locals.get_mut(database) else { return now };
        if !lacking {
            local.lacking_since = None;
            return now;
        }
        *local.lacking_since.get_or_insert(now)
    }

    /// Who should confirm, given who is there.
    fn desired_gate(&self, database: &ComponentId, record: &DatabaseRecord, state: &DatabaseState) -> Gate {
        let component = self.component(database);
        let patience = self.app.detection.timeout;
        let in_gate = |region: &RegionId| match &state.gate {
            Gate::Peers { named, .. } => named.contains(region),
            Gate::Node => false,
        };
        let live: BTreeSet<RegionId> = state
            .followers
            .iter()
            .filter(|(region, _)| **region != self.me && is_synchronous(component, region))
            .filter(|(region, follower)| {
                // S2: one that has not acted under this epoch may still be told by an older one to follow somebody else.
                let is_bound = self.server(region, database).is_some_and(|server| server.epoch >= record.epoch)
                    || self.is_mutated(Mutation::OldFollowersNamed);
                let is_near = follower.flushed.0 + NEAR >= state.flushed.0;
                follower.streaming
                    && (in_gate(region) && record.open || is_bound && is_near)
                    && self.mute_since(database, region).is_none_or(|since| self.clock.now < since + patience)
            })
            .map(|(region, _)| region.clone())
            .collect();
        let wanted = component.confirmations.max(1);
        let stops = component.without_standby == WithoutStandby::Stop;
        if live.len() < wanted && stops && record.open && record.gate != Gate::Node {
            return record.gate.clone();
        }
        if live.is_empty() {
            return Gate::Node;
        }
        Gate::Peers { needed: wanted.min(live.len()), named: live }
    }

    /// Since when a standby has confirmed nothing of what it lacks, while this node sees it gone: its connection stands until PostgreSQL
    /// gives it up (`wal_sender_timeout`), and commits would wait for as long.
    fn mute_since(&self, database: &ComponentId, region: &RegionId) -> Option<Moment> {
        let is_gone = self.sight(&Target::database(region, database)).is_some_and(Sight::is_gone);
        let (_, since) = self.locals.get(database)?.stuck.get(region).filter(|_| is_gone)?;
        Some(*since)
    }

    /// Remembers the position from which on only the gate's named standbys confirm: the first report in which exactly they do.
    fn mark_gate(&mut self, database: &ComponentId, state: &DatabaseState) {
        let exact = match &state.gate {
            Gate::Node => true,
            Gate::Peers { named, .. } => {
                state.followers.iter().all(|(region, f)| f.confirms == (named.contains(region) && f.streaming))
            }
        };
        let Some(local) = self.locals.get_mut(database) else { return };
        if local.mark.as_ref().is_some_and(|(gate, _)| *gate != state.gate) {
            local.mark = None;
        }
        if exact && local.mark.is_none() {
            local.mark = Some((state.gate.clone(), state.flushed));
        }
    }

    fn has_caught_up(&self, database: &ComponentId, state: &DatabaseState, named: &BTreeSet<RegionId>) -> bool {
        let Some((gate, mark)) = self.locals.get(database).and_then(|local| local.mark.clone()) else { return false };
        gate == state.gate
            && named.iter().all(|region| state.followers.get(region).is_some_and(|f| f.streaming && f.flushed >= mark))
    }

    /// Whether this region's node may confirm commits: not where the file says to stop without a standby. There a record that says alone
    /// is only the way from one set of standbys to another.
    pub(crate) fn may_be_alone(&self, database: &ComponentId) -> bool {
        let component = self.component(database);
        component.without_standby == WithoutStandby::Continue
            || !self.app.data_regions().any(|region| *region != self.me && is_synchronous(component, region))
    }

    /// Opens an epoch: alone with a lease, or, where the file forbids to be alone, with synchronous standbys.
    fn open(&mut self, database: &ComponentId, record: &DatabaseRecord, state: &DatabaseState, desired: &Gate) {
        let may_be_alone = self.may_be_alone(database);
        // Shut until it is recorded: an epoch that is not open has acknowledged nothing, so that others who hold what was acknowledged
        // before may claim. Where peers are to confirm, the server's gate follows the record.
        if state.gate != Gate::Node {
            self.order(database, record.epoch, Action::SetGate { gate: Gate::Node });
            return;
        }
        if !self.also_is_fenced(database, record, state) {
            return;
        }
        if may_be_alone {
            if self.session.valid(self.clock.now).is_some() {
                self.record_gate(
                    database,
                    record,
                    Gate::Node,
                    true,
                    "promoted behind a shut gate; the node confirms while it holds its lease",
                );
            }
            return;
        }
        if record.also.is_some() {
            self.record_also(database, record, None); // Only now may others follow: they would rewind what this claimer was to take from them.
            return;
        }
        match desired {
            Gate::Node => self.refrain(
                database,
                format!("{database} stays shut: the file says to stop without a synchronous standby"),
            ),
            Gate::Peers { named, .. } => {
                if self.has_caught_up(database, state, named) {
                    let why = format!("commits wait for {}, with everything there", names(named));
                    self.record_gate(database, record, desired.clone(), true, &why);
                }
            }
        }
    }

    /// Commits what is true from now on of who confirms: with it, an epoch that was shut is open, and its run is done.
    fn record_gate(&mut self, database: &ComponentId, record: &DatabaseRecord, gate: Gate, open: bool, why: &str) {
        if !self.may_transact() {
            return;
        }
        let key = record::database_key(database);
        let lease_key = record::lease_key(database);
        let mut when = vec![self.unchanged(key.clone())];
        let holders = confirm::holders(&self.me, &gate);
        let next = DatabaseRecord { open, holders, gate: gate.clone(), also: None, ..record.clone() };
        let mut then = vec![put(key, &next, None)];
        match (&gate, self.session.valid(self.clock.now)) {
            (Gate::Node, Some(lease)) => then.push(put(lease_key, &self.me.clone(), Some(lease))),
            (Gate::Node, None) => return,
            (Gate::Peers { .. }, _) => then.push(Write::Delete { key: lease_key }),
        }
        let epoch = record.epoch;
        if record.open {
            let (kind, what) = match &gate {
                Gate::Node => (EntryKind::Alone, format!("{database} goes on without a standby")),
                Gate::Peers { named, .. } => {
                    (EntryKind::Synchronous, format!("{database} is synchronous with {}", names(named)))
                }
            };
            self.note_under(kind, database, epoch, what, why.to_owned());
        } else {
            self.note_under(
                EntryKind::Open,
                database,
                epoch,
                format!("epoch {epoch} of {database} is open"),
                why.to_owned(),
            );
            if let Some(run) = self.runs.get(database).filter(|run| run.epoch == epoch && !run.stage.is_over()) {
                let done = record::Run { stage: Stage::Done, ..run.clone() };
                let run_key = record::run_key(database);
                when.push(self.unchanged(run_key.clone()));
                self.note_under(
                    EntryKind::Run,
                    database,
                    epoch,
                    format!("{} of {database} to {} done", done.intent, done.to),
                    format!("epoch {epoch} is open"),
                );
                then.push(put(run_key, &done, None));
            }
        }
        self.transact(Transaction { when, then }, None);
    }
}

/// Whether a server has stopped confirming for older epochs, for good: it was told so under `epoch` and follows nobody, or is no
/// standby any more. One that is down and would follow the old writer again once it runs has not.
pub(crate) fn is_detached(server: &DatabaseState, epoch: Epoch) -> bool {
    let may_confirm = matches!(server.role, Role::Standby | Role::Starting | Role::Stopped { was_primary: false });
    server.epoch >= epoch && !(may_confirm && server.follows.is_some())
}

/// Whether one server has what the other lacks, where both have followed the same writer.
pub(crate) fn has_more(one: &DatabaseState, other: &DatabaseState) -> bool {
    (one.timeline, one.flushed) > (other.timeline, other.flushed)
}

fn names(regions: &BTreeSet<RegionId>) -> String {
    regions.iter().map(RegionId::as_str).collect::<Vec<_>>().join(", ")
}

/// For how long a claimed epoch may stay shut while its writer's node lives.
pub(crate) const OPENING: Duration = Duration::from_secs(10);
