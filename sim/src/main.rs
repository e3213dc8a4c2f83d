//! `lifeboat-sim`: runs seeded histories of fleets and checks every promise; a broken one is shrunk and printed.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use lifeboat_sim::history::{self, How, Kind};
use lifeboat_sim::shrink;
use lifeboat_sim::world::{Broke, Way};

const USAGE: &str = "usage: lifeboat-sim [--seed N] [--histories N] [--ordinary HOURS] [--provoked] [--fleet N] [--broke RULE] [--slow] [--both] [--refined] [--trace]
  --seed N          the first seed, of one history unless --histories says otherwise
  --histories N     how many histories (1000)
  --ordinary HOURS  each so long, with a fault every some minutes to hours; without it two minutes with many
  --provoked        faults come at bad moments: when a record changes, an order begins, a promise is given
  --fleet N         always the fleet at this place of the list, from 0
  --broke RULE      break one rule on purpose: a name of `Broke` or of `Mutation`
  --slow            leave nothing out and ask every check after every event
  --both            both ways, and the first decision that is not the same
  --refined         also ask of every change whether the protocol's model allows it
  --trace           tell what happens in one history; where a promise is broken, in the shrunk one";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut seed, mut histories, mut trace, mut how) = (0, None, false, How::default());
    let (mut one, mut both) = (false, false);
    while let Some(argument) = arguments.next() {
        if argument == "--broke" {
            let name = arguments.next().unwrap_or_default();
            let names = [name.clone(), format!("Brain({name})")];
            let is_it = |broke: &&Broke| names.contains(&format!("{broke:?}"));
            how.broke = Broke::ALL.iter().find(is_it).copied();
            if how.broke.is_none() {
                eprintln!("there is no rule `{name}`; there are {:?}", Broke::ALL);
                return ExitCode::from(2);
            }
            continue;
        }
        let mut number = || arguments.next().and_then(|n| n.parse::<u64>().ok());
        let understood = match argument.as_str() {
            "--seed" => number().map(|n| (seed, one) = (n, true)).is_some(),
            "--histories" => number().map(|n| histories = Some(n)).is_some(),
            "--ordinary" => number().map(|n| how.kind = Kind::Ordinary(n)).is_some(),
            "--fleet" => number().map(|n| how.fleet = usize::try_from(n).ok()).is_some(),
            "--provoked" => {
                how.kind = Kind::Provoked;
                true
            }
            "--slow" => {
                how.way = Way::Slow;
                true
            }
            "--both" => {
                both = true;
                true
            }
            "--refined" => {
                how.refined = true;
                true
            }
            "--trace" => {
                trace = true;
                true
            }
            _ => false,
        };
        if !understood {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    let histories = histories.unwrap_or(if one { 1 } else { 1_000 });
    let started = Instant::now();
    let (mut simulated, mut claims, mut acknowledged, mut incidents, mut steps) = (Duration::ZERO, 0, 0, 0, 0);
    for seed in seed..seed + histories {
        if both && let Some(difference) = history::difference(seed, &how) {
            println!("seed {seed}: {difference}");
            return ExitCode::FAILURE;
        }
        match history::run(seed, &how) {
            Ok(ended) => {
                if trace && histories == 1 {
                    history::tell(seed, &how).iter().for_each(|line| println!("    {line}"));
                }
                simulated += ended.length;
                claims += ended.claims;
                acknowledged += ended.acknowledged;
                incidents += ended.incidents;
                steps += ended.steps;
            }
            Err(failure) => {
                let failure = shrink::shrink(*failure, &how);
                println!("{failure}");
                if trace {
                    failure.trace.iter().for_each(|line| println!("    {line}"));
                }
                return ExitCode::FAILURE;
            }
        }
    }
    let (hours, seconds) = (simulated.as_secs_f64() / 3600.0, started.elapsed().as_secs_f64());
    println!(
        "{histories} histories, {incidents} incidents, {hours:.1} simulated hours in {seconds:.1} s ({:.0} a minute): {steps} events, {claims} epochs, {acknowledged} writes acknowledged, every promise held",
        hours / seconds * 60.0,
    );
    ExitCode::SUCCESS
}
