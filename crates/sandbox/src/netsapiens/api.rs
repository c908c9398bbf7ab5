//! What the bridge reads.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, Query, Request, State as Shared};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use http::{HeaderMap, Method, StatusCode, header};
use serde_json::{Value, json};

use super::login::{self, Bearer};
use super::manage;
use super::media;
use super::rows;
use super::send;
use super::state::State;
use super::subscriptions;

/// Rows of a list where nobody says how many.
const LIMIT: usize = 100;
const LARGEST: usize = 1_000;

pub(super) type Words = HashMap<String, String>;

pub(super) fn routes(state: Arc<State>) -> Router {
    let user = "/domains/{domain}/users/{user}";
    let api = Router::new()
        .route("/version", get(version))
        .route("/apikeys/~", get(api_key))
        .route("/apikeys", get(manage::keys).post(manage::create_key))
        .route("/apikeys/{key}", delete(manage::delete_key))
        .route("/smsnumbers", get(numbers))
        .route(&format!("{user}/smsnumbers/count"), get(manage::count))
        .route(&format!("{user}/messagesessions/{{session}}/leave"), put(manage::leave))
        .route("/domains/{domain}/smsnumbers", get(numbers))
        .route(&format!("{user}/smsnumbers"), get(numbers))
        .route("/domains/{domain}/messagesessions", get(sessions))
        .route(&format!("{user}/messages"), post(send::start))
        .route(&format!("{user}/messagesessions"), get(sessions))
        .route(&format!("{user}/messagesessions/{{session}}"), get(session).put(manage::change).delete(manage::delete))
        .route(&format!("{user}/messagesessions/{{session}}/messages"), get(messages).post(send::in_session))
        .route("/subscriptions", get(subscriptions::list).post(subscriptions::make))
        .route("/subscriptions/{id}", put(subscriptions::change).delete(subscriptions::end))
        .route("/domains/{domain}/subscriptions", get(subscriptions::list).post(subscriptions::make))
        .route("/domains/{domain}/subscriptions/{id}", put(subscriptions::change).delete(subscriptions::end))
        .fallback(async || error(StatusCode::NOT_FOUND, "Resource not found"))
        .layer(from_fn_with_state(Arc::clone(&state), authorise))
        .route("/tokens", post(login::tokens))
        .route("/jwt", post(login::jwt))
        .with_state(Arc::clone(&state));
    Router::new()
        .nest("/ns-api/v2", api)
        .merge(media::routes(state))
        .fallback(async || error(StatusCode::NOT_FOUND, "Resource not found"))
}

async fn authorise(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer "));
    let bearer = match given {
        Some(key) if key == state.api_key => Bearer::Good,
        Some(token) => {
            let room = state.room();
            room.tokens.worth(token, room.clock.now())
        }
        None => Bearer::Unknown,
    };
    if bearer == Bearer::Expired {
        return error(StatusCode::UNAUTHORIZED, "The access token provided has expired.");
    }
    if bearer == Bearer::Unknown || state.faults.refuse_401.strikes() {
        return error(StatusCode::UNAUTHORIZED, "Authentication Required");
    }
    if request.method() == Method::GET && state.faults.reads_answer_500.strikes() {
        return error(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
    }
    if request.method() == Method::GET && state.faults.reads_hang.strikes() {
        // A drain need not wait for an answer that never comes.
        state.shutdown.stopping().await;
        return error(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
    }
    next.run(request).await
}

async fn version(Shared(state): Shared<Arc<State>>) -> Json<Value> {
    let room = state.room();
    let now = rows::stamp(room.clock.now());
    let version = json!({ "apiversion": "Version: 45.0.0", "hostname": "sandbox", "current-time": now });
    Json(room.managed.shown("/version", version))
}

async fn api_key(Shared(state): Shared<Arc<State>>) -> Json<Value> {
    let key = json!({
        "description": "sandbox", "key-id": "nsd_sandbox", "reseller": "sandbox", "domain": state.domain,
        "user-scope": "Office Manager", "ip-address": "", "readonly": "no",
        "allowed-models": ["message", "messagesession", "smsnumber", "event"],
    });
    Json(state.room().managed.shown("~", key))
}

/// A user's list of exactly one is a bare object, as some servers have it.
async fn numbers(Shared(state): Shared<Arc<State>>, Path(path): Path<Words>, Query(query): Query<Words>) -> Response {
    if let Err(refused) = place(&state, &path) {
        return refused.into_response();
    }
    let room = state.room();
    let owned = room.numbers.iter().filter(|(_, user)| path.get("user").is_none_or(|wanted| wanted == *user));
    let row = |(number, user): (&String, &String)| {
        let row = json!({
            "number": number, "application": "user", "domain": state.domain, "dest": rows::coerced(user),
            "carrier": "sandbox", "mms-capable": false, "group-mms-capable": false,
        });
        room.managed.shown(number, row)
    };
    let mut list = page(owned.map(row), &query);
    match list.pop() {
        Some(only) if list.is_empty() && path.contains_key("user") => Json(only).into_response(),
        last => Json(list.into_iter().chain(last).collect::<Value>()).into_response(),
    }
}

async fn sessions(Shared(state): Shared<Arc<State>>, Path(path): Path<Words>, Query(query): Query<Words>) -> Response {
    if let Err(refused) = place(&state, &path) {
        return refused.into_response();
    }
    let mut room = state.room();
    room.reads.lists += 1;
    state.changed();
    let list = room.sessions.list(path.get("user").map(String::as_str));
    let row = |session| room.managed.session(session, rows::session(session, &state.domain));
    Json(page(list.into_iter().map(row), &query)).into_response()
}

/// One session, documented as an array.
async fn session(Shared(state): Shared<Arc<State>>, Path(path): Path<Words>) -> Response {
    let user = match place(&state, &path) {
        Ok(user) => user,
        Err(refused) => return refused.into_response(),
    };
    let room = state.room();
    match path.get("session").and_then(|id| room.sessions.get(&user, id)) {
        Some(session) => {
            Json(json!([room.managed.session(session, rows::session(session, &state.domain))])).into_response()
        }
        None => error(StatusCode::NOT_FOUND, "Record not found"),
    }
}

/// The rows of a session, the newest first.
async fn messages(
    Shared(state): Shared<Arc<State>>,
    Path(path): Path<Words>,
    Query(query): Query<Words>,
    headers: HeaderMap,
) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let user = match place(&state, &path) {
        Ok(user) => user,
        Err(refused) => return refused.into_response(),
    };
    let mut room = state.room();
    room.reads.sessions += 1;
    state.changed();
    match path.get("session").and_then(|id| room.sessions.get(&user, id)) {
        Some(session) => {
            let base = format!("http://{host}");
            let list = session.rows.iter().rev().map(|row| {
                let mut value = rows::message(session, row, &state.domain);
                room.files.tell_row(row.id, &base, &mut value);
                value
            });
            Json(page(list, &query)).into_response()
        }
        None => error(StatusCode::NOT_FOUND, "Record not found"),
    }
}

pub(super) fn page(rows: impl Iterator<Item = Value>, query: &Words) -> Vec<Value> {
    let number = |key: &str| query.get(key).and_then(|value| value.parse::<usize>().ok());
    rows.skip(number("start").unwrap_or(0)).take(number("limit").unwrap_or(LIMIT).clamp(1, LARGEST)).collect()
}

/// A domain or user that is not here.
pub(super) struct Refused(String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        error(StatusCode::NOT_FOUND, &self.0)
    }
}

/// The user of the path, where domain and user are ones of ours.
pub(super) fn place(state: &State, path: &Words) -> Result<String, Refused> {
    let domain = path.get("domain").map_or(state.domain.as_str(), String::as_str);
    if domain != state.domain {
        return Err(Refused(format!("Domain {domain} does not exist")));
    }
    let user = path.get("user").cloned().unwrap_or_default();
    if path.contains_key("user") && !state.room().numbers.values().any(|owner| *owner == user) {
        return Err(Refused(format!("User {user} does not exist in domain {domain}")));
    }
    Ok(user)
}

pub(super) fn error(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "code": status.as_u16(), "message": message }))).into_response()
}
