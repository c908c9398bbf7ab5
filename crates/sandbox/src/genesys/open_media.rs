//! Tasks for agents: `/openmedia/{openMediaService}/interactions…`, all seven operations.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use runtime::http_server::read_body;
use serde_json::{Map, Value, json};

use super::api::{error, fault, refuse};
use super::state::{Room, State};
use super::types::SimInteraction;
use crate::door::{BODY_LIMIT, BODY_READ, cut_off, cut_short};

pub(super) fn routes(state: Arc<State>) -> Router {
    let all = "/nexus/v3/openmedia/{service}/interactions";
    Router::new()
        .route(all, post(create))
        .route(&format!("{all}/{{id}}"), get(look))
        .route(&format!("{all}/{{id}}/stop"), post(stop))
        .route(&format!("{all}/{{id}}/update"), post(update))
        .with_state(state)
}

/// An answer of success, or why there is none.
type Answered = Result<Value, (StatusCode, String)>;

async fn create(
    Shared(state): Shared<Arc<State>>,
    Path(service): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    serve(&state, &service, headers, body, |room, body, bare| {
        let request = unwrapped(body, bare)?.ok_or_else(|| bad("there is no body"))?;
        only(&request, &["externalId", "parentInteractionId", "receivedAt", "userData"])?;
        let external_id = text(&request, "externalId")?;
        let taken =
            external_id.as_deref().and_then(|id| room.interactions.iter().rev().find(|one| is(one, &service, id)));
        if taken.is_some_and(|taken| !taken.stopped || !room.manners.reuses_external_ids) {
            return Err((StatusCode::CONFLICT, "an interaction with this externalId exists".to_owned()));
        }
        let interaction = SimInteraction {
            at: room.clock.now(),
            id: format!("{:016X}", 0x0000_27A0_0000_0000_u64 + room.interactions.total() + 1),
            service: service.clone(),
            external_id,
            parent: text(&request, "parentInteractionId")?,
            received_at: text(&request, "receivedAt")?,
            user_data: pairs(&request, "userData")?,
            stopped: false,
            stop_reason: None,
            updates: 0,
        };
        let answer = json!({ "id": interaction.id });
        room.interactions.push(interaction);
        Ok(answer)
    })
    .await
}

async fn look(Shared(state): Shared<Arc<State>>, Path(at): Path<(String, String)>, headers: HeaderMap) -> Response {
    serve(&state, &at.0, headers, Body::empty(), |room, _, _| {
        let shows_stopped = room.manners.shows_stopped;
        let found = find(room, &at).filter(|one| !one.stopped || shows_stopped).ok_or_else(missing)?;
        Ok(json!({
            "id": found.id,
            "externalId": found.external_id,
            "state": if found.stopped { "stopped" } else { "queued" },
            "userData": found.user_data,
        }))
    })
    .await
}

async fn stop(
    Shared(state): Shared<Arc<State>>,
    Path(at): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    serve(&state, &at.0, headers, body, |room, body, bare| {
        let reason = unwrapped(body, bare)?.unwrap_or_default();
        only(&reason, &["reasonSystemName", "reasonDescription"])?;
        let why = text(&reason, "reasonSystemName")?;
        text(&reason, "reasonDescription")?;
        let open = find(room, &at).filter(|one| !one.stopped).ok_or_else(missing)?;
        open.stopped = true;
        open.stop_reason = why;
        Ok(json!({}))
    })
    .await
}

async fn update(
    Shared(state): Shared<Arc<State>>,
    Path(at): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    serve(&state, &at.0, headers, body, |room, body, bare| {
        let request = unwrapped(body, bare)?.ok_or_else(|| bad("there is no body"))?;
        only(&request, &["changedProperties", "addedProperties", "deletedProperties"])?;
        let (changed, added) = (pairs(&request, "changedProperties")?, pairs(&request, "addedProperties")?);
        let deleted = match request.get("deletedProperties") {
            None => Vec::new(),
            Some(Value::Array(keys)) => keys
                .iter()
                .map(|key| key.as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .ok_or_else(|| bad("deletedProperties must be texts"))?,
            Some(_) => return Err(bad("deletedProperties must be an array")),
        };
        let open = find(room, &at).filter(|one| !one.stopped).ok_or_else(missing)?;
        if let Some(key) = added.keys().find(|key| open.user_data.contains_key(*key)) {
            return Err(bad(&format!("there is a property {key} already")));
        }
        open.user_data.retain(|key, _| !deleted.contains(key));
        open.user_data.extend(changed.into_iter().chain(added));
        open.updates += 1;
        Ok(json!({}))
    })
    .await
}

/// Everything that is the same for all operations: the key, the faults, and how an answer looks.
async fn serve(
    state: &Arc<State>,
    service: &str,
    headers: HeaderMap,
    body: Body,
    act: impl FnOnce(&mut Room, &Bytes, bool) -> Answered,
) -> Response {
    let body = match read_body(&headers, body, BODY_LIMIT, BODY_READ).await {
        Ok(body) => body,
        Err(error) => return error.into_response(),
    };
    tokio::time::sleep(state.faults.slow()).await;
    if let Some(answer) = fault(state) {
        return answer;
    }
    let answered = admit(state, service, &headers).and_then(|()| {
        let mut room = state.room();
        let bare = room.manners.bare_bodies;
        act(&mut room, &body, bare)
    });
    state.changed();
    tokio::time::sleep(state.faults.late()).await;
    match answered {
        Ok(data) => {
            let silent = state.room().manners.tells_nothing;
            let data = if silent { json!({}) } else { data };
            let answer = Json(json!({ "status": { "code": 0 }, "data": data })).into_response();
            if state.faults.close_after_accept.strikes() {
                return cut_off();
            }
            if state.faults.cut_short.strikes() { cut_short(answer).await } else { answer }
        }
        Err((status, why)) => {
            // A task that has ended, and an id that is taken, are answers like others.
            if !matches!(status, StatusCode::NOT_FOUND | StatusCode::CONFLICT) {
                refuse(state, service.to_owned(), status, why.clone());
            }
            error(status, &why)
        }
    }
}

fn admit(state: &State, service: &str, headers: &HeaderMap) -> Result<(), (StatusCode, String)> {
    let room = state.room();
    let Some(key) = &room.open_media_key else {
        return Err((StatusCode::NOT_FOUND, "there is no Open Media here".to_owned()));
    };
    if headers.get("x-api-key").and_then(|given| given.to_str().ok()) != Some(key) {
        return Err((StatusCode::UNAUTHORIZED, "x-api-key is missing or wrong".to_owned()));
    }
    let known = room.open_media_services.iter().any(|known| known == service);
    if known { Ok(()) } else { Err((StatusCode::NOT_FOUND, format!("service {service} not found"))) }
}

fn missing() -> (StatusCode, String) {
    (StatusCode::NOT_FOUND, "there is no such interaction".to_owned())
}

fn bad(why: &str) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, why.to_owned())
}

fn is(one: &SimInteraction, service: &str, external_id: &str) -> bool {
    one.service == service && one.external_id.as_deref() == Some(external_id)
}

/// By its id, or by `ext_` and the external id.
fn find<'a>(room: &'a mut Room, (service, at): &(String, String)) -> Option<&'a mut SimInteraction> {
    let by_external = at.strip_prefix("ext_");
    room.interactions.iter_mut().rev().find(|one| match by_external {
        Some(external_id) => is(one, service, external_id),
        None => one.service == *service && one.id == *at,
    })
}

/// The request, which stands under `data` and nowhere else; or bare, where this tenant takes it so.
fn unwrapped(body: &Bytes, bare: bool) -> Result<Option<Map<String, Value>>, (StatusCode, String)> {
    if body.is_empty() {
        return Ok(None);
    }
    let body: Value = serde_json::from_slice(body).map_err(|_| bad("the body is no JSON"))?;
    let Value::Object(mut outer) = body else { return Err(bad("the body is no object")) };
    if bare {
        return Ok(Some(outer));
    }
    match (outer.remove("data"), outer.is_empty()) {
        (Some(Value::Object(request)), true) => Ok(Some(request)),
        _ => Err(bad("the body must be an object with data, and nothing else")),
    }
}

fn only(request: &Map<String, Value>, known: &[&str]) -> Result<(), (StatusCode, String)> {
    match request.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(bad(&format!("{key} is unknown"))),
        None => Ok(()),
    }
}

fn text(request: &Map<String, Value>, key: &str) -> Result<Option<String>, (StatusCode, String)> {
    match request.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(bad(&format!("{key} must be a text"))),
    }
}

/// User data are lists of keys and texts.
fn pairs(request: &Map<String, Value>, key: &str) -> Result<BTreeMap<String, String>, (StatusCode, String)> {
    let told = || bad(&format!("{key} must be an object of texts"));
    match request.get(key) {
        None => Ok(BTreeMap::new()),
        Some(Value::Object(pairs)) => {
            pairs.iter().map(|(key, value)| Ok((key.clone(), value.as_str().ok_or_else(told)?.to_owned()))).collect()
        }
        Some(_) => Err(told()),
    }
}

#[cfg(test)]
mod tests;
