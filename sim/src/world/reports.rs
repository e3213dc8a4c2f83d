//! What drivers report of their servers. A report that says what the last one said changes nothing but how fresh a standby is known
//! to be: in the fast way it is left out, and made up for before the node does anything else.

use std::collections::BTreeMap;
use std::time::Duration;

use lifeboat_control::Event;
use lifeboat_model::Moment;
use lifeboat_model::database::{DatabaseState, Follower, Gate, Lsn};

use super::{CopyIndex, DatabaseIndex, Happening, RegionIndex, Way, World};

/// How often a driver looks, in nanoseconds.
const EVERY: u64 = 250_000_000;

/// How long a primary believes in a connection to a standby of which it hears nothing any more (`wal_sender_timeout`).
const BELIEVES: Duration = Duration::from_secs(5);

/// All reports of one copy.
#[derive(Debug, Default)]
pub(super) struct Reporter {
    awake: bool,
    /// What was reported last, to the node as it runs now.
    said: Option<DatabaseState>,
    /// The number of the last report that was made, or made up for.
    last: u64,
    /// Standbys that cannot be heard any more and are still believed in, and since when.
    silent: BTreeMap<RegionIndex, Moment>,
}

impl World {
    fn reported_at(&self, copy: CopyIndex, number: u64) -> Moment {
        Moment(number * EVERY + self.dice((copy as u64) << 8 | 2, number) % 200_000_000)
    }

    /// The number of the first report from now on.
    fn next_report(&self, copy: CopyIndex) -> u64 {
        let mut number = (self.now.0 / EVERY).saturating_sub(1);
        while self.reported_at(copy, number) < self.now {
            number += 1;
        }
        number
    }

    pub(super) fn wake_reporter(&mut self, copy: CopyIndex) {
        if !self.reporters[copy].awake {
            self.catch_up_report(copy);
            self.reporters[copy].awake = true;
            let next = self.next_report(copy);
            let at = self.reported_at(copy, next);
            self.at(at, Happening::Report(copy, next));
        }
    }

    /// Makes up for the reports that were left out: the last of them counts.
    pub(super) fn catch_up_report(&mut self, copy: CopyIndex) {
        let reporter = &self.reporters[copy];
        if reporter.awake || !reporter.said.as_ref().is_some_and(|state| state.streaming) {
            return;
        }
        // Their moments are jittered by more than lies between two of them, so the last is not the one with the highest number.
        let next = self.next_report(copy);
        let past = (next.saturating_sub(4)..next + 4).filter(|number| self.reported_at(copy, *number) < self.now);
        let newest = past.max_by_key(|number| self.reported_at(copy, *number));
        let is_later = |number: &u64| self.reported_at(copy, *number) > self.reported_at(copy, reporter.last);
        let Some(last) = newest.filter(is_later) else { return };
        let Some(state) = reporter.said.clone() else { return };
        let (database, region) = (copy / self.regions.len(), copy % self.regions.len());
        let node = self.node_of(database, region);
        if self.nodes[node].frozen {
            return;
        }
        let mut clock = self.machines[region].clocks.read(self.reported_at(copy, last));
        // Since then another copy's report was made up for, or the clock has been set to another rate.
        clock.now = clock.now.max(self.nodes[node].told);
        self.nodes[node].told = clock.now;
        self.reporters[copy].last = last;
        let component = self.databases[database].id.clone();
        if let Some(brain) = &mut self.nodes[node].brain {
            let commands = brain.step(clock, Event::Database { component, state });
            debug_assert!(commands.is_empty(), "a report that was left out would have led to {commands:?}");
        }
    }

    /// Nothing was reported while a node stood still.
    pub(super) fn skip_reports(&mut self, copy: CopyIndex) {
        self.reporters[copy].last = self.next_report(copy).saturating_sub(1);
    }

    /// A node's process has ended: the next one knows of no report.
    pub(super) fn forget_report(&mut self, copy: CopyIndex) {
        self.reporters[copy].said = None;
    }

    pub(super) fn report_in_turn(&mut self, copy: CopyIndex, number: u64) {
        let (database, region) = (copy / self.regions.len(), copy % self.regions.len());
        let node = &self.nodes[self.node_of(database, region)];
        let before = self.reporters[copy].said.clone();
        self.reporters[copy].last = number;
        if node.brain.is_some() && !node.frozen {
            self.report(database, region);
        }
        let is_calm = self.reporters[copy].silent.values().all(|since| self.now >= *since + BELIEVES);
        if self.way == Way::Fast && is_calm && before.is_some() && before == self.reporters[copy].said {
            self.reporters[copy].awake = false;
            return;
        }
        if self.way == Way::Fast && self.nodes[self.node_of(database, region)].brain.is_none() {
            self.reporters[copy].awake = false;
            return;
        }
        let at = self.reported_at(copy, number + 1);
        self.at(at, Happening::Report(copy, number + 1));
    }

    /// Whether a standby that has streamed is cut off or stands still, so that nothing says that it is gone.
    fn is_silent(&self, database: DatabaseIndex, region: RegionIndex, peer: RegionIndex) -> bool {
        let standby = self.server_at(database, peer);
        self.server_at(database, region).confirmed.contains_key(&peer)
            && standby.follows.as_ref() == Some(&self.regions[region])
            && (standby.frozen || !self.network.is_whole(region, peer))
    }

    /// The driver says how its server is.
    pub(super) fn report(&mut self, database: DatabaseIndex, region: RegionIndex) {
        let copy = self.copy(database, region);
        let mut silent = std::mem::take(&mut self.reporters[copy].silent);
        let server = self.server_at(database, region);
        let follows = server.follows.as_ref().map(|from| self.region_index(from));
        let streams = follows.is_some_and(|from| self.streams(database, from, region));
        let is_complete =
            streams && follows.is_some_and(|from| self.server_at(database, from).wal.len() == server.wal.len());
        let mut followers = BTreeMap::new();
        if server.lives() && server.primary {
            for peer in self.copies(database).iter().filter(|peer| **peer != region) {
                let streams = self.streams(database, region, *peer);
                if streams || !self.is_silent(database, region, *peer) {
                    silent.remove(peer);
                } else {
                    silent.entry(*peer).or_insert(self.now);
                }
                if streams || silent.get(peer).is_some_and(|since| self.now < *since + BELIEVES) {
                    let name = &self.regions[*peer];
                    let confirms = matches!(&server.gate, Gate::Peers { named, .. } if named.contains(name));
                    let flushed = Lsn(server.confirmed.get(peer).copied().unwrap_or(0) as u64);
                    followers.insert(name.clone(), Follower { streaming: true, confirms, flushed });
                }
            }
        } else {
            silent.clear();
        }
        let mut state = server.report(self.now, streams, is_complete, followers);
        if self.machines[region].disk_full && server.exists && !server.up {
            state.trouble = Some("no space left on device".into());
        }
        self.reporters[copy].silent = silent;
        self.reporters[copy].said = Some(state.clone());
        let component = self.databases[database].id.clone();
        self.feed(self.node_of(database, region), Event::Database { component, state });
    }
}
