//! What Genesys posts to the bridge.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use runtime::Call;
use serde_json::{Value, json};
use uuid::Uuid;

use super::message::sign;
use super::state::State;
use super::types::{AgentMessage, Attempt, SimMedia, WebhookAnswer, WebhookState};

/// Writes down what the agent said and posts it in the background, with as many duplicates as are switched on.
pub(super) fn send(state: &Arc<State>, channel_id: &str, to: &str, text: &str, files: Vec<SimMedia>) -> String {
    let (id, trace) = noted(state, channel_id, to, text, None);
    let body = json!({
        "channel": {
            "id": channel_id, "type": "sms", "from": { "id": channel_id }, "to": { "id": to }, "messageId": id,
        },
        "type": if files.is_empty() { "Text" } else { "RichMedia" },
        "text": text,
    });
    let body = with_files(body, files, state);
    post(state, channel_id, &id, &trace, &body);
    id
}

/// The same with a mail to one recipient (`reference/genesys.md` 5.3).
pub(super) fn send_mail(
    state: &Arc<State>,
    channel_id: &str,
    from: &str,
    to: &str,
    (subject, text): (&str, &str),
) -> String {
    let (id, trace) = noted(state, channel_id, to, text, Some(subject));
    let body = json!({
        "channel": {
            "id": channel_id, "type": "email", "from": { "id": from, "name": "Agent" }, "to": [{ "id": to }], "messageId": id,
        },
        "type": "Email",
        "subject": subject,
        "content": [{ "type": "text", "text": text }],
    });
    post(state, channel_id, &id, &trace, &body);
    id
}

/// Writes down what an agent said; its id and its trace.
fn noted(state: &State, channel_id: &str, to: &str, text: &str, subject: Option<&str>) -> (String, String) {
    let trace = Uuid::new_v4().to_string();
    let mut room = state.room();
    let (id, at) = (room.next_id(), room.clock.now());
    room.agent.push(AgentMessage {
        at,
        id: id.clone(),
        channel_id: channel_id.to_owned(),
        to: to.to_owned(),
        text: text.to_owned(),
        subject: subject.map(str::to_owned),
        trace: trace.clone(),
        webhook: WebhookState::Sending,
        attempts: Vec::new(),
    });
    drop(room);
    state.changed();
    (id, trace)
}

fn post(state: &Arc<State>, channel_id: &str, id: &str, trace: &str, body: &Value) {
    let body = Bytes::from(body.to_string());
    for _ in 0..=state.faults.duplicate_webhooks.load(Ordering::SeqCst) {
        let deliver = deliver(Arc::clone(state), channel_id.to_owned(), id.to_owned(), trace.to_owned(), body.clone());
        let shutdown = state.shutdown.clone();
        state.foreman.spawn(async move {
            tokio::select! {
                () = deliver => {}
                () = shutdown.stopping() => {}
            }
        });
    }
}

/// The shape that is best supported of those nobody documented.
fn with_files(mut body: Value, files: Vec<SimMedia>, state: &State) -> Value {
    let content: Vec<Value> = files
        .into_iter()
        .map(|file| {
            let attachment =
                json!({ "mediaType": "Image", "url": file.url(), "mime": file.mimetype, "filename": file.filename });
            state.keep_media(file);
            json!({ "contentType": "Attachment", "attachment": attachment })
        })
        .collect();
    if let Some(fields) = body.as_object_mut().filter(|_| !content.is_empty()) {
        fields.insert("content".to_owned(), content.into());
    }
    body
}

pub(super) async fn send_raw(state: &State, channel_id: &str, body: Bytes) -> anyhow::Result<WebhookAnswer> {
    let trace = Uuid::new_v4().to_string();
    let timeout = state.room().redelivery.timeout;
    let call = call(state, channel_id, &trace, body, timeout)?;
    let answer = state.client.call("sandbox-bridge", "webhook", call).await?;
    Ok(WebhookAnswer { status: answer.status.as_u16(), body: answer.body })
}

/// Posts until the bridge answers with something that is not "later", or every try is used up.
async fn deliver(state: Arc<State>, channel_id: String, id: String, trace: String, body: Bytes) {
    let redelivery = state.room().redelivery;
    for attempt in 1..=redelivery.attempts {
        let answer = match call(&state, &channel_id, &trace, body.clone(), redelivery.timeout) {
            Ok(call) => state.client.call("sandbox-bridge", "webhook", call).await.ok(),
            Err(_) => None,
        };
        let status = answer.as_ref().map(|answer| answer.status);
        let echoed = answer.and_then(|answer| {
            let body: Value = serde_json::from_slice(&answer.body).ok()?;
            body.get("messageId")?.as_str().map(str::to_owned)
        });
        let last = attempt == redelivery.attempts;
        let webhook = match status {
            Some(status) if status.is_success() => WebhookState::Accepted,
            Some(status) if !status.is_server_error() => WebhookState::Refused(status.as_u16()),
            _ if last => WebhookState::GaveUp,
            _ => WebhookState::Sending,
        };
        let attempt = Attempt { at: state.now(), status: status.map(|status| status.as_u16()), echoed };
        state.attempted(&id, attempt, webhook);
        if webhook != WebhookState::Sending {
            return;
        }
        tokio::time::sleep(redelivery.interval).await;
    }
}

fn call(state: &State, channel_id: &str, trace: &str, body: Bytes, timeout: Duration) -> anyhow::Result<Call> {
    let channel = state.room().channels.get(channel_id).cloned().context("the channel is unknown here")?;
    let url = channel.webhook_url.context("the channel has no webhook")?;
    let secret = if state.faults.wrong_signature.strikes() { "another secret" } else { channel.secret.as_str() };
    let mut headers = HeaderMap::new();
    headers.insert("x-hub-signature", HeaderValue::from_str(&sign(secret, &body))?);
    headers.insert("x-b3-traceid", HeaderValue::from_str(trace)?);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(Call { method: Method::POST, url, headers, body, timeout })
}
