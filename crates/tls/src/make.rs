//! Making an authority, and the certificates of an app's nodes. Files are for their owner only, and none is overwritten unless that
//! is what was asked for.

use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lifeboat_model::RegionId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::error::Error;

/// How long an authority that is made here lasts.
const AUTHORITY: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// For clocks that are a little behind.
const BACKDATED: Duration = Duration::from_secs(3600);

/// Somebody who issues certificates.
pub struct Authority {
    /// Its certificate, in PEM.
    pub certificate: String,
    key: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// A certificate with its private key, both in PEM.
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").finish_non_exhaustive()
    }
}

impl Authority {
    /// A new one, for the nodes of an app.
    ///
    /// # Errors
    /// None but a failure of the machine's source of random numbers.
    pub fn new(app: &str) -> Result<Self, Error> {
        let subject = format!("the authority of {app}");
        let failed = |error: rcgen::Error| Error::Make { subject: subject.clone(), why: error.to_string() };
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named(&format!("Lifeboat nodes of {app}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let now = SystemTime::now();
        params.not_before = (now - BACKDATED).into();
        params.not_after = (now + AUTHORITY).into();
        let certificate = params.self_signed(&key).map_err(failed)?.pem();
        let private = key.serialize_pem();
        Ok(Self { certificate, key: private, issuer: Issuer::new(params, key) })
    }

    /// One that is there already.
    ///
    /// # Errors
    /// A file that cannot be read; a certificate that is no authority's, or not the key's.
    pub fn read(certificate_path: &Path, key_path: &Path) -> Result<Self, Error> {
        let read =
            |path: &Path| fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source });
        let unusable = |path: &Path, why: &str| Error::Unusable { path: path.to_owned(), why: why.to_owned() };
        let certificate = read(certificate_path)?;
        let private = read(key_path)?;
        let key = KeyPair::from_pem(&private)
            .map_err(|_| unusable(key_path, "expected the authority's private key in PEM (PKCS #8)"))?;
        let der = crate::certificate::chain(certificate_path)?;
        let is_its_key = {
            use rcgen::PublicKeyData as _;
            use x509_parser::prelude::{FromDer as _, X509Certificate};
            let parsed = der.first().and_then(|der| X509Certificate::from_der(der).ok());
            let (_, parsed) = parsed.ok_or_else(|| unusable(certificate_path, "its certificate cannot be read"))?;
            if !parsed.is_ca() {
                return Err(unusable(certificate_path, "its first certificate is no authority's (basic constraints)"));
            }
            parsed.public_key().subject_public_key.data.as_ref() == key.der_bytes()
        };
        if !is_its_key {
            return Err(unusable(key_path, &format!("it is not the key of {}", certificate_path.display())));
        }
        let issuer = Issuer::from_ca_cert_pem(&certificate, key)
            .map_err(|error| unusable(certificate_path, &error.to_string()))?;
        Ok(Self { certificate, key: private, issuer })
    }

    /// A certificate for the node of a region, good at both ends of a connection.
    ///
    /// # Errors
    /// A name that cannot stand in a certificate.
    pub fn issue(&self, region: &RegionId, address: Option<IpAddr>, valid: Duration) -> Result<Issued, Error> {
        self.issue_at(region, address, SystemTime::now(), valid)
    }

    /// The same from another moment on: for rehearsing what happens when certificates expire.
    ///
    /// # Errors
    /// As [`Self::issue`].
    pub fn issue_at(
        &self,
        region: &RegionId,
        address: Option<IpAddr>,
        from: SystemTime,
        valid: Duration,
    ) -> Result<Issued, Error> {
        self.issue_for(region, address.map(|address| address.to_string()), from, valid)
    }

    fn issue_for(
        &self,
        region: &RegionId,
        others: impl IntoIterator<Item = String>,
        from: SystemTime,
        valid: Duration,
    ) -> Result<Issued, Error> {
        let failed = |error: rcgen::Error| Error::Make { subject: region.to_string(), why: error.to_string() };
        let mut names = vec![region.to_string()];
        names.extend(others);
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.distinguished_name = named(region.as_str());
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = (from - BACKDATED).into();
        params.not_after = (from + valid).into();
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?.pem();
        Ok(Issued { certificate, key: key.serialize_pem() })
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Which authority issues.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// A new one, which is written too.
    New,
    /// One that is there already: its certificate, which is copied, and its key.
    Existing(&'a Path, &'a Path),
    /// The same, and the nodes' certificates and keys that are there are replaced; `ca.pem` is left as it is.
    Renewing(&'a Path, &'a Path),
}

/// Writes `ca.pem`, `REGION.pem` and `REGION.key` of every region into a directory, and `ca.key` of a new authority; a region
/// with the addresses and host names that its certificate is to be good for besides. Returns what was written.
///
/// # Errors
/// A file that is there already, unless they are renewed; one that cannot be written.
pub fn write<'a>(
    directory: &Path,
    app: &str,
    regions: impl IntoIterator<Item = (&'a RegionId, impl IntoIterator<Item: ToString>)>,
    by: By<'_>,
    valid: Duration,
) -> Result<Vec<PathBuf>, Error> {
    let renew = matches!(by, By::Renewing(..));
    let (ca, ca_key) = (directory.join("ca.pem"), directory.join("ca.key"));
    let authority = match by {
        By::New => Authority::new(app)?,
        By::Existing(certificate, key) | By::Renewing(certificate, key) => Authority::read(certificate, key)?,
    };
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    if !renew {
        files.push((ca, authority.certificate.clone()));
    }
    if matches!(by, By::New) {
        files.push((ca_key, authority.key.clone()));
    }
    for (region, others) in regions {
        let issued =
            authority.issue_for(region, others.into_iter().map(|name| name.to_string()), SystemTime::now(), valid)?;
        files.push((directory.join(format!("{region}.key")), issued.key));
        files.push((directory.join(format!("{region}.pem")), issued.certificate));
    }
    // All or nothing: what is there is found before anything is written.
    if let Some((path, _)) = files.iter().find(|(path, _)| !renew && path.exists()) {
        return Err(Error::Exists { path: path.clone() });
    }
    let failed = |path: &Path, source| Error::File { path: path.to_owned(), source };
    fs::create_dir_all(directory).map_err(|source| failed(directory, source))?;
    for (path, text) in &files {
        put(path, text, renew).map_err(|source| failed(path, source))?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

/// Writes a file for its owner only: beside its place, and moved there when it is whole.
fn put(path: &Path, text: &str, replace: bool) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    if let Err(error) = fs::remove_file(&aside)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let placed = if replace { fs::rename(&aside, path) } else { fs::hard_link(&aside, path) };
    // After a rename it is not there any more.
    let _ = fs::remove_file(&aside);
    placed
}
