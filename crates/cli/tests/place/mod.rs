//! Where the nodes of a test live: a file, loopback addresses and a run directory that no other test of this machine has.

use std::net::TcpListener;
use std::path::Path;

use lifeboat_drill::world::World;
use lifeboat_model::App;

/// The app of a file in which `127.N.` stands for a network of its own, its world with nothing started, and the socket that keeps
/// the network from others.
pub fn stage(text: &str) -> (App, World, TcpListener) {
    let (network, claim) = network();
    let text = text.replace("127.N.", &format!("127.{network}."));
    let app = lifeboat_model::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lifeboat.yaml");
    std::fs::write(&file, text).unwrap();
    let lifeboat = Path::new(env!("CARGO_BIN_EXE_lifeboat"));
    let world = World::new(&file, &app, lifeboat, lifeboat, false).unwrap();
    (app, world, claim)
}

/// A second number of loopback addresses that nobody else uses, with the socket that keeps it so.
fn network() -> (u8, TcpListener) {
    // Tests of one process and of several begin at different numbers.
    let first = u8::try_from(std::process::id() % 200).unwrap();
    (0..200)
        .map(|step| 30 + ((u16::from(first) + step) % 200) as u8)
        .find_map(|network| Some((network, TcpListener::bind(format!("127.{network}.250.250:7399")).ok()?)))
        .expect("two hundred networks are enough")
}
