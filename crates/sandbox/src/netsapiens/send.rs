//! What the bridge sends.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use runtime::http_server::read_body;
use serde_json::{Value, json};

use super::api::{error, place};
use super::manage;
use super::media::ConsumerFile;
use super::rows;
use super::session::{Between, random_id};
use super::state::State;
use super::types::SendAnswer;
use crate::door::{BODY_READ, FILE_LIMIT, cut_off, cut_short};

/// The least length of a session id that a client chose.
const SESSION_ID: usize = 32;

/// A send into the session of the path.
pub(super) async fn in_session(
    Shared(state): Shared<Arc<State>>,
    Path(path): Path<HashMap<String, String>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    send(&state, &path, path.get("session").cloned(), &headers, body).await
}

/// A send that leaves the session to the server.
pub(super) async fn start(
    Shared(state): Shared<Arc<State>>,
    Path(path): Path<HashMap<String, String>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    send(&state, &path, None, &headers, body).await
}

async fn send(
    state: &State,
    path: &HashMap<String, String>,
    session: Option<String>,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let body = match read_body(headers, body, FILE_LIMIT, BODY_READ).await {
        Ok(body) => body,
        Err(error) => return error.into_response(),
    };
    tokio::time::sleep(state.faults.slow()).await;
    if state.faults.is_forbidden(&body) {
        return forbidden();
    }
    if let Some(answer) = fault(state) {
        return answer;
    }
    let user = match place(state, path) {
        Ok(user) => user,
        Err(refused) => return refused.into_response(),
    };
    if let Some(answer) = manage::post(state, &body) {
        return answer;
    }
    let Posted { number, remote, text, file } = match read(state, &user, &body) {
        Ok(read) => read,
        Err(why) => return error(StatusCode::BAD_REQUEST, &why),
    };
    let between = Between { user: &user, number: &number, remote: &remote };
    let session = match choose(state, session, between) {
        Ok(session) => session,
        Err(why) => return error(StatusCode::BAD_REQUEST, &why),
    };
    let user_agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let id = state.send(between, &session, user_agent, &text, file);
    if state.faults.hang_after_accept.strikes() {
        // A drain need not wait for an answer that never comes.
        state.shutdown.stopping().await;
        return cut_off();
    }
    if state.faults.close_after_accept.strikes() {
        return cut_off();
    }
    if state.faults.fail_after_accept.strikes() {
        return error(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
    }
    let answer = confirm(state, &user, &session, &id);
    if state.faults.cut_short.strikes() { cut_short(answer).await } else { answer }
}

/// A page of a firewall.
fn forbidden() -> Response {
    let page = Html("<html><head><title>403 Forbidden</title></head><body><h1>Forbidden</h1></body></html>");
    (StatusCode::FORBIDDEN, page).into_response()
}

/// The answer of a fault that strikes before anything is done.
fn fault(state: &State) -> Option<Response> {
    let faults = &state.faults;
    if faults.forbidden_html.strikes() {
        return Some(forbidden());
    }
    if faults.answer_429.strikes() {
        let mut answer = error(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests");
        let seconds = HeaderValue::from(faults.retry_after.load(Ordering::SeqCst));
        answer.headers_mut().insert(header::RETRY_AFTER, seconds);
        return Some(answer);
    }
    if faults.answer_503.strikes() {
        return Some(error(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"));
    }
    if faults.embedded_error.strikes() {
        return Some(Json(json!({ "status": "failed", "error": "the carrier refused the message" })).into_response());
    }
    faults.answer_500.strikes().then(|| error(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"))
}

/// What was posted.
struct Posted {
    number: String,
    remote: String,
    text: String,
    file: Option<ConsumerFile>,
}

/// What the documents allow for each type.
const SMS: &[&str] = &["type", "message", "destination", "from-number"];
const MMS: &[&str] = &["type", "message", "destination", "from-number", "data", "mime-type", "size"];

/// Reads a text or a picture; the error says what the documents would not allow.
fn read(state: &State, user: &str, body: &[u8]) -> Result<Posted, String> {
    let body: Value = serde_json::from_slice(body).map_err(|_| "Bad Request: the body is not JSON")?;
    let string = |key: &str| match body.get(key).and_then(Value::as_str) {
        Some(value) if !value.is_empty() => Ok(value.to_owned()),
        _ => Err(format!("Bad Request: {key} must be a string that is not empty")),
    };
    let known = match string("type")?.as_str() {
        "sms" => SMS,
        "mms" => MMS,
        _ => return Err("Bad Request: only types sms and mms are served here".to_owned()),
    };
    if let Some(key) = body.as_object().and_then(|fields| fields.keys().find(|key| !known.contains(&key.as_str()))) {
        return Err(format!("Bad Request: nobody documented {key} for this type"));
    }
    let file = if known == MMS { Some(file(&body, string("data")?, string("mime-type")?)?) } else { None };
    let group = body.get("destination").and_then(Value::as_array).filter(|members| members.len() > 1);
    let members: Vec<String> = match group {
        Some(members) => members.iter().map(|member| member.as_str().unwrap_or_default().to_owned()).collect(),
        None => vec![string("destination")?],
    };
    let is_number = |text: &String| (3..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !members.iter().all(is_number) {
        return Err("Bad Request: destination must be digits in E.164 form without +".to_owned());
    }
    let members: BTreeSet<String> = members.into_iter().collect();
    let remote = members.into_iter().collect::<Vec<_>>().join(",");
    let (number, text) = (string("from-number")?, string("message")?);
    if state.room().numbers.get(&number).is_none_or(|owner| owner != user) {
        return Err(format!("Invalid from-number: user {user} does not own it"));
    }
    if file.is_some() && !sends_pictures(state, &number, remote.contains(',')) {
        return Err("Bad Request: that number is not MMS capable".to_owned());
    }
    Ok(Posted { number, remote, text, file })
}

/// One file: padded base64 of the standard alphabet, and its size once decoded.
fn file(body: &Value, data: String, media_type: String) -> Result<ConsumerFile, String> {
    let bytes = STANDARD.decode(data).map_err(|_| "Bad Request: data is not base64")?;
    let size = body.get("size").and_then(Value::as_u64).filter(|size| usize::try_from(*size) == Ok(bytes.len()));
    let size = size.ok_or("Bad Request: size is not that of the data")?;
    Ok(ConsumerFile { media_type, size, bytes: bytes.into() })
}

fn sends_pictures(state: &State, number: &str, to_group: bool) -> bool {
    let row = state.room().managed.shown(number, json!({}));
    row[if to_group { "group-mms-capable" } else { "mms-capable" }] == true
}

/// An id of a session that is there, or one that may be made.
fn choose(state: &State, wanted: Option<String>, between: Between<'_>) -> Result<String, String> {
    let Some(wanted) = wanted else { return Ok(random_id()) };
    let room = state.room();
    match room.sessions.get(between.user, &wanted) {
        Some(session) if session.remote == between.remote && session.number == between.number => Ok(wanted),
        Some(_) => Err("Bad Request: that session is between other numbers".to_owned()),
        None => {
            let well_formed = wanted.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if well_formed && wanted.len() >= SESSION_ID {
                return Ok(wanted);
            }
            Err("Bad Request: messagesession must be at least 32 characters of a-z, A-Z, 0-9 and _".to_owned())
        }
    }
}

fn confirm(state: &State, user: &str, session: &str, id: &str) -> Response {
    let room = state.room();
    let row = room.sessions.get(user, session).and_then(|session| {
        let row = session.rows.iter().rev().find(|row| row.id.to_string() == id)?;
        Some(rows::message(session, row, &state.domain))
    });
    let row = row.unwrap_or_default();
    match room.answer {
        SendAnswer::Accepted => {
            (StatusCode::ACCEPTED, Json(json!({ "code": 202, "message": "Accepted" }))).into_response()
        }
        SendAnswer::Object => Json(row).into_response(),
        SendAnswer::Array => Json(json!([row])).into_response(),
    }
}
