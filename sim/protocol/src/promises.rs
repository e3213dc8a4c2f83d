//! The promises, asked of every state.

use std::fmt;

use crate::rules::Protocol;
use crate::state::{Region, State, letter};

/// A promise that a state breaks.
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

impl Protocol {
    /// The first promise that a state breaks.
    pub fn broken(&self, state: &State) -> Option<Broken> {
        let able: Vec<Region> =
            (0..self.config.regions as u8).filter(|region| self.can_acknowledge(state, *region)).collect();
        if let [first, second, ..] = able[..] {
            let how = format!("both {} and {} can acknowledge", letter(first), letter(second));
            return Some(Broken { promise: "S1", how });
        }
        let record = &state.record;
        for region in able {
            let epoch = state.server(region).epoch;
            if record.open && epoch < record.epoch {
                let how =
                    format!("{} acknowledges under epoch {epoch}, epoch {} is open", letter(region), record.epoch);
                return Some(Broken { promise: "S5", how });
            }
        }
        if record.forced {
            return None; // What it lacks is counted once more when it opens.
        }
        for write in state.acknowledged() {
            let has = |region: &Region| state.server(*region).wal.has(write);
            if let Some(holder) = record.holders.iter().find(|region| !has(region)) {
                let how = format!("{} is called a holder and lacks acknowledged write {write}", letter(holder));
                return Some(Broken { promise: "S2", how });
            }
            let named = record.gate.named();
            let lacking = named.iter().filter(|region| !has(region)).count();
            if !record.gate.is_node() && lacking >= record.gate.stops_needed() {
                let how = format!("{lacking} of {named} lack acknowledged write {write}, recorded is {}", record.gate);
                return Some(Broken { promise: "S2", how });
            }
        }
        None
    }
}
