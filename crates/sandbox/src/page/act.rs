//! What a person does on the page.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Request, State as Shared};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use runtime::http_server::http_error;
use serde::Deserialize;
use serde_json::json;

use super::PageState;
use super::mail::{Attached, file};
use crate::ConsumerFile;

/// Text of one message: more than any provider takes, so that refusing it can be tried too.
pub(super) const LONGEST: usize = 5_000;
/// How long "slow" is: long enough to be seen, short of every time-out.
const SLOW: Duration = Duration::from_secs(4);
const DUPLICATES: u32 = 2;

#[derive(Deserialize)]
pub(super) struct Said {
    text: String,
    /// A picture or file beside it.
    #[serde(default)]
    file: Option<Attached>,
    /// To the company and a friend at once.
    #[serde(default)]
    group: bool,
}

/// Who is in the group beside the consumer.
const FRIEND: &str = "13125550143";

#[derive(Deserialize)]
pub(super) struct Switched {
    name: String,
    on: bool,
}

/// Other sites may not write here through the visitor's browser.
pub(super) async fn same_origin(request: Request, next: Next) -> Response {
    let site = request.headers().get("sec-fetch-site").and_then(|value| value.to_str().ok());
    let foreign = site.is_some_and(|site| site != "same-origin" && site != "none");
    if foreign && !request.method().is_safe() {
        return http_error(StatusCode::FORBIDDEN, "foreign page", "only the page of this sandbox may write here");
    }
    next.run(request).await
}

pub(super) async fn consumer(
    Shared(state): Shared<Arc<PageState>>,
    said: Result<Json<Said>, JsonRejection>,
) -> Result<Response, Response> {
    let Said { text, file: attached, group } = checked(said).map_err(|detail| bad(&detail))?;
    let (from, to) = (&state.consumer_number, &state.company_number);
    let sent = match attached.map(file).transpose().map_err(|detail| bad(&detail))? {
        Some(file) => {
            let size = file.bytes.len() as u64;
            let file = ConsumerFile { media_type: file.media_type, size, bytes: file.bytes };
            state.netsapiens.consumer_sends_file(from, to, &text, file)
        }
        None if group => state.netsapiens.consumer_sends_to_group(from, to, &[FRIEND], &text),
        None => state.netsapiens.consumer_sends(from, to, &text),
    };
    let id = sent.map_err(|error| http_error(StatusCode::CONFLICT, "not sent", &format!("{error:#}")))?;
    Ok(Json(json!({ "id": id })).into_response())
}

pub(super) async fn agent(
    Shared(state): Shared<Arc<PageState>>,
    said: Result<Json<Said>, JsonRejection>,
) -> Result<Response, Response> {
    let Said { text, file: attached, .. } = checked(said).map_err(|detail| bad(&detail))?;
    let file = attached.map(file).transpose().map_err(|detail| bad(&detail))?;
    let files: Vec<_> = file.iter().map(|file| (&*file.name, &*file.media_type, file.bytes.clone())).collect();
    let id = state.genesys.agent_sends_files(&state.channel, &state.consumer_number, &text, &files);
    Ok(Json(json!({ "id": id })).into_response())
}

fn checked(said: Result<Json<Said>, JsonRejection>) -> Result<Said, String> {
    let Json(said) = said.map_err(|rejection| rejection.body_text())?;
    let nothing = said.text.trim().is_empty() && said.file.is_none();
    if nothing || said.text.chars().count() > LONGEST {
        return Err("text must not be empty, nor longer than 5000 characters".to_owned());
    }
    Ok(said)
}

/// Throws one of the switches of the page.
pub(super) async fn fault(
    Shared(state): Shared<Arc<PageState>>,
    switched: Result<Json<Switched>, JsonRejection>,
) -> Result<Response, Response> {
    let Json(Switched { name, on }) = switched.map_err(|rejection| bad(&rejection.body_text()))?;
    let (genesys, netsapiens) = (state.genesys.faults(), state.netsapiens.faults());
    let slow = if on { SLOW } else { Duration::ZERO };
    match name.as_str() {
        "genesys-500" => genesys.answer_500(on),
        "genesys-401" => genesys.refuse_401(on),
        "genesys-lost-answers" => genesys.close_after_accept(on),
        "duplicate-webhooks" => genesys.duplicate_webhooks(if on { DUPLICATES } else { 0 }),
        "provider-down" => netsapiens.down(on).await,
        "provider-500" => netsapiens.answer_500(on),
        "provider-lost-answers" => netsapiens.close_after_accept(on),
        "lost-events" => netsapiens.lose_events(on),
        "no-such-mailbox" => state.mailbox.server.faults().no_such_user(on),
        "slow" => {
            genesys.slow(slow);
            netsapiens.slow(slow);
        }
        _ => return Err(bad("there is no fault of that name")),
    }
    Ok(Json(json!({ "name": name, "on": on })).into_response())
}

pub(super) fn bad(detail: &str) -> Response {
    http_error(StatusCode::BAD_REQUEST, "bad request", detail)
}
