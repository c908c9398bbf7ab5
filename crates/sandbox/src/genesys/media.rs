//! Files: `POST`, `GET` and `DELETE /channels/{channelId}/media…`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use runtime::http_server::read_body;
use serde_json::{Value, json};
use uuid::Uuid;

use super::api::{admit, error, fault, refuse};
use super::message;
use super::state::State;
use super::types::SimMedia;
use crate::door::{BODY_READ, FILE_LIMIT, cut_off};

pub(super) fn routes(state: Arc<State>) -> Router {
    Router::new()
        .route("/nexus/v3/channels/{channel_id}/media", post(upload))
        .route("/nexus/v3/channels/{channel_id}/media/{media_id}", get(download).delete(delete))
        .with_state(state)
}

async fn upload(
    Shared(state): Shared<Arc<State>>,
    Path(channel_id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let body = match read_body(&headers, body, FILE_LIMIT, BODY_READ).await {
        Ok(body) => body,
        Err(error) => return error.into_response(),
    };
    tokio::time::sleep(state.faults.slow()).await;
    if let Some(answer) = fault(&state) {
        return answer;
    }
    if state.faults.refuse_uploads.strikes() {
        return error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type");
    }
    let kept = read(&headers, &body).map_err(|why| (StatusCode::BAD_REQUEST, why));
    // "The body of the message" is the whole multipart body, taken literally.
    let kept = admit(&state, &channel_id, &headers, &body).and(kept);
    let (filename, mimetype, bytes) = match kept {
        Ok(kept) => kept,
        Err((status, why)) => {
            refuse(&state, channel_id, status, why.clone());
            return error(status, &why);
        }
    };
    let id = Uuid::new_v4().to_string();
    let media = SimMedia { id, channel_id, filename, mimetype, bytes, by_agent: false };
    let answer = told(&media);
    state.keep_media(media);
    state.changed();
    if state.faults.close_after_accept.strikes() { cut_off() } else { answer }
}

async fn download(
    Shared(state): Shared<Arc<State>>,
    Path((channel_id, media_id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let media = match find(&state, &channel_id, &media_id, &headers) {
        Ok(media) => media,
        Err(answer) => return *answer,
    };
    let kind = HeaderValue::from_str(&media.mimetype).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    ([(header::CONTENT_TYPE, kind)], media.bytes).into_response()
}

async fn delete(
    Shared(state): Shared<Arc<State>>,
    Path((channel_id, media_id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let media = match find(&state, &channel_id, &media_id, &headers) {
        Ok(media) => media,
        Err(answer) => return *answer,
    };
    state.room().media.retain(|kept| kept.id != media_id);
    state.changed();
    told(&media)
}

fn find(state: &State, channel_id: &str, media_id: &str, headers: &HeaderMap) -> Result<SimMedia, Box<Response>> {
    if let Some(answer) = fault(state) {
        return Err(Box::new(answer));
    }
    // There is no body to sign but the empty one.
    admit(state, channel_id, headers, b"").map_err(|(status, why)| Box::new(error(status, &why)))?;
    let hidden = state.faults.hide_media.strikes();
    let room = state.room();
    let found = room.media.iter().find(|media| media.id == media_id && media.channel_id == channel_id).cloned();
    found
        .filter(|_| !hidden)
        .ok_or_else(|| Box::new(error(StatusCode::NOT_FOUND, &format!("Media {media_id} not found"))))
}

fn told(media: &SimMedia) -> Response {
    let data: Value = json!({
        "mediaId": media.id, "url": media.url(), "filename": media.filename, "mimetype": media.mimetype,
        "length": media.bytes.len(),
    });
    Json(json!({ "status": { "code": 0 }, "data": data })).into_response()
}

/// One part named `file`, with a name and a type.
fn read(headers: &HeaderMap, body: &Bytes) -> Result<(String, String, Bytes), String> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let boundary =
        kind.strip_prefix("multipart/form-data; boundary=").ok_or("Content-Type must be multipart/form-data")?;
    let (open, close) = (format!("--{boundary}\r\n"), format!("\r\n--{boundary}--\r\n"));
    let inside = body.strip_prefix(open.as_bytes()).and_then(|rest| rest.strip_suffix(close.as_bytes()));
    let inside = inside.ok_or("the body is not one part between its boundaries")?;
    let end = inside.windows(4).position(|window| window == b"\r\n\r\n").ok_or("the part has no end of its headers")?;
    let head = std::str::from_utf8(&inside[..end]).map_err(|_| "the part's headers are not text")?;
    let quoted = |key: &str| {
        let rest = head.split_once(&format!("{key}=\""))?.1;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    if quoted("; name").as_deref() != Some("file") {
        return Err("the part must be named file".to_owned());
    }
    let filename = quoted("filename").ok_or("the part has no filename")?;
    let mimetype =
        head.lines().find_map(|line| line.strip_prefix("Content-Type: ")).ok_or("the part has no Content-Type")?;
    Ok((filename, mimetype.to_owned(), body.slice_ref(&inside[end + 4..])))
}

/// A reference in a message, to a file that is here.
pub(super) fn known(state: &State, url: &str) -> Result<(), String> {
    let id = url.strip_prefix(message::MEDIA).ok_or("an attachment's url must be genesys://nexus/<id>")?;
    let found = state.room().media.iter().any(|media| media.id == id);
    if found { Ok(()) } else { Err(format!("there is no media {id}")) }
}
