//! Databases that people move, for the nodes have no driver for them: when a failover is wanted, what waits for a person, and what becomes of
//! a person's word.
//!
//! Who writes such a database is decided and fenced by its provider, and told here. So no node ever claims one: a node offers the move as a run
//! that waits, for as long as it takes, and the record changes when a person says that it is done. There is one record, changed by compare and
//! swap, so two regions are never told that they write (S1).

use std::collections::BTreeSet;
use std::time::Duration;

use lifeboat_model::app::Component;
use lifeboat_model::database::Gate;
use lifeboat_model::journal::EntryKind;
use lifeboat_model::manual::{self, MovedBy};
use lifeboat_model::state::{Transaction, Write};
use lifeboat_model::status::{Readiness, Waiting};
use lifeboat_model::{ComponentId, Epoch, RegionId};
use lifeboat_plan::Intent;

use crate::approve::{more, terms};
use crate::brain::{Brain, keeps_copy};
use crate::claim::run_id;
use crate::compute::rests;
use crate::event::Command;
use crate::health::{Sight, Target};
use crate::record::{self, DatabaseRecord, Manual, Origin, Request, Run, Stage};
use crate::store::put;

/// How long a node waits for each better placed one to offer the move.
const DEFERENCE: Duration = Duration::from_secs(2);

/// What a person says: that a database is written in a region now.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub writer: RegionId,
    pub by: String,
    /// Whether it is believed where no run waits for it.
    pub is_admin: bool,
}

impl Brain {
    pub(crate) fn moved_by(&self, database: &ComponentId) -> MovedBy {
        // A record may have outlived its component: then what has always been done for records is done.
        self.app.components.get(database).map_or(MovedBy::Nodes, Component::moved_by)
    }

    /// The rules of such a database.
    pub(crate) fn decide_manual(&mut self, database: &ComponentId) {
        let Some(record) = self.records.get(database).cloned() else {
            self.create_manual_record(database);
            return;
        };
        if !self.locals.contains_key(database) {
            return;
        }
        self.see_epoch(database, &record);
        self.watch_request(database);
        if !self.take_up_request(database, &record) {
            self.offer_failover(database, &record);
        }
    }

    /// The first record: as the file says. It is open at once, for nothing has to be made.
    fn create_manual_record(&mut self, database: &ComponentId) {
        if self.component(database).writer.as_ref() != Some(&self.me) || !self.may_transact() {
            return;
        }
        let epoch = Epoch(1);
        let record = DatabaseRecord { epoch, origin: Origin::Created, ..written_in(self.me.clone()) };
        let key = record::database_key(database);
        let transaction = Transaction { when: vec![self.unchanged(key.clone())], then: vec![put(key, &record, None)] };
        let what = format!("epoch {epoch} claimed for {database}");
        let why = "there is no record yet, and the file names this region as writer; people move it";
        self.note_under(EntryKind::Claim, database, epoch, what, why.into());
        self.transact(transaction, None);
    }

    /// The run that waits for a person, if it is about the next epoch.
    fn waiting(&self, database: &ComponentId, record: &DatabaseRecord) -> Option<(&Run, &Manual)> {
        let run = self.runs.get(database).filter(|run| run.epoch == record.epoch.next())?;
        match &run.stage {
            Stage::Manual(manual) => Some((run, manual)),
            Stage::Checkpoint
            | Stage::Drain
            | Stage::Drained(_)
            | Stage::Claimed
            | Stage::Done
            | Stage::Abandoned(_) => None,
        }
    }

    /// What several people have agreed on, taken up by the node of the region that is to write. Whether there was something.
    fn take_up_request(&mut self, database: &ComponentId, record: &DatabaseRecord) -> bool {
        let for_me = |request: &&Request| request.to.as_ref() == Some(&self.me);
        let Some(request) = self.requests.get(database).filter(for_me).cloned() else { return false };
        if self.missing_approvals(&request) > 0 || !self.may_transact() {
            return false;
        }
        let approved: Vec<&str> = request.approved.iter().map(String::as_str).collect();
        let why = format!("{} asked for it, {} approved it", request.by, approved.join(", "));
        let (to, key) = (self.me.clone(), record::request_key(database));
        let manual = Manual { since_unix_ms: self.clock.unix_ms, asked_by: Some(request.by), why };
        let run = waits(database, record, Intent::Failover, to, manual);
        self.wait_for_person(database, run, vec![Write::Delete { key }], None);
        true
    }

    /// Offers a failover away from a region that is down, on the node of the region that it would go to. One that a person has asked for is
    /// left alone, and so is one that waits for a region that is up: somebody may be carrying it out.
    fn offer_failover(&mut self, database: &ComponentId, record: &DatabaseRecord) {
        let is_declined = self.is_declined(database, record);
        if let Some((run, manual)) = self.waiting(database, record)
            && (manual.asked_by.is_some() || self.is_down(&run.to) != Some(true))
        {
            return;
        }
        let reason = self.why_it_should_move(database, record);
        let now = self.clock.now;
        let Some(local) = self.locals.get_mut(database) else { return };
        let Some(reason) = reason else {
            local.lost_since = None;
            return;
        };
        let since = *local.lost_since.get_or_insert(now);
        if is_declined || record.writer == self.me {
            return;
        }
        let targets = self.targets_of(database, record);
        if self.app.failover.approvals >= 2 {
            let to = targets.first().map_or("REGION", |region| region.as_str());
            self.refrain(
                database,
                format!("{reason}; people decide: `lifeboat failover --database {database} --to {to}`"),
            );
            return;
        }
        let Some(place) = targets.iter().position(|region| *region == self.me) else { return };
        if !self.has_lasted(since, DEFERENCE * u32::try_from(place).unwrap_or(u32::MAX)) || !self.may_transact() {
            return;
        }
        let manual = Manual { since_unix_ms: self.clock.unix_ms, asked_by: None, why: reason };
        let run = waits(database, record, Intent::Failover, self.me.clone(), manual);
        self.wait_for_person(database, run, Vec::new(), None);
    }

    /// Whether a person has said that nothing is to be moved, and the writer's region has not been up since.
    fn is_declined(&mut self, database: &ComponentId, record: &DatabaseRecord) -> bool {
        let is_up = self.is_down(&record.writer) == Some(false);
        let declined = |run: &&Run| run.epoch == record.epoch.next() && matches!(run.stage, Stage::Abandoned(_));
        let run = self.runs.get(database).filter(declined).cloned();
        let Some(local) = self.locals.get_mut(database) else { return false };
        if local.declined != run {
            local.declined = run;
            local.up_since_declined = is_up;
        }
        local.up_since_declined |= is_up;
        local.declined.is_some() && !local.up_since_declined
    }

    /// Why a database should be moved; `None` if it should not. A node that is gone while the application beside it answers is no lost region.
    fn why_it_should_move(&mut self, database: &ComponentId, record: &DatabaseRecord) -> Option<String> {
        if self.is_down(&record.writer) != Some(true) {
            return None;
        }
        let (writer, seen) = (&record.writer, self.who_saw_what(&record.writer));
        let app = self.app.clone();
        let mut beside = app.components.iter().filter(|(id, component)| {
            !component.kind.is_database()
                && component.regions.contains(writer)
                && app.databases_behind(id).contains(database)
        });
        if let Some((compute, _)) = beside.find(|(id, _)| self.sight(&Target::compute(writer, id)) == Some(Sight::Up)) {
            self.refrain(database, format!("{writer} is down: {seen}; but {compute} answers there"));
            return None;
        }
        Some(format!("{writer} is down: {seen}"))
    }

    /// The regions that keep a copy and are not down, the best placed first.
    fn targets_of(&self, database: &ComponentId, record: &DatabaseRecord) -> Vec<RegionId> {
        let component = self.component(database);
        let mut targets: Vec<&RegionId> = self
            .app
            .data_regions()
            .filter(|region| **region != record.writer && keeps_copy(component, region))
            .filter(|region| **region == self.me || self.is_down(region) == Some(false))
            .collect();
        targets.sort_by_key(|region| (std::cmp::Reverse(self.app.regions[*region].preference), (*region).clone()));
        targets.into_iter().cloned().collect()
    }

    /// Writes down that a run waits for a person. The caller has asked [`Self::may_transact`].
    fn wait_for_person(
        &mut self,
        database: &ComponentId,
        run: Run,
        mut then: Vec<Write>,
        answer: Option<(u64, String)>,
    ) {
        let Stage::Manual(Manual { why, .. }) = &run.stage else { return };
        let key = record::run_key(database);
        let what = format!("{} of {database} to {} waits for a person", run.intent, run.to);
        self.note(EntryKind::Run, Some(database), what, why.clone());
        let mut when = vec![self.unchanged(record::database_key(database)), self.unchanged(key.clone())];
        when.extend(then.iter().filter_map(|write| match write {
            Write::Delete { key } => Some(self.unchanged(key.clone())),
            Write::Put { .. } => None,
        }));
        then.push(put(key, &run, None));
        self.transact(Transaction { when, then }, answer);
    }

    /// A person asks for a failover or a switchover: the move waits from now on, or once enough people agree.
    pub(crate) fn hear_manual(
        &mut self,
        ticket: u64,
        database: &ComponentId,
        record: &DatabaseRecord,
        mut request: Request,
    ) -> Result<(), String> {
        if request.intent == Intent::Reprotect {
            return Err("the provider brings standbys back, or people do; there is nothing to ask for".into());
        }
        let to = match request.to.clone() {
            Some(to) => to,
            None => (self.targets_of(database, record).into_iter().next())
                .ok_or_else(|| format!("no other region that keeps a copy of {database} is up"))?,
        };
        self.may_be_written_in(database, &to)?;
        if record.writer == to {
            return Err(format!("{database} is written in {to} already"));
        }
        if self.is_down(&to) == Some(true) && !request.vouch {
            return Err(format!("{to} is down: {}", self.who_saw_what(&to)));
        }
        if let Some((run, _)) =
            self.waiting(database, record).filter(|(run, _)| run.to == to && run.intent == request.intent)
        {
            let answer = Ok(run.id.to_string());
            self.commands.push(Command::Answer { ticket, answer });
            return Ok(());
        }
        let by = request.by.clone();
        if request.intent == Intent::Failover {
            self.may_ask(database, &request)?;
            let missing = self.missing_approvals(&request);
            if missing > 0 {
                request.to = Some(to.clone());
                let key = record::request_key(database);
                let needed = format!("{}: `lifeboat approve {database}`", more(missing));
                let what = format!("{by} asks for a failover of {database} to {to}{}", terms(&request));
                let when = vec![self.unchanged(record::database_key(database)), self.unchanged(key.clone())];
                self.note(EntryKind::Request, Some(database), what, needed.clone());
                let answer = format!("{to} takes over {database} later; {needed}");
                self.transact(Transaction { when, then: vec![put(key, &request, None)] }, Some((ticket, answer)));
                return Ok(());
            }
        }
        let why = format!("{by} asked for it");
        let manual = Manual { since_unix_ms: self.clock.unix_ms, asked_by: Some(by), why };
        let run = waits(database, record, request.intent, to, manual);
        let answer = run.id.to_string();
        self.wait_for_person(database, run, Vec::new(), Some((ticket, answer)));
        Ok(())
    }

    fn may_be_written_in(&self, database: &ComponentId, region: &RegionId) -> Result<(), String> {
        let component = self.component(database);
        if keeps_copy(component, region) {
            return Ok(());
        }
        let copies: Vec<&str> =
            component.writer.iter().chain(component.standbys.keys()).map(RegionId::as_str).collect();
        Err(format!("{region} keeps no copy of {database}; it is in {}", copies.join(", ")))
    }

    /// Takes a person's word that a database is written in a region now: the next epoch, open at once.
    pub(crate) fn take_word(&mut self, ticket: u64, database: &ComponentId, word: Word) -> Result<(), String> {
        let Word { writer, by, is_admin } = word;
        match self.app.components.get(database).map(Component::moved_by) {
            Some(MovedBy::People) if self.component(database).kind.is_database() => {}
            Some(MovedBy::Nodes) => {
                return Err(format!(
                    "the nodes move {database} themselves: `lifeboat failover` or `lifeboat switchover`"
                ));
            }
            Some(MovedBy::People | MovedBy::Nobody) => return Err(format!("{database} has no writer that moves")),
            None => return Err(format!("there is no component `{database}`")),
        }
        self.may_be_written_in(database, &writer)?;
        let record = self.records.get(database).cloned().ok_or_else(|| {
            format!("nothing is recorded of {database} yet: the node of the region that the file names as its writer does that")
        })?;
        let waiting = self.waiting(database, &record).map(|(run, _)| run.clone());
        if record.writer == writer {
            return self.keep_writer(ticket, database, waiting, &by, &writer);
        }
        let waiting_for = waiting.as_ref().map(|run| run.to.clone());
        if waiting_for.as_ref() != Some(&writer) {
            let waits = match &waiting_for {
                Some(to) => format!("what waits for a person is {database} in {to}, not in {writer}"),
                None => format!("nothing waits for a person to move {database}"),
            };
            let ask =
                format!("ask for it first: `lifeboat failover --database {database} --to {writer}`, or `switchover`");
            if self.app.failover.approvals >= 2 {
                return Err(format!("{waits}; {ask}"));
            }
            if !is_admin {
                return Err(format!("{waits}; {ask}; or an admin says it"));
            }
        }
        let run = waiting.filter(|run| run.to == writer);
        let intent = run.as_ref().map_or(Intent::Failover, |run| run.intent);
        let epoch = record.epoch.next();
        let origin = match intent {
            Intent::Failover | Intent::Reprotect => {
                Origin::Failover { away_from: record.writer.clone(), forced: true, vouched: true }
            }
            Intent::Switchover | Intent::Failback => Origin::Switchover,
        };
        let next = DatabaseRecord { epoch, origin, ..written_in(writer.clone()) };
        let done = Run {
            id: run.as_ref().map_or_else(|| run_id(database, epoch, intent), |run| run.id.clone()),
            intent,
            from: Some(record.writer.clone()),
            to: writer.clone(),
            epoch,
            stage: Stage::Done,
        };
        let (key, run_key, request_key) =
            (record::database_key(database), record::run_key(database), record::request_key(database));
        let when = [&key, &run_key, &request_key].map(|key| self.unchanged(key.clone())).into();
        let then = vec![put(key, &next, None), put(run_key, &done, None), Write::Delete { key: request_key }];
        let asked = match &run {
            Some(run) => format!("it was waited for ({})", run.id),
            None => "nobody had asked for it".to_owned(),
        };
        let why = format!("{by} says that {database} is written in {writer}, no more in {}; {asked}", record.writer);
        self.note_under(EntryKind::Claim, database, epoch, format!("epoch {epoch} claimed for {database}"), why);
        let answer = format!("{database} is written in {writer} under epoch {epoch}");
        self.transact(Transaction { when, then }, Some((ticket, answer)));
        Ok(())
    }

    /// A person says what is recorded already: what waits is given up, for nothing was moved.
    fn keep_writer(
        &mut self,
        ticket: u64,
        database: &ComponentId,
        waiting: Option<Run>,
        by: &str,
        writer: &RegionId,
    ) -> Result<(), String> {
        let answer = format!("{database} is written in {writer}, as before");
        let Some(run) = waiting else {
            self.commands.push(Command::Answer { ticket, answer: Ok(answer) });
            return Ok(());
        };
        let why = format!("{by} says that {database} is still written in {writer}");
        let what = format!("{} of {database} to {} abandoned", run.intent, run.to);
        self.note(EntryKind::Run, Some(database), what, why.clone());
        let key = record::run_key(database);
        let when = vec![self.unchanged(record::database_key(database)), self.unchanged(key.clone())];
        let then = vec![put(key, &Run { stage: Stage::Abandoned(why), ..run }, None)];
        self.transact(Transaction { when, then }, Some((ticket, answer)));
        Ok(())
    }

    /// Whether it would be right to move it there, as far as nodes can tell.
    pub(crate) fn manual_readiness(&self, database: &ComponentId, region: &RegionId) -> Readiness {
        if self.is_down(region) == Some(true) {
            return Readiness { ready: false, reason: format!("it is down: {}", self.who_saw_what(region)) };
        }
        if *region != self.me && self.is_down(region).is_none() {
            return Readiness { ready: false, reason: "nothing was seen of it yet, or this node sees nobody".into() };
        }
        for compute in self.compute_needing(database, region) {
            let seen = self.sight(&Target::compute(region, &compute));
            if !rests(self.component(&compute)) && seen.is_some_and(|sight| sight != Sight::Up) {
                return Readiness { ready: false, reason: format!("{compute} is not healthy in {region} (S4)") };
            }
        }
        Readiness { ready: true, reason: "up; a person moves it, and how far it is behind the provider tells".into() }
    }

    /// Everything that waits for a person.
    pub(crate) fn waiting_status(&self) -> Vec<Waiting> {
        let databases = self.records.iter().filter_map(|(database, record)| self.waiting_database(database, record));
        databases.chain(self.waiting_compute()).collect()
    }

    fn waiting_database(&self, database: &ComponentId, record: &DatabaseRecord) -> Option<Waiting> {
        let (run, manual) = self.waiting(database, record)?;
        let planned = run.intent != Intent::Failover;
        let mut steps = manual::move_writer(&self.app, database, planned, run.from.as_ref(), &run.to);
        steps.push(manual::done(database, &run.to));
        let mut why = manual.why.clone();
        if manual.asked_by.is_none() && self.is_down(&record.writer) == Some(false) {
            why = format!("{why}; it is up again: if nothing was moved, `{}`", manual::done(database, &record.writer));
        }
        Some(Waiting {
            component: database.clone(),
            region: run.to.clone(),
            since_unix_ms: Some(manual.since_unix_ms),
            why,
            steps,
        })
    }

    /// Compute without a driver that serves in a region and does not run there. Where it runs, a check has to say so.
    fn waiting_compute(&self) -> impl Iterator<Item = Waiting> + '_ {
        let is_resting = |component: &Component| rests(component) && component.check.is_some();
        self.app.components.iter().filter(move |(_, component)| is_resting(component)).filter_map(|(id, component)| {
            let behind = self.app.writers_behind(id);
            let records: Vec<&DatabaseRecord> = behind.iter().filter_map(|id| self.records.get(id)).collect();
            let written: BTreeSet<&RegionId> = records.iter().map(|record| &record.writer).collect();
            let region = written.into_iter().find(|region| {
                component.regions.contains(*region)
                    && self.is_down(region) != Some(true)
                    && self.sight(&Target::compute(region, id)).is_some_and(|sight| sight != Sight::Up)
            })?;
            let steps = manual::scale(&self.app, id, region);
            (!steps.is_empty()).then(|| Waiting {
                component: id.clone(),
                region: region.clone(),
                since_unix_ms: None,
                why: format!("it serves in {region} and does not answer there; nodes have no driver for it"),
                steps,
            })
        })
    }
}

/// A run that waits for a person.
fn waits(database: &ComponentId, record: &DatabaseRecord, intent: Intent, to: RegionId, manual: Manual) -> Run {
    let epoch = record.epoch.next();
    Run {
        id: run_id(database, epoch, intent),
        intent,
        from: Some(record.writer.clone()),
        to,
        epoch,
        stage: Stage::Manual(manual),
    }
}

/// A record as a person's word makes it: open at once, for the provider decides who may write. Nobody is known to hold everything but the
/// writer, and no node confirms anything.
fn written_in(writer: RegionId) -> DatabaseRecord {
    DatabaseRecord {
        epoch: Epoch(0),
        holders: BTreeSet::from([writer.clone()]),
        writer,
        open: true,
        gate: Gate::Node,
        also: None,
        origin: Origin::Switchover,
    }
}
