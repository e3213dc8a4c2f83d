//! Without file descriptors nothing can be seen. Alone in its file, for the limit is the whole process's.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use lifeboat_probe::{Evidence, Target, probe_once};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[tokio::test]
async fn running_out_of_descriptors_is_no_observation() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let target = Target::Tcp { address: listener.local_addr().unwrap() };
    let patience = Duration::from_secs(20);
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: before.maximum }).unwrap();
    let mut held = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        held.push(file);
    }
    let evidence = probe_once(&target, None, patience).await;
    assert!(matches!(&evidence, Evidence::NotObserved { detail } if detail.contains("open files")), "{evidence:?}");
    drop(held);
    let evidence = probe_once(&target, None, patience).await;
    assert!(matches!(evidence, Evidence::Ok { .. }), "{evidence:?}");
}
