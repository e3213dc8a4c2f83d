//! A context of a kubeconfig: which server it names, whom to trust there, and who this node is.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::access::{Access, AccessError, Credentials, Tls, client_config};
use crate::exec::{Exec, ExecConfig};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Kubeconfig {
    clusters: Vec<Named<ClusterEntry>>,
    contexts: Vec<Named<ContextEntry>>,
    users: Vec<Named<UserEntry>>,
}

#[derive(Deserialize)]
struct Named<T> {
    name: String,
    #[serde(alias = "cluster", alias = "context", alias = "user")]
    value: Option<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ClusterEntry {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    tls_server_name: Option<String>,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
    proxy_url: Option<String>,
}

#[derive(Deserialize)]
struct ContextEntry {
    cluster: String,
    #[serde(default)]
    user: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct UserEntry {
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    exec: Option<ExecConfig>,
}

/// An entry with the file that it stands in, from whose directory its paths start.
struct Found<'a, T> {
    file: &'a Path,
    value: &'a T,
}

/// The access that a context gives. Of entries with the same name the first one counts, as everywhere.
pub(crate) fn access(files: &[PathBuf], context: &str) -> Result<Access, AccessError> {
    let mut read = Vec::new();
    for path in files {
        match fs::read_to_string(path) {
            Ok(text) => {
                let parsed: Kubeconfig = serde_saphyr::from_str(&text)
                    .map_err(|error| AccessError::Content { path: path.clone(), what: unreadable(&error) })?;
                read.push((path.as_path(), parsed));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(AccessError::File { path: path.clone(), source }),
        }
    }
    let Some(chosen) = find(&read, |config| &config.contexts, context) else {
        let names = read.iter().flat_map(|(_, config)| config.contexts.iter().map(|context| context.name.clone()));
        return Err(AccessError::NoContext { context: context.to_owned(), known: names.collect() });
    };
    let wrong = |file: &Path, what: String| AccessError::Content { path: file.to_owned(), what };
    let name = &chosen.value.cluster;
    let cluster = find(&read, |config| &config.clusters, name).ok_or_else(|| {
        wrong(chosen.file, format!("context `{context}` names the cluster `{name}`, which is not there"))
    })?;
    let nobody = UserEntry::default();
    let user = match chosen.value.user.as_str() {
        "" => Found { file: chosen.file, value: &nobody },
        name => find(&read, |config| &config.users, name).ok_or_else(|| {
            wrong(chosen.file, format!("context `{context}` names the user `{name}`, which is not there"))
        })?,
    };
    let entry = cluster.value;
    for (is_there, what) in [
        (
            entry.insecure_skip_tls_verify,
            "`insecure-skip-tls-verify`: whoever answers could scale the app; name the authority instead",
        ),
        (entry.proxy_url.is_some(), "`proxy-url` is not supported: reach the API itself"),
    ] {
        if is_there {
            return Err(wrong(cluster.file, format!("cluster `{name}`: {what}")));
        }
    }
    let (has_tls, host, port, prefix) =
        server(&entry.server).map_err(|what| wrong(cluster.file, format!("cluster `{name}`: {what}")))?;
    if !has_tls && !is_here(&host) {
        let what =
            format!("cluster `{name}`: whoever can listen on the way to `{host}` reads the token; expected https://");
        return Err(wrong(cluster.file, what));
    }
    let tls = if has_tls { Some(tls(&cluster, &user, &host)?) } else { None };
    Ok(Access { host, port, prefix, tls, credentials: credentials(&user)? })
}

/// Where it cannot be read. Not what stands there: that, or what is near it, may be a secret.
fn unreadable(error: &serde_saphyr::Error) -> String {
    let place = error.location().map(|at| format!("line {}, column {}: ", at.line(), at.column()));
    format!("{}expected clusters, contexts and users, as `kubectl config view` shows them", place.unwrap_or_default())
}

fn find<'a, T>(
    read: &'a [(&'a Path, Kubeconfig)],
    entries: impl Fn(&'a Kubeconfig) -> &'a Vec<Named<T>>,
    name: &str,
) -> Option<Found<'a, T>> {
    read.iter().find_map(|(file, config)| {
        let found = entries(config).iter().find(|entry| entry.name == name)?;
        Some(Found { file, value: found.value.as_ref()? })
    })
}

/// `https://host:port/prefix`: whether by TLS, host, port, prefix.
fn server(url: &str) -> Result<(bool, String, u16, String), String> {
    // What stands before an @ is a password, perhaps.
    let shown = if url.contains('@') { "…@…" } else { url };
    let expected = || format!("server `{shown}`: expected https://HOST[:PORT][/PATH]");
    let (scheme, rest) = url.split_once("://").ok_or_else(expected)?;
    let has_tls = match scheme {
        "https" => true,
        "http" => false,
        _ => return Err(expected()),
    };
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
    let standard = if has_tls { 443 } else { 80 };
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, standard),
        Some((host, port)) => (host, port.strip_prefix(':').and_then(|port| port.parse().ok()).ok_or_else(expected)?),
        None => match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| expected())?),
            None => (authority, standard),
        },
    };
    if host.is_empty() || host.contains('@') {
        return Err(expected());
    }
    let prefix = path.trim_end_matches('/');
    Ok((has_tls, host.to_owned(), port, if prefix.is_empty() { String::new() } else { format!("/{prefix}") }))
}

/// Whether it is this machine: `kubectl proxy`.
fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn tls(cluster: &Found<'_, ClusterEntry>, user: &Found<'_, UserEntry>, host: &str) -> Result<Tls, AccessError> {
    let entry = cluster.value;
    let wrong = |file: &Path, what: String| AccessError::Content { path: file.to_owned(), what };
    let ca =
        pem(cluster.file, "certificate-authority", &entry.certificate_authority, &entry.certificate_authority_data)?
            .ok_or_else(|| {
                wrong(cluster.file, "expected `certificate-authority` or `certificate-authority-data`".into())
            })?;
    let who = user.value;
    let certificate = pem(user.file, "client-certificate", &who.client_certificate, &who.client_certificate_data)?;
    let key = pem(user.file, "client-key", &who.client_key, &who.client_key_data)?;
    let own = match (&certificate, &key) {
        (Some(certificate), Some(key)) => Some((certificate.as_slice(), key.as_slice())),
        (None, None) => None,
        _ => return Err(wrong(user.file, "expected both `client-certificate` and `client-key`, or neither".into())),
    };
    let config = client_config(&ca, own).map_err(|what| wrong(cluster.file, what))?;
    Tls::new(config, entry.tls_server_name.as_deref().unwrap_or(host)).map_err(|what| wrong(cluster.file, what))
}

/// What stands in the entry itself counts more than a file that it names.
fn pem(
    file: &Path,
    field: &str,
    path: &Option<PathBuf>,
    data: &Option<String>,
) -> Result<Option<Vec<u8>>, AccessError> {
    match (data, path) {
        (Some(data), _) => match STANDARD.decode(data.trim()) {
            Ok(pem) => Ok(Some(pem)),
            Err(error) => Err(AccessError::Content {
                path: file.to_owned(),
                what: format!("`{field}-data` is not Base64: {error}"),
            }),
        },
        (None, Some(path)) => {
            let path = beside(file, path);
            fs::read(&path).map(Some).map_err(|source| AccessError::File { path, source })
        }
        (None, None) => Ok(None),
    }
}

fn credentials(user: &Found<'_, UserEntry>) -> Result<Credentials, AccessError> {
    let who = user.value;
    Ok(match (&who.exec, &who.token_file, &who.token) {
        (Some(exec), _, _) => Credentials::Exec(Exec::new(exec.clone(), user.file.parent().map(Path::to_owned))),
        (None, Some(path), _) => Credentials::File(beside(user.file, path)),
        (None, None, Some(token)) => Credentials::Token(token.clone()),
        (None, None, None) => Credentials::None,
    })
}

fn beside(file: &Path, path: &Path) -> PathBuf {
    file.parent().map_or_else(|| path.to_owned(), |folder| folder.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers() {
        let of = |url| server(url).map(|(tls, host, port, prefix)| format!("{tls} {host} {port} {prefix}"));
        for (url, expected) in [
            ("https://10.0.0.1", "true 10.0.0.1 443 "),
            ("https://api.example.com:6443/", "true api.example.com 6443 "),
            ("https://rancher.example.com/k8s/clusters/c-1", "true rancher.example.com 443 /k8s/clusters/c-1"),
            ("http://127.0.0.1:8001", "false 127.0.0.1 8001 "),
            ("https://[fd00::1]:6443", "true fd00::1 6443 "),
            ("https://[fd00::1]", "true fd00::1 443 "),
        ] {
            assert_eq!(of(url).as_deref(), Ok(expected), "{url}");
        }
        for url in ["10.0.0.1", "ftp://a", "https://", "https://:6443", "https://a:b", "https://u@a"] {
            assert!(of(url).is_err(), "{url}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        let said = |text: &str, context: &str| {
            fs::write(&file, text).unwrap();
            let said = access(std::slice::from_ref(&file), context).unwrap_err().to_string();
            said.replace(file.to_str().unwrap(), "FILE")
        };
        let with = |cluster: &str, user: &str| {
            format!(
                "contexts: [{{name: south, context: {{cluster: c, user: u}}}}]\nclusters: [{{name: c, cluster: {cluster}}}]\nusers: [{{name: \
                 u, user: {user}}}]\n"
            )
        };
        for (text, context, expected) in [
            ("{}".to_owned(), "south", "there is no kubeconfig"),
            (with("{server: 'http://a'}", "{}"), "north", "the kubeconfig has south"),
            (with("{server: a}", "{}"), "south", "FILE: cluster `c`: server `a`: expected https://HOST[:PORT][/PATH]"),
            (with("{server: 'https://me:hush@a'}", "{}"), "south", "FILE: cluster `c`: server `…@…`: expected"),
            (
                with("{server: 'http://a'}", "{token: hush}"),
                "south",
                "FILE: cluster `c`: whoever can listen on the way to `a`",
            ),
            (with("{server: 'https://a'}", "{}"), "south", "FILE: expected `certificate-authority` or"),
            (
                with("{server: 'https://a', certificate-authority-data: '?'}", "{}"),
                "south",
                "FILE: `certificate-authority-data` is not Base64",
            ),
            (with("{server: 'https://a', certificate-authority: gone.pem}", "{}"), "south", "gone.pem: No such file"),
            (
                with("{server: 'https://a', insecure-skip-tls-verify: true}", "{}"),
                "south",
                "FILE: cluster `c`: `insecure-skip-tls-verify`",
            ),
            (
                with("{server: 'http://a'}", "{}").replace("name: c,", "name: d,"),
                "south",
                "names the cluster `c`, which is not there",
            ),
            ("contexts: 3".to_owned(), "south", "FILE: "),
            // What cannot be read may be a secret: where it stands is said, never what it is.
            (with("{server: 'http://a'}", "{token: [hush]}"), "south", "FILE: "),
            (with("{server: 'http://a'}", "hush"), "south", "FILE: "),
            (with("{server: 'http://a'}", "{token: hush, exec: 3}"), "south", "FILE: "),
            (with("{server: 'http://a'}", "{token: hush"), "south", "FILE: "),
            (with("{server: 'http://a'}", "{token: hush, token: hush}"), "south", "FILE: "),
        ] {
            let said = said(&text, context);
            assert!(said.contains(expected), "{text}\n{said}");
            assert!(!said.contains("hush"), "{said}");
        }
    }
}
