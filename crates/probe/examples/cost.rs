//! What a probe costs: CPU of the probing thread, against a small server on another one.
//!
//! `cargo run --release -p lifeboat-probe --example cost [PROBES]`

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use lifeboat_probe::{Authorities, Evidence, Target, probe_once};
use rustix::time::{ClockId, clock_gettime};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, Stream};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let probes = std::env::args().nth(1).map_or(Ok(5_000), |text| text.parse())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 512];
            if stream.read(&mut request).is_ok_and(|length| length > 0) {
                // Whoever has gone needs no answer.
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let http = Target::Http { address, host: "example.test".into(), path: "/".into() };
    let (tls_address, ca) = serve_tls()?;
    let https = Target::Https { address: tls_address, host: "example.test".into(), path: "/".into(), ca };
    for (what, target) in [("HTTP", http), ("HTTPS", https), ("TCP", Target::Tcp { address })] {
        let before = cpu();
        let good = runtime.block_on(async {
            let mut good = 0;
            for _ in 0..probes {
                let evidence = probe_once(&target, None, Duration::from_secs(5)).await;
                good += usize::from(matches!(evidence, Evidence::Ok { .. }));
            }
            good
        });
        let each = (cpu() - before).as_secs_f64() * 1e6 / f64::from(probes);
        println!("{what}: {each:.1} us of CPU a probe, {good} of {probes} good");
    }
    Ok(())
}

/// The same server by TLS, with an ECDSA certificate that signs itself.
fn serve_tls() -> Result<(SocketAddr, Authorities), Box<dyn std::error::Error>> {
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(vec!["example.test".into()])?.self_signed(&key)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der())?)?;
    let config = Arc::new(config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let Ok(mut session) = ServerConnection::new(Arc::clone(&config)) else { return };
            let mut stream = Stream::new(&mut session, &mut stream);
            let mut request = [0; 512];
            if stream.read(&mut request).is_ok_and(|length| length > 0) {
                // Whoever has gone needs no answer.
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        }
    });
    Ok((address, Authorities::from_pem(certificate.pem().as_bytes())?))
}

fn cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
