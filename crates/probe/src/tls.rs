//! TLS for HTTPS checks: whom they trust, the handshake, and words for what fails in it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, InvalidMessage, RootCertStore};

use crate::reading::Evidence;

/// The authorities whose certificates a check trusts. Cheap to clone; make one and share it among targets.
///
/// Each probe is a full handshake, some 0.4 ms of CPU (`examples/cost.rs`). A resumed one would cost less, but shows no
/// certificate: one that has expired or was exchanged for a wrong one would stay unseen for as long as the session can be
/// resumed, while new clients are turned away.
#[derive(Clone)]
pub struct Authorities {
    whom: Whom,
    config: Config,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Whom {
    Public,
    Private(Arc<[CertificateDer<'static>]>),
    /// Whomever the configuration trusts at present.
    Renewed,
}

#[derive(Clone)]
enum Config {
    Fixed(Arc<ClientConfig>),
    Renewed(watch::Receiver<Arc<ClientConfig>>),
}

/// Why a file of authorities is of no use.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    /// Something between the PEM markers, or a marker, is wrong.
    #[error("not PEM: {0}")]
    Pem(pem::Error),
    /// Nothing between markers of a certificate.
    #[error("there is no certificate in it; expected PEM, with `-----BEGIN CERTIFICATE-----`")]
    Empty,
    /// Not a certificate, or none that can be trusted.
    #[error("its certificate {number} cannot be an authority: {source}")]
    Unusable {
        /// Which, from 1 on.
        number: usize,
        /// Why not.
        source: Error,
    },
}

impl Authorities {
    /// Mozilla's public ones, as of this build.
    #[must_use]
    pub fn public() -> Self {
        Self::trusting(Whom::Public, webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())
    }

    /// The certificates of a PEM file, and no others. What else is in the file is passed over.
    ///
    /// # Errors
    /// Broken PEM, no certificate, or one that cannot be an authority.
    pub fn from_pem(pem: &[u8]) -> Result<Self, AuthoritiesError> {
        let certificates: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(AuthoritiesError::Pem)?;
        if certificates.is_empty() {
            return Err(AuthoritiesError::Empty);
        }
        let mut roots = RootCertStore::empty();
        for (index, certificate) in certificates.iter().enumerate() {
            let unusable = |source| AuthoritiesError::Unusable { number: index + 1, source };
            roots.add(certificate.clone()).map_err(unusable)?;
        }
        Ok(Self::trusting(Whom::Private(certificates.into()), roots))
    }

    /// Whomever this configuration trusts, as it is at the time of each probe: for certificates that are renewed while they are in
    /// use. It says too which certificate is shown, and must not resume sessions.
    #[must_use]
    pub fn renewed(config: watch::Receiver<Arc<ClientConfig>>) -> Self {
        Self { whom: Whom::Renewed, config: Config::Renewed(config) }
    }

    fn trusting(whom: Whom, roots: RootCertStore) -> Self {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has cipher suites for both versions of TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        // A server that prefers HTTP/2 would speak that otherwise.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { whom, config: Config::Fixed(Arc::new(config)) }
    }

    pub(crate) async fn handshake(
        &self,
        name: ServerName<'static>,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let config = match &self.config {
            Config::Fixed(config) => Arc::clone(config),
            Config::Renewed(config) => Arc::clone(&config.borrow()),
        };
        TlsConnector::from(config).connect(name, stream).await
    }
}

/// Equal if they trust the same certificates.
impl PartialEq for Authorities {
    fn eq(&self, other: &Self) -> bool {
        match (&self.config, &other.config) {
            (Config::Renewed(one), Config::Renewed(other)) => one.same_channel(other),
            (Config::Fixed(_), Config::Fixed(_)) => self.whom == other.whom,
            (Config::Fixed(_), Config::Renewed(_)) | (Config::Renewed(_), Config::Fixed(_)) => false,
        }
    }
}

impl Eq for Authorities {}

impl Hash for Authorities {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.whom.hash(state);
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.whom {
            Whom::Public => f.write_str("Authorities(public)"),
            Whom::Private(private) => write!(f, "Authorities({} private)", private.len()),
            Whom::Renewed => f.write_str("Authorities(renewed)"),
        }
    }
}

/// What an error of TLS shows; `None`: it is no such error.
pub(crate) fn of_error(error: &io::Error) -> Option<Evidence> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    let detail = match error {
        // This side's.
        Error::FailedToGetCurrentTime | Error::FailedToGetRandomBytes => {
            return Some(Evidence::NotObserved { detail: error.to_string() });
        }
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => "does not speak TLS".into(),
        Error::AlertReceived(alert) => format!("ends TLS with the alert {alert:?}"),
        other => format!("TLS: {other}"),
    };
    Some(Evidence::Bad { detail })
}

fn of_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::ExpiredContext { time, not_after } => {
            format!("the certificate expired {} ago by this node's clock", span(*not_after, *time))
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            format!("the certificate becomes valid in {} by this node's clock", span(*time, *not_before))
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = if presented.is_empty() { "no name".into() } else { presented.join(", ") };
            format!("the certificate is not for `{}`, but for {names}", expected.to_str())
        }
        CertificateError::UnknownIssuer => "the certificate is of an unknown authority".into(),
        other => format!("the certificate is bad: {other}"),
    }
}

/// In the largest unit that fits.
fn span(from: UnixTime, to: UnixTime) -> String {
    let seconds = to.as_secs().saturating_sub(from.as_secs());
    let units = [("days", 86_400), ("h", 3_600), ("min", 60)];
    match units.into_iter().find(|(_, size)| seconds >= 2 * size) {
        Some((unit, size)) => format!("{} {unit}", seconds / size),
        None => format!("{seconds} s"),
    }
}
