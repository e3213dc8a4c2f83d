//! Questions between nodes: they travel over the links, each way with a delay of its own, and are lost with the link or the node.

use lifeboat_control::promise::{Answers, Question};

use super::*;

/// Who waits for the answer to a question.
#[derive(Debug)]
pub(super) struct Asked {
    asker: RegionId,
    incarnation: u64,
    round: u64,
    by: RegionId,
}

impl World {
    pub(super) fn ask_peers(&mut self, asker: &RegionId, incarnation: u64, round: u64, question: &Question) {
        let others: Vec<RegionId> = self.app.regions.keys().filter(|region| *region != asker).cloned().collect();
        for by in others {
            self.tickets += 1;
            let ticket = self.tickets;
            let asked = Asked { asker: asker.clone(), incarnation, round, by: by.clone() };
            self.asked.insert(ticket, asked);
            let wait = self.random(100);
            self.after(wait, Happening::Asked(by, ticket, question.clone()));
        }
    }

    /// The question arrives, if there still is a way.
    pub(super) fn take_question(&mut self, region: &RegionId, ticket: u64, question: Question) {
        if self.linked(&question.from, region) && self.nodes[region].brain.is_some() {
            self.feed(region, Event::PeerAsks { ticket, question });
        } else {
            self.asked.remove(&ticket);
        }
    }

    pub(super) fn answer_peer(&mut self, ticket: u64, answers: Answers) {
        let Some(Asked { asker, incarnation, round, by }) = self.asked.remove(&ticket) else { return };
        if self.linked(&by, &asker) {
            let wait = self.random(100);
            let event = Event::PeerAnswered { round, region: by, answers };
            self.after(wait, Happening::Deliver(asker, incarnation, Box::new(event)));
        }
    }
}
