//! The cheapest ways of members that depend on each other: branch and bound, with a bound from conflicts.
//!
//! Each member has some ways left, and a rest of cost for each. Let everybody go the quickest of the ways that have no rest. If
//! a member is late even so, then somebody behind it has to do better: of those without whom it would not be late (the others being as
//! quick as any of their ways) at least one takes a way that has a rest. The least of those rests goes to the bound, and is taken off the
//! rests of all of them. That goes on until nobody is late. Ways whose rest would take the bound to the best that is known are
//! dropped, which leaves everybody fewer quick ways and so finds more conflicts. What is left is split in two: a member goes the
//! cheapest of its ways, or another. (The bound is that of core-guided search, as in Davies and Bacchus, "Solving MAXSAT by
//! solving a sequence of simpler SAT instances", 2011, and Berg and Järvisalo, "Weight-aware core extraction", 2017.)

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::cheapest::{NEVER, Offer, Piece, Selection, Sought};
use super::recoveries::{OPEN, Recoveries, WayId};

/// So many looks for each member find a first solution that is not the dearest.
const DIVE: usize = 40;

/// A search of a piece, in costs beyond the cheapest ways.
pub(super) struct Search<'a> {
    recoveries: &'a Recoveries<'a>,
    home: usize,
    piece: Piece,
    /// Of each member of the piece its ways, the cheapest first, without those that another beats in cost and time.
    offers: Vec<Vec<Offer>>,
    root: Node,
    /// By member of the group.
    selection: Vec<WayId>,
    /// Only what costs less is of interest.
    limit: i64,
    best: Option<Selection>,
    until: usize,
}

/// Some of the selections.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Node {
    /// None of them costs less.
    bound: i64,
    /// Of each member the ways that are left, by their numbers among its offers, with what is left of their costs.
    left: Vec<Vec<(usize, i64)>>,
}

impl<'a> Search<'a> {
    /// `None`: nothing holds.
    pub fn new(recoveries: &'a Recoveries<'a>, offers: &[Vec<Offer>], home: usize, piece: Piece) -> Option<Self> {
        let count = offers.len();
        let offers: Vec<Vec<Offer>> =
            piece.members.iter().map(|member| worthwhile(recoveries, *member, &offers[*member])).collect();
        // Each piece may at least be gone down once.
        let down = recoveries.work.get().saturating_add(piece.members.len() * DIVE);
        let until = recoveries.bound.get().max(down);
        let all = |offers: &Vec<Offer>| (0..offers.len()).map(|offer| (offer, 0)).collect();
        let root = Node { bound: 0, left: offers.iter().map(all).collect() };
        let selection = vec![OPEN; count];
        let mut this =
            Self { recoveries, home, piece, offers, root: root.clone(), selection, limit: NEVER, best: None, until };
        this.root = this.tightened(root)?;
        Some(this)
    }

    /// The members of the group that it is about.
    pub fn members(&self) -> &[usize] {
        &self.piece.members
    }

    /// What every solution costs at least beyond the cheapest ways.
    pub fn excess(&self) -> i64 {
        self.root.bound
    }

    /// The cheapest that costs less than the limit.
    pub fn below(&mut self, limit: i64) -> Sought {
        self.limit = limit;
        if self.root.bound < limit {
            self.dive();
        }
        let mut queue = BinaryHeap::from([Reverse(self.root.clone())]);
        let mut least = NEVER;
        while let Some(Reverse(node)) = queue.pop() {
            if node.bound >= self.limit {
                least = least.min(self.limit);
                break;
            }
            if self.recoveries.work.get() >= self.until {
                least = node.bound;
                self.descend();
                break;
            }
            let Some(node) = self.tightened(node) else { continue };
            self.try_offers(node.left.iter().map(|left| dearest_paid(left)).map(|at| at.1).collect());
            queue.extend(split(&node, &self.offers).into_iter().flatten().map(Reverse));
        }
        let found = self.best.take();
        let least = least.min(found.as_ref().map_or(limit, |found| found.cost));
        Sought { found, least }
    }

    fn way(&self, at: usize, offer: usize) -> WayId {
        self.offers[at][offer].1
    }

    /// What stands for the ways of a member that are left; of those that are paid for only, if wanted.
    fn quickest(&self, node: &Node, at: usize, paid: bool) -> WayId {
        let left = node.left[at].iter().filter(|(_, rest)| !paid || *rest == 0);
        let ways: Vec<WayId> = left.map(|(offer, _)| self.way(at, *offer)).collect();
        self.recoveries.quickest_of(self.piece.members[at], &ways)
    }

    /// With as high a bound as conflicts give, and without ways that cost too much. `None`: none of these selections holds, or all
    /// cost too much.
    fn tightened(&mut self, mut node: Node) -> Option<Node> {
        let known = node.bound;
        node.bound = 0;
        for (left, offers) in node.left.iter_mut().zip(&self.offers) {
            left.iter_mut().for_each(|(offer, rest)| *rest = offers[*offer].0 - offers[0].0);
        }
        let mut paid = vec![0; node.left.len()];
        loop {
            self.recoveries.work.set(self.recoveries.work.get() + 1);
            if !self.drop_too_dear(&mut node) {
                return None;
            }
            for (at, paid) in paid.iter_mut().enumerate() {
                // What is paid for stays so.
                let now = node.left[at].iter().filter(|(_, rest)| *rest == 0).count();
                if *paid != now {
                    self.selection[self.piece.members[at]] = self.quickest(&node, at, true);
                    *paid = now;
                }
            }
            let holds = |deadline: &usize| self.recoveries.holds(*deadline, &self.selection, self.home);
            let Some(late) = self.piece.deadlines.iter().copied().find(|deadline| !holds(deadline)) else {
                node.bound = node.bound.max(known);
                return Some(node);
            };
            let conflict = self.conflict(&node, late);
            // Where nobody can do better, nothing holds.
            let least = conflict.iter().filter_map(|at| rest_of(&node.left[*at])).min()?;
            node.bound = node.bound.saturating_add(least);
            for at in conflict {
                node.left[at].iter_mut().for_each(|(_, rest)| *rest = (*rest - least).max(0));
            }
        }
    }

    /// Drops ways that would cost too much, and moves to the bound what every way of a member costs.
    fn drop_too_dear(&self, node: &mut Node) -> bool {
        loop {
            let before = node.bound;
            for left in &mut node.left {
                let spare = self.limit.saturating_sub(node.bound);
                left.retain(|(_, rest)| *rest < spare);
                let Some(least) = left.iter().map(|(_, rest)| *rest).min() else { return false };
                node.bound = node.bound.saturating_add(least);
                left.iter_mut().for_each(|(_, rest)| *rest -= least);
            }
            if node.bound >= self.limit {
                return false;
            }
            if node.bound == before {
                return true;
            }
        }
    }

    /// Members of which one has to take a way that is not paid for, or this one is late: as few as possible, and such whose rests are
    /// great. The selection is that of ways that are paid for, and stays so.
    fn conflict(&mut self, node: &Node, late: usize) -> Vec<usize> {
        let behind = self.recoveries.closure(late);
        let mut members: Vec<(i64, usize)> = Vec::new();
        for (at, member) in self.piece.members.iter().enumerate() {
            if let Some(least) = rest_of(&node.left[at])
                && behind.contains(member)
            {
                members.push((least, at));
            }
        }
        members.sort_unstable();
        let mut conflict = Vec::new();
        let mut opened = Vec::new();
        for (_, at) in members {
            let member = self.piece.members[at];
            let open = self.quickest(node, at, false);
            let before = std::mem::replace(&mut self.selection[member], open);
            if open == before || !self.recoveries.holds(late, &self.selection, self.home) {
                opened.push((member, before));
            } else {
                self.selection[member] = before;
                conflict.push(at);
            }
        }
        for (member, before) in opened {
            self.selection[member] = before;
        }
        conflict
    }

    /// A solution to begin with: of each member the dearest, and from there downwards.
    fn dive(&mut self) {
        let dearest = self.root.left.iter().map(|left| left.last().map_or(0, |(offer, _)| *offer)).collect();
        self.try_offers(dearest);
        self.descend();
    }

    /// Keeps these if they hold and cost less than the best.
    fn try_offers(&mut self, offers: Vec<usize>) {
        let dearer = |(at, offer): (usize, &usize)| self.offers[at][*offer].0 - self.offers[at][0].0;
        let cost = offers.iter().enumerate().map(dearer).sum();
        if cost >= self.limit {
            return;
        }
        let ways: Vec<WayId> = offers.iter().enumerate().map(|(at, offer)| self.way(at, *offer)).collect();
        for (member, way) in self.piece.members.iter().zip(&ways) {
            self.selection[*member] = *way;
        }
        if self.piece.deadlines.iter().all(|deadline| self.recoveries.holds(*deadline, &self.selection, self.home)) {
            self.limit = cost;
            self.best = Some(Selection { ways, cost });
        }
    }

    /// From the best that was found, the one change of one member that saves most and still holds, for as long as there is one.
    fn descend(&mut self) {
        let Some(Selection { mut ways, mut cost }) = self.best.take() else { return };
        for (member, way) in self.piece.members.iter().zip(&ways) {
            self.selection[*member] = *way;
        }
        loop {
            let mut savings: Vec<(i64, usize, WayId)> = Vec::new();
            for (at, offers) in self.offers.iter().enumerate() {
                let present = offers.iter().find(|(_, way)| *way == ways[at]).map_or(0, |(cost, _)| *cost);
                let cheaper = offers.iter().filter(|(cost, _)| *cost < present);
                savings.extend(cheaper.map(|(cost, way)| (present - cost, at, *way)));
            }
            savings.sort_unstable_by(|one, other| other.cmp(one));
            let change = savings.into_iter().find(|(_, at, way)| {
                let member = self.piece.members[*at];
                let before = std::mem::replace(&mut self.selection[member], *way);
                let deadlines = self.piece.deadlines.iter();
                let mut waiting = deadlines.filter(|deadline| self.recoveries.closure(**deadline).contains(&member));
                let holds = waiting.all(|deadline| self.recoveries.holds(*deadline, &self.selection, self.home));
                self.selection[member] = before;
                holds
            });
            let Some((saved, at, way)) = change else { break };
            self.selection[self.piece.members[at]] = way;
            ways[at] = way;
            cost -= saved;
        }
        self.limit = cost;
        self.best = Some(Selection { ways, cost });
    }
}

/// The least that is left to pay for a way that is not paid for.
fn rest_of(left: &[(usize, i64)]) -> Option<i64> {
    left.iter().map(|(_, rest)| *rest).filter(|rest| *rest > 0).min()
}

/// The dearest way that is paid for: its place among those that are left, and its number.
fn dearest_paid(left: &[(usize, i64)]) -> (usize, usize) {
    let paid = left.iter().enumerate().rev().find(|(_, (_, rest))| *rest == 0);
    paid.map_or((0, 0), |(place, (offer, _))| (place, *offer))
}

/// Into those in which a member goes the dearest way that is paid for or a dearer one, and those in which it goes a cheaper one: the
/// member for which that makes the greatest difference. `None`: all that is paid for are the cheapest ways, which hold.
fn split(node: &Node, offers: &[Vec<Offer>]) -> Option<[Node; 2]> {
    let difference = |at: usize| {
        let (place, offer) = dearest_paid(&node.left[at]);
        let (cheapest, _) = node.left[at][0];
        (offers[at][offer].0 - offers[at][cheapest].0, Reverse(at), place)
    };
    let (_, Reverse(at), place) = (0..node.left.len()).map(difference).filter(|(.., place)| *place > 0).max()?;
    let mut cheaper = node.clone();
    let mut dearer = node.clone();
    dearer.left[at] = cheaper.left[at].split_off(place);
    Some([cheaper, dearer])
}

/// The ways that none beats which costs no more and is as quick in every recovery.
fn worthwhile(recoveries: &Recoveries<'_>, member: usize, offers: &[Offer]) -> Vec<Offer> {
    let mut kept: Vec<Offer> = Vec::with_capacity(offers.len());
    for offer in offers {
        if !kept.iter().any(|(_, better)| recoveries.is_as_quick(member, *better, offer.1)) {
            kept.push(*offer);
        }
    }
    kept
}
