//! A model of a supervised PostgreSQL server and its driver: commits that wait, promotion, timelines, rewinding.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use lifeboat_model::database::{Action, DatabaseState, Gate, Lsn, Order, Refusal, Role};
use lifeboat_model::{Epoch, Moment, RegionId};

use crate::world::RegionIndex;

/// A write's number; each is made once, in one place, and carries everything before it wherever it is copied.
pub type WriteId = u32;

/// A server with its data; what is here survives a crash unless it says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// There are data.
    pub exists: bool,
    /// Its processes run (lost in a crash).
    pub up: bool,
    /// Its processes stand still.
    pub frozen: bool,
    /// It accepts writes when it is up.
    pub primary: bool,
    /// Its history.
    pub timeline: u32,
    /// Flushed writes.
    pub wal: Vec<WriteId>,
    /// The newest epoch under which its driver has acted.
    pub epoch: Epoch,
    /// Who confirms.
    pub gate: Gate,
    /// Whom it follows.
    pub follows: Option<RegionId>,
    /// What its standbys have confirmed, as it knows (lost in a crash).
    pub confirmed: BTreeMap<RegionIndex, usize>,
    /// Commits that wait: position in the log, and the write (lost in a crash).
    pub waiting: VecDeque<(usize, WriteId)>,
    /// What the commit gate may confirm, by the machine's clock (lost with the node).
    pub may_confirm: Option<(Epoch, Moment)>,
    /// When it was last known to have everything that its primary had.
    pub fresh_at: Moment,
    /// The order that is being carried out, and by which life of the node.
    pub under_way: Option<(u64, Order)>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            exists: false,
            up: false,
            frozen: false,
            primary: false,
            timeline: 0,
            wal: Vec::new(),
            epoch: Epoch(0),
            gate: Gate::Node,
            follows: None,
            confirmed: BTreeMap::new(),
            waiting: VecDeque::new(),
            may_confirm: None,
            fresh_at: Moment(0),
            under_way: None,
        }
    }
}

impl Server {
    /// It takes part: up and not standing still.
    pub fn lives(&self) -> bool {
        self.up && !self.frozen
    }

    /// Its log is a prefix of `primary`'s. Equal writes at equal positions have equal histories.
    pub fn is_prefix_of(&self, primary: &Self) -> bool {
        match self.wal.last() {
            None => true,
            Some(last) => primary.wal.get(self.wal.len() - 1) == Some(last),
        }
    }

    /// How many leading writes it shares with another.
    fn common(&self, other: &Self) -> usize {
        let longest = self.wal.len().min(other.wal.len());
        (0..longest).rev().find(|i| self.wal[*i] == other.wal[*i]).map_or(0, |i| i + 1)
    }

    /// Its processes are gone.
    pub fn crash(&mut self) {
        self.up = false;
        self.frozen = false;
        self.confirmed.clear();
        self.waiting.clear();
    }

    /// Carries out an order as the driver would. `writer`: the server that `Seed` and `Follow` name, if it can be reached.
    pub fn act(
        &mut self,
        epoch: Epoch,
        action: &Action,
        writer: Option<&Self>,
        checks_epoch: bool,
    ) -> Result<(), Refusal> {
        if checks_epoch && epoch < self.epoch {
            return Err(Refusal::OldEpoch { ordered: epoch, known: self.epoch }); // S5
        }
        let failed = |why: &str| Err(Refusal::Failed(why.to_owned()));
        match action {
            Action::Create { gate } => {
                if !self.exists {
                    *self = Self {
                        exists: true,
                        up: true,
                        primary: true,
                        timeline: 1,
                        gate: gate.clone(),
                        under_way: self.under_way.take(),
                        ..Self::default()
                    };
                }
            }
            Action::Start => {
                if !self.exists {
                    return failed("no data");
                }
                if !self.up {
                    self.crash();
                    self.up = true;
                }
            }
            Action::Stop { .. } => self.crash(),
            Action::Promote => {
                if !self.lives() {
                    return failed("not running");
                }
                if !self.primary {
                    self.primary = true;
                    self.timeline += 1;
                    self.gate = Gate::Node;
                    self.may_confirm = None;
                    self.follows = None;
                    self.confirmed.clear();
                }
            }
            Action::SetGate { gate } => {
                if !self.lives() || !self.primary {
                    return failed("no running primary");
                }
                self.gate = gate.clone();
            }
            Action::Seed { from } | Action::Follow { writer: from } => {
                let Some(writer) = writer.filter(|writer| writer.lives() && writer.primary) else {
                    return failed("the writer cannot be reached");
                };
                let keep = if matches!(action, Action::Seed { .. }) { 0 } else { self.common(writer) };
                let was_behind = self.primary || !self.is_prefix_of(writer);
                self.wal.truncate(keep);
                if matches!(action, Action::Seed { .. }) {
                    self.wal.clone_from(&writer.wal);
                }
                if was_behind || !self.up {
                    self.crash();
                }
                self.exists = true;
                self.up = true;
                self.primary = false;
                self.timeline = writer.timeline;
                self.follows = Some(from.clone());
                self.gate = Gate::Node;
                self.may_confirm = None;
            }
            Action::Detach => self.follows = None,
            Action::Checkpoint => {}
        }
        self.epoch = self.epoch.max(epoch);
        Ok(())
    }

    /// What the driver reports. `is_complete`: it streams and has everything that its primary has.
    pub fn report(
        &self,
        now: Moment,
        streams: bool,
        is_complete: bool,
        followers: BTreeMap<RegionId, lifeboat_model::database::Follower>,
    ) -> DatabaseState {
        let role = match (self.exists, self.up, self.primary) {
            (false, _, _) => Role::Absent,
            (true, false, was_primary) => Role::Stopped { was_primary },
            (true, true, _) if self.frozen => Role::Starting,
            (true, true, true) => Role::Primary,
            (true, true, false) => Role::Standby,
        };
        let position = Lsn(self.wal.len() as u64);
        DatabaseState {
            role,
            epoch: self.epoch,
            gate: self.gate.clone(),
            timeline: self.timeline,
            flushed: position,
            replayed: position,
            follows: self.follows.clone(),
            streaming: streams,
            followers,
            gate_connected: self.up && self.primary && self.gate == Gate::Node,
            lag: (!self.primary).then(|| if is_complete { Duration::ZERO } else { now.since(self.fresh_at) }),
            trouble: None,
        }
    }
}
