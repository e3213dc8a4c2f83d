//! A schedule of faults drawn from a seed, run, and, when a promise breaks, shrunk to what is needed to break it.

use std::sync::Arc;
use std::time::Duration;

use lifeboat_control::record::Request;
use lifeboat_model::{App, ComponentId, Moment, RegionId};
use lifeboat_plan::Intent;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::check::Broken;
use crate::refinement::Refinement;
use crate::scenario::{self, Scenario};
use crate::world::{Broke, Fault, World};

/// Faults happen until then.
const TROUBLE: Duration = Duration::from_secs(60);
/// And so long everything has time to mend.
const MENDING: Duration = Duration::from_secs(60);

/// What came of one history.
#[derive(Debug)]
pub struct Ended {
    /// The fleet.
    pub scenario: &'static str,
    /// Simulated time.
    pub length: Duration,
    /// Events taken.
    pub steps: u64,
    /// Epochs claimed.
    pub claims: usize,
    /// Writes acknowledged.
    pub acknowledged: usize,
}

/// A broken promise with what is needed to see it again.
#[derive(Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The fleet.
    pub scenario: &'static str,
    /// What was broken.
    pub broken: Broken,
    /// The faults, in order; after [`shrink`] only those that are needed.
    pub faults: Vec<(Moment, Fault)>,
    /// What happened; filled by [`shrink`].
    pub trace: Vec<String>,
}

/// Runs the history of a seed; the fleet is one of [`scenario::all`], in turn.
///
/// # Errors
/// The broken promise, with the schedule that broke it.
pub fn run(seed: u64, broke: Option<Broke>) -> Result<Ended, Box<Failure>> {
    let (scenario, app) = fleet(seed);
    let faults = draw(seed, &app);
    play(&scenario, &app, seed, broke, &faults, None)
        .map_err(|broken| Box::new(Failure { seed, scenario: scenario.name, broken, faults, trace: Vec::new() }))
}

/// Runs the history of a seed and asks whether it is one of the protocol's model too. Returns what was followed.
///
/// # Errors
/// The broken promise, or the change that follows from no rule (promise `protocol`).
pub fn run_refined(seed: u64, broke: Option<Broke>) -> Result<Vec<Refinement>, Broken> {
    let (_, app) = fleet(seed);
    let faults = draw(seed, &app);
    let mut world = World::new(app.clone(), seed, broke);
    for (at, fault) in faults {
        world.schedule(at, fault);
    }
    world.refinements = app.databases().filter_map(|(database, _)| Refinement::new(&world, database)).collect();
    live(&mut world, &app)?;
    Ok(world.refinements)
}

/// Leaves out one fault at a time for as long as the same promise still breaks, and tells what happens then.
pub fn shrink(failure: Failure, broke: Option<Broke>) -> Failure {
    let (scenario, app) = fleet(failure.seed);
    let Failure { seed, mut faults, broken, .. } = failure;
    let mut at = 0;
    while at < faults.len() {
        let mut fewer = faults.clone();
        fewer.remove(at);
        match play(&scenario, &app, seed, broke, &fewer, None) {
            Err(still) if still.promise == broken.promise => faults = fewer,
            _ => at += 1,
        }
    }
    let mut trace = Vec::new();
    let broken = play(&scenario, &app, seed, broke, &faults, Some(&mut trace)).err().unwrap_or(broken);
    Failure { seed, scenario: scenario.name, broken, faults, trace }
}

fn fleet(seed: u64) -> (Scenario, Arc<App>) {
    let mut scenarios = scenario::all();
    let scenario = scenarios.swap_remove(usize::try_from(seed).unwrap_or(0) % scenarios.len());
    let app = Arc::new(scenario.app());
    (scenario, app)
}

fn play(
    scenario: &Scenario,
    app: &Arc<App>,
    seed: u64,
    broke: Option<Broke>,
    faults: &[(Moment, Fault)],
    trace: Option<&mut Vec<String>>,
) -> Result<Ended, Broken> {
    let mut world = World::new(app.clone(), seed, broke);
    if trace.is_some() {
        world.trace = Some(Vec::new());
    }
    for (at, fault) in faults {
        world.schedule(*at, fault.clone());
    }
    let result = live(&mut world, app);
    if let (Some(trace), Some(seen)) = (trace, world.trace.take()) {
        *trace = seen;
    }
    result?;
    Ok(Ended {
        scenario: scenario.name,
        length: TROUBLE + MENDING,
        steps: world.steps,
        claims: world.claims,
        acknowledged: world.ledgers.values().map(|ledger| ledger.acknowledged.len()).sum(),
    })
}

fn live(world: &mut World, app: &App) -> Result<(), Broken> {
    let mended = Moment(0) + TROUBLE;
    world.run(mended)?;
    world.calm_down();
    let soon = mended + Duration::from_millis(1);
    world.schedule(soon, Fault::Heal);
    world.schedule(soon, Fault::StoreUp);
    for region in app.regions.keys() {
        world.schedule(soon, Fault::Thaw(region.clone()));
        world.schedule(soon, Fault::StartNode(region.clone()));
    }
    world.run(mended + MENDING)?;
    for (database, _) in app.databases() {
        world.check_end(database)?;
    }
    world.check_chain()?;
    Ok(())
}

/// Faults with their ends, a few in each history, at random moments after the fleet has come up.
fn draw(seed: u64, app: &App) -> Vec<(Moment, Fault)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5EED);
    let regions: Vec<RegionId> = app.regions.keys().cloned().collect();
    let data: Vec<RegionId> = app.data_regions().cloned().collect();
    let databases: Vec<ComponentId> = app.databases().map(|(id, _)| id.clone()).collect();
    let mut faults = Vec::new();
    let mut below = |n: usize| usize::try_from(rng.next_u64() % n.max(1) as u64).expect("less than a usize");
    for _ in 0..=below(8) {
        let at = Moment(0) + Duration::from_millis(8_000 + below(45_000) as u64);
        let end = at + Duration::from_millis(200 + below(15_000) as u64);
        let region = regions[below(regions.len())].clone();
        let database = databases[below(databases.len())].clone();
        match below(12) {
            0 | 1 => faults.extend([(at, Fault::KillRegion(region.clone())), (end, Fault::StartNode(region))]),
            2 => faults.extend([(at, Fault::KillNode(region.clone())), (end, Fault::StartNode(region))]),
            3 => faults.push((at, Fault::KillServer(data[below(data.len())].clone(), database))),
            4 => faults.extend([(at, Fault::Freeze(region.clone())), (end, Fault::Thaw(region))]),
            5 => faults.extend([(at, Fault::FreezeNode(region.clone())), (end, Fault::Thaw(region))]),
            6 | 7 => {
                let other = regions[below(regions.len())].clone();
                faults.push((at, Fault::Cut(region.clone(), other.clone())));
                if below(2) == 0 {
                    faults.push((at, Fault::Cut(other, region)));
                }
                faults.push((end, Fault::Heal));
            }
            8 | 9 => faults.extend([(at, Fault::Isolate(region)), (end, Fault::Heal)]),
            10 => faults.extend([(at, Fault::StoreDown), (end, Fault::StoreUp)]),
            _ => {
                let to = data[below(data.len())].clone();
                let intent = if below(2) == 0 { Intent::Failover } else { Intent::Switchover };
                let accept_loss = below(6) == 0;
                let request = Request { intent, to: Some(to), accept_loss, vouch: false, by: "a person".into() };
                faults.push((at, Fault::Person(region, database, request)));
            }
        }
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}
