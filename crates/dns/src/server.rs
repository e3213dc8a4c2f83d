//! The sockets: UDP and TCP on one address, answering from the newest table.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::answer::{LARGEST_UDP_RESPONSE, Transport, answer};
use crate::table::Zones;

/// The kernel's default holds some 280 small queries, which a burst of resolvers exceeds. What is given is the smaller
/// of this and `net.core.rmem_max`.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;
/// How many TCP connections are served at once; more wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 512;
/// The queue of connections not yet accepted.
const BACKLOG: u32 = 256;
/// A connection that brings no whole query, or takes no response, for so long is closed: "a few seconds" in RFC 7766,
/// section 6.2.3.
const IDLE: Duration = Duration::from_secs(5);
/// So long is slept after an error of a socket that is not one client's fault, such as running out of descriptors.
const AFTER_ERROR: Duration = Duration::from_millis(20);

/// A server that has its sockets; [`Server::run`] serves.
#[derive(Debug)]
pub struct Server {
    udp: UdpSocket,
    tcp: TcpListener,
    address: SocketAddr,
    table: watch::Receiver<Arc<Zones>>,
}

impl Server {
    /// Takes `address` for UDP and TCP; with port 0 any port that is free for both. The address should be a single one
    /// and not a wildcard: on a machine with several, a response must come from the address that was asked.
    ///
    /// # Errors
    /// The address is not ours, or another server has it.
    pub async fn bind(address: SocketAddr, table: watch::Receiver<Arc<Zones>>) -> io::Result<Self> {
        const ATTEMPTS: usize = 16;
        let mut attempt = 1;
        loop {
            match bind_both(address) {
                Ok((udp, tcp)) => return Ok(Self { address: tcp.local_addr()?, udp, tcp, table }),
                // The port that TCP got was not free for UDP.
                Err(error) if address.port() == 0 && error.kind() == io::ErrorKind::AddrInUse && attempt < ATTEMPTS => {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is ready, then closes every connection and returns when nothing runs any more.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let permits = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(self.udp, self.table.clone()));
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                (stream, permit) = accept(&self.tcp, &permits) => {
                    tasks.spawn(serve_connection(stream, self.table.clone(), permit));
                }
                Some(ended) = tasks.join_next() => {
                    if let Err(error) = ended && error.is_panic() {
                        std::panic::resume_unwind(error.into_panic());
                    }
                }
            }
        }
        tasks.shutdown().await;
    }
}

fn bind_both(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of a server that ran before may still be winding down.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let tcp = socket.listen(BACKLOG)?;
    let udp = std::net::UdpSocket::bind(tcp.local_addr()?)?;
    udp.set_nonblocking(true)?;
    rustix::net::sockopt::set_socket_recv_buffer_size(&udp, RECEIVE_BUFFER_BYTES)?;
    // The kernel doubles what was asked for, to make room for its own records.
    let given = rustix::net::sockopt::socket_recv_buffer_size(&udp)? / 2;
    if given < RECEIVE_BUFFER_BYTES {
        tracing::info!(given, asked = RECEIVE_BUFFER_BYTES, "small DNS receive buffer: raise net.core.rmem_max");
    }
    Ok((UdpSocket::from_std(udp)?, tcp))
}

async fn serve_udp(socket: UdpSocket, table: watch::Receiver<Arc<Zones>>) {
    let mut query = vec![0; usize::from(u16::MAX)];
    loop {
        match socket.recv_from(&mut query).await {
            Ok((length, client)) => answer_datagram(&socket, &table, &query[..length], client).await,
            Err(error) => {
                tracing::debug!(%error, "receiving a DNS query");
                sleep(AFTER_ERROR).await;
            }
        }
    }
}

async fn answer_datagram(socket: &UdpSocket, table: &watch::Receiver<Arc<Zones>>, query: &[u8], client: SocketAddr) {
    loop {
        // Asked anew each time: what is sent after a change of the table must not have been made before it.
        let response = answer(&table.borrow(), query, Transport::Udp, LARGEST_UDP_RESPONSE);
        let Some(response) = response else { return };
        match socket.try_send_to(&response, client) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if socket.writable().await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::debug!(%error, %client, "sending a DNS response");
                return;
            }
            Ok(_) => return,
        }
    }
}

async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let permit = Arc::clone(permits).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            Err(error) => {
                tracing::debug!(%error, "accepting a DNS connection");
                sleep(AFTER_ERROR).await;
            }
        }
    }
}

/// Answers one query after the other; as no answer takes time, a client that sends several at once waits for none.
async fn serve_connection(mut stream: TcpStream, table: watch::Receiver<Arc<Zones>>, _permit: OwnedSemaphorePermit) {
    // Without effect on correctness; a response just leaves later if it fails.
    let _ = stream.set_nodelay(true);
    let mut query = Vec::new();
    while let Ok(Ok(())) = timeout(IDLE, read_message(&mut stream, &mut query)).await {
        let response = answer(&table.borrow(), &query, Transport::Tcp, usize::from(u16::MAX));
        // To silence on a stream a client could only wait.
        let Some(response) = response else { return };
        let Ok(length) = u16::try_from(response.len()) else { return };
        let framed = [&length.to_be_bytes(), response.as_slice()].concat();
        if !matches!(timeout(IDLE, stream.write_all(&framed)).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// Reads one message with its length before it (RFC 1035, section 4.2.2).
pub(crate) async fn read_message(stream: &mut TcpStream, message: &mut Vec<u8>) -> io::Result<()> {
    let length = stream.read_u16().await?;
    message.clear();
    message.resize(usize::from(length), 0);
    stream.read_exact(message).await?;
    Ok(())
}
