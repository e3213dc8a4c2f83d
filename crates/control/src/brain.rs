//! The state of the brain, and the order in which its rules are asked.
//!
//! Every rule is level-triggered: it looks at what is known now and proposes the next thing to do. Nothing is
//! remembered of how things came to be as they are, so a node that was killed at any point goes on from there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use lifeboat_model::App;
use lifeboat_model::app::{Component, Replication};
use lifeboat_model::compute::{ComputeState, Duty};
use lifeboat_model::database::{Action, DatabaseState, Gate, Lsn, Order};
use lifeboat_model::journal::{EntryKind, JournalEntry};
use lifeboat_model::manual::MovedBy;
use lifeboat_model::state::{LeaseId, Revision, Transaction};
use lifeboat_model::status::RouteAnswer;
use lifeboat_model::{ComponentId, Epoch, HostName, Moment, RegionId};

use crate::event::{Clock, Command, Event};
use crate::health::{Evidence, Poll, Sight, Target, Watched};
use crate::manual::Word;
use crate::promise::Promises;
use crate::record::{DatabaseRecord, JournalHead, Request, Run, View};
use crate::session::Session;
use crate::switchover::Wish;

/// One rule of the brain, broken on purpose: the simulator has to notice each. Never set outside tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Whoever likes claims without force and without holding everything.
    ClaimAny,
    /// The promoted server confirms before its epoch is recorded as open.
    ConfirmBeforeOpen,
    /// Synchronous is recorded before the peers have everything.
    SynchronousEarly,
    /// The gate is opened to the node before "alone" is recorded.
    AloneUnrecorded,
    /// A forced claim does not wait for the lease.
    ForceUnexpired,
    /// One vantage point is enough for a verdict.
    QuorumOfOne,
    /// `n − k` stops are taken for enough.
    StopsOffByOne,
    /// Commits are confirmed beyond the lease.
    ConfirmPastLease,
    /// A region that lacks data is taken for ready.
    LossIgnored,
    /// Decisions are not written to the journal.
    Unjournaled,
    /// Journal entries do not name the ones before them.
    Unlinked,
    /// An old primary does not stop when it sees a newer epoch.
    OldWriterStays,
    /// A forced claim does not stop the standbys that the writer was about to be synchronous with.
    AlsoUnfenced,
    /// Standbys follow a claimer that still has to stop the ones that the old writer was about to be synchronous with.
    FollowsUnfenced,
    /// Standbys that have not acted under the writer's epoch are named in its gate.
    OldFollowersNamed,
    /// What the store says when it is read is taken for the end of a request whose answer was lost.
    ReadIsEnough,
    /// A writer stops its server when the store does not answer.
    StopsWithoutStore,
    /// A standby that lacks what another confirming one has takes over all the same.
    MostDataIgnored,
    /// One node's promise is taken for everybody's.
    OnePromiseEnough,
    /// A promise is counted from the answer, not from the question.
    PromiseFromAnswer,
    /// A node that has just started claims as if it had promised nothing before.
    PromiseForgotten,
    /// A promise that was given is not kept.
    PromiseBroken,
    /// A promise is given while a claim of one's own is under way.
    PromiseWhileClaiming,
    /// A region in which the file keeps no copy of a database gets one.
    CopyEverywhere,
    /// A node that sees nobody takes everybody else for dead.
    AllDarkIsDown,
}

/// Since when a node has seen an epoch, by its own clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EpochSeen {
    pub epoch: Epoch,
    pub since: Moment,
    /// It was there when the node started, so that nobody here knows how old it is.
    pub was_there: bool,
}

/// What the brain knows of a database in its own region.
#[derive(Debug, Default)]
pub(crate) struct Local {
    pub state: Option<DatabaseState>,
    pub order: Option<Order>,
    pub failures: u32,
    pub retry_at: Moment,
    /// What the driver was last told to confirm.
    pub confirmed: Option<(Epoch, Option<Moment>)>,
    /// The gate in force with the position from which on nobody but its named standbys confirms.
    pub mark: Option<(Gate, Lsn)>,
    /// Standbys that lack what this primary has: how much they have, and since when that has not grown.
    pub stuck: BTreeMap<RegionId, (Lsn, Moment)>,
    /// Since when too few standbys are connected.
    pub lacking_since: Option<Moment>,
    /// When this standby last streamed from the writer, and how far behind it was.
    pub streamed: Option<(Moment, Duration)>,
    /// Since when this standby should stream and does not.
    pub stalled_since: Option<Moment>,
    /// Since when the writer counts as lost.
    pub lost_since: Option<Moment>,
    /// Since when the quorum sees the writer's server gone while its node answers.
    pub server_down_since: Option<Moment>,
    /// The request that waits, and since when this node has seen it as it is.
    pub request_seen: Option<(Request, Moment)>,
    /// The reason not to act that was journaled last.
    pub refrained: Option<String>,
    /// What was journaled of the person's request that waits here.
    pub told: BTreeSet<String>,
    /// The newest epoch, and since when this node has seen it.
    pub epoch_seen: Option<EpochSeen>,
    /// The run's stage that this node saw, and since when.
    pub stage_seen: Option<(Run, Moment)>,
    /// The trouble that was journaled last.
    pub trouble: Option<String>,
    /// Of a database that people move: the run that a person has said is not wanted.
    pub declined: Option<Run>,
    /// Whether the writer's region has been seen up since.
    pub up_since_declined: bool,
}

/// A transaction under way, with what follows when it is committed.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub transaction: Transaction,
    pub entries: Vec<JournalEntry>,
    /// The journal's head once it is committed.
    pub head: JournalHead,
    pub answer: Option<(u64, String)>,
}

/// The brain of one region's node.
#[derive(Debug)]
pub struct Brain {
    pub(crate) app: Arc<App>,
    pub(crate) me: RegionId,
    pub(crate) clock: Clock,
    pub(crate) started: bool,
    pub(crate) started_at: Moment,
    /// Whether this node has written to its journal since it started: then nothing that a former life of it asked of the store, all of
    /// which rests on the journal's head, can still be carried out.
    pub(crate) has_begun_journal: bool,
    pub(crate) synced: bool,
    pub(crate) relisting: bool,
    pub(crate) revisions: BTreeMap<String, Revision>,
    /// What is in the store and cannot be read here. None of it is among the `revisions`.
    pub(crate) unreadable: BTreeMap<String, Revision>,
    pub(crate) records: BTreeMap<ComponentId, DatabaseRecord>,
    pub(crate) leases: BTreeMap<ComponentId, (RegionId, Option<LeaseId>)>,
    pub(crate) views: BTreeMap<RegionId, View>,
    pub(crate) runs: BTreeMap<ComponentId, Run>,
    pub(crate) requests: BTreeMap<ComponentId, Request>,
    pub(crate) journal_head: JournalHead,
    pub(crate) in_flight: Option<InFlight>,
    /// Entries of a transaction whose answer was lost, and the journal's head if it was committed.
    pub(crate) unsure: Option<(JournalHead, Vec<JournalEntry>)>,
    pub(crate) store_retry_at: Moment,
    pub(crate) backlog: VecDeque<JournalEntry>,
    pub(crate) session: Session,
    pub(crate) promises: Promises,
    pub(crate) locals: BTreeMap<ComponentId, Local>,
    pub(crate) compute: BTreeMap<ComponentId, ComputeState>,
    pub(crate) duties: BTreeMap<ComponentId, Duty>,
    pub(crate) watched: BTreeMap<Target, Watched>,
    pub(crate) verdicts: BTreeMap<RegionId, bool>,
    pub(crate) routes: BTreeMap<HostName, RouteAnswer>,
    pub(crate) published: Option<(View, Moment)>,
    /// Something that the view shows has changed since it was published.
    pub(crate) view_changed: bool,
    /// What people asked for and was not taken up yet.
    pub(crate) people: VecDeque<(u64, ComponentId, Wish)>,
    pub(crate) commands: Vec<Command>,
    pub(crate) wake: Moment,
    /// The earliest moment for which a rule asked to be woken, the session's own aside.
    pub(crate) due: Moment,
    /// The rules, asked last at this moment, had nothing to do.
    pub(crate) settled: Option<Moment>,
    pub(crate) takes_shortcuts: bool,
    pub(crate) mutation: Option<Mutation>,
}

/// The longest time between two steps, and between two publications of an unchanged view.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(1);
/// The longest time for which rules that had nothing to do are not asked again though nothing has happened: each asks to be woken
/// when time alone changes its answer, so this is for one that forgets to.
const UNASKED: Duration = Duration::from_secs(60);

impl Brain {
    /// The brain of `region`'s node. It knows nothing yet, and does nothing until it has seen the store.
    pub fn new(app: Arc<App>, region: RegionId) -> Self {
        let locals = app
            .databases()
            .filter(|(_, c)| c.has_one_writer() && keeps_copy(c, &region))
            .map(|(id, _)| (id.clone(), Local::default()))
            .collect();
        Self {
            app,
            me: region,
            clock: Clock { now: Moment(0), unix_ms: 0 },
            started: false,
            started_at: Moment(0),
            has_begun_journal: false,
            synced: false,
            relisting: false,
            revisions: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            records: BTreeMap::new(),
            leases: BTreeMap::new(),
            views: BTreeMap::new(),
            runs: BTreeMap::new(),
            requests: BTreeMap::new(),
            journal_head: JournalHead::default(),
            in_flight: None,
            unsure: None,
            store_retry_at: Moment(0),
            backlog: VecDeque::new(),
            session: Session::default(),
            promises: Promises::default(),
            locals,
            compute: BTreeMap::new(),
            duties: BTreeMap::new(),
            watched: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            routes: BTreeMap::new(),
            published: None,
            view_changed: true,
            people: VecDeque::new(),
            commands: Vec::new(),
            wake: Moment(0),
            due: Moment(0),
            settled: None,
            takes_shortcuts: true,
            mutation: None,
        }
    }

    /// The same with one rule broken, for tests of the checks.
    #[must_use]
    pub fn with_mutation(mut self, mutation: Option<Mutation>) -> Self {
        self.mutation = mutation;
        if mutation == Some(Mutation::CopyEverywhere) {
            for (id, _) in self.app.databases() {
                let nothing = || Local { state: Some(DatabaseState::absent()), ..Local::default() };
                self.locals.entry(id.clone()).or_insert_with(nothing);
            }
        }
        self
    }

    /// The same without shortcuts: every rule is asked at every event. Nothing else differs, which is what tests use it for.
    #[must_use]
    pub fn without_shortcuts(mut self) -> Self {
        self.takes_shortcuts = false;
        self
    }

    /// Takes one event and says what is to be done.
    pub fn step(&mut self, clock: Clock, event: Event) -> Vec<Command> {
        debug_assert!(
            clock.now >= self.clock.now,
            "the boot-time clock ran backwards: {} after {}",
            clock.now,
            self.clock.now
        );
        self.clock = clock;
        if self.started && self.takes_shortcuts && clock.now < self.wake && self.is_old_news(&event) {
            return Vec::new();
        }
        self.wake = clock.now + HEARTBEAT;
        if self.is_routine(&event) {
            self.take(event);
            self.keep_session();
            self.prolong_confirming();
            self.keep_promised();
            if !self.backlog.is_empty() {
                self.publish();
            }
            self.wake = self.wake.min(self.due);
            return std::mem::take(&mut self.commands);
        }
        self.due = Moment(u64::MAX);
        if !self.started {
            self.started = true;
            self.started_at = clock.now;
            self.note(
                EntryKind::Node,
                None,
                "node started".into(),
                format!("watches {} regions", self.app.regions.len()),
            );
        }
        self.take(event);
        self.decide();
        let is_session =
            |command: &Command| matches!(command, Command::Renew(_) | Command::Grant(_) | Command::AskPeers { .. });
        let is_quiet = self.commands.iter().all(is_session);
        self.settled = is_quiet.then_some(clock.now);
        std::mem::take(&mut self.commands)
    }

    /// Whether an event is what every second brings: time passes, the lease is renewed. While no rule has asked to be woken, only
    /// the session and what rests on its length have anything to do.
    fn is_routine(&self, event: &Event) -> bool {
        let now = self.clock.now;
        self.takes_shortcuts
            && self.settled.is_some_and(|at| now < at + UNASKED)
            && now < self.due
            && self.session.valid(now).is_some()
            && self.synced
            && matches!(event, Event::Tick | Event::Renewed(Ok(())))
    }

    /// Whether an event says only what is known already; then, until the next deadline, every rule would say what it said last.
    /// Most events of a quiet day are such.
    fn is_old_news(&mut self, event: &Event) -> bool {
        match event {
            Event::Reading { target, evidence } => self.expects(target, *evidence),
            Event::Database { component, state } => {
                let now = self.clock.now;
                let Some(local) = self.locals.get_mut(component) else { return true };
                if local.state.as_ref() != Some(state) || state.streaming && local.streamed.is_none() {
                    return false;
                }
                if let Some((at, _)) = local.streamed.as_mut().filter(|_| state.streaming) {
                    *at = now;
                }
                true
            }
            Event::Tick
            | Event::Snapshot { .. }
            | Event::Changes(_)
            | Event::Transacted(_)
            | Event::Granted(_)
            | Event::Renewed(_)
            | Event::Compute { .. }
            | Event::ComputeChanged { .. }
            | Event::OrderDone { .. }
            | Event::PeerAsks { .. }
            | Event::PeerAnswered { .. }
            | Event::Person { .. }
            | Event::Approve { .. }
            | Event::Moved { .. } => false,
        }
    }

    /// Whether one more such reading of a target would tell this node nothing.
    pub fn expects(&self, target: &Target, evidence: Evidence) -> bool {
        self.watched.get(target).is_some_and(|watched| watched.is_known(evidence, &self.app.detection))
    }

    /// The moment by which `step` has to be called again, with [`Event::Tick`] if nothing else happens.
    pub fn wake_at(&self) -> Moment {
        self.wake
    }

    /// What is to be probed from this node: the other regions' nodes, databases and compute, and its own compute.
    pub fn targets(&self) -> Vec<Target> {
        let mut targets: Vec<Target> =
            self.app.regions.keys().filter(|region| **region != self.me).map(Target::node).collect();
        for (id, component) in &self.app.components {
            if component.kind.is_database() {
                if component.moved_by() != MovedBy::Nodes {
                    continue; // The provider's own endpoints are no nodes' to judge.
                }
                let copies =
                    self.app.data_regions().filter(|region| **region != self.me && keeps_copy(component, region));
                targets.extend(copies.map(|region| Target::database(region, id)));
            } else if component.check.is_some() {
                targets.extend(component.regions.iter().map(|region| Target::compute(region, id)));
            }
        }
        targets
    }

    pub(crate) fn take(&mut self, event: Event) {
        match event {
            Event::Tick => {}
            Event::Snapshot { revision, entries } => self.take_snapshot(revision, entries),
            Event::Changes(changes) => {
                for change in changes {
                    self.take_change(change);
                }
            }
            Event::Transacted(result) => self.take_transacted(result),
            Event::Granted(result) => self.take_granted(result),
            Event::Renewed(result) => self.take_renewed(result),
            Event::Reading { target, evidence } => {
                let detection = &self.app.detection;
                let watched = self.watched.entry(target.clone()).or_default();
                let changed = watched.read(evidence, detection);
                let sight = watched.sight();
                if let (true, Some(sight)) = (changed, sight) {
                    self.view_changed = true;
                    self.note_sight(&target, sight);
                }
            }
            Event::Database { component, state } => {
                self.view_changed = true;
                self.take_database(&component, state);
            }
            Event::Compute { component, state } => {
                self.view_changed = true;
                self.take_compute(component, state);
            }
            Event::ComputeChanged { component, what, why } => {
                self.note(EntryKind::Compute, Some(&component), what, why);
            }
            Event::OrderDone { component, result } => self.take_order_done(&component, result),
            Event::PeerAsks { ticket, question } => self.take_peer_question(ticket, &question),
            Event::PeerAnswered { round, region, answers } => self.take_peer_answer(round, &region, answers),
            Event::Person { ticket, database, request } => {
                self.people.push_back((ticket, database, Wish::Ask(request)));
            }
            Event::Approve { ticket, database, by } => self.people.push_back((ticket, database, Wish::Approve(by))),
            Event::Moved { ticket, database, writer, by, is_admin } => {
                self.people.push_back((ticket, database, Wish::Believe(Word { writer, by, is_admin })));
            }
        }
    }

    fn note_sight(&mut self, target: &Target, sight: Sight) {
        let what = match sight {
            Sight::Up => format!("{target} answers"),
            Sight::Refused => format!("{target} refuses connections"),
            Sight::Silent => format!("{target} is silent"),
            Sight::Unwell => format!("{target} answers wrongly"),
        };
        let detection = &self.app.detection;
        let why = match sight {
            Sight::Up => format!("{} good probes in a row", detection.recovered),
            Sight::Refused => format!("{} probes in a row refused", detection.refused),
            Sight::Silent | Sight::Unwell => format!("{} bad probes in a row", detection.silent),
        };
        self.note(EntryKind::Suspicion, None, what, why);
    }

    fn decide(&mut self) {
        self.keep_session();
        if self.synced {
            self.judge_regions();
            self.hear_people();
            let databases: Vec<ComponentId> = self.app.databases().map(|(id, _)| id.clone()).collect();
            for database in &databases {
                match self.moved_by(database) {
                    MovedBy::Nodes => self.decide_database(database),
                    MovedBy::People => self.decide_manual(database),
                    MovedBy::Nobody => {}
                }
            }
        } else {
            let databases: Vec<ComponentId> = self.records.keys().cloned().collect();
            for database in &databases {
                self.keep_confirming_by_promise(database);
            }
        }
        self.keep_promised();
        self.keep_routes();
        self.keep_compute();
        self.publish();
    }

    fn decide_database(&mut self, database: &ComponentId) {
        let Some(record) = self.records.get(database).cloned() else {
            self.create_record(database);
            return;
        };
        if self.is_mutated(Mutation::StopsWithoutStore)
            && record.writer == self.me
            && self.session.valid(self.clock.now).is_none()
        {
            self.order(database, record.epoch, Action::Stop { clean: false });
            return;
        }
        self.see_epoch(database, &record);
        self.keep_confirming(database, &record);
        self.watch_request(database);
        self.advance_switchover(database, &record);
        if record.writer == self.me {
            self.write(database, &record);
        } else {
            self.follow(database, &record);
            self.consider_claim(database, &record);
        }
    }

    /// Remembers when an epoch was seen to come, for hold-down and patience. By this node's own clock.
    pub(crate) fn see_epoch(&mut self, database: &ComponentId, record: &DatabaseRecord) {
        let now = self.clock.now;
        let Some(local) = self.locals.get_mut(database) else { return };
        if local.epoch_seen.is_some_and(|seen| seen.epoch == record.epoch) {
            return;
        }
        let was_there = local.epoch_seen.is_none();
        local.epoch_seen = Some(EpochSeen { epoch: record.epoch, since: now, was_there });
        if !was_there {
            local.lost_since = None;
            local.refrained = None;
            local.mark = None;
        }
    }

    // --- small helpers that all rules use ---

    pub(crate) fn wake_by(&mut self, moment: Moment) {
        let moment = self.not_past(moment);
        self.due = self.due.min(moment);
        self.wake = self.wake.min(moment);
    }

    /// A rule that asks for a moment that is over is not asked over and over without a pause.
    fn not_past(&self, moment: Moment) -> Moment {
        if moment > self.clock.now { moment } else { self.clock.now + Duration::from_millis(1) }
    }

    /// The same for what is asked at every step, routine ones too: it does not keep them from being routine.
    pub(crate) fn wake_early(&mut self, moment: Moment) {
        self.wake = self.wake.min(self.not_past(moment));
    }

    /// Whether `since` lies at least `wait` back; otherwise asks to be woken then.
    pub(crate) fn has_lasted(&mut self, since: Moment, wait: Duration) -> bool {
        if self.clock.now >= since + wait {
            return true;
        }
        self.wake_by(since + wait);
        false
    }

    pub(crate) fn is_mutated(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// What this node holds of a target.
    pub(crate) fn sight(&self, target: &Target) -> Option<Sight> {
        self.watched.get(target).and_then(Watched::sight)
    }

    /// What the vantage points outside a target's region see of it: this node's own newest sight, the others' views.
    pub(crate) fn poll(&self, target: &Target) -> Poll {
        let outside = self.app.regions.keys().filter(|region| **region != target.region);
        let mut poll = Poll { vantage_points: 0, sights: BTreeMap::new() };
        let name = target.to_string();
        for region in outside {
            poll.vantage_points += 1;
            let sight = if *region == self.me {
                self.sight(target)
            } else {
                let view = self.views.get(region);
                view.map(|view| view.sights.get(&name).copied().unwrap_or(Sight::Up))
            };
            if let Some(sight) = sight {
                poll.sights.insert(region.clone(), sight);
            }
        }
        if self.is_mutated(Mutation::QuorumOfOne) {
            poll.vantage_points = 1;
        }
        poll
    }

    /// Whether this node sees no other node at all: then it is more likely cut off itself than everybody else dead.
    pub(crate) fn sees_nobody(&self) -> bool {
        let mut others = self.app.regions.keys().filter(|region| **region != self.me).peekable();
        others.peek().is_some() && others.all(|region| self.sight(&Target::node(region)).is_some_and(Sight::is_gone))
    }

    /// A region's own report of its copy of a database.
    pub(crate) fn server(&self, region: &RegionId, database: &ComponentId) -> Option<&DatabaseState> {
        if *region == self.me {
            self.locals.get(database)?.state.as_ref()
        } else {
            self.views.get(region)?.databases.get(database)
        }
    }

    pub(crate) fn component(&self, id: &ComponentId) -> &Component {
        self.app.components.get(id).expect("ids of components come from the app itself")
    }
}

/// Whether a region keeps a copy of a database.
pub(crate) fn keeps_copy(component: &Component, region: &RegionId) -> bool {
    component.writer.as_ref() == Some(region) || component.standbys.contains_key(region)
}

/// Whether a region's copy is meant to be synchronous when another region writes: the home region always is if
/// any standby is.
pub(crate) fn is_synchronous(component: &Component, region: &RegionId) -> bool {
    match component.standbys.get(region) {
        Some(replication) => *replication == Replication::Synchronous,
        None => {
            component.writer.as_ref() == Some(region)
                && component.standbys.values().any(|r| *r == Replication::Synchronous)
        }
    }
}
