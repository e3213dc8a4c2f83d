//! What a certificate says: whom it names, and until when it is valid.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lifeboat_model::RegionId;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::Error;

/// So long before its end a certificate is warned about.
pub const SOON: Duration = Duration::from_secs(30 * 24 * 3600);

/// A certificate, as far as Lifeboat is concerned with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The DNS names that it is for.
    pub names: Vec<String>,
    /// Until when it is valid.
    pub until: SystemTime,
}

impl Certificate {
    /// Reads one. `None`: it is none.
    pub fn of_der(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let alternative = certificate.subject_alternative_name().ok()?;
        let names = alternative.iter().flat_map(|extension| &extension.value.general_names);
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
        let until = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
        Some(Self { names: names.collect(), until: UNIX_EPOCH + Duration::from_secs(until) })
    }

    /// Reads the first of a PEM file.
    ///
    /// # Errors
    /// A file that cannot be read or holds none.
    pub fn of_file(path: &Path) -> Result<Self, Error> {
        Ok(of_chain(path, &chain(path)?)?.0)
    }

    /// Whether it is a region's.
    pub fn names(&self, region: &RegionId) -> bool {
        self.names.iter().any(|name| name == region.as_str())
    }

    /// A warning if it has expired, or will within [`SOON`].
    pub fn warning(&self, now: SystemTime) -> Option<String> {
        const DAY: u64 = 24 * 3600;
        match self.until.duration_since(now) {
            Ok(left) if left > SOON => None,
            Ok(left) => Some(format!("expires in {} days", left.as_secs() / DAY)),
            Err(past) => Some(format!("expired {} days ago", past.duration().as_secs() / DAY)),
        }
    }
}

/// All certificates of a PEM file, at least one.
pub(crate) fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    let unusable = |why: String| Error::Unusable { path: path.to_owned(), why };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(format!("not PEM: {error}")))?;
    if chain.is_empty() {
        return Err(unusable("there is no certificate in it; expected PEM, with `-----BEGIN CERTIFICATE-----`".into()));
    }
    Ok(chain)
}

/// The first certificate of a chain, read.
pub(crate) fn of_chain(
    path: &Path,
    chain: &[CertificateDer<'static>],
) -> Result<(Certificate, CertificateDer<'static>), Error> {
    let first = chain.first().and_then(|der| Some((Certificate::of_der(der)?, der.clone())));
    first.ok_or_else(|| Error::Unusable { path: path.to_owned(), why: "its first certificate cannot be read".into() })
}
