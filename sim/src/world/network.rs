//! What reaches whom: links, and probes over them.

use super::*;

impl World {
    pub(super) fn linked(&self, from: &RegionId, to: &RegionId) -> bool {
        from == to
            || !self.isolated.contains(from)
                && !self.isolated.contains(to)
                && !self.cut.contains(&(from.clone(), to.clone()))
    }

    pub(super) fn probe(&mut self, region: &RegionId, incarnation: u64, target: Target) {
        if self.nodes[region].incarnation != incarnation {
            return;
        }
        if !self.nodes[region].frozen {
            let there = &target.region;
            let linked = self.linked(region, there) && self.linked(there, region);
            let (exists, frozen) = match &target.what {
                What::Node => (self.nodes[there].brain.is_some(), self.nodes[there].frozen),
                What::Database(database) => (self.server(there, database).up, self.server(there, database).frozen),
                What::Compute(_) => (true, false),
            };
            let (evidence, took) = match (linked, exists, frozen) {
                (false, _, _) | (true, true, true) => (Evidence::Silent, self.app.detection.timeout),
                (true, false, _) => (Evidence::Refused, self.random(5)),
                (true, true, false) => (Evidence::Ok, self.random(5)),
            };
            if evidence != Evidence::Ok {
                self.bad_readings.insert((region.clone(), there.clone()), self.now + took);
            }
            let event = Event::Reading { target: target.clone(), evidence };
            self.after(took, Happening::Deliver(region.clone(), incarnation, Box::new(event)));
        }
        let every = self.app.detection.every;
        let jitter = self.random(50);
        self.after(every + jitter, Happening::Probe(region.clone(), incarnation, target));
    }
}
