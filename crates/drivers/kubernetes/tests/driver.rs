//! What a driver does to a cluster and what it says of it, with faults. The API server is one in memory (`api/mod.rs`), what is in
//! it is what `lifeboat generate` writes, and whatever is sent is checked against the published schemas.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use std::time::{Duration, Instant};

use api::{Api, Fault, GIT, until};
use lifeboat_driver_kubernetes::{Access, PAUSED};
use lifeboat_model::compute::{Duty, Running};
use scene::{
    APPLICATION, FLUX, LINGER, NODES, PODS, PROJECT, RECORD, RECORDS, SCALER, WEB, Work, app, config, flux_reconciles,
    generated, make_ready, objects, put_argo, put_flux, put_web, synced, work, work_by,
};
use serde_json::{Value, json};

mod api;
mod scene;

fn minimum(api: &Api) -> Value {
    api.object(SCALER).unwrap()["spec"]["minReplicas"].clone()
}

fn replicas(api: &Api) -> Value {
    api.object(WEB).unwrap()["spec"]["replicas"].clone()
}

fn endpoints(api: &Api) -> Value {
    api.object(RECORD).unwrap()["spec"]["endpoints"].clone()
}

fn is_suspended(api: &Api) -> bool {
    api.object(FLUX).unwrap()["spec"]["suspend"] == true
}

fn note(api: &Api, path: &str) -> Option<String> {
    api.object(path).unwrap()["metadata"]["annotations"][PAUSED].as_str().map(str::to_owned)
}

fn count(api: &Api, change: &str) -> usize {
    api.changes().iter().filter(|made| *made == change).count()
}

/// The check of bodies is one that can fail.
#[test]
fn a_body_that_no_server_would_take_is_noticed() {
    use api::schemas::Extent::{Part, Whole};
    let good = |kind: &str| match kind {
        "autoscaling/v2 HorizontalPodAutoscaler" => json!({"metadata": {"name": "web"}, "spec": {"minReplicas": 6}}),
        "autoscaling/v1 Scale" => json!({"metadata": {"name": "web"}, "spec": {"replicas": 6}}),
        "v1 DeleteOptions" => json!({"preconditions": {"resourceVersion": "1"}}),
        "kustomize.toolkit.fluxcd.io/v1 Kustomization" => json!({"spec": {"suspend": true}}),
        "argoproj.io/v1alpha1 AppProject" => json!({"spec": {"syncWindows": [{"kind": "deny", "manualSync": true}]}}),
        _ => json!({"spec": {"endpoints": [{"dnsName": "a.example.com", "targets": ["b.example.com"]}]}}),
    };
    for (kind, pointer, wrong) in [
        ("autoscaling/v2 HorizontalPodAutoscaler", "/spec", json!({"minReplica": 6})),
        ("autoscaling/v2 HorizontalPodAutoscaler", "/spec/minReplicas", json!("six")),
        ("autoscaling/v1 Scale", "/spec", json!({"replica": 6})),
        ("v1 DeleteOptions", "/preconditions", json!({"resourceversion": "1"})),
        ("kustomize.toolkit.fluxcd.io/v1 Kustomization", "/spec/suspend", json!("yes")),
        ("argoproj.io/v1alpha1 AppProject", "/spec/syncWindows/0", json!({"kind": "deny", "manual": true})),
        ("externaldns.k8s.io/v1alpha1 DNSEndpoint", "/spec/endpoints/0", json!({"dnsname": "a.example.com"})),
    ] {
        if !api::schemas::is_known(kind) {
            continue;
        }
        let mut body = good(kind);
        assert_eq!(api::schemas::mistakes(kind, Part, &body), [] as [String; 0], "{kind}");
        *body.pointer_mut(pointer).unwrap() = wrong;
        assert_ne!(api::schemas::mistakes(kind, Part, &body), [] as [String; 0], "{kind} {pointer}");
        if kind.contains("Autoscaler") {
            assert_ne!(api::schemas::mistakes(kind, Whole, &good(kind)), [] as [String; 0], "a part is not the whole");
        }
    }
}

/// Nothing that was sent is other than the schemas say.
fn finish(api: &Api) {
    assert_eq!(api.mistakes(), [] as [String; 0]);
}

async fn until_ready(work: &Work, replicas: u32) {
    work.until(&format!("{replicas} ready"), |state| {
        state.replicas.is_some_and(|r| r.ready == replicas && r.told == replicas)
    })
    .await;
}

#[tokio::test]
async fn a_cluster_is_seen_as_it_is() {
    let (api, app) = (Api::start().await, app("warm-standby"));
    put_web(&api, &app, 2, Some(2));
    put_flux(&api, &app);
    let node = |name: &str, ready: &str| {
        let status = json!({"conditions": [{"type": "Ready", "status": ready}],
            "allocatable": {"cpu": "2", "memory": "8Gi", "pods": "110"}});
        api.put(&format!("{NODES}/{name}"), json!({"apiVersion": "v1", "kind": "Node", "status": status}), "kubelet");
    };
    node("a", "True");
    node("b", "True");
    node("c", "Unknown");
    let work = work(&api, &app);
    work.assign(Duty::Standby);
    work.until("two ready replicas, and room for 16 on two nodes", |state| {
        state.running == Running::Yes
            && state
                .replicas
                .is_some_and(|r| r.ready == 2 && r.wanted == Some(2) && r.room == Some(16) && r.nodes == Some(2))
            && state.gitops.as_deref() == Some("Flux: main@sha1:1 applied")
            && state.trouble.is_none()
    })
    .await;
    api.edit(WEB, |web| web["metadata"]["generation"] = json!(2));
    work.until("a rollout under way", |state| state.replicas.is_some_and(|r| r.rolling_out)).await;
    let labels = json!({"app.kubernetes.io/name": "web"});
    let pod = |status: Value| {
        let spec = json!({"containers": [{"name": "main"}]});
        let pod =
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": labels}, "spec": spec, "status": status});
        api.put(&format!("{PODS}/web-1"), pod, "kube-controller-manager");
    };
    pod(json!({"containerStatuses": [{"name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}}}]}));
    work.until("the reason why a pod does not start", |state| {
        state.trouble.as_deref() == Some("pods cannot start: ImagePullBackOff, no such tag")
    })
    .await;
    pod(
        json!({"containerStatuses": [{"name": "main", "image": "i", "imageID": "", "ready": true, "restartCount": 0}]}),
    );
    work.until("no trouble", |state| state.trouble.is_none()).await;
    api.remove(WEB);
    work.until("that there is no Deployment", |state| {
        state.running == Running::No
            && state.obstacle.as_deref() == Some("there is no Deployment web in namespace shop")
    })
    .await;
    assert!(api.changes().is_empty(), "{:?}", api.changes());
    assert!(api.asked().iter().all(|asked| asked.token.as_deref() == Some("Bearer secret")));
    finish(&api);
}

#[tokio::test]
async fn a_standby_takes_over_and_gives_back() {
    let (api, app) = (Api::start().await, app("warm-standby"));
    put_web(&api, &app, 2, Some(2));
    put_flux(&api, &app);
    let work = work(&api, &app);
    work.assign(Duty::Standby);
    until_ready(&work, 2).await;
    work.assign(Duty::Serving);
    until("six replicas", || replicas(&api) == 6).await;
    // Git is paused before anything is changed that it would undo, and the autoscaler is told before the replicas are.
    assert_eq!(api.changes(), [format!("PATCH {FLUX}"), format!("PATCH {SCALER}"), format!("PATCH {WEB}/scale")]);
    assert!(is_suspended(&api));
    assert!(note(&api, FLUX).unwrap().contains(r#""for":["web"]"#));
    make_ready(&api);
    until_ready(&work, 6).await;
    flux_reconciles(&api, 2);
    assert_eq!(minimum(&api), 6);
    let summary = work.state().unwrap().gitops.unwrap();
    assert!(summary.starts_with("Flux: paused by Lifeboat since 20"), "{summary}");

    let given_back = Instant::now();
    work.assign(Duty::Standby);
    until("the pause's end", || !is_suspended(&api)).await;
    assert!(given_back.elapsed() >= LINGER, "clients still came");
    assert_eq!(minimum(&api), 2);
    // The autoscaler makes it smaller, as the load allows.
    assert_eq!(replicas(&api), 6);
    assert_eq!(note(&api, FLUX), None);
    work.until_journaled("Flux resumed").await;
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
    finish(&api);
}

/// What Lifeboat has taken over is Git's all the same: it is set back when Git comes by next.
#[tokio::test]
async fn a_second_failover_before_git_has_come_by_pauses_it_again() {
    let (api, app) = (Api::start().await, app("warm-standby"));
    put_web(&api, &app, 2, Some(2));
    put_flux(&api, &app);
    let work = work(&api, &app);
    for round in 1..=2 {
        work.assign(Duty::Serving);
        until("six", || minimum(&api) == 6).await;
        assert!(is_suspended(&api), "in round {round} Git would undo it");
        work.assign(Duty::Standby);
        until("the pause's end", || !is_suspended(&api) && minimum(&api) == 2).await;
    }
    finish(&api);
}

#[tokio::test]
async fn a_pilot_light_starts_from_nothing() {
    let (api, app) = (Api::start().await, app("pilot-light"));
    put_web(&api, &app, 0, None);
    put_flux(&api, &app);
    let work = work(&api, &app);
    work.assign(Duty::Standby);
    until_ready(&work, 0).await;
    assert_eq!(work.state().unwrap().running, Running::No);
    work.assign(Duty::Serving);
    until("six replicas", || replicas(&api) == 6).await;
    assert!(is_suspended(&api), "Git says none");
    work.assign(Duty::Standby);
    until("none any more, and no pause", || replicas(&api) == 0 && !is_suspended(&api)).await;
    finish(&api);
}

#[tokio::test]
async fn nothing_is_changed_while_nobody_knows_who_serves() {
    let (api, app) = (Api::start().await, app("warm-standby"));
    put_web(&api, &app, 5, Some(5));
    let work = work(&api, &app);
    work.assign(Duty::Undecided);
    until_ready(&work, 5).await;
    let asked = api.asked().len();
    until("twenty more questions", || api.asked().len() > asked + 20).await;
    assert!(api.changes().is_empty(), "{:?}", api.changes());
    finish(&api);
}

/// Without Git a standby's size is ours to say; with Git it is Git's.
#[tokio::test]
async fn how_large_a_standby_is_git_may_say() {
    for is_kept in [false, true] {
        let (api, app) = (Api::start().await, app("warm-standby"));
        put_web(&api, &app, 6, Some(6));
        if is_kept {
            put_flux(&api, &app);
        }
        let work = work(&api, &app);
        work.assign(Duty::Standby);
        if is_kept {
            let asked = api.asked().len();
            until("some looks after it has lingered", || api.asked().len() > asked + 60).await;
            assert!(api.changes().is_empty(), "{:?}", api.changes());
        } else {
            until("a smaller minimum", || minimum(&api) == 2).await;
        }
        finish(&api);
    }
}

#[tokio::test]
async fn a_node_that_dies_between_pause_and_scaling_is_followed_by_one_that_knows() {
    let (api, app) = (Api::start().await, app("warm-standby"));
    put_web(&api, &app, 2, Some(2));
    put_flux(&api, &app);
    // It comes as far as the pause.
    api.fault("PATCH", SCALER, 1_000, Fault::Status(500, None));
    let first = work(&api, &app);
    first.assign(Duty::Serving);
    until("an attempt to scale", || count(&api, &format!("PATCH {SCALER}")) > 0).await;
    drop(first);
    let noted = note(&api, FLUX).unwrap();
    assert!(is_suspended(&api));
    assert_eq!(minimum(&api), 2);

    // The next one finds the pause, which it takes for its own, and goes on.
    api.clear_faults();
    let second = work(&api, &app);
    second.assign(Duty::Serving);
    until("six replicas", || replicas(&api) == 6).await;
    assert_eq!(note(&api, FLUX).unwrap(), noted);
    assert_eq!(count(&api, &format!("PATCH {FLUX}")), 1);
    drop(second);

    // And one that starts when all is over ends it.
    let third = work(&api, &app);
    third.assign(Duty::Standby);
    until("the pause's end", || !is_suspended(&api)).await;
    assert_eq!((note(&api, FLUX), minimum(&api)), (None, json!(2)));
    finish(&api);
}

#[tokio::test]
async fn what_somebody_else_has_paused_stays_paused() {
    let (api, app) = (Api::start().await, app("warm-standby"));
    put_web(&api, &app, 2, Some(2));
    put_flux(&api, &app);
    api.edit(FLUX, |flux| flux["spec"]["suspend"] = json!(true));
    let work = work(&api, &app);
    work.assign(Duty::Serving);
    until("six replicas", || replicas(&api) == 6).await;
    work.assign(Duty::Standby);
    until("the minimum as it was", || minimum(&api) == 2).await;
    let asked = api.asked().len();
    until("some more looks", || api.asked().len() > asked + 30).await;
    assert!(is_suspended(&api));
    assert_eq!(count(&api, &format!("PATCH {FLUX}")), 0);
    assert!(work.state().unwrap().gitops.unwrap().starts_with("Flux: suspended by somebody else"));
    finish(&api);
}

/// A person who resumes has said that Git may; our note of the pause goes, and what is suspended later is not ours.
#[tokio::test]
async fn a_pause_that_a_person_ends_is_forgotten() {
    let (api, app) = (Api::start().await, app("warm-standby"));
    put_web(&api, &app, 2, Some(2));
    put_flux(&api, &app);
    let work = work(&api, &app);
    work.assign(Duty::Serving);
    until("a pause", || is_suspended(&api)).await;
    until("six replicas", || replicas(&api) == 6).await;
    // Git says six by now.
    api.edit(FLUX, |flux| flux["spec"]["suspend"] = json!(false));
    flux_reconciles(&api, 6);
    until("the note's end", || note(&api, FLUX).is_none()).await;
    api.edit(FLUX, |flux| flux["spec"]["suspend"] = json!(true));
    work.assign(Duty::Standby);
    until("a smaller minimum", || minimum(&api) == 2).await;
    let asked = api.asked().len();
    until("some more looks", || api.asked().len() > asked + 30).await;
    assert!(is_suspended(&api), "resumed what a person had suspended");
    finish(&api);
}

#[tokio::test]
async fn an_object_that_changed_meanwhile_is_read_again() {
    let (api, app) = (Api::start().await, app("warm-standby"));
    put_web(&api, &app, 2, Some(2));
    put_flux(&api, &app);
    for (path, times) in [(FLUX, 1), (SCALER, 2), ("/deployments/web/scale", 2)] {
        api.fault("PATCH", path, times, Fault::ChangedMeanwhile);
    }
    let work = work(&api, &app);
    work.assign(Duty::Serving);
    until("six replicas", || replicas(&api) == 6).await;
    assert_eq!((minimum(&api), is_suspended(&api)), (json!(6), true));
    // What the others changed is still there.
    for path in [FLUX, SCALER, WEB] {
        assert_eq!(api.object(path).unwrap()["metadata"]["labels"]["somebody"], "else", "{path}");
    }
    assert_eq!(count(&api, &format!("PATCH {FLUX}")), 2);
    assert_eq!(count(&api, &format!("PATCH {SCALER}")), 3);
    work.until_journaled("web scaled: the autoscaler's minimum from 2 to 6, replicas from 2 to 6").await;
    finish(&api);
}

/// Somebody who changes an object without end keeps nothing else from being done.
#[tokio::test]
async fn a_quarrel_ends() {
    let (api, app) = (Api::start().await, app("warm-standby"));
    put_web(&api, &app, 2, Some(2));
    api.fault("PATCH", SCALER, 1_000_000, Fault::ChangedMeanwhile);
    let work = work(&api, &app);
    work.assign(Duty::Serving);
    work.until_journaled("failed: web scaled (web was changed at the same moment)").await;
    work.until("that it cannot be scaled", |state| {
        state.trouble.as_deref() == Some("cannot be scaled: web was changed at the same moment")
    })
    .await;
    assert_eq!(work.journal().len(), 1, "said once");
    api.clear_faults();
    until("six replicas", || replicas(&api) == 6).await;
    work.until("no trouble", |state| state.trouble.is_none()).await;
    finish(&api);
}

#[tokio::test]
async fn a_watch_that_is_too_old_begins_anew() {
    let (api, app) = (Api::start().await, app("warm-standby"));
    put_web(&api, &app, 2, Some(2));
    api.set_page(1);
    let pod = |name: &str, status: Value| {
        let spec = json!({"containers": [{"name": "main"}]});
        let metadata = json!({"labels": {"app.kubernetes.io/name": "web"}});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status});
        api.put(&format!("{PODS}/{name}"), pod, "kube-controller-manager");
    };
    let no_room = json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1"}]});
    for name in ["web-1", "web-2", "web-3"] {
        pod(name, json!({}));
    }
    let work = work(&api, &app);
    work.assign(Duty::Standby);
    until_ready(&work, 2).await;
    let lists = || api.asked().iter().filter(|asked| asked.path == PODS && asked.query.contains("limit=")).count();
    let watches = || api.asked().iter().filter(|asked| asked.path == PODS && asked.query.contains("watch=")).count();
    until("a watch of pods", || watches() == 1).await;
    assert_eq!(lists(), 3, "a page each");
    // An error among the changes.
    api.compact();
    until("a list and a watch again", || lists() == 6 && watches() == 2).await;
    // An error instead of changes.
    api.fault("GET", PODS, 1, Fault::Status(410, None));
    api.compact();
    until("a third watch", || watches() >= 3).await;
    pod("web-3", no_room);
    work.until("what happened after that", |state| state.trouble.as_deref() == Some("pods find no room: 0/1")).await;
    finish(&api);
}

#[tokio::test]
async fn a_busy_server_is_left_alone_for_as_long_as_it_asks() {
    let (api, app) = (Api::start().await, app("warm-standby"));
    put_web(&api, &app, 2, Some(2));
    let work = work(&api, &app);
    work.assign(Duty::Standby);
    until_ready(&work, 2).await;
    api.fault("GET", "/horizontalpodautoscalers", 1, Fault::Status(429, Some(2)));
    let before = api.asked().len();
    until("the question that is turned away", || {
        api.asked()[before..].iter().any(|asked| asked.path.ends_with("/horizontalpodautoscalers"))
    })
    .await;
    let turned_away = api.asked().iter().rposition(|asked| asked.path.ends_with("/horizontalpodautoscalers")).unwrap();
    until("the next question", || api.asked().len() > turned_away + 1).await;
    let asked = api.asked();
    let pause = asked[turned_away + 1].at - asked[turned_away].at;
    assert!(pause >= Duration::from_secs(2), "asked again after {pause:?}: {}", asked[turned_away + 1].path);
    // Being busy is not being gone.
    assert_eq!(work.state().unwrap().running, Running::Yes);
    // And a change that is turned away is made later.
    api.fault("PATCH", SCALER, 1, Fault::Status(503, Some(1)));
    work.assign(Duty::Serving);
    until("six replicas", || replicas(&api) == 6).await;
    finish(&api);
}

#[tokio::test]
async fn a_cluster_that_is_gone_is_unknown_and_keeps_nobody_waiting() {
    let (api, app) = (Api::start().await, app("warm-standby"));
    put_web(&api, &app, 2, Some(2));
    let settings = config(&app);
    let work = work(&api, &app);
    work.assign(Duty::Standby);
    until_ready(&work, 2).await;
    api.hang(true);
    let since = Instant::now();
    work.until("unknown", |state| state.running == Running::Unknown).await;
    let took = since.elapsed();
    assert!(took < settings.every + settings.deadline * 2, "{took:?}");
    let state = work.state().unwrap();
    let said = "the cluster's API does not answer: no answer within 0.5 s";
    assert_eq!((state.trouble.as_deref(), state.obstacle.as_deref(), state.replicas), (Some(said), Some(said), None));
    let before = Instant::now();
    work.assign(Duty::Serving);
    assert!(before.elapsed() < Duration::from_millis(100));
    // When it is back, what is due is done.
    api.hang(false);
    until("six replicas", || replicas(&api) == 6).await;
    make_ready(&api);
    until_ready(&work, 6).await;
    finish(&api);
    drop(api);
    work.until("refused", |state| state.trouble.as_deref().is_some_and(|said| said.contains("efused"))).await;
    assert_eq!(work.state().unwrap().running, Running::Unknown);
}

/// The ApplicationSet that is generated has Argo CD pass over what Lifeboat sets, so that it need not be paused: it may run in
/// another cluster, even in a lost one.
#[tokio::test]
async fn the_generated_argo_cd_undoes_nothing() {
    // What is generated names whose fields are passed over; somebody else's Application may name the fields.
    let by_pointer = json!([
        {"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]},
        {"group": "autoscaling", "kind": "HorizontalPodAutoscaler", "jsonPointers": ["/spec/minReplicas"]},
        {"group": "externaldns.k8s.io", "kind": "DNSEndpoint", "jsonPointers": ["/spec/endpoints"]},
    ]);
    for ignored in [None, Some(by_pointer)] {
        let (api, app) = (Api::start().await, app("warm-standby"));
        put_web(&api, &app, 2, Some(2));
        put_argo(&api, &app);
        if let Some(ignored) = ignored {
            api.edit(APPLICATION, |application| application["spec"]["ignoreDifferences"] = ignored);
        }
        let work = work(&api, &app);
        work.assign(Duty::Serving);
        until("six replicas", || replicas(&api) == 6).await;
        assert_eq!(count(&api, &format!("PATCH {PROJECT}")), 0);
        work.until("its state", |state| state.gitops.as_deref() == Some("Argo CD: Synced at 1, Healthy")).await;
        finish(&api);
    }
}

#[tokio::test]
async fn an_argo_cd_that_would_undo_it_is_denied_until_git_agrees() {
    let (api, app) = (Api::start().await, app("warm-standby"));
    put_web(&api, &app, 2, Some(2));
    put_argo(&api, &app);
    api.edit(APPLICATION, |application| {
        application["spec"].as_object_mut().unwrap().remove("ignoreDifferences");
    });
    let nights = json!({"kind": "allow", "schedule": "0 1 * * *", "duration": "4h", "applications": ["*"]});
    api.edit(PROJECT, |project| project["spec"]["syncWindows"] = json!([nights]));
    let work = work(&api, &app);
    work.assign(Duty::Serving);
    until("six replicas", || replicas(&api) == 6).await;
    let windows = || api.object(PROJECT).unwrap()["spec"]["syncWindows"].clone();
    assert_eq!(windows()[0], nights);
    let deny = windows()[1].clone();
    assert_eq!(
        (&deny["kind"], &deny["applications"], &deny["manualSync"]),
        (&json!("deny"), &json!(["shop-ireland"]), &json!(true))
    );
    assert!(note(&api, PROJECT).is_some());
    // It has compared, and does not agree; then the role file is committed, and it does.
    let compares = |at: &str, status: &str| {
        api.edit(APPLICATION, |application| {
            application["status"]["reconciledAt"] = json!(at);
            application["status"]["sync"] = synced(status, "2");
        });
    };
    compares("2026-11-25T10:03:00Z", "OutOfSync");
    work.until("that it does not agree", |state| {
        state.gitops.as_deref().is_some_and(|said| said.contains("OutOfSync at 2"))
    })
    .await;
    let asked = api.asked().len();
    until("some more looks", || api.asked().len() > asked + 30).await;
    assert_eq!(windows().as_array().unwrap().len(), 2);
    compares("2026-11-25T10:06:00Z", "Synced");
    until("the pause's end", || windows() == json!([nights])).await;
    assert_eq!(note(&api, PROJECT), None);
    finish(&api);
}

#[tokio::test]
async fn a_route_has_its_record_where_it_is_served() {
    let (api, app) = (Api::start().await, app("warm-standby"));
    put_web(&api, &app, 2, Some(2));
    put_flux(&api, &app);
    api.collection(RECORDS);
    let work = work(&api, &app);
    work.serve(true);
    until("the record", || api.object(RECORD).is_some()).await;
    let generated = objects(&generated(&app)["kubernetes/regions/ireland/dns.yaml"]).remove(0);
    assert_eq!(api.object(RECORD).unwrap()["spec"], generated["spec"], "as it is generated");
    assert!(!is_suspended(&api), "Git takes nothing away that it has not made");
    work.serve(false);
    until("no record", || api.object(RECORD).is_none()).await;
    assert!(!is_suspended(&api));

    // One that Git has made would come back if it were taken away, and full if Git were not paused, until the region serves again.
    api.put(RECORD, generated.clone(), GIT);
    until("a pause and an empty record", || is_suspended(&api) && endpoints(&api) == json!([])).await;
    assert!(note(&api, FLUX).unwrap().contains(r#""for":["shop-example-com"]"#));
    work.serve(true);
    until("the record, and the pause's end", || {
        endpoints(&api) == generated["spec"]["endpoints"] && !is_suspended(&api)
    })
    .await;
    finish(&api);
}

/// What Argo CD passes over is emptied without a pause: it may run elsewhere.
#[tokio::test]
async fn the_generated_argo_cd_fills_no_record_again() {
    let (api, app) = (Api::start().await, app("warm-standby"));
    put_web(&api, &app, 2, Some(2));
    put_argo(&api, &app);
    let generated = objects(&generated(&app)["kubernetes/regions/ireland/dns.yaml"]).remove(0);
    api.put(RECORD, generated, "argocd-controller");
    let work = work(&api, &app);
    work.serve(false);
    until("an empty record", || endpoints(&api) == json!([])).await;
    assert_eq!(count(&api, &format!("PATCH {PROJECT}")), 0);
    let asked = api.asked().len();
    until("some more looks", || api.asked().len() > asked + 30).await;
    assert_eq!(api.changes(), [format!("PATCH {RECORD}")]);
    finish(&api);
}

#[tokio::test]
async fn a_cluster_without_external_dns_gets_no_record() {
    let (api, app) = (Api::start().await, app("warm-standby"));
    put_web(&api, &app, 2, Some(2));
    let work = work(&api, &app);
    work.serve(true);
    work.assign(Duty::Serving);
    until("six replicas", || replicas(&api) == 6).await;
    assert!(api.changes().iter().all(|change| !change.contains("dnsendpoints")), "{:?}", api.changes());
    finish(&api);
}

#[tokio::test]
async fn what_is_not_allowed_is_said_and_keeps_nothing_else_from_being_done() {
    let (api, app) = (Api::start().await, app("warm-standby"));
    put_web(&api, &app, 2, Some(2));
    put_flux(&api, &app);
    api.fault("PATCH", FLUX, 1_000_000, Fault::Status(403, None));
    let work = work(&api, &app);
    work.assign(Duty::Serving);
    until("six replicas", || replicas(&api) == 6).await;
    work.until_journaled("failed: Flux paused in ireland (the cluster does not allow it: injected)").await;
    // Not even looking is allowed: then nobody knows whether there is anything to pause, and that is said.
    api.fault("GET", FLUX, 1_000_000, Fault::Status(403, None));
    work.until("that it may not look", |state| {
        state.gitops.as_deref() == Some("Flux: this node may not look, so it pauses none")
            && state.running == Running::Yes
    })
    .await;
    finish(&api);
}

/// In a pod: TLS to the cluster's own authority, and a token that is replaced while the node runs.
#[tokio::test]
async fn a_service_account_is_read_as_it_is_now() {
    let app = app("warm-standby");
    let folder = tempfile::tempdir().unwrap();
    let (api, ca) = Api::start_with_tls().await;
    put_web(&api, &app, 2, Some(2));
    std::fs::write(folder.path().join("ca.crt"), ca).unwrap();
    std::fs::write(folder.path().join("token"), "first\n").unwrap();
    let access = Access::of_account("127.0.0.1", api.address.port(), folder.path()).unwrap();
    let path = folder.path().to_owned();
    let work = work_by(access, config(&app), folder);
    work.assign(Duty::Standby);
    until_ready(&work, 2).await;
    let uses = |token: &str| api.asked().last().unwrap().token.as_deref() == Some(token);
    assert!(uses("Bearer first"));
    std::fs::write(path.join("token"), "second\n").unwrap();
    until("the new token", || uses("Bearer second")).await;
    finish(&api);
}
