//! A real API server, of Kubernetes 1.20 as `tools/kube-apiserver` builds it, with an etcd of its own and, where a test wants them, the
//! controllers; all on free ports of 127.0.0.1 and in a temporary folder, and gone with the value, or with the test program however that
//! ends. What it is not: machines. A test plays the kubelet (`kubelet`).
//!
//! Where the server was not built, or etcd or kubectl are not installed, that is said on standard error as `skipped`.

#![allow(clippy::unwrap_used, reason = "what a test helper cannot do fails the test")]
#![allow(dead_code, reason = "each test crate uses its part")]

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

pub mod kubelet;
pub mod relay;

/// The administrator's token; nobody but this test can reach the server.
const ADMIN: &str = "admin-of-the-tests";
/// How long a server may take to start, and anything to come true: two cores may be busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The programs that it takes.
struct Programs {
    api: PathBuf,
    controllers: PathBuf,
    etcd: PathBuf,
    kubectl: PathBuf,
}

/// A running cluster without machines.
pub struct ApiServer {
    folder: tempfile::TempDir,
    programs: Programs,
    etcd: Child,
    api: Child,
    controllers: Option<Child>,
    pub port: u16,
    etcd_port: u16,
    pub ca: String,
    tls: Arc<ClientConfig>,
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        let controllers = self.controllers.iter_mut();
        for child in controllers.chain([&mut self.api, &mut self.etcd]) {
            // Those that have ended already are what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// An API server that another one has taken over from.
pub struct First(Child);

impl Drop for First {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl ApiServer {
    /// Starts one, without controllers: only the server. `None`: it is not to be had here, which is said.
    pub async fn start() -> Option<Self> {
        let programs = Programs::find()?;
        let folder = tempfile::tempdir().unwrap();
        let (ca, tls) = certificates(folder.path());
        std::fs::write(folder.path().join("tokens.csv"), format!("{ADMIN},admin,admin,system:masters\n")).unwrap();
        let [port, etcd_port, peer_port] = free_ports();
        let etcd = start_etcd(&programs.etcd, folder.path(), etcd_port, peer_port);
        let api = start_api(&programs.api, folder.path(), port, etcd_port);
        let kubeconfig = kubeconfig(port, &ca, "admin", ADMIN);
        std::fs::write(folder.path().join("admin.yaml"), kubeconfig).unwrap();
        let mut server = Self { folder, programs, etcd, api, controllers: None, port, etcd_port, ca, tls };
        server.until_ready().await;
        Some(server)
    }

    /// One with the controllers of Deployments, their pods and autoscalers.
    pub async fn start_with_controllers() -> Option<Self> {
        let mut server = Self::start().await?;
        let [port] = free_ports();
        let folder = server.folder.path();
        let mut command = owned(&server.programs.controllers, folder, "controllers");
        command
            .args(["--bind-address=127.0.0.1", &format!("--secure-port={port}"), "--port=0", "--leader-elect=false"])
            .args(["--controllers=deployment,replicaset,horizontalpodautoscaling,serviceaccount,serviceaccount-token"])
            .args(["--horizontal-pod-autoscaler-sync-period=1s", "--concurrent-serviceaccount-token-syncs=1"])
            .arg(format!("--cert-dir={}", folder.join("controllers").display()))
            .arg(format!("--kubeconfig={}", folder.join("admin.yaml").display()))
            .arg(format!("--service-account-private-key-file={}", folder.join("accounts.key").display()))
            .arg(format!("--root-ca-file={}", folder.join("ca.crt").display()));
        server.controllers = Some(command.spawn().unwrap());
        Some(server)
    }

    async fn until_ready(&mut self) {
        let since = std::time::Instant::now();
        while !matches!(self.ask("GET", "/readyz", None).await, Ok((200, _))) {
            let is_over = self.api.try_wait().unwrap().is_some() || since.elapsed() > PATIENCE;
            let log = || std::fs::read_to_string(self.folder.path().join("api.log")).unwrap_or_default();
            assert!(!is_over, "the API server does not start: {}", last_lines(&log(), 20));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Ends the API server as a machine's loss does. What is stored stays.
    pub fn kill(&mut self) {
        self.api.kill().unwrap();
        self.api.wait().unwrap();
    }

    /// Starts it again, at the same port.
    pub async fn start_again(&mut self) {
        self.api = start_api(&self.programs.api, self.folder.path(), self.port, self.etcd_port);
        self.until_ready().await;
    }

    /// Starts a second API server on the same store, which is this one from now on. The first one goes on until what is returned is gone.
    pub async fn start_beside(&mut self) -> First {
        [self.port] = free_ports();
        let api = start_api(&self.programs.api, self.folder.path(), self.port, self.etcd_port);
        let first = First(std::mem::replace(&mut self.api, api));
        self.until_ready().await;
        let kubeconfig = kubeconfig(self.port, &self.ca, "admin", ADMIN);
        std::fs::write(self.folder.path().join("admin.yaml"), kubeconfig).unwrap();
        first
    }

    /// Freezes the API server, or lets it go on.
    pub fn freeze(&self, is_frozen: bool) {
        let signal = if is_frozen { "-STOP" } else { "-CONT" };
        assert!(Command::new("kill").args([signal, &self.api.id().to_string()]).status().unwrap().success());
    }

    /// Runs kubectl as the administrator, with something on its standard input.
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(&self.programs.kubectl)
            .args(arguments)
            .env("KUBECONFIG", self.folder.path().join("admin.yaml"))
            .env("HOME", self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// As a person applies a file; fails the test if anything is refused.
    pub fn apply(&self, input: &str) {
        let output = self.kubectl(&["apply", "--filename=-"], input);
        assert!(output.status.success(), "{input}\n{}", String::from_utf8_lossy(&output.stderr));
    }

    /// What a folder is after `kubectl kustomize`.
    pub fn kustomized(&self, folder: &Path) -> String {
        let output = self.kubectl(&["kustomize", folder.to_str().unwrap()], "");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Asks as the administrator: the status, and the body.
    pub async fn ask(&self, method: &str, path: &str, body: Option<(&str, &Value)>) -> Result<(u16, Value), String> {
        let asked = async {
            let name = ServerName::try_from("127.0.0.1").unwrap();
            let stream = TcpStream::connect(("127.0.0.1", self.port)).await.map_err(|error| error.to_string())?;
            let connector = TlsConnector::from(self.tls.clone());
            let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header("Host", "127.0.0.1")
                .header("Authorization", format!("Bearer {ADMIN}"))
                .header("Content-Type", body.map_or("application/json", |(kind, _)| kind))
                .body(Full::new(body.map(|(_, body)| Bytes::from(body.to_string())).unwrap_or_default()))
                .unwrap();
            let exchange = async {
                let answer = sender.send_request(request).await?;
                let status = answer.status().as_u16();
                Ok::<_, hyper::Error>((status, answer.into_body().collect().await?.to_bytes()))
            };
            tokio::select! {
                answer = exchange => answer.map_err(|error| error.to_string()),
                ended = connection => Err(format!("{ended:?}")),
            }
        };
        let answer = tokio::time::timeout(Duration::from_secs(20), asked).await;
        let (status, bytes) = answer.map_err(|_| "no answer within 20 s".to_owned())??;
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        Ok((status, serde_json::from_slice(&bytes).unwrap_or_else(|_| text())))
    }

    /// The object at a path.
    pub async fn object(&self, path: &str) -> Option<Value> {
        match self.ask("GET", path, None).await.unwrap() {
            (200, object) => Some(object),
            (404, _) => None,
            other => panic!("{path}: {other:?}"),
        }
    }

    /// Merges into the object at a path, as somebody else does.
    pub async fn merge(&self, path: &str, change: &Value) {
        let path = format!("{path}?fieldManager=somebody");
        let (status, said) = self.ask("PATCH", &path, Some(("application/merge-patch+json", change))).await.unwrap();
        assert_eq!(status, 200, "{path}: {said}");
    }

    /// Makes an object in a collection.
    pub async fn post(&self, path: &str, object: &Value) -> Value {
        let (status, said) = self.ask("POST", path, Some(("application/json", object))).await.unwrap();
        assert!((200..300).contains(&status), "{path}: {status} {said}");
        said
    }

    /// Deletes what is at a path, at once.
    pub async fn delete(&self, path: &str) {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0});
        let (status, said) = self.ask("DELETE", path, Some(("application/json", &options))).await.unwrap();
        assert!(matches!(status, 200 | 202 | 404), "{path}: {status} {said}");
    }

    /// Applies an object on the server's side, as tools that work from Git do.
    pub async fn apply_as(&self, manager: &str, path: &str, object: &Value) {
        let path = format!("{path}?fieldManager={manager}&force=true");
        let (status, said) = self.ask("PATCH", &path, Some(("application/apply-patch+yaml", object))).await.unwrap();
        assert!(matches!(status, 200 | 201), "{path}: {status} {said}");
    }

    /// A token of a service account, as a pod gets one.
    pub async fn token(&self, namespace: &str, account: &str) -> String {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}});
        self.post(&path, &request).await["status"]["token"].as_str().unwrap().to_owned()
    }

    /// How many requests with these labels, such as `code="409"`, the server has answered.
    pub async fn answered(&self, labels: &[&str]) -> u64 {
        let (_, text) = self.ask("GET", "/metrics", None).await.unwrap();
        let lines = text.as_str().unwrap().lines().filter(|line| line.starts_with("apiserver_request_total{"));
        let wanted = lines.filter(|line| labels.iter().all(|label| line.contains(label)));
        wanted.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
    }

    /// Who a driver is to this server, through a port that may be another one's.
    pub fn kubeconfig(&self, port: u16, context: &str, token: &str) -> String {
        kubeconfig(port, &self.ca, context, token)
    }
}

impl Programs {
    fn find() -> Option<Self> {
        let beside = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = beside.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")))?;
        let built = cache.join("lifeboat/kube/bin");
        if !built.join("made").is_file() {
            return skipped("no real Kubernetes API server: `make kube` builds one, in some minutes");
        }
        let found = |name: &str| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let file = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
            file.or_else(|| skipped(&format!("no real Kubernetes API server: {name} is not installed")))
        };
        Some(Self {
            api: built.join("kube-apiserver"),
            controllers: built.join("kube-controller-manager"),
            etcd: found("etcd")?,
            kubectl: found("kubectl")?,
        })
    }
}

fn skipped<T>(why: &str) -> Option<T> {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
    None
}

/// A program that ends with this process, its output in a file of the folder.
fn owned(program: &Path, folder: &Path, name: &str) -> Command {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join(format!("{name}.log"))).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program).stdin(Stdio::null());
    command.stdout(log.try_clone().unwrap()).stderr(log);
    command
}

fn start_etcd(program: &Path, folder: &Path, port: u16, peer_port: u16) -> Child {
    let (url, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer_port}"));
    let mut command = owned(program, folder, "etcd");
    // What is lost with the machine is not worth a disk's time.
    command.args(["--unsafe-no-fsync", "--data-dir"]).arg(folder.join("etcd"));
    command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url, "--listen-peer-urls", &peer]);
    command.args(["--initial-advertise-peer-urls", &peer, "--initial-cluster", &format!("default={peer}")]);
    command.spawn().unwrap()
}

fn start_api(program: &Path, folder: &Path, port: u16, etcd_port: u16) -> Child {
    let file = |name: &str| folder.join(name).display().to_string();
    let mut command = owned(program, folder, "api");
    command
        .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"])
        .args([format!("--secure-port={port}"), format!("--etcd-servers=http://127.0.0.1:{etcd_port}")])
        .args(["--authorization-mode=RBAC", "--anonymous-auth=false", "--service-cluster-ip-range=10.99.0.0/24"])
        .arg(format!("--token-auth-file={}", file("tokens.csv")))
        .args([
            format!("--tls-cert-file={}", file("server.crt")),
            format!("--tls-private-key-file={}", file("server.key")),
        ])
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .arg(format!("--service-account-key-file={}", file("accounts.pub")))
        .arg(format!("--service-account-signing-key-file={}", file("accounts.key")));
    command.spawn().unwrap()
}

/// Writes what the server shows and signs with; the authority, and a client's settings that trust it.
fn certificates(folder: &Path) -> (String, Arc<ClientConfig>) {
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "authority of the tests");
    let authority_key = KeyPair::generate().unwrap();
    let ca = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let accounts = KeyPair::generate().unwrap();
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    for (name, content) in [
        ("ca.crt", ca.clone()),
        ("server.crt", certificate.pem()),
        ("server.key", key.serialize_pem()),
        ("accounts.key", accounts.serialize_pem()),
        ("accounts.pub", accounts.public_key_pem()),
    ] {
        std::fs::write(folder.join(name), content).unwrap();
    }
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (ca, Arc::new(config))
}

fn kubeconfig(port: u16, ca: &str, context: &str, token: &str) -> String {
    use base64::Engine as _;
    let ca = base64::engine::general_purpose::STANDARD.encode(ca);
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": context,
        "clusters": [{"name": "c", "cluster": {"server": format!("https://127.0.0.1:{port}"), "certificate-authority-data": ca}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": context, "context": {"cluster": "c", "user": "u"}}],
    });
    config.to_string()
}

/// Ports that nobody has at the moment, all different.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Waits until a question to the server is answered with yes; the message says what was waited for.
pub async fn until_so<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let patience = tokio::time::timeout(PATIENCE, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    assert!(patience.await.is_ok(), "never: {what}");
}
