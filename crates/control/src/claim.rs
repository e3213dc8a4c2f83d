//! Whether to fail over: is the writer lost, is this region the best of the ready ones, may it claim.

use std::time::Duration;

use lifeboat_model::app::{FailoverMode, Reads, RegionRole, RoutePolicy};
use lifeboat_model::database::{Gate, Role};
use lifeboat_model::journal::EntryKind;
use lifeboat_model::manual::MovedBy;
use lifeboat_model::state::{Condition, Transaction, Write};
use lifeboat_model::status::Readiness;
use lifeboat_model::{ComponentId, RegionId, RunId};
use lifeboat_plan::Intent;

use crate::brain::{Brain, EpochSeen, Mutation, keeps_copy};
use crate::compute::{rests, runs};
use crate::confirm;
use crate::health::{Sight, Target};
use crate::record::{self, Also, DatabaseRecord, Origin, Request, Run, Stage};
use crate::store::put;
use crate::write::{OPENING, has_more, is_detached};

/// How long a better placed region is waited for, for each one that is better placed.
const DEFERENCE: Duration = Duration::from_secs(2);
/// How long a writer's own node may take to start a fallen server in place before another region takes over.
const RESTART_IN_PLACE: Duration = Duration::from_secs(3);

/// On what grounds a region may claim.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Grounds {
    /// It holds everything.
    Holder,
    /// It is one of `n` standbys of which `k` confirm: `n − k + 1` of them have to stop.
    Quorum(usize),
    /// It may lack writes, at most of so long a time.
    Force(Duration),
}

impl Brain {
    /// Judges every other region, for the status and for the journal.
    pub(crate) fn judge_regions(&mut self) {
        let app = self.app.clone();
        for region in app.regions.keys() {
            let Some(down) = self.is_down(region) else { continue };
            let before = self.verdicts.insert(region.clone(), down);
            if before != Some(down) && (down || before.is_some()) {
                let state = if down { "down" } else { "up again" };
                let seen = self.who_saw_what(region);
                let reason = if down { seen } else { format!("no majority sees it gone any more: {seen}") };
                self.note(EntryKind::Verdict, None, format!("{region} is {state}"), reason);
            }
        }
    }

    /// Whether the quorum sees all of a region gone. `None`: nothing can be said.
    pub(crate) fn is_down(&self, region: &RegionId) -> Option<bool> {
        if *region == self.me || self.sees_nobody() {
            return None;
        }
        if self.sight(&Target::node(region)) == Some(Sight::Up) && self.views.values().all(|v| v.sights.is_empty()) {
            return Some(false); // The quick answer of a quiet day: nobody sees anything amiss.
        }
        let node = self.poll(&Target::node(region));
        if node.sights.is_empty() {
            return None;
        }
        Some(self.is_seen_gone(region))
    }

    /// Whether the vantage points outside a region, which may be this node's own, see all of it gone.
    fn is_seen_gone(&self, region: &RegionId) -> bool {
        self.poll(&Target::node(region)).is_gone()
            && self.databases_in(region).all(|database| self.poll(&Target::database(region, database)).is_gone())
    }

    /// The reason of a verdict: what was seen of the region's node and databases, by whom.
    pub(crate) fn who_saw_what(&self, region: &RegionId) -> String {
        let mut seen = vec![format!("node {}", self.poll(&Target::node(region)).describe())];
        seen.extend(
            self.databases_in(region)
                .map(|database| format!("{database} {}", self.poll(&Target::database(region, database)).describe())),
        );
        seen.join("; ")
    }

    fn databases_in<'a>(&'a self, region: &'a RegionId) -> impl Iterator<Item = &'a ComponentId> {
        let keeps_data = self.app.regions[region].role == RegionRole::Data;
        self.app
            .databases()
            .filter(move |(_, c)| keeps_data && c.moved_by() == MovedBy::Nodes && keeps_copy(c, region))
            .map(|(id, _)| id)
    }

    /// Takes over from a writer that is lost, if this region is the one to do it.
    pub(crate) fn consider_claim(&mut self, database: &ComponentId, record: &DatabaseRecord) {
        if !self.locals.contains_key(database) {
            return;
        }
        if self.consider_request(database, record) || self.overtake(database, record) {
            return;
        }
        let reason = self.why_lost(database, record);
        let now = self.clock.now;
        let Some(local) = self.locals.get_mut(database) else { return };
        let Some(reason) = reason else {
            local.lost_since = None;
            return;
        };
        let since = *local.lost_since.get_or_insert(now);
        match self.may_fail_over(database, record, since) {
            Ok(grounds) => self.claim_by_failover(database, record, &grounds, &reason, None),
            Err(why) => self.refrain(database, format!("{reason}; {why}")),
        }
    }

    /// Why the writer counts as lost; `None` if it does not.
    fn why_lost(&mut self, database: &ComponentId, record: &DatabaseRecord) -> Option<String> {
        let writer = &record.writer;
        if self.sees_nobody() && self.is_mutated(Mutation::AllDarkIsDown) {
            return Some("everything is dark".into());
        }
        if self.sees_nobody() {
            let others = self.app.regions.len() - 1;
            self.refrain(
                database,
                format!("none of the {others} other nodes answers: this node suspects itself, unknown is not down"),
            );
            return None;
        }
        if record.open && self.nothing_is_wrong(database, record) {
            if let Some(local) = self.locals.get_mut(database) {
                local.server_down_since = None;
                local.refrained = None;
            }
            return None;
        }
        let node = self.poll(&Target::node(writer));
        let server = self.poll(&Target::database(writer, database));
        let (node_gone, server_gone) = (node.is_gone(), server.is_gone());
        if node_gone && (server_gone || !record.open) {
            return Some(format!("{writer} is down: node {}; {database} {}", node.describe(), server.describe()));
        }
        let stage = self.runs.get(database).map(|run| &run.stage);
        if matches!(stage, Some(Stage::Drain | Stage::Drained(_))) {
            return None; // A switchover stops it on purpose; it has a time limit of its own.
        }
        if !record.open {
            let seen = self.locals.get(database).and_then(|local| local.epoch_seen)?;
            return self.has_lasted(seen.since, OPENING).then(|| {
                format!("{writer} has claimed epoch {} and not opened it within {} s", record.epoch, OPENING.as_secs())
            });
        }
        if let Some(reason) = self.why_not_restarted(database, writer, server_gone) {
            return Some(reason);
        }
        if node_gone && record.gate == Gate::Node && !self.leases.contains_key(database) {
            return Some(format!(
                "nobody confirms commits in {writer}: its node is gone ({}) and its lease has run out",
                node.describe()
            ));
        }
        None
    }

    /// The quick answer of a quiet day: nobody sees anything amiss.
    fn nothing_is_wrong(&self, database: &ComponentId, record: &DatabaseRecord) -> bool {
        let up = |target: &Target| self.sight(target) == Some(Sight::Up);
        self.views.values().all(|view| view.sights.is_empty())
            && up(&Target::node(&record.writer))
            && up(&Target::database(&record.writer, database))
    }

    /// A server that is down while its node answers is restarted in place, unless that takes too long.
    fn why_not_restarted(&mut self, database: &ComponentId, writer: &RegionId, server_gone: bool) -> Option<String> {
        let now = self.clock.now;
        let local = self.locals.get_mut(database)?;
        if !server_gone {
            local.server_down_since = None;
            return None;
        }
        let since = *local.server_down_since.get_or_insert(now);
        let limit = RESTART_IN_PLACE.as_secs();
        if self.has_lasted(since, RESTART_IN_PLACE) {
            let seen = self.poll(&Target::database(writer, database)).describe();
            return Some(format!(
                "{database} in {writer} is {seen}; its node answers, and has not restarted it within {limit} s"
            ));
        }
        self.refrain(
            database,
            format!("{database} is down in {writer}, whose node answers and has {limit} s to restart it in place"),
        );
        None
    }

    /// A claimer that turns out to lack what this standby has gives way to it: one of `ANY k of n`; and, by force, one of those that the
    /// old writer was about to be synchronous with, for they may have confirmed commits after the claim.
    fn overtake(&mut self, database: &ComponentId, record: &DatabaseRecord) -> bool {
        let Some(own) = self.server(&self.me, database) else { return false };
        let (named, forced) = match (&record.gate, &record.also) {
            (Gate::Peers { named, .. }, _) => (named, false),
            (Gate::Node, Some(Also { gate: Gate::Peers { named, .. }, of })) if *of != record.writer => (named, true),
            (Gate::Node, _) => return false,
        };
        if record.open || !named.contains(&self.me) || !is_detached(own, record.epoch) {
            return false;
        }
        // Nobody has anything acknowledged that a holder lacks: what is more is of an epoch that was never opened.
        if record.holders.contains(&record.writer) {
            return false;
        }
        // One that was promoted under such an epoch and has stopped since is waited for like a standby that has more.
        if !matches!(own.role, Role::Standby | Role::Stopped { was_primary: true }) {
            return false;
        }
        let Some(claimer) = self.server(&record.writer, database) else { return false };
        if !forced && !is_detached(claimer, record.epoch) || !has_more(own, claimer) {
            return false;
        }
        let why = format!(
            "{} has claimed epoch {} and lacks {} bytes that {} has",
            record.writer,
            record.epoch,
            own.flushed.0.saturating_sub(claimer.flushed.0),
            self.me
        );
        let mut when = Vec::new();
        if forced {
            if self.leases.contains_key(database) || self.must_wait(database).is_some() {
                return false;
            }
            when.push(Condition::Absent(record::lease_key(database)));
        }
        let origin = Origin::Failover { away_from: record.writer.clone(), forced, vouched: false };
        self.claim(database, record, origin, Intent::Failover, when, why);
        true
    }

    /// Whether this region should take over by itself now, and on what grounds; otherwise what is in the way.
    fn may_fail_over(
        &mut self,
        database: &ComponentId,
        record: &DatabaseRecord,
        since: lifeboat_model::Moment,
    ) -> Result<Grounds, String> {
        if self.app.failover.mode == FailoverMode::Approve {
            return Err(format!("a person decides: `lifeboat failover --database {database} --to {}`", self.me));
        }
        let grounds = self.is_ready(database, record, &self.me)?;
        if self.is_seen_gone(&self.me) && !self.is_mutated(Mutation::AllDarkIsDown) {
            // S4. And two regions that are both seen so would take it from each other over and over.
            let (me, seen) = (&self.me, self.who_saw_what(&self.me));
            return Err(format!("{me} itself is seen as down, and would be no better: {seen}"));
        }
        if let Origin::Failover { away_from, .. } = &record.origin {
            let held = self.app.failover.hold_down;
            if *away_from == self.me && !matches!(grounds, Grounds::Holder) && self.epoch_is_younger(database, held) {
                return Err(format!(
                    "writing was moved away from {} less than {} s ago (hold-down)",
                    self.me,
                    held.as_secs()
                ));
            }
        }
        if let Grounds::Force(loss) = &grounds {
            if self.leases.contains_key(database) && !self.is_mutated(Mutation::ForceUnexpired) {
                return Err("the writer's lease still counts".into());
            }
            if let Some(why) = self.must_wait(database) {
                return Err(why);
            }
            let allowed = self.app.failover.max_loss.or(self.component(database).objectives.rpo).unwrap_or_default();
            if *loss > allowed && !self.is_mutated(Mutation::LossIgnored) {
                if *loss < Duration::MAX {
                    let rest = Duration::from_secs(1) - Duration::from_nanos(loss.subsec_nanos().into());
                    self.wake_by(self.clock.now + rest); // It grows, and is told by the second; what is unknown does not.
                }
                return Err(format!(
                    "up to {} s of writes would be lost, {} s are allowed (S3); a person decides",
                    loss.as_secs(),
                    allowed.as_secs_f32()
                ));
            }
        }
        let strict = self.component(database).reads == Reads::Strict;
        if strict && self.leases.contains_key(database) {
            return Err("reads are strict, and the old writer's lease still counts".into());
        }
        let better = self.better_placed(database, record, &grounds);
        if !better.is_empty() {
            let wait = DEFERENCE * u32::try_from(better.len()).unwrap_or(1);
            if !self.has_lasted(since, wait) {
                return Err(format!("{} is better placed", better.join(", ")));
            }
        }
        Ok(grounds)
    }

    fn epoch_is_younger(&mut self, database: &ComponentId, age: Duration) -> bool {
        match self.locals.get(database).and_then(|local| local.epoch_seen) {
            Some(EpochSeen { since, was_there: false, .. }) => !self.has_lasted(since, age),
            _ => false,
        }
    }

    /// S4: whether a failover to `region` now would be right, and on what grounds; otherwise what is in the way.
    fn is_ready(&self, database: &ComponentId, record: &DatabaseRecord, region: &RegionId) -> Result<Grounds, String> {
        let Some(server) = self.server(region, database) else {
            return Err(format!("nothing is known of {database} in {region}"));
        };
        let named = match &record.gate {
            Gate::Peers { named, .. } => named.contains(region),
            Gate::Node => false,
        };
        let holder = record.holders.contains(region) || self.is_mutated(Mutation::ClaimAny);
        match &server.role {
            Role::Standby => {}
            // What it wrote under an epoch that is still the newest opened one it may claim back.
            Role::Primary | Role::Stopped { was_primary: true } if holder || !record.open => {}
            role @ (Role::Absent | Role::Stopped { .. } | Role::Starting | Role::Primary) => {
                return Err(format!("{database} in {region} is no running standby but {role:?}"));
            }
        }
        for compute in self.compute_needing(database, region) {
            let state = self.compute_state(region, &compute);
            if rests(&self.app.components[&compute]) {
                // Nothing of it runs there, so all that can be asked is whether it could.
                if let Some(obstacle) = state.and_then(|state| state.obstacle) {
                    return Err(format!("{compute} could not be started in {region}: {obstacle} (S4)"));
                }
                continue;
            }
            let seen = self.sight(&Target::compute(region, &compute));
            if seen.is_some_and(|sight| sight != Sight::Up) || state.as_ref().and_then(runs) == Some(false) {
                return Err(format!("{compute} is not healthy in {region} (S4)"));
            }
        }
        if holder {
            return Ok(Grounds::Holder);
        }
        if named {
            return Ok(Grounds::Quorum(confirm::stops_needed(&record.gate)));
        }
        if record.gate != Gate::Node {
            return Err(format!("{region} does not hold everything, and who does may still confirm commits"));
        }
        Ok(Grounds::Force(self.possible_loss(database, region)))
    }

    /// The most that a region may lack, in time: how far behind it was when it last streamed, and the time since.
    fn possible_loss(&self, database: &ComponentId, region: &RegionId) -> Duration {
        if *region == self.me {
            match self.locals.get(database).and_then(|local| local.streamed) {
                Some((at, lag)) => self.clock.now.since(at) + lag,
                None => Duration::MAX,
            }
        } else {
            self.server(region, database).and_then(|server| server.lag).unwrap_or(Duration::MAX)
        }
    }

    /// The ready regions that should take over rather than this one: those that hold everything, then those with more data, then
    /// the preferred ones.
    fn better_placed(&self, database: &ComponentId, record: &DatabaseRecord, own: &Grounds) -> Vec<String> {
        let rank = |region: &RegionId, grounds: &Grounds| {
            let server = self.server(region, database);
            let has = match grounds {
                Grounds::Holder => (u32::MAX, u64::MAX),
                Grounds::Quorum(_) | Grounds::Force(_) => server.map_or((0, 0), |s| (s.timeline, s.flushed.0)),
            };
            let order = match grounds {
                Grounds::Holder => 2,
                Grounds::Quorum(_) => 1,
                Grounds::Force(_) => 0,
            };
            (order, has, self.app.regions[region].preference, std::cmp::Reverse(region.clone()))
        };
        let mine = rank(&self.me, own);
        self.app
            .data_regions()
            .filter(|region| **region != self.me && **region != record.writer)
            .filter(|region| {
                !self.sight(&Target::node(region)).is_some_and(Sight::is_gone) && !self.is_seen_gone(region)
            })
            .filter_map(|region| Some((region, self.is_ready(database, record, region).ok()?)))
            .filter(|(region, grounds)| rank(region, grounds) > mine)
            .map(|(region, _)| region.to_string())
            .collect()
    }

    /// Compute in `region` that a route needs and that needs the database.
    pub(crate) fn compute_needing(&self, database: &ComponentId, region: &RegionId) -> Vec<ComponentId> {
        self.app
            .routes
            .values()
            .filter(|route| {
                route.policy == RoutePolicy::Failover && self.app.databases_behind(&route.to).contains(database)
            })
            .map(|route| route.to.clone())
            .filter(|compute| self.app.components[compute].regions.contains(region))
            .collect()
    }

    /// Whether a region could take over now, for status and switchover.
    pub(crate) fn readiness(&self, database: &ComponentId, region: &RegionId) -> Readiness {
        let Some(record) = self.records.get(database) else {
            return Readiness { ready: false, reason: "nothing has been written yet".into() };
        };
        if record.writer == *region {
            return Readiness { ready: true, reason: "it is the writer".into() };
        }
        if self.moved_by(database) == MovedBy::People {
            return self.manual_readiness(database, region);
        }
        match self.is_ready(database, record, region) {
            Ok(Grounds::Holder) => Readiness { ready: true, reason: "it holds everything acknowledged".into() },
            Ok(Grounds::Quorum(stops)) => Readiness {
                ready: true,
                reason: format!("one of the confirming standbys, {stops} of which together hold everything"),
            },
            Ok(Grounds::Force(loss)) => {
                let allowed =
                    self.app.failover.max_loss.or(self.component(database).objectives.rpo).unwrap_or_default();
                let reason = if loss == Duration::MAX {
                    "how far it is behind is unknown".into()
                } else {
                    format!("at most {:.1} s behind, {:.1} s are allowed", loss.as_secs_f32(), allowed.as_secs_f32())
                };
                Readiness { ready: loss <= allowed, reason }
            }
            Err(reason) => Readiness { ready: false, reason },
        }
    }

    /// What a person asked of this region. Whether there was something to consider.
    fn consider_request(&mut self, database: &ComponentId, record: &DatabaseRecord) -> bool {
        let Some(request) =
            self.requests.get(database).filter(|request| request.to.as_ref() == Some(&self.me)).cloned()
        else {
            if let Some(local) = self.locals.get_mut(database) {
                local.told.clear();
            }
            return false;
        };
        if self.missing_approvals(&request) > 0 {
            return false;
        }
        let grounds = match self.is_ready(database, record, &self.me) {
            Ok(grounds) => grounds,
            Err(why) if request.vouch => {
                let what = format!("{} vouches for a failover of {database}", request.by);
                self.tell_asker(EntryKind::Request, database, "vouched", what, why);
                Grounds::Force(self.possible_loss(database, &self.me))
            }
            Err(why) => {
                self.not_yet(database, format!("{} asked for it, but {why}", request.by));
                return false;
            }
        };
        if let Grounds::Force(loss) = &grounds {
            if !request.accept_loss {
                let what = format!("no failover of {database} yet");
                let why = format!("up to {} s of writes would be lost; ask again with --accept-loss", loss.as_secs());
                self.tell_asker(EntryKind::Refrain, database, "loss", what, why);
                return false;
            }
            if self.leases.contains_key(database) && !request.vouch {
                self.not_yet(database, "waiting for the writer's lease to run out".into());
                return false;
            }
            if let Some(why) = self.must_wait(database) {
                self.not_yet(database, why);
                return false;
            }
        }
        let approved: Vec<&str> = request.approved.iter().map(String::as_str).collect();
        let reason = match approved.as_slice() {
            [] => format!("{} asked for it", request.by),
            approved => format!("{} asked for it, {} approved it", request.by, approved.join(", ")),
        };
        self.claim_by_failover(database, record, &grounds, &reason, Some(&request));
        true
    }

    /// Why what was asked for is not done yet.
    fn not_yet(&mut self, database: &ComponentId, why: String) {
        self.tell_asker(EntryKind::Refrain, database, &why.clone(), format!("no failover of {database} yet"), why);
    }

    /// Notes something about a person's request, once for each: the reasons why nothing is done come and go, and figures grow.
    fn tell_asker(&mut self, kind: EntryKind, database: &ComponentId, matter: &str, what: String, why: String) {
        let news = self.locals.get_mut(database).is_some_and(|local| local.told.insert(matter.to_owned()));
        if news {
            self.note(kind, Some(database), what, why);
        }
    }

    fn claim_by_failover(
        &mut self,
        database: &ComponentId,
        record: &DatabaseRecord,
        grounds: &Grounds,
        reason: &str,
        request: Option<&Request>,
    ) {
        let vouched = request.is_some_and(|request| request.vouch);
        let forced = matches!(grounds, Grounds::Force(_));
        let origin = Origin::Failover { away_from: record.writer.clone(), forced, vouched };
        let former = record.epoch;
        let why = match grounds {
            Grounds::Holder => format!(
                "{reason}; {} holds everything acknowledged up to epoch {former}, so nothing to wait for",
                self.me
            ),
            Grounds::Quorum(stops) => {
                format!("{reason}; {stops} of the confirming standbys have to stop before it opens")
            }
            Grounds::Force(loss) => {
                format!("{reason}; the lease has run out, and at most {:.1} s of writes are lost", loss.as_secs_f32())
            }
        };
        let mut when = Vec::new();
        if forced && !vouched && !self.is_mutated(Mutation::ForceUnexpired) {
            when.push(Condition::Absent(record::lease_key(database))); // S1: whoever confirms by lease has stopped.
        }
        self.claim(database, record, origin, Intent::Failover, when, why);
    }

    /// Claims the next epoch: the one transaction by which a writer changes. Its epoch stays shut until it is opened.
    pub(crate) fn claim(
        &mut self,
        database: &ComponentId,
        record: &DatabaseRecord,
        origin: Origin,
        intent: Intent,
        mut when: Vec<Condition>,
        why: String,
    ) {
        if !self.may_transact() {
            return;
        }
        let epoch = record.epoch.next();
        let forced = matches!(origin, Origin::Failover { forced: true, .. });
        let key = record::database_key(database);
        let run_key = record::run_key(database);
        when.push(self.unchanged(key.clone()));
        when.push(self.unchanged(run_key.clone()));
        let next = DatabaseRecord {
            epoch,
            writer: self.me.clone(),
            open: false,
            holders: if forced { [self.me.clone()].into() } else { record.holders.clone() },
            gate: record.gate.clone(),
            also: record.also.clone(),
            origin,
        };
        let id = match self
            .runs
            .get(database)
            .filter(|run| !run.stage.is_over() && run.intent == intent && run.to == self.me && run.epoch == epoch)
        {
            Some(run) => run.id.clone(),
            None => run_id(database, epoch, intent),
        };
        let run =
            Run { id, intent, from: Some(record.writer.clone()), to: self.me.clone(), epoch, stage: Stage::Claimed };
        let then = vec![
            put(key, &next, None),
            put(run_key, &run, None),
            Write::Delete { key: record::lease_key(database) },
            Write::Delete { key: record::request_key(database) },
        ];
        self.note_under(EntryKind::Claim, database, epoch, format!("epoch {epoch} claimed for {database}"), why);
        self.transact(Transaction { when, then }, None);
    }
}

/// A run's name: unique, for each epoch is claimed once.
pub(crate) fn run_id(database: &ComponentId, epoch: lifeboat_model::Epoch, intent: Intent) -> RunId {
    RunId::from(format!("{database}-{epoch}-{intent}"))
}
