//! Pictures: rows that tell of a file, and the signed URL that gives it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State as Shared};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::api::error;
use super::session::random_id;
use super::state::State;

/// A picture or file of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerFile {
    /// What rows and events say that it is.
    pub media_type: String,
    /// What they say that it has.
    pub size: u64,
    /// What it is.
    pub bytes: Bytes,
}

/// The files of rows, by the row's id.
#[derive(Default)]
pub(super) struct Files {
    by_row: BTreeMap<u64, (ConsumerFile, String)>,
}

/// Files remembered; the oldest go first.
const FILES: usize = 200;

impl Files {
    pub(super) fn keep(&mut self, row: u64, file: ConsumerFile) {
        if self.by_row.len() == FILES {
            self.by_row.pop_first();
        }
        self.by_row.insert(row, (file, random_id()));
    }

    /// Media type, size and URL of a row's file.
    fn told(&self, row: u64, base: &str) -> Option<(&str, u64, String)> {
        let (file, auth) = self.by_row.get(&row)?;
        let url = format!("{base}/ns-api/?object=message&action=read_media&time=20260101000000&id={row}&auth={auth}");
        Some((&file.media_type, file.size, url))
    }

    /// Adds what a stored row says of its file.
    pub(super) fn tell_row(&self, row: u64, base: &str, value: &mut Value) {
        if let (Some((kind, size, url)), Some(fields)) = (self.told(row, base), value.as_object_mut()) {
            for (key, told) in [
                ("type", json!("mms")),
                ("media-type", json!(kind)),
                ("media-size", json!(size)),
                ("file-access-url ", json!(url)),
            ] {
                fields.insert(key.to_owned(), told);
            }
        }
    }

    /// Adds what an event says of its file: everything but where it is.
    pub(super) fn tell_event(&self, row: u64, value: &mut Value) {
        if let (Some((kind, size, _)), Some(fields)) = (self.told(row, ""), value.as_object_mut()) {
            let session = fields.contains_key("last_mesg_type");
            let names = if session {
                ["last_mesg_type", "last_media_type", "last_media_size"]
            } else {
                ["type", "media_type", "media_size"]
            };
            for (key, told) in names.into_iter().zip([json!("mms"), json!(kind), json!(size.to_string())]) {
                fields.insert(key.to_owned(), told);
            }
        }
    }
}

pub(super) fn routes(state: Arc<State>) -> Router {
    Router::new().route("/ns-api/", get(read_media)).with_state(state)
}

/// The legacy call that a signed URL makes; nobody is asked for a key.
async fn read_media(Shared(state): Shared<Arc<State>>, Query(query): Query<HashMap<String, String>>) -> Response {
    let faults = &state.faults;
    if faults.media_answers_503.strikes() {
        return error(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
    }
    let target = state.room().media_redirect.clone();
    if let Some(target) = target.and_then(|target| HeaderValue::from_str(&target).ok()) {
        return (StatusCode::FOUND, [(header::LOCATION, target)]).into_response();
    }
    let expired = faults.expire_media.strikes();
    let mut room = state.room();
    let row = query.get("id").and_then(|id| id.parse().ok()).unwrap_or_default();
    let Some((file, auth)) = room.files.by_row.get_mut(&row) else {
        return error(StatusCode::NOT_FOUND, "Record not found");
    };
    if expired {
        // From now on the row gives another URL.
        *auth = random_id();
    }
    if query.get("auth") != Some(auth) {
        return error(StatusCode::FORBIDDEN, "the signature has expired");
    }
    let kind = HeaderValue::from_str(&file.media_type).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    ([(header::CONTENT_TYPE, kind)], file.bytes.clone()).into_response()
}
