//! What can be asked over HTTP, and how it is answered.
//!
//! | request | answer |
//! |---|---|
//! | `POST /orders {"id": …, "item": …}` | 201 placed for good; 409 the id is taken; 400; 503 with the reason |
//! | `GET /orders` | 200, every id on a line of its own |
//! | `GET /orders/ID` | 200 the order, 404 |
//! | `GET /healthz` | 200 while the process serves, whatever the database does |
//! | `GET /readyz` | 200 if orders can be placed, otherwise 503 with what the database is |

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::timeout;

use crate::orders::{DatabaseState, Orders, Refusal};
use crate::pool::Pool;

const BODY_BYTES: usize = 16 * 1024;
const ID_BYTES: usize = 200;
const ITEM_BYTES: usize = 4096;

/// An order as clients send and get it.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Order {
    id: String,
    item: String,
}

/// The service. Every request but a list is answered within the deadline.
pub fn router(pool: Arc<Pool>, deadline: Duration) -> Router {
    Router::new()
        .route("/orders", get(list).post(place))
        .route("/orders/{id}", get(show))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(from_fn(move |request, next| within(deadline, request, next)))
        .with_state(Arc::new(Orders::new(pool)))
}

async fn within(deadline: Duration, request: Request, next: Next) -> Response {
    let is_order = request.method() == Method::POST;
    match timeout(deadline, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let late = Refusal::Unknown(format!("no answer within {} ms", deadline.as_millis()));
            if is_order { refuse_order(&late) } else { refuse(&late) }
        }
    }
}

async fn place(State(orders): State<Arc<Orders>>, order: Result<Json<Order>, JsonRejection>) -> Response {
    let order = match order {
        Ok(Json(order)) => order,
        Err(rejection) => return answer(rejection.status(), json!({"reason": rejection.body_text()})),
    };
    if let Err(reason) = check(&order) {
        return answer(StatusCode::BAD_REQUEST, json!({"reason": reason}));
    }
    let id = order.id.clone();
    match orders.place(order.id, order.item).await {
        Ok(()) => answer(StatusCode::CREATED, json!({"id": id})),
        Err(refusal) => refuse_order(&refusal),
    }
}

/// Ids are lines of the list, so nothing in them may end a line.
fn check(order: &Order) -> Result<(), String> {
    if order.id.is_empty() || order.id.len() > ID_BYTES {
        return Err(format!("id: expected 1 to {ID_BYTES} bytes, got {}", order.id.len()));
    }
    if order.id.chars().any(char::is_control) {
        return Err("id: control characters are not allowed".to_owned());
    }
    if order.item.len() > ITEM_BYTES {
        return Err(format!("item: expected at most {ITEM_BYTES} bytes, got {}", order.item.len()));
    }
    if order.item.contains('\0') {
        return Err("item: the NUL character is not allowed".to_owned());
    }
    Ok(())
}

async fn list(State(orders): State<Arc<Orders>>) -> Response {
    let pieces = match orders.ids().await {
        Ok(pieces) => pieces,
        Err(refusal) => return refuse(&refusal),
    };
    let body = stream::unfold(pieces, |mut pieces| async { pieces.recv().await.map(|piece| (piece, pieces)) });
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(body)).into_response()
}

async fn show(State(orders): State<Arc<Orders>>, Path(id): Path<String>) -> Response {
    if id.contains('\0') {
        return answer(StatusCode::NOT_FOUND, json!({"reason": "no such order"}));
    }
    match orders.item(&id).await {
        Ok(Some(item)) => Json(Order { id, item }).into_response(),
        Ok(None) => answer(StatusCode::NOT_FOUND, json!({"reason": "no such order"})),
        Err(refusal) => refuse(&refusal),
    }
}

async fn ready(State(orders): State<Arc<Orders>>) -> Response {
    match orders.state().await {
        Ok(DatabaseState::Writable) => answer(StatusCode::OK, json!({"database": "writable"})),
        Ok(DatabaseState::ReadOnly) => answer(StatusCode::SERVICE_UNAVAILABLE, json!({"database": "read-only"})),
        Err(refusal) => {
            answer(StatusCode::SERVICE_UNAVAILABLE, json!({"database": "unavailable", "reason": refusal.to_string()}))
        }
    }
}

/// The answer to an order also says whether it may have been placed all the same.
fn refuse_order(refusal: &Refusal) -> Response {
    let placed = if refusal.may_have_been_placed() { "unknown" } else { "no" };
    answer(status(refusal), json!({"reason": refusal.to_string(), "placed": placed}))
}

fn refuse(refusal: &Refusal) -> Response {
    answer(status(refusal), json!({"reason": refusal.to_string()}))
}

fn status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Duplicate => StatusCode::CONFLICT,
        Refusal::Invalid(_) => StatusCode::BAD_REQUEST,
        Refusal::Unavailable(_) | Refusal::ReadOnly | Refusal::Database(_) | Refusal::Unknown(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

fn answer(status: StatusCode, body: serde_json::Value) -> Response {
    (status, Json(body)).into_response()
}
