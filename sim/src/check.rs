//! The promises as checks, asked after every event that can break them.

use std::collections::BTreeSet;
use std::time::Duration;

use lifeboat_control::confirm;
use lifeboat_control::record::{DatabaseRecord, Origin};
use lifeboat_model::database::Gate;
use lifeboat_model::{ComponentId, Epoch, Moment, RegionId};
pub use lifeboat_protocol::promises::Broken;

use crate::server::WriteId;
use crate::world::{DatabaseIndex, RegionIndex, World};

/// How long writing may be impossible though it ought not to be. The longest waits of the brain lie in it one after the other: a
/// switchover that is given up (10 s), an epoch that is not opened (10 s), a standby that is waited for (2 s), detection and orders.
const PROGRESS: Duration = Duration::from_secs(30);

/// One acknowledged write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Which.
    pub write: WriteId,
    /// Its place in the log.
    pub place: usize,
    /// When it was acknowledged.
    pub at: Moment,
}

/// What was acknowledged, of one database.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Each acknowledged write, in the order of acknowledgement.
    pub acknowledged: Vec<Acknowledged>,
    /// What was given up by forced claims.
    pub given_up: BTreeSet<WriteId>,
    /// Until when a person's wish for a failover explains one.
    pub asked_until: Moment,
    /// The same, with losses accepted.
    pub loss_accepted_until: Moment,
    /// The epochs that were open, for S5.
    newest_open: Epoch,
    /// The acknowledged write with the highest place that was not given up. Whoever has it has all of them, for a log that has a
    /// write has what was before it; that it follows the others is checked when it is acknowledged.
    last: Option<(usize, WriteId)>,
    /// Since when writing is not possible though it ought to be, for L1.
    standing_still_since: Option<Moment>,
    /// The record that was checked last.
    seen: Option<DatabaseRecord>,
}

impl World {
    /// Promises that are about what is possible at this moment: S1, S5, L1, L2.
    pub(crate) fn check_moment(&mut self, database: DatabaseIndex) {
        let mut able = None;
        for at in 0..self.copies(database).len() {
            let region = self.copies(database)[at];
            if !self.can_acknowledge(region, database) {
                continue;
            }
            let name = self.database_name(database).clone();
            if let Some(other) = able.replace(region) {
                let both = [other, region].map(|region| self.region_name(region).clone());
                self.breaks("S1", || format!("{both:?} can acknowledge writes to {name}"));
            }
            let epoch = self.server_at(database, region).epoch;
            let newest_open = self.ledgers[database].newest_open;
            if epoch < newest_open {
                let region = self.region_name(region).clone();
                self.breaks("S5", || {
                    format!("{region} acknowledges {name} under epoch {epoch}, epoch {newest_open} is open")
                });
            }
        }
        self.check_progress(database, able);
        self.check_static_stability(database);
    }

    /// L1: where a majority and a region that holds everything are there, writing is possible again within [`PROGRESS`]. Not asked of
    /// a writer that is told to stop without its standby.
    fn check_progress(&mut self, database: DatabaseIndex, able: Option<RegionIndex>) {
        if let Some(until) = able.and_then(|region| self.confirms_until(region, database)) {
            self.look_by(database, until);
        }
        if able.is_some() || !self.ought_to_serve(database) {
            self.ledgers[database].standing_still_since = None;
            return;
        }
        let now = self.now();
        let since = *self.ledgers[database].standing_still_since.get_or_insert(now);
        let limit = since + PROGRESS;
        if now <= limit {
            self.look_by(database, limit + Duration::from_nanos(1));
            return;
        }
        let (name, record) = (self.database_name(database).clone(), self.record_of(database).cloned());
        self.breaks("L1", || {
            format!("{name} has accepted no writes for {PROGRESS:?}, with a majority and a holder alive: {record:?}")
        });
    }

    /// S2 for one write, at the moment of its acknowledgement by `region`.
    pub(crate) fn check_acknowledged(
        &mut self,
        database: DatabaseIndex,
        region: RegionIndex,
        place: usize,
        write: WriteId,
    ) {
        let at = self.now();
        let ledger = &mut self.ledgers[database];
        ledger.acknowledged.push(Acknowledged { write, place, at });
        let last = ledger.last;
        if last.is_none_or(|(known, _)| known < place) {
            ledger.last = Some((place, write));
            if let Some((before, known)) = last
                && self.server_at(database, region).wal.get(before) != Some(&known)
            {
                let (name, region) = (self.database_name(database).clone(), self.region_name(region).clone());
                self.breaks("S2", || {
                    format!("{region} has acknowledged write {write} of {name} and lacks acknowledged write {known}")
                });
            }
        }
        if let Some(how) = self.record_of(database).and_then(|record| self.untrue(database, record, place, write)) {
            self.breaks("S2", || how);
        }
    }

    /// Promises about the record, asked whenever it has changed: S2, S3, S4, A1.
    pub(crate) fn check_record(&mut self, database: DatabaseIndex) {
        let Some(record) = self.record_of(database).cloned() else { return };
        let before = self.ledgers[database].seen.replace(record.clone());
        let name = self.database_name(database).clone();
        if let Some(before) = &before
            && (record.epoch < before.epoch || record.epoch == before.epoch && record.writer != before.writer)
        {
            self.breaks("S5", || format!("{name}: {before:?} became {record:?}"));
        }
        if before.as_ref().is_none_or(|before| before.epoch != record.epoch) {
            self.check_claim(database, &record);
            // A writer whose epoch was open is taken over from only when a majority of the others doubts it.
            if let (Some(before), Origin::Failover { away_from, .. }) = (&before, &record.origin)
                && before.open
                && self.now() > self.ledgers[database].asked_until
            {
                let (doubting, outside) = self.doubters(database, away_from);
                if doubting < outside / 2 + 1 {
                    self.breaks("S4", || {
                        let writer = &record.writer;
                        format!(
                            "{writer} took over {name} from {away_from}, which {doubting} of {outside} others doubted"
                        )
                    });
                }
            }
        }
        let ledger = &mut self.ledgers[database];
        if record.open {
            ledger.newest_open = ledger.newest_open.max(record.epoch);
        }
        if let Some((place, write)) = ledger.last
            && let Some(how) = self.untrue(database, &record, place, write)
        {
            self.breaks("S2", || how);
        }
    }

    /// The slow way's part of S2: every acknowledged write, not only the last.
    pub(crate) fn check_everything(&mut self, database: DatabaseIndex) {
        let Some(record) = self.record_of(database) else { return };
        let ledger = &self.ledgers[database];
        let kept = ledger.acknowledged.iter().filter(|known| !ledger.given_up.contains(&known.write));
        // What is older than a few hundred writes was looked at often enough.
        let recent = kept.rev().take(300);
        if let Some(how) = recent.filter_map(|known| self.untrue(database, record, known.place, known.write)).next() {
            self.breaks("S2", || how);
        }
    }

    fn check_claim(&mut self, database: DatabaseIndex, record: &DatabaseRecord) {
        let (epoch, name) = (record.epoch, self.database_name(database).clone());
        if !self.explains(database, epoch) {
            self.breaks("A1", || format!("epoch {epoch} of {name} was claimed without a reason in the journal"));
        }
        let exists = self.server_named(database, &record.writer).exists;
        if record.origin != Origin::Created && !exists {
            self.breaks("S4", || format!("{} claimed {name} and has no data", record.writer));
        }
        if let Origin::Failover { forced: true, vouched, .. } = record.origin {
            self.give_up(database, &record.writer, vouched);
        }
    }

    /// S3: what a forced claim gives up is no older than the RPO, unless a person has accepted that.
    fn give_up(&mut self, database: DatabaseIndex, claimer: &RegionId, vouched: bool) {
        let wal = self.server_named(database, claimer).wal.clone();
        let now = self.now();
        let rpo = self.component(database).objectives.rpo.unwrap_or_default();
        let ledger = &mut self.ledgers[database];
        let accepted = vouched || now <= ledger.loss_accepted_until;
        let mut too_old = None;
        for known in &ledger.acknowledged {
            if wal.get(known.place) != Some(&known.write) && ledger.given_up.insert(known.write) {
                let age = now.since(known.at);
                // The reports on which the bound rests are up to a second old.
                if !accepted && age > rpo + Duration::from_secs(1) {
                    too_old.get_or_insert((known.write, age));
                }
            }
        }
        let kept = ledger.acknowledged.iter().filter(|known| !ledger.given_up.contains(&known.write));
        ledger.last = kept.map(|known| (known.place, known.write)).max();
        if let Some((write, age)) = too_old {
            let name = self.database_name(database).clone();
            self.breaks("S3", || format!("write {write} of {name}, {age:?} old, was lost; the RPO is {rpo:?}"));
        }
    }

    /// S2: every region that the record calls a holder has a write; and so have, together, any `n − k + 1` of the named. How
    /// that is not so.
    fn untrue(&self, database: DatabaseIndex, record: &DatabaseRecord, place: usize, write: WriteId) -> Option<String> {
        let has = |region: &RegionId| self.server_named(database, region).wal.get(place) == Some(&write);
        let name = self.database_name(database);
        if matches!(record.origin, Origin::Failover { forced: true, .. }) && !record.open {
            return None; // What the claimer lacks was counted; what is acknowledged after its claim it has to have when it opens.
        }
        if let Some(holder) = record.holders.iter().find(|holder| !has(holder)) {
            return Some(format!("{holder} is called a holder of {name} and lacks acknowledged write {write}"));
        }
        let Gate::Peers { named, .. } = &record.gate else { return None };
        let lacking = named.iter().filter(|region| !has(region)).count();
        (lacking >= confirm::stops_needed(&record.gate)).then(|| {
            format!("{lacking} of {named:?} lack acknowledged write {write} of {name}; {:?} is recorded", record.gate)
        })
    }

    /// S2 and L1 once all faults are over: somebody writes, and has everything that was not given up.
    ///
    /// # Errors
    /// The promise that is broken.
    pub fn check_end(&self, database: &ComponentId) -> Result<(), Broken> {
        let index = self.database_index(database);
        let Some(record) = self.record_of(index) else {
            return Err(Broken { promise: "L1", how: format!("{database} was never created") });
        };
        let is_able = |region: &RegionIndex| self.can_acknowledge(*region, index);
        let writes = self.copies(index).iter().filter(|region| is_able(region)).map(|region| self.region_name(*region));
        if !record.open || writes.collect::<Vec<_>>() != [&record.writer] {
            return Err(Broken {
                promise: "L1",
                how: format!("all faults are over, and {database} accepts no writes: {record:?}"),
            });
        }
        let ledger = &self.ledgers[index];
        let wal = &self.server_named(index, &record.writer).wal;
        let mut kept = ledger.acknowledged.iter().filter(|known| !ledger.given_up.contains(&known.write));
        match kept.find(|known| wal.get(known.place) != Some(&known.write)) {
            Some(known) => Err(Broken {
                promise: "S2",
                how: format!("{} writes {database} and lacks acknowledged write {}", record.writer, known.write),
            }),
            None => Ok(()),
        }
    }
}
