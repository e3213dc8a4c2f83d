//! Where connections to the API come in: with TLS or without, and who is at the other end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use lifeboat_model::RegionId;
use lifeboat_tls::{Identity, Stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

/// How many handshakes may be under way; beyond that connections wait in the kernel's queue.
const HANDSHAKES: usize = 512;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long is waited after connections could not be accepted: most likely there are too many.
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whether that was made sure of by TLS.
    pub by_tls: bool,
    /// The region whose certificate it has shown.
    pub region: Option<RegionId>,
}

/// Where connections come in.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    arrivals: mpsc::Receiver<(Stream, Caller)>,
    porter: JoinHandle<()>,
}

impl Door {
    /// Opens it. `known`: the regions whose nodes may come.
    pub fn open(listener: TcpListener, identity: Option<Arc<Identity>>, known: Vec<RegionId>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, arrivals) = mpsc::channel(1);
        let porter = tokio::spawn(async move {
            match identity {
                None => admit_all(listener, &sender).await,
                Some(identity) => admit_by_tls(listener, &identity, &known.into(), &sender).await,
            }
        });
        Ok(Self { address, arrivals, porter })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.porter.abort();
    }
}

impl Listener for Door {
    type Io = Stream;
    type Addr = Caller;

    async fn accept(&mut self) -> (Stream, Caller) {
        match self.arrivals.recv().await {
            Some(arrival) => arrival,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Caller> {
        tracing::debug!("the door is at {}", self.address);
        Ok(Caller { by_tls: false, region: None })
    }
}

impl Connected<IncomingStream<'_, Door>> for Caller {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.remote_addr().clone()
    }
}

async fn admit_all(listener: TcpListener, arrivals: &mpsc::Sender<(Stream, Caller)>) {
    loop {
        let (stream, _) = next(&listener).await;
        if arrivals.send((Stream::Plain(stream), Caller { by_tls: false, region: None })).await.is_err() {
            return;
        }
    }
}

/// Each handshake is a task of its own, so that one who dawdles keeps nobody waiting.
async fn admit_by_tls(
    listener: TcpListener,
    identity: &Identity,
    known: &Arc<[RegionId]>,
    arrivals: &mpsc::Sender<(Stream, Caller)>,
) {
    let config = identity.server();
    let mut handshakes = JoinSet::new();
    loop {
        let (stream, address) = tokio::select! {
            Some(_ended) = handshakes.join_next() => continue,
            arrived = next(&listener), if handshakes.len() < HANDSHAKES => arrived,
        };
        let (config, known, arrivals) = (Arc::clone(&config.borrow()), Arc::clone(known), arrivals.clone());
        handshakes.spawn(async move {
            match tokio::time::timeout(HANDSHAKE, Stream::accept(stream, config)).await {
                Ok(Ok(stream)) => {
                    let caller = Caller { by_tls: true, region: stream.peer(known.iter()) };
                    // The API has ended: nobody is left to serve this one.
                    let _ = arrivals.send((stream, caller)).await;
                }
                // Probes of load balancers and scanners fail like this all day.
                Ok(Err(error)) => tracing::debug!(%address, "a TLS handshake failed: {error}"),
                Err(_) => tracing::debug!(%address, "a TLS handshake took too long"),
            }
        });
    }
}

async fn next(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%address, "not at once: {error}");
                }
                return (stream, address);
            }
            Err(error) => {
                let gone = [io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionAborted];
                if !gone.contains(&error.kind()) {
                    tracing::warn!("a connection to the API cannot be accepted: {error}");
                    tokio::time::sleep(AFTER_ERROR).await;
                }
            }
        }
    }
}
