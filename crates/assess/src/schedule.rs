//! The cheapest way for parts that depend on each other to be ready in time: exact.
//!
//! Each part has options of a cost and two durations: what it does alone, from the beginning on, and what it does after that
//! and after the last of what it needs is ready. Choose an option for each so that everybody meets the own deadline and the
//! sum of costs is least: the discrete time-cost trade-off problem. It is hard in general and easy in practice, because most
//! parts are never in each other's way:
//!
//! 1. options that can never be in time are dropped, and so are dependencies that can never bind;
//! 2. what is left falls into pieces that have nothing to do with each other;
//! 3. a piece is solved by branching on its best connected source or sink: a source's option fixes when those that need it
//!    can start, a sink's option fixes until when what it needs must be ready; either way it leaves the piece, which
//!    falls apart further. Pieces that come up again are remembered.

use std::collections::HashMap;

/// A part.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// What can be chosen; the order is kept in the answer.
    pub options: Vec<Cost>,
    /// Indices of the parts that must be ready first.
    pub needs: Vec<usize>,
    /// When it must be ready, in ms; `None`: whenever.
    pub deadline: Option<u64>,
}

/// An option of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// What it costs.
    pub cost: i64,
    /// How long it takes.
    pub takes: Takes,
}

/// How long an option takes, in ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Takes {
    /// Beside whatever it needs, from the beginning on.
    pub alone: u64,
    /// After that, and after what it needs is ready.
    pub after: u64,
}

impl Takes {
    /// When it is ready if what it needs is ready at `start`.
    pub fn ready(self, start: u64) -> u64 {
        start.max(self.alone).saturating_add(self.after)
    }

    /// By when what it needs must be ready, so that it is itself by `ready`; `None`: it cannot be.
    pub fn latest_start(self, ready: u64) -> Option<u64> {
        (self.alone.saturating_add(self.after) <= ready).then(|| ready - self.after)
    }
}

/// The cheapest way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solution {
    /// The chosen option of each part.
    pub chosen: Vec<usize>,
    /// The sum of costs.
    pub cost: i64,
    /// Whether this is proved to be the least; `false` only when the bound on branchings was reached.
    pub proved: bool,
}

/// Bound on the branchings of one problem. Beyond it the best that was found is returned, and said not to be proved.
const STEPS: usize = 300_000;

/// No deadline.
const NEVER: u64 = u64::MAX / 4;

/// Solves; `None`: there is no way, or the needs form a cycle.
pub fn solve(parts: &[Part]) -> Option<Solution> {
    let order = order_of(parts)?;
    let mut consumers = vec![Vec::new(); parts.len()];
    for (index, part) in parts.iter().enumerate() {
        for need in &part.needs {
            consumers[*need].push(index);
        }
    }
    let windows = windows(parts, &consumers, &order)?;
    let options = useful_options(parts, &windows)?;
    let nodes = prune_edges(parts, &consumers, &order, options, &windows);
    let mut search = Search { nodes: &nodes, memo: HashMap::new(), steps: 0, proved: true };
    let all: Vec<u32> = (0..nodes.len()).map(|index| u32::try_from(index).unwrap_or(u32::MAX)).collect();
    let mut chosen = vec![0; parts.len()];
    let mut cost = 0;
    for piece in search.pieces(&all) {
        let bounds: Vec<(u64, u64)> = piece.iter().map(|index| (0, nodes[*index as usize].deadline)).collect();
        let (piece_cost, picks) = search.piece(&piece, &bounds)?;
        cost = piece_cost.saturating_add(cost);
        for (index, option) in picks {
            chosen[index as usize] = option;
        }
    }
    Some(Solution { chosen, cost, proved: search.proved })
}

fn order_of(parts: &[Part]) -> Option<Vec<usize>> {
    let needs: Vec<&[usize]> = parts.iter().map(|part| part.needs.as_slice()).collect();
    topological(&needs)
}

/// When each part can be ready at best, and by when it must at worst.
struct Windows {
    earliest_start: Vec<u64>,
    latest_ready: Vec<u64>,
}

/// Indices in an order in which what is needed comes first; `None`: the needs form a cycle or point nowhere.
pub fn topological(needs: &[&[usize]]) -> Option<Vec<usize>> {
    let mut waiting: Vec<usize> = needs.iter().map(|needs| needs.len()).collect();
    let mut consumers = vec![Vec::new(); needs.len()];
    for (index, needs) in needs.iter().enumerate() {
        for need in *needs {
            consumers.get_mut(*need)?.push(index);
        }
    }
    let mut order: Vec<usize> = (0..needs.len()).filter(|index| waiting[*index] == 0).collect();
    let mut next = 0;
    while let Some(index) = order.get(next).copied() {
        next += 1;
        for consumer in &consumers[index] {
            waiting[*consumer] -= 1;
            if waiting[*consumer] == 0 {
                order.push(*consumer);
            }
        }
    }
    (order.len() == needs.len()).then_some(order)
}

fn windows(parts: &[Part], consumers: &[Vec<usize>], order: &[usize]) -> Option<Windows> {
    let mut earliest_start = vec![0; parts.len()];
    let mut earliest_ready = vec![0; parts.len()];
    for index in order {
        let start = parts[*index].needs.iter().map(|need| earliest_ready[*need]).max().unwrap_or(0);
        earliest_start[*index] = start;
        earliest_ready[*index] = parts[*index].options.iter().map(|option| option.takes.ready(start)).min()?;
    }
    let mut latest_ready = vec![NEVER; parts.len()];
    for index in order.iter().rev() {
        let mut latest = parts[*index].deadline.unwrap_or(NEVER).min(NEVER);
        for consumer in &consumers[*index] {
            let options = parts[*consumer].options.iter();
            let start = options.filter_map(|option| option.takes.latest_start(latest_ready[*consumer])).max()?;
            latest = latest.min(start);
        }
        latest_ready[*index] = latest;
        if earliest_ready[*index] > latest {
            return None;
        }
    }
    Some(Windows { earliest_start, latest_ready })
}

/// Of each part the options that can be in time, cheapest first, without those that another beats in every respect.
fn useful_options(parts: &[Part], windows: &Windows) -> Option<Vec<Vec<(Cost, usize)>>> {
    let mut all = Vec::with_capacity(parts.len());
    for (index, part) in parts.iter().enumerate() {
        let mut options: Vec<(Cost, usize)> = part
            .options
            .iter()
            .enumerate()
            .filter(|(_, option)| option.takes.ready(windows.earliest_start[index]) <= windows.latest_ready[index])
            .map(|(number, option)| (*option, number))
            .collect();
        options.sort_by_key(|(option, number)| (option.cost, option.takes, *number));
        let mut kept: Vec<Takes> = Vec::new();
        options.retain(|(Cost { takes, .. }, _)| {
            let beaten = kept.iter().any(|other| other.alone <= takes.alone && other.after <= takes.after);
            if !beaten {
                kept.push(*takes);
            }
            !beaten
        });
        if options.is_empty() {
            return None;
        }
        all.push(options);
    }
    Some(all)
}

struct Node {
    options: Vec<(Cost, usize)>,
    needs: Vec<u32>,
    consumers: Vec<u32>,
    deadline: u64,
}

/// Drops the dependencies that hold even if every part takes its slowest option.
fn prune_edges(
    parts: &[Part],
    consumers: &[Vec<usize>],
    order: &[usize],
    options: Vec<Vec<(Cost, usize)>>,
    windows: &Windows,
) -> Vec<Node> {
    let slowest: Vec<u64> =
        options.iter().map(|options| options.iter().map(|(option, _)| option.takes.after).max().unwrap_or(0)).collect();
    let mut latest_finish = vec![0; parts.len()];
    for index in order {
        let start = parts[*index].needs.iter().map(|need| latest_finish[*need]).max().unwrap_or(0);
        latest_finish[*index] =
            options[*index].iter().map(|(option, _)| option.takes.ready(start)).max().unwrap_or(start);
    }
    let mut always_fine = vec![NEVER; parts.len()];
    for index in order.iter().rev() {
        let own = parts[*index].deadline.unwrap_or(NEVER).min(NEVER);
        let downstream =
            consumers[*index].iter().map(|consumer| always_fine[*consumer].saturating_sub(slowest[*consumer]));
        always_fine[*index] = downstream.min().unwrap_or(NEVER).min(own);
    }
    let binds = |need: usize, consumer: usize| {
        latest_finish[need] + slowest[consumer] > always_fine[consumer] && windows.latest_ready[consumer] < NEVER
    };
    let narrow = |indices: &mut dyn Iterator<Item = usize>| -> Vec<u32> {
        indices.map(|index| u32::try_from(index).unwrap_or(u32::MAX)).collect()
    };
    options
        .into_iter()
        .enumerate()
        .map(|(index, options)| Node {
            options,
            needs: narrow(&mut parts[index].needs.iter().copied().filter(|need| binds(*need, index))),
            consumers: narrow(&mut consumers[index].iter().copied().filter(|consumer| binds(index, *consumer))),
            deadline: parts[index].deadline.unwrap_or(NEVER).min(NEVER),
        })
        .collect()
}

type Picks = Vec<(u32, usize)>;
type Answer = Option<(i64, Picks)>;
/// The members of a piece and their bounds.
type Question = (Vec<u32>, Vec<(u64, u64)>);

struct Search<'a> {
    nodes: &'a [Node],
    memo: HashMap<Question, Answer>,
    steps: usize,
    proved: bool,
}

impl Search<'_> {
    /// Splits ascending indices into those that depend on each other.
    fn pieces(&self, members: &[u32]) -> Vec<Vec<u32>> {
        let mut position: HashMap<u32, usize> = members.iter().enumerate().map(|(at, index)| (*index, at)).collect();
        let mut pieces = Vec::new();
        for first in members {
            if position.remove(first).is_none() {
                continue;
            }
            let mut piece = vec![*first];
            let mut next = 0;
            while let Some(index) = piece.get(next).copied() {
                next += 1;
                let node = &self.nodes[index as usize];
                for neighbour in node.needs.iter().chain(&node.consumers) {
                    if position.remove(neighbour).is_some() {
                        piece.push(*neighbour);
                    }
                }
            }
            piece.sort_unstable();
            pieces.push(piece);
        }
        pieces
    }

    /// The cheapest way for a connected piece; `bounds` are for each member when it can start and when it must be ready.
    fn piece(&mut self, piece: &[u32], bounds: &[(u64, u64)]) -> Answer {
        if let ([only], [(start, ready)]) = (piece, bounds) {
            let (option, number) =
                self.nodes[*only as usize].options.iter().find(|(option, _)| option.takes.ready(*start) <= *ready)?;
            return Some((option.cost, vec![(*only, *number)]));
        }
        let key = (piece.to_vec(), bounds.to_vec());
        if let Some(known) = self.memo.get(&key) {
            return known.clone();
        }
        let answer = self.branch(piece, bounds);
        self.memo.insert(key, answer.clone());
        answer
    }

    fn branch(&mut self, piece: &[u32], bounds: &[(u64, u64)]) -> Answer {
        let at = |index: u32| piece.binary_search(&index).ok();
        let inside = |list: &[u32]| list.iter().filter(|index| at(**index).is_some()).count();
        let (place, is_source) = (0..piece.len())
            .filter_map(|place| {
                let node = &self.nodes[piece[place] as usize];
                let (needs, consumers) = (inside(&node.needs), inside(&node.consumers));
                match (needs, consumers) {
                    (0, degree) => Some((degree, place, true)),
                    (degree, 0) => Some((degree, place, false)),
                    _ => None,
                }
            })
            .max_by_key(|(degree, place, _)| (*degree, std::cmp::Reverse(*place)))
            .map(|(_, place, is_source)| (place, is_source))?;
        let pivot = piece[place];
        let (start, ready) = bounds[place];
        let mut best: Answer = None;
        let node = &self.nodes[pivot as usize];
        for (option, number) in &node.options {
            let Some(latest_start) = option.takes.latest_start(ready).filter(|latest| start <= *latest) else {
                continue;
            };
            if self.steps >= STEPS && best.is_some() {
                self.proved = false;
                break;
            }
            self.steps += 1;
            let mut rest = piece.to_vec();
            rest.remove(place);
            let mut rest_bounds = bounds.to_vec();
            rest_bounds.remove(place);
            let neighbours = if is_source { &node.consumers } else { &node.needs };
            for neighbour in neighbours {
                let Ok(at) = rest.binary_search(neighbour) else { continue };
                let (neighbour_start, neighbour_ready) = &mut rest_bounds[at];
                if is_source {
                    *neighbour_start = (*neighbour_start).max(option.takes.ready(start));
                } else {
                    *neighbour_ready = (*neighbour_ready).min(latest_start);
                }
            }
            let limit = best.as_ref().map_or(i64::MAX, |(cost, _)| *cost);
            if let Some((cost, mut picks)) = self.rest(&rest, &rest_bounds, limit.saturating_sub(option.cost)) {
                let cost = option.cost.saturating_add(cost);
                if cost < limit {
                    picks.push((pivot, *number));
                    best = Some((cost, picks));
                }
            }
        }
        best
    }

    /// The cheapest way for what is left, if it may cost less than `limit`.
    fn rest(&mut self, members: &[u32], bounds: &[(u64, u64)], limit: i64) -> Answer {
        let mut least = 0;
        for (index, (start, ready)) in members.iter().zip(bounds) {
            let (option, _) =
                self.nodes[*index as usize].options.iter().find(|(option, _)| option.takes.ready(*start) <= *ready)?;
            least = option.cost.saturating_add(least);
        }
        if least >= limit {
            return None;
        }
        let mut total = 0;
        let mut picks = Vec::with_capacity(members.len());
        for piece in self.pieces(members) {
            let bounds: Vec<(u64, u64)> =
                piece.iter().filter_map(|index| members.binary_search(index).ok()).map(|at| bounds[at]).collect();
            let (cost, mut more) = self.piece(&piece, &bounds)?;
            total = cost.saturating_add(total);
            picks.append(&mut more);
        }
        Some((total, picks))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn brute_force(parts: &[Part]) -> Option<i64> {
        let order = order_of(parts)?;
        let mut best: Option<i64> = None;
        let mut chosen = vec![0; parts.len()];
        loop {
            let mut ready = vec![0; parts.len()];
            let mut cost = 0;
            let mut fine = true;
            for index in &order {
                let option = parts[*index].options[chosen[*index]];
                let start = parts[*index].needs.iter().map(|need| ready[*need]).max().unwrap_or(0);
                ready[*index] = option.takes.ready(start);
                fine &= parts[*index].deadline.is_none_or(|deadline| ready[*index] <= deadline);
                cost += option.cost;
            }
            if fine {
                best = Some(best.map_or(cost, |best| best.min(cost)));
            }
            let Some(place) = (0..parts.len()).find(|place| chosen[*place] + 1 < parts[*place].options.len()) else {
                return best;
            };
            chosen[place] += 1;
            chosen[..place].fill(0);
        }
    }

    fn problem() -> impl Strategy<Value = Vec<Part>> {
        proptest::collection::vec(
            (
                proptest::collection::vec((0_i64..20, 0_u64..12, 0_u64..12), 1..4),
                proptest::collection::vec(any::<bool>(), 7),
                proptest::option::weighted(0.6, 3_u64..30),
            ),
            1..7,
        )
        .prop_map(|parts| {
            parts
                .into_iter()
                .enumerate()
                .map(|(index, (options, needs, deadline))| Part {
                    options: options
                        .into_iter()
                        .map(|(cost, alone, after)| Cost { cost, takes: Takes { alone, after } })
                        .collect(),
                    needs: (0..index).filter(|need| needs[*need]).collect(),
                    deadline,
                })
                .collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1500))]
        #[test]
        fn nothing_cheaper_is_found_by_trying_everything(parts in problem()) {
            let solution = solve(&parts);
            prop_assert_eq!(solution.as_ref().map(|solution| solution.cost), brute_force(&parts));
            if let Some(solution) = solution {
                prop_assert!(solution.proved);
                let order = order_of(&parts).unwrap();
                let mut ready = vec![0; parts.len()];
                let mut cost = 0;
                for index in order {
                    let option = parts[index].options[solution.chosen[index]];
                    ready[index] =
                        option.takes.ready(parts[index].needs.iter().map(|need| ready[*need]).max().unwrap_or(0));
                    prop_assert!(parts[index].deadline.is_none_or(|deadline| ready[index] <= deadline));
                    cost += option.cost;
                }
                prop_assert_eq!(cost, solution.cost);
            }
        }
    }

    fn part(options: &[(i64, u64)], needs: &[usize], deadline: Option<u64>) -> Part {
        Part {
            options: options
                .iter()
                .map(|(cost, after)| Cost { cost: *cost, takes: Takes { alone: 0, after: *after } })
                .collect(),
            needs: needs.to_vec(),
            deadline,
        }
    }

    #[test]
    fn one_database_under_ten_thousand_services_is_solved_exactly() {
        let mut parts = vec![part(&[(10, 300), (400, 5)], &[], None)];
        parts.extend((0..10_000).map(|_| part(&[(1, 100), (2, 10)], &[0], Some(320))));
        let solution = solve(&parts).unwrap();
        assert!(solution.proved);
        assert_eq!(solution.cost, 400 + 10_000, "a fast database is cheaper than ten thousand fast services");
    }

    #[test]
    fn a_gateway_over_many_databases_with_two_services_each_is_solved_exactly() {
        let mut parts = Vec::new();
        for _ in 0..1000 {
            let database = parts.len();
            parts.push(part(&[(1, 50), (5, 10)], &[], None));
            parts.push(part(&[(1, 50), (3, 10)], &[database], None));
            parts.push(part(&[(1, 50), (3, 10)], &[database], None));
        }
        let services: Vec<usize> = (0..parts.len()).filter(|index| index % 3 != 0).collect();
        parts.push(part(&[(1, 50), (100, 10)], &services, Some(120)));
        let solution = solve(&parts).unwrap();
        assert!(solution.proved);
        assert_eq!(solution.cost, 1000 * 3 + 100, "a fast gateway leaves everything below it slow");
    }

    #[test]
    fn a_long_chain_is_solved_exactly() {
        let parts: Vec<Part> = (0..200)
            .map(|index: usize| {
                part(
                    &[(1, 2), (2, 1)],
                    &index.checked_sub(1).into_iter().collect::<Vec<_>>(),
                    (index == 199).then_some(300),
                )
            })
            .collect();
        let solution = solve(&parts).unwrap();
        assert!(solution.proved);
        assert_eq!(solution.cost, 200 + 100);
    }

    #[test]
    fn a_cycle_or_a_missing_part_has_no_solution() {
        assert_eq!(solve(&[part(&[(1, 1)], &[1], None), part(&[(1, 1)], &[0], None)]), None);
        assert_eq!(solve(&[part(&[(1, 1)], &[7], None)]), None);
        assert_eq!(solve(&[]).map(|solution| solution.cost), Some(0));
    }
}
