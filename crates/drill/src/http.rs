//! One HTTP/1.1 connection, kept open from request to request. Every wait is the caller's to bound.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use lifeboat_model::RegionId;
use lifeboat_tls::{Connector, Stream};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// The largest answer that is read: 100,000 order ids fit many times over.
const LARGEST_ANSWER: usize = 64 << 20;

/// An open connection. Dropping it closes the socket.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Connects. `host` is sent as the `Host` of every request.
    ///
    /// # Errors
    /// A connection that is refused or breaks.
    pub async fn open(address: SocketAddr, host: impl Into<String>) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Self::over(Stream::Plain(stream), host).await
    }

    /// Connects to the API of a region's node.
    ///
    /// # Errors
    /// A connection that is refused or breaks; by TLS, a node that is not that region's.
    pub async fn to_node(connector: &Connector, address: SocketAddr, region: &RegionId) -> io::Result<Self> {
        Self::over(connector.connect(address, region).await?, address.to_string()).await
    }

    async fn over(stream: Stream, host: impl Into<String>) -> io::Result<Self> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let driver = tokio::spawn(async move {
            // Its failure is told by the request that was under way.
            let _ = connection.await;
        });
        Ok(Self { sender, host: host.into(), driver })
    }

    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    /// A connection that breaks, an answer that is none or too large.
    pub async fn request(
        &mut self,
        method: Method,
        path: &str,
        bearer: Option<&str>,
        json: Option<Vec<u8>>,
    ) -> io::Result<(StatusCode, Bytes)> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, &self.host);
        if let Some(token) = bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if json.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::from(json.unwrap_or_default())).map_err(io::Error::other)?;
        self.sender.ready().await.map_err(io::Error::other)?;
        let answer = self.sender.send_request(request).await.map_err(io::Error::other)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await.map_err(io::Error::other)?;
        Ok((status, body.to_bytes()))
    }
}
