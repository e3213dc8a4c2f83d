//! Who gets through to whom: nodes and people, with certificates good and bad, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use lifeboat_model::RegionId;
use lifeboat_tls::make::{self, Authority, By, Issued};
use lifeboat_tls::{Certificate, Connector, Error, Files, Identity, Renewal, SOON, Stream, handshake_failure};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn region(name: &str) -> RegionId {
    name.into()
}

/// The files of a node whose certificate is `issued` and who believes `trusted`.
fn files(directory: &TempDir, name: &str, issued: &Issued, trusted: &str) -> Files {
    let file = |suffix: &str, text: &str| {
        let path = directory.path().join(format!("{name}.{suffix}"));
        fs::write(&path, text).unwrap();
        path
    };
    Files { ca: file("ca", trusted), cert: file("pem", &issued.certificate), key: file("key", &issued.key) }
}

fn node(directory: &TempDir, authority: &Authority, name: &str) -> Identity {
    let issued = authority.issue(&region(name), None, YEAR).unwrap();
    Identity::load(&region(name), files(directory, name, &issued, &authority.certificate)).unwrap()
}

/// Serves one connection, and says whom it took the caller for. The caller hears `well`.
async fn serve_one(listener: &TcpListener, identity: &Identity) -> io::Result<Option<RegionId>> {
    let (stream, _) = listener.accept().await?;
    let config = identity.server().borrow().clone();
    let mut stream = Stream::accept(stream, config).await?;
    stream.read_exact(&mut [0; 5]).await?;
    stream.write_all(b"well").await?;
    stream.shutdown().await?;
    Ok(stream.peer(&["a", "b", "c"].map(region)))
}

/// What both sides make of one connection: whom the node took the caller for, and what the caller made of it.
async fn meet(server: &Identity, connector: &Connector, expected: &str) -> (Option<RegionId>, Result<(), String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let call = async {
        let mut stream = connector.connect(address, &region(expected)).await?;
        stream.write_all(b"hello").await?;
        stream.flush().await?;
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await?;
        if heard == b"well" { Ok(()) } else { Err(io::Error::other("something else was said")) }
    };
    let (served, called) = tokio::join!(serve_one(&listener, server), call);
    let called = called.map_err(|error| handshake_failure(&error).unwrap_or_else(|| error.to_string()));
    (served.ok().flatten(), called)
}

#[tokio::test]
async fn nodes_know_each_other_and_people_know_nodes() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("shop").unwrap();
    let (a, b) = (node(&directory, &authority, "a"), node(&directory, &authority, "b"));
    let ca = directory.path().join("ca.pem");
    fs::write(&ca, &authority.certificate).unwrap();
    assert_eq!(meet(&a, &Connector::of(&b), "a").await, (Some(region("b")), Ok(())));
    assert_eq!(meet(&b, &Connector::of(&a), "b").await, (Some(region("a")), Ok(())));
    let person = Connector::trusting(&ca).unwrap();
    assert_eq!(meet(&a, &person, "a").await, (None, Ok(())), "a person comes without a certificate");
    let (_, called) = meet(&a, &person, "b").await;
    assert!(called.unwrap_err().contains("not that region's"), "whoever answers has to be the node that was meant");
}

#[tokio::test]
async fn certificates_of_others_expired_ones_and_none_do_not_get_through() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new("shop").unwrap(), Authority::new("shop").unwrap());
    let a = node(&directory, &ours, "a");
    let stranger = theirs.issue(&region("b"), None, YEAR).unwrap();
    // It trusts ours, and shows what another authority has issued, under the same name.
    let stranger = Identity::load(&region("b"), files(&directory, "stranger", &stranger, &ours.certificate)).unwrap();
    let (peer, called) = meet(&a, &Connector::of(&stranger), "a").await;
    assert!(peer.is_none() && called.is_err(), "{peer:?} {called:?}");
    let (_, called) = meet(&stranger, &Connector::of(&a), "b").await;
    assert!(called.unwrap_err().contains("not of the authority"), "nor as a server");

    let past = SystemTime::now() - YEAR;
    let expired = ours.issue_at(&region("b"), None, past, 10 * DAY).unwrap();
    let expired = Identity::load(&region("b"), files(&directory, "expired", &expired, &ours.certificate)).unwrap();
    let (_, called) = meet(&expired, &Connector::of(&a), "b").await;
    assert!(called.unwrap_err().contains("has expired"));
    let (peer, called) = meet(&a, &Connector::of(&expired), "a").await;
    assert_eq!(peer, None);
    assert!(called.unwrap_err().contains("our certificate has expired"));

    let (peer, called) = meet(&a, &Connector::plain(), "a").await;
    assert!(peer.is_none() && called.is_err(), "without TLS nothing is said");
}

#[tokio::test]
async fn a_certificate_that_names_two_regions_is_nobodys() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("shop").unwrap();
    let a = node(&directory, &authority, "a");
    let mut params = rcgen::CertificateParams::new(vec!["b".to_owned(), "c".to_owned()]).unwrap();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let key = rcgen::KeyPair::generate().unwrap();
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let both = Issued { certificate: params.signed_by(&key, &issuer).unwrap().pem(), key: key.serialize_pem() };
    let trusted = format!("{}{ca_pem}", authority.certificate);
    let both = Identity::load(&region("b"), files(&directory, "both", &both, &trusted)).unwrap();
    fs::write(directory.path().join("a.ca"), &trusted).unwrap();
    assert!(matches!(a.renew(), Renewal::Renewed));
    assert_eq!(meet(&a, &Connector::of(&both), "a").await, (None, Ok(())));
}

#[tokio::test]
async fn renewed_files_are_taken_while_they_are_in_use_and_half_written_ones_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new("shop").unwrap(), Authority::new("shop").unwrap());
    let (a, b) = (node(&directory, &old, "a"), node(&directory, &old, "b"));
    let connector = Connector::of(&b);
    assert!(matches!(a.renew(), Renewal::Unchanged));
    // The key is there and the certificate not yet: what was read goes on.
    let fresh = old.issue(&region("a"), None, YEAR).unwrap();
    fs::write(directory.path().join("a.key"), &fresh.key).unwrap();
    assert!(matches!(a.renew(), Renewal::Unusable(Error::Unusable { .. })));
    assert_eq!(meet(&a, &connector, "a").await, (Some(region("b")), Ok(())));
    fs::write(directory.path().join("a.pem"), &fresh.certificate).unwrap();
    assert!(matches!(a.renew(), Renewal::Renewed));
    assert_eq!(meet(&a, &connector, "a").await, (Some(region("b")), Ok(())));

    // The authority is exchanged: first both are believed, then all have certificates of the new one, then only it is believed.
    let both = format!("{}{}", old.certificate, new.certificate);
    for step in [&both, &both, &new.certificate] {
        for (name, identity) in [("a", &a), ("b", &b)] {
            let issued = if fs::read_to_string(directory.path().join(format!("{name}.ca"))).unwrap() == both {
                new.issue(&region(name), None, YEAR).unwrap()
            } else {
                old.issue(&region(name), None, YEAR).unwrap()
            };
            files(&directory, name, &issued, step);
            assert!(matches!(identity.renew(), Renewal::Renewed));
            assert_eq!(meet(&a, &connector, "a").await, (Some(region("b")), Ok(())));
        }
    }
}

#[test]
fn files_that_are_of_no_use_are_named_and_no_key_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("shop").unwrap();
    let issued = authority.issue(&region("a"), None, YEAR).unwrap();
    let other = authority.issue(&region("a"), None, YEAR).unwrap();
    let secret = "-----BEGIN PRIVATE KEY-----\nVERYSECRETVERYSECRET\n-----END PRIVATE KEY-----\n";
    let load = |name: &str, region_name: &str, issued: &Issued, ca: &str| {
        let error = Identity::load(&region(region_name), files(&directory, name, issued, ca)).unwrap_err();
        let text = format!("{error} {error:?}");
        for hidden in ["VERYSECRET", &other.key[40..80]] {
            assert!(!text.contains(hidden), "{text}");
        }
        error.to_string()
    };
    let with = |certificate: &str, key: &str| Issued { certificate: certificate.into(), key: key.into() };
    let ca = authority.certificate.as_str();
    for (name, region, issued, ca, expected) in [
        ("1", "b", with(&issued.certificate, &issued.key), ca, "names a, and not the region `b`"),
        ("2", "a", with(&issued.certificate, &other.key), ca, "cannot be used with the key"),
        ("3", "a", with(&issued.certificate, secret), ca, "3.pem: it cannot be used with the key"),
        ("4", "a", with(&issued.certificate, "VERYSECRET"), ca, "4.key: expected a private key in PEM"),
        ("5", "a", with("", &issued.key), ca, "5.pem: there is no certificate in it"),
        ("6", "a", with(&issued.certificate, &issued.key), "", "6.ca: there is no certificate in it"),
    ] {
        let told = load(name, region, &issued, ca);
        assert!(told.contains(expected), "{told}");
    }
    assert!(!format!("{issued:?} {authority:?}").contains("PRIVATE"));
}

#[test]
fn certificates_are_warned_about_before_they_expire() {
    let authority = Authority::new("shop").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let identity = node(&directory, &authority, "a");
    let now = SystemTime::now();
    assert_eq!(identity.warnings(now), Vec::<String>::new());
    let soon = identity.warnings(now + YEAR - SOON + DAY);
    assert!(soon.len() == 1 && soon[0].contains("a.pem expires in 28 days") && soon[0].contains("--renew"), "{soon:?}");
    let late = identity.warnings(now + YEAR + 3 * DAY);
    assert!(late[0].contains("expired 3 days ago"), "{late:?}");
    let later = identity.warnings(now + 11 * YEAR);
    assert!(later.len() == 2 && later[1].contains("a.ca expired"), "the authority's too: {later:?}");
}

#[test]
fn nothing_is_overwritten_unless_it_is_renewed_and_files_are_their_owners() {
    let directory = tempfile::tempdir().unwrap();
    let certs = directory.path().join("certs");
    let regions = [(region("a"), Some("127.0.0.1".parse::<std::net::IpAddr>().unwrap())), (region("b"), None)];
    let regions = || regions.iter().map(|(region, address)| (region, *address));
    let written = make::write(&certs, "shop", regions(), By::New, YEAR).unwrap();
    let mut names: Vec<_> = written.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a.key", "a.pem", "b.key", "b.pem", "ca.key", "ca.pem"]);
    for path in &written {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
    let read = |name: &str| fs::read_to_string(certs.join(name)).unwrap();
    let before = (read("ca.pem"), read("a.pem"), read("a.key"));
    let error = make::write(&certs, "shop", regions(), By::New, YEAR).unwrap_err().to_string();
    assert!(error.contains("is there already") && error.contains("--renew"), "{error}");
    assert_eq!((read("ca.pem"), read("a.pem"), read("a.key")), before, "nothing was touched");

    let (ca, key) = (certs.join("ca.pem"), certs.join("ca.key"));
    make::write(&certs, "shop", regions(), By::Renewing(&ca, &key), 30 * DAY).unwrap();
    assert_eq!(read("ca.pem"), before.0, "the authority stays");
    assert_ne!(read("a.pem"), before.1);
    let until = Certificate::of_file(&certs.join("a.pem")).unwrap().until;
    assert!(until < SystemTime::now() + 31 * DAY);
    // What was renewed is believed by whoever believed before; and an authority of one's own works the same way.
    let elsewhere = directory.path().join("elsewhere");
    make::write(&elsewhere, "shop", regions(), By::Existing(&ca, &key), YEAR).unwrap();
    assert!(!elsewhere.join("ca.key").exists());
    for directory in [&certs, &elsewhere] {
        let file = |name: &str| directory.join(name);
        Identity::load(&region("a"), Files { ca: file("ca.pem"), cert: file("a.pem"), key: file("a.key") }).unwrap();
    }
    let wrong = |ca: &Path, key: &Path| Authority::read(ca, key).unwrap_err().to_string();
    assert!(wrong(&certs.join("a.pem"), &certs.join("a.key")).contains("no authority's"));
    assert!(wrong(&ca, &certs.join("a.key")).contains("is not the key of"));
    fs::remove_file(certs.join("ca.key")).unwrap();
    let error = make::write(&certs, "shop", regions(), By::Renewing(&ca, &key), YEAR).unwrap_err().to_string();
    assert!(error.contains("ca.key"), "{error}");
}
