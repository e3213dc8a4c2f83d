//! This region's database servers: what they report, and the orders that they are given.

use std::time::Duration;

use lifeboat_model::database::{Action, DatabaseState, Gate, Order, Role};
use lifeboat_model::journal::EntryKind;
use lifeboat_model::{ComponentId, Epoch, Moment, RegionId};

use crate::brain::Brain;
use crate::event::Command;

impl Brain {
    pub(crate) fn take_database(&mut self, component: &ComponentId, state: DatabaseState) {
        let now = self.clock.now;
        let record = self.records.get(component).cloned();
        let Some(local) = self.locals.get_mut(component) else { return };
        if state.role == Role::Standby
            && state.streaming
            && record.as_ref().is_some_and(|r| state.follows.as_ref() == Some(&r.writer))
        {
            local.streamed = Some((now, state.lag.unwrap_or_default()));
            local.stalled_since = None;
        }
        let lacking = state.followers.iter().filter(|(_, follower)| follower.flushed < state.flushed);
        local.stuck = lacking
            .map(|(region, follower)| {
                let as_before = local.stuck.get(region).filter(|(flushed, _)| *flushed == follower.flushed);
                (region.clone(), (follower.flushed, as_before.map_or(now, |(_, since)| *since)))
            })
            .collect();
        let changed = local.state.as_ref().is_none_or(|old| old.role != state.role || old.epoch != state.epoch);
        if changed {
            local.retry_at = Moment(0);
            local.failures = 0;
        }
        let trouble = state.trouble.clone();
        if local.trouble != trouble {
            local.trouble.clone_from(&trouble);
            if let Some(trouble) = trouble {
                self.note(EntryKind::Database, Some(component), format!("{component} has trouble"), trouble);
            }
        }
        if let Some(local) = self.locals.get_mut(component) {
            local.state = Some(state);
        }
    }

    pub(crate) fn take_order_done(
        &mut self,
        component: &ComponentId,
        result: Result<Option<String>, lifeboat_model::database::Refusal>,
    ) {
        let Some(local) = self.locals.get_mut(component) else { return };
        let Some(order) = local.order.take() else { return };
        let epoch = order.epoch;
        match result {
            Ok(note) => {
                local.failures = 0;
                let (kind, what) = describe_order(component, &order.action);
                let why = note.unwrap_or_else(|| format!("ordered under epoch {epoch}"));
                self.note_under(kind, component, epoch, what, why);
                self.advance_after_order(component, &order.action);
            }
            Err(refusal) => {
                local.failures = local.failures.saturating_add(1);
                let wait = Duration::from_millis(200) * 2_u32.pow(local.failures.min(6) - 1);
                local.retry_at = self.clock.now + wait.min(Duration::from_secs(10));
                if local.failures <= 3 || local.failures.is_multiple_of(20) {
                    let (_, what) = describe_order(component, &order.action);
                    self.note_under(EntryKind::Step, component, epoch, format!("failed: {what}"), refusal.to_string());
                }
            }
        }
    }

    /// Gives an order to the driver unless one is under way or the last one failed just now.
    pub(crate) fn order(&mut self, component: &ComponentId, epoch: Epoch, action: Action) -> bool {
        let now = self.clock.now;
        let Some(local) = self.locals.get_mut(component) else { return false };
        if local.order.is_some() {
            return false;
        }
        if now < local.retry_at {
            let retry_at = local.retry_at;
            self.wake_by(retry_at);
            return false;
        }
        let order = Order { epoch, action };
        local.order = Some(order.clone());
        self.commands.push(Command::Order { component: component.clone(), order });
        true
    }
}

fn describe_order(component: &ComponentId, action: &Action) -> (EntryKind, String) {
    match action {
        Action::Create { .. } => (EntryKind::Database, format!("{component} created")),
        Action::Seed { from } => (EntryKind::Database, format!("{component} copied from {from}")),
        Action::Start => (EntryKind::Database, format!("{component} started")),
        Action::Stop { clean: true } => (EntryKind::Database, format!("{component} stopped in an orderly way")),
        Action::Stop { clean: false } => (EntryKind::Fence, format!("{component} stopped at once")),
        Action::Promote => (EntryKind::Promote, format!("{component} promoted")),
        Action::SetGate { gate: Gate::Node } => {
            (EntryKind::Database, format!("{component}: the node confirms commits"))
        }
        Action::SetGate { gate: Gate::Peers { needed, named } } => {
            let names: Vec<&str> = named.iter().map(RegionId::as_str).collect();
            (EntryKind::Database, format!("{component}: {needed} of {} confirms commits", names.join(", ")))
        }
        Action::Follow { writer } => (EntryKind::Database, format!("{component} follows {writer}")),
        Action::Detach => (EntryKind::Fence, format!("{component} confirms nobody's commits any more")),
        Action::Checkpoint => (EntryKind::Step, format!("{component} has written everything down")),
    }
}
