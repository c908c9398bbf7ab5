//! Event subscriptions: made, read, changed and ended; in error after posts that failed.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State as Shared};
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use runtime::http_server::read_body;
use serde_json::{Map, Value, json};

use super::api::{error, page, place};
use super::rows::stamp;
use super::session::random_id;
use super::state::State;
use crate::door::{BODY_LIMIT, BODY_READ};

/// Posts in a row that fail until a subscription is in error, and posts nothing any more.
const FAILURES: u64 = 3;
/// With no expiry asked for it is that of a token.
const TOKEN: SignedDuration = SignedDuration::from_hours(1);
const MOST: usize = 1_000;

type Words = HashMap<String, String>;

/// One subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimSubscription {
    /// Its id.
    pub id: String,
    /// `message` or `messagesession`.
    pub model: String,
    /// Whose events; `*` for everyone's.
    pub user: String,
    /// Where they are posted.
    pub post_url: String,
    /// When it ends.
    pub expires: Timestamp,
    /// `pending`, `active` or `error`.
    pub status: String,
    /// Posts that failed, since it was set to 0.
    pub errors: u64,
    /// Posts that were made.
    pub posts: u64,
    /// The server that posts; empty where there is none.
    pub server: String,
}

/// Where an event of a user goes.
pub(super) fn urls(state: &State, model: &str, user: &str) -> Vec<String> {
    let room = state.room();
    let now = room.clock.now();
    let fits = |one: &&SimSubscription| {
        one.model == model && (one.user == "*" || one.user == user) && one.expires > now && one.status != "error"
    };
    room.subscriptions.iter().filter(fits).map(|one| one.post_url.clone()).collect()
}

/// What became of a post.
pub(super) fn posted(state: &State, url: &str, taken: bool) {
    for one in state.room().subscriptions.iter_mut().filter(|one| one.post_url == url) {
        one.posts += 1;
        one.errors = if taken { 0 } else { one.errors + 1 };
        one.status = if one.errors >= FAILURES { "error" } else { "active" }.to_owned();
        if one.server.is_empty() {
            "sandbox".clone_into(&mut one.server);
        }
    }
}

pub(super) async fn list(
    Shared(state): Shared<Arc<State>>,
    Path(path): Path<Words>,
    Query(query): Query<Words>,
) -> Response {
    if let Some(refused) = refused(&state, &path) {
        return refused;
    }
    let room = state.room();
    let now = room.clock.now();
    let alive = room.subscriptions.iter().filter(|one| one.expires > now);
    Json(page(alive.map(|one| shown(one, &state.domain)), &query)).into_response()
}

pub(super) async fn make(
    Shared(state): Shared<Arc<State>>,
    Path(path): Path<Words>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let fields = match asked(&state, &path, &headers, body).await {
        Ok(fields) => fields,
        Err(response) => return response,
    };
    if state.faults.refuse_subscriptions.strikes() {
        return (StatusCode::FORBIDDEN, Html("<html><h1>Forbidden</h1></html>")).into_response();
    }
    let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (model, url, user) = (text("model"), text("post-url"), text("user"));
    if !matches!(model.as_str(), "message" | "messagesession") || !url.starts_with("http") || url.contains('?') {
        return error(StatusCode::BAD_REQUEST, "Bad Request: model or post-url");
    }
    if text("domain") != state.domain {
        return error(StatusCode::FORBIDDEN, "another domain");
    }
    let mut room = state.room();
    let now = room.clock.now();
    let same = |one: &SimSubscription| one.model == model && one.post_url == url && one.user == user;
    if room.subscriptions.iter().any(|one| same(one) && one.expires > now) {
        let told = "Subscription ID already Exists or matching set of parameters already exists";
        return (StatusCode::CONFLICT, Json(json!({ "message": told }))).into_response();
    }
    if room.subscriptions.len() >= MOST {
        return error(StatusCode::BAD_REQUEST, "too many");
    }
    let one = SimSubscription {
        id: random_id(),
        model,
        user: if user.is_empty() { "*".to_owned() } else { user },
        post_url: url,
        expires: until(&text("subscription-expires-datetime")).unwrap_or(now + TOKEN),
        status: "pending".to_owned(),
        errors: 0,
        posts: 0,
        server: String::new(),
    };
    let answer = shown(&one, &state.domain);
    room.subscriptions.push(one);
    drop(room);
    state.changed();
    if state.faults.subscribe_202.strikes() {
        return (StatusCode::ACCEPTED, Json(json!({ "code": 202, "message": "Accepted" }))).into_response();
    }
    Json(answer).into_response()
}

pub(super) async fn change(
    Shared(state): Shared<Arc<State>>,
    Path(path): Path<Words>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let fields = match asked(&state, &path, &headers, body).await {
        Ok(fields) => fields,
        Err(response) => return response,
    };
    let text = |key: &str| fields.get(key).and_then(Value::as_str).map(str::to_owned);
    let id = path.get("id").cloned().unwrap_or_default();
    let mut room = state.room();
    let Some(one) = room.subscriptions.iter_mut().find(|one| one.id == id) else {
        return error(StatusCode::NOT_FOUND, "Record not found");
    };
    if let Some(url) = text("post-url") {
        one.post_url = url;
    }
    if let Some(expires) = text("subscription-expires-datetime").as_deref().and_then(until) {
        one.expires = expires;
    }
    if fields.get("error-count").and_then(Value::as_u64) == Some(0) {
        one.errors = 0;
        "active".clone_into(&mut one.status);
    }
    text("preferred-server").unwrap_or_else(|| "sandbox".to_owned()).clone_into(&mut one.server);
    drop(room);
    state.changed();
    (StatusCode::ACCEPTED, Json(json!({ "code": 202, "message": "Accepted" }))).into_response()
}

pub(super) async fn end(Shared(state): Shared<Arc<State>>, Path(path): Path<Words>) -> Response {
    if let Some(refused) = refused(&state, &path) {
        return refused;
    }
    let id = path.get("id").cloned().unwrap_or_default();
    let mut room = state.room();
    let before = room.subscriptions.len();
    room.subscriptions.retain(|one| one.id != id);
    let found = room.subscriptions.len() < before;
    drop(room);
    state.changed();
    if found {
        (StatusCode::ACCEPTED, Json(json!({ "code": 202, "message": "Accepted" }))).into_response()
    } else {
        error(StatusCode::NOT_FOUND, "Record not found")
    }
}

/// A core that is older than the domain's form does not know the route.
fn refused(state: &State, path: &Words) -> Option<Response> {
    if path.contains_key("domain") && state.faults.old_core.strikes() {
        return Some(error(StatusCode::NOT_FOUND, "Resource not found"));
    }
    place(state, path).err().map(IntoResponse::into_response)
}

/// The fields of a write that may be made here.
async fn asked(state: &State, path: &Words, headers: &HeaderMap, body: Body) -> Result<Map<String, Value>, Response> {
    if let Some(refused) = refused(state, path) {
        return Err(refused);
    }
    let body = read_body(headers, body, BODY_LIMIT, BODY_READ).await.map_err(IntoResponse::into_response)?;
    match serde_json::from_slice(&body) {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(error(StatusCode::BAD_REQUEST, "Bad Request: the body is no object")),
    }
}

fn until(text: &str) -> Option<Timestamp> {
    let naive = DateTime::strptime("%Y-%m-%d %H:%M:%S", text).ok()?;
    TimeZone::UTC.to_timestamp(naive).ok()
}

fn shown(one: &SimSubscription, domain: &str) -> Value {
    json!({
        "id": one.id, "subscription-geo-support": "yes", "post-url": one.post_url, "model": one.model,
        "user-scope": "Office Manager", "reseller": "sandbox", "domain": domain, "user": one.user,
        "preferred-server": "sandbox", "current-active-server": one.server, "status": one.status,
        "error-count": one.errors, "posts-count": one.posts, "subscription-expires-datetime": stamp(one.expires),
    })
}
