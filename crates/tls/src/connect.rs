//! Connections, with TLS or without, and who is at the other end.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use lifeboat_model::RegionId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{AlertDescription, CertificateError, ClientConfig, Error as TlsError, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::certificate::Certificate;
use crate::error::Error;
use crate::identity::{Identity, provider, roots};

/// Makes connections to nodes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connector(Way);

#[derive(Clone, Debug)]
enum Way {
    Plain,
    Tls(watch::Receiver<Arc<ClientConfig>>),
}

impl Connector {
    /// Without TLS.
    pub fn plain() -> Self {
        Self(Way::Plain)
    }

    /// For a node: shows its certificate, and is renewed with it.
    pub fn of(identity: &Identity) -> Self {
        Self(Way::Tls(identity.client()))
    }

    /// For a person: trusts the authorities of a file, and shows no certificate.
    ///
    /// # Errors
    /// A file that cannot be read or holds no authority.
    pub fn trusting(ca: &Path) -> Result<Self, Error> {
        let (roots, _) = roots(ca)?;
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Unusable { path: ca.to_owned(), why: error.to_string() })?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Way::Tls(watch::Sender::new(Arc::new(config)).subscribe())))
    }

    /// Connects to the node of `region`. By TLS, whoever answers has proved to be it. The caller bounds the wait.
    ///
    /// # Errors
    /// A connection that is refused or breaks; [`handshake_failure`] has words for what TLS does not accept.
    pub async fn connect(&self, address: SocketAddr, region: &RegionId) -> io::Result<Stream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        match &self.0 {
            Way::Plain => Ok(Stream::Plain(stream)),
            Way::Tls(config) => {
                let config = Arc::clone(&config.borrow());
                let name = ServerName::try_from(region.to_string()).map_err(io::Error::other)?;
                let stream = TlsConnector::from(config).connect(name, stream).await?;
                Ok(Stream::Tls(Box::new(stream.into())))
            }
        }
    }
}

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// Without TLS.
    Plain(TcpStream),
    /// With it.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Takes the other side's handshake. The caller bounds the wait.
    ///
    /// # Errors
    /// A handshake that fails: no TLS, a certificate of other authorities.
    pub async fn accept(stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<Self> {
        Ok(Self::Tls(Box::new(TlsAcceptor::from(config).accept(stream).await?.into())))
    }

    /// The region whose node is at the other end: one of `known` that its certificate names. `None`: it has shown no certificate, or
    /// one that names none or several of them.
    pub fn peer<'a>(&self, known: impl IntoIterator<Item = &'a RegionId>) -> Option<RegionId> {
        let Self::Tls(stream) = self else { return None };
        let certificate = Certificate::of_der(stream.get_ref().1.peer_certificates()?.first()?)?;
        let mut named = known.into_iter().filter(|region| certificate.names(region));
        match (named.next(), named.next()) {
            (Some(region), None) => Some(region.clone()),
            _ => None,
        }
    }
}

/// What a failed connection means, where that is TLS's matter: words for people, with what to do.
pub fn handshake_failure(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<TlsError>()?;
    Some(match error {
        TlsError::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired by this machine's clock; `lifeboat certs FILE --renew` makes a new one".into()
        }
        // Of an authority that has the same name and another key, the signature is what does not fit.
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "its certificate is not of the authority that the file names (`nodes.tls`)".into()
        }
        TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is not that region's".into(),
        TlsError::InvalidMessage(_) => "it does not speak TLS, which the file asks for (`nodes.tls`)".into(),
        TlsError::AlertReceived(AlertDescription::CertificateExpired) => {
            "it says that our certificate has expired".into()
        }
        other => format!("TLS: {other}"),
    })
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, buffer),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
