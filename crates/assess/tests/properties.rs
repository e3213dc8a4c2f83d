//! Properties of the optimiser on small random files, against trying everything.

#![allow(clippy::unwrap_used, reason = "helpers may unwrap as the tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lifeboat_assess::choice::{Carriage, Choice, Setting, TargetRule, alone, choices};
use lifeboat_assess::draw::Draws;
use lifeboat_assess::optimise::{EFFORT, Placed, Task, objectives, optimise, quickest};
use lifeboat_assess::predict::predict;
use lifeboat_assess::report::Standing;
use lifeboat_assess::site::{Ground, declared, may_be_in};
use lifeboat_assess::tariff::{Tariff, micro_usd};
use lifeboat_assess::{History, Inputs, assess};
use lifeboat_atlas::Atlas;
use lifeboat_model::App;
use lifeboat_model::ComponentId;
use proptest::prelude::*;

const PLACES: [&str; 6] =
    ["aws/eu-north-1", "aws/eu-central-1", "aws/eu-west-1", "aws/us-east-1", "azure/westeurope", "azure/northeurope"];
const KINDS: [&str; 6] = ["postgres", "rds", "dynamodb", "asg", "process", "deployment"];
/// Also such as are near what recoveries take, where it depends on the single draw what holds.
const RTOS: [&str; 16] =
    ["20s", "40s", "100s", "2m", "150s", "3m", "4m", "6m", "10m", "20m", "25m", "30m", "45m", "4h", "10h", "72h"];
const RPOS: [&str; 4] = ["0s", "10s", "10m", "24h"];

/// Kind, needs, count, RTO and RPO.
type Drawn = (usize, Vec<bool>, u32, Option<usize>, Option<usize>);

#[derive(Clone, Debug)]
struct Case {
    places: Vec<usize>,
    components: Vec<Drawn>,
}

fn cases(most_components: usize, most_places: usize) -> impl Strategy<Value = Case> {
    let component = (
        0..KINDS.len(),
        proptest::collection::vec(any::<bool>(), most_components),
        1_u32..4,
        proptest::option::of(0..RTOS.len()),
        proptest::option::of(0..RPOS.len()),
    );
    (
        proptest::sample::subsequence((0..PLACES.len()).collect::<Vec<_>>(), 2..=most_places),
        proptest::collection::vec(component, 1..=most_components),
    )
        .prop_map(|(places, components)| Case { places, components })
}

fn app(case: &Case) -> App {
    let mut text = String::from("app: small\nfailover: {mode: approve}\nregions:\n");
    for place in &case.places {
        text += &format!("  r{place}: {{place: {}}}\n", PLACES[*place]);
    }
    text += "components:\n";
    for (number, (kind, ..)) in case.components.iter().enumerate() {
        text += &format!("  c{number}: {{kind: {}, port: {}}}\n", KINDS[*kind], 1000 + number);
    }
    // What the parser would object to in a random file (a run line, a writer) is of no matter here: a skeleton is parsed, and
    // the rest is set on the data.
    let skeleton = text.replace("kind: process,", "kind: process, run: x,");
    let mut app = lifeboat_model::parse(&skeleton).unwrap_or_else(|problems| panic!("{problems:#?}"));
    for (number, (kind, needs, count, rto, rpo)) in case.components.iter().enumerate() {
        let component = app.components.get_mut(format!("c{number}").as_str()).unwrap();
        component.needs =
            (0..number).filter(|need| needs[*need]).map(|need| ComponentId::from(format!("c{need}"))).collect();
        component.size.count = Some(*count);
        component.size.instance = match KINDS[*kind] {
            "rds" => Some("db.r6g.large".into()),
            "dynamodb" => None,
            _ => Some("m6g.large".into()),
        };
        component.size.storage = Some(10_000_000_000 * u64::from(*count));
        component.size.writes_per_day = Some(1_000_000_000);
        component.objectives.rto = rto.map(|at| lifeboat_model::quantity::parse_duration(RTOS[at]).unwrap());
        component.objectives.rpo = rpo.map(|at| lifeboat_model::quantity::parse_duration(RPOS[at]).unwrap());
    }
    app
}

fn draws(app: &App) -> Draws {
    Inputs::new(Atlas::embedded()).draws(app)
}

/// The cost of the cheapest solution of every group; `None` for those without one.
fn costs(app: &App) -> (Vec<Vec<ComponentId>>, i64, bool) {
    let atlas = Atlas::embedded();
    let history = History::default();
    let ground = Ground::new(atlas, atlas.prices(), declared(app));
    let nothing = BTreeSet::new();
    let draws = draws(app);
    let outcome = optimise(&Task {
        setting: Setting { atlas, app, history: &history },
        ground: &ground,
        relaxed: &nothing,
        keep_pins: true,
        draws: &draws,
        together: true,
        within: None,
        effort: EFFORT,
    });
    (outcome.impossible.clone(), outcome.cost, outcome.is_proved())
}

/// A candidate: what is chosen for each component, and the home, the target and the third region.
type Candidate = (i64, Vec<usize>, Regions);

/// Every home, target, third region and combination of choices of the whole app placed together, by cost; the first whose
/// recoveries, as they are predicted along the plan, hold every objective.
fn brute_force(app: &App) -> Option<i64> {
    let atlas = Atlas::embedded();
    let history = History::default();
    let setting = Setting { atlas, app, history: &history };
    let ground = Ground::new(atlas, atlas.prices(), declared(app));
    let draws = draws(app);
    let ids: Vec<&ComponentId> = app.components.keys().collect();
    let all: Vec<Vec<Choice>> = ids.iter().map(|id| choices(setting, id, &app.components[*id])).collect();
    let mut candidates: Vec<Candidate> = Vec::new();
    for_each_candidate(&ground, &all, |picks, regions| {
        let cost = priced(app, setting, &ground, &ids, &all, picks, regions);
        candidates.extend(cost.map(|cost| (cost, picks.to_vec(), regions)));
        None::<()>
    });
    candidates.sort();
    // How long it takes does not depend on the regions here: no file of these has standbys that need not confirm.
    let mut known: BTreeMap<Vec<usize>, bool> = BTreeMap::new();
    let first = candidates.into_iter().find(|(_, picks, regions)| {
        *known.entry(picks.clone()).or_insert_with(|| {
            let predictions = predict(setting, &ground, &placed(&ids, &all, picks, *regions), &draws);
            predictions.values().all(|prediction| prediction.misses_rto.is_none_or(|share| share <= 0.05 + 1e-9))
        })
    });
    first.map(|(cost, ..)| cost)
}

/// Of all placements one that is better in something that is given up (a component's RTO, else its RPO) than what was found, no
/// worse in the rest of it, and that holds everything else; what it has.
fn nearer(app: &App, given_up: &[(&str, bool)], found: &[f64]) -> Option<Vec<f64>> {
    let atlas = Atlas::embedded();
    let history = History::default();
    let mut free = app.clone();
    for (of, rto) in given_up {
        let objectives = &mut free.components.get_mut(*of).unwrap().objectives;
        if *rto { objectives.rto = None } else { objectives.rpo = None }
    }
    let setting = Setting { atlas, app: &free, history: &history };
    let ground = Ground::new(atlas, atlas.prices(), declared(app));
    let draws = draws(app);
    let ids: Vec<&ComponentId> = free.components.keys().collect();
    let all: Vec<Vec<Choice>> = ids.iter().map(|id| choices(setting, id, &free.components[*id])).collect();
    let mut looked: BTreeSet<Vec<usize>> = BTreeSet::new();
    for_each_candidate(&ground, &all, |picks, (home, target, third)| {
        // How long it takes and what is lost does not depend on the regions here.
        if looked.contains(picks) {
            return None;
        }
        priced(&free, setting, &ground, &ids, &all, picks, (home, target, third))?;
        looked.insert(picks.to_vec());
        let placed = placed(&ids, &all, picks, (home, target, third));
        let predictions = predict(setting, &ground, &placed, &draws);
        let held =
            predictions.values().all(|prediction| prediction.misses_rto.is_none_or(|share| share <= 0.05 + 1e-9));
        let has: Vec<f64> = given_up
            .iter()
            .map(|(of, rto)| {
                let prediction = &predictions[*of];
                if *rto { prediction.rto.p95 } else { prediction.rpo.p95 }
            })
            .collect();
        // To the second, and to a hundredth.
        let near = |found: f64| (found / 100.0).min(1.0) + 1e-6;
        let no_worse = has.iter().zip(found).all(|(has, found)| *has <= found + 1e-9);
        let better = has.iter().zip(found).any(|(has, found)| *has < found - near(*found));
        (held && no_worse && better).then_some(has)
    })
}

/// A home, a target and a third region.
type Regions = (usize, usize, Option<usize>);

fn placed(
    ids: &[&ComponentId],
    all: &[Vec<Choice>],
    picks: &[usize],
    (home, target, third): Regions,
) -> BTreeMap<ComponentId, Placed> {
    let place = |(at, id): (usize, &&ComponentId)| {
        let choice = all[at][picks[at]].clone();
        let second = if choice.targets > 1 { third } else { None };
        let targets = std::iter::once(target).chain(second).collect();
        ((*id).clone(), Placed { choice, home, targets })
    };
    ids.iter().enumerate().map(place).collect()
}

/// Looks at every home, target, third region and combination of choices until something is found.
fn for_each_candidate<T>(
    ground: &Ground,
    all: &[Vec<Choice>],
    mut look: impl FnMut(&[usize], Regions) -> Option<T>,
) -> Option<T> {
    let sites = ground.sites.len();
    let apart = |a: usize, b: usize| a != b && ground.between(a, b).apart;
    for home in 0..sites {
        for target in 0..sites {
            for third in 0..=sites {
                let third = (third < sites).then_some(third);
                if !apart(home, target) || third.is_some_and(|third| !apart(home, third) || !apart(target, third)) {
                    continue;
                }
                let mut picks = vec![0; all.len()];
                loop {
                    if let Some(found) = look(&picks, (home, target, third)) {
                        return Some(found);
                    }
                    let Some(place) = (0..all.len()).find(|place| picks[*place] + 1 < all[*place].len()) else { break };
                    picks[place] += 1;
                    picks[..place].fill(0);
                }
            }
        }
    }
    None
}

/// What a candidate costs; `None`: it may not be there, or loses too much.
fn priced(
    app: &App,
    setting: Setting<'_>,
    ground: &Ground,
    ids: &[&ComponentId],
    all: &[Vec<Choice>],
    picks: &[usize],
    (home, target, third): Regions,
) -> Option<i64> {
    let mut cost = 0;
    for (at, id) in ids.iter().enumerate() {
        let component = &app.components[*id];
        let choice = &all[at][picks[at]];
        let wanted = objectives(app, component);
        let mut targets = vec![target];
        if choice.targets > 1 {
            targets.push(third?);
        }
        if component.kind.is_database()
            && wanted.rpo.is_some_and(|rpo| u128::from(choice.planned_loss_ms()) > rpo.as_millis())
        {
            return None;
        }
        let tariff = |site: usize| Tariff::of(setting.atlas.prices(), component, &ground.sites[site].place);
        may_be_in(setting.atlas, component, None, None, &ground.sites[home]).ok()?;
        cost += tariff(home).compare(&alone(component))
            + tariff(home).compare(&choice.at_home)
            + i64::from(choice.complexity);
        for site in targets {
            may_be_in(setting.atlas, component, None, None, &ground.sites[site]).ok()?;
            let between = ground.between(home, site);
            let fits = match choice.rule {
                TargetRule::Any => true,
                TargetRule::AzurePair => between.paired,
                TargetRule::Near => between.near,
            };
            if !fits {
                return None;
            }
            cost += tariff(site).compare(&choice.per_target) + micro_usd(choice.traffic_gb * between.traffic_usd);
        }
    }
    Some(cost)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn trying_everything_finds_nothing_cheaper(case in cases(4, 4)) {
        let app = app(&case);
        let (impossible, cost, proved) = costs(&app);
        let found = impossible.is_empty().then_some(cost);
        prop_assert_eq!(found, brute_force(&app));
        prop_assert!(proved);
    }

    #[test]
    fn relaxing_an_objective_never_raises_the_cost(case in cases(5, 5), which in 0_usize..5, rpo in any::<bool>()) {
        let tight = app(&case);
        let mut loose = tight.clone();
        let at = which % loose.components.len();
        let component = loose.components.values_mut().nth(at).unwrap();
        let relax = |objective: &mut Option<Duration>| *objective = objective.map(|span| span * 10 + Duration::from_secs(1));
        if rpo { relax(&mut component.objectives.rpo) } else { relax(&mut component.objectives.rto) }
        let ((no, before, _), (none, after, _)) = (costs(&tight), costs(&loose));
        prop_assert!(none.len() <= no.len(), "what was possible stays possible");
        if no.is_empty() {
            prop_assert!(after <= before, "{} > {}", after, before);
        }
    }

    #[test]
    fn another_region_never_raises_the_cost(case in cases(5, 5), extra in 0..PLACES.len()) {
        let fewer = app(&case);
        let mut more = case;
        if !more.places.contains(&extra) {
            more.places.push(extra);
            more.places.sort_unstable();
        }
        let more = app(&more);
        let ((no, before, _), (none, after, _)) = (costs(&fewer), costs(&more));
        prop_assert!(none.len() <= no.len());
        if no.is_empty() {
            prop_assert!(after <= before, "{} > {}", after, before);
        }
    }

    #[test]
    fn an_answer_holds_what_it_claims(case in cases(4, 4)) {
        let app = app(&case);
        let answer = assess(&app, &Inputs::new(Atlas::embedded()));
        for component in &answer.components {
            prop_assert!(component.targets.iter().all(|target| *target != component.home));
            prop_assert!(component.rto.p50 <= component.rto.p95 && component.rto.p95 <= component.rto.p99);
            prop_assert!(component.replication != Carriage::Synchronous || component.rpo.p99 == 0.0);
            prop_assert!(component.added_usd >= 0.0);
        }
        for objective in &answer.objectives {
            if objective.standing != Standing::Unattainable {
                prop_assert!(objective.misses.is_none_or(|share| share <= 0.051), "{:?}", objective);
            }
        }
        if answer.conflicts.is_empty() {
            prop_assert!(answer.objectives.iter().all(|one| one.standing != Standing::Unattainable));
        }
    }

    /// Who settles for what comes nearest gets it.
    #[test]
    fn what_comes_nearest_can_be_had(case in cases(5, 4)) {
        let mut app = app(&case);
        let answer = assess(&app, &Inputs::new(Atlas::embedded()));
        let missed: Vec<(String, String)> = answer
            .objectives
            .iter()
            .filter(|one| one.standing == Standing::Unattainable)
            .map(|one| (one.of.clone(), one.objective.clone()))
            .collect();
        prop_assume!(!missed.is_empty() && answer.components.len() == app.components.len());
        for (of, objective) in &missed {
            let found = answer.components.iter().find(|component| component.component == *of).unwrap();
            let wanted = &mut app.components.get_mut(of.as_str()).unwrap().objectives;
            match objective.as_str() {
                "rto" => wanted.rto = Some(Duration::from_secs_f64(found.rto.p95 + 0.001)),
                "rpo" => wanted.rpo = Some(Duration::from_secs_f64(found.rpo.p95 + 0.001)),
                other => prop_assert!(false, "{other}"),
            }
        }
        let again = assess(&app, &Inputs::new(Atlas::embedded()));
        prop_assert_eq!(&again.conflicts, &[]);
        prop_assert!(again.objectives.iter().all(|one| one.standing != Standing::Unattainable), "{:#?}", again.objectives);
    }

    /// What is given up is held as well as it can be: no other placement that holds what is held is better in something that is
    /// given up and no worse in the rest.
    #[test]
    fn nothing_comes_nearer_than_what_comes_nearest(case in cases(3, 3)) {
        let mut case = case;
        // One group: each needs the one before it.
        for (number, component) in case.components.iter_mut().enumerate() {
            component.1.iter_mut().enumerate().for_each(|(need, needs)| *needs |= need + 1 == number);
        }
        let app = app(&case);
        let answer = assess(&app, &Inputs::new(Atlas::embedded()));
        let given_up: Vec<(&str, bool)> = answer
            .objectives
            .iter()
            .filter(|one| one.standing == Standing::Unattainable)
            .map(|one| (one.of.as_str(), one.objective == "rto"))
            .collect();
        prop_assume!(!given_up.is_empty() && answer.components.len() == app.components.len());
        let found: Vec<f64> = given_up
            .iter()
            .map(|(of, rto)| {
                let component = answer.components.iter().find(|component| component.component == *of).unwrap();
                if *rto { component.rto.p95 } else { component.rpo.p95 }
            })
            .collect();
        let better = nearer(&app, &given_up, &found);
        prop_assert!(better.is_none(), "{:?} {:?}, but {:?}", given_up, found, better);
    }

    /// Who follows the advice on a contradiction has one less.
    #[test]
    fn what_is_said_to_resolve_a_contradiction_does(case in cases(5, 4)) {
        let tight = app(&case);
        let answer = assess(&tight, &Inputs::new(Atlas::embedded()));
        prop_assume!(answer.conflicts.len() == 1);
        for advice in &answer.conflicts[0].relax {
            let Some((objective, id, least)) = advised(advice) else { continue };
            let mut loose = tight.clone();
            let wanted = &mut loose.components.get_mut(id).unwrap().objectives;
            if objective == "RTO" { wanted.rto = Some(least) } else { wanted.rpo = Some(least) }
            let again = assess(&loose, &Inputs::new(Atlas::embedded()));
            prop_assert_eq!(&again.conflicts, &[], "{}", advice);
        }
    }
}

/// Twenty components that need each other in many ways, each with an RTO that is little more than what is possible or much more: the
/// cheapest is found and proved, and holds.
#[test]
fn groups_in_which_much_hangs_together_are_proved() {
    let numbers = |seed: u64| {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        move |limit: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap() % limit
        }
    };
    for seed in 1..=6 {
        let mut below = numbers(seed);
        let components = (0..20).map(|number: usize| {
            let needs = (0..number).map(|_| below(number.max(1)) < 2).collect();
            (below(KINDS.len()), needs, 1 + u32::try_from(below(8)).unwrap(), None, None)
        });
        let case = Case { places: vec![0, 1, 2, 3], components: components.collect() };
        let mut app = app(&case);
        let quick = quick(&app);
        for (component, least) in app.components.values_mut().zip(quick) {
            let factor = [1.05, 1.3, 1.6, 2.0, 5.0][below(5)];
            component.objectives.rto = Some(Duration::from_secs_f64(least * factor + 1.0));
        }
        let answer = assess(&app, &Inputs::new(Atlas::embedded()));
        assert_eq!(answer.conflicts, [], "{seed}");
        assert!(answer.optimal, "{seed}: {:?}", answer.spare_usd);
        let missed: Vec<_> =
            answer.objectives.iter().filter(|one| one.misses.is_some_and(|share| share > 0.0501)).collect();
        assert!(missed.is_empty(), "{seed}: {missed:#?}");
    }
}

/// What 95 of 100 recoveries take of each component, if all are as quick as they can be.
fn quick(app: &App) -> Vec<f64> {
    let atlas = Atlas::embedded();
    let history = History::default();
    let ground = Ground::new(atlas, atlas.prices(), declared(app));
    let nothing = BTreeSet::new();
    let draws = draws(app);
    let task = Task {
        setting: Setting { atlas, app, history: &history },
        ground: &ground,
        relaxed: &nothing,
        keep_pins: true,
        draws: &draws,
        together: true,
        within: None,
        effort: EFFORT,
    };
    let all: Vec<ComponentId> = app.components.keys().cloned().collect();
    all.iter().map(|id| quickest(&task, &all, id).unwrap()).collect()
}

/// `RTO of c1: at least 8.3 min`
fn advised(advice: &str) -> Option<(&str, &str, Duration)> {
    let (objective, rest) = advice.split_once(" of ")?;
    let (id, least) = rest.split_once(": at least ")?;
    let (number, unit) = least.split_once(' ')?;
    let seconds = match unit {
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Some((objective, id, Duration::from_secs_f64(number.parse::<f64>().ok()? * seconds)))
}
