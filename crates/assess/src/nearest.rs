//! What comes nearest to demands that cannot hold together: those that are given up are still held as well as they can be.
//!
//! First what may be lost, then how long it takes. Each is one limit for all that are concerned, never tighter than what was
//! demanded, pressed until there is no solution any more; then component by component, as far as the others allow. So nothing that
//! is given up could be better without something else getting worse, but for [`STEP`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lifeboat_model::app::Objectives;
use lifeboat_model::{App, ComponentId};

use crate::choice::{Setting, choices};
use crate::optimise::{Constraint, Outcome, Placed, Task, is_possible, is_possible_at_once, objectives, optimise_only};

/// A larger group gets the cheapest of what comes near, not the quickest: pressing it would take minutes.
const PRESSED: usize = 300;
/// Up to so many demands that are given up, each is pressed by itself, too.
const SINGLY: usize = 24;
/// In groups up to so large it is searched for a solution; in larger ones it is judged by the quickest that each component can do.
const SEARCHED: usize = 24;
/// Where the cheapest within the limits of a larger group is not found, they are loosened by half so often.
const LOOSENED: u32 = 12;
/// How near to the least an RTO is found: within a second, and within a hundredth of it.
const STEP: Step = Step { most_ms: 1000, share: 100 };
/// Where the search for an RTO begins at most, in ms.
const LONGEST_MS: u64 = 90 * 86_400_000;

struct Step {
    most_ms: u64,
    share: u64,
}

impl Step {
    /// How much less than this is no matter, in ms.
    fn below(&self, ms: u64) -> u64 {
        (ms / self.share).clamp(1, self.most_ms)
    }
}

/// The nearest to the contradictory demands of a group: from dear and quick to cheap and slow. First those of the set are given
/// up, then all RTOs too, then all RPOs, at last everything.
pub(crate) fn nearest(
    task: &Task<'_>,
    group: &[ComponentId],
    set: &[Constraint],
) -> Option<BTreeMap<ComponentId, Placed>> {
    let all = |of: fn(ComponentId) -> Constraint| group.iter().cloned().map(of).collect::<Vec<_>>();
    let (rtos, rpos) = (all(Constraint::Rto), all(Constraint::Rpo));
    let pins = group.iter().cloned().flat_map(|id| {
        [
            Constraint::Pattern(id.clone()),
            Constraint::Standbys(id.clone()),
            Constraint::Writer(id.clone()),
            Constraint::Instances(id.clone()),
            Constraint::Regions(id),
        ]
    });
    let availability = all(Constraint::Availability);
    let attempts: [Vec<Constraint>; 4] = [
        set.to_vec(),
        set.iter().cloned().chain(rtos.clone()).collect(),
        set.iter().cloned().chain(rpos.clone()).collect(),
        rtos.into_iter().chain(rpos).chain(pins).chain(availability).chain([Constraint::Residency]).collect(),
    ];
    attempts.into_iter().find_map(|relaxed| pressed(task, group, &relaxed.into_iter().collect()))
}

/// The cheapest solution that holds what is given up as well as it can be.
fn pressed(
    task: &Task<'_>,
    group: &[ComponentId],
    relaxed: &BTreeSet<Constraint>,
) -> Option<BTreeMap<ComponentId, Placed>> {
    let loosest = optimise_only(&Task { relaxed, ..*task }, group)?;
    let given_up = |of: fn(ComponentId) -> Constraint| -> Vec<ComponentId> {
        group.iter().filter(|id| relaxed.contains(&of((*id).clone()))).cloned().collect()
    };
    let (slow, lossy) = (given_up(Constraint::Rto), given_up(Constraint::Rpo));
    if slow.is_empty() && lossy.is_empty() || group.len() > PRESSED {
        return Some(loosest.placed);
    }
    let mut press = Press::new(task, group, relaxed);
    press.losses(&lossy);
    press.times(&slow);
    Some(press.found(&slow).unwrap_or(loosest).placed)
}

/// A group with limits in place of the demands that were given up.
struct Press<'a> {
    task: &'a Task<'a>,
    group: &'a [ComponentId],
    /// The app with the limits as its objectives.
    app: App,
    /// What was given up and has no limit: anything but times and losses.
    relaxed: BTreeSet<Constraint>,
    wanted: BTreeMap<ComponentId, Objectives>,
}

impl<'a> Press<'a> {
    fn new(task: &'a Task<'a>, group: &'a [ComponentId], relaxed: &BTreeSet<Constraint>) -> Self {
        let whole = task.setting.app;
        let mut app = whole.clone();
        let mut wanted = BTreeMap::new();
        for id in group {
            let (Some(of), Some(component)) = (whole.components.get(id), app.components.get_mut(id)) else { continue };
            component.objectives = objectives(whole, of);
            wanted.insert(id.clone(), component.objectives.clone());
            if relaxed.contains(&Constraint::Rto(id.clone())) {
                component.objectives.rto = None;
            }
            if relaxed.contains(&Constraint::Rpo(id.clone())) {
                component.objectives.rpo = None;
            }
        }
        app.objectives = Objectives { cost: whole.objectives.cost.clone(), ..Objectives::default() };
        let unlimited = |one: &&Constraint| !matches!(one, Constraint::Rto(_) | Constraint::Rpo(_));
        let relaxed = relaxed.iter().filter(unlimited).cloned().collect();
        Self { task, group, app, relaxed, wanted }
    }

    fn with<T>(&self, ask: impl FnOnce(&Task<'_>) -> T) -> T {
        let setting = Setting { app: &self.app, ..self.task.setting };
        ask(&Task { setting, relaxed: &self.relaxed, ..*self.task })
    }

    fn cheapest(&self) -> Option<Outcome> {
        self.with(|task| optimise_only(task, self.group))
    }

    /// Whether there is a solution within the limits.
    fn holds(&self) -> bool {
        let of = if self.group.len() > SEARCHED { is_possible_at_once } else { is_possible };
        self.with(|task| of(task, self.group))
    }

    /// The cheapest within the limits on times, or where it is not found, within looser ones.
    fn found(&mut self, slow: &[ComponentId]) -> Option<Outcome> {
        for _ in 0..LOOSENED {
            if let Some(outcome) = self.cheapest() {
                return Some(outcome);
            }
            for id in slow {
                let rto = self.objectives(id).rto.map(|rto| rto * 3 / 2);
                self.set(id, rto, |objectives| &mut objectives.rto);
            }
        }
        None
    }

    /// Sets limits, in ms, none tighter than what was demanded; tells whether there is a solution, and where there is none takes
    /// them back.
    fn try_limit(&mut self, ids: &[ComponentId], ms: u64, of: fn(&mut Objectives) -> &mut Option<Duration>) -> bool {
        let before: Vec<Option<Duration>> = ids.iter().map(|id| *of(&mut self.objectives(id))).collect();
        for id in ids {
            let wanted = self.wanted.get_mut(id).and_then(|wanted| *of(wanted)).unwrap_or_default();
            self.set(id, Some(Duration::from_millis(ms).max(wanted)), of);
        }
        let holds = self.holds();
        if !holds {
            ids.iter().zip(before).for_each(|(id, before)| self.set(id, before, of));
        }
        holds
    }

    fn objectives(&self, id: &ComponentId) -> Objectives {
        self.app.components.get(id).map(|component| component.objectives.clone()).unwrap_or_default()
    }

    fn set(&mut self, id: &ComponentId, limit: Option<Duration>, of: fn(&mut Objectives) -> &mut Option<Duration>) {
        if let Some(component) = self.app.components.get_mut(id) {
            *of(&mut component.objectives) = limit;
        }
    }

    /// Losses are few: those of the ways that the kinds have.
    fn losses(&mut self, lossy: &[ComponentId]) {
        let mut ways: BTreeSet<u64> = BTreeSet::new();
        for id in lossy {
            let Some(component) = self.app.components.get(id) else { continue };
            ways.extend(choices(self.task.setting, id, component).iter().map(crate::choice::Choice::planned_loss_ms));
        }
        let ways: Vec<u64> = ways.into_iter().collect();
        let mut press = |ids: &[ComponentId]| {
            let (mut low, mut high) = (0, ways.len());
            while low < high {
                let middle = low.midpoint(high);
                if self.try_limit(ids, ways[middle], |objectives| &mut objectives.rpo) {
                    high = middle;
                } else {
                    low = middle + 1;
                }
            }
        };
        if !lossy.is_empty() {
            press(lossy);
        }
        if (2..=SINGLY).contains(&lossy.len()) {
            lossy.iter().for_each(|id| press(std::slice::from_ref(id)));
        }
    }

    fn times(&mut self, slow: &[ComponentId]) {
        if slow.is_empty() {
            return;
        }
        let all = self.least(slow, LONGEST_MS, LONGEST_MS / 4);
        if (2..=SINGLY).contains(&slow.len()) {
            for id in slow {
                // What is pressed as far as all allow can mostly not be pressed further by itself: that is asked first.
                self.least(std::slice::from_ref(id), all, all - STEP.below(all));
            }
        }
    }

    /// The least limit of these, in ms, below one that there is a solution for; `first` is tried first.
    fn least(&mut self, ids: &[ComponentId], known: u64, first: u64) -> u64 {
        let (mut low, mut high, mut probe) = (0, known, first);
        while high - low > STEP.below(high) {
            if self.try_limit(ids, probe, |objectives| &mut objectives.rto) {
                high = probe;
            } else {
                low = probe;
            }
            // By orders of magnitude while nothing is known from below, then by halves.
            probe = if low == 0 { high / 4 } else { low.midpoint(high) };
        }
        high
    }
}
