//! What the bridge calls: `POST /channels/{channelId}/messages`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use runtime::http_server::read_body;
use serde_json::json;

use super::message::{self, Kind, Posted};
use super::state::State;
use super::types::{ReceivedMessage, ReceivedReceipt, Refusal, WebhookState};
use super::{media, open_media};
use crate::door::{BODY_LIMIT, BODY_READ, cut_off, cut_short};

pub(super) fn routes(state: Arc<State>) -> Router {
    let missing = async || error(StatusCode::NOT_FOUND, "there is nothing here");
    Router::new()
        .route("/nexus/v3/channels/{channel_id}/messages", post(messages))
        .fallback(missing)
        .with_state(Arc::clone(&state))
        .merge(media::routes(Arc::clone(&state)))
        .merge(open_media::routes(state))
}

async fn messages(
    Shared(state): Shared<Arc<State>>,
    Path(channel_id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let body = match read_body(&headers, body, BODY_LIMIT, BODY_READ).await {
        Ok(body) => body,
        Err(error) => return error.into_response(),
    };
    tokio::time::sleep(state.faults.slow()).await;
    if let Some(answer) = fault(&state) {
        return answer;
    }
    if state.faults.messages_answer_503.strikes() {
        return error(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
    }
    let accepted_at = state.room().clock.now();
    let answer = match accept(&state, &channel_id, &headers, &body) {
        Ok(answer) => answer,
        Err((status, why)) => {
            refuse(&state, channel_id, status, why.clone());
            return error(status, &why);
        }
    };
    state.changed();
    let late = state.faults.late();
    // Even no time is a millisecond to a timer.
    if !late.is_zero() {
        tokio::time::sleep(late).await;
    }
    if state.faults.close_after_accept.strikes() {
        state.faults.lost(accepted_at);
        return cut_off();
    }
    if !state.faults.cut_short.strikes() {
        return answer;
    }
    state.faults.lost(accepted_at);
    cut_short(answer).await
}

/// The answer of a fault that strikes before anything is done.
pub(super) fn fault(state: &State) -> Option<Response> {
    let faults = &state.faults;
    if faults.refuse_401.strikes() {
        return Some(error(StatusCode::UNAUTHORIZED, "Unauthorized"));
    }
    if faults.refuse_400.strikes() {
        return Some(error(StatusCode::BAD_REQUEST, "Bad Request"));
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
    faults.answer_500.strikes().then(|| error(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"))
}

/// Whether a caller may use a channel; tells whether its signature was right.
pub(super) fn admit(
    state: &State,
    channel_id: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<bool, (StatusCode, String)> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(channel) = state.room().channels.get(channel_id).cloned() else {
        return Err((StatusCode::NOT_FOUND, format!("Channel {channel_id} not found")));
    };
    if header("x-ccid") != Some(&state.ccid) {
        return Err((StatusCode::FORBIDDEN, "x-ccid is missing or not this contact centre's".to_owned()));
    }
    let signature_ok = header("x-hub-signature").is_some_and(|given| message::verify(&channel.secret, body, given));
    if !signature_ok && !state.faults.accept_any_signature.strikes() {
        return Err((StatusCode::UNAUTHORIZED, "X-Hub-Signature is missing or wrong".to_owned()));
    }
    Ok(signature_ok)
}

fn accept(
    state: &State,
    channel_id: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Response, (StatusCode, String)> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signature_ok = admit(state, channel_id, headers, body)?;
    let bad = |why: String| (StatusCode::BAD_REQUEST, why);
    if header("content-type") != Some("application/json") {
        return Err(bad("Content-Type must be application/json".to_owned()));
    }
    let posted = message::read(body).map_err(bad)?;
    let company = match posted.kind {
        Kind::Text { .. } | Kind::RichMedia { .. } | Kind::Email(..) => &posted.to,
        Kind::Receipt { .. } => &posted.from,
    };
    // The channel of mail is a domain; a receipt names the address that was written from, whatever that was.
    let is_theirs = company == channel_id || company.contains('@');
    if !is_theirs {
        return Err(bad("the company's address is not the channel of the path".to_owned()));
    }
    if matches!(posted.kind, Kind::Email(..)) && state.faults.refuse_email.strikes() {
        return Err(bad("Email has another shape here".to_owned()));
    }
    if let Kind::Email(.., attachments) = &posted.kind {
        for attachment in attachments {
            media::known(state, &attachment.url).map_err(bad)?;
        }
    }
    if let Kind::RichMedia { attachments, .. } = &posted.kind {
        if state.faults.refuse_rich_media.strikes() {
            return Err(bad("RichMedia has another shape here".to_owned()));
        }
        for attachment in attachments {
            media::known(state, &attachment.url).map_err(bad)?;
        }
    }
    let trace = header("x-b3-traceid").map(str::to_owned);
    Ok(keep(state, channel_id, posted, trace, signature_ok, body))
}

fn keep(
    state: &State,
    channel_id: &str,
    posted: Posted,
    trace: Option<String>,
    signature_ok: bool,
    raw: &Bytes,
) -> Response {
    let mut room = state.room();
    let (at, channel_id, raw) = (room.clock.now(), channel_id.to_owned(), raw.clone());
    let Posted { from, to, message_id, kind } = posted;
    match kind {
        Kind::Text { .. } | Kind::RichMedia { .. } | Kind::Email(..) => {
            let (text, attachments, email) = match kind {
                Kind::Email(email, text, attachments) => (text, attachments, Some(email)),
                Kind::RichMedia { text, attachments } => (text, attachments, None),
                Kind::Text { text } | Kind::Receipt { status: text, .. } => (text, Vec::new(), None),
            };
            let id = room.next_id();
            room.messages.push(ReceivedMessage {
                at,
                channel_id,
                from,
                to,
                message_id,
                text,
                attachments,
                email,
                trace,
                signature_ok,
                raw,
            });
            Json(json!({ "status": { "code": 0 }, "data": { "ids": [id] } })).into_response()
        }
        Kind::Receipt { status, reasons } => {
            let message_id = message_id.unwrap_or_default();
            let about = room.agent.iter().rev().find(|message| message.id == message_id);
            let (known, early) =
                (about.is_some(), about.is_some_and(|message| message.webhook != WebhookState::Accepted));
            room.receipts.push(ReceivedReceipt {
                at,
                channel_id,
                from,
                to,
                message_id,
                status,
                reasons,
                early,
                known,
                trace,
                raw,
            });
            Json(json!({ "status": { "code": 0 } })).into_response()
        }
    }
}

pub(super) fn refuse(state: &State, channel_id: String, status: StatusCode, why: String) {
    let mut room = state.room();
    let at = room.clock.now();
    room.refusals.push(Refusal { at, channel_id, status: status.as_u16(), why });
    drop(room);
    state.changed();
}

pub(super) fn error(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "status": { "code": status.as_u16(), "message": message } }))).into_response()
}
