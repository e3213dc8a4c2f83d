//! The steering endpoints: for each route and region, whether that region is to be served now.
//!
//! The health checkers of Route 53, Traffic Manager and load balancers ask them, so that a cloud's data plane moves clients without
//! a record being changed. They need no token, for such checkers have none, and say no more than DNS does. Asked of several nodes
//! and combined by quorum, one node that is wrong or cut off moves nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use lifeboat_model::status::RouteAnswer;
use lifeboat_model::{HostName, RegionId};
use tokio::sync::watch;

use crate::api::Api;

/// `/v1/steering/ROUTE/REGION`
pub const REGION: &str = "/v1/steering/{route}/{region}";
/// `/v1/steering/ROUTE`: of the region of the node that is asked.
pub const OWN: &str = "/v1/steering/{route}";

/// What every route answers now; the brain's task changes it in the moment in which DNS changes.
pub type Answers = watch::Receiver<BTreeMap<HostName, RouteAnswer>>;

pub async fn region(State(api): State<Arc<Api>>, Path((route, region)): Path<(String, RegionId)>) -> Response {
    answer(&api, &route, &region)
}

pub async fn own(State(api): State<Arc<Api>>, Path(route): Path<String>) -> Response {
    answer(&api, &route, &api.region)
}

fn answer(api: &Api, route: &str, region: &RegionId) -> Response {
    let host = HostName::from(route.to_ascii_lowercase());
    let (status, text) = if !api.app.routes.contains_key(&host) {
        let known: Vec<&str> = api.app.routes.keys().map(HostName::as_str).collect();
        (StatusCode::NOT_FOUND, format!("{} has no route {route}; it has: {}", api.app.name, known.join(", ")))
    } else if !api.app.regions.contains_key(region) {
        let known: Vec<&str> = api.app.regions.keys().map(RegionId::as_str).collect();
        (StatusCode::NOT_FOUND, format!("{} has no region {region}; it has: {}", api.app.name, known.join(", ")))
    } else {
        match api.answers.borrow().get(&host) {
            Some(answer) if answer.regions.contains(region) => (StatusCode::OK, answer.reason.clone()),
            Some(answer) => (StatusCode::SERVICE_UNAVAILABLE, answer.reason.clone()),
            None => (StatusCode::SERVICE_UNAVAILABLE, "this node does not know yet who is served".into()),
        }
    };
    let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (status, plain, text + "\n").into_response()
}
