//! The promises as checks, asked after every event.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use lifeboat_control::confirm;
use lifeboat_control::record::{DatabaseRecord, Origin};
use lifeboat_model::app::WithoutStandby;
use lifeboat_model::database::Gate;
use lifeboat_model::{ComponentId, Epoch, Moment, RegionId};

use crate::server::WriteId;
use crate::world::World;

/// How long writing may be impossible though it ought not to be. The longest waits of the brain lie in it one after the other: a
/// switchover that is given up (10 s), an epoch that is not opened (10 s), a standby that is waited for (2 s), detection and orders.
const PROGRESS: Duration = Duration::from_secs(30);

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which, such as `S1`.
    pub promise: &'static str,
    /// How.
    pub how: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} broken: {}", self.promise, self.how)
    }
}

/// What was acknowledged, of one database.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Each acknowledged write: its place in the log, and when it was acknowledged.
    pub acknowledged: BTreeMap<WriteId, (usize, Moment)>,
    /// What was given up by forced claims.
    pub given_up: BTreeSet<WriteId>,
    /// The epochs that were open, for S5.
    pub newest_open: Epoch,
    /// Since when writing is not possible though it ought to be, for L1.
    standing_still_since: Option<Moment>,
    /// The record that was checked last.
    seen: Option<DatabaseRecord>,
}

impl World {
    /// Promises that are about what is possible at this moment: S1 and S5.
    pub fn check_moment(&self, database: &ComponentId) -> Result<(), Broken> {
        let able: Vec<&RegionId> =
            self.data_regions().filter(|region| self.can_acknowledge(region, database)).collect();
        if able.len() > 1 {
            return Err(Broken { promise: "S1", how: format!("{able:?} can acknowledge writes to {database}") });
        }
        let newest_open = self.ledgers[database].newest_open;
        for region in able {
            let epoch = self.server(region, database).epoch;
            if epoch < newest_open {
                return Err(Broken {
                    promise: "S5",
                    how: format!("{region} acknowledges under epoch {epoch}, epoch {newest_open} is open"),
                });
            }
        }
        Ok(())
    }

    /// L1: where a majority and a region that holds everything are there, writing is possible again within [`PROGRESS`]. Not asked of
    /// a writer that is told to stop without its standby.
    pub fn check_progress(&mut self) -> Result<(), Broken> {
        let now = self.now();
        for database in self.ledgers.keys().cloned().collect::<Vec<_>>() {
            let may_stop = self.app.components[&database].without_standby == WithoutStandby::Stop;
            let serves = self.data_regions().any(|region| self.can_acknowledge(region, &database));
            let stands_still = !may_stop && !serves && self.ought_to_serve(&database);
            let ledger = self.ledgers.get_mut(&database).expect("every database has a ledger");
            if !stands_still {
                ledger.standing_still_since = None;
                continue;
            }
            let since = *ledger.standing_still_since.get_or_insert(now);
            if now.since(since) > PROGRESS {
                let how = format!(
                    "{database} has accepted no writes for {PROGRESS:?}, with a majority and a holder alive: {:?}",
                    self.record(&database)
                );
                return Err(Broken { promise: "L1", how });
            }
        }
        Ok(())
    }

    /// S2 for one write, at the moment of its acknowledgement.
    pub fn check_acknowledged(&self, database: &ComponentId, place: usize, write: WriteId) -> Result<(), Broken> {
        match self.record(database) {
            Some(record) => self.check_holders(database, &record, [(place, write)].into_iter()),
            None => Ok(()),
        }
    }

    /// Promises about the record, asked whenever it has changed: S2, S3, S4, A1.
    pub fn check_record(&mut self, database: &ComponentId) -> Result<(), Broken> {
        let Some(record) = self.record(database) else { return Ok(()) };
        let before = self.ledgers[database].seen.clone();
        if before.as_ref() == Some(&record) {
            return Ok(());
        }
        if let Some(before) = &before
            && (record.epoch < before.epoch || record.epoch == before.epoch && record.writer != before.writer)
        {
            return Err(Broken { promise: "S5", how: format!("{database}: {before:?} became {record:?}") });
        }
        if before.as_ref().is_none_or(|before| before.epoch != record.epoch) {
            self.check_claim(database, &record)?;
            // A writer whose epoch was open is taken over from only when a majority of the others doubts it.
            if let (Some(before), Origin::Failover { away_from, .. }) = (&before, &record.origin)
                && before.open
                && !self.was_asked
            {
                let (doubting, outside) = self.doubters(away_from);
                if doubting < outside / 2 + 1 {
                    let how = format!(
                        "{} took over from {away_from}, which {doubting} of {outside} others doubted",
                        record.writer
                    );
                    return Err(Broken { promise: "S4", how });
                }
            }
        }
        let ledger = self.ledgers.get_mut(database).expect("every database has a ledger");
        if record.open {
            ledger.newest_open = ledger.newest_open.max(record.epoch);
        }
        ledger.seen = Some(record.clone());
        let ledger = &self.ledgers[database];
        let kept: Vec<(usize, WriteId)> = ledger
            .acknowledged
            .iter()
            .filter(|(id, _)| !ledger.given_up.contains(id))
            .map(|(id, (place, _))| (*place, *id))
            .collect();
        self.check_holders(database, &record, kept.into_iter())
    }

    fn check_claim(&mut self, database: &ComponentId, record: &DatabaseRecord) -> Result<(), Broken> {
        let epoch = record.epoch;
        if !self.journal_explains(database, epoch) {
            return Err(Broken {
                promise: "A1",
                how: format!("epoch {epoch} of {database} was claimed without a reason in the journal"),
            });
        }
        let server = self.server(&record.writer, database).clone();
        if record.origin != Origin::Created && !server.exists {
            return Err(Broken { promise: "S4", how: format!("{} claimed {database} and has no data", record.writer) });
        }
        if let Origin::Failover { forced: true, vouched, .. } = record.origin {
            let asked = self.loss_was_accepted;
            let now = self.now();
            let rpo = self.app.components[database].objectives.rpo.unwrap_or_default();
            let ledger = self.ledgers.get_mut(database).expect("every database has a ledger");
            for (id, (place, at)) in &ledger.acknowledged {
                if server.wal.get(*place) != Some(id) && ledger.given_up.insert(*id) {
                    let age = now.since(*at);
                    // The reports on which the bound rests are up to a second old.
                    if !asked && !vouched && age > rpo + Duration::from_secs(1) {
                        return Err(Broken {
                            promise: "S3",
                            how: format!("write {id} of {database}, {age:?} old, was lost; the RPO is {rpo:?}"),
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// S2: every region that the record calls a holder has the writes; and so have, together, any `n − k + 1` of the named.
    fn check_holders(
        &self,
        database: &ComponentId,
        record: &DatabaseRecord,
        writes: impl Iterator<Item = (usize, WriteId)>,
    ) -> Result<(), Broken> {
        let has = |region: &RegionId, place: usize, write: WriteId| {
            self.server(region, database).wal.get(place) == Some(&write)
        };
        for (place, write) in writes {
            for holder in &record.holders {
                if !has(holder, place, write) {
                    return Err(Broken {
                        promise: "S2",
                        how: format!("{holder} is called a holder of {database} and lacks acknowledged write {write}"),
                    });
                }
            }
            let Gate::Peers { named, .. } = &record.gate else { continue };
            if matches!(record.origin, Origin::Failover { forced: true, .. }) && !record.open {
                continue;
            }
            let lacking = named.iter().filter(|region| !has(region, place, write)).count();
            if lacking >= confirm::stops_needed(&record.gate) {
                return Err(Broken {
                    promise: "S2",
                    how: format!(
                        "{lacking} of {named:?} lack acknowledged write {write} of {database}; {:?} is recorded",
                        record.gate
                    ),
                });
            }
        }
        Ok(())
    }

    /// S2 and L1 once all faults are over: somebody writes, and has everything that was not given up.
    pub fn check_end(&self, database: &ComponentId) -> Result<(), Broken> {
        let Some(record) = self.record(database) else {
            return Err(Broken { promise: "L1", how: format!("{database} was never created") });
        };
        if !record.open || !self.can_acknowledge(&record.writer, database) {
            return Err(Broken {
                promise: "L1",
                how: format!("all faults are over, and {database} accepts no writes: {record:?}"),
            });
        }
        let ledger = &self.ledgers[database];
        let server = self.server(&record.writer, database);
        match ledger
            .acknowledged
            .iter()
            .find(|(id, (place, _))| !ledger.given_up.contains(id) && server.wal.get(*place) != Some(id))
        {
            Some((id, _)) => Err(Broken {
                promise: "S2",
                how: format!("{} writes {database} and lacks acknowledged write {id}", record.writer),
            }),
            None => Ok(()),
        }
    }
}
