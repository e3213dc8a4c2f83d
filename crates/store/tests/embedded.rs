//! The embedded store passes the suite that every store must pass.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::time::Duration;

use lifeboat_store::conformance::Suite;
use lifeboat_store::{Embedded, Options, Store};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lifeboat.db");
    let options = Options { timeout: Duration::from_secs(20), ..Options::default() };
    let open = move || {
        let path = path.clone();
        Box::pin(async move { Arc::new(Embedded::open(&path, options).unwrap()) as Arc<dyn Store> }) as _
    };
    let suite = Suite {
        label: "one".into(),
        open: Box::new(open),
        ttl: Duration::from_millis(400),
        patience: Duration::from_secs(60),
    };
    suite.run().await;
}
