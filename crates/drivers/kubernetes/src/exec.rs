//! A token that a program makes, as the kubeconfigs of managed clusters say: it is run when the last token has run out.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long before its end a token is not used any more.
const MARGIN: Duration = Duration::from_secs(60);
/// For how long a token is used that does not say until when it is good.
const UNSAID: Duration = Duration::from_secs(300);
/// For how long no other token is made in place of one that the server does not take.
const NEW: Duration = Duration::from_secs(10);

/// `exec` of a kubeconfig's user.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExecConfig {
    api_version: String,
    command: String,
    #[serde(default)]
    args: Option<Vec<String>>,
    #[serde(default)]
    env: Option<Vec<Variable>>,
}

#[derive(Clone, Deserialize)]
struct Variable {
    name: String,
    value: String,
}

/// A program that makes tokens, with the last one that it made.
pub(crate) struct Exec {
    config: ExecConfig,
    /// Where a relative path of the command starts.
    folder: Option<PathBuf>,
    last: Mutex<Option<Made>>,
}

struct Made {
    token: String,
    at: Instant,
    /// When it is to be made anew.
    until: Instant,
}

#[derive(Deserialize)]
struct Credential {
    status: Option<CredentialStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CredentialStatus {
    token: Option<String>,
    expiration_timestamp: Option<String>,
}

impl Exec {
    pub(crate) fn new(config: ExecConfig, folder: Option<PathBuf>) -> Self {
        Self { config, folder, last: Mutex::default() }
    }

    /// A token that is good for a while. The caller bounds the wait; a program that takes longer is ended.
    pub(crate) async fn token(&self) -> io::Result<String> {
        let mut last = self.last.lock().await;
        if let Some(made) = last.as_ref().filter(|made| Instant::now() < made.until) {
            return Ok(made.token.clone());
        }
        let (token, lasts) = self.run().await?;
        let at = Instant::now();
        *last = Some(Made { token: token.clone(), at, until: at + lasts });
        Ok(token)
    }

    /// The server does not take the token: it was revoked, or a clock is wrong, or the machine has slept. False: it is so new that another
    /// one would be no better.
    pub(crate) async fn forget(&self) -> bool {
        self.last.lock().await.take_if(|made| made.at.elapsed() >= NEW).is_some()
    }

    async fn run(&self) -> io::Result<(String, Duration)> {
        let command = &self.config.command;
        let program = match &self.folder {
            Some(folder) if command.contains('/') => folder.join(command),
            Some(_) | None => PathBuf::from(command),
        };
        let wrong = |what: String| io::Error::other(format!("`{command}` of the kubeconfig: {what}"));
        let asked = serde_json::json!({
            "apiVersion": self.config.api_version, "kind": "ExecCredential", "spec": {"interactive": false},
        });
        let output = Command::new(program)
            .args(self.config.args.iter().flatten())
            .envs(self.config.env.iter().flatten().map(|variable| (&variable.name, &variable.value)))
            .env("KUBERNETES_EXEC_INFO", asked.to_string())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| wrong(error.to_string()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(wrong(format!("{}: {}", output.status, said.lines().last().unwrap_or_default())));
        }
        // Where it is wrong, and not what stands there: that may be the token.
        let credential: Credential = serde_json::from_slice(&output.stdout).map_err(|error| {
            wrong(format!("expected an ExecCredential: line {}, column {}", error.line(), error.column()))
        })?;
        let status = credential.status.ok_or_else(|| wrong("expected an ExecCredential with a status".into()))?;
        let token = status.token.ok_or_else(|| wrong("expected a token; certificates are not supported".into()))?;
        let lasts = match status.expiration_timestamp {
            Some(end) => {
                let end: jiff::Timestamp =
                    end.parse().map_err(|_| wrong(format!("expected a time in expirationTimestamp, not `{end}`")))?;
                let left = end.duration_since(jiff::Timestamp::now());
                Duration::try_from(left).unwrap_or_default().saturating_sub(MARGIN)
            }
            None => UNSAID,
        };
        Ok((token, lasts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that counts in a file how often it was run, and prints what it is given.
    fn exec(folder: &std::path::Path, prints: &str) -> Exec {
        let script = format!("echo run >> '{}/runs'; {prints}", folder.display());
        let config = serde_json::json!({"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", script],
            "env": [{"name": "TOKEN", "value": "made"}]});
        Exec::new(serde_json::from_value(config).unwrap(), Some(folder.to_owned()))
    }

    fn runs(folder: &std::path::Path) -> usize {
        std::fs::read_to_string(folder.join("runs")).unwrap().lines().count()
    }

    #[tokio::test]
    async fn a_token_is_made_anew_when_it_runs_out() {
        for (ends, expected) in [("2999-01-01T00:00:00Z", 1), ("2000-01-01T00:00:00Z", 2)] {
            let folder = tempfile::tempdir().unwrap();
            let credential =
                format!(r#"{{\"status\": {{\"token\": \"$TOKEN\", \"expirationTimestamp\": \"{ends}\"}}}}"#);
            let exec = exec(folder.path(), &format!("echo \"{credential}\""));
            for _ in 0..2 {
                assert_eq!(exec.token().await.unwrap(), "made");
            }
            assert_eq!(runs(folder.path()), expected, "{ends}");
        }
    }

    #[tokio::test]
    async fn what_a_program_does_wrong_is_said() {
        let folder = tempfile::tempdir().unwrap();
        for (prints, expected) in [
            ("echo 'log in first' >&2; exit 3", "`sh` of the kubeconfig: exit status: 3: log in first"),
            (r#"echo '"hush"'"#, "`sh` of the kubeconfig: expected an ExecCredential"),
            (r#"echo '{"status": "hush"}'"#, "`sh` of the kubeconfig: expected an ExecCredential"),
            (r#"echo '{"status": {"token": ["hush"]}}'"#, "`sh` of the kubeconfig: expected an ExecCredential"),
            ("echo hello", "`sh` of the kubeconfig: expected an ExecCredential: "),
            ("echo '{}'", "`sh` of the kubeconfig: expected an ExecCredential with a status"),
            (r#"echo '{"status": {}}'"#, "`sh` of the kubeconfig: expected a token"),
            (r#"echo '{"status": {"token": "t", "expirationTimestamp": "soon"}}'"#, "not `soon`"),
        ] {
            let said = exec(folder.path(), prints).token().await.unwrap_err().to_string();
            assert!(said.contains(expected), "{prints}: {said}");
            assert!(!said.contains("hush"), "{said}");
        }
    }
}
