//! What a driver makes of a cluster that answers with what no cluster should, and of several components under one pause.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use api::{Api, Fault, GIT, until};
use lifeboat_driver_kubernetes::{Access, PAUSED, Surroundings};
use lifeboat_model::compute::{Duty, Instances, Running};
use scene::{FLUX, PODS, SCALER, WEB, app, config, put_flux, put_web, work, work_by};
use serde_json::{Value, json};

mod api;
mod scene;

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/shop/deployments";
const SCALERS: &str = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers";

fn asked(api: &Api, path: &str, query: &str) -> usize {
    api.asked().iter().filter(|asked| asked.path == path && asked.query.contains(query)).count()
}

fn replicas(api: &Api, path: &str) -> Value {
    api.object(path).unwrap()["spec"]["replicas"].clone()
}

/// What is said of it goes into the state store.
#[tokio::test]
async fn of_ten_megabytes_a_line_is_repeated() {
    let huge = "x".repeat(10 << 20);
    for fault in [Fault::Body(format!(r#"{{"items": "{huge}"}}"#)), Fault::Body(format!("{huge}\n\u{1b}[31m"))] {
        let (api, app) = (Api::start().await, app("warm-standby"));
        put_web(&api, &app, 2, Some(2));
        api.fault("GET", SCALERS, 1, fault);
        let work = work(&api, &app);
        work.assign(Duty::Standby);
        work.until("unknown", |state| state.running == Running::Unknown).await;
        let trouble = work.state().unwrap().trouble.unwrap();
        assert!(trouble.len() < 1_000 && !trouble.contains(char::is_control), "{} bytes", trouble.len());
        work.until("that it is well", |state| state.running == Running::Yes && state.trouble.is_none()).await;
    }
}

/// An answer that lists nothing says nothing: without its autoscaler a Deployment would be made smaller at once.
#[tokio::test]
async fn an_empty_answer_is_no_empty_list() {
    for collection in [SCALERS, DEPLOYMENTS] {
        let (api, app) = (Api::start().await, app("warm-standby"));
        put_web(&api, &app, 6, Some(2));
        api.fault("GET", collection, 1_000_000, Fault::Body("{}".into()));
        let work = work(&api, &app);
        work.assign(Duty::Standby);
        work.until("unknown", |state| state.running == Running::Unknown).await;
        let looks = asked(&api, collection, "");
        until("looks after it has lingered", || asked(&api, collection, "") > looks + 10).await;
        assert_eq!(api.changes(), [""; 0]);
        assert_eq!(work.state().unwrap().running, Running::Unknown);
    }
}

/// Whatever a watch brings, or if it brings nothing: the next one is waited for, and longer each time.
#[tokio::test]
async fn a_watch_that_is_none_is_not_begun_without_end() {
    for body in ["", "garbage\n", r#"{"type": "ADDED""#] {
        let (api, app) = (Api::start().await, app("warm-standby"));
        put_web(&api, &app, 2, Some(2));
        let work = work(&api, &app);
        // Lists are answered: the fault is of watches, which ask for a version.
        api.fault_of_watches(PODS, Fault::Body(body.into()));
        work.assign(Duty::Standby);
        let looks = asked(&api, SCALERS, "");
        until("twenty more looks", || asked(&api, SCALERS, "") > looks + 20).await;
        let (watches, lists) = (asked(&api, PODS, "watch="), asked(&api, PODS, "limit="));
        assert!((1..=6).contains(&watches) && lists <= 7, "{body:?}: {watches} watches, {lists} lists");
    }
}

#[tokio::test]
async fn a_busy_server_that_names_no_pause_gets_one() {
    let (api, app) = (Api::start().await, app("warm-standby"));
    put_web(&api, &app, 2, Some(2));
    api.fault("GET", SCALERS, 1_000_000, Fault::Status(429, Some(0)));
    let work = work(&api, &app);
    work.assign(Duty::Standby);
    work.until("that it has no time", |state| {
        state.trouble.as_deref() == Some("the cluster's API has no time for this node")
    })
    .await;
    let turned_away = asked(&api, SCALERS, "");
    assert!((2..=6).contains(&turned_away), "{turned_away} questions within the half second of one deadline");
}

/// A token may end before its time: it was revoked, or a clock is wrong.
#[tokio::test]
async fn a_token_that_is_taken_no_more_is_made_anew() {
    let (api, app) = (Api::start().await, app("warm-standby"));
    put_web(&api, &app, 2, Some(2));
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("config");
    let script = format!(
        r#"echo run >> {0}/runs; printf '{{"status": {{"token": "token-%s"}}}}' $(wc -l < {0}/runs)"#,
        folder.path().display()
    );
    let config_of_kubectl = json!({
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", api.address)}}],
        "users": [{"name": "u", "user": {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", script]}}}],
        "contexts": [{"name": "ireland", "context": {"cluster": "c", "user": "u"}}],
    });
    std::fs::write(&kubeconfig, config_of_kubectl.to_string()).unwrap();
    let access = Access::find(&Surroundings { service: None, kubeconfig: vec![kubeconfig] }, "ireland").unwrap();
    assert!(!format!("{access:?}").contains("runs"), "{access:?}");
    let work = work_by(access, config(&app), folder);
    work.assign(Duty::Standby);
    let uses = |token: &str| api.asked().last().is_some_and(|asked| asked.token.as_deref() == Some(token));
    until("the first token", || uses("Bearer token-1")).await;
    work.until("that it is well", |state| state.running == Running::Yes).await;
    api.fault("GET", SCALERS, 1_000_000, Fault::Status(401, None));
    until("the second token", || uses("Bearer token-2")).await;
    api.clear_faults();
    work.until("that it is well again", |state| state.running == Running::Yes).await;
}

/// A program may take longer to make a token than one question may take.
#[tokio::test]
async fn a_slow_program_is_waited_for_and_named() {
    let (api, app) = (Api::start().await, app("warm-standby"));
    put_web(&api, &app, 2, Some(2));
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("config");
    let script = format!(
        r#"while [ ! -e '{}/go' ]; do sleep 0.05; done; echo '{{"status": {{"token": "made"}}}}'"#,
        folder.path().display()
    );
    let config_of_kubectl = json!({
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", api.address)}}],
        "users": [{"name": "u", "user": {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", script]}}}],
        "contexts": [{"name": "ireland", "context": {"cluster": "c", "user": "u"}}],
    });
    std::fs::write(&kubeconfig, config_of_kubectl.to_string()).unwrap();
    let access = Access::find(&Surroundings { service: None, kubeconfig: vec![kubeconfig] }, "ireland").unwrap();
    let go = folder.path().join("go");
    let work = work_by(access, config(&app), folder);
    work.assign(Duty::Standby);
    let said = "the cluster's API does not answer: `sh` of the kubeconfig: it has not made a token yet";
    work.until("whom it waits for", |state| state.trouble.as_deref() == Some(said)).await;
    assert!(api.asked().is_empty(), "asked without a token");
    std::fs::write(go, "").unwrap();
    work.until("that it is well", |state| state.running == Running::Yes && state.trouble.is_none()).await;
    assert!(api.asked().iter().all(|asked| asked.token.as_deref() == Some("Bearer made")));
}

/// A pause lasts for as long as anything under it serves.
#[tokio::test]
async fn a_pause_protects_what_comes_later_too() {
    const MAIL: &str = "/apis/apps/v1/namespaces/shop/deployments/mail";
    let (api, app) = (Api::start().await, app("pilot-light"));
    put_web(&api, &app, 0, None);
    put_flux(&api, &app);
    let mut mail = api.object(WEB).unwrap();
    mail["metadata"] = json!({"name": "mail"});
    api.put(MAIL, mail, GIT);
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("config");
    let text = json!({
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", api.address)}}],
        "contexts": [{"name": "ireland", "context": {"cluster": "c"}}],
    });
    std::fs::write(&kubeconfig, text.to_string()).unwrap();
    let access = Access::find(&Surroundings { service: None, kubeconfig: vec![kubeconfig] }, "ireland").unwrap();
    let mut settings = config(&app);
    settings.deployments.insert("mail".into(), Instances { full: 3, standby: 0 });
    let work = work_by(access, settings, folder);
    let note = || api.object(FLUX).unwrap()["metadata"]["annotations"][PAUSED].as_str().map(str::to_owned);
    let is_suspended = || api.object(FLUX).unwrap()["spec"]["suspend"] == true;
    work.assign(Duty::Serving);
    until("web", || replicas(&api, WEB) == 6 && is_suspended()).await;
    work.cluster.assign(&"mail".into(), Duty::Serving);
    until("mail", || replicas(&api, MAIL) == 3).await;
    assert!(note().unwrap().contains(r#""for":["mail","web"]"#), "{:?}", note());
    work.until_journaled("Flux kept paused in ireland").await;
    work.assign(Duty::Standby);
    until("no web any more", || replicas(&api, WEB) == 0).await;
    let looks = asked(&api, DEPLOYMENTS, "");
    until("some more looks", || asked(&api, DEPLOYMENTS, "") > looks + 5).await;
    assert!(is_suspended(), "Git would take mail away, which serves");
    work.cluster.assign(&"mail".into(), Duty::Standby);
    until("the pause's end", || !is_suspended() && note().is_none()).await;
    assert_eq!(api.mistakes(), [] as [String; 0]);
}

/// S4: where the node may not scale, nothing that has yet to be started is failed over to.
#[tokio::test]
async fn what_cannot_be_scaled_is_in_the_way() {
    let (api, app) = (Api::start().await, app("warm-standby"));
    put_web(&api, &app, 6, Some(6));
    api.fault("PATCH", SCALER, 1_000_000, Fault::Status(403, None));
    let work = work(&api, &app);
    work.assign(Duty::Standby);
    work.until("an obstacle", |state| {
        state.obstacle.as_deref() == Some("cannot be scaled: the cluster does not allow it: injected")
    })
    .await;
    api.clear_faults();
    work.until("none", |state| state.obstacle.is_none()).await;
}
