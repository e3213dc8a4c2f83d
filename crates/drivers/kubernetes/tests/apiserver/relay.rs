//! A way to a server that can be led to another one: connections break, and new ones come there.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// Passes on what comes, both ways. Dropping it closes it.
pub struct Relay {
    pub port: u16,
    to: watch::Sender<SocketAddr>,
    task: AbortHandle,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    /// To a port of this machine.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let to = watch::Sender::new(here(port));
        let task = tokio::spawn(pass(listener, to.clone())).abort_handle();
        Self { port: own, to, task }
    }

    /// Breaks every connection; new ones go to this port.
    pub fn lead_to(&self, port: u16) {
        self.to.send_replace(here(port));
    }
}

fn here(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

async fn pass(listener: TcpListener, to: watch::Sender<SocketAddr>) {
    let mut connections = JoinSet::new();
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut led = to.subscribe();
        connections.spawn(async move {
            let to = *led.borrow_and_update();
            let Ok(mut far) = TcpStream::connect(to).await else { return };
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                _ = led.changed() => {}
            }
        });
    }
}
