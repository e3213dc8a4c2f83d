//! The journal's hash chain, walked as `lifeboat events --verify` walks it.

use lifeboat_control::chain::{self, Known};
use lifeboat_control::record;

use crate::check::Broken;
use crate::world::World;

impl World {
    /// A1: every region's journal is one chain without gaps, up to its head, whatever was killed, lost or tried twice meanwhile.
    ///
    /// # Errors
    /// The first thing that is wrong with the first journal that is not so.
    pub fn check_chain(&self) -> Result<(), Broken> {
        for store in self.stores() {
            for region in self.regions() {
                let (_, entries) = store.list(&format!("journal/{region}/"));
                let stored = entries.iter().map(|entry| {
                    let number = entry.key.rsplit('/').next().and_then(|number| number.parse().ok());
                    (number.unwrap_or(0), entry.value.as_slice())
                });
                let head = store.get(&record::journal_head_key(region));
                let head = head.and_then(|head| serde_json::from_slice(&head.value).ok());
                let walk = chain::verify(region, stored, Known { head, ..Known::default() });
                if let Some(finding) = walk.findings.first() {
                    return Err(Broken { promise: "A1", how: format!("the journal of {region}: {finding}") });
                }
            }
        }
        Ok(())
    }
}
