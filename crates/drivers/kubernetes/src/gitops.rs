//! Who else sets the app's objects, from Git: Flux and Argo CD in this cluster. Looked at, paused, and resumed.
//!
//! A pause and the note that it is ours are one change of one object, so that a node which dies in between has either done both or
//! neither, and whatever somebody else has paused has no such note. Flux is paused by suspending the app's Kustomization. An
//! Application of Argo CD cannot be paused itself where an ApplicationSet keeps it, which would set it back; so its project gets a
//! sync window that denies, for this Application only.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::kubernetes::{ARGO_NAMESPACE, FIELD_MANAGER, FLUX_NAMESPACE, application_name};
use lifeboat_model::{AppName, RegionId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::client::{ApiError, Client, Patch};
use crate::object::{AppProject, Application, Condition, Ignored, Kustomization, Meta};
use crate::scale::Governs;

/// The annotation that says what was paused by Lifeboat: a [`Pause`] by the name of what it is of.
pub const PAUSED: &str = "lifeboat/paused";
/// How often a change is decided anew because somebody else was quicker.
const TRIES: u32 = 6;

/// A pause that is ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The region whose node has paused it.
    pub region: RegionId,
    /// Since when, for people.
    pub since: String,
    /// What it protects: components, and records by their objects' names.
    #[serde(rename = "for")]
    pub protects: BTreeSet<String>,
}

/// Whether something is set from Git at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Course {
    /// It is.
    Active,
    /// Not by itself, and that is none of our doing.
    Idle(&'static str),
    /// Not while our pause lasts.
    Paused(Pause),
}

/// One who sets objects from Git.
#[derive(Clone, Debug)]
pub struct Keeper {
    tool: Tool,
    /// Whether it does at present.
    pub course: Course,
    /// What it would set back, once a pause of ours has ended if there is one.
    pub governs: Governs,
    /// A note of a pause that somebody else has ended.
    is_stale: bool,
    /// Argo CD: when it has compared last, and whether everything was as in Git.
    compared: Option<(String, bool)>,
    summary: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Tool {
    Flux { name: String },
    Argo { application: String, project: String },
}

/// Whoever keeps the app in this cluster from Git.
#[derive(Clone, Debug, Default)]
pub struct Keepers {
    /// Those who are there.
    pub seen: Vec<Keeper>,
    /// Those at whom this node may not look: whether they are there is not known, and they are not paused.
    pub unseen: Vec<&'static str>,
}

impl Keepers {
    /// How they stand, for people; `None`: there is nobody.
    pub fn summary(&self) -> Option<String> {
        let seen = self.seen.iter().map(Keeper::summary);
        let unseen = self.unseen.iter().map(|name| format!("{name}: this node may not look, so it pauses none"));
        let all: Vec<String> = seen.chain(unseen).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// Looks at whoever keeps the app in this cluster from Git. The cheapest question that tells whether the API answers at all.
pub async fn observe(client: &Client, app: &AppName, region: &RegionId) -> Result<Keepers, ApiError> {
    let mut keepers = Keepers::default();
    match client.find(&flux_path(app.as_str())).await {
        Ok(Some(kustomization)) => keepers.seen.push(of_flux(app.as_str(), &kustomization)),
        Ok(None) => {}
        Err(ApiError::Denied(_)) => keepers.unseen.push("Flux"),
        Err(error) => return Err(error),
    }
    let name = application_name(app, region);
    let path = format!("/apis/argoproj.io/v1alpha1/namespaces/{ARGO_NAMESPACE}/applications/{name}");
    match client.find::<Application>(&path).await {
        Ok(Some(application)) => {
            let project = match application.spec.project.as_str() {
                "" => "default",
                project => project,
            };
            let found = match client.find::<AppProject>(&project_path(project)).await {
                // Should a pause be needed, that it cannot be had is said then.
                Err(ApiError::Denied(_)) => None,
                found => found?,
            };
            keepers.seen.push(of_argo(&name, project, &application, &found.unwrap_or_default()));
        }
        Ok(None) => {}
        Err(ApiError::Denied(_)) => keepers.unseen.push("Argo CD"),
        Err(error) => return Err(error),
    }
    Ok(keepers)
}

impl Keeper {
    /// How it stands, for people.
    pub fn summary(&self) -> String {
        let course = match &self.course {
            Course::Active => String::new(),
            Course::Idle(why) => format!("{why}; "),
            Course::Paused(pause) => format!("paused by Lifeboat since {}; ", pause.since),
        };
        format!("{}: {course}{}", self.name(), self.summary)
    }

    /// Which tool.
    pub fn name(&self) -> &'static str {
        match self.tool {
            Tool::Flux { .. } => "Flux",
            Tool::Argo { .. } => "Argo CD",
        }
    }

    /// The pause that is ours.
    pub fn pause(&self) -> Option<&Pause> {
        match &self.course {
            Course::Paused(pause) => Some(pause),
            Course::Active | Course::Idle(_) => None,
        }
    }

    /// Whether somebody else has ended our pause, and the note of it is left.
    pub fn has_stale_note(&self) -> bool {
        self.is_stale
    }

    /// When Git and the cluster were compared last, and whether they agreed. `None`: the tool does not compare while it is paused.
    pub fn compared(&self) -> Option<(&str, bool)> {
        self.compared.as_ref().map(|(at, agreed)| (at.as_str(), *agreed))
    }

    /// Pauses it, or adds to what a pause of ours protects. Nothing happens where somebody else has paused it meanwhile.
    pub async fn hold(&self, client: &Client, pause: &Pause) -> Result<(), ApiError> {
        self.change(client, |notes, name, is_paused| {
            if is_paused && !notes.contains_key(name) {
                return None;
            }
            let note = notes.entry(name.to_owned()).or_insert_with(|| pause.clone());
            note.protects.extend(pause.protects.iter().cloned());
            Some(true)
        })
        .await
    }

    /// Ends our pause, and forgets it. Nothing happens to a pause that is not ours.
    pub async fn release(&self, client: &Client) -> Result<(), ApiError> {
        self.change(client, |notes, name, _| notes.remove(name).map(|_| false)).await
    }

    /// Forgets a pause that somebody else has ended.
    pub async fn forget(&self, client: &Client) -> Result<(), ApiError> {
        self.release(client).await
    }

    /// One change of pause and note together, decided on what is there now.
    async fn change(
        &self,
        client: &Client,
        decide: impl Fn(&mut BTreeMap<String, Pause>, &str, bool) -> Option<bool>,
    ) -> Result<(), ApiError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let (path, body) = match &self.tool {
                Tool::Flux { name } => {
                    let path = flux_path(name);
                    let object: Kustomization = client.get(&path).await?;
                    let mut notes = notes(&object.metadata);
                    let Some(suspend) = decide(&mut notes, name, object.spec.suspend) else { return Ok(()) };
                    (path, body(&object.metadata, &notes, json!({"suspend": suspend})))
                }
                Tool::Argo { application, project } => {
                    let path = project_path(project);
                    let object: AppProject = client.get(&path).await?;
                    let mut notes = notes(&object.metadata);
                    let is_ours = |window: &Value| is_window_of(window, application);
                    let is_paused = object.spec.sync_windows.iter().any(is_ours);
                    let Some(deny) = decide(&mut notes, application, is_paused) else { return Ok(()) };
                    let mut windows = object.spec.sync_windows;
                    windows.retain(|window| !is_ours(window));
                    if deny {
                        windows.push(window(application));
                    }
                    (path, body(&object.metadata, &notes, json!({"syncWindows": windows})))
                }
            };
            match client.patch::<Value>(&path, Patch::Merge, &body).await {
                Err(ApiError::Conflict(_)) if tries < TRIES => {}
                Err(error) => return Err(error),
                Ok(_) => return Ok(()),
            }
        }
    }
}

fn of_flux(name: &str, object: &Kustomization) -> Keeper {
    let note = notes(&object.metadata).remove(name);
    let course = match (object.spec.suspend, &note) {
        (false, _) => Course::Active,
        (true, Some(pause)) => Course::Paused(pause.clone()),
        (true, None) => Course::Idle("suspended by somebody else"),
    };
    let is_active = course == Course::Active;
    let is_at_work = !matches!(course, Course::Idle(_));
    let unwell = |condition: &&Condition| condition.kind == "Ready" && condition.status == "False";
    let summary = match object.status.conditions.iter().find(unwell) {
        Some(condition) => format!("not ready, {}", condition.message),
        None => format!("{} applied", object.status.last_applied_revision),
    };
    Keeper {
        tool: Tool::Flux { name: name.to_owned() },
        is_stale: is_active && note.is_some(),
        governs: Governs { minimum: is_at_work, replicas: is_at_work, records: is_at_work, standby: is_at_work },
        course,
        compared: None,
        summary,
    }
}

fn of_argo(name: &str, project: &str, application: &Application, object: &AppProject) -> Keeper {
    let note = notes(&object.metadata).remove(name);
    let is_denied = object.spec.sync_windows.iter().any(|window| is_window_of(window, name));
    let spec = &application.spec;
    // An ApplicationSet that goes step by step syncs what it keeps itself, and takes `automated` away for that.
    let is_automated = spec.sync_policy.automated.as_ref().is_some_and(|automated| automated.enabled != Some(false))
        || application.metadata.owner_references.iter().any(|owner| owner.kind == "ApplicationSet");
    let course = match (is_denied, &note) {
        (true, Some(pause)) => Course::Paused(pause.clone()),
        (true, None) => Course::Idle("denied by a sync window that nobody has noted"),
        (false, _) if is_automated => Course::Active,
        (false, _) => Course::Idle("does not sync by itself"),
    };
    let is_at_work = !matches!(course, Course::Idle(_));
    let respects = spec.sync_policy.sync_options.iter().any(|option| option == "RespectIgnoreDifferences=true");
    let ignored = |kind: &'static str| spec.ignore_differences.iter().filter(move |ignored| ignored.kind == kind);
    let is_ours = |ignored: &Ignored| ignored.managed_fields_managers.iter().any(|manager| manager == FIELD_MANAGER);
    let ignores = |kind: &'static str, pointer: &str| {
        let passes_over = |one: &Ignored| is_ours(one) || one.json_pointers.iter().any(|ignored| ignored == pointer);
        respects && ignored(kind).any(passes_over)
    };
    let status = &application.status;
    Keeper {
        tool: Tool::Argo { application: name.to_owned(), project: project.to_owned() },
        is_stale: !is_denied && note.is_some(),
        governs: Governs {
            minimum: is_at_work && !ignores("HorizontalPodAutoscaler", "/spec/minReplicas"),
            replicas: is_at_work && !ignores("Deployment", "/spec/replicas"),
            records: is_at_work && !ignores("DNSEndpoint", "/spec/endpoints"),
            standby: is_at_work && respects && ignored("HorizontalPodAutoscaler").any(is_ours),
        },
        course,
        compared: Some((status.reconciled_at.clone(), status.sync.status == "Synced")),
        summary: format!("{} at {}, {}", status.sync.status, status.sync.revision, status.health.status),
    }
}

/// Which pauses are ours. A note that cannot be read is nobody's.
fn notes(meta: &Meta) -> BTreeMap<String, Pause> {
    meta.annotations.get(PAUSED).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

fn body(meta: &Meta, notes: &BTreeMap<String, Pause>, spec: Value) -> Value {
    let note = if notes.is_empty() { Value::Null } else { Value::String(json!(notes).to_string()) };
    json!({
        "metadata": {"resourceVersion": meta.resource_version, "annotations": {PAUSED: note}},
        "spec": spec,
    })
}

/// A window that is always open: each minute one of an hour begins. People may sync by hand all the same.
fn window(application: &str) -> Value {
    json!({
        "kind": "deny",
        "schedule": "* * * * *",
        "duration": "1h",
        "timeZone": "UTC",
        "applications": [application],
        "manualSync": true,
        "description": DESCRIPTION,
    })
}

const DESCRIPTION: &str = "Lifeboat: Git would undo what was changed for a failover";

fn is_window_of(window: &Value, application: &str) -> bool {
    window["kind"] == "deny" && window["description"] == DESCRIPTION && window["applications"] == json!([application])
}

fn flux_path(name: &str) -> String {
    format!("/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{FLUX_NAMESPACE}/kustomizations/{name}")
}

fn project_path(project: &str) -> String {
    format!("/apis/argoproj.io/v1alpha1/namespaces/{ARGO_NAMESPACE}/appprojects/{project}")
}
