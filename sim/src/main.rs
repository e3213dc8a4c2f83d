//! `lifeboat-sim`: runs seeded histories of a fleet and checks every promise; a broken one is shrunk and printed.
//!
//! usage: lifeboat-sim [--seed N] [--histories N] [--trace]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use lifeboat_sim::history;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut seed, mut histories, mut trace) = (0, 1_000, false);
    while let Some(argument) = arguments.next() {
        let mut number = |what: &mut u64| arguments.next().and_then(|n| n.parse().ok()).map(|n| *what = n).is_some();
        let understood = match argument.as_str() {
            "--seed" => {
                histories = 1;
                number(&mut seed)
            }
            "--histories" => number(&mut histories),
            "--trace" => {
                trace = true;
                true
            }
            _ => false,
        };
        if !understood {
            eprintln!("usage: lifeboat-sim [--seed N] [--histories N] [--trace]");
            return ExitCode::from(2);
        }
    }
    let started = Instant::now();
    let (mut simulated, mut claims, mut acknowledged) = (Duration::ZERO, 0, 0);
    for seed in seed..seed + histories {
        match history::run(seed, None) {
            Ok(ended) => {
                simulated += ended.length;
                claims += ended.claims;
                acknowledged += ended.acknowledged;
            }
            Err(failure) => {
                let failure = history::shrink(*failure, None);
                println!("seed {seed} ({}): {}", failure.scenario, failure.broken);
                for (at, fault) in &failure.faults {
                    println!("  {at}  {fault:?}");
                }
                if trace {
                    failure.trace.iter().for_each(|line| println!("    {line}"));
                }
                return ExitCode::FAILURE;
            }
        }
    }
    println!(
        "{histories} histories, {:.1} simulated hours in {:.1} s: {claims} epochs, {acknowledged} writes acknowledged, every promise held",
        simulated.as_secs_f64() / 3600.0,
        started.elapsed().as_secs_f64()
    );
    ExitCode::SUCCESS
}
