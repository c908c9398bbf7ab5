//! What an engineer does by hand: keys, counts, chats, and messages that are no texts.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State as Shared};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use runtime::http_server::read_body;
use serde_json::{Value, json};

use super::api::{Words, error, page, place};
use super::session::{Session, random_id};
use super::state::State;
use crate::door::{BODY_LIMIT, BODY_READ};
use crate::kept::Kept;

/// Keys a server keeps.
const KEYS: usize = 100;

/// What was made or changed by hand.
#[derive(Default)]
pub(super) struct Managed {
    /// Fields shown in the place of others, by number.
    pub(super) rows: BTreeMap<String, Value>,
    pub(super) posts: Kept<Value>,
    keys: BTreeMap<String, Value>,
    /// By user and session.
    chats: BTreeMap<(String, String), Value>,
}

impl Managed {
    /// A row with the values it is to be shown with.
    pub(super) fn shown(&self, name: &str, row: Value) -> Value {
        with(row, self.rows.get(name))
    }

    /// A session with what it was changed to.
    pub(super) fn session(&self, session: &Session, row: Value) -> Value {
        with(row, self.chats.get(&(session.user.clone(), session.id.clone())))
    }
}

fn with(mut row: Value, other: Option<&Value>) -> Value {
    let other = other.and_then(Value::as_object).cloned().unwrap_or_default();
    if let Some(row) = row.as_object_mut() {
        row.extend(other);
    }
    row
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, Json(json!({ "code": 202, "message": "Accepted" }))).into_response()
}

/// How many numbers a user has.
pub(super) async fn count(Shared(state): Shared<Arc<State>>, Path(path): Path<Words>) -> Response {
    let user = match place(&state, &path) {
        Ok(user) => user,
        Err(refused) => return refused.into_response(),
    };
    let total = state.room().numbers.values().filter(|owner| **owner == user).count();
    Json(json!({ "total": total })).into_response()
}

/// The keys, without themselves.
pub(super) async fn keys(Shared(state): Shared<Arc<State>>, Query(query): Query<Words>) -> Response {
    let room = state.room();
    Json(page(room.managed.keys.values().cloned(), &query)).into_response()
}

/// Makes a key, which is shown this once.
pub(super) async fn create_key(Shared(state): Shared<Arc<State>>, headers: HeaderMap, body: Body) -> Response {
    let body = match read_body(&headers, body, BODY_LIMIT, BODY_READ).await {
        Ok(body) => body,
        Err(error) => return error.into_response(),
    };
    let Ok(Value::Object(fields)) = serde_json::from_slice(&body) else {
        return error(StatusCode::BAD_REQUEST, "Bad Request: the body is no JSON object");
    };
    let mut room = state.room();
    if room.managed.keys.len() >= KEYS {
        return error(StatusCode::FORBIDDEN, "there are too many keys");
    }
    let (id, secret) = (random_id(), format!("nsd_{}", random_id()));
    let mut row = Value::Object(fields);
    row["key-id"] = id.as_str().into();
    room.managed.keys.insert(id, row.clone());
    row["apikey"] = secret.into();
    Json(row).into_response()
}

/// Deletes a key.
pub(super) async fn delete_key(Shared(state): Shared<Arc<State>>, Path(path): Path<Words>) -> Response {
    let id = path.get("key").cloned().unwrap_or_default();
    match state.room().managed.keys.remove(&id) {
        Some(_) => accepted(),
        None => error(StatusCode::NOT_FOUND, "Record not found"),
    }
}

/// Takes a user out of a chat.
pub(super) async fn leave(Shared(state): Shared<Arc<State>>, Path(path): Path<Words>) -> Response {
    change_session(&state, &path, json!({ "messagesession-participants": "" }))
}

/// Renames a chat, or sets its participants.
pub(super) async fn change(
    Shared(state): Shared<Arc<State>>,
    Path(path): Path<Words>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let body = match read_body(&headers, body, BODY_LIMIT, BODY_READ).await {
        Ok(body) => body,
        Err(error) => return error.into_response(),
    };
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let known = [("session-name", "messagesession-name"), ("participants", "messagesession-participants")];
    let shown = known.iter().find_map(|(key, shown)| Some((*shown, body.get(*key)?.as_str()?)));
    match shown {
        Some((key, value)) => change_session(&state, &path, json!({ key: value })),
        None => error(StatusCode::BAD_REQUEST, "Bad Request: nobody documented that change"),
    }
}

fn change_session(state: &State, path: &Words, fields: Value) -> Response {
    let user = match place(state, path) {
        Ok(user) => user,
        Err(refused) => return refused.into_response(),
    };
    let id = path.get("session").cloned().unwrap_or_default();
    let mut room = state.room();
    if room.sessions.get(&user, &id).is_none() {
        return error(StatusCode::NOT_FOUND, "Record not found");
    }
    let chat = room.managed.chats.entry((user, id)).or_insert_with(|| json!({}));
    *chat = with(chat.clone(), Some(&fields));
    drop(room);
    state.changed();
    accepted()
}

/// Deletes a session with its messages.
pub(super) async fn delete(Shared(state): Shared<Arc<State>>, Path(path): Path<Words>) -> Response {
    let user = match place(&state, &path) {
        Ok(user) => user,
        Err(refused) => return refused.into_response(),
    };
    let id = path.get("session").cloned().unwrap_or_default();
    if !state.room().sessions.remove(&user, &id) {
        return error(StatusCode::NOT_FOUND, "Record not found");
    }
    state.changed();
    accepted()
}

/// A message of another type than `sms`: checked against the documents, and kept. A chat is accepted; a picture goes on, to
/// the session that it is a message of.
pub(super) fn post(state: &State, body: &[u8]) -> Option<Response> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let kind = body.get("type")?.as_str()?;
    if !["mms", "chat", "chat-media"].contains(&kind) {
        return None;
    }
    let is_text = |key: &str| body.get(key).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    let to_someone = match body.get("destination") {
        Some(Value::Array(several)) => !several.is_empty() && several.iter().all(Value::is_string),
        other => other.is_some_and(Value::is_string),
    };
    let media =
        kind == "chat" || is_text("data") && is_text("mime-type") && body.get("size").is_some_and(Value::is_u64);
    let from = kind != "mms" || is_text("from-number");
    if !is_text("message") || !to_someone || !media || !from {
        return Some(error(
            StatusCode::BAD_REQUEST,
            "Bad Request: a field the documents require is missing or of another type",
        ));
    }
    let is_chat = kind != "mms";
    state.room().managed.posts.push(body);
    state.changed();
    is_chat.then(accepted)
}
