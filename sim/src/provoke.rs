//! Faults at bad moments: when a record changes, an order begins or a promise is given, something goes wrong now and then, within moments.
//!
//! What needs three things in the right order within a second hardly ever happens by chance; this is how it happens. What was provoked is
//! kept with its moment, so that the history can be played again without a provoker, and shrunk.

use std::time::Duration;

use lifeboat_model::{ComponentId, Moment, RegionId};

use crate::fault::Fault;
use crate::history::{Drawing, Incident};
use crate::scenario::Fleet;

/// The most that is provoked in one history.
const MOST: usize = 10;

/// Draws what goes wrong at the moments that it is told of.
#[derive(Debug)]
pub struct Provoker {
    drawing: Drawing,
    /// One moment in so many.
    odds: usize,
    /// Everything is mended by then.
    until: Moment,
    /// What was provoked so far.
    pub incidents: Vec<Incident>,
}

impl Provoker {
    /// Of a seed, for a fleet; nothing is provoked before `from`, and everything is mended by `until`.
    pub fn new(seed: u64, fleet: &Fleet, until: Moment) -> Self {
        let mut drawing = Drawing::new(seed ^ 0xBAD, fleet);
        let odds = 2 + drawing.below(30);
        Self { drawing, odds, until, incidents: Vec::new() }
    }

    /// Something has just happened in a region, which concerns a database: what goes wrong now.
    pub fn provoke(&mut self, now: Moment, region: &RegionId, database: &ComponentId) -> Option<&Incident> {
        if self.incidents.len() >= MOST || self.drawing.below(self.odds) > 0 {
            return None;
        }
        let soon = if self.drawing.below(3) == 0 { 600_000_000 } else { 40_000_000 };
        let at = now + Duration::from_nanos(self.drawing.below(soon) as u64);
        let long = self.drawing.between(0.02, 8.0);
        if at + long > self.until {
            return None;
        }
        let region = if self.drawing.below(3) == 0 { self.drawing.region() } else { region.clone() };
        let start = Fault::StartNode(region.clone());
        let (fault, mend) = match self.drawing.below(12) {
            0 | 1 => (Fault::KillNode(region), start),
            2 => (Fault::KillRegion(region), start),
            3 => (Fault::KillServer(region.clone(), database.clone()), start),
            4 => (Fault::FreezeNode(region.clone()), Fault::Thaw(region)),
            5 => (Fault::Freeze(region.clone()), Fault::Thaw(region)),
            6 => (Fault::CutStore(region), Fault::HealStore),
            7 => (Fault::StoreDown, Fault::StoreUp),
            8 => (Fault::Isolate(region), Fault::Heal),
            9 => {
                let other = self.drawing.region();
                (Fault::Cut(region, other), Fault::Heal)
            }
            _ => {
                self.incidents.push(self.drawing.incident_in(region, at, long));
                return self.incidents.last();
            }
        };
        self.incidents.push(Incident { at, faults: vec![fault], mended: Some((long, mend)) });
        self.incidents.last()
    }
}
