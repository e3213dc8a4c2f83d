//! What people ask for, and the stages of a switchover: the source writes down and stops, the target catches up and claims.

use std::time::Duration;

use lifeboat_model::database::{Action, Role};
use lifeboat_model::journal::EntryKind;
use lifeboat_model::manual::MovedBy;
use lifeboat_model::state::Transaction;
use lifeboat_model::{ComponentId, Moment, RegionId};
use lifeboat_plan::Intent;

use crate::approve::{more, terms};
use crate::brain::Brain;
use crate::claim::run_id;
use crate::event::Command;
use crate::manual::Word;
use crate::record::{self, DatabaseRecord, Origin, Request, Run, Stage};
use crate::store::put;

/// For how long a switchover may stand still at one stage before the source gives it up and goes on.
const STAGE_LIMIT: Duration = Duration::from_secs(10);
/// Writing everything down may take longer on a large database; clients are served meanwhile.
const CHECKPOINT_LIMIT: Duration = Duration::from_secs(300);

/// What a person wants.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    /// Something to happen.
    Ask(Request),
    /// That what another one asks for happens; by the name of a token.
    Approve(String),
    /// To be believed that a database was moved.
    Believe(Word),
}

impl Brain {
    /// Takes up what people asked for, one at a time, when the store is free.
    pub(crate) fn hear_people(&mut self) {
        while !self.people.is_empty() && self.may_transact() {
            let Some((ticket, database, wish)) = self.people.pop_front() else { return };
            let heard = match wish {
                Wish::Ask(request) => self.hear(ticket, &database, request),
                Wish::Approve(by) => self.approve(ticket, &database, by),
                Wish::Believe(word) => self.take_word(ticket, &database, word),
            };
            if let Err(why) = heard {
                self.commands.push(Command::Answer { ticket, answer: Err(why) });
            }
        }
    }

    fn hear(&mut self, ticket: u64, database: &ComponentId, mut request: Request) -> Result<(), String> {
        if let Some(component) = self.app.components.get(database).filter(|component| component.kind.is_database())
            && component.moved_by() == MovedBy::Nobody
        {
            return Err(format!("{database} needs no move: `{}` is written in every region", component.kind.as_str()));
        }
        let record = self
            .records
            .get(database)
            .cloned()
            .ok_or_else(|| format!("`{database}` is no database that was ever written"))?;
        if self.moved_by(database) == MovedBy::People {
            return self.hear_manual(ticket, database, &record, request);
        }
        let to = match request.to.clone() {
            Some(to) => to,
            None => self.best_ready(database).ok_or_else(|| format!("no region is ready to take over {database}"))?,
        };
        if !self.app.regions.contains_key(&to) {
            let known: Vec<&str> = self.app.regions.keys().map(RegionId::as_str).collect();
            return Err(format!("there is no region `{to}`; the file has {}", known.join(", ")));
        }
        if record.writer == to {
            return Err(format!("{database} is written in {to} already"));
        }
        if let Some(run) = self.runs.get(database).filter(|run| !run.stage.is_over() && run.intent != Intent::Failover)
        {
            return Err(format!("a {} of {database} to {} is under way ({})", run.intent, run.to, run.id));
        }
        let readiness = self.readiness(database, &to);
        let epoch = record.epoch.next();
        let by = request.by.clone();
        let run_key = record::run_key(database);
        let mut when = vec![self.unchanged(record::database_key(database)), self.unchanged(run_key.clone())];
        match request.intent {
            Intent::Failover => {
                if !readiness.ready && !request.accept_loss && !request.vouch {
                    return Err(format!("{to} is not ready: {}", readiness.reason));
                }
                request.to = Some(to.clone());
                self.may_ask(database, &request)?;
                let key = record::request_key(database);
                when.push(self.unchanged(key.clone()));
                let missing = self.missing_approvals(&request);
                let (why, answer) = if missing == 0 {
                    (readiness.reason, format!("{to} takes over {database}"))
                } else {
                    let needed = format!("{}: `lifeboat approve {database}`", more(missing));
                    (format!("{}; {needed}", readiness.reason), format!("{to} takes over {database} later; {needed}"))
                };
                let what = format!("{by} asks for a failover of {database} to {to}{}", terms(&request));
                self.note(EntryKind::Request, Some(database), what, why);
                let then = vec![put(key, &request, None)];
                self.transact(Transaction { when, then }, Some((ticket, answer)));
            }
            Intent::Switchover | Intent::Failback => {
                if !record.open || !readiness.ready || !record.holders.contains(&to) {
                    return Err(format!(
                        "a switchover to {to} is not possible now: {}",
                        if record.open { &readiness.reason } else { "the present epoch is not open" }
                    ));
                }
                let id = run_id(database, epoch, request.intent);
                let run = Run {
                    id: id.clone(),
                    intent: request.intent,
                    from: Some(record.writer.clone()),
                    to: to.clone(),
                    epoch,
                    stage: Stage::Checkpoint,
                };
                let what = format!("{by} asks for a {} of {database} to {to}", request.intent);
                self.note(EntryKind::Request, Some(database), what, readiness.reason);
                let then = vec![put(run_key, &run, None)];
                self.transact(Transaction { when, then }, Some((ticket, id.to_string())));
            }
            Intent::Reprotect => {
                return Err("standbys are brought back by themselves; there is nothing to ask for".into());
            }
        }
        Ok(())
    }

    fn best_ready(&self, database: &ComponentId) -> Option<RegionId> {
        let record = self.records.get(database)?;
        self.app
            .data_regions()
            .filter(|region| **region != record.writer && self.readiness(database, region).ready)
            .max_by_key(|region| {
                (
                    record.holders.contains(*region),
                    self.app.regions[*region].preference,
                    std::cmp::Reverse((*region).clone()),
                )
            })
            .cloned()
    }

    /// The next step of a switchover, as far as it is this node's to take.
    pub(crate) fn advance_switchover(&mut self, database: &ComponentId, record: &DatabaseRecord) {
        let Some(run) = self.runs.get(database).filter(|run| !run.stage.is_over()).cloned() else { return };
        if run.intent == Intent::Failover || run.epoch != record.epoch.next() {
            return;
        }
        let since = self.see_stage(database, &run);
        if run.from.as_ref() == Some(&self.me) {
            self.drain(database, record, &run, since);
        } else if run.to == self.me {
            self.take_over(database, record, &run);
        }
    }

    /// When this node saw the run come to its stage.
    fn see_stage(&mut self, database: &ComponentId, run: &Run) -> Moment {
        let now = self.clock.now;
        let Some(local) = self.locals.get_mut(database) else { return now };
        match &local.stage_seen {
            Some((seen, since)) if seen == run => *since,
            _ => {
                local.stage_seen = Some((run.clone(), now));
                now
            }
        }
    }

    /// The source: write down, stop, say where; and go on if nobody takes over.
    fn drain(&mut self, database: &ComponentId, record: &DatabaseRecord, run: &Run, since: Moment) {
        let limit = if run.stage == Stage::Checkpoint { CHECKPOINT_LIMIT } else { STAGE_LIMIT };
        if self.has_lasted(since, limit) {
            let why = format!("nothing has happened for {} s at this stage", limit.as_secs());
            self.set_stage(database, run, Stage::Abandoned(why));
            return;
        }
        let Some(state) = self.server(&self.me, database).cloned() else { return };
        match &run.stage {
            Stage::Checkpoint => {
                if !record.holders.contains(&run.to) {
                    self.set_stage(
                        database,
                        run,
                        Stage::Abandoned(format!("{} holds not everything any more", run.to)),
                    );
                } else {
                    self.order(database, record.epoch, Action::Checkpoint);
                }
            }
            Stage::Drain => {
                if matches!(state.role, Role::Stopped { .. }) {
                    self.set_stage(database, run, Stage::Drained(state.flushed));
                } else {
                    self.order(database, record.epoch, Action::Stop { clean: true });
                }
            }
            Stage::Drained(_) | Stage::Manual(_) | Stage::Claimed | Stage::Done | Stage::Abandoned(_) => {}
        }
    }

    /// The source's checkpoint is done, or failed and is not worth waiting for: stop.
    pub(crate) fn advance_after_order(&mut self, database: &ComponentId, action: &Action) {
        if *action == Action::Checkpoint
            && let Some(run) = self.runs.get(database).filter(|run| run.stage == Stage::Checkpoint).cloned()
        {
            self.set_stage(database, &run, Stage::Drain);
        }
    }

    /// The target: once it has everything that the source wrote, it claims.
    fn take_over(&mut self, database: &ComponentId, record: &DatabaseRecord, run: &Run) {
        let Stage::Drained(position) = &run.stage else { return };
        let Some(state) = self.server(&self.me, database) else { return };
        if state.role == Role::Standby && state.flushed >= *position && record.holders.contains(&self.me) {
            let why =
                format!("{} has stopped in an orderly way at {position}, {} has everything", record.writer, self.me);
            self.claim(database, record, Origin::Switchover, run.intent, Vec::new(), why);
        }
    }

    fn set_stage(&mut self, database: &ComponentId, run: &Run, stage: Stage) {
        if !self.may_transact() {
            return;
        }
        let (what, why) = match &stage {
            Stage::Abandoned(why) => (format!("{} of {database} to {} abandoned", run.intent, run.to), why.clone()),
            Stage::Drain => {
                (format!("{database} is being stopped in an orderly way"), "everything is written down".to_owned())
            }
            Stage::Drained(position) => {
                (format!("{database} has stopped at {position}"), "its standbys have received everything".to_owned())
            }
            Stage::Checkpoint | Stage::Manual(_) | Stage::Claimed | Stage::Done => {
                (format!("{} of {database}", run.intent), String::from("next stage"))
            }
        };
        let key = record::run_key(database);
        let when = vec![self.unchanged(record::database_key(database)), self.unchanged(key.clone())];
        let then = vec![put(key, &Run { stage, ..run.clone() }, None)];
        self.note(EntryKind::Run, Some(database), what, why);
        self.transact(Transaction { when, then }, None);
    }
}
