//! The state store as the nodes reach it: calls, lost answers, and changes that come late.

use super::*;

impl World {
    pub(super) fn call(&mut self, region: &RegionId, incarnation: u64, call: Call) -> Result<(), Broken> {
        let node = &self.nodes[region];
        if node.incarnation != incarnation {
            return Ok(());
        }
        let reachable = self.store_up && !self.isolated.contains(region);
        let lost = !self.calm && self.chance(2);
        let now = self.store_time();
        let answer = |world: &mut Self, event| {
            let wait = if reachable && !lost { world.random(10) } else { Duration::from_millis(500) };
            world.after(wait, Happening::Deliver(region.clone(), incarnation, Box::new(event)));
        };
        let executed = reachable && !(lost && self.chance(50));
        let failure = if reachable { StoreFailure::Unknown } else { StoreFailure::NotExecuted };
        match call {
            Call::Transact(transaction) => {
                let result = if executed { self.store.transact(now, &transaction) } else { Ok(Outcome::Conflict) };
                if let Ok(Outcome::Committed(_)) = result {
                    self.committed(&transaction);
                }
                let told = match result {
                    _ if !executed || lost => Err(failure),
                    Ok(outcome) => Ok(outcome),
                    Err(LeaseGone) => Err(StoreFailure::LeaseGone),
                };
                answer(self, Event::Transacted(told));
                self.wake_watchers();
                for database in self.ledgers.keys().cloned().collect::<Vec<_>>() {
                    self.check_record(&database)?;
                }
            }
            Call::Grant(length) => {
                let length = if self.broke == Some(Broke::LeaseTooShort) { length / 2 } else { length };
                let lease = executed.then(|| self.store.grant(now, length));
                answer(self, Event::Granted(lease.filter(|_| !lost).ok_or(failure)));
            }
            Call::Renew(lease) => {
                let result = if executed { self.store.renew(now, lease) } else { Ok(()) };
                let told = match result {
                    _ if !executed || lost => Err(failure),
                    Ok(()) => Ok(()),
                    Err(LeaseGone) => Err(StoreFailure::LeaseGone),
                };
                answer(self, Event::Renewed(told));
                self.wake_watchers();
            }
            Call::List => {
                if reachable && !lost {
                    self.store.expire(now);
                    let (revision, entries) = self.store.list(record::STATE);
                    let read = self.store.log.len();
                    let node = self.nodes.get_mut(region).expect("nodes are never removed");
                    node.read = read;
                    answer(self, Event::Snapshot { revision, entries });
                } else {
                    self.after(Duration::from_millis(300), Happening::Call(region.clone(), incarnation, Call::List));
                }
            }
        }
        Ok(())
    }

    /// The store's own clock neither drifts nor agrees with anybody's.
    pub(super) fn store_time(&self) -> Moment {
        self.now
    }

    pub(super) fn committed(&mut self, transaction: &Transaction) {
        for write in &transaction.then {
            let Write::Put { key, value, .. } = write else { continue };
            if key.starts_with("journal/") {
                if let Ok(entry) = serde_json::from_slice::<JournalEntry>(value)
                    && let (EntryKind::Claim, Some(database), Some(epoch), false) =
                        (entry.kind, entry.component, entry.epoch, entry.why.is_empty())
                {
                    self.explained.insert((database, epoch));
                }
            } else if let Some(database) = key.strip_prefix("state/database/")
                && let Ok(record) = serde_json::from_slice::<DatabaseRecord>(value)
            {
                if self.records.get(database).is_none_or(|before| before.epoch != record.epoch) {
                    self.claims += 1;
                }
                self.say(|| format!("store: {database}: {record:?}"));
                self.records.insert(database.into(), record);
            }
        }
    }

    pub(super) fn wake_watchers(&mut self) {
        let regions: Vec<(RegionId, u64)> = self
            .nodes
            .iter_mut()
            .filter(|(_, node)| node.brain.is_some() && !node.watching && node.read < self.store.log.len())
            .map(|(region, node)| {
                node.watching = true;
                (region.clone(), node.incarnation)
            })
            .collect();
        for (region, incarnation) in regions {
            let late = if self.chance(5) && !self.calm { 800 } else { 20 };
            let wait = self.random(late);
            self.after(wait, Happening::Watch(region, incarnation));
        }
    }

    pub(super) fn watch(&mut self, region: &RegionId, incarnation: u64) {
        let reachable = self.store_up && !self.isolated.contains(region);
        let node = self.nodes.get_mut(region).expect("nodes are never removed");
        if node.incarnation != incarnation {
            return;
        }
        if !reachable {
            self.after(Duration::from_millis(300), Happening::Watch(region.clone(), incarnation));
            return;
        }
        node.watching = false;
        let key = |change: &Change| match change {
            Change::Put(entry) => entry.key.clone(),
            Change::Delete { key, .. } => key.clone(),
        };
        let changes: Vec<Change> = self.store.log[node.read..]
            .iter()
            .filter(|change| key(change).starts_with(record::STATE))
            .cloned()
            .collect();
        node.read = self.store.log.len();
        if !changes.is_empty() {
            self.feed(region, Event::Changes(changes));
        }
    }
}
