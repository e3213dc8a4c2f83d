//! Where a cluster's API is, and who this node is to it: a pod's service account, or a context of a kubeconfig.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::exec::Exec;
use crate::kubeconfig;

/// Where a pod finds what its service account is to the cluster.
pub const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Why no cluster's API can be asked.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A file that cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something in a file.
    #[error("{}: {what}", path.display())]
    Content {
        /// Where.
        path: PathBuf,
        /// What is wrong, and what was expected.
        what: String,
    },
    /// Neither a service account nor a context.
    #[error(
        "this node runs in no pod with a service account, and no context `{context}` leads to the cluster: {}",
        if known.is_empty() { "there is no kubeconfig (in the node's directory, KUBECONFIG or ~/.kube/config)".to_owned() }
        else { format!("the kubeconfig has {}", known.join(", ")) }
    )]
    NoContext {
        /// What was looked for.
        context: String,
        /// The contexts that there are.
        known: Vec<String>,
    },
}

/// What a node knows of its surroundings; whoever runs it reads that from its environment.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// In a pod: host and port of the API (`KUBERNETES_SERVICE_HOST`, `KUBERNETES_SERVICE_PORT`).
    pub service: Option<(String, u16)>,
    /// The kubeconfig's files, the first one first.
    pub kubeconfig: Vec<PathBuf>,
}

/// How a cluster's API is reached.
#[derive(Debug)]
pub struct Access {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Before every path: of clusters behind a proxy.
    pub(crate) prefix: String,
    pub(crate) tls: Option<Tls>,
    pub(crate) credentials: Credentials,
}

/// TLS to it.
#[derive(Debug)]
pub(crate) struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

/// Who this is.
pub(crate) enum Credentials {
    /// Nobody, or whoever the client certificate names.
    None,
    Token(String),
    /// Read anew each time: a pod's token is replaced within the hour.
    File(PathBuf),
    Exec(Exec),
}

impl Access {
    /// The cluster that the node runs in, else the one that a context of the kubeconfig leads to.
    ///
    /// # Errors
    /// Neither is there, or one is and cannot be used.
    pub fn find(surroundings: &Surroundings, context: &str) -> Result<Self, AccessError> {
        if let Some((host, port)) = &surroundings.service
            && Path::new(ACCOUNT).join("token").is_file()
        {
            return Self::of_account(host, *port, Path::new(ACCOUNT));
        }
        kubeconfig::access(&surroundings.kubeconfig, context)
    }

    /// By a service account whose files are mounted in a directory.
    ///
    /// # Errors
    /// A file that is missing or holds no certificate.
    pub fn of_account(host: &str, port: u16, account: &Path) -> Result<Self, AccessError> {
        let ca = account.join("ca.crt");
        let pem = fs::read(&ca).map_err(|source| AccessError::File { path: ca.clone(), source })?;
        let config = client_config(&pem, None).map_err(|what| AccessError::Content { path: ca.clone(), what })?;
        let tls = Tls::new(config, host).map_err(|what| AccessError::Content { path: ca, what })?;
        Ok(Self {
            host: host.to_owned(),
            port,
            prefix: String::new(),
            tls: Some(tls),
            credentials: Credentials::File(account.join("token")),
        })
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn host(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    pub(crate) async fn connect(&self) -> io::Result<Stream> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Stream::Plain(stream)),
            Some(tls) => {
                let connector = TlsConnector::from(Arc::clone(&tls.config));
                Ok(Stream::Tls(Box::new(connector.connect(tls.name.clone(), stream).await?)))
            }
        }
    }

    pub(crate) async fn token(&self) -> io::Result<Option<String>> {
        match &self.credentials {
            Credentials::None => Ok(None),
            Credentials::Token(token) => Ok(Some(token.clone())),
            Credentials::File(path) => {
                let token = tokio::fs::read_to_string(path).await;
                let token = token.map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
                Ok(Some(token.trim().to_owned()))
            }
            Credentials::Exec(exec) => exec.token().await.map(Some),
        }
    }

    /// The server does not take the token. Whether there may be another one.
    pub(crate) fn forget_token(&self) -> bool {
        match &self.credentials {
            Credentials::None | Credentials::Token(_) | Credentials::File(_) => false,
            Credentials::Exec(exec) => exec.forget(),
        }
    }

    /// Keeps a token ready where a program makes it, for as long as it is run.
    pub(crate) async fn keep_token(&self) {
        match &self.credentials {
            Credentials::None | Credentials::Token(_) | Credentials::File(_) => {}
            Credentials::Exec(exec) => exec.keep().await,
        }
    }

    /// What a request waits for whose time is over, if not for the server.
    pub(crate) fn waits(&self) -> Option<String> {
        match &self.credentials {
            Credentials::None | Credentials::Token(_) | Credentials::File(_) => None,
            Credentials::Exec(exec) => exec.waits(),
        }
    }
}

impl fmt::Debug for Credentials {
    /// Which kind; none of it is anybody's to read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token",
            Self::File(_) => "File",
            Self::Exec(_) => "Exec",
        })
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.host(), self.prefix)
    }
}

impl Tls {
    pub(crate) fn new(config: ClientConfig, name: &str) -> Result<Self, String> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| format!("`{name}` is no name of a server"))?;
        Ok(Self { config: Arc::new(config), name })
    }
}

/// Trusts the authorities in `ca`, PEM, and shows a certificate with its key if there is one.
pub(crate) fn client_config(ca: &[u8], own: Option<(&[u8], &[u8])>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate).map_err(|error| format!("no authority: {error}"))?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let mut config = match own {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("no private key in PEM: {error}"))?;
            config.with_client_auth_cert(certificates(certificate)?, key).map_err(|error| error.to_string())?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err("no certificate in it; expected PEM".into()),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("not PEM: {error}")),
    }
}

/// A connection, with or without TLS.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buffer),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
