//! A future on a thread of its own.
//!
//! The commit gate is on the way of every commit. A runtime with several threads wakes one of them to take the other's place whenever a
//! socket has something, which costs a server under load more than what the gate does itself.

use std::io;

use tokio::sync::{oneshot, watch};

/// The thread ends when this is dropped.
#[derive(Debug)]
pub(crate) struct OwnThread {
    /// Dropped to end it.
    going: Option<oneshot::Sender<()>>,
    /// Closed when it has ended.
    ended: watch::Receiver<()>,
}

impl OwnThread {
    pub fn run(name: &str, work: impl Future<Output = ()> + Send + 'static) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (going, gone) = oneshot::channel();
        let (alive, ended) = watch::channel(());
        std::thread::Builder::new().name(name.into()).spawn(move || {
            let _alive = alive;
            runtime.block_on(async {
                tokio::select! { () = work => {} _ = gone => {} }
            });
        })?;
        Ok(Self { going: Some(going), ended })
    }

    /// Ends it, and returns when what it held is free.
    pub async fn end(&mut self) {
        self.going = None;
        while self.ended.changed().await.is_ok() {}
    }
}
