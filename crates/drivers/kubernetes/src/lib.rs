//! Drives the app's Deployments in a region's own Kubernetes cluster.
//!
//! It looks at Deployments, autoscalers, pods, nodes, and at whoever sets them from Git; makes a Deployment as large as the region's
//! duty asks for; pauses Flux or Argo CD where they would undo that, and resumes what it has paused; and keeps a record for
//! external-dns per route. Why any of that is wanted it does not know.
//!
//! [`Cluster`] is what a node holds, [`Driver`] the work, which somebody has to run. It asks the API of one cluster, its own
//! region's, and every question has a deadline: a cluster that does not answer is unknown, which is a state of its own. What is done
//! is found in the cluster, never remembered, so that a node which died goes on from there.

mod access;
mod client;
mod cluster;
mod exec;
mod gitops;
mod kubeconfig;
mod mirror;
mod object;
mod pods;
mod record;
mod scale;
mod sight;

pub use access::{ACCOUNT, Access, AccessError, Surroundings};
pub use client::ApiError;
pub use cluster::{Cluster, Config, Driver, Report, Served};
pub use gitops::PAUSED;
