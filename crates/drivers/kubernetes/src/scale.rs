//! How many replicas a Deployment is to have, and the requests that bring that about.
//!
//! Where an autoscaler sets them, its minimum is changed rather than fought; the replicas themselves are raised as well, because the
//! autoscaler looks only every 15 s, and starts nothing where there are none.

use std::fmt;

use lifeboat_model::compute::{Duty, Instances};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{ApiError, Client, Patch};
use crate::object::{Autoscaler, Deployment};

/// How often a change is decided anew because somebody else was quicker.
const TRIES: u32 = 6;

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Of the autoscaler's minimum.
    Minimum { from: u32, to: u32 },
    /// Of the replicas.
    Replicas { from: u32, to: u32 },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Minimum { from, to } => write!(f, "the autoscaler's minimum from {from} to {to}"),
            Self::Replicas { from, to } => write!(f, "replicas from {from} to {to}"),
        }
    }
}

/// What may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leave {
    /// Whether it may become smaller.
    pub shrink: bool,
    /// What would be set back from Git if it is set from there.
    pub git: Governs,
}

/// Which fields are set back from Git, where they are set from there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Governs {
    /// An autoscaler's minimum.
    pub minimum: bool,
    /// A Deployment's replicas.
    pub replicas: bool,
    /// What is in a record's object.
    pub records: bool,
    /// How large a standby is that Lifeboat has not taken over.
    pub standby: bool,
}

impl Governs {
    /// Whether a step changes what may be set back, now or when Git comes by next.
    pub fn may_undo(self, step: Step, deployment: &Deployment, autoscaler: Option<&Autoscaler>) -> bool {
        match step {
            Step::Minimum { .. } => {
                let may = |autoscaler: &Autoscaler| autoscaler.metadata.may_be_set_from_git("minReplicas");
                self.minimum && autoscaler.is_some_and(may)
            }
            Step::Replicas { .. } => self.replicas && deployment.metadata.may_be_set_from_git("replicas"),
        }
    }

    /// Whether a step changes what Git says of a standby.
    fn says(self, step: Step, deployment: &Deployment, autoscaler: Option<&Autoscaler>) -> bool {
        self.standby
            && match step {
                Step::Minimum { .. } => {
                    autoscaler.is_some_and(|autoscaler| autoscaler.metadata.is_left_to_git("minReplicas"))
                }
                Step::Replicas { .. } => deployment.metadata.is_left_to_git("replicas"),
            }
    }

    /// Whether a step changes what would be set back.
    pub fn undoes(self, step: Step, deployment: &Deployment, autoscaler: Option<&Autoscaler>) -> bool {
        match step {
            Step::Minimum { .. } => {
                self.minimum && autoscaler.is_some_and(|autoscaler| autoscaler.metadata.is_set_from_git("minReplicas"))
            }
            Step::Replicas { .. } => self.replicas && deployment.metadata.is_set_from_git("replicas"),
        }
    }
}

/// What is to be changed so that a region with this duty has what it needs, in this order.
pub fn steps(
    duty: Duty,
    instances: Instances,
    deployment: &Deployment,
    autoscaler: Option<&Autoscaler>,
    leave: Leave,
) -> Vec<Step> {
    let Some(wanted) = instances.under(duty) else { return Vec::new() };
    let told = deployment.spec.replicas;
    // Where clients are served Git is paused rather than obeyed. How large a standby is, Git may say.
    let is_gits =
        |step: Step| leave.git.undoes(step, deployment, autoscaler) || leave.git.says(step, deployment, autoscaler);
    let may_set = |step: &Step| duty == Duty::Serving || !is_gits(*step);
    let mut steps = Vec::new();
    // An autoscaler has a minimum of one at least, and rests where there are no replicas.
    let wanted = match autoscaler {
        Some(autoscaler) if wanted > 0 => {
            let wanted = wanted.min(autoscaler.spec.max_replicas.max(1));
            let minimum = autoscaler.minimum();
            let is_due = minimum < wanted || minimum > wanted && duty == Duty::Standby && leave.shrink;
            if is_due {
                steps.push(Step::Minimum { from: minimum, to: wanted });
            }
            wanted
        }
        Some(_) | None => wanted,
    };
    // Down to its minimum the autoscaler goes by itself, as the load allows.
    let is_too_large = told > wanted && duty == Duty::Standby && leave.shrink && (autoscaler.is_none() || wanted == 0);
    if told < wanted || is_too_large {
        steps.push(Step::Replicas { from: told, to: wanted });
    }
    steps.retain(may_set);
    steps
}

/// The paths of the API that scaling needs.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The Deployment's.
    pub deployment: String,
    /// Of the namespace's autoscalers.
    pub autoscalers: String,
}

/// Scales, deciding anew on what is there now each time somebody else was quicker. `decide` gets the Deployment and the namespace's
/// autoscalers, and says the steps and which autoscaler they are about. Says what was changed, which is nothing where all is as it
/// should be, also where it could not be brought to its end.
pub async fn scale(
    client: &Client,
    paths: &Paths,
    decide: impl Fn(&Deployment, &[Autoscaler]) -> (Vec<Step>, Option<Autoscaler>),
) -> (Vec<Step>, Result<(), ApiError>) {
    let mut done = Vec::new();
    let mut tries = 0;
    loop {
        tries += 1;
        match attempt(client, paths, &decide, &mut done).await {
            Err(ApiError::Conflict(_)) if tries < TRIES => {}
            outcome => return (done, outcome),
        }
    }
}

async fn attempt(
    client: &Client,
    paths: &Paths,
    decide: &impl Fn(&Deployment, &[Autoscaler]) -> (Vec<Step>, Option<Autoscaler>),
    done: &mut Vec<Step>,
) -> Result<(), ApiError> {
    let deployment: Deployment = client.get(&paths.deployment).await?;
    let autoscalers: List = client.get(&paths.autoscalers).await?;
    let (steps, autoscaler) = decide(&deployment, &autoscalers.items);
    for step in steps {
        match (step, &autoscaler) {
            (Step::Minimum { to, .. }, Some(autoscaler)) => {
                let path = format!("{}/{}", paths.autoscalers, autoscaler.metadata.name);
                client.patch::<Value>(&path, Patch::Apply, &minimum(autoscaler, to)).await?;
            }
            (Step::Replicas { to, .. }, _) => {
                let path = format!("{}/scale", paths.deployment);
                client.patch::<Value>(&path, Patch::Merge, &replicas(&deployment, to)).await?;
            }
            (Step::Minimum { .. }, None) => continue,
        }
        done.push(step);
    }
    Ok(())
}

#[derive(Deserialize)]
struct List {
    items: Vec<Autoscaler>,
}

fn minimum(autoscaler: &Autoscaler, to: u32) -> Value {
    json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": autoscaler.metadata.name, "resourceVersion": autoscaler.metadata.resource_version},
        "spec": {"minReplicas": to},
    })
}

fn replicas(deployment: &Deployment, to: u32) -> Value {
    json!({
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"name": deployment.metadata.name, "resourceVersion": deployment.metadata.resource_version},
        "spec": {"replicas": to},
    })
}

#[cfg(test)]
mod tests {
    use serde_json::from_value;

    use super::*;

    #[test]
    fn what_a_duty_takes() {
        use Duty::{Serving, Standby, Undecided};
        const NOBODY: Governs = Governs { minimum: false, replicas: false, records: false, standby: false };
        const FREE: Leave = Leave { shrink: true, git: NOBODY };
        const GROW: Leave = Leave { shrink: false, git: NOBODY };
        const GIT: Leave =
            Leave { shrink: true, git: Governs { minimum: true, replicas: true, records: true, standby: true } };
        const ALL_BUT_REPLICAS: Leave =
            Leave { shrink: true, git: Governs { minimum: true, replicas: false, records: true, standby: false } };
        /// What, duty, a standby's size where 6 serve, replicas, an autoscaler's minimum and maximum.
        type Case<'a> = (&'a str, Duty, u32, u32, Option<(u32, u32)>, Leave, &'a [Step]);
        let table: &[Case] = &[
            ("all there", Serving, 2, 6, None, FREE, &[]),
            ("more than asked for", Serving, 2, 9, None, FREE, &[]),
            ("grows", Serving, 2, 2, None, GROW, &[Step::Replicas { from: 2, to: 6 }]),
            ("from nothing", Serving, 0, 0, None, GROW, &[Step::Replicas { from: 0, to: 6 }]),
            (
                "by the autoscaler, which is slow",
                Serving,
                2,
                2,
                Some((2, 12)),
                GROW,
                &[Step::Minimum { from: 2, to: 6 }, Step::Replicas { from: 2, to: 6 }],
            ),
            ("under load already", Serving, 2, 8, Some((2, 12)), GROW, &[Step::Minimum { from: 2, to: 6 }]),
            ("a higher minimum", Serving, 2, 8, Some((8, 12)), FREE, &[]),
            (
                "a maximum in the way",
                Serving,
                2,
                2,
                Some((2, 4)),
                FREE,
                &[Step::Minimum { from: 2, to: 4 }, Step::Replicas { from: 2, to: 4 }],
            ),
            ("a resting autoscaler", Serving, 0, 0, Some((6, 12)), FREE, &[Step::Replicas { from: 0, to: 6 }]),
            ("shrinks", Standby, 2, 6, None, FREE, &[Step::Replicas { from: 6, to: 2 }]),
            ("not yet", Standby, 2, 6, None, GROW, &[]),
            ("to nothing", Standby, 0, 6, Some((6, 12)), FREE, &[Step::Replicas { from: 6, to: 0 }]),
            ("as the load allows", Standby, 2, 6, Some((6, 12)), FREE, &[Step::Minimum { from: 6, to: 2 }]),
            ("a standby that is too small", Standby, 2, 1, None, GROW, &[Step::Replicas { from: 1, to: 2 }]),
            ("a standby is Git's", Standby, 2, 6, Some((6, 12)), GIT, &[]),
            ("what serves is not", Serving, 2, 2, None, GIT, &[Step::Replicas { from: 2, to: 6 }]),
            (
                "but for what Git ignores",
                Standby,
                0,
                6,
                Some((6, 12)),
                ALL_BUT_REPLICAS,
                &[Step::Replicas { from: 6, to: 0 }],
            ),
            ("nobody knows", Undecided, 2, 3, Some((1, 12)), FREE, &[]),
        ];
        for (what, duty, standby, told, autoscaler, leave, expected) in table {
            let deployment: Deployment = from_value(json!({"spec": {"replicas": told}})).unwrap();
            let autoscaler: Option<Autoscaler> = autoscaler.map(|(minimum, maximum)| {
                from_value(json!({"spec": {"minReplicas": minimum, "maxReplicas": maximum}})).unwrap()
            });
            let instances = Instances { full: 6, standby: *standby };
            assert_eq!(steps(*duty, instances, &deployment, autoscaler.as_ref(), *leave), *expected, "{what}");
        }
    }

    #[test]
    fn what_git_does_not_set_is_free() {
        let owned = |manager: &str, field: &str| -> Value {
            json!({"metadata": {"managedFields": [{"manager": manager, "fieldsV1": {"f:spec": {field: {}}}}]}, "spec": {"replicas": 6}})
        };
        let leave =
            Leave { shrink: true, git: Governs { minimum: true, replicas: true, records: true, standby: true } };
        for (manager, field, is_free) in [
            ("kustomize-controller", "f:replicas", false),
            ("argocd-controller", "f:replicas", false),
            ("kustomize-controller", "f:template", true),
            ("kube-controller-manager", "f:replicas", true),
        ] {
            let deployment: Deployment = from_value(owned(manager, field)).unwrap();
            let found = steps(Duty::Standby, Instances { full: 6, standby: 2 }, &deployment, None, leave);
            assert_eq!(found.is_empty(), !is_free, "{manager} {field}");
        }
    }

    /// Argo CD passes over what Lifeboat owns, and nothing else: the size of a standby that was never failed over to is Git's, and of one
    /// that served it is the node's to make small again, although Argo CD owns it as well by then.
    #[test]
    fn a_standby_is_gits_until_it_is_taken_over() {
        let leave = Leave { shrink: true, git: Governs { standby: true, ..Governs::default() } };
        let owners = |owners: &[&str]| -> Value {
            let owner = |name: &&str| json!({"manager": name, "fieldsV1": {"f:spec": {"f:minReplicas": {}}}});
            json!({"managedFields": owners.iter().map(owner).collect::<Vec<_>>()})
        };
        for (names, expected) in [
            (&["argocd-controller"][..], &[][..]),
            (&["argocd-controller", "lifeboat"], &[Step::Minimum { from: 6, to: 2 }]),
            (&["lifeboat"], &[Step::Minimum { from: 6, to: 2 }]),
        ] {
            let deployment: Deployment = from_value(json!({"spec": {"replicas": 6}})).unwrap();
            let autoscaler = json!({"metadata": owners(names), "spec": {"minReplicas": 6, "maxReplicas": 12}});
            let autoscaler: Autoscaler = from_value(autoscaler).unwrap();
            let instances = Instances { full: 6, standby: 2 };
            let found = steps(Duty::Standby, instances, &deployment, Some(&autoscaler), leave);
            assert_eq!(found, expected, "{names:?}");
        }
    }
}
