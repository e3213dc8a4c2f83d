//! The cheapest ways of a group's members whose drawn recoveries hold every objective, in a placement: exact.
//!
//! What cannot be missed even if everybody is slow is left alone. The rest falls into pieces that have nothing to do with each
//! other, and each piece is searched (`search`).

use super::recoveries::{Recoveries, WayId};
use super::search::Search;

/// What a way of a member costs.
pub(super) type Offer = (i64, WayId);

/// A way for each member, and what they cost together.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    pub ways: Vec<WayId>,
    pub cost: i64,
}

/// What came of the search for the cheapest selection below a limit.
#[derive(Clone, Debug)]
pub(super) struct Sought {
    /// `None`: none below the limit was found.
    pub found: Option<Selection>,
    /// Nothing costs less than this: the cost of what was found if that is proved to be the least, at least the limit if it is
    /// proved that nothing is below it, [`NEVER`] if it is proved that nothing holds at all.
    pub least: i64,
}

/// More than anything costs.
pub(super) const NEVER: i64 = i64::MAX;

impl Sought {
    pub const NOTHING: Self = Self { found: None, least: NEVER };

    /// What is proved to be the cheapest.
    pub fn proved(ways: Vec<WayId>, cost: i64) -> Self {
        Self { found: Some(Selection { ways, cost }), least: cost }
    }

    /// Only if it costs less than this.
    pub fn below(self, limit: i64) -> Self {
        Self { found: self.found.filter(|found| found.cost < limit), ..self }
    }
}

/// `offers`: of each member its ways in this placement, the cheapest first. Only selections that cost less than the limit are of
/// interest.
pub(super) fn cheapest(recoveries: &Recoveries<'_>, offers: &[Vec<Offer>], home: usize, limit: i64) -> Sought {
    let mut ways = Vec::with_capacity(offers.len());
    let mut cost = 0_i64;
    for offers in offers {
        let Some((least, way)) = offers.first() else { return Sought::NOTHING };
        cost = cost.saturating_add(*least);
        ways.push(*way);
    }
    if cost >= limit {
        return Sought { found: None, least: cost };
    }
    let missed = |ways: &[WayId]| recoveries.deadlines.iter().any(|node| !recoveries.holds(*node, ways, home));
    if !missed(&ways) {
        return Sought::proved(ways, cost);
    }
    let mut searches = Vec::new();
    for piece in pieces(recoveries, offers.len()) {
        let Some(search) = Search::new(recoveries, offers, home, piece) else { return Sought::NOTHING };
        searches.push(search);
    }
    // What each piece costs at least beyond its cheapest ways.
    let mut excess: Vec<i64> = searches.iter().map(Search::excess).collect();
    let mut least = cost;
    for at in 0..searches.len() {
        let others: i64 = excess.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, excess)| excess).sum();
        let search = &mut searches[at];
        let sought = search.below(limit.saturating_sub(cost).saturating_sub(others));
        let Some(found) = sought.found else {
            let least = sought.least.saturating_add(cost).saturating_add(others);
            return Sought { found: None, least };
        };
        excess[at] = found.cost;
        least = least.saturating_add(sought.least);
        for (member, way) in search.members().iter().zip(found.ways) {
            ways[*member] = way;
        }
    }
    Sought { found: Some(Selection { ways, cost: cost + excess.iter().sum::<i64>() }), least }
}

/// Members that depend on each other, in a sensible order.
pub(super) struct Piece {
    /// All of them, what is needed first.
    pub members: Vec<usize>,
    /// Those with something to hold, what stands behind few first.
    pub deadlines: Vec<usize>,
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
            let deadlines = members.iter().copied().filter(|member| recoveries.deadlines.contains(member)).collect();
            Piece { members, deadlines }
        })
        .collect()
}
