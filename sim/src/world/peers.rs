//! What nodes ask each other without the store.

use std::time::Duration;

use lifeboat_control::Event;
use lifeboat_control::promise::{Answers, Question};

use super::{Happening, NodeIndex, World};

/// A question on its way, or its answer.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    asker: NodeIndex,
    incarnation: u64,
    round: u64,
    asked: NodeIndex,
}

impl World {
    pub(super) fn ask_peers(&mut self, asker: NodeIndex, incarnation: u64, round: u64, question: &Question) {
        let first = self.app_of(asker) * self.regions.len();
        for asked in (first..first + self.regions.len()).filter(|node| *node != asker) {
            let (from, to) = (self.region_of(asker), self.region_of(asked));
            let ticket = self.questions.len() as u64;
            self.questions.push(Asked { asker, incarnation, round, asked });
            let wait = self.random(10) + self.network.delay(from, to);
            if !self.network.is_whole(from, to) {
                continue;
            }
            let event = Event::PeerAsks { ticket, question: question.clone() };
            if self.noise > 0 && self.chance(self.noise) {
                // A request that is sent again because the connection broke.
                let later = wait + self.random(1_000);
                self.after(later, Happening::Asked(ticket, Box::new(event.clone())));
            }
            self.after(wait, Happening::Asked(ticket, Box::new(event)));
        }
    }

    pub(super) fn take_question(&mut self, ticket: u64, event: Event) {
        let asked = self.questions[ticket as usize].asked;
        self.feed(asked, event);
    }

    /// An answer goes back, if the way is whole and the asker is still who asked; late where the link is slow.
    pub(super) fn answer_peer(&mut self, ticket: u64, answers: Answers) {
        let Asked { asker, incarnation, round, asked } = self.questions[ticket as usize].clone();
        let (from, to) = (self.region_of(asked), self.region_of(asker));
        if let Some((id, Ok(()))) = answers.first_key_value() {
            let database = self.database_index(id);
            self.provoke(from, database);
        }
        let wait: Duration = self.random(10) + self.network.delay(from, to);
        if self.network.is_linked(from, to) {
            let region = self.regions[from].clone();
            let event = Event::PeerAnswered { round, region, answers };
            self.after(wait, Happening::Deliver(asker, incarnation, Box::new(event)));
        }
    }
}
