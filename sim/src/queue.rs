//! What is to happen, in the order of time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use lifeboat_model::Moment;

/// A queue of things to come. Of two at one moment the urgent one comes first, then the one that was put in first.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Item<T>>,
    next: u64,
}

#[derive(Debug)]
struct Item<T> {
    at: Moment,
    /// Its place among those of the same moment.
    place: u64,
    what: T,
}

impl<T> Queue<T> {
    pub fn new() -> Self {
        Self { heap: BinaryHeap::new(), next: 0 }
    }

    /// `urgent`: before everything else of the same moment.
    pub fn put(&mut self, at: Moment, urgent: bool, what: T) {
        self.next += 1;
        let place = self.next | if urgent { 0 } else { 1 << 63 };
        self.heap.push(Item { at, place, what });
    }

    /// What comes first, if it comes by `until`.
    pub fn take(&mut self, until: Moment) -> Option<(Moment, T)> {
        if self.heap.peek()?.at > until {
            return None;
        }
        self.heap.pop().map(|item| (item.at, item.what))
    }
}

impl<T> Ord for Item<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.place).cmp(&(self.at, self.place))
    }
}

impl<T> PartialOrd for Item<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Item<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Item<T> {}
