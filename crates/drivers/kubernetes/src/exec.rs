//! A token that a program makes, as the kubeconfigs of managed clusters say. The program is run ahead of time: before anything is asked,
//! and again while the last token is good for a while yet, so that no request waits for it.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

/// How long before its end a token is not used any more; of a token that lasts less than four times as long, a quarter of that.
const MARGIN: Duration = Duration::from_secs(60);
/// For how long a token is used that does not say until when it is good.
const UNSAID: Duration = Duration::from_secs(300);
/// When it is not known for sure what the time is on both sides, a token may seem to have ended when it is made.
const PACE: Pace = Pace {
    shortest: Duration::from_secs(10),
    // `aws eks get-token` takes one to three seconds, `az account get-access-token` up to fifteen, and `kubelogin` ends itself after 30.
    longest: Duration::from_secs(30),
    again: Duration::from_secs(1),
    seldom: Duration::from_secs(30),
};

/// How often a program is run.
#[derive(Clone, Copy)]
struct Pace {
    /// For so long a token is used at least, whatever it says of itself, and no other one made in its place.
    shortest: Duration,
    /// A program that takes longer is ended.
    longest: Duration,
    /// After a failure the program is run again so much later, twice as long after each further one,
    again: Duration,
    /// but never longer than this.
    seldom: Duration,
}

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

/// A program that makes tokens, with what it has made last.
pub(crate) struct Exec {
    config: ExecConfig,
    /// Where a relative path of the command starts.
    folder: Option<PathBuf>,
    pace: Pace,
    kept: watch::Sender<Kept>,
    wanted: Notify,
}

/// The last token, and why there is none.
#[derive(Default)]
struct Kept {
    made: Option<Made>,
    failure: Option<String>,
}

struct Made {
    token: String,
    at: Instant,
    /// It is not used any more from then on.
    until: Instant,
}

impl Kept {
    fn good(&self) -> Option<&Made> {
        self.made.as_ref().filter(|made| Instant::now() < made.until)
    }
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
        Self { config, folder, pace: PACE, kept: watch::Sender::default(), wanted: Notify::new() }
    }

    /// Makes tokens for as long as it is run.
    pub(crate) async fn keep(&self) {
        let mut again = self.pace.again;
        loop {
            let ran = timeout(self.pace.longest, self.run()).await;
            let late = || self.wrong(&format!("no token within {} s", self.pace.longest.as_secs_f32()));
            let wait = match ran.unwrap_or_else(|_| Err(late())) {
                Ok((token, lasts)) => {
                    let at = Instant::now();
                    let usable = lasts.saturating_sub(MARGIN.min(lasts / 4)).max(self.pace.shortest);
                    self.kept.send_replace(Kept { made: Some(Made { token, at, until: at + usable }), failure: None });
                    again = self.pace.again;
                    // Half of its time is left for those who have to try more than once.
                    (lasts / 2).max(self.pace.shortest)
                }
                Err(error) => {
                    tracing::warn!("{error}");
                    self.kept.send_modify(|kept| kept.failure = Some(error.to_string()));
                    let wait = again;
                    again = (again * 2).min(self.pace.seldom);
                    wait
                }
            };
            tokio::select! {
                () = sleep(wait) => {}
                () = self.wanted.notified() => {}
            }
        }
    }

    /// A token that is good for a while. It is there already, but for the first one; the caller bounds the wait.
    pub(crate) async fn token(&self) -> io::Result<String> {
        let mut kept = self.kept.subscribe();
        loop {
            {
                let kept = kept.borrow_and_update();
                if let Some(made) = kept.good() {
                    return Ok(made.token.clone());
                }
                if let Some(failure) = &kept.failure {
                    return Err(io::Error::other(failure.clone()));
                }
            }
            kept.changed().await.map_err(io::Error::other)?;
        }
    }

    /// What a request waits for whose time is over, if it is for a token.
    pub(crate) fn waits(&self) -> Option<String> {
        let is_there = self.kept.borrow().good().is_some();
        (!is_there).then(|| self.wrong("it has not made a token yet").to_string())
    }

    /// The server does not take the token: it was revoked, or a clock is wrong, or the machine has slept. False: it is so new that another
    /// one would be no better.
    pub(crate) fn forget(&self) -> bool {
        let forgotten = self
            .kept
            .send_if_modified(|kept| kept.made.take_if(|made| made.at.elapsed() >= self.pace.shortest).is_some());
        if forgotten {
            self.wanted.notify_one();
        }
        forgotten
    }

    fn wrong(&self, what: &str) -> io::Error {
        io::Error::other(format!("`{}` of the kubeconfig: {what}", self.config.command))
    }

    async fn run(&self) -> io::Result<(String, Duration)> {
        let command = &self.config.command;
        let program = match &self.folder {
            Some(folder) if command.contains('/') => folder.join(command),
            Some(_) | None => PathBuf::from(command),
        };
        let wrong = |what: String| self.wrong(&what);
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
                Duration::try_from(left).unwrap_or_default()
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

    /// The first answer while the program is run as it has to be.
    async fn token(exec: &Exec) -> io::Result<String> {
        tokio::select! {
            token = exec.token() => token,
            () = exec.keep() => unreachable!("it goes on for ever"),
        }
    }

    #[tokio::test]
    async fn a_token_is_used_for_as_long_as_it_is_good() {
        let folder = tempfile::tempdir().unwrap();
        let credential = r#"{\"status\": {\"token\": \"$TOKEN\", \"expirationTimestamp\": \"2999-01-01T00:00:00Z\"}}"#;
        let exec = exec(folder.path(), &format!("echo \"{credential}\""));
        assert_eq!(token(&exec).await.unwrap(), "made");
        assert_eq!(exec.token().await.unwrap(), "made");
        assert!(!exec.forget(), "it is new");
        assert_eq!(runs(folder.path()), 1);
    }

    /// Tokens that last six seconds from a program that takes a quarter of one: whoever asks has one at once, all the time.
    #[tokio::test]
    async fn nobody_waits_for_the_next_token() {
        let folder = tempfile::tempdir().unwrap();
        let ends = "$(date -u -d '+6 seconds' +%Y-%m-%dT%H:%M:%S.%NZ)";
        let credential =
            format!(r#"{{\"status\": {{\"token\": \"t-$(wc -l < runs)\", \"expirationTimestamp\": \"{ends}\"}}}}"#);
        let script = format!("cd '{}'; sleep 0.25; echo \"{credential}\"", folder.path().display());
        let mut exec = exec(folder.path(), &script);
        exec.pace.shortest = Duration::from_millis(200);
        let story = async {
            exec.token().await.unwrap();
            let mut last = String::new();
            while last != "t-3" {
                let at_once = timeout(Duration::ZERO, exec.token()).await;
                last = at_once.unwrap_or_else(|_| panic!("waits for the one after {last}")).unwrap();
                sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = story => {}
            () = exec.keep() => {}
        }
    }

    /// What it has made is used on while it fails, and it is run again.
    #[tokio::test]
    async fn a_program_that_fails_or_hangs_is_run_again() {
        for fails in ["exit 1", "sleep 60"] {
            let folder = tempfile::tempdir().unwrap();
            let script = format!(
                r#"cd '{}'; [ $(wc -l < runs) = 2 ] && {fails}; echo "{{\"status\": {{\"token\": \"t-$(wc -l < runs)\"}}}}""#,
                folder.path().display()
            );
            let mut exec = exec(folder.path(), &script);
            let short = Duration::from_millis(200);
            exec.pace = Pace { shortest: Duration::ZERO, longest: short * 5, again: short, seldom: short };
            let story = async {
                assert_eq!(exec.token().await.unwrap(), "t-1");
                exec.wanted.notify_one();
                while exec.kept.borrow().failure.is_none() {
                    assert_eq!(exec.token().await.unwrap(), "t-1", "{fails}");
                    sleep(Duration::from_millis(5)).await;
                }
                while exec.token().await.unwrap() != "t-3" {
                    sleep(Duration::from_millis(5)).await;
                }
                // The server takes it no more.
                assert!(exec.forget());
                assert_eq!(exec.token().await.unwrap(), "t-4", "{fails}");
            };
            tokio::select! {
                () = story => {}
                () = exec.keep() => {}
            }
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
            let said = token(&exec(folder.path(), prints)).await.unwrap_err().to_string();
            assert!(said.contains(expected), "{prints}: {said}");
            assert!(!said.contains("hush"), "{said}");
        }
    }
}
