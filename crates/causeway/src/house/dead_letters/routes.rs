use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use model::Family;
use runtime::http_server::http_error;
use serde::{Deserialize, Serialize};

use super::desk::Wrong;
use super::{DeadLetters, Discard, Replay};

type Desk = State<Arc<DeadLetters>>;

/// `/dead-letters` and what is under it.
pub(in crate::house) fn routes(letters: DeadLetters) -> Router {
    Router::new()
        .route("/dead-letters", get(list))
        .route("/dead-letters/{family}/{id}", get(show))
        .route("/dead-letters/replay", post(replay))
        .route("/dead-letters/discard", post(discard))
        .with_state(Arc::new(letters))
}

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        match self {
            Self::Unknown(told) => http_error(StatusCode::NOT_FOUND, "not found", &told),
            Self::NoLedger => {
                let told = "this process plays no role that keeps the ledger; ask one that does";
                http_error(StatusCode::NOT_FOUND, "no ledger here", told)
            }
            Self::Unavailable(error) => {
                http_error(StatusCode::SERVICE_UNAVAILABLE, "not available", &format!("{error:#}"))
            }
        }
    }
}

fn answer<T: Serialize>(result: Result<T, Wrong>) -> Response {
    result.map_or_else(IntoResponse::into_response, |value| Json(value).into_response())
}

#[derive(Deserialize)]
struct ListQuery {
    family: Option<Family>,
}

async fn list(State(letters): Desk, Query(ListQuery { family }): Query<ListQuery>) -> Response {
    answer(letters.list(family).await)
}

#[derive(Deserialize)]
struct ShowQuery {
    #[serde(default)]
    body: bool,
}

async fn show(
    State(letters): Desk,
    Path((family, id)): Path<(Family, String)>,
    Query(ShowQuery { body }): Query<ShowQuery>,
) -> Response {
    answer(letters.show(family, &id, body).await)
}

async fn replay(State(letters): Desk, Json(request): Json<Replay>) -> Response {
    answer(letters.replay(&request).await)
}

async fn discard(State(letters): Desk, Json(request): Json<Discard>) -> Response {
    answer(letters.discard(&request).await)
}
