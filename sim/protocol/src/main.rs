//! Explores the protocol by hand.
use std::time::Instant;
use lifeboat_protocol::config::{Config, Mutation, Opening, Store, UNBOUNDED};
use lifeboat_protocol::explore::explore;
use lifeboat_protocol::rules::Protocol;

fn main() -> std::process::ExitCode {
    let mut config = Config::new(2);
    let mut mutations = false;
    let mut verbose = false;
    let mut limit = 400_000_000;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || -> usize { let v = args.next().unwrap_or_default(); if v == "any" { 255 } else { v.parse().unwrap_or(0) } };
        match arg.as_str() {
            "--regions" => config.regions = number(),
            "--confirmations" => config.confirmations = number(),
            "--writes" => config.writes = number() as u8,
            "--epochs" => config.epochs = number() as u8,
            "--crashes" => config.crashes = number() as u8,
            "--restarts" => config.restarts = number() as u8,
            "--losses" => config.losses = number() as u8,
            "--limit" => limit = number(),
            "--settled" => config.store = Store::Settled,
            "--behind-peers" => config.opening = Opening::BehindPeers,
            "--no-promises" => config.promises = false,
            "--mutations" => mutations = true,
            "--mutation" => { let n = args.next().unwrap_or_default(); config.mutation = Mutation::ALL.iter().map(|m| m.0).find(|m| format!("{m:?}") == n); assert!(config.mutation.is_some()); }
            "-v" => verbose = true,
            other => panic!("{other}"),
        }
    }
    let _ = UNBOUNDED;
    let all: Vec<Option<Mutation>> = if mutations { Mutation::ALL.iter().map(|m| Some(m.0)).collect() } else { vec![config.mutation] };
    for mutation in all {
        let begun = Instant::now();
        let explored = explore(&Protocol::new(Config { mutation, ..config }), limit);
        println!("{mutation:?}: {} states, {} steps, depth {}, complete {}, {:.1} s: {}", explored.states, explored.steps, explored.depth, explored.complete, begun.elapsed().as_secs_f32(),
            explored.broken.as_ref().map_or("every promise held".into(), |(b, w)| format!("{b} ({} steps)", w.len())));
        if verbose || !mutations { for step in explored.broken.iter().flat_map(|b| &b.1) { println!("   {step}"); } }
    }
    std::process::ExitCode::SUCCESS
}
