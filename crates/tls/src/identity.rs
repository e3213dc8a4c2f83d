//! A node's own certificate with what it trusts: configurations for both ends of a connection, renewed when the files change.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use lifeboat_model::RegionId;
use tokio::sync::watch;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::certificate::{self, Certificate};
use crate::error::Error;

/// Where a node's files lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The authorities.
    pub ca: PathBuf,
    /// The node's certificate, and those between it and the authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What came of looking at the files again.
#[derive(Debug)]
pub enum Renewal {
    /// They are the same.
    Unchanged,
    /// They have changed, and are used from now on.
    Renewed,
    /// They have changed, and what was read before is used on: they may be half written.
    Unusable(Error),
}

/// Who a node is, and whom it believes.
#[derive(Debug)]
pub struct Identity {
    region: RegionId,
    files: Files,
    /// The files' marks when they were read.
    seen: Mutex<Marks>,
    certificate: Mutex<[(PathBuf, Certificate); 2]>,
    server: watch::Sender<Arc<ServerConfig>>,
    client: watch::Sender<Arc<ClientConfig>>,
}

/// What changes of a file when it is written or replaced: its number, its size, its time.
type Marks = [Option<(u64, u64, i64, i64)>; 3];

struct Read {
    certificates: [(PathBuf, Certificate); 2],
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Identity {
    /// Reads the files of `region`'s node.
    ///
    /// # Errors
    /// A file that cannot be read; a certificate that is another region's, or does not fit the key.
    pub fn load(region: &RegionId, files: Files) -> Result<Self, Error> {
        let seen = marks(&files);
        let Read { certificates, server, client } = read(region, &files)?;
        Ok(Self {
            region: region.clone(),
            seen: Mutex::new(seen),
            files,
            certificate: Mutex::new(certificates),
            server: watch::Sender::new(server),
            client: watch::Sender::new(client),
        })
    }

    /// For those who accept connections: TLS with everybody who trusts the authorities; whoever shows a certificate has to have it
    /// of them.
    pub fn server(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.server.subscribe()
    }

    /// For those who make connections: shows the node's certificate, and trusts the authorities only.
    pub fn client(&self) -> watch::Receiver<Arc<ClientConfig>> {
        self.client.subscribe()
    }

    /// Looks whether the files have changed, and if so reads them again.
    pub fn renew(&self) -> Renewal {
        let now = marks(&self.files);
        if *self.seen.lock().unwrap_or_else(PoisonError::into_inner) == now {
            return Renewal::Unchanged;
        }
        match read(&self.region, &self.files) {
            Ok(Read { certificates, server, client }) => {
                *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = now;
                *self.certificate.lock().unwrap_or_else(PoisonError::into_inner) = certificates;
                self.server.send_replace(server);
                self.client.send_replace(client);
                Renewal::Renewed
            }
            Err(error) => Renewal::Unusable(error),
        }
    }

    /// Of the node's certificate and of its authority's those that have expired, or will soon: with what to do.
    pub fn warnings(&self, now: SystemTime) -> Vec<String> {
        let certificates = self.certificate.lock().unwrap_or_else(PoisonError::into_inner);
        let warned = certificates.iter().filter_map(|(path, certificate)| {
            Some(format!("the certificate {} {}", path.display(), certificate.warning(now)?))
        });
        warned.map(|warning| format!("{warning}; `lifeboat certs FILE --renew` makes new ones")).collect()
    }
}

fn marks(files: &Files) -> Marks {
    [&files.ca, &files.cert, &files.key].map(|path| {
        let of = fs::metadata(path).ok()?;
        Some((of.ino(), of.len(), of.mtime(), of.mtime_nsec()))
    })
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The authorities of a file.
pub(crate) fn roots(path: &std::path::Path) -> Result<(RootCertStore, Certificate), Error> {
    let chain = certificate::chain(path)?;
    let mut roots = RootCertStore::empty();
    for authority in &chain {
        roots.add(authority.clone()).map_err(|error| Error::Unusable {
            path: path.to_owned(),
            why: format!("a certificate in it cannot be an authority: {error}"),
        })?;
    }
    // Of several, as while they are exchanged, the one that lasts longest.
    let read = chain.iter().filter_map(|der| Certificate::of_der(der)).max_by_key(|certificate| certificate.until);
    let read = read.ok_or_else(|| Error::Unusable { path: path.to_owned(), why: "it cannot be read".into() })?;
    Ok((roots, read))
}

fn read(region: &RegionId, files: &Files) -> Result<Read, Error> {
    let Files { ca, cert, key } = files;
    let (roots, authority) = roots(ca)?;
    let roots = Arc::new(roots);
    let chain = certificate::chain(cert)?;
    let (own, _) = certificate::of_chain(cert, &chain)?;
    if !own.names(region) {
        let names = if own.names.is_empty() { "nobody".to_owned() } else { own.names.join(", ") };
        return Err(Error::NotOurs { path: cert.clone(), region: region.to_string(), names });
    }
    let pem = fs::read(key).map_err(|source| Error::File { path: key.clone(), source })?;
    // Its own words, for the parser's might show what it read.
    let no_key = || Error::Unusable { path: key.clone(), why: "expected a private key in PEM".into() };
    let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| no_key())?;
    let unfit = |error: &dyn std::fmt::Display| Error::Unusable {
        path: cert.clone(),
        why: format!("it cannot be used with the key {}: {error}", key.display()),
    };
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| Error::Unusable { path: ca.clone(), why: error.to_string() })?;
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| unfit(&error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.clone(), private.clone_key())
        .map_err(|error| unfit(&error))?;
    // A session that is resumed shows no certificate: one that has expired or was exchanged would go on unseen.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| unfit(&error))?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, private)
        .map_err(|error| unfit(&error))?;
    client.resumption = Resumption::disabled();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    let certificates = [(cert.clone(), own), (ca.clone(), authority)];
    Ok(Read { certificates, server: Arc::new(server), client: Arc::new(client) })
}
