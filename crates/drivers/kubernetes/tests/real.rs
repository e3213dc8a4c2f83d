//! What a driver does to a cluster whose API server is a real one, by the account and with the roles that are generated for its node.
//! Where none is to be had, each test says `skipped`.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use std::time::{Duration, Instant};

use api::GIT;
use apiserver::relay::Relay;
use apiserver::{ApiServer, PATIENCE, kubelet, until_so};
use cluster::{
    apply_app, apply_argo, apply_flux, apply_node, field, is_suspended, minimum, note, prepare, replicas, settings,
    until_field, work,
};
use lifeboat_model::compute::{Duty, Running};
use scene::{APPLICATION, FLUX, PROJECT, RECORD, SCALER, WEB, Work, app, generated, objects, synced};
use serde_json::{Value, json};

mod api;
mod apiserver;
mod cluster;
mod scene;

/// Requests that were not allowed; the test's own are all allowed.
const FORBIDDEN: &[&str] = &[r#"code="403""#];

/// A real cluster with the app as a warm standby, kept by Flux.
async fn standby(server: &ApiServer, pattern: &str) -> lifeboat_model::App {
    let app = app(pattern);
    prepare(server, "shop");
    apply_node(server, &app);
    apply_app(server, &app, GIT).await;
    apply_flux(server, &app).await;
    app
}

async fn until_ready(work: &Work, replicas: u32) {
    work.until_within(PATIENCE, &format!("{replicas} ready"), |state| {
        state.replicas.is_some_and(|r| r.ready == replicas && r.told == replicas && !r.rolling_out)
    })
    .await;
}

/// Everything at once, with the controllers of Deployments, pods and autoscalers at work.
#[tokio::test]
async fn a_standby_takes_over_and_gives_back() {
    let Some(server) = ApiServer::start_with_controllers().await else { return };
    let app = standby(&server, "warm-standby").await;
    for name in ["a", "b"] {
        kubelet::add_machine(&server, name).await;
    }
    kubelet::add_machine(&server, "c").await;
    kubelet::set_machine(&server, "c", "Unknown").await;
    // A third of six: the autoscaler's minimum in Git, which its controller has brought about.
    until_field(&server, WEB, "/spec/replicas", json!(2)).await;
    let work = work(&server, &app, server.port).await;
    let story = async {
        work.assign(Duty::Standby);
        until_ready(&work, 2).await;
        work.until("room for 16 on two machines", |state| {
            state.running == Running::Yes
                && state.replicas.is_some_and(|r| r.wanted == Some(2) && r.room == Some(16) && r.nodes == Some(2))
                && state.gitops.as_deref() == Some("Flux: main@sha1:1 applied")
                && state.trouble.is_none()
        })
        .await;

        work.assign(Duty::Serving);
        until_ready(&work, 6).await;
        assert_eq!((minimum(&server).await, is_suspended(&server).await), (json!(6), true));
        assert!(note(&server, FLUX).await.unwrap().contains(r#""for":["web"]"#));
        assert_eq!(work.state().unwrap().trouble, None);
        // Whose the autoscaler's minimum is now, the server says.
        let owners = field(&server, SCALER, "/metadata/managedFields").await;
        let owns = |owner: &&Value| !owner["fieldsV1"]["f:spec"]["f:minReplicas"].is_null();
        let owners: Vec<&Value> =
            owners.as_array().unwrap().iter().filter(owns).map(|owner| &owner["manager"]).collect();
        assert_eq!(owners, ["lifeboat"]);

        work.assign(Duty::Standby);
        until_field(&server, SCALER, "/spec/minReplicas", json!(2)).await;
        until_so("the pause's end", async || !is_suspended(&server).await).await;
        assert_eq!((note(&server, FLUX).await, replicas(&server).await), (None, json!(6)));
        work.until_journaled("Flux resumed").await;
    };
    tokio::select! {
        () = story => {}
        () = kubelet::run(&server, "shop", "a") => {}
    }
    let journal = work.journal();
    let begins: Vec<&str> = journal.iter().map(|line| line.split(" (").next().unwrap()).collect();
    assert_eq!(
        begins,
        [
            "Flux paused in ireland",
            "web scaled: the autoscaler's minimum from 2 to 6, replicas from 2 to 6",
            "web scaled: the autoscaler's minimum from 6 to 2",
            "Flux resumed in ireland",
        ]
    );
    assert_eq!(server.answered(FORBIDDEN).await, 0, "something was asked for that the generated roles do not allow");
}

/// Without an autoscaler, for a standby of size nothing has none; Git says that there are no replicas.
#[tokio::test]
async fn a_pilot_light_starts_from_nothing_and_why_a_pod_does_not_start_is_said() {
    let Some(server) = ApiServer::start_with_controllers().await else { return };
    let app = standby(&server, "pilot-light").await;
    kubelet::add_machine(&server, "a").await;
    let work = work(&server, &app, server.port).await;
    work.assign(Duty::Standby);
    until_ready(&work, 0).await;
    assert_eq!(work.state().unwrap().running, Running::No);
    work.assign(Duty::Serving);
    until_field(&server, WEB, "/spec/replicas", json!(6)).await;
    assert!(is_suspended(&server).await, "Git says none");

    // A pod that cannot start, as a kubelet tells it.
    let pods = "/api/v1/namespaces/shop/pods";
    let first = || async { field(&server, pods, "/items/0/metadata/name").await.as_str().map(str::to_owned) };
    until_so("a pod", async || first().await.is_some()).await;
    let pod = format!("{pods}/{}", first().await.unwrap());
    let waiting = json!({"name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}}});
    server.merge(&format!("{pod}/status"), &json!({"status": {"containerStatuses": [waiting]}})).await;
    work.until("why", |state| state.trouble.as_deref() == Some("pods cannot start: ImagePullBackOff, no such tag"))
        .await;
    server.merge(&format!("{pod}/status"), &json!({"status": {"containerStatuses": null}})).await;

    let story = async {
        until_ready(&work, 6).await;
        work.assign(Duty::Standby);
        until_so("the pause's end", async || !is_suspended(&server).await).await;
        // Before 1.21 who scales owns nothing by that, so that it is Git's to say; and it says none.
        apply_app(&server, &app, GIT).await;
        until_ready(&work, 0).await;
    };
    tokio::select! {
        () = story => {}
        () = kubelet::run(&server, "shop", "a") => {}
    }
    assert_eq!(server.answered(FORBIDDEN).await, 0);
}

/// Argo CD, records, and somebody who is quicker again and again. No controllers: the sizes are looked at as they are set.
#[tokio::test]
async fn argo_cd_records_and_those_who_are_quicker() {
    let Some(server) = ApiServer::start().await else { return };
    let app = app("warm-standby");
    prepare(&server, "shop");
    apply_node(&server, &app);
    apply_app(&server, &app, "argocd-controller").await;
    server.merge(&format!("{WEB}/scale"), &json!({"spec": {"replicas": 2}})).await;
    apply_argo(&server, &app);
    let work = work(&server, &app, server.port).await;
    work.assign(Duty::Standby);
    work.until("Argo CD's state", |state| state.gitops.as_deref() == Some("Argo CD: Synced at 1, Healthy")).await;

    // What is generated has Argo CD pass over what is set; it is not paused.
    work.assign(Duty::Serving);
    until_field(&server, WEB, "/spec/replicas", json!(6)).await;
    assert_eq!((minimum(&server).await, note(&server, PROJECT).await), (json!(6), None));
    work.assign(Duty::Standby);
    until_field(&server, SCALER, "/spec/minReplicas", json!(2)).await;

    // Where it would set it back, it is denied for this Application, until Git agrees.
    let nights = json!({"kind": "allow", "schedule": "0 1 * * *", "duration": "4h", "applications": ["*"]});
    server.merge(APPLICATION, &json!({"spec": {"ignoreDifferences": null}})).await;
    server.merge(PROJECT, &json!({"spec": {"syncWindows": [nights]}})).await;
    server.merge(&format!("{WEB}/scale"), &json!({"spec": {"replicas": 2}})).await;
    work.assign(Duty::Serving);
    until_field(&server, WEB, "/spec/replicas", json!(6)).await;
    let windows = field(&server, PROJECT, "/spec/syncWindows").await;
    assert_eq!(windows[0], nights);
    assert_eq!((&windows[1]["kind"], &windows[1]["applications"]), (&json!("deny"), &json!(["shop-ireland"])));
    assert!(note(&server, PROJECT).await.unwrap().contains("shop-ireland"));
    for (at, status) in [("2026-11-25T10:03:00Z", "OutOfSync"), ("2026-11-25T10:06:00Z", "Synced")] {
        server.merge(APPLICATION, &json!({"status": {"reconciledAt": at, "sync": synced(status, "2")}})).await;
        let said = format!("{status} at 2");
        work.until(&said, |state| state.gitops.as_deref().is_some_and(|gitops| gitops.contains(&said))).await;
    }
    until_field(&server, PROJECT, "/spec/syncWindows", json!([nights])).await;
    assert_eq!(note(&server, PROJECT).await, None);

    // Records: made, set right, taken away.
    let wanted = objects(&generated(&app)["kubernetes/regions/ireland/dns.yaml"]).remove(0);
    work.serve(true);
    until_field(&server, RECORD, "/spec", wanted["spec"].clone()).await;
    server
        .merge(
            RECORD,
            &json!({"spec": {"endpoints": [{"dnsName": "shop.example.com", "targets": ["elsewhere.example.com"]}]}}),
        )
        .await;
    until_field(&server, RECORD, "/spec", wanted["spec"].clone()).await;
    work.serve(false);
    until_so("no record", async || server.object(RECORD).await.is_none()).await;
    // One from Git is emptied, for Git would make it anew.
    let mut from_git = wanted.clone();
    from_git["metadata"]["namespace"] = json!("shop");
    server.apply_as(GIT, RECORD, &from_git).await;
    until_field(&server, RECORD, "/spec/endpoints", json!([])).await;
    work.serve(true);
    until_field(&server, RECORD, "/spec", wanted["spec"].clone()).await;
    assert_eq!(server.answered(FORBIDDEN).await, 0);

    // Somebody changes the autoscaler and the Deployment all the time; what is read is old when it is written.
    let conflicts = &[r#"code="409""#];
    let before = server.answered(conflicts).await;
    let quarrel = async {
        for number in 0_u64.. {
            let label = json!({"metadata": {"labels": {"somebody": format!("else-{number}")}}});
            server.merge(SCALER, &label).await;
            server.merge(WEB, &label).await;
        }
    };
    let rounds = async {
        while server.answered(conflicts).await == before {
            work.assign(Duty::Standby);
            until_field(&server, SCALER, "/spec/minReplicas", json!(2)).await;
            server.merge(&format!("{WEB}/scale"), &json!({"spec": {"replicas": 2}})).await;
            work.assign(Duty::Serving);
            until_field(&server, SCALER, "/spec/minReplicas", json!(6)).await;
            until_field(&server, WEB, "/spec/replicas", json!(6)).await;
        }
    };
    tokio::select! {
        () = rounds => {}
        () = quarrel => {}
        () = tokio::time::sleep(PATIENCE) => panic!("nobody was in anybody's way"),
    }
    for path in [SCALER, WEB] {
        let label = field(&server, path, "/metadata/labels/somebody").await;
        assert!(label.as_str().unwrap().starts_with("else-"), "{path}: what somebody else has changed is gone");
    }
}

/// A server that is frozen, cut off, killed, and back with nothing that it knew of what has changed.
#[tokio::test]
async fn a_server_that_is_lost_is_unknown_until_it_is_back() {
    let Some(mut server) = ApiServer::start().await else { return };
    let app = standby(&server, "warm-standby").await;
    kubelet::add_machine(&server, "a").await;
    let relay = Relay::to(server.port).await;
    let work = work(&server, &app, relay.port).await;
    work.assign(Duty::Standby);
    let is_known = |state: &lifeboat_model::compute::ComputeState| {
        state.replicas.is_some_and(|replicas| replicas.nodes == Some(1)) && state.obstacle.is_none()
    };
    work.until("the cluster", is_known).await;

    server.freeze(true);
    let since = Instant::now();
    work.until("unknown", |state| state.running == Running::Unknown).await;
    let (took, limits) = (since.elapsed(), settings(&app));
    assert!(took < limits.every + limits.deadline * 2 + Duration::from_secs(1), "{took:?}");
    let said = "the cluster's API does not answer: no answer within 2 s";
    let state = work.state().unwrap();
    assert_eq!((state.trouble.as_deref(), state.obstacle.as_deref(), state.replicas), (Some(said), Some(said), None));
    // What is wanted meanwhile is done as soon as it answers.
    work.assign(Duty::Serving);
    server.freeze(false);
    until_field(&server, SCALER, "/spec/minReplicas", json!(6)).await;
    work.until("the cluster", is_known).await;

    // Watches break off, and come to another server of the same cluster, which knows nothing of the changes before its own start.
    let old = field(&server, "/api/v1/nodes", "/metadata/resourceVersion").await;
    for number in 0..3 {
        server
            .merge("/api/v1/namespaces/shop", &json!({"metadata": {"labels": {"changed": number.to_string()}}}))
            .await;
    }
    let first = server.start_beside().await;
    let watch = format!("/api/v1/nodes?watch=true&timeoutSeconds=1&resourceVersion={}", old.as_str().unwrap());
    let (_, event) = server.ask("GET", &watch, None).await.unwrap();
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)), "what the driver gets, too");
    relay.lead_to(server.port);
    drop(first);
    kubelet::set_machine(&server, "a", "False").await;
    work.until("that the machine is not ready", |state| {
        state.replicas.is_some_and(|replicas| replicas.nodes == Some(0))
    })
    .await;

    server.kill();
    work.until("unknown", |state| state.running == Running::Unknown).await;
    let trouble = work.state().unwrap().trouble.unwrap();
    assert!(trouble.starts_with("the cluster's API does not answer: "), "{trouble}");
    work.assign(Duty::Standby);
    server.start_again().await;
    until_field(&server, SCALER, "/spec/minReplicas", json!(2)).await;
}
