//! The state store as the nodes reach it: calls, lost answers, changes that come late, leaders that come and go.

use std::time::Duration;

use lifeboat_control::Event;
use lifeboat_control::event::StoreFailure;
use lifeboat_control::record::{self, DatabaseRecord};
use lifeboat_model::journal::{EntryKind, JournalEntry};
use lifeboat_model::state::{LeaseId, Outcome, Transaction, Write};

use super::{Broke, Call, Happening, NodeIndex, RegionIndex, World};
use crate::cluster::{ELECTION, StoreKind};
use crate::store::LeaseGone;

/// How long a node waits for an answer of the store.
const PATIENCE: Duration = Duration::from_millis(500);
/// For how long a member of the store that kept silent is asked last.
const PASSED_OVER: Duration = Duration::from_secs(3);

/// What comes of asking the store.
#[derive(Clone, Copy, Debug)]
struct Reach {
    /// It is executed.
    executes: bool,
    /// The answer comes back.
    answers: bool,
    /// Somebody was asked: it cannot be told from here whether it was executed.
    asked: bool,
    takes: Duration,
}

impl World {
    /// Whether a node in `region` that asks the store now is answered, sooner or later.
    pub(super) fn store_answers(&self, region: RegionIndex) -> bool {
        match self.cluster.kind {
            _ if !self.store_up || self.store_cut[region] => false,
            StoreKind::File => !self.network.is_isolated(region),
            StoreKind::Etcd => (0..self.cluster.members)
                .any(|member| self.cluster.commits[member] && self.network.is_whole(region, member)),
        }
    }

    /// One call. `once`: it is not repeated with another member after it was sent to one.
    fn reach(&mut self, node: NodeIndex, once: bool) -> Reach {
        let lost = self.noise > 0 && self.chance(self.noise);
        let luck = self.noise > 0 && self.chance(50);
        let slow = u64::try_from(self.store_slow.as_millis()).unwrap_or(0);
        let mut takes = self.random(10 + slow);
        let nobody = Reach { executes: false, answers: false, asked: false, takes: PATIENCE };
        let region = self.region_of(node);
        match self.cluster.kind {
            _ if !self.store_up || self.store_cut[region] => return nobody,
            StoreKind::File if self.network.is_isolated(region) => return nobody,
            StoreKind::File => {}
            StoreKind::Etcd => {
                let own_first = (0..self.cluster.members).map(|at| (region + at) % self.cluster.members);
                let mut order: Vec<RegionIndex> = own_first.collect();
                if let Some((silent, until)) = self.nodes[node].passed_over
                    && self.now < until
                {
                    order.sort_by_key(|member| *member == silent);
                }
                let mut found = false;
                for (tried, member) in order.into_iter().enumerate() {
                    let machine = &self.machines[member];
                    if !machine.member_up && self.network.is_whole(region, member) {
                        continue; // Refused at once.
                    }
                    if self.cluster.commits[member] && self.network.is_whole(region, member) {
                        takes += self.network.delay(region, member) * 2;
                        found = true;
                        break;
                    }
                    self.nodes[node].passed_over = Some((member, self.now + PASSED_OVER));
                    let heard = self.network.is_linked(region, member) && machine.member_up;
                    if once && heard {
                        // It got there and is not answered: executed only where the answer's way is what is cut.
                        let executes = self.cluster.commits[member] && luck;
                        return Reach { executes, answers: false, asked: true, takes: PATIENCE / 2 };
                    }
                    takes += PATIENCE / 2;
                    if tried >= 1 {
                        break; // The time is up.
                    }
                }
                if !found {
                    return nobody;
                }
            }
        }
        if takes > PATIENCE {
            return Reach { executes: true, answers: false, asked: true, takes: PATIENCE };
        }
        let executes = !(lost && luck);
        Reach { executes, answers: !lost, asked: true, takes: if lost { PATIENCE } else { takes } }
    }

    fn failure(reach: Reach) -> StoreFailure {
        if reach.asked { StoreFailure::Unknown } else { StoreFailure::NotExecuted }
    }

    pub(super) fn call(&mut self, node: NodeIndex, incarnation: u64, call: Call) {
        if self.nodes[node].incarnation != incarnation {
            return;
        }
        let (app, now) = (self.app_of(node), self.now);
        let answer = |world: &mut Self, reach: Reach, event| {
            world.after(reach.takes, Happening::Deliver(node, incarnation, Box::new(event)));
        };
        match call {
            Call::Transact(transaction) => {
                self.provoke_by(node, &transaction);
                let reach = self.reach(node, true);
                let result = reach.executes.then(|| self.execute(app, &transaction));
                if !reach.executes && reach.asked && self.cluster.kind == StoreKind::Etcd && self.chance(30) {
                    // On its way to the leader, or in its log: it takes effect long after the caller has given up.
                    let later = self.random(2_500);
                    self.after(later, Happening::Late(app, Box::new(transaction)));
                }
                let told = match result {
                    Some(Ok(outcome)) if reach.answers => Ok(outcome),
                    Some(Err(LeaseGone)) if reach.answers => Err(StoreFailure::LeaseGone),
                    _ => Err(Self::failure(reach)),
                };
                answer(self, reach, Event::Transacted(told));
                self.wake_watchers(app);
            }
            Call::Grant(length) => {
                let reach = self.reach(node, false);
                let length = if self.broke == Some(Broke::LeaseTooShort) { length / 2 } else { length };
                let lease = reach.executes.then(|| self.stores[app].grant(now, length));
                self.watch_leases(app);
                answer(self, reach, Event::Granted(lease.filter(|_| reach.answers).ok_or(Self::failure(reach))));
            }
            Call::List => {
                let reach = self.reach(node, false);
                if reach.executes && reach.answers {
                    self.end_exact_leases(app);
                    let (revision, entries) = self.stores[app].list(record::STATE);
                    self.nodes[node].read = self.stores[app].changes();
                    answer(self, reach, Event::Snapshot { revision, entries });
                } else {
                    let wait = Duration::from_millis(300);
                    self.after(wait, Happening::Call(node, incarnation, Box::new(Call::List)));
                }
            }
        }
    }

    /// A change of a record is on its way to the store.
    fn provoke_by(&mut self, node: NodeIndex, transaction: &Transaction) {
        let changed = |write: &Write| match write {
            Write::Put { key, .. } => key.strip_prefix(record::DATABASES).map(str::to_owned),
            Write::Delete { .. } => None,
        };
        let Some(name) = transaction.then.iter().find_map(changed) else { return };
        if let Some(database) =
            self.databases_of_app(self.app_of(node)).find(|at| self.databases[*at].id.as_str() == name)
        {
            self.provoke(self.region_of(node), database);
        }
    }

    pub(super) fn renew(&mut self, node: NodeIndex, incarnation: u64, lease: LeaseId) {
        if self.nodes[node].incarnation != incarnation {
            return;
        }
        let (app, region, now) = (self.app_of(node), self.region_of(node), self.now);
        if let Some((deposed, until)) = self.cluster.deposed
            && now < until
            && deposed == region
            && !self.store_cut[region]
            && !self.cluster.commits[deposed]
            && self.machines[deposed].member_up
        {
            // It believes that it leads, and renews what nobody else hears of.
            let takes = self.random(10);
            let told = if self.stores[app].knows(lease) { Ok(()) } else { Err(StoreFailure::LeaseGone) };
            self.after(takes, Happening::Renewed(node, incarnation, told));
            return;
        }
        let reach = self.reach(node, false);
        let result = if reach.executes { self.stores[app].renew(now, lease) } else { Ok(()) };
        let told = match result {
            _ if !reach.executes || !reach.answers => Err(Self::failure(reach)),
            Ok(()) => Ok(()),
            Err(LeaseGone) => Err(StoreFailure::LeaseGone),
        };
        self.after(reach.takes, Happening::Renewed(node, incarnation, told));
        if told.is_err() {
            self.wake_watchers(app);
        }
    }

    pub(super) fn execute_late(&mut self, app: usize, transaction: &Transaction) {
        if self.store_up && self.cluster.leader.is_some() {
            let _told_nobody = self.execute(app, transaction);
            self.wake_watchers(app);
        }
    }

    fn execute(&mut self, app: usize, transaction: &Transaction) -> Result<Outcome, LeaseGone> {
        let result = self.stores[app].transact(self.now, transaction);
        if let Ok(Outcome::Committed(_)) = result {
            self.committed(app, transaction);
        }
        result
    }

    fn committed(&mut self, app: usize, transaction: &Transaction) {
        let mut changed = Vec::new();
        for write in &transaction.then {
            let Write::Put { key, value, .. } = write else { continue };
            if key.starts_with("journal/") {
                if let Ok(entry) = serde_json::from_slice::<JournalEntry>(value) {
                    self.journaled(&entry);
                }
            } else if let Some(name) = key.strip_prefix("state/database/")
                && let Ok(record) = serde_json::from_slice::<DatabaseRecord>(value)
                && let Some(database) = self.databases_of_app(app).find(|d| self.databases[*d].id.as_str() == name)
            {
                if self.record_of(database).is_none_or(|before| before.epoch != record.epoch) {
                    self.claims += 1;
                    self.make_busy(self.now + super::BUSY_AFTER);
                }
                self.say(|| format!("store: {name}: {record:?}"));
                self.databases[database].record = Some(record);
                self.soil(database);
                changed.push(database);
            }
        }
        for database in changed {
            self.check_record(database);
            if let Some(record) = self.record_of(database) {
                let writer = self.region_index(&record.writer);
                self.provoke(writer, database);
            }
        }
    }

    fn journaled(&mut self, entry: &JournalEntry) {
        if let (EntryKind::Claim, Some(id), Some(epoch), false) =
            (entry.kind, &entry.component, entry.epoch, entry.why.is_empty())
        {
            let database = self.database_index(id);
            self.databases[database].explained.push(epoch);
        }
    }

    // --- changes ---

    pub(super) fn wake_watchers(&mut self, app: usize) {
        let changes = self.stores[app].changes();
        let first = app * self.regions.len();
        let mut all_have_read = usize::MAX;
        for node in first..first + self.regions.len() {
            let here = &mut self.nodes[node];
            all_have_read = all_have_read.min(here.read);
            if here.brain.is_some() && !here.watching && here.read < changes {
                here.watching = true;
                let incarnation = here.incarnation;
                let late = if self.noise > 0 && self.chance(5) { 800 } else { 20 };
                let wait = self.random(late);
                self.after(wait, Happening::Watch(node, incarnation));
            }
        }
        self.stores[app].forget_before(all_have_read.min(changes));
    }

    pub(super) fn watch(&mut self, node: NodeIndex, incarnation: u64) {
        if self.nodes[node].incarnation != incarnation {
            return;
        }
        if !self.store_answers(self.region_of(node)) {
            self.after(Duration::from_millis(300), Happening::Watch(node, incarnation));
            return;
        }
        let app = self.app_of(node);
        let read = self.nodes[node].read;
        self.nodes[node].watching = false;
        self.nodes[node].read = self.stores[app].changes();
        // A watch that was begun anew repeats what it has told already.
        let from = if self.noise > 0 && self.chance(5) { read.saturating_sub(3) } else { read };
        let changes = self.stores[app].changes_after(from).to_vec();
        if !changes.is_empty() {
            self.feed(node, Event::Changes(changes));
        }
    }

    // --- leases and leaders ---

    fn end_exact_leases(&mut self, app: usize) {
        if self.cluster.kind == StoreKind::File {
            self.stores[app].expire(self.now);
        }
    }

    /// Sees to it that leases end: at their moment, or, in etcd, within the half second after it in which the leader looks.
    fn watch_leases(&mut self, app: usize) {
        if let Some(at) = self.stores[app].first_to_run_out()
            && !std::mem::replace(&mut self.stores[app].is_watched, true)
        {
            let late = match self.cluster.kind {
                StoreKind::File => Duration::ZERO,
                StoreKind::Etcd => self.random(500),
            };
            self.at(at.max(self.now) + late, Happening::LeasesEnd(app));
        }
    }

    pub(super) fn end_leases(&mut self, app: usize) {
        self.stores[app].is_watched = false;
        if self.cluster.kind == StoreKind::Etcd && (self.cluster.leader.is_none() || !self.store_up) {
            return; // Nobody is there to say so; the next leader counts anew.
        }
        if self.stores[app].expire(self.now) {
            self.wake_watchers(app);
        }
        self.watch_leases(app);
    }

    /// Whether two members of the store, or a node and a member, hear each other, and the second lives.
    fn members_reach(&self) -> impl Fn(RegionIndex, RegionIndex) -> bool {
        |one, other| {
            self.store_up
                && self.network.is_whole(one, other)
                && [one, other].iter().all(|at| self.machines[*at].member_up && !self.machines[*at].member_frozen)
        }
    }

    /// Something has changed between the members of the store.
    pub(super) fn review_cluster(&mut self) {
        if self.cluster.kind == StoreKind::File {
            return;
        }
        let notices_after = ELECTION + self.random(1_000);
        let mut cluster = std::mem::replace(&mut self.cluster, crate::cluster::Cluster::new(StoreKind::File, 0));
        let elects = cluster.review(self.now, notices_after, self.members_reach());
        self.cluster = cluster;
        if elects {
            let wait = ELECTION + self.random(1_000);
            self.after(wait, Happening::Elect);
        }
    }

    pub(super) fn elect(&mut self) {
        self.cluster.electing = false;
        let able: Vec<RegionIndex> =
            (0..self.cluster.members).filter(|member| self.cluster.has_quorum(*member, self.members_reach())).collect();
        if self.cluster.leader.is_some() {
            return;
        }
        if able.is_empty() {
            // They go on trying.
            self.cluster.electing = true;
            let wait = ELECTION + self.random(1_000);
            self.after(wait, Happening::Elect);
            return;
        }
        let chosen = able[usize::try_from(self.random(1_000).as_micros()).unwrap_or(0) % able.len()];
        self.cluster.leader = Some(chosen);
        self.cluster.term += 1;
        self.say(|| format!("store: member {chosen} leads"));
        for app in 0..self.stores.len() {
            self.stores[app].extend(self.now, ELECTION);
            self.watch_leases(app);
        }
        self.review_cluster();
        for database in 0..self.databases.len() {
            self.soil(database);
        }
    }

    /// etcd's leader steps down, and all wait for the next.
    pub(super) fn depose(&mut self) {
        if self.cluster.leader.take().is_some() {
            self.review_cluster();
        }
    }
}
