//! The cheapest ways of a group's members whose drawn recoveries hold every objective, in a placement: exact.
//!
//! What cannot be missed even if everybody is slow is left alone. The rest falls into pieces that have nothing to do with each
//! other. In a piece the members that others need are decided one after the other, cheapest first, while everybody undecided
//! counts as quick as can be (`recoveries`): where that is too late already, or too dear, nothing that follows from it is
//! looked at. Members that nobody needs take the cheapest way that still holds.

use super::recoveries::{OPEN, Recoveries, WayId};

/// So many looks for each member find a first solution that is not the dearest.
const DIVE: usize = 40;

/// What a way of a member costs.
pub(super) type Offer = (i64, WayId);

/// The cheapest selection.
#[derive(Clone, Debug)]
pub(super) struct Cheapest {
    pub ways: Vec<WayId>,
    pub cost: i64,
    /// Nothing costs less than this; it is the cost if that is proved to be the least.
    pub least: i64,
}

/// `offers`: of each member its ways in this placement, the cheapest first. `None`: there is none that holds.
pub(super) fn cheapest(recoveries: &Recoveries<'_>, offers: &[Vec<Offer>], home: usize) -> Option<Cheapest> {
    let mut ways = Vec::with_capacity(offers.len());
    let mut cost = 0_i64;
    for offers in offers {
        let (least, way) = offers.first()?;
        cost = cost.saturating_add(*least);
        ways.push(*way);
    }
    let missed = |ways: &[WayId]| recoveries.deadlines.iter().any(|node| !recoveries.holds(*node, ways, home));
    if !missed(&ways) {
        return Some(Cheapest { ways, cost, least: cost });
    }
    let mut least = cost;
    for piece in pieces(recoveries, offers.len()) {
        let mut search = Search::new(recoveries, offers, home, piece);
        let alone: i64 = search.sum_of_least();
        let (found, proved) = search.solve()?;
        let excess = found.cost.saturating_sub(alone);
        cost = cost.saturating_add(excess);
        least = least.saturating_add(if proved { excess } else { search.floor.saturating_sub(alone).max(0) });
        for (member, way) in search.piece.members.iter().zip(found.ways) {
            ways[*member] = way;
        }
    }
    Some(Cheapest { ways, cost, least })
}

/// Members that depend on each other, in a sensible order.
struct Piece {
    /// All of them, what is needed first.
    members: Vec<usize>,
    /// Those that others of the piece need.
    inner: Vec<usize>,
    /// Those with something to hold.
    deadlines: Vec<usize>,
}

/// What stands behind members that may miss something, split into what has nothing to do with each other.
fn pieces(recoveries: &Recoveries<'_>, count: usize) -> Vec<Piece> {
    let mut piece_of: Vec<Option<usize>> = vec![None; count];
    let mut pieces: Vec<Vec<usize>> = Vec::new();
    for deadline in &recoveries.deadlines {
        let closure = recoveries.closure(*deadline);
        let mut joined: Vec<usize> = closure.iter().filter_map(|member| piece_of[*member]).collect();
        joined.sort_unstable();
        joined.dedup();
        let into = joined.first().copied().unwrap_or(pieces.len());
        if into == pieces.len() {
            pieces.push(Vec::new());
        }
        let others: Vec<usize> = joined.iter().skip(1).flat_map(|other| std::mem::take(&mut pieces[*other])).collect();
        let fresh: Vec<usize> = closure.iter().copied().filter(|member| piece_of[*member].is_none()).collect();
        for member in others.into_iter().chain(fresh) {
            piece_of[member] = Some(into);
            pieces[into].push(member);
        }
    }
    let whole = pieces.into_iter().filter(|members| !members.is_empty());
    whole
        .map(|mut members| {
            // A closure is longer than those of what it holds.
            members.sort_by_key(|member| (recoveries.closure(*member).len(), *member));
            let is_needed = |member: &usize| {
                members.iter().any(|other| other != member && recoveries.closure(*other).contains(member))
            };
            let inner = members.iter().copied().filter(is_needed).collect();
            let deadlines = members.iter().copied().filter(|member| recoveries.deadlines.contains(member)).collect();
            Piece { members, inner, deadlines }
        })
        .collect()
}

struct Found {
    cost: i64,
    /// In the order of the piece.
    ways: Vec<WayId>,
}

struct Search<'a> {
    recoveries: &'a Recoveries<'a>,
    offers: &'a [Vec<Offer>],
    home: usize,
    piece: Piece,
    /// By member; what is undecided is open.
    selection: Vec<WayId>,
    best: Option<Found>,
    /// What the piece costs at least.
    floor: i64,
    until: usize,
    proved: bool,
}

/// Of each outer member of a piece which of its offers is the cheapest that may still hold.
type Picks = Vec<(usize, usize)>;

impl<'a> Search<'a> {
    fn new(recoveries: &'a Recoveries<'a>, offers: &'a [Vec<Offer>], home: usize, piece: Piece) -> Self {
        let selection = vec![OPEN; offers.len()];
        // Each piece may at least be gone down once.
        let down = recoveries.work.get().saturating_add(piece.members.len() * DIVE);
        let until = recoveries.bound.get().max(down);
        Self { recoveries, offers, home, piece, selection, best: None, floor: 0, until, proved: true }
    }

    fn least(&self, member: usize) -> i64 {
        self.offers[member].first().map_or(0, |(cost, _)| *cost)
    }

    fn sum_of_least(&self) -> i64 {
        self.piece.members.iter().map(|member| self.least(*member)).sum()
    }

    /// The cheapest, and whether that is proved.
    fn solve(&mut self) -> Option<(Found, bool)> {
        let outer = self.piece.members.iter().filter(|member| !self.piece.inner.contains(member));
        let picks: Picks = outer.map(|member| (*member, 0)).collect();
        let deadlines = self.piece.deadlines.clone();
        let picks = self.narrowed(picks, &deadlines)?;
        self.floor = self.bound(0, 0, &picks);
        self.try_quickest();
        self.decide(0, 0, &picks);
        let proved = self.proved;
        if !proved {
            self.descend();
        }
        self.best.take().map(|found| (found, proved))
    }

    /// The cost of what is decided, and the least of what is not.
    fn bound(&self, level: usize, cost: i64, picks: &Picks) -> i64 {
        let inner: i64 = self.piece.inner[level..].iter().map(|member| self.least(*member)).sum();
        let outer: i64 = picks.iter().map(|(member, pick)| self.offers[*member][*pick].0).sum();
        cost.saturating_add(inner).saturating_add(outer)
    }

    /// Passes over the offers of outer members that are late now; `None` if something is late whatever is chosen.
    fn narrowed(&mut self, mut picks: Picks, deadlines: &[usize]) -> Option<Picks> {
        for member in deadlines {
            match picks.iter_mut().find(|(outer, _)| outer == member) {
                Some((_, pick)) => {
                    let offers = &self.offers[*member];
                    while *pick < offers.len() {
                        self.selection[*member] = offers[*pick].1;
                        if self.recoveries.holds(*member, &self.selection, self.home) {
                            break;
                        }
                        *pick += 1;
                    }
                    self.selection[*member] = OPEN;
                    if *pick == offers.len() {
                        return None;
                    }
                }
                None if !self.recoveries.holds(*member, &self.selection, self.home) => return None,
                None => {}
            }
        }
        Some(picks)
    }

    /// What is dear and quick, so that there is something to beat: of each member the dearest.
    fn try_quickest(&mut self) {
        let dearest = |member: &usize| self.offers[*member].last().copied().unwrap_or((0, OPEN));
        let offers: Vec<Offer> = self.piece.members.iter().map(dearest).collect();
        for (member, (_, way)) in self.piece.members.iter().zip(&offers) {
            self.selection[*member] = *way;
        }
        let holds = |member: &usize| self.recoveries.holds(*member, &self.selection, self.home);
        if self.piece.deadlines.iter().all(holds) {
            let cost = offers.iter().map(|(cost, _)| cost).sum();
            self.best = Some(Found { cost, ways: offers.iter().map(|(_, way)| *way).collect() });
        }
        self.selection.fill(OPEN);
    }

    /// Where not everything could be tried: from the best that was found, the one change of one member that saves most and still holds,
    /// for as long as there is one.
    fn descend(&mut self) {
        let Some(Found { mut cost, ways }) = self.best.take() else { return };
        for (member, way) in self.piece.members.iter().zip(&ways) {
            self.selection[*member] = *way;
        }
        loop {
            let mut savings: Vec<(i64, usize, WayId)> = Vec::new();
            for member in &self.piece.members {
                let offers = &self.offers[*member];
                let present =
                    offers.iter().find(|(_, way)| *way == self.selection[*member]).map_or(0, |(cost, _)| *cost);
                let cheaper = offers.iter().filter(|(cost, _)| *cost < present);
                savings.extend(cheaper.map(|(cost, way)| (present - cost, *member, *way)));
            }
            savings.sort_unstable_by(|one, other| other.cmp(one));
            let change = savings.into_iter().find(|(_, member, way)| {
                let before = std::mem::replace(&mut self.selection[*member], *way);
                let deadlines = self.piece.deadlines.iter();
                let mut waiting = deadlines.filter(|deadline| self.recoveries.closure(**deadline).contains(member));
                let holds = waiting.all(|deadline| self.recoveries.holds(*deadline, &self.selection, self.home));
                self.selection[*member] = before;
                holds
            });
            let Some((saved, member, way)) = change else { break };
            self.selection[member] = way;
            cost -= saved;
        }
        let ways = self.piece.members.iter().map(|member| self.selection[*member]).collect();
        self.best = Some(Found { cost, ways });
        self.selection.fill(OPEN);
    }

    fn decide(&mut self, level: usize, cost: i64, picks: &Picks) {
        let Some(member) = self.piece.inner.get(level).copied() else {
            let cost = self.bound(level, cost, picks);
            if self.best.as_ref().is_none_or(|best| cost < best.cost) {
                let pick_of = |member: &usize| picks.iter().find(|(outer, _)| outer == member);
                let way = |member: &usize| match pick_of(member) {
                    Some((_, pick)) => self.offers[*member][*pick].1,
                    None => self.selection[*member],
                };
                self.best = Some(Found { cost, ways: self.piece.members.iter().map(way).collect() });
            }
            return;
        };
        let downstream: Vec<usize> = self
            .piece
            .deadlines
            .iter()
            .copied()
            .filter(|deadline| self.recoveries.closure(*deadline).contains(&member))
            .collect();
        for (least, way) in &self.offers[member] {
            let cost = cost.saturating_add(*least);
            let limit = self.best.as_ref().map_or(i64::MAX, |best| best.cost);
            if self.bound(level + 1, cost, picks) >= limit {
                break;
            }
            let patience = if self.best.is_some() { 1 } else { 10 };
            if self.recoveries.work.get() >= self.until.saturating_mul(patience) {
                self.proved = false;
                break;
            }
            self.selection[member] = *way;
            if let Some(picks) = self.narrowed(picks.clone(), &downstream)
                && self.bound(level + 1, cost, &picks) < limit
            {
                self.decide(level + 1, cost, &picks);
            }
        }
        self.selection[member] = OPEN;
    }
}
